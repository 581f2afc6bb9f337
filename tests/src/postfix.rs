//! Debian's Postfix, with configuration, queue and data in a folder of its own. Only root can run one.

use crate::{Scratch, free_port, program, run, wait_for};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Debian's place of the programs.
pub const PROGRAMS: &str = "/usr/lib/postfix/sbin";
/// Folders of the queue that only Postfix enters.
const PRIVATE: [&str; 11] = [
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved",
    "trace",
];

/// A running Postfix; stopped when dropped.
#[derive(Debug)]
pub struct Postfix {
    scratch: Scratch,
    child: Child,
    /// Its SMTP port on loopback.
    pub port: u16,
}

/// Its services but smtpd(8), none of them in a chroot.
pub const SERVICES: &str = "\
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
";

/// Makes the folders of a queue and of its data below `root`: `spool` and `data`.
///
/// # Panics
/// When they cannot be made.
pub fn lay_out(root: &Path) {
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).expect("a scratch folder");
    let (uid, _) = crate::daemon::owner();
    let group = nix::unistd::Group::from_name("postdrop").ok().flatten();
    let postdrop = group.expect("Debian's postfix makes the group postdrop").gid.as_raw();
    make(&root.join("spool"), 0o755, 0, 0);
    for folder in PRIVATE {
        make(&root.join("spool").join(folder), 0o700, uid, 0);
    }
    make(&root.join("spool/pid"), 0o755, 0, 0);
    make(&root.join("spool/maildrop"), 0o730, uid, postdrop);
    make(&root.join("spool/public"), 0o710, uid, postdrop);
    make(&root.join("data"), 0o700, uid, 0);
}

fn make(path: &Path, mode: u32, uid: u32, gid: u32) {
    fs::DirBuilder::new().create(path).expect("a scratch folder");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a scratch folder");
    chown(path, Some(uid), Some(gid)).expect("root gives folders away: run the tests of Postfix as root");
}

impl Postfix {
    /// Starts one that delivers mail for `post.test` into Maildirs, with the test's lines behind that.
    ///
    /// # Panics
    /// When it is not installed, or does not listen in time.
    #[must_use]
    pub fn start(name: &str, main_cf: &str) -> Self {
        _ = program("postfix", "postfix");
        let scratch = Scratch::new(name);
        let root = scratch.path().to_owned();
        let (uid, _) = crate::daemon::owner();
        fs::create_dir(root.join("config")).expect("a scratch folder");
        lay_out(&root);
        make(&root.join("mail"), 0o700, uid, 0);
        let port = free_port();
        fs::write(root.join("config/main.cf"), main(&root, uid, main_cf)).expect("a scratch folder");
        let services = format!("127.0.0.1:{port} inet n - n - - smtpd\n{SERVICES}");
        fs::write(root.join("config/master.cf"), services).expect("a scratch folder");
        let stderr = fs::File::create(root.join("stderr")).expect("a scratch folder");
        let child = Command::new(Path::new(PROGRAMS).join("master"))
            .arg("-c")
            .arg(root.join("config"))
            .arg("-d")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("master(8) runs");
        let mut postfix = Self { scratch, child, port };
        wait_for("Postfix to listen", || {
            let ended = postfix.child.try_wait().ok().flatten();
            assert!(ended.is_none(), "Postfix ended: {ended:?}\n{}", postfix.log());
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        postfix
    }

    fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// What it says.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.path().join(name)).unwrap_or_default();
        format!("{}{}", read("stderr"), read("mail.log"))
    }

    /// Has it try all its deferred mail.
    pub fn flush(&self) {
        run(Command::new(program("postqueue", "postfix")).arg("-c").arg(self.config()).arg("-f"));
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path().join("config")
    }

    /// Waits until a user's Maildir has so many messages.
    ///
    /// # Panics
    /// When they do not come.
    #[track_caller]
    #[must_use]
    pub fn wait_for_mail(&self, user: &str, count: usize) -> Vec<Vec<u8>> {
        let folder = self.path().join("mail").join(user).join("new");
        wait_for(&format!("{count} messages for {user} in Postfix"), || {
            let entries = fs::read_dir(&folder).ok()?;
            let found: Vec<_> = entries.filter_map(|entry| fs::read(entry.ok()?.path()).ok()).collect();
            (found.len() >= count).then_some(found)
        })
    }
}

fn main(root: &Path, uid: u32, lines: &str) -> String {
    let gid = crate::daemon::owner().1;
    let root = root.display();
    format!(
        "compatibility_level = 3.6\n\
         daemon_directory = {PROGRAMS}\n\
         queue_directory = {root}/spool\n\
         data_directory = {root}/data\n\
         maillog_file = {root}/mail.log\n\
         maillog_file_prefixes = {root}\n\
         myhostname = mail.post.test\n\
         mydestination =\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\n\
         mynetworks = 127.0.0.0/8\n\
         alias_maps =\n\
         smtputf8_enable = yes\n\
         virtual_mailbox_domains = post.test\n\
         virtual_mailbox_base = {root}/mail\n\
         virtual_mailbox_maps = inline:{{one@post.test=one/, two@post.test=two/}}\n\
         virtual_uid_maps = static:{uid}\n\
         virtual_gid_maps = static:{gid}\n\
         virtual_minimum_uid = 1\n\
         {lines}\n"
    )
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Postfix\n{}", self.log());
        }
        // SIGTERM: master(8) ends its own children.
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        _ = nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM);
        _ = self.child.wait();
    }
}
