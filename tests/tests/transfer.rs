//! `queue export` and `queue import`: mail moves from one daemon to another while both run.

use nix::sys::signal::Signal;
use postrider_tests::binary;
use postrider_tests::daemon::Daemon;
use postrider_tests::server::{Answer, Server};
use std::fs::{self, File};
use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, RwLock};

/// Everything beyond this host is deferred: nobody listens there.
const DEFERRING: &str = "relayhost = [127.0.0.1]:1\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h";
/// The other host delivers what the first one defers.
const ELSEWHERE: &str = "mydestination = here.test, away.test\nnode_number = 7";

fn queue(daemon: &Daemon, words: &[&str]) -> Command {
    let mut command = Command::new(binary("postrider"));
    command.args(["queue", "-c"]).arg(daemon.config()).args(words);
    command
}

/// Exports into a file of the daemon's folder.
fn export(daemon: &Daemon, words: &[&str]) -> (Vec<u8>, String) {
    let path = daemon.path().join("export");
    let file = File::create(&path).expect("a scratch folder");
    let words = [&["export"], words].concat();
    let output = queue(daemon, &words).stdin(Stdio::null()).stdout(file).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    (fs::read(path).expect("it was written"), told)
}

fn import(daemon: &Daemon, octets: &[u8]) -> Output {
    let path = daemon.path().join("import");
    fs::write(&path, octets).expect("a scratch folder");
    queue(daemon, &["import"]).stdin(File::open(path).expect("it was written")).output().expect("it runs")
}

/// Old and new ids of what was taken in.
#[track_caller]
fn imported(output: &Output, status: i32) -> Vec<(String, String)> {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{out}{err}");
    let pair = |line: &str| line.split_once(' ').map(|(old, new)| (old.to_owned(), new.to_owned()));
    out.lines().filter_map(pair).collect()
}

