//! Calls of the running daemon fail, each in its turn: what it refuses is refused with 4xx and not delivered, what it accepts is delivered once, and
//! it goes on by itself.
//!
//! Each sweep lets the first call of a kind fail, then the second, and so on until there are no more; and each round asserts that its fault fired.

use nix::errno::Errno;
use postrider_tests::daemon::Daemon;
use postrider_tests::faults::{Action, Faults, Kind};
use postrider_tests::server::Server;
use postrider_tests::{binary, wait_for};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// More calls of one kind than three messages need.
const CALLS_MAX: u64 = 80;

/// After so long nothing more happens to three messages: every timer of the spool that they start is shorter.
const QUIET: Duration = Duration::from_millis(400);

/// A daemon with switches, and the next hop of its mail.
struct Scene {
    daemon: Daemon,
    faults: Faults,
    server: Server,
    /// What became of each message: accepted or not.
    answers: BTreeMap<String, bool>,
    next: u64,
}

impl Scene {
    fn new(name: &str, lines: &str) -> Self {
        let server = Server::start();
        let relay = format!(
            "relayhost = [127.0.0.1]:{}\nspool_segment_size = 262144\nspool_reserve = 262144\n\
             minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\n{lines}",
            server.address.port()
        );
        let mut daemon = Daemon::prepare(name, &relay, "");
        let faults = Faults::new(daemon.path(), &daemon.path().join("spool"));
        daemon.environment = faults.environment();
        daemon.run();
        Self { daemon, faults, server, answers: BTreeMap::new(), next: 1 }
    }

    /// Submits a message: accepted or refused for now, nothing else.
    fn submit(&mut self, lines: usize, recipient: &str) -> bool {
        let name = format!("m{}", self.next);
        self.next += 1;
        let mut client = self.daemon.client();
        let text = format!("Subject: {name}\r\n\r\n{}", "A line of this message.\r\n".repeat(lines));
        let mut replies = vec![client.greeting.clone()];
        let steps = ["EHLO client.test".to_owned(), format!("MAIL FROM:<{name}@origin.test>")];
        for command in steps.iter().chain([&format!("RCPT TO:<{recipient}>"), &"DATA".to_owned()]) {
            replies.push(client.say(command));
            if !replies.last().is_some_and(|reply| reply.starts_with(['2', '3'])) {
                break;
            }
        }
        if replies.last().is_some_and(|reply| reply.starts_with("354")) {
            client.send(text.as_bytes());
            replies.push(client.say("."));
        }
        let last = replies.pop().unwrap_or_default();
        let accepted = last.starts_with("250 2.0.0 Ok: queued as ");
        assert!(accepted || last.starts_with('4'), "{name}: {last:?} after {replies:?}");
        self.answers.insert(name, accepted);
        accepted
    }

    fn is_empty(&self) -> bool {
        _ = self.daemon.command(&["queue", "flush"]);
        let list = self.daemon.command(&["queue", "list"]);
        String::from_utf8_lossy(&list.stdout).contains("is empty")
    }

    /// Compares what arrived with what was said.
    fn compare(&self) {
        let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
        for message in self.server.taken() {
            let name = message.mail.trim_start_matches('<').split('@').next().unwrap_or_default().to_owned();
            *arrived.entry(name).or_default() += 1;
        }
        for (name, accepted) in &self.answers {
            let copies = arrived.get(name).copied().unwrap_or_default();
            assert_eq!(copies, usize::from(*accepted), "{name}: accepted: {accepted}, copies: {copies}");
        }
    }

    /// Lets each call of a kind meet the error once.
    fn sweep(&mut self, kind: Kind, errno: Errno) -> u64 {
        let mut refused = 0;
        for at in 1..CALLS_MAX {
            self.faults.arm(kind, at, 1, Action::Fail(errno));
            for lines in [3, 8_000, 30] {
                refused += u64::from(!self.submit(lines, "you@far.test"));
            }
            wait_for("the queue to run empty", || self.is_empty().then_some(()));
            let start = Instant::now();
            while self.faults.fired(kind) == 0 && start.elapsed() < QUIET {
                std::thread::sleep(Duration::from_millis(5));
            }
            let fired = self.faults.fired(kind);
            self.faults.disarm(kind);
            wait_for("mail to be taken again", || self.submit(3, "you@far.test").then_some(()));
            if fired == 0 {
                wait_for("the queue to run empty", || self.is_empty().then_some(()));
                self.compare();
                assert!(at > 1, "{kind:?} {errno}: the fault never fired");
                println!("{kind:?} {errno}: {} calls failed in turn, {refused} messages refused", at - 1);
                return at - 1;
            }
        }
        panic!("{kind:?}: more than {CALLS_MAX} calls for three messages");
    }

