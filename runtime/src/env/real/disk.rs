//! The spool's directory: `log/`, `contents/`, `corrupt/` below `queue_directory/postrider`.
//!
//! Carries out operations and decides nothing. Files stay open, so a read needs one system call.

use super::handles::Handles;
use crate::env::Disk;
use crate::trouble::{Cause, Fault, told};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, Flock, FlockArg, fallocate};
use nix::sys::uio::{pread, pwritev};
use postrider_core::queue::{DiskError, Done, File, Op};
use rustix::io::{ReadWriteFlags, preadv2};
use std::fs::{self, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Slices that one vectored write takes: the kernel's IOV_MAX.
const SLICES_MAX: usize = 1024;
/// Open files kept at most. A queue of a million messages has more segments than that; what was used last stays, so the one that is written does.
const OPEN_MAX: u64 = 256;
/// Directories of the spool.
const DIRECTORIES: [&str; 3] = ["log", "contents", "corrupt"];

/// The lock of a spool; held as long as the daemon lives.
#[derive(Debug)]
pub struct SpoolLock {
    _file: Flock<fs::File>,
}

/// How many stay open in a process that may open so many: most are for clients and deliveries.
fn kept(descriptors: u64) -> usize {
    (descriptors / 8).clamp(4, OPEN_MAX) as usize
}

/// The disk of the spool.
#[derive(Debug)]
pub struct SpoolDirectory {
    directory: PathBuf,
    open: Handles<fs::File>,
    _lock: SpoolLock,
}

impl SpoolDirectory {
    /// Makes the directories that are missing, and takes the lock.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn open(queue_directory: &Path) -> Result<Self, Fault> {
        let directory = queue_directory.join("postrider");
        for name in DIRECTORIES {
            let path = directory.join(name);
            make_directory(&path, 0o700).map_err(|error| fault(&path, &error))?;
        }
        let lock = SpoolLock::take(&directory)?;
        sync_names(&directory)?;
        let open = Handles::new(kept(crate::descriptors::limit()));
        Ok(Self { directory, open, _lock: lock })
    }

    fn path(&self, file: File) -> PathBuf {
        self.directory.join(file.path())
    }

    fn handle(&self, file: File) -> io::Result<Arc<fs::File>> {
        self.open.open(file, || OpenOptions::new().read(true).write(true).open(self.path(file)))
    }

    fn create(&self, file: File, size: u64) -> io::Result<()> {
        let handle = OpenOptions::new().read(true).write(true).create_new(true).open(self.path(file))?;
        if size > 0 {
            let length = i64::try_from(size).unwrap_or(i64::MAX);
            let allocated = match fallocate(&handle, FallocateFlags::empty(), 0, length) {
                Err(Errno::EOPNOTSUPP) => write_zeros(&handle, size),
                other => other.map_err(io::Error::from),
            };
            if let Err(error) = allocated {
                _ = fs::remove_file(self.path(file));
                return Err(error);
            }
        }
        self.open.keep(file, handle);
        Ok(())
    }

    fn write(&self, file: File, mut offset: u64, octets: &[Vec<u8>]) -> io::Result<()> {
        let handle = self.handle(file)?;
        let mut slices: Vec<IoSlice<'_>> = octets.iter().map(|chunk| IoSlice::new(chunk)).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            let count = rest.len().min(SLICES_MAX);
            let at = i64::try_from(offset).map_err(io::Error::other)?;
            let written = match pwritev(&*handle, &rest[..count], at) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            if written == 0 && rest.iter().any(|slice| !slice.is_empty()) {
                return Err(io::ErrorKind::WriteZero.into());
            }
            offset += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    fn read(&self, file: File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let handle = match self.handle(file) {
            // A file system that has met an error is read-only, and what is durable in it is read all the same. Not kept: it may be writable again.
            Err(error) if error.raw_os_error() == Some(Errno::EROFS as i32) => {
                Arc::new(fs::File::open(self.path(file))?)
            }
            other => other?,
        };
        let mut octets = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        let mut filled = 0;
        while filled < octets.len() {
            let at = i64::try_from(offset + filled as u64).map_err(io::Error::other)?;
            match pread(&*handle, &mut octets[filled..], at) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        octets.truncate(filled);
        Ok(octets)
    }

    fn glance(&self, file: File, offset: u64, length: u64) -> Option<Vec<u8>> {
        let handle = self.open.get(file)?;
        let mut octets = vec![0; usize::try_from(length).ok()?];
        // What a file system can not tell (tmpfs, NFS), and what fails, is left to who may wait.
        let count =
            preadv2(&*handle, &mut [IoSliceMut::new(&mut octets)], offset, ReadWriteFlags::NOWAIT).ok()?;
        (count == octets.len()).then_some(octets)
    }

    fn list(&self) -> io::Result<Vec<(File, u64)>> {
        let mut files = Vec::new();
        for name in DIRECTORIES {
            for entry in fs::read_dir(self.directory.join(name))? {
                let entry = entry?;
                if let Some(file) = entry.file_name().to_str().and_then(|text| File::of(name, text)) {
                    files.push((file, entry.metadata()?.len()));
                }
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    fn unlink(&self, file: File) -> io::Result<()> {
        self.open.remove(file, || fs::remove_file(self.path(file)))
    }

    fn carry_out(&self, op: Op) -> io::Result<Done> {
        match op {
            Op::List => return self.list().map(Done::Files),
            Op::Read { file, offset, length } => return self.read(file, offset, length).map(Done::Octets),
            Op::Create { file, size } => self.create(file, size)?,
            Op::Write { file, offset, octets } => self.write(file, offset, &octets)?,
            Op::Sync(file) => self.handle(file)?.sync_data()?,
            Op::SyncDirectory => {
                for name in DIRECTORIES {
                    fs::File::open(self.directory.join(name))?.sync_all()?;
                }
            }
            Op::Unlink(file) => self.unlink(file)?,
        }
        Ok(Done::Nothing)
    }
}

impl Disk for SpoolDirectory {
    fn execute(&self, op: Op) -> Result<Done, DiskError> {
        self.carry_out(op).map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC | Errno::EDQUOT) => DiskError::Full,
            Some(Errno::ENOENT) => DiskError::Missing,
            _ => DiskError::Failed(told(&error)),
        })
    }

    fn glance(&self, file: File, offset: u64, length: u64) -> Option<Vec<u8>> {
        self.glance(file, offset, length)
    }

    fn free_space(&self) -> u64 {
        // `queue_minfree` asks; where the system can not tell, mail is taken and the disk decides.
        nix::sys::statvfs::statvfs(&self.directory)
            .map_or(u64::MAX, |stat| stat.blocks_available().saturating_mul(stat.fragment_size()))
    }
}

impl SpoolLock {
    fn take(directory: &Path) -> Result<Self, Fault> {
        let path = directory.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| fault(&path, &error))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { _file: lock }),
            Err((_, Errno::EAGAIN)) => {
                let path = path.display();
                let text = format!(
                    "{path}: another daemon runs on this queue_directory; stop it, or choose another"
                );
                Err(Fault::new(Cause::System, text))
            }
            Err((_, error)) => Err(fault(&path, &error.into())),
        }
    }
}

