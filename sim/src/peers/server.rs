//! A mail server with manners.
//!
//! It answers by the local part of a recipient: `bad…` does not exist, `full…` has no room until it behaves, `grey…` must come
//! again after a while; all others are taken. Its manners decide the rest: whether it greets, hangs up at some stage,
//! is slow, loses the reply after the dot, speaks only HELO, or lies in LMTP. It tells the ledger what it took and which reports came.

mod saying;

use super::reading::{self, address, line_end};
use super::{Manners, Tls};
use crate::faults::Class;
use crate::network::{Arrival, Cutting, NodeId, Socket};
use crate::oracle::Taken;
use crate::world::{Actor, Scope, Word};
use postrider_core::time::{Duration, Instant};
use saying::Later;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What stands for the first octets of a TLS handshake.
const HANDSHAKE: &str = "\u{16}HELLO";

#[derive(Debug, Default)]
struct Session {
    buffer: Vec<u8>,
    mail: Option<String>,
    recipients: Vec<String>,
    content: Option<Vec<u8>>,
    /// Until then it is busy with earlier replies.
    busy: Instant,
    asleep: bool,
    /// Replies that leave together.
    out: Vec<u8>,
    /// Which machine it speaks with.
    from: Option<NodeId>,
    secured: bool,
    /// It has said more than it was asked.
    confused: bool,
    /// It has sent its end: it says nothing more.
    finished: bool,
    /// When the client said something last.
    heard: Instant,
    /// A timer will look whether it is idle.
    watched: bool,
}

impl Session {
    /// Takes content off the buffer from `used` on; says how many octets, and whether it was the end.
    fn take_content(&mut self, used: usize) -> (usize, bool) {
        let rest = self.buffer.get(used..).unwrap_or_default();
        self.content.as_mut().map_or((0, false), |content| reading::content(rest, content))
    }
}

