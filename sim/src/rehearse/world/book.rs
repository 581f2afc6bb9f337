//! What is written down while a world runs: every recipient of the workload, from the end of its data to its last copy.
//!
//! The queue is told from the host's own log lines, deliveries from the servers that took them.

use crate::rehearse::scenario::Scenario;
use postrider_core::event::{DeliveryStatus, Event};
use postrider_core::mail::QueueId;
use postrider_core::time::Instant;
use std::collections::BTreeMap;

/// Names without a place in the scenario that are remembered.
const STRANGERS_MAX: usize = 50;
/// Different words of servers and of the front door that are remembered.
const WORDS_MAX: usize = 200;

/// What has become of a recipient, as the host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Offered,
    Waiting,
    Sent,
    Bounced,
    Expired,
}

#[derive(Debug, Clone)]
struct Recipient {
    offered: Instant,
    group: u16,
    mailed: bool,
    fate: Fate,
    copies: u8,
    attempts: u16,
}

/// What one destination has seen.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Recipients that the host has taken.
    pub accepted: u64,
    /// Delivered, by the first copy.
    pub delivered: u64,
    /// Copies beyond the first.
    pub duplicates: u64,
    /// Refused for good.
    pub bounced: u64,
    /// Given up for their age.
    pub expired: u64,
    /// Outcomes of tries, of any kind.
    pub tries_made: u64,
    /// Outcomes "deferred" after a try.
    pub deferred: u64,
    /// Outcomes "deferred" without one, because the destination was thought dead.
    pub suspended: u64,
    /// Connections that its servers accepted.
    pub connections: u64,
    /// Those that it sent away at once.
    pub sent_away: u64,
    /// Messages whose reply was lost on purpose.
    pub replies_lost: u64,
    /// Transactions that its servers took.
    pub transactions: u64,
    /// Milliseconds from the client's dot to the first copy.
    pub latencies: Vec<u32>,
    /// Attempts of each recipient that came to an end: index is their number, the last is "or more".
    pub tries: Vec<u64>,
    /// Connections open now, and at most.
    pub open: u32,
    /// The most at once.
    pub open_most: u32,
    /// The most at once since the last sample.
    open_lately: u32,
    /// Recipients in the queue now.
    pub waiting: u64,
    /// The most at once.
    pub waiting_most: u64,
    /// When the last recipient of it left the queue.
    pub empty_since: Option<Instant>,
}

/// Tries that are told apart.
pub const TRIES_MAX: usize = 200;

/// The state of one destination at the end of a piece of time, and what happened in it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Point {
    /// Recipients that wait.
    pub waiting: u64,
    /// Outcomes of tries in this time, of any kind.
    pub tries: u64,
    /// First copies in this time.
    pub delivered: u64,
    /// The most connections open at once in this time.
    pub open: u32,
}

/// The book.
#[derive(Debug, Default)]
pub struct Book {
    recipients: Vec<Recipient>,
    /// First recipient and number of them, by queue id.
    messages: BTreeMap<QueueId, (u32, u32)>,
    /// One for each destination.
    pub groups: Vec<Group>,
    /// By time, then by destination.
    pub series: Vec<Vec<Point>>,
    since: Vec<Point>,
    /// The most recipients in the queue, and connections, at once.
    pub most: (u64, u32),
    now: (u64, u32),
    /// Latencies of the recipients of mailings alone; they are in those of their destinations too.
    pub mailed: Vec<u32>,
    /// Messages that the host took.
    pub messages_taken: u64,
    /// Messages refused at the front door, by its words.
    pub refused: BTreeMap<String, u64>,
    /// What made mail wait or fail, by the words in the log.
    pub reasons: BTreeMap<String, u64>,
    /// Reports that the host made.
    pub reports: u64,
    /// Messages that servers took for addresses that the workload did not write: reports, rewritten ones.
    pub others: u64,
    /// Messages from this host to itself, taken for delivered.
    pub here: u64,
    /// Names that the scenario does not have, and how often they were asked for.
    pub strangers: BTreeMap<String, u64>,
}

