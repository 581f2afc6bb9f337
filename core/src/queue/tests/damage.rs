//! Octets change on the disk while we are away.

use super::super::{DiskError, Done, File, Input, Log, Op, OpId, Output, Params, Ticket};
use super::disk::Disk;
use super::world::World;
use crate::machine::Machine;
use crate::mail::{Change, ContentPlace, QueueId};
use crate::prng::Prng;
use crate::time::{Duration, Now};
use std::collections::BTreeSet;

fn params() -> Params {
    Params { segment_size: 8 * 1024, reserve: 0, ..Params::default() }
}

/// A small spool at rest: four messages, one of them removed, one with an outcome, one in a file of its own.
fn spool() -> World {
    let mut world = World::new(5, params());
    world.content_max = 60;
    world.settle();
    let removed = world.commit();
    world.settle();
    let outcome = world.commit();
    world.settle();
    world.commit_sized(80, ContentPlace::File);
    world.settle();
    world.settle_one(outcome, 0, true);
    world.remove(removed);
    world.commit();
    world.settle();
    // Idle long enough for the log to say that all of it is durable.
    world.pass(Duration::from_secs(1));
    world.settle();
    world
}

fn recover(disk: Disk) -> World {
    let mut world = World::over(disk, 9, params());
    while world.ready.is_none() && !world.pending.is_empty() {
        world.complete(0);
    }
    assert!(world.ready.is_some());
    world
}

fn ids(world: &World) -> BTreeSet<QueueId> {
    world.recovered.iter().map(|summary| summary.id).collect()
}

#[test]
fn a_flipped_bit_touches_one_message_at_most_and_is_reported() {
    let world = spool();
    let whole = ids(&recover(world.disk.clone()));
    assert_eq!(whole.len(), 3);
    let mut touched = 0;
    let files: Vec<File> = world.disk.files().into_iter().map(|(file, _)| file).collect();
    for file in files {
        let mut disk = world.disk.clone();
        let octets = disk.inode(file).unwrap().octets.clone();
        let used = octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
        if matches!(file, File::Content(_)) {
            continue;
        }
        for bit in 0..used * 8 {
            let mut disk = world.disk.clone();
            disk.spoil(file, |octets| octets[bit / 8] ^= 1 << (bit % 8));
            let next = recover(disk);
            let found = ids(&next);
            let changed = found.symmetric_difference(&whole).count();
            assert!(changed <= 1, "bit {bit} of {file:?}: {found:?}");
            assert!(changed == 0 || !next.troubles.is_empty(), "bit {bit} of {file:?} is reported");
            touched += changed;
        }
    }
    assert!(touched > 1000, "{touched}");
}

#[test]
fn damage_is_set_aside_once_and_the_rest_goes_on() {
    let world = spool();
    let mut disk = world.disk.clone();
    let damaged = *ids(&recover(disk.clone())).first().unwrap();
    let at = world.log.whereabouts(damaged).unwrap();
    disk.spoil(at.file, |octets| octets[at.offset as usize] ^= 1);
    let mut next = recover(disk);
    assert_eq!(next.recovered.len(), 2);
    assert_eq!(next.troubles.len(), 1, "{:?}", next.troubles);
    assert!(next.troubles[0].starts_with(&format!("{damaged}: error: octets")), "{:?}", next.troubles);
    let copy = next.disk.files().into_iter().find(|(file, _)| matches!(file, File::Corrupt(..))).unwrap();
    let copied = next.disk.inode(copy.0).unwrap().octets.clone();
    assert!(copied.len() as u64 >= at.length);
    assert!(next.load(damaged).is_none());
    let mut again = next.reborn(4, params());
    assert_eq!(again.recovered.len(), 2);
    assert_eq!(again.troubles, Vec::<String>::new(), "it was said and copied before");
    assert_eq!(again.disk.inode(copy.0).unwrap().octets, copied);
    // Mail goes on, and the damaged segment is given up in time; the copy stays.
    for _ in 0..200 {
        let id = again.commit_sized(500, ContentPlace::Inline);
        again.settle();
        again.remove(id);
        again.settle();
    }
    assert!(!again.disk.files().iter().any(|(file, _)| *file == at.file));
    assert!(again.disk.inode(copy.0).is_some());
}

