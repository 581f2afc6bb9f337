//! Limiters: an attempt starts when every limiter in two short lists, its transport's and its destination's, permits it.
//!
//! design.md 4. The concurrency window is the first; a pace keeps a pause between deliveries; slots bound what one
//! transport runs at once. A later one (site, egress address, tenant) is one more variant.

use crate::schedule::window::Window;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// What a limiter says to another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permit {
    /// Start.
    Now,
    /// Not before this time.
    At(Instant),
    /// Not before one that runs has ended.
    AfterRelease,
}

/// What an ended attempt says of its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It answered as it should.
    Good,
    /// It could not be reached, or sent us away.
    Bad,
    /// Nothing.
    Neutral,
}

/// When the pause between two deliveries begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PauseFrom {
    /// When the first one starts (`…_transport_rate_delay`).
    Start,
    /// When the first one ends (`…_destination_rate_delay`).
    End,
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Limiter {
    /// The concurrency window of a destination.
    Window(Window),
    /// A pause between deliveries.
    Pace {
        /// How long.
        pause: Duration,
        /// Counted from where.
        from: PauseFrom,
        /// When the next one may start.
        free_at: Instant,
    },
    /// A number of deliveries at once (`maxproc` of master.cf).
    Slots {
        /// So many.
        limit: u32,
        /// So many run.
        busy: u32,
    },
}

impl Limiter {
    /// A pause that has not begun.
    #[must_use]
    pub const fn pace(pause: Duration, from: PauseFrom) -> Self {
        Self::Pace { pause, from, free_at: Instant(0) }
    }

    /// Whether another attempt may start.
    #[must_use]
    pub fn permit(&self, now: Instant) -> Permit {
        match self {
            Self::Window(window) if window.permits() => Permit::Now,
            Self::Slots { limit, busy } if busy < limit => Permit::Now,
            Self::Window(_) | Self::Slots { .. } => Permit::AfterRelease,
            Self::Pace { free_at, .. } if *free_at <= now => Permit::Now,
            Self::Pace { free_at, .. } => Permit::At(*free_at),
        }
    }

    /// An attempt starts.
    pub fn take(&mut self, now: Instant) {
        match self {
            Self::Window(window) => window.take(),
            Self::Pace { pause, from: PauseFrom::Start, free_at } => *free_at = now.after(*pause),
            Self::Pace { .. } => {}
            Self::Slots { busy, .. } => *busy = busy.saturating_add(1),
        }
    }

    /// An attempt has ended; true when the destination counts as dead now.
    #[must_use]
    pub fn release(&mut self, now: Instant, verdict: Verdict) -> bool {
        match self {
            Self::Window(window) => {
                let dead = match verdict {
                    Verdict::Good => {
                        window.good();
                        false
                    }
                    Verdict::Bad => window.bad(),
                    Verdict::Neutral => false,
                };
                if verdict != Verdict::Bad || !planted!(PermitLeaked) {
                    window.give_back();
                }
                dead
            }
            Self::Pace { pause, from: PauseFrom::End, free_at } => {
                if !planted!(PauseIgnored) {
                    *free_at = now.after(*pause);
                }
                false
            }
            Self::Pace { .. } => false,
            Self::Slots { busy, .. } => {
                *busy = busy.saturating_sub(1);
                false
            }
        }
    }
}

/// What a list of limiters says: the strictest answer.
#[must_use]
pub(super) fn permit_of(limiters: &[Limiter], now: Instant) -> Permit {
    limiters.iter().map(|limiter| limiter.permit(now)).max().unwrap_or(Permit::Now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::window::WindowRule;

    #[test]
    fn the_strictest_limiter_of_a_list_decides() {
        let second = Duration::from_secs(1);
        let at = |seconds| Instant(0).after(Duration::from_secs(seconds));
        let mut list = vec![
            Limiter::Window(Window::new(WindowRule { initial: 1, ..WindowRule::default() })),
            Limiter::pace(second, PauseFrom::End),
        ];
        assert_eq!(permit_of(&list, at(0)), Permit::Now);
        list.iter_mut().for_each(|l| l.take(at(0)));
        assert_eq!(permit_of(&list, at(0)), Permit::AfterRelease);
        for limiter in &mut list {
            assert!(!limiter.release(at(5), Verdict::Neutral));
        }
        assert_eq!(permit_of(&list, at(5)), Permit::At(at(6)));
        assert_eq!(permit_of(&list, at(6)), Permit::Now);
    }

    #[test]
    fn a_pace_from_the_start_does_not_wait_for_the_end() {
        let mut pace = Limiter::pace(Duration::from_secs(20), PauseFrom::Start);
        pace.take(Instant(0));
        assert_eq!(pace.permit(Instant(1)), Permit::At(Instant(20_000_000_000)));
        assert_eq!(pace.permit(Instant(20_000_000_000)), Permit::Now);
    }
}
