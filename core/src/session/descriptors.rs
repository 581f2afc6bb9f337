//! How many sessions the descriptors of a process allow.
//!
//! Clients come uninvited, and as many as like. If they took every descriptor, no mail could leave, no name be looked up and no file of the
//! spool be opened: the mail that is here would wait for strangers to go. So at least a third is never theirs, though each of them sent a large
//! content at the same moment.

/// Descriptors that sessions leave alone however few there are: what a daemon at rest has open, some files of the spool, and a few deliveries.
const KEPT_MIN: u64 = 40;
/// Of a session, or of a delivery: its connection, and a file (a large content, a mailbox).
const EACH: u64 = 2;
/// Open whatever there is to do: the log, the control socket and its commands, the poll and its wake-ups, and files of the spool.
const STANDING: u64 = 512;

/// Sessions at once, all services together, for a process that may open so many files.
#[must_use]
pub fn places(limit: u64) -> u64 {
    let kept = limit.div_ceil(3).max(KEPT_MIN);
    (limit.saturating_sub(kept) / EACH).max(1)
}

/// The sessions of a service that may have `own` (`None`: no limit), where all services, this one among them, may have `all`. As many as it may have
/// if there are enough places; else those that want few have them, and the others share the rest evenly: a busy port 25 does not close the
/// submission port.
#[must_use]
pub fn share(places: u64, own: Option<u32>, all: impl IntoIterator<Item = Option<u32>>) -> Option<u32> {
    let wanted = |limit: Option<u32>| limit.map_or(u64::MAX, u64::from);
    let mut all: Vec<u64> = all.into_iter().map(wanted).collect();
    all.sort_unstable();
    let (mut left, mut services) = (places, all.len() as u64);
    for limit in all {
        let part = left / services.max(1);
        if limit > part || limit >= wanted(own) {
            return Some(u32::try_from(wanted(own).min(part)).unwrap_or(u32::MAX).max(1));
        }
        left -= limit;
        services -= 1;
    }
    own
}

/// What a service asks for whose maxproc is `-`: as many as Postfix would give it.
pub const USUAL: u64 = 100;

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
        // What is not for sessions is at least a third.
        let sessions = self.sessions.saturating_mul(EACH).saturating_mul(3).div_ceil(2);
        let all = self.sessions.saturating_add(self.deliveries).saturating_mul(EACH).saturating_add(STANDING);
        let needed = sessions.max(all);
        (limit < needed).then_some(needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_leave_a_third_and_what_a_small_daemon_needs() {
        let of = [0, 20, 48, 64, 80, 256, 1_024, 524_288, u64::MAX].map(places);
        assert_eq!(of, [1, 1, 4, 12, 20, 85, 341, 174_762, u64::MAX / 3]);
        for limit in 0..5_000 {
            let taken = places(limit) * EACH;
            assert!(taken <= limit - limit / 3 || taken == EACH, "{limit}");
            assert!(limit.saturating_sub(taken) >= KEPT_MIN || limit < KEPT_MIN + EACH, "{limit}");
        }
    }

    #[test]
    fn services_share_the_places_and_who_wants_few_has_them() {
        let shares = |places, all: &[Option<u32>]| {
            let share =
                |own: &Option<u32>| share(places, *own, all.iter().copied()).expect("there is a limit");
            all.iter().map(share).collect::<Vec<_>>()
        };
        assert_eq!(shares(100, &[Some(60), Some(30)]), [60, 30], "there are enough");
        assert_eq!(shares(20, &[Some(10_000), Some(4), Some(10_000)]), [8, 4, 8]);
        assert_eq!(shares(2, &[Some(10), Some(10), Some(10)]), [1, 1, 1], "nobody is left without");
        assert_eq!(shares(12, &[None]), [12], "who has no limit has all places");
        assert_eq!(shares(12, &[None, None]), [6, 6]);
        assert_eq!(shares(u64::MAX / 4, &[None, Some(7)]), [u32::MAX, 7]);
    }

    quickcheck::quickcheck! {
        fn shares_fit_into_the_places_unless_there_are_more_services(places: u16, all: Vec<Option<u16>>) -> bool {
            let all: Vec<Option<u32>> = all.into_iter().map(|limit| limit.map(u32::from)).collect();
            let share = |own: &Option<u32>| share(u64::from(places), *own, all.iter().copied()).unwrap_or(u32::MAX);
            let shares: Vec<u32> = all.iter().map(share).collect();
            let is_within = |(share, own): (&u32, &Option<u32>)| own.is_none_or(|own| *share <= own.max(1));
            let sum: u64 = shares.iter().map(|share| u64::from(*share)).sum();
            shares.iter().zip(&all).all(is_within) && sum <= u64::from(places) + all.len() as u64
        }
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
