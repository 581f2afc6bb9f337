//! One address into another: canonical(5) tables and masquerading. The same for envelope and header.

use super::maps::Maps;
use super::params::{Classes, Params};
use super::replies::{Stop, unreasonable};
use crate::ask::TableName;
use crate::mail::Sender;
use crate::wire::Mailbox;

/// Canonical tables that lead to each other are followed this far, as in Postfix.
const CANONICAL_NESTING_MAX: usize = 10;

/// Where an address stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Position {
    EnvelopeSender,
    EnvelopeRecipient,
    HeaderSender,
    HeaderRecipient,
}

impl Position {
    const fn of(self, classes: Classes) -> bool {
        match self {
            Self::EnvelopeSender => classes.envelope_sender,
            Self::EnvelopeRecipient => classes.envelope_recipient,
            Self::HeaderSender => classes.header_sender,
            Self::HeaderRecipient => classes.header_recipient,
        }
    }
}

/// Applies canonical tables and masquerading to an address that is complete.
pub(super) fn mapped(
    mailbox: &Mailbox,
    position: Position,
    params: &Params,
    maps: Maps<'_>,
) -> Result<Mailbox, Stop> {
    if params.no_address_mappings {
        return Ok(mailbox.clone());
    }
    let sender = matches!(position, Position::EnvelopeSender | Position::HeaderSender);
    let (special, classes, kind) = if sender {
        (&params.sender_canonical_maps, params.sender_canonical_classes, "sender_canonical_maps")
    } else {
        (&params.recipient_canonical_maps, params.recipient_canonical_classes, "recipient_canonical_maps")
    };
    let mut mailbox = mailbox.clone();
    if position.of(classes) {
        mailbox = canonical(mailbox, special, kind, params, maps)?;
    }
    if position.of(params.canonical_classes) {
        mailbox = canonical(mailbox, &params.canonical_maps, "canonical_maps", params, maps)?;
    }
    if position.of(params.masquerade_classes) {
        mailbox = masqueraded(mailbox, params);
    }
    Ok(mailbox)
}

/// The sender of the envelope; the null sender is no address.
pub(super) fn mapped_sender(sender: &Sender, params: &Params, maps: Maps<'_>) -> Result<Sender, Stop> {
    match sender {
        Sender::Null => Ok(Sender::Null),
        Sender::Mailbox(mailbox) => {
            mapped(mailbox, Position::EnvelopeSender, params, maps).map(Sender::Mailbox)
        }
    }
}

fn canonical(
    mut mailbox: Mailbox,
    tables: &[TableName],
    kind: &str,
    params: &Params,
    maps: Maps<'_>,
) -> Result<Mailbox, Stop> {
    for _ in 0..CANONICAL_NESTING_MAX {
        // Of several addresses the first counts: one address stands in one place.
        let found = maps.map(tables, &mailbox, params.propagate_canonical)?;
        let Some(next) = found.and_then(|found| found.into_iter().next()) else { return Ok(mailbox) };
        if same(&next, &mailbox) {
            return Ok(next);
        }
        mailbox = next;
    }
    Err(unreasonable("nesting", kind, &mailbox.external()))
}

/// Equal but for case.
pub(super) fn same(one: &Mailbox, other: &Mailbox) -> bool {
    one.external().to_lowercase() == other.external().to_lowercase()
}

/// Hides the subdomain, where one of `masquerade_domains` is a parent. The first that fits decides.
fn masqueraded(mailbox: Mailbox, params: &Params) -> Mailbox {
    let (local, domain) = (mailbox.local().to_lowercase(), mailbox.domain().to_lowercase());
    if params.masquerade_exceptions.contains(&local) {
        return mailbox;
    }
    for item in &params.masquerade_domains {
        let name = item.trim_start_matches('!');
        let kept = (item.len() - name.len()) % 2 == 1;
        if domain == name {
            return mailbox;
        }
        if domain.strip_suffix(name).is_some_and(|host| host.ends_with('.')) {
            return if kept { mailbox } else { Mailbox::new(mailbox.local(), name) };
        }
    }
    mailbox
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masquerade(domains: &[&str], address: (&str, &str)) -> String {
        let params = Params {
            masquerade_domains: domains.iter().map(|d| (*d).to_owned()).collect(),
            masquerade_exceptions: vec!["root".to_owned()],
            ..Params::default()
        };
        masqueraded(Mailbox::new(address.0, address.1), &params).external()
    }

    #[test]
    fn subdomains_are_hidden_in_the_order_of_the_list() {
        let domains = ["foo.example.com", "!sub.example.com", "example.com"];
        assert_eq!(masquerade(&domains, ("a", "x.foo.example.com")), "a@foo.example.com");
        assert_eq!(masquerade(&domains, ("a", "any.Example.com")), "a@example.com");
        assert_eq!(masquerade(&domains, ("a", "x.sub.example.com")), "a@x.sub.example.com");
        assert_eq!(masquerade(&domains, ("a", "notexample.com")), "a@notexample.com");
        assert_eq!(masquerade(&domains, ("Root", "any.example.com")), "Root@any.example.com");
    }
}
