//! What the host says: its name, its addresses, this process. Handed in, because core looks nothing up.
//!
//! From these follow the defaults of myhostname, mydomain and mynetworks, as in Postfix.

use super::check::items;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The domain of a host that has none.
pub const NO_DOMAIN: &str = "localdomain";

/// Facts about the host and this process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Host {
    /// What gethostname says.
    pub hostname: String,
    /// The addresses of all interfaces with the lengths of their network prefixes.
    pub interfaces: Vec<(IpAddr, u8)>,
    /// The addresses of host names that inet_interfaces and proxy_interfaces mention, as far as they could be found.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// The id of this process.
    pub process_id: u32,
    /// The name of this process.
    pub process_name: String,
    /// The directory of main.cf.
    pub config_directory: String,
}

impl Default for Host {
    /// A host without a name and with the loopback interface only.
    fn default() -> Self {
        Self {
            hostname: "localhost".into(),
            interfaces: vec![(Ipv4Addr::LOCALHOST.into(), 8), (Ipv6Addr::LOCALHOST.into(), 128)],
            names: BTreeMap::new(),
            process_id: 1,
            process_name: "postrider".into(),
            config_directory: "/etc/postfix".into(),
        }
    }
}

/// Whether an address is of a protocol in inet_protocols.
pub(super) fn is_spoken(address: IpAddr, inet_protocols: &str) -> bool {
    let own = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    items(inet_protocols).iter().any(|item| item == own || item == "all")
}

impl Host {
    /// The default of myhostname, which may still refer to `$mydomain` when main.cf sets that.
    #[must_use]
    pub fn myhostname(&self, mydomain_is_set: bool) -> String {
        let domain = if mydomain_is_set { "$mydomain" } else { NO_DOMAIN };
        if self.hostname.contains('.') {
            self.hostname.clone()
        } else {
            format!("{}.{domain}", self.hostname)
        }
    }

    /// The addresses that receive mail: inet_interfaces and inet_protocols (expanded) over the interfaces. IPv4 first, in order.
    #[must_use]
    pub fn own_addresses(&self, inet_interfaces: &str, inet_protocols: &str) -> Vec<IpAddr> {
        self.own_interfaces(inet_interfaces, inet_protocols).into_iter().map(|(address, _)| address).collect()
    }

    /// The default of mynetworks.
    #[must_use]
    pub fn mynetworks(&self, style: &str, inet_interfaces: &str, inet_protocols: &str) -> String {
        let mut networks: Vec<String> = Vec::new();
        for (address, prefix) in self.own_interfaces(inet_interfaces, inet_protocols) {
            let network = network(address, prefix, style);
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        networks.join(" ")
    }

    fn own_interfaces(&self, inet_interfaces: &str, inet_protocols: &str) -> Vec<(IpAddr, u8)> {
        let mut own: Vec<(IpAddr, u8)> = Vec::new();
        for item in items(inet_interfaces) {
            match item.as_str() {
                "all" => own.extend(&self.interfaces),
                "loopback-only" => {
                    own.extend(self.interfaces.iter().filter(|(address, _)| address.is_loopback()));
                }
                name => own.extend(self.addresses_of(name).into_iter().map(|address| {
                    let known = self.interfaces.iter().find(|(known, _)| *known == address);
                    known.copied().unwrap_or((address, if address.is_ipv4() { 32 } else { 128 }))
                })),
            }
        }
        own.retain(|(address, _)| is_spoken(*address, inet_protocols));
        own.sort_unstable();
        own.dedup();
        own
    }

    /// The addresses of a host name or address, as far as they are known.
    #[must_use]
    pub fn addresses_of(&self, name: &str) -> Vec<IpAddr> {
        let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        if let Ok(address) = bare.parse() {
            return vec![address];
        }
        match self.names.get(name) {
            Some(addresses) => addresses.clone(),
            None if name == "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            None => Vec::new(),
        }
    }
}

/// The part of myhostname after its first dot.
#[must_use]
pub fn mydomain(myhostname: &str) -> String {
    myhostname.split_once('.').map_or(NO_DOMAIN, |(_, domain)| domain).to_owned()
}

fn network(address: IpAddr, prefix: u8, style: &str) -> String {
    match address {
        IpAddr::V4(v4) => {
            let prefix = match style {
                "host" => 32,
                "class" => class_prefix(v4),
                _ => prefix.min(32),
            };
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            format!("{}/{prefix}", Ipv4Addr::from(u32::from(v4) & mask))
        }
        IpAddr::V6(v6) => {
            let prefix = if style == "host" { 128 } else { prefix.min(128) };
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            format!("[{}]/{prefix}", Ipv6Addr::from(u128::from(v6) & mask))
        }
    }
}

/// Classes A, B, C, and E as the single address.
fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        192..=223 => 24,
        _ => 32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        let mut host = Host::default();
        host.interfaces.push(("192.0.2.2".parse().unwrap(), 25));
        host.interfaces.push(("fd00::2".parse().unwrap(), 64));
        host
    }

    #[test]
    fn networks_follow_the_style() {
        let networks = |style| host().mynetworks(style, "all", "all");
        assert_eq!(networks("subnet"), "127.0.0.0/8 192.0.2.0/25 [::1]/128 [fd00::]/64");
        assert_eq!(networks("host"), "127.0.0.1/32 192.0.2.2/32 [::1]/128 [fd00::2]/128");
        assert_eq!(networks("class"), "127.0.0.0/8 192.0.2.0/24 [::1]/128 [fd00::]/64");
    }

    #[test]
    fn interfaces_and_protocols_choose_among_the_addresses() {
        let own = |interfaces, protocols| host().own_addresses(interfaces, protocols).len();
        assert_eq!((own("all", "ipv4"), own("all", "ipv6"), own("all", "ipv4, ipv6")), (2, 2, 4));
        assert_eq!(
            (own("loopback-only", "all"), own("192.0.2.2, localhost", "all"), own("nosuch", "all")),
            (2, 3, 0)
        );
        assert_eq!(host().mynetworks("subnet", "192.0.2.2", "all"), "192.0.2.0/25");
    }

    #[test]
    fn a_host_without_a_domain_gets_one() {
        assert_eq!(Host::default().myhostname(false), "localhost.localdomain");
        assert_eq!(Host::default().myhostname(true), "localhost.$mydomain");
        assert_eq!(mydomain("a.b.c"), "b.c");
        assert_eq!(mydomain("a"), NO_DOMAIN);
    }
}
