//! Makes a new message of one in the queue, through the submission joint, as an operator orders it (`postsuper -r`). The manager sees an attempt.

use super::reports::{About, Task};
use super::spool::Reader;
use super::{Live, Who, Work};
use crate::faults::Class;
use crate::world::Scope;
use postrider_core::limits::CHUNK_MAX;
use postrider_core::machine::Machine;
use postrider_core::mail::{Attempt, Change, Envelope, Loaded, Outcome, QueueId, Settlement};
use postrider_core::manager::{Input, requeued_as, unable_to_requeue};
use postrider_core::submission::{self, Maker, Start, Submission};
use postrider_core::time::Timestamp;
use std::sync::Arc;

impl Live {
    /// The message of an attempt to requeue it has been read, or not.
    pub(super) fn requeue_loaded(
        &mut self,
        attempt: Box<Attempt>,
        loaded: Result<Option<Box<Loaded>>, String>,
    ) {
        let old = match loaded {
            Ok(Some(loaded)) => loaded.message,
            Ok(None) => return self.requeue_ended(&attempt, &unable_to_requeue("it is gone")),
            Err(why) => return self.requeue_ended(&attempt, &unable_to_requeue(&why)),
        };
        let recipient = |index: u32| old.envelope.recipients.get(index as usize).cloned();
        let recipients = attempt.recipients.iter().filter_map(|other| recipient(other.index)).collect();
        let reader = Reader::new(old.id, Arc::new(old.pieces.clone()));
        let wanted = usize::try_from(old.pieces.size()).unwrap_or(usize::MAX);
        let start = Start {
            maker: Maker::Requeue { of: old.id, origin: old.origin },
            envelope: Envelope { recipients, filter: None, arrived: Timestamp::default(), ..old.envelope },
            prepend: Vec::new(),
            changes: Vec::new(),
        };
        let id = self.next();
        let machine = Submission::new(Arc::clone(&self.site.submission));
        self.reports.insert(id, Task::new(About::Requeue(attempt, Box::new(start)), machine, wanted));
        self.open_reader(Who::Report(id), reader);
        self.work.push_back(Work::Wake(Who::Report(id)));
    }

    /// Reads the first octets of what is requeued.
    pub(super) fn wake_report(&mut self, scope: &mut Scope<'_>, id: u64) {
        let Some(wanted) = self.reports.get(&id).map(Task::wanted) else { return };
        self.read_content(scope, Who::Report(id), true, wanted.min(CHUNK_MAX));
    }

    /// All of the old message is in memory: the new one begins. Its recipients end with its commit.
    pub(super) fn requeue_read(&mut self, scope: &mut Scope<'_>, id: u64) {
        let now = Self::now(scope);
        let Some(task) = self.reports.get_mut(&id) else { return };
        let About::Requeue(attempt, start) = &task.about else { return };
        let outcomes = attempt.recipients.iter().map(|one| (one.index, requeued_as(attempt.message)));
        let settlement =
            Settlement { id: attempt.message, at: now.wall, outcomes: outcomes.collect(), retry_at: None };
        let start = Start { changes: vec![Change::Settle(settlement)], ..(**start).clone() };
        task.content = Some(std::mem::take(&mut task.original));
        task.machine.handle_input(now, submission::Input::Start(Box::new(start)));
        self.drain_report(scope, id);
    }

    /// The new message is durable, or there is none.
    pub(super) fn requeue_made(
        &mut self,
        scope: &mut Scope<'_>,
        attempt: &Attempt,
        made: Result<QueueId, String>,
    ) {
        if made.is_ok() {
            scope.fired(Class::Requeued);
        }
        self.requeue_ended(attempt, &made.map_or_else(|why| unable_to_requeue(&why), requeued_as));
    }

    fn requeue_ended(&mut self, attempt: &Attempt, outcome: &Outcome) {
        let settled = super::office::settle(attempt, |_| outcome.clone());
        self.work.push_back(Work::Manager(Input::Settled(settled)));
    }
}
