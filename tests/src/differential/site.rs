//! One configuration directory for both servers, and a server that runs with it.

use super::corpus::Setting;
use crate::daemon::owner;
use crate::world::SERVER;
use crate::{postfix, wait_for};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Debian's Postfix: the reference.
    Postfix,
    /// This project.
    Postrider,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Postfix => "postfix",
            Self::Postrider => "postrider",
        }
    }
}

/// A folder with the configuration, and one for each server, which both know as `state`.
#[derive(Debug)]
pub struct Site {
    root: PathBuf,
}

/// Lines of each main.cf. Names and numbers that a log or a letter shows are the same for both servers.
const MAIN: &str = "\
compatibility_level = 3.6
daemon_directory = @PROGRAMS@
queue_directory = @STATE@/spool
data_directory = @STATE@/data
maillog_file = @STATE@/mail.log
maillog_file_prefixes = @STATE@
enable_long_queue_ids = yes
syslog_name = postfix
mail_name = Postfix
myhostname = mx.here.test
mydomain = here.test
mydestination = here.test
mynetworks = 10.0.0.0/8
inet_interfaces = @SERVER@
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps = inline:{user=x}
local_transport = virtual
virtual_mailbox_domains = box.test
virtual_mailbox_base = @STATE@/mail
virtual_mailbox_maps = inline:{user@box.test=box-user/, other@box.test=box-other/, user@here.test=here-user/}
virtual_uid_maps = static:@UID@
virtual_gid_maps = static:@GID@
virtual_minimum_uid = 1
in_flow_delay = 0
smtp_connection_cache_on_demand = no
smtp_tls_security_level = none
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_error_sleep_time = 0
smtpd_discard_ehlo_keywords = etrn
smtp_connect_timeout = 2
smtp_helo_timeout = 2
smtp_mail_timeout = 2
smtp_rcpt_timeout = 2
smtp_data_init_timeout = 2
smtp_data_done_timeout = 2
smtp_quit_timeout = 2
";

impl Site {
    /// Writes the configuration, and makes the folders.
    ///
    /// # Panics
    /// When the scratch folder cannot be written, or nobody is root.
    #[must_use]
    pub fn write(setting: &Setting, root: &Path) -> Self {
        let site = Self { root: root.to_owned() };
        fs::create_dir_all(site.config()).expect("a scratch folder");
        fs::create_dir_all(site.state()).expect("a scratch folder");
        let (uid, gid) = owner();
        let set = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
        let own: Vec<String> = setting.main_cf.iter().map(|line| set(line)).collect();
        let base = MAIN.lines().filter(|line| !own.contains(&set(line))).map(str::to_owned);
        let main: String =
            base.chain(setting.main_cf.iter().cloned()).map(|line| format!("{line}\n")).collect();
        site.file("main.cf", &main);
        let master: String = setting.master_cf.iter().map(|line| format!("{line}\n")).collect();
        let services = postfix::SERVICES;
        let listener = format!("{SERVER}:25 inet n - n - - smtpd");
        site.file("master.cf", &format!("{listener}\n{services}local unix - n n - - local\n{master}"));
        setting.files.iter().for_each(|(name, text)| site.file(name, text));
        for kind in [Kind::Postfix, Kind::Postrider] {
            let own = site.own(kind);
            fs::create_dir_all(own.join("mail")).expect("a scratch folder");
            fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).expect("a scratch folder");
            chown(own.join("mail"), Some(uid), Some(gid)).expect("a scratch folder");
            if kind == Kind::Postfix {
                postfix::lay_out(&own);
            } else {
                chown(&own, Some(uid), Some(gid)).expect("a scratch folder");
            }
        }
        site
    }

    fn file(&self, name: &str, text: &str) {
        let (uid, gid) = owner();
        let text = text
            .replace("@STATE@", &self.state().display().to_string())
            .replace("@CONFIG@", &self.config().display().to_string())
            .replace("@PROGRAMS@", postfix::PROGRAMS)
            .replace("@SERVER@", SERVER)
            .replace("@UID@", &uid.to_string())
            .replace("@GID@", &gid.to_string());
        let path = self.config().join(name);
        fs::write(&path, text).expect("a scratch folder");
        // Postfix waits while a file of its configuration has the current time.
        let past = SystemTime::now() - Duration::from_secs(60);
        fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(past)).expect("a file");
    }

    /// The configuration directory of both.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("config")
    }

    /// Where each sees its own folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// A server's own folder.
    #[must_use]
    pub fn own(&self, kind: Kind) -> PathBuf {
        self.root.join(kind.name())
    }
}

/// A server that runs in the current world; stopped when dropped.
#[derive(Debug)]
pub struct Running<'a> {
    site: &'a Site,
    kind: Kind,
    child: Child,
}

impl<'a> Running<'a> {
    /// Starts it, and waits until it takes mail.
    ///
    /// # Panics
    /// When it does not; what it said is in the message.
    #[must_use]
    pub fn start(site: &'a Site, kind: Kind) -> Self {
        let mut command = match kind {
            Kind::Postfix => Command::new(Path::new(postfix::PROGRAMS).join("master")),
            Kind::Postrider => Command::new(crate::binary("postrider")),
        };
        let first = if kind == Kind::Postfix { "-d" } else { "start" };
        let stderr = fs::File::create(site.own(kind).join("stderr")).expect("a scratch folder");
        let child = command
            .arg(first)
            .arg("-c")
            .arg(site.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .expect("it is installed");
        let mut running = Self { site, kind, child };
        wait_for("the server to start", || {
            let ended = running.child.try_wait().ok().flatten();
            assert!(ended.is_none(), "{kind:?} ended: {ended:?}\n{}", running.log());
            running.log().contains("daemon started").then_some(())
        });
        running
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        let text = |name: &str| {
            let octets = fs::read(self.site.own(self.kind).join(name)).unwrap_or_default();
            String::from_utf8_lossy(&octets).into_owned()
        };
        format!("{}{}", text("stderr"), text("mail.log"))
    }

    /// Where Maildirs are.
    #[must_use]
    pub fn mail(&self) -> PathBuf {
        self.site.own(self.kind).join("mail")
    }

    /// What `postqueue -j` prints.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn queue(&self) -> Vec<serde_json::Value> {
        let mut command = match self.kind {
            Kind::Postfix => Command::new(crate::program("postqueue", "postfix")),
            Kind::Postrider => {
                let mut command = Command::new(crate::binary("postrider"));
                command.arg("postqueue");
                command
            }
        };
        let output = command.arg("-c").arg(self.site.config()).arg("-j").output().expect("it is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{:?}: {output:?}", self.kind);
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {:?}\n{}", self.kind, self.log());
        }
        // To the whole group: master(8) passes it on to its children, and waits for none of them.
        let group = nix::unistd::Pid::from_raw(-i32::try_from(self.child.id()).expect("a process id"));
        _ = nix::sys::signal::kill(group, nix::sys::signal::Signal::SIGTERM);
        _ = self.child.wait();
        _ = nix::sys::signal::kill(group, nix::sys::signal::Signal::SIGKILL);
    }
}
