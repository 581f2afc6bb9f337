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
        12 => line.prop_map(|line| Happening::Says(line.as_bytes().to_vec())),
        2 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Happening::Says),
        1 => Just(Happening::Closes),
        1 => prop::sample::select(vec![1u64, 30, 300, 601]).prop_map(Happening::Waits),
        2 => any::<bool>().prop_map(Happening::Tls),
        1 => Just(Happening::Refuses),
        1 => Just(Happening::ContentLost),
        1 => Just(Happening::Drained),
    ]
}

/// Lets it happen, and then nothing but time, until the attempt has ended.
fn run(params: Params, happenings: &[Happening]) -> (World, Vec<(u32, Outcome)>) {
    let recipients = ["b@example.net", "c@example.net", "d@example.net"];
    let mut world = World::new(params);
    for (preference, name, address) in
        [(10, "mx1", "192.0.2.1"), (20, "mx2", "192.0.2.2"), (30, "mx3", "192.0.2.3")]
    {
        world.mx("example.net", preference, name);
        world.address(name, address);
    }
    let mut request = attempt("example.net", &recipients);
    request.keep_connection = true;
    world.tell(Input::Attempt(Box::new(request)));
    let mut outcomes = None;
    let mut left = happenings.iter();
    for _ in 0..10_000 {
        let seen = if world.seen.is_empty() { None } else { Some(world.seen.remove(0)) };
        match (seen, left.next()) {
            (Some(Seen::Connect(_)), Some(Happening::Refuses)) => world.tell(Input::Lost(loss("refused"))),
            (Some(Seen::Connect(_)), Some(_)) => world.tell(Input::Connected),
            (Some(Seen::Progress(settled)), _) => {
                assert!(settled.outcomes.len() < recipients.len());
                world.tell(Input::Written);
            }
            (Some(Seen::Settle(settled)), _) => {
                assert!(outcomes.is_none(), "settled twice");
                outcomes = Some(settled.outcomes);
                world.tell(Input::Written);
            }
            (Some(Seen::Park), _) => world.tell(Input::Retire),
            (Some(Seen::Close), _) if outcomes.is_some() => {
                assert!(world.outbound.is_idle());
                return (world, outcomes.unwrap());
            }
            (Some(Seen::Close), _) => panic!("closed before it was settled"),
            (_, Some(Happening::Says(octets))) => world.tell(Input::Bytes(octets)),
            (_, Some(Happening::Closes)) => world.tell(Input::Lost(loss("reset"))),
            (_, Some(Happening::Waits(seconds))) => world.pass(Duration::from_secs(*seconds)),
            (_, Some(Happening::Tls(true))) => world.tell(Input::Secured(tls_facts())),
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
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let encrypt = params.tls == TlsLevel::Encrypt;
        let (world, outcomes) = run(params, &happenings);
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
        let secured = happenings.iter().any(|h| matches!(h, Happening::Tls(true)));
        if encrypt && !secured {
            // No word of the envelope goes out in the clear where TLS is required.
            prop_assert!(memchr::memmem::find(&world.said, b"MAIL FROM").is_none());
        }
    }

    #[test]
    fn every_line_we_say_is_a_line(happenings in prop::collection::vec(happening(), 0..40)) {
        let (world, _) = run(Params::default(), &happenings);
        for line in world.said.split_inclusive(|octet| *octet == b'\n') {
            prop_assert!(line.ends_with(b"\r\n") || !line.contains(&b'\n'));
        }
    }
}

#[test]
fn a_resolver_that_fails_never_makes_mail_fail() {
    for (failure, class) in [
        (DnsFailure::TryAgain, 4),
        (DnsFailure::NoSuchName, 5),
        (DnsFailure::NoSuchRecord, 5),
        (DnsFailure::BadName, 5),
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
