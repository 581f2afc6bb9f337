//! What an idle daemon costs.

use postrider_tests::daemon::Daemon;
use std::fs;

/// Kilobytes of anonymous memory of an idle daemon and of its helper.
const ANONYMOUS_MAX: u64 = 25 * 1024;

fn anonymous(process: &str) -> u64 {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = text.lines().find(|line| line.starts_with("Anonymous:")).expect("smaps_rollup has Anonymous");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of kilobytes")
}

#[test]
fn an_idle_daemon_is_small() {
    let daemon = Daemon::start("memory", "");
    // After its first message, so that what is made on first use is counted.
    let reply = daemon.client().deliver("me@here.test", &["you@here.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    _ = daemon.wait_for_mail("you", 1);
    _ = daemon.wait_for_log(": removed");
    let process = daemon.process().to_string();
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).expect("Linux");
    let own = anonymous(&process);
    let helpers: u64 = children.split_whitespace().map(anonymous).sum();
    println!("anonymous memory of an idle daemon: {own} kB, of its helper: {helpers} kB");
    assert!(own + helpers < ANONYMOUS_MAX, "{own} kB and {helpers} kB");
}
