//! Recovery of one segment: what is whole is folded in, what is not is judged.
//!
//! A segment whose end is named by a later one is read once. One whose end nobody names, as a rule the last, is read first for its ids and then for what its frames say of how far it was durable.

use super::fold::Progress;
use super::frame::{SEGMENT_HEADER, SegmentHeader};
use super::index::{Place, Segment};
use super::item::misfit;
use super::log::{Log, PROGRAM, Purpose};
use super::record::parse_batch;
use super::recovery::Stage;
use super::renewal::Renewal;
use super::salvage::{Salvage, Source};
use super::walk::{Depth, Step, Walk};
use super::{DiskError, File, Op};
use crate::event::Event;
use crate::mail::{Change, ContentPlace, QueueId};

/// Octets that are read one by one where a larger read failed.
pub(super) const FINE: u64 = 4096;

/// A segment that is being read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reading {
    segment: u64,
    walk: Walk,
    /// All before this was durable.
    durable: u64,
    /// Where the frames that count end.
    end: u64,
    /// The file is shorter than it was made.
    short: bool,
    /// Ranges of which there were no octets, and those among them that the disk refused to read.
    dark: Vec<(u64, u64)>,
    refused: Vec<(u64, u64)>,
    /// Some of it was refused when it was measured.
    is_partial: bool,
    wanted: (u64, u64),
    /// The octets of `wanted` so far, where they have to be read in small pieces.
    pieces: Option<Vec<u8>>,
    /// Only its ids are wanted.
    survey: bool,
}

impl Reading {
    const fn new(segment: u64, walk: Walk) -> Self {
        Self {
            segment,
            walk,
            durable: 0,
            end: SEGMENT_HEADER,
            short: false,
            dark: Vec::new(),
            refused: Vec::new(),
            is_partial: false,
            wanted: (0, 0),
            pieces: None,
            survey: false,
        }
    }
}

/// True when one of the ranges has an octet of this one.
fn touches(ranges: &[(u64, u64)], from: u64, to: u64) -> bool {
    ranges.iter().any(|(start, end)| *start < to && from < *end)
}

