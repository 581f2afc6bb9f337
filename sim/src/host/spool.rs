//! Drives the log, stages large contents, and reads stored ones.

use super::{Live, Who, Work};
use crate::world::Scope;
use postrider_core::limits::INLINE_CONTENT_MAX;
use postrider_core::machine::Machine;
use postrider_core::mail::{
    Attempt, Change, ContentPlace, Loaded, Message, Pieces, QueueId, QueueIds, Refusal, Walk,
};
use postrider_core::manager;
use postrider_core::queue::{DiskError, Done, File, Input, Op, OpId, Output, Ticket, Whereabouts};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// Who waits for an append.
#[derive(Debug)]
enum Asker {
    Task(Who),
    Manager(Ticket),
}

/// An append that the log has, or will be given when it has room.
#[derive(Debug)]
struct Append {
    asker: Asker,
    changes: Vec<Change>,
    content: Vec<Vec<u8>>,
}

/// A private operation of the disk.
#[derive(Debug)]
enum Job {
    Stage(Box<Staging>),
    Read(Who),
    Forget(QueueId),
}

/// A content on its way to a file of its own.
#[derive(Debug)]
struct Staging {
    who: Who,
    steps: VecDeque<Op>,
    message: Box<Message>,
    changes: Vec<Change>,
}

/// What the spool has under way.
#[derive(Debug, Default)]
pub(super) struct Desk {
    waiting: VecDeque<Append>,
    /// Who waits, and the message whose content lies in a file of its own, if one is committed.
    appends: BTreeMap<Ticket, (Asker, Option<(QueueId, ContentPlace)>)>,
    loads: BTreeMap<Ticket, QueueId>,
    /// Messages that are loaded to be requeued.
    requeues: BTreeMap<Ticket, Box<Attempt>>,
    jobs: BTreeMap<u64, Job>,
    readers: BTreeMap<Who, Reader>,
    last: u64,
}

/// A place in a message that is being read.
#[derive(Debug)]
pub(super) struct Reader {
    id: QueueId,
    pieces: Arc<Pieces>,
    walk: Walk,
    out: Vec<u8>,
    wanted: usize,
    asked: Range<u64>,
    again: bool,
}

impl Reader {
    /// At the start of a message.
    pub(super) fn new(id: QueueId, pieces: Arc<Pieces>) -> Self {
        Self { id, pieces, walk: Walk::default(), out: Vec::new(), wanted: 0, asked: 0..0, again: false }
    }
}

impl Live {
    pub(super) fn tell_log(&mut self, scope: &mut Scope<'_>, input: Input) {
        self.log.handle_input(Self::now(scope), input);
        self.drain_log(scope);
    }

    pub(super) fn drain_log(&mut self, scope: &mut Scope<'_>) {
        self.due[0] = None;
        while let Some(output) = self.log.poll_output() {
            match output {
                Output::Do(op, what) => scope.disk(op.0 << 1, what),
                Output::Recovered(summary) => {
                    self.work.push_back(Work::Manager(manager::Input::Recovered(summary)))
                }
                Output::Numbered { last } => {
                    self.ids = Some(QueueIds::new(self.site.node, last));
                    scope.listen(25);
                }
                Output::Ready => self.work.push_back(Work::Manager(manager::Input::Ready)),
                Output::Appended { ticket, result, committed } => {
                    self.appended(scope, ticket, result, committed);
                }
                Output::Loaded { ticket, loaded } => self.loaded(ticket, loaded),
                Output::Event(event) => self.event(scope, &event),
            }
        }
        self.feed_log();
    }

    fn feed_log(&mut self) {
        // One at a time: each changes the room. The next is fed when this one has been taken.
        if self.log.room() == 0 {
            return;
        }
        let Some(Append { asker, changes, content }) = self.spool.waiting.pop_front() else { return };
        self.spool.last += 1;
        let ticket = Ticket(self.spool.last);
        let committed = changes.iter().find_map(|change| match change {
            Change::Commit(message) => Some((message.id, message.place)),
            _ => None,
        });
        self.spool.appends.insert(ticket, (asker, committed));
        self.work.push_back(Work::Log(Input::Append { ticket, changes, content }));
    }

    fn append(&mut self, append: Append) {
        self.spool.waiting.push_back(append);
        self.feed_log();
    }

