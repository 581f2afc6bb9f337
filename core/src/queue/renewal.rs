//! The end of the last segment is written once more before anybody relies on it, as is that of each that an earlier start could not read.
//!
//! A sync that fails can leave octets that every read gives and no later sync writes: Linux calls them clean. The process that
//! saw it fail goes on in a fresh segment, whose header says where the durable octets end. If it is killed before there is one, the next
//! process reads those octets, and its sync says that all is well. So it writes them again, as they are: the header, and
//! what lies behind the last place that a frame says was durable.
//!
//! Promise: writes no octet that it has not just read there, and whole sectors only.

use super::frame::{SECTOR, SEGMENT_HEADER, round_up};
use super::log::{Log, Purpose, octets, words};
use super::recovery::{Stage, UNKNOWN_END};
use super::{DiskError, Done, File, Op};
use crate::time::Duration;

/// Octets at once, and where they can not be read.
const CHUNK: u64 = 256 * 1024;
const FINE: u64 = 4 * 1024;
/// Times that all of it is tried.
const TRIES_MAX: u32 = 6;
/// Between two of them.
const AGAIN: Duration = Duration::from_millis(500);

/// What waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Read,
    Write,
    Sync,
}

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Renewal {
    segment: u64,
    /// All before this was durable, but the header.
    from: u64,
    end: u64,
    at: u64,
    /// Octets that are read at once.
    piece: u64,
    step: Step,
    tries: u32,
}

impl Renewal {
    /// The header, and all from the sector of `from` to that of `end`.
    pub(super) fn new(segment: u64, from: u64, end: u64, size: u64) -> Self {
        let from = (from / SECTOR * SECTOR).max(SEGMENT_HEADER);
        Self {
            segment,
            from,
            end: round_up(end, SECTOR).min(size),
            at: 0,
            piece: CHUNK,
            step: Step::Read,
            tries: 0,
        }
    }

    /// The next octets that are to be read; `None` when all are written.
    fn next(&self) -> Option<Op> {
        let end = if self.at < SEGMENT_HEADER { SEGMENT_HEADER } else { self.end };
        let length = end.saturating_sub(self.at).min(self.piece);
        if length == 0 || planted!(EndNotRenewed) {
            return None;
        }
        Some(Op::Read { file: File::Segment(self.segment), offset: self.at, length })
    }

    /// Behind octets that are written.
    fn pass(&mut self, length: u64) {
        self.at = if self.at < SEGMENT_HEADER { self.from } else { self.at + length };
    }
}

impl Log {
    /// The next segment that is to be written anew, or what comes then.
    pub(super) fn renew_next(&mut self) {
        let next = self.recovery.renewals.pop_front().or_else(|| self.recovery.last.take());
        match next {
            Some(renewal) => self.renew(renewal),
            None => self.check_contents(),
        }
    }

    fn renew(&mut self, mut renewal: Renewal) {
        let op = renewal.next();
        renewal.step = if op.is_some() { Step::Read } else { Step::Sync };
        let op = op.unwrap_or(Op::Sync(File::Segment(renewal.segment)));
        self.recovery.stage = Stage::Renew(renewal);
        self.start(Purpose::Recover, op);
    }

    pub(super) fn renewed(&mut self, mut renewal: Renewal, result: Result<Done, DiskError>) {
        match (renewal.step, result) {
            (Step::Read, result) => match octets(result) {
                Ok(octets) if !octets.is_empty() => {
                    let (file, offset) = (File::Segment(renewal.segment), renewal.at);
                    renewal.pass(octets.len() as u64);
                    renewal.step = Step::Write;
                    self.recovery.stage = Stage::Renew(renewal);
                    self.start(Purpose::Recover, Op::Write { file, offset, octets: vec![octets] });
                }
                // What can be read beside it still is written.
                Ok(_) | Err(_) => {
                    if renewal.piece == FINE || renewal.at < SEGMENT_HEADER {
                        renewal.pass(renewal.piece);
                    }
                    renewal.piece = FINE;
                    self.renew(renewal);
                }
            },
            (Step::Write, Ok(_)) => self.renew(renewal),
            (Step::Sync, Ok(_)) => self.renew_next(),
            (Step::Write | Step::Sync, Err(error)) => self.renew_again(renewal, &error),
        }
    }

