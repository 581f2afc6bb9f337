//! `postrider-sim scale`: what a message costs while many others wait.
//!
//! Two tables. In the first each size is a model of the largest: the active queue holds a fiftieth of all messages, as Postfix's default
//! does of a million, so that every size asks for the same kinds of work; the first size is the yardstick of the others. In
//! the second the active queue has its default: what fits into it is never loaded from the log, so small queues are cheaper.

use postrider_sim::scale::plot::{self, Line};
use postrider_sim::scale::{self, Work};

/// Messages for each place in the active queue, in the first table; `qmgr_message_active_limit` is 20,000.
const PROPORTION: u64 = 50;
/// What a message may cost in a longer queue, beside what it costs in the shortest.
const GROWTH: f64 = 1.25;
/// What its time may be beside that: memory that is touched is cold in a long queue. A walk over the queue would cost a thousand times as much.
const SLOWER: f64 = 4.0;
/// A size is measured again until so many messages have gone through, or so often: of the small ones one is over before the clock has moved.
const ENOUGH: u64 = 200_000;
const ROUNDS: u64 = 50;

type Cost = (&'static str, fn(&Work) -> u64);

/// What is counted, and must not grow. Loads and attempts depend on how long mail takes, and are in the others.
const COSTS: [Cost; 4] = [
    ("scheduler steps", |work| work.steps),
    ("facts to the manager", |work| work.facts),
    ("disk operations", |work| work.operations),
    ("octets read", |work| work.octets_read),
];

/// One row of a table.
struct Row {
    messages: u64,
    work: Work,
    /// Of one core, for one message.
    micros: f64,
}

impl Row {
    fn each(&self, total: u64) -> f64 {
        total as f64 / self.messages as f64
    }
}

/// Nanoseconds of a core that this thread has had: with other work on the machine, time says little.
fn core_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn measure(messages: u64, active_limit: u64) -> Row {
    let active_limit = usize::try_from(active_limit).unwrap_or(usize::MAX);
    let destinations = (messages / 20).min(50_000);
    let rounds = (ENOUGH / messages).clamp(1, ROUNDS);
    let begin = core_nanos();
    let mut work = scale::measure(messages, destinations, active_limit);
    for _ in 1..rounds {
        work = scale::measure(messages, destinations, active_limit);
    }
    let micros = (core_nanos() - begin) as f64 / 1e3 / (messages * rounds) as f64;
    println!(
        "| {messages} | {destinations} | {} | {} | {} | {:.2} | {:.2} | {:.1} | {:.1} | {:.2} | {:.0} | {micros:.1} |",
        work.deepest,
        work.active,
        work.walked,
        work.loads as f64 / messages as f64,
        work.attempts as f64 / messages as f64,
        work.steps as f64 / messages as f64,
        work.facts as f64 / messages as f64,
        work.operations as f64 / messages as f64,
        work.octets_read as f64 / messages as f64
    );
    Row { messages, work, micros }
}

/// A thousand messages, ten thousand … at most `most`.
fn table(most: u64, active_limit: impl Fn(u64) -> u64) -> Vec<Row> {
    println!(
        "| messages | destinations | deepest | active | walked | loads | attempts | steps | facts | operations | octets read | µs of a core |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let sizes = std::iter::successors(Some(1_000), |size| Some(size * 10)).take_while(|size| *size <= most);
    sizes.map(|messages| measure(messages, active_limit(messages))).collect()
}

/// What grows with the queue, in words.
fn growing(rows: &[Row]) -> Vec<String> {
    let Some(first) = rows.first() else { return Vec::new() };
    let walks = rows.iter().filter(|row| row.work.walked > 0);
    let mut found: Vec<String> = walks
        .map(|row| {
            format!("{} of {} messages were looked at one after the other", row.work.walked, row.messages)
        })
        .collect();
    for (name, cost) in COSTS {
        let usual = first.each(cost(&first.work));
        let grown = rows.iter().filter(|row| row.each(cost(&row.work)) > GROWTH * usual);
        found.extend(grown.map(|row| {
            let each = row.each(cost(&row.work));
            format!(
                "{name}: {each:.2} for a message among {}, {usual:.2} among {}",
                row.messages, first.messages
            )
        }));
    }
    let slow = rows.iter().filter(|row| row.micros > SLOWER * first.micros);
    found.extend(slow.map(|row| {
        format!(
            "time: {:.1} µs for a message among {}, {:.1} among {}",
            row.micros, row.messages, first.micros, first.messages
        )
    }));
    found
}

fn lines(rows: &[Row]) -> Vec<Line> {
    let counted = COSTS.iter().map(|(name, cost)| Line {
        name: (*name).to_owned(),
        points: rows.iter().map(|row| (row.messages, row.each(cost(&row.work)))).collect(),
    });
    let time = Line {
        name: "microseconds".to_owned(),
        points: rows.iter().map(|row| (row.messages, row.micros)).collect(),
    };
    counted.chain([time]).collect()
}

/// Both tables, and a plot of the first if there is a file for it; true when nothing that is counted grows with the queue.
pub(crate) fn scale(most: u64, file: Option<&str>) -> bool {
    println!("The active queue holds one message of {PROPORTION}:\n");
    let rows = table(most, |messages| messages / PROPORTION);
    println!("\nThe active queue holds 20,000 messages:\n");
    table(most, |_| 20_000);
    if let Some(file) = file {
        let title = "Cost of one message over the messages in the queue, relative to the first";
        if let Err(error) = std::fs::write(file, plot::draw(title, &lines(&rows))) {
            println!("{file} can not be written: {error}");
            return false;
        }
    }
    let growing = growing(&rows);
    growing.iter().for_each(|what| println!("GROWS: {what}"));
    growing.is_empty()
}
