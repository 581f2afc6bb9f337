//! A configuration, and what core's rooms made of it.

use super::broken;
use crate::network::NodeId;
use postrider_core::ask::{TableFailure, TableName};
use postrider_core::delivery::Protocol;
use postrider_core::params::master_cf::{Delivery, Role};
use postrider_core::params::{Config, Host, Settings, Severity};
use postrider_core::rewrite::Rewrite;
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
    /// Where sockets of the file system lead.
    pub sockets: BTreeMap<String, SocketAddr>,
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
        let own = config.own_addresses();
        // No service of the simulation has values of its own: one reading serves all.
        let settings = config.settings(None);
        let mut cleanup = cleanup::Params::new(&settings)?;
        cleanup.interfaces.extend(&own);
        let mut door = inbound::Config::new(&settings, false)?;
        door.cleanup = cleanup.clone();
        door.rewrite.add_interfaces(own.iter().copied());
        let mut submission = submission::Setup::new(&settings)?;
        submission.cleanup = cleanup;
        submission.rewrite.add_interfaces(own.iter().copied());
        let mut rewrite = Rewrite::new(&settings)?;
        rewrite.add_interfaces(own.iter().copied());
        let services: Vec<(String, u32)> = config
            .services()
            .iter()
            .filter(|service| matches!(service.role, Role::Transport(_)))
            .map(|service| (service.name.clone(), service.limit.unwrap_or(u32::MAX)))
            .collect();
        let manager = manager::Params::new(&settings, &services)?;
        Ok(Self {
            door: Arc::new(door),
            lifetimes: (manager.retry.lifetime, manager.retry.bounce_lifetime),
            manager,
            dns: dns::Params::new(&settings, "")?,
            queue: queue::Params::new(&settings),
            transports: transports(&config, &settings, &own),
            rewrite,
            submission: Arc::new(submission),
            report: report::Params::new(&settings),
            concurrency: usize::try_from(settings.number("default_destination_concurrency_limit"))
                .unwrap_or(20),
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
            tables: tables(main),
            sockets: BTreeMap::new(),
        })
    }

    pub(super) fn lookup(&self, table: &TableName, key: &str) -> Result<Option<String>, TableFailure> {
        match self.tables.get(&table.0) {
            Some(entries) => Ok(entries.get(key).cloned()),
            None => Err(broken(table)),
        }
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

fn transports(config: &Config, settings: &Settings, own: &[IpAddr]) -> BTreeMap<String, Agent> {
    let mut transports = BTreeMap::new();
    for service in config.services() {
        let Role::Transport(delivery) = service.role else { continue };
        let remote =
            |protocol| Agent::Remote(Arc::new(outbound::Config::new(settings, protocol, own.to_vec())));
        let agent = match delivery {
            Delivery::Smtp | Delivery::Lmtp => Protocol::of_command(&service.command).map(remote),
            Delivery::Error => Some(Agent::Error(service.name == "retry")),
            Delivery::Discard => Some(Agent::Discard),
            _ => None,
        };
        if let Some(agent) = agent {
            transports.insert(service.name.clone(), agent);
        }
    }
    transports
}
