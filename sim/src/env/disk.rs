//! A disk in memory that forgets what a real one may forget when the power fails.
//!
//! Written sectors that were not synced are each on disk or not, in any combination; names that were made or removed
//! without a sync of their directory are there or not. Everything else stays. The seed decides which.

use postrider::env::Disk;
use postrider_core::prng::Prng;
use postrider_core::queue::{DiskError, Done, File, Op};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// Octets that a disk writes whole.
const SECTOR: u64 = 512;

/// Octets of one sector before a write that is not synced.
#[derive(Debug, Clone)]
struct Before {
    offset: usize,
    octets: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    octets: Vec<u8>,
    /// What writes since the last sync replaced, in their order.
    unsynced: Vec<Before>,
    /// Length at the last sync.
    length: usize,
}

impl Content {
    fn write(&mut self, offset: usize, octets: &[u8]) {
        let end = offset + octets.len();
        if self.octets.len() < end {
            self.octets.resize(end, 0);
        }
        let sector = SECTOR as usize;
        let mut at = offset;
        while at < end {
            let next = ((at / sector + 1) * sector).min(end);
            self.unsynced.push(Before { offset: at, octets: self.octets[at..next].to_vec() });
            at = next;
        }
        self.octets[offset..end].copy_from_slice(octets);
    }

    fn sync(&mut self) {
        self.unsynced.clear();
        self.length = self.octets.len();
    }

    fn fail(&mut self, prng: &mut Prng) {
        let sectors: BTreeSet<usize> =
            self.unsynced.iter().map(|before| before.offset / SECTOR as usize).collect();
        let lost: BTreeSet<usize> = sectors.into_iter().filter(|_| prng.chance(1, 2)).collect();
        for before in std::mem::take(&mut self.unsynced).into_iter().rev() {
            if lost.contains(&(before.offset / SECTOR as usize)) {
                self.octets[before.offset..before.offset + before.octets.len()]
                    .copy_from_slice(&before.octets);
            }
        }
        if self.octets.len() > self.length && prng.chance(1, 2) {
            self.octets.truncate(self.length);
        }
        self.sync();
    }
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<File, Content>,
    /// Made since the last sync of the directories.
    made: BTreeSet<File>,
    /// Removed since then.
    removed: BTreeMap<File, Content>,
    syncs: u64,
}

/// The disk of a host; it outlives the daemon.
#[derive(Debug, Default)]
pub struct MemoryDisk {
    state: Mutex<State>,
}

impl MemoryDisk {
    /// The power fails. Nobody may use the disk at that moment.
    pub fn lose_power(&self, prng: &mut Prng) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for file in std::mem::take(&mut state.made) {
            if prng.chance(1, 2) {
                state.files.remove(&file);
            }
        }
        for (file, content) in std::mem::take(&mut state.removed) {
            if prng.chance(1, 2) {
                state.files.entry(file).or_insert(content);
            }
        }
        for content in state.files.values_mut() {
            content.fail(prng);
        }
    }

    /// How often something was synced.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).syncs
    }
}

impl State {
    fn content(&mut self, file: File) -> Result<&mut Content, DiskError> {
        self.files.get_mut(&file).ok_or(DiskError::Missing)
    }

    fn execute(&mut self, op: Op) -> Result<Done, DiskError> {
        match op {
            Op::List => {
                let files = self.files.iter().map(|(file, content)| (*file, content.octets.len() as u64));
                return Ok(Done::Files(files.collect()));
            }
            Op::Create { file, size } => {
                if self.files.contains_key(&file) {
                    return Err(DiskError::Failed("File exists".to_owned()));
                }
                let octets = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
                self.files.insert(file, Content { octets, ..Content::default() });
                self.made.insert(file);
            }
            Op::Write { file, offset, octets } => {
                let content = self.content(file)?;
                let mut at = usize::try_from(offset).unwrap_or(usize::MAX);
                for chunk in octets {
                    content.write(at, &chunk);
                    at += chunk.len();
                }
            }
            Op::Sync(file) => {
                self.content(file)?.sync();
                self.syncs += 1;
            }
            Op::SyncDirectory => {
                self.made.clear();
                self.removed.clear();
                self.syncs += 1;
            }
            Op::Unlink(file) => {
                let content = self.files.remove(&file).ok_or(DiskError::Missing)?;
                if !self.made.remove(&file) {
                    self.removed.insert(file, content);
                }
            }
            Op::Read { file, offset, length } => {
                let octets = &self.content(file)?.octets;
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(octets.len());
                let end =
                    start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(octets.len());
                return Ok(Done::Octets(octets[start..end].to_vec()));
            }
        }
        Ok(Done::Nothing)
    }
}

impl Disk for MemoryDisk {
    fn execute(&self, op: Op) -> Result<Done, DiskError> {
        let syncs_log = matches!(op, Op::Sync(File::Segment(_)));
        let result = self.state.lock().unwrap_or_else(PoisonError::into_inner).execute(op);
        if syncs_log && result.is_ok() {
            super::witness::synced();
        }
        result
    }

    fn free_space(&self) -> u64 {
        u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: File = File::Segment(1);

    fn write(disk: &MemoryDisk, offset: u64, octets: &[u8]) {
        let written = disk.execute(Op::Write { file: LOG, offset, octets: vec![octets.to_vec()] });
        assert_eq!(written, Ok(Done::Nothing));
    }

    fn read(disk: &MemoryDisk) -> Result<Done, DiskError> {
        disk.execute(Op::Read { file: LOG, offset: 0, length: 4096 })
    }

    #[test]
    fn what_was_synced_survives_every_power_failure() {
        for seed in 0..50 {
            let disk = MemoryDisk::default();
            assert_eq!(disk.execute(Op::Create { file: LOG, size: 2048 }), Ok(Done::Nothing));
            write(&disk, 0, b"kept");
            assert_eq!(disk.execute(Op::Sync(LOG)), Ok(Done::Nothing));
            assert_eq!(disk.execute(Op::SyncDirectory), Ok(Done::Nothing));
            write(&disk, 1024, b"lost?");
            disk.lose_power(&mut Prng::new(seed));
            let Ok(Done::Octets(octets)) = read(&disk) else { panic!("the file is there") };
            assert_eq!(&octets[..4], b"kept");
        }
    }

    #[test]
    fn unsynced_sectors_and_names_are_lost_for_some_seeds_and_kept_for_others() {
        let (mut gone, mut torn, mut whole) = (0, 0, 0);
        for seed in 0..100 {
            let disk = MemoryDisk::default();
            assert_eq!(disk.execute(Op::Create { file: LOG, size: 1024 }), Ok(Done::Nothing));
            write(&disk, 0, &[7; 1024]);
            disk.lose_power(&mut Prng::new(seed));
            match read(&disk) {
                Ok(Done::Octets(octets)) if octets == [7; 1024] => whole += 1,
                Ok(_) => torn += 1,
                Err(_) => gone += 1,
            }
        }
        assert!(gone > 0 && torn > 0 && whole > 0, "{gone} {torn} {whole}");
    }
}
