//! The commands, as people and their tools use them.

use nix::sys::signal::Signal;
use postrider_tests::daemon::Daemon;
use postrider_tests::server::{Answer, Server};
use postrider_tests::{binary, wait_for};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Everything beyond this host is deferred: nobody listens there.
const DEFERRING: &str = "relayhost = [127.0.0.1]:1\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h";
const HEADING: &str = "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n";

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Runs a command with standard input; it must end with this status.
#[track_caller]
fn run_with(command: &mut Command, input: &str, status: i32) -> (String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    // A command that refuses its options has ended before it reads.
    _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    done(child.wait_with_output().expect("it ends"), status)
}

#[track_caller]
fn done(output: Output, status: i32) -> (String, String) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{out}{err}");
    (out, err)
}

/// Runs a subcommand of ours: what it printed.
#[track_caller]
fn ours(daemon: &Daemon, words: &[&str]) -> String {
    done(daemon.command(words), 0).0
}

/// The same, for commands that speak on standard error.
#[track_caller]
fn said(daemon: &Daemon, words: &[&str]) -> String {
    done(daemon.command(words), 0).1
}

#[track_caller]
fn sendmail(daemon: &Daemon, words: &[&str], message: &str) {
    sendmail_ends(daemon, words, message, 0);
}

#[track_caller]
fn sendmail_ends(daemon: &Daemon, words: &[&str], message: &str, status: i32) -> String {
    let mut command = Command::new(binary("postrider"));
    command.arg("sendmail").arg("-C").arg(daemon.config()).args(words).env_remove("NAME");
    run_with(&mut command, message, status).1
}

/// Ids of the queue, oldest first.
fn ids(daemon: &Daemon) -> Vec<String> {
    let listed = ours(daemon, &["postqueue", "-j"]);
    let messages = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    messages.map(|message| message["queue_id"].as_str().expect("an id").to_owned()).collect()
}

fn queue_of(daemon: &Daemon, id: &str) -> String {
    let listed = ours(daemon, &["queue", "--json", "list", id]);
    let message: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    message["queue_name"].as_str().expect("a queue").to_owned()
}

/// Sends to a host that does not answer, and waits until that has been noticed.
fn deferred(daemon: &Daemon, sender: &str, recipients: &[&str]) -> String {
    let reply = daemon.client().deliver(sender, recipients, "Subject: waits\r\n\r\nbody\r\n");
    let id = reply.trim_end().rsplit(' ').next().expect("queued as ID").to_owned();
    wait_for("the message to be deferred", || (queue_of(daemon, &id) == "deferred").then_some(()));
    id
}

#[test]
fn the_daemon_tells_how_it_does_and_obeys() {
    let mut daemon = Daemon::start("status", "");
    let status = ours(&daemon, &["status"]);
    assert!(status.contains(&format!("127.0.0.1:{}", daemon.port)), "{status}");
    assert!(ours(&daemon, &["check"]).contains("0 errors"));
    assert_eq!(ours(&daemon, &["config", "-h", "myhostname"]), "mail.here.test\n");
    assert_eq!(ours(&daemon, &["postconf", "-d", "-h", "queue_run_delay"]), "300s\n");
    assert_eq!(ours(&daemon, &["reload"]), "reloaded\n");
    _ = daemon.wait_for_log("configuration reloaded");
    assert_eq!(ours(&daemon, &["stop"]), "stopping\n");
    assert_eq!(daemon.wait(), Some(0));
    for words in
        [&["status"][..], &["stop"], &["postqueue", "-p"], &["queue", "list"], &["postsuper", "-d", "ALL"]]
    {
        let (_, error) = done(daemon.command(words), 69);
        assert!(error.contains("mail system is down"), "{words:?}: {error}");
    }
}

#[test]
fn a_faulty_reload_changes_nothing_and_says_so() {
    let daemon = Daemon::start("reload", "");
    daemon.write_main_cf("smtpd_recipient_restrictions = no_such_restriction");
    let (_, error) = done(daemon.command(&["reload"]), 69);
    assert!(error.contains("no_such_restriction"), "{error}");
    _ = daemon.wait_for_log("not reloaded, nothing has changed");
    daemon.client().expect("HELO x.test", "250");
    assert!(done(daemon.command(&["check"]), 1).0.contains("no_such_restriction"));
}

