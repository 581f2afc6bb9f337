//! The end of a message's turn: too old, reports, and then it ends or waits for its next turn.
//!
//! Order matters: outcomes are on disk before anybody is told; a report is on disk together with the note that it was made; so
//! a crash repeats a step, and loses none.

use crate::event::Event;
use crate::mail::{Change, Diagnosis, Outcome, QueueId, Sender, Settlement};
use crate::manager::active::{Leaving, Wish};
use crate::manager::index::Queue;
use crate::manager::reports::{self, Draft};
use crate::manager::writing::Write;
use crate::manager::{Manager, Output};
use crate::report::{Kind, Unmade};
use crate::time::{Duration, Instant, Now};
use crate::wire::EnhancedStatus;

/// The last word on a recipient of a message that is too old (RFC 3463: X.4.7, delivery time expired).
fn expired(why: Option<&Diagnosis>) -> Outcome {
    let status = EnhancedStatus::new(5, 4, 7);
    Outcome::Failed(match why {
        Some(why) => Diagnosis { status, ..why.clone() },
        None => Diagnosis::ours(status, "delivery time expired"),
    })
}

impl Manager {
    fn age(&self, now: Now, id: QueueId) -> Duration {
        self.index.get(id).map_or(Duration::ZERO, |entry| entry.age(now.mono))
    }

    /// When the message has its next turn.
    pub(super) fn next_turn(&mut self, now: Now, id: QueueId) -> Instant {
        let age = self.age(now, id);
        let pause = self.params.retry.pause(age, &mut self.prng);
        self.tell_pause(now, id, age, pause);
        now.mono.after(pause)
    }

    /// Where it goes when nobody must be told anything.
    pub(super) fn leaving(&mut self, now: Now, id: QueueId) -> Option<Leaving> {
        let active = self.active.get(&id)?;
        let all = active.standing.len() == active.count_waiting();
        let waits = active.waits() && (all || !planted!(SecondRecipientLost));
        Some(if waits { Leaving::Later(self.next_turn(now, id)) } else { Leaving::Gone })
    }

    /// True when what remains of it is returned for its age. Never before its destinations were tried since the start:
    /// after a long stop, or with a wrong clock, mail gets its chance.
    pub(super) fn must_expire(&self, now: Now, id: QueueId) -> bool {
        let Some(active) = self.active.get(&id) else { return false };
        let Some(message) = &active.message else { return false };
        let null = message.envelope.sender == Sender::Null;
        active.waits()
            && active.wish != Wish::Hold
            && (self.index.get(id).is_some_and(|entry| entry.tried) || planted!(ExpireUntried))
            && self.params.retry.expired(self.age(now, id), null)
    }

    /// The reports that it owes now.
    pub(super) fn drafts(&self, now: Now, id: QueueId) -> Vec<Draft> {
        let Some(active) = self.active.get(&id) else { return Vec::new() };
        let Some(message) = &active.message else { return Vec::new() };
        let warned = self.index.get(id).is_none_or(|entry| entry.warned);
        let late = !warned && active.wish != Wish::Hold && self.params.retry.late(self.age(now, id));
        reports::drafts(&self.params.reports, message, &active.standing, late)
    }

    /// Brings a message's turn to its end, if nothing is under way for it.
    pub(super) fn conclude(&mut self, now: Now, id: QueueId) {
        let Some(active) = self.active.get_mut(&id) else { return };
        if !active.is_idle() {
            return;
        }
        if let Some(leaving) = active.leaving.take() {
            // An order to delete came while it was being set aside: it is not yet on disk.
            if active.wish != Wish::Delete || leaving == Leaving::Gone {
                return self.leave(now, id, leaving);
            }
        }
        if active.wish == Wish::Delete {
            return self.close(now, id, Leaving::Gone);
        }
        if self.must_expire(now, id) {
            self.tell_expiry(now, id);
            return self.expire(now, id);
        }
        let drafts = self.drafts(now, id);
        self.tell_drafts(id, &drafts);
        if drafts.is_empty() {
            let Some(leaving) = self.leaving(now, id) else { return };
            return self.close(now, id, leaving);
        }
        if let Some(active) = self.active.get_mut(&id) {
            active.drafts = drafts.into();
        }
        self.report_next(now, id);
    }

    /// Writes how its turn ends.
    fn close(&mut self, now: Now, id: QueueId, leaving: Leaving) {
        let changes = self.closing(now, id, leaving);
        if let Some(active) = self.active.get_mut(&id) {
            active.leaving = Some(leaving);
        }
        if changes.is_empty() {
            self.conclude(now, id);
        } else {
            self.write(Write { changes, messages: [id].into(), ..Write::default() });
        }
    }

