//! From what lies on the disk to an index and a summary of each message.
//!
//! Every segment header first, because each says where the durable octets of the segment before it end, and the highest id before it. Then the frame headers of each segment whose end none of them names, as a rule of the last: now
//! all ids that can be read are known, and sessions may begin ([`super::Output::Numbered`]). Then every segment, oldest first: what is whole is folded in; what is not is judged.
//! Broken octets that were durable are damage: set aside, reported, and the rest goes on. Broken octets that nobody says were durable are the torn end of the last batch, and so is
//! everything behind them: nothing that was answered can be in it.
//!
//! Promise: reads the segments and what was made ahead, remembers in proportion to the living messages, and writes nothing into a segment that was there but what it
//! read there ([`super::renewal`]).

use super::contents::Checking;
use super::fold::Progress;
use super::frame::{SEGMENT_HEADER, SegmentHeader, is_blank};
use super::index::Segment;
use super::log::{Log, PROGRAM, Phase, Purpose, octets, words};
use super::reading::Reading;
use super::renewal::Renewal;
use super::salvage::{Salvage, Source};
use super::{DiskError, Done, File, Op, Output};
use crate::event::Event;
use crate::mail::{QueueId, Summary};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Until the spool directory is listed again after that failed.
const LIST_AGAIN: Duration = Duration::from_secs(1);

/// Pauses of all reads of one recovery together: who waits longer for a disk that does not read waits for ever.
const PAUSES_MAX: u32 = 30;
/// Times that one read is tried.
const TRIES_MAX: u32 = 6;
/// Between two of them.
const READ_AGAIN: Duration = Duration::from_millis(500);

/// Stands for the durable end of a segment in the header of the next one, where nobody knows it.
pub(super) const UNKNOWN_END: u64 = u64::MAX;

/// What recovery waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) enum Stage {
    #[default]
    Idle,
    Listing,
    Header(u64),
    /// Looking for anything from here on in a segment whose header is zeros, so many octets at once.
    Blank(u64, u64, u64),
    /// Looking for the ids in a segment whose end nobody names.
    Survey(Reading),
    /// Looking for what frames say of their own segment.
    Measure(Reading),
    Fold(Reading),
    /// Making durable what was read: it may have been written by a process that was killed, and not be on the disk.
    Renew(Renewal),
    /// Reading contents that have files of their own.
    Contents(Checking),
    Salvage,
    Done,
}

/// Recovery.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Recovery {
    pub(super) stage: Stage,
    pub(super) began: Instant,
    again_at: Option<Instant>,
    /// The last operation, if it was a read; how often it was tried, and how many pauses that has cost in all.
    read: Option<Op>,
    tries: u32,
    pauses: u32,
    pub(super) sizes: BTreeMap<u64, u64>,
    pub(super) contents: BTreeMap<QueueId, u64>,
    /// What was set aside before, with its sizes.
    pub(super) corrupt: BTreeMap<File, u64>,
    pub(super) headers: BTreeMap<u64, SegmentHeader>,
    /// Where segments end, as the latest header that names them says.
    ends: BTreeMap<u64, u64>,
    /// Segments that a later header says do not count.
    pub(super) void: BTreeSet<u64>,
    /// Segments whose header is zeros.
    pub(super) blank: BTreeSet<u64>,
    /// The highest segment that was used, whether it can be read or not.
    pub(super) last_used: u64,
    /// Something of a segment could not be read at this start.
    pub(super) is_partial: bool,
    /// Segments that may hold ids which no header knows, as the headers that follow were written without having read them.
    unsurveyed: VecDeque<u64>,
    todo: VecDeque<u64>,
    pub(super) progress: BTreeMap<QueueId, Progress>,
    /// Of contents that have files of their own.
    pub(super) checksums: BTreeMap<QueueId, u32>,
    /// What is to be written again of segments whose end nobody names, and of the last one if it is named.
    pub(super) renewals: VecDeque<Renewal>,
    pub(super) last: Option<Renewal>,
    /// Segments that were cut off, and where: records are gone without a trace.
    pub(super) cuts: Vec<(u64, u64)>,
    pub(super) salvages: VecDeque<Salvage>,
    pub(super) salvage: Option<Salvage>,
}

impl Recovery {
    pub(super) const fn timeout(&self) -> Option<Instant> {
        self.again_at
    }

