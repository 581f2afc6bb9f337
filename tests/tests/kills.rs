//! The daemon is killed at each call that it makes, while it recovers and while it works; what it said 250 to is there at the next start.

use nix::sys::signal::Signal;
use postrider_tests::daemon::Daemon;
use postrider_tests::faults::{Action, Faults, Kind};
use postrider_tests::server::{Answer, Server, Taken};
use postrider_tests::{program, run, smtp, wait_for};
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// More calls of one kind than a start needs.
const CALLS_MAX: u64 = 200;

/// Kinds that change the spool, and one that reads it.
const KINDS: [Kind; 6] = [Kind::Sync, Kind::Write, Kind::Open, Kind::Unlink, Kind::Allocate, Kind::Read];
/// A daemon that has a reload to do has done it by then.
const SOON: Duration = Duration::from_secs(5);

/// A daemon that dies on demand; mail for `stay` waits for ever, all other goes.
struct Mortal {
    daemon: Daemon,
    faults: Faults,
    server: Server,
    /// The next hop takes mail for `stay`, too.
    open: Arc<AtomicBool>,
    /// How many messages of the next hop were looked at, and their names.
    arrived: Mutex<(usize, BTreeSet<String>)>,
    next: AtomicU64,
}

impl Mortal {
    fn new(name: &str) -> Self {
        let open = Arc::new(AtomicBool::new(false));
        let is_open = Arc::clone(&open);
        let server = Server::scripted(move |line, _| match line {
            _ if line.contains("<stay") && !is_open.load(Ordering::SeqCst) => {
                Answer::Say("450 4.2.0 not now\r\n".to_owned())
            }
            _ => Answer::Usual,
        });
        let lines = format!(
            "relayhost = [127.0.0.1]:{}\nspool_segment_size = 65536\nspool_reserve = 65536\nmaximal_queue_lifetime = 100d",
            server.address.port()
        );
        let mut daemon = Daemon::prepare(name, &lines, "");
        let faults = Faults::new(daemon.path(), &daemon.path().join("spool"));
        daemon.environment = faults.environment();
        Self { daemon, faults, server, open, arrived: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// Clients submit until the daemon is gone, or so many messages are accepted: their queue ids.
    fn load(&self, clients: u64, most: u64) -> BTreeMap<String, String> {
        let (accepted, done) = (Mutex::new(BTreeMap::new()), AtomicBool::new(false));
        let client = || {
            while !done.load(Ordering::SeqCst) {
                let number = self.next.fetch_add(1, Ordering::SeqCst);
                let Some((name, id)) = self.session(number) else { return };
                let mut accepted = accepted.lock().expect("no client panics");
                accepted.insert(name, id);
                done.store(accepted.len() as u64 >= most, Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| (0..clients).for_each(|_| drop(scope.spawn(client))));
        accepted.into_inner().expect("no client panics")
    }

    /// One message: its name and queue id, or `None` when the daemon is gone.
    fn session(&self, number: u64) -> Option<(String, String)> {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.daemon.port)).ok()?);
        let name = format!("m{number}");
        let user = if number.is_multiple_of(5) { "stay" } else { "go" };
        say(&mut stream, b"")?;
        say(&mut stream, b"EHLO client.test\r\n")?;
        say(&mut stream, format!("MAIL FROM:<{name}@origin.test>\r\n").as_bytes())?;
        say(&mut stream, format!("RCPT TO:<{user}{number}@far.test>\r\n").as_bytes())?;
        say(&mut stream, b"DATA\r\n")?;
        let text = format!("{}.\r\n", text(&name));
        let reply = say(&mut stream, text.as_bytes())?;
        let id = reply.trim_end().strip_prefix("250 2.0.0 Ok: queued as ")?;
        Some((name, id.to_owned()))
    }

    fn listed(&self) -> BTreeSet<String> {
        let list = self.daemon.command(&["queue", "list", "--json"]);
        assert!(list.status.success(), "{list:?}");
        let text = String::from_utf8_lossy(&list.stdout).into_owned();
        text.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|entry| entry["queue_id"].as_str().map(str::to_owned))
            .collect()
    }

    /// Names of what has arrived; each copy of it has the lines that were submitted, and no others.
    fn arrived(&self) -> BTreeSet<String> {
        let mut arrived = self.arrived.lock().expect("one test asks");
        let (seen, names) = &mut *arrived;
        if *seen < self.server.count() {
            let taken = self.server.taken();
            // A client that pipelines ends a transaction that has no recipients with an empty one, and the postmaster is told of trouble.
            let is_ours = |message: &&Taken| message.recipients.iter().any(|to| to.contains("@far.test"));
            names.extend(taken[*seen..].iter().filter(is_ours).map(whole));
            *seen = taken.len();
        }
        names.clone()
    }

