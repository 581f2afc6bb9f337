//! What one message costs while a thousand or a million others wait.
//!
//! The joints that ship (manager and log) on a disk in memory, with destinations that only say how long they take: a tenth of
//! them is dead. All mail comes at once, so that the queue is as deep as the number of messages, and everything runs until it has
//! its end: delivered, or after a life of retries returned. Work is counted, so that a test can compare it without a clock.
//!
//! Knows nothing of sockets and replies: [`crate::world`] has those, and far fewer messages.

mod memory;
pub mod plot;
mod spool;

use crate::kernel::{Kernel, Trace};
use memory::Memory;
use postrider_core::machine::Machine;
use postrider_core::mail::{
    Attempt, Change, ContentPlace, Diagnosis, Envelope, Feedback, Message, Origin, Outcome, Pieces, QueueId,
    Recipient, Route, RouteClass, Sender, Settled,
};
use postrider_core::manager::{Input, Manager, Output, Params};
use postrider_core::prng::Prng;
use postrider_core::queue::{self, Log};
use postrider_core::schedule::{RetryRule, TransportParams};
use postrider_core::time::{Duration, Instant};
use postrider_core::wire::{EnhancedStatus, Mailbox};
use spool::Spool;
use std::collections::{BTreeMap, VecDeque};

/// One destination in so many is dead.
pub const DEAD: u64 = 10;
/// Until a connection to a dead one is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Octets of a content: the cost of a message, not of its octets, is measured.
const OCTETS: u64 = 200;
/// Mail is returned when it is so old.
const LIFETIME: Duration = Duration::from_secs(4 * 3_600);
/// Deliveries at once.
const PROCESSES: u32 = 1_000;

/// How a destination behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes mail within a second.
    Takes,
    /// Connections to it time out.
    Dead,
    /// Connections to it are accepted, and nothing more is ever said.
    Hole,
}

/// What happens in this world.
#[derive(Debug)]
enum Event {
    /// A letter comes.
    Letter(u64, Vec<u64>),
    /// An attempt ends.
    Settle(Box<Attempt>, Manner),
    /// The disk has done something.
    Disk(queue::OpId, Result<queue::Done, queue::DiskError>),
}

/// What all messages together have cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Messages that came, reports among them.
    pub messages: u64,
    /// Messages that were read from the log.
    pub loads: u64,
    /// Attempts.
    pub attempts: u64,
    /// Steps of the scheduler.
    pub steps: u64,
    /// Facts that the manager was told.
    pub facts: u64,
    /// Operations on the disk.
    pub operations: u64,
    /// Octets read from the disk.
    pub octets_read: u64,
    /// Messages that were looked at one after the other.
    pub walked: u64,
    /// The most messages that were there at once.
    pub deepest: u64,
    /// The most active messages at once.
    pub active: u64,
}

/// The world.
pub struct World {
    kernel: Kernel<Event>,
    manager: Manager,
    facts: VecDeque<Input>,
    spool: Spool,
    /// Manners of destinations that differ from the usual.
    pub manners: BTreeMap<u64, Manner>,
    usual: fn(u64) -> Manner,
    prng: Prng,
    letters: u64,
    work: Work,
    /// When each letter that somebody waits for was delivered.
    pub delivered: BTreeMap<u64, Instant>,
    watched: std::collections::BTreeSet<u64>,
    /// How many recipients were reached.
    pub reached: u64,
    /// How many reports were made.
    pub reports: u64,
}

fn a_tenth_is_dead(destination: u64) -> Manner {
    if destination % DEAD == 7 { Manner::Dead } else { Manner::Takes }
}

/// As Postfix's defaults have it, but for more processes and a shorter life.
#[must_use]
pub fn params() -> Params {
    let transports = vec![TransportParams::new("smtp", PROCESSES)];
    let schedule = postrider_core::schedule::Params { transports, ..Default::default() };
    let retry = RetryRule { lifetime: LIFETIME, bounce_lifetime: LIFETIME, ..RetryRule::default() };
    Params { schedule, retry, ..Params::default() }
}

impl World {
    /// An empty queue.
    #[must_use]
    pub fn new(params: Params) -> Self {
        let mut world = Self {
            kernel: Kernel::new(Trace::new(false)),
            manager: Manager::new(params, Prng::new(1)),
            facts: VecDeque::new(),
            spool: Spool::new(Log::new(queue::Params::default(), 2), Memory::default()),
            manners: BTreeMap::new(),
            usual: a_tenth_is_dead,
            prng: Prng::new(3),
            letters: 0,
            work: Work::default(),
            delivered: BTreeMap::new(),
            watched: std::collections::BTreeSet::new(),
            reached: 0,
            reports: 0,
        };
        world.log(queue::Input::Open);
        world.run(Duration::from_secs(1));
        world
    }

