//! `source` and `sink`: the two ends of a load test, after smtp-source(1) and smtp-sink(1).
//!
//! Both speak just enough SMTP to load a server on this host and to count. They are tools for tests, not for mail.
//! Options mean what they mean to Postfix's, or are refused; those that change nothing here are taken.

use super::{Failure, print};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

fn usage(text: &str) -> Failure {
    Failure::new(64, text.to_owned())
}

fn fault(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(69, format!("{what}: {error}"))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| fault("runtime", &error))
}

/// One end of a connection, over TCP.
#[derive(Debug, Clone)]
struct Endpoint {
    host: String,
    port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Endpoint {
    /// Reads `[inet:][HOST]:PORT`. Without a host it is this one, and without a colon `alone` tells what is written.
    fn parse(text: &str, alone: Alone) -> Result<Self, Failure> {
        let wrong = |what: &str| usage(&format!("{text}: {what}; write HOST:PORT or [ADDRESS]:PORT"));
        if text.starts_with("unix:") {
            return Err(wrong("sockets of the file system do not work"));
        }
        let place = text.strip_prefix("inet:").unwrap_or(text);
        let bracketed = place.ends_with(']').then_some((place, SMTP));
        let (host, port) = match (bracketed.or_else(|| place.rsplit_once(':')), alone) {
            (Some(pair), _) => pair,
            (None, Alone::Host) => (place, SMTP),
            (None, Alone::Port) => ("", place),
        };
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        // `::1:25` could be an address and a port, or an address.
        if inner.unwrap_or(host).contains(['[', ']']) || inner.is_none() && host.contains(':') {
            return Err(wrong("an IPv6 address stands in brackets"));
        }
        let port = if port == "smtp" { SMTP } else { port };
        let port = port.parse().map_err(|_| wrong("the port is no number"))?;
        let host = inner.unwrap_or(host);
        Ok(Self { host: if host.is_empty() { "127.0.0.1" } else { host }.to_owned(), port })
    }

    fn pair(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

/// What a place without a colon is: of a server its host, of a listener its port.
#[derive(Debug, Clone, Copy)]
enum Alone {
    Host,
    Port,
}

/// The port of smtp.
const SMTP: &str = "25";

/// The options of a command.
struct Options {
    /// Letters that have no value.
    flags: &'static str,
    /// Letters that have one, in the same word or the next.
    valued: &'static str,
    usage: &'static str,
}

/// Options with their values; a flag's is empty.
type Given = Vec<(char, String)>;

/// Arguments, taken apart as getopt(3) does: the options with their values, and the other words.
fn words(arguments: &[String], known: &Options) -> Result<(Given, Vec<String>), Failure> {
    let (mut options, mut operands) = (Vec::new(), Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            operands.push(argument.clone());
            continue;
        };
        for (at, letter) in letters.char_indices() {
            if known.flags.contains(letter) {
                options.push((letter, String::new()));
                continue;
            }
            if !known.valued.contains(letter) {
                return Err(usage(&format!("option -{letter} does not work; {}", known.usage)));
            }
            let value = match &letters[at + letter.len_utf8()..] {
                "" => rest.next().cloned().ok_or_else(|| usage(known.usage))?,
                value => value.to_owned(),
            };
            options.push((letter, value));
            break;
        }
    }
    Ok((options, operands))
}

/// What a source sends.
#[derive(Debug, Clone)]
struct Load {
    server: Endpoint,
    sessions: u64,
    messages: u64,
    length: usize,
    recipients: usize,
    sender: String,
    recipient: String,
    keep: bool,
    number: bool,
}

const SOURCE_USAGE: &str = "usage: source [-c] [-d] [-N] [-v] [-s sessions] [-m messages] [-l octets] \
                            [-r recipients] [-f from] [-t to] [inet:]HOST[:PORT]";

const SOURCE_OPTIONS: Options = Options { flags: "cdNv", valued: "smlrft", usage: SOURCE_USAGE };

/// `source`: sends messages over parallel sessions.
///
/// # Errors
/// A session failed, or the options are wrong.
pub(super) fn source(arguments: &[String]) -> Result<(), Failure> {
    let load = load_of(arguments)?;
    let start = Instant::now();
    let sent = Arc::new(AtomicU64::new(0));
    runtime()?.block_on(async {
        let next = Arc::new(AtomicU64::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..load.sessions.min(load.messages) {
            tasks.spawn(send_all(load.clone(), Arc::clone(&next), Arc::clone(&sent)));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| Failure::new(69, error.to_string()))??;
        }
        Ok::<(), Failure>(())
    })?;
    let (count, seconds) = (sent.load(Ordering::Relaxed), start.elapsed().as_secs_f64());
    print(&format!("{count} messages in {seconds:.2} s, {:.0} a second\n", count as f64 / seconds.max(1e-9)))
}

fn load_of(arguments: &[String]) -> Result<Load, Failure> {
    let (options, operands) = words(arguments, &SOURCE_OPTIONS)?;
    let [server] = &operands[..] else { return Err(usage(SOURCE_USAGE)) };
    let mut load = Load {
        server: Endpoint::parse(server, Alone::Host)?,
        sessions: 1,
        messages: 1,
        length: 1024,
        recipients: 1,
        sender: "source@localhost".to_owned(),
        recipient: "sink@localhost".to_owned(),
        keep: false,
        number: false,
    };
    for (option, value) in options {
        let number = || value.parse::<u64>().map_err(|_| usage(SOURCE_USAGE));
        match option {
            'd' => load.keep = true,
            'N' => load.number = true,
            's' => load.sessions = number()?.max(1),
            'm' => load.messages = number()?,
            'l' => load.length = usize::try_from(number()?).unwrap_or(usize::MAX),
            'r' => load.recipients = usize::try_from(number()?).unwrap_or(1).max(1),
            'f' => load.sender = value,
            't' => load.recipient = value,
            // -c and -v: the count is shown at the end and what went wrong is told in any case.
            _ => {}
        }
    }
    Ok(load)
}

async fn send_all(load: Load, next: Arc<AtomicU64>, sent: Arc<AtomicU64>) -> Result<(), Failure> {
    let mut session = None;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= load.messages {
            break;
        }
        let mut open = match session.take() {
            Some(open) => open,
            None => Talk::open(&load.server).await?,
        };
        open.send_message(&load, number).await?;
        sent.fetch_add(1, Ordering::Relaxed);
        if load.keep {
            session = Some(open);
        } else {
            open.say("QUIT", 2).await?;
        }
    }
    match session {
        Some(mut open) => open.say("QUIT", 2).await,
        None => Ok(()),
    }
}

struct Talk {
    stream: BufReader<TcpStream>,
}

impl Talk {
    async fn open(server: &Endpoint) -> Result<Self, Failure> {
        let connected = TcpStream::connect(server.pair()).await;
        let stream = connected.map_err(|error| fault(&server.to_string(), &error))?;
        _ = stream.set_nodelay(true);
        let mut talk = Self { stream: BufReader::new(stream) };
        talk.hear("greeting", 2).await?;
        talk.say("EHLO localhost", 2).await?;
        Ok(talk)
    }

