//! What lies around the daemon gives way: file names and descriptors run out, the disk becomes read-only, the clock jumps. It waits, and goes on by itself.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use postrider_tests::daemon::Daemon;
use postrider_tests::disk::SmallDisk;
use postrider_tests::faults::{Action, Faults, Kind};
use postrider_tests::process::processor_seconds;
use postrider_tests::server::{Answer, Server};
use postrider_tests::{program, run, wait_for};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const YEAR: i64 = 365 * 24 * 3600;

/// The reply to a message: to its end, or to the first command that was refused.
fn submit(daemon: &Daemon, lines: usize, recipient: &str) -> String {
    let mut client = daemon.client();
    let text = format!("Subject: x\r\n\r\n{}", "A line of this message.\r\n".repeat(lines));
    let mut reply = String::new();
    let recipient = format!("RCPT TO:<{recipient}>");
    for command in ["EHLO client.test", "MAIL FROM:<me@here.test>", &recipient, "DATA"] {
        reply = client.say(command);
        if !reply.starts_with(['2', '3']) {
            return reply;
        }
    }
    assert!(reply.starts_with("354"), "{reply}");
    client.send(text.as_bytes());
    client.say(".")
}

/// A next hop that takes mail only when it is told to.
fn closed_server() -> (Server, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(false));
    let is_open = Arc::clone(&open);
    let server =
        Server::scripted(move |line, _| match line.starts_with("RCPT") && !is_open.load(Ordering::SeqCst) {
            true => Answer::Say("450 4.2.0 not now\r\n".to_owned()),
            false => Answer::Usual,
        });
    (server, open)
}

/// Messages of ours: the postmaster is told of trouble, and a client that pipelines ends a transaction that has no recipients with an empty one.
fn taken(server: &Server) -> usize {
    let is_ours = |recipient: &String| recipient.contains("@far.test");
    server.taken().iter().filter(|message| message.recipients.iter().any(is_ours)).count()
}

/// Recipients of ours, once for each copy, and how many lines it has.
fn arrived(server: &Server) -> Vec<(String, usize)> {
    let mut arrived = Vec::new();
    for message in server.taken() {
        let lines = String::from_utf8_lossy(&message.content).matches("A line of this message.").count();
        let addresses = message.recipients.iter().filter_map(|to| to.split(' ').next());
        arrived.extend(addresses.filter(|to| to.contains("@far.test")).map(|to| (to.to_owned(), lines)));
    }
    arrived.sort_unstable();
    arrived
}

#[test]
fn without_free_inodes_large_mail_is_refused_and_small_mail_goes_on() {
    // Mail for far.test stays: while it does, no segment can be given up, and so none be made in its place.
    let (server, open) = closed_server();
    let lines = format!(
        "relayhost = [127.0.0.1]:{}\nspool_segment_size = 65536\nspool_reserve = 65536",
        server.address.port()
    );
    let mut daemon = Daemon::prepare("inodes", &lines, "");
    let disk = SmallDisk::mount(&daemon.path().join("spool"), "size=16m,nr_inodes=40");
    daemon.run();
    let fillers = daemon.path().join("spool/fillers");
    fs::create_dir(&fillers).expect("an inode");
    let mut count = 0;
    while fs::write(fillers.join(count.to_string()), b"").is_ok() {
        count += 1;
    }
    assert!(count > 5, "{count}");
    let reply = submit(&daemon, 8_000, "you@far.test");
    assert!(reply.starts_with("452 4.3.1"), "a content of its own needs a name: {reply}");
    for _ in 0..3 {
        let reply = submit(&daemon, 400, "you@here.test");
        assert!(reply.starts_with("250"), "a small one does not: {reply}");
    }
    _ = daemon.wait_for_mail("you", 3);
    let mut accepted = 0;
    // Small mail has room until no more segments can be made.
    let refusal = loop {
        let reply = submit(&daemon, 400, "you@far.test");
        if !reply.starts_with("250") {
            break reply;
        }
        accepted += 1;
        assert!(accepted < 500, "{accepted} messages without an inode");
    };
    assert!(refusal.starts_with("452 4.3.1") && accepted > 3, "{accepted}, then {refusal}");
    let space = nix::sys::statvfs::statvfs(&fillers).expect("the file system");
    assert!(
        space.blocks_available() * space.fragment_size() > 8 << 20,
        "it is names that are missing: {space:?}"
    );
    _ = daemon.wait_for_log("can be made in the spool: no space left");
    fs::remove_dir_all(&fillers).expect("our own files");
    wait_for("large mail to be taken again", || {
        submit(&daemon, 8_000, "you@far.test").starts_with("250").then_some(())
    });
    open.store(true, Ordering::SeqCst);
    daemon.flush_until_the_queue_is_empty();
    assert_eq!(taken(&server), accepted + 1, "what was taken arrives, and nothing else");
    daemon.kill();
    drop(disk);
}

