//! What a session is told, and what it wants done.

use super::{Discarded, Sort};
use crate::event::Event;
use crate::mail::{Notice, NoticeClass, QueueId, TlsFacts};
use crate::wire::Reply;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Who is connected, as the socket says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// Its IP address (IPv4 in IPv6 form already unwrapped).
    pub address: IpAddr,
    /// Its TCP port.
    pub port: u16,
    /// The address of ours that it connected to.
    pub local: IpAddr,
}

/// What names and tables say of the client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Named {
    /// Its verified name, or `unknown`.
    pub name: String,
    /// EHLO keywords not to be sent to it; `None` when a table could not say.
    pub discard: Option<Discarded>,
}

/// A refusal by others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refused {
    /// What kind of trouble it is.
    pub class: NoticeClass,
    /// What the client hears.
    pub reply: Reply,
}

impl Refused {
    /// Of this class.
    #[must_use]
    pub const fn new(class: NoticeClass, reply: Reply) -> Self {
        Self { class, reply }
    }
}

/// When a verdict is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// Before the greeting.
    Connect,
    /// HELO, EHLO.
    Hello,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA, the first BDAT.
    Data,
    /// The end of data.
    EndOfData,
    /// VRFY.
    Vrfy,
}

/// What a session is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the client.
    Bytes(&'a [u8]),
    /// The client is gone.
    Closed,
    /// Its name is known: it may be greeted.
    Named(Named),
    /// TLS is on.
    Secured(TlsFacts),
    /// The handshake failed: why.
    TlsFailed(String),
    /// What [`Output::Sort`] asked for; 4xx when it can not be known.
    Sorted(Result<Sort, Refused>),
    /// The verdict that [`Output::Judge`] asked for.
    Judged(Result<(), Refused>),
    /// The id that [`Output::Identify`] asked for.
    Identified(QueueId),
    /// The message of [`Output::Finish`] is durable (or was to be thrown away), or why not.
    Finished(Result<(), Refused>),
    /// There is no memory for the content that comes.
    Crowded,
    /// Finish the transaction, then 421.
    Drain,
}

/// What a session wants done. `Sort`, `Judge`, `Identify` and `Finish` are always the last of a drain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Output {
    /// Write these octets.
    Send(Vec<u8>),
    /// Start a handshake once all is written.
    StartTls,
    /// Close once all is written.
    Close,
    /// What is the word of [`super::Session::word`]? A table has to be asked.
    Sort,
    /// May they? See the getters for what about.
    Judge(Moment),
    /// A queue id is needed for the transaction.
    Identify,
    /// Content, in order.
    Content(Vec<u8>),
    /// The transaction and its content are void.
    Abandon,
    /// The content is complete: make the message durable.
    Finish,
    /// Log this.
    Event(Box<Event>),
    /// Tell the postmaster.
    Notice(Box<Notice>),
}
