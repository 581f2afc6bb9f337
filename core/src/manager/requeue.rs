//! Mail that an operator has go through cleanup anew (postsuper(1) `-r`): rewriting and virtual aliases are applied as they are now.
//!
//! All recipients that wait go to a new message, by an attempt that the driver carries out with the submission joint. The new message becomes durable together with their end, so a
//! crash leaves the one or the other. While it is being made, orders leave the old one alone: it is on its way out. One that can not be made leaves everything as it was.

use crate::mail::{AttemptId, Diagnosis, Outcome, QueueId};
use crate::manager::active::Running;
use crate::manager::attempts::{Via, complete};
use crate::manager::writing::Write;
use crate::manager::{Life, Manager};
use crate::time::Now;
use crate::wire::EnhancedStatus;

/// The transport of such an attempt. No service can have this name: it has spaces.
pub const REQUEUE: &str = "requeue by order";

/// The outcome of a recipient that a new message has taken over. Nobody is told of it: who delivers that one tells.
#[must_use]
pub fn requeued_as(id: QueueId) -> Outcome {
    let diagnosis = Diagnosis::ours(EnhancedStatus::new(2, 0, 0), format!("requeued as {id}"));
    Outcome::Delivered { diagnosis, last_hop_for_dsn: false }
}

/// The outcome of a recipient whose new message was not made, and why.
#[must_use]
pub fn unable_to_requeue(why: &str) -> Outcome {
    Outcome::Deferred(Diagnosis::ours(EnhancedStatus::new(4, 3, 0), why))
}

impl Manager {
    /// When it is active the next time, it goes through cleanup.
    pub(super) fn mark_requeued(&mut self, id: QueueId) {
        if let Some(entry) = self.index.get_mut(id) {
            entry.requeued = true;
        }
    }

    /// True while the message that replaces it is being made.
    pub(super) fn is_requeuing(&self, id: QueueId) -> bool {
        self.active.get(&id).is_some_and(|active| active.requeuing)
    }

    /// A message has become active: where an operator wants that, all its recipients that wait go to a new one.
    pub(super) fn requeue(&mut self, now: Now, id: QueueId) {
        let wanted = self.index.get(id).is_some_and(|entry| entry.requeued);
        // A disk that is merely behind keeps nobody from it: its recipients would go their old way, and the order be lost.
        if !wanted || self.life != Life::Running || !self.writer.is_well() {
            return;
        }
        if let Some(entry) = self.index.get_mut(id) {
            entry.requeued = false;
        }
        let Some(active) = self.active.get_mut(&id) else { return };
        let mut recipients = std::mem::take(&mut active.unread);
        recipients.reverse();
        self.board(id, &recipients);
        self.last_attempt += 1;
        let attempt = AttemptId(self.last_attempt);
        let Some(composed) = self.compose(attempt, id, (REQUEUE, "", false), &recipients) else { return };
        // It keeps a place of those that are loaded: so many are made at the same time, and no more.
        self.loading += 1;
        if let Some(active) = self.active.get_mut(&id) {
            active.requeuing = true;
        }
        let transport = REQUEUE.to_owned();
        self.launch(composed, Running { message: id, transport, recipients, place: None, started: now.mono });
    }

    /// The new message is durable, or there is none.
    pub(super) fn requeue_settled(&mut self, now: Now, running: &Running, outcomes: Vec<(u32, Outcome)>) {
        let id = running.message;
        self.loading = self.loading.saturating_sub(1);
        if let Some(active) = self.active.get_mut(&id) {
            active.running = active.running.saturating_sub(1);
            active.requeuing = false;
        }
        let outcomes = complete(&running.recipients, outcomes);
        let unmade = outcomes.iter().find(|(_, outcome)| !matches!(outcome, Outcome::Delivered { .. }));
        if let Some((_, outcome)) = unmade {
            let why = &outcome.diagnosis().text;
            self.warn(Some(id), format!("it can not be requeued, and stays as it is: {why}"));
            self.unload(id, &running.recipients);
            return self.conclude(now, id);
        }
        let changes = self.settle(now, id, outcomes, &Via::named(REQUEUE));
        self.write(Write { changes, messages: [id].into(), ..Write::default() });
    }
}
