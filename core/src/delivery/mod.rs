//! One connection to an SMTP or LMTP server, from its greeting to QUIT, and the transactions that it carries.
//!
//! ```text
//! Greeting ─▶ Hello ─▶ (StartTls ─▶ Handshake ─▶ Hello) ─▶ Dialogue ⇄ Body ─▶ Ready ─▶ Dialogue … ─▶ Quit ─▶ Gone
//! ```
//!
//! Promise: each transaction ends in exactly one [`Output::Ended`] with a verdict for each recipient, unless TLS failed
//! where it is optional; no command is sent before the replies that it must wait for; nothing that was said before TLS counts
//! after it; a server's octets can not make it panic, loop or grow.
//! Does not know which host comes next, what a verdict does to a queue, or how a connection is made: the joint
//! [`crate::outbound`] does.
//!
//! RFC 5321, RFC 2033 (LMTP), RFC 2920, RFC 1870, RFC 3207, RFC 3461, RFC 6152, RFC 6531.

mod classify;
mod destination;
mod dialogue;
mod handshake;
mod hosts;
mod notice;
mod offer;
mod params;
mod peer;
mod plan;
mod stages;

pub use classify::{Fate, Moment, Reach, Severity, classify, severity};
pub use destination::{BadDestination, Destination, split};
pub use hosts::{Found, Host, SHORT, Search, find, short};
pub use offer::Offer;
pub use params::{CacheParams, HostParams, Interfaces, Params, Preference, Protocol, Timeouts, TlsLevel};
pub use peer::{Loss, Peer};
pub use stages::STAGES;

use crate::event::Event;
use crate::machine::{Machine, Outbox};
use crate::mail::{Attempt, AttemptRecipient, Diagnosis, Minutes, Notice, NoticeClass, Sender, TlsFacts};
use crate::time::{Duration, Instant, Now};
use crate::wire::{EnhancedStatus, Reply, ReplyReader};
use dialogue::Talk;
use std::sync::Arc;

/// A message and the recipients that this connection shall hand over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// The message, with all recipients of the attempt.
    pub attempt: Arc<Attempt>,
    /// Positions in `attempt.recipients` of those that remain; at least one.
    pub positions: Vec<usize>,
}

impl Transaction {
    /// The recipient at a place of `positions`.
    #[must_use]
    pub fn recipient(&self, place: usize) -> Option<&AttemptRecipient> {
        self.attempt.recipients.get(*self.positions.get(place)?)
    }

    /// The recipients that remain.
    pub fn recipients(&self) -> impl Iterator<Item = &AttemptRecipient> {
        self.positions.iter().filter_map(|position| self.attempt.recipients.get(*position))
    }
}

/// What became of one recipient on this connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The server answers for it now.
    Accepted {
        /// Its reply.
        diagnosis: Diagnosis,
        /// It does not promise DSN.
        last_hop_for_dsn: bool,
    },
    /// It does not.
    Refused {
        /// What is to become of it.
        fate: Fate,
        /// How far the failure reaches.
        reach: Reach,
        /// Why.
        diagnosis: Diagnosis,
    },
}

/// The end of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ended {
    /// One for each of the transaction's positions; empty only when `tls_failed`.
    pub verdicts: Vec<Verdict>,
    /// The server was ready for a transaction: the connection counts as a session.
    pub ready: bool,
    /// The server answered MAIL.
    pub mail_answered: bool,
    /// The host can not be used now ([`Reach::Host`]).
    pub host_bad: bool,
    /// TLS could not be started though it is optional: try again in the clear on a new connection.
    pub tls_failed: bool,
}

/// What the connection is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// Hand this over; only on a connection that [`Delivery::is_ready`].
    Again(Box<Transaction>),
    /// Octets from the server, after TLS.
    Bytes(&'a [u8]),
    /// The connection ended.
    Lost(Loss),
    /// The handshake is done.
    Secured(TlsFacts),
    /// The handshake failed: why.
    TlsFailed(String),
    /// All that was sent is in the kernel's hands.
    Drained,
    /// The next octets of the content; empty at its end.
    Content(&'a [u8]),
    /// The content can not be read: why.
    ContentLost(String),
    /// No more transactions.
    Quit,
}

/// What the connection asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Output {
    /// Write this.
    Send(Vec<u8>),
    /// Read the next octets of the content, from its start when true.
    Read(bool),
    /// Start a TLS handshake.
    StartTls,
    /// The server is ready, and the transaction begins.
    Began,
    /// The transaction has ended.
    Ended(Box<Ended>),
    /// Close the connection; nothing more comes.
    Close,
    /// Log this.
    Event(Box<Event>),
}

