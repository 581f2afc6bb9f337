//! The plans of planted bugs: each breaks a rule with its bug, and none without.
//!
//! `postrider-sim canary --plans corpus/plans/planted` makes them; `cargo test -p postrider-sim --features planted --test planted` shows both halves.

#[cfg(not(feature = "planted"))]
use postrider_sim::{plan::Plan, story::tell};
use std::path::PathBuf;

/// Each bug by name, and its plan.
fn plans() -> Vec<(String, PathBuf)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus/plans/planted");
    let entries = std::fs::read_dir(folder).expect("corpus/plans/planted");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let name = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    paths.into_iter().map(|path| (name(&path), path)).collect()
}

#[cfg(not(feature = "planted"))]
#[test]
fn what_broke_a_rule_with_a_planted_bug_breaks_none_without_it() {
    let plans = plans();
    assert!(plans.len() >= 20, "{} plans", plans.len());
    for (name, path) in plans {
        let text = std::fs::read_to_string(&path).expect("a plan");
        let plan = Plan::parse(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
        let ending = tell(&plan.scenario, false);
        assert_eq!(ending.violations, [], "{name}: {}", plan.about);
    }
}

#[cfg(feature = "planted")]
#[test]
fn with_its_bug_each_breaks_a_rule() {
    for (name, path) in plans() {
        let mut simulator = std::process::Command::new(env!("CARGO_BIN_EXE_postrider-sim"));
        simulator.current_dir(env!("CARGO_TARGET_TMPDIR"));
        let output = simulator.arg("run").arg(&path).args(["--plant", &name]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("BROKEN"), "{name}");
        // Without a word about the bug the same program keeps to the rules.
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_postrider-sim")).arg("run").arg(&path).output();
        assert!(output.expect("it runs").status.success(), "{name}");
    }
}
