//! The log: the owner of all that lies in the spool.
//!
//! Takes requests, hands out operations, and lets each room of the log go on as far as it can after every stimulus. The rooms: `recovery` (and
//! `salvage`) until ready; then `writer` (group commit), `segments` (fresh ones, and what to do when the disk fails), `load`, `tidy` (giving up and compacting old segments), and `leftovers` (what the disk did not remove at once).
//!
//! Promises: no answer "durable" before the sync that makes it true; no operation depends on another that has not been reported done, so a driver may carry them out in any order; nothing that a disk
//! says makes it panic.

use super::index::Index;
use super::leftovers::Leftovers;
use super::load::Loads;
use super::recovery::Recovery;
use super::segments::Spares;
use super::tidy::Tidy;
use super::writer::Writer;
use super::{DiskError, Done, File, Input, Op, OpId, Output, Ticket, Whereabouts};
use crate::event::Event;
use crate::machine::{Machine, Outbox};
use crate::mail::{QueueId, Refusal};
use crate::params::Settings;
use crate::prng::Prng;
use crate::time::{Instant, Now};
use std::collections::BTreeMap;

/// The program name of the log's events.
pub(super) const PROGRAM: &str = "qmgr";

/// What an operator may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Params {
    /// `spool_segment_size` (ours): octets of a segment.
    pub segment_size: u64,
    /// `spool_reserve` (ours): octets that new mail may not use, so that a full disk can be drained. Kept as whole segments.
    pub reserve: u64,
    /// `queue_message_limit` (ours): messages in the queue at most; new mail beyond is refused.
    pub message_limit: usize,
}

/// The smallest useful segment, in octets; tests use it.
pub const SEGMENT_SIZE_MIN: u64 = 4 * 1024;
/// The largest segment, in octets: what one step of compaction has to move.
pub const SEGMENT_SIZE_MAX: u64 = 1024 * 1024 * 1024;

impl Default for Params {
    fn default() -> Self {
        Self { segment_size: 8 * 1024 * 1024, reserve: 8 * 1024 * 1024, message_limit: usize::MAX }
    }
}

impl Params {
    /// From the configuration.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            segment_size: settings.number("spool_segment_size"),
            reserve: settings.number("spool_reserve"),
            message_limit: match settings.number("queue_message_limit") {
                0 => usize::MAX,
                limit => usize::try_from(limit).unwrap_or(usize::MAX),
            },
        }
    }

    pub(super) fn segment_size(&self) -> u64 {
        let size = self.segment_size.clamp(SEGMENT_SIZE_MIN, SEGMENT_SIZE_MAX);
        size / super::frame::SECTOR * super::frame::SECTOR
    }

    pub(super) fn reserve_segments(&self) -> usize {
        usize::try_from(self.reserve.div_ceil(self.segment_size())).unwrap_or(usize::MAX).min(1024)
    }
}

/// Whose operation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    Recover,
    Batch,
    Open,
    Spare,
    GiveUp,
    Walk {
        segment: u64,
        offset: u64,
    },
    Load {
        job: u64,
        part: usize,
    },
    /// Nobody waits: what stays is tried again, and the next recovery that can read all removes it.
    Forget {
        file: File,
        again: bool,
    },
}

/// Where the log is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    New,
    Recovering,
    /// Recovered messages are handed out one a poll, so that a million of them are not a million outputs at once.
    Announcing,
    Running,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Log {
    pub(super) params: Params,
    pub(super) prng: Prng,
    pub(super) now: Now,
    pub(super) outbox: Outbox<Output>,
    pub(super) phase: Phase,
    pub(super) index: Index,
    /// The highest id ever seen.
    pub(super) highest: QueueId,
    /// How many times the spool has been opened: a second owner would claim a higher one.
    pub(super) epoch: u64,
    pub(super) next_segment: u64,
    pub(super) recovery: Recovery,
    pub(super) writer: Writer,
    pub(super) spares: Spares,
    pub(super) loads: Loads,
    pub(super) tidy: Tidy,
    pub(super) leftovers: Leftovers,
    /// New mail was refused because there are enough messages, and that has been told.
    pub(super) is_crowded: bool,
    operations: BTreeMap<OpId, Purpose>,
    next_operation: u64,
}

