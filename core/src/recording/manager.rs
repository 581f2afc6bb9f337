//! Records the manager: its state once, and then its facts.

use super::{Digest, FRAME_HEAD, Kind, close};
use crate::manager::{Input, Manager, Output};
use crate::time::Now;

/// Messages of a manager whose state is written down, within a few hundredths of a second of its own task. With more its decisions
/// can not be taken again, and its facts are not recorded.
pub const STATE_MESSAGES_MAX: usize = 50_000;

/// Records the manager.
#[derive(Debug, Clone, Default)]
pub struct Minutes {
    next: u64,
    /// The frame of the present fact.
    open: Option<Vec<u8>>,
    digest: Digest,
}

impl Minutes {
    /// The manager, drained, as it is now; and whether its facts are worth recording from here on.
    #[must_use]
    pub fn state(&self, at: Now, manager: &Manager) -> (Option<Vec<u8>>, bool) {
        let small = manager.messages() <= STATE_MESSAGES_MAX;
        // The same encoding as that of `State`, without a copy of the manager.
        let frame = super::frame(Kind::State, &(self.next, at, small.then_some(manager)));
        let known = small && frame.is_some();
        (frame, known)
    }

    /// The manager is about to be told this; nothing: that time has passed.
    pub fn begin(&mut self, at: Now, input: Option<&Input>) {
        let mut octets = vec![0; FRAME_HEAD - 1];
        octets.push(Kind::Fact as u8);
        self.open = postcard::to_extend(&(self.next, at, input), octets).ok();
        self.next += 1;
    }

    /// The manager put this out.
    pub fn output(&mut self, output: &Output) {
        self.digest.output(output);
    }

    /// The manager is drained: the frame of the fact.
    #[must_use]
    pub fn end(&mut self) -> Option<Vec<u8>> {
        let said = self.digest.said();
        close(postcard::to_extend(&said, self.open.take()?).ok()?)
    }
}
