//! A report that can not be made: tried again, and given up when it has been refused for as long as a report lives.
//!
//! What is our own fault (the disk, a table) is tried for ever: it is mended some day, and the sender must hear. A report whose
//! addressee cleanup refuses (an alias that loops) would wait without end, and its message with it; Postfix would have it in
//! its queue for `bounce_queue_lifetime`, and so long it has here. Then it is an undeliverable report: the postmaster gets it if
//! `notify_classes` has `2bounce`, as for every other; else the log has the last word. The time counts from the first refusal
//! since our start, so that mail which comes back after a long stop gets its chance.

use crate::event::Event;
use crate::mail::QueueId;
use crate::manager::active::{Leaving, Wish};
use crate::manager::reports::{self, Draft};
use crate::manager::writing::Write;
use crate::manager::{Manager, Output};
use crate::report::Unmade;
use crate::time::Now;

impl Manager {
    /// The report that was being made was not.
    pub(super) fn unmade(&mut self, now: Now, id: QueueId, why: &Unmade) {
        let Some(active) = self.active.get_mut(&id) else { return };
        active.leaving = None;
        let wish = active.wish;
        if matches!(why, Unmade::Refused(_)) && wish != Wish::Delete {
            let since = self.index.report_refused(id, now.mono);
            if self.params.retry.expired(now.mono.since(since), true) {
                return self.give_up_report(now, id, why.why());
            }
        }
        if let Some(active) = self.active.get_mut(&id) {
            active.drafts.clear();
        }
        let text = format!("a report could not be made, it is tried again later: {}", why.why());
        self.warn(Some(id), text);
        if wish == Wish::Delete {
            return self.conclude(now, id);
        }
        let due = self.next_turn(now, id);
        self.leave(now, id, Leaving::Later(due));
    }

    fn give_up_report(&mut self, now: Now, id: QueueId, why: &str) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let Some(draft) = active.drafts.pop_front() else { return };
        let to = draft.plan.to.external();
        if let Some(second) = reports::for_the_postmaster(&self.params.reports, &draft) {
            active.drafts.push_front(second);
            self.warn(Some(id), format!("a report to {to} can not be made, the postmaster gets it: {why}"));
            return self.report_next(now, id);
        }
        let text = format!("a report to {to} can not be made, it is dropped: {why}");
        self.outbox.put(Output::Event(Event::Trouble { program: "qmgr", id: Some(id), text }));
        let Draft { plan, settles: Some(numbers) } = draft else {
            // Only a copy: the sender's own report still comes.
            return self.report_rest(now, id);
        };
        // What else is owed is found again when this is on disk.
        active.drafts.clear();
        let changes = vec![self.settle_report(now, id, plan.kind, numbers)];
        self.write(Write { changes, messages: [id].into(), ..Write::default() });
    }
}
