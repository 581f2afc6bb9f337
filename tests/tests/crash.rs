//! The daemon is killed, told to stop, and robbed of its disk; what it said 250 to arrives.

use nix::sys::signal::Signal;
use postrider_tests::daemon::Daemon;
use postrider_tests::disk::SmallDisk;
use postrider_tests::server::{Answer, Server};
use postrider_tests::smtp::say;
use postrider_tests::wait_for;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Kills in each run of all tests; `just kills` asks for more.
const KILLS: u64 = 20;
const CLIENTS: u64 = 4;
/// `default_destination_concurrency_limit` of this test: so many attempts a crash can cut off, and so many copies can come twice.
const CONCURRENCY: usize = 4;

/// One message; whether the server took responsibility. A daemon that is just dying may cut us off anywhere.
fn submit(stream: &mut BufReader<TcpStream>, name: &str) -> Option<bool> {
    // Some are larger than what the log keeps, and lie in files of their own.
    let lines = if name.ends_with('7') { 5_000 } else { 20 };
    say(stream, format!("MAIL FROM:<{name}@origin.test>\r\n").as_bytes())?;
    say(stream, b"RCPT TO:<reader@far.test>\r\n")?;
    say(stream, b"DATA\r\n")?;
    let content = format!(
        "Subject: {name}\r\n\r\n{}.\r\n",
        format!("{name} fills a line of this message\r\n").repeat(lines)
    );
    Some(say(stream, content.as_bytes())?.starts_with("250"))
}

fn client(port: u16, name: &str, accepted: &Mutex<BTreeSet<String>>) -> Option<()> {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).ok()?);
    say(&mut stream, b"")?;
    say(&mut stream, b"EHLO client.test\r\n")?;
    for number in 0.. {
        let name = format!("{name}-{number}");
        if submit(&mut stream, &name)? {
            accepted.lock().expect("no client panics").insert(name);
        }
    }
    Some(())
}

#[test]
fn what_was_accepted_survives_every_kill() {
    let kills = std::env::var("KILLS").map_or(KILLS, |text| text.parse().expect("KILLS is a number"));
    let server = Server::start();
    let lines = format!(
        "relayhost = [127.0.0.1]:{}\ndefault_destination_concurrency_limit = {CONCURRENCY}\n\
         initial_destination_concurrency = {CONCURRENCY}\nspool_segment_size = 262144\nspool_reserve = 262144",
        server.address.port()
    );
    let mut daemon = Daemon::prepare("crash", &lines, "");
    let accepted = Arc::new(Mutex::new(BTreeSet::new()));
    for round in 0..kills {
        daemon.run();
        let before = accepted.lock().expect("no client panics").len();
        std::thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (port, accepted) = (daemon.port, &accepted);
                scope.spawn(move || client(port, &format!("round{round}-client{number}"), accepted));
            }
            // The blow falls after another number of messages each time, anywhere in what the daemon does.
            wait_for("messages to be accepted", || {
                let count = accepted.lock().expect("no client panics").len() - before;
                (count as u64 > (round * 7) % 23).then_some(())
            });
            assert_eq!(daemon.ended(), None, "the blow must meet it alive");
            daemon.kill();
        });
    }
    daemon.run();
    let accepted = accepted.lock().expect("all clients are gone").clone();
    assert!(accepted.len() as u64 >= kills, "{}", accepted.len());
    let copies = |server: &Server| {
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        for message in server.taken() {
            let name = message.mail.trim_start_matches('<').split('@').next().unwrap_or_default().to_owned();
            let text = String::from_utf8_lossy(&message.content).into_owned();
            assert!(text.contains(&format!("Subject: {name}\r\n")), "{name}: {text:.400}");
            let lines = if name.ends_with('7') { 5_000 } else { 20 };
            assert_eq!(text.matches(&format!("{name} fills a line")).count(), lines, "{name} is whole");
            *copies.entry(name).or_default() += 1;
        }
        copies
    };
    daemon.flush_until_the_queue_is_empty();
    let copies = copies(&server);
    let lost: Vec<_> = accepted.iter().filter(|name| !copies.contains_key(*name)).collect();
    assert!(lost.is_empty(), "lost {lost:?}");
    // A kill can only double what was being handed over at that moment.
    let extra: usize = copies.values().map(|count| count - 1).sum();
    println!("{kills} kills, {} accepted, {} arrived, {extra} copies too many", accepted.len(), copies.len());
    assert!(extra <= usize::try_from(kills).expect("small") * CONCURRENCY, "{extra} copies too many");
}

