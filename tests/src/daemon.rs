//! The daemon, in a folder of its own.

use crate::names::Names;
use crate::smtp::Client;
use crate::{Scratch, binary, free_port, program, wait_for};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// Whom the daemon becomes, and mail is delivered as: `mail_owner` for root, else whoever runs the test.
///
/// # Panics
/// When there is no such user; the text says what to install.
#[must_use]
pub fn owner() -> (u32, u32) {
    if !Uid::effective().is_root() {
        return (Uid::effective().as_raw(), Gid::effective().as_raw());
    }
    let user = User::from_name("postfix").ok().flatten();
    let user = user.expect("no user postfix to become: apt-get install postfix");
    (user.uid.as_raw(), user.gid.as_raw())
}

/// A running daemon; stopped hard when dropped.
#[derive(Debug)]
pub struct Daemon {
    scratch: Scratch,
    child: Option<Child>,
    /// What is started: the daemon as the tests were built.
    pub program: PathBuf,
    /// A program and its first arguments, which starts the daemon for us (`prlimit`).
    pub starter: Vec<OsString>,
    /// What its environment has beside ours.
    pub environment: Vec<(OsString, OsString)>,
    /// How often it had said that it serves before this process.
    before: usize,
    /// Its SMTP port on loopback.
    pub port: u16,
    /// Its name server, unless the test's lines name another.
    pub names: Names,
}

impl Daemon {
    /// Writes a configuration (`main_cf` behind sensible lines for a test) and starts.
    ///
    /// # Panics
    /// When it does not listen in time; its log is in the message.
    #[must_use]
    pub fn start(name: &str, main_cf: &str) -> Self {
        Self::start_with(name, main_cf, "")
    }

    /// The same, with more services in master.cf.
    ///
    /// # Panics
    /// As [`Daemon::start`].
    #[must_use]
    pub fn start_with(name: &str, main_cf: &str, master_cf: &str) -> Self {
        let mut daemon = Self::prepare(name, main_cf, master_cf);
        daemon.run();
        daemon
    }

    /// Writes a configuration and does not start.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[must_use]
    pub fn prepare(name: &str, main_cf: &str, master_cf: &str) -> Self {
        Self::prepare_in(Scratch::new(name), main_cf, master_cf)
    }

    /// The same in a folder that the test has chosen.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[must_use]
    pub fn prepare_in(scratch: Scratch, main_cf: &str, master_cf: &str) -> Self {
        let port = free_port();
        let daemon = Self {
            scratch,
            program: binary("postrider"),
            child: None,
            starter: Vec::new(),
            environment: Vec::new(),
            before: 0,
            port,
            names: Names::start(),
        };
        fs::create_dir_all(daemon.config()).expect("a scratch folder");
        fs::create_dir_all(daemon.mail()).expect("a scratch folder");
        let (uid, gid) = owner();
        for folder in [daemon.path(), &daemon.mail()] {
            std::os::unix::fs::chown(folder, Some(uid), Some(gid)).expect("a scratch folder");
        }
        daemon.write_main_cf(main_cf);
        daemon.write_master_cf(master_cf);
        daemon
    }

    /// The daemon sees these lines in place of this machine's hosts file, from its next start on.
    ///
    /// # Panics
    /// For anybody but root, who alone can show it another file; or when that cannot be written.
    pub fn own_hosts(&mut self, lines: &str) {
        assert!(Uid::effective().is_root(), "a hosts file of its own needs root: run this test as root");
        let hosts = self.path().join("hosts");
        fs::write(&hosts, lines).expect("a scratch folder");
        // Each of them becomes the next, so that the process is the daemon in the end.
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        let words = ["--mount", "--propagation", "private", "sh", "-c", script];
        self.starter = vec![program("unshare", "util-linux").into()];
        self.starter.extend(words.map(OsString::from));
        self.starter.push(hosts.into());
    }

