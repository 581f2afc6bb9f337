//! What must hold for any client, however it cuts and whatever it says.

use super::*;
use crate::mail::{NoticeClass, QueueId};
use crate::time::{Duration, Timestamp};
use proptest::prelude::*;
use std::net::IpAddr;
use std::sync::Arc;

fn now() -> Now {
    Now { mono: Instant(0), wall: Timestamp::from_seconds(1_795_233_600) }
}

fn peer() -> Peer {
    Peer { address: IpAddr::from([192, 0, 2, 1]), port: 40_000, local: IpAddr::from([192, 0, 2, 25]) }
}

fn session(params: Params) -> Session {
    Session::new(now(), Shared::new(Arc::new(params)), peer())
}

fn greeted(params: Params) -> Session {
    let mut session = session(params);
    let named = Named { name: "unknown".into(), discard: Some(Discarded::default()) };
    session.handle_input(now(), Input::Named(named));
    settle(&mut session, &mut Seen::default());
    session
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    sent: Vec<u8>,
    content: Vec<u8>,
    messages: Vec<Vec<u8>>,
    closed: bool,
}

/// A joint that permits everything.
fn settle(session: &mut Session, seen: &mut Seen) {
    while let Some(output) = session.poll_output() {
        match output {
            Output::Send(octets) => seen.sent.extend(octets),
            Output::Content(octets) => seen.content.extend(octets),
            Output::Abandon => seen.content.clear(),
            Output::Close => seen.closed = true,
            Output::Sort => session.handle_input(now(), Input::Sorted(Ok(super::Sort::Usual))),
            Output::Judge(_) => session.handle_input(now(), Input::Judged(Ok(()))),
            Output::Identify => session.handle_input(now(), Input::Identified(QueueId::new(1, 0))),
            Output::Finish => {
                seen.messages.push(std::mem::take(&mut seen.content));
                session.handle_input(now(), Input::Finished(Ok(())));
            }
            Output::StartTls | Output::Event(_) | Output::Notice(_) => {}
        }
    }
}

/// What is heard when a stream comes in these pieces.
fn hear(pieces: &[&[u8]]) -> Seen {
    // Waiting where a client must is not this test's: the cuts would decide.
    let params = Params {
        forbid_unauth_pipelining: false,
        soft_error_limit: u64::MAX,
        message_size_limit: 60,
        line_length_limit: 70,
        ..Params::default()
    };
    let mut session = greeted(params);
    let mut seen = Seen::default();
    for piece in pieces {
        session.handle_input(now(), Input::Bytes(piece));
        settle(&mut session, &mut seen);
        assert!(session.room() >= limits::BACKLOG_MAX - 71, "what waits is less than a line");
    }
    seen
}

fn parts() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&[u8]> = vec![
        b"EHLO c.example\r\n",
        b"MAIL FROM:<a@c.example>\r\n",
        b"MAIL FROM:<a@c.example> SIZE=61\n",
        b"RCPT TO:<b@here.example>\r\n",
        b"DATA\r\n",
        b"BDAT 7\r\n",
        b"BDAT 5 LAST\r\n",
        b"BDAT 70 LAST\r\n",
        b"BDAT 0 LAST\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b".\r\n",
        b"\r\n.\r\n",
        b"\n.\n",
        b"..x\r\n",
        b"text\r\n",
        b"\r",
        b"\n",
        b"\xff",
        b"\0",
        b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ];
    proptest::collection::vec(proptest::sample::select(words), 0..24).prop_map(|parts| parts.concat())
}

/// Every way to cut the end of a stream that ends a content, as attack S2 has it: 2^12 ways each.
#[test]
fn no_way_to_cut_the_end_of_data_changes_what_is_heard() {
    let begin = b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@here.example>\r\nDATA\r\n";
    for end in [&b"a\n.\r\n..\r\n.\r\nX"[..], b"\r.\n\r\n.\r\nNO\r\nX"] {
        let whole = hear(&[begin, end]);
        assert_eq!(whole.messages.len(), 1, "{:?}", String::from_utf8_lossy(end));
        for cuts in 0..1u32 << (end.len() - 1) {
            let mut pieces: Vec<&[u8]> = vec![begin];
            let mut from = 0;
            for place in (1..end.len()).filter(|place| cuts >> (place - 1) & 1 == 1) {
                pieces.push(&end[from..place]);
                from = place;
            }
            pieces.push(&end[from..]);
            assert_eq!(hear(&pieces), whole, "{cuts:b}");
        }
    }
}

proptest! {
    #[test]
    fn cuts_never_change_what_is_heard_or_taken(stream in parts(), cuts in proptest::collection::vec(0usize..600, 0..9)) {
        let whole = hear(&[&stream]);
        let octets: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(&hear(&octets), &whole);
        let mut places: Vec<usize> = cuts.into_iter().filter(|&cut| cut < stream.len()).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&hear(&pieces), &whole);
        for message in &whole.messages {
            prop_assert!(message.len() <= 60);
        }
    }

    #[test]
    fn no_octets_make_it_panic(stream in proptest::collection::vec(any::<u8>(), 0..400)) {
        hear(&[&stream]);
    }
}

