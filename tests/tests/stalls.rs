//! A disk, clients, or a next hop that stand still: memory and the queue stay bounded, because mail is refused; nobody waits who does not need
//! the disk; and nothing that was answered is lost.

use postrider_tests::daemon::Daemon;
use postrider_tests::process::anonymous;
use postrider_tests::server::{Answer, Server, Taken};
use postrider_tests::smtp::Client;
use postrider_tests::{Scratch, program, wait_for};
use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// What memory contents may have, in kilobytes: the least that can be set.
const CONTENTS_MAX: u64 = 1_024;
const LIMIT: &str = "content_memory_limit = 1048576\n";
/// Clients of a test, and what each sends: nine times as much as contents may have.
const CLIENTS: usize = 90;
const OCTETS: usize = 100_000;
/// Kilobytes that a session may have beside its content: the machine, the task, the buffer that it reads into.
const SESSION_MAX: u64 = 24;
/// Kilobytes that come once: stacks of threads, the log's buffers, and what the allocator keeps between what is used.
const SLACK: u64 = 2_048;

/// The most anonymous memory that was seen, in kilobytes, beside what there was before.
struct Growth {
    process: u32,
    before: u64,
    most: u64,
}

impl Growth {
    fn of(daemon: &Daemon) -> Self {
        let before = anonymous(daemon.process());
        Self { process: daemon.process(), before, most: before }
    }

    fn look(&mut self) {
        self.most = self.most.max(anonymous(self.process));
    }

    fn is_bounded(&self) {
        let most = CONTENTS_MAX + CLIENTS as u64 * SESSION_MAX + SLACK;
        println!(
            "anonymous memory before: {} kB, at most: {} kB; {most} kB more are permitted",
            self.before, self.most
        );
        // Otherwise it would show nothing that this bound holds.
        assert!(most < (CLIENTS * OCTETS) as u64 / 1_024, "{most} kB");
        assert!(self.most <= self.before + most, "{} kB, then {} kB", self.before, self.most);
    }
}

/// Waits until the daemon has read all that was sent to it.
fn wait_until_all_is_read(daemon: &Daemon) {
    let port = format!(":{:04X}", daemon.port);
    wait_for("all to be read", || {
        let sockets = fs::read_to_string("/proc/net/tcp").expect("Linux");
        // Number, own address, other address, state, octets to be sent and to be read.
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut ours =
            sockets.lines().map(fields).filter(|all| all[1].ends_with(&port) || all[2].ends_with(&port));
        ours.all(|all| all[4] == "00000000:00000000").then_some(())
    });
}

/// A tracer that holds every call of a kind before it begins; it lets go when dropped.
struct Standstill(Child);

