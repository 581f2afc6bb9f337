//! hosts(5): names and addresses that this host knows without any server.
//!
//! Reads the text; never the file. Lines whose first word is no address are passed over, as the C library does.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// What the hosts file says. Names are lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Hosts {
    addresses: BTreeMap<String, Vec<IpAddr>>,
    names: BTreeMap<IpAddr, String>,
}

impl Hosts {
    /// From the text of the file.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut hosts = Self::default();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
            for name in words.map(str::to_ascii_lowercase) {
                // The first name of the first line is the one that the address has; all of them lead to it.
                hosts.names.entry(address).or_insert_with(|| name.clone());
                let addresses = hosts.addresses.entry(name).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        hosts
    }

    /// The addresses of a name, in the order of the file.
    #[must_use]
    pub fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.addresses.get(&name).cloned().unwrap_or_default()
    }

    /// The name of an address.
    #[must_use]
    pub fn name(&self, address: IpAddr) -> Option<String> {
        self.names.get(&address).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::Hosts;
    use proptest::prelude::*;
    use std::net::IpAddr;

    #[test]
    fn the_hosts_file_is_read_both_ways() {
        let hosts = Hosts::read(
            "127.0.0.1\tlocalhost\n192.0.2.7 Lan.Example lan # alias.example\n\
             nonsense lan\n2001:db8::7 lan.example\n192.0.2.7 late.example\n\n#192.0.2.8 lan\n",
        );
        let addresses = |name| hosts.addresses(name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(addresses("lan.example"), ["192.0.2.7", "2001:db8::7"]);
        assert_eq!(addresses("LAN"), ["192.0.2.7"]);
        assert_eq!(addresses("late.example."), ["192.0.2.7"]);
        assert!(addresses("alias.example").is_empty() && addresses("").is_empty());
        let name = |address: &str| hosts.name(address.parse().expect("an address"));
        assert_eq!(name("192.0.2.7").as_deref(), Some("lan.example"));
        assert_eq!(name("127.0.0.1").as_deref(), Some("localhost"));
        assert_eq!(name("192.0.2.8"), None);
    }

    /// Few addresses and names, so that they meet.
    fn line() -> impl Strategy<Value = (IpAddr, Vec<String>)> {
        let addresses = prop::sample::select(vec!["127.0.0.1", "192.0.2.7", "::1", "2001:db8::7"]);
        let addresses = addresses.prop_map(|text| text.parse().expect("an address"));
        (addresses, prop::collection::vec("[a-cA-C](\\.example|-é)?", 0..4))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_both_ways(
            lines in prop::collection::vec(line(), 0..12),
            space in "[ \t]{1,3}",
            noise in "(#[ -~]*|[a-z ]*|)",
            end in prop::sample::select(vec!["\n", "\r\n"]),
        ) {
            let text: String = lines
                .iter()
                .map(|(address, names)| format!("{address}{space}{}{space}#{noise}{end}{noise}{end}", names.join(&space)))
                .collect();
            let hosts = Hosts::read(&text);
            for (address, names) in &lines {
                let first = lines.iter().filter(|(other, _)| other == address).find_map(|(_, names)| names.first());
                prop_assert_eq!(hosts.name(*address), first.map(|name| name.to_ascii_lowercase()));
                for name in names {
                    let mut wanted: Vec<IpAddr> = Vec::new();
                    let has = |names: &[String]| names.iter().any(|other| other.eq_ignore_ascii_case(name));
                    for (other, _) in lines.iter().filter(|(_, names)| has(names)) {
                        if !wanted.contains(other) {
                            wanted.push(*other);
                        }
                    }
                    prop_assert_eq!(hosts.addresses(name), wanted.clone());
                    prop_assert_eq!(hosts.addresses(&format!("{}.", name.to_ascii_uppercase())), wanted);
                }
            }
        }

        #[test]
        fn any_text_is_read_and_its_names_lead_back(text in "(\\PC|[\r\n\t #]|[0-9a-f.:%]{1,5}|127\\.0\\.0\\.1 |::1\t){0,60}") {
            let hosts = Hosts::read(&text);
            for address in ["127.0.0.1", "::1", "0.0.0.1"].map(|text| text.parse::<IpAddr>().expect("an address")) {
                let Some(name) = hosts.name(address) else { continue };
                prop_assert!(!name.is_empty() && !name.contains(char::is_whitespace) && !name.contains('#'), "{:?}", name);
                prop_assert!(name.ends_with('.') || hosts.addresses(&name).contains(&address), "{:?}", name);
            }
        }
    }
}
