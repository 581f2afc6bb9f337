//! Places of sessions: counted for each service and each client, and given back however a session ends.
//!
//! What a client gets is for [`clients`] of core to say; this only shares its counts between tasks.

use crate::guard;
use crate::observe;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, PoisonError};
use postrider_core::session::clients;
use postrider_core::wire::Reply;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The count of one service.
pub type Service = Arc<Mutex<clients::Seats>>;

/// Who sits where.
#[derive(Debug)]
pub struct Seats {
    /// Open sessions.
    all: AtomicU64,
    /// Open sessions by service: a busy port 25 must not close the submission port.
    services: Mutex<BTreeMap<String, Service>>,
    /// Connections by service and client.
    clients: Mutex<clients::Clients>,
}

impl Seats {
    /// All are free.
    #[must_use]
    pub fn new(clients: clients::Clients) -> Self {
        Self { all: AtomicU64::new(0), services: Mutex::default(), clients: Mutex::new(clients) }
    }

    /// The count of a service.
    #[must_use]
    pub fn service(&self, name: &str) -> Service {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(services.entry(name.to_owned()).or_default())
    }

    /// Open sessions.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    /// Takes a seat for a client of a service that may have so many; what it is worth is for the caller to ask ([`Seat::kind`]). The log has a
    /// line when stress begins or ends.
    #[must_use]
    pub fn take(self: &Arc<Self>, name: &str, service: &Service, limit: Option<u32>, client: IpAddr) -> Seat {
        let (before, kind, after, taken) = {
            let mut seats = service.lock().unwrap_or_else(PoisonError::into_inner);
            let before = seats.is_stressed();
            let kind = seats.take(limit);
            (before, kind, seats.is_stressed(), seats.taken())
        };
        match (before, after) {
            (false, true) => observe::warn(format!(
                "service {name}: {taken} of {} sessions are taken: new clients get the settings of stress",
                limit.unwrap_or(0)
            )),
            (true, false) => observe::warn(format!("service {name}: stress is over")),
            _ => {}
        }
        if kind != clients::Seat::Nowhere {
            self.all.fetch_add(1, Ordering::Relaxed);
        }
        let (seats, service) = (Arc::clone(self), Arc::clone(service));
        Seat { seats, name: name.to_owned(), service, kind, client, counted: false }
    }
}

/// A session's place. Whoever drops it, by an end or by a panic, gives it back.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    /// The service's.
    name: String,
    service: Service,
    kind: clients::Seat,
    client: IpAddr,
    /// It is one of its client's connections with the service.
    counted: bool,
}

impl Seat {
    /// What the client gets.
    #[must_use]
    pub const fn kind(&self) -> clients::Seat {
        self.kind
    }

    /// One more connection of the client with the service, who may have so many.
    ///
    /// # Errors
    /// The reply to one too many.
    pub fn count_in(&mut self, limit: u64) -> Result<(), Reply> {
        let mut clients = self.seats.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.set_limit(limit);
        clients.admit(&self.name, self.client)?;
        self.counted = true;
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let whose = format!("the session of a client at {}", self.client);
            guard::tell(None, &whose, "its connection is closed");
        }
        if self.counted {
            self.seats.clients.lock().unwrap_or_else(PoisonError::into_inner).leave(&self.name, self.client);
        }
        self.service.lock().unwrap_or_else(PoisonError::into_inner).leave();
        if self.kind != clients::Seat::Nowhere {
            self.seats.all.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_session_that_panics_gives_its_seat_back() {
        let seats = Arc::new(Seats::new(clients::Clients::new(1, "here.test")));
        let service = seats.service("smtp/inet");
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let take = || seats.take("smtp/inet", &service, Some(1), here);
        let mut seat = take();
        assert_eq!((seat.count_in(1), seat.kind(), seats.open()), (Ok(()), clients::Seat::Usual, 1));
        let mut other = take();
        assert!(other.count_in(1).is_err(), "one too many");
        assert_eq!((other.kind(), seats.open()), (clients::Seat::Nowhere, 1), "it takes nobody's place");
        drop(other);
        let session = std::thread::spawn(move || {
            let _seat = seat;
            std::panic::resume_unwind(Box::new("a bug"));
        });
        assert!(session.join().is_err());
        assert_eq!((seats.open(), take().kind()), (0, clients::Seat::Usual));
        assert_eq!(take().count_in(1), Ok(()));
    }
}
