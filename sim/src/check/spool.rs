//! The spool: commit and recovery, with power lost in every way at every step.
//!
//! The log that ships, over a disk ([`super::platter`]) of which after a crash every subset of what was not synced is tried. Whoever has work for
//! the log brings it at any moment; operations end in any order, or fail. After the last crash recovery runs to its end, and what it found is
//! compared with what was answered. Time passes only while the disk rests.

use super::mail::{Mail, Wrong, judge, message};
use super::platter::Platter;
use postrider_core::event::Severity;
use postrider_core::machine::Machine;
use postrider_core::mail::{Change, Diagnosis, Outcome, QueueId, QueueIds, Refusal, Settlement, Summary};
use postrider_core::queue::{DiskError, Done, File, Input, Log, Op, OpId, Output, Params, Ticket};
use postrider_core::time::{Now, Timestamp};
use postrider_core::wire::EnhancedStatus;
use stateright::{Model, Property};
use std::collections::{BTreeMap, VecDeque};

/// Steps in which recovery ends.
const RECOVERY_MAX: usize = 200;
/// Octets of a segment: the least, so that a handful of messages changes segments.
const SEGMENT: u64 = 4_096;

/// How much may happen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spool {
    /// Octets of each message.
    sizes: &'static [u64],
    outcomes: u8,
    removals: u8,
    /// Crashes, recoveries included; the first ones may be kills.
    crashes: u8,
    /// Operations that fail.
    faults: u8,
}

/// What a request to the log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Errand {
    Commit,
    Settle,
    Remove,
}

/// What has been asked of the log, and how far it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Step {
    /// Never asked for.
    #[default]
    No,
    /// Asked for: it may be so or not.
    Maybe,
    /// Answered, which for changes means written: only a loss of power may undo it.
    Answered,
    /// It must be so after any crash.
    Promised,
}

impl Step {
    pub(super) fn is_answered(self) -> bool {
        matches!(self, Self::Answered | Self::Promised)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    log: Log,
    platter: Platter,
    now: Now,
    pending: Vec<(OpId, Op)>,
    mail: Vec<Mail>,
    asked: BTreeMap<Ticket, (usize, Errand)>,
    next_ticket: u64,
    ids: Option<QueueIds>,
    found: Vec<Summary>,
    ready: bool,
    crashes: u8,
    faults: u8,
    /// An operation failed since the last start.
    troubled: bool,
    wrong: Option<Wrong>,
    /// After the last recovery: what it came to, for the properties that something happens at all.
    pub(super) seen: Seen,
    over: bool,
}

/// What a history has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Seen {
    pub(super) kept: bool,
    pub(super) torn: bool,
    pub(super) unasked: bool,
    pub(super) outcome: bool,
    pub(super) refused: bool,
    pub(super) removed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Commit,
    Settle(usize),
    Remove(usize),
    /// The operation at this place ends.
    Done(usize),
    /// It fails, and has done a part of it or nothing.
    Fails(usize, bool),
    Time,
    /// The process is killed, before or behind what the disk was doing.
    Kill(bool),
    /// Power goes, and this is kept.
    Power(u32),
}

pub(super) fn scopes() -> Vec<(&'static str, Spool)> {
    let scope =
        |sizes, (outcomes, removals), crashes, faults| Spool { sizes, outcomes, removals, crashes, faults };
    vec![
        ("spool: two messages, an outcome, a removal; power goes", scope(&[300, 600], (1, 1), 1, 0)),
        ("spool: one message, power goes twice, in recovery too", scope(&[600], (1, 0), 2, 0)),
        ("spool: an operation fails, then power goes", scope(&[600, 10], (1, 0), 1, 1)),
        ("spool: three messages fill a segment, the first goes", scope(&[1_000, 1_400, 1_400], (0, 1), 1, 0)),
    ]
}

