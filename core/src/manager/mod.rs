//! Joint: queue + schedule + report. One owner, behind bounded channels.
//!
//! qmgr(8). Every message that we answer for is in the index; few are active: loaded, routed page by page, offered to the
//! scheduler, tried, settled. When nothing of a message is under way it is concluded: reports are made, and it ends or waits.
//! What it decides is written before it counts.
//!
//! Never parses, looks anything up, or waits for a disk.

mod active;
mod admit;
mod attempts;
mod conclude;
mod index;
mod orders;
mod params;
mod places;
mod reports;
mod requeue;
mod routing;
mod telling;
mod unmade;
mod waits;
mod writing;

#[cfg(test)]
mod tests;

pub use index::STAGES;
pub use params::Params;

use crate::because::Because;
use crate::event::Event;
use crate::machine::{Machine, Outbox};
use crate::mail::{
    Attempt, AttemptId, Change, Loaded, Message, Order, OrderResult, QueueId, Refusal, Route, Settled,
    Summary,
};
use crate::prng::Prng;
use crate::queue::Ticket;
use crate::report::Unmade;
use crate::schedule::Scheduler;
use crate::time::{Instant, Now};
use active::{Active, Attempts};
use index::Index;
use places::Places;
pub use requeue::{REQUEUE, requeued_as, unable_to_requeue};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
pub use waits::{Step, Waits};
use writing::Writer;

/// What the driver tells the manager.
#[derive(Debug, Serialize, Deserialize)]
pub enum Input {
    /// A message that was on disk at the start.
    Recovered(Summary),
    /// Recovery is over: begin.
    Ready,
    /// A message has become durable (from a session, a submission, a report).
    Committed(Box<Message>),
    /// The answer to [`Output::Load`]; `None` when it is gone; or why it can not be read now: then it is asked for again later.
    Loaded(QueueId, Result<Option<Box<Loaded>>, String>),
    /// The answer to [`Output::Route`]: one for each recipient asked, or why none could be found now.
    Routed(QueueId, Result<Vec<(u32, Route)>, String>),
    /// An attempt has ended.
    Settled(Settled),
    /// The answer to [`Output::Append`].
    Appended(Ticket, Result<(), Refusal>),
    /// The answer to [`Output::Report`]: the report and its changes are durable, or why not.
    Reported(QueueId, Result<(), Unmade>),
    /// An operator's order; `ticket` comes back with the result.
    Order(Ticket, Order),
    /// The configuration was read again. Windows start afresh; what runs goes on.
    Reload(Box<Params>),
    /// No new attempts; those that run may end.
    Drain,
}

/// What the driver shall do, or pass on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Output {
    /// Read a message from the spool.
    Load(QueueId),
    /// Find where these recipients go.
    Route {
        /// Which message.
        id: QueueId,
        /// The message; shared, since a mailing is routed page by page.
        message: Arc<Message>,
        /// Indexes of the recipients that are asked for.
        recipients: Vec<u32>,
    },
    /// Deliver.
    Attempt(Box<Attempt>),
    /// Make these changes durable.
    Append(Ticket, Vec<Change>),
    /// The outcomes of this attempt are written: its connection may go on.
    Written(AttemptId),
    /// Compose this report, clean it up, and make it durable together with its changes; then say [`Input::Reported`].
    Report(Box<crate::report::Plan>),
    /// The result of an order.
    Ordered(Ticket, OrderResult),
    /// All attempts have ended after [`Input::Drain`].
    Drained,
    /// Log this.
    Event(Event),
}

/// How far our own life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Life {
    /// The log is still telling what it has.
    Recovering,
    /// Business as usual.
    Running,
    /// No new attempts.
    Draining,
    /// All have ended, and the driver knows.
    Drained,
}

/// The queue manager.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Manager {
    params: Params,
    prng: Prng,
    /// Empty whenever a driver could look.
    #[serde(skip)]
    outbox: Outbox<Output>,
    life: Life,
    index: Index,
    active: BTreeMap<QueueId, Active>,
    /// The places that they take.
    places: Places,
    /// Active messages that are being loaded.
    loading: usize,
    /// Recipients aboard of all active messages.
    aboard: usize,
    scheduler: Scheduler,
    attempts: Attempts,
    writer: Writer,
    /// Orders that are recorded: the first is being carried out, the others wait for it.
    tasks: VecDeque<orders::Task>,
    /// Orders that came before the queue was known; `None` since it is.
    early: Option<Vec<(Ticket, Order)>>,
    /// Messages set aside, by the destination that has enough to do.
    parked: BTreeMap<(usize, String), BTreeSet<QueueId>>,
    /// Those that were set aside before the configuration was last read: admitted when nothing else waits.
    stale: VecDeque<BTreeSet<QueueId>>,
    /// When a transport that is not there was last warned of.
    warned: BTreeMap<String, Instant>,
    /// When a destination with too much mail was last warned of.
    clogged: Option<Instant>,
    last_sequence: u64,
    last_attempt: u64,
    /// Nobody listens to a manager that works.
    #[serde(skip)]
    because: Because,
}

