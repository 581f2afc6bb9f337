//! A mail server with manners.
//!
//! It answers by the local part of a recipient: `bad…` does not exist, `full…` has no room until it behaves, `grey…` must come
//! again after a while; all others are taken. Its manners decide the rest: whether it greets, hangs up at some stage,
//! is slow, loses the reply after the dot, speaks only HELO, or lies in LMTP. It tells the ledger what it took and which reports came.

use super::take_line;
use crate::network::{Arrival, Socket};
use crate::world::{Actor, Scope, Word};
use postrider_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// How a server behaves; odds are of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manners {
    /// Port that it listens on.
    pub port: u16,
    /// LMTP: a reply for each recipient after the dot.
    pub lmtp: bool,
    /// Knows EHLO.
    pub extended: bool,
    /// Offers PIPELINING.
    pub pipelining: bool,
    /// Greets with 421 or 554.
    pub rude: u16,
    /// Closes or resets instead of answering a command.
    pub hangs_up: u16,
    /// Says 451 to a command.
    pub soft: u16,
    /// Takes the message and loses the connection before its reply is out.
    pub loses_reply: u16,
    /// Never answers a command.
    pub sleeps: u16,
    /// Most microseconds before a reply.
    pub slowness: u64,
    /// Says something that is no reply.
    pub babbles: u16,
    /// LMTP: fewer replies than recipients, then hangs up.
    pub lies: u16,
    /// Connections at once, beyond which it says 421; 0: any.
    pub connections: u32,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            port: 25,
            lmtp: false,
            extended: true,
            pipelining: true,
            rude: 0,
            hangs_up: 0,
            soft: 0,
            loses_reply: 0,
            sleeps: 0,
            slowness: 1_000,
            babbles: 0,
            lies: 0,
            connections: 0,
        }
    }
}

impl Manners {
    /// The same server on a good day.
    #[must_use]
    pub fn good(self) -> Self {
        let Self { port, lmtp, extended, pipelining, .. } = self;
        Self { port, lmtp, extended, pipelining, ..Self::default() }
    }
}

#[derive(Debug, Default)]
struct Session {
    buffer: Vec<u8>,
    mail: Option<String>,
    recipients: Vec<String>,
    content: Option<Vec<u8>>,
    /// Until then it is busy with earlier replies.
    busy: Instant,
    asleep: bool,
}

/// What a timer of this server does.
#[derive(Debug)]
enum Later {
    Say(Socket, Vec<u8>),
    Close(Socket, bool),
}

/// A mail server.
#[derive(Debug)]
pub struct Server {
    manners: Manners,
    sessions: BTreeMap<Socket, Session>,
    /// When a sender and recipient were first seen.
    grey: BTreeMap<(String, String), Instant>,
    later: BTreeMap<u64, Later>,
    next: u64,
    behaves: bool,
    /// Messages taken.
    pub taken: u64,
    /// Most connections that were open at once.
    pub most: usize,
}

impl Server {
    /// A server of these manners.
    #[must_use]
    pub fn new(manners: Manners) -> Self {
        Self {
            manners,
            sessions: BTreeMap::new(),
            grey: BTreeMap::new(),
            later: BTreeMap::new(),
            next: 0,
            behaves: false,
            taken: 0,
            most: 0,
        }
    }

    fn odds(scope: &mut Scope<'_>, of_thousand: u16) -> bool {
        of_thousand > 0 && scope.prng().chance(u64::from(of_thousand), 1_000)
    }

    fn plan(&mut self, scope: &mut Scope<'_>, socket: Socket, later: Later) {
        let wait = Duration::from_micros(scope.prng().below(self.manners.slowness + 1));
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        session.busy = session.busy.max(scope.fabric.kernel.now()).after(wait);
        self.later.insert(self.next, later);
        scope.timer_at(session.busy, self.next);
        self.next += 1;
    }

    fn say(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &str) {
        self.plan(scope, socket, Later::Say(socket, format!("{line}\r\n").into_bytes()));
    }