impl State {
    fn new() -> Self {
        let mut state = Self {
            log: Log::new(Params { segment_size: SEGMENT, reserve: 0, ..Params::default() }, 1),
            platter: Platter::default(),
            now: Now { wall: Timestamp(0), ..Now::default() },
            pending: Vec::new(),
            mail: Vec::new(),
            asked: BTreeMap::new(),
            next_ticket: 0,
            ids: None,
            found: Vec::new(),
            ready: false,
            crashes: 0,
            faults: 0,
            troubled: false,
            wrong: None,
            seen: Seen::default(),
            over: false,
        };
        state.tell(Input::Open);
        state
    }

    fn blame(&mut self, wrong: Wrong) {
        self.wrong.get_or_insert(wrong);
    }

    fn tell(&mut self, input: Input) {
        self.log.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.log.poll_output() {
            match output {
                Output::Do(id, op) => self.pending.push((id, op)),
                Output::Recovered(summary) => self.found.push(summary),
                Output::Numbered { last } => {
                    if self.mail.iter().any(|mail| mail.committed == Step::Promised && mail.id > last) {
                        self.blame(Wrong::IdRepeats);
                    }
                    self.ids = Some(QueueIds::new(0, last));
                }
                Output::Ready => self.ready = true,
                Output::Appended { ticket, result, .. } => self.answered(ticket, result),
                Output::Event(event) if event.severity() == Severity::Error && self.faults == 0 => {
                    self.blame(Wrong::TakenForDamage);
                }
                Output::Loaded { .. } | Output::Event(_) => {}
            }
        }
        self.rest();
    }

    fn answered(&mut self, ticket: Ticket, result: Result<(), Refusal>) {
        let Some((place, errand)) = self.asked.remove(&ticket) else {
            return self.blame(Wrong::AnsweredTwice);
        };
        if result.is_ok() {
            // The log works: what it refused before can not come back.
            self.mail.iter_mut().filter(|mail| mail.refused).for_each(|mail| mail.void = true);
        }
        let Some(mail) = self.mail.get_mut(place) else { return };
        match (errand, result) {
            (Errand::Commit, Ok(())) => mail.committed = Step::Promised,
            (Errand::Commit, Err(_)) => mail.refused = true,
            (Errand::Settle, Ok(())) => mail.settled = Step::Answered,
            (Errand::Remove, Ok(())) => mail.removed = Step::Answered,
            (_, Err(_)) => {}
        }
    }

    /// When nothing is under way and nothing will be by itself, all that was answered is durable.
    fn rest(&mut self) {
        if self.pending.is_empty() && self.log.next_timeout().is_none() {
            self.mail.iter_mut().for_each(Mail::promise);
        }
    }

    fn ask(&mut self, place: usize, errand: Errand, change: Change, content: Vec<Vec<u8>>) {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.asked.insert(ticket, (place, errand));
        self.tell(Input::Append { ticket, changes: vec![change], content });
    }

    fn commit(&mut self, size: u64) -> Option<()> {
        let id = self.ids.as_mut()?.issue(Timestamp(0));
        let (message, content) = message(id, self.mail.len(), size);
        self.mail.push(Mail::new(id, size));
        self.ask(self.mail.len() - 1, Errand::Commit, Change::Commit(Box::new(message)), vec![content]);
        Some(())
    }

    fn settle(&mut self, place: usize) -> Option<()> {
        let mail = self.mail.get_mut(place)?;
        mail.settled = Step::Maybe;
        let diagnosis = Diagnosis::ours(EnhancedStatus::new(5, 1, 1), "no such user");
        let outcomes = vec![(0, Outcome::Failed(diagnosis))];
        let settlement = Settlement { id: mail.id, at: Timestamp(0), outcomes, retry_at: None };
        self.ask(place, Errand::Settle, Change::Settle(settlement), Vec::new());
        Some(())
    }

    fn remove(&mut self, place: usize) -> Option<()> {
        let mail = self.mail.get_mut(place)?;
        mail.removed = Step::Maybe;
        let id: QueueId = mail.id;
        self.ask(place, Errand::Remove, Change::Remove(id), Vec::new());
        Some(())
    }

