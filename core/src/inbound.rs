//! Joint: session + policy + cleanup for one inbound connection.
//!
//! Wiring: a session's request for a verdict becomes runs of access lists over the facts so far; a list that lacks a fact becomes a
//! question to the driver, and runs again with the answer. Content goes to cleanup, which looks, and to the driver, which keeps.
//! The end of data becomes a draft, cleanup makes a message of it, and the driver makes that durable: only then 250 is said.
//!
//! Promise: one question is open at a time; a decision asks at most `limits::QUESTIONS_PER_DECISION_MAX`; content that
//! was refused or abandoned is unstaged. Knows no rule of its own but the room in the queue's file system.

mod decisions;
#[cfg(test)]
pub(crate) mod dialogues;
mod memory;
mod naming;
mod received;
mod telling;
#[cfg(test)]
mod tests;
mod wishes;

pub use crate::session::Peer;
pub use naming::client_name;

use crate::ask::{Answer, Facts, Pause, Question};
use crate::because::Because;
use crate::cleanup::{self, Cleanup, Draft, Finished};
use crate::event::Event;
use crate::limits;
use crate::machine::{Machine, Outbox};
use crate::mail::{Message, Notice, NoticeClass, QueueId, Refusal, TlsFacts};
use crate::params::Settings;
use crate::policy::{self, Policy};
use crate::rewrite::Rewrite;
use crate::session::{self, Moment, Refused, Session, Shared, Sort, replies};
use crate::time::{Duration, Instant, Now};
use std::sync::Arc;
use wishes::Wishes;

/// What the driver tells the inbound joint.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the client, after TLS.
    Bytes(&'a [u8]),
    /// The client closed or reset the connection.
    Closed,
    /// The handshake that [`Effect::StartTls`] asked for is done. Octets that came in the clear behind the STARTTLS
    /// command are not for the handshake; the driver drops what it has read of them.
    Secured(TlsFacts),
    /// The handshake failed: why.
    TlsFailed(String),
    /// The answer to the one open [`Effect::Ask`].
    Answer(Answer),
    /// The id that [`Effect::Identify`] asked for.
    Identified(QueueId),
    /// What became of [`Effect::Commit`]: durable, or the reason why not.
    Committed(Result<(), Refusal>),
    /// The daemon is stopping: finish the transaction, then 421.
    Drain,
    /// There is no memory for the content that comes ([`Inbound::held`], `content_memory_limit`): refuse it when it ends.
    Crowded,
}

/// What the driver shall do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Write these octets to the client.
    Send(Vec<u8>),
    /// Start a TLS handshake once all is written.
    StartTls,
    /// Close the connection once all is written. The last effect of all.
    Close,
    /// Answer this with [`Input::Answer`]; always the last output of a drain.
    Ask(Question),
    /// Give a new queue id with [`Input::Identified`]; always the last output of a drain.
    Identify,
    /// Append these octets to the content that this connection is staging.
    Stage(Vec<u8>),
    /// Throw the staged content away.
    Unstage,
    /// Make this message with the staged content durable, then say [`Input::Committed`]; always the last output of a drain.
    Commit(Box<Message>),
    /// Log this.
    Event(Event),
    /// Send this to the postmaster ([`crate::report::notice`]). Comes at the end of a session, also when the client is gone.
    Notice(Box<Notice>),
}

/// The rooms behind the door, as one configuration made them. Shared by all its connections.
#[derive(Debug, Clone)]
pub struct Config {
    /// What a session wants to know.
    pub session: Arc<session::Params>,
    /// The access lists.
    pub policy: Policy,
    /// Canonical addresses and classes.
    pub rewrite: Rewrite,
    /// What cleanup wants to know.
    pub cleanup: cleanup::Params,
    /// Tests script verdicts and the end of cleanup, so that a dialogue is about this room only.
    #[cfg(test)]
    pub(crate) script: Option<dialogues::Script>,
}

