//! The client's side of a situation: what it says, and what it hears.

use super::corpus::{Situation, Step};
use crate::smtp::Wire;
use crate::world::SERVER;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// How long a server may think.
const REPLY: Duration = Duration::from_secs(15);

/// Plays the steps: the lines of the transcript.
///
/// # Panics
/// When the server cannot be reached or does not answer in time.
#[must_use]
pub fn play(situation: &Situation, client: &str) -> Vec<String> {
    let mut player = Player::connect(client, situation.port, situation.wrapped);
    for step in &situation.steps {
        player.step(step);
    }
    player.leave();
    player.heard
}

struct Player {
    stream: BufReader<Wire>,
    heard: Vec<String>,
    pending: Vec<String>,
    /// Octets that were said and not yet answered.
    said: String,
    in_content: bool,
    open: bool,
}

impl Player {
    fn connect(client: &str, port: u16, wrapped: bool) -> Self {
        let server: SocketAddr = format!("{SERVER}:{port}").parse().expect("an address");
        let stream = connect_from(client, server);
        stream.set_nodelay(true).expect("a socket takes an option");
        stream.set_read_timeout(Some(REPLY)).expect("a socket takes a time-out");
        let wire = if wrapped { secured(stream) } else { Wire::Clear(stream) };
        let mut player = Self {
            stream: BufReader::new(wire),
            heard: Vec::new(),
            pending: Vec::new(),
            said: String::new(),
            in_content: false,
            open: true,
        };
        player.read("[connect]");
        player
    }

    fn step(&mut self, step: &Step) {
        match step {
            _ if !self.open => {}
            Step::Say(line) if line == "." && !self.in_content => {}
            Step::Say(line) => {
                self.pending.push(line.clone());
                let lines = std::mem::take(&mut self.pending);
                let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
                self.send(text.as_bytes());
                lines.iter().for_each(|line| self.read(line));
            }
            Step::Pipeline(line) => self.pending.push(line.clone()),
            Step::Octets(text) => {
                self.said = text.clone();
                self.send(&octets(text));
            }
            Step::Content(line) if self.in_content => {
                let mut line = octets(line);
                line.extend_from_slice(b"\r\n");
                self.send(&line);
            }
            Step::Content(_) => {}
            Step::Read => {
                let said = std::mem::take(&mut self.said);
                self.read(&said);
            }
            Step::Close => {
                self.open = false;
                crate::server::reset(self.stream.get_ref().socket());
            }
            Step::Secure => self.secure(),
            Step::Run { command, .. } => panic!("a client runs no command: {command}"),
        }
    }

    fn send(&mut self, octets: &[u8]) {
        // A server that has hung up is heard of when we read.
        let stream = self.stream.get_mut();
        _ = stream.write_all(octets).and_then(|()| stream.flush());
    }

    /// Goes on under TLS, if the server has just said that it is ready; the transcript has which version both speak.
    fn secure(&mut self) {
        if !self.heard.last().is_some_and(|line| line.starts_with("STARTTLS") && line.contains(" => 220 ")) {
            self.heard.push("[no handshake]".to_owned());
            return;
        }
        let Wire::Clear(stream) = self.stream.get_ref() else { panic!("it is under TLS: {:#?}", self.heard) };
        let wire = secured(stream.try_clone().expect("a socket"));
        if let Wire::Tls(secured) = &wire {
            self.heard.push(format!("[handshake] => {:?}", secured.conn.protocol_version()));
        }
        self.stream = BufReader::new(wire);
    }

    /// Reads a reply: one line of the transcript for each of its lines, behind what it answers.
    fn read(&mut self, said: &str) {
        let said = shortened(said);
        while self.open {
            let mut line = Vec::new();
            let count = match self.stream.read_until(b'\n', &mut line) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("no reply in {REPLY:?} to {said} after {:#?}", self.heard)
                }
                read => read.unwrap_or(0),
            };
            self.open = count > 0;
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            let text = if self.open { super::normal::visible(&text) } else { "[closed]".to_owned() };
            self.heard.push(format!("{said} => {text}"));
            if text.as_bytes().get(3) != Some(&b'-') {
                self.in_content = text.starts_with("354");
                return;
            }
        }
    }

    fn leave(&mut self) {
        if self.open && !self.in_content {
            self.send(b"QUIT\r\n");
            self.read("QUIT");
        }
    }
}

fn secured(stream: TcpStream) -> Wire {
    Wire::Tls(Box::new(crate::tls::handshake(stream)))
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(200) {
        Some((at, _)) => format!("{}… ({} octets)", &line[..at], line.len()),
        None => line.to_owned(),
    }
}

/// Connects from an address of ours.
///
/// # Panics
/// When the server does not listen.
#[must_use]
pub fn connect_from(client: &str, server: SocketAddr) -> TcpStream {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).expect("a socket");
    let address = |text: SocketAddr| match text {
        SocketAddr::V4(address) => SockaddrIn::from(address),
        SocketAddr::V6(address) => panic!("{address} is no IPv4 address"),
    };
    let own: SocketAddr = format!("{client}:0").parse().expect("an address");
    bind(fd.as_raw_fd(), &address(own)).unwrap_or_else(|error| panic!("from {client}: {error}"));
    connect(fd.as_raw_fd(), &address(server)).unwrap_or_else(|error| panic!("{server}: {error}"));
    TcpStream::from(fd)
}

/// Octets of a text with escapes `\r \n \t \0 \\ \xHH`.
///
/// # Panics
/// When an escape is none of these.
#[must_use]
pub fn octets(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            out.push(first);
            continue;
        }
        let (&kind, after) = rest.split_first().expect("an escape");
        rest = after;
        out.push(match kind {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let digits = std::str::from_utf8(&rest[..2]).expect("two digits");
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
            }
            other => panic!("\\{} in {text}", char::from(other)),
        });
    }
    out
}
