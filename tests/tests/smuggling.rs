//! Rows S1 to S3 and C1 of the attacks: whatever a stranger writes between CRLFs, one envelope makes one message at the next hop.
//!
//! Judged by what arrived at the next hop, never by replies alone; and each run ends with a message that must arrive, so that a
//! server that takes nothing at all does not pass.

use postrider_tests::binary;
use postrider_tests::daemon::Daemon;
use postrider_tests::server::{Server, Taken};
use postrider_tests::smtp::Client;
use postrider_tests::smuggling::{ENDS, OBEDIENT, TRUE_END, attack, judge, place, promises};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

/// A relay to a server that keeps all it is given, and more lines of main.cf.
fn relay(name: &str, lines: &str) -> (Daemon, Server) {
    let server = Server::start();
    let lines = format!(
        "relayhost = [127.0.0.1]:{}\nsmtpd_error_sleep_time = 0\nsmtpd_hard_error_limit = 1000\n{lines}",
        server.address.port()
    );
    (Daemon::start(name, &lines), server)
}

/// Who sends the attack of this number.
fn sender(number: usize) -> String {
    format!("outer{number}@client.test")
}

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
    client.expect(&format!("MAIL FROM:<{}> BODY=8BITMIME", sender(number)), "250");
    client.expect("RCPT TO:<reader@far.test>", "250");
    client.expect("DATA", "354");
    send(&mut client, &attack(end), cut);
    client.send(b"QUIT\r\n");
    promises(&String::from_utf8_lossy(&client.rest()))
}

/// The same in one chunk.
fn by_bdat(daemon: &Daemon, number: usize, end: &[u8], cut: Cut) -> bool {
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect(&format!("MAIL FROM:<{}> BODY=8BITMIME", sender(number)), "250");
    client.expect("RCPT TO:<reader@far.test>", "250");
    let content = attack(end);
    client.send(format!("BDAT {} LAST\r\n", content.len()).as_bytes());
    send(&mut client, &content, cut);
    let reply = client.reply();
    assert!(reply.starts_with("250") || reply.starts_with('5'), "{reply}");
    client.expect("QUIT", "221");
    promises(&reply)
}

#[test]
fn no_end_of_data_but_the_true_one_ends_the_data() {
    let (daemon, server) = relay("smuggling-data", "");
    let (mut number, mut promised) = (0, BTreeSet::new());
    for end in ENDS {
        let (length, place) = (attack(end).len(), place(end));
        // Around what pretends to be the end, each place; and the two extremes.
        let cuts = (place.start - 1..place.end + 2).map(Cut::At);
        for cut in [Cut::Whole, Cut::Each, Cut::At(length - 3)].into_iter().chain(cuts) {
            number += 1;
            promised.extend(by_data(&daemon, number, end, cut).then(|| sender(number)));
        }
    }
    assert!(number > 200, "{number} sessions");
    assert!(promised.len() > number / 2, "only {} of {number} were taken", promised.len());
    assert_eq!(judge(&daemon, &server, &promised), Ok(()));
}

#[test]
fn no_cut_anywhere_makes_an_end_of_data() {
    let (daemon, server) = relay("smuggling-cuts", "");
    // A session for each cut; all ends at once, so that their messages share their syncs.
    let promised: Vec<BTreeSet<String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = ENDS
            .iter()
            .enumerate()
            .map(|(kind, end)| {
                let daemon = &daemon;
                scope.spawn(move || {
                    (1..attack(end).len())
                        .filter(|cut| by_data(daemon, kind * 1_000 + cut, end, Cut::At(*cut)))
                        .map(|cut| sender(kind * 1_000 + cut))
                        .collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panic!("see above"))).collect()
    });
    for (end, promised) in ENDS.iter().zip(&promised) {
        assert_eq!(promised.len(), attack(end).len() - 1, "each is a message: {}", end.escape_ascii());
    }
    assert_eq!(judge(&daemon, &server, &promised.into_iter().flatten().collect()), Ok(()));
}

