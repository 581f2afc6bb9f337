//! What a start does where the disk refuses to read, and with what an earlier one could not read, copy or sync.

use super::super::{File, Op, Params};
use super::disk::Disk;
use super::recovery::{over, recover, spool, used, used_last};
use super::world::{Errand, World, params};
use crate::mail::{Change, ContentPlace, QueueId};
use crate::prng::Prng;
use crate::time::Duration;

/// A spool of several segments, contents in files among them.
fn large_spool() -> World {
    let mut world = spool();
    for number in 0..20 {
        let place = if number % 5 == 0 { ContentPlace::File } else { ContentPlace::Inline };
        world.commit_sized(2_000, place);
        world.settle();
    }
    world
}

/// How many messages each of so many starts misses in [`large_spool`] when such reads fail; the next one, when all can be read again, finds
/// all, with their contents.
fn unread(starts: usize, fails: impl Fn(&Op) -> bool) -> Vec<usize> {
    let world = large_spool();
    let mut missed = Vec::new();
    let mut late = Vec::new();
    let mut disk = world.disk.clone();
    for start in 0..starts {
        let (mut next, _) = recover(over(disk), |_, op| fails(op));
        missed.push(world.lives.len() + start - next.recovered.len());
        next.settle();
        next.next_id = 1_000 + start as u64;
        late.push(next.commit());
        next.settle();
        assert_eq!(next.lives[&late[start]].answer, Some(Ok(())));
        next.pass(Duration::from_secs(3600));
        next.settle();
        disk = next.disk;
    }
    let (mut last, _) = recover(over(disk), |_, _| false);
    last.settle();
    assert_eq!(last.recovered.len(), world.lives.len() + starts, "{:?}", last.troubles);
    assert_eq!(last.troubles, Vec::<String>::new());
    for id in world.lives.keys().chain(&late) {
        let place = last.log.whereabouts(*id).expect("it is there");
        assert!(last.load(*id).is_some());
        assert!(world.lives.get(id).is_none_or(|life| last.read(place) == life.content));
    }
    missed
}

/// What of a segment can not be read: all, the header, all but the header, small pieces, the end.
fn refusals() -> [std::ops::Range<u64>; 7] {
    [0..u64::MAX, 0..1, 1_024..u64::MAX, 1_024..1_025, 3_000..3_001, 6_000..6_001, 5_120..u64::MAX]
}

/// Lets reads of these octets of one segment fail, at so many starts; how many messages are missed in all.
fn unread_in(starts: usize, segment: u64, refused: &std::ops::Range<u64>) -> usize {
    let is_refused = |op: &Op| match op {
        Op::Read { file: File::Segment(number), offset, length } => {
            *number == segment && *offset < refused.end && refused.start < offset + length
        }
        _ => false,
    };
    unread(starts, is_refused).into_iter().sum()
}

#[test]
fn segments_that_could_not_be_read_at_one_start_are_there_at_the_next() {
    let all = large_spool().lives.len();
    assert_eq!(unread(1, |op| matches!(op, Op::Read { .. })), [all]);
    assert_eq!(unread(1, |op| matches!(op, Op::Read { offset: 1024.., .. })), [all], "all but the headers");
    let last = large_spool().log.next_segment;
    let mut missed = [0; 7];
    for segment in 1..last {
        for (number, refused) in refusals().iter().enumerate() {
            missed[number] += unread_in(1, segment, refused);
        }
    }
    assert_eq!((missed[0], missed[2]), (missed[1], missed[1]));
    assert!(missed.iter().all(|missed| *missed > 0), "{missed:?}");
}

#[test]
fn segments_that_several_starts_could_not_read_are_there_when_one_can() {
    let all = large_spool().lives.len();
    let missed = unread(3, |op| matches!(op, Op::Read { .. }));
    assert_eq!(missed, [all, all + 1, all + 2], "what was committed between them, too");
    let world = large_spool();
    let file = |id| world.log.whereabouts(id).map(|place| place.file);
    let Some(File::Segment(last)) =
        world.lives.keys().filter_map(|id| file(*id)).filter(|file| matches!(file, File::Segment(_))).max()
    else {
        panic!("mail lies in segments")
    };
    for segment in 1..=last {
        let missed: Vec<usize> = refusals().iter().map(|refused| unread_in(3, segment, refused)).collect();
        assert!(missed.iter().all(|some| *some <= missed[0]), "segment {segment}: {missed:?}");
    }
}

