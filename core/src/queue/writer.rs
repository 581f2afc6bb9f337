//! Group commit: what is appended while one write and its sync are under way is the next batch.
//!
//! A batch is one write of one range, whole sectors, then one sync if a message is in it. A batch without one is answered when it is written
//! (an outcome must be written before its connection's next command) and synced within 100 ms, by itself or with the next batch.
//!
//! A message waits a moment for company, if others are about (`company`).
//!
//! Order: frames lie in the order in which their appends came, and take effect in that order. Moved messages come first, so that whatever changes
//! them in the same batch comes behind.

use super::company::Company;
use super::frame::{ALIGN, FrameHeader, SECTOR, Seal, checksum, round_up};
use super::index::Place;
use super::item::{Item, Kind, fault};
use super::log::{Log, Purpose, refusal, words};
use super::segments::Taken;
use super::{DiskError, File, Op, Output, Ticket};
use crate::mail::{Change, Refusal};
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// From the write of an outcome to the start of its sync; the disk has the other half of the 100 ms.
const SYNC_AFTER: Duration = Duration::from_millis(50);
/// From a sync to the frame that says so when no other frame says it: until then damage to the last batch is taken for a torn write.
const CLAIM_AFTER: Duration = Duration::from_millis(100);
/// Octets of one write.
const BATCH_MAX: u64 = 4 * 1024 * 1024;
/// Octets of moved messages in one write, so that compaction does not hold up mail; one message at least.
const MOVED_MAX: u64 = 256 * 1024;
/// Octets of appends that wait before the driver is asked to hold back.
const BACKLOG_MAX: u64 = 16 * 1024 * 1024;

/// An item that has its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Placed {
    item: Item,
    place: Place,
    content_at: u64,
}

/// What is under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Flight {
    placed: Vec<Placed>,
    /// New messages among them.
    messages: usize,
    syncing: bool,
}

impl Flight {
    fn new(placed: Vec<Placed>, syncing: bool) -> Self {
        let messages = placed.iter().filter(|placed| placed.item.kind == Kind::Mail).count();
        Self { placed, messages, syncing }
    }
}

/// The segment that is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Current {
    pub(super) seal: Seal,
    pub(super) size: u64,
    /// Where the next write goes.
    pub(super) tail: u64,
    /// Up to where it is durable.
    pub(super) synced: u64,
    /// Up to where a frame says that it is.
    pub(super) claimed: u64,
    /// Where the last frame in it ends that is no claim.
    pub(super) said_to: u64,
    /// Where the last mail in it ends.
    pub(super) mail_to: u64,
    /// Its header, to be written with the first batch.
    pub(super) header: Option<Vec<u8>>,
}

/// The state of writing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Writer {
    /// None: no segment is open.
    pub(super) current: Option<Current>,
    /// Set while no mail is taken: why.
    pub(super) refusing: Option<Refusal>,
    pub(super) again: VecDeque<Item>,
    pub(super) moves: VecDeque<Item>,
    queue: VecDeque<Item>,
    queued: u64,
    company: Company,
    flight: Option<Flight>,
    /// Answered, not yet synced.
    unsynced: Vec<(Place, Vec<Change>)>,
    sync_by: Option<Instant>,
    claim_at: Option<Instant>,
}

impl Writer {
    pub(super) const fn room(&self) -> u64 {
        BACKLOG_MAX.saturating_sub(self.queued)
    }

    /// New messages that are to be written, or are being written, and that the index does not count yet.
    pub(super) fn coming(&self) -> usize {
        self.company.waiting() + self.flight.as_ref().map_or(0, |flight| flight.messages)
    }

    /// True when all that has taken effect is durable.
    pub(super) fn is_settled(&self) -> bool {
        self.unsynced.is_empty() && self.flight.is_none() && self.again.is_empty()
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        if self.flight.is_some() || self.current.is_none() {
            return None;
        }
        [self.sync_by, self.claim_at, self.company.until()].into_iter().flatten().min()
    }

    /// How many messages are waited for before the next batch is written.
    pub(super) fn missing(&self, now: Instant) -> usize {
        let urgent = self.flight.is_some() || !self.again.is_empty() || !self.moves.is_empty();
        if urgent || self.current.is_none() { 0 } else { self.company.missing(now) }
    }