impl Config {
    /// Of the settings of one service. `tls_ready`: the driver has a certificate and can shake hands.
    ///
    /// # Errors
    /// All names of parameters and what is wrong with their values.
    pub fn new(settings: &Settings, tls_ready: bool) -> Result<Self, Vec<(String, String)>> {
        let mut wrong = Vec::new();
        let session = keep(session::Params::new(settings), &mut wrong);
        let policy = keep(Policy::new(settings), &mut wrong);
        let rewrite = keep(Rewrite::new(settings), &mut wrong);
        let cleanup = keep(cleanup::Params::new(settings), &mut wrong);
        let (Some(session), Some(policy), Some(rewrite), Some(cleanup)) = (session, policy, rewrite, cleanup)
        else {
            return Err(wrong);
        };
        Ok(Self {
            session: Arc::new(session::Params { tls_ready, ..session }),
            policy,
            rewrite,
            cleanup,
            #[cfg(test)]
            script: None,
        })
    }
}

fn keep<T>(result: Result<T, Vec<(String, String)>>, wrong: &mut Vec<(String, String)>) -> Option<T> {
    result.map_err(|errors| wrong.extend(errors)).ok()
}

/// What this joint is waiting for, beside the client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Work {
    /// Nothing, or the driver's id or commit.
    None,
    /// Who the client is.
    Naming,
    /// What a command word is.
    Sorting,
    /// A verdict.
    Judging(Moment),
    /// What cleanup makes of the message whose end of data came then.
    Finishing(Now, Option<Box<Draft>>),
    /// The spool.
    Committing,
}

/// One inbound connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Inbound {
    config: Shared<Config>,
    peer: Peer,
    session: Session,
    outbox: Outbox<Effect>,
    /// The client's verified name, and its name by PTR; both `unknown` at least.
    name: String,
    reverse_name: String,
    work: Work,
    facts: Facts,
    asked: Option<Question>,
    /// Questions of the present decision.
    questions: usize,
    cleanup: Cleanup,
    /// What access rules wished for the connection, and for the transaction.
    standing: Wishes,
    wishes: Wishes,
    staged: bool,
    draining: bool,
    because: Because,
}

/// What a decision came to.
enum Decided {
    Named(naming::Name),
    Sorted(Result<Sort, Refused>),
    Judged(Moment, Result<(), Refused>, Vec<policy::Action>),
    Finished(Finished, Vec<Event>),
}

impl Inbound {
    /// A connection that has just been accepted. Drain it: the first effect is a question or the greeting.
    #[must_use]
    pub fn new(now: Now, config: Arc<Config>, peer: Peer) -> Self {
        Self::begin(now, config, peer, Because::default())
    }

    fn begin(now: Now, config: Arc<Config>, peer: Peer, because: Because) -> Self {
        let session = Session::new(now, Shared::new(Arc::clone(&config.session)), peer);
        let mut inbound = Self {
            config: Shared::new(config),
            peer,
            session,
            outbox: Outbox::new(),
            name: naming::UNKNOWN.to_owned(),
            reverse_name: naming::UNKNOWN.to_owned(),
            work: Work::Naming,
            facts: Facts::new(),
            asked: None,
            questions: 0,
            cleanup: Cleanup::new(),
            standing: Wishes::default(),
            wishes: Wishes::default(),
            staged: false,
            draining: false,
            because,
        };
        inbound.pump(now);
        inbound
    }

    /// How many octets it will take now; at 0 the driver stops reading.
    #[must_use]
    pub fn room(&self) -> usize {
        self.session.room()
    }

    /// True while content comes: larger reads are worth their memory.
    #[must_use]
    pub fn is_receiving(&self) -> bool {
        self.session.is_receiving()
    }

    /// The place of its session's stage in [`crate::session::STAGES`].
    #[must_use]
    pub const fn stage(&self) -> u8 {
        self.session.stage()
    }

    /// True once [`Effect::Close`] was emitted.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// True after [`Input::Drain`]: the transaction under way is the last.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// How long a client may take to accept octets of a reply (`smtpd_timeout`): the driver writes, so the driver keeps this one.
    #[must_use]
    pub fn write_timeout(&self) -> Duration {
        self.session.write_timeout()
    }

    /// The client, for logs of the driver.
    #[must_use]
    pub fn client(&self) -> String {
        self.session.client()
    }

