//! The whole daemon on madsim's nodes, where days of simulated time cost nothing.
//!
//! All of tokio is exchanged: `RUSTFLAGS="--cfg madsim" cargo test -p postrider-sim --test under_madsim --target-dir target/madsim`.
#![cfg(madsim)]

use madsim::Config;
use madsim::runtime::{Handle, NodeHandle, Runtime};
use postrider::serve;
use postrider_core::prng::Prng;
use postrider_sim::disk::Moods;
use postrider_sim::env::disk::SpoolDisk;
use postrider_sim::env::peers::{Manner, Names, Sink, insist, until};
use postrider_sim::env::trace::{Trace, Tracing};
use postrider_sim::env::{Belongings, EPOCH, Simulated, configuration, provider, witness};
use postrider_sim::faults::{Class, Fired};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const NAMES: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const MTA: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const SINK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);
const SMTP: SocketAddr = SocketAddr::new(IpAddr::V4(MTA), 25);
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 25);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Schedules are Postfix's defaults: that is what days are for.
const MAIN_CF: &str = "\
compatibility_level = 3.6
myhostname = mail.here.test
mydestination = here.test
mynetworks = 10.0.0.0/8
inet_interfaces = 10.0.0.2
inet_protocols = ipv4
dns_servers = 10.0.0.1
local_transport = virtual
local_recipient_maps =
virtual_mailbox_base = /mail
virtual_mailbox_maps = localpart:/
virtual_uid_maps = static:1000
virtual_gid_maps = static:1000
spool_segment_size = 65536
";

const MASTER_CF: &str = "\
smtp inet n - n - - smtpd
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
";

/// Messages that a client submits during an outage.
const MESSAGES: usize = 20;
/// Octets of a disk on which nobody else writes.
const CAPACITY: u64 = 1 << 30;

/// A host with a daemon, whose disk outlives it.
struct Home {
    node: NodeHandle,
    address: Ipv4Addr,
    disk: Arc<SpoolDisk>,
    belongings: Belongings,
}

/// How a daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    PowerLost,
}

impl Home {
    fn new(seed: u64) -> Self {
        Self::with(seed, "", Belongings::default())
    }

    /// With more lines in its main.cf.
    fn with(seed: u64, lines: &str, belongings: Belongings) -> Self {
        Self::at(MTA, seed, lines, belongings)
    }

    fn at(address: Ipv4Addr, seed: u64, lines: &str, belongings: Belongings) -> Self {
        let disk = Arc::new(SpoolDisk::new(address, seed, CAPACITY));
        let text = format!("{MAIN_CF}{lines}");
        let (kept, owned) = (Arc::clone(&disk), belongings.clone());
        let (lives, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let world = Handle::current();
        let node = world.create_node().name("mta").ip(address.into()).init(move || {
            let life = lives.fetch_add(1, Ordering::Relaxed);
            let (disk, belongings, text) = (Arc::clone(&kept), owned.clone(), text.clone());
            async move {
                let seed = Prng::new(seed ^ life << 40).next_u64();
                let env = Simulated::new(address, disk, belongings, EPOCH + began.elapsed(), seed);
                let config = configuration(&text, MASTER_CF, "mail.here.test", address.into());
                let house = serve::start(env, provider::seeded(), config, |_| Ok(())).await;
                panic!("the {} has ended", house.expect("it starts").fallen().await);
            }
        });
        let node = node.build();
        Self { node, address, disk, belongings }
    }

    /// The daemon ends, and starts again after a while; nothing is the matter with the disk any more then. What was written and not synced
    /// survives a kill, and is lost with the power.
    async fn end(&self, end: End, prng: &mut Prng) {
        Handle::current().kill(self.node.id());
        match end {
            End::Killed => witness::killed(self.address),
            End::PowerLost => {
                self.disk.lose_power();
                witness::lost_power(self.address);
            }
        }
        self.disk.heal();
        sleep(Duration::from_secs(prng.below(600))).await;
        Handle::current().restart(self.node.id());
    }

    /// Something is the matter with the disk for up to an hour: it is full, or fails at writes, syncs or reads. Half of the time it heals by
    /// itself; then comes the next write, at which the daemon may end.
    async fn ail(&self, prng: &mut Prng) {
        let careless = prng.chance(1, 2);
        let odds = |prng: &mut Prng| u16::try_from(50 + prng.below(500)).expect("a small number");
        match prng.below(4) {
            0 => self.disk.fill(),
            1 => self.disk.ail(Moods { fails: odds(prng), full: odds(prng), careless, ..Moods::default() }),
            2 => self.disk.ail(Moods { sync_fails: odds(prng), careless, ..Moods::default() }),
            _ => {
                let reads_fail = odds(prng);
                self.disk.ail(Moods { reads_fail, fails: 50, sync_fails: 50, careless, ..Moods::default() });
            }
        }
        sleep(Duration::from_secs(prng.below(3600))).await;
        if prng.chance(1, 2) {
            self.disk.heal();
        }
        _ = tokio::time::timeout(HOUR, self.disk.next_write()).await;
    }
}

fn world(sink: &Sink) -> NodeHandle {
    let names = Names::default().domain("there.test", SINK);
    let world = Handle::current();
    let node = world.create_node().name("names").ip(NAMES.into()).init(move || {
        let names = names.clone();
        async move { names.serve().await.expect("it listens") }
    });
    node.build();
    let sink = sink.clone();
    let node = world.create_node().name("sink").ip(SINK.into()).init(move || {
        let sink = sink.clone();
        async move { sink.serve(ANY).await.expect("it listens") }
    });
    node.build()
}

/// When the server acknowledged which word.
type Acknowledged = Arc<Mutex<BTreeMap<String, Duration>>>;

/// A client that submits a message every so often, each until it is acknowledged.
fn submitter(messages: usize, pause: Duration) -> Acknowledged {
    let words = Acknowledged::default();
    let (inside, began) = (Arc::clone(&words), Instant::now());
    let node = Handle::current().create_node().name("client").ip(CLIENT.into()).build();
    node.spawn(async move {
        for number in 0..messages {
            let word = format!("message-{number}");
            insist(SMTP, &["bob@there.test"], &word, if number % 5 == 0 { 3000 } else { 3 }).await;
            inside.lock().expect("no test has failed").insert(word, began.elapsed());
            sleep(pause).await;
        }
    });
    words
}

fn acknowledged(words: &Acknowledged) -> BTreeMap<String, Duration> {
    words.lock().expect("no test has failed").clone()
}

/// What became of an outage, in simulated time.
struct Outage {
    trace: Trace,
    /// When the daemon ended, and how.
    ends: Vec<(Duration, End)>,
    /// How long the first message was retried until somebody was there to take it.
    retried: Duration,
    /// What went wrong with the disk.
    fired: Fired,
}

impl Outage {
    /// Ends of the daemon on that of the first five days which had fewest.
    fn each_day(&self) -> usize {
        let of_day = |day: u32| day * DAY..(day + 1) * DAY;
        let counts = (0..5).map(|day| self.ends.iter().filter(|(at, _)| of_day(day).contains(at)).count());
        counts.min().unwrap_or(0)
    }

