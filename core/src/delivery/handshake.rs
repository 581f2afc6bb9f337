//! From the greeting to a server that is ready for a transaction.
//!
//! RFC 5321 3.1, 3.2, 4.1.1.1; RFC 2033 4.1; RFC 3207.

use super::{Delivery, Moment, Offer, Output, Protocol, Severity, Stage, TlsLevel, severity};
use crate::event::Event;
use crate::mail::TlsFacts;
use crate::time::Now;
use crate::wire::{EnhancedStatus, Reply};

impl Delivery {
    pub(super) fn greeted(&mut self, now: Now, reply: Reply) {
        let severity = match severity(reply.code, 2) {
            None => None,
            // RFC 5321 says to return the mail; the next host may be of another mind, so operators skip (smtp_skip_5xx_greeting).
            Some(Severity::Hard) if self.params.skip_5xx_greeting => Some(Severity::Soft),
            some => some,
        };
        if let Some(severity) = severity {
            return self.refused(Moment::Greeting, severity, reply);
        }
        let words = |word: &str| {
            reply.lines.iter().any(|line| line.split_whitespace().any(|w| w.eq_ignore_ascii_case(word)))
        };
        if self.may_be_us() && words(&self.params.hostname) {
            self.warn(format!(
                "host {} greeted me with my own hostname {}",
                self.peer.plain(),
                self.params.hostname
            ));
        }
        let esmtp = (self.params.always_send_ehlo || words("ESMTP")) && !self.params.never_send_ehlo;
        let stage = match self.params.protocol {
            Protocol::Lmtp => Stage::Lhlo,
            Protocol::Smtp if esmtp => Stage::Ehlo,
            Protocol::Smtp => Stage::Helo,
        };
        self.hello(now, stage);
    }

    fn hello(&mut self, now: Now, stage: Stage) {
        let verb = match stage {
            Stage::Lhlo => "LHLO",
            Stage::Ehlo => "EHLO",
            _ => "HELO",
        };
        self.stage = stage;
        self.send(format!("{verb} {}\r\n", self.params.hello_name));
        self.arm(now, self.params.timeouts.hello);
    }

    pub(super) fn hello_answered(&mut self, now: Now, reply: Reply) {
        if let Some(severity) = severity(reply.code, 2) {
            if self.stage == Stage::Ehlo && severity != Severity::Closing {
                return self.hello(now, Stage::Helo);
            }
            return self.refused(Moment::Hello, severity, reply);
        }
        if self.is_us(&reply) {
            return;
        }
        self.offer = Offer::default();
        if self.stage != Stage::Helo {
            let discarded = Offer::discarded(&reply, &self.params.discard_keywords);
            self.offer = Offer::read(&reply, &self.params.discard_keywords);
            let silent = self.params.discard_keywords.iter().any(|word| word == "SILENT-DISCARD");
            if !discarded.is_empty() && !silent {
                let verb = if self.stage == Stage::Lhlo { "LHLO" } else { "EHLO" };
                self.note(format!("discarding {verb} keywords: {}", discarded.join(" ")));
            }
        }
        self.choose_tls(now);
    }

    /// Only a server on the port on which we listen can be ourselves.
    fn may_be_us(&self) -> bool {
        self.params.protocol == Protocol::Smtp && self.peer.port == Some(25)
    }

    /// A host of the best preference that has our name is ourselves: mail would go round for ever.
    fn is_us(&mut self, reply: &Reply) -> bool {
        let first = reply.lines.first().and_then(|line| line.split_whitespace().next()).unwrap_or("");
        if !self.may_be_us() || !first.eq_ignore_ascii_case(&self.params.hostname) {
            return false;
        }
        self.warn(format!(
            "host {} replied to HELO/EHLO with my own hostname {}",
            self.peer.plain(),
            self.params.hostname
        ));
        if self.peer.best {
            let text = format!("mail for {} loops back to myself", self.peer.nexthop);
            let diagnosis = self.peer.ours(EnhancedStatus::new(5, 4, 6), text);
            self.host_failed(Moment::Hello, Severity::Hard, diagnosis, true);
        }
        self.peer.best
    }

