//! A client that says what it is told to.

use crate::PATIENCE;
use crate::tls::Secured;
use std::io::{BufRead, BufReader, ErrorKind, Read, Result, Write};
use std::net::TcpStream;

/// What a session runs over.
#[derive(Debug)]
pub(crate) enum Wire {
    /// As it is.
    Clear(TcpStream),
    /// Under TLS.
    Tls(Box<Secured>),
}

impl Wire {
    /// What it lies on.
    pub(crate) const fn socket(&self) -> &TcpStream {
        match self {
            Self::Clear(stream) => stream,
            Self::Tls(secured) => &secured.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buffer),
            Self::Tls(secured) => secured.read(buffer),
        }
    }
}

impl Write for Wire {
    /// Under TLS in a record of their own.
    fn write(&mut self, octets: &[u8]) -> Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(octets),
            Self::Tls(secured) => secured.write(octets),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Tls(secured) => secured.flush(),
        }
    }
}

/// A connection to a server, in the clear or under TLS.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<Wire>,
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
        let mut client = Self { stream: BufReader::new(Wire::Clear(stream)), greeting: String::new() };
        client.greeting = client.reply();
        client
    }

    /// Says STARTTLS and, in the same segment, more; then shakes hands.
    ///
    /// # Panics
    /// When the server does not.
    #[must_use]
    pub fn secure(mut self, behind: &[u8]) -> Self {
        self.send(&[b"STARTTLS\r\n", behind].concat());
        let reply = self.reply();
        assert!(reply.starts_with("220 "), "{reply}");
        assert!(self.stream.buffer().is_empty(), "nothing is said between the reply and the handshake");
        let wire = match self.stream.into_inner() {
            Wire::Clear(stream) => Wire::Tls(Box::new(crate::tls::handshake(stream))),
            Wire::Tls(_) => panic!("it is under TLS"),
        };
        Self { stream: BufReader::new(wire), greeting: self.greeting }
    }

    /// Writes octets as they are; under TLS in a record of their own.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn send(&mut self, octets: &[u8]) {
        self.try_send(octets).expect("the server reads");
    }

    /// The same to a server that may be gone.
    ///
    /// # Errors
    /// It is gone.
    pub fn try_send(&mut self, octets: &[u8]) -> Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(octets).and_then(|()| stream.flush())
    }

    /// The next reply, if one begins within this time.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn reply_within(&mut self, time: std::time::Duration) -> Option<String> {
        let stream = self.stream.get_ref().socket();
        stream.set_read_timeout(Some(time)).expect("a socket takes a time-out");
        let begins = !self.stream.buffer().is_empty() || stream.peek(&mut [0]).is_ok();
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        begins.then(|| self.reply())
    }

    /// Says that nothing more comes, and still listens.
    pub fn fall_silent(&mut self) {
        _ = self.stream.get_ref().socket().shutdown(std::net::Shutdown::Write);
    }

    /// Reads a reply, all its lines; what there is of it at the end of the connection.
    ///
    /// # Panics
    /// When the server says nothing.
    pub fn reply(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut line = Vec::new();
            match self.stream.read_until(b'\n', &mut line) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("the server has not answered in {PATIENCE:?}")
                }
                Ok(1..) => text.push_str(&String::from_utf8_lossy(&line)),
                Ok(0) | Err(_) => return text,
            }
            if line.get(3) != Some(&b'-') {
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

    /// Reads to the end of the connection, which must be an end and no cut: under TLS the server has to say so.
    ///
    /// # Errors
    /// The connection was reset, or ended without TLS's own word.
    pub fn end(&mut self) -> std::io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        self.stream.read_to_end(&mut octets)?;
        Ok(octets)
    }

    /// Reads to the end of the connection, however it ends.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        _ = self.stream.read_to_end(&mut octets);
        octets
    }
}

/// Says words, if there are any, to a server that may go at any moment: the last line of its reply, or `None` when it is gone.
pub fn say(stream: &mut BufReader<TcpStream>, words: &[u8]) -> Option<String> {
    stream.get_mut().write_all(words).ok()?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Some(line);
        }
    }
}