    /// What stays goes as well, so that all that was accepted has been compared line by line.
    fn let_all_go(&self, accepted: &BTreeMap<String, String>) {
        self.open.store(true, Ordering::SeqCst);
        self.daemon.flush_until_the_queue_is_empty();
        let arrived = self.arrived();
        let lost: Vec<_> = accepted.iter().filter(|(name, _)| !arrived.contains(*name)).collect();
        assert!(lost.is_empty(), "lost {lost:?}");
    }

    /// Whether a message of this name is for `stay`: every fifth is.
    fn stays(name: &str) -> bool {
        name[1..].parse::<u64>().is_ok_and(|number| number.is_multiple_of(5))
    }

    /// Those that were accepted for `stay`.
    fn staying(accepted: &BTreeMap<String, String>) -> impl Iterator<Item = &String> {
        accepted.iter().filter(|(name, _)| Self::stays(name)).map(|(_, id)| id)
    }

    /// Everything that was accepted for others has arrived.
    fn has_drained(&self, accepted: &BTreeMap<String, String>) -> bool {
        let arrived = self.arrived();
        accepted.keys().all(|name| Self::stays(name) || arrived.contains(name))
    }

    /// Loads more, but only when what can leave has left: a queue that grows is one with nothing to tidy up.
    fn load_if_drained(&self, accepted: &mut BTreeMap<String, String>, most: u64) {
        if self.has_drained(accepted) {
            accepted.append(&mut self.load(3, most));
        }
    }

    /// The number of the oldest segment of the log.
    fn oldest_segment(&self) -> u64 {
        let log = std::fs::read_dir(self.log()).expect("the spool");
        let oldest = log.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).min();
        u64::from_str_radix(&oldest.expect("a segment"), 16).expect("a segment has a number")
    }

    fn spool(&self) -> PathBuf {
        self.daemon.path().join("spool/postrider")
    }

    fn log(&self) -> PathBuf {
        self.spool().join("log")
    }

    /// Puts a copy of one folder in place of another, both below the test's own.
    fn copy_spool(&self, from: &str, to: &str) {
        let (from, to) = (self.daemon.path().join(from), self.daemon.path().join(to));
        if to.exists() {
            std::fs::remove_dir_all(&to).expect("our own folder");
        }
        run(Command::new(program("cp", "coreutils")).arg("-a").args([&from, &to]));
    }

    /// Starts the daemon, and whether this call of the start has killed it. What is called later does not.
    fn is_killed_at(&mut self, kind: Kind, at: u64) -> bool {
        self.faults.arm(kind, at, 1, Action::Signal(Signal::SIGKILL));
        let started = self.daemon.try_run();
        self.faults.disarm(kind);
        let has_fired = self.faults.fired(kind) > 0;
        assert!(has_fired || started.is_ok(), "{kind:?} at {at}: {started:?}");
        has_fired
    }

    /// Everything that was accepted has arrived or is in the queue, with its lines.
    fn compare(&self, accepted: &BTreeMap<String, String>, when: &str) {
        let (listed, arrived) = (self.listed(), self.arrived());
        let lost: Vec<_> =
            accepted.iter().filter(|(name, id)| !arrived.contains(*name) && !listed.contains(*id)).collect();
        assert!(lost.is_empty(), "{when}: lost {lost:?}, of {listed:?} and {arrived:?}");
    }

    fn corrupt(&self) -> usize {
        std::fs::read_dir(self.spool().join("corrupt")).expect("the spool").count()
    }
}

/// The name of a message that has arrived as it was submitted.
fn whole(message: &Taken) -> String {
    let name = message.mail.trim_start_matches('<').split('@').next().unwrap_or_default().to_owned();
    let found = String::from_utf8_lossy(&message.content);
    // Fields are added to the header on the way.
    let parts = text(&name);
    let ((_, ours), (header, lines)) =
        (parts.split_once("\r\n\r\n").expect("a header"), found.split_once("\r\n\r\n").expect("a header"));
    assert!(
        header.contains(&format!("Subject: {name}\r\n")) && lines == ours,
        "{name} is not whole: {found:.800}"
    );
    name
}

/// The message of this name; now and then one that lies in a file of its own.
fn text(name: &str) -> String {
    let number: u64 = name[1..].parse().expect("our own name");
    let lines = if number % 11 == 10 { 6_000 } else { 30 };
    format!("Subject: {name}\r\n\r\n{}", format!("{name} fills a line of this message\r\n").repeat(lines))
}

