//! Those whom the daemon talks to in a simulated world: a name server, a server that takes mail, a client that submits it.
//!
//! The same for turmoil and madsim. They speak just enough to be believed, and misbehave when a script says so.

use super::net::{TcpListener, TcpStream, UdpSocket, send_to};
use super::witness::{self, Caller};
use crate::oracle::Verdict;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::MX;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};
use postrider_core::ask::RecordKind;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What [`submit`] tells messages apart by.
const WORD: &str = "X-Word: ";
/// Octets of a line of a letter, more or less.
const LINE: usize = 50;
/// A client gives up on a server that says nothing for so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Seconds for which what a name server says holds.
const TTL: u32 = 3600;

/// A name server.
#[derive(Debug, Clone, Default)]
pub struct Names {
    zones: BTreeMap<(String, RecordType), Vec<RData>>,
    /// What the oracle is told in place of [`TTL`].
    claimed: Option<Duration>,
}

impl Names {
    /// The oracle hears another time to live than who asks: for a test that breaks a rule on purpose.
    #[must_use]
    pub fn claiming(mut self, ttl: Duration) -> Self {
        self.claimed = Some(ttl);
        self
    }

    /// A domain whose mail goes to the host `mx.DOMAIN` with this address.
    ///
    /// # Panics
    /// When the domain is none.
    #[must_use]
    pub fn domain(mut self, domain: &str, address: Ipv4Addr) -> Self {
        let host = format!("mx.{domain}.");
        let exchange = Name::from_ascii(&host).expect("a host name");
        self.zones.insert((domain.to_owned(), RecordType::MX), vec![RData::MX(MX::new(10, exchange))]);
        let host = host.trim_end_matches('.').to_owned();
        self.zones.insert((host, RecordType::A), vec![RData::A(address.into())]);
        self
    }

    /// Answers for ever.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn serve(self) -> io::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 53)).await?;
        let mut buffer = [0; 4096];
        loop {
            let (count, from) = socket.recv_from(&mut buffer).await?;
            let Ok(query) = Message::from_bytes(&buffer[..count]) else { continue };
            let Some(reply) = self.answer(&query) else { continue };
            self.testify(&reply, from.ip());
            send_to(&socket, &reply.to_bytes().expect("our own records encode"), from).await?;
        }
    }

    /// Tells the witness what is about to be said, and to whom.
    fn testify(&self, reply: &Message, asker: IpAddr) {
        let Some(question) = reply.queries.first().filter(|_| !reply.answers.is_empty()) else { return };
        let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let ttl = self.claimed.unwrap_or(Duration::from_secs(u64::from(TTL)));
        match question.query_type() {
            RecordType::MX => witness::named(asker, &name, RecordKind::Mx, ttl),
            RecordType::A => witness::named(asker, &name, RecordKind::A, ttl),
            _ => {}
        }
    }

    fn answer(&self, query: &Message) -> Option<Message> {
        let question = query.queries.first()?.clone();
        let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        reply.metadata.recursion_desired = true;
        reply.metadata.recursion_available = true;
        match self.zones.get(&(name.clone(), question.query_type())) {
            Some(records) => {
                let owner = question.name().clone();
                reply.answers =
                    records.iter().map(|data| Record::from_rdata(owner.clone(), TTL, data.clone())).collect();
            }
            None if self.zones.keys().any(|(other, _)| *other == name) => {}
            None => reply.metadata.response_code = ResponseCode::NXDomain,
        }
        reply.queries = vec![question];
        Some(reply)
    }
}

/// A connection, by lines.
struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.flush().await
    }

    /// The next line without its end; nothing at the end of the connection.
    async fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.unread.iter().position(|&octet| octet == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await? {
                0 => return Ok(None),
                count => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// A reply's last line.
    async fn reply(&mut self) -> io::Result<String> {
        loop {
            let line = self.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line);
            }
        }
    }
}

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// What a server does.
    Usual,
    /// Says this in place of the usual reply, and takes no mail.
    Say(&'static str),
    /// Closes without a word; with data, in the middle of it.
    Hangup,
    /// Takes the message, then closes without a word.
    TakeAndHangup,
    /// Says that it has taken the message, and has not.
    Forget,
}

/// A message that a server has taken.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// The sender's line.
    pub mail: String,
    /// The recipients' lines.
    pub recipients: Vec<String>,
    /// Without dot stuffing.
    pub content: String,
}

