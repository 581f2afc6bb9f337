//! What can be the name of a host.

use crate::rewrite::{is_numeric, is_valid_domain, literal};
use crate::wire::Mailbox;

/// A host name, with a dot at its end or without; not an address.
pub(super) fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    !name.starts_with('[') && is_valid_domain(name)
}

/// An argument of HELO that can be one: a name, or an address.
pub(super) fn is_helo_name(name: &str) -> bool {
    is_host_name(name) || (is_numeric(name) && name.parse::<std::net::Ipv4Addr>().is_ok())
}

/// An address literal in brackets.
pub(super) fn is_literal(name: &str) -> bool {
    literal(name).is_some()
}

/// The address as replies show it: not quoted.
pub(super) fn internal(mailbox: &Mailbox) -> String {
    mailbox.plain()
}