    pub(super) fn append_for_manager(&mut self, ticket: Ticket, changes: Vec<Change>) {
        self.append(Append { asker: Asker::Manager(ticket), changes, content: Vec::new() });
    }

    /// Makes changes durable for a task; the answer is [`Work::Committed`].
    pub(super) fn append_for_task(&mut self, who: Who, changes: Vec<Change>) {
        self.append(Append { asker: Asker::Task(who), changes, content: Vec::new() });
    }

    fn appended(
        &mut self,
        scope: &mut Scope<'_>,
        ticket: Ticket,
        result: Result<(), Refusal>,
        durable: Option<Box<Message>>,
    ) {
        let Some((asker, committed)) = self.spool.appends.remove(&ticket) else { return };
        if let Some((id, _)) = committed {
            scope.fabric.ledger.committed(scope.node, &id.to_string(), result.is_ok());
        }
        if result.is_ok() {
            scope.fabric.ledger.log_works(scope.node);
        }
        match (result, durable, committed) {
            (Ok(()), Some(message), _) => {
                self.work.push_back(Work::Manager(manager::Input::Committed(message)))
            }
            (Err(_), _, Some((id, ContentPlace::File))) => {
                // Nobody waits for it; what stays is for the log to remove.
                self.job(scope, Job::Forget(id), Op::Unlink(File::Content(id)));
            }
            _ => {}
        }
        self.work.push_back(match asker {
            Asker::Task(who) => Work::Committed(who, result),
            Asker::Manager(ticket) => Work::Manager(manager::Input::Appended(ticket, result)),
        });
    }

    pub(super) fn load(&mut self, id: QueueId) {
        let ticket = self.ask_to_load(id);
        self.spool.loads.insert(ticket, id);
    }

    pub(super) fn load_to_requeue(&mut self, attempt: Box<Attempt>) {
        let ticket = self.ask_to_load(attempt.message);
        self.spool.requeues.insert(ticket, attempt);
    }

    fn ask_to_load(&mut self, id: QueueId) -> Ticket {
        self.spool.last += 1;
        let ticket = Ticket(self.spool.last);
        self.work.push_back(Work::Log(Input::Load { ticket, id }));
        ticket
    }

    fn loaded(&mut self, ticket: Ticket, loaded: Result<Option<Box<Loaded>>, String>) {
        if let Some(attempt) = self.spool.requeues.remove(&ticket) {
            self.requeue_loaded(attempt, loaded);
        } else if let Some(id) = self.spool.loads.remove(&ticket) {
            self.work.push_back(Work::Manager(manager::Input::Loaded(id, loaded)));
        }
    }

    /// Makes a message durable with other changes; the answer is [`Work::Committed`].
    pub(super) fn commit(
        &mut self,
        scope: &mut Scope<'_>,
        who: Who,
        mut message: Box<Message>,
        mut changes: Vec<Change>,
        content: Vec<Vec<u8>>,
    ) {
        self.tell_ledger(scope, who, &message);
        let size: u64 = content.iter().map(|chunk| chunk.len() as u64).sum();
        if size <= INLINE_CONTENT_MAX {
            message.place = ContentPlace::Inline;
            changes.insert(0, Change::Commit(message));
            return self.append(Append { asker: Asker::Task(who), changes, content });
        }
        message.place = ContentPlace::File;
        let file = File::Content(message.id);
        let steps = VecDeque::from([
            Op::Create { file, size: 0 },
            Op::Write { file, offset: 0, octets: content },
            Op::Sync(file),
            Op::SyncDirectory,
        ]);
        self.stage(scope, Box::new(Staging { who, steps, message, changes }));
    }

    /// The oracle hears what is about to be made durable, and from whom it came.
    fn tell_ledger(&self, scope: &mut Scope<'_>, who: Who, message: &Message) {
        let from = match who {
            Who::Session(socket) => self.sessions.get(&socket).and_then(|task| task.from),
            _ => None,
        };
        let addresses: Vec<String> =
            message.envelope.recipients.iter().map(|recipient| recipient.address.external()).collect();
        let now = scope.fabric.kernel.now();
        let ledger = &mut scope.fabric.ledger;
        if let Some(what) = ledger.what(&message.message_id, addresses.iter().map(String::as_str)) {
            ledger.offered(now, &message.id.to_string(), (from, scope.node), what);
        }
    }