/// Makes a directory and what lies above it.
pub(crate) fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// Makes the names of the spool's own directories durable, up to the one that holds the queue directory: mail in a directory whose name a power failure takes
/// is lost. At every start, because whoever made them may have been killed before this.
fn sync_names(directory: &Path) -> Result<(), Fault> {
    let wrong = |error: io::Error| fault(directory, &error);
    fs::File::open(directory).and_then(|open| open.sync_all()).map_err(wrong)?;
    for above in directory.ancestors().skip(1).take(2) {
        // Those above may not be ours to read; then we have not made what is in them either.
        if let Ok(open) = fs::File::open(if above.as_os_str().is_empty() { Path::new(".") } else { above }) {
            open.sync_all().map_err(wrong)?;
        }
    }
    Ok(())
}

/// Really allocates a file on a file system that can not be asked to.
fn write_zeros(file: &fs::File, mut left: u64) -> io::Result<()> {
    let zeros = [0; 64 * 1024];
    let mut file = file;
    while left > 0 {
        let count = zeros.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        io::Write::write_all(&mut file, &zeros[..count])?;
        left -= count as u64;
    }
    Ok(())
}

fn fault(path: &Path, error: &io::Error) -> Fault {
    Fault::new(Cause::of_path(error), format!("{}: {}", path.display(), told(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().expect("a scratch directory")
    }

    #[test]
    fn what_is_written_is_read_back_and_listed() {
        let root = scratch();
        let disk = SpoolDirectory::open(root.path()).expect("a fresh directory");
        let file = File::Segment(7);
        assert_eq!(disk.execute(Op::Create { file, size: 4096 }), Ok(Done::Nothing));
        let octets = vec![b"abc".to_vec(), Vec::new(), b"defg".to_vec()];
        assert_eq!(disk.execute(Op::Write { file, offset: 10, octets }), Ok(Done::Nothing));
        assert_eq!(disk.execute(Op::Sync(file)), Ok(Done::Nothing));
        assert_eq!(disk.execute(Op::SyncDirectory), Ok(Done::Nothing));
        assert_eq!(
            disk.execute(Op::Read { file, offset: 11, length: 5 }),
            Ok(Done::Octets(b"bcdef".to_vec()))
        );
        assert_eq!(disk.execute(Op::List), Ok(Done::Files(vec![(file, 4096)])));
        assert_eq!(disk.execute(Op::Unlink(file)), Ok(Done::Nothing));
        assert_eq!(disk.execute(Op::Read { file, offset: 0, length: 1 }), Err(DiskError::Missing));
    }

    #[test]
    fn a_glance_is_a_read_or_nothing() {
        let root = scratch();
        let disk = SpoolDirectory::open(root.path()).expect("a fresh directory");
        let file = File::Segment(7);
        assert_eq!(disk.glance(file, 0, 1), None, "nobody has it open");
        assert_eq!(disk.execute(Op::Create { file, size: 4096 }), Ok(Done::Nothing));
        let octets = vec![b"abcdef".to_vec()];
        assert_eq!(disk.execute(Op::Write { file, offset: 10, octets }), Ok(Done::Nothing));
        // Where the file system can tell what is in memory, what was just written is.
        assert!(matches!(disk.glance(file, 11, 3).as_deref(), Some(b"bcd") | None));
        assert_eq!(disk.glance(file, 4_090, 7), None, "beyond the end");
    }

    #[test]
    fn the_segment_that_is_written_stays_open_however_many_are_read() {
        let root = scratch();
        let disk = SpoolDirectory::open(root.path()).expect("a fresh directory");
        let written = File::Segment(1_000);
        let segments = 1..2 * OPEN_MAX;
        for file in segments.clone().map(File::Segment).chain([written]) {
            assert_eq!(disk.execute(Op::Create { file, size: 0 }), Ok(Done::Nothing));
        }
        for file in segments.map(File::Segment) {
            assert_eq!(disk.execute(Op::Read { file, offset: 0, length: 1 }), Ok(Done::Octets(Vec::new())));
            let write = Op::Write { file: written, offset: 0, octets: vec![vec![1]] };
            assert_eq!(disk.execute(write), Ok(Done::Nothing));
            assert!(
                disk.open.count() <= kept(crate::descriptors::limit()) && disk.open.get(written).is_some()
            );
        }
    }

    #[test]
    fn a_second_daemon_is_refused_and_told_why() {
        let root = scratch();
        let first = SpoolDirectory::open(root.path()).expect("a fresh directory");
        let error = SpoolDirectory::open(root.path()).expect_err("locked");
        assert!(error.text.contains("another daemon runs"), "{error}");
        assert_eq!(error.cause, Cause::System);
        drop(first);
        SpoolDirectory::open(root.path()).expect("free again");
    }
}
