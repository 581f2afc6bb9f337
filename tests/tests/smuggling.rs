//! Rows S1 to S3 of the attacks: whatever a stranger writes between CRLFs, one envelope makes one message at the next hop.
//!
//! Judged by what arrived at the next hop, never by replies alone; and each run ends with a message that must arrive, so that a
//! server that takes nothing at all does not pass.

use postrider_tests::daemon::Daemon;
use postrider_tests::server::Server;
use postrider_tests::smtp::Client;
use std::collections::BTreeSet;

/// What other programs took for the end of the data, and what one might.
const ENDS: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\n",
    b"\n.\r",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\n\n",
    b"\0\r\n.\n",
    b"\r\0\n.\r\0\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\0\n",
    b"\r\n .\r\n",
    b"\r\n. \r\n",
    b"\r\n\x0b.\r\n",
    b"\r\n.\x0c\r\n",
    b"\xc2\x85.\xc2\x85",
    b"\xe2\x80\xa8.\xe2\x80\xa8",
    b"\r\n..\r\n",
];

/// A relay to a server that keeps all it is given.
fn relay(name: &str) -> (Daemon, Server) {
    let server = Server::start();
    let lines = format!(
        "relayhost = [127.0.0.1]:{}\nsmtpd_error_sleep_time = 0\nsmtpd_hard_error_limit = 1000",
        server.address.port()
    );
    (Daemon::start(name, &lines), server)
}

/// The attack: a message with a second envelope behind something that is no end of data.
fn smuggle(number: usize, end: &[u8]) -> Vec<u8> {
    let mut content = format!("Subject: outer {number}\r\n\r\nbody").into_bytes();
    content.extend_from_slice(end);
    content.extend_from_slice(
        b"MAIL FROM:<smuggled@evil.test>\r\nRCPT TO:<victim@far.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil\r\n.\r\n",
    );
    content
}

/// In the replies that take responsibility, and in no others.
const PROMISE: &str = " queued as ";

/// How the octets are cut into segments.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Whole,
    Each,
    At(usize),
}

fn send(client: &mut Client, octets: &[u8], cut: Cut) {
    match cut {
        Cut::Whole => client.send(octets),
        Cut::Each => octets.iter().for_each(|octet| client.send(&[*octet])),
        Cut::At(place) => {
            let (head, tail) = octets.split_at(place.min(octets.len()));
            client.send(head);
            client.send(tail);
        }
    }
}

/// One session: an envelope, the octets behind DATA, and QUIT; its end is waited for. True when its message was taken.
fn by_data(daemon: &Daemon, number: usize, end: &[u8], cut: Cut) -> bool {
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect(&format!("MAIL FROM:<outer{number}@client.test> BODY=8BITMIME"), "250");
    client.expect("RCPT TO:<reader@far.test>", "250");
    client.expect("DATA", "354");
    send(&mut client, &smuggle(number, end), cut);
    client.send(b"QUIT\r\n");
    String::from_utf8_lossy(&client.rest()).contains(PROMISE)
}

/// The same in one chunk.
fn by_bdat(daemon: &Daemon, number: usize, end: &[u8], cut: Cut) -> bool {
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect(&format!("MAIL FROM:<outer{number}@client.test> BODY=8BITMIME"), "250");
    client.expect("RCPT TO:<reader@far.test>", "250");
    let content = smuggle(number, end);
    client.send(format!("BDAT {} LAST\r\n", content.len()).as_bytes());
    send(&mut client, &content, cut);
    let reply = client.reply();
    assert!(reply.starts_with("250") || reply.starts_with('5'), "{reply}");
    client.expect("QUIT", "221");
    reply.contains(PROMISE)
}