/// Where the connection stands: what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    Greeting,
    Ehlo,
    Helo,
    Lhlo,
    StartTls,
    Handshake,
    Dialogue,
    Body,
    /// Between transactions.
    Ready,
    /// No more transactions; whether a QUIT can still be said.
    Spent {
        polite: bool,
    },
    Quit,
    Gone,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Delivery {
    params: Arc<Params>,
    peer: Peer,
    tls: TlsLevel,
    secured: bool,
    stage: Stage,
    reader: ReplyReader,
    offer: Offer,
    deadline: Option<Instant>,
    talk: Talk,
    minutes: Minutes,
    out: Outbox<Output>,
}

impl Delivery {
    /// A connection that has just been made, and its first transaction. `tls` is the level for this connection, which is
    /// lower than that of the parameters after a handshake failed.
    #[must_use]
    pub fn new(params: Arc<Params>, peer: Peer, tls: TlsLevel, transaction: Transaction, now: Now) -> Self {
        let deadline = Some(now.mono.after(params.timeouts.hello));
        let minutes = Minutes::new(params.notify);
        Self {
            minutes,
            params,
            peer,
            tls,
            secured: false,
            stage: Stage::Greeting,
            reader: ReplyReader::new(),
            offer: Offer::default(),
            deadline,
            talk: Talk::new(transaction, false),
            out: Outbox::new(),
        }
    }

