//! `postrider-sim scale`: what a message costs while many others wait.

use postrider_sim::scale::plot::{self, Line};
use postrider_sim::scale::{self, Work};

/// What one of a thousand, ten thousand … messages costs: a table, and a plot if there is a file for it.
pub(crate) fn scale(most: u64, file: Option<&String>) {
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
