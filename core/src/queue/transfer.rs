//! Messages on their way out of one queue and into another: the format of `queue export`.
//!
//! ```text
//! postrider queue export 1\n
//! message 4jWgdN6hT4z1SVy2 312\n       id, octets of its changes
//! ……                                   the changes, as in the log
//! data 65536\n                         octets of content, as often as it takes
//! ……
//! whole 8d3f12ab\n                     CRC-32 of the changes and the content; or `gone\n`: it left the queue meanwhile
//! total 1\n                            whole messages; without this line the file is not complete
//! ```
//!
//! The changes are those that the log would write if it moved the message: its commit, and what became of it since. Their
//! encoding keeps fields that a version does not know. The content is the message itself, edits included.
//!
//! Promise: [`Unpacker`] is total, holds one piece at a time, and calls a message whole only if every octet is as it was.

use super::fold::{Progress, State};
use super::record::{emit_batch, parse_batch};
use crate::mail::{Change, ContentPlace, Loaded, Message, Pieces, QueueId, Summary};
use crc32fast::Hasher;

/// The first line; a format that is not understood by this one has another number.
pub const HEADING: &str = "postrider queue export 1\n";
/// Octets of a line: a word, an id and a number.
const LINE_MAX: usize = 80;
/// Octets of the changes of a message: a million recipients.
const CHANGES_MAX: usize = 128 << 20;
/// Octets of a piece of content.
const DATA_MAX: usize = 1 << 20;

/// Writes one message.
#[derive(Debug)]
pub struct Packer {
    check: Hasher,
}

impl Packer {
    /// Begins with a message that was loaded: the octets that come first.
    #[must_use]
    pub fn begin(mut loaded: Loaded) -> (Self, Vec<u8>) {
        let message = &mut loaded.message;
        let id = message.id;
        message.stored = message.pieces.size();
        message.place = ContentPlace::Inline;
        message.checksum = None;
        message.pieces = whole_of(message.stored);
        let changes = emit_batch(&State::of(loaded).snapshot());
        let mut check = Hasher::new();
        check.update(&changes);
        let mut out = format!("message {id} {}\n", changes.len()).into_bytes();
        out.extend_from_slice(&changes);
        (Self { check }, out)
    }

    /// The next octets of the content.
    #[must_use]
    pub fn data(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(octets.len() + 16);
        for piece in octets.chunks(DATA_MAX) {
            self.check.update(piece);
            out.extend_from_slice(format!("data {}\n", piece.len()).as_bytes());
            out.extend_from_slice(piece);
        }
        out
    }

    /// The end of a message that is whole.
    #[must_use]
    pub fn whole(self) -> Vec<u8> {
        format!("whole {:08x}\n", self.check.finalize()).into_bytes()
    }

    /// The end of one that is not: it was delivered or deleted meanwhile.
    #[must_use]
    pub fn gone(self) -> Vec<u8> {
        b"gone\n".to_vec()
    }
}

/// The last line.
#[must_use]
pub fn total(messages: u64) -> Vec<u8> {
    format!("total {messages}\n").into_bytes()
}

fn whole_of(length: u64) -> Pieces {
    let mut pieces = Pieces::default();
    pieces.stored(0, length);
    pieces
}

/// A part of an export.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    /// A message begins: what is to be written for it, its commit first.
    Begin(Box<Parcel>),
    /// The next octets of its content.
    Data(Vec<u8>),
    /// It is whole.
    Whole,
    /// It is to be left out.
    Gone,
    /// The end.
    Total(u64),
}

/// A message that arrives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Parcel {
    /// Its name where it came from.
    pub id: QueueId,
    message: Box<Message>,
    others: Vec<Change>,
}

impl Parcel {
    fn parse(id: QueueId, octets: &[u8]) -> Option<Self> {
        let mut changes = parse_batch(octets).ok()?.into_iter();
        let Some(Change::Commit(message)) = changes.next() else { return None };
        let others: Vec<Change> = changes.collect();
        let is_other =
            |change: &Change| change.id() == id && !matches!(change, Change::Commit(_) | Change::Remove(_));
        let is_whole = message.id == id && message.pieces == whole_of(message.stored);
        let fits = is_whole && !message.envelope.recipients.is_empty() && others.iter().all(is_other);
        fits.then_some(Self { id, message, others })
    }

    /// What is written for it under the name that it gets here, its content being there; `None` when that has another length.
    #[must_use]
    pub fn changes(self, id: QueueId, place: ContentPlace, stored: u64) -> Option<Vec<Change>> {
        let mut message = self.message;
        if message.stored != stored {
            return None;
        }
        (message.id, message.place) = (id, place);
        let mut changes = vec![Change::Commit(message)];
        changes.extend(self.others.into_iter().map(|change| renamed(change, id)));
        Some(changes)
    }
}

fn renamed(change: Change, id: QueueId) -> Change {
    match change {
        Change::Commit(message) => Change::Commit(Box::new(Message { id, ..*message })),
        Change::Settle(mut settlement) => {
            settlement.id = id;
            Change::Settle(settlement)
        }
        Change::Hold(_) => Change::Hold(id),
        Change::Release(_) => Change::Release(id),
        Change::Retry(_, at) => Change::Retry(id, at),
        Change::Warned(_, at) => Change::Warned(id, at),
        Change::Reported(_, recipients) => Change::Reported(id, recipients),
        Change::Remove(_) => Change::Remove(id),
    }
}

