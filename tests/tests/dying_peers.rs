//! Peers that die at every stage of a session: nothing is lost, nothing half is kept, and nothing comes twice unless the
//! reply that would have prevented it was lost.

use postrider_tests::daemon::Daemon;
use postrider_tests::server::{Answer, Server};
use postrider_tests::wait_for;
use std::fs;
use std::path::PathBuf;

/// The verb at which the first session dies, how, and how many copies the server has in the end.
fn relay_to_a_server_that_dies(stage: &str, verb: &'static str, death: &Answer, copies: usize) {
    let how = death.clone();
    let server = Server::scripted(move |line, before| {
        let at = line.split([' ', ':']).next().unwrap_or_default();
        if at == verb && before == 0 { how.clone() } else { Answer::Usual }
    });
    let relay = format!("relayhost = [127.0.0.1]:{}", server.address.port());
    let daemon = Daemon::start(&format!("dies-{stage}"), &relay);
    // Two messages, one large enough to be on its way when the server dies.
    let body = "A line of text that fills the message.\r\n".repeat(6_000);
    let content = format!("Subject: survives\r\nX-Stage: {stage}\r\n\r\n{body}");
    let reply = daemon.client().deliver("me@here.test", &["one@far.test", "two@far.test"], &content);
    assert!(reply.starts_with("250"), "{reply}");
    let id = reply.trim_end().rsplit(' ').next().expect("a queue id").to_owned();
    // A server that dies after its reply has done all it had to.
    if *death != Answer::ReplyAndHangup {
        let line = daemon.wait_for_log("status=deferred");
        assert!(line.contains(&id), "{line}");
        assert!(line.contains("dsn=4.") && line.contains("lost connection with"), "{line}");
        wait_for("the message to be listed as deferred", || {
            let list = daemon.command(&["queue", "list", "deferred"]);
            String::from_utf8_lossy(&list.stdout).contains(&id).then_some(())
        });
        let flushed = daemon.command(&["queue", "flush"]);
        assert!(flushed.status.success(), "{flushed:?}");
    }
    let taken = server.wait(copies);
    _ = daemon.wait_for_log(&format!("{id}: removed"));
    assert_eq!(server.count(), copies, "{:?}", server.heard());
    for message in taken {
        assert_eq!(message.recipients.len(), 2);
        let end = message.content.len() - body.len();
        assert!(message.content[end..] == *body.as_bytes(), "the content of stage {stage} is whole");
    }
    let sent = daemon.log().lines().filter(|line| line.contains("status=sent")).count();
    assert_eq!(sent, 2, "each recipient ends once");
}

#[test]
fn next_hop_dies_before_the_greeting() {
    relay_to_a_server_that_dies("greeting", "GREETING", &Answer::Hangup, 1);
}

#[test]
fn next_hop_dies_at_ehlo() {
    relay_to_a_server_that_dies("ehlo", "EHLO", &Answer::Hangup, 1);
}

#[test]
fn next_hop_dies_at_mail() {
    relay_to_a_server_that_dies("mail", "MAIL", &Answer::Hangup, 1);
}

#[test]
fn next_hop_dies_at_rcpt() {
    relay_to_a_server_that_dies("rcpt", "RCPT", &Answer::Hangup, 1);
}

#[test]
fn next_hop_dies_at_data() {
    relay_to_a_server_that_dies("data", "DATA", &Answer::Hangup, 1);
}

#[test]
fn next_hop_dies_in_the_content() {
    relay_to_a_server_that_dies("content", "DATA", &Answer::HangupInContent(50_000), 1);
}

#[test]
fn next_hop_dies_with_the_reply_unsaid() {
    // The only stage at which a second copy is allowed, and owed: it may not have kept the first.
    relay_to_a_server_that_dies("dot", ".", &Answer::TakeAndHangup, 2);
}

#[test]
fn next_hop_dies_after_its_reply() {
    relay_to_a_server_that_dies("replied", ".", &Answer::ReplyAndHangup, 1);
}

#[test]
fn next_hop_that_refuses_one_of_two_gets_no_second_copy_for_the_other() {
    let server = Server::scripted(|line, before| match line {
        line if line.starts_with("RCPT TO:<two") && before < 2 => {
            Answer::Say("450 4.2.0 later\r\n".to_owned())
        }
        _ => Answer::Usual,
    });
    let relay = format!("relayhost = [127.0.0.1]:{}", server.address.port());
    let daemon = Daemon::start("refuses-one", &relay);
    let reply = daemon.client().deliver(
        "me@here.test",
        &["one@far.test", "two@far.test"],
        "Subject: x\r\n\r\nbody\r\n",
    );
    assert!(reply.starts_with("250"), "{reply}");
    let line = daemon.wait_for_log("status=deferred");
    assert!(line.contains("to=<two@far.test>") && line.contains("said: 450 4.2.0 later"), "{line}");
    assert!(daemon.command(&["queue", "flush"]).status.success());
    let taken = server.wait(2);
    _ = daemon.wait_for_log(": removed");
    let recipients: Vec<_> = taken.iter().map(|message| message.recipients.join(" ")).collect();
    assert_eq!(recipients.len(), 2);
    assert!(
        recipients[0].starts_with("<one@far.test>") && recipients[1].starts_with("<two@far.test>"),
        "{recipients:?}"
    );
}

