//! Who goes next: transports, destinations, fairness, limits.
//!
//! SCHEDULER_README, with its names: a message's recipients become entries (one attempt each) of a job for each transport;
//! transports take turns; within one, jobs go in the order they came unless small mail passes large; an entry goes only when
//! every limiter of its transport and destination permits it. A destination that can not be reached rests, and mail for it
//! comes back at once with the reason, so that it occupies nothing.
//!
//! Promises that one step costs the same whatever waits. Knows nothing of messages beyond ids and recipient numbers, of
//! the disk, or of time beyond what it is told.

mod destination;
mod fairness;
mod limiter;
mod params;
mod retry;
mod transport;
mod window;

#[cfg(test)]
mod tests;

pub use destination::{DestinationId, STAGES};
pub use fairness::SlotRule;
pub use limiter::{Limiter, PauseFrom, Permit, Verdict};
pub use params::{Params, TransportParams};
pub use retry::RetryRule;
pub use window::{Amount, Gain, NotAGain, Window, WindowRule};

use crate::mail::{Diagnosis, Feedback, QueueId};
use crate::time::{Duration, Instant};
use crate::wire::Mailbox;
use destination::Health;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use transport::Transport;

/// A destination, as its transport tells destinations apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Which transport, as a place in [`Params::transports`].
    transport: usize,
    /// The next hop in lower case; with a recipient limit of one the recipient before it.
    key: String,
    /// The next hop as routing gave it.
    nexthop: String,
}

/// How a destination stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Mail may be offered; so many entries wait already.
    Open(u32),
    /// It rests: defer, for this reason.
    Throttled(Diagnosis),
}

/// What a destination may do now, for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Its name: next hop, or recipient and next hop.
    pub name: String,
    /// Deliveries that may run at once.
    pub width: u32,
    /// Deliveries that run.
    pub busy: u32,
    /// It rests until then.
    pub rests_until: Option<Instant>,
}

/// Where a running attempt holds its permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    transport: usize,
    destination: DestinationId,
}

/// An attempt that may start now; its permits are taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chosen {
    /// Which message.
    pub message: QueueId,
    /// Name of the transport.
    pub transport: String,
    /// Where to.
    pub nexthop: String,
    /// Numbers in the envelope.
    pub recipients: Vec<u32>,
    /// More mail waits for this destination, or flows to it: a connection that is kept will be used.
    pub more: bool,
    /// For [`Scheduler::ended`].
    pub place: Place,
}

/// Mail that comes back without an attempt, because its destination rests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Returned {
    /// Which message.
    pub message: QueueId,
    /// Numbers in the envelope.
    pub recipients: Vec<u32>,
}

/// The scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scheduler {
    transports: Vec<Transport>,
    names: BTreeMap<String, usize>,
    turn: usize,
    rest: Duration,
    dead_limit: usize,
}

impl Scheduler {
    /// Nothing waits.
    #[must_use]
    pub fn new(params: Params) -> Self {
        let names = params.transports.iter().enumerate().map(|(at, t)| (t.name.clone(), at)).collect();
        Self {
            transports: params.transports.into_iter().map(Transport::new).collect(),
            names,
            turn: 0,
            rest: params.rest,
            dead_limit: params.dead_limit,
        }
    }

    /// The destination of a route; `None` when there is no such transport.
    #[must_use]
    pub fn target(&self, transport: &str, nexthop: &str, recipient: &Mailbox) -> Option<Target> {
        let transport = *self.names.get(transport)?;
        let each = self.transports.get(transport)?.params.recipient_limit == 1;
        let folded = nexthop.to_lowercase();
        let key = if each { format!("{}@{folded}", recipient.local().to_lowercase()) } else { folded };
        Some(Target { transport, key, nexthop: nexthop.to_owned() })
    }

    /// How a destination stands.
    #[must_use]
    pub fn standing(&self, target: &Target) -> Standing {
        let known = self.transports.get(target.transport).and_then(|t| t.known(&target.key));
        match known.map(|destination| (&destination.health, destination.entries)) {
            None => Standing::Open(0),
            Some((Health::Ready, entries)) => Standing::Open(entries),
            Some((Health::Throttled { why, .. }, _)) => Standing::Throttled(why.clone()),
        }
    }

    /// Recipients of a message for one destination join the line. `sequence` is the place of the message among all,
    /// the same for all its pages.
    pub fn offer(
        &mut self,
        now: Instant,
        message: QueueId,
        sequence: u64,
        target: &Target,
        recipients: &[u32],
    ) {
        if let Some(transport) = self.transports.get_mut(target.transport)
            && !recipients.is_empty()
        {
            transport.offer(now, message, sequence, (&target.key, &target.nexthop), recipients);
        }
    }

