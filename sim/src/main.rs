//! `postrider-sim`: one seed, one history.
//!
//! `run` tells one story and prints how it ended; `swarm` tells many and stops for none that fails; `sweep` tells one calm
//! story again and again, and the first host loses power at each of its spool operations in turn; `shrink` leaves troubles
//! out of a story that fails until it takes all that are left. The exit code is 1 when a rule was broken.

use postrider_sim::scale::plot::{self, Line};
use postrider_sim::scale::{self, Work};
use postrider_sim::shrink::shrink;
use postrider_sim::swarm::{Choices, Ending, tell};
use std::process::ExitCode;

const USAGE: &str = "usage: postrider-sim run SEED [CHOICE...]
       postrider-sim swarm [--seeds N] [--from SEED] [CHOICE...]
       postrider-sim sweep SEED [--operations N] [CHOICE...]
       postrider-sim shrink SEED [CHOICE...]
       postrider-sim scale [MESSAGES [FILE.svg]]
choices: --spoken        print each event
         --calm          nothing goes wrong but what is asked for
         --crash-at N    the first host loses power at its Nth spool operation
         --unreadable    disks may fail to read, too
         --lying-disks   disks say that they have synced, and have not";

struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    fn number(&self, name: &str) -> Option<u64> {
        let place = self.0.iter().position(|argument| argument == name)?;
        self.0.get(place + 1)?.parse().ok()
    }

    fn choices(&self, seed: u64) -> Choices {
        Choices {
            calm: self.flag("--calm"),
            crash_at: self.number("--crash-at"),
            unreadable: self.flag("--unreadable"),
            lying_disks: self.flag("--lying-disks"),
            spoken: self.flag("--spoken"),
            ..Choices::of(seed)
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments(std::env::args().skip(1).collect());
    let seed = arguments.0.get(1).and_then(|text| text.parse::<u64>().ok());
    let broken = match (arguments.0.first().map(String::as_str), seed) {
        (Some("run"), Some(seed)) => run(&arguments.choices(seed)),
        (Some("swarm"), _) => {
            let from = arguments.number("--from").unwrap_or(0);
            let seeds = from..from.saturating_add(arguments.number("--seeds").unwrap_or(100));
            many(seeds.map(|seed| arguments.choices(seed)))
        }
        (Some("sweep"), Some(seed)) => {
            let operations = 0..arguments.number("--operations").unwrap_or(300);
            let choices = Choices { calm: true, ..arguments.choices(seed) };
            many(operations.map(|at| Choices { crash_at: Some(at), ..choices.clone() }))
        }
        (Some("shrink"), Some(seed)) => match shrink(&arguments.choices(seed)) {
            Some((choices, ending)) => show(&choices, &ending),
            None => {
                println!("seed {seed} breaks no rule");
                0
            }
        },
        (Some("scale"), most) => {
            scale(most.unwrap_or(1_000_000), arguments.0.get(2));
            0
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What one of a thousand, ten thousand … messages costs: a table, and a plot if there is a file for it.
fn scale(most: u64, file: Option<&String>) {
    type Cost = (&'static str, fn(&Work) -> u64);
    const COSTS: [Cost; 4] = [
        ("scheduler steps", |work| work.steps),
        ("facts to the manager", |work| work.facts),
        ("disk operations", |work| work.operations),
        ("octets read", |work| work.octets_read),
    ];
    let mut lines: Vec<Line> =
        COSTS.iter().map(|(name, _)| Line { name: (*name).to_owned(), points: Vec::new() }).collect();
    let mut time = Line { name: "microseconds".to_owned(), points: Vec::new() };
    println!(
        "| messages | destinations | deepest | active | walked | loads | attempts | steps | facts | operations | octets read | µs |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut messages = 1_000;
    while messages <= most {
        let destinations = (messages / 20).min(50_000);
        let begin = std::time::Instant::now();
        let work = scale::measure(messages, destinations);
        let each = |total: u64| total as f64 / messages as f64;
        let micros = begin.elapsed().as_secs_f64() * 1e6 / messages as f64;
        println!(
            "| {messages} | {destinations} | {} | {} | {} | {:.2} | {:.2} | {:.1} | {:.1} | {:.2} | {:.0} | {micros:.1} |",
            work.deepest,
            work.active,
            work.walked,
            each(work.loads),
            each(work.attempts),
            each(work.steps),
            each(work.facts),
            each(work.operations),
            each(work.octets_read)
        );
        for (line, (_, cost)) in lines.iter_mut().zip(COSTS) {
            line.points.push((messages, each(cost(&work))));
        }
        time.points.push((messages, micros));
        messages *= 10;
    }
    lines.push(time);
    if let Some(file) = file {
        let title = "Cost of one message over the messages in the queue, relative to the first";
        std::fs::write(file, plot::draw(title, &lines)).expect("the plot can be written");
    }
}

fn run(choices: &Choices) -> u64 {
    println!("seed {}", choices.seed);
    let ending = tell(choices);
    println!("{ending}");
    show(choices, &ending)
}

/// Prints what was broken, and what it took; 1 if anything was.
fn show(choices: &Choices, ending: &Ending) -> u64 {
    if ending.violations.is_empty() {
        return 0;
    }
    println!("seed {} BROKEN: {ending}", choices.seed);
    for violation in &ending.violations {
        println!("  {violation}");
    }
    for (_, trouble) in ending.plan.iter().enumerate().filter(|(number, _)| !choices.spared.contains(number))
    {
        println!("  {trouble}");
    }
    1
}

fn many(stories: impl Iterator<Item = Choices>) -> u64 {
    let (mut count, mut broken, mut events, mut letters, mut duplicates, mut crashes) = (0, 0, 0, 0, 0, 0);
    for choices in stories {
        let ending = tell(&choices);
        count += 1;
        events += ending.events;
        letters += ending.letters.1;
        duplicates += ending.duplicates;
        crashes += ending.crashes;
        broken += show(&choices, &ending);
    }
    println!(
        "{count} stories, {broken} broken, {events} events, {letters} letters promised, {duplicates} duplicates, {crashes} crashes"
    );
    broken
}
