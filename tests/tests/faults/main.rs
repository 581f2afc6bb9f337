//! Calls of the running daemon fail, each in its turn: what it refuses is refused with 4xx and not delivered, what it accepts is delivered once, and
//! it goes on by itself.
//!
//! Each sweep lets the first call of a kind fail, then the second, and so on until there are no more; and each round asserts that its fault fired.

mod leftovers;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use postrider_tests::daemon::{Daemon, owner};
use postrider_tests::faults::{Action, Faults, Kind};
use postrider_tests::server::Server;
use postrider_tests::{binary, wait_for};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// More calls of one kind than three messages need.
const CALLS_MAX: u64 = 80;

/// When for so long, twice in a row, no call of a kind has come, the daemon is done with three messages: every timer of the spool that they
/// start is shorter.
const QUIET: Duration = Duration::from_millis(200);

/// EX_TEMPFAIL of sysexits.h: try again later.
const TEMPORARY: i32 = 75;

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

    /// Lets each call of a kind meet the error once. At least so many there must be, and the failure of so many of them must have been told to
    /// a client: who swallows the error of one says 250 to all.
    #[track_caller]
    fn sweep(&mut self, kind: Kind, errno: Errno, least: u64, least_told: u64) {
        let (mut at, mut refused, mut told, mut in_vain) = (1, 0, 0, 0);
        // One round without it may be chance: calls that are taken together are fewer.
        while in_vain < 2 {
            assert!(at < CALLS_MAX, "{kind:?}: more than {CALLS_MAX} calls for three messages");
            self.faults.arm(kind, at, 1, Action::Fail(errno));
            let before = refused;
            for lines in [3, 8_000, 30] {
                refused += u64::from(!self.submit(lines, "you@far.test"));
            }
            // One failure can turn more than one message away.
            told += u64::from(refused > before);
            self.daemon.flush_until_the_queue_is_empty();
            let has_fired = self.fires_before_it_is_quiet(kind);
            self.faults.disarm(kind);
            wait_for("mail to be taken again", || self.submit(3, "you@far.test").then_some(()));
            (at, in_vain) = if has_fired { (at + 1, 0) } else { (at, in_vain + 1) };
        }
        self.daemon.flush_until_the_queue_is_empty();
        self.compare();
        println!(
            "{kind:?} {errno}: {} calls failed in turn, {told} were told, {refused} messages refused",
            at - 1
        );
        assert!(at > least, "{kind:?} {errno}: {} calls, and there are {least} at least", at - 1);
        assert!(
            told >= least_told,
            "{kind:?} {errno}: {told} of {} calls, and {least_told} hold mail",
            at - 1
        );
    }

    /// Whether the fault has fired when no more calls come.
    fn fires_before_it_is_quiet(&self, kind: Kind) -> bool {
        let (mut count, mut quiet) = (self.faults.count(kind), 0);
        while self.faults.fired(kind) == 0 && quiet < 2 {
            let start = Instant::now();
            while self.faults.fired(kind) == 0 && start.elapsed() < QUIET {
                std::thread::sleep(Duration::from_millis(5));
            }
            let now = self.faults.count(kind);
            quiet = if now == count { quiet + 1 } else { 0 };
            count = now;
        }
        self.faults.fired(kind) > 0
    }

    fn deferrals(&self) -> u64 {
        self.daemon.log().matches("status=deferred").count() as u64
    }

    /// A letter, while this call of its final delivery fails: how often it did. `letters` says how many lines each letter in the mailbox has.
    fn deliver(&mut self, kind: Kind, errno: Errno, at: u64, letters: impl Fn(&Daemon) -> Vec<usize>) -> u64 {
        let before = letters(&self.daemon).len();
        self.faults.arm(kind, at, 1, Action::Fail(errno));
        assert!(self.submit(4_000, "you@here.test"), "a mailbox is not the spool");
        self.daemon.flush_until_the_queue_is_empty();
        let fired = self.faults.fired(kind);
        self.faults.disarm(kind);
        let after = letters(&self.daemon);
        assert_eq!(after.len(), before + 1, "{kind:?} {errno} at {at}: once, after a second attempt");
        let is_whole = |lines: &usize| [3, 4_000].contains(lines);
        assert!(after.iter().all(is_whole), "{kind:?} {errno} at {at}: {after:?}");
        fired
    }

    /// Lets each call of a final delivery meet the error once: the letter waits for a second attempt.
    fn sweep_delivery(&mut self, kind: Kind, errno: Errno, letters: impl Fn(&Daemon) -> Vec<usize>) {
        for at in 1..CALLS_MAX {
            let deferred = self.deferrals();
            let fired = self.deliver(kind, errno, at, &letters);
            wait_for("the failure to be told", || (self.deferrals() == deferred + fired).then_some(()));
            if fired == 0 {
                assert!(at > 1, "{kind:?} {errno}: the fault never fired");
                println!("{kind:?} {errno}: {} calls failed in turn", at - 1);
                return;
            }
        }
        panic!("{kind:?}: more than {CALLS_MAX} calls for one letter");
    }

    /// The same, where each letter is the first of its mailbox; how many calls failed.
    fn sweep_first_delivery(
        &mut self,
        kind: Kind,
        letters: impl Fn(&Daemon) -> Vec<usize>,
        remove: impl Fn(&Daemon),
    ) -> usize {
        let mut fires = |at: &u64| {
            remove(&self.daemon);
            let deferred = self.deferrals();
            let fired = self.deliver(kind, Errno::EIO, *at, &letters);
            wait_for("the failure to be told", || (self.deferrals() == deferred + fired).then_some(()));
            fired > 0
        };
        let calls = (1..CALLS_MAX).take_while(&mut fires).count();
        println!("{kind:?}, and the mailbox is made: {calls} calls failed in turn");
        calls
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
        self.daemon.flush_until_the_queue_is_empty();
        self.compare();
    }
}