/// Says words; the reply, or `None` when it refuses or the daemon is gone.
fn say(stream: &mut BufReader<TcpStream>, words: &[u8]) -> Option<String> {
    smtp::say(stream, words).filter(|reply| reply.starts_with(['2', '3']))
}

#[test]
fn a_kill_at_each_call_of_a_recovery_loses_nothing() {
    let mut mortal = Mortal::new("kill-recovery");
    mortal.daemon.run();
    let mut accepted = mortal.load(2, 120);
    mortal.daemon.kill();
    // Something to clean up: a content that belongs to no message.
    std::fs::write(mortal.spool().join("contents/4jWkjn1H7Gz0000"), b"nobody's").expect("a spool");
    mortal.copy_spool("spool/postrider", "kept");
    let (mut killed, mut killed_again) = (0, 0);
    for kind in KINDS {
        for at in 1.. {
            assert!(at < CALLS_MAX, "{kind:?}: {at}");
            mortal.daemon.kill();
            // Each recovery leaves a segment more for the next: of the same spool, all have the same calls.
            mortal.copy_spool("kept", "spool/postrider");
            if !mortal.is_killed_at(kind, at) {
                assert!(at > 1, "{kind:?}: a start has none");
                println!("{kind:?}: killed at each of {} calls", at - 1);
                break;
            }
            killed += 1;
            // The recovery of what that left, too.
            killed_again += u64::from(mortal.is_killed_at(kind, at));
            mortal.daemon.kill();
            mortal.daemon.run();
            mortal.compare(&accepted, &format!("{kind:?} at {at}"));
        }
    }
    assert!(killed > 50 && killed_again > 25, "{killed}, {killed_again}");
    println!("{killed} kills, and {killed_again} of the start after one");
    accepted.append(&mut mortal.load(1, 3));
    mortal.compare(&accepted, "and it works on");
    mortal.let_all_go(&accepted);
    assert_eq!(mortal.corrupt(), 0, "a kill is not damage");
}

#[test]
fn a_kill_at_each_call_under_load_and_compaction_loses_nothing() {
    let mut mortal = Mortal::new("kill-compaction");
    let mut accepted = BTreeMap::new();
    let mut killed = 0;
    mortal.daemon.run();
    for kind in [Kind::Sync, Kind::Write, Kind::Unlink, Kind::Open, Kind::Allocate, Kind::Read] {
        // Each kill falls a little later; rare calls take longer to come.
        let (step, rounds) = match kind {
            Kind::Unlink | Kind::Allocate | Kind::Open => (1, 8),
            _ => (7, 8),
        };
        let oldest = mortal.oldest_segment();
        for round in 0..rounds {
            mortal.faults.arm(kind, 1 + round * step, 1, Action::Signal(Signal::SIGKILL));
            wait_for("the blow", || {
                mortal.load_if_drained(&mut accepted, 400);
                (mortal.faults.fired(kind) > 0).then_some(())
            });
            killed += 1;
            mortal.faults.disarm(kind);
            mortal.daemon.kill();
            mortal.daemon.run();
            mortal.compare(&accepted, &format!("{kind:?}, round {round}"));
        }
        // What the kills left behind is tidied up, whether they fell among compactions or cut them off before they began.
        wait_for("a segment to be given up", || {
            mortal.load_if_drained(&mut accepted, 100);
            (mortal.oldest_segment() > oldest).then_some(())
        });
        mortal.compare(&accepted, &format!("{kind:?}, and a compaction"));
    }
    mortal.let_all_go(&accepted);
    println!("{killed} kills, {} messages accepted, {} arrived", accepted.len(), mortal.arrived().len());
    assert_eq!(mortal.corrupt(), 0, "a kill is not damage");
}

