//! Which reports a message owes now, and what is settled when each of them is made.
//!
//! The report room says who gets one; here they are put in order. Knows nothing of what a report looks like.

use crate::mail::{Message, Outcome, Sender, Standing};
use crate::report::{self, Kind, Plan};
use serde::{Deserialize, Serialize};

/// A report that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Draft {
    /// Its changes are still empty.
    pub(super) plan: Plan,
    /// The recipients for whom nothing is owed any more when it is made; `None` when another report of its kind follows.
    pub(super) settles: Option<Vec<u32>>,
}

/// The reports that a message owes; with `late` also one that it is late.
pub(super) fn drafts(
    params: &report::Params,
    message: &Message,
    standing: &[Standing],
    late: bool,
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for kind in [Kind::Failure, Kind::Success, Kind::Delay] {
        let people = about(kind, standing, late);
        if people.is_empty() {
            continue;
        }
        // Copies go first: when one of them is refused, all is tried again, and the sender must not hear it twice.
        let plans = report::plan(kind, message, &people, params);
        for (place, plan) in plans.into_iter().enumerate().rev() {
            let settles = (place == 0).then(|| people.iter().map(|(number, _)| *number).collect());
            drafts.push(Draft { plan, settles });
        }
    }
    drafts
}

/// An undeliverable report to the sender, as the postmaster gets it: if he wants to, and once.
pub(super) fn for_the_postmaster(params: &report::Params, draft: &Draft) -> Option<Draft> {
    if draft.plan.double_bounce || draft.plan.kind != Kind::Failure {
        return None;
    }
    let mut orphan = (*draft.plan.about).clone();
    orphan.envelope.sender = Sender::Null;
    let plans = report::plan(Kind::Failure, &orphan, &draft.plan.recipients, params);
    let plan = plans.into_iter().find(|plan| plan.double_bounce)?;
    let about = draft.plan.about.clone();
    Some(Draft { plan: Plan { about, ..plan }, settles: draft.settles.clone() })
}

/// The recipients that a report of this kind may be about; `NOTIFY` is the report room's business.
fn about(kind: Kind, standing: &[Standing], late: bool) -> Vec<(u32, Outcome)> {
    let numbered = (0u32..).zip(standing);
    numbered
        .filter_map(|(number, standing)| {
            let outcome = match (standing, kind) {
                (Standing::Owed(outcome @ Outcome::Failed(_)), Kind::Failure) => outcome.clone(),
                (Standing::Owed(Outcome::Failed(_)), _) => return None,
                (Standing::Owed(outcome), Kind::Success) => outcome.clone(),
                (Standing::Waiting(Some(why)), Kind::Delay) if late => Outcome::Deferred(why.clone()),
                _ => return None,
            };
            Some((number, outcome))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{ContentPlace, Diagnosis, Envelope, Notify, Origin, Pieces, QueueId, Recipient};
    use crate::wire::{EnhancedStatus, Mailbox};

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
            checksum: None,
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
        let params = report::Params::default();
        assert!(drafts(&params, &message(Sender::Null, Notify::default()), &failed(), true).is_empty());
        assert_eq!(drafts(&params, &message(alice(), Notify::default()), &failed(), true).len(), 1);
    }

    #[test]
    fn the_sender_s_report_comes_behind_the_postmaster_s_copy_and_settles() {
        let params = report::Params { notify_bounce: true, notify_2bounce: true, ..Default::default() };
        let drafts = drafts(&params, &message(alice(), Notify::default()), &failed(), false);
        let double: Vec<bool> = drafts.iter().map(|draft| draft.plan.double_bounce).collect();
        assert_eq!(double, [true, false]);
        assert_eq!((&drafts[0].settles, &drafts[1].settles), (&None, &Some(vec![0])));
    }

    #[test]
    fn a_copy_alone_settles_too() {
        let params = report::Params { notify_bounce: true, notify_2bounce: true, ..Default::default() };
        let drafts = drafts(&params, &message(alice(), Notify::NEVER), &failed(), false);
        assert_eq!(drafts.len(), 1);
        assert_eq!(drafts[0].settles, Some(vec![0]), "or the postmaster hears it with every attempt");
    }

    #[test]
    fn success_is_reported_where_it_was_asked_for_and_ends_here() {
        let delivered = |last_hop_for_dsn| {
            let diagnosis = Diagnosis::ours(EnhancedStatus::new(2, 0, 0), "ok");
            [Standing::Owed(Outcome::Delivered { diagnosis, last_hop_for_dsn })]
        };
        let asked = message(alice(), Notify { success: true, explicit: true, ..Notify::default() });
        let params = report::Params::default();
        assert_eq!(drafts(&params, &asked, &delivered(true), false)[0].plan.kind, Kind::Success);
        assert!(drafts(&params, &asked, &delivered(false), false).is_empty());
        assert!(drafts(&params, &message(alice(), Notify::default()), &delivered(true), false).is_empty());
    }
}
