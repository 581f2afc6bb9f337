//! Debian's Postfix relays to us, and we relay to it: envelopes and contents are the same on the other side.

use postrider_tests::daemon::Daemon;
use postrider_tests::messages;
use postrider_tests::postfix::Postfix;
use postrider_tests::smtp::Client;

const MESSAGES: u64 = 20;
const SEED: u64 = 77;

/// The content that was sent: what follows the trace fields that both put in front. `X-Original-To` and `Delivered-To` too.
fn below_trace(message: &[u8]) -> Vec<u8> {
    let lines: Vec<&[u8]> = message.split_inclusive(|octet| *octet == b'\n').collect();
    let trace = ["return-path:", "x-original-to:", "delivered-to:", "received: from "];
    let mut index = 0;
    let mut received = 0;
    while let Some(line) = lines.get(index) {
        let start = String::from_utf8_lossy(line).to_ascii_lowercase();
        let Some(name) = trace.iter().find(|name| start.starts_with(**name)) else { break };
        if name.starts_with("received") {
            // One of ours, one of theirs; those of earlier hops belong to the message.
            if received == 2 {
                break;
            }
            received += 1;
        }
        index += 1;
        while lines.get(index).is_some_and(|line| line.starts_with(b" ") || line.starts_with(b"\t")) {
            index += 1;
        }
    }
    lines[index..].concat()
}

fn as_in_a_mailbox(message: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(message).replace("\r\n", "\n").into_bytes()
}

/// Messages that are UTF-8: a mailbox has lines of its own, and a comparison of text shows where they differ.
fn message(number: u64) -> Vec<u8> {
    let size = messages::size(SEED, number).min(60_000);
    messages::message(SEED, number, size)
}

fn submit(port: u16, recipients: &[&str]) {
    let mut client = Client::connect(port);
    client.expect("EHLO client.test", "250");
    for number in 0..MESSAGES {
        client.expect(&format!("MAIL FROM:<sender{number}@origin.test> BODY=8BITMIME"), "250");
        for recipient in recipients {
            client.expect(&format!("RCPT TO:<{recipient}>"), "250");
        }
        client.expect("DATA", "354");
        for line in message(number).split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b".") {
                client.send(b".");
            }
            client.send(line);
        }
        client.send(b".\r\n");
        let reply = client.reply();
        assert!(reply.starts_with("250 2.0.0 Ok"), "message {number}: {reply}");
    }
    client.expect("QUIT", "221");
}

/// Every message is there once, with its envelope's sender and its recipient.
fn compare(found: &[Vec<u8>], recipient: &str) {
    assert_eq!(u64::try_from(found.len()), Ok(MESSAGES));
    for number in 0..MESSAGES {
        let mark = format!("\nX-Number: {number}\n");
        let mut same = found.iter().filter(|octets| String::from_utf8_lossy(octets).contains(&mark));
        let octets = same.next().unwrap_or_else(|| panic!("message {number} did not arrive"));
        assert!(same.next().is_none(), "message {number} came twice");
        let text = String::from_utf8_lossy(octets);
        assert!(text.starts_with(&format!("Return-Path: <sender{number}@origin.test>\n")), "{text:.300}");
        assert!(text.contains(&format!("Delivered-To: {recipient}\n")), "{text:.300}");
        let (sent, got) = (as_in_a_mailbox(&message(number)), as_in_a_mailbox(&below_trace(octets)));
        let at = sent.iter().zip(&got).take_while(|(one, other)| one == other).count();
        let near = |octets: &[u8]| {
            octets[at.min(octets.len())..(at + 80).min(octets.len())].escape_ascii().to_string()
        };
        assert!(
            sent == got,
            "message {number} differs at {at}: sent {:?}, got {:?}",
            near(&sent),
            near(&got)
        );
    }
}

#[test]
fn we_relay_to_postfix() {
    let postfix = Postfix::start("to-postfix-peer", "");
    let daemon = Daemon::start("to-postfix", &format!("relayhost = [127.0.0.1]:{}", postfix.port));
    submit(daemon.port, &["one@post.test", "two@post.test"]);
    let count = usize::try_from(MESSAGES).expect("a small number");
    compare(&postfix.wait_for_mail("one", count), "one@post.test");
    compare(&postfix.wait_for_mail("two", count), "two@post.test");
    // What Postfix refuses comes back as a report, in its words.
    let reply = daemon.client().deliver("me@here.test", &["nobody@post.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    let report = String::from_utf8_lossy(&daemon.wait_for_mail("me", 1)[0]).into_owned();
    assert!(report.contains("Diagnostic-Code: smtp; 550 5.1.1 <nobody@post.test>"), "{report}");
    assert!(report.contains("Remote-MTA: dns; "), "{report}");
}

#[test]
fn postfix_relays_to_us() {
    let mut daemon = Daemon::prepare("from-postfix", "", "");
    daemon.own_hosts("127.0.0.1 peer.test\n");
    daemon.run();
    let postfix = Postfix::start("from-postfix-peer", &format!("relayhost = [127.0.0.1]:{}", daemon.port));
    submit(postfix.port, &["one@here.test", "two@here.test"]);
    let count = usize::try_from(MESSAGES).expect("a small number");
    compare(&daemon.wait_for_mail("one", count), "one@here.test");
    compare(&daemon.wait_for_mail("two", count), "two@here.test");
    let line = daemon.wait_for_log(": client=");
    assert!(line.contains("client=peer.test[127.0.0.1]"), "{line}");
}

#[test]
fn what_we_refuse_postfix_reports() {
    let daemon = Daemon::start("refused-postfix", "local_recipient_maps = inline:{one=x}");
    let postfix = Postfix::start(
        "refused-postfix-peer",
        &format!("default_transport = smtp:[127.0.0.1]:{}", daemon.port),
    );
    let mut client = Client::connect(postfix.port);
    let reply = client.deliver("one@post.test", &["nobody@here.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    let report = String::from_utf8_lossy(&postfix.wait_for_mail("one", 1)[0]).into_owned();
    assert!(report.contains("Final-Recipient: rfc822; nobody@here.test"), "{report}");
    let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(report.contains("Recipient address rejected: User unknown in local recipient table"), "{report}");
}