impl Manager {
    /// Knows of no message yet; the seed is for jitter.
    #[must_use]
    pub fn new(params: Params, prng: Prng) -> Self {
        Self {
            scheduler: Scheduler::new(params.schedule.clone()),
            params,
            prng,
            outbox: Outbox::new(),
            life: Life::Recovering,
            index: Index::default(),
            active: BTreeMap::new(),
            places: Places::default(),
            loading: 0,
            aboard: 0,
            attempts: BTreeMap::new(),
            writer: Writer::default(),
            tasks: VecDeque::new(),
            early: Some(Vec::new()),
            parked: BTreeMap::new(),
            stale: VecDeque::new(),
            warned: BTreeMap::new(),
            clogged: None,
            last_sequence: 0,
            last_attempt: 0,
            because: Because::default(),
        }
    }

    /// How many messages it answers for.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.index.len()
    }

    /// How many of them are active.
    #[must_use]
    pub fn active_messages(&self) -> usize {
        self.active.len()
    }

    /// How many attempts run.
    #[must_use]
    pub fn running_attempts(&self) -> usize {
        self.attempts.len()
    }

    /// Work of the scheduler so far, for measurements.
    #[must_use]
    pub fn scheduler_steps(&self) -> u64 {
        self.scheduler.steps()
    }

    /// Messages that were looked at one after the other so far, for measurements: only orders do so.
    #[must_use]
    pub fn walked(&self) -> u64 {
        self.index.walked()
    }

    /// What each fact may have made possible: admissions, attempts, the end.
    fn go_on(&mut self, now: Now) {
        self.admit_more(now);
        self.start_attempts(now);
        self.check_drained();
    }

    /// The log has told of all that it has.
    fn ready(&mut self, now: Now) {
        if self.life == Life::Recovering {
            self.life = Life::Running;
        }
        for (ticket, order) in self.early.take().unwrap_or_default() {
            self.order(now, ticket, order);
        }
    }

    fn check_drained(&mut self) {
        let reporting = || self.active.values().any(|active| active.reporting);
        if self.life == Life::Draining
            && self.attempts.is_empty()
            && self.writer.is_empty()
            && self.tasks.is_empty()
            && !reporting()
        {
            self.life = Life::Drained;
            self.outbox.put(Output::Drained);
        }
    }

    fn warn(&mut self, id: Option<QueueId>, text: String) {
        self.outbox.put(Output::Event(Event::Warning { program: "qmgr", id, text }));
    }
}

impl Machine for Manager {
    type Input<'a> = Input;
    type Output = Output;

    fn handle_input(&mut self, now: Now, input: Input) {
        self.outbox.assert_drained();
        match input {
            Input::Recovered(summary) => self.index.recover(now, &summary, &self.params.retry),
            Input::Ready => self.ready(now),
            Input::Committed(message) => self.committed(now, message),
            Input::Loaded(id, loaded) => self.loaded(now, id, loaded),
            Input::Routed(id, routes) => self.routed(now, id, routes),
            Input::Settled(settled) => self.settled(now, settled),
            Input::Appended(ticket, result) => self.appended(now, ticket, result),
            Input::Reported(id, result) => self.reported(now, id, result),
            Input::Order(ticket, order) => self.order(now, ticket, order),
            Input::Reload(params) => self.reload(*params),
            Input::Drain if self.life != Life::Drained => self.life = Life::Draining,
            Input::Drain => {}
        }
        self.go_on(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.outbox.assert_drained();
        self.scheduler.wake(now.mono);
        self.retry_writes(now);
        self.go_on(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.take()
    }

    fn next_timeout(&self) -> Option<Instant> {
        let admission = if self.has_room() { self.index.next_due(self.has_room_for_bulk()) } else { None };
        let schedule = self.scheduler.next_timeout(self.may_start());
        [admission, schedule, self.writer.next_timeout()].into_iter().flatten().min()
    }
}
