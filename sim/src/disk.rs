//! A disk that does what disks do.
//!
//! Written octets are seen at once and durable after a sync; names are durable after the sync of their directory. A crash keeps, of each
//! 512-octet sector written since, the old or the new octets, of each new name its presence or its absence, and of
//! each size the old or the new. A sync that fails keeps some sectors and forgets that the others were ever to be written: the
//! next sync succeeds and does not bring them back (as Linux does). Space that was never written reads as zeros,
//! or after a crash, on a careless file system, as what lay there before.
//!
//! Executes the operations of the spool; knows nothing of records.

use crate::faults::{Class, Fired};
use postrider_core::prng::Prng;
use postrider_core::queue::{DiskError, Done, File, Op};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

mod image;

use image::Image;

/// What is written whole or not at all.
pub const SECTOR: usize = 512;

/// How often things go wrong, of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Moods {
    /// A write or create finds no space, whatever the capacity.
    pub full: u16,
    /// A create, write or unlink fails.
    pub fails: u16,
    /// A read fails.
    pub reads_fail: u16,
    /// A sync fails.
    pub sync_fails: u16,
    /// After a crash, sectors that did not make it hold old octets of other files instead of zeros.
    pub careless: bool,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    /// As programs see it.
    seen: Image,
    /// As it is after power loss, but for dirty sectors.
    kept: Image,
    /// Sectors that differ and may be on their way, in the order of the writes.
    dirty: Vec<usize>,
    /// The size is not durable.
    sized: bool,
}

