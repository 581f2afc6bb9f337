//! A disk for the model checker: small, hashed, and after a crash every subset of what was not synced.
//!
//! As [`crate::disk`], but where that one draws what survives, this one counts the ways, so that all can be tried. Sectors are written whole or
//! not at all; a sync that failed has forgotten what it did not write.

use postrider_core::queue::{DiskError, Done, File, Op};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is written whole or not at all.
const SECTOR: u64 = 512;
/// So many unsynced things are tried in every combination; of more only all, none, each one missing and each one alone.
const COMBINED_MAX: usize = 7;

type Octets = Arc<[u8]>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Sector {
    seen: Octets,
    kept: Option<Octets>,
    /// It is on its way; false with `seen` and `kept` different: a sync failed.
    dirty: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Inode {
    /// Its name is there, and will be after a crash.
    here: bool,
    named: bool,
    size: u64,
    kept_size: u64,
    sectors: BTreeMap<u64, Sector>,
}

impl Inode {
    fn dirty(&self) -> impl Iterator<Item = u64> {
        self.sectors.iter().filter(|(_, sector)| sector.dirty).map(|(place, _)| *place)
    }
}

/// What may survive a crash or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Name(File),
    Size(File),
    Sector(File, u64),
    /// The sizes of all files in which nothing was written: one thing, for none holds anything.
    Blanks,
}

/// The disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Platter(BTreeMap<File, Inode>);

impl Platter {
    fn inode(&mut self, file: File) -> Result<&mut Inode, DiskError> {
        self.0.get_mut(&file).filter(|inode| inode.here).ok_or(DiskError::Missing)
    }

    /// Carries an operation out.
    pub(super) fn carry_out(&mut self, op: &Op) -> Result<Done, DiskError> {
        match op {
            Op::List => {
                let here = self.0.iter().filter(|(_, inode)| inode.here);
                return Ok(Done::Files(here.map(|(file, inode)| (*file, inode.size)).collect()));
            }
            Op::Read { file, offset, length } => {
                return self.inode(*file).map(|inode| Done::Octets(read(inode, *offset, *length)));
            }
            Op::Create { file, size } => {
                let inode = self.0.entry(*file).or_default();
                if inode.here {
                    return Err(DiskError::Failed("it exists".to_owned()));
                }
                *inode = Inode { here: true, named: inode.named, size: *size, ..Inode::default() };
            }
            Op::Write { file, offset, octets } => write(self.inode(*file)?, *offset, &octets.concat()),
            Op::Sync(file) => sync(self.inode(*file)?, true),
            Op::SyncDirectory => {
                self.0.values_mut().for_each(|inode| inode.named = inode.here);
                self.0.retain(|_, inode| inode.here);
            }
            Op::Unlink(file) => {
                self.inode(*file)?.here = false;
                self.0.retain(|_, inode| inode.here || inode.named);
            }
        }
        Ok(Done::Nothing)
    }

    /// An operation fails; of what it should have written it has kept a part, or nothing.
    pub(super) fn fail(&mut self, op: &Op, part: bool) {
        match op {
            Op::Sync(file) => {
                if let Ok(inode) = self.inode(*file) {
                    sync(inode, part);
                }
            }
            Op::Write { file, offset, octets } if part => {
                let octets = octets.concat();
                if let Ok(inode) = self.inode(*file) {
                    write(inode, *offset, &octets[..octets.len().min(SECTOR as usize)]);
                }
            }
            _ => {}
        }
    }

    fn units(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        let mut blanks = false;
        for (file, inode) in &self.0 {
            if inode.here != inode.named {
                units.push(Unit::Name(*file));
            }
            let places: Vec<Unit> = inode.dirty().map(|place| Unit::Sector(*file, place)).collect();
            match inode.size != inode.kept_size {
                true if places.is_empty() => blanks = true,
                true => units.push(Unit::Size(*file)),
                false => {}
            }
            units.extend(places);
        }
        units.extend(blanks.then_some(Unit::Blanks));
        units
    }

    /// In how many ways power may go now.
    pub(super) fn ways(&self) -> u32 {
        let count = self.units().len();
        if count <= COMBINED_MAX { 1 << count } else { 2 + 2 * count as u32 }
    }

    /// Power goes in one of those ways.
    pub(super) fn crash(&mut self, way: u32) {
        let units = self.units();
        let count = units.len();
        let survives = |place: usize| match (count <= COMBINED_MAX, way as usize) {
            (true, way) => way >> place & 1 == 1,
            (false, 0) => false,
            (false, 1) => true,
            (false, way) if way < 2 + count => place != way - 2,
            (false, way) => place == way - 2 - count,
        };
        let kept: Vec<Unit> =
            units.iter().enumerate().filter(|(place, _)| survives(*place)).map(|(_, unit)| *unit).collect();
        for (file, inode) in &mut self.0 {
            if kept.contains(&Unit::Name(*file)) {
                inode.named = inode.here;
            }
            inode.here = inode.named;
            let blank = inode.dirty().next().is_none();
            let sized = if blank { Unit::Blanks } else { Unit::Size(*file) };
            if kept.contains(&sized) {
                inode.kept_size = inode.size;
            }
            inode.size = inode.kept_size;
            let size = inode.size;
            for (place, sector) in &mut inode.sectors {
                if sector.dirty && kept.contains(&Unit::Sector(*file, *place)) {
                    sector.kept = Some(Arc::clone(&sector.seen));
                }
                sector.dirty = false;
                if let Some(kept) = &sector.kept {
                    sector.seen = Arc::clone(kept);
                }
            }
            inode.sectors.retain(|place, sector| sector.kept.is_some() && place * SECTOR < size);
        }
        self.0.retain(|_, inode| inode.here);
    }
}

