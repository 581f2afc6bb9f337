//! One try: what a delivery agent is given, and what it gives back.

use crate::mail::{
    AttemptId, BodyType, Diagnosis, Notify, OriginalRecipient, Outcome, Pieces, QueueId, Ret, Sender,
};
use crate::time::{Duration, Timestamp};
use crate::wire::Mailbox;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A recipient of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttemptRecipient {
    /// Its index in the envelope.
    pub index: u32,
    /// Where to deliver, after routing.
    pub address: Mailbox,
    /// As the client gave it, if that differs.
    pub original: Option<Mailbox>,
    /// `ORCPT`.
    pub orcpt: Option<OriginalRecipient>,
    /// `NOTIFY`.
    pub notify: Notify,
}

/// A request to deliver one message to some recipients of one destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Names it in its [`Settled`].
    pub id: AttemptId,
    /// Which message; the driver finds the content by it.
    pub message: QueueId,
    /// Name of the master.cf service.
    pub transport: String,
    /// Where to: a domain, `[host]`, `host:port`, `unix:/path`, or the text of an `error:` transport.
    pub nexthop: String,
    /// Reverse-path.
    pub sender: Sender,
    /// At least one.
    pub recipients: Vec<AttemptRecipient>,
    /// Octets of the content, trace headers and all.
    pub size: u64,
    /// What the content consists of, for the driver who reads it.
    pub pieces: Arc<Pieces>,
    /// What the client said of the content.
    pub body: BodyType,
    /// `SMTPUTF8` is needed.
    pub smtputf8: bool,
    /// `ENVID`.
    pub envid: Option<String>,
    /// `RET`.
    pub ret: Option<Ret>,
    /// When the message arrived (`delay=` of the log).
    pub arrived: Timestamp,
    /// More mail waits for this destination or flows to it, so the connection is worth keeping.
    pub keep_connection: bool,
}

/// What an attempt says of its destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Feedback {
    /// The destination answered as it should: its window may grow.
    Good,
    /// It could not be reached, or it sent us away at the start: its window shrinks, and after
    /// `…_destination_concurrency_failed_cohort_limit` such cohorts it counts as dead for a while.
    Bad(Diagnosis),
    /// Says nothing of the destination (a local fault, a wrong recipient).
    Neutral,
}

/// The end of an attempt. Every recipient of the attempt has one outcome.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settled {
    /// Which attempt.
    pub id: AttemptId,
    /// Index in the envelope, and what became of it.
    pub outcomes: Vec<(u32, Outcome)>,
    /// For the scheduler.
    pub feedback: Feedback,
    /// Time spent until a server was ready for the message: names, connections, greetings, TLS (third of `delays=`).
    pub connect: Duration,
    /// Time spent handing the message over (fourth of `delays=`).
    pub transfer: Duration,
}
