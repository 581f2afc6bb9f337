//! Accepts clients, and starts a task for each.

use crate::current::Current;
use crate::env::{Accepted, Environment, ListenAt, Net};
use crate::inbound::{Session, Shared};
use crate::observe;
use crate::seats::{Seat, Seats, Service};
use crate::site::{Door, Site};
use crate::stream::Stream;
use crate::trouble::told;
use postrider_core::inbound::Inbound;
use postrider_core::session::Peer;
use postrider_core::session::{clients, descriptors};
use postrider_core::time::Duration;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

/// After a failed accept (no file descriptors left, most often) others get their turn before the next.
const PAUSE: Duration = Duration::from_millis(100);
/// Failed accepts in a row for each line of the log: one a minute.
const FAILURES_A_LINE: u64 = 600;

/// Accepts that failed in a row. Whatever is wrong, trying at once would only spin, and telling it each time would fill the log.
#[derive(Debug, Default)]
pub struct Failures {
    row: u64,
}

impl Failures {
    /// One more: waits before the next try, and says so now and then.
    pub async fn pause(&mut self, words: impl FnOnce() -> String) {
        if self.is_told() {
            observe::warn(words());
        }
        tokio::time::sleep(PAUSE).await;
    }

    /// Somebody was accepted.
    pub const fn end(&mut self) {
        self.row = 0;
    }

    const fn is_told(&mut self) -> bool {
        self.row += 1;
        self.row % FAILURES_A_LINE == 1
    }
}

/// Says why there is no session. One write that fits any socket buffer; who does not take it gets nothing.
async fn turn_away(mut stream: impl AsyncWrite + Unpin, address: IpAddr, reply: &str) {
    observe::warn(format!("turned away a client at {address}: {}", reply.trim_end()));
    _ = tokio::time::timeout(PAUSE, stream.write_all(reply.as_bytes())).await;
}

/// What all doors share.
pub struct Doors<E: Environment> {
    /// World, spool.
    pub shared: Arc<Shared<E>>,
    /// The configuration of the moment.
    pub site: Arc<Current<Site<E>>>,
    /// Open sessions.
    pub seats: Arc<Seats>,
    /// Sessions of all services together that the descriptors of this process allow.
    pub places: u64,
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
        let seats = self.seats.service(&service);
        let mut draining = self.draining.clone();
        let mut failures = Failures::default();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = draining.wait_for(|draining| *draining) => return,
                _ = closed.wait_for(|closed| *closed) => return,
                accepted = self.shared.env.net().accept(&listener) => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    failures.end();
                    self.admit(&service, &seats, accepted).await;
                }
                Err(error) => {
                    failures.pause(|| format!("accept on {service}: {}; clients wait", told(&error))).await;
                }
            }
        }
    }

    /// Gives a client a session of its own; or turns it away, and only then comes the next: those who have no seat shall not have the
    /// descriptors either.
    async fn admit(
        self: &Arc<Self>,
        service: &str,
        seats: &Service,
        accepted: Accepted<<E::Net as Net>::Stream>,
    ) {
        let site = self.site.get();
        let Some(door) = site.doors.get(service).cloned() else { return };
        let service = service.to_owned();
        let address = accepted.peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip());
        let all = site.doors.values().map(|door| door.sessions);
        let limit = descriptors::share(self.places, door.sessions, all);
        let mut seat = self.seats.take(&service, seats, limit, address);
        // Shares change with a reload, and those who sit there stay: together they are never more than there are places.
        if seat.kind() == clients::Seat::Nowhere || self.seats.open() > self.places {
            // Given back first: who is sent away keeps nobody else's place.
            drop(seat);
            return turn_away(accepted.stream, address, "421 4.3.2 All server ports are busy\r\n").await;
        }
        let doors = Arc::clone(self);
        // What a session keeps is large: in a box it stays where it is.
        tokio::spawn(Box::pin(async move {
            let is_excepted = door.is_excepted(&site.answers, address).await;
            match if is_excepted { Ok(()) } else { count_in(&mut seat, &door) } {
                Err(reply) => turn_away(accepted.stream, address, &reply).await,
                Ok(()) => {
                    let peer = Peer {
                        address: address.to_canonical(),
                        port: accepted.peer.map_or(0, |peer| peer.port()),
                        local: accepted.local.map_or(address, |local| local.ip()).to_canonical(),
                    };
                    let now = doors.shared.env.now();
                    let hurried =
                        seat.kind() == clients::Seat::Hurried && !Arc::ptr_eq(&door.hurried, &door.config);
                    let config = if hurried { &door.hurried } else { &door.config };
                    let mut session = Session {
                        shared: Arc::clone(&doors.shared),
                        site: Arc::clone(&site),
                        tls: door.tls.clone(),
                        program: Arc::clone(&door.program),
                        stream: Stream::Plain(accepted.stream),
                        machine: Inbound::new(now, Arc::clone(config), peer),
                        draining: doors.draining.clone(),
                        notices: Vec::new(),
                        tape: site.record.session(now, &service, hurried, peer),
                    };
                    session.run().await;
                }
            }
            drop(seat);
        }));
    }

    /// Where a listener of master.cf listens.
    #[must_use]
    pub fn at(address: IpAddr, port: u16) -> ListenAt {
        ListenAt::Inet((address, port).into())
    }
}

/// One more connection of a client, or the reply to one too many.
fn count_in(seat: &mut Seat, door: &Door) -> Result<(), String> {
    seat.count_in(door.client_limit).map_err(|reply| {
        let mut octets = Vec::new();
        reply.emit(&mut octets);
        String::from_utf8_lossy(&octets).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_in_a_row_is_told_and_then_one_a_minute() {
        let mut failures = Failures::default();
        let told = (1..=2 * FAILURES_A_LINE + 1).filter(|_| failures.is_told()).count();
        assert_eq!(told, 3);
        failures.end();
        assert!(failures.is_told() && !failures.is_told(), "a new row is told at once");
    }
}
