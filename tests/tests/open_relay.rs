//! Row S14: a stranger writes to everybody in every form that was ever taken for a way through, and nothing leaves.

use postrider_tests::daemon::Daemon;
use postrider_tests::server::Server;
use postrider_tests::smtp::Client;
use postrider_tests::tls::{self, server_lines};

/// Forms of a recipient: `u@d` is the one who is meant, `me` is ours, `ip` our address.
const RECIPIENTS: &[&str] = &[
    "u@d.test",
    "u%d.test@here.test",
    "u%d.test@[127.0.0.1]",
    "\"u@d.test\"",
    "\"u%d.test\"",
    "u@d.test@[127.0.0.1]",
    "\"u@d.test\"@[127.0.0.1]",
    "u@d.test@here.test",
    "\"u@d.test\"@here.test",
    "@[127.0.0.1]:u@d.test",
    "@here.test:u@d.test",
    "@here.test,@x.test:u@d.test",
    "d.test!u",
    "d.test!u@[127.0.0.1]",
    "d.test!u@here.test",
    "u@d.test%here.test",
    "u@d.test.",
    "u@[192.0.2.77]",
    "u @d.test",
    "u@d.test(here.test)",
    "u@d.test\0@here.test",
    "u\\@d.test@here.test",
    "u<x>@d.test",
    "u@\u{501}.test",
    "u%d.test",
    "u%d.test%here.test@here.test",
    "@d.test",
    "u@here.test@d.test",
];

const SENDERS: &[&str] =
    &["", "a@client.test", "root@localhost", "user@here.test", "a@[127.0.0.1]", "postmaster"];

/// Whether a recipient is accepted, and then a message for it sent: what was accepted must not leave either, for a form may name a user of ours.
fn takes(client: &mut Client, recipient: &str) -> bool {
    let reply = client.say(&format!("RCPT TO:<{recipient}>"));
    assert!(reply.starts_with(['2', '4', '5']), "{recipient}: {reply}");
    if !reply.starts_with('2') {
        return false;
    }
    client.expect("DATA", "354");
    client.send(b"Subject: relay\r\n\r\nbody\r\n.\r\n");
    assert!(client.reply().starts_with(['2', '5']), "{recipient}");
    true
}

/// How many of all cases are accepted, and how many reached a verdict.
fn accepted(daemon: &Daemon) -> Vec<(String, String)> {
    let mut accepted = Vec::new();
    for sender in SENDERS {
        for recipient in RECIPIENTS {
            // A connection each, as the tools that look for relays do.
            let mut client = daemon.client();
            client.expect("EHLO client.test", "250");
            client.expect(&format!("MAIL FROM:<{sender}>"), "250");
            if takes(&mut client, recipient) {
                accepted.push(((*sender).to_owned(), (*recipient).to_owned()));
            }
        }
    }
    accepted
}

/// The same in one session, one after another: nothing that was refused, sent or reset opens a way for what comes next.
fn accepted_in_a_row(client: &mut Client) -> Vec<(String, String)> {
    // Nor do other commands: asked after a recipient, told to send mail, told who the client is.
    let reply = client.say("VRFY u@d.test");
    assert!(reply.starts_with(['2', '4', '5']), "{reply}");
    for command in ["ETRN d.test", "XCLIENT NAME=localhost ADDR=127.0.0.1", "XFORWARD ADDR=127.0.0.1"] {
        let reply = client.say(command);
        assert!(reply.starts_with('5'), "{command}: {reply}");
    }
    client.expect("EHLO client.test", "250");
    let mut accepted = Vec::new();
    for sender in SENDERS {
        for recipient in RECIPIENTS {
            client.expect("RSET", "250");
            client.expect(&format!("MAIL FROM:<{sender}>"), "250");
            if takes(client, recipient) {
                accepted.push(((*sender).to_owned(), (*recipient).to_owned()));
            }
        }
    }
    accepted
}

/// A relay for these networks that offers STARTTLS, and bears with any number of errors.
fn relay(name: &str, server: &Server, networks: &str) -> Daemon {
    let mut daemon = Daemon::prepare(name, "", "");
    let lines = server_lines(&daemon.config());
    daemon.write_main_cf(&format!(
        "{lines}smtpd_soft_error_limit = 1000\nsmtpd_hard_error_limit = 1000\nsmtpd_junk_command_limit = 1000\n{}",
        settings(server, networks)
    ));
    daemon.run();
    daemon
}

fn settings(server: &Server, networks: &str) -> String {
    format!(
        "mynetworks = {networks}\nrelayhost = [127.0.0.1]:{}\nlocal_recipient_maps = inline:{{user=x}}\n\
         smtpd_client_connection_count_limit = 0",
        server.address.port()
    )
}

#[test]
fn nothing_of_168_forms_leaves_for_a_stranger_and_a_friend_gets_through() {
    assert_eq!(SENDERS.len() * RECIPIENTS.len(), 168);
    let server = Server::start();
    let daemon = Daemon::start("no-relay", &settings(&server, "192.0.2.1/32"));
    let found = accepted(&daemon);
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(server.count(), 0);

    // The positive control: the same cases, from a client that may relay.
    let open = Daemon::start("open-relay", &settings(&server, "127.0.0.0/8"));
    let found = accepted(&open);
    assert!(found.len() > 60, "{} accepted", found.len());
    assert!(found.iter().any(|(_, recipient)| recipient == "u@d.test"));
    let taken = server.wait(1);
    assert!(taken.iter().any(|message| message.recipients[0].contains("u@d.test")), "{taken:?}");
}

#[test]
fn nothing_of_168_forms_leaves_in_one_session_or_under_tls_either() {
    let server = Server::start();
    let daemon = relay("no-relay-in-a-row", &server, "192.0.2.1/32");
    assert_eq!(accepted_in_a_row(&mut tls::client(daemon.port)), []);
    assert_eq!(accepted_in_a_row(&mut tls::client(daemon.port).secure(b"")), []);
    assert_eq!(server.count(), 0);

    // The positive control: a friend gets as far as in sessions of their own.
    let open = relay("open-relay-in-a-row", &server, "127.0.0.0/8");
    let wanted = accepted(&open);
    assert!(wanted.len() > 60, "{} accepted", wanted.len());
    assert_eq!(accepted_in_a_row(&mut tls::client(open.port)), wanted);
    assert_eq!(accepted_in_a_row(&mut tls::client(open.port).secure(b"")), wanted);
}