    async fn hear(&mut self, what: &str, class: u8) -> Result<(), Failure> {
        loop {
            let mut line = String::new();
            let read = self.stream.read_line(&mut line).await.map_err(|error| fault(what, &error))?;
            if read == 0 {
                return Err(Failure::new(69, format!("lost connection after {what}")));
            }
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            let right = line.as_bytes().first() == Some(&(b'0' + class));
            return if right {
                Ok(())
            } else {
                Err(Failure::new(69, format!("{what}: {}", line.trim_end())))
            };
        }
    }

    async fn say(&mut self, command: &str, class: u8) -> Result<(), Failure> {
        let line = format!("{command}\r\n");
        self.stream.write_all(line.as_bytes()).await.map_err(|error| fault(command, &error))?;
        self.hear(command, class).await
    }

    async fn send_message(&mut self, load: &Load, number: u64) -> Result<(), Failure> {
        self.say(&format!("MAIL FROM:<{}>", load.sender), 2).await?;
        for index in 0..load.recipients {
            let recipient = match load.number || load.recipients > 1 {
                true => format!("{index}{}", load.recipient),
                false => load.recipient.clone(),
            };
            self.say(&format!("RCPT TO:<{recipient}>"), 2).await?;
        }
        self.say("DATA", 3).await?;
        let mut message = format!(
            "From: <{}>\r\nTo: <{}>\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-Id: <{number}.{}@source>\r\n\r\n",
            load.sender,
            load.recipient,
            std::process::id()
        )
        .into_bytes();
        while message.len() < load.length {
            let left = (load.length - message.len()).clamp(2, 80);
            message.extend(std::iter::repeat_n(b'x', left - 2));
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b".\r\n");
        self.stream.write_all(&message).await.map_err(|error| fault("message", &error))?;
        self.hear("end of data", 2).await
    }
}

const SINK_USAGE: &str =
    "usage: sink [-aCEFNv] [-c] [-m connections] [-M messages] [inet:][HOST]:PORT [backlog]";

const SINK_OPTIONS: Options = Options { flags: "aCEFNvc", valued: "mM", usage: SINK_USAGE };

/// What a sink does.
#[derive(Debug)]
struct Sink {
    place: Endpoint,
    /// Connections at the same time.
    connections: usize,
    /// Messages until it ends.
    messages: u64,
    count_shown: bool,
}

/// `sink`: takes all mail and throws it away; `-c` prints the count, `-M` ends after so many messages.
///
/// # Errors
/// It cannot listen.
pub(super) fn sink(arguments: &[String]) -> Result<(), Failure> {
    let Sink { place, connections, messages, count_shown } = sink_of(arguments)?;
    let wrong = |error: std::io::Error| fault(&place.to_string(), &error);
    let taken = Arc::new(AtomicU64::new(0));
    runtime()?.block_on(async {
        let listener = TcpListener::bind(place.pair()).await.map_err(wrong)?;
        let done = Arc::new(tokio::sync::Notify::new());
        let slots = Arc::new(Semaphore::new(connections));
        loop {
            // Who finds no slot waits in the system's queue.
            let next = async { (Arc::clone(&slots).acquire_owned().await, listener.accept().await) };
            tokio::select! {
                (slot, accepted) = next => {
                    let (stream, _) = accepted.map_err(wrong)?;
                    let (taken, done) = (Arc::clone(&taken), Arc::clone(&done));
                    tokio::spawn(async move {
                        let _slot = slot;
                        _ = swallow(stream, &taken, messages, &done).await;
                    });
                }
                () = done.notified() => return Ok::<(), Failure>(()),
            }
        }
    })?;
    if count_shown { print(&format!("{}\n", taken.load(Ordering::Relaxed))) } else { Ok(()) }
}

fn sink_of(arguments: &[String]) -> Result<Sink, Failure> {
    let (options, operands) = words(arguments, &SINK_OPTIONS)?;
    // The length of the queue of connections is the system's, so a backlog need only be a number.
    let place = match &operands[..] {
        [place] => place,
        [place, backlog] if backlog.parse::<u32>().is_ok() => place,
        _ => return Err(usage(SINK_USAGE)),
    };
    let mut sink = Sink {
        place: Endpoint::parse(place, Alone::Port)?,
        connections: Semaphore::MAX_PERMITS,
        messages: u64::MAX,
        count_shown: false,
    };
    for (option, value) in options {
        let number =
            || value.parse::<u32>().ok().filter(|&number| number > 0).ok_or_else(|| usage(SINK_USAGE));
        match option {
            'c' => sink.count_shown = true,
            'm' => sink.connections = number()? as usize,
            'M' => sink.messages = number()?.into(),
            // -v has nothing to tell, and what the others take back is not offered.
            _ => {}
        }
    }
    Ok(sink)
}

async fn swallow(
    stream: TcpStream,
    taken: &AtomicU64,
    limit: u64,
    done: &tokio::sync::Notify,
) -> std::io::Result<()> {
    _ = stream.set_nodelay(true);
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    stream.write_all(b"220 sink ESMTP\r\n").await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut stream).take(64 * 1024).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match &verb[..] {
            b"EHLO" | b"LHLO" => b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
            b"DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                swallow_content(&mut stream).await?;
                stream.write_all(b"250 2.0.0 taken\r\n").await?;
                if taken.fetch_add(1, Ordering::Relaxed) + 1 >= limit {
                    done.notify_one();
                }
                continue;
            }
            b"QUIT" => {
                stream.write_all(b"221 2.0.0 bye\r\n").await?;
                return stream.shutdown().await;
            }
            _ => b"250 2.0.0 Ok\r\n",
        };
        stream.write_all(reply).await?;
    }
}

async fn swallow_content(stream: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 || line == b".\r\n" {
            return Ok(());
        }
    }
}
