//! Debian's stock configuration, as its postfix package writes it for an "Internet Site", starts as it is and delivers.
//!
//! It listens on port 25 of every address, so it runs in a network namespace of its own; mounts that only this namespace sees
//! put a scratch folder where the mailboxes, the aliases and the mail name of the host are.

use postrider_tests::namespace::{Namespace, USER};
use postrider_tests::{Scratch, binary, program, run, wait_for};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Where the package keeps what it makes a configuration of.
const PACKAGE: &str = "/usr/share/postfix";

const MAILNAME: &str = "/etc/mailname";

/// A daemon in a network namespace; both go with it.
struct Stock {
    scratch: Scratch,
    namespace: Namespace,
    child: Option<Child>,
    /// There was no /etc/mailname: a file to mount over was made, and goes again.
    made: bool,
}

/// What postinst makes of main.cf.debian when nothing is changed in its dialogue. Only `queue_directory` is ours.
fn main_cf(root: &Path) -> String {
    let read = |name: &str| {
        let path = Path::new(PACKAGE).join(name);
        fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}: apt-get install postfix", path.display()))
    };
    let mut text = read("main.cf.debian");
    // The package depends on ssl-cert, which has made a certificate.
    text.push_str(&read("main.cf.tls"));
    text.push_str(&format!(
        "smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination\n\
         myhostname = stock.example.test\n\
         alias_maps = hash:/etc/aliases\n\
         alias_database = hash:/etc/aliases\n\
         myorigin = /etc/mailname\n\
         mydestination = $myhostname, example.test, stock.example.test, localhost.example.test, , localhost\n\
         relayhost = \n\
         mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128\n\
         mailbox_size_limit = 0\n\
         recipient_delimiter = +\n\
         inet_interfaces = all\n\
         inet_protocols = all\n\
         html_directory = /usr/share/doc/postfix/html\n\
         queue_directory = {}/spool\n",
        root.display()
    ));
    text.replace("readme_directory = no", "readme_directory = /usr/share/doc/postfix")
}

impl Stock {
    fn start() -> Self {
        let namespace = Namespace::new("postrider");
        let scratch = Scratch::new("stock");
        let root = scratch.path().to_owned();
        let config = root.join("config");
        fs::create_dir_all(&config).expect("a scratch folder");
        fs::write(config.join("main.cf"), main_cf(&root)).expect("a scratch folder");
        fs::copy(Path::new(PACKAGE).join("master.cf.dist"), config.join("master.cf"))
            .expect("the package's master.cf");
        fs::write(root.join("aliases"), format!("postmaster: root\ninfo: {USER}\nboth: {USER}, info\n"))
            .expect("scratch");
        fs::write(root.join("mailname"), "example.test\n").expect("a scratch folder");
        let mail = root.join("mail");
        fs::create_dir(&mail).expect("a scratch folder");
        let group = nix::unistd::Group::from_name("mail").ok().flatten().expect("Debian has the group mail");
        chown(&mail, Some(0), Some(group.gid.as_raw())).expect("we are root");
        fs::set_permissions(&mail, fs::Permissions::from_mode(0o2775)).expect("we are root");
        let made = !Path::new(MAILNAME).exists();
        let mut stock = Self { scratch, namespace, child: None, made };
        stock.run();
        stock
    }

    /// A command of ours that sees the mailboxes, aliases and mailname of this host of Debian.
    fn at_home(&self, verb: &str) -> Command {
        let root = self.scratch.path().display().to_string();
        // These mounts are seen by the command alone.
        let script = format!(
            "touch /etc/mailname && mount --bind {root}/mail /var/mail && mount --bind {root}/aliases /etc/aliases && \
             mount --bind {root}/mailname /etc/mailname && exec {} {verb} -c {root}/config",
            binary("postrider").display()
        );
        self.namespace.shell(&script)
    }

