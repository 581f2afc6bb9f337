//! Frames and segment headers: what makes octets on a disk a record.
//!
//! A segment begins with its header, twice, each copy in a sector of its own. Frames follow, each at a multiple of [`ALIGN`]; whatever one write
//! carries ends at a sector's end, so that octets which are durable are never written again. Checksums cover segment number, offset and a
//! salt that only this segment has: neither stale octets nor the content of a message can pass for a frame.
//!
//! Knows nothing of what the frames say.

use crate::mail::QueueId;
use crc32fast::Hasher;

/// What a disk writes whole or not at all, in octets.
pub(super) const SECTOR: u64 = 512;
/// Frames begin at multiples of this, so that a scan behind damage finds the next one.
pub(super) const ALIGN: u64 = 16;
/// Octets of a frame before its changes.
pub(super) const FRAME_HEADER: u64 = 48;
/// Octets of a segment before its first frame: two copies of its header.
pub(super) const SEGMENT_HEADER: u64 = 2 * SECTOR;
/// The longest frame, in octets: some hundred thousand recipients.
pub(super) const FRAME_MAX: u64 = 256 * 1024 * 1024;

const FRAME_MAGIC: u32 = 0xf7a3_e51d;
const SEGMENT_MAGIC: u32 = 0x90_57_71_de;
const VERSION: u8 = 1;
const HAS_COMMIT: u8 = 1;
/// Octets of a segment header that its checksum covers.
const SEGMENT_FIELDS: usize = 80;

/// What identifies a segment: part of every checksum in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Seal {
    pub(super) segment: u64,
    pub(super) salt: u64,
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FrameHeader {
    /// Octets in all, padding and all.
    pub(super) total: u32,
    /// Octets of the changes.
    pub(super) changes: u32,
    /// Octets of the inline content behind them.
    pub(super) content: u32,
    /// Checksum of the changes.
    pub(super) changes_crc: u32,
    /// Checksum of the content.
    pub(super) content_crc: u32,
    /// All of the segment before this offset was durable when the frame was written.
    pub(super) synced_through: u64,
    /// The message that it commits, or else the first that it changes: damage can be named even if the rest is lost.
    pub(super) subject: QueueId,
    /// It commits a message.
    pub(super) commit: bool,
}

/// True when all octets are zeros. Looks at many at a time: a spare segment is read whole at each start.
pub(super) fn is_blank(octets: &[u8]) -> bool {
    let (blocks, rest) = octets.as_chunks::<64>();
    let any = |octets: &[u8]| octets.iter().fold(0, |any, octet| any | octet);
    blocks.iter().all(|block| any(block) == 0) && any(rest) == 0
}

/// Rounds up to a multiple of `unit`.
pub(super) const fn round_up(octets: u64, unit: u64) -> u64 {
    octets.saturating_add(unit - 1) / unit * unit
}

/// The checksum of some octets in chunks.
pub(super) fn checksum<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut hasher = Hasher::new();
    chunks.into_iter().for_each(|chunk| hasher.update(chunk));
    hasher.finalize()
}

/// The checksum of octets of which some are in `before` already.
pub(super) fn checksum_on<'a>(before: u32, chunks: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut hasher = Hasher::new_with_initial(before);
    chunks.into_iter().for_each(|chunk| hasher.update(chunk));
    hasher.finalize()
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    octets.get(at..at + 4).and_then(|o| o.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(octets: &[u8], at: usize) -> u64 {
    octets.get(at..at + 8).and_then(|o| o.try_into().ok()).map_or(0, u64::from_le_bytes)
}

impl FrameHeader {
    /// Where the content begins, from the frame's start.
    pub(super) const fn content_at(&self) -> u64 {
        FRAME_HEADER + self.changes as u64
    }

    /// Where the frame's own octets end, from its start; padding follows.
    pub(super) const fn payload_end(&self) -> u64 {
        self.content_at() + self.content as u64
    }

    /// The octets at this place.
    pub(super) fn emit(&self, seal: Seal, offset: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAME_HEADER as usize);
        out.extend_from_slice(&FRAME_MAGIC.to_le_bytes());
        out.extend_from_slice(&[VERSION, if self.commit { HAS_COMMIT } else { 0 }, 0, 0]);
        for part in [self.total, self.changes, self.content, self.changes_crc, self.content_crc] {
            out.extend_from_slice(&part.to_le_bytes());
        }
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.synced_through.to_le_bytes());
        out.extend_from_slice(&self.subject.0.to_le_bytes());
        let crc = header_checksum(&out, seal, offset);
        out[28..32].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The header at this place, if there is one.
    pub(super) fn parse(octets: &[u8], seal: Seal, offset: u64) -> Option<Self> {
        let octets = octets.get(..FRAME_HEADER as usize)?;
        if u32_at(octets, 0) != FRAME_MAGIC || octets[4] != VERSION {
            return None;
        }
        let mut unsigned = [0; FRAME_HEADER as usize];
        unsigned.copy_from_slice(octets);
        unsigned[28..32].fill(0);
        if header_checksum(&unsigned, seal, offset) != u32_at(octets, 28) {
            return None;
        }
        let header = Self {
            total: u32_at(octets, 8),
            changes: u32_at(octets, 12),
            content: u32_at(octets, 16),
            changes_crc: u32_at(octets, 20),
            content_crc: u32_at(octets, 24),
            synced_through: u64_at(octets, 32),
            subject: QueueId(u64_at(octets, 40)),
            commit: octets[5] & HAS_COMMIT != 0,
        };
        let total = u64::from(header.total);
        // The checksum has matched; these hold unless whoever wrote it was wrong, and then it is no frame of ours.
        (header.payload_end() <= total && total <= FRAME_MAX && total.is_multiple_of(ALIGN)).then_some(header)
    }

    /// The changes and the content of a whole frame, if they are what was written.
    pub(super) fn split<'a>(&self, frame: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let changes = self.changes_of(frame)?;
        let content = frame.get(self.content_at() as usize..self.payload_end() as usize)?;
        (checksum([content]) == self.content_crc).then_some((changes, content))
    }

    /// The changes of a frame of which at least these octets are there.
    pub(super) fn changes_of<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        let changes = frame.get(FRAME_HEADER as usize..self.content_at() as usize)?;
        (checksum([changes]) == self.changes_crc).then_some(changes)
    }
}

