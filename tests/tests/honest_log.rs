//! Rows S10 and S11 of the attacks: whatever octets a client says, each line of the log is one that the daemon wrote, and nothing in it
//! moves a cursor, rings a bell or turns the reading direction.

use postrider_tests::daemon::Daemon;
use std::fs;

/// What a client would like the log to say, in a line of its own.
const FORGED: &str = "Nov 23 04:05:06 mail postrider/qmgr[1]: 0000000001z0000: removed";

/// What ends a line for somebody, hides or colours what is there, is no UTF-8, or is UTF-8 for those only who do not look closely.
const HIDDEN: &[&[u8]] = &[
    b"\n",
    b"\r",
    b"\0",
    b"\x1b[2J\x1b[31m",
    b"\x1b]0;title\x07",
    b"\x08\x08\x08",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    "\u{85}".as_bytes(),
    "\u{9b}2J".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{202e}".as_bytes(),
    "\u{2066}".as_bytes(),
    b"\xff",
    b"\xe2\x80",
    b"\xc0\x8a",
    b"\xed\xa0\x80",
];

/// What a client says behind EHLO; `~` is where it hides something.
const SHAPES: &[&str] = &[
    "HELO a~b\r\n",
    "HELO a~#\r\n",
    "EHLO [~]\r\n",
    "~#\r\n",
    "NOOP ~#\r\n",
    "VRFY b~#\r\n",
    "X~: #\r\n",
    "BDAT ~#\r\n",
    "AUTH PLAIN ~#\r\n",
    "MAIL FROM:<a~#@client.test>\r\n",
    "MAIL FROM:<\"a~#\"@client.test>\r\n",
    "MAIL FROM:<a@client~.test>#\r\n",
    "MAIL FROM:<a~b@client.test> SMTPUTF8\r\n",
    "MAIL FROM:<a@client.test> ENVID=x~#\r\n",
    "MAIL FROM:<a@client.test> ENVID=x+0A+0D+1B[2J\r\n",
    "MAIL FROM:<a@client.test>\r\nRCPT TO:<b~#@here.test>\r\n",
    "MAIL FROM:<a@client.test> SMTPUTF8\r\nRCPT TO:<\"b~#\"@here.test>\r\n",
    "MAIL FROM:<a@client.test> SMTPUTF8\r\nRCPT TO:<b@here~.test>\r\n",
    "MAIL FROM:<a@client.test>\r\nRCPT TO:<b@here.test> ORCPT=rfc822;b~#\r\n",
    "MAIL FROM:<a@client.test>\r\nRCPT TO:<b@elsewhere.test> ORCPT=rfc822;b+0A+1B[2J\r\n",
    "MAIL FROM:<a@client.test>\r\nRCPT TO:<b@here.test>\r\nDATA\r\nMessage-Id: <~#@client.test>\r\n\r\nbody\r\n.\r\n",
    "MAIL FROM:<a@client.test>\r\nRCPT TO:<b@here.test>\r\nDATA\r\nMessage-Id: <x\r\n ~#@client.test>\r\n\r\nbody\r\n.\r\n",
    "MAIL FROM:<a@client.test>\r\nRCPT TO:<b@here.test>\r\nDATA\r\nSubject: ~#\r\nX-~: #\r\n~#: x\r\n\r\nbody\r\n.\r\n",
];

/// The octets of a shape with something hidden in it.
fn octets(shape: &str, hidden: &[u8]) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = shape.split('~').map(|part| part.replace('#', FORGED).into_bytes()).collect();
    parts.join(hidden)
}

/// A daemon's process, and its log when it has heard all of it, each in a session of its own.
fn told(name: &str, lines: &str) -> (u32, String) {
    // So that fields which are not logged otherwise are in the log, too.
    let lines = format!(
        "header_checks = regexp:{{{{/./ WARN seen}}}}\n\
         smtpd_forbid_unauth_pipelining = no\nsmtpd_error_sleep_time = 0\n{lines}"
    );
    let mut daemon = Daemon::start(name, &lines);
    for shape in SHAPES {
        for hidden in HIDDEN {
            let mut client = daemon.client();
            client.expect("EHLO client.test", "250");
            // Some of it ends the session at once.
            _ = client.try_send(&octets(shape, hidden));
            _ = client.try_send(b"QUIT\r\n");
            _ = client.rest();
        }
    }
    daemon.wait_until_the_queue_is_empty();
    let process = daemon.process();
    assert!(daemon.command(&["stop"]).status.success());
    assert_eq!(daemon.wait(), Some(0));
    let log = fs::read(daemon.path().join("mail.log")).expect("a log");
    let log = String::from_utf8(log).expect("what is no UTF-8 is not in the log");
    assert_eq!(log.matches("disconnect from").count(), SHAPES.len() * HIDDEN.len());
    assert!(!daemon.stderr().contains("panicked"), "{}", daemon.stderr());
    // Were nothing of what clients say in the log, there would be nothing to show.
    for word in [
        "?[2J?[31m",
        "in MAIL command",
        "in RCPT command",
        "malformed BDAT",
        "non-SMTP command",
        "message-id=",
        "warning: header Subject: ",
    ] {
        assert!(log.contains(word), "nothing about {word}: {log}");
    }
    assert!(log.matches(FORGED).count() > 5 * HIDDEN.len(), "{log}");
    (process, log)
}

/// Each line as the daemon ended it, whatever is in front of its end.
fn each(log: &str) -> std::str::Split<'_, char> {
    log.strip_suffix('\n').expect("each line has an end").split('\n')
}

/// Characters that a terminal obeys, that end a line for some programs, or that turn the reading direction.
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn no_client_writes_a_line_of_the_log_or_hides_one() {
    let (process, log) = told("honest-log", "");
    let process = format!("[{process}]: ");
    let begin = log.find(" postrider/").expect("the first line says who wrote it");
    let host = &log["Nov 23 04:05:06".len()..begin];
    assert!(host.starts_with(' ') && !host[1..].contains(' '), "{log}");
    for line in each(&log) {
        assert!(!line.contains(is_hidden), "{}", line.escape_debug());
        let rest = line.get("Nov 23 04:05:06".len()..).unwrap_or_default();
        let rest = rest.strip_prefix(host).and_then(|rest| rest.strip_prefix(" postrider/"));
        let program = rest.and_then(|rest| rest.split_once(&process)).map_or("", |(program, _)| program);
        let is_ours = !program.is_empty() && program.chars().all(|c| c.is_ascii_lowercase());
        assert!(is_ours, "{line}");
    }
}

#[test]
fn no_client_writes_an_object_of_the_log_or_hides_one() {
    let (process, log) = told("honest-log-json", "log_format = json\n");
    for line in each(&log) {
        assert!(!line.contains(is_hidden), "{}", line.escape_debug());
        let object: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert_eq!(object["pid"], process, "{line}");
        let text = object["text"].as_str().unwrap_or_default();
        assert!(!text.contains(is_hidden), "{}", text.escape_debug());
        assert!(!text.starts_with(FORGED), "{line}");
    }
}
