//! A client that hands mail in and remembers what it was promised.
//!
//! It works through a plan of letters, one connection for some of them. It may pipeline, drip, hang up in the middle, or vanish before the
//! reply. It never hands a letter in twice, so a letter that comes twice is not its doing.

use super::drops::{Drop, drops};
use super::take_line;
use crate::faults::Class;
use crate::kernel::Planned;
use crate::network::{Arrival, NodeId, Socket};
use crate::oracle::{Token, Verdict};
use crate::world::{Actor, Fabric, Scope, Word};
use postrider_core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// How long it waits for anything.
const PATIENCE: Duration = Duration::from_secs(400);
/// Set in timers for the next piece of what drips; the rest of such a tag counts them.
const DROP: u64 = 1 << 63;

/// A letter to be handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Milliseconds after the one before.
    pub wait: u64,
    /// Reverse-path; empty for none.
    pub sender: String,
    /// Forward-paths.
    pub recipients: Vec<String>,
    /// Octets of the body.
    pub size: usize,
}

/// How a client behaves; odds are of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Habits {
    /// Sends MAIL, RCPT and DATA at once.
    pub pipelines: bool,
    /// Hangs up in the middle of a letter.
    pub hangs_up: u16,
    /// Hangs up when it has said the dot.
    pub vanishes: u16,
    /// Says RSET and begins again.
    pub dithers: u16,
    /// Sends its end behind the dot, and waits for the reply.
    pub half_closes: u16,
    /// Sends its end behind any line, and waits for the replies to what it has said.
    pub half_closes_early: u16,
    /// Sends what it says a few octets at a time.
    pub drips: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expect {
    Greeting,
    Hello,
    Mail,
    Recipient(String),
    Reset,
    Data,
    Dot,
    Goodbye,
}

#[derive(Debug)]
struct Letter {
    token: Token,
    plan: Plan,
    accepted: usize,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    server: SocketAddr,
    plans: VecDeque<Plan>,
    habits: Habits,
    socket: Option<Socket>,
    letter: Option<Letter>,
    expected: VecDeque<Expect>,
    buffer: Vec<u8>,
    /// What it is still sending, piece by piece; what it says next goes behind.
    dripping: VecDeque<Drop>,
    /// Counts pieces, so that an old timer is known as old.
    dropped: u64,
    /// It has sent its end for [`Habits::half_closes_early`]: it can not say anything more on this connection.
    finished: bool,
    /// Counts what happens, so that an old timer is known as old.
    step: u64,
    alarm: Option<Planned>,
}

impl Client {
    /// A client of one server.
    #[must_use]
    pub fn new(server: SocketAddr, plans: Vec<Plan>, habits: Habits) -> Self {
        Self {
            server,
            plans: plans.into(),
            habits,
            socket: None,
            letter: None,
            expected: VecDeque::new(),
            buffer: Vec::new(),
            dripping: VecDeque::new(),
            dropped: 0,
            finished: false,
            step: 0,
            alarm: None,
        }
    }

    fn wait(&mut self, scope: &mut Scope<'_>, time: Duration) {
        self.step += 1;
        if let Some(before) = self.alarm.replace(scope.timer(time, self.step)) {
            scope.cancel(before);
        }
    }

    fn next_letter(&mut self, scope: &mut Scope<'_>) {
        if self.finished {
            self.forget_connection(scope);
        }
        if let Some(plan) = self.plans.front() {
            let time = Duration::from_millis(plan.wait);
            self.wait(scope, time);
        } else {
            self.step += 1;
            if self.socket.is_some() {
                self.expected.push_back(Expect::Goodbye);
                self.say(scope, b"QUIT\r\n");
                self.wait(scope, PATIENCE);
            }
        }
    }

    /// Sends octets, whole or in drops, and perhaps its end behind them.
    fn say(&mut self, scope: &mut Scope<'_>, octets: &[u8]) {
        let Some(socket) = self.socket else { return };
        if !self.dripping.is_empty() {
            return self.dripping.push_back(Drop { pause: Duration::ZERO, octets: octets.to_vec() });
        }
        if scope.lot(self.habits.drips) {
            self.dripping = drops(scope.prng(), octets).into();
            return self.plan_drop(scope);
        }
        scope.send(socket, octets);
        if scope.lot(self.habits.half_closes_early) {
            self.finished = true;
            scope.finish(socket);
        }
    }

    fn plan_drop(&mut self, scope: &mut Scope<'_>) {
        self.dropped += 1;
        if let Some(drop) = self.dripping.front() {
            scope.timer(drop.pause, DROP | self.dropped);
        }
    }

    fn drip(&mut self, scope: &mut Scope<'_>) {
        let (Some(socket), Some(drop)) = (self.socket, self.dripping.pop_front()) else { return };
        if drop.is_slow() && scope.fabric.network.is_whole(socket) {
            scope.fired(Class::DripClient);
        }
        scope.send(socket, &drop.octets);
        self.plan_drop(scope);
    }