#[test]
fn a_spool_that_was_cut_off_says_so_and_loses_only_what_was_cut() {
    let world = spool();
    let whole = ids(&recover(world.disk.clone()));
    let segment = world.disk.files().into_iter().find(|(file, _)| {
        matches!(file, File::Segment(_))
            && world.log.whereabouts(*whole.first().unwrap()).unwrap().file == *file
    });
    let (file, size) = segment.unwrap();
    for length in (0..size).step_by(37) {
        let mut disk = world.disk.clone();
        disk.spoil(file, |octets| octets.truncate(length as usize));
        let mut next = recover(disk);
        // A removal that was cut off brings its message back: better twice than never.
        let found = ids(&next);
        let said = !next.troubles.is_empty() || !next.warnings.is_empty();
        assert!(found.len() == 3 || said, "cut at {length}");
        assert!(found.iter().all(|id| world.lives.contains_key(id)));
        let id = next.commit();
        next.settle();
        assert_eq!(next.lives[&id].answer, Some(Ok(())));
    }
}

#[test]
fn a_content_file_that_is_not_what_was_synced_is_damage() {
    let world = spool();
    let file = world.disk.files().into_iter().find(|(file, _)| matches!(file, File::Content(_))).unwrap().0;
    let mut shorter = world.disk.clone();
    shorter.spoil(file, |octets| octets.truncate(10));
    let mut next = recover(shorter);
    assert_eq!(next.recovered.len(), 2);
    assert!(next.troubles[0].contains("10 octets"), "{:?}", next.troubles);
    next.settle();
    assert!(next.disk.inode(file).is_none(), "its octets are in the copy");
    let mut missing = world.disk.clone();
    missing.run(Op::Unlink(file)).unwrap();
    let next = recover(missing);
    assert_eq!(next.recovered.len(), 2);
    assert!(next.troubles[0].contains("missing"), "{:?}", next.troubles);
}

#[test]
fn a_content_file_of_which_one_octet_has_changed_is_damage_wherever_that_is() {
    let mut world = World::new(5, params());
    world.settle();
    let large = world.commit_sized(2_500_000, ContentPlace::File);
    let other = world.commit_sized(80, ContentPlace::File);
    world.settle();
    assert_eq!(ids(&recover(world.disk.clone())), BTreeSet::from([large, other]));
    for at in [0, 1_048_575, 1_048_576, 2_499_999] {
        let mut disk = world.disk.clone();
        disk.spoil(File::Content(large), |octets| octets[at] ^= 1);
        let content = disk.inode(File::Content(large)).unwrap().octets.clone();
        let mut next = recover(disk);
        assert_eq!(ids(&next), BTreeSet::from([other]), "{at}");
        assert!(next.troubles[0].contains("not what was written"), "{:?}", next.troubles);
        let copy = next.disk.files().into_iter().find(|(file, _)| matches!(file, File::Corrupt(..))).unwrap();
        let copied = next.disk.inode(copy.0).unwrap().octets.clone();
        assert!(
            copied.len() > content.len() + 48 && copied.ends_with(&content),
            "the record, and the content"
        );
    }
}

#[test]
fn contents_are_read_in_pieces_of_bounded_size() {
    let mut world = World::new(5, params());
    world.settle();
    world.commit_sized(2_500_000, ContentPlace::File);
    world.commit_sized(80, ContentPlace::File);
    world.settle();
    let mut next = World::over(world.disk.clone(), 9, params());
    let mut read = Vec::new();
    while next.ready.is_none() {
        if let (_, Op::Read { file: File::Content(_), offset, length }) = &next.pending[0] {
            read.push((*offset, *length));
        }
        next.complete(0);
    }
    assert_eq!(read, [(0, 1_048_576), (1_048_576, 1_048_576), (2_097_152, 402_848), (0, 80)]);
}

