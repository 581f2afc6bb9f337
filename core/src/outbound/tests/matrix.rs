//! Each step of a delivery x each way in which a server can go wrong: one table, as text.

use super::{Seen, World, attempt, loss, outcome_text};
use crate::delivery::{Params, Protocol};
use crate::mail::{Feedback, Settled};
use crate::outbound::Input;
use crate::time::Duration;
use std::fmt::Write as _;

/// The steps of a delivery to two recipients, with the good reply to each.
const SMTP: [(&str, &str); 7] = [
    ("greeting", "220 mx ESMTP\r\n"),
    ("EHLO", "250 mx\r\n"),
    ("MAIL", "250 2.1.0 ok\r\n"),
    ("RCPT 1", "250 2.1.5 ok\r\n"),
    ("RCPT 2", "250 2.1.5 ok\r\n"),
    ("DATA", "354 go\r\n"),
    ("dot", "250 2.0.0 taken\r\n"),
];

const WRONG: [(&str, &str); 9] = [
    ("closes", ""),
    ("hangs", ""),
    ("4xx", "450 4.2.0 later\r\n"),
    ("5xx", "550 5.7.1 never\r\n"),
    ("421", "421 4.3.2 closing\r\n"),
    ("garbage", "what?\r\n"),
    ("torn", "250-one\r\n550 two\r\n"),
    ("1xx", "150 wait\r\n"),
    ("3xx", "333 hm\r\n"),
];

/// A delivery that goes well up to `step`, and there as `how` says. `pipelining` puts it into the offer.
pub(super) fn deliver(params: Params, pipelining: bool, step: usize, how: (&str, &str)) -> (World, Settled) {
    let mut world = World::simple(params);
    world.tell(Input::Attempt(Box::new(attempt("example.net", &["b@example.net", "c@example.net"]))));
    assert!(matches!(world.seen.remove(0), Seen::Connect(_)));
    world.tell(Input::Connected);
    for (place, (name, reply)) in SMTP.iter().enumerate() {
        if world.seen.iter().any(|seen| matches!(seen, Seen::Settle(_))) {
            break;
        }
        let reply = if *name == "EHLO" && pipelining { "250-mx\r\n250 PIPELINING\r\n" } else { reply };
        match (place == step, how.0) {
            (true, "closes") => world.tell(Input::Lost(loss("reset"))),
            (true, "hangs") => world.pass(Duration::from_secs(600)),
            (true, _) => world.server(how.1),
            _ => world.server(reply),
        }
        if world.said.ends_with(b"HELO localhost.localdomain\r\n") {
            world.server("250 mx\r\n");
        }
    }
    // The empty content of a pipelining client may still wait for an answer.
    if !world.seen.iter().any(|seen| matches!(seen, Seen::Settle(_))) {
        world.server("550 5.5.1 no more\r\n");
    }
    let settled = world.settled();
    (world, settled)
}

