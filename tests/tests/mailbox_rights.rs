//! Whose rights a mailbox file is written with, and what happens when deliveries to one meet.
//!
//! A path that an alias or a `.forward` names may lead anywhere: whatever it leads to is opened with the rights of the user alone. Only in
//! `mail_spool_directory` are locks and missing mailboxes made for the users, who may make no files there. Needs root, as CI has it.

use postrider_tests::daemon::Daemon;
use postrider_tests::namespace::USER;
use postrider_tests::server::Server;
use postrider_tests::{Scratch, wait_for};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

fn user(name: &str) -> nix::unistd::User {
    nix::unistd::User::from_name(name).ok().flatten().unwrap_or_else(|| panic!("Debian has the user {name}"))
}

/// A folder that belongs to root, as /etc does.
fn folder(path: &Path, mode: u32) {
    assert!(
        nix::unistd::Uid::effective().is_root(),
        "deliveries to several users need root: run this test as root"
    );
    fs::create_dir_all(path).expect("a scratch folder");
    chown(path, Some(0), Some(0)).expect("we are root");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("we are root");
}

fn send(daemon: &Daemon, recipient: &str, count: usize) {
    let mut client = daemon.client();
    client.expect("EHLO client.example", "250");
    for number in 0..count {
        let content = format!("Subject: number {number}\r\n\r\nbody\r\n");
        let reply = client.transaction("a@client.example", &[recipient], &content);
        assert!(reply.starts_with("250"), "{reply}");
    }
}

fn delivering(name: &str, lines: &str) -> Daemon {
    Daemon::start(name, &format!("local_transport = local\nmailbox_command =\n{lines}"))
}

#[test]
fn a_path_that_an_alias_names_is_opened_with_the_users_rights_alone() {
    let scratch = Scratch::new("rights-of-root");
    let of_root = scratch.path().join("etc");
    folder(&of_root, 0o755);
    fs::write(of_root.join("precious.lock"), "not a lock of a mailbox").expect("we are root");
    let root = of_root.display();
    let daemon = delivering(
        "rights",
        &format!(
            "alias_maps = inline:{{ {{ fresh = {root}/cron }} {{ locked = {root}/precious }} }}\n\
             deliver_lock_attempts = 2"
        ),
    );
    send(&daemon, "fresh@here.test", 1);
    send(&daemon, "locked@here.test", 1);
    let log = wait_for("both to be deferred", || {
        Some(daemon.log()).filter(|log| log.matches("status=deferred").count() == 2)
    });
    assert!(log.contains("cannot update mailbox"), "{log}");
    let left: Vec<_> =
        fs::read_dir(&of_root).expect("ours").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["precious.lock"], "nothing was made, nothing removed");
}

#[test]
fn in_the_mail_spool_a_missing_mailbox_is_made_for_its_user() {
    let scratch = Scratch::new("rights-of-spool");
    let spool = scratch.path().join("mail");
    folder(&spool, 0o755);
    let daemon = delivering("rights-spool", &format!("mail_spool_directory = {}", spool.display()));
    send(&daemon, &format!("{USER}@here.test"), 1);
    let mailbox = spool.join(USER);
    let data = wait_for("the mailbox", || fs::metadata(&mailbox).ok().filter(|data| data.len() > 0));
    assert_eq!((data.uid(), data.mode() & 0o777), (user(USER).uid.as_raw(), 0o600));
    _ = daemon.wait_for_log("delivered to mailbox");
    assert!(!spool.join(format!("{USER}.lock")).exists(), "the lock is given back");
}

#[test]
fn a_mailbox_has_the_group_of_a_spool_that_gives_it() {
    let scratch = Scratch::new("rights-group");
    let spool = scratch.path().join("mail");
    folder(&spool, 0o755);
    let mail = nix::unistd::Group::from_name("mail").ok().flatten().expect("Debian has the group mail").gid;
    chown(&spool, Some(0), Some(mail.as_raw())).expect("we are root");
    fs::set_permissions(&spool, fs::Permissions::from_mode(0o2775)).expect("we are root");
    let daemon = delivering("rights-group", &format!("mail_spool_directory = {}", spool.display()));
    send(&daemon, &format!("{USER}@here.test"), 1);
    _ = daemon.wait_for_log("delivered to mailbox");
    let data = fs::metadata(spool.join(USER)).expect("the mailbox");
    assert_eq!(
        (data.uid(), data.gid(), data.mode() & 0o777),
        (user(USER).uid.as_raw(), mail.as_raw(), 0o600)
    );
}

#[test]
fn deliveries_that_meet_at_a_mailbox_wait_for_each_other() {
    let scratch = Scratch::new("rights-meet");
    let spool = scratch.path().join("mail");
    folder(&spool, 0o755);
    let daemon = delivering("rights-meet", &format!("mail_spool_directory = {}", spool.display()));
    send(&daemon, &format!("{USER}@here.test"), 60);
    let mailbox = spool.join(USER);
    let text = wait_for("all of them", || {
        let text = fs::read_to_string(&mailbox).unwrap_or_default();
        (text.matches("\nFrom a@client.example ").count() + 1 >= 60).then_some(text)
    });
    for number in 0..60 {
        assert_eq!(text.matches(&format!("Subject: number {number}\n")).count(), 1);
    }
    assert!(!daemon.log().contains("status=deferred"), "{}", daemon.log());
}

