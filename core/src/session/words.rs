//! Lists of command words: `smtpd_noop_commands`, `smtpd_forbidden_commands`.
//!
//! Items are words in any case, and `regexp:{{/pattern/flags result} …}`: expressions written into the list (regexp_table(5)).
//! `!item` excludes. Other tables are refused at start: a command would have to wait for them.

use fancy_regex::Regex;

/// A list, compiled.
#[derive(Debug, Clone, Default)]
pub struct Words {
    items: Vec<(bool, Item)>,
}

#[derive(Debug, Clone)]
enum Item {
    Word(String),
    Pattern { regex: Regex, negated: bool },
}

impl Words {
    /// Reads a list.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut items = Vec::new();
        for item in split(text) {
            let (wanted, item) = item.strip_prefix('!').map_or((true, item), |item| (false, item));
            if let Some(rules) = item.strip_prefix("regexp:").or_else(|| item.strip_prefix("pcre:")) {
                for rule in split(inside(rules)?) {
                    items.push((wanted, pattern(inside(rule)?)?));
                }
            } else if item.contains(':') || item.starts_with('/') {
                return Err(format!("{item}: only words and regexp:{{…}} are supported here"));
            } else {
                items.push((wanted, Item::Word(item.to_owned())));
            }
        }
        Ok(Self { items })
    }

    /// Whether the first item that matches includes the word.
    #[must_use]
    pub fn contains(&self, word: &str) -> bool {
        let matches = |item: &Item| match item {
            Item::Word(known) => known.eq_ignore_ascii_case(word),
            // An expression that runs into its step limit has not matched.
            Item::Pattern { regex, negated } => regex.is_match(word).unwrap_or(false) != *negated,
        };
        self.items.iter().find(|(_, item)| matches(item)).is_some_and(|(wanted, _)| *wanted)
    }
}

/// Items at commas and white space; what stands in braces stays together.
fn split(text: &str) -> Vec<&str> {
    let (mut items, mut start, mut depth) = (Vec::new(), None, 0u32);
    for (at, c) in text.char_indices() {
        let blank = depth == 0 && (c == ',' || c.is_whitespace());
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (blank, start) {
            (true, Some(begin)) => {
                items.push(&text[begin..at]);
                start = None;
            }
            (false, None) => start = Some(at),
            _ => {}
        }
    }
    items.extend(start.map(|begin| &text[begin..]));
    items
}

fn inside(text: &str) -> Result<&str, String> {
    text.strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .map(str::trim)
        .ok_or_else(|| format!("{text}: braces expected"))
}

/// `/pattern/flags result`; any sign may stand for `/`. Expressions ignore case unless `i` switches that.
fn pattern(rule: &str) -> Result<Item, String> {
    let wrong = || format!("{rule}: /pattern/flags result expected");
    let (negated, text) = rule.strip_prefix('!').map_or((false, rule), |text| (true, text));
    let mut characters = text.chars();
    let sign = characters.next().ok_or_else(wrong)?;
    let body = characters.as_str();
    let end = body.rfind(sign).ok_or_else(wrong)?;
    let flags = body[end + sign.len_utf8()..].split_whitespace().next().unwrap_or_default();
    let case = if flags.contains('i') { "" } else { "(?i)" };
    let regex = Regex::new(&format!("{case}{}", &body[..end])).map_err(|error| format!("{rule}: {error}"))?;
    Ok(Item::Pattern { regex, negated })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postfix_s_default_list_catches_browsers_and_what_is_no_word() {
        let words =
            Words::parse("CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}").expect("it is Postfix's default");
        for word in ["GET", "post", "\u{16}\u{3}", "{", "0"] {
            assert!(words.contains(word), "{word:?}");
        }
        for word in ["GETS", "helo", "XYZZY"] {
            assert!(!words.contains(word), "{word:?}");
        }
    }

    #[test]
    fn exclusions_come_first_if_written_first_and_foreign_tables_are_refused() {
        let words = Words::parse("!PUT, regexp:{{/^P/ x} {!/T$/i y}}").expect("well formed");
        assert!(!words.contains("put"));
        assert!(words.contains("POKE"));
        assert!(words.contains("HELO"));
        assert!(!words.contains("GET"));
        assert!(Words::parse("hash:/etc/x").is_err());
        assert!(Words::parse("regexp:{{/(/ x}}").is_err());
    }
}
