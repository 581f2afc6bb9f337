//! What the joint tells of its decisions, to who records them and to who asks why.

use super::{Config, Decided, Inbound};
use crate::because::Because;
use crate::cleanup::Finished;
use crate::event::printable;
use crate::session::{Moment, Peer, Sort};
use crate::time::Now;
use std::ops::Range;
use std::sync::Arc;

impl Inbound {
    /// The same as [`Inbound::new`], and notes its reasons.
    #[must_use]
    pub fn listening(now: Now, config: Arc<Config>, peer: Peer) -> Self {
        Self::begin(now, config, peer, Because::heard())
    }

    /// The reasons that were noted since the last call.
    #[must_use]
    pub fn reasons(&mut self) -> Vec<String> {
        self.because.take()
    }

    /// See [`crate::session::Session::content_heard`].
    #[must_use]
    pub fn content_heard(&self) -> &[Range<u64>] {
        self.session.content_heard()
    }

    /// See [`crate::session::Session::understood`].
    #[must_use]
    pub fn understood(&self) -> u64 {
        self.session.understood()
    }

    /// Notes what was decided, behind its reasons.
    pub(super) fn tell(&mut self, decided: &Decided) {
        if !self.because.is_heard() {
            return;
        }
        match decided {
            Decided::Named(name) => {
                let (known, by_pointer) = (name.named.name.clone(), name.reverse_name.clone());
                self.because.note(|| match by_pointer == known {
                    true => format!("the client's name is {known}"),
                    false => format!("the client's name is {known}: its PTR record says {by_pointer}, which does not lead back"),
                });
            }
            Decided::Sorted(sort) => {
                let word = printable(self.session.word().unwrap_or_default());
                let words = match sort {
                    Ok(Sort::Usual) => "in no list",
                    Ok(Sort::Idle) => "in smtpd_noop_commands",
                    Ok(Sort::Foreign) => "in smtpd_forbidden_commands",
                    Err(_) => "not to be found out: a table can not answer",
                };
                self.because.note(|| format!("the command {word}: {words}"));
            }
            Decided::Judged(moment, verdict, actions) => {
                let about = self.about(*moment);
                let words = match verdict {
                    Ok(()) => format!("{about}: nothing refuses it"),
                    Err(refused) => format!(
                        "{about}: refused with {} {}",
                        refused.reply.code,
                        refused.reply.lines.join(" ")
                    ),
                };
                let count = actions.len();
                self.because.note(|| match count {
                    0 => words,
                    _ => format!("{words}; actions besides: {count}"),
                });
            }
            Decided::Finished(finished, _) => self.tell_finished(finished),
        }
    }

    fn about(&self, moment: Moment) -> String {
        match moment {
            Moment::Connect => "the connection".to_owned(),
            Moment::Hello => format!("HELO {}", printable(self.session.helo().unwrap_or_default())),
            Moment::Mail => {
                let sender = self.session.transaction().map(|transaction| transaction.sender.external());
                format!("MAIL FROM:<{}>", sender.unwrap_or_default())
            }
            Moment::Rcpt | Moment::Vrfy => {
                let verb = if moment == Moment::Rcpt { "RCPT TO" } else { "VRFY" };
                let recipient = self.session.recipient().map(crate::wire::Mailbox::external);
                format!("{verb}:<{}>", recipient.unwrap_or_default())
            }
            Moment::Data => "DATA".to_owned(),
            Moment::EndOfData => "the end of data".to_owned(),
        }
    }

    fn tell_finished(&mut self, finished: &Finished) {
        let mut words = Vec::new();
        match finished {
            Finished::Message(message) => {
                for recipient in &message.envelope.recipients {
                    if let Some(given) = &recipient.original {
                        let (to, given) = (recipient.address.external(), given.external());
                        words.push(format!("<{given}> becomes <{to}> by canonical and virtual alias tables"));
                    }
                }
                let hold = if message.hold { ", on hold" } else { "" };
                let (octets, recipients) = (message.pieces.size(), message.envelope.recipients.len());
                words.push(format!(
                    "the message {} is made: {octets} octets, recipients: {recipients}{hold}",
                    message.id
                ));
            }
            Finished::Refused(reply, _) => {
                words.push(format!(
                    "the message is refused by cleanup: {} {}",
                    reply.code,
                    reply.lines.join(" ")
                ));
            }
            Finished::Discarded => {
                words.push("the message is accepted and thrown away, as a rule says".to_owned())
            }
        }
        for text in words {
            self.because.note(|| text);
        }
    }
}