    /// It was killed, and the power failed: each more than once.
    fn ends_in_both_ways(&self) -> bool {
        let often = |end| self.ends.iter().filter(|(_, other)| *other == end).count() > 1;
        often(End::Killed) && often(End::PowerLost)
    }
}

/// What the disk of an outage is like while the daemon lives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disk {
    Good,
    Bad,
}

/// A destination that is down for so long, and a daemon that is killed or loses power several times a day.
async fn outage(seed: u64, down: Duration) -> Trace {
    outage_with(seed, down, "", Disk::Good).await.trace
}

/// The same on a disk that fails as well.
async fn bad_outage(seed: u64, down: Duration) -> Outage {
    // Postfix's lifetime of five days would end before an outage of so many does.
    outage_with(seed, down, "maximal_queue_lifetime = 6d\n", Disk::Bad).await
}

/// With more lines in its main.cf.
async fn outage_with(seed: u64, down: Duration, lines: &str, disk: Disk) -> Outage {
    let tracing = Tracing::start();
    let mut prng = Prng::new(seed);
    let sink = Sink::default();
    let destination = world(&sink);
    Handle::current().kill(destination.id());
    let home = Home::with(seed, lines, Belongings::default());
    // On a bad disk, new mail is to meet its troubles for as long as there are any.
    let words = submitter(MESSAGES, if disk == Disk::Bad { down / 22 } else { HOUR });
    let began = Instant::now();
    let mut ends = Vec::new();
    while began.elapsed() < down {
        sleep(Duration::from_secs(prng.below(10 * 3600))).await;
        if disk == Disk::Bad {
            home.ail(&mut prng).await;
        }
        let end = if prng.chance(1, 2) { End::Killed } else { End::PowerLost };
        ends.push((began.elapsed(), end));
        home.end(end, &mut prng).await;
    }
    assert_eq!(acknowledged(&words).len(), MESSAGES, "all were acknowledged by then");
    assert_eq!(sink.taken().len(), 0, "nobody was there to take it");
    let retried = began.elapsed() - acknowledged(&words)["message-0"];
    Handle::current().restart(destination.id());
    // maximal_backoff_time is 4000 s.
    until(2 * HOUR, || acknowledged(&words).keys().all(|word| sink.copies(word) > 0)).await;
    sleep(HOUR).await;
    for word in acknowledged(&words).keys().filter(|_| disk == Disk::Good) {
        // On a bad disk, what was refused or not answered may be there all the same: the oracle knows.
        assert_eq!(sink.copies(word), 1, "{word}: no crash came after it was delivered");
    }
    assert_eq!(home.belongings.ledger.paths(), Vec::<String>::new(), "there was nothing to report");
    Outage { trace: tracing.trace(), ends, retried, fired: home.disk.fired() }
}

