//! A file system in memory that knows what is durable and what is not yet.
//!
//! Promises no more than a disk does: of what was written and not synced any sector of 512 octets may be there in any of its versions, the size
//! of a file may be any that it had since, and of names that were made or removed since the directory was synced any may have come or gone. A sync of
//! a file says nothing of its name, and a sync of the directory nothing of its files.

use postrider_core::prng::Prng;
use postrider_core::queue::{DiskError, Done, File, Op};
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What a disk writes whole or not at all; where it tears, in two parts.
const SECTOR: usize = 512;

/// A name on the disk: of a file of the spool, or of the one that a command has left in the maildrop, while it is written and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name {
    Spool(File),
    Unready(u32),
    Left(u32),
}

/// What is done to a file of the maildrop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DropOp {
    Create,
    Write(u64, Vec<u8>),
    Sync,
    /// It has its last name from here on.
    Rename,
    Unlink,
}

/// Octets of a sector after a write, and which sector.
type Version = (usize, Arc<[u8]>);

#[derive(Debug, Clone, Default)]
struct Inode {
    /// What a reader sees now.
    live: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    /// Sum of the hashes of all durable sectors.
    digest: u64,
    /// What may or may not be there after a crash.
    versions: Vec<Version>,
    sizes: Vec<usize>,
    /// What a failed sync has forgotten: no later sync makes it durable.
    lost: Vec<Version>,
}

/// A directory of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folder {
    Log,
    Contents,
    Corrupt,
    Maildrop,
}

impl Folder {
    const fn of(name: Name) -> Self {
        match name {
            Name::Spool(File::Segment(_)) => Self::Log,
            Name::Spool(File::Content(_)) => Self::Contents,
            Name::Spool(File::Corrupt(..) | File::Orphan(_)) => Self::Corrupt,
            Name::Unready(_) | Name::Left(_) => Self::Maildrop,
        }
    }
}

/// A disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Platter {
    inodes: Vec<Inode>,
    names: BTreeMap<Name, usize>,
    durable_names: BTreeMap<Name, usize>,
    renamed: Vec<(Name, Option<usize>)>,
    /// Of a sector that was not synced a part may be there.
    tears: bool,
}

/// One thing that a crash decides: how many ways there are, the first being that nothing of it is there.
#[derive(Debug, Clone)]
enum Slot {
    Name(usize),
    Size(usize),
    /// An inode, and the places of a sector's versions in its list.
    Sector(usize, Vec<usize>),
}

/// All that a crash at this moment decides.
#[derive(Debug, Clone)]
pub(crate) struct Crash<'a> {
    platter: &'a Platter,
    slots: Vec<(Slot, u8)>,
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn sector_digest(sector: usize, octets: &[u8]) -> u64 {
    if octets.iter().all(|octet| *octet == 0) { 0 } else { hash((sector, octets)) }
}

fn sector_of(octets: &[u8], sector: usize) -> &[u8] {
    let start = (sector * SECTOR).min(octets.len());
    &octets[start..(start + SECTOR).min(octets.len())]
}

fn put(octets: &mut Vec<u8>, sector: usize, new: &[u8]) {
    let start = sector * SECTOR;
    if octets.len() < start + new.len() {
        octets.resize(start + new.len(), 0);
    }
    octets[start..start + new.len()].copy_from_slice(new);
}

impl Inode {
    fn write(&mut self, offset: usize, new: &[u8], tears: bool) {
        let end = offset + new.len();
        let live = Arc::make_mut(&mut self.live);
        if live.len() < end {
            live.resize(end, 0);
            self.sizes.push(end);
        }
        let before = if tears { live.clone() } else { Vec::new() };
        live[offset..end].copy_from_slice(new);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let octets: Arc<[u8]> = sector_of(&self.live, sector).into();
            if tears {
                // Somewhere within it the octets from before go on.
                let cut = hash((sector, &octets)) as usize % octets.len();
                let torn = [&octets[..cut], &sector_of(&before, sector)[cut..]].concat();
                self.versions.push((sector, torn.into()));
            }
            self.versions.push((sector, octets));
        }
    }

    fn save(&mut self, sector: usize, new: &[u8]) {
        let before = sector_digest(sector, sector_of(&self.durable, sector));
        self.digest = self.digest.wrapping_sub(before).wrapping_add(sector_digest(sector, new));
        put(Arc::make_mut(&mut self.durable), sector, new);
    }

    fn resize(&mut self, size: usize) {
        for sector in size / SECTOR..self.durable.len().div_ceil(SECTOR) {
            let start = sector * SECTOR;
            let octets = sector_of(&self.durable, sector);
            let before = sector_digest(sector, octets);
            let after = sector_digest(sector, &octets[..size.saturating_sub(start).min(octets.len())]);
            self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
        }
        Arc::make_mut(&mut self.durable).resize(size, 0);
    }

    fn sync(&mut self) {
        for (sector, octets) in std::mem::take(&mut self.versions) {
            self.save(sector, &octets);
        }
        if self.durable.len() != self.live.len() {
            self.resize(self.live.len());
        }
        self.sizes.clear();
    }
}

