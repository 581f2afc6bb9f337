//! What operators have ordered, and what must not happen behind it: mail on hold is not tried, and deleted mail neither.
//!
//! An order counts when the log of the host says that it was carried out; it is in the host's page cache then, so that the end of a process does not undo it. Loss of power
//! may, and so may the end of a process whose disk had refused what it wrote to its log: what was behind it is written again elsewhere, and perhaps was not yet. Who is deleted may be gone from the moment of the order, and who is released may go on: the end of a process hides whether that was written.

use super::Ledger;
use crate::network::NodeId;
use postrider_core::mail::QueueId;
use std::collections::BTreeSet;

/// Messages under orders.
#[derive(Debug, Clone, Default)]
pub(super) struct Orders {
    held: BTreeSet<(NodeId, QueueId)>,
    deleted: BTreeSet<(NodeId, QueueId)>,
    /// Hosts that were told to release all mail, and have not said that it is done.
    releasing: BTreeSet<NodeId>,
    /// Hosts whose disk has refused some of the log since they started.
    failed: BTreeSet<NodeId>,
}

impl Orders {
    /// A host tries a message; what is wrong with that.
    pub(super) fn judge(&self, node: NodeId, id: QueueId) -> Option<String> {
        if self.held.contains(&(node, id)) {
            return Some(format!("{id} is tried, and an operator has put it on hold"));
        }
        self.deleted.contains(&(node, id)).then(|| format!("{id} is tried, and an operator has deleted it"))
    }

    /// A host's disk did not take what was written to its log.
    pub(super) fn log_failed(&mut self, node: NodeId) {
        self.failed.insert(node);
    }

    /// A process ends, or the power of its host fails: then what was not synced is undone.
    pub(super) fn crashed(&mut self, node: NodeId, power: bool) {
        let is_undone = self.failed.remove(&node) || power;
        if self.releasing.remove(&node) || is_undone {
            self.held.retain(|(host, _)| *host != node);
        }
        if is_undone {
            self.deleted.retain(|(host, _)| *host != node);
        }
    }
}

impl Ledger {
    /// An operator has a message tried as soon as what runs has ended, whatever put it off.
    pub fn may_hurry(&mut self, node: NodeId, id: QueueId) {
        self.patience.may_hurry(node, id);
        self.orders.held.remove(&(node, id));
    }

    /// A message was put on hold.
    pub fn held(&mut self, node: NodeId, id: QueueId) {
        self.orders.held.insert((node, id));
    }

    /// An operator wants all mail released, or hears that it is.
    pub fn releasing(&mut self, node: NodeId, is_wanted: bool) {
        if is_wanted {
            self.orders.releasing.insert(node);
        } else {
            self.orders.releasing.remove(&node);
        }
    }

    /// An operator is about to delete a message.
    pub fn deleting(&mut self, mark: &str) {
        if let Some(what) = self.hops.find(mark).map(|hop| hop.what.clone()) {
            self.end(&what, |fate| fate.deleted = true);
        }
    }

    /// A message was deleted.
    pub fn deleted(&mut self, node: NodeId, id: QueueId) {
        self.orders.deleted.insert((node, id));
    }
}
