//! May they? The language of access restrictions.
//!
//! A list of restrictions is a small program. [`Policy::judge`] runs it over the facts so far, and pauses where it needs another.
//! A restriction that does not work yet fails closed: 451. access(5), SMTPD_ACCESS_README, RESTRICTION_CLASS_README.
//!
//! `soft_bounce` is applied here, to refusals of access lists; the session applies it to its own.

mod access;
mod checks;
mod names;
mod params;
mod program;
mod run;
#[cfg(test)]
mod tests;
mod why;

pub use params::{Codes, Params};

use crate::ask::{Facts, Pause, TableName};
use crate::because::Because;
use crate::mail::{ClientFacts, NoticeClass, Sender, TlsFacts};
use crate::params::{Config, Problem, Settings};
use crate::rewrite::Rewrite;
use crate::wire::{Mailbox, Reply};
use program::{Rule, Subject};
use run::{Flow, Run};
use std::collections::{BTreeMap, BTreeSet};

/// When a list is run (smtpd_client_restrictions … smtpd_end_of_data_restrictions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// CONNECT.
    Client,
    /// HELO, EHLO.
    Helo,
    /// MAIL FROM.
    Mail,
    /// RCPT TO: smtpd_relay_restrictions, then smtpd_recipient_restrictions, then the unlisted-recipient check.
    Rcpt,
    /// DATA, and the first BDAT.
    Data,
    /// END-OF-MESSAGE.
    EndOfData,
    /// VRFY, checked like a recipient.
    Vrfy,
}

/// What is known when a list is run.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The client.
    pub client: &'a ClientFacts,
    /// Its name by PTR, even where that could not be verified; `unknown` if there is none.
    pub reverse_name: &'a str,
    /// HELO or EHLO argument.
    pub helo: Option<&'a str>,
    /// MAIL FROM, as canonical as rewriting makes it.
    pub sender: Option<&'a Sender>,
    /// RCPT TO or VRFY argument, canonical.
    pub recipient: Option<&'a Mailbox>,
    /// Recipients accepted so far.
    pub recipients: u32,
    /// SIZE given, or octets received at the end of data.
    pub size: u64,
    /// Login name of the client, once AUTH works.
    pub sasl_user: Option<&'a str>,
    /// TLS of the session.
    pub tls: Option<&'a TlsFacts>,
}

/// What a rule asks besides its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Put the message on hold. The text is that of the log line (verb `hold`).
    Hold(String),
    /// Accept and throw away. The text is that of the log line (verb `discard`).
    Discard(String),
    /// Send it through `transport:nexthop`.
    Filter(String),
    /// Send it to this address instead of its recipients.
    Redirect(Mailbox),
    /// Add this header field in front (PREPEND).
    Prepend(String),
    /// Add a recipient (BCC).
    Bcc(Mailbox),
    /// Only a line in the log: verb (`warn`, `info`, `reject_warning`, `filter`, `redirect`, `bcc`) and text.
    /// FILTER, REDIRECT and BCC come with one of these in front.
    Log(&'static str, String),
}

/// The end of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Yes.
    Permit,
    /// No: 4xx or 5xx; 421 and 521 also close the connection. The text is complete, as the client shall see it.
    Refuse(Reply),
}

/// Verdict and side effects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Judgement {
    /// May they?
    pub verdict: Verdict,
    /// In the order in which the rules asked.
    pub actions: Vec<Action>,
    /// What kind of trouble a refusal is.
    pub class: NoticeClass,
}

/// The lists of one service, compiled.
#[derive(Debug, Clone, Default)]
struct Lists {
    client: Vec<Rule>,
    helo: Vec<Rule>,
    sender: Vec<Rule>,
    relay: Vec<Rule>,
    recipient: Vec<Rule>,
    data: Vec<Rule>,
    end_of_data: Vec<Rule>,
}

/// All access lists of one service.
#[derive(Debug, Clone)]
pub struct Policy {
    params: Params,
    lists: Lists,
    classes: BTreeMap<String, Vec<Rule>>,
    /// Tables that some list names: those which a driver has at hand.
    tables: BTreeSet<TableName>,
    /// Parameter, and the restriction in it that does not work yet.
    not_working: Vec<(String, String)>,
}

