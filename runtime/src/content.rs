//! Reads the content of a message, piece by piece.
//!
//! A small content is read from the log in one system call; a large one streams from its file. Nothing is kept but the
//! place in the list of pieces. No worker waits for the disk: see `Spool::read`.

use crate::spool::Spool;
use crate::submit::Source;
use postrider_core::limits::CHUNK_MAX;
use postrider_core::mail::{Pieces, QueueId, Walk};
use postrider_core::queue::{DiskError, Whereabouts};
use std::sync::Arc;

/// A place in a message.
#[derive(Debug)]
pub struct Reader {
    id: QueueId,
    pieces: Arc<Pieces>,
    place: Option<Whereabouts>,
    walk: Walk,
}

impl Reader {
    /// At the start of a message.
    #[must_use]
    pub fn new(id: QueueId, pieces: Arc<Pieces>) -> Self {
        Self { id, pieces, place: None, walk: Walk::default() }
    }

    /// Back to the start.
    pub fn restart(&mut self) {
        self.walk.restart();
    }

    /// The next octets, about `size` of them; none at the end.
    ///
    /// # Errors
    /// The content can not be read now: why.
    pub async fn next(&mut self, spool: &Spool, size: usize) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        while let Some(range) = self.walk.step(&self.pieces, &mut out, size) {
            let octets = self.read(spool, range.start, range.end - range.start).await?;
            self.walk.read(range.start, octets);
        }
        Ok(out)
    }

    async fn read(&mut self, spool: &Spool, offset: u64, length: u64) -> Result<Vec<u8>, String> {
        // Compaction may move a message between two reads: then it is looked up once more.
        for fresh in [false, true] {
            if fresh || self.place.is_none() {
                self.place = spool.whereabouts(self.id).await;
            }
            let Some(place) = self.place else { break };
            if offset + length > place.length {
                return Err(format!("the content of {} is shorter than its record says", self.id));
            }
            match spool.read(place.file, place.offset + offset, length).await {
                Ok(octets) if octets.len() as u64 == length => return Ok(octets),
                Ok(_) => return Err(format!("the content of {} ends early on disk", self.id)),
                Err(DiskError::Missing) => {}
                Err(error) => {
                    return Err(format!("the content of {} cannot be read: {}", self.id, why(error)));
                }
            }
        }
        Err(format!("the content of {} is gone", self.id))
    }
}

fn why(error: DiskError) -> String {
    match error {
        DiskError::Failed(why) => why,
        DiskError::Full => "the disk is full".to_owned(),
        DiskError::Missing => "its file is gone".to_owned(),
    }
}

/// A message of the spool that is submitted again, a chunk at a time: one of 100 MB takes no more memory than a small one.
pub struct Stored<'a> {
    spool: &'a Spool,
    reader: Reader,
}

impl<'a> Stored<'a> {
    /// At its start.
    #[must_use]
    pub fn new(spool: &'a Spool, id: QueueId, pieces: Arc<Pieces>) -> Self {
        Self { spool, reader: Reader::new(id, pieces) }
    }
}

impl Source for Stored<'_> {
    async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let octets = self.reader.next(self.spool, CHUNK_MAX).await.map_err(std::io::Error::other)?;
        Ok((!octets.is_empty()).then_some(octets))
    }
}