impl Taken {
    /// What [`submit`] was given to tell messages apart by.
    fn word(&self) -> Option<&str> {
        let (header, _) = self.content.split_once("\n\n")?;
        header.lines().find_map(|line| line.strip_prefix(WORD))
    }

    /// The addresses of its recipients.
    fn addresses(&self) -> Vec<String> {
        self.recipients.iter().map(|line| address(line)).collect()
    }
}

type Script = dyn Fn(&str, usize) -> Manner + Send + Sync;

/// A server of SMTP or LMTP. What it takes survives its host.
#[derive(Clone)]
pub struct Sink {
    taken: Arc<Mutex<Vec<Taken>>>,
    heard: Arc<Mutex<BTreeMap<String, usize>>>,
    script: Arc<Script>,
}

impl Default for Sink {
    /// Takes everything.
    fn default() -> Self {
        Self::scripted(|_, _| Manner::Usual)
    }
}

impl Sink {
    /// The script sees each verb (`CONNECT` at the start, `CONTENT` within data, `.` at its end), and how often it came before.
    #[must_use]
    pub fn scripted(script: impl Fn(&str, usize) -> Manner + Send + Sync + 'static) -> Self {
        Self { taken: Arc::default(), heard: Arc::default(), script: Arc::new(script) }
    }

    /// What it took so far.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it heard a verb.
    #[must_use]
    pub fn heard(&self, verb: &str) -> usize {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(verb).copied().unwrap_or_default()
    }

    /// Copies of a message, by its word.
    #[must_use]
    pub fn copies(&self, word: &str) -> usize {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().filter(|message| message.word() == Some(word)).count()
    }

    /// Serves for ever.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn serve(self, at: SocketAddr) -> io::Result<()> {
        let listener = TcpListener::bind(at).await?;
        loop {
            let (stream, peer) = listener.accept().await?;
            let sink = self.clone();
            tokio::spawn(async move { sink.talk(Wire::new(stream), Caller::accepted(peer)).await });
        }
    }

    fn manner(&self, verb: &str) -> Manner {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let count = heard.entry(verb.to_owned()).or_default();
        *count += 1;
        (self.script)(verb, *count - 1)
    }

    async fn talk(&self, mut wire: Wire, mut caller: Caller) -> io::Result<()> {
        let mut message = Taken::default();
        let mut line = "CONNECT".to_owned();
        loop {
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            caller.says(&verb, &line);
            match self.manner(&verb) {
                Manner::Hangup | Manner::TakeAndHangup => return Ok(()),
                Manner::Say(text) => {
                    if verb == "RCPT" && text.starts_with('5') {
                        witness::refused(&address(&line));
                    }
                    wire.say(text).await?;
                }
                Manner::Usual | Manner::Forget => {
                    match verb.as_str() {
                        "MAIL" => message = Taken { mail: line.clone(), ..Taken::default() },
                        "RCPT" => message.recipients.push(line.clone()),
                        _ => {}
                    }
                    wire.say(usual(&verb)).await?;
                    if verb == "DATA" && !self.data(&mut wire, &mut message, &mut caller).await? {
                        return Ok(());
                    }
                }
            }
            match wire.line().await? {
                Some(next) => line = next,
                None => return Ok(()),
            }
            if verb == "QUIT" {
                return Ok(());
            }
        }
    }

    /// Reads a content and answers for it; false when the connection has ended.
    async fn data(&self, wire: &mut Wire, message: &mut Taken, caller: &mut Caller) -> io::Result<bool> {
        if self.manner("CONTENT") == Manner::Hangup {
            _ = wire.line().await?;
            return Ok(false);
        }
        loop {
            let Some(line) = wire.line().await? else { return Ok(false) };
            if line == "." {
                break;
            }
            message.content.push_str(line.strip_prefix('.').unwrap_or(&line));
            message.content.push('\n');
        }
        let count = if caller.is_lmtp() { message.recipients.len() } else { 1 };
        let manner = self.manner(".");
        let said = match manner {
            Manner::Usual | Manner::TakeAndHangup | Manner::Forget => "250 2.0.0 Ok: taken\r\n".repeat(count),
            Manner::Say(text) => text.to_owned(),
            Manner::Hangup => return Ok(false),
        };
        if matches!(manner, Manner::Usual | Manner::TakeAndHangup) {
            self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(message.clone());
        }
        if manner != Manner::Forget {
            testify(message, &said, caller);
        }
        if manner == Manner::TakeAndHangup {
            return Ok(false);
        }
        caller.ends();
        wire.say(&said).await?;
        Ok(true)
    }
}

