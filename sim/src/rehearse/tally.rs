//! From histories to numbers: one case is a configuration with a scenario, played by several seeds.
//!
//! Numbers are means over the seeds, quantiles are those of all recipients of all seeds together.

use super::scenario::Scenario;
use super::world::{Group, History, Point};
use postrider_core::time::Instant;
use serde::Serialize;
use std::collections::BTreeMap;

/// Recipients that make a long queue.
const LONG: f64 = 50.0;
/// How finely the distribution of latencies is kept.
const DISTRIBUTION: usize = 200;

/// What one destination has seen, or all together.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Recipients that the host has taken.
    pub accepted: f64,
    /// Delivered, by the first copy.
    pub delivered: f64,
    /// Copies beyond the first.
    pub duplicates: f64,
    /// Refused for good.
    pub bounced: f64,
    /// Given up for their age.
    pub expired: f64,
    /// Still in the queue at the end.
    pub left: f64,
    /// Outcomes of tries.
    pub tries: f64,
    /// Of those, how many deferred.
    pub deferred: f64,
    /// Deferred without a try, because the destination was thought dead.
    pub suspended: f64,
    /// Connections that its servers accepted.
    pub connections: f64,
    /// The most at once.
    pub connections_most: u32,
    /// Connections and messages that its servers sent away for a limit.
    pub sent_away: f64,
    /// Transactions that its servers took.
    pub transactions: f64,
    /// Replies lost on purpose.
    pub replies_lost: f64,
    /// The most recipients in the queue at once.
    pub queue_most: f64,
    /// When the queue of it was last emptied, in seconds; the latest of all seeds. Nothing where some are left.
    pub empty_at: Option<f64>,
    /// When the queue had fallen to a twentieth of its highest for good, in seconds; nothing where it was never long, or did not fall.
    pub drained_at: Option<f64>,
    /// Seconds from the client's dot to the first copy; nothing where nobody was reached.
    pub latency: Option<Latency>,
    /// Part of the recipients that were done after 0, 1, 2, … tries.
    pub done_after: Vec<f64>,
}

/// How long delivery took, in seconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Latency {
    /// Of all.
    pub mean: f64,
    /// Half are faster.
    pub p50: f64,
    /// Nine of ten are faster.
    pub p90: f64,
    /// 99 of 100 are faster.
    pub p99: f64,
    /// 999 of 1000 are faster.
    pub p999: f64,
    /// The slowest.
    pub most: f64,
    /// The whole distribution: quantile and seconds.
    #[serde(skip)]
    pub points: Vec<(f64, f64)>,
}

/// The state at one time, mean over the seeds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Recipients in the queue.
    pub waiting: f64,
    /// Tries in a minute.
    pub tries: f64,
    /// First copies in a minute.
    pub delivered: f64,
    /// The most connections open at once.
    pub open: f64,
}

/// A configuration with a scenario, played.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// What it is called.
    pub label: String,
    /// All destinations together.
    pub total: Summary,
    /// One for each.
    pub destinations: Vec<Summary>,
    /// Of each seed all destinations together, then each of them.
    pub seeds: Vec<(u64, Vec<Summary>)>,
    /// How long single letters took where there were mailings too, and those.
    pub beside_mailings: Option<(Latency, Latency)>,
    /// Messages that the host took.
    pub messages: f64,
    /// Events of the simulation for each of them.
    pub events_per_message: f64,
    /// Reports that the host made.
    pub reports: f64,
    /// What the front door refused, by its words: in all seeds.
    pub refused: BTreeMap<String, u64>,
    /// What made mail wait or fail, by the log's words: in all seeds.
    pub reasons: BTreeMap<String, u64>,
    /// Names that the scenario does not have: in all seeds.
    pub strangers: BTreeMap<String, u64>,
    /// Parts of the configuration that can play no role.
    pub notes: Vec<String>,
    /// Seconds of one sample.
    pub piece: f64,
    /// By destination (the total first), then by time.
    #[serde(skip)]
    pub series: Vec<Vec<Sample>>,
    /// It was broken off: too many events.
    pub endless: bool,
    /// Hashes of the histories.
    pub traces: Vec<String>,
}

