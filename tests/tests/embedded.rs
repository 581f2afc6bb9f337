//! The first command of README.md: the daemon on its embedded default, for root and for an ordinary user.
//!
//! It listens on port 2525 of loopback, so each runs in a network namespace of its own; a scratch folder is where /var/lib is.

use postrider_tests::namespace::{Namespace, USER};
use postrider_tests::{Scratch, binary, program, run, wait_for};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

struct Trial {
    scratch: Scratch,
    namespace: Namespace,
    child: Option<Child>,
}

impl Trial {
    /// The daemon, started in a folder of this mode; by `USER` or by root.
    fn start(name: &str, mode: u32, user: Option<&str>) -> Self {
        let mut trial = Self::prepare(name, mode, user);
        trial.run(user);
        trial
    }

    /// A folder of this mode to start it in.
    fn prepare(name: &str, mode: u32, user: Option<&str>) -> Self {
        let namespace = Namespace::new(name);
        let scratch = Scratch::new(name);
        let here = scratch.path().join("here");
        for folder in [&here, &scratch.path().join("lib")] {
            fs::create_dir(folder).expect("a scratch folder");
        }
        // Not everybody can get to where it was built.
        fs::copy(binary("postrider"), scratch.path().join("postrider")).expect("a scratch folder");
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        fs::set_permissions(&here, fs::Permissions::from_mode(mode)).expect("ours");
        if let Some(user) = user {
            let user = nix::unistd::User::from_name(user).ok().flatten().expect("Debian has this user");
            let (uid, gid) = (Some(user.uid.as_raw()), Some(user.gid.as_raw()));
            std::os::unix::fs::chown(&here, uid, gid).expect("we are root");
        }
        Self { scratch, namespace, child: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn spawn(&mut self, user: Option<&str>) {
        let root = self.scratch.path().display().to_string();
        let become_user = user.map_or_else(String::new, |user| {
            format!("setpriv --reuid={user} --regid={user} --clear-groups ")
        });
        let script = format!(
            "mount --bind {root}/lib /var/lib && cd {root}/here && exec {become_user}{root}/postrider start"
        );
        let said = |name| fs::File::create(self.path(name)).expect("a scratch folder");
        let (stdout, stderr) = (said("stdout"), said("stderr"));
        let mut shell = self.namespace.shell(&script);
        let shell = shell.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        self.child = Some(shell.spawn().expect("ip runs"));
    }

    fn run(&mut self, user: Option<&str>) {
        self.spawn(user);
        wait_for("the welcome", || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "the daemon ended: {ended:?}\n{}", self.read("stderr"));
            self.read("stdout").contains("Send the first message").then_some(())
        });
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Sends what the welcome says, with the words that it says; the message that has come.
    fn first_message(&self, data: &Path) -> String {
        let welcome = self.read("stdout");
        let line =
            welcome.lines().find(|line| line.trim_start().starts_with("swaks ")).expect("a line for swaks");
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        _ = program("swaks", "swaks");
        _ = run(self.namespace.inside("swaks").args(words).args(["--body", "It flows."]));
        let new = data.join("mail/me/new");
        let file = wait_for("the message in the Maildir", || fs::read_dir(&new).ok()?.next()?.ok());
        fs::read_to_string(file.path()).expect("root reads everything")
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- standard output\n{}\n--- standard error\n{}",
                self.read("stdout"),
                self.read("stderr")
            );
        }
        if let Some(mut child) = self.child.take() {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

#[test]
fn root_starts_it_and_mail_flows() {
    let trial = Trial::start("embedded-root", 0o755, None);
    let message = trial.first_message(&trial.path("here/postrider-data"));
    assert!(message.contains("It flows."), "{message}");
}

#[test]
fn an_ordinary_user_starts_it_and_mail_flows() {
    let trial = Trial::start("embedded-user", 0o700, Some(USER));
    let message = trial.first_message(&trial.path("here/postrider-data"));
    assert!(message.contains("It flows."), "{message}");
}

#[test]
fn in_a_folder_that_is_roots_alone_it_lies_where_its_user_can_get_to() {
    let trial = Trial::start("embedded-0700", 0o700, None);
    let message = trial.first_message(&trial.path("lib/postrider-data"));
    assert!(message.contains("It flows."), "{message}");
    assert!(
        trial.read("stdout").contains("everything lies below /var/lib/postrider-data"),
        "{}",
        trial.read("stdout")
    );
    assert!(!trial.path("here/postrider-data").exists());
}

#[test]
fn root_runs_nothing_that_somebody_else_has_prepared() {
    let games = nix::unistd::User::from_name(USER).ok().flatten().expect("Debian has this user");
    for (folder, owner, mode) in [
        ("postrider-data", Some(games.uid.as_raw()), 0o755),
        ("postrider-data", None, 0o777),
        ("postrider-data/config", Some(games.uid.as_raw()), 0o755),
    ] {
        let mut trial = Trial::prepare("embedded-theirs", 0o755, None);
        let folder = trial.path("here").join(folder);
        fs::create_dir_all(&folder).expect("a scratch folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("ours");
        std::os::unix::fs::chown(&folder, owner, None).expect("we are root");
        trial.spawn(None);
        let status = wait_for("its end", || trial.child.as_mut()?.try_wait().ok()?);
        assert!(!status.success(), "{}", trial.read("stdout"));
        let said = trial.read("stderr");
        let told = format!("{}: others can write there; remove it, or start elsewhere", folder.display());
        assert!(said.contains(&told), "{said}");
        assert!(!folder.join("main.cf").exists() && !folder.join("config/main.cf").exists());
    }
}
