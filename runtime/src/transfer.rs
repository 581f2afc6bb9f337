//! `queue export` and `queue import`, the daemon's side: messages out of this queue and into it, while it runs.
//!
//! Out: one load tells what there is of a message, so a copy is consistent however much is delivered meanwhile; one whose
//! content has gone before it was read is left out. In: what is answered with a new id is durable.

use crate::content::Reader;
use crate::env::Environment;
use crate::inbound::Shared;
use crate::observe;
use crate::spool::Spool;
use crate::staging::Stage;
use postrider_core::limits::CHUNK_MAX;
use postrider_core::mail::{Loaded, QueueId, Refusal};
use postrider_core::queue::transfer::{Packer, Parcel, Part, Unpacker};
use std::pin::Pin;
use std::sync::Arc;

/// What was taken in, and why no more of it was.
type TakenIn<'a> = Pin<Box<dyn Future<Output = (Vec<Renamed>, Result<(), String>)> + Send + 'a>>;

/// Writes one message out, piece by piece.
pub struct Exporter {
    spool: Spool,
    id: QueueId,
    reader: Reader,
    /// What comes before the content.
    begin: Option<Vec<u8>>,
    packer: Option<Packer>,
    whole: bool,
}

impl Exporter {
    /// For a message that was loaded.
    #[must_use]
    pub fn new(spool: Spool, loaded: Loaded) -> Self {
        let id = loaded.message.id;
        let reader = Reader::new(id, Arc::new(loaded.message.pieces.clone()));
        let (packer, begin) = Packer::begin(loaded);
        Self { spool, id, reader, begin: Some(begin), packer: Some(packer), whole: false }
    }

    /// The next octets of the export; `None` when all of the message has been given.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, String>> {
        if let Some(begin) = self.begin.take() {
            return Some(Ok(begin));
        }
        let mut packer = self.packer.take()?;
        Some(match self.reader.next(&self.spool, CHUNK_MAX).await {
            Ok(octets) if octets.is_empty() => {
                self.whole = true;
                Ok(packer.whole())
            }
            Ok(octets) => {
                let octets = packer.data(&octets);
                self.packer = Some(packer);
                Ok(octets)
            }
            Err(_) if self.spool.whereabouts(self.id).await.is_none() => Ok(packer.gone()),
            Err(why) => Err(format!("{}: {why}", self.id)),
        })
    }

    /// Whether it was there to its end.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.whole
    }
}

/// Name where a message came from, and here.
pub type Renamed = (QueueId, QueueId);

/// Takes an export in, in whatever pieces it comes.
pub struct Importer<E: Environment> {
    shared: Arc<Shared<E>>,
    unpacker: Unpacker,
    stage: Stage,
    open: Option<(QueueId, Box<Parcel>)>,
}

impl<E: Environment> Importer<E> {
    /// For one export.
    #[must_use]
    pub fn new(shared: Arc<Shared<E>>) -> Self {
        Self { shared, unpacker: Unpacker::default(), stage: Stage::new(), open: None }
    }

    /// Hands over octets.
    pub fn feed(&mut self, octets: &[u8]) {
        self.unpacker.put(octets);
    }

    /// Takes in what was handed over; old and new names of the messages that are durable with it, and why it went no further: the
    /// export is damaged, or the disk refuses. What was named stays.
    pub fn take_in(&mut self) -> TakenIn<'_> {
        Box::pin(async move {
            let mut taken = Vec::new();
            loop {
                let result = match self.unpacker.take() {
                    Ok(None) => return (taken, Ok(())),
                    Ok(Some(part)) => self.part(part, &mut taken).await,
                    Err(why) => Err(why.0.to_owned()),
                };
                if result.is_err() {
                    self.stage.abandon(&self.shared).await;
                    return (taken, result);
                }
            }
        })
    }

    /// All octets have come.
    ///
    /// # Errors
    /// They are not a whole export.
    pub fn end(mut self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
        Box::pin(async move {
            if self.unpacker.is_ended() {
                return Ok(());
            }
            self.stage.abandon(&self.shared).await;
            Err("the export ends early".to_owned())
        })
    }

    async fn part(&mut self, part: Part, taken: &mut Vec<Renamed>) -> Result<(), String> {
        match part {
            Part::Begin(parcel) => {
                let id = self.shared.identify();
                self.stage.name(id);
                self.open = Some((id, parcel));
            }
            Part::Data(octets) => self.stage.put(&self.shared, octets).await,
            Part::Whole => taken.extend(self.commit().await?),
            Part::Gone => {
                self.open = None;
                self.stage.abandon(&self.shared).await;
            }
            Part::Total(_) => {}
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<Option<Renamed>, String> {
        let Some((id, parcel)) = self.open.take() else { return Ok(None) };
        let before = parcel.id;
        let refused = |why: Refusal| match why {
            Refusal::Full => {
                format!("{before}: not taken, the disk or the queue (queue_message_limit) is full; make room")
            }
            Refusal::Broken => format!("{before}: not taken, the spool fails; the log says why"),
        };
        let staged = self.stage.finish(&self.shared).await.map_err(refused)?;
        let changes = parcel.changes(id, staged.place, staged.stored);
        let changes = changes.ok_or_else(|| format!("{before}: its content has another length"))?;
        self.shared.spool.append(changes, staged.content).await.map_err(refused)?;
        self.stage.committed();
        observe::note(format!("{id}: imported; its id was {before}"));
        Ok(Some((before, id)))
    }
}
