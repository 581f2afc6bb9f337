//! The right-hand side of an alias, a line of an `:include:` or `.forward` file: aliases(5).

use crate::wire::{Mailbox, address_list};

/// One destination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Item {
    /// Somebody; perhaps without a domain.
    Address(Mailbox),
    /// `\name`: the mailbox of a user, whatever aliases and `.forward` say.
    Plain(String),
    /// `/file/name`.
    File(String),
    /// `|command`.
    Command(String),
    /// `:include:/file/name`.
    Include(String),
}

/// The destinations of a value.
pub(super) fn of_value(value: &str) -> Vec<Item> {
    split(value).into_iter().filter_map(item).collect()
}

/// The destinations of a file: each line is a value, `#` begins a comment line.
pub(super) fn of_file(text: &str) -> Vec<Item> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.flat_map(of_value).collect()
}

/// At commas that do not stand in quotes, comments or angle brackets.
fn split(value: &str) -> Vec<&str> {
    let (mut items, mut from) = (Vec::new(), 0);
    let (mut quoted, mut escaped, mut depth) = (false, false, 0usize);
    for (place, character) in value.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '<' => depth += 1,
            ')' | '>' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                items.push(value.get(from..place).unwrap_or_default());
                from = place + 1;
            }
            _ => {}
        }
    }
    items.push(value.get(from..).unwrap_or_default());
    items
}

fn item(text: &str) -> Option<Item> {
    let text = text.trim();
    let bare = unquoted(text);
    match bare.chars().next()? {
        '|' => Some(Item::Command(bare.get(1..).unwrap_or_default().trim().to_owned())),
        '/' => Some(Item::File(bare)),
        '\\' => Some(Item::Plain(bare.get(1..).unwrap_or_default().to_owned())),
        ':' if bare.to_ascii_lowercase().starts_with(":include:") => {
            let path = bare.get(":include:".len()..).unwrap_or_default();
            Some(Item::Include(unquoted(path.trim())))
        }
        _ => address_list::mailboxes(text).into_iter().next().map(Item::Address),
    }
}

/// Without the quotes around it, if they are around all of it.
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut characters = inner.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some('"' | '\\')) => out.extend(characters.next()),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_destination_is_read() {
        let value =
            r#"joe, "|cmd -a, \"b\"", /var/x, \ann, :include:/etc/list, Ann <a@x.example> (c, d), "a b"@y"#;
        assert_eq!(
            of_value(value),
            [
                Item::Address(Mailbox::new("joe", "")),
                Item::Command(r#"cmd -a, "b""#.into()),
                Item::File("/var/x".into()),
                Item::Plain("ann".into()),
                Item::Include("/etc/list".into()),
                Item::Address(Mailbox::new("a", "x.example")),
                Item::Address(Mailbox::new("a b", "y")),
            ]
        );
        assert_eq!(of_value(" , "), []);
    }

    #[test]
    fn files_have_comments_and_a_list_on_each_line() {
        assert_eq!(of_file("# none\n\n joe\nann, bob\r\n").len(), 3);
    }

    quickcheck::quickcheck! {
        fn any_text_is_read(text: String) -> bool {
            of_file(&text).len() <= text.len()
        }
    }
}
