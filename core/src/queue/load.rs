//! Reading a message back: its commit, and the frames that changed it since.
//!
//! Used for those who ask, and for moving a message (then with its content). If the message changed or moved while its frames were read, they are read again.

use super::fold::State;
use super::frame::{FRAME_HEADER, FrameHeader, Seal};
use super::index::{Place, Stamp};
use super::log::{Log, Purpose, words};
use super::record::parse_batch;
use super::{DiskError, File, Op, Output, Ticket};
use crate::mail::{Change, ContentPlace, QueueId};
use std::collections::{BTreeMap, VecDeque};

/// Messages that are read at the same time.
const JOBS_MAX: usize = 64;

/// Who wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Why {
    Asked(Ticket),
    Move,
}

type Part = Option<Result<Vec<u8>, DiskError>>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Job {
    why: Why,
    id: QueueId,
    stamp: Stamp,
    parts: Vec<(Place, Part)>,
}

/// What is being read, and what waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Loads {
    jobs: BTreeMap<u64, Job>,
    waiting: VecDeque<(Why, QueueId)>,
    next: u64,
}

impl Log {
    pub(super) fn load(&mut self, ticket: Ticket, id: QueueId) {
        self.loads.waiting.push_back((Why::Asked(ticket), id));
    }

    pub(super) fn load_to_move(&mut self, id: QueueId) {
        self.loads.waiting.push_back((Why::Move, id));
    }

    pub(super) fn start_loads(&mut self) {
        while self.loads.jobs.len() < JOBS_MAX {
            let Some((why, id)) = self.loads.waiting.pop_front() else {
                return;
            };
            self.start_load(why, id);
        }
    }

    fn start_load(&mut self, why: Why, id: QueueId) {
        let (Some(entry), Some(stamp)) = (self.index.get(id), self.index.stamp(id)) else {
            match why {
                Why::Asked(ticket) => self.outbox.put(Output::Loaded { ticket, loaded: Ok(None) }),
                Why::Move => self.moved(id, 0),
            }
            return;
        };
        let content = match (why, entry.content) {
            (Why::Move, ContentPlace::Inline) => entry.length,
            _ => 0,
        };
        let mut reads = vec![(entry.commit, u64::from(entry.content_at) + content)];
        reads.extend(entry.changes.iter().map(|place| (*place, place.octets())));
        let job = self.loads.next;
        self.loads.next += 1;
        let parts = reads.iter().map(|(place, _)| (*place, None)).collect();
        self.loads.jobs.insert(job, Job { why, id, stamp, parts });
        for (part, (place, length)) in reads.into_iter().enumerate() {
            let file = File::Segment(place.segment());
            self.start(Purpose::Load { job, part }, Op::Read { file, offset: place.offset(), length });
        }
    }

    pub(super) fn load_did(&mut self, number: u64, part: usize, result: Result<Vec<u8>, DiskError>) {
        let Some(job) = self.loads.jobs.get_mut(&number) else {
            return;
        };
        if let Some((_, slot)) = job.parts.get_mut(part) {
            *slot = Some(result);
        }
        if job.parts.iter().any(|(_, part)| part.is_none()) {
            return;
        }
        let Some(job) = self.loads.jobs.remove(&number) else {
            return;
        };
        if self.index.stamp(job.id) != Some(job.stamp) {
            self.loads.waiting.push_front((job.why, job.id));
            return;
        }
        match (self.assemble(&job), job.why) {
            (Ok((state, _)), Why::Asked(ticket)) => {
                let loaded = Ok(Some(Box::new(state.loaded())));
                self.outbox.put(Output::Loaded { ticket, loaded });
            }
            (Ok((state, content)), Why::Move) => self.write_anew(job.id, job.stamp, &state, content),
            (Err(fault), Why::Asked(ticket)) => {
                self.trouble(Some(job.id), format!("it can not be read from the spool: {fault}"));
                self.outbox.put(Output::Loaded { ticket, loaded: Err(fault) });
            }
            (Err(fault), Why::Move) => self.can_not_move(job.id, &fault),
        }
    }

    fn assemble(&self, job: &Job) -> Result<(State, Vec<u8>), String> {
        let mut state: Option<State> = None;
        let mut content = Vec::new();
        for (place, part) in &job.parts {
            let octets = match part {
                Some(Ok(octets)) => octets,
                Some(Err(error)) => return Err(words(error).to_owned()),
                None => return Err("a part is missing".to_owned()),
            };
            let damaged = || format!("damage in segment {} at {}", place.segment(), place.offset());
            let header = self.header_at(*place, octets).ok_or_else(damaged)?;
            let changes = header.changes_of(octets).ok_or_else(damaged)?;
            let changes = parse_batch(changes).map_err(|_| damaged())?;
            for change in changes.into_iter().filter(|change| change.id() == job.id) {
                match (change, &mut state) {
                    (Change::Commit(message), _) => state = Some(State::new(message)),
                    (change, Some(state)) => state.apply(change),
                    // Before its commit, of which recovery takes no notice either. We write no such thing.
                    (_, None) => {}
                }
            }
            if job.why == Why::Move && content.is_empty() && header.commit && header.subject == job.id {
                let (_, octets) = header.split(octets).ok_or_else(damaged)?;
                content = octets.to_vec();
            }
        }
        Ok((state.ok_or("its commit is missing")?, content))
    }

    fn header_at(&self, place: Place, octets: &[u8]) -> Option<FrameHeader> {
        let salt = self.index.segments.get(&place.segment())?.salt;
        let seal = Seal { segment: place.segment(), salt };
        let head = octets.get(..FRAME_HEADER as usize)?;
        FrameHeader::parse(head, seal, place.offset())
    }
}