#[test]
fn a_lock_that_another_program_holds_is_waited_for_and_a_stale_one_is_broken() {
    let scratch = Scratch::new("rights-locks");
    let spool = scratch.path().join("mail");
    folder(&spool, 0o755);
    let lock = spool.join(format!("{USER}.lock"));
    fs::write(&lock, "").expect("we are root");
    let daemon = delivering(
        "rights-locks",
        &format!(
            "mail_spool_directory = {}\ndeliver_lock_attempts = 2\ndeliver_lock_delay = 1\nstale_lock_time = 3600",
            spool.display()
        ),
    );
    send(&daemon, &format!("{USER}@here.test"), 1);
    _ = daemon.wait_for_log("is held");
    assert!(lock.exists(), "it is not ours to remove");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(4000);
    fs::File::open(&lock).and_then(|file| file.set_modified(old)).expect("we are root");
    let flushed = daemon.command(&["queue", "flush"]);
    assert!(flushed.status.success(), "{flushed:?}");
    _ = daemon.wait_for_log("delivered to mailbox");
    assert!(!lock.exists());
}

#[test]
fn a_list_is_read_with_the_rights_of_whoever_names_it_and_a_pipe_holds_nobody_up() {
    let scratch = Scratch::new("rights-lists");
    let root = scratch.path();
    folder(root, 0o755);
    fs::write(root.join("secret"), "top-secret-word\n").expect("we are root");
    fs::set_permissions(root.join("secret"), fs::Permissions::from_mode(0o600)).expect("we are root");
    fs::write(root.join("open"), "ann@here.test\n").expect("we are root");
    for (name, mode) in [("pipe", 0o666), ("closed-pipe", 0o600)] {
        let mode = nix::sys::stat::Mode::from_bits_truncate(mode);
        nix::unistd::mkfifo(&root.join(name), mode).expect("we are root");
    }
    let list = |name: &str| format!("{{ {name} = :include:{}/{name} }} ", root.display());
    let names = ["secret", "open", "pipe", "closed-pipe"].map(list).concat();
    let daemon =
        delivering("rights-lists", &format!("alias_maps = inline:{{ {names} {{ ann = /dev/null }} }}"));
    for name in ["secret", "pipe", "closed-pipe", "pipe", "closed-pipe", "open"] {
        send(&daemon, &format!("{name}@here.test"), 1);
    }
    let log = wait_for("five to be deferred, and a list to be read", || {
        let log = daemon.log();
        (log.matches("status=deferred").count() >= 5
            && log.contains("status=sent (delivered to file: /dev/null)"))
        .then_some(log)
    });
    assert!(!log.contains("top-secret-word"), "{log}");
}

#[test]
fn what_can_never_be_forwarded_fails_and_is_not_written_again() {
    let scratch = Scratch::new("rights-forward");
    let daemon = delivering(
        "rights-forward",
        &format!(
            "hopcount_limit = 4\nalias_maps = inline:{{ {{ both = {}/box, far@elsewhere.test }} }}",
            scratch.path().display()
        ),
    );
    let (uid, gid) = (user("nobody").uid.as_raw(), user("nobody").gid.as_raw());
    chown(scratch.path(), Some(uid), Some(gid)).expect("we are root");
    let mut client = daemon.client();
    let hops = "Received: from a by b\r\n".repeat(2);
    let reply =
        client.deliver("a@here.test", &["both@here.test"], &format!("{hops}Subject: far\r\n\r\nbody\r\n"));
    assert!(reply.starts_with("250"), "{reply}");
    let log = daemon.wait_for_log("to=<both@here.test>");
    assert!(log.contains("dsn=5.4.0, status=bounced (unable to forward message: "), "{log}");
    let mailbox = fs::read_to_string(scratch.path().join("box")).expect("the mailbox");
    assert_eq!(mailbox.matches("Subject: far").count(), 1, "{mailbox}");
}

#[test]
fn a_daemon_whose_helper_has_ended_stops_and_says_so() {
    let mut daemon = delivering("rights-helper", "");
    let status = String::from_utf8_lossy(&daemon.command(&["status"]).stdout).into_owned();
    assert!(status.contains(&format!("127.0.0.1:{}", daemon.port)), "{status}");
    let children = format!("/proc/{0}/task/{0}/children", daemon.process());
    let helper = fs::read_to_string(children).expect("a daemon that was started as root has a helper");
    let helper: i32 = helper.trim().parse().expect("one helper");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(helper), nix::sys::signal::Signal::SIGKILL)
        .expect("it runs");
    assert_eq!(daemon.wait(), Some(71));
    assert!(daemon.log().contains("the helper that keeps root has ended"), "{}", daemon.log());
}

#[test]
fn a_copy_beside_a_handover_is_sent() {
    let server = Server::start();
    let hop = format!("smtp:[127.0.0.1]:{}", server.address.port());
    let daemon = delivering(
        "handover",
        &format!(
            "mailbox_transport = {hop}\ntransport_maps = inline:{{ far.test={hop} }}\n\
             alias_maps = inline:{{ {{ {USER} = {USER}@here.test, copy@far.test }} }}"
        ),
    );
    send(&daemon, &format!("{USER}@here.test"), 1);
    let mut to: Vec<String> = server.wait(2).into_iter().flat_map(|taken| taken.recipients).collect();
    to.sort_unstable();
    assert!(to.len() == 2 && to[0].starts_with("<copy@far.test>"), "{to:?}");
    assert!(to[1].starts_with(&format!("<{USER}@here.test>")), "{to:?}");
}
