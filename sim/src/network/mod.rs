//! Links, connections and datagrams.
//!
//! TCP is what a program sees of it: octets in order, cut at any place, late when a segment is lost, an end, a reset, or
//! silence. A process that is killed resets its connections; a machine that loses power says nothing, and answers later
//! octets with a reset once it is up again. A partition is silence until it heals or the sender gives up.
//! UDP may be lost, and reaches only a port that is bound.
//!
//! Knows nothing of what travels. Plans events in [`Network::planned`]; the world puts them into the kernel.

mod events;
mod facts;
mod paths;
#[cfg(test)]
mod tests;

pub use facts::{Arrival, Cutting, Link, NetEvent};

use crate::faults::{Class, Fired};
use postrider_core::prng::Prng;
use postrider_core::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// A machine of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u16);

/// One end of a connection; the other end differs in the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Socket(pub u64);

impl Socket {
    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        Self(self.0 ^ 1)
    }
}

/// Octets under way before a sender must wait.
const SEND_BUFFER: usize = 128 * 1024;
/// Pieces at the beginning of a write that are cut small; what has been cut so often has been cut enough, and events are not free.
const SMALL_PIECES: u32 = 16;
/// Octets at its end that are cut small: an end of line, an end of data.
const SMALL_END: usize = 8;
/// How long a connect is tried, as Linux does.
const CONNECT_PATIENCE: Duration = Duration::from_secs(127);
/// How long octets are sent again before a connection is given up.
const SEND_PATIENCE: Duration = Duration::from_secs(300);
/// The wait before a lost segment is sent again; doubles up to [`RESEND_MAX`].
const RESEND: Duration = Duration::from_millis(200);
const RESEND_MAX: Duration = Duration::from_secs(30);
/// What counts as a delay.
const SLOW: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
enum Segment {
    Accept,
    Octets(Vec<u8>),
    End,
}

#[derive(Debug, Clone)]
struct End {
    node: NodeId,
    /// The machine at the other end.
    other: NodeId,
    incarnation: u32,
    address: SocketAddr,
    /// What is on its way to this end.
    queue: VecDeque<Segment>,
    octets: usize,
    last_arrival: Instant,
    /// Segments that came while the owner did not read.
    held: u32,
    reading: bool,
    /// The peer waits for room in our buffer.
    peer_waits: bool,
    ended: bool,
    silent_since: Option<Instant>,
    resend: Duration,
    /// Into pieces of at most so many octets what leaves it is cut.
    cutting: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    Up,
    /// The machine runs, the program does not: connects are refused.
    Killed,
    /// Nothing answers.
    Off,
}

#[derive(Debug, Clone)]
struct Machine {
    power: Power,
    incarnation: u32,
    listening: BTreeSet<u16>,
    bound: BTreeSet<u16>,
    next_port: u16,
}

/// All links and what is on them.
#[derive(Debug, Clone)]
pub struct Network {
    prng: Prng,
    machines: BTreeMap<NodeId, Machine>,
    addresses: BTreeMap<IpAddr, NodeId>,
    /// Who has all addresses that nobody else has, if anybody.
    pub elsewhere: Option<NodeId>,
    /// The path of pairs that have none of their own.
    pub usual: Link,
    links: BTreeMap<(NodeId, NodeId), Link>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Directions that stay silent, whatever heals.
    severed: BTreeSet<(NodeId, NodeId)>,
    /// Machines that never get power again.
    gone: BTreeSet<NodeId>,
    /// The usual path is no longer as good as others become.
    worn: bool,
    ends: BTreeMap<Socket, End>,
    next_socket: u64,
    /// How new connections are cut.
    pub cutting: Cutting,
    /// Events to be planned.
    pub planned: Vec<(Instant, NetEvent)>,
    /// The last arrival on each path, and whose it was.
    latest: BTreeMap<(NodeId, NodeId), (Instant, Socket)>,
    /// What went wrong so far.
    pub fired: Fired,
}

