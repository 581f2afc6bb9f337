//! Recovery of segments whose header is zeros: made ahead of need, or used, with a header that is lost.
//!
//! Promise: what is in them is set aside, or is the torn first batch of one that was made ahead; what can not be looked at stays.

use super::frame::{SEGMENT_HEADER, claims_durable, is_blank};
use super::log::{Log, PROGRAM, Purpose};
use super::reading::FINE;
use super::recovery::Stage;
use super::{DiskError, File, Op};
use crate::event::Event;

/// Octets that are looked at at once for anything but zeros.
const LOOK: u64 = 1024 * 1024;

impl Log {
    /// A segment whose header is zeros was made ahead of need, or has lost its header: then a later one names an end in it, or, where nobody
    /// knows its end, something is there. Behind all that were used that may be the torn first batch of one that was made ahead, unless it
    /// says that what is before it was durable. From the highest down: which were used tells what those below are.
    pub(super) fn next_blank(&mut self) {
        while let Some(segment) = self.recovery.blank.pop_last() {
            let size = self.recovery.sizes.get(&segment).copied().unwrap_or(0);
            let is_void = self.recovery.void.contains(&segment);
            match self.recovery.durable_end(segment).filter(|_| !is_void) {
                Some(end) if end > 0 => self.lose_header(segment, size),
                None if !is_void && size > SEGMENT_HEADER => {
                    return self.look_behind(segment, SEGMENT_HEADER, LOOK);
                }
                _ => self.sort_blank(segment, size),
            }
        }
        self.choose_segments();
    }

    fn lose_header(&mut self, segment: u64, size: u64) {
        self.lose_segment(segment, size, "its header has been overwritten with zeros");
    }

    fn look_behind(&mut self, segment: u64, at: u64, piece: u64) {
        self.recovery.stage = Stage::Blank(segment, at, piece);
        let size = self.recovery.sizes.get(&segment).copied().unwrap_or(0);
        let length = piece.min(size.saturating_sub(at));
        self.start(Purpose::Recover, Op::Read { file: File::Segment(segment), offset: at, length });
    }

    pub(super) fn looked_behind(
        &mut self,
        segment: u64,
        at: u64,
        piece: u64,
        result: Result<Vec<u8>, DiskError>,
    ) {
        let size = self.recovery.sizes.get(&segment).copied().unwrap_or(0);
        let is_last = segment > self.recovery.last_used;
        match result {
            // Less may be read where more is not.
            Err(_) if piece > FINE => return self.look_behind(segment, at, FINE),
            Err(error) => self.leave_whole_segment(segment, size, &error),
            Ok(octets) => {
                let next = at + octets.len() as u64;
                let is_written = !is_blank(&octets);
                let was_used = if is_last { claims_durable(&octets) } else { is_written };
                if was_used {
                    self.lose_header(segment, size);
                } else if next > at && next < size {
                    return self.look_behind(segment, next, piece);
                } else {
                    self.sort_blank(segment, size);
                }
            }
        }
        self.next_blank();
    }

    /// Nothing is in it. One with a number below one that was used is no spare: the next start would take what was in that for void.
    fn sort_blank(&mut self, segment: u64, size: u64) {
        if segment > self.recovery.last_used && size == self.params.segment_size() {
            // Made ahead of need and never used; its name is made durable before mail is taken.
            self.spares.ready.push_front((segment, size));
            return;
        }
        if size < SEGMENT_HEADER {
            let text =
                format!("segment {segment} of the spool is cut off before its first frame: it is removed");
            self.event(Event::Warning { program: PROGRAM, id: None, text });
        }
        match self.recovery.void.contains(&segment) {
            true => self.drop_void(segment, 0),
            false => self.unlink(File::Segment(segment)),
        }
    }
}
