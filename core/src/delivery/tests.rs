//! One connection, without the joint that keeps it from being told what makes no sense.

use super::*;
use crate::mail::{AttemptId, BodyType, Notify, Pieces, QueueId};
use crate::time::Timestamp;
use crate::wire::Mailbox;

fn now() -> Now {
    Now { mono: Instant(1), wall: Timestamp::default() }
}

fn connection(params: Params) -> Delivery {
    let recipient = |index: u32, name| AttemptRecipient {
        index,
        address: Mailbox::new(name, "d.example"),
        original: None,
        orcpt: None,
        notify: Notify::default(),
    };
    let attempt = Attempt {
        id: AttemptId(1),
        message: QueueId(1),
        transport: "smtp".into(),
        nexthop: "d.example".into(),
        sender: Sender::Null,
        recipients: vec![recipient(0, "b"), recipient(1, "c")],
        size: 77,
        pieces: Arc::new(Pieces::default()),
        body: BodyType::SevenBit,
        smtputf8: false,
        envid: None,
        ret: None,
        arrived: Timestamp::default(),
        keep_connection: false,
    };
    let peer = Peer {
        name: "mx".into(),
        address: "192.0.2.1".into(),
        port: Some(25),
        best: true,
        nexthop: "d.example".into(),
    };
    let transaction = Transaction { attempt: Arc::new(attempt), positions: vec![0, 1] };
    Delivery::new(Arc::new(params), peer, TlsLevel::None, transaction, now())
}

fn tell(delivery: &mut Delivery, input: Input<'_>) -> Vec<Output> {
    delivery.handle_input(now(), input);
    std::iter::from_fn(|| delivery.poll_output()).collect()
}

/// What is said to these replies, and the name of the stage behind each.
fn hear(delivery: &mut Delivery, replies: &[&str]) -> Vec<(String, &'static str)> {
    let said = |output: Output| match output {
        Output::Send(octets) => String::from_utf8(octets).expect("ASCII"),
        _ => String::new(),
    };
    let mut heard = Vec::new();
    for reply in replies {
        let outputs = tell(delivery, Input::Bytes(reply.as_bytes()));
        let text: String = outputs.into_iter().map(said).collect();
        heard.push((
            text.replace("\r\n", " ").trim_end().to_owned(),
            STAGES.names[usize::from(delivery.stage())],
        ));
    }
    heard
}

fn own(heard: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    heard.iter().map(|(text, stage)| ((*text).to_owned(), *stage)).collect()
}

#[test]
fn a_connection_goes_through_its_stages() {
    let mut delivery = connection(Params { skip_quit_response: false, ..Params::default() });
    assert_eq!(STAGES.names[usize::from(delivery.stage())], "greeting");
    let hello = "EHLO localhost.localdomain";
    let replies = ["220 mx\r\n", "250 mx\r\n", "250 ok\r\n", "250 ok\r\n", "550 no\r\n", "354 go\r\n"];
    assert_eq!(
        hear(&mut delivery, &replies),
        own(&[
            (hello, "ehlo"),
            ("MAIL FROM:<>", "dialogue"),
            ("RCPT TO:<b@d.example>", "dialogue"),
            ("RCPT TO:<c@d.example>", "dialogue"),
            ("DATA", "dialogue"),
            ("", "body"),
        ])
    );
    _ = tell(&mut delivery, Input::Content(b""));
    assert_eq!(hear(&mut delivery, &["250 taken\r\n"]), own(&[("", "ready")]));
    assert_eq!(tell(&mut delivery, Input::Quit), [Output::Send(b"QUIT\r\n".to_vec())]);
    assert_eq!(tell(&mut delivery, Input::Quit), [], "it has been said");
    assert_eq!(hear(&mut delivery, &["221 bye\r\n"]), own(&[("", "gone")]));
}

#[test]
fn who_has_gone_hears_nothing_and_closes_when_told_so() {
    let mut delivery = connection(Params::default());
    let outputs = tell(&mut delivery, Input::Bytes(b"554 no\r\n"));
    assert!(matches!(&outputs[..], [Output::Ended(ended)] if ended.host_bad && ended.verdicts.len() == 2));
    assert_eq!(hear(&mut delivery, &["250 what\r\n"]), own(&[("", "spent")]));
    assert_eq!(tell(&mut delivery, Input::Lost(Loss::Closed)), []);
    assert_eq!(tell(&mut delivery, Input::Quit), [Output::Close], "nobody is there to hear a QUIT");
    assert_eq!(hear(&mut delivery, &["250 what\r\n"]), own(&[("", "gone")]));
    assert_eq!(tell(&mut delivery, Input::Lost(Loss::TimedOut)), []);
    assert_eq!(STAGES.names[usize::from(delivery.stage())], "gone");
    assert_eq!(tell(&mut delivery, Input::Quit), [Output::Close], "who says goodbye waits for the end");
}

#[test]
fn a_server_that_was_sent_an_empty_content_is_left_whatever_it_says_to_it() {
    for answer in ["250 taken\r\n", "554 no\r\n", "450 later\r\n"] {
        let mut delivery = connection(Params::default());
        let refused = "550 no\r\n550 no\r\n550 no\r\n354 go\r\n";
        let heard = hear(&mut delivery, &["220 mx\r\n", "250-mx\r\n250 PIPELINING\r\n", refused, answer]);
        let commands = "MAIL FROM:<> RCPT TO:<b@d.example> RCPT TO:<c@d.example> DATA";
        assert_eq!(heard[1..], own(&[(commands, "dialogue"), (".", "dialogue"), ("", "spent")]), "{answer}");
        assert!(!delivery.is_ready());
    }
}

/// A connection on which the content is to come.
fn at_body() -> Delivery {
    let mut delivery = connection(Params { line_length_limit: 0, ..Params::default() });
    _ = hear(
        &mut delivery,
        &["220 mx\r\n", "250 mx\r\n", "250 ok\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"],
    );
    delivery
}

#[test]
fn a_content_of_32_kib_is_worth_a_write_and_a_smaller_one_waits_for_more() {
    let line = [[b'x'; 62].as_slice(), b"\r\n"].concat();
    assert_eq!(tell(&mut at_body(), Input::Content(&line.repeat(511))), [Output::Read(false)]);
    assert_eq!(tell(&mut at_body(), Input::Content(&line.repeat(512))), [Output::Send(line.repeat(512))]);
}

#[test]
fn content_that_comes_unasked_is_not_sent() {
    let mut delivery = at_body();
    let piece = b"x\r\n".repeat(20_000);
    assert!(matches!(&tell(&mut delivery, Input::Content(&piece))[..], [Output::Send(_)]));
    assert_eq!(
        tell(&mut delivery, Input::Content(b"y\r\n")),
        [],
        "the network has not taken the piece before"
    );
    assert_eq!(tell(&mut delivery, Input::Drained), [Output::Read(false)]);
    assert_eq!(tell(&mut delivery, Input::Content(b"")), [Output::Send(b".\r\n".to_vec())]);
    assert_eq!(tell(&mut delivery, Input::Content(b"z\r\n")), [], "it has ended");
    assert_eq!(tell(&mut delivery, Input::Drained), []);
}
