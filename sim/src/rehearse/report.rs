//! What a rehearsal found, as JSON, CSV, and a table for the terminal. The page is in [`super::page`].
//!
//! Nothing here depends on the clock: the same seeds give the same octets.

use super::plot::{human, thousands};
use super::scenario::{How, Outage, Scenario};
use super::spread;
use super::tally::{Case, Summary};
use serde::Serialize;
use std::fmt::Write as _;

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What the scenario is called.
    pub title: String,
    /// What it asks.
    pub question: String,
    /// Seconds in which mail comes.
    pub duration: f64,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// When what is down.
    pub outages: Vec<Down>,
    /// Configurations, or values, that are compared.
    pub cases: Vec<Case>,
    /// The scenario, as written.
    pub scenario: String,
}

/// Something is down for a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Down {
    /// Seconds.
    pub from: f64,
    /// Seconds.
    pub to: f64,
    /// What, and how.
    pub what: String,
}

/// What is down when.
#[must_use]
pub fn outages(scenario: &Scenario) -> Vec<Down> {
    let mut all = Vec::new();
    let mut tell = |who: &str, outage: &Outage| {
        let how = match outage.how {
            How::Refuse => "refuses connections",
            How::Timeout => "does not answer",
            How::Close => "says 421",
            How::Stall => "never greets",
            How::Dns => "has no names",
        };
        let who = outage.preference.map_or_else(|| who.to_owned(), |only| format!("{who} (MX {only})"));
        let (from, to) = (outage.from.0.0.as_secs_f64(), outage.to.0.0.as_secs_f64());
        all.push(Down { from, to, what: format!("{who} {how}") });
    };
    scenario.dns.outage.iter().for_each(|outage| tell("the name server", outage));
    for destination in &scenario.destinations {
        destination.outage.iter().for_each(|outage| tell(destination.name.get_ref(), outage));
    }
    all
}

/// A column of numbers: its name, and how it is found and told.
pub type Column = (&'static str, fn(&Summary) -> String);

/// What is told of each destination, and of all.
pub const COLUMNS: [Column; 14] = [
    ("accepted", |one| thousands(one.accepted)),
    ("delivered", |one| thousands(one.delivered)),
    ("bounced", |one| thousands(one.bounced)),
    ("expired", |one| thousands(one.expired)),
    ("left", |one| thousands(one.left)),
    ("duplicates", |one| few(one.duplicates)),
    ("p50", |one| or_dash(one.latency.as_ref().map(|latency| latency.p50))),
    ("p90", |one| or_dash(one.latency.as_ref().map(|latency| latency.p90))),
    ("p99", |one| or_dash(one.latency.as_ref().map(|latency| latency.p99))),
    ("slowest", |one| or_dash(one.latency.as_ref().map(|latency| latency.most))),
    ("queue at most", |one| thousands(one.queue_most)),
    ("drained at", |one| or_dash(one.drained_at)),
    ("tries", |one| thousands(one.tries)),
    ("connections", |one| thousands(one.connections)),
];

/// Seconds, if there are any.
fn or_dash(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), human)
}

/// A mean that may be small.
fn few(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 { thousands(value) } else { format!("{value:.1}") }
}

impl Report {
    /// As JSON.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }

    /// One row for each case and destination, and for each of these and seed.
    #[must_use]
    pub fn summary_csv(&self) -> String {
        let mut text = String::from(
            "case,seed,destination,accepted,delivered,duplicates,bounced,expired,left,tries,deferred,suspended,connections,connections_most,sent_away,transactions,replies_lost,queue_most,empty_at_s,drained_at_s,latency_mean_s,latency_p50_s,latency_p90_s,latency_p99_s,latency_p999_s,latency_most_s\n",
        );
        for case in &self.cases {
            let all = std::iter::once(&case.total).chain(&case.destinations);
            all.for_each(|one| row(&mut text, &case.label, "mean", one));
            for (seed, all) in &case.seeds {
                all.iter().for_each(|one| row(&mut text, &case.label, &seed.to_string(), one));
            }
        }
        text
    }

