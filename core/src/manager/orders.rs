//! What operators ask for: postqueue(1), postsuper(1).
//!
//! An order is carried out in steps, each on disk before it counts; between steps other business goes on, but no other order: who
//! puts mail on hold and then releases it finds none on hold. Messages that a step is being written for do not move. A message that is under way is left alone until that has ended.
//! A site can only be flushed or listed: of a message that was not loaded since the start we do not know the domains, and trying
//! or showing one too many does no harm.

use crate::event::Event;
use crate::limits::CHANGES_PER_APPEND_MAX;
use crate::mail::{Change, Order, OrderResult, QueueId, Refusal, Selection};
use crate::manager::active::{Leaving, Wish};
use crate::manager::index::{Entry, Queue};
use crate::manager::writing::Write;
use crate::manager::{Manager, Output};
use crate::queue::Ticket;
use crate::time::Now;
use serde::{Deserialize, Serialize};

/// Orders that wait for one another; more are refused.
const TASKS_MAX: usize = 100;

/// An order that is being carried out, or waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Task {
    ticket: Ticket,
    verb: Verb,
    selection: Selection,
    /// Where its next step begins; `None` when this step is its last.
    next: Option<QueueId>,
    /// The last message that was there when the order came: what is made for it is not for it.
    last: QueueId,
    done: u64,
    /// For which an order before this one was being written when it came.
    #[cfg(feature = "planted")]
    locked: Vec<QueueId>,
}

/// An order that is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Verb {
    Hold,
    Release,
    Requeue,
    Delete,
}

impl Verb {
    /// What the log says of it.
    const fn what(self) -> &'static str {
        match self {
            Self::Hold => "placed on hold",
            Self::Release => "released from hold",
            Self::Requeue => "requeued",
            Self::Delete => "removed",
        }
    }
}

fn selects(selection: &Selection, id: QueueId, entry: &Entry) -> bool {
    match selection {
        Selection::All(None) => true,
        Selection::All(Some(name)) => entry.queue.name() == *name,
        Selection::Id(one) => *one == id,
        Selection::Site(domain) => entry.may_go_to(domain),
    }
}

impl Manager {
    /// An operator's order.
    pub(super) fn order(&mut self, now: Now, ticket: Ticket, order: Order) {
        let order = match &mut self.early {
            None => order,
            // A list of half a queue would look like a loss.
            Some(early) if early.len() < TASKS_MAX => return early.push((ticket, order)),
            Some(_) => {
                let result = OrderResult::Failed("the queue is still being read".to_owned());
                return self.outbox.put(Output::Ordered(ticket, result));
            }
        };
        let (verb, selection) = match order {
            Order::List(selection) => return self.list(now, ticket, &selection),
            Order::Flush(selection) => return self.flush(now, ticket, &selection),
            Order::Hold(selection) => (Verb::Hold, selection),
            Order::Release(selection) => (Verb::Release, selection),
            Order::Requeue(selection) => (Verb::Requeue, selection),
            Order::Delete(selection) => (Verb::Delete, selection),
        };
        let refused = if matches!(selection, Selection::Site(_)) {
            Some("a site can only be flushed or listed")
        } else if self.tasks.len() >= TASKS_MAX {
            Some("too many orders at once")
        } else {
            None
        };
        if let Some(why) = refused {
            let result = OrderResult::Failed(why.to_owned());
            return self.outbox.put(Output::Ordered(ticket, result));
        }
        let next = Some(match selection {
            Selection::Id(id) => id,
            _ => QueueId(0),
        });
        let last = self.index.last().unwrap_or_default();
        self.tasks.push_back(Task {
            ticket,
            verb,
            selection,
            next,
            last,
            done: 0,
            #[cfg(feature = "planted")]
            locked: self.index.from(QueueId(0)).filter(|(_, entry)| entry.locked).map(|(id, _)| id).collect(),
        });
        if self.tasks.len() == 1 {
            self.step(now);
        }
    }

