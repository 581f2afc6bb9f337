//! A disk in memory that does what disks do: it loses, tears and refuses.
//!
//! Sectors of 512 octets are written whole or not at all. What was not synced survives a crash in any subset; so do names that were made or removed
//! without a sync of the directory. A sync that failed has thrown away what it could not write, and the next one succeeds.

use super::super::frame::SECTOR;
use super::super::{DiskError, Done, File, Op};
use crate::prng::Prng;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub(super) octets: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

/// What goes wrong at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Failed,
    Full,
}

#[derive(Debug, Clone)]
pub(super) struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<File, usize>,
    durable_names: BTreeMap<File, usize>,
    unsynced_names: Vec<(File, Option<usize>)>,
    pub(super) capacity: u64,
    pub(super) prng: Prng,
    /// Operations carried out.
    pub(super) count: u64,
    /// Which of them fail: the number, and how. Only Create, Write, Sync, SyncDirectory and Unlink.
    pub(super) faults: BTreeMap<u64, Fault>,
    /// All syncs and writes fail while set.
    pub(super) broken: bool,
    /// All reads fail while set.
    pub(super) unreadable: bool,
    /// No file can be removed while set.
    pub(super) unremovable: bool,
}

impl Disk {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            capacity: u64::MAX,
            prng: Prng::new(seed),
            count: 0,
            faults: BTreeMap::new(),
            broken: false,
            unreadable: false,
            unremovable: false,
        }
    }

    pub(super) fn files(&self) -> Vec<(File, u64)> {
        self.names.iter().map(|(file, inode)| (*file, self.inodes[*inode].octets.len() as u64)).collect()
    }

    pub(super) fn used(&self) -> u64 {
        self.files().iter().map(|(_, size)| size).sum()
    }

    pub(super) fn inode(&mut self, file: File) -> Option<&mut Inode> {
        let inode = *self.names.get(&file)?;
        Some(&mut self.inodes[inode])
    }

    /// Changes what lies on the disk.
    pub(super) fn spoil(&mut self, file: File, change: impl Fn(&mut Vec<u8>)) {
        if let Some(inode) = self.inode(file) {
            change(&mut inode.octets);
            change(&mut inode.durable);
        }
    }

    fn fault(&mut self, op: &Op) -> Option<DiskError> {
        self.count += 1;
        if matches!(op, Op::Read { .. } | Op::List) {
            let fails = self.unreadable && matches!(op, Op::Read { .. });
            return fails.then(|| DiskError::Failed("Input/output error".into()));
        }
        let broken = (self.broken && matches!(op, Op::Write { .. } | Op::Sync(_)))
            || (self.unremovable && matches!(op, Op::Unlink(_)));
        match self.faults.get(&self.count) {
            Some(Fault::Full) if matches!(op, Op::Create { .. } | Op::Write { .. }) => Some(DiskError::Full),
            Some(Fault::Failed) => Some(DiskError::Failed("Input/output error".into())),
            _ => broken.then(|| DiskError::Failed("Input/output error".into())),
        }
    }

    pub(super) fn run(&mut self, op: Op) -> Result<Done, DiskError> {
        if let Some(error) = self.fault(&op) {
            self.fail_half_way(op);
            return Err(error);
        }
        match op {
            Op::List => return Ok(Done::Files(self.files())),
            Op::Read { file, offset, length } => {
                let inode = self.inode(file).ok_or(DiskError::Missing)?;
                let start = (offset as usize).min(inode.octets.len());
                let end = (offset.saturating_add(length) as usize).min(inode.octets.len());
                return Ok(Done::Octets(inode.octets[start..end].to_vec()));
            }
            Op::Create { file, size } => {
                if self.names.contains_key(&file) {
                    return Err(DiskError::Failed("File exists".into()));
                }
                if self.used().saturating_add(size) > self.capacity {
                    return Err(DiskError::Full);
                }
                let zeros = vec![0; size as usize];
                self.inodes.push(Inode { octets: zeros.clone(), durable: zeros, dirty: BTreeSet::new() });
                self.names.insert(file, self.inodes.len() - 1);
                self.unsynced_names.push((file, Some(self.inodes.len() - 1)));
            }
            Op::Write { file, offset, octets } => self.write(file, offset, &octets.concat())?,
            Op::Sync(file) => {
                let inode = self.inode(file).ok_or(DiskError::Missing)?;
                inode.durable.resize(inode.octets.len(), 0);
                for sector in std::mem::take(&mut inode.dirty) {
                    inode.save(sector);
                }
            }
            Op::SyncDirectory => {
                self.durable_names = self.names.clone();
                self.unsynced_names.clear();
            }
            Op::Unlink(file) => {
                self.names.remove(&file).ok_or(DiskError::Missing)?;
                self.unsynced_names.push((file, None));
            }
        }
        Ok(Done::Nothing)
    }

    fn write(&mut self, file: File, offset: u64, octets: &[u8]) -> Result<(), DiskError> {
        let used = self.used();
        let capacity = self.capacity;
        let inode = self.inode(file).ok_or(DiskError::Missing)?;
        let end = offset as usize + octets.len();
        let more = end.saturating_sub(inode.octets.len()) as u64;
        if used.saturating_add(more) > capacity {
            return Err(DiskError::Full);
        }
        inode.octets.resize(inode.octets.len().max(end), 0);
        inode.octets[offset as usize..end].copy_from_slice(octets);
        inode.dirty.extend(offset as usize / SECTOR as usize..end.div_ceil(SECTOR as usize));
        Ok(())
    }

    /// A failed sync saved some of it and has forgotten the rest; a failed write has written some of it.
    fn fail_half_way(&mut self, op: Op) {
        let mut prng = self.prng.clone();
        match op {
            Op::Sync(file) => {
                if let Some(inode) = self.inode(file) {
                    inode.durable.resize(inode.octets.len(), 0);
                    let mut dirty = std::mem::take(&mut inode.dirty);
                    dirty.retain(|_| prng.chance(1, 2));
                    dirty.into_iter().for_each(|sector| inode.save(sector));
                }
            }
            Op::Write { file, offset, octets } => {
                let octets = octets.concat();
                let part = prng.below(octets.len() as u64) as usize;
                let _ = self.write(file, offset, &octets[..part]);
            }
            Op::Unlink(file) if prng.chance(1, 2) && self.names.remove(&file).is_some() => {
                self.unsynced_names.push((file, None));
            }
            _ => {}
        }
        self.prng = prng;
    }

    /// The power fails: any subset of what was not synced survives.
    pub(super) fn crash(&mut self, seed: u64) {
        let mut prng = Prng::new(seed);
        let all = prng.below(4);
        let mut keep = move || match all {
            0 => true,
            1 => false,
            _ => prng.chance(1, 2),
        };
        let mut names = self.durable_names.clone();
        for (file, inode) in std::mem::take(&mut self.unsynced_names) {
            match inode {
                Some(inode) if keep() => _ = names.insert(file, inode),
                None if keep() => _ = names.remove(&file),
                _ => {}
            }
        }
        self.durable_names = names.clone();
        self.names = names;
        for inode in &mut self.inodes {
            for sector in std::mem::take(&mut inode.dirty) {
                if keep() {
                    inode.save(sector);
                }
            }
            inode.octets = inode.durable.clone();
        }
    }
}

impl Inode {
    fn save(&mut self, sector: usize) {
        let start = sector * SECTOR as usize;
        let end = (start + SECTOR as usize).min(self.octets.len());
        self.durable.resize(self.durable.len().max(end), 0);
        if start < end {
            self.durable[start..end].copy_from_slice(&self.octets[start..end]);
        }
    }
}
