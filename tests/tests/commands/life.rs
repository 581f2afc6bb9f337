//! Signals and logs: what the daemon does while it lives.

use super::*;

#[test]
fn sigterm_lets_a_transaction_and_a_delivery_end() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let slow = Server::scripted(move |command, _| {
        if command == "." {
            _ = wait.lock().expect("one reader").recv();
        }
        Answer::Usual
    });
    let mut daemon = Daemon::start("drain", &format!("relayhost = [127.0.0.1]:{}", slow.address.port()));
    let reply = daemon.client().deliver("a@here.test", &["x@far.test"], "Subject: x\r\n\r\nbody\r\n");
    let id = reply.trim_end().rsplit(' ').next().expect("an id").to_owned();
    wait_for("the delivery to reach the end of its data", || {
        slow.heard().iter().any(|line| line == ".").then_some(())
    });
    let mut open = daemon.client();
    open.expect("EHLO client.test", "250");
    open.expect("MAIL FROM:<b@here.test>", "250");
    open.expect("RCPT TO:<you@here.test>", "250");
    let mut idle = daemon.client();
    idle.expect("EHLO client.test", "250");
    daemon.signal(Signal::SIGTERM);
    _ = daemon.wait_for_log("stopping: ");
    // An idle session is told at once; one with a transaction when that has ended.
    assert!(idle.reply().starts_with("421 "));
    open.expect("DATA", "354");
    open.send(b"Subject: y\r\n\r\nlate\r\n.\r\n");
    assert!(open.reply().starts_with("250 2.0.0 Ok: queued as"));
    assert!(open.reply().starts_with("421 "));
    go.send(()).expect("the server waits");
    assert_eq!(daemon.wait(), Some(0));
    assert!(daemon.log().contains(&format!("{id}: removed")), "{}", daemon.log());
    // What was taken on the way out is delivered by the next process.
    daemon.run();
    assert_eq!(daemon.wait_for_mail("you", 1).len(), 1);
}

#[test]
fn sighup_opens_the_log_again() {
    let daemon = Daemon::start("rotate", "");
    let log = daemon.path().join("mail.log");
    std::fs::rename(&log, daemon.path().join("mail.log.1")).expect("ours");
    daemon.signal(Signal::SIGHUP);
    _ = daemon.wait_for_log("configuration reloaded");
    assert!(log.exists());
}

#[test]
fn a_message_s_life_is_one_grep_of_its_id() {
    let mut daemon = Daemon::prepare("grep", "syslog_name = mx-1", "");
    daemon.own_hosts("127.0.0.1 peer.test\n");
    daemon.run();
    let reply = daemon.client().deliver("a@x.test", &["you@here.test"], "Message-Id: <1@x>\r\n\r\nbody\r\n");
    let id = reply.trim_end().rsplit(' ').next().expect("an id").to_owned();
    _ = daemon.wait_for_log(&format!("{id}: removed"));
    let log = daemon.log();
    let life: Vec<&str> = log.lines().filter(|line| line.contains(&id)).collect();
    let expected = [
        format!("mx-1/smtpd[*]: {id}: client=peer.test[127.0.0.1]"),
        format!("mx-1/cleanup[*]: {id}: message-id=<1@x>"),
        format!("mx-1/qmgr[*]: {id}: from=<a@x.test>, size="),
        format!("mx-1/virtual[*]: {id}: to=<you@here.test>, relay=virtual, delay="),
        format!("mx-1/qmgr[*]: {id}: removed"),
    ];
    assert_eq!(life.len(), expected.len(), "{life:#?}");
    for (line, expected) in life.iter().zip(&expected) {
        let (program, rest) = expected.split_once("[*]").expect("a pattern");
        assert!(line.contains(&format!(" mail {program}[")) && line.contains(rest), "{line}\n{expected}");
    }
}

#[test]
fn a_log_of_json_has_the_same_rows() {
    let daemon = Daemon::start("json", "log_format = json");
    _ = daemon.client().deliver("a@x.test", &["you@here.test"], "A: b\r\n\r\nbody\r\n");
    let line = daemon.wait_for_log("\"event\":\"removed\"");
    let row: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(row["program"], "postrider/qmgr");
    assert_eq!(row["severity"], "info");
    let id = row["queue_id"].as_str().expect("an id");
    assert_eq!(row["text"], format!("{id}: removed"));
    for line in daemon.log().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn a_log_may_go_to_standard_output() {
    let mut daemon = Daemon::prepare("stdout", "maillog_file = /dev/stdout", "");
    let out = daemon.path().join("out");
    let mut child = Command::new(binary("postrider"))
        .args(["start", "-c"])
        .arg(daemon.config())
        .stdout(std::fs::File::create(&out).expect("a scratch folder"))
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let log = || std::fs::read_to_string(&out).unwrap_or_default();
    wait_for("the daemon to start", || log().contains("daemon started").then_some(()));
    assert!(ours(&daemon, &["stop"]).contains("stopping"));
    assert_eq!(child.wait().expect("ours").code(), Some(0));
    assert!(log().contains("postrider/master[") && log().contains("]: stopped"), "{}", log());
    daemon.kill();
}

#[test]
fn check_names_restrictions_and_levels_that_do_not_work_yet() {
    let lines =
        "smtpd_recipient_restrictions = reject_rbl_client x.test, permit\nsmtp_tls_security_level = dane";
    let said = ours(&Daemon::prepare("not-yet", lines, ""), &["check"]);
    for line in ["not working yet: reject_rbl_client", "not working yet: dane"] {
        assert!(said.contains(line), "{said}");
    }
}