#[test]
fn mailq_prints_what_tools_read() {
    let daemon = Daemon::start("mailq", DEFERRING);
    assert_eq!(ours(&daemon, &["mailq"]), "Mail queue is empty\n");
    assert_eq!(ours(&daemon, &["postqueue", "-j"]), "");
    let id = deferred(&daemon, "", &["x@far.test", "y@far.test"]);
    let listed = ours(&daemon, &["postqueue", "-p"]);
    assert!(listed.starts_with(HEADING), "{listed}");
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[1].starts_with(&format!("{id:<17} ")) && lines[1].ends_with(" MAILER-DAEMON"), "{listed}");
    assert!(lines[2].trim_start().starts_with("(connect to 127.0.0.1"), "{listed}");
    assert_eq!(lines[3], format!("{:47}x@far.test", ""));
    assert_eq!(lines[4], format!("{:47}y@far.test", ""));
    assert_eq!(&lines[5..], ["", "-- 0 Kbytes in 1 Request."]);
    let line = ours(&daemon, &["postqueue", "-j"]);
    let message: serde_json::Value = serde_json::from_str(&line).expect("one object a line");
    assert_eq!(message["queue_name"], "deferred");
    assert_eq!(message["forced_expire"], false);
    assert_eq!(message["sender"], "MAILER-DAEMON");
    assert_eq!(message["recipients"][0]["address"], "x@far.test");
    assert!(
        message["recipients"][1]["delay_reason"].as_str().expect("a reason").contains("Connection refused")
    );
    // Held mail is marked, as by postqueue(1).
    _ = said(&daemon, &["postsuper", "-h", &id]);
    assert!(ours(&daemon, &["mailq"]).contains(&format!("{:<17} ", format!("{id}!"))));
}

#[test]
fn postsuper_holds_releases_requeues_and_deletes() {
    let daemon = Daemon::start("postsuper", DEFERRING);
    let first = deferred(&daemon, "a@here.test", &["x@far.test"]);
    let second = deferred(&daemon, "b@here.test", &["x@far.test"]);
    assert_eq!(
        said(&daemon, &["postsuper", "-h", &first]),
        format!("postsuper: {first}: placed on hold\npostsuper: Placed on hold: 1 message\n")
    );
    assert_eq!(queue_of(&daemon, &first), "hold");
    // Twice is once.
    assert_eq!(said(&daemon, &["postsuper", "-h", &first]), "postsuper: Placed on hold: 0 messages\n");
    assert_eq!(
        said(&daemon, &["postsuper", "-H", "ALL", "deferred"]),
        "postsuper: Released from hold: 0 messages\n"
    );
    assert_eq!(
        said(&daemon, &["postsuper", "-H", "ALL", "hold"]),
        "postsuper: Released from hold: 1 message\n"
    );
    assert_eq!(said(&daemon, &["postsuper", "-r", "ALL"]), "postsuper: Requeued: 2 messages\n");
    // Ids from standard input; one that is none is a warning.
    let mut command = Command::new(binary("postrider"));
    command.args(["postsuper", "-c"]).arg(daemon.config()).args(["-d", "-"]);
    let (_, error) = run_with(&mut command, &format!("{second}\n../x\n"), 0);
    assert_eq!(
        error,
        format!(
            "postsuper: {second}: removed\npostsuper: warning: invalid mail queue id: ../x\n\
             postsuper: Deleted: 1 message\n"
        )
    );
    assert_eq!(ids(&daemon), [first.as_str()]);
    let (_, error) = done(daemon.command(&["postsuper", "-d", "ALL", "bogus"]), 1);
    assert_eq!(error, "postsuper: fatal: invalid directory name: bogus\n");
    assert_eq!(said(&daemon, &["postsuper", "-d", "ALL"]), "postsuper: Deleted: 1 message\n");
    assert_eq!(ours(&daemon, &["mailq"]), "Mail queue is empty\n");
}

