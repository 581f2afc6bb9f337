//! The manager as a whole, in a toy world: a disk that folds changes, routes by domain, and destinations that do as told.

mod life;
mod many;
mod orders;
mod stored;
mod trouble;
mod waits;

use super::*;
use crate::mail::{
    ContentPlace, Diagnosis, Envelope, Feedback, Notify, Origin, Outcome, Pieces, Recipient, RouteClass,
    Sender, Standing,
};
use crate::report::{Kind, Plan, Unmade};
use crate::schedule::TransportParams;
use crate::time::{Duration, Timestamp};
use crate::wire::{EnhancedStatus, Mailbox};
use std::collections::VecDeque;
use stored::Stored;

/// What a destination does with mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Takes,
    Refuses,
    Defers,
    IsDead,
    /// Attempts run until [`Toy::release`].
    Hangs,
}

pub(super) struct Toy {
    pub(super) manager: Manager,
    pub(super) now: Now,
    pub(super) disk: BTreeMap<QueueId, Stored>,
    pub(super) manners: BTreeMap<String, Manner>,
    pub(super) log: Vec<String>,
    pub(super) reports: Vec<Plan>,
    pub(super) ordered: Vec<(Ticket, OrderResult)>,
    pub(super) running: Vec<Attempt>,
    /// Recipient and how often it was taken.
    pub(super) taken: BTreeMap<(QueueId, u32), u32>,
    pub(super) disk_refuses: bool,
    /// Writes are not answered until [`Toy::disk_goes_on`].
    pub(super) disk_hangs: bool,
    held_back: Vec<Input>,
    pub(super) reports_refused: bool,
    /// Cleanup refuses reports to these.
    pub(super) untakable: Vec<&'static str>,
    pub(super) tables_broken: bool,
    /// Attempts to requeue that have not ended.
    pub(super) requeues: Vec<Attempt>,
    /// They end when a test says so.
    pub(super) requeues_hang: bool,
    /// Recipients that a new message has taken over, and as whom.
    pub(super) moved: BTreeMap<(QueueId, u32), (QueueId, u32)>,
    /// Where mail for every domain but yes.example goes.
    pub(super) relayhost: Option<&'static str>,
    pub(super) drained: bool,
    pub(super) written: Vec<AttemptId>,
    pub(super) loads: usize,
    pub(super) started: usize,
    /// Answers come in any order, and late; only the disk keeps its order.
    pub(super) chaos: Option<Prng>,
    inputs: VecDeque<Input>,
}

pub(super) const START: i64 = 1_700_000_000;

pub(super) fn params() -> Params {
    let transports = ["smtp", "local"].map(|name| TransportParams::new(name, 100)).to_vec();
    let schedule = crate::schedule::Params { transports, ..Default::default() };
    let retry = crate::schedule::RetryRule { jitter_percent: 0, ..Default::default() };
    Params { schedule, retry, ..Params::default() }
}

pub(super) fn alice() -> Sender {
    Sender::Mailbox(Mailbox::new("alice", "example.com"))
}

impl Toy {
    pub(super) fn new(params: Params) -> Self {
        let mut toy = Self::stopped(params);
        toy.tell(Input::Ready);
        toy
    }

    /// Before recovery has ended.
    pub(super) fn stopped(params: Params) -> Self {
        let wall = Timestamp::from_seconds(START);
        Self {
            manager: Manager::new(params, Prng::new(1)),
            now: Now { mono: Instant(1_000_000_000), wall },
            disk: BTreeMap::new(),
            manners: BTreeMap::new(),
            log: Vec::new(),
            reports: Vec::new(),
            ordered: Vec::new(),
            running: Vec::new(),
            taken: BTreeMap::new(),
            disk_refuses: false,
            disk_hangs: false,
            held_back: Vec::new(),
            reports_refused: false,
            untakable: Vec::new(),
            tables_broken: false,
            requeues: Vec::new(),
            requeues_hang: false,
            moved: BTreeMap::new(),
            relayhost: None,
            drained: false,
            written: Vec::new(),
            loads: 0,
            started: 0,
            chaos: None,
            inputs: VecDeque::new(),
        }
    }

    /// The same disk after a restart, so much later.
    pub(super) fn restart(self, params: Params, pause: Duration) -> Self {
        self.restart_under(&[], params, pause)
    }

