//! A trace of the system calls of the daemon as it ships: between the last write of each message and its 250 lies a sync that has come back.
//!
//! The trace is strace's, so it is what the kernel was asked for, by a witness of its own. The same check finds out a daemon whose syncs do nothing.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postrider_tests::daemon::Daemon;
use postrider_tests::faults::{Action, Faults, Kind};
use postrider_tests::{program, released, wait_for};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const CLIENTS: usize = 4;
/// Messages of each client.
const MESSAGES: usize = 15;

/// A system call that succeeded, with the lines of the trace at which it begins and ends: strace stops a thread until it has written
/// its line, so their order is the order of what happened. Its clocks are not: it reads one for moments, another for durations.
#[derive(Debug, Clone)]
struct Call {
    name: String,
    /// Everything between its parentheses.
    words: String,
    begin: usize,
    end: usize,
}

/// strace, attached to a daemon.
struct Trace {
    child: Child,
    path: PathBuf,
}

impl Trace {
    fn attach(daemon: &Daemon) -> Self {
        let (path, said) = (daemon.path().join("trace"), daemon.path().join("strace"));
        let stderr = fs::File::create(&said).expect("a scratch folder");
        let child = Command::new(program("strace", "strace"))
            .args(["-f", "-y", "-a", "1", "-s", "3000", "-e", "signal=none"])
            .args(["-e", "trace=write,writev,pwrite64,pwritev,fsync,fdatasync,sendto,sendmsg"])
            .args(["-p", &daemon.process().to_string(), "-o"])
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("strace runs");
        wait_for("strace to attach", || {
            fs::read_to_string(&said).is_ok_and(|said| said.contains("attached")).then_some(())
        });
        Self { child, path }
    }

    /// Ends it when it has seen so many messages accepted: a client may have the last reply before the trace has its line.
    fn end(mut self, messages: usize) -> Vec<Call> {
        wait_for("the last reply in the trace", || {
            let text = fs::read_to_string(&self.path).unwrap_or_default();
            (calls(&text).iter().filter(|call| call.promise().is_some()).count() >= messages).then_some(())
        });
        let process = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(process, Signal::SIGINT).expect("it is ours");
        self.child.wait().expect("it is ours");
        calls(&fs::read_to_string(&self.path).expect("the trace"))
    }
}

/// Reads a trace: `PID call(words) = result`, where a call that others interrupt is in two pieces.
fn calls(trace: &str) -> Vec<Call> {
    let mut open: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    let mut found = Vec::new();
    for (end, line) in trace.lines().enumerate() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            open.insert(process, (end, begun.to_owned()));
            continue;
        }
        let (begin, text) = match rest.split_once(" resumed>") {
            Some((_, rest)) => match open.remove(process) {
                Some((begin, start)) => (begin, format!("{start}{rest}")),
                None => continue,
            },
            None => (end, rest.to_owned()),
        };
        let Some((words, result)) = text.rsplit_once(") = ") else { continue };
        let Some((name, words)) = words.split_once('(') else { continue };
        if !result.starts_with('-') {
            found.push(Call { name: name.to_owned(), words: words.to_owned(), begin, end });
        }
    }
    found
}

impl Call {
    /// The file that it is about: `7</path>, …`.
    fn path(&self) -> &str {
        let inside = self.words.split_once('<').map_or("", |(_, rest)| rest);
        inside.split_once('>').map_or("", |(path, _)| path)
    }

    /// The queue id, if it tells a client that its message is queued.
    fn promise(&self) -> Option<&str> {
        let (_, rest) =
            self.words.split_once("250 2.0.0 Ok: queued as ").filter(|_| self.name.starts_with("send"))?;
        rest.split('\\').next()
    }

    fn is_write(&self) -> bool {
        self.name.contains("write")
    }

    fn is_sync(&self) -> bool {
        self.name.contains("sync")
    }
}

