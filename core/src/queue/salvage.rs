//! Setting damage aside: a copy of the broken octets in `corrupt/`, for a person, and a loud line in the log.
//!
//! A copy is made once; at the next start it is there and is not made again, only synced, and where that fails written over with its own octets: it may be all
//! that is left. What can not be read or copied stays where it is, and so does every
//! content that no record names: a later start may read it. Until then no space behind it is given back, since what lies there may
//! be about mail in it; where octets could not be read, none at all. A copy that could not be made to its end is shorter than what it is of, and counts for nothing.
//!
//! A content file that no record names is left over from an aborted message, as a rule, and removed. Where records are damaged or cut off, it may be all
//! that is left of one that was accepted: it is set aside, too.

use super::log::{Log, PROGRAM, Purpose, words};
use super::{DiskError, Done, File, Op};
use crate::event::Event;
use crate::mail::QueueId;
use std::collections::{BTreeSet, VecDeque};

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
    /// The copy.
    target: File,
    /// The message that is lost or has lost a change, if that is known.
    subject: Option<QueueId>,
    what: String,
    sources: Vec<Source>,
    step: Step,
    done: u64,
    /// All but the last octet is durable.
    nearly: bool,
    /// It was made at an earlier start.
    is_old: bool,
    /// It is written over with its own octets, so many.
    again: Option<u64>,
}

impl Salvage {
    pub(super) const fn new(
        target: File,
        subject: Option<QueueId>,
        what: String,
        sources: Vec<Source>,
    ) -> Self {
        Self {
            target,
            subject,
            what,
            sources,
            step: Step::Create,
            done: 0,
            nearly: false,
            is_old: false,
            again: None,
        }
    }

    /// Where its octets come from.
    fn parts(&self) -> Vec<Source> {
        let own = self.again.map(|length| vec![Source { file: self.target, offset: 0, length }]);
        own.unwrap_or_else(|| self.sources.clone())
    }

    fn length(&self) -> u64 {
        self.parts().iter().map(|source| source.length).sum()
    }

    /// The next octets to copy. The last one waits until the others are durable: what has its length is whole, whenever the power fails.
    fn next(&self) -> Option<Source> {
        let end = if self.nearly { self.length() } else { self.length().saturating_sub(1) };
        let mut before = 0;
        for source in self.parts() {
            if self.done < before + source.length {
                let skip = self.done - before;
                let length = (source.length - skip).min(CHUNK).min(end.saturating_sub(self.done));
                return (length > 0).then_some(Source { offset: source.offset + skip, length, ..source });
            }
            before += source.length;
        }
        None
    }

    fn op(&self) -> Op {
        match self.step {
            Step::Clear => Op::Unlink(self.target),
            Step::Create => Op::Create { file: self.target, size: 0 },
            Step::Sync => Op::Sync(self.target),
            Step::Read(_) | Step::Write(_) | Step::Name => Op::SyncDirectory,
        }
    }
}

impl Log {
    /// It was set aside at an earlier start.
    fn is_copied(&self, salvage: &Salvage) -> bool {
        self.recovery.corrupt.get(&salvage.target).is_some_and(|size| *size >= salvage.length())
    }

    /// Contents that a damaged record may have named are set aside before that: a record whose copy is whole has lost no content
    /// that is still there, and what nobody names then is left over from an aborted message again. Of a record that was cut off there is
    /// nothing to copy: an empty file says that its content has been looked for.
    pub(super) fn save_orphans(&mut self) {
        for (segment, size) in std::mem::take(&mut self.recovery.cuts) {
            let what = format!("the end of segment {segment} of the spool, which was cut off,");
            let cut = Salvage::new(File::Corrupt(segment, size), None, what, Vec::new());
            self.recovery.salvages.push_back(cut);
        }
        let fresh = || self.recovery.salvages.iter().filter(|salvage| !self.is_copied(salvage));
        let named: BTreeSet<QueueId> = fresh().filter_map(|salvage| salvage.subject).collect();
        // Where damage has no name, any of them may be meant, and also where a copy stands in for what could not be read.
        let any = self.lacks_records() || fresh().any(|salvage| salvage.subject.is_none());
        let with_records: BTreeSet<File> =
            fresh().flat_map(|salvage| &salvage.sources).map(|source| source.file).collect();
        let orphans = self.recovery.contents.iter().filter(|(id, _)| {
            let is_meant = any || named.contains(id);
            is_meant && self.index.get(**id).is_none() && !with_records.contains(&File::Content(**id))
        });
        let orphan = |(id, length): (&QueueId, &u64)| {
            let what = format!("a content of {length} octets that no record names");
            let source = Source { file: File::Content(*id), offset: 0, length: *length };
            Salvage::new(File::Orphan(*id), Some(*id), what, vec![source])
        };
        let salvages: Vec<Salvage> = orphans.map(orphan).collect();
        salvages.into_iter().for_each(|salvage| self.recovery.salvages.push_front(salvage));
    }

