//! The reader of master.cf: services, see master(5).
//!
//! A logical line is `name type private unprivileged chroot wakeup maxproc command` and arguments. `-o` overrides of
//! every service are kept, also of those whose daemon does not exist here: `cleanup -o` still speaks about cleaning up.
//! Reading never fails as a whole.

use super::check::nearest;
use super::lines::{LogicalLine, logical_lines};
use super::main_cf::{Assigned, split_assignment};
use super::ports::port_number;
use super::problem::{Place, Problem};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Sessions of a service whose process limit is `-`. Postfix would say default_process_limit (100), because each session
/// is a process there; here a session is a few kilobytes.
pub const SESSIONS_DEFAULT: u32 = 10_000;

/// The type field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceType {
    /// A TCP port.
    Inet,
    /// A stream socket in the queue directory.
    Unix,
    /// A datagram socket.
    UnixDatagram,
    /// A named pipe, obsolete.
    Fifo,
    /// A socket over which connections are passed.
    Pass,
}

impl ServiceType {
    /// The word of master.cf.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Unix => "unix",
            Self::UnixDatagram => "unix-dgram",
            Self::Fifo => "fifo",
            Self::Pass => "pass",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Inet, Self::Unix, Self::UnixDatagram, Self::Fifo, Self::Pass]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// The address part of an inet service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// No host is named: the addresses of inet_interfaces.
    Interfaces,
    /// This address.
    Address(IpAddr),
    /// The addresses of this name.
    Name(String),
}

/// What a service is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// An SMTP server at this address; also where postscreen is configured, whose work the server does.
    Listener {
        /// The address.
        host: Host,
        /// The port.
        port: u16,
    },
    /// A way of delivering.
    Transport(Delivery),
    /// A daemon whose work is done inside this process: nothing to start, its overrides count.
    Inside,
    /// Nothing that is known here.
    Unknown,
}

/// The program of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Delivery {
    /// smtp(8), also under the names `relay` and others.
    Smtp,
    /// lmtp(8).
    Lmtp,
    /// local(8).
    Local,
    /// virtual(8).
    Virtual,
    /// pipe(8).
    Pipe,
    /// error(8).
    Error,
    /// discard(8).
    Discard,
    /// spawn(8): a server that a command plays.
    Spawn,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The name field.
    pub name: String,
    /// The type field.
    pub kind: ServiceType,
    /// `y` unless written otherwise.
    pub private: bool,
    /// `y` unless written otherwise.
    pub unprivileged: bool,
    /// `n` unless written otherwise.
    pub chroot: bool,
    /// Seconds between wake-ups; 0 for none.
    pub wakeup: u32,
    /// Sessions or deliveries at a time; `None` for no limit.
    pub limit: Option<u32>,
    /// Whether the limit was written, rather than `-`.
    pub limit_given: bool,
    /// The command.
    pub command: String,
    /// Its arguments, without `-o` and `-v`.
    pub arguments: Vec<String>,
    /// `-o name=value`.
    pub overrides: BTreeMap<String, Assigned>,
    /// How many `-v`.
    pub verbose: u8,
    /// What it is for.
    pub role: Role,
    /// Where it is written.
    pub place: Place,
}

impl Service {
    /// `smtp/inet`: what names one service.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.name, self.kind.word())
    }
}

/// Reads a text: the services in the order of the file, and what is wrong with it.
#[must_use]
pub fn parse(text: &str) -> (Vec<Service>, Vec<Problem>) {
    let mut services: Vec<Service> = Vec::new();
    let mut problems = Vec::new();
    for line in logical_lines(text) {
        let place = Place::master(line.number);
        if line.indented {
            let text =
                format!("a logical line must not start with white space: \"{}\"; it is left out", line.text);
            problems.push(Problem::warning(place, text, "remove the white space"));
            continue;
        }
        match service(&line, &mut problems) {
            Ok(service) => {
                if let Some(earlier) = services.iter_mut().find(|earlier| earlier.key() == service.key()) {
                    let text = format!("overriding earlier entry: {} ({})", service.key(), earlier.place);
                    problems.push(Problem::warning(place, text, "remove one of them"));
                    *earlier = service;
                } else {
                    services.push(service);
                }
            }
            Err((text, remedy)) => problems.push(Problem::error(place, text, remedy)),
        }
    }
    (services, problems)
}

/// What is wrong, and the remedy.
type Wrong = (String, String);

