//! What a million messages cost the shipped daemon: run by hand, for docs/SCALE.md.
//!
//! `scale queue [MESSAGES [OCTETS]]`: memory of a queue of deferred messages, and how long a start over it takes.
//! `scale hole [MESSAGES [OTHERS]]`: mail to others beside a black hole with so many messages.
//! `scale letters [RECIPIENTS]`: letters behind a mailing.
//! `scale run [MESSAGES]`: all of it, to 50,000 destinations.
//!
//! Build with `cargo build --release --bins` first; everything lies in a folder of its own below the system's temporary one.

mod fill;
mod others;
mod process;
mod queue;
mod run;
mod world;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: u64| words.get(at).map_or(usual, |word| word.parse().expect("a number"));
    match words.first().map(String::as_str) {
        Some("queue") => queue::measure(number(1, 1_000_000), number(2, 4_096)),
        Some("hole") => others::hole(number(1, 100_000), number(2, 10_000)),
        Some("letters") => others::letters(number(1, 50_000)),
        Some("run") => run::run(number(1, 1_000_000)),
        _ => {
            eprintln!(
                "usage: scale queue [MESSAGES [OCTETS]] | hole [MESSAGES [OTHERS]] | letters [RECIPIENTS] | run [MESSAGES]"
            );
            std::process::exit(64);
        }
    }
}
