//! Open files of the spool: a read that finds its file open needs one system call.
//!
//! Shared by the spool's thread, which makes, writes and removes files, and those that read contents.

use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use postrider_core::queue::File;
use std::collections::BTreeMap;
use std::io;

/// Files that are kept open; the one that was not used for the longest time makes room.
#[derive(Debug)]
pub(crate) struct Handles<T> {
    kept: Mutex<Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    most: usize,
    open: BTreeMap<File, (u64, Arc<T>)>,
    used: BTreeMap<u64, File>,
    clock: u64,
    /// So many files have been removed.
    removed: u64,
}

impl<T> Handles<T> {
    /// Keeps so many open.
    pub(crate) fn new(most: usize) -> Self {
        let (open, used) = (BTreeMap::new(), BTreeMap::new());
        Self { kept: Mutex::new(Kept { most, open, used, clock: 0, removed: 0 }) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file that is open.
    pub(crate) fn get(&self, file: File) -> Option<Arc<T>> {
        self.kept().get(file)
    }

    /// A file that is open, or is opened now.
    ///
    /// # Errors
    /// What `open` said.
    pub(crate) fn open(&self, file: File, open: impl FnOnce() -> io::Result<T>) -> io::Result<Arc<T>> {
        let removed = {
            let mut kept = self.kept();
            if let Some(handle) = kept.get(file) {
                return Ok(handle);
            }
            kept.removed
        };
        // Opened without the lock: a disk may take its time, and who only glances must not wait for it.
        let handle = Arc::new(open()?);
        let mut kept = self.kept();
        // One that has been removed meanwhile may be this one. Kept open, it would keep its room on the disk.
        if kept.removed == removed {
            kept.keep(file, &handle);
        }
        Ok(handle)
    }

    /// A file that has just been made.
    pub(crate) fn keep(&self, file: File, handle: T) {
        self.kept().keep(file, &Arc::new(handle));
    }

    /// Removes a file; from then on it is not open.
    ///
    /// # Errors
    /// What `remove` said.
    pub(crate) fn remove(&self, file: File, remove: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let result = remove();
        let mut kept = self.kept();
        kept.removed += 1;
        kept.forget(file);
        result
    }

    /// How many are open.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        let kept = self.kept();
        assert_eq!(kept.open.len(), kept.used.len());
        kept.open.len()
    }
}

impl<T> Kept<T> {
    fn get(&mut self, file: File) -> Option<Arc<T>> {
        let (_, handle) = self.open.get(&file)?;
        let handle = Arc::clone(handle);
        self.keep(file, &handle);
        Some(handle)
    }

    fn keep(&mut self, file: File, handle: &Arc<T>) {
        self.forget(file);
        if self.open.len() >= self.most
            && let Some((_, oldest)) = self.used.pop_first()
        {
            self.open.remove(&oldest);
        }
        self.clock += 1;
        self.used.insert(self.clock, file);
        self.open.insert(file, (self.clock, Arc::clone(handle)));
    }

    fn forget(&mut self, file: File) {
        if let Some((used, _)) = self.open.remove(&file) {
            self.used.remove(&used);
        }
    }
}
