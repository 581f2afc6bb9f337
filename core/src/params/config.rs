//! One configuration: main.cf, master.cf and the host, read and judged as a whole.

use super::check::check;
use super::host::Host;
use super::main_cf::{self, Assigned};
use super::master_cf::{self, Host as ListenHost, Role, Service, ServiceType};
use super::problem::{File, Place, Problem};
use super::scope::{READ_ONLY, Scope, Transports};
use super::table::{self, Kind, Works};
use super::{Settings, unused};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The transports of Debian's master.cf, for [`Settings::of`].
pub(super) const STOCK_TRANSPORTS: &str = "\
smtp unix - - y - - smtp
relay unix - - y - - smtp
error unix - - y - - error
retry unix - - y - - error
discard unix - - y - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - y - - lmtp
";

/// A configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub(super) main: BTreeMap<String, Assigned>,
    services: Vec<Service>,
    pub(super) host: Host,
    pub(super) transports: Transports,
}

/// An SMTP server to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The service, for the log: `smtp/inet`.
    pub service: String,
    /// The service whose settings hold: the same, but for postscreen the `pass` service that it hands sessions to.
    pub settings: String,
    /// The addresses.
    pub host: ListenHost,
    /// The port.
    pub port: u16,
    /// Sessions at a time; `None` for no limit.
    pub sessions: Option<u32>,
}

impl Config {
    /// Reads the texts of main.cf and master.cf. What can be read is there even when something is wrong.
    #[must_use]
    pub fn read(main_cf: &str, master_cf: &str, host: Host) -> (Self, Vec<Problem>) {
        let (main, mut problems) = main_cf::parse(main_cf);
        let (services, more) = master_cf::parse(master_cf);
        problems.extend(more);
        let transports = services.iter().filter_map(transport).collect();
        let config = Self { main, services, host, transports };
        config.judge(&mut problems);
        problems.sort();
        problems.dedup();
        (config, problems)
    }

