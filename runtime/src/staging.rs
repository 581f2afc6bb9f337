//! The content of a message on its way in: small ones in memory, in the chunks they came in; large ones in a file of their own.

use crate::spool::Spool;
use postrider_core::limits::INLINE_CONTENT_MAX;
use postrider_core::mail::{QueueId, Refusal};
use postrider_core::queue::{DiskError, File, Op};

/// What is staged for one message.
#[derive(Debug, Default)]
pub struct Staged {
    name: Option<QueueId>,
    chunks: Vec<Vec<u8>>,
    size: u64,
    /// Octets that are in the file; zero as long as there is none.
    written: u64,
    refused: Option<Refusal>,
}

fn refusal(error: &DiskError) -> Refusal {
    match error {
        DiskError::Full => Refusal::Full,
        DiskError::Missing | DiskError::Failed(_) => Refusal::Broken,
    }
}

impl Staged {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The id under which a large content is stored.
    pub fn name(&mut self, id: QueueId) {
        self.name = Some(id);
    }

    /// Adds octets. What the disk refuses is told at the end, when the client listens.
    pub async fn put(&mut self, spool: &Spool, octets: Vec<u8>) {
        self.size += octets.len() as u64;
        if self.refused.is_some() {
            return;
        }
        self.chunks.push(octets);
        if self.size > INLINE_CONTENT_MAX {
            self.refused = self.spill(spool).err();
        }
    }

    fn spill(&mut self, spool: &Spool) -> Result<(), Refusal> {
        let file = File::Content(self.name.ok_or(Refusal::Broken)?);
        let disk = spool.disk();
        if self.written == 0 {
            disk.execute(Op::Create { file, size: 0 }).map_err(|error| refusal(&error))?;
        }
        let octets = std::mem::take(&mut self.chunks);
        disk.execute(Op::Write { file, offset: self.written, octets }).map_err(|error| refusal(&error))?;
        self.written = self.size;
        Ok(())
    }

    /// The staged octets for the log, or `None` when they are durable in a file of their own. Nothing is staged afterwards.
    ///
    /// # Errors
    /// The disk did not take all of it; what it took is gone.
    pub async fn finish(&mut self, spool: &Spool, id: QueueId) -> Result<Option<Vec<Vec<u8>>>, Refusal> {
        let staged = std::mem::take(self);
        if staged.written == 0 && staged.refused.is_none() {
            return Ok(Some(staged.chunks));
        }
        let file = File::Content(id);
        let sync = || -> Result<(), DiskError> {
            spool.disk().execute(Op::Sync(file))?;
            spool.disk().execute(Op::SyncDirectory)?;
            Ok(())
        };
        let result = match staged.refused {
            Some(refused) => Err(refused),
            None => sync().map_err(|error| refusal(&error)),
        };
        match result {
            Ok(()) => Ok(None),
            Err(why) => {
                self.forget(spool, id);
                Err(why)
            }
        }
    }

    /// Removes the file of a content that was not committed.
    pub fn forget(&mut self, spool: &Spool, id: QueueId) {
        _ = spool.disk().execute(Op::Unlink(File::Content(id)));
    }

    /// Throws all away.
    pub fn abandon(&mut self, spool: &Spool) {
        let staged = std::mem::take(self);
        if let (true, Some(id)) = (staged.written > 0, staged.name) {
            self.forget(spool, id);
        }
        // The same transaction may go on: its id stays.
        self.name = staged.name;
    }
}