impl Log {
    /// A log that has read nothing yet. `seed` must be hard to guess: segments are salted with it, so that no content of a message passes for a frame.
    #[must_use]
    pub fn new(params: Params, seed: u64) -> Self {
        Self {
            params,
            prng: Prng::new(seed),
            now: Now::default(),
            outbox: Outbox::new(),
            phase: Phase::New,
            index: Index::default(),
            highest: QueueId::default(),
            epoch: 0,
            next_segment: 1,
            recovery: Recovery::default(),
            writer: Writer::default(),
            spares: Spares::default(),
            loads: Loads::default(),
            tidy: Tidy::default(),
            leftovers: Leftovers::default(),
            is_crowded: false,
            operations: BTreeMap::new(),
            next_operation: 0,
        }
    }

    /// How many octets of appends the log wants to be given now; at 0 the driver lets its askers wait.
    #[must_use]
    pub fn room(&self) -> u64 {
        if matches!(self.phase, Phase::Running) { self.writer.room() } else { 0 }
    }

    /// For how many messages more the log holds back what it was given, until [`Machine::next_timeout`] at most; until then it need not be
    /// told of fewer. 0: it holds nothing back.
    #[must_use]
    pub fn missing(&self, now: Now) -> usize {
        self.writer.missing(now.mono)
    }

    /// Where the stored octets of a message are at this moment. Compaction moves them: ask again for each chunk, and
    /// if the file is missing, ask and read once more. `None`: it is gone.
    #[must_use]
    pub fn whereabouts(&self, id: QueueId) -> Option<Whereabouts> {
        self.index.whereabouts(id)
    }

    /// True when nothing is on its way to the disk, and the log itself says that all before is durable, as far as it can: what breaks from
    /// here on is told from the torn end of a batch.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.operations.is_empty() && self.writer.is_settled() && self.writer.timeout().is_none()
    }

    /// How many messages there are.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.index.len()
    }

    /// How many times the spool has been opened.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Octets on disk that count, and octets of all segments, those kept ready among them.
    #[must_use]
    pub fn usage(&self) -> (u64, u64) {
        (self.index.living, self.index.octets() + self.spares.octets())
    }

    pub(super) fn start(&mut self, purpose: Purpose, op: Op) {
        if purpose == Purpose::Recover {
            self.remember_read(&op);
        }
        let id = OpId(self.next_operation);
        self.next_operation += 1;
        self.operations.insert(id, purpose);
        self.outbox.put(Output::Do(id, op));
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outbox.put(Output::Event(event));
    }

    pub(super) fn trouble(&mut self, id: Option<QueueId>, text: String) {
        self.event(Event::Trouble { program: PROGRAM, id, text });
    }

    pub(super) fn answer(&mut self, ticket: Option<Ticket>, result: Result<(), Refusal>) {
        if let Some(ticket) = ticket {
            self.outbox.put(Output::Appended { ticket, result, committed: None });
        }
    }

    /// For the operator: a start over a large queue takes its time.
    fn tell_what_was_read(&mut self) {
        let took = self.now.mono.since(self.recovery.began).as_millis();
        let segments = self.index.segments.values().filter(|segment| !segment.was_removed()).count();
        let messages = self.index.len();
        let text = format!(
            "the queue has been read: {messages} messages in {segments} segments, in {}.{:03} s",
            took / 1_000,
            took % 1_000
        );
        self.event(Event::Note { program: PROGRAM, text });
    }

    fn did(&mut self, op: OpId, result: Result<Done, DiskError>) {
        match self.operations.remove(&op) {
            None => {}
            Some(Purpose::Forget { file, again }) => self.forget_did(file, again, nothing(result)),
            Some(Purpose::Recover) => self.recovery_did(result),
            Some(Purpose::Batch) => self.batch_did(nothing(result)),
            Some(Purpose::Open) => self.opening_did(&nothing(result)),
            Some(Purpose::Spare) => self.spare_did(nothing(result)),
            Some(Purpose::GiveUp) => self.give_up_did(nothing(result)),
            Some(Purpose::Walk { segment, offset }) => self.walk_did(segment, offset, octets(result)),
            Some(Purpose::Load { job, part }) => self.load_did(job, part, octets(result)),
        }
    }

    /// True when recovery is over.
    const fn is_read(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Announcing)
    }

    /// Lets every room go on as far as it can.
    fn go_on(&mut self) {
        if self.is_read() {
            self.make_spares();
            self.open_fresh();
            self.tidy_up();
            self.start_loads();
            // Where mail never ceases to come, between a sync and the next write is the only moment in which all is durable.
            self.give_up();
            self.write_on();
            self.give_up();
            self.remove_leftovers();
        }
    }
}

fn unexpected<T>() -> Result<T, DiskError> {
    Err(DiskError::Failed("the driver answered another operation than it was asked for".to_owned()))
}