    fn can_be_written_again(&self, salvage: &Salvage) -> bool {
        let size = self.recovery.corrupt.get(&salvage.target).copied();
        salvage.is_old && salvage.again.is_none() && size.is_some_and(|size| size > 0)
    }

    /// What an earlier start could not read is there, or something that stands in for it, and may lack any record. While anything can not
    /// be read no content is removed anyway.
    fn lacks_records(&self) -> bool {
        !self.recovery.is_partial && self.recovery.anything_was_unread()
    }

    pub(super) fn next_salvage(&mut self) {
        let Some(mut salvage) = self.recovery.salvages.pop_front() else {
            return self.recovered();
        };
        if self.is_copied(&salvage) {
            let text = format!("{} was found damaged; a copy is set aside already", salvage.what);
            self.event(Event::Warning { program: PROGRAM, id: salvage.subject, text });
            // Whoever made it may have been killed before it was named for good.
            (salvage.done, salvage.step, salvage.is_old) = (salvage.length(), Step::Sync, true);
        } else {
            if self.recovery.corrupt.contains_key(&salvage.target) {
                // A crash came in between.
                salvage.step = Step::Clear;
            }
            self.tell_of(&salvage);
        }
        let op = salvage.op();
        self.recovery.salvage = Some(salvage);
        self.start(Purpose::Recover, op);
    }

    fn tell_of(&mut self, salvage: &Salvage) {
        let path = salvage.target.path();
        let text = match salvage.target {
            File::Orphan(_) => {
                format!("{} is set aside as {path}, because records are damaged", salvage.what)
            }
            _ => format!("{} is damaged; it is set aside as {path}", salvage.what),
        };
        self.trouble(salvage.subject, text);
    }

    pub(super) fn salvage_did(&mut self, result: Result<Done, DiskError>) {
        let Some(mut salvage) = self.recovery.salvage.take() else {
            return;
        };
        if matches!(salvage.step, Step::Name) && result.is_err() {
            self.directory_failed();
        }
        let octets = match (salvage.step, result) {
            (Step::Read(length), Ok(Done::Octets(mut octets)))
                if salvage.again.is_none() || octets.len() as u64 == length =>
            {
                octets.resize(length as usize, 0);
                octets
            }
            (Step::Read(_), _) => return self.salvage_failed(salvage, "parts of it can not be read"),
            // Whoever looked at it has taken it away.
            (Step::Clear, Err(DiskError::Missing)) => Vec::new(),
            (_, Err(DiskError::Missing)) if salvage.is_old => return self.next_salvage(),
            // Nobody knows what of it is durable, and another sync would not tell.
            (Step::Sync | Step::Name, Err(_)) if self.can_be_written_again(&salvage) => {
                let size = self.recovery.corrupt.get(&salvage.target).copied();
                (salvage.done, salvage.nearly, salvage.again) = (0, true, size);
                return self.copy_on(salvage);
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
                let op = Op::Write { file: salvage.target, offset: salvage.done, octets: vec![octets] };
                salvage.step = Step::Write(length);
                self.start(Purpose::Recover, op);
                self.recovery.salvage = Some(salvage);
                return;
            }
            (Step::Create | Step::Write(_), Some(_)) => return self.copy_on(salvage),
            (Step::Create | Step::Write(_), None) => Step::Sync,
            (Step::Sync, _) if !salvage.nearly && salvage.done < salvage.length() => {
                salvage.nearly = true;
                return self.copy_on(salvage);
            }
            (Step::Sync, _) => Step::Name,
            (Step::Name, _) => return self.next_salvage(),
        };
        let op = salvage.op();
        self.recovery.salvage = Some(salvage);
        self.start(Purpose::Recover, op);
    }

    fn copy_on(&mut self, mut salvage: Salvage) {
        if let Some(Source { file, offset, length }) = salvage.next() {
            salvage.step = Step::Read(length);
            self.start(Purpose::Recover, Op::Read { file, offset, length });
            self.recovery.salvage = Some(salvage);
        }
    }

