//! A mail server of a destination: as fast, as crowded, as strict and as often down as the scenario says.
//!
//! Speaks SMTP, and LMTP to whoever greets with LHLO. Written from the RFCs, without a line of core. Servers of one domain share
//! a rate and what they remember for greylisting.

use super::book::{Book, number_of};
use super::outages::Outages;
use super::policy::Policy;
use crate::network::{Arrival, NodeId, Socket};
use crate::rehearse::scenario::{Beyond, Destination, How, Range, Span, Tls};
use crate::world::{Actor, Scope};
use memchr::memmem;
use postrider_core::prng::Prng;
use postrider_core::time::{Duration, Instant};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// Any port: a transport may name another than 25.
const ANY_PORT: u16 = 0;

#[derive(Debug, Default)]
struct Session {
    buffer: Vec<u8>,
    sender: Option<String>,
    recipients: Vec<String>,
    content: bool,
    lmtp: bool,
    secured: bool,
    /// Messages taken on it.
    taken: u32,
    /// Until then earlier replies are on their way.
    busy: Instant,
    /// It is never answered.
    asleep: bool,
    greeted: bool,
    /// What is said now, and how long it takes until it is.
    out: Vec<u8>,
    pause: Duration,
    close: Option<bool>,
}

/// A server.
#[derive(Debug)]
pub(super) struct Provider {
    policy: Rc<RefCell<Policy>>,
    book: Rc<RefCell<Book>>,
    reply: Range<Span>,
    outages: Outages,
    host: NodeId,
    sessions: BTreeMap<Socket, Session>,
    /// Accepted, and not greeted until somebody leaves.
    crowd: VecDeque<Socket>,
    later: BTreeMap<u64, (Socket, Vec<u8>, Option<bool>)>,
    next: u64,
    group: u16,
}

impl Provider {
    /// A server of a preference.
    #[must_use]
    pub(super) fn new(
        policy: &Rc<RefCell<Policy>>,
        book: &Rc<RefCell<Book>>,
        (preference, reply): (u16, Option<Range<Span>>),
        host: NodeId,
    ) -> Self {
        let (outages, usual, group) = {
            let policy = policy.borrow();
            let outages = Outages::of(&policy.destination.outage, preference);
            (outages, policy.destination.reply, policy.group)
        };
        Self {
            policy: Rc::clone(policy),
            book: Rc::clone(book),
            reply: reply.unwrap_or(usual),
            outages,
            host,
            sessions: BTreeMap::new(),
            crowd: VecDeque::new(),
            later: BTreeMap::new(),
            next: 0,
            group,
        }
    }

    fn say(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &str) {
        let pause = between(scope.prng(), self.reply);
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        session.out.extend_from_slice(line.as_bytes());
        session.out.extend_from_slice(b"\r\n");
        session.pause += pause;
    }

