//! Both servers, from one configuration directory: they run one after the other, on the same port and the same disk.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postrider_tests::daemon::owner;
use postrider_tests::{free_port, postfix, program, run, wait_for};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server counts as at rest when it used less CPU than this, in microseconds, within [`REST`].
const REST_USEC: u64 = 3_000;
const REST: Duration = Duration::from_millis(250);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Debian's.
    Postfix,
    /// Ours.
    Postrider,
}

impl Who {
    /// For tables.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postfix => "postfix",
            Self::Postrider => "postrider",
        }
    }
}

/// The folder, the configuration, and where CPU is counted.
pub(crate) struct Rig {
    root: PathBuf,
    cgroup: Option<PathBuf>,
    /// Where the servers listen.
    pub(crate) port: u16,
    /// Where the sink listens.
    pub(crate) sink: u16,
}

impl Rig {
    /// Makes the folder.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub(crate) fn build(root: &Path) -> Result<Self, String> {
        if !nix::unistd::Uid::effective().is_root() {
            return Err("only root can run a Postfix: start as root".to_owned());
        }
        fs::create_dir_all(root).map_err(|error| format!("{}: {error}", root.display()))?;
        let kind = nix::sys::statfs::statfs(root).map_err(|error| error.to_string())?.filesystem_type();
        if kind == nix::sys::statfs::TMPFS_MAGIC {
            return Err(format!("{} is no real disk: give another with --dir", root.display()));
        }
        let rig = Self { root: root.to_owned(), cgroup: make_cgroup(), port: free_port(), sink: free_port() };
        fs::create_dir_all(rig.root.join("config")).map_err(|error| error.to_string())?;
        Ok(rig)
    }

    /// Its folder.
    #[must_use]
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Machine, kernel, versions, and how CPU is counted.
    #[must_use]
    pub(crate) fn about(&self) -> String {
        let postfix = run(Command::new(program("postconf", "postfix")).args(["-dh", "mail_version"]));
        let method = match &self.cgroup {
            Some(_) => "cpu.stat of a cgroup with the server and all its children",
            None => "/proc/PID/stat of the server's process tree, with children that have ended",
        };
        let machine = postrider_tests::machine::about(&self.root);
        format!("{machine}Postfix {}, release builds\nCPU counted by: {method}\n", postfix.trim())
    }

    /// Writes the configuration that both read; `lines` are those of the row.
    fn configure(&self, lines: &str) {
        let (root, sink) = (self.root.display(), self.sink);
        let text = format!(
            "compatibility_level = 3.6\n\
             daemon_directory = {}\n\
             queue_directory = {root}/spool\n\
             data_directory = {root}/data\n\
             maillog_file = {root}/mail.log\n\
             maillog_file_prefixes = {root}\n\
             myhostname = bench.test\n\
             mydestination =\n\
             inet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\n\
             mynetworks = 127.0.0.0/8\n\
             alias_maps =\n\
             alias_database =\n\
             relayhost = [127.0.0.1]:{sink}\n\
             in_flow_delay = 0\n\
             initial_destination_concurrency = 20\n\
             message_size_limit = 0\n\
             {lines}\n",
            postfix::PROGRAMS
        );
        fs::write(self.root.join("config/main.cf"), text).expect("our folder");
        let services = format!("127.0.0.1:{} inet n - n - - smtpd\n{}", self.port, postfix::SERVICES);
        fs::write(self.root.join("config/master.cf"), services).expect("our folder");
    }

    /// Starts a server on an empty queue.
    ///
    /// # Panics
    /// When it does not listen in time.
    #[must_use]
    pub(crate) fn start(&self, who: Who, lines: &str) -> Server<'_> {
        self.start_under(who, lines, &[])
    }

    /// The same, under another program that runs what its arguments end in.
    ///
    /// # Panics
    /// When it does not listen in time.
    #[must_use]
    pub(crate) fn start_under(&self, who: Who, lines: &str, under: &[&str]) -> Server<'_> {
        for folder in ["spool", "data"] {
            _ = fs::remove_dir_all(self.root.join(folder));
        }
        _ = fs::remove_file(self.root.join("mail.log"));
        postfix::lay_out(&self.root);
        let (uid, gid) = owner();
        // Both open it as mail_owner, or give it to postlogd(8).
        fs::write(self.root.join("mail.log"), "").expect("our folder");
        chown(self.root.join("mail.log"), Some(uid), Some(gid)).expect("we are root");
        self.configure(lines);
        let mut words: Vec<String> = under.iter().map(|word| (*word).to_owned()).collect();
        let config = self.root.join("config").display().to_string();
        match who {
            Who::Postfix => {
                let master = format!("{}/master", postfix::PROGRAMS);
                words.extend([master, "-c".to_owned(), config, "-d".to_owned()]);
            }
            Who::Postrider => {
                let binary = beside("postrider").display().to_string();
                words.extend([binary, "start".to_owned(), "-c".to_owned(), config]);
            }
        }
        let mut command = Command::new("/bin/sh");
        // The shell joins the group before it becomes the server, so that nothing is missed.
        let join = match &self.cgroup {
            Some(group) => format!("echo $$ > {}/cgroup.procs && exec \"$@\"", group.display()),
            None => "exec \"$@\"".to_owned(),
        };
        let stderr = fs::File::create(self.root.join("stderr")).expect("our folder");
        let child = command
            .args(["-c", &join, "sh"])
            .args(&words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            // master(8) signals its whole group when it stops: that must not be ours.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let mut server = Server { rig: self, child, under: !under.is_empty() };
        wait_for("the server to listen", || {
            let ended = server.child.try_wait().ok().flatten();
            assert!(ended.is_none(), "{} ended: {ended:?}\n{}", who.name(), self.log());
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
        server
    }

    fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.root.join(name)).unwrap_or_default();
        let log = read("mail.log");
        let from = log.len().saturating_sub(4_000);
        format!("{}{}", read("stderr"), log.get(from..).unwrap_or_default())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for you: {}\n{}", self.root.display(), self.log());
        } else {
            _ = fs::remove_dir_all(&self.root);
        }
        if let Some(group) = &self.cgroup {
            _ = fs::remove_dir(group);
        }
    }
}

