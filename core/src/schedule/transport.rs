//! One transport: its destinations and jobs, and which entry goes next.
//!
//! SCHEDULER_README picks the first job in line that has an entry for a destination that permits an attempt. Walking the
//! line would cost more the longer it is. So each destination that permits an attempt shows its first job, and the oldest job
//! of each class of demand; the transport keeps what is shown in order. One step costs a few look-ups in trees,
//! whatever waits behind a destination that permits nothing.

use crate::machine::Taken;
use crate::mail::{Diagnosis, QueueId};
use crate::schedule::Condition;
use crate::schedule::destination::{Destination, DestinationId, Ended, Health};
use crate::schedule::fairness::{Job, Like, Merit, Position, class_of};
use crate::schedule::limiter::{Limiter, PauseFrom, Permit, Verdict, permit_of};
use crate::schedule::params::TransportParams;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Jobs of one class that are looked at for one that may pass: in the class at the border some are too large.
const LOOKS_PER_CLASS: usize = 4;

/// An entry that goes now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Picked {
    pub(super) message: QueueId,
    pub(super) destination: DestinationId,
    pub(super) nexthop: String,
    pub(super) recipients: Vec<u32>,
    /// More waits for this destination, or will soon.
    pub(super) more: bool,
}

/// One transport.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Transport {
    pub(super) params: TransportParams,
    limiters: Vec<Limiter>,
    names: BTreeMap<String, DestinationId>,
    destinations: BTreeMap<DestinationId, Destination>,
    ended: Ended,
    jobs: BTreeMap<QueueId, Job>,
    line: BTreeMap<Position, QueueId>,
    heads: BTreeSet<(Position, u64, DestinationId)>,
    candidates: BTreeMap<u8, BTreeSet<(Like, DestinationId)>>,
    timers: BTreeSet<(Instant, DestinationId)>,
    dead: usize,
    next_destination: u64,
    clock: u64,
    /// Steps of work so far; tests bound it.
    pub(super) steps: u64,
    /// Edges of the table of destinations.
    #[serde(skip)]
    pub(super) taken: Taken,
}

impl Transport {
    pub(super) fn new(params: TransportParams) -> Self {
        let limit = if params.processes == 0 { u32::MAX } else { params.processes };
        let mut limiters = vec![Limiter::Slots { limit, busy: 0 }];
        if !params.transport_pause.is_zero() {
            limiters.push(Limiter::pace(params.transport_pause, PauseFrom::Start));
        }
        Self {
            params,
            limiters,
            names: BTreeMap::new(),
            destinations: BTreeMap::new(),
            ended: Ended::default(),
            jobs: BTreeMap::new(),
            line: BTreeMap::new(),
            heads: BTreeSet::new(),
            candidates: BTreeMap::new(),
            timers: BTreeSet::new(),
            dead: 0,
            next_destination: 0,
            clock: 0,
            steps: 0,
            taken: Taken::default(),
        }
    }

    /// The destination of this key, if it is known.
    pub(super) fn known(&self, key: &str) -> Option<&Destination> {
        self.destinations.get(self.names.get(key)?)
    }

    /// How a destination stands, if it is known.
    pub(super) fn condition(&self, id: DestinationId) -> Option<Condition> {
        self.destinations.get(&id).map(Destination::condition)
    }

    /// The key of a destination and how many entries wait for it, if it is still known.
    pub(super) fn waiting_at(&self, id: DestinationId) -> Option<(&str, u32)> {
        self.destinations.get(&id).map(|destination| (destination.key.as_str(), destination.entries))
    }

    /// How all its destinations stand.
    pub(super) fn conditions(&self) -> impl Iterator<Item = Condition> {
        self.destinations.values().map(Destination::condition)
    }

    /// How the destinations stand that a message waits for.
    pub(super) fn waited_for(&self, message: QueueId) -> impl Iterator<Item = Condition> {
        let peers = self.jobs.get(&message).into_iter().flat_map(|job| job.peers.keys());
        peers.filter_map(|id| self.condition(*id))
    }

