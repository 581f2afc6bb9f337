//! Every bit of a small spool flips, and every file of it is cut off at every octet: the damaged message is set aside, and all others are there, unchanged.

use crate::explore::{Recovery, start};
use crate::platter::Platter;
use crate::workload::{message, settlement};
use postrider_core::limits::INLINE_CONTENT_MAX;
use postrider_core::machine::Machine;
use postrider_core::mail::{Change, ContentPlace, QueueId, Standing};
use postrider_core::queue::{File, Op, Params, Staging, StagingInput, StagingOutput};
use postrider_core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

/// The message with a content of its own, and the one behind it.
const LARGE: QueueId = QueueId(0x4000);
const NEXT: QueueId = QueueId(0x5000);

fn params() -> Params {
    Params { segment_size: 4 * 1024, reserve: 0, ..Params::default() }
}

/// A spool at rest, and what is in it: stored octets of each message, and where its frame ends.
struct Spool {
    platter: Platter,
    contents: BTreeMap<QueueId, Vec<u8>>,
    ends: BTreeMap<QueueId, (File, u64)>,
    removed: QueueId,
    settled: QueueId,
}

fn id(number: u64) -> QueueId {
    QueueId(number * 0x1000)
}

fn content(number: u64, octets: u64) -> Vec<u8> {
    (0..octets).map(|at| (at as u8).wrapping_mul(7) ^ number as u8 | 1).collect()
}