#[test]
fn queue_has_one_verb_for_each_order() {
    let daemon = Daemon::start("queue", DEFERRING);
    let id = deferred(&daemon, "a@here.test", &["x@far.test"]);
    assert_eq!(ours(&daemon, &["queue", "hold", &id]), "1 message placed on hold\n");
    assert_eq!(ours(&daemon, &["queue", "list", "deferred"]), "Mail queue is empty\n");
    assert!(ours(&daemon, &["queue", "list", "hold"]).contains(&id));
    assert_eq!(ours(&daemon, &["queue", "--json", "release", &id]), "{\"messages\": 1}\n");
    assert_eq!(ours(&daemon, &["queue", "requeue", "ALL"]), "1 message requeued\n");
    wait_for("another attempt", || (daemon.log().matches("status=deferred").count() >= 2).then_some(()));
    _ = done(daemon.command(&["queue", "delete", "all-of-it"]), 64);
    assert_eq!(ours(&daemon, &["queue", "delete", &id, "hold"]), "1 message deleted\n");
    assert!(daemon.wait_for_log(&format!("{id}: removed")).contains("postsuper"));
}

#[test]
fn a_flush_tries_what_it_names_now() {
    let daemon = Daemon::start("flush", DEFERRING);
    let near = deferred(&daemon, "a@here.test", &["x@near.test"]);
    let far = deferred(&daemon, "a@here.test", &["x@far.test"]);
    let tries = |id: &str| daemon.log().matches(&format!("{id}: to=")).count();
    _ = ours(&daemon, &["postqueue", "-s", "near.test"]);
    wait_for("a second attempt", || (tries(&near) == 2).then_some(()));
    _ = ours(&daemon, &["postqueue", "-i", &near]);
    wait_for("a third attempt", || (tries(&near) == 3).then_some(()));
    assert_eq!(tries(&far), 1);
    _ = ours(&daemon, &["postqueue", "-f"]);
    wait_for("attempts for both", || (tries(&near) == 4 && tries(&far) == 2).then_some(()));
    let (_, error) = done(daemon.command(&["postqueue", "-i", "../x"]), 69);
    assert_eq!(error, "postqueue: fatal: Cannot flush queue ID - invalid name: \"../x\"\n");
    _ = done(daemon.command(&["postqueue", "-x"]), 64);
}

#[test]
fn postcat_shows_what_will_be_sent() {
    let daemon = Daemon::start("postcat", DEFERRING);
    let id = deferred(&daemon, "a@here.test", &["x@far.test"]);
    let all = ours(&daemon, &["postcat", "-q", &id]);
    for line in [
        &format!("*** ENVELOPE RECORDS {id} ***"),
        "named_attribute: client_address=127.0.0.1",
        "sender: a@here.test",
        "original_recipient: x@far.test",
        "recipient: x@far.test",
        &format!("*** MESSAGE CONTENTS {id} ***"),
        "Subject: waits",
        "body",
        &format!("*** MESSAGE FILE END {id} ***"),
    ] {
        assert!(all.lines().any(|other| other == line), "{line} is not in\n{all}");
    }
    assert!(!all.contains('\r'));
    assert_eq!(ours(&daemon, &["postcat", "-qb", &id]), "\nbody\n");
    let header = ours(&daemon, &["postcat", "-h", "-q", &id]);
    assert!(header.starts_with("Received: from") && header.ends_with("From: a@here.test\n"), "{header}");
    assert!(ours(&daemon, &["postcat", "-bh", "-q", &id]).ends_with("From: a@here.test\n\nbody\n"));
    assert!(!ours(&daemon, &["postcat", "-qe", &id]).contains("body"));
    let shown: serde_json::Value =
        serde_json::from_str(&ours(&daemon, &["queue", "show", &id, "--json"])).expect("JSON");
    assert!(shown["content"].as_str().expect("content").ends_with("From: a@here.test\r\n\r\nbody\r\n"));
    _ = ours(&daemon, &["queue", "delete", &id]);
    _ = done(daemon.command(&["postcat", "-q", &id]), 69);
    _ = done(daemon.command(&["postcat", "-q", "no-id"]), 64);
}

#[test]
fn a_long_queue_is_listed_whole() {
    let daemon = Daemon::start(
        "long-queue",
        "smtpd_recipient_restrictions = check_recipient_access static:HOLD, permit",
    );
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    for number in 0..300 {
        let reply =
            client.transaction(&format!("s{number}@x.test"), &["me@here.test"], "A: b\r\n\r\nbody\r\n");
        assert!(reply.starts_with("250"), "{reply}");
    }
    assert_eq!(ids(&daemon).len(), 300);
    assert!(ours(&daemon, &["mailq"]).ends_with(" Requests.\n"));
    assert_eq!(said(&daemon, &["postsuper", "-H", "ALL"]), "postsuper: Released from hold: 300 messages\n");
    assert_eq!(daemon.wait_for_mail("me", 300).len(), 300);
}

