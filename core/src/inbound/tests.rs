//! The joint with its real rooms, and its end at bad moments.

use super::*;
use crate::ask::DnsFailure;
use crate::mail::Piece;
use crate::time::Timestamp;
use std::net::IpAddr;

fn now() -> Now {
    Now { mono: Instant(0), wall: Timestamp::from_seconds(1_795_233_600) }
}

fn inbound() -> Inbound {
    let settings = Settings::of(&[
        ("compatibility_level", "3.6"),
        ("myhostname", "mx.here.example"),
        ("mydestination", "here.example"),
        ("local_recipient_maps", ""),
        ("mynetworks", "192.0.2.0/24"),
    ]);
    let config = Config::new(&settings, false).expect("the settings are right");
    let peer =
        Peer { address: IpAddr::from([192, 0, 2, 1]), port: 40_000, local: IpAddr::from([192, 0, 2, 25]) };
    Inbound::new(now(), Arc::new(config), peer)
}

/// Nothing is known, there is room, and everything is written, until an effect that the caller waits for.
fn drain(inbound: &mut Inbound, until: fn(&Effect) -> bool) -> (Vec<u8>, Option<Effect>) {
    let mut sent = Vec::new();
    while let Some(effect) = inbound.poll_output() {
        if until(&effect) {
            return (sent, Some(effect));
        }
        let input = match effect {
            Effect::Send(octets) => {
                sent.extend(octets);
                continue;
            }
            Effect::Ask(Question::Resolve { .. }) => Answer::Resolve(Err(DnsFailure::NoSuchName)),
            Effect::Ask(Question::Lookup { .. }) => Answer::Lookup(Ok(None)),
            Effect::Ask(Question::ListedHost { .. }) => Answer::ListedHost(Ok(Vec::new())),
            Effect::Ask(Question::ListedName { .. }) => Answer::ListedName(Ok(None)),
            Effect::Ask(Question::FreeSpace) => Answer::FreeSpace(u64::MAX),
            Effect::Identify => {
                inbound.handle_input(now(), Input::Identified(QueueId::new(1, 0)));
                continue;
            }
            Effect::Commit(_) => {
                inbound.handle_input(now(), Input::Committed(Ok(())));
                continue;
            }
            _ => continue,
        };
        inbound.handle_input(now(), Input::Answer(input));
    }
    (sent, None)
}

fn say(inbound: &mut Inbound, text: &str) -> String {
    inbound.handle_input(now(), Input::Bytes(text.as_bytes()));
    let (sent, _) = drain(inbound, |_| false);
    String::from_utf8(sent).expect("replies are UTF-8")
}

fn in_data() -> Inbound {
    let mut inbound = inbound();
    drain(&mut inbound, |_| false);
    say(&mut inbound, "HELO client.example\r\n");
    say(&mut inbound, "MAIL FROM:<a@client.example>\r\n");
    say(&mut inbound, "RCPT TO:<b@here.example>\r\n");
    assert_eq!(say(&mut inbound, "DATA\r\n"), "354 End data with <CR><LF>.<CR><LF>\r\n");
    inbound
}

#[test]
fn a_message_passes_the_real_rooms_and_is_committed_with_its_trace() {
    let mut inbound = in_data();
    inbound.handle_input(now(), Input::Bytes(b"Subject: x\r\n\r\ntext\r\n.\r\n"));
    let (_, effect) = drain(&mut inbound, |effect| matches!(effect, Effect::Commit(_)));
    let Some(Effect::Commit(message)) = effect else { panic!("nothing is committed") };
    assert_eq!(message.stored, 20);
    assert_eq!(message.envelope.recipients.len(), 1);
    assert_eq!(message.envelope.client.name, "unknown");
    let Some(Piece::Literal(trace)) = message.pieces.0.first() else { panic!("no trace") };
    let trace = String::from_utf8_lossy(trace);
    assert!(
        trace.starts_with("Received: from client.example (unknown [192.0.2.1])\r\n\tby mx.here.example ("),
        "{trace}"
    );
    assert!(inbound.poll_output().is_none(), "a commit is the last effect of its drain");
    inbound.handle_input(now(), Input::Committed(Ok(())));
    let (sent, _) = drain(&mut inbound, |_| false);
    assert!(sent.starts_with(b"250 2.0.0 Ok: queued as "));
}

