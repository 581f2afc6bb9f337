//! Queries and what their answers say.
//!
//! A query is one question with RD, AD and EDNS0 (RFC 1035 4, RFC 6891, RFC 6840 5.7). An answer is read only when it
//! answers that very query; its CNAME chain is walked by name, so records that nobody asked for are never seen.
//! Total over arbitrary octets. Knows no servers, time or caches.

use super::names::{from_wire, to_wire};
use crate::ask::{DnsFailure, DnsRecord, RecordKind};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// What a UDP answer may measure without being cut into fragments on any common path (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;
/// Aliases followed for one question (attacks.md C7; Postfix follows 10).
pub const CNAMES_MAX: u32 = 16;
/// Records kept of one answer: 1000 exchangers are a hazard that mail must survive, more are not worth their memory.
pub const RECORDS_MAX: usize = 1024;

/// Pointers to pointers within a compressed name. Those who compress names point at labels, so that real answers have one; each
/// pointer is two octets for the sender and a step for us, and thousands of records may share a chain of thousands.
const POINTERS_IN_A_ROW_MAX: u8 = 16;

/// What octets that came for a query turn out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// Not an answer to this query: a forgery, or late.
    Stray,
    /// Does not fit a datagram: ask by TCP.
    Truncated,
    /// The server does not understand EDNS: ask without.
    WithoutEdns,
    /// The server failed, refused, or talks nonsense: ask another.
    Broken,
    /// It knows.
    Found(Found),
}

/// What a server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// How it ends.
    pub(super) end: End,
    /// The last name of the chain.
    pub(super) canonical: String,
    /// Aliases on the way.
    pub(super) aliases: u32,
    /// Seconds that all of it holds; `None` when it must not be kept.
    pub(super) ttl: Option<u32>,
    /// The AD bit.
    pub(super) authentic: bool,
}

/// How a chain ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// At records.
    Records(Vec<DnsRecord>),
    /// At nothing.
    Nothing(DnsFailure),
    /// Outside of this answer: ask for the canonical name.
    Elsewhere,
}

const fn record_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::Mx => RecordType::MX,
        RecordKind::Ptr => RecordType::PTR,
        RecordKind::Txt => RecordType::TXT,
    }
}

/// The octets of a query; `None` when the name can not be asked for.
pub(super) fn query(id: u16, name: &str, kind: RecordKind, edns: bool) -> Option<Vec<u8>> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.authentic_data = true;
    message.add_query(Query::query(to_wire(name)?, record_type(kind)));
    if edns {
        let mut options = Edns::new();
        options.set_max_payload(UDP_PAYLOAD).set_version(0);
        message.set_edns(options);
    }
    message.to_vec().ok()
}

/// Reads what came for the query of this id, name and kind.
pub(super) fn read(octets: &[u8], id: u16, name: &str, kind: RecordKind) -> Reading {
    // The id is looked at first: a flood of forgeries costs two octets each.
    if !octets.starts_with(&id.to_be_bytes()) && !planted!(AnyAnswer) {
        return Reading::Stray;
    }
    if winds(octets) {
        return Reading::Broken;
    }
    let Ok(message) = Message::from_vec(octets) else {
        // TC may cut in the middle of a record.
        let cut = octets.get(2).is_some_and(|flags| flags & 0x82 == 0x82);
        return if cut { Reading::Truncated } else { Reading::Broken };
    };
    let Some(asked) = to_wire(name) else { return Reading::Stray };
    if !answers(&message, &asked, kind) {
        return Reading::Stray;
    }
    match message.metadata.response_code {
        ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS | ResponseCode::BADSIG => {
            Reading::WithoutEdns
        }
        ResponseCode::ServFail if planted!(ServfailIsNxdomain) => Reading::Found(Found {
            end: End::Nothing(DnsFailure::NoSuchName),
            canonical: name.to_owned(),
            aliases: 0,
            ttl: None,
            authentic: false,
        }),
        _ if message.metadata.truncation && !planted!(TruncatedTaken) => Reading::Truncated,
        ResponseCode::NoError | ResponseCode::NXDomain => walk(&message, &asked, kind),
        _ => Reading::Broken,
    }
}

