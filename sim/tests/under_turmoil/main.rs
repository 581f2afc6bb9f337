//! The whole daemon on turmoil's hosts: its own sockets, clocks and disk are simulated, the rest is what `main` runs. The oracle
//! judges each test when it ends.
//!
//! A crash here is a loss of power: the links are held first, so nobody hears of it, and the file system forgets what was
//! not synced. turmoil resends nothing, so links are held, never partitioned.
#![cfg(not(madsim))]

mod judged;
mod panics;
mod world;

use postrider_core::prng::Prng;
use postrider_sim::env::Belongings;
use postrider_sim::env::peers::{Manner, Names, Sink, insist, until};
use postrider_sim::env::trace::Tracing;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use turmoil::Sim;
use world::{
    CLIENT, LIMIT, LMTP_SOCKET, MTA, SINK, SMTP, Trap, daemon, daemon_beside, lose_power, names, server,
    world,
};

#[test]
fn a_message_goes_from_a_client_to_the_mail_exchanger_of_its_domain() {
    let tracing = Tracing::start();
    let mut sim = world(1);
    let sink = Sink::default();
    names(&mut sim, Names::default().domain("there.test", SINK));
    daemon(&mut sim, MTA, 1, "", &Belongings::default());
    server(&mut sim, SINK, &sink);
    let watched = sink.clone();
    sim.client(CLIENT, async move {
        insist(SMTP, &["bob@there.test"], "first", 3).await;
        until(LIMIT, || watched.copies("first") > 0).await;
        Ok(())
    });
    sim.run().expect("it is delivered");
    let taken = sink.taken();
    assert_eq!(taken.len(), 1);
    assert!(taken[0].mail.starts_with("MAIL FROM:<alice@here.test>"), "{}", taken[0].mail);
    assert_eq!(taken[0].recipients, ["RCPT TO:<bob@there.test>"]);
    assert!(taken[0].content.starts_with("Received: from client.test"), "{}", taken[0].content);
    assert_eq!(tracing.trace().count("status=sent"), 1);
}

/// Words that a server has acknowledged to a client.
type Acknowledged = Arc<Mutex<BTreeSet<String>>>;

fn acknowledged(words: &Acknowledged) -> BTreeSet<String> {
    words.lock().expect("no test has failed").clone()
}

/// A client that submits messages one after the other, each until it is acknowledged, and then waits until the sink has them.
fn submitter(sim: &mut Sim<'_>, messages: usize, lines: usize, sink: &Sink) -> Acknowledged {
    let (sink, words) = (sink.clone(), Acknowledged::default());
    let inside = Arc::clone(&words);
    sim.client(CLIENT, async move {
        for number in 0..messages {
            let word = format!("message-{number}");
            insist(SMTP, &["bob@there.test"], &word, lines).await;
            inside.lock().expect("no test has failed").insert(word);
        }
        until(LIMIT, || acknowledged(&inside).iter().all(|word| sink.copies(word) > 0)).await;
        Ok(())
    });
    words
}

/// Power failures at times of the seed's choice while mail goes through; what the run left behind.
fn storm(seed: u64) -> (u64, u64) {
    const MESSAGES: usize = 12;
    let tracing = Tracing::start();
    let mut prng = Prng::new(seed);
    let mut sim = world(seed);
    let sink = Sink::default();
    names(&mut sim, Names::default().domain("there.test", SINK));
    daemon(&mut sim, MTA, seed, "", &Belongings::default());
    server(&mut sim, SINK, &sink);
    // Some messages are too large for the log and get a file of their own.
    let words = submitter(&mut sim, MESSAGES, if seed.is_multiple_of(2) { 3 } else { 3000 }, &sink);
    for _ in 0..8 {
        for _ in 0..prng.below(150) + 20 {
            _ = sim.step().expect("nobody fails");
        }
        lose_power(&tracing, &mut sim, prng.below(40));
    }
    sim.run().expect("what was acknowledged is delivered");
    assert_eq!(acknowledged(&words).len(), MESSAGES);
    for word in acknowledged(&words) {
        assert!(sink.copies(&word) > 0, "{word} was acknowledged and is lost");
    }
    tracing.trace().fingerprint()
}

