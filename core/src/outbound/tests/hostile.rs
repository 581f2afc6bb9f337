//! Laws under any server, any resolver, any order of events.

use super::{Seen, World, attempt, loss, outcome_text, tls_facts};
use crate::ask::DnsFailure;
use crate::delivery::{Params, Protocol, TlsLevel};
use crate::mail::Outcome;
use crate::outbound::Input;
use crate::time::Duration;
use proptest::prelude::*;

/// What may happen next.
#[derive(Debug, Clone)]
enum Happening {
    /// The server does what it should, to the oldest command that it has not answered.
    Behaves,
    Says(Vec<u8>),
    Closes,
    Waits(u64),
    Tls(bool),
    Refuses,
    ContentLost,
    Drained,
}

fn happening() -> impl Strategy<Value = Happening> {
    let line = prop::sample::select(vec![
        "220 mx ESMTP\r\n",
        "250 ok\r\n",
        "250-mx\r\n250-PIPELINING\r\n250-DSN\r\n250-SIZE 100\r\n250 STARTTLS\r\n",
        "250 PIPELINING\r\n",
        "354 go\r\n",
        "421 4.3.2 bye\r\n",
        "450 4.2.0 later\r\n",
        "550 5.1.1 no\r\n",
        "220 2.0.0 go\r\n",
        "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n",
        "250-half\r\n",
        "garbage\r\n",
        "25",
        "\r\n",
        "199 x\r\n",
        "299 x\n",
        "250 2.0.0 taken\r\n250 2.0.0 taken\r\n",
        "500 what\r\n",
    ]);
    prop_oneof![
        90 => Just(Happening::Behaves),
        6 => line.prop_map(|line| Happening::Says(line.as_bytes().to_vec())),
        2 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Happening::Says),
        1 => Just(Happening::Closes),
        1 => prop::sample::select(vec![1u64, 30, 300, 601]).prop_map(Happening::Waits),
        4 => prop::bool::weighted(0.7).prop_map(Happening::Tls),
        1 => Just(Happening::Refuses),
        1 => Just(Happening::ContentLost),
        1 => Just(Happening::Drained),
    ]
}

/// A server that does what it should when it is asked to.
#[derive(Default)]
struct Server {
    /// Octets of all that the client said, that have been answered.
    heard: usize,
    greeted: bool,
    in_content: bool,
    accepted: usize,
}

impl Server {
    fn next_line<'a>(&mut self, said: &'a [u8]) -> Option<&'a [u8]> {
        let rest = &said[self.heard..];
        let end = memchr::memchr(b'\n', rest)? + 1;
        self.heard += end;
        Some(&rest[..end])
    }

    fn behave(&mut self, said: &[u8], lmtp: bool, offer: &str) -> Option<String> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some("220 mx ESMTP\r\n".into());
        }
        while let Some(line) = self.next_line(said) {
            if self.in_content && line != b".\r\n" {
                continue;
            }
            let reply = match line.get(..4).unwrap_or(line) {
                b".\r\n" => {
                    self.in_content = false;
                    let replies = if lmtp { self.accepted } else { 1 };
                    return Some("250 2.0.0 taken\r\n".repeat(replies));
                }
                b"EHLO" | b"LHLO" => return Some(format!("250-mx\r\n{offer}250 HELP\r\n")),
                b"DATA" => {
                    self.in_content = true;
                    "354 go\r\n"
                }
                b"STAR" => "220 go\r\n",
                b"QUIT" => "221 bye\r\n",
                b"RCPT" => {
                    self.accepted += 1;
                    "250 ok\r\n"
                }
                b"MAIL" => {
                    self.accepted = 0;
                    "250 ok\r\n"
                }
                _ => "250 ok\r\n",
            };
            return Some(reply.to_owned());
        }
        None
    }
}

