//! The ends of the walk: mailboxes, other transports, and mail for nobody.

use super::expand::expand;
use super::items::{self, Item};
use super::user::User;
use super::walk::{RELAY, Source, Stop, Walk, deferred, failed};
use super::{Deposit, Fault, Format, Handover, diagnosis, fault, split_extension, trace};
use crate::ask::{Pause, TableName};
use crate::mail::Outcome;

/// Where the path of a deposit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// `mail_spool_directory`.
    Spool,
    /// `home_mailbox`.
    Home,
    /// An alias or a `.forward` names it.
    Named,
}

impl Walk<'_> {
    /// The mailbox of a user, or what is done with mail for nobody.
    pub(super) fn mailbox_of(&mut self, name: &str) -> Result<(), Stop> {
        let base = split_extension(name, self.params).0.to_owned();
        let params = self.params;
        let user = User::find(&base, self.facts)?;
        if self.hand_over(&params.mailbox_transport_maps, &params.mailbox_transport, &base)? {
            return Ok(());
        }
        let Some(user) = user else { return self.unknown(name, &base) };
        if !params.mailbox_command.is_empty() || self.by_user(&params.mailbox_command_maps, &base)?.is_some()
        {
            return Err(deferred((4, 3, 5), "delivery to commands does not work yet"));
        }
        let in_spool = params.home_mailbox.is_empty();
        let path = if in_spool {
            let directory = params.mail_spool_directory.trim_end_matches('/');
            let slash = if params.mail_spool_directory.ends_with('/') { "/" } else { "" };
            format!("{directory}/{}{slash}", user.name)
        } else {
            format!("{}/{}", user.home.trim_end_matches('/'), params.home_mailbox)
        };
        let what = if path.ends_with('/') { "maildir" } else { "mailbox" };
        self.text = format!("delivered to {what}");
        self.deposit(path, &user, if in_spool { Whose::Spool } else { Whose::Home })
    }

    pub(super) fn deposit(&mut self, path: String, user: &User, whose: Whose) -> Result<(), Stop> {
        let params = self.params;
        let format = if path.ends_with('/') { Format::Maildir } else { Format::Mbox };
        let deposit = Deposit {
            path,
            format,
            uid: user.uid,
            gid: user.gid,
            header: trace(self.job, params.enable_original_recipient, params.delivered_to_file),
            limit: params.mailbox_size_limit,
            locks: params.mailbox_delivery_lock,
            stale_lock: params.stale_lock_time,
            in_spool: whose == Whose::Spool,
            strict_owner: whose != Whose::Named && params.strict_mailbox_ownership,
            owner: user.name.clone(),
        };
        if deposit.limit > 0 && self.job.attempt.size > deposit.limit {
            return Err(Stop::Outcome(Box::new(fault(&deposit, &Fault::Full, RELAY))));
        }
        if !self.deposits.contains(&deposit) {
            self.deposits.push(deposit);
        }
        Ok(())
    }

    fn by_user(&self, tables: &[TableName], name: &str) -> Result<Option<String>, Pause> {
        for table in tables {
            if let Some(value) = self.facts.lookup(table, name)? {
                return Ok(Some(value.to_owned()));
            }
        }
        Ok(None)
    }

    /// True when a table or a parameter names a transport for this user.
    fn hand_over(&mut self, tables: &[TableName], fixed: &str, name: &str) -> Result<bool, Pause> {
        let found = self.by_user(tables, name)?.unwrap_or_else(|| fixed.to_owned());
        if found.is_empty() {
            return Ok(false);
        }
        let (transport, nexthop) = found.split_once(':').unwrap_or((&found, ""));
        let domain = self.job.recipient.address.domain();
        let nexthop = if nexthop.is_empty() { domain } else { nexthop };
        self.handover = Some(Handover { transport: transport.to_owned(), nexthop: nexthop.to_owned() });
        Ok(true)
    }

    fn unknown(&mut self, name: &str, base: &str) -> Result<(), Stop> {
        let params = self.params;
        if self.hand_over(&params.fallback_transport_maps, &params.fallback_transport, base)? {
            return Ok(());
        }
        // Names that every host must have (RFC 5321 4.5.1): a bounce of theirs would have nowhere to go.
        let reserved = ["mailer-daemon", "postmaster", "double-bounce"].contains(&base);
        if params.luser_relay.is_empty() && reserved {
            let outcome = Outcome::Discarded(diagnosis((2, 0, 0), "discarded", RELAY));
            return Err(Stop::Outcome(Box::new(outcome)));
        }
        // A name that aliases lead back to means the user, if there is one.
        if self.aliases.len() > 1 && (self.aliases.contains(name) || self.aliases.contains(base)) {
            return Err(failed((5, 4, 6), format!("alias database loop for {}", self.innermost)));
        }
        if params.luser_relay.is_empty() {
            return Err(failed((5, 1, 1), format!("unknown user: \"{base}\"")));
        }
        let relay = self.expanded(&params.luser_relay, None, name);
        match items::of_value(&relay).into_iter().next() {
            Some(Item::Address(mailbox)) => {
                self.addresses.push(self.rewrite.canonical(&mailbox));
                Ok(())
            }
            Some(Item::File(path)) => self.file(path, Source::Alias),
            Some(_) => Err(deferred((4, 3, 5), "luser_relay to a command does not work yet")),
            None => Err(deferred((4, 3, 5), "mail system configuration error")),
        }
    }

    /// A value with `$home` and the like of this recipient; no character in them means anything to a file system.
    pub(super) fn expanded(&self, text: &str, user: Option<&User>, name: &str) -> String {
        let (base, extension) = split_extension(name, self.params);
        let delimiter = extension.and_then(|extension| extension.chars().next());
        // A path in an extension would leave the home directory.
        let extension = extension.map(|extension| extension.chars().skip(1).collect::<String>());
        let extension = extension.filter(|extension| !extension.contains('/')).unwrap_or_default();
        let address = &self.job.recipient.address;
        let safe = |value: String| -> String {
            let allowed = &self.params.forward_expansion_filter;
            value.chars().map(|c| if allowed.contains(c) { c } else { '_' }).collect()
        };
        expand(text, &|variable| {
            safe(match variable {
                "user" => base.to_owned(),
                "home" => user.map(|user| user.home.clone()).unwrap_or_default(),
                "shell" => user.map(|user| user.shell.clone()).unwrap_or_default(),
                "recipient" => address.external(),
                "domain" => address.domain().to_owned(),
                "local" => address.local().to_owned(),
                "extension" => extension.clone(),
                "recipient_delimiter" if !extension.is_empty() => {
                    delimiter.map(String::from).unwrap_or_default()
                }
                _ => String::new(),
            })
        })
    }
}
