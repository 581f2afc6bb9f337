//! A scripted world around an [`Outbound`]: names, servers, time; and the tests that play in it.

mod dialogues;
mod hostile;
mod keeping;
mod matrix;
mod sending;
mod sources;

use super::{Config, Effect, Input, Loss, Outbound};
use crate::ask::{Answer, DnsAnswer, DnsFailure, DnsRecord, DnsRecords, Question, RecordKind};
use crate::delivery::Params;
use crate::dns::Hosts;
use crate::machine::Machine;
use crate::mail::{
    Attempt, AttemptId, AttemptRecipient, BodyType, Diagnosis, Notify, Outcome, QueueId, Sender, Settled,
    TlsFacts,
};
use crate::time::{Duration, Instant, Now, Timestamp};
use crate::wire::Mailbox;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Octets that are content for sure: nothing else that we say is so long.
const PIECE: usize = 10_000;

/// What a stimulus led to, but for what the world answers by itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    Connect(String),
    StartTls,
    Progress(Settled),
    Settle(Settled),
    HandOver(Box<Attempt>),
    Park,
    Close,
}

/// The world.
pub(super) struct World {
    pub(super) outbound: Outbound,
    /// Edges that were taken: of the outbound joint, and of its connection.
    pub(super) edges: [BTreeSet<(u8, u8)>; 2],
    pub(super) now: Now,
    pub(super) zone: BTreeMap<(String, RecordKind), DnsAnswer>,
    pub(super) tables: BTreeMap<(String, String), String>,
    /// The text of the hosts file, or why nobody can read it.
    pub(super) hosts: Result<String, String>,
    pub(super) content: Vec<u8>,
    /// What the client said and nobody has looked at.
    pub(super) said: Vec<u8>,
    pub(super) seen: Vec<Seen>,
    pub(super) log: Vec<String>,
    pub(super) notices: Vec<crate::mail::Notice>,
    /// When a driver gives up the connection that is being made, if it was told to.
    pub(super) gives_up: Option<Instant>,
    /// The kernel takes no content: nobody reads at the other end.
    pub(super) stuck: bool,
    /// Why the content can not be read behind its first piece.
    pub(super) breaks: Option<String>,
}

pub(super) fn mailbox(text: &str) -> Mailbox {
    let (local, domain) = text.rsplit_once('@').unwrap_or((text, ""));
    Mailbox::new(local, domain)
}

pub(super) fn attempt(nexthop: &str, recipients: &[&str]) -> Attempt {
    let recipient = |(index, address): (usize, &&str)| AttemptRecipient {
        index: index as u32,
        address: mailbox(address),
        original: None,
        orcpt: None,
        notify: Notify::default(),
    };
    Attempt {
        id: AttemptId(1),
        message: QueueId::new(1_000_000, 0),
        transport: "smtp".into(),
        nexthop: nexthop.into(),
        sender: Sender::Mailbox(mailbox("a@client.example")),
        recipients: recipients.iter().enumerate().map(recipient).collect(),
        size: 24,
        pieces: std::sync::Arc::default(),
        body: BodyType::SevenBit,
        smtputf8: false,
        envid: None,
        ret: None,
        arrived: Timestamp::default(),
        keep_connection: false,
    }
}

impl World {
    pub(super) fn new(params: Params) -> Self {
        let config = Config {
            params: Arc::new(params),
            local_addresses: vec!["198.51.100.7".parse().unwrap()],
            sources: Vec::new(),
        };
        Self {
            outbound: Outbound::new(Arc::new(config), 7),
            edges: [BTreeSet::new(), BTreeSet::new()],
            now: Now { mono: Instant(1_000_000_000), wall: Timestamp::from_seconds(1_000_000) },
            zone: BTreeMap::new(),
            tables: BTreeMap::new(),
            hosts: Ok("192.0.2.77 native.example\n".into()),
            content: b"Subject: x\r\n\r\n.hello\r\n".to_vec(),
            said: Vec::new(),
            seen: Vec::new(),
            log: Vec::new(),
            notices: Vec::new(),
            gives_up: None,
            stuck: false,
            breaks: None,
        }
    }

