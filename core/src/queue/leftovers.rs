//! Files whose removal has failed: tried again until they are gone, after 1 s, 2 s, … 60 s.
//!
//! Else their space would be missing until the next start, which removes them if it can read all. They are tried one after the other: the first shows whether
//! the disk works again, and one that never goes holds up the others only for its own pauses. Numbers of segments and ids of messages are
//! not given twice, so what is removed late is still what was meant.

use super::log::{Log, Purpose, words};
use super::segments::longer;
use super::{DiskError, File, Op};
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// What is left to remove.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Leftovers {
    files: VecDeque<File>,
    /// One of them is being tried.
    trying: bool,
    pause: Duration,
    /// Until when none is tried.
    until: Option<Instant>,
}

impl Leftovers {
    pub(super) const fn timeout(&self) -> Option<Instant> {
        self.until
    }
}

impl Log {
    /// Removes a file that nobody needs: sooner or later.
    pub(super) fn unlink(&mut self, file: File) {
        self.start(Purpose::Forget { file, again: false }, Op::Unlink(file));
    }

    pub(super) fn forget_did(&mut self, file: File, again: bool, result: Result<(), DiskError>) {
        self.leftovers.trying &= !again;
        let Err(error) = result else { return };
        if error == DiskError::Missing {
            return;
        }
        self.leftovers.files.push_back(file);
        if self.leftovers.until.is_some() {
            return;
        }
        self.leftovers.pause = longer(self.leftovers.pause);
        self.leftovers.until = Some(self.now.mono.after(self.leftovers.pause));
        let text = format!(
            "{} of the spool, which is not needed any more, can not be removed: {}; tried again in {} s, as are all that are left",
            file.path(),
            words(&error),
            self.leftovers.pause.as_secs()
        );
        self.trouble(None, text);
    }

    /// Tries the next one, unless there is a pause.
    pub(super) fn remove_leftovers(&mut self) {
        self.leftovers.until = self.leftovers.until.filter(|until| *until > self.now.mono);
        if self.leftovers.trying || self.leftovers.until.is_some() {
            return;
        }
        match self.leftovers.files.pop_front() {
            Some(file) => {
                self.leftovers.trying = true;
                self.start(Purpose::Forget { file, again: true }, Op::Unlink(file));
            }
            None => self.leftovers.pause = Duration::ZERO,
        }
    }
}
