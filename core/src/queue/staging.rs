//! Collecting a content until its message is committed.
//!
//! Up to [`INLINE_CONTENT_MAX`] it stays in memory, in the chunks in which it came, and goes into the log with its message. A larger one is streamed to
//! a file of its own, synced, and its directory synced, before anybody may commit a record that names it. So a slow client or an aborted large message pins nothing in the log.
//!
//! A crash leaves a file that no record names; the next recovery removes it, unless a record may be missing. Begin staging only after the log has said `Numbered`: what is there before is taken for such a file.

use super::frame::checksum_on;
use super::log::refusal;
use super::{DiskError, Done, File, Op, OpId};
use crate::limits::INLINE_CONTENT_MAX;
use crate::machine::{Machine, Outbox};
use crate::mail::{ContentPlace, QueueId, Refusal};
use crate::time::{Instant, Now};

/// Octets that wait to be written before the driver is asked to hold back.
const BACKLOG_MAX: u64 = 256 * 1024;

/// What the driver tells a staging.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StagingInput {
    /// The next octets of the content.
    Octets(Vec<u8>),
    /// That was all.
    Finish,
    /// The content is not wanted, or its commit was refused. After a commit that succeeded the staging is simply dropped.
    Abort,
    /// An operation ended.
    Did {
        /// Which.
        op: OpId,
        /// How.
        result: Result<Done, DiskError>,
    },
}

/// A content that is ready to be committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Staged {
    /// For [`crate::mail::Message::place`].
    pub place: ContentPlace,
    /// For [`crate::mail::Message::stored`].
    pub stored: u64,
    /// For [`crate::mail::Message::checksum`].
    pub checksum: Option<u32>,
    /// For [`super::Input::Append`]; empty if the content has a file of its own.
    pub content: Vec<Vec<u8>>,
}

/// What the driver shall do, or know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StagingOutput {
    /// Carry out an operation and say [`StagingInput::Did`].
    Do(OpId, Op),
    /// After [`StagingInput::Finish`]: it is durable, or in memory and small.
    Staged(Staged),
    /// It can not be stored; said once, possibly before the end. More octets are thrown away.
    Refused(Refusal),
    /// The file could not be removed: the log shall do it ([`super::Input::Forget`]). Said before [`StagingOutput::Gone`].
    Left,
    /// After an abort or a refusal: nothing more is done, the staging can be dropped.
    Gone,
}

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// No file.
    Memory,
    Creating,
    /// A file, and nothing under way.
    Idle,
    Writing,
    Syncing,
    Naming,
    /// Handed over as a file.
    Staged,
    Removing,
    Gone,
}

/// One content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Staging {
    id: QueueId,
    step: Step,
    kept: Vec<Vec<u8>>,
    kept_octets: u64,
    stored: u64,
    written: u64,
    /// CRC-32 of what has been written.
    checksum: u32,
    finished: bool,
    /// Refused or aborted: what remains is to remove the file.
    unwanted: bool,
    outbox: Outbox<StagingOutput>,
    operation: u64,
}

impl Staging {
    /// Nothing yet. A content that becomes large goes to the file of this id, which must be the id of its message.
    #[must_use]
    pub const fn new(id: QueueId) -> Self {
        Self {
            id,
            step: Step::Memory,
            kept: Vec::new(),
            kept_octets: 0,
            stored: 0,
            written: 0,
            checksum: 0,
            finished: false,
            unwanted: false,
            outbox: Outbox::new(),
            operation: 0,
        }
    }

    /// Octets it takes now without keeping too many in memory; at 0 the driver stops reading from the client.
    #[must_use]
    pub const fn room(&self) -> u64 {
        BACKLOG_MAX.saturating_sub(self.kept_octets)
    }

    /// Octets so far.
    #[must_use]
    pub const fn stored(&self) -> u64 {
        self.stored
    }

    fn start(&mut self, step: Step, op: Op) {
        self.step = step;
        self.operation += 1;
        self.outbox.put(StagingOutput::Do(OpId(self.operation), op));
    }

