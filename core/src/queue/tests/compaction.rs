//! Compaction on a disk that does not always read.

use super::super::{File, Input, Op};
use super::disk::Fault;
use super::world::{World, params};
use crate::machine::Machine;
use crate::mail::{ContentPlace, QueueId};
use crate::time::Duration;
use std::collections::VecDeque;

/// A spool of which so much has died that its oldest segment is to be emptied, before a read of that has been carried out.
fn spool() -> World {
    let mut world = World::new(1, params());
    world.settle();
    live_until_it_reads(&mut world);
    world
}

/// A day on which most mail leaves at once, and what stays is spread out, so that no segment dies by itself.
fn live_on(world: &mut World, messages: u64) {
    for _ in 0..messages {
        let id = world.commit();
        finish_writes(world);
        if !(id.0 >> 12).is_multiple_of(5) {
            world.remove(id);
            finish_writes(world);
        }
    }
}

fn live_until_it_reads(world: &mut World) {
    let days = (0..1_000).take_while(|_| {
        live_on(world, 1);
        reads(world) == 0
    });
    assert!(days.count() < 1_000, "something is compacted");
}

fn is_read(op: &Op) -> bool {
    matches!(op, Op::Read { .. })
}

fn reads(world: &World) -> usize {
    world.pending.iter().filter(|(_, op)| is_read(op)).count()
}

/// Everything but reads.
fn finish_writes(world: &mut World) {
    while let Some(place) = world.pending.iter().position(|(_, op)| !is_read(op)) {
        world.complete(place);
    }
}

/// Everything that can be done without waiting for a retry.
fn finish(world: &mut World) {
    while !world.pending.is_empty() {
        world.complete(0);
    }
}

fn is_too_large(world: &World) -> bool {
    let (living, used) = world.log.usage();
    used > 2 * living + 4 * params().segment_size + params().reserve
}

fn oldest(world: &World) -> File {
    world.disk.files().into_iter().map(|(file, _)| file).min().expect("there are segments")
}

#[test]
fn a_segment_that_can_not_be_read_is_tried_again_ever_more_rarely_and_given_back_when_it_can() {
    let mut world = spool();
    let first = oldest(&world);
    world.disk.unreadable = true;
    let mut waits = Vec::new();
    finish(&mut world);
    let mut last = world.now.mono;
    while waits.len() < 9 {
        let told = world.troubles.len();
        let wait = world.log.next_timeout().expect("it will be tried again").since(world.now.mono);
        world.pass(wait);
        let tried = reads(&world) > 0;
        finish(&mut world);
        if tried {
            waits.push(world.now.mono.since(last).as_secs());
            last = world.now.mono;
            assert_eq!(world.troubles.len(), told + 1, "each failure is told once: {:?}", world.troubles);
        }
    }
    assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
    assert!(world.troubles[0].contains("Input/output error") && world.troubles[0].contains("again in 1 s"));
    assert_eq!(oldest(&world), first, "what can not be read is kept");
    live_on(&mut world, 400);
    assert!(is_too_large(&world));
    world.disk.unreadable = false;
    world.pass(Duration::from_secs(60));
    world.settle();
    assert!(!is_too_large(&world), "{:?}", world.log.usage());
    assert_ne!(oldest(&world), first, "it is given back");
    world.reborn(1, params()).check(&world.lives);
}

/// Lets the first so many reads through, and the next one fail.
fn fail_read(world: &mut World, number: usize) -> bool {
    let mut read = 0;
    while !world.pending.is_empty() {
        let fails = is_read(&world.pending[0].1) && read == number;
        read += usize::from(is_read(&world.pending[0].1));
        world.disk.unreadable = fails;
        world.complete(0);
        world.disk.unreadable = false;
    }
    read > number
}

#[test]
fn any_one_read_that_fails_is_told_once_and_tried_again_and_nothing_is_lost() {
    let start = spool();
    let mut failed = 0;
    for number in 0.. {
        let mut world = start.clone();
        if !fail_read(&mut world, number) {
            break;
        }
        failed += 1;
        world.settle();
        assert_eq!(world.troubles.len(), 1, "{number}: {:?}", world.troubles);
        assert_ne!(oldest(&world), oldest(&start), "{number}: it is given back");
        world.reborn(number as u64, params()).check(&world.lives);
    }
    assert!(failed >= 3, "the walk and messages: {failed}");
}

#[test]
fn a_write_of_moved_mail_that_fails_is_begun_again_in_another_segment() {
    let mut world = spool();
    let first = oldest(&world);
    while !matches!(world.pending.first(), Some((_, Op::Write { .. }))) {
        world.complete(0);
    }
    world.disk.faults.insert(world.disk.count + 1, Fault::Failed);
    world.settle();
    assert_eq!(world.troubles.len(), 1, "{:?}", world.troubles);
    assert_ne!(oldest(&world), first, "it is given back");
    world.reborn(1, params()).check(&world.lives);
}

