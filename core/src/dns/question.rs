//! One question while it is asked: whom next, how, and with which id.

use super::{Entropy, Params, QueryId, Ticket};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// Queries that one question may cost, over all aliases, servers and rounds; each takes two octets of its entropy.
pub const QUERIES_PER_QUESTION_MAX: usize = 32;

/// The query that is out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Query {
    pub(super) id: QueryId,
    pub(super) wire_id: u16,
    pub(super) server: SocketAddr,
    pub(super) tcp: bool,
    pub(super) strays: u32,
    pub(super) deadline: Instant,
}

/// How the next query goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) server: SocketAddr,
    pub(super) edns: bool,
    pub(super) tcp: bool,
    pub(super) wire_id: u16,
    pub(super) wait: Duration,
}

/// A question and who waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asking {
    pub(super) tickets: Vec<Ticket>,
    /// The name that is asked for now: at first the question's, then where its aliases lead.
    pub(super) name: String,
    /// Aliases so far.
    pub(super) aliases: u32,
    /// The least of all lifetimes so far.
    pub(super) valid_until: Instant,
    /// All answers so far were authentic.
    pub(super) authentic: bool,
    pub(super) query: Option<Query>,
    /// Servers that have not failed; `place` is the one whose turn it is.
    servers: Vec<SocketAddr>,
    place: usize,
    round: u32,
    edns: bool,
    tcp: bool,
    entropy: Entropy,
    drawn: usize,
}

impl Asking {
    pub(super) fn new(ticket: Ticket, name: &str, servers: Vec<SocketAddr>, entropy: Entropy) -> Self {
        Self {
            tickets: vec![ticket],
            name: name.to_owned(),
            aliases: 0,
            valid_until: Instant(u64::MAX),
            authentic: true,
            query: None,
            servers,
            place: 0,
            round: 0,
            edns: true,
            tcp: false,
            entropy,
            drawn: 0,
        }
    }

    /// The next query; `None` when all servers, rounds or ids are used up.
    pub(super) fn next_turn(&mut self, params: &Params) -> Option<Turn> {
        if self.place >= self.servers.len() {
            self.place = 0;
            self.round += 1;
        }
        if self.round >= params.attempts {
            return None;
        }
        let server = *self.servers.get(self.place)?;
        let id = self.entropy.0.get(2 * self.drawn..2 * self.drawn + 2)?;
        let wire_id = u16::from_be_bytes([*id.first()?, *id.get(1)?]);
        self.drawn += 1;
        let wait = params.timeout.saturating_mul(1 << self.round.min(8));
        Some(Turn { server, edns: self.edns, tcp: self.tcp || params.tcp_only, wire_id, wait })
    }

    /// The server was silent: it may be asked again in the next round.
    pub(super) fn next_server(&mut self) {
        self.place += 1;
        self.fresh();
    }

    /// The server can not help with this question.
    pub(super) fn give_up_server(&mut self) {
        if self.place < self.servers.len() {
            self.servers.remove(self.place);
        }
        self.fresh();
    }

    /// The same server, by TCP.
    pub(super) fn by_tcp(&mut self) {
        self.tcp = true;
    }

    /// The same server, without EDNS; one that refuses that too can not help.
    pub(super) fn without_edns(&mut self) {
        if self.edns {
            self.edns = false;
        } else {
            self.give_up_server();
        }
    }

    /// The chain goes on at another name.
    pub(super) fn follow(&mut self, name: String, servers: Vec<SocketAddr>) {
        self.name = name;
        self.begin_again(servers);
    }

    /// All servers are worth asking again.
    pub(super) fn begin_again(&mut self, servers: Vec<SocketAddr>) {
        self.servers = servers;
        self.place = 0;
        self.round = 0;
        self.fresh();
    }

    fn fresh(&mut self) {
        self.edns = true;
        self.tcp = false;
    }
}
