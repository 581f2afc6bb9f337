//! The power fails at every operation, with every subset of what was not synced.

use super::world::{World, params};
use crate::mail::{ContentPlace, Standing};
use crate::time::Duration;

#[test]
fn a_message_is_there_after_a_restart() {
    let mut world = World::new(1, params());
    world.settle();
    let small = world.commit();
    let large = world.commit_sized(5000, ContentPlace::File);
    world.settle();
    assert_eq!(world.present(), [small, large]);
    world.settle_one(small, 1, true);
    world.settle();
    assert_eq!(world.troubles, Vec::<String>::new());
    let mut next = world.reborn(7, params());
    next.check(&world.lives);
    assert_eq!(next.troubles, Vec::<String>::new());
    assert_eq!(next.recovered.len(), 2);
    assert!(matches!(next.load(small).unwrap().standing[1], Standing::Owed(_)));
    assert_eq!(next.log.epoch(), world.log.epoch() + 1);
}

#[test]
fn an_answer_comes_after_the_sync_and_an_outcome_s_before_it() {
    let mut world = World::new(1, params());
    world.settle();
    let id = world.commit();
    world.complete(0);
    assert_eq!(world.lives[&id].answer, None, "written is not durable");
    world.complete(0);
    assert_eq!(world.lives[&id].answer, Some(Ok(())));
    world.settle_one(id, 0, true);
    assert_eq!(world.errands.len(), 1);
    world.complete(0);
    assert!(world.errands.is_empty(), "an outcome is answered when it is written");
    assert!(world.pending.is_empty());
    world.pass(Duration::from_millis(50));
    assert_eq!(world.pending.len(), 1, "and synced within 100 ms");
}

/// Lives of 60 steps; after each step the power fails in some ways.
fn crash_everywhere(seed: u64, steps: u64, ways: u64) -> u64 {
    let mut world = World::new(seed, params());
    let mut states = 0;
    for step in 0..steps {
        world.step();
        for way in 0..ways {
            let mut next = world.reborn(seed * 1_000_003 + step * 31 + way, params());
            next.check(&world.lives);
            assert_eq!(next.troubles, Vec::<String>::new(), "a crash is not damage");
            states += 1;
        }
    }
    states
}

#[test]
fn nothing_promised_is_lost_whenever_the_power_fails() {
    let states: u64 = (0..20).map(|seed| crash_everywhere(seed, 120, 2)).sum();
    assert!(states >= 4_000);
}
