//! The task that owns the log.
//!
//! Requests that wait are all taken in before the next disk operation is carried out, so those that come while a
//! sync runs share the next one: group commit. Decides nothing; see postrider_core::queue.

use crate::env::{Disk, Environment};
use crate::limits::{READS_MAX, REST_MAX};
use crate::observe;
use crate::sync::atomic::{AtomicIsize, Ordering};
use crate::sync::{Mutex, PoisonError};
use postrider_core::machine::Machine;
use postrider_core::mail::{Change, Loaded, Message, QueueId, Refusal, Summary};
use postrider_core::manager;
use postrider_core::queue::transfer::moved;
use postrider_core::queue::{DiskError, Done, File, Input, Log, Op, OpId, Output, Ticket, Whereabouts};
use postrider_core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::sync::{Notify, Semaphore, oneshot};

/// Somebody's request.
enum Request {
    Append { changes: Vec<Change>, content: Vec<Vec<u8>>, reply: Reply },
    Load { id: QueueId, reply: LoadReply },
    Whereabouts { id: QueueId, reply: oneshot::Sender<Option<Whereabouts>> },
    Rest { reply: oneshot::Sender<()> },
    Forget { id: QueueId },
}

/// Where the answer to a load goes.
type LoadReply = oneshot::Sender<Result<Option<Box<Loaded>>, String>>;

/// Who waits for an append.
enum Reply {
    /// A task.
    Task(oneshot::Sender<Result<(), Refusal>>),
    /// The manager, under its own ticket.
    Manager(Ticket),
}

/// Recovered messages that are told at once, and twice as many that may wait to be heard: a million of them in a channel would take
/// as much memory as all that is remembered of them.
const RECOVERED_AT_ONCE: usize = 1_000;
const RECOVERED_WAITING: usize = 2;

/// What the spool says about itself, as soon as it has read where its segments begin and end.
#[derive(Debug)]
pub struct Opened {
    /// The highest queue id it has seen.
    pub last: QueueId,
    /// What recovery finds; the end of the channel is the end of recovery.
    pub recovered: Receiver<Vec<Summary>>,
}

/// Messages whose place is remembered from their commit to their first delivery.
const RECENT_MAX: usize = if cfg!(feature = "shuttle") { 2 } else { 1_024 };

/// Lets the spool's thread sleep until enough messages have come, in place of waking up for each.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Messages in the channel; for a moment one less, when the keeper takes a message before who brought it has counted it.
    waiting: AtomicIsize,
    /// So many wake it.
    wanted: AtomicIsize,
    come: Notify,
}

impl Default for Gate {
    fn default() -> Self {
        Self { waiting: AtomicIsize::new(0), wanted: AtomicIsize::new(isize::MAX), come: Notify::new() }
    }
}

impl Gate {
    // Either the keeper sees the message that came, or who brought it sees what the keeper wants: both orders are total (SeqCst).
    pub(crate) fn came(&self) {
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        if waiting >= self.wanted.load(Ordering::SeqCst) {
            self.come.notify_one();
        }
    }

    /// Waits for so many.
    pub(crate) async fn come(&self, wanted: usize) {
        let wanted = isize::try_from(wanted).unwrap_or(isize::MAX);
        self.wanted.store(wanted, Ordering::SeqCst);
        while self.waiting.load(Ordering::SeqCst) < wanted {
            self.come.notified().await;
        }
    }

    /// Waits for so many; false when they have not come in time.
    async fn wait(&self, wanted: usize, patience: Duration) -> bool {
        let in_time = tokio::time::timeout(patience, self.come(wanted)).await.is_ok();
        self.wanted.store(isize::MAX, Ordering::SeqCst);
        in_time
    }
}

/// Where the latest messages lie, so that their first delivery need not ask. Only a hint: compaction moves messages, and a
/// reader that does not find the file asks.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    places: BTreeMap<QueueId, Whereabouts>,
    order: VecDeque<QueueId>,
}

impl Recent {
    /// A message lies there.
    pub(crate) fn put(&self, id: QueueId, place: Whereabouts) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.places.insert(id, place);
        known.order.push_back(id);
        if known.order.len() > RECENT_MAX
            && let Some(oldest) = known.order.pop_front()
        {
            known.places.remove(&oldest);
        }
    }

    /// Where a message lies, if that is remembered; once, for who asks once more has found it wrong.
    pub(crate) fn take(&self, id: QueueId) -> Option<Whereabouts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).places.remove(&id)
    }

    /// How many are remembered.
    #[cfg(all(test, feature = "shuttle"))]
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).places.len()
    }
}

/// A handle to the spool. Its channel has no bound of its own: a session, an attempt or a report has at most one
/// request open, and those are bounded; the manager bounds its own.
#[derive(Clone)]
pub struct Spool {
    requests: UnboundedSender<Request>,
    disk: Arc<dyn Disk>,
    reads: Arc<Reads>,
    gate: Arc<Gate>,
    recent: Arc<Recent>,
}

/// How contents are read from the device: elsewhere, and not too many at a time.
struct Reads {
    seats: Semaphore,
    blocking: Box<dyn Fn(Op) -> Reading + Send + Sync>,
}

