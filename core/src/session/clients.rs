//! How many connections each client has with each service (the part of anvil(8) that needs no clock), and how many each service (that of master(8)).
//!
//! `smtpd_client_connection_count_limit`. Who is exempt (`smtpd_client_event_limit_exceptions`) is the caller's to know:
//! exempt clients are neither admitted nor take leave here. Bounded by the connections there are.
//! The process limit of a service, and the stress that comes before it: docs/decisions/0032.

use crate::session::replies;
use crate::wire::Reply;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Connections by service and client address: whoever fills one service's share may still come to another, as with anvil(8).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Clients {
    limit: u64,
    host: String,
    counts: BTreeMap<(String, IpAddr), u64>,
}

impl Clients {
    /// At most `limit` connections a client; 0 is no limit. `host` is `myhostname`, for the reply.
    #[must_use]
    pub fn new(limit: u64, host: &str) -> Self {
        Self { limit, host: host.to_owned(), counts: BTreeMap::new() }
    }

    /// Another limit from now on: services may have their own, and a reload may change it.
    pub const fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Counts a connection in. Each that was admitted takes leave once.
    ///
    /// # Errors
    /// The reply (421) to one too many, which is not counted.
    pub fn admit(&mut self, service: &str, address: IpAddr) -> Result<(), Reply> {
        let count = self.counts.entry((service.to_owned(), address)).or_insert(0);
        if self.limit > 0 && *count >= self.limit {
            return Err(replies::TOO_MANY_CONNECTIONS.with(&[&self.host, &address.to_string()]));
        }
        *count += 1;
        Ok(())
    }

    /// Counts an admitted connection out.
    pub fn leave(&mut self, service: &str, address: IpAddr) {
        let key = (service.to_owned(), address);
        if let Some(count) = self.counts.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&key);
            }
        }
    }

    /// Connections that a client has with a service.
    #[must_use]
    pub fn count(&self, service: &str, address: IpAddr) -> u64 {
        self.counts.get(&(service.to_owned(), address)).copied().unwrap_or(0)
    }
}

/// What a client gets that comes to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seat {
    /// A session.
    Usual,
    /// A session with the settings of stress: there are nearly as many as there may be.
    Hurried,
    /// None: there are as many as there may be.
    Nowhere,
}

/// The sessions of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Seats {
    taken: u64,
    stressed: bool,
}

impl Seats {
    /// Counts a client in, whatever it gets; each takes leave once. `limit`: sessions at a time, `None` for no limit.
    ///
    /// Stress begins when three quarters are taken, so that those who come then leave soon, and ends when no more than half are:
    /// a service at the edge does not change its mind with each client.
    pub fn take(&mut self, limit: Option<u32>) -> Seat {
        let before = self.taken;
        self.taken += 1;
        let Some(limit) = limit.map(u64::from) else {
            self.stressed = false;
            return Seat::Usual;
        };
        self.stressed = if self.stressed { before * 2 > limit } else { before * 4 >= limit * 3 };
        match (before < limit, self.stressed) {
            (false, _) => Seat::Nowhere,
            (true, true) => Seat::Hurried,
            (true, false) => Seat::Usual,
        }
    }

    /// Counts a client out.
    pub const fn leave(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    /// Clients that are counted in.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether the last that came found it so.
    #[must_use]
    pub const fn is_stressed(&self) -> bool {
        self.stressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stress_begins_when_three_quarters_are_taken_and_ends_at_half() {
        let mut seats = Seats::default();
        let taken =
            |seats: &mut Seats, count: u32| (0..count).map(|_| seats.take(Some(8))).collect::<Vec<_>>();
        assert_eq!(taken(&mut seats, 6), [Seat::Usual; 6]);
        assert_eq!(taken(&mut seats, 3), [Seat::Hurried, Seat::Hurried, Seat::Nowhere]);
        (0..4).for_each(|_| seats.leave());
        assert_eq!(seats.take(Some(8)), Seat::Hurried, "five are more than half");
        (0..2).for_each(|_| seats.leave());
        assert_eq!((seats.take(Some(8)), seats.is_stressed()), (Seat::Usual, false));
        assert_eq!(seats.take(Some(8)), Seat::Usual, "five are less than three quarters");
        assert_eq!(seats.taken(), 6);
    }

    #[test]
    fn the_only_session_of_a_service_is_never_hurried_and_without_a_limit_none_is() {
        assert_eq!(Seats::default().take(Some(1)), Seat::Usual);
        let mut seats = Seats::default();
        assert!((0..100_000).all(|_| seats.take(None) == Seat::Usual));
    }

    #[test]
    fn one_too_many_is_told_so_and_others_are_not_hindered() {
        let mut clients = Clients::new(2, "mx.example");
        let (a, b) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert_eq!(clients.admit("smtp", a), Ok(()));
        assert_eq!(clients.admit("smtp", a), Ok(()));
        let refused = clients.admit("smtp", a).expect_err("the third");
        assert_eq!(refused.code, 421);
        assert_eq!(refused.lines, ["mx.example Error: too many connections from 192.0.2.1"]);
        assert_eq!(clients.admit("smtp", b), Ok(()));
        assert_eq!(clients.admit("submission", a), Ok(()), "each service has its own count");
        clients.leave("smtp", a);
        assert_eq!(clients.admit("smtp", a), Ok(()));
        clients.leave("smtp", a);
        clients.leave("smtp", a);
        clients.leave("smtp", a);
        assert_eq!((clients.count("smtp", a), clients.count("submission", a)), (0, 1));
    }

    #[test]
    fn no_limit_admits_all() {
        let mut clients = Clients::new(0, "mx.example");
        assert!((0..1000).all(|_| clients.admit("smtp", IpAddr::from([192, 0, 2, 1])).is_ok()));
    }
}
