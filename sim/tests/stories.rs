//! Stories told to their end: the oracle holds, sees what it must see, and a seed is one history.

use postrider_sim::swarm::{Choices, tell};
use std::process::Command;

#[test]
fn mail_is_neither_lost_nor_doubled_whatever_happens() {
    for seed in 1_000..1_020 {
        let ending = tell(&Choices::of(seed));
        assert_eq!(ending.violations, [], "seed {seed}: {ending}");
    }
}

#[test]
fn a_calm_world_promises_all_and_doubles_nothing() {
    for seed in 2_000..2_010 {
        let ending = tell(&Choices { calm: true, ..Choices::of(seed) });
        assert_eq!(ending.violations, [], "seed {seed}: {ending}");
        assert_eq!((ending.duplicates, ending.crashes), (0, 0), "seed {seed}: {ending}");
        assert_eq!(ending.letters.0, ending.letters.1, "seed {seed}: {ending}");
    }
}

#[test]
fn power_may_go_at_any_operation_of_the_spool() {
    for operation in 0..40 {
        let ending = tell(&Choices { calm: true, crash_at: Some(operation), ..Choices::of(7) });
        assert_eq!(ending.violations, [], "operation {operation}: {ending}");
        assert_eq!(ending.crashes, 1, "operation {operation}: {ending}");
    }
}

#[test]
fn disks_that_lie_about_syncs_are_seen_by_the_oracle() {
    let seen = (0..12).any(|seed| {
        let ending = tell(&Choices { lying_disks: true, ..Choices::of(seed) });
        ending.violations.iter().any(|violation| violation.0.contains("LOST"))
    });
    assert!(seen);
}

#[test]
fn one_seed_is_one_history_in_every_process() {
    let run = || {
        let output = Command::new(env!("CARGO_BIN_EXE_postrider-sim")).args(["run", "42"]).output();
        let output = output.expect("the simulator runs");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    let first = run();
    assert!(first.contains("trace "), "{first}");
    assert_eq!(first, run());
}