#[test]
fn each_sync_fails_in_its_turn() {
    let mut scene = Scene::new("fault-sync", "");
    for errno in [Errno::EIO, Errno::ENOSPC, Errno::EDQUOT, Errno::EROFS] {
        // One for each message, the large content and its name, and one for what became of all.
        scene.sweep(Kind::Sync, errno, 6, 5);
    }
}

#[test]
fn each_write_fails_in_its_turn() {
    let mut scene = Scene::new("fault-write", "");
    for errno in [Errno::EIO, Errno::ENOSPC, Errno::EDQUOT, Errno::EROFS] {
        // One for each message, parts of the large content, and one for what became of all.
        scene.sweep(Kind::Write, errno, 6, 4);
    }
}

#[test]
fn each_open_fails_in_its_turn() {
    let mut scene = Scene::new("fault-open", "");
    for errno in [Errno::EIO, Errno::ENOSPC, Errno::EROFS, Errno::ENFILE, Errno::EMFILE] {
        // The large content's file, and the spool's folders that are opened to be synced for its name; these a read-only file system opens.
        let (least, least_told) = if errno == Errno::EROFS { (1, 1) } else { (4, 3) };
        scene.sweep(Kind::Open, errno, least, least_told);
    }
}

#[test]
fn each_read_unlink_and_allocation_fails_in_its_turn() {
    let mut scene = Scene::new("fault-others", "");
    for errno in [Errno::EIO, Errno::EROFS] {
        // The large content goes when it is delivered.
        scene.sweep(Kind::Unlink, errno, 1, 0);
    }
    // The large content is read in parts.
    scene.sweep(Kind::Read, Errno::EIO, 6, 0);
    // A segment is made when one is used up: with small ones that takes a few large letters.
    for errno in [Errno::ENOSPC, Errno::EIO, Errno::EDQUOT] {
        scene.faults.arm(Kind::Allocate, 1, 1, Action::Fail(errno));
        let fired = wait_for("a segment to be made", || {
            scene.submit(5_000, "you@far.test");
            Some(scene.faults.fired(Kind::Allocate)).filter(|fired| *fired > 0)
        });
        assert_eq!(fired, 1);
        wait_for("mail to be taken again", || scene.submit(3, "you@far.test").then_some(()));
        scene.daemon.flush_until_the_queue_is_empty();
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
    assert!(scene.faults.fired(Kind::Read) >= 3, "each was tried");
    assert!(scene.server.taken().is_empty() && scene.daemon.delivered("b").is_empty());
    scene.faults.disarm(Kind::Read);
    scene.daemon.flush_until_the_queue_is_empty();
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

/// Lines of the message in these octets, whole ones.
fn lines_in(octets: &[u8]) -> usize {
    octets.split(|octet| *octet == b'\n').filter(|line| line.starts_with(b"A line of this message.")).count()
}

#[test]
fn each_call_of_a_final_delivery_fails_in_its_turn_and_the_message_waits() {
    let mut scene = Scene::new("fault-maildir", "");
    // The folders are there: what is made once only would be missing from all rounds but the first.
    assert!(scene.submit(3, "you@here.test"));
    _ = scene.daemon.wait_for_mail("you", 1);
    scene.faults.below(&scene.daemon.mail().join("you"));
    let letters =
        |daemon: &Daemon| daemon.delivered("you").iter().map(|letter| lines_in(letter)).collect::<Vec<_>>();
    for kind in [Kind::Sync, Kind::Write, Kind::Open, Kind::Rename] {
        for errno in [Errno::EIO, Errno::ENOSPC] {
            scene.sweep_delivery(kind, errno, letters);
        }
    }
    scene.sweep_delivery(Kind::Open, Errno::ENFILE, letters);
    // And a delivery that makes the folders: a name that is not durable is as bad as a letter that is not.
    let calls = scene.sweep_first_delivery(Kind::Sync, letters, |daemon| {
        std::fs::remove_dir_all(daemon.mail().join("you")).expect("the last letter was delivered");
    });
    assert!(calls >= 3, "{calls}: the Maildir, the letter, and its name");
}

/// The same of a mailbox file. Each letter ends with one blank line, so a part of one, or what is not cut back whole, would show.
fn letters_of_the_box(daemon: &Daemon) -> Vec<usize> {
    let octets = std::fs::read(daemon.mail().join("post/box")).unwrap_or_default();
    let text = String::from_utf8(octets).expect("our own letters");
    let mut parts = text.split("From m");
    assert_eq!(parts.next(), Some(""), "nothing stands before the first letter");
    let letters = parts.inspect(|letter| {
        let is_closed = letter.ends_with("\n\n") && !letter.ends_with("\n\n\n");
        assert!(is_closed, "the end is torn: {:?}", letter.get(letter.len().saturating_sub(80)..));
    });
    letters.map(|letter| lines_in(letter.as_bytes())).collect()
}

#[test]
fn each_call_of_a_delivery_into_a_file_fails_in_its_turn_and_the_file_is_cut_back() {
    let mut scene = Scene::new("fault-mbox", "virtual_mailbox_maps = static:post/box");
    let folder = scene.daemon.mail().join("post");
    std::fs::create_dir(&folder).expect("a scratch folder");
    let (uid, gid) = owner();
    std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).expect("our own folder");
    assert!(scene.submit(3, "you@here.test"));
    scene.daemon.flush_until_the_queue_is_empty();
    scene.faults.below(&folder);
    for kind in [Kind::Sync, Kind::Write, Kind::Open] {
        for errno in [Errno::EIO, Errno::ENOSPC] {
            scene.sweep_delivery(kind, errno, letters_of_the_box);
        }
    }
    scene.sweep_delivery(Kind::Open, Errno::ENFILE, letters_of_the_box);
    scene.sweep_delivery(Kind::Read, Errno::EIO, letters_of_the_box);
    // And a delivery that makes the file.
    for kind in [Kind::Sync, Kind::Write, Kind::Open] {
        let calls = scene.sweep_first_delivery(kind, letters_of_the_box, |daemon| {
            std::fs::remove_file(daemon.mail().join("post/box")).expect("the last letter was delivered");
        });
        assert!(calls >= if kind == Kind::Write { 1 } else { 2 }, "{kind:?}: {calls}");
    }
}

#[test]
fn each_call_of_sendmail_fails_in_its_turn_and_its_exit_status_is_true() {
    let mut scene = Scene::new("fault-sendmail", "");
    let maildrop = scene.daemon.path().join("spool/postrider/maildrop");
    scene.faults.below(&maildrop);
    scene.daemon.kill();
    for (kind, errnos) in [
        (Kind::Sync, &[Errno::EIO, Errno::ENOSPC, Errno::EDQUOT][..]),
        (Kind::Write, &[Errno::EIO, Errno::ENOSPC, Errno::EDQUOT]),
        (Kind::Open, &[Errno::EIO, Errno::ENOSPC, Errno::ENFILE, Errno::EROFS]),
        (Kind::Rename, &[Errno::EIO, Errno::ENOSPC]),
    ] {
        errnos.iter().for_each(|errno| sweep_sendmail(&mut scene, kind, *errno, &maildrop));
    }
    // The daemon takes in what is there, once, and nothing that sendmail said it could not keep.
    scene.daemon.run();
    let accepted = scene.answers.values().filter(|accepted| **accepted).count();
    _ = scene.server.wait(accepted);
    scene.daemon.flush_until_the_queue_is_empty();
    scene.compare();
}

/// Who is killed before it has said 0 has left its message or not: never half of it, and nothing that stays.
#[test]
fn a_kill_of_sendmail_at_each_of_its_calls_leaves_a_whole_message_or_none() {
    let mut scene = Scene::new("kill-sendmail", "");
    let maildrop = scene.daemon.path().join("spool/postrider/maildrop");
    scene.faults.below(&maildrop);
    scene.daemon.kill();
    let mut killed = BTreeSet::new();
    for kind in [Kind::Open, Kind::Write, Kind::Sync, Kind::Rename] {
        for at in 1.. {
            assert!(at < CALLS_MAX, "{kind:?}: {at}");
            scene.faults.arm(kind, at, 1, Action::Signal(Signal::SIGKILL));
            let name = format!("{kind:?}.{at}").to_lowercase();
            let status = sendmail_ends(&scene, &name);
            let has_fired = scene.faults.fired(kind) > 0;
            scene.faults.disarm(kind);
            if !has_fired {
                assert!(at > 1 && status.success(), "{kind:?}: {status}");
                scene.answers.insert(name, true);
                break;
            }
            assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{kind:?} at {at}: {status}");
            killed.insert(name);
        }
    }
    let files =
        || std::fs::read_dir(&maildrop).expect("the spool").map(|entry| entry.expect("a file").path());
    let is_unfinished =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"tmp."));
    let unfinished: Vec<PathBuf> = files().filter(is_unfinished).collect();
    let left = files().count() - unfinished.len();
    assert!(unfinished.len() > 3 && left > scene.answers.len(), "{unfinished:?}, {left}, {killed:?}");
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 86_400);
    for path in unfinished {
        let file = File::options().write(true).open(path).expect("we are root");
        file.set_modified(long_ago).expect("we are root");
    }
    scene.daemon.run();
    let taken = scene.server.wait(left);
    scene.daemon.flush_until_the_queue_is_empty();
    wait_for("an empty maildrop", || (files().count() == 0).then_some(()));
    assert_eq!(scene.server.count(), left, "each once");
    for message in taken {
        assert!(message.content.ends_with(b"\nA line of this message.\r\n"), "{}", message.mail);
        let end = b"A line of this message.\r\n";
        let lines = message.content.windows(end.len()).filter(|window| window == end).count();
        assert_eq!(lines, 3_000, "{}", message.mail);
    }
    println!("{} kills of sendmail, {left} messages", killed.len());
}

