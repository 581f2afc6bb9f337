//! Which commit is built: what a seed, a plan or a recording comes to follows from it together with the code alone.
//!
//! Shared by the build scripts of `runtime/` and `sim/`. Where sources differ from the commit, or nobody knows the commit, a digest of the sources is
//! put behind it, so that two programs that say the same are the same.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Sets `POSTRIDER_COMMIT` for a program that is made of these packages of the workspace.
pub(crate) fn tell(packages: &[&str]) {
    let mut sources = vec![PathBuf::from("../Cargo.lock")];
    for package in packages {
        sources.extend(
            ["src", "build", "build.rs", "Cargo.toml"].map(|part| Path::new("..").join(package).join(part)),
        );
    }
    sources.retain(|source| source.exists());
    for path in sources.iter().chain(&places()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let commit = git(&["describe", "--always", "--abbrev=12"]);
    let mut question = vec!["--no-optional-locks", "status", "--porcelain", "--"];
    question.extend(sources.iter().filter_map(|source| source.to_str()));
    let told = match (commit, git(&question)) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit}-dirty-{}", digest(&sources)),
        (None, _) => format!("unknown-{}", digest(&sources)),
    };
    println!("cargo::rustc-env=POSTRIDER_COMMIT={told}");
}

/// What changes with a commit: HEAD when another branch is checked out, its log at each commit; without a log the branch itself.
fn places() -> Vec<PathBuf> {
    let path =
        |name: &str| git(&["rev-parse", "--git-path", name]).map(PathBuf::from).filter(|path| path.exists());
    let log = path("logs/HEAD");
    let branch = || git(&["symbolic-ref", "-q", "HEAD"]).and_then(|branch| path(&branch));
    let mut places = Vec::from_iter(path("HEAD"));
    match log {
        Some(log) => places.push(log),
        None => places.extend(branch().into_iter().chain(path("packed-refs"))),
    }
    places
}

/// What git says; `None` when there is no git, or this is no repository of it.
fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn digest(sources: &[PathBuf]) -> String {
    let mut hasher = DefaultHasher::new();
    sources.iter().for_each(|source| add(source, &mut hasher));
    format!("{:08x}", hasher.finish() as u32)
}

fn add(path: &Path, hasher: &mut DefaultHasher) {
    path.hash(hasher);
    let Ok(entries) = std::fs::read_dir(path) else {
        return std::fs::read(path).unwrap_or_default().hash(hasher);
    };
    let mut entries: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort_unstable();
    entries.iter().for_each(|entry| add(entry, hasher));
}
