//! Who is responsible for each recipient: a second, small, obviously right model of mail.
//!
//! Clients write down what they handed over and what the server promised; servers write down what they took, what they refused for good and
//! what reports say; hosts what they are about to take (`hops`). At the end every recipient that was promised is delivered or
//! reported, nothing was delivered that nobody wrote, nothing changed on its way, no failure was reported that nobody caused, and
//! nothing came twice without a cause.
//!
//! Knows nothing of how any of it works.

use super::content::{body, header};
use super::hops::{Hop, Hops, Report};
use super::names::Names;
use super::orders::Orders;
use super::patience::Patience;
use crate::network::{NodeId, Socket};
use postrider_core::ask::{DnsAnswer, RecordKind};
use postrider_core::mail::QueueId;
use postrider_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Names a message: it travels in its `Message-ID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What the client was told of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing, or the connection was lost before the reply: both ends are allowed.
    Unknown,
    /// 250: the server answers for it.
    Promised,
    /// Refused: the client answers for it.
    Refused,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Fate {
    pub(super) recipient: String,
    /// The client was told that this one is not taken.
    pub(super) declined: bool,
    pub(super) delivered: u32,
    pub(super) failed: u32,
    /// Somebody refused it for good, or it has nowhere to go.
    pub(super) hard: bool,
    /// A host gave it up for its age.
    pub(super) expired: bool,
    /// An operator has a message for it deleted.
    pub(super) deleted: bool,
    /// A report on it came to an end that nobody is told of.
    pub(super) report_ended: bool,
    /// The host that answers for it, as far as is known.
    pub(super) at: Option<NodeId>,
}

#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) sender: String,
    pub(super) verdict: Verdict,
    pub(super) fates: Vec<Fate>,
    pub(super) size: usize,
    /// Its octets behind the header, once somebody has wanted them.
    pub(super) body: Vec<u8>,
}

impl Letter {
    /// Its octets behind the header.
    pub(super) fn body(&mut self, token: Token) -> &[u8] {
        if self.body.is_empty() {
            self.body = body(token, self.size);
        }
        &self.body
    }
}

/// What a host lives by, as far as it is judged.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub(super) lifetime: Duration,
    pub(super) report_lifetime: Duration,
    pub(super) encrypts: bool,
    /// At some time it encrypted, or handed mail on: mail may have failed though its server was there.
    pub(super) selective: bool,
    /// Its clock has jumped: ages mean little.
    pub(super) jumped: bool,
    /// An attempt was made since it started.
    pub(super) attempted: bool,
    /// Bits that changed on its disk.
    pub(super) rotted: u32,
    pub(super) off: bool,
    /// The highest queue id that it has stored, and that of before its start: later ones are higher, so that none repeats.
    pub(super) highest: u64,
    pub(super) floor: u64,
}

/// A server took a message.
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    /// What it says when it has: one for all recipients, or one for each.
    pub marks: &'a [String],
    /// Who handed over.
    pub from: Option<NodeId>,
    /// The octets.
    pub content: &'a [u8],
    /// Forward-paths.
    pub recipients: &'a [String],
    /// They came through TLS.
    pub secured: bool,
    /// The end of the connection of who handed over, where the world knows it.
    pub line: Option<Socket>,
    /// The server spoke out of turn before: what its replies were taken for is its own fault.
    pub confused: bool,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(super) letters: Vec<Letter>,
    /// Letter and place of each recipient: their names do not repeat.
    pub(super) recipients: BTreeMap<String, (usize, usize)>,
    /// What a report is about, by its `Message-ID`.
    pub(super) reports: BTreeMap<String, Report>,
    pub(super) hops: Hops,
    pub(super) names: Names,
    pub(super) patience: Patience,
    pub(super) orders: Orders,
    pub(super) hosts: BTreeMap<NodeId, Rules>,
    /// Connections of hosts, and whether what goes over them must be encrypted.
    pub(super) lines: BTreeMap<Socket, bool>,
    /// Domains that have nowhere to go.
    pub(super) doomed: BTreeSet<String>,
    /// Octets of a message that some host does not take.
    pub(super) size_limit: u64,
    /// Domains of which an exchanger works again since the world has healed, and since when.
    pub(super) reachable: (BTreeSet<String>, Instant),
    /// What bits that changed on disks have made of letters.
    pub(super) spoilt: super::taking::Spoilt,
    pub(super) crashes: u32,
    /// Deliveries beyond the first for a recipient, all with a cause.
    pub duplicates: u32,
    /// What went wrong so far.
    pub violations: Vec<Violation>,
}

/// More than the longest backoff with its jitter.
const LONG: Duration = Duration::from_secs(6_600);
/// From the first command of a transaction, with which the age of a message begins, to its commit.
const RECEIVING: Duration = Duration::from_secs(900);
/// Octets that headers add to a letter, at most.
const HEADER_MOST: u64 = 4_096;

impl Default for Ledger {
    fn default() -> Self {
        Self {
            letters: Vec::new(),
            recipients: BTreeMap::new(),
            reports: BTreeMap::new(),
            hops: Hops::default(),
            names: Names::default(),
            patience: Patience::default(),
            orders: Orders::default(),
            hosts: BTreeMap::new(),
            lines: BTreeMap::new(),
            doomed: BTreeSet::new(),
            size_limit: u64::MAX,
            reachable: (BTreeSet::new(), Instant::default()),
            spoilt: super::taking::Spoilt::default(),
            crashes: 0,
            duplicates: 0,
            violations: Vec::new(),
        }
    }
}

/// What clients and the world say.
impl Ledger {
    /// Larger messages are refused for good by some host.
    pub fn limit(&mut self, octets: u64) {
        self.size_limit = self.size_limit.min(octets);
    }

    /// A client is about to hand a message over.
    pub fn write(&mut self, sender: &str, recipients: &[String], size: usize) -> Token {
        let letter = self.letters.len();
        let mut fates = Vec::with_capacity(recipients.len());
        for (place, recipient) in recipients.iter().enumerate() {
            self.recipients.insert(recipient.clone(), (letter, place));
            let domain = recipient.rsplit('@').next().unwrap_or_default();
            let hard = self.doomed.contains(domain) || size as u64 + HEADER_MOST > self.size_limit;
            fates.push(Fate { recipient: recipient.clone(), hard, ..Fate::default() });
        }
        self.letters.push(Letter {
            sender: sender.to_owned(),
            verdict: Verdict::Unknown,
            fates,
            size,
            body: Vec::new(),
        });
        Token(letter as u64)
    }

    /// The octets of a letter as its client sends it, before dot-stuffing.
    pub fn message(&mut self, token: Token) -> Vec<u8> {
        let Some(letter) = self.letters.get_mut(token.0 as usize) else { return Vec::new() };
        let to = letter.fates.first().map(|fate| fate.recipient.as_str());
        let mut content = header(token, &letter.sender, to);
        content.extend_from_slice(letter.body(token));
        content
    }

    /// The server did not take this recipient: the client answers for it.
    pub fn declined(&mut self, token: Token, recipient: &str) {
        let letter = self.letters.get_mut(token.0 as usize);
        let fate = letter.and_then(|letter| letter.fates.iter_mut().find(|fate| fate.recipient == recipient));
        if let Some(fate) = fate {
            fate.declined = true;
        }
    }

    /// The server replied to the end of the data, or (unknown) did not.
    pub fn replied(&mut self, token: Token, verdict: Verdict) {
        if let Some(letter) = self.letters.get_mut(token.0 as usize) {
            letter.verdict = verdict;
        }
    }

    /// Mail for this domain fails, and rightly so.
    pub fn doom(&mut self, domain: &str) {
        self.doomed.insert(domain.to_owned());
    }

    /// What a host lives by from now on; `backoff` is the least pause before it tries again.
    pub fn host(
        &mut self,
        node: NodeId,
        (lifetime, report_lifetime): (Duration, Duration),
        (encrypts, relays): (bool, bool),
        backoff: Duration,
    ) {
        self.patience.promise(node, backoff);
        let before = self.hosts.remove(&node).unwrap_or_default();
        let selective = before.selective || encrypts || relays;
        self.hosts.insert(node, Rules { lifetime, report_lifetime, encrypts, selective, ..before });
    }

    fn rules(&mut self, node: NodeId) -> &mut Rules {
        self.hosts.entry(node).or_default()
    }

    /// A machine crashed.
    pub fn crashed(&mut self, node: NodeId, power: bool, now: Instant) {
        self.crashes += 1;
        self.patience.ended(node);
        self.orders.crashed(node, power);
        let rules = self.rules(node);
        rules.attempted = false;
        rules.floor = rules.highest;
        let wrong = self.hops.crashed(node, power, now);
        self.violations.extend(wrong.into_iter().map(Violation));
    }

    /// A host is down for good: what it answers for stays there.
    pub fn off(&mut self, node: NodeId) {
        self.rules(node).off = true;
    }

    /// A wall clock jumped.
    pub fn clock_jumped(&mut self, node: NodeId) {
        self.rules(node).jumped = true;
    }

    /// A bit on a disk changed.
    pub fn rotted(&mut self, node: NodeId) {
        self.rules(node).rotted += 1;
    }

    /// True when a disk has rotted.
    #[must_use]
    pub fn has_rotted(&self, node: NodeId) -> bool {
        self.hosts.get(&node).is_some_and(|rules| rules.rotted > 0)
    }

    /// A sync of the log of a host succeeded.
    pub fn synced(&mut self, node: NodeId) {
        self.hops.synced(node);
    }

    /// A disk operation of a host failed.
    pub fn disk_failed(&mut self, node: NodeId) {
        self.hops.disk_failed(node);
    }

    /// One that wrote its log, or synced it: what was behind it is written again elsewhere.
    pub fn log_failed(&mut self, node: NodeId) {
        self.orders.log_failed(node);
    }

    /// Crashes so far.
    #[must_use]
    pub const fn crashes(&self) -> u32 {
        self.crashes
    }

    /// A rule was broken.
    pub fn broken(&mut self, what: String) {
        self.violations.push(Violation(what));
    }

    /// A name server answered.
    pub fn named(&mut self, to: NodeId, name: &str, kind: RecordKind, until: Instant) {
        self.names.said(to, name, kind, until);
    }

    /// A host goes by an answer.
    pub fn believed(
        &mut self,
        now: Instant,
        node: NodeId,
        (name, kind): (&str, RecordKind),
        answer: &DnsAnswer,
    ) {
        self.violations.extend(self.names.judge(now, node, name, kind, answer).map(Violation));
    }
}

/// What hosts say.
impl Ledger {
    /// A host is about to make a message durable that it will name so.
    pub fn offered(&mut self, now: Instant, mark: &str, (from, to): (Option<NodeId>, NodeId), what: Report) {
        let from = from.filter(|node| self.hosts.contains_key(node));
        self.hops.begin(mark, Hop::new(what, from, Some(to), now));
    }

    /// What a message is, by its `Message-ID` and recipients.
    #[must_use]
    pub fn what<'a>(&self, message_id: &str, recipients: impl Iterator<Item = &'a str>) -> Option<Report> {
        let Some(token) = super::token_in(message_id) else { return self.reports.get(message_id).cloned() };
        let letter = token.0 as usize;
        let fates = &self.letters.get(letter)?.fates;
        let place = |recipient: &str| fates.iter().position(|fate| fate.recipient == recipient);
        Some(Report { letter, places: recipients.filter_map(place).collect(), report: false })
    }

    /// A host has composed a report.
    pub fn composed(&mut self, message_id: &str, what: Report) {
        self.reports.insert(message_id.to_owned(), what);
    }

    /// The log of a host has answered: the message is durable, or refused.
    pub fn committed(&mut self, node: NodeId, mark: &str, ok: bool) {
        let Some(hop) = self.hops.committed(node, mark, ok) else { return };
        let what = hop.what.clone();
        if ok {
            let id = mark.parse::<QueueId>().map_or(0, |id| id.0);
            let rules = self.rules(node);
            rules.highest = rules.highest.max(id);
        }
        if ok && let Some(letter) = self.letters.get_mut(what.letter) {
            for place in what.places {
                letter.fates[place].at = Some(node);
            }
        }
    }

    /// The log of a host has taken something.
    pub fn log_works(&mut self, node: NodeId) {
        self.hops.log_works(node);
    }

    /// A host read a reply that says so.
    pub fn heard(&mut self, node: NodeId, mark: &str) {
        self.hops.heard(node, mark);
    }

    /// A host was told that the outcome of what it heard is written.
    pub fn written(&mut self, mark: &str, now: Instant) {
        self.hops.written(mark, now);
    }

    /// A host tries to deliver a message to these.
    pub fn attempted(
        &mut self,
        node: NodeId,
        id: QueueId,
        recipients: impl IntoIterator<Item = String>,
        now: Instant,
    ) {
        self.rules(node).attempted = true;
        if self.rules(node).rotted == 0
            && let Some(what) = self.orders.judge(node, id)
        {
            self.broken(what);
        }
        let hasty = recipients.into_iter().filter_map(|who| self.patience.judge(node, id, who, now));
        self.violations.extend(hasty.map(Violation));
    }

    /// A host puts a recipient off.
    pub fn put_off(&mut self, node: NodeId, id: QueueId, recipient: &str, now: Instant) {
        self.patience.put_off(node, id, recipient, now);
    }

    /// An operator has a host try all its mail now.
    pub fn flushed(&mut self, node: NodeId) {
        self.patience.forget(node);
    }

    /// A host gives a message up for its age.
    pub fn expired(&mut self, node: NodeId, mark: &str, now: Instant) {
        let Some(hop) = self.hops.find(mark) else { return };
        let (what, at) = (hop.what.clone(), hop.at);
        let rules = self.hosts.get(&node).cloned().unwrap_or_default();
        let letter = self.letters.get(what.letter);
        // A notice to the postmaster has a sender, a report has none.
        let lifetime = match letter {
            _ if what.report => rules.report_lifetime.min(rules.lifetime),
            Some(letter) if !letter.sender.is_empty() => rules.lifetime,
            _ => rules.report_lifetime,
        };
        if !rules.attempted {
            self.broken(format!("{mark} expired before anything was tried since the start"));
        }
        if !rules.jumped && now.since(at) + RECEIVING < lifetime {
            self.broken(format!("{mark} expired after {} s", now.since(at).as_secs()));
        }
        self.judge_effort(node, &what, now);
        self.end(&what, |fate| fate.expired = true);
    }

    /// Mail must not expire when an exchanger of its domain has worked for long.
    fn judge_effort(&mut self, node: NodeId, what: &Report, now: Instant) {
        let hopeful = self.hosts.get(&node).is_some_and(|rules| !rules.selective);
        if what.report || !hopeful || now.since(self.reachable.1) < LONG || self.reachable.0.is_empty() {
            return;
        }
        let Some(letter) = self.letters.get(what.letter) else { return };
        let idle = what.places.iter().filter_map(|place| letter.fates.get(*place)).find(|fate| {
            let domain = fate.recipient.rsplit('@').next().unwrap_or_default();
            fate.delivered == 0
                && !fate.hard
                && !fate.recipient.starts_with("bad")
                && self.reachable.0.contains(domain)
        });
        if let Some(fate) = idle {
            self.broken(format!("mail for {} expired, though a server takes it", fate.recipient));
        }
    }

    /// From now on these domains have an exchanger that works.
    pub fn reachable(&mut self, domains: BTreeSet<String>, now: Instant) {
        self.reachable = (domains, now);
    }

    /// A host gives a message a name.
    pub fn issued(&mut self, node: NodeId, id: u64) {
        let rules = self.rules(node);
        let floor = rules.floor;
        if id <= floor && rules.rotted == 0 {
            self.broken(format!("machine {} gives queue id {id}, and had {floor} before it started", node.0));
        }
    }

    /// A host makes a report.
    pub fn reports(&mut self, message_id: &str, postmaster: bool) {
        let null = super::token_in(message_id)
            .and_then(|token| self.letters.get(token.0 as usize))
            .is_some_and(|letter| letter.sender.is_empty());
        if null && !postmaster {
            self.broken(format!("{message_id} has no sender, and a report is made"));
        }
    }

    /// A host heard a refusal for good. Where that is of a report, nobody is told.
    pub fn bounced(&mut self, mark: &str) {
        if let Some(what) = self.hops.find(mark).map(|hop| hop.what.clone()).filter(|what| what.report) {
            self.end(&what, |_| {});
        }
    }

    pub(super) fn end(&mut self, what: &Report, also: impl Fn(&mut Fate)) {
        let Some(letter) = self.letters.get_mut(what.letter) else { return };
        for place in &what.places {
            if let Some(fate) = letter.fates.get_mut(*place) {
                also(fate);
                fate.report_ended |= what.report;
            }
        }
    }
}
