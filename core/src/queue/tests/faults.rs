//! The disk fails, or is full.

use super::super::{File, Op, Params};
use super::disk::Fault;
use super::world::{Errand, RECIPIENTS, World, params};
use crate::machine::Machine;
use crate::mail::{Change, ContentPlace, Diagnosis, Origin, Outcome, QueueId, Refusal, Settlement};
use crate::params::Settings;
use crate::time::{Duration, Timestamp};
use crate::wire::EnhancedStatus;

/// A day with faults at these operations; then the power fails, and what comes back is compared.
fn day_with_faults(seed: u64, faults: &[(u64, Fault)], steps: u64) -> World {
    let mut world = World::new(seed, params());
    world.disk.faults.extend(faults.iter().copied());
    for step in 0..steps {
        world.step();
        if step % 9 == 0 {
            world.reborn(seed * 999 + step, params()).check(&world.lives);
        }
    }
    world.settle();
    world.reborn(seed, params()).check(&world.lives);
    world
}

#[test]
fn an_operation_that_fails_loses_nothing_and_the_log_takes_mail_again() {
    for fault in [Fault::Failed, Fault::Full] {
        for at in 2..120 {
            let mut world = day_with_faults(at, &[(at, fault)], 100);
            world.disk.faults.clear();
            world.pass(Duration::from_secs(120));
            world.settle();
            let id = world.commit();
            world.settle();
            assert_eq!(world.lives[&id].answer, Some(Ok(())), "{fault:?} at {at}: {:?}", world.troubles);
            world.reborn(at, params()).check(&world.lives);
        }
    }
}

#[test]
fn many_failures_lose_nothing() {
    for seed in 0..60 {
        let faults: Vec<(u64, Fault)> = (0..10)
            .map(|n| {
                (2 + (seed * 37 + n * n * 13 + n) % 150, if n % 3 == 0 { Fault::Full } else { Fault::Failed })
            })
            .collect();
        day_with_faults(seed, &faults, 250);
    }
}

#[test]
fn a_failed_sync_is_not_tried_again_and_what_it_held_is_refused() {
    let mut world = World::new(1, params());
    world.settle();
    let kept = world.commit();
    world.settle();
    let first = world.log.spares.previous;
    let id = world.commit();
    // The write, then its sync.
    world.complete(0);
    world.disk.faults.insert(world.disk.count + 1, Fault::Failed);
    world.complete(0);
    assert_eq!(world.lives[&id].answer, Some(Err(Refusal::Broken)));
    assert_ne!(world.log.spares.previous, first);
    let late = world.commit();
    assert_eq!(world.lives[&late].answer, Some(Err(Refusal::Broken)), "until the fresh segment is durable");
    world.settle();
    assert!(world.lives[&id].void);
    for seed in 0..50 {
        let mut next = world.reborn(seed, params());
        next.check(&world.lives);
        assert_eq!(next.recovered.len(), 1);
    }
    assert!(world.load(kept).is_some(), "what was durable stays readable");
    let after = world.commit();
    world.settle();
    assert_eq!(world.lives[&after].answer, Some(Ok(())));
}

#[test]
fn outcomes_whose_sync_failed_are_written_again() {
    let mut world = World::new(1, params());
    world.settle();
    let id = world.commit();
    world.settle();
    world.settle_one(id, 0, true);
    world.complete(0);
    assert!(world.errands.is_empty());
    world.disk.faults.insert(world.disk.count + 1, Fault::Failed);
    world.pass(Duration::from_millis(50));
    world.settle();
    assert!(world.lives[&id].settled.contains(&0));
    for seed in 0..50 {
        world.reborn(seed, params()).check(&world.lives);
    }
}

