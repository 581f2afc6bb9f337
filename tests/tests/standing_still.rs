//! Rows D4 and D5 of the attacks: the daemon is stopped for a while and goes on, and it runs out of memory. What it said 250 to arrives.

use nix::sys::signal::Signal;
use postrider_tests::daemon::Daemon;
use postrider_tests::process::memory_of;
use postrider_tests::server::{Answer, Server};
use postrider_tests::smtp::Client;
use postrider_tests::{program, wait_for};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long the daemon is stopped: several times as long as anything in these tests waits.
const STOPPED: Duration = Duration::from_secs(4);

/// Stops the process; it goes on when this is dropped.
struct Stopped<'a>(&'a Daemon);

impl<'a> Stopped<'a> {
    fn now(daemon: &'a Daemon) -> Self {
        daemon.signal(Signal::SIGSTOP);
        wait_for("the process to stop", || {
            let text = fs::read_to_string(format!("/proc/{}/stat", daemon.process())).ok()?;
            text.rsplit_once(") ")?.1.starts_with('T').then_some(())
        });
        Self(daemon)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::SIGCONT);
    }
}

/// Time is what this is about: so much of it passes.
fn while_stopped(daemon: &Daemon, meanwhile: impl FnOnce()) {
    let _stopped = Stopped::now(daemon);
    let start = Instant::now();
    meanwhile();
    while start.elapsed() < STOPPED {
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn timers_that_ran_out_while_it_was_stopped_do_not_make_up_for_lost_time() {
    const MESSAGES: usize = 10;
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    let server = Server::scripted(move |line, _| {
        if line.starts_with("RCPT") {
            counted.fetch_add(1, Ordering::SeqCst);
            return Answer::Say("450 4.2.0 not now\r\n".to_owned());
        }
        Answer::Usual
    });
    let lines = format!(
        "relayhost = [127.0.0.1]:{}\nminimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\nretry_jitter = 0\n",
        server.address.port()
    );
    let daemon = Daemon::start("stopped-timers", &lines);
    for number in 0..MESSAGES {
        let to = format!("reader{number}@far.test");
        let reply = daemon.client().deliver("me@here.test", &[&to], "Subject: x\r\n\r\nbody\r\n");
        assert!(reply.starts_with("250"), "{reply}");
    }
    wait_for("two attempts for each", || (attempts.load(Ordering::SeqCst) >= 2 * MESSAGES).then_some(()));
    while_stopped(&daemon, || {});
    let (before, start) = (attempts.load(Ordering::SeqCst), Instant::now());
    wait_for("one more attempt for each", || {
        (attempts.load(Ordering::SeqCst) >= before + MESSAGES).then_some(())
    });
    let (made, seconds) = (attempts.load(Ordering::SeqCst) - before, start.elapsed().as_secs() as usize);
    // Each was due once, however often its time had come, and then once a second.
    assert!(made <= MESSAGES * (2 + seconds), "{made} attempts in {seconds} s");
    assert!(!daemon.log().contains("status=bounced") && !daemon.log().contains("status=expired"));
}

#[test]
fn sessions_go_on_where_they_were_and_what_is_answered_arrives() {
    let daemon = Daemon::start("stopped-sessions", "smtpd_timeout = 60s\n");
    let mut clients: Vec<Client> = (0..5).map(|_| daemon.client()).collect();
    for client in &mut clients {
        client.expect("EHLO client.test", "250");
        client.expect("MAIL FROM:<a@client.test>", "250");
        client.expect("RCPT TO:<b@here.test>", "250");
        client.expect("DATA", "354");
        client.send(b"Subject: before\r\n\r\n");
    }
    while_stopped(&daemon, || clients.iter_mut().for_each(|client| client.send(b"meanwhile\r\n.\r\n")));
    for client in &mut clients {
        let reply = client.reply();
        assert!(reply.starts_with("250"), "{reply}");
        client.expect("QUIT", "221");
    }
    let found = daemon.wait_for_mail("b", 5);
    assert!(found.iter().all(|mail| mail.windows(9).any(|nine| nine == b"meanwhile")));
}

#[test]
fn a_client_whose_time_ran_out_meanwhile_is_answered_or_cut_off_but_never_half_served() {
    let daemon = Daemon::start("stopped-timeouts", "smtpd_timeout = 2s\n");
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect("MAIL FROM:<a@client.test>", "250");
    client.expect("RCPT TO:<b@here.test>", "250");
    client.expect("DATA", "354");
    let mut idle = daemon.client();
    while_stopped(&daemon, || client.send(b"Subject: late\r\n\r\nbody\r\n.\r\n"));
    let reply = client.reply();
    assert!(reply.starts_with("250") || reply.starts_with("421 4.4.2"), "{reply}");
    let goodbye = idle.reply();
    assert!(goodbye.starts_with("421 4.4.2"), "{goodbye}");
    // What arrives is what was answered.
    let last = daemon.client().deliver("a@client.test", &["last@here.test"], "Subject: last\r\n\r\nbody\r\n");
    assert!(last.starts_with("250"), "{last}");
    _ = daemon.wait_for_mail("last", 1);
    let wanted = usize::from(reply.starts_with("250"));
    assert_eq!(daemon.wait_for_mail("b", wanted).len(), wanted);
}

/// Reads a reply; its last line, or `None` when the server is gone.
fn reply(stream: &mut TcpStream) -> Option<String> {
    let mut line = Vec::new();
    let mut octet = [0];
    loop {
        if stream.read(&mut octet).ok()? == 0 {
            return None;
        }
        line.push(octet[0]);
        if octet[0] == b'\n' {
            if line.get(3) != Some(&b'-') {
                return String::from_utf8(line).ok();
            }
            line.clear();
        }
    }
}

/// How a message began.
enum Begun {
    /// All of it but its end is there, and stays in the daemon's memory.
    Waits(TcpStream),
    /// The daemon said no, in these words.
    Refused(String),
    /// Nobody answers any more.
    Gone,
}

/// All of a message but its end.
fn begin(port: u16, name: &str, octets: usize) -> Begun {
    let mut last = String::new();
    match try_to_begin(port, name, octets, &mut last) {
        Some(stream) => Begun::Waits(stream),
        None if last.starts_with(['4', '5']) => Begun::Refused(last),
        None => Begun::Gone,
    }
}

/// `last` is the last reply.
fn try_to_begin(port: u16, name: &str, octets: usize, last: &mut String) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let envelope =
        format!("EHLO client.test\r\nMAIL FROM:<{name}@client.test>\r\nRCPT TO:<b@here.test>\r\nDATA\r\n");
    for line in [""].into_iter().chain(envelope.split_inclusive('\n')) {
        stream.write_all(line.as_bytes()).ok()?;
        *last = reply(&mut stream)?;
        if last.starts_with(['4', '5']) {
            return None;
        }
    }
    let line = format!("{}\r\n", "x".repeat(98));
    stream
        .write_all(format!("Subject: {name}\r\n\r\n{}", line.repeat(octets / line.len())).as_bytes())
        .ok()?;
    Some(stream)
}

/// Ends a message; whether the daemon has taken it.
fn is_taken(stream: &mut TcpStream) -> bool {
    stream.write_all(b".\r\n").is_ok() && reply(stream).is_some_and(|reply| reply.starts_with("250 "))
}

/// Kilobytes of address space that may be left when there is no memory: the stack of a thread does not fit, or a large buffer.
const LEFT_MAX: u64 = 4 * 1024;

/// It was the daemon that had no memory left, and nothing else that went wrong: it said so and ended, or it refuses for now, and
/// its address space (of so many kilobytes) was full.
#[track_caller]
fn assert_met_its_limit(daemon: &mut Daemon, refusals: &[String], limit: u64) {
    if refusals.len() > 3 && daemon.ended().is_none() {
        assert!(refusals.iter().all(|reply| reply.starts_with('4')), "{refusals:?}");
        let most = memory_of(daemon.process(), "VmPeak");
        assert!(limit - most <= LEFT_MAX, "refused at {most} of {limit} kB: {refusals:?}");
        return;
    }
    let status = wait_for("the daemon to end", || daemon.ended());
    let said = daemon.stderr();
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "{status}, refusals {refusals:?}: {said}");
    assert!(said.contains("memory allocation of ") && said.contains(" bytes failed"), "{said}");
}

