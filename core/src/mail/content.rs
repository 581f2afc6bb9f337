//! What lies between the first header and the end, without holding it.
//!
//! Stored octets never change. A message is a list of pieces, ranges of what is stored and literal octets, and
//! whoever edits a header edits the list. Lines end in CRLF throughout.

use serde::{Deserialize, Serialize};

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Piece {
    /// These octets of the stored content.
    Stored {
        /// From the start of the stored content.
        offset: u64,
        /// How many; at least one.
        length: u64,
    },
    /// Octets that are not in the stored content: trace headers, edits. A recording keeps only how many.
    Literal(#[serde(with = "length")] Vec<u8>),
}

/// Octets of which only the number matters to who takes a decision again.
mod length {
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Octets that a number in a damaged recording may ask for.
    const MOST: u64 = 64 * 1024 * 1024;

    pub(super) fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(octets.len() as u64)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let length = u64::deserialize(deserializer)?.min(MOST);
        Ok(vec![b'x'; usize::try_from(length).unwrap_or(0)])
    }
}

/// A message, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Pieces(pub Vec<Piece>);

impl Pieces {
    /// Octets in all.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Stored { length, .. } => *length,
                Piece::Literal(octets) => octets.len() as u64,
            })
            .sum()
    }

    /// Adds stored octets, joining them to a range that ends where they begin.
    pub fn stored(&mut self, offset: u64, length: u64) {
        if length == 0 {
            return;
        }
        if let Some(Piece::Stored { offset: before, length: had }) = self.0.last_mut()
            && *before + *had == offset
        {
            *had += length;
            return;
        }
        self.0.push(Piece::Stored { offset, length });
    }

    /// Adds literal octets, joining them to literal octets before.
    pub fn literal(&mut self, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
        if let Some(Piece::Literal(before)) = self.0.last_mut() {
            before.extend_from_slice(octets);
            return;
        }
        self.0.push(Piece::Literal(octets.to_vec()));
    }
}

/// Where the stored octets of a message are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum ContentPlace {
    /// In the log, with the record.
    #[default]
    Inline,
    /// In a file of its own, named by the queue id under which it was streamed.
    File,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_ranges_become_one() {
        let mut pieces = Pieces::default();
        pieces.literal(b"Received: x\r\n");
        pieces.stored(0, 10);
        pieces.stored(10, 5);
        pieces.stored(15, 0);
        assert_eq!(pieces.0.len(), 2);
        assert_eq!(pieces.size(), 28);
    }
}
