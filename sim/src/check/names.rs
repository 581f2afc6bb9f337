//! The DNS cache: the resolver that ships, two names of which one is an alias of the other, a server that says anything, and time.
//!
//! Whoever looks the answers over knows only what servers have said, and when. It does not know how the resolver comes to what it says.

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record};
use postrider_core::ask::{DnsFailure, DnsRecord, RecordKind};
use postrider_core::dns::{
    Entropy, Input, Output, Params, QUERIES_PER_QUESTION_MAX, QueryId, Resolver, Ticket,
};
use postrider_core::machine::Machine;
use postrider_core::time::{Duration, Instant, Now};
use stateright::{Model, Property};
use std::net::{Ipv4Addr, SocketAddr};

/// What is asked for: the second is an alias of the first.
const NAMES: [&str; 2] = ["real.sim", "alias.sim"];
/// Seconds that a record holds, and that its absence does.
const TTL: u64 = 3;
const NEGATIVE_TTL: u64 = 2;
/// A failure may be remembered for so long.
const FAILURE_TTL: u64 = 1;

#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    servers: u8,
    questions: u8,
    /// Seconds of a history, beside those that are spent waiting for servers.
    seconds: u8,
    /// Answers that are stray, cut off, or say that EDNS is not understood.
    oddities: u8,
}

