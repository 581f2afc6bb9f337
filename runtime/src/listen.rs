//! Accepts clients, and starts a task for each.

use crate::env::{Accepted, Environment, ListenAt, Net};
use crate::guard;
use crate::inbound::{Session, Shared};
use crate::observe;
use crate::site::{Door, Site};
use crate::stream::Stream;
use crate::trouble::told;
use postrider_core::inbound::Inbound;
use postrider_core::session::Peer;
use postrider_core::session::clients::{Clients, Seat, Seats};
use postrider_core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

/// After a failed accept (no file descriptors left, most often) others get their turn before the next.
const PAUSE: Duration = Duration::from_millis(100);
/// Failed accepts in a row for each line of the log: one a minute.
const FAILURES_A_LINE: u64 = 600;

/// What all doors share.
pub struct Doors<E: Environment> {
    /// World, spool.
    pub shared: Arc<Shared<E>>,
    /// The configuration of the moment.
    pub site: Arc<RwLock<Arc<Site<E>>>>,
    /// Connections by client.
    pub clients: Mutex<Clients>,
    /// Open sessions.
    pub sessions: AtomicU64,
    /// Open sessions by service: a busy port 25 must not close the submission port.
    pub seats: Mutex<BTreeMap<String, Arc<Mutex<Seats>>>>,
    /// Becomes true when the daemon drains.
    pub draining: watch::Receiver<bool>,
}

impl<E: Environment> Doors<E> {
    /// Serves one listener until the daemon drains, or `closed` becomes true.
    pub async fn serve(
        self: Arc<Self>,
        service: String,
        mut closed: watch::Receiver<bool>,
        // Dropped before `closed`: who waits for that finds the address free.
        listener: <E::Net as Net>::Listener,
    ) {
        let seats = Arc::clone(
            self.seats.lock().unwrap_or_else(PoisonError::into_inner).entry(service.clone()).or_default(),
        );
        let mut draining = self.draining.clone();
        let mut failures = 0u64;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = draining.wait_for(|draining| *draining) => return,
                _ = closed.wait_for(|closed| *closed) => return,
                accepted = self.shared.env.net().accept(&listener) => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    failures = 0;
                    self.admit(&service, &seats, accepted);
                }
                Err(error) => {
                    if failures.is_multiple_of(FAILURES_A_LINE) {
                        observe::warn(format!("accept on {service}: {}; clients wait", told(&error)));
                    }
                    failures += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn admit(
        self: &Arc<Self>,
        service: &str,
        seats: &Arc<Mutex<Seats>>,
        accepted: Accepted<<E::Net as Net>::Stream>,
    ) {
        let site = Arc::clone(&self.site.read().unwrap_or_else(PoisonError::into_inner));
        let Some(door) = site.doors.get(service).cloned() else { return };
        let service = service.to_owned();
        let address = accepted.peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip());
        let seat = take_seat(seats, &service, &door);
        let mut place = Place::take(self, seats, address);
        let doors = Arc::clone(self);
        tokio::spawn(async move {
            let excepted = door.is_excepted(&site.answers, address).await;
            let verdict = match (seat, excepted) {
                (Seat::Nowhere, _) => Err("421 4.3.2 All server ports are busy\r\n".to_owned()),
                (_, true) => Ok(()),
                (_, false) => doors.count_in(&door, address),
            };
            match verdict {
                Err(reply) => {
                    observe::warn(format!("turned away a client at {address}: {}", reply.trim_end()));
                    let mut stream = accepted.stream;
                    // One write that fits any socket buffer; who does not take it gets nothing.
                    _ = tokio::time::timeout(PAUSE, stream.write_all(reply.as_bytes())).await;
                }
                Ok(()) => {
                    place.counted = !excepted;
                    let peer = Peer {
                        address: address.to_canonical(),
                        port: accepted.peer.map_or(0, |peer| peer.port()),
                        local: accepted.local.map_or(address, |local| local.ip()).to_canonical(),
                    };
                    let now = doors.shared.env.now();
                    let hurried = seat == Seat::Hurried && !Arc::ptr_eq(&door.hurried, &door.config);
                    let config = if hurried { &door.hurried } else { &door.config };
                    let session = Session {
                        shared: Arc::clone(&doors.shared),
                        site: Arc::clone(&site),
                        tls: door.tls.clone(),
                        stream: Stream::Plain(accepted.stream),
                        machine: Inbound::new(now, Arc::clone(config), peer),
                        draining: doors.draining.clone(),
                        notices: Vec::new(),
                        tape: doors.shared.recorder.session(now, &service, hurried, peer),
                    };
                    session.run().await;
                }
            }
            drop(place);
        });
    }

    /// One more connection of a client, or the reply to one too many.
    fn count_in(&self, door: &Door, address: IpAddr) -> Result<(), String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.set_limit(door.client_limit);
        clients.admit(address).map_err(|reply| {
            let mut octets = Vec::new();
            reply.emit(&mut octets);
            String::from_utf8_lossy(&octets).into_owned()
        })
    }

    /// Where a listener of master.cf listens.
    #[must_use]
    pub fn at(address: IpAddr, port: u16) -> ListenAt {
        ListenAt::Inet((address, port).into())
    }
}

/// A client's place at a door; free again when this is dropped, however the session ends.
struct Place<E: Environment> {
    doors: Arc<Doors<E>>,
    seats: Arc<Mutex<Seats>>,
    address: IpAddr,
    /// It is one of its client's connections.
    counted: bool,
}

impl<E: Environment> Place<E> {
    /// Of a client that has a seat among `seats`.
    fn take(doors: &Arc<Doors<E>>, seats: &Arc<Mutex<Seats>>, address: IpAddr) -> Self {
        doors.sessions.fetch_add(1, Ordering::Relaxed);
        Self { doors: Arc::clone(doors), seats: Arc::clone(seats), address, counted: false }
    }
}

impl<E: Environment> Drop for Place<E> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let whose = format!("the session of a client at {}", self.address);
            guard::tell(None, &whose, "its connection is closed");
        }
        if self.counted {
            self.doors.clients.lock().unwrap_or_else(PoisonError::into_inner).leave(self.address);
        }
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).leave();
        self.doors.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A seat of a service, and a line in the log when stress begins or ends.
fn take_seat(seats: &Mutex<Seats>, service: &str, door: &Door) -> Seat {
    let mut seats = seats.lock().unwrap_or_else(PoisonError::into_inner);
    let before = seats.is_stressed();
    let seat = seats.take(door.sessions);
    match (before, seats.is_stressed()) {
        (false, true) => observe::warn(format!(
            "service {service}: {} of {} sessions are taken: new clients get the settings of stress",
            seats.taken(),
            door.sessions.unwrap_or(0)
        )),
        (true, false) => observe::warn(format!("service {service}: stress is over")),
        _ => {}
    }
    seat
}