    /// Writes main.cf: the test's own lines behind those that keep it in its folder, and in place of those of the same name.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_main_cf(&self, lines: &str) {
        let root = self.path().display();
        let (uid, gid) = owner();
        let text = format!(
            "compatibility_level = 3.6\n\
             queue_directory = {root}/spool\n\
             maillog_file = {root}/mail.log\n\
             myhostname = mail.here.test\n\
             mydomain = here.test\n\
             mydestination = here.test, localhost\n\
             mynetworks = 127.0.0.0/8\n\
             inet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\n\
             alias_maps =\n\
             alias_database =\n\
             local_transport = virtual\n\
             local_recipient_maps =\n\
             virtual_mailbox_base = {root}/mail\n\
             virtual_mailbox_maps = localpart:/\n\
             virtual_uid_maps = static:{uid}\n\
             virtual_gid_maps = static:{gid}\n\
             virtual_minimum_uid = 1\n\
             dns_servers = 127.0.0.1:{}\n",
            self.names.address.port()
        );
        let set = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
        let own: Vec<String> = lines.lines().map(set).collect();
        let mut text: String =
            text.lines().filter(|line| !own.contains(&set(line))).map(|line| format!("{line}\n")).collect();
        text.push_str(lines);
        text.push('\n');
        fs::write(self.config().join("main.cf"), text).expect("a scratch folder");
    }

    /// Writes master.cf: one smtpd on our port, the usual transports, and the test's own lines.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_master_cf(&self, lines: &str) {
        let text = format!(
            "127.0.0.1:{} inet n - n - - smtpd\n\
             smtp unix - - n - - smtp\n\
             relay unix - - n - - smtp\n\
             lmtp unix - - n - - lmtp\n\
             error unix - - n - - error\n\
             discard unix - - n - - discard\n\
             virtual unix - n n - - virtual\n\
             local unix - n n - - local\n\
             {lines}\n",
            self.port
        );
        fs::write(self.config().join("master.cf"), text).expect("a scratch folder");
    }

    /// Starts the process, and waits until it listens.
    ///
    /// # Panics
    /// When it does not listen in time.
    pub fn run(&mut self) {
        self.spawn();
        self.wait_until_it_serves();
    }

    /// Starts the process, and waits until it listens, or ends.
    ///
    /// # Errors
    /// How it ended.
    ///
    /// # Panics
    /// When it does neither in time.
    pub fn try_run(&mut self) -> Result<(), ExitStatus> {
        self.spawn();
        self.wait_for_either()
    }

    /// Starts the process, and does not wait.
    ///
    /// # Panics
    /// When it can not be started.
    pub fn spawn(&mut self) {
        let stderr = fs::File::create(self.path().join("stderr")).expect("a scratch folder");
        self.before = self.starts();
        let mut words = self.starter.clone();
        words.push(self.program.clone().into());
        let child = Command::new(&words[0])
            .args(&words[1..])
            .args(["start", "-c"])
            .arg(self.config())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("the binary runs");
        self.child = Some(child);
    }

    /// Waits until it listens.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_until_it_serves(&mut self) {
        if let Err(ended) = self.wait_for_either() {
            panic!("the daemon ended: {ended}\n{}{}", self.stderr(), self.log());
        }
    }

    fn wait_for_either(&mut self) -> Result<(), ExitStatus> {
        let before = self.before;
        wait_for("the daemon to listen", || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            match ended {
                Some(status) => Some(Err(status)),
                None => (self.starts() > before).then_some(Ok(())),
            }
        })
    }

    /// How often it has said that it serves: the last thing it does before it does.
    fn starts(&self) -> usize {
        self.log().matches("daemon started").count()
    }

    /// The process.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path().join("config")
    }

    /// Where Maildirs are.
    #[must_use]
    pub fn mail(&self) -> PathBuf {
        self.path().join("mail")
    }

    /// What it said on standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.path().join("stderr")).unwrap_or_default()
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path().join("mail.log")).unwrap_or_default()
    }

    /// Waits for a line of the log that contains `text`.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    #[must_use]
    pub fn wait_for_log(&self, text: &str) -> String {
        wait_for(&format!("a log line with {text:?}"), || {
            self.log().lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    /// A client, greeted.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// Makes the kernel forget what it has in memory of the spool's files, so that reading them asks the disk.
    ///
    /// # Panics
    /// When there is no spool.
    pub fn forget_cached_contents(&self) {
        let files = ["log", "contents"].map(|folder| self.path().join("spool/postrider").join(folder));
        let files = files.iter().flat_map(|folder| {
            fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        });
        let files: Vec<PathBuf> = files.map(|entry| entry.expect("an entry").path()).collect();
        // The kernel keeps what it is busy with at that moment, on another core.
        wait_for("the kernel to forget what is in the spool", || {
            for path in &files {
                let file = fs::File::open(path).expect("a file of the spool");
                // Only what is on disk can be forgotten.
                file.sync_all().expect("a disk that works");
                posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).expect("a plain file");
            }
            let mut cached = Command::new(program("fincore", "util-linux-extra"));
            let told = cached.args(["-n", "-o", "PAGES"]).args(&files).output().expect("fincore runs");
            assert!(told.status.success(), "{told:?}");
            String::from_utf8_lossy(&told.stdout).lines().all(|pages| pages.trim() == "0").then_some(())
        });
    }

    /// Messages in a user's Maildir.
    #[must_use]
    pub fn delivered(&self, user: &str) -> Vec<Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.mail().join(user).join("new")) else { return Vec::new() };
        let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        paths.sort_unstable();
        paths.into_iter().filter_map(|path| fs::read(path).ok()).collect()
    }

    /// Waits until a user's Maildir has so many messages.
    ///
    /// # Panics
    /// When it has not in time.
    #[track_caller]
    #[must_use]
    pub fn wait_for_mail(&self, user: &str, count: usize) -> Vec<Vec<u8>> {
        wait_for(&format!("{count} messages for {user}"), || {
            let found = self.delivered(user);
            (found.len() >= count).then_some(found)
        })
    }

    /// Runs a command of ours with this configuration: `-c DIR` behind its name.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Output {
        Command::new(binary("postrider"))
            .arg(words[0])
            .arg("-c")
            .arg(self.config())
            .args(&words[1..])
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs")
    }

    /// Leaves a message by sendmail(1), whether the daemon runs or not.
    ///
    /// # Panics
    /// When it is not taken.
    #[track_caller]
    pub fn sendmail(&self, sender: &str, recipient: &str, message: &str) {
        let mut child = Command::new(binary("postrider"))
            .args(["sendmail", "-f", sender, "-C"])
            .arg(self.config())
            .arg(recipient)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        child.stdin.take().expect("a pipe").write_all(message.as_bytes()).expect("it reads");
        assert!(child.wait().expect("it is ours").success(), "sendmail has taken it");
    }

    /// Waits until the queue is empty: what has not arrived by then never will.
    ///
    /// # Panics
    /// When it does not run empty in time.
    #[track_caller]
    pub fn wait_until_the_queue_is_empty(&self) {
        wait_for("the queue to run empty", || self.is_queue_empty().then_some(()));
    }

    /// The same, and what waits for its time is tried at once.
    ///
    /// # Panics
    /// When it does not run empty in time.
    #[track_caller]
    pub fn flush_until_the_queue_is_empty(&self) {
        wait_for("the queue to run empty", || {
            _ = self.command(&["queue", "flush"]);
            self.is_queue_empty().then_some(())
        });
    }

    /// Whether the queue is empty now.
    ///
    /// # Panics
    /// As [`Daemon::command`].
    #[must_use]
    pub fn is_queue_empty(&self) -> bool {
        let list = self.command(&["queue", "list"]);
        String::from_utf8_lossy(&list.stdout).contains("is empty")
    }

    /// How the process ended, if it has.
    ///
    /// # Panics
    /// When it was not started.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().expect("the daemon was started").try_wait().expect("it is ours")
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the daemon runs");
        kill(Pid::from_raw(i32::try_from(child.id()).expect("a process id")), signal).expect("it is ours");
    }

    /// Waits for the end of the process: its exit status.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("the daemon runs");
        wait_for("the daemon to end", || child.try_wait().expect("it is ours")).code()
    }

    /// Kills it as a power cut would, without a goodbye.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- standard error\n{}--- log\n{}", self.stderr(), self.log());
        }
        self.kill();
    }
}