    /// True when it takes another transaction.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.stage == Stage::Ready && self.reader.is_empty()
    }

    /// Whom it speaks with.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    fn arm(&mut self, now: Now, time: Duration) {
        self.deadline = Some(now.mono.after(time));
    }

    fn send(&mut self, text: String) {
        self.minutes.said(text.as_bytes());
        self.out.put(Output::Send(text.into_bytes()));
    }

    fn note(&mut self, text: String) {
        let event = Event::Note { program: self.params.protocol.program(), text };
        self.out.put(Output::Event(Box::new(event)));
    }

    fn bytes(&mut self, now: Now, octets: &[u8]) {
        let (mut rest, mut due) = (octets, self.due());
        while !rest.is_empty() {
            match self.stage {
                // RFC 3207 5: what came in the clear behind the answer to STARTTLS is never read.
                Stage::Handshake | Stage::Spent { .. } | Stage::Gone => return,
                // These octets were said before the server had our command: were they taken for its answer, each later answer
                // would be taken for the wrong command, and in the end a message for delivered that is not.
                _ if due == 0 && !planted!(OutOfTurn) => {
                    return self.cut(Severity::Garbled, "protocol error with");
                }
                _ => {}
            }
            let (used, reply) = self.reader.read(rest);
            rest = rest.get(used..).unwrap_or(&[]);
            match reply {
                None => {}
                Some(Ok(reply)) => {
                    due = due.saturating_sub(1);
                    self.hear(&reply);
                    self.reply(now, reply);
                }
                Some(Err(_)) => self.cut(Severity::Garbled, "protocol error with"),
            }
        }
    }

    /// How many replies the server may be sending now.
    fn due(&self) -> usize {
        match self.stage {
            Stage::Dialogue => self.talk.due(),
            Stage::Spent { .. } | Stage::Gone => 0,
            // In the others it is one at most: the answer, a refusal in the middle of the content, a goodbye.
            _ => 1,
        }
    }

    fn reply(&mut self, now: Now, reply: Reply) {
        match self.stage {
            Stage::Greeting => self.greeted(now, reply),
            Stage::Ehlo | Stage::Helo | Stage::Lhlo => self.hello_answered(now, reply),
            Stage::StartTls => self.starttls_answered(now, reply),
            Stage::Dialogue => self.row_answered(now, reply),
            Stage::Body => self.early_reply(&reply),
            // A server that speaks unasked while it is idle is closing, or out of step.
            Stage::Ready | Stage::Quit => self.close(),
            Stage::Handshake | Stage::Spent { .. } | Stage::Gone => {}
        }
    }

    /// What we were doing, for the log.
    fn doing(&self) -> (Moment, &'static str) {
        match self.stage {
            Stage::Greeting => (Moment::Greeting, "receiving the initial server greeting"),
            Stage::Ehlo => (Moment::Hello, "performing the EHLO handshake"),
            Stage::Helo => (Moment::Hello, "performing the HELO handshake"),
            Stage::Lhlo => (Moment::Hello, "performing the LHLO handshake"),
            Stage::StartTls => (Moment::StartTls, "receiving the STARTTLS response"),
            Stage::Body => (Moment::Body, "sending message body"),
            _ => self.talk.awaited().map_or((Moment::Dot, "sending QUIT"), |row| (row.moment(), row.doing())),
        }
    }

    /// The conversation ended without a reply that means anything: `how` is `lost connection with` and the like.
    fn cut(&mut self, severity: Severity, how: &str) {
        match self.stage {
            Stage::Handshake => {
                let timed_out = how == "conversation with";
                return self.tls_failed(if timed_out { "Connection timed out" } else { "lost connection" });
            }
            Stage::Ready | Stage::Quit => return self.close(),
            Stage::Spent { .. } | Stage::Gone => return,
            _ => {}
        }
        if severity == Severity::Garbled {
            self.note_trouble(NoticeClass::Protocol);
        }
        let (moment, doing) = self.doing();
        #[cfg(feature = "planted")]
        if planted!(LostIsDone) && moment == Moment::Dot && severity == Severity::Cut {
            self.talk.take_for_done(&self.peer);
        }
        let timed_out = if how == "conversation with" { " timed out" } else { "" };
        let text = format!("{how} {}{timed_out} while {doing}", self.peer.plain());
        let detail = if severity == Severity::Garbled { (5, 0) } else { (4, 2) };
        let status = EnhancedStatus::new(4, detail.0, detail.1);
        let diagnosis = self.peer.ours(status, text);
        self.host_failed(moment, severity, diagnosis, false);
    }

    /// No transaction can come to a better end on this connection.
    fn host_failed(&mut self, moment: Moment, severity: Severity, diagnosis: Diagnosis, polite: bool) {
        let (_, fate) = classify(moment, severity);
        if matches!(severity, Severity::Odd | Severity::Garbled) {
            self.talk.doubt();
        }
        self.talk.refuse_rest(fate, Reach::Host, &agreeing(diagnosis, fate));
        self.finish(Stage::Spent { polite });
    }

    /// Says what became of the transaction, and what may come.
    fn finish(&mut self, stage: Stage) {
        self.stage = stage;
        self.deadline = None;
        if let Some(ended) = self.talk.end() {
            self.out.put(Output::Ended(Box::new(ended)));
        }
    }

    fn close(&mut self) {
        if self.stage != Stage::Gone {
            self.stage = Stage::Gone;
            self.deadline = None;
            self.out.put(Output::Close);
        }
    }

    fn lost(&mut self, loss: &Loss) {
        match loss {
            Loss::TimedOut => self.cut(Severity::Cut, "conversation with"),
            _ => self.cut(Severity::Cut, "lost connection with"),
        }
        if let Stage::Spent { polite } = &mut self.stage {
            *polite = false;
        }
    }

    fn quit(&mut self, now: Now) {
        match self.stage {
            Stage::Ready | Stage::Spent { polite: true } => {
                self.send("QUIT\r\n".to_owned());
                if self.params.skip_quit_response {
                    self.close();
                } else {
                    self.stage = Stage::Quit;
                    self.arm(now, self.params.timeouts.quit);
                }
            }
            Stage::Quit => {}
            // Who says goodbye waits for the end, also when it has come before.
            Stage::Gone => self.out.put(Output::Close),
            _ => self.close(),
        }
    }

    fn again(&mut self, now: Now, transaction: Transaction) {
        self.talk = Talk::new(transaction, true);
        if self.is_ready() {
            self.begin(now);
        } else {
            // The joint asked before; a connection that went bad in between costs no attempt.
            self.stage = Stage::Dialogue;
            self.cut(Severity::Cut, "lost connection with");
        }
    }
}

/// The status's class says what the fate says: readers of logs and reports go by it.
fn agreeing(mut diagnosis: Diagnosis, fate: Fate) -> Diagnosis {
    diagnosis.status.class = match fate {
        Fate::PutOff => 4,
        Fate::Fail => 5,
    };
    diagnosis
}

impl Machine for Delivery {
    type Input<'a> = Input<'a>;
    type Output = Output;

    fn handle_input(&mut self, now: Now, input: Input<'_>) {
        self.out.assert_drained();
        match input {
            Input::Again(transaction) => self.again(now, *transaction),
            Input::Bytes(octets) => self.bytes(now, octets),
            Input::Lost(loss) => self.lost(&loss),
            Input::Secured(facts) => self.secured(now, facts),
            Input::TlsFailed(why) => self.tls_failed(&why),
            Input::Drained => self.drained(now),
            Input::Content(octets) => self.content(now, octets),
            Input::ContentLost(why) => self.content_lost(&why),
            Input::Quit => self.quit(now),
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.out.assert_drained();
        if self.deadline.is_some_and(|deadline| deadline <= now.mono) {
            self.deadline = None;
            self.cut(Severity::Cut, "conversation with");
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.take()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.deadline
    }
}

#[cfg(test)]
mod tests;
