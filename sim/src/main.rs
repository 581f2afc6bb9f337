//! `postrider-sim`: one seed, one history.
//!
//! `run` tells one story and prints how it ended; `swarm` tells many on all cores and stops for none that fails; `sweep` tells one calm
//! story again and again, and the first host ends at each of its spool operations or effects in turn; `replay` tells the story of
//! a plan; `explain` takes the decisions of a recording again; `shrink` leaves out of a story that fails what it can. The exit code is 1 when a rule was broken.

mod allocator;
#[cfg(feature = "planted")]
mod canary;
mod cost;
mod recorded;
mod rehearsal;
mod swarm;

use postrider_sim::plan::Plan;
use postrider_sim::shrink::shrink;
use postrider_sim::story::{Wish, draw, tell};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

const USAGE: &str = "usage: postrider-sim run SEED [--spoken] [WISH...]
       postrider-sim swarm [--seeds N | --minutes M] [--from SEED] [--threads N] [WISH...]
       postrider-sim sweep SEED [--operations N | --effects N] [--power]
       postrider-sim plan SEED [WISH...]       prints the plan of a seed
       postrider-sim replay PLAN               tells the story of a plan, each event on a line
       postrider-sim shrink SEED|PLAN [WISH...] prints the smallest plan that fails as this one does
       postrider-sim explain RECORDING [--id QUEUEID] [--session N]   why a daemon decided so
       postrider-sim check [SCOPE] [--plant BUG] model checks, exhaustive in small scopes
       postrider-sim canary [BUG] [--plans DIR] plants bugs, one at a time; keeps a plan that shows each
       in a build with the feature planted, --plant BUG goes with each of these
       postrider-sim scale [MESSAGES [FILE.svg]]
       postrider-sim rehearse -c CONFIG_DIR [OPTION...] SCENARIO.toml
wishes: --calm          nothing goes wrong but what is asked for
        --crash-at N    the first host loses power at its Nth spool operation
        --lying-disks   disks say that they have synced, and have not";

/// Stories are made of small allocations.
#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

