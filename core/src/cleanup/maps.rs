//! What tables are asked with; the orders of keys are [`Rewrite`]'s.

use crate::ask::{Facts, Pause, TableName};
use crate::rewrite::Rewrite;
use crate::wire::Mailbox;

/// Rewriting, and the answers so far.
#[derive(Clone, Copy)]
pub(super) struct Maps<'a> {
    pub(super) rewrite: &'a Rewrite,
    pub(super) facts: &'a Facts,
}

impl Maps<'_> {
    /// The value that a table has for an address.
    pub(super) fn find(&self, tables: &[TableName], mailbox: &Mailbox) -> Result<Option<String>, Pause> {
        Ok(self.rewrite.find(tables, mailbox, self.facts)?.map(|found| found.value))
    }

    /// The addresses that a table has for one, complete; `None` when it has nothing.
    pub(super) fn map(
        &self,
        tables: &[TableName],
        mailbox: &Mailbox,
        propagate: bool,
    ) -> Result<Option<Vec<Mailbox>>, Pause> {
        self.rewrite.map_address(tables, mailbox, propagate, self.facts)
    }
}
