//! `postrider-sim`: one seed, one history.
//!
//! `run SEED [--spoken] [--calm] [--unreadable] [--crash-at N]` tells one story and prints how it ended; `swarm --seeds N [--from S]` tells many and stops for
//! none that fails; `sweep SEED [--operations N]` tells one calm story again and again, and the first host loses power at each of its
//! spool operations in turn. The exit code is 1 when a rule was broken.

use postrider_sim::swarm::{Choices, Ending, tell};
use std::process::ExitCode;

const USAGE: &str = "usage: postrider-sim run SEED [--spoken] [--calm] [--unreadable] [--crash-at N]
       postrider-sim swarm --seeds N [--from S]
       postrider-sim sweep SEED [--operations N]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1)?.parse::<u64>().ok()
    };
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let seed = arguments.get(1).and_then(|text| text.parse::<u64>().ok());
    let broken = match (arguments.first().map(String::as_str), seed) {
        (Some("run"), Some(seed)) => {
            let choices = Choices {
                calm: flag("--calm"),
                crash_at: number("--crash-at"),
                spoken: flag("--spoken"),
                unreadable: flag("--unreadable"),
                ..Choices::of(seed)
            };
            println!("seed {seed}");
            let ending = tell(choices);
            println!("{ending}");
            show(choices, &ending)
        }
        (Some("swarm"), _) => {
            let from = number("--from").unwrap_or(0);
            let seeds = from..from.saturating_add(number("--seeds").unwrap_or(100));
            many(seeds.map(Choices::of))
        }
        (Some("sweep"), Some(seed)) => {
            let operations = number("--operations").unwrap_or(300);
            many((0..operations).map(|at| Choices { calm: true, crash_at: Some(at), ..Choices::of(seed) }))
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints what was broken; 1 if anything was.
fn show(choices: Choices, ending: &Ending) -> u64 {
    for violation in &ending.violations {
        println!("seed {} crash-at {:?}: {violation}", choices.seed, choices.crash_at);
    }
    u64::from(!ending.violations.is_empty())
}

fn many(stories: impl Iterator<Item = Choices>) -> u64 {
    let (mut count, mut broken, mut events, mut letters, mut duplicates, mut crashes) = (0, 0, 0, 0, 0, 0);
    for choices in stories {
        let ending = tell(choices);
        count += 1;
        events += ending.events;
        letters += ending.letters.1;
        duplicates += ending.duplicates;
        crashes += ending.crashes;
        broken += show(choices, &ending);
    }
    println!(
        "{count} stories, {broken} broken, {events} events, {letters} letters promised, {duplicates} duplicates, {crashes} crashes"
    );
    broken
}
