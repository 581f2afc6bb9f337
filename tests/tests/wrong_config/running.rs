//! The same while a daemon runs: at its port and its spool, at a reload, and in tables that change behind its back.

use super::{SERVICE, SYSTEM, run};
use nix::sys::signal::Signal;
use postrider_tests::daemon::Daemon;
use postrider_tests::wait_for;
use std::fs;

/// Mail that needs such a table waits with the client: it is neither lost nor let through.
#[test]
fn a_table_of_a_type_to_come_answers_try_again_later() {
    let daemon = Daemon::start("to-come-runs", "virtual_alias_maps = ldap:/etc/postfix/virtual.cf");
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect("MAIL FROM:<me@here.test>", "250");
    client.expect("RCPT TO:<you@here.test>", "451");
}

/// The table is right at start and wrong later: the daemon keeps running, and what would need it waits.
#[test]
fn a_table_that_begins_to_take_text_from_the_key_fails_its_lookups() {
    let daemon = Daemon::prepare("substitutes-later", "", "");
    let rules = daemon.config().join("rules");
    fs::write(&rules, "/^me@here\\.test$/ me/\n").expect("a scratch folder");
    daemon.write_main_cf(&format!("virtual_mailbox_maps = regexp:{}", rules.display()));
    let mut daemon = daemon;
    daemon.run();
    let deliver = |daemon: &Daemon| {
        let mut client = daemon.client();
        client.expect("EHLO client.test", "250");
        client.expect("MAIL FROM:<>", "250");
        client.expect("RCPT TO:<me@here.test>", "250");
        client.expect("DATA", "354");
        client.expect("Subject: x\r\n\r\nbody\r\n.", "250");
    };
    deliver(&daemon);
    _ = daemon.wait_for_mail("me", 1);
    fs::write(&rules, "/^(.*)@here\\.test$/ $1/\n").expect("a scratch folder");
    // Tables are looked at again after a second: until then the old one answers.
    wait_for("a deferral", || {
        deliver(&daemon);
        daemon.log().contains("status=deferred").then_some(())
    });
    assert!(daemon.log().contains("its answers take text from the key"), "{}", daemon.log());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let first = Daemon::start("taken", "");
    let second = Daemon::prepare("taken-too", "", "");
    let virtual_service = "virtual unix - n n - - virtual\n";
    let services = format!("127.0.0.1:{} inet n - n - - smtpd\n{SERVICE}{virtual_service}", first.port);
    fs::write(second.config().join("master.cf"), services).expect("a scratch folder");
    let (output, text) = run(&second, "start");
    assert_eq!(output.status.code(), Some(SYSTEM), "{text}");
    let said = format!(
        "/master.cf:1: error: service 127.0.0.1:{0}/inet: cannot listen on 127.0.0.1:{0}: ",
        first.port
    );
    assert!(text.contains(&said), "{text}");
    assert!(
        text.contains("another program listens there; stop it, or change the port in master.cf"),
        "{text}"
    );
}

#[test]
fn one_spool_has_one_daemon() {
    let first = Daemon::start("spool", "");
    let second =
        Daemon::prepare("spool-too", &format!("queue_directory = {}/spool", first.path().display()), "");
    let (output, text) = run(&second, "start");
    assert_eq!(output.status.code(), Some(SYSTEM), "{text}");
    assert!(text.contains("another daemon runs on this queue_directory; stop it"), "{text}");
    assert!(text.contains("/main.cf:") && !text.contains("EAGAIN"), "{text}");
}

