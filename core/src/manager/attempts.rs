//! Attempts: started when the scheduler permits, taken down when they end.
//!
//! An attempt's outcomes are one record, written before its connection's next command ([`Output::Written`]).

use crate::event::{DeliveryStatus, Event};
use crate::limits::CHANGES_PER_APPEND_MAX;
use crate::mail::{
    Attempt, AttemptId, AttemptRecipient, Change, Diagnosis, Feedback, Outcome, QueueId, Settled, Settlement,
};
use crate::manager::active::{Leaving, Running, Wish};
use crate::manager::requeue::REQUEUE;
use crate::manager::routing::suspended;
use crate::manager::writing::Write;
use crate::manager::{Life, Manager, Output};
use crate::report;
use crate::schedule::{Chosen, Place, Returned};
use crate::time::{Duration, Now};
use crate::wire::EnhancedStatus;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a message took to come, at most, in the log: a wall clock that was set forward meanwhile says anything.
const RECEIVING_MAX: Duration = Duration::from_secs(3_600);

/// Who brought an outcome, for the log.
#[derive(Debug, Clone)]
pub(super) struct Via {
    program: String,
    started: Option<crate::time::Instant>,
    connect: Duration,
    transfer: Duration,
}

impl Via {
    /// There was no attempt; Postfix's error(8) says such things.
    pub(super) fn nobody() -> Self {
        Self::named("error")
    }

    /// Somebody who needs no connection.
    pub(super) fn named(program: &str) -> Self {
        Self { program: program.to_owned(), started: None, connect: Duration::ZERO, transfer: Duration::ZERO }
    }
}

/// A failure as `soft_bounce` has it.
fn softened(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed(why) => {
            let status = EnhancedStatus { class: 4, ..why.status };
            Outcome::Deferred(Diagnosis { status, ..why })
        }
        outcome => outcome,
    }
}

impl Manager {
    /// True when attempts may start.
    pub(super) fn may_start(&self) -> bool {
        self.life == Life::Running && self.writer.is_well() && !self.writer.is_behind()
    }

    /// Starts what the scheduler permits.
    pub(super) fn start_attempts(&mut self, now: Now) {
        while self.may_start() {
            let Some(chosen) = self.scheduler.choose(now.mono) else { return };
            self.start(now, chosen);
        }
    }

    fn start(&mut self, now: Now, chosen: Chosen) {
        let id = chosen.message;
        self.last_attempt += 1;
        if let Some(active) = self.active.get_mut(&id) {
            active.queued = active.queued.saturating_sub(chosen.recipients.len());
        }
        let to = (chosen.transport.as_str(), chosen.nexthop.as_str(), chosen.more);
        let Some(attempt) = self.compose(AttemptId(self.last_attempt), id, to, &chosen.recipients) else {
            // Nobody is left of it: its permits go back.
            _ = self.scheduler.ended(now.mono, chosen.place, &Feedback::Neutral);
            return;
        };
        self.tell_start(&attempt, chosen.place);
        let running = Running {
            message: id,
            transport: chosen.transport,
            recipients: chosen.recipients,
            place: Some(chosen.place),
            started: now.mono,
        };
        self.launch(attempt, running);
        if !self.parked.is_empty()
            && let Some(((transport, key), waiting)) = self.scheduler.waiting_at(chosen.place)
        {
            let name = (transport, key.to_owned());
            self.room_at(now, &name, waiting, 0);
        }
        self.read_page(id);
    }

    /// An attempt runs from now on.
    pub(super) fn launch(&mut self, attempt: Attempt, running: Running) {
        if let Some(active) = self.active.get_mut(&running.message) {
            active.running += 1;
        }
        self.attempts.insert(attempt.id, running);
        self.outbox.put(Output::Attempt(Box::new(attempt)));
    }

