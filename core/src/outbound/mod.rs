//! Joint: delivery + hosts for one outbound attempt at a time.
//!
//! An attempt goes from host to host until each recipient has an outcome or no host is left: what a host merely put off
//! goes to the next one, what it accepted or refused for good stays so. Where each room's output goes is in `wiring`.
//!
//! Promise: each attempt ends in exactly one [`Effect::Settle`], which has one outcome for each recipient; after its
//! [`Input::Written`] comes exactly one [`Effect::Park`] or [`Effect::Close`], also when no connection is left, and then
//! the machine takes another attempt.

mod doubts;
mod job;
mod kept;
pub mod routes;
#[cfg(test)]
mod tests;
mod wiring;

pub use crate::delivery::Loss;
pub use doubts::doubts;
pub use kept::{Choice, Kept, Purpose};
pub use wiring::{Config, Outbound, STAGES};

use crate::ask::{Answer, Question};
use crate::event::Event;
use crate::mail::{Attempt, Notice, Outcome, QueueId, Settled, TlsFacts};
use crate::time::Duration;
use std::net::IpAddr;

/// Where a connection goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// TCP.
    Inet {
        /// Address of the server.
        address: IpAddr,
        /// Port.
        port: u16,
        /// Our own address to connect from, if one is configured. One that can not be had is [`Loss::NotBound`].
        bind: Option<IpAddr>,
    },
    /// A socket of this host; the path is absolute or relative to the queue directory.
    Unix(String),
}

/// What a connection must prove.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TlsDemand {
    /// Cleartext.
    #[default]
    None,
    /// Encrypt if the server offers it, whoever it is.
    Opportunistic {
        /// Server name for SNI and logs.
        name: String,
    },
    /// Encrypt, whoever it is.
    Encrypt {
        /// Server name for SNI and logs.
        name: String,
    },
}

/// What the driver tells the outbound joint.
#[derive(Debug)]
pub enum Input<'a> {
    /// Deliver this. Allowed when idle: at the start, or on a kept connection.
    Attempt(Box<Attempt>),
    /// The answer to the one open [`Effect::Ask`].
    Answer(Answer),
    /// [`Effect::Connect`] succeeded.
    Connected,
    /// [`Effect::Connect`] failed, or the connection ended.
    Lost(Loss),
    /// Octets from the server, after TLS.
    Bytes(&'a [u8]),
    /// The handshake is done.
    Secured(TlsFacts),
    /// The handshake failed: why.
    TlsFailed(String),
    /// Everything that [`Effect::Send`] gave has been handed to the kernel.
    Drained,
    /// The octets that [`Effect::Read`] asked for; empty at the end of the content.
    Content(&'a [u8]),
    /// The content could not be read: why.
    ContentLost(String),
    /// What [`Effect::HandOver`] came to: an outcome for each of its recipients, by index.
    HandedOver(Vec<(u32, Outcome)>),
    /// The outcomes of [`Effect::Settle`] or [`Effect::Progress`] are written: the next command may be said.
    Written,
    /// Nobody needs this kept connection any more: QUIT.
    Retire,
}

/// What the driver shall do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Answer this with [`Input::Answer`]; always the last output of a drain.
    Ask(Question),
    /// Connect, within `timeout`; a connection before is closed.
    Connect {
        /// Where to.
        endpoint: Endpoint,
        /// Zero: as the kernel pleases.
        timeout: Duration,
    },
    /// Write these octets to the server.
    Send(Vec<u8>),
    /// Read the next octets of the content of this message, at most `limits::CHUNK_MAX`; from its start when `restart`. Each is
    /// answered once, by [`Input::Content`] or [`Input::ContentLost`], in order, also when nobody waits for it any more.
    Read {
        /// Which message.
        message: QueueId,
        /// From the start.
        restart: bool,
    },
    /// Start a TLS handshake once all is written.
    StartTls(TlsDemand),
    /// Close the connection once all is written.
    Close,
    /// Mail for which we are the best mail exchanger: deliver this by its own transport (`best_mx_transport`), and answer with
    /// [`Input::HandedOver`]; always the last output of a drain.
    HandOver(Box<Attempt>),
    /// Some recipients have their outcome, and the others go on to the next host: write these now, then say
    /// [`Input::Written`]. The [`Effect::Settle`] of this attempt has them again. (A driver that only says `Written` risks
    /// no more than a second copy after a crash.)
    Progress(Box<Settled>),
    /// The attempt has ended.
    Settle(Box<Settled>),
    /// The connection is idle and worth keeping for this: it takes another [`Input::Attempt`], if [`Kept`] chooses it for one, until it
    /// says [`Effect::Close`].
    Park(Box<Purpose>),
    /// Log this.
    Event(Event),
    /// Send this to the postmaster ([`crate::report::notice`]): a connection has ended on which there was trouble.
    Notice(Box<Notice>),
}
