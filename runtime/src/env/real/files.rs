//! Configuration files and the system's users.

use crate::env::{Files, User, Users};
use crate::privilege::{Agent, Owner, Request, open_plain};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// A configuration file larger than this is an accident (a device, a log): 256 MiB.
const FILE_MAX: u64 = 256 << 20;
/// Octets of a file that a user wrote (`.forward`, `:include:`): 16 MiB are half a million addresses.
const USER_FILE_MAX: u64 = 16 << 20;

/// The file system.
#[derive(Debug, Clone)]
pub struct RealFiles {
    agent: Arc<Agent>,
}

impl RealFiles {
    /// What needs root goes through `agent`.
    #[must_use]
    pub fn new(agent: Arc<Agent>) -> Self {
        Self { agent }
    }
}

fn read_all(file: std::fs::File, most: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    file.take(most + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} octets")));
    }
    Ok(octets)
}

impl Files for RealFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match open_plain(path) {
            // Keys of certificates are root's alone; so may be tables with passwords.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let file = self.agent.request(&Request::Open(path.to_owned()))?;
                read_all(file.map(std::fs::File::from).ok_or(error)?, FILE_MAX)
            }
            file => read_all(file?, FILE_MAX),
        }
    }

    fn read_as(&self, path: &Path, user: &User) -> io::Result<Vec<u8>> {
        let owner = Owner { uid: user.uid, gid: user.gid };
        let file = self.agent.request(&Request::OpenAs { path: path.to_owned(), owner })?;
        read_all(file.map(std::fs::File::from).ok_or(io::ErrorKind::NotFound)?, USER_FILE_MAX)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<std::path::PathBuf>> {
        let mut paths: Vec<_> =
            std::fs::read_dir(path)?.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
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
