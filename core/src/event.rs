//! TABLE of events: what the log says, from one place.
//!
//! A row is a variant of [`Event`]: its name, severity and program, its fields, and its text, which has Postfix's fields in
//! Postfix's order, so that pflogsumm and fail2ban filters read it. The same rows become JSON.
//! Text that a peer, a table or a resolver said is escaped here: no control octet reaches a log.

use crate::mail::{Outcome, QueueId};
use crate::time::Duration;
use crate::wire::put_decimal;
use std::fmt::Write as _;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Normal business.
    Info,
    /// Somebody should look at it some day.
    Warning,
    /// Mail is held up until somebody acts.
    Error,
}

/// `status=` of a delivery line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// Delivered to the next hop or to a mailbox.
    Sent,
    /// Will be tried again.
    Deferred,
    /// Will not.
    Bounced,
    /// Would not, but for soft_bounce.
    SoftBounced,
    /// Expired in the queue: returned to the sender.
    Expired,
}

impl DeliveryStatus {
    /// The word that Postfix writes.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Deferred => "deferred",
            Self::Bounced => "bounced",
            Self::SoftBounced => "SOFTBOUNCE",
            Self::Expired => "expired",
        }
    }

    /// The word for an outcome.
    #[must_use]
    pub const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Deferred(_) => Self::Deferred,
            Outcome::Failed(_) => Self::Bounced,
            Outcome::Delivered { .. } | Outcome::Expanded(_) | Outcome::Discarded(_) => Self::Sent,
        }
    }
}

