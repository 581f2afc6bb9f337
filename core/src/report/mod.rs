//! What the sender is told (RFC 3461, RFC 3464): whether, when, and to whom. Never to the null sender.
//!
//! [`owed`] says which report an outcome asks for, [`plan`] who gets it, [`compose`] what it says. The report is a message like
//! any other and enters at cleanup. Knows nothing of queues and schedules: when a delay is worth a warning is the manager's.

mod compose;
mod notice;
mod params;
#[cfg(test)]
mod tests;
mod words;

pub use compose::{compose, octets_wanted};
pub use notice::{Allowance, notice};
pub use params::Params;

use crate::mail::{
    BodyType, Change, ClientFacts, Envelope, Message, Notify, Origin, Outcome, Recipient, Sender,
};
use crate::time::Timestamp;
use crate::wire::{Mailbox, address_list};
use serde::{Deserialize, Serialize};

/// Which report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Recipients failed.
    Failure,
    /// Recipients still wait.
    Delay,
    /// Recipients were reached, as asked.
    Success,
}

impl Kind {
    /// As [`crate::event::Event::Reported`] names it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failure => "non-delivery",
            Self::Delay => "delay",
            Self::Success => "delivery status",
        }
    }
}

/// A report that the manager wants made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Plan {
    /// Which.
    pub kind: Kind,
    /// Whom it tells: the sender, or the postmaster.
    pub to: Mailbox,
    /// It goes to the postmaster, because the sender is null or as a copy; its own sender is `double_bounce_sender`.
    pub double_bounce: bool,
    /// The message it is about.
    pub about: Box<Message>,
    /// Index of each recipient it is about, and what became of it.
    pub recipients: Vec<(u32, Outcome)>,
    /// Becomes durable together with the report, or not at all.
    pub changes: Vec<Change>,
}

/// Why a report was not made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unmade {
    /// Its addressee can not be taken: what cleanup says. It may never be otherwise.
    Refused(String),
    /// Our disk or a table does not work: it will.
    Trouble(String),
}

impl Unmade {
    /// What happened, in words.
    #[must_use]
    pub fn why(&self) -> &str {
        let (Self::Refused(why) | Self::Trouble(why)) = self;
        why
    }
}

/// The report that an outcome owes to somebody, as far as `NOTIFY` goes. A delay only once the manager thinks it long.
///
/// A failure for the null sender is still owed: [`plan`] may send it to the postmaster, or to nobody.
#[must_use]
pub const fn owed(outcome: &Outcome, notify: Notify, null_sender: bool) -> Option<Kind> {
    match outcome {
        Outcome::Failed(_) if notify.failure => Some(Kind::Failure),
        _ if null_sender => None,
        Outcome::Deferred(_) if notify.delay => Some(Kind::Delay),
        Outcome::Expanded(_) | Outcome::Discarded(_) if notify.success => Some(Kind::Success),
        // RFC 3461 5.2.2: the next hop reports, if it promised to.
        Outcome::Delivered { last_hop_for_dsn: true, .. } if notify.success => Some(Kind::Success),
        _ => None,
    }
}

/// The reports to be made about these recipients of a message: one to the sender, and the postmaster's copy. `changes` are empty:
/// they are the manager's.
#[must_use]
pub fn plan(kind: Kind, message: &Message, recipients: &[(u32, Outcome)], params: &Params) -> Vec<Plan> {
    // RFC 5321 4.5.5, 6.1: a report about a report to the postmaster would never end.
    if is_for_the_postmaster(message, params) {
        return Vec::new();
    }
    let notify = |index: &u32| {
        let recipient = usize::try_from(*index).ok().and_then(|index| message.envelope.recipients.get(index));
        recipient.map_or(Notify::default(), |recipient| recipient.notify)
    };
    let one = |to: Mailbox, double_bounce, recipients: Vec<(u32, Outcome)>| Plan {
        kind,
        to,
        double_bounce,
        about: Box::new(message.clone()),
        recipients,
        changes: Vec::new(),
    };
    let mut plans = Vec::new();
    if let Some(sender) = message.envelope.sender.mailbox() {
        let told = |entry: &&(u32, Outcome)| owed(&entry.1, notify(&entry.0), false) == Some(kind);
        let told: Vec<_> = recipients.iter().filter(told).cloned().collect();
        if !told.is_empty() {
            plans.push(one(sender.clone(), false, told));
        }
    }
    if planted!(BounceToNull) && message.envelope.sender == Sender::Null && message.origin != Origin::Report {
        plans.push(one(Mailbox::new("", ""), false, recipients.to_vec()));
    }
    if !recipients.is_empty()
        && let Some(postmaster) = postmaster(kind, message.envelope.sender == Sender::Null, params)
    {
        plans.push(one(postmaster, true, recipients.to_vec()));
    }
    plans
}

/// [`plan`], of which only the addressees are wanted: whom to tell, and whether it is the postmaster.
#[must_use]
pub fn plans(
    params: &Params,
    kind: Kind,
    message: &Message,
    recipients: Vec<(u32, Outcome)>,
) -> Vec<(Mailbox, bool)> {
    let plans = plan(kind, message, &recipients, params);
    drop(recipients);
    plans.into_iter().map(|plan| (plan.to, plan.double_bounce)).collect()
}

/// The postmaster who gets a copy of a report of this kind, if `notify_classes` wants one.
fn postmaster(kind: Kind, null_sender: bool, params: &Params) -> Option<Mailbox> {
    let (wanted, recipient) = match kind {
        Kind::Failure if null_sender => (params.notify_2bounce, &params.double_bounce_notice_recipient),
        Kind::Failure => (params.notify_bounce, &params.bounce_notice_recipient),
        Kind::Delay => (params.notify_delay, &params.delay_notice_recipient),
        Kind::Success => return None,
    };
    wanted.then(|| address_list::mailboxes(recipient).into_iter().next()).flatten()
}

/// A notice or a copy for a postmaster: nobody is told when it fails, so that the log must.
#[must_use]
pub fn is_for_the_postmaster(message: &Message, params: &Params) -> bool {
    message.origin == Origin::Notice || is_double_bounce(&message.envelope.sender, params)
}

fn is_double_bounce(sender: &Sender, params: &Params) -> bool {
    let Some(mailbox) = sender.mailbox() else { return false };
    let ours = mailbox.domain().is_empty() || mailbox.domain().eq_ignore_ascii_case(&params.myhostname);
    ours && mailbox.local().eq_ignore_ascii_case(&params.double_bounce_sender)
}

/// The envelope of a report. Its recipient may lack a domain, which the submission adds. What a report is about decides
/// whether it needs SMTPUTF8; `content` whether it needs 8BITMIME.
#[must_use]
pub fn envelope(plan: &Plan, params: &Params, content: &[u8], at: Timestamp) -> Envelope {
    let sender = if plan.double_bounce {
        Sender::Mailbox(Mailbox::new(&params.double_bounce_sender, &params.myhostname))
    } else {
        Sender::Null
    };
    Envelope {
        sender,
        recipients: vec![Recipient::new(plan.to.clone())],
        arrived: at,
        body: if content.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
        smtputf8: plan.about.envelope.smtputf8,
        client: ClientFacts::default(),
        ..Envelope::default()
    }
}

/// What made the report, for [`crate::cleanup::Draft`].
#[must_use]
pub const fn origin(plan: &Plan) -> Origin {
    if plan.double_bounce { Origin::Notice } else { Origin::Report }
}