    fn run(&mut self) {
        let stderr = fs::File::create(self.scratch.path().join("stderr")).expect("a scratch folder");
        let child = self
            .at_home("start")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("ip runs");
        self.child = Some(child);
        wait_for("the daemon to listen", || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "the daemon ended: {ended:?}\n{}", self.stderr());
            let config = self.scratch.path().join("config");
            let status = self
                .namespace
                .inside(&binary("postrider").display().to_string())
                .arg("status")
                .arg("-c")
                .arg(config)
                .output();
            status.ok().filter(|output| output.status.success())
        });
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.scratch.path().join("stderr")).unwrap_or_default()
    }

    /// Sends with swaks, from inside.
    fn swaks(&self, words: &[&str]) -> String {
        run(self.namespace.inside("swaks").args(["--from", "me@example.test"]).args(words))
    }

    /// What a command of ours says, inside.
    fn ours(&self, words: &[&str]) -> String {
        let mut command = self.namespace.inside(&binary("postrider").display().to_string());
        let config = self.scratch.path().join("config");
        run(command.arg(words[0]).arg("-c").arg(config).args(&words[1..]))
    }

    fn mailbox(&self, user: &str) -> String {
        fs::read_to_string(self.scratch.path().join("mail").join(user)).unwrap_or_default()
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- standard error\n{}", self.stderr());
        }
        if let Some(mut child) = self.child.take() {
            _ = child.kill();
            _ = child.wait();
        }
        if self.made && fs::metadata(MAILNAME).is_ok_and(|data| data.len() == 0) {
            _ = fs::remove_file(MAILNAME);
        }
    }
}

#[test]
fn debians_configuration_starts_and_delivers() {
    _ = program("swaks", "swaks");
    let stock = Stock::start();
    // What it cannot do yet it names; it has no errors.
    assert!(!stock.stderr().contains(": error: "), "{}", stock.stderr());
    // Of all that Debian's files say, one line asks for what does not exist here.
    let check = stock.at_home("check").output();
    let told = String::from_utf8_lossy(&check.expect("check runs").stdout).into_owned();
    assert!(told.ends_with(": 0 errors, 1 warnings\n"), "{told}");
    assert!(told.contains("warning: not working yet: smtp_tls_session_cache_database;"), "{told}");
    // A user of the system, over IPv4 and IPv6, and with an extension.
    _ = stock.swaks(&[
        "--server",
        "127.0.0.1",
        "--to",
        &format!("{USER}@example.test"),
        "--body",
        "over IPv4\n.\nFrom here",
    ]);
    _ = stock.swaks(&["--server", "[::1]", "--to", &format!("{USER}+list@localhost"), "--body", "over IPv6"]);
    // An alias, and one that names the user twice.
    _ = stock.swaks(&["--server", "127.0.0.1", "--to", "info@stock.example.test", "--body", "for the alias"]);
    _ = stock.swaks(&["--server", "127.0.0.1", "--to", "both@example.test", "--body", "once only"]);
    wait_for("four messages in the mailbox", || {
        (stock.mailbox(USER).matches("From me@example.test ").count() >= 4).then_some(())
    });
    // Nothing more comes.
    wait_for("the queue to be empty", || stock.ours(&["queue", "--json", "list"]).is_empty().then_some(()));
    let mailbox = stock.mailbox(USER);
    for part in [
        "over IPv4",
        "over IPv6",
        "for the alias",
        "once only",
        "\n>From here",
        "X-Original-To: info@stock.example.test",
    ] {
        assert!(mailbox.contains(part), "{part:?} is missing: {mailbox}");
    }
    assert_eq!(mailbox.matches("From me@example.test ").count(), 4, "{mailbox}");
    assert_eq!(mailbox.matches("once only").count(), 1, "{mailbox}");
    assert!(mailbox.contains(&format!("Delivered-To: {USER}@")), "{mailbox}");
    let user = nix::unistd::User::from_name(USER).ok().flatten().expect("Debian has this user");
    let data = fs::metadata(stock.scratch.path().join("mail").join(USER)).expect("the mailbox");
    assert_eq!((data.uid(), data.mode() & 0o777), (user.uid.as_raw(), 0o600));
    // Nobody else, and nobody from outside.
    let refusal = stock
        .namespace
        .inside("swaks")
        .args(["--server", "127.0.0.1", "--from", "me@example.test", "--to", "nosuchuser@example.test"])
        .output()
        .expect("swaks runs");
    let said = String::from_utf8_lossy(&refusal.stdout).into_owned();
    assert!(said.contains("550 5.1.1 <nosuchuser@example.test>: Recipient address rejected: User unknown in local recipient table"), "{said}");
    let to = format!("{USER}@example.test");
    let said = stock.swaks(&["--server", "127.0.0.1", "--tls", "--to", &to, "--body", "secret"]);
    assert!(said.contains("TLS started with cipher"), "{said}");
}