/// True when these octets, which begin at a sector, hold what looks like the header of a frame that says that something before it was
/// durable. Its seal can not be checked: the header of its segment is gone.
pub(super) fn claims_durable(octets: &[u8]) -> bool {
    octets
        .chunks_exact(SECTOR as usize)
        .any(|sector| u32_at(sector, 0) == FRAME_MAGIC && sector[4] == VERSION && u64_at(sector, 32) > 0)
}

fn header_checksum(octets: &[u8], seal: Seal, offset: u64) -> u32 {
    let place = [seal.segment.to_le_bytes(), seal.salt.to_le_bytes(), offset.to_le_bytes()];
    checksum(place.iter().map(<[u8; 8]>::as_slice).chain([octets]))
}

/// What a segment says of itself and of the log when it was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SegmentHeader {
    pub(super) seal: Seal,
    /// Octets of the file.
    pub(super) size: u64,
    /// Which opening of the log made it.
    pub(super) epoch: u64,
    /// The highest queue id that the log had seen.
    pub(super) highest: QueueId,
    /// The segment before, and where its durable octets end; what lies behind that, and whole segments between, were refused and are void.
    /// The highest number for an end that nobody knows: that segment could not be read.
    pub(super) previous: (u64, u64),
    /// The oldest segment that counts; older ones have been removed, even if a crash brings their names back.
    pub(super) oldest: u64,
}

