//! Places of sessions: counted for each service and each client, and given back however a session ends.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, PoisonError};
use postrider_core::session::clients::Clients;
use postrider_core::wire::Reply;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Who sits where.
#[derive(Debug)]
pub struct Seats {
    /// Open sessions.
    all: AtomicU64,
    /// Open sessions by service: a busy port 25 must not close the submission port.
    services: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    /// Connections by client.
    clients: Mutex<Clients>,
}

impl Seats {
    /// All are free.
    #[must_use]
    pub fn new(clients: Clients) -> Self {
        Self { all: AtomicU64::new(0), services: Mutex::default(), clients: Mutex::new(clients) }
    }

    /// The count of a service.
    #[must_use]
    pub fn service(&self, name: &str) -> Arc<AtomicU64> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(services.entry(name.to_owned()).or_default())
    }

    /// Open sessions.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    /// Takes a seat; whether there was one among so many is for the caller to ask ([`Seat::before`]).
    #[must_use]
    pub fn take(self: &Arc<Self>, service: &Arc<AtomicU64>) -> Seat {
        self.all.fetch_add(1, Ordering::Relaxed);
        let before = service.fetch_add(1, Ordering::Relaxed);
        Seat { seats: Arc::clone(self), service: Arc::clone(service), before, client: None }
    }
}

/// A session's place. Whoever drops it, by an end or by a panic, gives it back.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    service: Arc<AtomicU64>,
    before: u64,
    client: Option<IpAddr>,
}

impl Seat {
    /// How many of the service were taken before.
    #[must_use]
    pub const fn before(&self) -> u64 {
        self.before
    }

    /// One more connection of a client, who may have so many.
    ///
    /// # Errors
    /// The reply to one too many.
    pub fn count_in(&mut self, limit: u64, address: IpAddr) -> Result<(), Reply> {
        let mut clients = self.seats.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.set_limit(limit);
        clients.admit(address)?;
        self.client = Some(address);
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(address) = self.client {
            self.seats.clients.lock().unwrap_or_else(PoisonError::into_inner).leave(address);
        }
        self.service.fetch_sub(1, Ordering::Relaxed);
        self.seats.all.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_session_that_panics_gives_its_seat_back() {
        let seats = Arc::new(Seats::new(Clients::new(1, "here.test")));
        let service = seats.service("smtp/inet");
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut seat = seats.take(&service);
        assert_eq!((seat.count_in(1, here), seats.open()), (Ok(()), 1));
        assert!(seats.take(&service).count_in(1, here).is_err(), "one too many");
        let session = std::thread::spawn(move || {
            let _seat = seat;
            std::panic::resume_unwind(Box::new("a bug"));
        });
        assert!(session.join().is_err());
        assert_eq!((seats.open(), seats.take(&service).before()), (0, 0));
        assert_eq!(seats.take(&service).count_in(1, here), Ok(()));
    }
}