/// A disk.
#[derive(Debug, Clone)]
pub struct Disk {
    prng: Prng,
    names: BTreeMap<File, u64>,
    kept_names: BTreeMap<File, u64>,
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    /// Octets that files may take in all.
    pub capacity: u64,
    /// How often things go wrong.
    pub moods: Moods,
    /// It says that it has synced, and has not.
    pub lies: bool,
    /// Octets of a file that is gone, for the careless.
    relic: Image,
    /// What went wrong so far.
    pub fired: Fired,
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64, capacity: u64) -> Self {
        Self {
            prng: Prng::new(seed),
            names: BTreeMap::new(),
            kept_names: BTreeMap::new(),
            inodes: BTreeMap::new(),
            next: 0,
            capacity,
            moods: Moods::default(),
            lies: false,
            relic: Image::default(),
            fired: Fired::default(),
        }
    }

    /// Octets that files take.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.names.values().filter_map(|id| self.inodes.get(id)).map(|inode| inode.seen.size() as u64).sum()
    }

    /// Octets left.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used())
    }

    /// Carries an operation out.
    ///
    /// # Errors
    /// As a real disk, or as its moods have it.
    pub fn carry_out(&mut self, op: &Op) -> Result<Done, DiskError> {
        let (odds, class) = match op {
            Op::List | Op::Sync(_) | Op::SyncDirectory => (0, Class::DiskSync),
            Op::Read { .. } => (self.moods.reads_fail, Class::DiskRead),
            Op::Create { .. } | Op::Write { .. } | Op::Unlink(_) => (self.moods.fails, Class::DiskWrite),
        };
        self.fail(odds, class, "input/output error")?;
        match op {
            Op::List => Ok(Done::Files(
                self.names
                    .iter()
                    .map(|(&file, id)| {
                        (file, self.inodes.get(id).map_or(0, |inode| inode.seen.size() as u64))
                    })
                    .collect(),
            )),
            Op::Create { file, size } => self.create(*file, *size),
            Op::Write { file, offset, octets } => self.write(*file, *offset, octets),
            Op::Sync(file) => self.sync(*file),
            Op::SyncDirectory => {
                self.fail(self.moods.sync_fails, Class::DiskSync, "sync of directory failed")?;
                self.kept_names = self.names.clone();
                self.sweep();
                Ok(Done::Nothing)
            }
            Op::Unlink(file) => {
                self.names.remove(file).ok_or(DiskError::Missing)?;
                self.sweep();
                Ok(Done::Nothing)
            }
            Op::Read { file, offset, length } => {
                let inode = self.inode(*file)?;
                let from = usize::try_from(*offset).unwrap_or(usize::MAX);
                let to = from.saturating_add(usize::try_from(*length).unwrap_or(usize::MAX));
                Ok(Done::Octets(inode.seen.read(from, to)))
            }
        }
    }

    fn fail(&mut self, odds: u16, class: Class, why: &str) -> Result<(), DiskError> {
        if odds > 0 && self.prng.chance(u64::from(odds), 1_000) {
            self.fired.note(class);
            return Err(DiskError::Failed(why.to_owned()));
        }
        Ok(())
    }

    fn inode(&mut self, file: File) -> Result<&mut Inode, DiskError> {
        let id = self.names.get(&file).ok_or(DiskError::Missing)?;
        self.inodes.get_mut(id).ok_or(DiskError::Missing)
    }

    fn space(&mut self, more: u64) -> Result<(), DiskError> {
        let unlucky = self.moods.full > 0 && self.prng.chance(u64::from(self.moods.full), 1_000);
        if unlucky || (more > 0 && self.free() < more) {
            self.fired.note(Class::DiskFull);
            return Err(DiskError::Full);
        }
        Ok(())
    }

    fn create(&mut self, file: File, size: u64) -> Result<Done, DiskError> {
        if self.names.contains_key(&file) {
            return Err(DiskError::Failed("file exists".to_owned()));
        }
        self.space(size)?;
        let mut seen = Image::default();
        seen.resize(usize::try_from(size).map_err(|_| DiskError::Full)?);
        self.inodes.insert(self.next, Inode { seen, sized: true, ..Inode::default() });
        self.names.insert(file, self.next);
        self.next += 1;
        Ok(Done::Nothing)
    }

    fn write(&mut self, file: File, offset: u64, octets: &[Vec<u8>]) -> Result<Done, DiskError> {
        let start = usize::try_from(offset).map_err(|_| DiskError::Full)?;
        let mut end = octets.iter().fold(start, |end, chunk| end.saturating_add(chunk.len()));
        let had = self.inode(file)?.seen.size();
        let space = self.space(end.saturating_sub(had) as u64);
        if space.is_err() {
            // What fits is written, as write(2) does.
            end = end.min(had);
        }
        let inode = self.inode(file)?;
        if end > inode.seen.size() {
            inode.seen.resize(end);
            inode.sized = true;
        }
        if end > start {
            let mut at = start;
            for chunk in octets {
                let here = &chunk[..chunk.len().min(end - at)];
                inode.seen.write(at, here);
                at += here.len();
            }
            inode.dirty.extend(start / SECTOR..end.div_ceil(SECTOR));
        }
        space.map(|()| Done::Nothing)
    }

    fn sync(&mut self, file: File) -> Result<Done, DiskError> {
        if self.lies {
            return Ok(Done::Nothing);
        }
        let failed = self.fail(self.moods.sync_fails, Class::DiskSync, "sync failed");
        let mut coin = self.prng.clone();
        let inode = self.inode(file)?;
        if inode.sized {
            inode.kept.resize(inode.seen.size());
            inode.sized = false;
        }
        for sector in inode.take_dirty() {
            if failed.is_ok() || coin.chance(1, 2) {
                inode.keep(sector);
            }
        }
        self.prng = coin;
        failed.map(|()| Done::Nothing)
    }

    /// Forgets inodes that no name leads to, now or after a crash.
    fn sweep(&mut self) {
        let names = || self.names.values().chain(self.kept_names.values());
        let gone: Vec<u64> =
            self.inodes.keys().filter(|id| !names().any(|name| name == *id)).copied().collect();
        for id in gone {
            if let Some(inode) = self.inodes.remove(&id) {
                self.relic = inode.kept;
            }
        }
    }

    /// Power is lost: what was not synced is kept or not, piece by piece.
    pub fn crash(&mut self) {
        let changed: BTreeSet<File> = self
            .names
            .keys()
            .chain(self.kept_names.keys())
            .filter(|file| self.names.get(file) != self.kept_names.get(file))
            .copied()
            .collect();
        for file in changed {
            if !self.prng.chance(1, 2) {
                self.fired.note(Class::DiskName);
                continue;
            }
            match self.names.get(&file) {
                Some(&id) => self.kept_names.insert(file, id),
                None => self.kept_names.remove(&file),
            };
        }
        self.names = self.kept_names.clone();
        self.sweep();
        let relic = if self.moods.careless { self.relic.clone() } else { Image::default() };
        for inode in self.inodes.values_mut() {
            inode.crash(&mut self.prng, &relic, &mut self.fired);
        }
    }

    /// A bit of some file changes; false when there is no file.
    pub fn rot(&mut self, choice: u64) -> bool {
        let files: Vec<u64> = self.names.values().copied().collect();
        let count = files.len() as u64;
        let Some(inode) =
            choice.checked_rem(count).and_then(|at| self.inodes.get_mut(files.get(at as usize)?))
        else {
            return false;
        };
        // Most of a preallocated file is blank: a bit of what was written changes.
        let sectors = inode.seen.octets().chunks(SECTOR).enumerate();
        let written: Vec<usize> =
            sectors.filter(|(_, sector)| sector.iter().any(|octet| *octet != 0)).map(|(at, _)| at).collect();
        let Some(&sector) = written.get((choice >> 20) as usize % written.len().max(1)) else { return false };
        let at = sector * SECTOR + (choice >> 40) as usize % SECTOR;
        for image in [&mut inode.seen, &mut inode.kept] {
            image.flip(at, 1 << (choice >> 61));
        }
        self.fired.note(Class::DiskRot);
        true
    }
}