    /// The state over time, mean over the seeds.
    #[must_use]
    pub fn series_csv(&self) -> String {
        let mut text = String::from(
            "case,destination,time_s,queue_recipients,tries_per_minute,delivered_per_minute,connections\n",
        );
        for case in &self.cases {
            let names = std::iter::once(&case.total).chain(&case.destinations).map(|one| &one.name);
            for (name, samples) in names.zip(&case.series) {
                for (number, sample) in samples.iter().enumerate() {
                    _ = writeln!(
                        text,
                        "{},{},{:.3},{:.2},{:.3},{:.3},{:.2}",
                        quoted(&case.label),
                        quoted(name),
                        (number + 1) as f64 * case.piece,
                        sample.waiting,
                        sample.tries,
                        sample.delivered,
                        sample.open
                    );
                }
            }
        }
        text
    }

    /// The distribution of the latency.
    #[must_use]
    pub fn latency_csv(&self) -> String {
        let mut text = String::from("case,destination,part,seconds\n");
        for case in &self.cases {
            for one in std::iter::once(&case.total).chain(&case.destinations) {
                for (part, seconds) in one.latency.iter().flat_map(|latency| &latency.points) {
                    _ = writeln!(
                        text,
                        "{},{},{part:.3},{seconds:.3}",
                        quoted(&case.label),
                        quoted(&one.name)
                    );
                }
            }
        }
        text
    }

    /// For the terminal: a row for each case and destination.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows: Vec<Vec<String>> = Vec::new();
        let head = ["case", "destination"].into_iter().chain(COLUMNS.map(|(name, _)| name));
        rows.push(head.map(str::to_owned).collect());
        for case in &self.cases {
            for one in case.destinations.iter().chain(std::iter::once(&case.total)) {
                let cells = COLUMNS.iter().map(|(_, of)| of(one));
                rows.push([case.label.clone(), one.name.clone()].into_iter().chain(cells).collect());
            }
        }
        aligned(&rows)
    }

    /// For the terminal: how far the seeds lie apart, where there are several.
    #[must_use]
    pub fn spread(&self) -> String {
        let Some((head, rows)) = spread::table(self) else { return String::new() };
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
        format!("from the lowest to the highest of {} seeds:\n{}", self.seeds.len(), aligned(&rows))
    }
}

/// Columns as wide as their widest cell; from the third on they end at one place.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let space = " ".repeat(width - cell.chars().count());
            let (before, behind) = if column < 2 { ("", space.as_str()) } else { (space.as_str(), "") };
            _ = write!(text, "{}{before}{cell}{behind}", if column > 0 { "  " } else { "" });
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn row(text: &mut String, case: &str, seed: &str, one: &Summary) {
    _ = write!(text, "{},{seed},{}", quoted(case), quoted(&one.name));
    for value in [
        one.accepted,
        one.delivered,
        one.duplicates,
        one.bounced,
        one.expired,
        one.left,
        one.tries,
        one.deferred,
        one.suspended,
        one.connections,
        f64::from(one.connections_most),
        one.sent_away,
        one.transactions,
        one.replies_lost,
        one.queue_most,
    ] {
        _ = write!(text, ",{}", (value * 1e3).round() / 1e3);
    }
    let seconds = |at: Option<f64>| at.map_or_else(String::new, |at| format!("{at:.0}"));
    let (empty, drained) = (seconds(one.empty_at), seconds(one.drained_at));
    _ = write!(text, ",{empty},{drained}");
    let latency = one.latency.as_ref();
    let values = latency.map(|all| [all.mean, all.p50, all.p90, all.p99, all.p999, all.most]);
    // Where nobody was reached the fields are empty.
    let fields = values.map_or([const { String::new() }; 6], |all| all.map(|value| format!("{value:.3}")));
    fields.iter().for_each(|field| _ = write!(text, ",{field}"));
    text.push('\n');
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
