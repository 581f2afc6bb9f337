//! Is there such a user? ADDRESS_CLASS_README, LOCAL_RECIPIENT_README.
//!
//! An address that a canonical or virtual alias table knows exists; cleanup makes something else of it. For the rest
//! each class has a table; a class whose table is not configured knows everybody.

use super::Rewrite;
use crate::ask::{Facts, Pause, TableName};
use crate::mail::{RouteClass, Sender};
use crate::wire::Mailbox;

/// As what an address is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Somebody who sends: sender_canonical_maps count as well.
    Sender,
    /// Somebody who receives.
    Recipient,
}

/// There is no such user, or no way to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unlisted {
    /// Class of the address.
    pub class: RouteClass,
    /// `User unknown in local recipient table`, or the text of an `error:` route.
    pub why: String,
    /// The status that an `error:` route's text began with, such as `5.1.6`; none for a plain unknown user.
    pub status: Option<String>,
    /// It is a `retry:` route: not for ever.
    pub temporary: bool,
}

impl Rewrite {
    /// Why the tables do not know an address; `None` when they do, or when its class has none.
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn unlisted(&self, mailbox: &Mailbox, role: Role, facts: &Facts) -> Result<Option<Unlisted>, Pause> {
        let params = &self.params;
        let resolved = self.resolve(mailbox, facts)?;
        let address = &resolved.mailbox;
        let mut maps: Vec<&[TableName]> = vec![&params.recipient_canonical_maps];
        if role == Role::Sender {
            maps.push(&params.sender_canonical_maps);
        }
        maps.extend([params.canonical_maps.as_slice(), &params.virtual_alias_maps]);
        for tables in maps {
            if self.find(tables, address, facts)?.is_some() {
                return Ok(None);
            }
        }
        let hop = self.hop(&Sender::Null, &resolved, facts)?;
        let temporary = hop.transport == "retry";
        if temporary || hop.transport == "error" {
            let (status, why) = split_status(&hop.nexthop);
            return Ok(Some(Unlisted { class: resolved.class, why: why.to_owned(), status, temporary }));
        }
        let tables = match resolved.class {
            RouteClass::Local if self.is_special(address.local()) => return Ok(None),
            RouteClass::Local => &params.local_recipient_maps,
            RouteClass::VirtualMailbox => &params.virtual_mailbox_maps,
            RouteClass::Relay => &params.relay_recipient_maps,
            RouteClass::VirtualAlias | RouteClass::Default => return Ok(None),
        };
        if tables.is_empty() || self.find(tables, address, facts)?.is_some() {
            return Ok(None);
        }
        let why = format!("User unknown{}", self.table_name(resolved.class));
        Ok(Some(Unlisted { class: resolved.class, why, status: None, temporary: false }))
    }

    /// Names that always exist: the postmaster (RFC 5321 4.5.1), whom reports come from, and where they end.
    fn is_special(&self, local: &str) -> bool {
        ["postmaster", "mailer-daemon", self.params.double_bounce_sender.as_str()]
            .iter()
            .any(|name| local.eq_ignore_ascii_case(name))
    }

    /// ` in local recipient table` and its like; nothing when show_user_unknown_table_name is off.
    pub(super) fn table_name(&self, class: RouteClass) -> &'static str {
        if !self.params.show_user_unknown_table_name {
            return "";
        }
        match class {
            RouteClass::Local => " in local recipient table",
            RouteClass::VirtualAlias => " in virtual alias table",
            RouteClass::VirtualMailbox => " in virtual mailbox table",
            RouteClass::Relay => " in relay recipient table",
            RouteClass::Default => "",
        }
    }
}

/// Splits `5.1.1 text`.
pub(crate) fn split_status(text: &str) -> (Option<String>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut fields = word.split('.');
    let number = |field: Option<&str>| {
        field.is_some_and(|f| (1..=3).contains(&f.len()) && f.bytes().all(|b| b.is_ascii_digit()))
    };
    let class = matches!(fields.next(), Some("2" | "4" | "5"));
    if class && number(fields.next()) && number(fields.next()) && fields.next().is_none() {
        (Some(word.to_owned()), rest.trim_start())
    } else {
        (None, text)
    }
}
