//! Faults between the daemon and the kernel: a small library that is preloaded into it (`tests/shim/faults.c`), and the switches.
//!
//! The switches are a file that both have open, so that a fault begins and ends while the daemon runs. A test that arms a fault asserts that
//! it fired ([`Faults::fired`]): a fault that hits nothing shows nothing.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Kinds of calls, in the order of the library's table.
#[allow(missing_docs)] // The names say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// fsync, fdatasync.
    Sync,
    Write,
    /// rename, renameat, link, linkat.
    Rename,
    Open,
    Unlink,
    /// fallocate, ftruncate.
    Allocate,
    Accept,
    Read,
    /// pthread_create.
    Thread,
    /// mmap of what is no file: the allocator wants more.
    Memory,
}

/// What happens instead of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It fails with this error.
    Fail(nix::errno::Errno),
    /// The process is sent this signal, and then the call is carried out, if there is still somebody to do it.
    Signal(nix::sys::signal::Signal),
    /// It says that it succeeded, and has done nothing.
    Nothing,
}

const KINDS: u64 = 10;
const KIND_OCTETS: u64 = 5 * 8;
const CLOCK: u64 = KINDS * KIND_OCTETS;
const RECORDING: u64 = CLOCK + 8;
const BELOW: u64 = RECORDING + 8;
const BELOW_MAX: usize = 1024;
const BUSY: u64 = BELOW + BELOW_MAX as u64;
const CONTROL_OCTETS: u64 = BUSY + 8;

// The library is compiled with these numbers, and asserts that its own are the same.
const _: () = assert!(Kind::Memory as u64 + 1 == KINDS, "a kind for each place");

/// The switches.
#[derive(Debug)]
pub struct Faults {
    control: File,
    path: PathBuf,
    record: PathBuf,
}

impl Faults {
    /// Switches in this folder; all are off, and calls below `below` are counted.
    ///
    /// # Panics
    /// When the folder cannot be written, or there is no C compiler.
    #[must_use]
    pub fn new(folder: &Path, below: &Path) -> Self {
        library();
        let path = folder.join("faults");
        let control = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path);
        let control = control.expect("a scratch folder");
        control.set_len(CONTROL_OCTETS).expect("a scratch folder");
        // The daemon's helper and whoever it becomes use it too.
        control.set_permissions(PermissionsExt::from_mode(0o666)).expect("our own file");
        let faults = Self { control, record: folder.join("record"), path };
        faults.below(below);
        faults
    }

    /// What the process needs in its environment.
    #[must_use]
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        vec![("LD_PRELOAD".into(), library().into()), ("POSTRIDER_FAULTS".into(), (&self.path).into())]
    }

    /// The same for a process that also writes down what it does.
    #[must_use]
    pub fn recording_environment(&self) -> Vec<(OsString, OsString)> {
        let mut all = self.environment();
        all.push(("POSTRIDER_RECORD".into(), (&self.record).into()));
        all
    }

    /// Where it writes it down.
    #[must_use]
    pub fn record(&self) -> &Path {
        &self.record
    }

    /// Calls on paths that begin with these octets are counted from now on, no others: a folder's name also begins those of its neighbours.
    pub fn below(&self, path: &Path) {
        let mut octets = path.as_os_str().as_encoded_bytes().to_vec();
        assert!(octets.len() < BELOW_MAX, "{}", path.display());
        octets.resize(BELOW_MAX, 0);
        self.put_octets(BELOW, &octets);
    }

    /// Counts from 1 again: the `from`-th call of this kind, and `length - 1` behind it, meet the action.
    pub fn arm(&self, kind: Kind, from: u64, length: u64, action: Action) {
        let number = match action {
            Action::Fail(errno) => errno as u64,
            Action::Signal(signal) => 1000 + signal as u64,
            Action::Nothing => 2000,
        };
        self.disarm(kind);
        for (place, value) in [(0, 0), (2, length), (3, number), (4, 0), (1, from)] {
            self.put(kind, place, value);
        }
    }

    /// The kind works again.
    pub fn disarm(&self, kind: Kind) {
        self.put(kind, 1, 0);
    }

    /// How many calls met the action since it was armed.
    #[must_use]
    pub fn fired(&self, kind: Kind) -> u64 {
        self.get(kind, 4)
    }

    /// How many calls there were since it was armed.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.get(kind, 0)
    }

    /// The wall clock of the process is so many seconds ahead.
    pub fn set_clock(&self, seconds: i64) {
        self.put_octets(CLOCK, &seconds.to_ne_bytes());
    }

    /// Begins or ends to write down.
    pub fn set_recording(&self, on: bool) {
        self.put_octets(RECORDING, &u64::from(on).to_ne_bytes());
    }

    fn put(&self, kind: Kind, place: u64, value: u64) {
        self.put_octets(kind as u64 * KIND_OCTETS + place * 8, &value.to_ne_bytes());
    }

    fn put_octets(&self, at: u64, octets: &[u8]) {
        self.control.write_all_at(octets, at).expect("our own file");
    }

    fn get(&self, kind: Kind, place: u64) -> u64 {
        let mut octets = [0; 8];
        self.control.read_exact_at(&mut octets, kind as u64 * KIND_OCTETS + place * 8).expect("our own file");
        u64::from_ne_bytes(octets)
    }
}

/// The library, compiled once for each test program.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a path");
        let folder = test.parent().expect("target/PROFILE/deps/TEST");
        let name = test.file_name().expect("a test has a name").to_string_lossy().into_owned();
        let path = folder.join(format!("{name}-faults.so"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/faults.c");
        let numbers = [
            ("KINDS_TOLD", KINDS),
            ("KIND_OCTETS", KIND_OCTETS),
            ("CLOCK_AT", CLOCK),
            ("RECORDING_AT", RECORDING),
            ("BELOW_AT", BELOW),
            ("BUSY_AT", BUSY),
            ("CONTROL_OCTETS", CONTROL_OCTETS),
        ];
        crate::run(
            Command::new(crate::program("cc", "gcc libc6-dev"))
                .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"])
                .args(numbers.map(|(name, number)| format!("-D{name}={number}")))
                .arg("-o")
                .args([&path, &source]),
        );
        path
    })
}
