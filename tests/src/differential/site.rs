//! One configuration directory for both servers, and a server that runs with it.

use super::corpus::Setting;
use crate::daemon::owner;
use crate::world::SERVER;
use crate::{postfix, program, run, tls, wait_for};
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

/// Folders below `state` in which mail for users of the system may lie.
pub const PLACES: [&str; 3] = ["home", "var", "open"];

/// Where both see their configuration. Commands look there, and postdrop(1) takes no other directory from who is not root.
pub const CONFIG: &str = "/etc/postfix";

/// The number of the first user of a setting; their groups have the same.
const USER_FIRST: u32 = 3001;

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
        tls::copy_certificate(&site.config());
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
            site.lay_out_local(setting, kind);
        }
        site
    }

    /// What a server finds that delivers to users of the system: their homes, folders for their mail as Debian makes /var/mail, one that is
    /// open to all, and `sendmail`.
    fn lay_out_local(&self, setting: &Setting, kind: Kind) {
        let own = self.own(kind);
        let mail = nix::unistd::Group::from_name("mail").ok().flatten().expect("Debian has the group mail");
        let folders = [("home", 0o755), ("bin", 0o755), ("open", 0o1777), ("var", 0o755)];
        for (name, mode) in folders.into_iter().chain([("var/mail", 0o2775), ("var/maildirs", 0o1777)]) {
            let path = own.join(name);
            fs::create_dir_all(&path).expect("a scratch folder");
            chown(&path, Some(0), Some(mail.gid.as_raw())).expect("we are root");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("we are root");
        }
        let sendmail = match kind {
            Kind::Postfix => program("sendmail", "postfix"),
            Kind::Postrider => crate::binary("postrider"),
        };
        std::os::unix::fs::symlink(sendmail, own.join("bin/sendmail")).expect("a scratch folder");
        for (id, (user, _)) in (USER_FIRST..).zip(&setting.users) {
            let home = own.join("home").join(user);
            fs::create_dir_all(&home).expect("a scratch folder");
            chown(&home, Some(id), Some(id)).expect("we are root");
            for (name, text) in &setting.homes {
                let Some(name) = name.strip_prefix(&format!("{user}/")) else { continue };
                fs::write(home.join(name), self.filled(text)).expect("a scratch folder");
                chown(home.join(name), Some(id), Some(id)).expect("we are root");
            }
        }
    }

    /// The users of a setting, as passwd(5) has them.
    #[must_use]
    pub fn passwd(&self, setting: &Setting) -> Vec<String> {
        let homes = self.state().join("home");
        let line = |(id, (name, gecos)): (u32, &(String, String))| {
            format!("{name}:x:{id}:{id}:{gecos}:{}/{name}:/bin/sh", homes.display())
        };
        (USER_FIRST..).zip(&setting.users).map(line).collect()
    }

    fn filled(&self, text: &str) -> String {
        let (uid, gid) = owner();
        text.replace("@STATE@", &self.state().display().to_string())
            .replace("@CONFIG@", CONFIG)
            .replace("@PROGRAMS@", postfix::PROGRAMS)
            .replace("@SERVER@", SERVER)
            .replace("@UID@", &uid.to_string())
            .replace("@GID@", &gid.to_string())
    }

    fn file(&self, name: &str, text: &str) {
        let text = self.filled(text);
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

    /// Where each sees its own folder: a place that every system has, and whose name is as long in each run, as reports fold their lines.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        PathBuf::from("/srv")
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
        let aliases = site.config().join("aliases");
        if kind == Kind::Postfix && aliases.exists() {
            run(Command::new(program("postalias", "postfix")).arg("-c").arg(site.config()).arg(aliases));
        }
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

    /// Its own folder.
    #[must_use]
    pub fn own(&self) -> PathBuf {
        self.site.own(self.kind)
    }

    /// Where it sees that, and so do all in its world.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.site.state()
    }

    /// Where commands leave mail.
    #[must_use]
    pub fn maildrop(&self) -> PathBuf {
        self.own().join(match self.kind {
            Kind::Postfix => "spool/maildrop",
            Kind::Postrider => "spool/postrider/maildrop",
        })
    }

    /// Where Maildirs are.
    #[must_use]
    pub fn mail(&self) -> PathBuf {
        self.own().join("mail")
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
