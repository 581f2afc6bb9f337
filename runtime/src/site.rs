//! One snapshot of the configuration, with all that was made of it. A session keeps the one that it began with.

use crate::answers::Answers;
use crate::env::Environment;
use crate::hosts_file::HostsFile;
use crate::manager::deliberate;
use crate::record::Recording;
use crate::resolve::Resolver;
use crate::tables::{self, Tables};
use crate::tls;
use crate::trouble::told;
use postrider_core::ask::{Facts, TableName};
use postrider_core::delivery::Protocol;
use postrider_core::params::master_cf::{Delivery, Host as ListenHost, Role, Service};
use postrider_core::params::{Config, Listener, Problem, Settings};
use postrider_core::rewrite::Rewrite;
use postrider_core::tables::{Form, MatchList};
use postrider_core::time::Zone;
use postrider_core::{cleanup, dns, inbound, local, manager, outbound, report, session, submission};
use rustls::crypto::CryptoProvider;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A service of master.cf that accepts clients.
#[derive(Debug, Clone)]
pub struct Door {
    /// The rooms behind it.
    pub config: Arc<inbound::Config>,
    /// The same for clients that come while the service is under stress. A service of loopback has no stress, as with master(8):
    /// its clients are ours, a content filter most often.
    pub hurried: Arc<inbound::Config>,
    /// Certificate and key.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Where it listens.
    pub addresses: Vec<(IpAddr, u16)>,
    /// What the log calls its server.
    pub program: Arc<str>,
    /// Sessions at a time.
    pub sessions: Option<u32>,
    /// Sessions at a time of one client (`smtpd_client_connection_count_limit`).
    pub client_limit: u64,
    /// Clients without a limit of connections (`smtpd_client_event_limit_exceptions`).
    excepted: MatchList,
}

impl Door {
    /// Whether `smtpd_client_connection_count_limit` does not hold for a client. A list that can not be asked excepts nobody.
    pub async fn is_excepted<E: Environment>(&self, answers: &Answers<E>, address: IpAddr) -> bool {
        let decide = |facts: &Facts| {
            let by_address = self.excepted.matches_client("unknown", address, facts)?;
            if by_address || !self.excepted.asks_names() {
                return Ok(by_address);
            }
            let name = inbound::client_name(&self.config.session, address, facts)?;
            self.excepted.matches_client(&name, address, facts)
        };
        deliberate(answers, decide).await.unwrap_or(false)
    }
}

/// Who delivers.
#[derive(Debug, Clone)]
pub enum Agent {
    /// smtp(8), lmtp(8): over a connection.
    Remote(Arc<outbound::Config>, Arc<tls::Client>),
    /// On this host, or nowhere.
    Final(Delivery, Arc<local::Params>),
}

/// A configuration, in use.
pub struct Site<E: Environment> {
    /// As read.
    pub config: Config,
    /// Values of main.cf.
    pub settings: Settings,
    /// Tables and names.
    pub answers: Arc<Answers<E>>,
    /// Routes.
    pub rewrite: Rewrite,
    /// For mail made on this host.
    pub submission: Arc<submission::Setup>,
    /// For reports.
    pub report: report::Params,
    /// Doors by service.
    pub doors: BTreeMap<String, Door>,
    /// What is recorded where.
    pub record: Recording,
    /// Transports by name.
    pub transports: BTreeMap<String, Agent>,
}

/// Parameters whose tables say what is run or where mail goes: a client must not choose the answer.
const GUARDED: [&str; 7] = [
    "alias_maps",
    "transport_maps",
    "virtual_mailbox_maps",
    "virtual_uid_maps",
    "virtual_gid_maps",
    "sender_dependent_relayhost_maps",
    "sender_dependent_default_transport_maps",
];

/// Parameter name, and what is wrong with its value.
pub type Wrong = Vec<(String, String)>;

/// One problem of a configuration, for a person.
fn wrong(name: &str, why: impl Into<String>) -> Wrong {
    vec![(name.to_owned(), why.into())]
}

