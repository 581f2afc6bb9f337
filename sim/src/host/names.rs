//! Drives the resolver: a fresh port for each query, streams with a length in front.

use super::{Live, Owner, Who, Work};
use crate::network::{Arrival, Socket};
use crate::world::Scope;
use postrider_core::ask::{Answer, RecordKind};
use postrider_core::dns::{Entropy, Input, Output, QUERIES_PER_QUESTION_MAX, QueryId, Ticket};
use postrider_core::machine::Machine;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What the resolver has under way.
#[derive(Debug, Default)]
pub(super) struct Desk {
    askers: BTreeMap<Ticket, (Who, String, RecordKind)>,
    ports: BTreeMap<u16, QueryId>,
    queries: BTreeMap<QueryId, Way>,
    last: u64,
}

/// How a query travels.
#[derive(Debug)]
enum Way {
    Port(u16),
    /// With the octets to send once connected, and then those received.
    Stream(Socket, Vec<u8>, Vec<u8>),
}

impl Live {
    pub(super) fn resolve(&mut self, scope: &mut Scope<'_>, who: Who, name: &str, kind: RecordKind) {
        self.names.last += 1;
        let ticket = Ticket(self.names.last);
        self.names.askers.insert(ticket, (who, name.to_owned(), kind));
        let mut octets = [0; 2 * QUERIES_PER_QUESTION_MAX];
        for chunk in octets.chunks_mut(8) {
            let random = scope.prng().next_u64().to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
        let input = Input::Ask { ticket, name, kind, entropy: Entropy(octets) };
        self.tell_resolver(scope, input);
    }

    pub(super) fn tell_resolver(&mut self, scope: &mut Scope<'_>, input: Input<'_>) {
        self.resolver.handle_input(Self::now(scope), input);
        self.drain_resolver(scope);
    }

    pub(super) fn drain_resolver(&mut self, scope: &mut Scope<'_>) {
        self.due[2] = None;
        while let Some(output) = self.resolver.poll_output() {
            match output {
                Output::SendUdp { query, server, octets } => {
                    let port = scope.fabric.network.bind(scope.node, 0);
                    self.names.ports.insert(port, query);
                    self.names.queries.insert(query, Way::Port(port));
                    scope.datagram(port, server, octets);
                }
                Output::SendTcp { query, server, octets } => {
                    let socket = scope.connect(server);
                    let mut framed = u16::try_from(octets.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
                    framed.extend(octets);
                    self.owners.insert(socket, Owner::Query(query));
                    self.names.queries.insert(query, Way::Stream(socket, framed, Vec::new()));
                }
                Output::CloseQuery(query) => self.close_query(scope, query),
                Output::Answer { ticket, answer } => self.resolved(scope, ticket, answer),
                Output::Event(event) => self.event(scope, &event),
            }
        }
    }

    fn resolved(&mut self, scope: &mut Scope<'_>, ticket: Ticket, answer: postrider_core::ask::DnsAnswer) {
        if let Some((who, name, kind)) = self.names.askers.remove(&ticket) {
            let now = scope.fabric.kernel.now();
            scope.fabric.ledger.believed(now, scope.node, (&name, kind), &answer);
            self.work.push_back(Work::Answer(who, Answer::Resolve(answer)));
        }
    }

    fn close_query(&mut self, scope: &mut Scope<'_>, query: QueryId) {
        match self.names.queries.remove(&query) {
            Some(Way::Port(port)) => {
                self.names.ports.remove(&port);
                scope.fabric.network.unbind(scope.node, port);
            }
            Some(Way::Stream(socket, ..)) => {
                self.owners.remove(&socket);
                scope.abort(socket);
            }
            None => {}
        }
    }

    pub(super) fn datagram(&mut self, scope: &mut Scope<'_>, port: u16, from: SocketAddr, octets: &[u8]) {
        if let Some(&query) = self.names.ports.get(&port) {
            self.tell_resolver(scope, Input::Datagram { query, from, octets });
        }
    }

    pub(super) fn unreachable(&mut self, scope: &mut Scope<'_>, port: u16) {
        if let Some(&query) = self.names.ports.get(&port) {
            self.tell_resolver(scope, Input::Lost { query });
        }
    }

    pub(super) fn query_arrival(
        &mut self,
        scope: &mut Scope<'_>,
        socket: Socket,
        query: QueryId,
        arrival: Arrival,
    ) {
        let Some(Way::Stream(_, outgoing, incoming)) = self.names.queries.get_mut(&query) else { return };
        match arrival {
            Arrival::Connected(_) => scope.send(socket, &std::mem::take(outgoing)),
            Arrival::Octets(_, octets) => {
                incoming.extend(octets);
                let Some((length, rest)) = incoming.split_first_chunk::<2>() else { return };
                let Some(octets) = rest.get(..usize::from(u16::from_be_bytes(*length))) else { return };
                let octets = octets.to_vec();
                self.tell_resolver(scope, Input::TcpAnswer { query, octets: &octets });
            }
            Arrival::NotConnected(..) | Arrival::End(_) | Arrival::Gone(..) => {
                self.tell_resolver(scope, Input::Lost { query });
            }
            _ => {}
        }
    }
}
