//! `source` and `sink`: the two ends of a load test, after smtp-source(1) and smtp-sink(1).
//!
//! Both speak just enough SMTP to load a server on this host and to count. They are tools for tests, not for mail.

use super::{Failure, print};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

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

/// What a source sends.
#[derive(Debug, Clone)]
struct Load {
    server: String,
    sessions: u64,
    messages: u64,
    length: usize,
    recipients: usize,
    sender: String,
    recipient: String,
    keep: bool,
    number: bool,
}

const SOURCE_USAGE: &str = "usage: source [-c] [-d] [-N] [-s sessions] [-m messages] [-l octets] [-r recipients] \
                            [-f from] [-t to] HOST:PORT";

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
    let mut load = Load {
        server: String::new(),
        sessions: 1,
        messages: 1,
        length: 1024,
        recipients: 1,
        sender: "source@localhost".to_owned(),
        recipient: "sink@localhost".to_owned(),
        keep: false,
        number: false,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().cloned().ok_or_else(|| usage(SOURCE_USAGE));
        let number = |text: String| text.parse::<u64>().map_err(|_| usage(SOURCE_USAGE));
        match argument.as_str() {
            "-c" => {}
            "-d" => load.keep = true,
            "-N" => load.number = true,
            "-s" => load.sessions = number(value()?)?.max(1),
            "-m" => load.messages = number(value()?)?,
            "-l" => load.length = usize::try_from(number(value()?)?).unwrap_or(usize::MAX),
            "-r" => load.recipients = usize::try_from(number(value()?)?).unwrap_or(1).max(1),
            "-f" => load.sender = value()?,
            "-t" => load.recipient = value()?,
            text if !text.starts_with('-') && load.server.is_empty() => load.server = text.to_owned(),
            _ => return Err(usage(SOURCE_USAGE)),
        }
    }
    if load.server.is_empty() { Err(usage(SOURCE_USAGE)) } else { Ok(load) }
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
    async fn open(server: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server).await.map_err(|error| fault(server, &error))?;
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

const SINK_USAGE: &str = "usage: sink [-c] [-m messages] [HOST]:PORT";

/// `sink`: takes all mail and throws it away; `-c` prints the count, `-m` ends after so many messages.
///
/// # Errors
/// It cannot listen.
pub(super) fn sink(arguments: &[String]) -> Result<(), Failure> {
    let mut address = None;
    let mut limit = u64::MAX;
    let mut count_shown = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "-c" => count_shown = true,
            "-m" => {
                limit = rest.next().and_then(|text| text.parse().ok()).ok_or_else(|| usage(SINK_USAGE))?
            }
            text if !text.starts_with('-') => address = Some(text.to_owned()),
            _ => return Err(usage(SINK_USAGE)),
        }
    }
    let address = address.ok_or_else(|| usage(SINK_USAGE))?;
    let address = if address.starts_with(':') { format!("127.0.0.1{address}") } else { address };
    let taken = Arc::new(AtomicU64::new(0));
    runtime()?.block_on(async {
        let listener = TcpListener::bind(&address).await.map_err(|error| fault(&address, &error))?;
        let done = Arc::new(tokio::sync::Notify::new());
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted.map_err(|error| fault(&address, &error))?;
                    let (taken, done) = (Arc::clone(&taken), Arc::clone(&done));
                    tokio::spawn(async move {
                        _ = swallow(stream, &taken, limit, &done).await;
                    });
                }
                () = done.notified() => return Ok::<(), Failure>(()),
            }
        }
    })?;
    if count_shown { print(&format!("{}\n", taken.load(Ordering::Relaxed))) } else { Ok(()) }
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