fn service(line: &LogicalLine, problems: &mut Vec<Problem>) -> Result<Service, Wrong> {
    let place = Place::master(line.number);
    let words = words(&line.text)?;
    let [name, kind, private, unprivileged, chroot, wakeup, limit, command, rest @ ..] = words.as_slice()
    else {
        return Err((
            format!("{} fields, 8 are expected: \"{}\"", words.len(), line.text),
            "write: name type private unpriv chroot wakeup maxproc command".into(),
        ));
    };
    let kind = ServiceType::of(kind).ok_or_else(|| {
        (format!("\"{kind}\" is no type of service"), "write inet, unix, unix-dgram, fifo or pass".into())
    })?;
    let mut service = Service {
        name: name.clone(),
        kind,
        private: flag(private, "private", kind != ServiceType::Inet)?,
        unprivileged: flag(unprivileged, "unprivileged", true)?,
        chroot: flag(chroot, "chroot", false)?,
        wakeup: wake_up(wakeup)?,
        limit: limit_of(limit)?,
        limit_given: limit != "-",
        command: command.rsplit('/').next().unwrap_or(command).to_owned(),
        arguments: Vec::new(),
        overrides: BTreeMap::new(),
        verbose: 0,
        role: Role::Unknown,
        place,
    };
    if kind == ServiceType::Inet && service.private {
        return Err(("an inet service can not be private".into(), "write n or - in the third field".into()));
    }
    arguments(&mut service, rest)?;
    service.role = role(&service, problems)?;
    match service.arguments.first() {
        Some(argument) if takes_none(&service) => {
            let remedy = "remove it; a parameter is written as -o name=value";
            Err((format!("{} takes no argument \"{argument}\"", service.command), remedy.into()))
        }
        _ => Ok(service),
    }
}

/// Whether nothing but `-o`, `-v` and `-D` can be said to a command; others run a command line of their own (pipe, spawn), or
/// are no process here.
fn takes_none(service: &Service) -> bool {
    match service.role {
        Role::Listener { .. } => service.command == "smtpd",
        Role::Transport(delivery) => !matches!(delivery, Delivery::Pipe | Delivery::Spawn),
        _ => false,
    }
}

/// Splits at white space; `{…}` is kept together, with its braces.
fn words(text: &str) -> Result<Vec<String>, Wrong> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut depth = 0usize;
    for c in text.chars() {
        if depth == 0 && c.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        depth = match c {
            '{' => depth + 1,
            '}' => depth.saturating_sub(1),
            _ => depth,
        };
        word.push(c);
    }
    if depth > 0 {
        return Err(("a \"}\" is missing".into(), "write a \"}\" for each \"{\"".into()));
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

fn flag(word: &str, field: &str, default: bool) -> Result<bool, Wrong> {
    match word {
        "-" => Ok(default),
        "y" => Ok(true),
        "n" => Ok(false),
        _ => Err((format!("field {field} is \"{word}\""), "write y, n or -".into())),
    }
}

fn wake_up(word: &str) -> Result<u32, Wrong> {
    if word == "-" {
        return Ok(0);
    }
    let digits = word.strip_suffix('?').unwrap_or(word);
    digits.parse().map_err(|_| (format!("field wakeup is \"{word}\""), "write seconds, or -".into()))
}

fn limit_of(word: &str) -> Result<Option<u32>, Wrong> {
    if word == "-" {
        return Ok(Some(SESSIONS_DEFAULT));
    }
    match word.parse() {
        Ok(0) => Ok(None),
        Ok(limit) => Ok(Some(limit)),
        Err(_) => {
            Err((format!("field maxproc is \"{word}\""), "write a number, 0 for no limit, or -".into()))
        }
    }
}

/// Takes `-o`, `-v` and `-D` from the front; the rest is the command's.
fn arguments(service: &mut Service, words: &[String]) -> Result<(), Wrong> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(attached) = word.strip_prefix("-o") {
            let text = match attached {
                "" => words
                    .next()
                    .map(String::as_str)
                    .ok_or_else(|| ("-o without name=value".to_owned(), "write -o name=value".to_owned()))?,
                _ => attached,
            };
            let (name, value) = split_assignment(unbraced(text))
                .map_err(|wrong| (format!("in -o: {wrong}"), "write -o name=value".to_owned()))?;
            let assigned = Assigned { value: value.to_owned(), place: service.place };
            service.overrides.insert(name.to_owned(), assigned);
        } else if word.starts_with("-v") && word.trim_start_matches(['-', 'v']).is_empty() {
            let more = u8::try_from(word.len() - 1).unwrap_or(u8::MAX);
            service.verbose = service.verbose.saturating_add(more);
        } else if word != "-D" {
            service.arguments.push(unbraced(word).to_owned());
            // Behind the first word that is no option nothing is one: `argv=command -o x` is pipe's.
            if !word.starts_with('-') {
                service.arguments.extend(words.map(|word| unbraced(word).to_owned()));
                return Ok(());
            }
        }
    }
    Ok(())
}

