//! Which hosts take mail for a destination, in the order in which they are tried.
//!
//! A decision over [`Facts`]: it pauses for each name it needs, and is run again. Chance comes from a seed, so each run
//! of one decision shuffles alike.
//!
//! Promise: a name server that does not answer never makes mail fail; we are never among the hosts, nor is any host that is
//! no better than we are (RFC 5321 5.1); a domain with a null MX is never connected to (RFC 7505).
//! Knows nothing of connections.

use crate::ask::{DnsFailure, DnsRecord, Facts, Pause, RecordKind};
use crate::delivery::{Destination, HostParams, Interfaces, Preference, Protocol};
use crate::limits::MX_HOSTS_MAX;
use crate::mail::Diagnosis;
use crate::prng::Prng;
use crate::wire::EnhancedStatus;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The port on which we would meet ourselves; on another one a second server may listen.
const SMTP_PORT: u16 = 25;

/// This host lacks something: whatever has this status says nothing of any other host.
pub const SHORT: EnhancedStatus = EnhancedStatus::new(4, 3, 0);

/// That this host lacks descriptors or memory, and what that hinders.
#[must_use]
pub fn short(what: &str) -> Diagnosis {
    Diagnosis::ours(SHORT, format!("this host is short of file descriptors or memory: {what}"))
}

/// One address to try.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host {
    /// Its name, for TLS and logs; the address where only that is known.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// No host of this destination is better.
    pub best: bool,
}

/// What the search came to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Found {
    /// In the order to try.
    Hosts {
        /// At least one.
        hosts: Vec<Host>,
        /// We are a mail exchanger too: no fallback relay, or mail would go in circles.
        we_are_mx: bool,
    },
    /// None; class 4 when a later search may find some.
    Nowhere {
        /// Why.
        diagnosis: Diagnosis,
        /// No other destination may be tried in its place.
        last: bool,
        /// What the operator should hear besides.
        warning: Option<String>,
    },
}

/// What a search needs to know besides names.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// How hosts are found.
    pub params: &'a HostParams,
    /// What is spoken: LMTP servers are never looked for by MX, nor are we one of them.
    pub protocol: Protocol,
    /// The addresses of this host's interfaces.
    pub local: &'a [IpAddr],
    /// For the order among equals.
    pub seed: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    name: String,
    address: IpAddr,
    preference: u32,
}

/// Why a name has no address: status and text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble(EnhancedStatus, String);

impl Trouble {
    fn of(name: &str, kind: &str, failure: DnsFailure) -> Self {
        let why = match failure {
            DnsFailure::NoSuchName => "Host not found",
            DnsFailure::NoSuchRecord => "Host found but no data record of requested type",
            DnsFailure::TryAgain => "Host not found, try again",
            DnsFailure::BadName => {
                let text = format!("Name service error for {name}: invalid host or domain name");
                return Self(EnhancedStatus::new(5, 4, 4), text);
            }
            DnsFailure::Short => {
                let Diagnosis { status, text, .. } = short(&format!("{name} can not be looked up"));
                return Self(status, text);
            }
        };
        let again = failure == DnsFailure::TryAgain;
        let status = if again { EnhancedStatus::new(4, 4, 3) } else { EnhancedStatus::new(5, 4, 4) };
        let text =
            format!("Host or domain name not found. Name service error for name={name} type={kind}: {why}");
        Self(status, text)
    }

    /// Keeps the one that leaves hope, else the later: a name server that fails must not make mail fail.
    fn or(self, other: Self) -> Self {
        let outlasts = (self.0.class == 4 && other.0.class != 4) || self.0 == SHORT;
        if outlasts && other.0 != SHORT { self } else { other }
    }

    /// What getaddrinfo(3) would have said.
    fn natively(name: &str, status: EnhancedStatus, why: &str) -> Self {
        Self(status, format!("unable to look up host {name}: {why}"))
    }

    fn nowhere(self, last: bool) -> Box<Found> {
        Box::new(Found::Nowhere { diagnosis: Diagnosis::ours(self.0, self.1), last, warning: None })
    }
}