fn table(pipelining: bool) -> String {
    let mut table = String::new();
    for (step, (name, _)) in SMTP.iter().enumerate() {
        _ = writeln!(table, "\n{name}");
        for how in WRONG {
            let (world, settled) = deliver(Params::default(), pipelining, step, how);
            let feedback = match settled.feedback {
                Feedback::Good => "good",
                Feedback::Bad(_) => "bad",
                Feedback::Neutral => "neutral",
            };
            let quit = world.said.ends_with(b"QUIT\r\n");
            let outcomes: Vec<String> = settled.outcomes.iter().map(|(_, o)| outcome_text(o)).collect();
            let both = if outcomes[0] == outcomes[1] { outcomes[0].clone() } else { outcomes.join(" | ") };
            _ = writeln!(table, "  {:<8} {feedback:<4} {} {both}", how.0, if quit { "QUIT" } else { "cut " });
            assert_eq!(outcomes.len(), 2);
            assert_eq!(world.seen, [Seen::Close]);
        }
    }
    table
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn each_step_and_each_way_to_go_wrong_without_pipelining() {
    insta::assert_snapshot!(table(false), @r#"
    greeting
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while receiving the initial server greeting)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while receiving the initial server greeting)
      4xx      bad  QUIT deferred 4.2.0 (host mx.example.net[192.0.2.1] refused to talk to me: 450 4.2.0 later)
      5xx      bad  QUIT deferred 4.7.1 (host mx.example.net[192.0.2.1] refused to talk to me: 550 5.7.1 never)
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] refused to talk to me: 421 4.3.2 closing)
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while receiving the initial server greeting)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while receiving the initial server greeting)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while receiving the initial server greeting)
      3xx      bad  QUIT deferred 4.5.0 (host mx.example.net[192.0.2.1] refused to talk to me: 333 hm)

    EHLO
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while performing the EHLO handshake)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while performing the EHLO handshake)
      4xx      good QUIT sent 2.0.0 (250 2.0.0 taken)
      5xx      good QUIT sent 2.0.0 (250 2.0.0 taken)
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] refused to talk to me: 421 4.3.2 closing)
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while performing the EHLO handshake)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while performing the EHLO handshake)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while performing the EHLO handshake)
      3xx      good QUIT sent 2.0.0 (250 2.0.0 taken)

    MAIL
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while sending MAIL FROM)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while sending MAIL FROM)
      4xx      good QUIT deferred 4.2.0 (host mx.example.net[192.0.2.1] said: 450 4.2.0 later (in reply to MAIL FROM command))
      5xx      good QUIT bounced 5.7.1 (host mx.example.net[192.0.2.1] said: 550 5.7.1 never (in reply to MAIL FROM command))
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] said: 421 4.3.2 closing (in reply to MAIL FROM command))
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending MAIL FROM)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending MAIL FROM)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending MAIL FROM)
      3xx      bad  QUIT deferred 4.5.0 (host mx.example.net[192.0.2.1] said: 333 hm (in reply to MAIL FROM command))

    RCPT 1
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while sending RCPT TO)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while sending RCPT TO)
      4xx      good QUIT deferred 4.2.0 (host mx.example.net[192.0.2.1] said: 450 4.2.0 later (in reply to RCPT TO command)) | sent 2.0.0 (250 2.0.0 taken)
      5xx      good QUIT bounced 5.7.1 (host mx.example.net[192.0.2.1] said: 550 5.7.1 never (in reply to RCPT TO command)) | sent 2.0.0 (250 2.0.0 taken)
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] said: 421 4.3.2 closing (in reply to RCPT TO command))
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending RCPT TO)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending RCPT TO)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending RCPT TO)
      3xx      bad  QUIT deferred 4.5.0 (host mx.example.net[192.0.2.1] said: 333 hm (in reply to RCPT TO command))

    RCPT 2
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while sending RCPT TO)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while sending RCPT TO)
      4xx      good QUIT sent 2.0.0 (250 2.0.0 taken) | deferred 4.2.0 (host mx.example.net[192.0.2.1] said: 450 4.2.0 later (in reply to RCPT TO command))
      5xx      good QUIT sent 2.0.0 (250 2.0.0 taken) | bounced 5.7.1 (host mx.example.net[192.0.2.1] said: 550 5.7.1 never (in reply to RCPT TO command))
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] said: 421 4.3.2 closing (in reply to RCPT TO command))
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending RCPT TO)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending RCPT TO)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending RCPT TO)
      3xx      bad  QUIT deferred 4.5.0 (host mx.example.net[192.0.2.1] said: 333 hm (in reply to RCPT TO command))

    DATA
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while sending DATA command)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while sending DATA command)
      4xx      good QUIT deferred 4.2.0 (host mx.example.net[192.0.2.1] said: 450 4.2.0 later (in reply to DATA command))
      5xx      good QUIT bounced 5.7.1 (host mx.example.net[192.0.2.1] said: 550 5.7.1 never (in reply to DATA command))
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] said: 421 4.3.2 closing (in reply to DATA command))
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending DATA command)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending DATA command)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending DATA command)
      3xx      good QUIT sent 2.0.0 (250 2.0.0 taken)

    dot
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while sending end of data -- message may be sent more than once)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while sending end of data -- message may be sent more than once)
      4xx      good QUIT deferred 4.2.0 (host mx.example.net[192.0.2.1] said: 450 4.2.0 later (in reply to end of DATA command))
      5xx      good QUIT bounced 5.7.1 (host mx.example.net[192.0.2.1] said: 550 5.7.1 never (in reply to end of DATA command))
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] said: 421 4.3.2 closing (in reply to end of DATA command))
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending end of data -- message may be sent more than once)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending end of data -- message may be sent more than once)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending end of data -- message may be sent more than once)
      3xx      bad  QUIT deferred 4.5.0 (host mx.example.net[192.0.2.1] said: 333 hm (in reply to end of DATA command))
    "#);
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn each_step_and_each_way_to_go_wrong_with_pipelining() {
    insta::assert_snapshot!(table(true), @r#"
    greeting
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while receiving the initial server greeting)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while receiving the initial server greeting)
      4xx      bad  QUIT deferred 4.2.0 (host mx.example.net[192.0.2.1] refused to talk to me: 450 4.2.0 later)
      5xx      bad  QUIT deferred 4.7.1 (host mx.example.net[192.0.2.1] refused to talk to me: 550 5.7.1 never)
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] refused to talk to me: 421 4.3.2 closing)
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while receiving the initial server greeting)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while receiving the initial server greeting)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while receiving the initial server greeting)
      3xx      bad  QUIT deferred 4.5.0 (host mx.example.net[192.0.2.1] refused to talk to me: 333 hm)

    EHLO
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while performing the EHLO handshake)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while performing the EHLO handshake)
      4xx      good QUIT sent 2.0.0 (250 2.0.0 taken)
      5xx      good QUIT sent 2.0.0 (250 2.0.0 taken)
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] refused to talk to me: 421 4.3.2 closing)
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while performing the EHLO handshake)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while performing the EHLO handshake)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while performing the EHLO handshake)
      3xx      good QUIT sent 2.0.0 (250 2.0.0 taken)

    MAIL
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while sending MAIL FROM)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while sending MAIL FROM)
      4xx      good QUIT deferred 4.2.0 (host mx.example.net[192.0.2.1] said: 450 4.2.0 later (in reply to MAIL FROM command))
      5xx      good QUIT bounced 5.7.1 (host mx.example.net[192.0.2.1] said: 550 5.7.1 never (in reply to MAIL FROM command))
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] said: 421 4.3.2 closing (in reply to MAIL FROM command))
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending MAIL FROM)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending MAIL FROM)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending MAIL FROM)
      3xx      bad  QUIT deferred 4.5.0 (host mx.example.net[192.0.2.1] said: 333 hm (in reply to MAIL FROM command))

    RCPT 1
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while sending RCPT TO)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while sending RCPT TO)
      4xx      good QUIT deferred 4.2.0 (host mx.example.net[192.0.2.1] said: 450 4.2.0 later (in reply to RCPT TO command)) | sent 2.0.0 (250 2.0.0 taken)
      5xx      good QUIT bounced 5.7.1 (host mx.example.net[192.0.2.1] said: 550 5.7.1 never (in reply to RCPT TO command)) | sent 2.0.0 (250 2.0.0 taken)
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] said: 421 4.3.2 closing (in reply to RCPT TO command))
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending RCPT TO)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending RCPT TO)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending RCPT TO)
      3xx      bad  QUIT deferred 4.5.0 (host mx.example.net[192.0.2.1] said: 333 hm (in reply to RCPT TO command))

    RCPT 2
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while sending RCPT TO)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while sending RCPT TO)
      4xx      good QUIT sent 2.0.0 (250 2.0.0 taken) | deferred 4.2.0 (host mx.example.net[192.0.2.1] said: 450 4.2.0 later (in reply to RCPT TO command))
      5xx      good QUIT sent 2.0.0 (250 2.0.0 taken) | bounced 5.7.1 (host mx.example.net[192.0.2.1] said: 550 5.7.1 never (in reply to RCPT TO command))
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] said: 421 4.3.2 closing (in reply to RCPT TO command))
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending RCPT TO)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending RCPT TO)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending RCPT TO)
      3xx      bad  QUIT deferred 4.5.0 (host mx.example.net[192.0.2.1] said: 333 hm (in reply to RCPT TO command))

    DATA
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while sending DATA command)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while sending DATA command)
      4xx      good QUIT deferred 4.2.0 (host mx.example.net[192.0.2.1] said: 450 4.2.0 later (in reply to DATA command))
      5xx      good QUIT bounced 5.7.1 (host mx.example.net[192.0.2.1] said: 550 5.7.1 never (in reply to DATA command))
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] said: 421 4.3.2 closing (in reply to DATA command))
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending DATA command)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending DATA command)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending DATA command)
      3xx      good QUIT sent 2.0.0 (250 2.0.0 taken)

    dot
      closes   bad  cut  deferred 4.4.2 (lost connection with mx.example.net[192.0.2.1] while sending end of data -- message may be sent more than once)
      hangs    bad  cut  deferred 4.4.2 (conversation with mx.example.net[192.0.2.1] timed out while sending end of data -- message may be sent more than once)
      4xx      good QUIT deferred 4.2.0 (host mx.example.net[192.0.2.1] said: 450 4.2.0 later (in reply to end of DATA command))
      5xx      good QUIT bounced 5.7.1 (host mx.example.net[192.0.2.1] said: 550 5.7.1 never (in reply to end of DATA command))
      421      bad  cut  deferred 4.3.2 (host mx.example.net[192.0.2.1] said: 421 4.3.2 closing (in reply to end of DATA command))
      garbage  bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending end of data -- message may be sent more than once)
      torn     bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending end of data -- message may be sent more than once)
      1xx      bad  cut  deferred 4.5.0 (protocol error with mx.example.net[192.0.2.1] while sending end of data -- message may be sent more than once)
      3xx      bad  QUIT deferred 4.5.0 (host mx.example.net[192.0.2.1] said: 333 hm (in reply to end of DATA command))
    "#);
}