    /// The connection is of no more use.
    fn drop_connection(&mut self, scope: &mut Scope<'_>, verdict: Verdict) {
        self.forget_connection(scope);
        if let Some(letter) = self.letter.take() {
            scope.fabric.ledger.replied(letter.token, verdict);
        }
        if !self.plans.is_empty() {
            self.next_letter(scope);
        }
    }

    fn forget_connection(&mut self, scope: &mut Scope<'_>) {
        if let Some(socket) = self.socket.take() {
            scope.abort(socket);
        }
        self.expected.clear();
        self.buffer.clear();
        self.dripping.clear();
        self.dropped += 1;
        self.finished = false;
    }

    /// Until the dot is said, nobody but us answers for the letter.
    fn hopeless(&self) -> Verdict {
        if self.expected.contains(&Expect::Dot) { Verdict::Unknown } else { Verdict::Refused }
    }

    fn begin(&mut self, scope: &mut Scope<'_>) {
        let Some(plan) = self.plans.pop_front() else { return };
        let token = scope.fabric.ledger.write(&plan.sender, &plan.recipients, plan.size);
        self.letter = Some(Letter { token, plan, accepted: 0 });
        match self.socket {
            Some(_) => self.offer(scope),
            None => {
                self.socket = Some(scope.connect(self.server));
                self.expected.push_back(Expect::Greeting);
            }
        }
        self.wait(scope, PATIENCE);
    }

    /// MAIL, and the rest of it at once for one who pipelines.
    fn offer(&mut self, scope: &mut Scope<'_>) {
        if self.finished {
            return self.drop_connection(scope, Verdict::Refused);
        }
        let Some(letter) = &self.letter else { return };
        let mut text = format!("MAIL FROM:<{}>\r\n", letter.plan.sender);
        let recipients = letter.plan.recipients.clone();
        self.expected.push_back(Expect::Mail);
        if self.habits.dithers > 0 && scope.prng().chance(u64::from(self.habits.dithers), 1_000) {
            text = format!("{text}RSET\r\n{text}");
            self.expected.push_back(Expect::Reset);
            self.expected.push_back(Expect::Mail);
        }
        if self.habits.pipelines {
            for recipient in recipients {
                text.push_str(&format!("RCPT TO:<{recipient}>\r\n"));
                self.expected.push_back(Expect::Recipient(recipient));
            }
            text.push_str("DATA\r\n");
            self.expected.push_back(Expect::Data);
        }
        self.say(scope, text.as_bytes());
    }

    fn reply(&mut self, scope: &mut Scope<'_>, code: u16) {
        let Some(expected) = self.expected.pop_front() else { return };
        self.wait(scope, PATIENCE);
        if scope.odds(self.habits.hangs_up, Class::ClientHangsUp) {
            return self.drop_connection(scope, self.hopeless_after(&expected));
        }
        let good = matches!(code, 200..=399);
        match expected {
            Expect::Greeting if good => self.ask(scope, Expect::Hello, "EHLO client.sim\r\n"),
            Expect::Hello if good => self.offer(scope),
            Expect::Mail if good => {
                if !self.habits.pipelines && self.expected.is_empty() {
                    self.next_recipient(scope, 0);
                }
            }
            Expect::Reset => {}
            Expect::Recipient(recipient) => self.recipient(scope, &recipient, good),
            Expect::Data if code == 354 => self.content(scope),
            Expect::Dot => {
                let verdict = if good { Verdict::Promised } else { Verdict::Refused };
                self.end(scope, verdict);
            }
            Expect::Goodbye => self.drop_connection(scope, Verdict::Refused),
            Expect::Data if self.expected.is_empty() => self.end(scope, Verdict::Refused),
            _ => self.drop_connection(scope, Verdict::Refused),
        }
    }

    fn hopeless_after(&self, expected: &Expect) -> Verdict {
        if *expected == Expect::Dot { Verdict::Unknown } else { self.hopeless() }
    }

    fn ask(&mut self, scope: &mut Scope<'_>, expect: Expect, text: &str) {
        if self.finished {
            return self.drop_connection(scope, Verdict::Refused);
        }
        self.expected.push_back(expect);
        self.say(scope, text.as_bytes());
    }

    fn recipient(&mut self, scope: &mut Scope<'_>, recipient: &str, good: bool) {
        let Some(letter) = &mut self.letter else { return };
        if good {
            letter.accepted += 1;
        } else {
            scope.fabric.ledger.declined(letter.token, recipient);
        }
        if !self.habits.pipelines {
            let place = letter.plan.recipients.iter().position(|other| other == recipient).unwrap_or(0);
            self.next_recipient(scope, place + 1);
        }
    }

