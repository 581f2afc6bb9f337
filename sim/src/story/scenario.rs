//! A story as data: all that a seed draws, so that it can be kept, read, and made smaller.

use super::address;
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
    /// Those of another one, that an operator may have it use; none: there is no other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other: Vec<String>,
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
    /// What the first sends never reaches the second; one of them is a host, the other a server.
    Silent(NodeId, NodeId),
    /// The server keeps its manners.
    Manners(NodeId),
    /// The name server keeps its humour.
    Humour(NodeId),
    /// The usual path stays as it is.
    Path,
}

impl Lasting {
    /// All mail can be delivered nevertheless.
    #[must_use]
    pub const fn is_mild(self) -> bool {
        matches!(self, Self::Humour(_) | Self::Path)
    }

    /// A server that some host does not reach, or that takes nothing.
    fn breaks(self, server: NodeId) -> bool {
        match self {
            Self::Off(node) | Self::Refuses(node) | Self::Unreachable(node) => node == server,
            Self::Silent(from, to) => from == server || to == server,
            Self::Manners(_) | Self::Humour(_) | Self::Path => false,
        }
    }
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

/// Of a path that is slower nobody can say that connections over it come about in time.
const QUICK: u64 = 200_000;

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

    /// Domains with an exchanger that works once the world has healed, by what zones say in the end. What is left out is not
    /// unreachable: only, nobody can say that it is reached in time.
    #[must_use]
    pub fn reachable(&self) -> BTreeSet<String> {
        if self.lasting.contains(&Lasting::Path) && self.usual.latency.1 > QUICK {
            return BTreeSet::new();
        }
        let names = self.zones.entries.keys();
        names.filter(|name| self.is_reachable(name)).cloned().collect()
    }

    fn is_reachable(&self, domain: &str) -> bool {
        let entries = self.zones.at(domain, u64::MAX).unwrap_or_default();
        let servers = || entries.iter().filter_map(|(_, entry)| self.exchanger(entry));
        let works = |node: NodeId| !self.lasting.iter().any(|lasting| lasting.breaks(node));
        // A session with it may be the only one that an attempt is allowed, and comes to nothing.
        if servers().any(|node| self.lasting.contains(&Lasting::Manners(node))) {
            return false;
        }
        // Who hears of some of them, or in another order, may always hear of those that do not work.
        if self.lasting.iter().any(|lasting| self.is_fickle(*lasting)) {
            return servers().next().is_some() && servers().all(works);
        }
        servers().any(works)
    }

    /// A name server that says other exchangers for good.
    fn is_fickle(&self, lasting: Lasting) -> bool {
        let Lasting::Humour(node) = lasting else { return false };
        self.names.get(usize::from(node.0)).is_some_and(|humour| humour.changes > 0)
    }

    /// The server behind an exchanger, in the end.
    fn exchanger(&self, entry: &Entry) -> Option<NodeId> {
        let Entry::Mx(_, name) = entry else { return None };
        let at = self.zones.at(name, u64::MAX)?.iter().find_map(|(_, entry)| match entry {
            Entry::Address(at) => Some(*at),
            _ => None,
        })?;
        let nodes = self.server_nodes();
        nodes.into_iter().enumerate().find(|(number, _)| address(1, *number) == at).map(|(_, node)| node)
    }

    /// Letters that are handed in.
    #[must_use]
    pub fn letters(&self) -> usize {
        self.clients.iter().map(|client| client.letters.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Wish, draw};
    use super::*;
    use crate::names::{Change, Zones};

    /// Two servers and one that speaks LMTP behind two name servers; `d.sim` has both, `e.sim` the second.
    fn scenario() -> Scenario {
        let mut scenario = draw(1, Wish { calm: true, ..Wish::default() });
        scenario.names = vec![Humour::default(), Humour { changes: 100, ..Humour::default() }];
        scenario.servers = vec![Manners::default(); 3];
        scenario.zones = Zones::default();
        for number in 0..2 {
            scenario.zones.add(&format!("mx{number}.sim"), 60, Entry::Address(address(1, number)));
            scenario.zones.add("d.sim", 60, Entry::Mx(10, format!("mx{number}.sim")));
        }
        scenario.zones.add("e.sim", 60, Entry::Mx(10, "mx1.sim".to_owned()));
        scenario
    }

    fn reachable(lasting: &[Lasting], change: Option<(&str, Entry)>) -> Vec<String> {
        let mut scenario = scenario();
        scenario.lasting = lasting.to_vec();
        let changes =
            change.map(|(name, entry)| Change { at: 5, name: name.into(), entries: vec![(60, entry)] });
        scenario.zones.changes.extend(changes);
        scenario.reachable().into_iter().collect()
    }

    #[test]
    fn a_domain_is_reachable_while_what_lasts_leaves_it_an_exchanger() {
        let (first, second, host) = (NodeId(2), NodeId(3), NodeId(5));
        assert_eq!(reachable(&[], None), ["d.sim", "e.sim"]);
        assert_eq!(reachable(&[Lasting::Path, Lasting::Humour(NodeId(1))], None), ["d.sim", "e.sim"]);
        for lasting in [Lasting::Off(second), Lasting::Silent(host, second), Lasting::Silent(second, host)] {
            assert_eq!(reachable(&[lasting], None), ["d.sim"], "{lasting:?}");
            assert_eq!(reachable(&[lasting, Lasting::Humour(NodeId(1))], None), Vec::<String>::new());
        }
        assert_eq!(reachable(&[Lasting::Manners(first)], None), ["e.sim"], "one session may be all it gets");
    }

    #[test]
    fn what_zones_say_in_the_end_decides() {
        let moved = Some(("mx1.sim", Entry::Address(address(1, 0))));
        assert_eq!(reachable(&[Lasting::Off(NodeId(3))], moved), ["d.sim", "e.sim"]);
        let nobody = Some(("mx1.sim", Entry::Address(address(9, 0))));
        assert_eq!(reachable(&[Lasting::Path], nobody), ["d.sim"]);
        let other = Some(("e.sim", Entry::Mx(10, "mx0.sim".to_owned())));
        assert_eq!(reachable(&[Lasting::Off(NodeId(2))], other), ["d.sim"]);
    }

    #[test]
    fn over_a_slow_path_nothing_is_known_to_be_reached_in_time() {
        let mut scenario = scenario();
        scenario.lasting = vec![Lasting::Path];
        scenario.usual.latency.1 = 3_000_000;
        assert!(scenario.reachable().is_empty());
    }
}
