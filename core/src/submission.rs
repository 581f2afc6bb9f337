//! Joint: cleanup for a message that is made on this host: `send`, a report, a forward.
//!
//! It gets an id and its trace, its content is staged as it comes, and it is committed in one batch with the changes that belong to it:
//! a report with the end of what it reports, a forward with the recipient that it replaces. Takes one message at a time, any number in turn.
//!
//! Knows nothing of files: who read the maildrop, or the message that a report returns, is the driver's business.

mod extract;

pub use extract::recipients_of;

use crate::ask::{Answer, Facts, Pause, Question};
use crate::cleanup::{self, Cleanup, Draft, Finished};
use crate::event::Event;
use crate::limits::QUESTIONS_PER_DECISION_MAX;
use crate::machine::{Machine, Outbox};
use crate::mail::{Change, Envelope, Message, Origin, QueueId, Refusal, Sender};
use crate::params::Settings;
use crate::report::{Kind, Unmade};
use crate::rewrite::Rewrite;
use crate::time::{Instant, Now, Timestamp};
use crate::wire::{EnhancedStatus, Reply, date};
use std::sync::Arc;

/// Who made a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Maker {
    /// A person or program of this host, by `send`. Its lines may end in LF.
    Pickup {
        /// Who ran it.
        uid: u32,
    },
    /// We, about a message.
    Report {
        /// Which report.
        kind: Kind,
        /// About which message.
        about: QueueId,
        /// To the postmaster, not to the sender.
        postmaster: bool,
    },
    /// We, to the postmaster, about a connection.
    Notice,
    /// We, for an alias or a `.forward` file.
    Forward {
        /// Of which message.
        of: QueueId,
    },
    /// An operator, of a message that is in the queue (postsuper(1) `-r`): it has its trace already, and is what it was.
    Requeue {
        /// Of which message.
        of: QueueId,
        /// What made it.
        origin: Origin,
    },
}

/// A message to be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Start {
    /// Who made it.
    pub maker: Maker,
    /// Its envelope; addresses may lack a domain. An `arrived` of zero means now.
    pub envelope: Envelope,
    /// Header fields in front, without CRLF (`Delivered-To: …` of a forward).
    pub prepend: Vec<String>,
    /// Become durable together with it.
    pub changes: Vec<Change>,
}

/// What the driver tells.
#[derive(Debug)]
pub enum Input<'a> {
    /// Make this. Allowed when idle.
    Start(Box<Start>),
    /// The id that [`Effect::Identify`] asked for.
    Identified(QueueId),
    /// The next octets of the content.
    Content(&'a [u8]),
    /// The content is complete.
    End,
    /// The answer to the one open [`Effect::Ask`].
    Answer(Answer),
    /// What became of [`Effect::Commit`].
    Committed(Result<(), Refusal>),
    /// The content could not be read to its end: throw all away.
    Abort,
}

/// What the driver shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Give a new queue id with [`Input::Identified`]; always the last output of a drain.
    Identify,
    /// Append these octets to the staged content.
    Stage(Vec<u8>),
    /// Throw the staged content away.
    Unstage,
    /// Answer this with [`Input::Answer`]; always the last output of a drain.
    Ask(Question),
    /// Make the message with the staged content and these changes durable, all or none; then say [`Input::Committed`]. Always the last output of a drain.
    Commit(Box<Message>, Vec<Change>),
    /// It is over: durable; or thrown away because a rule said so (`None`); or not taken. Then idle.
    Done(Result<Option<QueueId>, Failure>),
    /// Log this.
    Event(Event),
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Cleanup refuses it; a code of 4xx: try again later.
    Refused(Reply),
    /// The spool does not take it now.
    Spool(Refusal),
    /// The driver gave up.
    Aborted,
}

impl From<Failure> for Unmade {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(reply) => {
                // RFC 3463: X.3.X is about the state of our own system, such as a table that does not answer.
                let ours = reply.status.is_some_and(|status| (status.class, status.subject) == (4, 3));
                let why = format!("{} {}", reply.code, reply.lines.join(" "));
                if ours { Self::Trouble(why) } else { Self::Refused(why) }
            }
            Failure::Spool(refusal) => Self::Trouble(refusal.to_string()),
            Failure::Aborted => Self::Trouble("it could not be composed".to_owned()),
        }
    }
}

/// What a submission works with; shared by all of one configuration.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Cleanup's parameters.
    pub cleanup: cleanup::Params,
    /// Rewriting.
    pub rewrite: Rewrite,
    /// Name in trace fields.
    pub myhostname: String,
    /// Name of the program in trace fields.
    pub mail_name: String,
    /// Octets of a message from [`Maker::Pickup`]; zero for no limit.
    pub message_size_limit: u64,
}

impl Setup {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(settings: &Settings) -> Result<Self, Vec<(String, String)>> {
        Ok(Self {
            cleanup: cleanup::Params::new(settings)?,
            rewrite: Rewrite::new(settings)?,
            myhostname: settings.text("myhostname").to_owned(),
            mail_name: settings.text("mail_name").to_owned(),
            message_size_limit: settings.number("message_size_limit"),
        })
    }
}

