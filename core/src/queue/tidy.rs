//! Giving up old segments, oldest first, and compacting them by writing their living messages anew.
//!
//! Oldest first, because a removal must outlive the commit that it removes, and every segment but the oldest may hold such. One at a time, and the directory synced in between: a crash may
//! bring a name back, and it must not bring back a commit whose removal is gone.
//!
//! Bound: when nothing is left to do, segments take less than twice the living octets plus four segments (the reserve beside them). Each write carries at most a little
//! moved mail, so that compaction never holds up mail, and mail never holds up compaction.
//!
//! A segment that can not be read or removed is tried again after 1 s, 2 s, … 60 s, each failure told once: nothing behind it can be given back
//! meanwhile, so one failed read must not be the last. What recovery could not set aside stays for a person.

use super::fold::State;
use super::frame::{SECTOR, SEGMENT_HEADER};
use super::index::{Consequences, Segment, Stamp};
use super::item::{Item, Kind, fault};
use super::log::{Log, Purpose, words};
use super::segments::longer;
use super::walk::{Depth, Step, Walk};
use super::{DiskError, File, Op};
use crate::mail::QueueId;
use crate::time::{Duration, Instant};
use std::collections::{BTreeSet, VecDeque};

/// Messages that are on the move at the same time.
const MOVING_MAX: usize = 32;

/// Until moving is tried again after there was no room for it.
const REST: Duration = Duration::from_secs(1);

/// A segment with which something failed that will be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PutOff {
    segment: u64,
    pause: Duration,
    /// When it is tried again; `None` once that has begun.
    until: Option<Instant>,
}

impl PutOff {
    /// Once more: the pause grows with each failure of the same segment.
    fn after(before: Option<Self>, segment: u64, now: Instant) -> Self {
        let before = before.filter(|before| before.segment == segment);
        let pause = longer(before.map_or(Duration::ZERO, |before| before.pause));
        Self { segment, pause, until: Some(now.after(pause)) }
    }
}

/// True while a segment waits to be tried again.
fn is_put_off(what: Option<PutOff>, segment: u64) -> bool {
    what.is_some_and(|what| what.segment == segment && what.until.is_some())
}

/// A segment that is being emptied.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Emptying {
    segment: u64,
    /// Finds the commits in it; None when all have been found.
    walk: Option<Walk>,
    /// What is being read.
    reading: Option<(u64, u64)>,
    found: VecDeque<QueueId>,
    /// Octets that were written anew.
    moved: u64,
}

/// What is being tidied.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Tidy {
    emptying: Option<Emptying>,
    /// Messages that are read or written anew.
    moving: BTreeSet<QueueId>,
    /// Messages that have collected too many changes.
    fold: BTreeSet<QueueId>,
    /// The segment whose name is being removed, and whether that is being made durable.
    giving_up: Option<(u64, bool)>,
    /// It can not be known whether names that were removed stay removed, until a segment after this one is durable and says so.
    blocked: Option<u64>,
    /// A sync of the directory has failed: names that were removed before it may come back, also if a later one works.
    in_doubt: bool,
    /// Until when nothing is moved, because there was no room for it.
    rest_until: Option<Instant>,
    /// Something in it could not be read, so it was not emptied.
    unread: Option<PutOff>,
    /// It is empty, and could not be removed.
    unremoved: Option<PutOff>,
    /// Octets of closed segments, and of all frames that had died, after a lap that gained too little: it is not repeated until more has died.
    futile: Option<(u64, u64)>,
    /// The last segment of this lap, and the octets that it has freed so far, less those that it has used up.
    lap: Option<(u64, i64)>,
    /// The empty segment that may go once something durable says that the mail of this other one is durable up to there.
    leaving: Option<(u64, u64, u64)>,
    /// Contents of removed messages; they go when the removal is durable.
    contents: Vec<QueueId>,
}

impl Tidy {
    pub(super) fn timeout(&self) -> Option<Instant> {
        let again = [self.unread, self.unremoved].into_iter().flatten().filter_map(|what| what.until);
        again.chain(self.rest_until).min()
    }

    /// Ends the pauses that are over.
    fn wake(&mut self, now: Instant) {
        self.rest_until = self.rest_until.filter(|until| *until > now);
        for what in [&mut self.unread, &mut self.unremoved].into_iter().flatten() {
            what.until = what.until.filter(|until| *until > now);
        }
    }

    /// It has been read, or is gone.
    fn forgive(&mut self, segment: u64) {
        for what in [&mut self.unread, &mut self.unremoved] {
            *what = what.filter(|what| what.segment != segment);
        }
    }
}

