//! Contents on their way, over the same disk.

use super::super::frame::checksum;
use super::super::staging::{Staged, Staging, StagingInput, StagingOutput};
use super::super::{DiskError, Done, File, Op, OpId};
use super::disk::{Disk, Fault};
use crate::limits::INLINE_CONTENT_MAX;
use crate::machine::Machine;
use crate::mail::{ContentPlace, QueueId, Refusal};
use crate::prng::Prng;
use crate::time::Now;

const ID: QueueId = QueueId(0x1000);

struct Bench {
    staging: Staging,
    disk: Disk,
    pending: Vec<(OpId, Op)>,
    staged: Option<Staged>,
    refused: Option<Refusal>,
    gone: bool,
    left: bool,
    /// The operation that was carried out last.
    last: Option<OpId>,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let (staging, disk) = (Staging::new(ID), Disk::new(seed));
        Self {
            staging,
            disk,
            pending: Vec::new(),
            staged: None,
            refused: None,
            gone: false,
            left: false,
            last: None,
        }
    }

    fn tell(&mut self, input: StagingInput) {
        self.staging.handle_input(Now::default(), input);
        while let Some(output) = self.staging.poll_output() {
            match output {
                StagingOutput::Do(id, op) => self.pending.push((id, op)),
                StagingOutput::Staged(staged) => assert!(self.staged.replace(staged).is_none()),
                StagingOutput::Refused(why) => assert!(self.refused.replace(why).is_none()),
                StagingOutput::Gone => self.gone = true,
                StagingOutput::Left => self.left = true,
            }
        }
    }

    fn complete(&mut self) -> bool {
        let Some((op, todo)) = self.pending.pop() else { return false };
        let result = self.disk.run(todo);
        self.last = Some(op);
        self.tell(StagingInput::Did { op, result });
        true
    }

    fn settle(&mut self) {
        while self.complete() {}
    }

    fn content(&self, seed: u64) -> Vec<u8> {
        let mut disk = self.disk.clone();
        disk.crash(seed);
        let length = 10_000_000;
        match disk.run(Op::Read { file: File::Content(ID), offset: 0, length }) {
            Ok(Done::Octets(octets)) => octets,
            _ => Vec::new(),
        }
    }
}

fn chunks(count: u8) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|number| vec![number; 50_000])
}

#[test]
fn a_small_content_stays_in_memory_in_its_chunks() {
    let mut bench = Bench::new(1);
    chunks(2).for_each(|chunk| bench.tell(StagingInput::Octets(chunk)));
    bench.tell(StagingInput::Finish);
    let staged = bench.staged.take().unwrap();
    assert_eq!((staged.place, staged.stored, staged.content.len()), (ContentPlace::Inline, 100_000, 2));
    assert_eq!(bench.disk.count, 0);
}

#[test]
fn a_content_goes_to_a_file_when_it_is_larger_than_what_memory_holds() {
    for (more, place) in [(0, ContentPlace::Inline), (1, ContentPlace::File)] {
        let mut bench = Bench::new(1);
        bench.tell(StagingInput::Octets(vec![1; INLINE_CONTENT_MAX as usize + more]));
        bench.tell(StagingInput::Octets(Vec::new()));
        assert_eq!(bench.staging.stored(), INLINE_CONTENT_MAX + more as u64);
        bench.tell(StagingInput::Finish);
        bench.tell(StagingInput::Octets(vec![2; 10]));
        bench.settle();
        let staged = bench.staged.take().expect("it is staged");
        assert_eq!(
            (staged.place, staged.stored),
            (place, INLINE_CONTENT_MAX + more as u64),
            "nothing follows the end"
        );
        let octets = vec![1; INLINE_CONTENT_MAX as usize + more];
        let reckoned = (place == ContentPlace::File).then(|| checksum([octets.as_slice()]));
        assert_eq!(staged.checksum, reckoned, "octets in the log are covered by the log's own");
    }
}

#[test]
fn the_answer_to_an_operation_of_before_is_not_taken_for_that_of_this_one() {
    let mut bench = Bench::new(1);
    chunks(6).for_each(|chunk| bench.tell(StagingInput::Octets(chunk)));
    let (op, create) = bench.pending.pop().expect("its file is made");
    bench.disk.run(create).expect("a disk with room");
    for wrong in [OpId(0), OpId(op.0 + 1)] {
        bench.tell(StagingInput::Did { op: wrong, result: Ok(Done::Nothing) });
        assert!(bench.pending.is_empty() && bench.staging.room() == 0);
    }
    bench.tell(StagingInput::Did { op, result: Ok(Done::Nothing) });
    assert!(matches!(bench.pending[..], [(OpId(2), Op::Write { offset: 0, .. })]), "{:?}", bench.pending);
    bench.settle();
    assert!(bench.refused.is_none());
}

