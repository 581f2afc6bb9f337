//! How many connections each client has: the part of anvil(8) that needs no clock.
//!
//! `smtpd_client_connection_count_limit`. Who is exempt (`smtpd_client_event_limit_exceptions`) is the caller's to know:
//! exempt clients are neither admitted nor take leave here. Bounded by the connections there are.

use crate::session::replies;
use crate::wire::Reply;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Connections by client address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Clients {
    limit: u64,
    host: String,
    counts: BTreeMap<IpAddr, u64>,
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
    pub fn admit(&mut self, address: IpAddr) -> Result<(), Reply> {
        let count = self.counts.entry(address).or_insert(0);
        if self.limit > 0 && *count >= self.limit {
            return Err(replies::TOO_MANY_CONNECTIONS.with(&[&self.host, &address.to_string()]));
        }
        *count += 1;
        Ok(())
    }

    /// Counts an admitted connection out.
    pub fn leave(&mut self, address: IpAddr) {
        if let Some(count) = self.counts.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&address);
            }
        }
    }

    /// Connections that a client has.
    #[must_use]
    pub fn count(&self, address: IpAddr) -> u64 {
        self.counts.get(&address).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_is_told_so_and_others_are_not_hindered() {
        let mut clients = Clients::new(2, "mx.example");
        let (a, b) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert_eq!(clients.admit(a), Ok(()));
        assert_eq!(clients.admit(a), Ok(()));
        let refused = clients.admit(a).expect_err("the third");
        assert_eq!(refused.code, 421);
        assert_eq!(refused.lines, ["mx.example Error: too many connections from 192.0.2.1"]);
        assert_eq!(clients.admit(b), Ok(()));
        clients.leave(a);
        assert_eq!(clients.admit(a), Ok(()));
        clients.leave(a);
        clients.leave(a);
        clients.leave(a);
        assert_eq!(clients.count(a), 0);
    }

    #[test]
    fn no_limit_admits_all() {
        let mut clients = Clients::new(0, "mx.example");
        assert!((0..1000).all(|_| clients.admit(IpAddr::from([192, 0, 2, 1])).is_ok()));
    }
}