/// The hosts of a destination that is not a socket of this host.
///
/// # Errors
/// [`Pause::Need`] when a name must be looked up first.
pub fn find(search: Search<'_>, host: &str, port: u16, mx: bool, facts: &Facts) -> Result<Found, Pause> {
    let loops = search.protocol == Protocol::Smtp && port == SMTP_PORT;
    let found = if mx && !search.params.disable_dns_lookups && host.parse::<IpAddr>().is_err() {
        domain(search, host, loops, facts)?
    } else {
        single(search, host, loops, facts)?
    };
    let (candidates, we_are_mx) = match found {
        Ok(found) => found,
        Err(nowhere) => return Ok(*nowhere),
    };
    let mut candidates = ordered(search, candidates);
    let best = candidates.first().map_or(0, |first| first.preference);
    if planted!(LowerMxSkipped) {
        candidates.retain(|candidate| candidate.preference == best);
    }
    let hosts = candidates
        .into_iter()
        .map(|c| Host { name: c.name, address: c.address, port, best: c.preference == best })
        .collect();
    Ok(Found::Hosts { hosts, we_are_mx })
}

/// Candidates and whether we are a mail exchanger, or why there are none.
type Sought = Result<(Vec<Candidate>, bool), Box<Found>>;

fn domain(search: Search<'_>, name: &str, loops: bool, facts: &Facts) -> Result<Sought, Pause> {
    let records = match facts.resolve(name, RecordKind::Mx)? {
        Ok(records) => &records.records,
        // RFC 5321 5.1: without MX records the name itself is the host.
        Err(DnsFailure::NoSuchName | DnsFailure::NoSuchRecord) => return single(search, name, loops, facts),
        Err(_) if search.params.ignore_mx_lookup_error => return single(search, name, loops, facts),
        Err(failure) => return Ok(Err(Trouble::of(name, "MX", *failure).nowhere(false))),
    };
    let mut exchangers: Vec<(u16, &str)> = Vec::new();
    let mut null = false;
    for record in records {
        match record {
            DnsRecord::Mx { exchange, .. } if matches!(exchange.as_str(), "" | ".") => null = true,
            DnsRecord::Mx { preference, exchange } => exchangers.push((*preference, exchange)),
            _ => {}
        }
    }
    if exchangers.is_empty() && null {
        let text = format!("Domain {name} does not accept mail (nullMX)");
        return Ok(Err(Trouble(EnhancedStatus::new(5, 1, 10), text).nowhere(false)));
    }
    if exchangers.is_empty() {
        return single(search, name, loops, facts);
    }
    exchangers.sort_by_key(|(preference, _)| *preference);
    let best = exchangers.first().map_or(0, |(preference, _)| u32::from(*preference));
    let (candidates, trouble) = resolve_all(search, &exchangers, facts)?;
    if candidates.is_empty() {
        return Ok(Err(Box::new(unresolved(search, name, trouble))));
    }
    Ok(without_us(search, name, loops, best, candidates))
}

fn unresolved(search: Search<'_>, name: &str, trouble: Option<Trouble>) -> Found {
    let mut trouble = trouble.unwrap_or_else(|| Trouble::of(name, "MX", DnsFailure::NoSuchRecord));
    if search.params.defer_if_no_mx_address_found {
        trouble.0.class = 4;
    }
    let warning = Some(format!("no MX host for {name} has a valid address record"));
    Found::Nowhere { diagnosis: Diagnosis::ours(trouble.0, trouble.1), last: false, warning }
}

fn resolve_all(
    search: Search<'_>,
    exchangers: &[(u16, &str)],
    facts: &Facts,
) -> Result<(Vec<Candidate>, Option<Trouble>), Pause> {
    let (mut candidates, mut trouble) = (Vec::<Candidate>::new(), None::<Trouble>);
    for (preference, exchange) in exchangers.iter().take(MX_HOSTS_MAX) {
        match addresses(search, exchange, facts)? {
            Ok(found) => {
                for address in found {
                    if candidates.iter().all(|known| known.address != address) {
                        let name = (*exchange).to_owned();
                        candidates.push(Candidate { name, address, preference: u32::from(*preference) });
                    }
                }
            }
            Err(new) => trouble = Some(trouble.map_or(new.clone(), |old| old.or(new))),
        }
    }
    Ok((candidates, trouble))
}