/// How a message stands that comes with a past in the same batch: it was imported. `None` for a new one, and for a batch without a message.
#[must_use]
pub fn moved(changes: &[Change]) -> Option<Summary> {
    let message = changes.iter().find_map(|change| match change {
        Change::Commit(message) => Some(message),
        _ => None,
    })?;
    let mut others = changes.iter().filter(|change| change.id() == message.id).skip(1).peekable();
    others.peek()?;
    let mut progress = Progress::new(message);
    others.for_each(|change| progress.apply(change));
    Some(progress.summary(message.id))
}

/// Why an export can not be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NotAnExport(pub &'static str);

const DAMAGED: NotAnExport = NotAnExport("the export is damaged");

#[derive(Debug)]
enum Place {
    Heading,
    Between,
    Changes(QueueId, usize),
    Inside,
    Data(usize),
    Ended,
}

/// Reads an export, in whatever pieces it comes.
#[derive(Debug)]
pub struct Unpacker {
    waiting: Vec<u8>,
    state: Place,
    check: Hasher,
    whole: u64,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self { waiting: Vec::new(), state: Place::Heading, check: Hasher::new(), whole: 0 }
    }
}

impl Unpacker {
    /// Hands over octets. All parts are to be taken out before the next.
    pub fn put(&mut self, octets: &[u8]) {
        self.waiting.extend_from_slice(octets);
    }

    /// The last line was read.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.state, Place::Ended)
    }

    /// The next part; `None` when more octets are needed.
    ///
    /// # Errors
    /// This is no export, or it is damaged; nothing can be read behind that.
    pub fn take(&mut self) -> Result<Option<Part>, NotAnExport> {
        loop {
            match self.state {
                Place::Ended if self.waiting.is_empty() => return Ok(None),
                Place::Ended => return Err(NotAnExport("something follows the end of the export")),
                Place::Changes(id, length) => {
                    let Some(octets) = self.octets(length) else { return Ok(None) };
                    self.check = Hasher::new();
                    self.check.update(&octets);
                    self.state = Place::Inside;
                    let parcel = Parcel::parse(id, &octets).ok_or(DAMAGED)?;
                    return Ok(Some(Part::Begin(Box::new(parcel))));
                }
                Place::Data(length) => {
                    let Some(octets) = self.octets(length) else { return Ok(None) };
                    self.check.update(&octets);
                    self.state = Place::Inside;
                    return Ok(Some(Part::Data(octets)));
                }
                Place::Heading | Place::Between | Place::Inside => {
                    let Some(line) = self.line()? else { return Ok(None) };
                    if let Some(part) = self.obey(&line)? {
                        return Ok(Some(part));
                    }
                }
            }
        }
    }

    fn octets(&mut self, length: usize) -> Option<Vec<u8>> {
        (self.waiting.len() >= length).then(|| {
            let rest = self.waiting.split_off(length);
            std::mem::replace(&mut self.waiting, rest)
        })
    }

    fn line(&mut self) -> Result<Option<String>, NotAnExport> {
        let wrong = if matches!(self.state, Place::Heading) {
            NotAnExport("this is no export of a queue, or one of another version")
        } else {
            DAMAGED
        };
        let Some(end) = self.waiting.iter().take(LINE_MAX).position(|octet| *octet == b'\n') else {
            return if self.waiting.len() < LINE_MAX { Ok(None) } else { Err(wrong) };
        };
        let line = self.octets(end + 1).and_then(|line| String::from_utf8(line).ok()).ok_or(wrong)?;
        if matches!(self.state, Place::Heading) && line != HEADING {
            return Err(wrong);
        }
        Ok(Some(line))
    }

    fn obey(&mut self, line: &str) -> Result<Option<Part>, NotAnExport> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let bounded =
            |word: &str, max: usize| word.parse().ok().filter(|length| *length <= max).ok_or(DAMAGED);
        let part = match (&self.state, words.as_slice()) {
            (Place::Heading, _) => {
                self.state = Place::Between;
                None
            }
            (Place::Between, ["message", id, length]) => {
                self.state = Place::Changes(id.parse().map_err(|_| DAMAGED)?, bounded(length, CHANGES_MAX)?);
                None
            }
            (Place::Between, ["total", count]) => {
                if count.parse() != Ok(self.whole) {
                    return Err(NotAnExport("the export does not have all of its messages"));
                }
                self.state = Place::Ended;
                Some(Part::Total(self.whole))
            }
            (Place::Inside, ["data", length]) => {
                self.state = Place::Data(bounded(length, DATA_MAX)?);
                None
            }
            (Place::Inside, ["whole", check]) => {
                let sum = std::mem::take(&mut self.check).finalize();
                if u32::from_str_radix(check, 16) != Ok(sum) {
                    return Err(DAMAGED);
                }
                self.whole += 1;
                self.state = Place::Between;
                Some(Part::Whole)
            }
            (Place::Inside, ["gone"]) => {
                self.state = Place::Between;
                Some(Part::Gone)
            }
            _ => return Err(DAMAGED),
        };
        Ok(part)
    }
}

#[cfg(test)]
#[path = "tests/transfer.rs"]
mod tests;
