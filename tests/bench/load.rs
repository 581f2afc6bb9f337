//! The generator and the sink, Postfix's own: smtp-source(1) and smtp-sink(1).

use crate::server::{Rig, Server};
use postrider_tests::{program, wait_for};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Connections of the generator.
pub(crate) const CONNECTIONS: usize = 20;
/// Octets of a message, its header not counted.
pub(crate) const SIZE: usize = 4_096;

/// One run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Messages a second.
    pub(crate) rate: f64,
    /// Seconds of CPU for a thousand messages, children and work after the last message counted.
    pub(crate) cpu: f64,
}

/// What the generator sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mail {
    /// How many.
    pub(crate) messages: usize,
    /// Octets of each.
    pub(crate) size: usize,
    /// A connection takes more than one.
    pub(crate) keep: bool,
}

impl Mail {
    /// So many of the usual size, a connection each.
    #[must_use]
    pub(crate) const fn new(messages: usize) -> Self {
        Self { messages, size: SIZE, keep: false }
    }
}

/// A sink that ends after so many messages.
#[must_use]
pub(crate) fn sink(rig: &Rig, messages: usize) -> Child {
    let child = Command::new(program("smtp-sink", "postfix"))
        .args([
            "-4",
            "-u",
            "nobody",
            "-m",
            "256",
            "-M",
            &messages.to_string(),
            &format!("127.0.0.1:{}", rig.sink),
            "256",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("smtp-sink runs");
    // A connection without a message does not count.
    wait_for("the sink to listen", || TcpStream::connect(("127.0.0.1", rig.sink)).ok());
    child
}

/// The generator.
#[must_use]
pub(crate) fn source(rig: &Rig, mail: Mail) -> Child {
    let mut command = Command::new(program("smtp-source", "postfix"));
    command.args(["-4", "-s", &CONNECTIONS.min(mail.messages).to_string(), "-m", &mail.messages.to_string()]);
    command.args(["-l", &mail.size.to_string(), "-M", "client.test", "-f", "from@client.test"]);
    command.args(["-t", "to@elsewhere.test"]);
    if mail.keep {
        command.arg("-d");
    }
    command.arg(format!("127.0.0.1:{}", rig.port)).stdin(Stdio::null()).spawn().expect("smtp-source runs")
}

fn finish(what: &str, child: &mut Child) {
    let limit = Instant::now() + Duration::from_secs(600);
    loop {
        match child.try_wait().expect("our child") {
            Some(status) => return assert!(status.success(), "{what}: {status}"),
            None if Instant::now() > limit => {
                _ = child.kill();
                panic!("{what} does not end");
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Mail from the generator through the server to the sink.
#[must_use]
pub(crate) fn relay(rig: &Rig, server: &Server<'_>, mail: Mail) -> Figures {
    server.rest();
    let mut sink = sink(rig, mail.messages);
    let (cpu, start) = (server.cpu(), Instant::now());
    let mut source = source(rig, mail);
    finish("smtp-source", &mut source);
    finish("smtp-sink", &mut sink);
    figures(server, mail, cpu, start)
}

/// Mail from the generator to the server, which keeps it.
#[must_use]
pub(crate) fn accept(rig: &Rig, server: &Server<'_>, mail: Mail) -> Figures {
    server.rest();
    let (cpu, start) = (server.cpu(), Instant::now());
    finish("smtp-source", &mut source(rig, mail));
    figures(server, mail, cpu, start)
}

fn figures(server: &Server<'_>, mail: Mail, cpu: u64, start: Instant) -> Figures {
    let took = start.elapsed().as_secs_f64();
    server.rest();
    let used = (server.cpu() - cpu) as f64 / 1e6;
    let count = mail.messages as f64;
    Figures { rate: count / took, cpu: used / count * 1_000.0 }
}
