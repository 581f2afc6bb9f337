//! Who is connected: its name in the hosts file, or by PTR, believed only if the name leads back to the address.

use crate::ask::{DnsRecord, Facts, Pause, RecordKind};
use crate::dns::reverse_name;
use crate::session::{Discarded, Named, Params};
use crate::wire::path::is_host_name;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a client is called that has no name we believe.
pub(super) const UNKNOWN: &str = "unknown";

/// What is called so where the hosts file does not say otherwise.
const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// What is known of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// For the session.
    pub(super) named: Named,
    /// By PTR, even where it was not verified.
    pub(super) reverse_name: String,
    /// For the log.
    pub(super) warning: Option<String>,
}

impl Name {
    /// Nothing.
    pub(super) fn unknown() -> Self {
        Self {
            named: Named { name: UNKNOWN.to_owned(), discard: Some(Discarded::default()) },
            reverse_name: UNKNOWN.to_owned(),
            warning: None,
        }
    }

    /// A name that is believed.
    fn of(mut self, host: &str) -> Self {
        host.clone_into(&mut self.named.name);
        host.clone_into(&mut self.reverse_name);
        self
    }
}

/// The name of a client that we believe, else `unknown`: for who must know before a session begins.
///
/// # Errors
/// Questions.
pub fn client_name(params: &Params, address: IpAddr, facts: &Facts) -> Result<String, Pause> {
    verified(params, address, facts).map(|name| name.named.name)
}

/// Finds out.
///
/// # Errors
/// Questions; broken tables are taken down in the answer instead.
pub(super) fn decide(params: &Params, address: IpAddr, facts: &Facts) -> Result<Name, Pause> {
    let mut name = verified(params, address, facts)?;
    name.named.discard = discarded(params, address, facts)?;
    Ok(name)
}

fn verified(params: &Params, address: IpAddr, facts: &Facts) -> Result<Name, Pause> {
    let mut name = Name::unknown();
    if !params.peername_lookup {
        return Ok(name);
    }
    match facts.listed_name(address)? {
        // The line that names the address is also the one that leads back to it.
        Ok(Some(host)) if is_host_name(host) => return Ok(name.of(host)),
        Ok(Some(host)) => {
            name.warning = Some(format!("malformed name of {address} in the hosts file: {host}"));
            return Ok(name);
        }
        // RFC 6761 6.3: no name server need be asked who this host is. Other addresses of 127.0.0.0/8 have no such name.
        Ok(None) if LOCALHOST.contains(&address) => return Ok(name.of("localhost")),
        Ok(None) => {}
        Err(why) => {
            name.warning = Some(format!("the name of {address} is not known: {why}"));
            return Ok(name);
        }
    }
    let pointer = match facts.resolve(&reverse_name(address), RecordKind::Ptr)? {
        Ok(found) => found.records.iter().find_map(|record| match record {
            DnsRecord::Ptr(host) => Some(host.clone()),
            _ => None,
        }),
        Err(_) => None,
    };
    let Some(host) = pointer else { return Ok(name) };
    if !is_host_name(&host) {
        name.warning =
            Some(format!("malformed domain name in resource data of PTR record for {address}: {host}"));
        return Ok(name);
    }
    if leads_back(&host, address, facts)? {
        return Ok(name.of(&host));
    }
    name.warning = Some(format!("hostname {host} does not resolve to address {address}"));
    name.reverse_name = host;
    Ok(name)
}

/// Whether an address is among those of a name: the hosts file goes first, and DNS is asked where it does not know the name.
fn leads_back(host: &str, address: IpAddr, facts: &Facts) -> Result<bool, Pause> {
    let Ok(listed) = facts.listed_host(host)? else { return Ok(false) };
    if listed.iter().any(|found| found.is_ipv4() == address.is_ipv4()) {
        return Ok(listed.contains(&address));
    }
    let kind = if address.is_ipv4() { RecordKind::A } else { RecordKind::Aaaa };
    let confirms = |record: &DnsRecord| match record {
        DnsRecord::A(found) => address == IpAddr::V4(*found),
        DnsRecord::Aaaa(found) => address == IpAddr::V6(*found),
        _ => false,
    };
    Ok(facts.resolve(host, kind)?.as_ref().is_ok_and(|found| found.records.iter().any(confirms)))
}

/// Keywords that are not for this client; `None` when a table is broken.
fn discarded(params: &Params, address: IpAddr, facts: &Facts) -> Result<Option<Discarded>, Pause> {
    for table in &params.discard_maps {
        match facts.lookup(table, &address.to_string()) {
            Ok(Some(words)) => return Ok(Some(Discarded::parse(words))),
            Ok(None) => {}
            Err(Pause::Broken(_)) => return Ok(None),
            Err(pause) => return Err(pause),
        }
    }
    Ok(Some(params.discard.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_names_of_both_families() {
        assert_eq!(reverse_name(IpAddr::from([192, 0, 2, 1])), "1.2.0.192.in-addr.arpa");
        assert_eq!(
            reverse_name("2001:db8::567:89ab".parse().expect("an address")),
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }
}
