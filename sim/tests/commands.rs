//! The commands as programs: what they print, and how they end.

use postrider_sim::plan::{Plan, built};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

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

/// The hash in the last line.
fn trace(output: &Output) -> String {
    let said = said(output);
    let last = said.lines().last().expect("a last line");
    last.strip_prefix("trace ").unwrap_or_else(|| panic!("no hash: {last}")).to_owned()
}

/// A story that breaks a rule, without a bug: disks say that they have synced, and have not. Its seed, and what the swarm said.
fn broken(folder: &PathBuf) -> (u64, Output) {
    let output = simulator(folder, "swarm --seeds 40 --threads 1 --lying-disks");
    let said = said(&output);
    let line = said.lines().find(|line| line.contains(" BROKEN: "));
    let line = line.unwrap_or_else(|| panic!("disks that lie lose mail: {said}"));
    let (seed, rest) = line.strip_prefix("seed ").and_then(|rest| rest.split_once(' ')).expect("a seed");
    assert!(rest.starts_with(&format!("of commit {} BROKEN: ", built())), "{line}");
    assert!(said.contains(&format!("\n  plan: broken-{seed}.json\n")), "{said}");
    (seed.parse().expect("a seed"), output)
}

/// A plan with a letter to a server that is there, and a line of the host's configuration.
fn plan_with(folder: &PathBuf, name: &str, change: impl Fn(&mut serde_json::Value)) {
    let plan = simulator(folder, "plan 42 --calm").stdout;
    let mut plan: serde_json::Value = serde_json::from_slice(&plan).expect("a plan");
    change(&mut plan);
    std::fs::write(folder.join(name), plan.to_string()).expect("a file");
}

/// A command line ends with 64, says these words first, and nothing else runs.
fn misused(folder: &PathBuf, line: &str, words: &str) {
    let output = simulator(folder, line);
    assert_eq!(output.status.code(), Some(64), "{line}");
    assert_eq!(said(&output), "", "{line}");
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(wrong.starts_with(words), "{line}: {wrong}");
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
        (
            "run nowhere.json --calm",
            "--calm is for a story that is drawn from a seed; nowhere.json is a plan",
        ),
        ("replay nowhere.json --crash-at 3", "--crash-at is for a story that is drawn from a seed"),
        ("shrink nowhere.json --lying-disks", "--lying-disks is for a story that is drawn from a seed"),
        ("sweep 7 operations --power", "--power goes with effects"),
        ("sweep 7 --effects", "sweep has no option --effects"),
        ("sweep 7 letters", "there is no sweep of letters"),
        ("scale many", "scale wants a number, not many"),
        ("swarm --seeds 0", "--seeds 0: nothing would be told"),
        ("swarm --minutes 0", "--minutes 0: nothing would be told"),
        ("rehearse -c nowhere --seeds 0 week.toml", "--seeds 0: nothing would be played"),
        ("check spol", "there is no scope spol; did you mean spool?"),
        ("check nosuchscope", "there is no scope nosuchscope\nscopes: "),
        ("rehearse --sedes 5 week.toml", "rehearse has no option --sedes; did you mean --seeds?"),
        ("rehearse week.toml", "usage: postrider-sim rehearse"),
        ("replay", "usage: postrider-sim run"),
        ("", "usage: postrider-sim run"),
    ] {
        misused(&folder, line, words);
    }
    let output = simulator(&folder, "replay nowhere.json");
    assert_eq!(output.status.code(), Some(2), "a file that is not there is no slip of the pen");
}

#[cfg(feature = "planted")]
#[test]
fn a_bug_that_is_not_known_is_told_with_the_nearest_that_is() {
    let folder = folder("bugs");
    for (line, words) in [
        ("canary AckBeforSync", "there is no bug AckBeforSync; did you mean AckBeforeSync?"),
        ("canary NoSuchBug", "there is no bug NoSuchBug\nbugs: "),
        ("run 42 --plant AckBeforSync", "there is no bug AckBeforSync; did you mean AckBeforeSync?"),
    ] {
        misused(&folder, line, words);
    }
}