/// Adds up the histories of one case.
#[must_use]
pub fn tally(label: String, scenario: &Scenario, notes: Vec<String>, histories: &[(u64, History)]) -> Case {
    let count = histories.len().max(1) as f64;
    let (total, destinations, series) = by_destination(scenario, histories);
    let of_seed = |one: &(u64, History)| {
        let (total, destinations, _) = by_destination(scenario, std::slice::from_ref(one));
        (one.0, std::iter::once(total).chain(destinations).collect())
    };
    let messages: u64 = histories.iter().map(|(_, history)| history.book.messages_taken).sum();
    let events: u64 = histories.iter().map(|(_, history)| history.events).sum();
    let sum = |of: fn(&History) -> &BTreeMap<String, u64>| {
        let mut all = BTreeMap::new();
        for (word, number) in histories.iter().flat_map(|(_, history)| of(history)) {
            *all.entry(word.clone()).or_default() += number;
        }
        all
    };
    Case {
        label,
        total,
        series,
        destinations,
        seeds: histories.iter().map(of_seed).collect(),
        beside_mailings: beside_mailings(histories),
        messages: messages as f64 / count,
        events_per_message: events as f64 / messages.max(1) as f64,
        reports: histories.iter().map(|(_, history)| history.book.reports).sum::<u64>() as f64 / count,
        refused: sum(|history| &history.book.refused),
        reasons: sum(|history| &history.book.reasons),
        strangers: sum(|history| &history.book.strangers),
        notes,
        piece: piece(histories),
        endless: histories.iter().any(|(_, history)| history.endless),
        traces: histories.iter().map(|(_, history)| format!("{:016x}", history.trace)).collect(),
    }
}

/// All destinations together, each of them, and how their states went over time, in the same order.
fn by_destination(
    scenario: &Scenario,
    histories: &[(u64, History)],
) -> (Summary, Vec<Summary>, Vec<Vec<Sample>>) {
    let count = histories.len().max(1) as f64;
    let mut names: Vec<String> = scenario.destinations.iter().map(|one| one.name.get_ref().clone()).collect();
    names.push("elsewhere".to_owned());
    let all = |place: usize| histories.iter().filter_map(move |(_, history)| history.book.groups.get(place));
    let mut destinations: Vec<Summary> =
        names.iter().enumerate().map(|(place, name)| summary(name, all(place), count)).collect();
    let everything = histories.iter().flat_map(|(_, history)| &history.book.groups);
    let mut total = summary("all", everything, count);
    total.connections_most = histories.iter().map(|(_, history)| history.book.most.1).max().unwrap_or(0);
    total.queue_most = histories.iter().map(|(_, history)| history.book.most.0).sum::<u64>() as f64 / count;
    // Nothing but reports went there, or nothing at all.
    destinations.retain(|one| one.name != "elsewhere" || one.accepted > 0.0);
    let series = series(histories, destinations.len(), count);
    for (one, samples) in std::iter::once(&mut total).chain(&mut destinations).zip(&series) {
        one.drained_at = drained_at(samples, piece(histories));
    }
    (total, destinations, series)
}

/// Seconds of one sample.
fn piece(histories: &[(u64, History)]) -> f64 {
    histories.first().map_or(1.0, |(_, history)| history.piece.as_secs_f64())
}

/// When the queue had fallen to a twentieth of its highest, and stayed below.
fn drained_at(samples: &[Sample], piece: f64) -> Option<f64> {
    let highest = samples.iter().map(|sample| sample.waiting).fold(0.0, f64::max);
    let last = samples.iter().rposition(|sample| sample.waiting > highest / 20.0)?;
    (highest >= LONG && last + 1 < samples.len()).then(|| (last + 2) as f64 * piece)
}

/// The latencies of single letters, and of the recipients of mailings, where there are both.
fn beside_mailings(histories: &[(u64, History)]) -> Option<(Latency, Latency)> {
    let mailed: Vec<u32> = histories.iter().flat_map(|(_, history)| history.book.mailed.clone()).collect();
    let mut left: BTreeMap<u32, u32> = BTreeMap::new();
    mailed.iter().for_each(|millis| *left.entry(*millis).or_default() += 1);
    // What is in all and not among the mailed, as often.
    let groups = histories.iter().flat_map(|(_, history)| &history.book.groups);
    let single =
        groups.flat_map(|group| &group.latencies).copied().filter(|millis| match left.get_mut(millis) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        });
    Some((Latency::of(single.collect())?, Latency::of(mailed)?))
}

