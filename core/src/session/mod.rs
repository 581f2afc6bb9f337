//! Inbound SMTP: one connection, one machine.
//!
//! Lines are obeyed one at a time out of a bounded backlog: a client that pipelines speaks while a verdict is awaited. Replies of a
//! drain leave together. Time is one deadline: for a whole command line, for content by the rate at which it comes, for a
//! TLS handshake, or the delay of a reply to somebody who makes errors.
//!
//! Promise: octets that came in the clear are never obeyed inside TLS, octets of a chunk never as commands, and nothing that
//! was sent too early, where the client had to wait, is obeyed at all (unless smtpd_forbid_unauth_pipelining is off).
//! Knows no table, no name server, no disk: it asks for verdicts and hands content on.
//!
//! RFC 5321, 1870, 2034, 2920, 3030, 3207, 3461, 6152, 6531; smtpd(8).

pub mod clients;
mod content;
pub mod descriptors;
mod door;
mod ending;
mod heard;
mod hello;
mod notice;
mod params;
pub(crate) mod replies;
mod security;
mod sorting;
mod stage;
mod tally;
#[cfg(test)]
mod tests;
mod transaction;
mod view;
mod words;

pub use crate::params::ServerTls;
pub use door::{Input, Moment, Named, Output, Peer, Refused};
pub use heard::Heard;
pub use params::{BareNewline, Discarded, Params, Shared};
pub use sorting::Sort;
pub use stage::{STAGES, Transaction};
pub use words::Words;

use crate::event::Event;
use crate::limits;
use crate::machine::{Machine, Outbox};
use crate::mail::{Minutes, Sender, TlsFacts};
use crate::time::{Duration, Instant, Now};
use crate::wire::Reply;
use crate::wire::command::{self, Verb};
use crate::wire::line::{Backlog, Line};
use stage::{Chunks, Hello, Pending, Stage};
use tally::Tally;

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Session {
    params: Shared<Params>,
    peer: Peer,
    outbox: Outbox<Output>,
    stage: Stage,
    backlog: Backlog,
    heard: Heard,
    /// Replies that leave together.
    replies: Vec<u8>,
    /// The last command, and where a log line says that we are.
    verb: Verb,
    place: &'static str,
    tally: Tally,
    minutes: Minutes,
    name: String,
    discard: Option<Discarded>,
    hello: Option<Hello>,
    /// It has been offered our extensions.
    extended: bool,
    tls: Option<TlsFacts>,
    transaction: Option<Transaction>,
    chunks: Chunks,
    /// The client was refused when it came: it may only leave.
    denied: bool,
    draining: bool,
    /// Close once the replies are sent.
    closing: bool,
    /// Replies are held back until then.
    sleep: Option<Instant>,
    deadline: Instant,
}

impl Session {
    /// `smtpd_timeout`, for octets of a reply that the client does not take.
    #[must_use]
    pub fn write_timeout(&self) -> Duration {
        self.params.timeout
    }

    /// A connection that has just been accepted.
    #[must_use]
    pub fn new(now: Now, params: Shared<Params>, peer: Peer) -> Self {
        Self {
            backlog: Backlog::new(params.line_length_limit),
            deadline: now.mono.after(params.timeout),
            minutes: Minutes::new(params.notify),
            params,
            peer,
            outbox: Outbox::new(),
            stage: Stage::Arriving,
            heard: Heard::default(),
            replies: Vec::new(),
            verb: Verb::Unknown,
            place: "CONNECT",
            tally: Tally::default(),
            name: "unknown".to_owned(),
            discard: Some(Discarded::default()),
            hello: None,
            extended: false,
            tls: None,
            transaction: None,
            chunks: Chunks::None,
            denied: false,
            draining: false,
            closing: false,
            sleep: None,
        }
    }

    /// How many octets it will take now; at 0 the driver stops reading.
    #[must_use]
    pub fn room(&self) -> usize {
        match self.stage {
            Stage::Content(_) if self.sleep.is_none() => limits::CHUNK_MAX,
            // What comes first is a handshake, and not ours to read.
            Stage::Arriving if self.params.tls_wrapper => 0,
            _ => limits::BACKLOG_MAX.saturating_sub(self.backlog.waiting().len()),
        }
    }