impl SegmentHeader {
    /// Both copies.
    pub(super) fn emit(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER as usize);
        for _copy in 0..2 {
            let start = out.len();
            out.extend_from_slice(&SEGMENT_MAGIC.to_le_bytes());
            out.extend_from_slice(&[VERSION, 0, 0, 0]);
            for part in [self.seal.segment, self.seal.salt, self.size, self.epoch, self.highest.0] {
                out.extend_from_slice(&part.to_le_bytes());
            }
            for part in [self.previous.0, self.previous.1, self.oldest, 0] {
                out.extend_from_slice(&part.to_le_bytes());
            }
            let crc = checksum([&out[start..start + SEGMENT_FIELDS]]);
            out.extend_from_slice(&crc.to_le_bytes());
            out.resize(start + SECTOR as usize, 0);
        }
        out
    }

    /// The header, from whichever copy is whole, and whether both are.
    pub(super) fn parse(octets: &[u8], segment: u64) -> Option<(Self, bool)> {
        let copy = |at: usize| Self::parse_copy(octets.get(at..)?, segment);
        match (copy(0), copy(SECTOR as usize)) {
            (Some(first), Some(second)) => Some((first, first == second)),
            (one, other) => one.or(other).map(|header| (header, false)),
        }
    }

    fn parse_copy(octets: &[u8], segment: u64) -> Option<Self> {
        let fields = octets.get(..SEGMENT_FIELDS)?;
        if u32_at(fields, 0) != SEGMENT_MAGIC
            || fields[4] != VERSION
            || checksum([fields]) != u32_at(octets, SEGMENT_FIELDS)
            || u64_at(fields, 8) != segment
        {
            return None;
        }
        let word = |place: usize| u64_at(fields, 8 + 8 * place);
        Some(Self {
            seal: Seal { segment, salt: word(1) },
            size: word(2),
            epoch: word(3),
            highest: QueueId(word(4)),
            previous: (word(5), word(6)),
            oldest: word(7),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal { segment: 3, salt: 99 };

    fn header() -> FrameHeader {
        FrameHeader {
            total: 512,
            changes: 3,
            content: 4,
            changes_crc: checksum([b"abc".as_slice()]),
            content_crc: checksum([b"de".as_slice(), b"fg"]),
            synced_through: 1024,
            subject: QueueId(77),
            commit: true,
        }
    }

    #[test]
    fn a_frame_reads_back_at_its_own_place_only() {
        let mut octets = header().emit(SEAL, 1024);
        assert_eq!(octets.len() as u64, FRAME_HEADER);
        assert_eq!(FrameHeader::parse(&octets, SEAL, 1024), Some(header()));
        let change = FrameHeader { commit: false, ..header() };
        assert_eq!(FrameHeader::parse(&change.emit(SEAL, 1024), SEAL, 1024), Some(change));
        assert_eq!(FrameHeader::parse(&octets, SEAL, 1040), None);
        assert_eq!(FrameHeader::parse(&octets, Seal { segment: 4, ..SEAL }, 1024), None);
        assert_eq!(FrameHeader::parse(&octets, Seal { salt: 98, ..SEAL }, 1024), None);
        octets.extend_from_slice(b"abcdefg");
        assert_eq!(header().split(&octets), Some((b"abc".as_slice(), b"defg".as_slice())));
        octets[50] ^= 1;
        assert_eq!(header().split(&octets), None);
    }

    #[test]
    fn no_flipped_bit_of_a_frame_header_passes() {
        let octets = header().emit(SEAL, 1024);
        for bit in 0..octets.len() * 8 {
            let mut octets = octets.clone();
            octets[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::parse(&octets, SEAL, 1024), None, "bit {bit}");
        }
    }

    #[test]
    fn lengths_that_can_not_be_make_no_frame_though_they_are_signed() {
        let parsed = |change: fn(&mut FrameHeader)| {
            let mut header = header();
            change(&mut header);
            FrameHeader::parse(&header.emit(SEAL, 1024), SEAL, 1024).is_some()
        };
        assert!(parsed(|header| header.total = 64), "48 octets of header, 7 of payload, and padding");
        assert!(parsed(|header| (header.total, header.content) = (64, 13)), "no padding");
        assert!(!parsed(|header| (header.total, header.content) = (64, 14)), "more than there is");
        assert!(!parsed(|header| header.total = 72), "no frame could begin behind it");
        assert!(parsed(|header| header.total = 268_435_456), "256 MiB");
        assert!(!parsed(|header| header.total = 268_435_456 + 16));
    }

    #[test]
    fn a_frame_of_another_version_or_kind_of_file_is_not_read() {
        let signed = |at: usize| {
            let mut octets = header().emit(SEAL, 1024);
            octets[at] ^= 2;
            octets[28..32].fill(0);
            let crc = header_checksum(&octets, SEAL, 1024);
            octets[28..32].copy_from_slice(&crc.to_le_bytes());
            FrameHeader::parse(&octets, SEAL, 1024)
        };
        assert_eq!([signed(0), signed(4)], [None, None], "magic, version");
        assert_eq!(signed(6), Some(header()), "what is not used yet does not count");
    }

    #[test]
    fn a_segment_of_another_version_or_kind_of_file_is_not_read() {
        let header = SegmentHeader {
            seal: SEAL,
            size: 4096,
            epoch: 2,
            highest: QueueId(5),
            previous: (2, 2048),
            oldest: 1,
        };
        let signed = |at: usize| {
            let mut octets = header.emit();
            octets.truncate(SECTOR as usize);
            octets[at] ^= 2;
            let crc = checksum([&octets[..SEGMENT_FIELDS]]);
            octets[SEGMENT_FIELDS..SEGMENT_FIELDS + 4].copy_from_slice(&crc.to_le_bytes());
            SegmentHeader::parse(&octets, 3)
        };
        assert_eq!([signed(0), signed(4)], [None, None], "magic, version");
        assert_eq!(signed(5), Some((header, false)), "what is not used yet does not count");
    }

    #[test]
    fn two_copies_that_differ_are_told_and_the_first_counts() {
        let header = SegmentHeader {
            seal: SEAL,
            size: 4096,
            epoch: 2,
            highest: QueueId(5),
            previous: (2, 2048),
            oldest: 1,
        };
        let mut octets = header.emit();
        octets.truncate(SECTOR as usize);
        octets.extend(SegmentHeader { epoch: 3, ..header }.emit());
        assert_eq!(SegmentHeader::parse(&octets, 3), Some((header, false)));
    }

    #[test]
    fn one_copy_of_a_segment_header_is_enough() {
        let header = SegmentHeader {
            seal: SEAL,
            size: 4096,
            epoch: 2,
            highest: QueueId(5),
            previous: (2, 2048),
            oldest: 1,
        };
        let mut octets = header.emit();
        assert_eq!(octets.len() as u64, SEGMENT_HEADER);
        assert_eq!(SegmentHeader::parse(&octets, 3), Some((header, true)));
        assert_eq!(SegmentHeader::parse(&octets, 4), None);
        octets[20] ^= 4;
        assert_eq!(SegmentHeader::parse(&octets, 3), Some((header, false)));
        octets[SECTOR as usize + 20] ^= 4;
        assert_eq!(SegmentHeader::parse(&octets, 3), None);
    }

    quickcheck::quickcheck! {
        fn arbitrary_octets_are_no_header(octets: Vec<u8>) -> bool {
            FrameHeader::parse(&octets, SEAL, 0).is_none() && SegmentHeader::parse(&octets, 1).is_none()
        }
    }
}
