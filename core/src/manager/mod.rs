//! Joint: queue + schedule + report. One owner, behind bounded channels.
//!
//! Never parses, looks anything up, or waits for a disk.

use crate::event::Event;
use crate::mail::{
    Attempt, AttemptId, Change, Envelope, Loaded, Message, Order, OrderResult, QueueId, Refusal, Route,
    Settled, Summary,
};
use crate::queue::Ticket;

/// What the driver tells the manager.
#[derive(Debug)]
pub enum Input {
    /// A message that was on disk at the start.
    Recovered(Summary),
    /// Recovery is over: begin.
    Ready,
    /// A message has become durable (from a session, a submission, a report).
    Committed(Box<Message>),
    /// The answer to [`Output::Load`]; `None` when it is gone or damaged.
    Loaded(QueueId, Option<Box<Loaded>>),
    /// The answer to [`Output::Route`]: one for each recipient asked, or why none could be found now.
    Routed(QueueId, Result<Vec<(u32, Route)>, String>),
    /// An attempt has ended.
    Settled(Settled),
    /// The answer to [`Output::Append`].
    Appended(Ticket, Result<(), Refusal>),
    /// The answer to [`Output::Report`]: the report and its changes are durable, or why not.
    Reported(QueueId, Result<(), String>),
    /// An operator's order; `ticket` comes back with the result.
    Order(Ticket, Order),
    /// No new attempts; those that run may end.
    Drain,
}

/// What the driver shall do, or pass on.
#[derive(Debug)]
pub enum Output {
    /// Read a message from the spool.
    Load(QueueId),
    /// Find where these recipients go.
    Route {
        /// Which message.
        id: QueueId,
        /// Its envelope.
        envelope: Box<Envelope>,
        /// Indexes of the recipients that are asked for.
        recipients: Vec<u32>,
    },
    /// Deliver.
    Attempt(Box<Attempt>),
    /// Make these changes durable.
    Append(Ticket, Vec<Change>),
    /// The outcomes of this attempt are written: its connection may go on.
    Written(AttemptId),
    /// Compose this report, clean it up, and make it durable together with its changes; then say [`Input::Reported`].
    Report(Box<crate::report::Plan>),
    /// The result of an order.
    Ordered(Ticket, OrderResult),
    /// All attempts have ended after [`Input::Drain`].
    Drained,
    /// Log this.
    Event(Event),
}