    fn next_recipient(&mut self, scope: &mut Scope<'_>, place: usize) {
        let Some(letter) = &self.letter else { return };
        match letter.plan.recipients.get(place).cloned() {
            Some(recipient) => {
                let text = format!("RCPT TO:<{recipient}>\r\n");
                self.ask(scope, Expect::Recipient(recipient), &text);
            }
            None if letter.accepted > 0 => self.ask(scope, Expect::Data, "DATA\r\n"),
            None => self.end(scope, Verdict::Refused),
        }
    }

    fn content(&mut self, scope: &mut Scope<'_>) {
        if self.finished {
            return self.drop_connection(scope, Verdict::Refused);
        }
        let (Some(letter), Some(socket)) = (&self.letter, self.socket) else { return };
        if letter.accepted == 0 {
            // A server may ask for content that is for nobody: it gets none (RFC 2920 3.1).
            self.say(scope, b".\r\n");
            return self.expected.push_back(Expect::Dot);
        }
        let mut stuffed = stuffed(&scope.fabric.ledger.message(letter.token));
        if scope.odds(self.habits.hangs_up, Class::ClientHangsUp) {
            stuffed.truncate(stuffed.len() / 2);
            self.say(scope, &stuffed);
            return self.drop_connection(scope, Verdict::Refused);
        }
        stuffed.extend_from_slice(b".\r\n");
        self.say(scope, &stuffed);
        self.expected.push_back(Expect::Dot);
        if scope.odds(self.habits.vanishes, Class::ClientVanishes) {
            return self.drop_connection(scope, Verdict::Unknown);
        }
        if scope.lot(self.habits.half_closes) && self.dripping.is_empty() {
            scope.finish(socket);
        }
    }

    fn end(&mut self, scope: &mut Scope<'_>, verdict: Verdict) {
        if let Some(letter) = self.letter.take() {
            let verdict = if letter.accepted == 0 { Verdict::Refused } else { verdict };
            scope.note(6, &[letter.token.0, verdict as u64], || {
                let (number, words) = (letter.token.0, verdict.in_words());
                format!("letter {number}: {words}")
            });
            scope.fabric.ledger.replied(letter.token, verdict);
        }
        self.next_letter(scope);
    }

    fn octets(&mut self, scope: &mut Scope<'_>, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
        while let Some(line) = take_line(&mut self.buffer) {
            let last = line.get(3) != Some(&b'-');
            let code =
                std::str::from_utf8(line.get(..3).unwrap_or_default()).ok().and_then(|c| c.parse().ok());
            if last {
                self.reply(scope, code.unwrap_or(0));
            }
        }
    }
}

/// Content as it is sent: dots at the beginning of lines are doubled (RFC 5321 4.5.2).
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(content.len() + content.len() / 64 + 16);
    let mut from = 0;
    let beginnings = std::iter::once(0).chain(memchr::memchr_iter(b'\n', content).map(|end| end + 1));
    for start in beginnings.filter(|&start| content.get(start) == Some(&b'.')) {
        stuffed.extend_from_slice(&content[from..start]);
        stuffed.push(b'.');
        from = start;
    }
    stuffed.extend_from_slice(&content[from..]);
    stuffed
}

impl Actor for Client {
    fn boot(&mut self, scope: &mut Scope<'_>) {
        if !self.plans.is_empty() {
            self.next_letter(scope);
        }
    }

    fn arrival(&mut self, scope: &mut Scope<'_>, arrival: Arrival) {
        let ours = |socket: Socket| Some(socket) == self.socket;
        match arrival {
            Arrival::Octets(socket, octets) if ours(socket) => self.octets(scope, &octets),
            Arrival::NotConnected(socket, _) | Arrival::End(socket) | Arrival::Gone(socket, _)
                if ours(socket) =>
            {
                let verdict = self.hopeless();
                self.drop_connection(scope, verdict);
            }
            _ => {}
        }
    }

    fn timer(&mut self, scope: &mut Scope<'_>, tag: u64) {
        if tag == DROP | self.dropped {
            return self.drip(scope);
        }
        if tag != self.step {
            return;
        }
        if self.letter.is_none() && self.expected.is_empty() {
            return self.begin(scope);
        }
        let verdict = self.hopeless();
        self.drop_connection(scope, verdict);
    }

    fn told(&mut self, _scope: &mut Scope<'_>, word: Word) {
        if word == Word::Behave {
            self.habits = Habits { pipelines: self.habits.pipelines, ..Habits::default() };
        }
    }

    fn pending(&self, _node: NodeId, _fabric: &Fabric) -> Option<String> {
        let left = self.plans.len() + usize::from(self.letter.is_some());
        let host = self.server;
        let waits = match (&self.letter, self.expected.front()) {
            (Some(_), Some(expected)) => format!("{host} owes it an answer ({expected:?})"),
            (Some(_), None) => format!("one is being handed in to {host}"),
            (None, _) => {
                let wait = self.plans.front().map_or(0, |plan| plan.wait);
                format!("the next goes to {host}, {wait} ms after the one before")
            }
        };
        (left > 0).then(|| format!("letters to hand in: {left}; {waits}"))
    }
}
