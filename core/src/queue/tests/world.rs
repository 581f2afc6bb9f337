//! A log, its disk, and a ledger that knows what was promised.

use super::super::frame::checksum;
use super::super::{DiskError, Done, File, Input, Log, Op, OpId, Output, Params, Ticket, Whereabouts};
use super::disk::Disk;
use crate::event::{Event, Severity};
use crate::machine::Machine;
use crate::mail::{
    Change, ContentPlace, Diagnosis, Envelope, Loaded, Message, Origin, Outcome, Pieces, QueueId, Recipient,
    Refusal, Settlement, Standing, Summary,
};
use crate::prng::Prng;
use crate::time::{Duration, Now, Timestamp};
use crate::wire::{EnhancedStatus, Mailbox};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const RECIPIENTS: u32 = 3;

/// What was promised of a message.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) message: Message,
    pub(super) content: Vec<u8>,
    pub(super) answer: Option<Result<(), Refusal>>,
    /// After its refusal the log said that it takes mail again: it must not come back.
    pub(super) void: bool,
    pub(super) removing: bool,
    pub(super) removed: bool,
    /// Recipients with a final outcome that was submitted, and those where it was promised.
    pub(super) settling: BTreeSet<u32>,
    pub(super) settled: BTreeSet<u32>,
}

/// What a ticket was for.
#[derive(Debug, Clone)]
pub(super) enum Errand {
    Commit(QueueId),
    Settle(QueueId, u32),
    Remove(QueueId),
    Other,
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) log: Log,
    pub(super) disk: Disk,
    pub(super) now: Now,
    pub(super) prng: Prng,
    pub(super) pending: Vec<(OpId, Op)>,
    pub(super) lives: BTreeMap<QueueId, Life>,
    pub(super) errands: BTreeMap<Ticket, Errand>,
    /// Answered without a sync, with the segment that must be synced.
    soft: Vec<(Errand, Option<u64>)>,
    last_write: Option<u64>,
    pub(super) recovered: Vec<Summary>,
    /// What sessions were told, before recovery had ended.
    pub(super) numbered: Option<QueueId>,
    /// The highest id at the end of recovery.
    pub(super) ready: Option<QueueId>,
    pub(super) loaded: BTreeMap<Ticket, Option<Box<Loaded>>>,
    pub(super) troubles: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) refusals: u64,
    pub(super) next_ticket: u64,
    pub(super) next_id: u64,
    /// Largest inline content.
    pub(super) content_max: u64,
}

pub(super) fn params() -> Params {
    Params { segment_size: 16 * 1024, reserve: 16 * 1024, ..Params::default() }
}

impl World {
    pub(super) fn new(seed: u64, params: Params) -> Self {
        Self::over(Disk::new(seed), seed, params)
    }

    pub(super) fn over(disk: Disk, seed: u64, params: Params) -> Self {
        let wall = Timestamp::from_seconds(1_000_000);
        let mut world = Self {
            log: Log::new(params, seed ^ 0x5eed),
            disk,
            now: Now { wall, ..Now::default() },
            prng: Prng::new(seed),
            pending: Vec::new(),
            lives: BTreeMap::new(),
            errands: BTreeMap::new(),
            soft: Vec::new(),
            last_write: None,
            recovered: Vec::new(),
            numbered: None,
            ready: None,
            loaded: BTreeMap::new(),
            troubles: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
            refusals: 0,
            next_ticket: 1,
            next_id: 1,
            content_max: 600,
        };
        world.tell(Input::Open);
        world
    }

    pub(super) fn tell(&mut self, input: Input) {
        self.log.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.log.poll_output() {
            match output {
                Output::Do(id, op) => self.pending.push((id, op)),
                Output::Recovered(summary) => self.recovered.push(summary),
                Output::Numbered { last } => self.numbered = Some(last),
                Output::Ready => self.ready = Some(self.log.highest),
                Output::Appended { ticket, result, committed } => {
                    self.given_back(ticket, result, committed.as_deref());
                    self.answered(ticket, result);
                }
                Output::Loaded { ticket, loaded } => {
                    _ = self.loaded.insert(ticket, loaded.unwrap_or_default())
                }
                Output::Event(event) => self.heard(&event),
            }
        }
    }

    fn heard(&mut self, event: &Event) {
        match event.severity() {
            Severity::Error => self.troubles.push(event.text()),
            Severity::Warning => self.warnings.push(event.text()),
            Severity::Info => self.notes.push(event.text()),
        }
        if event.text().contains("takes mail again") {
            for life in self.lives.values_mut() {
                life.void |= matches!(life.answer, Some(Err(_)));
            }
        }
    }

