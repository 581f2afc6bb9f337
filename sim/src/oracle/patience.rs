//! How soon a host tries again what it put off: not before `minimal_backoff_time`, to which jitter only adds.
//!
//! A recipient of a message is put off when the log says so, tried or not; the pause counts from there, so the next exchanger of the same
//! attempt is no matter of this rule, and recipients of one message that were put off at different times have a pause each. It holds within one life
//! of a process, on the simulated clock, which no jump of a wall clock touches. Three things end it: an operator who wants all
//! mail tried now, one who releases a message or wants it to go through cleanup anew (its turn comes as soon as what runs has ended, and if no new message
//! can be made it is tried as it is), and the end of the process: what it had not written down was not put off.

use crate::network::NodeId;
use postrider_core::mail::QueueId;
use postrider_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// Who was put off, and when last.
#[derive(Debug, Clone, Default)]
pub(super) struct Patience {
    hosts: BTreeMap<NodeId, Host>,
}

#[derive(Debug, Clone, Default)]
struct Host {
    /// `minimal_backoff_time`.
    pause: Duration,
    put_off: BTreeMap<(QueueId, String), Instant>,
    /// Messages that an operator has had requeued or released.
    hurried: BTreeSet<QueueId>,
}

impl Patience {
    /// What a host promises.
    pub(super) fn promise(&mut self, node: NodeId, pause: Duration) {
        self.hosts.entry(node).or_default().pause = pause;
    }

    /// A host says that it puts a recipient off.
    pub(super) fn put_off(&mut self, node: NodeId, id: QueueId, recipient: &str, now: Instant) {
        let host = self.hosts.entry(node).or_default();
        _ = host.put_off.insert((id, recipient.to_owned()), now);
    }

    /// A host tries a recipient; what is wrong with that.
    pub(super) fn judge(
        &mut self,
        node: NodeId,
        id: QueueId,
        recipient: String,
        now: Instant,
    ) -> Option<String> {
        let host = self.hosts.get_mut(&node)?;
        let key = (id, recipient);
        let paused = now.since(host.put_off.remove(&key)?);
        if host.hurried.contains(&id) {
            return None;
        }
        (paused < host.pause).then(|| {
            let (waited, pause) = (paused.as_millis(), host.pause.as_secs());
            format!("{id}: {} was put off and tried again after {waited} ms, not {pause} s", key.1)
        })
    }

    /// An operator wants a message to go through cleanup anew, or has released it.
    pub(super) fn may_hurry(&mut self, node: NodeId, id: QueueId) {
        self.hosts.entry(node).or_default().hurried.insert(id);
    }

    /// Its process has ended.
    pub(super) fn ended(&mut self, node: NodeId) {
        self.forget(node);
        if let Some(host) = self.hosts.get_mut(&node) {
            host.hurried.clear();
        }
    }

    /// An operator wants its mail tried now.
    pub(super) fn forget(&mut self, node: NodeId) {
        if let Some(host) = self.hosts.get_mut(&node) {
            host.put_off.clear();
        }
    }
}