/// Streams a content to its file, as the shipped staging does for large ones.
fn stage(log: &mut Recovery, id: QueueId, octets: Vec<u8>) -> Option<u32> {
    let mut staging = Staging::new(id);
    let mut inputs = vec![StagingInput::Finish, StagingInput::Octets(octets)];
    while let Some(input) = inputs.pop() {
        staging.handle_input(start(), input);
        while let Some(output) = staging.poll_output() {
            match output {
                StagingOutput::Do(op, what) => {
                    inputs.push(StagingInput::Did { op, result: log.platter.run(&what) });
                }
                StagingOutput::Staged(staged) => return staged.checksum,
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("a staging ends")
}

/// Seven messages: one removed, one with an outcome, one in a file of its own of so many octets.
fn spool(large: u64) -> Spool {
    let mut log = Recovery::new(Platter::default(), u64::MAX, params());
    log.run().expect("an empty disk");
    let mut contents = BTreeMap::new();
    for number in 1..=7 {
        let is_file = id(number) == LARGE;
        let octets = content(number, if is_file { large } else { 40 + 150 * (number % 3) });
        let place = if is_file { ContentPlace::File } else { ContentPlace::Inline };
        let mut message = message(id(number), octets.len() as u64, place, start());
        if is_file && large > INLINE_CONTENT_MAX {
            message.checksum = stage(&mut log, id(number), octets.clone());
        } else if is_file {
            // A small one behaves like a large one, and has fewer bits to flip.
            let file = File::Content(id(number));
            let write = Op::Write { file, offset: 0, octets: vec![octets.clone()] };
            for op in [Op::Create { file, size: 0 }, write, Op::Sync(file), Op::SyncDirectory] {
                log.platter.run(&op).expect("a working disk");
            }
            message.checksum = Some(crc32fast::hash(&octets));
        }
        let inline = if is_file { Vec::new() } else { vec![octets.clone()] };
        log.append(vec![Change::Commit(Box::new(message))], inline).expect("a working disk");
        contents.insert(id(number), octets);
    }
    let (removed, settled) = (id(2), id(3));
    log.append(vec![settlement(settled, 1, true, start())], Vec::new()).expect("a working disk");
    log.append(vec![Change::Remove(removed)], Vec::new()).expect("a working disk");
    // Idle until the log has said that all of it is durable.
    (0..4).for_each(|_| log.pass(Duration::from_secs(1)).expect("a working disk"));
    let ends = contents.keys().filter_map(|id| {
        let place = log.whereabouts(*id)?;
        Some((*id, (place.file, (place.offset + place.length).next_multiple_of(512))))
    });
    let ends = ends.collect();
    Spool { platter: log.platter, contents, ends, removed, settled }
}

/// What recovery makes of a damaged spool.
struct Found {
    ids: BTreeSet<QueueId>,
    settled: bool,
    loud: bool,
    quiet: bool,
    corrupt: bool,
}

/// Recovers, and compares every message that is there with what was submitted, octet by octet.
fn recover(spool: &Spool, platter: Platter) -> Found {
    let mut log = Recovery::new(platter, u64::MAX, params());
    log.run().expect("recovery ends");
    log.settle().expect("a working disk");
    let ids: BTreeSet<QueueId> = log.found.iter().map(|summary| summary.id).collect();
    let mut settled = false;
    for id in &ids {
        let loaded = log.load(*id).expect("it was announced");
        assert_eq!(log.content(*id).as_ref(), Ok(&spool.contents[id]), "no half message is handed out");
        if *id == spool.settled {
            settled = matches!(loaded.standing[1], Standing::Owed(_));
        }
    }
    let files = log.platter.files();
    Found {
        ids,
        settled,
        loud: !log.troubles.is_empty(),
        quiet: log.troubles.is_empty() && log.warnings == 0,
        corrupt: files.iter().any(|(file, octets)| matches!(file, File::Corrupt(..)) && !octets.is_empty()),
    }
}

fn whole(spool: &Spool) -> BTreeSet<QueueId> {
    let found = recover(spool, spool.platter.clone());
    assert!(found.quiet && found.settled && !found.corrupt);
    assert_eq!(found.ids.len(), 6);
    found.ids
}

#[test]
fn every_flipped_bit_costs_one_message_at_most_and_that_one_is_set_aside() {
    let spool = spool(200);
    let whole = whole(&spool);
    let (mut flips, mut set_aside) = (0, BTreeSet::new());
    for (file, octets) in spool.platter.files() {
        for bit in 0..octets.len() * 8 {
            let mut platter = spool.platter.clone();
            platter.spoil(file, |octets| octets[bit / 8] ^= 1 << (bit % 8));
            let found = recover(&spool, platter);
            flips += 1;
            let changed: Vec<_> = found.ids.symmetric_difference(&whole).copied().collect();
            assert!(changed.len() <= 1, "bit {bit} of {file:?}: {changed:?}");
            if let Some(id) = changed.first() {
                assert!(found.loud && found.corrupt, "bit {bit} of {file:?} is reported and set aside");
                assert!(found.settled || *id == spool.settled, "bit {bit} of {file:?}");
                assert!(whole.contains(id) || *id == spool.removed);
                set_aside.insert(*id);
            }
            assert!(found.settled || found.loud, "bit {bit} of {file:?}: an outcome is lost in silence");
            if matches!(file, File::Content(_)) {
                assert_eq!(changed, [LARGE], "every bit of a content of its own is looked at");
            }
        }
    }
    println!("{flips} flips");
    assert_eq!(set_aside, spool.contents.keys().copied().collect(), "each message had its turn");
}

/// Octets of both headers of a segment.
const HEADERS: usize = 1_024;
/// Octets of the header of a record, from which it is known what it was.
const FRAME: u64 = 48;

#[test]
fn every_truncation_keeps_all_that_lies_before_it() {
    let spool = spool(200);
    let whole = whole(&spool);
    let (mut cuts, mut halves) = (0, 0);
    for (file, octets) in spool.platter.files() {
        for length in 0..octets.len() {
            let mut platter = spool.platter.clone();
            platter.spoil(file, |octets| octets.truncate(length));
            let found = recover(&spool, platter);
            cuts += 1;
            for id in &whole {
                // The record of the content of its own lies before the next message.
                let is_content = matches!(file, File::Content(_));
                let (of, end) = spool.ends[&if *id == LARGE && !is_content { NEXT } else { *id }];
                let before = of != file || (end <= length as u64 && !is_content);
                assert!(!before || found.ids.contains(id), "{file:?} cut at {length}: {id}");
            }
            assert!(found.ids == whole || !found.quiet, "{file:?} cut at {length} is reported");
            // A segment without its headers is warned of: a power failure leaves such a file of one that was just made.
            let is_loud = found.ids == whole || found.loud || length < HEADERS;
            assert!(is_loud, "{file:?} cut at {length}: what is lost is told as an error");
            if matches!(file, File::Content(_)) {
                assert!(found.loud && found.corrupt && !found.ids.contains(&LARGE), "cut at {length}");
            }
            // Of a record whose frame can still be read the rest is set aside, so that a person can look at it.
            let is_within =
                |(of, end): &(File, u64)| *of == file && (end - 512 + FRAME..*end).contains(&(length as u64));
            if spool
                .ends
                .iter()
                .any(|(id, place)| is_within(place) && whole.contains(id) && !found.ids.contains(id))
            {
                halves += 1;
                assert!(found.corrupt, "{file:?} cut at {length}: what is left of a message is set aside");
            }
        }
    }
    assert!(halves > 100, "{halves}");
    println!("{cuts} cuts, {halves} of them within a record");
}

#[test]
fn a_large_content_is_checked_from_its_first_octet_to_its_last() {
    let large = 3 * INLINE_CONTENT_MAX + 5;
    let spool = spool(large);
    whole(&spool);
    let file = File::Content(id(4));
    for at in (0..large as usize).step_by(4_099).chain([large as usize - 1]) {
        let mut platter = spool.platter.clone();
        platter.spoil(file, |octets| octets[at] ^= 1 << (at % 8));
        let found = recover(&spool, platter);
        assert!(found.loud && found.corrupt && !found.ids.contains(&LARGE), "octet {at}");
        assert_eq!(found.ids.len(), 5);
    }
}
