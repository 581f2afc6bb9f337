//! The power fails at every operation, with every subset of what was not synced.

use super::super::{File, Input, Op, Output, Params, Ticket};
use super::world::{World, params};
use crate::machine::Machine;
use crate::mail::{Change, ContentPlace, Message, Refusal, Standing};
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

#[test]
fn a_process_that_is_killed_leaves_octets_that_recovery_makes_durable() {
    for seed in 0..30 {
        let mut world = World::new(seed, params());
        (0..100).for_each(|_| world.step());
        // Killed: the kernel still has what was written.
        let mut next = World::over(world.disk.clone(), seed, params());
        next.now = world.now;
        while next.ready.is_none() {
            next.complete(0);
        }
        next.check(&world.lives);
        let known = next.log.messages();
        for way in 0..10 {
            let mut after = next.reborn(way, params());
            after.check(&world.lives);
            assert_eq!(after.log.messages(), known);
            assert_eq!(after.troubles, Vec::<String>::new());
        }
    }
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

#[test]
fn a_long_life_stays_inside_its_bounds_and_every_message_in_it() {
    for seed in 0..6 {
        let mut world = World::new(seed, params());
        world.settle();
        for round in 0..40 {
            (0..60).for_each(|_| world.step());
            // Most mail leaves soon; some stays for ever.
            for id in world.present() {
                if world.prng.chance(2, 3) && !(id.0 >> 12).is_multiple_of(7) {
                    world.remove(id);
                }
            }
            if round % 4 == 3 {
                world.settle();
                let (living, used) = world.log.usage();
                let size = params().segment_size;
                assert!(
                    used <= 2 * living + 4 * size + params().reserve,
                    "{seed}: {used} for {living}: {:?} {:?}",
                    world.log.tidy,
                    world.log.index.segments
                );
            }
            let mut next = world.reborn(seed * 77 + round, params());
            next.check(&world.lives);
            assert_eq!(next.troubles, Vec::<String>::new());
        }
        assert_eq!(world.troubles, Vec::<String>::new());
        let number = |files: &[(super::super::File, u64)]| {
            files.iter().filter(|(file, _)| matches!(file, super::super::File::Segment(_))).count()
        };
        let made = world.log.next_segment;
        assert!(made > 2 * number(&world.disk.files()) as u64, "segments are given up: {made}");
    }
}

#[test]
fn what_one_recovery_found_the_next_finds_and_what_it_did_not_find_never_comes_back() {
    for seed in 0..40 {
        let mut world = World::new(seed, params());
        for life in 0..8 {
            let steps = world.prng.below(150);
            if world.prng.chance(1, 3) {
                let at = world.disk.count + world.prng.below(40);
                world.disk.faults.insert(at, super::disk::Fault::Failed);
            }
            (0..steps).for_each(|_| world.step());
            let mut next = world.reborn(seed * 100 + life, params());
            next.check(&world.lives);
            next.inherit(world.lives);
            world = next;
        }
    }
}

#[test]
fn mail_that_comes_while_the_queue_is_read_is_answered_when_it_has_been_and_kept() {
    for seed in 0..40 {
        let mut world = World::new(seed, params());
        (0..150).for_each(|_| world.step());
        let mut next = World::over(world.crashed_disk(seed), seed, params());
        next.now = world.now;
        next.next_id = world.next_id + 1000;
        while next.numbered.is_none() {
            next.complete(0);
        }
        assert_eq!(next.ready, None, "sessions begin before the queue has been read");
        let early = [next.commit(), next.commit_sized(1500, ContentPlace::File)];
        while next.ready.is_none() {
            assert!(early.iter().all(|id| next.lives[id].answer.is_none()));
            next.complete(0);
        }
        next.settle();
        assert!(early.iter().all(|id| next.lives[id].answer == Some(Ok(()))));
        next.check(&world.lives);
        let lives = next.lives.clone();
        next.inherit(world.lives);
        next.lives.extend(lives);
        next.reborn(seed, params()).check(&next.lives);
    }
}

#[test]
fn a_message_that_is_deferred_for_days_is_written_anew_as_one() {
    let mut world = World::new(3, params());
    world.settle();
    let id = world.commit();
    world.settle();
    world.settle_one(id, 2, true);
    for _ in 0..100 {
        world.settle_one(id, 0, false);
        world.settle();
        let places = world.log.index.get(id).unwrap().changes.len();
        assert!(places <= super::super::index::CHANGES_MAX, "{places}");
    }
    let mut next = world.reborn(1, params());
    next.check(&world.lives);
    let loaded = next.load(id).unwrap();
    assert!(matches!(&loaded.standing[0], Standing::Waiting(Some(_))));
    assert!(matches!(&loaded.standing[1], Standing::Waiting(None)));
    assert!(matches!(&loaded.standing[2], Standing::Owed(_)));
}

#[test]
fn an_append_larger_than_a_segment_gets_one_of_its_own() {
    let mut world = World::new(3, params());
    world.settle();
    let small = world.commit();
    let large = world.commit_sized(100_000, ContentPlace::Inline);
    let after = world.commit();
    world.settle();
    assert_eq!(world.present(), [small, large, after]);
    for seed in 0..10 {
        world.reborn(seed, params()).check(&world.lives);
    }
    world.remove(large);
    world.commit_sized(2000, ContentPlace::Inline);
    world.settle();
    let mut sizes = world.disk.files().into_iter().map(|(_, size)| size);
    assert!(sizes.all(|size| size == params().segment_size), "it is given up when it is removed");
}

#[test]
fn many_small_appends_share_one_sync() {
    let mut world = World::new(3, params());
    world.settle();
    let before = world.disk.count;
    let ids: Vec<_> = (0..10).map(|_| world.commit_sized(10, ContentPlace::Inline)).collect();
    while !world.pending.is_empty() {
        world.complete(0);
    }
    assert!(ids.iter().all(|id| world.lives[id].answer == Some(Ok(()))));
    assert_eq!(
        world.disk.count - before,
        4,
        "the first alone, the nine behind it together: two writes, two syncs"
    );
}

#[test]
fn the_driver_is_told_for_how_many_more_a_message_waits() {
    let mut world = World::new(3, params());
    world.settle();
    assert_eq!(world.log.missing(world.now), 0);
    (0..3).for_each(|_| _ = world.commit());
    world.settle();
    world.commit();
    // The first of the three went alone; the two behind it were a group.
    assert_eq!((world.log.missing(world.now), world.pending.len()), (1, 0));
    world.commit();
    assert_eq!((world.log.missing(world.now), world.pending.len()), (0, 1));
    world.settle();
    world.commit();
    assert_eq!(world.log.missing(world.now), 1);
    world.pass(Duration::from_millis(1));
    assert_eq!((world.log.missing(world.now), world.pending.len()), (0, 1), "nobody came");
}

#[test]
fn nobody_is_held_back_while_there_is_something_to_write_or_nowhere_to_write_it() {
    let mut held = 0;
    for seed in 0..40 {
        let mut world = World::new(seed, params());
        for _ in 0..400 {
            world.step();
            if world.log.missing(world.now) > 0 {
                held += 1;
                let writer = &world.log.writer;
                let segment = writer.current.as_ref().expect("there is one").seal.segment;
                let is_busy = |op: &Op| matches!(op, Op::Write { file, .. } | Op::Sync(file) if *file == File::Segment(segment));
                assert!(!world.pending.iter().any(|(_, op)| is_busy(op)), "{seed}: {:?}", world.pending);
                assert!(writer.again.is_empty() && writer.moves.is_empty(), "{seed}");
            }
        }
    }
    assert!(held > 50, "{held}");
}

#[test]
fn that_mail_is_durable_is_written_down_when_nothing_came_for_a_tenth_of_a_second() {
    let mut world = World::new(3, params());
    world.settle();
    let id = world.commit();
    while !world.pending.is_empty() {
        world.complete(0);
    }
    assert_eq!(world.lives[&id].answer, Some(Ok(())));
    for wait in [0, 60, 39] {
        world.pass(Duration::from_millis(wait));
        assert_eq!(world.pending.len(), 0);
    }
    world.pass(Duration::from_millis(1));
    assert!(matches!(world.pending[..], [(_, Op::Write { .. })]), "{:?}", world.pending);
}

/// Octets of each write to a segment until nothing is left to do.
fn writes(world: &mut World) -> Vec<usize> {
    let mut sizes = Vec::new();
    while !world.log.is_at_rest() {
        let Some((_, op)) = world.pending.first() else {
            let at = world.log.next_timeout().expect("it does not rest yet");
            world.pass(at.since(world.now.mono));
            continue;
        };
        if let Op::Write { file: File::Segment(_), octets, .. } = op {
            sizes.push(octets.iter().map(Vec::len).sum());
        }
        world.complete(0);
    }
    sizes
}

#[test]
fn a_write_carries_no_more_than_four_mebibytes() {
    let mut world = World::new(1, Params { segment_size: 32 << 20, reserve: 0, ..Params::default() });
    world.settle();
    world.commit();
    for _ in 0..5 {
        world.commit_sized(1_500_000, ContentPlace::Inline);
    }
    let contents = writes(&mut world).into_iter().map(|octets| octets / 1_500_000);
    assert_eq!(contents.collect::<Vec<_>>(), [0, 2, 2, 1, 0], "the last one says that all is durable");
}

#[test]
fn what_waits_to_be_written_takes_room_until_it_is() {
    let mut world = World::new(1, params());
    world.settle();
    let room = world.log.room();
    world.commit();
    assert_eq!(world.log.room(), room, "it is under way");
    world.commit_sized(1_000, ContentPlace::Inline);
    world.commit_sized(1_000, ContentPlace::Inline);
    let taken = room - world.log.room();
    assert!((2_000..3_000).contains(&taken), "{taken}");
    world.settle();
    assert_eq!(world.log.room(), room);
}

/// A content with which a frame has more octets than a frame may have.
const LARGE: usize = 256 * 1024 * 1024;

#[test]
fn what_recovery_could_not_read_is_not_written() {
    let mut world = World::new(3, params());
    world.settle();
    let message = world.message(100, ContentPlace::Inline);
    let id = message.id;
    let mut beyond = message.clone();
    beyond.pieces.stored(100, 1);
    let large = Message { stored: LARGE as u64, ..message.clone() };
    let commit = Change::Commit(Box::new(message));
    let ticket = |n: u64| Ticket(1_000_000 + n);
    let wrong = [
        (vec![], vec![]),
        (vec![commit.clone()], vec![vec![0; 99]]),
        (vec![commit.clone(), commit], vec![vec![0; 100]]),
        (vec![Change::Remove(id)], vec![vec![0; 1]]),
        (vec![Change::Commit(Box::new(beyond))], vec![vec![0; 100]]),
        (vec![Change::Commit(Box::new(large))], vec![vec![0; LARGE]]),
    ];
    for (number, (changes, content)) in (0u64..).zip(wrong) {
        world.log.handle_input(world.now, Input::Append { ticket: ticket(number), changes, content });
        let mut refused = 0;
        while let Some(output) = world.log.poll_output() {
            refused += u32::from(matches!(output, Output::Appended { result: Err(Refusal::Broken), .. }));
        }
        assert_eq!(refused, 1);
    }
}