#[test]
fn a_content_that_can_not_be_read_now_is_left_alone_and_so_is_its_message() {
    let world = spool();
    let (id, _, _) = large(&world);
    let mut next = World::over(world.disk.clone(), 9, params());
    next.recover(|next, op| {
        next.disk.unreadable = matches!(op, Op::Read { file: File::Content(_), .. });
    });
    next.settle();
    assert_eq!(ids(&next), ids(&recover(world.disk.clone())));
    assert_eq!(next.troubles, Vec::<String>::new());
    assert_eq!(next.warnings.len(), 1, "{:?}", next.warnings);
    assert!(next.warnings[0].contains("can not be read from the spool, nor checked: Input/output error"));
    assert!(next.load(id).is_some() && next.disk.inode(File::Content(id)).is_some());
}

#[test]
fn contents_of_no_message_are_removed() {
    let mut world = spool();
    let file = File::Content(QueueId(0x7777_0000));
    world.disk.run(Op::Create { file, size: 0 }).unwrap();
    world.disk.run(Op::Write { file, offset: 0, octets: vec![vec![1; 10]] }).unwrap();
    let mut next = recover(world.disk.clone());
    next.settle();
    assert!(next.disk.inode(file).is_none());
    assert!(next.numbered.unwrap() >= QueueId(0x7777_0000), "its id is not given again");
    assert_eq!(next.recovered.len(), 3);
}

/// What happens to the octets of a file.
type Spoil = Box<dyn Fn(&mut Vec<u8>)>;

/// The one message with a content file, and where its record is in which segment.
fn large(world: &World) -> (QueueId, File, u64) {
    let content = world.disk.files().into_iter().find_map(|(file, _)| match file {
        File::Content(id) => Some(id),
        _ => None,
    });
    let id = content.unwrap();
    let named = id.0.to_le_bytes();
    let found = world.disk.files().into_iter().find_map(|(file, _)| {
        let octets = world.disk.clone().inode(file)?.octets.clone();
        // The subject of its frame, 40 octets behind the start, is the first that has its id.
        let at = octets.windows(8).position(|window| window == named)?;
        matches!(file, File::Segment(_)).then_some((file, at as u64 - 40))
    });
    let (segment, frame) = found.unwrap();
    (id, segment, frame)
}

#[test]
fn a_log_at_rest_says_that_all_of_it_is_durable() {
    let mut world = World::new(5, params());
    world.settle();
    let id = world.commit();
    while world.lives[&id].answer.is_none() {
        if world.pending.is_empty() { world.pass(Duration::from_millis(5)) } else { world.complete(0) }
    }
    assert!(!world.log.is_at_rest(), "it is durable, and does not say so yet");
    world.settle();
    assert!(world.log.is_at_rest());
    // A bit of its record, which is the last one: damage, and no torn end.
    let at = world.log.whereabouts(id).unwrap();
    world.disk.spoil(at.file, |octets| octets[at.offset as usize] ^= 1);
    let next = recover(world.disk.clone());
    assert!(next.troubles[0].starts_with(&format!("{id}: error: octets")), "{:?}", next.troubles);
}

#[test]
fn the_content_of_a_message_whose_record_is_damaged_is_set_aside_too() {
    let world = spool();
    let (id, segment, frame) = large(&world);
    let content = world.disk.clone().inode(File::Content(id)).unwrap().octets.clone();
    // Damage that names the message, and damage that does not; and a record that is cut off.
    let flip = |at: u64| move |octets: &mut Vec<u8>| octets[(frame + at) as usize] ^= 1;
    let cut = move |octets: &mut Vec<u8>| octets.truncate(frame as usize);
    let spoils: [Spoil; 3] = [Box::new(flip(60)), Box::new(flip(41)), Box::new(cut)];
    for (way, spoil) in spoils.iter().enumerate() {
        let mut disk = world.disk.clone();
        disk.spoil(segment, spoil);
        let mut next = recover(disk);
        next.settle();
        assert!(!ids(&next).contains(&id), "{way}");
        let said = format!("{id}: error: a content of {} octets that no record names", content.len());
        let why = "because records are damaged";
        let is_said = |text: &String| text.starts_with(&said) && text.ends_with(why);
        assert!(next.troubles.iter().any(is_said), "{way}: {:?}", next.troubles);
        assert_eq!(next.disk.inode(File::Orphan(id)).unwrap().octets, content, "{way}");
        assert!(next.disk.inode(File::Content(id)).is_none(), "{way}: its octets are in the copy");
        // At the next start it is still there. The damage is known then: what an aborted message has left is no part of it.
        let left = File::Content(QueueId(0x7777_0000));
        next.disk.run(Op::Create { file: left, size: 0 }).unwrap();
        next.disk.run(Op::Write { file: left, offset: 0, octets: vec![vec![1; 5_000]] }).unwrap();
        let mut again = next.reborn(4, params());
        again.settle();
        assert_eq!(again.disk.inode(File::Orphan(id)).unwrap().octets, content, "{way}");
        assert!(again.disk.inode(left).is_none(), "{way}");
        assert!(again.disk.inode(File::Orphan(QueueId(0x7777_0000))).is_none(), "{way}");
    }
}