    /// Routes what the session wants, and decides what can be decided, until something must be awaited.
    fn pump(&mut self, now: Now) {
        loop {
            while let Some(output) = self.session.poll_output() {
                self.route(now, output);
            }
            if self.session.is_closed() || self.asked.is_some() {
                return;
            }
            match self.decide() {
                None => return,
                Some(Err(question)) => {
                    self.questions += 1;
                    self.asked = Some(question.clone());
                    return self.outbox.put(Effect::Ask(question));
                }
                Some(Ok(decided)) => {
                    self.facts.clear();
                    self.questions = 0;
                    self.act(now, decided);
                }
            }
        }
    }

    /// Where each output of the session goes.
    fn route(&mut self, now: Now, output: session::Output) {
        match output {
            session::Output::Send(octets) => self.outbox.put(Effect::Send(octets)),
            session::Output::StartTls => self.outbox.put(Effect::StartTls),
            session::Output::Close => {
                self.stop();
                self.outbox.put(Effect::Close);
            }
            session::Output::Event(event) => self.outbox.put(Effect::Event(*event)),
            session::Output::Notice(notice) => self.outbox.put(Effect::Notice(notice)),
            session::Output::Identify => self.outbox.put(Effect::Identify),
            session::Output::Sort => self.work = Work::Sorting,
            session::Output::Judge(moment) => {
                if moment == Moment::Mail {
                    self.wishes = self.standing.clone();
                }
                self.work = Work::Judging(moment);
            }
            session::Output::Content(octets) => {
                self.cleanup.content(&octets);
                self.staged = true;
                self.outbox.put(Effect::Stage(octets));
            }
            session::Output::Abandon => self.forget(),
            session::Output::Finish => self.work = Work::Finishing(now, self.draft().map(Box::new)),
        }
    }

    /// The message is no more.
    fn forget(&mut self) {
        if std::mem::take(&mut self.staged) {
            self.outbox.put(Effect::Unstage);
        }
        self.wishes = Wishes::default();
        self.cleanup = Cleanup::new();
    }

    /// The connection is over. A message that the driver is committing stays; one that was still being cleaned is dropped: nobody
    /// was told that we have it.
    fn stop(&mut self) {
        if self.work != Work::Committing {
            self.forget();
        }
        self.work = Work::None;
        self.asked = None;
        self.facts.clear();
    }

    /// Runs the open decision over the facts so far. `Err`: it needs an answer. `None`: nothing is to be decided.
    fn decide(&mut self) -> Option<Result<Decided, Question>> {
        let work = std::mem::replace(&mut self.work, Work::None);
        let mark = self.because.mark();
        let decided = match &work {
            Work::None | Work::Committing => {
                self.work = work;
                return None;
            }
            Work::Naming => {
                naming::decide(&self.config.session, self.peer.address, &self.facts).map(Decided::Named)
            }
            Work::Sorting => {
                let word = self.session.word().unwrap_or_default();
                self.config.session.sort_of(word, &self.facts).map(|sort| Decided::Sorted(Ok(sort)))
            }
            Work::Judging(moment) => self
                .judge_because(*moment)
                .map(|(verdict, actions)| Decided::Judged(*moment, verdict, actions)),
            Work::Finishing(at, draft) => self
                .finish(*at, draft.as_deref())
                .map(|(finished, events)| Decided::Finished(finished, events)),
        };
        Some(match decided {
            Ok(decided) => Ok(decided),
            Err(Pause::Need(question)) if self.questions < limits::QUESTIONS_PER_DECISION_MAX => {
                self.work = work;
                self.because.forget(mark);
                Err(question)
            }
            Err(Pause::Need(_)) => {
                Ok(give_up(&work, Refused::new(NoticeClass::Software, replies::CONFIGURATION.reply())))
            }
            Err(Pause::Broken(_)) => {
                Ok(give_up(&work, Refused::new(NoticeClass::Data, replies::TABLE_BROKEN.reply())))
            }
        })
    }

