//! Trouble of a session, and when the postmaster is told of it: at its end, or when its minutes have become long.

use super::{Output, Session, replies};
use crate::mail::{NoticeClass, Sender};
use crate::wire::Reply;

/// Octets that replies begin with: that to EHLO fits.
const REPLIES_START: usize = 256;

impl Session {
    /// Appends a reply to those that leave together.
    pub(super) fn emit(&mut self, reply: &Reply) {
        if self.replies.capacity() == 0 {
            self.replies.reserve(REPLIES_START);
        }
        let start = self.replies.len();
        replies::emit(reply, &mut self.replies);
        self.minutes.said(self.replies.get(start..).unwrap_or_default());
    }

    /// Notes trouble, unless it is with a report or a notice of somebody: a notice about a notice would never end, and two hosts
    /// that refuse each other's could go on for ever.
    pub(super) fn note_trouble(&mut self, class: NoticeClass) {
        let of_a_machine = self.transaction().is_some_and(|transaction| match &transaction.sender {
            Sender::Null => true,
            Sender::Mailbox(mailbox) => {
                mailbox.local().eq_ignore_ascii_case(&self.params.double_bounce_sender)
            }
        });
        if !of_a_machine {
            self.minutes.trouble(class);
        }
    }

    /// Notes the trouble that a refusal of our own tells of.
    pub(super) fn note_refusal(&mut self, reply: &Reply) {
        if let Some(class) = replies::class(reply) {
            self.note_trouble(class);
        }
    }

    /// Begins new minutes where those of before have more lines than `smtpd_history_flush_threshold`.
    pub(super) fn close_long_minutes(&mut self) {
        if self.minutes.len() > self.params.history_flush_threshold {
            self.close_minutes();
        }
    }

    /// Tells the postmaster what there is to tell.
    pub(super) fn close_minutes(&mut self) {
        let mut minutes = std::mem::take(&mut self.minutes);
        if let Some(notice) = minutes.close("SMTP server", || self.client()) {
            self.outbox.put(Output::Notice(Box::new(notice)));
        }
        self.minutes = minutes;
    }
}
