//! A configuration, and what core's rooms made of it.

use super::broken;
use crate::network::NodeId;
use postrider_core::ask::{TableFailure, TableName};
use postrider_core::delivery::Protocol;
use postrider_core::params::master_cf::{Delivery, Role};
use postrider_core::params::{Config, Host, Problem, Settings, Severity};
use postrider_core::rewrite::Rewrite;
use postrider_core::tables::Table;
use postrider_core::time::Duration;
use postrider_core::{cleanup, dns, inbound, manager, outbound, queue, report, submission};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What is wrong with a configuration.
pub type Wrong = Vec<(String, String)>;

/// Who delivers.
#[derive(Debug, Clone)]
pub(super) enum Agent {
    /// smtp, lmtp.
    Remote(Arc<outbound::Config>),
    /// error (`false`) and retry (`true`).
    Error(bool),
    /// discard.
    Discard,
    /// local, virtual: taken for done.
    Here,
}

/// One configuration in use.
#[derive(Debug)]
pub struct Site {
    pub(super) door: Arc<inbound::Config>,
    pub(super) manager: manager::Params,
    pub(super) dns: dns::Params,
    /// Sizes of the log.
    pub queue: queue::Params,
    pub(super) transports: BTreeMap<String, Agent>,
    pub(super) rewrite: Rewrite,
    pub(super) submission: Arc<submission::Setup>,
    pub(super) report: report::Params,
    pub(super) concurrency: usize,
    /// Between the end of an attempt and the beginning of the next for the same destination.
    pub(super) pause: Duration,
    /// Lifetimes of mail and of reports.
    pub(super) lifetimes: (Duration, Duration),
    /// Octets of a message; larger ones are refused.
    pub(super) size_limit: u64,
    /// Transports that count each recipient as a destination of its own.
    pub(super) by_recipient: Vec<String>,
    /// Mail must not leave in the clear.
    pub(super) encrypts: bool,
    /// It hands its mail to another host, or tries fewer servers than there may be.
    pub(super) relays: bool,
    pub(super) node: u16,
    pub(super) address: IpAddr,
    /// Lookup tables by their whole name.
    pub tables: BTreeMap<String, BTreeMap<String, String>>,
    /// Tables of files, as core's engines have compiled them.
    pub compiled: BTreeMap<String, Arc<Table>>,
    /// Where sockets of the file system lead.
    pub sockets: BTreeMap<String, SocketAddr>,
    /// And those that are not there.
    pub other_sockets: Option<SocketAddr>,
}