fn summary<'a>(name: &str, groups: impl Iterator<Item = &'a Group>, count: f64) -> Summary {
    let mut sum = Summary { name: name.to_owned(), empty_at: Some(0.0), ..Summary::default() };
    let mut latencies = Vec::new();
    let mut tries: Vec<u64> = Vec::new();
    for group in groups {
        for (field, value) in [
            (&mut sum.accepted, group.accepted),
            (&mut sum.delivered, group.delivered),
            (&mut sum.duplicates, group.duplicates),
            (&mut sum.bounced, group.bounced),
            (&mut sum.expired, group.expired),
            (&mut sum.left, group.waiting),
            (&mut sum.tries, group.tries_made),
            (&mut sum.deferred, group.deferred),
            (&mut sum.suspended, group.suspended),
            (&mut sum.connections, group.connections),
            (&mut sum.sent_away, group.sent_away),
            (&mut sum.transactions, group.transactions),
            (&mut sum.replies_lost, group.replies_lost),
            (&mut sum.queue_most, group.waiting_most),
        ] {
            *field += value as f64 / count;
        }
        sum.connections_most = sum.connections_most.max(group.open_most);
        sum.empty_at = match (sum.empty_at, group.waiting) {
            (Some(at), 0) => Some(at.max(group.empty_since.map_or(0.0, seconds))),
            _ => None,
        };
        latencies.extend_from_slice(&group.latencies);
        if tries.len() < group.tries.len() {
            tries.resize(group.tries.len(), 0);
        }
        tries.iter_mut().zip(&group.tries).for_each(|(all, one)| *all += one);
    }
    sum.latency = Latency::of(latencies);
    let done: u64 = tries.iter().sum();
    sum.done_after = tries.iter().map(|number| *number as f64 / done.max(1) as f64).collect();
    sum
}

fn seconds(at: Instant) -> f64 {
    at.0 as f64 / 1e9
}

impl Latency {
    /// None of nothing.
    fn of(mut millis: Vec<u32>) -> Option<Self> {
        if millis.is_empty() {
            return None;
        }
        millis.sort_unstable();
        let at = |part: f64| {
            let place = ((millis.len() as f64 * part).ceil() as usize).clamp(1, millis.len());
            millis.get(place - 1).map_or(0.0, |millis| f64::from(*millis) / 1e3)
        };
        let sum: f64 = millis.iter().map(|millis| f64::from(*millis) / 1e3).sum();
        let points = (0..=DISTRIBUTION).map(|step| {
            let part = step as f64 / DISTRIBUTION as f64;
            (part, at(part))
        });
        Some(Self {
            mean: sum / millis.len() as f64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            most: at(1.0),
            points: points.collect(),
        })
    }
}

/// The total first, then each destination.
fn series(histories: &[(u64, History)], destinations: usize, count: f64) -> Vec<Vec<Sample>> {
    let length = histories.iter().map(|(_, history)| history.book.series.len()).max().unwrap_or(0);
    let mut all = vec![vec![Sample::default(); length]; destinations + 1];
    for (_, history) in histories {
        let minutes = history.piece.as_secs_f64() / 60.0;
        for (time, row) in history.book.series.iter().enumerate() {
            for (place, point) in row.iter().enumerate() {
                all[0][time].add(point, count, minutes);
                if let Some(own) = all.get_mut(place + 1) {
                    own[time].add(point, count, minutes);
                }
            }
        }
    }
    all
}

impl Sample {
    fn add(&mut self, point: &Point, count: f64, minutes: f64) {
        self.waiting += point.waiting as f64 / count;
        self.tries += point.tries as f64 / count / minutes;
        self.delivered += point.delivered as f64 / count / minutes;
        self.open += f64::from(point.open) / count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_drained_when_it_has_fallen_for_good() {
        let of = |waiting: &[f64]| {
            let samples = waiting.iter().map(|&waiting| Sample { waiting, ..Sample::default() });
            drained_at(&samples.collect::<Vec<_>>(), 10.0)
        };
        assert_eq!(of(&[0.0, 100.0, 4.0, 50.0, 3.0, 2.0]), Some(50.0));
        assert_eq!(of(&[0.0, 100.0, 40.0]), None, "it has not fallen");
        assert_eq!(of(&[0.0, 9.0, 0.0]), None, "it was never long");
    }

    #[test]
    fn quantiles_are_those_of_the_recipients() {
        assert!(Latency::of(Vec::new()).is_none(), "of nobody there is none, and not the best");
        let latency = Latency::of((1..=1_000).rev().map(|number| number * 1_000).collect()).unwrap();
        assert_eq!((latency.p50, latency.p90, latency.p99, latency.most), (500.0, 900.0, 990.0, 1_000.0));
    }
}
