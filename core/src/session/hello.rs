//! Greeting, HELO, EHLO, VRFY: who is there, and what we can do.

use super::stage::{Hello, Pending, Stage};
use super::{Named, Session, replies};
use crate::event::{Event, printable};
use crate::mail::Recipient;
use crate::time::Now;
use crate::wire::command::Verb;
use crate::wire::{Path, Reply};

impl Session {
    /// The client's name is known.
    pub(super) fn named(&mut self, now: Now, named: Named) {
        if self.stage != Stage::Arriving {
            return;
        }
        self.name = named.name;
        self.discard = named.discard;
        let client = self.client();
        self.event(Event::Connected { client });
        if self.params.tls_wrapper {
            return self.wrap(now);
        }
        self.judge(Pending::Connect);
    }

    /// The verdict on the connection: the greeting, or a refusal in its place.
    pub(super) fn admitted(&mut self, now: Now, verdict: Result<(), Reply>) {
        match verdict {
            Err(reply) => {
                self.denied = true;
                self.reply(now, &reply);
            }
            // RFC 5321 3.1: the server speaks first. Who does not wait may be a bot, or relayed by a browser.
            Ok(()) if self.params.forbid_unauth_pipelining && !self.backlog.waiting().is_empty() => {
                self.out_of_step(now);
            }
            Ok(()) if self.draining => {}
            Ok(()) => {
                let banner = Reply::new(220, None, self.params.banner.clone());
                self.reply(now, &banner);
            }
        }
    }

    /// HELO and EHLO.
    pub(super) fn hello(&mut self, now: Now, arguments: &str) {
        let extended = self.verb == Verb::Ehlo;
        // RFC 5321 4.1.1.1 has a domain or a literal there; what hides itself or others is not even a misspelt one.
        if arguments.is_empty() || arguments.chars().any(hides) {
            let row = if extended { replies::EHLO_SYNTAX } else { replies::HELO_SYNTAX };
            return self.say(now, &row.reply(), false);
        }
        if extended && self.discard.is_none() {
            return self.say(now, &replies::TABLE_BROKEN.reply(), false);
        }
        // RFC 5321 4.1.4: as if RSET had been said.
        self.hello = None;
        self.abandon();
        self.close_long_minutes();
        self.judge(Pending::Hello(Hello { name: printable(arguments), extended }));
    }

    /// It may introduce itself.
    pub(super) fn welcome(&mut self, now: Now, hello: Hello) {
        let mut lines = vec![self.params.host.clone()];
        if hello.extended {
            lines.extend(self.keywords());
        }
        // Who says HELO after EHLO has seen the offer all the same.
        self.extended |= hello.extended;
        self.hello = Some(hello);
        self.say(now, &Reply { code: 250, status: None, lines }, true);
    }

    /// What we offer, in Postfix's order.
    fn keywords(&self) -> Vec<String> {
        let size = match self.params.message_size_limit {
            0 => "SIZE".to_owned(),
            limit => format!("SIZE {limit}"),
        };
        let offers: [(&str, bool, &str); 9] = [
            ("PIPELINING", true, "PIPELINING"),
            ("SIZE", true, &size),
            ("VRFY", !self.params.disable_vrfy, "VRFY"),
            ("STARTTLS", self.params.offers_tls() && self.tls.is_none(), "STARTTLS"),
            ("ENHANCEDSTATUSCODES", true, "ENHANCEDSTATUSCODES"),
            ("8BITMIME", true, "8BITMIME"),
            ("DSN", true, "DSN"),
            ("SMTPUTF8", self.params.smtputf8, "SMTPUTF8"),
            ("CHUNKING", true, "CHUNKING"),
        ];
        offers
            .into_iter()
            .filter(|(keyword, on, _)| *on && !self.discards(keyword))
            .map(|(_, _, text)| text.to_owned())
            .collect()
    }

    /// Whether an EHLO keyword is kept from this client; then its command does not work either.
    pub(super) fn discards(&self, keyword: &str) -> bool {
        self.discard.as_ref().is_some_and(|discard| discard.has(keyword))
    }

    /// VRFY.
    pub(super) fn vrfy(&mut self, now: Now, arguments: &str) {
        if self.params.disable_vrfy {
            return self.say(now, &replies::VRFY_DISABLED.reply(), false);
        }
        let address = arguments.strip_suffix(" SMTPUTF8").unwrap_or(arguments).trim();
        if address.is_empty() {
            return self.say(now, &replies::VRFY_SYNTAX.reply(), false);
        }
        match Path::parse(address, false) {
            Ok((Path::Mailbox(mailbox), "")) => {
                let text = address.to_owned();
                self.judge(Pending::Vrfy(Box::new(Recipient::new(mailbox)), text));
            }
            _ => self.say(now, &replies::BAD_RECIPIENT.reply(), false),
        }
    }
}

/// Characters that are not seen, or change how others are: controls, and the marks that turn the direction of text.
fn hides(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
