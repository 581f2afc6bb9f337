//! Perl's regular expressions in the notation of our engine, which is nearly theirs.
//!
//! What differs, and is put right here: `\Q…\E`, `\h` and `\H`, `\<` and `\>` (plain signs to Perl, edges of words to the
//! engine), and in `[…]` the signs that are operators on sets to the engine only. What the engine does not know at all it
//! refuses, and the rule fails lookups. Known differences: `\w`, `\d`, `\s` and `\b` know letters beyond ASCII; `$`
//! does not match before a newline at the very end; a group that repeats an empty match may hold another part.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

/// White space within a line (PCRE's `\h`).
const HORIZONTAL: &str = r"\t\x20\x{a0}\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}";

/// The pattern in the engine's notation. `extended`: white space and `#` comments in it are nothing.
pub(super) fn translate(pattern: &str, extended: bool) -> String {
    let mut input = pattern.chars().peekable();
    let mut out = String::with_capacity(pattern.len() + 8);
    while let Some(c) = input.next() {
        match c {
            '\\' => escape(&mut input, &mut out, false),
            '[' => set(&mut input, &mut out),
            '#' if extended => {
                out.push(c);
                out.extend(input.by_ref().take_while(|&c| c != '\n'));
                out.push('\n');
            }
            _ => out.push(c),
        }
    }
    out
}

fn quoted(c: char, out: &mut String) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() {
        out.push(c);
    } else {
        // By number: white space must survive the extended syntax, and no sign may mean anything.
        _ = write!(out, "\\x{:02x}", u32::from(c));
    }
}

fn escape(input: &mut Peekable<Chars<'_>>, out: &mut String, in_set: bool) {
    match input.next() {
        Some('Q') => {
            while let Some(c) = input.next() {
                if c == '\\' && input.next_if_eq(&'E').is_some() {
                    break;
                }
                quoted(c, out);
            }
        }
        // An end of quoting without its start is nothing.
        Some('E') => {}
        Some('h') if in_set => out.push_str(HORIZONTAL),
        Some('h') => _ = write!(out, "[{HORIZONTAL}]"),
        Some('H') if !in_set => _ = write!(out, "[^{HORIZONTAL}]"),
        Some(c) if c.is_ascii_punctuation() => quoted(c, out),
        Some(c) => {
            out.push('\\');
            out.push(c);
        }
        None => out.push('\\'),
    }
}

/// `[…]`, to its end.
fn set(input: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    if input.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    // Something stands before that a range can start with.
    let mut starts = false;
    let mut ends_range = false;
    while let Some(c) = input.next() {
        let range = c == '-' && starts && input.peek() != Some(&']');
        match c {
            ']' if !first => {
                out.push(']');
                return;
            }
            '\\' => escape(input, out, true),
            '[' if input.peek() == Some(&':') => match class(input) {
                Some(name) => _ = write!(out, "[:{name}:]"),
                None => quoted('[', out),
            },
            '-' if range => out.push('-'),
            _ => quoted(c, out),
        }
        first = false;
        starts = !range && !ends_range;
        ends_range = range;
    }
}

/// The name of `[:name:]`; nothing is taken when it is none.
fn class(input: &mut Peekable<Chars<'_>>) -> Option<String> {
    let ahead: String = input.clone().skip(1).take(12).collect();
    let name = ahead.split_once(":]").map(|(name, _)| name.to_owned())?;
    let plain = name.strip_prefix('^').unwrap_or(&name);
    if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    input.nth(name.len() + 2);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::translate;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        fancy_regex::Regex::new(&translate(pattern, false)).unwrap().is_match(text).unwrap()
    }

    #[test]
    fn perl_means_what_perl_means() {
        for (pattern, text, wanted) in [
            (r"^\Qa.(b\E$", "a.(b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"a\hb", "a\tb", true),
            (r"^[\h]$", " ", true),
            (r"^\H$", " ", false),
            (r"\<b\>", "<b>", true),
            (r"\<b\>", "b", false),
            (r"^[^[]+$", "a]", true),
            (r"^[a\][^b]$", "[", true),
            (r"^[a&&b]$", "&", true),
            (r"^[+--]$", ",", true),
            (r"^[]a]$", "]", true),
            (r"^[[:alpha:][:^digit:]]$", "-", true),
            (r"^[a-c\d_-]+$", "b7-_", true),
            (r"\bfoo\b", "a foo b", true),
            (r"(?i)^(?!x)[^@]+@(?:a|b)\.c$", "U@B.C", true),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn comments_of_the_extended_syntax_stay() {
        assert_eq!(translate("a # [x", true), "a # [x\n");
    }

    /// A pattern that says a text, each of its signs and blanks behind a backslash.
    fn escaped(text: &str) -> String {
        let plain = |c: char| c.is_alphanumeric();
        text.chars().map(|c| if plain(c) { c.to_string() } else { format!("\\{c}") }).collect()
    }

    proptest! {
        #[test]
        fn a_literal_matches_what_contains_it(
            literal in "[ab#.*+(\\[\\\\$^&~< -]{1,3}|[ -~é]{1,6}",
            key in "[ab#.*+(\\[\\\\$^&~< -]{0,8}",
        ) {
            for key in [key.clone(), format!("{key}{literal}")] {
                let wanted = key.contains(&literal);
                prop_assert_eq!(matches(&escaped(&literal), &key), wanted, "{}", literal);
                // A backslash before E would end the quoting, and one at the end would escape its end.
                if !literal.contains('\\') {
                    prop_assert_eq!(matches(&format!("\\Q{literal}\\E"), &key), wanted, "{}", literal);
                }
            }
        }

        #[test]
        fn white_space_that_is_escaped_counts_in_the_extended_syntax_too(
            literal in "[ab #-]{1,5}",
            key in "[ab #-]{0,8}",
        ) {
            let pattern = translate(&format!("{} # comment", escaped(&literal)), true);
            let regex = fancy_regex::RegexBuilder::new(&pattern).ignore_whitespace(true).build().unwrap();
            for key in [key.clone(), format!("{key}{literal}")] {
                prop_assert_eq!(regex.is_match(&key).unwrap(), key.contains(&literal), "{}", literal);
            }
        }

        #[test]
        fn a_range_of_a_set_is_the_characters_between(
            low in "[!-Z_-~\\[]",
            high in "[!-Z_-~\\[]",
            c in "[!-~]",
            negated: bool,
        ) {
            let pattern = format!("^[{}{low}-{high}]$", if negated { "^" } else { "" });
            let regex = fancy_regex::Regex::new(&translate(&pattern, false));
            let wanted = (low <= high).then_some((low <= c && c <= high) != negated);
            let found = regex.ok().map(|regex| regex.is_match(&c).unwrap());
            prop_assert_eq!(found, wanted, "{} {}", pattern, c);
        }

        #[test]
        fn a_set_is_its_characters(signs in "[ab&~|\\[#. ]{1,6}", c in "[ -~]") {
            prop_assert_eq!(matches(&format!("^[{signs}]$"), &c), signs.contains(&c), "{}", signs);
        }
    }

    quickcheck::quickcheck! {
        fn what_is_no_pattern_is_refused_by_the_engine(text: String, extended: bool) -> bool {
            _ = fancy_regex::Regex::new(&translate(&text, extended));
            true
        }
    }
}
