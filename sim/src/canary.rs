//! `postrider-sim canary`: bugs are planted one at a time, and the oracle must notice each.
//!
//! A bug is chosen once for a process, so each has a process of its own: this program, with the name of the bug. Only in a build with the
//! feature `planted`.

use crate::arguments::{Failure, unknown};
use postrider_core::planted::{Bug, plant};
use postrider_sim::check::scopes;
use postrider_sim::plan::Plan;
use postrider_sim::shrink::shrink;
use postrider_sim::story::{Scenario, Wish, draw, tell};
use std::process::Command;
use std::time::Duration;

/// How long a bug may live, in time of one core.
const PATIENCE: Duration = Duration::from_secs(120);

/// Stories that it may live through where that time is not counted.
const SEEDS_MAX: u64 = 20_000;

/// One that stories found and that is mended may live longer, by so much: some are in one story of 30,000. Only who names it waits for it.
const LONGER: u32 = 10;

/// Bugs that model checks must find, and which.
const CHECKED: [(&str, &str); 15] = [
    ("AckBeforeSync", "spool: two messages"),
    ("NeverSynced", "spool: two messages"),
    ("IdsRepeat", "spool: two messages"),
    ("OneTooMany", "concurrency: feedback 1"),
    ("OneTooMany", "destination: window and rest"),
    ("DeadForever", "destination: window and rest"),
    ("PermitLeaked", "destination: window and rest"),
    ("PauseIgnored", "destination: a pause after each delivery"),
    ("TtlIgnored", "names: one server"),
    ("ServfailIsNxdomain", "names: one server"),
    ("AnyAnswer", "names: two servers"),
    ("TruncatedTaken", "names: two servers"),
    ("ClearAfterHandshake", "connections: kept, TLS or nothing"),
    ("KeptForAnyone", "connections: kept, in the clear"),
    ("KeptUnderOldPolicy", "connections: several kept, and a reload"),
];
/// Bugs that no story can bring out, because a driver does not do what shows them.
const CHECKED_ALONE: [&str; 1] = ["KeptForAnyone"];

/// A bug, its name and its words.
type Named = (Bug, &'static str, &'static str);

/// All bugs that were thought out, or the one of either sort that is named.
pub(crate) fn chosen(name: Option<&str>) -> Result<Vec<Named>, Failure> {
    match name {
        None => Ok(Bug::ALL.to_vec()),
        Some(name) => Bug::named(name).map(|bug| vec![bug]).ok_or_else(|| no_bug(name)),
    }
}

fn no_bug(name: &str) -> Failure {
    let known: Vec<&'static str> = Bug::ALL.iter().chain(Bug::FOUND).map(|(_, known, _)| *known).collect();
    let usage = format!("bugs: {}", known.join(", "));
    Failure::Misused(unknown(&format!("there is no bug {name}"), name, known.into_iter(), &usage))
}

/// Why a bug was not planted.
pub(crate) fn not_planted(name: &str) -> Failure {
    match Bug::named(name) {
        None => no_bug(name),
        Some(_) => Failure::Misused(format!("{name}: a process has one bug, and this one has one already")),
    }
}

/// Plants these bugs; true when each was caught. Stories are drawn from this seed on.
pub(crate) fn canary(chosen: &[Named], from: u64, plans: Option<&str>) -> bool {
    let program = std::env::current_exe().ok();
    let (mut caught, mut count) = (0, 0);
    for (_, name, words) in chosen {
        let mut options =
            vec!["caught".to_owned(), (*name).to_owned(), "--from".to_owned(), from.to_string()];
        options.extend(plans.into_iter().flat_map(|folder| ["--plans".to_owned(), folder.to_owned()]));
        let output = program.as_ref().and_then(|program| Command::new(program).args(options).output().ok());
        let said = output.as_ref().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let dead = output.is_some_and(|output| output.status.success());
        count += 1;
        caught += usize::from(dead);
        let verdict = if dead { "caught" } else { "SURVIVED" };
        println!("{verdict:8} {name:20} {words}");
        println!("         {}", said.unwrap_or_default().trim_end());
    }
    println!("{caught} of {count} caught");
    caught == count && count > 0
}

