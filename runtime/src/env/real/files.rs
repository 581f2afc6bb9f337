//! Configuration files and the system's users.

use crate::env::{Files, User, Users};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A configuration file larger than this is an accident (a device, a log): 256 MiB.
const FILE_MAX: u64 = 256 << 20;

/// The file system.
#[derive(Debug, Clone, Copy)]
pub struct RealFiles;

impl Files for RealFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let length = std::fs::metadata(path)?.len();
        if length > FILE_MAX {
            return Err(io::Error::other(format!("{length} octets are too many for a configuration file")));
        }
        std::fs::read(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<std::path::PathBuf>> {
        let mut paths: Vec<_> = std::fs::read_dir(path)?.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
        paths.sort_unstable();
        Ok(paths)
    }

    fn stamp(&self, path: &Path) -> Option<u64> {
        let data = std::fs::metadata(path).ok()?;
        // Inode too: a file replaced by rename within one clock tick is another file.
        let time = (data.mtime() as u64).wrapping_mul(1_000_000_000).wrapping_add(data.mtime_nsec() as u64);
        Some(time ^ data.ino().rotate_left(40) ^ data.len().rotate_left(20))
    }
}

impl Users for RealFiles {
    fn user(&self, name: &str) -> io::Result<Option<User>> {
        let found = nix::unistd::User::from_name(name)?;
        Ok(found.map(|user| User {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            home: user.dir.to_string_lossy().into_owned(),
            gecos: user.gecos.to_string_lossy().into_owned(),
            shell: user.shell.to_string_lossy().into_owned(),
        }))
    }
}
