//! What the sender is told (RFC 3461, RFC 3464): whether, when, and to whom. Never to the null sender.

use crate::mail::{Change, Message, Outcome};
use crate::wire::Mailbox;

/// Which report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Recipients failed.
    Failure,
    /// Recipients still wait.
    Delay,
    /// Recipients were reached, as asked.
    Success,
}

/// A report that the manager wants made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Which.
    pub kind: Kind,
    /// Whom it tells: the sender, or for a failed report the postmaster (double bounce).
    pub to: Mailbox,
    /// It goes to the postmaster because the sender is null; its own sender is `double_bounce_sender`.
    pub double_bounce: bool,
    /// The message it is about.
    pub about: Box<Message>,
    /// Index of each recipient it is about, and what became of it.
    pub recipients: Vec<(u32, Outcome)>,
    /// Becomes durable together with the report, or not at all.
    pub changes: Vec<Change>,
}