    fn ended(&mut self, place: usize, failed: Option<bool>) {
        let (id, op) = self.pending.remove(place);
        let result = match failed {
            None => self.platter.carry_out(&op),
            Some(part) => {
                self.platter.fail(&op, part);
                (self.faults, self.troubled) = (self.faults + 1, true);
                Err(DiskError::Failed("input/output error".to_owned()))
            }
        };
        self.tell(Input::Did { op: id, result });
    }

    fn pass(&mut self) -> Option<()> {
        let at = self.log.next_timeout()?;
        self.now = self.now.after(at.since(self.now.mono));
        self.log.handle_timeout(self.now);
        self.drain();
        Some(())
    }

    /// The process ends here, and the next one starts; after the last crash it also comes to its end.
    fn crash(&mut self, model: &Spool, power: Option<u32>, finish: bool) {
        // With power, what was under way may have happened; that it did not is a way in which it was not kept.
        for (_, op) in std::mem::take(&mut self.pending) {
            if (power.is_some() || finish) && !matches!(op, Op::Sync(_) | Op::SyncDirectory) {
                _ = self.platter.carry_out(&op);
            }
        }
        if let Some(way) = power {
            self.platter.crash(way);
        }
        // The kernel has what a process wrote that was killed.
        if power.is_some() || self.troubled {
            self.mail.iter_mut().for_each(Mail::doubt);
        }
        self.crashes += 1;
        self.asked.clear();
        self.found.clear();
        (self.ids, self.ready, self.troubled) = (None, false, false);
        self.log = Log::new(
            Params { segment_size: SEGMENT, reserve: 0, ..Params::default() },
            u64::from(self.crashes) + 1,
        );
        self.tell(Input::Open);
        if self.crashes == model.crashes {
            for _ in 0..RECOVERY_MAX {
                if self.ready {
                    break;
                }
                if self.pending.is_empty() {
                    _ = self.pass();
                } else {
                    self.ended(0, None);
                }
            }
            if !self.ready {
                self.blame(Wrong::Stuck);
            }
        }
        self.recovered(model);
    }

    /// Recovery has ended, perhaps: what it found is compared with what was promised.
    fn recovered(&mut self, model: &Spool) {
        if !self.ready || self.crashes == 0 {
            return;
        }
        let found = std::mem::take(&mut self.found);
        match judge(&self.log, &self.platter, self.now, &found, &mut self.mail) {
            Ok(seen) => self.seen = seen,
            Err(wrong) => self.blame(wrong),
        }
        if self.crashes == model.crashes {
            // Nothing can be shown any more: all such states are one.
            let (wrong, seen, crashes, faults) = (self.wrong, self.seen, self.crashes, self.faults);
            *self = Self { wrong, seen, crashes, faults, over: true, ..Self::new() };
            self.pending.clear();
        }
    }

    /// Reads that fail are tried again, and say nothing new.
    fn may_fail(op: &Op) -> bool {
        !matches!(op, Op::Read { .. } | Op::List)
    }
}

