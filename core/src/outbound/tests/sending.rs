//! The content on its way: in pieces, interrupted, and the groups of a pipelining client.

use super::{Seen, World, attempt, outcome_text};
use crate::ask::Answer;
use crate::delivery::{Params, TlsLevel};
use crate::limits::{CHUNK_MAX, PIPELINED_MAX};
use crate::machine::Machine;
use crate::mail::{NoticeClass, NoticeClasses};
use crate::outbound::{Effect, Input, Loss};
use crate::time::Duration;

/// A world that has been told to send its content.
fn at_data(content: Vec<u8>) -> World {
    let mut world = World::simple(Params::default());
    world.content = content;
    world.tell(Input::Attempt(Box::new(attempt("example.net", &["b@example.net"]))));
    world.seen.clear();
    world.tell(Input::Connected);
    for reply in ["220 mx\r\n", "250 mx\r\n", "250 ok\r\n", "250 ok\r\n"] {
        world.server(reply);
    }
    world.said.clear();
    world
}

#[test]
fn a_small_message_leaves_in_one_piece_with_its_end() {
    let mut world = at_data(b"x\r\n".to_vec());
    world.outbound.handle_input(world.now, Input::Bytes(b"354 go\r\n"));
    assert!(matches!(world.outbound.poll_output(), Some(Effect::Read { restart: true, .. })));
    world.outbound.handle_input(world.now, Input::Content(b"x\r\n"));
    assert!(matches!(world.outbound.poll_output(), Some(Effect::Read { restart: false, .. })));
    world.outbound.handle_input(world.now, Input::Content(b""));
    assert_eq!(world.outbound.poll_output(), Some(Effect::Send(b"x\r\n.\r\n".to_vec())));
}

#[test]
fn a_refusal_is_noted_for_the_postmaster_when_it_is_about_our_commands_or_means_nothing() {
    let noted = |code: u16| {
        let notify = NoticeClasses::default().with(NoticeClass::Protocol);
        let mut world = World::simple(Params { notify, ..Params::default() });
        world.tell(Input::Attempt(Box::new(attempt("example.net", &["b@example.net"]))));
        world.tell(Input::Connected);
        for reply in ["220 mx\r\n", "250 mx\r\n", "250 ok\r\n", &format!("{code} 5.5.0 no\r\n")] {
            world.server(reply);
        }
        _ = world.settled();
        world.server("221 bye\r\n");
        world.tell(Input::Lost(Loss::Closed));
        world.notices.len()
    };
    assert_eq!([500, 501, 509, 555].map(noted), [1; 4], "about our commands");
    assert_eq!([399, 354].map(noted), [1; 2], "of no class that can be meant");
    assert_eq!([400, 450, 499, 510, 550, 554, 556, 599].map(noted), [0; 8], "its own affair");
}

