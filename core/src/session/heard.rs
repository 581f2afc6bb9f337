//! Which octets of a client were content, and which are not yet understood: for who records a session without its content.
//!
//! Only counted: octets are named by their place in all that the client has said.

use super::Session;
use std::ops::Range;

/// What the last stimulus came to understand.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Heard {
    came: u64,
    content: Vec<Range<u64>>,
}

impl Heard {
    /// So many octets have come.
    pub(super) const fn came(&mut self, octets: usize) {
        self.came += octets as u64;
    }

    /// Of the last `had` octets the first `used` were content.
    pub(super) fn content(&mut self, had: usize, used: usize) {
        let start = self.came.saturating_sub(had as u64);
        if used > 0 {
            self.content.push(start..start + used as u64);
        }
    }
}

impl Session {
    /// What waits is never obeyed. It may have been content, so it counts as such: a recording does not show it.
    pub(super) fn discard(&mut self) {
        let waiting = self.backlog.waiting().len();
        self.heard.content(waiting, waiting);
        self.backlog.clear();
    }

    /// Another stimulus of the joint: it may tell the session more than one thing.
    pub(crate) fn begin_hearing(&mut self) {
        self.heard.content.clear();
    }

    /// The places that were found to be content since then.
    #[must_use]
    pub fn content_heard(&self) -> &[Range<u64>] {
        &self.heard.content
    }

    /// What comes before this place is understood: it was content or commands, and is not looked at again.
    #[must_use]
    pub fn understood(&self) -> u64 {
        self.heard.came.saturating_sub(self.backlog.waiting().len() as u64)
    }
}
