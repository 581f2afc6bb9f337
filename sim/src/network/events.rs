//! What happens to connections and datagrams on their way.

use super::{
    Arrival, CONNECT_PATIENCE, End, NetEvent, Network, NodeId, RESEND, RESEND_MAX, SEND_BUFFER,
    SEND_PATIENCE, Segment, Socket,
};
use crate::faults::Class;
use postrider_core::time::{Duration, Instant};
use std::net::SocketAddr;

impl Network {
    /// Lets an event happen: what reaches which machine.
    pub fn happen(&mut self, now: Instant, event: NetEvent) -> Option<(NodeId, Arrival)> {
        match event {
            NetEvent::Syn(socket, to, since) => self.syn(now, socket, to, since),
            NetEvent::Arrive(socket) => self.arrive(now, socket),
            NetEvent::Reset(socket) => {
                let end = self.ends.remove(&socket)?;
                Some((end.node, Arrival::Gone(socket, true)))
            }
            NetEvent::Probe(socket, since) => self.probe(now, socket, since),
            NetEvent::Drained(socket) => Some((self.ends.get(&socket)?.node, Arrival::Drained(socket))),
            NetEvent::Datagram(from, to, octets) => self.datagram_arrives(now, from, to, octets),
            NetEvent::Unreachable(at) => {
                let node = self.owner(at.ip())?;
                let bound = self.machines.get(&node)?.bound.contains(&at.port());
                bound.then_some((node, Arrival::Unreachable(at.port())))
            }
        }
    }

    fn syn(
        &mut self,
        now: Instant,
        socket: Socket,
        to: SocketAddr,
        since: Instant,
    ) -> Option<(NodeId, Arrival)> {
        let dialer = self.ends.get(&socket)?;
        let (node, peer, cutting) = (dialer.node, dialer.address, dialer.cutting);
        let target = self.owner(to.ip());
        let silent = match target {
            Some(target) => self.silent(node, target) || self.silent(target, node),
            None => {
                self.fired.note(Class::BlackHole);
                true
            }
        };
        if silent {
            if now.since(since) >= CONNECT_PATIENCE {
                self.ends.remove(&socket);
                return Some((node, Arrival::NotConnected(socket, false)));
            }
            let again = now.since(since).max(Duration::from_secs(1));
            let at = now.after(again).min(since.after(CONNECT_PATIENCE));
            self.planned.push((at, NetEvent::Syn(socket, to, since)));
            return None;
        }
        let target = target?;
        let machine = self.machines.get(&target)?;
        if !machine.listening.contains(&to.port()) && !machine.listening.contains(&0) {
            self.ends.remove(&socket);
            return Some((node, Arrival::NotConnected(socket, true)));
        }
        let end = End::new(target, node, machine.incarnation, to, cutting);
        self.ends.insert(socket.peer(), end);
        self.transmit(now, target, node, socket, Segment::Accept);
        Some((target, Arrival::Accepted { socket: socket.peer(), port: to.port(), peer }))
    }

    fn arrive(&mut self, now: Instant, socket: Socket) -> Option<(NodeId, Arrival)> {
        let end = self.ends.get(&socket)?;
        let (node, from, incarnation) = (end.node, end.other, end.incarnation);
        if self.silent(from, node) || self.silent(node, from) {
            return self.resend(now, socket);
        }
        if self.machines.get(&node).is_none_or(|machine| machine.incarnation != incarnation) {
            return None;
        }
        let end = self.ends.get_mut(&socket)?;
        end.silent_since = None;
        end.resend = RESEND;
        if !end.reading && !matches!(end.queue.front(), Some(Segment::Accept)) {
            end.held += 1;
            return None;
        }
        let segment = end.queue.pop_front()?;
        let arrival = match segment {
            Segment::Accept => Arrival::Connected(socket),
            Segment::Octets(octets) => {
                end.octets = end.octets.saturating_sub(octets.len());
                if end.peer_waits && end.octets <= SEND_BUFFER {
                    end.peer_waits = false;
                    self.planned.push((now, NetEvent::Drained(socket.peer())));
                }
                Arrival::Octets(socket, octets)
            }
            Segment::End => Arrival::End(socket),
        };
        Some((node, arrival))
    }

    /// A segment meets silence: it comes again later, or its sender gives up.
    fn resend(&mut self, now: Instant, socket: Socket) -> Option<(NodeId, Arrival)> {
        let end = self.ends.get_mut(&socket)?;
        let since = *end.silent_since.get_or_insert(now);
        if matches!(end.queue.front(), Some(Segment::Accept)) && now.since(since) >= CONNECT_PATIENCE {
            // Who connects has heard nothing, and its kernel gives up whether or not the program has set a time. The other end notices later.
            let node = end.node;
            self.ends.remove(&socket);
            self.planned.push((now, NetEvent::Probe(socket.peer(), now)));
            return Some((node, Arrival::NotConnected(socket, false)));
        }
        if now.since(since) < SEND_PATIENCE {
            end.resend = (end.resend * 2).min(RESEND_MAX);
            self.planned.push((now.after(end.resend), NetEvent::Arrive(socket)));
            return None;
        }
        let sender = self.ends.remove(&socket.peer())?;
        Some((sender.node, Arrival::Gone(socket.peer(), false)))
    }

    /// Octets for an end that is gone: a reset comes back, or nothing while its machine is silent.
    fn probe(&mut self, now: Instant, socket: Socket, since: Instant) -> Option<(NodeId, Arrival)> {
        let end = self.ends.get(&socket)?;
        let (node, other) = (end.node, end.other);
        let silent = self.silent(node, other) || self.silent(other, node);
        if silent && now.since(since) < SEND_PATIENCE {
            self.planned.push((now.after(RESEND_MAX), NetEvent::Probe(socket, since)));
            return None;
        }
        self.ends.remove(&socket);
        Some((node, Arrival::Gone(socket, !silent)))
    }

    fn datagram_arrives(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        octets: Vec<u8>,
    ) -> Option<(NodeId, Arrival)> {
        let (source, target) = (self.owner(from.ip())?, self.owner(to.ip())?);
        if self.silent(source, target) {
            return None;
        }
        if self.machines.get(&target)?.bound.contains(&to.port()) {
            return Some((target, Arrival::Datagram { port: to.port(), from, octets }));
        }
        if !self.silent(target, source) {
            let wait = self.travel(target, source, 0);
            self.planned.push((now.after(wait), NetEvent::Unreachable(from)));
        }
        None
    }
}