impl Network {
    /// No machines yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            prng: Prng::new(seed),
            machines: BTreeMap::new(),
            addresses: BTreeMap::new(),
            elsewhere: None,
            usual: Link::default(),
            links: BTreeMap::new(),
            cut: BTreeSet::new(),
            severed: BTreeSet::new(),
            gone: BTreeSet::new(),
            worn: false,
            ends: BTreeMap::new(),
            next_socket: 0,
            cutting: Cutting::Whole,
            planned: Vec::new(),
            latest: BTreeMap::new(),
            fired: Fired::default(),
        }
    }

    /// Adds a machine with its addresses.
    pub fn machine(&mut self, node: NodeId, addresses: &[IpAddr]) {
        let machine = Machine {
            power: Power::Up,
            incarnation: 0,
            listening: BTreeSet::new(),
            bound: BTreeSet::new(),
            next_port: 20_000,
        };
        self.machines.insert(node, machine);
        self.addresses.extend(addresses.iter().map(|&address| (address, node)));
    }

    /// Who has an address.
    #[must_use]
    pub fn owner(&self, address: IpAddr) -> Option<NodeId> {
        self.addresses.get(&address).copied().or(self.elsewhere)
    }

    /// Accepts connections on a port; 0: on any.
    pub fn listen(&mut self, node: NodeId, port: u16) {
        if let Some(machine) = self.machines.get_mut(&node) {
            machine.listening.insert(port);
        }
    }

    /// Accepts no more connections on a port.
    pub fn listen_no_more(&mut self, node: NodeId, port: u16) {
        if let Some(machine) = self.machines.get_mut(&node) {
            machine.listening.remove(&port);
        }
    }

    /// Binds a UDP port; 0 picks one.
    pub fn bind(&mut self, node: NodeId, port: u16) -> u16 {
        let Some(machine) = self.machines.get_mut(&node) else { return port };
        let port = if port == 0 { next_port(machine) } else { port };
        machine.bound.insert(port);
        port
    }

    /// Frees a UDP port.
    pub fn unbind(&mut self, node: NodeId, port: u16) {
        if let Some(machine) = self.machines.get_mut(&node) {
            machine.bound.remove(&port);
        }
    }

    /// Connects; the result comes as [`Arrival::Connected`] or [`Arrival::NotConnected`].
    pub fn connect(&mut self, now: Instant, node: NodeId, from: IpAddr, to: SocketAddr) -> Socket {
        let socket = Socket(self.next_socket);
        self.next_socket += 2;
        let (incarnation, port) = match self.machines.get_mut(&node) {
            Some(machine) => (machine.incarnation, next_port(machine)),
            None => (0, 0),
        };
        let other = self.owner(to.ip()).unwrap_or(node);
        let end = End::new(node, other, incarnation, SocketAddr::new(from, port), self.cutting.of(socket));
        self.ends.insert(socket, end);
        let wait = self.travel(node, other, 0);
        self.planned.push((now.after(wait), NetEvent::Syn(socket, to, now)));
        socket
    }

    /// Sends octets; true when the buffer took them all. With `tell`, [`Arrival::Drained`] follows otherwise, once it has room.
    pub fn send(&mut self, now: Instant, socket: Socket, octets: &[u8], tell: bool) -> bool {
        let Some(end) = self.ends.get(&socket) else { return false };
        let (from, to, cutting) = (end.node, end.other, end.cutting);
        if !self.ends.contains_key(&socket.peer()) {
            // The peer is gone and has not told us yet.
            let wait = self.travel(from, to, 0);
            self.planned.push((now.after(wait), NetEvent::Probe(socket, now)));
            return false;
        }
        let mut rest = octets;
        let mut pieces = 0;
        while !rest.is_empty() {
            pieces += 1;
            let length = match cutting {
                None => rest.len(),
                Some(_) if pieces > SMALL_PIECES && rest.len() > SMALL_END => {
                    (rest.len() - SMALL_END).min(16_384)
                }
                Some(most) => rest.len().min(1 + self.prng.below(u64::from(most)) as usize),
            };
            let (piece, behind) = rest.split_at(length);
            self.transmit(now, from, to, socket.peer(), Segment::Octets(piece.to_vec()));
            rest = behind;
        }
        let Some(peer) = self.ends.get_mut(&socket.peer()) else { return false };
        let taken = peer.octets <= SEND_BUFFER;
        peer.peer_waits = tell && !taken;
        taken
    }

    /// True while both ends of a connection are there.
    #[must_use]
    pub fn is_whole(&self, socket: Socket) -> bool {
        self.ends.contains_key(&socket) && self.ends.contains_key(&socket.peer())
    }

    /// Says that no more octets will come (half-close).
    pub fn finish(&mut self, now: Instant, socket: Socket) {
        if self.is_whole(socket) && self.ends.get(&socket).is_some_and(|end| !end.ended) {
            self.fired.note(Class::HalfClose);
        }
        self.end(now, socket);
    }

    fn end(&mut self, now: Instant, socket: Socket) {
        let from = match self.ends.get_mut(&socket) {
            Some(end) if !end.ended => {
                end.ended = true;
                end.node
            }
            _ => return,
        };
        if let Some(to) = self.ends.get(&socket.peer()).map(|end| end.node) {
            self.transmit(now, from, to, socket.peer(), Segment::End);
        }
    }

    /// Closes; what was sent still arrives. With octets unread the peer is reset, as TCP does.
    pub fn close(&mut self, now: Instant, socket: Socket) {
        let unread = self.ends.get(&socket).is_some_and(|end| end.held > 0);
        if unread {
            return self.abort(now, socket);
        }
        self.end(now, socket);
        self.ends.remove(&socket);
    }

    /// Resets.
    pub fn abort(&mut self, now: Instant, socket: Socket) {
        let Some(end) = self.ends.remove(&socket) else { return };
        let Some(peer) = self.ends.get(&socket.peer()) else { return };
        let (to, accepting) = (peer.node, matches!(peer.queue.front(), Some(Segment::Accept)));
        let last = peer.last_arrival;
        // A reset may overtake octets, but it answers a connection that is there.
        let at = now.after(self.travel(end.node, to, 0));
        let at = if accepting { at.max(last) } else { at };
        self.planned.push((at, NetEvent::Reset(socket.peer())));
    }

    /// Stops or resumes reading.
    pub fn read(&mut self, now: Instant, socket: Socket, reading: bool) {
        let Some(end) = self.ends.get_mut(&socket) else { return };
        end.reading = reading;
        if reading {
            for _ in 0..std::mem::take(&mut end.held) {
                self.planned.push((now, NetEvent::Arrive(socket)));
            }
        }
    }

    /// Resets one of the open connections, chosen by a number; true if there was one.
    pub fn reset_some(&mut self, now: Instant, choice: u64) -> bool {
        let count = self.ends.len() as u64;
        let Some(&socket) = self.ends.keys().nth(choice.checked_rem(count).unwrap_or(0) as usize) else {
            return false;
        };
        self.planned.push((now, NetEvent::Reset(socket)));
        self.planned.push((now, NetEvent::Reset(socket.peer())));
        self.fired.note(Class::Reset);
        true
    }

    fn transmit(&mut self, now: Instant, from: NodeId, to: NodeId, receiver: Socket, segment: Segment) {
        let octets = if let Segment::Octets(octets) = &segment { octets.len() } else { 0 };
        let wait = self.travel(from, to, octets);
        let link = self.link_between(from, to);
        let Some(end) = self.ends.get_mut(&receiver) else { return };
        end.octets += octets;
        end.queue.push_back(segment);
        // A slow link is slow for each octet, so one segment waits for the one before.
        let start = if link.rate > 0 { now.max(end.last_arrival) } else { now };
        if octets > 0 && start.since(now) + Duration::from_micros(link.drip(octets)) > SLOW && link.rate > 0 {
            self.fired.note(Class::Drip);
        }
        end.last_arrival = end.last_arrival.max(start.after(wait));
        let at = end.last_arrival;
        self.planned.push((at, NetEvent::Arrive(receiver)));
        let latest = self.latest.entry((from, to)).or_insert((at, receiver));
        if at < latest.0 && latest.1 != receiver {
            self.fired.note(Class::Reorder);
        } else {
            *latest = (at, receiver);
        }
    }

    /// Sends a datagram.
    pub fn datagram(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, octets: Vec<u8>) {
        let (Some(source), Some(target)) = (self.owner(from.ip()), self.owner(to.ip())) else { return };
        let link = self.link_between(source, target);
        let spread = link.latency.1.saturating_sub(link.latency.0);
        let wait = Duration::from_micros(link.latency.0 + self.prng.below(spread + 1));
        if link.loss > 0 && self.prng.chance(u64::from(link.loss), 1_000) {
            return self.suffers(Class::Loss, (source, target));
        }
        if !self.is_cut(source, target) {
            self.planned.push((now.after(wait), NetEvent::Datagram(from, to, octets)));
        }
    }

    /// The program of a machine dies; its connections are reset. With `power` the machine falls silent.
    pub fn down(&mut self, now: Instant, node: NodeId, power: bool) {
        let own: Vec<Socket> =
            self.ends.iter().filter(|(_, end)| end.node == node).map(|(&socket, _)| socket).collect();
        for socket in own {
            if power {
                self.ends.remove(&socket);
            } else {
                self.abort(now, socket);
            }
        }
        if let Some(machine) = self.machines.get_mut(&node) {
            machine.power = if power { Power::Off } else { Power::Killed };
            machine.listening.clear();
            machine.bound.clear();
        }
    }

    /// A machine starts; its incarnation.
    pub fn up(&mut self, node: NodeId) -> u32 {
        let Some(machine) = self.machines.get_mut(&node) else { return 0 };
        machine.power = Power::Up;
        machine.incarnation += 1;
        machine.incarnation
    }

    /// Connections that are open at one end at least.
    #[must_use]
    pub fn open(&self) -> usize {
        self.ends.len()
    }
}

fn next_port(machine: &mut Machine) -> u16 {
    machine.next_port = if machine.next_port >= 60_000 { 20_000 } else { machine.next_port + 1 };
    machine.next_port
}

impl End {
    fn new(node: NodeId, other: NodeId, incarnation: u32, address: SocketAddr, cutting: Option<u16>) -> Self {
        Self {
            node,
            other,
            incarnation,
            address,
            queue: VecDeque::new(),
            octets: 0,
            last_arrival: Instant::default(),
            held: 0,
            reading: true,
            peer_waits: false,
            ended: false,
            silent_since: None,
            resend: RESEND,
            cutting,
        }
    }
}
