//! What a session shows of itself: to those who judge it, and to the log.

use super::stage::{Pending, Stage};
use super::{Peer, Session, Transaction};
use crate::event::Event;
use crate::mail::TlsFacts;
use crate::wire::{Mailbox, put_address, put_decimal};

impl Session {
    /// The place of its stage in [`super::STAGES`].
    #[must_use]
    pub const fn stage(&self) -> u8 {
        self.stage.number()
    }

    /// The transaction, if one is open (or MAIL is being judged).
    #[must_use]
    pub fn transaction(&self) -> Option<&Transaction> {
        match &self.stage {
            Stage::Judging(Pending::Mail(transaction)) => Some(transaction),
            _ => self.transaction.as_ref(),
        }
    }

    /// The recipient that is being judged.
    #[must_use]
    pub fn recipient(&self) -> Option<&Mailbox> {
        match &self.stage {
            Stage::Judging(Pending::Rcpt(recipient) | Pending::Vrfy(recipient, _)) => {
                Some(&recipient.address)
            }
            _ => None,
        }
    }

    /// What the client said in HELO or EHLO, or is being judged for.
    #[must_use]
    pub fn helo(&self) -> Option<&str> {
        match &self.stage {
            Stage::Judging(Pending::Hello(hello)) => Some(&hello.name),
            _ => self.hello.as_ref().map(|hello| hello.name.as_str()),
        }
    }

    /// What TLS agreed on, if it is on.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref()
    }

    /// `SMTP`, `ESMTP`, `ESMTPS` (RFC 3848), `UTF8SMTP`, `UTF8SMTPS` (RFC 6531 4.3).
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        let utf8 = self.transaction.as_ref().is_some_and(|transaction| transaction.smtputf8);
        let extended = self.hello.as_ref().is_some_and(|hello| hello.extended);
        match (utf8, extended, self.tls.is_some()) {
            (true, _, true) => "UTF8SMTPS",
            (true, _, false) => "UTF8SMTP",
            (false, true, true) => "ESMTPS",
            (false, true, false) => "ESMTP",
            (false, false, _) => "SMTP",
        }
    }

    /// `name[address]`, with the port where that is asked for.
    #[must_use]
    pub fn client(&self) -> String {
        let Peer { address, port, .. } = self.peer;
        // Brackets, a port, and nearly every address.
        let mut text = String::with_capacity(self.name.len() + 24);
        text.push_str(&self.name);
        text.push('[');
        put_address(&mut text, address);
        text.push(']');
        if self.params.port_logging {
            text.push(':');
            put_decimal(&mut text, port);
        }
        text
    }

    /// The log line of a verdict or an action: `reject: RCPT from name[address]: text; from=<…> to=<…> proto=… helo=<…>`.
    #[must_use]
    pub fn policy_event(&self, verb: &'static str, text: String) -> Event {
        let mut details = Vec::new();
        if let Some(transaction) = self.transaction() {
            details.push(format!("from=<{}>", transaction.sender.external()));
        }
        // Behind the envelope it is the only recipient, as in Postfix's log.
        let only = || match self.transaction()?.recipients.as_slice() {
            [only] if matches!(self.place, "DATA" | "END-OF-MESSAGE") => Some(&only.address),
            _ => None,
        };
        if let Some(recipient) = self.recipient().or_else(only) {
            details.push(format!("to=<{}>", recipient.external()));
        }
        details.push(format!("proto={}", self.protocol()));
        details.extend(self.helo().map(|helo| format!("helo=<{helo}>")));
        Event::Policy {
            id: self.transaction.as_ref().and_then(|transaction| transaction.id),
            verb,
            stage: self.place,
            client: self.client(),
            text,
            details: details.join(" "),
        }
    }
}