#[test]
fn a_spool_that_becomes_read_only_refuses_mail_and_takes_it_again_when_it_can() {
    // More than the daemon keeps open, so that it must open some of them again.
    const LARGE: usize = 260;
    let (server, open) = closed_server();
    let lines = format!(
        "relayhost = [127.0.0.1]:{}\nspool_segment_size = 65536\nspool_reserve = 65536\n\
         smtpd_client_connection_rate_limit = 0\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h",
        server.address.port()
    );
    let mut daemon = Daemon::prepare("read-only", &lines, "");
    let faults = Faults::new(daemon.path(), &daemon.path().join("spool"));
    daemon.environment = faults.environment();
    daemon.run();
    // Durable before, and held back by the next hop.
    let held = [3, 3, 3].into_iter().chain([4_000; LARGE]);
    let mut ids = Vec::new();
    for (number, lines) in held.clone().enumerate() {
        let reply = submit(&daemon, lines, &format!("held{number}@far.test"));
        ids.push(reply.trim_end().strip_prefix("250 2.0.0 Ok: queued as ").expect("an id").to_owned());
    }
    wait_for("all to be put off", || {
        (daemon.log().matches("status=deferred").count() >= held.clone().count()).then_some(())
    });
    // And that is written down: while it is not, no mail is sent at all.
    let mut last = (0, Instant::now());
    wait_for("the spool to be at rest", || {
        let writes = faults.count(Kind::Write);
        if writes != last.0 {
            last = (writes, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(500)).then_some(())
    });
    // As a file system does that has met an error: the kernel allows no remount while we have files open.
    let kinds = [Kind::Write, Kind::Sync, Kind::Open, Kind::Unlink, Kind::Allocate];
    kinds.iter().for_each(|kind| faults.arm(*kind, 1, u64::MAX, Action::Fail(Errno::EROFS)));
    for lines in [3, 8_000, 3, 8_000] {
        let reply = submit(&daemon, lines, "you@far.test");
        assert!(reply.starts_with("451 4.3.0"), "{reply}");
    }
    // A large one makes a file of its own.
    assert!(faults.fired(Kind::Write) > 0 && faults.fired(Kind::Open) > 0);
    open.store(true, Ordering::SeqCst);
    _ = daemon.command(&["queue", "flush"]);
    // What was sent can not be written down, and a kill would have it sent again: attempts that are under way end, and no others begin.
    _ = daemon.wait_for_log("no mail is sent until they are");
    assert!(taken(&server) > 0, "what was durable is delivered, until there is something to write");
    for id in &ids {
        let shown = daemon.command(&["queue", "show", id]);
        let lines = String::from_utf8_lossy(&shown.stdout).matches("A line of this message.").count();
        assert!(lines == 3 || lines == 4_000, "{id} stays readable: {lines}, {:?}", shown.stderr);
    }
    let reply = submit(&daemon, 3, "you@far.test");
    assert!(reply.starts_with("451 4.3.0"), "the disk fails still: {reply}");
    wait_for("a fresh segment to be tried", || (faults.fired(Kind::Open) > 0).then_some(()));
    kinds.iter().for_each(|kind| faults.disarm(*kind));
    for (count, lines) in [(1, 3), (2, 8_000)] {
        wait_for("mail to be taken again", || {
            submit(&daemon, lines, "you@far.test").starts_with("250").then_some(())
        });
        wait_for("it to arrive", || (taken(&server) >= held.clone().count() + count).then_some(()));
    }
    daemon.flush_until_the_queue_is_empty();
    // A second copy would be allowed after a kill only, and there was none: outcomes of the outage are written when the disk is well.
    let held = held.enumerate().map(|(number, lines)| (format!("<held{number}@far.test>"), lines));
    let you = [3, 8_000].map(|lines| ("<you@far.test>".to_owned(), lines));
    let mut expected: Vec<_> = held.chain(you).collect();
    expected.sort_unstable();
    assert_eq!(arrived(&server), expected, "each once and whole, and nothing that was refused");
}

#[test]
fn a_start_on_a_read_only_spool_says_what_is_wrong_and_changes_nothing() {
    let mut daemon = Daemon::prepare("read-only-start", "relayhost = [127.0.0.1]:1", "");
    let spool = daemon.path().join("spool");
    let disk = SmallDisk::mount(&spool, "size=128m");
    daemon.run();
    assert!(submit(&daemon, 3, "you@far.test").starts_with("250"));
    daemon.kill();
    let remount = |way: &str| {
        let options = format!("remount,{way}");
        run(Command::new(program("mount", "mount")).args(["-o", &options]).arg(&spool));
    };
    remount("ro");
    assert!(daemon.try_run().is_err(), "nobody can keep mail here");
    let said = format!("{}{}", daemon.stderr(), daemon.log());
    assert!(said.contains("Read-only file system") && said.contains("mount it for writing"), "{said}");
    daemon.kill();
    remount("rw");
    daemon.run();
    let list = daemon.command(&["queue", "list"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("you@far.test"), "{list:?}");
    daemon.kill();
    drop(disk);
}

/// The share of one core that a process uses in the next two seconds.
fn share_of(process: u32) -> f64 {
    let (before, start) = (processor_seconds(process), Instant::now());
    // The time that is measured, not one that is waited for.
    while start.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(100));
    }
    (processor_seconds(process) - before) / start.elapsed().as_secs_f64()
}

