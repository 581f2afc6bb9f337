//! The whole daemon on turmoil's hosts: its own sockets, clocks and disk are simulated, the rest is what `main` runs.
//!
//! A crash here is a loss of power: the links are held first, so nobody hears of it, and the file system forgets what was
//! not synced. turmoil resends nothing, so links are held, never partitioned.
#![cfg(not(madsim))]

use postrider::env::Disk;
use postrider::serve;
use postrider_core::prng::Prng;
use postrider_core::queue::{DiskError, Done, Op};
use postrider_sim::env::peers::{Manner, Names, Sink, insist, until};
use postrider_sim::env::platters::HostDisk;
use postrider_sim::env::trace::Tracing;
use postrider_sim::env::{Belongings, EPOCH, Simulated, configuration, net, provider};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use turmoil::Sim;

const NAMES: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const MTA: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const SINK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);
const SMTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(MTA), 25);
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 25);

const LMTP_SOCKET: &str = "public/lmtp";

const MASTER_CF: &str = "\
smtp inet n - n - - smtpd
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
";

/// Everything happens within this time.
const LIMIT: Duration = Duration::from_secs(300);

/// Sensible lines for a test: mail of here.test stays, the rest goes by MX, and retries come soon.
fn main_cf(address: Ipv4Addr, lines: &str) -> String {
    format!(
        "compatibility_level = 3.6\n\
         myhostname = mail.here.test\n\
         mydestination = here.test\n\
         mynetworks = 10.0.0.0/8\n\
         inet_interfaces = {address}\n\
         inet_protocols = ipv4\n\
         dns_servers = {NAMES}\n\
         local_transport = virtual\n\
         local_recipient_maps =\n\
         virtual_mailbox_base = /mail\n\
         virtual_mailbox_maps = localpart:/\n\
         virtual_uid_maps = static:1000\n\
         virtual_gid_maps = static:1000\n\
         spool_segment_size = 65536\n\
         queue_run_delay = 2s\n\
         minimal_backoff_time = 2s\n\
         maximal_backoff_time = 4s\n\
         smtp_data_xfer_timeout = 5s\n\
         smtp_data_done_timeout = 5s\n\
         smtp_connect_timeout = 5s\n\
         smtp_helo_timeout = 5s\n\
         smtp_mail_timeout = 5s\n\
         smtp_rcpt_timeout = 5s\n\
         smtp_data_init_timeout = 5s\n\
         {lines}\n"
    )
}

fn world<'a>(seed: u64) -> Sim<'a> {
    provider::seed(seed);
    turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(SystemTime::UNIX_EPOCH + EPOCH)
        .tick_duration(Duration::from_millis(5))
        .simulation_duration(Duration::from_secs(600))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(20))
        .tcp_capacity(4096)
        .build()
}

/// Where the daemon shall panic, once: who looks for free space does when `space` is set, and `reads` counts down to the read
/// of a content that does.
#[derive(Clone, Default)]
struct Trap {
    space: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
}

/// A disk that panics in the task that asks it.
struct Brittle {
    disk: HostDisk,
    trap: Trap,
}

impl Disk for Brittle {
    fn execute(&self, op: Op) -> Result<Done, DiskError> {
        let counted = |left: u64| left.checked_sub(1);
        if matches!(op, Op::Read { .. })
            && self.trap.reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted) == Ok(1)
        {
            panic!("a read panics on purpose");
        }
        self.disk.execute(op)
    }

    fn free_space(&self) -> u64 {
        assert!(!self.trap.space.swap(false, Ordering::Relaxed), "panics on purpose");
        self.disk.free_space()
    }
}

/// A host with a daemon. What is delivered on it outlives it.
fn daemon(sim: &mut Sim<'_>, address: Ipv4Addr, seed: u64, lines: &str, belongings: &Belongings) {
    daemon_beside(sim, address, seed, lines, belongings, None, &Trap::default());
}

/// The same, with a server of LMTP on a socket of the host.
fn daemon_beside(
    sim: &mut Sim<'_>,
    address: Ipv4Addr,
    seed: u64,
    lines: &str,
    belongings: &Belongings,
    neighbour: Option<Sink>,
    trap: &Trap,
) {
    let (text, belongings, trap) = (main_cf(address, lines), belongings.clone(), trap.clone());
    let lives = Arc::new(AtomicU64::new(0));
    sim.host(address, move || {
        let life = lives.fetch_add(1, Ordering::Relaxed);
        let (text, belongings, neighbour) = (text.clone(), belongings.clone(), neighbour.clone());
        let trap = trap.clone();
        async move {
            if let Some(sink) = neighbour {
                tokio::spawn(sink.serve(net::address_of(LMTP_SOCKET)));
            }
            let since_epoch = turmoil::since_epoch().ok_or("outside of a simulation")?;
            let seed = Prng::new(seed ^ u64::from(address.to_bits()) ^ life << 40).next_u64();
            let disk = Brittle { disk: HostDisk::open()?, trap };
            let env = Simulated::new(Arc::new(disk), belongings, since_epoch, seed);
            let config = configuration(&text, MASTER_CF, "mail.here.test", address.into());
            let _house = serve::start(env, provider::seeded(), config).await?;
            std::future::pending::<()>().await;
            Ok(())
        }
    });
}

fn names(sim: &mut Sim<'_>, names: Names) {
    sim.host(NAMES, move || {
        let names = names.clone();
        async move { Ok(names.serve().await?) }
    });
}

fn server(sim: &mut Sim<'_>, address: Ipv4Addr, sink: &Sink) {
    let sink = sink.clone();
    sim.host(address, move || {
        let sink = sink.clone();
        async move { Ok(sink.serve(ANY).await?) }
    });
}

