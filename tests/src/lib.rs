//! Tools of the black-box tests: a daemon in a folder of its own, clients, scripted servers, a name server.
//!
//! A missing peer fails a test and says what to install. Nothing here sleeps for a fixed time: all waits end
//! with what is waited for, and fail after [`PATIENCE`].

pub mod answers;
pub mod daemon;
pub mod differential;
pub mod disk;
pub mod dovecot;
pub mod faults;
pub mod fuzz;
pub mod machine;
pub mod messages;
pub mod mortal;
pub mod names;
pub mod namespace;
pub mod postfix;
pub mod process;
pub mod server;
pub mod smtp;
pub mod smuggling;
pub mod tls;
pub mod world;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `ready` gives something.
///
/// # Panics
/// When it does not within [`PATIENCE`]; `what` says what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A folder that goes with its owner; kept when the test fails.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one that every user may enter.
    ///
    /// # Panics
    /// When the system's folder for such cannot be written.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::below(&std::env::temp_dir(), name)
    }

    /// The same on a disk, for what a file system of memory does not do: /tmp is one on many machines.
    ///
    /// # Panics
    /// When /var/tmp lies in memory as well, or cannot be written.
    #[must_use]
    pub fn on_disk(name: &str) -> Self {
        let folder = Path::new("/var/tmp");
        let kind = statfs(folder).expect("/var/tmp is there").filesystem_type();
        assert!(kind != TMPFS_MAGIC, "/var/tmp is a tmpfs: this test needs it on a disk");
        Self::below(folder, name)
    }

    fn below(folder: &Path, name: &str) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("postrider-{name}-{}-{number}", std::process::id()));
        _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for you: {}", self.path.display());
        } else {
            _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// A binary of this workspace, as it was last built.
///
/// # Panics
/// When it is not built; the text says how.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a program has a path");
    let folder = own.parent().expect("target/PROFILE/deps/TEST, or target/PROFILE/PROGRAM");
    let folder = if folder.ends_with("deps") { folder.parent().expect("a profile") } else { folder };
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace --bins` first", path.display());
    path
}

/// The daemon as it ships, with all optimisation: what a trace is taken of.
///
/// # Panics
/// When it has not been built, or not since its sources changed; the text says how.
#[must_use]
pub fn released() -> PathBuf {
    let built = binary("postrider");
    let profiles = built.parent().and_then(Path::parent).expect("target/PROFILE/PROGRAM");
    let path = profiles.join("release/postrider");
    let how = "run `cargo build --release -p postrider --bin postrider` first";
    assert!(path.exists(), "{} is not built: {how}", path.display());
    if let Some(source) = newer_source(&path) {
        panic!("{} is older than {}: {how}", path.display(), source.display());
    }
    path
}

/// A source of a program that has changed since it was built, or is gone. Cargo writes beside the program what it was made of:
/// `PROGRAM: SOURCE SOURCE …`, with a backslash before a space in a name.
fn newer_source(program: &Path) -> Option<PathBuf> {
    let list = program.with_extension("d");
    let text = std::fs::read_to_string(&list).unwrap_or_else(|error| panic!("{}: {error}", list.display()));
    let text = text.replace("\\ ", "\0");
    let (_, sources) = text.split_once(": ").expect("cargo writes a colon");
    let changed = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
    let built = changed(program);
    let is_newer = |source: &PathBuf| changed(source).is_none_or(|at| Some(at) > built);
    sources.split_whitespace().map(|name| PathBuf::from(name.replace('\0', " "))).find(is_newer)
}

/// A program of a Debian package.
///
/// # Panics
/// When it is not installed; the text says how.
#[must_use]
pub fn program(name: &str, package: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/dovecot"];
    folders
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is missing: apt-get install {package}"))
}

/// A TCP port of loopback that nobody uses, and that the kernel gives to no outgoing connection.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let start = u64::from(std::process::id()) * 61;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(step < 10_000, "no port between 20000 and 30000 is free");
        let port = u16::try_from(20_000 + (start + step) % 10_000).expect("below 30,000");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Runs a program to its end and wants success: what it printed.
///
/// # Panics
/// When it fails; what it said is in the message.
#[track_caller]
pub fn run(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}
