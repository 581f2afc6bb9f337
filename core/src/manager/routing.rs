//! What routes came to: recipients go to the scheduler, or come to an end at once.
//!
//! Mail for a destination that rests is deferred without an attempt, so that it occupies no active place; mail for one that
//! answers, but slowly, may take as many active places as are free beside it, and the rest is set aside until it has
//! less to do. So no destination, and no number of them, keeps the others out.

use crate::event::Event;
use crate::limits::ROUTE_PAGE_MAX;
use crate::mail::{Diagnosis, Outcome, QueueId, Route, RouteClass};
use crate::manager::active::Wish;
use crate::manager::attempts::Via;
use crate::manager::index::Queue;
use crate::manager::writing::Write;
use crate::manager::{Manager, Output};
use crate::schedule::{Standing, Target};
use crate::time::Now;
use crate::wire::{EnhancedStatus, Mailbox};
use std::collections::BTreeMap;

/// Transports that are not there and were warned of; more than so many are a broken table, and warned of anew.
const WARNED_MAX: usize = 100;

/// What becomes of a page of recipients.
#[derive(Debug, Default)]
struct Sorted {
    targets: BTreeMap<Target, Vec<(u32, Mailbox)>>,
    outcomes: Vec<(u32, Outcome)>,
    /// Destinations that rest.
    resting: Vec<(usize, String)>,
    /// Transports that are not there.
    missing: Vec<String>,
    /// Somebody has tried, so the message may be returned for its age.
    tried: bool,
}

fn deferred(detail: (u16, u16), text: impl Into<String>) -> Outcome {
    Outcome::Deferred(Diagnosis::ours(EnhancedStatus::new(4, detail.0, detail.1), text))
}

/// The answer of a remote system to a report to the postmaster: the end of a loop.
fn discarded() -> Outcome {
    let text = "undeliverable postmaster notification discarded";
    Outcome::Discarded(Diagnosis::ours(EnhancedStatus::new(2, 0, 0), text))
}

/// Why mail for a destination that rests is not tried.
pub(super) fn suspended(why: &Diagnosis) -> Outcome {
    let text = format!("delivery temporarily suspended: {}", why.text);
    let remote_mta = why.remote_mta.clone();
    // A greeting of 5xx also says that a destination is dead; this mail is deferred all the same.
    let status = EnhancedStatus { class: 4, ..why.status };
    Outcome::Deferred(Diagnosis { remote_mta, ..Diagnosis::ours(status, text) })
}

