//! sendmail, and the maildrop that it leaves mail in.

use super::*;

#[test]
fn sendmail_works_while_the_daemon_is_down() {
    let mut daemon = Daemon::start("sendmail-down", "");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    sendmail(
        &daemon,
        &["-f", "me@here.test", "-F", "Me Myself", "you@here.test"],
        "Subject: patient\n\nI wait\n.\nnot me\n",
    );
    assert_eq!(daemon.delivered("you").len(), 0);
    // What waits is seen, by those who may see it; of the queue nobody can tell.
    let (listed, down) = done(daemon.command(&["mailq"]), 69);
    assert!(listed.starts_with(HEADING) && listed.contains(" me@here.test\n"), "{listed}");
    assert!(listed.ends_with("you@here.test\n\n-- 0 Kbytes in 1 Request.\n"), "{listed}");
    assert!(down.contains("mail system is down"), "{down}");
    let line = ours(&daemon, &["queue", "--json", "list", "maildrop"]);
    let listed: serde_json::Value = serde_json::from_str(&line).expect("one line of JSON");
    assert_eq!((&listed["queue_name"], &listed["sender"]), (&"maildrop".into(), &"me@here.test".into()));
    assert_eq!(listed["recipients"][0]["address"], "you@here.test");
    daemon.run();
    let mail = text(&daemon.wait_for_mail("you", 1)[0]);
    assert!(mail.contains("From: Me Myself <me@here.test>\n"), "{mail}");
    assert!(mail.contains("Return-Path: <me@here.test>\n"), "{mail}");
    assert!(mail.ends_with("\n\nI wait\n"), "{mail}");
    assert!(daemon.wait_for_log("pickup").contains("from=<me@here.test>"));
}

/// What `sendmail -bs` says first, and to each line: the last line of its reply.
fn hears(daemon: &Daemon, lines: &[&str]) -> Vec<String> {
    let mut command = Command::new(binary("postrider"));
    command.arg("sendmail").arg("-C").arg(daemon.config()).arg("-bs");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut replies = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut reply = || loop {
        let line = replies.next().expect("a reply").expect("text");
        if line.as_bytes().get(3) != Some(&b'-') {
            return line;
        }
    };
    let mut heard = vec![reply()];
    let mut input = child.stdin.take().expect("a pipe");
    for line in lines {
        input.write_all(format!("{line}\r\n").as_bytes()).expect("it reads");
        heard.push(reply());
    }
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    heard
}

