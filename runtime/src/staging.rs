//! Drives the staging of one message's content at a time: small ones in memory, large ones in a file of their own.

use crate::env::Environment;
use crate::inbound::Shared;
use postrider_core::machine::Machine;
use postrider_core::mail::{ContentPlace, QueueId, Refusal};
use postrider_core::queue::{Op, Staged, Staging, StagingInput, StagingOutput};

/// What is staged on one connection.
#[derive(Debug, Default)]
pub struct Stage {
    name: Option<QueueId>,
    staging: Option<Staging>,
    refused: Option<Refusal>,
    staged: Option<Staged>,
}

impl Stage {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of the message whose content comes next.
    pub fn name(&mut self, id: QueueId) {
        self.name = Some(id);
    }

    /// Adds octets. What the disk refuses is told at the end, when the client listens.
    pub async fn put<E: Environment>(&mut self, shared: &Shared<E>, octets: Vec<u8>) {
        let Some(name) = self.name else { return };
        self.staging.get_or_insert_with(|| Staging::new(name));
        self.tell(shared, StagingInput::Octets(octets)).await;
    }

    /// What is staged, durable if it lies in a file.
    ///
    /// # Errors
    /// The disk did not take all of it; what it took is gone.
    pub async fn finish<E: Environment>(&mut self, shared: &Shared<E>) -> Result<Staged, Refusal> {
        if self.staging.is_none() {
            return Ok(Staged { place: ContentPlace::Inline, stored: 0, checksum: None, content: Vec::new() });
        }
        self.tell(shared, StagingInput::Finish).await;
        match (self.refused.take(), self.staged.take()) {
            (None, Some(staged)) => Ok(staged),
            (refused, _) => {
                self.staging = None;
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
        *self = Self { name: self.name, ..Self::default() };
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
