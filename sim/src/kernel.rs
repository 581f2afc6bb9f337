//! Events in order, a clock that jumps from one to the next, and a trace.
//!
//! The order is total: time, then the order in which events were planned. So one seed gives one history. The trace is
//! a hash of numbers, not of text: text would cost more than the simulation. It is rendered only when somebody listens.
//!
//! Knows nothing of what an event is.

use postrider_core::time::{Duration, Instant, Now, Timestamp};
use std::collections::BTreeMap;

/// When simulated time begins: 2026-01-01T00:00:00Z. Any fixed moment would do.
const BEGINNING: i64 = 1_767_225_600;

/// Names a planned event, so that it can be called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Planned(Instant, u64);

/// The queue of events.
#[derive(Debug, Clone)]
pub struct Kernel<E> {
    now: Instant,
    sequence: u64,
    queue: BTreeMap<(Instant, u64), E>,
    /// What has happened so far.
    pub trace: Trace,
    /// Events taken so far.
    pub taken: u64,
}

impl<E> Kernel<E> {
    /// Nothing planned, time zero.
    #[must_use]
    pub fn new(trace: Trace) -> Self {
        Self { now: Instant::default(), sequence: 0, queue: BTreeMap::new(), trace, taken: 0 }
    }

    /// Simulated time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Both clocks; the wall clock of a host may be off by `skew` microseconds.
    #[must_use]
    pub fn clocks(&self, skew: i64) -> Now {
        let micros = i64::try_from(self.now.0 / 1_000).unwrap_or(i64::MAX);
        let wall = Timestamp::from_seconds(BEGINNING).0.saturating_add(micros).saturating_add(skew);
        Now { mono: self.now, wall: Timestamp(wall) }
    }

    /// Plans an event; the past is now.
    pub fn at(&mut self, at: Instant, event: E) -> Planned {
        let key = (at.max(self.now), self.sequence);
        self.sequence += 1;
        self.queue.insert(key, event);
        Planned(key.0, key.1)
    }

    /// Plans an event after a while.
    pub fn after(&mut self, wait: Duration, event: E) -> Planned {
        self.at(self.now.after(wait), event)
    }

    /// Calls an event off.
    pub fn cancel(&mut self, planned: Planned) {
        self.queue.remove(&(planned.0, planned.1));
    }

    /// The next event, if it lies before `end`; the clock moves to it, or to `end`.
    pub fn next(&mut self, end: Instant) -> Option<E> {
        let due = self.queue.first_key_value().is_some_and(|(&(at, _), _)| at <= end);
        if !due {
            self.now = self.now.max(end);
            return None;
        }
        let ((at, _), event) = self.queue.pop_first()?;
        self.now = at;
        self.taken += 1;
        Some(event)
    }

    /// When the next event is.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Writes numbers into the trace, and words if somebody listens.
    pub fn note(&mut self, numbers: &[u64], words: impl FnOnce() -> String) {
        self.trace.numbers(&[self.now.0]);
        self.trace.numbers(numbers);
        if self.trace.spoken {
            println!("{:>14.6} {}", self.now.0 as f64 / 1e9, words());
        }
    }
}

/// A hash of all that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    state: u64,
    /// Print each event.
    pub spoken: bool,
}

impl Trace {
    /// The empty trace.
    #[must_use]
    pub const fn new(spoken: bool) -> Self {
        Self { state: 0xcbf2_9ce4_8422_2325, spoken }
    }

    /// Mixes numbers in.
    pub fn numbers(&mut self, numbers: &[u64]) {
        for &number in numbers {
            self.state = (self.state ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        }
    }

    /// Mixes octets in.
    pub fn octets(&mut self, octets: &[u8]) {
        self.numbers(&[hash(octets)]);
    }

    /// The hash so far.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.state
    }
}

/// A hash of octets, eight at a time. Not secret, the same everywhere.
#[must_use]
pub fn hash(octets: &[u8]) -> u64 {
    let mix = |state: u64, word: u64| (state ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let (words, rest) = octets.as_chunks::<8>();
    let state = words.iter().fold(octets.len() as u64, |state, word| mix(state, u64::from_le_bytes(*word)));
    rest.iter().fold(state, |state, octet| mix(state, u64::from(*octet)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_moment_come_in_the_order_of_their_planning() {
        let mut kernel = Kernel::new(Trace::new(false));
        kernel.at(Instant(5), 'b');
        kernel.at(Instant(5), 'c');
        kernel.at(Instant(1), 'a');
        let cancelled = kernel.at(Instant(5), 'x');
        kernel.cancel(cancelled);
        let order: String = std::iter::from_fn(|| kernel.next(Instant(9))).collect();
        assert_eq!(order, "abc");
        assert_eq!(kernel.now(), Instant(9));
    }
}
