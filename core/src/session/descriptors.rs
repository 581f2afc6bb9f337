//! How many sessions the descriptors of a process allow.
//!
//! Clients come uninvited, and as many as like. If they took every descriptor, no mail could leave, no name be looked up and no file of the
//! spool be opened: the mail that is here would wait for strangers to go. So at least half is never theirs.

/// Descriptors that sessions leave alone however few there are: what a daemon at rest has open, some files of the spool, and a few deliveries.
const KEPT_MIN: u64 = 40;
/// Of a session, or of a delivery: its connection, and a file (a large content, a mailbox).
const EACH: u64 = 2;
/// Open whatever there is to do: the log, the control socket and its commands, the poll and its wake-ups, and files of the spool.
const STANDING: u64 = 512;

/// Sessions at once, all services together, for a process that may open so many files.
#[must_use]
pub fn places(limit: u64) -> u64 {
    let kept = limit.div_ceil(2).max(KEPT_MIN);
    (limit.saturating_sub(kept) / EACH).max(1)
}

/// The sessions of a service that may have `own` (`None`: no limit), where all services together ask for `all`: as many as it may have, or its part of
/// so many places. A busy port 25 does not close the submission port.
#[must_use]
pub fn share(places: u64, own: Option<u32>, all: u64) -> Option<u32> {
    let wanted = own.map_or(places, u64::from);
    if all <= places && own.is_some() {
        return own;
    }
    let part = u128::from(wanted) * u128::from(places) / u128::from(all.max(wanted).max(1));
    Some(u32::try_from(part).unwrap_or(u32::MAX).max(1))
}

/// What a configuration asks for, if all of it happens at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Wanted {
    /// Sessions of all services.
    pub sessions: u64,
    /// Deliveries of all transports.
    pub deliveries: u64,
}

impl Wanted {
    /// Under which limit all of that is possible, if this one is too low for it.
    #[must_use]
    pub fn beyond(&self, limit: u64) -> Option<u64> {
        // What is not for sessions is at least half.
        let sessions = self.sessions.saturating_mul(2 * EACH);
        let all = self.sessions.saturating_add(self.deliveries).saturating_mul(EACH).saturating_add(STANDING);
        let needed = sessions.max(all);
        (limit < needed).then_some(needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_never_take_more_than_half_and_leave_what_a_small_daemon_needs() {
        let of = [0, 20, 48, 64, 80, 256, 1_024, 524_288, u64::MAX].map(places);
        assert_eq!(of, [1, 1, 4, 12, 20, 64, 256, 131_072, u64::MAX / 4]);
        for limit in 0..5_000 {
            let taken = places(limit) * EACH;
            assert!(taken <= limit / 2 || taken == EACH, "{limit}");
            assert!(limit.saturating_sub(taken) >= KEPT_MIN || limit < KEPT_MIN + EACH, "{limit}");
        }
    }

    #[test]
    fn services_share_the_places_by_what_they_may_have() {
        assert_eq!(share(100, Some(60), 90), Some(60), "there are enough");
        let shares = [90, 30, 0, 1].map(|own| share(12, Some(own), 121).expect("a limit"));
        assert_eq!(shares, [8, 2, 1, 1], "and nobody is left without");
        assert_eq!(share(12, None, 12), Some(12), "who has no limit has all places");
        assert_eq!(share(12, None, 24), Some(6));
        assert_eq!(share(u64::MAX / 4, None, u64::MAX / 4), Some(u32::MAX));
    }

    #[test]
    fn what_a_configuration_asks_for_fits_under_the_limit_that_is_named() {
        let wanted = Wanted { sessions: 10_000, deliveries: 20_000 };
        assert_eq!(wanted.beyond(1_024), Some(60_512));
        assert_eq!(wanted.beyond(60_512), None);
        let busy = Wanted { sessions: 10_000, deliveries: 100 };
        let named = busy.beyond(1_024).expect("it is too low");
        assert!(places(named) >= busy.sessions);
        assert_eq!(Wanted { sessions: u64::MAX, deliveries: 1 }.beyond(1 << 20), Some(u64::MAX));
    }
}