/// Whether a sync of `path` began after one line and had come back by another.
fn synced(calls: &[Call], path: &str, after: usize, before: usize) -> bool {
    let is_such = |call: &Call| call.is_sync() && call.path() == path;
    calls.iter().any(|call| is_such(call) && call.begin > after && call.end < before)
}

/// What is wrong with how each message was promised; and how many were, in the log and in files of their own.
fn check(calls: &[Call], spool: &str) -> (Vec<String>, usize, usize) {
    let (mut wrong, mut small, mut large) = (Vec::new(), 0, 0);
    for (reply, id) in calls.iter().filter_map(|call| Some((call, call.promise()?))) {
        let log = format!("{spool}/postrider/log/");
        let is_record =
            |call: &&Call| call.is_write() && call.path().starts_with(&log) && call.words.contains(id);
        let Some(record) = calls.iter().filter(is_record).rfind(|call| call.end < reply.begin) else {
            wrong.push(format!("{id}: no write of it has come back before its reply"));
            continue;
        };
        small += 1;
        if !synced(calls, record.path(), record.end, reply.begin) {
            wrong.push(format!("{id}: no sync of {} has come back before its reply", record.path()));
        }
        let content = format!("{spool}/postrider/contents/{id}");
        let Some(last) = calls.iter().rfind(|call| call.is_write() && call.path() == content) else {
            continue;
        };
        large += 1;
        if !synced(calls, &content, last.end, record.begin) {
            wrong.push(format!("{id}: its content was not synced before its record was written"));
        }
        if !synced(calls, &format!("{spool}/postrider/contents"), last.end, record.begin) {
            wrong.push(format!("{id}: the name of its content was not synced before its record was written"));
        }
    }
    (wrong, small, large)
}

/// Every fifth has a content of its own.
fn send(daemon: &Daemon, number: usize) {
    let lines = if number % 5 == 4 { 16_000 } else { 10 };
    let text = format!("Subject: {number}\r\n\r\n{}", "A line of it.\r\n".repeat(lines));
    let reply = daemon.client().deliver("me@origin.test", &["you@far.test"], &text);
    assert!(reply.starts_with("250"), "{reply}");
}

/// Clients submit under the eyes of strace: what it saw, and the spool's path.
fn load(name: &str, lies: bool) -> (Vec<Call>, String) {
    let mut daemon = Daemon::prepare(name, "relayhost = [127.0.0.1]:1\nspool_segment_size = 262144", "");
    daemon.program = released();
    let spool = fs::canonicalize(daemon.path()).expect("a scratch folder").join("spool");
    let faults = Faults::new(daemon.path(), &spool);
    if lies {
        daemon.environment = faults.environment();
        faults.arm(Kind::Sync, 1, u64::MAX, Action::Nothing);
    }
    daemon.run();
    let trace = Trace::attach(&daemon);
    std::thread::scope(|scope| {
        (0..CLIENTS)
            .for_each(|_| drop(scope.spawn(|| (0..MESSAGES).for_each(|number| send(&daemon, number)))));
    });
    assert!(!lies || faults.fired(Kind::Sync) > 0);
    (trace.end(CLIENTS * MESSAGES), spool.display().to_string())
}

#[test]
fn between_the_last_write_of_each_message_and_its_reply_lies_a_sync_that_has_come_back() {
    let (calls, spool) = load("trace", false);
    let (wrong, small, large) = check(&calls, &spool);
    let syncs = calls.iter().filter(|call| call.is_sync()).count();
    println!(
        "{small} messages, {large} of them with contents of their own, {syncs} syncs, {} calls",
        calls.len()
    );
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!((small, large), (CLIENTS * MESSAGES, CLIENTS * (MESSAGES / 5)), "every promise was looked at");
}

#[test]
fn a_daemon_whose_syncs_do_nothing_is_seen_through() {
    let (calls, spool) = load("trace-lie", true);
    let (wrong, small, large) = check(&calls, &spool);
    assert_eq!(small, CLIENTS * MESSAGES);
    // Each record, and each content and its name.
    assert_eq!(wrong.len(), small + 2 * large, "{wrong:#?}");
}
