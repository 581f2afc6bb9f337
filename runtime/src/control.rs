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
    use postrider_core::prng::Prng;
    use serde::de::DeserializeOwned;

    #[test]
    fn content_crosses_the_socket_as_it_is_and_compact() {
        let octets: Vec<u8> = (0..=255).collect();
        let line = serde_json::to_string(&Reply::Content(octets.clone())).expect("it is data");
        assert!(line.len() < octets.len() * 3 / 2, "{line}");
        assert_eq!(serde_json::from_str::<Reply>(&line).expect("it is ours"), Reply::Content(octets));
    }

    /// Texts with all that a line of JSON must hide or may not cut.
    fn text(prng: &mut Prng) -> String {
        const PARTS: [&str; 12] = [
            "a@here.test",
            "\n",
            "\r\n",
            "\0",
            "\"",
            "\\",
            "\\u0000",
            "\u{7f}",
            "\u{2028}",
            "é",
            "\u{10ffff}",
            "}]",
        ];
        (0..prng.below(6)).map(|_| PARTS[prng.below(PARTS.len() as u64) as usize]).collect()
    }

    /// Small numbers and those at the ends of what there is.
    fn number(prng: &mut Prng) -> u64 {
        match prng.below(4) {
            0 => u64::MAX - prng.below(2),
            1 => prng.below(3),
            _ => prng.next_u64(),
        }
    }

    fn maybe<T>(prng: &mut Prng, make: impl FnOnce(&mut Prng) -> T) -> Option<T> {
        prng.chance(1, 2).then(|| make(prng))
    }

    fn queue_name(prng: &mut Prng) -> QueueName {
        use QueueName::{Active, Corrupt, Deferred, Hold, Incoming};
        [Incoming, Active, Deferred, Hold, Corrupt][prng.below(5) as usize]
    }

    fn selection(prng: &mut Prng) -> Selection {
        match prng.below(3) {
            0 => Selection::All(maybe(prng, queue_name)),
            1 => Selection::Id(QueueId(number(prng))),
            _ => Selection::Site(text(prng)),
        }
    }

    fn request(prng: &mut Prng) -> Request {
        match prng.below(8) {
            0 => Request::Status,
            1 => Request::Stop,
            2 => Request::Reload,
            3 => Request::Wake,
            4 => Request::Show(QueueId(number(prng))),
            5 => Request::Export((0..prng.below(4)).map(|_| selection(prng)).collect(), prng.chance(1, 2)),
            6 => Request::Import,
            _ => {
                use Order::{Delete, Flush, Hold, List, Release, Requeue};
                let orders = [List, Hold, Release, Requeue, Delete, Flush];
                Request::Order(orders[prng.below(6) as usize](selection(prng)))
            }
        }
    }

    fn listed(prng: &mut Prng) -> Listing {
        Listing {
            queue_name: queue_name(prng),
            queue_id: text(prng),
            arrival_time: number(prng).cast_signed(),
            message_size: number(prng),
            next_attempt_time: maybe(prng, |prng| number(prng).cast_signed()),
            sender: text(prng),
            recipients: (0..prng.below(3))
                .map(|_| ListedRecipient { address: text(prng), delay_reason: maybe(prng, text) })
                .collect(),
        }
    }

    fn reply(prng: &mut Prng) -> Reply {
        match prng.below(9) {
            0 => Reply::Status(Status {
                process: number(prng) as u32,
                version: text(prng),
                uptime: number(prng),
                sessions: number(prng),
                listening: (0..prng.below(3)).map(|_| text(prng)).collect(),
                configuration: text(prng),
                recording: maybe(prng, text),
            }),
            1 => Reply::Listing(listed(prng)),
            2 => Reply::Done(number(prng)),
            3 => Reply::Envelope((0..prng.below(4)).map(|_| (text(prng), text(prng))).collect()),
            4 => Reply::Imported(QueueId(number(prng)), QueueId(number(prng))),
            5 => Reply::Note(text(prng)),
            6 => Reply::Content((0..prng.below(70)).map(|_| prng.next_u64() as u8).collect()),
            7 => Reply::Failed(text(prng)),
            _ => Reply::End,
        }
    }

    /// One line, which reads back as what was said. Damaged in any way it is something else, or refused; nobody panics.
    fn crosses<T>(prng: &mut Prng, said: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let line = serde_json::to_vec(said).expect("it is data");
        assert!(!line.contains(&b'\n'), "{}", String::from_utf8_lossy(&line));
        assert_eq!(&serde_json::from_slice::<T>(&line).expect("it is ours"), said);
        for end in 0..line.len() {
            assert!(serde_json::from_slice::<T>(&line[..end]).is_err(), "half a line is no line: {said:?}");
        }
        for _ in 0..8 {
            let mut damaged = line.clone();
            for _ in 0..=prng.below(3) {
                let at = prng.below(damaged.len() as u64) as usize;
                match prng.below(3) {
                    0 => damaged[at] = prng.next_u64() as u8,
                    1 => damaged.insert(at, b"[]{}\",:0-e\\u"[prng.below(12) as usize]),
                    _ if damaged.len() > 1 => _ = damaged.remove(at),
                    _ => {}
                }
            }
            // What is understood can be said again.
            if let Ok(other) = serde_json::from_slice::<T>(&damaged) {
                let again = serde_json::to_vec(&other).expect("it is data");
                assert_eq!(serde_json::from_slice::<T>(&again).expect("it is ours"), other);
            }
        }
    }

    #[test]
    fn all_that_is_said_on_the_socket_reads_back_and_nothing_else_harms() {
        for seed in 0..2_000 {
            let mut prng = Prng::new(seed);
            let (request, reply) = (request(&mut prng), reply(&mut prng));
            crosses(&mut prng, &request);
            crosses(&mut prng, &reply);
            let noise: Vec<u8> = (0..prng.below(64)).map(|_| prng.next_u64() as u8).collect();
            assert!(serde_json::from_slice::<Request>(&noise).is_err(), "{noise:?}");
        }
        // As deep as a request may be long.
        for open in ["[", "{\"Order\":"] {
            let deep = open.repeat(REQUEST_MAX / open.len());
            assert!(serde_json::from_slice::<Request>(deep.as_bytes()).is_err());
        }
    }
}
