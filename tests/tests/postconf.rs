//! Reads the same files as the real postconf(1) and prints the same lines.
//!
//! Needs Debian's package `postfix` for its postconf, its stock main.cf and its master.cf; nothing is started.

use postrider_core::params::{Config, Host, Printing, Severity};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Names whose values differ on purpose, or from one process to the next.
const DIFFERENT: [&str; 13] = [
    "alias_maps",
    "config_directory",
    "mail_name",
    "mail_release_date",
    "mail_version",
    "milter_macro_v",
    "postscreen_greet_banner",
    "process_id",
    "smtpd_banner",
    "smtpd_forbid_bare_newline",
    "smtpd_forbid_unauth_pipelining",
    "strict_smtputf8",
    "syslog_name",
];

/// What the default of alias_maps has with Postfix and not with us: a table that can not be asked would defer local mail.
const NIS: &str = ", nis:mail.aliases";

/// Names that only we have.
const OURS: [&str; 13] = [
    "content_memory_limit",
    "dns_cache_time_limit",
    "dns_servers",
    "log_format",
    "node_number",
    "queue_message_limit",
    "record_content",
    "record_directory",
    "record_file_count",
    "record_file_size",
    "retry_jitter",
    "spool_reserve",
    "spool_segment_size",
];

fn read_file(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{path}: {error}; install Debian's package postfix"))
}