#[test]
fn a_segment_that_could_not_be_read_and_has_lost_its_header_is_set_aside() {
    let mut world = spool();
    world.commit_sized(2_000, ContentPlace::Inline);
    world.settle();
    let (mut next, _) = recover(over(world.disk.clone()), |_, op| matches!(op, Op::Read { .. }));
    next.settle();
    // Also as a copy has it that was made of a disk with a broken page, and when that page held all mail.
    for zeros in [1024, 4096] {
        let mut disk = next.disk.clone();
        disk.spoil(used(&world), |octets| octets[..zeros].fill(0));
        let (mut last, _) = recover(over(disk), |_, _| false);
        assert!(last.troubles[0].contains("overwritten with zeros"), "{:?}", last.troubles);
        assert_eq!(last.troubles.len(), 1, "what was made ahead of need is no mail: {:?}", last.troubles);
        let File::Segment(number) = used(&world) else { panic!("mail lies in segments") };
        let copy = last.disk.inode(File::Corrupt(number, 0)).expect("a copy").octets.clone();
        let whole = world.disk.inode(used(&world)).expect("it is there").octets.clone();
        assert!(copy[zeros..] == whole[zeros..]);
    }
}

/// Where frames begin in these octets.
fn frames(octets: &[u8]) -> Vec<usize> {
    let magic = 0xf7a3_e51d_u32.to_le_bytes();
    (0..octets.len()).step_by(8).filter(|at| octets[*at..].starts_with(&magic)).collect()
}

#[test]
fn what_can_not_be_read_behind_damage_is_no_damage() {
    let mut world = World::new(5, params());
    world.settle();
    for _ in 0..9 {
        // Four kilobytes with its record: each begins a small piece.
        world.commit_sized(3_700, ContentPlace::Inline);
        world.settle();
    }
    let file = File::Segment(1);
    let mut disk = world.disk.clone();
    let begins = frames(&disk.inode(file).expect("it is there").octets);
    assert_eq!(begins[..2], [1_024, 5_120]);
    disk.spoil(file, |octets| octets[begins[0]] ^= 1);
    let is_refused = |op: &Op| match op {
        Op::Read { file: of, offset, length } => *of == file && offset + length > 5_120,
        _ => false,
    };
    let (mut next, _) = recover(over(disk), |_, op| is_refused(op));
    next.settle();
    next.next_id = 1_000;
    next.commit();
    next.pass(Duration::from_secs(3_600));
    next.settle();
    let (last, _) = recover(over(next.disk), |_, _| false);
    assert_eq!(last.recovered.len(), world.lives.len(), "one is damaged, one came: {:?}", last.troubles);
}

#[test]
fn the_last_segment_is_no_spare_when_its_header_is_zeros_and_it_was_used() {
    let world = large_spool();
    let mut disk = world.disk.clone();
    let last = disk.files().into_iter().map(|(file, _)| file).rfind(|file| {
        matches!(file, File::Segment(_))
            && !frames(&world.disk.clone().inode(*file).expect("it is there").octets).is_empty()
    });
    let last = last.expect("mail lies in segments");
    disk.spoil(last, |octets| octets[..1024].fill(0));
    let (next, _) = recover(over(disk), |_, _| false);
    assert!(next.troubles.iter().any(|text| text.contains("overwritten with zeros")), "{:?}", next.troubles);
}