/// What stands on the command line.
struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    fn number(&self, name: &str) -> Option<u64> {
        let place = self.0.iter().position(|argument| argument == name)?;
        self.0.get(place + 1)?.parse().ok()
    }

    fn word(&self, name: &str) -> Option<&str> {
        let place = self.0.iter().position(|argument| argument == name)?;
        self.0.get(place + 1).map(String::as_str)
    }

    /// The second word, if it is no option.
    fn second(&self) -> Option<&str> {
        self.0.get(1).map(String::as_str).filter(|word| !word.starts_with("--"))
    }

    fn wish(&self) -> Wish {
        Wish {
            calm: self.flag("--calm"),
            crash_at: self.number("--crash-at"),
            crash_behind: None,
            lying_disks: self.flag("--lying-disks"),
        }
    }

    /// The plan that the second word names: a seed, or a file.
    fn plan(&self) -> Result<Plan, String> {
        let word = self.0.get(1).ok_or(USAGE)?;
        match word.parse() {
            Ok(seed) => Ok(Plan::of(seed, draw(seed, self.wish()))),
            Err(_) => {
                let text = std::fs::read_to_string(word).map_err(|error| format!("{word}: {error}"))?;
                Plan::parse(&text).map_err(|error| format!("{word}: {error}"))
            }
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments(std::env::args().skip(1).collect());
    #[cfg(feature = "planted")]
    if let Some(bug) = arguments.word("--plant").filter(|bug| !canary::plant_by_name(bug)) {
        eprintln!("there is no bug {bug}");
        return ExitCode::from(2);
    }
    let done = match arguments.0.first().map(String::as_str) {
        Some("run") => arguments.plan().map(|plan| run(&plan, arguments.flag("--spoken"))),
        Some("replay") => arguments.plan().map(|plan| run(&plan, true)),
        Some("plan") => arguments.plan().map(|plan| {
            println!("{plan}");
            true
        }),
        Some("swarm") => Ok(swarm::many(&swarm::Size {
            from: arguments.number("--from").unwrap_or(0),
            seeds: arguments.number("--seeds"),
            minutes: arguments.number("--minutes"),
            threads: arguments.number("--threads"),
            wish: arguments.wish(),
        })),
        Some("explain") => recorded::explain(&arguments),
        Some("check") => Ok(check(&arguments)),
        Some("sweep") => arguments.plan().map(|plan| sweep(&arguments, plan.seed)),
        Some("shrink") => arguments.plan().map(|plan| smaller(&plan)),
        Some("rehearse") => rehearsal::rehearse(arguments.0.get(1..).unwrap_or_default()),
        Some("scale") => {
            let most = arguments.0.get(1).and_then(|word| word.parse().ok());
            Ok(cost::scale(most.unwrap_or(1_000_000), arguments.0.get(2)))
        }
        #[cfg(feature = "planted")]
        Some("canary") => Ok(canary::canary(arguments.second(), arguments.word("--plans"))),
        #[cfg(feature = "planted")]
        Some("caught") => Ok(canary::caught(arguments.second().unwrap_or(""), arguments.word("--plans"))),
        #[cfg(not(feature = "planted"))]
        Some("canary") => Err("this build has no bugs to plant: cargo run --release -p postrider-sim --features planted -- canary".to_owned()),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

/// Tells one story. The last line ends in the hash of the trace.
fn run(plan: &Plan, spoken: bool) -> bool {
    println!("seed {} of commit {}", plan.seed, plan.commit);
    let ending = tell(&plan.scenario, spoken);
    for violation in &ending.violations {
        println!("BROKEN: {violation}");
    }
    println!("{ending}");
    ending.violations.is_empty()
}

/// One calm story, and its first host ends at every operation of its disk, or right behind every effect.
fn sweep(arguments: &Arguments, seed: u64) -> bool {
    let effects = arguments.number("--effects");
    let count = effects.or(arguments.number("--operations")).unwrap_or(300);
    let (mut broken, mut crashes) = (0, 0);
    for at in 0..count {
        let wish = match effects {
            Some(_) => Wish { crash_behind: Some((at, arguments.flag("--power"))), ..Wish::default() },
            None => Wish { crash_at: Some(at), ..Wish::default() },
        };
        let ending = tell(&draw(seed, Wish { calm: true, ..wish }), false);
        crashes += ending.crashes;
        broken += usize::from(!ending.violations.is_empty());
        for violation in &ending.violations {
            println!("at {at}: {violation}");
        }
    }
    println!("{count} stories, {broken} broken, {crashes} crashes");
    broken == 0
}

/// The model checks whose name begins with that of the second word, or all; each with its states.
fn check(arguments: &Arguments) -> bool {
    let wanted = arguments.second().unwrap_or("");
    let scopes: Vec<_> =
        postrider_sim::check::scopes(2).into_iter().filter(|scope| scope.name.starts_with(wanted)).collect();
    let (next, broken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let one = || {
        while let Some(scope) = scopes.get(next.fetch_add(1, Ordering::Relaxed)) {
            let checked = (scope.check)();
            broken.fetch_add(usize::from(!checked.faults.is_empty()), Ordering::Relaxed);
            let faults = checked.faults.iter().map(|fault| format!("\n  {fault}")).collect::<String>();
            println!("{:60} {:>9} states {:>7.1} s{faults}", checked.name, checked.states, checked.seconds);
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(one);
        }
    });
    let broken = broken.into_inner();
    println!("{} scopes, {broken} broken", scopes.len());
    broken == 0 && !scopes.is_empty()
}

fn smaller(plan: &Plan) -> bool {
    match shrink(plan, |size| eprint!("\r{size} parts  "), |_| true) {
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