/// RFC 5321 5.1: who is a mail exchanger hands mail only to better ones.
fn without_us(
    search: Search<'_>,
    name: &str,
    loops: bool,
    best: u32,
    mut candidates: Vec<Candidate>,
) -> Sought {
    // An exchanger that calls itself localhost can only mean this host, whatever the interfaces.
    let localhost = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let us = |c: &Candidate| is_ours(search, c.address) || localhost.contains(&c.address);
    let ours = candidates.iter().filter(|c| loops && us(c)).map(|c| c.preference).min();
    let Some(ours) = ours else { return Ok((candidates, false)) };
    let best_found = candidates.iter().map(|c| c.preference).min();
    candidates.retain(|candidate| candidate.preference < ours);
    if !candidates.is_empty() {
        return Ok((candidates, true));
    }
    if best_found == Some(best) {
        let text = format!("mail for {name} loops back to myself");
        return Err(Trouble(EnhancedStatus::new(5, 4, 6), text).nowhere(true));
    }
    // The better ones have no address now.
    let text = format!("unable to find primary relay for {name}");
    Err(Trouble(EnhancedStatus::new(4, 4, 4), text).nowhere(true))
}

fn single(search: Search<'_>, name: &str, loops: bool, facts: &Facts) -> Result<Sought, Pause> {
    let found = match addresses(search, name, facts)? {
        Ok(found) => found,
        Err(trouble) => return Ok(Err(trouble.nowhere(false))),
    };
    if loops && found.iter().any(|address| is_ours(search, *address)) {
        let text = format!("mail for {name} loops back to myself");
        return Ok(Err(Trouble(EnhancedStatus::new(5, 4, 6), text).nowhere(true)));
    }
    let candidate = |address| Candidate { name: name.to_owned(), address, preference: 0 };
    Ok(Ok((found.into_iter().map(candidate).collect(), false)))
}

/// The addresses of one name: a literal, else by DNS, else as the host itself looks names up, as the parameters say. Not empty.
fn addresses(search: Search<'_>, name: &str, facts: &Facts) -> Result<Result<Vec<IpAddr>, Trouble>, Pause> {
    let params = search.params;
    let usable = |address: &IpAddr| if address.is_ipv4() { params.ipv4 } else { params.ipv6 };
    if let Ok(address) = name.parse::<IpAddr>()
        && usable(&address)
    {
        return Ok(Ok(vec![address]));
    }
    let mut trouble = None;
    // Without DNS only the host's own lookup is left (postconf(5), disable_dns_lookups).
    if params.lookup_dns && !params.disable_dns_lookups {
        match by_dns(search, name, facts)? {
            Ok(found) => return Ok(Ok(found)),
            Err(new) if new.0.class == 4 => return Ok(Err(new)),
            Err(new) => trouble = Some(new),
        }
    }
    if params.lookup_native || params.disable_dns_lookups {
        return natively(search, name, facts);
    }
    Ok(Err(trouble.unwrap_or_else(|| Trouble::of(name, "A", DnsFailure::NoSuchRecord))))
}

