//! Row C5 of the attacks: Postfix's smtp-sink plays each fault that it knows, and each has its outcome.

use postrider_tests::daemon::Daemon;
use postrider_tests::{free_port, program, wait_for};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A running smtp-sink; killed when dropped.
struct Sink(Child, u16);

impl Sink {
    fn start(options: &[&str]) -> Self {
        let port = free_port();
        let mut command = Command::new(program("smtp-sink", "postfix"));
        if nix::unistd::Uid::effective().is_root() {
            // It insists on being somebody else.
            command.args(["-u", "nobody"]);
        }
        let child = command
            .args(options)
            .arg(format!("127.0.0.1:{port}"))
            .arg("100")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("smtp-sink runs");
        let sink = Self(child, port);
        wait_for("smtp-sink to listen", || TcpStream::connect(("127.0.0.1", port)).ok());
        sink
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// smtp-sink's options, and what the log must say of the recipient.
const CELLS: &[(&[&str], &str)] = &[
    (&[], "status=sent"),
    // Closes at a command.
    (&["-q", "connect"], "status=deferred"),
    (&["-q", "ehlo"], "status=deferred"),
    (&["-q", "mail"], "status=deferred"),
    (&["-q", "rcpt"], "status=deferred"),
    (&["-q", "data"], "status=deferred"),
    (&["-q", "."], "status=deferred"),
    // Says 421 and closes.
    (&["-Q", "connect"], "status=deferred"),
    (&["-Q", "ehlo"], "status=deferred"),
    (&["-Q", "mail"], "status=deferred"),
    (&["-Q", "rcpt"], "status=deferred"),
    (&["-Q", "data"], "status=deferred"),
    (&["-Q", "."], "status=deferred"),
    // Says 4xx.
    (&["-r", "mail"], "status=deferred"),
    (&["-r", "rcpt"], "status=deferred"),
    (&["-r", "data"], "status=deferred"),
    (&["-r", "."], "status=deferred"),
    // Says 5xx.
    (&["-f", "mail"], "status=bounced"),
    (&["-f", "rcpt"], "status=bounced"),
    (&["-f", "data"], "status=bounced"),
    (&["-f", "."], "status=bounced"),
];

#[test]
fn every_fault_of_smtp_sink_has_its_outcome() {
    assert_eq!(CELLS.len(), 21);
    let sinks: Vec<Sink> = CELLS.iter().map(|(options, _)| Sink::start(options)).collect();
    let routes: Vec<String> = sinks
        .iter()
        .enumerate()
        .map(|(number, sink)| format!("cell{number}.test=smtp:[127.0.0.1]:{}", sink.1))
        .collect();
    let daemon = Daemon::start("sink-faults", &format!("transport_maps = inline:{{{}}}", routes.join(", ")));
    for number in 0..CELLS.len() {
        let to = format!("reader@cell{number}.test");
        let reply = daemon.client().deliver("me@here.test", &[&to], "Subject: x\r\n\r\nbody\r\n");
        assert!(reply.starts_with("250"), "{reply}");
    }
    let outcomes: Vec<String> = (0..CELLS.len())
        .map(|number| daemon.wait_for_log(&format!("to=<reader@cell{number}.test>")))
        .collect();
    let wrong: Vec<String> = CELLS
        .iter()
        .zip(&outcomes)
        .filter(|((_, wanted), line)| !line.contains(wanted))
        .map(|((options, wanted), line)| format!("{options:?} wanted {wanted}: {line}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A reply that was lost behind the dot may mean a second copy: the log says so.
    assert!(outcomes[6].contains("message may be sent more than once"), "{}", outcomes[6]);
    // Nothing is lost: what failed for good has come back, what waits is listed.
    let bounced = CELLS.iter().filter(|(_, outcome)| outcome.contains("bounced")).count();
    _ = daemon.wait_for_mail("me", bounced);
    let list = daemon.command(&["queue", "list", "deferred"]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    for (number, _) in CELLS.iter().enumerate().filter(|(_, (_, outcome))| outcome.contains("deferred")) {
        assert!(list.contains(&format!("reader@cell{number}.test")), "cell {number} is not listed:\n{list}");
    }
}
