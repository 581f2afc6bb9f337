//! What the changes of a message come to: where each recipient stands.
//!
//! One rule ([`Fate::after`]) for the two who need it: [`Progress`], small, for recovery, which folds every message at once; and [`State`], with
//! every diagnosis, for a message that is loaded or moved.
//!
//! Law: the fold of a state's snapshot is that state.

use crate::mail::{
    Change, Loaded, Marks, Message, Notify, Outcome, QueueId, Recipient, Settlement, Standing, Summary,
};
use crate::time::Timestamp;

/// Where a recipient stands, without the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fate {
    Waiting,
    Owed,
    Done,
}

impl Fate {
    /// After an outcome. What is final stays: an outcome that comes twice changes nothing.
    ///
    /// A success is owed to the sender only where it was asked for, and by us only where no next hop promised it (RFC 3461 5.2.2); a failure always, because
    /// the postmaster may want to hear of it even if the sender does not.
    const fn after(self, outcome: &Outcome, notify: Notify) -> Self {
        match (self, outcome) {
            (Self::Owed | Self::Done, _) => self,
            (Self::Waiting, Outcome::Deferred(_)) => Self::Waiting,
            (Self::Waiting, Outcome::Failed(_)) => Self::Owed,
            (Self::Waiting, Outcome::Discarded(_)) => Self::Done,
            (Self::Waiting, Outcome::Expanded(_) | Outcome::Delivered { last_hop_for_dsn: true, .. }) => {
                if notify.success {
                    Self::Owed
                } else {
                    Self::Done
                }
            }
            (Self::Waiting, Outcome::Delivered { .. }) => Self::Done,
        }
    }
}

impl Marks {
    const fn at_commit(message: &Message) -> Self {
        Self { held: message.hold, retry_at: None, warned: None }
    }

    const fn after(mut self, change: &Change) -> Self {
        match change {
            Change::Settle(Settlement { retry_at: Some(at), .. }) | Change::Retry(_, at) => {
                self.retry_at = Some(*at);
            }
            Change::Hold(_) => self.held = true,
            Change::Release(_) => self.held = false,
            Change::Warned(_, at) => self.warned = Some(*at),
            Change::Commit(_) | Change::Settle(_) | Change::Reported(..) | Change::Remove(_) => {}
        }
        self
    }
}

/// A recipient during recovery: its fate, and whether its success is to be reported.
type Stand = (Fate, bool);

/// Recipients during recovery. Most messages have one, and that one needs no allocation of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Stands {
    One(Stand),
    Many(Box<[Stand]>),
}

impl Stands {
    fn all(&self) -> &[Stand] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Stand> {
        let all = match self {
            Self::One(one) => std::slice::from_mut(one),
            Self::Many(many) => many,
        };
        all.get_mut(index as usize)
    }
}

/// A message during recovery, in few octets: a million of them exist at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Progress {
    arrived: Timestamp,
    /// When it is tried next; [`NEVER`] when it was never tried.
    retry_at: Timestamp,
    held: bool,
    warned: bool,
    recipients: Stands,
}

/// Stands for "never" where an `Option` would take eight octets more.
const NEVER: Timestamp = Timestamp(i64::MIN);

impl Progress {
    pub(super) fn new(message: &Message) -> Self {
        let stand = |recipient: &Recipient| (Fate::Waiting, recipient.notify.success);
        let recipients = match message.envelope.recipients.as_slice() {
            [one] => Stands::One(stand(one)),
            many => Stands::Many(many.iter().map(stand).collect()),
        };
        let arrived = message.envelope.arrived;
        Self { arrived, retry_at: NEVER, held: message.hold, warned: false, recipients }
    }

