//! The pass over the recipients: canonical, bcc, virtual aliases, no duplicates.
//!
//! It goes on at the recipient at which it paused.

use super::Draft;
use super::expand::Expansion;
use super::mapping::{Position, mapped};
use super::maps::Maps;
use super::params::Params;
use super::replies::{Stop, no_recipients};
use crate::ask::TableName;
use crate::mail::{Notify, OriginalRecipient, Recipient, Sender};
use crate::wire::{Mailbox, address_list};
use std::collections::BTreeSet;

/// What makes two recipients the same: address, the address that was given, ORCPT and NOTIFY.
type Seen = (String, String, Option<OriginalRecipient>, Notify);

/// The recipients so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Pass {
    /// Still to be done; the first is at work. A copy is not copied again.
    waiting: Vec<(Recipient, Copy)>,
    next: usize,
    begun: bool,
    expansion: Option<Expansion>,
    done: Vec<Recipient>,
    seen: BTreeSet<Seen>,
}

/// Whether a recipient was added by a bcc rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Copy {
    Bcc,
    Named,
}

/// What the pass works with.
#[derive(Clone, Copy)]
pub(super) struct Bench<'a> {
    pub(super) draft: &'a Draft,
    pub(super) params: &'a Params,
    pub(super) maps: Maps<'a>,
    pub(super) sender: &'a Sender,
    /// Of header rules.
    pub(super) bcc: &'a [Mailbox],
}

impl Pass {
    /// Recipients that are done.
    pub(super) const fn done(&self) -> usize {
        self.next
    }

    /// Runs to the end, or to the next pause.
    pub(super) fn run(&mut self, bench: Bench<'_>) -> Result<Vec<Recipient>, Stop> {
        if !self.begun {
            self.begin(bench)?;
        }
        while let Some((recipient, copy)) = self.waiting.get(self.next).cloned() {
            if self.expansion.is_none() {
                self.open(&recipient, copy, bench)?;
            }
            if let Some(expansion) = &mut self.expansion {
                let addresses = if bench.params.no_address_mappings {
                    expansion.recipient().to_vec()
                } else {
                    expansion.run(bench.params, bench.maps)?.to_vec()
                };
                for address in addresses {
                    self.add(&recipient, address, bench.params);
                }
            }
            self.expansion = None;
            self.next += 1;
        }
        if self.done.is_empty() { Err(no_recipients()) } else { Ok(std::mem::take(&mut self.done)) }
    }

    /// Those of the envelope, and the copies that do not depend on one.
    fn begin(&mut self, bench: Bench<'_>) -> Result<(), Stop> {
        let mut copies = bench.bcc.to_vec();
        if copying(bench) {
            if let Some(sender) = bench.sender.mailbox() {
                copies.extend(copy_for(&bench.params.sender_bcc_maps, sender, bench)?);
            }
            copies.extend(address_list::mailboxes(&bench.params.always_bcc).into_iter().next());
        }
        let named = bench.draft.envelope.recipients.iter().cloned();
        self.waiting = named.map(|recipient| (recipient, Copy::Named)).collect();
        copies.into_iter().for_each(|mailbox| self.copy(&mailbox, bench));
        self.begun = true;
        Ok(())
    }

    fn copy(&mut self, mailbox: &Mailbox, bench: Bench<'_>) {
        let address = bench.maps.rewrite.canonical(mailbox);
        // The sender shall not learn of copies: nobody reports on them.
        self.waiting.push((Recipient { notify: Notify::NEVER, ..Recipient::new(address) }, Copy::Bcc));
    }

    /// The recipient after canonical tables, and its copy.
    fn open(&mut self, recipient: &Recipient, copy: Copy, bench: Bench<'_>) -> Result<(), Stop> {
        let params = bench.params;
        let mut address = recipient.address.clone();
        if address.local().is_empty() && address.domain().is_empty() {
            address = bench.maps.rewrite.canonical(&Mailbox::new(&params.empty_address_recipient, ""));
        }
        let address = mapped(&address, Position::EnvelopeRecipient, params, bench.maps)?;
        if copy == Copy::Named
            && copying(bench)
            && let Some(mailbox) = copy_for(&params.recipient_bcc_maps, &address, bench)?
        {
            self.copy(&mailbox, bench);
        }
        self.expansion = Some(Expansion::new(address));
        Ok(())
    }

    fn add(&mut self, recipient: &Recipient, address: Mailbox, params: &Params) {
        let given = recipient.original.as_ref().unwrap_or(&recipient.address);
        let original = (params.enable_original_recipient && *given != address).then(|| given.clone());
        let key = (
            address.folded(),
            if params.enable_original_recipient { given.folded() } else { String::new() },
            recipient.orcpt.clone(),
            recipient.notify,
        );
        if self.seen.contains(&key) {
            return;
        }
        if params.duplicate_filter_limit == 0 || self.seen.len() < params.duplicate_filter_limit {
            self.seen.insert(key);
        }
        let (orcpt, notify) = (recipient.orcpt.clone(), recipient.notify);
        self.done.push(Recipient { address, original, orcpt, notify });
    }
}

fn copying(bench: Bench<'_>) -> bool {
    bench.draft.filtered && !bench.params.no_address_mappings
}

fn copy_for(tables: &[TableName], mailbox: &Mailbox, bench: Bench<'_>) -> Result<Option<Mailbox>, Stop> {
    let found = bench.maps.find(tables, mailbox)?;
    Ok(found.and_then(|value| address_list::mailboxes(&value).into_iter().next()))
}