#[test]
fn a_crash_while_a_content_is_set_aside_loses_nothing_of_it() {
    let world = spool();
    let (id, segment, frame) = large(&world);
    let content = world.disk.clone().inode(File::Content(id)).unwrap().octets.clone();
    let mut disk = world.disk.clone();
    disk.spoil(segment, |octets| octets[frame as usize + 41] ^= 1);
    for steps in 0.. {
        let mut first = World::over(disk.clone(), 9, params());
        (0..steps).for_each(|_| {
            if !first.pending.is_empty() {
                first.complete(0)
            }
        });
        let was_ready = first.ready.is_some();
        let mut next = recover(first.disk.clone());
        next.settle();
        assert_eq!(next.disk.inode(File::Orphan(id)).unwrap().octets, content, "after {steps} steps");
        if was_ready {
            return assert!(steps > 10, "{steps}");
        }
    }
}

#[test]
fn a_name_that_we_would_not_write_is_nobodys() {
    let id = QueueId::new(1_795_233_600_123_456, 7);
    for file in [File::Segment(255), File::Content(id), File::Corrupt(255, 1024), File::Orphan(id)] {
        let path = file.path();
        let (folder, name) = path.split_once('/').unwrap();
        assert_eq!(File::of(folder, name), Some(file));
    }
    for name in ["ff", "+0000000000000ff", "00000000000000FF", "000000000000000ff", "00000000000000ff.bak"] {
        assert_eq!(File::of("log", name), None, "{name}");
    }
    for name in ["ff-1024", "00000000000000ff-01024", "00000000000000ff-+1", "00000000000000ff"] {
        assert_eq!(File::of("corrupt", name), None, "{name}");
    }
}

#[test]
fn octets_that_can_not_be_read_cost_only_the_messages_in_them() {
    let world = spool();
    let mut log = Log::new(params(), 1);
    let mut disk = world.disk.clone();
    let damaged = *ids(&recover(disk.clone())).first().unwrap();
    let place = world.log.whereabouts(damaged).unwrap();
    let bad = place.offset / 512 * 512;
    let (mut found, mut troubles, mut ready) = (0, 0, false);
    let mut now = Now::default();
    log.handle_input(now, Input::Open);
    let mut pending = Vec::new();
    while !ready {
        while let Some(output) = log.poll_output() {
            match output {
                Output::Do(op, todo) => pending.push((op, todo)),
                Output::Recovered(_) => found += 1,
                Output::Event(event) => troubles += u32::from(event.text().contains("error:")),
                Output::Ready => ready = true,
                Output::Numbered { .. } => {}
                Output::Appended { .. } | Output::Loaded { .. } => {}
            }
        }
        let Some((op, todo)) = pending.pop() else {
            // What could not be read is tried again after a pause.
            let Some(at) = log.next_timeout() else { break };
            now.mono = at;
            log.handle_timeout(now);
            continue;
        };
        let result = match &todo {
            Op::Read { file, offset, length }
                if *file == place.file && *offset < bad + 512 && bad < offset + length && *offset > 0 =>
            {
                Err(DiskError::Failed("Input/output error".into()))
            }
            _ => disk.run(todo),
        };
        log.handle_input(now, Input::Did { op, result });
    }
    assert!(ready);
    assert!(found < 3 && troubles > 0, "{found} {troubles}");
}