impl Site {
    /// Reads main.cf and master.cf for a host of this name and address.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn new(name: &str, address: IpAddr, node: NodeId, main: &str, master: &str) -> Result<Self, Wrong> {
        let host = Host { hostname: name.to_owned(), interfaces: vec![(address, 32)], ..Host::default() };
        let (config, problems) = Config::read(main, master, host);
        let errors: Wrong = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(|problem| ("main.cf".to_owned(), problem.to_string()))
            .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        // The ledger counts what a host does at once for a destination by one number for all transports, and one pause.
        let settings = config.settings(None);
        let concurrency = settings.number("default_destination_concurrency_limit");
        let mut site = Self::of(&config, address, node, "", false)?;
        site.pause = settings.time("default_destination_rate_delay");
        site.concurrency = match usize::try_from(concurrency) {
            // Where there is a pause between attempts there is one at a time.
            Ok(limit) if site.pause.is_zero() => limit,
            _ => 1,
        };
        site.tables = tables(main);
        Ok(site)
    }

    /// Makes a host of a configuration. `here`: mail for this host itself is delivered at once; otherwise nobody does that, and it waits.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn of(
        config: &Config,
        address: IpAddr,
        node: NodeId,
        resolv_conf: &str,
        here: bool,
    ) -> Result<Self, Wrong> {
        let own = config.own_addresses();
        let values = Values { config, main: config.settings(None) };
        let settings = &values.main;
        let listeners = config.listeners();
        let listener = listeners.iter().find(|listener| listener.port == 25).or(listeners.first());
        let front = values.of(listener.map_or("", |listener| &listener.settings));
        let cleaner = values.of(settings.text("cleanup_service_name"));
        let mut cleanup = cleanup::Params::new(&cleaner)?;
        cleanup.interfaces.extend(&own);
        let mut door = inbound::Config::new(&front, false)?;
        door.cleanup = cleanup.clone();
        door.rewrite.add_interfaces(own.iter().copied());
        let mut submission = submission::Setup::new(&cleaner)?;
        submission.cleanup = cleanup;
        submission.rewrite.add_interfaces(own.iter().copied());
        let mut rewrite = Rewrite::new(&values.of("rewrite"))?;
        rewrite.add_interfaces(own.iter().copied());
        let services: Vec<(String, u32)> = config
            .services()
            .iter()
            .filter(|service| matches!(service.role, Role::Transport(_)))
            .map(|service| (service.name.clone(), service.limit.unwrap_or(u32::MAX)))
            .collect();
        let manager = manager::Params::new(&values.of("qmgr"), &services)?;
        Ok(Self {
            door: Arc::new(door),
            lifetimes: (manager.retry.lifetime, manager.retry.bounce_lifetime),
            manager,
            dns: dns::Params::new(settings, resolv_conf)?,
            queue: queue::Params::new(settings),
            transports: transports(&values, &own, here),
            rewrite,
            submission: Arc::new(submission),
            report: report::Params::new(&values.of("bounce")),
            concurrency: usize::MAX,
            pause: Duration::ZERO,
            size_limit: match settings.number("message_size_limit") {
                0 => u64::MAX,
                limit => limit,
            },
            by_recipient: ["smtp", "lmtp", "relay"]
                .map(str::to_owned)
                .into_iter()
                .filter(|name| settings.number(&format!("{name}_destination_recipient_limit")) == 1)
                .collect(),
            relays: !settings.text("relayhost").is_empty() || settings.number("smtp_mx_address_limit") < 5,
            encrypts: settings.text("smtp_tls_security_level") == "encrypt",
            node: node.0,
            address,
            tables: BTreeMap::new(),
            compiled: BTreeMap::new(),
            sockets: BTreeMap::new(),
            other_sockets: None,
        })
    }

    /// What of its configuration does not work yet, beyond whole parameters.
    #[must_use]
    pub fn doubts(&self, config: &Config) -> Vec<Problem> {
        let remote = self.transports.values().filter_map(|agent| match agent {
            Agent::Remote(config) => Some(&**config),
            _ => None,
        });
        outbound::doubts(config, remote).into_iter().chain(self.door.policy.doubts(config)).collect()
    }

    /// Its transports, with configurations of their own: a reload makes new ones, though no value may have changed.
    pub(super) fn fresh_transports(&self) -> BTreeMap<String, Agent> {
        let fresh = |agent: &Agent| match agent {
            Agent::Remote(config) => Agent::Remote(Arc::new((**config).clone())),
            other => other.clone(),
        };
        self.transports.iter().map(|(name, agent)| (name.clone(), fresh(agent))).collect()
    }

    pub(super) fn lookup(&self, table: &TableName, key: &str) -> Result<Option<String>, TableFailure> {
        if let Some(entries) = self.tables.get(&table.0) {
            return Ok(entries.get(key).cloned());
        }
        let compiled = self.compiled.get(&table.0).ok_or_else(|| broken(table))?;
        compiled.lookup(key).map_err(|why| TableFailure { table: table.clone(), why })
    }

    /// Where a socket of the file system leads.
    pub(super) fn socket(&self, path: &str) -> Option<SocketAddr> {
        self.sockets.get(path).copied().or(self.other_sockets)
    }
}

/// The inline tables of a main.cf: `inline:{ key=value }`.
fn tables(main: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut tables = BTreeMap::new();
    for part in main.split("inline:{").skip(1) {
        let Some((entries, _)) = part.split_once('}') else { continue };
        let pairs = entries.split_whitespace().filter_map(|entry| entry.split_once('='));
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        tables.insert(format!("inline:{{{entries}}}"), pairs.collect());
    }
    tables
}

/// The values of main.cf, and those of services that have some of their own: reading all for each service would cost more than
/// many a story.
struct Values<'a> {
    config: &'a Config,
    main: Settings,
}

impl Values<'_> {
    fn of(&self, service: &str) -> Settings {
        match self.config.service(service).filter(|service| !service.overrides.is_empty()) {
            Some(service) => self.config.settings(Some(&service.key())),
            None => self.main.clone(),
        }
    }
}

fn transports(values: &Values<'_>, own: &[IpAddr], here: bool) -> BTreeMap<String, Agent> {
    let mut transports = BTreeMap::new();
    for service in values.config.services() {
        let Role::Transport(delivery) = service.role else { continue };
        let remote = |protocol| {
            let settings = values.of(&service.key());
            Agent::Remote(Arc::new(outbound::Config::new(&settings, protocol, own.to_vec())))
        };
        let agent = match delivery {
            Delivery::Smtp | Delivery::Lmtp => Protocol::of_command(&service.command).map(remote),
            Delivery::Error => Some(Agent::Error(service.name == "retry")),
            Delivery::Discard => Some(Agent::Discard),
            Delivery::Local | Delivery::Virtual if here => Some(Agent::Here),
            _ => None,
        };
        if let Some(agent) = agent {
            transports.insert(service.name.clone(), agent);
        }
    }
    transports
}
