//! Who a message is from, and for whom.
//!
//! RFC 5321 4.1.1.2, 4.1.1.3; RFC 3461 (ENVID, RET, NOTIFY, ORCPT).

use crate::time::Timestamp;
use crate::wire::Mailbox;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The reverse-path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Sender {
    /// `<>`: a report; it is never answered with another.
    #[default]
    Null,
    /// Somebody to report to.
    Mailbox(Mailbox),
}

impl Sender {
    /// The address in its external form without angle brackets; empty for the null sender.
    #[must_use]
    pub fn external(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Mailbox(mailbox) => mailbox.external(),
        }
    }

    /// The mailbox, if there is one.
    #[must_use]
    pub const fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

/// How much of the message a report returns (RFC 3461 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Ret {
    /// `RET=FULL`: all of it, in a report of failure.
    Full,
    /// `RET=HDRS`: its header.
    Headers,
}

/// What the client said of the content (RFC 6152, RFC 6531).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum BodyType {
    /// `BODY=7BIT`, or nothing said.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
}

/// When the sender wants to hear of a recipient (RFC 3461 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Notify {
    /// `SUCCESS` was asked for.
    pub success: bool,
    /// `FAILURE` was asked for, or nothing was said.
    pub failure: bool,
    /// `DELAY` was asked for, or nothing was said.
    pub delay: bool,
    /// The client said `NOTIFY=`, so it is handed on.
    pub explicit: bool,
}

impl Default for Notify {
    /// Nothing said: failures, and delays where the site sends such (RFC 3461 4.1).
    fn default() -> Self {
        Self { success: false, failure: true, delay: true, explicit: false }
    }
}

impl Notify {
    /// `NOTIFY=NEVER`.
    pub const NEVER: Self = Self { success: false, failure: false, delay: false, explicit: true };

    /// `never`, or some of `success,failure,delay`, in any case; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut notify = Self::NEVER;
        if text.trim().eq_ignore_ascii_case("never") {
            return Some(notify);
        }
        for word in text.split(',') {
            match word.trim().to_ascii_lowercase().as_str() {
                "success" => notify.success = true,
                "failure" => notify.failure = true,
                "delay" => notify.delay = true,
                _ => return None,
            }
        }
        Some(notify)
    }
}

/// `ORCPT`: the address that the sender first wrote (RFC 3461 4.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OriginalRecipient {
    /// The type before the `;`, usually `rfc822`.
    pub kind: String,
    /// The address, xtext decoded.
    pub address: String,
}

/// One forward-path, as it will be delivered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Recipient {
    /// After rewriting and alias expansion.
    pub address: Mailbox,
    /// As the client gave it, where rewriting or aliases changed it (logged as `orig_to`).
    pub original: Option<Mailbox>,
    /// `ORCPT`, if given.
    pub orcpt: Option<OriginalRecipient>,
    /// `NOTIFY`.
    pub notify: Notify,
}

impl Recipient {
    /// A recipient of whom nothing but the address is known.
    #[must_use]
    pub fn new(address: Mailbox) -> Self {
        Self { address, original: None, orcpt: None, notify: Notify::default() }
    }

    /// Somebody who gets the message instead of all recipients, of whom the first is remembered.
    #[must_use]
    pub fn redirected(address: Mailbox, first: Option<&Self>) -> Self {
        let original = first.map(|first| first.original.clone().unwrap_or_else(|| first.address.clone()));
        Self { original: original.filter(|original| *original != address), ..Self::new(address) }
    }
}

/// Whom we received a message from; for headers, logs and `%{client_…}` of later filters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ClientFacts {
    /// Verified host name, or `unknown`.
    pub name: String,
    /// IP address; `None` for mail made on this host.
    pub address: Option<IpAddr>,
    /// TCP port; 0 where there is none.
    pub port: u16,
    /// What it said in HELO, EHLO or LHLO; empty when it did not.
    pub helo: String,
    /// `SMTP`, `ESMTP`, `ESMTPS` …; empty for local submission.
    pub protocol: String,
}

/// What a TLS handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct TlsFacts {
    /// For example `TLSv1.3`.
    pub protocol: String,
    /// For example `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// Secret bits of the cipher.
    pub cipher_bits: u16,
    /// The peer's certificate was verified up to a trusted root, and matched the name where one was asked for.
    pub trusted: bool,
    /// Subject common name of the peer's certificate, if it showed one.
    pub peer_name: Option<String>,
}

/// Sender, recipients, and what was said of the message in SMTP.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Envelope {
    /// The reverse-path.
    pub sender: Sender,
    /// The forward-paths; their index is their name in outcomes and never changes.
    pub recipients: Vec<Recipient>,
    /// When the first command of its transaction came.
    pub arrived: Timestamp,
    /// `ENVID`, xtext decoded.
    pub envid: Option<String>,
    /// `RET`.
    pub ret: Option<Ret>,
    /// `BODY`.
    pub body: BodyType,
    /// `SMTPUTF8` was given.
    pub smtputf8: bool,
    /// Whom it came from.
    pub client: ClientFacts,
    /// `FILTER transport:nexthop` of an access rule: goes there in place of its route.
    pub filter: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_is_never_or_a_list() {
        assert_eq!(Notify::parse("Never"), Some(Notify::NEVER));
        let wanted = Notify { success: true, delay: true, ..Notify::NEVER };
        assert_eq!(Notify::parse("delay, SUCCESS"), Some(wanted));
        for wrong in ["", "never,success", "failure,", "sometimes"] {
            assert_eq!(Notify::parse(wrong), None, "{wrong}");
        }
    }
}
