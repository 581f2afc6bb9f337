//! Where events wait for the thread of the log.
//!
//! Who says something waits when there is no room, since a log that is lost helps nobody at 3 a.m.; but not for ever, since mail must not stand still because
//! somebody who reads the log does. After [`PATIENCE`] events are counted instead, and nobody waits again until the writer has come back.

use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, wait_while_for};
use postrider_core::event::Event;
use postrider_core::time::Timestamp;
use std::time::Duration;

/// Events that wait for the writer.
const EVENTS_MAX: usize = 16_384;
/// So long who says something waits for room: a disk that is busy has written a batch by then, and a reader that was stopped has not.
const PATIENCE: Duration = Duration::from_secs(1);
/// From the first event of a batch to its write. A wake-up for each line would cost more than all else that is done for it.
const GATHER: Duration = Duration::from_millis(5);
/// So long an end waits for the last lines.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// An event, when it was said, and by whom, where that is not the event's own program.
#[derive(Debug)]
pub(crate) struct Said {
    pub(super) at: Timestamp,
    pub(super) program: Option<Arc<str>>,
    pub(crate) event: Event,
}

impl Said {
    /// What the log itself says.
    pub(super) fn now(event: Event) -> Self {
        Self { at: crate::env::wall_clock(), program: None, event }
    }
}

/// What waits for the writer.
#[derive(Debug, Default)]
struct Waiting {
    events: Vec<Said>,
    reopen: bool,
    /// Batches begun, and those of them that are written: who flushes waits for the second to reach the first.
    begun: u64,
    written: u64,
    hurry: bool,
    /// Somebody has waited for room in vain since the writer came last.
    stuck: bool,
    /// Events for which there was no room since then.
    lost: u64,
}

impl Waiting {
    const fn is_full(&self) -> bool {
        self.events.len() >= EVENTS_MAX
    }
}

#[derive(Debug, Default)]
struct Desk {
    waiting: Mutex<Waiting>,
    /// Tells the writer that something waits.
    work: Condvar,
    /// Tells others that the writer has taken what waited, or has written it, or that it is of no use to wait.
    room: Condvar,
}

/// What the writer has to do beside the events of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The file is to be opened again first.
    pub(super) reopen: bool,
    /// So many events behind those of the batch are lost.
    pub(super) lost: u64,
}

/// Handle to the writer.
#[derive(Debug, Clone, Default)]
pub struct Log {
    desk: Arc<Desk>,
}

impl Log {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.desk.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_room<'a>(
        &'a self,
        waiting: MutexGuard<'a, Waiting>,
        most: Duration,
        condition: impl FnMut(&mut Waiting) -> bool,
    ) -> MutexGuard<'a, Waiting> {
        wait_while_for(&self.desk.room, &self.desk.waiting, waiting, most, condition)
    }

    pub(crate) fn put_of(&self, program: Option<Arc<str>>, event: Event) {
        let at = crate::env::wall_clock();
        let mut waiting = self.waiting();
        if waiting.is_full() && !waiting.stuck {
            waiting = self.wait_for_room(waiting, PATIENCE, |waiting| waiting.is_full() && !waiting.stuck);
        }
        if waiting.is_full() {
            waiting.lost += 1;
            // Who waits beside us would wait in vain.
            if !std::mem::replace(&mut waiting.stuck, true) {
                drop(waiting);
                self.desk.room.notify_all();
            }
            return;
        }
        waiting.events.push(Said { at, program, event });
        let first = waiting.events.len() == 1;
        drop(waiting);
        if first {
            self.desk.work.notify_one();
        }
    }

    /// Opens the file again, after it was rotated.
    pub fn reopen(&self) {
        self.waiting().reopen = true;
        self.desk.work.notify_one();
    }

    /// Waits until all lines so far are written, but not for ever. True when they are.
    pub fn flush(&self) -> bool {
        let mut waiting = self.waiting();
        // What waits is the batch after those that were begun.
        let batch = waiting.begun + u64::from(!waiting.events.is_empty());
        if waiting.written < batch {
            waiting.hurry = true;
            self.desk.work.notify_one();
            waiting = self.wait_for_room(waiting, FLUSH_MAX, |waiting| waiting.written < batch);
        }
        waiting.written >= batch
    }

    /// The next batch, a little after its first event.
    pub(crate) fn gather(&self, events: &mut Vec<Said>) -> Batch {
        let mut waiting = self.waiting();
        while waiting.events.is_empty() && !waiting.reopen {
            waiting = self.desk.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let idle = |waiting: &mut Waiting| !waiting.hurry && !waiting.is_full();
        let mut waiting = wait_while_for(&self.desk.work, &self.desk.waiting, waiting, GATHER, idle);
        // The two take turns, so neither grows anew.
        std::mem::swap(events, &mut waiting.events);
        waiting.begun += 1;
        waiting.hurry = false;
        waiting.stuck = false;
        let batch =
            Batch { reopen: std::mem::take(&mut waiting.reopen), lost: std::mem::take(&mut waiting.lost) };
        drop(waiting);
        self.desk.room.notify_all();
        batch
    }

    pub(crate) fn written(&self) {
        let mut waiting = self.waiting();
        waiting.written = waiting.begun;
        drop(waiting);
        self.desk.room.notify_all();
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;
    use std::time::Instant;

    fn put(log: &Log) {
        log.put_of(None, Event::Note { program: "test", text: String::new() });
    }

    #[test]
    fn who_speaks_waits_once_for_a_writer_that_hangs_and_what_is_lost_is_counted() {
        let log = Log::default();
        (0..EVENTS_MAX).for_each(|_| put(&log));
        let start = Instant::now();
        let others: Vec<_> = (0..4)
            .map(|_| {
                let log = log.clone();
                std::thread::spawn(move || (0..1_000).for_each(|_| put(&log)))
            })
            .collect();
        others.into_iter().for_each(|other| other.join().expect("no panic"));
        let took = start.elapsed();
        assert!(PATIENCE <= took && took < 3 * PATIENCE, "{took:?}");
        let mut events = Vec::new();
        assert_eq!(log.gather(&mut events), Batch { reopen: false, lost: 4_000 });
        assert_eq!(events.len(), EVENTS_MAX);
        // It flows again: nobody waits, and nothing more is lost.
        events.clear();
        put(&log);
        assert_eq!((log.gather(&mut events).lost, events.len()), (0, 1));
    }

    #[test]
    fn an_end_does_not_wait_for_ever_for_its_last_lines() {
        let log = Log::default();
        put(&log);
        let start = Instant::now();
        assert!(!log.flush());
        assert!(start.elapsed() < 2 * FLUSH_MAX);
        log.gather(&mut Vec::new());
        log.written();
        assert!(log.flush());
    }
}
