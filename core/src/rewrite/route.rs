//! Where mail goes next: class, transport tables, relay hosts. transport(5), trivial-rewrite(8), and what qmgr(8)
//! adds: FILTER of an envelope, and mail to the double-bounce address, which is thrown away.

use super::listed::split_status;
use super::maps::ask;
use super::{Resolved, Rewrite};
use crate::ask::{Facts, Pause};
use crate::mail::{Diagnosis, Envelope, Route, RouteClass, Sender};
use crate::tables::domain_keys;
use crate::wire::{EnhancedStatus, Mailbox, folded};
use std::borrow::Cow;

/// A transport and where it shall deliver to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hop {
    /// Name of the master.cf service.
    pub transport: String,
    /// Where to, or the text of `error` and `discard`.
    pub nexthop: String,
}

/// `transport:nexthop`; either may be empty.
fn split_hop(text: &str) -> (&str, &str) {
    let (transport, nexthop) = text.split_once(':').unwrap_or((text, ""));
    (transport.trim(), nexthop.trim())
}

impl Rewrite {
    pub(super) fn find_route(
        &self,
        envelope: &Envelope,
        recipient: &Mailbox,
        facts: &Facts,
    ) -> Result<Route, Pause> {
        let resolved = self.resolve(recipient, facts)?;
        if resolved.malformed {
            let status = EnhancedStatus::new(5, 1, 3);
            return Ok(Route::Nowhere(Diagnosis::ours(status, "bad address syntax")));
        }
        let class = resolved.class;
        let to = |hop: Hop, recipient| Route::To {
            transport: hop.transport,
            nexthop: hop.nexthop,
            recipient,
            class,
        };
        if let Some(filter) = &envelope.filter {
            let (transport, nexthop) = split_hop(filter);
            let nexthop = if nexthop.is_empty() { resolved.mailbox.domain() } else { nexthop };
            let hop = Hop { transport: transport.to_owned(), nexthop: nexthop.to_owned() };
            return Ok(to(hop, resolved.mailbox));
        }
        let hop = self.hop(&envelope.sender, &resolved, facts)?;
        let own = &self.params.double_bounce_sender;
        if class == RouteClass::Local && resolved.mailbox.local().eq_ignore_ascii_case(own) {
            // Notices to the postmaster come from it: what comes back would go in circles.
            let nexthop = "undeliverable postmaster notification discarded".to_owned();
            return Ok(to(Hop { transport: "discard".to_owned(), nexthop }, resolved.mailbox));
        }
        if matches!(hop.transport.as_str(), "error" | "retry") {
            return Ok(Route::Nowhere(undeliverable(&hop)));
        }
        Ok(to(hop, resolved.mailbox))
    }

    /// Transport and nexthop of an address; an `error` transport where none can be had.
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn hop(&self, sender: &Sender, resolved: &Resolved, facts: &Facts) -> Result<Hop, Pause> {
        let mut hop = self.default_hop(sender, resolved, facts)?;
        // A transport table must not revive an address that no virtual alias explained.
        if resolved.class != RouteClass::VirtualAlias
            && let Some(text) = self.transport_entry(&resolved.mailbox, facts)?
        {
            override_hop(&mut hop, &text, &resolved.mailbox.domain().to_lowercase());
        }
        if let Some(found) = self.find(&self.params.relocated_maps, &resolved.mailbox, facts)? {
            hop.transport = "error".to_owned();
            hop.nexthop = format!("5.1.6 User has moved to {}", found.value);
        }
        Ok(hop)
    }

