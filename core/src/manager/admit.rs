//! From the other queues into the active one.
//!
//! qmgr(8), "leaky bucket" and "fairness": the active queue is bounded, and incoming and deferred mail take turns. Envelopes are
//! loaded on activation only; a new message brings its own.

use crate::event::Event;
use crate::limits::{LOADS_MAX, ROUTE_PAGE_MAX};
use crate::mail::{Loaded, Message, QueueId, Standing};
use crate::manager::active::{Active, Leaving, Wish};
use crate::manager::index::Queue;
use crate::manager::places::{COMES, footprint, places_of};
use crate::manager::{Life, Manager, Output, Params};
use crate::schedule::Scheduler;
use crate::time::{Duration, Now};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Manager {
    /// True when another message may become active.
    pub(super) fn has_room(&self) -> bool {
        self.life == Life::Running
            && self.writer.is_well()
            && !self.writer.is_behind()
            && self.loading < LOADS_MAX
            && self.free_places() > 0
    }

    /// True when a bulky one may, if another may at all.
    pub(super) fn has_room_for_bulk(&self) -> bool {
        self.places.has_room_for_bulk(self.params.active_limit)
    }

    /// Places of the active queue that are free.
    pub(super) fn free_places(&self) -> usize {
        self.places.free(self.params.active_limit)
    }

    /// The same as if a message that is active were not.
    pub(super) fn free_places_without(&self, id: QueueId) -> usize {
        let mut others = self.places;
        if let Some(active) = self.active.get(&id) {
            others.leave(active.places);
        }
        others.free(self.params.active_limit)
    }

    /// Counts the places of a message anew: it was loaded, or there is more to remember of it.
    pub(super) fn recount(&mut self, id: QueueId) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let places = active.places_now();
        if places == active.places {
            return;
        }
        self.places.leave(active.places);
        self.places.enter(places);
        active.places = places;
        self.index.set_bulky(id, places > 1);
    }

    /// Takes a message out of the active queue.
    pub(super) fn take_out(&mut self, id: QueueId) -> Option<Active> {
        let active = self.active.remove(&id)?;
        self.places.leave(active.places);
        Some(active)
    }

    /// A new message: it becomes active at once if nobody waits before it and there is room.
    pub(super) fn committed(&mut self, now: Now, message: Box<Message>) {
        let id = message.id;
        if self.index.get(id).is_some() {
            return self.warn(Some(id), "the same queue id was committed twice".to_owned());
        }
        let bulky = places_of(footprint(&message, &[])) > 1;
        let room = self.has_room() && (!bulky || self.has_room_for_bulk());
        let direct = !message.hold && !self.index.has_incoming(bulky) && room;
        let queue = match (message.hold, direct) {
            (true, _) => Queue::Hold,
            (false, true) => Queue::Active,
            (false, false) => Queue::Incoming,
        };
        self.tell_admission(id, queue);
        // It is new, whatever the wall clock has done since the client named its recipients.
        self.index.add(now, id, Duration::ZERO, queue, bulky);
        if direct {
            self.activate(now, id);
            self.begin(now, id, Arc::from(message), Vec::new());
        } else {
            let standing = vec![Standing::Waiting(None); message.envelope.recipients.len()];
            self.index.learn_sites(id, &message.envelope, &standing);
        }
    }

    /// Fills the active queue.
    pub(super) fn admit_more(&mut self, now: Now) {
        while self.has_room() {
            let bulky = self.has_room_for_bulk();
            let Some(id) = self.index.next_to_admit(now.mono, bulky).or_else(|| self.next_stale(now, bulky))
            else {
                return;
            };
            self.activate(now, id);
            self.loading += 1;
            self.outbox.put(Output::Load(id));
        }
    }

    /// One of those that were set aside before the configuration was read again.
    fn next_stale(&mut self, now: Now, bulky: bool) -> Option<QueueId> {
        while let Some(group) = self.stale.front_mut() {
            let Some(id) = group.pop_first() else {
                self.stale.pop_front();
                continue;
            };
            // One that is too bulky for now waits its turn among its like.
            if self.unpark(now, id) && (bulky || self.index.get(id).is_some_and(|entry| !entry.bulky)) {
                return Some(id);
            }
        }
        None
    }

    fn activate(&mut self, now: Now, id: QueueId) {
        self.index.put(id, Queue::Active);
        self.last_sequence += 1;
        let age = self.index.get(id).map_or_else(Default::default, |entry| entry.age(now.mono));
        let bulky = self.index.get(id).is_some_and(|entry| entry.bulky);
        let active = Active::new(self.last_sequence, now.mono, age, if bulky { COMES } else { 1 });
        self.places.enter(active.places);
        self.active.insert(id, active);
    }

    /// The log has read a message.
    pub(super) fn loaded(&mut self, now: Now, id: QueueId, loaded: Result<Option<Box<Loaded>>, String>) {
        if self.active.get(&id).is_none_or(|active| active.message.is_some()) {
            return;
        }
        self.loading = self.loading.saturating_sub(1);
        match loaded {
            Ok(Some(loaded)) => return self.begin(now, id, Arc::new(loaded.message), loaded.standing),
            // A disk that fails today may read tomorrow: forgetting the message would lose it until a restart.
            Err(why) => return self.unreadable(now, id, &why),
            Ok(None) => {}
        }
        _ = self.take_out(id);
        self.index.forget(id);
        let text = "the message is no longer in the queue".to_owned();
        self.outbox.put(Output::Event(Event::Trouble { program: "qmgr", id: Some(id), text }));
    }

    fn unreadable(&mut self, now: Now, id: QueueId, why: &str) {
        self.warn(Some(id), format!("the message can not be read now, it is tried again later: {why}"));
        let due = self.next_turn(now, id);
        self.leave(now, id, Leaving::Later(due));
    }

    /// It is in memory: its recipients are routed, or what is left to do for it is done.
    fn begin(&mut self, now: Now, id: QueueId, message: Arc<Message>, standing: Vec<Standing>) {
        let Some(active) = self.active.get_mut(&id) else { return };
        active.fill(message, standing);
        let Some(message) = &active.message else { return };
        self.index.learn_sites(id, &message.envelope, &active.standing);
        if self.is_too_bulky_now(id) {
            _ = self.take_out(id);
            self.index.set_bulky(id, true);
            return self.index.put(id, Queue::Deferred(now.mono));
        }
        self.recount(id);
        let Some(active) = self.active.get_mut(&id) else { return };
        if active.wish == Wish::Delete || active.wish == Wish::Hold {
            active.unread.clear();
        }
        self.requeue(now, id);
        self.read_page(id);
        self.conclude(now, id);
    }

    /// True of a message that was taken for a letter until it was loaded, and has to wait until there is room for what it is. That is known
    /// of it from then on.
    fn is_too_bulky_now(&self, id: QueueId) -> bool {
        let is_known = self.index.get(id).is_none_or(|entry| entry.bulky);
        let active =
            self.active.get(&id).filter(|active| active.wish == Wish::None && active.places_now() > 1);
        let Some(active) = active.filter(|_| !is_known) else { return false };
        let mut others = self.places;
        others.leave(active.places);
        !others.has_room_for_bulk(self.params.active_limit)
    }

    /// Has the next recipients routed, when few of the message are aboard. A large mailing takes a page at a time.
    pub(super) fn read_page(&mut self, id: QueueId) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let Some(message) = &active.message else { return };
        if active.unread.is_empty() || !active.routing.is_empty() || active.queued > ROUTE_PAGE_MAX / 2 {
            return;
        }
        let room = self.params.recipient_limit.saturating_sub(self.aboard);
        let page = room.clamp(self.params.recipient_minimum.max(1), ROUTE_PAGE_MAX).min(active.unread.len());
        let mut recipients = active.unread.split_off(active.unread.len() - page);
        recipients.reverse();
        active.routing.clone_from(&recipients);
        let message = Arc::clone(message);
        self.board(id, &recipients);
        self.outbox.put(Output::Route { id, message, recipients });
    }

    /// So many of its recipients are in memory now.
    pub(super) fn board(&mut self, id: QueueId, numbers: &[u32]) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let Some(message) = &active.message else { return };
        for number in numbers {
            let recipient = message.envelope.recipients.get(*number as usize);
            let address = recipient.map(|recipient| recipient.address.clone()).unwrap_or_default();
            active.aboard.insert(*number, address);
        }
        self.aboard += numbers.len();
    }

    /// The configuration was read again: what waits in the scheduler is routed again.
    pub(super) fn reload(&mut self, params: Params) {
        self.scheduler = Scheduler::new(params.schedule.clone());
        self.params = params;
        self.attempts.values_mut().for_each(|running| running.place = None);
        // Where they go now is found out one after the other, as there is room: there may be a million of them.
        self.stale.extend(std::mem::take(&mut self.parked).into_values());
        let under_way: BTreeSet<(QueueId, u32)> = self
            .attempts
            .values()
            .flat_map(|running| running.recipients.iter().map(|number| (running.message, *number)))
            .collect();
        let ids: Vec<_> = self.active.keys().copied().collect();
        for id in ids {
            self.unschedule(id, &under_way);
            self.read_page(id);
        }
    }

    /// Recipients that waited in the scheduler wait to be routed.
    fn unschedule(&mut self, id: QueueId, under_way: &BTreeSet<(QueueId, u32)>) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let routing: BTreeSet<u32> = active.routing.iter().copied().collect();
        let stays = |number: &u32| under_way.contains(&(id, *number)) || routing.contains(number);
        let waiting: Vec<u32> = active.aboard.keys().copied().filter(|number| !stays(number)).collect();
        for number in waiting.iter().rev() {
            active.aboard.remove(number);
            active.unread.push(*number);
        }
        self.aboard = self.aboard.saturating_sub(waiting.len());
        active.queued = 0;
    }
}
