//! What the postmaster hears of (`notify_classes`, `…_notice_recipient`), in the whole daemon: notices are mail that arrives.

use postrider_tests::daemon::Daemon;
use postrider_tests::server::{Answer, Server};

/// Every class, and a mailbox of its own for each parameter that names one.
const ALL: &str = "notify_classes = bounce, 2bounce, delay, data, policy, protocol, resource, software\n\
    bounce_notice_recipient = bounced@here.test\n\
    2bounce_notice_recipient = twice@here.test\n\
    delay_notice_recipient = delayed@here.test\n\
    error_notice_recipient = errors@here.test\n";

fn text(message: &[u8]) -> String {
    String::from_utf8(message.to_vec()).expect("what we write to the postmaster is ASCII")
}

fn header(message: &str, name: &str) -> String {
    let start = format!("{name}: ");
    let field = message.lines().find_map(|line| line.strip_prefix(&start));
    field.unwrap_or_else(|| panic!("no {name} in {message}")).to_owned()
}

#[test]
fn the_postmaster_reads_what_was_said_in_a_session_with_trouble() {
    let daemon = Daemon::start("notice-server", ALL);
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect("XYZZY \x1b[2J", "500");
    client.expect("QUIT", "221");
    // errors@here.test is error_notice_recipient.
    let notice = text(&daemon.wait_for_mail("errors", 1)[0]);
    let subject = header(&notice, "Subject");
    assert!(subject.contains(" SMTP server: errors from ") && subject.ends_with("[127.0.0.1]"), "{subject}");
    assert_eq!(header(&notice, "Return-Path"), "<double-bounce@mail.here.test>");
    assert_eq!(header(&notice, "From"), "Mail Delivery System <MAILER-DAEMON@mail.here.test>");
    assert!(
        notice.contains("\n In:  XYZZY \\x1b[2J\n Out: 500 5.5.2 Error: command not recognized"),
        "{notice}"
    );

    // bounce: what is refused instead of being bounced has a recipient of its own.
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect("MAIL FROM:<a@client.test> SIZE=1", "250");
    client.expect("RCPT TO:<b@here.test>", "250");
    client.expect("DATA", "354");
    let hops = "Received: from a by b; Sat, 21 Nov 2026 07:00:00 +0000\r\n".repeat(60);
    client.send(format!("{hops}\r\nbody\r\n.\r\n").as_bytes());
    assert!(client.reply().starts_with("554 5.4.0"));
    client.expect("QUIT", "221");
    let notice = text(&daemon.wait_for_mail("bounced", 1)[0]);
    assert!(notice.contains("\n In:  RCPT TO:<b@here.test>") && !notice.contains("body"), "{notice}");
    assert_eq!(daemon.delivered("errors").len(), 1);
}

#[test]
fn undelivered_mail_and_undelivered_reports_come_to_those_who_are_named() {
    let server = Server::scripted(|line, _| match line.starts_with("RCPT") {
        true => Answer::Say("500 5.5.2 what is that\r\n".to_owned()),
        false => Answer::Usual,
    });
    let relay = format!("relayhost = [127.0.0.1]:{}\n", server.address.port());
    let daemon = Daemon::start("notice-bounce", &format!("{ALL}{relay}"));
    let content = "Subject: letter\r\n\r\nfor nobody else\r\n";
    let reply = daemon.client().deliver("a@far.test", &["b@far.test"], content);
    assert!(reply.starts_with("250"), "{reply}");

    let copy = text(&daemon.wait_for_mail("bounced", 1)[0]);
    assert_eq!(header(&copy, "Subject"), "Postmaster Copy: Undelivered Mail");
    assert!(copy.contains("\nSubject: letter") && !copy.contains("for nobody else"), "headers only: {copy}");

    let copy = text(&daemon.wait_for_mail("twice", 1)[0]);
    assert_eq!(header(&copy, "Subject"), "Postmaster Copy: Undelivered Mail");
    assert!(copy.contains("<a@far.test>"), "the report that came back: {copy}");

    let notice = text(&daemon.wait_for_mail("errors", 1)[0]);
    let peer = format!("127.0.0.1[127.0.0.1]:{}", server.address.port());
    assert!(header(&notice, "Subject").ends_with(&format!(" SMTP client: errors from {peer}")), "{notice}");
    assert!(notice.contains("\n Out: RCPT TO:<b@far.test>"), "{notice}");
    assert!(notice.contains("\n In:  500 5.5.2 what is that"), "{notice}");
    assert!(!notice.contains("MAIL FROM:<>"), "the report's own trouble is nobody's: {notice}");
}

#[test]
fn late_mail_is_told_of_with_its_header_only() {
    let server = Server::scripted(|line, _| match line.starts_with("RCPT") {
        true => Answer::Say("450 4.2.0 later\r\n".to_owned()),
        false => Answer::Usual,
    });
    let lines = format!(
        "{ALL}relayhost = [127.0.0.1]:{}\ndelay_warning_time = 1s\n\
         minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n",
        server.address.port()
    );
    let daemon = Daemon::start("notice-delay", &lines);
    let content = "Subject: letter\r\n\r\nfor nobody else\r\n";
    _ = daemon.client().deliver("a@here.test", &["b@far.test"], content);
    let copy = text(&daemon.wait_for_mail("delayed", 1)[0]);
    assert_eq!(header(&copy, "Subject"), "Postmaster Warning: Delayed Mail");
    assert!(copy.contains("\nSubject: letter") && !copy.contains("for nobody else"), "{copy}");
    let warning = text(&daemon.wait_for_mail("a", 1)[0]);
    assert_eq!(header(&warning, "Subject"), "Delayed Mail (still being retried)");
}

#[test]
fn a_notice_that_is_refused_makes_no_notice_and_no_report() {
    let server = Server::scripted(|line, _| match line.contains("<errors@far.test>") {
        true => Answer::Say("500 5.5.2 what is that\r\n".to_owned()),
        false => Answer::Usual,
    });
    let port = server.address.port();
    let lines = format!(
        "{}relayhost = [127.0.0.1]:{port}\n",
        ALL.replace("error_notice_recipient = errors@here.test", "error_notice_recipient = errors@far.test")
    );
    let daemon = Daemon::start("notice-loop", &lines);
    let mut client = daemon.client();
    client.expect("XYZZY", "500");
    client.expect("QUIT", "221");
    _ = daemon.wait_for_log("status=bounced");
    // Whatever the refusal would have made is in front of this in the queue.
    _ = daemon.client().deliver("a@client.test", &["last@here.test"], "Subject: last\r\n\r\n\r\n");
    _ = daemon.wait_for_mail("last", 1);
    daemon.wait_until_the_queue_is_empty();
    assert_eq!(daemon.log().matches("notice to the postmaster").count(), 1, "{}", daemon.log());
    let lost = "warning: undeliverable postmaster notification discarded";
    assert_eq!(daemon.log().matches(lost).count(), 1, "{}", daemon.log());
    assert_eq!(daemon.delivered("bounced").len() + daemon.delivered("twice").len(), 0);
    let asked = server.heard().iter().filter(|line| line.contains("<errors@far.test>")).count();
    assert_eq!(asked, 1);
}