impl Default for Policy {
    fn default() -> Self {
        Self::with(Params::default()).expect("the default lists are well-formed")
    }
}

/// The lists in the order in which they run, and what a table without `check_…_access` in front is asked about.
const LISTS: [(&str, Option<Subject>); 7] = [
    ("smtpd_client_restrictions", Some(Subject::Client)),
    ("smtpd_helo_restrictions", Some(Subject::Helo)),
    ("smtpd_sender_restrictions", Some(Subject::Sender)),
    ("smtpd_relay_restrictions", Some(Subject::Recipient)),
    ("smtpd_recipient_restrictions", Some(Subject::Recipient)),
    ("smtpd_data_restrictions", None),
    ("smtpd_end_of_data_restrictions", None),
];

/// The access tables that the lists of these settings name, and a parameter that names each; what is wrong with the lists is not told.
#[must_use]
pub fn access_tables(settings: &Settings) -> BTreeMap<TableName, String> {
    let classes = settings.list("smtpd_restriction_classes");
    let lists = LISTS.iter().map(|(name, subject)| ((*name).to_owned(), *subject));
    let own = classes.iter().map(|name| (name.clone(), None));
    let mut found = BTreeMap::new();
    for (name, subject) in lists.chain(own) {
        for rule in program::compile(settings.custom(&name).unwrap_or_default(), subject, &classes) {
            if let Rule::Access(_, table) = rule {
                found.entry(table).or_insert_with(|| name.clone());
            }
        }
    }
    found
}

/// What is wrong with a value of an access table, if anything: the sessions that meet it are told 451 4.3.5, or nothing happens.
#[must_use]
pub fn access_fault(settings: &Settings, value: &str) -> Option<String> {
    access::fault_of(value, &settings.list("smtpd_restriction_classes"))
}

impl Policy {
    /// Compiles the lists.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(settings: &Settings) -> Result<Self, Vec<(String, String)>> {
        Self::with(Params::new(settings)?)
    }

    /// Compiles the lists of these parameters.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn with(params: Params) -> Result<Self, Vec<(String, String)>> {
        let mut compiler = Compiler {
            names: params.classes.keys().cloned().collect(),
            tables: BTreeSet::new(),
            errors: Vec::new(),
            not_working: Vec::new(),
        };
        let lists = compiler.lists(&params);
        let classes: BTreeMap<String, Vec<Rule>> = params
            .classes
            .iter()
            .map(|(name, text)| (name.clone(), compiler.list(name, text, None)))
            .collect();
        if !guards(&lists.relay, &classes, 0) && !guards(&lists.recipient, &classes, 0) {
            compiler.errors.push((
                "smtpd_relay_restrictions".to_owned(),
                "in smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: \
                 reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit"
                    .to_owned(),
            ));
        }
        if !compiler.errors.is_empty() {
            return Err(compiler.errors);
        }
        Ok(Self { params, lists, classes, tables: compiler.tables, not_working: compiler.not_working })
    }

    /// Parameters and restrictions in them that do not work yet. One that might refuse answers 451 4.3.5; one that might
    /// permit makes later refusals 451 4.3.5; `sleep` does nothing.
    #[must_use]
    pub fn not_working(&self) -> &[(String, String)] {
        &self.not_working
    }

    /// The same, as an operator should hear of it.
    pub fn doubts(&self, config: &Config) -> impl Iterator<Item = Problem> {
        self.not_working.iter().map(|(parameter, word)| {
            let remedy = match word.as_str() {
                "sleep" => "it does nothing",
                word if word.starts_with("permit") => {
                    "where it might have permitted, a refusal is 451 instead"
                }
                _ => "where it is reached, the answer is 451",
            };
            config.doubt(parameter, &format!("not working yet: {word}"), remedy)
        })
    }

    /// The tables that the lists name: the driver has them at hand. A table that is only named in the value
    /// of another table is not used (451 4.3.5), as in Postfix.
    pub fn tables(&self) -> impl Iterator<Item = &TableName> {
        self.tables.iter().chain(self.params.mynetworks.tables())
    }

    /// Runs the lists of a stage. A broken table is not a pause but a verdict: 451 4.3.0.
    ///
    /// With `smtpd_delay_reject` the lists of [`Stage::Client`], [`Stage::Helo`] and [`Stage::Mail`] run at
    /// [`Stage::Rcpt`], before its own. Without it, DEFER_IF_PERMIT takes effect at the end of the stage that said it.
    ///
    /// # Errors
    /// Only [`Pause::Need`].
    pub fn judge(
        &self,
        stage: Stage,
        situation: &Situation<'_>,
        rewrite: &Rewrite,
        facts: &Facts,
    ) -> Result<Judgement, Pause> {
        self.judge_because(stage, situation, rewrite, facts, &mut Because::default())
    }

    /// The same, and says why.
    ///
    /// # Errors
    /// Only [`Pause::Need`].
    pub fn judge_because(
        &self,
        stage: Stage,
        situation: &Situation<'_>,
        rewrite: &Rewrite,
        facts: &Facts,
        because: &mut Because,
    ) -> Result<Judgement, Pause> {
        let mut run = Run::new(self, stage, situation, rewrite, facts);
        run.because = std::mem::take(because);
        let result = run.stage();
        *because = std::mem::take(&mut run.because);
        let verdict = match result {
            Ok(Flow::Refuse(reply)) => Verdict::Refuse(reply),
            Ok(Flow::Dunno | Flow::Permit) => Verdict::Permit,
            Err(Pause::Broken(failure)) => {
                because.note(|| format!("table {} can not answer: {}", failure.table.0, failure.why));
                run.class = NoticeClass::Data;
                Verdict::Refuse(run.lookup_failure())
            }
            Err(pause @ Pause::Need(_)) => return Err(pause),
        };
        Ok(Judgement { verdict, actions: run.actions, class: run.class })
    }
}

