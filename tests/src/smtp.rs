//! A client that says what it is told to.

use crate::PATIENCE;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    /// What the server said first.
    pub greeting: String,
}

impl Client {
    /// Connects to a port of loopback and reads the greeting.
    ///
    /// # Panics
    /// When nobody answers.
    #[must_use]
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        // A dot that waits for the acknowledgement of what is before it costs 40 ms.
        stream.set_nodelay(true).expect("a socket takes an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        let mut client = Self { stream: BufReader::new(stream), greeting: String::new() };
        client.greeting = client.reply();
        client
    }

    /// Writes octets as they are.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn send(&mut self, octets: &[u8]) {
        self.stream.get_mut().write_all(octets).expect("the server reads");
    }

    /// The next reply, if one begins within this time.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn reply_within(&mut self, time: std::time::Duration) -> Option<String> {
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(time)).expect("a socket takes a time-out");
        let begins = !self.stream.buffer().is_empty() || stream.peek(&mut [0]).is_ok();
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        begins.then(|| self.reply())
    }

    /// Says that nothing more comes, and still listens.
    pub fn fall_silent(&mut self) {
        _ = self.stream.get_mut().shutdown(std::net::Shutdown::Write);
    }

    /// Reads a reply, all its lines; empty at the end of the connection.
    ///
    /// # Panics
    /// When the server says nothing.
    pub fn reply(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).expect("the server answers") == 0 {
                return text;
            }
            text.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return text;
            }
        }
    }

    /// Says a command; its reply.
    pub fn say(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes());
        self.reply()
    }

    /// Says a command and wants a reply that starts so.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn expect(&mut self, command: &str, reply: &str) -> String {
        let got = self.say(command);
        assert!(got.starts_with(reply), "{command}: wanted {reply}, got {got}");
        got
    }

    /// One message, from EHLO to the reply after the dot; `content` has CRLF lines and no dots to stuff.
    ///
    /// # Panics
    /// When a command is refused.
    #[track_caller]
    pub fn deliver(&mut self, sender: &str, recipients: &[&str], content: &str) -> String {
        self.expect("EHLO client.test", "250");
        self.transaction(sender, recipients, content)
    }

    /// One message on a session that has said EHLO.
    ///
    /// # Panics
    /// When a command is refused.
    #[track_caller]
    pub fn transaction(&mut self, sender: &str, recipients: &[&str], content: &str) -> String {
        self.expect(&format!("MAIL FROM:<{sender}>"), "250");
        for recipient in recipients {
            self.expect(&format!("RCPT TO:<{recipient}>"), "250");
        }
        self.expect("DATA", "354");
        self.send(content.as_bytes());
        self.send(b".\r\n");
        self.reply()
    }

    /// Reads to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        _ = self.stream.read_to_end(&mut octets);
        octets
    }
}
