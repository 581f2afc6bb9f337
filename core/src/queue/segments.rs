//! Fresh segments: made ahead of need, kept in reserve, and opened anew after the disk failed.
//!
//! A spare is a file of full size whose name is durable; its first batch brings its header with it, so rotation costs no sync of its own. New mail may
//! not use the last `spool_reserve` octets of spares, nor one more; outcomes and removals may use the reserve, and messages that are moved also the
//! last one, so that a full disk drains.
//!
//! After a failed write or sync: at once a fresh segment whose header, synced by itself, says where the durable octets of the failed one end; what lies behind is void, and
//! what was refused can not come back. If that works, mail is taken again. If it fails, or if a segment opened that way fails in its first batch, the next try comes
//! after 1 s, 2 s, … 60 s: a disk that heals by itself does so in seconds, and one that does not needs a person, who is told each time.

use super::frame::{SECTOR, SEGMENT_HEADER, Seal, SegmentHeader, round_up};
use super::index::Segment;
use super::item::{Item, Kind};
use super::log::{Log, PROGRAM, Purpose, refusal, words};
use super::writer::Current;
use super::{DiskError, File, Op};
use crate::event::Event;
use crate::mail::Refusal;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// The first pause after the disk failed twice.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What became of the wish for a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Taken {
    Yes,
    /// One is being made.
    Later,
    Never(Refusal),
}

/// A segment that is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Making {
    segment: u64,
    size: u64,
    /// The file is there; its name is being made durable.
    named: bool,
}

/// The steps of opening a segment that must be durable before mail is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Opening {
    /// A segment is wanted.
    Wanted,
    Writing,
    Syncing,
    Naming,
    /// The disk failed: again at this time.
    Paused(Instant),
}

/// Segments that are ready, and how the next becomes so.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Spares {
    /// Number and size, ascending.
    pub(super) ready: VecDeque<(u64, u64)>,
    making: Option<Making>,
    /// The last could not be made: why, and when to try again.
    failed: Option<(Refusal, Instant)>,
    pause: Duration,
    /// The operator knows.
    told: bool,
    /// A frame waits that needs a segment of this size.
    wanted: u64,
    opening: Option<Opening>,
    /// The segment that is being opened.
    candidate: Option<Current>,
    opening_pause: Duration,
    /// The segment before the next one, and where its durable octets end.
    pub(super) previous: (u64, u64),
}

impl Spares {
    pub(super) fn octets(&self) -> u64 {
        let making = self.making.map_or(0, |making| making.size);
        self.ready.iter().map(|(_, size)| size).sum::<u64>() + making
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        let paused = match self.opening {
            Some(Opening::Paused(until)) => Some(until),
            _ => None,
        };
        let failed = self.failed.filter(|_| self.making.is_none()).map(|(_, until)| until);
        [failed, paused].into_iter().flatten().min()
    }

    /// True when the last spare could not be made.
    pub(super) const fn is_failing(&self) -> bool {
        self.failed.is_some()
    }

    /// True while one is being made.
    pub(super) const fn is_making(&self) -> bool {
        self.making.is_some()
    }

    /// True when the disk had no room for a spare.
    pub(super) const fn is_full(&self) -> bool {
        matches!(self.failed, Some((Refusal::Full, _)))
    }

    /// Something was removed: a failed making may work now.
    pub(super) fn try_now(&mut self, now: Instant) {
        if let Some((_, until)) = &mut self.failed {
            *until = now;
        }
    }

    /// Before anything else was opened.
    pub(super) fn begin(&mut self) {
        self.opening = Some(Opening::Wanted);
    }
}

/// The pause after this one.
pub(super) fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX)
}

impl Log {
    /// True when the first segment is open, or it is known that it can not be.
    pub(super) const fn is_settled_about_mail(&self) -> bool {
        self.writer.current.is_some() || self.writer.refusing.is_some()
    }

    /// Ready segments that new mail leaves alone: the reserve, and room for emptying an old segment.
    fn kept_from_mail(&self) -> usize {
        self.params.reserve_segments() + 1
    }