#[test]
fn postmap_answers_as_the_daemon_would() {
    let daemon = Daemon::prepare("postmap", "", "");
    let file = |name: &str, text: &str| -> String {
        let path = daemon.path().join(name);
        std::fs::write(&path, text).expect("a scratch folder");
        path.display().to_string()
    };
    let table = file("table", "a@b\thello  world\n# a comment\nlong one,\n  two\n");
    let rules = file("rules", "/^(.*)@x\\.test$/  got $1\n");
    let aliases = file("aliases", "root: me, you\nlist: \"a b\"@x.test\n");
    let query =
        |tool: &str, key: &str, tables: &[&str]| daemon.command(&[&[tool, "-q", key], tables].concat());
    for kind in ["texthash", "hash", "lmdb"] {
        let name = format!("{kind}:{table}");
        assert_eq!(done(query("postmap", "A@B", &[&name]), 0).0, "hello  world\n");
        assert_eq!(done(query("postmap", "nobody", &[&name]), 1), Default::default());
    }
    assert_eq!(done(query("postmap", "long", &[&table]), 0).0, "one,  two\n");
    let (regexp, texthash) = (format!("regexp:{rules}"), format!("texthash:{table}"));
    assert_eq!(done(query("postmap", "me@x.test", &[&regexp]), 0).0, "got me\n");
    assert_eq!(done(query("postmap", "a@b", &[&regexp, &texthash]), 0).0, "hello  world\n");
    assert_eq!(done(query("postalias", "root", &[&format!("hash:{aliases}")]), 0).0, "me, you\n");
    let (_, error) = done(query("postmap", "x", &["regexp:/nowhere/at/all"]), 1);
    assert!(error.contains("open /nowhere/at/all: No such file or directory"), "{error}");
    let mut command = Command::new(binary("postrider"));
    command.args(["postmap", "-c"]).arg(daemon.config()).args(["-q", "-", &texthash]);
    assert_eq!(run_with(&mut command, "a@b\nnobody\nlong\n", 0).0, "a@b\thello  world\nlong\tone,  two\n");
}

#[test]
fn commands_about_tables_need_no_master_cf() {
    let daemon = Daemon::prepare("postmap-alone", "alias_database = inline:{me=you}\n", "");
    std::fs::remove_file(daemon.config().join("master.cf")).expect("it was written");
    let table = "inline:{a=b}";
    assert_eq!(done(daemon.command(&["postmap", "-q", "a", table]), 0).0, "b\n");
    assert_eq!(done(daemon.command(&["map", "-q", "a", table]), 0).0, "b\n");
    assert_eq!(done(daemon.command(&["postalias", "-q", "a", table]), 0).0, "b\n");
    done(daemon.command(&["newaliases"]), 0);
    // Others do, and without main.cf nothing goes.
    assert!(done(daemon.command(&["queue", "list"]), 78).1.contains("master.cf: No such file"));
    std::fs::remove_file(daemon.config().join("main.cf")).expect("it was written");
    let (_, error) = done(daemon.command(&["postmap", "-q", "a", table]), 78);
    assert!(
        error.contains("main.cf: No such file or directory; name the directory of main.cf with"),
        "{error}"
    );
}