#[test]
fn nothing_comes_twice_when_no_delivery_was_cut_off() {
    let mut daemon = Daemon::prepare("crash-quiet", "", "");
    for round in 0..3 {
        daemon.run();
        for number in 0..10 {
            let content = format!("Subject: {round} {number}\r\n\r\nbody\r\n");
            let reply = daemon.client().deliver("me@here.test", &["you@here.test"], &content);
            assert!(reply.starts_with("250"), "{reply}");
        }
        let count = (round + 1) * 10;
        _ = daemon.wait_for_mail("you", count);
        wait_for("the log to know", || (daemon.log().matches(": removed").count() == count).then_some(()));
        assert_eq!(daemon.ended(), None, "the blow must meet it alive");
        daemon.kill();
    }
    daemon.run();
    let list = daemon.command(&["queue", "list"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("is empty"), "{list:?}");
    assert_eq!(daemon.delivered("you").len(), 30);
}

#[test]
fn the_helper_goes_when_the_daemon_is_killed() {
    let mut daemon = Daemon::start("crash-helper", "");
    let children = format!("/proc/{0}/task/{0}/children", daemon.process());
    let helpers: Vec<String> =
        fs::read_to_string(children).expect("Linux").split_whitespace().map(str::to_owned).collect();
    assert!(!helpers.is_empty() && daemon.ended().is_none(), "{helpers:?}");
    daemon.kill();
    for helper in helpers {
        wait_for("the helper to go", || {
            let status = fs::read_to_string(format!("/proc/{helper}/stat")).unwrap_or_default();
            (status.is_empty() || status.contains(") Z ")).then_some(())
        });
    }
}

#[test]
fn a_message_in_flight_ends_before_the_daemon_stops() {
    // The next hop takes its time; SIGTERM comes meanwhile.
    let slow = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&slow);
    let server = Server::scripted(move |line, _| {
        if line == "." {
            seen.store(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(500));
        }
        Answer::Usual
    });
    let mut daemon = Daemon::start("drain", &format!("relayhost = [127.0.0.1]:{}", server.address.port()));
    let mut open = daemon.client();
    open.expect("EHLO client.test", "250");
    let reply = daemon.client().deliver("me@here.test", &["you@far.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    wait_for("the delivery to reach its end", || (slow.load(Ordering::SeqCst) == 1).then_some(()));
    daemon.signal(Signal::SIGTERM);
    let goodbye = open.reply();
    assert!(goodbye.starts_with("421 4."), "an idle client hears of it: {goodbye}");
    assert_eq!(daemon.wait(), Some(0));
    assert_eq!(server.count(), 1);
    let line = daemon.wait_for_log("status=sent");
    assert!(line.contains("to=<you@far.test>"), "{line}");
    // Nothing is left for the next start.
    daemon.run();
    let list = daemon.command(&["queue", "list"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("is empty"), "{list:?}");
}

#[test]
fn a_full_disk_is_a_reason_to_wait() {
    let mut daemon = Daemon::prepare(
        "full",
        "relayhost = [127.0.0.1]:1\nspool_segment_size = 1048576\nspool_reserve = 1048576\nqueue_minfree = 0\nmessage_size_limit = 5000000",
        "",
    );
    let spool = daemon.path().join("spool");
    let disk = SmallDisk::mount(&spool, "size=16m");
    daemon.run();
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    // Mail that stays: nobody listens at its next hop.
    let mut accepted = 0;
    let large = format!("Subject: large\r\n\r\n{}", "A line that fills the disk.\r\n".repeat(10_000));
    let refusal = loop {
        assert!(accepted < 200, "16 MB never fill up");
        let mail = client.say("MAIL FROM:<me@here.test>");
        if !mail.starts_with("250") {
            break mail;
        }
        client.expect("RCPT TO:<you@far.test>", "250");
        client.expect("DATA", "354");
        client.send(large.as_bytes());
        client.send(b".\r\n");
        let reply = client.reply();
        if !reply.starts_with("250") {
            break reply;
        }
        accepted += 1;
    };
    assert!(refusal.starts_with("452 4.3.1") || refusal.starts_with("451 4.3.0"), "{refusal}");
    assert!(accepted > 5, "{accepted} were accepted");
    // Small mail as well, in time; and nothing of what was refused is kept.
    let contents = || fs::read_dir(spool.join("postrider/contents")).expect("the spool").count();
    assert!(contents() <= accepted, "{} contents of {accepted} messages", contents());
    // The daemon is alive, and says what the queue holds.
    let list = daemon.command(&["queue", "list", "--json"]);
    assert_eq!(String::from_utf8_lossy(&list.stdout).lines().count(), accepted, "{list:?}");
    // Space comes back when mail goes; and new mail is taken without a restart.
    assert!(daemon.command(&["queue", "delete", "ALL"]).status.success());
    wait_for("the contents to go", || (contents() == 0).then_some(()));
    wait_for("mail to be taken again", || {
        let mut client = daemon.client();
        client.expect("EHLO client.test", "250");
        if !client.say("MAIL FROM:<me@here.test>").starts_with("250") {
            return None;
        }
        client.expect("RCPT TO:<you@here.test>", "250");
        client.expect("DATA", "354");
        client.send(b"Subject: again\r\n\r\nbody\r\n.\r\n");
        client.reply().starts_with("250").then_some(())
    });
    _ = daemon.wait_for_mail("you", 1);
    daemon.kill();
    drop(disk);
}

#[test]
fn a_content_that_does_not_fit_is_refused_and_the_session_goes_on() {
    let mut daemon =
        Daemon::prepare("full-content", "spool_segment_size = 1048576\nspool_reserve = 1048576", "");
    let spool = daemon.path().join("spool");
    let disk = SmallDisk::mount(&spool, "size=24m");
    daemon.run();
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    let large = format!("Subject: large\r\n\r\n{}", "A line that fills the disk.\r\n".repeat(100_000));
    // Somebody else fills the disk, but for less than the message. The daemon looks at free space when mail begins.
    client.expect("MAIL FROM:<me@here.test>", "250");
    client.expect("RCPT TO:<you@here.test>", "250");
    client.expect("DATA", "354");
    let filler = spool.join("filler");
    fill(&filler, 1_000_000);
    client.send(large.as_bytes());
    let refusal = client.say(".");
    assert!(refusal.starts_with("452 4.3.1"), "{refusal}");
    wait_for("what was staged to go", || {
        (fs::read_dir(spool.join("postrider/contents")).expect("the spool").count() == 0).then_some(())
    });
    fs::remove_file(&filler).expect("our own file");
    let reply = client.transaction("me@here.test", &["you@here.test"], &large);
    assert!(reply.starts_with("250"), "{reply}");
    assert!(daemon.wait_for_mail("you", 1)[0].len() > 2_000_000);
    daemon.kill();
    drop(disk);
}

#[test]
fn a_full_mailbox_disk_defers() {
    let mut daemon = Daemon::prepare("full-mail", "", "");
    let disk = SmallDisk::mount(&daemon.mail(), "size=2m");
    let filler = daemon.mail().join("filler");
    fill(&filler, 100_000);
    daemon.run();
    let large = format!("Subject: large\r\n\r\n{}", "A line that fills the disk.\r\n".repeat(20_000));
    let reply = daemon.client().deliver("me@here.test", &["you@here.test"], &large);
    assert!(reply.starts_with("250"), "{reply}");
    let line = daemon.wait_for_log("status=deferred");
    assert!(line.contains("to=<you@here.test>") && line.contains("dsn=4."), "{line}");
    // No half message is in the mailbox, not even where readers do not look.
    assert_eq!(daemon.delivered("you").len(), 0);
    assert_eq!(fs::read_dir(daemon.mail().join("you/tmp")).expect("a Maildir").count(), 0);
    fs::remove_file(&filler).expect("our own file");
    wait_for("the message to be delivered after a flush", || {
        _ = daemon.command(&["queue", "flush"]);
        (daemon.delivered("you").len() == 1).then_some(())
    });
    daemon.kill();
    drop(disk);
}

/// Fills a file system until so many octets are free.
fn fill(path: &Path, left: usize) {
    let mut file = fs::File::create(path).expect("a disk with room");
    while file.write_all(&[0; 64 * 1024]).is_ok() {}
    let length = file.metadata().expect("an open file").len();
    file.set_len(length.saturating_sub(left as u64)).expect("an open file");
}
