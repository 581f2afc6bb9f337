//! What the documents say of the tree is so: paths exist, rooms import only what they may, files are short and finished.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// All files below a folder with this extension, targets left out.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target" && name != ".git") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|other| other == extension) {
                found.push(path);
            }
        }
    }
    found.sort_unstable();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents() -> Vec<PathBuf> {
    let mut found = files(&root().join("docs"), "md");
    found.retain(|path| !path.ends_with("reference/parameters.md"));
    found.push(root().join("README.md"));
    found
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split("```")
        .step_by(2)
        .flat_map(|part| part.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_path_in_the_documents_exists() {
    let packages = ["core", "runtime", "sim", "tests", "corpus", "docs", ".ci"];
    let sources = files(&root(), "rs");
    let mut missing = Vec::new();
    for document in documents() {
        for word in quoted(&read(&document)) {
            let first = word.split('/').next().unwrap_or_default();
            // Within the text about a package its folder is left out.
            let known = || sources.iter().any(|source| source.ends_with(&word));
            if word.ends_with(".rs") && !word.contains([' ', '*']) && !known() {
                missing.push(format!("{}: {word}", document.display()));
            }
            let is_path =
                packages.contains(&first) && word.contains('/') && !word.contains([' ', '*', '<', '…', '$']);
            if is_path && !root().join(word.trim_end_matches('/')).exists() {
                missing.push(format!("{}: {word}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_room_is_on_the_map() {
    let map: BTreeSet<String> = quoted(&read(&root().join("docs/ARCHITECTURE.md")))
        .into_iter()
        .map(|word| word.trim_end_matches('/').to_owned())
        .collect();
    let mut missing = Vec::new();
    for package in ["core/src", "runtime/src"] {
        for entry in fs::read_dir(root().join(package)).expect("a package") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            if !["lib", "main"].contains(&name.as_str()) && !map.contains(&name) {
                missing.push(format!("{package}/{name}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in docs/ARCHITECTURE.md: {missing:#?}");
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let mut missing = Vec::new();
    for document in documents() {
        let text = read(&document);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let folder = document.parent().expect("a folder");
            if !file.is_empty() && !file.contains("://") && !folder.join(file).exists() {
                missing.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_difference_names_a_test_that_exists() {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for package in ["core/src", "runtime/src", "tests/tests", "sim/src"] {
        for file in files(&root().join(package), "rs") {
            let text = read(&file);
            names.extend(
                text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next()).map(str::to_owned),
            );
        }
    }
    let document = read(&root().join("docs/differences.md"));
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| Postfix | Postrider");
    for row in document.lines().filter(is_row) {
        let tests = quoted(row.rsplit('|').nth(1).unwrap_or_default());
        assert!(!tests.is_empty(), "no test: {row}");
        for test in tests {
            let dialogue = root().join("corpus/dialogues").join(&test);
            let known = names.contains(&test) || test.ends_with(".smtp") && dialogue.exists();
            assert!(known, "there is no test {test}: {row}");
        }
    }
}

/// Rooms of core that may import these others beside the ground floor; docs/ARCHITECTURE.md says the same in words.
const SIBLINGS: [(&str, &[&str]); 12] = [
    ("session", &["tables"]),
    ("policy", &["rewrite", "tables"]),
    ("cleanup", &["rewrite"]),
    ("queue", &[]),
    ("schedule", &[]),
    ("delivery", &["tables"]),
    ("dns", &[]),
    ("report", &[]),
    ("local", &["rewrite"]),
    ("rewrite", &["tables"]),
    ("tables", &[]),
    ("params", &[]),
];

/// What stands below all rooms.
const GROUND: [&str; 10] =
    ["time", "prng", "limits", "machine", "because", "ask", "wire", "mail", "event", "params"];

/// The production part of a file: what stands before its tests.
fn production(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
        || path.ends_with("dialogues.rs")
}

/// First words behind `crate::` in code, with groups opened.
fn imports(text: &str) -> BTreeSet<String> {
    let lines = production(text).lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.collect::<Vec<_>>().join("\n");
    let word = |rest: &str| {
        rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default().to_owned()
    };
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => {
                let group = group.split(';').next().unwrap_or_default();
                found.extend(group.split(',').map(|item| word(item.trim())));
            }
            None => _ = found.insert(word(rest)),
        }
    }
    found
}

#[test]
fn rooms_of_core_import_only_what_stands_below_them() {
    let core = root().join("core/src");
    let rooms: BTreeMap<&str, &[&str]> = SIBLINGS.into_iter().collect();
    let mut wrong = Vec::new();
    for (room, allowed) in &rooms {
        for file in files(&core.join(room), "rs").into_iter().filter(|file| !is_test(file)) {
            for import in imports(&read(&file)) {
                let fine = import == *room
                    || GROUND.contains(&import.as_str())
                    || allowed.contains(&import.as_str());
                let is_room = core.join(&import).is_dir() || core.join(format!("{import}.rs")).exists();
                if is_room && !fine {
                    wrong.push(format!(
                        "{}: crate::{import}",
                        file.strip_prefix(&core).expect("below").display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Rust files of the workspace, this one left out: it names what it forbids.
fn sources() -> Vec<PathBuf> {
    let mut found = files(&root(), "rs");
    found.retain(|path| !path.ends_with("tests/tests/documents.rs"));
    found
}

#[test]
fn files_are_short() {
    /// Lines without tests. A table may be long: it is flat.
    const LINES_MAX: usize = 500;
    let long: Vec<String> = sources()
        .into_iter()
        .filter(|path| !is_test(path) && !path.to_string_lossy().contains("/params/table/"))
        .map(|path| (production(&read(&path)).lines().count(), path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, path)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    let mut left = Vec::new();
    for path in sources() {
        for (number, line) in read(&path).lines().enumerate() {
            if ["FIXME", "TODO", "XXX:", "unimplemented!", "todo!(", "#[ignore"]
                .iter()
                .any(|word| line.contains(word))
            {
                left.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(left.is_empty(), "{left:#?}");
}
