//! The stub resolver: names to records, through the servers of this host, with a cache.
//!
//! Promises: every question gets one answer; an answer is not given past its TTL; what does not answer the very query that
//! was sent (server, id, question) changes nothing; a failing server is "try again", never "no such name".
//! Equal questions in flight share one query. Time, octets and ids come from outside, and everything is bounded.
//!
//! Does not know: sockets (the driver opens a fresh one, with an unguessable port, for each query), DNSSEC (it
//! believes the AD bit of a server on this host, or of any with `options trust-ad`), search lists. [`Hosts`] reads a hosts file; who asks
//! decides whether that or the resolver is believed.
//!
//! RFC 1035, RFC 2181, RFC 2308, RFC 5452 (forgery), RFC 6891 (EDNS0), RFC 7505 (null MX), RFC 7766 (TCP), RFC 9520.

mod cache;
mod hosts_file;
mod message;
mod names;
mod question;
mod resolv_conf;
#[cfg(test)]
mod tests;

pub use cache::{ENTRIES_MAX, OCTETS_MAX};
pub use hosts_file::Hosts;
pub use message::{CNAMES_MAX, RECORDS_MAX};
pub use names::reverse_name;
pub use question::QUERIES_PER_QUESTION_MAX;
pub use resolv_conf::{Params, SERVERS_MAX};

use crate::ask::{DnsAnswer, DnsFailure, DnsRecords, RecordKind};
use crate::event::Event;
use crate::machine::{Machine, Outbox};
use crate::time::{Duration, Instant, Now};
use cache::{Cache, Key};
use message::{End, Found, Reading};
use question::{Asking, Query, Turn};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// Questions that have a query out at once: each is a socket.
pub const IN_FLIGHT_MAX: usize = 1_000;
/// Askers that wait at once; one more is told to try again.
pub const ASKERS_MAX: usize = 50_000;
/// Datagrams that answer nothing, for one query; after these somebody is guessing and TCP is used instead.
pub const STRAYS_MAX: u32 = 32;
/// Absences are not kept longer, also where records are (RFC 2308 5 calls one to three hours sensible; mail prefers to learn of a repair).
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(3_600);
/// A failure is kept this long, so that a burst of mail does not become a burst at servers that are down (RFC 9520 3.2).
const FAILURE_TTL: Duration = Duration::from_secs(1);

/// Names a question; the asker chooses it and gets it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names a query, that is a socket of the driver; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// Octets that nobody can guess, for the ids of one question's queries. Cryptographic in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entropy(pub [u8; 2 * QUERIES_PER_QUESTION_MAX]);

/// What the driver tells the resolver.
#[derive(Debug)]
pub enum Input<'a> {
    /// Somebody wants to know. Answered by one [`Output::Answer`], perhaps at once.
    Ask {
        /// Returned with the answer.
        ticket: Ticket,
        /// In any case, with or without its final dot, U-labels allowed.
        name: &'a str,
        /// Which records.
        kind: RecordKind,
        /// Used if a query has to be sent.
        entropy: Entropy,
    },
    /// A datagram came to the socket of this query.
    Datagram {
        /// Whose socket.
        query: QueryId,
        /// Who sent it.
        from: SocketAddr,
        /// All of it.
        octets: &'a [u8],
    },
    /// A whole message came by TCP, without its two octets of length.
    TcpAnswer {
        /// Whose connection.
        query: QueryId,
        /// All of it.
        octets: &'a [u8],
    },
    /// The query could not be sent, was refused (ICMP), or its connection ended without an answer.
    Lost {
        /// Which.
        query: QueryId,
    },
    /// The query could not be sent because this host lacks descriptors or memory: that says nothing of the server, and the next one would meet
    /// the same.
    Short {
        /// Which.
        query: QueryId,
    },
    /// Use these servers from now on. Questions in flight begin again with them; the cache is forgotten.
    Reload(Params),
    /// Forget the cache.
    Forget,
}

/// What the driver shall do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Output {
    /// Send this from a fresh socket with a random port, and hand over what comes back until [`Output::CloseQuery`].
    SendUdp {
        /// Names the socket.
        query: QueryId,
        /// Where to; only what comes from there is of use.
        server: SocketAddr,
        /// The datagram.
        octets: Vec<u8>,
    },
    /// Connect, write this with its length in front, and read one message.
    SendTcp {
        /// Names the connection.
        query: QueryId,
        /// Where to.
        server: SocketAddr,
        /// The message without its length.
        octets: Vec<u8>,
    },
    /// Nothing more is wanted of this query: close its socket.
    CloseQuery(QueryId),
    /// What a question came to.
    Answer {
        /// The asker's.
        ticket: Ticket,
        /// Records, or why none.
        answer: DnsAnswer,
    },
    /// Log this.
    Event(Event),
}

