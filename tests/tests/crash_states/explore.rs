//! Every moment of a recorded history, and many of the disks that a power failure can leave of it, recovered and compared.

use crate::ledger::{Ledger, Note};
use crate::platter::{DropOp, Folder, Platter};
use postrider_core::event::{Event, Severity};
use postrider_core::machine::Machine;
use postrider_core::mail::{Change, Loaded, QueueId, Refusal, Summary};
use postrider_core::prng::Prng;
use postrider_core::queue::{Done, File, Input, Log, Op, Output, Params, Ticket, Whereabouts};
use postrider_core::time::{Duration, Now, Timestamp};
use std::collections::{BTreeSet, HashSet, VecDeque};

/// One entry of a history.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// An operation that was carried out.
    Did(Op),
    /// One that failed: part of it may have happened.
    Failed(Op),
    /// The same for a file of the maildrop.
    Dropped(u32, DropOp),
    /// One of the spool's directories was synced; [`Op::SyncDirectory`] is all of them.
    Names(Folder),
    /// Something that was promised.
    Note(Note),
}

/// One recovered state in so many is crashed once more while it is recovered.
const AGAIN: u64 = 40;

/// Small, so that a short history changes segments often.
pub(crate) fn params() -> Params {
    Params { segment_size: 8 * 1024, reserve: 8 * 1024, ..Params::default() }
}

/// A moment at which both clocks are known.
pub(crate) fn start() -> Now {
    Now { wall: Timestamp::from_seconds(1_000_000), ..Now::default() }
}

/// What an exploration has seen.
#[derive(Debug)]
pub(crate) struct Explorer {
    params: Params,
    /// Sectors tear, too.
    pub(crate) tears: bool,
    /// Digests of the disks that were recovered.
    pub(crate) states: HashSet<u64>,
    /// With the ledger that each was compared with.
    judged: HashSet<(u64, u64)>,
    /// Recoveries, those of a second crash among them.
    pub(crate) recoveries: u64,
    /// Moments.
    pub(crate) moments: u64,
}

impl Explorer {
    pub(crate) fn new(params: Params) -> Self {
        Self {
            params,
            tears: false,
            states: HashSet::new(),
            judged: HashSet::new(),
            recoveries: 0,
            moments: 0,
        }
    }

    /// The same, and sectors tear.
    pub(crate) fn tearing(self) -> Self {
        Self { tears: true, ..self }
    }

    /// Explores a history, so many disks for each moment. What was not kept is the error.
    pub(crate) fn explore(&mut self, history: &[Step], budget: usize, prng: &mut Prng) -> Result<(), String> {
        let mut platter = Platter::new(self.tears);
        let (mut ledger, mut version) = (Ledger::default(), prng.next_u64());
        for (number, step) in history.iter().enumerate() {
            if !matches!(step, Step::Note(_)) {
                self.moment(&platter, &ledger, version, budget, prng)
                    .map_err(|why| format!("before step {number}, {}: {why}", short(step)))?;
            }
            version += u64::from(take(step, &mut platter, &mut ledger)?);
        }
        self.moment(&platter, &ledger, version, budget, prng).map_err(|why| format!("at the end: {why}"))
    }

    fn moment(
        &mut self,
        platter: &Platter,
        ledger: &Ledger,
        version: u64,
        budget: usize,
        prng: &mut Prng,
    ) -> Result<(), String> {
        self.moments += 1;
        let crash = platter.crash();
        for way in crash.ways(budget, prng) {
            let (left, digest) = crash.decide(&way);
            self.states.insert(digest);
            if self.judged.insert((digest, version)) {
                self.recoveries += 1;
                if prng.chance(1, AGAIN) {
                    self.crash_again(&left, ledger, prng).map_err(|why| format!("crashed twice: {why}"))?;
                }
                judge(left, ledger, self.params, self.tears)?;
            }
        }
        Ok(())
    }

    /// The power fails once more while the disk is recovered.
    fn crash_again(&mut self, left: &Platter, ledger: &Ledger, prng: &mut Prng) -> Result<(), String> {
        let mut recovery = Recovery::new(left.clone(), prng.below(60), self.params);
        recovery.run()?;
        let crash = recovery.platter.crash();
        for way in crash.ways(2, prng) {
            let (again, digest) = crash.decide(&way);
            self.states.insert(digest);
            self.recoveries += 1;
            judge(again, ledger, self.params, self.tears)?;
        }
        Ok(())
    }
}

/// Lets a step happen; true if promises have changed.
fn take(step: &Step, platter: &mut Platter, ledger: &mut Ledger) -> Result<bool, String> {
    match step {
        Step::Note(note) => ledger.note(note),
        Step::Did(op) => {
            platter.run(op).map_err(|error| format!("{}: the disk says {error:?}", short(step)))?;
            match op {
                Op::Write { file: File::Segment(segment), .. } => ledger.writes_to = Some(*segment),
                Op::Sync(File::Segment(segment)) => ledger.synced(*segment),
                _ => return Ok(false),
            }
        }
        Step::Dropped(number, op) => {
            platter.run_drop(*number, op).map_err(|error| format!("{}: {error:?}", short(step)))?;
            return Ok(false);
        }
        Step::Names(folder) => {
            platter.sync_names(*folder);
            return Ok(false);
        }
        Step::Failed(op) => {
            platter.fail(op);
            ledger.failed();
        }
    }
    Ok(true)
}

fn short(step: &Step) -> String {
    let text = format!("{step:?}");
    text.chars().take(100).collect()
}