impl<E: Environment> Site<E> {
    /// Makes everything that a configuration asks for.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn new(
        env: &Arc<E>,
        provider: &Arc<CryptoProvider>,
        resolver: &Resolver,
        config: Config,
    ) -> Result<Self, Wrong> {
        let settings = config.settings(None);
        let own = config.own_addresses();
        // Who sends to an address that a translator gives us sends to us.
        let ours = ours(&config);
        let mut errors = Wrong::new();
        let mut doors = BTreeMap::new();
        let cleanup =
            take(cleanup_settings(&config, &settings), &mut errors).unwrap_or_else(|| settings.clone());
        for listener in config.listeners() {
            match door(env, provider, &config, &listener) {
                Ok(door) => _ = doors.insert(listener.service, door),
                Err(found) => errors.extend(found),
            }
        }
        let transports = transports(env, provider, &config, &mut errors);
        let rewrite = Rewrite::new(&config.settings(Some("rewrite"))).map(|mut rewrite| {
            rewrite.add_interfaces(ours.iter().copied());
            rewrite
        });
        let rewrite = take(rewrite, &mut errors);
        let submission = take(submission_setup(env, &cleanup, &own, &ours), &mut errors);
        let record = take(Recording::new(&settings), &mut errors);
        let report = report::Params::new(&config.settings(Some("bounce")));
        let (Some(rewrite), Some(submission), Some(record), true) =
            (rewrite, submission, record, errors.is_empty())
        else {
            // Each service may have met the same.
            let mut told = BTreeSet::new();
            errors.retain(|error| told.insert(error.clone()));
            return Err(errors);
        };
        let guarded = guarded_tables(&config);
        let tables = tables_of(env, &config);
        for (table, parameter) in &guarded {
            if tables.is_refused(table) {
                errors.extend(wrong(parameter, format!("{}: {}", table.0, tables::SUBSTITUTES)));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let (env, resolver, hosts) = (Arc::clone(env), resolver.clone(), HostsFile::default());
        let answers = Arc::new(Answers { env, tables, resolver, hosts });
        Ok(Self { config, settings, answers, rewrite, submission, report, doors, record, transports })
    }

    /// What is set and does not work yet, beyond whole parameters: restrictions, and levels of TLS.
    #[must_use]
    pub fn not_working(&self) -> Vec<Problem> {
        let remote = self.transports.values().filter_map(|agent| match agent {
            Agent::Remote(config, _) => Some(&**config),
            _ => None,
        });
        let mut found = outbound::doubts(&self.config, remote);
        found.extend(self.doors.values().flat_map(|door| door.config.policy.doubts(&self.config)));
        for door in self.doors.values().filter(|door| door.tls.is_none()) {
            let session = &door.config.session;
            let remedy = match session.tls_level {
                session::ServerTls::Encrypt => {
                    "without them all mail is refused: 530 Must issue a STARTTLS command first"
                }
                session::ServerTls::May => "without them STARTTLS is not offered",
                session::ServerTls::None => continue,
            };
            let what = "there is no certificate: set smtpd_tls_cert_file and smtpd_tls_key_file";
            found.insert(self.config.doubt("smtpd_tls_cert_file", what, remedy));
        }
        found.into_iter().collect()
    }

    /// What the manager must know.
    ///
    /// # Errors
    /// What is wrong.
    pub fn manager_params(&self) -> Result<manager::Params, Wrong> {
        let transports: Vec<(String, u32)> = self
            .config
            .services()
            .iter()
            .filter(|service| matches!(service.role, Role::Transport(_)))
            .map(|service| (service.name.clone(), service.limit.unwrap_or(u32::MAX)))
            .collect();
        let mut params = manager::Params::new(&self.config.settings(Some("qmgr")), &transports)?;
        params.programs = self.programs();
        Ok(params)
    }

    /// What the log calls the services.
    fn programs(&self) -> BTreeMap<String, String> {
        let ways = self.config.services().iter().filter(|one| matches!(one.role, Role::Transport(_)));
        ways.map(|one| (one.name.clone(), named(&self.config, &one.key(), &one.command))).collect()
    }
}

/// The servers to ask for names.
///
/// # Errors
/// `dns_servers` is wrong.
pub fn dns_params<E: Environment>(env: &Arc<E>, settings: &Settings) -> Result<dns::Params, Wrong> {
    let text = env.files().read(Path::new("/etc/resolv.conf")).unwrap_or_default();
    dns::Params::new(settings, &String::from_utf8_lossy(&text))
}

fn take<T>(result: Result<T, Wrong>, errors: &mut Wrong) -> Option<T> {
    result.map_err(|found| errors.extend(found)).ok()
}

/// Addresses at which mail comes to us, through translators too.
fn ours(config: &Config) -> Vec<IpAddr> {
    let mut ours = config.own_addresses();
    ours.extend(config.proxy_addresses());
    ours
}

/// Tables of `alias_maps` and `alias_database`: their text has the form `name: value`.
fn alias_tables(settings: &Settings) -> BTreeSet<TableName> {
    let maps = settings.tables("alias_maps").into_iter();
    maps.chain(settings.tables("alias_database")).map(|name| tables::bare(&name)).collect()
}

/// The tables whose answers say what is run or where mail goes, with the parameter that names them.
fn guarded_tables(config: &Config) -> BTreeMap<TableName, &'static str> {
    let mut guarded = BTreeMap::new();
    let services = config.services().iter().map(|service| Some(service.key()));
    for service in std::iter::once(None).chain(services) {
        let settings = config.settings(service.as_deref());
        for parameter in GUARDED {
            let tables = settings.tables(parameter).into_iter();
            guarded.extend(tables.map(|table| (table, parameter)));
        }
    }
    guarded
}