#[test]
fn outcomes_that_could_not_be_written_again_are_written_once_more() {
    let mut world = World::new(1, params());
    world.settle();
    let id = world.commit();
    world.settle();
    world.settle_one(id, 0, true);
    world.complete(0);
    // Its sync fails, and so does its write into the next segment.
    world.disk.faults.insert(world.disk.count + 1, Fault::Failed);
    world.pass(Duration::from_millis(50));
    while !matches!(world.pending[0], (_, Op::Write { offset: 1024.., .. })) {
        world.complete(0);
    }
    world.disk.faults.insert(world.disk.count + 1, Fault::Failed);
    world.complete(0);
    // Long before compaction finds it in the old segment, to which nobody looks after a crash.
    while !world.log.writer.again.is_empty() {
        match world.pending.len() {
            0 => world.pass(world.log.next_timeout().expect("it is tried again").since(world.now.mono)),
            _ => world.complete(0),
        }
    }
    for _ in 0..2 {
        (0..10).for_each(|_| world.complete_any());
        world.pass(Duration::from_millis(50));
    }
    assert_eq!(world.troubles.len(), 2, "{:?}", world.troubles);
    let waiting =
        |seed| world.reborn(seed, params()).recovered.iter().map(|found| found.waiting).sum::<u32>();
    assert!((0..20).all(|seed| waiting(seed) == RECIPIENTS - 1), "{:?}", waiting(0));
    world.settle();
    assert!(world.lives[&id].settled.contains(&0));
    for seed in 0..20 {
        world.reborn(seed, params()).check(&world.lives);
    }
}

#[test]
fn what_waits_behind_a_write_that_fails_is_refused_with_it() {
    let mut world = World::new(1, params());
    world.settle();
    let ids = [world.commit(), world.commit()];
    world.disk.faults.insert(world.disk.count + 1, Fault::Failed);
    world.complete(0);
    assert_eq!(ids.map(|id| world.lives[&id].answer), [Some(Err(Refusal::Broken)); 2]);
}

#[test]
fn a_broken_disk_is_tried_again_ever_more_rarely_and_forgiven_when_it_works() {
    let mut world = World::new(1, params());
    world.settle();
    let kept = world.commit();
    world.settle();
    for _ in 0..2 {
        world.disk.broken = true;
        world.commit();
        let mut waits = Vec::new();
        for _ in 0..200 {
            if world.pending.is_empty() {
                let wait = world.log.next_timeout().expect("it will be tried again").since(world.now.mono);
                waits.extend(Some(wait.as_secs()).filter(|seconds| *seconds > 0));
                world.pass(wait);
            } else {
                world.complete(0);
            }
        }
        assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(world.load(kept).is_some());
        world.disk.broken = false;
        world.pass(Duration::from_secs(60));
        world.settle();
        let id = world.commit();
        world.settle();
        assert_eq!(world.lives[&id].answer, Some(Ok(())));
    }
    world.reborn(3, params()).check(&world.lives);
}

#[test]
fn a_full_disk_refuses_mail_and_can_still_be_drained() {
    for seed in 0..10 {
        let params = Params { segment_size: 16 * 1024, reserve: 16 * 1024, ..Params::default() };
        let mut world = World::new(seed, params);
        world.disk.capacity = 20 * 16 * 1024;
        world.settle();
        let mut refused = 0;
        for _ in 0..1000 {
            let id = world.commit();
            world.settle();
            refused += u64::from(world.lives[&id].answer == Some(Err(Refusal::Full)));
        }
        assert!(refused > 300, "{refused}");
        let before = world.refusals;
        let mut present = world.present();
        world.prng.shuffle(&mut present);
        assert!(present.len() > 300, "{}", present.len());
        // The reserve is enough for some outcomes, and for removing all in any order.
        for id in present.iter().take(10) {
            world.settle_one(*id, 0, true);
            world.settle();
        }
        assert_eq!(world.refusals, before, "{:?} {:?}", world.log.spares, world.log.free());
        let mut next = world.reborn(seed, params);
        next.check(&world.lives);
        for id in &present {
            world.remove(*id);
            world.settle();
            assert_eq!(
                world.refusals,
                before,
                "{:?} {} {:?} {:?} {:?}",
                world.log.spares,
                world.log.free(),
                world.log.tidy,
                world.log.usage(),
                world.log.index.segments
            );
        }
        assert_eq!(world.refusals, before, "{:?}", world.troubles);
        world.settle();
        let id = world.commit();
        world.settle();
        assert_eq!(world.lives[&id].answer, Some(Ok(())));
        assert_eq!(world.log.messages(), 1);
        world.reborn(seed, params).check(&world.lives);
    }
}