    /// Begins with this operation again, later.
    pub(super) fn try_later(&mut self, op: Op, at: Instant) {
        (self.read, self.again_at) = (Some(op), Some(at));
    }

    /// Hands out the next recovered message.
    pub(super) fn next_summary(&mut self) -> Option<Summary> {
        self.progress.pop_first().map(|(id, progress)| progress.summary(id))
    }

    /// The durable end of a segment, if a later one names it.
    pub(super) fn durable_end(&self, segment: u64) -> Option<u64> {
        self.ends.get(&segment).copied().filter(|end| *end != UNKNOWN_END)
    }

    /// True of a segment of which an earlier start could not say where it ends: of several that lie behind one another a header names only
    /// the last.
    pub(super) fn was_unread(&self, segment: u64) -> bool {
        let above = || self.ends.range(segment..).any(|(_, end)| *end == UNKNOWN_END);
        self.ends.get(&segment).map_or_else(above, |end| *end == UNKNOWN_END)
    }

    /// True when an earlier start could not read something, also if that is gone.
    pub(super) fn anything_was_unread(&self) -> bool {
        self.ends.values().any(|end| *end == UNKNOWN_END)
    }

    /// What is below it was given up.
    fn oldest(&self) -> u64 {
        self.headers.values().map(|header| header.oldest).max().unwrap_or(0)
    }

    /// Takes down what headers say of other segments: once, since there may be thousands.
    fn compare_headers(&mut self) {
        let oldest = self.oldest();
        // The lowest segment that any header behind this one calls its predecessor.
        let mut reach = u64::MAX;
        for segment in self.sizes.keys().rev() {
            if *segment < oldest || reach < *segment {
                self.void.insert(*segment);
            }
            if let Some(header) = self.headers.get(segment) {
                let (previous, end) = header.previous;
                reach = reach.min(previous);
                self.ends.entry(previous).or_insert(end);
            }
        }
    }
}

impl Log {
    pub(super) fn open(&mut self) {
        if self.phase == Phase::New {
            self.phase = Phase::Recovering;
            self.recovery.began = self.now.mono;
            self.recovery.stage = Stage::Listing;
            self.start(Purpose::Recover, Op::List);
        }
    }

    pub(super) fn recovery_timeout(&mut self) {
        if self.recovery.again_at.is_some_and(|at| at <= self.now.mono) {
            self.recovery.again_at = None;
            let op = self.recovery.read.clone().unwrap_or(Op::List);
            self.start(Purpose::Recover, op);
        }
    }

    /// Remembers a read, so that it can be tried again.
    pub(super) fn remember_read(&mut self, op: &Op) {
        let recovery = &mut self.recovery;
        if !matches!(op, Op::Read { .. }) {
            recovery.read = None;
        } else if recovery.read.as_ref() != Some(op) {
            (recovery.read, recovery.tries) = (Some(op.clone()), 0);
        }
    }

    /// A read that fails once is no damage: what could be read the next time would be set aside, and mail with it.
    fn reads_again(&mut self, result: &Result<Done, DiskError>) -> bool {
        let recovery = &mut self.recovery;
        let failed = matches!(result, Err(DiskError::Failed(_) | DiskError::Full)) && recovery.read.is_some();
        let tried = recovery.tries + 1 >= TRIES_MAX || planted!(ReadOnce);
        if !failed || tried || recovery.pauses >= PAUSES_MAX {
            return false;
        }
        recovery.tries += 1;
        recovery.pauses += 1;
        recovery.again_at = Some(self.now.mono.after(READ_AGAIN));
        true
    }

    pub(super) fn recovery_did(&mut self, result: Result<Done, DiskError>) {
        if self.reads_again(&result) {
            return;
        }
        match std::mem::take(&mut self.recovery.stage) {
            Stage::Listing => self.listed(result),
            Stage::Header(segment) => self.header_read(segment, octets(result)),
            Stage::Blank(segment, at, piece) => self.looked_behind(segment, at, piece, octets(result)),
            Stage::Survey(reading) => {
                if let Some(reading) = self.fed(reading, octets(result))
                    && self.survey(reading)
                {
                    self.survey_segments();
                }
            }
            Stage::Measure(reading) => {
                if let Some(reading) = self.fed(reading, octets(result))
                    && self.measure(reading)
                {
                    self.read_segments();
                }
            }
            Stage::Fold(reading) => {
                if let Some(reading) = self.fed(reading, octets(result))
                    && self.fold(reading)
                {
                    self.read_segments();
                }
            }
            Stage::Renew(renewal) => self.renewed(renewal, result),
            Stage::Contents(checking) => self.content_read(checking, octets(result)),
            Stage::Salvage => {
                self.recovery.stage = Stage::Salvage;
                self.salvage_did(result);
            }
            Stage::Idle | Stage::Done => {}
        }
    }

