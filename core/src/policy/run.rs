//! One run of the lists of a stage.
//!
//! A run is a function of its facts and starts over after each pause, so it keeps nothing between runs.
//! Bounded: classes within classes, and rules in all.

use super::program::{Rule, Subject};
use super::why;
use super::{Action, Policy, Situation, Stage};
use crate::ask::{Facts, Pause};
use crate::because::Because;
use crate::mail::{NoticeClass, Sender};
use crate::rewrite::Rewrite;
use crate::wire::{EnhancedStatus, Reply};

/// Lists within lists (Postfix has the same bound).
pub(super) const DEPTH_MAX: usize = 100;
/// Rules of one run: classes that name one another can make a short configuration long.
const RULES_MAX: usize = 10_000;

/// What a rule or a list came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flow {
    /// Nothing: the next rule.
    Dunno,
    /// The end of the list: yes.
    Permit,
    /// The end of all: no.
    Refuse(Reply),
}

/// Whom a reply is about: `<name>: class rejected: …`.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) class: &'static str,
}

/// The state of a run.
pub(super) struct Run<'a> {
    pub(super) policy: &'a Policy,
    pub(super) stage: Stage,
    pub(super) at: &'a Situation<'a>,
    pub(super) rewrite: &'a Rewrite,
    pub(super) facts: &'a Facts,
    pub(super) actions: Vec<Action>,
    /// What is said in place of a permission.
    defer_if_permit: Option<Reply>,
    /// What is said in place of a refusal for ever.
    defer_if_reject: Option<Reply>,
    /// The depth at which warn_if_reject was said, while it holds.
    warned_at: Option<usize>,
    depth: usize,
    rules: usize,
    /// DISCARD was said: nothing matters any more.
    pub(super) discarded: bool,
    pub(super) checked_sender: bool,
    pub(super) checked_recipient: bool,
    /// Whom a table was asked about last.
    asked_about: Option<Subject>,
    /// What kind of trouble the last refusal is.
    pub(super) class: NoticeClass,
    pub(super) because: Because,
    /// The parameter whose list runs, and what a rule found, both for who asks why.
    parameter: &'static str,
    found: Option<String>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        policy: &'a Policy,
        stage: Stage,
        at: &'a Situation<'a>,
        rewrite: &'a Rewrite,
        facts: &'a Facts,
    ) -> Self {
        Self {
            policy,
            stage,
            at,
            rewrite,
            facts,
            actions: Vec::new(),
            defer_if_permit: None,
            defer_if_reject: None,
            warned_at: None,
            depth: 0,
            rules: 0,
            discarded: false,
            checked_sender: false,
            checked_recipient: false,
            asked_about: None,
            class: NoticeClass::Policy,
            because: Because::default(),
            parameter: "",
            found: None,
        }
    }

    /// Remembers what a rule found, if anybody wants to know.
    pub(super) fn find(&mut self, words: impl FnOnce(&Self) -> String) {
        if self.because.is_heard() {
            self.found = Some(words(self));
        }
    }

    fn explain(&mut self, rule: &Rule, flow: &Flow) {
        let (parameter, found) = (self.parameter, self.found.take());
        // What such a rule found is said by the rules within it.
        if matches!(rule, Rule::Class(_)) && *flow == Flow::Dunno {
            return;
        }
        self.because.note(|| {
            let found = found.map(|found| format!(": {found}")).unwrap_or_default();
            format!("{parameter}: {} {}{found}", rule.words(), why::came(flow))
        });
    }

    /// Runs the lists of the stage, in Postfix's order.
    pub(super) fn stage(&mut self) -> Result<Flow, Pause> {
        let params = &self.policy.params;
        let lists = &self.policy.lists;
        let flow = match self.stage {
            Stage::Client | Stage::Helo | Stage::Mail if params.delay_reject => return Ok(Flow::Permit),
            Stage::Client => self.client()?,
            Stage::Helo => self.helo()?,
            Stage::Mail => self.mail()?,
            Stage::Rcpt | Stage::Vrfy => self.rcpt()?,
            Stage::Data => {
                self.parameter = "smtpd_data_restrictions";
                self.fresh(&lists.data, &About { name: "DATA".into(), class: "Data command" })?
            }
            Stage::EndOfData => {
                self.parameter = "smtpd_end_of_data_restrictions";
                let about = About { name: "END-OF-MESSAGE".into(), class: "End-of-data" };
                self.fresh(&lists.end_of_data, &about)?
            }
        };
        Ok(self.or_deferred(flow))
    }

    /// A permission that some earlier rule had doubts about is put off.
    fn or_deferred(&mut self, flow: Flow) -> Flow {
        match (flow, self.defer_if_permit.take()) {
            (Flow::Refuse(reply), _) => Flow::Refuse(reply),
            (_, Some(reply)) => Flow::Refuse(reply),
            (flow, None) => flow,
        }
    }

    fn client(&mut self) -> Result<Flow, Pause> {
        self.parameter = "smtpd_client_restrictions";
        self.fresh_about(&self.policy.lists.client, Subject::Client)
    }

    fn helo(&mut self) -> Result<Flow, Pause> {
        if self.at.helo.is_none() {
            return Ok(Flow::Dunno);
        }
        self.parameter = "smtpd_helo_restrictions";
        self.fresh_about(&self.policy.lists.helo, Subject::Helo)
    }

    fn mail(&mut self) -> Result<Flow, Pause> {
        if self.at.sender.is_none() {
            return Ok(Flow::Dunno);
        }
        self.parameter = "smtpd_sender_restrictions";
        let flow = self.fresh_about(&self.policy.lists.sender, Subject::Sender)?;
        let wanted = self.policy.params.reject_unlisted_sender && !self.checked_sender && !self.discarded;
        if wanted && !matches!(flow, Flow::Refuse(_)) {
            self.parameter = "smtpd_reject_unlisted_sender";
            let unlisted = self.unlisted(Subject::Sender)?;
            self.explain(&Rule::RejectUnlisted(Subject::Sender), &unlisted);
            return Ok(match unlisted {
                Flow::Refuse(reply) => Flow::Refuse(reply),
                _ => flow,
            });
        }
        Ok(flow)
    }

    fn rcpt(&mut self) -> Result<Flow, Pause> {
        if self.policy.params.delay_reject {
            for list in [Self::client, Self::helo, Self::mail] {
                if let refusal @ Flow::Refuse(_) = list(self)? {
                    return Ok(refusal);
                }
            }
        }
        let about = self.about(Subject::Recipient);
        let lists = &self.policy.lists;
        let relay_first = self.policy.params.relay_first;
        let relay = ("smtpd_relay_restrictions", &lists.relay);
        let recipient = ("smtpd_recipient_restrictions", &lists.recipient);
        let [first, second] = if relay_first { [relay, recipient] } else { [recipient, relay] };
        self.parameter = first.0;
        let mut flow = self.fresh(first.1, &about)?;
        if !matches!(flow, Flow::Refuse(_)) {
            self.parameter = second.0;
            flow = self.list(second.1, &about)?;
        }
        let flow = self.or_deferred(flow);
        let wanted =
            self.policy.params.reject_unlisted_recipient && !self.checked_recipient && !self.discarded;
        if wanted && !matches!(flow, Flow::Refuse(_)) {
            self.parameter = "smtpd_reject_unlisted_recipient";
            let unlisted = self.unlisted(Subject::Recipient)?;
            self.explain(&Rule::RejectUnlisted(Subject::Recipient), &unlisted);
            return Ok(unlisted);
        }
        Ok(flow)
    }

    /// A list with which doubts about refusals begin anew; doubts about permissions last.
    fn fresh(&mut self, rules: &[Rule], about: &About) -> Result<Flow, Pause> {
        self.defer_if_reject = None;
        self.warned_at = None;
        self.list(rules, about)
    }

    /// The same for a list that is often empty: then nobody is named.
    fn fresh_about(&mut self, rules: &[Rule], subject: Subject) -> Result<Flow, Pause> {
        let about = if rules.is_empty() { About::default() } else { self.about(subject) };
        self.fresh(rules, &about)
    }

    /// Runs a list.
    pub(super) fn list(&mut self, rules: &[Rule], about: &About) -> Result<Flow, Pause> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Ok(self.server_error("smtpd restriction lists are nested without end"));
        }
        let mut flow = Flow::Dunno;
        for rule in rules {
            self.rules += 1;
            if self.rules > RULES_MAX {
                return Ok(self.server_error("too many smtpd restrictions in one decision"));
            }
            if self.discarded {
                break;
            }
            if *rule == Rule::WarnIfReject {
                self.warned_at.get_or_insert(self.depth);
                continue;
            }
            flow = self.rule(rule, about)?;
            self.explain(rule, &flow);
            if self.warned_at.is_some_and(|depth| depth >= self.depth) {
                self.warned_at = None;
            }
            if flow != Flow::Dunno || (self.defer_if_permit.is_some() && self.defer_if_reject.is_some()) {
                break;
            }
        }
        self.depth -= 1;
        Ok(flow)
    }

    fn rule(&mut self, rule: &Rule, about: &About) -> Result<Flow, Pause> {
        let codes = self.policy.params.codes;
        let yes = |found: bool| if found { Flow::Permit } else { Flow::Dunno };
        let text = |what: &str| format!("<{}>: {} rejected: {what}", about.name, about.class);
        Ok(match rule {
            Rule::Permit => Flow::Permit,
            Rule::Reject => self.refuse(codes.reject, "5.7.1", &text("Access denied")),
            Rule::Defer => self.refuse(codes.defer, "4.3.2", &text("Try again later")),
            Rule::DeferIfPermit => self.doubt_permit(450, "4.7.0", &text("defer_if_permit requested")),
            Rule::DeferIfReject => self.doubt_reject(450, "4.7.0", &text("defer_if_reject requested")),
            Rule::WarnIfReject | Rule::Nothing => Flow::Dunno,
            Rule::PermitMynetworks => yes(self.is_of_mynetworks()?),
            Rule::PermitInetInterfaces => {
                yes(self.at.client.address.is_some_and(|address| self.rewrite.is_own_address(address)))
            }
            Rule::PermitSaslAuthenticated => yes(self.at.sasl_user.is_some()),
            Rule::PermitAuthDestination => yes(self.is_auth_destination()?.unwrap_or(false)),
            Rule::RejectUnauthDestination => self.unauth_destination(codes.relay_domains, "5.7.1")?,
            Rule::DeferUnauthDestination => {
                self.unauth_destination(codes.relay_domains % 100 + 400, "4.7.1")?
            }
            Rule::RejectNonFqdn(subject) => self.non_fqdn(*subject),
            Rule::RejectInvalidHelo => self.invalid_helo(),
            Rule::RejectUnknown(subject) => self.unknown(*subject)?,
            Rule::RejectUnlisted(subject) => self.unlisted(*subject)?,
            Rule::RejectMultiRecipientBounce => self.multi_recipient_bounce(about),
            Rule::RejectPlaintextSession if self.at.tls.is_none() => {
                self.refuse(codes.plaintext, "4.7.1", "Session encryption is required")
            }
            Rule::RejectPlaintextSession => Flow::Dunno,
            Rule::Access(subject, table) => self.access(*subject, table)?,
            Rule::Class(name) => match self.policy.classes.get(name) {
                Some(rules) => self.list(rules, about)?,
                None => self.server_error(&format!("restriction class `{name}' needs a definition")),
            },
            Rule::MissingPermit(_) => self.doubt_reject(451, "4.3.5", "Server configuration error"),
            Rule::MissingReject(word) => self.missing(word),
            Rule::Mistake(why) => self.server_error(why),
        })
    }

    /// A restriction that might have refused: behind warn_if_reject it could only have warned.
    fn missing(&mut self, word: &str) -> Flow {
        let why = format!("restriction {word} does not work yet");
        if self.warned_at.is_some() {
            self.actions.push(Action::Log("warn", why));
            return Flow::Dunno;
        }
        self.server_error(&why)
    }

    /// Whom a reply about this part of the situation is about.
    pub(super) fn about(&self, subject: Subject) -> About {
        let client = || {
            let address = self.at.client.address.map_or_else(|| "unknown".to_owned(), |a| a.to_string());
            format!("{}[{address}]", self.at.client.name)
        };
        let (name, class) = match subject {
            Subject::Client => (client(), "Client host"),
            Subject::ReverseClient => (client(), "Unverified Client host"),
            Subject::Helo => (self.at.helo.unwrap_or("").to_owned(), "Helo command"),
            Subject::Sender => {
                let mailbox = self.at.sender.and_then(Sender::mailbox);
                (mailbox.map_or_else(String::new, super::names::internal), "Sender address")
            }
            Subject::Recipient => {
                (self.at.recipient.map_or_else(String::new, super::names::internal), "Recipient address")
            }
        };
        About { name, class }
    }

    /// Remembers whom tables are asked about, for the text of a failure.
    pub(super) fn asking(&mut self, subject: Subject) {
        self.asked_about = Some(subject);
    }

    /// `451 4.3.0 <…>: Temporary lookup failure`.
    pub(super) fn lookup_failure(&self) -> Reply {
        let asked = self.asked_about.map(|subject| self.about(subject).name);
        let name =
            asked.filter(|name| !name.is_empty()).unwrap_or_else(|| self.about(Subject::Recipient).name);
        reply(451, "4.3.0", &format!("<{name}>: Temporary lookup failure"))
    }

    /// `451 4.3.5 Server configuration error`: final, whatever was said before.
    pub(super) fn server_error(&mut self, why: &str) -> Flow {
        self.actions.push(Action::Log("warn", why.to_owned()));
        self.class = NoticeClass::Software;
        Flow::Refuse(reply(451, "4.3.5", "Server configuration error"))
    }

    /// A refusal, or what becomes of it: a warning, a deferral, a soft bounce.
    pub(super) fn refuse(&mut self, code: u16, status: &str, text: &str) -> Flow {
        let refusal = self.soften(reply(code, status, text));
        self.class = NoticeClass::Policy;
        if self.warned_at.is_some() {
            self.actions.push(Action::Log("reject_warning", line(&refusal)));
            return Flow::Dunno;
        }
        if code >= 500
            && let Some(doubt) = self.defer_if_reject.take()
        {
            return Flow::Refuse(doubt);
        }
        Flow::Refuse(refusal)
    }

    /// The first doubt is the one that is reported.
    pub(super) fn doubt_permit(&mut self, code: u16, status: &str, text: &str) -> Flow {
        if self.warned_at.is_none() && self.defer_if_permit.is_none() {
            self.defer_if_permit = Some(self.soften(reply(code, status, text)));
        }
        Flow::Dunno
    }

    pub(super) fn doubt_reject(&mut self, code: u16, status: &str, text: &str) -> Flow {
        if self.warned_at.is_none() && self.defer_if_reject.is_none() {
            self.defer_if_reject = Some(self.soften(reply(code, status, text)));
        }
        Flow::Dunno
    }

    fn soften(&self, mut reply: Reply) -> Reply {
        if self.policy.params.soft_bounce && reply.code >= 500 {
            reply.code -= 100;
            if let Some(status) = &mut reply.status {
                status.class = 4;
            }
        }
        reply
    }
}

/// A reply of one line. The class of the status is that of the code: the code came first.
fn reply(code: u16, status: &str, text: &str) -> Reply {
    let mut fields = status.split('.').skip(1).map(|field| field.parse().unwrap_or(0));
    let class = if code >= 500 { 5 } else { 4 };
    let status = EnhancedStatus::new(class, fields.next().unwrap_or(0), fields.next().unwrap_or(0));
    // Names and texts come from clients and tables: a line end among them would be a second reply.
    let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Reply::new(code, Some(status), text)
}

/// A reply as its log line has it.
fn line(reply: &Reply) -> String {
    let status = reply.status.map_or_else(String::new, |status| format!("{status} "));
    format!("{} {status}{}", reply.code, reply.lines.join(" "))
}