#[test]
fn a_content_that_could_not_be_set_aside_is_there_when_it_can() {
    let mut world = spool();
    let id = world.commit_sized(2_000, ContentPlace::File);
    world.settle();
    let content = world.disk.inode(File::Content(id)).expect("a content").octets.clone();
    let mut disk = world.disk.clone();
    let begins = frames(&disk.inode(used(&world)).expect("it is there").octets);
    // Its record: the last one but what says that all is durable.
    let record = begins[begins.len() - 2];
    disk.spoil(used(&world), |octets| octets[record + 60] ^= 1);
    let mut next = over(disk);
    next.recover(|next, op| next.disk.broken = matches!(op, Op::Write { file: File::Orphan(_), .. }));
    next.settle();
    assert!(next.recovered.len() < world.lives.len(), "its record is damaged");
    let (mut last, _) = recover(over(next.disk), |_, _| false);
    last.settle();
    let copy = last.disk.inode(File::Orphan(id)).expect("now it is set aside");
    assert!(copy.octets == content);
}

#[test]
fn no_segment_below_one_that_could_not_be_read_is_used() {
    let mut world = spool();
    let beyond = world.log.next_segment + 3;
    world.disk.run(Op::Create { file: File::Segment(beyond), size: 16 * 1024 }).expect("a disk with room");
    let (next, _) = recover(
        over(world.disk),
        |_, op| matches!(op, Op::Read { file: File::Segment(number), .. } if *number == beyond),
    );
    let current = next.log.writer.current.as_ref().expect("it takes mail").seal.segment;
    assert!(current > beyond, "{current}");
}

#[test]
fn ids_in_segments_that_one_start_could_not_read_are_known_at_the_next_before_mail_comes() {
    let mut world = spool();
    world.next_id = 500;
    world.commit_sized(3_000, ContentPlace::Inline);
    world.settle();
    let highest = world.log.highest;
    let unread = |_: &World, op: &Op| matches!(op, Op::Read { .. });
    let (mut next, _) = recover(over(world.disk), unread);
    next.settle();
    assert!(next.log.highest < highest, "a clock set back would give such ids again now");
    let (last, _) = recover(over(next.disk), |_, _| false);
    assert_eq!(last.numbered, Some(highest));
}

/// Lets what waits be done, but for the first sync of a segment, which fails.
fn fail_the_sync(world: &mut World) {
    let mut has_failed = false;
    while !world.pending.is_empty() {
        world.disk.broken = !has_failed && matches!(world.pending[0].1, Op::Sync(File::Segment(_)));
        has_failed |= world.disk.broken;
        world.complete(0);
    }
    world.disk.broken = false;
    assert!(has_failed);
    world.settle();
}

/// A message alone in the first segment, with others in the one that is written.
fn alone() -> (World, QueueId) {
    let mut world = spool();
    let first = used(&world);
    while used_last(&mut world) == first {}
    // So much that compaction leaves both alone.
    (0..2).for_each(|_| assert!(used_last(&mut world) != first));
    let ids: Vec<QueueId> = world.lives.keys().copied().collect();
    for id in &ids[1..] {
        if world.log.whereabouts(*id).is_some_and(|place| place.file == first) {
            world.remove(*id);
        }
    }
    world.settle();
    assert_eq!(world.log.index.segments[&1].commits, 1);
    (world, ids[0])
}

fn current(world: &World) -> u64 {
    world.log.writer.current.as_ref().expect("it takes mail").seal.segment
}

/// Until all that can be given back is.
fn wait_long(world: &mut World) {
    world.settle();
    world.pass(Duration::from_secs(3_600));
    world.settle();
}

fn is_read_of(op: &Op, segment: u64) -> bool {
    matches!(op, Op::Read { file: File::Segment(number), .. } if *number == segment)
}

fn found(world: &World, id: QueueId) -> bool {
    world.recovered.iter().any(|summary| summary.id == id)
}

#[test]
fn what_was_refused_and_comes_back_as_its_end_can_not_be_read_ends_nothing_that_was_promised() {
    let (mut world, promised) = alone();
    world.commit_with(|_| vec![Change::Remove(promised)]);
    fail_the_sync(&mut world);
    let fresh = current(&world);
    world.commit();
    world.settle();
    let (mut next, _) = recover(over(world.disk), |_, op| is_read_of(op, fresh));
    assert!(!found(&next, promised), "nobody says that its end does not count");
    wait_long(&mut next);
    let (last, _) = recover(over(next.disk), |_, _| false);
    assert!(found(&last, promised), "{:?}", last.troubles);
}

