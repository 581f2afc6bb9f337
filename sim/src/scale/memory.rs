//! A disk that never fails and costs little: files are octets in memory.

use postrider_core::queue::{DiskError, Done, File, Op};
use std::collections::BTreeMap;

/// The disk.
#[derive(Debug, Default)]
pub(super) struct Memory {
    files: BTreeMap<File, Vec<u8>>,
    /// Operations so far.
    pub(super) operations: u64,
    /// Octets read so far.
    pub(super) octets_read: u64,
}

impl Memory {
    pub(super) fn carry_out(&mut self, op: Op) -> Result<Done, DiskError> {
        self.operations += 1;
        match op {
            Op::List => {
                let files = self.files.iter().map(|(file, octets)| (*file, octets.len() as u64));
                return Ok(Done::Files(files.collect()));
            }
            Op::Create { file, size } => {
                _ = self.files.insert(file, vec![0; usize::try_from(size).map_err(|_| DiskError::Full)?]);
            }
            Op::Write { file, offset, octets } => {
                let kept = self.files.get_mut(&file).ok_or(DiskError::Missing)?;
                let mut at = usize::try_from(offset).map_err(|_| DiskError::Full)?;
                for chunk in octets {
                    let end = at + chunk.len();
                    if kept.len() < end {
                        kept.resize(end, 0);
                    }
                    kept[at..end].copy_from_slice(&chunk);
                    at = end;
                }
            }
            Op::Sync(_) | Op::SyncDirectory => {}
            Op::Unlink(file) => _ = self.files.remove(&file).ok_or(DiskError::Missing)?,
            Op::Read { file, offset, length } => {
                let kept = self.files.get(&file).ok_or(DiskError::Missing)?;
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(kept.len());
                let to = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(kept.len());
                self.octets_read += (to - from) as u64;
                return Ok(Done::Octets(kept[from..to].to_vec()));
            }
        }
        Ok(Done::Nothing)
    }
}