impl Platter {
    /// An empty one.
    pub(crate) fn new(tears: bool) -> Self {
        Self { tears, ..Self::default() }
    }

    /// Carries out an operation.
    pub(crate) fn run(&mut self, op: &Op) -> Result<Done, DiskError> {
        match op {
            Op::List => {
                let size = |inode: &usize| self.inodes[*inode].live.len() as u64;
                return Ok(Done::Files(self.spool().map(|(file, inode)| (file, size(inode))).collect()));
            }
            Op::Read { file, offset, length } => {
                let octets = &self.inode(*file)?.live;
                let start = (*offset as usize).min(octets.len());
                let end = (offset.saturating_add(*length) as usize).min(octets.len());
                return Ok(Done::Octets(octets[start..end].to_vec()));
            }
            Op::Create { file, size } => self.create(Name::Spool(*file), *size as usize)?,
            Op::Write { file, offset, octets } => {
                let octets = octets.concat();
                let tears = self.tears;
                self.inode(*file)?.write(*offset as usize, &octets, tears);
            }
            Op::Sync(file) => self.inode(*file)?.sync(),
            Op::SyncDirectory => {
                [Folder::Log, Folder::Contents, Folder::Corrupt]
                    .into_iter()
                    .for_each(|folder| self.sync_names(folder));
            }
            Op::Unlink(file) => self.unlink(Name::Spool(*file))?,
        }
        Ok(Done::Nothing)
    }

    /// Carries out an operation on a file of the maildrop.
    pub(crate) fn run_drop(&mut self, number: u32, op: &DropOp) -> Result<(), DiskError> {
        let (unready, left) = (Name::Unready(number), Name::Left(number));
        match op {
            DropOp::Create => self.create(unready, 0)?,
            DropOp::Write(offset, octets) => {
                let tears = self.tears;
                self.named(unready)?.write(*offset as usize, octets, tears);
            }
            DropOp::Sync => self.named(unready)?.sync(),
            DropOp::Rename => {
                let inode = *self.names.get(&unready).ok_or(DiskError::Missing)?;
                self.unlink(unready)?;
                self.names.insert(left, inode);
                self.renamed.push((left, Some(inode)));
            }
            DropOp::Unlink => self.unlink(left)?,
        }
        Ok(())
    }

    /// Whole files of the maildrop, as far as the names say.
    pub(crate) fn left(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.names.iter().filter_map(|(name, inode)| match name {
            Name::Left(number) => Some((*number, self.inodes[*inode].live.as_slice())),
            Name::Spool(_) | Name::Unready(_) => None,
        })
    }

    fn spool(&self) -> impl Iterator<Item = (File, &usize)> {
        self.names.iter().filter_map(|(name, inode)| match name {
            Name::Spool(file) => Some((*file, inode)),
            Name::Unready(_) | Name::Left(_) => None,
        })
    }

    /// Makes the names of one directory durable.
    pub(crate) fn sync_names(&mut self, folder: Folder) {
        let (now, later) = std::mem::take(&mut self.renamed)
            .into_iter()
            .partition::<Vec<_>, _>(|(name, _)| Folder::of(*name) == folder);
        self.renamed = later;
        for (name, inode) in now {
            match inode {
                Some(inode) => _ = self.durable_names.insert(name, inode),
                None => _ = self.durable_names.remove(&name),
            }
        }
    }

    fn inode(&mut self, file: File) -> Result<&mut Inode, DiskError> {
        self.named(Name::Spool(file))
    }

    fn named(&mut self, name: Name) -> Result<&mut Inode, DiskError> {
        let inode = self.names.get(&name).ok_or(DiskError::Missing)?;
        Ok(&mut self.inodes[*inode])
    }

    fn unlink(&mut self, name: Name) -> Result<(), DiskError> {
        self.names.remove(&name).ok_or(DiskError::Missing)?;
        self.renamed.push((name, None));
        Ok(())
    }

    fn create(&mut self, name: Name, size: usize) -> Result<(), DiskError> {
        if self.names.contains_key(&name) {
            return Err(DiskError::Failed("File exists".to_owned()));
        }
        let sizes = if size > 0 { vec![size] } else { Vec::new() };
        self.inodes.push(Inode { live: Arc::new(vec![0; size]), sizes, ..Inode::default() });
        self.names.insert(name, self.inodes.len() - 1);
        self.renamed.push((name, Some(self.inodes.len() - 1)));
        Ok(())
    }

    /// The operation fails: a write is there in part or whole, a sync has made some of it durable and forgotten the rest.
    pub(crate) fn fail(&mut self, op: &Op) {
        match op {
            Op::Write { .. } => _ = self.run(op),
            Op::Sync(file) => {
                if let Ok(inode) = self.inode(*file) {
                    inode.lost.append(&mut inode.versions);
                }
            }
            _ => {}
        }
    }

    /// All files, with their octets.
    pub(crate) fn files(&self) -> Vec<(File, Vec<u8>)> {
        self.spool().map(|(file, inode)| (file, self.inodes[*inode].live.to_vec())).collect()
    }

