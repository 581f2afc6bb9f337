//! What a million messages cost the shipped daemon: run by hand, for docs/SCALE.md.
//!
//! `scale queue [MESSAGES [OCTETS]]`: memory of a queue of deferred messages, and how long a start over it takes.
//!
//! Build with `cargo build --release --bins` first; everything lies in a folder of its own below the system's temporary one.

mod fill;
mod process;
mod queue;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: u64| words.get(at).map_or(usual, |word| word.parse().expect("a number"));
    match words.first().map(String::as_str) {
        Some("queue") => queue::measure(number(1, 1_000_000), number(2, 4_096)),
        _ => {
            eprintln!("usage: scale queue [MESSAGES [OCTETS]]");
            std::process::exit(64);
        }
    }
}