    /// True when a message lies in what nobody says was durable: it may have been moved there.
    fn counts_in(&self, renewal: &Renewal) -> bool {
        self.index.iter().any(|(_, entry)| {
            let (commit, from) = (entry.commit, renewal.from);
            commit.segment() == renewal.segment && commit.offset() + commit.octets() > from
        })
    }

    /// All of it once more, since a sync that fails forgets what it should have written.
    fn renew_again(&mut self, mut renewal: Renewal, error: &DiskError) {
        renewal.tries += 1;
        renewal.at = 0;
        renewal.step = Step::Read;
        match renewal.next() {
            Some(op) if renewal.tries < TRIES_MAX => {
                self.recovery.stage = Stage::Renew(renewal);
                self.recovery.try_later(op, self.now.mono.after(AGAIN));
            }
            _ => {
                // What is there can be read now; whether it can be after a power failure nobody knows. A disk that is full (and writes nothing in
                // its place) would never have room again if nothing were given back, so that is held back only where messages may be lost.
                let holds = *error != DiskError::Full || self.counts_in(&renewal);
                let text = format!(
                    "segment {} of the spool could not be written anew: {}: the next start tries it again{}",
                    renewal.segment,
                    words(error),
                    if holds { ", and until then the spool gives no space back" } else { "" }
                );
                self.trouble(None, text);
                self.recovery.is_partial |= holds;
                if self.spares.previous.0 == renewal.segment {
                    self.spares.previous.1 = UNKNOWN_END;
                }
                self.renew_next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Params;
    use super::super::index::{Place, Segment};
    use super::super::item::tests::message;
    use super::*;
    use crate::mail::{Change, ContentPlace, QueueId};

    /// What is read and written, when all goes well: offset and length.
    fn pieces(from: u64, end: u64, size: u64) -> Vec<(u64, u64)> {
        let mut renewal = Renewal::new(7, from, end, size);
        let mut pieces = Vec::new();
        while let Some(Op::Read { offset, length, .. }) = renewal.next() {
            pieces.push((offset, length));
            renewal.pass(length);
        }
        pieces
    }

    #[test]
    fn the_header_is_written_and_whole_sectors_behind_what_was_durable() {
        assert_eq!(pieces(1500, 2100, 8192), [(0, 1024), (1024, 1536)]);
        assert_eq!(pieces(5000, 5001, 8192), [(0, 1024), (4608, 512)]);
        assert_eq!(pieces(0, 1024, 8192), [(0, 1024)], "nothing but its header");
        assert_eq!(
            pieces(1024, 5000, 3000),
            [(0, 1024), (1024, 1976)],
            "and nothing behind the end of the file"
        );
        let large =
            [(0, 1024), (599_552, 262_144), (861_696, 262_144), (1_123_840, 262_144), (1_385_984, 114_176)];
        assert_eq!(pieces(600_000, 1_500_000, 2 << 20), large, "in pieces of 256 KiB");
    }

    #[test]
    fn a_message_counts_in_a_segment_when_an_octet_of_it_lies_in_what_is_written_anew() {
        let mut log = Log::new(Params::default(), 1);
        let entry = Segment { size: 8192, end: 8192, salt: 0, commits: 0, pinned: false };
        log.index.add_segment(1, entry);
        log.index.add_segment(2, entry);
        let message = Box::new(message(QueueId(7), ContentPlace::Inline, 300));
        log.index.apply(Place::new(1, 2048, 512), 48, &[Change::Commit(message)]);
        let counts = |segment, from| log.counts_in(&Renewal::new(segment, from, 8192, 8192));
        assert_eq!(
            [1024, 2048, 2559, 2560, 4096].map(|from| counts(1, from)),
            [true, true, true, false, false]
        );
        assert_eq!([1024, 2048, 2560].map(|from| counts(2, from)), [false; 3], "it lies in another one");
    }
}
