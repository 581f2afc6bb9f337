//! Reads the content of a message, piece by piece.
//!
//! A small content is read from the log in one system call; a large one streams from its file. Nothing is kept but the
//! place in the list of pieces. No worker waits for the disk: see `Spool::read`.

use crate::spool::Spool;
use crate::submit::Source;
use postrider_core::limits::CHUNK_MAX;
use postrider_core::mail::{Piece, Pieces, QueueId};
use postrider_core::queue::{DiskError, Whereabouts};
use std::sync::Arc;

/// A place in a message.
#[derive(Debug)]
pub struct Reader {
    id: QueueId,
    pieces: Arc<Pieces>,
    place: Option<Whereabouts>,
    piece: usize,
    offset: u64,
}

impl Reader {
    /// At the start of a message.
    #[must_use]
    pub fn new(id: QueueId, pieces: Arc<Pieces>) -> Self {
        Self { id, pieces, place: None, piece: 0, offset: 0 }
    }

    /// Back to the start.
    pub fn restart(&mut self) {
        (self.piece, self.offset) = (0, 0);
    }

    /// The next octets, about `size` of them; none at the end.
    ///
    /// # Errors
    /// The content can not be read now: why.
    pub async fn next(&mut self, spool: &Spool, size: usize) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        while out.len() < size {
            let pieces = Arc::clone(&self.pieces);
            match pieces.0.get(self.piece) {
                None => break,
                Some(Piece::Literal(octets)) => {
                    out.extend_from_slice(octets);
                    self.piece += 1;
                }
                Some(Piece::Stored { offset, length }) => {
                    let wanted = (length - self.offset).min((size - out.len()) as u64);
                    let read = self.read(spool, offset + self.offset, wanted).await?;
                    self.offset += read.len() as u64;
                    if self.offset == *length {
                        (self.piece, self.offset) = (self.piece + 1, 0);
                    }
                    if out.is_empty() { out = read } else { out.extend_from_slice(&read) }
                }
            }
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