#[test]
fn a_client_that_speaks_while_a_verdict_is_open_is_read_until_the_backlog_is_full() {
    let mut session = session(Params::default());
    let octets = vec![b'x'; limits::BACKLOG_MAX];
    session.handle_input(now(), Input::Bytes(&octets));
    assert_eq!(session.room(), 0);
    assert_eq!(session.next_timeout(), None, "the wait is ours, not the client's");
}

#[test]
fn an_early_timeout_changes_nothing() {
    let mut session = greeted(Params::default());
    let before = session.clone();
    session.handle_timeout(now().after(Duration::from_secs(299)));
    assert_eq!(session, before);
    session.handle_timeout(now().after(Duration::from_secs(300)));
    let mut seen = Seen::default();
    settle(&mut session, &mut seen);
    assert!(seen.closed);
    assert_eq!(seen.sent, b"421 4.4.2 localhost Error: timeout exceeded\r\n");
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let mut session = greeted(Params::default());
    let before = session.clone();
    session.handle_input(now(), Input::Judged(Ok(())));
    session.handle_input(now(), Input::Identified(QueueId::new(1, 0)));
    session.handle_input(now(), Input::Finished(Ok(())));
    session.handle_input(now(), Input::Secured(TlsFacts::default()));
    assert_eq!(session, before);
}

#[test]
fn octets_behind_data_that_is_then_refused_are_no_commands() {
    let mut session = greeted(Params::default());
    let mut seen = Seen::default();
    session.handle_input(now(), Input::Bytes(b"MAIL FROM:<a@c.example>\r\n"));
    settle(&mut session, &mut seen);
    session.handle_input(now(), Input::Bytes(b"RCPT TO:<b@here.example>\r\n"));
    settle(&mut session, &mut seen);
    session.handle_input(now(), Input::Bytes(b"DATA\r\n"));
    assert_eq!(session.poll_output(), Some(Output::Judge(Moment::Data)));
    assert_eq!(session.poll_output(), None);
    // The client did not wait for 354. Were its content obeyed as commands, a message could hold some.
    session.handle_input(now(), Input::Bytes(b"RSET\r\n"));
    seen.sent.clear();
    session.handle_input(
        now(),
        Input::Judged(Err(Refused::new(NoticeClass::Policy, Reply::new(450, None, "later")))),
    );
    settle(&mut session, &mut seen);
    assert_eq!(seen.sent, b"554 5.5.0 Error: SMTP protocol synchronization\r\n");
    assert!(seen.closed);
}

#[test]
fn who_was_offered_no_pipelining_waits_for_every_verdict() {
    for (hello, said) in [
        ("EHLO c.example\r\n", &b""[..]),
        ("HELO c.example\r\n", b"554 5.5.0 Error: SMTP protocol synchronization\r\n"),
    ] {
        let mut session = greeted(Params::default());
        let mut seen = Seen::default();
        session.handle_input(now(), Input::Bytes(hello.as_bytes()));
        settle(&mut session, &mut seen);
        session.handle_input(now(), Input::Bytes(b"MAIL FROM:<a@c.example>\r\n"));
        assert_eq!(session.poll_output(), Some(Output::Judge(Moment::Mail)));
        assert_eq!(session.poll_output(), None);
        session.handle_input(now(), Input::Bytes(b"RCPT TO:<b@here.example>\r\n"));
        assert_eq!(session.poll_output(), None);
        seen.sent.clear();
        session.handle_input(now(), Input::Judged(Ok(())));
        settle(&mut session, &mut seen);
        assert_eq!(seen.closed, !said.is_empty(), "{hello}");
        assert!(seen.sent.ends_with(said) && (said.is_empty() || seen.sent == said), "{hello}");
    }
}

#[test]
fn octets_before_the_greeting_are_not_obeyed() {
    let mut session = session(Params::default());
    session.handle_input(now(), Input::Bytes(b"EHLO c.example\r\n"));
    let named = Named { name: "unknown".into(), discard: Some(Discarded::default()) };
    session.handle_input(now(), Input::Named(named));
    let mut seen = Seen::default();
    settle(&mut session, &mut seen);
    assert_eq!(seen.sent, b"554 5.5.0 Error: SMTP protocol synchronization\r\n");
    assert!(seen.closed);
}

#[test]
fn parameters_of_the_table_give_the_defaults_of_this_room() {
    let params = Params::new(&crate::params::Settings::default()).expect("the defaults are right");
    let ours = Params::default();
    assert_eq!(
        (params.timeout, params.soft_error_limit, params.hard_error_limit, params.junk_command_limit),
        (ours.timeout, ours.soft_error_limit, ours.hard_error_limit, ours.junk_command_limit)
    );
    assert_eq!(params.message_size_limit, ours.message_size_limit);
    assert_eq!(params.line_length_limit, ours.line_length_limit);
    assert_eq!((params.recipient_limit, params.tls_level), (ours.recipient_limit, ours.tls_level));
    assert!(params.forbid_unauth_pipelining && params.delay_reject);
    let sort = params.sort_of("GET", &crate::ask::Facts::new());
    assert_eq!(sort, Ok(crate::session::Sort::Foreign));
}