    /// A world with one mail exchanger for `example.net`.
    pub(super) fn simple(params: Params) -> Self {
        let mut world = Self::new(params);
        world.mx("example.net", 10, "mx.example.net");
        world.address("mx.example.net", "192.0.2.1");
        world
    }

    pub(super) fn record(&mut self, name: &str, kind: RecordKind, record: DnsRecord) {
        let empty = || {
            Ok(DnsRecords {
                records: Vec::new(),
                canonical: name.to_owned(),
                valid_until: Instant(u64::MAX),
                authentic: false,
            })
        };
        let answer = self.zone.entry((name.to_owned(), kind)).or_insert_with(empty);
        answer.as_mut().unwrap().records.push(record);
    }

    pub(super) fn mx(&mut self, name: &str, preference: u16, exchange: &str) {
        let exchange = exchange.trim_end_matches('.').to_owned();
        self.record(name, RecordKind::Mx, DnsRecord::Mx { preference, exchange });
    }

    pub(super) fn address(&mut self, name: &str, address: &str) {
        match address.parse().unwrap() {
            std::net::IpAddr::V4(address) => self.record(name, RecordKind::A, DnsRecord::A(address)),
            std::net::IpAddr::V6(address) => self.record(name, RecordKind::Aaaa, DnsRecord::Aaaa(address)),
        }
    }

    pub(super) fn fails(&mut self, name: &str, failure: DnsFailure) {
        for kind in [RecordKind::A, RecordKind::Aaaa, RecordKind::Mx] {
            self.zone.entry((name.to_owned(), kind)).or_insert(Err(failure));
        }
    }

    fn resolve(&self, question: &Question) -> Answer {
        match question {
            Question::Resolve { name, kind } => {
                let known = self.zone.keys().any(|(other, _)| other == name);
                let none = if known { DnsFailure::NoSuchRecord } else { DnsFailure::NoSuchName };
                Answer::Resolve(self.zone.get(&(name.clone(), *kind)).cloned().unwrap_or(Err(none)))
            }
            Question::ListedHost { name } => Answer::ListedHost(
                self.hosts.as_ref().map(|text| Hosts::read(text).addresses(name)).map_err(Clone::clone),
            ),
            Question::Lookup { table, key } => {
                let value = self.tables.get(&(table.0.clone(), key.clone())).cloned();
                Answer::Lookup(Ok(value))
            }
            other => panic!("not asked by a client: {other:?}"),
        }
    }

    /// Brings an input, and answers what the world answers by itself until nothing more moves.
    pub(super) fn tell(&mut self, input: Input<'_>) {
        if matches!(input, Input::Connected | Input::Lost(_)) {
            self.gives_up = None;
        }
        self.give(|outbound, now| outbound.handle_input(now, input));
        self.settle_down();
    }

    /// Lets the machine do something, and notes the edges that it takes.
    fn give(&mut self, act: impl FnOnce(&mut Outbound, Now)) {
        let before = (self.outbound.stage(), self.outbound.delivery_stage());
        act(&mut self.outbound, self.now);
        let after = (self.outbound.stage(), self.outbound.delivery_stage());
        self.edges[0].insert((before.0, after.0));
        // A connection that is there for the first time was in its first stage.
        let Some(to) = after.1 else { return };
        self.edges[1].insert((before.1.unwrap_or_default(), to));
    }