#[test]
fn what_an_earlier_start_could_not_read_is_written_anew_before_anybody_relies_on_it() {
    let (mut world, promised) = alone();
    let other = world.commit_with(|_| vec![Change::Remove(promised)]);
    let unread = current(&world);
    assert!(matches!(world.pending[0].1, Op::Write { .. }));
    world.complete(0);
    let (mut next, _) = recover(over(world.disk.clone()), |_, op| is_read_of(op, unread));
    assert!(found(&next, promised));
    next.settle();
    let (mut third, _) = recover(over(next.disk), |_, _| false);
    assert!(found(&third, other) && !found(&third, promised));
    while third.disk.inode(File::Segment(1)).is_some() {
        if third.pending.is_empty() { third.pass(Duration::from_millis(10)) } else { third.complete(0) }
    }
    // Its removal is durable.
    assert!(matches!(third.pending[0].1, Op::SyncDirectory));
    third.complete(0);
    for seed in 0..20 {
        let (last, _) = recover(over(third.crashed_disk(seed)), |_, _| false);
        assert!(found(&last, other), "{seed}: {:?}", last.troubles);
    }
}

/// A message with a content file, and where its record begins, which nothing but a word on what is durable follows.
fn with_content() -> (World, QueueId, usize) {
    let mut world = spool();
    let id = world.commit_sized(2_000, ContentPlace::File);
    world.settle();
    let file = used(&world);
    let begins = frames(&world.disk.inode(file).expect("it is there").octets);
    (world, id, begins[begins.len() - 2])
}

fn is_set_aside(world: &World, content: QueueId) -> bool {
    world.disk.files().contains(&(File::Orphan(content), 2_000))
}

fn is_write_of_orphan(op: &Op) -> bool {
    matches!(op, Op::Write { file: File::Orphan(_), .. })
}

#[test]
fn a_content_that_could_not_be_set_aside_keeps_a_segment_that_was_cut_off() {
    let (world, id, record) = with_content();
    // Somewhere there the record before it ends: nothing is broken then.
    for end in (record - 512..=record).step_by(8) {
        let mut disk = world.disk.clone();
        disk.spoil(used(&world), |octets| octets.truncate(end));
        let mut next = over(disk);
        next.recover(|next, op| next.disk.broken = is_write_of_orphan(op));
        empty(&mut next);
        let (mut last, _) = recover(over(next.disk), |_, _| false);
        last.settle();
        assert!(is_set_aside(&last, id), "{end}: {:?}", last.troubles);
    }
}

/// Removes all messages that were recovered, and waits.
fn empty(world: &mut World) {
    for id in world.recovered.iter().map(|summary| summary.id).collect::<Vec<_>>() {
        world.append(Errand::Other, vec![Change::Remove(id)], Vec::new());
    }
    wait_long(world);
}

/// A start that such reads fail, and what it has left with zeros in its one segment of mail from there on, as a copy of a broken disk has them.
fn zeroed(zeros: impl Fn(usize) -> usize, fails: impl Fn(&Op) -> bool) -> (World, QueueId) {
    let (world, id, record) = with_content();
    let unread = used(&world);
    let (mut next, _) = recover(over(world.disk), |_, op| fails(op));
    next.settle();
    next.disk.spoil(unread, |octets| octets[zeros(record)..].fill(0));
    (next, id)
}

#[test]
fn a_content_that_could_not_be_set_aside_keeps_what_came_in_the_place_of_an_unread_segment() {
    let all = |op: &Op| matches!(op, Op::Read { .. });
    let one = |op: &Op| is_read_of(op, 1);
    let disks = [zeroed(|at| at, one), zeroed(|_| 0, one), zeroed(|at| at, all), zeroed(|_| 0, all)];
    for (number, (disk, id)) in disks.into_iter().enumerate() {
        let mut third = over(disk.disk);
        third.recover(|next, op| next.disk.broken = is_write_of_orphan(op));
        let told = third.notes.iter().any(|text| text.contains("nothing is in it from"));
        assert_eq!(told, number % 2 == 0, "unless nothing is in it: {:?}", third.notes);
        empty(&mut third);
        let (mut last, _) = recover(over(third.disk), |_, _| false);
        last.settle();
        assert!(is_set_aside(&last, id), "{number}: {:?}", last.troubles);
    }
}

