//! The checks behind single restrictions: relaying, names, users.

use super::access::fitted;
use super::names::{is_helo_name, is_host_name, is_literal};
use super::program::Subject;
use super::run::{About, Flow, Run};
use super::why;
use crate::ask::{DnsFailure, DnsRecord, Pause, RecordKind};
use crate::mail::{NoticeClass, RouteClass, Sender};
use crate::rewrite::Role;
use crate::wire::Mailbox;

/// What the resolver says of a domain.
enum Domain {
    /// It has an MX or an address.
    Known,
    /// It says that it takes no mail (RFC 7505).
    NullMx,
    Unknown,
    TryAgain,
}

impl Run<'_> {
    pub(super) fn is_of_mynetworks(&mut self) -> Result<bool, Pause> {
        let client = self.at.client;
        let Some(address) = client.address else { return Ok(false) };
        self.asking(Subject::Client);
        let networks = &self.policy.params.mynetworks;
        let listed = networks.matches_client(&client.name, address, self.facts)?;
        self.find(|_| {
            let is = if listed { "is" } else { "is not" };
            format!("client {address} {is} in mynetworks ({})", networks.text())
        });
        Ok(listed)
    }

    /// Whether we take mail for the recipient from anybody; `None` without a recipient.
    pub(super) fn is_auth_destination(&mut self) -> Result<Option<bool>, Pause> {
        let Some(recipient) = self.at.recipient else { return Ok(None) };
        self.asking(Subject::Recipient);
        let resolved = self.rewrite.resolve(recipient, self.facts)?;
        if resolved.routed && !self.policy.params.allow_untrusted_routing {
            self.find(|_| "the recipient asks to be routed on (allow_untrusted_routing)".to_owned());
            return Ok(Some(false));
        }
        self.find(|_| format!("{} {}", resolved.mailbox.domain(), why::class(resolved.class)));
        Ok(Some(resolved.class != RouteClass::Default))
    }

    pub(super) fn unauth_destination(&mut self, code: u16, status: &str) -> Result<Flow, Pause> {
        Ok(match self.is_auth_destination()? {
            Some(false) => {
                let text = format!("<{}>: Relay access denied", self.about(Subject::Recipient).name);
                self.refuse(code, status, &text)
            }
            Some(true) | None => Flow::Dunno,
        })
    }

    fn mailbox(&self, subject: Subject) -> Option<&Mailbox> {
        match subject {
            Subject::Sender => self.at.sender.and_then(Sender::mailbox),
            Subject::Recipient => self.at.recipient,
            Subject::Client | Subject::ReverseClient | Subject::Helo => None,
        }
    }

    fn rejected(about: &About, what: &str) -> String {
        format!("<{}>: {} rejected: {what}", about.name, about.class)
    }

    pub(super) fn non_fqdn(&mut self, subject: Subject) -> Flow {
        let about = self.about(subject);
        let code = self.policy.params.codes.non_fqdn;
        if subject == Subject::Helo {
            return match self.at.helo {
                Some(helo) if helo.starts_with('[') => self.invalid_helo(),
                Some(helo) if !is_host_name(helo) || !helo.trim_end_matches('.').contains('.') => {
                    let text = Self::rejected(&about, "need fully-qualified hostname");
                    self.refuse(code, "5.5.2", &text)
                }
                _ => Flow::Dunno,
            };
        }
        let Some(mailbox) = self.mailbox(subject) else { return Flow::Dunno };
        let domain = mailbox.domain();
        let postmaster = domain.is_empty() && mailbox.local().eq_ignore_ascii_case("postmaster");
        let whole =
            is_literal(domain) || (is_host_name(domain) && domain.trim_end_matches('.').contains('.'));
        if whole || postmaster {
            return Flow::Dunno;
        }
        self.refuse(code, "5.5.2", &Self::rejected(&about, "need fully-qualified address"))
    }

    pub(super) fn invalid_helo(&mut self) -> Flow {
        let Some(helo) = self.at.helo else { return Flow::Dunno };
        let what = match helo.starts_with('[') {
            true if is_literal(helo) => return Flow::Dunno,
            true => "invalid ip address",
            false if is_helo_name(helo) => return Flow::Dunno,
            false => "Invalid name",
        };
        let text = Self::rejected(&self.about(Subject::Helo), what);
        self.refuse(self.policy.params.codes.invalid_hostname, "5.5.2", &text)
    }

    /// The reject_unknown_… restrictions.
    pub(super) fn unknown(&mut self, subject: Subject) -> Result<Flow, Pause> {
        match subject {
            Subject::Client => Ok(self.unknown_client("your hostname", &self.at.client.name)),
            Subject::ReverseClient => Ok(self.unknown_client("your reverse hostname", self.at.reverse_name)),
            Subject::Helo => self.unknown_helo(),
            Subject::Sender | Subject::Recipient => self.unknown_address(subject),
        }
    }

    fn unknown_client(&mut self, what: &str, name: &str) -> Flow {
        let Some(address) = self.at.client.address.filter(|_| name == "unknown") else { return Flow::Dunno };
        let text = format!("Client host rejected: cannot find {what}, [{address}]");
        self.refuse(self.policy.params.codes.unknown_client, "4.7.25", &text)
    }

    fn unknown_helo(&mut self) -> Result<Flow, Pause> {
        let Some(helo) = self.at.helo else { return Ok(Flow::Dunno) };
        if helo.starts_with('[') {
            return Ok(self.invalid_helo());
        }
        let text = Self::rejected(&self.about(Subject::Helo), "Host not found");
        let params = &self.policy.params;
        Ok(match self.resolve(helo)? {
            Domain::Known | Domain::NullMx => Flow::Dunno,
            Domain::TryAgain if params.helo_tempfail_defers => self.refuse(450, "4.7.1", &text),
            Domain::TryAgain => self.doubt_permit(450, "4.7.1", &text),
            Domain::Unknown => self.refuse(params.codes.unknown_hostname, "4.7.1", &text),
        })
    }

    fn unknown_address(&mut self, subject: Subject) -> Result<Flow, Pause> {
        let Some(mailbox) = self.mailbox(subject).cloned() else { return Ok(Flow::Dunno) };
        self.asking(subject);
        let resolved = self.rewrite.resolve(&mailbox, self.facts)?;
        let domain = resolved.mailbox.domain();
        if resolved.class != RouteClass::Default || is_literal(domain) {
            return Ok(Flow::Dunno);
        }
        let about = self.about(subject);
        let sender = subject == Subject::Sender;
        let status = if sender { "4.1.8" } else { "4.1.2" };
        let text = Self::rejected(&about, "Domain not found");
        let params = &self.policy.params;
        Ok(match self.resolve(domain)? {
            Domain::Known => Flow::Dunno,
            Domain::NullMx => {
                let text = Self::rejected(&about, &format!("Domain {domain} does not accept mail (nullMX)"));
                let (code, status) = if sender { (550, "5.7.27") } else { (556, "5.1.10") };
                self.refuse(code, status, &text)
            }
            Domain::TryAgain if params.address_tempfail_defers => self.refuse(450, status, &text),
            Domain::TryAgain => self.doubt_permit(450, status, &text),
            Domain::Unknown => self.refuse(params.codes.unknown_address, status, &text),
        })
    }

    fn resolve(&self, name: &str) -> Result<Domain, Pause> {
        let name = name.trim_end_matches('.').to_lowercase();
        if !is_host_name(&name) {
            return Ok(Domain::Unknown);
        }
        for kind in [RecordKind::Mx, RecordKind::A, RecordKind::Aaaa] {
            match self.facts.resolve(&name, kind)? {
                Ok(answer) => {
                    let null = |record: &DnsRecord| matches!(record, DnsRecord::Mx { exchange, .. } if exchange.is_empty());
                    return Ok(if answer.records.iter().all(null) { Domain::NullMx } else { Domain::Known });
                }
                Err(DnsFailure::TryAgain | DnsFailure::Short) => return Ok(Domain::TryAgain),
                Err(DnsFailure::NoSuchName | DnsFailure::BadName) => return Ok(Domain::Unknown),
                Err(DnsFailure::NoSuchRecord) => {}
            }
        }
        Ok(Domain::Unknown)
    }

    /// Refuses an address that no table of its class knows.
    pub(super) fn unlisted(&mut self, subject: Subject) -> Result<Flow, Pause> {
        let role = if subject == Subject::Sender { Role::Sender } else { Role::Recipient };
        match role {
            Role::Sender => self.checked_sender = true,
            Role::Recipient => self.checked_recipient = true,
        }
        let Some(mailbox) = self.mailbox(subject).cloned() else { return Ok(Flow::Dunno) };
        self.asking(subject);
        let Some(unlisted) = self.rewrite.unlisted(&mailbox, role, self.facts)? else {
            return Ok(Flow::Dunno);
        };
        self.find(|_| format!("{}: {}", mailbox.external(), unlisted.why));
        let about = self.about(subject);
        let codes = self.policy.params.codes;
        let code = match unlisted.class {
            _ if unlisted.temporary => 450,
            RouteClass::VirtualAlias => codes.unknown_virtual_alias,
            // An error route: it has no code of its own.
            _ if unlisted.status.is_some() || !unlisted.why.starts_with("User unknown") => 550,
            RouteClass::Local => codes.unknown_local,
            RouteClass::VirtualMailbox => codes.unknown_virtual_mailbox,
            RouteClass::Relay => codes.unknown_relay,
            RouteClass::Default => 550,
        };
        let unknown = if role == Role::Sender { "5.1.0" } else { "5.1.1" };
        let status =
            unlisted.status.map_or_else(|| unknown.to_owned(), |status| fitted(&status, about.class));
        let flow = self.refuse(code, &status, &Self::rejected(&about, &unlisted.why));
        // Mail to nobody would come back: it is refused in place of a bounce.
        self.class = NoticeClass::Bounce;
        Ok(flow)
    }

    pub(super) fn multi_recipient_bounce(&mut self, about: &About) -> Flow {
        // At RCPT the recipient that is asked about is not counted yet.
        let allowed = u32::from(!matches!(self.stage, super::Stage::Rcpt | super::Stage::Vrfy));
        if self.at.sender != Some(&Sender::Null) || self.at.recipients <= allowed {
            return Flow::Dunno;
        }
        let text = Self::rejected(about, "Multi-recipient bounce");
        self.refuse(self.policy.params.codes.multi_recipient_bounce, "5.5.3", &text)
    }
}