    fn next_queued(&mut self) -> Option<Item> {
        let item = self.queue.pop_front()?;
        self.queued = self.queued.saturating_sub(item.size());
        if item.kind == Kind::Mail {
            self.company.went();
        }
        Some(item)
    }
}

impl Log {
    pub(super) fn append(&mut self, ticket: Ticket, changes: Vec<Change>, content: Vec<Vec<u8>>) {
        for change in &changes {
            self.highest = self.highest.max(change.id());
        }
        let item = Item::new(Some(ticket), Kind::Change, changes, content);
        if let Some(fault) = fault(&item) {
            self.trouble(Some(item.subject()), format!("{fault}: this is a bug"));
            return self.answer(Some(ticket), Err(Refusal::Broken));
        }
        if let Some(why) = self.writer.refusing {
            return self.answer(Some(ticket), Err(why));
        }
        if !self.has_place_for(&item) {
            return self.answer(Some(ticket), Err(Refusal::Full));
        }
        let kind = if item.commits().is_some() { Kind::Mail } else { Kind::Change };
        self.writer.queued += item.size();
        if kind == Kind::Mail {
            self.writer.company.came(self.now.mono);
        }
        self.writer.queue.push_back(Item { kind, ..item });
    }

    /// Starts the next write or sync, if none is under way and one is due.
    pub(super) fn write_on(&mut self) {
        while self.writer.flight.is_none() && self.writer.current.is_some() {
            if self.writer.sync_by.is_some_and(|at| at <= self.now.mono) {
                return self.start_sync(Vec::new());
            }
            if self.writer.missing(self.now.mono) > 0 {
                // What is written then claims what is synced, too. A time for that alone would pass while company is waited for, and be asked
                // for again and again: in production a thread spins for a millisecond, in simulation time stands still (seed 3490).
                if !planted!(ClaimAsked) {
                    self.writer.claim_at = None;
                }
                return;
            }
            self.writer.company.enough();
            let items = self.choose();
            if !items.is_empty() {
                return self.start_write(items);
            }
            let Some(item) = self.waits_for_space() else {
                return self.claim_when_idle();
            };
            match self.rotate(item.0, item.1) {
                Taken::Yes => {}
                Taken::Later => {
                    // As above: a time that has come and leads to nothing would be asked for again and again until there is a segment.
                    self.writer.claim_at = None;
                    return;
                }
                Taken::Never(why) => self.refuse_first(why),
            }
        }
    }

    /// The items of the next batch; empty when there are none or the first does not fit.
    fn choose(&mut self) -> Vec<Item> {
        let Some(mut at) = self.writer.current.as_ref().map(|current| current.tail) else {
            return Vec::new();
        };
        let end = self.writer.current.as_ref().map_or(0, |current| current.size);
        let start = at;
        let mut fits = move |item: &Item, most: u64| {
            let next = at + round_up(item.size(), ALIGN);
            let yes = round_up(next, SECTOR) <= end && (at == start || next - start <= most);
            if yes {
                at = next;
            }
            yes
        };
        let mut chosen = Vec::new();
        while self.writer.again.front().is_some_and(|item| fits(item, BATCH_MAX)) {
            chosen.extend(self.writer.again.pop_front());
        }
        if !self.writer.again.is_empty() {
            return chosen;
        }
        self.drop_stale_moves();
        while self.writer.moves.front().is_some_and(|item| fits(item, MOVED_MAX)) {
            chosen.extend(self.writer.moves.pop_front());
            self.drop_stale_moves();
        }
        if chosen.is_empty() && !self.writer.moves.is_empty() {
            return chosen;
        }
        loop {
            if let Some(why) = self.writer.queue.front().and_then(|item| self.no_room(item)) {
                self.refuse_first_queued(why);
                continue;
            }
            if !self.writer.queue.front().is_some_and(|item| fits(item, BATCH_MAX)) {
                return chosen;
            }
            chosen.extend(self.writer.next_queued());
        }
    }

    fn drop_stale_moves(&mut self) {
        while let Some(Item { kind: Kind::Move(id, stamp), .. }) = self.writer.moves.front() {
            let (id, stamp) = (*id, *stamp);
            if self.index.stamp(id) == Some(stamp) || planted!(StaleMove) {
                return;
            }
            self.writer.moves.pop_front();
            self.move_again(id);
        }
    }