#[test]
fn no_acknowledged_message_is_lost_when_the_power_fails_again_and_again() {
    for seed in 0..6 {
        storm(seed);
    }
}

#[test]
fn what_is_acknowledged_is_durable_at_that_very_moment() {
    let tracing = Tracing::start();
    let mut sim = world(7);
    let sink = Sink::default();
    names(&mut sim, Names::default().domain("there.test", SINK));
    daemon(&mut sim, MTA, 7, "", &Belongings::default());
    server(&mut sim, SINK, &sink);
    // Nothing leaves before the crash: only the disk can have it.
    sim.hold(MTA, SINK);
    let words = submitter(&mut sim, 1, 3, &sink);
    while acknowledged(&words).is_empty() {
        _ = sim.step().expect("nobody fails");
    }
    assert_eq!(sink.taken().len(), 0);
    lose_power(&tracing, &mut sim, 10);
    sim.run().expect("it is delivered");
}

#[test]
fn a_server_that_hangs_up_in_the_middle_of_a_message_gets_it_again() {
    let tracing = Tracing::start();
    let mut sim = world(3);
    let sink = Sink::scripted(|verb, before| match (verb, before) {
        ("CONTENT", 0 | 1) => Manner::Hangup,
        (".", 0) => Manner::Say("451 4.3.0 not now\r\n"),
        (".", 1) => Manner::TakeAndHangup,
        _ => Manner::Usual,
    });
    names(&mut sim, Names::default().domain("there.test", SINK));
    daemon(&mut sim, MTA, 3, "", &Belongings::default());
    server(&mut sim, SINK, &sink);
    _ = submitter(&mut sim, 1, 500, &sink);
    let watched = tracing.trace();
    sim.client(Ipv4Addr::new(10, 0, 0, 9), async move {
        until(LIMIT, || watched.count("status=sent") > 0).await;
        Ok(())
    });
    sim.run().expect("it is delivered at last");
    // The server that took it and did not say so has it twice: at least once is the promise.
    assert_eq!(sink.copies("message-0"), 2);
    let trace = tracing.trace();
    assert_eq!(trace.count("status=sent"), 1);
    assert_eq!(trace.count("status=deferred"), 4);
}

#[test]
fn a_daemon_that_is_told_to_stop_ends_in_order_and_the_next_one_goes_on() {
    let tracing = Tracing::start();
    let mut sim = world(10);
    let sink = Sink::scripted(|verb, before| match (verb, before) {
        ("RCPT", 0) => Manner::Say("450 4.2.1 not now\r\n"),
        _ => Manner::Usual,
    });
    let trap = Trap::default();
    names(&mut sim, Names::default().domain("there.test", SINK));
    daemon_beside(&mut sim, MTA, 10, "", &Belongings::default(), None, &trap);
    server(&mut sim, SINK, &sink);
    let words = submitter(&mut sim, 1, 3, &sink);
    while tracing.trace().count("status=deferred") == 0 {
        _ = sim.step().expect("nobody fails");
    }
    trap.stop.notify_one();
    while tracing.trace().count("message=stopped") == 0 {
        _ = sim.step().expect("nobody fails");
    }
    assert_eq!(acknowledged(&words).len(), 1);
    sim.bounce(MTA);
    sim.run().expect("it is delivered");
    assert_eq!((sink.copies("message-0"), tracing.trace().count("stopped while")), (1, 0));
}

#[test]
fn a_path_that_stalls_during_a_message_costs_only_time() {
    let tracing = Tracing::start();
    let mut sim = world(4);
    let sink = Sink::default();
    names(&mut sim, Names::default().domain("there.test", SINK));
    daemon(&mut sim, MTA, 4, "", &Belongings::default());
    server(&mut sim, SINK, &sink);
    let words = submitter(&mut sim, 1, 500, &sink);
    while sink.heard("CONTENT") == 0 {
        _ = sim.step().expect("nobody fails");
    }
    sim.hold(MTA, SINK);
    while tracing.trace().count("status=deferred") == 0 {
        _ = sim.step().expect("nobody fails");
    }
    sim.release(MTA, SINK);
    sim.run().expect("it is delivered");
    assert_eq!(acknowledged(&words).len(), 1);
    assert!(tracing.trace().count("timed out") > 0);
}