    /// All services of master.cf, in its order.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// A service by `name/type`, or by its name alone: first among the unix services, then among all.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        let find = |wanted: &dyn Fn(&&Service) -> bool| self.services.iter().find(wanted);
        find(&|service| service.key() == name)
            .or_else(|| find(&|service| service.name == name && service.kind == ServiceType::Unix))
            .or_else(|| find(&|service| service.name == name))
    }

    /// The values for one service (see [`Config::service`]), its `-o` overrides on top; `None`, and a service that master.cf does not
    /// have, for the values of main.cf alone.
    #[must_use]
    pub fn settings(&self, service: Option<&str>) -> Settings {
        self.settings_with(service, &[])
    }

    /// The same while a server has more clients than it can serve: `stress` is `yes`.
    #[must_use]
    pub fn settings_under_stress(&self, service: Option<&str>) -> Settings {
        self.settings_with(service, &[("stress", "yes")])
    }

    fn settings_with(&self, service: Option<&str>, extra: &[(&str, &str)]) -> Settings {
        let service = service.and_then(|name| self.service(name));
        self.build(&self.scope(service, extra), service, &mut Vec::new())
    }

    /// The SMTP servers to start.
    #[must_use]
    pub fn listeners(&self) -> Vec<Listener> {
        let listener = |service: &Service| {
            let Role::Listener { host, port } = &service.role else { return None };
            let limit = if service.command == "postscreen" { self.behind_postscreen() } else { None };
            let behind = limit.unwrap_or(service);
            Some(Listener {
                service: service.key(),
                settings: behind.key(),
                host: host.clone(),
                port: *port,
                sessions: behind.limit,
            })
        };
        self.services.iter().filter_map(listener).collect()
    }

    /// The addresses that receive mail: inet_interfaces and inet_protocols over the interfaces of the host.
    #[must_use]
    pub fn own_addresses(&self) -> Vec<IpAddr> {
        let settings = self.settings(None);
        self.host.own_addresses(settings.text("inet_interfaces"), settings.text("inet_protocols"))
    }

    /// The addresses of a host name that a service of master.cf listens on, as far as the host's facts have them.
    #[must_use]
    pub fn addresses_of(&self, name: &str) -> Vec<IpAddr> {
        self.host.names.get(name).cloned().unwrap_or_default()
    }

    /// The service that postscreen hands its sessions to.
    fn behind_postscreen(&self) -> Option<&Service> {
        let name = self.settings(None).text("smtpd_service_name").to_owned();
        self.services.iter().find(|service| service.kind == ServiceType::Pass && service.name == name)
    }

    /// The same services and host with an empty main.cf.
    pub(super) fn without_values(&self) -> Self {
        Self { main: BTreeMap::new(), ..self.clone() }
    }

    pub(super) fn scope<'a>(
        &'a self,
        service: Option<&'a Service>,
        extra: &[(&'a str, &'a str)],
    ) -> Scope<'a> {
        let given = service.map(|service| &service.overrides).into_iter().flatten();
        let mut overrides: BTreeMap<&str, &str> =
            given.map(|(name, assigned)| (name.as_str(), assigned.value.as_str())).collect();
        overrides.extend(extra.iter().copied());
        let name = service.map_or("", |service| service.name.as_str());
        Scope::new(&self.main, overrides, name, &self.transports, &self.host)
    }

    /// Expands every value. A value that can not be expanded is empty, and told.
    fn build(&self, scope: &Scope<'_>, service: Option<&Service>, problems: &mut Vec<Problem>) -> Settings {
        let mut values = BTreeMap::new();
        for name in scope.names() {
            let Some(raw) = scope.raw(&name) else { continue };
            if scope.kind(&name) == Kind::Raw || !raw.contains('$') {
                let raw = raw.into_owned();
                values.insert(name, raw);
                continue;
            }
            let place = self.place(&name, service);
            match scope.expand(&raw) {
                Ok(expanded) => {
                    if place.line.is_some() {
                        let undefined = expanded.undefined.iter();
                        problems.extend(undefined.map(|other| undefined_name(place, &name, other)));
                    }
                    values.insert(name, expanded.text);
                }
                Err(wrong) => {
                    let remedy = "see \"postconf(5)\" for the forms of $name and ${name}";
                    problems.push(Problem::error(place, format!("{name}: {wrong}"), remedy));
                    values.insert(name, String::new());
                }
            }
        }
        Settings { values: Arc::new(values) }
    }

    /// Where a name is set.
    pub(super) fn place(&self, name: &str, service: Option<&Service>) -> Place {
        service
            .and_then(|service| service.overrides.get(name))
            .or_else(|| self.main.get(name))
            .map_or(Place { file: File::Main, line: None }, |assigned| assigned.place)
    }

    /// Everything that is wrong with the values.
    fn judge(&self, problems: &mut Vec<Problem>) {
        let whole = self.build(&self.scope(None, &[]), None, problems);
        self.check_values(&whole, None, None, problems);
        self.judge_names(&self.main, problems);
        for service in self.services.iter().filter(|service| !service.overrides.is_empty()) {
            let settings = self.build(&self.scope(Some(service), &[]), Some(service), problems);
            self.check_values(&settings, Some(&whole), Some(service), problems);
            self.judge_names(&service.overrides, problems);
        }
        unused::judge(self, problems);
    }

    /// Checks each value that another check has not seen.
    fn check_values(
        &self,
        settings: &Settings,
        seen: Option<&Settings>,
        service: Option<&Service>,
        problems: &mut Vec<Problem>,
    ) {
        for (name, value) in settings.values.iter() {
            if seen.is_some_and(|seen| seen.custom(name) == Some(value)) {
                continue;
            }
            // A name of older releases has no kind of its own and no value unless set.
            let is_old = table::row(name).is_some_and(table::Row::is_old);
            if is_old && value.is_empty() {
                continue;
            }
            if let Err(wrong) = check(super::scope::kind_of(name), value) {
                let text = format!("{name} = {value}: {}", wrong.expected);
                problems.push(Problem::error(self.place(name, service), text, wrong.remedy));
            }
        }
    }

    /// Parameters that are set and do nothing yet, or never will.
    fn judge_names(&self, values: &BTreeMap<String, Assigned>, problems: &mut Vec<Problem>) {
        for (name, assigned) in values {
            if READ_ONLY.contains(&name.as_str()) {
                let text = format!("{name} is read-only");
                problems.push(Problem::warning(assigned.place, text, "remove the line; it has no effect"));
                continue;
            }
            let works = self.works(name);
            let (text, remedy) = match works {
                Some(Works::NotYet) => (format!("not working yet: {name}"), "the line has no effect"),
                Some(Works::Moot) => (
                    format!("{name} has no effect: it tunes a part of Postfix that does not exist here"),
                    "nothing has to be done",
                ),
                _ => continue,
            };
            problems.push(Problem::warning(assigned.place, text, remedy));
        }
    }

    /// How far a name works; `None` for a name that is not known.
    #[must_use]
    pub fn works(&self, name: &str) -> Option<Works> {
        if let Some(row) = table::row(name) {
            return Some(row.works);
        }
        let (transport, row) = table::transport_row(name)?;
        self.transports.get(transport)?;
        table::row(row.fallback).map(|row| row.works)
    }
}

fn transport(service: &Service) -> Option<(String, bool)> {
    let runs_commands = matches!(service.command.as_str(), "pipe" | "spawn");
    let delivers = matches!(service.role, Role::Transport(_)) && service.kind == ServiceType::Unix;
    delivers.then(|| (service.name.clone(), runs_commands))
}

fn undefined_name(place: Place, name: &str, other: &str) -> Problem {
    let text = format!("{name} refers to ${other}, which nothing defines: it counts as empty");
    let remedy = match super::check::nearest(other, table::all().map(|row| row.name)) {
        Some(near) => format!("did you mean ${near}?"),
        None => format!("define {other}, or write $$ for a dollar"),
    };
    Problem::warning(place, text, remedy)
}
