//! What a recording costs: the same mail with and without one, in alternating rounds. Postfix has no such thing.

use crate::Options;
use crate::figures::{Report, median, short, spread};
use crate::load::{self, Figures, Mail};
use crate::rates::WARM;
use crate::server::{Rig, Who};
use std::fs;

/// What is recorded, and how that is called.
const CASES: [(&str, &str); 3] = [
    ("not recorded", ""),
    ("recorded", "record_directory = {record}"),
    ("recorded with contents", "record_directory = {record}\nrecord_content = yes"),
];

/// Octets in the files of the recording.
fn recorded(rig: &Rig) -> u64 {
    let Ok(entries) = fs::read_dir(rig.root().join("record")) else { return 0 };
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|file| file.len()).sum()
}

/// From the generator to the sink, each of [`CASES`].
pub(crate) fn measure(rig: &Rig, options: &Options, report: &mut Report) {
    let mut rounds: [Vec<(Figures, f64)>; CASES.len()] = Default::default();
    let record = rig.root().join("record");
    for round in 1..=options.rounds {
        for ((name, lines), all) in CASES.iter().zip(&mut rounds) {
            _ = fs::remove_dir_all(&record);
            // More files than a round fills: none goes.
            let lines = lines.replace("{record}", &record.to_string_lossy());
            let server = rig.start(Who::Postrider, &format!("{lines}\nrecord_file_count = 1000\n"));
            _ = load::relay(rig, &server, Mail::new(WARM));
            let before = recorded(rig);
            let figures = load::relay(rig, &server, Mail::new(options.messages));
            drop(server);
            let octets = (recorded(rig) - before) as f64 / options.messages as f64;
            report.keep(
                "record",
                name,
                round,
                &[("rate", figures.rate), ("cpu", figures.cpu), ("octets", octets)],
            );
            all.push((figures, octets));
        }
    }
    let of =
        |all: &[(Figures, f64)], what: fn(&(Figures, f64)) -> f64| all.iter().map(what).collect::<Vec<_>>();
    for ((name, _), all) in CASES.iter().zip(&rounds) {
        let (rates, cpus) = (of(all, |one| one.0.rate), of(all, |one| one.0.cpu));
        let told = format!(
            "{} messages/s ({}), CPU for 1,000 messages {} s ({}), octets recorded for each {}",
            short(median(&rates)),
            spread(&rates),
            short(median(&cpus)),
            spread(&cpus),
            short(median(&of(all, |one| one.1)))
        );
        report.tell(&format!("relay, {name}"), told);
    }
}
