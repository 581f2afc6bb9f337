//! Name servers that know the simulated internet, and do not always say so.
//!
//! Every name server of the world answers from the same zones, as a recursive one would. It may be silent, fail, refuse, cut its
//! answers short, choke on EDNS, change its mind about who serves a domain, say a time to live that is none, or be
//! overtaken by a forger. Written against hickory-proto alone, not against the resolver that it tests.

use crate::faults::Class;
use crate::network::{Arrival, NodeId, Socket};
use crate::world::{Actor, Scope, Word};
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use postrider_core::ask::RecordKind;
use postrider_core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Where name servers listen.
const PORT: u16 = 53;

/// What a name has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// An address.
    Address(IpAddr),
    /// An exchanger; empty: no mail here.
    Mx(u16, String),
    /// It is another name.
    Alias(String),
    /// It is the name of an address.
    Ptr(String),
    /// Text.
    Text(String),
}

/// The simulated internet's names: lower case, no final dot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Zones {
    /// Name to entries with their time to live in seconds.
    pub entries: BTreeMap<String, Vec<(u32, Entry)>>,
    /// What becomes of them, in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

/// A name has other entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// From when on, in microseconds.
    pub at: u64,
    /// Whose.
    pub name: String,
    /// All that it has then.
    pub entries: Vec<(u32, Entry)>,
}

impl Zones {
    /// Adds an entry.
    pub fn add(&mut self, name: &str, ttl: u32, entry: Entry) {
        self.entries.entry(name.to_owned()).or_default().push((ttl, entry));
    }

    /// What a name has at a moment, in microseconds.
    #[must_use]
    pub fn at(&self, name: &str, moment: u64) -> Option<&[(u32, Entry)]> {
        let past = self.changes.iter().filter(|change| change.at <= moment && change.name == name);
        match past.max_by_key(|change| change.at) {
            Some(change) => Some(&change.entries),
            None => self.entries.get(name).map(Vec::as_slice),
        }
    }
}

/// How often a name server misbehaves, of 1000 answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Humour {
    /// Says nothing.
    pub silent: u16,
    /// SERVFAIL.
    pub fails: u16,
    /// REFUSED.
    pub refuses: u16,
    /// TC with nothing in it.
    pub truncates: u16,
    /// FORMERR to EDNS.
    pub no_edns: bool,
    /// A forger's answers come first: the right question, a wrong id.
    pub forged: u16,
    /// Times to live of 0 instead of what the zone says.
    pub no_ttl: u16,
    /// Times to live of a month.
    pub long_ttl: u16,
    /// Half an answer.
    pub garbles: u16,
    /// Leaves an exchanger out where there are several, or gives them other preferences: who serves a domain changes.
    pub changes: u16,
}

/// A name server.
#[derive(Debug)]
pub struct NameServer {
    zones: Arc<Zones>,
    humour: Humour,
    /// Who asks by TCP, and the octets of the query so far.
    tcp: BTreeMap<Socket, (Option<NodeId>, Vec<u8>)>,
    delayed: BTreeMap<u64, (SocketAddr, Vec<u8>)>,
    next: u64,
    /// What names that change had when somebody asked last.
    told: BTreeMap<(NodeId, String), Vec<(u32, Entry)>>,
    /// It keeps its humour for good, though the world has healed.
    stubborn: bool,
}

impl NameServer {
    /// A server of these zones.
    #[must_use]
    pub fn new(zones: Arc<Zones>, humour: Humour) -> Self {
        Self {
            zones,
            humour,
            tcp: BTreeMap::new(),
            delayed: BTreeMap::new(),
            next: 0,
            told: BTreeMap::new(),
            stubborn: false,
        }
    }

    /// True with these odds of 1000; then the class of fault has fired.
    fn odds(&self, scope: &mut Scope<'_>, of_thousand: u16, class: Class) -> bool {
        let fires = scope.lot(of_thousand);
        if fires {
            self.fired(scope, class);
        }
        fires
    }

