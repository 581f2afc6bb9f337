//! How far the histories of one case lie apart: for each destination, from the lowest to the highest of the seeds.
//!
//! A mean of a few histories says nothing about its last digit, and what differs less than the seeds do may be chance. Cases are played with the same seeds: that each seed differs in the
//! same way, the rows of summary.csv tell.

use super::plot::{human, thousands};
use super::report::Report;
use super::tally::Summary;

/// A column: its name, its value, if there is one, and how that is told.
type Measure = (&'static str, fn(&Summary) -> Option<f64>, fn(f64) -> String);

/// What chance moves.
const MEASURES: [Measure; 8] = [
    ("delivered", |one| Some(one.delivered), thousands),
    ("duplicates", |one| Some(one.duplicates), thousands),
    ("tries", |one| Some(one.tries), thousands),
    ("p50", |one| one.latency.as_ref().map(|latency| latency.p50), human),
    ("p90", |one| one.latency.as_ref().map(|latency| latency.p90), human),
    ("p99", |one| one.latency.as_ref().map(|latency| latency.p99), human),
    ("slowest", |one| one.latency.as_ref().map(|latency| latency.most), human),
    ("drained at", |one| one.drained_at, human),
];

/// The heads of a table's columns, and a row for each case and destination; nothing of a single history.
pub(super) fn table(report: &Report) -> Option<(Vec<String>, Vec<Vec<String>>)> {
    if report.seeds.len() < 2 {
        return None;
    }
    let head = ["case", "destination"].into_iter().chain(MEASURES.map(|(name, ..)| name));
    let mut rows = Vec::new();
    for case in &report.cases {
        for one in case.destinations.iter().chain(std::iter::once(&case.total)) {
            let of_seeds = || case.seeds.iter().flat_map(|(_, all)| all).filter(|each| each.name == one.name);
            let cells = MEASURES.iter().map(|(_, value, words)| range(of_seeds().map(value), *words));
            rows.push([case.label.clone(), one.name.clone()].into_iter().chain(cells).collect());
        }
    }
    Some((head.map(str::to_owned).collect(), rows))
}

/// From the lowest to the highest; one where both are told alike, and a dash where a history has none.
fn range(values: impl Iterator<Item = Option<f64>>, words: fn(f64) -> String) -> String {
    let Some(mut values) = values.collect::<Option<Vec<f64>>>() else { return "–".to_owned() };
    values.sort_by(f64::total_cmp);
    match (values.first(), values.last()) {
        (Some(&low), Some(&high)) if words(low) != words(high) => format!("{} – {}", words(low), words(high)),
        (Some(&low), _) => words(low),
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_told_by_its_ends() {
        let of = |values: &[Option<f64>]| range(values.iter().copied(), human);
        assert_eq!(of(&[Some(90.0), Some(60.0), Some(75.0)]), "1 min – 1 min 30 s");
        assert_eq!(of(&[Some(60.1), Some(60.2)]), "1 min", "no more than can be seen");
        assert_eq!(of(&[Some(60.0), None]), "–", "one history has no end");
        assert_eq!(of(&[]), "–");
        let nobody = Summary::default();
        assert!(MEASURES.iter().all(|(name, value, _)| {
            let is_latency = name.starts_with('p') || *name == "slowest";
            !is_latency || value(&nobody).is_none()
        }));
    }
}
