//! What access rules ask for besides their verdict, collected until the message is made (access(5)).

use crate::mail::{Envelope, Notify, Recipient};
use crate::policy::Action;
use crate::wire::Mailbox;

/// The wishes for one message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Wishes {
    /// HOLD.
    pub(super) hold: bool,
    /// DISCARD.
    pub(super) discard: bool,
    /// FILTER; the last one holds.
    filter: Option<String>,
    /// REDIRECT; the last one holds.
    redirect: Option<Mailbox>,
    /// PREPEND, in order.
    pub(super) prepend: Vec<String>,
    /// BCC, each address once.
    bcc: Vec<Mailbox>,
}

impl Wishes {
    /// One more.
    pub(super) fn take(&mut self, action: Action) {
        match action {
            Action::Hold(_) => self.hold = true,
            Action::Discard(_) => self.discard = true,
            Action::Filter(destination) => self.filter = Some(destination),
            Action::Redirect(mailbox) => self.redirect = Some(mailbox),
            // A rule that runs for each recipient prepends once.
            Action::Prepend(line) if !self.prepend.contains(&line) => self.prepend.push(line),
            Action::Bcc(mailbox) if !self.bcc.contains(&mailbox) => self.bcc.push(mailbox),
            Action::Prepend(_) | Action::Bcc(_) | Action::Log(..) => {}
        }
    }

    /// Does to the envelope what was wished for.
    pub(super) fn apply(&self, envelope: &mut Envelope) {
        if let Some(mailbox) = &self.redirect {
            let first = envelope.recipients.first();
            envelope.recipients = vec![Recipient::redirected(mailbox.clone(), first)];
        }
        for mailbox in &self.bcc {
            // Nobody who wrote to us asked for this copy: nobody is told what becomes of it.
            envelope.recipients.push(Recipient { notify: Notify::NEVER, ..Recipient::new(mailbox.clone()) });
        }
        envelope.filter.clone_from(&self.filter);
    }
}

/// Verb and text for the log.
pub(super) fn words(action: &Action) -> (&'static str, String) {
    match action {
        Action::Hold(text) => ("hold", text.clone()),
        Action::Discard(text) => ("discard", text.clone()),
        Action::Filter(destination) => ("filter", format!("triggers FILTER {destination}")),
        Action::Redirect(mailbox) => ("redirect", format!("triggers REDIRECT {}", mailbox.external())),
        Action::Prepend(line) => ("prepend", format!("triggers PREPEND {line}")),
        Action::Bcc(mailbox) => ("bcc", format!("triggers BCC {}", mailbox.external())),
        Action::Log(verb, text) => (verb, text.clone()),
    }
}
