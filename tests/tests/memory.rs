//! What an idle daemon costs.

use postrider_tests::daemon::Daemon;
use postrider_tests::process::anonymous;
use std::fs;

/// Kilobytes of anonymous memory of an idle daemon and of its helper that are promised.
const PROMISED_MAX: u64 = 25 * 1024;

/// Kilobytes that fail this test. It takes about 4.5 MB: more than twice that is a leak or a table grown too large, long before
/// the promise is broken; what allocators and the number of cores add is less.
const EXPECTED_MAX: u64 = 12 * 1024;

#[test]
fn an_idle_daemon_is_small() {
    let daemon = Daemon::start("memory", "");
    // After its first message, so that what is made on first use is counted.
    let reply = daemon.client().deliver("me@here.test", &["you@here.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    _ = daemon.wait_for_mail("you", 1);
    _ = daemon.wait_for_log(": removed");
    let process = daemon.process();
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).expect("Linux");
    let own = anonymous(process);
    let helper = |word: &str| anonymous(word.parse().expect("a process id"));
    let helpers: u64 = children.split_whitespace().map(helper).sum();
    println!("anonymous memory of an idle daemon: {own} kB, of its helper: {helpers} kB");
    assert!(own + helpers < PROMISED_MAX, "the promise is broken: {own} kB and {helpers} kB");
    assert!(
        own + helpers < EXPECTED_MAX,
        "twice what it was, and still below the promise: {own} kB and {helpers} kB"
    );
}
