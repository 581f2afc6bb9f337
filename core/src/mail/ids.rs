//! Names that never repeat.
//!
//! A queue id is the microsecond of its issue and the node that issued it; its text is Postfix's long form (seconds
//! and microseconds in base 52, `z`, the node where Postfix has an inode), so that log tools recognise it.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Digits and consonants without vowels, as in Postfix's long queue ids: base 52.
const ALPHABET: &[u8; 52] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
/// Bits of a [`QueueId`] that hold the node.
const NODE_BITS: u32 = 12;
/// Digits for seconds, microseconds and node.
const SECONDS_DIGITS: usize = 6;
const MICROS_DIGITS: usize = 4;
const NODE_DIGITS: usize = 4;

/// The name of a message from its first command to its removal; unique over all nodes and restarts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
pub struct QueueId(pub u64);

impl QueueId {
    /// The id of this microsecond on this node (0..4096).
    #[must_use]
    pub const fn new(micros: u64, node: u16) -> Self {
        Self(micros << NODE_BITS | (node as u64 & ((1 << NODE_BITS) - 1)))
    }

    /// The microsecond since 1970 in which it was issued.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0 >> NODE_BITS
    }

    /// The node that issued it.
    #[must_use]
    pub const fn node(self) -> u16 {
        (self.0 & ((1 << NODE_BITS) - 1)) as u16
    }
}

fn put_digits(out: &mut [u8], mut value: u64, base: u64) {
    for place in out.iter_mut().rev() {
        *place = ALPHABET[(value % base) as usize];
        value /= base;
    }
}

fn take_digits(text: &[u8], base: u64) -> Option<u64> {
    text.iter().try_fold(0u64, |value, octet| {
        let digit = ALPHABET.iter().position(|a| a == octet)? as u64;
        (digit < base).then(|| value * base + digit)
    })
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; SECONDS_DIGITS + MICROS_DIGITS + 1 + NODE_DIGITS];
        put_digits(&mut text[..SECONDS_DIGITS], self.micros() / 1_000_000, 52);
        put_digits(&mut text[SECONDS_DIGITS..SECONDS_DIGITS + MICROS_DIGITS], self.micros() % 1_000_000, 52);
        text[SECONDS_DIGITS + MICROS_DIGITS] = b'z';
        // Base 51 leaves `z` out, so the separator is the last one.
        put_digits(&mut text[SECONDS_DIGITS + MICROS_DIGITS + 1..], u64::from(self.node()), 51);
        f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

/// The text is no queue id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAQueueId;

impl FromStr for QueueId {
    type Err = NotAQueueId;

    fn from_str(text: &str) -> Result<Self, NotAQueueId> {
        let text = text.as_bytes();
        let split = SECONDS_DIGITS + MICROS_DIGITS;
        if text.len() != split + 1 + NODE_DIGITS || text[split] != b'z' {
            return Err(NotAQueueId);
        }
        let seconds = take_digits(&text[..SECONDS_DIGITS], 52).ok_or(NotAQueueId)?;
        let micros = take_digits(&text[SECONDS_DIGITS..split], 52).ok_or(NotAQueueId)?;
        let node = take_digits(&text[split + 1..], 51).ok_or(NotAQueueId)?;
        // 52^6 seconds times a million does not fit the 52 bits; only ids that we could have issued are read.
        let total = seconds * 1_000_000 + micros;
        if micros >= 1_000_000 || total >> (64 - NODE_BITS) != 0 || node >> NODE_BITS != 0 {
            return Err(NotAQueueId);
        }
        Ok(Self::new(total, node as u16))
    }
}

/// Clocks beyond this are not followed: a year before the microseconds of an id end, in 2112. An id that did not fit would be cut, and
/// repeat one of long ago; counting on from the last one, there are ids for a million messages a second until then.
const MICROS_BELIEVED: u64 = (1 << (64 - NODE_BITS)) - (1 << 45);

/// Issues queue ids: the wall clock's microsecond, or the next one after the last issued.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueueIds {
    node: u16,
    last: u64,
}

impl QueueIds {
    /// Goes on after `last`, the highest id that the spool has seen, so that a clock set back repeats none.
    #[must_use]
    pub fn new(node: u16, last: QueueId) -> Self {
        Self { node, last: last.micros() }
    }

    /// The next id.
    pub fn issue(&mut self, wall: Timestamp) -> QueueId {
        let clock = u64::try_from(wall.0).ok().filter(|micros| *micros < MICROS_BELIEVED).unwrap_or(0);
        self.last = clock.max(self.last.saturating_add(1));
        QueueId::new(self.last, self.node)
    }
}

/// One inbound connection, for logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// One delivery session's try for some recipients of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct AttemptId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_postfix_s_long_form_and_reads_back() {
        let id = QueueId::new(1_795_233_600_123_456, 7);
        let text = id.to_string();
        assert_eq!(text.len(), 15);
        assert_eq!(&text[10..11], "z");
        assert_eq!(text.parse(), Ok(id));
        assert_eq!("nonsense".parse::<QueueId>(), Err(NotAQueueId));
        assert_eq!("zzzzzzzzzzzzzzz".parse::<QueueId>(), Err(NotAQueueId));
    }

    #[test]
    fn a_clock_set_back_repeats_no_id() {
        let mut ids = QueueIds::new(0, QueueId::default());
        let first = ids.issue(Timestamp::from_seconds(100));
        let second = ids.issue(Timestamp::from_seconds(50));
        assert!(second > first);
    }

    #[test]
    fn a_clock_that_is_a_century_ahead_repeats_no_id_either() {
        let mut ids = QueueIds::new(3, QueueId::default());
        let mut before = ids.issue(Timestamp::from_seconds(1_795_233_600));
        for wall in [Timestamp(1 << 52), Timestamp(i64::MAX), Timestamp(i64::MIN), Timestamp((1 << 52) + 5)] {
            let id = ids.issue(wall);
            assert!(id > before && id.to_string().parse() == Ok(id), "{id} after {before}");
            before = id;
        }
        assert_eq!(
            before.micros(),
            1_795_233_600_000_004,
            "they are counted on, and the clock is followed again when it is right"
        );
        assert_eq!(ids.issue(Timestamp::from_seconds(1_795_233_700)).micros(), 1_795_233_700_000_000);
    }

    quickcheck::quickcheck! {
        fn every_issued_id_reads_back(micros: u64, node: u16) -> bool {
            let id = QueueId::new(micros >> 13, node);
            id.to_string().parse() == Ok(id)
        }
    }
}
