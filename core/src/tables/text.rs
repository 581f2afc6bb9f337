//! Tables of keys: `key value` as postmap(1) reads it, `name: value` as postalias(1) does, and `inline:`.
//!
//! Keys are folded to lower case. Of two equal keys the first counts, and the second is a warning: so does Postfix.

use super::Report;
use super::lines::{Line, inside_braces, items, split_key};
use std::collections::BTreeMap;

pub(super) type Entries = BTreeMap<String, Entry>;

/// What stands behind a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The value.
    pub value: String,
    /// The line of the file; 0 in `inline:`.
    pub line: u32,
}

fn add(entries: &mut Entries, key: &str, value: &str, line: &Line, report: &mut Report) {
    let key = key.to_lowercase();
    if entries.contains_key(&key) {
        report.warn(line, &format!("duplicate entry: \"{key}\""), "remove one: the first one counts");
        return;
    }
    let number = u32::try_from(line.number).unwrap_or(u32::MAX);
    entries.insert(key, Entry { value: value.to_owned(), line: number });
}

/// `key value` lines.
pub(super) fn keys(lines: &[Line], report: &mut Report) -> Entries {
    let mut entries = Entries::new();
    for line in lines {
        match split_key(line.text.trim()) {
            None => report.warn(line, "unbalanced '\"': this line is ignored", "close the quote"),
            Some((key, "")) => {
                let what = format!("\"{key}\": expected format: key whitespace value");
                report.warn(line, &what, "add a value");
            }
            Some((key, value)) => {
                if key.ends_with(':') {
                    let what = "record is in \"key: value\" format; is this an alias file?";
                    report.warn(line, what, "remove the colon, or name the file in alias_maps");
                }
                add(&mut entries, key, value, line, report);
            }
        }
    }
    entries
}

/// `name: value` lines. The name loses its quotes.
pub(super) fn aliases(lines: &[Line], report: &mut Report) -> Entries {
    let mut entries = Entries::new();
    for line in lines {
        match split_name(line.text.trim()) {
            None => report.warn(line, "need name:value pair", "write \"name: value\""),
            Some((name, _)) if name.is_empty() => report.warn(line, "the name is missing", "add a name"),
            Some((_, "")) => report.warn(line, "need name:value pair", "add a value"),
            Some((name, value)) => add(&mut entries, &name, value, line, report),
        }
    }
    entries
}

/// Splits at the first colon outside quotes; the name unquoted, and local: an `@` outside quotes is refused.
fn split_name(line: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut quoted = false;
    let mut characters = line.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => name.push(characters.next()?.1),
            '"' => quoted = !quoted,
            ':' if !quoted => return Some((name.trim().to_owned(), line[at + 1..].trim())),
            '@' if !quoted => return None,
            _ => name.push(c),
        }
    }
    None
}

/// The entries of `{ key = value, { key = text with spaces }, … }`.
pub(super) fn inline(text: &str, report: &mut Report) -> Entries {
    let mut entries = Entries::new();
    let line = Line { number: 0, text: text.to_owned(), orphan: false };
    let Some(body) = inside_braces(text) else {
        let why = report.fatal(&line, "bad syntax", "write inline:{name=value...}");
        report.failure = Some(why);
        return entries;
    };
    for item in items(body) {
        let pair = inside_braces(&item).unwrap_or(&item);
        match pair.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                add(&mut entries, key.trim(), value.trim(), &line, report);
            }
            _ => {
                let what = format!("\"{item}\": expected format: key = value");
                let why = report.fatal(&line, &what, "write inline:{name=value...}");
                report.failure = Some(why);
            }
        }
    }
    if entries.is_empty() && report.failure.is_none() {
        let why = report.fatal(&line, "no entries", "write inline:{name=value...}");
        report.failure = Some(why);
    }
    entries
}

#[cfg(test)]
mod tests {
    use crate::tables::{Kind, Table};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn lookup(kind: Kind, text: &str, key: &str) -> Option<String> {
        Table::compile(kind, text, "/t").0.lookup(key).unwrap()
    }

    #[test]
    fn keys_are_folded_and_values_are_kept() {
        let text = "# access\nClient.Example\tREJECT  Go Away\n\"a b\"@x y\n1.2.3 OK\n";
        assert_eq!(lookup(Kind::Keys, text, "CLIENT.example").as_deref(), Some("REJECT  Go Away"));
        assert_eq!(lookup(Kind::Keys, text, "\"a b\"@x").as_deref(), Some("y"));
        assert_eq!(lookup(Kind::Keys, text, "1.2.3.4"), None);
    }

