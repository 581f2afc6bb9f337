//! What was promised of each message, and whether a recovered spool keeps it.

use postrider_core::mail::{Loaded, Message, QueueId, Standing, Summary};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the record of a message.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// All of its record.
    Record(Box<Message>),
    /// Its sender and recipients: of mail that the daemon made we do not know the rest.
    People(String, Vec<String>),
}

impl Known {
    fn is(&self, message: &Message) -> bool {
        match self {
            Self::Record(record) => **record == *message,
            Self::People(sender, recipients) => {
                let found = message.envelope.recipients.iter().map(|recipient| recipient.address.external());
                message.envelope.sender.external() == *sender && found.eq(recipients.iter().cloned())
            }
        }
    }
}

/// A promise, or something that makes one void.
#[derive(Debug, Clone)]
pub(crate) enum Note {
    /// Somebody is submitting this, with these stored octets.
    Begun(QueueId, Known, Vec<u8>),
    /// 250.
    Accepted(QueueId),
    /// `sendmail` has ended with 0: the message is in the maildrop, under this number, or in the log.
    Left(u32, QueueId),
    /// 451 or 452.
    Refused(QueueId),
    /// The log took mail again: what was refused before must not come back.
    Recovered,
    /// A final outcome of a recipient is on its way to the log.
    Settling(QueueId, u32),
    /// The log has taken it, and syncs it soon.
    Settled(QueueId, u32),
    /// A removal is on its way.
    Removing(QueueId),
    /// The log has taken it, and syncs it soon.
    Removed(QueueId),
}

#[derive(Debug, Clone)]
struct Life {
    id: QueueId,
    known: Known,
    content: Vec<u8>,
    accepted: Option<bool>,
    void: bool,
    removing: bool,
    removed: bool,
    settling: BTreeSet<u32>,
    settled: BTreeSet<u32>,
}

/// All promises.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    lives: BTreeMap<QueueId, Life>,
    /// What was left in the maildrop.
    left: BTreeMap<u32, QueueId>,
    /// Taken and not yet synced, and the segment that has to be.
    soft: Vec<(Note, Option<u64>)>,
    pub(crate) writes_to: Option<u64>,
}

impl Ledger {
    pub(crate) fn note(&mut self, note: &Note) {
        match note {
            Note::Begun(id, known, content) => {
                let life = Life {
                    id: *id,
                    known: known.clone(),
                    content: content.clone(),
                    accepted: None,
                    void: false,
                    removing: false,
                    removed: false,
                    settling: BTreeSet::new(),
                    settled: BTreeSet::new(),
                };
                self.lives.insert(*id, life);
            }
            Note::Left(number, id) => _ = self.left.insert(*number, *id),
            Note::Accepted(id) => self.change(*id, |life| life.accepted = Some(true)),
            Note::Refused(id) => self.change(*id, |life| life.accepted = Some(false)),
            Note::Recovered => {
                self.lives.values_mut().for_each(|life| life.void |= life.accepted == Some(false));
            }
            Note::Settling(id, index) => self.change(*id, |life| _ = life.settling.insert(*index)),
            Note::Removing(id) => self.change(*id, |life| life.removing = true),
            Note::Settled(..) | Note::Removed(_) => self.soft.push((note.clone(), self.writes_to)),
        }
    }

    fn change(&mut self, id: QueueId, change: impl FnOnce(&mut Life)) {
        if let Some(life) = self.lives.get_mut(&id) {
            change(life);
        }
    }

    /// A segment has been synced: what was written to it is promised now.
    pub(crate) fn synced(&mut self, segment: u64) {
        for (note, written) in std::mem::take(&mut self.soft) {
            match note {
                _ if written != Some(segment) => self.soft.push((note, written)),
                Note::Settled(id, index) => self.change(id, |life| _ = life.settled.insert(index)),
                Note::Removed(id) => self.change(id, |life| life.removed = true),
                _ => {}
            }
        }
    }

    /// A write or a sync failed: nobody knows what of it is durable.
    pub(crate) fn failed(&mut self) {
        self.soft.iter_mut().for_each(|(_, written)| *written = None);
    }

    /// Messages that must be there.
    pub(crate) fn promised(&self) -> impl Iterator<Item = QueueId> {
        self.lives.values().filter(|life| life.accepted == Some(true) && !life.removing).map(|life| life.id)
    }

    /// Whether a line of the log is about a message that was refused.
    pub(crate) fn is_refused(&self, line: &str) -> bool {
        let id = line.split(':').next().and_then(|word| word.parse().ok());
        id.and_then(|id: QueueId| self.lives.get(&id)).is_some_and(|life| life.accepted == Some(false))
    }

    /// Compares what recovery found of one message.
    pub(crate) fn judge(&self, summary: &Summary, loaded: &Loaded, content: &[u8]) -> Result<(), String> {
        let id = summary.id;
        let life = self.lives.get(&id).ok_or_else(|| format!("{id} is invented"))?;
        let wrong = |what: &str| Err(format!("{id}: {what}"));
        if life.removed {
            return wrong("its removal was durable, and it is back");
        }
        if life.void {
            return wrong("it was refused, and it is back");
        }
        if !life.known.is(&loaded.message) || content != life.content {
            return wrong("it is not what was submitted");
        }
        for (index, standing) in (0..).zip(&loaded.standing) {
            let waiting = matches!(standing, Standing::Waiting(_));
            if waiting && life.settled.contains(&index) {
                return wrong("an outcome that was durable is gone");
            }
            if !waiting && !life.settling.contains(&index) {
                return wrong("an outcome is invented");
            }
        }
        Ok(())
    }

    /// Compares what is in the maildrop and in the log with what commands were told.
    pub(crate) fn judge_left<'a>(
        &self,
        found: &BTreeSet<QueueId>,
        there: impl Iterator<Item = (u32, &'a [u8])>,
    ) -> Result<(), String> {
        let mut whole = BTreeSet::new();
        for (number, octets) in there {
            if !is_sealed(octets) {
                return Err(format!(
                    "the maildrop's file {number} is damaged: it has its name, and was not synced"
                ));
            }
            whole.insert(number);
        }
        let is_lost = |(number, id): &(&u32, &QueueId)| {
            let removing = self.lives.get(id).is_some_and(|life| life.removing);
            !removing && !whole.contains(number) && !found.contains(id)
        };
        match self.left.iter().find(is_lost) {
            Some((number, id)) => Err(format!("sendmail has ended with 0, and {number} ({id}) is lost")),
            None => Ok(()),
        }
    }

    /// Compares which messages recovery found.
    pub(crate) fn judge_all(&self, found: &BTreeSet<QueueId>, last: QueueId) -> Result<(), String> {
        for id in self.promised() {
            if !found.contains(&id) {
                return Err(format!("{id} was accepted, and is lost"));
            }
            if last < id {
                return Err(format!("the id {id} would be given again"));
            }
        }
        Ok(())
    }
}

/// Whether the length and the checksum before a message of the maildrop are those of what follows.
fn is_sealed(octets: &[u8]) -> bool {
    let Some((seal, rest)) = octets.split_at_checked(26) else { return false };
    seal == format!("{:016x} {:08x}\n", rest.len(), crc32fast::hash(rest)).as_bytes()
}
