//! Recovery of contents that have files of their own: each is read once and compared with what its record says of it.
//!
//! A file that is missing, has another length, or other octets than were synced is damage: its message is set aside. A file that can not be read now is
//! left alone, and so is its message: who wants to deliver it meets the same fault, and tries again later.
//!
//! Promise: reads in chunks of bounded size; a start costs one reading of all such contents (docs/decisions/0015-checked-contents.md says why that is worth it).

use super::frame::checksum_on;
use super::index::Place;
use super::log::{Log, PROGRAM, Purpose, words};
use super::recovery::Stage;
use super::salvage::{Salvage, Source};
use super::{DiskError, File, Op};
use crate::event::Event;
use crate::mail::{ContentPlace, QueueId};
use std::collections::VecDeque;

/// Octets read at once.
const CHUNK: u64 = 1024 * 1024;

/// Contents that are still to be read, and how far the first of them has been.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Checking {
    /// Message, commit, length, checksum.
    todo: VecDeque<(QueueId, Place, u64, u32)>,
    at: u64,
    checksum: u32,
}

impl Log {
    /// Messages whose content file is not what was synced are damaged; contents of no message are left over from an aborted one.
    pub(super) fn check_contents(&mut self) {
        let mut todo = VecDeque::new();
        let mut broken = Vec::new();
        for (id, entry) in self.index.iter().filter(|(_, entry)| entry.content == ContentPlace::File) {
            if self.recovery.contents.get(&id) != Some(&entry.length) {
                broken.push((id, entry.commit));
            } else if let Some(checksum) = self.recovery.checksums.get(&id) {
                todo.push_back((id, entry.commit, entry.length, *checksum));
            }
        }
        for (id, place) in broken {
            let what = match self.recovery.contents.get(&id) {
                None => "a message whose content file is missing".to_owned(),
                Some(size) => {
                    format!("a message whose content file has {size} octets, which is not its length")
                }
            };
            self.lose_message(id, place, what);
        }
        self.read_content(Checking { todo, at: 0, checksum: 0 });
    }

    /// Reads on, or begins to set damage aside when all has been read.
    fn read_content(&mut self, checking: Checking) {
        let Some((id, _, length, _)) = checking.todo.front().copied() else {
            self.recovery.stage = Stage::Salvage;
            self.save_orphans();
            return self.next_salvage();
        };
        let (offset, length) = (checking.at, CHUNK.min(length - checking.at));
        self.recovery.stage = Stage::Contents(checking);
        self.start(Purpose::Recover, Op::Read { file: File::Content(id), offset, length });
    }

    pub(super) fn content_read(&mut self, mut checking: Checking, result: Result<Vec<u8>, DiskError>) {
        let Some((id, place, length, expected)) = checking.todo.front().copied() else {
            return self.read_content(checking);
        };
        match result {
            Ok(octets) => {
                checking.at += octets.len() as u64;
                checking.checksum = checksum_on(checking.checksum, [octets.as_slice()]);
                if checking.at < length && !octets.is_empty() {
                    return self.read_content(checking);
                }
                if checking.at != length || checking.checksum != expected {
                    let what = "a message whose content file is not what was written";
                    self.lose_message(id, place, what.to_owned());
                }
            }
            Err(error) => {
                let text =
                    format!("its content can not be read from the spool, nor checked: {}", words(&error));
                self.event(Event::Warning { program: PROGRAM, id: Some(id), text });
            }
        }
        checking.todo.pop_front();
        self.read_content(Checking { at: 0, checksum: 0, ..checking });
    }

    fn lose_message(&mut self, id: QueueId, place: Place, what: String) {
        let mut sources = vec![Source {
            file: File::Segment(place.segment()),
            offset: place.offset(),
            length: place.octets(),
        }];
        if let Some(size) = self.recovery.contents.get(&id) {
            sources.push(Source { file: File::Content(id), offset: 0, length: *size });
        }
        self.index.forget(id);
        self.recovery.progress.remove(&id);
        let target = File::Corrupt(place.segment(), place.offset());
        self.recovery.salvages.push_back(Salvage::new(target, Some(id), what, sources));
    }
}
