//! From what lies on the disk to an index and a summary of each message.
//!
//! Every segment header first, because each says where the durable octets of the segment before it end. Then every segment, oldest first: what is whole is folded in; what is not is judged.
//! Broken octets that were durable are damage: set aside, reported, and the rest goes on. Broken octets that nobody says were durable are the torn end of the last batch, and so is
//! everything behind them: nothing that was answered can be in it.
//!
//! Promise: reads and remembers in proportion to the living messages, and writes nothing into a segment that was there.

use super::fold::Progress;
use super::frame::{SEGMENT_HEADER, SegmentHeader};
use super::index::{Place, Segment};
use super::log::{Log, PROGRAM, Phase, Purpose, octets, words};
use super::record::parse_batch;
use super::salvage::{Salvage, Source};
use super::walk::{Depth, Step, Walk};
use super::{DiskError, Done, File, Op};
use crate::event::Event;
use crate::mail::{Change, ContentPlace, QueueId, Summary};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Octets that are read one by one where a larger read failed.
const FINE: u64 = 4096;
/// Until the spool directory is listed again after that failed.
const LIST_AGAIN: Duration = Duration::from_secs(1);

/// What recovery waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
enum Stage {
    #[default]
    Idle,
    Listing,
    Header(u64),
    /// Looking for what frames say of their own segment.
    Measure(Reading),
    Fold(Reading),
    /// Making durable what was read: it may have been written by a process that was killed, and not be on the disk yet.
    Sync,
    Salvage,
    Done,
}

/// A segment that is being read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Reading {
    segment: u64,
    walk: Walk,
    /// All before this was durable.
    durable: u64,
    /// Where the frames that count end.
    end: u64,
    /// The file is shorter than it was made.
    short: bool,
    /// Ranges that could not be read.
    dark: Vec<(u64, u64)>,
    wanted: (u64, u64),
    /// The octets of `wanted` so far, where they have to be read in small pieces.
    pieces: Option<Vec<u8>>,
}

/// Recovery.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Recovery {
    stage: Stage,
    again_at: Option<Instant>,
    sizes: BTreeMap<u64, u64>,
    pub(super) contents: BTreeMap<QueueId, u64>,
    pub(super) corrupt: BTreeMap<(u64, u64), u64>,
    headers: BTreeMap<u64, SegmentHeader>,
    blank: BTreeSet<u64>,
    todo: VecDeque<u64>,
    progress: BTreeMap<QueueId, Progress>,
    pub(super) salvages: VecDeque<Salvage>,
    pub(super) salvage: Option<Salvage>,
}

impl Recovery {
    pub(super) const fn timeout(&self) -> Option<Instant> {
        self.again_at
    }

    /// Hands out the next recovered message.
    pub(super) fn next_summary(&mut self) -> Option<Summary> {
        self.progress.pop_first().map(|(id, progress)| progress.summary(id))
    }

    /// The segment that names this one's end, if one does.
    fn durable_end(&self, segment: u64) -> Option<u64> {
        let named = |header: &SegmentHeader| (header.previous.0 == segment).then_some(header.previous.1);
        self.headers.values().rev().find_map(named)
    }

    /// Segments that a later header says do not count.
    fn is_void(&self, segment: u64) -> bool {
        self.headers.values().any(|header| {
            segment < header.oldest || (header.previous.0 < segment && segment < header.seal.segment)
        })
    }
}

impl Log {
    pub(super) fn open(&mut self) {
        if self.phase == Phase::New {
            self.phase = Phase::Recovering;
            self.recovery.stage = Stage::Listing;
            self.start(Purpose::Recover, Op::List);
        }
    }

    pub(super) fn recovery_timeout(&mut self) {
        if self.recovery.again_at.is_some_and(|at| at <= self.now.mono) {
            self.recovery.again_at = None;
            self.start(Purpose::Recover, Op::List);
        }
    }