    /// The size of the item that needs a new segment, and whether it may use the reserve.
    fn waits_for_space(&self) -> Option<(u64, bool)> {
        let writer = &self.writer;
        let item = writer.again.front().or(writer.moves.front()).or(writer.queue.front())?;
        Some((item.size(), item.kind != Kind::Mail))
    }

    fn refuse_first(&mut self, why: Refusal) {
        if let Some(item) = self.writer.again.pop_front() {
            // It was answered long ago; nobody can be told but the operator.
            let text = format!("an outcome could not be written again: {why:?}; it may repeat after a crash");
            self.trouble(Some(item.subject()), text);
        } else if self.writer.moves.is_empty() {
            self.refuse_first_queued(why);
        } else {
            self.stop_moves();
        }
    }

    fn refuse_first_queued(&mut self, why: Refusal) {
        if let Some(item) = self.writer.next_queued() {
            self.answer(item.ticket, Err(why));
        }
    }

    fn rotate(&mut self, need: u64, reserve: bool) -> Taken {
        // One that was begun for what was then refused has nothing in it, not even its header, and a sync would not change that.
        let durable = |current: &Current| current.header.is_some() || current.synced == current.tail;
        let durable = self.writer.current.as_ref().is_none_or(durable);
        if !durable {
            // The next segment will say that all of this one is durable; so it must be.
            self.start_sync(Vec::new());
            return Taken::Later;
        }
        self.take_spare(need, reserve)
    }

    /// Whether what is durable in the present segment will be said to be, in it or in the next one, without more room than there is. What waits for company
    /// or for a segment is written soon, or refused, and then it is said.
    pub(super) fn can_claim(&self) -> bool {
        let next = !self.spares.ready.is_empty() || self.spares.is_making();
        let fits = |current: &Current| next || current.size - current.tail >= SECTOR;
        self.writer.refusing.is_none() && self.writer.current.as_ref().is_some_and(fits)
    }

    fn claim_when_idle(&mut self) {
        let Some(current) = &self.writer.current else {
            return;
        };
        // Where no segment can be made, room is for outcomes and moves. But one bit of a batch that holds mail and is not claimed would pass
        // for a torn end, and take the mail behind it along unsaid.
        // Nor is anything said by a segment that was begun for what was then refused.
        let begun = current.header.is_some();
        let mail = current.mail_to > current.claimed || begun;
        let anyway = mail && !planted!(FullUnclaimed);
        let fits = current.size - current.tail >= SECTOR;
        // Mail may have filled its segment to the last sector: the next one says that all of this one is durable.
        let elsewhere = mail && !self.spares.ready.is_empty() && !planted!(NoRoomToClaim);
        let room = if fits { anyway || !self.spares.is_failing() } else { elsewhere };
        if (current.claimed >= current.synced.min(current.said_to) && !begun) || !room {
            self.writer.claim_at = None;
            return;
        }
        match self.writer.claim_at {
            None => self.writer.claim_at = Some(self.now.mono.after(CLAIM_AFTER)),
            Some(at) if at <= self.now.mono => {
                self.writer.claim_at = None;
                if !fits && !matches!(self.rotate(0, true), Taken::Yes) {
                    return;
                }
                let mail = mail && !planted!(ClaimUnsynced);
                self.start_write(vec![Item::new(None, Kind::Claim { mail }, Vec::new(), Vec::new())]);
            }
            Some(_) => {}
        }
    }

    fn start_write(&mut self, items: Vec<Item>) {
        let Some(current) = self.writer.current.as_mut() else {
            return;
        };
        let mut chunks: Vec<Vec<u8>> = current.header.take().into_iter().collect();
        let offset = if chunks.is_empty() { current.tail } else { 0 };
        let mut placed = Vec::with_capacity(items.len());
        let last = items.len() - 1;
        for (number, mut item) in items.into_iter().enumerate() {
            let unit = if number == last { SECTOR } else { ALIGN };
            let end = round_up(current.tail + item.size(), unit);
            let header = frame_header(&item, current, end);
            let place = Place::new(current.seal.segment, current.tail, header.total);
            let padding = end - current.tail - item.size();
            let mut head = header.emit(current.seal, current.tail);
            head.append(&mut item.octets);
            chunks.push(head);
            chunks.append(&mut item.content);
            chunks.push(vec![0; padding as usize]);
            if !matches!(item.kind, Kind::Claim { .. }) {
                current.said_to = end;
            }
            if item.kind.holds_mail() {
                current.mail_to = end;
            }
            placed.push(Placed { item, place, content_at: header.content_at() });
            current.tail = end;
        }
        current.claimed = current.synced;
        chunks.retain(|chunk| !chunk.is_empty());
        let file = File::Segment(current.seal.segment);
        self.writer.claim_at = None;
        self.writer.flight = Some(Flight::new(placed, false));
        self.start(Purpose::Batch, Op::Write { file, offset, octets: chunks });
    }