#[test]
fn where_postfix_compiles_a_table_its_text_is_checked() {
    let daemon = Daemon::prepare("postmap-checks", "", "");
    let file = |name: &str, text: &str| -> String {
        let path = daemon.path().join(name);
        std::fs::write(&path, text).expect("a scratch folder");
        path.display().to_string()
    };
    let table = file("table", "A@b one\nonly-a-key\na@B two\nx: y\n");
    let aliases = file("aliases", "root: me\nnobody\n");
    let run = |words: &[&str], status| done(daemon.command(words), status);
    let (told, warned) = run(&["postmap", &table], 0);
    assert_eq!(
        told,
        format!("postmap: hash:{table}: 2 entries; its text is used as it is, no indexed file is needed\n")
    );
    assert!(
        warned.contains(&format!("postmap: warning: {table}, line 2: \"only-a-key\": expected format")),
        "{warned}"
    );
    assert!(warned.contains(&format!("{table}, line 3: duplicate entry: \"a@b\"; remove one")), "{warned}");
    assert!(warned.contains(&format!("{table}, line 4: record is in \"key: value\" format")), "{warned}");
    // -w says nothing of duplicates; -r would make the last one count, which does not happen here.
    assert!(!run(&["postmap", "-w", &table], 0).1.contains("duplicate"));
    assert!(
        run(&["postmap", "-r", &table], 1)
            .1
            .contains("line 3: duplicate entry: \"a@b\": the first one counts")
    );
    assert!(run(&["postalias", &aliases], 0).1.contains("line 2: need name:value pair"));
    // A dump is in the order of keys.
    assert_eq!(run(&["postmap", "-s", &table], 0).0, "a@b\tone\nx:\ty\n");
    assert_eq!(run(&["postalias", "-s", &aliases], 0).0, "root:\tme\n");
    assert!(run(&["postmap", "-s", "static:x"], 1).1.contains("no list of keys to dump"));
    // What asks for what is done anyhow is taken; what would promise too much is not.
    assert_eq!(run(&["postmap", "-noNpuU", "-q", "a@b", &table], 0).0, "one\n");
    for (words, why) in [
        (["-d", "a@b"], "there is no indexed file to change: edit the text"),
        (["-i", "-w"], "there is no indexed file to change: edit the text"),
        (["-f", "-w"], "keys are always folded to lower case"),
        (["-h", "-w"], "not working yet"),
        (["-z", "-w"], "unknown option -z; usage: postmap"),
        (["-s", "-qa"], "specify only one of -s and -q"),
    ] {
        assert!(run(&["postmap", words[0], words[1], &table], 64).1.contains(why), "{words:?}");
    }
    assert!(run(&["postmap", "hsah:/x"], 1).1.contains("unknown table type \"hsah\"; there are hash"));
    assert!(run(&["postmap", "/nowhere"], 1).1.contains("fatal: open /nowhere: No such file or directory\n"));
}

#[test]
fn newaliases_checks_the_alias_database() {
    let daemon = Daemon::prepare("newaliases", "", "");
    let aliases = daemon.path().join("aliases");
    std::fs::write(&aliases, "root: me\nnobody\n").expect("a scratch folder");
    daemon.write_main_cf(&format!("alias_database = hash:{}", aliases.display()));
    let config = daemon.config().display().to_string();
    for words in [["newaliases", "-C", &config], ["sendmail", "-bi", &format!("-C{config}")]] {
        let output = Command::new(binary("postrider")).args(words).stdin(Stdio::null()).output();
        let (told, warned) = done(output.expect("the command runs"), 0);
        assert!(told.contains(": 1 entries; its text is used as it is"), "{told}");
        assert!(warned.contains("line 2: need name:value pair"), "{warned}");
    }
}

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

