//! What the toy disk has of a message.

use super::*;

/// A message on the toy disk.
#[derive(Debug, Clone)]
pub(in crate::manager) struct Stored {
    pub(in crate::manager) message: Message,
    pub(in crate::manager) standing: Vec<Standing>,
    pub(in crate::manager) held: bool,
    pub(in crate::manager) retry_at: Option<Timestamp>,
    pub(in crate::manager) warned: bool,
}

impl Stored {
    pub(in crate::manager) fn summary(&self) -> Summary {
        let count = |owed: bool| {
            let is = |s: &&Standing| matches!(s, Standing::Owed(_)) == owed && **s != Standing::Done;
            self.standing.iter().filter(is).count() as u32
        };
        Summary {
            id: self.message.id,
            arrived: self.message.envelope.arrived,
            waiting: count(false),
            owed: count(true),
            held: self.held,
            retry_at: self.retry_at,
            warned: self.warned,
        }
    }
}
