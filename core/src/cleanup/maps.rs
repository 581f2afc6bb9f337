//! Addresses looked up in tables, in the order of virtual(5) and canonical(5).
//!
//! user+ext@domain, user@domain, user+ext and user (where the domain is ours), @domain; tables of patterns see only the first.
//! The result is a list of addresses, complete, with the extension that no key matched.

use crate::ask::{Facts, Pause, TableName};
use crate::mail::RouteClass;
use crate::rewrite::Rewrite;
use crate::wire::{Mailbox, address_list};

/// What tables are asked with.
#[derive(Clone, Copy)]
pub(super) struct Maps<'a> {
    pub(super) rewrite: &'a Rewrite,
    pub(super) facts: &'a Facts,
    pub(super) recipient_delimiter: &'a str,
}

/// A value, and the extension of the address that its key did not have.
type Found = (String, Option<String>);

impl Maps<'_> {
    /// The value for an address, in Postfix's order of keys.
    pub(super) fn find(&self, tables: &[TableName], mailbox: &Mailbox) -> Result<Option<Found>, Pause> {
        if tables.is_empty() {
            return Ok(None);
        }
        let (base, extension) = split_extension(mailbox.local(), self.recipient_delimiter);
        let bare = Mailbox::new(base, mailbox.domain());
        if let Some(value) = self.ask(tables, &mailbox.external(), false)? {
            return Ok(Some((value, None)));
        }
        if let Some(extension) = extension
            && let Some(value) = self.ask(tables, &bare.external(), true)?
        {
            return Ok(Some((value, Some(extension.to_owned()))));
        }
        if tables.iter().all(TableName::is_pattern) {
            return Ok(None);
        }
        if self.is_ours(mailbox)? {
            if let Some(value) = self.ask(tables, &local_key(mailbox.local()), true)? {
                return Ok(Some((value, None)));
            }
            if let Some(extension) = extension
                && let Some(value) = self.ask(tables, &local_key(base), true)?
            {
                return Ok(Some((value, Some(extension.to_owned()))));
            }
        }
        let value = self.ask(tables, &format!("@{}", mailbox.domain()), true)?;
        Ok(value.map(|value| (value, None)))
    }

    /// The addresses that a table has for one; `None` when it has nothing.
    pub(super) fn map(
        &self,
        tables: &[TableName],
        mailbox: &Mailbox,
        propagate: bool,
    ) -> Result<Option<Vec<Mailbox>>, Pause> {
        let Some((value, extension)) = self.find(tables, mailbox)? else { return Ok(None) };
        let extension = extension.filter(|_| propagate);
        let complete = |found: Mailbox| {
            let found = self.rewrite.canonical(&found);
            match &extension {
                Some(extension) => Mailbox::new(&format!("{}{extension}", found.local()), found.domain()),
                None => found,
            }
        };
        Ok(Some(listed(&value, mailbox).into_iter().map(complete).collect()))
    }

    fn ask(&self, tables: &[TableName], key: &str, partial: bool) -> Result<Option<String>, Pause> {
        let key = key.to_lowercase();
        for table in tables.iter().filter(|table| !(partial && table.is_pattern())) {
            if let Some(value) = self.facts.lookup(table, &key)? {
                return Ok(Some(value.to_owned()));
            }
        }
        Ok(None)
    }

    /// The local part alone is a key too: the domain is `myorigin`, or delivered on this host.
    fn is_ours(&self, mailbox: &Mailbox) -> Result<bool, Pause> {
        let origin = self.rewrite.canonical(&Mailbox::new("postmaster", ""));
        Ok(mailbox.domain().is_empty()
            || mailbox.domain().eq_ignore_ascii_case(origin.domain())
            || self.rewrite.class(mailbox, self.facts)? == RouteClass::Local)
    }
}

fn local_key(local: &str) -> String {
    Mailbox::new(local, "").external()
}

/// The addresses of a value. `@domain` stands for the same local part at another domain.
fn listed(value: &str, mailbox: &Mailbox) -> Vec<Mailbox> {
    if !value.contains('@') || !value.split(',').any(|item| item.trim_start().starts_with('@')) {
        return address_list::mailboxes(value);
    }
    let one = |item: &str| match item.trim().strip_prefix('@') {
        Some(domain) => vec![Mailbox::new(mailbox.local(), domain)],
        None => address_list::mailboxes(item),
    };
    value.split(',').flat_map(one).collect()
}

/// The local part without its extension, and the extension with its delimiter.
pub(super) fn split_extension<'a>(local: &'a str, delimiters: &str) -> (&'a str, Option<&'a str>) {
    let reserved = ["double-bounce", "mailer-daemon", "postmaster"];
    if reserved.iter().any(|name| local.eq_ignore_ascii_case(name)) {
        return (local, None);
    }
    let lower = local.to_ascii_lowercase();
    // Mailing lists own these forms (owner-x, x-request).
    if delimiters.contains('-') && (lower.starts_with("owner-") || lower.ends_with("-request")) {
        return (local, None);
    }
    let found = local.char_indices().find(|(place, c)| *place > 0 && delimiters.contains(*c));
    match found {
        Some((place, _)) => (&local[..place], Some(&local[place..])),
        None => (local, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_begin_at_the_first_delimiter_but_not_at_the_start() {
        assert_eq!(split_extension("joe+a+b", "+"), ("joe", Some("+a+b")));
        assert_eq!(split_extension("+joe", "+"), ("+joe", None));
        assert_eq!(split_extension("joe+a", ""), ("joe+a", None));
        assert_eq!(split_extension("owner-list", "-"), ("owner-list", None));
        assert_eq!(split_extension("list-request", "+-"), ("list-request", None));
    }

    #[test]
    fn a_value_may_name_only_another_domain() {
        let joe = Mailbox::new("joe", "a.example");
        assert_eq!(listed("@b.example", &joe), [Mailbox::new("joe", "b.example")]);
        assert_eq!(listed("x@b, y", &joe), [Mailbox::new("x", "b"), Mailbox::new("y", "")]);
    }
}