    fn accept(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        self.sessions.insert(socket, Session::default());
        self.most = self.most.max(self.sessions.len());
        let crowded = self.manners.connections > 0 && self.sessions.len() > self.manners.connections as usize;
        if crowded || Self::odds(scope, self.manners.rude) {
            let line = if crowded || scope.prng().chance(3, 4) { "421 4.3.2 not now" } else { "554 go away" };
            self.say(scope, socket, line);
            return self.plan(scope, socket, Later::Close(socket, false));
        }
        self.say(scope, socket, "220 peer.sim ESMTP");
    }

    fn octets(&mut self, scope: &mut Scope<'_>, socket: Socket, octets: &[u8]) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        session.buffer.extend_from_slice(octets);
        while let Some(session) = self.sessions.get_mut(&socket) {
            if session.asleep {
                return;
            }
            let Some(line) = take_line(&mut session.buffer) else { return };
            if session.content.is_some() {
                self.content_line(scope, socket, &line);
            } else {
                self.command(scope, socket, &line);
            }
        }
    }

    /// True when its manners answered in place of the protocol.
    fn misbehaves(&mut self, scope: &mut Scope<'_>, socket: Socket) -> bool {
        if Self::odds(scope, self.manners.hangs_up) {
            let reset = scope.prng().chance(1, 2);
            if let Some(session) = self.sessions.get_mut(&socket) {
                session.asleep = true;
            }
            self.plan(scope, socket, Later::Close(socket, reset));
            return true;
        }
        if Self::odds(scope, self.manners.sleeps) {
            if let Some(session) = self.sessions.get_mut(&socket) {
                session.asleep = true;
            }
            return true;
        }
        if Self::odds(scope, self.manners.babbles) {
            self.say(scope, socket, "hello? I am not a mail server");
            return true;
        }
        false
    }

    fn command(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &[u8]) {
        let line = String::from_utf8_lossy(line).into_owned();
        let verb = line.split([' ', ':']).next().unwrap_or("").to_ascii_uppercase();
        if verb != "QUIT" && self.misbehaves(scope, socket) {
            return;
        }
        let soft = matches!(verb.as_str(), "MAIL" | "RCPT" | "DATA") && Self::odds(scope, self.manners.soft);
        if soft {
            return self.say(scope, socket, "451 4.3.0 try again later");
        }
        match verb.as_str() {
            "EHLO" if self.manners.extended && !self.manners.lmtp => self.hello(scope, socket),
            "LHLO" if self.manners.lmtp => self.hello(scope, socket),
            "HELO" if !self.manners.lmtp => self.say(scope, socket, "250 peer.sim"),
            "MAIL" => self.mail(scope, socket, &line),
            "RCPT" => self.recipient(scope, socket, &line),
            "DATA" => self.data(scope, socket),
            "RSET" => {
                self.reset(socket);
                self.say(scope, socket, "250 2.0.0 forgotten");
            }
            "NOOP" => self.say(scope, socket, "250 2.0.0 yes"),
            "QUIT" => {
                self.say(scope, socket, "221 2.0.0 bye");
                self.plan(scope, socket, Later::Close(socket, false));
            }
            _ => self.say(scope, socket, "502 5.5.1 what?"),
        }
    }

    fn hello(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let pipelining = if self.manners.pipelining { "250-PIPELINING\r\n" } else { "" };
        let text = format!("250-peer.sim\r\n{pipelining}250-8BITMIME\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES");
        self.say(scope, socket, &text);
    }