fn list(daemon: &Daemon) -> Vec<serde_json::Value> {
    let output = daemon.command(&["postqueue", "-j"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

/// What stands behind the trace headers of a delivered message.
fn behind_trace(mail: &[u8]) -> String {
    let text = String::from_utf8_lossy(mail).into_owned();
    let at = text.find("Subject: ").unwrap_or_else(|| panic!("{text}"));
    text[at..].to_owned()
}

#[test]
fn mail_moves_to_another_host_and_is_delivered_there() {
    let here = Daemon::start("export", DEFERRING);
    let there = Daemon::start("import", ELSEWHERE);
    // One of two recipients has its mail; the other's waits. A large content has a file of its own.
    let large = "A line that is not short, and there are many of them.\r\n".repeat(8_000);
    let both = ["done@here.test", "waits@away.test"];
    _ = here.client().deliver("me@here.test", &both, "Subject: small\r\n\r\nbody\r\n");
    _ = here.client().deliver("", &["large@away.test"], &format!("Subject: large\r\n\r\n{large}"));
    _ = here.wait_for_mail("done", 1);
    postrider_tests::wait_for("two deferred messages", || {
        let listed = list(&here);
        let waits = |message: &serde_json::Value| {
            message["queue_name"] == "deferred" && !message["recipients"][0]["delay_reason"].is_null()
        };
        (listed.len() == 2 && listed.iter().all(waits)).then_some(())
    });
    let before = list(&here);

    let (octets, told) = export(&here, &["--hold", "ALL"]);
    assert_eq!(told, "");
    assert!(octets.starts_with(b"postrider queue export 1\n"), "{:?}", &octets[..40]);
    assert!(list(&here).iter().all(|message| message["queue_name"] == "hold"));
    let pairs = imported(&import(&there, &octets), 0);
    assert_eq!(pairs.len(), 2);
    // What was answered is durable: neither a crash nor a restart loses it.
    let mut there = there;
    there.signal(Signal::SIGKILL);
    _ = there.wait();
    there.run();
    let after = list(&there);
    assert_eq!(after.len(), 2);
    for (old, new) in before.iter().zip(&after) {
        let names =
            (old["queue_id"].as_str().unwrap().to_owned(), new["queue_id"].as_str().unwrap().to_owned());
        assert!(pairs.contains(&names), "{names:?} {pairs:?}");
        // The id says which node gave it; all else is as it was.
        assert!(names.1.ends_with("0007"), "{names:?}");
        for member in ["queue_name", "arrival_time", "message_size", "sender", "recipients"] {
            assert_eq!(old[member], new[member], "{member}");
        }
    }
    assert!(there.command(&["postqueue", "-f"]).status.success());
    // Octet by octet what the recipient who has it got here.
    let small = behind_trace(&there.wait_for_mail("waits", 1)[0]);
    assert_eq!(small, behind_trace(&here.delivered("done")[0]));
    let mail = behind_trace(&there.wait_for_mail("large", 1)[0]);
    assert!(mail.ends_with(&format!("\n\n{}", large.replace("\r\n", "\n"))), "{} octets", mail.len());
    // Who had the mail already does not get it again.
    assert_eq!(there.delivered("done").len(), 0);
    // Here it waits on hold until the operator deletes it.
    let ids: Vec<&str> = pairs.iter().map(|(old, _)| old.as_str()).collect();
    let words = [&["queue", "delete"], &ids[..]].concat();
    assert_eq!(String::from_utf8_lossy(&here.command(&words).stdout), "2 messages deleted\n");
}

#[test]
fn a_message_is_held_there_only_if_it_was_held_before_the_journey() {
    let here = Daemon::start("export-held", DEFERRING);
    let there = Daemon::start("import-held", ELSEWHERE);
    for user in ["held", "free"] {
        let to = format!("{user}@away.test");
        _ = here.client().deliver("me@here.test", &[&to], "Subject: x\r\n\r\nbody\r\n");
    }
    postrider_tests::wait_for("two deferred messages", || {
        let deferred = |message: &serde_json::Value| message["queue_name"] == "deferred";
        (list(&here).iter().filter(|message| deferred(message)).count() == 2).then_some(())
    });
    let held = list(&here)
        .iter()
        .find(|message| message["recipients"][0]["address"] == "held@away.test")
        .and_then(|message| message["queue_id"].as_str().map(str::to_owned))
        .expect("it is listed");
    assert!(here.command(&["queue", "hold", &held]).status.success());
    let (octets, _) = export(&here, &["--hold"]);
    assert_eq!(imported(&import(&there, &octets), 0).len(), 2);
    assert!(there.command(&["postqueue", "-f"]).status.success());
    _ = there.wait_for_mail("free", 1);
    let left = list(&there);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(
        (&left[0]["queue_name"], &left[0]["recipients"][0]["address"]),
        (&"hold".into(), &"held@away.test".into())
    );
}

#[test]
fn a_message_under_way_is_left_out_of_what_moves() {
    let door = Arc::new(RwLock::new(()));
    let shut = door.write().expect("nobody has failed");
    let inside = Arc::clone(&door);
    let server = Server::scripted(move |verb, _| {
        if verb == "DATA" {
            drop(inside.read());
        }
        Answer::Usual
    });
    let here = Daemon::start("export-active", &format!("relayhost = [127.0.0.1]:{}", server.address.port()));
    let there = Daemon::start("import-active", ELSEWHERE);
    _ = here.client().deliver("me@here.test", &["you@away.test"], "Subject: x\r\n\r\nbody\r\n");
    let at_data = || server.heard().iter().any(|line| line == "DATA");
    postrider_tests::wait_for("the delivery to ask for its turn", || at_data().then_some(()));
    let (octets, told) = export(&here, &["--hold"]);
    assert!(told.contains("it is being delivered, and left out; export it later"), "{told}");
    assert!(imported(&import(&there, &octets), 0).is_empty());
    drop(shut);
    assert_eq!(server.wait(1).len(), 1);
    postrider_tests::wait_for("its removal", || list(&here).is_empty().then_some(()));
}

#[test]
fn a_message_that_leaves_while_it_is_exported_is_left_out() {
    let here = Daemon::start("export-gone", &format!("{DEFERRING}\nmessage_size_limit = 0"));
    let there = Daemon::start("import-gone", &format!("{DEFERRING}\nnode_number = 7"));
    // More than pipes and sockets hold.
    let large =
        format!("Subject: large\r\n\r\n{}", "A line that is not short, and many.\r\n".repeat(400_000));
    _ = here.client().deliver("me@here.test", &["you@away.test"], &large);
    let id = postrider_tests::wait_for("a deferred message", || {
        let listed = list(&here);
        let deferred = listed.first().filter(|message| message["queue_name"] == "deferred")?;
        deferred["queue_id"].as_str().map(str::to_owned)
    });
    let mut child =
        queue(&here, &["export"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut out = child.stdout.take().expect("a pipe");
    let mut octets = vec![0; 1_000];
    out.read_exact(&mut octets).expect("the export begins");
    assert!(here.command(&["queue", "delete", &id]).status.success());
    let contents = here.path().join("spool/postrider/contents");
    postrider_tests::wait_for("its content to be removed", || {
        (fs::read_dir(&contents).ok()?.count() == 0).then_some(())
    });
    out.read_to_end(&mut octets).expect("a pipe");
    assert!(child.wait().expect("it is ours").success());
    assert!(
        octets.len() < large.len() && octets[octets.len() - 100..].windows(5).any(|line| line == b"gone\n")
    );
    assert!(imported(&import(&there, &octets), 0).is_empty());
    assert!(list(&there).is_empty());
}

#[test]
fn an_export_that_is_damaged_or_cut_leaves_no_half_of_a_message() {
    let here = Daemon::start("export-damaged", DEFERRING);
    let there = Daemon::start("import-damaged", &format!("{DEFERRING}\nnode_number = 7"));
    for subject in ["one", "two"] {
        let message = format!("Subject: {subject}\r\n\r\n{}", "text\r\n".repeat(50_000));
        _ = here.client().deliver("me@here.test", &["you@away.test"], &message);
    }
    let ids: Vec<String> = postrider_tests::wait_for("two messages", || {
        let ids: Vec<String> = list(&here)
            .iter()
            .filter_map(|message| message["queue_id"].as_str().map(str::to_owned))
            .collect();
        (ids.len() == 2).then_some(ids)
    });
    let (octets, _) = export(&here, &[&ids[0], &ids[1]]);
    let mut damaged = octets.clone();
    let last = damaged.len() - 100;
    damaged[last] ^= 1;
    for (export, why) in
        [(&damaged[..], "the export is damaged"), (&octets[..octets.len() - 2_000], "the export ends early")]
    {
        let output = import(&there, export);
        assert_eq!(imported(&output, 69).len(), 1, "the first message is whole");
        assert!(String::from_utf8_lossy(&output.stderr).contains(why), "{output:?}");
    }
    assert!(imported(&import(&there, b"From me Mon Jan 1\n\nan mbox\n"), 69).is_empty());
    assert_eq!(list(&there).len(), 2, "one of each file");
    // A content that belongs to no message is not left behind either.
    let contents = fs::read_dir(there.path().join("spool/postrider/contents")).expect("the spool");
    assert_eq!(contents.count(), 2);
}
