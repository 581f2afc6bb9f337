//! Time as an argument.
//!
//! There are two clocks. [`Instant`] is monotonic and is all that schedules while we run. [`Timestamp`] is the
//! wall clock: ages, headers, logs; it survives a restart and may jump. [`Now`] carries both.
//! Nothing in core reads a clock.

use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};

pub use core::time::Duration;

/// A point on the monotonic clock: nanoseconds since an origin of the driver's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Instant(pub u64);

impl Instant {
    /// The instant `duration` later; the end of time when that does not fit.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A point on the wall clock: microseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds since 1970.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The microseconds beyond [`Timestamp::seconds`], 0..1_000_000.
    #[must_use]
    pub const fn microseconds(self) -> u32 {
        self.0.rem_euclid(1_000_000) as u32
    }

    /// The timestamp `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero when the wall clock has jumped back past it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// What the clocks say at the moment of a stimulus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Now {
    /// The monotonic clock: time-outs and schedules.
    pub mono: Instant,
    /// The wall clock: ages, headers, logs.
    pub wall: Timestamp,
}

impl Now {
    /// Both clocks moved on by `duration`.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self { mono: self.mono.after(duration), wall: self.wall.after(duration) }
    }
}

/// How far local time is from UTC, now and at all other times that matter: summer time begins and ends while a process runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Zone {
    /// Minutes east of UTC before the first change.
    first: i32,
    /// From when on it is so many, in order.
    changes: Arc<[(Timestamp, i32)]>,
}

impl Zone {
    /// A zone that is so many minutes east of UTC, and from each of these moments on so many.
    #[must_use]
    pub fn new(first: i32, changes: impl IntoIterator<Item = (Timestamp, i32)>) -> Self {
        let mut changes: Vec<_> = changes.into_iter().collect();
        changes.sort_unstable();
        Self { first, changes: changes.into() }
    }

    /// UTC at all times.
    #[must_use]
    pub fn utc() -> &'static Self {
        static UTC: LazyLock<Zone> = LazyLock::new(Zone::default);
        &UTC
    }

    /// Minutes east of UTC at that time.
    #[must_use]
    pub fn offset(&self, at: Timestamp) -> i32 {
        let passed = self.changes.partition_point(|(from, _)| *from <= at);
        let last = passed.checked_sub(1).and_then(|last| self.changes.get(last));
        last.map_or(self.first, |(_, offset)| *offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_what_it_was_since_the_last_change() {
        let hour = |hour: i64| Timestamp::from_seconds(hour * 3600);
        let zone = Zone::new(60, [(hour(20), 60), (hour(10), 120)]);
        for (at, offset) in [(-1_000_000, 60), (9, 60), (10, 120), (19, 120), (20, 60), (1_000_000, 60)] {
            assert_eq!(zone.offset(hour(at)), offset, "{at}");
        }
        assert_eq!(Zone::default().offset(hour(1)), 0);
    }

    #[test]
    fn ages_never_become_negative_when_the_wall_clock_jumps_back() {
        let arrived = Timestamp::from_seconds(1_000);
        assert_eq!(Timestamp::from_seconds(10).since(arrived), Duration::ZERO);
    }

    #[test]
    fn the_end_of_time_is_not_passed() {
        assert_eq!(Instant(u64::MAX).after(Duration::from_secs(1)), Instant(u64::MAX));
    }

    #[test]
    fn seconds_before_1970_round_down() {
        assert_eq!(Timestamp(-1).seconds(), -1);
        assert_eq!(Timestamp(-1).microseconds(), 999_999);
    }
}