    pub(super) fn apply(&mut self, change: &Change) {
        let marks = Marks { held: self.held, retry_at: Some(self.retry_at), warned: None };
        let marks = marks.after(change);
        self.held = marks.held;
        self.retry_at = marks.retry_at.unwrap_or(NEVER);
        self.warned |= marks.warned.is_some();
        match change {
            Change::Settle(settlement) => {
                for (index, outcome) in &settlement.outcomes {
                    if let Some((fate, success)) = self.recipients.get_mut(*index) {
                        *fate = fate.after(outcome, Notify { success: *success, ..Notify::default() });
                    }
                }
            }
            Change::Reported(_, indexes) => {
                for index in indexes {
                    if let Some((fate, _)) = self.recipients.get_mut(*index) {
                        *fate = Fate::Done;
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn summary(&self, id: QueueId) -> Summary {
        let all = self.recipients.all();
        let count = |wanted| all.iter().filter(|(fate, _)| *fate == wanted).count() as u32;
        Summary {
            id,
            arrived: self.arrived,
            waiting: count(Fate::Waiting),
            owed: count(Fate::Owed),
            held: self.held,
            retry_at: (self.retry_at != NEVER).then_some(self.retry_at),
            warned: self.warned,
        }
    }
}

/// A message and everything that became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    message: Box<Message>,
    marks: Marks,
    standing: Vec<Standing>,
}

impl State {
    pub(super) fn new(message: Box<Message>) -> Self {
        let standing = vec![Standing::Waiting(None); message.envelope.recipients.len()];
        Self { marks: Marks::at_commit(&message), standing, message }
    }

    pub(super) fn apply(&mut self, change: Change) {
        self.marks = self.marks.after(&change);
        match change {
            Change::Settle(settlement) => {
                for (index, outcome) in settlement.outcomes {
                    self.settle(index as usize, outcome);
                }
            }
            Change::Reported(_, indexes) => {
                for index in indexes {
                    if let Some(standing) = self.standing.get_mut(index as usize) {
                        *standing = Standing::Done;
                    }
                }
            }
            _ => {}
        }
    }

    fn settle(&mut self, index: usize, outcome: Outcome) {
        let recipient = self.message.envelope.recipients.get(index);
        let (Some(recipient), Some(standing)) = (recipient, self.standing.get_mut(index)) else {
            return;
        };
        if !matches!(standing, Standing::Waiting(_)) {
            return;
        }
        *standing = match (Fate::Waiting.after(&outcome, recipient.notify), outcome) {
            (Fate::Waiting, outcome) => Standing::Waiting(Some(outcome.diagnosis().clone())),
            (Fate::Owed, outcome) => Standing::Owed(outcome),
            (Fate::Done, _) => Standing::Done,
        };
    }

    /// The fewest changes that come to this state: what is written when the message moves.
    pub(super) fn snapshot(&self) -> Vec<Change> {
        let id = self.message.id;
        let mut outcomes = Vec::new();
        let mut done = Vec::new();
        for (index, standing) in (0u32..).zip(&self.standing) {
            match standing {
                Standing::Waiting(None) => {}
                Standing::Waiting(Some(diagnosis)) => {
                    outcomes.push((index, Outcome::Deferred(diagnosis.clone())));
                }
                Standing::Owed(outcome) => outcomes.push((index, outcome.clone())),
                Standing::Done if planted!(SnapshotForgetsDone) => {}
                Standing::Done => done.push(index),
            }
        }
        let mut changes = vec![Change::Commit(self.message.clone())];
        if !outcomes.is_empty() {
            let at = self.message.envelope.arrived;
            changes.push(Change::Settle(Settlement { id, at, outcomes, retry_at: None }));
        }
        if !done.is_empty() {
            changes.push(Change::Reported(id, done));
        }
        if self.marks.held != self.message.hold {
            changes.push(if self.marks.held { Change::Hold(id) } else { Change::Release(id) });
        }
        changes.extend(self.marks.retry_at.map(|at| Change::Retry(id, at)));
        changes.extend(self.marks.warned.map(|at| Change::Warned(id, at)));
        changes
    }

    /// Of a message that was loaded.
    pub(super) fn of(loaded: Loaded) -> Self {
        Self { message: Box::new(loaded.message), marks: loaded.marks, standing: loaded.standing }
    }

    pub(super) fn loaded(self) -> Loaded {
        Loaded { message: *self.message, standing: self.standing, marks: self.marks }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_message_takes_few_octets_of_memory_while_the_queue_is_read() {
        assert!(size_of::<(QueueId, Progress)>() <= 48);
    }

    use super::super::record::tests::change;
    use super::*;
    use proptest::prelude::*;

    /// Changes of one message, with indexes that mostly exist.
    fn tame(change: Change) -> Change {
        match change {
            Change::Settle(mut settlement) => {
                settlement.outcomes.iter_mut().for_each(|(index, _)| *index %= 5);
                Change::Settle(settlement)
            }
            Change::Reported(id, list) => {
                Change::Reported(id, list.into_iter().map(|i| i % 5).take(1).collect())
            }
            other => other,
        }
    }

    proptest! {
        #[test]
        fn a_snapshot_folds_to_the_same_state_and_both_folds_agree(
            changes in prop::collection::vec(change(), 1..12),
        ) {
            let Some(message) = changes.iter().find_map(|change| match change {
                Change::Commit(message) => Some(message.clone()),
                _ => None,
            }) else { return Ok(()) };
            let id = message.id;
            let mut progress = Progress::new(&message);
            let mut state = State::new(message);
            for change in changes.into_iter().map(tame).filter(|change| !matches!(change, Change::Commit(_))) {
                progress.apply(&change);
                state.apply(change);
            }
            let mut again: Option<State> = None;
            let mut small: Option<Progress> = None;
            for change in state.snapshot() {
                match (change, &mut again, &mut small) {
                    (Change::Commit(message), _, _) => {
                        small = Some(Progress::new(&message));
                        again = Some(State::new(message));
                    }
                    (change, Some(again), Some(small)) => {
                        small.apply(&change);
                        again.apply(change);
                    }
                    _ => panic!("the commit comes first"),
                }
            }
            prop_assert_eq!(small.unwrap().summary(id), progress.summary(id));
            prop_assert_eq!(&again.unwrap(), &state);
            let summary = progress.summary(id);
            let owed = state.standing.iter().filter(|s| matches!(s, Standing::Owed(_))).count();
            prop_assert_eq!((summary.owed as usize, summary.held), (owed, state.marks.held));
            prop_assert_eq!((summary.retry_at, summary.warned), (state.marks.retry_at, state.marks.warned.is_some()));
            let waiting = state.loaded().standing.iter().filter(|s| matches!(s, Standing::Waiting(_))).count();
            prop_assert_eq!(waiting as u32, progress.summary(id).waiting);
        }
    }
}