/// A daemon that may open so few files.
fn with_descriptors(name: &str, limit: usize, main_cf: &str) -> Daemon {
    let main_cf =
        format!("smtpd_client_connection_count_limit = 0\nsmtpd_client_connection_rate_limit = 0\n{main_cf}");
    let mut daemon = Daemon::prepare(name, &main_cf, "");
    daemon.starter =
        vec![program("prlimit", "util-linux").into(), format!("--nofile={limit}:{limit}").into()];
    daemon.run();
    daemon
}

/// What the daemon says to a client who has said nothing.
fn greeting(client: &mut TcpStream) -> String {
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    let mut line = String::new();
    BufReader::new(client).read_line(&mut line).expect("a greeting");
    line
}

/// Clients who come and say nothing: more than there are places.
fn crowd(daemon: &Daemon, limit: usize) -> Vec<TcpStream> {
    let come = || TcpStream::connect(("127.0.0.1", daemon.port)).expect("the kernel queues it");
    (0..limit + 20).map(|_| come()).collect()
}

#[test]
fn without_file_descriptors_clients_are_turned_away_and_nothing_spins() {
    const LIMIT: usize = 48;
    let daemon = with_descriptors("descriptors", LIMIT, "");
    assert!(submit(&daemon, 3, "you@here.test").starts_with("250"));
    _ = daemon.wait_for_mail("you", 1);
    let process = daemon.process();
    let mut clients = crowd(&daemon, LIMIT);
    let said: Vec<String> = clients[LIMIT..].iter_mut().map(greeting).collect();
    assert!(said.iter().all(|line| line == "421 4.3.2 All server ports are busy\r\n"), "{said:?}");
    let share = share_of(process);
    println!("without descriptors it uses {:.1} % of a core", share * 100.0);
    assert!(share < 0.05, "it spins: {share}");
    // Who was served before is still served, and when they leave, the others are.
    assert!(greeting(&mut clients[0]).starts_with("220 "));
    drop(clients);
    wait_for("mail to be taken again", || {
        submit(&daemon, 3, "you@here.test").starts_with("250").then_some(())
    });
    _ = daemon.wait_for_mail("you", 2);
}

/// How many threads a process has.
fn threads(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/task")).expect("it runs").count()
}