    fn fired(&self, scope: &mut Scope<'_>, class: Class) {
        scope.fired(class);
        if self.stubborn {
            scope.fired(Class::LastingHumour);
        }
    }

    fn datagram(&mut self, scope: &mut Scope<'_>, from: SocketAddr, octets: &[u8]) {
        let Ok(query) = Message::from_vec(octets) else { return };
        if self.odds(scope, self.humour.silent, Class::DnsSilent) {
            return;
        }
        if self.odds(scope, self.humour.forged, Class::DnsForged) {
            self.forge(scope, from, &query);
        }
        let asker = scope.fabric.network.owner(from.ip());
        let Some(mut answer) = self.answer(scope, asker, &query, true) else { return };
        if !answer.is_empty() && self.odds(scope, self.humour.garbles, Class::DnsGarbled) {
            let at = scope.prng().below(answer.len() as u64) as usize;
            answer.truncate(at);
        }
        self.later(scope, from, answer);
    }

    fn later(&mut self, scope: &mut Scope<'_>, to: SocketAddr, octets: Vec<u8>) {
        if scope.prng().chance(3, 4) {
            return scope.datagram(PORT, to, octets);
        }
        let tag = self.next;
        self.next += 1;
        self.delayed.insert(tag, (to, octets));
        let wait = Duration::from_micros(scope.prng().below(300_000));
        scope.timer(wait, tag);
    }

    fn forge(&mut self, scope: &mut Scope<'_>, to: SocketAddr, query: &Message) {
        let mut forged = reply(query);
        forged.metadata.id ^= 1 + scope.prng().below(0xfffe) as u16;
        if let Some(question) = query.queries.first() {
            let lie = RData::A(A(crate::oracle::FORGED));
            forged.add_answer(Record::from_rdata(question.name.clone(), 86_400, lie));
        }
        if let Ok(octets) = forged.to_vec() {
            scope.datagram(PORT, to, octets);
        }
    }

    /// What goes wrong instead of an answer.
    fn failure(&self, scope: &mut Scope<'_>, query: &Message, udp: bool) -> Option<Message> {
        let mut message = reply(query);
        if self.humour.no_edns && query.edns.is_some() {
            self.fired(scope, Class::DnsNoEdns);
            message.metadata.response_code = ResponseCode::FormErr;
        } else if self.odds(scope, self.humour.fails, Class::DnsServfail) {
            message.metadata.response_code = ResponseCode::ServFail;
        } else if self.odds(scope, self.humour.refuses, Class::DnsRefused) {
            message.metadata.response_code = ResponseCode::Refused;
        } else if udp && self.odds(scope, self.humour.truncates, Class::DnsTruncated) {
            message.metadata.truncation = true;
        } else {
            return None;
        }
        Some(message)
    }

    fn answer(
        &mut self,
        scope: &mut Scope<'_>,
        asker: Option<NodeId>,
        query: &Message,
        udp: bool,
    ) -> Option<Vec<u8>> {
        let question = query.queries.first()?;
        if let Some(message) = self.failure(scope, query, udp) {
            return message.to_vec().ok();
        }
        let lie = if scope.lot(self.humour.no_ttl) {
            Some((0, Class::DnsTtlZero))
        } else if scope.lot(self.humour.long_ttl) {
            Some((30 * 86_400, Class::DnsTtlLong))
        } else {
            None
        };
        let mut message = reply(query);
        let name = text(&question.name);
        self.fill(scope, asker, (&mut message, &name), question.query_type, lie.map(|(ttl, _)| ttl));
        if let Some((_, class)) = lie.filter(|_| !message.answers.is_empty()) {
            self.fired(scope, class);
        }
        if question.query_type == RecordType::MX {
            self.change(scope, &mut message);
        }
        let octets = message.to_vec().ok()?;
        let room = if query.edns.is_some() { 1_232 } else { 512 };
        if udp && octets.len() > room {
            let mut short = reply(query);
            short.metadata.truncation = true;
            return short.to_vec().ok();
        }
        let least = message.answers.iter().map(|record| record.ttl).min().unwrap_or(0);
        if let (Some(asker), Some(kind)) = (asker, kind_of(question.query_type)) {
            let until = scope.fabric.kernel.now().after(Duration::from_secs(u64::from(least)));
            scope.fabric.ledger.named(asker, &name, kind, until);
        }
        Some(octets)
    }

