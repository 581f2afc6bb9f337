//! What a million messages cost the shipped daemon: run by hand, for docs/SCALE.md.
//!
//! `scale queue [MESSAGES [OCTETS]]`: memory of a queue of deferred messages, and how long a start over it takes.
//! `scale hole [MESSAGES [OTHERS]]`: mail to others beside a black hole with so many messages.
//! `scale letters [RECIPIENTS]`: letters behind a mailing.
//! `scale run [MESSAGES]`: all of it, to 50,000 destinations.
//! `scale sizes [MESSAGES [FILE]]`: the same with a thousand messages, ten thousand … and a plot of what one of them costs.
//!
//! Each prints what it was measured on, judges what docs/SCALE.md promises, and ends with 1 if something is missed. Build with `cargo build --release --bins` first;
//! everything lies in a folder of its own on a disk, below /var/tmp.

mod fill;
mod others;
mod process;
mod queue;
mod run;
mod world;

use postrider_tests::Scratch;
use postrider_tests::daemon::Daemon;
use std::process::ExitCode;

/// A daemon that has not started yet, with its queue on a disk.
fn prepare(name: &str, main_cf: &str) -> Daemon {
    let daemon = Daemon::prepare_in(Scratch::on_disk(name), main_cf, "");
    print!("{}", postrider_tests::machine::about(daemon.path()));
    daemon
}

/// Says whether a promise was kept.
fn judge(wanted: &str, kept: bool) -> bool {
    println!("{wanted}: {}", if kept { "reached" } else { "MISSED" });
    kept
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: u64| words.get(at).map_or(usual, |word| word.parse().expect("a number"));
    let kept = match words.first().map(String::as_str) {
        Some("queue") => queue::measure(number(1, 1_000_000), number(2, 4_096)),
        Some("hole") => others::hole(number(1, 100_000), number(2, 10_000)),
        Some("letters") => others::letters(number(1, 50_000)),
        Some("run") => run::run(number(1, 1_000_000)),
        Some("sizes") => run::sizes(number(1, 1_000_000), words.get(2).map(String::as_str)),
        _ => {
            eprintln!(
                "usage: scale queue [MESSAGES [OCTETS]] | hole [MESSAGES [OTHERS]] | letters [RECIPIENTS] | run [MESSAGES] | sizes [MESSAGES [FILE]]"
            );
            return ExitCode::from(64);
        }
    };
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