/// A message under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Making {
    maker: Maker,
    draft: Draft,
    changes: Vec<Change>,
    cleanup: Cleanup,
    lines: LineEnds,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Idle,
    Naming(Box<Start>),
    Taking(Box<Making>),
    Judging(Box<Making>, Box<Facts>, Question),
    Committing(Maker, QueueId),
}

/// Makes messages, one at a time.
#[derive(Debug, Clone)]
pub struct Submission {
    setup: Arc<Setup>,
    stage: Stage,
    outbox: Outbox<Effect>,
}

impl Submission {
    /// Idle.
    #[must_use]
    pub const fn new(setup: Arc<Setup>) -> Self {
        Self { setup, stage: Stage::Idle, outbox: Outbox::new() }
    }

    /// True when it takes an [`Input::Start`].
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    fn identified(&mut self, now: Now, start: Start, id: QueueId) {
        let Start { maker, mut envelope, prepend, changes } = start;
        if envelope.arrived == Timestamp::default() {
            envelope.arrived = now.wall;
        }
        if let Maker::Pickup { uid } = maker {
            // As it was given: what it is completed to stands in the next line.
            let sender = envelope.sender.external();
            self.outbox.put(Effect::Event(Event::PickedUp { id, uid, sender }));
        }
        if let Sender::Mailbox(mailbox) = &mut envelope.sender {
            *mailbox = self.setup.rewrite.canonical(mailbox);
        }
        for recipient in &mut envelope.recipients {
            recipient.address = self.setup.rewrite.canonical(&recipient.address);
        }
        let draft = Draft {
            id,
            trace: self.trace(maker, id, now.wall),
            envelope,
            origin: origin(maker),
            prepend,
            hold: false,
            filtered: matches!(maker, Maker::Pickup { .. }),
        };
        let (cleanup, lines) = (Cleanup::new(), LineEnds::default());
        self.stage = Stage::Taking(Box::new(Making { maker, draft, changes, cleanup, lines }));
    }

    /// RFC 5321 4.4: our trace field. Ours is the time of taking over, whatever the age of the envelope.
    fn trace(&self, maker: Maker, id: QueueId, at: Timestamp) -> Vec<u8> {
        let Setup { myhostname, mail_name, cleanup, .. } = &*self.setup;
        let who = match maker {
            Maker::Pickup { uid } => format!(", from userid {uid}"),
            Maker::Requeue { .. } => return Vec::new(),
            Maker::Report { .. } | Maker::Forward { .. } | Maker::Notice => String::new(),
        };
        let date = date::rfc5322(at, cleanup.zone.offset(at));
        format!("Received: by {myhostname} ({mail_name}{who})\r\n\tid {id}; {date}\r\n").into_bytes()
    }

    fn take(&mut self, octets: &[u8]) {
        let Stage::Taking(making) = &mut self.stage else { return };
        let octets = match making.maker {
            Maker::Pickup { .. } => making.lines.take(octets),
            _ => octets.to_vec(),
        };
        making.stage(octets, &mut self.outbox);
        let limit = self.setup.message_size_limit;
        let limited = limit > 0 && matches!(making.maker, Maker::Pickup { .. });
        if limited && making.cleanup.stored() > limit {
            self.refuse(reply(552, (5, 3, 4), "Error: message file too big"));
        }
    }

    fn end(&mut self, now: Now) {
        let Stage::Taking(mut making) = std::mem::replace(&mut self.stage, Stage::Idle) else { return };
        if matches!(making.maker, Maker::Pickup { .. }) {
            let octets = making.lines.finish();
            making.stage(octets, &mut self.outbox);
        }
        self.judge(now, making, Box::new(Facts::new()));
    }