/// Of an operation that has nothing to say but that it went well.
fn nothing(result: Result<Done, DiskError>) -> Result<(), DiskError> {
    match result? {
        Done::Nothing => Ok(()),
        Done::Files(_) | Done::Octets(_) => unexpected(),
    }
}

/// Of a Read.
pub(super) fn octets(result: Result<Done, DiskError>) -> Result<Vec<u8>, DiskError> {
    match result? {
        Done::Octets(octets) => Ok(octets),
        Done::Files(_) | Done::Nothing => unexpected(),
    }
}

/// What a failed operation means for who wanted mail stored.
pub(super) const fn refusal(error: &DiskError) -> Refusal {
    match error {
        DiskError::Full => Refusal::Full,
        DiskError::Missing | DiskError::Failed(_) => Refusal::Broken,
    }
}

/// For people.
pub(super) fn words(error: &DiskError) -> &str {
    match error {
        DiskError::Full => "no space left",
        DiskError::Missing => "no such file",
        DiskError::Failed(text) => text,
    }
}

impl Machine for Log {
    type Input<'a> = Input;
    type Output = Output;

    fn handle_input(&mut self, now: Now, input: Input) {
        self.outbox.assert_drained();
        self.now = now;
        match input {
            Input::Open => self.open(),
            Input::Append { ticket, changes, content } => self.append(ticket, changes, content),
            Input::Load { ticket, id } => self.load(ticket, id),
            Input::Did { op, result } => self.did(op, result),
            Input::Forget(id) if self.index.get(id).is_none() => self.unlink(File::Content(id)),
            Input::Forget(_) => {}
        }
        self.go_on();
    }

    fn handle_timeout(&mut self, now: Now) {
        self.outbox.assert_drained();
        self.now = now;
        if matches!(self.phase, Phase::Recovering) {
            self.recovery_timeout();
        }
        self.go_on();
    }

    fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outbox.take() {
            return Some(output);
        }
        if !matches!(self.phase, Phase::Announcing) || !self.is_settled_about_mail() {
            return None;
        }
        Some(match self.recovery.next_summary() {
            Some(summary) => Output::Recovered(summary),
            None => {
                self.phase = Phase::Running;
                self.tell_what_was_read();
                Output::Ready
            }
        })
    }

    fn next_timeout(&self) -> Option<Instant> {
        // Until there is a queue nothing of it is put in order.
        let leftovers = self.leftovers.timeout().filter(|_| self.is_read());
        let times =
            [self.recovery.timeout(), self.writer.timeout(), self.spares.timeout(), self.tidy.timeout()];
        times.into_iter().chain([leftovers]).flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(segment_size: u64) -> Params {
        Params { segment_size, ..Params::default() }
    }

    #[test]
    fn a_segment_has_whole_sectors_within_its_bounds() {
        for (set, used) in [
            (0, 4_096),
            (4_096, 4_096),
            (5_000, 4_608),
            (8_388_608, 8_388_608),
            (1 << 30, 1 << 30),
            (u64::MAX, 1 << 30),
        ] {
            assert_eq!(sized(set).segment_size(), used, "{set}");
        }
    }

    #[test]
    fn the_reserve_is_kept_as_whole_segments() {
        let segments = |reserve| Params { reserve, ..sized(16 * 1024) }.reserve_segments();
        assert_eq!([0, 1, 16 * 1024, 16 * 1024 + 1].map(segments), [0, 1, 1, 2]);
        assert_eq!(segments(u64::MAX), 1_024, "however much is asked for");
    }

    #[test]
    fn an_answer_to_another_operation_than_was_asked_for_is_a_failure() {
        let octets_of = |done| octets(Ok(done)).is_ok();
        assert_eq!(
            [Done::Nothing, Done::Files(Vec::new()), Done::Octets(Vec::new())].map(octets_of),
            [false, false, true]
        );
        let nothing_of = |done| nothing(Ok(done)).is_ok();
        assert_eq!(
            [Done::Nothing, Done::Files(Vec::new()), Done::Octets(Vec::new())].map(nothing_of),
            [true, false, false]
        );
        assert_eq!(
            (octets(Err(DiskError::Full)), nothing(Err(DiskError::Missing))),
            (Err(DiskError::Full), Err(DiskError::Missing))
        );
    }

    #[test]
    fn a_log_that_has_not_been_read_wants_nothing_and_a_running_one_so_many_octets() {
        let mut log = Log::new(Params::default(), 1);
        assert_eq!(log.room(), 0);
        log.phase = Phase::Running;
        assert_eq!(log.room(), 16 * 1024 * 1024);
    }
}