fn run<F: Future>(seed: u64, future: impl FnOnce() -> F) -> F::Output {
    let mut runtime = Runtime::with_seed_and_config(seed, Config::default());
    runtime.set_time_limit(30 * DAY);
    runtime.block_on(async move { future().await })
}

#[test]
fn days_of_retries_through_kills_and_power_failures_lose_and_double_nothing() {
    for seed in 0..2 {
        let trace = run(seed, || outage(seed, 3 * DAY));
        assert!(trace.count("status=deferred") > 500, "{}", trace.count("status=deferred"));
        assert_eq!(trace.count("status=sent"), MESSAGES);
    }
}

#[test]
fn mail_that_nobody_takes_for_five_days_comes_back() {
    let trace = run(5, || async {
        let tracing = Tracing::start();
        let sink = Sink::scripted(|verb, _| match verb {
            "RCPT" => Manner::Say("450 4.2.1 not today\r\n"),
            _ => Manner::Usual,
        });
        world(&sink);
        let home = Home::new(5);
        let words = submitter(1, HOUR);
        let began = Instant::now();
        until(6 * DAY, || !home.belongings.ledger.paths().is_empty()).await;
        assert!(began.elapsed() >= 5 * DAY && began.elapsed() < 5 * DAY + 2 * HOUR, "{:?}", began.elapsed());
        assert_eq!(acknowledged(&words).len(), 1);
        let paths = home.belongings.ledger.paths();
        let letters = home.belongings.ledger.mailbox(&paths[0]);
        let letter = String::from_utf8_lossy(&letters[0]).into_owned();
        assert!(letter.contains("450 4.2.1 not today"), "{letter}");
        tracing.trace()
    });
    assert_eq!(trace.count("status=expired"), 1);
}

#[test]
fn a_path_that_loses_a_tenth_of_all_packets_and_breaks_delivers_all() {
    let mut config = Config::default();
    config.net.packet_loss_rate = 0.1;
    let mut runtime = Runtime::with_seed_and_config(8, config);
    runtime.set_time_limit(30 * DAY);
    runtime.block_on(async {
        let _tracing = Tracing::start();
        let sink = Sink::default();
        let destination = world(&sink);
        let home = Home::new(8);
        let words = submitter(12, Duration::from_secs(60));
        let mut prng = Prng::new(8);
        for _ in 0..20 {
            sleep(Duration::from_secs(prng.below(120))).await;
            let net = madsim::net::NetSim::current();
            net.clog_link(home.node.id(), destination.id());
            sleep(Duration::from_secs(prng.below(60))).await;
            net.unclog_link(home.node.id(), destination.id());
        }
        until(DAY, || acknowledged(&words).len() == 12).await;
        until(2 * HOUR, || acknowledged(&words).keys().all(|word| sink.copies(word) > 0)).await;
    });
}

#[test]
fn the_same_seed_is_the_same_history() {
    let history = |seed| run(seed, || outage(seed, DAY)).fingerprint();
    let first = history(1);
    assert_eq!(first, history(1));
    assert_ne!(first, history(2));
}

#[test]
fn madsim_sees_the_same_random_numbers_at_the_same_times() {
    Runtime::check_determinism(3, Config::default(), || outage(3, DAY));
}

/// In which history an outage on a good and one on a bad disk come out.
fn histories() -> String {
    let good = run(4, || outage(4, DAY)).fingerprint();
    let bad = run(4, || bad_outage(4, DAY)).trace.fingerprint();
    format!("fingerprints {good:?} {bad:?}")
}

/// Says in which history a process of its own comes out; run by the test below.
#[test]
fn fingerprints_of_outages() {
    println!("{}", histories());
}

#[test]
fn another_process_sees_the_same_history() {
    let ours = histories();
    let binary = std::env::current_exe().expect("this test has a binary");
    let mut again = std::process::Command::new(binary);
    let output = again.args(["--exact", "fingerprints_of_outages", "--nocapture"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&ours), "{ours}\n{said}");
}

#[test]
fn five_days_of_retries_with_an_end_every_few_hours_deliver_each_message_once() {
    // Postfix's lifetime of five days would end before the outage does.
    let outage = run(9, || outage_with(9, 5 * DAY + HOUR, "maximal_queue_lifetime = 6d\n", Disk::Good));
    assert!(outage.retried >= 5 * DAY, "{:?}", outage.retried);
    assert!(outage.each_day() >= 2 && outage.ends_in_both_ways(), "{:?}", outage.ends);
    let trace = outage.trace;
    assert!(trace.count("status=deferred") > 1_000, "{}", trace.count("status=deferred"));
    assert_eq!(trace.count("status=sent"), MESSAGES);
    assert_eq!(trace.count("status=expired"), 0);
}