    fn list(&mut self, now: Now, ticket: Ticket, selection: &Selection) {
        let start = if let Selection::Id(id) = selection { *id } else { QueueId(0) };
        let only = matches!(selection, Selection::Id(_));
        let chosen = self
            .index
            .from(start)
            .take_while(|(id, _)| !only || *id == start)
            .filter(|(id, entry)| selects(selection, *id, entry));
        let lines = chosen.map(|(id, entry)| {
            let next = match entry.queue {
                Queue::Deferred(due) => Some(now.wall.after(due.since(now.mono))),
                Queue::Incoming | Queue::Active | Queue::Hold => None,
            };
            (id, entry.queue.name(), next)
        });
        let result = OrderResult::Listed(lines.collect());
        self.outbox.put(Output::Ordered(ticket, result));
    }

    /// Deferred mail is tried now. That is not written: after a restart its old time holds.
    fn flush(&mut self, now: Now, ticket: Ticket, selection: &Selection) {
        self.scheduler.revive_all(now.mono);
        let start = if let Selection::Id(id) = selection { *id } else { QueueId(0) };
        let only = matches!(selection, Selection::Id(_));
        let waits = |entry: &Entry| matches!(entry.queue, Queue::Deferred(_) | Queue::Incoming);
        let ids: Vec<QueueId> = self
            .index
            .from(start)
            .take_while(|(id, _)| !only || *id == start)
            .filter(|(id, entry)| waits(entry) && selects(selection, *id, entry))
            .map(|(id, _)| id)
            .collect();
        for id in &ids {
            if self.index.get(*id).is_some_and(|entry| matches!(entry.queue, Queue::Deferred(_))) {
                self.index.put(*id, Queue::Deferred(now.mono));
            }
            if let Some(entry) = self.index.get_mut(*id) {
                entry.flushed = true;
            }
        }
        self.outbox.put(Output::Ordered(ticket, OrderResult::Done(ids.len() as u64)));
    }

    /// Goes on with orders until something must be written, or to their end.
    fn step(&mut self, now: Now) {
        while let Some(task) = self.tasks.front() {
            if task.next.is_some() {
                let (ticket, verb) = (task.ticket, task.verb);
                let chosen = self.choose();
                if self.change(now, ticket, verb, chosen) {
                    return;
                }
            } else if let Some(task) = self.tasks.pop_front() {
                self.outbox.put(Output::Ordered(task.ticket, OrderResult::Done(task.done)));
            }
        }
    }

    /// The next messages that the order may be for.
    fn choose(&mut self) -> Vec<QueueId> {
        let Some(task) = self.tasks.front_mut() else { return Vec::new() };
        let Some(start) = task.next.take() else { return Vec::new() };
        let only = matches!(task.selection, Selection::Id(_));
        let mut chosen = Vec::new();
        let last = task.last;
        let walk = self.index.from(start).take_while(|(id, _)| *id <= last && (!only || *id == start));
        for (id, entry) in walk {
            if chosen.len() >= CHANGES_PER_APPEND_MAX {
                task.next = Some(id);
                break;
            }
            #[cfg(feature = "planted")]
            if planted!(OrdersMeet) && task.locked.contains(&id) {
                continue;
            }
            if selects(&task.selection, id, entry) {
                chosen.push(id);
            }
        }
        chosen
    }

    /// Tells messages that are under way, and has the others' changes written; true when there are such.
    fn change(&mut self, now: Now, ticket: Ticket, verb: Verb, chosen: Vec<QueueId>) -> bool {
        let mut write = Write { order: Some(ticket), ..Write::default() };
        let mut done = 0;
        for id in chosen {
            let Some(queue) = self.index.get(id).map(|entry| entry.queue) else { continue };
            let Some(changes) = self.changes(now, verb, id, queue) else { continue };
            done += 1;
            if !changes.is_empty() {
                self.index.lock(id, true);
                write.changes.extend(changes);
            }
        }
        if let Some(task) = self.tasks.front_mut() {
            task.done += done;
        }
        let must_write = !write.changes.is_empty();
        if must_write {
            self.write(write);
        }
        must_write
    }

