//! A name server on loopback, for `dns_servers`.

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

/// How many aliases one answer follows.
const ALIASES_MAX: usize = 20;

/// What a name server answers.
#[derive(Debug, Clone)]
pub enum Zone {
    /// These records.
    Records(Vec<RData>),
    /// This code, and no records.
    Code(ResponseCode),
    /// Nothing.
    Silence,
}

/// A name server that knows what it was told; NXDOMAIN for all else.
#[derive(Debug, Clone)]
pub struct Names {
    /// Where it listens.
    pub address: SocketAddr,
    zones: Arc<Mutex<BTreeMap<(String, RecordType), Zone>>>,
    rule: Arc<Mutex<Option<Rule>>>,
}

/// Answers for names that nobody was told of, such as fifty thousand of one pattern.
pub type Rule = fn(&str, RecordType) -> Option<Zone>;

impl Names {
    /// Starts one.
    ///
    /// # Panics
    /// When loopback has no free port.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    /// The same, at an address and port of this host.
    ///
    /// # Panics
    /// When it is not free.
    #[must_use]
    pub fn start_at(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let address = socket.local_addr().expect("a bound socket has an address");
        let names = Self { address, zones: Arc::default(), rule: Arc::default() };
        let inside = names.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((count, from)) = socket.recv_from(&mut buffer) {
                if let Some(reply) =
                    Message::from_bytes(&buffer[..count]).ok().and_then(|m| inside.answer(&m))
                {
                    _ = socket.send_to(&reply.to_bytes().expect("our own records encode"), from);
                }
            }
        });
        names
    }

    /// Tells it of a name.
    ///
    /// # Panics
    /// When the name is none.
    pub fn set(&self, name: &str, kind: RecordType, zone: Zone) {
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        zones.insert((name.to_ascii_lowercase(), kind), zone);
    }

    /// What it says of names that it was not told of.
    pub fn set_rule(&self, rule: Rule) {
        *self.rule.lock().unwrap_or_else(PoisonError::into_inner) = Some(rule);
    }

    /// A host with an IPv4 address.
    ///
    /// # Panics
    /// When the address is none.
    pub fn host(&self, name: &str, address: &str) {
        let address = address.parse::<std::net::Ipv4Addr>().expect("an IPv4 address");
        self.set(name, RecordType::A, Zone::Records(vec![RData::A(address.into())]));
    }

    /// Mail exchangers, with their preferences.
    ///
    /// # Panics
    /// When a name is none.
    pub fn mail(&self, domain: &str, exchangers: &[(u16, &str)]) {
        let records = exchangers.iter().map(|(preference, host)| {
            let name = Name::from_ascii(host).expect("a host name");
            RData::MX(hickory_proto::rr::rdata::MX::new(*preference, name))
        });
        self.set(domain, RecordType::MX, Zone::Records(records.collect()));
    }

    /// One record as a line says: `NAME TYPE VALUE`, where a value `SERVFAIL`, `REFUSED`, `NXDOMAIN` or `SILENCE` stands for no
    /// record, and the name of a PTR record is the address that it belongs to. A second line of a name and type adds to the first.
    ///
    /// # Panics
    /// When it is no such line.
    pub fn line(&self, line: &str) {
        let bad = || panic!("no record: {line}");
        let mut words = line.split(' ');
        let (Some(name), Some(kind)) = (words.next(), words.next()) else { bad() };
        let value = words.collect::<Vec<_>>().join(" ");
        let host = |text: &str| Name::from_ascii(text).unwrap_or_else(|_| bad());
        let kind: RecordType = kind.parse().unwrap_or_else(|_| bad());
        let name = match (kind, name.parse::<std::net::Ipv4Addr>()) {
            (RecordType::PTR, Ok(address)) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            _ => name.to_ascii_lowercase(),
        };
        let data = match (value.as_str(), kind) {
            ("SERVFAIL", _) => return self.set(&name, kind, Zone::Code(ResponseCode::ServFail)),
            ("REFUSED", _) => return self.set(&name, kind, Zone::Code(ResponseCode::Refused)),
            ("NXDOMAIN", _) => return self.set(&name, kind, Zone::Code(ResponseCode::NXDomain)),
            ("SILENCE", _) => return self.set(&name, kind, Zone::Silence),
            (text, RecordType::A) => {
                RData::A(text.parse::<std::net::Ipv4Addr>().unwrap_or_else(|_| bad()).into())
            }
            (text, RecordType::CNAME) => RData::CNAME(hickory_proto::rr::rdata::CNAME(host(text))),
            (text, RecordType::PTR) => RData::PTR(hickory_proto::rr::rdata::PTR(host(text))),
            (text, RecordType::MX) => {
                let (preference, exchange) = text.split_once(' ').unwrap_or_else(|| bad());
                let preference = preference.parse().unwrap_or_else(|_| bad());
                RData::MX(hickory_proto::rr::rdata::MX::new(preference, host(exchange)))
            }
            _ => bad(),
        };
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        match zones.entry((name, kind)).or_insert_with(|| Zone::Records(Vec::new())) {
            Zone::Records(records) => records.push(data),
            Zone::Code(_) | Zone::Silence => bad(),
        }
    }

    fn answer(&self, query: &Message) -> Option<Message> {
        let question = query.queries.first()?.clone();
        let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        reply.metadata.recursion_desired = true;
        reply.metadata.recursion_available = true;
        reply.queries.push(question.clone());
        let zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        let rule = *self.rule.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = question.query_type();
        let mut name = name;
        // An alias leads on, as far as one that is served here can.
        for _ in 0..ALIASES_MAX {
            let owner = Name::from_ascii(format!("{name}.")).ok()?;
            let ruled = || rule.and_then(|rule| rule(&name, kind));
            let alias = match zones.get(&(name.clone(), kind)).cloned().or_else(ruled) {
                Some(Zone::Silence) => return None,
                Some(Zone::Code(code)) => {
                    reply.metadata.response_code = code;
                    break;
                }
                Some(Zone::Records(records)) => {
                    let records =
                        records.iter().map(|data| Record::from_rdata(owner.clone(), 60, data.clone()));
                    reply.answers.extend(records);
                    break;
                }
                None => zones.get(&(name.clone(), RecordType::CNAME)),
            };
            let Some(Zone::Records(records)) = alias else {
                if !zones.keys().any(|(other, _)| *other == name) {
                    reply.metadata.response_code = ResponseCode::NXDomain;
                }
                break;
            };
            let RData::CNAME(target) = records.first()? else { return None };
            name = target.0.to_ascii().trim_end_matches('.').to_ascii_lowercase();
            reply.answers.push(Record::from_rdata(owner, 60, records.first()?.clone()));
        }
        Some(reply)
    }
}
