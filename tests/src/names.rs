//! A name server on loopback, for `dns_servers`: over UDP as far as an answer fits, and over TCP (RFC 7766).

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many aliases one answer follows.
const ALIASES_MAX: usize = 20;
/// How many ports are tried before one is free for UDP and TCP.
const PORTS_MAX: usize = 100;

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
    truncated: Arc<AtomicUsize>,
    by_tcp: Arc<AtomicUsize>,
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
        let both = || {
            let udp = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
            let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
            Some((udp, tcp))
        };
        let (udp, tcp) = (0..PORTS_MAX).find_map(|_| both()).expect("a port is free for UDP and TCP");
        Self::serve(udp, tcp)
    }

    /// The same, at an address and port of this host.
    ///
    /// # Panics
    /// When it is not free.
    #[must_use]
    pub fn start_at(address: &str) -> Self {
        let udp = UdpSocket::bind(address).unwrap_or_else(|error| panic!("{address}, UDP: {error}"));
        let tcp = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}, TCP: {error}"));
        Self::serve(udp, tcp)
    }

    fn serve(udp: UdpSocket, tcp: TcpListener) -> Self {
        let names = Self {
            address: udp.local_addr().expect("a bound socket has an address"),
            zones: Arc::default(),
            rule: Arc::default(),
            truncated: Arc::default(),
            by_tcp: Arc::default(),
        };
        let inside = names.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((count, from)) = udp.recv_from(&mut buffer) {
                if let Some(reply) = inside.datagram(&buffer[..count]) {
                    _ = udp.send_to(&reply, from);
                }
            }
        });
        let inside = names.clone();
        std::thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let inside = inside.clone();
                std::thread::spawn(move || while inside.converse(&stream).is_some() {});
            }
        });
        names
    }

    /// The answer over UDP. One that is longer than the asker takes comes without records and says so (RFC 2181 9).
    fn datagram(&self, octets: &[u8]) -> Option<Vec<u8>> {
        let query = Message::from_bytes(octets).ok()?;
        let mut reply = self.answer(&query)?;
        let whole = reply.to_bytes().expect("our own records encode");
        if whole.len() <= usize::from(query.max_payload()) {
            return Some(whole);
        }
        self.truncated.fetch_add(1, Ordering::SeqCst);
        reply.answers.clear();
        reply.metadata.truncation = true;
        Some(reply.to_bytes().expect("our own records encode"))
    }

    /// One question and its answer over TCP, each behind its length; `None` when the asker has gone.
    fn converse(&self, mut stream: &TcpStream) -> Option<()> {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut octets).ok()?;
        self.by_tcp.fetch_add(1, Ordering::SeqCst);
        let Some(reply) = self.answer(&Message::from_bytes(&octets).ok()?) else { return Some(()) };
        let reply = reply.to_bytes().expect("our own records encode");
        let length = u16::try_from(reply.len()).expect("an answer fits into a message").to_be_bytes();
        stream.write_all(&[&length[..], &reply].concat()).ok()
    }

    /// How many answers were too long for UDP.
    #[must_use]
    pub fn truncated(&self) -> usize {
        self.truncated.load(Ordering::SeqCst)
    }

    /// How many questions came over TCP.
    #[must_use]
    pub fn asked_by_tcp(&self) -> usize {
        self.by_tcp.load(Ordering::SeqCst)
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