/// Lets it happen, and then nothing but time, until the attempt has ended.
#[expect(clippy::too_many_lines, reason = "one arm for each thing that may happen")]
fn run(params: Params, happenings: &[Happening]) -> (World, Vec<(u32, Outcome)>) {
    let recipients = ["b@example.net", "c@example.net", "d@example.net"];
    let lmtp = params.protocol == Protocol::Lmtp;
    let encrypt = params.tls == TlsLevel::Encrypt;
    let (mut since, mut secure) = (0, false);
    let mut world = World::new(params);
    for (preference, name, address) in
        [(10, "mx1", "192.0.2.1"), (20, "mx2", "192.0.2.2"), (30, "mx3", "192.0.2.3")]
    {
        world.mx("example.net", preference, name);
        world.address(name, address);
    }
    let mut request = attempt("example.net", &recipients);
    request.keep_connection = true;
    world.address("example.net", "192.0.2.1");
    let offers =
        ["", "250-PIPELINING\r\n", "250-STARTTLS\r\n", "250-PIPELINING\r\n250-DSN\r\n250-STARTTLS\r\n"];
    let offer = offers[happenings.len() % offers.len()];
    let mut server = Server::default();
    world.tell(Input::Attempt(Box::new(request)));
    let (mut outcomes, mut progress) = (None, Vec::new());
    let mut left = happenings.iter();
    for _ in 0..10_000 {
        // No word of the envelope goes out in the clear where TLS is required.
        let open = encrypt && !secure;
        assert!(!open || memchr::memmem::find(&world.said[since..], b"MAIL FROM").is_none());
        let seen = if world.seen.is_empty() { None } else { Some(world.seen.remove(0)) };
        match (seen, left.next()) {
            (Some(Seen::Connect(_)), Some(Happening::Refuses)) => world.tell(Input::Lost(loss("refused"))),
            (Some(Seen::Connect(_)), Some(_)) => {
                (since, secure) = (world.said.len(), false);
                server = Server { heard: since, ..Server::default() };
                world.tell(Input::Connected);
            }
            (Some(Seen::StartTls), Some(Happening::Behaves)) => {
                secure = true;
                world.tell(Input::Secured(tls_facts()));
            }
            (Some(Seen::Progress(settled)), _) => {
                assert!(settled.outcomes.len() < recipients.len());
                progress.extend(settled.outcomes);
                world.tell(Input::Written);
            }
            (Some(Seen::Settle(settled)), _) => {
                assert!(outcomes.is_none(), "settled twice");
                assert!(
                    progress.iter().all(|known| settled.outcomes.contains(known)),
                    "an outcome has changed"
                );
                outcomes = Some(settled.outcomes);
                world.tell(Input::Written);
            }
            (Some(Seen::Park), _) => world.tell(Input::Retire),
            (Some(Seen::Close), _) if outcomes.is_some() => {
                assert!(world.outbound.is_idle());
                return (world, outcomes.unwrap());
            }
            (Some(Seen::Close), _) => panic!("closed before it was settled"),
            (_, Some(Happening::Behaves)) => {
                if let Some(reply) = server.behave(&world.said, lmtp, offer) {
                    world.server(&reply);
                }
            }
            (_, Some(Happening::Says(octets))) => world.tell(Input::Bytes(octets)),
            (_, Some(Happening::Closes)) => world.tell(Input::Lost(loss("reset"))),
            (_, Some(Happening::Waits(seconds))) => world.pass(Duration::from_secs(*seconds)),
            (_, Some(Happening::Tls(true))) => {
                secure = true;
                world.tell(Input::Secured(tls_facts()));
            }
            (_, Some(Happening::Tls(false))) => world.tell(Input::TlsFailed("no".into())),
            (_, Some(Happening::ContentLost)) => world.tell(Input::ContentLost("EIO".into())),
            (_, Some(Happening::Drained)) => world.tell(Input::Drained),
            (_, Some(Happening::Refuses)) => {}
            (_, None) => world.pass(Duration::from_secs(1_000)),
        }
    }
    panic!("it does not end");
}

