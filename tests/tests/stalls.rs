//! A disk that stands still: memory stays bounded, because mail is refused; nobody waits who does not need the disk; and nothing that was
//! answered is lost.

use postrider_tests::daemon::Daemon;
use postrider_tests::server::{Answer, Server};
use postrider_tests::smtp::Client;
use postrider_tests::{Scratch, program, wait_for};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, RwLock};
use std::time::Duration;

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
    let mut client = daemon.client();
    for command in ["EHLO client.test", "MAIL FROM:<a@client.test>", "RCPT TO:<b@here.test>", "DATA"] {
        let reply = client.say(command);
        assert!(reply.starts_with(['2', '3']), "{command}: {reply}");
    }
    let line = format!("{}\r\n", "x".repeat(98));
    client.send(format!("Subject: x\r\n\r\n{}", line.repeat(octets / line.len())).as_bytes());
    client
}

#[test]
fn a_disk_that_stands_still_refuses_mail_before_memory_is_full() {
    let daemon = Daemon::start("stalls", "content_memory_limit = 1048576\n");
    let first = daemon.client().deliver("a@client.test", &["b@here.test"], "Subject: 0\r\n\r\nbody\r\n");
    assert!(first.starts_with("250"), "{first}");
    let standstill = Standstill::of(&daemon, "fdatasync");
    let send = |_| {
        let mut client = begin(&daemon, 100_000);
        client.send(b".\r\n");
        client
    };
    // Ten of these are as much as the limit permits, in whatever order they come.
    let mut waiting: Vec<Client> = (0..30).map(send).collect();
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
        (refused >= 20).then_some(())
    });
    assert_eq!((waiting.len(), refused), (10, 20));
    _ = daemon.wait_for_log("content_memory_limit");
    let are_silent =
        waiting.iter_mut().all(|client| client.reply_within(Duration::from_millis(20)).is_none());
    assert!(are_silent, "nothing is promised before it is durable");
    drop(standstill);
    for client in &mut waiting {
        let reply = client.reply();
        assert!(reply.starts_with("250"), "{reply}");
    }
    // There is room again, and what was answered is delivered.
    let last = daemon.client().deliver("a@client.test", &["b@here.test"], "Subject: 1\r\n\r\nbody\r\n");
    assert!(last.starts_with("250"), "{last}");
    _ = daemon.wait_for_mail("b", waiting.len() + 2);
}

#[test]
fn slow_clients_do_not_fill_memory_either() {
    let daemon = Daemon::start("dribble", "content_memory_limit = 1048576\n");
    let mut clients: Vec<Client> = (0..30).map(|_| begin(&daemon, 100_000)).collect();
    let replies: Vec<String> = clients
        .iter_mut()
        .map(|client| {
            client.send(b".\r\n");
            client.reply()
        })
        .collect();
    let taken = replies.iter().filter(|reply| reply.starts_with("250")).count();
    let refused = replies.iter().filter(|reply| reply.starts_with("452 4.3.1")).count();
    // How many are taken depends on how fast the first are done; what is not refused has had its memory.
    assert!(taken + refused == 30 && taken > 0 && refused > 0, "{replies:?}");
}

#[test]
fn deliveries_that_wait_for_the_disk_to_read_keep_nobody_else_waiting() {
    // More of them than the daemon has workers.
    let deliveries = 2 * std::thread::available_parallelism().map_or(2, usize::from) + 4;
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
        let text = format!("Subject: {number}\r\n\r\n{}", "a line of some length\r\n".repeat(10_000));
        let reply = daemon.client().deliver("a@client.test", &["you@far.test"], &text);
        assert!(reply.starts_with("250"), "{reply}");
    }
    let at_data = || server.heard().iter().filter(|line| *line == "DATA").count();
    wait_for("all deliveries to ask for the content's turn", || (at_data() == deliveries).then_some(()));
    daemon.forget_cached_contents();
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
    assert_eq!(server.taken().len(), 0);
    drop(standstill);
    assert_eq!(server.wait(deliveries).len(), deliveries);
}
