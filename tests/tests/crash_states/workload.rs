//! A busy day on the shipped log and staging, with everything that they do to the disk written down.

use crate::explore::{Step, params, start};
use crate::ledger::{Known, Note};
use crate::platter::Platter;
use postrider_core::event::Event;
use postrider_core::limits::INLINE_CONTENT_MAX;
use postrider_core::machine::Machine;
use postrider_core::mail::{
    Change, ContentPlace, Diagnosis, Envelope, Message, Origin, Outcome, Pieces, QueueId, Recipient, Refusal,
    Settlement,
};
use postrider_core::prng::Prng;
use postrider_core::queue::{
    DiskError, File, Input, Log, Op, OpId, Output, Staged, Staging, StagingInput, StagingOutput, Ticket,
};
use postrider_core::time::{Duration, Now};
use postrider_core::wire::{EnhancedStatus, Mailbox};
use std::collections::BTreeMap;

/// Recipients of each message.
pub(crate) const RECIPIENTS: u32 = 3;

/// Whose operation it is.
#[derive(Debug, Clone, Copy)]
enum Who {
    Log,
    Staging(QueueId),
}

/// What an append was for.
#[derive(Debug, Clone, Copy)]
enum Errand {
    Commit(QueueId),
    Settle(QueueId, u32),
    Remove(QueueId),
    Other,
}

/// A content on its way.
struct Arriving {
    staging: Staging,
    message: Box<Message>,
    rest: Vec<Vec<u8>>,
}

/// How much of everything a day has seen.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: usize,
    pub(crate) refused: usize,
    pub(crate) removed: usize,
    pub(crate) large: usize,
    /// Segments that were given up.
    pub(crate) given_up: usize,
    /// Reads that nobody asked for: messages that are written anew.
    pub(crate) moved: usize,
}

/// A day.
pub(crate) struct Day {
    log: Log,
    now: Now,
    prng: Prng,
    platter: Platter,
    pending: Vec<(Who, OpId, Op)>,
    arriving: BTreeMap<QueueId, Arriving>,
    contents: BTreeMap<QueueId, Vec<u8>>,
    errands: BTreeMap<Ticket, Errand>,
    present: Vec<QueueId>,
    ready: bool,
    next: u64,
    /// Of so many writes and syncs one fails; 0 for none.
    failing: u64,
    pub(crate) steps: Vec<Step>,
    pub(crate) counts: Counts,
}

impl Day {
    /// A day of so many steps.
    pub(crate) fn spent(seed: u64, steps: u64, failing: u64) -> Self {
        let mut day = Self {
            log: Log::new(params(), seed),
            now: start(),
            prng: Prng::new(seed),
            platter: Platter::default(),
            pending: Vec::new(),
            arriving: BTreeMap::new(),
            contents: BTreeMap::new(),
            errands: BTreeMap::new(),
            present: Vec::new(),
            ready: false,
            next: 1,
            failing,
            steps: Vec::new(),
            counts: Counts::default(),
        };
        day.tell(Input::Open);
        (0..steps).for_each(|_| day.step());
        day
    }

    fn step(&mut self) {
        if !self.ready {
            return self.carry_out();
        }
        match self.prng.below(24) {
            0..=2 => self.submit(),
            3..=5 => {
                if let Some(id) = self.some() {
                    self.change(id);
                }
            }
            6 => {
                if let Some(id) = self.some() {
                    self.present.retain(|present| *present != id);
                    self.note(Note::Removing(id));
                    self.append(Errand::Remove(id), vec![Change::Remove(id)], Vec::new());
                }
            }
            7 => {
                self.now = self.now.after(Duration::from_millis(self.prng.below(80)));
                self.log.handle_timeout(self.now);
                self.drain();
            }
            8..=12 => self.feed(),
            _ => self.carry_out(),
        }
    }

    fn note(&mut self, note: Note) {
        self.steps.push(Step::Note(note));
    }

