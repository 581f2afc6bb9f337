//! Row S6 of the attacks: testssl, which knows the attacks on TLS of twenty years, finds nothing to object to.
//!
//! It looks at the protocols (`-p`), the kinds of ciphers (`-s`), the order of ciphers (`-P`), forward secrecy (`-f`), what the server says of
//! itself (`-S`) and the known holes (`-U`): Heartbleed, CCS, ROBOT, renegotiation, CRIME, POODLE, SWEET32, FREAK, DROWN, LOGJAM, BEAST, LUCKY13,
//! RC4. Not at each cipher by itself (`-e`, `-E`), which takes minutes and tells no more, and not at how browsers would fare (`-c`). The key is an RSA key,
//! because some of the holes are in what servers do with one.

use postrider_tests::daemon::{Daemon, owner};
use postrider_tests::{Scratch, free_port, program, run, wait_for};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A severity and what was found, by the id of the check.
type Report = BTreeMap<String, (String, String)>;

/// Severities that fail the test. WARN is about testssl and its surroundings, and has no check of its own: see [`LOOKED_AT`].
const BAD: [&str; 5] = ["LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL"];

/// What counts for nothing, and why.
const EXCUSED: [(&str, &str); 4] = [
    ("cert_trust", "the certificate is for a name, and testssl is given an address"),
    ("cert_chain_of_trust", "a certificate of a test is signed by itself"),
    ("cert_revocation", "who signs a certificate by itself does not revoke it"),
    (
        "cipher_order",
        "the client chooses, as with Postfix (tls_preempt_cipherlist = no), and there is none to avoid",
    ),
];

/// What must have been looked at, and be found good.
const LOOKED_AT: [&str; 22] = [
    "SSLv2",
    "SSLv3",
    "TLS1_2",
    "TLS1_3",
    "cipherlist_NULL",
    "cipherlist_aNULL",
    "cipherlist_EXPORT",
    "cipherlist_LOW",
    "cipherlist_STRONG",
    "PFS",
    "heartbleed",
    "CCS",
    "ROBOT",
    "secure_renego",
    "secure_client_renego",
    "CRIME_TLS",
    "POODLE_SSL",
    "SWEET32",
    "DROWN",
    "LOGJAM",
    "BEAST",
    "RC4",
];

/// Writes a certificate of its own for a test: its two files.
fn certificate(folder: &Path) -> [std::path::PathBuf; 2] {
    let files = ["rsa.cert.pem", "rsa.key.pem"].map(|name| folder.join(name));
    let words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365"];
    let subject = ["-subj", "/CN=mail.here.test", "-addext", "subjectAltName=DNS:mail.here.test"];
    let mut command = Command::new(program("openssl", "openssl"));
    run(command.args(words).args(subject).arg("-out").arg(&files[0]).arg("-keyout").arg(&files[1]));
    let (uid, gid) = owner();
    for file in &files {
        std::os::unix::fs::chown(file, Some(uid), Some(gid)).expect("our own file");
    }
    files
}

/// What testssl says of a server.
fn report(folder: &Path, way: &[&str], port: u16) -> Report {
    let file = folder.join("report.json");
    let mut command = Command::new(program("testssl", "testssl.sh"));
    command.args(["--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1"]);
    command.args(["-p", "-s", "-P", "-f", "-S", "-U"]).arg("--jsonfile").arg(&file);
    command.args(way).arg(format!("127.0.0.1:{port}"));
    // Its exit status counts what it has to say, good or bad.
    let output = command.current_dir(folder).stdin(Stdio::null()).output().expect("it was found");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {said}"));
    let found: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {said}"));
    let word = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    found.iter().map(|one| (word(one, "id"), (word(one, "severity"), word(one, "finding")))).collect()
}

/// What there is to object to.
fn objections(report: &Report) -> Vec<String> {
    let is_excused = |id: &str| EXCUSED.iter().any(|(excused, _)| *excused == id);
    let bad = report.iter().filter(|(id, (severity, _))| BAD.contains(&severity.as_str()) && !is_excused(id));
    bad.map(|(id, (severity, finding))| format!("{id}: {severity}: {finding}")).collect()
}

/// A server of ours has no weakness that testssl knows, and testssl has looked for them.
fn judge(report: &Report) {
    assert_eq!(objections(report), Vec::<String>::new());
    let not_good: Vec<_> = LOOKED_AT
        .iter()
        .map(|id| (id, report.get(*id)))
        .filter(|(_, found)| found.is_none_or(|(severity, _)| severity != "OK"))
        .collect();
    assert!(not_good.is_empty(), "{not_good:?}");
    for (excused, why) in EXCUSED {
        let found = report.get(excused).is_some_and(|(severity, _)| BAD.contains(&severity.as_str()));
        assert!(found, "{excused} needs no excuse any more ({why})");
    }
}

/// A daemon with a certificate, and one more service.
fn server(name: &str, service: &str) -> Daemon {
    let mut daemon = Daemon::prepare(name, "", service);
    let [certificate, key] = certificate(&daemon.config());
    daemon.write_main_cf(&format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n",
        certificate.display(),
        key.display()
    ));
    daemon.run();
    daemon
}

#[test]
fn testssl_finds_no_weakness_behind_starttls() {
    let daemon = server("testssl-starttls", "");
    judge(&report(daemon.path(), &["-t", "smtp"], daemon.port));
    assert!(!daemon.log().contains("panic"), "and it does no harm");
}

#[test]
fn testssl_finds_no_weakness_where_tls_begins_at_once() {
    let port = free_port();
    let service = format!("127.0.0.1:{port} inet n - n - - smtpd\n    -o smtpd_tls_wrappermode=yes");
    let daemon = server("testssl-wrapper", &service);
    judge(&report(daemon.path(), &[], port));
    assert!(!daemon.log().contains("panic"), "and it does no harm");
}

/// A server that is weak on purpose; it ends with its owner.
struct Weak(Child);

impl Drop for Weak {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn testssl_finds_the_weaknesses_of_a_server_that_has_some() {
    let (scratch, port) = (Scratch::new("testssl-weak"), free_port());
    let [certificate, key] = certificate(scratch.path());
    // As weak as Debian's OpenSSL still can be: TLS 1.0, and ciphers that do without a certificate or without secrecy.
    let weak = Command::new(program("openssl", "openssl"))
        .args(["s_server", "-quiet", "-tls1", "-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0", "-accept"])
        .arg(format!("127.0.0.1:{port}"))
        .arg("-cert")
        .arg(certificate)
        .arg("-key")
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it was found");
    let _weak = Weak(weak);
    wait_for("the weak server", || TcpStream::connect(("127.0.0.1", port)).ok());
    let found = objections(&report(scratch.path(), &[], port));
    for id in ["TLS1", "cipherlist_NULL", "cipherlist_aNULL", "cipherlist_AVERAGE", "BEAST", "LUCKY13"] {
        assert!(found.iter().any(|text| text.starts_with(&format!("{id}: "))), "{id} is not in {found:?}");
    }
}
