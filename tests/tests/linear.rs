//! Rows S21 and C7 of the attacks: ten times as many octets take ten times as many instructions to read, whatever they are.
//!
//! Counted by callgrind, not timed: the figures are the same on a machine that is busy.

use postrider_tests::{binary, program, run};
use std::process::Command;

/// Octets of the small input; the large one has ten times as many.
const OCTETS: usize = 10_000;
/// What ten times the octets may take, in hundredths of what the small input takes. Vectors that double are uneven.
const FACTOR_MAX: u64 = 1_300;

/// Instructions of reading so many octets, those of the program's start included.
fn instructions(kind: &str, octets: usize) -> u64 {
    let output = Command::new(program("valgrind", "valgrind"))
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(binary("steps"))
        .args([kind, &octets.to_string()])
        .output()
        .expect("valgrind runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{kind}: {text}");
    let line = text.lines().find(|line| line.contains("Collected :"));
    let number = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("{kind}: callgrind counted nothing: {text}"))
}

#[test]
fn ten_times_as_many_octets_are_ten_times_as_much_work() {
    let kinds = run(&mut Command::new(binary("steps")));
    let kinds: Vec<&str> = kinds.lines().collect();
    // Each on a core of its own: most of the time is callgrind's.
    let figures: Vec<[u64; 3]> = std::thread::scope(|scope| {
        let halves: Vec<_> = kinds
            .chunks(kinds.len().div_ceil(2))
            .map(|half| {
                let count = |kind: &&str| [0, OCTETS, 10 * OCTETS].map(|octets| instructions(kind, octets));
                scope.spawn(move || half.iter().map(count).collect::<Vec<_>>())
            })
            .collect();
        halves.into_iter().flat_map(|half| half.join().unwrap_or_else(|_| panic!("see above"))).collect()
    });
    let mut worse = Vec::new();
    for (kind, [start, small, large]) in kinds.iter().zip(figures) {
        let (small, large) = (small.saturating_sub(start), large.saturating_sub(start));
        println!("{kind}: {small} instructions for {OCTETS} octets, {large} for ten times as many");
        // What is not read at all would be linear, too.
        assert!(large > OCTETS as u64, "{kind} is not read");
        if 100 * large > FACTOR_MAX * small {
            worse.push(format!("{kind}: {small} instructions, then {large}"));
        }
    }
    assert!(worse.is_empty(), "{}", worse.join("\n"));
    assert!(kinds.len() > 20, "{kinds:?}");
}
