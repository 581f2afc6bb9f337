//! What memory knows of each message: where its frames are.
//!
//! About 100 octets a message, 12 more for each frame that changed it since. Folding, contents and reasons stay on disk.
//!
//! Promise: the oldest segment in which a message has a frame is the one of its commit, so that segments can be given up
//! oldest first as soon as no commit in them counts. A removal is never given up before the commit that it removes.

use super::File;
use super::Whereabouts;
use super::frame::{ALIGN, FrameHeader, SEGMENT_HEADER};
use crate::mail::{Change, ContentPlace, QueueId};
use std::collections::BTreeMap;

/// Frames that change one message before it is written anew with all of them folded: bounds the memory and the reads of a
/// message that is deferred for days.
pub(super) const CHANGES_MAX: usize = 8;
/// A mailing to many has more such frames, one for so many octets of its commit: writing it anew costs its commit, and a thousand attempts must
/// not write it a hundred times.
const COMMIT_PER_CHANGE: u64 = 4 * 1024;

/// Where a frame is. Narrow on purpose: there are millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    segment: u32,
    unit: u32,
    octets: u32,
}

impl Place {
    /// Segments are numbered and sized so that these fit: 32 bits of number, [`super::SEGMENT_SIZE_MAX`] of offset.
    pub(super) fn new(segment: u64, offset: u64, octets: u32) -> Self {
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self { segment: narrow(segment), unit: narrow(offset / ALIGN), octets }
    }

    pub(super) const fn segment(&self) -> u64 {
        self.segment as u64
    }

    pub(super) const fn offset(&self) -> u64 {
        self.unit as u64 * ALIGN
    }

    pub(super) const fn octets(&self) -> u64 {
        self.octets as u64
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) commit: Place,
    /// The content's start in the commit's frame.
    pub(super) content_at: u32,
    pub(super) content: ContentPlace,
    /// Octets of the stored content.
    pub(super) length: u64,
    pub(super) changes: Box<[Place]>,
}

impl Entry {
    fn octets(&self) -> u64 {
        self.commit.octets() + self.changes.iter().map(Place::octets).sum::<u64>()
    }
}

/// Says whether a message has changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stamp(Place, Option<Place>);

/// A segment that holds frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Segment {
    /// Octets of the file; 0 of one that is void, and was removed when that was read.
    pub(super) size: u64,
    /// Where its frames end.
    pub(super) end: u64,
    pub(super) salt: u64,
    /// Messages whose commit in it counts.
    pub(super) commits: u64,
    /// It holds what could not be read or set aside: it is kept for a person.
    pub(super) pinned: bool,
}

impl Segment {
    /// It is only in line: its file has been removed, and its name must not come back.
    pub(super) const fn was_removed(&self) -> bool {
        self.size == 0
    }

    /// Octets of which moving its messages gives back those that do not count: its frames, and its end if more is unused there than a frame that did not fit explains.
    pub(super) const fn reusable(&self) -> u64 {
        let end = if self.size.saturating_sub(self.end) > self.size / 4 { self.size } else { self.end };
        end.saturating_sub(SEGMENT_HEADER)
    }
}

/// What applying a frame asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Consequences {
    /// Content files of messages that are gone.
    pub(super) unlink: Vec<QueueId>,
    /// Messages with too many changes.
    pub(super) fold: Vec<QueueId>,
}

/// All messages and segments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Index {
    entries: BTreeMap<QueueId, Entry>,
    pub(super) segments: BTreeMap<u64, Segment>,
    /// Octets of all segments.
    octets: u64,
    /// Octets of the frames that count; one that changes two messages counts for each.
    pub(super) living: u64,
    /// Octets of frames that have ceased to count since the start.
    pub(super) dead: u64,
}

impl Index {
    pub(super) fn add_segment(&mut self, number: u64, segment: Segment) {
        self.remove_segment(number);
        self.octets = self.octets.saturating_add(segment.size);
        self.segments.insert(number, segment);
    }

    pub(super) fn remove_segment(&mut self, number: u64) {
        if let Some(segment) = self.segments.remove(&number) {
            self.octets = self.octets.saturating_sub(segment.size);
        }
    }

    /// Octets of all segments.
    pub(super) const fn octets(&self) -> u64 {
        self.octets
    }

