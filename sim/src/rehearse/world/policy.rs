//! What the servers of one domain (of a destination, where they are shared) have in common: its rate, and what it remembers of senders and recipients.

use crate::rehearse::scenario::{Beyond, Destination};
use postrider_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// What these servers have in common.
#[derive(Debug)]
pub(super) struct Policy {
    /// The scenario's words on it.
    pub(super) destination: Destination,
    /// Its number.
    pub(super) group: u16,
    /// When a sender and recipient were first seen.
    grey: BTreeMap<u64, Instant>,
    /// How many came again.
    known: u32,
    /// When the next message is due, where there is a rate.
    next_free: Instant,
}

impl Policy {
    /// Nothing seen yet.
    #[must_use]
    pub(super) fn new(destination: Destination, group: u16) -> Self {
        Self { destination, group, grey: BTreeMap::new(), known: 0, next_free: Instant::default() }
    }

    /// True when this sender and recipient must come again.
    pub(super) fn greylists(&mut self, now: Instant, sender: &str, recipient: &str) -> bool {
        let delay = self.destination.greylist.0.0;
        let after = self.destination.greylist_knows_after;
        if delay.is_zero() || (after > 0 && self.known >= after) {
            return false;
        }
        let key = crate::kernel::hash(format!("{sender} {recipient}").as_bytes());
        let first = *self.grey.entry(key).or_insert(now);
        if now.since(first) < delay {
            return true;
        }
        self.known += 1;
        false
    }

    /// When a message that comes now has been taken; `None` when it comes too early and may not wait.
    pub(super) fn slot(&mut self, now: Instant) -> Option<Duration> {
        if self.destination.rate <= 0.0 {
            return Some(Duration::ZERO);
        }
        let wait = self.next_free.since(now);
        if !wait.is_zero() && self.destination.too_fast != Beyond::Wait {
            return None;
        }
        self.next_free = self.next_free.max(now).after(Duration::from_secs_f64(1.0 / self.destination.rate));
        Some(wait)
    }
}