#[test]
fn no_content_is_copied_while_its_record_can_not_be_read_and_stays() {
    let (world, id, record) = with_content();
    let unread = used(&world);
    let refuses = |op: &Op| match op {
        Op::Read { file, offset, length } => {
            *file == unread && *offset <= record as u64 && record as u64 <= offset + length
        }
        _ => false,
    };
    let mut disk = world.disk;
    for reads in [false, false, true] {
        let (mut next, _) = recover(over(disk), |_, op| !reads && refuses(op));
        assert_eq!(found(&next, id), reads);
        wait_long(&mut next);
        assert!(next.disk.inode(File::Orphan(id)).is_none(), "{:?}", next.troubles);
        disk = next.disk;
    }
}

#[test]
fn a_copy_for_which_there_is_no_room_takes_none() {
    let (mut world, id, record) = with_content();
    let file = used(&world);
    world.disk.spoil(file, |octets| octets[record + 60] ^= 1);
    let mut next = over(world.disk);
    next.recover(|next, op| {
        if is_write_of_orphan(op) {
            next.disk.capacity = next.disk.used() + 1_000;
        }
    });
    wait_long(&mut next);
    assert!(next.disk.inode(File::Orphan(id)).is_none() && next.disk.inode(File::Content(id)).is_some());
    next.disk.capacity = u64::MAX;
    let (last, _) = recover(over(next.disk), |_, _| false);
    assert!(is_set_aside(&last, id));
}

/// A disk on which a record is damaged, and its message.
fn without_record() -> (Disk, QueueId, Vec<u8>) {
    let (mut world, id, record) = with_content();
    let (file, content) = (used(&world), world.lives[&id].content.clone());
    world.disk.spoil(file, |octets| octets[record + 60] ^= 1);
    (world.disk, id, content)
}

/// The same when a start was killed that had copied its content, and nothing says that the end of the copy is durable.
fn with_old_copy() -> (Disk, QueueId, Vec<u8>) {
    let (disk, id, content) = without_record();
    let mut next = over(disk);
    while next.disk.inode(File::Orphan(id)).is_none_or(|inode| inode.octets.len() < 2_000) {
        next.complete(0);
    }
    (next.disk, id, content)
}

fn could_not_be_set_aside(world: &World) -> bool {
    world.troubles.iter().any(|text| text.contains("could not be set aside"))
}

#[test]
fn a_copy_of_an_earlier_start_that_can_not_be_synced_is_written_again() {
    let (disk, id, content) = with_old_copy();
    let orphan = File::Orphan(id);
    for seed in 0..20 {
        let mut third = over(disk.clone());
        third.disk.prng = Prng::new(seed);
        let mut failed = false;
        third.recover(|next, op| {
            next.disk.broken = !failed && *op == Op::Sync(orphan);
            failed |= next.disk.broken;
        });
        assert!(failed && !could_not_be_set_aside(&third), "{:?}", third.troubles);
        wait_long(&mut third);
        let mut crashed = third.crashed_disk(seed);
        let is_whole = crashed.inode(orphan).is_some_and(|inode| inode.octets == content);
        assert!(is_whole || crashed.inode(File::Content(id)).is_some(), "{seed}");
    }
}

#[test]
fn a_copy_that_has_become_shorter_when_it_is_written_again_is_no_copy() {
    let (disk, id, content) = with_old_copy();
    let mut third = over(disk);
    let mut failed = false;
    third.recover(|next, op| {
        next.disk.broken = !failed && *op == Op::Sync(File::Orphan(id));
        failed |= next.disk.broken;
        if failed && matches!(op, Op::Read { file: File::Orphan(_), .. }) {
            next.disk.spoil(File::Orphan(id), |octets| octets.truncate(1_000));
        }
    });
    wait_long(&mut third);
    assert!(could_not_be_set_aside(&third), "{:?}", third.troubles);
    assert!(third.disk.inode(File::Content(id)).is_some_and(|inode| inode.octets == content));
}

