//! The clients that hand the workload in, from 127.0.0.1, over as many connections as it takes up to a bound.
//!
//! Each connection carries letter after letter and ends when it has been idle. Written from the RFCs, without a line of core.

use super::book::Book;
use super::workload::{Letter, Workload};
use crate::network::{Arrival, Socket};
use crate::world::{Actor, Scope};
use postrider_core::mail::QueueId;
use postrider_core::time::Duration;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;

/// Connections at once; mail that comes faster waits on the client's side.
const CONNECTIONS_MAX: usize = 20;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(2);
/// How long a client waits for anything.
const PATIENCE: Duration = Duration::from_secs(600);
/// Before a letter that was refused for now is tried again, and how often.
const AGAIN: Duration = Duration::from_secs(60);
const AGAIN_MAX: u8 = 20;
/// The next letter comes.
const ARRIVAL: u64 = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Greeting,
    Hello,
    Mail,
    Recipient,
    Data,
    Dot,
}

#[derive(Debug)]
struct Offer {
    first: u32,
    letter: Letter,
    accepted: Vec<bool>,
    tries: u8,
}

#[derive(Debug, Default)]
struct Line {
    offer: Option<Offer>,
    expected: VecDeque<Expect>,
    buffer: Vec<u8>,
    pipelining: bool,
    /// What is not said yet.
    unsaid: VecDeque<(String, Expect)>,
    step: u64,
    ready: bool,
}

/// The clients.
#[derive(Debug)]
pub(super) struct Sender {
    workload: Workload,
    book: Rc<RefCell<Book>>,
    server: SocketAddr,
    from: String,
    lines: BTreeMap<Socket, Line>,
    waiting: VecDeque<Offer>,
    timers: BTreeMap<u64, (Socket, u64)>,
    again: BTreeMap<u64, Offer>,
    next: u64,
}

impl Sender {
    /// Clients of a server.
    #[must_use]
    pub(super) fn new(workload: Workload, book: Rc<RefCell<Book>>, server: SocketAddr, from: String) -> Self {
        Self {
            workload,
            book,
            server,
            from,
            lines: BTreeMap::new(),
            waiting: VecDeque::new(),
            timers: BTreeMap::new(),
            again: BTreeMap::new(),
            next: ARRIVAL,
        }
    }

    /// Letters that are not handed in yet.
    #[must_use]
    pub(super) fn unfinished(&self) -> bool {
        let busy = self.lines.values().any(|line| line.offer.is_some());
        busy || !self.waiting.is_empty() || !self.again.is_empty() || self.workload.next_at().is_some()
    }

    fn arrivals(&mut self, scope: &mut Scope<'_>) {
        let now = scope.fabric.kernel.now();
        while let Some(letter) = self.workload.take(now) {
            let mut book = self.book.borrow_mut();
            let first = book.next();
            let groups: Vec<u16> = letter.recipients.iter().map(|(_, group)| *group).collect();
            book.offered(now, first, &groups, letter.mailed);
            drop(book);
            self.hand_in(scope, Offer { first, letter, accepted: Vec::new(), tries: 0 });
        }
        if let Some(at) = self.workload.next_at() {
            scope.timer_at(at, ARRIVAL);
        }
    }

    fn hand_in(&mut self, scope: &mut Scope<'_>, offer: Offer) {
        let idle = self.lines.iter().find(|(_, line)| line.ready && line.offer.is_none());
        if let Some(&socket) = idle.map(|(socket, _)| socket) {
            return self.begin(scope, socket, offer);
        }
        self.waiting.push_back(offer);
        if self.lines.len() < CONNECTIONS_MAX {
            let socket = scope.connect(self.server);
            let line = Line { expected: VecDeque::from([Expect::Greeting]), ..Line::default() };
            self.lines.insert(socket, line);
            self.wait(scope, socket, PATIENCE);
        }
    }

    fn wait(&mut self, scope: &mut Scope<'_>, socket: Socket, time: Duration) {
        let Some(line) = self.lines.get_mut(&socket) else { return };
        // One timer a line is enough: when it comes too early it is set again.
        line.step += 1;
        self.next += 1;
        let (tag, step) = (self.next, line.step);
        self.timers.insert(tag, (socket, step));
        scope.timer(time, tag);
    }

    /// MAIL, RCPT and DATA: at once, or one after the other where the server does not offer PIPELINING.
    fn begin(&mut self, scope: &mut Scope<'_>, socket: Socket, mut offer: Offer) {
        let Some(line) = self.lines.get_mut(&socket) else { return };
        offer.accepted.clear();
        line.unsaid.push_back((format!("MAIL FROM:<{}>\r\n", self.from), Expect::Mail));
        for (place, (domain, _)) in offer.letter.recipients.iter().enumerate() {
            let number = offer.first as usize + place;
            line.unsaid.push_back((format!("RCPT TO:<r{number}@{domain}>\r\n"), Expect::Recipient));
        }
        line.unsaid.push_back(("DATA\r\n".to_owned(), Expect::Data));
        line.offer = Some(offer);
        self.speak(scope, socket);
    }

    fn speak(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let Some(line) = self.lines.get_mut(&socket) else { return };
        let mut text = String::new();
        while let Some((words, expect)) = line.unsaid.pop_front() {
            text.push_str(&words);
            line.expected.push_back(expect);
            if !line.pipelining {
                break;
            }
        }
        if !text.is_empty() {
            scope.send(socket, text.as_bytes());
        }
    }

