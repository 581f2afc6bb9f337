//! Who is responsible for each recipient: a second, small, obviously right model of mail.
//!
//! Clients write down what they handed over and what the server promised; servers write down what they took, what they refused for good and
//! what reports say; hosts what they are about to take (`hops`). At the end every recipient that was promised is delivered or
//! reported, nothing was delivered that nobody wrote, nothing changed on its way, no failure was reported that nobody caused, and
//! nothing came twice without a cause.
//!
//! Knows nothing of how any of it works.

use super::content::{is_intact, token_of};
use super::hops::{Hop, Hops, Report};
use super::names::Names;
use crate::network::NodeId;
use postrider_core::ask::{DnsAnswer, RecordKind};
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
struct Fate {
    recipient: String,
    /// The client was told that this one is not taken.
    declined: bool,
    delivered: u32,
    failed: u32,
    /// Somebody refused it for good, or it has nowhere to go.
    hard: bool,
    /// A host gave it up for its age.
    expired: bool,
    /// A report on it came to an end that nobody is told of.
    report_ended: bool,
    /// The host that answers for it, as far as is known.
    at: Option<NodeId>,
}

#[derive(Debug, Clone)]
struct Letter {
    sender: String,
    verdict: Verdict,
    fates: Vec<Fate>,
    size: usize,
}