    /// A content could not be set aside: records that may have named it stay as they are, or the next start would find nobody who misses it.
    fn keep_records_of(&mut self, content: QueueId) {
        let may_name = |salvage: &Salvage| salvage.subject.is_none_or(|subject| subject == content);
        let all = std::mem::take(&mut self.recovery.salvages);
        let (kept, rest): (VecDeque<Salvage>, VecDeque<Salvage>) = all
            .into_iter()
            .partition(|salvage| !matches!(salvage.target, File::Orphan(_)) && may_name(salvage));
        self.recovery.salvages = rest;
        for salvage in kept {
            let fault = format!(
                "{} is damaged, and a content that may be its own could not be set aside",
                salvage.what
            );
            if let File::Corrupt(segment, _) = salvage.target {
                self.leave_in_place(segment, salvage.subject, &fault);
            }
        }
        let lowest = self.index.segments.iter().find(|(_, segment)| !segment.was_removed());
        let lowest = lowest.map(|(number, _)| *number);
        if let Some(lowest) = lowest.filter(|_| self.lacks_records()) {
            // With it all that are behind it, and so the one that says that something was not read.
            let fault = format!(
                "the record of a content that could not be set aside may have been in what an earlier start could not read, so that segment {lowest} of the spool can not be given back"
            );
            self.leave_in_place(lowest, None, &fault);
        }
    }

    fn salvage_failed(&mut self, salvage: Salvage, why: &str) {
        // A part of a copy is of use to nobody, and of what failed for want of space it has taken the last.
        let is_ours = matches!(salvage.step, Step::Read(_) | Step::Write(_) | Step::Sync | Step::Name);
        if is_ours && !salvage.is_old {
            self.unlink(salvage.target);
        }
        if let File::Orphan(content) = salvage.target {
            self.keep_records_of(content);
        }
        for source in salvage.sources {
            match source.file {
                File::Segment(segment) => {
                    let fault = format!("{} could not be set aside: {why}", salvage.what);
                    self.leave_in_place(segment, salvage.subject, &fault);
                }
                // Out of the list of contents, so that it is not taken for an orphan.
                File::Content(id) => {
                    self.recovery.contents.remove(&id);
                    let text =
                        format!("{} could not be set aside: {why}: it stays where it is", salvage.what);
                    self.trouble(salvage.subject, text);
                }
                File::Corrupt(..) | File::Orphan(_) => {}
            }
        }
        self.next_salvage();
    }

    /// The disk refuses to read something of this segment.
    pub(super) fn leave_unread(&mut self, segment: u64, subject: Option<QueueId>, fault: &str) {
        self.recovery.is_partial = true;
        self.leave_in_place(segment, subject, fault);
    }

    /// Nothing of this segment is removed by this start or while it runs.
    pub(super) fn leave_in_place(&mut self, segment: u64, subject: Option<QueueId>, fault: &str) {
        if let Some(entry) = self.index.segments.get_mut(&segment) {
            entry.pinned = true;
        }
        let path = File::Segment(segment).path();
        let text = if self.recovery.is_partial {
            format!(
                "{fault}: it stays where it is, and the spool gives no space back; start again when the disk is mended; \
                 where it never will be, put a copy of {path} in its place that has zeros for what can not be read (ddrescue makes one)"
            )
        } else {
            format!(
                "{fault}: {path} stays where it is, and the spool gives no space behind it back; start again when the disk is mended, or has room"
            )
        };
        self.trouble(subject, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_several_places_is_copied_to_the_end_of_each_and_its_last_octet_at_last() {
        let (segment, content) = (File::Segment(1), File::Content(QueueId(7)));
        let sources = vec![
            Source { file: segment, offset: 1_024, length: 100_000 },
            Source { file: content, offset: 0, length: 1_000 },
        ];
        let mut salvage = Salvage::new(File::Corrupt(1, 1_024), None, String::new(), sources);
        let mut pieces = Vec::new();
        for nearly in [false, true] {
            salvage.nearly = nearly;
            while let Some(Source { file, offset, length }) = salvage.next() {
                salvage.done += length;
                pieces.push((file, offset, length));
            }
        }
        let whole = [(segment, 1_024, 65_536), (segment, 66_560, 34_464)];
        assert_eq!(pieces, [whole[0], whole[1], (content, 0, 999), (content, 999, 1)]);
    }
}