impl Manager {
    /// Routes have been found, or not.
    pub(super) fn routed(&mut self, now: Now, id: QueueId, result: Result<Vec<(u32, Route)>, String>) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let asked = std::mem::take(&mut active.routing);
        if asked.is_empty() {
            return;
        }
        if active.wish != Wish::None {
            self.unload(id, &asked);
            return self.conclude(now, id);
        }
        let sorted = match result {
            Ok(routes) => {
                let sorted = self.sort(id, &asked, routes);
                self.tell_sorted(id, &sorted.targets, &sorted.outcomes);
                sorted
            }
            Err(why) => {
                self.warn(Some(id), format!("address resolver failure: {why}"));
                let outcome = || deferred((3, 0), "address resolver failure");
                Sorted { outcomes: asked.iter().map(|n| (*n, outcome())).collect(), ..Sorted::default() }
            }
        };
        self.distribute(now, id, sorted);
        self.read_page(id);
        self.conclude(now, id);
    }

    /// Where each recipient goes. One that was not answered for is deferred.
    fn sort(&self, id: QueueId, asked: &[u32], routes: Vec<(u32, Route)>) -> Sorted {
        let mut routes: BTreeMap<u32, Route> = routes.into_iter().collect();
        let mut sorted = Sorted::default();
        for number in asked {
            match routes.remove(number) {
                Some(Route::To { class: RouteClass::Local, recipient, .. })
                    if recipient.local().eq_ignore_ascii_case(&self.params.reports.double_bounce_sender) =>
                {
                    sorted.outcomes.push((*number, discarded()));
                }
                Some(Route::To { transport, nexthop, recipient, .. }) => {
                    self.sort_one(id, *number, (transport, &nexthop, recipient), &mut sorted);
                }
                Some(Route::Nowhere(why)) => {
                    sorted.tried = true;
                    let fails = why.status.class == 5;
                    let outcome = if fails { Outcome::Failed(why) } else { Outcome::Deferred(why) };
                    sorted.outcomes.push((*number, outcome));
                }
                None => sorted.outcomes.push((*number, deferred((3, 0), "address resolver failure"))),
            }
        }
        sorted
    }

    fn sort_one(
        &self,
        id: QueueId,
        number: u32,
        (transport, nexthop, recipient): (String, &str, Mailbox),
        sorted: &mut Sorted,
    ) {
        let flushed = self.index.get(id).is_some_and(|entry| entry.flushed);
        if !flushed && self.params.defer_transports.contains(&transport) {
            return sorted.outcomes.push((number, deferred((3, 2), "deferred transport")));
        }
        let Some(target) = self.scheduler.target(&transport, nexthop, &recipient) else {
            sorted.missing.push(transport);
            return sorted.outcomes.push((number, deferred((3, 0), "mail transport unavailable")));
        };
        if let Standing::Throttled(why) = self.scheduler.standing(&target) {
            sorted.tried = true;
            let (transport, key) = target.name();
            sorted.resting.push((transport, key.to_owned()));
            return sorted.outcomes.push((number, suspended(&why)));
        }
        sorted.targets.entry(target).or_default().push((number, recipient));
    }

    fn distribute(&mut self, now: Now, id: QueueId, sorted: Sorted) {
        if let Some(entry) = self.index.get_mut(id) {
            entry.tried |= sorted.tried;
        }
        if sorted.outcomes.is_empty() && self.park(now, id, &sorted.targets) {
            return;
        }
        self.announce(id);
        for transport in sorted.missing {
            self.warn_of_transport(now, id, transport);
        }
        for (target, recipients) in sorted.targets {
            self.offer(now, id, &target, recipients);
        }
        let unread = self.active.get(&id).map_or(0, |active| active.unread.len());
        self.scheduler.set_unread(now.mono, id, u32::try_from(unread).unwrap_or(u32::MAX));
        if !sorted.outcomes.is_empty() {
            let changes = self.settle(now, id, sorted.outcomes, &Via::nobody());
            self.write(Write { changes, messages: [id].into(), ..Write::default() });
        }
        for name in sorted.resting.into_iter().collect::<std::collections::BTreeSet<_>>() {
            self.wake_parked(now, &name, 1);
        }
    }

    /// Logs that the message is active: not before it is known that it stays so.
    fn announce(&mut self, id: QueueId) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let Some(message) = &active.message else { return };
        if std::mem::replace(&mut active.announced, true) {
            return;
        }
        let sender = message.envelope.sender.external();
        let (size, recipients) = (message.pieces.size(), active.count_waiting());
        self.outbox.put(Output::Event(Event::Activated { id, sender, size, recipients }));
    }

    fn offer(&mut self, now: Now, id: QueueId, target: &Target, recipients: Vec<(u32, Mailbox)>) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let numbers: Vec<u32> = recipients.iter().map(|(number, _)| *number).collect();
        active.aboard.extend(recipients);
        active.queued += numbers.len();
        self.scheduler.offer(now.mono, id, active.sequence, target, &numbers);
    }

    /// Sets a message aside whose every destination has more waiting than active places are free.
    fn park(&mut self, now: Now, id: QueueId, targets: &BTreeMap<Target, Vec<(u32, Mailbox)>>) -> bool {
        let free = self.free_places_without(id);
        let congested = |target: &Target| match self.scheduler.standing(target) {
            Standing::Open(entries) => entries as usize > free,
            Standing::Throttled(_) => false,
        };
        let Some(first) = targets.keys().next() else { return false };
        let Some(active) = self.active.get(&id) else { return false };
        let fresh = active.unread.is_empty()
            && !active.put_off
            && active.running == 0
            && active.writing == 0
            && active.queued == 0
            && active.aboard.len() <= ROUTE_PAGE_MAX;
        if !fresh || active.wish != Wish::None || !targets.keys().all(congested) {
            return false;
        }
        let (transport, key) = first.name();
        let name = (transport, key.to_owned());
        let aboard = active.aboard.len();
        if let Standing::Open(entries) = self.scheduler.standing(first) {
            self.warn_of_clog(now, &name.1, entries);
        }
        self.tell_parked(id, &name.1, free);
        _ = self.take_out(id);
        self.aboard = self.aboard.saturating_sub(aboard);
        _ = self.scheduler.withdraw(now.mono, id);
        let age = self.index.get(id).map_or_else(Default::default, |entry| entry.age(now.mono));
        let due = now.mono.after(self.params.retry.pause(age, &mut self.prng));
        self.index.put(id, Queue::Deferred(due));
        if let Some(entry) = self.index.get_mut(id) {
            entry.parked = true;
        }
        self.parked.entry(name).or_default().insert(id);
        true
    }

    /// A destination has less to do: one that was set aside for it may come, and one for each that came back from it.
    pub(super) fn room_at(&mut self, now: Now, name: &(usize, String), waiting: u32, back: usize) {
        let free = self.free_places();
        if waiting == 0 || (waiting as usize) < free {
            self.wake_parked(now, name, back + 1);
        }
    }

    /// So many of those that were set aside for a destination want to be admitted again.
    fn wake_parked(&mut self, now: Now, name: &(usize, String), count: usize) {
        for _ in 0..count {
            let Some(parked) = self.parked.get_mut(name) else { return };
            let id = parked.pop_first();
            if parked.is_empty() {
                self.parked.remove(name);
            }
            if let Some(id) = id {
                _ = self.unpark(now, id);
            }
        }
    }

    /// Lets a message that was set aside come; false when it is so no longer, or an order holds it up.
    pub(super) fn unpark(&mut self, now: Now, id: QueueId) -> bool {
        let Some(locked) = self.index.get(id).filter(|entry| entry.parked).map(|entry| entry.locked) else {
            return false;
        };
        self.index.put(id, Queue::Deferred(now.mono));
        !locked
    }

    fn warn_of_transport(&mut self, now: Now, id: QueueId, transport: String) {
        let again = |at| now.mono.since(at) >= self.params.transport_retry;
        if self.warned.get(&transport).is_some_and(|at| !again(*at)) {
            return;
        }
        if self.warned.len() >= WARNED_MAX {
            self.warned.clear();
        }
        self.warn(Some(id), format!("transport {transport} is not in master.cf: mail for it is deferred"));
        self.warned.insert(transport, now.mono);
    }

    fn warn_of_clog(&mut self, now: Now, destination: &str, entries: u32) {
        let pause = self.params.clog_warning;
        if pause.is_zero() || self.clogged.is_some_and(|at| now.mono.since(at) < pause) {
            return;
        }
        self.clogged = Some(now.mono);
        let limit = self.params.active_limit;
        let text = format!("mail for {destination} is using up {entries} of {limit} active queue entries");
        self.warn(None, text);
    }

    /// These recipients are not aboard any more.
    pub(super) fn unload(&mut self, id: QueueId, numbers: &[u32]) {
        let Some(active) = self.active.get_mut(&id) else { return };
        for number in numbers {
            if active.aboard.remove(number).is_some() {
                self.aboard = self.aboard.saturating_sub(1);
            }
        }
    }
}