    fn reply(&mut self, scope: &mut Scope<'_>, socket: Socket, code: u16, words: &str) {
        let Some(line) = self.lines.get_mut(&socket) else { return };
        let Some(expected) = line.expected.pop_front() else { return };
        let good = matches!(code, 200..=399);
        if code == 421 {
            return self.drop_line(scope, socket, words);
        }
        match expected {
            Expect::Greeting if good => {
                line.expected.push_back(Expect::Hello);
                scope.send(socket, b"EHLO client.rehearsal\r\n");
            }
            Expect::Hello if good => self.free(scope, socket),
            Expect::Recipient => {
                if let Some(offer) = &mut line.offer {
                    offer.accepted.push(good);
                }
                if !good {
                    self.book.borrow_mut().refused(words);
                }
                self.speak(scope, socket);
            }
            Expect::Mail if good => self.speak(scope, socket),
            Expect::Data if code == 354 => self.content(scope, socket),
            Expect::Dot if good => {
                let id = words.split("queued as ").nth(1).and_then(|id| id.trim().parse::<QueueId>().ok());
                if let Some(offer) = line.offer.take() {
                    self.book.borrow_mut().taken(id, offer.first, &offer.accepted);
                }
                self.free(scope, socket);
            }
            Expect::Data if line.offer.as_ref().is_some_and(|offer| offer.accepted.iter().all(|ok| !ok)) => {
                // Every recipient was refused; that is written down already.
                line.offer = None;
                self.reset(scope, socket);
            }
            _ => self.drop_line(scope, socket, words),
        }
    }

    fn reset(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        scope.abort(socket);
        self.lines.remove(&socket);
        self.more(scope);
    }

    /// A line has nothing to do: the next letter, or the end after a while.
    fn free(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        if let Some(line) = self.lines.get_mut(&socket) {
            line.ready = true;
        }
        match self.waiting.pop_front() {
            Some(offer) => self.begin(scope, socket, offer),
            None => self.wait(scope, socket, IDLE),
        }
    }

    /// A connection is of no more use. Its letter comes again, unless it has come too often.
    fn drop_line(&mut self, scope: &mut Scope<'_>, socket: Socket, why: &str) {
        let Some(line) = self.lines.remove(&socket) else { return };
        scope.abort(socket);
        if let Some(mut offer) = line.offer {
            self.book.borrow_mut().refused(why);
            offer.tries += 1;
            let for_now = !why.starts_with('5');
            if for_now && offer.tries <= AGAIN_MAX {
                self.next += 1;
                self.again.insert(self.next, offer);
                scope.timer(AGAIN, self.next);
            }
        }
        self.more(scope);
    }

    fn more(&mut self, scope: &mut Scope<'_>) {
        if let Some(offer) = self.waiting.pop_front() {
            self.hand_in(scope, offer);
        }
    }

    fn content(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let Some(line) = self.lines.get_mut(&socket) else { return };
        let Some(offer) = &line.offer else { return };
        let mut text = String::with_capacity(offer.letter.size as usize + 300);
        _ = write!(
            text,
            "From: <{from}>\r\nTo: undisclosed-recipients:;\r\nSubject: rehearsal\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\
             Message-ID: <r{number}@workload.rehearsal>\r\n\r\n",
            from = self.from,
            number = offer.first,
        );
        const FILLER: &str =
            "All work and no play makes a queue a dull place, and it is only a rehearsal.\r\n";
        while (text.len() as u64) < offer.letter.size {
            text.push_str(FILLER);
        }
        text.push_str(".\r\n");
        line.expected.push_back(Expect::Dot);
        let now = scope.fabric.kernel.now();
        self.book.borrow_mut().dotted(now, offer.first, offer.letter.recipients.len() as u32);
        scope.send(socket, text.as_bytes());
    }

    fn octets(&mut self, scope: &mut Scope<'_>, socket: Socket, octets: &[u8]) {
        if let Some(line) = self.lines.get_mut(&socket) {
            line.buffer.extend_from_slice(octets);
        }
        while let Some(line) = self.lines.get_mut(&socket) {
            let Some(end) = memchr::memmem::find(&line.buffer, b"\r\n") else { return };
            let words: Vec<u8> = line.buffer.drain(..end + 2).collect();
            let words = String::from_utf8_lossy(&words[..end]).into_owned();
            line.pipelining |= words.get(4..).is_some_and(|word| word.eq_ignore_ascii_case("PIPELINING"));
            if words.as_bytes().get(3) != Some(&b'-') {
                let code = words.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
                self.reply(scope, socket, code, &words);
            }
        }
    }
}

impl Actor for Sender {
    fn boot(&mut self, scope: &mut Scope<'_>) {
        // The host must be up first.
        scope.timer(Duration::from_secs(1), ARRIVAL);
    }

    fn arrival(&mut self, scope: &mut Scope<'_>, arrival: Arrival) {
        match arrival {
            Arrival::Octets(socket, octets) => self.octets(scope, socket, &octets),
            Arrival::NotConnected(socket, _) => self.drop_line(scope, socket, "connection refused"),
            Arrival::End(socket) | Arrival::Gone(socket, _) => {
                self.drop_line(scope, socket, "connection lost");
            }
            _ => {}
        }
    }

    fn timer(&mut self, scope: &mut Scope<'_>, tag: u64) {
        if tag == ARRIVAL {
            return self.arrivals(scope);
        }
        if let Some(offer) = self.again.remove(&tag) {
            return self.hand_in(scope, offer);
        }
        let Some((socket, step)) = self.timers.remove(&tag) else { return };
        let Some(line) = self.lines.get_mut(&socket).filter(|line| line.step == step) else { return };
        if line.ready && line.offer.is_none() {
            scope.send(socket, b"QUIT\r\n");
            scope.close(socket);
            self.lines.remove(&socket);
        } else if !line.ready {
            self.drop_line(scope, socket, "no answer");
        }
    }
}
