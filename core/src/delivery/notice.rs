//! Trouble of a connection that the postmaster may want to hear of (`notify_classes`), noted as smtp(8) does.
//!
//! A refusal says nothing of who is to blame; but a server that does not know our commands, or whose replies mean nothing, and a
//! client that is told so, do not keep to the protocol.

use super::{Delivery, Notice, NoticeClass, Protocol, Sender};
use crate::wire::Reply;

impl Delivery {
    /// The server said this. A reply longer than minutes want is cut there.
    pub(super) fn hear(&mut self, reply: &Reply) {
        if self.params.notify.is_empty() {
            return;
        }
        let status = reply.status.map(|status| format!("{status} ")).unwrap_or_default();
        let last = reply.lines.len().saturating_sub(1);
        for (place, line) in reply.lines.iter().enumerate() {
            let sign = if place == last { ' ' } else { '-' };
            self.minutes.heard(format!("{}{sign}{status}{line}", reply.code).as_bytes());
        }
    }

    /// A reply that ends hope for somebody: one about our commands (500 to 509, 555) or of no class that can be meant is a
    /// fault of the protocol, on whatever side.
    pub(super) fn note_refusal(&mut self, code: u16) {
        if !(400..600).contains(&code) || (500..510).contains(&code) || code == 555 {
            self.note_trouble(NoticeClass::Protocol);
        }
    }

    /// Notes trouble, unless it is with a report or a notice: a notice about a notice would never end.
    pub(super) fn note_trouble(&mut self, class: NoticeClass) {
        let of_a_machine = match &self.talk.transaction.attempt.sender {
            Sender::Null => true,
            Sender::Mailbox(mailbox) => {
                mailbox.local().eq_ignore_ascii_case(&self.params.double_bounce_sender)
            }
        };
        if !of_a_machine {
            self.minutes.trouble(class);
        }
    }

    /// The notice that is due of this connection, which ends.
    pub(crate) fn take_notice(&mut self) -> Option<Box<Notice>> {
        let side = match self.params.protocol {
            Protocol::Smtp => "SMTP client",
            Protocol::Lmtp => "LMTP client",
        };
        self.minutes.close(side, || self.peer.relay()).map(Box::new)
    }
}