/// Recovers a disk and compares what is there with what was promised.
fn judge(left: Platter, ledger: &Ledger, params: Params, tears: bool) -> Result<(), String> {
    let mut recovery = Recovery::new(left, u64::MAX, params);
    recovery.run()?;
    // The record of refused mail may be there although its content has been removed: the one false alarm that docs/RELIABILITY.md allows.
    let is_allowed =
        |trouble: &&String| ledger.is_refused(trouble) && trouble.contains("content file is missing");
    // Both headers of a segment that was not synced, each torn within its sector: nobody can tell that from damage, and nothing in it was promised.
    let is_header = |trouble: &String| trouble.contains("(its header is damaged)");
    let (has_torn, follows) =
        (tears && recovery.troubles.iter().any(is_header), "because records are damaged");
    let is_torn = |trouble: &&String| has_torn && (is_header(trouble) || trouble.contains(follows));
    if let Some(trouble) = recovery.troubles.iter().find(|trouble| !is_torn(trouble) && !is_allowed(trouble))
    {
        return Err(format!("a crash is not damage: {trouble}"));
    }
    let found: BTreeSet<QueueId> = recovery.found.iter().map(|summary| summary.id).collect();
    if found.len() != recovery.found.len() {
        return Err("a message is there twice".to_owned());
    }
    ledger.judge_all(&found, recovery.last)?;
    ledger.judge_left(&found, recovery.platter.left())?;
    for summary in std::mem::take(&mut recovery.found) {
        let loaded = recovery.load(summary.id)?;
        let content = recovery.content(summary.id)?;
        ledger.judge(&summary, &loaded, &content)?;
    }
    Ok(())
}

/// The shipped recovery over a disk.
pub(crate) struct Recovery {
    pub(crate) platter: Platter,
    log: Log,
    pending: VecDeque<(postrider_core::queue::OpId, Op)>,
    /// Operations that are still carried out.
    left: u64,
    pub(crate) found: Vec<Summary>,
    pub(crate) ready: bool,
    /// The highest id that it knows of.
    pub(crate) last: QueueId,
    pub(crate) troubles: Vec<String>,
    pub(crate) warnings: usize,
    loaded: Option<Result<Option<Box<Loaded>>, String>>,
    appended: Option<Result<(), Refusal>>,
    now: Now,
}

impl Recovery {
    /// Over this disk, up to so many operations.
    pub(crate) fn new(platter: Platter, most: u64, params: Params) -> Self {
        Self {
            platter,
            log: Log::new(params, 77),
            pending: VecDeque::new(),
            left: most,
            found: Vec::new(),
            ready: false,
            last: QueueId::default(),
            troubles: Vec::new(),
            warnings: 0,
            loaded: None,
            appended: None,
            now: start(),
        }
    }

    /// To the end of recovery, or of the operations.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.tell(Input::Open);
        while !self.ready && self.left > 0 {
            self.go_on()?;
        }
        Ok(())
    }

    /// Carries out what is asked for, until nothing is.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        while !self.pending.is_empty() {
            self.go_on()?;
        }
        Ok(())
    }

    fn go_on(&mut self) -> Result<(), String> {
        let (id, op) = self.pending.pop_front().ok_or("it waits for nothing")?;
        self.left -= 1;
        let result = self.platter.run(&op);
        self.tell(Input::Did { op: id, result });
        Ok(())
    }

    fn tell(&mut self, input: Input) {
        self.log.handle_input(self.now, input);
        self.drain();
    }

    /// Lets time pass, and ends what is begun then.
    pub(crate) fn pass(&mut self, duration: Duration) -> Result<(), String> {
        self.now = self.now.after(duration);
        self.log.handle_timeout(self.now);
        self.drain();
        self.settle()
    }

    /// Makes changes durable.
    pub(crate) fn append(&mut self, changes: Vec<Change>, content: Vec<Vec<u8>>) -> Result<(), String> {
        self.tell(Input::Append { ticket: Ticket(2), changes, content });
        while self.appended.is_none() {
            self.go_on()?;
        }
        let result = self.appended.take().ok_or("no answer")?;
        result.map_err(|why| format!("refused: {why:?}"))
    }

    fn drain(&mut self) {
        while let Some(output) = self.log.poll_output() {
            match output {
                Output::Do(id, op) => self.pending.push_back((id, op)),
                Output::Recovered(summary) => self.found.push(summary),
                Output::Numbered { last } => self.last = last,
                Output::Ready => self.ready = true,
                Output::Loaded { loaded, .. } => self.loaded = Some(loaded),
                Output::Event(event) => self.heard(&event),
                Output::Appended { result, .. } => self.appended = Some(result),
            }
        }
    }

    fn heard(&mut self, event: &Event) {
        if event.severity() == Severity::Warning {
            self.warnings += 1;
        }
        if event.severity() == Severity::Error {
            self.troubles.push(event.text());
        }
    }

    /// A message that was found.
    pub(crate) fn load(&mut self, id: QueueId) -> Result<Box<Loaded>, String> {
        self.tell(Input::Load { ticket: Ticket(1), id });
        while self.loaded.is_none() {
            self.go_on()?;
        }
        let loaded = self.loaded.take().ok_or("no answer")??;
        loaded.ok_or_else(|| format!("{id} was announced, and is not there"))
    }

    /// Where they are.
    pub(crate) fn whereabouts(&self, id: QueueId) -> Option<Whereabouts> {
        self.log.whereabouts(id)
    }

    /// Its stored octets.
    pub(crate) fn content(&mut self, id: QueueId) -> Result<Vec<u8>, String> {
        let place = self.log.whereabouts(id).ok_or_else(|| format!("{id} is nowhere"))?;
        let op = Op::Read { file: place.file, offset: place.offset, length: place.length };
        match self.platter.run(&op) {
            Ok(Done::Octets(octets)) => Ok(octets),
            other => Err(format!("{id}: its content can not be read: {other:?}")),
        }
    }
}
