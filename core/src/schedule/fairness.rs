//! Jobs, their order, and when small mail passes large.
//!
//! SCHEDULER_README, "How the preemption works". A job is what one message wants of one transport. Jobs stand in line
//! as their messages came. With every entry (an attempt's worth of recipients) that a job is given it earns a part of a delivery
//! slot; a later, smaller job may pass it by spending such slots. A mailing is so slowed by a fifth at most, however
//! many letters pass it, and a letter need not wait for fifty thousand recipients.

use crate::mail::QueueId;
use crate::schedule::destination::DestinationId;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// When small mail may pass large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SlotRule {
    /// Entries that earn one slot (`…_delivery_slot_cost`); 0: mail never passes other mail.
    pub cost: u32,
    /// Slots that are given in advance (`…_delivery_slot_loan`).
    pub loan: u32,
    /// Percent of the slots needed that are given in advance (`…_delivery_slot_discount`).
    pub discount: u32,
    /// A job that can not earn so many is never passed (`…_minimum_delivery_slots`).
    pub minimum: u32,
}

impl Default for SlotRule {
    fn default() -> Self {
        Self { cost: 5, loan: 3, discount: 50, minimum: 3 }
    }
}

/// A place in line. Messages stand 2^80 apart, so that those that pass find places between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Position(u128);

impl Position {
    /// The place of a message that nobody lets pass.
    pub(super) const fn of(sequence: u64) -> Self {
        Self((sequence as u128) << 80 | 1 << 79)
    }

    /// A place before this one and behind `other`; `None` when they are neighbours.
    ///
    /// It lies close to `other`: the next one that passes comes between too. A thousandth each time leaves room for
    /// thousands side by side and for eight within one another.
    pub(super) fn after(other: Option<Self>, this: Self) -> Option<Self> {
        let other = other.map_or_else(|| this.0.saturating_sub(1 << 80), |position| position.0);
        let gap = this.0.checked_sub(other)?;
        (gap >= 2).then(|| Self(other + (gap >> 10).max(1)))
    }
}

/// What one message wants of one transport.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Job {
    /// Its place in line.
    pub(super) position: Position,
    /// The order in which messages became active.
    pub(super) sequence: u64,
    /// When it came.
    pub(super) since: Instant,
    /// Entries that wait.
    pub(super) entries: u32,
    /// Entries that were given.
    pub(super) given: u64,
    /// What others have spent in passing it, in entries.
    pub(super) spent: u64,
    /// Recipients of the message that are not yet routed: some of them may come to this job.
    pub(super) unread: u32,
    /// The entries, by destination.
    pub(super) peers: BTreeMap<DestinationId, VecDeque<Vec<u32>>>,
}

impl Job {
    pub(super) const fn new(sequence: u64, since: Instant) -> Self {
        Self {
            position: Position::of(sequence),
            sequence,
            since,
            entries: 0,
            given: 0,
            spent: 0,
            unread: 0,
            peers: BTreeMap::new(),
        }
    }

    /// Slots that it may need, at most.
    pub(super) const fn demand(&self) -> u64 {
        self.entries as u64 + self.unread as u64
    }

    /// Slots that it will have to give if all it has is given; `None` when nobody may pass it (now).
    pub(super) fn allowance(&self, rule: SlotRule) -> Option<Allowance> {
        if rule.cost < 2 || self.spent > self.given {
            return None;
        }
        let cost = u64::from(rule.cost);
        let all = self.given + u64::from(self.entries);
        if all / cost < u64::from(rule.minimum) {
            return None;
        }
        let most = all.saturating_sub(self.spent) / cost;
        (most > 0).then_some(Allowance { most, now: (self.given - self.spent) / cost, rule })
    }
}

/// What a job can let pass.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Allowance {
    /// The largest demand that may ever pass.
    pub(super) most: u64,
    /// Slots earned and not spent.
    now: u64,
    rule: SlotRule,
}

