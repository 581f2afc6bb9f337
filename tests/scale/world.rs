//! The world around the daemon: fifty thousand domains, a server that takes their mail, one that never answers, and clients.
//!
//! Servers listen on port 25 of loopback addresses of their own, because that is where mail goes; it takes root to run this.

use hickory_proto::rr::{RData, RecordType};
use postrider_tests::names::{Names, Zone};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where mail for living destinations is taken.
const LIVING: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 2);
/// Nobody listens there.
const DEAD: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 3);
/// Connections are accepted there, and nothing is ever said.
const HOLE: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 4);

/// One destination in so many is dead.
pub(crate) const DEAD_OF: u64 = 10;

/// Whether connections to a destination are refused.
pub(crate) const fn is_dead(destination: u64) -> bool {
    destination % DEAD_OF == 7
}

/// `dN.test` is a destination, dead or alive; `hole.test` is the black hole; none has MX records.
fn rule(name: &str, kind: RecordType) -> Option<Zone> {
    let label = name.strip_suffix(".test")?;
    let address = match label.strip_prefix('d').and_then(|text| text.parse::<u64>().ok()) {
        _ if label == "hole" => HOLE,
        Some(number) if is_dead(number) => DEAD,
        Some(_) => LIVING,
        None => return None,
    };
    let records = if kind == RecordType::A { vec![RData::A(address.into())] } else { Vec::new() };
    Some(Zone::Records(records))
}

/// The servers of the world.
#[derive(Clone, Default)]
pub(crate) struct World {
    taken: Arc<AtomicU64>,
    /// Connections that the black hole has taken.
    held: Arc<AtomicU64>,
    /// When mail for a `letterN@` came.
    letters: Arc<Mutex<BTreeMap<u64, Instant>>>,
}

impl World {
    /// Starts the servers; each message takes the sink so long.
    pub(crate) fn start(names: &Names, pause: Duration) -> Self {
        Self::name(names);
        let world = Self::default();
        let listener = TcpListener::bind((LIVING, 25)).expect("port 25 of 127.77.0.2, as root");
        let inside = world.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let world = inside.clone();
                // Small stacks: there may be many sessions.
                let thread = std::thread::Builder::new().stack_size(128 * 1024);
                thread.spawn(move || world.take(&stream, pause)).expect("a thread for each session");
            }
        });
        let hole = TcpListener::bind((HOLE, 25)).expect("port 25 of 127.77.0.4, as root");
        let count = Arc::clone(&world.held);
        std::thread::spawn(move || {
            let count = |_: &TcpStream| _ = count.fetch_add(1, Ordering::Relaxed);
            let held: Vec<_> = hole.incoming().flatten().inspect(count).collect();
            drop(held);
        });
        world
    }

    /// A name server of one more daemon knows where everything is.
    pub(crate) fn name(names: &Names) {
        names.set_rule(rule);
    }

    /// Messages that the sink has taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Connections that the black hole has taken.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// When a letter came.
    pub(crate) fn letter(&self, number: u64) -> Option<Instant> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).get(&number).copied()
    }

    fn take(&self, stream: &TcpStream, pause: Duration) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut reader = BufReader::with_capacity(16 * 1024, stream);
        let mut writer = stream;
        writer.write_all(b"220 sink.test ESMTP\r\n").ok()?;
        let (mut line, mut letter) = (Vec::new(), None);
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line).ok()? == 0 {
                return None;
            }
            let reply: &[u8] = match line.get(..4)? {
                b"EHLO" => b"250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
                b"DATA" => {
                    writer.write_all(b"354 go on\r\n").ok()?;
                    content(&mut reader)?;
                    std::thread::sleep(pause);
                    self.count(letter.take());
                    b"250 2.0.0 Ok: taken\r\n"
                }
                b"RCPT" => {
                    letter = letter.or_else(|| letter_of(&line));
                    b"250 2.1.5 Ok\r\n"
                }
                b"QUIT" => return writer.write_all(b"221 2.0.0 Bye\r\n").ok(),
                _ => b"250 2.1.0 Ok\r\n",
            };
            writer.write_all(reply).ok()?;
        }
    }

    fn count(&self, letter: Option<u64>) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        if let Some(number) = letter {
            let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
            letters.insert(number, Instant::now());
        }
    }
}

fn letter_of(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line).ok()?.strip_prefix("RCPT TO:<letter")?.split('@').next()?.parse().ok()
}

/// Reads to the end of data.
fn content(reader: &mut impl BufRead) -> Option<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        if line == b".\r\n" {
            return Some(());
        }
    }
}

/// Sends messages over so many connections that are kept; each number is turned into a recipient. What was refused is counted.
pub(crate) fn send(
    port: u16,
    connections: u64,
    messages: u64,
    octets: usize,
    recipient: impl Fn(u64) -> String + Clone + Send + 'static,
) -> u64 {
    let next = Arc::new(AtomicU64::new(0));
    let refused = Arc::new(AtomicU64::new(0));
    let line = format!("{}\r\n", "x".repeat(78));
    let body = Arc::new(format!("Subject: x\r\n\r\n{}.\r\n", line.repeat(octets / line.len())));
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let (next, refused, body) = (Arc::clone(&next), Arc::clone(&refused), Arc::clone(&body));
            let recipient = recipient.clone();
            std::thread::spawn(move || {
                let mut client = Session::open(port);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= messages {
                        return;
                    }
                    if !client.send(&[recipient(number)], &body) {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("the daemon answers"));
    refused.load(Ordering::Relaxed)
}

/// A session with the daemon that pipelines.
pub(crate) struct Session {
    reader: BufReader<TcpStream>,
}

impl Session {
    pub(crate) fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the daemon listens");
        stream.set_nodelay(true).expect("a socket takes an option");
        let mut session = Self { reader: BufReader::new(stream) };
        session.reply();
        session.write(b"EHLO client.test\r\n");
        session.reply();
        session
    }

    fn write(&mut self, octets: &[u8]) {
        self.reader.get_mut().write_all(octets).expect("the daemon reads");
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.reader.by_ref().take(4_096).read_line(&mut line).expect("the daemon answers");
            assert!(line.len() > 3, "the daemon hung up");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    /// True when the message was taken; `body` ends with its dot.
    pub(crate) fn send(&mut self, recipients: &[String], body: &str) -> bool {
        let mut commands = "MAIL FROM:<sender@here.test>\r\n".to_owned();
        for recipient in recipients {
            commands.push_str(&format!("RCPT TO:<{recipient}>\r\n"));
        }
        commands.push_str("DATA\r\n");
        let mut writer = self.reader.get_ref().try_clone().expect("a handle of a socket");
        // A mailing's commands fill the socket's buffers while replies come back.
        let writing = (recipients.len() > 1).then(|| {
            let commands = commands.clone();
            std::thread::spawn(move || writer.write_all(commands.as_bytes()).expect("the daemon reads"))
        });
        if writing.is_none() {
            self.write(commands.as_bytes());
        }
        let replies: Vec<String> = (0..recipients.len() + 2).map(|_| self.reply()).collect();
        if let Some(writing) = writing {
            writing.join().expect("the daemon reads");
        }
        if !replies.last().is_some_and(|reply| reply.starts_with('3')) {
            self.write(b"RSET\r\n");
            self.reply();
            return false;
        }
        self.write(body.as_bytes());
        self.reply().starts_with("250")
    }
}
