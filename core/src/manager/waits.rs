//! What the first message of the queue waits for, for people: a queue that does not empty says why.
//!
//! Only looks. Of a message that is not active the manager knows neither recipients nor reasons: those are on disk.

use crate::mail::{Diagnosis, QueueId};
use crate::manager::active::Active;
use crate::manager::index::Queue;
use crate::manager::{Life, Manager};
use crate::schedule::Condition;
use crate::time::Instant;
use crate::wire::Mailbox;

/// A message that is still in the queue, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// Its name.
    pub id: QueueId,
    /// How far it is.
    pub step: Step,
    /// The first recipient without a final outcome, and why the last attempt failed; known of an active message that is loaded.
    pub recipient: Option<(Mailbox, Option<Diagnosis>)>,
    /// An order about it is being written, and it does not move before that has ended.
    pub ordered: bool,
    /// Why no message becomes active and no attempt starts now, if none does.
    pub hindrance: Option<&'static str>,
}

/// How far a message is that is still in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It was never tried and is not active yet.
    Incoming,
    /// It is put off.
    Deferred {
        /// When it is tried again.
        due: Instant,
        /// Or as soon as its destination has less to do.
        parked: bool,
        /// Destinations that rest now; that it waits for one of them is not known.
        resting: Vec<Condition>,
    },
    /// An operator has to release it.
    Hold,
    /// The spool reads it.
    Read,
    /// So many recipients are being routed.
    Routed(usize),
    /// So many attempts run.
    Tried(usize),
    /// Outcomes are being written, or wait until the disk takes them.
    Written,
    /// A report about it is being made.
    Reported,
    /// It waits its turn for these destinations.
    Queued(Vec<Condition>),
    /// Nothing is under way for it: that is a fault of the manager.
    Idle,
}

impl Manager {
    /// What the first message waits for; `None` when there is none.
    #[must_use]
    pub fn first_waits(&self) -> Option<Waits> {
        let (id, entry) = self.index.first()?;
        let active = self.active.get(&id);
        let step = match (entry.queue, active) {
            (Queue::Incoming, _) => Step::Incoming,
            (Queue::Deferred(due), _) => {
                Step::Deferred { due, parked: entry.parked, resting: self.scheduler.resting().collect() }
            }
            (Queue::Hold, _) => Step::Hold,
            (Queue::Active, Some(active)) => self.step_of(id, active),
            (Queue::Active, None) => Step::Idle,
        };
        let recipient = active.and_then(|active| {
            let message = active.message.as_ref()?;
            let (number, why) = active.waiting().next()?;
            let recipient = message.envelope.recipients.get(number as usize)?;
            Some((recipient.address.clone(), why.cloned()))
        });
        Some(Waits { id, step, recipient, ordered: entry.locked, hindrance: self.hindrance() })
    }

    /// What is under way for an active message: of several things the one that the others wait for.
    fn step_of(&self, id: QueueId, active: &Active) -> Step {
        if active.message.is_none() {
            Step::Read
        } else if active.running > 0 {
            Step::Tried(active.running)
        } else if !active.routing.is_empty() {
            Step::Routed(active.routing.len())
        } else if active.writing > 0 {
            Step::Written
        } else if active.reporting {
            Step::Reported
        } else if active.queued > 0 {
            Step::Queued(self.scheduler.waited_for(id).collect())
        } else {
            Step::Idle
        }
    }

    fn hindrance(&self) -> Option<&'static str> {
        match self.life {
            Life::Recovering => Some("the log has not told of all mail yet"),
            Life::Draining | Life::Drained => Some("the manager is to end"),
            Life::Running if !self.writer.is_well() => Some("the disk takes no outcomes"),
            Life::Running if self.writer.is_behind() => Some("the disk is behind with outcomes"),
            Life::Running => None,
        }
    }
}