    /// What an order changes on disk; `None` when it does not concern the message, nothing when it acts at once.
    fn changes(&mut self, now: Now, verb: Verb, id: QueueId, queue: Queue) -> Option<Vec<Change>> {
        match (verb, queue) {
            (Verb::Hold, Queue::Hold) => None,
            (_, Queue::Active) if self.is_ending(id) || self.is_requeuing(id) => None,
            (Verb::Hold, _) => Some(vec![Change::Hold(id)]),
            (Verb::Release, Queue::Hold) => Some(vec![Change::Release(id)]),
            (Verb::Release, Queue::Active) if self.has_wish(id, Wish::Hold) => {
                Some(vec![Change::Release(id)])
            }
            (Verb::Release, _) => None,
            (Verb::Requeue, Queue::Active) if self.has_wish(id, Wish::Hold) => {
                Some(vec![Change::Release(id), Change::Retry(id, now.wall)])
            }
            (Verb::Requeue, Queue::Active) => {
                self.outbox.put(Output::Event(Event::Ordered { id, what: verb.what() }));
                self.mark_requeued(id);
                if self.has_wish(id, Wish::None) {
                    self.stop(now, id, Wish::Again);
                }
                Some(Vec::new())
            }
            (Verb::Requeue, Queue::Hold) => Some(vec![Change::Release(id), Change::Retry(id, now.wall)]),
            (Verb::Requeue, _) => Some(vec![Change::Retry(id, now.wall)]),
            (Verb::Delete, Queue::Active) => {
                self.stop(now, id, Wish::Delete);
                Some(Vec::new())
            }
            (Verb::Delete, _) => Some(vec![Change::Remove(id)]),
        }
    }

    fn has_wish(&self, id: QueueId, wish: Wish) -> bool {
        self.active.get(&id).is_some_and(|active| active.wish == wish)
    }

    /// True when its removal is being written: nothing may be written behind it.
    fn is_ending(&self, id: QueueId) -> bool {
        self.active.get(&id).is_some_and(|active| active.leaving == Some(Leaving::Gone))
    }

    /// Nothing more is started for an active message.
    fn stop(&mut self, now: Now, id: QueueId, wish: Wish) {
        let withdrawn = self.scheduler.withdraw(now.mono, id);
        self.unload(id, &withdrawn);
        if let Some(active) = self.active.get_mut(&id) {
            active.wish = wish;
            active.unread.clear();
            active.queued = 0;
        }
        self.conclude(now, id);
    }

    /// A step of an order is on disk.
    pub(super) fn order_written(&mut self, now: Now, ticket: Ticket, changes: &[Change]) {
        let Some(verb) = self.tasks.front().filter(|task| task.ticket == ticket).map(|task| task.verb) else {
            return;
        };
        let mut last = None;
        for id in changes.iter().map(Change::id) {
            // A requeue from hold is two changes.
            if last.replace(id) != Some(id) {
                self.index.lock(id, false);
                self.apply(now, verb, id);
            }
        }
        self.step(now);
    }

    fn apply(&mut self, now: Now, verb: Verb, id: QueueId) {
        let Some(queue) = self.index.get(id).map(|entry| entry.queue) else { return };
        self.outbox.put(Output::Event(Event::Ordered { id, what: verb.what() }));
        if verb == Verb::Requeue {
            self.mark_requeued(id);
        }
        match (verb, queue) {
            (Verb::Hold, Queue::Active) => self.stop(now, id, Wish::Hold),
            (Verb::Requeue, Queue::Active) => self.stop(now, id, Wish::Again),
            (Verb::Hold, _) => self.index.put(id, Queue::Hold),
            (_, Queue::Active) => _ = self.active.get_mut(&id).map(|active| active.wish = Wish::Again),
            (Verb::Release | Verb::Requeue, _) => self.index.put(id, Queue::Deferred(now.mono)),
            (Verb::Delete, _) => self.index.forget(id),
        }
    }

    /// A step of an order could not be written: what it was for stays as it is.
    pub(super) fn order_refused(&mut self, now: Now, ticket: Ticket, changes: &[Change], refusal: Refusal) {
        for id in changes.iter().map(Change::id) {
            self.index.lock(id, false);
        }
        if self.tasks.front().is_some_and(|task| task.ticket == ticket) {
            self.tasks.pop_front();
        }
        let result = OrderResult::Failed(refusal.to_string());
        self.outbox.put(Output::Ordered(ticket, result));
        self.step(now);
    }
}