    /// Simulated time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.kernel.now()
    }

    /// What it has cost so far.
    #[must_use]
    pub fn work(&self) -> Work {
        Work {
            steps: self.manager.scheduler_steps(),
            walked: self.manager.walked(),
            operations: self.spool.disk.operations,
            octets_read: self.spool.disk.octets_read,
            ..self.work
        }
    }

    /// Messages in the queue.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.manager.messages()
    }

    /// A letter to these destinations comes after a while; its number. What is watched is found in `delivered`.
    pub fn send(&mut self, after: Duration, destinations: Vec<u64>, watched: bool) -> u64 {
        self.letters += 1;
        if watched {
            self.watched.insert(self.letters);
        }
        self.kernel.after(after, Event::Letter(self.letters, destinations));
        self.letters
    }

    /// The configuration is read again.
    pub fn reload(&mut self, params: Params) {
        self.facts.push_back(Input::Reload(Box::new(params)));
    }

    /// Lets so much time pass; false when nothing is left to happen.
    pub fn run(&mut self, time: Duration) -> bool {
        let end = self.kernel.now().after(time);
        loop {
            self.exhaust();
            let timer =
                [self.manager.next_timeout(), self.spool.log.next_timeout()].into_iter().flatten().min();
            let next = [self.kernel.next_at(), timer].into_iter().flatten().min();
            let Some(next) = next else { return false };
            if next > end {
                _ = self.kernel.next(end);
                return true;
            }
            match self.kernel.next(next) {
                Some(event) => self.happen(event),
                None => self.wake(),
            }
        }
    }

    /// Runs until the queue is empty.
    pub fn run_to_the_end(&mut self) {
        while self.messages() > 0 && self.run(Duration::from_secs(600)) {}
        assert_eq!(self.messages(), 0, "everything has its end");
    }

    fn wake(&mut self) {
        let now = self.kernel.clocks(0);
        self.spool.log.handle_timeout(now);
        self.drain_log();
        self.exhaust();
        self.manager.handle_timeout(now);
        self.drain_manager();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Letter(number, destinations) => self.letter(number, &destinations),
            Event::Settle(attempt, manner) => self.settle(&attempt, manner),
            Event::Disk(op, result) => self.log(queue::Input::Did { op, result }),
        }
    }

    /// Brings the facts that wait.
    fn exhaust(&mut self) {
        while let Some(fact) = self.facts.pop_front() {
            self.work.facts += 1;
            self.manager.handle_input(self.kernel.clocks(0), fact);
            self.drain_manager();
        }
        let depth = self.manager.messages() as u64;
        self.work.deepest = self.work.deepest.max(depth);
        self.work.active = self.work.active.max(self.manager.active_messages() as u64);
    }

    fn log(&mut self, input: queue::Input) {
        self.spool.log.handle_input(self.kernel.clocks(0), input);
        self.drain_log();
    }

    fn letter(&mut self, number: u64, destinations: &[u64]) {
        let address = |to: &u64| Recipient::new(Mailbox::new(&format!("u{number}"), &domain(*to)));
        let message = self.message(
            Sender::Mailbox(Mailbox::new("sender", "sender.test")),
            destinations.iter().map(address).collect(),
            Origin::Submitted,
        );
        self.spool.numbers.insert(message.id, number);
        self.commit(message, Vec::new());
    }

    fn message(&mut self, sender: Sender, recipients: Vec<Recipient>, origin: Origin) -> Message {
        self.work.messages += 1;
        let id = QueueId::new(1_000_000 + self.work.messages, 0);
        let mut pieces = Pieces::default();
        pieces.stored(0, OCTETS);
        let arrived = self.kernel.clocks(0).wall;
        Message {
            id,
            envelope: Envelope { sender, recipients, arrived, ..Envelope::default() },
            pieces,
            place: ContentPlace::Inline,
            stored: OCTETS,
            origin,
            message_id: String::new(),
            hold: false,
            checksum: None,
            unknown: Vec::new(),
        }
    }

    fn commit(&mut self, message: Message, mut changes: Vec<Change>) {
        changes.insert(0, Change::Commit(Box::new(message)));
        let input = self.spool.append(None, changes, vec![vec![b'x'; OCTETS as usize]]);
        self.log(input);
    }

    fn drain_manager(&mut self) {
        while let Some(output) = self.manager.poll_output() {
            match output {
                Output::Load(id) => {
                    self.work.loads += 1;
                    let input = self.spool.load(id);
                    self.log(input);
                }
                Output::Route { id, message, recipients } => {
                    let routes = recipients.iter().map(|number| (*number, route(&message.envelope, *number)));
                    self.facts.push_back(Input::Routed(id, Ok(routes.collect())));
                }
                Output::Attempt(attempt) => self.attempt(attempt),
                Output::Append(ticket, changes) => {
                    let input = self.spool.append(Some(ticket), changes, Vec::new());
                    self.log(input);
                }
                Output::Report(plan) => {
                    self.reports += 1;
                    let id = plan.about.id;
                    let report =
                        self.message(Sender::Null, vec![Recipient::new(plan.to.clone())], Origin::Report);
                    self.spool.reports.insert(report.id, id);
                    self.commit(report, plan.changes);
                }
                Output::Written(_) | Output::Ordered(..) | Output::Drained | Output::Event(_) => {}
            }
        }
    }

    fn attempt(&mut self, attempt: Box<Attempt>) {
        self.work.attempts += 1;
        let destination = number_of(&attempt.nexthop);
        let manner = self.manners.get(&destination).copied().unwrap_or_else(|| (self.usual)(destination));
        let takes = match manner {
            Manner::Takes => Duration::from_millis(100 + self.prng.below(900)),
            Manner::Dead => CONNECT_TIMEOUT,
            // `smtp_helo_timeout`: until a greeting is given up.
            Manner::Hole => Duration::from_secs(300),
        };
        self.kernel.after(takes, Event::Settle(attempt, manner));
    }

    fn settle(&mut self, attempt: &Attempt, manner: Manner) {
        let (outcome, feedback) = end_of(attempt, manner);
        if manner == Manner::Takes {
            self.reached += attempt.recipients.len() as u64;
            if let Some(number) = self.spool.numbers.get(&attempt.message)
                && self.watched.contains(number)
            {
                self.delivered.insert(*number, self.kernel.now());
            }
        }
        let outcomes = attempt.recipients.iter().map(|recipient| (recipient.index, outcome.clone()));
        self.facts.push_back(Input::Settled(Settled {
            id: attempt.id,
            outcomes: outcomes.collect(),
            feedback,
            connect: Duration::ZERO,
            transfer: Duration::ZERO,
        }));
    }
}