    fn start_sync(&mut self, placed: Vec<Placed>) {
        let Some(current) = &self.writer.current else {
            return;
        };
        let file = File::Segment(current.seal.segment);
        self.writer.flight = Some(Flight::new(placed, true));
        self.start(Purpose::Batch, Op::Sync(file));
    }

    pub(super) fn batch_did(&mut self, result: Result<(), DiskError>) {
        let Some(flight) = self.writer.flight.take() else {
            return;
        };
        match result {
            Err(_) if flight.syncing && planted!(SyncRetried) => self.synced(flight.placed),
            Err(error) => self.batch_failed(flight, &error),
            Ok(()) if flight.syncing => self.synced(flight.placed),
            Ok(())
                if flight.placed.iter().any(|placed| placed.item.kind.wants_sync())
                    && !planted!(AckBeforeSync) =>
            {
                self.start_sync(flight.placed);
            }
            Ok(()) => self.written(flight.placed),
        }
    }

    /// A batch without mail is written: it is answered, and its sync is due soon.
    fn written(&mut self, placed: Vec<Placed>) {
        for Placed { item, place, content_at } in placed {
            if matches!(item.kind, Kind::Claim { .. }) {
                continue;
            }
            self.take_effect(place, content_at, &item);
            self.answer(item.ticket, Ok(()));
            self.writer.unsynced.push((place, item.changes));
            let by = self.now.mono.after(SYNC_AFTER);
            if !planted!(NeverSynced) {
                self.writer.sync_by.get_or_insert(by);
            }
        }
    }

    fn synced(&mut self, placed: Vec<Placed>) {
        if let Some(current) = self.writer.current.as_mut() {
            current.synced = current.tail;
            if let Some(segment) = self.index.segments.get_mut(&current.seal.segment) {
                segment.end = current.tail;
            }
        }
        self.writer.unsynced.clear();
        self.writer.sync_by = None;
        self.disk_works();
        self.writer.company.answered(placed.iter().filter(|placed| placed.item.kind == Kind::Mail).count());
        for Placed { item, place, content_at } in placed {
            self.take_effect(place, content_at, &item);
            if let Some(ticket) = item.ticket {
                let committed = item.into_message();
                self.outbox.put(Output::Appended { ticket, result: Ok(()), committed });
            }
        }
        self.unlink_contents();
    }

    fn take_effect(&mut self, place: Place, content_at: u64, item: &Item) {
        match item.kind {
            Kind::Again(old) => item.changes.iter().for_each(|change| self.index.retract(change.id(), old)),
            Kind::Move(id, _) => self.moved(id, place.octets()),
            Kind::Mail | Kind::Change | Kind::Claim { .. } => {}
        }
        let consequences = self.index.apply(place, content_at, &item.changes);
        self.take_consequences(consequences);
    }

    /// A write or sync failed: nothing of it counts, and the segment is not written again. A sync is not repeated: the kernel
    /// may have dropped what it could not write, and would say yes the second time.
    fn batch_failed(&mut self, flight: Flight, error: &DiskError) {
        let why = refusal(error);
        let what = if flight.syncing { "sync" } else { "write" };
        let text = format!(
            "the spool's disk failed to {what}: {}: no mail is taken until a fresh segment works",
            words(error)
        );
        self.trouble(None, text);
        self.writer.refusing = Some(why);
        let unsynced = std::mem::take(&mut self.writer.unsynced);
        let again = |(place, changes)| Item::new(None, Kind::Again(place), changes, Vec::new());
        let mut first: Vec<Item> =
            unsynced.into_iter().filter(|_| !planted!(AgainDropped)).map(again).collect();
        for Placed { item, .. } in flight.placed {
            match item.kind {
                Kind::Again(_) => first.push(Item::new(None, item.kind, item.changes, Vec::new())),
                _ => self.answer(item.ticket, Err(why)),
            }
        }
        // What did not fit into the batch that failed comes behind it, as it took effect.
        first.into_iter().rev().for_each(|item| self.writer.again.push_front(item));
        self.refuse_waiting(why);
        self.stop_moves();
        self.abandon_segment();
    }