#[test]
fn out_of_memory_it_refuses_or_ends_and_loses_nothing_that_it_answered() {
    let lines = "content_memory_limit = 1073741824\nsmtpd_client_connection_count_limit = 0\n";
    let mut daemon = Daemon::prepare("out-of-memory", lines, "");
    daemon.run();
    // Room for a few threads and some messages, not for all.
    let limit = memory_of(daemon.process(), "VmSize") + 96 * 1024;
    daemon.kill();
    let octets = limit * 1024;
    daemon.starter = vec![program("prlimit", "util-linux").into(), format!("--as={octets}:{octets}").into()];
    daemon.run();
    let mut answered = BTreeSet::new();
    let (mut waiting, mut refusals, mut failed) = (Vec::new(), Vec::new(), 0);
    for number in 0..3_000 {
        let name = format!("message{number}");
        // Every tenth is ended at once, the others pile up.
        match begin(daemon.port, &name, 100_000) {
            Begun::Waits(mut stream) if number % 10 == 0 => {
                if is_taken(&mut stream) {
                    answered.insert(name);
                }
            }
            Begun::Waits(stream) => waiting.push((name, stream)),
            Begun::Refused(reply) => refusals.push(reply),
            Begun::Gone => failed += 1,
        }
        if failed + refusals.len() > 3 {
            break;
        }
    }
    assert!(failed + refusals.len() > 3, "the limit was never reached: {} messages wait", waiting.len());
    assert!(!answered.is_empty(), "nothing was taken before");
    // Those that wait are ended now, if anybody is there to answer.
    for (name, stream) in &mut waiting {
        if is_taken(stream) {
            answered.insert(name.clone());
        }
    }
    drop(waiting);
    assert_met_its_limit(&mut daemon, &refusals, limit);
    println!("{} messages answered, and then: {}", answered.len(), daemon.stderr().trim());
    daemon.kill();
    daemon.starter.clear();
    daemon.run();
    let arrived = || -> BTreeSet<String> {
        let mails = daemon.delivered("b");
        mails.iter().filter_map(|mail| subject(mail)).collect()
    };
    wait_for("all that was answered", || answered.is_subset(&arrived()).then_some(()));
    let reply = daemon.client().deliver("a@client.test", &["c@here.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    _ = daemon.wait_for_mail("c", 1);
}

fn subject(mail: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(mail);
    text.lines().find_map(|line| line.strip_prefix("Subject: ")).map(str::to_owned)
}
