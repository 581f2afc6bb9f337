//! Core is pure: shown by what it may link, by what it may name, and by a linter's word.
//!
//! `cargo tree` lists its dependencies; anything that could open a socket, read a clock or draw chance must be on the list of
//! exceptions with its reason. Sources are read for what the type system cannot forbid.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates that reach for the world, and must not be linked into core.
const WORLDLY: [&str; 14] = [
    "tokio",
    "mio",
    "socket2",
    "async-std",
    "smol",
    "futures-executor",
    "rustls",
    "ring",
    "nix",
    "rustix",
    "chrono",
    "parking_lot",
    "crossbeam",
    "fastrand",
];
/// Pulled in by hickory-proto's codec, never called by us: see docs/ARCHITECTURE.md.
const LISTED: [&str; 2] = ["rand", "getrandom"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

fn dependencies_of_core() -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "-p", "postrider-core", "-e", "normal", "--prefix", "none", "-f", "{p}"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("crate names are UTF-8");
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn core_links_nothing_that_reaches_for_the_world() {
    let found = dependencies_of_core();
    assert!(found.iter().any(|name| name == "hickory-proto"), "the list was read: {found:?}");
    for name in found {
        assert!(!WORLDLY.contains(&name.as_str()), "core depends on {name}, which reaches for the world");
    }
}

#[test]
fn the_listed_exceptions_come_from_the_dns_codec_alone() {
    for name in LISTED {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--locked",
                "-p",
                "postrider-core",
                "-e",
                "normal",
                "--depth",
                "1",
                "--prefix",
                "none",
            ])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        let direct = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            !direct.lines().any(|line| line.starts_with(&format!("{name} "))),
            "core itself asks for {name}"
        );
    }
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The part of a source that ships.
fn shipped(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn core_names_no_clock_socket_file_thread_lock_or_chance() {
    let forbidden = [
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::os",
        "std::thread",
        "std::process",
        "std::env",
        "std::sync::Mutex",
        "std::sync::RwLock",
        "std::sync::mpsc",
        "std::sync::atomic",
        "std::time",
        "HashMap",
        "HashSet",
        "Instant::now",
        "SystemTime",
        "async fn",
        ".await",
        "rand::",
        "getrandom",
        "unsafe ",
        "println!",
        "eprintln!",
        "thread_local!",
    ];
    let mut files = Vec::new();
    sources(&root().join("core/src"), &mut files);
    assert!(files.len() > 20, "the sources were found");
    let tests = test_modules(&files);
    for file in files {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if tests.contains(&stem) || file.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let text = shipped(&std::fs::read_to_string(&file).expect("a readable source"));
        for word in forbidden {
            assert!(!names(&text, word), "{} names {word}: core decides, runtime does", file.display());
        }
    }
}

/// Names of modules that are declared for tests only.
fn test_modules(files: &[PathBuf]) -> Vec<String> {
    let mut modules = vec!["tests".to_owned()];
    for file in files {
        let text = std::fs::read_to_string(file).expect("a readable source");
        let mut for_tests = false;
        for line in text.lines() {
            let declared = line.split_once("mod ").and_then(|(_, rest)| rest.strip_suffix(';'));
            modules.extend(declared.filter(|_| for_tests).map(str::to_owned));
            for_tests = line.trim() == "#[cfg(test)]";
        }
    }
    modules
}

/// Whether a text has a word, and not just as the start of a longer one.
fn names(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(place, _)| {
        let behind = text[place + word.len()..].chars().next();
        !word.ends_with(char::is_alphanumeric) || !behind.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn the_daemon_knows_nothing_of_planted_bugs() {
    let source = std::fs::read_to_string(root().join("core/src/planted.rs")).expect("the list of bugs");
    let words: Vec<&str> = source
        .split('"')
        .filter(|part| {
            part.len() > 25 && part.starts_with(|c: char| c.is_ascii_lowercase()) && !part.contains('\n')
        })
        .collect();
    assert!(words.len() > 30, "the list was read: {words:?}");
    let daemon = std::fs::read(postrider_tests::binary("postrider")).expect("the daemon");
    let simulator = std::fs::read(postrider_tests::binary("postrider-sim")).expect("the simulator");
    for words in words {
        let inside = |program: &[u8]| program.windows(words.len()).any(|window| window == words.as_bytes());
        assert!(!inside(&daemon) && !inside(&simulator), "{words:?} is in a program that ships");
    }
}
