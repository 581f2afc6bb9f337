//! What a start reads, tries again, tells and leaves alone.

use super::super::frame::{FrameHeader, SegmentHeader, checksum};
use super::super::recovery::Stage;
use super::super::{DiskError, Done, File, Input, Log, Op, Output, Params};
use super::disk::{Disk, Fault};
use super::world::{World, params};
use crate::machine::Machine;
use crate::mail::{ContentPlace, QueueId};
use crate::time::{Duration, Instant, Now};

/// Three messages in a spool at rest, which says that all of it is durable.
pub(super) fn spool() -> World {
    let mut world = World::new(5, params());
    world.settle();
    for _ in 0..3 {
        world.commit_sized(300, ContentPlace::Inline);
    }
    world.settle();
    world
}

/// Recovers, with reads that fail as `fails` says; the pauses that it took.
pub(super) fn recover(mut next: World, fails: impl Fn(&World, &Op) -> bool) -> (World, Vec<Duration>) {
    let pauses = next.recover(|next, op| next.disk.unreadable = fails(next, op));
    assert!(next.numbered.is_some(), "sessions may begin");
    let writer = &next.log.writer;
    assert!(writer.current.is_some() || writer.refusing.is_some(), "what becomes of mail is known");
    (next, pauses)
}

pub(super) fn over(disk: Disk) -> World {
    World::over(disk, 9, params())
}

/// The segment that holds the messages.
pub(super) fn used(world: &World) -> File {
    let id = *world.lives.keys().next().expect("there are some");
    world.log.whereabouts(id).expect("it is there").file
}

#[test]
fn a_spool_that_can_not_be_listed_is_listed_again_every_second() {
    let mut log = Log::new(params(), 1);
    let mut now = Now { mono: Instant(1), ..Now::default() };
    log.handle_input(now, Input::Open);
    for failure in [Err(DiskError::Failed("?".into())), Ok(Done::Nothing), Err(DiskError::Missing)] {
        let Some(Output::Do(op, Op::List)) = log.poll_output() else { panic!("it is listed") };
        log.handle_input(now, Input::Did { op, result: failure });
        assert!(matches!(log.poll_output(), Some(Output::Event(_))), "that is told");
        assert_eq!(log.poll_output(), None);
        assert_eq!(log.next_timeout(), Some(now.mono.after(Duration::from_secs(1))));
        log.handle_timeout(now);
        assert_eq!(log.poll_output(), None, "not before its time");
        now = now.after(Duration::from_secs(1));
        log.handle_timeout(now);
    }
    let Some(Output::Do(op, Op::List)) = log.poll_output() else { panic!("it is listed") };
    log.handle_input(now, Input::Did { op, result: Ok(Done::Files(Vec::new())) });
    assert!(matches!(log.poll_output(), Some(Output::Numbered { .. })));
}

#[test]
fn a_read_that_fails_is_tried_six_times_half_a_second_apart() {
    let world = spool();
    let half = Duration::from_millis(500);
    for times in 1..=6 {
        let tried = std::cell::Cell::new(0);
        let (next, pauses) = recover(over(world.disk.clone()), |_, op| {
            let is_frames = matches!(op, Op::Read { file, offset: 1024, .. } if *file == used(&world));
            tried.set(tried.get() + u32::from(is_frames));
            is_frames && tried.get() <= times
        });
        if times < 6 {
            assert_eq!((next.recovered.len(), next.troubles.len()), (3, 0), "{times}");
            assert_eq!(pauses, vec![half; times as usize]);
        } else {
            assert_eq!(pauses, vec![half; 5], "then it is read in small pieces, which can be");
            assert_eq!((next.recovered.len(), next.troubles.len()), (3, 0));
        }
    }
}

/// The disk of a process that was killed when it had answered for a message of several pages, and had not yet said that all is durable.
fn killed() -> (Disk, File) {
    let mut world = World::new(5, params());
    world.settle();
    let id = world.commit_sized(6_000, ContentPlace::Inline);
    while world.lives[&id].answer.is_none() {
        world.complete(0);
    }
    (world.disk.clone(), used(&world))
}

/// Only reads of small pieces succeed, and those that touch these octets do not either.
fn reads_small(dark: std::ops::Range<u64>) -> impl Fn(&World, &Op) -> bool {
    move |_, op| match op {
        Op::Read { offset, length, .. } if *offset >= 1024 => {
            *length > 4096 || (*offset < dark.end && dark.start < offset + length)
        }
        _ => false,
    }
}

