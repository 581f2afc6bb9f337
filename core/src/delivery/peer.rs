//! Whom a connection goes to, and how logs name it.

use crate::mail::Diagnosis;
use crate::wire::{EnhancedStatus, Reply};

/// Why no connection came about, or how one ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Nobody listens.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The peer closed.
    Closed,
    /// The address to connect from is none of this host's, or can not be used: why. Nobody has been asked for a connection.
    NotBound(String),
    /// This host lacks descriptors or memory for a connection: why. Nobody has been asked for one.
    Short(String),
    /// Anything else, in words.
    Failed(String),
}

impl Loss {
    /// As the C library says it, for the log.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Self::Refused => "Connection refused",
            Self::TimedOut => "Connection timed out",
            Self::Closed => "Connection reset by peer",
            Self::NotBound(why) | Self::Short(why) | Self::Failed(why) => why,
        }
    }
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its name; our own for a socket of this host.
    pub name: String,
    /// Its address, or the path of a socket.
    pub address: String,
    /// Its port, if it has one.
    pub port: Option<u16>,
    /// No host of the destination is better: if it is we, mail loops.
    pub best: bool,
    /// The destination that led to it.
    pub nexthop: String,
}

impl Peer {
    /// `mx.example[192.0.2.1]`.
    #[must_use]
    pub fn plain(&self) -> String {
        format!("{}[{}]", self.name, self.address)
    }

    /// `mx.example[192.0.2.1]:25`, the `relay=` of the log.
    #[must_use]
    pub fn relay(&self) -> String {
        match self.port {
            Some(port) => format!("{}[{}]:{port}", self.name, self.address),
            None => self.plain(),
        }
    }

    /// Something that we say of it.
    pub(super) fn ours(&self, status: EnhancedStatus, text: String) -> Diagnosis {
        Diagnosis { status, text, remote_mta: None, reply: None, relay: self.relay() }
    }

    /// A reply that has no meaning where it came; it is named as such where the code promises success, as Postfix does.
    pub(super) fn odd(&self, reply: Reply, text: &str) -> Diagnosis {
        let prefix = if reply.class() == 2 { "Protocol error: " } else { "" };
        let status = EnhancedStatus::new(4, 5, 0);
        Diagnosis { status, ..self.theirs(reply, format!("{prefix}{text}")) }
    }

    /// Something that it said.
    pub(super) fn theirs(&self, reply: Reply, text: String) -> Diagnosis {
        Diagnosis {
            status: reply.effective_status(),
            text,
            remote_mta: Some(self.name.clone()),
            reply: Some(reply),
            relay: self.relay(),
        }
    }
}