#[test]
fn a_client_lost_while_the_spool_commits_takes_nothing_with_it() {
    let mut inbound = in_data();
    inbound.handle_input(now(), Input::Bytes(b"text\r\n.\r\n"));
    let (_, effect) = drain(&mut inbound, |effect| matches!(effect, Effect::Commit(_)));
    assert!(effect.is_some());
    inbound.handle_input(now(), Input::Closed);
    let (_, unstage) = drain(&mut inbound, |effect| matches!(effect, Effect::Unstage));
    assert_eq!(unstage, None, "the message is the spool's");
    assert!(inbound.is_closed());
    inbound.handle_input(now(), Input::Committed(Ok(())));
    assert_eq!(inbound.poll_output(), None);
}

#[test]
fn a_client_lost_in_content_leaves_nothing_staged() {
    let mut inbound = in_data();
    inbound.handle_input(now(), Input::Bytes(b"text\r\n"));
    drain(&mut inbound, |_| false);
    inbound.handle_input(now(), Input::Closed);
    let effects: Vec<Effect> = std::iter::from_fn(|| inbound.poll_output()).collect();
    assert!(effects.contains(&Effect::Unstage));
    assert_eq!(effects.last(), Some(&Effect::Close));
}

#[test]
fn an_answer_after_the_connection_was_lost_is_dropped() {
    let mut inbound = inbound();
    assert!(matches!(inbound.poll_output(), Some(Effect::Ask(_))));
    inbound.handle_input(now(), Input::Closed);
    drain(&mut inbound, |_| false);
    inbound.handle_input(now(), Input::Answer(Answer::Resolve(Err(DnsFailure::TryAgain))));
    assert_eq!(inbound.poll_output(), None);
}

#[test]
fn a_driver_that_answers_something_else_is_asked_a_bounded_number_of_times() {
    let mut inbound = inbound();
    let mut asked = 0;
    while let Some(effect) = inbound.poll_output() {
        if matches!(effect, Effect::Ask(_)) {
            asked += 1;
            inbound.handle_input(now(), Input::Answer(Answer::FreeSpace(0)));
        }
    }
    assert_eq!(asked, limits::QUESTIONS_PER_DECISION_MAX);
}

#[test]
fn two_machines_with_one_past_are_equal() {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let inbound = in_data();
    let copy = inbound.clone();
    let hash = |inbound: &Inbound| {
        let mut hasher = DefaultHasher::new();
        inbound.hash(&mut hasher);
        hasher.finish()
    };
    assert_eq!(inbound, copy);
    assert_eq!(hash(&inbound), hash(&copy));
}

#[test]
fn a_message_for_which_there_is_no_memory_is_forgotten_and_refused_at_its_end() {
    let mut inbound = in_data();
    let header = "y".repeat(100_000);
    say(&mut inbound, &format!("Subject: x\r\nX-Long: {header}"));
    assert!(inbound.held() >= 100_000, "{}", inbound.held());
    inbound.handle_input(now(), Input::Crowded);
    assert_eq!(drain(&mut inbound, |effect| matches!(effect, Effect::Unstage)).1, Some(Effect::Unstage));
    assert_eq!(inbound.held(), 0, "what will be refused takes no memory");
    assert_eq!(say(&mut inbound, &header), "");
    assert_eq!(inbound.held(), 0);
    let said = say(&mut inbound, "\r\n\r\nbody\r\n.\r\n");
    assert!(said.starts_with("452 4.3.1 "), "{said}");
    assert!(say(&mut inbound, "NOOP\r\n").starts_with("250 "), "and the session goes on");
}

#[test]
fn between_chunks_there_may_be_no_memory_either() {
    let mut inbound = in_data();
    say(&mut inbound, ".\r\n");
    for line in
        ["EHLO client.example\r\n", "MAIL FROM:<a@client.example>\r\n", "RCPT TO:<b@here.example>\r\n"]
    {
        assert!(say(&mut inbound, line).starts_with("250"), "{line}");
    }
    assert!(say(&mut inbound, "BDAT 9\r\nA: b\r\nC: ").starts_with("250 "));
    inbound.handle_input(now(), Input::Crowded);
    assert_eq!(drain(&mut inbound, |effect| matches!(effect, Effect::Unstage)).1, Some(Effect::Unstage));
    let said = say(&mut inbound, "BDAT 3 LAST\r\nd\r\n");
    assert!(said.starts_with("452 4.3.1 "), "{said}");
    // Nobody sends anything now: then it means nothing.
    inbound.handle_input(now(), Input::Crowded);
    assert_eq!(say(&mut inbound, "NOOP\r\n"), "250 2.0.0 Ok\r\n");
}
