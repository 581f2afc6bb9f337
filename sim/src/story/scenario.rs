//! A story as data: all that a seed draws, so that it can be kept, read, and made smaller.

use crate::faults::Class;
use crate::names::{Entry, Humour, Zones};
use crate::network::{Cutting, Link, NodeId};
use crate::peers::{Habits, Manners, Plan};
use crate::world::Fault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A story before it is told. Machines are numbered in the order name servers, servers, hosts, clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// Of all chance while it is told.
    pub seed: u64,
    /// Seconds until the world heals.
    pub safety: u64,
    /// How streams are cut.
    pub cutting: Cutting,
    /// The path between any two machines.
    pub usual: Link,
    /// Paths of their own, one way.
    pub links: Vec<(NodeId, NodeId, Link)>,
    /// What names mean.
    pub zones: Zones,
    /// Name servers.
    pub names: Vec<Humour>,
    /// Mail servers.
    pub servers: Vec<Manners>,
    /// Hosts.
    pub hosts: Vec<HostPlan>,
    /// Clients and their letters.
    pub clients: Vec<ClientPlan>,
    /// What goes wrong, and when.
    pub troubles: Vec<Trouble>,
    /// What stays broken for good once the world has healed.
    pub lasting: Vec<Lasting>,
    /// An operator flushes the queues when the world has healed.
    pub flush: bool,
    /// Disks say that they have synced, and have not: the oracle must notice.
    pub lying_disks: bool,
}

/// A Postrider host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPlan {
    /// The lines of its main.cf.
    pub main: Vec<String>,
    /// Octets of its disk.
    pub disk: u64,
    /// Octets of a segment of its log.
    pub segment: u64,
}

/// A client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientPlan {
    /// The number of the host that it speaks with.
    pub host: usize,
    /// How it behaves.
    pub habits: Habits,
    /// What it hands in.
    pub letters: Vec<Plan>,
}

/// Something that goes wrong, and when it ends, if it does so by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// In microseconds.
    pub at: u64,
    /// What.
    pub fault: Fault,
    /// Its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<(u64, Fault)>,
}

/// What stays broken for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lasting {
    /// The machine is down.
    Off(NodeId),
    /// The server refuses everything for now.
    Refuses(NodeId),
    /// No host reaches the server.
    Unreachable(NodeId),
}

/// How the first host ends in a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// It loses power while its disk carries out an operation.
    AtOperation,
    /// Its process ends between two effects.
    Kill,
    /// It loses power between two effects.
    Power,
}

impl Crash {
    /// The class that fires when it has happened.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::AtOperation => Class::CrashAtOperation,
            Self::Kill | Self::Power => Class::CrashAtEffect,
        }
    }
}

impl Scenario {
    /// The first host ends so once it has carried out so many operations or effects since the very beginning.
    pub fn crash(&mut self, how: Crash, count: u64) {
        let Some(&host) = self.host_nodes().first() else { return };
        let fault = match how {
            Crash::AtOperation => Fault::CrashAtOperation(host, count),
            Crash::Kill => Fault::CrashAtEffect(host, count, false),
            Crash::Power => Fault::CrashAtEffect(host, count, true),
        };
        self.troubles.push(Trouble { at: 0, fault, end: None });
    }

    /// Leaves so many letters and no others, and all of them are handed to the first host.
    pub fn shorten(&mut self, letters: usize) {
        let mut left = letters;
        for client in &mut self.clients {
            client.host = 0;
            client.letters.truncate(left);
            left -= client.letters.len();
        }
    }

    fn node(number: usize) -> NodeId {
        NodeId(u16::try_from(number).unwrap_or(u16::MAX))
    }

    /// How many machines there are.
    #[must_use]
    pub fn machines(&self) -> u16 {
        let count = self.names.len() + self.servers.len() + self.hosts.len() + self.clients.len();
        u16::try_from(count).unwrap_or(u16::MAX)
    }

    /// The name servers.
    #[must_use]
    pub fn name_nodes(&self) -> Vec<NodeId> {
        (0..self.names.len()).map(Self::node).collect()
    }

    /// The mail servers.
    #[must_use]
    pub fn server_nodes(&self) -> Vec<NodeId> {
        let first = self.names.len();
        (first..first + self.servers.len()).map(Self::node).collect()
    }

    /// The hosts.
    #[must_use]
    pub fn host_nodes(&self) -> Vec<NodeId> {
        let first = self.names.len() + self.servers.len();
        (first..first + self.hosts.len()).map(Self::node).collect()
    }

    /// Domains with an exchanger that works once the world has healed.
    #[must_use]
    pub fn reachable(&self) -> BTreeSet<String> {
        let broken: BTreeSet<NodeId> = self
            .lasting
            .iter()
            .map(|lasting| match *lasting {
                Lasting::Off(node) | Lasting::Refuses(node) | Lasting::Unreachable(node) => node,
            })
            .collect();
        let nodes = self.server_nodes();
        let works = |entry: &Entry| {
            let Entry::Mx(_, name) = entry else { return false };
            let number = name.strip_prefix("mx").and_then(|rest| rest.strip_suffix(".sim"));
            let number: Option<usize> = number.and_then(|number| number.parse().ok());
            number.and_then(|number| nodes.get(number)).is_some_and(|node| !broken.contains(node))
        };
        let domains = self.zones.entries.iter().filter(|(_, all)| all.iter().any(|(_, entry)| works(entry)));
        domains.map(|(domain, _)| domain.clone()).collect()
    }

    /// Letters that are handed in.
    #[must_use]
    pub fn letters(&self) -> usize {
        self.clients.iter().map(|client| client.letters.len()).sum()
    }
}