    fn closing(&self, now: Now, id: QueueId, leaving: Leaving) -> Vec<Change> {
        let wish = self.active.get(&id).map(|active| active.wish);
        match leaving {
            Leaving::Gone => vec![Change::Remove(id)],
            Leaving::Later(_) if wish == Some(Wish::Hold) => Vec::new(),
            Leaving::Later(due) => vec![Change::Retry(id, now.wall.after(due.since(now.mono)))],
        }
    }

    /// Returns what remains of it to the sender, for its age.
    fn expire(&mut self, now: Now, id: QueueId) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let outcomes: Vec<_> = active.waiting().map(|(number, why)| (number, expired(why))).collect();
        for (number, outcome) in &outcomes {
            active.record(*number, outcome);
        }
        let sender = active.message.as_ref().map(|m| m.envelope.sender.external()).unwrap_or_default();
        self.outbox.put(Output::Event(Event::Expired { id, sender }));
        let settlement = Settlement { id, at: now.wall, outcomes, retry_at: None };
        let changes = vec![Change::Settle(settlement)];
        self.write(Write { changes, messages: [id].into(), ..Write::default() });
    }

    /// Has the first of its reports made. What it settles is written with it; the end of the turn with the last.
    pub(super) fn report_next(&mut self, now: Now, id: QueueId) {
        let leaving = self.leaving(now, id);
        let Some(active) = self.active.get_mut(&id) else { return };
        let Some(draft) = active.drafts.front() else { return };
        let mut plan = Box::new(draft.plan.clone());
        match (&draft.settles, plan.kind) {
            (Some(_), Kind::Delay) => plan.changes.push(Change::Warned(id, now.wall)),
            (Some(numbers), _) => plan.changes.push(Change::Reported(id, numbers.clone())),
            (None, _) => {}
        }
        active.reporting = true;
        if (active.drafts.len() == 1 || planted!(GoneBeforeTold))
            && let Some(leaving) = leaving
        {
            active.leaving = Some(leaving);
            plan.changes.extend(self.closing(now, id, leaving));
        }
        self.outbox.put(Output::Report(plan));
    }

    /// A report is on disk, or it was refused: then the message waits and still owes it, for as long as a report lives.
    pub(super) fn reported(&mut self, now: Now, id: QueueId, result: Result<(), Unmade>) {
        let Some(active) = self.active.get_mut(&id) else { return };
        if !std::mem::take(&mut active.reporting) {
            return;
        }
        if let Err(why) = result {
            return self.unmade(now, id, &why);
        }
        if let Some(Draft { plan, settles: Some(numbers) }) = active.drafts.pop_front() {
            _ = self.settle_report(now, id, plan.kind, numbers);
        }
        self.report_rest(now, id);
    }

    /// Nothing more is owed for these; the change that says so.
    pub(super) fn settle_report(&mut self, now: Now, id: QueueId, kind: Kind, numbers: Vec<u32>) -> Change {
        self.index.report_settled(id);
        if kind == Kind::Delay {
            _ = self.index.get_mut(id).map(|entry| entry.warned = true);
            return Change::Warned(id, now.wall);
        }
        if let Some(active) = self.active.get_mut(&id) {
            active.done(&numbers);
        }
        Change::Reported(id, numbers)
    }

    /// The next report, or the end of the turn.
    pub(super) fn report_rest(&mut self, now: Now, id: QueueId) {
        if self.active.get(&id).is_some_and(|active| active.drafts.is_empty()) {
            self.conclude(now, id);
        } else {
            self.report_next(now, id);
        }
    }

    /// It is active no longer.
    pub(super) fn leave(&mut self, now: Now, id: QueueId, leaving: Leaving) {
        let Some(active) = self.take_out(id) else { return };
        self.aboard = self.aboard.saturating_sub(active.aboard.len());
        _ = self.scheduler.withdraw(now.mono, id);
        match (leaving, active.wish) {
            (Leaving::Gone, wish) => {
                self.index.forget(id);
                let event = match wish {
                    Wish::Delete => Event::Ordered { id, what: "removed" },
                    _ => Event::Removed { id },
                };
                self.outbox.put(Output::Event(event));
            }
            (Leaving::Later(_), Wish::Hold) => self.index.put(id, Queue::Hold),
            (Leaving::Later(_), Wish::Again) => self.index.put(id, Queue::Deferred(now.mono)),
            (Leaving::Later(due), _) => self.index.put(id, Queue::Deferred(due)),
        }
        if let Some(entry) = self.index.get_mut(id)
            && active.wish != Wish::Again
        {
            entry.flushed = false;
        }
    }
}
