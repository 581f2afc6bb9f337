//! A message of the active queue: loaded, partly routed, under way.

use crate::mail::{AttemptId, Diagnosis, Message, Outcome, QueueId, Standing};
use crate::manager::places::{footprint, places_of, remembered};
use crate::manager::reports::Draft;
use crate::schedule::Place;
use crate::time::{Duration, Instant};
use crate::wire::Mailbox;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Where a message goes when all that it waits for is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Leaving {
    /// It has ended.
    Gone,
    /// It is tried again then.
    Later(Instant),
}

/// What an operator wants of a message that is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Wish {
    /// Nothing.
    None,
    /// To the hold queue, as soon as what runs has ended. It is on disk.
    Hold,
    /// Away, as soon as what runs has ended. It is not yet on disk.
    Delete,
    /// Again, at once.
    Again,
}

/// A message of the active queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Active {
    /// `None` while it is being loaded.
    pub(super) message: Option<Arc<Message>>,
    /// One for each recipient of the envelope.
    pub(super) standing: Vec<Standing>,
    /// How many of them wait.
    waiting: usize,
    /// Octets of memory that it takes, and the places of the active queue that are counted for it.
    octets: u64,
    pub(super) places: usize,
    /// Its place among all active messages.
    pub(super) sequence: u64,
    /// When it became active.
    pub(super) since: Instant,
    /// How old it was then.
    pub(super) age_before: Duration,
    /// Recipients that wait and are not yet routed, last first.
    pub(super) unread: Vec<u32>,
    /// Recipients whose routes are asked for.
    pub(super) routing: Vec<u32>,
    /// Recipients that are being routed, wait in the scheduler, or are under way; with their addresses for the transport.
    pub(super) aboard: BTreeMap<u32, Mailbox>,
    /// Of those, how many wait in the scheduler.
    pub(super) queued: usize,
    /// Attempts that run.
    pub(super) running: usize,
    /// One of them makes the message that replaces it.
    pub(super) requeuing: bool,
    /// Writes that are not answered, refused ones included.
    pub(super) writing: usize,
    /// Reports still to be made; the first is being made when `reporting`.
    pub(super) drafts: VecDeque<Draft>,
    pub(super) reporting: bool,
    /// The log has its line.
    pub(super) announced: bool,
    /// Somebody was deferred since it became active, and waits for the pause.
    pub(super) put_off: bool,
    pub(super) leaving: Option<Leaving>,
    pub(super) wish: Wish,
}

impl Active {
    pub(super) const fn new(sequence: u64, since: Instant, age_before: Duration, places: usize) -> Self {
        Self {
            message: None,
            standing: Vec::new(),
            waiting: 0,
            octets: 0,
            places,
            sequence,
            since,
            age_before,
            unread: Vec::new(),
            routing: Vec::new(),
            aboard: BTreeMap::new(),
            queued: 0,
            running: 0,
            requeuing: false,
            writing: 0,
            drafts: VecDeque::new(),
            reporting: false,
            announced: false,
            put_off: false,
            leaving: None,
            wish: Wish::None,
        }
    }

    /// Takes over what was loaded; recipients without a standing wait.
    pub(super) fn fill(&mut self, message: Arc<Message>, mut standing: Vec<Standing>) {
        standing.resize(message.envelope.recipients.len(), Standing::Waiting(None));
        let waiting = (0u32..).zip(&standing).filter(|(_, s)| matches!(s, Standing::Waiting(_)));
        self.unread = waiting.map(|(number, _)| number).collect();
        self.unread.reverse();
        self.waiting = self.unread.len();
        self.octets = footprint(&message, &standing);
        self.standing = standing;
        self.message = Some(message);
    }

    /// True when no attempt runs or will run before it leaves.
    pub(super) fn is_through(&self) -> bool {
        self.message.is_some()
            && self.unread.is_empty()
            && self.routing.is_empty()
            && self.queued == 0
            && self.running == 0
    }

    /// True when nothing at all is under way for it.
    pub(super) fn is_idle(&self) -> bool {
        self.is_through() && self.writing == 0 && !self.reporting
    }

    /// True when a recipient has no final outcome.
    pub(super) const fn waits(&self) -> bool {
        self.waiting > 0
    }

    /// Recipients that have no final outcome.
    pub(super) const fn count_waiting(&self) -> usize {
        self.waiting
    }

    /// Places of the active queue that it takes now.
    pub(super) fn places_now(&self) -> usize {
        places_of(self.octets)
    }

    /// Takes down an outcome; false when the recipient had a final one already, or does not exist.
    pub(super) fn record(&mut self, number: u32, outcome: &Outcome) -> bool {
        let Some(standing) = self.standing.get_mut(number as usize) else { return false };
        if !matches!(standing, Standing::Waiting(_)) {
            return false;
        }
        let before = remembered(standing);
        *standing = match outcome {
            Outcome::Deferred(why) => {
                self.put_off = true;
                Standing::Waiting(Some(why.clone()))
            }
            outcome => {
                self.waiting = self.waiting.saturating_sub(1);
                Standing::Owed(outcome.clone())
            }
        };
        self.octets = self.octets.saturating_sub(before).saturating_add(remembered(standing));
        true
    }

    /// Nothing more is owed for these.
    pub(super) fn done(&mut self, numbers: &[u32]) {
        for number in numbers {
            if let Some(standing) = self.standing.get_mut(*number as usize) {
                *standing = Standing::Done;
            }
        }
    }

    /// Why each recipient that waits has to.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (u32, Option<&Diagnosis>)> {
        (0u32..).zip(&self.standing).filter_map(|(number, standing)| match standing {
            Standing::Waiting(why) => Some((number, why.as_ref())),
            _ => None,
        })
    }
}

/// An attempt that runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) message: QueueId,
    pub(super) transport: String,
    pub(super) recipients: Vec<u32>,
    /// `None` when the scheduler has been replaced since.
    pub(super) place: Option<Place>,
    pub(super) started: Instant,
}

/// All attempts that run.
pub(super) type Attempts = BTreeMap<AttemptId, Running>;
