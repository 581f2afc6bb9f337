//! A daemon records what enters it, and `postrider-sim explain` takes the same decisions again and says why.

use fancy_regex::Regex;
use nix::sys::signal::Signal;
use postrider_core::mail::Route;
use postrider_core::manager::Input;
use postrider_core::recording::{Kind, MAGIC, Octets, Record, Records, SessionFact, frame};
use postrider_tests::daemon::Daemon;
use postrider_tests::server::{Answer, Server};
use postrider_tests::{binary, wait_for};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const CONTENT: &str =
    "From: alice@here.test\r\nSubject: hush\r\nMessage-Id: <1@here.test>\r\n\r\nnobody shall read this\r\n";

/// Lines that record below the daemon's folder.
fn recorded(daemon: &Daemon, more: &str) -> String {
    format!("record_directory = {}\n{more}", folder(daemon).display())
}

fn folder(daemon: &Daemon) -> PathBuf {
    daemon.path().join("record")
}

/// What `explain` prints, and its exit status.
fn explain(recording: &Path, words: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(binary("postrider-sim")).arg("explain").arg(recording).args(words).output();
    let output = output.expect("the binary runs");
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&said).into_owned(), output.status.code())
}

/// Times, queue ids, ports and sizes that differ from run to run.
fn normal(text: &str) -> String {
    let rules = [
        (r"(?m)^\d\d:\d\d:\d\d\.\d{3}", "TIME"),
        (r"\b[0-9A-Za-z]{10}z[0-9A-Za-z]{4}\b", "ID"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"version \S+ since .*, (with)", "version V since DATE, $1"),
        (r": \d{6,} octets", ": N octets"),
        (r"records \d+", "records N"),
        (r"again \d+", "again N"),
    ];
    let apply = |text: String, (pattern, by): &(&str, &str)| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, *by).into_owned()
    };
    rules.iter().fold(text.to_owned(), apply)
}

/// A relay that takes nothing from one recipient now, and nothing from another ever.
fn picky() -> Server {
    Server::scripted(|line, _| match line {
        line if line.contains("soft@") => Answer::Say("451 4.2.0 come back\r\n".to_owned()),
        line if line.contains("hard@") => Answer::Say("550 5.1.1 who is that\r\n".to_owned()),
        _ => Answer::Usual,
    })
}

/// Mail that is accepted, refused, deferred and bounced; the daemon has ended when this comes back.
fn day(name: &str, more: &str) -> Daemon {
    let relay = picky();
    let mut daemon = Daemon::prepare(name, "", "");
    let lines = format!(
        "mynetworks = 192.0.2.0/24\nsmtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nrelay_domains = far.test\nrelay_transport = smtp:[127.0.0.1]:{}\n{more}",
        relay.address.port()
    );
    daemon.write_main_cf(&recorded(&daemon, &lines));
    // The name of a client is recorded and explained.
    daemon.own_hosts("127.0.0.1 localhost\n");
    daemon.run();
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect("MAIL FROM:<alice@here.test>", "250");
    client.expect("RCPT TO:<bob@here.test>", "250");
    client.expect("RCPT TO:<x@elsewhere.test>", "554");
    client.expect("DATA", "354");
    client.send(format!("{CONTENT}.\r\n").as_bytes());
    assert!(client.reply().starts_with("250"));
    client.expect("QUIT", "221");
    let mut client = daemon.client();
    let reply = client.deliver("alice@here.test", &["soft@far.test", "hard@far.test"], CONTENT);
    assert!(reply.starts_with("250"), "{reply}");
    client.expect("QUIT", "221");
    _ = daemon.wait_for_mail("bob", 1);
    _ = daemon.wait_for_mail("alice", 1);
    _ = daemon.wait_for_log("status=deferred");
    daemon.signal(Signal::SIGTERM);
    _ = daemon.wait();
    daemon
}

