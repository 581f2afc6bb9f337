//! The targets that are fuzzed, on what the fuzzer has found worth keeping, and on what chance makes of it.

use postrider_core::prng::Prng;
use postrider_tests::fuzz::{TARGETS, Target};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Inputs that chance makes for each target in each run.
const ARBITRARY: usize = 3_000;
/// Octets of one of them at most.
const LENGTH_MAX: u64 = 2_000;
/// Octets of the inputs of one target: a corpus is read in each run, by people too.
const CORPUS_MAX: usize = 250 * 1024;
/// Octets that mean something to some target.
const SPECIAL: &[u8] = b"\r\n\0.<>@\"\\:;=${}-[](), \t\x01\x7f\x80\xff";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("corpus/fuzz")
}

/// The inputs of a target, in the order of their names.
fn inputs(name: &str) -> Vec<(String, Vec<u8>)> {
    let files =
        std::fs::read_dir(folder().join(name)).unwrap_or_else(|why| panic!("corpus/fuzz/{name}: {why}"));
    let mut inputs: Vec<(String, Vec<u8>)> = files
        .map(|file| {
            let path = file.expect("a folder that can be read").path();
            let octets = std::fs::read(&path).expect("an input that can be read");
            (path.display().to_string(), octets)
        })
        .collect();
    inputs.sort();
    inputs
}

fn hold(target: Target, octets: &[u8], what: &str) {
    let held = catch_unwind(AssertUnwindSafe(|| target(octets)));
    assert!(held.is_ok(), "{what} breaks a law: {:?}", octets.escape_ascii().to_string());
}

#[test]
fn each_target_has_a_corpus_and_each_corpus_a_target() {
    let folders = std::fs::read_dir(folder()).expect("corpus/fuzz is there");
    let folders: BTreeSet<String> = folders
        .map(|folder| folder.expect("a folder that can be read"))
        .filter(|folder| folder.path().is_dir())
        .map(|folder| folder.file_name().to_string_lossy().into_owned())
        .collect();
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders, targets);
    for (name, _) in TARGETS {
        let inputs = inputs(name);
        let octets: usize = inputs.iter().map(|(_, octets)| octets.len()).sum();
        assert!(
            inputs.len() >= 3 && octets <= CORPUS_MAX,
            "{name}: {} inputs, {octets} octets",
            inputs.len()
        );
    }
}

#[test]
fn what_was_found_once_breaks_no_law() {
    for (name, target) in TARGETS {
        for (path, octets) in inputs(name) {
            hold(target, &octets, &path);
        }
    }
}

#[test]
fn what_chance_makes_of_it_breaks_no_law() {
    for (name, target) in TARGETS {
        let inputs: Vec<Vec<u8>> = inputs(name).into_iter().map(|(_, octets)| octets).collect();
        let mut prng = Prng::new(7);
        // A configuration takes a hundred times as long as a command.
        let count = if name == "config" { ARBITRARY / 30 } else { ARBITRARY };
        for number in 0..count {
            let octets = if number % 8 == 0 { arbitrary(&mut prng) } else { mutated(&inputs, &mut prng) };
            hold(target, &octets, &format!("{name}, number {number}"));
        }
    }
}

fn arbitrary(prng: &mut Prng) -> Vec<u8> {
    (0..prng.below(LENGTH_MAX)).map(|_| prng.below(256) as u8).collect()
}

/// One input, changed at some places, or with a part of another.
fn mutated(inputs: &[Vec<u8>], prng: &mut Prng) -> Vec<u8> {
    let one = |prng: &mut Prng| inputs[prng.below(inputs.len() as u64) as usize].clone();
    let mut octets = one(prng);
    for _ in 0..=prng.below(6) {
        let at = prng.below(octets.len() as u64 + 1) as usize;
        match prng.below(6) {
            0 => octets.truncate(at),
            1 => octets.insert(at, prng.below(256) as u8),
            2 if at < octets.len() => _ = octets.remove(at),
            3 => {
                let other = one(prng);
                let from = prng.below(other.len() as u64 + 1) as usize;
                octets.splice(at..at, other[from..].iter().take(LENGTH_MAX as usize).copied());
            }
            4 if at < octets.len() => octets[at] ^= 1 << prng.below(8),
            _ if at < octets.len() => octets[at] = SPECIAL[prng.below(SPECIAL.len() as u64) as usize],
            _ => octets.push(b'\n'),
        }
    }
    octets
}
