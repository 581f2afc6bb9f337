//! Clients of our own, where smtp-source can not do what a row needs.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A blocking conversation over any stream.
pub(crate) struct Talk<S> {
    reader: BufReader<S>,
}

impl Talk<TcpStream> {
    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut talk = Self::over(stream);
        talk.expect('2')?;
        Ok(talk)
    }
}

impl<S: Read + Write> Talk<S> {
    /// Over a stream whose greeting was read, or does not come.
    pub(crate) fn over(stream: S) -> Self {
        Self { reader: BufReader::with_capacity(512, stream) }
    }

    /// Gives the stream back; what it has said was read.
    pub(crate) fn into_inner(self) -> S {
        self.reader.into_inner()
    }

    fn expect(&mut self, class: char) -> io::Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            if line.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
        if line.starts_with(class) {
            Ok(())
        } else {
            Err(io::Error::other(format!("unexpected reply {line:?}")))
        }
    }

    /// Says a command and reads its reply.
    ///
    /// # Errors
    /// As the system says, or a reply of another class.
    pub(crate) fn say(&mut self, text: &str, class: char) -> io::Result<()> {
        self.send(text.as_bytes())?;
        self.expect(class)
    }

    /// Writes octets.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(octets)
    }

    /// Hands a message over, up to its 250.
    ///
    /// # Errors
    /// As the system says, or a refusal.
    pub(crate) fn deliver(&mut self, content: &[u8]) -> io::Result<()> {
        self.say("MAIL FROM:<from@client.test>\r\n", '2')?;
        self.say("RCPT TO:<to@elsewhere.test>\r\n", '2')?;
        self.say("DATA\r\n", '3')?;
        self.send(content)?;
        self.say(".\r\n", '2')
    }
}

/// A message of about so many octets without leading dots.
#[must_use]
pub(crate) fn message(octets: usize) -> Vec<u8> {
    let mut out =
        b"Subject: a measurement\r\nFrom: <from@client.test>\r\nTo: <to@elsewhere.test>\r\n\r\n".to_vec();
    while out.len() < octets {
        out.extend_from_slice(
            b"A line of text as people write them, of seventy-two octets or thereabouts.\r\n",
        );
    }
    out
}