    fn default_hop(&self, sender: &Sender, resolved: &Resolved, facts: &Facts) -> Result<Hop, Pause> {
        let params = &self.params;
        // One destination has one queue, however a sender writes it.
        let domain = &*folded(resolved.mailbox.domain());
        let (service, fallback): (Cow<'_, str>, String) = match resolved.class {
            RouteClass::VirtualAlias => {
                let nexthop = format!("5.1.1 User unknown{}", self.table_name(resolved.class));
                return Ok(Hop { transport: "error".to_owned(), nexthop });
            }
            RouteClass::Local => (Cow::Borrowed(&params.local_transport), params.myhostname.clone()),
            RouteClass::VirtualMailbox => (Cow::Borrowed(&params.virtual_transport), domain.to_owned()),
            RouteClass::Relay => {
                let fixed = !split_hop(&params.relay_transport).1.is_empty();
                let fallback = if fixed { String::new() } else { self.relay_nexthop(sender, domain, facts)? };
                (Cow::Borrowed(&params.relay_transport), fallback)
            }
            RouteClass::Default => {
                let tables = &params.sender_dependent_default_transport_maps;
                let key = &params.empty_address_default_transport_maps_lookup_key;
                let service = match self.by_sender(tables, sender, key, facts)? {
                    Some(service) => Cow::Owned(service),
                    None => Cow::Borrowed(params.default_transport.as_str()),
                };
                let fixed = !split_hop(&service).1.is_empty();
                let fallback = if fixed { String::new() } else { self.relay_nexthop(sender, domain, facts)? };
                (service, fallback)
            }
        };
        let (transport, nexthop) = split_hop(&service);
        let nexthop = if nexthop.is_empty() { fallback } else { nexthop.to_owned() };
        Ok(Hop { transport: transport.to_owned(), nexthop })
    }

    fn relay_nexthop(&self, sender: &Sender, domain: &str, facts: &Facts) -> Result<String, Pause> {
        let params = &self.params;
        let tables = &params.sender_dependent_relayhost_maps;
        let key = &params.empty_address_relayhost_maps_lookup_key;
        if let Some(relayhost) = self.by_sender(tables, sender, key, facts)? {
            return Ok(relayhost);
        }
        Ok(if params.relayhost.is_empty() { domain.to_owned() } else { params.relayhost.clone() })
    }

    /// What a sender-dependent table says; `DUNNO` and silence are `None`.
    fn by_sender(
        &self,
        tables: &[crate::ask::TableName],
        sender: &Sender,
        null_key: &str,
        facts: &Facts,
    ) -> Result<Option<String>, Pause> {
        let found = match sender {
            Sender::Mailbox(mailbox) => self.find(tables, mailbox, facts)?.map(|found| found.value),
            Sender::Null if null_key.is_empty() => None,
            Sender::Null => ask(tables, null_key, true, facts)?,
        };
        Ok(found.filter(|text| !text.eq_ignore_ascii_case("DUNNO")))
    }

    /// `user+ext@domain`, `user@domain`, the domain and those above it, `*`.
    fn transport_entry(&self, mailbox: &Mailbox, facts: &Facts) -> Result<Option<String>, Pause> {
        let tables = &self.params.transport_maps;
        if tables.is_empty() {
            return Ok(None);
        }
        let domain = mailbox.domain();
        let look = |key: &str, whole| ask(tables, key, whole, facts);
        // A decision that pauses here comes by again for each key: none is made before it is asked for.
        let external = mailbox.external();
        if let Some(text) = look(&external, true)? {
            return Ok(Some(text));
        }
        // Only quotes make a difference.
        if external.starts_with('"')
            && let Some(text) = look(&mailbox.plain(), false)?
        {
            return Ok(Some(text));
        }
        if let Some((user, _)) = self.split_extension(mailbox.local())
            && let Some(text) = look(&Mailbox::new(user, domain).external(), false)?
        {
            return Ok(Some(text));
        }
        for key in domain_keys(domain, self.params.transport_parents) {
            if let Some(text) = look(key, false)? {
                return Ok(Some(text));
            }
        }
        look("*", false)
    }
}

fn override_hop(hop: &mut Hop, text: &str, domain: &str) {
    let (transport, nexthop) = split_hop(text);
    if !transport.is_empty() {
        transport.clone_into(&mut hop.transport);
        let default = if transport == "error" { "Address is undeliverable" } else { domain };
        default.clone_into(&mut hop.nexthop);
    }
    if !nexthop.is_empty() {
        nexthop.clone_into(&mut hop.nexthop);
    }
}

/// The text of an `error` or `retry` transport: a status at its start is its status (else 5.0.0 or 4.0.0).
fn undeliverable(hop: &Hop) -> Diagnosis {
    let (status, why) = split_status(&hop.nexthop);
    let mut fields =
        status.iter().flat_map(|status| status.split('.')).map(|field| field.parse().unwrap_or(0));
    let class = fields.next();
    let (subject, detail) = (fields.next().unwrap_or(0), fields.next().unwrap_or(0));
    // 2.x.x would be a success, which an address without a way to it is not.
    let class = if hop.transport == "retry" || class == Some(4) { 4 } else { 5 };
    Diagnosis::ours(EnhancedStatus::new(class, subject, detail), why)
}