    #[test]
    fn the_first_of_two_equal_keys_counts() {
        let (table, problems) = Table::compile(Kind::Keys, "dup a\nDUP b\nalone\nname: v\n", "/t");
        assert_eq!(table.lookup("dup"), Ok(Some("a".into())));
        assert_eq!(table.lookup("alone"), Ok(None));
        assert_eq!(problems.iter().map(|p| p.line).collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn alias_names_lose_their_quotes() {
        let text = "Post : z\n\"x:y\": b, |\"c d\"\nfoo:bar,\n baz\nno\na@b: c\n";
        assert_eq!(lookup(Kind::Aliases, text, "post").as_deref(), Some("z"));
        assert_eq!(lookup(Kind::Aliases, text, "x:y").as_deref(), Some("b, |\"c d\""));
        assert_eq!(lookup(Kind::Aliases, text, "foo").as_deref(), Some("bar, baz"));
        assert_eq!(Table::compile(Kind::Aliases, text, "/t").1.len(), 2);
    }

    /// What a map of entries says, without the lines.
    fn read(table: &Table) -> BTreeMap<String, String> {
        let entries = table.entries().into_iter().flatten();
        entries.map(|(key, entry)| (key.to_owned(), entry.value.clone())).collect()
    }

    const VALUE: &str = "[!-~é]([ -~é]{0,12}[!-~é])?";

    proptest! {
        #[test]
        fn keys_that_are_written_are_read_back(
            map in prop::collection::btree_map("[a-z0-9.@é]{1,8}|\"[a-z ]{1,5}\"@[a-z]", VALUE, 0..6),
        ) {
            let text: String = map.iter().map(|(key, value)| format!("{key}\t {value}\n")).collect();
            let (table, problems) = Table::compile(Kind::Keys, &text, "/t");
            prop_assert_eq!((read(&table), problems), (map, vec![]));
        }

        #[test]
        fn names_that_are_written_in_quotes_are_read_back(
            map in prop::collection::btree_map("[!-@\\[-~é]([ -@\\[-~é]{0,6}[!-@\\[-~é])?", VALUE, 0..6),
        ) {
            let quoted = |name: &str| name.replace('\\', "\\\\").replace('"', "\\\"");
            let text: String = map.iter().map(|(name, value)| format!("\"{}\": {value}\n", quoted(name))).collect();
            let (table, problems) = Table::compile(Kind::Aliases, &text, "/t");
            prop_assert_eq!((read(&table), problems), (map, vec![]));
        }

        #[test]
        fn entries_that_are_written_inline_are_read_back(
            map in prop::collection::btree_map("[a-z@.]{1,6}", "([a-z=/]([a-z=, /]{0,9}[a-z=/])?)?", 1..6),
        ) {
            let items: Vec<String> = map.iter().map(|(key, value)| format!("{{{key} = {value}}}")).collect();
            let (table, problems) = Table::inline(&format!("{{ {} }}", items.join(", ")), "inline");
            prop_assert_eq!((read(&table), problems), (map, vec![]));
        }

        #[test]
        fn the_first_of_equal_keys_counts_and_each_other_is_a_problem(
            pairs in prop::collection::vec(("[abAB]{1,2}", "[a-z]{1,3}"), 0..12),
        ) {
            let mut wanted = BTreeMap::new();
            for (key, value) in pairs.iter().rev() {
                wanted.insert(key.to_lowercase(), value.clone());
            }
            for (kind, sign) in [(Kind::Keys, ""), (Kind::Aliases, ":")] {
                let text: String = pairs.iter().map(|(key, value)| format!("{key}{sign} {value}\n")).collect();
                let (table, problems) = Table::compile(kind, &text, "/t");
                prop_assert_eq!(problems.len(), pairs.len() - wanted.len());
                prop_assert_eq!(read(&table), wanted.clone());
            }
        }
    }

    quickcheck::quickcheck! {
        fn any_text_is_a_table_with_each_key_found(text: String) -> bool {
            let kinds = [Kind::Keys, Kind::Aliases, Kind::List].into_iter();
            let tables = kinds.map(|kind| Table::compile(kind, &text, "/t").0).chain([Table::inline(&text, "t").0]);
            tables.into_iter().all(|table| {
                read(&table).into_iter().all(|(key, value)| table.lookup(&key) == Ok(Some(value)))
            })
        }
    }
}