    fn some(&mut self) -> Option<QueueId> {
        let count = self.present.len() as u64;
        (count > 0).then(|| self.present[self.prng.below(count) as usize])
    }

    /// Mixed sizes: most small, some larger than a segment, some in files of their own.
    fn size(&mut self) -> u64 {
        match self.prng.below(40) {
            0 | 1 => INLINE_CONTENT_MAX + 1 + self.prng.below(20_000),
            2 => 9_000 + self.prng.below(9_000),
            3..=9 => 600 + self.prng.below(3_000),
            _ => self.prng.below(600),
        }
    }

    fn submit(&mut self) {
        let stored = self.size();
        let id = QueueId(self.next * 0x1000);
        self.next += 1;
        let content: Vec<u8> =
            (0..stored).map(|at| (at as u8).wrapping_mul(31) ^ (id.0 >> 12) as u8).collect();
        let large = stored > INLINE_CONTENT_MAX;
        self.counts.large += usize::from(large);
        let place = if large { ContentPlace::File } else { ContentPlace::Inline };
        let message = Box::new(message(id, stored, place, self.now));
        let rest: Vec<Vec<u8>> = content.chunks(48 * 1024).rev().map(<[u8]>::to_vec).collect();
        self.contents.insert(id, content);
        self.arriving.insert(id, Arriving { staging: Staging::new(id), message, rest });
    }

    /// The next octets of some content, or its end; now and then the client goes away instead.
    fn feed(&mut self) {
        let count = self.arriving.len() as u64;
        if count == 0 {
            return;
        }
        let place = self.prng.below(count) as usize;
        let Some(id) = self.arriving.keys().copied().nth(place) else { return };
        let gone = self.prng.chance(1, 40);
        let Some(arriving) = self.arriving.get_mut(&id) else { return };
        let input = match arriving.rest.pop() {
            _ if gone => StagingInput::Abort,
            Some(octets) => StagingInput::Octets(octets),
            None => StagingInput::Finish,
        };
        self.stage(id, input);
    }

    fn stage(&mut self, id: QueueId, input: StagingInput) {
        let Some(arriving) = self.arriving.get_mut(&id) else { return };
        arriving.staging.handle_input(self.now, input);
        let mut outputs = Vec::new();
        while let Some(output) = arriving.staging.poll_output() {
            outputs.push(output);
        }
        for output in outputs {
            match output {
                StagingOutput::Do(op, what) => self.pending.push((Who::Staging(id), op, what)),
                StagingOutput::Staged(staged) => self.staged(id, staged),
                StagingOutput::Refused(_) => self.note(Note::Refused(id)),
                StagingOutput::Left => self.tell(Input::Forget(id)),
                StagingOutput::Gone => {}
            }
        }
    }

    fn staged(&mut self, id: QueueId, staged: Staged) {
        let Some(arriving) = self.arriving.get(&id) else { return };
        let mut message = arriving.message.clone();
        assert_eq!((message.place, message.stored), (staged.place, staged.stored));
        message.checksum = staged.checksum;
        let content = self.contents.remove(&id).unwrap_or_default();
        self.note(Note::Begun(id, Known::Record(message.clone()), content));
        self.append(Errand::Commit(id), vec![Change::Commit(message)], staged.content);
    }

    fn change(&mut self, id: QueueId) {
        let at = self.now.wall;
        let index = self.prng.below(u64::from(RECIPIENTS)) as u32;
        let (errand, change) = match self.prng.below(6) {
            0 => (Errand::Other, Change::Hold(id)),
            1 => (Errand::Other, Change::Release(id)),
            2 => (Errand::Other, Change::Retry(id, at)),
            3 => {
                self.note(Note::Settling(id, index));
                (Errand::Settle(id, index), settlement(id, index, true, self.now))
            }
            _ => (Errand::Other, settlement(id, index, false, self.now)),
        };
        self.append(errand, vec![change], Vec::new());
    }

    fn append(&mut self, errand: Errand, changes: Vec<Change>, content: Vec<Vec<u8>>) {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.errands.insert(ticket, errand);
        self.tell(Input::Append { ticket, changes, content });
    }