#[test]
fn lmtp_over_a_socket_of_the_host_answers_for_each_recipient() {
    let tracing = Tracing::start();
    let mut sim = world(5);
    let sink = Sink::scripted(|verb, before| match (verb, before) {
        (".", 0) => Manner::Say("250 2.0.0 Ok\r\n450 4.2.2 mailbox is busy\r\n"),
        _ => Manner::Usual,
    });
    let belongings = Belongings::default();
    let lines = format!("local_transport = lmtp:unix:{LMTP_SOCKET}\n");
    daemon_beside(&mut sim, MTA, 5, &lines, &belongings, Some(sink.clone()), &Trap::default());
    let watched = tracing.trace();
    sim.client(CLIENT, async move {
        insist(SMTP, &["bob@here.test", "carol@here.test"], "twice", 3).await;
        until(LIMIT, || watched.count("status=sent") > 1).await;
        Ok(())
    });
    sim.run().expect("both have it");
    assert_eq!(tracing.trace().count("status=deferred"), 1);
}

#[test]
fn mail_between_two_daemons_goes_under_tls_into_a_mailbox_with_the_same_octets_each_time() {
    assert_eq!(under_tls(), under_tls());
}

fn under_tls() -> (u64, u64) {
    let tracing = Tracing::start();
    let mut sim = world(6);
    let belongings = Belongings::default();
    belongings.files.put("/tls/cert.pem", &include_bytes!("../../../corpus/tls/ed25519.cert.pem")[..]);
    belongings.files.put("/tls/key.pem", &include_bytes!("../../../corpus/tls/ed25519.key.pem")[..]);
    names(&mut sim, Names::default().domain("there.test", SINK));
    daemon(
        &mut sim,
        MTA,
        6,
        "smtp_tls_security_level = encrypt\nsmtp_tls_loglevel = 1\n",
        &Belongings::default(),
    );
    let server = "myhostname = mx.there.test\n\
                  mydestination = there.test\n\
                  smtpd_tls_security_level = may\n\
                  smtpd_tls_received_header = yes\n\
                  smtpd_tls_cert_file = /tls/cert.pem\n\
                  smtpd_tls_key_file = /tls/key.pem\n";
    daemon(&mut sim, SINK, 6, server, &belongings);
    let ledger = Arc::clone(&belongings.ledger);
    let watched = Arc::clone(&ledger);
    sim.client(CLIENT, async move {
        insist(SMTP, &["bob@there.test"], "secret", 3).await;
        until(LIMIT, || watched.paths().iter().any(|path| path.contains("bob"))).await;
        Ok(())
    });
    sim.run().expect("it is delivered");
    let paths = ledger.paths();
    assert_eq!(paths.len(), 1, "{paths:?}");
    let letters = ledger.mailbox(&paths[0]);
    let letter = String::from_utf8_lossy(&letters[0]).into_owned();
    assert!(letter.contains("with ESMTPS") && letter.contains("TLSv1.3"), "{letter}");
    assert_eq!(tracing.trace().count("status=sent"), 2);
    tracing.trace().fingerprint()
}

#[test]
fn the_same_seed_is_the_same_history_down_to_every_octet_on_the_wire() {
    let first = storm(1);
    assert_eq!(first, storm(1));
    assert_ne!(first, storm(3));
}

/// Says in which history a process of its own comes out; run by the test below.
#[test]
fn fingerprint_of_a_storm() {
    println!("fingerprint {:?}", storm(2));
}

#[test]
fn another_process_sees_the_same_history() {
    let ours = format!("fingerprint {:?}", storm(2));
    let binary = std::env::current_exe().expect("this test has a binary");
    let other = std::process::Command::new(binary)
        .args(["--exact", "fingerprint_of_a_storm", "--nocapture"])
        .output()
        .expect("it runs again");
    let said = String::from_utf8_lossy(&other.stdout).into_owned();
    assert!(said.contains(&ours), "{ours}\n{said}");
}
