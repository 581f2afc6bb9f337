//! Every message that we answer for, in as few octets as possible: which queue it is in, and when its time comes.
//!
//! An entry is about a hundred octets; a million deferred messages fit where a hundred thousand loaded ones would not.
//! Ages count on the monotonic clock from the moment we learned of a message, so that a wall clock that jumps while we run
//! neither expires mail nor sticks it.

use crate::machine::{Stages, Taken};
use crate::mail::{Envelope, QueueId, QueueName, Standing, Summary};
use crate::schedule::RetryRule;
use crate::time::{Duration, Instant, Now};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Domains of one message that are remembered; beyond it the message counts as having any.
const SITES_MAX: usize = 64;

/// TABLE of the queues that a message moves through.
pub const STAGES: Stages = Stages {
    machine: "queue",
    names: &["none", "incoming", "active", "deferred", "hold"],
    edges: &[
        ("none", "incoming"),
        // Nobody waits before it.
        ("none", "active"),
        // As the log has it at a start.
        ("none", "deferred"),
        ("none", "hold"),
        ("incoming", "active"),
        ("active", "deferred"),
        ("deferred", "active"),
        ("active", "none"),
        // Operators.
        ("incoming", "hold"),
        ("incoming", "deferred"),
        ("active", "hold"),
        ("deferred", "hold"),
        ("hold", "deferred"),
        ("incoming", "none"),
        ("deferred", "none"),
        ("hold", "none"),
    ],
};

/// Which queue a message is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Queue {
    /// Never tried, not yet admitted.
    Incoming,
    /// Admitted.
    Active,
    /// Waits for this time.
    Deferred(Instant),
    /// Waits for the operator.
    Hold,
}

impl Queue {
    /// Its number in [`STAGES`].
    const fn stage(self) -> u8 {
        match self {
            Self::Incoming => 1,
            Self::Active => 2,
            Self::Deferred(_) => 3,
            Self::Hold => 4,
        }
    }

    pub(super) const fn name(self) -> QueueName {
        match self {
            Self::Incoming => QueueName::Incoming,
            Self::Active => QueueName::Active,
            Self::Deferred(_) => QueueName::Deferred,
            Self::Hold => QueueName::Hold,
        }
    }
}

/// The domains of the recipients that wait, as far as we know them: hashes, for `postqueue -s`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Sites {
    /// It was not loaded since the start, or there are too many.
    Unknown,
    One(u64),
    Some(Box<[u64]>),
}

/// What is remembered of a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Entry {
    /// When it was born on the monotonic clock, in nanoseconds; before our start: negative.
    born: i64,
    pub(super) queue: Queue,
    sites: Sites,
    /// Its destinations were tried since the start, so it may be returned for its age.
    pub(super) tried: bool,
    /// A delay has been reported.
    pub(super) warned: bool,
    /// An operator wants it tried now, whatever `defer_transports` says.
    pub(super) flushed: bool,
    /// It was set aside because its destinations have enough to do.
    pub(super) parked: bool,
    /// An operator wants it to go through cleanup anew.
    pub(super) requeued: bool,
    /// An order is being written: it does not move before that has ended.
    pub(super) locked: bool,
    /// It takes more than one place of the active queue, as far as we know.
    pub(super) bulky: bool,
}

impl Entry {
    fn new(now: Now, age: Duration, queue: Queue) -> Self {
        let mono = i64::try_from(now.mono.0).unwrap_or(i64::MAX);
        let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        Self {
            born: mono.saturating_sub(age),
            queue,
            sites: Sites::Unknown,
            tried: false,
            warned: false,
            flushed: false,
            parked: false,
            requeued: false,
            locked: false,
            bulky: false,
        }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        let mono = i64::try_from(now.0).unwrap_or(i64::MAX);
        Duration::from_nanos(u64::try_from(mono.saturating_sub(self.born)).unwrap_or(0))
    }
}

/// FNV-1a of a domain in lower case. Collisions only make a flush try more mail than was asked for.
fn hash(domain: &str) -> u64 {
    domain
        .to_lowercase()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3))
}