/// A driver that answers what it likes.
fn nonsense(prng: &mut Prng, op: &Op) -> Result<Done, DiskError> {
    match prng.below(10) {
        0 => Err(DiskError::Full),
        1 => Err(DiskError::Missing),
        2 => Err(DiskError::Failed("?".into())),
        3 => Ok(Done::Nothing),
        4 => Ok(Done::Octets((0..prng.below(3000)).map(|_| prng.next_u64() as u8).collect())),
        5 => Ok(Done::Files(
            (0..prng.below(6))
                .map(|_| {
                    let number = if prng.chance(1, 2) { prng.below(4) } else { prng.next_u64() };
                    let file = match prng.below(4) {
                        0 => File::Segment(number),
                        1 => File::Content(QueueId(number)),
                        2 => File::Orphan(QueueId(number)),
                        _ => File::Corrupt(number, prng.next_u64()),
                    };
                    (file, if prng.chance(1, 2) { prng.below(20_000) } else { prng.next_u64() })
                })
                .collect(),
        )),
        _ => Ok(match op {
            Op::List => Done::Files(vec![(File::Segment(1), 9000), (File::Segment(2), 16384)]),
            Op::Read { length, .. } => Done::Octets(vec![0; (*length).min(100_000) as usize]),
            _ => Done::Nothing,
        }),
    }
}

#[test]
fn a_driver_that_answers_nonsense_never_makes_it_panic_and_every_append_is_answered_once() {
    for seed in 0..300 {
        let mut prng = Prng::new(seed);
        let mut world = World::new(seed, params());
        let mut pending: Vec<(OpId, Op)> = std::mem::take(&mut world.pending);
        let (mut asked, mut answered) = (0, BTreeSet::new());
        for _ in 0..400 {
            let now = world.now;
            match prng.below(6) {
                0 if world.log.room() > 0 => {
                    let message = world.message(0, ContentPlace::Inline);
                    let changes = vec![Change::Commit(Box::new(message))];
                    world
                        .log
                        .handle_input(now, Input::Append { ticket: Ticket(asked), changes, content: vec![] });
                    asked += 1;
                }
                1 => {
                    world.now = now.after(Duration::from_millis(prng.below(3000)));
                    world.log.handle_timeout(world.now);
                }
                _ if !pending.is_empty() => {
                    let (op, todo) = pending.swap_remove(prng.below(pending.len() as u64) as usize);
                    world.log.handle_input(now, Input::Did { op, result: nonsense(&mut prng, &todo) });
                }
                _ => world.log.handle_input(now, Input::Load { ticket: Ticket(0), id: QueueId(0x1000) }),
            }
            while let Some(output) = world.log.poll_output() {
                match output {
                    Output::Do(id, op) => pending.push((id, op)),
                    Output::Appended { ticket, .. } => assert!(answered.insert(ticket), "answered once"),
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn what_can_not_be_read_between_its_frames_is_nothing_to_a_message() {
    let mut world = spool();
    let id = *world.lives.iter().find(|(_, life)| !life.settled.is_empty()).expect("one has an outcome").0;
    let reads = |world: &World| world.pending.iter().filter(|(_, op)| matches!(op, Op::Read { .. })).count();
    let fail = |world: &mut World| {
        let (op, _) = world.pending.remove(0);
        world.tell(Input::Did { op, result: Err(DiskError::Failed("a bad sector".to_owned())) });
    };
    world.tell(Input::Load { ticket: Ticket(900), id });
    assert_eq!(reads(&world), 1, "its commit and its outcome at once");
    fail(&mut world);
    assert_eq!(reads(&world), 2, "then each alone");
    world.settle();
    assert!(world.loaded[&Ticket(900)].is_some() && world.troubles.is_empty(), "{:?}", world.troubles);
    world.tell(Input::Load { ticket: Ticket(901), id });
    (0..3).for_each(|_| fail(&mut world));
    assert!(world.loaded[&Ticket(901)].is_none() && !world.troubles.is_empty(), "not for ever");
}