/// Lets each call of sendmail meet the error once.
fn sweep_sendmail(scene: &mut Scene, kind: Kind, errno: Errno, maildrop: &Path) {
    let mut refused = 0;
    for at in 1..CALLS_MAX {
        scene.faults.arm(kind, at, 1, Action::Fail(errno));
        let name = format!("{kind:?}.{errno:?}.{at}").to_lowercase();
        let accepted = sendmail(scene, &name);
        let fired = scene.faults.fired(kind);
        scene.faults.disarm(kind);
        assert!(accepted || fired > 0, "it fails only when something does");
        refused += u64::from(!accepted);
        scene.answers.insert(name, accepted);
        let kept = scene.answers.values().filter(|accepted| **accepted).count();
        let files = std::fs::read_dir(maildrop).expect("the spool").count();
        assert_eq!(files, kept, "{kind:?} {errno} at {at}: what failed leaves nothing");
        if fired == 0 {
            assert!(refused > 0, "{kind:?} {errno}: {} calls failed, and nothing was refused", at - 1);
            println!("sendmail, {kind:?} {errno}: {} calls failed in turn, {refused} refused", at - 1);
            return;
        }
    }
    panic!("{kind:?}: more than {CALLS_MAX} calls for one letter");
}

/// Whether sendmail says that it has taken a message.
fn sendmail(scene: &Scene, name: &str) -> bool {
    let status = sendmail_ends(scene, name).code();
    assert!(matches!(status, Some(0 | TEMPORARY)), "{name}: {status:?}");
    status == Some(0)
}

/// How sendmail ends that is given a message of 3,000 lines.
fn sendmail_ends(scene: &Scene, name: &str) -> ExitStatus {
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
    child.wait().expect("it is ours")
}