    fn tell(&mut self, input: Input) {
        self.log.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.log.poll_output() {
            match output {
                Output::Do(id, op) => self.pending.push((Who::Log, id, op)),
                Output::Ready => self.ready = true,
                Output::Appended { ticket, result, .. } => self.answered(ticket, result),
                Output::Event(Event::Note { text, .. }) if text.contains("takes mail again") => {
                    self.note(Note::Recovered);
                }
                Output::Event(_) | Output::Numbered { .. } | Output::Recovered(_) | Output::Loaded { .. } => {
                }
            }
        }
    }

    fn answered(&mut self, ticket: Ticket, result: Result<(), Refusal>) {
        match (self.errands.remove(&ticket), result) {
            (Some(Errand::Commit(id)), Ok(())) => {
                self.counts.accepted += 1;
                self.arriving.remove(&id);
                self.present.push(id);
                self.note(Note::Accepted(id));
            }
            (Some(Errand::Commit(id)), Err(_)) => {
                self.counts.refused += 1;
                self.note(Note::Refused(id));
                self.stage(id, StagingInput::Abort);
            }
            (Some(Errand::Settle(id, index)), Ok(())) => self.note(Note::Settled(id, index)),
            (Some(Errand::Remove(id)), Ok(())) => {
                self.counts.removed += 1;
                self.note(Note::Removed(id));
            }
            _ => {}
        }
    }

    /// One of the operations that wait, whichever: a driver is free to choose.
    fn carry_out(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let place = self.prng.below(self.pending.len() as u64) as usize;
        let (who, id, op) = self.pending.swap_remove(place);
        let may_fail = self.ready && matches!(op, Op::Write { .. } | Op::Sync(_));
        let result = if may_fail && self.failing > 0 && self.prng.chance(1, self.failing) {
            self.platter.fail(&op);
            self.steps.push(Step::Failed(op));
            Err(DiskError::Failed("Input/output error".to_owned()))
        } else {
            self.count(&op);
            let result = self.platter.run(&op);
            if result.is_ok() && !matches!(op, Op::List | Op::Read { .. }) {
                self.steps.push(Step::Did(op));
            }
            result
        };
        match who {
            Who::Log => self.tell(Input::Did { op: id, result }),
            Who::Staging(name) => self.stage(name, StagingInput::Did { op: id, result }),
        }
    }

    fn count(&mut self, op: &Op) {
        match op {
            Op::Unlink(File::Segment(_)) => self.counts.given_up += 1,
            Op::Read { .. } if self.ready => self.counts.moved += 1,
            _ => {}
        }
    }
}

/// A message of so many stored octets.
pub(crate) fn message(id: QueueId, stored: u64, place: ContentPlace, now: Now) -> Message {
    let mut pieces = Pieces::default();
    pieces.literal(b"Received: from somewhere\r\n");
    pieces.stored(0, stored);
    let recipients =
        (0..RECIPIENTS).map(|n| Recipient::new(Mailbox::new(&format!("r{n}"), "example.org"))).collect();
    Message {
        id,
        envelope: Envelope { recipients, arrived: now.wall, ..Envelope::default() },
        pieces,
        place,
        stored,
        origin: Origin::Submitted,
        message_id: String::new(),
        hold: false,
        checksum: None,
        unknown: Vec::new(),
    }
}

/// An outcome of one recipient, the last one or a deferral.
pub(crate) fn settlement(id: QueueId, index: u32, last: bool, now: Now) -> Change {
    let outcome = if last {
        Outcome::Failed(Diagnosis::ours(EnhancedStatus::new(5, 1, 1), "no such user"))
    } else {
        Outcome::Deferred(Diagnosis::ours(EnhancedStatus::new(4, 4, 1), "connection refused"))
    };
    let retry_at = Some(now.wall.after(Duration::from_secs(300)));
    Change::Settle(Settlement { id, at: now.wall, outcomes: vec![(index, outcome)], retry_at })
}