/// Something that happened, for the log.
#[allow(missing_docs)] // Each row says what its fields are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// A client connected. `client` is `name[address]` or `name[address]:port`.
    Connected { client: String },
    /// A client left; `counts` is `ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4`.
    Disconnected { client: String, counts: String },
    /// A connection broke: `lost connection after DATA from …`, `timeout after …`, `too many errors after …`.
    SessionCut { what: &'static str, after: String, client: String },
    /// A command was refused by policy. `verb` is `reject`, `reject_warning`, `hold`, `discard`, `filter`, `redirect` ….
    Policy {
        id: Option<QueueId>,
        verb: &'static str,
        stage: &'static str,
        client: String,
        text: String,
        details: String,
    },
    /// A transaction got its id: `client=name[address]`.
    TransactionOpened { id: QueueId, client: String },
    /// TLS is on. `side` is `Trusted`, `Untrusted` or `Anonymous`.
    TlsEstablished {
        program: &'static str,
        side: &'static str,
        peer: String,
        protocol: String,
        cipher: String,
        bits: u16,
    },
    /// The header was read: `message-id=<…>`, or `resent-message-id=<…>`.
    MessageId { id: QueueId, resent: bool, message_id: String },
    /// A header or body rule acted.
    HeaderRule { id: QueueId, verb: &'static str, header: String, details: String },
    /// It became active: `from=<…>, size=…, nrcpt=… (queue active)`.
    Activated { id: QueueId, sender: String, size: u64, recipients: usize },
    /// A recipient's outcome of one attempt. `delays` are seconds: before the queue manager, in it, connection set-up, transmission.
    Delivery {
        program: String,
        id: QueueId,
        recipient: String,
        original: Option<String>,
        relay: String,
        delay: Duration,
        delays: [Duration; 4],
        dsn: String,
        status: DeliveryStatus,
        text: String,
    },
    /// The message expired: `from=<…>, status=expired, returned to sender`.
    Expired { id: QueueId, sender: String },
    /// A report was made: `sender non-delivery notification: ID`. `kind` is `non-delivery`, `delivery status`, `delay`; `to` is `sender` or `postmaster`.
    Reported { id: QueueId, to: &'static str, kind: &'static str, report: QueueId },
    /// The end of a message.
    Removed { id: QueueId },
    /// Mail came from a command on this host.
    PickedUp { id: QueueId, uid: u32, sender: String },
    /// The state of a queue changed by order: `placed on hold`, `released from hold`, `requeued`, `removed` (by the operator).
    Ordered { id: QueueId, what: &'static str },
    /// Anything that a person should act on; one line, names what to do.
    Warning { program: &'static str, id: Option<QueueId>, text: String },
    /// Mail is held up until a person acts.
    Trouble { program: &'static str, id: Option<QueueId>, text: String },
    /// A line about our own life: started, stopping, reloaded.
    Note { program: &'static str, text: String },
}

impl Event {
    /// Its severity.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Warning { .. } => Severity::Warning,
            Self::Trouble { .. } => Severity::Error,
            _ => Severity::Info,
        }
    }

    /// The program part of the line, behind `SYSLOG_NAME/`.
    #[must_use]
    pub fn program(&self) -> &str {
        match self {
            Self::Connected { .. }
            | Self::Disconnected { .. }
            | Self::SessionCut { .. }
            | Self::Policy { .. }
            | Self::TransactionOpened { .. } => "smtpd",
            Self::MessageId { .. } | Self::HeaderRule { .. } => "cleanup",
            Self::Activated { .. } | Self::Expired { .. } | Self::Removed { .. } => "qmgr",
            Self::Reported { .. } => "bounce",
            Self::PickedUp { .. } => "pickup",
            Self::Ordered { .. } => "postsuper",
            Self::Delivery { program, .. } => program,
            Self::TlsEstablished { program, .. }
            | Self::Warning { program, .. }
            | Self::Trouble { program, .. }
            | Self::Note { program, .. } => program,
        }
    }

    /// The name of the row, for JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connected { .. } => "connected",
            Self::Disconnected { .. } => "disconnected",
            Self::SessionCut { .. } => "session_cut",
            Self::Policy { .. } => "policy",
            Self::TransactionOpened { .. } => "transaction_opened",
            Self::TlsEstablished { .. } => "tls_established",
            Self::MessageId { .. } => "message_id",
            Self::HeaderRule { .. } => "header_rule",
            Self::Activated { .. } => "activated",
            Self::Delivery { .. } => "delivery",
            Self::Expired { .. } => "expired",
            Self::Reported { .. } => "reported",
            Self::Removed { .. } => "removed",
            Self::PickedUp { .. } => "picked_up",
            Self::Ordered { .. } => "ordered",
            Self::Warning { .. } => "warning",
            Self::Trouble { .. } => "trouble",
            Self::Note { .. } => "note",
        }
    }

    /// The message it is about, if it is about one.
    #[must_use]
    pub const fn queue_id(&self) -> Option<QueueId> {
        match self {
            Self::TransactionOpened { id, .. }
            | Self::MessageId { id, .. }
            | Self::HeaderRule { id, .. }
            | Self::Activated { id, .. }
            | Self::Delivery { id, .. }
            | Self::Expired { id, .. }
            | Self::Reported { id, .. }
            | Self::Removed { id }
            | Self::PickedUp { id, .. }
            | Self::Ordered { id, .. } => Some(*id),
            Self::Policy { id, .. } | Self::Warning { id, .. } | Self::Trouble { id, .. } => *id,
            _ => None,
        }
    }

    /// The line behind `program[pid]: `, with the queue id in front where there is one; control characters escaped.
    #[must_use]
    pub fn text(&self) -> String {
        let mut line = String::with_capacity(160);
        self.write_text(&mut line);
        line
    }

    /// Appends the same to a line.
    pub fn write_text(&self, line: &mut String) {
        let start = line.len();
        match (self, self.queue_id()) {
            (_, Some(id)) => _ = write!(line, "{id}: "),
            (Self::Policy { .. }, None) => line.push_str("NOQUEUE: "),
            _ => {}
        }
        self.describe(line);
        let text = line.get(start..).unwrap_or_default();
        // Most lines are plain, which is seen at a glance.
        let plain = text.bytes().fold(true, |plain, octet| plain & matches!(octet, b' '..=b'~'));
        if !plain && text.chars().any(is_hidden) {
            let text = printable(text);
            line.truncate(start);
            line.push_str(&text);
        }
    }

    fn describe(&self, line: &mut String) {
        let result = match self {
            Self::Connected { client } => write!(line, "connect from {client}"),
            Self::Disconnected { client, counts } => write!(line, "disconnect from {client} {counts}"),
            Self::SessionCut { what, after, client } => write!(line, "{what} after {after} from {client}"),
            Self::Policy { verb, stage, client, text, details, .. } => {
                write!(line, "{verb}: {stage} from {client}: {text}; {details}")
            }
            Self::TransactionOpened { client, .. } => write!(line, "client={client}"),
            Self::TlsEstablished { side, peer, protocol, cipher, bits, .. } => write!(
                line,
                "{side} TLS connection established {peer}: {protocol} with cipher {cipher} ({bits}/{bits} bits)"
            ),
            Self::MessageId { resent, message_id, .. } => {
                let resent = if *resent { "resent-" } else { "" };
                write!(line, "{resent}message-id={message_id}")
            }
            Self::HeaderRule { verb, header, details, .. } => {
                write!(line, "{verb}: header {header} {details}")
            }
            Self::Activated { sender, size, recipients, .. } => {
                write!(line, "from=<{sender}>, size={size}, nrcpt={recipients} (queue active)")
            }
            Self::Delivery { .. } => self.describe_delivery(line),
            Self::Expired { sender, .. } => {
                write!(line, "from=<{sender}>, status=expired, returned to sender")
            }
            Self::Reported { to, kind, report, .. } => write!(line, "{to} {kind} notification: {report}"),
            Self::Removed { .. } => write!(line, "removed"),
            Self::PickedUp { uid, sender, .. } => write!(line, "uid={uid} from=<{sender}>"),
            Self::Ordered { what, .. } => write!(line, "{what}"),
            Self::Warning { text, .. } => write!(line, "warning: {text}"),
            Self::Trouble { text, .. } => write!(line, "error: {text}"),
            Self::Note { text, .. } => write!(line, "{text}"),
        };
        debug_assert!(result.is_ok(), "writing to a String does not fail");
    }

    fn describe_delivery(&self, line: &mut String) -> std::fmt::Result {
        let Self::Delivery { recipient, original, relay, delay, delays, dsn, status, text, .. } = self else {
            return Ok(());
        };
        write!(line, "to=<{recipient}>, ")?;
        if let Some(original) = original {
            write!(line, "orig_to=<{original}>, ")?;
        }
        write!(line, "relay={relay}, delay=")?;
        put_seconds(line, *delay);
        for (place, delay) in delays.iter().enumerate() {
            line.push_str(if place == 0 { ", delays=" } else { "/" });
            put_seconds(line, *delay);
        }
        write!(line, ", dsn={dsn}, status={} ({text})", status.word())
    }
}

/// Two significant digits, as Postfix writes delays (`delay_logging_resolution_limit` 2).
fn put_seconds(line: &mut String, duration: Duration) {
    const SECOND: u64 = 1_000_000_000;
    // So many parts of a second are told.
    let parts = match duration.as_secs() {
        0 => 100,
        1..10 => 10,
        _ => 1,
    };
    let part = SECOND / parts;
    let rounded = (u64::from(duration.subsec_nanos()) + part / 2) / part;
    put_decimal(line, duration.as_secs().saturating_add(rounded / parts));
    let (tenths, hundredths) = match (rounded % parts, parts) {
        (rest, 100) => (rest / 10, rest % 10),
        (rest, _) => (rest, 0),
    };
    if tenths + hundredths > 0 {
        line.push('.');
        put_decimal(line, tenths);
    }
    if hundredths > 0 {
        put_decimal(line, hundredths);
    }
}

/// Control characters, and those that turn the reading direction, as `?`: a log line stays one honest line.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { '?' } else { c }).collect()
}

fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_line_has_postfix_s_fields_in_postfix_s_order() {
        let event = Event::Delivery {
            program: "smtp".into(),
            id: QueueId::new(1_000_000, 0),
            recipient: "b@example.org".into(),
            original: Some("list@example.com".into()),
            relay: "mx.example.org[192.0.2.1]:25".into(),
            delay: Duration::from_millis(1234),
            delays: [
                Duration::from_millis(10),
                Duration::ZERO,
                Duration::from_millis(200),
                Duration::from_secs(11),
            ],
            dsn: "2.0.0".into(),
            status: DeliveryStatus::Sent,
            text: "250 2.0.0 Ok".into(),
        };
        assert_eq!(
            event.text(),
            "0000010000z0000: to=<b@example.org>, orig_to=<list@example.com>, relay=mx.example.org[192.0.2.1]:25, \
             delay=1.2, delays=0.01/0/0.2/11, dsn=2.0.0, status=sent (250 2.0.0 Ok)"
        );
    }

    #[test]
    fn a_delay_has_two_digits_and_no_noughts_behind_them() {
        let told = |millis| {
            let mut line = String::new();
            put_seconds(&mut line, Duration::from_millis(millis));
            line
        };
        for (millis, text) in [
            (0, "0"),
            (4, "0"),
            (5, "0.01"),
            (40, "0.04"),
            (100, "0.1"),
            (994, "0.99"),
            (996, "1"),
            (1_040, "1"),
            (1_060, "1.1"),
            (9_940, "9.9"),
            (9_960, "10"),
            (59_499, "59"),
            (59_500, "60"),
            (432_000_000, "432000"),
        ] {
            assert_eq!(told(millis), text, "{millis} ms");
        }
    }

    #[test]
    fn no_control_octet_reaches_the_log() {
        let event = Event::Note { program: "smtpd", text: "a\r\nb\u{1b}[31m\u{202e}".into() };
        assert_eq!(event.text(), "a??b?[31m?");
    }
}
