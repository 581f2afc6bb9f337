//! Scripted servers against the resolver.

use super::*;
use crate::ask::DnsRecord;
use crate::prng::Prng;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, MX, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record};
use std::collections::BTreeMap;

struct World {
    resolver: Resolver,
    now: Now,
    prng: Prng,
    tickets: u64,
    answers: BTreeMap<u64, DnsAnswer>,
    sent: Vec<(QueryId, SocketAddr, Vec<u8>, bool)>,
    closed: Vec<QueryId>,
    events: usize,
}

fn server(last: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], 53))
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).expect("a good name")
}

fn a(owner: &str, ttl: u32, last: u8) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, last)))
}

fn cname(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 600, RData::CNAME(CNAME(name(target))))
}

fn soa(zone: &str, ttl: u32, minimum: u32) -> Record {
    let data = SOA::new(name("ns.example"), name("admin.example"), 1, 2, 3, 4, minimum);
    Record::from_rdata(name(zone), ttl, RData::SOA(data))
}

/// The reply to a query, as `change` makes it.
fn reply(query: &[u8], change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::from_vec(query).expect("our own query");
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    change(&mut message);
    message.to_vec().expect("a small reply")
}

fn with(records: Vec<Record>) -> impl FnOnce(&mut Message) {
    move |message| {
        message.add_answers(records);
    }
}

