//! The contract of every machine in core.
//!
//! A machine is told facts and the time, and says what it wants done. One stimulus, drain, next:
//! after each `handle_*` call the driver takes outputs until `None`, and only then brings the next fact.
//! The [`Outbox`] asserts it, so a careless driver fails in its first test.
//!
//! Knows no clock, socket, file, thread, channel, lock, or chance.

use crate::time::{Instant, Now};
use std::collections::VecDeque;

/// A pure state machine: facts and time in, requests out.
pub trait Machine {
    /// A fact; it may borrow the caller's buffer.
    type Input<'a>;
    /// A request (an effect, as data); it owns what it needs.
    type Output;

    /// Takes one fact. All outputs of the stimulus before must have been polled.
    fn handle_input(&mut self, now: Now, input: Self::Input<'_>);

    /// Lets time pass. A call before [`Machine::next_timeout`] changes nothing.
    fn handle_timeout(&mut self, now: Now);

    /// The next request, or `None` when drained.
    #[must_use]
    fn poll_output(&mut self) -> Option<Self::Output>;

    /// When [`Machine::handle_timeout`] wants to be called; meaningful when drained.
    #[must_use]
    fn next_timeout(&self) -> Option<Instant>;
}

/// TABLE of the stages of a machine, and of the edges that one stimulus may take. The simulator holds the machine to it, and says
/// which edges no story took.
#[derive(Debug, Clone, Copy)]
pub struct Stages {
    /// Whose.
    pub machine: &'static str,
    /// Their names; a stage's number is its place.
    pub names: &'static [&'static str],
    /// From, to.
    pub edges: &'static [(&'static str, &'static str)],
}

#[cfg(test)]
impl Stages {
    /// Of edges that were taken, those that the table does not have; and those of the table that were not taken.
    pub(crate) fn compare(&self, taken: &std::collections::BTreeSet<(u8, u8)>) -> (Vec<String>, Vec<String>) {
        let name = |stage: u8| self.names.get(usize::from(stage)).copied().unwrap_or("?");
        let words = |(from, to): (&str, &str)| format!("{from} -> {to}");
        let taken: Vec<_> = taken.iter().map(|(from, to)| (name(*from), name(*to))).collect();
        let strange = taken.iter().filter(|edge| edge.0 != edge.1 && !self.edges.contains(edge));
        let missing = self.edges.iter().filter(|edge| !taken.contains(edge));
        (strange.copied().map(words).collect(), missing.copied().map(words).collect())
    }
}

/// Edges of a table that were taken, by the numbers of their stages, if anybody listens: in a daemon nobody does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Taken(Option<Vec<(u8, u8)>>);

impl Taken {
    /// From now on somebody listens.
    pub fn listen(&mut self) {
        self.0.get_or_insert_default();
    }

    /// True when somebody listens.
    #[must_use]
    pub const fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// Something went from one stage to another.
    pub fn note(&mut self, from: u8, to: u8) {
        if from != to
            && let Some(taken) = &mut self.0
        {
            taken.push((from, to));
        }
    }

    /// All that were taken since the last call.
    #[must_use]
    pub fn take(&mut self) -> Vec<(u8, u8)> {
        self.0.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// The outputs of one stimulus, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outbox<O> {
    items: VecDeque<O>,
}

impl<O> Outbox<O> {
    /// An empty outbox.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: VecDeque::new() }
    }

    /// Adds a request behind the others.
    pub fn put(&mut self, output: O) {
        self.items.push_back(output);
    }

    /// Takes the oldest request.
    pub fn take(&mut self) -> Option<O> {
        self.items.pop_front()
    }

    /// True when nothing waits to be polled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many requests wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// The rule "one stimulus, drain, next".
    ///
    /// # Panics
    /// When a driver brings a fact before it took all outputs of the one before: a bug of that driver.
    #[track_caller]
    pub fn assert_drained(&self) {
        assert!(
            self.items.is_empty(),
            "the driver brought a fact before it drained {} outputs",
            self.items.len()
        );
    }
}

impl<O> Default for Outbox<O> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Outbox;

    #[test]
    fn outputs_leave_in_the_order_in_which_they_were_put() {
        let mut outbox = Outbox::new();
        outbox.put(1);
        outbox.put(2);
        assert_eq!(outbox.take(), Some(1));
        assert_eq!(outbox.take(), Some(2));
        assert_eq!(outbox.take(), None);
        outbox.assert_drained();
    }

    #[test]
    #[should_panic(expected = "before it drained 1 outputs")]
    fn a_driver_that_does_not_drain_is_caught() {
        let mut outbox = Outbox::new();
        outbox.put(1);
        outbox.assert_drained();
    }
}
