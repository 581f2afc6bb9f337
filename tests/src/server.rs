//! A scripted SMTP or LMTP server that keeps what it was given.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A message that a server was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Argument of MAIL, behind `FROM:`.
    pub mail: String,
    /// Arguments of RCPT, behind `TO:`, of those that were accepted.
    pub recipients: Vec<String>,
    /// Content, dots unstuffed.
    pub content: Vec<u8>,
}

/// What a server does instead of accepting.
pub type Script = dyn Fn(&str, usize) -> Answer + Send + Sync;

/// An answer of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The usual one.
    Usual,
    /// This text, with its CRLF.
    Say(String),
    /// Close without a word.
    Hangup,
    /// Say the usual, read so many octets of the content, and close (only at DATA).
    HangupInContent(usize),
    /// Take the message, then close without a word (only at the end of data).
    TakeAndHangup,
    /// Take the message, say so, then close (only at the end of data).
    ReplyAndHangup,
    /// Nothing, until the client gives up.
    Silence,
    /// Say the usual, shake hands, and go on under TLS (only at STARTTLS); at the greeting, shake hands first.
    Secure,
    /// The same, and in one segment with the usual more octets in the clear (only at STARTTLS).
    SecureBehind(String),
    /// Say the usual and what is no handshake, then close (only at STARTTLS).
    SecureBadly,
}

/// How a conversation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Not at all.
    Ended,
    /// Under TLS; greeted there, if it had not been before.
    Secured { greets: bool },
}

/// A server on loopback.
#[derive(Clone)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
    heard: Arc<Mutex<Vec<String>>>,
    verbs: Arc<Mutex<BTreeMap<String, usize>>>,
    open: Arc<AtomicUsize>,
}

impl Server {
    /// Accepts everything.
    #[must_use]
    pub fn start() -> Self {
        Self::scripted(|_, _| Answer::Usual)
    }

    /// The script sees each command line (`GREETING` at the start, `.` at the end of data) and how often that verb came before
    /// in all sessions.
    ///
    /// # Panics
    /// When loopback has no free port.
    #[must_use]
    pub fn scripted(script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::scripted_at("127.0.0.1:0", script)
    }

    /// The same, at an address and port of this host.
    ///
    /// # Panics
    /// When it is not free.
    #[must_use]
    pub fn scripted_at(
        address: &str,
        script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let address = listener.local_addr().expect("a bound socket has an address");
        let server = Self::at(address);
        let (inside, script) = (server.clone(), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (server, script) = (inside.clone(), Arc::clone(&script));
                thread::spawn(move || {
                    // Each reply is a write of its own: held back by Nagle until the one before it is acknowledged, mail would pass at 25 a second and connection.
                    _ = stream.set_nodelay(true);
                    server.open.fetch_add(1, Ordering::Relaxed);
                    _ = server.serve(stream, &*script);
                    server.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        server
    }

    /// Accepts everything on a socket of this host.
    ///
    /// # Panics
    /// When the path cannot be bound.
    #[must_use]
    pub fn on_socket(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a free path");
        let server = Self::at(SocketAddr::from(([127, 0, 0, 1], 0)));
        let inside = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = inside.clone();
                thread::spawn(move || {
                    let usual = |_: &str, _| Answer::Usual;
                    let reader = stream.try_clone().map(BufReader::new);
                    _ = reader.and_then(|reader| server.talk(reader, &stream, &usual, Some("GREETING")));
                });
            }
        });
        server
    }

    fn at(address: SocketAddr) -> Self {
        Self {
            address,
            taken: Arc::default(),
            heard: Arc::default(),
            verbs: Arc::default(),
            open: Arc::default(),
        }
    }

    /// How many sessions have not ended.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Messages so far.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Command lines so far.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for so many messages.
    ///
    /// # Panics
    /// When they do not come.
    #[track_caller]
    #[must_use]
    pub fn wait(&self, count: usize) -> Vec<Taken> {
        crate::wait_for(&format!("{count} messages at the server"), || {
            let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            (taken.len() >= count).then(|| taken.clone())
        })
    }