#[test]
fn a_content_is_staged_at_its_end_however_fast_the_disk_is() {
    let mut bench = Bench::new(1);
    for chunk in chunks(6) {
        bench.tell(StagingInput::Octets(chunk));
        bench.settle();
        assert!(bench.staged.is_none() && bench.staging.next_timeout().is_none());
    }
    bench.tell(StagingInput::Finish);
    bench.settle();
    let whole: Vec<u8> = chunks(6).flatten().collect();
    let staged = bench.staged.clone().expect("it is staged");
    assert_eq!((staged.stored, staged.checksum), (300_000, Some(checksum([whole.as_slice()]))));
    // An answer that comes twice changes nothing.
    let last = bench.last.expect("there were some");
    bench.tell(StagingInput::Did { op: last, result: Ok(Done::Nothing) });
    assert!(bench.pending.is_empty());
    bench.tell(StagingInput::Abort);
    bench.settle();
    assert!(bench.gone && !bench.left && bench.disk.files().is_empty());
}

/// A staging that waits for the end of its last operation but so many.
fn ending(before: usize) -> Bench {
    let mut bench = Bench::new(1);
    bench.tell(StagingInput::Octets(vec![1; 200_000]));
    bench.tell(StagingInput::Finish);
    // Create, Write, Sync, SyncDirectory.
    (before..4).skip(1).for_each(|_| assert!(bench.complete()));
    bench
}

#[test]
fn an_abort_at_the_end_removes_the_file_at_once_and_hands_nothing_over() {
    for (before, at) in [(0, Op::SyncDirectory), (1, Op::Sync(File::Content(ID)))] {
        let mut bench = ending(before);
        assert_eq!(bench.pending[0].1, at);
        bench.tell(StagingInput::Abort);
        assert!(bench.complete());
        assert!(matches!(bench.pending[..], [(_, Op::Unlink(_))]), "{:?}", bench.pending);
        bench.settle();
        assert!(bench.staged.is_none() && bench.gone && !bench.left);
    }
}

#[test]
fn a_file_for_which_there_was_no_room_is_removed_and_one_that_is_not_ours_is_left_alone() {
    for (error, removed) in [(DiskError::Full, true), (DiskError::Failed("File exists".into()), false)] {
        let mut bench = ending(3);
        let (op, create) = bench.pending.pop().expect("its file is made");
        assert!(matches!(create, Op::Create { .. }));
        bench.tell(StagingInput::Did { op, result: Err(error) });
        assert_eq!(matches!(bench.pending[..], [(_, Op::Unlink(_))]), removed, "{:?}", bench.pending);
        assert_eq!((bench.gone, bench.refused.is_some()), (!removed, true));
    }
}

#[test]
fn a_large_content_is_durable_when_it_is_staged() {
    let mut bench = Bench::new(1);
    for chunk in chunks(10) {
        bench.tell(StagingInput::Octets(chunk));
        bench.complete();
    }
    bench.tell(StagingInput::Finish);
    bench.settle();
    let staged = bench.staged.take().unwrap();
    assert_eq!((staged.place, staged.stored), (ContentPlace::File, 500_000));
    let whole: Vec<u8> = chunks(10).flatten().collect();
    assert!((0..20).all(|seed| bench.content(seed) == whole));
    // Its commit is refused.
    bench.tell(StagingInput::Abort);
    bench.settle();
    assert!(bench.gone && bench.disk.files().is_empty());
}

#[test]
fn what_can_not_be_removed_is_left_to_the_log() {
    let mut bench = Bench::new(1);
    for chunk in chunks(10) {
        bench.tell(StagingInput::Octets(chunk));
        bench.complete();
    }
    bench.disk.unremovable = true;
    bench.tell(StagingInput::Abort);
    bench.settle();
    assert!(bench.gone && bench.left && bench.refused.is_none());
}

#[test]
fn it_holds_the_client_back_when_the_disk_is_slow() {
    let mut bench = Bench::new(1);
    chunks(6).for_each(|chunk| bench.tell(StagingInput::Octets(chunk)));
    assert_eq!(bench.staging.room(), 0);
    assert_eq!(Staging::new(ID).room(), 256 * 1024);
    bench.complete();
    assert!(bench.staging.room() > 0, "what is being written is the driver's");
}

#[test]
fn whatever_fails_is_refused_once_and_leaves_nothing() {
    for fault in [Fault::Failed, Fault::Full] {
        for at in 1..9 {
            let mut bench = Bench::new(at);
            bench.disk.faults.insert(at, fault);
            for chunk in chunks(6) {
                bench.tell(StagingInput::Octets(chunk));
                bench.settle();
            }
            bench.tell(StagingInput::Finish);
            bench.settle();
            assert!(bench.staged.is_some() ^ bench.refused.is_some(), "{fault:?} at {at}");
            if bench.refused.is_some() {
                assert!(bench.gone);
                assert!(bench.disk.files().is_empty(), "{fault:?} at {at}");
            }
        }
    }
}

#[test]
fn an_abort_at_any_moment_leaves_nothing() {
    for seed in 0..200 {
        let mut prng = Prng::new(seed);
        let mut bench = Bench::new(seed);
        let end = prng.below(20);
        for _ in 0..end {
            match prng.below(3) {
                0 => bench.tell(StagingInput::Octets(vec![7; 60_000])),
                1 => _ = bench.complete(),
                _ if prng.chance(1, 5) => bench.tell(StagingInput::Finish),
                _ => {}
            }
        }
        let inline = bench.staged.as_ref().is_some_and(|staged| staged.place == ContentPlace::Inline);
        bench.tell(StagingInput::Abort);
        bench.settle();
        assert!(bench.gone || inline, "seed {seed}");
        assert!(bench.disk.files().is_empty(), "seed {seed}");
    }
}
