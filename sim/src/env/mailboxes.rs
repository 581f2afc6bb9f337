//! Mailboxes that keep what was delivered, for a test to read.

use crate::network::NodeId;
use postrider::env::{Letter, Mailboxes};
use postrider_core::local::{Deposit, Fault};
use postrider_core::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Messages by the path of their mailbox, in the order of their delivery. A message counts when it is finished: from then on it
/// is as durable as a Maildir.
#[derive(Debug, Default, Clone)]
pub struct Ledger {
    delivered: Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>>,
}

impl Ledger {
    /// What lies in a mailbox.
    #[must_use]
    pub fn mailbox(&self, path: &str) -> Vec<Vec<u8>> {
        let delivered = self.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        delivered.get(path).cloned().unwrap_or_default()
    }

    /// All mailboxes with mail.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

/// The mailboxes of one daemon: the oracle hears what comes into them.
pub(super) struct Watched {
    pub(super) node: NodeId,
    pub(super) ledger: Ledger,
}

struct Draft {
    node: NodeId,
    ledger: Ledger,
    path: String,
    octets: Vec<u8>,
    limit: u64,
}

impl Mailboxes for Watched {
    fn open(&self, deposit: &Deposit, _: Timestamp) -> Result<Box<dyn Letter>, Fault> {
        let draft = Draft {
            node: self.node,
            ledger: self.ledger.clone(),
            path: deposit.path.clone(),
            octets: Vec::new(),
            limit: deposit.limit,
        };
        Ok(Box::new(draft))
    }
}

impl Letter for Draft {
    fn write(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.octets.extend_from_slice(octets);
        if self.limit > 0 && self.octets.len() as u64 > self.limit { Err(Fault::Full) } else { Ok(()) }
    }

    fn finish(self: Box<Self>) -> Result<(), Fault> {
        super::witness::deposited(self.node, &self.octets);
        let mut delivered = self.ledger.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        delivered.entry(self.path).or_default().push(self.octets);
        Ok(())
    }

    fn abandon(self: Box<Self>) {}
}