    /// Octets that can still be written if no segment can be made.
    pub(super) fn free(&self) -> u64 {
        let current = self.writer.current.as_ref().map_or(0, |current| current.size - current.tail);
        self.spares.ready.iter().fold(current, |sum, (_, size)| sum + size.saturating_sub(SEGMENT_HEADER))
    }

    /// Why an append can not be taken now although a segment is open, if that is so. New mail leaves the reserve alone. Everything leaves
    /// as much as it takes to empty an old segment, because without that nothing would ever be given back; outcomes leave half as much more, so that
    /// they can not keep removals from making room.
    pub(super) fn no_room(&self, item: &Item) -> Option<Refusal> {
        let (why, _) = self.spares.failed?;
        let size = self.params.segment_size();
        let keep = if item.only_removes() { size } else { size + size / 2 };
        let short = if item.kind == Kind::Mail {
            self.spares.ready.len() < self.kept_from_mail()
        } else {
            self.free() < keep.saturating_add(item.size())
        };
        short.then_some(why)
    }

    /// Makes the next spare, if one is wanted and none is being made.
    pub(super) fn make_spares(&mut self) {
        let enough = self.spares.ready.len() > self.kept_from_mail();
        let wanted = self.spares.wanted;
        let special = wanted > 0 && !self.spares.ready.iter().any(|(_, size)| *size >= wanted);
        let paused = self.spares.failed.is_some_and(|(_, until)| until > self.now.mono);
        if self.spares.making.is_some() || paused {
            return;
        }
        if enough && !special {
            self.spares.told = false;
            self.spares.failed = None;
            return;
        }
        let (segment, size) = (self.next_segment, self.spares.wanted.max(self.params.segment_size()));
        let making = Making { segment, size, named: false };
        if segment >= u64::from(u32::MAX) {
            return self.spare_failed(making, &DiskError::Failed("its numbers are used up".to_owned()));
        }
        self.next_segment += 1;
        self.spares.making = Some(making);
        self.start(Purpose::Spare, Op::Create { file: File::Segment(segment), size });
    }

    pub(super) fn spare_did(&mut self, result: Result<(), DiskError>) {
        let Some(making) = self.spares.making.take() else {
            return;
        };
        match result {
            Ok(()) if making.named || planted!(SpareUnnamed) => {
                self.spares.failed = None;
                self.spares.pause = Duration::ZERO;
                self.spares.ready.push_back((making.segment, making.size));
            }
            Ok(()) => {
                self.spares.making = Some(Making { named: true, ..making });
                self.start(Purpose::Spare, Op::SyncDirectory);
            }
            Err(error) => self.spare_failed(making, &error),
        }
    }

    fn spare_failed(&mut self, making: Making, error: &DiskError) {
        if making.named {
            self.directory_failed();
        }
        if making.named || *error == DiskError::Full {
            // A name whose sync failed is not trusted, and a file may be there in part.
            self.unlink(File::Segment(making.segment));
        }
        if !self.spares.told {
            self.spares.told = true;
            let text = format!(
                "no segment of {} octets can be made in the spool: {}: new mail is refused when the {} ready ones are used",
                making.size,
                words(error),
                self.spares.ready.len().saturating_sub(self.kept_from_mail())
            );
            self.trouble(None, text);
        }
        self.spares.wanted = 0;
        self.spares.pause = longer(self.spares.pause);
        self.spares.failed = Some((refusal(error), self.now.mono.after(self.spares.pause)));
    }

    /// Makes a ready segment the one that is written; its header goes with the first batch.
    pub(super) fn take_spare(&mut self, frame: u64, reserve: bool) -> Taken {
        let need = round_up(SEGMENT_HEADER + frame, SECTOR).saturating_add(SECTOR);
        let keep = if reserve { 0 } else { self.kept_from_mail() };
        if self.spares.ready.len() <= keep || !self.spares.ready.iter().any(|(_, size)| *size >= need) {
            if let Some((why, _)) = self.spares.failed {
                return Taken::Never(why);
            }
            if need > self.params.segment_size() {
                self.spares.wanted = need;
            }
            self.make_spares();
            return Taken::Later;
        }
        self.leave_segment();
        match self.next_ready(need) {
            Some(mut current) => {
                current.header = Some(self.header(&current).emit());
                self.writer.current = Some(current);
                Taken::Yes
            }
            None => Taken::Later,
        }
    }

