//! A small file system of memory, in place of a folder of the daemon's.

use crate::daemon::owner;
use crate::{program, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// It goes with its owner.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one that belongs to whom the daemon becomes; `options` are those of tmpfs (`size=16m,nr_inodes=40`).
    ///
    /// # Panics
    /// For anybody but root, or when the folder can not be made.
    #[must_use]
    pub fn mount(at: &Path, options: &str) -> Self {
        fs::create_dir_all(at).expect("a scratch folder");
        let (uid, gid) = owner();
        let options = format!("uid={uid},gid={gid},mode=755,{options}");
        run(Command::new(program("mount", "mount")).args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at));
        Self(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        _ = Command::new(program("umount", "mount")).arg("-l").arg(&self.0).status();
    }
}