#[test]
fn who_asks_for_help_gets_the_usage_and_0() {
    let folder = folder("help");
    for line in ["--help", "-h", "help", "swarm --help"] {
        let output = simulator(&folder, line);
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert!(said(&output).starts_with("usage: postrider-sim run"), "{line}");
    }
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
    assert!(said(&run).contains(&format!("\nplan: broken-{seed}.json\n")), "{}", said(&run));
    assert!(said(&replay).contains("\nthe trace is as recorded\n"), "it comes from this commit");
    let small = simulator(&folder, &format!("shrink broken-{seed}.json"));
    assert_eq!(small.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&small.stderr).contains("BROKEN: "));
    assert!(said(&small).lines().count() < 1_000, "it is smaller");
    std::fs::write(folder.join("small.json"), &small.stdout).expect("a file");
    let again = simulator(&folder, "run small.json");
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    assert!(said(&again).contains("\nthe trace is as recorded\n"), "{}", said(&again));
    assert!(said(&again).contains("\nplan: small.json\n"), "the larger one stays: {}", said(&again));
}

#[test]
fn a_plan_that_can_not_be_told_again_is_no_success_and_one_of_another_commit_is_said_to_be() {
    let folder = folder("differs");
    let plain = simulator(&folder, "run 42 --calm");
    assert_eq!(plain.status.code(), Some(0));
    for (commit, hash, status, words) in [
        (built(), trace(&plain), 0, "the trace is as recorded".to_owned()),
        (built(), "0123456789abcdef".to_owned(), 1, "NOT REPRODUCED: the trace differs".to_owned()),
        (
            "0123456789ab".to_owned(),
            "0123456789abcdef".to_owned(),
            0,
            format!("that is of commit 0123456789ab, this is {}", built()),
        ),
    ] {
        plan_with(&folder, "told.json", |plan| {
            plan["commit"] = commit.clone().into();
            plan["trace"] = hash.clone().into();
        });
        for command in ["run", "replay"] {
            let output = simulator(&folder, &format!("{command} told.json"));
            assert_eq!(output.status.code(), Some(status), "{command} {commit} {hash}");
            let said = said(&output);
            let line = said.lines().rev().nth(1).expect("a line before the last");
            assert!(line.contains(&words), "{line}");
        }
    }
}

/// Whoever commits and builds again must not be told the commit of before.
#[test]
fn the_commit_that_is_printed_is_the_one_that_is_checked_out() {
    let words = ["describe", "--always", "--abbrev=12"];
    let asked = Command::new("git").args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let commit = match asked {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    };
    let rest = built().strip_prefix(&commit).map(str::to_owned);
    let rest = rest.unwrap_or_else(|| panic!("{} is checked out, and the build says {}", commit, built()));
    assert!(rest.is_empty() || rest.starts_with('-'), "{}", built());
}

#[test]
fn a_story_ends_with_its_faults_its_letters_and_its_hash() {
    let folder = folder("told");
    let output = simulator(&folder, "run 42");
    let said = said(&output);
    let plan = Plan::parse(&String::from_utf8_lossy(&simulator(&folder, "plan 42").stdout)).expect("a plan");
    let letters = said.lines().filter(|line| line.starts_with("letter ")).count();
    assert_eq!(letters, plan.scenario.letters(), "a line for each: {said}");
    assert!(said.contains(", promised: ") && said.contains(" delivered"), "{said}");
    assert!(
        said.contains("  a client hangs up in the middle\n") && !said.contains("           0  "),
        "{said}"
    );
    let mut last = said.lines().rev();
    assert!(last.next().is_some_and(|line| line.len() == "trace ".len() + 16), "{said}");
    assert!(last.next().is_some_and(|line| line.contains(" letters, ")), "{said}");
}

#[test]
fn a_story_that_does_not_settle_says_what_the_first_message_waits_for() {
    let folder = folder("waits");
    // Longer than a story is given to settle.
    let patience =
        ["minimal_backoff_time = 20d", "maximal_backoff_time = 30d", "maximal_queue_lifetime = 60d"];
    plan_with(&folder, "patient.json", |plan| {
        let scenario = &mut plan["scenario"];
        let hosts = scenario["hosts"].as_array_mut().expect("hosts");
        for host in hosts {
            let main = host["main"].as_array_mut().expect("lines");
            main.extend(patience.map(Into::into));
        }
        scenario["flush"] = false.into();
        let letters = scenario["clients"][0]["letters"].as_array_mut().expect("letters");
        letters[0]["recipients"] = serde_json::json!(["full-one@d0.sim"]);
    });
    let output = simulator(&folder, "run patient.json");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let said = said(&output);
    let line = said.lines().find(|line| line.starts_with("BROKEN: not settled: machine ")).expect(&said);
    assert!(line.contains(": messages in the queue: ") && line.contains("; the first, "), "{line}");
    assert!(line.contains(" for full-") && line.contains("@d"), "{line}");
    assert!(line.contains(", is put off, due in ") && line.contains("; last: "), "{line}");
    assert!(said.contains(" waits on machine "), "the letter says so too: {said}");
}

