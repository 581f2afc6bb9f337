//! One append: why, what it changes, and its octets.

use super::Ticket;
use super::frame::{FRAME_HEADER, FRAME_MAX, SECTOR, round_up};
use super::index::{Place, Stamp};
use super::record::{emit_batch, pieces_fit};
use crate::mail::{Change, ContentPlace, Message, QueueId};

/// Why something is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Somebody asked; it commits a message.
    Mail,
    /// Somebody asked; it changes messages.
    Change,
    /// A message is written anew; void if it has changed since.
    Move(QueueId, Stamp),
    /// It was answered, but its sync failed; it lay here.
    Again(Place),
    /// Only says how far the segment is durable; of mail, durably.
    Claim { mail: bool },
}

/// Something to be appended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Item {
    pub(super) ticket: Option<Ticket>,
    pub(super) kind: Kind,
    pub(super) changes: Vec<Change>,
    pub(super) octets: Vec<u8>,
    pub(super) content: Vec<Vec<u8>>,
    pub(super) length: u64,
}

impl Item {
    pub(super) fn new(
        ticket: Option<Ticket>,
        kind: Kind,
        changes: Vec<Change>,
        content: Vec<Vec<u8>>,
    ) -> Self {
        let octets = emit_batch(&changes);
        let length = content.iter().map(|chunk| chunk.len() as u64).sum();
        Self { ticket, kind, changes, octets, content, length }
    }

    /// Octets of the frame without padding.
    pub(super) fn size(&self) -> u64 {
        FRAME_HEADER + self.octets.len() as u64 + self.length
    }

    pub(super) fn subject(&self) -> QueueId {
        let commit = self.changes.iter().find(|change| matches!(change, Change::Commit(_)));
        commit.or(self.changes.first()).map_or(QueueId::default(), Change::id)
    }

    pub(super) fn only_removes(&self) -> bool {
        self.changes.iter().all(|change| matches!(change, Change::Remove(_)))
    }

    pub(super) fn into_message(self) -> Option<Box<Message>> {
        self.changes.into_iter().find_map(|change| match change {
            Change::Commit(message) => Some(message),
            _ => None,
        })
    }

    /// True of a commit that ends something of another message.
    pub(super) fn replaces(&self) -> bool {
        let own = self.commits().map(|message| message.id);
        self.changes.iter().any(|change| Some(change.id()) != own)
    }

    pub(super) fn commits(&self) -> Option<&Message> {
        self.changes.iter().find_map(|change| match change {
            Change::Commit(message) => Some(&**message),
            _ => None,
        })
    }
}

impl Kind {
    pub(super) const fn wants_sync(self) -> bool {
        self.holds_mail() || matches!(self, Self::Claim { mail: true })
    }

    /// It is mail, or was promised as mail is.
    pub(super) const fn holds_mail(self) -> bool {
        matches!(self, Self::Mail | Self::Move(..) | Self::Again(_))
    }
}

/// What is wrong with an append, if anything: what recovery could not read is not written.
pub(super) fn fault(item: &Item) -> Option<&'static str> {
    if item.changes.is_empty() {
        return Some("an append changes nothing");
    }
    misfit(&item.changes, item.length)
        .or_else(|| (round_up(item.size(), SECTOR) > FRAME_MAX).then_some("an append is too large"))
}

/// Why changes and a content of so many octets can not be in one frame, if they can not.
pub(super) fn misfit(changes: &[Change], length: u64) -> Option<&'static str> {
    let mut commits = changes.iter().filter_map(|change| match change {
        Change::Commit(message) => Some(message),
        _ => None,
    });
    let stored = match (commits.next(), commits.next()) {
        (None, _) => 0,
        (Some(message), None) if pieces_fit(message) => match message.place {
            ContentPlace::Inline => message.stored,
            ContentPlace::File => 0,
        },
        (Some(_), None) => return Some("pieces lie outside the stored content"),
        (Some(_), Some(_)) => return Some("an append commits two messages"),
    };
    (stored != length).then_some("the content is not as long as its message says")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mail::{Envelope, Origin, Pieces};

    /// One whose content is stored as it is.
    pub(in crate::queue) fn message(id: QueueId, place: ContentPlace, stored: u64) -> Message {
        let mut pieces = Pieces::default();
        pieces.stored(0, stored);
        Message {
            id,
            envelope: Envelope::default(),
            pieces,
            place,
            stored,
            origin: Origin::Submitted,
            message_id: String::new(),
            hold: false,
            checksum: None,
            unknown: Vec::new(),
        }
    }

    fn commit(id: u64, place: ContentPlace, stored: u64) -> Change {
        Change::Commit(Box::new(message(QueueId(id), place, stored)))
    }

    fn item(changes: Vec<Change>) -> Item {
        Item::new(None, Kind::Change, changes, Vec::new())
    }

    #[test]
    fn a_frame_is_as_long_as_may_be_and_not_a_sector_longer() {
        let sized = |stored| {
            let mut item = item(vec![commit(1, ContentPlace::Inline, stored)]);
            item.length = stored;
            item
        };
        let other = sized(FRAME_MAX - 1_000).size() - (FRAME_MAX - 1_000);
        let stored = FRAME_MAX - other;
        assert_eq!((sized(stored).size(), fault(&sized(stored))), (FRAME_MAX, None));
        assert_eq!(fault(&sized(stored + 1)), Some("an append is too large"));
    }

    #[test]
    fn a_content_of_its_own_file_is_not_in_the_frame() {
        assert_eq!(fault(&item(vec![commit(1, ContentPlace::File, 7)])), None);
        assert!(fault(&item(vec![commit(1, ContentPlace::Inline, 7)])).is_some());
    }

    #[test]
    fn an_append_is_about_the_message_that_it_commits_or_the_first_that_it_changes() {
        let (one, two) = (QueueId(1), QueueId(2));
        let subject = |changes| item(changes).subject();
        assert_eq!(subject(vec![Change::Hold(two), Change::Remove(one)]), two);
        assert_eq!(subject(vec![Change::Remove(two), commit(1, ContentPlace::File, 7)]), one);
        assert_eq!(subject(Vec::new()), QueueId::default());
    }

    #[test]
    fn what_only_removes_and_what_takes_the_place_of_another_is_known() {
        let (one, two) = (QueueId(1), QueueId(2));
        let only_removes = |changes| item(changes).only_removes();
        assert!(only_removes(vec![Change::Remove(one), Change::Remove(two)]));
        assert!(!only_removes(vec![Change::Remove(one), Change::Hold(two)]));
        let replaces = |other| item(vec![commit(1, ContentPlace::File, 7), other]).replaces();
        assert_eq!([replaces(Change::Remove(two)), replaces(Change::Hold(one))], [true, false]);
    }

    #[test]
    fn mail_and_what_was_promised_as_mail_is_synced_and_so_is_what_says_that_it_is() {
        let place = Place::new(1, 1024, 64);
        let kinds = [
            (Kind::Mail, true, true),
            (Kind::Again(place), true, true),
            (Kind::Change, false, false),
            (Kind::Claim { mail: true }, false, true),
            (Kind::Claim { mail: false }, false, false),
        ];
        for (kind, mail, sync) in kinds {
            assert_eq!((kind.holds_mail(), kind.wants_sync()), (mail, sync), "{kind:?}");
        }
    }
}
