//! What must be on disk, and what happens when the disk refuses.
//!
//! A refused write is kept and tried again until it succeeds: its outcomes hold in memory meanwhile, so a recipient that was
//! reached is not reached again by this process. No attempt starts while a write is refused, or while many are unanswered, since a
//! crash would repeat it.
//! What is kept is bounded by what was active when the trouble began.

use crate::event::Event;
use crate::mail::{AttemptId, Change, QueueId, Refusal};
use crate::manager::{Manager, Output};
use crate::queue::Ticket;
use crate::time::{Duration, Instant, Now};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The pause before a refused write is tried again, the first time; it doubles.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Writes that may be unanswered while mail is still sent. A disk that stands still answers none: what is sent meanwhile would be sent again
/// after a kill, and its outcomes fill memory. On one that works, a batch of this many is answered within milliseconds.
const UNANSWERED_MAX: usize = 256;
/// The longest such pause.
const PAUSE_MOST: Duration = Duration::from_secs(60);

/// Changes that are to be written together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(super) struct Write {
    pub(super) changes: Vec<Change>,
    /// The active messages that wait for it.
    pub(super) messages: BTreeSet<QueueId>,
    /// The attempt whose connection waits for it.
    pub(super) attempt: Option<AttemptId>,
    /// The order that it is a step of; such a write is not tried again.
    pub(super) order: Option<Ticket>,
}

/// Writes that are not answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(super) struct Writer {
    pending: BTreeMap<Ticket, Write>,
    refused: VecDeque<Write>,
    last: u64,
    retry_at: Option<Instant>,
    pause: Duration,
}

impl Writer {
    /// True when the disk takes what we write.
    pub(super) fn is_well(&self) -> bool {
        self.retry_at.is_none()
    }

    /// True when so many writes are unanswered that no more mail is sent.
    pub(super) fn is_behind(&self) -> bool {
        self.pending.len() >= UNANSWERED_MAX
    }

    /// True when nothing waits to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.refused.is_empty()
    }

    /// When refused writes are tried again.
    pub(super) const fn next_timeout(&self) -> Option<Instant> {
        self.retry_at
    }
}

impl Manager {
    /// Asks for changes to be written; the messages among them wait for it.
    pub(super) fn write(&mut self, write: Write) {
        for id in &write.messages {
            if let Some(active) = self.active.get_mut(id) {
                active.writing += 1;
            }
        }
        self.send_write(write);
    }

    fn send_write(&mut self, write: Write) {
        self.writer.last += 1;
        let ticket = Ticket(self.writer.last);
        self.outbox.put(Output::Append(ticket, write.changes.clone()));
        self.writer.pending.insert(ticket, write);
    }

    /// The log has answered.
    pub(super) fn appended(&mut self, now: Now, ticket: Ticket, result: Result<(), Refusal>) {
        let Some(write) = self.writer.pending.remove(&ticket) else { return };
        match (result, write.order) {
            (Ok(()), _) => self.written(now, &write),
            (Err(refusal), Some(order)) => self.order_refused(now, order, &write.changes, refusal),
            (Err(refusal), None) => self.refused(now, write, refusal),
        }
    }

    fn written(&mut self, now: Now, write: &Write) {
        if self.writer.refused.is_empty() && self.writer.retry_at.take().is_some() {
            let text = "the queue takes changes again".to_owned();
            self.outbox.put(Output::Event(Event::Note { program: "qmgr", text }));
        }
        if let Some(attempt) = write.attempt {
            self.outbox.put(Output::Written(attempt));
        }
        for id in &write.messages {
            if let Some(active) = self.active.get_mut(id) {
                active.writing = active.writing.saturating_sub(1);
            }
            self.conclude(now, *id);
        }
        if let Some(order) = write.order {
            self.order_written(now, order, &write.changes);
        }
    }

    fn refused(&mut self, now: Now, write: Write, refusal: Refusal) {
        if self.writer.is_well() {
            self.writer.pause = PAUSE_FIRST;
            let text = format!("outcomes can not be recorded ({refusal}): no mail is sent until they are");
            let id = write.messages.first().copied();
            self.outbox.put(Output::Event(Event::Trouble { program: "qmgr", id, text }));
        }
        if !planted!(RefusedWriteDropped) {
            self.writer.refused.push_back(write);
        }
        self.writer.retry_at = Some(now.mono.after(self.writer.pause));
    }

    /// Tries refused writes again, all at once: one that is refused waits longer.
    pub(super) fn retry_writes(&mut self, now: Now) {
        if self.writer.retry_at.is_none_or(|at| at > now.mono) {
            return;
        }
        self.writer.pause = (self.writer.pause * 2).clamp(PAUSE_FIRST, PAUSE_MOST);
        self.writer.retry_at = Some(now.mono.after(self.writer.pause));
        for write in std::mem::take(&mut self.writer.refused) {
            self.send_write(write);
        }
    }
}
