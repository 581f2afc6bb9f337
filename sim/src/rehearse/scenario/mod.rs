//! A scenario: where mail goes, what is wrong there, and how much of it comes.
//!
//! Data, read from TOML. Every field is told in docs/REHEARSE.md. What can not be right is refused, with the line and what was expected.

mod judge;
mod units;
pub mod vary;

pub use vary::Variable;

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
pub use units::{Count, Octets, Odds, One, Range, Span};

/// All of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called.
    pub title: String,
    /// What it asks.
    #[serde(default)]
    pub question: String,
    /// How long mail comes.
    pub duration: One<Span>,
    /// How long the queue may take to empty afterwards.
    #[serde(default = "week")]
    pub settle: One<Span>,
    /// Parameters of main.cf with other values.
    #[serde(default)]
    pub set: BTreeMap<String, toml::Value>,
    /// Parameters, or fields of this scenario, that are given one value after the other.
    #[serde(default)]
    pub sweep: BTreeMap<String, Vec<toml::Value>>,
    /// Names.
    #[serde(default)]
    pub dns: Dns,
    /// What comes.
    pub workload: Workload,
    /// Where it goes.
    #[serde(rename = "destination")]
    pub destinations: Vec<Destination>,
}

/// Names and the servers that tell them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// How long an answer may be kept.
    pub ttl: One<Span>,
    /// Until an answer comes.
    pub answer: Range<Span>,
    /// When no name is answered for: `dns` (SERVFAIL) or `timeout`.
    pub outage: Vec<Outage>,
}

impl Default for Dns {
    fn default() -> Self {
        let hour = One(Span(std::time::Duration::from_secs(3_600)));
        let answer = Range { least: millis(5), most: millis(40) };
        Self { ttl: hour, answer, outage: Vec::new() }
    }
}

const fn millis(number: u64) -> Span {
    Span(std::time::Duration::from_millis(number))
}

/// What comes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Messages an hour: one number, or one for each hour of the day.
    pub per_hour: PerHour,
    /// Octets of a message.
    #[serde(default = "letter")]
    pub size: Range<Octets>,
    /// Recipients of a message.
    #[serde(default = "one")]
    pub recipients: Range<Count>,
    /// Who sends; by default somebody at `$myorigin`.
    #[serde(default)]
    pub sender: Option<String>,
    /// Many at once.
    #[serde(default, rename = "mailing")]
    pub mailings: Vec<Mailing>,
}

/// Messages an hour, by hour of the day.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "Hours")]
pub struct PerHour(pub [f64; 24]);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected messages an hour: one number, or a list of 24")]
enum Hours {
    Whole(u32),
    Part(f64),
    Each(Vec<f64>),
}

impl TryFrom<Hours> for PerHour {
    type Error = String;

    fn try_from(hours: Hours) -> Result<Self, String> {
        let hours = match hours {
            Hours::Whole(number) => [f64::from(number); 24],
            Hours::Part(number) => [number; 24],
            Hours::Each(list) => {
                let count = list.len();
                list.try_into()
                    .map_err(|_| format!("expected 24 numbers, one for each hour, found {count}"))?
            }
        };
        if hours.iter().any(|rate| !(0.0..=1e7).contains(rate)) {
            return Err("messages an hour are 0 to 10,000,000".to_owned());
        }
        Ok(Self(hours))
    }
}

/// Many recipients at once.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mailing {
    /// When.
    pub at: One<Span>,
    /// To how many.
    pub recipients: u32,
    /// How many of them in one message.
    #[serde(default = "single")]
    pub per_message: u32,
    /// Octets of each message.
    #[serde(default = "letter")]
    pub size: Range<Octets>,
    /// The one destination that it goes to; by default all, by their shares.
    #[serde(default)]
    pub to: Option<String>,
}