#[test]
fn five_days_on_a_disk_that_is_full_fails_and_tears_lose_nothing() {
    let outage = run(13, || bad_outage(13, 5 * DAY + HOUR));
    assert!(outage.retried >= 5 * DAY, "{:?}", outage.retried);
    assert!(outage.ends_in_both_ways(), "{:?}", outage.ends);
    let harm = [Class::DiskFull, Class::DiskWrite, Class::DiskSync, Class::DiskRead, Class::DiskTorn];
    for class in harm {
        assert!(outage.fired.count(class) > 0, "{}:\n{}", class.name(), outage.fired.table());
    }
    assert_eq!(outage.trace.count("status=expired"), 0);
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_noticed_by_the_oracle() {
    run(14, || async {
        let tracing = Tracing::start();
        let sink = Sink::default();
        let destination = world(&sink);
        Handle::current().kill(destination.id());
        let home = Home::new(14);
        home.disk.lie();
        let words = submitter(10, Duration::from_secs(1));
        until(HOUR, || acknowledged(&words).len() == 10).await;
        home.end(End::PowerLost, &mut Prng::new(14)).await;
        Handle::current().restart(destination.id());
        sleep(6 * HOUR).await;
        let broken = tracing.judge();
        assert!(broken.iter().any(|text| text.0.contains("is LOST")), "{broken:?}");
    });
}

#[test]
fn lmtp_over_tcp_answers_for_each_recipient_and_who_was_answered_is_not_tried_again() {
    let trace = run(10, || async {
        let tracing = Tracing::start();
        let sink = Sink::scripted(|verb, before| match (verb, before) {
            (".", 0) => Manner::Say("250 2.0.0 Ok\r\n450 4.2.2 mailbox is busy\r\n"),
            _ => Manner::Usual,
        });
        world(&sink);
        let _home = Home::with(10, "local_transport = lmtp:inet:10.0.0.3:25\n", Belongings::default());
        let client = Handle::current().create_node().name("client").ip(CLIENT.into()).build();
        client.spawn(async {
            insist(SMTP, &["bob@here.test", "carol@here.test"], "twice", 3).await;
        });
        until(2 * HOUR, || tracing.trace().count("status=sent") > 1).await;
        assert_eq!(sink.taken().len(), 1, "the script counts the first content as not taken");
        assert_eq!(sink.taken()[0].recipients, ["RCPT TO:<carol@here.test>"]);
        tracing.trace()
    });
    assert_eq!((trace.count("status=sent"), trace.count("status=deferred")), (2, 1));
}

#[test]
fn mail_between_two_daemons_goes_under_tls_with_the_seeded_provider() {
    let history = || {
        run(11, || async {
            provider::seed(11);
            let tracing = Tracing::start();
            let names = Names::default().domain("there.test", SINK);
            let world = Handle::current();
            let node = world.create_node().name("names").ip(NAMES.into()).init(move || {
                let names = names.clone();
                async move { names.serve().await.expect("it listens") }
            });
            node.build();
            let belongings = Belongings::default();
            belongings.files.put("/tls/cert.pem", &include_bytes!("../../corpus/tls/ed25519.cert.pem")[..]);
            belongings.files.put("/tls/key.pem", &include_bytes!("../../corpus/tls/ed25519.key.pem")[..]);
            let lines = "myhostname = mx.there.test\n\
                         mydestination = there.test\n\
                         inet_interfaces = 10.0.0.3\n\
                         smtpd_tls_security_level = may\n\
                         smtpd_tls_received_header = yes\n\
                         smtpd_tls_cert_file = /tls/cert.pem\n\
                         smtpd_tls_key_file = /tls/key.pem\n";
            let _server = Home::at(SINK, 12, lines, belongings.clone());
            let _home = Home::with(11, "smtp_tls_security_level = encrypt\n", Belongings::default());
            let client = Handle::current().create_node().name("client").ip(CLIENT.into()).build();
            client.spawn(async { insist(SMTP, &["bob@there.test"], "secret", 3).await });
            until(2 * HOUR, || !belongings.ledger.paths().is_empty()).await;
            let paths = belongings.ledger.paths();
            let letter = String::from_utf8_lossy(&belongings.ledger.mailbox(&paths[0])[0]).into_owned();
            assert!(letter.contains("with ESMTPS") && letter.contains("TLSv1.3"), "{letter}");
            tracing.trace().fingerprint()
        })
    };
    assert_eq!(history(), history());
}