/// What an answer may be believed to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Said {
    Address(u8),
    NoName,
    NoRecord,
    Failure,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Query {
    id: QueryId,
    server: SocketAddr,
    octets: Vec<u8>,
    tcp: bool,
    name: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    resolver: Resolver,
    now: Now,
    queries: Vec<Query>,
    /// What has been said of each name, and until when it holds. Of an alias alone (`None`): the target must be asked for.
    said: Vec<(usize, Option<Said>, Instant)>,
    /// Which name each ticket asks for, while it waits.
    waiting: Vec<(Ticket, usize)>,
    asked: u8,
    passed: u8,
    odd: u8,
    /// The zone has changed: addresses differ from before.
    version: u8,
    wrong: Option<Wrong>,
    seen: Seen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wrong {
    /// Nobody has said so, or it does not hold any more.
    Stale,
    /// A failure passes for an absence, or the other way.
    Mixed,
    /// A ticket was answered that nobody gave, or twice.
    Twice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Seen {
    cached: bool,
    cached_absence: bool,
    through_alias: bool,
    shared: bool,
    failed: bool,
    changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Ask(usize),
    /// The server of the open query at this place says this.
    Reply(usize, Reply),
    /// The query can not be sent, or its connection ends.
    Lost(usize),
    /// The deadline of the oldest query.
    Deadline,
    /// A second.
    Second,
    /// The zone changes.
    Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// All of it.
    Whole,
    /// The alias alone.
    Alias,
    /// It holds for no time at all.
    Fleeting,
    NoName,
    NoRecord,
    Servfail,
    /// Cut off, and what fits is half the truth.
    Truncated,
    WithoutEdns,
    /// Another id.
    Forged,
}

pub(super) fn scopes() -> Vec<(&'static str, Names)> {
    vec![
        ("names: one server, cache and time", Names { servers: 1, questions: 4, seconds: 5, oddities: 0 }),
        (
            "names: two servers, forgeries and cut answers",
            Names { servers: 2, questions: 2, seconds: 1, oddities: 2 },
        ),
    ]
}

impl State {
    fn new(model: &Names) -> Self {
        let servers = (1..=model.servers).map(|last| SocketAddr::from(([10, 0, 0, last], 53))).collect();
        let params = Params { servers, attempts: 1, timeout: Duration::from_secs(1), ..Params::default() };
        Self {
            resolver: Resolver::new(params),
            now: Now::default(),
            queries: Vec::new(),
            said: Vec::new(),
            waiting: Vec::new(),
            asked: 0,
            passed: 0,
            odd: 0,
            version: 0,
            wrong: None,
            seen: Seen::default(),
        }
    }

    fn tell(&mut self, input: Input<'_>) {
        let at_once = matches!(input, Input::Ask { .. });
        self.resolver.handle_input(self.now, input);
        self.drain(at_once);
    }

    fn drain(&mut self, at_once: bool) {
        while let Some(output) = self.resolver.poll_output() {
            match output {
                Output::SendUdp { query, server, octets } => self.sent(query, server, octets, false),
                Output::SendTcp { query, server, octets } => self.sent(query, server, octets, true),
                Output::CloseQuery(query) => self.queries.retain(|open| open.id != query),
                Output::Answer { ticket, answer } => {
                    let said = match answer {
                        Ok(found) => match found.records.first() {
                            Some(DnsRecord::A(address)) => Said::Address(address.octets()[3]),
                            _ => Said::Failure,
                        },
                        Err(DnsFailure::NoSuchName) => Said::NoName,
                        Err(DnsFailure::NoSuchRecord) => Said::NoRecord,
                        Err(_) => Said::Failure,
                    };
                    self.answered(ticket, said, at_once);
                }
                Output::Event(_) => {}
            }
        }
        let now = self.now.mono;
        self.said.retain(|(_, _, until)| *until > now);
        self.said.sort_unstable();
        self.said.dedup();
    }

    fn sent(&mut self, id: QueryId, server: SocketAddr, octets: Vec<u8>, tcp: bool) {
        let asked =
            Message::from_vec(&octets).ok().and_then(|query| Some(query.queries.first()?.name.clone()));
        let name = usize::from(asked.is_some_and(|name| name.to_ascii().starts_with("alias")));
        self.queries.push(Query { id, server, octets, tcp, name });
    }

    /// Is what the resolver says something that was said, and still holds?
    fn answered(&mut self, ticket: Ticket, said: Said, at_once: bool) {
        let Some(place) = self.waiting.iter().position(|(other, _)| *other == ticket) else {
            self.wrong = Some(Wrong::Twice);
            return;
        };
        let (_, name) = self.waiting.remove(place);
        let now = self.now.mono;
        // What is said this very moment may be handed on, though it holds no longer than that.
        let holds = |until: Instant| if at_once { until > now } else { until >= now };
        let known = |name: usize, wanted: Option<Said>| {
            self.said.iter().any(|(of, what, until)| *of == name && *what == wanted && holds(*until))
        };
        let direct = known(name, Some(said));
        let through = name == 1 && known(1, None) && known(0, Some(said));
        if !direct && !through {
            let other = self.said.iter().any(|(of, ..)| *of == name);
            let mixed = other && matches!(said, Said::NoName | Said::NoRecord | Said::Failure);
            self.wrong = Some(if mixed { Wrong::Mixed } else { Wrong::Stale });
        }
        let address = matches!(said, Said::Address(_));
        self.seen.cached |= at_once && address;
        self.seen.cached_absence |= at_once && matches!(said, Said::NoName | Said::NoRecord);
        self.seen.through_alias |= through && !direct;
        self.seen.failed |= said == Said::Failure;
        self.seen.changed |= said == Said::Address(2);
    }

    fn learn(&mut self, name: usize, what: Option<Said>, seconds: u64) {
        self.said.push((name, what, self.now.mono.after(Duration::from_secs(seconds))));
    }

    fn reply(&mut self, place: usize, reply: Reply) -> Option<()> {
        let query = self.queries.get(place)?.clone();
        let mut message = Message::from_vec(&query.octets).ok()?;
        message.metadata.message_type = MessageType::Response;
        message.metadata.recursion_available = true;
        message.edns = None;
        let address = 1 + self.version;
        let real =
            |ttl| Record::from_rdata(name(NAMES[0]), ttl, RData::A(A(Ipv4Addr::new(192, 0, 2, address))));
        let alias = Record::from_rdata(name(NAMES[1]), TTL as u32, RData::CNAME(CNAME(name(NAMES[0]))));
        if query.name == 1
            && matches!(reply, Reply::Whole | Reply::Alias | Reply::Truncated | Reply::NoRecord)
        {
            message.add_answer(alias);
        }
        match reply {
            Reply::Whole | Reply::Forged => {
                message.add_answer(real(TTL as u32));
            }
            Reply::Fleeting => {
                message.add_answer(Record::from_rdata(
                    name(NAMES[query.name]),
                    0,
                    RData::A(A(Ipv4Addr::new(192, 0, 2, address))),
                ));
            }
            Reply::NoName => message.metadata.response_code = ResponseCode::NXDomain,
            Reply::Servfail => message.metadata.response_code = ResponseCode::ServFail,
            Reply::WithoutEdns => message.metadata.response_code = ResponseCode::FormErr,
            Reply::Truncated => message.metadata.truncation = true,
            Reply::Alias | Reply::NoRecord => {}
        }
        if matches!(reply, Reply::NoName | Reply::NoRecord) {
            let soa = SOA::new(name("ns.sim"), name("ns.sim"), 1, 2, 3, 4, NEGATIVE_TTL as u32);
            message.add_authority(Record::from_rdata(name("sim"), 60, RData::SOA(soa)));
        }
        if reply == Reply::Forged {
            message.metadata.id ^= 1;
        }
        match reply {
            Reply::Whole => self.learn(query.name, Some(Said::Address(address)), TTL),
            Reply::Fleeting => self.learn(query.name, Some(Said::Address(address)), 0),
            Reply::Alias => self.learn(query.name, None, TTL),
            Reply::NoName => self.learn(query.name, Some(Said::NoName), NEGATIVE_TTL),
            Reply::NoRecord => self.learn(query.name, Some(Said::NoRecord), NEGATIVE_TTL),
            // Whether all servers have failed the resolver must know; that one did is enough for us.
            Reply::Servfail => self.failed(query.name),
            Reply::Truncated | Reply::WithoutEdns | Reply::Forged => {}
        }
        let octets = message.to_vec().ok()?;
        let input = match query.tcp {
            true => Input::TcpAnswer { query: query.id, octets: &octets },
            false => Input::Datagram { query: query.id, from: query.server, octets: &octets },
        };
        self.tell(input);
        Some(())
    }

    /// A server did not help with this name, so neither with its alias.
    fn failed(&mut self, name: usize) {
        self.learn(name, Some(Said::Failure), FAILURE_TTL);
        self.learn(1, Some(Said::Failure), FAILURE_TTL);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.resolver.next_timeout().filter(|_| !self.queries.is_empty())
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap_or_else(|_| Name::root())
}

impl Model for Names {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.wrong.is_some() {
            return;
        }
        if state.asked < self.questions {
            actions.extend([Action::Ask(0), Action::Ask(1)]);
        }
        for (place, query) in state.queries.iter().enumerate() {
            let mut replies = vec![Reply::Whole, Reply::NoName, Reply::NoRecord, Reply::Servfail];
            match query.name {
                1 => replies.push(Reply::Alias),
                _ => replies.push(Reply::Fleeting),
            }
            if state.odd < self.oddities {
                replies.extend([Reply::Forged, Reply::WithoutEdns]);
                if !query.tcp {
                    replies.push(Reply::Truncated);
                }
            }
            actions.extend(replies.into_iter().map(|reply| Action::Reply(place, reply)));
            actions.push(Action::Lost(place));
        }
        if state.next_deadline().is_some() {
            actions.push(Action::Deadline);
        } else if state.passed < self.seconds {
            actions.push(Action::Second);
        }
        if state.version == 0 && state.asked > 0 {
            actions.push(Action::Change);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Ask(name) => {
                next.asked += 1;
                let ticket = Ticket(u64::from(next.asked));
                next.seen.shared |= next.waiting.iter().any(|(_, other)| *other == name);
                next.waiting.push((ticket, name));
                let entropy = Entropy([next.asked; 2 * QUERIES_PER_QUESTION_MAX]);
                next.tell(Input::Ask { ticket, name: NAMES[name], kind: RecordKind::A, entropy });
            }
            Action::Reply(place, reply) => {
                next.odd += u8::from(matches!(reply, Reply::Forged | Reply::WithoutEdns | Reply::Truncated));
                next.reply(place, reply)?;
            }
            Action::Lost(place) => {
                let query = next.queries.get(place)?.clone();
                next.failed(query.name);
                next.tell(Input::Lost { query: query.id });
            }
            Action::Deadline => {
                next.now = next.now.after(next.next_deadline()?.since(next.now.mono));
                let late: Vec<usize> = next.queries.iter().map(|query| query.name).collect();
                late.into_iter().for_each(|name| next.failed(name));
                next.resolver.handle_timeout(next.now);
                next.drain(false);
            }
            Action::Second => {
                next.passed += 1;
                next.now = next.now.after(Duration::from_secs(1));
                next.resolver.handle_timeout(next.now);
                next.drain(false);
            }
            Action::Change => next.version = 1,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("an answer was said, and holds at the time it is given", |_, state: &State| {
                state.wrong != Some(Wrong::Stale)
            }),
            Property::always("a failure is no absence, and an absence no failure", |_, state: &State| {
                state.wrong != Some(Wrong::Mixed)
            }),
            Property::always("each question is answered once", |_, state: &State| {
                state.wrong != Some(Wrong::Twice)
            }),
            Property::always("who waits is waited for", |_, state: &State| {
                state.waiting.is_empty() || !state.queries.is_empty()
            }),
            Property::sometimes("equal questions share a query", |_, state: &State| state.seen.shared),
            Property::sometimes("a failure is told", |_, state: &State| state.seen.failed),
            Property::sometimes("an alias leads to its target", |_, state: &State| state.seen.through_alias),
            Property::sometimes("a change is noticed", |_, state: &State| state.seen.changed),
            Property::sometimes("an answer comes from the cache", |_, state: &State| state.seen.cached),
        ];
        if self.seconds > 1 {
            properties.push(Property::sometimes("an absence comes from the cache", |_, state: &State| {
                state.seen.cached_absence
            }));
        }
        properties
    }
}