struct Compiler {
    names: Vec<String>,
    tables: BTreeSet<TableName>,
    errors: Vec<(String, String)>,
    not_working: Vec<(String, String)>,
}

impl Compiler {
    fn lists(&mut self, params: &Params) -> Lists {
        let texts = [
            &params.client,
            &params.helo,
            &params.sender,
            &params.relay,
            &params.recipient,
            &params.data,
            &params.end_of_data,
        ];
        let compiled = LISTS.iter().zip(texts).map(|((name, subject), text)| self.list(name, text, *subject));
        let mut compiled = compiled.collect::<Vec<_>>().into_iter();
        let mut next = || compiled.next().unwrap_or_default();
        Lists {
            client: next(),
            helo: next(),
            sender: next(),
            relay: next(),
            recipient: next(),
            data: next(),
            end_of_data: next(),
        }
    }

    fn list(&mut self, parameter: &str, text: &str, default: Option<Subject>) -> Vec<Rule> {
        let rules = program::compile(text, default, &self.names);
        for rule in &rules {
            match rule {
                Rule::Access(_, table) => _ = self.tables.insert(table.clone()),
                Rule::Mistake(why) => self.errors.push((parameter.to_owned(), why.clone())),
                Rule::MissingPermit(word) | Rule::MissingReject(word) => {
                    self.not_working.push((parameter.to_owned(), word.clone()));
                }
                _ => {}
            }
        }
        if crate::tables::items(text).iter().any(|word| word.eq_ignore_ascii_case("sleep")) {
            self.not_working.push((parameter.to_owned(), "sleep".to_owned()));
        }
        rules
    }
}

/// Whether a list has a rule that can keep strangers from relaying. What stands behind `permit` is never reached.
fn guards(rules: &[Rule], classes: &BTreeMap<String, Vec<Rule>>, depth: usize) -> bool {
    let mut warned = false;
    for rule in rules {
        let guard = match rule {
            Rule::Permit => return false,
            Rule::RejectUnauthDestination
            | Rule::DeferUnauthDestination
            | Rule::Reject
            | Rule::Defer
            | Rule::DeferIfPermit => true,
            Rule::Class(name) if depth < run::DEPTH_MAX => {
                classes.get(name).is_some_and(|rules| guards(rules, classes, depth + 1))
            }
            _ => false,
        };
        if guard && !warned {
            return true;
        }
        // What stands behind warn_if_reject refuses nothing.
        warned = *rule == Rule::WarnIfReject;
    }
    false
}