    fn close_behind(&mut self, socket: Socket, reset: bool) {
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.close = Some(reset);
        }
    }

    /// What was said in one moment leaves together, when the last of it is ready.
    fn flush(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        if session.out.is_empty() && session.close.is_none() {
            return;
        }
        let now = scope.fabric.kernel.now();
        let out = std::mem::take(&mut session.out);
        let close = session.close.take();
        session.busy = session.busy.max(now).after(std::mem::take(&mut session.pause));
        if session.busy <= now {
            return self.act(scope, socket, &out, close);
        }
        self.next += 1;
        self.later.insert(self.next, (socket, out, close));
        scope.timer_at(session.busy, self.next);
    }

    fn act(&mut self, scope: &mut Scope<'_>, socket: Socket, out: &[u8], close: Option<bool>) {
        if !self.sessions.contains_key(&socket) {
            return;
        }
        if !out.is_empty() {
            scope.send(socket, out);
        }
        if let Some(reset) = close {
            self.forget(scope, socket);
            if reset { scope.abort(socket) } else { scope.close(socket) }
        }
    }

    /// A session is over; somebody who waits is let in.
    fn forget(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        self.crowd.retain(|other| *other != socket);
        if self.sessions.remove(&socket).is_none() {
            return;
        }
        self.book.borrow_mut().connection(self.group, false);
        if let Some(next) = self.crowd.pop_front() {
            self.greet(scope, next);
        }
    }

    fn accept(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let now = scope.fabric.kernel.now();
        self.sessions.insert(socket, Session::default());
        self.book.borrow_mut().connection(self.group, true);
        let (most, beyond) = {
            let policy = self.policy.borrow();
            (policy.destination.sessions as usize, policy.destination.too_many)
        };
        let inside = self.sessions.len() - self.crowd.len();
        if self.outages.now(now, How::Stall) {
            self.sessions.entry(socket).or_default().asleep = true;
        } else if self.outages.now(now, How::Close) {
            self.send_away(scope, socket, "421 4.3.2 Service not available, come back later");
        } else if most > 0 && inside > most {
            match beyond {
                Beyond::Wait => self.crowd.push_back(socket),
                _ => self.send_away(scope, socket, "421 4.7.0 Too many concurrent connections"),
            }
        } else {
            self.greet(scope, socket);
        }
    }

    fn send_away(&mut self, scope: &mut Scope<'_>, socket: Socket, words: &str) {
        self.book.borrow_mut().groups[usize::from(self.group)].sent_away += 1;
        self.say(scope, socket, words);
        self.close_behind(socket, false);
        self.flush(scope, socket);
    }

    fn greet(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.greeted = true;
        }
        self.say(scope, socket, "220 mx.rehearsal ESMTP");
        self.flush(scope, socket);
    }

    fn octets(&mut self, scope: &mut Scope<'_>, socket: Socket, octets: &[u8]) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        session.buffer.extend_from_slice(octets);
        let mut from = session.buffer.len().saturating_sub(octets.len() + 4);
        while let Some(session) = self.sessions.get_mut(&socket).filter(|session| !session.asleep) {
            if session.close.is_some() {
                break;
            }
            if session.content {
                let Some(end) = end_of_data(&session.buffer, from) else { break };
                session.buffer.drain(..end);
                session.content = false;
                self.end_of_data(scope, socket);
            } else {
                let Some(end) = memmem::find(&session.buffer, b"\r\n") else { break };
                let line: Vec<u8> = session.buffer.drain(..end + 2).collect();
                let line = String::from_utf8_lossy(&line[..end]).into_owned();
                self.command(scope, socket, &line);
            }
            from = 0;
        }
        self.flush(scope, socket);
    }

    fn command(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &str) {
        let verb = line.split([' ', ':']).next().unwrap_or("").to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" | "LHLO" => self.hello(scope, socket, verb == "LHLO"),
            "HELO" => self.say(scope, socket, "250 mx.rehearsal"),
            "STARTTLS" => self.say(scope, socket, "220 2.0.0 Ready to start TLS"),
            "\u{16}HELLO" => self.handshake(scope, socket),
            "MAIL" => self.mail(scope, socket, line),
            "RCPT" => self.recipient(scope, socket, line),
            "DATA" => self.data(scope, socket),
            "RSET" => {
                self.reset(socket);
                self.say(scope, socket, "250 2.0.0 Ok");
            }
            "NOOP" => self.say(scope, socket, "250 2.0.0 Ok"),
            "QUIT" => {
                self.say(scope, socket, "221 2.0.0 Bye");
                self.close_behind(socket, false);
            }
            _ => self.say(scope, socket, "502 5.5.2 Command not recognized"),
        }
    }

    fn reset(&mut self, socket: Socket) {
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.sender = None;
            session.recipients.clear();
        }
    }

    fn hello(&mut self, scope: &mut Scope<'_>, socket: Socket, lmtp: bool) {
        let offers = self.policy.borrow().destination.tls != Tls::None;
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        session.lmtp = lmtp;
        let tls = if offers && !session.secured { "250-STARTTLS\r\n" } else { "" };
        let text = format!(
            "250-mx.rehearsal\r\n250-PIPELINING\r\n{tls}250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES"
        );
        self.say(scope, socket, &text);
    }

    /// What TLS comes to in this world: who the server is, or that it failed.
    fn handshake(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let who = match self.policy.borrow().destination.tls {
            Tls::None | Tls::Broken => None,
            Tls::Good => Some("\u{16}good"),
            Tls::WrongName => Some("\u{16}other"),
            Tls::Expired => Some("\u{16}expired"),
        };
        let Some(who) = who else {
            self.say(scope, socket, "\u{15}");
            return self.close_behind(socket, false);
        };
        self.say(scope, socket, who);
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.secured = true;
        }
        self.reset(socket);
    }

    fn mail(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &str) {
        self.reset(socket);
        let now = scope.fabric.kernel.now();
        let most = self.policy.borrow().destination.per_connection;
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        if most > 0 && session.taken >= most {
            self.say(scope, socket, "421 4.7.0 Too many messages on this connection");
            return self.close_behind(socket, false);
        }
        if self.outages.now(now, How::Close) {
            self.say(scope, socket, "421 4.3.2 Service not available, come back later");
            return self.close_behind(socket, false);
        }
        session.sender = Some(address(line));
        self.say(scope, socket, "250 2.1.0 Ok");
    }

    fn recipient(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &str) {
        let now = scope.fabric.kernel.now();
        let recipient = address(line);
        let sender = self.sessions.get(&socket).and_then(|session| session.sender.clone());
        let Some(sender) = sender else { return self.say(scope, socket, "503 5.5.1 MAIL first") };
        let reply = {
            let mut policy = self.policy.borrow_mut();
            let Destination { reject, tempfail, .. } = &policy.destination;
            let (reject, tempfail) = (reject.0.of_million(), tempfail.0.of_million());
            if exists_not(&recipient, reject) {
                Some("550 5.1.1 No such user here")
            } else if tempfail > 0 && scope.prng().chance(tempfail, 1_000_000) {
                Some("451 4.3.0 Temporary failure, try again later")
            } else if policy.greylists(now, &sender, &recipient) {
                Some("450 4.2.0 Greylisted, please try again later")
            } else {
                None
            }
        };
        if reply.is_none()
            && let Some(session) = self.sessions.get_mut(&socket)
        {
            session.recipients.push(recipient);
        }
        self.say(scope, socket, reply.unwrap_or("250 2.1.5 Ok"));
    }

    fn data(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        if session.recipients.is_empty() {
            return self.say(scope, socket, "554 5.5.1 No valid recipients");
        }
        session.content = true;
        self.say(scope, socket, "354 End data with <CR><LF>.<CR><LF>");
    }

    fn end_of_data(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let now = scope.fabric.kernel.now();
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let recipients = std::mem::take(&mut session.recipients);
        session.sender = None;
        let count = if session.lmtp { recipients.len() } else { 1 };
        let slot = self.policy.borrow_mut().slot(now);
        let Some(wait) = slot else {
            self.book.borrow_mut().groups[usize::from(self.group)].sent_away += 1;
            if self.policy.borrow().destination.too_fast == Beyond::Close {
                self.say(scope, socket, "421 4.7.0 You are sending too fast");
                return self.close_behind(socket, false);
            }
            for _ in 0..count {
                self.say(scope, socket, "451 4.7.1 You are sending too fast");
            }
            return;
        };
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.taken += 1;
            session.pause += wait;
        }
        let lost = self.policy.borrow().destination.lost_reply.0.of_million();
        let lost = lost > 0 && scope.prng().chance(lost, 1_000_000);
        let mut book = self.book.borrow_mut();
        let group = &mut book.groups[usize::from(self.group)];
        group.transactions += 1;
        group.replies_lost += u64::from(lost);
        for recipient in &recipients {
            book.delivered(now.after(wait), recipient);
        }
        drop(book);
        if lost {
            return self.close_behind(socket, true);
        }
        for _ in 0..count {
            self.say(scope, socket, "250 2.0.0 Ok: taken");
        }
    }

    /// A window of an outage begins or ends.
    fn turn(&mut self, scope: &mut Scope<'_>) {
        let now = scope.fabric.kernel.now();
        if self.outages.now(now, How::Refuse) {
            scope.fabric.network.listen_no_more(scope.node, ANY_PORT);
        } else {
            scope.fabric.network.listen(scope.node, ANY_PORT);
        }
        if self.outages.now(now, How::Timeout) {
            scope.fabric.network.cut(self.host, scope.node);
            scope.fabric.network.cut(scope.node, self.host);
        } else {
            scope.fabric.network.mend(self.host, scope.node);
        }
        let refuses = self.outages.now(now, How::Refuse);
        let leave: BTreeSet<Socket> = self
            .sessions
            .iter()
            .filter(|(_, session)| refuses || session.asleep)
            .map(|(&socket, _)| socket)
            .collect();
        self.crowd.retain(|socket| !leave.contains(socket));
        for socket in leave {
            self.forget(scope, socket);
            scope.abort(socket);
        }
    }
}