impl Log {
    pub(super) fn take_consequences(&mut self, mut consequences: Consequences) {
        self.tidy.contents.append(&mut consequences.unlink);
        self.tidy.fold.extend(consequences.fold);
    }

    /// After a sync: the removals are durable, unless some have to be written again.
    pub(super) fn unlink_contents(&mut self) {
        if !self.writer.again.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.tidy.contents) {
            self.unlink(File::Content(id));
        }
    }

    /// Finds messages to move, as many as may be on the move.
    pub(super) fn tidy_up(&mut self) {
        self.tidy.wake(self.now.mono);
        let resting = self.tidy.rest_until.is_some();
        if resting || self.writer.current.is_none() || self.writer.refusing.is_some() {
            return;
        }
        if self.tidy.emptying.is_none() {
            self.choose_victim();
        }
        self.walk_on();
        while self.tidy.moving.len() < MOVING_MAX {
            let next = match &mut self.tidy.emptying {
                Some(emptying) => emptying.found.pop_front(),
                None => None,
            };
            // Folding one message gives nothing back, so it waits until there is room.
            let next =
                next.or_else(|| if self.spares.is_failing() { None } else { self.tidy.fold.pop_first() });
            let Some(id) = next else {
                break;
            };
            if self.tidy.moving.insert(id) {
                self.load_to_move(id);
            }
        }
    }

    fn closed(&self) -> impl DoubleEndedIterator<Item = (&u64, &Segment)> {
        let current = self.writer.current.as_ref().map_or(u64::MAX, |current| current.seal.segment);
        self.index.segments.range(..current)
    }

    fn choose_victim(&mut self) {
        let current = self.writer.current.as_ref().map_or(0, |current| current.size);
        let closed = self.index.octets().saturating_sub(current);
        let slack = self.params.segment_size();
        let most =
            if self.spares.is_full() { self.index.living } else { self.index.living.saturating_mul(2) };
        let Some((number, segment)) = self.closed().next().map(|(number, segment)| (*number, *segment))
        else {
            return;
        };
        let kept = segment.pinned || is_put_off(self.tidy.unread, number);
        if closed <= most.saturating_add(slack) || kept || segment.commits == 0 {
            return;
        }
        // Begun without room to end, it would only use up what is left. What is free counts no headers either.
        let stuck = self.spares.is_failing() && self.free() < segment.end.saturating_sub(SEGMENT_HEADER);
        if stuck || self.is_futile(number, closed) {
            return;
        }
        let seal = super::frame::Seal { segment: number, salt: segment.salt };
        let walk = Some(Walk::new(seal, segment.end, Depth::Headers));
        self.tidy.emptying =
            Some(Emptying { segment: number, walk, reading: None, found: VecDeque::new(), moved: 0 });
    }

    /// True when going round once has freed nothing, and nothing has changed since.
    fn is_futile(&mut self, victim: u64, closed: u64) -> bool {
        let slack = self.params.segment_size();
        let pressed = self.spares.is_failing() && self.free() < 2 * slack;
        let enough = if pressed { slack / 8 } else { slack + closed / 8 };
        if let Some((then, dead)) = self.tidy.futile {
            let since = self.index.dead.saturating_sub(dead);
            if closed <= then.saturating_add(slack) && since < enough.min(slack) {
                return true;
            }
            self.tidy.futile = None;
        }
        match self.tidy.lap {
            Some((last, _)) if victim <= last => false,
            Some((_, gain)) if gain < i64::try_from(enough).unwrap_or(i64::MAX) => {
                self.tidy.lap = None;
                self.tidy.futile = Some((closed, self.index.dead));
                true
            }
            _ => {
                let last = self.closed().next_back().map_or(victim, |(number, _)| *number);
                self.tidy.lap = Some((last, 0));
                false
            }
        }
    }

    fn walk_on(&mut self) {
        let Some(emptying) = &mut self.tidy.emptying else {
            return;
        };
        if emptying.reading.is_some() || emptying.found.len() >= MOVING_MAX {
            return;
        }
        let segment = emptying.segment;
        while let Some(walk) = &mut emptying.walk {
            match walk.step() {
                Step::Need { offset, length } => {
                    emptying.reading = Some((offset, length));
                    let file = File::Segment(segment);
                    return self.start(Purpose::Walk { segment, offset }, Op::Read { file, offset, length });
                }
                Step::Frame { at, header, .. } | Step::Spoilt { at, header } => {
                    if self.index.counts(&header, segment, at) {
                        emptying.found.push_back(header.subject);
                    }
                }
                Step::Gap { .. } => {}
                Step::End => emptying.walk = None,
            }
        }
        self.finish_emptying(segment);
    }

    fn finish_emptying(&mut self, segment: u64) {
        let busy = self.tidy.emptying.as_ref().is_some_and(|emptying| !emptying.found.is_empty());
        if busy || !self.tidy.moving.is_empty() {
            return;
        }
        self.count_emptied();
        if self.index.segments.get(&segment).is_some_and(|segment| segment.commits > 0) {
            self.put_off(segment, None, "messages in it could not be found again");
        } else {
            self.tidy.forgive(segment);
        }
    }

    /// A segment has been emptied: what that gives back counts for the lap.
    fn count_emptied(&mut self) {
        let Some(Emptying { segment, moved, .. }) = self.tidy.emptying.take() else { return };
        if let (Some((_, gain)), Some(segment)) = (&mut self.tidy.lap, self.index.segments.get(&segment)) {
            // Before it goes something says that what was moved is durable: a lap that frees no more than that would go on for ever.
            *gain = gain.saturating_add_unsigned(segment.reusable()).saturating_sub_unsigned(moved + SECTOR);
        }
    }

    pub(super) fn walk_did(&mut self, segment: u64, at: u64, result: Result<Vec<u8>, DiskError>) {
        let Some(emptying) = self.tidy.emptying.as_mut().filter(|emptying| emptying.segment == segment)
        else {
            return;
        };
        // A read of an earlier try, which was given up while it was under way.
        if emptying.reading.is_none_or(|(offset, _)| offset != at) {
            return;
        }
        let (Some((offset, length)), Some(walk)) = (emptying.reading.take(), &mut emptying.walk) else {
            return;
        };
        match result {
            Ok(octets) => walk.feed(offset, length, octets),
            Err(error) => self.put_off(segment, None, words(&error)),
        }
    }

    /// Leaves a segment that can not be emptied alone for a while. Of what failed at the same time the first is told.
    fn put_off(&mut self, segment: u64, id: Option<QueueId>, why: &str) {
        if self.tidy.emptying.as_ref().is_some_and(|emptying| emptying.segment == segment) {
            self.tidy.emptying = None;
        }
        if is_put_off(self.tidy.unread, segment) {
            return;
        }
        let rest = PutOff::after(self.tidy.unread, segment, self.now.mono);
        self.tidy.unread = Some(rest);
        // Much may die until then: what a lap gains is measured anew.
        self.tidy.lap = None;
        let text = format!(
            "segment {segment} of the spool can not be compacted: {why}: space is not given back until it can; tried again in {} s",
            rest.pause.as_secs()
        );
        self.trouble(id, text);
    }

    /// A message has been read: it is written anew unless something stopped that.
    pub(super) fn write_anew(&mut self, id: QueueId, stamp: Stamp, state: &State, content: Vec<u8>) {
        if !self.tidy.moving.contains(&id) {
            return;
        }
        let content = if content.is_empty() { Vec::new() } else { vec![content] };
        let item = Item::new(None, Kind::Move(id, stamp), state.snapshot(), content);
        if let Some(why) = fault(&item) {
            return self.can_not_move(id, why);
        }
        self.writer.moves.push_back(item);
    }

    /// It changed while it was read.
    pub(super) fn move_again(&mut self, id: QueueId) {
        self.load_to_move(id);
        self.start_loads();
    }

    /// It is about to lie in a new place, which takes so many octets.
    pub(super) fn moved(&mut self, id: QueueId, octets: u64) {
        self.tidy.moving.remove(&id);
        let from = self.index.get(id).map(|entry| entry.commit.segment());
        // Others are moved because they have collected too many changes.
        if let Some(emptying) = self.tidy.emptying.as_mut().filter(|emptying| Some(emptying.segment) == from)
        {
            emptying.moved += octets;
        }
    }

    pub(super) fn can_not_move(&mut self, id: QueueId, fault: &str) {
        if self.tidy.moving.remove(&id)
            && let Some(entry) = self.index.get(id)
        {
            let segment = entry.commit.segment();
            let is_emptied = self.tidy.emptying.as_ref().is_some_and(|emptying| emptying.segment == segment);
            if is_emptied || is_put_off(self.tidy.unread, segment) {
                self.put_off(segment, Some(id), fault);
            } else {
                // It had collected changes: with the next one it is tried again.
                self.trouble(Some(id), format!("it can not be read from the spool: {fault}"));
            }
        }
    }

    /// The disk failed, or has no room for what is moved: it is begun again later. What has been moved has used up room.
    pub(super) fn stop_moves(&mut self) {
        self.writer.moves.clear();
        self.tidy.moving.clear();
        if let (Some(Emptying { moved, .. }), Some((_, gain))) =
            (self.tidy.emptying.take(), &mut self.tidy.lap)
        {
            *gain = gain.saturating_sub_unsigned(moved);
        }
        self.tidy.rest_until = Some(self.now.mono.after(REST));
    }

    /// Removes the oldest segment if nothing in it counts.
    pub(super) fn give_up(&mut self) {
        let Some(current) = &self.writer.current else {
            return;
        };
        if self.tidy.blocked.is_some_and(|blocked| current.seal.segment > blocked && current.synced >= SECTOR)
        {
            self.tidy.blocked = None;
        }
        if self.tidy.giving_up.is_some() || self.tidy.blocked.is_some() || !self.writer.is_settled() {
            return;
        }
        let Some((number, segment)) = self.closed().next().map(|(number, segment)| (*number, *segment))
        else {
            return;
        };
        if segment.commits > 0 || segment.pinned || is_put_off(self.tidy.unremoved, number) {
            return;
        }
        if self.tidy.emptying.as_ref().is_some_and(|emptying| emptying.segment == number) {
            self.count_emptied();
        }
        if !self.is_claimed_without(number) && !planted!(GivenUpUnclaimed) {
            return;
        }
        self.tidy.giving_up = Some((number, false));
        self.start(Purpose::GiveUp, Op::Unlink(File::Segment(number)));
    }

    /// What was moved out of a segment is nowhere else once that has gone, and until something says that it is durable, one bit of it would pass for
    /// a torn end, and take all of it along unsaid. Nothing waits where nothing can say so: on a full disk it is the segment that makes room.
    fn is_claimed_without(&mut self, number: u64) -> bool {
        let Some(current) = &self.writer.current else {
            return true;
        };
        let here = current.seal.segment;
        let known = self.tidy.leaving.filter(|leaving| leaving.0 == number);
        let (_, segment, end) = *self.tidy.leaving.insert(known.unwrap_or((number, here, current.mail_to)));
        // The header of the next segment says so, once it is written.
        let is_said = current.header.is_none() && (segment != here || current.claimed >= end);
        is_said || !self.can_claim()
    }

    /// One has gone that may come back: nothing else goes until a segment behind all that there are says where the log begins.
    fn block(&mut self, gone: u64) {
        self.tidy.blocked = self.index.segments.keys().next_back().copied().or(Some(gone));
    }

    /// A sync of the directory has failed that was meant for other names.
    pub(super) const fn directory_failed(&mut self) {
        self.tidy.in_doubt = true;
    }

    pub(super) fn give_up_did(&mut self, result: Result<(), DiskError>) {
        let Some((segment, unlinked)) = self.tidy.giving_up.take() else {
            return;
        };
        match result {
            Ok(()) if unlinked => {
                let early = self.index.segments.get(&segment).is_some_and(Segment::was_removed);
                self.index.remove_segment(segment);
                self.spares.try_now(self.now.mono);
                // Its name went long before this sync.
                if early && self.tidy.in_doubt {
                    self.block(segment);
                }
            }
            Ok(()) | Err(DiskError::Missing) if !unlinked => {
                self.tidy.forgive(segment);
                self.tidy.giving_up = Some((segment, true));
                self.start(Purpose::GiveUp, Op::SyncDirectory);
            }
            Ok(()) => {}
            Err(error) if unlinked => {
                // Whether it is gone for good nobody knows, and asking again does not tell. What is behind it may only go when a newer segment
                // says where the log begins.
                self.index.remove_segment(segment);
                self.tidy.in_doubt = true;
                self.block(segment);
                let text = format!(
                    "the removal of an old segment of the spool can not be synced: {}",
                    words(&error)
                );
                self.trouble(None, text);
            }
            Err(error) => {
                let rest = PutOff::after(self.tidy.unremoved, segment, self.now.mono);
                self.tidy.unremoved = Some(rest);
                let text = format!(
                    "an old segment of the spool can not be removed: {}; tried again in {} s",
                    words(&error),
                    rest.pause.as_secs()
                );
                self.trouble(None, text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Seal;
    use super::super::index::Place;
    use super::super::item::tests::message;
    use super::super::writer::Current;
    use super::super::{Params, Ticket};
    use super::*;
    use crate::machine::Machine;
    use crate::mail::{Change, ContentPlace};

    const SIZE: u64 = 16 * 1024;

    /// A log with so many full segments, whose messages count for so many octets, and none that is written.
    fn log(segments: u64, living: u64) -> Log {
        let mut log = Log::new(Params { segment_size: SIZE, reserve: 0, ..Params::default() }, 1);
        for number in 1..=segments {
            let segment = Segment { size: SIZE, end: SIZE, salt: 0, commits: 1, pinned: false };
            log.index.add_segment(number, segment);
        }
        log.index.living = living;
        log
    }

    /// The disk has no room for another segment; so many octets can still be written.
    fn fill(log: &mut Log, free: u64) {
        log.make_spares();
        log.spare_did(Err(DiskError::Full));
        if free > 0 {
            log.spares.ready.push_back((99, free + SEGMENT_HEADER));
        }
        drain(log);
        assert!(log.spares.is_full() && log.free() == free);
    }

    fn drain(log: &mut Log) -> Vec<Op> {
        let outputs = std::iter::from_fn(|| log.outbox.take());
        let op = |output| if let super::super::Output::Do(_, op) = output { Some(op) } else { None };
        outputs.filter_map(op).collect()
    }

    fn write_in(log: &mut Log, segment: u64, synced: u64) {
        log.writer.current = Some(Current {
            seal: Seal { segment, salt: 0 },
            size: SIZE,
            tail: synced,
            synced,
            claimed: synced,
            said_to: synced,
            mail_to: synced,
            header: None,
        });
    }

    #[test]
    fn a_lap_that_gains_too_little_is_not_repeated_until_more_has_died() {
        let mut log = log(4, 0);
        assert!(!log.is_futile(1, 4 * SIZE));
        assert_eq!(log.tidy.lap, Some((4, 0)), "it goes to the last one that there is");
        log.tidy.lap = Some((4, 7));
        assert!(!log.is_futile(4, 4 * SIZE));
        assert_eq!(log.tidy.lap, Some((4, 7)), "the lap goes on");
        let enough = (SIZE + 4 * SIZE / 8) as i64;
        log.tidy.lap = Some((4, enough));
        assert!(!log.is_futile(5, 4 * SIZE));
        assert_eq!((log.tidy.lap, log.tidy.futile), (Some((4, 0)), None), "it was worth it: another one");
        log.index.dead = 100;
        log.tidy.lap = Some((4, enough - 1));
        assert!(log.is_futile(5, 4 * SIZE));
        assert_eq!((log.tidy.lap, log.tidy.futile), (None, Some((4 * SIZE, 100))));
        log.index.dead = 100 + SIZE - 1;
        assert!(log.is_futile(5, 4 * SIZE) && log.is_futile(5, 5 * SIZE), "it is as it was");
        assert!(!log.clone().is_futile(5, 5 * SIZE + 1), "much has come");
        log.index.dead = 100 + SIZE;
        assert!(!log.is_futile(5, 4 * SIZE), "much has died");
        assert_eq!(log.tidy.futile, None);
    }

    #[test]
    fn who_is_pressed_for_room_takes_an_eighth_of_a_segment_for_enough() {
        let futile = |free, gain| {
            let mut log = log(4, 0);
            fill(&mut log, free);
            log.tidy.lap = Some((4, gain));
            log.is_futile(5, 4 * SIZE)
        };
        let eighth = (SIZE / 8) as i64;
        assert_eq!([eighth - 1, eighth].map(|gain| futile(2 * SIZE - 1, gain)), [true, false]);
        assert_eq!([eighth - 1, eighth].map(|gain| futile(0, gain)), [true, false]);
        assert!(futile(2 * SIZE, eighth), "there is room for two segments");
        assert!(futile(0, -1), "it has used up more than it has freed");
        let mut log = log(4, 0);
        log.tidy.lap = Some((4, eighth));
        assert!(log.is_futile(5, 4 * SIZE), "segments can be made");
    }

    #[test]
    fn a_segment_is_emptied_when_more_than_half_of_all_does_not_count() {
        let chosen = |log: &mut Log| {
            log.choose_victim();
            log.tidy.emptying.as_ref().map(|emptying| emptying.segment)
        };
        assert_eq!(chosen(&mut log(3, SIZE)), None, "twice what counts, and one segment");
        assert_eq!(chosen(&mut log(3, SIZE - 1)), Some(1), "the oldest");
        let with = |change: fn(&mut Segment)| {
            let mut log = log(3, 0);
            change(log.index.segments.get_mut(&1).expect("it is there"));
            chosen(&mut log)
        };
        assert_eq!(with(|_| ()), Some(1));
        assert_eq!(with(|segment| segment.pinned = true), None, "it is kept for a person");
        assert_eq!(with(|segment| segment.commits = 0), None, "it is given up without");
        let mut waits = log(3, 0);
        let pause = Duration::from_secs(1);
        waits.tidy.unread = Some(PutOff { segment: 1, pause, until: Some(Instant(1)) });
        assert_eq!(chosen(&mut waits), None);
        waits.tidy.unread = Some(PutOff { segment: 1, pause, until: None });
        assert_eq!(chosen(&mut waits), Some(1), "its time has come");
        let mut writes = log(4, SIZE);
        write_in(&mut writes, 4, SIZE);
        assert_eq!(chosen(&mut writes), None, "what is written is not counted");
    }

    #[test]
    fn on_a_full_disk_all_that_does_not_count_is_wanted_back_if_there_is_room_to_begin() {
        let chosen = |segments, living, free| {
            let mut log = log(segments, living);
            fill(&mut log, free);
            log.choose_victim();
            log.tidy.emptying.is_some()
        };
        assert_eq!([chosen(3, 2 * SIZE, SIZE), chosen(3, 2 * SIZE - 1, SIZE)], [false, true]);
        let most = SIZE - SEGMENT_HEADER;
        assert!(chosen(3, 0, most), "there is room for all frames of a segment, with the header of another");
        assert!(!chosen(3, 0, most - 1), "begun without room to end, it would use up what is left");
    }

    #[test]
    fn the_oldest_segment_goes_when_nothing_in_it_counts() {
        let removed = |change: &dyn Fn(&mut Log)| {
            let mut log = log(3, 0);
            write_in(&mut log, 3, 1024);
            log.index.segments.get_mut(&1).expect("it is there").commits = 0;
            change(&mut log);
            log.give_up();
            drain(&mut log)
        };
        let gone = [Op::Unlink(File::Segment(1))];
        let segment = |log: &mut Log, change: fn(&mut Segment)| {
            change(log.index.segments.get_mut(&1).expect("it is there"));
        };
        assert_eq!(removed(&|_| ()), gone);
        assert_eq!(removed(&|log| segment(log, |segment| segment.commits = 1)), [], "it has a message");
        assert_eq!(removed(&|log| segment(log, |segment| segment.pinned = true)), [], "it is for a person");
        assert_eq!(removed(&|log| log.writer.current = None), [], "no newer one is open");
        assert_eq!(removed(&|log| log.tidy.giving_up = Some((9, true))), [], "one at a time");
        let pause = Duration::from_secs(1);
        let rests = |segment, until| Some(PutOff { segment, pause, until });
        assert_eq!(removed(&|log| log.tidy.unremoved = rests(1, Some(Instant(1)))), [], "it waits");
        assert_eq!(removed(&|log| log.tidy.unremoved = rests(1, None)), gone);
        assert_eq!(
            removed(&|log| log.tidy.unremoved = rests(2, Some(Instant(1)))),
            gone,
            "another one waits"
        );
        assert_eq!(
            removed(&|log| log.tidy.blocked = Some(3)),
            [],
            "until a newer segment says where the log begins"
        );
        assert_eq!(removed(&|log| log.tidy.blocked = Some(2)), gone);
        let fresh = |log: &mut Log| {
            log.tidy.blocked = Some(2);
            write_in(log, 3, 0);
        };
        assert_eq!(removed(&fresh), [], "and has said it on the disk");
    }

    #[test]
    fn a_segment_stays_until_something_says_that_what_was_moved_out_of_it_is_durable() {
        let mut log = log(3, 0);
        write_in(&mut log, 3, 2048);
        log.index.segments.get_mut(&1).expect("it is there").commits = 0;
        let claimed =
            |log: &mut Log, octets| log.writer.current.as_mut().expect("it is open").claimed = octets;
        let goes = |log: &Log| {
            let mut log = log.clone();
            log.give_up();
            drain(&mut log) == [Op::Unlink(File::Segment(1))]
        };
        claimed(&mut log, 1024);
        assert!(!goes(&log), "one bit would take what was moved along");
        let mut full = log.clone();
        full.writer.current.as_mut().expect("it is open").tail = SIZE;
        assert!(goes(&full), "nothing can say so, and room is wanted");
        let mut making = full.clone();
        making.make_spares();
        assert!(!goes(&making), "the next segment will say so when it has been made");
        let waits = message(QueueId(5), ContentPlace::Inline, 4_000);
        making.append(Ticket(1), vec![Change::Commit(Box::new(waits))], vec![vec![0; 4_000]]);
        drain(&mut making);
        assert!(!goes(&making), "and what waits for it does not wait for this one to go");
        making.spare_did(Err(DiskError::Full));
        drain(&mut making);
        assert!(goes(&making), "it can not be made");
        full.spares.ready.push_back((9, SIZE));
        assert!(!goes(&full), "the next segment will say so");
        log.give_up();
        write_in(&mut log, 4, 1024);
        claimed(&mut log, 0);
        assert!(goes(&log), "the next segment has said so");
        log.writer.current.as_mut().expect("it is open").header = Some(Vec::new());
        assert!(!goes(&log), "it will, with the first that is written there");
        write_in(&mut log, 3, 4096);
        claimed(&mut log, 2048);
        assert!(goes(&log), "what came behind it does not matter");
    }

    #[test]
    fn a_segment_does_not_stay_for_outcomes_behind_the_mail_that_was_moved_out_of_it() {
        let mut log = log(3, 0);
        write_in(&mut log, 3, 4096);
        log.index.segments.get_mut(&1).expect("it is there").commits = 0;
        let current = log.writer.current.as_mut().expect("it is open");
        (current.claimed, current.mail_to) = (2048, 2048);
        log.give_up();
        assert_eq!(drain(&mut log), [Op::Unlink(File::Segment(1))]);
    }

    #[test]
    fn a_message_that_has_gone_before_it_was_read_is_not_being_moved() {
        let mut log = log(1, 0);
        let id = QueueId(5);
        log.tidy.moving.insert(id);
        log.load_to_move(id);
        log.start_loads();
        assert_eq!((drain(&mut log), log.tidy.moving.len()), (Vec::new(), 0));
    }

    #[test]
    fn a_segment_that_goes_is_not_emptied_any_more() {
        let emptied = |segment| {
            let mut log = log(3, 0);
            write_in(&mut log, 3, 1024);
            log.index.segments.get_mut(&1).expect("it is there").commits = 0;
            let found = VecDeque::new();
            log.tidy.emptying = Some(Emptying { segment, walk: None, reading: None, found, moved: 0 });
            log.tidy.lap = Some((3, 0));
            log.give_up();
            (log.tidy.emptying.is_some(), log.tidy.lap)
        };
        let gained = (SIZE - SEGMENT_HEADER - SECTOR) as i64;
        assert_eq!([emptied(1), emptied(2)], [(false, Some((3, gained))), (true, Some((3, 0)))]);
    }

    #[test]
    fn a_removal_that_may_come_back_holds_up_the_next_ones() {
        let after = |results: &[Result<(), DiskError>]| {
            let mut log = log(3, 0);
            write_in(&mut log, 3, 1024);
            for number in [1, 2] {
                log.index.segments.get_mut(&number).expect("it is there").commits = 0;
            }
            log.give_up();
            let mut ops = drain(&mut log);
            for result in results {
                log.give_up_did(result.clone());
                log.give_up();
                ops.extend(drain(&mut log));
            }
            (ops, log.index.segments.len())
        };
        let [one, two] = [1, 2].map(|number| Op::Unlink(File::Segment(number)));
        let sync = Op::SyncDirectory;
        let failed = || Err(DiskError::Failed("?".into()));
        let good = after(&[Ok(()), Ok(())]);
        assert_eq!(
            good,
            (vec![one.clone(), sync.clone(), two], 2),
            "its name, then the directory, then the next"
        );
        assert_eq!(
            after(&[Err(DiskError::Missing)]),
            (vec![one.clone(), sync.clone()], 3),
            "it had gone before"
        );
        assert_eq!(after(&[failed()]), (vec![one.clone()], 3), "it is tried again later");
        assert_eq!(after(&[Ok(()), failed()]), (vec![one.clone(), sync.clone()], 2));
        assert_eq!(after(&[Ok(()), Err(DiskError::Missing)]), (vec![one, sync], 2));
    }

    #[test]
    fn a_name_that_was_removed_early_holds_up_the_next_ones_if_a_sync_has_failed_since() {
        let failed = || Err(DiskError::Failed("?".into()));
        let goes = |early: bool, change: &dyn Fn(&mut Log)| {
            let mut log = log(3, 0);
            write_in(&mut log, 3, 1024);
            for number in [1, 2] {
                log.index.segments.get_mut(&number).expect("it is there").commits = 0;
            }
            if early {
                log.index.segments.get_mut(&1).expect("it is there").size = 0;
            }
            change(&mut log);
            log.give_up();
            log.give_up_did(Err(DiskError::Missing));
            log.give_up_did(Ok(()));
            drain(&mut log);
            log.give_up();
            drain(&mut log) == [Op::Unlink(File::Segment(2))]
        };
        let spare = |log: &mut Log| {
            log.make_spares();
            log.spare_did(Ok(()));
            log.spare_did(failed());
        };
        let not_made = |log: &mut Log| {
            log.make_spares();
            log.spare_did(failed());
        };
        assert!(goes(true, &|_| ()) && goes(true, &not_made), "no sync has failed");
        assert!(!goes(true, &spare), "the sync that failed may have been the one that counted");
        assert!(goes(false, &spare), "it was removed since");
    }

    #[test]
    fn a_segment_in_which_messages_are_not_found_again_is_left_alone_for_a_while() {
        for (commits, left) in [(1, true), (0, false)] {
            let mut log = log(3, 0);
            log.index.segments.get_mut(&1).expect("it is there").commits = commits;
            let found = VecDeque::new();
            log.tidy.emptying = Some(Emptying { segment: 1, walk: None, reading: None, found, moved: 1_000 });
            log.tidy.lap = Some((3, 10));
            log.finish_emptying(1);
            assert_eq!((is_put_off(log.tidy.unread, 1), log.tidy.emptying.is_none()), (left, true));
            let gained = 10 + SIZE - SEGMENT_HEADER - 1_000 - SECTOR;
            assert_eq!(log.tidy.lap, if left { None } else { Some((3, gained as i64)) });
        }
    }

    #[test]
    fn a_segment_whose_messages_take_as_much_elsewhere_costs_what_says_that_they_are_durable() {
        let mut log = log(3, 0);
        log.index.segments.get_mut(&1).expect("it is there").commits = 0;
        let (moved, found) = (SIZE - SEGMENT_HEADER, VecDeque::new());
        log.tidy.emptying = Some(Emptying { segment: 1, walk: None, reading: None, found, moved });
        log.tidy.lap = Some((3, 0));
        log.finish_emptying(1);
        assert_eq!(log.tidy.lap, Some((3, -(SECTOR as i64))));
    }

    #[test]
    fn what_is_written_anew_counts_against_what_is_gained() {
        let mut log = log(3, 0);
        let id = QueueId(7);
        let message = Box::new(message(id, ContentPlace::Inline, 300));
        log.index.apply(Place::new(1, 1024, 512), 48, &[Change::Commit(message.clone())]);
        let stamp = log.index.stamp(id).expect("it is there");
        let (state, found) = (State::new(message), VecDeque::new());
        log.tidy.emptying = Some(Emptying { segment: 1, walk: None, reading: None, found, moved: 1_000 });
        log.write_anew(id, stamp, &state, vec![0; 300]);
        assert!(log.writer.moves.is_empty(), "it was given up meanwhile");
        log.tidy.moving.insert(id);
        log.write_anew(id, stamp, &state, vec![0; 300]);
        assert_eq!(log.writer.moves.len(), 1, "it is written anew");
        log.moved(id, 512);
        let moved = |log: &Log| log.tidy.emptying.as_ref().expect("it goes on").moved;
        assert_eq!(moved(&log), 1_512);
        let changes = state.snapshot();
        log.index.apply(Place::new(2, 1024, 512), 48, &changes[..1]);
        log.moved(id, 512);
        assert_eq!(moved(&log), 1_512, "it was elsewhere before");
    }

    #[test]
    fn what_was_moved_in_vain_counts_against_the_lap() {
        let mut log = log(3, 0);
        let found = VecDeque::new();
        log.tidy.emptying = Some(Emptying { segment: 1, walk: None, reading: None, found, moved: 1_000 });
        log.tidy.lap = Some((3, 10));
        log.stop_moves();
        assert_eq!((log.tidy.lap, log.tidy.emptying.is_none()), (Some((3, -990)), true));
        log.stop_moves();
        assert_eq!(log.tidy.lap, Some((3, -990)), "once");
    }

    #[test]
    fn pauses_grow_with_each_failure_of_the_same_segment() {
        let seconds = |rest: PutOff| rest.pause.as_secs();
        let first = PutOff::after(None, 1, Instant(0));
        let second = PutOff::after(Some(first), 1, Instant(0));
        assert_eq!((seconds(first), seconds(second)), (1, 2));
        assert_eq!(second.until, Some(Instant(0).after(Duration::from_secs(2))));
        assert_eq!(seconds(PutOff::after(Some(second), 2, Instant(0))), 1, "another one begins anew");
        let mut log = log(0, 0);
        (log.tidy.unread, log.tidy.unremoved) = (Some(first), Some(second));
        assert_eq!(log.next_timeout(), first.until);
        log.tidy.wake(first.until.expect("it waits"));
        assert!(!is_put_off(log.tidy.unread, 1) && is_put_off(log.tidy.unremoved, 1));
        assert!(!is_put_off(log.tidy.unremoved, 2));
        log.tidy.rest_until = Some(Instant(5));
        log.tidy.wake(Instant(4));
        assert_eq!(log.tidy.rest_until, Some(Instant(5)));
        log.tidy.wake(Instant(5));
        assert_eq!(log.tidy.rest_until, None);
        log.tidy.forgive(2);
        assert_eq!(log.tidy.unremoved, Some(second));
        log.tidy.forgive(1);
        assert_eq!((log.tidy.unread, log.tidy.unremoved), (None, None));
    }
}