impl Model for Spool {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.over || state.wrong.is_some() {
            return;
        }
        if state.ids.is_some() && state.log.room() > 0 && state.mail.len() < self.sizes.len() {
            actions.push(Action::Commit);
        }
        let asked = |step: fn(&Mail) -> Step| state.mail.iter().filter(|mail| step(mail) != Step::No).count();
        let (outcomes, removals) = (asked(|mail| mail.settled), asked(|mail| mail.removed));
        let works = state.ready && state.log.room() > 0;
        for (place, mail) in state.mail.iter().enumerate().filter(|(_, mail)| works && mail.is_there()) {
            if mail.settled == Step::No && outcomes < usize::from(self.outcomes) {
                actions.push(Action::Settle(place));
            }
            if outcomes >= usize::from(self.outcomes) && removals < usize::from(self.removals) {
                actions.push(Action::Remove(place));
            }
        }
        for (place, (_, op)) in state.pending.iter().enumerate() {
            actions.push(Action::Done(place));
            if state.faults < self.faults && State::may_fail(op) {
                actions.extend([Action::Fails(place, false), Action::Fails(place, true)]);
            }
        }
        if state.pending.is_empty() && state.log.next_timeout().is_some() {
            actions.push(Action::Time);
        }
        if state.crashes < self.crashes && !state.mail.is_empty() {
            actions.push(Action::Kill(false));
            if !state.pending.is_empty() {
                actions.push(Action::Kill(true));
            }
            let mut after = state.platter.clone();
            for (_, op) in
                state.pending.iter().filter(|(_, op)| !matches!(op, Op::Sync(_) | Op::SyncDirectory))
            {
                _ = after.carry_out(op);
            }
            actions.extend((0..after.ways()).map(Action::Power));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Commit => next.commit(*self.sizes.get(state.mail.len())?)?,
            Action::Settle(place) => next.settle(place)?,
            Action::Remove(place) => next.remove(place)?,
            Action::Done(place) => next.ended(place, None),
            Action::Fails(place, part) => next.ended(place, Some(part)),
            Action::Time => next.pass()?,
            Action::Kill(finish) => next.crash(self, None, finish),
            Action::Power(way) => next.crash(self, Some(way), true),
        }
        if matches!(action, Action::Done(_) | Action::Time) && !state.ready {
            next.recovered(self);
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties: Vec<Property<Self>> = vec![
            never!(Lost, "what was acknowledged is recovered"),
            never!(Invented, "no message is invented"),
            never!(Changed, "a message is recovered as it was committed"),
            never!(CameBack, "what was removed, refused or not recovered does not come back"),
            never!(OutcomeLost, "an outcome that is durable is recovered"),
            never!(OutcomeInvented, "no outcome is invented"),
            never!(IdRepeats, "no queue id is given twice"),
            never!(AnsweredTwice, "each request is answered once"),
            never!(TakenForDamage, "a crash is not taken for damage"),
            never!(Stuck, "recovery ends"),
            Property::sometimes("acknowledged mail is recovered", |_, state: &State| state.seen.kept),
            Property::sometimes("mail that was not acknowledged is gone", |_, state: &State| state.seen.torn),
            Property::sometimes("mail that was not acknowledged is there", |_, state: &State| {
                state.seen.unasked
            }),
        ];
        if self.outcomes > 0 {
            properties
                .push(Property::sometimes("an outcome is recovered", |_, state: &State| state.seen.outcome));
        }
        if self.faults > 0 {
            properties.push(Property::sometimes("mail is refused", |_, state: &State| state.seen.refused));
        }
        if self.removals > 0 {
            properties
                .push(Property::sometimes("a message is removed", |_, state: &State| state.seen.removed));
        }
        properties
    }
}

/// Reads to the end, on a disk that does not fail.
pub(super) fn finish(log: &mut Log, platter: &mut Platter, now: Now, mut output: impl FnMut(Output)) {
    let mut reads = VecDeque::new();
    for _ in 0..RECOVERY_MAX {
        while let Some(told) = log.poll_output() {
            match told {
                Output::Do(id, op @ Op::Read { .. }) => reads.push_back((id, op)),
                // Others may be about to make segments: those can wait.
                Output::Do(..) => {}
                told => output(told),
            }
        }
        let Some((op, what)) = reads.pop_front() else { return };
        log.handle_input(now, Input::Did { op, result: platter.carry_out(&what) });
    }
}

/// The octets of a file.
pub(super) fn octets(platter: &mut Platter, file: File, offset: u64, length: u64) -> Vec<u8> {
    match platter.carry_out(&Op::Read { file, offset, length }) {
        Ok(Done::Octets(octets)) => octets,
        _ => Vec::new(),
    }
}
