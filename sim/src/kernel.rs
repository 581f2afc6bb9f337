//! Events in order, a clock that jumps from one to the next, and a trace.
//!
//! The order is total: time, then the order in which events were planned. So one seed gives one history. The trace is
//! a hash of numbers, not of text: text would cost more than the simulation. It is rendered only when somebody listens.
//!
//! Knows nothing of what an event is.

use postrider_core::time::{Duration, Instant, Now, Timestamp};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io::Write as _;

/// When simulated time begins: 2026-01-01T00:00:00Z. Any fixed moment would do.
const BEGINNING: i64 = 1_767_225_600;

/// Names a planned event, so that it can be called off: its number, and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Planned(u64, usize);

/// When an event is due and its number, as one that orders by both; and its place.
#[derive(Debug, Clone, Copy)]
struct Due {
    order: u128,
    place: usize,
}

impl Due {
    fn new(at: Instant, number: u64, place: usize) -> Self {
        Self { order: u128::from(at.0) << 64 | u128::from(number), place }
    }

    const fn at(self) -> Instant {
        Instant((self.order >> 64) as u64)
    }

    const fn number(self) -> u64 {
        self.order as u64
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The first to come is the greatest: what a heap gives.
    fn cmp(&self, other: &Self) -> Ordering {
        other.order.cmp(&self.order)
    }
}

/// The queue of events.
#[derive(Debug, Clone)]
pub struct Kernel<E> {
    now: Instant,
    sequence: u64,
    /// Also of events that were called off, but for the first.
    queue: BinaryHeap<Due>,
    /// The events, which are too large to be moved about, with their numbers.
    places: Vec<Option<(u64, E)>>,
    free: Vec<usize>,
    /// What has happened so far.
    pub trace: Trace,
    /// Events taken so far.
    pub taken: u64,
}

impl<E> Kernel<E> {
    /// Nothing planned, time zero.
    #[must_use]
    pub fn new(trace: Trace) -> Self {
        Self {
            now: Instant::default(),
            sequence: 0,
            queue: BinaryHeap::new(),
            places: Vec::new(),
            free: Vec::new(),
            trace,
            taken: 0,
        }
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
        let (at, number) = (at.max(self.now), self.sequence);
        self.sequence += 1;
        let place = self.free.pop().unwrap_or(self.places.len());
        match self.places.get_mut(place) {
            Some(free) => *free = Some((number, event)),
            None => self.places.push(Some((number, event))),
        }
        self.queue.push(Due::new(at, number, place));
        Planned(number, place)
    }

    /// Plans an event after a while.
    pub fn after(&mut self, wait: Duration, event: E) -> Planned {
        self.at(self.now.after(wait), event)
    }

    /// Calls an event off.
    pub fn cancel(&mut self, planned: Planned) {
        if self.is_planned(planned.0, planned.1) {
            _ = self.take(planned.1);
            self.tidy();
        }
    }

    fn is_planned(&self, number: u64, place: usize) -> bool {
        self.places.get(place).is_some_and(|held| held.as_ref().is_some_and(|held| held.0 == number))
    }

    fn take(&mut self, place: usize) -> Option<E> {
        let (_, event) = self.places.get_mut(place)?.take()?;
        self.free.push(place);
        Some(event)
    }

    /// The first in the queue is planned, and not much of the rest is called off.
    fn tidy(&mut self) {
        while let Some(&due) = self.queue.peek()
            && !self.is_planned(due.number(), due.place)
        {
            self.queue.pop();
        }
        if self.queue.len() > 2 * (self.places.len() - self.free.len()) + 64 {
            let mut queue = std::mem::take(&mut self.queue);
            queue.retain(|due| self.is_planned(due.number(), due.place));
            self.queue = queue;
        }
    }

    /// The next event, if it lies before `end`; the clock moves to it, or to `end`.
    pub fn next(&mut self, end: Instant) -> Option<E> {
        let Some(&due) = self.queue.peek().filter(|due| due.at() <= end) else {
            self.now = self.now.max(end);
            return None;
        };
        self.queue.pop();
        let event = self.take(due.place)?;
        self.tidy();
        self.now = due.at();
        self.taken += 1;
        Some(event)
    }

    /// When the next event is.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.queue.peek().map(|due| due.at())
    }

    /// Writes numbers into the trace, and words if somebody listens.
    pub fn note(&mut self, numbers: &[u64], words: impl FnOnce() -> String) {
        self.trace.numbers(&[self.now.0]);
        self.trace.numbers(numbers);
        self.say(words);
    }

    /// Words for listeners alone: they are no part of the trace.
    pub fn say(&self, words: impl FnOnce() -> String) {
        if self.trace.spoken {
            // Who has closed the pipe hears the rest no more; the story goes on.
            let line = crate::words::cut(words());
            _ = writeln!(std::io::stdout(), "{:>14.6} {line}", self.now.0 as f64 / 1e9);
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

    #[test]
    fn whatever_is_called_off_the_rest_comes_in_order() {
        let mut prng = postrider_core::prng::Prng::new(1);
        let mut kernel = Kernel::new(Trace::new(false));
        let (mut planned, mut model) = (Vec::new(), std::collections::BTreeMap::new());
        for number in 0..20_000u64 {
            let at = kernel.now().0 + prng.below(1_000);
            model.insert((at, number), number);
            planned.push((kernel.at(Instant(at), number), (at, number)));
            // What was called off or has happened already may be called off again. Most are called off soon, and far from the front.
            for among in [planned.len(), 100, 100] {
                let place = planned.len() - 1 - prng.below(among.min(planned.len()) as u64) as usize;
                let (name, key) = planned[place];
                kernel.cancel(name);
                model.remove(&key);
            }
            assert_eq!(kernel.next_at().map(|at| at.0), model.keys().next().map(|key| key.0));
            if prng.chance(1, 16) {
                assert_eq!(kernel.next(Instant(u64::MAX)), model.pop_first().map(|(_, number)| number));
            }
            assert!(kernel.queue.len() <= 2 * model.len() + 64, "what was called off is forgotten");
        }
    }
}
