//! A queue of deferred messages: what a start over it costs, in time and in memory.

use crate::{fill, judge, prepare, process};
use postrider_tests::daemon::Daemon;
use postrider_tests::smtp::Client;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Domains that the messages are for.
const DESTINATIONS: u64 = 50_000;
/// Between two looks at the memory of a daemon that starts.
const LOOK: Duration = Duration::from_millis(20);

/// The most anonymous memory that was seen since the start.
struct Peak {
    most: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
    watcher: Option<std::thread::JoinHandle<()>>,
}

impl Peak {
    fn watch(process: u32) -> Self {
        let (most, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, over) = (Arc::clone(&most), Arc::clone(&done));
        let watcher = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                seen.fetch_max(process::anonymous(process), Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        Self { most, done, watcher: Some(watcher) }
    }

    fn end(mut self) -> u64 {
        self.done.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            watcher.join().expect("the watcher only reads");
        }
        self.most.load(Ordering::Relaxed)
    }
}

/// What one start took.
fn start(daemon: &mut Daemon, what: &str, messages: u64) -> bool {
    let before = daemon.log().matches(READ).count();
    let begin = Instant::now();
    daemon.spawn();
    let peak = Peak::watch(daemon.process());
    daemon.wait_until_it_serves();
    let listens = begin.elapsed();
    let client = Client::connect(daemon.port);
    let greeted = begin.elapsed();
    drop(client);
    let line = postrider_tests::wait_for("the end of recovery", || {
        let log = daemon.log();
        (log.matches(READ).count() > before)
            .then(|| log.lines().rfind(|line| line.contains(READ)).map(str::to_owned))
    });
    let recovered = begin.elapsed();
    let reply = daemon.client().deliver("a@client.test", &["b@here.test"], "Subject: x\r\n\r\nbody\r\n");
    let answered = begin.elapsed();
    assert!(reply.starts_with("250"), "{reply}");
    let each = |octets: u64| octets as f64 / messages as f64;
    // What was freed in the last steps is seen as free.
    std::thread::sleep(Duration::from_secs(2));
    let rests = process::anonymous(daemon.process());
    let most = each(peak.end());
    println!(
        "{what}: listens after {:.2} s, greets after {:.2} s, recovered after {:.2} s, 250 after {:.2} s; anonymous memory {:.0} octets a message at rest, {:.0} at most ({:.0} MB)",
        listens.as_secs_f64(),
        greeted.as_secs_f64(),
        recovered.as_secs_f64(),
        answered.as_secs_f64(),
        each(rests),
        most,
        rests as f64 / 1e6,
    );
    println!("  {}", line.unwrap_or_default());
    let seconds = |limit: u64| Duration::from_secs(limit);
    // Both are said, whatever the first comes to.
    let quick = judge(
        "listens within 5 s, and has read the queue within 60 s",
        listens <= seconds(5) && recovered <= seconds(60),
    );
    judge("at most 500 octets of anonymous memory for a message", most <= 500.0) && quick
}

/// What the log says when recovery is over.
const READ: &str = "the queue has been read";

/// Fills a queue, and starts the daemon over it.
pub(crate) fn measure(messages: u64, octets: u64) -> bool {
    let mut daemon = prepare("scale", "");
    let spool = daemon.path().join("spool/postrider");
    let begin = Instant::now();
    fill::fill(&spool, messages, octets, DESTINATIONS);
    println!(
        "{messages} deferred messages of {octets} octets, written in {:.1} s",
        begin.elapsed().as_secs_f64()
    );
    let cold = process::drop_caches();
    let first = start(&mut daemon, if cold { "cold cache" } else { "cache as it is" }, messages);
    daemon.kill();
    start(&mut daemon, "warm cache, after a kill", messages) && first
}
