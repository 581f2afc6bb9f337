//! An operator's directory: main.cf, master.cf and the tables they name, read as the daemon reads them.
//!
//! What a world can not have is replaced or taken out, and each such change is noted: the report says so to whoever reads it. This is the one
//! file of the rehearsal that opens files.

use crate::host::Site;
use crate::network::NodeId;
use crate::rehearse::scenario::vary;
use postrider_core::ask::TableName;
use postrider_core::params::judge::judge;
use postrider_core::params::problem::File;
use postrider_core::params::table::Works;
use postrider_core::params::{Config, Host, Problem, Severity};
use postrider_core::queue;
use postrider_core::tables::{Source, Table, TableSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the simulated host has its only interface besides loopback.
pub const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 25));
/// Where its name server is.
pub const NAMES: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 53));
/// Who has every address that nobody has.
pub const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 99));

/// Octets of a segment of the log. What a production log preallocates would only be memory to clear here.
const SEGMENT: u64 = 2 * 1024 * 1024;

/// Parameters that a world decides, their value there, and why.
pub(super) const WORLD: [(&str, &str, &str); 11] = [
    ("inet_interfaces", "all", "the simulated host has one address, and loopback"),
    ("inet_protocols", "ipv4", "the simulated network has IPv4"),
    ("proxy_interfaces", "", "no translator stands before the simulated host"),
    ("dns_servers", "10.0.0.53", "the simulated name server answers"),
    ("content_filter", "", "no filter stands behind the simulated host: mail goes on as if it had passed"),
    ("smtpd_milters", "", "no milter runs: mail goes on as if it had passed"),
    ("non_smtpd_milters", "", "no milter runs: mail goes on as if it had passed"),
    ("smtpd_proxy_filter", "", "no filter stands before the queue: mail goes on as if it had passed"),
    ("smtpd_tls_security_level", "", "mail is handed in without TLS"),
    ("smtpd_tls_wrappermode", "no", "mail is handed in without TLS"),
    ("smtp_bind_address", "", "the simulated host has one address"),
];

/// What no world of ours has, whatever the configuration says.
const NEVER: [&str; 5] = [
    "The disk takes 0.05 to 8 ms for an operation, and never fails; spool_segment_size and spool_reserve play no role.",
    "TLS is a fact, not a handshake: whether a server offers it, and what its certificate is worth. Ciphers, keys and certificate files play no role.",
    "Mail for this host itself (local, virtual) is delivered at once; aliases, .forward files, mailboxes and quotas play no role. Every system user exists.",
    "Mail is handed in from 127.0.0.1, by as many clients as it takes. What strangers send to this host is not rehearsed.",
    "Names that the scenario does not have lead to one well-behaved server, “elsewhere”.",
];

/// A directory, read.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
    main: String,
    master: String,
}

/// A configuration for a world, and what was changed for it.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The host.
    pub site: Arc<Site>,
    /// `$myorigin`.
    pub origin: String,
    /// `$myhostname`.
    pub name: String,
    /// Parts of the configuration that can play no role, or another one, in words.
    pub notes: Vec<String>,
}