#[test]
fn what_can_not_be_read_is_damage_though_nobody_says_that_it_was_durable() {
    // In the first small piece, and in the second.
    for dark in [5_000, 6_000] {
        let (disk, _) = killed();
        let (next, _) = recover(over(disk), reads_small(dark..dark + 1));
        assert!(next.recovered.is_empty());
        assert!(
            next.troubles.iter().any(|text| text.contains("can not be read: it stays")),
            "{:?}",
            next.troubles
        );
    }
}

#[test]
fn what_can_be_read_in_small_pieces_is_whole_or_a_torn_end_as_if_it_had_been_read_at_once() {
    let (disk, file) = killed();
    let (next, _) = recover(over(disk.clone()), reads_small(0..0));
    assert_eq!((next.recovered.len(), next.troubles.len()), (1, 0));
    let mut torn = disk;
    torn.spoil(file, |octets| octets[5_120..5_632].fill(0));
    let (next, _) = recover(over(torn), reads_small(0..0));
    assert_eq!((next.recovered.len(), &next.troubles), (0, &Vec::new()));
    assert!(
        next.notes.iter().any(|text| text.contains("not written to its end, at 1024")),
        "{:?}",
        next.notes
    );
}

/// As [`killed`], with another batch behind: a message that claims what is before it, and one beside it.
fn killed_later() -> (Disk, File, [u64; 3]) {
    let mut world = World::new(5, params());
    world.settle();
    let first = world.commit_sized(6_000, ContentPlace::Inline);
    let rest =
        [world.commit_sized(2_000, ContentPlace::Inline), world.commit_sized(2_000, ContentPlace::Inline)];
    while world.lives[&rest[1]].answer.is_none() {
        if world.pending.is_empty() { world.pass(Duration::from_millis(1)) } else { world.complete(0) }
    }
    let at = [first, rest[0], rest[1]].map(|id| world.log.whereabouts(id).expect("it is there").offset);
    (world.disk.clone(), used(&world), at)
}

/// A message, and two in one batch behind it, of which the first has the octets from 5,120 to 9,216 alone.
fn one_and_two() -> (World, [QueueId; 3]) {
    let mut world = World::new(5, params());
    world.settle();
    let ids = [300, 9_000, 2_000].map(|stored| world.commit_sized(stored, ContentPlace::Inline));
    while world.lives[&ids[2]].answer.is_none() {
        if world.pending.is_empty() { world.pass(Duration::from_millis(1)) } else { world.complete(0) }
    }
    (world, ids)
}

#[test]
fn mail_of_the_last_batch_is_there_behind_octets_that_can_not_be_read() {
    let (world, ids) = one_and_two();
    let (next, _) = recover(over(world.disk), reads_small(6_000..6_001));
    let found: Vec<QueueId> = next.recovered.iter().map(|summary| summary.id).collect();
    assert_eq!(found, [ids[0], ids[2]], "{:?}", next.troubles);
}

#[test]
fn damage_behind_octets_that_can_not_be_read_is_set_aside() {
    let (mut world, ids) = one_and_two();
    world.settle();
    let place = world.log.whereabouts(ids[2]).expect("it is there");
    world.disk.spoil(place.file, |octets| octets[place.offset as usize + 1_000] ^= 1);
    let (next, _) = recover(over(world.disk), reads_small(6_000..6_001));
    assert_eq!(next.recovered.len(), 1);
    let copies = next.disk.files().iter().filter(|(file, _)| matches!(file, File::Corrupt(..))).count();
    assert_eq!(copies, 1, "{:?}", next.troubles);
}

#[test]
fn a_torn_end_behind_octets_that_can_not_be_read_is_no_damage() {
    let (mut disk, file, at) = killed_later();
    disk.spoil(file, |octets| octets[at[1] as usize + 1_000..].fill(0));
    let (next, _) = recover(over(disk), reads_small(5_000..5_001));
    let damaged = next.troubles.iter().filter(|text| text.contains("can not be read: it stays")).count();
    assert_eq!((next.recovered.len(), damaged), (0, 1), "{:?}", next.troubles);
    assert!(next.notes.iter().any(|text| text.contains("not written to its end")), "{:?}", next.notes);
}