/// The octets, or what the disk said.
type Reading = Pin<Box<dyn Future<Output = Result<Done, DiskError>> + Send>>;

impl Reads {
    fn of<E: Environment>(env: &Arc<E>) -> Self {
        let env = Arc::clone(env);
        let blocking = move |op: Op| -> Reading {
            let env = Arc::clone(&env);
            let disk = env.disk();
            let ended = || DiskError::Failed("internal error, or the daemon is stopping".to_owned());
            Box::pin(async move { env.blocking(move || disk.execute(op)).await.ok_or_else(ended)? })
        };
        Self { seats: Semaphore::new(READS_MAX), blocking: Box::new(blocking) }
    }
}

impl Spool {
    /// Starts the task. `manager` hears of committed messages and of the end of recovery; `opened` is told when sessions may begin.
    pub fn start<E: Environment>(
        env: &Arc<E>,
        log: Log,
        manager: UnboundedSender<manager::Input>,
        opened: oneshot::Sender<Opened>,
    ) -> Self {
        let (requests, incoming) = unbounded_channel();
        let disk = env.disk();
        let gate = Arc::new(Gate::default());
        let recent = Arc::new(Recent::default());
        let keeper = Keeper {
            env: Arc::clone(env),
            log,
            disk: Arc::clone(&disk),
            manager,
            opened: Some(opened),
            recovered: None,
            batch: Vec::new(),
            ops: VecDeque::new(),
            appends: BTreeMap::new(),
            loads: BTreeMap::new(),
            rests: Vec::new(),
            last_ticket: 0,
            gate: Arc::clone(&gate),
            recent: Arc::clone(&recent),
        };
        env.spawn_spool(keeper.run(incoming));
        let reads = Arc::new(Reads::of(env));
        Self { requests, disk, reads, gate, recent }
    }

    /// Makes changes durable. The manager hears of a committed message before this returns.
    ///
    /// # Errors
    /// The spool's refusal.
    pub async fn append(&self, changes: Vec<Change>, content: Vec<Vec<u8>>) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        let commits = is_commit(&changes);
        _ = self.requests.send(Request::Append { changes, content, reply: Reply::Task(reply) });
        if commits {
            self.gate.came();
        }
        answer.await.unwrap_or(Err(Refusal::Broken))
    }

    /// The same for the manager, who is answered by `manager::Input::Appended`.
    pub fn append_for_manager(&self, ticket: Ticket, changes: Vec<Change>) {
        _ = self.requests.send(Request::Append {
            changes,
            content: Vec::new(),
            reply: Reply::Manager(ticket),
        });
    }

    /// Reads a message; `None` when it is gone.
    ///
    /// # Errors
    /// It can not be read now: why.
    pub async fn load(&self, id: QueueId) -> Result<Option<Box<Loaded>>, String> {
        let (reply, answer) = oneshot::channel();
        _ = self.requests.send(Request::Load { id, reply });
        answer.await.unwrap_or_else(|_| Err("the spool is closed".to_owned()))
    }

    /// Where the stored content of a message is.
    pub async fn whereabouts(&self, id: QueueId) -> Option<Whereabouts> {
        let recent = self.recent.take(id);
        if recent.is_some() {
            return recent;
        }
        let (reply, answer) = oneshot::channel();
        _ = self.requests.send(Request::Whereabouts { id, reply });
        answer.await.ok().flatten()
    }

    /// The content of this id, which could not be removed and belongs to no message, goes when it can.
    pub fn forget(&self, id: QueueId) {
        _ = self.requests.send(Request::Forget { id });
    }

    /// Waits until the log is at rest, for a moment at most: a disk that does not work has none.
    pub async fn rest(&self) {
        let (reply, answer) = oneshot::channel();
        _ = self.requests.send(Request::Rest { reply });
        _ = tokio::time::timeout(REST_MAX, answer).await;
    }

    /// Waits until the task has ended.
    pub async fn closed(&self) {
        self.requests.closed().await;
    }

    /// Octets of a file: at once if they are in memory, as those of a message that has just come are; else from a thread that may
    /// wait for the disk while all others go on ([why](../../docs/decisions/0030-reads-that-may-wait.md)).
    ///
    /// # Errors
    /// What the disk said.
    pub async fn read(&self, file: File, offset: u64, length: u64) -> Result<Vec<u8>, DiskError> {
        // Taken before the glance too: that may make the kernel ask the device ahead, and a device takes only so much at a time.
        let _seat = self.reads.seats.acquire().await;
        if let Some(octets) = self.disk.glance(file, offset, length) {
            return Ok(octets);
        }
        match (self.reads.blocking)(Op::Read { file, offset, length }).await? {
            Done::Octets(octets) => Ok(octets),
            _ => Err(DiskError::Failed("a read read nothing".to_owned())),
        }
    }

    /// The disk, for staging large contents.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }
}

/// Only sessions, submissions and reports commit; the manager does not.
fn is_commit(changes: &[Change]) -> bool {
    changes.iter().any(|change| matches!(change, Change::Commit(_)))
}