/// A mail server.
#[derive(Debug)]
pub struct Server {
    manners: Manners,
    sessions: BTreeMap<Socket, Session>,
    /// When a sender and recipient were first seen.
    grey: BTreeMap<(String, String), Instant>,
    later: BTreeMap<u64, (Socket, Later)>,
    next: u64,
    behaves: bool,
    /// It keeps its manners for good, though the world has healed.
    stubborn: bool,
    /// Messages taken.
    pub taken: u64,
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
            stubborn: false,
            taken: 0,
        }
    }

    /// Says what belongs here, and perhaps once too often: then nobody knows what the next reply is taken for.
    fn say_and_more(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &str) {
        if !self.odds(scope, self.manners.out_of_turn, Class::OutOfTurn) {
            return self.say(scope, socket, line);
        }
        self.say(scope, socket, &format!("{line}\r\n250 2.0.0 and by the way"));
        // In one piece, to a client that has nothing under way, it can not be taken for an answer.
        let clear = !self.manners.pipelining && scope.fabric.network.cutting == Cutting::Whole;
        if let Some(session) = self.sessions.get_mut(&socket).filter(|_| !clear) {
            session.confused = true;
            for recipient in &session.recipients {
                scope.fabric.ledger.refused(recipient);
            }
        }
        self.excuse(scope, socket);
    }

    /// Whatever becomes of the recipients that a confused server is told of, also of those that it never comes to, is its fault.
    fn excuse(&self, scope: &mut Scope<'_>, socket: Socket) {
        let Some(session) = self.sessions.get(&socket).filter(|session| session.confused) else { return };
        let heard = String::from_utf8_lossy(&session.buffer);
        for line in heard.split("\r\n").filter(|line| line.starts_with("RCPT ")) {
            scope.fabric.ledger.refused(&address(line));
        }
    }

    fn accept(&mut self, scope: &mut Scope<'_>, socket: Socket, peer: SocketAddr) {
        let from = scope.fabric.network.owner(peer.ip());
        let heard = scope.fabric.kernel.now();
        self.sessions.insert(socket, Session { from, heard, ..Session::default() });
        if self.odds(scope, self.manners.silent, Class::Silent) {
            return self.fall_asleep(socket);
        }
        if self.odds(scope, self.manners.hangs_up, Class::CloseGreeting) {
            return self.hang_up(scope, socket);
        }
        let most = self.manners.connections as usize;
        let crowded = most > 0 && self.sessions.len() > most;
        if crowded {
            self.fired(scope, Class::Crowded);
        }
        if self.manners.refuses {
            scope.fired(Class::Lasting);
        }
        if crowded || self.manners.refuses || self.odds(scope, self.manners.rude, Class::Rude) {
            let soft = crowded || self.manners.refuses || scope.prng().chance(3, 4);
            self.say(scope, socket, if soft { "421 4.3.2 not now" } else { "554 go away" });
            return self.plan(scope, socket, Later::Close(false));
        }
        self.watch(scope, socket);
        self.say_and_more(scope, socket, "220 peer.sim ESMTP");
        self.flush(scope, socket);
    }

    fn octets(&mut self, scope: &mut Scope<'_>, socket: Socket, octets: &[u8]) {
        let now = scope.fabric.kernel.now();
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        session.heard = now;
        session.buffer.extend_from_slice(octets);
        self.excuse(scope, socket);
        let mut used = 0;
        while let Some(session) = self.sessions.get_mut(&socket) {
            if session.asleep {
                return;
            }
            if session.content.is_some() {
                let (more, ended) = session.take_content(used);
                used += more;
                if ended {
                    self.end_of_data(scope, socket);
                    continue;
                }
                break;
            }
            let rest = session.buffer.get(used..).unwrap_or_default();
            let Some(end) = line_end(rest) else { break };
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            used += end + 2;
            self.command(scope, socket, &line);
        }
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.buffer.drain(..used.min(session.buffer.len()));
        }
        self.flush(scope, socket);
    }

    /// True when its manners answered in place of the protocol.
    fn misbehaves(&mut self, scope: &mut Scope<'_>, socket: Socket, verb: &str) -> bool {
        let class = match verb {
            "EHLO" | "HELO" | "LHLO" => Class::CloseHello,
            "STARTTLS" => Class::CloseStartTls,
            HANDSHAKE => Class::CloseHandshake,
            "RCPT" => Class::CloseRcpt,
            "DATA" => Class::CloseData,
            "RSET" | "NOOP" => Class::CloseReset,
            _ => Class::CloseMail,
        };
        if self.odds(scope, self.manners.hangs_up, class) {
            self.hang_up(scope, socket);
            return true;
        }
        if self.odds(scope, self.manners.sleeps, Class::Sleeps) {
            self.fall_asleep(socket);
            return true;
        }
        if self.odds(scope, self.manners.babbles, Class::Babble) {
            self.say(scope, socket, "hello? I am not a mail server");
            return true;
        }
        false
    }

    fn command(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &str) {
        let verb = line.split([' ', ':']).next().unwrap_or("").to_ascii_uppercase();
        if verb != "QUIT" && self.misbehaves(scope, socket, &verb) {
            return;
        }
        let step = matches!(verb.as_str(), "MAIL" | "RCPT" | "DATA");
        if step && self.odds(scope, self.manners.soft, Class::Soft) {
            return self.say(scope, socket, "451 4.3.0 try again later");
        }
        match verb.as_str() {
            "EHLO" if self.manners.extended && !self.manners.lmtp => self.hello(scope, socket),
            "LHLO" if self.manners.lmtp => self.hello(scope, socket),
            "HELO" if !self.manners.lmtp => self.say_and_more(scope, socket, "250 peer.sim"),
            "STARTTLS" if self.manners.tls != Tls::None => self.say(scope, socket, "220 2.0.0 go ahead"),
            HANDSHAKE => self.handshake(scope, socket),
            "MAIL" => self.mail(scope, socket, line),
            "RCPT" => self.recipient(scope, socket, line),
            "DATA" => self.data(scope, socket),
            "RSET" => {
                self.reset(socket);
                self.say(scope, socket, "250 2.0.0 forgotten");
            }
            "NOOP" => self.say(scope, socket, "250 2.0.0 yes"),
            "QUIT" if self.odds(scope, self.manners.hangs_up_at_quit, Class::CloseQuit) => {
                self.hang_up(scope, socket);
            }
            "QUIT" => {
                self.say(scope, socket, "221 2.0.0 bye");
                if scope.lot(self.manners.half_closes) {
                    return self.plan(scope, socket, Later::Finish);
                }
                self.plan(scope, socket, Later::Close(false));
            }
            // It would be taken for the refusal of a message whose recipients nobody has named yet, and nobody could tell.
            _ if self.sessions.get(&socket).is_some_and(|session| session.confused) => {
                self.say(scope, socket, "421 4.7.0 too confused");
                self.plan(scope, socket, Later::Close(false));
            }
            _ => self.say(scope, socket, "502 5.5.1 what?"),
        }
    }

    fn hello(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let pipelining = if self.manners.pipelining { "250-PIPELINING\r\n" } else { "" };
        let secured = self.sessions.get(&socket).is_some_and(|session| session.secured);
        let tls = if self.manners.tls == Tls::None || secured { "" } else { "250-STARTTLS\r\n" };
        let text =
            format!("250-peer.sim\r\n{pipelining}{tls}250-8BITMIME\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES");
        self.say_and_more(scope, socket, &text);
    }

    /// What TLS comes to, in one line each way: who it is, or that it failed.
    fn handshake(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let fails = self.manners.tls == Tls::Broken;
        if fails {
            self.fired(scope, Class::TlsHandshake);
        }
        if fails || self.odds(scope, self.manners.tls_fails, Class::TlsHandshake) {
            self.say(scope, socket, "\u{15}");
            return self.plan(scope, socket, Later::Close(false));
        }
        let who = match self.manners.tls {
            Tls::WrongName => {
                scope.fired(Class::TlsWrongName);
                "other.sim"
            }
            Tls::Expired => {
                scope.fired(Class::TlsExpired);
                "expired"
            }
            _ => "good",
        };
        self.say(scope, socket, &format!("\u{16}{who}"));
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.secured = true;
        }
        self.reset(socket);
    }

    fn mail(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &str) {
        self.reset(socket);
        let sender = address(line);
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.mail = Some(sender);
        }
        self.say_and_more(scope, socket, "250 2.1.0 ok");
    }

    fn recipient(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &str) {
        let now = scope.fabric.kernel.now();
        let recipient = address(line);
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let Some(sender) = session.mail.clone() else {
            return self.say(scope, socket, "503 5.5.1 whose mail?");
        };
        let greylists = recipient.starts_with("grey") || self.manners.greylists;
        let greylisted = || {
            let first = *self.grey.entry((sender, recipient.clone())).or_insert(now);
            now.since(first) < Duration::from_secs(60)
        };
        if recipient.starts_with("bad") {
            scope.fabric.ledger.refused(&recipient);
            return self.say_and_more(scope, socket, "550 5.1.1 no such user");
        }
        if recipient.starts_with("full") && !self.behaves {
            self.fired(scope, Class::RecipientLater);
            return self.say_and_more(scope, socket, "452 4.2.2 mailbox full");
        }
        if greylists && greylisted() {
            self.fired(scope, Class::Greylisted);
            return self.say_and_more(scope, socket, "450 4.7.1 greylisted, come again");
        }
        session.recipients.push(recipient);
        self.say_and_more(scope, socket, "250 2.1.5 ok");
    }

    fn data(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        if session.recipients.is_empty() {
            return self.say(scope, socket, "554 5.5.1 no valid recipients");
        }
        session.content = Some(Vec::new());
        self.say(scope, socket, "354 go on");
        if self.odds(scope, self.manners.cuts_content, Class::CloseBody) {
            self.hang_up(scope, socket);
        }
    }

    fn end_of_data(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let content = session.content.take().unwrap_or_default();
        let recipients = std::mem::take(&mut session.recipients);
        session.mail = None;
        let confused = session.confused;
        self.watch(scope, socket);
        if self.odds(scope, self.manners.hangs_up, Class::CloseDot) {
            return self.hang_up(scope, socket);
        }
        let count = if self.manners.lmtp { recipients.len() } else { 1 };
        if !confused && self.odds(scope, self.manners.soft, Class::SoftDot) {
            for _ in 0..count {
                self.say(scope, socket, "451 4.3.0 no room for content");
            }
            return;
        }
        let marks: Vec<String> =
            (0..count).map(|number| format!("S{}x{}y{number}", scope.node.0, self.taken)).collect();
        self.taken += 1;
        self.record(scope, socket, &content, (&recipients, &marks));
        if self.odds(scope, self.manners.loses_reply, Class::ReplyLost) {
            self.fall_asleep(socket);
            return self.plan(scope, socket, Later::Close(true));
        }
        let few = self.manners.lmtp && self.odds(scope, self.manners.lies, Class::LmtpFew);
        for mark in marks.iter().take(marks.len() - usize::from(few)) {
            self.say(scope, socket, &format!("250 2.0.0 Ok: queued as {mark}"));
        }
        if self.manners.lmtp && self.odds(scope, self.manners.brags, Class::LmtpMany) {
            self.say(scope, socket, "250 2.0.0 Ok: and for somebody else");
        }
        if few {
            self.plan(scope, socket, Later::Close(false));
        }
    }

    fn record(
        &self,
        scope: &mut Scope<'_>,
        socket: Socket,
        content: &[u8],
        (recipients, marks): (&[String], &[String]),
    ) {
        let Some(session) = self.sessions.get(&socket) else { return };
        let numbers = [crate::kernel::hash(content), recipients.len() as u64];
        scope.note(5, &numbers, || format!("took {} octets for {}", content.len(), recipients.join(", ")));
        let now = scope.fabric.kernel.now();
        let taken = Taken {
            marks,
            from: session.from,
            content,
            recipients,
            // LMTP has a policy of its own.
            secured: session.secured || self.manners.lmtp,
            line: Some(socket.peer()),
            confused: session.confused,
        };
        scope.fabric.ledger.took(now, &taken);
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
            Arrival::Accepted { socket, peer, .. } => self.accept(scope, socket, peer),
            Arrival::Octets(socket, octets) => self.octets(scope, socket, &octets),
            Arrival::End(socket) => self.plan(scope, socket, Later::Close(false)),
            Arrival::Gone(socket, _) => _ = self.sessions.remove(&socket),
            _ => {}
        }
    }

    fn timer(&mut self, scope: &mut Scope<'_>, tag: u64) {
        if let Some((socket, later)) = self.later.remove(&tag) {
            self.act(scope, socket, later);
            self.flush(scope, socket);
        }
    }

    fn crash(&mut self) {
        self.sessions.clear();
        self.later.clear();
    }

    fn told(&mut self, scope: &mut Scope<'_>, word: Word) {
        match word {
            Word::Refuse => self.manners.refuses = true,
            Word::Persist => self.stubborn = true,
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
            _ => {}
        }
    }
}