    fn mail(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &str) {
        self.reset(socket);
        let sender = address(line);
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.mail = Some(sender);
        }
        self.say(scope, socket, "250 2.1.0 ok");
    }

    fn recipient(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &str) {
        let now = scope.fabric.kernel.now();
        let recipient = address(line);
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let Some(sender) = session.mail.clone() else {
            return self.say(scope, socket, "503 5.5.1 whose mail?");
        };
        let greylisted = || {
            let first = *self.grey.entry((sender, recipient.clone())).or_insert(now);
            now.since(first) < Duration::from_secs(60)
        };
        let answer = if recipient.starts_with("bad") {
            "550 5.1.1 no such user"
        } else if recipient.starts_with("full") && !self.behaves {
            "452 4.2.2 mailbox full"
        } else if recipient.starts_with("grey") && greylisted() {
            "450 4.7.1 greylisted, come again"
        } else {
            session.recipients.push(recipient);
            "250 2.1.5 ok"
        };
        self.say(scope, socket, answer);
    }

    fn data(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        if session.recipients.is_empty() {
            return self.say(scope, socket, "554 5.5.1 no valid recipients");
        }
        session.content = Some(Vec::new());
        self.say(scope, socket, "354 go on");
    }

    fn content_line(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &[u8]) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        if line == b"." {
            return self.end_of_data(scope, socket);
        }
        if let Some(content) = &mut session.content {
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            content.extend_from_slice(b"\r\n");
        }
    }

    fn end_of_data(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let content = session.content.take().unwrap_or_default();
        let recipients = std::mem::take(&mut session.recipients);
        let sender = session.mail.take().unwrap_or_default();
        if Self::odds(scope, self.manners.soft) {
            let line = "451 4.3.0 no room for content";
            for _ in 0..if self.manners.lmtp { recipients.len() } else { 1 } {
                self.say(scope, socket, line);
            }
            return;
        }
        let lost = Self::odds(scope, self.manners.loses_reply);
        let lies = self.manners.lmtp && Self::odds(scope, self.manners.lies);
        self.taken += 1;
        self.record(scope, &sender, &content, &recipients, lost || lies);
        if lost {
            if let Some(session) = self.sessions.get_mut(&socket) {
                session.asleep = true;
            }
            return self.plan(scope, socket, Later::Close(socket, true));
        }
        let replies = if self.manners.lmtp { recipients.len() - usize::from(lies) } else { 1 };
        for _ in 0..replies {
            self.say(scope, socket, "250 2.0.0 taken");
        }
        if lies {
            self.plan(scope, socket, Later::Close(socket, false));
        }
    }

    fn record(&self, scope: &mut Scope<'_>, sender: &str, content: &[u8], recipients: &[String], lost: bool) {
        let numbers = [crate::kernel::hash(content), recipients.len() as u64, u64::from(lost)];
        scope.note(5, &numbers, || format!("took {} octets for {recipients:?} lost={lost}", content.len()));
        let report = sender.is_empty()
            && content.windows(16).any(|window| window.eq_ignore_ascii_case(b"multipart/report"));
        if !report {
            return scope.fabric.ledger.delivered(content, recipients, lost);
        }
        for recipient in recipients {
            // A postmaster's copy is told to him, not to the sender: it settles nothing.
            if !recipient.starts_with("postmaster") {
                scope.fabric.ledger.reported(recipient, content, lost);
            }
        }
    }

    fn reset(&mut self, socket: Socket) {
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.mail = None;
            session.recipients.clear();
        }
    }
}

impl Actor for Server {
    fn boot(&mut self, scope: &mut Scope<'_>) {
        scope.listen(self.manners.port);
    }

    fn arrival(&mut self, scope: &mut Scope<'_>, arrival: Arrival) {
        match arrival {
            Arrival::Accepted { socket, .. } => self.accept(scope, socket),
            Arrival::Octets(socket, octets) => self.octets(scope, socket, &octets),
            Arrival::End(socket) => self.plan(scope, socket, Later::Close(socket, false)),
            Arrival::Gone(socket, _) => _ = self.sessions.remove(&socket),
            _ => {}
        }
    }

    fn timer(&mut self, scope: &mut Scope<'_>, tag: u64) {
        match self.later.remove(&tag) {
            Some(Later::Say(socket, octets)) => scope.send(socket, &octets),
            Some(Later::Close(socket, reset)) => {
                self.sessions.remove(&socket);
                if reset { scope.abort(socket) } else { scope.close(socket) }
            }
            None => {}
        }
    }

    fn crash(&mut self) {
        self.sessions.clear();
        self.later.clear();
    }

    fn told(&mut self, scope: &mut Scope<'_>, word: Word) {
        match word {
            Word::Behave => {
                self.behaves = true;
                self.manners = self.manners.good();
                let asleep: Vec<Socket> =
                    self.sessions.iter().filter(|(_, s)| s.asleep).map(|(&socket, _)| socket).collect();
                for socket in asleep {
                    self.sessions.remove(&socket);
                    scope.abort(socket);
                }
            }
        }
    }
}

/// What stands between the angle brackets.
fn address(line: &str) -> String {
    let inner =
        line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(inner, _)| inner);
    inner.to_ascii_lowercase()
}