#[test]
fn a_chunk_is_its_count_and_no_line_in_it_is_a_command() {
    let (daemon, server) = relay("smuggling-bdat", "");
    let (mut number, mut promised) = (0, BTreeSet::new());
    for end in ENDS.iter().chain([&TRUE_END]) {
        for cut in [Cut::Whole, Cut::Each, Cut::At(30), Cut::At(60)] {
            number += 1;
            promised.extend(by_bdat(&daemon, number, end, cut).then(|| sender(number)));
        }
    }
    assert_eq!(promised.len(), number, "no octets are forbidden in a chunk");
    assert_eq!(judge(&daemon, &server, &promised), Ok(()));
}

/// A true end of data does end it, and the second envelope is one of a client that pipelines. Where that is permitted its message arrives,
/// and the judge of the tests above finds it: without this they could not fail.
#[test]
fn a_true_end_of_data_is_found_by_the_same_judge() {
    let (daemon, server) = relay("smuggling-control", OBEDIENT);
    assert!(by_data(&daemon, 1, TRUE_END, Cut::Whole));
    let found = judge(&daemon, &server, &BTreeSet::from([sender(1)])).expect_err("two messages");
    assert!(found.contains("one envelope is one message") && found.contains("smuggled@evil.test"), "{found}");
}

#[test]
fn behind_a_true_end_of_data_a_client_that_does_not_wait_is_refused() {
    let (daemon, server) = relay("smuggling-pipelining", "");
    assert!(by_data(&daemon, 1, TRUE_END, Cut::Whole));
    let outer = server.wait(1);
    assert!(outer[0].content.ends_with(b"body\r\n"), "{}", outer[0].content.escape_ascii());
    _ = daemon.wait_for_log("pipelining");
    assert_eq!(judge(&daemon, &server, &BTreeSet::from([sender(1)])), Ok(()));
}

/// The same through sendmail(1), which is to read to the end of its input, or (without `-i`) to a line of one dot at most.
fn by_sendmail(daemon: &Daemon, number: usize, end: &[u8], options: &[&str]) -> bool {
    let mut child = Command::new(binary("postrider"))
        .args(["sendmail", "-C"])
        .arg(daemon.config())
        .args(["-f", &sender(number)])
        .args(options)
        .arg("reader@far.test")
        .stdin(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(&attack(end)).expect("it reads its input");
    child.wait().expect("it ends").success()
}

#[test]
fn what_sendmail_takes_in_is_one_message_whatever_is_in_it() {
    let (daemon, server) = relay("smuggling-sendmail", "");
    let (mut number, mut promised) = (0, BTreeSet::new());
    for end in ENDS.iter().chain([&TRUE_END]) {
        for options in [&["-i"][..], &["-oi", "-B8BITMIME"], &[]] {
            number += 1;
            promised.extend(by_sendmail(&daemon, number, end, options).then(|| sender(number)));
        }
    }
    assert_eq!(promised.len(), number, "no octets are forbidden in its input");
    assert_eq!(judge(&daemon, &server, &promised), Ok(()));
    let is_whole = |message: &Taken| message.content.windows(6).any(|octets| octets == b"evil\r\n");
    let whole = server.taken().iter().filter(|message| is_whole(message)).count();
    assert!(whole >= number * 2 / 3, "with -i no dot ends the input: {whole} of {number}");
}

#[test]
fn a_dot_at_the_edge_of_a_buffer_is_a_dot() {
    let (daemon, server) = relay("smuggling-edges", "");
    // The daemon reads 8 KB of content first, then 32 and 64 KB at once; others read 4 KB.
    let edges = [4_096, 8_192, 8_192 + 32_768, 65_536, 8_192 + 32_768 + 65_536];
    for edge in edges.into_iter().flat_map(|edge| edge - 1..=edge + 1) {
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