    fn stage(&mut self, scope: &mut Scope<'_>, mut staging: Box<Staging>) {
        match staging.steps.pop_front() {
            Some(op) => self.job(scope, Job::Stage(staging), op),
            None => {
                let Staging { who, message, mut changes, .. } = *staging;
                changes.insert(0, Change::Commit(message));
                self.append(Append { asker: Asker::Task(who), changes, content: Vec::new() });
            }
        }
    }

    fn job(&mut self, scope: &mut Scope<'_>, job: Job, op: Op) {
        let tag = self.next() << 1 | 1;
        self.spool.jobs.insert(tag, job);
        scope.disk(tag, op);
    }

    pub(super) fn disk_did(&mut self, scope: &mut Scope<'_>, tag: u64, result: Result<Done, DiskError>) {
        if tag & 1 == 0 {
            return self.work.push_back(Work::Log(Input::Did { op: OpId(tag >> 1), result }));
        }
        match self.spool.jobs.remove(&tag) {
            Some(Job::Stage(staging)) => match result {
                Ok(_) => self.stage(scope, staging),
                Err(error) => {
                    let id = staging.message.id.to_string();
                    scope.fabric.ledger.committed(scope.node, &id, false);
                    let refusal = if error == DiskError::Full { Refusal::Full } else { Refusal::Broken };
                    let id = staging.message.id;
                    self.work.push_back(Work::Committed(staging.who, Err(refusal)));
                    self.job(scope, Job::Forget(id), Op::Unlink(File::Content(id)));
                }
            },
            Some(Job::Read(who)) => self.read_did(scope, who, result),
            Some(Job::Forget(id)) if result.is_err_and(|error| error != DiskError::Missing) => {
                self.work.push_back(Work::Log(Input::Forget(id)));
            }
            Some(Job::Forget(_)) | None => {}
        }
    }

    /// Begins to read a message for a task.
    pub(super) fn open_reader(&mut self, who: Who, reader: Reader) {
        self.spool.readers.insert(who, reader);
    }

    pub(super) fn close_reader(&mut self, who: Who) {
        self.spool.readers.remove(&who);
    }

    /// Reads on; the answer is [`Work::Content`], empty at the end.
    pub(super) fn read_content(&mut self, scope: &mut Scope<'_>, who: Who, restart: bool, wanted: usize) {
        let Some(reader) = self.spool.readers.get_mut(&who) else {
            return self.work.push_back(Work::Content(who, Err("no message is being read".to_owned())));
        };
        if restart {
            reader.walk.restart();
        }
        reader.wanted = wanted;
        reader.again = false;
        self.read_on(scope, who);
    }

    fn read_on(&mut self, scope: &mut Scope<'_>, who: Who) {
        let Some(reader) = self.spool.readers.get_mut(&who) else { return };
        if let Some(range) = reader.walk.step(&reader.pieces, &mut reader.out, reader.wanted) {
            reader.asked = range.clone();
            let id = reader.id;
            return self.read_stored(scope, who, id, range.start, range.end - range.start);
        }
        let out = std::mem::take(&mut reader.out);
        self.work.push_back(Work::Content(who, Ok(out)));
    }

    fn read_stored(&mut self, scope: &mut Scope<'_>, who: Who, id: QueueId, from: u64, length: u64) {
        let Some(Whereabouts { file, offset, .. }) = self.log.whereabouts(id) else {
            return self.work.push_back(Work::Content(who, Err(format!("the content of {id} is gone"))));
        };
        self.job(scope, Job::Read(who), Op::Read { file, offset: offset + from, length });
    }

    fn read_did(&mut self, scope: &mut Scope<'_>, who: Who, result: Result<Done, DiskError>) {
        let Some(reader) = self.spool.readers.get_mut(&who) else { return };
        match result {
            Ok(Done::Octets(octets)) if octets.len() as u64 == reader.asked.end - reader.asked.start => {
                reader.walk.read(reader.asked.start, octets);
                self.read_on(scope, who);
            }
            // Compaction may have moved it: look once more.
            Err(DiskError::Missing) if !reader.again => {
                reader.again = true;
                self.read_on(scope, who);
            }
            other => {
                reader.out.clear();
                let why = format!("the content of {} cannot be read: {other:.60?}", reader.id);
                self.work.push_back(Work::Content(who, Err(why)));
            }
        }
    }
}