/// Whether following names through it could take much longer than reading it. Looks at all octets as if each began a pointer: what
/// is none is hardly ever so many in a row.
fn winds(octets: &[u8]) -> bool {
    let mut rows: Vec<u8> = vec![0; octets.len()];
    for (at, pair) in octets.windows(2).enumerate() {
        let target = usize::from(pair[0] & 0x3f) << 8 | usize::from(pair[1]);
        // Names point backwards (RFC 1035 4.1.4); the reader refuses others.
        if pair[0] < 0xc0 || target >= at {
            continue;
        }
        let row = rows.get(target).copied().unwrap_or(0).saturating_add(1);
        if row > POINTERS_IN_A_ROW_MAX {
            return true;
        }
        if let Some(place) = rows.get_mut(at) {
            *place = row;
        }
    }
    false
}

/// Is it an answer to this question? Old servers send their FORMERR without the question.
fn answers(message: &Message, asked: &Name, kind: RecordKind) -> bool {
    let same = |query: &Query| {
        query.name.eq_ignore_root(asked)
            && query.query_type == record_type(kind)
            && query.query_class == DNSClass::IN
    };
    let question = match message.queries.as_slice() {
        [query] => same(query),
        [] => message.metadata.response_code == ResponseCode::FormErr,
        _ => false,
    };
    question
        && message.metadata.message_type == MessageType::Response
        && message.metadata.op_code == OpCode::Query
}

/// Follows the aliases from the name that was asked for to the records.
fn walk(message: &Message, asked: &Name, kind: RecordKind) -> Reading {
    let mut at = asked;
    let mut ttl = u32::MAX;
    let mut aliases = 0;
    while let Some((target, alias_ttl)) = alias(&message.answers, at) {
        aliases += 1;
        if aliases > CNAMES_MAX {
            return Reading::Broken;
        }
        ttl = ttl.min(alias_ttl);
        at = target;
    }
    let Some(canonical) = from_wire(at) else { return Reading::Broken };
    let authentic = message.metadata.authentic_data;
    let found =
        |end, ttl| Reading::Found(Found { end, canonical: canonical.clone(), aliases, ttl, authentic });

    let mut records = Vec::new();
    let mut senseless = false;
    for record in message.answers.iter().filter(|record| is_of(record, at, kind)).take(RECORDS_MAX) {
        match value(&record.data) {
            Some(value) => {
                ttl = ttl.min(lifetime(record));
                records.push(value);
            }
            None => senseless = true,
        }
    }
    if !records.is_empty() {
        return found(End::Records(records), Some(ttl));
    }
    let nothing = negative_ttl(message, at).map(|seconds| seconds.min(ttl));
    if message.metadata.response_code == ResponseCode::NXDomain {
        return found(End::Nothing(DnsFailure::NoSuchName), nothing);
    }
    if nothing.is_some() {
        return found(End::Nothing(DnsFailure::NoSuchRecord), nothing);
    }
    if senseless {
        return Reading::Broken;
    }
    if aliases > 0 {
        return found(End::Elsewhere, Some(ttl));
    }
    // Neither records, nor a zone that vouches for their absence, nor a server that recurses: a lame one.
    if !message.metadata.recursion_available && !message.metadata.authoritative {
        return Reading::Broken;
    }
    found(End::Nothing(DnsFailure::NoSuchRecord), None)
}

/// The alias of a name, if it is one.
fn alias<'a>(answers: &'a [Record], at: &Name) -> Option<(&'a Name, u32)> {
    answers.iter().find_map(|record| match &record.data {
        RData::CNAME(target) if record.dns_class == DNSClass::IN && record.name.eq_ignore_root(at) => {
            Some((&target.0, lifetime(record)))
        }
        _ => None,
    })
}

fn is_of(record: &Record, at: &Name, kind: RecordKind) -> bool {
    record.dns_class == DNSClass::IN
        && record.record_type() == record_type(kind)
        && record.name.eq_ignore_root(at)
}

/// A TTL with its highest bit set is zero (RFC 2181 8).
fn lifetime(record: &Record) -> u32 {
    if record.ttl > i32::MAX as u32 { 0 } else { record.ttl }
}

/// How long the absence holds: the SOA's TTL or its minimum, whichever is less (RFC 2308 5). Only the SOA of a zone that `at` lies
/// in counts.
fn negative_ttl(message: &Message, at: &Name) -> Option<u32> {
    message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) if record.name.zone_of(at) => Some(lifetime(record).min(soa.minimum)),
        _ => None,
    })
}

