//! Where mail shall go, as routing tables say it (smtp(8), "SMTP DESTINATION SYNTAX", "LMTP DESTINATION SYNTAX").
//!
//! A total function from text to a value; knows nothing of DNS.

use crate::delivery::Protocol;
use crate::params::port_number;

/// One next hop, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// A name or address and a port.
    Inet {
        /// Without brackets and `ipv6:`.
        host: String,
        /// Port.
        port: u16,
        /// Look for its mail exchangers; false for `[host]`, and always for LMTP.
        mx: bool,
    },
    /// A socket of this host.
    Unix(String),
}

/// The text is no destination: why, and how to write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadDestination(pub &'static str);

const BRACKET: BadDestination = BadDestination("\"]\" is missing; write [host] or [host]:port");
const BEHIND: BadDestination = BadDestination("only :port may follow \"]\"; write [host] or [host]:port");
const NO_HOST: BadDestination =
    BadDestination("the host is missing; write host, [host], host:port or [host]:port");
const NO_PATH: BadDestination = BadDestination("the path is missing; write unix:path");
const PORT: BadDestination = BadDestination(
    "its port is neither a number nor smtp, submission, submissions, lmtp or another well-known name; an IPv6 address is written [ipv6:address]",
);

/// The items of a list of destinations.
#[must_use]
pub fn split(list: &str) -> Vec<String> {
    let separator = |c: char| c == ',' || c.is_ascii_whitespace();
    list.split(separator).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

impl Destination {
    /// Takes a destination apart.
    ///
    /// # Errors
    /// When a bracket is not closed, the host is empty, or the port is neither a number nor known.
    pub fn parse(text: &str, protocol: Protocol, default_port: u16) -> Result<Self, BadDestination> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(NO_PATH) } else { Ok(Self::Unix(path.to_owned())) };
        }
        let text = text.strip_prefix("inet:").unwrap_or(text);
        let (host, behind, bracketed) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or(BRACKET)?;
                (host, behind, true)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                let (host, behind) = text.split_at(end);
                (host, behind, false)
            }
        };
        let port = match behind.strip_prefix(':') {
            Some("") => default_port,
            Some(name) => port_number(name).ok_or(PORT)?,
            None if behind.is_empty() => default_port,
            None => return Err(BEHIND),
        };
        let is_ipv6 = host.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("ipv6:"));
        let host = if is_ipv6 { host.get(5..).unwrap_or("") } else { host };
        if host.is_empty() {
            return Err(NO_HOST);
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_owned();
        Ok(Self::Inet { host, port, mx: !bracketed && protocol == Protocol::Smtp })
    }

    /// The name under which `smtp_connection_cache_destinations` lists it: without brackets and port, lower case.
    #[must_use]
    pub fn cache_name(&self) -> String {
        match self {
            Self::Inet { host, .. } => host.to_ascii_lowercase(),
            Self::Unix(path) => path.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(host: &str, port: u16, mx: bool) -> Result<Destination, BadDestination> {
        Ok(Destination::Inet { host: host.into(), port, mx })
    }

    #[test]
    fn three_commands_of_master_cf_are_clients() {
        let protocols = ["smtp", "relay", "lmtp", "smtpd", ""].map(Protocol::of_command);
        assert_eq!(protocols, [Some(Protocol::Smtp), Some(Protocol::Smtp), Some(Protocol::Lmtp), None, None]);
    }

    #[test]
    fn each_form_of_the_manual_is_understood() {
        let smtp = |text| Destination::parse(text, Protocol::Smtp, 25);
        assert_eq!(smtp("example.net"), inet("example.net", 25, true));
        assert_eq!(smtp("example.net:587"), inet("example.net", 587, true));
        assert_eq!(smtp("example.net:submission"), inet("example.net", 587, true));
        assert_eq!(smtp("[filter.example.net]:qmqp"), inet("filter.example.net", 628, false));
        assert_eq!(smtp("[mail.example.net]"), inet("mail.example.net", 25, false));
        assert_eq!(smtp("[mail.example.net]:26"), inet("mail.example.net", 26, false));
        assert_eq!(smtp("[192.0.2.1]:26"), inet("192.0.2.1", 26, false));
        assert_eq!(smtp("[ipv6:2001:db8::1]"), inet("2001:db8::1", 25, false));
        assert_eq!(smtp("[IPv6:2001:db8::1]:26"), inet("2001:db8::1", 26, false));
        let lmtp = |text| Destination::parse(text, Protocol::Lmtp, 24);
        assert_eq!(lmtp("unix:private/lmtp"), Ok(Destination::Unix("private/lmtp".into())));
        assert_eq!(lmtp("inet:host"), inet("host", 24, false));
        assert_eq!(lmtp("inet:host:2424"), inet("host", 2424, false));
        assert_eq!(lmtp("inet:[192.0.2.1]"), inet("192.0.2.1", 24, false));
        assert_eq!(lmtp("inet:[ipv6:::1]:2424"), inet("::1", 2424, false));
        assert_eq!(lmtp("host"), inet("host", 24, false));
    }

    #[test]
    fn what_has_no_form_is_refused() {
        for text in
            ["", "[", "[]", "[a", "[a]b", "a:nosuchservice", ":25", "a:99999", "a:0", "unix:", "[ipv6:]"]
        {
            assert!(Destination::parse(text, Protocol::Smtp, 25).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_are_split_at_commas_and_white_space() {
        assert_eq!(split("a, [b]:25\tc,,"), ["a", "[b]:25", "c"]);
    }

    quickcheck::quickcheck! {
        fn no_text_makes_it_panic(text: String) -> bool {
            _ = Destination::parse(&text, Protocol::Smtp, 25);
            _ = Destination::parse(&format!("[{text}"), Protocol::Lmtp, 24);
            true
        }
    }
}