/// Those that wait to be admitted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
struct Line {
    incoming: BTreeSet<QueueId>,
    due: BTreeSet<(Instant, QueueId)>,
}

/// All messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(super) struct Index {
    entries: BTreeMap<QueueId, Entry>,
    letters: Line,
    bulk: Line,
    /// Since when a message's report has been refused: few have one.
    refused: BTreeMap<QueueId, Instant>,
    /// The other queue has the next turn.
    turn: bool,
    walked: u64,
    /// Edges of [`STAGES`].
    #[serde(skip)]
    pub(super) taken: Taken,
}

impl Index {
    /// A message that was on disk at the start. A stored time beyond the longest pause comes from a wrong clock.
    pub(super) fn recover(&mut self, now: Now, summary: &Summary, rule: &RetryRule) {
        let queue = match (summary.held, summary.retry_at) {
            (true, _) => Queue::Hold,
            (false, None) => Queue::Incoming,
            (false, Some(at)) => {
                let pause = at.since(now.wall);
                let believed = if planted!(ClockSticks) { pause } else { pause.min(rule.longest_pause()) };
                Queue::Deferred(now.mono.after(believed))
            }
        };
        let entry =
            Entry { warned: summary.warned, ..Entry::new(now, now.wall.since(summary.arrived), queue) };
        self.insert(summary.id, entry);
    }

    /// A new message.
    pub(super) fn add(&mut self, now: Now, id: QueueId, age: Duration, queue: Queue, bulky: bool) {
        self.insert(id, Entry { bulky, ..Entry::new(now, age, queue) });
    }

