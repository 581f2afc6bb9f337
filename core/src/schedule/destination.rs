//! A destination of one transport: its limits, its health, and who waits for it.

use crate::machine::Stages;
use crate::mail::{Diagnosis, QueueId};
use crate::schedule::Condition;
use crate::schedule::fairness::{Like, Position};
use crate::schedule::limiter::{Limiter, PauseFrom, Permit, Verdict, permit_of};
use crate::schedule::params::TransportParams;
use crate::schedule::window::Window;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Two deliveries follow each other when the second begins within this after the end of the first: mail flows, and a connection
/// that is kept will be used. Postfix's on-demand caching counts in whole seconds, and so as far.
const BACK_TO_BACK: Duration = Duration::from_secs(1);
/// Destinations without mail of which it is remembered when they were last delivered to.
const ENDED_MAX: usize = 1_000;

/// When destinations that have been forgotten were last delivered to: mail that comes in bursts keeps its connections from one
/// to the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(super) struct Ended {
    times: BTreeMap<String, Instant>,
    order: VecDeque<(Instant, String)>,
}

impl Ended {
    /// Remembers a destination for as long as it matters.
    pub(super) fn put(&mut self, now: Instant, destination: Destination) {
        let stale = |at: Instant| now.since(at) > BACK_TO_BACK;
        while let Some((at, _)) = self.order.front()
            && (stale(*at) || self.order.len() >= ENDED_MAX)
        {
            let Some((at, key)) = self.order.pop_front() else { return };
            if self.times.get(&key) == Some(&at) {
                self.times.remove(&key);
            }
        }
        if let Some(at) = destination.ended.filter(|at| !stale(*at)) {
            self.order.push_back((at, destination.key.clone()));
            self.times.insert(destination.key, at);
        }
    }

    /// A destination that may have been known before.
    pub(super) fn restore(&mut self, destination: &mut Destination) {
        destination.ended = self.times.remove(&destination.key);
    }
}

/// Names a destination within its transport while somebody knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DestinationId(pub(super) u64);

/// TABLE of the states of a destination. Who is full waits for the end of an attempt, who pauses for a time, and who is dead for the end of its rest.
pub const STAGES: Stages = Stages {
    machine: "destination",
    names: &["unknown", "free", "full", "pausing", "dead"],
    edges: &[
        ("unknown", "free"),
        ("free", "full"),
        ("full", "free"),
        // `*_destination_rate_delay`.
        ("free", "pausing"),
        ("full", "pausing"),
        ("pausing", "full"),
        ("pausing", "free"),
        ("free", "dead"),
        ("full", "dead"),
        ("pausing", "dead"),
        // Its rest has ended, a straggler got through, or an operator flushes; attempts of before may still run.
        ("dead", "free"),
        ("dead", "full"),
        ("dead", "pausing"),
        ("free", "unknown"),
        ("full", "unknown"),
        ("pausing", "unknown"),
        ("dead", "unknown"),
    ],
};

/// Whether it is worth trying.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Health {
    /// As far as we know.
    Ready,
    /// Its pseudo-cohorts failed: mail for it is deferred without an attempt until then.
    Throttled {
        /// Until when.
        until: Instant,
        /// Why.
        why: Diagnosis,
    },
}

/// What a destination shows to its transport while it permits an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Shown {
    /// The first job that waits for it, and when it was last served.
    pub(super) head: (Position, u64),
    /// For each class of demand, the oldest job.
    pub(super) oldest: Vec<(u8, Like)>,
}

/// One destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Destination {
    /// What makes it this one: the next hop, or with a recipient limit of one recipient and next hop.
    pub(super) key: String,
    /// Where to.
    pub(super) nexthop: String,
    /// The first is the concurrency window.
    pub(super) limiters: Vec<Limiter>,
    pub(super) health: Health,
    /// The jobs that wait for it, in line.
    pub(super) waiting: BTreeMap<Position, QueueId>,
    /// The same jobs by class of demand, oldest first.
    pub(super) classes: BTreeMap<u8, BTreeSet<Like>>,
    /// Entries that wait.
    pub(super) entries: u32,
    /// Attempts that run.
    pub(super) busy: u32,
    /// When the last one ended.
    ended: Option<Instant>,
    /// Mail flows.
    flows: bool,
    /// When it was last served, for round robin.
    pub(super) served: u64,
    /// What the transport knows.
    pub(super) shown: Option<Shown>,
    /// When it wants to be looked at again.
    pub(super) timer: Option<Instant>,
    /// Its stage in [`STAGES`] when the transport last looked; kept up while somebody listens.
    #[serde(skip)]
    pub(super) stage: u8,
}

impl Destination {
    pub(super) fn new(key: String, nexthop: &str, params: &TransportParams) -> Self {
        let mut limiters = vec![Limiter::Window(Window::new(params.window_rule()))];
        if !params.destination_pause.is_zero() {
            limiters.push(Limiter::pace(params.destination_pause, PauseFrom::End));
        }
        Self {
            key,
            nexthop: nexthop.to_owned(),
            limiters,
            health: Health::Ready,
            waiting: BTreeMap::new(),
            classes: BTreeMap::new(),
            entries: 0,
            busy: 0,
            ended: None,
            flows: false,
            served: 0,
            shown: None,
            timer: None,
            stage: 0,
        }
    }

