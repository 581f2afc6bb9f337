//! The daemon's control socket: `queue_directory/postrider/control`.
//!
//! One request a connection: a line of JSON, answered by lines of JSON, the last of which is [`Reply::End`]. Who may ask for
//! what is told by the kernel (peer credentials): anybody may list and flush, as with Postfix; only root and
//! `mail_owner` may change or read messages, stop or reload.

use postrider_core::mail::{
    ListedRecipient, Listing, Loaded, Order, QueueId, QueueName, Selection, Sender, Standing,
};
use postrider_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Name of the socket below the spool's directory.
pub const SOCKET: &str = "control";
/// Octets of a request line.
pub const REQUEST_MAX: usize = 64 * 1024;

/// What a command asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// How is it going?
    Status,
    /// Drain and stop.
    Stop,
    /// Read the configuration again.
    Reload,
    /// New mail lies in the maildrop.
    Wake,
    /// An order for the queue.
    Order(Order),
    /// A message's envelope and content (`postcat -q`).
    Show(QueueId),
    /// Messages as `queue export` writes them; on hold from then on, if that is asked for.
    Export(Vec<Selection>, bool),
    /// Messages as `queue export` wrote them follow this line, up to the end of what the command sends.
    Import,
}

impl Request {
    /// True when anybody on this host may ask it.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        matches!(self, Self::Status | Self::Wake | Self::Order(Order::List(_) | Order::Flush(_)))
    }
}

/// What the daemon says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It runs.
    Status(Status),
    /// A message of a listing.
    Listing(Listing),
    /// How many messages an order was for.
    Done(u64),
    /// A message: envelope lines, then its content in chunks.
    Envelope(Vec<(String, String)>),
    /// A message was taken in: its name where it came from, and here.
    Imported(QueueId, QueueId),
    /// Something that a person should know.
    Note(String),
    /// Octets of the content, as base64.
    Content(#[serde(with = "octets")] Vec<u8>),
    /// It could not be done: why.
    Failed(String),
    /// Nothing follows.
    End,
}

/// Octets in a line of JSON: base64 takes a third more room, a list of numbers four times as much.
mod octets {
    use data_encoding::BASE64;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(octets))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map_err(D::Error::custom)
    }
}

/// How it is going.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Process id.
    pub process: u32,
    /// Version of the daemon.
    pub version: String,
    /// Seconds since start.
    pub uptime: u64,
    /// Open inbound sessions.
    pub sessions: u64,
    /// Where it listens.
    pub listening: Vec<String>,
    /// Where its configuration is.
    pub configuration: String,
    /// Where it records what happens, if it does.
    #[serde(default)]
    pub recording: Option<String>,
}

/// A message as the queue listing shows it.
#[must_use]
pub fn listing(loaded: &Loaded, queue: QueueName, next: Option<Timestamp>) -> Listing {
    let envelope = &loaded.message.envelope;
    let recipients = envelope.recipients.iter().zip(&loaded.standing);
    Listing {
        queue_name: queue,
        queue_id: loaded.message.id.to_string(),
        arrival_time: envelope.arrived.seconds(),
        message_size: loaded.message.pieces.size(),
        next_attempt_time: next.map(Timestamp::seconds),
        sender: match &envelope.sender {
            Sender::Null => String::new(),
            Sender::Mailbox(mailbox) => mailbox.external(),
        },
        recipients: recipients
            .filter_map(|(recipient, standing)| match standing {
                Standing::Waiting(why) => Some(ListedRecipient {
                    address: recipient.address.external(),
                    delay_reason: why.as_ref().map(|why| why.text.clone()),
                }),
                Standing::Owed(_) | Standing::Done => None,
            })
            .collect(),
    }
}

/// The envelope as `postcat -e` shows it.
#[must_use]
pub fn envelope_lines(loaded: &Loaded) -> Vec<(String, String)> {
    let envelope = &loaded.message.envelope;
    let mut lines = Vec::new();
    let mut put = |name: &str, value: String| lines.push((name.to_owned(), value));
    put("message_size", loaded.message.pieces.size().to_string());
    put("message_arrival_time", envelope.arrived.seconds().to_string());
    if let Some(address) = envelope.client.address {
        put("named_attribute", format!("client_name={}", envelope.client.name));
        put("named_attribute", format!("client_address={address}"));
        put("named_attribute", format!("helo_name={}", envelope.client.helo));
        put("named_attribute", format!("protocol_name={}", envelope.client.protocol));
    }
    if let Some(envid) = &envelope.envid {
        put("named_attribute", format!("envelope_id={envid}"));
    }
    put("sender", envelope.sender.external());
    for (recipient, standing) in envelope.recipients.iter().zip(&loaded.standing) {
        if let Some(orcpt) = &recipient.orcpt {
            put("named_attribute", format!("dsn_orig_rcpt={};{}", orcpt.kind, orcpt.address));
        }
        let original = recipient.original.as_ref().unwrap_or(&recipient.address);
        put("original_recipient", original.external());
        let label = if matches!(standing, Standing::Done) { "done_recipient" } else { "recipient" };
        put(label, recipient.address.external());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_crosses_the_socket_as_it_is_and_compact() {
        let octets: Vec<u8> = (0..=255).collect();
        let line = serde_json::to_string(&Reply::Content(octets.clone())).expect("it is data");
        assert!(line.len() < octets.len() * 3 / 2, "{line}");
        assert_eq!(serde_json::from_str::<Reply>(&line).expect("it is ours"), Reply::Content(octets));
    }
}