#[test]
fn a_copy_that_somebody_takes_away_counts_when_an_earlier_start_had_made_it_and_else_does_not() {
    let taken_away = |disk, id| {
        let mut next = over(disk);
        let mut gone = false;
        next.recover(|next, op| {
            if !gone && *op == Op::Sync(File::Orphan(id)) {
                gone = next.disk.run(Op::Unlink(File::Orphan(id))).is_ok();
            }
        });
        assert!(gone);
        wait_long(&mut next);
        let is_kept = next.disk.inode(File::Content(id)).is_some();
        (could_not_be_set_aside(&next), is_kept)
    };
    let (disk, id, _) = without_record();
    assert_eq!(taken_away(disk, id), (true, true));
    let (disk, id, _) = with_old_copy();
    assert_eq!(taken_away(disk, id), (false, false));
}

#[test]
fn an_empty_copy_that_can_not_be_synced_holds_nothing_up() {
    let (world, _, record) = with_content();
    let mut disk = world.disk.clone();
    disk.spoil(used(&world), |octets| octets.truncate(record));
    let mut next = over(disk);
    let is_empty_copy = |(file, size): &(File, u64)| matches!(file, File::Corrupt(..)) && *size == 0;
    while !next.disk.files().iter().any(is_empty_copy) {
        next.complete(0);
    }
    let mut third = over(next.disk);
    let mut failed = false;
    third.recover(|next, op| {
        next.disk.broken = matches!(op, Op::Sync(File::Corrupt(..)));
        failed |= next.disk.broken;
    });
    assert!(failed && third.log.writer.current.is_some(), "it takes mail");
}

#[test]
fn a_content_that_could_not_be_set_aside_keeps_its_own_record_and_no_other() {
    let mut world = spool();
    let ids = [0; 2].map(|_| {
        let id = world.commit_sized(2_000, ContentPlace::File);
        world.settle();
        id
    });
    let records = ids.map(|id| world.log.index.get(id).expect("it is there").commit);
    assert_eq!(records[0].segment(), records[1].segment());
    let segment = records[0].segment();
    for record in records {
        world.disk.spoil(File::Segment(segment), |octets| octets[record.offset() as usize + 60] ^= 1);
    }
    let mut next = over(world.disk);
    next.recover(|next, op| {
        next.disk.broken = matches!(op, Op::Write { file: File::Orphan(id), .. } if *id == ids[0]);
    });
    wait_long(&mut next);
    let copied = records.map(|record| next.disk.inode(File::Corrupt(segment, record.offset())).is_some());
    assert_eq!(copied, [false, true], "{:?}", next.troubles);
    assert!(next.disk.inode(File::Content(ids[0])).is_some() && is_set_aside(&next, ids[1]));
}

/// A spool whose first segment was given up, and whose newest says where the log begins since; the name of that first one has come back, as if its removal
/// had not been durable, with its octets but for this change.
fn with_one_that_has_come_back(change: impl Fn(&mut [u8])) -> (World, File) {
    let mut world = spool();
    let file = used(&world);
    let mut octets = world.disk.inode(file).expect("it is there").octets.clone();
    change(&mut octets);
    while used_last(&mut world) == file {}
    for id in world.present() {
        world.remove(id);
    }
    wait_long(&mut world);
    assert!(world.disk.inode(file).is_none(), "it is given back");
    let before = current(&world);
    while current(&world) == before {
        used_last(&mut world);
    }
    world.disk.run(Op::Create { file, size: octets.len() as u64 }).expect("a disk with room");
    world.disk.spoil(file, |there| there.copy_from_slice(&octets));
    (world, file)
}

#[test]
fn a_segment_that_counts_no_more_is_removed_without_a_word_though_its_header_is_lost() {
    let (world, file) = with_one_that_has_come_back(|octets| octets[..1_024].fill(0));
    let (mut next, _) = recover(over(world.disk), |_, _| false);
    next.settle();
    assert_eq!(next.troubles, Vec::<String>::new());
    assert!(next.disk.inode(file).is_none());
}