    /// How many messages so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn hear(&self, line: &str, script: &Script) -> Answer {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let verb = verb_of(line);
        heard.push(line.to_owned());
        drop(heard);
        let mut verbs = self.verbs.lock().unwrap_or_else(PoisonError::into_inner);
        let count = verbs.entry(verb).or_default();
        let before = *count;
        *count += 1;
        drop(verbs);
        script(line, before)
    }

    /// One session, in the clear and then, if the script says so, under TLS.
    fn serve(&self, stream: TcpStream, script: &Script) -> std::io::Result<()> {
        let reader = BufReader::new(stream.try_clone()?);
        let Next::Secured { greets } = self.talk(reader, &stream, script, Some("GREETING"))? else {
            return Ok(());
        };
        let mut secured = crate::tls::accept(stream)?;
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push("[under TLS]".to_owned());
        if greets {
            secured.write_all(usual("GREETING").as_bytes())?;
        }
        self.talk(BufReader::new(secured.clone()), secured, script, None).map(drop)
    }

    /// Talks, from what is heard first on; `None` if the client is to speak.
    fn talk(
        &self,
        mut reader: impl BufRead,
        mut writer: impl Write,
        script: &Script,
        first: Option<&str>,
    ) -> std::io::Result<Next> {
        let mut message = Taken::default();
        let mut lmtp = false;
        let mut heard = match first {
            Some(first) => Some(first.to_owned()),
            None => read_line(&mut reader)?,
        };
        while let Some(line) = heard {
            let answer = self.hear(&line, script);
            let verb = verb_of(&line);
            lmtp |= verb == "LHLO";
            match answer {
                Answer::Hangup | Answer::TakeAndHangup | Answer::ReplyAndHangup => return Ok(Next::Ended),
                Answer::Silence => {
                    return std::io::copy(&mut reader, &mut std::io::sink()).map(|_| Next::Ended);
                }
                Answer::HangupInContent(count) => {
                    writer.write_all(usual(&verb).as_bytes())?;
                    return reader.read_exact(&mut vec![0; count]).map(|()| Next::Ended);
                }
                Answer::Secure if verb == "GREETING" => return Ok(Next::Secured { greets: true }),
                Answer::Secure | Answer::SecureBehind(_) => {
                    let behind = if let Answer::SecureBehind(octets) = &answer { octets } else { "" };
                    writer.write_all(format!("{READY}{behind}").as_bytes())?;
                    return Ok(Next::Secured { greets: false });
                }
                Answer::SecureBadly => return shake_badly(&mut reader, &mut writer),
                Answer::Say(text) => {
                    writer.write_all(text.as_bytes())?;
                    let goes_on = verb != "DATA" || !text.starts_with('3');
                    if !goes_on && !self.content(&mut reader, &mut writer, script, &mut message, lmtp)? {
                        return Ok(Next::Ended);
                    }
                }
                Answer::Usual => {
                    if verb == "RCPT" {
                        message.recipients.push(line.get(8..).unwrap_or_default().to_owned());
                    }
                    writer.write_all(usual(&verb).as_bytes())?;
                    if verb == "DATA"
                        && !self.content(&mut reader, &mut writer, script, &mut message, lmtp)?
                    {
                        return Ok(Next::Ended);
                    }
                }
            }
            match verb.as_str() {
                "MAIL" => {
                    message =
                        Taken { mail: line.get(10..).unwrap_or_default().to_owned(), ..Taken::default() };
                }
                "QUIT" => return Ok(Next::Ended),
                _ => {}
            }
            heard = read_line(&mut reader)?;
        }
        Ok(Next::Ended)
    }

    fn content(
        &self,
        reader: &mut impl BufRead,
        writer: &mut impl Write,
        script: &Script,
        message: &mut Taken,
        lmtp: bool,
    ) -> std::io::Result<bool> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(false);
            }
            if line == b".\r\n" {
                break;
            }
            message.content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        let answer = self.hear(".", script);
        let accepts = match &answer {
            Answer::Say(text) => text.starts_with('2'),
            Answer::Usual | Answer::TakeAndHangup | Answer::ReplyAndHangup => true,
            Answer::Hangup
            | Answer::HangupInContent(_)
            | Answer::Silence
            | Answer::Secure
            | Answer::SecureBehind(_)
            | Answer::SecureBadly => false,
        };
        if accepts {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.push(std::mem::take(message));
        }
        match answer {
            Answer::Usual => {
                let count = if lmtp {
                    let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                    taken.last().map_or(1, |message| message.recipients.len())
                } else {
                    1
                };
                (0..count).try_for_each(|_| writer.write_all(b"250 2.0.0 Ok: taken\r\n"))?;
            }
            Answer::Say(text) => writer.write_all(text.as_bytes())?,
            Answer::ReplyAndHangup => {
                writer.write_all(b"250 2.0.0 Ok: taken\r\n")?;
                return Ok(false);
            }
            Answer::Silence => return std::io::copy(reader, &mut std::io::sink()).map(|_| false),
            Answer::Hangup
            | Answer::TakeAndHangup
            | Answer::HangupInContent(_)
            | Answer::Secure
            | Answer::SecureBehind(_)
            | Answer::SecureBadly => return Ok(false),
        }
        Ok(true)
    }
}

/// What comes before a handshake.
const READY: &str = "220 2.0.0 ready for TLS\r\n";

/// The client speaks first: what it says must not be answered by a reset.
fn shake_badly(reader: &mut impl BufRead, writer: &mut impl Write) -> std::io::Result<Next> {
    writer.write_all(READY.as_bytes())?;
    reader.fill_buf()?;
    writer.write_all(b"this is no handshake\r\n")?;
    Ok(Next::Ended)
}

/// The next line without its end; `None` at the end of all.
fn read_line(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut octets = Vec::new();
    let count = reader.read_until(b'\n', &mut octets)?;
    let line = String::from_utf8_lossy(&octets).trim_end_matches(['\r', '\n']).to_owned();
    Ok((count > 0).then_some(line))
}

/// Closes both ways at once.
pub fn reset(stream: &TcpStream) {
    _ = stream.shutdown(std::net::Shutdown::Both);
}

fn verb_of(line: &str) -> String {
    line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase()
}

fn usual(verb: &str) -> &'static str {
    match verb {
        "GREETING" => "220 server.test ESMTP\r\n",
        "EHLO" | "LHLO" => {
            "250-server.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n"
        }
        "DATA" => "354 go on\r\n",
        "QUIT" => "221 2.0.0 bye\r\n",
        _ => "250 2.0.0 Ok\r\n",
    }
}