/// A directory with a main.cf and a master.cf, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str, main: &str, master: &str) -> Self {
        // Tests run side by side in one process.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let path = std::env::temp_dir().join(format!("postrider-postconf-{process}-{number}-{name}"));
        std::fs::create_dir_all(&path).unwrap();
        for (name, text) in [("main.cf", main), ("master.cf", master)] {
            std::fs::write(path.join(name), text).unwrap();
            // Postfix waits two seconds before it trusts a file that has just changed.
            let file = std::fs::File::options().write(true).open(path.join(name)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
        }
        Self(path)
    }

    fn postconf(&self, options: &[&str]) -> Vec<String> {
        postconf(&self.0, options)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn postconf(directory: &Path, options: &[&str]) -> Vec<String> {
    let output = Command::new("postconf")
        .arg("-c")
        .arg(directory)
        .args(options)
        .output()
        .unwrap_or_else(|error| panic!("postconf: {error}; install Debian's package postfix"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "postconf failed: {}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(str::to_owned).collect()
}

fn value(directory: &Directory, name: &str) -> String {
    directory.postconf(&["-xh", name]).concat()
}

/// This host's facts, as the real postconf shows them.
fn host() -> Host {
    let style = |style: &str| {
        let directory = Directory::new(style, &format!("mynetworks_style = {style}\n"), "");
        value(&directory, "mynetworks")
    };
    let bare = |network: &str| {
        let (address, prefix) = network.split_once('/').unwrap();
        (address.trim_matches(['[', ']']).parse::<std::net::IpAddr>().unwrap(), prefix.parse::<u8>().unwrap())
    };
    let subnets: Vec<_> = style("subnet").split(' ').map(bare).collect();
    let prefix_of = |address: std::net::IpAddr| {
        let covers = |(network, prefix): &&(std::net::IpAddr, u8)| match (address, network) {
            (std::net::IpAddr::V4(a), std::net::IpAddr::V4(n)) => {
                (u32::from(a) ^ u32::from(*n)).leading_zeros() >= u32::from(*prefix)
            }
            (std::net::IpAddr::V6(a), std::net::IpAddr::V6(n)) => {
                (u128::from(a) ^ u128::from(*n)).leading_zeros() >= u32::from(*prefix)
            }
            _ => false,
        };
        (address, subnets.iter().find(covers).unwrap().1)
    };
    Host {
        hostname: read_file("/proc/sys/kernel/hostname").trim().to_owned(),
        interfaces: style("host").split(' ').map(|network| prefix_of(bare(network).0)).collect(),
        process_name: "postconf".into(),
        ..Host::default()
    }
}

fn name(line: &str) -> &str {
    line.split(' ').next().unwrap_or(line)
}

/// The lines that only one of the two has, without the names that differ on purpose.
fn differences(theirs: &[String], ours: &[String]) -> Vec<String> {
    let keep = |line: &&String| !DIFFERENT.contains(&name(line)) && !OURS.contains(&name(line));
    // alias_maps stands in the values of others too.
    let theirs: Vec<String> = theirs.iter().map(|line| line.replace(NIS, "")).collect();
    let theirs: BTreeSet<&String> = theirs.iter().filter(keep).collect();
    let ours: BTreeSet<&String> = ours.iter().filter(keep).collect();
    let missing = theirs.difference(&ours).map(|line| format!("postconf: {line}"));
    let added = ours.difference(&theirs).map(|line| format!("postrider: {line}"));
    missing.chain(added).collect()
}

fn master() -> String {
    read_file("/usr/share/postfix/master.cf.dist")
}

fn is_sorted(lines: &[String]) -> bool {
    lines.windows(2).all(|pair| name(&pair[0]) < name(&pair[1]))
}

#[test]
fn defaults_are_postfixs() {
    let directory = Directory::new("defaults", "", &master());
    let (config, _) = Config::read("", &master(), host());
    let ours = config.defaults(Printing::Plain);
    assert_eq!(differences(&directory.postconf(&["-d"]), &ours), Vec::<String>::new());
    assert!(is_sorted(&ours));
    let ours = config.defaults(Printing::Expanded);
    assert_eq!(differences(&directory.postconf(&["-dx"]), &ours), Vec::<String>::new());
}

#[test]
fn what_differs_from_postfix_on_purpose_still_differs() {
    let directory = Directory::new("differs", "", "");
    let theirs: BTreeSet<String> = directory.postconf(&["-dx"]).into_iter().collect();
    let (config, _) = Config::read("", "", host());
    for name in DIFFERENT.iter().filter(|name| **name != "config_directory") {
        let line = config.default_value(name, Printing::Expanded).unwrap();
        assert!(!theirs.contains(&line), "{line} is the same as Postfix's: take it off the list");
    }
}

/// Configurations as they are met in the field, each with something that is easily read wrongly.
const FILES: [(&str, &str, &str); 8] = [
    (
        "null_client",
        r"
myhostname = hostname.example.com
myorigin = $mydomain
relayhost = $mydomain
inet_interfaces = loopback-only
mydestination =
",
        "",
    ),
    (
        "continued",
        r"
mydestination = $myhostname,
    localhost.$mydomain,
# a comment between

	localhost  ,
  mail.$mydomain
relay_domains=
",
        "",
    ),
    (
        "indented",
        r"  myorigin = lost
mydestination = x
   y # no comment
mynetworks = 127.0.0.0/8
",
        "",
    ),
    (
        "twice",
        r"
relayhost = one
relayhost = [two]:587
smtp_tls_security_level= may
",
        "",
    ),
    (
        "custom",
        r"
compatibility_level = 3.6
checks = reject_unknown_client_hostname, $more
more = permit
lost = 1
smtpd_client_restrictions = $checks
smtpd_restriction_classes = strict, loose
strict = reject
other = ${strict?{a b}:{c}}
mydestination = $other $$ ${{$compatibility_level} >=level {3.10} ? {new} : {old}}
",
        "",
    ),
    (
        "services",
        r"
mua_client = permit_sasl_authenticated,reject
gone = 1
scan_destination_concurrency_limit = 3
policy_time_limit = 3600
scan_time_limit = 5
maildrop_time_limit = 7
nobody_time_limit = 5
banner = x
",
        r"
scan unix - - n - 10 smtp -o smtp_send_xforward_command=yes
policy unix - n n - 0 spawn user=nobody argv=/bin/x
587 inet n - n - - smtpd -o smtpd_client_restrictions=$mua_client -o { smtpd_banner = $banner hi }
",
    ),
    (
        "tables",
        r"
virtual_alias_maps = ldap:users, mysql:/etc/postfix/my.cf
users_server_host = a
users_search_base = b
my_hosts = c
",
        "",
    ),
    (
        "domain",
        r"
mydomain = example.net
myorigin = ${mydomain}
append_dot_mydomain = ${{a b} == {a b} ? {no} : {yes}}
mynetworks_style = class
",
        "",
    ),
];

#[test]
fn the_same_files_print_the_same_lines() {
    for (label, main, more) in FILES {
        let master = master() + more;
        let directory = Directory::new(label, main, &master);
        let (config, _) = Config::read(main, &master, host());
        for (options, ours) in [
            ("-n", config.set(Printing::Plain)),
            ("-nx", config.set(Printing::Expanded)),
            ("-x", config.all(Printing::Expanded)),
        ] {
            // A name that differs on purpose is compared all the same where the file sets it.
            let theirs = directory.postconf(&[options]);
            assert_eq!(differences(&theirs, &ours), Vec::<String>::new(), "{label} {options}");
            assert!(is_sorted(&ours), "{label} {options}");
        }
        for line in directory.postconf(&["-n"]).iter().filter(|line| name(line) != "config_directory") {
            let ours = config.value(name(line), Printing::Plain);
            assert_eq!(ours.as_ref(), Some(line), "{label}");
        }
    }
}

#[test]
fn debians_own_files_have_no_errors() {
    // Not those of /etc/postfix: whoever runs this may have changed them, or told Debian to make none.
    let plain = read_file("/usr/share/postfix/main.cf.debian");
    let with_tls = plain.clone() + &read_file("/usr/share/postfix/main.cf.tls");
    for main in [plain, with_tls] {
        let (config, problems) = Config::read(&main, &master(), host());
        let errors: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(config.listeners().len(), 1);
        for problem in problems {
            assert!(problem.text.starts_with("not working yet"), "{problem}");
        }
    }
}
