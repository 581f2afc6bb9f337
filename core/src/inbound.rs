//! Joint: session + policy + cleanup for one inbound connection.
//!
//! See `wiring` below for where each room's output goes.

use crate::ask::{Answer, Question};
use crate::event::Event;
use crate::mail::{Message, QueueId, Refusal, TlsFacts};

/// What the driver tells the inbound joint.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the client, after TLS.
    Bytes(&'a [u8]),
    /// The client closed or reset the connection.
    Closed,
    /// The handshake that [`Effect::StartTls`] asked for is done. `leftover` is true when octets came in the clear behind the STARTTLS
    /// command: they are never obeyed.
    Secured(TlsFacts),
    /// The handshake failed: why.
    TlsFailed(String),
    /// The answer to the one open [`Effect::Ask`].
    Answer(Answer),
    /// The id that [`Effect::Identify`] asked for.
    Identified(QueueId),
    /// What became of [`Effect::Commit`]: durable, or the reason why not.
    Committed(Result<(), Refusal>),
    /// The daemon is stopping: finish the transaction, then 421.
    Drain,
}

/// What the driver shall do.
#[derive(Debug)]
pub enum Effect {
    /// Write these octets to the client.
    Send(Vec<u8>),
    /// Start a TLS handshake once all is written.
    StartTls,
    /// Close the connection once all is written.
    Close,
    /// Answer this with [`Input::Answer`]; always the last output of a drain.
    Ask(Question),
    /// Give a new queue id with [`Input::Identified`]; always the last output of a drain.
    Identify,
    /// Append these octets to the content that this connection is staging.
    Stage(Vec<u8>),
    /// Throw the staged content away.
    Unstage,
    /// Make this message with the staged content durable, then say [`Input::Committed`]; always the last output of a drain.
    Commit(Box<Message>),
    /// Log this.
    Event(Event),
}
