//! Programs that people send mail with: swaks, Python's smtplib, nodemailer, and a client that says every extension itself.

use postrider_tests::daemon::{Daemon, owner};
use postrider_tests::{program, run};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Makes a self-signed certificate; the lines of main.cf that use it.
fn certificate(folder: &Path) -> String {
    let (chain, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    run(Command::new(program("openssl", "openssl"))
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
        ])
        .args(["-subj", "/CN=mail.here.test", "-addext", "subjectAltName=DNS:mail.here.test", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&chain));
    let (uid, gid) = owner();
    std::os::unix::fs::chown(&key, Some(uid), Some(gid)).expect("a scratch folder");
    format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_received_header = yes\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}",
        chain.display(),
        key.display()
    )
}

fn secure(name: &str) -> Daemon {
    let mut daemon = Daemon::prepare(name, "", "");
    daemon.write_main_cf(&certificate(daemon.path()));
    daemon.run();
    daemon
}

fn text(message: &[u8]) -> String {
    String::from_utf8_lossy(message).into_owned()
}

#[test]
fn swaks_submits() {
    let daemon = Daemon::start("swaks", "");
    let said = run(Command::new(program("swaks", "swaks"))
        .args(["--server", &format!("127.0.0.1:{}", daemon.port)])
        .args(["--from", "me@here.test", "--to", "you@here.test", "--header", "Subject: from swaks"])
        .args(["--body", "first line\n.dot at the start\nlast line", "--attach-body", "second part"]));
    assert!(said.contains("250 2.0.0 Ok: queued as"), "{said}");
    let mail = text(&daemon.wait_for_mail("you", 1)[0]);
    assert!(mail.contains("Subject: from swaks"), "{mail}");
    assert!(mail.contains("Return-Path: <me@here.test>"), "{mail}");
    assert!(mail.contains("second part"), "{mail}");
}

#[test]
fn swaks_submits_under_starttls() {
    let daemon = secure("swaks-tls");
    let said = run(Command::new(program("swaks", "swaks"))
        .args(["--server", &format!("127.0.0.1:{}", daemon.port), "--tls"])
        .args(["--from", "me@here.test", "--to", "you@here.test", "--body", "secret"]));
    assert!(said.contains("TLS started with cipher"), "{said}");
    let mail = text(&daemon.wait_for_mail("you", 1)[0]);
    assert!(mail.contains("with ESMTPS id"), "{mail}");
    assert!(mail.contains("using TLSv1.3 with cipher"), "{mail}");
}

#[test]
fn without_a_certificate_starttls_is_not_offered() {
    let daemon = Daemon::start("no-tls", "");
    let mut client = daemon.client();
    let offer = client.expect("EHLO client.test", "250");
    assert!(!offer.contains("STARTTLS"), "{offer}");
    let refusal = client.say("STARTTLS");
    assert!(refusal.starts_with("502 5.5.1") || refusal.starts_with("454 4.7.0"), "{refusal}");
}

#[test]
fn words_before_the_handshake_are_never_obeyed() {
    let daemon = secure("injected");
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.send(b"STARTTLS\r\nRSET\r\nMAIL FROM:<evil@here.test>\r\n");
    client.fall_silent();
    // Either it refuses, or it goes into the handshake where the plain words are garbage; no command is answered.
    let said = String::from_utf8_lossy(&client.rest()).into_owned();
    assert!(!said.contains("250 2.1.0"), "{said}");
    assert!(!said.contains("250 2.0.0"), "{said}");
}

/// Runs a script of Python, with the port as its argument.
fn python(port: u16, script: &str) -> String {
    run(Command::new(program("python3", "python3")).args(["-c", script, &port.to_string()]))
}