impl Actor for Provider {
    fn boot(&mut self, scope: &mut Scope<'_>) {
        scope.listen(ANY_PORT);
        for at in self.outages.edges() {
            scope.timer_at(at, 0);
        }
        self.turn(scope);
    }

    fn arrival(&mut self, scope: &mut Scope<'_>, arrival: Arrival) {
        match arrival {
            Arrival::Accepted { socket, .. } => self.accept(scope, socket),
            Arrival::Octets(socket, octets) => self.octets(scope, socket, &octets),
            Arrival::End(socket) => {
                self.forget(scope, socket);
                scope.close(socket);
            }
            Arrival::Gone(socket, _) => self.forget(scope, socket),
            _ => {}
        }
    }

    fn timer(&mut self, scope: &mut Scope<'_>, tag: u64) {
        if tag == 0 {
            return self.turn(scope);
        }
        if let Some((socket, out, close)) = self.later.remove(&tag) {
            self.act(scope, socket, &out, close);
        }
    }
}

/// The end of the content in a buffer, looked for from a place that may lie before it.
fn end_of_data(buffer: &[u8], from: usize) -> Option<usize> {
    if buffer.starts_with(b".\r\n") {
        return Some(3);
    }
    let from = from.min(buffer.len());
    memmem::find(&buffer[from..], b"\r\n.\r\n").map(|at| from + at + 5)
}

/// Whether an address is one of those that do not exist: each always answers alike.
fn exists_not(recipient: &str, of_million: u64) -> bool {
    let number = number_of(recipient).map_or(0, u64::from);
    of_million > 0 && crate::kernel::hash(&number.to_le_bytes()) % 1_000_000 < of_million
}

/// A time in a range.
pub(super) fn between(prng: &mut Prng, range: Range<Span>) -> Duration {
    let (least, most) = (range.least.0.as_micros() as u64, range.most.0.as_micros() as u64);
    Duration::from_micros(least + prng.below(most - least + 1))
}

/// What stands between the angle brackets.
fn address(line: &str) -> String {
    let inner =
        line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(inner, _)| inner);
    inner.to_ascii_lowercase()
}