    /// All calls of a kind fail, until they do not.
    fn outage(&mut self, kind: Kind, errno: Errno) {
        self.faults.arm(kind, 1, u64::MAX, Action::Fail(errno));
        let answers: Vec<bool> = [3, 8_000, 30].map(|lines| self.submit(lines, "you@far.test")).to_vec();
        assert!(self.faults.fired(kind) > 0, "{kind:?} {errno}: the fault never fired");
        if matches!(kind, Kind::Sync | Kind::Write) {
            assert_eq!(answers, [false; 3], "{kind:?} {errno}: nothing is durable, nothing is accepted");
        }
        self.faults.disarm(kind);
        wait_for("mail to be taken again", || self.submit(8_000, "you@far.test").then_some(()));
        wait_for("the queue to run empty", || self.is_empty().then_some(()));
        self.compare();
    }
}

#[test]
fn each_sync_fails_in_its_turn() {
    let mut scene = Scene::new("fault-sync", "");
    for errno in [Errno::EIO, Errno::ENOSPC, Errno::EDQUOT, Errno::EROFS] {
        let calls = scene.sweep(Kind::Sync, errno);
        assert!(calls > 5, "{calls}");
    }
}

#[test]
fn each_write_fails_in_its_turn() {
    let mut scene = Scene::new("fault-write", "");
    for errno in [Errno::EIO, Errno::ENOSPC, Errno::EDQUOT, Errno::EROFS] {
        let calls = scene.sweep(Kind::Write, errno);
        assert!(calls > 5, "{calls}");
    }
}

#[test]
fn each_open_fails_in_its_turn() {
    let mut scene = Scene::new("fault-open", "");
    for errno in [Errno::EIO, Errno::ENOSPC, Errno::EROFS, Errno::ENFILE, Errno::EMFILE] {
        let calls = scene.sweep(Kind::Open, errno);
        assert!(calls > 2, "{calls}");
    }
}

#[test]
fn each_read_unlink_and_allocation_fails_in_its_turn() {
    let mut scene = Scene::new("fault-others", "");
    for errno in [Errno::EIO, Errno::EROFS] {
        scene.sweep(Kind::Unlink, errno);
    }
    scene.sweep(Kind::Read, Errno::EIO);
    // A segment is made when one is used up: with small ones that takes a few large letters.
    for errno in [Errno::ENOSPC, Errno::EIO, Errno::EDQUOT] {
        scene.faults.arm(Kind::Allocate, 1, 1, Action::Fail(errno));
        let fired = wait_for("a segment to be made", || {
            scene.submit(5_000, "you@far.test");
            Some(scene.faults.fired(Kind::Allocate)).filter(|fired| *fired > 0)
        });
        assert_eq!(fired, 1);
        wait_for("mail to be taken again", || scene.submit(3, "you@far.test").then_some(()));
        wait_for("the queue to run empty", || scene.is_empty().then_some(()));
        scene.compare();
    }
}

#[test]
fn what_the_disk_does_not_read_waits_and_is_delivered_once_when_it_does() {
    let mut scene = Scene::new("fault-reads", "");
    scene.faults.arm(Kind::Read, 1, u64::MAX, Action::Fail(Errno::EIO));
    // In the log, in a file of its own, and for a mailbox.
    for (lines, recipient) in [(3, "you@far.test"), (8_000, "you@far.test"), (3, "b@here.test")] {
        assert!(scene.submit(lines, recipient), "nothing is read to take a message");
    }
    let words = "cannot be read: Input/output error; the disk fails: the kernel's log (dmesg) says more)";
    let deferred = |log: &str| {
        log.lines()
            .filter(|line| line.contains("status=deferred ("))
            .filter(|line| line.ends_with(words) && line.contains("dsn=4.3.0"))
            .count()
    };
    wait_for("all of them to be deferred", || (deferred(&scene.daemon.log()) >= 3).then_some(()));
    let list = scene.daemon.command(&["queue", "list", "--json"]);
    let told = String::from_utf8_lossy(&list.stderr)
        .matches("it is in the queue, and can not be read now: ")
        .count();
    assert_eq!(told, 3, "{list:?}");
    assert!(scene.server.taken().is_empty() && scene.daemon.delivered("b").is_empty());
    scene.faults.disarm(Kind::Read);
    wait_for("the queue to run empty", || scene.is_empty().then_some(()));
    assert_eq!(scene.daemon.delivered("b").len(), 1);
    _ = scene.answers.remove("m3");
    scene.compare();
}

