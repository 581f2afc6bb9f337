//! What is written down: a message at its commit, and each change to it afterwards.
//!
//! The log keeps changes in batches; a batch is on disk whole or not at all, so that a report and the end of what it reports,
//! or an alias's expansion and the recipient it replaces, are one step.

use crate::mail::{ContentPlace, Diagnosis, Envelope, Outcome, Pieces, QueueId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What made a message: reports about reports stop here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Origin {
    /// A client, or a person on this host.
    #[default]
    Submitted,
    /// We: a report to a sender.
    Report,
    /// We: a report to the postmaster. It is never reported on.
    Notice,
    /// We: an alias or forward of another message.
    Forwarded,
}

/// A message as it is committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Its name.
    pub id: QueueId,
    /// Whom it is from and for.
    pub envelope: Envelope,
    /// What it consists of.
    pub pieces: Pieces,
    /// Where the stored octets are.
    pub place: ContentPlace,
    /// Octets stored.
    pub stored: u64,
    /// CRC-32 of the stored octets, if they have a file of their own and whoever staged them has reckoned it; octets in the log are covered by the log's own.
    pub checksum: Option<u32>,
    /// What made it.
    pub origin: Origin,
    /// The `Message-ID` field, for logs; empty when there is none.
    pub message_id: String,
    /// It goes to the hold queue first (an access or header rule said HOLD).
    pub hold: bool,
    /// Tag-length-value fields that this version does not know, kept as they are.
    pub unknown: Vec<(u16, Vec<u8>)>,
}

/// One attempt's outcomes, written before its connection's next command.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settlement {
    /// Which message.
    pub id: QueueId,
    /// When it was settled.
    pub at: Timestamp,
    /// Index in the envelope, and what became of it.
    pub outcomes: Vec<(u32, Outcome)>,
    /// When the message is tried next, if recipients remain; `None` leaves it as it was.
    pub retry_at: Option<Timestamp>,
}

/// A change, as it is written to the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Change {
    /// A new message; its content goes with it when it is inline.
    Commit(Box<Message>),
    /// Outcomes of an attempt.
    Settle(Settlement),
    /// To the hold queue.
    Hold(QueueId),
    /// Out of the hold queue.
    Release(QueueId),
    /// The next attempt is at this time (requeue, flush, backoff).
    Retry(QueueId, Timestamp),
    /// A delay was reported at this time; it is reported once.
    Warned(QueueId, Timestamp),
    /// These recipients' failure or success has been reported, or needs no report: nothing is owed for them any more.
    Reported(QueueId, Vec<u32>),
    /// Nothing more to do for it, or the operator deleted it.
    Remove(QueueId),
}

impl Change {
    /// The message that it changes.
    #[must_use]
    pub fn id(&self) -> QueueId {
        match self {
            Self::Commit(message) => message.id,
            Self::Settle(settlement) => settlement.id,
            Self::Hold(id) | Self::Release(id) | Self::Retry(id, _) | Self::Warned(id, _) => *id,
            Self::Reported(id, _) | Self::Remove(id) => *id,
        }
    }
}

/// Where a recipient stands, folded from the changes so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// It has no final outcome; why the last attempt failed, if there was one.
    Waiting(Option<Diagnosis>),
    /// It has a final outcome of which the sender may have to be told.
    Owed(Outcome),
    /// Nothing more to do.
    Done,
}

/// What the queue manager must know of a message that it does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Its name.
    pub id: QueueId,
    /// When it arrived.
    pub arrived: Timestamp,
    /// Recipients without a final outcome.
    pub waiting: u32,
    /// Recipients whose end must still be reported.
    pub owed: u32,
    /// It is on hold.
    pub held: bool,
    /// When it is tried next; `None` for a message that was never tried.
    pub retry_at: Option<Timestamp>,
    /// A delay has been reported.
    pub warned: bool,
}

/// What holds for a message as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Marks {
    /// It is on hold.
    pub held: bool,
    /// When it is tried next; `None` for a message that was never tried.
    pub retry_at: Option<Timestamp>,
    /// When a delay was reported.
    pub warned: Option<Timestamp>,
}

/// A message and where each of its recipients stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Loaded {
    /// As committed.
    pub message: Message,
    /// One for each recipient of the envelope.
    pub standing: Vec<Standing>,
    /// What holds for all of it.
    pub marks: Marks,
}

/// Why the spool did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// No space: 452 4.3.1.
    Full,
    /// The disk failed, or the log has stopped taking mail: 451 4.3.0.
    Broken,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Full => "no space is left in the queue",
            Self::Broken => "the queue can not be written",
        })
    }
}