/// The last step of a compaction is the removal of the segment whose living mail was moved.
#[test]
fn a_kill_a_hangup_or_an_end_at_the_last_step_of_a_compaction_loses_nothing() {
    let mut mortal = Mortal::new("kill-last-step");
    mortal.daemon.run();
    // Every fifth message stays, so no segment is free of living mail before that was moved.
    let mut accepted = mortal.load(2, 20);
    let first: Vec<String> = Mortal::staying(&accepted).cloned().collect();
    assert!(first.len() > 2 && mortal.oldest_segment() == 1, "{first:?}");
    mortal.faults.below(&mortal.log());
    for (signal, at) in
        [(Signal::SIGKILL, 1), (Signal::SIGHUP, 1), (Signal::SIGTERM, 1), (Signal::SIGKILL, 2)]
    {
        let when = format!("{signal} at removal {at}");
        mortal.faults.arm(Kind::Unlink, at, 1, Action::Signal(signal));
        wait_for("the blow", || {
            mortal.load_if_drained(&mut accepted, 200);
            (mortal.faults.fired(Kind::Unlink) > 0).then_some(())
        });
        mortal.faults.disarm(Kind::Unlink);
        if signal == Signal::SIGHUP {
            _ = mortal.daemon.wait_for_log("configuration reloaded");
            assert!(mortal.daemon.ended().is_none(), "{when}: a reload ends nothing");
        } else {
            let status = mortal.daemon.wait();
            assert_eq!(
                status,
                (signal == Signal::SIGTERM).then_some(0),
                "{when}: it stops in order, or dies"
            );
            mortal.daemon.run();
        }
        mortal.compare(&accepted, &when);
    }
    let listed = mortal.listed();
    assert!(first.iter().all(|id| listed.contains(id)), "{first:?} were moved");
    assert!(mortal.oldest_segment() > 1, "the segment that they were in is gone");
    mortal.let_all_go(&accepted);
    assert_eq!(mortal.corrupt(), 0, "a kill is not damage");
}

#[test]
fn a_hangup_or_an_end_at_any_moment_of_a_start_is_obeyed_and_loses_nothing() {
    let mut mortal = Mortal::new("signals");
    mortal.daemon.run();
    let (accepted, mut obeyed, mut outlived) = (mortal.load(2, 60), 0, 0);
    let reloads = |mortal: &Mortal| mortal.daemon.log().matches("configuration reloaded").count();
    for signal in [Signal::SIGHUP, Signal::SIGTERM] {
        for at in (1..40).step_by(3) {
            mortal.daemon.kill();
            let before = reloads(&mortal);
            mortal.faults.arm(Kind::Open, at, 1, Action::Signal(signal));
            let started = mortal.daemon.try_run();
            mortal.faults.disarm(Kind::Open);
            if mortal.faults.fired(Kind::Open) == 0 {
                assert!(at > 10, "{signal}: a start opens more than {at} files");
                break;
            }
            if started.is_err_and(|status| status.signal() == Some(signal as i32)) {
                // It came before the daemon listened for signals, and did what it does to every process.
                mortal.daemon.run();
            } else if signal == Signal::SIGTERM {
                assert_eq!(mortal.daemon.wait(), Some(0), "{signal} at {at}: it ends by itself, in order");
                obeyed += 1;
                mortal.daemon.run();
            } else {
                assert_eq!(started, Ok(()), "{signal} at {at}: it is no reason to end");
                let greeting = mortal.daemon.client().greeting;
                assert!(greeting.starts_with("220 "), "{signal} at {at}: {greeting}");
                // Who is not ended by it has listened for it, and obeys once it serves. But the helper opens files too, and a hangup that meets
                // it asks nobody for a reload: then the daemon is asked, to see that it obeys still.
                let begin = Instant::now();
                while reloads(&mortal) == before && begin.elapsed() < SOON {
                    std::thread::sleep(Duration::from_millis(10));
                }
                if reloads(&mortal) > before {
                    outlived += 1;
                } else {
                    mortal.daemon.signal(Signal::SIGHUP);
                    wait_for("the reload", || (reloads(&mortal) > before).then_some(()));
                }
            }
            mortal.compare(&accepted, &format!("{signal} at {at}"));
        }
    }
    assert!(obeyed > 0, "no SIGTERM met a daemon that listens for it");
    assert!(outlived > 0, "no SIGHUP met a daemon that listens for it");
    println!("{obeyed} starts ended by SIGTERM, {outlived} outlived SIGHUP and reloaded");
    // And in the middle of work.
    mortal.faults.arm(Kind::Write, 5, 1, Action::Signal(Signal::SIGHUP));
    let mut more = mortal.load(2, 40);
    assert!(mortal.faults.fired(Kind::Write) > 0);
    assert!(more.len() >= 40, "a reload turns nobody away: {}", more.len());
    mortal.faults.arm(Kind::Write, 5, 1, Action::Signal(Signal::SIGTERM));
    more.append(&mut mortal.load(2, 400));
    assert!(mortal.faults.fired(Kind::Write) > 0);
    assert_eq!(mortal.daemon.wait(), Some(0), "it stops in order");
    mortal.daemon.run();
    more.extend(accepted);
    mortal.compare(&more, "after all");
    mortal.let_all_go(&more);
}