    pub(super) fn refuse_waiting(&mut self, why: Refusal) {
        while let Some(item) = self.writer.next_queued() {
            self.answer(item.ticket, Err(why));
        }
        self.writer.sync_by = None;
        self.writer.claim_at = None;
    }
}

fn frame_header(item: &Item, current: &Current, end: u64) -> FrameHeader {
    // An append whose size does not fit 32 bits was refused (FRAME_MAX).
    let narrow = |octets: u64| u32::try_from(octets).unwrap_or(u32::MAX);
    FrameHeader {
        total: narrow(end - current.tail),
        changes: narrow(item.octets.len() as u64),
        content: narrow(item.length),
        changes_crc: checksum([item.octets.as_slice()]),
        content_crc: checksum(item.content.iter().map(Vec::as_slice)),
        synced_through: current.synced,
        subject: item.subject(),
        commit: item.commits().is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Params;
    use super::*;
    use crate::mail::QueueId;

    const SIZE: u64 = 16 * 1024;

    /// A log whose segment is full to its last sector, and durable; up to the middle of it that is said. One more is ready.
    fn full(mail_to: u64) -> Log {
        let mut log = Log::new(Params { segment_size: SIZE, reserve: 0, ..Params::default() }, 1);
        log.writer.current = Some(Current {
            seal: Seal { segment: 3, salt: 0 },
            size: SIZE,
            tail: SIZE,
            synced: SIZE,
            claimed: SIZE / 2,
            said_to: SIZE,
            mail_to,
            header: None,
        });
        log.spares.ready.push_back((9, SIZE));
        log
    }

    #[test]
    fn mail_that_fills_its_segment_is_claimed_in_one_that_is_ready_and_outcomes_wait_for_the_next_frame() {
        let claims = |mut log: Log| {
            log.claim_when_idle();
            log.writer.claim_at.is_some()
        };
        assert!(claims(full(SIZE)));
        assert!(!claims(full(SIZE / 2)), "the mail in it is claimed: a segment is not begun for outcomes");
        let mut none = full(SIZE);
        none.spares.ready.clear();
        assert!(!claims(none), "none is made for that alone");
    }

    #[test]
    fn a_segment_that_was_begun_and_never_written_to_is_left_without_a_sync() {
        let left = |header| {
            let mut log = full(SIZE);
            let current = log.writer.current.as_mut().expect("it is open");
            (current.tail, current.synced, current.header) = (1024, 0, header);
            let taken = log.rotate(0, true);
            (taken, log.outbox.take().is_some(), log.writer.current.map(|current| current.seal.segment))
        };
        assert_eq!(left(Some(Vec::new())), (Taken::Yes, false, Some(9)));
        assert_eq!(left(None), (Taken::Later, true, Some(3)), "what is written is synced before");
    }

    #[test]
    fn what_is_written_again_keeps_its_order_when_that_fails_too() {
        let mut log = Log::new(Params::default(), 1);
        let again = |number| {
            let kind = Kind::Again(Place::new(1, 1024 * number, 512));
            Item::new(None, kind, vec![Change::Hold(QueueId(number))], Vec::new())
        };
        log.writer.unsynced.push((Place::new(2, 1024, 512), vec![Change::Hold(QueueId(1))]));
        let placed = [2, 3].map(|number| Placed {
            item: again(number),
            place: Place::new(2, 2048, 512),
            content_at: 0,
        });
        log.writer.again = [4, 5].map(again).into();
        log.batch_failed(Flight::new(placed.into(), false), &DiskError::Failed("?".into()));
        let order: Vec<u64> = log.writer.again.iter().map(|item| item.subject().0).collect();
        assert_eq!(order, [1, 2, 3, 4, 5], "as they took effect");
    }
}