    /// The first ready segment that is large enough; smaller ones before it are removed, because order is by number.
    fn next_ready(&mut self, need: u64) -> Option<Current> {
        while let Some((segment, size)) = self.spares.ready.pop_front() {
            if size < need {
                self.unlink(File::Segment(segment));
                continue;
            }
            if size >= self.spares.wanted {
                self.spares.wanted = 0;
            }
            let salt = self.prng.next_u64();
            let entry = Segment { size, end: SEGMENT_HEADER, salt, commits: 0, pinned: false };
            self.index.add_segment(segment, entry);
            let seal = Seal { segment, salt };
            let start = SEGMENT_HEADER;
            return Some(Current {
                seal,
                size,
                tail: start,
                synced: 0,
                claimed: 0,
                said_to: 0,
                mail_to: 0,
                header: None,
            });
        }
        None
    }

    fn header(&self, current: &Current) -> SegmentHeader {
        SegmentHeader {
            seal: current.seal,
            size: current.size,
            epoch: self.epoch,
            highest: self.highest,
            previous: self.spares.previous,
            oldest: self.index.segments.keys().next().copied().unwrap_or(current.seal.segment),
        }
    }

    /// The segment that was written is full or failed: it ends where it is durable. One whose header may never have come to be says nothing of the one
    /// before it, so the next header does: else one bit of the last batch there would pass for a torn end.
    fn leave_segment(&mut self) {
        if let Some(current) = self.writer.current.take() {
            if current.synced >= SEGMENT_HEADER {
                self.spares.previous = (current.seal.segment, current.synced);
            }
            if let Some(segment) = self.index.segments.get_mut(&current.seal.segment) {
                segment.end = current.synced;
            }
        }
    }

    /// The disk failed: a fresh segment, at once the first time.
    pub(super) fn abandon_segment(&mut self) {
        self.leave_segment();
        self.pause_or_open();
    }

    fn pause_or_open(&mut self) {
        let pause = self.spares.opening_pause;
        self.spares.opening_pause = longer(pause);
        self.spares.opening =
            Some(if pause.is_zero() { Opening::Wanted } else { Opening::Paused(self.now.mono.after(pause)) });
    }

    /// A sync succeeded: the next failure is a first one.
    pub(super) fn disk_works(&mut self) {
        self.spares.opening_pause = Duration::ZERO;
    }

    /// Begins to open a segment, if one is wanted and ready.
    pub(super) fn open_fresh(&mut self) {
        if let Some(Opening::Paused(until)) = self.spares.opening
            && until <= self.now.mono
        {
            self.spares.opening = Some(Opening::Wanted);
            self.spares.try_now(self.now.mono);
            self.make_spares();
        }
        if self.spares.opening != Some(Opening::Wanted) {
            return;
        }
        let Some(current) = self.next_ready(SEGMENT_HEADER + SECTOR) else {
            if let Some((why, _)) = self.spares.failed
                && self.spares.making.is_none()
            {
                self.opening_failed(why);
            }
            return;
        };
        let file = File::Segment(current.seal.segment);
        let octets = vec![self.header(&current).emit()];
        self.spares.candidate = Some(current);
        self.spares.opening = Some(Opening::Writing);
        self.start(Purpose::Open, Op::Write { file, offset: 0, octets });
    }

    pub(super) fn opening_did(&mut self, result: &Result<(), DiskError>) {
        let Some(file) = self.spares.candidate.as_ref().map(|current| File::Segment(current.seal.segment))
        else {
            return;
        };
        if let Err(error) = result {
            let text = format!("no fresh segment could be opened in the spool: {}", words(error));
            self.trouble(None, text);
            if self.spares.opening == Some(Opening::Naming) {
                self.directory_failed();
            }
            // Its header may be durable or not; it names the same end as the next one will, and holds no frame.
            if let Some(current) = self.spares.candidate.take() {
                self.index.remove_segment(current.seal.segment);
            }
            self.unlink(file);
            return self.opening_failed(refusal(error));
        }
        match self.spares.opening {
            Some(Opening::Writing) => {
                self.spares.opening = Some(Opening::Syncing);
                self.start(Purpose::Open, Op::Sync(file));
            }
            Some(Opening::Syncing) => {
                self.spares.opening = Some(Opening::Naming);
                self.start(Purpose::Open, Op::SyncDirectory);
            }
            _ => self.opened(),
        }
    }

