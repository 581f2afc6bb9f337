//! The disk of a turmoil host: its simulated file system, which loses what was not synced when the host crashes.
//!
//! Must be called from within the host. Directories are synced by a call of their own: turmoil opens no directory.

use super::witness;
use crate::network::NodeId;
use postrider::env::Disk;
use postrider_core::queue::{DiskError, Done, File, Op};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use turmoil::fs::shim::std::fs::{self, OpenOptions};

const ROOT: &str = "/spool";
const DIRECTORIES: [&str; 3] = ["log", "contents", "corrupt"];

/// The spool's directory on the host that calls.
#[derive(Debug, Clone, Copy)]
pub struct HostDisk {
    node: NodeId,
}

impl HostDisk {
    /// The disk of the host with this address: makes the directories that are missing, durably.
    ///
    /// # Errors
    /// As the file system says.
    pub fn open(address: impl Into<IpAddr>) -> io::Result<Self> {
        for name in DIRECTORIES {
            fs::create_dir_all(format!("{ROOT}/{name}"))?;
        }
        fs::sync_dir("/")?;
        fs::sync_dir(ROOT)?;
        Ok(Self { node: witness::node_of(address.into()) })
    }

    fn path(file: File) -> String {
        format!("{ROOT}/{}", file.path())
    }

    fn handle(file: File) -> io::Result<fs::File> {
        OpenOptions::new().read(true).write(true).open(Self::path(file))
    }

    fn list() -> io::Result<Vec<(File, u64)>> {
        let mut files = Vec::new();
        for name in DIRECTORIES {
            for entry in fs::read_dir(format!("{ROOT}/{name}"))? {
                let entry = entry?;
                let path = entry.path();
                let text = path.file_name().and_then(|text| text.to_str());
                if let Some(file) = text.and_then(|text| File::of(name, text)) {
                    files.push((file, fs::metadata(entry.path())?.len()));
                }
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    fn read(file: File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let handle = Self::handle(file)?;
        let mut octets = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        let mut filled = 0;
        while filled < octets.len() {
            match handle.read_at(&mut octets[filled..], offset + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        octets.truncate(filled);
        Ok(octets)
    }

    fn carry_out(op: &Op) -> io::Result<Done> {
        match *op {
            Op::List => return Self::list().map(Done::Files),
            Op::Read { file, offset, length } => return Self::read(file, offset, length).map(Done::Octets),
            Op::Create { file, size } => {
                let handle =
                    OpenOptions::new().read(true).write(true).create_new(true).open(Self::path(file))?;
                if size > 0 {
                    handle.set_len(size)?;
                }
            }
            Op::Write { file, offset, ref octets } => {
                Self::handle(file)?.write_all_at(&octets.concat(), offset)?;
            }
            Op::Sync(file) => Self::handle(file)?.sync_data()?,
            Op::SyncDirectory => {
                for name in DIRECTORIES {
                    fs::sync_dir(format!("{ROOT}/{name}"))?;
                }
            }
            Op::Unlink(file) => fs::remove_file(Self::path(file))?,
        }
        Ok(Done::Nothing)
    }
}

impl Disk for HostDisk {
    fn execute(&self, op: Op) -> Result<Done, DiskError> {
        let result = Self::carry_out(&op).map_err(|error| match error.kind() {
            ErrorKind::StorageFull => DiskError::Full,
            ErrorKind::NotFound => DiskError::Missing,
            _ => DiskError::Failed(error.to_string()),
        });
        witness::disk_did(self.node, &op, &result);
        result
    }

    fn free_space(&self) -> u64 {
        u64::MAX
    }
}