    fn listed(&mut self, result: Result<Done, DiskError>) {
        let files = match result {
            Ok(Done::Files(files)) => files,
            other => {
                let why = other.err().unwrap_or(DiskError::Failed("no list".to_owned()));
                self.trouble(None, format!("the spool can not be listed: {}", words(&why)));
                self.recovery.stage = Stage::Listing;
                self.recovery.again_at = Some(self.now.mono.after(LIST_AGAIN));
                return;
            }
        };
        for (file, size) in files {
            match file {
                // Place has no room for more, and no log of ours reaches it.
                File::Segment(segment) if segment == 0 || segment >= u64::from(u32::MAX) => {
                    self.trouble(
                        None,
                        format!("the spool has a segment {segment} that is not ours: it is left alone"),
                    );
                }
                File::Segment(segment) => {
                    self.next_segment = self.next_segment.max(segment + 1);
                    self.recovery.sizes.insert(segment, size);
                }
                File::Content(id) => {
                    self.highest = self.highest.max(id);
                    self.recovery.contents.insert(id, size);
                }
                File::Corrupt(segment, _) => {
                    if segment < u64::from(u32::MAX) {
                        self.next_segment = self.next_segment.max(segment + 1);
                    }
                    self.recovery.corrupt.insert(file, size);
                }
                File::Orphan(_) => _ = self.recovery.corrupt.insert(file, size),
            }
        }
        self.recovery.todo = self.recovery.sizes.keys().copied().collect();
        self.next_header();
    }

    fn next_header(&mut self) {
        match self.recovery.todo.pop_front() {
            Some(segment) => {
                self.recovery.stage = Stage::Header(segment);
                let file = File::Segment(segment);
                self.start(Purpose::Recover, Op::Read { file, offset: 0, length: SEGMENT_HEADER });
            }
            None => self.headers_read(),
        }
    }

    fn header_read(&mut self, segment: u64, result: Result<Vec<u8>, DiskError>) {
        let size = self.recovery.sizes.get(&segment).copied().unwrap_or(0);
        match result {
            Ok(octets) if is_blank(&octets) => _ = self.recovery.blank.insert(segment),
            Ok(octets) => match SegmentHeader::parse(&octets, segment) {
                Some((header, both)) => {
                    if !both {
                        let text =
                            format!("one of the two headers of segment {segment} of the spool is damaged");
                        self.event(Event::Warning { program: PROGRAM, id: None, text });
                    }
                    self.recovery.headers.insert(segment, header);
                }
                None => self.lose_segment(segment, size, "its header is damaged"),
            },
            Err(error) => self.leave_whole_segment(segment, size, &error),
        }
        self.next_header();
    }

    pub(super) fn leave_whole_segment(&mut self, segment: u64, size: u64, error: &DiskError) {
        self.add_lost_segment(segment, size);
        let fault = format!(
            "segment {segment} of the spool, {size} octets, with all messages in it, can not be read: {}",
            words(error)
        );
        self.leave_unread(segment, None, &fault);
    }

    fn add_lost_segment(&mut self, segment: u64, size: u64) {
        let entry = Segment { size, end: size, salt: 0, commits: 0, pinned: false };
        self.index.add_segment(segment, entry);
        self.recovery.last_used = self.recovery.last_used.max(segment);
    }

    /// A segment of which nothing can be read without its header.
    pub(super) fn lose_segment(&mut self, segment: u64, size: u64, why: &str) {
        self.add_lost_segment(segment, size);
        self.recovery.salvages.push_back(Salvage::new(
            File::Corrupt(segment, 0),
            None,
            format!("segment {segment} of the spool, {size} octets, with all messages in it ({why})"),
            vec![Source { file: File::Segment(segment), offset: 0, length: size }],
        ));
    }

