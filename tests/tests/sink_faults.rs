//! Row C5 of the attacks: Postfix's smtp-sink plays each fault and each manner that it knows, and each has its outcome.

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

/// What may become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Sent,
    Deferred,
    Bounced,
    /// Deferred or bounced: whether the refusal is read before the connection is reset is up to the kernel.
    Refused,
}

/// A transport whose patience is a second, for sinks that have more.
const HASTY: &str = "hasty unix - - n - - smtp -o smtp_data_init_timeout=1 -o smtp_data_xfer_timeout=1 \
                     -o smtp_data_done_timeout=1 -o smtp_mail_timeout=1 -o smtp_rcpt_timeout=1 -o smtp_helo_timeout=1";

/// smtp-sink's other manners: the transport, its options, and what becomes of a message.
const MANNERS: &[(&str, &[&str], End)] = &[
    // Replies of its own choice, as far as it takes them.
    ("smtp", &["-b", "451", "-r", "rcpt"], End::Deferred),
    ("smtp", &["-b", "421 4.7.1 come later", "-r", "rcpt"], End::Deferred),
    ("smtp", &["-b", "452 5.5.3 of two minds", "-r", "data"], End::Deferred),
    ("smtp", &["-B", "554", "-f", "."], End::Bounced),
    ("smtp", &["-B", "554 4.7.1 of two minds", "-f", "rcpt"], End::Bounced),
    // Slow, within our patience and beyond it. Of pipelined commands it obeys the second before it has answered the first.
    ("smtp", &["-w", "1"], End::Sent),
    ("smtp", &["-p", "-W", "mail:1"], End::Sent),
    ("smtp", &["-p", "-W", ".:1"], End::Sent),
    ("smtp", &["-H", "1"], End::Sent),
    ("hasty", &["-w", "9"], End::Deferred),
    ("hasty", &["-W", "ehlo:9"], End::Deferred),
    ("hasty", &["-p", "-W", "mail:9"], End::Deferred),
    ("hasty", &["-p", "-W", "rcpt:9"], End::Deferred),
    ("hasty", &["-p", "-W", ".:9"], End::Deferred),
    ("hasty", &["-H", "9"], End::Deferred),
    ("hasty", &["-H", "9", "-T", "1024"], End::Deferred),
    // Refuses while the content is on its way.
    ("smtp", &["-A", "0"], End::Refused),
    ("smtp", &["-A", "1"], End::Refused),
    // Offers less, or nothing.
    ("smtp", &["-e"], End::Sent),
    ("smtp", &["-E"], End::Sent),
    ("smtp", &["-N"], End::Sent),
    ("smtp", &["-p"], End::Sent),
    ("smtp", &["-P"], End::Sent),
    ("smtp", &["-F", "-C"], End::Sent),
    ("smtp", &["-T", "1024"], End::Sent),
    ("smtp", &["-h", "a..host.that-is.none-"], End::Sent),
    // Trouble at commands that decide nothing, or only the session.
    ("smtp", &["-f", "ehlo"], End::Sent),
    ("smtp", &["-r", "ehlo"], End::Sent),
    ("smtp", &["-f", "quit"], End::Sent),
    ("smtp", &["-q", "quit"], End::Sent),
    ("smtp", &["-Q", "quit"], End::Sent),
    ("smtp", &["-r", "connect"], End::Deferred),
    ("smtp", &["-f", "connect"], End::Deferred),
    // LMTP.
    ("lmtp", &["-L"], End::Sent),
    ("lmtp", &["-L", "-r", "."], End::Deferred),
    ("lmtp", &["-L", "-f", "."], End::Bounced),
    ("lmtp", &["-L", "-q", "."], End::Deferred),
    ("lmtp", &["-L", "-f", "rcpt"], End::Bounced),
    ("lmtp", &["-L", "-A", "0"], End::Refused),
];

#[test]
fn whatever_the_manners_of_smtp_sink_a_message_is_sent_kept_or_returned() {
    let sinks: Vec<Sink> = MANNERS.iter().map(|(_, options, _)| Sink::start(options)).collect();
    let routes: Vec<String> = MANNERS
        .iter()
        .zip(&sinks)
        .enumerate()
        .map(|(number, ((transport, ..), sink))| {
            format!("manner{number}.test={transport}:[127.0.0.1]:{}", sink.1)
        })
        .collect();
    let lines = format!("transport_maps = inline:{{{}}}", routes.join(", "));
    let daemon = Daemon::start_with("sink-manners", &lines, HASTY);
    // Long enough that a small window is full before its end.
    let content = format!("Subject: x\r\n\r\n{}", "A line of a long message.\r\n".repeat(160_000));
    for (number, (_, options, _)) in MANNERS.iter().enumerate() {
        let to = format!("reader@manner{number}.test");
        let large = options.contains(&"-T");
        let text = if large { content.as_str() } else { "Subject: x\r\n\r\nbody\r\n" };
        let reply = daemon.client().deliver("me@here.test", &[&to], text);
        assert!(reply.starts_with("250"), "{reply}");
    }
    let mut bounced = 0;
    let mut waiting = Vec::new();
    for (number, (transport, options, end)) in MANNERS.iter().enumerate() {
        let line = daemon.wait_for_log(&format!("to=<reader@manner{number}.test>"));
        let status = |word: &str| line.contains(&format!("status={word} "));
        let fits = match end {
            End::Sent => status("sent"),
            End::Deferred => status("deferred"),
            End::Bounced => status("bounced"),
            End::Refused => status("deferred") || status("bounced"),
        };
        assert!(fits, "{transport} {options:?} wanted {end:?}: {line}");
        bounced += usize::from(status("bounced"));
        if status("deferred") {
            waiting.push(number);
        }
    }
    _ = daemon.wait_for_mail("me", bounced);
    let list = daemon.command(&["queue", "list"]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    for number in waiting {
        assert!(list.contains(&format!("reader@manner{number}.test")), "{number} is not listed:\n{list}");
    }
}
