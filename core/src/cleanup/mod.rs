//! What happens to a message between the door and the queue: cleanup(8).
//!
//! Missing headers, canonical addresses, virtual aliases, bcc, header checks. It sees the header only; the body
//! passes by. Used for mail from sessions, `send`, reports and forwards alike.

use crate::ask::{Facts, Pause};
use crate::event::Event;
use crate::mail::{Envelope, Message, Origin, QueueId};
use crate::params::Settings;
use crate::rewrite::Rewrite;
use crate::time::Now;
use crate::wire::Reply;

/// The parameters of cleanup.
#[derive(Debug, Clone)]
pub struct Params {}

impl Params {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(_settings: &Settings) -> Result<Self, Vec<(String, String)>> {
        Ok(Self {})
    }
}

/// What a message is, before cleanup.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Draft {
    /// Its name.
    pub id: QueueId,
    /// As given, addresses canonical by [`Rewrite::canonical`]. Recipients may become more.
    pub envelope: Envelope,
    /// What made it.
    pub origin: Origin,
    /// Our own trace header fields, complete with CRLF, in front of all others.
    pub trace: Vec<u8>,
    /// Header fields that access rules prepend, without CRLF, behind the trace.
    pub prepend: Vec<String>,
    /// An access rule said HOLD.
    pub hold: bool,
    /// Expand virtual aliases, add bcc recipients, check headers. Off for reports (internal_mail_filter_classes is empty).
    pub filtered: bool,
}

/// What cleanup comes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Finished {
    /// Commit this.
    Message(Box<Message>),
    /// A header rule or a limit refuses it: the reply to the end of data.
    Refused(Reply),
    /// A header rule says that it is to be accepted and thrown away.
    Discarded,
}

/// Cleanup of one message. Feed it the content as it comes, then finish it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cleanup {}

impl Cleanup {
    /// Begins.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }

    /// Looks at the next octets of the stored content: collects the header (bounded), counts the rest.
    pub fn content(&mut self, _octets: &[u8]) {}

    /// Hops so far: `Received:` and `Delivered-To:` fields seen (hopcount_limit is checked in [`Cleanup::finish`]).
    #[must_use]
    pub fn hops(&self) -> u32 {
        0
    }

    /// Makes the message. Runs again from its start whenever it paused: it changes nothing of itself.
    /// A broken table is not a pause but a refusal: 451 4.3.0.
    ///
    /// # Errors
    /// Only [`Pause::Need`].
    pub fn finish(
        &self,
        _now: Now,
        _draft: &Draft,
        _params: &Params,
        _rewrite: &Rewrite,
        _facts: &Facts,
    ) -> Result<(Finished, Vec<Event>), Pause> {
        Ok((Finished::Discarded, Vec::new()))
    }
}

impl Default for Cleanup {
    fn default() -> Self {
        Self::new()
    }
}