impl Allowance {
    /// True when a job of this demand may pass now: a part of its slots may still have to be earned.
    pub(super) fn suffices(&self, demand: u64) -> bool {
        let discount = demand * u64::from(self.rule.discount.min(100)) / 100;
        self.now + discount + u64::from(self.rule.loan) >= demand
    }
}

/// How much a job deserves to pass: its age divided by its demand, as a fraction, for comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Merit {
    age: u128,
    demand: u128,
}

impl Merit {
    pub(super) fn new(age: Duration, demand: u64) -> Self {
        // Of jobs that have just come the smallest has most merit: nobody's age is nothing.
        Self { age: age.as_nanos() + 1, demand: u128::from(demand.max(1)) }
    }

    pub(super) const fn exceeds(&self, other: &Self) -> bool {
        self.age * other.demand > other.age * self.demand
    }
}

/// Jobs of similar demand: 1, 2-3, 4-7 …
pub(super) const fn class_of(demand: u64) -> u8 {
    (64 - demand.leading_zeros()) as u8
}

/// The key of a message's place among its like.
pub(super) type Like = (u64, QueueId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_between_two_messages_do_not_run_out() {
        let this = Position::of(7);
        let mut last = Position::of(6);
        for _ in 0..10_000 {
            let next = Position::after(Some(last), this).expect("room");
            assert!(last < next && next < this);
            last = next;
        }
        let mut inner = this;
        for depth in 0..8 {
            inner = Position::after(Some(Position::of(6)), inner).unwrap_or_else(|| panic!("depth {depth}"));
        }
    }

    #[test]
    fn there_is_a_place_before_the_very_first_message() {
        assert!(Position::after(None, Position::of(0)).is_some_and(|place| place < Position::of(0)));
    }

    #[test]
    fn a_job_earns_a_slot_with_every_fifth_entry() {
        let mut job = Job::new(1, Instant(0));
        job.entries = 100;
        let start = job.allowance(SlotRule::default()).expect("large");
        assert_eq!((start.most, start.now), (20, 0));
        assert!(start.suffices(3) && start.suffices(6) && !start.suffices(7), "a loan of 3 and half");
        (job.entries, job.given) = (50, 50);
        assert_eq!(job.allowance(SlotRule::default()).map(|a| a.now), Some(10));
        job.spent = 10;
        assert_eq!(
            job.allowance(SlotRule::default()).map(|a| (a.most, a.now)),
            Some((18, 8)),
            "two are spent"
        );
        job.spent = 55;
        assert!(job.allowance(SlotRule::default()).is_none(), "the loan is paid back first");
    }

    #[test]
    fn small_jobs_and_a_cost_of_nothing_let_nobody_pass() {
        let mut job = Job::new(1, Instant(0));
        job.entries = 14;
        assert!(job.allowance(SlotRule::default()).is_none(), "two slots at most, three are the minimum");
        job.entries = 15;
        assert!(job.allowance(SlotRule::default()).is_some(), "three are enough");
        let costs = |cost| job.allowance(SlotRule { cost, ..SlotRule::default() }).map(|a| a.most);
        assert_eq!([costs(0), costs(1), costs(2)], [None, None, Some(7)]);
        job.entries = 4;
        let without_minimum = SlotRule { minimum: 0, ..SlotRule::default() };
        assert!(job.allowance(without_minimum).is_none(), "it will never have a slot to give");
    }

    #[test]
    fn merit_is_age_divided_by_demand() {
        let merit = |seconds, demand| Merit::new(Duration::from_secs(seconds), demand);
        assert!(merit(10, 2).exceeds(&merit(4, 1)));
        assert!(!merit(10, 3).exceeds(&merit(4, 1)));
        assert!(merit(4, 1).exceeds(&merit(10, 3)));
        assert!(merit(0, 1).exceeds(&merit(0, 2)));
        assert!(!merit(4, 1).exceeds(&merit(4, 1)), "who is found first");
    }
}