/// A binary beside this one.
fn beside(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a program has a path");
    let path = own.parent().expect("a folder").join(name);
    assert!(path.exists(), "{} is missing: cargo build --release -p postrider", path.display());
    path
}

/// A group of the unified hierarchy, where this machine has one and lets us.
fn make_cgroup() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    let path = Path::new(mount.split(' ').nth(1)?).join(format!("postrider-bench-{}", std::process::id()));
    fs::create_dir(&path).ok()?;
    if fs::read_to_string(path.join("cpu.stat")).is_ok_and(|text| text.contains("usage_usec")) {
        return Some(path);
    }
    _ = fs::remove_dir(&path);
    None
}

/// A running server; stopped when dropped.
pub(crate) struct Server<'a> {
    rig: &'a Rig,
    child: Child,
    /// It runs under another program, so its process is a child of ours.
    under: bool,
}

impl Server<'_> {
    /// CPU that it and its children have used, in microseconds.
    #[must_use]
    pub(crate) fn cpu(&self) -> u64 {
        if let Some(group) = &self.rig.cgroup {
            let text = fs::read_to_string(group.join("cpu.stat")).unwrap_or_default();
            let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
            return usage.and_then(|text| text.parse().ok()).unwrap_or(0);
        }
        let ticks: u64 = tree(self.child.id()).iter().map(|process| ticks(*process)).sum();
        // USER_HZ is 100 on every Linux that Rust supports.
        ticks * 10_000
    }

    /// Waits until it does nothing: what is left of its work (removals, log lines) counts as well.
    pub(crate) fn rest(&self) {
        let start = Instant::now();
        let mut before = self.cpu();
        while start.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(REST);
            let now = self.cpu();
            if now - before < REST_USEC {
                return;
            }
            before = now;
        }
    }

    /// The process of the server itself.
    #[must_use]
    pub(crate) fn process(&self) -> u32 {
        if self.under { children(self.child.id()).first().copied().unwrap_or(0) } else { self.child.id() }
    }

    /// Octets of anonymous memory of the server's own process.
    #[must_use]
    pub(crate) fn anonymous(&self) -> u64 {
        postrider_tests::process::memory_of(self.process(), "RssAnon") * 1024
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let process = i32::try_from(self.process()).expect("a process id");
        _ = kill(Pid::from_raw(process), Signal::SIGTERM);
        _ = self.child.wait();
        // master(8) does not wait for its children.
        let Some(group) = &self.rig.cgroup else { return };
        let start = Instant::now();
        let members = || fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        while !members().trim().is_empty() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let read = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    tasks
        .map(read)
        .flat_map(|text| text.split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn tree(process: u32) -> Vec<u32> {
    let mut found = vec![process];
    let mut next = 0;
    while let Some(parent) = found.get(next) {
        found.extend(children(*parent));
        next += 1;
    }
    found
}

/// Ticks of a process, and of its children that have ended.
fn ticks(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = text.rsplit(") ").next().unwrap_or_default().split(' ');
    fields.skip(11).take(4).filter_map(|word| word.parse::<u64>().ok()).sum()
}
