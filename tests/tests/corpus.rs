//! Two thousand messages go in by SMTP and out by SMTP, and are octet for octet what they were, but for our trace field.

use postrider_tests::daemon::Daemon;
use postrider_tests::messages;
use postrider_tests::server::Server;
use postrider_tests::smtp::Client;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MESSAGES: u64 = 2_000;
const SEED: u64 = 20_241_121;
const CLIENTS: usize = 4;

/// A message with what a client must change: a dot in front of each dot at the start of a line.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out
}

/// Cuts our Received field off: it must be first, and one field.
#[track_caller]
fn without_trace(content: &[u8]) -> &[u8] {
    assert!(
        content.starts_with(b"Received: from "),
        "{}",
        String::from_utf8_lossy(&content[..200.min(content.len())])
    );
    let mut at = 0;
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if at > 0 && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            break;
        }
        at += line.len();
    }
    &content[at..]
}

#[track_caller]
fn assert_same(number: u64, sent: &[u8], got: &[u8]) {
    if sent == got {
        return;
    }
    let at = sent.iter().zip(got).take_while(|(one, other)| one == other).count();
    let near = |octets: &[u8]| {
        let window = &octets[at.saturating_sub(60).min(octets.len())..(at + 60).min(octets.len())];
        window.escape_ascii().to_string()
    };
    panic!(
        "message {number} differs at octet {at} of {} ({} came out)\nsent {}\n got {}",
        sent.len(),
        got.len(),
        near(sent),
        near(got)
    );
}

fn send(port: u16, next: &AtomicU64, corpus: &[Vec<u8>]) {
    let mut client = Client::connect(port);
    client.expect("EHLO client.test", "250");
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(message) = usize::try_from(number).ok().and_then(|index| corpus.get(index)) else {
            client.expect("QUIT", "221");
            return;
        };
        let body = if number.is_multiple_of(2) { " BODY=8BITMIME" } else { "" };
        client.expect(&format!("MAIL FROM:<sender{number}@origin.test>{body}"), "250");
        client.expect(&format!("RCPT TO:<reader{number}@elsewhere.test>"), "250");
        if number.is_multiple_of(3) {
            // In two chunks, cut anywhere, even in a CRLF.
            let cut = message.len() / 2;
            client.send(format!("BDAT {cut}\r\n").as_bytes());
            client.send(&message[..cut]);
            assert!(client.reply().starts_with("250"));
            client.send(format!("BDAT {} LAST\r\n", message.len() - cut).as_bytes());
            client.send(&message[cut..]);
        } else {
            client.expect("DATA", "354");
            client.send(&stuffed(message));
            client.send(b".\r\n");
        }
        let reply = client.reply();
        assert!(reply.starts_with("250"), "message {number}: {reply}");
    }
}

#[test]
fn two_thousand_messages_pass_unchanged() {
    let server = Server::start();
    let daemon = Daemon::start("corpus", &format!("relayhost = [127.0.0.1]:{}", server.address.port()));
    let next = Arc::new(AtomicU64::new(0));
    let corpus: Vec<_> =
        (0..MESSAGES).map(|number| messages::message(SEED, number, messages::size(SEED, number))).collect();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| send(daemon.port, &next, &corpus));
        }
    });
    let taken = server.wait(usize::try_from(MESSAGES).expect("a small number"));
    let mut by_sender = BTreeMap::new();
    for message in taken {
        let sender = message.mail.split('>').next().unwrap_or_default().to_owned();
        assert_eq!(message.recipients.len(), 1, "{sender}");
        assert!(by_sender.insert(sender.clone(), message).is_none(), "{sender} came twice");
    }
    for (number, sent) in (0..MESSAGES).zip(&corpus) {
        let message =
            by_sender.get(&format!("<sender{number}@origin.test")).expect("every message comes out");
        assert!(message.recipients[0].starts_with(&format!("<reader{number}@elsewhere.test>")));
        assert_same(number, sent, without_trace(&message.content));
    }
}

/// What a client may leave out: fields that we add behind the header, and the last line's end.
#[test]
fn what_is_missing_is_added_and_nothing_else() {
    let server = Server::start();
    let daemon =
        Daemon::start("corpus-missing", &format!("relayhost = [127.0.0.1]:{}", server.address.port()));
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect("MAIL FROM:<sender@origin.test>", "250");
    client.expect("RCPT TO:<reader@elsewhere.test>", "250");
    let message = b"Subject: bare\r\n\r\nno end of line";
    client.send(format!("BDAT {} LAST\r\n", message.len()).as_bytes());
    client.send(message);
    assert!(client.reply().starts_with("250"));
    let taken = server.wait(1);
    let text = String::from_utf8(without_trace(&taken[0].content).to_vec()).expect("it is ASCII");
    let (header, body) = text.split_once("\r\n\r\n").expect("a header and a body");
    let names: Vec<_> = header.lines().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(names, ["Subject", "Message-Id", "Date", "From"]);
    assert_eq!(body, "no end of line\r\n");
}
