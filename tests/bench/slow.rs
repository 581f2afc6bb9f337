//! Whether 5,000 clients that say an octet every ten seconds are noticed by the others.
//!
//! A few clients hand messages over, each on a new connection, with a pause between two: the daemon is busy and not full. The time
//! from connect to the reply to the end of data is taken in three turns: alone; while 5,000 slow clients talk to a listener of ours that
//! never reads, so that what they cost themselves and the kernel is known; and while they talk to the daemon. Daemon and clients share the
//! machine's processors: only the third turn beside the second says what slow clients of the daemon do to its others.

use crate::Options;
use crate::clients::{Talk, message};
use crate::figures::{Report, median, quantile, short, spread};
use crate::idle::MANY;
use crate::rates::HOLDING;
use crate::server::{Rig, Who};
use nix::sys::resource::{Resource, setrlimit};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SLOW: usize = 5_000;
/// From one octet of a slow client to its next.
const PACE: Duration = Duration::from_secs(10);
const WORKERS: usize = 4;
const TRANSACTIONS: usize = 750;
const PAUSE: Duration = Duration::from_millis(8);
/// The 99th percentile may move by as much as it does between two rounds of the second turn, or by this part.
const TOLERANCE: f64 = 0.15;

/// What one turn took: 99th percentiles, in milliseconds.
struct Turn {
    /// From connect to the greeting.
    greeting: f64,
    /// From connect to the reply to the end of data.
    whole: f64,
}

/// A third of what a daemon has is not for clients, and each is counted as two: enough for all of them and those that measure.
const DESCRIPTORS: u64 = 16_000;

/// Measures the row.
pub(crate) fn measure(rig: &Rig, options: &Options, report: &mut Report) {
    setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS)
        .unwrap_or_else(|error| panic!("{DESCRIPTORS} open files (ulimit -Hn) are needed: {error}"));
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a port of our own");
    let elsewhere = deaf.local_addr().expect("it is bound").port();
    let (mut alone, mut beside, mut here) = (Vec::new(), Vec::new(), Vec::new());
    let server = rig.start(Who::Postrider, &format!("{MANY}\n{HOLDING}"));
    _ = latencies(rig);
    for round in 1..=options.rounds {
        server.rest();
        let nobody = latencies(rig);
        server.rest();
        let others = with_slow(&|| unheard(&deaf, elsewhere), rig);
        server.rest();
        let ours =
            with_slow(&|| (Talk::connect(rig.port).expect("the daemon greets").into_inner(), None), rig);
        for (turn, name) in [(&nobody, "alone"), (&others, "elsewhere"), (&ours, "here")] {
            let figures = [("p99", turn.whole), ("greeting", turn.greeting)];
            report.keep(&format!("slow-{name}"), "postrider", round, &figures);
        }
        alone.push(nobody.whole);
        beside.push(others.whole);
        here.push(ours.whole);
    }
    judge(report, &alone, &beside, &here);
}

fn judge(report: &mut Report, alone: &[f64], beside: &[f64], here: &[f64]) {
    let told = |figures: &[f64]| format!("{} ms ({})", short(median(figures)), spread(figures));
    let most = (median(beside) * (1.0 + TOLERANCE)).max(quantile(beside, 1.0));
    report.judge(
        "99th percentile of a transaction beside 5,000 slow clients",
        format!("{}, beside as many of another server {}, alone {}", told(here), told(beside), told(alone)),
        "unchanged: at most 15 % above the second, or within its rounds",
        median(here) <= most,
    );
}

/// A slow client, and the other end of its connection where that is ours.
type Slow = (TcpStream, Option<TcpStream>);

/// A client of the listener that never reads.
fn unheard(deaf: &TcpListener, port: u16) -> Slow {
    let client = TcpStream::connect(("127.0.0.1", port)).expect("our own listener");
    client.set_nodelay(true).expect("a socket");
    let (end, _) = deaf.accept().expect("our own client");
    (client, Some(end))
}

/// The latencies of others while slow clients talk.
fn with_slow(open: &dyn Fn() -> Slow, rig: &Rig) -> Turn {
    let clients: Vec<Slow> = (0..SLOW).map(|_| open()).collect();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| trickle(&clients, &ended));
        // Each has said something before others are timed.
        std::thread::sleep(PACE);
        let turn = latencies(rig);
        ended.store(true, Ordering::Relaxed);
        turn
    })
}

/// Each client says one octet of a command in each round of the clock.
fn trickle(clients: &[Slow], ended: &AtomicBool) {
    let step = PACE / u32::try_from(SLOW).expect("a small number");
    let mut next = Instant::now();
    for (client, _) in clients.iter().cycle() {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        (&mut &*client).write_all(b"N").expect("the other end is open");
        next += step;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Transactions of the others.
fn latencies(rig: &Rig) -> Turn {
    let content = message(4_096);
    let work = || {
        let mut times = Vec::with_capacity(TRANSACTIONS);
        for _ in 0..TRANSACTIONS {
            std::thread::sleep(PAUSE);
            let start = Instant::now();
            let mut talk = Talk::connect(rig.port).expect("the daemon greets");
            let greeting = start.elapsed();
            talk.say("EHLO client.test\r\n", '2').expect("the daemon answers EHLO");
            talk.deliver(&content).expect("the daemon takes it");
            times.push((greeting, start.elapsed()));
            talk.say("QUIT\r\n", '2').expect("the daemon says goodbye");
        }
        times
    };
    let times: Vec<(Duration, Duration)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    });
    let p99 = |of: fn(&(Duration, Duration)) -> Duration| {
        let milliseconds: Vec<f64> = times.iter().map(|time| of(time).as_secs_f64() * 1_000.0).collect();
        quantile(&milliseconds, 0.99)
    };
    Turn { greeting: p99(|time| time.0), whole: p99(|time| time.1) }
}