#[test]
fn without_new_threads_mail_is_taken_and_delivered_by_those_that_are_there() {
    let mut daemon = Daemon::prepare("threads", "", "");
    let faults = Faults::new(daemon.path(), &daemon.path().join("spool"));
    daemon.environment = faults.environment();
    daemon.run();
    let process = daemon.process();
    // Large enough for a file of its own, so that it takes a thread to stage it, another time to read it, and to deliver it.
    assert!(submit(&daemon, 8_000, "first@here.test").starts_with("250"));
    _ = daemon.wait_for_mail("first", 1);
    let busy = threads(process);
    faults.arm(Kind::Thread, 1, u64::MAX, Action::Fail(Errno::EAGAIN));
    // The runtime lets those go that have nothing to do: ten seconds, which are measured here, not waited for.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(13) {
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("{busy} threads at work, {} at rest", threads(process));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            // At the same time, so that one thread is not enough for all of them.
            scope.spawn(|| assert!(submit(&daemon, 8_000, "second@here.test").starts_with("250")));
        }
    });
    _ = daemon.wait_for_mail("second", 8);
    // What comes from the maildrop is staged by another thread, which has no others of its own.
    let text = format!("Subject: x\n\n{}", "A line of this message.\n".repeat(8_000));
    daemon.sendmail("me@here.test", "local@here.test", &text);
    _ = daemon.wait_for_mail("local", 1);
    assert!(faults.fired(Kind::Thread) > 0, "a thread was wanted, and there was none");
    faults.disarm(Kind::Thread);
    assert!(submit(&daemon, 8_000, "third@here.test").starts_with("250"));
    _ = daemon.wait_for_mail("third", 1);
}

#[test]
fn clients_that_take_every_place_leave_mail_the_descriptors_that_it_needs() {
    const LIMIT: usize = 80;
    const MESSAGES: usize = 20;
    let server = Server::start();
    let relayhost = format!("relayhost = [127.0.0.1]:{}", server.address.port());
    let daemon = with_descriptors("descriptors-kept", LIMIT, &relayhost);
    let told = daemon.wait_for_log("at most 80 files may be open");
    assert!(told.contains("LimitNOFILE=") && told.contains("ulimit -n"), "{told}");
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    let crowd = crowd(&daemon, LIMIT);
    _ = daemon.wait_for_log("All server ports are busy");
    for number in 0..MESSAGES {
        // Some are so large that they need a file of their own.
        let lines = if number % 4 == 0 { 8_000 } else { 3 };
        let text = format!("Subject: x\r\n\r\n{}", "A line of this message.\r\n".repeat(lines));
        let far = client.transaction("me@here.test", &["you@far.test", "you@here.test"], &text);
        assert!(far.starts_with("250"), "the spool takes commits: {far}");
    }
    wait_for("mail to go out", || (taken(&server) == MESSAGES).then_some(()));
    assert_eq!(daemon.wait_for_mail("you", MESSAGES).len(), MESSAGES);
    let log = daemon.log();
    for trouble in ["Too many open files", "status=deferred", "suspended", "connect to "] {
        assert!(!log.contains(trouble), "{trouble} in {log}");
    }
    drop(crowd);
    wait_for("places to be free", || daemon.client().greeting.starts_with("220 ").then_some(()));
}

#[test]
fn the_daemon_takes_as_many_descriptors_as_it_may() {
    let mut daemon = Daemon::prepare("descriptors-raised", "", "");
    daemon.starter = vec![program("prlimit", "util-linux").into(), "--nofile=64:4096".into()];
    daemon.run();
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.process())).expect("a process of ours");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("such a limit");
    let numbers: Vec<&str> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers, ["4096", "4096"], "soft and hard");
    assert!(!daemon.log().contains("files may be open"), "and that is enough: {}", daemon.log());
}