#[test]
fn cut_at_each_octet_nothing_is_delivered_before_the_last_one() {
    let good: String = SMTP.iter().map(|(_, reply)| *reply).collect();
    for length in 0..=good.len() {
        for loss_word in ["reset", "timeout"] {
            let mut world = World::simple(Params::default());
            world.tell(Input::Attempt(Box::new(attempt("example.net", &["b@example.net", "c@example.net"]))));
            world.seen.clear();
            world.tell(Input::Connected);
            for octet in good.as_bytes().iter().take(length) {
                world.tell(Input::Bytes(&[*octet]));
            }
            if length < good.len() {
                world.tell(Input::Lost(loss(loss_word)));
            }
            let settled = world.settled();
            assert_eq!(settled.outcomes.len(), 2);
            let delivered = settled.outcomes.iter().all(|(_, outcome)| outcome.is_final());
            assert_eq!(delivered, length == good.len(), "after {length} octets");
        }
    }
}

#[test]
fn an_lmtp_server_that_dies_between_its_replies_settles_those_it_gave() {
    let params = Params { protocol: Protocol::Lmtp, ..Params::default() };
    for answered in 0..=2 {
        let mut world = World::simple(params.clone());
        world.tell(Input::Attempt(Box::new(attempt(
            "unix:private/lmtp",
            &["b@example.net", "c@example.net"],
        ))));
        assert_eq!(world.seen.remove(0), Seen::Connect("private/lmtp".into()));
        world.tell(Input::Connected);
        SMTP.iter().take(6).for_each(|(_, reply)| world.server(reply));
        (0..answered).for_each(|_| world.server("250 2.1.5 stored\r\n"));
        if answered < 2 {
            world.tell(Input::Lost(loss("reset")));
        }
        let settled = world.settled();
        let delivered = settled.outcomes.iter().filter(|(_, outcome)| outcome.is_final()).count();
        assert_eq!((settled.outcomes.len(), delivered), (2, answered));
    }
}