#[test]
fn a_record_behind_one_that_was_not_written_does_not_count() {
    let (mut disk, file, at) = killed_later();
    let (next, _) = recover(over(disk.clone()), |_, _| false);
    assert_eq!(next.recovered.len(), 3);
    assert!(next.notes.iter().all(|text| !text.contains("not written to its end")), "{:?}", next.notes);
    // From the end of the first message, which is that of a sector, to the frame of the third.
    let from = (at[0] + 6_000).next_multiple_of(512) as usize;
    let to = at[1] as usize + 2_000;
    disk.spoil(file, |octets| octets[from..to].fill(0));
    let (next, _) = recover(over(disk), |_, _| false);
    assert_eq!((next.recovered.len(), &next.troubles), (1, &Vec::new()));
    assert!(next.notes.iter().any(|text| text.contains("not written to its end")), "{:?}", next.notes);
}

#[test]
fn a_record_of_a_segment_that_has_become_blank_is_damage() {
    let mut world = spool();
    let first = used(&world);
    let mut last = None;
    loop {
        let id = world.commit_sized(3_000, ContentPlace::Inline);
        world.settle();
        let place = world.log.whereabouts(id).expect("it is there");
        if place.file != first {
            break;
        }
        last = Some((id, place.offset));
    }
    let (id, at) = last.expect("there was room for one");
    world.disk.spoil(first, |octets| octets[(at / 512 * 512) as usize..].fill(0));
    let (next, _) = recover(over(world.disk), |_, _| false);
    assert!(next.recovered.iter().all(|summary| summary.id != id));
    assert!(next.troubles.iter().any(|text| text.contains("is damaged")), "{:?}", next.troubles);
}

#[test]
fn a_record_that_is_whole_and_says_nothing_that_we_know_is_damage() {
    let (mut disk, file) = killed();
    let octets = disk.inode(file).expect("it is there").octets.clone();
    let File::Segment(number) = file else { panic!("{file:?}") };
    let (segment, _) = SegmentHeader::parse(&octets, number).expect("its header");
    let header = FrameHeader {
        total: 512,
        changes: 3,
        content: 0,
        changes_crc: checksum([[9, 9, 9].as_slice()]),
        content_crc: checksum([]),
        synced_through: 0,
        subject: QueueId(7),
        commit: false,
    };
    let head = header.emit(segment.seal, 1024);
    disk.spoil(file, |octets| {
        octets[1024..].fill(0);
        octets[1024..1024 + head.len()].copy_from_slice(&head);
        octets[1024 + head.len()..][..3].fill(9);
    });
    let (next, _) = recover(over(disk), |_, _| false);
    let told = next.troubles.iter().any(|text| text.contains("octets 1024 to 1536 of segment"));
    assert!(told && next.recovered.is_empty(), "{:?}", next.troubles);
}

#[test]
fn a_file_that_is_shorter_than_it_was_made_or_than_it_was_when_it_was_listed_is_damaged() {
    for listed in [0, 1] {
        let (disk, file) = killed();
        let mut next = over(disk);
        (0..listed).for_each(|_| next.complete(0));
        next.disk.spoil(file, |octets| octets.truncate(3_000));
        let (next, _) = recover(next, |_, _| false);
        assert!(next.recovered.is_empty());
        let is_copied = |text: &String| text.contains("octets 1024 to ") && text.contains("is damaged");
        assert!(next.troubles.iter().any(is_copied), "{:?}", next.troubles);
    }
}

#[test]
fn all_reads_of_one_start_wait_for_fifteen_seconds_at_most() {
    let mut world = spool();
    while world.log.index.segments.len() < 6 {
        world.commit_sized(2_000, ContentPlace::Inline);
        world.settle();
    }
    let (next, pauses) = recover(over(world.disk.clone()), |_, op| matches!(op, Op::Read { .. }));
    assert_eq!(pauses, vec![Duration::from_millis(500); 30]);
    assert!(next.recovered.is_empty() && !next.troubles.is_empty());
}

#[test]
fn a_copy_of_damage_that_has_its_whole_length_is_whole_whenever_the_power_fails() {
    let mut world = spool();
    let id = world.commit_sized(6_000, ContentPlace::Inline);
    world.settle();
    let place = world.log.whereabouts(id).expect("it is there");
    let mut disk = world.disk.clone();
    disk.spoil(place.file, |octets| octets[place.offset as usize + 300] ^= 1);
    let (mut done, _) = recover(over(disk.clone()), |_, _| false);
    let (copy, size) =
        done.disk.files().into_iter().find(|(file, _)| matches!(file, File::Corrupt(..))).expect("a copy");
    let right = done.disk.inode(copy).expect("it is there").octets.clone();
    let (mut whole, mut part) = (0, 0);
    for operations in 0..100 {
        for seed in 0..10 {
            let mut next = over(disk.clone());
            (0..operations).for_each(|_| {
                if !next.pending.is_empty() {
                    next.complete(0)
                }
            });
            let mut crashed = next.crashed_disk(seed);
            match crashed.inode(copy) {
                Some(found) if found.octets.len() as u64 >= size => {
                    whole += 1;
                    let but_one = right.len() - 1;
                    assert!(found.octets[..but_one] == right[..but_one], "{operations}, {seed}");
                }
                Some(_) => part += 1,
                None => {}
            }
        }
    }
    assert!(whole > 10 && part > 10, "{whole}, {part}");
}

