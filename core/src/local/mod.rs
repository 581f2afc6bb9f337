//! What final delivery comes to: the decisions of local(8), virtual(8), error(8) and discard(8).
//!
//! [`decide`], [`decide_virtual`], [`failed`] and [`discarded`] say what shall be done for one recipient, as data: messages to be put into
//! mailboxes, a handover to another transport, a message to be forwarded, and the outcome when all that has been done. The driver
//! does it in this order, and settles a fault with [`fault`].
//!
//! Files and users are tables here: `unix:passwd.byname` (key: user name), `include:/path` and `forward:/path` (key: the user with whose
//! rights it is read); a value is the text of the file, no value means that there is no such file.
//! Knows nothing of disks and rights.

mod encode;
mod expand;
mod items;
mod leaf;
mod mailbox;
mod params;
mod plain;
#[cfg(test)]
mod tests;
mod user;
mod walk;

pub use encode::{Encoder, maildir_final, maildir_temporary};
pub use mailbox::decide_virtual;
pub use params::{Allowed, Locks, Params, Patience};
pub use plain::{discarded, failed};
pub use walk::decide;

use crate::mail::{
    Attempt, AttemptRecipient, Diagnosis, Envelope, Extensions, Outcome, QueueId, Recipient, Sender,
};
use crate::time::Duration;
use crate::wire::{EnhancedStatus, Mailbox, Reply, header};

/// One recipient of an attempt, and what of its message is needed.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The attempt.
    pub attempt: &'a Attempt,
    /// The recipient.
    pub recipient: &'a AttemptRecipient,
    /// Where the message has been delivered before: [`delivered_to`].
    pub delivered_to: &'a [String],
}

/// How a message lies in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Format {
    /// One file of many messages.
    #[default]
    Mbox,
    /// A directory with a file for each message.
    Maildir,
}

/// A message to be written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Deposit {
    /// The mailbox file, or the directory with its final `/`.
    pub path: String,
    /// What that is.
    pub format: Format,
    /// The user that writes it.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Header fields in front, with CRLF.
    pub header: Vec<u8>,
    /// Octets that the file may have afterwards; zero for no limit.
    pub limit: u64,
    /// How a mailbox file is locked.
    pub locks: Locks,
    /// It is `mail_spool_directory/USER`, in a folder of the system in which users may make no files: the lock, and a file that is
    /// missing, are made with the system's rights. Anything else is made with the user's rights alone, wherever its path leads.
    pub in_spool: bool,
    /// A dot-lock older than this was left behind by a program that died.
    pub stale_lock: Duration,
    /// An existing mailbox file must belong to `uid`.
    pub strict_owner: bool,
    /// The user or address it is for, in words of the log.
    pub owner: String,
}

/// Delivery by another transport (`mailbox_transport`, `fallback_transport`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Handover {
    /// Name of the master.cf service.
    pub transport: String,
    /// Where to.
    pub nexthop: String,
}

/// A new message in place of the recipient.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Forward {
    /// Sender of the new message: the old one, or the owner of the alias.
    pub sender: Sender,
    /// Its recipients, without duplicates; addresses are complete.
    pub recipients: Vec<Recipient>,
    /// `Delivered-To` for its header, without CRLF.
    pub prepend: Vec<String>,
    /// It goes to a list that has an owner: what the writer wants to be told of does not hold for its members (RFC 3461 5.2.7.2).
    pub of_list: bool,
}

impl Forward {
    /// The envelope of the new message, with what the old one says of reports.
    #[must_use]
    pub fn envelope(&self, attempt: &Attempt) -> Envelope {
        Envelope {
            sender: self.sender.clone(),
            recipients: self.recipients.clone(),
            envid: attempt.envid.clone().filter(|_| !self.of_list),
            ret: attempt.ret.filter(|_| !self.of_list),
            body: attempt.body,
            smtputf8: attempt.smtputf8,
            ..Envelope::default()
        }
    }
}

/// What shall be done for a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// First: write these.
    pub deposits: Vec<Deposit>,
    /// Then: hand the recipient to this transport, whose outcome counts.
    pub handover: Option<Handover>,
    /// Then: commit this together with the outcome, which is [`forwarded_as`].
    pub forward: Option<Forward>,
    /// The outcome when there is neither a handover nor a forward, and no deposit failed.
    pub outcome: Outcome,
}

impl Delivery {
    fn only(outcome: Outcome) -> Self {
        Self { deposits: Vec::new(), handover: None, forward: None, outcome }
    }

    /// The log and reports name the service: one of local(8) may have any name.
    fn by(mut self, transport: &str) -> Self {
        self.outcome = self.outcome.by(transport);
        self
    }
}