/// The rooms behind a door of these settings, as far as the configuration alone says: also for who takes decisions again.
///
/// # Errors
/// All that is wrong with it.
pub fn rooms(
    config: &Config,
    settings: &Settings,
    tls_ready: bool,
    zone: &Zone,
) -> Result<inbound::Config, Wrong> {
    let cleanup = cleanup_settings(config, settings)?;
    let mut rooms = inbound::Config::new(settings, tls_ready)?;
    rooms.cleanup = cleanup_params(&cleanup, &config.own_addresses(), zone)?;
    rooms.rewrite.add_interfaces(ours(config));
    Ok(rooms)
}

/// The settings of the cleanup service that a service's mail goes to.
fn cleanup_settings(config: &Config, settings: &Settings) -> Result<Settings, Wrong> {
    let name = settings.text("cleanup_service_name");
    // Its usual name needs no line in master.cf: it is no process here.
    if name != "cleanup" && config.service(name).is_none_or(|service| service.command != "cleanup") {
        let why =
            format!("master.cf has no service {name} with the command cleanup; add one, or use cleanup");
        return Err(wrong("cleanup_service_name", why));
    }
    Ok(config.settings(Some(name)))
}

fn cleanup_params(settings: &Settings, own: &[IpAddr], zone: &Zone) -> Result<cleanup::Params, Wrong> {
    let mut params = cleanup::Params::new(settings)?;
    params.zone = zone.clone();
    params.interfaces.extend(own);
    Ok(params)
}

fn submission_setup<E: Environment>(
    env: &Arc<E>,
    settings: &Settings,
    own: &[IpAddr],
    ours: &[IpAddr],
) -> Result<Arc<submission::Setup>, Wrong> {
    let mut setup = submission::Setup::new(settings)?;
    setup.cleanup = cleanup_params(settings, own, env.zone())?;
    setup.rewrite.add_interfaces(ours.iter().copied());
    Ok(Arc::new(setup))
}

/// A command, behind what the `syslog_name` of its service adds to the main one.
fn named(config: &Config, key: &str, command: &str) -> String {
    let (main, own) = (config.settings(None), config.settings(Some(key)));
    let more = own.text("syslog_name").strip_prefix(main.text("syslog_name")).unwrap_or_default();
    more.strip_prefix('/').map(|more| format!("{more}/")).unwrap_or_default() + command
}

fn door<E: Environment>(
    env: &Arc<E>,
    provider: &Arc<CryptoProvider>,
    config: &Config,
    listener: &Listener,
) -> Result<Door, Wrong> {
    let settings = &config.settings(Some(&listener.settings));
    let own = config.own_addresses();
    let tls = server_tls(env, provider, settings)?;
    let usual = Arc::new(rooms(config, settings, tls.is_some(), env.zone())?);
    // As for master(8), which opens the sockets, it is main.cf that counts.
    let main = &config.settings(None);
    let addresses = match &listener.host {
        ListenHost::Interfaces => everywhere(main, &own).unwrap_or(own),
        ListenHost::Address(address) => vec![*address],
        ListenHost::Name(name) => config.own_protocols(config.addresses_of(name)),
    };
    if addresses.is_empty() {
        let why = "no address of this host remains to listen on; check inet_interfaces and inet_protocols";
        return Err(wrong("inet_interfaces", why));
    }
    let hurried = if addresses.iter().all(IpAddr::is_loopback) {
        Arc::clone(&usual)
    } else {
        let settings = &config.settings_under_stress(Some(&listener.settings));
        Arc::new(rooms(config, settings, tls.is_some(), env.zone())?)
    };
    let excepted = settings.text("smtpd_client_event_limit_exceptions");
    let parents = settings.list("parent_domain_matches_subdomains");
    let parents = parents.iter().any(|item| item == "smtpd_client_event_limit_exceptions");
    let excepted = MatchList::parse(excepted, Form::Clients, parents)
        .map_err(|why| wrong("smtpd_client_event_limit_exceptions", why))?;
    let addresses = addresses.into_iter().map(|address| (address, listener.port)).collect();
    let client_limit = settings.number("smtpd_client_connection_count_limit");
    let (program, sessions) = (named(config, &listener.settings, "smtpd").into(), listener.sessions);
    Ok(Door { config: usual, hurried, tls, addresses, program, sessions, client_limit, excepted })
}

