//! Whom to ask, and how patiently: resolv.conf(5), or `dns_servers`.
//!
//! Reads the text; never the file. What mail has no use for (`search`, `domain`, `sortlist`) is passed over:
//! a mail domain is always a whole name. Unknown lines and options are passed over as the C library does.

use crate::params::Settings;
use crate::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// Nameservers that are used; the C library takes three, and each one more is a time-out more for a dead name.
pub const SERVERS_MAX: usize = 8;
/// The C library's cap on `timeout:`.
const TIMEOUT_MAX_SECONDS: u64 = 30;
/// The C library's cap on `attempts:`.
const ATTEMPTS_MAX: u32 = 5;
/// Where DNS is spoken.
const PORT: u16 = 53;

/// The parameters of the resolver.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Params {
    /// Servers, in order of preference; at least one.
    pub servers: Vec<SocketAddr>,
    /// How long the first round waits for each server; later rounds wait twice as long as the one before.
    pub timeout: Duration,
    /// Rounds over all servers.
    pub attempts: u32,
    /// Begin with another server each time.
    pub rotate: bool,
    /// Believe the AD bit of servers that are not on this host.
    pub trust_ad: bool,
    /// Ask by TCP only.
    pub tcp_only: bool,
    /// Records and absences are not kept longer, whatever their TTL says (`dns_cache_time_limit`).
    pub cache_time: Duration,
}

impl Default for Params {
    /// What the C library does without a file: the server on this host, two rounds of five seconds.
    fn default() -> Self {
        Self {
            servers: vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT)],
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            trust_ad: false,
            tcp_only: false,
            cache_time: Duration::from_secs(3_600),
        }
    }
}

impl Params {
    /// From the parameters and the text of resolv.conf; `dns_servers` goes before the servers of the file.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(settings: &Settings, resolv_conf: &str) -> Result<Self, Vec<(String, String)>> {
        let mut params = Self::read(resolv_conf);
        params.cache_time = settings.time("dns_cache_time_limit");
        let listed = settings.list("dns_servers");
        let mut servers = Vec::new();
        let mut errors = Vec::new();
        for item in &listed {
            match server(item) {
                Some(address) => servers.push(address),
                None => errors.push(("dns_servers".to_owned(), format!("bad address of a server: {item}"))),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if !servers.is_empty() {
            servers.truncate(SERVERS_MAX);
            params.servers = servers;
        }
        Ok(params)
    }

    /// From the text of resolv.conf.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut params = Self::default();
        let mut servers = Vec::new();
        for line in text.lines() {
            // A comment begins a line; the C library knows none behind values.
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => servers.extend(words.next().and_then(server)),
                Some("options") => words.for_each(|option| params.option(option)),
                _ => {}
            }
        }
        if !servers.is_empty() {
            servers.truncate(SERVERS_MAX);
            params.servers = servers;
        }
        params
    }

    fn option(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        match (name, value.parse::<u64>()) {
            ("timeout", Ok(seconds)) => {
                self.timeout = Duration::from_secs(seconds.clamp(1, TIMEOUT_MAX_SECONDS));
            }
            ("attempts", Ok(rounds)) => {
                self.attempts = u32::try_from(rounds).unwrap_or(ATTEMPTS_MAX).clamp(1, ATTEMPTS_MAX);
            }
            ("rotate", _) => self.rotate = true,
            ("trust-ad", _) => self.trust_ad = true,
            ("use-vc", _) => self.tcp_only = true,
            _ => {}
        }
    }
}

/// `address`, `address%scope`, `[address]:port`, or `address:port` for IPv4.
fn server(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, PORT));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, PORT));
    }
    // Only the number of an interface can be read without asking the system for its name.
    let (address, scope) = text.split_once('%')?;
    Some(SocketAddr::V6(SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_the_c_library_reads_it() {
        let params = Params::read(
            "; made by hand\n# so\nsearch corp.example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n\
             nameserver nonsense\noptions timeout:1 attempts:9 rotate edns0 ndots:2 trust-ad\n",
        );
        let servers: Vec<String> = params.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.53:53", "[2001:db8::53]:53"]);
        assert_eq!((params.timeout, params.attempts), (Duration::from_secs(1), 5));
        assert!(params.rotate && params.trust_ad && !params.tcp_only);
    }

    #[test]
    fn without_a_server_the_one_on_this_host_is_asked() {
        assert_eq!(Params::read("options timeout:99\n").servers, Params::default().servers);
        assert_eq!(Params::read("").timeout, Duration::from_secs(5));
    }

    #[test]
    fn servers_may_have_ports_and_scopes() {
        let text = |item: &str| server(item).map(|address| address.to_string());
        assert_eq!(text("192.0.2.1:5353").as_deref(), Some("192.0.2.1:5353"));
        assert_eq!(text("[2001:db8::1]:5353").as_deref(), Some("[2001:db8::1]:5353"));
        assert_eq!(text("[2001:db8::1]").as_deref(), Some("[2001:db8::1]:53"));
        assert_eq!(text("fe80::1%2").as_deref(), Some("[fe80::1%2]:53"));
        assert_eq!(text("fe80::1%eth0"), None);
        assert_eq!(text("ns.example"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_server_and_sane_patience(text in "(nameserver|options|[ -~]|\n|:|[0-9]){0,60}") {
            let params = Params::read(&text);
            proptest::prop_assert!(!params.servers.is_empty() && params.servers.len() <= SERVERS_MAX);
            proptest::prop_assert!(params.timeout >= Duration::from_secs(1) && params.attempts >= 1);
        }
    }
}
