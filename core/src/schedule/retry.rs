//! When a message is tried again, and when it is too old for that.
//!
//! qmgr(8): the next attempt comes after the time that the message has spent in the queue, but not before
//! `minimal_backoff_time` and not after `maximal_backoff_time`; so the pause doubles from attempt to attempt. Ours adds up to
//! `retry_jitter` percent, so that mail that failed together does not come back together.
//! Ages are handed in; which clock they come from is the manager's business.

use crate::prng::Prng;
use crate::time::Duration;
use serde::{Deserialize, Serialize};

/// The parameters of trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RetryRule {
    /// `minimal_backoff_time`; also how long a dead destination rests.
    pub minimal_backoff: Duration,
    /// `maximal_backoff_time`.
    pub maximal_backoff: Duration,
    /// `maximal_queue_lifetime`.
    pub lifetime: Duration,
    /// `bounce_queue_lifetime`: the same for mail from the null sender.
    pub bounce_lifetime: Duration,
    /// `delay_warning_time`; zero: never.
    pub delay_warning: Duration,
    /// `retry_jitter`, percent (ours).
    pub jitter_percent: u32,
}

impl Default for RetryRule {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self {
            minimal_backoff: Duration::from_secs(300),
            maximal_backoff: Duration::from_secs(4_000),
            lifetime: days(5),
            bounce_lifetime: days(5),
            delay_warning: Duration::ZERO,
            jitter_percent: 10,
        }
    }
}

impl RetryRule {
    /// The pause before the next attempt of a message of this age.
    pub fn pause(&self, age: Duration, prng: &mut Prng) -> Duration {
        let pause = age.min(self.maximal_backoff).max(self.minimal_backoff);
        if planted!(RetryAtOnce) {
            return Duration::ZERO;
        }
        if planted!(RetryNever) {
            return Duration::from_secs(1_000_000_000);
        }
        pause.saturating_add(self.jitter(pause, prng))
    }

    /// The longest pause that [`RetryRule::pause`] gives: a stored time further away than this comes from a clock
    /// that was wrong.
    #[must_use]
    pub fn longest_pause(&self) -> Duration {
        let pause = self.maximal_backoff.max(self.minimal_backoff);
        pause.saturating_add(pause / 100 * self.jitter_percent.min(100))
    }

    fn jitter(&self, pause: Duration, prng: &mut Prng) -> Duration {
        let most = pause / 100 * self.jitter_percent.min(100);
        Duration::from_millis(prng.below(u64::try_from(most.as_millis()).unwrap_or(u64::MAX)))
    }

    /// True when a message that could not be delivered now is given up. A lifetime of zero means one attempt.
    #[must_use]
    pub fn expired(&self, age: Duration, sender_is_null: bool) -> bool {
        age >= if sender_is_null { self.bounce_lifetime } else { self.lifetime }
    }

    /// True when the sender should hear that the message is late.
    #[must_use]
    pub fn late(&self, age: Duration) -> bool {
        self.delay_warning > Duration::ZERO && age >= self.delay_warning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_pause_is_the_age_between_its_bounds() {
        let rule = RetryRule { jitter_percent: 0, ..RetryRule::default() };
        let mut prng = Prng::new(1);
        for (age, pause) in [(0, 300), (299, 300), (600, 600), (4_000, 4_000), (1_000_000, 4_000)] {
            assert_eq!(rule.pause(seconds(age), &mut prng), seconds(pause), "age {age}");
        }
    }

    #[test]
    fn jitter_only_adds_and_never_more_than_its_percentage() {
        let rule = RetryRule::default();
        let mut prng = Prng::new(7);
        let pauses: Vec<_> = (0..1_000).map(|_| rule.pause(seconds(1_000), &mut prng)).collect();
        assert!(pauses.iter().all(|&p| p >= seconds(1_000) && p <= seconds(1_100)));
        assert!(pauses.iter().any(|&p| p > seconds(1_090)) && pauses.iter().any(|&p| p < seconds(1_010)));
        assert!(pauses.iter().all(|&p| p <= rule.longest_pause()));
        assert_eq!(rule.longest_pause(), seconds(4_400));
    }

    #[test]
    fn each_kind_of_sender_has_its_own_lifetime() {
        let rule = RetryRule { bounce_lifetime: Duration::ZERO, ..RetryRule::default() };
        assert!(rule.expired(Duration::ZERO, true), "zero: tried once");
        assert!(!rule.expired(seconds(5 * 86_400 - 1), false));
        assert!(rule.expired(seconds(5 * 86_400), false));
    }

    #[test]
    fn a_warning_time_of_zero_warns_never() {
        assert!(!RetryRule::default().late(seconds(1_000_000)));
        let rule = RetryRule { delay_warning: seconds(10), ..RetryRule::default() };
        assert_eq!([9, 10, 11].map(|age| rule.late(seconds(age))), [false, true, true]);
    }

    #[test]
    fn jitter_at_most_doubles_a_pause() {
        let rule = RetryRule { jitter_percent: 1_000, ..RetryRule::default() };
        let mut prng = Prng::new(7);
        let pauses: Vec<_> = (0..1_000).map(|_| rule.pause(seconds(1_000), &mut prng)).collect();
        assert!(pauses.iter().all(|&pause| pause <= seconds(2_000)));
        assert!(pauses.iter().any(|&pause| pause > seconds(1_900)));
        assert_eq!(rule.longest_pause(), seconds(8_000));
    }
}
