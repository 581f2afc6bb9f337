//! How an address is looked up: the orders of keys of canonical(5), virtual(5), relocated(5) and the recipient tables.
//!
//! `user+ext@domain`, `user@domain`, `user+ext`, `user` (both only where the domain is ours), `@domain`. Each key
//! goes to each table before the next key. Tables of patterns are asked for the first key only.
//! Keys are tried in their external form (quoted where they must be), then as they are.

use super::Rewrite;
use crate::ask::{Facts, Pause, TableName};
use crate::mail::Extensions;
use crate::wire::{Mailbox, folded};

/// What a lookup found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Found {
    /// The table's text.
    pub value: String,
    /// The extension with its delimiter, where the key that matched does not have it.
    pub unmatched: Option<String>,
}

/// One key for one form of an address.
struct Key {
    text: String,
    /// The whole address: the only one that tables of patterns are asked for.
    whole: bool,
    bare: bool,
}

/// Asks each table for a key; keys of all but patterns are folded to lower case.
pub(crate) fn ask(
    tables: &[TableName],
    key: &str,
    whole: bool,
    facts: &Facts,
) -> Result<Option<String>, Pause> {
    for table in tables {
        let found = if !table.is_pattern() {
            facts.lookup(table, &folded(key))?
        } else if whole {
            facts.lookup(table, key)?
        } else {
            None
        };
        if let Some(value) = found {
            return Ok(Some(value.to_owned()));
        }
    }
    Ok(None)
}

impl Rewrite {
    /// A local part split into user and extension; the extension has its delimiter.
    #[must_use]
    pub fn split_extension<'a>(&self, local: &'a str) -> Option<(&'a str, &'a str)> {
        let params = &self.params;
        let extensions = Extensions {
            delimiters: &params.recipient_delimiter,
            owner_request_special: params.owner_request_special,
            double_bounce_sender: &params.double_bounce_sender,
        };
        extensions.split(local)
    }

    /// The keys for an address, with `user` and `user+ext` where its domain is ours.
    fn keys(&self, mailbox: &Mailbox, facts: &Facts) -> Result<Vec<Key>, Pause> {
        let (local, domain) = (mailbox.local(), mailbox.domain());
        let bare = self.split_extension(local).map(|(user, _)| user);
        let ours = domain.is_empty()
            || domain.eq_ignore_ascii_case(&self.params.myorigin)
            || self.is_local_domain(domain, facts)?;
        let mut keys = Vec::new();
        let mut add = |mailbox: &Mailbox, whole: bool, bare: bool| {
            let external = mailbox.external();
            let plain = mailbox.plain();
            let both = external != plain;
            keys.push(Key { text: external, whole, bare });
            if both {
                keys.push(Key { text: plain, whole, bare });
            }
        };
        if !domain.is_empty() {
            add(mailbox, true, false);
            if let Some(user) = bare {
                add(&Mailbox::new(user, domain), false, true);
            }
        }
        if ours {
            add(&Mailbox::new(local, ""), domain.is_empty(), false);
            if let Some(user) = bare {
                add(&Mailbox::new(user, ""), false, true);
            }
        }
        if !domain.is_empty() {
            keys.push(Key { text: format!("@{domain}"), whole: false, bare: bare.is_some() });
        }
        Ok(keys)
    }

    /// Finds an address in tables.
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn find(
        &self,
        tables: &[TableName],
        mailbox: &Mailbox,
        facts: &Facts,
    ) -> Result<Option<Found>, Pause> {
        if tables.is_empty() || mailbox.local().is_empty() {
            return Ok(None);
        }
        for key in self.keys(mailbox, facts)? {
            if let Some(value) = ask(tables, &key.text, key.whole, facts)? {
                let extension = self.split_extension(mailbox.local()).filter(|_| key.bare);
                let unmatched = extension.map(|(_, extension)| extension.to_owned());
                return Ok(Some(Found { value, unmatched }));
            }
        }
        Ok(None)
    }

    /// What an address is mapped to by canonical or virtual tables: one step, addresses canonical, duplicates kept. `@other`
    /// means the same user there. `propagate`: an unmatched extension goes on to the results
    /// (propagate_unmatched_extensions has this kind of table). An empty value maps to nothing: `Some` of no addresses.
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn map_address(
        &self,
        tables: &[TableName],
        mailbox: &Mailbox,
        propagate: bool,
        facts: &Facts,
    ) -> Result<Option<Vec<Mailbox>>, Pause> {
        let Some(found) = self.find(tables, mailbox, facts)? else { return Ok(None) };
        let user = match &found.unmatched {
            Some(extension) => mailbox.local().strip_suffix(extension.as_str()).unwrap_or(mailbox.local()),
            None => mailbox.local(),
        };
        let extension = found.unmatched.as_deref().filter(|_| propagate).unwrap_or("");
        let results = parse_addresses(&found.value).into_iter().map(|result| {
            let local = if result.local().is_empty() { user } else { result.local() };
            let result = self.canonical(&Mailbox::new(local, result.domain()));
            Mailbox::new(&format!("{}{extension}", result.local()), result.domain())
        });
        Ok(Some(results.collect()))
    }
}

/// The addresses of a table's text: separated by commas or white space, each perhaps in angle brackets. `@domain` has an empty
/// local part.
#[must_use]
pub fn parse_addresses(text: &str) -> Vec<Mailbox> {
    let mut found = Vec::new();
    let mut item = String::new();
    let mut quoted = false;
    let mut escaped = false;
    for c in text.chars().chain([',']) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' | ' ' | '\t' | '\r' | '\n' if !quoted => {
                found.extend(parse_address(&std::mem::take(&mut item)));
                continue;
            }
            _ => {}
        }
        item.push(c);
    }
    found.extend(parse_address(&item));
    found
}

/// One address in external form: split at the last `@` outside quotes, and unquoted. `None` for nothing.
#[must_use]
pub fn parse_address(text: &str) -> Option<Mailbox> {
    let text = text.trim();
    let text = text.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(text);
    let mut local = String::new();
    let mut split = None;
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                escaped = false;
                local.push(c);
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '@' if !quoted => {
                split = Some((local.len(), at));
                local.push(c);
            }
            _ => local.push(c),
        }
    }
    let domain = split.map_or("", |(_, at)| &text[at + 1..]);
    local.truncate(split.map_or(local.len(), |(length, _)| length));
    (!local.is_empty() || !domain.is_empty()).then(|| Mailbox::new(&local, domain))
}
