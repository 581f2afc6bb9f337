//! Row S13 of the attacks, behind the dialogues: addresses that a shell would obey are text to every program that handles them, and no
//! program is run, as strace saw it.

use postrider_tests::daemon::Daemon;
use postrider_tests::program;
use postrider_tests::server::Server;
use postrider_tests::smtp::Client;
use std::fs;

/// Local parts that would run something, were they ever part of a command line.
const TRAPS: [&str; 9] = [
    "\";touch trap;\"",
    "\"|touch trap\"",
    "\"`touch trap`\"",
    "\"$(touch trap)\"",
    "$(touch$IFS'trap')",
    "a|touch${IFS}trap",
    "`touch$IFS'trap'`",
    "-oQtrap",
    "\"> trap\"",
];

/// The message is refused, or taken.
fn attempt(client: &mut Client, sender: &str, recipient: &str) -> bool {
    for command in [format!("MAIL FROM:<{sender}>"), format!("RCPT TO:<{recipient}>"), "DATA".to_owned()] {
        let reply = client.say(&command);
        if reply.starts_with('5') {
            client.expect("RSET", "250");
            return false;
        }
        assert!(reply.starts_with(['2', '3']), "{command}: {reply}");
    }
    client.expect(&format!("Subject: x\r\nFrom: {sender}\r\n\r\nx\r\n."), "250");
    true
}

#[test]
fn an_address_that_a_shell_would_obey_is_text_and_runs_nothing() {
    let server = Server::start();
    let lines = format!("relayhost = [127.0.0.1]:{}", server.address.port());
    let mut daemon = Daemon::prepare("no-shell", &lines, "");
    let trace = daemon.path().join("trace");
    let words = ["-f", "-qq", "-o", trace.to_str().expect("UTF-8"), "-e", "trace=execve,execveat"];
    daemon.starter = vec![program("strace", "strace").into()];
    daemon.starter.extend(words.map(Into::into));
    daemon.run();
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    let mut taken = 0;
    for trap in TRAPS {
        for domain in ["far.test", "here.test"] {
            let victim = format!("{trap}@{domain}");
            taken += usize::from(attempt(&mut client, &victim, "you@here.test"));
            taken += usize::from(attempt(&mut client, "me@origin.test", &victim));
        }
    }
    assert!(taken > TRAPS.len(), "only {taken} were taken");
    daemon.wait_until_the_queue_is_empty();
    assert!(!server.taken().is_empty(), "some were relayed");
    let seen = fs::read_to_string(&trace).expect("a trace");
    let runs: Vec<&str> = seen.lines().filter(|line| line.contains("execve")).collect();
    assert!(!runs.is_empty(), "strace saw the daemon itself begin");
    // As root it begins a second time, as the helper that keeps root.
    let ours = ["/postrider\", ", "execve(\"/proc/self/exe\", [\"postrider\", \"--keep-root\"]"];
    let others: Vec<_> = runs.iter().filter(|line| !ours.iter().any(|ours| line.contains(ours))).collect();
    assert!(others.is_empty(), "{others:?}");
    let trapped = |folder: &std::path::Path| folder.join("trap").exists();
    assert!(!trapped(daemon.path()) && !trapped(std::path::Path::new(".")));
    // A signal would reach strace.
    assert!(daemon.command(&["stop"]).status.success());
    assert_eq!(daemon.wait(), Some(0));
}
