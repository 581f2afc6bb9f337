//! The commands as programs: what they print, and how they end.

use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder of its own for what a command leaves behind.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("commands-{name}"));
    _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn simulator(folder: &PathBuf, line: &str) -> Output {
    let mut simulator = Command::new(env!("CARGO_BIN_EXE_postrider-sim"));
    simulator.current_dir(folder).args(line.split_whitespace()).output().expect("the simulator runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What stands at the end of the last line.
fn trace(output: &Output) -> String {
    let said = said(output);
    let last = said.lines().last().expect("a last line");
    last.rsplit_once(", trace ").unwrap_or_else(|| panic!("no hash: {last}")).1.to_owned()
}

/// A story that breaks a rule, without a bug: disks say that they have synced, and have not. Its seed, and what the swarm said.
fn broken(folder: &PathBuf) -> (u64, Output) {
    let output = simulator(folder, "swarm --seeds 40 --threads 1 --lying-disks");
    let said = said(&output);
    let seed = said.lines().find_map(|line| line.strip_prefix("seed ")?.split_once(" BROKEN: "));
    let (seed, _) = seed.unwrap_or_else(|| panic!("disks that lie lose mail: {said}"));
    (seed.parse().expect("a seed"), output)
}

#[test]
fn what_is_not_understood_is_told_and_nothing_runs() {
    let folder = folder("misused");
    for (line, words) in [
        ("swarm --sedes 5", "swarm has no option --sedes; did you mean --seeds?"),
        ("swram --seeds 5", "there is no command swram; did you mean swarm?"),
        ("swarm --seeds five", "--seeds wants a number, not five"),
        ("swarm --minutes", "--minutes wants a value"),
        ("swarm 5", "swarm: what is 5?"),
        ("run 5 --speken", "run has no option --speken; did you mean --spoken?"),
        ("scale many", "scale wants a number, not many"),
        ("rehearse --sedes 5 week.toml", "rehearse has no option --sedes; did you mean --seeds?"),
        ("rehearse week.toml", "usage: postrider-sim rehearse"),
        ("replay", "usage: postrider-sim run"),
        ("", "usage: postrider-sim run"),
    ] {
        let output = simulator(&folder, line);
        assert_eq!(output.status.code(), Some(64), "{line}");
        assert_eq!(said(&output), "", "{line}");
        let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(wrong.starts_with(words), "{line}: {wrong}");
    }
    let output = simulator(&folder, "replay nowhere.json");
    assert_eq!(output.status.code(), Some(2), "a file that is not there is no slip of the pen");
}

#[test]
fn a_swarm_that_breaks_no_rule_ends_with_0_and_leaves_nothing() {
    let folder = folder("whole");
    let output = simulator(&folder, "swarm --seeds 12 --from 300 --threads 2");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("12 stories, 0 broken, "), "{}", said(&output));
    assert_eq!(std::fs::read_dir(&folder).expect("it is there").count(), 0);
}

#[test]
fn a_swarm_that_breaks_a_rule_ends_with_1_and_leaves_plans_that_tell_the_same_and_shrink() {
    let folder = folder("broken");
    let (seed, output) = broken(&folder);
    assert_eq!(output.status.code(), Some(1));
    let (run, replay) = (
        simulator(&folder, &format!("run {seed} --lying-disks")),
        simulator(&folder, &format!("replay broken-{seed}.json")),
    );
    assert_eq!((run.status.code(), replay.status.code()), (Some(1), Some(1)));
    assert_eq!(trace(&run), trace(&replay), "a seed and its plan are one history");
    assert!(said(&replay).lines().count() > 1_000, "each event on a line");
    assert!(said(&replay).contains("\nBROKEN: "));
    let small = simulator(&folder, &format!("shrink broken-{seed}.json"));
    assert_eq!(small.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&small.stderr).contains("BROKEN: "));
    assert!(said(&small).lines().count() < 1_000, "it is smaller");
    std::fs::write(folder.join("small.json"), &small.stdout).expect("a file");
    let again = simulator(&folder, "run small.json");
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
}

#[test]
fn a_seed_its_plan_and_every_process_tell_one_history() {
    let folder = folder("one");
    let first = simulator(&folder, "run 42");
    assert_eq!(first.status.code(), Some(0));
    assert_eq!(trace(&first).len(), 16, "the hash comes last: {}", said(&first));
    let plan = simulator(&folder, "plan 42");
    std::fs::write(folder.join("plan.json"), &plan.stdout).expect("a file");
    for line in ["run 42", "run plan.json", "replay plan.json", "run --spoken 42"] {
        let again = simulator(&folder, line);
        assert_eq!((again.status.code(), trace(&again)), (Some(0), trace(&first)), "{line}");
    }
    assert_ne!(trace(&simulator(&folder, "run 43")), trace(&first));
    let nothing = simulator(&folder, "shrink 42");
    assert_eq!((nothing.status.code(), said(&nothing).trim()), (Some(0), "seed 42 breaks no rule"));
}

#[test]
fn a_panic_is_a_broken_rule_with_its_words() {
    let folder = folder("panic");
    let mut plan: serde_json::Value =
        serde_json::from_slice(&simulator(&folder, "plan 42").stdout).expect("a plan");
    // A host of this configuration can not be made, and the world panics.
    plan["scenario"]["hosts"][0]["main"] = serde_json::json!(["smtp_mx_address_limit = many"]);
    std::fs::write(folder.join("wrong.json"), plan.to_string()).expect("a file");
    let output = simulator(&folder, "run wrong.json");
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(said.contains("BROKEN: a panic in sim/src/story/mod.rs at line "), "{said}");
    assert!(said.contains("the scenario's configuration is wrong"), "{said}");
    assert_eq!(trace(&output), trace(&simulator(&folder, "run wrong.json")));
}
