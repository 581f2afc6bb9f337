//! `postrider-sim run` and `replay`: one story, what became of its letters, and whether it is the one that was recorded.
//!
//! What fails leaves a plan, so that it can be told again when nothing else is drawn from its seed any more.

use postrider_sim::plan::{Plan, Replay};
use postrider_sim::story::{Ending, Scenario, tell_all};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

/// Tells one story; true when it breaks no rule and is the one that was recorded. The last line is the hash of the trace. `file` is where the plan
/// comes from, if it is a file.
pub(crate) fn run(plan: &Plan, file: Option<&str>, spoken: bool) -> bool {
    let mut head = format!("seed {} of commit {}\n{}", plan.seed, plan.commit, plan.preface());
    if spoken {
        head += &plan.scenario.legend();
    }
    _ = std::io::stdout().write_all(head.as_bytes());
    let (ending, ledger) = tell_all(&plan.scenario, spoken);
    let mut text = ending.fired.happened();
    ledger.accounts().for_each(|account| text += &format!("{account}\n"));
    ending.violations.iter().for_each(|violation| text += &format!("BROKEN: {violation}\n"));
    let holds = ending.violations.is_empty();
    if !holds {
        let name = format!("broken-{}.json", plan.seed);
        text += &format!("plan: {}\n", keep(&name, &plan.clone().told(&ending), file));
    }
    text += &format!("{ending}\n");
    let replay = plan.compare(&ending);
    text += &plan.in_words(replay).map_or_else(String::new, |words| words + "\n");
    text += &format!("trace {:016x}\n", ending.trace);
    // Who reads only the first lines closes the pipe: the rest is then told to nobody.
    _ = std::io::stdout().write_all(text.as_bytes());
    holds && replay != Replay::Broken
}

/// Writes a plan of a story that was told from a seed; says where it is, or why not.
pub(crate) fn keep_of_seed(name: &str, seed: u64, scenario: Scenario, ending: &Ending) -> String {
    keep(name, &Plan::of(seed, scenario).told(ending), None)
}

/// A plan that came from a file is there already: nothing is written over for it, since what lies there may be what it was shrunk from.
fn keep(name: &str, plan: &Plan, file: Option<&str>) -> String {
    let mut options = OpenOptions::new();
    let options =
        options.write(true).create_new(file.is_some()).create(file.is_none()).truncate(file.is_none());
    match (options.open(name).and_then(|mut place| writeln!(place, "{plan}")), file) {
        (Ok(()), _) => name.to_owned(),
        (Err(error), Some(file)) if error.kind() == ErrorKind::AlreadyExists => file.to_owned(),
        (Err(error), _) => format!("{name} can not be written: {error}"),
    }
}
