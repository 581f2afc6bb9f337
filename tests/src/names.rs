//! A name server on loopback, for `dns_servers`.

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

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
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
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

    fn answer(&self, query: &Message) -> Option<Message> {
        let question = query.queries.first()?.clone();
        let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        reply.metadata.recursion_desired = true;
        reply.metadata.recursion_available = true;
        reply.queries.push(question.clone());
        let zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        let rule = *self.rule.lock().unwrap_or_else(PoisonError::into_inner);
        let ruled = rule.and_then(|rule| rule(&name, question.query_type()));
        let known = ruled.is_none() && zones.keys().any(|(other, _)| *other == name);
        match zones.get(&(name, question.query_type())).or(ruled.as_ref()) {
            Some(Zone::Silence) => return None,
            Some(Zone::Code(code)) => reply.metadata.response_code = *code,
            Some(Zone::Records(records)) => {
                for data in records {
                    reply.answers.push(Record::from_rdata(question.name().clone(), 60, data.clone()));
                }
            }
            None if known => {}
            None => reply.metadata.response_code = ResponseCode::NXDomain,
        }
        Some(reply)
    }
}