#[test]
fn pythons_smtplib_submits() {
    let daemon = secure("smtplib");
    python(
        daemon.port,
        r#"
import smtplib, ssl, sys
from email.message import EmailMessage
mail = EmailMessage()
mail["From"] = "Jürgen <me@here.test>"
mail["To"] = "you@here.test"
mail["Subject"] = "Grüße von smtplib"
mail.set_content("Zeile eins\n.\n..\nletzte Zeile\n")
mail.add_attachment(bytes(range(256)) * 2000, maintype="application", subtype="octet-stream", filename="a.bin")
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as client:
    client.send_message(mail)
    client.starttls(context=context)
    client.ehlo()
    refused = client.sendmail("me@here.test", ["you@here.test", "them@here.test"], "Subject: two\n\n.\nbody\n")
    assert refused == {}, refused
    assert client.noop()[0] == 250
    assert client.verify("you@here.test")[0] in (250, 252)
"#,
    );
    let mails: Vec<_> = daemon.wait_for_mail("you", 2).iter().map(|mail| text(mail)).collect();
    assert!(mails.iter().any(|mail| mail.contains("filename=\"a.bin\"")), "{mails:?}");
    assert!(
        mails.iter().any(|mail| mail.contains("Subject: two\n") && mail.ends_with("\n\n.\nbody\n")),
        "{mails:?}"
    );
    _ = daemon.wait_for_mail("them", 1);
}

#[test]
fn nodemailer_submits() {
    let daemon = secure("nodemailer");
    assert!(Path::new("/usr/share/nodejs/nodemailer").exists(), "apt-get install node-nodemailer");
    let script = r#"
const nodemailer = require("nodemailer");
const port = Number(process.argv[1]);
const pool = nodemailer.createTransport({
  host: "127.0.0.1", port, pool: true, maxConnections: 2, tls: { rejectUnauthorized: false },
});
const mails = [...Array(10).keys()].map((number) => pool.sendMail({
  from: "me@here.test", to: "you@here.test", subject: `Nummer ${number} äöü`,
  text: ".\nFließtext\n".repeat(50), html: "<b>Fließtext</b>",
  attachments: [{ filename: "x.txt", content: "x".repeat(300000) }],
}));
Promise.all(mails).then((done) => {
  for (const info of done) if (!/^250 2\.0\.0 Ok: queued as/.test(info.response)) throw new Error(info.response);
  pool.close();
}).catch((error) => { console.error(error); process.exit(1); });
"#;
    run(Command::new(program("node", "nodejs")).env("NODE_PATH", "/usr/share/nodejs").args([
        "-e",
        script,
        &daemon.port.to_string(),
    ]));
    let mails = daemon.wait_for_mail("you", 10);
    assert!(mails.iter().all(|mail| text(mail).contains("with ESMTPS id")));
    assert!(mails.iter().all(|mail| mail.len() > 400_000));
}

#[test]
fn commands_in_one_packet_are_answered_in_order() {
    let daemon = Daemon::start("pipelining", "");
    let mut client = daemon.client();
    let offer = client.expect("EHLO client.test", "250");
    for extension in ["PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8", "CHUNKING"]
    {
        assert!(offer.contains(extension), "{extension} is missing: {offer}");
    }
    client.send(b"MAIL FROM:<me@here.test>\r\nRCPT TO:<you@here.test>\r\nRCPT TO:<broken\r\nRCPT TO:<them@here.test>\r\nDATA\r\n");
    let codes: Vec<_> = (0..5).map(|_| client.reply()[..3].to_owned()).collect();
    assert_eq!(codes, ["250", "250", "501", "250", "354"]);
    client.send(b"Subject: one\r\n\r\n..stuffed\r\n.\r\nMAIL FROM:<me@here.test>\r\nRCPT TO:<you@here.test>\r\nRSET\r\nQUIT\r\n");
    let codes: Vec<_> = (0..5).map(|_| client.reply()[..3].to_owned()).collect();
    assert_eq!(codes, ["250", "250", "250", "250", "221"]);
    assert!(client.rest().is_empty());
    let mail = text(&daemon.wait_for_mail("you", 1)[0]);
    assert!(mail.ends_with("\n\n.stuffed\n"), "{mail}");
    _ = daemon.wait_for_mail("them", 1);
}