    fn answer(&mut self, now: Now, answer: Answer) {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Judging(making, mut facts, question) => {
                facts.learn(question, answer);
                self.judge(now, making, facts);
            }
            stage => self.stage = stage,
        }
    }

    fn judge(&mut self, now: Now, mut making: Box<Making>, mut facts: Box<Facts>) {
        let Setup { cleanup: params, rewrite, .. } = &*self.setup;
        let steps = making.cleanup.steps();
        let result = making.cleanup.resume(now, &making.draft, params, rewrite, &facts);
        if making.cleanup.steps() != steps {
            facts.clear();
        }
        match result {
            Err(Pause::Need(question)) if facts.len() < QUESTIONS_PER_DECISION_MAX => {
                self.outbox.put(Effect::Ask(question.clone()));
                self.stage = Stage::Judging(making, facts, question);
            }
            // Cleanup answers a broken table itself, so this is a decision without end.
            Err(Pause::Need(_) | Pause::Broken(_)) => {
                self.refuse(reply(451, (4, 3, 5), "Error: too many table lookups"));
            }
            Ok((finished, events)) => {
                events.into_iter().for_each(|event| self.outbox.put(Effect::Event(event)));
                self.finished(*making, finished);
            }
        }
    }

    fn finished(&mut self, making: Making, finished: Finished) {
        match finished {
            Finished::Message(message) => {
                self.stage = Stage::Committing(making.maker, message.id);
                self.outbox.put(Effect::Commit(message, making.changes));
            }
            Finished::Refused(reply, _) => self.refuse(reply),
            // Header rules are for Pickup only, which brings no changes that would be lost.
            Finished::Discarded => self.over(Ok(None), true),
        }
    }

    fn committed(&mut self, result: Result<(), Refusal>) {
        let Stage::Committing(maker, id) = self.stage else { return };
        if let (Maker::Report { kind, about, postmaster }, Ok(())) = (maker, result) {
            let to = if postmaster { "postmaster" } else { "sender" };
            let event = Event::Reported { id: about, to, kind: kind.word(), report: id };
            self.outbox.put(Effect::Event(event));
        }
        if (maker, result) == (Maker::Notice, Ok(())) {
            let text = format!("{id}: notice to the postmaster about a connection");
            self.outbox.put(Effect::Event(Event::Note { program: "bounce", text }));
        }
        if let (Maker::Requeue { of, .. }, Ok(())) = (maker, result) {
            let text = format!("{id}: requeued, was {of}");
            self.outbox.put(Effect::Event(Event::Note { program: "pickup", text }));
        }
        self.over(result.map(|()| Some(id)).map_err(Failure::Spool), false);
    }

    fn refuse(&mut self, reply: Reply) {
        self.over(Err(Failure::Refused(reply)), true);
    }

    fn over(&mut self, result: Result<Option<QueueId>, Failure>, unstage: bool) {
        if unstage {
            self.outbox.put(Effect::Unstage);
        }
        self.outbox.put(Effect::Done(result));
        self.stage = Stage::Idle;
    }
}

impl Making {
    fn stage(&mut self, octets: Vec<u8>, outbox: &mut Outbox<Effect>) {
        if !octets.is_empty() {
            self.cleanup.content(&octets);
            outbox.put(Effect::Stage(octets));
        }
    }
}

const fn origin(maker: Maker) -> Origin {
    match maker {
        Maker::Pickup { .. } => Origin::Submitted,
        Maker::Report { postmaster: false, .. } => Origin::Report,
        Maker::Report { postmaster: true, .. } | Maker::Notice => Origin::Notice,
        Maker::Forward { .. } => Origin::Forwarded,
        Maker::Requeue { origin, .. } => origin,
    }
}

fn reply(code: u16, status: (u8, u16, u16), text: &str) -> Reply {
    Reply::new(code, Some(EnhancedStatus::new(status.0, status.1, status.2)), text)
}

impl Machine for Submission {
    type Input<'a> = Input<'a>;
    type Output = Effect;

    fn handle_input(&mut self, now: Now, input: Input<'_>) {
        self.outbox.assert_drained();
        match input {
            Input::Start(start) if self.is_idle() => {
                self.stage = Stage::Naming(start);
                self.outbox.put(Effect::Identify);
            }
            // A second message while one is under way would be lost: the driver must know.
            Input::Start(_) => self.outbox.put(Effect::Done(Err(Failure::Aborted))),
            Input::Identified(id) => match std::mem::replace(&mut self.stage, Stage::Idle) {
                Stage::Naming(start) => self.identified(now, *start, id),
                stage => self.stage = stage,
            },
            Input::Content(octets) => self.take(octets),
            Input::End => self.end(now),
            Input::Answer(answer) => self.answer(now, answer),
            Input::Committed(result) => self.committed(result),
            Input::Abort if !matches!(self.stage, Stage::Idle | Stage::Committing(..)) => {
                self.over(Err(Failure::Aborted), true);
            }
            Input::Abort => {}
        }
    }

    fn handle_timeout(&mut self, _now: Now) {}

    fn poll_output(&mut self) -> Option<Effect> {
        self.outbox.take()
    }

    fn next_timeout(&self) -> Option<Instant> {
        None
    }
}

/// Lines of this host's programs as CRLF lines: LF and CRLF end a line, a stray CR becomes a space, as
/// `cleanup_replace_stray_cr_lf` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct LineEnds {
    cr: bool,
    within_line: bool,
}

impl LineEnds {
    fn take(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(octets.len() + octets.len() / 32 + 2);
        for octet in octets {
            let stray = self.cr && *octet != b'\n';
            self.cr = *octet == b'\r';
            if stray {
                out.push(b' ');
            }
            match octet {
                b'\n' => out.extend_from_slice(b"\r\n"),
                b'\r' => {}
                _ => out.push(*octet),
            }
            self.within_line = *octet != b'\n';
        }
        out
    }

    /// What ends a last line that is not ended.
    fn finish(&mut self) -> Vec<u8> {
        let stray = std::mem::take(&mut self.cr);
        match (std::mem::take(&mut self.within_line), stray) {
            (false, _) => Vec::new(),
            (true, false) => b"\r\n".to_vec(),
            (true, true) => b" \r\n".to_vec(),
        }
    }
}

#[cfg(test)]
mod tests;