/// As nsswitch.conf has it nearly everywhere: the hosts file, then DNS (docs/decisions/0043). After DNS has said no, only the file is left
/// to be asked: the facts still hold what DNS said.
fn natively(search: Search<'_>, name: &str, facts: &Facts) -> Result<Result<Vec<IpAddr>, Trouble>, Pause> {
    let params = search.params;
    let usable = |address: &IpAddr| if address.is_ipv4() { params.ipv4 } else { params.ipv6 };
    let found: Vec<IpAddr> = match facts.listed_host(name)? {
        Ok(listed) => listed.iter().copied().filter(usable).collect(),
        // Whoever could not read the list must not say that somebody is not in it.
        Err(why) => return Ok(Err(Trouble::natively(name, EnhancedStatus::new(4, 4, 3), why))),
    };
    if !found.is_empty() {
        return Ok(Ok(found));
    }
    Ok(by_dns(search, name, facts)?.map_err(|Trouble(status, text)| {
        if status == SHORT {
            return Trouble(status, text);
        }
        let later = status.class == 4;
        let why = if later { "Temporary failure in name resolution" } else { "Name or service not known" };
        Trouble::natively(name, status, why)
    }))
}

fn by_dns(search: Search<'_>, name: &str, facts: &Facts) -> Result<Result<Vec<IpAddr>, Trouble>, Pause> {
    let (mut found, mut trouble) = (Vec::new(), None::<Trouble>);
    let families = [(search.params.ipv4, RecordKind::A, "A"), (search.params.ipv6, RecordKind::Aaaa, "AAAA")];
    for (_, kind, word) in families.into_iter().filter(|(spoken, ..)| *spoken) {
        match facts.resolve(name, kind)? {
            Ok(records) => found.extend(records.records.iter().filter_map(|record| match record {
                DnsRecord::A(address) => Some(IpAddr::V4(*address)),
                DnsRecord::Aaaa(address) => Some(IpAddr::V6(*address)),
                _ => None,
            })),
            Err(failure) => {
                let new = Trouble::of(name, word, *failure);
                trouble = Some(trouble.map_or(new.clone(), |old| old.or(new)));
            }
        }
    }
    if found.is_empty() {
        let none = || Trouble::of(name, "A", DnsFailure::NoSuchRecord);
        return Ok(Err(trouble.unwrap_or_else(none)));
    }
    Ok(Ok(found))
}

fn is_ours(search: Search<'_>, address: IpAddr) -> bool {
    let interface = match &search.params.interfaces {
        Interfaces::All => address.is_loopback() || search.local.contains(&address),
        Interfaces::Loopback => address.is_loopback(),
        // The driver's list has the addresses of host names as well.
        Interfaces::Listed(list) => list.contains(&address) || search.local.contains(&address),
    };
    // To connect to 0.0.0.0 or :: is to connect to this host.
    interface || address.is_unspecified() || search.params.proxy_interfaces.contains(&address)
}

/// By preference, then as the parameters say; both families within the limit.
fn ordered(search: Search<'_>, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let params = search.params;
    if params.randomize_addresses {
        Prng::new(search.seed).shuffle(&mut candidates);
    }
    candidates.sort_by_key(|candidate| {
        let behind = match params.address_preference {
            Preference::Any => false,
            Preference::Ipv6 => candidate.address.is_ipv4(),
            Preference::Ipv4 => candidate.address.is_ipv6(),
        };
        (candidate.preference, behind)
    });
    let limit = usize::try_from(params.mx_address_limit).unwrap_or(usize::MAX);
    if limit == 0 || candidates.len() <= limit {
        return candidates;
    }
    let (within, beyond) = candidates.split_at(limit);
    let other = within.first().filter(|first| {
        params.balance_inet_protocols
            && limit > 1
            && within.iter().all(|c| c.address.is_ipv4() == first.address.is_ipv4())
    });
    let other = other
        .and_then(|first| beyond.iter().find(|c| c.address.is_ipv4() != first.address.is_ipv4()).cloned());
    candidates.truncate(limit);
    if let (Some(other), Some(last)) = (other, candidates.last_mut()) {
        *last = other;
    }
    candidates
}

impl Destination {
    /// The hosts of this destination; `None` for a socket of this host, which needs no search.
    ///
    /// # Errors
    /// [`Pause::Need`] when a name must be looked up first.
    pub fn hosts(&self, search: Search<'_>, facts: &Facts) -> Result<Option<Found>, Pause> {
        match self {
            Self::Inet { host, port, mx } => find(search, host, *port, *mx, facts).map(Some),
            Self::Unix(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