    /// An attempt for these recipients by a transport, to a next hop, with more to come or not.
    pub(super) fn compose(
        &self,
        attempt: AttemptId,
        id: QueueId,
        (transport, nexthop, more): (&str, &str, bool),
        recipients: &[u32],
    ) -> Option<Attempt> {
        let active = self.active.get(&id)?;
        let message = active.message.as_ref()?;
        let envelope = &message.envelope;
        let recipient = |number: &u32| {
            let address = active.aboard.get(number)?.clone();
            let recipient = envelope.recipients.get(*number as usize)?;
            Some(AttemptRecipient {
                index: *number,
                address,
                original: recipient.original.clone(),
                orcpt: recipient.orcpt.clone(),
                notify: recipient.notify,
            })
        };
        let recipients: Vec<_> = recipients.iter().filter_map(recipient).collect();
        (!recipients.is_empty()).then(|| Attempt {
            id: attempt,
            message: id,
            transport: transport.to_owned(),
            nexthop: nexthop.to_owned(),
            sender: envelope.sender.clone(),
            recipients,
            size: message.pieces.size(),
            pieces: Arc::new(message.pieces.clone()),
            body: envelope.body,
            smtputf8: envelope.smtputf8,
            envid: envelope.envid.clone(),
            ret: envelope.ret,
            arrived: envelope.arrived,
            keep_connection: more,
        })
    }

    /// An attempt has ended.
    pub(super) fn settled(&mut self, now: Now, settled: Settled) {
        let Some(running) = self.attempts.remove(&settled.id) else {
            return self.warn(None, format!("the end of attempt {} that does not run", settled.id.0));
        };
        if running.transport == REQUEUE {
            return self.requeue_settled(now, &running, settled.outcomes);
        }
        let id = running.message;
        self.released(now, running.place, &settled.feedback);
        if let Some(active) = self.active.get_mut(&id) {
            active.running = active.running.saturating_sub(1);
        }
        if let Some(entry) = self.index.get_mut(id) {
            entry.tried = true;
        }
        let via = Via {
            program: self.params.programs.get(&running.transport).cloned().unwrap_or(running.transport),
            started: Some(running.started),
            connect: settled.connect,
            transfer: settled.transfer,
        };
        let outcomes = complete(&running.recipients, settled.outcomes);
        let changes = self.settle(now, id, outcomes, &via);
        let attempt = Some(settled.id);
        self.write(Write { changes, messages: [id].into(), attempt, order: None });
    }

    /// The scheduler hears of the end of an attempt; mail comes back if its destination counts as dead now.
    fn released(&mut self, now: Now, place: Option<Place>, feedback: &Feedback) {
        let Some(place) = place else { return };
        let named = |((transport, key), _): ((usize, &str), u32)| (transport, key.to_owned());
        let name = self.scheduler.waiting_at(place).map(named);
        let before = self.because.is_heard().then(|| self.scheduler.health_of(place)).flatten();
        let returned = self.scheduler.ended(now.mono, place, feedback);
        self.tell_feedback(place, before, feedback, returned.len());
        let waiting = self.scheduler.waiting_at(place).map_or(0, |(_, waiting)| waiting);
        let back = returned.len();
        if let Feedback::Bad(why) = feedback {
            self.send_back(now, returned, why);
        }
        if let Some(name) = name
            && !self.parked.is_empty()
        {
            self.room_at(now, &name, waiting, back);
        }
    }

    /// Mail for a destination that has just been found dead is deferred.
    fn send_back(&mut self, now: Now, returned: Vec<Returned>, why: &Diagnosis) {
        let mut write = Write::default();
        for Returned { message, recipients } in returned {
            if let Some(active) = self.active.get_mut(&message) {
                active.queued = active.queued.saturating_sub(recipients.len());
            }
            if let Some(entry) = self.index.get_mut(message) {
                entry.tried = true;
            }
            let outcomes = recipients.into_iter().map(|number| (number, suspended(why))).collect();
            write.changes.extend(self.settle(now, message, outcomes, &Via::nobody()));
            write.messages.insert(message);
            self.read_page(message);
            if write.changes.len() >= CHANGES_PER_APPEND_MAX {
                self.write(std::mem::take(&mut write));
            }
        }
        if !write.changes.is_empty() {
            self.write(write);
        }
    }