impl Inode {
    /// The sectors that differ, each once, in order.
    fn take_dirty(&mut self) -> Vec<usize> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        dirty
    }

    fn keep(&mut self, sector: usize) {
        let from = (sector * SECTOR).min(self.seen.size());
        let to = (from + SECTOR).min(self.seen.size());
        self.kept.copy(&self.seen, from, to);
    }

    fn crash(&mut self, prng: &mut Prng, relic: &Image, fired: &mut Fired) {
        let had = self.kept.size();
        if self.sized && prng.chance(1, 2) {
            let size = self.seen.size();
            self.kept.resize(size);
            // Space that got a size but no octets.
            if size > had && relic.size() > 0 {
                fired.note(Class::DiskStale);
                self.kept.copy(relic, had, size.min(relic.size()));
            }
        }
        let size = self.kept.size();
        let (mut kept, mut lost) = (0, 0);
        for sector in self.take_dirty() {
            if prng.chance(1, 2) {
                self.keep(sector);
                kept += 1;
            } else {
                lost += 1;
            }
        }
        if lost > 0 {
            fired.note(if kept > 0 { Class::DiskTorn } else { Class::DiskUnsynced });
        }
        // A sector beyond the size that survived is not part of the file.
        self.kept.resize(size.min(self.kept.size()));
        self.seen = self.kept.clone();
        self.sized = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: File = File::Segment(1);

    fn write(disk: &mut Disk, offset: u64, octets: &[u8]) {
        let op = Op::Write { file: LOG, offset, octets: vec![octets.to_vec()] };
        assert_eq!(disk.carry_out(&op), Ok(Done::Nothing));
    }

    fn read(disk: &mut Disk) -> Vec<u8> {
        match disk.carry_out(&Op::Read { file: LOG, offset: 0, length: 10_000 }) {
            Ok(Done::Octets(octets)) => octets,
            other => panic!("{other:?}"),
        }
    }

    fn disk(seed: u64) -> Disk {
        let mut disk = Disk::new(seed, 100_000);
        for op in [Op::Create { file: LOG, size: 4_096 }, Op::Sync(LOG), Op::SyncDirectory] {
            assert_eq!(disk.carry_out(&op), Ok(Done::Nothing));
        }
        disk
    }

    #[test]
    fn what_was_synced_survives_and_the_rest_is_torn_by_sectors() {
        let (mut old, mut new, mut torn) = (0, 0, 0);
        for seed in 0..200 {
            let mut disk = disk(seed);
            write(&mut disk, 0, &[1; 512]);
            disk.carry_out(&Op::Sync(LOG)).expect("a good disk");
            write(&mut disk, 0, &[2; 1_024]);
            disk.crash();
            let octets = read(&mut disk);
            match (octets[0], octets[512]) {
                (1, 0) => old += 1,
                (2, 2) => new += 1,
                _ => torn += 1,
            }
            assert!(octets[..512].iter().all(|&octet| octet == octets[0]));
        }
        assert!(old > 20 && new > 20 && torn > 20, "{old} {new} {torn}");
    }

    #[test]
    fn a_name_without_a_sync_of_its_directory_may_be_lost() {
        let lost = (0..100)
            .filter(|&seed| {
                let mut disk = Disk::new(seed, 100_000);
                disk.carry_out(&Op::Create { file: LOG, size: 10 }).expect("space");
                disk.carry_out(&Op::Sync(LOG)).expect("a good disk");
                disk.crash();
                disk.carry_out(&Op::List) == Ok(Done::Files(vec![]))
            })
            .count();
        assert!(lost > 20 && lost < 80, "{lost}");
    }

    #[test]
    fn a_sync_that_failed_is_not_made_good_by_the_next() {
        let mut lost = 0;
        for seed in 0..100 {
            let mut disk = disk(seed);
            write(&mut disk, 0, &[9; 512]);
            disk.moods.sync_fails = 1_000;
            assert!(disk.carry_out(&Op::Sync(LOG)).is_err());
            disk.moods.sync_fails = 0;
            assert_eq!(disk.carry_out(&Op::Sync(LOG)), Ok(Done::Nothing));
            assert_eq!(read(&mut disk)[0], 9, "the page cache still shows it");
            disk.crash();
            lost += usize::from(read(&mut disk)[0] == 0);
        }
        assert!(lost > 20, "{lost}");
    }

    #[test]
    fn a_full_disk_writes_what_fits_and_says_so() {
        let mut disk = Disk::new(1, 5_000);
        disk.carry_out(&Op::Create { file: LOG, size: 4_096 }).expect("space");
        let op = Op::Write { file: LOG, offset: 4_000, octets: vec![vec![7; 2_000]] };
        assert_eq!(disk.carry_out(&op), Err(DiskError::Full));
        assert_eq!(read(&mut disk)[4_000..], [7; 96]);
    }
}
