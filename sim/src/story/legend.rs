//! Who is who in a story: machines have numbers, and people want names.

use super::address;
use super::scenario::Scenario;
use crate::names::Entry;
use std::fmt::Write as _;
use std::net::IpAddr;

/// A machine, for people.
#[derive(Debug, PartialEq, Eq)]
struct Entrant {
    kind: &'static str,
    name: String,
    address: IpAddr,
}

impl Scenario {
    /// How the machines are called, in the order of their numbers: hosts and exchangers as zones call them at the beginning.
    #[must_use]
    pub fn called(&self) -> Vec<String> {
        self.entrants().into_iter().map(|entrant| entrant.name).collect()
    }

    /// A line for each machine: its number, what it is, its name and its address.
    #[must_use]
    pub fn legend(&self) -> String {
        self.entrants().iter().enumerate().fold(String::new(), |mut text, (number, entrant)| {
            let Entrant { kind, name, address } = entrant;
            _ = writeln!(text, "machine [{number}] {kind} {name} {address}");
            text
        })
    }

    fn entrants(&self) -> Vec<Entrant> {
        let all = |class, kind, count| (0..count).map(move |number| (kind, address(class, number), number));
        all(0, "name server", self.names.len())
            .chain(all(1, "server", self.servers.len()))
            .chain(all(2, "host", self.hosts.len()))
            .chain(all(3, "client", self.clients.len()))
            .map(|(kind, address, number)| {
                let (kind, plain) = match kind {
                    "server" if self.servers[number].lmtp => ("LMTP server", format!("lmtp{number}")),
                    "name server" => (kind, format!("ns{number}")),
                    "host" => (kind, format!("host{number}.sim")),
                    _ => (kind, format!("{kind}{number}")),
                };
                Entrant { kind, name: self.exchanger_at(address).map_or(plain, str::to_owned), address }
            })
            .collect()
    }

    /// The name of an exchanger, where zones have one for this address: the longest, for a domain may be an address as well.
    fn exchanger_at(&self, wanted: IpAddr) -> Option<&str> {
        let has =
            |entries: &[(u32, Entry)]| entries.iter().any(|(_, entry)| *entry == Entry::Address(wanted));
        let names =
            self.zones.entries.iter().filter(|(_, entries)| has(entries)).map(|(name, _)| name.as_str());
        names.max_by_key(|name| name.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Wish, draw};

    #[test]
    fn each_machine_has_a_line() {
        for seed in 0..20 {
            let scenario = draw(seed, Wish::default());
            let legend = scenario.legend();
            assert_eq!(legend.lines().count(), usize::from(scenario.machines()), "{legend}");
            assert_eq!(scenario.called().len(), usize::from(scenario.machines()));
            let host = format!("machine [{}] host host0.sim 10.0.2.1", scenario.host_nodes()[0].0);
            assert!(legend.lines().any(|line| line == host), "{legend}");
            assert!(legend.starts_with("machine [0] name server ns0 10.0.0.1\n"), "{legend}");
            assert!(legend.contains("] server mx0.sim 10.0.1.1\n"), "{legend}");
        }
    }
}
