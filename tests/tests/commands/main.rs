//! The commands, as people and their tools use them.

mod life;
mod maps;
mod queue;
mod submitting;

use nix::sys::signal::Signal;
use postrider_tests::daemon::Daemon;
use postrider_tests::server::{Answer, Server};
use postrider_tests::{binary, wait_for};
use std::io::{BufRead as _, BufReader, Write as _};
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
#[expect(clippy::needless_pass_by_value, reason = "callers have no further use for it")]
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

fn spool(daemon: &Daemon) -> PathBuf {
    daemon.path().join("spool/postrider")
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

/// Runs a shell line as nobody; for root only, since nobody else may become somebody.
#[track_caller]
fn as_nobody(line: &str, status: i32) -> (String, String) {
    done(Command::new("su").args(["-s", "/bin/sh", "nobody", "-c", line]).output().expect("su runs"), status)
}

#[test]
fn an_ordinary_user_sends_and_lists_and_changes_nothing() {
    assert!(nix::unistd::Uid::effective().is_root(), "only root may become nobody: run this test as root");
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
    let mut command = Command::new(link(daemon.path(), "mailq"));
    assert!(run_with(command.env("MAIL_CONFIG", &config), "", 0).0.contains(&id));
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
        .args(["sink", "-cv", "-m100", "-M", "20", &format!("inet:[127.0.0.1]:{sink_port}"), "100"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the sink runs");
    wait_for("the sink to listen", || std::net::TcpStream::connect(("127.0.0.1", sink_port)).ok());
    let daemon = Daemon::start("load", &format!("relayhost = [127.0.0.1]:{sink_port}"));
    let target = format!("inet:127.0.0.1:{}", daemon.port);
    let words = ["source", "-s", "4", "-m", "20", "-l", "5000", "-t", "x@far.test", &target];
    let (out, _) = run_with(Command::new(binary("postrider")).args(words), "", 0);
    assert!(out.starts_with("20 messages in "), "{out}");
    assert_eq!(wait_for("the sink to end", || sink.try_wait().expect("ours")).code(), Some(0));
    assert_eq!(text(&sink.wait_with_output().expect("ours").stdout), "20\n");
}

#[test]
fn source_and_sink_refuse_what_does_not_work() {
    for (words, wanted) in [
        (&["sink", "-L", ":2525", "100"][..], "option -L does not work; usage: sink"),
        (&["sink", "-cq", "DATA", ":2525", "100"], "option -q does not work; usage: sink"),
        (&["sink", ":2525", "many"], "usage: sink"),
        (&["sink", "-m", "0", ":2525"], "usage: sink"),
        (&["sink"], "usage: sink"),
        (&["sink", "unix:/run/sink", "100"], "unix:/run/sink: sockets of the file system do not work"),
        (&["sink", "::1:2525", "100"], "::1:2525: an IPv6 address stands in brackets"),
        (&["source", "-S", "subject", "here.test"], "option -S does not work; usage: source"),
        (&["source", "-m"], "usage: source"),
        (&["source", "here.test:lmtp"], "here.test:lmtp: the port is no number"),
    ] {
        let (_, error) = run_with(Command::new(binary("postrider")).args(words), "", 64);
        assert!(error.starts_with(wanted), "{words:?}: {error}");
    }
}