#[test]
fn that_the_queue_has_been_read_is_told_with_how_long_it_took() {
    let world = spool();
    let slow = |next: &World, op: &Op| matches!(op, Op::Read { offset: 0, .. }) && next.now.mono.0 == 0;
    let (next, _) = recover(over(world.disk.clone()), slow);
    let told: Vec<&String> = next.notes.iter().filter(|text| text.contains("has been read")).collect();
    assert_eq!(told.len(), 1, "{:?}", next.notes);
    assert!(told[0].contains("3 messages in 2 segments, in 0.500 s"), "{told:?}");
}

#[test]
fn a_segment_that_no_log_of_ours_can_have_made_is_left_alone() {
    let mut world = spool();
    let strange = [File::Segment(0), File::Segment(u64::from(u32::MAX)), File::Segment(1 << 32)];
    for file in strange {
        world.disk.run(Op::Create { file, size: 5_000 }).expect("a disk with room");
    }
    let (mut next, _) = recover(over(world.disk), |_, _| false);
    let told = next.troubles.iter().filter(|text| text.contains("is not ours")).count();
    assert_eq!((told, next.troubles.len()), (3, 3), "{:?}", next.troubles);
    let id = next.commit();
    next.settle();
    assert_eq!(next.lives[&id].answer, Some(Ok(())));
    assert!(
        strange
            .into_iter()
            .all(|file| next.disk.inode(file).is_some_and(|inode| inode.octets.len() == 5_000))
    );
}

#[test]
fn no_number_of_a_segment_is_given_twice_also_if_only_a_copy_of_it_is_left() {
    let mut world = spool();
    let copies = [File::Corrupt(70, 1024), File::Corrupt(u64::from(u32::MAX), 0)];
    for file in copies {
        world.disk.run(Op::Create { file, size: 10 }).expect("a disk with room");
    }
    let (mut next, _) = recover(over(world.disk), |_, _| false);
    next.settle();
    let made = next.disk.files().into_iter().filter_map(|(file, _)| match file {
        File::Segment(number) => Some(number),
        _ => None,
    });
    assert_eq!(made.max(), Some(next.log.next_segment - 1));
    assert!((71..100).contains(&next.log.next_segment), "{}", next.log.next_segment);
    assert!(next.disk.inode(File::Segment(70)).is_none(), "its number was taken");
    assert!(copies.into_iter().all(|file| next.disk.inode(file).is_some()), "copies are for a person");
}

#[test]
fn one_damaged_header_of_two_is_told_and_costs_nothing() {
    let world = spool();
    for at in [20, 512 + 20] {
        let mut disk = world.disk.clone();
        disk.spoil(used(&world), |octets| octets[at] ^= 1);
        let (next, _) = recover(over(disk), |_, _| false);
        assert_eq!((next.recovered.len(), next.troubles.len()), (3, 0));
        assert!(
            next.warnings.iter().any(|text| text.contains("one of the two headers")),
            "{:?}",
            next.warnings
        );
    }
    let (next, _) = recover(over(world.disk), |_, _| false);
    assert_eq!(next.warnings, Vec::<String>::new());
}

#[test]
fn a_segment_whose_header_was_overwritten_is_set_aside_when_a_later_one_knows_of_it() {
    let mut world = spool();
    let first = used(&world);
    while used_last(&mut world) == first {}
    world.settle();
    let mut disk = world.disk.clone();
    disk.spoil(first, |octets| octets[..1024].fill(0));
    let (mut next, _) = recover(over(disk), |_, _| false);
    assert!(next.troubles[0].contains("overwritten with zeros"), "{:?}", next.troubles);
    assert!(!next.recovered.is_empty() && next.recovered.len() < world.lives.len());
    let whole = world.disk.inode(first).expect("it is there").octets.clone();
    let copied = next.disk.files().into_iter().find(|(file, _)| matches!(file, File::Corrupt(..)));
    let (copy, size) = copied.expect("there is a copy");
    assert_eq!(size, whole.len() as u64);
    assert_eq!(next.disk.inode(copy).expect("it is there").octets[1024..], whole[1024..]);
}