    fn named(&mut self, key: &str, nexthop: &str) -> DestinationId {
        if let Some(id) = self.names.get(key) {
            return *id;
        }
        let id = DestinationId(self.next_destination);
        self.next_destination += 1;
        self.names.insert(key.to_owned(), id);
        let mut destination = Destination::new(key.to_owned(), nexthop, &self.params);
        self.ended.restore(&mut destination);
        self.destinations.insert(id, destination);
        id
    }

    /// Recipients of a message join the line. `sequence` is the message's, however many pages it comes in.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        message: QueueId,
        sequence: u64,
        (key, nexthop): (&str, &str),
        recipients: &[u32],
    ) {
        let id = self.named(key, nexthop);
        let limit = match self.params.recipient_limit {
            0 => usize::MAX,
            limit => limit as usize,
        };
        let job = self.jobs.entry(message).or_insert_with(|| Job::new(sequence, now));
        self.line.insert(job.position, message);
        let before = class_of(job.demand());
        let entries: Vec<Vec<u32>> = recipients.chunks(limit).map(<[u32]>::to_vec).collect();
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let joins = !job.peers.contains_key(&id);
        job.peers.entry(id).or_default().extend(entries);
        job.entries = job.entries.saturating_add(count);
        let like = (job.sequence, message);
        if let Some(destination) = self.destinations.get_mut(&id) {
            destination.entries = destination.entries.saturating_add(count);
            if joins {
                // In the class of before: the change of class below moves it with all others.
                destination.admit(job.position, before, like);
            }
        }
        self.reclass(now, message, before);
        self.refresh(now, id);
    }

    /// So many recipients of the message are not yet routed.
    pub(super) fn set_unread(&mut self, now: Instant, message: QueueId, unread: u32) {
        let Some(job) = self.jobs.get_mut(&message) else { return };
        let before = class_of(job.demand());
        job.unread = unread;
        self.reclass(now, message, before);
        self.drop_if_done(message);
    }

    /// The message wants nothing any more; gives back what waited.
    pub(super) fn withdraw(&mut self, now: Instant, message: QueueId) -> Vec<u32> {
        let Some(job) = self.jobs.get_mut(&message) else { return Vec::new() };
        job.unread = 0;
        let peers: Vec<_> = job.peers.keys().copied().collect();
        let taken = peers.into_iter().flat_map(|id| self.leave(now, message, id)).collect();
        self.drop_if_done(message);
        taken
    }

    /// Takes all entries of a message for a destination out of the line.
    fn leave(&mut self, now: Instant, message: QueueId, id: DestinationId) -> Vec<u32> {
        let Some(job) = self.jobs.get_mut(&message) else { return Vec::new() };
        let Some(entries) = job.peers.remove(&id) else { return Vec::new() };
        let before = class_of(job.demand());
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        job.entries = job.entries.saturating_sub(count);
        let (position, like) = (job.position, (job.sequence, message));
        if let Some(destination) = self.destinations.get_mut(&id) {
            destination.entries = destination.entries.saturating_sub(count);
            destination.dismiss(position, before, like);
        }
        self.reclass(now, message, before);
        self.refresh(now, id);
        entries.into_iter().flatten().collect()
    }

    fn drop_if_done(&mut self, message: QueueId) {
        let done = |job: &Job| job.peers.is_empty() && job.unread == 0;
        if let Some(job) = self.jobs.get(&message)
            && done(job)
        {
            self.line.remove(&job.position);
            self.jobs.remove(&message);
        }
    }

    /// A job's demand has changed: its destinations list it in another class.
    fn reclass(&mut self, now: Instant, message: QueueId, before: u8) {
        let Some(job) = self.jobs.get(&message) else { return };
        let class = class_of(job.demand());
        if class == before {
            return;
        }
        let (position, like) = (job.position, (job.sequence, message));
        let peers: Vec<_> = job.peers.keys().copied().collect();
        for id in peers {
            if let Some(destination) = self.destinations.get_mut(&id) {
                destination.dismiss(position, before, like);
                destination.admit(position, class, like);
            }
            self.refresh(now, id);
        }
    }

    /// Shows what a destination now has to show, arms its timer, or forgets it.
    fn refresh(&mut self, now: Instant, id: DestinationId) {
        self.steps += 1;
        self.hide(id);
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        let forgettable = destination.is_forgettable(now);
        if self.taken.is_heard() {
            let stage = if forgettable { 0 } else { destination.stage_now(now) };
            self.taken.note(std::mem::replace(&mut destination.stage, stage), stage);
        }
        if forgettable {
            if let Some(destination) = self.destinations.remove(&id) {
                self.names.remove(&destination.key);
                self.ended.put(now, destination);
            }
            return;
        }
        match destination.permit(now) {
            Permit::Now => {
                let Some(shown) = destination.show() else { return };
                self.steps += shown.oldest.len() as u64;
                self.heads.insert((shown.head.0, shown.head.1, id));
                for (class, like) in &shown.oldest {
                    self.candidates.entry(*class).or_default().insert((*like, id));
                }
                destination.shown = Some(shown);
            }
            Permit::At(time) => {
                destination.timer = Some(time);
                self.timers.insert((time, id));
            }
            Permit::AfterRelease => {}
        }
    }

    fn hide(&mut self, id: DestinationId) {
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        if let Some(time) = destination.timer.take() {
            self.timers.remove(&(time, id));
        }
        let Some(shown) = destination.shown.take() else { return };
        self.heads.remove(&(shown.head.0, shown.head.1, id));
        for (class, like) in shown.oldest {
            if let Some(members) = self.candidates.get_mut(&class) {
                members.remove(&(like, id));
                if members.is_empty() {
                    self.candidates.remove(&class);
                }
            }
        }
    }

    /// The next entry, if the transport and one of its destinations permit one.
    pub(super) fn pick(&mut self, now: Instant) -> Option<Picked> {
        if permit_of(&self.limiters, now) != Permit::Now {
            return None;
        }
        self.let_pass(now);
        let (position, _, id) = *self.heads.first()?;
        let message = *self.line.get(&position)?;
        let job = self.jobs.get_mut(&message)?;
        let before = class_of(job.demand());
        let entries = job.peers.get_mut(&id)?;
        let recipients = entries.pop_front()?;
        let last = entries.is_empty();
        job.entries = job.entries.saturating_sub(1);
        job.given += 1;
        let like = (job.sequence, message);
        let destination = self.destinations.get_mut(&id)?;
        if last {
            job.peers.remove(&id);
            destination.dismiss(position, before, like);
        }
        self.clock += 1;
        destination.served = self.clock;
        destination.entries = destination.entries.saturating_sub(1);
        destination.take(now);
        let (nexthop, more) = (destination.nexthop.clone(), destination.has_more());
        self.limiters.iter_mut().for_each(|limiter| limiter.take(now));
        self.reclass(now, message, before);
        self.refresh(now, id);
        self.drop_if_done(message);
        Some(Picked { message, destination: id, nexthop, recipients, more })
    }

    /// Lets the worthiest small job pass the one whose turn it is, if that has earned enough.
    fn let_pass(&mut self, now: Instant) {
        let Some((position, _, _)) = self.heads.first() else { return };
        let Some(current) = self.line.get(position).copied() else { return };
        let rule = self.params.slots;
        let Some(allowance) = self.jobs.get(&current).and_then(|job| job.allowance(rule)) else { return };
        let mut best: Option<(Merit, QueueId, u64)> = None;
        let mut steps = 0;
        for members in self.candidates.range(..=class_of(allowance.most)).map(|(_, members)| members) {
            for ((_, message), _) in members.iter().take(LOOKS_PER_CLASS) {
                steps += 1;
                let Some(job) = self.jobs.get(message) else { continue };
                let demand = job.demand();
                if *message == current || demand > allowance.most {
                    continue;
                }
                let merit = Merit::new(now.since(job.since), demand);
                if best.as_ref().is_none_or(|(other, _, _)| merit.exceeds(other)) {
                    best = Some((merit, *message, demand));
                }
                break;
            }
        }
        self.steps += steps;
        if let Some((_, message, demand)) = best
            && allowance.suffices(demand)
        {
            self.pass(now, message, current, demand * u64::from(rule.cost));
        }
    }

    /// Moves a job in front of another, which pays.
    fn pass(&mut self, now: Instant, message: QueueId, current: QueueId, price: u64) {
        let Some(before) = self.jobs.get(&current).map(|job| job.position) else { return };
        let neighbour = self.line.range(..before).next_back().map(|(position, _)| *position);
        let Some(position) = Position::after(neighbour, before) else { return };
        let Some(job) = self.jobs.get_mut(&message) else { return };
        let old = std::mem::replace(&mut job.position, position);
        let (class, like) = (class_of(job.demand()), (job.sequence, message));
        let peers: Vec<_> = job.peers.keys().copied().collect();
        self.line.remove(&old);
        self.line.insert(position, message);
        for id in peers {
            if let Some(destination) = self.destinations.get_mut(&id) {
                destination.dismiss(old, class, like);
                destination.admit(position, class, like);
            }
            self.refresh(now, id);
        }
        if let Some(job) = self.jobs.get_mut(&current) {
            job.spent += price;
        }
    }

    /// An attempt has ended. When its destination counts as dead now, everything that waited for it comes back.
    pub(super) fn ended(
        &mut self,
        now: Instant,
        id: DestinationId,
        bad: Option<&Diagnosis>,
        verdict: Verdict,
        (rest, dead_limit): (Duration, usize),
    ) -> Vec<(QueueId, Vec<u32>)> {
        for limiter in &mut self.limiters {
            _ = limiter.release(now, verdict);
        }
        let Some(destination) = self.destinations.get_mut(&id) else { return Vec::new() };
        let dead = destination.release(now, verdict);
        let throttled = matches!(destination.health, Health::Throttled { .. });
        match (bad, dead, throttled, verdict) {
            // A straggler got through: the others need not wait for the end of the rest.
            (_, _, true, Verdict::Good) => {
                destination.revive();
                self.dead = self.dead.saturating_sub(1);
            }
            (Some(why), true, false, _) if self.dead < dead_limit => {
                destination.health = Health::Throttled { until: now.after(rest), why: why.clone() };
                self.dead += 1;
                let waiting: Vec<_> = destination.waiting.values().copied().collect();
                let back = waiting.into_iter().map(|message| {
                    let recipients = self.leave(now, message, id);
                    self.drop_if_done(message);
                    (message, recipients)
                });
                let back = back.collect();
                self.refresh(now, id);
                return back;
            }
            _ => {}
        }
        self.refresh(now, id);
        Vec::new()
    }

    /// Looks at destinations whose time has come.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((time, id)) = self.timers.first().copied()
            && time <= now
        {
            if planted!(DeadForever) {
                self.timers.remove(&(time, id));
                continue;
            }
            self.revive(now, id);
        }
    }

    fn revive(&mut self, now: Instant, id: DestinationId) {
        if let Some(destination) = self.destinations.get_mut(&id)
            && matches!(destination.health, Health::Throttled { .. })
        {
            destination.revive();
            self.dead = self.dead.saturating_sub(1);
        }
        self.refresh(now, id);
    }

    /// Forgets that destinations were dead.
    pub(super) fn revive_all(&mut self, now: Instant) {
        let throttled = |(id, destination): (&DestinationId, &Destination)| {
            matches!(destination.health, Health::Throttled { .. }).then_some(*id)
        };
        let ids: Vec<_> = self.destinations.iter().filter_map(throttled).collect();
        ids.into_iter().for_each(|id| self.revive(now, id));
    }

    /// When [`Transport::wake`] has something to do, or with `picking` [`Transport::pick`].
    pub(super) fn next_timeout(&self, picking: bool) -> Option<Instant> {
        let timer = self.timers.first().map(|(time, _)| *time);
        let pause = match (picking && !self.heads.is_empty()).then(|| permit_of(&self.limiters, Instant(0))) {
            Some(Permit::At(time)) => Some(time),
            _ => None,
        };
        [timer, pause].into_iter().flatten().min()
    }

    /// Destinations that are known; tests bound it.
    #[cfg(test)]
    pub(super) fn destinations(&self) -> usize {
        self.destinations.len()
    }

    /// Messages that are known; none is when nothing waits and nothing more will come.
    #[cfg(test)]
    pub(super) fn messages(&self) -> usize {
        self.jobs.len()
    }
}