#[test]
fn a_queue_of_as_many_messages_as_it_may_hold_takes_mail_again_when_some_have_left() {
    let mut world = World::new(1, Params { message_limit: 20, ..params() });
    world.settle();
    let ids: Vec<_> = (0..25).map(|_| (world.commit(), world.settle()).0).collect();
    let answers: Vec<_> = ids.iter().map(|id| world.lives[id].answer).collect();
    assert!(answers[..20].iter().all(|answer| *answer == Some(Ok(()))), "{answers:?}");
    assert!(answers[20..].iter().all(|answer| *answer == Some(Err(Refusal::Full))), "{answers:?}");
    let told = world.troubles.iter().filter(|text| text.contains("queue_message_limit")).count();
    assert_eq!(told, 1, "not at each message");
    // Outcomes are written as ever, and what leaves makes room.
    world.settle_one(ids[0], 0, true);
    world.settle();
    world.remove(ids[0]);
    world.settle();
    let id = world.commit();
    world.settle();
    assert_eq!(world.lives[&id].answer, Some(Ok(())));
    assert_eq!(world.log.messages(), 20);
    world.reborn(1, params()).check(&world.lives);
}

#[test]
fn those_that_wait_to_be_written_and_those_under_way_count_as_well() {
    let mut world = World::new(1, Params { message_limit: 20, ..params() });
    world.settle();
    let ids: Vec<_> = (0..40).map(|_| world.commit()).collect();
    world.settle();
    let taken = ids.iter().filter(|id| world.lives[id].answer == Some(Ok(()))).count();
    assert_eq!((taken, world.log.messages()), (20, 20));
}

#[test]
fn what_we_owe_for_mail_that_we_have_is_taken_by_a_full_queue() {
    let mut world = World::new(1, Params { message_limit: 20, ..params() });
    world.settle();
    for _ in 0..20 {
        world.commit();
        world.settle();
    }
    for (origin, answer) in [
        (Origin::Submitted, Err(Refusal::Full)),
        (Origin::Report, Ok(())),
        (Origin::Forwarded, Ok(())),
        (Origin::Notice, Ok(())),
        (Origin::Submitted, Err(Refusal::Full)),
    ] {
        let id = world.commit_of(origin);
        world.settle();
        assert_eq!(world.lives[&id].answer, Some(answer), "{origin:?}");
    }
    assert_eq!(world.log.messages(), 23);
    // One that comes with its own past is as new as any other; one that takes over from another is not.
    for (of_another, answer) in [(false, Err(Refusal::Full)), (true, Ok(()))] {
        let other = *world.lives.keys().next().expect("there are some");
        let id = world.commit_with(|own| {
            let id = if of_another { other } else { own };
            vec![Change::Retry(id, Timestamp::default())]
        });
        world.settle();
        assert_eq!(world.lives[&id].answer, Some(answer));
    }
}

#[test]
fn that_the_queue_is_full_is_told_again_when_it_had_become_a_sixteenth_smaller() {
    let mut world = World::new(1, Params { message_limit: 32, ..params() });
    world.settle();
    let mut ids: Vec<_> = (0..33).map(|_| (world.commit(), world.settle()).0).collect();
    // How many leave, and how often it was told when the queue is full again.
    for (leaving, told) in [(1, 1), (2, 1), (3, 2)] {
        for id in ids.drain(..leaving) {
            world.settle_one(id, 0, true);
            world.remove(id);
            world.settle();
        }
        for _ in 0..=leaving {
            world.commit();
            world.settle();
        }
        let found = world.troubles.iter().filter(|text| text.contains("queue_message_limit")).count();
        assert_eq!(found, told, "after {leaving} have left");
    }
}