/// Plants a bug; false when there is no such bug, or one is planted already.
pub(crate) fn plant_by_name(name: &str) -> bool {
    Bug::named(name).is_some_and(|(bug, ..)| plant(bug))
}

/// Time that this process has had of cores, those that have ended of its threads included, as Linux counts it: others may be busy.
fn worked() -> Duration {
    /// Its clock ticks a hundred times a second, whatever the kernel's does.
    const TICK: Duration = Duration::from_millis(10);
    let counted = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may have spaces: the state, ten numbers, time in the program and time in the kernel.
    let fields = counted.rsplit(')').next().unwrap_or_default().split_whitespace().skip(12).take(2);
    TICK * fields.filter_map(|field| field.parse::<u32>().ok()).sum()
}

/// True unless a model check of this bug holds in spite of it.
fn fails_its_checks(name: &str) -> bool {
    CHECKED.iter().filter(|(bug, _)| *bug == name).all(|(_, scope)| fails(scope))
}

fn fails(scope: &str) -> bool {
    let Some(scope) = scopes(1).into_iter().find(|other| other.name.starts_with(scope)) else { return false };
    let checked = (scope.check)();
    for fault in &checked.faults {
        println!("{}: {} states, {:.1} s: {fault}", checked.name, checked.states, checked.seconds);
    }
    !checked.faults.is_empty()
}

/// Plants one bug and tells stories until a rule is broken; false when none is. The story is kept, as small as it gets, in this folder.
pub(crate) fn caught(name: &str, from: u64, plans: Option<&str>) -> bool {
    if !plant_by_name(name) {
        return false;
    }
    let began = worked();
    if !fails_its_checks(name) {
        println!("and its model check holds");
        return false;
    }
    if CHECKED_ALONE.contains(&name) {
        return worked().saturating_sub(began) < PATIENCE;
    }
    let longer = if Bug::FOUND.iter().any(|(_, other, _)| *other == name) { LONGER } else { 1 };
    let mut count = 0;
    while worked().saturating_sub(began) < PATIENCE * longer && count < SEEDS_MAX * u64::from(longer) {
        let seed = from + count;
        count += 1;
        let ending = tell(&draw(seed, Wish::default()), false);
        let Some(violation) = ending.violations.first() else { continue };
        let seconds = worked().saturating_sub(began).as_secs_f64();
        println!("after {count} seeds, {seconds:.1} s: {violation}");
        if let Some(folder) = plans {
            keep(name, seed, folder);
        }
        return true;
    }
    println!("{count} seeds, {:.0} s, and nobody noticed", worked().saturating_sub(began).as_secs_f64());
    false
}

/// Whether a story breaks no rule where the bug is not planted: without a line of configuration it may break one by itself. This process has the
/// bug, so another one tells it.
pub(crate) fn holds_without(name: &str, scenario: &Scenario) -> bool {
    // A folder of its own: one that fails leaves a plan.
    let folder = std::env::temp_dir().join(format!("postrider-canary-{name}-{}", std::process::id()));
    let path = folder.join("story.json");
    let text = serde_json::to_string(&Plan::of(scenario.seed, scenario.clone())).unwrap_or_default();
    let told = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&path, text))
        .and_then(|()| std::env::current_exe())
        .and_then(|program| Command::new(program).arg("run").arg(&path).current_dir(&folder).output());
    _ = std::fs::remove_dir_all(&folder);
    told.is_ok_and(|output| output.status.success())
}

/// Keeps the smallest story that shows a bug.
fn keep(name: &str, seed: u64, folder: &str) {
    let plan = Plan::of(seed, draw(seed, Wish::default()));
    let Some((mut plan, _)) = shrink(&plan, |_| {}, |smaller| holds_without(name, smaller)) else { return };
    let words = Bug::named(name).map_or("", |(.., words)| words);
    plan.about = format!("Breaks a rule where {words}.");
    plan.bug = Some(name.to_owned());
    // Each commit tells it, with the bug and without.
    plan.trace = None;
    let path = format!("{folder}/{name}.json");
    let text = serde_json::to_string(&plan).map_err(std::io::Error::other);
    if let Err(error) = text.and_then(|text| std::fs::write(&path, text + "\n")) {
        println!("{path}: {error}");
    }
}
