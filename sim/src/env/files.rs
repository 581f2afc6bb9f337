//! Files of the configuration and users, in memory.

use postrider::env::{Files, User, Users};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Files by path.
#[derive(Debug, Default)]
pub struct MemoryFiles {
    files: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    files: BTreeMap<PathBuf, (u64, Vec<u8>)>,
    writes: u64,
}

impl MemoryFiles {
    /// Writes a file.
    pub fn put(&self, path: impl Into<PathBuf>, octets: impl Into<Vec<u8>>) {
        let mut shelf = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.writes += 1;
        let stamp = shelf.writes;
        shelf.files.insert(path.into(), (stamp, octets.into()));
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let shelf = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shelf.files.get(path);
        found.map(|(_, octets)| octets.clone()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn read_as(&self, path: &Path, _: &User) -> io::Result<Vec<u8>> {
        self.read(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let shelf = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(shelf.files.keys().filter(|file| file.parent() == Some(path)).cloned().collect())
    }

    fn stamp(&self, path: &Path) -> Option<u64> {
        let shelf = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.files.get(path).map(|(stamp, _)| *stamp)
    }
}

/// Users by name.
#[derive(Debug, Default)]
pub struct MemoryUsers {
    users: Mutex<BTreeMap<String, User>>,
}

impl MemoryUsers {
    /// Adds a user.
    pub fn put(&self, user: User) {
        self.users.lock().unwrap_or_else(PoisonError::into_inner).insert(user.name.clone(), user);
    }
}

impl Users for MemoryUsers {
    fn user(&self, name: &str) -> io::Result<Option<User>> {
        Ok(self.users.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
    }
}
