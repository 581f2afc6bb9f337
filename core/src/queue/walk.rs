//! Reading a segment from its first frame to its end, in chunks of bounded size.
//!
//! A [`Walk`] asks for octets and says what it finds: frames, frames whose payload is not what was written, and gaps between
//! frames. What a gap means (a torn tail, or damage) is for its owner to judge. Octets that can not be read, or that a file is too short to have, are handed
//! in as unreadable and count as zeros.

use super::frame::{ALIGN, FRAME_HEADER, FrameHeader, SEGMENT_HEADER, Seal, is_blank};

/// Octets asked for at once.
const CHUNK: u64 = 256 * 1024;

/// How much of each frame is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Depth {
    /// Its header: contents are skipped.
    Headers,
    /// All of it, checked.
    Frames,
}

/// What a walk needs or finds next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// These octets are to be fed.
    Need { offset: u64, length: u64 },
    /// A frame; for [`Depth::Frames`] its octets, which are whole.
    Frame { at: u64, header: FrameHeader, octets: Vec<u8> },
    /// A frame whose header is whole and whose payload is not.
    Spoilt { at: u64, header: FrameHeader },
    /// Octets that are no frame; `blank` ones are all zero.
    Gap { from: u64, to: u64, blank: bool },
    /// The end.
    End,
}

/// A position in a segment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Walk {
    seal: Seal,
    depth: Depth,
    at: u64,
    end: u64,
    window: Vec<u8>,
    base: u64,
    /// Where the octets began that are no frame, and the end of the last ones that are not zero.
    gap: Option<(u64, u64)>,
}

impl Walk {
    /// From the first frame to `end`.
    pub(super) const fn new(seal: Seal, end: u64, depth: Depth) -> Self {
        Self { seal, depth, at: SEGMENT_HEADER, end, window: Vec::new(), base: 0, gap: None }
    }

    pub(super) const fn depth(&self) -> Depth {
        self.depth
    }

    pub(super) const fn seal(&self) -> Seal {
        self.seal
    }

    /// Where the segment ends.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// The octets that [`Step::Need`] asked for; missing ones count as zeros.
    pub(super) fn feed(&mut self, offset: u64, length: u64, mut octets: Vec<u8>) {
        octets.resize(length as usize, 0);
        let window_end = self.base + self.window.len() as u64;
        if offset == window_end && !self.window.is_empty() {
            let used = (self.at.saturating_sub(self.base) as usize).min(self.window.len());
            self.window.drain(..used);
            self.base += used as u64;
            self.window.append(&mut octets);
        } else {
            self.window = octets;
            self.base = offset;
        }
    }

    /// The octets of the window from `at` on, as many as are there.
    fn ahead(&self) -> &[u8] {
        let start = self.at.checked_sub(self.base).map_or(usize::MAX, |start| start as usize);
        self.window.get(start..).unwrap_or_default()
    }

    fn need(&self, wanted: u64) -> Option<Step> {
        let have = self.ahead().len() as u64;
        if have >= wanted {
            return None;
        }
        let offset = self.at + have;
        let left = self.end - offset;
        Some(Step::Need { offset, length: (wanted - have).max(CHUNK).min(left) })
    }

    /// What comes next.
    pub(super) fn step(&mut self) -> Step {
        loop {
            if self.end.saturating_sub(self.at) < FRAME_HEADER {
                return self.last_octets().or_else(|| self.close_gap(self.end)).unwrap_or(Step::End);
            }
            if let Some(need) = self.need(FRAME_HEADER) {
                return need;
            }
            let header = FrameHeader::parse(self.ahead(), self.seal, self.at)
                .filter(|header| u64::from(header.total) <= self.end - self.at);
            let Some(header) = header else {
                self.skip();
                continue;
            };
            if let Some(gap) = self.close_gap(self.at) {
                return gap;
            }
            if self.depth == Depth::Frames
                && let Some(need) = self.need(header.payload_end())
            {
                return need;
            }
            return self.pass(header);
        }
    }