/// `inet_interfaces = all` listens on the wildcard, so that an interface that comes up later is served.
fn everywhere(settings: &Settings, own: &[IpAddr]) -> Option<Vec<IpAddr>> {
    if settings.list("inet_interfaces") != ["all"] {
        return None;
    }
    let wildcards = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    // A protocol that inet_protocols leaves out, or that this host does not have, has no address here.
    let used = |wildcard: &IpAddr| own.iter().any(|address| address.is_ipv4() == wildcard.is_ipv4());
    Some(wildcards.into_iter().filter(used).collect())
}

fn read<E: Environment>(env: &Arc<E>, name: &str, path: &str) -> Result<Vec<u8>, Wrong> {
    env.files().read(Path::new(path)).map_err(|error| wrong(name, format!("{path}: {}", told(&error))))
}

fn server_tls<E: Environment>(
    env: &Arc<E>,
    provider: &Arc<CryptoProvider>,
    settings: &Settings,
) -> Result<Option<Arc<rustls::ServerConfig>>, Wrong> {
    let wanted = session::ServerTls::is_wanted(settings);
    let (chain, key) = (settings.text("smtpd_tls_cert_file"), settings.text("smtpd_tls_key_file"));
    if !wanted || chain.is_empty() || chain == "none" {
        return Ok(None);
    }
    let certificates = read(env, "smtpd_tls_cert_file", chain)?;
    let private = read(env, "smtpd_tls_key_file", key)?;
    tls::server_config(provider, &certificates, &private)
        .map(Some)
        .map_err(|why| wrong("smtpd_tls_cert_file", format!("{chain}, {key}: {why}")))
}

fn client_tls<E: Environment>(
    env: &Arc<E>,
    provider: &Arc<CryptoProvider>,
    settings: &Settings,
    protocol: Protocol,
) -> Result<Arc<tls::Client>, Wrong> {
    let (file, directory) = match protocol {
        Protocol::Smtp => (settings.text("smtp_tls_CAfile"), settings.text("smtp_tls_CApath")),
        Protocol::Lmtp => (settings.text("lmtp_tls_CAfile"), settings.text("lmtp_tls_CApath")),
    };
    let mut roots = Vec::new();
    if !file.is_empty() {
        roots.push(read(env, "smtp_tls_CAfile", file)?);
    }
    if !directory.is_empty() {
        let files = env.files().list(Path::new(directory));
        let files =
            files.map_err(|error| wrong("smtp_tls_CApath", format!("{directory}: {}", told(&error))))?;
        roots.extend(files.iter().filter_map(|path| env.files().read(path).ok()));
    }
    tls::Client::new(provider, &roots).map(Arc::new).map_err(|why| wrong("smtp_tls_CAfile", why))
}

fn transports<E: Environment>(
    env: &Arc<E>,
    provider: &Arc<CryptoProvider>,
    config: &Config,
    errors: &mut Wrong,
) -> BTreeMap<String, Agent> {
    let mut transports = BTreeMap::new();
    for service in config.services() {
        let Role::Transport(delivery) = service.role else { continue };
        match agent(env, provider, config, service, delivery) {
            Ok(Some(agent)) => _ = transports.insert(service.name.clone(), agent),
            Ok(None) => {}
            Err(found) => errors.extend(found),
        }
    }
    transports
}

fn agent<E: Environment>(
    env: &Arc<E>,
    provider: &Arc<CryptoProvider>,
    config: &Config,
    service: &Service,
    delivery: Delivery,
) -> Result<Option<Agent>, Wrong> {
    let settings = &config.settings(Some(&service.key()));
    let protocol = match delivery {
        Delivery::Smtp | Delivery::Lmtp => Protocol::of_command(&service.command),
        // A transport that does not work yet keeps its mail: the manager defers it.
        Delivery::Pipe | Delivery::Spawn => return Ok(None),
        Delivery::Local | Delivery::Virtual | Delivery::Error | Delivery::Discard => {
            let params = local::Params::new(settings)?;
            return Ok(Some(Agent::Final(delivery, Arc::new(params))));
        }
    };
    let Some(protocol) = protocol else { return Ok(None) };
    let client = client_tls(env, provider, settings, protocol)?;
    let client_config = outbound::Config::new(settings, protocol, ours(config))
        .sending_from(&config.own_addresses_of(settings));
    Ok(Some(Agent::Remote(Arc::new(client_config), client)))
}

/// The tables of a configuration; none is read yet.
pub fn tables_of<E: Environment>(env: &Arc<E>, config: &Config) -> Tables<E> {
    let settings = config.settings(None);
    let base = PathBuf::from(settings.text("config_directory"));
    let guarded = guarded_tables(config).keys().map(tables::bare).collect();
    Tables::new(Arc::clone(env), alias_tables(&settings), guarded, base)
}
