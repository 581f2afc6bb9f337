//! virtual(5): a recipient replaced by its aliases, and theirs, within bounds.
//!
//! It goes on where it paused: each table is asked once for each address, however long the list.

use super::mapping::same;
use super::maps::Maps;
use super::params::Params;
use super::replies::{Stop, unreasonable};
use crate::wire::Mailbox;
use std::collections::BTreeSet;

/// An expansion under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Expansion {
    /// The recipient first; each is replaced by its aliases until it has none.
    addresses: Vec<Mailbox>,
    /// The one at work, and how often it was replaced.
    at: usize,
    depth: usize,
    /// Addresses that gave themselves: they stay.
    selves: BTreeSet<String>,
}

impl Expansion {
    pub(super) fn new(recipient: Mailbox) -> Self {
        Self { addresses: vec![recipient], at: 0, depth: 0, selves: BTreeSet::new() }
    }

    /// What it began with, unexpanded.
    pub(super) fn recipient(&self) -> &[Mailbox] {
        self.addresses.get(..1).unwrap_or_default()
    }

    /// Runs to the end, or to the next pause.
    pub(super) fn run(&mut self, params: &Params, maps: Maps<'_>) -> Result<&[Mailbox], Stop> {
        while let Some(address) = self.addresses.get(self.at) {
            if self.addresses.len() > params.virtual_alias_expansion_limit {
                return Err(self.too_much("expansion size"));
            }
            let key = address.external().to_lowercase();
            let found = if self.selves.contains(&key) {
                None
            } else {
                maps.map(&params.virtual_alias_maps, address, params.propagate_virtual)?
            };
            match found {
                Some(found) if !found.is_empty() => self.replace(found, key, params)?,
                _ => {
                    self.at += 1;
                    self.depth = 0;
                }
            }
        }
        Ok(&self.addresses)
    }

    fn replace(&mut self, found: Vec<Mailbox>, key: String, params: &Params) -> Result<(), Stop> {
        if self.depth >= params.virtual_alias_recursion_limit {
            return Err(self.too_much("nesting"));
        }
        let too_long =
            |mailbox: &Mailbox| mailbox.external().len() > params.virtual_alias_address_length_limit;
        if found.iter().any(too_long) {
            return Err(self.too_much("result"));
        }
        self.depth += 1;
        let Some(place) = self.addresses.get_mut(self.at) else { return Ok(()) };
        let before = place.clone();
        if found.iter().any(|mailbox| same(mailbox, &before)) {
            self.selves.insert(key);
        }
        let mut found = found.into_iter();
        if let Some(first) = found.next() {
            *place = first;
        }
        self.addresses.extend(found);
        Ok(())
    }

    fn too_much(&self, what: &str) -> Stop {
        let recipient = self.addresses.first().map(Mailbox::external).unwrap_or_default();
        unreasonable(what, "virtual_alias_maps", &recipient)
    }
}