#[test]
fn a_limit_of_none_is_no_limit() {
    let limit = |text| Params::new(&Settings::of(&[("queue_message_limit", text)])).message_limit;
    assert_eq!([limit("0"), limit("7")], [usize::MAX, 7]);
}

/// Commits until a segment is wanted that the disk has no room for.
fn fill(world: &mut World) {
    world.disk.capacity = world.disk.used();
    let told = world.troubles.len();
    while world.troubles.len() == told {
        world.commit_sized(3_000, ContentPlace::Inline);
        while !world.pending.is_empty() && world.troubles.len() == told {
            world.complete(0);
        }
        if world.pending.is_empty() && world.log.missing(world.now) > 0 {
            world.pass(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_segment_for_which_there_is_no_room_is_made_later_ever_more_rarely_and_that_is_told_once() {
    let mut world = World::new(1, params());
    world.settle();
    for _ in 0..2 {
        fill(&mut world);
        let told = "no segment of 16384 octets can be made in the spool: no space left: new mail is refused when the 0 ready ones are used";
        assert!(world.troubles.last().is_some_and(|text| text.ends_with(told)), "{:?}", world.troubles);
        let told = world.troubles.len();
        let mut waits = Vec::new();
        while waits.len() < 8 {
            if world.pending.is_empty() {
                let wait = world.log.next_timeout().expect("it will be tried again").since(world.now.mono);
                if wait >= Duration::from_millis(500) {
                    waits.push(wait.as_secs_f64().round() as u64);
                }
                world.pass(wait);
            } else {
                world.complete(0);
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(world.troubles.len(), told, "once");
        world.disk.capacity = u64::MAX;
        world.pass(Duration::from_secs(60));
        world.settle();
        assert_eq!(world.log.next_timeout(), None);
    }
}

#[test]
fn a_disk_too_small_for_one_segment_says_so_and_waits() {
    let mut world = World::new(1, params());
    world.disk.capacity = 10_000;
    for _ in 0..50 {
        if !world.pending.is_empty() {
            world.complete(0);
        }
    }
    assert!(world.ready.is_some(), "an operator can still look at the queue");
    let id = world.commit();
    assert_eq!(world.lives[&id].answer, Some(Err(Refusal::Full)));
    world.disk.capacity = u64::MAX;
    world.pass(Duration::from_secs(61));
    world.settle();
    let id = world.commit();
    world.settle();
    assert_eq!(world.lives[&id].answer, Some(Ok(())));
}

#[test]
fn a_content_stays_until_the_removal_that_had_to_be_written_again_is_durable() {
    // More outcomes than one write carries come before the removal, and their sync fails.
    let params = Params { segment_size: 8 * 1024 * 1024, reserve: 0, ..Params::default() };
    let mut world = World::new(1, params);
    world.settle();
    let large = world.commit_sized(5000, ContentPlace::File);
    let other = world.commit();
    world.settle();
    for _ in 0..4 {
        let diagnosis = Diagnosis::ours(EnhancedStatus::new(4, 4, 1), "x".repeat(1_200_000));
        let outcomes = vec![(0, Outcome::Deferred(diagnosis))];
        let settlement = Settlement { id: other, at: world.now.wall, outcomes, retry_at: None };
        world.append(Errand::Other, vec![Change::Settle(settlement)], Vec::new());
    }
    world.remove(large);
    while !world.pending.is_empty() {
        world.complete(0);
    }
    world.disk.faults.insert(world.disk.count + 1, Fault::Failed);
    world.pass(Duration::from_millis(50));
    let mut steps = 0;
    while !world.pending.is_empty() {
        world.complete(0);
        steps += 1;
        let mut next = world.reborn(steps, params);
        next.check(&world.lives);
        assert_eq!(next.troubles, Vec::<String>::new(), "after {steps} operations");
    }
    assert!(steps > 5, "{steps}");
    assert!(world.disk.inode(super::super::File::Content(large)).is_none(), "and then it goes");
}

#[test]
fn what_a_killed_process_could_not_sync_is_durable_once_the_next_one_has_read_it() {
    let mut seen = 0;
    for seed in 0..40 {
        let mut world = World::new(seed, params());
        world.settle();
        let id = world.commit();
        world.complete(0);
        // Its sync fails, and nothing after it works: no later segment says that it does not count.
        world.disk.broken = true;
        world.complete(0);
        assert_eq!(world.lives[&id].answer, Some(Err(Refusal::Broken)));
        let mut disk = world.disk.clone();
        disk.broken = false;
        let mut next = World::over(disk, seed, params());
        next.settle();
        if next.recovered.is_empty() {
            continue;
        }
        // It is read, and it may be moved, or delivered and removed elsewhere: from now on it is there.
        seen += 1;
        for power in 0..10 {
            let last = next.reborn(power, params());
            assert_eq!(last.recovered.len(), 1, "{seed} {power}: {:?}", last.troubles);
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn where_no_segment_can_be_made_mail_is_claimed_all_the_same() {
    let mut world = World::new(1, params());
    world.settle();
    world.disk.capacity = world.disk.used();
    // Until the last ready segment is in use.
    let mut kept = Vec::new();
    for _ in 0..200 {
        let id = world.commit();
        world.settle();
        if world.lives[&id].answer == Some(Ok(())) {
            kept.push(id);
        }
    }
    assert!(world.lives.values().any(|life| life.answer != Some(Ok(()))), "the disk is full");
    let id = *kept.last().expect("some were taken");
    let place = world.log.whereabouts(id).expect("it is there");
    let mut disk = world.disk.clone();
    disk.spoil(place.file, |octets| octets[place.offset as usize] ^= 1);
    let mut next = World::over(disk, 1, params());
    next.settle();
    assert_eq!(next.recovered.len(), kept.len() - 1);
    assert!(next.troubles.iter().any(|text| text.contains("set aside")), "{:?}", next.troubles);
}

/// Takes mail, without a pause in which the log would say that what it has is durable, until the first batch of a segment is about to be written; that segment.
fn begin_a_segment(world: &mut World) -> File {
    loop {
        match world.pending.first() {
            Some((_, Op::Write { file: file @ File::Segment(_), offset: 0, .. })) => return *file,
            Some(_) => world.complete(0),
            None => _ = world.commit(),
        }
    }
}

/// Messages that were promised, and those that were not.
fn promised(world: &World) -> (Vec<QueueId>, Vec<QueueId>) {
    let ids = world.lives.keys().copied();
    ids.partition(|id| world.lives[id].answer == Some(Ok(())))
}

#[test]
fn a_segment_whose_first_batch_failed_says_nothing_of_the_one_before_it_so_the_next_one_does() {
    // Its write fails, or its sync.
    for later in [1, 2] {
        let mut world = World::new(1, params());
        world.settle();
        begin_a_segment(&mut world);
        world.disk.faults.insert(world.disk.count + later, Fault::Failed);
        world.settle();
        let (good, _) = promised(&world);
        let last = world.log.whereabouts(*good.last().expect("it took mail")).expect("it is there");
        for seed in 0..20 {
            let mut disk = world.crashed_disk(seed);
            disk.spoil(last.file, |octets| octets[last.offset as usize] ^= 1);
            let mut next = World::over(disk, seed, params());
            next.settle();
            assert_eq!(next.recovered.len(), good.len() - 1);
            assert!(!next.troubles.is_empty(), "seed {seed}: it passes for a torn end: {:?}", next.notes);
        }
    }
}

/// A log whose segment's first batch could not be synced and was refused, and that segment; and what it has promised, and what not.
fn with_a_void_segment(seed: u64) -> (World, File, Vec<QueueId>, Vec<QueueId>) {
    let mut world = World::new(seed, params());
    world.settle();
    let void = begin_a_segment(&mut world);
    // What it begins with is written and can not be synced.
    world.disk.faults.insert(world.disk.count + 2, Fault::Failed);
    world.settle();
    let (good, refused) = promised(&world);
    assert!(!refused.is_empty());
    (world, void, good, refused)
}

#[test]
fn what_is_void_makes_room_before_the_first_segment_is_opened() {
    let (world, void, ..) = with_a_void_segment(1);
    let mut next = World::over(world.disk.clone(), 1, params());
    next.lives.clone_from(&world.lives);
    let mut gone = false;
    next.recover(|_, op| gone |= *op == Op::Unlink(void));
    assert!(gone, "a full disk may have no other room for it");
}

#[test]
fn refused_mail_does_not_come_back_when_what_says_that_it_is_void_has_gone() {
    for (seed, blank) in (0..40).flat_map(|seed| [(seed, false), (seed, true)]) {
        let (mut world, void, good, refused) = with_a_void_segment(seed);
        if blank {
            // Its header has never come to the disk, or has gone.
            world.disk.spoil(void, |octets| octets[..1024].fill(0));
        }
        // At the next start nothing can be removed for a second. Meanwhile all mail goes, and at its end the power fails.
        let mut next = World::over(world.disk.clone(), seed, params());
        next.lives.clone_from(&world.lives);
        next.disk.unremovable = true;
        next.recover(|_, _| ());
        next.disk.unremovable = false;
        good.iter().for_each(|id| next.remove(*id));
        for _ in 0..9 {
            while !next.pending.is_empty() {
                next.complete(0);
            }
            next.pass(Duration::from_millis(100));
        }
        for end in 0..8 {
            let last = next.reborn(end, params());
            assert!(
                !last.recovered.iter().any(|summary| refused.contains(&summary.id)),
                "seed {seed}, {end}: {:?}",
                last.recovered
            );
            assert_eq!(last.troubles, [""; 0], "seed {seed}, {blank}, {end}: nothing is missed");
        }
    }
}

#[test]
fn mail_at_the_end_of_a_segment_is_claimed_as_any_other() {
    let mut world = World::new(3, params());
    world.settle();
    for count in 1..150 {
        let id = world.commit();
        world.settle();
        world.pass(Duration::from_millis(200));
        world.settle();
        assert_eq!(world.lives[&id].answer, Some(Ok(())), "{count}");
        let place = world.log.whereabouts(id).expect("it is there");
        let mut disk = world.disk.clone();
        disk.spoil(place.file, |octets| octets[place.offset as usize] ^= 1);
        let mut next = World::over(disk, 1, params());
        next.settle();
        assert_eq!(next.recovered.len(), count - 1);
        assert!(next.troubles.iter().any(|text| text.contains("set aside")), "{count}: {:?}", next.troubles);
    }
}

#[test]
fn what_says_that_mail_is_durable_is_durable_itself() {
    for seed in 0..20 {
        let mut world = World::new(seed, params());
        world.settle();
        let id = world.commit();
        world.settle();
        world.pass(Duration::from_millis(200));
        world.settle();
        let place = world.log.whereabouts(id).expect("it is there");
        let mut disk = world.crashed_disk(seed);
        disk.spoil(place.file, |octets| octets[place.offset as usize] ^= 1);
        let mut next = World::over(disk, seed, params());
        next.settle();
        assert!(next.recovered.is_empty());
        assert!(next.troubles.iter().any(|text| text.contains("set aside")), "{seed}: {:?}", next.troubles);
    }
}

#[test]
fn what_says_that_outcomes_are_durable_is_not_synced_for_that() {
    let mut world = World::new(1, params());
    world.settle();
    let id = world.commit();
    world.settle();
    world.settle_one(id, 0, true);
    let (mut writes, mut syncs) = (0, 0);
    for _ in 0..10 {
        while let Some((_, op)) = world.pending.first() {
            writes += u32::from(matches!(op, Op::Write { .. }));
            syncs += u32::from(matches!(op, Op::Sync(_)));
            world.complete(0);
        }
        world.pass(Duration::from_millis(50));
    }
    assert_eq!((writes, syncs), (2, 1), "the outcome, and what says that it is durable");
}

#[test]
fn the_time_at_which_mail_would_be_claimed_is_not_asked_for_while_company_is_waited_for() {
    let mut world = World::new(1, params());
    world.settle();
    // Two that come while one is under way are a group: who comes alone then waits for another one.
    let ids = [(); 3].map(|()| world.commit());
    while !world.pending.is_empty() || ids.iter().any(|id| world.lives[id].answer.is_none()) {
        if world.pending.is_empty() { world.pass(Duration::from_millis(1)) } else { world.complete(0) }
    }
    let claim = world.log.next_timeout().expect("what is durable will be claimed");
    world.pass(claim.since(world.now.mono) - Duration::from_micros(500));
    world.commit();
    assert_eq!(world.pending, [], "it waits");
    // The time of the claim comes, and may lead to nothing.
    world.pass(Duration::from_micros(500));
    assert_eq!(world.pending, [], "it still waits");
    world.pass(Duration::from_micros(500));
    assert!(matches!(world.pending[..], [(_, Op::Write { .. })]), "{:?}", world.pending);
}

#[test]
fn a_segment_that_was_begun_for_what_was_then_refused_says_that_the_mail_before_it_is_durable() {
    let mut world = World::new(1, params());
    world.settle();
    world.disk.capacity = world.disk.used();
    // Without a pause in which the log would say so.
    let answer = |world: &mut World| {
        while !world.errands.is_empty() {
            if world.pending.is_empty() { world.pass(Duration::from_millis(1)) } else { world.complete(0) }
        }
    };
    let mut kept = Vec::new();
    loop {
        let id = world.commit_sized(1_500, ContentPlace::Inline);
        answer(&mut world);
        if world.lives[&id].answer != Some(Ok(())) {
            break;
        }
        kept.push(id);
    }
    let last = *kept.last().expect("some were taken");
    // An outcome for which there is no room any more when it has left alone what is behind that mail.
    let diagnosis = Diagnosis::ours(EnhancedStatus::new(4, 4, 1), "no answer ".repeat(20));
    let outcomes = (0..RECIPIENTS).cycle().map(|index| (index, Outcome::Deferred(diagnosis.clone())));
    let settlement =
        Settlement { id: last, at: world.now.wall, outcomes: outcomes.take(30).collect(), retry_at: None };
    let refusals = world.refusals;
    world.append(Errand::Other, vec![Change::Settle(settlement)], Vec::new());
    answer(&mut world);
    let current = world.log.writer.current.as_ref().expect("it is open");
    assert_eq!((world.refusals, current.header.is_some()), (refusals + 1, true), "{:?}", current);
    world.settle();
    let place = world.log.whereabouts(last).expect("it is there");
    for seed in 0..10 {
        let mut disk = world.crashed_disk(seed);
        disk.spoil(place.file, |octets| octets[place.offset as usize] ^= 1);
        let mut next = World::over(disk, seed, params());
        next.settle();
        assert_eq!(next.recovered.len(), kept.len() - 1);
        assert!(next.troubles.iter().any(|text| text.contains("set aside")), "{seed}: {:?}", next.troubles);
    }
}
