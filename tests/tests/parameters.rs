//! The table of parameters against the sources that read it, and against its page in docs/reference.
//!
//! A name that is read and not in the table would panic at start; a row that says it works and that nobody reads would be a
//! parameter that is parsed and then ignored.

use postrider_core::params::table::{self, Works};
use postrider_core::params::{expand, reference};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Read by the parameters themselves, as the ground of other defaults or for the operator's own values.
const READ_BY_THE_TABLE: &[&str] = &[
    "compatibility_level", // by `<level` in defaults
    "config_directory",    // set by the command line
    "inet_interfaces",     // mynetworks
    "inet_protocols",      // mynetworks
    "mydomain",            // defaults and values
    "mynetworks_style",    // mynetworks
    "process_id",          // values
    "process_name",        // values
    "service_name",        // values
    "stress",              // defaults
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The shipped part of each source of core and runtime: without tests and comments.
fn sources() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut open = vec![root().join("core/src"), root().join("runtime/src")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && path.file_name().is_some_and(|name| name != "tests.rs")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                files.insert(path, shipped(&text));
            }
        }
    }
    assert!(files.len() > 20, "the sources were found");
    files
}

fn shipped(text: &str) -> String {
    // `mod tests;` at the top of a file ends nothing; `mod tests {` at its end does.
    let is_block = |at: &usize| text[*at..].lines().nth(2).is_some_and(|line| line.ends_with('{'));
    let mut marks = text.match_indices("\n#[cfg(test)]\nmod ").map(|(at, _)| at);
    let end = marks.find(is_block).unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The names in `.getter("name")` and `.getter("smtp_name", "lmtp_name")`, also on lines of their own.
fn names_read(text: &str, getters: &[&str]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for getter in getters {
        for (at, call) in text.match_indices(&format!("{getter}(")) {
            let mut rest = text[at + call.len()..].trim_start();
            rest = rest.strip_prefix("settings, ").unwrap_or(rest);
            while let Some((name, after)) = rest.strip_prefix('"').and_then(|literal| literal.split_once('"'))
            {
                names.insert(name.to_owned());
                rest = after.trim_start().trim_start_matches(',').trim_start();
            }
        }
    }
    names
}

/// The suffixes in `.transport_number(transport, "suffix")`.
fn suffixes_read(text: &str) -> BTreeSet<String> {
    let mut suffixes = BTreeSet::new();
    for getter in [".transport_text(", ".transport_number(", ".transport_time("] {
        for (at, _) in text.match_indices(getter) {
            let rest = &text[at + getter.len()..];
            let call = &rest[..rest.find(')').unwrap_or(rest.len())];
            suffixes.extend(call.rsplit('"').nth(1).map(str::to_owned));
        }
    }
    suffixes
}

/// The getters of `Settings`, and what some rooms put before them: `code(settings, "name")` for codes of replies, `bind("smtp_…",
/// "lmtp_…")` for addresses.
/// `lists.read("name", …)` for match lists.
const GETTERS: [&str; 9] =
    [".text", ".flag", ".number", ".time", ".list", ".tables", " code", " bind", "lists.read"];

/// Every name that a getter is asked for, with a file that asks. Other types have a `.text("…")` too: what is no
/// parameter's name by its form is left out.
fn read() -> BTreeMap<String, PathBuf> {
    let mut read = BTreeMap::new();
    for (path, text) in sources() {
        let names = names_read(&text, &GETTERS).into_iter();
        let is_name = |name: &String| {
            name.contains('_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                || table::row(name).is_some()
        };
        read.extend(names.filter(is_name).map(|name| (name, path.clone())));
        for suffix in suffixes_read(&text) {
            let row = table::TRANSPORT.iter().find(|row| row.suffix == suffix);
            let row = row.unwrap_or_else(|| panic!("{}: transports have no {suffix}", path.display()));
            read.insert(row.fallback.to_owned(), path.clone());
            // Postfix's own transports have rows of their own: smtp_destination_concurrency_limit.
            let of_a_transport =
                table::all().filter(|other| table::transport_row(other.name).is_some_and(|(_, r)| r == row));
            read.extend(of_a_transport.map(|other| (other.name.to_owned(), path.clone())));
        }
    }
    read
}

/// The rows that are read: by name, by the table, and those that the default of a read row refers to.
fn reached() -> BTreeSet<String> {
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<String> = read().into_keys().collect();
    open.extend(READ_BY_THE_TABLE.iter().map(|name| (*name).to_owned()));
    while let Some(name) = open.pop() {
        if let Some(expression) = table::row(&name).and_then(table::Row::expression) {
            open.extend(expand::references(expression).into_iter().filter(|other| !reached.contains(other)));
        }
        reached.insert(name);
    }
    reached
}

/// Rows that say they work and that nobody reads.
fn not_read() -> Vec<&'static str> {
    let reached = reached();
    let claims = table::all().filter(|row| matches!(row.works, Works::Works | Works::Ours));
    claims.map(|row| row.name).filter(|name| !reached.contains(*name)).collect()
}

#[test]
fn every_name_that_is_read_is_in_the_table() {
    for (name, path) in read() {
        assert!(table::row(&name).is_some(), "{} reads {name}, which is not in the table", path.display());
    }
}

#[test]
fn every_row_that_works_is_read() {
    assert_eq!(not_read(), Vec::<&str>::new(), "these rows say they work, and nobody reads them");
}

/// Rows that do not work and are read all the same: the mail that they are about waits, in place of going where nobody asked for.
const PUT_OFF: [&str; 2] = ["mailbox_command", "mailbox_command_maps"];

#[test]
fn every_row_that_is_read_says_that_it_works() {
    let read = read();
    let early = table::all().filter(|row| !matches!(row.works, Works::Works | Works::Ours));
    let early: Vec<&str> = early.map(|row| row.name).filter(|name| read.contains_key(*name)).collect();
    assert_eq!(early, PUT_OFF, "these rows are read: let them say Works");
}

#[test]
fn the_scan_sees_names_on_lines_of_their_own_and_no_tests() {
    let text = "let a = family.text(\n    \"one_name\",\n    \"other_name\"\n);\n// settings.text(\"comment_name\")\n\n#[cfg(test)]\nmod tests {\n settings.text(\"test_name\") }";
    assert_eq!(
        names_read(&shipped(text), &GETTERS).into_iter().collect::<Vec<_>>(),
        ["one_name", "other_name"]
    );
    assert!(
        suffixes_read("settings.transport_number(&name, \"recipient_limit\")").contains("recipient_limit")
    );
}

#[test]
fn every_row_that_works_is_documented() {
    let silent = table::all().filter(|row| row.manual.is_empty());
    let silent: Vec<&str> =
        silent.filter(|row| matches!(row.works, Works::Works | Works::Ours)).map(|row| row.name).collect();
    assert_eq!(silent, Vec::<&str>::new());
}

#[test]
fn reference() {
    let path = root().join("docs/reference/parameters.md");
    let page = reference::page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{} is stale: run this test with UPDATE=1", path.display());
}
