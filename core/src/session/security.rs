//! STARTTLS, and what is forgotten afterwards.
//!
//! Promise: nothing that was said in the clear holds inside TLS (RFC 3207 4.2), and nothing that came in the clear is obeyed there.

use super::stage::{Pending, Stage};
use super::{ServerTls, Session, replies};
use crate::event::Event;
use crate::mail::TlsFacts;
use crate::time::Now;
use crate::wire::command::Verb;

impl Session {
    /// STARTTLS.
    pub(super) fn start_tls(&mut self, now: Now, arguments: &str) {
        let refusal = if !arguments.is_empty() {
            Some(replies::STARTTLS_SYNTAX)
        } else if self.tls.is_some() {
            Some(replies::TLS_ALREADY)
        } else if self.params.tls_level == ServerTls::None || self.discards("STARTTLS") {
            Some(replies::NOT_IMPLEMENTED)
        } else if !self.params.tls_ready {
            Some(replies::NO_TLS_NOW)
        } else {
            None
        };
        if let Some(row) = refusal {
            return self.say(now, &row.reply(), false);
        }
        if !self.backlog.waiting().is_empty() {
            let client = self.client();
            self.warn(format!("improper command pipelining after STARTTLS from {client}: discarded"));
            self.discard();
        }
        self.abandon();
        self.say(now, &replies::READY_FOR_TLS.reply(), true);
        self.deadline = now.mono.after(self.params.starttls_timeout);
        self.stage = Stage::Securing { started: false };
    }

    /// TLS before the greeting (smtpd_tls_wrappermode).
    pub(super) fn wrap(&mut self, now: Now) {
        if !self.params.tls_ready {
            self.warn("TLS wrapper mode without a certificate: the connection is closed".to_owned());
            self.closing = true;
            return;
        }
        self.deadline = now.mono.after(self.params.starttls_timeout);
        self.stage = Stage::Securing { started: false };
    }

    /// The handshake is done: the session begins anew.
    pub(super) fn secured(&mut self, now: Now, facts: TlsFacts) {
        if !matches!(self.stage, Stage::Securing { .. }) {
            return;
        }
        if self.params.tls_log {
            let side = match (&facts.peer_name, facts.trusted) {
                (None, _) => "Anonymous",
                (Some(_), true) => "Trusted",
                (Some(_), false) => "Untrusted",
            };
            let peer = format!("from {}", self.client());
            self.event(Event::TlsEstablished {
                program: "smtpd",
                side,
                peer,
                protocol: facts.protocol.clone(),
                cipher: facts.cipher.clone(),
                bits: facts.cipher_bits,
            });
        }
        self.discard();
        self.tls = Some(facts);
        (self.hello, self.extended) = (None, false);
        self.deadline = now.mono.after(self.params.timeout);
        if self.params.tls_wrapper {
            self.judge(Pending::Connect);
        } else {
            self.stage = Stage::Command;
        }
    }

    /// The handshake failed: there is nobody left whom we understand.
    pub(super) fn tls_failed(&mut self, why: &str) {
        let client = self.client();
        self.event(Event::Note { program: "smtpd", text: format!("SSL_accept error from {client}: {why}") });
        if !self.params.tls_wrapper {
            self.tally.failed(Verb::StartTls);
        }
        self.cut("lost connection");
        self.closing = true;
    }
}