#[test]
fn every_decision_is_taken_again_and_explained() {
    let daemon = day("explain", "");
    let (text, status) = explain(&folder(&daemon), &[]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("not explained 0, divergences 0, damages 0"), "{text}");
    for sentence in [
        "because smtpd_relay_restrictions: permit_mynetworks does not decide: client 127.0.0.1 is not in mynetworks (192.0.2.0/24)",
        "because smtpd_relay_restrictions: reject_unauth_destination refuses with 554: elsewhere.test is neither local, virtual nor in relay_domains",
        "< 554 5.7.1 <x@elsewhere.test>: Relay access denied",
        "active at once: no mail waits before it",
        "attempt 1 by",
        "because destination [127.0.0.1]:",
        "recipient 0 deferred (4.2.0",
        "recipient 1 failed (5.1.1",
        "a non-delivery notification to <alice@here.test> is owed; recipients that it is about: 1",
        "less than minimal_backoff_time 300 s; jitter",
    ] {
        assert!(text.contains(sentence), "{sentence}\n--- is not in\n{text}");
    }
    let (session, _) = explain(&folder(&daemon), &["--session", "1"]);
    insta::assert_snapshot!(normal(&session));
}

#[test]
fn what_is_told_of_one_message_begins_with_its_session() {
    let daemon = day("explain-id", "");
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("to=<bob@here.test>")).expect("it was delivered");
    let id = line.split("]: ").nth(1).and_then(|rest| rest.split(':').next()).expect("an id");
    let (text, status) = explain(&folder(&daemon), &["--id", id]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("session 1: 127.0.0.1:") && text.contains("> RCPT TO:<bob@here.test>"), "{text}");
    assert!(!text.contains("session 2") && !text.contains("soft@far.test"), "{text}");
    assert!(text.contains(&format!("log: {id}: removed")), "{text}");
}

#[test]
fn contents_are_recorded_only_where_that_is_asked_for() {
    for (name, more, shown) in [("rec-veiled", "", false), ("rec-whole", "record_content = yes\n", true)] {
        let daemon = day(name, more);
        let octets: Vec<u8> = files(&daemon).iter().flat_map(|path| fs::read(path).expect("ours")).collect();
        let octets = String::from_utf8_lossy(&octets).into_owned();
        assert_eq!(octets.contains("nobody shall read this"), shown, "{name}");
        assert_eq!(octets.contains("hush"), shown, "{name}");
        assert!(octets.contains("<1@here.test>"), "{name}: what decides is there");
        let (text, status) = explain(&folder(&daemon), &[]);
        assert_eq!(status, Some(0), "{text}");
        assert!(text.contains("divergences 0") && text.contains("SHA-256"), "{text}");
    }
}

/// The files of a recording, oldest first.
fn files(daemon: &Daemon) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(daemon)).expect("a recording");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
}

/// The file again, with one record changed.
fn forge(path: &Path, change: &mut dyn FnMut(&mut Record)) {
    let octets = fs::read(path).expect("ours");
    let mut forged = MAGIC.to_vec();
    for record in Records::new(&octets) {
        let mut record = record.expect("it is whole");
        change(&mut record);
        let octets = match &record {
            Record::Begin(value) => frame(Kind::Begin, value),
            Record::Setting(value) => frame(Kind::Setting, value),
            Record::State(value) => frame(Kind::State, value),
            Record::Fact(value) => frame(Kind::Fact, value),
            Record::Opened(value) => frame(Kind::Opened, value),
            Record::Heard(value) => frame(Kind::Heard, value),
            Record::Content(value) => frame(Kind::Content, value),
            Record::Lost(value) => frame(Kind::Lost, value),
        };
        forged.extend(octets.expect("it was one before"));
    }
    fs::write(path, forged).expect("ours");
}

#[test]
fn a_fact_that_was_changed_is_told_as_a_divergence() {
    let daemon = day("forged", "");
    let file = &files(&daemon)[0];
    let before = fs::read(file).expect("ours");
    forge(file, &mut |record| {
        if let Record::Heard(heard) = record
            && let SessionFact::Bytes(octets) = &mut heard.fact
        {
            let text = String::from_utf8_lossy(&octets.unpack()).replace("x@elsewhere.test", "x@here.test");
            *octets = Octets::pack(text.as_bytes());
        }
    });
    let (text, status) = explain(file, &[]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("divergences 1,") && text.contains("RCPT TO:<x@here.test>"), "{text}");
    fs::write(file, before).expect("ours");
    let mut forged = 0;
    forge(file, &mut |record| {
        if let Record::Fact(fact) = record
            && let Some(Input::Routed(_, Ok(routes))) = &mut fact.input
            && let Some((_, Route::To { nexthop, .. })) = routes.first_mut()
        {
            forged += 1;
            nexthop.push_str(".elsewhere");
        }
    });
    assert!(forged > 0);
    let (text, status) = explain(file, &[]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("manager: ") && text.contains("DIVERGES: recorded were"), "{text}");
}