/// How an attempt ends.
fn end_of(attempt: &Attempt, manner: Manner) -> (Outcome, Feedback) {
    let relay = format!("mx.{}[192.0.2.1]:25", attempt.nexthop);
    let diagnosis = |class, text: String| Diagnosis {
        relay: relay.clone(),
        ..Diagnosis::ours(EnhancedStatus::new(class, 4, 1), text)
    };
    if manner == Manner::Takes {
        let diagnosis = diagnosis(2, "250 2.0.0 Ok: taken".to_owned());
        return (Outcome::Delivered { diagnosis, last_hop_for_dsn: true }, Feedback::Good);
    }
    let why = diagnosis(4, format!("connect to {relay}: Connection timed out"));
    (Outcome::Deferred(why.clone()), Feedback::Bad(why))
}

fn domain(destination: u64) -> String {
    format!("d{destination}.test")
}

/// The number in a name of [`domain`]; that of the sender's own domain is one that takes mail.
fn number_of(domain: &str) -> u64 {
    domain.trim_start_matches('d').split('.').next().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn route(envelope: &Envelope, number: u32) -> Route {
    let recipient = envelope.recipients.get(number as usize).map(|recipient| recipient.address.clone());
    let recipient = recipient.unwrap_or_default();
    let nexthop = recipient.domain().to_owned();
    Route::To { transport: "smtp".to_owned(), nexthop, recipient, class: RouteClass::Default }
}

/// So many messages come at once, one in so many of them for each destination; all have their end. A tenth of the destinations is dead.
/// `active_limit` is `qmgr_message_active_limit`: who waits beyond it is loaded from the log when its turn comes.
#[must_use]
pub fn measure(messages: u64, destinations: u64, active_limit: usize) -> Work {
    let mut world = World::new(Params { active_limit, ..params() });
    for number in 0..messages {
        // Mail for one destination does not come in a row.
        let to = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % destinations;
        world.send(Duration::ZERO, vec![to], false);
    }
    world.run(Duration::from_secs(1));
    world.run_to_the_end();
    world.work()
}
