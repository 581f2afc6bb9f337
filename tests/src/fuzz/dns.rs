//! Datagrams and messages as they come to the socket of a query.

use super::octets::Octets;
use postrider_core::ask::{DnsAnswer, DnsRecord, RecordKind};
use postrider_core::dns::{
    CNAMES_MAX, Entropy, Input, Output, Params, QUERIES_PER_QUESTION_MAX, QueryId, RECORDS_MAX, Resolver,
    Ticket,
};
use postrider_core::machine::Machine;
use postrider_core::time::Now;
use std::collections::VecDeque;
use std::net::SocketAddr;

const KINDS: [RecordKind; 5] =
    [RecordKind::A, RecordKind::Aaaa, RecordKind::Mx, RecordKind::Ptr, RecordKind::Txt];

/// A resolver with one question, and the queries that it has out.
struct Asked {
    resolver: Resolver,
    now: Now,
    open: VecDeque<(QueryId, SocketAddr, Vec<u8>, bool)>,
    queries: usize,
    answers: Vec<DnsAnswer>,
}

/// Asks for `example.org`, and answers each query with the next piece of the octets, which gets the id of the query, and its question if
/// its first octet says so. What has no answer left is not answered.
///
/// # Panics
/// When a law is broken.
pub fn dns(octets: &[u8]) {
    let mut octets = Octets(octets);
    let kind = KINDS[usize::from(octets.octet()) % KINDS.len()];
    let servers = vec![SocketAddr::from(([127, 0, 0, 1], 53)), SocketAddr::from(([127, 0, 0, 2], 53))];
    let mut asked = Asked {
        resolver: Resolver::new(Params { servers, ..Params::default() }),
        now: Now::default(),
        open: VecDeque::new(),
        queries: 0,
        answers: Vec::new(),
    };
    let entropy = Entropy([7; 2 * QUERIES_PER_QUESTION_MAX]);
    asked.tell(Input::Ask { ticket: Ticket(1), name: "example.org", kind, entropy });
    while asked.answers.is_empty() && !octets.0.is_empty() {
        asked.reply(octets.octet(), octets.piece());
    }
    while asked.answers.is_empty() {
        asked.now.mono = asked.resolver.next_timeout().expect("who waits has a deadline");
        asked.resolver.handle_timeout(asked.now);
        asked.drain();
    }
    asked.is_sound(kind);
}

impl Asked {
    fn tell(&mut self, input: Input<'_>) {
        self.resolver.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.resolver.poll_output() {
            match output {
                Output::SendUdp { query, server, octets } => self.open(query, server, octets, false),
                Output::SendTcp { query, server, octets } => self.open(query, server, octets, true),
                Output::CloseQuery(query) => self.open.retain(|(open, ..)| *open != query),
                Output::Answer { ticket, answer } => {
                    assert_eq!(ticket, Ticket(1));
                    self.answers.push(answer);
                }
                Output::Event(event) => assert!(!event.text().contains('\n')),
            }
        }
    }

    fn open(&mut self, query: QueryId, server: SocketAddr, octets: Vec<u8>, tcp: bool) {
        self.queries += 1;
        self.open.push_back((query, server, octets, tcp));
    }

    fn reply(&mut self, how: u8, piece: &[u8]) {
        let Some((query, server, sent, tcp)) = self.open.front().cloned() else { return };
        let mut octets = piece.to_vec();
        if how & 1 == 0 {
            // The id, and behind the twelve octets of the head the question.
            let question = sent.get(12..29).unwrap_or_default();
            octets.resize(octets.len().max(12), 0);
            octets.splice(12..12, question.iter().copied());
            octets[4..6].copy_from_slice(&[0, 1]);
        }
        let id = octets.len().min(2);
        octets[..id].copy_from_slice(&sent[..id]);
        match how >> 1 & 7 {
            0 => self.tell(Input::Lost { query }),
            1 => self.tell(Input::Datagram {
                query,
                from: SocketAddr::from(([9, 9, 9, 9], 53)),
                octets: &octets,
            }),
            2 if !tcp => self.tell(Input::TcpAnswer { query, octets: &octets }),
            _ if tcp => self.tell(Input::TcpAnswer { query, octets: &octets }),
            _ => self.tell(Input::Datagram { query, from: server, octets: &octets }),
        }
    }

    fn is_sound(&self, kind: RecordKind) {
        assert_eq!(self.answers.len(), 1, "one answer for one question");
        assert!(self.open.is_empty(), "no query is left open");
        assert!(self.queries <= QUERIES_PER_QUESTION_MAX + CNAMES_MAX as usize, "{}", self.queries);
        let Some(Ok(answer)) = self.answers.first() else { return };
        assert!((1..=RECORDS_MAX).contains(&answer.records.len()));
        assert!(is_name(&answer.canonical), "{:?}", answer.canonical);
        for record in &answer.records {
            match (kind, record) {
                (RecordKind::A, DnsRecord::A(_))
                | (RecordKind::Aaaa, DnsRecord::Aaaa(_))
                | (RecordKind::Txt, DnsRecord::Txt(_)) => {}
                (RecordKind::Mx, DnsRecord::Mx { exchange, .. }) => {
                    assert!(exchange.is_empty() || is_name(exchange), "{exchange:?}");
                }
                (RecordKind::Ptr, DnsRecord::Ptr(name)) => assert!(is_name(name), "{name:?}"),
                other => panic!("asked for one kind, got another: {other:?}"),
            }
        }
    }
}

/// What may be logged, compared with a name of ours, and asked for.
fn is_name(text: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_graphic() && !octet.is_ascii_uppercase() && octet != b'\\';
    let labels = text.split('.').all(|label| (1..=63).contains(&label.len()));
    labels && text.len() <= 253 && text.bytes().all(plain)
}