    /// Changes what lies on the disk.
    pub(crate) fn spoil(&mut self, file: File, change: impl Fn(&mut Vec<u8>)) {
        if let Ok(inode) = self.inode(file) {
            change(Arc::make_mut(&mut inode.live));
            inode.durable = Arc::clone(&inode.live);
        }
    }

    /// What the power failing now leaves open.
    pub(crate) fn crash(&self) -> Crash<'_> {
        let mut slots: Vec<(Slot, u8)> = (0..self.renamed.len()).map(|at| (Slot::Name(at), 2)).collect();
        let mut reachable: Vec<usize> =
            self.durable_names.values().copied().chain(self.renamed.iter().filter_map(|(_, i)| *i)).collect();
        reachable.sort_unstable();
        reachable.dedup();
        for number in reachable {
            let inode = &self.inodes[number];
            if !inode.sizes.is_empty() {
                slots.push((Slot::Size(number), u8::try_from(inode.sizes.len() + 1).unwrap_or(u8::MAX)));
            }
            let mut sectors: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for (at, (sector, _)) in inode.versions.iter().chain(&inode.lost).enumerate() {
                sectors.entry(*sector).or_default().push(at);
            }
            slots.extend(sectors.into_values().map(|places| {
                let ways = u8::try_from(places.len() + 1).unwrap_or(u8::MAX);
                (Slot::Sector(number, places), ways)
            }));
        }
        Crash { platter: self, slots }
    }
}

impl Crash<'_> {
    /// Ways to decide: all of them if they are few; else none, all, each alone, all but each, in order up to each, and some by chance.
    pub(crate) fn ways(&self, most: usize, prng: &mut Prng) -> Vec<Vec<u8>> {
        let product = self.slots.iter().try_fold(1usize, |sum, (_, ways)| {
            sum.checked_mul(usize::from(*ways)).filter(|product| *product <= most)
        });
        if let Some(count) = product {
            return (0..count).map(|number| self.numbered(number)).collect();
        }
        let full: Vec<u8> = self.slots.iter().map(|(_, ways)| ways - 1).collect();
        let none = vec![0; full.len()];
        let mut ways = vec![none.clone(), full.clone()];
        for _ in 0..most.saturating_sub(2) {
            let at = prng.below(full.len() as u64) as usize;
            let mut way = match prng.below(6) {
                0 | 2 => none.clone(),
                1 | 3 => full.clone(),
                _ => self.slots.iter().map(|(_, ways)| prng.below(u64::from(*ways)) as u8).collect(),
            };
            match prng.below(4) {
                // This one alone, or all but this one.
                0 | 1 => way[at] = if way[at] == 0 { full[at] } else { 0 },
                2 => way[..at].copy_from_slice(&full[..at]),
                _ => way[at..].copy_from_slice(&none[at..]),
            }
            ways.push(way);
        }
        ways
    }

    fn numbered(&self, mut number: usize) -> Vec<u8> {
        let mut way = Vec::with_capacity(self.slots.len());
        for (_, ways) in &self.slots {
            way.push((number % usize::from(*ways)) as u8);
            number /= usize::from(*ways);
        }
        way
    }

    /// The disk that is found after the power came back, and a digest of all that is on it.
    pub(crate) fn decide(&self, way: &[u8]) -> (Platter, u64) {
        let mut names = self.platter.durable_names.clone();
        for ((slot, _), choice) in self.slots.iter().zip(way) {
            match slot {
                Slot::Name(at) if *choice > 0 => match self.platter.renamed[*at] {
                    (name, Some(inode)) => _ = names.insert(name, inode),
                    (name, None) => _ = names.remove(&name),
                },
                _ => {}
            }
        }
        let mut left = Platter::new(self.platter.tears);
        let mut digest = 0u64;
        for (name, number) in names {
            let inode = self.found(number, way);
            digest = digest.wrapping_add(hash((name, inode.durable.len(), inode.digest)));
            left.names.insert(name, left.inodes.len());
            left.inodes.push(inode);
        }
        left.durable_names = left.names.clone();
        (left, digest)
    }

    fn found(&self, number: usize, way: &[u8]) -> Inode {
        let inode = &self.platter.inodes[number];
        let mut found =
            Inode { durable: Arc::clone(&inode.durable), digest: inode.digest, ..Inode::default() };
        let mut size = found.durable.len();
        for ((slot, _), choice) in self.slots.iter().zip(way) {
            match (slot, usize::from(*choice).checked_sub(1)) {
                (Slot::Size(of), Some(choice)) if *of == number => size = inode.sizes[choice],
                (Slot::Sector(of, places), Some(choice)) if *of == number => {
                    let known = inode.versions.len();
                    let at = places[choice];
                    let (sector, octets) =
                        if at < known { &inode.versions[at] } else { &inode.lost[at - known] };
                    found.save(*sector, octets);
                }
                _ => {}
            }
        }
        if found.durable.len() != size {
            found.resize(size);
        }
        found.live = Arc::clone(&found.durable);
        found
    }
}