#[test]
fn chunks_are_content_whatever_is_in_them() {
    let daemon = Daemon::start("chunking", "");
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.send(b"MAIL FROM:<me@here.test>\r\nRCPT TO:<you@here.test>\r\nBDAT 16\r\nSubject: chunk\r\nBDAT 11\r\n\r\n\r\n.\r\nQUIT");
    let codes: Vec<_> = (0..4).map(|_| client.reply()[..3].to_owned()).collect();
    assert_eq!(codes, ["250", "250", "250", "250"]);
    client.send(b"BDAT 2 LAST\r\n\r\n");
    assert!(client.reply().starts_with("250 2.0.0 Ok"));
    let mail = text(&daemon.wait_for_mail("you", 1)[0]);
    assert!(mail.contains("Subject: chunk\n"), "{mail}");
    assert!(mail.ends_with("\n\n\n.\nQUIT\n") || mail.ends_with("\n\n.\nQUIT\n"), "{mail}");
    // A transaction that began with BDAT cannot go on with DATA.
    client.expect("MAIL FROM:<me@here.test>", "250");
    client.expect("RCPT TO:<you@here.test>", "250");
    client.send(b"BDAT 4\r\nab\r\n");
    assert!(client.reply().starts_with("250"));
    client.expect("DATA", "503");
    client.expect("QUIT", "221");
}

#[test]
fn addresses_in_utf8_need_the_extension() {
    let daemon = Daemon::start("smtputf8", "");
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect("MAIL FROM:<jürgen@here.test> SMTPUTF8", "250");
    client.expect("RCPT TO:<grüße@here.test>", "250");
    client.expect("DATA", "354");
    client.send("From: jürgen@here.test\r\nSubject: Grüße\r\n\r\nHallo\r\n.\r\n".as_bytes());
    let reply = client.reply();
    assert!(reply.starts_with("250"), "{reply}");
    let mail = text(&daemon.wait_for_mail("grüße", 1)[0]);
    assert!(mail.contains("Return-Path: <jürgen@here.test>"), "{mail}");
    assert!(mail.contains("with UTF8SMTP id"), "{mail}");
}

#[test]
fn success_is_reported_when_asked_for() {
    let daemon = Daemon::start("dsn", "");
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect("MAIL FROM:<me@here.test> RET=HDRS ENVID=env+2D1", "250");
    client.expect("RCPT TO:<you@here.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;You@here.test", "250");
    client.expect("RCPT TO:<quiet@here.test> NOTIFY=NEVER", "250");
    client.expect("DATA", "354");
    client.send(b"Subject: tell me\r\n\r\nbody that is not returned\r\n.\r\n");
    assert!(client.reply().starts_with("250"));
    _ = daemon.wait_for_mail("you", 1);
    _ = daemon.wait_for_mail("quiet", 1);
    let report = text(&daemon.wait_for_mail("me", 1)[0]);
    for part in [
        "Return-Path: <>",
        "Content-Type: multipart/report; report-type=delivery-status;",
        "Original-Envelope-Id: env-1",
        "Original-Recipient: rfc822;You@here.test",
        "Final-Recipient: rfc822; you@here.test",
        "Action: delivered",
        "Status: 2.0.0",
        "Subject: tell me",
    ] {
        assert!(report.contains(part), "{part} is missing: {report}");
    }
    assert!(!report.contains("body that is not returned"), "{report}");
    assert!(!report.contains("quiet@here.test"), "{report}");
}

#[test]
fn every_mail_is_one_file_that_only_its_owner_reads() {
    use std::os::unix::fs::MetadataExt;
    let daemon = Daemon::start("maildir", "");
    for _ in 0..3 {
        let reply = daemon.client().deliver("me@here.test", &["you@here.test"], "Subject: x\r\n\r\nbody\r\n");
        assert!(reply.starts_with("250"), "{reply}");
    }
    _ = daemon.wait_for_mail("you", 3);
    let folder = daemon.mail().join("you");
    assert_eq!(fs::read_dir(folder.join("tmp")).expect("a Maildir has tmp").count(), 0);
    for entry in fs::read_dir(folder.join("new")).expect("a Maildir has new") {
        let data = entry.and_then(|entry| entry.metadata()).expect("a file");
        assert_eq!((data.uid(), data.gid(), data.mode() & 0o777), (owner().0, owner().1, 0o600));
    }
}
