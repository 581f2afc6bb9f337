//! The name server of a rehearsal: the names of the scenario, times in which they have no answer, and one answer for all other names.

use super::book::Book;
use crate::names::{Entry, NameServer, Zones};
use crate::network::Arrival;
use crate::rehearse::scenario::{How, Outage, Scenario};
use crate::rehearse::setup::ELSEWHERE;
use crate::world::{Actor, Scope};
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, MX};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use postrider_core::time::Instant;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

const PORT: u16 = 53;
/// The server behind all names that the scenario does not have.
const SOMEBODY: &str = "elsewhere.rehearsal";

/// The name server.
#[derive(Debug)]
pub(super) struct Registry {
    inner: NameServer,
    /// Names of the scenario with the destination that they belong to; `None`: to all.
    names: BTreeMap<String, Option<u16>>,
    everything: Vec<Outage>,
    by_group: Vec<Vec<Outage>>,
    ttl: u32,
    book: Rc<RefCell<Book>>,
}

/// Names while they are collected.
#[derive(Debug, Default)]
pub(super) struct Names {
    zones: Zones,
    groups: BTreeMap<String, Option<u16>>,
}

impl Names {
    /// Adds an entry of a destination.
    pub(super) fn add(&mut self, name: &str, ttl: u32, entry: Entry, group: Option<u16>) {
        self.zones.add(name, ttl, entry);
        self.groups.insert(name.to_owned(), group);
    }
}

impl Registry {
    /// A server of these names.
    #[must_use]
    pub(super) fn new(names: Names, scenario: &Scenario, book: Rc<RefCell<Book>>) -> Self {
        let named = |outages: &[Outage]| outages.iter().filter(|one| one.how == How::Dns).cloned().collect();
        let mut zones = names.zones;
        let ttl = u32::try_from(scenario.dns.ttl.0.0.as_secs()).unwrap_or(u32::MAX);
        zones.add(SOMEBODY, ttl, Entry::Address(ELSEWHERE));
        Self {
            inner: NameServer::new(Arc::new(zones), crate::names::Humour::default()),
            names: names.groups,
            everything: scenario.dns.outage.clone(),
            by_group: scenario.destinations.iter().map(|one| named(&one.outage)).collect(),
            ttl,
            book,
        }
    }

    /// How names are down at this moment, for a name of this destination.
    fn down(&self, now: Instant, group: Option<u16>) -> Option<How> {
        let own =
            group.and_then(|group| self.by_group.get(usize::from(group))).map_or(&[][..], Vec::as_slice);
        let holds = |outage: &&Outage| {
            let since = now.since(Instant::default());
            outage.from.0.0 <= since && since < outage.to.0.0
        };
        self.everything.iter().chain(own).find(holds).map(|outage| outage.how)
    }

    /// True when it has dealt with the query.
    fn intercept(&self, scope: &mut Scope<'_>, from: SocketAddr, octets: &[u8]) -> bool {
        let Ok(query) = Message::from_vec(octets) else { return true };
        let Some(question) = query.queries.first() else { return true };
        let name = question.name.to_ascii().to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        let known = self.names.get(name).copied();
        let now = scope.fabric.kernel.now();
        let answer = match self.down(now, known.flatten()) {
            Some(How::Timeout) => return true,
            Some(_) => {
                let mut answer = reply(&query);
                answer.metadata.response_code = ResponseCode::ServFail;
                answer
            }
            None if known.is_some() || name == SOMEBODY => return false,
            None => self.stranger(&query, name, question.query_type),
        };
        if let Ok(octets) = answer.to_vec() {
            scope.datagram(PORT, from, octets);
        }
        true
    }

    /// What is said of a name that the scenario does not have. A label of digits is a question to a list of clients: nobody is on it.
    fn stranger(&self, query: &Message, name: &str, kind: RecordType) -> Message {
        let mut answer = reply(query);
        let listed =
            name.split('.').next().is_some_and(|label| label.bytes().all(|octet| octet.is_ascii_digit()));
        let owner = query.queries.first().map(|question| question.name.clone()).unwrap_or_default();
        let data = match (kind, ELSEWHERE) {
            _ if listed => None,
            (RecordType::MX, _) => {
                Name::from_ascii(format!("{SOMEBODY}.")).ok().map(|host| RData::MX(MX::new(10, host)))
            }
            (RecordType::A, IpAddr::V4(address)) => Some(RData::A(A(address))),
            _ => None,
        };
        match data {
            Some(data) => _ = answer.add_answer(Record::from_rdata(owner, self.ttl, data)),
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        if !listed && matches!(kind, RecordType::MX | RecordType::A) {
            self.book.borrow_mut().stranger(name);
        }
        answer
    }
}

fn reply(query: &Message) -> Message {
    let mut message = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    message.add_queries(query.queries.iter().cloned());
    message
}

impl Actor for Registry {
    fn boot(&mut self, scope: &mut Scope<'_>) {
        self.inner.boot(scope);
    }

    fn arrival(&mut self, scope: &mut Scope<'_>, arrival: Arrival) {
        if let Arrival::Datagram { from, octets, .. } = &arrival
            && self.intercept(scope, *from, octets)
        {
            return;
        }
        self.inner.arrival(scope, arrival);
    }

    fn timer(&mut self, scope: &mut Scope<'_>, tag: u64) {
        self.inner.timer(scope, tag);
    }
}