    /// So many recipients of the message are not yet routed; its jobs may grow by them.
    pub fn set_unread(&mut self, now: Instant, message: QueueId, unread: u32) {
        self.transports.iter_mut().for_each(|transport| transport.set_unread(now, message, unread));
    }

    /// The message wants nothing any more; gives back what waited.
    pub fn withdraw(&mut self, now: Instant, message: QueueId) -> Vec<u32> {
        self.transports.iter_mut().flat_map(|transport| transport.withdraw(now, message)).collect()
    }

    /// The next attempt, if one may start: transports take turns.
    pub fn choose(&mut self, now: Instant) -> Option<Chosen> {
        let count = self.transports.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            let Some(transport) = self.transports.get_mut(at) else { continue };
            let Some(picked) = transport.pick(now) else { continue };
            let name = transport.params.name.clone();
            self.turn = (at + 1) % count;
            return Some(Chosen {
                message: picked.message,
                transport: name,
                nexthop: picked.nexthop,
                recipients: picked.recipients,
                more: picked.more,
                place: Place { transport: at, destination: picked.destination },
            });
        }
        None
    }

    /// The destination of a running attempt, as [`Target::name`] names it, and how many entries wait for it.
    #[must_use]
    pub fn waiting_at(&self, place: Place) -> Option<((usize, &str), u32)> {
        let (key, entries) = self.transports.get(place.transport)?.waiting_at(place.destination)?;
        Some(((place.transport, key), entries))
    }

    /// The transport of a destination.
    #[must_use]
    pub fn transport_name(&self, target: &Target) -> String {
        self.transports.get(target.transport).map(|t| t.params.name.clone()).unwrap_or_default()
    }

    /// How the destination of a running attempt stands.
    #[must_use]
    pub fn health_of(&self, place: Place) -> Option<Condition> {
        self.transports.get(place.transport)?.condition(place.destination)
    }

    /// The destinations that a message waits for in the line, for people.
    pub fn waited_for(&self, message: QueueId) -> impl Iterator<Item = Condition> {
        self.transports.iter().flat_map(move |transport| transport.waited_for(message))
    }

    /// The destinations that rest, for people.
    pub fn resting(&self) -> impl Iterator<Item = Condition> {
        let all = self.transports.iter().flat_map(Transport::conditions);
        all.filter(|condition| condition.rests_until.is_some())
    }

    /// An attempt has ended. When its destination counts as dead now, what waited for it comes back.
    pub fn ended(&mut self, now: Instant, place: Place, feedback: &Feedback) -> Vec<Returned> {
        let (bad, verdict) = match feedback {
            Feedback::Good => (None, Verdict::Good),
            Feedback::Bad(why) => (Some(why), Verdict::Bad),
            Feedback::Neutral => (None, Verdict::Neutral),
        };
        let bounds = (self.rest, self.dead_limit);
        let Some(transport) = self.transports.get_mut(place.transport) else { return Vec::new() };
        let back = transport.ended(now, place.destination, bad, verdict, bounds);
        back.into_iter().map(|(message, recipients)| Returned { message, recipients }).collect()
    }

    /// Lets time pass: rests and pauses end.
    pub fn wake(&mut self, now: Instant) {
        self.transports.iter_mut().for_each(|transport| transport.wake(now));
    }

    /// Forgets that destinations were dead (an operator's flush).
    pub fn revive_all(&mut self, now: Instant) {
        self.transports.iter_mut().for_each(|transport| transport.revive_all(now));
    }

    /// When [`Scheduler::wake`] has something to do, or, with `choosing`, [`Scheduler::choose`].
    #[must_use]
    pub fn next_timeout(&self, choosing: bool) -> Option<Instant> {
        self.transports.iter().filter_map(|transport| transport.next_timeout(choosing)).min()
    }

    /// From now on edges of [`STAGES`] are noted.
    pub fn listen_to_edges(&mut self) {
        self.transports.iter_mut().for_each(|transport| transport.taken.listen());
    }

    /// Those that were taken since the last call.
    #[must_use]
    pub fn edges_taken(&mut self) -> Vec<(u8, u8)> {
        self.transports.iter_mut().flat_map(|transport| transport.taken.take()).collect()
    }

    /// Steps of work so far: for tests and measurements of what a message costs.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.transports.iter().map(|transport| transport.steps).sum()
    }
}

impl Target {
    /// What tells it apart: transport and key.
    #[must_use]
    pub fn name(&self) -> (usize, &str) {
        (self.transport, &self.key)
    }
}
