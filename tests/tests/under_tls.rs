//! Rows S1, S4 to S7 and C2 of the attacks, under TLS: what was said in the clear counts for nothing, on either side; smuggling is no
//! easier, and nothing older than TLS 1.2 is spoken.

use postrider_tests::daemon::Daemon;
use postrider_tests::server::{Answer, Server};
use postrider_tests::smtp::Client;
use postrider_tests::smuggling::{ENDS, OBEDIENT, TRUE_END, attack, judge, place, promises};
use postrider_tests::tls::{self, server_lines};
use postrider_tests::{program, wait_for};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

/// A relay that offers STARTTLS.
fn relay(name: &str) -> (Daemon, Server) {
    relay_with(name, "")
}

/// The same with more lines of main.cf.
fn relay_with(name: &str, more: &str) -> (Daemon, Server) {
    let server = Server::start();
    let mut daemon = Daemon::prepare(name, "", "");
    let lines = server_lines(&daemon.config());
    daemon.write_main_cf(&format!(
        "{lines}{more}smtpd_tls_loglevel = 1\nrelayhost = [127.0.0.1]:{}\n",
        server.address.port()
    ));
    daemon.run();
    (daemon, server)
}

/// A server with a certificate, and this line about TLS.
fn server(name: &str, line: &str) -> Daemon {
    let mut daemon = Daemon::prepare(name, "", "");
    let certificate = server_lines(&daemon.config()).replace("smtpd_tls_security_level = may\n", "");
    daemon.write_main_cf(&format!("{certificate}{line}\n"));
    let said = daemon.command(&["check"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(!said.contains("there is no certificate"), "{line}: {said}");
    daemon.run();
    daemon
}

/// A sender is answered so in the clear, and accepted under TLS.
fn takes_mail_under_tls(daemon: &Daemon, in_the_clear: &str) {
    let mut client = tls::client(daemon.port);
    client.expect("MAIL FROM:<a@client.test>", in_the_clear);
    let mut client = client.secure(b"");
    client.expect("EHLO client.test", "250");
    client.expect("MAIL FROM:<a@client.test>", "250");
}

#[test]
fn each_spelling_that_offers_tls_has_a_certificate_for_it() {
    for line in ["smtpd_tls_security_level = may", "smtpd_use_tls = yes"] {
        let daemon = server("offers-tls", line);
        takes_mail_under_tls(&daemon, "250");
    }
}

#[test]
fn each_spelling_that_demands_tls_takes_mail_under_tls_and_no_other() {
    for line in [
        "smtpd_tls_security_level = encrypt",
        "smtpd_enforce_tls = yes",
        "smtpd_tls_security_level = verify",
        "smtpd_tls_security_level = secure",
        "smtpd_tls_security_level = fingerprint",
    ] {
        let daemon = server("demands-tls", line);
        takes_mail_under_tls(&daemon, "530 5.7.0");
    }
}

fn envelope(client: &mut Client, sender: &str) {
    client.expect(&format!("MAIL FROM:<{sender}@client.test>"), "250");
    client.expect("RCPT TO:<reader@far.test>", "250");
    client.expect("DATA", "354");
}

/// The octets of an attack in one record, each in a record of its own, and cut within what pretends to be the end.
fn cuts<'a>(attack: &'a [u8], end: &[u8]) -> [Vec<&'a [u8]>; 3] {
    let middle = place(end).start + end.len() / 2;
    [vec![attack], attack.chunks(1).collect(), vec![&attack[..middle], &attack[middle..]]]
}

/// One session under TLS with the octets of an attack, each piece in a record of its own. Adds its sender when its message was taken.
fn send_attack(daemon: &Daemon, name: &str, pieces: &[&[u8]], promised: &mut BTreeSet<String>) {
    let mut client = tls::client(daemon.port).secure(b"");
    client.expect("EHLO client.test", "250");
    envelope(&mut client, name);
    pieces.iter().for_each(|piece| client.send(piece));
    client.send(b"QUIT\r\n");
    let said = String::from_utf8_lossy(&client.rest()).into_owned();
    promised.extend(promises(&said).then(|| format!("{name}@client.test")));
}

#[test]
fn no_end_of_data_but_the_true_one_ends_it_under_tls_either() {
    let (daemon, server) = relay("smuggling-tls");
    let mut promised = BTreeSet::new();
    for (number, end) in ENDS.iter().enumerate() {
        let attack = attack(end);
        for (way, pieces) in cuts(&attack, end).into_iter().enumerate() {
            send_attack(&daemon, &format!("outer{number}-{way}"), &pieces, &mut promised);
        }
    }
    let (taken, sessions) = (promised.len(), 3 * ENDS.len());
    assert!(taken > sessions / 2, "{taken} of {sessions} attacks were taken as one message");
    assert_eq!(judge(&daemon, &server, &promised), Ok(()));
    assert!(!daemon.log().contains("smuggled@evil.test"));
}

#[test]
fn a_chunk_under_tls_is_its_count_and_no_line_in_it_is_a_command() {
    let (daemon, server) = relay("smuggling-tls-bdat");
    let mut promised = BTreeSet::new();
    for (number, end) in ENDS.iter().chain([&TRUE_END]).enumerate() {
        let attack = attack(end);
        for (way, pieces) in cuts(&attack, end).into_iter().enumerate() {
            let name = format!("chunk{number}-{way}");
            let mut client = tls::client(daemon.port).secure(b"");
            client.expect("EHLO client.test", "250");
            client.expect(&format!("MAIL FROM:<{name}@client.test> BODY=8BITMIME"), "250");
            client.expect("RCPT TO:<reader@far.test>", "250");
            client.send(format!("BDAT {} LAST\r\n", attack.len()).as_bytes());
            pieces.iter().for_each(|piece| client.send(piece));
            assert!(promises(&client.reply()), "{name}: no octets are forbidden in a chunk");
            client.expect("QUIT", "221");
            promised.insert(format!("{name}@client.test"));
        }
    }
    assert_eq!(judge(&daemon, &server, &promised), Ok(()));
}

/// Where a client need not wait the second message does come in behind a true end, and the judge finds it.
#[test]
fn a_true_end_of_data_under_tls_is_found_by_the_same_judge() {
    let (daemon, server) = relay_with("smuggling-tls-control", OBEDIENT);
    let mut promised = BTreeSet::new();
    send_attack(&daemon, "outer", &[&attack(TRUE_END)], &mut promised);
    assert_eq!(promised.len(), 1);
    let found = judge(&daemon, &server, &promised).expect_err("two messages");
    assert!(found.contains("one envelope is one message") && found.contains("smuggled@evil.test"), "{found}");
}

#[test]
fn commands_in_the_clear_behind_starttls_are_not_obeyed_under_tls() {
    let (daemon, server) = relay("injection-tls");
    let injected = b"EHLO injected.test\r\nMAIL FROM:<injected@evil.test>\r\nRCPT TO:<victim@far.test>\r\n";
    let mut client = tls::client(daemon.port).secure(injected);
    // The first reply under TLS is the one to the first command under TLS.
    let reply = client.say("NOOP");
    assert_eq!(reply, "250 2.0.0 Ok\r\n");
    assert!(client.say("RCPT TO:<reader@far.test>").starts_with("503 5.5.1"));
    client.expect("EHLO client.test", "250");
    assert!(client.say("RCPT TO:<reader@far.test>").starts_with("503 5.5.1"), "no sender was injected");
    envelope(&mut client, "true");
    client.send(b"Subject: x\r\n\r\nbody\r\n.\r\n");
    assert!(client.reply().starts_with("250"));
    let taken = server.wait(1);
    assert!(taken[0].mail.contains("true@client.test"), "{taken:?}");
    _ = daemon.wait_for_log("improper command pipelining after STARTTLS");
    assert!(!daemon.log().contains("injected@evil.test"));
}

/// Replies in the clear that make mail too large for this server, and such that take it and give it to nobody.
const TOO_LARGE: &str = "250-evil.test\r\n250 SIZE 1\r\n";
const TAKEN: &str =
    "250 evil.test\r\n250 2.1.0 evil\r\n250 2.1.5 evil\r\n354 evil\r\n250 2.0.0 Ok: evil\r\n221 evil\r\n";

/// A relay to a server that offers TLS, and says all this behind its answer to STARTTLS; a message has been left with it.
fn relay_to_an_injector(name: &str, level: &str, injected: &str) -> (Daemon, Server) {
    let injected = injected.to_owned();
    let server = Server::scripted(move |line, before| match line.split(' ').next() {
        Some("EHLO") if before == 0 => Answer::Say("250-server.test\r\n250 STARTTLS\r\n".to_owned()),
        Some("STARTTLS") => Answer::SecureBehind(injected.clone()),
        _ => Answer::Usual,
    });
    let port = server.address.port();
    let daemon =
        Daemon::start(name, &format!("relayhost = [127.0.0.1]:{port}\nsmtp_tls_security_level = {level}\n"));
    let reply = daemon.client().deliver("a@client.test", &["reader@far.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(promises(&reply), "{reply}");
    (daemon, server)
}

#[test]
fn replies_in_the_clear_behind_the_answer_to_starttls_are_not_believed_under_tls() {
    for (level, injected) in [("may", TOO_LARGE), ("encrypt", TOO_LARGE), ("may", TAKEN), ("encrypt", TAKEN)]
    {
        let (daemon, server) = relay_to_an_injector("replies-injected", level, injected);
        let line = daemon.wait_for_log("to=<reader@far.test>");
        assert!(line.contains("status=sent (250 2.0.0 Ok: taken)"), "{level}: {line}");
        wait_for("the goodbye", || (server.open() == 0).then_some(()));
        let heard: Vec<String> =
            server.heard().iter().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
        let wanted = ["GREETING", "EHLO", "STARTTLS", "[under", "EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT"];
        assert_eq!(heard, wanted, "{level}: each reply under TLS is waited for");
        assert!(server.taken()[0].content.ends_with(b"body\r\n"));
        assert!(!daemon.log().contains("evil"), "{}", daemon.log());
    }
}

/// The same words under TLS are believed: without this the test above could not fail.
#[test]
fn the_same_replies_under_tls_are_believed() {
    let server = Server::scripted(|line, before| match (line.split(' ').next(), before) {
        (Some("EHLO"), 0) => Answer::Say("250-server.test\r\n250 STARTTLS\r\n".to_owned()),
        (Some("EHLO"), _) => Answer::Say(TOO_LARGE.to_owned()),
        (Some("STARTTLS"), _) => Answer::Secure,
        _ => Answer::Usual,
    });
    let lines =
        format!("relayhost = [127.0.0.1]:{}\nsmtp_tls_security_level = encrypt\n", server.address.port());
    let daemon = Daemon::start("replies-under-tls", &lines);
    let reply = daemon.client().deliver("", &["reader@far.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(promises(&reply), "{reply}");
    let line = daemon.wait_for_log("to=<reader@far.test>");
    assert!(line.contains("status=bounced") && line.contains("exceeds size limit 1 of server"), "{line}");
    assert_eq!(server.count(), 0);
}

/// What the client has not read when it begins to shake hands is no handshake: nothing is sent, and nothing is taken for sent.
#[test]
fn more_replies_in_the_clear_than_are_read_at_once_are_no_handshake_and_the_mail_waits() {
    let (daemon, server) = relay_to_an_injector("replies-flood", "encrypt", &TAKEN.repeat(1_000));
    let line = daemon.wait_for_log("to=<reader@far.test>");
    assert!(line.contains("status=deferred (Cannot start TLS: handshake failure)"), "{line}");
    assert_eq!(server.count(), 0);
    assert_eq!(server.heard(), ["GREETING", "EHLO mail.here.test", "STARTTLS"]);
    assert!(!daemon.log().contains("evil"), "{}", daemon.log());
}

/// A browser that was led here (ALPACA) speaks HTTP inside TLS, and what a page lets it post holds a whole message.
#[test]
fn http_inside_tls_ends_the_session_and_no_mail_in_it_is_taken() {
    let (daemon, server) = relay("http-tls");
    let posted = "MAIL FROM:<posted@evil.test>\r\nRCPT TO:<victim@far.test>\r\nDATA\r\nSubject: x\r\n\r\nevil\r\n.\r\nQUIT\r\n";
    let end = "221 2.7.0 Error: I can break rules, too. Goodbye.\r\n";
    let mut sessions = 0;
    for first in ["GET / HTTP/1.1", "POST /mail HTTP/1.1", "Host: mail.here.test"] {
        let request = format!("{first}\r\nContent-Type: text/plain\r\n\r\n{posted}");
        // In one record, as a browser writes it; and a line in each, to a server that is gone after the first.
        for (pieces, is_greeted) in [
            (vec![&request[..]], false),
            (vec![&request[..]], true),
            (request.split_inclusive('\n').collect(), false),
        ] {
            let mut client = tls::client(daemon.port).secure(b"");
            if is_greeted {
                client.expect("EHLO browser.test", "250");
            }
            _ = pieces.iter().try_for_each(|piece| client.try_send(piece.as_bytes()));
            let said = String::from_utf8_lossy(&client.rest()).into_owned();
            let is_cut_off = pieces.len() > 1 && said.is_empty();
            assert!(said == end || is_cut_off, "{first}: {said:?}");
            sessions += 1;
        }
    }
    let mut client = tls::client(daemon.port).secure(b"");
    client.expect("EHLO client.test", "250");
    envelope(&mut client, "true");
    client.send(b"Subject: x\r\n\r\nbody\r\n.\r\n");
    assert!(client.reply().starts_with("250"));
    daemon.wait_until_the_queue_is_empty();
    let senders: Vec<String> = server.taken().into_iter().map(|message| message.mail).collect();
    assert!(senders.len() == 1 && senders[0].contains("true@client.test"), "{senders:?}");
    let log = daemon.log();
    assert_eq!(log.matches("warning: non-SMTP command from").count(), sessions, "{log}");
    assert!(!log.contains("posted@evil.test"), "{log}");
}

/// Without that word a client could not tell the end of a session from one that somebody has cut (RFC 8446 6.1).
#[test]
fn the_end_of_a_session_is_said_under_tls_and_in_the_clear_it_is_the_end() {
    let (daemon, _server) = relay("ends");
    for mut client in [tls::client(daemon.port).secure(b""), tls::client(daemon.port)] {
        client.expect("QUIT", "221");
        assert_eq!(client.end().expect("an orderly end"), b"");
    }
}

#[test]
fn who_still_sends_when_it_is_sent_away_hears_why() {
    let (daemon, _server) = relay("sent-away");
    let mut client = tls::client(daemon.port);
    _ = client.try_send(&[b"POST / HTTP/1.1\r\n", &b"x: y\r\n".repeat(3_000)[..]].concat());
    let said = String::from_utf8_lossy(&client.rest()).into_owned();
    assert_eq!(said, "221 2.7.0 Error: I can break rules, too. Goodbye.\r\n");
}

#[test]
fn an_envelope_that_began_in_the_clear_is_forgotten_under_tls() {
    let (daemon, _server) = relay("forgotten-tls");
    let mut client = tls::client(daemon.port);
    client.expect("MAIL FROM:<a@client.test>", "250");
    client.expect("RCPT TO:<reader@far.test>", "250");
    let mut client = client.secure(b"");
    assert!(client.say("DATA").starts_with("503 5.5.1"));
    let reply = client.expect("EHLO client.test", "250");
    assert!(!reply.contains("STARTTLS"), "{reply}");
    assert!(client.say("STARTTLS").starts_with("554 5.5.1"), "{}", daemon.log());
}

/// openssl's client, with these options; it ends with QUIT.
fn openssl(daemon: &Daemon, options: &[&str], input: &str) -> Output {
    let mut child = Command::new(program("openssl", "openssl"))
        .args(["s_client", "-starttls", "smtp", "-connect", &format!("127.0.0.1:{}", daemon.port)])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A client that has failed reads no more.
    _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn only_tls_1_2_and_1_3_with_sound_ciphers_are_spoken() {
    let (daemon, _server) = relay("versions-tls");
    for good in [&["-tls1_2"][..], &["-tls1_3"], &[]] {
        let output = openssl(&daemon, good, "QUIT\r\n");
        assert!(output.status.success(), "{good:?}: {}", text(&output));
        let said = text(&output);
        assert!(!said.contains("Compression: zlib"), "CRIME: {said}");
        assert!(!said.contains("TLS server extension \"heartbeat\""), "{said}");
    }
    // openssl itself is told to be lax, so that it is the server that refuses.
    let bad: &[&[&str]] = &[
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ADH:@SECLEVEL=0"],
        // ROBOT and Lucky Thirteen live in the exchange of RSA keys and in CBC.
        &["-tls1_2", "-cipher", "kRSA:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"],
        &["-tls1_2", "-curves", "secp224r1"],
    ];
    for options in bad {
        let output = openssl(&daemon, options, "QUIT\r\n");
        assert!(!output.status.success(), "{options:?}: {}", text(&output));
        let said = text(&output);
        assert!(
            said.contains("alert") || said.contains("no peer certificate"),
            "the server refuses: {options:?}: {said}"
        );
    }
    // After all that it serves.
    let output = openssl(&daemon, &["-tls1_3"], "QUIT\r\n");
    assert!(output.status.success());
}

#[test]
fn a_client_that_names_another_protocol_in_the_handshake_is_refused_in_it() {
    let (daemon, _server) = relay("alpn-tls");
    for (names, spoken) in [("smtp", "smtp"), ("esmtp", "esmtp"), ("h2,http/1.1,smtp", "smtp")] {
        let output = openssl(&daemon, &["-alpn", names], "QUIT\r\n");
        assert!(output.status.success(), "{names}: {}", text(&output));
        assert!(text(&output).contains(&format!("ALPN protocol: {spoken}\n")), "{names}: {}", text(&output));
    }
    for names in ["http/1.1", "h2,http/1.1", "imap"] {
        let output = openssl(&daemon, &["-alpn", names], "QUIT\r\n");
        assert!(!output.status.success(), "{names}: {}", text(&output));
        assert!(text(&output).contains("no application protocol"), "{names}: {}", text(&output));
    }
    // Who names none is served, as are most.
    let output = openssl(&daemon, &[], "QUIT\r\n");
    assert!(output.status.success() && text(&output).contains("No ALPN negotiated"), "{}", text(&output));
}

#[test]
fn a_client_can_not_have_the_handshake_again() {
    let (daemon, _server) = relay("renegotiation-tls");
    let mut child = Command::new(program("openssl", "openssl"))
        .args(["s_client", "-starttls", "smtp", "-tls1_2"])
        .args(["-connect", &format!("127.0.0.1:{}", daemon.port)])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    // `R` at the start of a line is openssl's word for it. It then waits for a handshake that does not come.
    child.stdin.as_mut().expect("a pipe").write_all(b"R\n").expect("openssl reads");
    let stderr = child.stderr.take().expect("a pipe");
    let asked = BufReader::new(stderr).lines().map_while(Result::ok).any(|line| line == "RENEGOTIATING");
    assert!(asked, "openssl asks for another handshake");
    let mut other = tls::client(daemon.port).secure(b"");
    other.expect("EHLO client.test", "250");
    other.expect("QUIT", "221");
    child.kill().expect("our own child");
    child.wait().expect("our own child");
    wait_for("both sessions to end", || (daemon.log().matches("disconnect from").count() == 2).then_some(()));
    assert_eq!(daemon.log().matches("TLS connection established").count(), 2, "{}", daemon.log());
}

#[test]
fn what_is_no_handshake_ends_one_session_and_no_other() {
    let (daemon, _server) = relay("garbage-tls");
    let mut other = tls::client(daemon.port).secure(b"");
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        // A heartbeat that claims 16 KB, before and instead of a handshake.
        b"\x18\x03\x02\x00\x03\x01\x40\x00",
        b"\x16\x03\x01\xff\xff\x01",
        &[0x16; 70_000],
        &[0; 3],
    ] {
        let mut client = Client::connect(daemon.port);
        client.expect("EHLO client.test", "250");
        client.expect("STARTTLS", "220");
        client.send(garbage);
        client.fall_silent();
        _ = client.rest();
    }
    other.expect("EHLO client.test", "250");
    let corpus = fs::read_to_string(daemon.path().join("stderr")).unwrap_or_default();
    assert!(!corpus.contains("panicked"), "{corpus}");
}

/// A connection in the clear is kept; then TLS is demanded of that server, which has none.
#[test]
fn a_connection_that_was_kept_since_before_a_reload_takes_no_mail_that_must_be_encrypted_since() {
    let server = Server::start();
    let port = server.address.port();
    let lines = |level: &str| {
        format!(
            "relayhost = [127.0.0.1]:{port}\nsmtp_connection_cache_destinations = 127.0.0.1\n\
             smtp_connection_cache_time_limit = 250s\nsmtp_tls_security_level = {level}\n"
        )
    };
    let daemon = Daemon::start("kept-across-reload", &lines("none"));
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    let mut send = |content: &str| {
        let said = client.transaction("a@client.test", &["reader@far.test"], content);
        assert!(said.starts_with("250"), "{said}");
    };
    let opened = || server.heard().iter().filter(|line| *line == "GREETING").count();
    send("first\r\n");
    _ = server.wait(1);
    daemon.wait_until_the_queue_is_empty();
    send("second\r\n");
    _ = server.wait(2);
    daemon.wait_until_the_queue_is_empty();
    assert_eq!((opened(), server.open()), (1, 1), "both went over one connection, and it is kept");

    daemon.write_main_cf(&lines("encrypt"));
    assert!(daemon.command(&["reload"]).status.success(), "{}", daemon.log());
    send("third\r\n");
    _ = daemon.wait_for_log("status=deferred");
    assert_eq!(server.count(), 2, "what must be encrypted went over a connection in the clear");
    wait_for("the connection of before to end", || (server.open() == 0).then_some(()));
    let quits = server.heard().iter().filter(|line| *line == "QUIT").count();
    assert_eq!((quits, opened()), (2, 2), "each connection has taken its leave: {:?}", server.heard());
    assert!(!daemon.stderr().contains("panicked") && !daemon.log().contains("panicked"), "{}", daemon.log());
}