#[test]
fn while_accepting_fails_clients_and_commands_wait_and_nothing_spins() {
    let mut daemon = Daemon::prepare("accepting", "", "");
    let faults = Faults::new(daemon.path(), &daemon.path().join("spool"));
    daemon.environment = faults.environment();
    daemon.run();
    let process = daemon.process();
    for errno in [Errno::ECONNABORTED, Errno::EMFILE] {
        faults.arm(Kind::Accept, 1, 5, Action::Fail(errno));
        let greeting = daemon.client().greeting;
        assert_eq!(faults.fired(Kind::Accept), 5, "{errno}: who came is accepted at the sixth try");
        assert!(greeting.starts_with("220 "), "{errno}: {greeting}");
        // Five are over too soon to measure what they cost.
        faults.arm(Kind::Accept, 1, u64::MAX, Action::Fail(errno));
        let mut waiting = TcpStream::connect(("127.0.0.1", daemon.port)).expect("the kernel queues it");
        wait_for("a client to meet it", || (faults.fired(Kind::Accept) > 0).then_some(()));
        let of_commands = || daemon.log().lines().filter(|line| line.contains("control socket: ")).count();
        let lines = of_commands();
        std::thread::scope(|scope| {
            let command = scope.spawn(|| daemon.command(&["queue", "list"]));
            wait_for("a command to meet it", || (of_commands() > lines).then_some(()));
            let before = faults.fired(Kind::Accept);
            let share = share_of(process);
            let tries = faults.fired(Kind::Accept) - before;
            println!("{errno}: {tries} tries, {:.1} % of a core", share * 100.0);
            assert!(tries > 10, "{errno}: it goes on trying, for each who waits: {tries}");
            assert!(share < 0.05, "{errno}: it spins: {share}");
            faults.disarm(Kind::Accept);
            let output = command.join().expect("it only waits");
            assert!(String::from_utf8_lossy(&output.stdout).contains("is empty"), "{errno}: {output:?}");
        });
        waiting.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        let mut greeting = [0; 4];
        waiting.read_exact(&mut greeting).expect("a greeting");
        assert_eq!(&greeting, b"220 ", "{errno}: who has waited is served");
        assert!(daemon.client().greeting.starts_with("220 "), "{errno}: and the next");
        assert!(of_commands() - lines <= 2, "{errno}: nor does the log fill: {}", daemon.log());
    }
    let lines = daemon.log().lines().filter(|line| line.contains("accept on ")).count();
    assert!(lines <= 8, "nor does the log fill: {lines} lines");
    assert!(submit(&daemon, 3, "you@here.test").starts_with("250"));
    _ = daemon.wait_for_mail("you", 1);
}

/// A daemon whose clock can be set, and a next hop that takes mail only when it is told to.
fn with_clock(name: &str) -> (Daemon, Faults, Server, Arc<AtomicBool>) {
    let (server, open) = closed_server();
    let lines = format!(
        "relayhost = [127.0.0.1]:{}\nminimal_backoff_time = 2s\nmaximal_backoff_time = 2s\n\
         maximal_queue_lifetime = 5d\ndelay_warning_time = 0",
        server.address.port()
    );
    let mut daemon = Daemon::prepare(name, &lines, "");
    let faults = Faults::new(daemon.path(), &daemon.path().join("spool"));
    daemon.environment = faults.environment();
    daemon.run();
    (daemon, faults, server, open)
}

/// When the daemon took the message for this recipient, as it wrote into its Received field.
fn received_at(server: &Server, recipient: &str) -> String {
    let taken = server.taken();
    let message = taken.iter().find(|message| message.recipients.iter().any(|one| one.contains(recipient)));
    let message = message.unwrap_or_else(|| panic!("nothing for {recipient} in {taken:?}"));
    let text = String::from_utf8_lossy(&message.content).replace("\r\n\t", " ");
    let field = text.lines().find(|line| line.starts_with("Received: ")).expect("we write one");
    field.rsplit_once("; ").expect("its date is behind the last semicolon").1.to_owned()
}

/// By how many seconds the daemon's clock was ahead when it took the message for this recipient: what it wrote into its Received field says.
fn ahead(server: &Server, recipient: &str) -> i64 {
    let seconds = |date: &str| {
        let seconds = run(Command::new(program("date", "coreutils")).args(["-d", date, "+%s"]));
        seconds.trim().parse::<i64>().expect("a number of seconds")
    };
    seconds(&received_at(server, recipient)) - seconds("now")
}

/// The daemon's clock was so far ahead, as exactly as it says.
#[track_caller]
fn assert_jumped(server: &Server, recipient: &str, jump: i64) {
    let ahead = ahead(server, recipient);
    assert!((ahead - jump).abs() < 120, "{recipient}: set ahead by {jump} s, it was {ahead} s ahead");
}