    /// Starts again, and orders are given before the queue has been read.
    pub(super) fn restart_under(self, orders: &[Order], params: Params, pause: Duration) -> Self {
        let mut toy = Self::stopped(params);
        for (number, order) in orders.iter().enumerate() {
            toy.tell(Input::Order(Ticket(number as u64), order.clone()));
        }
        toy.now.wall = self.now.wall.after(pause);
        (toy.disk, toy.manners, toy.taken, toy.reports) = (self.disk, self.manners, self.taken, self.reports);
        toy.moved = self.moved;
        let summaries: Vec<Summary> = toy.disk.values().map(Stored::summary).collect();
        for summary in summaries {
            toy.tell(Input::Recovered(summary));
        }
        toy.tell(Input::Ready);
        toy
    }

    pub(super) fn manner(&mut self, domain: &str, manner: Manner) {
        self.manners.insert(domain.to_owned(), manner);
    }

    pub(super) fn message(&self, number: u64, recipients: &[&str]) -> Message {
        let recipient = |text: &&str| {
            let (local, domain) = text.split_once('@').expect("an address");
            Recipient::new(Mailbox::new(local, domain))
        };
        let envelope = Envelope {
            sender: alice(),
            recipients: recipients.iter().map(recipient).collect(),
            arrived: self.now.wall,
            ..Envelope::default()
        };
        let mut pieces = Pieces::default();
        pieces.stored(0, 1_000);
        Message {
            id: QueueId(number),
            envelope,
            pieces,
            place: ContentPlace::Inline,
            stored: 1_000,
            origin: Origin::Submitted,
            message_id: String::new(),
            hold: false,
            checksum: None,
            unknown: Vec::new(),
        }
    }

    pub(super) fn commit(&mut self, message: Message) {
        let stored = Stored {
            standing: vec![Standing::Waiting(None); message.envelope.recipients.len()],
            held: message.hold,
            retry_at: None,
            warned: false,
            message: message.clone(),
        };
        self.disk.insert(message.id, stored);
        self.tell(Input::Committed(Box::new(message)));
    }

    pub(super) fn send(&mut self, number: u64, recipients: &[&str]) {
        let message = self.message(number, recipients);
        self.commit(message);
    }

    pub(super) fn order(&mut self, order: Order) -> OrderResult {
        let ticket = Ticket(1_000_000 + self.ordered.len() as u64);
        self.tell(Input::Order(ticket, order));
        let (answered, result) = self.ordered.last().cloned().expect("an answer");
        assert_eq!(answered, ticket);
        result
    }

    /// Brings a fact, and everything that follows from it at this moment.
    pub(super) fn tell(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.answer();
    }

    /// Brings the answers to what the manager asked for.
    pub(super) fn answer(&mut self) {
        while let Some(input) = self.next_input() {
            self.manager.handle_input(self.now, input);
            self.drain();
        }
    }

    fn next_input(&mut self) -> Option<Input> {
        let Some(chaos) = &mut self.chaos else { return self.inputs.pop_front() };
        if chaos.chance(1, 9) {
            return None;
        }
        let mut at = chaos.below(self.inputs.len() as u64) as usize;
        if matches!(self.inputs.get(at), Some(Input::Appended(..))) {
            at = self.inputs.iter().position(|input| matches!(input, Input::Appended(..)))?;
        }
        self.inputs.remove(at)
    }

    fn drain(&mut self) {
        while let Some(output) = self.manager.poll_output() {
            self.obey(output);
        }
        if !self.requeues_hang {
            for attempt in std::mem::take(&mut self.requeues) {
                self.requeue(&attempt);
            }
        }
    }

    /// The disk answers all that it was asked for.
    pub(super) fn disk_goes_on(&mut self) {
        self.disk_hangs = false;
        let held_back = std::mem::take(&mut self.held_back);
        self.inputs.extend(held_back);
        self.answer();
    }