/// Why a deposit was not made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It would exceed [`Deposit::limit`], or the user's quota.
    Full,
    /// The configuration or the rights are wrong; somebody must repair them.
    Forbidden(String),
    /// Another program, or another delivery of ours, holds its lock: `deliver_lock_attempts` says how patient to be.
    Locked(String),
    /// Anything else; in words.
    Other(String),
}

/// The outcome of a recipient whose deposit was not made.
#[must_use]
pub fn fault(deposit: &Deposit, fault: &Fault, relay: &str) -> Outcome {
    let why = match fault {
        Fault::Full => "error writing message: File too large",
        Fault::Forbidden(why) | Fault::Locked(why) | Fault::Other(why) => why,
    };
    let text = match deposit.format {
        Format::Mbox => {
            format!("cannot update mailbox {} for user {}. {why}", deposit.path, deposit.owner)
        }
        Format::Maildir => format!("maildir delivery failed: {why}"),
    };
    match fault {
        Fault::Full => Outcome::Failed(diagnosis((5, 2, 2), text, relay)),
        Fault::Forbidden(_) => Outcome::Deferred(diagnosis((4, 3, 5), text, relay)),
        Fault::Locked(_) | Fault::Other(_) => Outcome::Deferred(diagnosis((4, 2, 0), text, relay)),
    }
}

/// The outcome of a recipient that was replaced by a new message.
#[must_use]
pub fn forwarded_as(id: QueueId, relay: &str) -> Outcome {
    Outcome::Expanded(diagnosis((2, 0, 0), format!("forwarded as {id}"), relay))
}

/// The outcome of a recipient whose forwarded copy cleanup refused: for good where its reply says so (too many hops, a rule that
/// rejects). To defer that would write the other destinations of the alias again and again until the message is too old.
#[must_use]
pub fn not_forwarded(reply: &Reply, relay: &str) -> Outcome {
    let text = format!("unable to forward message: {}", reply.lines.join(" "));
    let class = if reply.code >= 500 { 5 } else { 4 };
    let status =
        reply.status.filter(|status| status.class == class).unwrap_or(EnhancedStatus::new(class, 3, 0));
    let why = diagnosis((status.class, status.subject, status.detail), text, relay);
    if class == 5 { Outcome::Failed(why) } else { Outcome::Deferred(why) }
}

/// The values of the `Delivered-To` fields of a header, lower case: delivery loops are found by them.
#[must_use]
pub fn delivered_to(octets: &[u8]) -> Vec<String> {
    let fields = header::fields(octets);
    let fields = fields.iter().map(|field| field.octets(octets));
    let named = fields.filter(|field| header::name(field).eq_ignore_ascii_case(b"delivered-to"));
    named.map(|field| String::from_utf8_lossy(header::value(field)).trim().to_lowercase()).collect()
}

fn diagnosis(status: (u8, u16, u16), text: impl Into<String>, relay: &str) -> Diagnosis {
    let status = EnhancedStatus::new(status.0, status.1, status.2);
    Diagnosis { relay: relay.to_owned(), ..Diagnosis::ours(status, text) }
}

fn delivered(text: &str, relay: &str) -> Outcome {
    Outcome::Delivered { diagnosis: diagnosis((2, 0, 0), text, relay), last_hop_for_dsn: true }
}

/// RFC 5321 6.3: mail that comes back to where it was goes round.
fn loops(job: Job<'_>, relay: &str) -> Option<Outcome> {
    let address = job.recipient.address.external().to_lowercase();
    let text = format!("mail forwarding loop for {address}");
    job.delivered_to.contains(&address).then(|| Outcome::Failed(diagnosis((5, 4, 6), text, relay)))
}

/// RFC 5321 4.4: Return-Path; and who the message was for, then and now.
fn trace(job: Job<'_>, original: bool, delivered: bool) -> Vec<u8> {
    let clean = |mailbox: &Mailbox| mailbox.external().replace(char::is_control, "?");
    let sender = job.attempt.sender.mailbox().map(clean).unwrap_or_default();
    let mut text = format!("Return-Path: <{sender}>\r\n");
    if original {
        let given = job.recipient.original.as_ref().unwrap_or(&job.recipient.address);
        text.push_str(&format!("X-Original-To: {}\r\n", clean(given)));
    }
    if delivered {
        text.push_str(&format!("Delivered-To: {}\r\n", clean(&job.recipient.address)));
    }
    text.into_bytes()
}

/// `user+ext` as `user` and `ext` with its delimiter.
fn split_extension<'a>(local: &'a str, params: &Params) -> (&'a str, Option<&'a str>) {
    let extensions = Extensions {
        delimiters: &params.recipient_delimiter,
        owner_request_special: params.owner_request_special,
        double_bounce_sender: &params.double_bounce_sender,
    };
    extensions.split(local).map_or((local, None), |(base, extension)| (base, Some(extension)))
}