fn params() -> impl Strategy<Value = Params> {
    let level = prop::sample::select(vec![TlsLevel::None, TlsLevel::May, TlsLevel::Encrypt]);
    (level, any::<bool>(), any::<bool>()).prop_map(|(tls, lmtp, skip_quit_response)| Params {
        tls,
        skip_quit_response,
        protocol: if lmtp { Protocol::Lmtp } else { Protocol::Smtp },
        ..Params::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_a_server_does_each_recipient_has_one_outcome_of_its_class(
        params in params(),
        happenings in prop::collection::vec(happening(), 0..60),
    ) {
        let (_, outcomes) = run(params, &happenings);
        let indexes: Vec<u32> = outcomes.iter().map(|(index, _)| *index).collect();
        prop_assert_eq!(indexes, [0, 1, 2]);
        for (_, outcome) in &outcomes {
            let class = outcome.diagnosis().status.class;
            match outcome {
                Outcome::Delivered { .. } => prop_assert_eq!(class, 2),
                Outcome::Deferred(_) => prop_assert_eq!(class, 4),
                _ => prop_assert_eq!(class, 5),
            }
        }
    }

    #[test]
    fn every_line_we_say_is_a_line(happenings in prop::collection::vec(happening(), 0..60)) {
        let (world, _) = run(Params::default(), &happenings);
        for line in world.said.split_inclusive(|octet| *octet == b'\n') {
            prop_assert!(line.ends_with(b"\r\n") || !line.contains(&b'\n'));
        }
    }
}

proptest! {
    #[test]
    fn without_pipelining_one_command_waits_for_its_reply_before_the_next(
        replies in prop::collection::vec(prop::sample::select(vec![
            "220 mx\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "450 no\r\n", "550 no\r\n",
        ]), 0..20),
    ) {
        let mut world = World::simple(Params::default());
        world.tell(Input::Attempt(Box::new(attempt("example.net", &["b@example.net", "c@example.net"]))));
        world.tell(Input::Connected);
        for reply in replies {
            if world.seen.iter().any(|seen| matches!(seen, Seen::Settle(_))) {
                break;
            }
            world.server(reply);
            let said = world.take_said();
            prop_assert!(said.ends_with("\r\n.\r\n") || said.matches('\n').count() <= 1, "{}", said);
        }
    }
}

#[test]
fn the_hostile_worlds_reach_every_kind_of_end() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let worlds = (params(), prop::collection::vec(happening(), 0..60));
    let mut ends = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..3_000 {
        let (params, happenings) = worlds.new_tree(&mut runner).unwrap().current();
        for (_, outcome) in run(params, &happenings).1 {
            let text = outcome_text(&outcome);
            let word = text.split_once('(').map_or("", |(start, _)| start).trim();
            *ends.entry(word.to_owned()).or_default() += 1;
        }
    }
    for end in [
        "sent 2.0.0",
        "deferred 4.4.1",
        "deferred 4.4.2",
        "deferred 4.5.0",
        "deferred 4.7.5",
        "bounced 5.1.1",
    ] {
        assert!(ends.contains_key(end), "never {end}: {ends:#?}");
    }
}

#[test]
fn a_resolver_that_fails_never_makes_mail_fail() {
    for (failure, class) in [
        (DnsFailure::TryAgain, 4),
        (DnsFailure::NoSuchName, 5),
        (DnsFailure::NoSuchRecord, 5),
        (DnsFailure::BadName, 5),
        (DnsFailure::Short, 4),
    ] {
        let mut world = World::new(Params::default());
        world.fails("example.net", failure);
        world.tell(Input::Attempt(Box::new(attempt("example.net", &["b@example.net"]))));
        let settled = world.settled();
        assert_eq!(settled.outcomes[0].1.diagnosis().status.class, class, "{failure:?}");
        assert_eq!(world.seen, [Seen::Close]);
    }
}

#[test]
fn a_name_server_that_fails_for_one_exchanger_leaves_hope() {
    let mut world = World::new(Params::default());
    world.mx("example.net", 10, "gone.example.net");
    world.mx("example.net", 20, "slow.example.net");
    world.mx("example.net", 30, "gone2.example.net");
    world.fails("slow.example.net", DnsFailure::TryAgain);
    world.tell(Input::Attempt(Box::new(attempt("example.net", &["b@example.net"]))));
    assert_eq!(
        outcome_text(&world.settled().outcomes[0].1),
        "deferred 4.4.3 (Host or domain name not found. Name service error for name=slow.example.net type=AAAA: Host not \
         found, try again)"
    );
}