    /// True while content comes and is taken.
    #[must_use]
    pub fn is_receiving(&self) -> bool {
        matches!(self.stage, Stage::Content(_)) && self.sleep.is_none()
    }

    /// True when nothing more will come of it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    fn event(&mut self, event: Event) {
        self.outbox.put(Output::Event(Box::new(event)));
    }

    fn warn(&mut self, text: String) {
        self.event(Event::Warning { program: "smtpd", id: None, text });
    }

    /// Takes octets where the stage wants them.
    fn bytes(&mut self, now: Now, octets: &[u8]) {
        match self.stage {
            // In the clear, behind STARTTLS: never obeyed (RFC 3207 4.2; CVE-2011-0411).
            Stage::Securing { .. } => {}
            Stage::Content(_) if self.sleep.is_none() && self.backlog.waiting().is_empty() => {
                let used = self.receive(now, octets);
                self.heard.content(octets.len(), used);
                self.backlog.push(octets.get(used..).unwrap_or_default());
            }
            _ => self.backlog.push(octets),
        }
    }

    /// Obeys what can be obeyed, and sends the replies.
    fn run(&mut self, now: Now) {
        while self.sleep.is_none() && !self.closing {
            match self.stage {
                Stage::Command if self.tally.errors >= self.params.hard_error_limit => {
                    let host = self.params.host.clone();
                    self.reply(now, &replies::TOO_MANY_ERRORS.with(&[&host]));
                    self.cut("too many errors");
                }
                Stage::Command if self.draining && self.transaction.is_none() => {
                    let host = self.params.host.clone();
                    self.reply(now, &replies::SHUTTING_DOWN.with(&[&host]));
                }
                Stage::Command => match self.backlog.take_line() {
                    Some(line) => self.obey(now, line),
                    None => break,
                },
                Stage::Content(_) if !self.backlog.waiting().is_empty() => {
                    let waiting = self.backlog.take_all();
                    let used = self.receive(now, &waiting);
                    self.heard.content(waiting.len(), used);
                    self.backlog.push(waiting.get(used..).unwrap_or_default());
                }
                _ => break,
            }
        }
        self.flush();
    }

    /// One line.
    fn obey(&mut self, now: Now, line: Line) {
        self.verb = Verb::Unknown;
        self.place = "UNKNOWN";
        self.minutes.heard(match &line {
            Line::Whole(octets) => octets,
            Line::TooLong => b"[a line that is too long]",
        });
        let text = match line {
            Line::Whole(octets) => String::from_utf8(octets).map_err(|_| replies::BAD_UTF8),
            Line::TooLong => Err(replies::LINE_TOO_LONG),
        };
        let text = match text {
            Ok(text) => text,
            Err(row) => {
                self.tally.came(Verb::Unknown);
                return self.say(now, &row.reply(), false);
            }
        };
        let (word, _) = command::split(&text);
        if word.is_empty() {
            self.tally.came(Verb::Unknown);
            return self.say(now, &replies::BAD_SYNTAX.reply(), false);
        }
        self.verb = Verb::of(word);
        self.place = self.verb.word();
        self.tally.came(self.verb);
        self.sort(now, text);
    }

    /// Refusals that do not look at the arguments.
    fn not_now(&self) -> Option<Reply> {
        if self.denied && self.verb != Verb::Quit {
            return Some(replies::ACCESS_DENIED.with(&[&self.client()]));
        }
        let before_tls =
            matches!(self.verb, Verb::Helo | Verb::Ehlo | Verb::StartTls | Verb::Noop | Verb::Quit);
        if self.params.tls_level == ServerTls::Encrypt && self.tls.is_none() && !before_tls {
            return Some(replies::TLS_FIRST.reply());
        }
        (self.verb == Verb::Unknown).then(|| replies::NOT_RECOGNIZED.reply())
    }

    fn dispatch(&mut self, now: Now, arguments: &str) {
        match self.verb {
            Verb::Helo | Verb::Ehlo => self.hello(now, arguments),
            Verb::StartTls => self.start_tls(now, arguments),
            Verb::Mail => self.mail(now, arguments),
            Verb::Rcpt => self.rcpt(now, arguments),
            Verb::Data => self.data(now, arguments),
            Verb::Bdat => self.bdat(now, arguments),
            Verb::Rset => self.rset(now, arguments),
            Verb::Vrfy => self.vrfy(now, arguments),
            Verb::Noop => self.say(now, &replies::OK.reply(), true),
            Verb::Quit => {
                self.say(now, &replies::BYE.reply(), true);
                self.closing = true;
            }
            Verb::Auth if self.hello.is_none() && self.params.helo_required => {
                self.say(now, &replies::HELO_FIRST.reply(), false);
            }
            Verb::Auth => self.say(now, &replies::NO_AUTH.reply(), false),
            Verb::Xclient | Verb::Xforward => self.say(now, &replies::NOT_PERMITTED.reply(), false),
            Verb::Etrn | Verb::Expn | Verb::Turn | Verb::Help => {
                self.say(now, &replies::NOT_IMPLEMENTED.reply(), false);
            }
            Verb::Unknown => self.say(now, &replies::NOT_RECOGNIZED.reply(), false),
        }
    }

    /// Commands behind which a client must wait for the reply (RFC 2920 3.1), as Postfix checks them: some always, and all of a client
    /// that has not said EHLO, and so does not know that we offer pipelining.
    fn must_be_last(&self) -> bool {
        let always = matches!(self.verb, Verb::Helo | Verb::Ehlo | Verb::Data | Verb::Noop | Verb::Vrfy);
        self.params.forbid_unauth_pipelining && (always || !self.extended)
    }

    /// The client did not wait where it must: what follows was meant for somebody else, or is not its own.
    fn out_of_step(&mut self, now: Now) {
        let early = String::from_utf8_lossy(self.backlog.waiting());
        let early: String = early.chars().take(100).collect();
        let early = early.replace('\r', "\\r").replace('\n', "\\n");
        let (place, client) = (self.place, self.client());
        let text = format!("improper command pipelining after {place} from {client}: {early}");
        self.event(Event::Note { program: "smtpd", text });
        self.say(now, &replies::OUT_OF_STEP.reply(), false);
        self.discard();
        self.closing = true;
    }

    fn judged(&mut self, now: Now, verdict: Result<(), Refused>) {
        let Stage::Judging(pending) = &self.stage else { return };
        let waits = matches!(
            pending,
            Pending::Hello(_) | Pending::Mail(_) | Pending::Rcpt(_) | Pending::Data | Pending::Vrfy(..)
        );
        if waits && self.must_be_last() && !self.backlog.waiting().is_empty() {
            self.stage = Stage::Command;
            return self.out_of_step(now);
        }
        let verdict = verdict.map_err(|refused| {
            self.note_trouble(refused.class);
            refused.reply
        });
        if let Err(reply) = &verdict {
            let text = format!("{} {}{}", reply.code, status_of(reply), reply.lines.join(" "));
            let event = self.policy_event("reject", text);
            self.event(event);
        }
        let Stage::Judging(pending) = std::mem::replace(&mut self.stage, Stage::Command) else { return };
        match (pending, verdict) {
            (Pending::Connect, verdict) => self.admitted(now, verdict),
            (Pending::Bdat { count, last }, Ok(())) => self.begin_chunk(now, count, last),
            (Pending::Bdat { count, last }, Err(reply)) => self.skip_chunk(now, count, last, reply),
            (Pending::EndOfData { chunk }, Ok(())) => {
                self.stage = Stage::Finishing { chunk };
                self.ask(Output::Finish);
            }
            (Pending::EndOfData { .. }, Err(reply)) => {
                self.abandon();
                self.deny(now, &reply);
            }
            (_, Err(reply)) => self.deny(now, &reply),
            (Pending::Hello(hello), Ok(())) => self.welcome(now, hello),
            (Pending::Mail(transaction), Ok(())) => {
                self.transaction = Some(*transaction);
                self.say(now, &replies::SENDER_OK.reply(), true);
            }
            (Pending::Rcpt(recipient), Ok(())) => self.accept(now, recipient),
            (Pending::Data, Ok(())) => self.go_ahead(now),
            (Pending::Vrfy(_, text), Ok(())) => self.say(now, &replies::MAY_EXIST.with(&[&text]), true),
        }
    }

    /// The final reply to a command.
    fn say(&mut self, now: Now, reply: &Reply, good: bool) {
        self.reply(now, reply);
        if good {
            self.tally.succeeded(self.verb);
        } else {
            self.note_refusal(reply);
            self.tally.errors += 1;
        }
    }

    /// The same for a refusal whose trouble is noted already.
    fn deny(&mut self, now: Now, reply: &Reply) {
        self.reply(now, reply);
        self.tally.errors += 1;
    }

    /// A reply; delayed when the client has made too many errors.
    fn reply(&mut self, now: Now, reply: &Reply) {
        if self.tally.errors >= self.params.soft_error_limit
            && !self.params.error_sleep_time.is_zero()
            && self.sleep.is_none()
        {
            self.flush();
            self.sleep = Some(now.mono.after(self.params.error_sleep_time));
        }
        self.emit(reply);
        self.deadline = now.mono.after(self.params.timeout);
        // RFC 5321 3.8, RFC 7504: these two say that the connection ends.
        if matches!(reply.code, 421 | 521) {
            self.closing = true;
        }
    }

    fn count_junk(&mut self) {
        self.tally.junk += 1;
        // Postfix compares before it counts.
        if self.tally.junk - 1 > self.params.junk_command_limit {
            self.tally.errors += 1;
        }
    }

    /// Asks the joint; replies go first, for the request must be the last of the drain.
    fn ask(&mut self, output: Output) {
        self.flush();
        self.outbox.put(output);
    }

    fn judge(&mut self, pending: Pending) {
        let moment = match pending {
            Pending::Connect => Moment::Connect,
            Pending::Hello(_) => Moment::Hello,
            Pending::Mail(_) => Moment::Mail,
            Pending::Rcpt(_) => Moment::Rcpt,
            Pending::Data | Pending::Bdat { .. } => Moment::Data,
            Pending::Vrfy(..) => Moment::Vrfy,
            Pending::EndOfData { .. } => Moment::EndOfData,
        };
        self.stage = Stage::Judging(pending);
        self.ask(Output::Judge(moment));
    }

    /// Sends the replies, unless they are held back; then what was to follow them.
    fn flush(&mut self) {
        if self.sleep.is_some() || self.is_closed() {
            return;
        }
        if !self.replies.is_empty() {
            self.outbox.put(Output::Send(std::mem::take(&mut self.replies)));
        }
        if self.closing {
            self.end();
        } else if matches!(self.stage, Stage::Securing { started: false }) {
            self.stage = Stage::Securing { started: true };
            self.outbox.put(Output::StartTls);
        }
    }
}