    fn settle_down(&mut self) {
        let mut read_at = None;
        for _ in 0..100_000 {
            let (mut answer, mut read, mut sent) = (None, None, false);
            while let Some(effect) = self.outbound.poll_output() {
                assert!(answer.is_none(), "a question is the last output of a drain");
                match effect {
                    Effect::Ask(question) => answer = Some(self.resolve(&question)),
                    Effect::Connect { endpoint, timeout } => {
                        let limited = timeout > Duration::ZERO;
                        self.gives_up = limited.then(|| self.now.mono.after(timeout));
                        self.seen.push(Seen::Connect(name_of(&endpoint)));
                    }
                    Effect::Send(octets) if self.stuck && octets.len() > PIECE => {}
                    Effect::Send(octets) => {
                        sent = true;
                        self.said.extend(octets);
                    }
                    Effect::Read { restart, .. } => read = Some(restart),
                    Effect::StartTls(_) => self.seen.push(Seen::StartTls),
                    Effect::Close => self.seen.push(Seen::Close),
                    Effect::Progress(settled) => self.seen.push(Seen::Progress(*settled)),
                    Effect::Settle(settled) => self.seen.push(Seen::Settle(*settled)),
                    Effect::HandOver(attempt) => self.seen.push(Seen::HandOver(attempt)),
                    Effect::Park(_) => self.seen.push(Seen::Park),
                    Effect::Event(event) => self.log.push(event.text()),
                    Effect::Notice(notice) => self.notices.push(*notice),
                }
            }
            if let Some(answer) = answer {
                self.give(|outbound, now| outbound.handle_input(now, Input::Answer(answer)));
            } else if let Some(restart) = read {
                if let (Some(why), false) = (self.breaks.clone(), restart) {
                    self.give(|outbound, now| outbound.handle_input(now, Input::ContentLost(why)));
                    continue;
                }
                let at = if restart { 0 } else { read_at.unwrap_or(self.content.len()) };
                let end = (at + crate::limits::CHUNK_MAX).min(self.content.len());
                read_at = Some(end);
                let chunk = self.content[at..end].to_vec();
                self.give(|outbound, now| outbound.handle_input(now, Input::Content(&chunk)));
            } else if sent {
                self.give(|outbound, now| outbound.handle_input(now, Input::Drained));
            } else {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    pub(super) fn server(&mut self, text: &str) {
        self.tell(Input::Bytes(text.as_bytes()));
    }

    /// Lets time pass, and calls at each moment that the machine asked for.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now.mono.after(duration);
        let own = |world: &Self| world.outbound.next_timeout();
        while let Some(at) = [own(self), self.gives_up].into_iter().flatten().min().filter(|at| *at <= end) {
            self.now = self.now.after(at.since(self.now.mono));
            if self.gives_up.is_some_and(|given_up| given_up <= at) {
                self.tell(Input::Lost(Loss::TimedOut));
            } else {
                self.give(Outbound::handle_timeout);
                self.settle_down();
            }
        }
        self.now = self.now.after(end.since(self.now.mono));
    }

    /// Takes the settlement, and says that it is written.
    pub(super) fn settled(&mut self) -> Settled {
        let place = self.seen.iter().position(|seen| matches!(seen, Seen::Settle(_)));
        let Some(Seen::Settle(settled)) = place.map(|place| self.seen.remove(place)) else {
            panic!("nothing is settled: {:?}\n{}", self.seen, String::from_utf8_lossy(&self.said));
        };
        self.tell(Input::Written);
        settled
    }

    pub(super) fn take_said(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.said)).unwrap()
    }
}

fn name_of(endpoint: &super::Endpoint) -> String {
    match endpoint {
        super::Endpoint::Inet { address, port, bind } => match bind {
            Some(bind) => format!("{address}:{port} from {bind}"),
            None => format!("{address}:{port}"),
        },
        super::Endpoint::Unix(path) => path.clone(),
    }
}

/// `deferred 4.4.2 (text)`, and where the kind of outcome says more, that too.
pub(super) fn outcome_text(outcome: &Outcome) -> String {
    let line = |word: &str, d: &Diagnosis| format!("{word} {} ({})", d.status, d.text);
    match outcome {
        Outcome::Delivered { diagnosis, last_hop_for_dsn: true } => line("sent", diagnosis),
        Outcome::Delivered { diagnosis, .. } => line("sent+dsn", diagnosis),
        Outcome::Deferred(diagnosis) => line("deferred", diagnosis),
        Outcome::Failed(diagnosis) => line("bounced", diagnosis),
        other => panic!("not an outcome of a client: {other:?}"),
    }
}

pub(super) fn tls_facts() -> TlsFacts {
    TlsFacts {
        protocol: "TLSv1.3".into(),
        cipher: "TLS_AES_256_GCM_SHA384".into(),
        cipher_bits: 256,
        trusted: false,
        peer_name: None,
    }
}

pub(super) fn loss(word: &str) -> Loss {
    match word {
        "refused" => Loss::Refused,
        "timeout" => Loss::TimedOut,
        "reset" => Loss::Closed,
        "short" => Loss::Short("Too many open files".into()),
        "unbound" => Loss::NotBound("Cannot assign requested address".into()),
        other => Loss::Failed(other.to_owned()),
    }
}