    pub(super) fn get(&self, id: QueueId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (QueueId, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn stamp(&self, id: QueueId) -> Option<Stamp> {
        self.entries.get(&id).map(|entry| Stamp(entry.commit, entry.changes.last().copied()))
    }

    pub(super) fn whereabouts(&self, id: QueueId) -> Option<Whereabouts> {
        let entry = self.entries.get(&id)?;
        Some(match entry.content {
            ContentPlace::File => Whereabouts { file: File::Content(id), offset: 0, length: entry.length },
            ContentPlace::Inline => Whereabouts {
                file: File::Segment(entry.commit.segment()),
                offset: entry.commit.offset() + u64::from(entry.content_at),
                length: entry.length,
            },
        })
    }

    /// Takes the changes of a frame in.
    pub(super) fn apply(&mut self, place: Place, content_at: u64, changes: &[Change]) -> Consequences {
        let mut consequences = Consequences::default();
        for change in changes {
            match change {
                Change::Commit(message) => {
                    self.forget(message.id);
                    self.insert(
                        message.id,
                        Entry {
                            commit: place,
                            content_at: u32::try_from(content_at).unwrap_or(u32::MAX),
                            content: message.place,
                            length: message.stored,
                            changes: Box::default(),
                        },
                    );
                }
                Change::Remove(id) => {
                    self.dead = self.dead.saturating_add(place.octets());
                    if self.forget(*id).is_some_and(|entry| entry.content == ContentPlace::File) {
                        consequences.unlink.push(*id);
                    }
                }
                other => {
                    if self.note(other.id(), place) {
                        consequences.fold.push(other.id());
                    }
                }
            }
        }
        consequences
    }

    fn insert(&mut self, id: QueueId, entry: Entry) {
        self.living += entry.octets();
        if let Some(segment) = self.segments.get_mut(&entry.commit.segment()) {
            segment.commits += 1;
        }
        self.entries.insert(id, entry);
    }

    /// Forgets a message.
    pub(super) fn forget(&mut self, id: QueueId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.living = self.living.saturating_sub(entry.octets());
        self.dead = self.dead.saturating_add(entry.octets());
        if let Some(segment) = self.segments.get_mut(&entry.commit.segment()) {
            segment.commits = segment.commits.saturating_sub(1);
        }
        Some(entry)
    }

    /// Notes that a frame changed a message; true when too many did.
    fn note(&mut self, id: QueueId, place: Place) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        if entry.commit != place && entry.changes.last() != Some(&place) {
            let mut changes = std::mem::take(&mut entry.changes).into_vec();
            changes.reserve_exact(1);
            changes.push(place);
            entry.changes = changes.into_boxed_slice();
            self.living += place.octets();
        }
        let most = entry.commit.octets() / COMMIT_PER_CHANGE;
        entry.changes.len() > CHANGES_MAX.max(usize::try_from(most).unwrap_or(usize::MAX))
    }

    /// Forgets a frame that turned out not to be durable; what it said has been written again.
    pub(super) fn retract(&mut self, id: QueueId, place: Place) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let changes: Vec<Place> = entry.changes.iter().copied().filter(|known| *known != place).collect();
        let gone = entry.changes.len() - changes.len();
        self.living = self.living.saturating_sub(place.octets() * gone as u64);
        entry.changes = changes.into_boxed_slice();
    }