    /// What is durable is given back to who looks after it from here.
    fn given_back(&self, ticket: Ticket, result: Result<(), Refusal>, committed: Option<&Message>) {
        let expected = match self.errands.get(&ticket) {
            Some(Errand::Commit(id)) if result.is_ok() => self.lives.get(id).map(|life| &life.message),
            _ => None,
        };
        assert_eq!(committed, expected);
    }

    fn answered(&mut self, ticket: Ticket, result: Result<(), Refusal>) {
        let errand = self.errands.remove(&ticket).expect("each ticket is answered once");
        if result.is_err() {
            self.refusals += 1;
        }
        match (&errand, result) {
            (Errand::Commit(id), result) => self.lives.get_mut(id).unwrap().answer = Some(result),
            (_, Ok(())) => self.soft.push((errand, self.last_write)),
            (_, Err(_)) => {}
        }
    }

    fn harden(&mut self, errand: &Errand) {
        match errand {
            Errand::Settle(id, index) => _ = self.lives.get_mut(id).unwrap().settled.insert(*index),
            Errand::Remove(id) => self.lives.get_mut(id).unwrap().removed = true,
            Errand::Commit(_) | Errand::Other => {}
        }
    }

    /// Carries out the operation at this place of those that wait.
    pub(super) fn complete(&mut self, place: usize) {
        let (id, op) = self.pending.remove(place);
        let kept = op.clone();
        let result = self.disk.run(op);
        match (&kept, &result) {
            (Op::Sync(File::Segment(segment)), Ok(_)) => {
                let soft = std::mem::take(&mut self.soft);
                for (errand, written) in soft {
                    if written == Some(*segment) {
                        self.harden(&errand);
                    } else {
                        self.soft.push((errand, written));
                    }
                }
            }
            (Op::Sync(File::Segment(_)) | Op::Write { file: File::Segment(_), .. }, Err(_)) => {
                self.soft.iter_mut().for_each(|(_, written)| *written = None);
            }
            (Op::Write { file: File::Segment(segment), .. }, Ok(_)) => self.last_write = Some(*segment),
            _ => {}
        }
        self.tell(Input::Did { op: id, result });
    }

    pub(super) fn complete_any(&mut self) {
        if !self.pending.is_empty() {
            let place = self.prng.below(self.pending.len() as u64) as usize;
            self.complete(place);
        }
    }

    pub(super) fn pass(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        self.log.handle_timeout(self.now);
        self.drain();
        // A driver that is told so asks again at once, and again: a thread spins until an operation ends.
        let next = self.log.next_timeout();
        assert!(next.is_none_or(|at| at > self.now.mono), "the time {next:?} has come, and led to nothing");
    }

