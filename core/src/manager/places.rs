//! Places of the active queue (`qmgr_message_active_limit`), counted by memory (decision 0046).
//!
//! A letter takes one place. A bulky message, with many recipients, a long edited header, or long replies to remember, takes as many as it
//! needs; all of those together get three quarters, so that letters go past them however many there are.

use crate::mail::{Diagnosis, Message, Outcome, Piece, Recipient, Standing};
use crate::wire::Mailbox;
use serde::{Deserialize, Serialize};

/// Octets of memory that one place stands for.
const OCTETS_PER_PLACE: u64 = 10 * 1024;

/// What a recipient takes beside its texts: in the envelope, among the standings, aboard, and in the scheduler.
const OCTETS_PER_RECIPIENT: u64 = (size_of::<Recipient>() + size_of::<Standing>()) as u64 + 96;

/// Octets of memory that an active message takes, with what is remembered of its recipients.
pub(super) fn footprint(message: &Message, standing: &[Standing]) -> u64 {
    let text = |mailbox: &Mailbox| (mailbox.local().len() + mailbox.domain().len()) as u64;
    let recipient = |recipient: &Recipient| {
        let original = recipient.original.as_ref().map_or(0, text);
        let orcpt = recipient.orcpt.as_ref().map_or(0, |orcpt| orcpt.address.len() as u64);
        // The address is there a second time while it is aboard.
        OCTETS_PER_RECIPIENT + 2 * text(&recipient.address) + original + orcpt
    };
    let recipients: u64 = message.envelope.recipients.iter().map(recipient).sum();
    let literal = |piece: &Piece| match piece {
        Piece::Literal(octets) => octets.len() as u64,
        Piece::Stored { .. } => 0,
    };
    let literals: u64 = message.pieces.0.iter().map(literal).sum();
    recipients + literals + standing.iter().map(remembered).sum::<u64>()
}

/// Octets of what is remembered of a recipient: a server may have said eight kilobytes.
pub(super) fn remembered(standing: &Standing) -> u64 {
    let texts = |diagnosis: &Diagnosis| {
        let reply = diagnosis.reply.iter().flat_map(|reply| &reply.lines).map(String::len).sum::<usize>();
        (diagnosis.text.len() + reply) as u64
    };
    match standing {
        Standing::Waiting(Some(why)) => texts(why),
        Standing::Owed(outcome) => texts(Outcome::diagnosis(outcome)),
        Standing::Waiting(None) | Standing::Done => 0,
    }
}

/// How many places so many octets take.
pub(super) fn places_of(octets: u64) -> usize {
    usize::try_from(octets.div_ceil(OCTETS_PER_PLACE)).unwrap_or(usize::MAX).max(1)
}

/// In place of a number of places: it is bulky, and how much it is will be known when it is loaded.
pub(super) const COMES: usize = 0;

/// The places that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(super) struct Places {
    letters: usize,
    bulk: usize,
    /// Bulky messages that are being loaded.
    coming: usize,
}

impl Places {
    /// What all bulky messages may have of so many places.
    const fn share(limit: usize) -> usize {
        let share = limit - limit / 4;
        if share == 0 { 1 } else { share }
    }

    /// What is expected of a bulky message before it is known: an eighth of their share, so that a few are loaded side by side.
    const fn expected(limit: usize) -> usize {
        let part = Self::share(limit) / 8;
        if part < 2 { 2 } else { part }
    }

    /// A message that takes so many places comes, or is about to ([`COMES`]).
    pub(super) const fn enter(&mut self, places: usize) {
        match places {
            COMES => self.coming += 1,
            1 => self.letters += 1,
            _ => self.bulk += places,
        }
    }

    /// It goes.
    pub(super) const fn leave(&mut self, places: usize) {
        match places {
            COMES => self.coming = self.coming.saturating_sub(1),
            1 => self.letters = self.letters.saturating_sub(1),
            _ => self.bulk = self.bulk.saturating_sub(places),
        }
    }

    /// All of them.
    pub(super) const fn taken(&self) -> usize {
        self.letters + self.bulk + self.coming
    }

    /// Places that are free for letters: what is bulky takes its share, and no more, however large it is.
    pub(super) fn free(&self, limit: usize) -> usize {
        limit.saturating_sub(self.letters + (self.bulk + self.coming).min(Self::share(limit)))
    }

    /// True when another bulky message may come; one that is larger than all places comes when no other is there.
    pub(super) fn has_room_for_bulk(&self, limit: usize) -> bool {
        self.bulk + self.coming * Self::expected(limit) < Self::share(limit) && self.free(limit) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_have_a_quarter_for_themselves() {
        let mut places = Places::default();
        let mut bulky = 0;
        while places.has_room_for_bulk(100) {
            places.enter(10);
            bulky += 1;
        }
        assert_eq!(
            (bulky, places.free(100)),
            (8, 25),
            "the last goes beyond the share, at the cost of nobody else"
        );
        (0..25).for_each(|_| places.enter(1));
        assert_eq!(places.free(100), 0);
        (0..8).for_each(|_| places.leave(10));
        assert_eq!(places.free(100), 75);
        (0..25).for_each(|_| places.leave(1));
        assert_eq!(places, Places::default());
    }

    #[test]
    fn a_few_bulky_messages_are_loaded_side_by_side_and_letters_go_past_them() {
        let mut places = Places::default();
        let mut coming = 0;
        while places.has_room_for_bulk(20_000) {
            places.enter(COMES);
            coming += 1;
        }
        assert_eq!((coming, places.free(20_000)), (8, 20_000 - 8));
        places.leave(COMES);
        places.enter(2_500);
        assert!(!places.has_room_for_bulk(20_000), "one came that is larger than was expected");
        places.leave(2_500);
        places.enter(30);
        assert!(places.has_room_for_bulk(20_000));
    }

    #[test]
    fn a_message_larger_than_all_places_comes_and_letters_beside_it() {
        for limit in 2..9 {
            let mut places = Places::default();
            assert!(places.has_room_for_bulk(limit));
            places.enter(1_000);
            assert!(!places.has_room_for_bulk(limit));
            assert_eq!(places.free(limit) > 0, limit >= 4, "{limit}");
        }
        assert!(Places::default().has_room_for_bulk(1));
    }
}
