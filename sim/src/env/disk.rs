//! The discrete world's disk ([`crate::disk`]) under a whole daemon: it tears, forgets and fails as it does there, from its seed.
//!
//! Operations take no time and come one after the other. It outlives the daemon; the oracle hears what becomes of them.

use super::witness;
use crate::disk::{self, Moods};
use crate::faults::Fired;
use crate::network::NodeId;
use postrider::env::Disk;
use postrider_core::queue::{DiskError, Done, Op};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The disk of a host.
#[derive(Debug)]
pub struct SpoolDisk {
    node: NodeId,
    disk: Mutex<disk::Disk>,
    /// What it holds when nothing is the matter with it.
    capacity: u64,
    written: Notify,
}

impl SpoolDisk {
    /// An empty disk, of the host with this address.
    #[must_use]
    pub fn new(address: impl Into<IpAddr>, seed: u64, capacity: u64) -> Self {
        let disk = Mutex::new(disk::Disk::new(seed, capacity));
        Self { node: witness::node_of(address.into()), disk, capacity, written: Notify::new() }
    }

    fn disk(&self) -> MutexGuard<'_, disk::Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power fails. Nobody may use the disk at that moment.
    pub fn lose_power(&self) {
        self.disk().crash();
    }

    /// Waits for the next write: the moment at which there is something to lose.
    pub async fn next_write(&self) {
        self.written.notified().await;
    }

    /// Things go wrong from now on, so often.
    pub fn ail(&self, moods: Moods) {
        self.disk().moods = moods;
    }

    /// From now on it says that it has synced, and has not.
    pub fn lie(&self) {
        self.disk().lies = true;
    }

    /// Others fill it from now on: not an octet is left.
    pub fn fill(&self) {
        let mut disk = self.disk();
        disk.capacity = disk.used();
    }

    /// Nothing is the matter with it any more.
    pub fn heal(&self) {
        let mut disk = self.disk();
        disk.moods = Moods::default();
        disk.capacity = self.capacity;
    }

    /// What went wrong so far.
    #[must_use]
    pub fn fired(&self) -> Fired {
        self.disk().fired.clone()
    }
}

impl Disk for SpoolDisk {
    fn execute(&self, op: Op) -> Result<Done, DiskError> {
        let result = self.disk().carry_out(&op);
        if matches!(op, Op::Write { .. }) {
            self.written.notify_waiters();
        }
        witness::disk_did(self.node, &op, &result);
        result
    }

    fn free_space(&self) -> u64 {
        self.disk().free()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_core::queue::File;
    use std::net::Ipv4Addr;

    const LOG: File = File::Segment(1);

    fn done(disk: &SpoolDisk, op: Op) {
        assert_eq!(disk.execute(op), Ok(Done::Nothing));
    }

    #[test]
    fn it_loses_what_was_not_synced_is_full_and_heals() {
        let (mut lost, written) = (0, || Op::Write { file: LOG, offset: 0, octets: vec![vec![7; 512]] });
        for seed in 0..50 {
            let disk = SpoolDisk::new(Ipv4Addr::LOCALHOST, seed, 10_000);
            done(&disk, Op::Create { file: LOG, size: 1_024 });
            done(&disk, Op::Sync(LOG));
            done(&disk, Op::SyncDirectory);
            done(&disk, written());
            disk.fill();
            assert_eq!(disk.free_space(), 0);
            assert_eq!(disk.execute(Op::Create { file: File::Segment(2), size: 1 }), Err(DiskError::Full));
            disk.ail(Moods { sync_fails: 1_000, ..Moods::default() });
            assert!(matches!(disk.execute(Op::Sync(LOG)), Err(DiskError::Failed(_))));
            disk.lose_power();
            disk.heal();
            done(&disk, Op::Sync(LOG));
            let read = disk.execute(Op::Read { file: LOG, offset: 0, length: 1 });
            lost += usize::from(read == Ok(Done::Octets(vec![0])));
            assert_eq!(disk.free_space(), 10_000 - 1_024);
        }
        assert!(lost > 10 && lost < 40, "{lost}");
    }
}