    /// Those that hung are made.
    pub(super) fn end_requeues(&mut self) {
        self.requeues_hang = false;
        self.drain();
        self.answer();
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::Load(id) => {
                self.loads += 1;
                let loaded = self.disk.get(&id).map(|stored| {
                    Box::new(Loaded {
                        message: stored.message.clone(),
                        standing: stored.standing.clone(),
                        marks: crate::mail::Marks::default(),
                    })
                });
                self.inputs.push_back(Input::Loaded(id, Ok(loaded)));
            }
            Output::Route { id, message, recipients } => {
                let routes =
                    recipients.iter().map(|n| (*n, route(&message.envelope, *n, self.relayhost))).collect();
                let result = if self.tables_broken { Err("hash:/x".to_owned()) } else { Ok(routes) };
                self.inputs.push_back(Input::Routed(id, result));
            }
            Output::Attempt(attempt) if attempt.transport == REQUEUE => self.requeues.push(*attempt),
            Output::Attempt(attempt) => {
                self.started += 1;
                self.running.push(*attempt);
                self.settle_ready();
            }
            Output::Append(ticket, changes) => {
                let result = if self.disk_refuses { Err(Refusal::Full) } else { Ok(()) };
                if result.is_ok() {
                    changes.into_iter().for_each(|change| self.fold(change));
                }
                let answer = Input::Appended(ticket, result);
                if self.disk_hangs { self.held_back.push(answer) } else { self.inputs.push_back(answer) }
            }
            Output::Written(attempt) => self.written.push(attempt),
            Output::Report(plan) => {
                let id = plan.about.id;
                let result = if self.reports_refused {
                    Err(Unmade::Trouble("452".to_owned()))
                } else if self.untakable.contains(&plan.to.external().as_str()) {
                    Err(Unmade::Refused("451 Alias expansion error".to_owned()))
                } else {
                    Ok(())
                };
                if result.is_ok() {
                    plan.changes.iter().cloned().for_each(|change| self.fold(change));
                    self.reports.push(*plan);
                }
                self.inputs.push_back(Input::Reported(id, result));
            }
            Output::Ordered(ticket, result) => self.ordered.push((ticket, result)),
            Output::Drained => self.drained = true,
            Output::Event(event) => self.log.push(format!("{}: {}", event.program(), event.text())),
        }
    }

    /// Ends the attempts at destinations that do not hang.
    fn settle_ready(&mut self) {
        let hangs = |attempt: &Attempt| self.manners.get(&attempt.nexthop) == Some(&Manner::Hangs);
        let (stay, end): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running).into_iter().partition(hangs);
        self.running = stay;
        for attempt in end {
            let manner = self.manners.get(&attempt.nexthop).copied().unwrap_or(Manner::Takes);
            self.end(&attempt, manner);
        }
    }

    /// A new message takes over, if tables can be read; its id is a million more.
    fn requeue(&mut self, attempt: &Attempt) {
        let (old, new) = (attempt.message, QueueId(attempt.message.0 + 1_000_000));
        let mut outcome = unable_to_requeue("451 4.3.0 a table");
        if !self.tables_broken && !self.disk_refuses {
            outcome = requeued_as(new);
            // In one step with the commit.
            for (place, recipient) in (0..).zip(&attempt.recipients) {
                self.moved.insert((old, recipient.index), (new, place));
                let stored = self.disk.get_mut(&old).expect("it was loaded");
                stored.standing[recipient.index as usize] = Standing::Done;
            }
            let mut message = self.disk[&old].message.clone();
            let chosen =
                attempt.recipients.iter().map(|r| message.envelope.recipients[r.index as usize].clone());
            message.envelope.recipients = chosen.collect();
            message.id = new;
            let standing = vec![Standing::Waiting(None); attempt.recipients.len()];
            self.inputs.push_back(Input::Committed(Box::new(message.clone())));
            self.disk.insert(new, Stored { message, standing, held: false, retry_at: None, warned: false });
        }
        self.settle(attempt, &outcome, Feedback::Neutral);
    }

    /// All recipients of an attempt have this outcome.
    fn settle(&mut self, attempt: &Attempt, outcome: &Outcome, feedback: Feedback) {
        let outcomes = attempt.recipients.iter().map(|r| (r.index, outcome.clone())).collect();
        let (connect, transfer) = (Duration::from_millis(20), Duration::from_millis(300));
        let settled = Settled { id: attempt.id, outcomes, feedback, connect, transfer };
        self.inputs.push_back(Input::Settled(settled));
    }

    /// Ends an attempt in this manner, when its turn comes.
    pub(super) fn end(&mut self, attempt: &Attempt, manner: Manner) {
        let diagnosis = |class, text: &str| Diagnosis {
            relay: format!("{}[192.0.2.1]:25", attempt.nexthop),
            ..Diagnosis::ours(EnhancedStatus::new(class, 0, 0), text)
        };
        let outcome = match manner {
            Manner::Takes | Manner::Hangs => {
                Outcome::Delivered { diagnosis: diagnosis(2, "250 ok"), last_hop_for_dsn: true }
            }
            Manner::Refuses => Outcome::Failed(diagnosis(5, "550 no")),
            Manner::Defers => Outcome::Deferred(diagnosis(4, "450 later")),
            Manner::IsDead => Outcome::Deferred(diagnosis(4, "connect to mx: Connection refused")),
        };
        let feedback = match manner {
            Manner::IsDead => Feedback::Bad(outcome.diagnosis().clone()),
            _ => Feedback::Good,
        };
        if matches!(outcome, Outcome::Delivered { .. }) {
            for recipient in &attempt.recipients {
                *self.taken.entry((attempt.message, recipient.index)).or_default() += 1;
            }
        }
        self.settle(attempt, &outcome, feedback);
    }

    /// Destinations of this name hang no longer: what ran there ends in this manner.
    pub(super) fn release(&mut self, domain: &str, manner: Manner) {
        self.manner(domain, manner);
        self.settle_ready();
        self.answer();
    }

    fn fold(&mut self, change: Change) {
        if let Change::Commit(_) = change {
            return;
        }
        let id = change.id();
        if matches!(change, Change::Remove(_)) {
            _ = self.disk.remove(&id);
            return;
        }
        let stored = self.disk.get_mut(&id).unwrap_or_else(|| panic!("{change:?} after its end"));
        match change {
            Change::Settle(settlement) => {
                for (number, outcome) in settlement.outcomes {
                    if self.moved.contains_key(&(id, number)) {
                        assert!(
                            matches!(outcome, Outcome::Delivered { last_hop_for_dsn: false, .. }),
                            "moved"
                        );
                        continue;
                    }
                    let standing = &mut stored.standing[number as usize];
                    assert!(matches!(standing, Standing::Waiting(_)), "settled twice");
                    *standing = match outcome {
                        Outcome::Deferred(why) => Standing::Waiting(Some(why)),
                        outcome => Standing::Owed(outcome),
                    };
                }
                stored.retry_at = settlement.retry_at.or(stored.retry_at);
            }
            Change::Hold(_) => stored.held = true,
            Change::Release(_) => stored.held = false,
            Change::Retry(_, at) => stored.retry_at = Some(at),
            Change::Warned(..) => stored.warned = true,
            Change::Reported(_, numbers) => {
                numbers.iter().for_each(|n| stored.standing[*n as usize] = Standing::Done);
            }
            Change::Commit(_) | Change::Remove(_) => {}
        }
    }

    /// Lets time pass, timer by timer.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now.mono.after(duration);
        for step in 0.. {
            let Some(next) = self.manager.next_timeout().filter(|next| *next <= end) else { break };
            assert!(step < 100_000, "the manager wants to be woken without end");
            self.now = self.now.after(next.since(self.now.mono));
            self.manager.handle_timeout(self.now);
            self.drain();
            self.answer();
        }
        self.now = self.now.after(end.since(self.now.mono));
    }

    pub(super) fn logged(&self, text: &str) -> usize {
        self.log.iter().filter(|line| line.contains(text)).count()
    }

    pub(super) fn queue_of(&mut self, number: u64) -> Option<crate::mail::QueueName> {
        match self.order(Order::List(crate::mail::Selection::Id(QueueId(number)))) {
            OrderResult::Listed(lines) => lines.first().map(|line| line.1),
            other => panic!("{other:?}"),
        }
    }
}

