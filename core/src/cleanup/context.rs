//! Whose header addresses are rewritten, and how (`local_header_rewrite_clients`).

use super::params::Params;
use crate::ask::{Facts, Pause, TableName};
use crate::mail::ClientFacts;
use std::net::IpAddr;

/// How header addresses are made complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Context {
    /// With our own domain.
    Local,
    /// With `remote_header_rewrite_domain`.
    Remote,
    /// Not at all: the header is left alone.
    Foreign,
}

/// The context of mail from this client. Mail made on this host is local.
pub(super) fn of(client: &ClientFacts, params: &Params, facts: &Facts) -> Result<Context, Pause> {
    let Some(address) = client.address else { return Ok(Context::Local) };
    let address = address.to_canonical();
    for item in &params.local_header_rewrite_clients {
        let listed = match item.as_str() {
            "permit_inet_interfaces" => params.interfaces.contains(&address),
            "permit_mynetworks" => params.mynetworks.iter().any(|network| covers(network, address)),
            // Its table is an item of its own, behind it.
            "check_address_map" => false,
            table if table.contains(':') => {
                facts.lookup(&TableName(table.to_owned()), &address.to_string())?.is_some()
            }
            // Logins and certificates: no client has shown one that we could check.
            _ => false,
        };
        if listed {
            return Ok(Context::Local);
        }
    }
    let foreign = params.remote_header_rewrite_domain.is_empty();
    Ok(if foreign { Context::Foreign } else { Context::Remote })
}

/// True when `192.0.2.0/24`, `[2001:db8::]/32` or a bare address covers an address.
fn covers(network: &str, address: IpAddr) -> bool {
    let (base, bits) = match network.rsplit_once('/') {
        Some((base, bits)) => (base, bits.parse::<u32>().ok()),
        None => (network, Some(128)),
    };
    let (Ok(base), Some(bits)) = (base.trim_matches(['[', ']']).parse(), bits) else { return false };
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(bits)).unwrap_or(0);
            u32::from(base) & mask == u32::from(address) & mask
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(bits)).unwrap_or(0);
            u128::from(base) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_cover_their_addresses() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(covers("192.0.2.0/24", address("192.0.2.255")));
        assert!(!covers("192.0.2.0/24", address("192.0.3.0")));
        assert!(covers("0.0.0.0/0", address("1.2.3.4")));
        assert!(covers("[2001:db8::]/32", address("2001:db8::1")));
        assert!(covers("192.0.2.1", address("192.0.2.1")) && !covers("192.0.2.1", address("192.0.2.2")));
        assert!(!covers("nonsense/x", address("192.0.2.2")));
    }
}