    /// Whether it takes more than one place, now that this is known.
    pub(super) fn set_bulky(&mut self, id: QueueId, bulky: bool) {
        let Some(entry) = self.entries.get(&id).filter(|entry| entry.bulky != bulky) else { return };
        let (queue, locked) = (entry.queue, entry.locked);
        self.dequeue(id, queue);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.bulky = bulky;
        }
        if !locked {
            self.enqueue(id, queue);
        }
    }

    fn insert(&mut self, id: QueueId, entry: Entry) {
        let queue = entry.queue;
        self.forget(id);
        self.taken.note(0, queue.stage());
        self.entries.insert(id, entry);
        self.enqueue(id, queue);
    }

    pub(super) fn get(&self, id: QueueId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: QueueId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Puts a message into another queue.
    pub(super) fn put(&mut self, id: QueueId, queue: Queue) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let before = std::mem::replace(&mut entry.queue, queue);
        self.taken.note(before.stage(), queue.stage());
        entry.parked = false;
        let locked = entry.locked;
        self.dequeue(id, before);
        if !locked {
            self.enqueue(id, queue);
        }
    }

    /// Keeps a message where it is, or lets it move again.
    pub(super) fn lock(&mut self, id: QueueId, locked: bool) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.locked = locked;
        let queue = entry.queue;
        self.dequeue(id, queue);
        if !locked {
            self.enqueue(id, queue);
        }
    }

    /// The line that it stands in.
    fn line_of(&mut self, id: QueueId) -> &mut Line {
        let bulky = self.entries.get(&id).is_some_and(|entry| entry.bulky);
        if bulky { &mut self.bulk } else { &mut self.letters }
    }

    fn enqueue(&mut self, id: QueueId, queue: Queue) {
        match queue {
            Queue::Incoming => _ = self.line_of(id).incoming.insert(id),
            Queue::Deferred(due) => _ = self.line_of(id).due.insert((due, id)),
            Queue::Active | Queue::Hold => {}
        }
    }

    fn dequeue(&mut self, id: QueueId, queue: Queue) {
        match queue {
            Queue::Incoming => _ = self.line_of(id).incoming.remove(&id),
            Queue::Deferred(due) => _ = self.line_of(id).due.remove(&(due, id)),
            Queue::Active | Queue::Hold => {}
        }
    }

    /// A message has ended.
    pub(super) fn forget(&mut self, id: QueueId) {
        self.refused.remove(&id);
        if let Some(queue) = self.entries.get(&id).map(|entry| entry.queue) {
            self.taken.note(queue.stage(), 0);
            self.dequeue(id, queue);
            self.entries.remove(&id);
        }
    }

    /// A report of this message was refused; since when.
    pub(super) fn report_refused(&mut self, id: QueueId, now: Instant) -> Instant {
        *self.refused.entry(id).or_insert(now)
    }

    /// It is refused no longer, or given up.
    pub(super) fn report_settled(&mut self, id: QueueId) {
        self.refused.remove(&id);
    }

    /// The lines in which somebody may be admitted.
    fn lines(&self, bulky: bool) -> impl Iterator<Item = &Line> {
        std::iter::once(&self.letters).chain(bulky.then_some(&self.bulk))
    }

    /// The next message to be admitted: one from incoming, then one from deferred; with `bulky`, also one that takes several places.
    pub(super) fn next_to_admit(&mut self, now: Instant, bulky: bool) -> Option<QueueId> {
        let incoming = self.lines(bulky).filter_map(|line| line.incoming.first().copied()).min();
        let first = self.lines(bulky).filter_map(|line| line.due.first().copied()).min();
        let deferred = first.filter(|(due, _)| *due <= now).map(|(_, id)| id);
        let chosen = if self.turn { deferred.or(incoming) } else { incoming.or(deferred) };
        if chosen.is_some() {
            self.turn = !self.turn;
        }
        chosen
    }

    /// True when a message waits to be admitted for the first time: a letter, or with `bulky` any.
    pub(super) fn has_incoming(&self, bulky: bool) -> bool {
        self.lines(bulky).any(|line| !line.incoming.is_empty())
    }

    /// When the next message wants to be admitted, of those that may be; `None` when none does.
    pub(super) fn next_due(&self, bulky: bool) -> Option<Instant> {
        if self.has_incoming(bulky) {
            return Some(Instant(0));
        }
        self.lines(bulky).filter_map(|line| line.due.first().map(|(due, _)| *due)).min()
    }

    /// Messages from `start` on, in the order of their ids.
    pub(super) fn from(&mut self, start: QueueId) -> impl Iterator<Item = (QueueId, &Entry)> {
        let walked = &mut self.walked;
        self.entries.range(start..).map(|(id, entry)| {
            *walked += 1;
            (*id, entry)
        })
    }

    /// The one with the lowest id.
    pub(super) fn first(&self) -> Option<(QueueId, &Entry)> {
        self.entries.first_key_value().map(|(id, entry)| (*id, entry))
    }

    /// The one with the highest id.
    pub(super) fn last(&self) -> Option<QueueId> {
        self.entries.last_key_value().map(|(id, _)| *id)
    }

    /// Messages that [`Index::from`] has given out so far.
    pub(super) const fn walked(&self) -> u64 {
        self.walked
    }

    /// Remembers the domains of the recipients that wait.
    pub(super) fn learn_sites(&mut self, id: QueueId, envelope: &Envelope, standing: &[Standing]) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let mut sites = BTreeSet::new();
        for (recipient, standing) in envelope.recipients.iter().zip(standing) {
            if matches!(standing, Standing::Waiting(_)) && sites.len() <= SITES_MAX {
                sites.insert(hash(recipient.address.domain()));
            }
        }
        entry.sites = match sites.len() {
            1 => sites.first().map_or(Sites::Unknown, |site| Sites::One(*site)),
            2..=SITES_MAX => Sites::Some(sites.into_iter().collect()),
            _ => Sites::Unknown,
        };
    }
}