    /// Lets all operations end and all timers of the next seconds fire.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.pending.is_empty() {
                self.complete(0);
                continue;
            }
            match self.log.next_timeout() {
                Some(at) => {
                    let wait = at.since(self.now.mono);
                    self.pass(wait);
                    if wait > Duration::from_secs(30) {
                        return;
                    }
                }
                None => {
                    for (errand, _) in std::mem::take(&mut self.soft) {
                        self.harden(&errand);
                    }
                    return;
                }
            }
        }
        panic!(
            "the log never comes to rest: {:?} {:?} {:?} {:?}",
            self.pending,
            self.log.tidy,
            self.log.spares,
            self.log.usage()
        );
    }

    /// Carries recovery out to its end, with a word before each operation, on a disk that works again behind it; the pauses that it took.
    pub(super) fn recover(&mut self, mut before: impl FnMut(&mut Self, &Op)) -> Vec<Duration> {
        let mut pauses = Vec::new();
        for _ in 0..100_000 {
            if self.ready.is_some() {
                (self.disk.unreadable, self.disk.broken) = (false, false);
                return pauses;
            }
            if let Some((_, op)) = self.pending.first() {
                before(self, &op.clone());
                self.complete(0);
            } else {
                let at = self.log.next_timeout().expect("it goes on by itself");
                pauses.push(at.since(self.now.mono));
                self.pass(at.since(self.now.mono));
            }
        }
        panic!("recovery does not end");
    }

    pub(super) fn ticket(&mut self, errand: Errand) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.errands.insert(ticket, errand);
        ticket
    }

    pub(super) fn message(&mut self, stored: u64, place: ContentPlace) -> Message {
        let id = QueueId(self.next_id * 0x1000);
        self.next_id += 1;
        let mut pieces = Pieces::default();
        pieces.literal(b"Received: from somewhere\r\n");
        pieces.stored(0, stored);
        let recipients =
            (0..RECIPIENTS).map(|n| Recipient::new(Mailbox::new(&format!("r{n}"), "example.org"))).collect();
        let envelope = Envelope { recipients, arrived: self.now.wall, ..Envelope::default() };
        Message {
            id,
            envelope,
            pieces,
            place,
            stored,
            origin: Origin::Submitted,
            message_id: String::new(),
            hold: false,
            checksum: None,
            unknown: vec![(500, id.0.to_le_bytes().to_vec())],
        }
    }

    /// Submits a new message.
    pub(super) fn commit(&mut self) -> QueueId {
        let stored = self.prng.below(self.content_max);
        self.commit_sized(stored, ContentPlace::Inline)
    }

    pub(super) fn commit_sized(&mut self, stored: u64, place: ContentPlace) -> QueueId {
        let message = self.message(stored, place);
        self.commit_this(message, place, Vec::new())
    }

    /// One that we may have made ourselves.
    pub(super) fn commit_of(&mut self, origin: Origin) -> QueueId {
        let message = Message { origin, ..self.message(10, ContentPlace::Inline) };
        self.commit_this(message, ContentPlace::Inline, Vec::new())
    }

    /// One that comes with other changes.
    pub(super) fn commit_with(&mut self, more: impl Fn(QueueId) -> Vec<Change>) -> QueueId {
        let message = self.message(10, ContentPlace::Inline);
        let more = more(message.id);
        self.commit_this(message, ContentPlace::Inline, more)
    }

    fn commit_this(&mut self, mut message: Message, place: ContentPlace, mut more: Vec<Change>) -> QueueId {
        let stored = message.stored;
        let id = message.id;
        let content: Vec<u8> = (0..stored).map(|at| (at as u8) ^ (id.0 >> 12) as u8).collect();
        message.checksum = (place == ContentPlace::File).then(|| checksum([content.as_slice()]));
        if place == ContentPlace::File {
            self.stage(id, content.clone()).expect("a disk with room");
        }
        let inline = if place == ContentPlace::File { Vec::new() } else { content.clone() };
        let life = Life {
            message: message.clone(),
            content,
            answer: None,
            void: false,
            removing: false,
            removed: false,
            settling: BTreeSet::new(),
            settled: BTreeSet::new(),
        };
        self.lives.insert(id, life);
        let chunks = inline.chunks(100).map(<[u8]>::to_vec).collect();
        more.insert(0, Change::Commit(Box::new(message)));
        self.append(Errand::Commit(id), more, chunks);
        id
    }

    fn stage(&mut self, id: QueueId, content: Vec<u8>) -> Result<(), DiskError> {
        let file = File::Content(id);
        self.disk.run(Op::Create { file, size: 0 })?;
        self.disk.run(Op::Write { file, offset: 0, octets: vec![content] })?;
        self.disk.run(Op::Sync(file))?;
        self.disk.run(Op::SyncDirectory)?;
        Ok(())
    }

    pub(super) fn append(&mut self, errand: Errand, changes: Vec<Change>, content: Vec<Vec<u8>>) {
        let ticket = self.ticket(errand);
        self.tell(Input::Append { ticket, changes, content });
    }

    /// Messages that are there for certain.
    pub(super) fn present(&self) -> Vec<QueueId> {
        let there = |life: &&Life| life.answer == Some(Ok(())) && !life.removing;
        self.lives.values().filter(there).map(|life| life.message.id).collect()
    }

    pub(super) fn settle_one(&mut self, id: QueueId, index: u32, good: bool) {
        let status = if good { EnhancedStatus::new(2, 0, 0) } else { EnhancedStatus::new(4, 4, 1) };
        let diagnosis = Diagnosis::ours(status, "host said something about it");
        let outcome = if good { Outcome::Failed(diagnosis) } else { Outcome::Deferred(diagnosis) };
        let life = self.lives.get_mut(&id).unwrap();
        let errand = if good {
            life.settling.insert(index);
            Errand::Settle(id, index)
        } else {
            Errand::Other
        };
        let retry_at = Some(self.now.wall.after(Duration::from_secs(300)));
        let settlement = Settlement { id, at: self.now.wall, outcomes: vec![(index, outcome)], retry_at };
        self.append(errand, vec![Change::Settle(settlement)], Vec::new());
    }

    pub(super) fn remove(&mut self, id: QueueId) {
        self.lives.get_mut(&id).unwrap().removing = true;
        self.append(Errand::Remove(id), vec![Change::Remove(id)], Vec::new());
    }

    /// One random step of a busy day.
    pub(super) fn step(&mut self) {
        let present = self.present();
        let some = |prng: &mut Prng| {
            (!present.is_empty()).then(|| present[prng.below(present.len() as u64) as usize])
        };
        match self.prng.below(16) {
            0..=3 => _ = self.commit(),
            4 => {
                // Before the log has listed its files, a content without a record is one that an earlier life left over.
                let file = self.numbered.is_some() && self.prng.chance(1, 2);
                let place = if file { ContentPlace::File } else { ContentPlace::Inline };
                if self.disk.capacity == u64::MAX && self.disk.faults.is_empty() {
                    self.commit_sized(1500, place);
                }
            }
            5 | 6 => {
                if let Some(id) = some(&mut self.prng) {
                    let index = self.prng.below(u64::from(RECIPIENTS)) as u32;
                    let good = self.prng.chance(1, 2);
                    self.settle_one(id, index, good);
                }
            }
            7 => {
                if let Some(id) = some(&mut self.prng) {
                    self.remove(id);
                }
            }
            8 => {
                let duration = Duration::from_millis(self.prng.below(60));
                self.pass(duration);
            }
            _ => self.complete_any(),
        }
    }

    /// The power fails, with what was under way done or not.
    pub(super) fn crashed_disk(&self, seed: u64) -> Disk {
        let mut disk = self.disk.clone();
        let mut prng = Prng::new(seed);
        disk.faults.clear();
        disk.broken = false;
        disk.unreadable = false;
        disk.unremovable = false;
        for (_, op) in &self.pending {
            if prng.chance(1, 2) {
                let _ = disk.run(op.clone());
            }
        }
        disk.crash(prng.next_u64());
        disk
    }

    /// A new log over what a crash left, recovered.
    pub(super) fn reborn(&self, seed: u64, params: Params) -> Self {
        let mut world = Self::over(self.crashed_disk(seed), seed, params);
        world.now = self.now;
        world.next_id = self.next_id + 1000;
        while world.ready.is_none() && !world.pending.is_empty() {
            world.complete(0);
        }
        assert!(world.ready.is_some(), "recovery ends");
        world
    }

    pub(super) fn read(&mut self, place: Whereabouts) -> Vec<u8> {
        let op = Op::Read { file: place.file, offset: place.offset, length: place.length };
        match self.disk.run(op) {
            Ok(Done::Octets(octets)) => octets,
            other => panic!("{place:?}: {other:?}"),
        }
    }

    pub(super) fn load(&mut self, id: QueueId) -> Option<Box<Loaded>> {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.tell(Input::Load { ticket, id });
        while !self.loaded.contains_key(&ticket) {
            assert!(!self.pending.is_empty(), "a load is answered");
            self.complete(0);
        }
        self.loaded.remove(&ticket).flatten()
    }

    /// Compares what this log recovered with what the other promised.
    pub(super) fn check(&mut self, lives: &BTreeMap<QueueId, Life>) {
        let found: BTreeMap<QueueId, Summary> = self.recovered.iter().map(|s| (s.id, *s)).collect();
        assert_eq!(found.len(), self.recovered.len(), "no message twice");
        for (id, summary) in &found {
            let life = lives.get(id).expect("no message is invented");
            assert!(!life.removed, "{id} was removed");
            assert!(!life.void, "{id} was refused");
            self.check_message(*id, summary, life);
        }
        for (id, life) in lives {
            if life.answer == Some(Ok(())) && !life.removing {
                assert!(found.contains_key(id), "{id} was promised: {:?}", self.troubles);
            }
            assert!(
                self.numbered.unwrap() >= *id || life.answer != Some(Ok(())),
                "ids are never given twice"
            );
        }
    }

    /// Takes over what an earlier log left: what was not found must never come back, what was found is promised.
    pub(super) fn inherit(&mut self, mut lives: BTreeMap<QueueId, Life>) {
        let found: BTreeSet<QueueId> = self.recovered.iter().map(|summary| summary.id).collect();
        for (id, life) in &mut lives {
            let there = found.contains(id);
            life.void = !there && life.answer != Some(Ok(()));
            life.answer = Some(if life.void { Err(Refusal::Broken) } else { Ok(()) });
            life.removing = !there;
            life.removed = !there;
            if there {
                let loaded = self.load(*id).expect("it can be loaded");
                let is_final = |standing: &Standing| !matches!(standing, Standing::Waiting(_));
                let settled: BTreeSet<u32> = (0..)
                    .zip(&loaded.standing)
                    .filter(|(_, s)| is_final(s))
                    .map(|(index, _)| index)
                    .collect();
                life.settled = settled.clone();
                life.settling = settled;
            }
        }
        self.lives = lives;
    }

    fn check_message(&mut self, id: QueueId, summary: &Summary, life: &Life) {
        let loaded = self.load(id).expect("it can be loaded");
        assert_eq!(loaded.message, life.message);
        let place = self.log.whereabouts(id).expect("it is somewhere");
        assert_eq!(self.read(place), life.content);
        let mut waiting = 0;
        for (index, standing) in (0..).zip(&loaded.standing) {
            let is_waiting = matches!(standing, Standing::Waiting(_));
            waiting += u32::from(is_waiting);
            assert!(!is_waiting || !life.settled.contains(&index), "{id}: an outcome was promised");
            assert!(is_waiting || life.settling.contains(&index), "{id}: an outcome was invented");
        }
        assert_eq!(summary.waiting, waiting);
        assert_eq!(summary.waiting + summary.owed, RECIPIENTS);
    }
}
