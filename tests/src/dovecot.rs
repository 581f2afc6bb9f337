//! Dovecot's LMTP server, in a folder of its own: users `known` and `second`, and nobody else.

use crate::daemon::owner;
use crate::{Scratch, free_port, program, wait_for};
use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running Dovecot; stopped when dropped.
#[derive(Debug)]
pub struct Dovecot {
    scratch: Scratch,
    child: Child,
    /// Where LMTP is spoken over TCP.
    pub port: u16,
}

/// The whole configuration. Passwords are never asked for; users are whom the file names.
fn configuration(root: &Path, port: u16) -> String {
    let (uid, gid) = owner();
    let user =
        nix::unistd::User::from_uid(uid.into()).ok().flatten().map_or("root".to_owned(), |user| user.name);
    let group =
        nix::unistd::Group::from_gid(gid.into()).ok().flatten().map_or("root".to_owned(), |group| group.name);
    let root = root.display();
    format!(
        "base_dir = {root}/run\n\
         state_dir = {root}/state\n\
         log_path = {root}/dovecot.log\n\
         info_log_path = {root}/dovecot.log\n\
         instance_name = lmtp-test\n\
         protocols = lmtp\n\
         ssl = no\n\
         default_internal_user = {user}\n\
         default_internal_group = {group}\n\
         default_login_user = {user}\n\
         mail_location = maildir:{root}/mail/%n\n\
         first_valid_uid = 1\n\
         auth_mechanisms = plain\n\
         passdb {{\n  driver = passwd-file\n  args = {root}/users\n}}\n\
         userdb {{\n  driver = passwd-file\n  args = {root}/users\n\
         \x20 default_fields = uid={uid} gid={gid} home={root}/mail/%n\n}}\n\
         service lmtp {{\n  user = {user}\n\
         \x20 unix_listener {root}/lmtp.sock {{\n    mode = 0666\n  }}\n\
         \x20 inet_listener lmtp {{\n    address = 127.0.0.1\n    port = {port}\n  }}\n}}\n\
         service anvil {{\n  chroot =\n}}\n\
         service stats {{\n  chroot =\n}}\n\
         protocol lmtp {{\n  postmaster_address = postmaster@here.test\n  auth_username_format = %n\n}}\n"
    )
}

impl Dovecot {
    /// Starts one.
    ///
    /// # Panics
    /// When it is not installed, or does not listen in time.
    #[must_use]
    pub fn start(name: &str) -> Self {
        let dovecot = program("dovecot", "dovecot-core");
        assert!(Path::new("/usr/lib/dovecot/lmtp").exists(), "apt-get install dovecot-lmtpd");
        let scratch = Scratch::new(name);
        let root = scratch.path();
        let (uid, gid) = owner();
        for folder in ["run", "state", "mail"] {
            fs::create_dir_all(root.join(folder)).expect("a scratch folder");
            std::os::unix::fs::chown(root.join(folder), Some(uid), Some(gid)).expect("a scratch folder");
        }
        fs::write(root.join("users"), "known:{PLAIN}x::::::\nsecond:{PLAIN}x::::::\n")
            .expect("a scratch folder");
        let port = free_port();
        let file = root.join("dovecot.conf");
        fs::write(&file, configuration(root, port)).expect("a scratch folder");
        let stderr = fs::File::create(root.join("stderr")).expect("a scratch folder");
        let child = Command::new(dovecot)
            .args(["-F", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("dovecot runs");
        let mut dovecot = Self { scratch, child, port };
        wait_for("dovecot to listen", || {
            let ended = dovecot.child.try_wait().ok().flatten();
            assert!(ended.is_none(), "dovecot ended: {ended:?}\n{}", dovecot.log());
            let socket = UnixStream::connect(dovecot.socket()).is_ok();
            (socket && TcpStream::connect(("127.0.0.1", port)).is_ok()).then_some(())
        });
        dovecot
    }

    /// Where LMTP is spoken on this host.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("lmtp.sock")
    }

    /// What it says.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.scratch.path().join(name)).unwrap_or_default();
        format!("{}{}", read("stderr"), read("dovecot.log"))
    }

    /// Messages of a user.
    #[must_use]
    pub fn delivered(&self, user: &str) -> Vec<String> {
        let folder = self.scratch.path().join("mail").join(user).join("new");
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok()).collect()
    }

    /// Waits until a user has so many messages.
    ///
    /// # Panics
    /// When they do not come.
    #[track_caller]
    #[must_use]
    pub fn wait_for_mail(&self, user: &str, count: usize) -> Vec<String> {
        wait_for(&format!("{count} messages for {user} in Dovecot"), || {
            let found = self.delivered(user);
            (found.len() >= count).then_some(found)
        })
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- dovecot\n{}", self.log());
        }
        // SIGTERM: the master ends its own children.
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        _ = nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM);
        _ = self.child.wait();
    }
}