/// The record in our words; `None` for a host name that is none.
fn value(data: &RData) -> Option<DnsRecord> {
    match data {
        RData::A(address) => Some(DnsRecord::A(address.0)),
        RData::AAAA(address) => Some(DnsRecord::Aaaa(address.0)),
        RData::MX(mx) => {
            Some(DnsRecord::Mx { preference: mx.preference, exchange: from_wire(&mx.exchange)? })
        }
        RData::PTR(name) => from_wire(&name.0).filter(|name| !name.is_empty()).map(DnsRecord::Ptr),
        RData::TXT(text) => Some(DnsRecord::Txt(text.txt_data.concat())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_with_edns_is_forty_octets_and_always_the_same() {
        let octets = query(0x1234, "example.org", RecordKind::Mx, true).expect("a good name");
        assert_eq!(octets.len(), 40);
        assert_eq!(octets[..4], [0x12, 0x34, 0x01, 0x20], "RD and AD");
        assert_eq!(query(0x1234, "example.org", RecordKind::Mx, true), Some(octets));
    }

    #[test]
    fn a_loop_of_compression_pointers_is_broken_not_endless() {
        let mut octets = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        octets.extend([0xc0, 12, 0, 15, 0, 1, 0xc0, 12]);
        assert_eq!(read(&octets, 7, "example.org", RecordKind::Mx), Reading::Broken);
    }

    /// An answer whose exchanger's name is reached by so many pointers, one to the other.
    fn chained(pointers: usize) -> Vec<u8> {
        let mut octets = query(7, "example.org", RecordKind::Mx, false).expect("a good name");
        octets[2..4].copy_from_slice(&[0x81, 0x80]);
        octets[7] = 2;
        // A record of a type that nobody knows holds the chain.
        let length = u16::try_from(2 * (pointers - 1)).expect("a short chain").to_be_bytes();
        octets.extend([0xc0, 12, 0xff, 0, 0, 1, 0, 0, 0, 9, length[0], length[1]]);
        let mut target = 12u16;
        for _ in 1..pointers {
            let at = u16::try_from(octets.len()).expect("a short answer");
            octets.extend((0xc000 | target).to_be_bytes());
            target = at;
        }
        octets.extend([0xc0, 12, 0, 15, 0, 1, 0, 0, 0, 9, 0, 4, 0, 5]);
        octets.extend((0xc000 | target).to_be_bytes());
        octets
    }

    #[test]
    fn names_that_wind_through_the_whole_answer_are_not_followed() {
        assert!(!winds(&chained(1)) && !winds(&chained(2)) && !winds(&chained(16)));
        assert_eq!(read(&chained(17), 7, "example.org", RecordKind::Mx), Reading::Broken);
        assert_eq!(read(&chained(7_000), 7, "example.org", RecordKind::Mx), Reading::Broken);
        // Addresses that look like pointers are as many as they like.
        let mut octets = query(7, "example.org", RecordKind::A, false).expect("a good name");
        octets[2..4].copy_from_slice(&[0x81, 0x80]);
        octets[6..8].copy_from_slice(&900u16.to_be_bytes());
        for number in 0..900u16 {
            octets.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4]);
            octets.extend([192 + (number % 64) as u8, 12, (number / 4) as u8, 0xc0]);
        }
        assert!(!winds(&octets));
    }

    #[test]
    fn a_query_reflected_at_us_is_no_answer() {
        let octets = query(7, "example.org", RecordKind::A, true).expect("a good name");
        assert_eq!(read(&octets, 7, "example.org", RecordKind::A), Reading::Stray);
    }

    proptest::proptest! {
        #[test]
        fn reading_is_total(mut octets in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            if octets.len() > 2 { octets[0] = 0; octets[1] = 7; }
            let _ = read(&octets, 7, "example.org", RecordKind::Mx);
        }

        #[test]
        fn a_damaged_answer_is_read_without_panic(at in 2usize..200, octet: u8, cut in 0usize..200) {
            let mut octets = query(7, "example.org", RecordKind::Mx, true).expect("a good name");
            octets[2] |= 0x80;
            octets[7] = 9;
            while octets.len() < 200 { octets.extend([0xc0, 12, 0, 15, 0, 1, 0, 0, 0, 9, 0, 4, 0, 5, 0xc0, 12]); }
            octets[at] = octet;
            octets.truncate(200 - cut);
            let _ = read(&octets, 7, "example.org", RecordKind::Mx);
        }
    }
}
