//! Logical lines, and lists of items.
//!
//! A line that starts with white space goes on with the line before; blank lines and lines whose first other
//! character is `#` are nothing, even in the middle of a logical line. Postfix's postmap(1) and postconf(5).

/// A logical line: the number of its first physical line, its text, and whether it began with white space though
/// nothing was there to be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) text: String,
    pub(super) orphan: bool,
}

/// The logical lines of a text.
pub(super) fn logical_lines(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let trimmed = raw.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let indented = raw.starts_with([' ', '\t']);
        match lines.last_mut() {
            Some(line) if indented => line.text.push_str(raw.trim_end()),
            _ => lines.push(Line { number: index + 1, text: raw.trim_end().to_owned(), orphan: indented }),
        }
    }
    lines
}

/// The items of a list: split at commas and white space, `{…}` kept together.
#[must_use]
pub fn items(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut item = String::new();
    let mut depth = 0usize;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' | ' ' | '\t' | '\r' | '\n' if depth == 0 => {
                if !item.is_empty() {
                    found.push(std::mem::take(&mut item));
                }
                continue;
            }
            _ => {}
        }
        item.push(c);
    }
    if !item.is_empty() {
        found.push(item);
    }
    found
}

/// What stands between an outer pair of braces, trimmed; `None` when the text is not in braces.
pub(super) fn inside_braces(text: &str) -> Option<&str> {
    text.trim().strip_prefix('{')?.strip_suffix('}').map(str::trim)
}

/// Splits at the first white space that is not inside double quotes. `None` when a quote stays open.
pub(super) fn split_key(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        } else if c.is_ascii_whitespace() && !quoted {
            let (key, value) = line.split_at(at);
            return Some((key, value.trim()));
        }
    }
    (!quoted).then_some((line, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_comment_does_not_end_a_logical_line() {
        let lines = logical_lines("cont a,\n# inside\n b\n  \n c\nnext x\n");
        assert_eq!(lines[0].text, "cont a, b c");
        assert_eq!((lines[1].number, lines[1].text.as_str()), (6, "next x"));
    }

    #[test]
    fn braces_keep_an_item_together() {
        assert_eq!(items("a, inline:{ {b = c d}, e=f } \n g"), ["a", "inline:{ {b = c d}, e=f }", "g"]);
        assert_eq!(items(" , "), Vec::<String>::new());
        assert_eq!(items("a }b"), ["a", "}b"]);
    }

    #[test]
    fn white_space_in_quotes_belongs_to_the_key() {
        assert_eq!(split_key("\"a b\"@x  y z"), Some(("\"a b\"@x", "y z")));
        assert_eq!(split_key("\"a b y"), None);
    }

    quickcheck::quickcheck! {
        fn joining_loses_nothing_but_comments_and_blank_lines(text: String) -> bool {
            let joined: String = logical_lines(&text).into_iter().map(|line| line.text).collect();
            let said = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with('#');
            joined == text.lines().filter(said).map(str::trim_end).collect::<String>()
        }

        fn any_text_is_taken_apart_or_refused(text: String) -> bool {
            let whole = split_key(&text).is_none_or(|(key, value)| text.starts_with(key) && text.contains(value));
            whole && inside_braces(&text).is_none_or(|inner| text.contains(inner))
        }
    }

    /// Between two words of one logical line.
    const FOLDS: [&str; 4] = [" ", "\n ", "\r\n ", "\n\n# x\n \t\n "];

    proptest! {
        #[test]
        fn numbers_ascend_and_only_the_first_line_may_be_an_orphan(text in "[a# \\t\\r\\n]{0,40}") {
            let lines = logical_lines(&text);
            prop_assert!(lines.windows(2).all(|pair| pair[0].number < pair[1].number));
            prop_assert!(lines.iter().skip(1).all(|line| !line.orphan));
            for line in lines {
                let raw = text.lines().nth(line.number - 1).unwrap_or_default();
                prop_assert!(line.text.starts_with(raw.trim_end()), "{} is not where it is said to be", line.text);
            }
        }

        #[test]
        fn a_line_may_be_folded_anywhere_and_commented(
            words in prop::collection::vec(("[a-z]{1,5}", prop::sample::select(&FOLDS[..])), 1..8),
        ) {
            let folded: String = words.iter().map(|(word, fold)| format!("{word}{fold}")).collect();
            let plain: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
            let lines = logical_lines(&folded);
            prop_assert_eq!(lines, [Line { number: 1, text: plain.join(" "), orphan: false }]);
        }

        #[test]
        fn items_listed_again_are_the_same_items(text in "[a{}, \\n]{0,30}") {
            let found = items(&text);
            prop_assert_eq!(items(&found.join(" , ")), found);
        }

        #[test]
        fn a_key_ends_at_the_first_white_space_outside_quotes(
            key in "(\"[a-z \\t]{0,6}\")?[a-z]{1,5}",
            value in "[!-~]([ -~]{0,9}[!-~])?",
        ) {
            let line = format!("{key} \t {value}");
            prop_assert_eq!(split_key(&line), Some((key.as_str(), value.as_str())));
        }
    }
}
