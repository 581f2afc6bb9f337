//! What lies on the disk: records, and a segment of the log that holds them.
//!
//! A fuzzer does not guess checksums, so the frames are sealed here, as the daemon that wrote them would have: what recovery then reads is
//! right on the outside and anything inside. `tests/tests/crash_states/damage.rs` has the opposite case.

use super::octets::Octets;
use postrider_core::event::{Event, Severity};
use postrider_core::machine::Machine;
use postrider_core::mail::{Change, QueueId};
use postrider_core::queue::{DiskError, Done, File, Input, Log, Op, OpId, Output, Params, Ticket};
use postrider_core::time::{Duration, Now};
use postrider_core::wire::Wire;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const SECTOR: usize = 512;
const SALT: u64 = 99;
const SEGMENT: u64 = 3;
const SIZE: usize = 64 * 1024;
/// More operations than recovery of so small a spool can need.
const OPERATIONS_MAX: usize = 10_000;

/// Reads each piece as a change, seals all of them into a segment, and recovers it.
///
/// # Panics
/// When a law is broken.
pub fn record(octets: &[u8]) {
    let mut octets = Octets(octets);
    let mut segment = header();
    while !octets.0.is_empty() && segment.len() < SIZE - 8 * 1024 {
        let flags = octets.octet();
        let subject = u64::from(octets.octet());
        let (changes, content) = (octets.piece(), octets.piece());
        is_read_back(changes);
        frame(
            &mut segment,
            flags,
            subject,
            &changes[..changes.len().min(4000)],
            &content[..content.len().min(4000)],
        );
    }
    segment.resize(SIZE, 0);
    let mut disk = Disk::default();
    disk.files.insert(File::Segment(SEGMENT), segment);
    recover(disk);
}

/// What parses is emitted so that it parses to the same, and is not longer than it was but for fields that are always written.
fn is_read_back(octets: &[u8]) {
    let Ok(change) = Change::parse(octets) else { return };
    let mut out = Vec::new();
    change.emit(&mut out);
    assert_eq!(Change::parse(&out).as_ref(), Ok(&change));
    assert!(out.len() <= octets.len() + 24, "{} octets of {}", out.len(), octets.len());
}

/// The head of a segment, twice.
fn header() -> Vec<u8> {
    let mut copy = Vec::new();
    copy.extend_from_slice(&0x9057_71de_u32.to_le_bytes());
    copy.extend_from_slice(&[1, 0, 0, 0]);
    let oldest = SEGMENT;
    for word in [SEGMENT, SALT, SIZE as u64, 1, 0, 0, 0, oldest, 0] {
        copy.extend_from_slice(&word.to_le_bytes());
    }
    let crc = crc32fast::hash(&copy);
    copy.extend_from_slice(&crc.to_le_bytes());
    copy.resize(SECTOR, 0);
    copy.repeat(2)
}

/// One frame at the end of a segment. Of the flags the first says that it commits, the others that something is wrong.
fn frame(segment: &mut Vec<u8>, flags: u8, subject: u64, changes: &[u8], content: &[u8]) {
    let offset = segment.len() as u64;
    let total = (48 + changes.len() + content.len()).next_multiple_of(SECTOR);
    let mut head = Vec::new();
    head.extend_from_slice(&0xf7a3_e51d_u32.to_le_bytes());
    head.extend_from_slice(&[1, flags & 1, 0, 0]);
    let wrong = |flag: u8| u32::from(flags & flag != 0);
    let sizes = [total, changes.len(), content.len()].map(|size| u32::try_from(size).expect("a small frame"));
    let sums = [crc32fast::hash(changes) ^ wrong(2), crc32fast::hash(content) ^ wrong(4)];
    for part in sizes.into_iter().chain(sums).chain([0]) {
        head.extend_from_slice(&part.to_le_bytes());
    }
    let synced = if flags & 8 == 0 { 0 } else { offset };
    head.extend_from_slice(&synced.to_le_bytes());
    head.extend_from_slice(&subject.to_le_bytes());
    let place = [SEGMENT, SALT, offset].map(u64::to_le_bytes).concat();
    let crc = crc32fast::hash(&[place, head.clone()].concat());
    head[28..32].copy_from_slice(&crc.to_le_bytes());
    segment.extend_from_slice(&head);
    segment.extend_from_slice(changes);
    segment.extend_from_slice(content);
    segment.resize(usize::try_from(offset).expect("a small segment") + total, 0);
}

