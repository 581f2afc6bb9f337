//! Dovecot takes our mail over LMTP, and answers for each recipient.

use postrider_tests::daemon::Daemon;
use postrider_tests::dovecot::Dovecot;

fn delivers(name: &str, transport: impl Fn(&Dovecot) -> String) {
    let dovecot = Dovecot::start(&format!("{name}-server"));
    let lines = format!("virtual_transport = {0}\nlocal_transport = {0}", transport(&dovecot));
    let daemon = Daemon::start(name, &lines);
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    for number in 0..5 {
        let content = format!("From: me@far.test\r\nSubject: number {number}\r\n\r\nText\r\n..dots\r\n");
        let reply = client.transaction("me@far.test", &["known@here.test", "second@here.test"], &content);
        assert!(reply.starts_with("250"), "{reply}");
    }
    for user in ["known", "second"] {
        let mails = dovecot.wait_for_mail(user, 5);
        assert!(mails.iter().all(|mail| mail.contains("Return-Path: <me@far.test>")), "{mails:?}");
        assert!(mails.iter().all(|mail| mail.ends_with("\n\nText\n.dots\n")), "{mails:?}");
    }
    let line = daemon.wait_for_log("to=<known@here.test>");
    assert!(
        line.contains("postrider/lmtp[") && line.contains("status=sent (250 2.0.0 <known@here.test>"),
        "{line}"
    );
}

#[test]
fn over_a_socket_of_this_host() {
    delivers("lmtp-unix", |dovecot| format!("lmtp:unix:{}", dovecot.socket().display()));
}

#[test]
fn over_tcp() {
    delivers("lmtp-inet", |dovecot| format!("lmtp:inet:127.0.0.1:{}", dovecot.port));
}

#[test]
fn one_of_two_recipients_is_refused() {
    let dovecot = Dovecot::start("lmtp-refusal-server");
    let lines = format!("local_transport = lmtp:unix:{}", dovecot.socket().display());
    let daemon = Daemon::start("lmtp-refusal", &format!("{lines}\nvirtual_mailbox_domains = box.test"));
    let reply = daemon.client().deliver(
        "me@box.test",
        &["known@here.test", "unknown@here.test", "second@here.test"],
        "Subject: to three\r\n\r\nbody\r\n",
    );
    assert!(reply.starts_with("250"), "{reply}");
    _ = dovecot.wait_for_mail("known", 1);
    _ = dovecot.wait_for_mail("second", 1);
    // The sender hears of one failure, and of one only.
    let report = String::from_utf8_lossy(&daemon.wait_for_mail("me", 1)[0]).into_owned();
    assert!(report.contains("Final-Recipient: rfc822; unknown@here.test"), "{report}");
    assert!(report.contains("Status: 5.1.1"), "{report}");
    assert!(report.contains("Remote-MTA: dns;") || report.contains("User doesn't exist"), "{report}");
    assert!(!report.contains("Final-Recipient: rfc822; known@here.test"), "{report}");
    let line = daemon.wait_for_log("to=<unknown@here.test>");
    assert!(line.contains("status=bounced (host ") && line.contains("said: 550 5.1.1"), "{line}");
    assert_eq!((dovecot.delivered("known").len(), dovecot.delivered("second").len()), (1, 1));
}