/// What a host lives by, as far as it is judged.
#[derive(Debug, Clone, Default)]
struct Rules {
    lifetime: Duration,
    report_lifetime: Duration,
    encrypts: bool,
    /// Its clock has jumped: ages mean little.
    jumped: bool,
    /// An attempt was made since it started.
    attempted: bool,
    /// Bits that changed on its disk.
    rotted: u32,
    off: bool,
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
    letters: Vec<Letter>,
    /// Letter and place of each recipient: their names do not repeat.
    recipients: BTreeMap<String, (usize, usize)>,
    /// What a report is about, by its `Message-ID`.
    reports: BTreeMap<String, Report>,
    hops: Hops,
    names: Names,
    hosts: BTreeMap<NodeId, Rules>,
    /// Domains that have nowhere to go.
    doomed: BTreeSet<String>,
    /// Octets of a message that some host does not take.
    size_limit: u64,
    /// Letters that came changed or not at all from a host whose disk had rotted.
    spoilt: BTreeMap<NodeId, BTreeSet<usize>>,
    crashes: u32,
    /// Deliveries beyond the first for a recipient, all with a cause.
    pub duplicates: u32,
    /// What went wrong so far.
    pub violations: Vec<Violation>,
}

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
            hosts: BTreeMap::new(),
            doomed: BTreeSet::new(),
            size_limit: u64::MAX,
            spoilt: BTreeMap::new(),
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
        self.letters.push(Letter { sender: sender.to_owned(), verdict: Verdict::Unknown, fates, size });
        Token(letter as u64)
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

    /// What a host lives by.
    pub fn host(&mut self, node: NodeId, (lifetime, report_lifetime): (Duration, Duration), encrypts: bool) {
        let before = self.hosts.remove(&node).unwrap_or_default();
        self.hosts.insert(node, Rules { lifetime, report_lifetime, encrypts, ..before });
    }

    fn rules(&mut self, node: NodeId) -> &mut Rules {
        self.hosts.entry(node).or_default()
    }

    /// A machine crashed.
    pub fn crashed(&mut self, node: NodeId, power: bool, now: Instant) {
        self.crashes += 1;
        self.rules(node).attempted = false;
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

/// What servers say.
impl Ledger {
    /// A server said 5xx about this recipient.
    pub fn refused(&mut self, recipient: &str) {
        if let Some(&(letter, place)) = self.recipients.get(recipient)
            && let Some(fate) = self.letters.get_mut(letter).and_then(|letter| letter.fates.get_mut(place))
        {
            fate.hard = true;
        }
    }

    /// A server took a message.
    pub fn took(&mut self, now: Instant, taken: &Taken<'_>) {
        let encrypts = |node| self.hosts.get(node).is_some_and(|rules| rules.encrypts);
        if !taken.secured && taken.from.as_ref().is_some_and(encrypts) {
            self.broken("mail came in the clear from a host that has to encrypt".to_owned());
        }
        let is_report = taken.content.windows(16).take(4_000).any(|window| window == b"multipart/report");
        let Some(letter) = token_of(taken.content).map(|token| token.0 as usize) else {
            return self.broken(format!("a message that nobody wrote, for {:?}", taken.recipients));
        };
        if letter >= self.letters.len() {
            return self.broken(format!("a message of unknown name {letter}"));
        }
        let whats = if is_report { self.read_report(letter, taken) } else { self.read_letter(letter, taken) };
        for (what, mark) in whats.into_iter().zip(taken.marks) {
            let mut hop = Hop::new(what, taken.from, None, now);
            hop.taken = true;
            self.hops.begin(mark, if taken.confused { hop.excused() } else { hop });
        }
    }

    /// A letter: one hop for all, or one for each recipient where each has a mark.
    fn read_letter(&mut self, letter: usize, taken: &Taken<'_>) -> Vec<Report> {
        let mut places = Vec::new();
        let mut wrong = Vec::new();
        let Some(known) = self.letters.get_mut(letter) else { return Vec::new() };
        for recipient in taken.recipients {
            let found = known.fates.iter().position(|fate| fate.recipient == *recipient && !fate.declined);
            match found.and_then(|place| Some((place, known.fates.get_mut(place)?))) {
                Some((place, fate)) => {
                    fate.delivered += 1;
                    places.push(place);
                }
                None => {
                    wrong.push(format!("letter {letter} came for {recipient}, for whom it was not accepted"))
                }
            }
        }
        if !is_intact(taken.content, Token(letter as u64), known.size) {
            match taken.from.filter(|node| self.has_rotted(*node)) {
                Some(node) => _ = self.spoilt.entry(node).or_default().insert(letter),
                None => {
                    let octets = taken.content.len();
                    wrong.push(format!("letter {letter} came changed or cut ({octets} octets)"));
                }
            }
        }
        wrong.into_iter().for_each(|text| self.broken(text));
        if taken.marks.len() > 1 {
            let one = |place| Report { letter, places: vec![place], report: false };
            return places.into_iter().map(one).collect();
        }
        vec![Report { letter, places, report: false }]
    }

    fn read_report(&mut self, letter: usize, taken: &Taken<'_>) -> Vec<Report> {
        let mut all = Vec::new();
        let text = String::from_utf8_lossy(taken.content);
        for to in taken.recipients {
            // A postmaster's copy is told to him, not to the sender: it settles nothing.
            let counts = !to.starts_with("postmaster");
            let places = if counts { self.read_failures(letter, to, &text) } else { Vec::new() };
            all.push(Report { letter, places, report: true });
        }
        all
    }

    fn read_failures(&mut self, letter: usize, to: &str, text: &str) -> Vec<usize> {
        let Some(known) = self.letters.get_mut(letter) else { return Vec::new() };
        let mut wrong = Vec::new();
        let mut places = Vec::new();
        if known.sender != to {
            wrong.push(format!("a report on letter {letter} of <{}> went to <{to}>", known.sender));
        }
        let mut recipient = "";
        for line in text.lines() {
            if let Some(address) = line.strip_prefix("Final-Recipient: rfc822; ") {
                recipient = address.trim();
            }
            if line.trim_end() == "Action: failed" {
                match known.fates.iter().position(|fate| fate.recipient == recipient) {
                    Some(place) => places.push(place),
                    None => wrong.push(format!("letter {letter} was reported for {recipient}, a stranger")),
                }
            }
        }
        for place in &places {
            known.fates[*place].failed += 1;
        }
        wrong.into_iter().for_each(|text| self.broken(text));
        places
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

    /// A host tries to deliver something.
    pub fn attempted(&mut self, node: NodeId) {
        self.rules(node).attempted = true;
    }

    /// A host gives a message up for its age.
    pub fn expired(&mut self, node: NodeId, mark: &str, now: Instant) {
        let Some(hop) = self.hops.find(mark) else { return };
        let (what, at) = (hop.what.clone(), hop.at);
        let rules = self.hosts.get(&node).cloned().unwrap_or_default();
        let letter = self.letters.get(what.letter);
        let null = what.report || letter.is_some_and(|letter| letter.sender.is_empty());
        let lifetime = if null { rules.report_lifetime } else { rules.lifetime };
        if !rules.attempted {
            self.broken(format!("{mark} expired before anything was tried since the start"));
        }
        if !rules.jumped && now.since(at) < lifetime {
            self.broken(format!("{mark} expired after {} s", now.since(at).as_secs()));
        }
        self.end(&what, |fate| fate.expired = true);
    }

    /// A host heard a refusal for good. Where that is of a report, nobody is told.
    pub fn bounced(&mut self, mark: &str) {
        if let Some(what) = self.hops.find(mark).map(|hop| hop.what.clone()).filter(|what| what.report) {
            self.end(&what, |_| {});
        }
    }

    fn end(&mut self, what: &Report, also: impl Fn(&mut Fate)) {
        let Some(letter) = self.letters.get_mut(what.letter) else { return };
        for place in &what.places {
            if let Some(fate) = letter.fates.get_mut(*place) {
                also(fate);
                fate.report_ended |= what.report;
            }
        }
    }
}

/// The judgement.
impl Ledger {
    /// Messages handed over, and those that were promised.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let promised = self.letters.iter().filter(|letter| letter.verdict == Verdict::Promised).count();
        (self.letters.len(), promised)
    }

    /// Judges the end of the world: everything has settled or should have.
    pub fn close(&mut self) {
        let excuses = self.hops.excuses();
        let mut revived = BTreeSet::new();
        for hop in self.hops.all.iter().filter(|hop| hop.revived && hop.from.is_none()) {
            revived.insert(hop.what.letter);
        }
        let rotted: u32 = self.hosts.values().map(|rules| rules.rotted).sum();
        let mut wrong = Vec::new();
        for (number, letter) in self.letters.iter().enumerate() {
            for (place, fate) in letter.fates.iter().enumerate().filter(|(_, fate)| !fate.declined) {
                self.duplicates += fate.delivered.saturating_sub(1);
                let rules = fate.at.and_then(|node| self.hosts.get(&node)).cloned().unwrap_or_default();
                let excuse = excuses.get(&(number, place)).copied().unwrap_or(0);
                let judged = letter.judge(fate, excuse + rotted, revived.contains(&number));
                let Some(text) = judged else { continue };
                match fate.at.filter(|_| !letter.is_settled(fate)) {
                    Some(_) if rules.off => {}
                    Some(node) if rules.rotted > 0 => {
                        self.spoilt.entry(node).or_default().insert(number);
                    }
                    _ => wrong.push(format!("letter {number} for {} {text}", fate.recipient)),
                }
            }
        }
        for (node, letters) in &self.spoilt {
            let bits = self.hosts.get(node).map_or(0, |rules| rules.rotted);
            if letters.len() > bits as usize {
                let count = letters.len();
                wrong.push(format!("{bits} bits changed on the disk of {}, and {count} letters", node.0));
            }
        }
        self.violations.extend(wrong.into_iter().map(Violation));
    }
}

impl Letter {
    fn is_settled(&self, fate: &Fate) -> bool {
        let silent = self.sender.is_empty() && (fate.hard || fate.expired);
        fate.delivered + fate.failed > 0 || fate.report_ended || silent
    }

    /// What is wrong with the end of a recipient.
    fn judge(&self, fate: &Fate, excuses: u32, revived: bool) -> Option<String> {
        let Fate { delivered, failed, .. } = *fate;
        if self.verdict == Verdict::Promised && !self.is_settled(fate) {
            return Some("is LOST: promised, and neither delivered nor reported".to_owned());
        }
        if self.verdict == Verdict::Refused && delivered + failed > 0 && !revived {
            return Some("was refused, and yet delivered or reported".to_owned());
        }
        if failed > 0 && !fate.hard && !fate.expired {
            return Some("was reported as failed, and nobody has refused it".to_owned());
        }
        if delivered + failed > 1 + excuses {
            return Some(format!(
                "came {delivered} times and was reported {failed} times, with {excuses} causes for a second copy"
            ));
        }
        None
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