/// Recovery ends, what it announces can be loaded, mail is taken afterwards, and the next recovery finds the same.
fn recover(disk: Disk) {
    let mut spool = Spool::open(disk);
    let found = spool.found.clone();
    for id in &found {
        spool.tell(Input::Load { ticket: Ticket(1), id: *id });
        let loaded = spool.loaded.take().expect("a load is answered");
        assert!(matches!(loaded, Ok(Some(_))), "{id} was announced: {loaded:?}");
        let place = spool.log.whereabouts(*id).expect("what is there is somewhere");
        assert!(place.offset + place.length <= spool.disk.size(place.file), "{id}: {place:?}");
    }
    let hold = found.first().copied().unwrap_or(QueueId(5));
    spool.tell(Input::Append { ticket: Ticket(2), changes: vec![Change::Hold(hold)], content: Vec::new() });
    for _ in 0..8 {
        spool.pass();
    }
    assert_eq!(spool.appended, Some(true), "mail is taken again");
    let again = Spool::open(spool.disk);
    assert_eq!(again.found, found, "the next start finds the same");
    assert_eq!(again.set_aside, Vec::<String>::new(), "what was set aside is not set aside again");
}

/// Files in memory.
#[derive(Debug, Default)]
struct Disk {
    files: BTreeMap<File, Vec<u8>>,
}

impl Disk {
    fn size(&self, file: File) -> u64 {
        self.files.get(&file).map_or(0, |octets| octets.len() as u64)
    }

    fn run(&mut self, op: &Op) -> Result<Done, DiskError> {
        match op {
            Op::List => {
                return Ok(Done::Files(self.files.keys().map(|file| (*file, self.size(*file))).collect()));
            }
            Op::Create { file, size } => {
                assert!(*size <= 16 * SIZE as u64);
                let before = self.files.insert(*file, vec![0; usize::try_from(*size).expect("small")]);
                assert!(before.is_none(), "{file:?} exists");
            }
            Op::Write { file, offset, octets } => {
                let (octets, at) = (octets.concat(), usize::try_from(*offset).expect("small"));
                let all = self.files.get_mut(file).ok_or(DiskError::Missing)?;
                all.resize(all.len().max(at + octets.len()), 0);
                all[at..at + octets.len()].copy_from_slice(&octets);
            }
            Op::Read { file, offset, length } => {
                let all = self.files.get(file).ok_or(DiskError::Missing)?;
                let mut rest = Octets(all);
                rest.take(usize::try_from(*offset).unwrap_or(usize::MAX));
                return Ok(Done::Octets(rest.take(usize::try_from(*length).unwrap_or(usize::MAX)).to_vec()));
            }
            Op::Unlink(file) => _ = self.files.remove(file).ok_or(DiskError::Missing)?,
            Op::Sync(_) | Op::SyncDirectory => {}
        }
        Ok(Done::Nothing)
    }
}

/// The shipped log over such files.
struct Spool {
    disk: Disk,
    log: Log,
    now: Now,
    pending: VecDeque<(OpId, Op)>,
    operations: usize,
    found: BTreeSet<QueueId>,
    ready: bool,
    set_aside: Vec<String>,
    loaded: Option<Result<Option<()>, String>>,
    appended: Option<bool>,
}

impl Spool {
    fn open(disk: Disk) -> Self {
        let mut spool = Self {
            disk,
            log: Log::new(Params { segment_size: SIZE as u64, reserve: 0, ..Params::default() }, 77),
            now: Now::default(),
            pending: VecDeque::new(),
            operations: 0,
            found: BTreeSet::new(),
            ready: false,
            set_aside: Vec::new(),
            loaded: None,
            appended: None,
        };
        spool.tell(Input::Open);
        for _ in 0..16 {
            if !spool.ready {
                spool.pass();
            }
        }
        assert!(spool.ready, "recovery ends");
        spool
    }

    fn pass(&mut self) {
        self.now = self.now.after(Duration::from_secs(5));
        self.log.handle_timeout(self.now);
        self.settle();
    }

    fn tell(&mut self, input: Input) {
        self.log.handle_input(self.now, input);
        self.settle();
    }

    /// Carries out all that is asked for.
    fn settle(&mut self) {
        self.drain();
        while let Some((op, what)) = self.pending.pop_front() {
            self.operations += 1;
            assert!(self.operations < OPERATIONS_MAX, "the log asks for ever: {what:?}");
            let result = self.disk.run(&what);
            self.log.handle_input(self.now, Input::Did { op, result });
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.log.poll_output() {
            match output {
                Output::Do(id, op) => self.pending.push_back((id, op)),
                Output::Recovered(summary) => {
                    assert!(self.found.insert(summary.id), "{} is announced twice", summary.id);
                }
                Output::Ready => self.ready = true,
                Output::Numbered { .. } => {}
                Output::Loaded { loaded, .. } => self.loaded = Some(loaded.map(|loaded| loaded.map(|_| ()))),
                Output::Event(event) => self.hear(&event),
                Output::Appended { result, .. } => self.appended = Some(result.is_ok()),
            }
        }
    }

    fn hear(&mut self, event: &Event) {
        let text = event.text();
        if event.severity() == Severity::Error && text.contains("set aside as") {
            self.set_aside.push(text);
        }
    }
}