    /// Another day, other exchangers: one of several is missing, or they stand in another order. The first of a domain always
    /// stays, for it is the one that is there.
    fn change(&self, scope: &mut Scope<'_>, message: &mut Message) {
        let several = message.answers.iter().filter(|record| record.record_type() == RecordType::MX).count();
        if several < 2 || !scope.lot(self.humour.changes) {
            return;
        }
        if scope.prng().chance(1, 2) {
            message.answers.pop();
            return self.fired(scope, Class::DnsMxChanges);
        }
        let mut differs = false;
        for record in &mut message.answers {
            if let RData::MX(mx) = &mut record.data {
                let before = std::mem::replace(&mut mx.preference, scope.prng().below(30) as u16);
                differs |= before != mx.preference;
            }
        }
        if differs {
            self.fired(scope, Class::DnsMxChanges);
        }
    }

    /// An asker hears of a name that changes: does it hear something else than before?
    fn tell_of(&mut self, scope: &mut Scope<'_>, asker: Option<NodeId>, at: &str, kind: RecordType) {
        let moment = scope.fabric.kernel.now().0 / 1_000;
        let changes = self.zones.changes.iter().any(|change| change.name == at);
        let (Some(asker), Some(entries)) = (asker, self.zones.at(at, moment).filter(|_| changes)) else {
            return;
        };
        let before = self.told.insert((asker, at.to_owned()), entries.to_vec());
        if before.is_some_and(|before| before != entries) {
            scope.fired(if kind == RecordType::MX { Class::MxMoved } else { Class::AddressMoved });
        }
    }

    /// The records of a name, through its aliases.
    fn fill(
        &mut self,
        scope: &mut Scope<'_>,
        asker: Option<NodeId>,
        (message, asked): (&mut Message, &str),
        kind: RecordType,
        lie: Option<u32>,
    ) {
        let moment = scope.fabric.kernel.now().0 / 1_000;
        let mut at = asked.to_owned();
        for _ in 0..20 {
            self.tell_of(scope, asker, &at, kind);
            let Some(entries) = self.zones.at(&at, moment) else {
                message.metadata.response_code = ResponseCode::NXDomain;
                break;
            };
            let mut next = None;
            for (ttl, entry) in entries {
                let ttl = lie.unwrap_or(*ttl);
                let (Some(owner), Some(data)) = (name(&at), data(entry)) else { continue };
                if let Entry::Alias(target) = entry {
                    next = Some(target.clone());
                    message.add_answer(Record::from_rdata(owner, ttl, data));
                } else if data.record_type() == kind {
                    message.add_answer(Record::from_rdata(owner, ttl, data));
                }
            }
            match next {
                Some(target) => at = target,
                None => break,
            }
        }
        let found = message.answers.iter().any(|record| record.record_type() == kind);
        if !found && let (Some(zone), Some(host)) = (name("sim"), name("ns.sim")) {
            let soa = SOA::new(host.clone(), host, 1, 3_600, 600, 86_400, 60);
            message.add_authority(Record::from_rdata(zone, 60, RData::SOA(soa)));
        }
    }