/// Some domains whose servers behave alike.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// What it is called in the report.
    pub name: toml::Spanned<String>,
    /// Its domains; `{n}` in the only one stands for 1, 2, … up to `count`.
    pub domains: Vec<String>,
    /// How many domains `{n}` makes.
    #[serde(default = "single")]
    pub count: u32,
    /// Its part of the mail, compared with those of the others.
    pub share: f64,
    /// How much more mail its first domains get: that of the nth is 1/n^skew of the first.
    #[serde(default)]
    pub skew: f64,
    /// Its exchangers; by default one of preference 10.
    #[serde(default = "one_exchanger")]
    pub mx: Vec<Exchanger>,
    /// All its domains have the same exchangers.
    #[serde(default)]
    pub shared: bool,
    /// A packet's way there and back.
    #[serde(default = "nearby")]
    pub rtt: Range<Span>,
    /// Packets lost.
    #[serde(default)]
    pub loss: One<Odds>,
    /// Until a reply.
    #[serde(default = "at_once")]
    pub reply: Range<Span>,
    /// Sessions at once of each exchanger; 0: any.
    #[serde(default)]
    pub sessions: u32,
    /// What it does beyond that.
    #[serde(default)]
    pub too_many: Beyond,
    /// Messages a second that the servers of a domain take together, or of all domains where they are shared; 0: any.
    #[serde(default)]
    pub rate: f64,
    /// What it does beyond that.
    #[serde(default)]
    pub too_fast: Beyond,
    /// Messages on one connection, beyond which it says 421; 0: any.
    #[serde(default)]
    pub per_connection: u32,
    /// How long a sender and recipient are sent away for.
    #[serde(default)]
    pub greylist: One<Span>,
    /// A client is known after so many that came again, and greylisted no more; 0: never.
    #[serde(default)]
    pub greylist_knows_after: u32,
    /// Recipients that get 451.
    #[serde(default)]
    pub tempfail: One<Odds>,
    /// Recipients that do not exist.
    #[serde(default)]
    pub reject: One<Odds>,
    /// Messages that are taken and whose reply is lost.
    #[serde(default)]
    pub lost_reply: One<Odds>,
    /// What its TLS is worth.
    #[serde(default)]
    pub tls: Tls,
    /// When it is down, and how.
    #[serde(default)]
    pub outage: Vec<Outage>,
}

/// Exchangers of one preference.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchanger {
    /// The lower is tried first.
    pub preference: u16,
    /// How many.
    #[serde(default = "single")]
    pub hosts: u32,
    /// Until a reply, where that differs.
    pub reply: Option<Range<Span>>,
}

/// What a server does with more than it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub enum Beyond {
    /// Lets it wait.
    #[default]
    #[serde(rename = "wait")]
    Wait,
    /// 421, and hangs up.
    #[serde(rename = "421")]
    Close,
    /// 451.
    #[serde(rename = "451")]
    Later,
}

/// What a server's TLS is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// It offers none.
    None,
    /// All is well.
    #[default]
    Good,
    /// Its certificate is for another name.
    WrongName,
    /// Its certificate has expired.
    Expired,
    /// Every handshake fails.
    Broken,
}

/// How something is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum How {
    /// Connections are refused.
    #[serde(rename = "refuse")]
    Refuse,
    /// Nothing answers.
    #[serde(rename = "timeout")]
    Timeout,
    /// It greets with 421.
    #[serde(rename = "421")]
    Close,
    /// It accepts, and never greets.
    #[serde(rename = "stall")]
    Stall,
    /// Its names have no answer: SERVFAIL.
    #[serde(rename = "dns")]
    Dns,
}

/// A time in which something is down.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Since.
    pub from: One<Span>,
    /// Until.
    pub to: One<Span>,
    /// How.
    pub how: How,
    /// Only exchangers of this preference.
    pub preference: Option<u16>,
}

fn week() -> One<Span> {
    One(Span(std::time::Duration::from_secs(7 * 86_400)))
}

fn letter() -> Range<Octets> {
    Range { least: Octets(1_000), most: Octets(8_000) }
}

fn one() -> Range<Count> {
    Range::of(Count(1))
}

const fn single() -> u32 {
    1
}

fn one_exchanger() -> Vec<Exchanger> {
    vec![Exchanger { preference: 10, hosts: 1, reply: None }]
}

fn nearby() -> Range<Span> {
    Range { least: millis(10), most: millis(40) }
}

fn at_once() -> Range<Span> {
    Range { least: millis(1), most: millis(20) }
}

/// Why a scenario is refused: the line, if it is known, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong, and what was expected.
    pub why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl Scenario {
    /// Reads a text.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let scenario: Self = toml::from_str(text).map_err(|error| Refused {
            line: error.span().map(|span| line_of(text, span.start)),
            why: error.message().trim().replace('\n', " "),
        })?;
        judge::judge(&scenario, text)?;
        Ok(scenario)
    }
}

/// The line of a key of a table of a text.
#[must_use]
pub fn line_of_key(text: &str, table: &str, key: &str) -> Option<usize> {
    let whole = toml::de::DeTable::parse(text).ok()?;
    let (_, table) = whole.get_ref().iter().find(|(name, _)| name.get_ref() == table)?;
    let mut keys = table.get_ref().as_table()?.keys();
    keys.find(|name| name.get_ref() == key).map(|name| line_of(text, name.span().start))
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|octet| **octet == b'\n').count() + 1
}

impl Destination {
    /// Its domains, numbers filled in.
    #[must_use]
    pub fn all_domains(&self) -> Vec<String> {
        let numbered = |domain: &String| -> Vec<String> {
            (1..=self.count).map(|number| domain.replacen("{n}", &number.to_string(), 1)).collect()
        };
        let each = |domain: &String| match domain.contains("{n}") {
            true => numbered(domain),
            false => vec![domain.clone()],
        };
        self.domains.iter().flat_map(each).collect()
    }
}