/// The resolver.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resolver {
    params: Params,
    cache: Cache,
    /// What is being asked; those without a query wait in `waiting` for their turn.
    asking: BTreeMap<Key, Asking>,
    waiting: VecDeque<Key>,
    /// Whose query it is.
    queries: BTreeMap<QueryId, Key>,
    deadlines: BTreeSet<(Instant, QueryId)>,
    askers: usize,
    next_query: u64,
    turn: usize,
    outbox: Outbox<Output>,
}

impl Resolver {
    /// A resolver that knows nothing yet.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self {
            params,
            cache: Cache::default(),
            asking: BTreeMap::new(),
            waiting: VecDeque::new(),
            queries: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            askers: 0,
            next_query: 0,
            turn: 0,
            outbox: Outbox::new(),
        }
    }

    /// How many more may ask before they are told to try again; at 0 the driver lets them wait.
    #[must_use]
    pub fn room(&self) -> usize {
        ASKERS_MAX.saturating_sub(self.askers)
    }

    /// Entries of the cache, for metrics.
    #[must_use]
    pub fn cached(&self) -> usize {
        self.cache.len()
    }

    fn ask(&mut self, now: Now, ticket: Ticket, name: &str, kind: RecordKind, entropy: Entropy) {
        let Some(name) = names::folded(name) else {
            return self.outbox.put(Output::Answer { ticket, answer: Err(DnsFailure::BadName) });
        };
        let key = (name, kind);
        if let Some(answer) = self.cache.get(now.mono, &key) {
            return self.outbox.put(Output::Answer { ticket, answer: answer.clone() });
        }
        if self.room() == 0 {
            return self.outbox.put(Output::Answer { ticket, answer: Err(DnsFailure::TryAgain) });
        }
        self.askers += 1;
        if let Some(asking) = self.asking.get_mut(&key) {
            return asking.tickets.push(ticket);
        }
        let order = self.order();
        self.asking.insert(key.clone(), Asking::new(ticket, &key.0, order, entropy));
        self.waiting.push_back(key);
        self.start_waiting(now);
    }

    /// The servers in the order in which the next question tries them.
    fn order(&mut self) -> Vec<SocketAddr> {
        let mut order = self.params.servers.clone();
        if self.params.rotate && !order.is_empty() {
            let first = self.turn % order.len();
            order.rotate_left(first);
            self.turn = first + 1;
        }
        order
    }

    fn start_waiting(&mut self, now: Now) {
        while self.queries.len() < IN_FLIGHT_MAX {
            let Some(key) = self.waiting.pop_front() else { return };
            self.send(now, &key);
        }
    }

    /// Sends the next query of a question, or ends it when there is nobody left to ask.
    fn send(&mut self, now: Now, key: &Key) {
        let Some(asking) = self.asking.get_mut(key) else { return };
        let Some(Turn { server, edns, tcp, wire_id, wait }) = asking.next_turn(&self.params) else {
            return self.fail(now, key);
        };
        let Some(octets) = message::query(wire_id, &asking.name, key.1, edns) else {
            return self.fail(now, key);
        };
        let query = QueryId(self.next_query);
        self.next_query += 1;
        let deadline = now.mono.after(wait);
        asking.query = Some(Query { id: query, wire_id, server, tcp, strays: 0, deadline });
        self.queries.insert(query, key.clone());
        self.deadlines.insert((deadline, query));
        self.outbox.put(if tcp {
            Output::SendTcp { query, server, octets }
        } else {
            Output::SendUdp { query, server, octets }
        });
    }

    /// The question of a query, which is over. `None` for a query that was over before.
    fn close(&mut self, query: QueryId) -> Option<Key> {
        let key = self.queries.remove(&query)?;
        if let Some(open) = self.asking.get_mut(&key).and_then(|asking| asking.query.take()) {
            self.deadlines.remove(&(open.deadline, query));
        }
        self.outbox.put(Output::CloseQuery(query));
        Some(key)
    }

    fn read(&mut self, now: Now, query: QueryId, from: Option<SocketAddr>, octets: &[u8]) {
        let Some(key) = self.queries.get(&query).cloned() else { return };
        let Some(asking) = self.asking.get_mut(&key) else { return };
        let Some(open) = asking.query.as_mut() else { return };
        let right_way = match from {
            Some(from) => !open.tcp && from == open.server,
            None => open.tcp,
        };
        let reading =
            if right_way { message::read(octets, open.wire_id, &asking.name, key.1) } else { Reading::Stray };
        match reading {
            Reading::Stray if from.is_some() => {
                open.strays += 1;
                if open.strays < STRAYS_MAX {
                    return;
                }
                let text = format!(
                    "{STRAYS_MAX} datagrams for query name={} type={:?} that do not answer it: asking {} by TCP",
                    asking.name, key.1, open.server
                );
                self.outbox.put(Output::Event(Event::Warning { program: "smtp", id: None, text }));
                asking.by_tcp();
            }
            Reading::Truncated if from.is_some() => asking.by_tcp(),
            Reading::WithoutEdns => asking.without_edns(),
            Reading::Stray | Reading::Truncated | Reading::Broken => asking.give_up_server(),
            Reading::Found(found) => {
                let authentic = found.authentic && (self.params.trust_ad || open.server.ip().is_loopback());
                let found = Found { authentic, ..found };
                self.close(query);
                return self.found(now, &key, found);
            }
        }
        self.close(query);
        self.send(now, &key);
    }

    /// A server knows: go on along the chain, or answer.
    fn found(&mut self, now: Now, key: &Key, found: Found) {
        let order = self.params.servers.clone();
        let Some(asking) = self.asking.get_mut(key) else { return };
        asking.aliases += found.aliases;
        asking.authentic &= found.authentic;
        // Postfix keeps none; the recursive resolver behind us keeps them for as long as it likes.
        let longest =
            if planted!(KeptForADay) { Duration::from_secs(86_400) } else { self.params.cache_time };
        let is_absence = matches!(found.end, End::Nothing(_));
        let longest = if is_absence { longest.min(NEGATIVE_TTL_MAX) } else { longest };
        let ttl = Duration::from_secs(u64::from(found.ttl.unwrap_or(0)));
        asking.valid_until = asking.valid_until.min(now.mono.after(ttl.min(longest)));
        if asking.aliases > CNAMES_MAX {
            return self.fail(now, key);
        }
        match found.end {
            End::Elsewhere => {
                asking.follow(found.canonical, order);
                self.send(now, key);
            }
            End::Nothing(failure) => {
                let until = asking.valid_until;
                self.answer(now, key, Err(failure), until);
            }
            End::Records(records) => {
                let valid_until = asking.valid_until;
                let authentic = asking.authentic;
                let canonical = found.canonical;
                let records = DnsRecords { records, canonical, valid_until, authentic };
                self.answer(now, key, Ok(records), valid_until);
            }
        }
    }

    fn fail(&mut self, now: Now, key: &Key) {
        self.answer(now, key, Err(DnsFailure::TryAgain), now.mono.after(FAILURE_TTL));
    }

    fn answer(&mut self, now: Now, key: &Key, answer: DnsAnswer, until: Instant) {
        if self.tell(key, &answer) {
            self.cache.put(now.mono, key.clone(), answer, until);
        }
    }

    /// Answers everybody who asks this. False when nobody does.
    fn tell(&mut self, key: &Key, answer: &DnsAnswer) -> bool {
        let Some(asking) = self.asking.remove(key) else { return false };
        self.askers = self.askers.saturating_sub(asking.tickets.len());
        for &ticket in &asking.tickets {
            self.outbox.put(Output::Answer { ticket, answer: answer.clone() });
        }
        true
    }

    /// Not kept in the cache: a descriptor may be free in the next moment.
    fn short(&mut self, query: QueryId) {
        if let Some(key) = self.close(query) {
            self.tell(&key, &Err(DnsFailure::Short));
        }
    }

    fn lost(&mut self, now: Now, query: QueryId) {
        let Some(key) = self.close(query) else { return };
        if let Some(asking) = self.asking.get_mut(&key) {
            asking.give_up_server();
        }
        self.send(now, &key);
    }

    fn reload(&mut self, now: Now, params: Params) {
        self.params = params;
        self.cache.clear();
        let open: Vec<QueryId> = self.queries.keys().copied().collect();
        for query in open {
            let order = self.order();
            let Some(key) = self.close(query) else { continue };
            if let Some(asking) = self.asking.get_mut(&key) {
                asking.begin_again(order);
            }
            self.send(now, &key);
        }
        for key in self.waiting.clone() {
            let order = self.order();
            if let Some(asking) = self.asking.get_mut(&key) {
                asking.begin_again(order);
            }
        }
    }
}

impl Machine for Resolver {
    type Input<'a> = Input<'a>;
    type Output = Output;

    fn handle_input(&mut self, now: Now, input: Input<'_>) {
        self.outbox.assert_drained();
        match input {
            Input::Ask { ticket, name, kind, entropy } => self.ask(now, ticket, name, kind, entropy),
            Input::Datagram { query, from, octets } => self.read(now, query, Some(from), octets),
            Input::TcpAnswer { query, octets } => self.read(now, query, None, octets),
            Input::Lost { query } => self.lost(now, query),
            Input::Short { query } => self.short(query),
            Input::Reload(params) => self.reload(now, params),
            Input::Forget => self.cache.clear(),
        }
        self.start_waiting(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.outbox.assert_drained();
        while let Some(&(deadline, query)) = self.deadlines.first() {
            if deadline > now.mono {
                break;
            }
            self.deadlines.remove(&(deadline, query));
            let Some(key) = self.close(query) else { continue };
            if let Some(asking) = self.asking.get_mut(&key) {
                asking.next_server();
            }
            self.send(now, &key);
        }
        self.start_waiting(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.take()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }
}
