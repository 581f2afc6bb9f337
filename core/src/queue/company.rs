//! Company: a message that is to be committed waits a moment for others, if others are about.
//!
//! A sync costs the same for one message and for ten. Who is about is known from the last group: as many messages as it held and as had come
//! by its end are waited for, up to [`COMPANY_MAX`], and for [`PATIENCE`] at most. So a client that sends alone never waits; where two
//! send in turns, each waits for the other; and a group that came to fewer asks for fewer the next time.

use crate::time::{Duration, Instant};

/// Messages that are waited for: a sixth of a sync each is little enough, and a larger group only makes its first one wait.
const COMPANY_MAX: usize = 6;
/// How long the first of a group waits, at most. Some disks sync in less: it is what a sync may be late for good company.
const PATIENCE: Duration = Duration::from_millis(1);

/// The messages that wait to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Company {
    waiting: usize,
    /// When the first of them came.
    since: Option<Instant>,
    /// How many there should be.
    wanted: usize,
}

impl Company {
    /// How many they are.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// A message waits.
    pub(super) fn came(&mut self, now: Instant) {
        self.waiting += 1;
        self.since.get_or_insert(now);
    }

    /// It is being written, or was refused.
    pub(super) fn went(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0 {
            self.since = None;
        }
    }

    /// Nobody is waited for any longer: enough have come, or it took too long. What then keeps them from being written (a segment that is
    /// being made) ends by itself, and no timer may ask for it meanwhile.
    pub(super) const fn enough(&mut self) {
        self.since = None;
    }

    /// A group of so many is durable.
    pub(super) fn answered(&mut self, messages: usize) {
        if messages > 0 {
            self.wanted = (messages + self.waiting).min(COMPANY_MAX);
        }
    }

    /// How many others are waited for.
    pub(super) fn missing(&self, now: Instant) -> usize {
        match self.until() {
            Some(until) if now < until => self.wanted - self.waiting,
            _ => 0,
        }
    }

    /// Until when, if too few wait.
    pub(super) fn until(&self) -> Option<Instant> {
        self.since.filter(|_| self.waiting < self.wanted).map(|since| since.after(PATIENCE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(microseconds: u64) -> Instant {
        Instant(0).after(Duration::from_micros(microseconds))
    }

    /// Messages at these times, and how long after the first of them they are written, given that the group before held so many.
    fn held(before: usize, times: &[u64]) -> u64 {
        let mut company = Company::default();
        company.answered(before);
        for time in times {
            company.came(at(*time));
            if company.missing(at(*time)) == 0 {
                return time - times[0];
            }
        }
        let until = company.until().expect("it waits for others");
        assert_eq!(company.missing(until), 0);
        until.since(at(times[0])).as_micros() as u64
    }

    #[test]
    fn who_sends_alone_never_waits() {
        assert_eq!(held(0, &[0]), 0, "nothing is known yet");
        assert_eq!(held(1, &[0]), 0);
    }

    #[test]
    fn as_many_are_waited_for_as_were_there_the_last_time_and_for_a_millisecond_at_most() {
        assert_eq!(held(3, &[0, 200, 300]), 300);
        assert_eq!(held(3, &[0, 200]), 1_000);
        assert_eq!(held(100, &[0, 1, 2, 3, 4, 5, 6, 7, 8]), 5);
    }

    #[test]
    fn who_came_during_a_sync_is_company_for_the_next_group() {
        let mut company = Company::default();
        company.came(at(0));
        company.went();
        company.came(at(10));
        company.answered(1);
        assert_eq!(company.missing(at(20)), 1);
        company.came(at(30));
        assert_eq!(company.missing(at(30)), 0);
        company.went();
        company.went();
        assert_eq!(company.until(), None);
    }

    #[test]
    fn who_has_waited_long_enough_is_waited_for_no_more_even_if_something_else_holds_it_up() {
        let mut company = Company::default();
        company.answered(3);
        company.came(at(0));
        assert_eq!((company.missing(at(0)), company.missing(at(1_000))), (2, 0));
        company.enough();
        assert_eq!(company.until(), None, "a time that has passed would be asked for again and again");
        company.came(at(5_000));
        assert_eq!(company.until(), Some(at(6_000)));
    }

    #[test]
    fn patience_begins_with_the_first_of_those_who_wait() {
        let mut company = Company::default();
        company.answered(3);
        company.came(at(0));
        company.came(at(10));
        company.went();
        assert_eq!(company.until(), Some(at(1_000)), "one still waits");
        company.went();
        company.came(at(5_000));
        assert_eq!(company.until(), Some(at(6_000)), "the others have gone");
    }

    #[test]
    fn no_timer_is_asked_for_when_enough_have_come() {
        let mut company = Company::default();
        company.answered(2);
        company.came(at(0));
        assert_eq!(company.until(), Some(at(1_000)));
        company.came(at(10));
        assert_eq!(company.until(), None);
    }

    #[test]
    fn a_sync_of_outcomes_alone_says_nothing_of_who_is_about() {
        let mut company = Company::default();
        company.answered(3);
        company.answered(0);
        company.came(at(0));
        assert_eq!((company.waiting(), company.missing(at(0))), (1, 2));
        company.answered(0);
        assert_eq!(company.missing(at(0)), 2);
    }

    #[test]
    fn a_group_that_came_to_fewer_asks_for_fewer() {
        let mut company = Company::default();
        company.answered(8);
        company.came(at(0));
        assert_eq!(company.missing(at(1_000)), 0, "patience has an end");
        company.went();
        company.answered(1);
        company.came(at(2_000));
        assert_eq!(company.missing(at(2_000)), 0);
    }
}