    /// Its stage in [`STAGES`].
    pub(super) fn stage_now(&self, now: Instant) -> u8 {
        match (&self.health, self.permit(now)) {
            (Health::Throttled { .. }, _) => 4,
            (Health::Ready, Permit::Now) => 1,
            (Health::Ready, Permit::AfterRelease) => 2,
            (Health::Ready, Permit::At(_)) => 3,
        }
    }

    /// How it stands, for people.
    pub(super) fn condition(&self) -> Condition {
        let window = self.limiters.iter().find_map(|limiter| match limiter {
            Limiter::Window(window) => Some(window),
            _ => None,
        });
        Condition {
            name: self.key.clone(),
            width: window.map_or(0, Window::width),
            busy: self.busy,
            rests_until: match self.health {
                Health::Ready => None,
                Health::Throttled { until, .. } => Some(until),
            },
        }
    }

    /// Whether another attempt may start.
    pub(super) fn permit(&self, now: Instant) -> Permit {
        match &self.health {
            Health::Ready => permit_of(&self.limiters, now),
            Health::Throttled { until, .. } => Permit::At(*until),
        }
    }

    /// An attempt starts.
    pub(super) fn take(&mut self, now: Instant) {
        self.busy += 1;
        let follows = self.ended.is_some_and(|at| now.since(at) <= BACK_TO_BACK);
        // A burst alone does not begin it: it may be all there is. Once begun, others under way keep it going.
        self.flows = follows || self.flows && self.busy > 1;
        self.limiters.iter_mut().for_each(|limiter| limiter.take(now));
    }

    /// Whether the connection of the attempt that has just started will be of use to another.
    pub(super) const fn has_more(&self) -> bool {
        self.entries > 0 || self.flows
    }

    /// An attempt has ended; true when the destination counts as dead now.
    pub(super) fn release(&mut self, now: Instant, verdict: Verdict) -> bool {
        self.busy = self.busy.saturating_sub(1);
        self.ended = Some(now);
        // Every limiter hears of it, also behind one that says dead.
        let mut dead = false;
        for limiter in &mut self.limiters {
            dead |= limiter.release(now, verdict);
        }
        dead
    }

    /// It rests no longer.
    pub(super) fn revive(&mut self) {
        self.health = Health::Ready;
        for limiter in &mut self.limiters {
            if let Limiter::Window(window) = limiter {
                window.restart();
            }
        }
    }

    /// A job stands in line.
    pub(super) fn admit(&mut self, position: Position, class: u8, like: Like) {
        self.waiting.insert(position, like.1);
        self.classes.entry(class).or_default().insert(like);
    }

    /// A job stands in line no longer.
    pub(super) fn dismiss(&mut self, position: Position, class: u8, like: Like) {
        self.waiting.remove(&position);
        if let Some(members) = self.classes.get_mut(&class) {
            members.remove(&like);
            if members.is_empty() {
                self.classes.remove(&class);
            }
        }
    }

    /// What it shows when it permits an attempt.
    pub(super) fn show(&self) -> Option<Shown> {
        let (position, _) = self.waiting.first_key_value()?;
        let oldest =
            self.classes.iter().filter_map(|(class, members)| Some((*class, *members.first()?))).collect();
        Some(Shown { head: (*position, self.served), oldest })
    }

    /// True when nobody needs it, and forgetting it forgets nothing that matters.
    pub(super) fn is_forgettable(&self, now: Instant) -> bool {
        self.busy == 0 && self.waiting.is_empty() && self.permit(now) == Permit::Now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A destination that was last delivered to then.
    fn ended(key: &str, at: Instant) -> Destination {
        let mut destination = Destination::new(key.to_owned(), key, &TransportParams::new("smtp", 1));
        destination.ended = Some(at);
        destination
    }

    fn remembered(ended: &Ended, key: &str) -> Option<Instant> {
        let mut destination = Destination::new(key.to_owned(), key, &TransportParams::new("smtp", 1));
        ended.clone().restore(&mut destination);
        destination.ended
    }

    #[test]
    fn who_was_delivered_to_is_remembered_for_a_second_and_no_longer() {
        let mut memory = Ended::default();
        let (start, end) = (Instant(0), Instant(0).after(SECOND));
        memory.put(end, ended("a", start));
        memory.put(end, ended("b", start));
        assert_eq!(
            [remembered(&memory, "a"), remembered(&memory, "b")],
            [Some(start); 2],
            "a second is not too long, and one does not push another out"
        );
        let late = end.after(Duration::from_nanos(1));
        memory.put(late, ended("c", start));
        assert_eq!(memory, Ended::default(), "nothing is kept of what is too old");
    }

    #[test]
    fn what_was_remembered_first_makes_room_beyond_the_bound() {
        let mut memory = Ended::default();
        (0..=ENDED_MAX).for_each(|n| memory.put(Instant(1), ended(&n.to_string(), Instant(1))));
        assert_eq!((memory.times.len(), memory.order.len()), (ENDED_MAX, ENDED_MAX));
        assert_eq!(remembered(&memory, "0"), None);
        assert_eq!(remembered(&memory, "1"), Some(Instant(1)));
    }

    #[test]
    fn an_older_time_that_is_dropped_does_not_take_a_newer_one_along() {
        let mut memory = Ended::default();
        let newer = Instant(1).after(SECOND / 2);
        memory.put(Instant(1), ended("a", Instant(1)));
        memory.put(newer, ended("a", newer));
        memory.put(newer.after(SECOND), ended("b", newer));
        assert_eq!(remembered(&memory, "a"), Some(newer));
        assert_eq!(memory.order.len(), 2);
    }
}