#[test]
fn a_clock_that_jumps_while_the_daemon_runs_bounces_nothing_and_stops_nothing() {
    let (daemon, faults, server, open) = with_clock("clock-running");
    // Twenty years are beyond the last second of 32 bits.
    for (number, jump) in [-10 * YEAR, 10 * YEAR, 20 * YEAR, 0, YEAR, -YEAR].into_iter().enumerate() {
        open.store(false, Ordering::SeqCst);
        let deferrals = || daemon.log().matches("status=deferred").count();
        let before = deferrals();
        assert!(submit(&daemon, 3, "you@far.test").starts_with("250"));
        wait_for("the first attempt", || (deferrals() > before).then_some(()));
        faults.set_clock(jump);
        // It is tried again, by the clock that does not jump.
        let now = deferrals();
        wait_for("another attempt", || (deferrals() > now).then_some(()));
        let behind = format!("behind{number}@far.test");
        assert!(submit(&daemon, 3, &behind).starts_with("250"));
        open.store(true, Ordering::SeqCst);
        daemon.wait_until_the_queue_is_empty();
        assert_eq!(taken(&server), 2 * (number + 1), "each arrives without help, once");
        assert_jumped(&server, &behind, jump);
    }
    let log = daemon.log();
    assert!(!log.contains("status=bounced") && !log.contains("status=expired"), "nothing was returned");
}

/// The hour that is left out in spring, and the one that comes twice in autumn.
#[test]
fn summer_time_that_begins_or_ends_bounces_nothing_and_stops_nothing() {
    let (mut daemon, faults, server, open) = with_clock("summer-time");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    daemon.environment.push(("TZ".into(), "Europe/Berlin".into()));
    daemon.run();
    // 01:00 UTC of 2027-03-28 and of 2027-10-31.
    for (number, (switch, before, behind)) in
        [(1_806_195_600, "+0100", "+0200"), (1_824_944_400, "+0200", "+0100")].into_iter().enumerate()
    {
        let set = |second: i64| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            faults.set_clock(second - now.expect("it is after 1970").as_secs() as i64);
        };
        let deferrals = || daemon.log().matches("status=deferred").count();
        let (first, second) = (format!("before{number}@far.test"), format!("behind{number}@far.test"));
        open.store(false, Ordering::SeqCst);
        let count = deferrals();
        set(switch - 600);
        assert!(submit(&daemon, 3, &first).starts_with("250"));
        wait_for("the first attempt", || (deferrals() > count).then_some(()));
        set(switch + 600);
        let count = deferrals();
        wait_for("another attempt", || (deferrals() > count).then_some(()));
        assert!(submit(&daemon, 3, &second).starts_with("250"));
        open.store(true, Ordering::SeqCst);
        daemon.wait_until_the_queue_is_empty();
        assert_eq!(taken(&server), 2 * (number + 1), "each arrives without help, once");
        for (recipient, offset) in [(&first, before), (&second, behind)] {
            let date = received_at(&server, recipient);
            assert!(date.trim_end().ends_with(&format!(" {offset}")), "{recipient}: {date}");
        }
    }
    let log = daemon.log();
    assert!(!log.contains("status=bounced") && !log.contains("status=expired"), "nothing was returned");
}

#[test]
fn a_clock_that_jumped_while_the_daemon_was_down_returns_nothing_untried() {
    let (mut daemon, faults, server, open) = with_clock("clock-down");
    for (number, jump) in [-10 * YEAR, 10 * YEAR, 20 * YEAR].into_iter().enumerate() {
        open.store(false, Ordering::SeqCst);
        faults.set_clock(0);
        assert!(submit(&daemon, 3, "you@far.test").starts_with("250"));
        _ = daemon.wait_for_log("status=deferred");
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.wait(), Some(0));
        faults.set_clock(jump);
        // The next hop works: the first attempt since the start is made before anything is returned for its age.
        open.store(true, Ordering::SeqCst);
        let count = taken(&server);
        daemon.run();
        wait_for("the message to arrive without help", || (taken(&server) > count).then_some(()));
        let behind = format!("behind{number}@far.test");
        assert!(submit(&daemon, 3, &behind).starts_with("250"), "ids are found in any year");
        wait_for("the new message to arrive", || (taken(&server) == count + 2).then_some(()));
        assert_jumped(&server, &behind, jump);
    }
    assert!(!daemon.log().contains("status=bounced") && !daemon.log().contains("status=expired"));
}