impl Entry {
    /// False when no recipient that waits is in this domain; true when one is, or when we do not know.
    pub(super) fn may_go_to(&self, domain: &str) -> bool {
        match &self.sites {
            Sites::Unknown => true,
            Sites::One(site) => *site == hash(domain),
            Sites::Some(sites) => sites.contains(&hash(domain)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn now(seconds: u64) -> Now {
        Now::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn an_entry_is_small() {
        let entry = size_of::<(QueueId, Entry)>() + size_of::<(Instant, QueueId)>();
        assert!(entry <= 96, "{entry} octets, and trees are two thirds full");
    }

    #[test]
    fn incoming_and_deferred_take_turns() {
        let mut index = Index::default();
        for id in 1..=3 {
            index.add(now(0), QueueId(id), Duration::ZERO, Queue::Incoming, false);
            index.add(now(0), QueueId(10 + id), Duration::ZERO, Queue::Deferred(Instant(id)), false);
        }
        let order: Vec<_> = std::iter::from_fn(|| {
            let id = index.next_to_admit(Instant(2), true)?;
            index.put(id, Queue::Active);
            Some(id.0)
        })
        .collect();
        assert_eq!(order, [1, 11, 2, 12, 3], "the last is not due");
    }

    #[test]
    fn letters_go_past_bulky_mail_while_there_is_no_room_for_it() {
        let mut index = Index::default();
        index.add(now(0), QueueId(1), Duration::ZERO, Queue::Incoming, true);
        index.add(now(0), QueueId(2), Duration::ZERO, Queue::Incoming, false);
        assert_eq!(index.next_due(false), Some(Instant(0)));
        assert_eq!(index.next_to_admit(Instant(9), false), Some(QueueId(2)));
        index.set_bulky(QueueId(2), true);
        assert_eq!((index.next_to_admit(Instant(9), false), index.next_due(false)), (None, None));
        assert_eq!(index.next_to_admit(Instant(9), true), Some(QueueId(1)));
        index.forget(QueueId(1));
        assert_eq!(index.next_to_admit(Instant(9), true), Some(QueueId(2)));
        index.forget(QueueId(2));
        assert!(
            !index.has_incoming(true) && index.letters == Line::default() && index.bulk == Line::default()
        );
    }

    #[test]
    fn a_clock_that_jumps_while_we_run_changes_no_age() {
        let mut index = Index::default();
        index.add(now(10), QueueId(1), Duration::from_secs(3), Queue::Incoming, false);
        let age = |mono: Now| index.get(QueueId(1)).map(|entry| entry.age(mono.mono));
        assert_eq!(age(now(10)), Some(Duration::from_secs(3)));
        assert_eq!(age(now(15)), Some(Duration::from_secs(8)));
    }

    #[test]
    fn a_stored_time_far_in_the_future_does_not_stick_mail() {
        let mut index = Index::default();
        let years = Timestamp::from_seconds(1_000_000_000);
        let summary = Summary { id: QueueId(1), retry_at: Some(years), ..Summary::default() };
        index.recover(now(0), &summary, &RetryRule::default());
        let latest = now(0).mono.after(RetryRule::default().longest_pause());
        assert!(index.next_due(true).is_some_and(|due| due <= latest));
    }

    #[test]
    fn what_is_locked_is_not_admitted() {
        let mut index = Index::default();
        index.add(now(0), QueueId(1), Duration::ZERO, Queue::Incoming, false);
        index.lock(QueueId(1), true);
        assert_eq!(index.next_to_admit(Instant(9), true), None);
        index.put(QueueId(1), Queue::Deferred(Instant(1)));
        assert_eq!(index.next_to_admit(Instant(9), true), None);
        index.lock(QueueId(1), false);
        assert_eq!(index.next_to_admit(Instant(9), true), Some(QueueId(1)));
    }

    #[test]
    fn sites_are_found_without_regard_to_case_and_unknown_ones_match_all() {
        use crate::mail::Recipient;
        use crate::wire::Mailbox;
        let mut index = Index::default();
        index.add(now(0), QueueId(1), Duration::ZERO, Queue::Incoming, false);
        let may = |index: &Index, site| index.get(QueueId(1)).is_some_and(|entry| entry.may_go_to(site));
        assert!(may(&index, "any.example"));
        let recipients = vec![Recipient::new(Mailbox::new("a", "One.example"))];
        let envelope = Envelope { recipients, ..Envelope::default() };
        index.learn_sites(QueueId(1), &envelope, &[Standing::Waiting(None)]);
        assert!(may(&index, "one.EXAMPLE") && !may(&index, "two.example"));
    }
}
