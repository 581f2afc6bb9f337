//! One configuration: main.cf, master.cf and the host, read and judged as a whole.

use super::check::check;
use super::host::{Host, is_spoken};
use super::main_cf::{self, Assigned};
use super::master_cf::{self, Delivery, Host as ListenHost, Role, Service, ServiceType};
use super::problem::{File, Place, Problem};
use super::scope::{READ_ONLY, Scope, Transports, transport_row};
use super::table::{self, Kind, Works};
use super::{Settings, expand, idle, unused};
use crate::ask::TableName;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
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
    pub(super) origin: Option<String>,
    /// Text of master.cf.
    pub(super) master_text: Arc<str>,
    /// The values of main.cf alone: they are asked for again and again.
    whole: Settings,
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
        let (origin, master_text, whole) = (None, master_cf.into(), Settings { values: Arc::default() });
        let mut config = Self { main, services, host, transports, origin, master_text, whole };
        config.whole = config.build(&config.scope(None, &[]), None, &mut problems);
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
        if service.is_none() && extra.is_empty() && self.origin.is_none() {
            return self.whole.clone();
        }
        let mut scope = self.scope(service, extra);
        scope.origin = self.origin.as_deref();
        self.build(&scope, service, &mut Vec::new())
    }

    /// The file whose first line is the value of myorigin, when that is a path, as on Debian (`/etc/mailname`).
    #[must_use]
    pub fn origin_file(&self) -> Option<String> {
        let settings = self.settings(None);
        Some(settings.text("myorigin")).filter(|value| value.starts_with('/')).map(str::to_owned)
    }

    /// Says what stands in that file. What is printed stays the path.
    pub fn set_origin(&mut self, text: &str) {
        self.origin = text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty());
    }

    /// The SMTP servers to start.
    #[must_use]
    pub fn listeners(&self) -> Vec<Listener> {
        let listener = |service: &Service| {
            let Role::Listener { host, port } = &service.role else { return None };
            let behind = self.behind(service);
            // The process limit of postscreen itself is 1, and says nothing about sessions.
            let sessions =
                if behind.command == "postscreen" { Some(master_cf::SESSIONS_DEFAULT) } else { behind.limit };
            Some(Listener {
                service: service.key(),
                settings: behind.key(),
                host: host.clone(),
                port: *port,
                sessions,
            })
        };
        self.services.iter().filter_map(listener).collect()
    }

    /// Every table that a value of main.cf or of a service names, so that it can be read before it is needed.
    #[must_use]
    pub fn table_names(&self) -> BTreeSet<TableName> {
        self.tables_by_parameter().into_keys().collect()
    }

    /// The same, with a parameter that names each.
    #[must_use]
    pub fn tables_by_parameter(&self) -> BTreeMap<TableName, String> {
        let mut names = BTreeMap::new();
        let services = self.services.iter().map(|service| Some(service.key()));
        for service in std::iter::once(None).chain(services) {
            let settings = self.settings(service.as_deref());
            for (name, value) in &*settings.values {
                if !matches!(super::scope::kind_of(name), Kind::Tables | Kind::Matches | Kind::Restrictions) {
                    continue;
                }
                // What follows check_policy_service is a socket.
                let items = super::check::items(value);
                let before = std::iter::once("").chain(items.iter().map(String::as_str));
                let tables = items.iter().zip(before).filter(|(_, before)| *before != "check_policy_service");
                let list = super::scope::kind_of(name) == Kind::Matches;
                let tables = tables.filter_map(|(item, _)| match item.trim_start_matches('!') {
                    // The items of a file (core/src/tables/match_list.rs).
                    path if list && path.starts_with('/') => Some(format!("list:{path}")),
                    table if is_table(table) => Some(table.to_owned()),
                    _ => None,
                });
                tables.for_each(|table| self.name_table(table, name, &mut names));
            }
        }
        names
    }

    /// A parameter that names a table: one that has a line, rather than one whose default refers to it.
    fn name_table(&self, table: String, name: &str, names: &mut BTreeMap<TableName, String>) {
        let parameter = names.entry(TableName(table)).or_insert_with(|| name.to_owned());
        if self.place_of(parameter).line.is_none() {
            name.clone_into(parameter);
        }
    }

    /// Where a name is set, for messages: `main.cf:12`, or `main.cf` when it is not.
    #[must_use]
    pub fn line_of(&self, name: &str) -> String {
        self.place(name, None).to_string()
    }

    /// The addresses that receive mail: inet_interfaces and inet_protocols over the interfaces of the host.
    #[must_use]
    pub fn own_addresses(&self) -> Vec<IpAddr> {
        self.own_addresses_of(&self.settings(None))
    }

    /// The same as one service sees them.
    #[must_use]
    pub fn own_addresses_of(&self, settings: &Settings) -> Vec<IpAddr> {
        self.host.own_addresses(settings.text("inet_interfaces"), settings.text("inet_protocols"))
    }

    /// Of these addresses, those of a protocol in inet_protocols.
    #[must_use]
    pub fn own_protocols(&self, addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let settings = self.settings(None);
        let protocols = settings.text("inet_protocols");
        addresses.into_iter().filter(|address| is_spoken(*address, protocols)).collect()
    }

    /// The addresses of `proxy_interfaces`: others reach us there, through a translator of addresses.
    #[must_use]
    pub fn proxy_addresses(&self) -> Vec<IpAddr> {
        let settings = self.settings(None);
        settings.list("proxy_interfaces").iter().flat_map(|name| self.host.addresses_of(name)).collect()
    }

    /// The host names in inet_interfaces, proxy_interfaces and the listeners of master.cf, with where they stand. The driver finds
    /// their addresses, puts them into [`Host::names`], and reads the configuration again.
    #[must_use]
    pub fn host_names(&self) -> BTreeMap<String, Place> {
        let mut names = BTreeMap::new();
        let of_main = [("inet_interfaces", None), ("proxy_interfaces", None)];
        // Where mail leaves from, each transport may say for itself.
        let overriding =
            self.services.iter().filter(|service| service.overrides.contains_key("inet_interfaces"));
        for (parameter, service) in
            of_main.into_iter().chain(overriding.map(|service| ("inet_interfaces", Some(service))))
        {
            let items = self.settings(service.map(Service::key).as_deref()).list(parameter);
            let place = self.place(parameter, service);
            names.extend(items.into_iter().filter(|item| is_host_name(item)).map(|item| (item, place)));
        }
        for service in &self.services {
            if let Role::Listener { host: ListenHost::Name(name), .. } = &service.role {
                names.insert(name.clone(), service.place);
            }
        }
        names
    }

    /// A fault that was found behind the values themselves, at the line that sets the parameter.
    #[must_use]
    pub fn fault(&self, parameter: &str, text: &str, remedy: &str) -> Problem {
        Problem::error(self.place_of(parameter), format!("{parameter}: {text}"), remedy)
    }

    /// The same, with which the daemon can start.
    #[must_use]
    pub fn doubt(&self, parameter: &str, text: &str, remedy: &str) -> Problem {
        Problem::warning(self.place_of(parameter), format!("{parameter}: {text}"), remedy)
    }

    /// Where a service sets a parameter, or main.cf when `None` is asked; `None` when it does not.
    #[must_use]
    pub fn set_at(&self, parameter: &str, service: Option<&Service>) -> Option<Place> {
        let assigned = match service {
            Some(service) => service.overrides.get(parameter),
            None => self.main.get(parameter),
        };
        assigned.map(|assigned| assigned.place)
    }

    /// Where a parameter is set: in main.cf, or else for a service.
    fn place_of(&self, parameter: &str) -> Place {
        let overrides = || self.services.iter().find_map(|service| service.overrides.get(parameter));
        let assigned = self.main.get(parameter).or_else(overrides);
        assigned.map_or(Place { file: File::Main, line: None }, |assigned| assigned.place)
    }

    /// The addresses of a host name that a listener names, as far as the host's facts have them.
    #[must_use]
    pub fn addresses_of(&self, name: &str) -> Vec<IpAddr> {
        self.host.addresses_of(name)
    }

    /// The service that serves the sessions of another: for postscreen the one that it hands them to.
    fn behind<'a>(&'a self, service: &'a Service) -> &'a Service {
        if service.command != "postscreen" {
            return service;
        }
        let settings = self.settings(Some(&service.key()));
        let name = settings.text("smtpd_service_name");
        let is_behind = |other: &&Service| other.kind == ServiceType::Pass && other.name == name;
        self.services.iter().find(is_behind).unwrap_or(service)
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
        let (plain, rest) = scope.sorted_out();
        let mut values = Vec::new();
        // Faults that a name only has from another are told once, at that other.
        let (mut own, mut inherited) = (Vec::new(), Vec::new());
        for name in rest {
            let Some(raw) = scope.raw(&name) else { continue };
            let kind = scope.kind(&name);
            if kind == Kind::Raw || !raw.contains('$') {
                let value = canonical(kind, raw.into_owned());
                values.push((name, Cow::Owned(value)));
                continue;
            }
            if let Some(value) = scope.other_value(&raw) {
                let value = canonical(kind, value.into_owned());
                values.push((name, Cow::Owned(value)));
                continue;
            }
            let place = self.place(&name, service);
            match scope.expand_blaming(&raw) {
                Ok(expanded) => {
                    if place.line.is_some() {
                        let undefined = expanded.undefined.iter();
                        problems.extend(undefined.map(|other| undefined_name(place, &name, other)));
                    }
                    values.push((name, Cow::Owned(canonical(kind, expanded.text))));
                }
                Err((wrong, blamed)) => {
                    let remedy = "see \"postconf(5)\" for the forms of $name and ${name}";
                    let problem = Problem::error(place, format!("{name}: {wrong}"), remedy);
                    let is_own = place.line.is_some() && blamed.is_none();
                    if is_own {
                        own.push(problem)
                    } else {
                        inherited.push(problem)
                    }
                    values.push((name, Cow::Owned(String::new())));
                }
            }
        }
        // A level that is none is told where it is set, not at each default that depends on it.
        inherited.retain(|problem| !problem.text.contains(expand::NO_LEVEL));
        problems.extend(if own.is_empty() { inherited } else { own });
        values.extend(plain.into_iter().map(|(name, value)| (name, Cow::Borrowed(value))));
        // Of a name that is there twice the value counts that was found.
        values.sort_by(|(one, _), (other, _)| table::by_length(one, other));
        values.dedup_by(|(one, _), (other, _)| one == other);
        Settings { values: values.into() }
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
        self.check_values(&self.whole, None, None, problems);
        self.judge_names(None, problems);
        for service in self.services.iter().filter(|service| !service.overrides.is_empty()) {
            let settings = self.build(&self.scope(Some(service), &[]), Some(service), problems);
            self.check_values(&settings, Some(&self.whole), Some(service), problems);
            self.judge_names(Some(service), problems);
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
        let scope = self.scope(service, &[]);
        for (name, value) in &*settings.values {
            // The table's own defaults are right: the tests of the table see to that.
            if matches!(value, Cow::Borrowed(_)) || seen.is_some_and(|seen| seen.custom(name) == Some(value))
            {
                continue;
            }
            // A name of older releases has no kind of its own and no value unless set.
            let is_old = table::row(name).is_some_and(table::Row::is_old);
            if is_old && value.is_empty() {
                continue;
            }
            let Err(wrong) = check(super::scope::kind_of(name), value) else { continue };
            // A value that comes through a default is the fault of the name that was set, and may have been told there.
            let source = scope.source(name).unwrap_or_else(|| name.to_string());
            let own = settings.custom(&source).unwrap_or_default();
            let is_told = source != *name && check(super::scope::kind_of(&source), own).is_err();
            // So may one that could not be expanded.
            let is_lost = scope.raw(name).is_some_and(|raw| scope.expand(&raw).is_err());
            if is_told || is_lost {
                continue;
            }
            let text = format!("{name} = {value}: {}", wrong.expected);
            problems.push(Problem::error(self.place(&source, service), text, wrong.remedy));
        }
    }

    /// Parameters that are set and do nothing yet, or never will.
    fn judge_names(&self, service: Option<&Service>, problems: &mut Vec<Problem>) {
        let scope = self.scope(service, &[]);
        for (name, assigned) in service.map_or(&self.main, |service| &service.overrides) {
            if READ_ONLY.contains(&name.as_str()) {
                let text = format!("{name} is read-only");
                problems.push(Problem::warning(assigned.place, text, "remove the line; it has no effect"));
                continue;
            }
            let (text, remedy) = match self.works(name) {
                Some(Works::NotYet | Works::Moot) if idle::asks_nothing(&scope, name) => continue,
                Some(Works::NotYet) => (format!("not working yet: {name}"), without(name)),
                Some(Works::Moot) => (
                    format!("{name} has no effect: it tunes a part of Postfix that does not exist here"),
                    instead(name),
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
        let row = transport_row(&self.transports, name)?;
        table::row(row.fallback).map(|row| row.works)
    }
}

/// What happens where a name does not work yet.
fn without(name: &str) -> &'static str {
    match name {
        // Who asked for a command may not expect a mailbox: nothing is delivered beside it.
        "mailbox_command" | "mailbox_command_maps" => "mail of local users waits in the queue",
        _ => "the line has no effect",
    }
}

/// What to do in place of a name that tunes a part of Postfix that does not exist here.
fn instead(name: &str) -> &'static str {
    match name {
        "default_process_limit" => "write the limit into the maxproc column of each service in master.cf",
        _ if name.starts_with("postscreen_") => {
            "its tests are not made: whom they would have kept out, keep out by smtpd_client_restrictions"
        }
        _ => "nothing has to be done",
    }
}

/// A value as rooms compare it.
fn canonical(kind: Kind, value: String) -> String {
    kind.canonical(&value).map_or(value, str::to_owned)
}

fn transport(service: &Service) -> Option<(String, Delivery)> {
    match service.role {
        Role::Transport(delivery) => Some((service.name.clone(), delivery)),
        _ => None,
    }
}

fn undefined_name(place: Place, name: &str, other: &str) -> Problem {
    let text = format!("{name} refers to ${other}, which nothing defines: it counts as empty");
    let remedy = match super::check::nearest(other, table::all().map(|row| row.name)) {
        Some(near) => format!("did you mean ${near}?"),
        None => format!("define {other}, or write $$ for a dollar"),
    };
    Problem::warning(place, text, remedy)
}

/// A word of inet_interfaces that must be looked up.
fn is_host_name(word: &str) -> bool {
    !matches!(word, "all" | "loopback-only") && word.trim_matches(['[', ']']).parse::<IpAddr>().is_err()
}

/// `type:name` with a type that we know by name, and no host with a port.
fn is_table(item: &str) -> bool {
    item.split_once(':').is_some_and(|(kind, _)| {
        kind.starts_with(|c: char| c.is_ascii_lowercase()) && kind.chars().all(|c| c.is_ascii_alphanumeric())
    })
}