impl Standstill {
    fn of(daemon: &Daemon, call: &str) -> Self {
        let notes = daemon.path().join("strace");
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:delay_enter=600000000"));
        let child = Command::new(program("strace", "strace"))
            .args(["-f", "-e", &trace, "-e", &inject, "-o"])
            .arg(&notes)
            .args(["-p", &daemon.process().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace runs");
        let tracer = child.id();
        let traced = || fs::read_to_string(format!("/proc/{}/status", daemon.process())).unwrap_or_default();
        wait_for("the tracer to hold the daemon", || {
            traced().contains(&format!("TracerPid:\t{tracer}\n")).then_some(())
        });
        // Every thread, the one that syncs among them.
        wait_for("the tracer to hold every thread", || {
            let tasks = fs::read_dir(format!("/proc/{}/task", daemon.process())).ok()?;
            let held = |path: &std::path::Path| {
                fs::read_to_string(path.join("status"))
                    .is_ok_and(|text| text.contains(&format!("TracerPid:\t{tracer}\n")))
            };
            tasks.flatten().all(|task| held(&task.path())).then_some(())
        });
        Self(child)
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A message on its way: everything is said but its end.
fn begin(daemon: &Daemon, octets: usize) -> Client {
    begin_with(daemon, "Subject: x\r\n\r\n", &"x".repeat(98), octets)
}

/// The same: so many octets of one line behind a first part.
fn begin_with(daemon: &Daemon, first: &str, line: &str, octets: usize) -> Client {
    let mut client = daemon.client();
    for command in ["EHLO client.test", "MAIL FROM:<a@client.test>", "RCPT TO:<b@here.test>", "DATA"] {
        let reply = client.say(command);
        assert!(reply.starts_with(['2', '3']), "{command}: {reply}");
    }
    let line = format!("{line}\r\n");
    client.send(format!("{first}{}", line.repeat(octets / line.len())).as_bytes());
    client
}

#[test]
fn a_disk_that_stands_still_refuses_mail_before_memory_is_full() {
    let daemon = Daemon::start("stalls", LIMIT);
    let first = daemon.client().deliver("a@client.test", &["b@here.test"], "Subject: 0\r\n\r\nbody\r\n");
    assert!(first.starts_with("250"), "{first}");
    _ = daemon.wait_for_mail("b", 1);
    let mut growth = Growth::of(&daemon);
    let standstill = Standstill::of(&daemon, "fdatasync");
    let send = |_| {
        let mut client = begin(&daemon, OCTETS);
        client.send(b".\r\n");
        growth.look();
        client
    };
    // Ten of these are as much as the limit permits, in whatever order they come.
    let mut waiting: Vec<Client> = (0..CLIENTS).map(send).collect();
    let mut refused = 0;
    wait_for("the others to be refused", || {
        waiting.retain_mut(|client| match client.reply_within(Duration::from_millis(1)) {
            None => true,
            Some(reply) => {
                assert!(reply.starts_with("452 4.3.1"), "{reply}");
                refused += 1;
                false
            }
        });
        growth.look();
        (refused >= CLIENTS - 10).then_some(())
    });
    assert_eq!((waiting.len(), refused), (10, CLIENTS - 10));
    _ = daemon.wait_for_log("content_memory_limit");
    let are_silent =
        waiting.iter_mut().all(|client| client.reply_within(Duration::from_millis(20)).is_none());
    assert!(are_silent, "nothing is promised before it is durable");
    growth.look();
    drop(standstill);
    for client in &mut waiting {
        let reply = client.reply();
        assert!(reply.starts_with("250"), "{reply}");
    }
    growth.look();
    growth.is_bounded();
    // There is room again, and what was answered is delivered.
    let last = daemon.client().deliver("a@client.test", &["b@here.test"], "Subject: 1\r\n\r\nbody\r\n");
    assert!(last.starts_with("250"), "{last}");
    _ = daemon.wait_for_mail("b", waiting.len() + 2);
}

#[test]
fn slow_clients_do_not_fill_memory_either() {
    stop_within_content("dribble", |daemon| begin(daemon, OCTETS));
}

/// The session looks at headers, and keeps them until they end.
#[test]
fn clients_whose_headers_never_end_do_not_fill_memory_either() {
    stop_within_content("endless-headers", |daemon| {
        begin_with(daemon, "X-Long: x\r\n", &format!("\t{}", "x".repeat(97)), OCTETS)
    });
    stop_within_content("many-fields", |daemon| begin_with(daemon, "", "a:", OCTETS / 2));
}

fn stop_within_content(name: &str, begin: impl Fn(&Daemon) -> Client) {
    let daemon = Daemon::start(name, LIMIT);
    let first = daemon.client().deliver("a@client.test", &["b@here.test"], "Subject: 0\r\n\r\nbody\r\n");
    assert!(first.starts_with("250"), "{first}");
    _ = daemon.wait_for_mail("b", 1);
    let mut growth = Growth::of(&daemon);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| begin(&daemon)).collect();
    // None has ended its content, so what is read is there, or was refused.
    wait_until_all_is_read(&daemon);
    _ = daemon.wait_for_log("content_memory_limit");
    growth.look();
    let replies: Vec<String> = clients
        .iter_mut()
        .map(|client| {
            client.send(b".\r\n");
            let reply = client.reply();
            growth.look();
            reply
        })
        .collect();
    growth.is_bounded();
    let taken = replies.iter().filter(|reply| reply.starts_with("250")).count();
    let refused = replies.iter().filter(|reply| reply.starts_with("452 4.3.1")).count();
    // How many are taken depends on how fast the first are done; what is not refused has had its memory.
    assert!(taken + refused == CLIENTS && taken > 0 && refused > 0, "{replies:?}");
}

#[test]
fn deliveries_that_wait_for_the_disk_to_read_keep_nobody_else_waiting() {
    const LINES: usize = 100_000;
    // More of them than the daemon has workers.
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let deliveries = 2 * workers + 4;
    let door = Arc::new(RwLock::new(()));
    let shut = door.write().expect("nobody has failed");
    let inside = Arc::clone(&door);
    let server = Server::scripted(move |verb, _| {
        if verb == "DATA" {
            drop(inside.read());
        }
        Answer::Usual
    });
    let lines = format!(
        "relayhost = [127.0.0.1]:{}\nsmtp_destination_concurrency_limit = 100\ninitial_destination_concurrency = 100\n",
        server.address.port()
    );
    // A file system of memory has no disk to wait for, and does not tell what is in memory (RWF_NOWAIT).
    let mut daemon = Daemon::prepare_in(Scratch::on_disk("still-reads"), &lines, "");
    daemon.run();
    for number in 0..deliveries {
        // Each in a file of its own: a page that one has read is not there for the others.
        let text = format!("Subject: {number}\r\n\r\n{}", "a line of some length\r\n".repeat(LINES));
        let reply = daemon.client().deliver("a@client.test", &["you@far.test"], &text);
        assert!(reply.starts_with("250"), "{reply}");
    }
    let at_data = || server.heard().iter().filter(|line| *line == "DATA").count();
    wait_for("all deliveries to ask for the content's turn", || (at_data() == deliveries).then_some(()));
    daemon.forget_cached_contents();
    let before = anonymous(daemon.process());
    let standstill = Standstill::of(&daemon, "pread64");
    drop(shut);
    let held =
        || fs::read_to_string(daemon.path().join("strace")).unwrap_or_default().matches("pread64(").count();
    wait_for("a read to be held", || (held() > 0).then_some(()));
    for number in 0..4 {
        let text = format!("Subject: new {number}\r\n\r\nbody\r\n");
        let reply = daemon.client().deliver("a@client.test", &["b@here.test"], &text);
        assert!(reply.starts_with("250"), "{reply}");
    }
    // What has just come is in memory: no delivery of it needs the disk to read.
    _ = daemon.wait_for_mail("b", 4);
    // Of some the kernel may have had all in memory again before anybody asked.
    assert!(deliveries - server.taken().len() > workers, "{} are done", server.taken().len());
    // Who waits for the disk has a piece of its content at most.
    let (most, all) = (SLACK + 256 * deliveries as u64, (deliveries * LINES * 23 / 1_024) as u64);
    let grown = anonymous(daemon.process()).saturating_sub(before);
    println!("{grown} kB more while {deliveries} deliveries wait for {all} kB");
    assert!(grown <= most && most < all, "{grown} kB of {most} kB");
    drop(standstill);
    assert_eq!(server.wait(deliveries).len(), deliveries);
}

/// Hands in messages of these numbers: the ids of those that are taken by their numbers, and the replies to the others.
fn hand_in(daemon: &Daemon, numbers: std::ops::Range<usize>) -> (BTreeMap<usize, String>, Vec<String>) {
    let (mut taken, mut refused) = (BTreeMap::new(), Vec::new());
    for number in numbers {
        let text = format!("Subject: number {number}\r\n\r\nbody\r\n");
        let reply = daemon.client().deliver("a@client.test", &["you@far.test"], &text);
        match reply.strip_prefix("250 2.0.0 Ok: queued as ") {
            Some(id) => _ = taken.insert(number, id.trim_end().to_owned()),
            None => refused.push(reply),
        }
    }
    (taken, refused)
}

#[test]
fn a_next_hop_that_stands_still_fills_the_queue_to_its_limit_and_no_further() {
    let stands_still = Arc::new(AtomicBool::new(true));
    let inside = Arc::clone(&stands_still);
    let server = Server::scripted(move |line, _| {
        // DATA may have been said before the reply to RCPT was heard.
        let is_refused = line == "DATA" || line.starts_with("RCPT");
        if is_refused && inside.load(Ordering::Relaxed) {
            return Answer::Say("450 4.2.0 not now\r\n".to_owned());
        }
        Answer::Usual
    });
    // Each message that is refused is told to the postmaster, and a full queue takes that as well: it would count among the twenty.
    let lines = format!(
        "queue_message_limit = 20\nnotify_classes =\nrelayhost = [127.0.0.1]:{}\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n",
        server.address.port()
    );
    let daemon = Daemon::start("still-next-hop", &lines);
    let (mut taken, refused) = hand_in(&daemon, 0..25);
    assert_eq!(taken.keys().copied().collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    assert!(refused.len() == 5 && refused.iter().all(|reply| reply.starts_with("452 4.3.1 ")), "{refused:?}");
    let says = "the queue holds 20 messages, as many as queue_message_limit allows";
    _ = daemon.wait_for_log(says);
    // Deferred, all of them: who is tried at this moment could still be told that there is a recipient less.
    let deferred = || daemon.log().matches("status=deferred").count();
    wait_for("the next hop to have said no to each", || (deferred() == 20).then_some(()));

    let deleted: Vec<String> = [3, 11, 19].iter().filter_map(|number| taken.remove(number)).collect();
    let words: Vec<&str> =
        ["queue", "delete"].into_iter().chain(deleted.iter().map(String::as_str)).collect();
    let output = daemon.command(&words);
    assert!(output.status.success(), "{output:?}");
    let (more, refused) = hand_in(&daemon, 25..30);
    assert_eq!(more.keys().copied().collect::<Vec<_>>(), [25, 26, 27], "as many as were deleted");
    assert!(refused.len() == 2 && refused.iter().all(|reply| reply.starts_with("452 4.3.1 ")), "{refused:?}");
    taken.extend(more);
    assert_eq!(server.count(), 0);

    stands_still.store(false, Ordering::Relaxed);
    daemon.flush_until_the_queue_is_empty();
    let subject = |message: Taken| {
        let text = String::from_utf8_lossy(&message.content).into_owned();
        let number =
            text.lines().find_map(|line| line.strip_prefix("Subject: number ")?.parse::<usize>().ok());
        number.unwrap_or_else(|| panic!("not one of ours: {text}"))
    };
    let mut arrived: Vec<usize> = server.taken().into_iter().map(subject).collect();
    arrived.sort_unstable();
    assert_eq!(arrived, taken.into_keys().collect::<Vec<_>>(), "each that was taken and stayed, once");
    // Behind all that was refused, and so behind what is said of it.
    let (taken, refused) = hand_in(&daemon, 30..31);
    assert!(taken.len() == 1 && refused.is_empty(), "{refused:?}");
    _ = daemon.wait_for_log(&format!("{}: to=<you@far.test>", taken[&30]));
    assert_eq!(daemon.log().matches(says).count(), 2, "once each time that it is full, not at each message");
}

/// What waits for a next hop that stands still costs as little memory as the limit on messages says, and that alone bounds it.
#[test]
fn messages_that_wait_for_a_next_hop_take_half_a_kilobyte_each() {
    const MESSAGES: usize = 8_000;
    const SENDERS: usize = 4;
    let server = Server::scripted(|line, _| match line.starts_with("RCPT") || line == "DATA" {
        true => Answer::Say("450 4.2.0 not now\r\n".to_owned()),
        false => Answer::Usual,
    });
    let lines = format!(
        "queue_message_limit = {}\nnotify_classes =\nrelayhost = [127.0.0.1]:{}\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n\
         smtpd_client_connection_rate_limit = 0\n",
        MESSAGES + 1,
        server.address.port()
    );
    let daemon = Daemon::start("still-queue", &lines);
    let text = format!("Subject: x\r\n\r\n{}", "A line of this message.\r\n".repeat(160));
    let is_taken = |client: &mut Client| {
        client.transaction("a@client.test", &["you@far.test"], &text).starts_with("250")
    };
    let said_no = |count| {
        let deferred = || daemon.log().matches("status=deferred").count();
        wait_for("the next hop to have said no to each", || (deferred() == count).then_some(()));
    };
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    assert!(is_taken(&mut client));
    said_no(1);
    let before = anonymous(daemon.process());
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                let mut client = daemon.client();
                client.expect("EHLO client.test", "250");
                assert!((0..MESSAGES / SENDERS).all(|_| is_taken(&mut client)));
            });
        }
    });
    assert!(!is_taken(&mut client), "as many as the queue takes");
    said_no(MESSAGES + 1);
    let grown = anonymous(daemon.process()).saturating_sub(before);
    // A megabyte for what the allocator and the attempts that ran have kept.
    let (most, contents) = ((MESSAGES / 2) as u64 + 1_024, (MESSAGES * text.len() / 1_024) as u64);
    println!("{grown} kB more for {MESSAGES} messages of {contents} kB");
    assert!(grown <= most && 2 * most < contents, "{grown} kB of {most} kB");
}
