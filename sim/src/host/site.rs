//! A configuration, and what core's rooms made of it.

use super::broken;
use crate::network::NodeId;
use postrider_core::ask::{TableFailure, TableName};
use postrider_core::delivery::Protocol;
use postrider_core::params::master_cf::{Delivery, Role};
use postrider_core::params::{Config, Host, Severity};
use postrider_core::rewrite::Rewrite;
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
        let settings = config.settings(None);
        let cleanup_settings = config.settings(Some("cleanup"));
        let mut cleanup = cleanup::Params::new(&cleanup_settings)?;
        cleanup.interfaces.extend(&own);
        let mut door = inbound::Config::new(&config.settings(Some("smtp")), false)?;
        door.cleanup = cleanup.clone();
        door.rewrite.add_interfaces(own.iter().copied());
        let mut submission = submission::Setup::new(&cleanup_settings)?;
        submission.cleanup = cleanup;
        submission.rewrite.add_interfaces(own.iter().copied());
        let mut rewrite = Rewrite::new(&config.settings(Some("rewrite")))?;
        rewrite.add_interfaces(own.iter().copied());
        let services: Vec<(String, u32)> = config
            .services()
            .iter()
            .filter(|service| matches!(service.role, Role::Transport(_)))
            .map(|service| (service.name.clone(), service.limit.unwrap_or(u32::MAX)))
            .collect();
        Ok(Self {
            door: Arc::new(door),
            manager: manager::Params::new(&config.settings(Some("qmgr")), &services)?,
            dns: dns::Params::new(&settings, "")?,
            queue: queue::Params::new(&settings),
            transports: transports(&config, &own),
            rewrite,
            submission: Arc::new(submission),
            report: report::Params::new(&config.settings(Some("bounce"))),
            concurrency: usize::try_from(settings.number("default_destination_concurrency_limit"))
                .unwrap_or(20),
            node: node.0,
            address,
            tables: BTreeMap::new(),
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

fn transports(config: &Config, own: &[IpAddr]) -> BTreeMap<String, Agent> {
    let mut transports = BTreeMap::new();
    for service in config.services() {
        let Role::Transport(delivery) = service.role else { continue };
        let settings = config.settings(Some(&service.key()));
        let remote =
            |protocol| Agent::Remote(Arc::new(outbound::Config::new(&settings, protocol, own.to_vec())));
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