/// Commits one more message; where it is.
pub(super) fn used_last(world: &mut World) -> File {
    let id = world.commit_sized(3_000, ContentPlace::Inline);
    world.settle();
    world.log.whereabouts(id).expect("it is there").file
}

#[test]
fn segments_that_were_made_ahead_are_used_and_others_without_a_header_are_removed() {
    let mut world = spool();
    world.settle();
    let segments = |world: &World| {
        let files = world.disk.files().into_iter();
        files.filter(|(file, _)| matches!(file, File::Segment(_))).collect::<Vec<_>>()
    };
    let before = segments(&world);
    let made = world.log.next_segment;
    // One of another size, as a change of the parameter leaves it, one that was cut off, and one that is a whole header.
    let (other, cut, header) = (File::Segment(made), File::Segment(made + 1), File::Segment(made + 2));
    world.disk.run(Op::Create { file: other, size: 8_192 }).expect("a disk with room");
    world.disk.run(Op::Create { file: cut, size: 1_023 }).expect("a disk with room");
    world.disk.run(Op::Create { file: header, size: 1_024 }).expect("a disk with room");
    let (mut next, _) = recover(over(world.disk), |_, _| false);
    assert_eq!(next.warnings.len(), 1, "{:?}", next.warnings);
    assert!(next.warnings[0].contains(&format!("segment {} of the spool is cut off", made + 1)));
    next.settle();
    assert!([other, cut, header].iter().all(|file| next.disk.inode(*file).is_none()));
    let after = segments(&next);
    assert!(before.iter().all(|segment| after.contains(segment)), "{before:?} {after:?}");
    assert!(after.len() <= before.len() + 1, "{before:?} {after:?}");
}

#[test]
fn the_name_of_the_segment_that_is_written_first_is_durable_before_mail_is_taken() {
    // A process that was killed may have made it, and its name be in memory only.
    let mut next = over(spool().disk);
    let mut last = None;
    while next.ready.is_none() {
        last = next.pending.first().map(|(_, op)| op.clone());
        next.complete(0);
    }
    assert_eq!(last, Some(Op::SyncDirectory));
}

#[test]
fn a_last_segment_that_can_not_be_written_anew_is_told_after_six_tries() {
    let world = spool();
    let mut next = over(world.disk.clone());
    next.disk.broken = true;
    let (next, pauses) = recover(next, |_, _| false);
    assert_eq!(pauses, [Duration::from_millis(500); 5]);
    let told = next.troubles.iter().filter(|text| text.contains("could not be written anew")).count();
    assert_eq!((told, next.recovered.len()), (1, 3), "{:?}", next.troubles);
}

/// A start over this disk at which nothing can be written anew.
fn not_renewed(disk: Disk, fault: Fault) -> World {
    let mut next = over(disk);
    next.recover(|next, op| {
        if matches!((op, &next.log.recovery.stage), (Op::Write { .. }, Stage::Renew(_))) {
            next.disk.faults.insert(next.disk.count + 1, fault);
        }
    });
    next
}

#[test]
fn a_full_disk_holds_space_back_only_where_mail_lies_in_what_could_not_be_written_anew() {
    let holds = |disk, fault| {
        let next = not_renewed(disk, fault);
        assert_eq!(next.troubles.len(), 1, "{:?}", next.troubles);
        assert!(next.troubles[0].contains("could not be written anew"), "{:?}", next.troubles);
        let pinned = next.log.index.segments.values().any(|segment| segment.pinned);
        assert_eq!(next.troubles[0].contains("gives no space back"), pinned, "{:?}", next.troubles);
        pinned
    };
    assert!(!holds(spool().disk, Fault::Full), "all mail was durable");
    assert!(holds(killed().0, Fault::Full), "nobody says that its mail was durable");
    assert!(holds(spool().disk, Fault::Failed) && holds(killed().0, Fault::Failed));
}

#[test]
fn a_segment_that_could_not_be_written_anew_is_at_the_next_start() {
    let world = spool();
    for fault in [Fault::Full, Fault::Failed] {
        let mut next = not_renewed(world.disk.clone(), fault);
        next.settle();
        let mut written = Vec::new();
        let mut third = over(next.disk);
        third.recover(|next, op| {
            if let (Op::Write { file, .. }, Stage::Renew(_)) = (op, &next.log.recovery.stage) {
                written.push(*file);
            }
        });
        assert!(written.contains(&used(&world)), "{written:?}");
    }
}

