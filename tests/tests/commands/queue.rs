//! mailq, postqueue, postsuper, postcat and `queue`: the queue is listed and changed.

use super::*;

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

/// The id of the message that has taken over from one that was requeued, which is gone.
fn requeued(daemon: &Daemon, id: &str) -> String {
    let line = daemon.wait_for_log(&format!(": requeued, was {id}"));
    _ = daemon.wait_for_log(&format!("{id}: removed"));
    let (before, _) = line.split_once(": requeued, was").expect("it was found so");
    before.rsplit(' ').next().expect("an id").to_owned()
}

#[test]
fn requeued_mail_goes_through_aliases_and_rewriting_as_they_are_now() {
    let daemon = Daemon::prepare("requeue", DEFERRING, "");
    let aliases = daemon.config().join("virtual");
    std::fs::write(&aliases, "").expect("a scratch folder");
    let main = std::fs::read_to_string(daemon.config().join("main.cf")).expect("it was made");
    let more =
        format!("virtual_alias_maps = texthash:{}\nalways_bcc = keeper@here.test\n", aliases.display());
    std::fs::write(daemon.config().join("main.cf"), main + &more).expect("a scratch folder");
    let mut daemon = daemon;
    daemon.run();
    let id = deferred(&daemon, "a@here.test", &["x@far.test", "other@far.test"]);
    let before = ours(&daemon, &["postcat", "-bh", "-q", &id]);
    std::fs::write(&aliases, "x@far.test one@here.test, two@here.test\n").expect("a scratch folder");
    _ = ours(&daemon, &["reload"]);
    assert_eq!(
        said(&daemon, &["postsuper", "-r", &id]).lines().last(),
        Some("postsuper: Requeued: 1 message")
    );
    let new = requeued(&daemon, &id);
    for user in ["one", "two"] {
        let mail = text(&daemon.wait_for_mail(user, 1)[0]);
        assert_eq!(mail.matches("Received: ").count(), 1, "it has its trace already: {mail}");
        assert!(mail.contains("Subject: waits"), "{mail}");
    }
    // The other stays, as the same message under another name.
    _ = daemon.wait_for_log(&format!("{new}: to=<other@far.test>"));
    assert_eq!(ids(&daemon), [new.as_str()]);
    assert_eq!(ours(&daemon, &["postcat", "-bh", "-q", &new]), before);
    assert_eq!(daemon.wait_for_mail("keeper", 1).len(), 1, "nobody gets a second copy for it");
    assert!(!daemon.log().contains("requeued as"), "that is no delivery");
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
    let [first, second] = [&first, &second].map(|id| requeued(&daemon, id));
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
    let id = requeued(&daemon, &id);
    _ = daemon.wait_for_log(&format!("{id}: to=<x@far.test>"));
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