#[test]
fn sendmail_speaks_smtp_with_a_program_of_this_host_also_while_the_daemon_is_down() {
    let far = Server::scripted(|command, _| match command.split(' ').next() {
        Some("EHLO") => Answer::Say("250-far.test\r\n250 DSN\r\n".to_owned()),
        _ => Answer::Usual,
    });
    let settings = format!("transport_maps = inline:{{far.test=smtp:[127.0.0.1]:{}}}", far.address.port());
    let mut daemon = Daemon::start("sendmail-bs", &settings);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    let lines = [
        "EHLO mua.test",
        "MAIL FROM:<me@here.test> ENVID=e1 RET=HDRS",
        "RCPT TO:<you@here.test>",
        "RCPT TO:<>",
        "RCPT TO:<x@far.test> NOTIFY=NEVER",
        "RCPT TO:<y@far.test> NOTIFY=SUCCESS ORCPT=rfc822;z@first.test",
        "DATA",
        "Subject: by hand\r\n\r\n..dotted\r\n.",
        "STARTTLS",
        "QUIT",
    ];
    let heard = hears(&daemon, &lines);
    let id = heard[8].rsplit(' ').next().unwrap_or_default().to_owned();
    let heard = heard.join("\n").replace(&id, "ID");
    insta::assert_snapshot!(heard, @r"
    220 mail.here.test ESMTP Postrider
    250 CHUNKING
    250 2.1.0 Ok
    250 2.1.5 Ok
    501 5.1.3 Bad recipient address syntax
    250 2.1.5 Ok
    250 2.1.5 Ok
    354 End data with <CR><LF>.<CR><LF>
    250 2.0.0 Ok: queued as ID
    502 5.5.1 Error: command not implemented
    221 2.0.0 Bye
    ");
    daemon.run();
    let mail = text(&daemon.wait_for_mail("you", 1)[0]);
    assert!(mail.contains("Subject: by hand\n") && mail.ends_with("\n\n.dotted\n"), "{mail}");
    assert!(mail.contains("from userid "), "{mail}");
    let taken = wait_for("the far ones", || far.taken().into_iter().next());
    assert!(taken.mail.contains("RET=HDRS") && taken.mail.contains("ENVID=e1"), "{taken:?}");
    let [never, success] = taken.recipients.as_slice() else { panic!("{taken:?}") };
    assert!(never.starts_with("<x@far.test>") && never.contains("NOTIFY=NEVER"), "{never}");
    assert!(success.contains("NOTIFY=SUCCESS") && success.contains("ORCPT=rfc822;z@first.test"), "{success}");
    let error = sendmail_ends(&daemon, &["-bs", "you@here.test"], "", 64);
    assert!(error.contains("stand-alone mode requires no recipient"), "{error}");
}

#[test]
fn sendmail_takes_recipients_from_the_message_and_hides_bcc() {
    let daemon = Daemon::start("sendmail-t", "");
    let message =
        "To: A <a@here.test>,\n  b@here.test\nBcc: c@here.test\nFrom: x@here.test\n\nbody\n.\nmore\n";
    sendmail(&daemon, &["-ti"], message);
    for user in ["a", "b", "c"] {
        let mail = text(&daemon.wait_for_mail(user, 1)[0]);
        assert!(!mail.to_ascii_lowercase().contains("bcc"), "{mail}");
        assert!(mail.contains("From: x@here.test\n") && mail.ends_with("body\n.\nmore\n"), "{mail}");
    }
}

#[test]
fn sendmail_hands_on_what_dsn_options_ask() {
    let far = Server::scripted(|command, _| match command.split(' ').next() {
        Some("EHLO") => Answer::Say("250-far.test\r\n250-8BITMIME\r\n250 DSN\r\n".to_owned()),
        _ => Answer::Usual,
    });
    let daemon = Daemon::start("sendmail-dsn", &format!("relayhost = [127.0.0.1]:{}", far.address.port()));
    let options = [
        "-N",
        "success,failure",
        "-R",
        "hdrs",
        "-V",
        "ENV+1",
        "-B",
        "8BITMIME",
        "-f",
        "me@here.test",
        "x@far.test",
    ];
    sendmail(&daemon, &options, "Subject: x\n\nbody\n");
    let taken = wait_for("the message to arrive", || far.taken().into_iter().next());
    for word in ["RET=HDRS", "ENVID=ENV+2B1"] {
        assert!(taken.mail.contains(word), "{taken:?}");
    }
    assert!(taken.recipients[0].contains("NOTIFY=SUCCESS,FAILURE"), "{taken:?}");
    sendmail(&daemon, &["-N", "never", "-f", "", "y@far.test"], "Subject: x\n\nbody\n");
    let taken = wait_for("the second message", || far.taken().into_iter().nth(1));
    assert!(taken.mail.starts_with("<>") && taken.recipients[0].contains("NOTIFY=NEVER"), "{taken:?}");
}

#[test]
fn sendmail_ends_with_the_status_that_sysexits_names() {
    let daemon = Daemon::start("sendmail-status", "message_size_limit = 2000");
    for (words, message, status) in [
        (&[][..], "", 64),
        (&["-B", "BINARY", "a@here.test"], "x\n", 64),
        (&["-K", "a@here.test"], "", 64),
        (&["-bz"], "", 64),
        (&["-t"], "Subject: x\n\n", 65),
        (&["<>"], "", 65),
        (&["a@here.test"], &"x".repeat(2001), 65),
        (&["-bp"], "", 0),
        (&["-bi"], "", 0),
        (&["-q"], "", 0),
        (&["-qRx.test"], "", 0),
    ] {
        let error = sendmail_ends(&daemon, words, message, status);
        assert_eq!(error.is_empty(), status == 0, "{words:?}: {error}");
    }
    let mut elsewhere = Command::new(binary("postrider"));
    elsewhere.args(["sendmail", "-C", "/nowhere", "a@here.test"]);
    _ = run_with(&mut elsewhere, "", 78);
    // A spool that was never made: try again later.
    let fresh = Daemon::prepare("sendmail-fresh", "", "");
    _ = sendmail_ends(&fresh, &["a@here.test"], "x\n", 75);
}

#[test]
fn refused_mail_of_a_command_goes_back_to_its_sender() {
    let daemon =
        Daemon::start("sendmail-refused", "header_checks = regexp:{{/^Subject: bad/ REJECT not this}}");
    sendmail(&daemon, &["-f", "me@here.test", "you@here.test"], "Subject: bad\n\nbody\n");
    let report = text(&daemon.wait_for_mail("me", 1)[0]);
    for words in ["not this", "you@here.test", "Subject: bad", "Return-Path: <>"] {
        assert!(report.contains(words), "{words}: {report}");
    }
    assert_eq!(daemon.delivered("you").len(), 0);
    wait_for("the maildrop to be empty", || maildrop(&daemon).is_empty().then_some(()));
}

fn maildrop(daemon: &Daemon) -> Vec<String> {
    let entries = std::fs::read_dir(spool(daemon).join("maildrop")).expect("a maildrop");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn junk_in_the_maildrop_is_set_aside_and_holds_nothing_up() {
    let mut daemon = Daemon::start("junk", "");
    daemon.kill();
    let drop = spool(&daemon).join("maildrop");
    std::fs::write(drop.join("new.1"), "no message\n").expect("a maildrop");
    std::fs::write(drop.join("new.2"), "{\"recipients\": [\"a..@@b\"], \"eight_bit\": false}\nbody\n")
        .expect("a maildrop");
    std::fs::create_dir(drop.join("new.3")).expect("a maildrop");
    symlink("/etc/passwd", drop.join("new.4")).expect("a maildrop");
    daemon.run();
    sendmail(&daemon, &["you@here.test"], "Subject: x\n\nbody\n");
    _ = daemon.wait_for_mail("you", 1);
    let mut left = maildrop(&daemon);
    left.sort_unstable();
    assert_eq!(left, ["bad.1", "bad.2", "bad.3", "bad.4"]);
}