impl Log {
    /// False when it waits for the disk.
    pub(super) fn begin_segment(&mut self, segment: u64, header: &SegmentHeader) -> bool {
        let size = self.recovery.sizes.get(&segment).copied().unwrap_or(0);
        let named = self.recovery.durable_end(segment).filter(|_| !planted!(EndIgnored));
        let end = named.unwrap_or(size).min(size);
        let entry = Segment { size, end, salt: header.seal.salt, commits: 0, pinned: false };
        self.index.add_segment(segment, entry);
        let short = named.map_or(size < header.size, |named| size < named);
        if short {
            self.recovery.cuts.push((segment, size));
            let text = format!(
                "segment {segment} of the spool has {size} octets of {}: messages at its end may be lost",
                header.size
            );
            self.trouble(None, text);
        }
        let depth = if named.is_some() { Depth::Frames } else { Depth::Headers };
        let walk = Walk::new(header.seal, end, depth);
        let reading = Reading { durable: named.unwrap_or(0), short, ..Reading::new(segment, walk) };
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
    pub(super) fn fed(
        &mut self,
        mut reading: Reading,
        result: Result<Vec<u8>, DiskError>,
    ) -> Option<Reading> {
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
        if result.is_err() {
            reading.refused.push((at, at + wanted));
        }
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
        self.recovery.stage = match reading.walk.depth() {
            Depth::Headers if reading.survey => Stage::Survey(reading),
            Depth::Headers => Stage::Measure(reading),
            Depth::Frames => Stage::Fold(reading),
        };
        None
    }

    /// Looks for the ids of a segment, and for nothing else. False when it waits for the disk.
    pub(super) fn survey_segment(&mut self, header: &SegmentHeader) -> bool {
        let segment = header.seal.segment;
        let size = self.recovery.sizes.get(&segment).copied().unwrap_or(0);
        let reading = Reading::new(segment, Walk::new(header.seal, size, Depth::Headers));
        self.survey(Reading { survey: true, ..reading })
    }

    /// False when it waits for the disk.
    pub(super) fn survey(&mut self, mut reading: Reading) -> bool {
        loop {
            match reading.walk.step() {
                Step::Need { offset, length } => {
                    self.read(&mut reading, offset, length);
                    self.recovery.stage = Stage::Survey(reading);
                    return false;
                }
                Step::Frame { header, .. } | Step::Spoilt { header, .. } => {
                    self.highest = self.highest.max(header.subject);
                }
                Step::Gap { .. } => {}
                Step::End => return true,
            }
        }
    }

    /// A segment whose end nobody names: only its own frames say how far it was durable. False when it waits for the disk.
    pub(super) fn measure(&mut self, mut reading: Reading) -> bool {
        loop {
            match reading.walk.step() {
                Step::Need { offset, length } => {
                    self.read(&mut reading, offset, length);
                    self.recovery.stage = Stage::Measure(reading);
                    return false;
                }
                Step::Frame { header, .. } | Step::Spoilt { header, .. } => {
                    reading.durable = reading.durable.max(header.synced_through);
                    // Also of frames that turn out not to count: ids are never given twice.
                    self.highest = self.highest.max(header.subject);
                }
                Step::Gap { .. } => {}
                Step::End => break,
            }
        }
        let end = self.index.segments.get(&reading.segment).map_or(0, |segment| segment.end);
        reading.walk = Walk::new(reading.walk.seal(), end, Depth::Frames);
        // What says how far it was durable may be there: what now looks like a torn end may be none.
        reading.is_partial = !reading.refused.is_empty();
        reading.dark.clear();
        reading.refused.clear();
        self.fold(reading)
    }

    /// False when it waits for the disk.
    pub(super) fn fold(&mut self, mut reading: Reading) -> bool {
        loop {
            match reading.walk.step() {
                Step::Need { offset, length } => {
                    self.read(&mut reading, offset, length);
                    self.recovery.stage = Stage::Fold(reading);
                    return false;
                }
                Step::Frame { at, header, octets } => {
                    let total = u64::from(header.total);
                    // The checksums fit. What could not be appended is still no batch of ours: nobody reads petabytes because it says so.
                    let changes = header
                        .changes_of(&octets)
                        .and_then(|changes| parse_batch(changes).ok())
                        .filter(|changes| misfit(changes, u64::from(header.content)).is_none());
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
                // Never written. But where a frame follows, the frames that are missing here were lost, and it counts as little as they do: if it
                // did, the next start would find this gap before a durable frame, and call it damage.
                Step::Gap { blank: true, from, to }
                    if from >= reading.durable
                        && !reading.short
                        && to == reading.walk.end()
                        && !touches(&reading.refused, from, to) => {}
                Step::Gap { from, to, .. } => {
                    if !self.judge(&mut reading, from, to, None) {
                        break;
                    }
                }
                Step::End => break,
            }
        }
        self.folded(&reading);
        true
    }

    /// All of a segment has been read that can be.
    fn folded(&mut self, reading: &Reading) {
        if let Some(segment) = self.index.segments.get_mut(&reading.segment) {
            segment.end = reading.end;
        }
        let is_pinned = self.index.segments.get(&reading.segment).is_some_and(|segment| segment.pinned);
        if (reading.is_partial || !reading.refused.is_empty()) && !is_pinned {
            let fault = format!("a part of segment {} of the spool can not be read", reading.segment);
            self.leave_unread(reading.segment, None, &fault);
        } else if !is_pinned && self.recovery.was_unread(reading.segment) {
            // Whether what has come in its place has zeros for octets that counted nobody else can tell.
            let text = format!(
                "segment {} of the spool, of which an earlier start could not say where it ends, has been read; nothing is in it from {} on",
                reading.segment, reading.end
            );
            self.event(Event::Note { program: PROGRAM, text });
        }
        self.spares.previous = (reading.segment, reading.end);
        let size = self.recovery.sizes.get(&reading.segment).copied().unwrap_or(0);
        let renewal = Renewal::new(reading.segment, reading.durable, reading.end, size);
        self.recovery.last = match self.recovery.durable_end(reading.segment) {
            Some(_) => Some(renewal),
            None => {
                self.recovery.renewals.push_back(renewal);
                None
            }
        };
    }

    /// Broken octets: damage (true), or the torn end.
    fn judge(&mut self, reading: &mut Reading, from: u64, to: u64, subject: Option<QueueId>) -> bool {
        if from < reading.durable || touches(&reading.dark, from, to) || reading.short {
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
        if touches(&reading.refused, from, to) {
            return self.leave_unread(reading.segment, subject, &format!("{what} can not be read"));
        }
        let source = Source { file: File::Segment(reading.segment), offset: from, length: to - from };
        let target = File::Corrupt(reading.segment, from);
        self.recovery.salvages.push_back(Salvage::new(target, subject, what, vec![source]));
    }

    fn fold_changes(&mut self, place: Place, content_at: u64, changes: &[Change]) {
        for change in changes {
            let id = change.id();
            self.highest = self.highest.max(id);
            match change {
                Change::Commit(message) => {
                    self.recovery.progress.insert(id, Progress::new(message));
                    if let (ContentPlace::File, Some(checksum)) = (message.place, message.checksum) {
                        self.recovery.checksums.insert(id, checksum);
                    }
                }
                Change::Remove(_) => {
                    self.recovery.progress.remove(&id);
                    self.recovery.checksums.remove(&id);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_only_meet_have_no_octet_in_common() {
        let ranges = [(10, 20), (40, 50)];
        let touched = [(0, 10), (0, 11), (12, 13), (19, 30), (20, 40), (49, 60), (50, 60), (0, 90)];
        assert_eq!(
            touched.map(|(from, to)| touches(&ranges, from, to)),
            [false, true, true, true, false, true, false, true]
        );
    }
}
