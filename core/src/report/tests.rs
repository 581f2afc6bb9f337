use super::*;
use crate::mail::{Diagnosis, OriginalRecipient, Pieces, QueueId, Ret};
use crate::time::Now;
use crate::wire::{EnhancedStatus, Reply};

fn message() -> Message {
    let mut pieces = Pieces::default();
    pieces.literal(b"Subject: hi\r\n\r\nbody\r\n");
    let ann = Recipient {
        original: Some(Mailbox::new("list", "a.example")),
        orcpt: Some(OriginalRecipient { kind: "rfc822".into(), address: "list@a.example".into() }),
        ..Recipient::new(Mailbox::new("ann", "b.example"))
    };
    Message {
        id: QueueId::new(1_795_233_600_123_456, 7),
        envelope: Envelope {
            sender: Sender::Mailbox(Mailbox::new("joe", "a.example")),
            recipients: vec![ann, Recipient::new(Mailbox::new("bob", "b.example"))],
            arrived: Timestamp::from_seconds(1_795_234_851),
            envid: Some("E1".into()),
            ..Envelope::default()
        },
        pieces,
        place: crate::mail::ContentPlace::Inline,
        stored: 0,
        origin: Origin::Submitted,
        message_id: String::new(),
        hold: false,
        checksum: None,
        unknown: Vec::new(),
    }
}

fn refused() -> Outcome {
    let status = EnhancedStatus::new(5, 1, 1);
    Outcome::Failed(Diagnosis {
        status,
        text: "host mx.b.example[192.0.2.1] said: 550 5.1.1 no such user (in reply to RCPT TO command)"
            .into(),
        remote_mta: Some("mx.b.example".into()),
        reply: Some(Reply::new(550, Some(status), "no such user")),
        relay: "mx.b.example[192.0.2.1]:25".into(),
    })
}

fn text(plan: &Plan, original: &[u8]) -> String {
    let now = Now { wall: Timestamp::from_seconds(1_795_235_000), ..Now::default() };
    let params = Params { myhostname: "mx.here.example".into(), ..Params::default() };
    String::from_utf8(compose(plan, &params, now, 0, original)).unwrap().replace("\r\n", "\n")
}

fn only(kind: Kind, message: &Message, recipients: &[(u32, Outcome)]) -> Plan {
    let mut plans = plan(kind, message, recipients, &Params::default());
    assert_eq!(plans.len(), 1);
    plans.remove(0)
}

