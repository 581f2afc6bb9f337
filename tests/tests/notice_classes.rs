//! `notify_classes`, class by class, and whose name notices and double bounces bear: what is told of with a class is not without it.

use postrider_tests::daemon::Daemon;
use postrider_tests::server::{Answer, Server};
use postrider_tests::wait_for;

/// Everything but the classes. The mailboxes have names of their own.
const RECIPIENTS: &str = "bounce_notice_recipient = bounced@here.test\n\
    2bounce_notice_recipient = twice@here.test\n\
    delay_notice_recipient = delayed@here.test\n\
    error_notice_recipient = errors@here.test\n";

const CONTENT: &str = "Subject: letter\r\n\r\nbody\r\n";

fn text(message: &[u8]) -> String {
    String::from_utf8(message.to_vec()).expect("what we write to the postmaster is ASCII")
}

fn sender(message: &[u8]) -> String {
    let message = text(message);
    let field = message.lines().find_map(|line| line.strip_prefix("Return-Path: "));
    field.unwrap_or_else(|| panic!("no Return-Path in {message}")).to_owned()
}

/// How many messages each of the mailboxes has: bounced, twice, delayed, errors.
fn told(daemon: &Daemon) -> [usize; 4] {
    ["bounced", "twice", "delayed", "errors"].map(|user| daemon.delivered(user).len())
}

/// A relay that says this to every recipient.
fn relay(reply: &'static str) -> Server {
    Server::scripted(move |line, _| match line.starts_with("RCPT") {
        true => Answer::Say(format!("{reply}\r\n")),
        false => Answer::Usual,
    })
}

/// Mail that comes back, and a report that does not get to whoever sent it.
#[test]
fn of_mail_that_comes_back_bounce_and_2bounce_tell() {
    let server = relay("550 5.1.1 nobody here");
    for (classes, wanted) in [
        // As with Postfix, bounce has 2bounce in it.
        ("notify_classes = bounce", [2, 1, 0, 0]),
        ("notify_classes = 2bounce", [0, 1, 0, 0]),
        ("notify_classes = delay, data, policy, protocol, resource, software", [0; 4]),
        ("notify_classes =", [0; 4]),
        // The default has neither.
        ("", [0; 4]),
    ] {
        let lines = format!("{classes}\n{RECIPIENTS}relayhost = [127.0.0.1]:{}\n", server.address.port());
        let daemon = Daemon::start("class-bounce", &lines);
        // One report is delivered; the other is refused by the relay, as the message was.
        for sender in ["a@here.test", "a@far.test"] {
            let reply = daemon.client().deliver(sender, &["b@far.test"], CONTENT);
            assert!(reply.starts_with("250 "), "{reply}");
        }
        assert_eq!(sender(&daemon.wait_for_mail("a", 1)[0]), "<>");
        wait_for("the relay to have refused both and the report", || {
            (daemon.log().matches("status=bounced").count() == 3).then_some(())
        });
        daemon.wait_until_the_queue_is_empty();
        assert_eq!(told(&daemon), wanted, "{classes}");
    }
}

/// A warning to the sender (`delay_warning_time`) has a copy for the postmaster with the class, and only with it.
#[test]
fn of_mail_that_is_late_delay_tells() {
    let server = relay("450 4.2.0 later");
    for (classes, wanted) in [
        ("notify_classes = delay", [0, 0, 1, 0]),
        ("notify_classes = bounce, 2bounce, data, policy, protocol, resource, software", [0; 4]),
        ("", [0; 4]),
    ] {
        let lines = format!(
            "{classes}\n{RECIPIENTS}relayhost = [127.0.0.1]:{}\ndelay_warning_time = 1s\n\
             minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n",
            server.address.port()
        );
        let daemon = Daemon::start("class-delay", &lines);
        _ = daemon.client().deliver("a@here.test", &["b@far.test"], CONTENT);
        assert_eq!(sender(&daemon.wait_for_mail("a", 1)[0]), "<>");
        if wanted[2] > 0 {
            _ = daemon.wait_for_mail("delayed", 1);
        } else {
            // A copy would have been made with the warning; behind it two more attempts have been made.
            let tries = || daemon.log().matches("status=deferred").count();
            let before = tries();
            wait_for("two attempts more", || (tries() >= before + 2).then_some(()));
        }
        assert_eq!(told(&daemon), wanted, "{classes}");
    }
}

/// What a client does and is told of goes to whom the parameter names.
#[test]
fn of_a_client_s_errors_protocol_tells_whom_error_notice_recipient_names() {
    for (lines, user, count) in [
        ("notify_classes = protocol\nerror_notice_recipient = errors@here.test", "errors", 1),
        ("notify_classes = protocol", "postmaster", 1),
        ("notify_classes = bounce, 2bounce, delay, data, policy, resource, software", "postmaster", 0),
        ("", "postmaster", 0),
    ] {
        let postmaster = "mydestination = $myhostname, here.test";
        let daemon = Daemon::start("class-protocol", &format!("{lines}\n{postmaster}"));
        let mut client = daemon.client();
        client.expect("EHLO client.test", "250");
        client.expect("XYZZY", "500");
        client.expect("QUIT", "221");
        drop(client);
        // A notice comes from a session that has ended, and is in front of this in the queue.
        _ = daemon.wait_for_log("disconnect from");
        _ = daemon.client().deliver("a@client.test", &["last@here.test"], CONTENT);
        _ = daemon.wait_for_mail("last", 1);
        daemon.wait_until_the_queue_is_empty();
        _ = daemon.wait_for_mail(user, count);
        let found = ["errors", "postmaster"].map(|user| daemon.delivered(user).len());
        assert_eq!(found.iter().sum::<usize>(), count, "{lines}");
        assert_eq!(daemon.delivered(user).len(), count, "{lines}");
    }
}

/// Notices, the postmaster's copies and double bounces come from `double_bounce_sender`, and mail to it is nobody's.
#[test]
fn notices_and_double_bounces_come_from_double_bounce_sender() {
    let server = relay("500 5.5.2 what is that");
    for (line, address) in [("double_bounce_sender = again", "again"), ("", "double-bounce")] {
        let lines = format!(
            "{line}\nnotify_classes = bounce, 2bounce, protocol\n{RECIPIENTS}relayhost = [127.0.0.1]:{}\n\
             mydestination = $myhostname, here.test\n",
            server.address.port()
        );
        let daemon = Daemon::start("double-bounce-sender", &lines);
        let reply = daemon.client().deliver("a@far.test", &["b@far.test"], CONTENT);
        assert!(reply.starts_with("250 "), "{reply}");
        let wanted = format!("<{address}@mail.here.test>");
        for user in ["bounced", "twice", "errors"] {
            assert_eq!(sender(&daemon.wait_for_mail(user, 1)[0]), wanted, "{user}");
        }
        // Who answers a notice writes to nobody; the other address is one like any.
        for other in ["again", "double-bounce"] {
            let to = format!("{other}@mail.here.test");
            let reply = daemon.client().deliver("a@here.test", &[&to], CONTENT);
            assert!(reply.starts_with("250 "), "{reply}");
            let log = daemon.wait_for_log(&format!("to=<{to}>"));
            assert_eq!(log.contains("relay=none"), other == address, "{log}");
            assert_eq!(daemon.delivered(other).len(), usize::from(other != address), "{log}");
        }
    }
}
