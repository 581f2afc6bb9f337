//! Whether 5,000 clients that say an octet every ten seconds are noticed by the others.
//!
//! A few clients hand messages over, each on a new connection, with a pause between two: the daemon is busy and not full. The time
//! from connect to the reply to the end of data is taken, in turns without and with the slow ones.

use crate::Options;
use crate::clients::{Talk, message};
use crate::figures::{Report, median, quantile, short, spread};
use crate::idle::MANY;
use crate::rates::HOLDING;
use crate::server::{Rig, Who};
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SLOW: usize = 5_000;
/// From one octet of a slow client to its next.
const PACE: Duration = Duration::from_secs(10);
const WORKERS: usize = 4;
const TRANSACTIONS: usize = 750;
const PAUSE: Duration = Duration::from_millis(8);
/// The 99th percentile may move by as much as it does between two turns without slow clients, or by this part.
const TOLERANCE: f64 = 0.15;

/// Measures the row.
pub(crate) fn measure(rig: &Rig, options: &Options, report: &mut Report) {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let server = rig.start(Who::Postrider, &format!("{MANY}\n{HOLDING}"));
    _ = latencies(rig);
    for round in 1..=options.rounds {
        server.rest();
        alone.push(quantile(&latencies(rig), 0.99));
        let clients = connect(rig.port);
        let ended = AtomicBool::new(false);
        let times = std::thread::scope(|scope| {
            scope.spawn(|| trickle(&clients, &ended));
            // Each has said something before others are timed.
            std::thread::sleep(PACE);
            let times = latencies(rig);
            ended.store(true, Ordering::Relaxed);
            times
        });
        beside.push(quantile(&times, 0.99));
        drop(clients);
        let figures = [("alone", alone[round - 1]), ("beside", beside[round - 1])];
        report.keep("slow", "postrider", round, &figures);
    }
    let (before, after) = (median(&alone), median(&beside));
    let told = format!(
        "{} ms ({}), without them {} ms ({})",
        short(after),
        spread(&beside),
        short(before),
        spread(&alone)
    );
    let most = (before * (1.0 + TOLERANCE)).max(quantile(&alone, 1.0));
    report.judge(
        "99th percentile of a transaction beside 5,000 slow clients",
        told,
        "unchanged",
        after <= most,
    );
}

fn connect(port: u16) -> Vec<TcpStream> {
    let open = || Talk::connect(port).expect("the daemon greets").into_inner();
    (0..SLOW).map(|_| open()).collect()
}

/// Each client says one octet of a command in each round of the clock.
fn trickle(clients: &[TcpStream], ended: &AtomicBool) {
    let step = PACE / u32::try_from(SLOW).expect("a small number");
    let mut next = Instant::now();
    for mut client in clients.iter().cycle() {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        client.write_all(b"N").expect("the daemon listens");
        next += step;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Milliseconds of every transaction.
fn latencies(rig: &Rig) -> Vec<f64> {
    let content = message(4_096);
    let work = || {
        let mut times = Vec::with_capacity(TRANSACTIONS);
        for _ in 0..TRANSACTIONS {
            std::thread::sleep(PAUSE);
            let start = Instant::now();
            let mut talk = Talk::connect(rig.port).expect("the daemon greets");
            talk.say("EHLO client.test\r\n", '2').expect("the daemon answers EHLO");
            talk.deliver(&content).expect("the daemon takes it");
            times.push(start.elapsed().as_secs_f64() * 1_000.0);
            talk.say("QUIT\r\n", '2').expect("the daemon says goodbye");
        }
        times
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    })
}