#[test]
fn a_file_system_that_can_not_allocate_ahead_keeps_mail_as_well() {
    let mut daemon =
        Daemon::prepare("no-fallocate", "relayhost = [127.0.0.1]:1\nspool_segment_size = 262144", "");
    let faults = Faults::new(daemon.path(), &daemon.path().join("spool"));
    daemon.environment = faults.environment();
    faults.arm(Kind::Allocate, 1, u64::MAX, Action::Fail(Errno::EOPNOTSUPP));
    daemon.run();
    assert!(faults.fired(Kind::Allocate) > 0);
    let reply = daemon.client().deliver("me@here.test", &["you@far.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    // The next segment is made ahead, while nobody waits for it.
    let log = daemon.path().join("spool/postrider/log");
    wait_for("each segment to have its length", || {
        let mut entries = std::fs::read_dir(&log).expect("the spool");
        entries
            .all(|entry| entry.expect("an entry").metadata().expect("a segment").len() == 262_144)
            .then_some(())
    });
    daemon.kill();
    daemon.run();
    let list = daemon.command(&["queue", "list"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("you@far.test"), "{list:?}");
    assert!(!daemon.log().contains("may be lost"), "a segment is as long as it says");
}

#[test]
fn the_disk_fails_for_a_while_and_mail_is_refused_until_it_works_again() {
    let mut scene = Scene::new("fault-outage", "");
    for errno in [Errno::EIO, Errno::ENOSPC, Errno::EROFS] {
        for kind in [Kind::Sync, Kind::Write] {
            scene.outage(kind, errno);
        }
    }
    scene.outage(Kind::Open, Errno::ENFILE);
}

#[test]
fn each_call_of_a_final_delivery_fails_in_its_turn_and_the_message_waits() {
    let mut scene = Scene::new("fault-maildir", "");
    let mail = scene.daemon.mail();
    // The folders are there: what is made once only would be missing from all rounds but the first.
    assert!(scene.submit(3, "you@here.test"));
    _ = scene.daemon.wait_for_mail("you", 1);
    scene.faults.below(&mail);
    for (kind, errno) in [
        (Kind::Sync, Errno::EIO),
        (Kind::Write, Errno::ENOSPC),
        (Kind::Open, Errno::ENFILE),
        (Kind::Rename, Errno::EIO),
        (Kind::Rename, Errno::ENOSPC),
    ] {
        for at in 1.. {
            let before = scene.daemon.delivered("you").len();
            scene.faults.arm(kind, at, 1, Action::Fail(errno));
            assert!(scene.submit(4_000, "you@here.test"), "a mailbox is not the spool");
            wait_for("the queue to run empty", || scene.is_empty().then_some(()));
            let fired = scene.faults.fired(kind);
            scene.faults.disarm(kind);
            let after = scene.daemon.delivered("you");
            assert_eq!(after.len(), before + 1, "{kind:?} {errno} at {at}: once, after a second attempt");
            let whole = |letter: &Vec<u8>| letter.windows(8).filter(|octets| *octets == b"A line o").count();
            assert!(after.iter().all(|letter| [3, 4_000].contains(&whole(letter))), "each is whole");
            if fired == 0 {
                assert!(at > 1, "{kind:?} {errno}: the fault never fired");
                println!("{kind:?} {errno}: {} calls failed in turn", at - 1);
                break;
            }
        }
    }
    assert!(scene.daemon.log().contains("status=deferred"));
}

#[test]
fn each_call_of_sendmail_fails_in_its_turn_and_its_exit_status_is_true() {
    let mut scene = Scene::new("fault-sendmail", "");
    let maildrop = scene.daemon.path().join("spool/postrider/maildrop");
    scene.faults.below(&maildrop);
    scene.daemon.kill();
    for (kind, errno) in [
        (Kind::Sync, Errno::EIO),
        (Kind::Write, Errno::ENOSPC),
        (Kind::Open, Errno::ENFILE),
        (Kind::Rename, Errno::EIO),
    ] {
        for at in 1.. {
            scene.faults.arm(kind, at, 1, Action::Fail(errno));
            let name = format!("{kind:?}{at}").to_lowercase();
            let accepted = sendmail(&scene, &name);
            let fired = scene.faults.fired(kind);
            scene.faults.disarm(kind);
            assert!(accepted || fired > 0, "it fails only when something does");
            scene.answers.insert(name, accepted);
            if fired == 0 {
                println!("sendmail, {kind:?} {errno}: {} calls failed in turn", at - 1);
                break;
            }
        }
    }
    assert!(scene.answers.values().filter(|accepted| !**accepted).count() >= 4, "{:?}", scene.answers);
    // The daemon takes in what is there, once, and nothing that sendmail said it could not keep.
    scene.daemon.run();
    let accepted = scene.answers.values().filter(|accepted| **accepted).count();
    _ = scene.server.wait(accepted);
    wait_for("the queue to run empty", || scene.is_empty().then_some(()));
    scene.compare();
}

/// Whether sendmail says that it has taken a message.
fn sendmail(scene: &Scene, name: &str) -> bool {
    let mut child = Command::new(binary("postrider"))
        .args(["sendmail", "-f", &format!("{name}@origin.test"), "-C"])
        .arg(scene.daemon.config())
        .arg("you@far.test")
        .envs(scene.faults.environment())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let text = format!("Subject: {name}\n\n{}", "A line of this message.\n".repeat(3_000));
    // A sendmail that has failed reads no more.
    _ = child.stdin.take().expect("a pipe").write_all(text.as_bytes());
    child.wait().expect("it is ours").success()
}