    /// No frame can begin in them, but a copy of a record that was cut off shall have them.
    fn last_octets(&mut self) -> Option<Step> {
        let (from, _) = self.gap?;
        let need = self.need(self.end.saturating_sub(self.at));
        if need.is_none() && !is_blank(self.ahead()) {
            self.gap = Some((from, self.end));
        }
        need
    }

    fn skip(&mut self) {
        let (from, marked) = self.gap.unwrap_or((self.at, self.at));
        // Most of a preallocated segment is blank, and no frame begins so.
        let (blocks, _) = self.ahead().as_chunks::<{ ALIGN as usize }>();
        let blank = blocks.iter().take_while(|block| u128::from_ne_bytes(**block) == 0).count() as u64;
        self.at += ALIGN * blank.max(1);
        self.gap = Some((from, if blank > 0 { marked } else { self.at }));
    }

    fn close_gap(&mut self, to: u64) -> Option<Step> {
        let (from, marked) = self.gap.take()?;
        if to == self.end {
            // Behind the last frame the rest of the segment is blank: the gap is what is not.
            self.at = self.end;
            let to = if marked == from { to } else { marked };
            return Some(Step::Gap { from, to, blank: marked == from });
        }
        Some(Step::Gap { from, to, blank: marked == from })
    }

    fn pass(&mut self, header: FrameHeader) -> Step {
        let at = self.at;
        let step = match self.depth {
            Depth::Headers => Step::Frame { at, header, octets: Vec::new() },
            Depth::Frames => {
                let octets = self.ahead().get(..header.payload_end() as usize).unwrap_or_default().to_vec();
                match header.split(&octets) {
                    Some(_) => Step::Frame { at, header, octets },
                    None => Step::Spoilt { at, header },
                }
            }
        };
        self.at += u64::from(header.total);
        step
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{checksum, round_up};
    use super::*;
    use crate::mail::QueueId;

    const SEAL: Seal = Seal { segment: 1, salt: 5 };

    fn put(disk: &mut Vec<u8>, changes: &[u8], content: &[u8]) -> u64 {
        let at = disk.len() as u64;
        let header = FrameHeader {
            total: round_up(FRAME_HEADER + (changes.len() + content.len()) as u64, ALIGN) as u32,
            changes: changes.len() as u32,
            content: content.len() as u32,
            changes_crc: checksum([changes]),
            content_crc: checksum([content]),
            synced_through: 0,
            subject: QueueId(at),
            commit: false,
        };
        disk.extend(header.emit(SEAL, at));
        disk.extend_from_slice(changes);
        disk.extend_from_slice(content);
        disk.resize((at + u64::from(header.total)) as usize, 0);
        at
    }

    fn walked(disk: &[u8], depth: Depth) -> Vec<String> {
        let mut walk = Walk::new(SEAL, disk.len() as u64, depth);
        let mut found = Vec::new();
        loop {
            match walk.step() {
                Step::Need { offset, length } => {
                    let octets = disk[offset as usize..].iter().take(length as usize).copied().collect();
                    walk.feed(offset, length, octets);
                }
                Step::Frame { at, .. } => found.push(format!("frame {at}")),
                Step::Spoilt { at, .. } => found.push(format!("spoilt {at}")),
                Step::Gap { from, to, blank } => found.push(format!("gap {from} {to} {blank}")),
                Step::End => return found,
            }
        }
    }

    #[test]
    fn frames_behind_damage_are_found_again() {
        let mut disk = vec![0; SEGMENT_HEADER as usize];
        let first = put(&mut disk, b"changes", &[7; 300_000]);
        let second = put(&mut disk, b"more", b"");
        let third = put(&mut disk, b"last", b"content");
        disk.resize(disk.len() + 1000, 0);
        let end = disk.len();
        let whole = vec![
            format!("frame {first}"),
            format!("frame {second}"),
            format!("frame {third}"),
            format!("gap {} {end} true", third + 64),
        ];
        assert_eq!(walked(&disk, Depth::Frames), whole);
        assert_eq!(walked(&disk, Depth::Headers), whole);
        disk[second as usize] ^= 1;
        disk[first as usize + 200_000] ^= 1;
        let found = walked(&disk, Depth::Frames);
        assert_eq!(found[0], format!("spoilt {first}"));
        assert_eq!(found[1], format!("gap {second} {third} false"));
        assert_eq!(found[2], format!("frame {third}"));
    }

    #[test]
    fn a_segment_is_read_in_pieces_of_bounded_size_and_each_octet_once() {
        let end = SEGMENT_HEADER + 600_000;
        let mut walk = Walk::new(SEAL, end, Depth::Frames);
        let mut needs = Vec::new();
        let gap = loop {
            match walk.step() {
                Step::Need { offset, length } => {
                    needs.push((offset, length));
                    walk.feed(offset, length, Vec::new());
                }
                other => break other,
            }
        };
        assert_eq!(needs, [(1024, 262_144), (263_168, 262_144), (525_312, 75_712)]);
        assert_eq!(gap, Step::Gap { from: 1024, to: end, blank: true });
        assert_eq!(walk.step(), Step::End);
    }

    #[test]
    fn a_large_frame_is_read_whole_and_its_content_is_skipped_where_only_headers_count() {
        let mut disk = vec![0; SEGMENT_HEADER as usize];
        let first = put(&mut disk, b"changes", &[7; 600_000]);
        let second = put(&mut disk, b"more", b"");
        let needs = |depth| {
            let mut walk = Walk::new(SEAL, disk.len() as u64, depth);
            let (mut needs, mut frames) = (Vec::new(), Vec::new());
            loop {
                match walk.step() {
                    Step::Need { offset, length } => {
                        needs.push((offset, length));
                        walk.feed(offset, length, disk[offset as usize..][..length as usize].to_vec());
                    }
                    Step::Frame { at, octets, .. } => frames.push((at, octets.len())),
                    Step::End => return (needs, frames),
                    other => panic!("{other:?}"),
                }
            }
        };
        let rest = disk.len() as u64 - second;
        let (read, frames) = needs(Depth::Headers);
        assert_eq!((read, frames), (vec![(1024, 262_144), (second, rest)], vec![(first, 0), (second, 0)]));
        let (read, frames) = needs(Depth::Frames);
        assert_eq!(read, [(1024, 262_144), (263_168, 1024 + 48 + 7 + 600_000 - 263_168), (second, rest)]);
        assert_eq!(frames, [(first, 48 + 7 + 600_000), (second, 48 + 4)]);
    }

    #[test]
    fn a_record_that_was_cut_off_is_a_gap_to_its_last_octet() {
        let mut disk = vec![0; SEGMENT_HEADER as usize];
        let first = put(&mut disk, b"changes", &[7; 1_000]);
        let whole = disk.len();
        for end in first as usize + 49..whole {
            let found = walked(&disk[..end], Depth::Frames);
            // Padding is no part of it.
            let last = end.min(first as usize + 48 + 7 + 1_000);
            assert_eq!(found, [format!("gap {first} {last} false")], "cut off at {end}");
        }
    }

    #[test]
    fn the_content_of_a_message_can_not_pass_for_a_frame() {
        // The sender guesses everything but the salt.
        let guess = Seal { segment: 1, salt: 6 };
        let mut disk = vec![0; SEGMENT_HEADER as usize];
        let header = FrameHeader {
            total: 64,
            changes: 0,
            content: 0,
            changes_crc: 0,
            content_crc: 0,
            synced_through: 1 << 40,
            subject: QueueId(1),
            commit: false,
        };
        let at = SEGMENT_HEADER + 64;
        let first = put(&mut disk, &[1; 16], &header.emit(guess, at));
        disk[first as usize] ^= 1;
        let found = walked(&disk, Depth::Frames);
        assert!(found.iter().all(|step| step.starts_with("gap")), "{found:?}");
    }
}