/// Tells the witness what replies to a content mean.
fn testify(message: &Taken, replies: &str, caller: &mut Caller) {
    let addresses = message.addresses();
    let content = message.content.replace('\n', "\r\n");
    let first = || replies.lines().next().unwrap_or_default();
    let replies: Vec<&str> = if caller.is_lmtp() {
        replies.lines().collect()
    } else {
        addresses.iter().map(|_| first()).collect()
    };
    let mut takers = Vec::new();
    for (address, reply) in addresses.into_iter().zip(replies) {
        match reply.as_bytes().first() {
            Some(b'2') => takers.push(address),
            Some(b'5') => witness::refused(&address),
            _ => {}
        }
    }
    if !takers.is_empty() {
        caller.hands_over(&takers, content.as_bytes());
    }
}

/// The address in `RCPT TO:<…>`.
pub(super) fn address(line: &str) -> String {
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or_else(String::new, |(address, _)| address.to_owned())
}

fn usual(verb: &str) -> &'static str {
    match verb {
        "CONNECT" => "220 server.test ESMTP\r\n",
        "EHLO" | "LHLO" => "250-server.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n",
        "DATA" => "354 go on\r\n",
        "QUIT" => "221 2.0.0 bye\r\n",
        _ => "250 2.0.0 Ok\r\n",
    }
}

/// Submits a message once, a letter of the witness: its word is in the header, its body has about so many lines.
///
/// # Errors
/// It was not taken; the server's words, or what happened to the connection.
pub async fn submit(server: SocketAddr, recipients: &[&str], word: &str, lines: usize) -> io::Result<()> {
    const SENDER: &str = "alice@here.test";
    let recipients: Vec<String> = recipients.iter().map(|&recipient| recipient.to_owned()).collect();
    let (token, letter) = witness::letter(SENDER, &recipients, lines * LINE);
    // Until the dot is on its way, nobody can have taken it.
    let verdict = Mutex::new(Verdict::Refused);
    let decided = |what| *verdict.lock().unwrap_or_else(PoisonError::into_inner) = what;
    let talk = async {
        let mut wire = Wire::new(TcpStream::connect(server).await?);
        let expect = |reply: String, code: &str| {
            if reply.starts_with(code) { Ok(()) } else { Err(io::Error::other(reply)) }
        };
        expect(wire.reply().await?, "220")?;
        wire.say("EHLO client.test\r\n").await?;
        expect(wire.reply().await?, "250")?;
        wire.say(&format!("MAIL FROM:<{SENDER}>\r\n")).await?;
        expect(wire.reply().await?, "250")?;
        for recipient in &recipients {
            wire.say(&format!("RCPT TO:<{recipient}>\r\n")).await?;
            expect(wire.reply().await?, "250")?;
        }
        wire.say("DATA\r\n").await?;
        expect(wire.reply().await?, "354")?;
        let text = String::from_utf8_lossy(&letter);
        wire.say(&format!("{WORD}{word}\r\n")).await?;
        decided(Verdict::Unknown);
        wire.say(&format!("{}.\r\n", stuffed(&text))).await?;
        let reply = wire.reply().await?;
        decided(witness::answered(server, token, &recipients, &reply));
        expect(reply, "250")?;
        _ = wire.say("QUIT\r\n").await;
        Ok(())
    };
    let result = tokio::time::timeout(PATIENCE, talk).await;
    witness::replied(token, *verdict.lock().unwrap_or_else(PoisonError::into_inner));
    result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// With a second dot where a line begins with one.
fn stuffed(text: &str) -> String {
    text.split_inclusive("\r\n")
        .map(|line| if line.starts_with('.') { format!(".{line}") } else { line.to_owned() })
        .collect()
}

/// Submits until it is taken.
pub async fn insist(server: SocketAddr, recipients: &[&str], word: &str, lines: usize) {
    while submit(server, recipients, word, lines).await.is_err() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Waits until something is so.
///
/// # Panics
/// When it is not within this time.
pub async fn until(limit: Duration, what: impl Fn() -> bool) {
    let began = tokio::time::Instant::now();
    while !what() {
        assert!(began.elapsed() < limit, "it does not happen within {limit:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
