//! Rows S9 and S16 of the attacks: what one client may cost.

use postrider_tests::daemon::Daemon;
use postrider_tests::smtp::Client;
use std::fs;

/// Kilobytes by which a stream without a line end may make the daemon grow.
const GROWTH_MAX: u64 = 1_024;
/// How long the stream is.
const STREAM: usize = 64 << 20;

/// Kilobytes of anonymous memory.
fn anonymous(daemon: &Daemon) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", daemon.process());
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = text.lines().find(|line| line.starts_with("Anonymous:")).expect("smaps_rollup has Anonymous");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of kilobytes")
}

#[test]
fn a_line_without_an_end_costs_no_memory() {
    let daemon = Daemon::start("endless-line", "");
    // What is made on first use is there.
    let reply = daemon.client().deliver("a@client.test", &["b@here.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    let before = anonymous(&daemon);
    let block = vec![b'x'; 64 << 10];
    let mut most = before;
    for number in 0..STREAM / block.len() {
        client.send(&block);
        if number % 64 == 0 {
            most = most.max(anonymous(&daemon));
        }
    }
    client.send(b"\r\n");
    let reply = client.reply();
    assert!(reply.starts_with("500 5.5.2 "), "{reply}");
    client.expect("NOOP", "250");
    println!("anonymous memory before: {before} kB, at most: {most} kB");
    assert!(most <= before + GROWTH_MAX, "{before} kB, then {most} kB");
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
