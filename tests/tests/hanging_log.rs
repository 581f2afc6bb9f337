//! Nobody reads the log, or it can not be written: mail goes on, and the log says later what it lacks.

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use postrider_tests::daemon::Daemon;
use postrider_tests::faults::{Action, Faults, Kind};
use postrider_tests::smtp::Client;
use postrider_tests::wait_for;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// Lines of one batch of refusals.
const BATCH: usize = 200;

/// Makes the daemon write so many lines, each of them a refused recipient.
fn write_lines(daemon: &Daemon, lines: usize) {
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect("MAIL FROM:<me@here.test>", "250");
    let commands = "RCPT TO:<nobody@refused.test>\r\n".repeat(BATCH);
    for _ in 0..lines.div_ceil(BATCH) {
        client.send(commands.as_bytes());
        for _ in 0..BATCH {
            let reply = client.reply();
            assert!(reply.starts_with("554"), "{reply}");
        }
    }
}

fn deliver(daemon: &Daemon) -> String {
    let mut client: Client = daemon.client();
    client.deliver("me@here.test", &["you@here.test"], "Subject: x\r\n\r\nx\r\n")
}

/// What is in the pipe until this word comes.
fn read_until(pipe: &mut File, word: &str) -> String {
    let mut text = Vec::new();
    let mut octets = [0; 65_536];
    wait_for(&format!("{word:?} in the log"), || {
        while let Ok(count @ 1..) = pipe.read(&mut octets) {
            text.extend_from_slice(&octets[..count]);
        }
        let so_far = String::from_utf8_lossy(&text);
        so_far.contains(word).then(|| so_far.into_owned())
    })
}

#[test]
fn a_log_that_nobody_reads_delays_no_mail_and_says_later_how_much_of_it_is_lost() {
    let lines = "maillog_file = /dev/stdout\n\
                 smtpd_recipient_restrictions = check_recipient_access inline:{ refused.test=REJECT }, permit\n\
                 smtpd_error_sleep_time = 0\n\
                 smtpd_hard_error_limit = 1000000\n\
                 smtpd_client_connection_rate_limit = 0";
    let mut daemon = Daemon::prepare("hanging-log", lines, "");
    let path = daemon.path().join("pipe");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a scratch folder");
    // For writing too, so that it never ends.
    let options =
        OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path);
    let mut pipe = options.expect("our own pipe");
    daemon.starter = ["sh", "-c", "exec \"$@\" > \"$0\""].map(Into::into).to_vec();
    daemon.starter.push(path.into());
    daemon.spawn();
    wait_for("the daemon to listen", || TcpStream::connect(("127.0.0.1", daemon.port)).ok());
    // More than the pipe, a batch and the queue hold.
    let start = Instant::now();
    write_lines(&daemon, 40_000);
    for count in 1..=3 {
        assert!(deliver(&daemon).starts_with("250"));
        assert_eq!(daemon.wait_for_mail("you", count).len(), count);
    }
    println!("with nobody who reads: {:?}", start.elapsed());
    let text = read_until(&mut pipe, "lines of the log are lost: who reads it did not keep up");
    let told = text.lines().find(|line| line.contains("lines of the log are lost")).expect("just read");
    let lost = told.split("]: ").nth(1).and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    let lost = lost.unwrap_or_else(|| panic!("no number in {told:?}"));
    let there = text.lines().filter(|line| line.contains("nobody@refused.test")).count();
    assert!(there + lost >= 40_000, "each line is there or counted: {there}, and {lost} are lost");
    // It flows again, and nothing more is missing.
    assert!(deliver(&daemon).starts_with("250"));
    let text = read_until(&mut pipe, "removed");
    assert!(!text.contains("are lost"), "{text}");
    // Who ends does not wait for it for ever either.
    write_lines(&daemon, 2_000);
    let start = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_log_that_can_not_be_written_is_told_of_on_standard_error_and_says_later_what_it_lacks() {
    let mut daemon = Daemon::prepare("unwritten-log", "", "");
    let faults = Faults::new(daemon.path(), &daemon.path().join("mail.log"));
    daemon.environment = faults.environment();
    daemon.run();
    let mut letters = 0;
    for (trouble, errno) in [(1, Errno::ENOSPC), (2, Errno::EIO)] {
        faults.arm(Kind::Write, 1, u64::MAX, Action::Fail(errno));
        for _ in 0..3 {
            letters += 1;
            assert!(deliver(&daemon).starts_with("250"));
            assert_eq!(daemon.wait_for_mail("you", letters).len(), letters);
        }
        assert!(faults.fired(Kind::Write) > 1, "{errno}: it is tried again with each batch");
        let complaints = daemon.stderr().matches("can not be written: ").count();
        assert_eq!(complaints, trouble, "{errno}: told once: {}", daemon.stderr());
        faults.disarm(Kind::Write);
        letters += 1;
        assert!(deliver(&daemon).starts_with("250"));
        let told = |line: &str| {
            line.split(" lines of the log are lost: it could not be written")
                .next()?
                .rsplit(' ')
                .next()?
                .parse()
                .ok()
        };
        let lost: Vec<usize> = wait_for("what is lost to be told", || {
            let lost: Vec<usize> = daemon
                .log()
                .lines()
                .filter(|line| line.contains("lines of the log are lost"))
                .filter_map(told)
                .collect();
            (lost.len() == trouble).then_some(lost)
        });
        // Of the first two messages at least: the client, the id, the sender, the delivery and the end of each.
        assert!(lost[trouble - 1] >= 10, "{lost:?}");
        _ = daemon.wait_for_mail("you", letters);
    }
}
