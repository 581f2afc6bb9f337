//! Rows S9, S16, S17 and S21 of the attacks: what one client may cost, and what happens when there are many.

use postrider_tests::daemon::Daemon;
use postrider_tests::process::anonymous;
use postrider_tests::smtp::Client;
use postrider_tests::{PATIENCE, free_port, wait_for};
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Kilobytes by which a stream without a line end may make the daemon grow.
const GROWTH_MAX: u64 = 1_024;
/// How long the stream is.
const STREAM: usize = 1 << 30;

#[test]
fn a_line_without_an_end_costs_no_memory() {
    let daemon = Daemon::start("endless-line", "");
    // What is made on first use is there.
    let reply = daemon.client().deliver("a@client.test", &["b@here.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    let before = anonymous(daemon.process());
    let block = vec![b'x'; 64 << 10];
    let mut most = before;
    for number in 0..STREAM / block.len() {
        client.send(&block);
        if number % 512 == 0 {
            most = most.max(anonymous(daemon.process()));
        }
    }
    client.send(b"\r\n");
    let reply = client.reply();
    assert!(reply.starts_with("500 5.5.2 "), "{reply}");
    client.expect("NOOP", "250");
    println!("anonymous memory before: {before} kB, at most: {most} kB");
    assert!(most <= before + GROWTH_MAX, "{before} kB, then {most} kB");
}

/// Octets of each bomb below.
const BOMB: usize = 66 << 20;
/// Kilobytes by which one message of any size may make the daemon grow: what is inline in the log, buffers of a socket, and slack.
const MESSAGE_GROWTH_MAX: u64 = 6 * 1_024;

/// Sends a message of a beginning and a part that is repeated up to so many octets; the reply, and by how many kilobytes the daemon grew.
fn bomb(daemon: &Daemon, beginning: &str, part: &[u8], octets: usize) -> (String, u64) {
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect("MAIL FROM:<a@client.test>", "250");
    client.expect("RCPT TO:<b@here.test>", "250");
    client.expect("DATA", "354");
    let before = anonymous(daemon.process());
    let mut most = before;
    client.send(beginning.as_bytes());
    let block = part.repeat((64 << 10) / part.len());
    for number in 0..octets / block.len() {
        client.send(&block);
        if number % 16 == 0 {
            most = most.max(anonymous(daemon.process()));
        }
    }
    client.send(b"\r\n.\r\n");
    let reply = client.reply();
    most = most.max(anonymous(daemon.process()));
    client.expect("QUIT", "221");
    (reply, most - before)
}

/// Beginnings and parts: one line, one field, many fields, many continuation lines, no octet of text, parts within parts.
const BOMBS: &[(&str, &[u8])] = &[
    ("Subject: x\r\n\r\n", b"xxxxxxxxxxxxxxxx"),
    ("Subject: ", b"xxxxxxxxxxxxxxxx"),
    ("", b"X-Field: value\r\n"),
    ("To: a@b.test", b",\r\n a@b.test"),
    ("Subject: x\r\n\r\n", b"\n"),
    (
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n",
    ),
];

#[test]
fn a_message_beyond_the_limit_is_read_to_its_end_in_no_memory_and_refused() {
    let daemon = Daemon::start("bombs-refused", "");
    let reply = daemon.client().deliver("a@client.test", &["b@here.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    for (beginning, part) in BOMBS {
        let (reply, grown) = bomb(&daemon, beginning, part, BOMB);
        println!("{:?}: {grown} kB", part.escape_ascii().to_string());
        assert!(reply.starts_with("552 5.3.4"), "{reply}");
        assert!(grown <= MESSAGE_GROWTH_MAX, "{part:?}: {grown} kB");
    }
    _ = daemon.wait_for_mail("b", 1);
    let contents = fs::read_dir(daemon.path().join("spool/postrider/contents"));
    let left = contents.map_or(0, |entries| entries.count());
    assert_eq!(left, 0, "what was refused leaves no file");
}

#[test]
fn a_message_of_any_size_that_is_taken_needs_no_memory_for_it() {
    let daemon = Daemon::start("bombs-taken", "message_size_limit = 0\nlocal_transport = discard\n");
    let reply = daemon.client().deliver("a@client.test", &["b@here.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    for (beginning, part) in BOMBS {
        let (reply, grown) = bomb(&daemon, beginning, part, BOMB);
        println!("{:?}: {grown} kB", part.escape_ascii().to_string());
        assert!(reply.starts_with("250"), "{part:?}: {reply}");
        assert!(grown <= MESSAGE_GROWTH_MAX, "{part:?}: {grown} kB");
        let id = reply.trim_end().rsplit(' ').next().expect("a queue id");
        let line = daemon.wait_for_log(&format!("{id}: to=<b@here.test>"));
        assert!(line.contains("status=sent"), "{line}");
    }
}

#[test]
fn a_gigabyte_of_line_ends_or_of_one_line_is_read_to_its_end_in_no_memory_and_refused() {
    let daemon = Daemon::start("gigabytes", "");
    let reply = daemon.client().deliver("a@client.test", &["b@here.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    for part in [&b"\n"[..], b"x"] {
        let (reply, grown) = bomb(&daemon, "Subject: x\r\n\r\n", part, STREAM);
        println!("{}: {grown} kB", part.escape_ascii());
        assert!(reply.starts_with("552 5.3.4"), "{reply}");
        assert!(grown <= MESSAGE_GROWTH_MAX, "{part:?}: {grown} kB");
    }
}

/// Writes pipelined NOOPs and reads no reply, until the daemon closes the connection. Calls `blocked` each time that nothing more goes
/// in: both directions are full, as behind a window of zero.
fn write_only(daemon: &Daemon, mut blocked: impl FnMut()) -> usize {
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port)).expect("the daemon listens");
    stream.write_all(b"EHLO client.test\r\n").expect("the daemon reads");
    stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a socket takes a time-out");
    let commands = b"NOOP\r\n".repeat(10_000);
    let (mut sent, start) = (0, Instant::now());
    loop {
        assert!(start.elapsed() < PATIENCE, "the daemon waits for a client that never reads: {sent} octets");
        match stream.write(&commands[sent % commands.len()..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => blocked(),
            Err(_) => return sent,
        }
    }
}

#[test]
fn a_client_that_never_reads_costs_no_memory_and_is_sent_away() {
    let daemon = Daemon::start(
        "zero-window",
        "smtpd_timeout = 5s\nsmtpd_junk_command_limit = 1000000000\nsmtpd_soft_error_limit = 1000000000\n\
         smtpd_hard_error_limit = 1000000000\nsmtpd_forbid_unauth_pipelining = no\n",
    );
    // What is made on first use is there.
    let reply = daemon.client().deliver("a@client.test", &["b@here.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    _ = daemon.wait_for_mail("b", 1);
    let before = anonymous(daemon.process());
    let (mut most, mut greeted, start) = (before, 0, Instant::now());
    let sent = write_only(&daemon, || {
        most = most.max(anonymous(daemon.process()));
        let mut other = daemon.client();
        other.expect("NOOP", "250");
        greeted += 1;
    });
    let waited = start.elapsed();
    println!("{sent} octets, {before} kB, at most {most} kB, {greeted} others, closed after {waited:?}");
    assert!(greeted > 1 && most <= before + GROWTH_MAX, "{greeted} others; {before} kB, then {most} kB");
    // It had its time: what closed is the time limit, no other.
    assert!(waited >= Duration::from_secs(5), "{waited:?}");
    let others = greeted + 1;
    wait_for("all sessions to end", || {
        (daemon.log().matches("disconnect from").count() == others + 1).then_some(())
    });
}

#[test]
fn the_51st_connection_of_one_client_is_sent_away() {
    // Clients of mynetworks are excepted unless somebody says otherwise.
    let daemon = Daemon::start("connections", "smtpd_client_event_limit_exceptions =");
    let clients: Vec<Client> = (0..51).map(|_| daemon.client()).collect();
    let away: Vec<usize> = clients
        .iter()
        .enumerate()
        .filter(|(_, client)| client.greeting.starts_with("421 4.7.0 "))
        .map(|(number, _)| number)
        .collect();
    assert_eq!(away, [50], "51 connections of one client");
    drop(clients);
    // And it may come back.
    postrider_tests::wait_for("room for one more", || {
        daemon.client().greeting.starts_with("220 ").then_some(())
    });
}

#[test]
fn who_has_all_connections_of_one_service_may_still_come_to_another() {
    let other = free_port();
    let daemon = Daemon::start_with(
        "connections-by-service",
        "smtpd_client_event_limit_exceptions =\nsmtpd_client_connection_count_limit = 2",
        &format!("127.0.0.1:{other} inet n - n - - smtpd\n"),
    );
    let greetings = |port: u16| -> Vec<Client> { (0..3).map(|_| Client::connect(port)).collect() };
    let both = [greetings(daemon.port), greetings(other)];
    for clients in &both {
        let codes: Vec<&str> = clients.iter().map(|client| &client.greeting[..4]).collect();
        assert_eq!(codes, ["220 ", "220 ", "421 "]);
    }
}

/// Two services of four sessions each; the banner says under which settings a session is. The port that all the world reaches, and the
/// one of loopback.
fn few_seats() -> (Daemon, u16, u16) {
    let (open, local) = (free_port(), free_port());
    let daemon = Daemon::start_with(
        "stress",
        "smtpd_banner = $myhostname ESMTP ${stress?{hurried}:{calm}}\n\
         smtpd_timeout = ${stress?{5}:{300}}s\n",
        &format!("0.0.0.0:{open} inet n - n - 4 smtpd\n127.0.0.1:{local} inet n - n - 4 smtpd\n"),
    );
    (daemon, open, local)
}

#[test]
fn under_stress_new_clients_must_be_quick_and_those_who_are_there_keep_their_time() {
    let (daemon, open, _) = few_seats();
    let mut early: Vec<Client> = (0..3).map(|_| Client::connect(open)).collect();
    assert!(early.iter().all(|client| client.greeting.ends_with("calm\r\n")), "{early:?}");
    let mut late = Client::connect(open);
    assert_eq!(late.greeting, "220 mail.here.test ESMTP hurried\r\n");
    _ = daemon.wait_for_log("of 4 sessions are taken: new clients get the settings of stress");
    // Mail is taken from those who are quick.
    let reply = late.deliver("a@client.test", &["b@here.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    let reply = late.reply();
    assert!(reply.starts_with("421 4.4.2"), "five seconds of silence are too much: {reply}");
    for client in &mut early {
        client.expect("NOOP", "250");
    }
    drop(early);
    postrider_tests::wait_for("the end of stress", || {
        Client::connect(open).greeting.ends_with("calm\r\n").then_some(())
    });
    _ = daemon.wait_for_log("stress is over");
}

#[test]
fn a_slow_client_gives_its_seat_back_under_stress() {
    let (daemon, open, _) = few_seats();
    let calm: Vec<Client> = (0..3).map(|_| Client::connect(open)).collect();
    let mut slow = Client::connect(open);
    for command in ["EHLO client.test", "MAIL FROM:<a@client.test>", "RCPT TO:<b@here.test>"] {
        slow.expect(command, "250");
    }
    slow.expect("DATA", "354");
    assert!(Client::connect(open).greeting.starts_with("421 4.3.2"), "all seats are taken");
    // An octet now and then keeps nobody here: the deadline of a request is part of the settings of stress.
    let mut reply = None;
    while reply.is_none() {
        reply = slow.reply_within(std::time::Duration::from_millis(200));
        if reply.is_none() {
            slow.send(b"x");
        }
    }
    assert!(reply.as_deref().is_some_and(|reply| reply.starts_with("421 4.4.2")), "{reply:?}");
    postrider_tests::wait_for("a free seat", || {
        Client::connect(open).greeting.starts_with("220 ").then_some(())
    });
    drop(calm);
    assert!(daemon.delivered("b").is_empty(), "half a message is none");
}

#[test]
fn a_service_of_loopback_knows_no_stress() {
    let (_daemon, _, local) = few_seats();
    let clients: Vec<Client> = (0..4).map(|_| Client::connect(local)).collect();
    assert!(clients.iter().all(|client| client.greeting.ends_with("calm\r\n")), "{clients:?}");
}