impl Machine for Session {
    type Input<'a> = Input<'a>;
    type Output = Output;

    fn handle_input(&mut self, now: Now, input: Input<'_>) {
        self.outbox.assert_drained();
        if self.is_closed() {
            return;
        }
        match input {
            Input::Bytes(octets) => {
                self.heard.came(octets.len());
                self.bytes(now, octets);
            }
            Input::Closed => {
                if !self.closing {
                    self.cut("lost connection");
                }
                return self.end();
            }
            Input::Named(named) => self.named(now, named),
            Input::Secured(facts) => self.secured(now, facts),
            Input::TlsFailed(why) => self.tls_failed(&why),
            Input::Sorted(sort) => self.sorted(now, sort),
            Input::Judged(verdict) => self.judged(now, verdict),
            Input::Identified(id) => self.identified(now, id),
            Input::Finished(result) => self.finished(now, result),
            Input::Drain => self.draining = true,
            Input::Crowded => self.crowded(),
        }
        self.run(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.outbox.assert_drained();
        if self.next_timeout().is_none_or(|at| now.mono < at) {
            return;
        }
        if self.sleep.take().is_some() {
            self.deadline = now.mono.after(self.params.timeout);
            return self.run(now);
        }
        self.timed_out(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.take()
    }

    fn next_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Closed => None,
            _ if self.sleep.is_some() => self.sleep,
            Stage::Command | Stage::Content(_) | Stage::Securing { .. } => Some(self.deadline),
            // The time of others is theirs: questions have time-outs of their own.
            Stage::Arriving
            | Stage::Sorting(_)
            | Stage::Judging(_)
            | Stage::Identifying(_)
            | Stage::Finishing { .. } => None,
        }
    }
}

fn status_of(reply: &Reply) -> String {
    reply.status.map(|status| format!("{status} ")).unwrap_or_default()
}

/// Whether a sender and recipients may go without SMTPUTF8.
fn needs_utf8(sender: &Sender) -> bool {
    sender.mailbox().is_some_and(|mailbox| !mailbox.is_ascii())
}