/// `missing.example` goes to a transport that is not there, `nowhere.example` fails, `here.example` is local.
fn route(envelope: &Envelope, number: u32, relayhost: Option<&str>) -> Route {
    let recipient = envelope.recipients[number as usize].address.clone();
    let relayhost = relayhost.filter(|_| recipient.domain() != "yes.example");
    let to = |transport: &str| Route::To {
        transport: transport.to_owned(),
        nexthop: relayhost.unwrap_or(recipient.domain()).to_owned(),
        recipient: recipient.clone(),
        class: if transport == "local" { RouteClass::Local } else { RouteClass::Default },
    };
    match recipient.domain() {
        "missing.example" => to("uucp"),
        "here.example" => to("local"),
        domain if domain.ends_with(".lmtp") => to("lmtp"),
        "nowhere.example" => Route::Nowhere(Diagnosis::ours(
            EnhancedStatus::new(5, 1, 1),
            "User unknown in virtual alias table",
        )),
        _ => to("smtp"),
    }
}

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const DAY: Duration = seconds(86_400);

pub(super) fn kinds(toy: &Toy) -> Vec<Kind> {
    toy.reports.iter().map(|plan| plan.kind).collect()
}

pub(super) fn notify(success: bool, failure: bool, delay: bool) -> Notify {
    Notify { success, failure, delay, explicit: true }
}