/// `{ text }` without its braces.
fn unbraced(word: &str) -> &str {
    match word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(inner) => inner.trim(),
        None => word,
    }
}

fn role(service: &Service, problems: &mut Vec<Problem>) -> Result<Role, Wrong> {
    let delivery = match service.command.as_str() {
        "smtpd" if service.kind == ServiceType::Pass => return Ok(Role::Inside),
        "smtpd" | "postscreen" if service.kind == ServiceType::Inet => {
            let (host, port) = address(&service.name)?;
            if service.command == "postscreen" {
                problems.push(Problem::warning(
                    service.place,
                    format!("postscreen does not exist here: {} runs as smtpd", service.name),
                    "nothing has to be done; the tests of postscreen are not made",
                ));
            }
            return Ok(Role::Listener { host, port });
        }
        "smtp" => Delivery::Smtp,
        "lmtp" => Delivery::Lmtp,
        "local" => Delivery::Local,
        "virtual" => Delivery::Virtual,
        "pipe" => Delivery::Pipe,
        "error" => Delivery::Error,
        "discard" => Delivery::Discard,
        "spawn" => Delivery::Spawn,
        command if INSIDE.contains(&command) && service.kind != ServiceType::Inet => return Ok(Role::Inside),
        _ => return Ok(unknown(service, problems)),
    };
    if service.kind == ServiceType::Unix {
        Ok(Role::Transport(delivery))
    } else {
        Ok(unknown(service, problems))
    }
}

/// Commands of services that are started or deliver.
const KNOWN: [&str; 10] =
    ["smtpd", "postscreen", "smtp", "lmtp", "local", "virtual", "pipe", "error", "discard", "spawn"];

/// Daemons whose work is done inside this process.
const INSIDE: [&str; 19] = [
    "pickup",
    "cleanup",
    "qmgr",
    "oqmgr",
    "nqmgr",
    "tlsmgr",
    "trivial-rewrite",
    "bounce",
    "verify",
    "flush",
    "proxymap",
    "showq",
    "anvil",
    "scache",
    "postlogd",
    "tlsproxy",
    "dnsblog",
    "master",
    "smtpd",
];

fn unknown(service: &Service, problems: &mut Vec<Problem>) -> Role {
    // A slip of the pen is no feature to come: it would take a listener or a transport away.
    let command = service.command.as_str();
    if !KNOWN.contains(&command)
        && !INSIDE.contains(&command)
        && let Some(near) = nearest(command, KNOWN.iter().copied())
    {
        let text = format!("service {} with command {command}: there is no such command", service.key());
        problems.push(Problem::error(service.place, text, format!("did you mean {near}?")));
        return Role::Unknown;
    }
    problems.push(Problem::warning(
        service.place,
        format!("not working yet: service {} with command {}", service.key(), service.command),
        "it is not started",
    ));
    Role::Unknown
}

/// `host:port`, `[host]:port`, `port`, with an optional `inet:` before it.
fn address(name: &str) -> Result<(Host, u16), Wrong> {
    let text = name.strip_prefix("inet:").unwrap_or(name);
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let Some(port_number) = port_number(port) else {
        return Err((
            format!("\"{port}\" is no port"),
            "write a number, or a well-known name: smtp, submission, submissions, lmtp".into(),
        ));
    };
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let host = match host.parse() {
        _ if host.is_empty() => Host::Interfaces,
        Ok(address) => Host::Address(address),
        Err(_) if host.contains([':', '[', ']']) => {
            return Err((format!("\"{host}\" is no address"), "write host:port or [address]:port".into()));
        }
        Err(_) => Host::Name(host.to_owned()),
    };
    Ok((host, port_number))
}

#[cfg(test)]
mod tests;