impl Directory {
    /// Reads a directory.
    ///
    /// # Errors
    /// main.cf or master.cf can not be read.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = |name: &str| {
            let file = path.join(name);
            std::fs::read(&file).map(|octets| String::from_utf8_lossy(&octets).into_owned()).map_err(
                |error| {
                    format!(
                        "{}: {error}; name the directory of main.cf and master.cf with -c DIR",
                        file.display()
                    )
                },
            )
        };
        let (main, master) = (text("main.cf")?, text("master.cf")?);
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self { path, main, master })
    }

    /// The name of the directory, for people.
    #[must_use]
    pub fn label(&self) -> String {
        self.path
            .file_name()
            .map_or_else(|| self.path.display().to_string(), |name| name.to_string_lossy().into())
    }

    fn config(&self, more: &str) -> (Config, Vec<Problem>) {
        let host = Host {
            hostname: "mail.operator.test".to_owned(),
            interfaces: vec![(Ipv4Addr::LOCALHOST.into(), 8), (HOST, 24)],
            process_name: "postrider".to_owned(),
            config_directory: self.path.display().to_string(),
            ..Host::default()
        };
        let (mut config, problems) = Config::read(&format!("{}\n{more}", self.main), &self.master, host);
        if let Some(file) = config.origin_file()
            && let Ok(octets) = std::fs::read(file)
        {
            config.set_origin(&String::from_utf8_lossy(&octets));
        }
        (config, problems)
    }

    /// What is added to main.cf for a world, and what that changes, in words.
    fn changes(&self, set: &BTreeMap<String, toml::Value>) -> (String, Vec<String>) {
        let (plain, _) = self.config("");
        let settings = plain.settings(None);
        let (mut more, mut notes) = (String::new(), Vec::new());
        for (name, value) in set {
            let value = vary::plain(value);
            _ = writeln!(more, "{name} = {value}");
            notes.push(format!("{name} = {value}: set by the scenario."));
        }
        for (name, value, why) in WORLD {
            _ = writeln!(more, "{name} = {value}");
            let place = plain.set_at(name, None).filter(|_| settings.text(name) != value);
            notes.extend(place.map(|place| format!("{place}: {name} plays no role: {why}.")));
            for service in plain.services() {
                let Some(own) = service.overrides.get(name).filter(|own| own.value != value) else {
                    continue;
                };
                notes.push(format!(
                    "{}: {name} of {} stays as it is, and may lead nowhere here.",
                    own.place,
                    service.key()
                ));
            }
        }
        (more, notes)
    }

    /// A problem for the report. What stands behind main.cf was added for the world or by the scenario, which may say something else than
    /// main.cf does.
    fn in_words(&self, problem: &Problem) -> Option<String> {
        let Problem { text, remedy, .. } = problem;
        if !self.is_added(problem) {
            return Some(format!("{problem}."));
        }
        (!text.starts_with("overriding earlier entry")).then(|| format!("[set]: {text}; {remedy}."))
    }

    fn is_added(&self, problem: &Problem) -> bool {
        let last = self.main.lines().count() as u32;
        problem.place.file == File::Main && problem.place.line.is_some_and(|line| line > last)
    }

    /// How far a parameter works; `None` where there is none of this name.
    pub(super) fn works(&self, name: &str) -> Option<Works> {
        self.config("").0.works(name)
    }

    /// Which of these names nothing uses, each with what may have been meant.
    pub(super) fn unused(&self, set: &BTreeMap<String, toml::Value>) -> BTreeMap<String, String> {
        let more: String =
            set.iter().map(|(name, value)| format!("{name} = {}\n", vary::plain(value))).collect();
        let (_, problems) = self.config(&more);
        let unused = problems.into_iter().filter_map(|problem| {
            let name = problem.text.strip_prefix("unused parameter: ")?.to_owned();
            Some((name, problem.remedy))
        });
        unused.collect()
    }

    /// Makes it ready for a world, with other values for some parameters.
    ///
    /// # Errors
    /// What is wrong with it, one problem on a line.
    pub fn ready(&self, set: &BTreeMap<String, toml::Value>) -> Result<Setup, String> {
        let (more, mut notes) = self.changes(set);
        let (config, mut problems) = self.config(&more);
        problems.extend(judge(&config));
        let errors: Vec<String> = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(|problem| match self.is_added(problem) {
                true => format!("[set]: {}; {}", problem.text, problem.remedy),
                false => format!("{}/{problem}", self.path.display()),
            })
            .collect();
        if !errors.is_empty() {
            return Err(errors.join("\n"));
        }
        let told = problems.iter().filter(|problem| problem.place.line.is_some());
        notes.extend(told.filter_map(|problem| self.in_words(problem)));
        let (compiled, more_notes) = self.tables(&config);
        notes.extend(more_notes);
        let resolv = format!("nameserver {NAMES}\n");
        let wrong = |wrong: Vec<(String, String)>| {
            wrong
                .iter()
                .map(|(name, why)| format!("{}: {name}: {why}", config.line_of(name)))
                .collect::<Vec<_>>()
        };
        let mut site = Site::of(&config, HOST, NodeId(0), &resolv, true).map_err(|e| wrong(e).join("\n"))?;
        notes.extend(site.doubts(&config).iter().filter_map(|problem| self.in_words(problem)));
        notes.extend(NEVER.map(str::to_owned));
        site.compiled = compiled;
        site.queue = queue::Params { segment_size: SEGMENT, reserve: SEGMENT, ..site.queue };
        site.other_sockets = Some((ELSEWHERE, 24).into());
        let settings = config.settings(None);
        Ok(Setup {
            site: Arc::new(site),
            origin: settings.text("myorigin").to_owned(),
            name: settings.text("myhostname").to_owned(),
            notes,
        })
    }

    /// The tables of a configuration, through the engines that ship; and those that fail.
    fn tables(&self, config: &Config) -> (BTreeMap<String, Arc<Table>>, Vec<String>) {
        let settings = config.settings(None);
        let bare = |name: &TableName| name.0.trim_start_matches("proxy:").to_owned();
        let aliases: BTreeSet<String> = settings
            .tables("alias_maps")
            .iter()
            .chain(&settings.tables("alias_database"))
            .map(bare)
            .collect();
        let (mut tables, mut notes) = (BTreeMap::new(), Vec::new());
        for (name, parameter) in config.tables_by_parameter() {
            let table =
                match TableSpec::parse(&name.0, aliases.contains(&bare(&name))).map(|spec| spec.source) {
                    Err(none) => Err(none.why),
                    Ok(Source::Ready(table, _)) => Ok(*table),
                    // Whoever is asked for is a user.
                    Ok(Source::Users | Source::Groups) => Ok(everybody()),
                    Ok(Source::File { path, kind }) => {
                        let path = self.path.join(path);
                        std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display())).map(
                            |octets| {
                                Table::compile(
                                    kind,
                                    &String::from_utf8_lossy(&octets),
                                    &path.display().to_string(),
                                )
                                .0
                            },
                        )
                    }
                };
            let table = table.unwrap_or_else(|why| {
                notes.push(format!(
                    "{parameter}: {} can not be read ({why}): its lookups fail, as in the daemon.",
                    name.0
                ));
                Table::failing(&why)
            });
            tables.insert(name.0, Arc::new(table));
        }
        (tables, notes)
    }
}

/// A table in which every user is found.
fn everybody() -> Table {
    match TableSpec::parse("static:{x:x:1000:1000::/home:/bin/sh}", false).map(|spec| spec.source) {
        Ok(Source::Ready(table, _)) => *table,
        _ => Table::failing("no users here"),
    }
}