    const fn file(&self) -> File {
        File::Content(self.id)
    }

    fn take(&mut self, octets: Vec<u8>) {
        if self.unwanted || self.finished || octets.is_empty() {
            return;
        }
        self.stored += octets.len() as u64;
        self.kept_octets += octets.len() as u64;
        self.kept.push(octets);
    }

    fn discard(&mut self) {
        self.unwanted = true;
        self.kept.clear();
        self.kept_octets = 0;
        if self.step == Step::Memory {
            self.step = Step::Gone;
            self.outbox.put(StagingOutput::Gone);
        }
    }

    fn did(&mut self, result: Result<Done, DiskError>) {
        if let (Err(error), false, false) = (&result, self.unwanted, self.step == Step::Removing) {
            self.unwanted = true;
            self.kept.clear();
            self.kept_octets = 0;
            self.outbox.put(StagingOutput::Refused(refusal(error)));
        }
        self.step = match (self.step, result) {
            (Step::Creating, Ok(_)) => Step::Idle,
            // A full disk may have left a part of it; after any other error there is no file of ours.
            (Step::Creating, Err(error)) if error != DiskError::Full => return self.gone(),
            (Step::Syncing, Ok(_)) if !self.unwanted => {
                return self.start(Step::Naming, Op::SyncDirectory);
            }
            (Step::Naming, Ok(_)) if !self.unwanted => {
                let staged = Staged {
                    place: ContentPlace::File,
                    stored: self.stored,
                    checksum: Some(self.checksum),
                    content: Vec::new(),
                };
                self.outbox.put(StagingOutput::Staged(staged));
                Step::Staged
            }
            (Step::Removing, Ok(_) | Err(DiskError::Missing)) => return self.gone(),
            (Step::Removing, Err(_)) => {
                self.outbox.put(StagingOutput::Left);
                return self.gone();
            }
            (step @ (Step::Memory | Step::Gone | Step::Staged), _) => step,
            _ => Step::Idle,
        };
    }

    fn gone(&mut self) {
        self.step = Step::Gone;
        self.outbox.put(StagingOutput::Gone);
    }

    fn go_on(&mut self) {
        let file = self.file();
        match self.step {
            Step::Idle | Step::Staged if self.unwanted => self.start(Step::Removing, Op::Unlink(file)),
            Step::Memory if self.kept_octets > INLINE_CONTENT_MAX => {
                self.start(Step::Creating, Op::Create { file, size: 0 });
            }
            Step::Memory if self.finished => {
                let content = std::mem::take(&mut self.kept);
                self.step = Step::Gone;
                let staged =
                    Staged { place: ContentPlace::Inline, stored: self.stored, checksum: None, content };
                self.outbox.put(StagingOutput::Staged(staged));
            }
            Step::Idle if !self.kept.is_empty() => {
                let octets = std::mem::take(&mut self.kept);
                let offset = self.written;
                self.written += self.kept_octets;
                self.kept_octets = 0;
                self.checksum = checksum_on(self.checksum, octets.iter().map(Vec::as_slice));
                self.start(Step::Writing, Op::Write { file, offset, octets });
            }
            Step::Idle if self.finished => self.start(Step::Syncing, Op::Sync(file)),
            _ => {}
        }
    }
}

impl Machine for Staging {
    type Input<'a> = StagingInput;
    type Output = StagingOutput;

    fn handle_input(&mut self, _now: Now, input: StagingInput) {
        self.outbox.assert_drained();
        match input {
            StagingInput::Octets(octets) => self.take(octets),
            StagingInput::Finish => self.finished = true,
            StagingInput::Abort => self.discard(),
            StagingInput::Did { op, result } if op.0 == self.operation => self.did(result),
            StagingInput::Did { .. } => {}
        }
        self.go_on();
    }

    fn handle_timeout(&mut self, _now: Now) {}

    fn poll_output(&mut self) -> Option<StagingOutput> {
        self.outbox.take()
    }

    fn next_timeout(&self) -> Option<Instant> {
        None
    }
}
