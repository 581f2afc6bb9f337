//! `postrider-sim`: one seed, one history.
//!
//! `run` tells one story and prints how it ended; `swarm` tells many on all cores and stops for none that fails; `sweep` tells one calm
//! story again and again, and the first host ends at each of its spool operations or effects in turn; `replay` tells the story of
//! a plan; `explain` takes the decisions of a recording again; `shrink` leaves out of a story that fails what it can. The exit code is 1 when a rule was broken
//! or a recorded story can not be told again, and 64 when the command line is not understood.

mod allocator;
mod arguments;
#[cfg(feature = "planted")]
mod canary;
mod cost;
mod recorded;
mod rehearsal;
mod swarm;
mod sweep;
mod telling;

use arguments::{Arguments, Failure};
use postrider_sim::plan::Plan;
use postrider_sim::shrink::shrink;
use postrider_sim::story::Scenario;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Stories are made of small allocations.
#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

/// The exit code for a command line that is not understood: EX_USAGE.
const MISUSED: u8 = 64;

fn main() -> ExitCode {
    let line: Vec<String> = std::env::args().skip(1).collect();
    if let Some(usage) = Arguments::help(&line) {
        println!("{usage}");
        return ExitCode::SUCCESS;
    }
    match Arguments::read(&line).map_err(Failure::Misused).and_then(|arguments| obey(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Failure::Misused(why)) => {
            eprintln!("{why}");
            ExitCode::from(MISUSED)
        }
        Err(Failure::Failed(why)) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

/// Does what was asked for; false when a rule was broken.
fn obey(arguments: &Arguments) -> Result<bool, Failure> {
    #[cfg(feature = "planted")]
    if let Some(bug) = arguments.word("--plant").filter(|bug| !canary::plant_by_name(bug)) {
        return Err(canary::not_planted(bug));
    }
    Ok(match arguments.command {
        "run" => telling::run(&arguments.plan()?, arguments.file(), arguments.flag("--spoken")),
        "replay" => telling::run(&arguments.plan()?, arguments.file(), true),
        "plan" => {
            println!("{}", arguments.plan()?);
            true
        }
        "swarm" => swarm::many(&swarm::Size {
            from: arguments.number("--from").unwrap_or(0),
            seeds: arguments.some("--seeds", "told")?,
            minutes: arguments.some("--minutes", "told")?,
            threads: arguments.number("--threads"),
            wish: arguments.wish(),
        }),
        "explain" => recorded::explain(arguments)?,
        "check" => check(arguments)?,
        "sweep" => sweep::sweep(&arguments.sweep()?),
        "shrink" => smaller(arguments.plan()?, arguments.word("--plant")),
        "rehearse" => rehearsal::rehearse(arguments)?,
        "scale" => cost::scale(arguments.count(0)?.unwrap_or(1_000_000), arguments.nth(1)),
        bugs => plant(bugs, arguments)?,
    })
}

/// The commands about planted bugs.
#[cfg(feature = "planted")]
fn plant(command: &str, arguments: &Arguments) -> Result<bool, Failure> {
    let (from, plans) = (arguments.number("--from").unwrap_or(0), arguments.word("--plans"));
    Ok(match command {
        "canary" => canary::canary(&canary::chosen(arguments.nth(0))?, from, plans),
        _ => canary::caught(arguments.nth(0).unwrap_or(""), from, plans),
    })
}

#[cfg(not(feature = "planted"))]
fn plant(_: &str, _: &Arguments) -> Result<bool, Failure> {
    let how = "cargo run --release -p postrider-sim --features planted -- canary";
    Err(Failure::Failed(format!("this build has no bugs to plant: {how}")))
}

/// The model checks whose name begins with that of the second word, or all; each with its states and what was checked.
fn check(arguments: &Arguments) -> Result<bool, Failure> {
    let wanted = arguments.nth(0).unwrap_or("");
    let mut scopes = postrider_sim::check::scopes(2);
    let names: Vec<&'static str> = scopes.iter().map(|scope| scope.name).collect();
    scopes.retain(|scope| scope.name.starts_with(wanted));
    if scopes.is_empty() {
        return Err(no_scope(wanted, &names));
    }
    let (next, broken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let one = || {
        while let Some(scope) = scopes.get(next.fetch_add(1, Ordering::Relaxed)) {
            let checked = (scope.check)();
            broken.fetch_add(usize::from(!checked.faults.is_empty()), Ordering::Relaxed);
            println!("{checked}");
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(one);
        }
    });
    let broken = broken.into_inner();
    println!("{} scopes, {broken} broken", scopes.len());
    Ok(broken == 0)
}

/// The room of a scope, which is what stands before its colon, is a name as well.
fn no_scope(wanted: &str, names: &[&'static str]) -> Failure {
    let known = names.iter().flat_map(|name| [*name, name.split(':').next().unwrap_or_default()]);
    let usage = format!("scopes: {}", names.join("; "));
    Failure::Misused(arguments::unknown(&format!("there is no scope {wanted}"), wanted, known, &usage))
}

/// Where a bug is planted, what is left breaks a rule because of it.
fn smaller(mut plan: Plan, bug: Option<&str>) -> bool {
    plan.bug = bug.map(str::to_owned).or(plan.bug);
    #[cfg(feature = "planted")]
    let keeps = |smaller: &Scenario| bug.is_none_or(|bug| canary::holds_without(bug, smaller));
    #[cfg(not(feature = "planted"))]
    let keeps = |_: &Scenario| true;
    match shrink(&plan, |size| eprint!("\r{size} parts  "), keeps) {
        Some((plan, ending)) => {
            println!("{plan}");
            for violation in &ending.violations {
                eprintln!("BROKEN: {violation}");
            }
            false
        }
        None => {
            println!("seed {} breaks no rule", plan.seed);
            true
        }
    }
}