/// Behind a message without guile, all that was promised has arrived once, and nothing else has.
#[track_caller]
fn judge(daemon: &Daemon, server: &Server, promised: &BTreeSet<usize>) {
    let reply =
        daemon.client().deliver("last@client.test", &["reader@far.test"], "Subject: last\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    daemon.wait_until_the_queue_is_empty();
    let taken = server.taken();
    let mut senders: Vec<&str> =
        taken.iter().filter_map(|message| message.mail.split(['<', '>']).nth(1)).collect();
    senders.sort_unstable();
    let mut wanted: Vec<String> =
        promised.iter().map(|number| format!("outer{number}@client.test")).collect();
    wanted.push("last@client.test".to_owned());
    wanted.sort_unstable();
    assert_eq!(senders, wanted, "one envelope is one message");
    for message in &taken {
        let octets = message.content.escape_ascii().to_string();
        assert!(!message.mail.contains("smuggled"), "an envelope was smuggled in: {octets}");
        assert!(!message.recipients.iter().any(|one| one.contains("victim")), "{octets}");
        let bare = message.content.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
        let cr = message.content.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n');
        let nul = message.content.contains(&0);
        assert!(!bare && !cr && !nul, "stray octets left us: {octets}");
    }
}

#[test]
fn no_end_of_data_but_the_true_one_ends_the_data() {
    let (daemon, server) = relay("smuggling-data");
    let (mut number, mut promised) = (0, BTreeSet::new());
    for end in ENDS {
        let length = smuggle(0, end).len();
        let start = "Subject: outer 0\r\n\r\nbody".len();
        // Around what pretends to be the end, each place; and the two extremes.
        let cuts = (start - 1..start + end.len() + 2).map(Cut::At);
        for cut in [Cut::Whole, Cut::Each, Cut::At(length - 3)].into_iter().chain(cuts) {
            number += 1;
            promised.extend(by_data(&daemon, number, end, cut).then_some(number));
        }
    }
    assert!(number > 200, "{number} sessions");
    assert!(promised.len() > number / 2, "only {} of {number} were taken", promised.len());
    judge(&daemon, &server, &promised);
}

#[test]
fn a_chunk_is_its_count_and_no_line_in_it_is_a_command() {
    let (daemon, server) = relay("smuggling-bdat");
    let (mut number, mut promised) = (0, BTreeSet::new());
    for end in ENDS.iter().chain([&&b"\r\n.\r\n"[..]]) {
        for cut in [Cut::Whole, Cut::Each, Cut::At(30), Cut::At(60)] {
            number += 1;
            promised.extend(by_bdat(&daemon, number, end, cut).then_some(number));
        }
    }
    assert_eq!(promised.len(), number, "no octets are forbidden in a chunk");
    judge(&daemon, &server, &promised);
}

/// A true end of data does end it: the second envelope is then one of a client that pipelines, which is refused for that or obeyed,
/// but it is seen. Without this the tests above could not fail.
#[test]
fn a_true_end_of_data_is_seen_by_the_same_judge() {
    let (daemon, server) = relay("smuggling-control");
    assert!(by_data(&daemon, 1, b"\r\n.\r\n", Cut::Whole));
    let outer = server.wait(1);
    assert!(outer[0].content.ends_with(b"body\r\n"), "{}", outer[0].content.escape_ascii());
    let seen = daemon.log().contains("smuggled@evil.test") || daemon.log().contains("pipelining");
    assert!(seen, "{}", daemon.log());
}

#[test]
fn a_dot_at_the_edge_of_a_buffer_is_a_dot() {
    let (daemon, server) = relay("smuggling-edges");
    for edge in [4_095, 4_096, 4_097, 65_535, 65_536, 65_537] {
        let mut client = daemon.client();
        client.expect("EHLO client.test", "250");
        client.expect(&format!("MAIL FROM:<edge{edge}@client.test>"), "250");
        client.expect("RCPT TO:<reader@far.test>", "250");
        client.expect("DATA", "354");
        let mut content = b"Subject: edge\r\n\r\n".to_vec();
        while content.len() + 80 < edge {
            content.extend_from_slice(&[b'x'; 70]);
            content.extend_from_slice(b"\r\n");
        }
        // Padded so that CRLF.CRLF lies across the edge: the CR is its last octet.
        content.resize(edge - 1, b'y');
        content.extend_from_slice(b"\r\n.\r\n");
        client.send(&content);
        let reply = client.reply();
        assert!(reply.starts_with("250 2.0.0 Ok: queued"), "{edge}: {reply}");
        client.expect("QUIT", "221");
        let taken = server.wait(1);
        let message = taken.iter().rev().find(|message| message.mail.contains(&format!("edge{edge}@")));
        let message = message.cloned().unwrap_or_else(|| {
            postrider_tests::wait_for("the message", || {
                server.taken().into_iter().find(|message| message.mail.contains(&format!("edge{edge}@")))
            })
        });
        assert!(message.content.ends_with(b"y\r\n"), "{edge}");
    }
}
