//! Addresses made canonical, classified, and routed: the work of trivial-rewrite(8).
//!
//! Pure functions over facts; see ADDRESS_REWRITING_README and ADDRESS_CLASS_README for what they answer.
//! `canonical` completes an address, `resolve` finds who is meant by it, `listed` whether there is such a user,
//! `maps` what a table makes of it, `route` where it goes.

mod canonical;
pub mod classes;
mod listed;
mod maps;
mod params;
mod resolve;
mod route;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use canonical::{is_numeric, is_valid_domain, literal};
pub(crate) use listed::split_status;
pub use listed::{Role, Unlisted};
pub(crate) use maps::ask;
pub use maps::{Found, parse_address, parse_addresses};
pub use params::Params;
pub use resolve::Resolved;
pub use route::Hop;

use crate::ask::{Facts, Pause, TableName};
use crate::mail::{Envelope, Route, RouteClass};
use crate::params::Settings;
use crate::wire::Mailbox;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Whether an address exists, as far as tables tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listed {
    /// In a table, or its class has no table.
    Yes,
    /// Not in the tables of its class: (`local recipient table`, `relay recipient table`, `virtual alias table`, `virtual mailbox table`).
    No(RouteClass),
}

/// The parameters of rewriting and routing.
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    params: Params,
}

impl Rewrite {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(settings: &Settings) -> Result<Self, Vec<(String, String)>> {
        Ok(Self { params: Params::new(settings)? })
    }

    /// With these parameters.
    #[must_use]
    pub const fn with(params: Params) -> Self {
        Self { params }
    }

    /// The parameters.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// The tables that rewriting and routing ask, for a driver that opens them beforehand.
    #[must_use]
    pub fn tables(&self) -> BTreeSet<TableName> {
        let params = &self.params;
        let maps = [
            &params.local_recipient_maps,
            &params.relay_recipient_maps,
            &params.virtual_alias_maps,
            &params.virtual_mailbox_maps,
            &params.canonical_maps,
            &params.recipient_canonical_maps,
            &params.sender_canonical_maps,
            &params.relocated_maps,
            &params.transport_maps,
            &params.sender_dependent_relayhost_maps,
            &params.sender_dependent_default_transport_maps,
        ];
        let lists = [
            &params.mydestination,
            &params.virtual_alias_domains,
            &params.virtual_mailbox_domains,
            &params.relay_domains,
        ];
        let of_lists = lists.into_iter().flat_map(|list| list.tables());
        maps.into_iter().flatten().chain(of_lists).cloned().collect()
    }

    /// Tells the addresses that a driver found for `inet_interfaces` (all of the host's for `all`, those of host names)
    /// and `proxy_interfaces`. Address literals of them are ours.
    pub fn add_interfaces(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.params.interfaces.extend(addresses);
    }

    /// Whether an address is one on which this host receives mail.
    #[must_use]
    pub fn is_own_address(&self, address: IpAddr) -> bool {
        self.params.interfaces.iter().any(|own| own.to_canonical() == address.to_canonical())
    }

    /// The canonical form of an address: source routes dropped, `user%domain`, `site!user`, myorigin and mydomain appended.
    #[must_use]
    pub fn canonical(&self, mailbox: &Mailbox) -> Mailbox {
        let params = &self.params;
        let origin = if params.append_at_myorigin { params.myorigin.as_str() } else { "" };
        let parent = if params.append_dot_mydomain { params.mydomain.as_str() } else { "" };
        params.rewrite(mailbox, origin, parent)
    }

    /// The form of an address in a header from a stranger: completed with remote_header_rewrite_domain, `None` when that is
    /// empty and such headers are left alone.
    #[must_use]
    pub fn canonical_remote(&self, mailbox: &Mailbox) -> Option<Mailbox> {
        let domain = &self.params.remote_header_rewrite_domain;
        let parent = if self.params.append_dot_mydomain { domain.as_str() } else { "" };
        (!domain.is_empty()).then(|| self.params.rewrite(mailbox, domain, parent))
    }

    /// The class of an address.
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn class(&self, mailbox: &Mailbox, facts: &Facts) -> Result<RouteClass, Pause> {
        Ok(self.resolve(mailbox, facts)?.class)
    }

    /// Whether the tables know a recipient (or, for `smtpd_reject_unlisted_sender`, a sender).
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn listed(&self, mailbox: &Mailbox, facts: &Facts) -> Result<Listed, Pause> {
        let unlisted = self.unlisted(mailbox, Role::Recipient, facts)?;
        Ok(unlisted.map_or(Listed::Yes, |unlisted| Listed::No(unlisted.class)))
    }

    /// Where a recipient goes next.
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn route(&self, envelope: &Envelope, recipient: &Mailbox, facts: &Facts) -> Result<Route, Pause> {
        self.find_route(envelope, recipient, facts)
    }
}