#[test]
fn a_segment_that_was_given_up_and_has_come_back_goes_before_the_queue_has_been_read() {
    let (world, file) = with_one_that_has_come_back(|_| ());
    let (mut next, _) = recover(over(world.disk), |_, _| false);
    assert!(next.disk.inode(file).is_none(), "it does not wait for its turn");
    assert_eq!(next.troubles, Vec::<String>::new());
}

#[test]
fn a_blank_segment_that_has_become_shorter_since_it_was_listed_is_read_to_its_end() {
    let mut world = spool();
    let blank = File::Segment(world.log.next_segment + 3);
    world.disk.run(Op::Create { file: blank, size: 16 * 1024 }).expect("a disk with room");
    let mut next = over(world.disk);
    next.recover(|next, op| {
        if matches!(op, Op::Read { file, offset: 1_024, .. } if *file == blank) {
            next.disk.spoil(blank, |octets| octets.truncate(5_000));
        }
    });
    assert_eq!((next.recovered.len(), next.troubles.len()), (3, 0), "{:?}", next.troubles);
}

#[test]
fn a_blank_segment_is_read_in_pieces_of_a_mebibyte_and_no_octet_of_it_twice() {
    let mut world = spool();
    let [blank, header] = [3, 4].map(|more| File::Segment(world.log.next_segment + more));
    world.disk.run(Op::Create { file: blank, size: 2_500_000 }).expect("a disk with room");
    world.disk.run(Op::Create { file: header, size: 1_024 }).expect("a disk with room");
    let mut next = over(world.disk);
    let mut reads = Vec::new();
    next.recover(|_, op| {
        if let Op::Read { file, offset, length } = op
            && [blank, header].contains(file)
        {
            reads.push((*file, *offset, *length));
        }
    });
    assert_eq!(reads[..2], [(blank, 0, 1_024), (header, 0, 1_024)], "nothing is behind the other header");
    let pieces = [(1_024, 1_048_576), (1_049_600, 1_048_576), (2_098_176, 401_824)];
    assert_eq!(reads[2..], pieces.map(|(offset, length)| (blank, offset, length)));
}

#[test]
fn a_copy_that_has_more_than_there_is_now_is_never_removed() {
    let (mut world, id, _) = with_content();
    world.disk.spoil(File::Content(id), |octets| octets[1_000] ^= 1);
    let (mut next, _) = recover(over(world.disk), |_, _| false);
    wait_long(&mut next);
    assert!(next.disk.inode(File::Content(id)).is_none(), "it has been set aside with its record");
    let copy = next.disk.files().into_iter().find(|(file, _)| matches!(file, File::Corrupt(..)));
    let (copy, size) = copy.expect("a copy");
    assert!(size > 2_000);
    let mut third = over(next.disk);
    third.recover(|next, op| next.disk.broken = *op == Op::Sync(copy));
    assert!(
        third.troubles.iter().any(|text| text.contains("could not be set aside")),
        "{:?}",
        third.troubles
    );
    wait_long(&mut third);
    assert!(third.disk.files().contains(&(copy, size)));
}

/// The last segment with mail, of this spool.
fn last_used(disk: &Disk) -> u64 {
    let mut disk = disk.clone();
    let files = disk.files().into_iter().rev();
    let segments = files.filter_map(|(file, _)| match file {
        File::Segment(number) => Some(number),
        _ => None,
    });
    let segments: Vec<u64> = segments.collect();
    let mut has_mail =
        |number: &u64| !frames(&disk.inode(File::Segment(*number)).expect("it is there").octets).is_empty();
    segments.into_iter().find(|number| has_mail(number)).expect("mail lies in segments")
}

