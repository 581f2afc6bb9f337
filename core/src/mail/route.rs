//! Where a recipient goes next. Routes are never stored: they are found again whenever a message becomes active.

use crate::mail::Diagnosis;
use crate::wire::Mailbox;
use serde::{Deserialize, Serialize};

/// The class of an address (ADDRESS_CLASS_README).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RouteClass {
    /// `mydestination`, or an address literal of ours.
    Local,
    /// `virtual_alias_domains`: every address must have been an alias.
    VirtualAlias,
    /// `virtual_mailbox_domains`.
    VirtualMailbox,
    /// `relay_domains`.
    Relay,
    /// All others.
    Default,
}

/// What routing came to for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Route {
    /// Hand it to this transport.
    To {
        /// Name of the master.cf service.
        transport: String,
        /// Where to; for `error` and `discard` the text.
        nexthop: String,
        /// The address as the transport shall see it.
        recipient: Mailbox,
        /// Class of the address.
        class: RouteClass,
    },
    /// It can not be delivered (a bare virtual alias domain, a null address): the diagnosis is 4.x.x or 5.x.x.
    Nowhere(Diagnosis),
}
