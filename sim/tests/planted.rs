//! The plans of planted bugs, and of those that stories found and that are mended: each breaks a rule with its bug, and none without.
//!
//! `postrider-sim canary --plans corpus/plans/planted` makes the first; `cargo test -p postrider-sim --features planted --test planted` shows both
//! halves of all. Without the feature those of mended bugs are told in stories.rs.

use postrider_sim::plan::Plan;
#[cfg(not(feature = "planted"))]
use postrider_sim::story::tell;
use std::path::PathBuf;

/// The plans of a folder, and where they are.
fn plans(folder: &str) -> Vec<(PathBuf, Plan)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let plan = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a plan");
        let plan = Plan::parse(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        (path, plan)
    };
    paths.into_iter().map(plan).collect()
}

#[cfg(not(feature = "planted"))]
#[test]
fn what_broke_a_rule_with_a_planted_bug_breaks_none_without_it() {
    let plans = plans("corpus/plans/planted");
    assert!(!plans.is_empty());
    for (path, plan) in plans {
        let ending = tell(&plan.scenario, false);
        assert_eq!(ending.violations, [], "{}: {}", path.display(), plan.about);
    }
}

#[cfg(feature = "planted")]
mod with_bugs {
    use super::plans;
    use postrider_core::planted::Bug;
    use postrider_sim::plan::Plan;
    use std::path::Path;

    /// What no story can bring out, because a driver does not do what shows it.
    const CHECKED_ALONE: [&str; 1] = ["KeptForAnyone"];

    /// Tells a plan in a process of its own; true when it breaks a rule.
    fn breaks(path: &Path, bug: Option<&str>) -> bool {
        let mut simulator = std::process::Command::new(env!("CARGO_BIN_EXE_postrider-sim"));
        simulator.current_dir(env!("CARGO_TARGET_TMPDIR"));
        let plant = bug.into_iter().flat_map(|bug| ["--plant", bug]);
        let output = simulator.arg("run").arg(path).args(plant).output().expect("it runs");
        let broken = String::from_utf8_lossy(&output.stdout).contains("BROKEN");
        let expected = Some(i32::from(broken));
        assert_eq!(output.status.code(), expected, "{}: {}", path.display(), output.status);
        broken
    }

    fn breaks_a_rule_with_its_bug_alone(path: &Path, plan: &Plan) {
        let name = path.display();
        let bug = plan.bug.as_deref().unwrap_or_else(|| panic!("{name} says which bug it is about"));
        assert!(breaks(path, Some(bug)), "{name} shows nothing any more: find a story anew, with {bug}");
        // Without a word about the bug the same program keeps to the rules.
        assert!(!breaks(path, None), "{name}: {}", plan.about);
    }

    #[test]
    fn each_planted_bug_has_a_plan_that_breaks_a_rule_with_it() {
        let plans = plans("corpus/plans/planted");
        let of =
            |name: &str| plans.iter().find(|(path, _)| path.file_stem().is_some_and(|stem| stem == name));
        let mut shown = 0;
        for (_, name, _) in Bug::ALL.iter().filter(|(_, name, _)| !CHECKED_ALONE.contains(name)) {
            let (path, plan) =
                of(name).unwrap_or_else(|| panic!("corpus/plans/planted has no plan of {name}"));
            assert_eq!(plan.bug.as_deref(), Some(*name), "{}", path.display());
            breaks_a_rule_with_its_bug_alone(path, plan);
            shown += 1;
        }
        assert_eq!(shown, plans.len(), "each plan is of a bug that there is");
    }

    #[test]
    fn what_stories_found_breaks_a_rule_when_it_is_not_mended() {
        let plans = plans("corpus/plans");
        for (path, plan) in &plans {
            let found = Bug::FOUND.iter().any(|(_, name, _)| plan.bug.as_deref() == Some(*name));
            assert!(found, "{} is of a bug that was found and mended: {:?}", path.display(), plan.bug);
            breaks_a_rule_with_its_bug_alone(path, plan);
        }
        for (_, name, _) in Bug::FOUND {
            assert!(plans.iter().any(|(_, plan)| plan.bug.as_deref() == Some(*name)), "{name} has a plan");
        }
    }
}