    fn opening_failed(&mut self, why: Refusal) {
        self.writer.refusing = Some(why);
        self.refuse_waiting(why);
        self.spares.opening_pause = self.spares.opening_pause.max(PAUSE_MIN);
        self.pause_or_open();
    }

    fn opened(&mut self) {
        self.spares.opening = None;
        let Some(mut current) = self.spares.candidate.take() else {
            return;
        };
        current.synced = SEGMENT_HEADER;
        current.claimed = SEGMENT_HEADER;
        if self.writer.refusing.take().is_some() {
            let text = format!("the spool takes mail again, in segment {}", current.seal.segment);
            self.event(Event::Note { program: PROGRAM, text });
        }
        self.writer.current = Some(current);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Params;
    use super::*;
    use crate::mail::{Change, QueueId};

    const SIZE: u64 = 16 * 1024;

    /// A log that keeps one segment in reserve and one for emptying old ones, and has these ready.
    fn log(ready: &[u64]) -> Log {
        let mut log = Log::new(Params { segment_size: SIZE, reserve: SIZE, ..Params::default() }, 1);
        log.next_segment = 50;
        log.spares.ready = (10..).zip(ready.iter().copied()).collect();
        log
    }

    fn made(log: &mut Log) -> Option<u64> {
        log.make_spares();
        log.spares.making.map(|making| making.size)
    }

    fn item(kind: Kind, changes: Vec<Change>) -> Item {
        Item::new(None, kind, changes, Vec::new())
    }

    #[test]
    fn pauses_double_from_a_second_to_a_minute() {
        let pauses = [0, 1, 2, 29, 30, 60].map(|pause| longer(Duration::from_secs(pause)).as_secs());
        assert_eq!(pauses, [1, 2, 4, 58, 60, 60]);
    }

    #[test]
    fn one_segment_more_than_mail_leaves_alone_is_kept_ready() {
        assert_eq!(made(&mut log(&[SIZE; 2])), Some(SIZE));
        assert_eq!(made(&mut log(&[SIZE; 3])), None);
        let mut twice = log(&[]);
        assert_eq!(
            (made(&mut twice), made(&mut twice), twice.next_segment),
            (Some(SIZE), Some(SIZE), 51),
            "one at a time"
        );
        assert_eq!(twice.spares.octets(), SIZE);
        let mut waits = log(&[]);
        waits.spares.failed = Some((Refusal::Full, Instant(1)));
        assert_eq!(made(&mut waits), None, "until its pause is over");
        waits.now.mono = Instant(1);
        assert_eq!(made(&mut waits), Some(SIZE));
        let mut last = log(&[]);
        last.next_segment = u64::from(u32::MAX) - 1;
        assert_eq!(made(&mut last), Some(SIZE));
        let mut beyond = log(&[]);
        beyond.next_segment = u64::from(u32::MAX);
        assert_eq!(made(&mut beyond), None, "numbers have an end");
    }

    #[test]
    fn a_frame_that_fits_no_ready_segment_gets_one_of_its_size() {
        let wants = |ready: &[u64], wanted| {
            let mut log = log(ready);
            log.spares.wanted = wanted;
            made(&mut log)
        };
        assert_eq!(wants(&[SIZE; 3], 2 * SIZE), Some(2 * SIZE));
        assert_eq!(wants(&[SIZE, SIZE, 2 * SIZE], 2 * SIZE), None, "there is one");
        assert_eq!(wants(&[SIZE; 3], SIZE), None);
        assert_eq!(wants(&[], SIZE / 2), Some(SIZE), "none is smaller than the others");
    }

    #[test]
    fn what_can_still_be_written_is_what_the_segments_have_behind_their_headers() {
        let mut log = log(&[SIZE, 2 * SIZE]);
        assert_eq!(log.free(), SIZE - 1024 + 2 * SIZE - 1024);
        assert_eq!(log.spares.octets(), 3 * SIZE);
        let mut current = log.next_ready(0).expect("one is ready");
        current.tail = 3_072;
        log.writer.current = Some(current);
        assert_eq!(log.free(), SIZE - 3_072 + 2 * SIZE - 1024);
    }

    #[test]
    fn what_is_short_of_room_is_refused_mail_first_then_outcomes_then_removals() {
        let id = QueueId(1);
        let (outcome, removal) =
            (item(Kind::Change, vec![Change::Hold(id)]), item(Kind::Change, vec![Change::Remove(id)]));
        let mail = item(Kind::Mail, vec![Change::Hold(id)]);
        let refused = |ready: &[u64], item: &Item| {
            let mut log = log(ready);
            log.spares.failed = Some((Refusal::Full, Instant(1)));
            log.no_room(item) == Some(Refusal::Full)
        };
        assert_eq!([refused(&[SIZE; 1], &mail), refused(&[SIZE; 2], &mail)], [true, false]);
        let exactly = |octets: u64, item: &Item| octets + item.size() + SEGMENT_HEADER;
        for (item, keep) in [(&outcome, SIZE + SIZE / 2), (&removal, SIZE)] {
            assert!(!refused(&[exactly(keep, item)], item));
            assert!(refused(&[exactly(keep, item) - 1], item));
        }
        assert_eq!(log(&[]).no_room(&mail), None, "segments can be made");
    }

    #[test]
    fn mail_leaves_the_reserve_alone_and_outcomes_do_not() {
        let taken = |ready: &[u64], reserve| log(ready).take_spare(100, reserve);
        assert_eq!([taken(&[SIZE; 2], false), taken(&[SIZE; 3], false)], [Taken::Later, Taken::Yes]);
        assert_eq!([taken(&[], true), taken(&[SIZE], true)], [Taken::Later, Taken::Yes]);
        let mut failing = log(&[SIZE; 2]);
        failing.spares.failed = Some((Refusal::Full, Instant(1)));
        assert_eq!(failing.take_spare(100, false), Taken::Never(Refusal::Full));
        assert_eq!(failing.take_spare(100, true), Taken::Yes);
    }

    #[test]
    fn a_segment_is_wanted_that_has_room_for_header_frame_and_a_claim() {
        let wanted = |frame| {
            let mut log = log(&[SIZE; 3]);
            let taken = log.take_spare(frame, true);
            (taken, log.spares.wanted)
        };
        assert_eq!(wanted(SIZE - 1024 - 512), (Taken::Yes, 0), "it fits to the last octet");
        assert_eq!(wanted(SIZE - 1024 - 511), (Taken::Later, SIZE + 512));
    }

    #[test]
    fn ready_segments_that_are_too_small_are_passed_over_and_removed() {
        let mut log = log(&[SIZE, SIZE + 512, SIZE]);
        log.spares.wanted = SIZE + 512;
        let current = log.next_ready(SIZE + 512).expect("the second is large enough");
        assert_eq!((current.seal.segment, current.size, log.spares.wanted), (11, SIZE + 512, 0));
        assert_eq!((log.spares.ready.len(), log.index.segments.len()), (1, 1));
        assert_eq!(log.next_ready(SIZE + 1), None);
        log.spares.ready.push_back((20, SIZE));
        log.spares.wanted = SIZE + 1;
        assert!(log.next_ready(SIZE).is_some());
        assert_eq!(log.spares.wanted, SIZE + 1, "it is still wanted");
    }

    #[test]
    fn a_spare_that_failed_is_asked_for_again_when_its_pause_is_over_or_something_was_removed() {
        let mut spares = Spares { failed: Some((Refusal::Full, Instant(7))), ..Spares::default() };
        assert!(spares.is_failing() && spares.is_full());
        assert_eq!(spares.timeout(), Some(Instant(7)));
        spares.try_now(Instant(3));
        assert_eq!(spares.timeout(), Some(Instant(3)));
        spares.opening = Some(Opening::Paused(Instant(2)));
        assert_eq!(spares.timeout(), Some(Instant(2)));
        spares.opening = Some(Opening::Wanted);
        spares.making = Some(Making { segment: 1, size: SIZE, named: false });
        assert_eq!(spares.timeout(), None, "it is being made");
        spares.failed = Some((Refusal::Broken, Instant(7)));
        assert!(spares.is_failing() && !spares.is_full());
    }
}