#[test]
fn the_last_segment_is_no_spare_when_its_header_is_zeros_and_what_is_behind_can_not_be_read() {
    let mut disk = large_spool().disk;
    let last = last_used(&disk);
    disk.spoil(File::Segment(last), |octets| octets[..1024].fill(0));
    let (mut next, _) = recover(over(disk), |_, op| {
        is_read_of(op, last) && matches!(op, Op::Read { offset, .. } if *offset >= 1024)
    });
    (0..20).for_each(|_| _ = used_last(&mut next));
    let (third, _) = recover(over(next.disk), |_, _| false);
    assert!(
        third.troubles.iter().any(|text| text.contains("overwritten with zeros")),
        "{:?}",
        third.troubles
    );
}

#[test]
fn the_last_segment_is_no_spare_when_its_first_mebibyte_is_zeros() {
    let large = Params { segment_size: 4 << 20, reserve: 0, ..Params::default() };
    let mut world = World::new(5, large);
    world.settle();
    for _ in 0..8 {
        world.commit_sized(300_000, ContentPlace::Inline);
        world.settle();
    }
    let mut disk = world.disk.clone();
    disk.spoil(used(&world), |octets| octets[..(1 << 20) + 1024].fill(0));
    let (next, _) = recover(World::over(disk, 9, large), |_, _| false);
    assert!(next.troubles.iter().any(|text| text.contains("overwritten with zeros")), "{:?}", next.troubles);
}

#[test]
fn a_segment_below_one_that_has_lost_its_header_has_lost_its_own_if_anything_is_in_it() {
    let mut disk = large_spool().disk;
    let last = last_used(&disk);
    for segment in [last - 1, last] {
        disk.spoil(File::Segment(segment), |octets| octets[..1024].fill(0));
    }
    // Of the lower one the first frame is there, which claims nothing.
    let begins = frames(&disk.inode(File::Segment(last - 1)).expect("it is there").octets);
    disk.spoil(File::Segment(last - 1), |octets| octets[begins[1]..].fill(0));
    let (next, _) = recover(over(disk), |_, _| false);
    let told = next.troubles.iter().filter(|text| text.contains("overwritten with zeros")).count();
    assert_eq!(told, 2, "{:?}", next.troubles);
}

#[test]
fn no_blank_segment_below_one_that_has_lost_its_header_is_used() {
    let mut disk = large_spool().disk;
    let last = last_used(&disk);
    disk.spoil(File::Segment(last - 1), |octets| octets.fill(0));
    disk.spoil(File::Segment(last), |octets| octets[..1024].fill(0));
    let mut next = over(disk);
    next.recover(|next, op| {
        next.disk.broken = matches!(op, Op::Write { file: File::Corrupt(number, _), .. } if *number == last);
    });
    assert!(current(&next) > last, "{}", current(&next));
    (0..20).for_each(|_| _ = used_last(&mut next));
    let (third, _) = recover(over(next.disk), |_, _| false);
    assert!(
        third.troubles.iter().any(|text| text.contains("overwritten with zeros")),
        "{:?}",
        third.troubles
    );
}

#[test]
fn a_first_batch_that_failed_leaves_nothing_that_looks_like_an_unread_segment() {
    let mut world = spool();
    let File::Segment(first) = used(&world) else { panic!("mail lies in segments") };
    let mut failed = 0;
    while failed == 0 {
        world.commit_sized(3_000, ContentPlace::Inline);
        while let Some((_, op)) = world.pending.first() {
            world.disk.broken =
                failed == 0 && matches!(op, Op::Write { file: File::Segment(number), .. } if *number > first);
            failed += u32::from(world.disk.broken);
            world.complete(0);
        }
        world.disk.broken = false;
    }
    world.settle();
    let aborted = File::Content(QueueId(0x999_9000));
    for seed in 0..10 {
        let mut disk = world.crashed_disk(seed);
        for _ in 0..2 {
            disk.run(Op::Create { file: aborted, size: 500 }).expect("a disk with room");
            let (mut next, _) = recover(over(disk), |_, _| false);
            next.settle();
            assert!(next.notes.iter().all(|text| !text.contains("an earlier start")), "{:?}", next.notes);
            assert_eq!(next.troubles, Vec::<String>::new());
            assert!(next.disk.inode(aborted).is_none(), "left over, and removed");
            disk = next.disk;
        }
    }
}