fn read(inode: &Inode, offset: u64, length: u64) -> Vec<u8> {
    let (from, to) = (offset.min(inode.size), offset.saturating_add(length).min(inode.size));
    let octet = |at: u64| {
        let sector = inode.sectors.get(&(at / SECTOR))?;
        sector.seen.get((at % SECTOR) as usize).copied()
    };
    (from..to).map(|at| octet(at).unwrap_or(0)).collect()
}

fn write(inode: &mut Inode, offset: u64, octets: &[u8]) {
    inode.size = inode.size.max(offset + octets.len() as u64);
    let mut at = offset;
    let mut left = octets;
    while !left.is_empty() {
        let within = (at % SECTOR) as usize;
        let (now, later) = left.split_at(left.len().min(SECTOR as usize - within));
        let blank = || Sector { seen: vec![0; SECTOR as usize].into(), kept: None, dirty: false };
        let sector = inode.sectors.entry(at / SECTOR).or_insert_with(blank);
        let mut seen = sector.seen.to_vec();
        seen[within..within + now.len()].copy_from_slice(now);
        sector.seen = seen.into();
        sector.dirty = true;
        at += now.len() as u64;
        left = later;
    }
}

/// Makes all durable, or forgets that it was to be made so.
fn sync(inode: &mut Inode, all: bool) {
    inode.kept_size = inode.size;
    for sector in inode.sectors.values_mut().filter(|sector| sector.dirty) {
        sector.dirty = false;
        if all {
            sector.kept = Some(Arc::clone(&sector.seen));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: File = File::Segment(1);

    fn done(platter: &mut Platter, op: &Op) {
        assert_eq!(platter.carry_out(op), Ok(Done::Nothing), "{op:?}");
    }

    fn octets(platter: &mut Platter) -> Option<Vec<u8>> {
        match platter.carry_out(&Op::Read { file: LOG, offset: 0, length: 2_000 }) {
            Ok(Done::Octets(octets)) => Some(octets),
            _ => None,
        }
    }

    #[test]
    fn every_subset_of_what_was_not_synced_is_a_way() {
        let mut platter = Platter::default();
        done(&mut platter, &Op::Create { file: LOG, size: 1_024 });
        done(&mut platter, &Op::Sync(LOG));
        done(&mut platter, &Op::SyncDirectory);
        assert_eq!(platter.ways(), 1, "all is durable");
        done(&mut platter, &Op::Write { file: LOG, offset: 500, octets: vec![vec![7; 24]] });
        assert_eq!(platter.ways(), 4, "two sectors were touched");
        let mut seen = Vec::new();
        for way in 0..4 {
            let mut after = platter.clone();
            after.crash(way);
            let octets = octets(&mut after).expect("the file is there");
            assert_eq!(octets.len(), 1_024);
            seen.push((octets[500], octets[512]));
        }
        assert_eq!(seen, [(0, 0), (7, 0), (0, 7), (7, 7)]);
    }

    #[test]
    fn a_name_that_was_not_synced_may_go_or_stay() {
        let mut platter = Platter::default();
        done(&mut platter, &Op::Create { file: LOG, size: 512 });
        let there = |platter: &Platter, way| {
            let mut after = platter.clone();
            after.crash(way);
            octets(&mut after).map(|octets| octets.len())
        };
        assert_eq!(
            (0..4).map(|way| there(&platter, way)).collect::<Vec<_>>(),
            [None, Some(0), None, Some(512)]
        );
        done(&mut platter, &Op::SyncDirectory);
        done(&mut platter, &Op::Unlink(LOG));
        assert_eq!(octets(&mut platter), None);
        assert_eq!((there(&platter, 0), there(&platter, 1)), (Some(0), None), "it may come back");
    }

    #[test]
    fn a_sync_that_failed_is_not_made_good_by_the_next() {
        let mut platter = Platter::default();
        done(&mut platter, &Op::Create { file: LOG, size: 512 });
        done(&mut platter, &Op::SyncDirectory);
        done(&mut platter, &Op::Write { file: LOG, offset: 0, octets: vec![vec![9; 512]] });
        platter.fail(&Op::Sync(LOG), false);
        done(&mut platter, &Op::Sync(LOG));
        assert_eq!(octets(&mut platter).expect("it is there")[0], 9, "as programs see it");
        platter.crash(0);
        assert_eq!(octets(&mut platter).expect("it is there")[0], 0);
    }
}