#[test]
fn a_large_message_waits_for_the_network_and_arrives_whole() {
    let content: Vec<u8> = b".line of a large message\r\n".repeat(20_000);
    let mut world = at_data(content.clone());
    world.outbound.handle_input(world.now, Input::Bytes(b"354 go\r\n"));
    let (mut at, mut pieces, mut out) = (0, 0, Vec::new());
    while let Some(effect) = world.outbound.poll_output() {
        match effect {
            Effect::Read { .. } => {
                let end = (at + CHUNK_MAX).min(content.len());
                world.outbound.handle_input(world.now, Input::Content(&content[at..end]));
                at = end;
            }
            Effect::Send(octets) => {
                assert!(octets.len() <= 2 * CHUNK_MAX);
                out.extend(octets);
                pieces += 1;
                assert_eq!(world.outbound.poll_output(), None, "nothing is read while something is written");
                world.outbound.handle_input(world.now, Input::Drained);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(pieces > 5);
    assert_eq!(out.len(), content.len() + 20_000 + 3);
    world.server("250 2.0.0 ok\r\n");
    assert_eq!(outcome_text(&world.settled().outcomes[0].1), "sent 2.0.0 (250 2.0.0 ok)");
}

#[test]
fn a_refusal_in_the_middle_of_the_content_counts_and_no_dot_follows() {
    for (reply, outcome) in [
        (
            "552 5.3.4 too big\r\n",
            "bounced 5.3.4 (host mx.example.net[192.0.2.1] said: 552 5.3.4 too big (in reply to end of DATA command))",
        ),
        (
            "421 4.3.2 bye\r\n",
            "deferred 4.3.2 (host mx.example.net[192.0.2.1] said: 421 4.3.2 bye (in reply to end of DATA command))",
        ),
        (
            "250 2.0.0 already\r\n",
            "deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending message body)",
        ),
    ] {
        let mut world = at_data(Vec::new());
        world.outbound.handle_input(world.now, Input::Bytes(b"354 go\r\n"));
        while world.outbound.poll_output().is_some() {}
        world.server(reply);
        assert_eq!(outcome_text(&world.settled().outcomes[0].1), outcome);
        assert_eq!((world.take_said().as_str(), &world.seen[..]), ("", &[Seen::Close][..]));
    }
}

#[test]
fn a_content_that_can_not_be_read_is_never_ended_with_a_dot() {
    let mut world = at_data(Vec::new());
    world.outbound.handle_input(world.now, Input::Bytes(b"354 go\r\n"));
    while world.outbound.poll_output().is_some() {}
    world.tell(Input::ContentLost("Input/output error".into()));
    assert_eq!(
        outcome_text(&world.settled().outcomes[0].1),
        "deferred 4.3.0 (message file read error: Input/output error)"
    );
    assert_eq!((world.take_said().as_str(), &world.seen[..]), ("", &[Seen::Close][..]));
}

#[test]
fn octets_that_come_late_do_not_end_up_in_the_next_connection_s_message() {
    let mut world = World::simple(Params::default());
    world.mx("example.net", 20, "mx2.example.net");
    world.address("mx2.example.net", "192.0.2.2");
    world.tell(Input::Attempt(Box::new(attempt("example.net", &["b@example.net"]))));
    for _ in 0..2 {
        world.tell(Input::Connected);
        for reply in ["220 mx\r\n", "250 mx\r\n", "250 ok\r\n", "250 ok\r\n"] {
            world.server(reply);
        }
        world.take_said();
        // The disk is slow: the content is asked for, and does not come before the server gives up.
        world.outbound.handle_input(world.now, Input::Bytes(b"354 go\r\n"));
        assert!(matches!(world.outbound.poll_output(), Some(Effect::Read { restart: true, .. })));
        if world.seen.len() == 1 {
            world.server("451 4.3.0 too slow\r\n");
        }
    }
    world.outbound.handle_input(world.now, Input::Content(b"late\r\n"));
    assert_eq!(world.outbound.poll_output(), None);
    world.outbound.handle_input(world.now, Input::Content(b"right\r\n"));
    assert!(matches!(world.outbound.poll_output(), Some(Effect::Read { restart: false, .. })));
    world.outbound.handle_input(world.now, Input::Content(b""));
    assert_eq!(world.outbound.poll_output(), Some(Effect::Send(b"right\r\n.\r\n".to_vec())));
}

#[test]
fn a_network_that_takes_nothing_is_given_up() {
    let mut world = at_data(Vec::new());
    world.outbound.handle_input(world.now, Input::Bytes(b"354 go\r\n"));
    while world.outbound.poll_output().is_some() {}
    world.outbound.handle_input(world.now, Input::Content(&[b'x'; CHUNK_MAX]));
    while world.outbound.poll_output().is_some() {}
    world.pass(Duration::from_secs(180));
    assert_eq!(
        outcome_text(&world.settled().outcomes[0].1),
        "deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while sending message body)"
    );
}

#[test]
fn a_network_that_times_out_is_named_so() {
    let mut world = at_data(Vec::new());
    world.tell(Input::Lost(super::loss("timeout")));
    let text = outcome_text(&world.settled().outcomes[0].1);
    assert_eq!(
        text,
        "deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while sending DATA command)"
    );
}

#[test]
fn a_connection_that_ends_in_the_handshake_is_a_handshake_that_failed() {
    for (word, why) in [("reset", "lost connection"), ("timeout", "Connection timed out")] {
        let mut world = World::simple(Params { tls: TlsLevel::Encrypt, ..Params::default() });
        world.tell(Input::Attempt(Box::new(attempt("example.net", &["b@example.net"]))));
        world.tell(Input::Connected);
        for reply in ["220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"] {
            world.server(reply);
        }
        assert_eq!(world.seen.last(), Some(&Seen::StartTls));
        world.tell(Input::Lost(super::loss(word)));
        let text = outcome_text(&world.settled().outcomes[0].1);
        assert_eq!(text, "deferred 4.7.5 (Cannot start TLS: handshake failure)");
        let line = format!("SSL_connect error to mx.example.net[192.0.2.1]:25: {why}");
        assert!(world.log.contains(&line), "{:?}", world.log);
    }
}

#[test]
fn a_thousand_recipients_go_out_in_groups_of_bounded_size() {
    let names: Vec<String> = (0..1_000).map(|n| format!("recipient{n}@example.net")).collect();
    let recipients: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::simple(Params::default());
    world.tell(Input::Attempt(Box::new(attempt("example.net", &recipients))));
    world.seen.clear();
    world.tell(Input::Connected);
    world.server("220 mx\r\n");
    world.take_said();
    world.server("250-mx\r\n250 PIPELINING\r\n");
    let (mut lines, mut fullest, mut waiting) = (0, 0, std::collections::VecDeque::new());
    loop {
        let said = world.take_said();
        waiting.extend(said.split_inclusive('\n').map(str::to_owned));
        let size: usize = waiting.iter().map(String::len).sum();
        fullest = size.max(fullest);
        assert!(size <= PIPELINED_MAX);
        let Some(line) = waiting.pop_front() else { break };
        lines += 1;
        let reply = match &line[..4] {
            "DATA" => "354 go\r\n",
            _ => "250 ok\r\n",
        };
        world.server(reply);
        if line.starts_with("DATA") {
            break;
        }
    }
    assert_eq!(lines, 1_002);
    assert!(fullest > PIPELINED_MAX - 40, "a group is as large as it may be: {fullest}");
    world.server("250 2.0.0 ok\r\n");
    let settled = world.settled();
    assert_eq!(settled.outcomes.len(), 1_000);
    assert!(settled.outcomes.iter().all(|(_, outcome)| outcome.is_final()));
}

#[test]
fn a_question_that_is_never_answered_rightly_ends() {
    let mut world = World::new(Params::default());
    world
        .outbound
        .handle_input(world.now, Input::Attempt(Box::new(attempt("example.net", &["b@example.net"]))));
    for _ in 0..20_000 {
        match world.outbound.poll_output() {
            // An answer of another kind than the question's is as good as none.
            Some(Effect::Ask(_)) => {
                world.outbound.handle_input(world.now, Input::Answer(Answer::FreeSpace(1)))
            }
            Some(Effect::Settle(settled)) => {
                assert_eq!(settled.outcomes[0].1.diagnosis().status.class, 4);
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("it asks for ever");
}
