//! Which reports a message owes, and to whom.
//!
//! RFC 3461 5.2: failures unless `NOTIFY` said otherwise; success where it was asked for and nobody behind us will say it;
//! delay where the site sends such. Mail from the null sender is never answered; the postmaster may hear of it.
//! Knows nothing of what a report looks like.

use crate::mail::{Message, Origin, Outcome, Recipient, Sender, Standing};
use crate::params::Settings;
use crate::report::Kind;
use crate::wire::Mailbox;

/// Who hears of mail that can not be returned.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReportRule {
    /// The postmaster hears of undeliverable reports (`2bounce` or `bounce` in `notify_classes`).
    pub double_bounces: bool,
    /// His address (`2bounce_notice_recipient`).
    pub postmaster: Mailbox,
}

impl Default for ReportRule {
    fn default() -> Self {
        Self { double_bounces: false, postmaster: Mailbox::new("postmaster", "") }
    }
}

impl ReportRule {
    pub(super) fn new(settings: &Settings) -> Self {
        let classes = settings.list("notify_classes");
        let address = settings.text("2bounce_notice_recipient");
        let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        Self {
            double_bounces: classes.iter().any(|class| class == "2bounce" || class == "bounce"),
            postmaster: Mailbox::new(local, domain),
        }
    }
}

/// A report that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) to: Mailbox,
    pub(super) double_bounce: bool,
    pub(super) recipients: Vec<(u32, Outcome)>,
    /// It is the last of its kind: what it tells is then told.
    pub(super) settles: bool,
}

/// Whom a report goes to, and whether because the sender is null. The first is the one that counts; others are copies.
fn addressees(rule: &ReportRule, kind: Kind, message: &Message) -> Vec<(Mailbox, bool)> {
    match (&message.envelope.sender, message.origin) {
        (_, Origin::Notice) => Vec::new(),
        (Sender::Mailbox(sender), _) => vec![(sender.clone(), false)],
        (Sender::Null, _) if kind == Kind::Failure && rule.double_bounces => {
            vec![(rule.postmaster.clone(), true)]
        }
        (Sender::Null, _) => Vec::new(),
    }
}

/// What a final outcome asks for, or nothing.
fn kind_of(recipient: &Recipient, outcome: &Outcome) -> Option<Kind> {
    let notify = recipient.notify;
    match outcome {
        Outcome::Failed(_) => notify.failure.then_some(Kind::Failure),
        Outcome::Delivered { last_hop_for_dsn: true, .. } | Outcome::Expanded(_) | Outcome::Discarded(_) => {
            notify.success.then_some(Kind::Success)
        }
        Outcome::Delivered { .. } | Outcome::Deferred(_) => None,
    }
}

/// The reports that a message owes; with `late` also one that it is late.
pub(super) fn drafts(rule: &ReportRule, message: &Message, standing: &[Standing], late: bool) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for kind in [Kind::Failure, Kind::Success, Kind::Delay] {
        let people = about(kind, message, standing, late);
        if people.is_empty() {
            continue;
        }
        // Copies go first: when one of them is refused, all is tried again, and the sender must not hear it twice.
        let addressees = addressees(rule, kind, message);
        for (place, (to, double_bounce)) in addressees.into_iter().enumerate().rev() {
            let recipients = people.clone();
            drafts.push(Draft { kind, to, double_bounce, recipients, settles: place == 0 });
        }
    }
    drafts
}

fn about(kind: Kind, message: &Message, standing: &[Standing], late: bool) -> Vec<(u32, Outcome)> {
    let people = (0u32..).zip(message.envelope.recipients.iter().zip(standing));
    people
        .filter_map(|(number, (recipient, standing))| match standing {
            Standing::Owed(outcome) if kind_of(recipient, outcome) == Some(kind) => {
                Some((number, outcome.clone()))
            }
            Standing::Waiting(Some(why)) if kind == Kind::Delay && late && recipient.notify.delay => {
                Some((number, Outcome::Deferred(why.clone())))
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{ContentPlace, Diagnosis, Envelope, Notify, Pieces, QueueId};
    use crate::wire::EnhancedStatus;

    fn message(sender: Sender, notify: Notify) -> Message {
        let recipient = Recipient { notify, ..Recipient::new(Mailbox::new("b", "example.org")) };
        Message {
            id: QueueId(1),
            envelope: Envelope { sender, recipients: vec![recipient], ..Envelope::default() },
            pieces: Pieces::default(),
            place: ContentPlace::Inline,
            stored: 0,
            origin: Origin::Submitted,
            message_id: String::new(),
            hold: false,
            unknown: Vec::new(),
        }
    }

    fn failed() -> [Standing; 1] {
        [Standing::Owed(Outcome::Failed(Diagnosis::ours(EnhancedStatus::new(5, 1, 1), "no")))]
    }

    fn alice() -> Sender {
        Sender::Mailbox(Mailbox::new("alice", "example.com"))
    }

    #[test]
    fn null_sender_never_gets_a_report() {
        let rule = ReportRule::default();
        assert!(drafts(&rule, &message(Sender::Null, Notify::default()), &failed(), true).is_empty());
        assert_eq!(drafts(&rule, &message(alice(), Notify::default()), &failed(), true).len(), 1);
    }

    #[test]
    fn the_postmaster_hears_of_double_bounces_if_he_wants_but_never_of_notices() {
        let rule = ReportRule { double_bounces: true, ..ReportRule::default() };
        let mut message = message(Sender::Null, Notify::default());
        assert!(drafts(&rule, &message, &failed(), false)[0].double_bounce);
        message.origin = Origin::Notice;
        assert!(drafts(&rule, &message, &failed(), false).is_empty());
    }

    #[test]
    fn notify_never_means_no_report() {
        let message = message(alice(), Notify::NEVER);
        assert!(drafts(&ReportRule::default(), &message, &failed(), true).is_empty());
    }

    #[test]
    fn success_is_reported_where_it_was_asked_for_and_ends_here() {
        let delivered = |last_hop_for_dsn| {
            let diagnosis = Diagnosis::ours(EnhancedStatus::new(2, 0, 0), "ok");
            [Standing::Owed(Outcome::Delivered { diagnosis, last_hop_for_dsn })]
        };
        let asked = message(alice(), Notify { success: true, explicit: true, ..Notify::default() });
        let rule = ReportRule::default();
        assert_eq!(drafts(&rule, &asked, &delivered(true), false)[0].kind, Kind::Success);
        assert!(drafts(&rule, &asked, &delivered(false), false).is_empty());
        assert!(drafts(&rule, &message(alice(), Notify::default()), &delivered(true), false).is_empty());
    }
}
