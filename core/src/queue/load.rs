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
/// Octets between two frames of a message that are read along: asking twice costs more.
const GAP_MAX: u64 = 16 * 1024;
/// Octets that are read along for one message: there are [`JOBS_MAX`].
const ALONG_MAX: u64 = 64 * 1024;

/// Who wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Why {
    Asked(Ticket),
    Move,
}

/// A range of a segment in which frames of the message lie, and what it holds, when that has been read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Part {
    segment: u64,
    from: u64,
    to: u64,
    octets: Option<Result<Vec<u8>, DiskError>>,
}

impl Part {
    /// Octets between it and a frame behind it.
    fn gap(&self, place: Place) -> Option<u64> {
        let gap = place.offset().checked_sub(self.to)?;
        (self.segment == place.segment() && gap <= GAP_MAX).then_some(gap)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Job {
    why: Why,
    id: QueueId,
    stamp: Stamp,
    /// The frames, with how much of each is wanted and the part in which it lies.
    frames: Vec<(Place, u64, usize)>,
    parts: Vec<Part>,
}

impl Job {
    /// Frames that lie close together are read at once, as long as `along` octets between them do not have to be read for it.
    fn new(
        (why, id, stamp): (Why, QueueId, Stamp),
        reads: impl Iterator<Item = (Place, u64)>,
        mut along: u64,
    ) -> Self {
        let (mut frames, mut parts) = (Vec::new(), Vec::<Part>::new());
        for (place, length) in reads {
            let (segment, from) = (place.segment(), place.offset());
            let near =
                parts.last_mut().and_then(|last| Some((last.gap(place).filter(|gap| *gap < along)?, last)));
            match near {
                Some((gap, last)) => {
                    along -= gap;
                    last.to = from + length;
                }
                None => parts.push(Part { segment, from, to: from + length, octets: None }),
            }
            frames.push((place, length, parts.len() - 1));
        }
        Self { why, id, stamp, frames, parts }
    }

    /// True when what is between its frames may be what can not be read.
    fn may_fail_less(&self) -> bool {
        self.frames.len() > self.parts.len()
            && self.parts.iter().any(|part| part.octets.as_ref().is_some_and(Result::is_err))
    }

    /// What was read of a frame; nothing of one that lies beyond the end of its file.
    fn frame(&self, place: Place, length: u64, part: usize) -> Result<&[u8], String> {
        let missing = || "a part is missing".to_owned();
        let part = self.parts.get(part).ok_or_else(missing)?;
        let octets = part.octets.as_ref().ok_or_else(missing)?;
        let octets = octets.as_ref().map_err(|error| words(error).to_owned())?;
        let behind = octets.get((place.offset() - part.from) as usize..).unwrap_or_default();
        Ok(&behind[..behind.len().min(length as usize)])
    }
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
            self.start_load(why, id, ALONG_MAX);
        }
    }

    fn start_load(&mut self, why: Why, id: QueueId, along: u64) {
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
        let commit = (entry.commit, u64::from(entry.content_at) + content);
        let changes = entry.changes.iter().map(|place| (*place, place.octets()));
        let work = Job::new((why, id, stamp), std::iter::once(commit).chain(changes), along);
        let job = self.loads.next;
        self.loads.next += 1;
        for (part, Part { segment, from, to, .. }) in work.parts.iter().enumerate() {
            let (file, offset, length) = (File::Segment(*segment), *from, to - from);
            self.start(Purpose::Load { job, part }, Op::Read { file, offset, length });
        }
        self.loads.jobs.insert(job, work);
    }

    pub(super) fn load_did(&mut self, number: u64, part: usize, result: Result<Vec<u8>, DiskError>) {
        let Some(job) = self.loads.jobs.get_mut(&number) else {
            return;
        };
        if let Some(part) = job.parts.get_mut(part) {
            part.octets = Some(result);
        }
        if job.parts.iter().any(|part| part.octets.is_none()) {
            return;
        }
        let Some(job) = self.loads.jobs.remove(&number) else {
            return;
        };
        if self.index.stamp(job.id) != Some(job.stamp) {
            self.loads.waiting.push_front((job.why, job.id));
            return;
        }
        if job.may_fail_less() {
            return self.start_load(job.why, job.id, 0);
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
        for (place, length, part) in &job.frames {
            let octets = job.frame(*place, *length, *part)?;
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

#[cfg(test)]
mod tests {
    use super::super::Params;
    use super::super::index::Index;
    use super::*;
    use crate::mail::Change;

    /// How a message's frames at these offsets of one segment, of 512 octets each, are read.
    fn parts(offsets: &[u64], along: u64) -> Vec<(u64, u64)> {
        let mut index = Index::default();
        let id = QueueId(1);
        let message = Box::new(super::super::item::tests::message(id, ContentPlace::Inline, 0));
        index.apply(Place::new(1, 0, 512), 48, &[Change::Commit(message)]);
        let stamp = index.stamp(id).expect("it is there");
        let reads = offsets.iter().map(|offset| (Place::new(1, *offset, 512), 512));
        let job = Job::new((Why::Move, id, stamp), reads, along);
        assert_eq!(job.frames.len(), offsets.len());
        job.parts.iter().map(|part| (part.from, part.to)).collect()
    }

    #[test]
    fn frames_that_lie_close_together_are_read_at_once() {
        assert_eq!(parts(&[1024, 1536, 4096], ALONG_MAX), [(1024, 4608)]);
        let far = 1536 + GAP_MAX;
        assert_eq!(parts(&[1024, far], ALONG_MAX), [(1024, far + 512)]);
        assert_eq!(parts(&[1024, far + 16], ALONG_MAX), [(1024, 1536), (far + 16, far + 528)]);
        assert_eq!(parts(&[4096, 1024], ALONG_MAX), [(4096, 4608), (1024, 1536)], "in their order");
    }

    #[test]
    fn what_is_read_along_is_bounded() {
        let step = 512 + GAP_MAX;
        let offsets: Vec<u64> = (0..9).map(|number| 1024 + number * step).collect();
        let along: u64 = parts(&offsets, ALONG_MAX).iter().map(|(from, to)| to - from).sum();
        assert!(along < 9 * 512 + ALONG_MAX, "{along}");
        assert_eq!(parts(&[1024, 1536], 0).len(), 2, "each alone");
    }

    #[test]
    fn a_read_ends_where_the_last_of_its_frames_ends() {
        let mut log = Log::new(Params::default(), 1);
        let id = QueueId(7);
        let message = Box::new(super::super::item::tests::message(id, ContentPlace::Inline, 300));
        log.index.apply(Place::new(1, 2048, 512), 48, &[Change::Commit(message)]);
        log.index.apply(Place::new(1, 4096, 512), 48, &[Change::Hold(id)]);
        let mut reads = |along| {
            log.start_load(Why::Move, id, along);
            let range = |output| match output {
                Output::Do(_, Op::Read { file: File::Segment(1), offset, length }) => (offset, length),
                _ => panic!("{output:?}"),
            };
            std::iter::from_fn(|| log.outbox.take()).map(range).collect::<Vec<_>>()
        };
        assert_eq!(reads(ALONG_MAX), [(2048, 2560)]);
        assert_eq!(reads(0), [(2048, 348), (4096, 512)], "each alone");
    }
}