    /// True when this frame is the commit that counts of its subject.
    pub(super) fn counts(&self, header: &FrameHeader, segment: u64, offset: u64) -> bool {
        header.commit
            && self
                .get(header.subject)
                .is_some_and(|entry| entry.commit.segment() == segment && entry.commit.offset() == offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailing_to_many_is_not_written_anew_after_every_few_attempts() {
        let mut index = Index::default();
        let id = QueueId(1);
        let entry = |octets| Entry {
            commit: Place::new(1, 1024, octets),
            content_at: 0,
            content: ContentPlace::Inline,
            length: 0,
            changes: Box::default(),
        };
        let folds = |index: &mut Index| {
            let places = (1..).map(|number| Place::new(2, number * ALIGN, 64));
            places.take(1_000).take_while(|place| !index.note(id, *place)).count()
        };
        index.insert(id, entry(4_000));
        assert_eq!(folds(&mut index), CHANGES_MAX);
        index.insert(id, entry(2_000_000));
        assert_eq!(folds(&mut index), 488, "one for each 4096 octets of its commit");
    }

    fn entry(segment: u64, offset: u64, octets: u32) -> Entry {
        Entry {
            commit: Place::new(segment, offset, octets),
            content_at: 48,
            content: ContentPlace::Inline,
            length: 7,
            changes: Box::default(),
        }
    }

    fn segment(size: u64, end: u64) -> Segment {
        Segment { size, end, salt: 0, commits: 0, pinned: false }
    }

    #[test]
    fn what_counts_and_what_has_died_is_known_to_the_octet() {
        let mut index = Index::default();
        index.add_segment(1, segment(8192, 4096));
        let (one, two) = (QueueId(1), QueueId(2));
        index.insert(one, entry(1, 1024, 512));
        index.insert(two, entry(1, 1536, 1024));
        assert_eq!((index.living, index.dead, index.segments[&1].commits), (1_536, 0, 2));
        // One frame counts once for each message that it changes, and not for one that it commits.
        let frame = Place::new(2, 1024, 64);
        index.apply(frame, 0, &[Change::Hold(one), Change::Release(one), Change::Hold(two)]);
        index.apply(Place::new(1, 1024, 512), 0, &[Change::Hold(one)]);
        assert_eq!((index.living, index.dead), (1_536 + 2 * 64, 0));
        index.apply(Place::new(2, 1088, 80), 0, &[Change::Hold(one)]);
        index.retract(one, frame);
        assert_eq!(index.living, 1_536 + 64 + 80, "that frame of this message, and nothing else");
        index.retract(one, frame);
        assert_eq!(index.living, 1_536 + 64 + 80, "once");
        index.apply(Place::new(2, 2048, 48), 0, &[Change::Remove(two)]);
        assert_eq!((index.living, index.dead), (512 + 80, 1_024 + 64 + 48), "the removal counts for nobody");
        assert_eq!((index.segments[&1].commits, index.len()), (1, 1));
    }

    #[test]
    fn the_sizes_of_segments_add_up() {
        let mut index = Index::default();
        index.add_segment(1, segment(8192, 4096));
        index.add_segment(2, segment(4096, 4096));
        index.add_segment(2, segment(2048, 2048));
        assert_eq!(index.octets(), 8192 + 2048, "one that is met again counts once");
        index.remove_segment(1);
        index.remove_segment(1);
        assert_eq!(index.octets(), 2048);
    }

    #[test]
    fn an_end_that_is_not_used_is_given_back_when_it_is_more_than_a_frame_that_did_not_fit() {
        assert_eq!(segment(8192, 6144).reusable(), 6144 - 1024, "a quarter is left");
        assert_eq!(segment(8192, 6143).reusable(), 8192 - 1024, "more than a quarter");
        assert_eq!(segment(8192, 0).reusable(), 8192 - 1024);
        assert_eq!(segment(512, 512).reusable(), 0);
    }

    #[test]
    fn a_message_that_has_changed_or_moved_has_another_stamp() {
        let mut index = Index::default();
        index.insert(QueueId(1), entry(1, 1024, 512));
        let first = index.stamp(QueueId(1)).expect("it is there");
        index.apply(Place::new(1, 2048, 64), 0, &[Change::Hold(QueueId(1))]);
        let second = index.stamp(QueueId(1)).expect("it is there");
        index.insert(QueueId(1), entry(2, 1024, 512));
        assert!(first != second && index.stamp(QueueId(1)) != Some(first));
        assert_eq!(index.stamp(QueueId(2)), None);
    }

    #[test]
    fn only_the_last_commit_of_a_message_counts() {
        let mut index = Index::default();
        index.insert(QueueId(1), entry(1, 1024, 512));
        let header = FrameHeader {
            total: 512,
            changes: 0,
            content: 0,
            changes_crc: 0,
            content_crc: 0,
            synced_through: 0,
            subject: QueueId(1),
            commit: true,
        };
        assert!(index.counts(&header, 1, 1024));
        assert!(!index.counts(&header, 2, 1024) && !index.counts(&header, 1, 1040), "another place");
        assert!(!index.counts(&FrameHeader { commit: false, ..header }, 1, 1024), "no commit");
        assert!(!index.counts(&FrameHeader { subject: QueueId(2), ..header }, 1, 1024), "nobody's");
    }

    #[test]
    fn a_message_takes_few_octets_of_memory() {
        // A B-tree of ascending keys is a little more than half full.
        assert!(std::mem::size_of::<(QueueId, Entry)>() <= 64);
        assert!(std::mem::size_of::<Place>() == 12);
    }
}