#[test]
fn a_recording_that_was_cut_is_read_to_its_last_whole_record() {
    let daemon = day("torn", "");
    let file = &files(&daemon)[0];
    let octets = fs::read(file).expect("ours");
    fs::write(file, &octets[..octets.len() - 5]).expect("ours");
    let (text, status) = explain(&folder(&daemon), &[]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("the file ends within a record") && text.contains("divergences 0"), "{text}");
    let mut broken = octets;
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    fs::write(file, broken).expect("ours");
    let (text, status) = explain(&folder(&daemon), &[]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("damages 1"), "{text}");
}

#[test]
fn old_files_go_and_those_that_stay_explain_themselves() {
    let mut daemon = Daemon::prepare("ring", "", "");
    daemon.write_main_cf(&recorded(&daemon, "record_file_size = 65536\nrecord_file_count = 2\n"));
    daemon.run();
    let first = wait_for("a file", || files(&daemon).first().cloned());
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    for _ in 0..400 {
        let reply = client.transaction("alice@here.test", &["bob@here.test"], CONTENT);
        assert!(reply.starts_with("250"), "{reply}");
        if !first.exists() {
            break;
        }
    }
    assert!(!first.exists(), "the oldest file is gone");
    client.expect("QUIT", "221");
    // This one is told of from its beginning to its end.
    let mut client = daemon.client();
    _ = client.deliver("last@here.test", &["bob@here.test"], CONTENT);
    client.expect("QUIT", "221");
    daemon.signal(Signal::SIGTERM);
    _ = daemon.wait();
    assert_eq!(files(&daemon).len(), 2);
    let (text, status) = explain(&folder(&daemon), &[]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("divergences 0, damages 0"), "{text}");
    assert!(text.contains("manager: is written down: messages"), "{text}");
    assert!(text.contains("session 2: > MAIL FROM:<last@here.test>"), "{text}");
    assert!(text.contains("<last@here.test>, recipients: 1"), "the manager's part is explained too: {text}");
}

#[test]
fn a_reload_starts_and_ends_a_recording_and_no_session_notices() {
    let daemon = Daemon::start("reload-record", "");
    let mut early = daemon.client();
    early.expect("EHLO early.test", "250");
    daemon.write_main_cf(&recorded(&daemon, ""));
    assert!(daemon.command(&["reload"]).status.success());
    let status = String::from_utf8_lossy(&daemon.command(&["status"]).stdout).into_owned();
    assert!(status.contains("records into ") && status.contains("without contents"), "{status}");
    assert!(early.transaction("a@here.test", &["bob@here.test"], CONTENT).starts_with("250"));
    let mut late = daemon.client();
    assert!(late.deliver("b@here.test", &["bob@here.test"], CONTENT).starts_with("250"));
    late.expect("QUIT", "221");
    _ = daemon.wait_for_mail("bob", 2);
    daemon.write_main_cf("");
    assert!(daemon.command(&["reload"]).status.success());
    _ = daemon.wait_for_log("has ended");
    let status = String::from_utf8_lossy(&daemon.command(&["status"]).stdout).into_owned();
    assert!(!status.contains("records into "), "{status}");
    early.expect("NOOP", "250");
    let text = wait_for("the end of the file", || {
        let (text, status) = explain(&folder(&daemon), &[]);
        (status == Some(0) && text.contains("> QUIT")).then_some(text)
    });
    assert!(text.contains("not explained 0, divergences 0"), "{text}");
    assert!(text.contains("> MAIL FROM:<b@here.test>") && !text.contains("early.test"), "{text}");
    assert!(text.contains("from <a@here.test>"), "the manager hears of all mail: {text}");
}

#[test]
fn what_can_not_be_recorded_hinders_no_mail() {
    let mut daemon = Daemon::prepare("no-record", "", "");
    fs::write(folder(&daemon), "a file, not a folder").expect("a scratch folder");
    daemon.write_main_cf(&recorded(&daemon, ""));
    daemon.run();
    _ = daemon.wait_for_log("nothing is recorded: record_directory");
    assert!(daemon.client().deliver("a@here.test", &["bob@here.test"], CONTENT).starts_with("250"));
    _ = daemon.wait_for_mail("bob", 1);
    daemon.write_main_cf("record_directory = here\n");
    let output = daemon.command(&["check"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !output.status.success() && text.contains("record_directory: here is no absolute path"),
        "{text}"
    );
}