fn spool(daemon: &Daemon) -> PathBuf {
    daemon.path().join("spool/postrider")
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

/// Runs a shell line as nobody; for root only, since nobody else may become somebody.
#[track_caller]
fn as_nobody(line: &str, status: i32) -> (String, String) {
    done(Command::new("su").args(["-s", "/bin/sh", "nobody", "-c", line]).output().expect("su runs"), status)
}

#[test]
fn an_ordinary_user_sends_and_lists_and_changes_nothing() {
    if !nix::unistd::Uid::effective().is_root() {
        // Then every other test here is run by an ordinary user.
        return;
    }
    let daemon = Daemon::start("nobody", DEFERRING);
    let folder = daemon.path().join("bin");
    std::fs::create_dir(&folder).expect("a scratch folder");
    // The build may lie where nobody may look.
    let program = folder.join("postrider");
    std::fs::copy(binary("postrider"), &program).expect("a scratch folder");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let (program, config) = (program.display(), daemon.config().display().to_string());
    let id = deferred(&daemon, "a@here.test", &["x@far.test"]);
    assert!(as_nobody(&format!("{program} mailq -C {config}"), 0).0.contains(&id));
    _ = as_nobody(&format!("{program} postqueue -c {config} -f"), 0);
    _ = as_nobody(&format!("{program} status -c {config}"), 0);
    let read_one = format!("postcat -q {id}");
    let forbidden = [
        "postsuper -d ALL",
        "queue hold ALL",
        "queue export ALL",
        "queue import",
        &read_one,
        "stop",
        "reload",
    ];
    for words in forbidden {
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        let (_, error) = as_nobody(&format!("{program} {verb} -c {config} {rest}"), 69);
        assert!(error.contains("only root and mail_owner may do this"), "{words}: {error}");
    }
    _ = as_nobody(
        &format!("printf 'Subject: x\\n\\nbody\\n' | {program} sendmail -C {config} you@here.test"),
        0,
    );
    let mail = text(&daemon.wait_for_mail("you", 1)[0]);
    assert!(mail.contains("Return-Path: <nobody@") && mail.contains("from userid"), "{mail}");
    // Who may write to the maildrop cannot look into it.
    let drop = spool(&daemon).join("maildrop");
    assert_eq!(std::fs::metadata(&drop).expect("a maildrop").mode() & 0o7777, 0o1733);
    let (_, error) = as_nobody(&format!("ls {}", drop.display()), 2);
    assert!(error.contains("Permission denied"), "{error}");
}

fn link(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    if !path.exists() {
        symlink(binary("postrider"), &path).expect("a scratch folder");
    }
    path
}

#[test]
fn the_binary_answers_to_postfix_s_names() {
    let daemon = Daemon::start("names", DEFERRING);
    let id = deferred(&daemon, "a@here.test", &["x@far.test"]);
    let config = daemon.config().display().to_string();
    let call = |name: &str, words: &[&str], status: i32| {
        run_with(Command::new(link(daemon.path(), name)).args(words), "Subject: x\n\nbody\n", status)
    };
    assert!(call("mailq", &["-C", &config], 0).0.contains(&id));
    assert!(call("postqueue", &["-c", &config, "-p"], 0).0.contains(&id));
    assert!(call("postcat", &["-c", &config, "-q", &id], 0).0.contains("Subject: waits"));
    assert_eq!(call("postconf", &["-c", &config, "-h", "mydomain"], 0).0, "here.test\n");
    assert_eq!(call("postmap", &["-c", &config, "-q", "x", "static:y"], 0).0, "y\n");
    _ = call("newaliases", &["-C", &config], 0);
    _ = call("sendmail", &["-C", &config, "you@here.test"], 0);
    _ = daemon.wait_for_mail("you", 1);
    assert!(call("postsuper", &["-c", &config, "-d", "ALL"], 0).1.contains("Deleted: 1 message"));
    assert!(call("postfix", &["-c", &config, "status"], 0).0.contains("runs as process"));
    assert!(call("postfix", &["-c", &config, "check"], 0).0.contains("0 errors"));
}

#[test]
fn source_and_sink_meet_the_daemon_from_both_sides() {
    let sink_port = postrider_tests::free_port();
    let mut sink = Command::new(binary("postrider"))
        .args(["sink", "-c", "-m", "20", &format!("127.0.0.1:{sink_port}")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the sink runs");
    wait_for("the sink to listen", || std::net::TcpStream::connect(("127.0.0.1", sink_port)).ok());
    let daemon = Daemon::start("load", &format!("relayhost = [127.0.0.1]:{sink_port}"));
    let target = format!("127.0.0.1:{}", daemon.port);
    let words = ["source", "-s", "4", "-m", "20", "-l", "5000", "-t", "x@far.test", &target];
    let (out, _) = run_with(Command::new(binary("postrider")).args(words), "", 0);
    assert!(out.starts_with("20 messages in "), "{out}");
    assert_eq!(wait_for("the sink to end", || sink.try_wait().expect("ours")).code(), Some(0));
    assert_eq!(text(&sink.wait_with_output().expect("ours").stdout), "20\n");
}

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
    let daemon = Daemon::start("grep", "syslog_name = mx-1");
    let reply = daemon.client().deliver("a@x.test", &["you@here.test"], "Message-Id: <1@x>\r\n\r\nbody\r\n");
    let id = reply.trim_end().rsplit(' ').next().expect("an id").to_owned();
    _ = daemon.wait_for_log(&format!("{id}: removed"));
    let log = daemon.log();
    let life: Vec<&str> = log.lines().filter(|line| line.contains(&id)).collect();
    let expected = [
        format!("mx-1/smtpd[*]: {id}: client=localhost[127.0.0.1]"),
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