impl Book {
    /// For the destinations of a scenario, and one more for elsewhere.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let groups = scenario.destinations.len() + 1;
        Self {
            groups: vec![Group::default(); groups],
            since: vec![Point::default(); groups],
            ..Self::default()
        }
    }

    /// A client is about to say its dot. The number of the first recipient stands for the message.
    pub fn offered(&mut self, now: Instant, first: u32, groups: &[u16], mailed: bool) {
        debug_assert_eq!(first as usize, self.recipients.len(), "numbers are given in order");
        self.recipients.extend(groups.iter().map(|&group| Recipient {
            offered: now,
            group,
            mailed,
            fate: Fate::Offered,
            copies: 0,
            attempts: 0,
        }));
    }

    /// The number of the next recipient.
    #[must_use]
    pub fn next(&self) -> u32 {
        u32::try_from(self.recipients.len()).unwrap_or(u32::MAX)
    }

    /// The dot is said now.
    pub fn dotted(&mut self, now: Instant, first: u32, count: u32) {
        for recipient in self.recipients.iter_mut().skip(first as usize).take(count as usize) {
            recipient.offered = now;
        }
    }

    /// The host has answered for it: these of its recipients were taken.
    pub fn taken(&mut self, id: Option<QueueId>, first: u32, accepted: &[bool]) {
        self.messages_taken += 1;
        if let Some(id) = id {
            self.messages.insert(id, (first, accepted.len() as u32));
        }
        for (recipient, _) in
            self.recipients.iter_mut().skip(first as usize).zip(accepted).filter(|(_, taken)| **taken)
        {
            recipient.fate = Fate::Waiting;
            let group = &mut self.groups[usize::from(recipient.group)];
            group.accepted += 1;
            group.waiting += 1;
            group.waiting_most = group.waiting_most.max(group.waiting);
            self.now.0 += 1;
            self.most.0 = self.most.0.max(self.now.0);
        }
    }

    /// The front door refused.
    pub fn refused(&mut self, words: &str) {
        note(&mut self.refused, words.to_owned());
    }

    /// A server of a destination took a message for an address.
    pub fn delivered(&mut self, now: Instant, address: &str) {
        let Some(recipient) = number_of(address).and_then(|number| self.recipients.get_mut(number as usize))
        else {
            self.others += 1;
            return;
        };
        let group = &mut self.groups[usize::from(recipient.group)];
        recipient.copies = recipient.copies.saturating_add(1);
        if recipient.copies > 1 {
            group.duplicates += 1;
            return;
        }
        group.delivered += 1;
        self.since[usize::from(recipient.group)].delivered += 1;
        let taken = now.since(recipient.offered).as_millis();
        let taken = u32::try_from(taken).unwrap_or(u32::MAX);
        group.latencies.push(taken);
        if recipient.mailed {
            self.mailed.push(taken);
        }
    }

    /// A line of the host's log.
    pub fn logged(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Delivery { recipient, original, relay, status, text, .. } => {
                let address = original.as_deref().unwrap_or(recipient);
                self.outcome(now, address, relay, *status, text);
            }
            Event::Expired { id, .. } => {
                let Some(&(first, count)) = self.messages.get(id) else { return };
                for number in first..first + count {
                    self.ends(now, number, Fate::Expired);
                }
            }
            Event::Reported { .. } => self.reports += 1,
            Event::Removed { id } => _ = self.messages.remove(id),
            Event::Warning { text, .. } | Event::Trouble { text, .. } => {
                note(&mut self.reasons, format!("warning: {}", plain(text)));
            }
            _ => {}
        }
    }

    fn outcome(&mut self, now: Instant, address: &str, relay: &str, status: DeliveryStatus, text: &str) {
        if status != DeliveryStatus::Sent {
            note(&mut self.reasons, format!("{}: {}", status.word(), plain(text)));
        } else if relay == "local" || relay == "virtual" || text.contains("delivered on this host") {
            self.here += 1;
        }
        let Some(number) = number_of(address) else { return };
        let Some(recipient) = self.recipients.get_mut(number as usize) else { return };
        let place = usize::from(recipient.group);
        let suspended = text.contains("delivery temporarily suspended");
        if suspended {
            self.groups[place].suspended += 1;
        } else if status != DeliveryStatus::Expired {
            recipient.attempts = recipient.attempts.saturating_add(1);
            self.since[place].tries += 1;
            self.groups[place].tries_made += 1;
        }
        match status {
            DeliveryStatus::Sent => self.ends(now, number, Fate::Sent),
            DeliveryStatus::Bounced => self.ends(now, number, Fate::Bounced),
            DeliveryStatus::Expired => self.ends(now, number, Fate::Expired),
            DeliveryStatus::Deferred | DeliveryStatus::SoftBounced if !suspended => {
                self.groups[place].deferred += 1
            }
            DeliveryStatus::Deferred | DeliveryStatus::SoftBounced => {}
        }
    }

    /// The host is done with a recipient.
    fn ends(&mut self, now: Instant, number: u32, fate: Fate) {
        let Some(recipient) = self.recipients.get_mut(number as usize) else { return };
        if recipient.fate != Fate::Waiting {
            return;
        }
        recipient.fate = fate;
        let group = &mut self.groups[usize::from(recipient.group)];
        match fate {
            Fate::Bounced => group.bounced += 1,
            Fate::Expired => group.expired += 1,
            Fate::Offered | Fate::Waiting | Fate::Sent => {}
        }
        group.waiting -= 1;
        self.now.0 -= 1;
        if group.waiting == 0 {
            group.empty_since = Some(now);
        }
        let tries = usize::from(recipient.attempts).min(TRIES_MAX);
        if group.tries.len() <= tries {
            group.tries.resize(tries + 1, 0);
        }
        group.tries[tries] += 1;
    }

    /// A server of a destination accepted a connection, or lost one.
    pub fn connection(&mut self, group: u16, opened: bool) {
        let group = &mut self.groups[usize::from(group)];
        if opened {
            group.connections += 1;
            group.open += 1;
            group.open_most = group.open_most.max(group.open);
            group.open_lately = group.open_lately.max(group.open);
            self.now.1 += 1;
            self.most.1 = self.most.1.max(self.now.1);
        } else {
            group.open -= 1;
            self.now.1 -= 1;
        }
    }

    /// A name was asked for that the scenario does not have.
    pub fn stranger(&mut self, name: &str) {
        if self.strangers.len() < STRANGERS_MAX || self.strangers.contains_key(name) {
            *self.strangers.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// A piece of time ends.
    pub fn sample(&mut self) {
        let points = self.groups.iter_mut().zip(&mut self.since).map(|(group, since)| {
            let since = std::mem::take(since);
            let open = std::mem::replace(&mut group.open_lately, group.open);
            Point { waiting: group.waiting, open, ..since }
        });
        self.series.push(points.collect());
    }
}

/// The number in an address of the workload: `r17@…`.
#[must_use]
pub(super) fn number_of(address: &str) -> Option<u32> {
    let local = address.split('@').next()?;
    local.strip_prefix(['r', 'R'])?.parse().ok()
}

fn note(words: &mut BTreeMap<String, u64>, key: String) {
    let key = if words.len() < WORDS_MAX || words.contains_key(&key) { key } else { "others".to_owned() };
    *words.entry(key).or_default() += 1;
}

/// A text of the log without what differs from case to case: names and addresses of servers, numbers that somebody made up.
fn plain(text: &str) -> String {
    let kept = text.split_whitespace().filter(|word| !is_particular(word)).take(20);
    kept.collect::<Vec<_>>().join(" ")
}

/// A host, an address, a mark: letters with a point between them, brackets, or more than four digits.
fn is_particular(word: &str) -> bool {
    let point = word.trim_end_matches(['.', ':', ',', ')', ';']).contains('.');
    let letters = word.chars().any(|letter| letter.is_ascii_alphabetic());
    let digits = word.chars().filter(char::is_ascii_digit).count();
    (point && letters) || word.contains(['[', '@']) || digits > 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_a_kind_have_the_same_words() {
        let of =
            |host: &str| plain(&format!("connect to {host}.example[10.64.0.9]:25: Connection timed out"));
        assert_eq!(of("mx1"), "connect to Connection timed out");
        assert_eq!(of("mx1"), of("mx2"));
        let words = "host mx.a.example[10.0.0.1] said: 450 4.2.0 Greylisted, please try again later (in reply to RCPT TO command)";
        assert_eq!(
            plain(words),
            "host said: 450 4.2.0 Greylisted, please try again later (in reply to RCPT TO command)"
        );
    }

    #[test]
    fn recipients_are_known_by_their_number() {
        assert_eq!(number_of("r17@shop.example"), Some(17));
        assert_eq!(number_of("rehearsal@example.com"), None);
    }
}
