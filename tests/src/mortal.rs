//! A daemon whose calls are counted, one of which can fail or kill it, and the mail that goes through it: some stays, so that compaction has
//! something to move, all other goes.

use crate::daemon::Daemon;
use crate::faults::{Action, Faults, Kind};
use crate::server::{Answer, Server, Taken};
use crate::{program, run, smtp};
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A daemon that dies on demand; mail for `stay` waits for ever, all other goes.
pub struct Mortal {
    /// The daemon.
    pub daemon: Daemon,
    /// What counts its calls.
    pub faults: Faults,
    server: Server,
    /// The next hop takes mail for `stay`, too.
    open: Arc<AtomicBool>,
    /// How many messages of the next hop were looked at, and their names.
    arrived: Mutex<(usize, BTreeSet<String>)>,
    next: AtomicU64,
}

impl Mortal {
    /// Prepared, and not started.
    ///
    /// # Panics
    /// As [`Daemon::prepare`].
    #[must_use]
    pub fn new(name: &str) -> Self {
        let open = Arc::new(AtomicBool::new(false));
        let is_open = Arc::clone(&open);
        let server = Server::scripted(move |line, _| match line {
            _ if line.contains("<stay") && !is_open.load(Ordering::SeqCst) => {
                Answer::Say("450 4.2.0 not now\r\n".to_owned())
            }
            _ => Answer::Usual,
        });
        let mut daemon = Daemon::prepare(name, "", "");
        let faults = Faults::new(daemon.path(), &daemon.path().join("spool"));
        daemon.environment = faults.environment();
        let mortal =
            Self { daemon, faults, server, open, arrived: Mutex::default(), next: AtomicU64::new(0) };
        mortal.cut(65_536);
        mortal
    }

    /// Segments that are made by the next start have so many octets.
    ///
    /// # Panics
    /// When the configuration can not be written.
    pub fn cut(&self, segment: u64) {
        self.daemon.write_main_cf(&format!(
            "relayhost = [127.0.0.1]:{}\nspool_segment_size = {segment}\nspool_reserve = 65536\nmaximal_queue_lifetime = 100d",
            self.server.address.port()
        ));
    }

    /// Clients submit until the daemon is gone, or so many messages are accepted: their queue ids.
    ///
    /// # Panics
    /// When a client can not work.
    #[must_use]
    pub fn load(&self, clients: u64, most: u64) -> BTreeMap<String, String> {
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

    /// Queue ids of what is in the queue.
    ///
    /// # Panics
    /// When the list can not be had.
    #[must_use]
    pub fn listed(&self) -> BTreeSet<String> {
        let list = self.daemon.command(&["queue", "list", "--json"]);
        assert!(list.status.success(), "{list:?}");
        let text = String::from_utf8_lossy(&list.stdout).into_owned();
        text.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|entry| entry["queue_id"].as_str().map(str::to_owned))
            .collect()
    }

    /// Names of what has arrived; each copy of it has the lines that were submitted, and no others.
    ///
    /// # Panics
    /// When one of them does not.
    #[must_use]
    pub fn arrived(&self) -> BTreeSet<String> {
        let mut arrived = self.arrived.lock().expect("one test asks");
        let (seen, names) = &mut *arrived;
        if *seen < self.server.count() {
            let taken = self.server.taken();
            names.extend(taken[*seen..].iter().filter(|taken| is_ours(taken)).map(whole));
            *seen = taken.len();
        }
        names.clone()
    }

    /// How many messages have arrived more than once, each copy counted.
    #[must_use]
    pub fn copies(&self) -> usize {
        let names: Vec<String> =
            self.server.taken().iter().filter(|taken| is_ours(taken)).map(whole).collect();
        names.len() - names.iter().collect::<BTreeSet<_>>().len()
    }

    /// What stays goes as well, so that all that was accepted has been compared line by line.
    ///
    /// # Panics
    /// When something has not arrived.
    pub fn let_all_go(&self, accepted: &BTreeMap<String, String>) {
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
    pub fn staying(accepted: &BTreeMap<String, String>) -> impl Iterator<Item = &String> {
        accepted.iter().filter(|(name, _)| Self::stays(name)).map(|(_, id)| id)
    }

    /// Everything that was accepted for others has arrived.
    ///
    /// # Panics
    /// As [`Mortal::arrived`].
    #[must_use]
    pub fn has_drained(&self, accepted: &BTreeMap<String, String>) -> bool {
        let arrived = self.arrived();
        accepted.keys().all(|name| Self::stays(name) || arrived.contains(name))
    }

    /// Loads more, but only when what can leave has left: a queue that grows is one with nothing to tidy up.
    ///
    /// # Panics
    /// As [`Mortal::load`].
    pub fn load_if_drained(&self, accepted: &mut BTreeMap<String, String>, most: u64) {
        if self.has_drained(accepted) {
            accepted.append(&mut self.load(3, most));
        }
    }

    /// The number of the oldest segment of the log.
    ///
    /// # Panics
    /// When there is no log.
    #[must_use]
    pub fn oldest_segment(&self) -> u64 {
        let log = std::fs::read_dir(self.log()).expect("the spool");
        let oldest = log.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).min();
        u64::from_str_radix(&oldest.expect("a segment"), 16).expect("a segment has a number")
    }

    /// Where its spool is.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.daemon.path().join("spool/postrider")
    }

    /// Where the segments of its log are.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.spool().join("log")
    }

    /// Puts a copy of one folder in place of another, both below the test's own.
    ///
    /// # Panics
    /// When there is nothing to copy.
    pub fn copy_spool(&self, from: &str, to: &str) {
        let (from, to) = (self.daemon.path().join(from), self.daemon.path().join(to));
        if to.exists() {
            std::fs::remove_dir_all(&to).expect("our own folder");
        }
        run(Command::new(program("cp", "coreutils")).arg("-a").args([&from, &to]));
    }

    /// Starts the daemon, and whether this call of the start has killed it. What is called later does not.
    ///
    /// # Panics
    /// When it ends without having been killed.
    pub fn is_killed_at(&mut self, kind: Kind, at: u64) -> bool {
        self.faults.arm(kind, at, 1, Action::Signal(Signal::SIGKILL));
        let started = self.daemon.try_run();
        self.faults.disarm(kind);
        let has_fired = self.faults.fired(kind) > 0;
        assert!(has_fired || started.is_ok(), "{kind:?} at {at}: {started:?}");
        has_fired
    }

    /// Everything that was accepted has arrived or is in the queue, with its lines.
    ///
    /// # Panics
    /// When something is lost.
    pub fn compare(&self, accepted: &BTreeMap<String, String>, when: &str) {
        let (listed, arrived) = (self.listed(), self.arrived());
        let lost: Vec<_> =
            accepted.iter().filter(|(name, id)| !arrived.contains(*name) && !listed.contains(*id)).collect();
        assert!(lost.is_empty(), "{when}: lost {lost:?}, of {listed:?} and {arrived:?}");
    }

    /// How much was set aside as damaged.
    ///
    /// # Panics
    /// When there is no spool.
    #[must_use]
    pub fn corrupt(&self) -> usize {
        std::fs::read_dir(self.spool().join("corrupt")).expect("the spool").count()
    }
}

/// A client that pipelines ends a transaction that has no recipients with an empty one, and the postmaster is told of trouble: those are not.
fn is_ours(message: &Taken) -> bool {
    message.recipients.iter().any(|to| to.contains("@far.test"))
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