/// The power of the daemon's host fails, and comes back after some steps.
fn lose_power(tracing: &Tracing, sim: &mut Sim<'_>, steps: u64) {
    for other in [NAMES, SINK, CLIENT] {
        sim.hold(MTA, other);
    }
    tracing.aside(|| sim.crash(MTA));
    for _ in 0..steps {
        _ = sim.step().expect("nobody fails");
    }
    for other in [NAMES, SINK, CLIENT] {
        sim.release(MTA, other);
    }
    sim.bounce(MTA);
}

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

/// A world with one daemon that will panic, and whoever takes its mail.
fn trapped(lines: &str, trap: &Trap, sink: &Sink, belongings: &Belongings) -> Sim<'static> {
    let mut sim = world(8);
    names(&mut sim, Names::default().domain("there.test", SINK));
    daemon_beside(&mut sim, MTA, 8, lines, belongings, None, trap);
    server(&mut sim, SINK, sink);
    sim
}

#[test]
fn a_session_that_panics_gives_its_seat_back() {
    let tracing = Tracing::start();
    let (trap, sink) = (Trap::default(), Sink::default());
    let lines = "queue_minfree = 1\n\
                 smtpd_client_connection_count_limit = 1\n\
                 smtpd_client_event_limit_exceptions =\n";
    let mut sim = trapped(lines, &trap, &sink, &Belongings::default());
    trap.space.store(true, Ordering::Relaxed);
    let watched = sink.clone();
    sim.client(CLIENT, async move {
        // The first connection ends in the middle; were it still counted, every other one would be turned away.
        insist(SMTP, &["bob@there.test"], "again", 3).await;
        until(LIMIT, || watched.copies("again") > 0).await;
        Ok(())
    });
    sim.run().expect("it is delivered");
    assert!(!trap.space.load(Ordering::Relaxed));
    tracing.one_panic_was_meant();
    assert_eq!(tracing.trace().count("the session of a client at 10.0.0.4 has panicked"), 1);
}

#[test]
fn an_attempt_that_panics_is_a_deferral() {
    let tracing = Tracing::start();
    let (trap, sink) = (Trap::default(), Sink::default());
    let mut sim = trapped("", &trap, &sink, &Belongings::default());
    let (watched, armed) = (sink.clone(), trap.clone());
    sim.client(CLIENT, async move {
        armed.reads.store(1, Ordering::Relaxed);
        insist(SMTP, &["bob@there.test"], "once", 3).await;
        until(LIMIT, || watched.copies("once") > 0).await;
        Ok(())
    });
    sim.run().expect("it is delivered");
    assert_eq!(trap.reads.load(Ordering::Relaxed), 0);
    tracing.one_panic_was_meant();
    let trace = tracing.trace();
    assert_eq!(trace.count("internal error: a delivery has panicked; it is tried again later"), 1);
    assert_eq!(trace.count("status=deferred (internal error: the delivery agent gave no outcome)"), 1);
    assert_eq!(sink.copies("once"), 1);
}

#[test]
fn who_has_the_message_does_not_get_it_again_when_the_next_recipient_s_delivery_panics() {
    let tracing = Tracing::start();
    let (trap, belongings) = (Trap::default(), Belongings::default());
    let mut sim = trapped("virtual_destination_recipient_limit = 9\n", &trap, &Sink::default(), &belongings);
    let (ledger, armed) = (Arc::clone(&belongings.ledger), trap.clone());
    let watched = Arc::clone(&ledger);
    sim.client(CLIENT, async move {
        // The header, the first recipient, the second.
        armed.reads.store(3, Ordering::Relaxed);
        insist(SMTP, &["bob@here.test", "carol@here.test"], "both", 3).await;
        until(LIMIT, || watched.paths().len() == 2).await;
        Ok(())
    });
    sim.run().expect("both have it");
    assert_eq!(trap.reads.load(Ordering::Relaxed), 0);
    tracing.one_panic_was_meant();
    for path in ledger.paths() {
        assert_eq!(ledger.mailbox(&path).len(), 1, "{path}");
    }
    assert_eq!(tracing.trace().count("status=deferred (internal error"), 1);
}

#[test]
fn a_report_whose_task_panics_is_made_later() {
    let tracing = Tracing::start();
    let (trap, belongings) = (Trap::default(), Belongings::default());
    let sink = Sink::scripted(|verb, _| match verb {
        "RCPT" => Manner::Say("550 5.1.1 nobody\r\n"),
        _ => Manner::Usual,
    });
    let mut sim = trapped("", &trap, &sink, &belongings);
    let (ledger, armed) = (Arc::clone(&belongings.ledger), trap.clone());
    sim.client(CLIENT, async move {
        // Nothing of the content is read before the report that returns it.
        armed.reads.store(1, Ordering::Relaxed);
        insist(SMTP, &["nobody@there.test"], "refused", 3).await;
        until(LIMIT, || ledger.paths().iter().any(|path| path.contains("alice"))).await;
        Ok(())
    });
    sim.run().expect("alice is told");
    assert_eq!(trap.reads.load(Ordering::Relaxed), 0);
    tracing.one_panic_was_meant();
    assert_eq!(tracing.trace().count("internal error: making a report has panicked"), 1);
}

#[test]
fn mail_between_two_daemons_goes_under_tls_into_a_mailbox_with_the_same_octets_each_time() {
    assert_eq!(under_tls(), under_tls());
}

fn under_tls() -> (u64, u64) {
    let tracing = Tracing::start();
    let mut sim = world(6);
    let belongings = Belongings::default();
    belongings.files.put("/tls/cert.pem", &include_bytes!("../../corpus/tls/ed25519.cert.pem")[..]);
    belongings.files.put("/tls/key.pem", &include_bytes!("../../corpus/tls/ed25519.key.pem")[..]);
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
