//! How much memory a message of 100 MB needs on its way through the daemon.

use crate::Options;
use crate::clients::{Talk, message};
use crate::figures::{Report, short};
use crate::load;
use crate::server::{Rig, Who};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const OCTETS: usize = 100 * 1024 * 1024;

/// Measures the row.
pub(crate) fn measure(rig: &Rig, options: &Options, report: &mut Report) {
    let content = message(OCTETS);
    let mut most = 0.0f64;
    for round in 1..=options.rounds.min(3) {
        let server = rig.start(Who::Postrider, "");
        let mut sink = load::sink(rig, 2);
        let deliver = |content: &[u8]| {
            let mut talk = Talk::connect(rig.port).expect("the daemon greets");
            talk.say("EHLO client.test\r\n", '2').expect("the daemon answers EHLO");
            talk.deliver(content).expect("the daemon takes it");
        };
        // A small one first: what is made on first use is not the message's.
        deliver(&message(4_096));
        server.rest();
        let (before, peak, ended) = (server.anonymous(), AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    peak.fetch_max(server.anonymous(), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            deliver(&content);
            let end = sink.wait().expect("a child");
            assert!(end.success(), "the sink took no message of 100 MB: {end}");
            ended.store(true, Ordering::Relaxed);
        });
        let megabytes = peak.into_inner().saturating_sub(before) as f64 / 1024.0 / 1024.0;
        report.keep("large", "postrider", round, &[("megabytes", megabytes)]);
        most = most.max(megabytes);
    }
    let what = "memory that a message of 100 MB needs on its way";
    report.judge(what, format!("{} MB", short(most)), "under 2 MB", most < 2.0);
}
