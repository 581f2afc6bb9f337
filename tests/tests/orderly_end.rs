//! The daemon ends in good order: what it was about to take in is there once.

use nix::sys::signal::Signal;
use postrider_tests::daemon::Daemon;
use postrider_tests::faults::{Action, Faults, Kind};
use postrider_tests::program;
use postrider_tests::server::Server;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Messages in the maildrop: some times as many as are taken in side by side.
const MESSAGES: usize = 60;

fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("a maildrop").filter_map(Result::ok);
    entries.filter(|entry| entry.path().is_file()).count()
}

#[test]
fn an_end_while_the_maildrop_is_emptied_begins_with_nothing_new_and_takes_nothing_in_twice() {
    let server = Server::start();
    let lines = format!("relayhost = [127.0.0.1]:{}", server.address.port());
    let mut daemon = Daemon::prepare("orderly-end", &lines, "");
    daemon.run();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    for number in 0..MESSAGES {
        daemon.sendmail("me@here.test", &format!("you{number}@far.test"), "Subject: x\n\nx\n");
    }
    // When the first is being read, and when the first is durable and its file still there.
    let moments = [Kind::Open, Kind::Unlink];
    let maildrop = daemon.path().join("spool/postrider/maildrop");
    let faults = Faults::new(daemon.path(), &maildrop);
    daemon.environment = faults.environment();
    // A slow disk: between a commit and the removal of its file there is time to end.
    let slow = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=unlink,unlinkat"];
    let delay = ["-e", "inject=unlink,unlinkat:delay_enter=100000"];
    daemon.starter = vec![program("strace", "strace").into()];
    daemon.starter.extend(slow.into_iter().chain(delay).map(Into::into));
    let mut ends = 0;
    while files(&maildrop) > 0 {
        let kind = moments[ends % 2];
        faults.arm(kind, 1, 1, Action::Signal(Signal::SIGTERM));
        // It may come before the log says that the daemon has started.
        _ = daemon.try_run();
        assert_eq!(daemon.wait(), Some(0), "it ends by itself, in order");
        assert_eq!(faults.fired(kind), 1);
        faults.disarm(kind);
        ends += 1;
    }
    println!("{ends} ends");
    // By itself: who kills strace does not kill what it has started.
    daemon.starter.clear();
    daemon.run();
    daemon.wait_until_the_queue_is_empty();
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for recipient in server.taken().iter().flat_map(|message| &message.recipients) {
        *copies.entry(recipient.clone()).or_default() += 1;
    }
    copies.retain(|recipient, _| recipient.contains("@far.test"));
    assert_eq!(copies.len(), MESSAGES, "nothing is lost");
    copies.retain(|_, count| *count > 1);
    assert!(copies.is_empty(), "taken in more than once: {copies:?}");
}
