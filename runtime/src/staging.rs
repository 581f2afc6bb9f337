//! Drives the staging of one message's content at a time: small ones in memory, large ones in a file of their own.

use crate::env::Environment;
use crate::inbound::Shared;
use crate::observe;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, PoisonError};
use postrider_core::limits::INLINE_CONTENT_MAX;
use postrider_core::machine::Machine;
use postrider_core::mail::{ContentPlace, QueueId, Refusal};
use postrider_core::queue::{Op, Staged, Staging, StagingInput, StagingOutput};
use postrider_core::time::{Duration, Instant};

/// Between two warnings that contents fill their memory.
const WARN_AGAIN: Duration = Duration::from_secs(60);

/// Octets of contents that are in memory: of all connections, until their commits are answered (`content_memory_limit`).
#[derive(Debug)]
pub struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
    warned: Mutex<Option<Instant>>,
}

impl Budget {
    /// Nothing is used.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0), warned: Mutex::new(None) }
    }

    /// Another limit, from now on.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(crate) fn take(&self, octets: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |used: u64| used.checked_add(octets).filter(|sum| *sum <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(crate) fn give_back(&self, octets: u64) {
        self.used.fetch_sub(octets, Ordering::Relaxed);
    }

    fn warn(&self, now: Instant) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| now.since(at) >= WARN_AGAIN) {
            *warned = Some(now);
            let limit = self.limit.load(Ordering::Relaxed);
            observe::warn(format!(
                "contents fill the {limit} octets of content_memory_limit: mail is refused until the disk or clients have caught up"
            ));
        }
    }
}

/// What one connection has taken of the budget; given back when it is dropped.
#[derive(Debug)]
struct Share {
    budget: Arc<Budget>,
    /// For what is staged.
    octets: u64,
    /// For what the machine keeps, or was refused.
    held: u64,
    /// Of it, what was not refused.
    granted: u64,
}

impl Share {
    const fn of(budget: Arc<Budget>) -> Self {
        Self { budget, octets: 0, held: 0, granted: 0 }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give_back(self.octets + self.granted);
    }
}

/// What is staged on one connection.
#[derive(Debug, Default)]
pub struct Stage {
    share: Option<Share>,
    name: Option<QueueId>,
    staging: Option<Staging>,
    refused: Option<Refusal>,
    staged: Option<Staged>,
    /// The log removes the file of this id: there must not be another, which it would take for that one.
    left: bool,
}

impl Stage {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of the message whose content comes next.
    pub fn name(&mut self, id: QueueId) {
        self.left &= self.name == Some(id);
        self.name = Some(id);
    }

    /// Adds octets. What the disk refuses is told at the end, when the client listens.
    pub async fn put<E: Environment>(&mut self, shared: &Shared<E>, octets: Vec<u8>) {
        let Some(name) = self.name else { return };
        if self.left {
            self.refused = Some(Refusal::Broken);
        }
        if self.refused.is_some() {
            return;
        }
        if !self.grow(&shared.budget, octets.len() as u64) {
            shared.budget.warn(shared.env.now().mono);
            self.refused = Some(Refusal::Full);
            self.share = None;
            return self.tell(shared, StagingInput::Abort).await;
        }
        self.staging.get_or_insert_with(|| Staging::new(name));
        self.tell(shared, StagingInput::Octets(octets)).await;
    }

    /// Takes memory for so many octets that the machine keeps of the message, beside what is staged; false where there is none. Who was
    /// refused is not asked again for the same octets, and what was once taken stays until the message is done.
    pub fn hold<E: Environment>(&mut self, shared: &Shared<E>, octets: u64) -> bool {
        if octets <= self.share.as_ref().map_or(0, |share| share.held) {
            return true;
        }
        let share = self.share.get_or_insert_with(|| Share::of(Arc::clone(&shared.budget)));
        let more = octets.saturating_sub(share.held);
        share.held = octets;
        if share.budget.take(more) {
            share.granted += more;
            return true;
        }
        shared.budget.warn(shared.env.now().mono);
        false
    }

    /// Whether there is memory for all of so many octets that the machine keeps of the message; who was refused some has not.
    pub fn holds<E: Environment>(&mut self, shared: &Shared<E>, octets: u64) -> bool {
        self.hold(shared, octets) && octets <= self.share.as_ref().map_or(0, |share| share.granted)
    }

    /// Takes memory for so many octets more. Beyond what stays in memory of one content it goes to its file as fast as it comes.
    fn grow(&mut self, budget: &Arc<Budget>, octets: u64) -> bool {
        let share = self.share.get_or_insert_with(|| Share::of(Arc::clone(budget)));
        let more = octets.min(INLINE_CONTENT_MAX.saturating_sub(share.octets));
        let taken = more == 0 || budget.take(more);
        if taken {
            share.octets += more;
        }
        taken
    }

    /// What is staged, durable if it lies in a file.
    ///
    /// # Errors
    /// The disk did not take all of it; what it took is gone.
    pub async fn finish<E: Environment>(&mut self, shared: &Shared<E>) -> Result<Staged, Refusal> {
        if self.staging.is_none() && self.refused.is_none() {
            return Ok(Staged {
                place: ContentPlace::Inline,
                stored: 0,
                checksum: None,
                content: Vec::new(),
            });
        }
        self.tell(shared, StagingInput::Finish).await;
        match (self.refused.take(), self.staged.take()) {
            (None, Some(staged)) => Ok(staged),
            (refused, _) => {
                self.staging = None;
                self.share = None;
                Err(refused.unwrap_or(Refusal::Broken))
            }
        }
    }

    /// The message is committed: what was staged belongs to it.
    pub fn committed(&mut self) {
        *self = Self::default();
    }

    /// Throws all away. The same transaction may go on: its id stays.
    pub async fn abandon<E: Environment>(&mut self, shared: &Shared<E>) {
        self.tell(shared, StagingInput::Abort).await;
        *self = Self { name: self.name, left: self.left, ..Self::default() };
    }

    async fn tell<E: Environment>(&mut self, shared: &Shared<E>, input: StagingInput) {
        let Some(staging) = &mut self.staging else { return };
        staging.handle_input(shared.env.now(), input);
        while let Some(output) = staging.poll_output() {
            match output {
                StagingOutput::Do(op, what) => {
                    let result = execute(shared, what).await;
                    staging.handle_input(shared.env.now(), StagingInput::Did { op, result });
                }
                StagingOutput::Staged(staged) => self.staged = Some(staged),
                StagingOutput::Refused(why) => self.refused = Some(why),
                StagingOutput::Left => {
                    self.left = true;
                    self.name.into_iter().for_each(|id| shared.spool.forget(id));
                }
                StagingOutput::Gone => {}
            }
        }
    }
}

/// A sync of a large file takes long: others must not wait for it.
async fn execute<E: Environment>(
    shared: &Shared<E>,
    what: Op,
) -> Result<postrider_core::queue::Done, postrider_core::queue::DiskError> {
    let disk = std::sync::Arc::clone(shared.spool.disk());
    let stopped = || postrider_core::queue::DiskError::Failed("the daemon is stopping".to_owned());
    shared.env.blocking(move || disk.execute(what)).await.ok_or_else(stopped)?
}
