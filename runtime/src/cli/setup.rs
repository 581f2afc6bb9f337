//! Finds and reads the configuration of a command.

use super::Failure;
use crate::tables;
use crate::trouble::words;
use nix::ifaddrs::getifaddrs;
use postrider_core::outbound::routes;
use postrider_core::params::{Config, Host, Problem, Settings, judge};
use postrider_core::rewrite::classes;
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// EX_CONFIG of sysexits.h.
const CONFIGURATION: u8 = 78;

/// A configuration, read.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The directory of main.cf.
    pub directory: PathBuf,
    /// All of it.
    pub config: Config,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// The values of main.cf.
    pub settings: Settings,
}

impl Setup {
    /// Finds the directory: the one named, `MAIL_CONFIG`, the embedded default if it has been started here, `/etc/postfix`; where there is
    /// none, the embedded default that root has started in a directory of root's alone.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn find(directory: Option<String>) -> Result<Self, Failure> {
        Self::read(&Self::place(directory))
    }

    /// The same for commands about tables, which need no master.cf and do not look at it.
    ///
    /// # Errors
    /// main.cf cannot be read.
    pub fn find_main(directory: Option<String>) -> Result<Self, Failure> {
        let directory = Self::place(directory);
        let main_cf = text(&directory, "main.cf", "main.cf")?;
        Ok(Self::of(&directory, &main_cf, ""))
    }

    fn place(directory: Option<String>) -> PathBuf {
        let system = PathBuf::from("/etc/postfix");
        let is_one = |directory: &PathBuf| directory.join("main.cf").exists();
        // That of another place counts only where the system has no configuration of its own: root's commands start in root's home.
        let embedded =
            || super::embedded::root().ok().filter(|(_, is_beside)| *is_beside || !is_one(&system));
        directory
            .or_else(|| std::env::var("MAIL_CONFIG").ok())
            .map(PathBuf::from)
            .or_else(|| embedded().map(|(root, _)| root.join("config")).filter(is_one))
            .unwrap_or_else(|| system.clone())
    }

    /// Reads a directory.
    ///
    /// # Errors
    /// main.cf or master.cf cannot be read.
    pub fn read(directory: &Path) -> Result<Self, Failure> {
        let needed = "main.cf and master.cf";
        let main_cf = text(directory, "main.cf", needed)?;
        Ok(Self::of(directory, &main_cf, &text(directory, "master.cf", needed)?))
    }

    fn of(directory: &Path, main_cf: &str, master_cf: &str) -> Self {
        let absolute = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
        let mut host = host_facts(&absolute);
        let (first, _) = Config::read(main_cf, master_cf, host.clone());
        let mut more = Vec::new();
        host.names = addresses(&first, &mut more);
        let (mut config, mut problems) = Config::read(main_cf, master_cf, host);
        problems.append(&mut more);
        if let Some(file) = config.origin_file() {
            match fs::read(&file) {
                Ok(text) => {
                    config.set_origin(&String::from_utf8_lossy(&text));
                    if config.origin().is_none() {
                        let what = format!("{file} has no domain in its first line");
                        problems.push(config.fault(
                            "myorigin",
                            &what,
                            "write the domain of this host's mail into it",
                        ));
                    }
                }
                Err(error) => {
                    let remedy = "make the file, with a domain name as its first line";
                    problems.push(config.fault("myorigin", &format!("{file}: {}", words(&error)), remedy));
                }
            }
        }
        problems.extend(routes::judge(&config));
        problems.extend(classes::judge(&config));
        problems.extend(judge::judge(&config));
        problems.extend(tables::judge(&config));
        let settings = config.settings(None);
        Self { directory: absolute, config, problems, settings }
    }

    /// `queue_directory`.
    #[must_use]
    pub fn queue_directory(&self) -> PathBuf {
        PathBuf::from(self.settings.text("queue_directory"))
    }

    /// The spool's directory.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.queue_directory().join("postrider")
    }
}

/// A file of the directory in which `needed` are looked for.
fn text(directory: &Path, name: &str, needed: &str) -> Result<String, Failure> {
    let path = directory.join(name);
    fs::read(&path).map(|octets| String::from_utf8_lossy(&octets).into_owned()).map_err(|error| {
        let why = words(&error);
        let text = format!("{}: {why}; name the directory of {needed} with -c DIR", path.display());
        Failure::new(CONFIGURATION, text)
    })
}

/// What this host is, for the defaults that depend on it.
fn host_facts(directory: &Path) -> Host {
    let hostname = nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_else(|_| "localhost".to_owned());
    Host {
        hostname,
        interfaces: interfaces(),
        names: BTreeMap::new(),
        process_id: std::process::id(),
        process_name: "postrider".to_owned(),
        config_directory: directory.display().to_string(),
    }
}

fn interfaces() -> Vec<(IpAddr, u8)> {
    let Ok(found) = getifaddrs() else { return Vec::new() };
    let mut interfaces = Vec::new();
    for interface in found {
        let Some(address) = interface.address.as_ref().and_then(ip_of) else { continue };
        let prefix = interface.netmask.as_ref().and_then(ip_of).map_or(32, |mask| match mask {
            IpAddr::V4(mask) => mask.to_bits().leading_ones() as u8,
            IpAddr::V6(mask) => mask.to_bits().leading_ones() as u8,
        });
        interfaces.push((address, prefix));
    }
    interfaces
}

fn ip_of(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    if let Some(address) = address.as_sockaddr_in() {
        return Some(IpAddr::V4(address.ip()));
    }
    address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()))
}

/// Host names where addresses are meant stand for their addresses, as the host's own lookup gives them.
fn addresses(config: &Config, problems: &mut Vec<Problem>) -> BTreeMap<String, Vec<IpAddr>> {
    let mut names = BTreeMap::new();
    for (name, place) in config.host_names() {
        match (name.as_str(), 0).to_socket_addrs() {
            Ok(found) => _ = names.insert(name, found.map(|address| address.ip()).collect()),
            Err(error) => {
                let text = format!("host {name} is not found: {}", words(&error));
                problems.push(Problem::error(
                    place,
                    text,
                    "write an address, or give the name one in /etc/hosts",
                ));
            }
        }
    }
    names
}
