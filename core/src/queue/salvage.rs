//! Setting damage aside: a copy of the broken octets in `corrupt/`, for a person, and a loud line in the log.
//!
//! A copy is made once; at the next start it is there and is not made again. What can not be copied stays where it is: its
//! segment is never given up, its content file never removed.

use super::log::{Log, PROGRAM, Purpose, words};
use super::{DiskError, Done, File, Op};
use crate::event::Event;
use crate::mail::QueueId;

/// Octets copied at once.
const CHUNK: u64 = 64 * 1024;

/// Octets of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) file: File,
    pub(super) offset: u64,
    pub(super) length: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Clear,
    Create,
    Read(u64),
    Write(u64),
    Sync,
    Name,
}

/// Damage to be set aside.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Salvage {
    /// Segment and offset.
    place: (u64, u64),
    /// The message that is lost or has lost a change, if that is known.
    subject: Option<QueueId>,
    what: String,
    sources: Vec<Source>,
    step: Step,
    done: u64,
    unreadable: bool,
}

impl Salvage {
    pub(super) const fn new(
        place: (u64, u64),
        subject: Option<QueueId>,
        what: String,
        sources: Vec<Source>,
    ) -> Self {
        Self { place, subject, what, sources, step: Step::Create, done: 0, unreadable: false }
    }

    const fn file(&self) -> File {
        File::Corrupt(self.place.0, self.place.1)
    }

    fn length(&self) -> u64 {
        self.sources.iter().map(|source| source.length).sum()
    }

    /// The next octets to copy.
    fn next(&self) -> Option<Source> {
        let mut before = 0;
        for source in &self.sources {
            if self.done < before + source.length {
                let skip = self.done - before;
                let length = (source.length - skip).min(CHUNK);
                return Some(Source { offset: source.offset + skip, length, ..*source });
            }
            before += source.length;
        }
        None
    }

    fn op(&self) -> Op {
        match self.step {
            Step::Clear => Op::Unlink(self.file()),
            Step::Create => Op::Create { file: self.file(), size: 0 },
            Step::Sync => Op::Sync(self.file()),
            Step::Read(_) | Step::Write(_) | Step::Name => Op::SyncDirectory,
        }
    }
}

impl Log {
    pub(super) fn next_salvage(&mut self) {
        let mut salvage = loop {
            let Some(salvage) = self.recovery.salvages.pop_front() else {
                return self.recovered();
            };
            let copied = self.recovery.corrupt.get(&salvage.place).copied();
            if copied.is_none_or(|size| size < salvage.length()) {
                break salvage;
            }
            let text = format!("{} was found damaged; a copy is set aside already", salvage.what);
            self.event(Event::Warning { program: PROGRAM, id: salvage.subject, text });
        };
        if self.recovery.corrupt.contains_key(&salvage.place) {
            // A crash came in between.
            salvage.step = Step::Clear;
        }
        let file = salvage.file();
        let text = format!("{} is damaged; it is set aside as {}", salvage.what, file.path());
        self.trouble(salvage.subject, text);
        let op = salvage.op();
        self.recovery.salvage = Some(salvage);
        self.start(Purpose::Recover, op);
    }

    pub(super) fn salvage_did(&mut self, result: Result<Done, DiskError>) {
        let Some(mut salvage) = self.recovery.salvage.take() else {
            return;
        };
        let octets = match (salvage.step, result) {
            (Step::Read(length), Ok(Done::Octets(mut octets))) => {
                octets.resize(length as usize, 0);
                octets
            }
            (Step::Read(length), _) => {
                salvage.unreadable = true;
                vec![0; length as usize]
            }
            (_, Err(error)) => return self.salvage_failed(salvage, words(&error)),
            (_, Ok(_)) => Vec::new(),
        };
        if let Step::Write(length) = salvage.step {
            salvage.done += length;
        }
        salvage.step = match (salvage.step, salvage.next()) {
            (Step::Clear, _) => Step::Create,
            (Step::Read(length), _) => {
                let op = Op::Write { file: salvage.file(), offset: salvage.done, octets: vec![octets] };
                salvage.step = Step::Write(length);
                self.start(Purpose::Recover, op);
                self.recovery.salvage = Some(salvage);
                return;
            }
            (Step::Create | Step::Write(_), Some(Source { file, offset, length })) => {
                salvage.step = Step::Read(length);
                self.start(Purpose::Recover, Op::Read { file, offset, length });
                self.recovery.salvage = Some(salvage);
                return;
            }
            (Step::Create | Step::Write(_), None) => Step::Sync,
            (Step::Sync, _) => Step::Name,
            (Step::Name, _) => return self.salvaged(salvage),
        };
        let op = salvage.op();
        self.recovery.salvage = Some(salvage);
        self.start(Purpose::Recover, op);
    }

    fn salvaged(&mut self, salvage: Salvage) {
        if salvage.unreadable {
            return self.salvage_failed(salvage, "parts of it can not be read");
        }
        self.next_salvage();
    }

    fn salvage_failed(&mut self, salvage: Salvage, why: &str) {
        let text = format!("{} could not be set aside: {why}: it stays where it is", salvage.what);
        self.trouble(salvage.subject, text);
        for source in salvage.sources {
            match source.file {
                File::Segment(segment) => {
                    if let Some(entry) = self.index.segments.get_mut(&segment) {
                        entry.pinned = true;
                    }
                }
                // Out of the list of contents, so that it is not taken for an orphan.
                File::Content(id) => _ = self.recovery.contents.remove(&id),
                File::Corrupt(..) => {}
            }
        }
        self.next_salvage();
    }
}