#[test]
fn a_sweep_ends_where_nothing_is_left_to_try() {
    let folder = folder("sweep");
    let all = said(&simulator(&folder, "sweep 7 operations --letters 1"));
    let count = all.split_once(": all ").and_then(|(_, rest)| rest.split_once(',')).expect(&all).0;
    let count: u64 = count.parse().expect("a number");
    assert!(count > 15, "{all}");
    assert!(all.starts_with("seed 7, first host, operations of its disk, power lost in each: all "), "{all}");
    let first = said(&simulator(&folder, "sweep 7 --count 3 --letters 1"));
    assert!(first.ends_with(": the first 3, 0 broken\n"), "{first}");
    std::fs::write(folder.join("plan.json"), simulator(&folder, "plan 7 --calm").stdout).expect("a file");
    let again = said(&simulator(&folder, "sweep plan.json --letters 1"));
    assert_eq!(again, all, "a plan is swept as its seed is");
}

#[test]
fn a_sweep_that_breaks_a_rule_leaves_plans() {
    let folder = folder("sweep-broken");
    plan_with(&folder, "lying.json", |plan| plan["scenario"]["lying_disks"] = true.into());
    let output = simulator(&folder, "sweep lying.json --letters 6");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let said = said(&output);
    let name = said.lines().find_map(|line| line.split_once(": plan: ")).expect(&said).1;
    let again = simulator(&folder, &format!("run {name}"));
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stdout).contains("\nthe trace is as recorded\n"));
}

#[test]
fn a_swarm_that_is_interrupted_says_what_it_covered() {
    let folder = folder("interrupted");
    let mut swarm = Command::new(env!("CARGO_BIN_EXE_postrider-sim"))
        .args(["swarm", "--seeds", "1000000", "--threads", "1", "--from", "300", "--calm"])
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the simulator runs");
    let mut progress = BufReader::new(swarm.stderr.take().expect("it was piped"));
    let mut line = String::new();
    progress.read_line(&mut line).expect("a line of progress");
    assert!(line.starts_with("1 stories, 0 broken, "), "{line}");
    let kill = Command::new("kill").args(["-INT", &swarm.id().to_string()]).status().expect("kill runs");
    assert!(kill.success());
    let mut told = String::new();
    swarm.stdout.take().expect("it was piped").read_to_string(&mut told).expect("text");
    assert_eq!(swarm.wait().expect("it ends").code(), Some(0), "{told}");
    let stories = told.lines().find_map(|line| line.split_once(" stories, 0 broken, ")).expect(&told).0;
    let stories: u64 = stories.parse().expect("a number");
    assert!((1..1_000_000).contains(&stories), "{told}");
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
fn a_spoken_story_can_be_read() {
    let folder = folder("spoken");
    for seed in [42, 8] {
        let output = simulator(&folder, &format!("run {seed} --spoken"));
        let said = said(&output);
        for line in said.lines() {
            assert!(line.chars().count() <= 500, "{line}");
        }
        let plan = simulator(&folder, &format!("plan {seed}"));
        let plan = Plan::parse(&String::from_utf8_lossy(&plan.stdout)).expect("a plan");
        assert!(said.contains(&format!("\n{}      0.000000 ", plan.scenario.legend())), "who is who: {said}");
        // What did harm is counted at the end, and told when it does.
        let table = said.lines().skip_while(|line| !line.starts_with("           "));
        let fired: Vec<&str> = table
            .filter_map(|line| line.trim_start().split_once("  "))
            .filter(|(count, _)| count.parse::<u64>().is_ok())
            .map(|(_, class)| class)
            .collect();
        assert!(fired.len() > 5, "{said}");
        for class in fired {
            assert!(said.contains(&format!(" fault: {class}\n")), "{seed}: {class}");
        }
        assert!(said.contains(" octets, CRC-32 ") && said.contains(" MX: NoError, "), "{said}");
    }
}

#[test]
fn a_plan_that_is_told_again_says_what_it_is_about() {
    let folder = folder("about");
    plan_with(&folder, "about.json", |plan| {
        plan["about"] = "A letter was lost.".into();
        plan["bug"] = "AckBeforeSync".into();
    });
    let said = said(&simulator(&folder, "replay about.json"));
    let mut lines = said.lines().skip(1);
    assert_eq!(lines.next(), Some("about: A letter was lost."));
    let bug = "bug: AckBeforeSync, which is not planted here: this is the story without it";
    assert_eq!(lines.next(), Some(bug));
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