#[test]
fn after_it_was_read_the_next_failure_is_a_first_one() {
    let mut world = spool();
    for _ in 0..2 {
        assert!(fail_read(&mut world, 0));
        world.settle();
        live_until_it_reads(&mut world);
    }
    assert!(world.troubles.iter().all(|text| text.contains("again in 1 s")), "{:?}", world.troubles);
    assert_eq!(world.troubles.len(), 2);
}

#[test]
fn a_segment_that_can_not_be_removed_is_tried_again_ever_more_rarely_and_goes_when_it_can() {
    let mut world = spool();
    let first = oldest(&world);
    world.disk.unremovable = true;
    world.settle();
    let removals = |world: &World| {
        let told = |text: &&String| text.contains("can not be removed: Input/output error; tried again in");
        world.troubles.iter().filter(told).count()
    };
    let before = removals(&world);
    assert!(before > 0, "{:?}", world.troubles);
    world.pass(Duration::from_secs(300));
    world.settle();
    assert!((1..=6).contains(&(removals(&world) - before)), "{:?}", world.troubles);
    world.disk.unremovable = false;
    world.pass(Duration::from_secs(60));
    world.settle();
    assert_ne!(oldest(&world), first, "it is given back, and no mail had to come");
    world.reborn(1, params()).check(&world.lives);
}

#[test]
fn contents_that_can_not_be_removed_are_tried_again_until_they_are_gone() {
    let mut world = World::new(1, params());
    world.settle();
    let large: Vec<QueueId> = (0..40).map(|_| world.commit_sized(5000, ContentPlace::File)).collect();
    world.settle();
    // This one belongs to no message: its staging could not remove it.
    let aborted = QueueId::new(u64::MAX / 2, 0);
    world.disk.run(Op::Create { file: File::Content(aborted), size: 100 }).unwrap();
    let contents = |world: &World| {
        let files = world.disk.files();
        files.iter().filter(|(file, _)| matches!(file, File::Content(_))).count()
    };
    assert_eq!(contents(&world), 41);
    world.disk.unremovable = true;
    for id in &large[1..] {
        world.remove(*id);
    }
    world.tell(Input::Forget(aborted));
    // Still wanted.
    world.tell(Input::Forget(large[0]));
    world.settle();
    world.pass(Duration::from_secs(300));
    world.settle();
    let told = |text: &&String| {
        text.contains("which is not needed any more, can not be removed: Input/output error; tried again in")
    };
    let times = world.troubles.iter().filter(told).count();
    assert!(
        (5..=13).contains(&times),
        "each failure that begins a pause: {times} times, {:?}",
        world.troubles
    );
    world.disk.unremovable = false;
    world.pass(Duration::from_secs(60));
    world.settle();
    assert_eq!(contents(&world), 1, "no mail had to come, and no start");
    assert_eq!(world.log.next_timeout(), None);
    assert_eq!(world.read(world.log.whereabouts(large[0]).unwrap()).len(), 5000);
    world.reborn(1, params()).check(&world.lives);
}

#[test]
fn a_segment_stays_until_it_is_durable_that_nothing_in_it_counts() {
    let mut world = World::new(5, params());
    world.settle();
    let first = world.commit_sized(3_000, ContentPlace::Inline);
    world.settle();
    let file = |world: &World, id| world.log.whereabouts(id).map(|place| place.file);
    let old = file(&world, first);
    let mut ids = vec![first];
    while file(&world, ids[ids.len() - 1]) == old {
        ids.push(world.commit_sized(3_000, ContentPlace::Inline));
        world.settle();
    }
    let old = file(&world, first).expect("it is there");
    ids.retain(|id| file(&world, *id) == Some(old));
    ids.iter().for_each(|id| world.remove(*id));
    while !world.pending.is_empty() {
        world.complete(0);
    }
    assert_eq!(world.log.whereabouts(first), None, "it is removed, and a crash brings it back");
    assert!(world.disk.inode(old).is_some());
    world.settle();
    assert!(world.disk.inode(old).is_none());
}

#[test]
fn segments_are_given_back_though_mail_never_ceases_to_come() {
    let mut world = World::new(1, params());
    world.settle();
    let (mut waiting, mut most) = (VecDeque::new(), 0);
    for _ in 0..2_000 {
        // More than any write waits for: the next one begins as soon as this sync ends.
        if world.pending.first().is_none_or(|(_, op)| matches!(op, Op::Sync(File::Segment(_)))) {
            waiting.extend((0..8).map(|_| world.commit()));
        }
        while let Some(id) = waiting.pop_front_if(|id| world.lives[id].answer == Some(Ok(()))) {
            world.remove(id);
        }
        world.complete(0);
        most = most.max(world.log.usage().1);
    }
    assert!(most <= 8 * params().segment_size, "{most} octets");
}
