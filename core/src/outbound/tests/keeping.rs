//! Kept connections: when they are kept, what they carry, what becomes of stale ones.

use super::{Seen, World, attempt, outcome_text};
use crate::delivery::Params;
use crate::mail::{Attempt, AttemptId};
use crate::outbound::Input;
use crate::time::Duration;

const GREETING: [&str; 2] = ["220 mx\r\n", "250-mx\r\n250 PIPELINING\r\n"];
const GROUP: &str = "250 ok\r\n250 ok\r\n354 go\r\n";

fn next(id: u64) -> Box<Attempt> {
    let mut attempt = attempt("example.net", &["b@example.net"]);
    attempt.id = AttemptId(id);
    attempt.keep_connection = true;
    Box::new(attempt)
}

/// A world whose first message is delivered and whose connection is parked.
fn parked(params: Params) -> World {
    let mut world = World::simple(params);
    world.tell(Input::Attempt(next(1)));
    assert!(matches!(world.seen.remove(0), Seen::Connect(_)));
    world.tell(Input::Connected);
    GREETING.iter().for_each(|reply| world.server(reply));
    world.server(GROUP);
    world.server("250 2.0.0 taken\r\n");
    assert_eq!(outcome_text(&world.settled().outcomes[0].1), "sent 2.0.0 (250 2.0.0 taken)");
    assert_eq!(world.seen, [Seen::Park]);
    world.seen.clear();
    world.said.clear();
    world
}

#[test]
fn a_kept_connection_takes_the_next_message_without_a_greeting() {
    let mut world = parked(Params::default());
    world.pass(Duration::from_secs(1));
    world.tell(Input::Attempt(next(2)));
    assert_eq!(
        world.take_said(),
        "RSET\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
    );
    world.server("250 ok\r\n");
    world.server(GROUP);
    world.server("250 2.0.0 taken\r\n");
    assert_eq!(world.settled().id, AttemptId(2));
    assert_eq!(world.seen, [Seen::Park]);
}

#[test]
fn an_idle_connection_is_left_after_its_time_limit() {
    let mut world = parked(Params::default());
    world.pass(Duration::from_millis(1_999));
    assert_eq!(world.seen, []);
    world.pass(Duration::from_millis(1));
    assert_eq!((world.take_said().as_str(), &world.seen[..]), ("QUIT\r\n", &[Seen::Close][..]));
    assert!(world.outbound.is_idle());
}

#[test]
fn a_connection_that_fails_behind_an_answer_to_mail_has_cost_an_attempt() {
    let mut world = parked(Params::default());
    world.tell(Input::Attempt(next(2)));
    world.server("250 ok\r\n450 4.3.0 later\r\n");
    world.tell(Input::Lost(super::loss("reset")));
    let text = "deferred 4.3.0 (host mx.example.net[192.0.2.1] said: 450 4.3.0 later (in reply to MAIL FROM command))";
    assert_eq!(outcome_text(&world.settled().outcomes[0].1), text);
    assert_eq!(world.seen, [Seen::Close], "it is not tried again on another connection");
}

#[test]
fn a_kept_connection_on_which_a_reply_has_begun_is_not_used() {
    let mut world = parked(Params::default());
    world.server("42");
    world.tell(Input::Attempt(next(2)));
    assert_eq!(world.seen.last(), Some(&Seen::Connect("192.0.2.1:25".into())));
    assert!(!world.take_said().contains("MAIL"));
}

#[test]
fn a_stale_connection_costs_no_attempt() {
    for stale in ["close", "421 4.4.2 idle too long\r\n", "500 what\r\n", "garbage\r\n"] {
        let mut world = parked(Params::default());
        world.tell(Input::Attempt(next(2)));
        match stale {
            "close" => world.tell(Input::Lost(super::loss("reset"))),
            text => world.server(text),
        }
        assert_eq!(world.seen, [Seen::Connect("192.0.2.1:25".into())], "{stale}");
        world.seen.clear();
        world.said.clear();
        world.tell(Input::Connected);
        GREETING.iter().for_each(|reply| world.server(reply));
        assert!(world.take_said().ends_with("DATA\r\n"));
        world.server(GROUP);
        world.server("250 2.0.0 taken\r\n");
        assert_eq!(outcome_text(&world.settled().outcomes[0].1), "sent 2.0.0 (250 2.0.0 taken)");
    }
}

#[test]
fn a_kept_connection_that_is_lost_after_mail_counts() {
    let mut world = parked(Params::default());
    world.tell(Input::Attempt(next(2)));
    world.server("250 ok\r\n250 ok\r\n");
    world.tell(Input::Lost(super::loss("reset")));
    // Its only host was tried: there is nothing left to try.
    assert_eq!(
        outcome_text(&world.settled().outcomes[0].1),
        "deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while sending RCPT TO)"
    );
}

#[test]
fn a_parked_connection_that_the_server_ends_is_gone() {
    for ending in ["421 4.4.2 idle\r\n", ""] {
        let mut world = parked(Params::default());
        if ending.is_empty() {
            world.tell(Input::Lost(super::loss("reset")));
        } else {
            world.server(ending);
        }
        assert_eq!(world.seen, [Seen::Close]);
        assert!(world.outbound.is_idle());
        world.seen.clear();
        world.tell(Input::Attempt(next(2)));
        assert_eq!(world.seen, [Seen::Connect("192.0.2.1:25".into())]);
    }
}

#[test]
fn a_connection_of_another_destination_is_not_used() {
    let mut world = parked(Params::default());
    world.mx("other.example", 10, "mx.other.example");
    world.address("mx.other.example", "192.0.2.9");
    let mut other = next(2);
    other.nexthop = "other.example".into();
    world.tell(Input::Attempt(other));
    assert_eq!(world.seen, [Seen::Connect("192.0.2.9:25".into())]);
    assert_eq!(world.take_said(), "");
}

#[test]
fn limits_of_reuse_end_a_connection() {
    let mut params = Params::default();
    params.cache.reuse_count_limit = 2;
    let mut world = parked(params);
    world.tell(Input::Attempt(next(2)));
    world.server("250 ok\r\n");
    world.server(GROUP);
    world.server("250 2.0.0 taken\r\n");
    _ = world.settled();
    assert_eq!(world.seen, [Seen::Close]);

    let mut params = Params::default();
    params.cache.time_limit = Duration::from_secs(1_000);
    let mut world = parked(params);
    world.pass(Duration::from_secs(299));
    assert_eq!(world.seen, []);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.seen, [Seen::Close]);
}

#[test]
fn a_listed_destination_is_kept_without_being_asked() {
    let mut params = Params::default();
    params.cache.destinations =
        crate::tables::MatchList::parse("example.net", crate::tables::Form::Text, false).unwrap();
    params.cache.on_demand = false;
    let mut world = parked(params);
    world.tell(Input::Retire);
    assert_eq!((world.take_said().as_str(), &world.seen[..]), ("QUIT\r\n", &[Seen::Close][..]));
}

#[test]
fn the_time_of_connecting_and_of_handing_over_are_told() {
    let mut world = World::simple(Params::default());
    world.tell(Input::Attempt(next(1)));
    world.pass(Duration::from_secs(3));
    world.seen.clear();
    world.tell(Input::Connected);
    GREETING.iter().for_each(|reply| world.server(reply));
    world.pass(Duration::from_secs(5));
    world.server(GROUP);
    world.server("250 2.0.0 taken\r\n");
    let settled = world.settled();
    assert_eq!((settled.connect, settled.transfer), (Duration::from_secs(3), Duration::from_secs(5)));
}