#[test]
fn a_failure_has_its_three_parts() {
    let plan = only(Kind::Failure, &message(), &[(0, refused())]);
    insta::assert_snapshot!(text(&plan, b"Subject: hi\r\n\r\nbody\r\n"), @r#"
Date: Sat, 21 Nov 2026 04:23:20 +0000 (UTC)
From: Mail Delivery System <MAILER-DAEMON>
Subject: Undelivered Mail Returned to Sender
To: joe@a.example
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="4jWdl40sf8z0007.1795235000/mx.here.example"

This is a MIME-encapsulated message.

--4jWdl40sf8z0007.1795235000/mx.here.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.here.example.

Your message did not reach the recipients listed below, and we have
stopped trying. The message, or its header, is attached.

If you need help, write to the postmaster and include this report;
you may leave your own text out of it.

<ann@b.example> (expanded from <list@a.example>): host mx.b.example[192.0.2.1]
    said: 550 5.1.1 no such user (in reply to RCPT TO command)

--4jWdl40sf8z0007.1795235000/mx.here.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.here.example
Original-Envelope-Id: E1
X-Postrider-Queue-ID: 4jWdl40sf8z0007
X-Postrider-Sender: rfc822; joe@a.example
Arrival-Date: Sat, 21 Nov 2026 04:20:51 +0000 (UTC)

Final-Recipient: rfc822; ann@b.example
Original-Recipient: rfc822;list@a.example
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.b.example
Diagnostic-Code: smtp; 550 5.1.1 no such user

--4jWdl40sf8z0007.1795235000/mx.here.example
Content-Description: Undelivered Message
Content-Type: message/rfc822

Return-Path: <joe@a.example>
Subject: hi

body

--4jWdl40sf8z0007.1795235000/mx.here.example--
"#);
}

#[test]
fn a_delay_returns_the_header_and_says_until_when() {
    let wait = Outcome::Deferred(Diagnosis::ours(EnhancedStatus::new(4, 4, 1), "connect to x: timed out"));
    let plan = only(Kind::Delay, &message(), &[(1, wait)]);
    let text = text(&plan, b"Subject: hi\r\n\r\nbody\r\n");
    assert!(text.contains("Subject: Delayed Mail (still being retried)\n"));
    assert!(
        text.contains(
            "Action: delayed\nStatus: 4.4.1\nDiagnostic-Code: X-Postrider; connect to x: timed out\n"
        )
    );
    assert!(text.contains("Will-Retry-Until: Thu, 26 Nov 2026 04:20:51 +0000 (UTC)\n"));
    assert!(
        text.contains("Content-Type: text/rfc822-headers\n\nReturn-Path: <joe@a.example>\nSubject: hi\n\n--"),
        "{text}"
    );
}

#[test]
fn null_sender_never_gets_a_report() {
    let mut message = message();
    message.envelope.sender = Sender::Null;
    let all = [(0, refused())];
    for kind in [Kind::Failure, Kind::Delay, Kind::Success] {
        assert!(plan(kind, &message, &all, &Params::default()).is_empty());
    }
    let params = Params { notify_2bounce: true, ..Params::default() };
    let plans = plans(&params, Kind::Failure, &message, all.to_vec());
    assert_eq!(plans, [(Mailbox::new("postmaster", ""), true)]);
    let plan = plan(Kind::Failure, &message, &all, &params).remove(0);
    assert!(text(&plan, b"\r\n").contains("Subject: Postmaster Copy: Undelivered Mail\n"));
    let envelope = envelope(&plan, &params, b"", Timestamp::default());
    assert_eq!(envelope.sender, Sender::Mailbox(Mailbox::new("double-bounce", "localhost")));
}

#[test]
fn mail_to_the_postmaster_is_never_reported_on() {
    let everything =
        Params { notify_2bounce: true, notify_bounce: true, notify_delay: true, ..Params::default() };
    let mut notice = message();
    notice.origin = Origin::Notice;
    let mut double = message();
    double.envelope.sender = Sender::Mailbox(Mailbox::new("Double-Bounce", "localhost"));
    for message in [notice, double] {
        assert!(plan(Kind::Failure, &message, &[(0, refused())], &everything).is_empty());
    }
}

#[test]
fn the_postmaster_s_copy_has_the_header_only_and_all_recipients() {
    let mut message = message();
    message.envelope.recipients[0].notify = Notify::NEVER;
    let params = Params { notify_bounce: true, ..Params::default() };
    let plans = plan(Kind::Failure, &message, &[(0, refused()), (1, refused())], &params);
    assert_eq!(plans.iter().map(|plan| plan.recipients.len()).collect::<Vec<_>>(), [1, 2]);
    assert!(!text(&plans[1], b"A: b\r\n\r\nbody\r\n").contains("body"));
}

#[test]
fn a_success_says_by_what_way() {
    let mut message = message();
    message.envelope.recipients[1].notify = Notify { success: true, ..Notify::default() };
    let diagnosis = Diagnosis::ours(EnhancedStatus::new(2, 0, 0), "delivered to mailbox");
    let diagnosis = Diagnosis { relay: "local".into(), ..diagnosis };
    let outcome = Outcome::Delivered { diagnosis, last_hop_for_dsn: true };
    let text = text(&only(Kind::Success, &message, &[(1, outcome)]), b"A: b\r\n\r\n");
    assert!(text.contains("<bob@b.example>: delivery via local: delivered to mailbox\n"), "{text}");
    assert!(text.contains("Action: delivered\nStatus: 2.0.0\n"));
    assert!(text.contains("Content-Description: Message Headers\n"));
}

#[test]
fn who_asked_for_nothing_is_told_nothing() {
    let mut message = message();
    message.envelope.recipients.iter_mut().for_each(|recipient| recipient.notify = Notify::NEVER);
    assert!(plan(Kind::Failure, &message, &[(0, refused())], &Params::default()).is_empty());
    let delivered = |last| Outcome::Delivered {
        diagnosis: Diagnosis::ours(EnhancedStatus::new(2, 0, 0), "ok"),
        last_hop_for_dsn: last,
    };
    let asked = Notify { success: true, ..Notify::default() };
    assert_eq!(owed(&delivered(true), asked, false), Some(Kind::Success));
    assert_eq!(owed(&delivered(false), asked, false), None);
    assert_eq!(owed(&delivered(true), Notify::default(), false), None);
    assert_eq!(owed(&delivered(true), asked, true), None);
    assert_eq!(owed(&refused(), Notify::default(), true), Some(Kind::Failure));
}

#[test]
fn large_messages_and_ret_hdrs_return_the_header() {
    let mut large = message();
    large.pieces.stored(0, 60_000);
    let mut asked = message();
    asked.envelope.ret = Some(Ret::Headers);
    for message in [large, asked] {
        let plan = only(Kind::Failure, &message, &[(0, refused())]);
        let text = text(&plan, b"Subject: hi\r\n\r\nbody\r\n");
        assert!(text.contains("Content-Type: text/rfc822-headers\n") && !text.contains("body"), "{text}");
        assert!(octets_wanted(&plan, &Params::default()) <= 50_000);
    }
}

#[test]
fn no_text_of_a_peer_breaks_the_report() {
    let mut message = message();
    let boundary = format!("--{}.1795235000/mx.here.example", message.id);
    message.envelope.envid = Some("x\r\nAction: delivered".into());
    let outcome = Outcome::Failed(Diagnosis::ours(
        EnhancedStatus::new(5, 0, 0),
        format!("a\r\n{boundary}\r\n\u{fc}{}", "z".repeat(5000)),
    ));
    let plan = only(Kind::Failure, &message, &[(0, outcome)]);
    let text = text(&plan, format!("A: b\r\n\r\n{boundary}--\r\n").as_bytes());
    assert!(text.lines().all(|line| line.len() <= 998));
    assert!(!text.lines().any(|line| line.starts_with("Action: delivered")));
    assert!(text.contains("boundary=\"") && !text.contains(&format!("boundary=\"{}\"", &boundary[2..])));
    let status = text.split("Content-Description: ").nth(2).unwrap();
    assert!(status.is_ascii(), "only the internationalised form holds more than ASCII");
}

#[test]
fn messages_in_utf8_get_the_internationalised_form() {
    let mut message = message();
    message.envelope.smtputf8 = true;
    message.envelope.recipients[1].address = Mailbox::new("b\u{f6}b", "b.example");
    let plan = only(Kind::Failure, &message, &[(1, refused())]);
    let text = text(&plan, "Subject: \u{f6}\r\n\r\n".as_bytes());
    assert!(text.contains("Content-Type: message/global-delivery-status\nContent-Transfer-Encoding: 8bit\n"));
    assert!(text.contains("Final-Recipient: utf-8; b\u{f6}b@b.example\n"));
    assert!(text.contains("Content-Type: message/global\n"));
    assert!(envelope(&plan, &Params::default(), text.as_bytes(), Timestamp::default()).smtputf8);
}

proptest::proptest! {
    #[test]
    fn any_original_is_returned_between_two_boundaries(original: Vec<u8>, said in ".{0,300}") {
        let outcome = Outcome::Failed(Diagnosis::ours(EnhancedStatus::new(5, 0, 0), said));
        let plan = only(Kind::Failure, &message(), &[(0, outcome)]);
        let content = compose(&plan, &Params::default(), Now::default(), 0, &original);
        let place = content.windows(9).position(|window| window == b"boundary=").unwrap() + 10;
        let end = content[place..].iter().position(|octet| *octet == b'"').unwrap();
        let boundary = [b"--", &content[place..place + end]].concat();
        let count = content.windows(boundary.len()).filter(|window| *window == boundary).count();
        proptest::prop_assert_eq!(count, 4);
    }
}