    pub(super) fn recovery_did(&mut self, result: Result<Done, DiskError>) {
        match std::mem::take(&mut self.recovery.stage) {
            Stage::Listing => self.listed(result),
            Stage::Header(segment) => self.header_read(segment, octets(result)),
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
            Stage::Sync => {
                if let Err(error) = result {
                    // What is there can be read now; whether it can be after a power failure nobody knows.
                    let text =
                        format!("the last segment of the spool could not be synced: {}", words(&error));
                    self.trouble(None, text);
                }
                self.check_contents();
            }
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
                File::Segment(segment) if segment == 0 || segment > u64::from(u32::MAX) => {
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
                File::Corrupt(segment, offset) => {
                    if segment < u64::from(u32::MAX) {
                        self.next_segment = self.next_segment.max(segment + 1);
                    }
                    self.recovery.corrupt.insert((segment, offset), size);
                }
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
            Ok(octets) if octets.iter().all(|octet| *octet == 0) => {
                self.recovery.blank.insert(segment);
            }
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
            Err(error) => self.lose_segment(segment, size, words(&error)),
        }
        self.next_header();
    }

    /// A segment of which nothing can be read without its header.
    fn lose_segment(&mut self, segment: u64, size: u64, why: &str) {
        let entry = Segment { size, end: size, salt: 0, commits: 0, pinned: false };
        self.index.segments.insert(segment, entry);
        self.recovery.salvages.push_back(Salvage::new(
            (segment, 0),
            None,
            format!("segment {segment} of the spool, {size} octets, with all messages in it ({why})"),
            vec![Source { file: File::Segment(segment), offset: 0, length: size }],
        ));
    }

    fn headers_read(&mut self) {
        let named: BTreeSet<u64> = self.recovery.headers.values().map(|header| header.previous.0).collect();
        let last = self.recovery.headers.keys().next_back().copied().unwrap_or(0);
        for header in self.recovery.headers.values() {
            self.epoch = self.epoch.max(header.epoch);
            self.highest = self.highest.max(header.highest);
        }
        let blank = std::mem::take(&mut self.recovery.blank);
        let segment_size = self.params.segment_size();
        for segment in blank {
            let size = self.recovery.sizes.get(&segment).copied().unwrap_or(0);
            if named.contains(&segment)
                && self.recovery.durable_end(segment) > Some(0)
                && !self.recovery.is_void(segment)
            {
                self.lose_segment(segment, size, "its header has been overwritten with zeros");
            } else if segment > last && size == segment_size {
                // Made ahead of need and never used; its name is made durable before mail is taken.
                self.spares.ready.push_back((segment, size));
            } else {
                if size < SEGMENT_HEADER {
                    let text = format!(
                        "segment {segment} of the spool is cut off before its first frame: it is removed"
                    );
                    self.event(Event::Warning { program: PROGRAM, id: None, text });
                }
                self.unlink(File::Segment(segment));
            }
        }
        let used: Vec<u64> = self.recovery.headers.keys().copied().collect();
        for segment in used {
            if self.recovery.is_void(segment) {
                self.unlink(File::Segment(segment));
            } else {
                self.recovery.todo.push_back(segment);
            }
        }
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
        match self.recovery.headers.keys().next_back() {
            Some(last) => {
                let file = File::Segment(*last);
                self.recovery.stage = Stage::Sync;
                self.start(Purpose::Recover, Op::Sync(file));
            }
            None => self.check_contents(),
        }
    }

    /// False when it waits for the disk.
    fn begin_segment(&mut self, segment: u64, header: &SegmentHeader) -> bool {
        let size = self.recovery.sizes.get(&segment).copied().unwrap_or(0);
        let named = self.recovery.durable_end(segment);
        let end = named.unwrap_or(size).min(size);
        let entry = Segment { size, end, salt: header.seal.salt, commits: 0, pinned: false };
        self.index.segments.insert(segment, entry);
        let short = named.map_or(size < header.size, |named| size < named);
        if short {
            let text = format!(
                "segment {segment} of the spool has {size} octets of {}: messages at its end may be lost",
                header.size
            );
            self.trouble(None, text);
        }
        let depth = if named.is_some() { Depth::Frames } else { Depth::Headers };
        let reading = Reading {
            segment,
            walk: Walk::new(header.seal, end, depth),
            durable: named.unwrap_or(0),
            end: SEGMENT_HEADER,
            short,
            dark: Vec::new(),
            wanted: (0, 0),
            pieces: None,
        };
        match named {
            Some(_) => self.fold(reading),
            None => self.measure(reading),
        }
    }

    fn read(&mut self, reading: &mut Reading, offset: u64, length: u64) {
        reading.wanted = (offset, length);
        let file = File::Segment(reading.segment);
        self.start(Purpose::Recover, Op::Read { file, offset, length });
    }

    /// Hands octets to the walk. Where they can not be read, they are read in small pieces, and those that still can not count as dark.
    fn fed(&mut self, mut reading: Reading, result: Result<Vec<u8>, DiskError>) -> Option<Reading> {
        let (offset, length) = reading.wanted;
        let Some(mut pieces) = reading.pieces.take() else {
            match result {
                Ok(octets) => {
                    let got = octets.len() as u64;
                    if got < length {
                        reading.dark.push((offset + got, offset + length));
                    }
                    reading.walk.feed(offset, length, octets);
                    return Some(reading);
                }
                Err(_) => return self.next_piece(reading, Vec::new()),
            }
        };
        let at = offset + pieces.len() as u64;
        let wanted = FINE.min(length - pieces.len() as u64);
        let mut octets = result.unwrap_or_default();
        let got = octets.len() as u64;
        if got < wanted {
            reading.dark.push((at + got, at + wanted));
        }
        octets.resize(wanted as usize, 0);
        pieces.append(&mut octets);
        if (pieces.len() as u64) < length {
            return self.next_piece(reading, pieces);
        }
        reading.walk.feed(offset, length, pieces);
        Some(reading)
    }

    fn next_piece(&mut self, mut reading: Reading, pieces: Vec<u8>) -> Option<Reading> {
        let (offset, length) = reading.wanted;
        let done = pieces.len() as u64;
        let file = File::Segment(reading.segment);
        self.start(
            Purpose::Recover,
            Op::Read { file, offset: offset + done, length: FINE.min(length - done) },
        );
        reading.pieces = Some(pieces);
        // Measuring is told from folding by the depth of the walk.
        self.recovery.stage = if reading.walk.depth() == Depth::Headers {
            Stage::Measure(reading)
        } else {
            Stage::Fold(reading)
        };
        None
    }

    /// The last segment of an opening: only its own frames say how far it was durable. False when it waits for the disk.
    fn measure(&mut self, mut reading: Reading) -> bool {
        loop {
            match reading.walk.step() {
                Step::Need { offset, length } => {
                    self.read(&mut reading, offset, length);
                    self.recovery.stage = Stage::Measure(reading);
                    return false;
                }
                Step::Frame { header, .. } | Step::Spoilt { header, .. } => {
                    reading.durable = reading.durable.max(header.synced_through);
                }
                Step::Gap { .. } => {}
                Step::End => break,
            }
        }
        let end = self.index.segments.get(&reading.segment).map_or(0, |segment| segment.end);
        reading.walk = Walk::new(reading.walk.seal(), end, Depth::Frames);
        reading.dark.clear();
        self.fold(reading)
    }

    /// False when it waits for the disk.
    fn fold(&mut self, mut reading: Reading) -> bool {
        loop {
            match reading.walk.step() {
                Step::Need { offset, length } => {
                    self.read(&mut reading, offset, length);
                    self.recovery.stage = Stage::Fold(reading);
                    return false;
                }
                Step::Frame { at, header, octets } => {
                    let total = u64::from(header.total);
                    let changes = header.changes_of(&octets).and_then(|changes| parse_batch(changes).ok());
                    match changes {
                        Some(changes) => {
                            let place = Place::new(reading.segment, at, header.total);
                            self.fold_changes(place, header.content_at(), &changes);
                        }
                        None => self.damaged(&mut reading, at, at + total, Some(header.subject)),
                    }
                    reading.end = at + total;
                }
                Step::Spoilt { at, header } => {
                    let to = at + u64::from(header.total);
                    if !self.judge(&mut reading, at, to, Some(header.subject)) {
                        break;
                    }
                }
                Step::Gap { blank: true, from, .. } if from >= reading.durable && !reading.short => {}
                Step::Gap { from, to, .. } => {
                    if !self.judge(&mut reading, from, to, None) {
                        break;
                    }
                }
                Step::End => break,
            }
        }
        if let Some(segment) = self.index.segments.get_mut(&reading.segment) {
            segment.end = reading.end;
        }
        self.spares.previous = (reading.segment, reading.end);
        true
    }

    /// Broken octets: damage (true), or the torn end.
    fn judge(&mut self, reading: &mut Reading, from: u64, to: u64, subject: Option<QueueId>) -> bool {
        let dark = reading.dark.iter().any(|(start, end)| *start < to && from < *end);
        if from < reading.durable || dark || reading.short {
            self.damaged(reading, from, to, subject);
            return true;
        }
        let text = format!(
            "segment {} of the spool ends in a batch that was not written to its end, at {from}: nothing in it was answered",
            reading.segment
        );
        self.event(Event::Note { program: PROGRAM, text });
        if let Some(id) = subject {
            self.highest = self.highest.max(id);
        }
        false
    }

    fn damaged(&mut self, reading: &mut Reading, from: u64, to: u64, subject: Option<QueueId>) {
        reading.end = to;
        if let Some(id) = subject {
            self.highest = self.highest.max(id);
        }
        let what = format!("octets {from} to {to} of segment {} of the spool", reading.segment);
        let source = Source { file: File::Segment(reading.segment), offset: from, length: to - from };
        self.recovery.salvages.push_back(Salvage::new((reading.segment, from), subject, what, vec![source]));
    }

    fn fold_changes(&mut self, place: Place, content_at: u64, changes: &[Change]) {
        for change in changes {
            let id = change.id();
            self.highest = self.highest.max(id);
            match change {
                Change::Commit(message) => {
                    self.recovery.progress.insert(id, Progress::new(message));
                }
                Change::Remove(_) => {
                    self.recovery.progress.remove(&id);
                }
                other => {
                    if let Some(progress) = self.recovery.progress.get_mut(&id) {
                        progress.apply(other);
                    }
                }
            }
        }
        let mut consequences = self.index.apply(place, content_at, changes);
        // Whether a content has a message is seen when all has been read.
        consequences.unlink.clear();
        self.take_consequences(consequences);
    }

    /// Messages whose content file is not what was synced are damaged; contents of no message are left over from an aborted one.
    fn check_contents(&mut self) {
        let contents = &self.recovery.contents;
        let broken: Vec<(QueueId, Place)> = self
            .index
            .iter()
            .filter(|(id, entry)| {
                entry.content == ContentPlace::File && contents.get(id) != Some(&entry.length)
            })
            .map(|(id, entry)| (id, entry.commit))
            .collect();
        for (id, place) in broken {
            let mut sources = vec![Source {
                file: File::Segment(place.segment()),
                offset: place.offset(),
                length: place.octets(),
            }];
            let what = match self.recovery.contents.get(&id) {
                None => "a message whose content file is missing".to_owned(),
                Some(size) => {
                    sources.push(Source { file: File::Content(id), offset: 0, length: *size });
                    format!("a message whose content file has {size} octets, which is not its length")
                }
            };
            self.index.forget(id);
            self.recovery.progress.remove(&id);
            let place = (place.segment(), place.offset());
            self.recovery.salvages.push_back(Salvage::new(place, Some(id), what, sources));
        }
        self.recovery.stage = Stage::Salvage;
        self.next_salvage();
    }

    /// Everything has been read and set aside: a fresh segment, and mail.
    pub(super) fn recovered(&mut self) {
        self.recovery.stage = Stage::Done;
        let contents = std::mem::take(&mut self.recovery.contents);
        for id in contents.into_keys() {
            if self.index.get(id).is_none() {
                self.unlink(File::Content(id));
            }
        }
        self.recovery.headers.clear();
        self.recovery.sizes.clear();
        self.recovery.corrupt.clear();
        self.epoch += 1;
        self.phase = Phase::Announcing;
        self.spares.begin();
    }
}