#[test]
fn where_the_last_segment_can_not_be_read_the_octets_beside_are_written_anew_all_the_same() {
    let mut world = World::new(5, Params { segment_size: 512 * 1024, ..params() });
    world.settle();
    world.commit_sized(400_000, ContentPlace::Inline);
    while !world.pending.is_empty() {
        world.complete(0);
    }
    // Nothing says yet that it is durable: all of it is written once more.
    for (dark, piece) in [(100_000, 99_328), (300_000, 295_936)] {
        let mut next = World::over(world.disk.clone(), 9, Params { segment_size: 512 * 1024, ..params() });
        let mut written = Vec::new();
        next.recover(|next, op| {
            let renews = matches!(next.log.recovery.stage, Stage::Renew(_));
            next.disk.unreadable = false;
            match op {
                Op::Read { offset, length, .. } if renews => {
                    next.disk.unreadable = (*offset..offset + length).contains(&dark);
                }
                Op::Write { offset, octets, .. } if renews => {
                    written.push((*offset, offset + octets.iter().map(Vec::len).sum::<usize>() as u64));
                }
                _ => {}
            }
        });
        let end = written.iter().map(|(_, end)| *end).max().expect("it is written anew");
        let missing = (0..end).filter(|at| !written.iter().any(|(from, to)| (*from..*to).contains(at)));
        let missing: Vec<u64> = missing.collect();
        assert!(end > 400_000, "{end}");
        assert_eq!((missing.first(), missing.len()), (Some(&piece), 4096), "one small piece");
        assert_eq!(next.recovered.len(), 1);
    }
}

#[test]
fn a_header_that_can_not_be_read_again_is_not_written_anew_and_what_is_behind_it_is() {
    let mut next = over(killed().0);
    let (mut tries, mut written) = (0, Vec::new());
    next.recover(|next, op| {
        let renews = matches!(next.log.recovery.stage, Stage::Renew(_));
        next.disk.unreadable = renews && matches!(op, Op::Read { offset: 0, .. });
        tries += u32::from(next.disk.unreadable);
        if let (true, Op::Write { offset, .. }) = (renews, op) {
            written.push(*offset);
        }
    });
    assert_eq!((tries, written), (6, vec![1_024, 5_120]), "in small pieces");
}

#[test]
fn damage_is_copied_in_pieces_of_bounded_size() {
    let large = Params { segment_size: 512 * 1024, reserve: 0, ..Params::default() };
    let mut world = World::new(5, large);
    world.settle();
    let id = world.commit_sized(200_000, ContentPlace::Inline);
    world.settle();
    let place = world.log.whereabouts(id).expect("it is there");
    let mut disk = world.disk.clone();
    disk.spoil(place.file, |octets| octets[place.offset as usize + 100_000] ^= 1);
    let mut next = World::over(disk, 9, large);
    let mut copied = Vec::new();
    let mut half = None;
    while next.ready.is_none() {
        if copied.len() == 2 && half.is_none() {
            half = Some(next.disk.clone());
        }
        if let (_, Op::Write { file: File::Corrupt(..), offset, octets }) = &next.pending[0] {
            copied.push((*offset, octets.iter().map(Vec::len).sum::<usize>()));
        }
        next.complete(0);
    }
    let total: usize = copied.iter().map(|(_, length)| length).sum();
    assert!(copied.len() == 5 && (200_000..201_500).contains(&total), "{copied:?}");
    assert!(
        copied.iter().take(3).zip([0, 65_536, 131_072]).all(|(piece, at)| *piece == (at, 65_536)),
        "{copied:?}"
    );
    let (copy, _) =
        next.disk.files().into_iter().find(|(file, _)| matches!(file, File::Corrupt(..))).expect("a copy");
    let octets = next.disk.inode(copy).expect("it is there").octets.clone();
    let whole = next.disk.inode(place.file).expect("it is there").octets.clone();
    let at = whole.windows(64).position(|window| *window == octets[..64]).expect("it was copied from there");
    assert!(whole[at..].starts_with(&octets));
    // Whoever is interrupted begins anew.
    let mut again = World::over(half.expect("there were four pieces"), 9, large);
    while again.ready.is_none() {
        again.complete(0);
    }
    assert_eq!(again.disk.inode(copy).expect("it is there").octets, octets);
}