    fn headers_read(&mut self) {
        self.recovery.compare_headers();
        for header in self.recovery.headers.values() {
            self.epoch = self.epoch.max(header.epoch);
            self.highest = self.highest.max(header.highest);
        }
        let read = self.recovery.headers.keys().next_back().copied().unwrap_or(0);
        self.recovery.last_used = self.recovery.last_used.max(read);
        self.next_blank();
    }

    /// Nothing in it counts, and its room is wanted: a full disk may have no other for the segment that mail waits for. But refused mail may be in
    /// it, and a crash may bring its name back: what says that it is void goes behind it, when in its turn the directory has been synced.
    pub(super) fn drop_void(&mut self, segment: u64, salt: u64) {
        self.unlink(File::Segment(segment));
        if segment >= self.recovery.oldest() {
            let entry = Segment { size: 0, end: SEGMENT_HEADER, salt, commits: 0, pinned: false };
            self.index.add_segment(segment, entry);
        }
    }

    pub(super) fn choose_segments(&mut self) {
        let used: Vec<(u64, u64)> =
            self.recovery.headers.iter().map(|(segment, header)| (*segment, header.seal.salt)).collect();
        for (segment, salt) in used {
            if !self.recovery.void.contains(&segment) {
                self.recovery.todo.push_back(segment);
            } else {
                self.drop_void(segment, salt);
            }
        }
        let is_unnamed = |segment: &&u64| self.recovery.durable_end(**segment).is_none();
        self.recovery.unsurveyed = self.recovery.todo.iter().filter(is_unnamed).copied().collect();
        self.survey_segments();
    }

    /// Looks for ids until it has to wait for the disk.
    fn survey_segments(&mut self) {
        while let Some(segment) = self.recovery.unsurveyed.pop_front() {
            if let Some(header) = self.recovery.headers.get(&segment).copied()
                && !self.survey_segment(&header)
            {
                return;
            }
        }
        self.numbered();
    }

    fn numbered(&mut self) {
        let last = if planted!(IdsRepeat) { QueueId::default() } else { self.highest };
        self.outbox.put(Output::Numbered { last });
        self.read_segments();
    }

    /// Reads segments until one has to wait for the disk.
    fn read_segments(&mut self) {
        while let Some(segment) = self.recovery.todo.pop_front() {
            if let Some(header) = self.recovery.headers.get(&segment).copied()
                && !self.begin_segment(segment, &header)
            {
                return;
            }
        }
        self.renew_next();
    }

    /// What could not be read may say that frames which seem to count do not, also such as end or move a message: what is before them may count after
    /// all. So the lowest segment stays, and with it all: they are given back in their order.
    fn keep_the_lowest(&mut self) {
        if self.recovery.is_partial
            && let Some(lowest) = self.index.segments.values_mut().next()
        {
            lowest.pinned = true;
        }
    }

    /// A segment that could be neither read nor set aside stays, also behind all that could be read: if the fresh one did not call it its
    /// predecessor, the next start would take it for one whose mail was refused, and remove it. And if it is the last one, what could be read
    /// of it does not tell where it ends.
    fn keep_unread_segments(&mut self) {
        let kept = self.index.segments.iter().rev().find(|(_, segment)| segment.pinned);
        if let Some((number, _)) = kept.filter(|(number, _)| **number >= self.spares.previous.0) {
            self.spares.previous = (*number, UNKNOWN_END);
        }
    }

    /// Everything has been read and set aside: a fresh segment, and mail.
    pub(super) fn recovered(&mut self) {
        self.recovery.stage = Stage::Done;
        self.keep_unread_segments();
        self.keep_the_lowest();
        let contents = std::mem::take(&mut self.recovery.contents);
        // What stays where it is may be the record of any of them.
        let all_is_read = !self.index.segments.values().any(|segment| segment.pinned);
        for id in contents.into_keys().filter(|_| all_is_read) {
            if self.index.get(id).is_none() {
                self.unlink(File::Content(id));
            }
        }
        self.recovery.headers.clear();
        self.recovery.ends.clear();
        self.recovery.void.clear();
        self.recovery.sizes.clear();
        self.recovery.corrupt.clear();
        self.recovery.checksums.clear();
        self.epoch += 1;
        self.phase = Phase::Announcing;
        self.spares.begin();
    }
}