struct Keeper<E> {
    env: Arc<E>,
    log: Log,
    disk: Arc<dyn Disk>,
    manager: UnboundedSender<manager::Input>,
    opened: Option<oneshot::Sender<Opened>>,
    recovered: Option<Sender<Vec<Summary>>>,
    batch: Vec<Summary>,
    ops: VecDeque<(OpId, Op)>,
    appends: BTreeMap<Ticket, (Reply, Option<Summary>)>,
    loads: BTreeMap<Ticket, LoadReply>,
    /// Who waits until there is nothing to do.
    rests: Vec<oneshot::Sender<()>>,
    last_ticket: u64,
    gate: Arc<Gate>,
    recent: Arc<Recent>,
}

impl<E: Environment> Keeper<E> {
    async fn run(mut self, mut incoming: UnboundedReceiver<Request>) {
        self.tell(Input::Open).await;
        loop {
            while let Ok(request) = incoming.try_recv() {
                self.request(request).await;
            }
            if let Some((op, what)) = self.ops.pop_front() {
                let result = self.disk.execute(what);
                self.tell(Input::Did { op, result }).await;
                // The other tasks of this thread, if there are any (in simulation), have their turn between operations.
                tokio::task::yield_now().await;
                continue;
            }
            if self.log.is_at_rest() {
                self.rests.drain(..).for_each(|reply| _ = reply.send(()));
            }
            let now = self.env.now();
            let wait = self.log.next_timeout().map(|at| at.since(now.mono));
            let missing = self.log.missing(now);
            let request = match wait {
                None => incoming.recv().await,
                Some(wait) if missing > 0 => {
                    if !self.gate.wait(missing, wait).await {
                        self.time_out().await;
                    }
                    continue;
                }
                Some(wait) => match tokio::time::timeout(wait, incoming.recv()).await {
                    Ok(request) => request,
                    Err(_) => {
                        self.time_out().await;
                        continue;
                    }
                },
            };
            // Nobody is left who could ask: the daemon is down.
            let Some(request) = request else { return };
            self.request(request).await;
        }
    }

    async fn time_out(&mut self) {
        self.log.handle_timeout(self.env.now());
        self.drain().await;
    }

    async fn request(&mut self, request: Request) {
        match request {
            Request::Append { changes, content, reply } => {
                let ticket = self.next_ticket();
                if is_commit(&changes) {
                    self.gate.waiting.fetch_sub(1, Ordering::SeqCst);
                }
                self.appends.insert(ticket, (reply, moved(&changes)));
                self.tell(Input::Append { ticket, changes, content }).await;
            }
            Request::Load { id, reply } => {
                let ticket = self.next_ticket();
                self.loads.insert(ticket, reply);
                self.tell(Input::Load { ticket, id }).await;
            }
            Request::Whereabouts { id, reply } => _ = reply.send(self.log.whereabouts(id)),
            Request::Rest { reply } => self.rests.push(reply),
            Request::Forget { id } => self.tell(Input::Forget(id)).await,
        }
    }

    fn next_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    async fn tell(&mut self, input: Input) {
        self.log.handle_input(self.env.now(), input);
        self.drain().await;
    }

    /// Hands recovered messages to the manager, and waits while it has enough of them.
    async fn announce(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if let (Some(recovered), false) = (&self.recovered, batch.is_empty()) {
            _ = recovered.send(batch).await;
        }
    }

    async fn drain(&mut self) {
        while let Some(output) = self.log.poll_output() {
            match output {
                Output::Do(op, what) => self.ops.push_back((op, what)),
                Output::Numbered { last } => {
                    let (recovered, receiver) = channel(RECOVERED_WAITING);
                    self.recovered = Some(recovered);
                    if let Some(opened) = self.opened.take() {
                        _ = opened.send(Opened { last, recovered: receiver });
                    }
                }
                Output::Recovered(summary) => {
                    self.batch.push(summary);
                    if self.batch.len() >= RECOVERED_AT_ONCE {
                        self.announce().await;
                    }
                }
                Output::Ready => {
                    self.announce().await;
                    self.recovered = None;
                }
                Output::Appended { ticket, result, committed } => self.appended(ticket, result, committed),
                Output::Loaded { ticket, loaded } => {
                    if let Some(reply) = self.loads.remove(&ticket) {
                        _ = reply.send(loaded);
                    }
                }
                Output::Event(event) => observe::log(event),
            }
        }
    }

    fn appended(&mut self, ticket: Ticket, result: Result<(), Refusal>, committed: Option<Box<Message>>) {
        let Some((reply, moved)) = self.appends.remove(&ticket) else { return };
        if let Some(message) = committed {
            if let Some(place) = self.log.whereabouts(message.id) {
                self.recent.put(message.id, place);
            }
            _ = self.manager.send(match moved {
                // As if it had been there at the start.
                Some(summary) => manager::Input::Recovered(summary),
                None => manager::Input::Committed(message),
            });
        }
        match reply {
            Reply::Task(reply) => _ = reply.send(result),
            Reply::Manager(ticket) => _ = self.manager.send(manager::Input::Appended(ticket, result)),
        }
    }
}