    /// Takes down and logs outcomes; the changes that record them, with the end of the message or of its turn if that is all.
    pub(super) fn settle(
        &mut self,
        now: Now,
        id: QueueId,
        outcomes: Vec<(u32, Outcome)>,
        via: &Via,
    ) -> Vec<Change> {
        let mut taken = Vec::with_capacity(outcomes.len());
        for (number, outcome) in outcomes {
            let is_softened = self.params.soft_bounce && matches!(outcome, Outcome::Failed(_));
            let outcome = if is_softened { softened(outcome) } else { outcome };
            let status = if is_softened { DeliveryStatus::SoftBounced } else { DeliveryStatus::of(&outcome) };
            // Who goes to a new message has not been delivered to; the order has its own line.
            if via.program != REQUEUE {
                self.log_delivery(now, id, number, (&outcome, status), via);
            }
            if self.active.get_mut(&id).is_some_and(|active| active.record(number, &outcome)) {
                taken.push((number, outcome));
            }
        }
        self.recount(id);
        let numbers: Vec<u32> = taken.iter().map(|(number, _)| *number).collect();
        self.unload(id, &numbers);
        let leaving = self.leaving_after_this(now, id);
        let retry_at = match leaving {
            Some(Leaving::Later(due)) => Some(now.wall.after(due.since(now.mono))),
            _ => None,
        };
        let mut changes = vec![Change::Settle(Settlement { id, at: now.wall, outcomes: taken, retry_at })];
        if leaving == Some(Leaving::Gone) {
            changes.push(Change::Remove(id));
        }
        if let Some(active) = self.active.get_mut(&id) {
            active.leaving = leaving;
        }
        changes
    }

    /// Where the message goes once this is written, if nothing else is under way and nobody must be told.
    fn leaving_after_this(&mut self, now: Now, id: QueueId) -> Option<Leaving> {
        let active = self.active.get(&id)?;
        if !active.is_idle() || active.wish != Wish::None || !self.writer.is_well() {
            return None;
        }
        if self.must_expire(now, id) || !self.drafts(now, id).is_empty() {
            return None;
        }
        self.leaving(now, id)
    }

    fn log_delivery(
        &mut self,
        now: Now,
        id: QueueId,
        number: u32,
        (outcome, status): (&Outcome, DeliveryStatus),
        via: &Via,
    ) {
        let Some(active) = self.active.get(&id) else { return };
        let Some(message) = &active.message else { return };
        let Some(recipient) = message.envelope.recipients.get(number as usize) else { return };
        let diagnosis = outcome.diagnosis();
        let waited = via.started.unwrap_or(now.mono).since(active.since);
        let address = active.aboard.get(&number).unwrap_or(&recipient.address);
        let age = self.index.get(id).map_or(Duration::ZERO, |entry| entry.age(now.mono));
        // As in Postfix, what it took to come counts too. Only the wall clock knows, so it counts in the log alone, and within bounds.
        let coming = now.wall.since(message.envelope.arrived).saturating_sub(age).min(RECEIVING_MAX);
        let event = Event::Delivery {
            program: via.program.clone(),
            id,
            recipient: address.external(),
            original: recipient.original.as_ref().map(crate::wire::Mailbox::external),
            relay: diagnosis.relay.clone(),
            delay: age.saturating_add(coming),
            delays: [active.age_before.saturating_add(coming), waited, via.connect, via.transfer],
            dsn: diagnosis.status.to_string(),
            status,
            text: diagnosis.text.clone(),
        };
        self.outbox.put(Output::Event(event));
        if matches!(outcome, Outcome::Failed(_))
            && report::is_for_the_postmaster(message, &self.params.reports)
        {
            let text = "undeliverable postmaster notification discarded".to_owned();
            self.outbox.put(Output::Event(Event::Warning { program: "bounce", id: Some(id), text }));
        }
    }
}

/// One outcome for each recipient of the attempt, whatever the agent said: what it left out is tried again.
pub(super) fn complete(recipients: &[u32], outcomes: Vec<(u32, Outcome)>) -> Vec<(u32, Outcome)> {
    let mut said: BTreeMap<u32, Outcome> = BTreeMap::new();
    for (number, outcome) in outcomes {
        // A delivery that was said is never unsaid by a second outcome.
        said.entry(number).or_insert(outcome);
    }
    let silence = || {
        let status = EnhancedStatus::new(4, 3, 0);
        Outcome::Deferred(Diagnosis::ours(status, "internal error: the delivery agent gave no outcome"))
    };
    recipients.iter().map(|number| (*number, said.remove(number).unwrap_or_else(silence))).collect()
}
