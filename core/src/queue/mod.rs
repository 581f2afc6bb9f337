//! The spool: an append-only, segmented log of checksummed records under group commit.
//!
//! docs/decisions and design.md 4 say why. [`Log`] decides; the driver only carries out [`Op`]s and says how they went.
//! Knows nothing of schedules, routes or sessions.

mod blank;
mod company;
mod contents;
mod fold;
mod frame;
mod index;
mod item;
mod leftovers;
pub mod lifecycle;
mod load;
mod log;
mod places;
mod reading;
mod record;
mod recovery;
mod renewal;
mod salvage;
mod segments;
mod staging;
mod tidy;
mod tlv;
pub mod transfer;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use log::{Log, Params, SEGMENT_SIZE_MAX, SEGMENT_SIZE_MIN};
pub use staging::{Staged, Staging, StagingInput, StagingOutput};

use crate::event::Event;
use crate::mail::{Change, Loaded, Message, QueueId, Refusal, Summary};
use serde::{Deserialize, Serialize};

/// Names a request to the log; the asker chooses it and gets it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// Names an operation; the log chooses it and gets it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// A file of the spool directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum File {
    /// A segment of the log: `log/NNNNNNNNNNNNNNNN`, in hexadecimal.
    Segment(u64),
    /// A content of its own: `contents/QUEUEID`.
    Content(QueueId),
    /// Damaged octets set aside for a person: `corrupt/NNNNNNNNNNNNNNNN-OFFSET` (segment, offset).
    Corrupt(u64, u64),
    /// A content whose record is damaged, set aside beside that: `corrupt/QUEUEID`.
    Orphan(QueueId),
}

impl File {
    /// Its name below the spool directory.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Segment(number) => format!("log/{number:016x}"),
            Self::Content(id) => format!("contents/{id}"),
            Self::Corrupt(segment, offset) => format!("corrupt/{segment:016x}-{offset}"),
            Self::Orphan(id) => format!("corrupt/{id}"),
        }
    }

    /// The file of this name in this directory, if it is one of ours: a number may be written in many ways, and we write one of them.
    #[must_use]
    pub fn of(directory: &str, name: &str) -> Option<Self> {
        let segment = |text| u64::from_str_radix(text, 16).ok();
        let file = match (directory, name.split_once('-')) {
            ("log", _) => Self::Segment(segment(name)?),
            ("contents", _) => Self::Content(name.parse().ok()?),
            ("corrupt", Some((number, offset))) => Self::Corrupt(segment(number)?, offset.parse().ok()?),
            ("corrupt", None) => Self::Orphan(name.parse().ok()?),
            _ => return None,
        };
        let is_so_written = file.path().strip_prefix(directory)?.strip_prefix('/') == Some(name);
        is_so_written.then_some(file)
    }
}

/// One operation on the disk. A driver may carry out those that it was given in any order, also at the same time: what depends on
/// another is asked for only when that is done. None is retried by the driver.
#[allow(missing_docs)] // Each row says what its fields are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Op {
    /// Which files there are, with their sizes.
    List,
    /// Make a file (it must not exist) of `size` octets, all zero and really allocated: writing them must not find the disk full.
    Create {
        /// Which.
        file: File,
        /// Octets; 0 for a file that grows as it is written.
        size: u64,
    },
    /// Write octets at an offset, all or an error.
    Write {
        /// Where.
        file: File,
        /// From the file's start.
        offset: u64,
        /// One range, in chunks.
        octets: Vec<Vec<u8>>,
    },
    /// Make all written octets of a file durable, and its size. Also those that an earlier process wrote.
    Sync(File),
    /// Make the names in all spool directories durable.
    SyncDirectory,
    /// Remove a file.
    Unlink(File),
    /// Read octets; fewer than asked for at the end of the file.
    Read {
        /// Where.
        file: File,
        /// From the file's start.
        offset: u64,
        /// How many.
        length: u64,
    },
}

/// How an operation went well.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Done {
    /// Create, Write, Sync, SyncDirectory, Unlink.
    Nothing,
    /// List.
    Files(Vec<(File, u64)>),
    /// Read.
    Octets(Vec<u8>),
}

/// How an operation went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DiskError {
    /// No space, no quota, no inodes.
    Full,
    /// It does not exist.
    Missing,
    /// Anything else (EIO, EROFS …): in words.
    Failed(String),
}

/// What the driver tells the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// Recover what is on disk. The first input, once.
    Open,
    /// Make these changes durable, all or none; at most one of them is a `Commit`. `content` is its staged content, if its place is inline.
    Append {
        /// Returned with the answer.
        ticket: Ticket,
        /// At least one.
        changes: Vec<Change>,
        /// The staged octets, in the chunks they came in: never copied on the way.
        content: Vec<Vec<u8>>,
    },
    /// Read a message and where its recipients stand.
    Load {
        /// Returned with the answer.
        ticket: Ticket,
        /// Which.
        id: QueueId,
    },
    /// An operation ended.
    Did {
        /// Which.
        op: OpId,
        /// How.
        result: Result<Done, DiskError>,
    },
    /// No message of this id will be appended, and its content may still be there, because a staging could not remove it.
    Forget(QueueId),
}

/// What the driver shall do, or pass on.
#[allow(missing_docs)] // Each row says what its fields are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Output {
    /// Carry out an operation and say [`Input::Did`].
    Do(OpId, Op),
    /// A message that was on disk: for the manager.
    Recovered(Summary),
    /// All ids that were ever issued are at most this one: sessions and stagings may begin. What they append waits for the end of
    /// recovery. Said once.
    Numbered {
        /// The highest id ever seen.
        last: QueueId,
    },
    /// Recovery is over. Said once, after [`Output::Numbered`] and the last [`Output::Recovered`].
    Ready,
    /// The answer to an append. With a `Commit` in it, `Ok` means durable; without, written, and durable within 100 ms.
    Appended {
        /// As given.
        ticket: Ticket,
        /// All of it, or nothing.
        result: Result<(), Refusal>,
        /// The message that is durable now, if one was committed: given back, for whoever looks after it from here.
        committed: Option<Box<Message>>,
    },
    /// The answer to a load.
    Loaded {
        /// As given.
        ticket: Ticket,
        /// The message; `None` when it is gone; or why it can not be read now: it is still there.
        loaded: Result<Option<Box<Loaded>>, String>,
    },
    /// Log this.
    Event(Event),
}

/// Where a driver finds the stored octets of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Whereabouts {
    /// Which file.
    pub file: File,
    /// Where they start.
    pub offset: u64,
    /// How many.
    pub length: u64,
}