    fn choose_tls(&mut self, now: Now) {
        let wanted = match self.tls {
            TlsLevel::None => false,
            TlsLevel::May => self.offer.starttls,
            TlsLevel::Encrypt | TlsLevel::Unsupported(_) => true,
        };
        if self.secured || !wanted || (planted!(ClearIfNotOffered) && !self.offer.starttls) {
            return self.begin(now);
        }
        if !self.offer.starttls {
            let text = format!("TLS is required, but was not offered by host {}", self.peer.plain());
            let diagnosis = self.peer.ours(EnhancedStatus::new(4, 7, 4), text);
            return self.host_failed(Moment::StartTls, Severity::Soft, diagnosis, true);
        }
        self.stage = Stage::StartTls;
        self.send("STARTTLS\r\n".to_owned());
        self.arm(now, self.params.timeouts.starttls);
    }

    pub(super) fn starttls_answered(&mut self, now: Now, reply: Reply) {
        match severity(reply.code, 2) {
            None => {
                self.stage = Stage::Handshake;
                self.reader.clear();
                self.out.put(Output::StartTls);
                self.arm(now, self.params.timeouts.starttls);
            }
            Some(Severity::Closing) => self.refused(Moment::StartTls, Severity::Closing, reply),
            Some(_) if self.tls == TlsLevel::May => self.begin(now),
            Some(severity) => {
                let text = format!(
                    "TLS is required, but host {} refused to start TLS: {}",
                    self.peer.plain(),
                    reply.text()
                );
                self.note_refusal(reply.code);
                let diagnosis = self.peer.theirs(reply, text);
                self.host_failed(Moment::StartTls, severity, diagnosis, true);
            }
        }
    }

    pub(super) fn secured(&mut self, now: Now, facts: TlsFacts) {
        if self.stage != Stage::Handshake {
            return;
        }
        if planted!(CertificateDecides) && !facts.trusted {
            return self.tls_failed("certificate verify failed");
        }
        self.secured = true;
        self.reader.clear();
        if self.params.tls_loglevel > 0 {
            let event = Event::TlsEstablished {
                program: self.params.protocol.program(),
                side: if facts.trusted { "Trusted" } else { "Untrusted" },
                peer: format!("to {}", self.peer.relay()),
                protocol: facts.protocol,
                cipher: facts.cipher,
                bits: facts.cipher_bits,
            };
            self.out.put(Output::Event(Box::new(event)));
        }
        let stage = if self.params.protocol == Protocol::Lmtp { Stage::Lhlo } else { Stage::Ehlo };
        self.hello(now, stage);
    }

    /// Nothing more can be said on this connection: neither side knows what the other reads.
    pub(super) fn tls_failed(&mut self, why: &str) {
        if self.stage != Stage::Handshake {
            return;
        }
        self.note(format!("SSL_connect error to {}: {why}", self.peer.relay()));
        if self.tls == TlsLevel::May || planted!(ClearAfterHandshake) {
            self.talk.tls_failed();
            return self.finish(Stage::Spent { polite: false });
        }
        let text = "Cannot start TLS: handshake failure".to_owned();
        let diagnosis = self.peer.ours(EnhancedStatus::new(4, 7, 5), text);
        self.host_failed(Moment::StartTls, Severity::Soft, diagnosis, false);
    }

    /// The server will not talk to us.
    fn refused(&mut self, moment: Moment, severity: Severity, reply: Reply) {
        self.note_refusal(reply.code);
        let text = format!("host {} refused to talk to me: {}", self.peer.plain(), reply.text());
        let diagnosis = match severity {
            Severity::Odd => self.peer.odd(reply, &text),
            _ => self.peer.theirs(reply, text),
        };
        self.host_failed(moment, severity, diagnosis, severity != Severity::Closing);
    }

    fn warn(&mut self, text: String) {
        let program = self.params.protocol.program();
        self.out.put(Output::Event(Box::new(Event::Warning { program, id: None, text })));
    }
}
