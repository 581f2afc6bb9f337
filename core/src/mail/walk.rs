//! A place in a message that is being read, piece by piece.
//!
//! Says which stored octets to read next and puts what was read together with the literal octets between. Pieces that lie near each other are read at
//! once: cleanup has taken a header or two out of many a message, and a read for each of what is left would cost more than the octets between.

use super::{Piece, Pieces};
use std::ops::Range;

/// Octets between two pieces that are read and thrown away for the sake of one read less.
const GAP_MAX: u64 = 4_096;

/// A place in a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walk {
    piece: usize,
    /// Octets of that piece that were given out.
    offset: u64,
    /// Stored octets that were read, and where they begin.
    held: Option<(u64, Vec<u8>)>,
}

impl Walk {
    /// Back to the start of the message.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// Gives out octets until there are `size` of them or more (at most what was read beyond), or the message ends: then nothing. Otherwise the stored octets, at most `size`,
    /// that [`Walk::read`] must bring first.
    #[must_use]
    pub fn step(&mut self, pieces: &Pieces, out: &mut Vec<u8>, size: usize) -> Option<Range<u64>> {
        while out.len() < size {
            match pieces.0.get(self.piece) {
                None => break,
                Some(Piece::Literal(octets)) => {
                    out.extend_from_slice(octets);
                    self.piece += 1;
                }
                Some(&Piece::Stored { offset, length }) => {
                    let left = offset + self.offset..offset + length;
                    if !left.is_empty() && !self.give(&left, out) {
                        return Some(self.ahead(pieces, left, (size - out.len()) as u64));
                    }
                    if self.offset == length {
                        (self.piece, self.offset) = (self.piece + 1, 0);
                    }
                }
            }
        }
        self.held = None;
        None
    }

    /// The stored octets that [`Walk::step`] has asked for, and where they begin.
    pub fn read(&mut self, start: u64, octets: Vec<u8>) {
        self.held = Some((start, octets));
    }

    /// Gives out what is held of the octets that are left of this piece; false when nothing of it is.
    fn give(&mut self, left: &Range<u64>, out: &mut Vec<u8>) -> bool {
        let Some((start, octets)) = &mut self.held else { return false };
        let behind = left.start.checked_sub(*start).and_then(|behind| usize::try_from(behind).ok());
        let Some(held) = behind.and_then(|behind| octets.get(behind..)) else { return false };
        let count = held.len().min(usize::try_from(left.end - left.start).unwrap_or(usize::MAX));
        if count == 0 {
            return false;
        }
        if out.is_empty() && count == octets.len() {
            // The usual case: all that was read is one piece, and needs no copy.
            *out = std::mem::take(octets);
        } else {
            out.extend_from_slice(&held[..count]);
        }
        self.offset += count as u64;
        true
    }

    /// The octets that are left of this piece, and with them those of the next ones that are near.
    fn ahead(&self, pieces: &Pieces, left: Range<u64>, room: u64) -> Range<u64> {
        let mut end = left.end.min(left.start + room);
        let behind = pieces.0.iter().skip(self.piece + 1).filter_map(|piece| match piece {
            Piece::Stored { offset, length } => Some(*offset..offset + length),
            Piece::Literal(_) => None,
        });
        for next in behind {
            if end < left.end
                || next.start < end
                || next.start - end > GAP_MAX
                || next.end - left.start > room
            {
                break;
            }
            end = next.end;
        }
        left.start..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a message whose stored octets are `store`, `size` octets at a time: all of it, and what was read.
    fn walk(pieces: &Pieces, store: &[u8], size: usize) -> (Vec<u8>, Vec<Range<u64>>) {
        let (mut walk, mut all, mut reads) = (Walk::default(), Vec::new(), Vec::new());
        loop {
            let mut out = Vec::new();
            while let Some(range) = walk.step(pieces, &mut out, size) {
                assert!(!range.is_empty() && range.end - range.start <= size as u64, "{range:?}");
                walk.read(range.start, store[range.start as usize..range.end as usize].to_vec());
                reads.push(range);
            }
            if out.is_empty() {
                return (all, reads);
            }
            all.extend(out);
        }
    }

    fn pieces(pieces: &[(u64, u64)]) -> Pieces {
        Pieces(pieces.iter().map(|&(offset, length)| Piece::Stored { offset, length }).collect())
    }

    #[test]
    fn what_lies_near_is_one_read() {
        let store: Vec<u8> = (0..100u8).collect();
        let (all, reads) = walk(&pieces(&[(0, 20), (30, 20), (60, 40)]), &store, 1_000);
        assert_eq!(all, [&store[..20], &store[30..50], &store[60..]].concat());
        assert_eq!((reads.len(), &reads[0]), (1, &(0..100)));
    }

    #[test]
    fn what_lies_far_away_or_before_is_a_read_of_its_own() {
        let store = vec![b'x'; 10_000];
        let (_, reads) = walk(&pieces(&[(0, 10), (9_000, 10), (20, 10)]), &store, 100_000);
        assert_eq!(reads, [0..10, 9_000..9_010, 20..30]);
    }

    #[test]
    fn a_large_piece_is_read_in_chunks() {
        let store = vec![b'x'; 1_000];
        let (all, reads) = walk(&pieces(&[(0, 1_000)]), &store, 400);
        assert_eq!(all, store);
        assert_eq!(reads, [0..400, 400..800, 800..1_000]);
    }

    proptest! {
        #[test]
        fn whatever_the_pieces_and_chunks_the_message_is_the_same(
            parts in proptest::collection::vec((0u64..9_000, 0u64..1_000, proptest::collection::vec(any::<u8>(), 0..5)), 0..12),
            size in 1usize..3_000,
        ) {
            let store: Vec<u8> = (0..10_000u32).map(|number| (number * 7 % 251) as u8).collect();
            let (mut pieces, mut whole) = (Pieces::default(), Vec::new());
            for (offset, length, octets) in &parts {
                pieces.0.push(Piece::Stored { offset: *offset, length: *length });
                pieces.0.push(Piece::Literal(octets.clone()));
                whole.extend_from_slice(&store[*offset as usize..(*offset + *length) as usize]);
                whole.extend_from_slice(octets);
            }
            let (all, reads) = walk(&pieces, &store, size);
            prop_assert_eq!(all, whole);
            prop_assert!(reads.len() <= parts.len() + 12_000 / size + 1);
        }
    }
}