/// A wrong file while the daemon runs changes nothing; the right one reaches new sessions only.
#[test]
fn a_reload_takes_all_or_nothing() {
    let daemon = Daemon::start("reload", "smtpd_banner = first banner");
    let mut open = daemon.client();
    assert!(open.greeting.contains("first banner"), "{}", open.greeting);
    open.expect("EHLO client.test", "250");
    open.expect("MAIL FROM:<me@here.test>", "250");
    // Faulty in the values, faulty in what they lead to, faulty in master.cf.
    let refusal =
        |file| format!("not reloaded, nothing has changed: {}:", daemon.config().join(file).display());
    let wrong =
        ["smtpd_timeout = soon", "smtpd_recipient_restrictions = nonsense", "mynetworks = 1.2.3.4/99"];
    for (before, wrong) in wrong.into_iter().enumerate() {
        daemon.write_main_cf(&format!("smtpd_banner = second banner\n{wrong}"));
        daemon.signal(Signal::SIGHUP);
        wait_for("the refusal in the log", || {
            (daemon.log().matches(&refusal("main.cf")).count() > before).then_some(())
        });
        assert!(daemon.client().greeting.contains("first banner"));
    }
    daemon.write_main_cf("smtpd_banner = second banner");
    daemon.write_master_cf("broken inet\n");
    daemon.signal(Signal::SIGHUP);
    _ = daemon.wait_for_log(&refusal("master.cf"));
    assert!(daemon.client().greeting.contains("first banner"));
    // `postrider reload` says the same to the operator.
    let reload = daemon.command(&["reload"]);
    assert!(!reload.status.success());
    assert!(String::from_utf8_lossy(&reload.stderr).contains("master.cf:"), "{reload:?}");
    daemon.write_master_cf("");
    daemon.write_main_cf("smtpd_banner = second banner\nmessage_size_limit = 1000");
    assert!(daemon.command(&["reload"]).status.success());
    _ = daemon.wait_for_log("configuration reloaded");
    let mut fresh = daemon.client();
    assert!(fresh.greeting.contains("second banner"), "{}", fresh.greeting);
    assert!(fresh.expect("EHLO client.test", "250").contains("SIZE 1000"));
    // The open session goes on with the limits that it began with.
    open.expect("RCPT TO:<you@here.test>", "250");
    open.expect("DATA", "354");
    open.send("A line that fills more than a thousand octets.\r\n".repeat(40).as_bytes());
    let reply = open.say(".");
    assert!(reply.starts_with("250"), "{reply}");
    _ = daemon.wait_for_mail("you", 1);
}

#[test]
fn what_takes_a_new_start_is_refused_at_a_reload() {
    let daemon = Daemon::start("fixed", "");
    let main = fs::read_to_string(daemon.config().join("main.cf")).expect("it was made");
    for line in ["queue_directory = /elsewhere", "maillog_file = /elsewhere/log", "node_number = 7"] {
        fs::write(daemon.config().join("main.cf"), format!("{main}{line}\n")).expect("a scratch folder");
        let (output, text) = run(&daemon, "reload");
        assert_ne!(output.status.code(), Some(0), "{line}: {text}");
        let name = line.split(' ').next().unwrap_or_default();
        if name != "queue_directory" {
            assert!(
                text.contains(&format!("{name}: changes from ")) && text.contains("takes a new start"),
                "{text}"
            );
        }
    }
    fs::write(daemon.config().join("main.cf"), &main).expect("a scratch folder");
    assert_eq!(run(&daemon, "reload").0.status.code(), Some(0));
    assert!(
        daemon
            .client()
            .deliver("a@here.test", &["b@here.test"], "Subject: x\r\n\r\nx\r\n")
            .starts_with("250")
    );
}

#[test]
fn a_reload_opens_and_closes_doors() {
    let daemon = Daemon::start("doors", "");
    let port = postrider_tests::free_port();
    daemon.write_master_cf(&format!("127.0.0.1:{port} inet n - n - - smtpd -o smtpd_banner=side\n"));
    assert!(daemon.command(&["reload"]).status.success());
    let mut side = postrider_tests::smtp::Client::connect(port);
    assert!(side.greeting.contains("side"), "{}", side.greeting);
    daemon.write_master_cf("");
    assert!(daemon.command(&["reload"]).status.success());
    wait_for("the door to close", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err().then_some(())
    });
    // Who is inside may stay.
    side.expect("EHLO client.test", "250");
    side.expect("QUIT", "221");
    assert!(daemon.client().greeting.starts_with("220"));
}