impl World {
    fn new(servers: u8) -> Self {
        let params = Params { servers: (1..=servers).map(server).collect(), ..Params::default() };
        Self {
            resolver: Resolver::new(params),
            now: Now::default(),
            prng: Prng::new(1),
            tickets: 0,
            answers: BTreeMap::new(),
            sent: Vec::new(),
            closed: Vec::new(),
            events: 0,
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.resolver.poll_output() {
            match output {
                Output::SendUdp { query, server, octets } => self.sent.push((query, server, octets, false)),
                Output::SendTcp { query, server, octets } => self.sent.push((query, server, octets, true)),
                Output::CloseQuery(query) => self.closed.push(query),
                Output::Answer { ticket, answer } => {
                    assert!(self.answers.insert(ticket.0, answer).is_none(), "one answer for each question");
                }
                Output::Event(_) => self.events += 1,
            }
        }
    }

    fn ask(&mut self, name: &str, kind: RecordKind) -> u64 {
        self.tickets += 1;
        let entropy = Entropy(std::array::from_fn(|_| self.prng.next_u64() as u8));
        let input = Input::Ask { ticket: Ticket(self.tickets), name, kind, entropy };
        self.resolver.handle_input(self.now, input);
        self.drain();
        self.tickets
    }

    /// Answers the newest query.
    fn reply(&mut self, change: impl FnOnce(&mut Message)) {
        let (query, from, octets, tcp) = self.sent.last().cloned().expect("a query is out");
        self.deliver(query, from, &reply(&octets, change), tcp);
    }

    fn deliver(&mut self, query: QueryId, from: SocketAddr, octets: &[u8], tcp: bool) {
        let input =
            if tcp { Input::TcpAnswer { query, octets } } else { Input::Datagram { query, from, octets } };
        self.resolver.handle_input(self.now, input);
        self.drain();
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
        self.resolver.handle_timeout(self.now);
        self.drain();
    }

    /// Lets the next deadline pass.
    fn time_out(&mut self) {
        let at = self.resolver.next_timeout().expect("something is waited for");
        self.now = self.now.after(at.since(self.now.mono));
        self.resolver.handle_timeout(self.now);
        self.drain();
    }

    fn addresses(&self, ticket: u64) -> Vec<DnsRecord> {
        self.answers[&ticket].clone().expect("records").records
    }
}

#[test]
fn an_answer_is_kept_for_its_ttl_and_no_longer() {
    let mut world = World::new(1);
    let first = world.ask("MX.Example.", RecordKind::A);
    world.reply(with(vec![a("mx.example", 300, 1), a("mx.example", 60, 2)]));
    assert_eq!(world.addresses(first).len(), 2);
    world.wait(59);
    let second = world.ask("mx.example", RecordKind::A);
    assert_eq!(world.addresses(second).len(), 2);
    assert_eq!(world.answers[&second].as_ref().expect("records").valid_until, Instant(60_000_000_000));
    world.wait(1);
    world.ask("mx.example", RecordKind::A);
    assert_eq!(world.sent.len(), 2, "asked again");
}

#[test]
fn nothing_is_kept_longer_than_dns_cache_time_limit() {
    let week = 604_800;
    for (limit, is_there, seconds) in [
        (None, true, 3_600),
        (None, false, 3_600),
        (Some("6h"), true, 21_600),
        (Some("6h"), false, 3_600),
        (Some("5s"), true, 5),
        (Some("5s"), false, 5),
    ] {
        let pairs: Vec<_> = limit.map(|limit| ("dns_cache_time_limit", limit)).into_iter().collect();
        let params = Params::new(&crate::params::Settings::of(&pairs), "nameserver 127.0.0.1");
        let mut world = World::new(1);
        world.resolver = Resolver::new(params.expect("good values"));
        world.ask("mx.example", RecordKind::A);
        world.reply(|message| {
            _ = if is_there {
                message.add_answer(a("mx.example", week, 1))
            } else {
                message.add_authority(soa("example", week, week))
            };
        });
        world.wait(seconds - 1);
        world.ask("mx.example", RecordKind::A);
        assert_eq!(world.sent.len(), 1, "{limit:?}: kept for {seconds} s");
        world.wait(1);
        world.ask("mx.example", RecordKind::A);
        assert_eq!(world.sent.len(), 2, "{limit:?}: kept no longer");
    }
}

#[test]
fn equal_questions_in_flight_share_one_query() {
    let mut world = World::new(1);
    let tickets = [world.ask("mx.example", RecordKind::A), world.ask("MX.example", RecordKind::A)];
    assert_eq!(world.sent.len(), 1);
    // TTL 0: good for those who asked, and for nobody after them.
    world.reply(with(vec![a("mx.example", 0, 1)]));
    assert!(tickets.iter().all(|&ticket| world.addresses(ticket).len() == 1));
    world.ask("mx.example", RecordKind::A);
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn what_does_not_answer_this_query_changes_nothing() {
    let mut world = World::new(1);
    let ticket = world.ask("mx.example", RecordKind::A);
    let (query, from, octets, _) = world.sent[0].clone();
    let good = reply(&octets, with(vec![a("mx.example", 60, 66)]));
    let wrong_id = reply(&octets, |m| m.metadata.id ^= 1);
    let wrong_name = reply(&octets, |m| m.queries[0].name = name("other.example"));
    let no_question = reply(&octets, |m| m.queries.clear());
    world.deliver(query, server(9), &good, false);
    world.deliver(query, from, &wrong_id, false);
    world.deliver(query, from, &wrong_name, false);
    world.deliver(query, from, &no_question, false);
    world.deliver(QueryId(99), from, &good, false);
    assert!(world.answers.is_empty() && world.closed.is_empty());
    world.deliver(query, from, &good, false);
    assert_eq!(world.addresses(ticket).len(), 1);
}

#[test]
fn guessing_drives_the_question_to_tcp() {
    let mut world = World::new(1);
    let ticket = world.ask("mx.example", RecordKind::A);
    let (query, from, octets, _) = world.sent[0].clone();
    for _ in 0..STRAYS_MAX {
        world.deliver(query, from, &reply(&octets, |m| m.metadata.id ^= 1), false);
    }
    assert_eq!(world.events, 1);
    assert!(world.sent[1].3, "asks by TCP");
    world.reply(with(vec![a("mx.example", 60, 1)]));
    assert_eq!(world.addresses(ticket).len(), 1);
}

#[test]
fn a_truncated_answer_is_fetched_by_tcp() {
    let mut world = World::new(1);
    let ticket = world.ask("big.example", RecordKind::Txt);
    world.reply(|m| m.metadata.truncation = true);
    let text = Record::from_rdata(name("big.example"), 60, RData::TXT(TXT::new(vec!["x".repeat(255); 200])));
    assert!(world.sent[1].3);
    world.reply(with(vec![text]));
    assert_eq!(world.addresses(ticket), [DnsRecord::Txt(vec![b'x'; 51_000])]);
    assert_eq!(world.closed.len(), 2);
}

#[test]
fn a_server_without_edns_is_asked_without_it() {
    let mut world = World::new(1);
    let ticket = world.ask("mx.example", RecordKind::A);
    world.reply(|m| {
        m.metadata.response_code = ResponseCode::FormErr;
        m.queries.clear();
        m.edns = None;
    });
    assert!(Message::from_vec(&world.sent[1].2).expect("our query").edns.is_none());
    world.reply(with(vec![a("mx.example", 60, 1)]));
    assert_eq!(world.addresses(ticket).len(), 1);
}

#[test]
fn servers_that_fail_are_passed_over_and_then_it_is_try_again() {
    let mut world = World::new(3);
    let ticket = world.ask("mx.example", RecordKind::A);
    world.reply(|m| m.metadata.response_code = ResponseCode::ServFail);
    world.reply(|m| m.metadata.response_code = ResponseCode::Refused);
    assert_eq!(world.sent.iter().map(|sent| sent.1).collect::<Vec<_>>(), [server(1), server(2), server(3)]);
    world.time_out();
    assert_eq!(world.sent[3].1, server(3), "only the silent one is asked again");
    world.time_out();
    assert_eq!(world.answers[&ticket], Err(DnsFailure::TryAgain));
    assert_eq!(world.now.mono, Instant(15_000_000_000), "5 seconds, then 10");
    world.ask("mx.example", RecordKind::A);
    assert_eq!(world.sent.len(), 4, "failures are remembered for a moment");
}

#[test]
fn an_alias_chain_is_followed_within_and_across_answers() {
    let mut world = World::new(1);
    let ticket = world.ask("a.example", RecordKind::A);
    world.reply(with(vec![cname("b.example", "c.example"), cname("a.example", "B.example")]));
    world.reply(with(vec![a("c.example", 30, 7), a("unasked.example", 5, 8)]));
    let answer = world.answers[&ticket].clone().expect("records");
    assert_eq!(answer.canonical, "c.example");
    assert_eq!(answer.records, [DnsRecord::A([192, 0, 2, 7].into())]);
    assert_eq!(answer.valid_until, Instant(30_000_000_000));
}

#[test]
fn chains_that_loop_or_never_end_are_try_again() {
    let mut world = World::new(1);
    let looped = world.ask("a.example", RecordKind::A);
    world.reply(with(vec![cname("a.example", "b.example"), cname("b.example", "a.example")]));
    assert_eq!(world.answers[&looped], Err(DnsFailure::TryAgain));
    let endless = world.ask("n0.example", RecordKind::A);
    for step in 0..=CNAMES_MAX {
        let (from, to) = (format!("n{step}.example"), format!("n{}.example", step + 1));
        world.reply(with(vec![cname(&from, &to)]));
    }
    assert_eq!(world.answers[&endless], Err(DnsFailure::TryAgain));
    let long = world.ask("m0.example", RecordKind::A);
    let link = |step: u32| cname(&format!("m{step}.example"), &format!("m{}.example", step + 1));
    let mut chain: Vec<Record> = (0..CNAMES_MAX).map(link).collect();
    chain.push(a(&format!("m{CNAMES_MAX}.example"), 60, 1));
    world.reply(with(chain));
    assert_eq!(world.addresses(long).len(), 1, "sixteen are allowed");
}

#[test]
fn absence_is_told_apart_and_kept_by_the_minimum_of_the_soa() {
    let mut world = World::new(1);
    let gone = world.ask("gone.example", RecordKind::Mx);
    world.reply(|m| {
        m.metadata.response_code = ResponseCode::NXDomain;
        m.add_authority(soa("example", 900, 60));
    });
    let none = world.ask("host.example", RecordKind::Mx);
    world.reply(|m| _ = m.add_authority(soa("example", 30, 60)));
    assert_eq!(world.answers[&gone], Err(DnsFailure::NoSuchName));
    assert_eq!(world.answers[&none], Err(DnsFailure::NoSuchRecord));
    world.wait(30);
    world.ask("gone.example", RecordKind::Mx);
    assert_eq!(world.sent.len(), 2, "still kept");
    world.ask("host.example", RecordKind::Mx);
    assert_eq!(world.sent.len(), 3);
    world.reply(|_| {});
    world.ask("host.example", RecordKind::Mx);
    assert_eq!(world.sent.len(), 4, "without an SOA nothing is kept");
}

#[test]
fn a_null_mx_has_an_empty_exchange() {
    let mut world = World::new(1);
    let ticket = world.ask("nomail.example", RecordKind::Mx);
    let null = Record::from_rdata(name("nomail.example"), 60, RData::MX(MX::new(0, Name::root())));
    world.reply(with(vec![null]));
    assert_eq!(world.addresses(ticket), [DnsRecord::Mx { preference: 0, exchange: String::new() }]);
}

#[test]
fn a_thousand_exchangers_are_an_answer() {
    let mut world = World::new(1);
    let ticket = world.ask("many.example", RecordKind::Mx);
    let one = |n: u16| {
        Record::from_rdata(name("many.example"), 60, RData::MX(MX::new(n, name(&format!("m{n}.example")))))
    };
    world.reply(|m| m.metadata.truncation = true);
    world.reply(with((0..1_500).map(one).collect()));
    assert_eq!(world.addresses(ticket).len(), RECORDS_MAX);
}

#[test]
fn the_word_of_a_distant_server_is_not_proof() {
    let mut world = World::new(1);
    world.resolver.params.servers = vec![SocketAddr::from(([192, 0, 2, 53], 53))];
    let authentic = |m: &mut Message| {
        m.metadata.authentic_data = true;
        m.add_answer(a("mx.example", 60, 1));
    };
    let ticket = world.ask("mx.example", RecordKind::A);
    world.reply(authentic);
    assert!(!world.answers[&ticket].as_ref().expect("records").authentic);
    let near = Params { servers: vec![server(1)], ..Params::default() };
    world.resolver.handle_input(world.now, Input::Reload(near));
    let ticket = world.ask("mx.example", RecordKind::A);
    world.reply(authentic);
    assert!(world.answers[&ticket].as_ref().expect("records").authentic);
}

#[test]
fn bad_names_are_not_asked_for() {
    let mut world = World::new(1);
    let ticket = world.ask("a..b", RecordKind::A);
    assert_eq!(world.answers[&ticket], Err(DnsFailure::BadName));
    assert!(world.sent.is_empty());
}

#[test]
fn questions_beyond_the_sockets_wait_for_their_turn() {
    let mut world = World::new(1);
    let last = IN_FLIGHT_MAX as u64 + 1;
    for number in 0..last {
        world.ask(&format!("n{number}.example"), RecordKind::A);
    }
    assert_eq!(world.sent.len(), IN_FLIGHT_MAX);
    world.reply(|m| m.metadata.response_code = ResponseCode::NXDomain);
    assert_eq!(world.sent.len(), IN_FLIGHT_MAX + 1);
}

/// Every question is answered once, within the patience of the parameters, whatever servers do; a copy of the machine does the same.
fn storm(seed: u64) {
    let mut chance = Prng::new(seed);
    let mut world = World::new(1 + chance.below(3) as u8);
    for _ in 0..60 {
        let kind = if chance.chance(1, 2) { RecordKind::A } else { RecordKind::Mx };
        world.ask(&format!("n{}.example", chance.below(8)), kind);
        let (query, from, octets, tcp) = match world.sent.len() {
            0 => continue,
            count => world.sent[chance.below(count as u64) as usize].clone(),
        };
        let mut twin = world.resolver.clone();
        assert_eq!(twin, world.resolver);
        let number = chance.below(8);
        let alias = RData::CNAME(CNAME(name("n1.example")));
        let mut octets = reply(&octets, |m| match number {
            0 => m.metadata.response_code = ResponseCode::ServFail,
            1 => m.metadata.truncation = true,
            2 => m.metadata.response_code = ResponseCode::NXDomain,
            // An alias whose octets were changed may have led here: its name is no text that could be read back.
            3 => _ = m.add_answer(Record::from_rdata(m.queries[0].name.clone(), 600, alias.clone())),
            4 => m.metadata.id ^= 7,
            _ => _ = m.add_answer(a("n1.example", 5, 1)),
        });
        if chance.chance(1, 4) && !octets.is_empty() {
            let at = chance.below(octets.len() as u64) as usize;
            octets[at] = chance.next_u64() as u8;
        }
        let input = || {
            if tcp {
                Input::TcpAnswer { query, octets: &octets }
            } else {
                Input::Datagram { query, from, octets: &octets }
            }
        };
        twin.handle_input(world.now, input());
        while twin.poll_output().is_some() {}
        world.resolver.handle_input(world.now, input());
        world.drain();
        assert_eq!(twin, world.resolver);
        world.wait(chance.below(3));
    }
    while world.resolver.next_timeout().is_some() {
        world.time_out();
    }
    assert_eq!(world.answers.len() as u64, world.tickets);
    assert!(world.resolver.queries.is_empty() && world.resolver.asking.is_empty());
    assert_eq!(world.resolver.askers, 0);
    assert_eq!(world.closed.len(), world.sent.len(), "every socket is closed");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]
    #[test]
    fn every_question_is_answered_whatever_servers_do(seed: u64) {
        storm(seed);
    }
}

#[test]
fn a_query_for_which_this_host_lacks_descriptors_is_answered_so_at_once_and_forgotten() {
    let mut world = World::new(2);
    let tickets = [world.ask("mx.example", RecordKind::A), world.ask("mx.example", RecordKind::A)];
    let query = world.sent[0].0;
    world.resolver.handle_input(world.now, Input::Short { query });
    world.drain();
    assert!(tickets.iter().all(|ticket| world.answers[ticket] == Err(DnsFailure::Short)));
    assert_eq!(
        (world.sent.len(), &world.closed),
        (1, &vec![query]),
        "the next server would not be reached either"
    );
    let later = world.ask("mx.example", RecordKind::A);
    world.reply(with(vec![a("mx.example", 60, 1)]));
    assert_eq!(world.addresses(later).len(), 1, "a moment later it is asked again");
}