#[test]
fn messages_after_a_death_go_their_way() {
    // Every third DATA is answered by the end of the connection.
    let server =
        Server::scripted(
            |line, before| if line == "DATA" && before % 3 == 2 { Answer::Hangup } else { Answer::Usual },
        );
    let relay = format!("relayhost = [127.0.0.1]:{}", server.address.port());
    let daemon = Daemon::start("many-deaths", &relay);
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    for number in 0..30 {
        let to = format!("reader{number}@far{number}.test");
        let reply = client.transaction("me@here.test", &[&to], "Subject: x\r\n\r\nbody\r\n");
        assert!(reply.starts_with("250"), "{reply}");
    }
    wait_for("all messages to arrive, with a flush now and then", || {
        _ = daemon.command(&["queue", "flush"]);
        (server.count() >= 30).then_some(())
    });
    wait_for("all messages to end", || (daemon.log().matches(": removed").count() == 30).then_some(()));
    assert_eq!(server.count(), 30);
}

fn contents(daemon: &Daemon) -> Vec<PathBuf> {
    let folder = daemon.path().join("spool/postrider/contents");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

#[test]
fn clients_that_die_leave_nothing() {
    let daemon = Daemon::start("clients-die", "");
    let large = "A line of text that fills the message.\r\n".repeat(20_000);
    let chunk = format!("BDAT {}\r\n{large}", large.len());
    let last = format!("BDAT {} LAST\r\n{large}", large.len() + 1);
    let large = format!("Subject: x\r\n\r\n{large}");
    let (ehlo, mail, rcpt) =
        ("EHLO client.test\r\n", "MAIL FROM:<me@here.test>\r\n", "RCPT TO:<you@here.test>\r\n");
    let data = [ehlo, mail, rcpt, "DATA\r\n"];
    // Each step but the last is answered; then the client dies.
    let stages: Vec<Vec<&str>> = vec![
        vec![""],
        vec!["EHLO client"],
        vec![ehlo],
        vec![ehlo, mail],
        vec![ehlo, mail, rcpt],
        vec![ehlo, mail, rcpt, "RCPT TO:<you@here"],
        data.to_vec(),
        [&data[..], &["Subject: x\r\n\r\nhalf a line"]].concat(),
        [&data[..], &["Subject: x\r\n\r\nbody\r\n"]].concat(),
        [&data[..], &["Subject: x\r\n\r\nbody\r\n."]].concat(),
        [&data[..], &["Subject: x\r\n\r\nbody\r\n.\r"]].concat(),
        [&data[..], &["Subject: x\r\n\r\nbody\n.\n"]].concat(),
        [&data[..], &[&large]].concat(),
        vec![ehlo, mail, rcpt, "BDAT 100\r\nSubject: x\r\n\r\n"],
        vec![ehlo, mail, rcpt, &chunk],
        vec![ehlo, mail, rcpt, &chunk, "RSET\r\n"],
        vec![ehlo, mail, rcpt, &chunk, &last],
    ];
    for (number, stage) in stages.iter().enumerate() {
        for reset in [false, true] {
            let mut client = daemon.client();
            for (index, step) in stage.iter().enumerate() {
                client.send(step.as_bytes());
                if index + 1 < stage.len() {
                    let reply = client.reply();
                    assert!(reply.starts_with("250") || reply.starts_with("354"), "stage {number}: {reply}");
                }
            }
            if reset {
                // With replies unread, the kernel answers the daemon with a reset.
                drop(client);
            } else {
                client.fall_silent();
                let said = String::from_utf8_lossy(&client.rest()).into_owned();
                assert!(!said.contains("queued as"), "stage {number}: {said}");
            }
        }
    }
    let sessions = stages.len() * 2;
    wait_for("all sessions to end", || {
        (daemon.log().matches("disconnect from").count() == sessions).then_some(())
    });
    assert_eq!(contents(&daemon), Vec::<PathBuf>::new());
    assert_eq!(fs::read_dir(daemon.mail()).expect("the folder of Maildirs").count(), 0);
    let list = daemon.command(&["queue", "list"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("is empty"), "{list:?}");
    assert_eq!(daemon.log().matches("(queue active)").count(), 0);
    // And the daemon is well.
    let reply = daemon.client().deliver("me@here.test", &["you@here.test"], "Subject: alive\r\n\r\nyes\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    _ = daemon.wait_for_mail("you", 1);
}

#[test]
fn a_large_message_leaves_no_content_behind_once_delivered() {
    let daemon = Daemon::start("contents", "");
    let large = format!("Subject: large\r\n\r\n{}", "A line of text.\r\n".repeat(60_000));
    let reply = daemon.client().deliver("me@here.test", &["you@here.test"], &large);
    assert!(reply.starts_with("250"), "{reply}");
    _ = daemon.wait_for_mail("you", 1);
    _ = daemon.wait_for_log(": removed");
    wait_for("its content to go", || contents(&daemon).is_empty().then_some(()));
}