    fn tcp(&mut self, scope: &mut Scope<'_>, socket: Socket, octets: &[u8]) {
        let Some((asker, buffer)) = self.tcp.get_mut(&socket) else { return };
        buffer.extend_from_slice(octets);
        let Some((length, rest)) = buffer.split_first_chunk::<2>() else { return };
        let length = usize::from(u16::from_be_bytes(*length));
        let Some(query) = rest.get(..length).and_then(|octets| Message::from_vec(octets).ok()) else {
            return;
        };
        let asker = *asker;
        if let Some(answer) = self.answer(scope, asker, &query, false) {
            let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
            framed.extend(answer);
            scope.send(socket, &framed);
        }
        scope.close(socket);
        self.tcp.remove(&socket);
    }
}

impl Actor for NameServer {
    fn boot(&mut self, scope: &mut Scope<'_>) {
        scope.fabric.network.bind(scope.node, PORT);
        scope.listen(PORT);
    }

    fn arrival(&mut self, scope: &mut Scope<'_>, arrival: Arrival) {
        match arrival {
            Arrival::Datagram { from, octets, .. } => self.datagram(scope, from, &octets),
            Arrival::Accepted { socket, peer, .. } => {
                let asker = scope.fabric.network.owner(peer.ip());
                self.tcp.insert(socket, (asker, Vec::new()));
            }
            Arrival::Octets(socket, octets) => self.tcp(scope, socket, &octets),
            Arrival::End(socket) | Arrival::Gone(socket, _) => {
                self.tcp.remove(&socket);
                scope.close(socket);
            }
            _ => {}
        }
    }

    fn timer(&mut self, scope: &mut Scope<'_>, tag: u64) {
        if let Some((to, octets)) = self.delayed.remove(&tag) {
            scope.datagram(PORT, to, octets);
        }
    }

    fn told(&mut self, _scope: &mut Scope<'_>, word: Word) {
        match word {
            Word::Behave => self.humour = Humour::default(),
            Word::Persist => self.stubborn = true,
            _ => {}
        }
    }
}

fn reply(query: &Message) -> Message {
    let mut message = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    message.add_queries(query.queries.iter().cloned());
    message
}

fn name(text: &str) -> Option<Name> {
    if text.is_empty() { Some(Name::root()) } else { Name::from_ascii(format!("{text}.")).ok() }
}

fn text(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

fn data(entry: &Entry) -> Option<RData> {
    Some(match entry {
        Entry::Address(IpAddr::V4(address)) => RData::A(A(*address)),
        Entry::Address(IpAddr::V6(address)) => RData::AAAA(AAAA(*address)),
        Entry::Mx(preference, exchange) => RData::MX(MX::new(*preference, name(exchange)?)),
        Entry::Alias(target) => RData::CNAME(CNAME(name(target)?)),
        Entry::Ptr(target) => RData::PTR(PTR(name(target)?)),
        Entry::Text(text) => RData::TXT(TXT::new(vec![text.clone()])),
    })
}

const fn kind_of(record: RecordType) -> Option<RecordKind> {
    match record {
        RecordType::A => Some(RecordKind::A),
        RecordType::AAAA => Some(RecordKind::Aaaa),
        RecordType::MX => Some(RecordKind::Mx),
        RecordType::PTR => Some(RecordKind::Ptr),
        RecordType::TXT => Some(RecordKind::Txt),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_what_the_last_change_before_the_moment_says() {
        let mut zones = Zones::default();
        zones.add("d.sim", 60, Entry::Mx(10, "mx0.sim".to_owned()));
        let other = |number: u16| vec![(60, Entry::Mx(number, "mx1.sim".to_owned()))];
        let change = |at, number| Change { at, name: "d.sim".to_owned(), entries: other(number) };
        zones.changes = vec![change(500, 2), change(100, 1)];
        let base = zones.entries.get("d.sim").map(Vec::as_slice);
        assert_eq!(zones.at("d.sim", 99), base);
        assert_eq!(zones.at("d.sim", 100), Some(other(1).as_slice()));
        assert_eq!(zones.at("d.sim", u64::MAX), Some(other(2).as_slice()));
        assert_eq!(zones.at("e.sim", 700), None);
    }
}