    /// Does what was decided.
    fn act(&mut self, now: Now, decided: Decided) {
        self.tell(&decided);
        match decided {
            Decided::Named(name) => {
                self.name.clone_from(&name.named.name);
                self.reverse_name = name.reverse_name;
                if let Some(text) = name.warning {
                    self.outbox.put(Effect::Event(Event::Warning { program: "smtpd", id: None, text }));
                }
                self.session.handle_input(now, session::Input::Named(name.named));
            }
            Decided::Sorted(sort) => self.session.handle_input(now, session::Input::Sorted(sort)),
            Decided::Judged(moment, verdict, actions) => {
                for action in actions {
                    if let Some((verb, text)) = wishes::words(&action) {
                        self.outbox.put(Effect::Event(self.session.policy_event(verb, text)));
                    }
                    match moment {
                        Moment::Connect | Moment::Hello => self.standing.take(action),
                        Moment::Vrfy => {}
                        _ => self.wishes.take(action),
                    }
                }
                self.session.handle_input(now, session::Input::Judged(verdict));
            }
            Decided::Finished(finished, events) => {
                for event in events {
                    self.outbox.put(Effect::Event(event));
                }
                self.act_on_message(now, finished);
            }
        }
    }

    fn act_on_message(&mut self, now: Now, finished: Finished) {
        let result = match finished {
            Finished::Message(message) => {
                self.work = Work::Committing;
                return self.outbox.put(Effect::Commit(message));
            }
            Finished::Refused(reply, class) => {
                let status = reply.status.map(|status| format!("{status} ")).unwrap_or_default();
                let text = format!("{} {status}{}", reply.code, reply.lines.join(" "));
                if let Some(id) = self.session.transaction().and_then(|transaction| transaction.id) {
                    let text = format!("message refused: {text}");
                    self.outbox.put(Effect::Event(Event::Note {
                        program: "cleanup",
                        text: format!("{id}: {text}"),
                    }));
                }
                Err(Refused::new(class, reply))
            }
            Finished::Discarded => Ok(()),
        };
        self.forget();
        self.session.handle_input(now, session::Input::Finished(result));
    }

    /// The spool has answered.
    fn committed(&mut self, now: Now, result: Result<(), Refusal>) {
        if self.work != Work::Committing {
            return;
        }
        self.work = Work::None;
        // What is committed is the spool's; only what it refused is still ours to drop.
        self.staged = result.is_err();
        self.forget();
        let result = if planted!(SaysYes) { Ok(()) } else { result };
        let result = result.map_err(|refusal| {
            let row = match refusal {
                Refusal::Full => replies::NO_SPACE,
                Refusal::Broken => replies::NOT_WRITTEN,
            };
            Refused::new(NoticeClass::Resource, row.reply())
        });
        self.session.handle_input(now, session::Input::Finished(result));
    }
}

/// A decision that can not be made: "try again later".
fn give_up(work: &Work, refused: Refused) -> Decided {
    match work {
        Work::Naming | Work::None | Work::Committing => Decided::Named(naming::Name::unknown()),
        Work::Sorting => Decided::Sorted(Err(refused)),
        Work::Judging(moment) => Decided::Judged(*moment, Err(refused), Vec::new()),
        Work::Finishing(..) => Decided::Finished(Finished::Refused(refused.reply, refused.class), Vec::new()),
    }
}

impl Machine for Inbound {
    type Input<'a> = Input<'a>;
    type Output = Effect;

    fn handle_input(&mut self, now: Now, input: Input<'_>) {
        self.outbox.assert_drained();
        self.session.begin_hearing();
        match input {
            Input::Bytes(octets) => self.session.handle_input(now, session::Input::Bytes(octets)),
            Input::Closed => self.session.handle_input(now, session::Input::Closed),
            Input::Secured(facts) => self.session.handle_input(now, session::Input::Secured(facts)),
            Input::TlsFailed(why) => self.session.handle_input(now, session::Input::TlsFailed(why)),
            Input::Identified(id) => self.session.handle_input(now, session::Input::Identified(id)),
            Input::Drain => {
                self.draining = true;
                self.session.handle_input(now, session::Input::Drain);
            }
            Input::Crowded => self.session.handle_input(now, session::Input::Crowded),
            Input::Committed(result) => self.committed(now, result),
            Input::Answer(answer) => {
                // An answer that nobody waits for came after the connection was lost.
                if let Some(question) = self.asked.take() {
                    self.facts.learn(question, answer);
                }
            }
        }
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.outbox.assert_drained();
        self.session.begin_hearing();
        self.session.handle_timeout(now);
        self.pump(now);
    }

    fn poll_output(&mut self) -> Option<Effect> {
        self.outbox.take()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.session.next_timeout()
    }
}
