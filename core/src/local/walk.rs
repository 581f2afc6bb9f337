//! local(8): from a name through aliases, `:include:` and `.forward` files to mailboxes and addresses.
//!
//! A name that leads to one other name of this host is followed at once. A list becomes a new message, so that each of its
//! members has a status of its own and a fault of one does not repeat the mail of the others; only what cannot be an
//! address of that message (a file, the user whose own list it is) is delivered from here. Lists in a list are opened here as far as they
//! name addresses: who stands in two of them gets the mail once.

use super::items::{self, Item};
use super::leaf::Whose;
use super::params::Allowed;
use super::user::User;
use super::{
    Delivery, Deposit, Forward, Handover, Job, Params, delivered, diagnosis, loops, split_extension,
};
use crate::ask::{Facts, Pause, TableFailure, TableName};
use crate::mail::{Notify, Outcome, Recipient, RouteClass, Sender};
use crate::rewrite::Rewrite;
use crate::wire::Mailbox;
use std::collections::BTreeSet;

pub(super) const RELAY: &str = "local";

/// Aliases in aliases, as in Postfix.
const DEPTH_MAX: usize = 100;
/// Destinations up to which lists in a list are opened: each costs questions.
const NESTED_MAX: usize = 200;
/// Destinations of one recipient in all; the largest lists in use have some ten thousand.
const DESTINATIONS_MAX: usize = 100_000;

/// Where the destinations at work were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Alias,
    Include,
    Forward,
}

impl Source {
    const fn of(self, allowed: Allowed) -> bool {
        match self {
            Self::Alias => allowed.alias,
            Self::Include => allowed.include,
            Self::Forward => allowed.forward,
        }
    }
}

/// Why the walk ends before its end.
pub(super) enum Stop {
    Pause(Pause),
    /// The recipient as a whole has this outcome.
    Outcome(Box<Outcome>),
}

impl From<Pause> for Stop {
    fn from(pause: Pause) -> Self {
        Self::Pause(pause)
    }
}

pub(super) fn deferred(status: (u8, u16, u16), text: impl Into<String>) -> Stop {
    Stop::Outcome(Box::new(Outcome::Deferred(diagnosis(status, text, RELAY))))
}

pub(super) fn failed(status: (u8, u16, u16), text: impl Into<String>) -> Stop {
    Stop::Outcome(Box::new(Outcome::Failed(diagnosis(status, text, RELAY))))
}

/// What local(8) does for a recipient.
///
/// # Errors
/// Only [`Pause::Need`]: a table or file that can not be read defers.
pub fn decide(job: Job<'_>, params: &Params, rewrite: &Rewrite, facts: &Facts) -> Result<Delivery, Pause> {
    decided(job, params, rewrite, facts).map(|delivery| delivery.by(&job.attempt.transport))
}

fn decided(job: Job<'_>, params: &Params, rewrite: &Rewrite, facts: &Facts) -> Result<Delivery, Pause> {
    if let Some(outcome) = loops(job, RELAY) {
        return Ok(Delivery::only(outcome));
    }
    let mut walk = Walk {
        job,
        params,
        rewrite,
        facts,
        aliases: BTreeSet::new(),
        innermost: String::new(),
        opened: BTreeSet::new(),
        nested: 0,
        forwards: BTreeSet::new(),
        owner: None,
        user: None,
        count: 0,
        deposits: Vec::new(),
        addresses: Vec::new(),
        handover: None,
        refused: None,
        text: String::new(),
    };
    match walk.name(job.recipient.address.local(), true, 0) {
        Ok(()) => Ok(walk.end()),
        Err(Stop::Outcome(outcome)) => Ok(Delivery::only(*outcome)),
        Err(Stop::Pause(Pause::Broken(TableFailure { table, why }))) => {
            let text = match table.kind() {
                "unix" => "user database lookup error".to_owned(),
                "include" | "forward" => format!("cannot open file {}: {why}", table.0),
                _ => "alias database unavailable".to_owned(),
            };
            Ok(Delivery::only(Outcome::Deferred(diagnosis((4, 3, 0), text, RELAY))))
        }
        Err(Stop::Pause(pause)) => Err(pause),
    }
}

pub(super) struct Walk<'a> {
    pub(super) job: Job<'a>,
    pub(super) params: &'a Params,
    pub(super) rewrite: &'a Rewrite,
    pub(super) facts: &'a Facts,
    /// Names whose alias is being expanded: found again, they mean the user.
    pub(super) aliases: BTreeSet<String>,
    /// The last of them.
    pub(super) innermost: String,
    /// Names in lists whose members are among the destinations already.
    opened: BTreeSet<String>,
    /// Lists in a list that are being opened.
    nested: usize,
    /// Users whose `.forward` is being read: found again, they mean the mailbox.
    forwards: BTreeSet<String>,
    /// Sender in place of the sender, for mail to a list.
    owner: Option<Mailbox>,
    /// On whose behalf files are written.
    user: Option<User>,
    count: usize,
    pub(super) deposits: Vec<Deposit>,
    pub(super) addresses: Vec<Mailbox>,
    pub(super) handover: Option<Handover>,
    /// A destination that is not allowed or does not work, if there is one.
    refused: Option<Outcome>,
    pub(super) text: String,
}

impl Walk<'_> {
    /// A name of this host. `sole`: it is the only destination so far, so its outcome may be the recipient's.
    fn name(&mut self, local: &str, sole: bool, depth: usize) -> Result<(), Stop> {
        if depth > DEPTH_MAX {
            let address = self.job.recipient.address.external();
            return Err(failed((5, 4, 6), format!("possible mail forwarding loop for {address}")));
        }
        let folded = local.to_lowercase();
        let (base, extension) = split_extension(&folded, self.params);
        for (key, extension) in [(folded.as_str(), None), (base, extension)] {
            // Without an extension the second key is the first again.
            if (key == base && key != folded && extension.is_none()) || self.aliases.contains(key) {
                continue;
            }
            if let Some(value) = self.alias(key)? {
                let extension = extension.filter(|_| self.params.propagate_alias);
                return self.expanded_alias(key, &value, extension.unwrap_or_default(), sole, depth);
            }
        }
        self.user_or_unknown(&folded, depth)
    }

    fn alias(&self, key: &str) -> Result<Option<String>, Pause> {
        for table in &self.params.alias_maps {
            if let Some(value) = self.facts.lookup(table, key)? {
                return Ok(Some(value.to_owned()));
            }
        }
        Ok(None)
    }

    fn expanded_alias(
        &mut self,
        key: &str,
        value: &str,
        extension: &str,
        sole: bool,
        depth: usize,
    ) -> Result<(), Stop> {
        if let Some(owner) = self.list_owner(key)? {
            self.owner = Some(owner);
        }
        self.aliases.insert(key.to_owned());
        key.clone_into(&mut self.innermost);
        let items = items::of_value(value);
        if items.is_empty() {
            return Err(deferred((4, 3, 5), format!("alias {key} has no destination")));
        }
        self.items(items, Source::Alias, extension, sole, depth)?;
        self.aliases.remove(key);
        Ok(())
    }

    /// Whether a member of a list is a list of addresses itself, with no owner of its own, nobody who keeps a copy, and nothing that
    /// could fail by itself.
    fn is_plain_list(&self, name: &str) -> Result<bool, Stop> {
        if self.count > NESTED_MAX {
            return Ok(false);
        }
        let base = split_extension(name, self.params).0;
        for key in [Some(name), Some(base).filter(|base| *base != name)].into_iter().flatten() {
            let Some(value) = self.alias(key)? else { continue };
            let items = items::of_value(&value);
            let other = |item: &Item| match item {
                Item::Address(mailbox) => {
                    let local = mailbox.local().to_lowercase();
                    local != key && split_extension(&local, self.params).0 != key
                }
                _ => false,
            };
            let plain = !items.is_empty() && items.iter().all(other);
            return Ok(plain && self.list_owner(key)?.is_none());
        }
        Ok(false)
    }

    /// aliases(5): faults of a list are its owner's business, not its writers'. The null sender stays: nobody answers it.
    fn list_owner(&self, key: &str) -> Result<Option<Mailbox>, Pause> {
        if !self.params.owner_request_special || self.job.attempt.sender == Sender::Null {
            return Ok(None);
        }
        let name = format!("owner-{key}");
        let Some(value) = self.alias(&name)? else { return Ok(None) };
        let first = items::of_value(&value).into_iter().find_map(|item| match item {
            Item::Address(mailbox) => Some(mailbox),
            _ => None,
        });
        let owner = Mailbox::new(&name, self.job.recipient.address.domain());
        let owner = if self.params.expand_owner_alias { first.unwrap_or(owner) } else { owner };
        Ok(Some(self.rewrite.canonical(&owner)))
    }

    fn items(
        &mut self,
        items: Vec<Item>,
        source: Source,
        extension: &str,
        sole: bool,
        depth: usize,
    ) -> Result<(), Stop> {
        let sole = sole && items.len() == 1;
        self.count += items.len();
        if self.count > DESTINATIONS_MAX {
            return Err(deferred((4, 3, 5), "too many destinations"));
        }
        for item in items {
            match item {
                Item::Address(mailbox) => self.address(&mailbox, extension, sole, depth)?,
                Item::Plain(name) => self.mailbox_of(&name.to_lowercase())?,
                Item::File(path) => self.file(path, source)?,
                Item::Command(_) => self.command(source),
                Item::Include(path) => self.include(&path, extension, sole, depth)?,
            }
        }
        Ok(())
    }

    fn address(&mut self, mailbox: &Mailbox, extension: &str, sole: bool, depth: usize) -> Result<(), Stop> {
        let mailbox = self.rewrite.canonical(mailbox);
        let ours = self.rewrite.class(&mailbox, self.facts)? == RouteClass::Local;
        let name = mailbox.local().to_lowercase();
        let base = split_extension(&name, self.params).0;
        let known = |names: &BTreeSet<String>| names.contains(&name) || names.contains(base);
        // In a list within a list such a name is somebody else's business than this recipient's: it loops in the new message, or does not.
        let again = known(&self.forwards) || known(&self.aliases);
        if ours && !(again && self.nested > 0) {
            if known(&self.forwards) {
                return self.mailbox_of(&name);
            }
            if known(&self.aliases) || (sole && self.owner.is_none()) {
                return self.name(mailbox.local(), sole, depth + 1);
            }
            if self.opened.contains(&name) {
                return Ok(());
            }
            if extension.is_empty() && self.is_plain_list(&name)? {
                self.nested += 1;
                let result = self.name(mailbox.local(), false, depth + 1);
                self.nested -= 1;
                self.opened.insert(name);
                return result;
            }
        }
        let local = format!("{}{extension}", mailbox.local());
        self.addresses.push(Mailbox::new(&local, mailbox.domain()));
        Ok(())
    }

    fn include(&mut self, path: &str, extension: &str, sole: bool, depth: usize) -> Result<(), Stop> {
        if depth > DEPTH_MAX {
            return Err(failed((5, 4, 6), format!("possible mail forwarding loop in {path}")));
        }
        let table = TableName(format!("include:{path}"));
        let rights = self.rights()?.name;
        let Some(text) = self.facts.lookup(&table, &rights)? else {
            return Err(deferred((4, 3, 5), format!("cannot open include file {path}")));
        };
        let items = items::of_file(text);
        let extension = if self.params.propagate_include { extension } else { "" };
        self.items(items, Source::Include, extension, sole, depth + 1)
    }

    /// A file that an alias names is read and written with the rights of `default_privs`; one of a `.forward` with its user's.
    fn rights(&self) -> Result<User, Stop> {
        match &self.user {
            Some(user) => Ok(user.clone()),
            None => User::find(&self.params.default_privs, self.facts)?
                .ok_or_else(|| deferred((4, 3, 5), "mail system configuration error")),
        }
    }

    pub(super) fn file(&mut self, path: String, source: Source) -> Result<(), Stop> {
        if !source.of(self.params.allow_mail_to_files) {
            let text = "mail to file is restricted";
            self.refused = Some(Outcome::Failed(diagnosis((5, 7, 1), text, RELAY)));
            return Ok(());
        }
        let user = self.rights()?;
        self.text = format!("delivered to file: {path}");
        self.deposit(path, &user, Whose::Named)
    }

    fn command(&mut self, source: Source) {
        let outcome = if source.of(self.params.allow_mail_to_commands) {
            Outcome::Deferred(diagnosis((4, 3, 5), "delivery to commands does not work yet", RELAY))
        } else {
            Outcome::Failed(diagnosis((5, 7, 1), "mail to command is restricted", RELAY))
        };
        // What may work some day outlives what is forbidden: the whole waits for its operator.
        if !matches!(self.refused, Some(Outcome::Deferred(_))) {
            self.refused = Some(outcome);
        }
    }

    fn user_or_unknown(&mut self, name: &str, depth: usize) -> Result<(), Stop> {
        let base = split_extension(name, self.params).0.to_owned();
        if !self.forwards.contains(&base)
            && let Some(user) = User::find(&base, self.facts)?
            && self.dot_forward(&user, name, depth)?
        {
            return Ok(());
        }
        self.mailbox_of(name)
    }

    /// True when the user has a `.forward` that says where to.
    fn dot_forward(&mut self, user: &User, name: &str, depth: usize) -> Result<bool, Stop> {
        let extension = split_extension(name, self.params).1;
        let mut asked = BTreeSet::new();
        for path in &self.params.forward_path {
            let path = self.expanded(path, Some(user), name);
            if !path.starts_with('/') || !asked.insert(path.clone()) {
                continue;
            }
            let found = self.facts.lookup(&TableName(format!("forward:{path}")), &user.name)?;
            let Some(text) = found else { continue };
            let items = items::of_file(text);
            if items.is_empty() {
                return Ok(false);
            }
            self.forwards.insert(user.name.to_lowercase());
            let outer = self.user.replace(user.clone());
            let extension = extension.filter(|_| self.params.propagate_forward).unwrap_or_default();
            // Never followed at once: the user's own rights and loops are looked at anew in the new message.
            let result = self.items(items, Source::Forward, extension, false, depth + 1);
            self.user = outer;
            return result.map(|()| true);
        }
        Ok(false)
    }

    /// What all that comes to.
    fn end(self) -> Delivery {
        let nothing_else = self.deposits.is_empty() && self.addresses.is_empty() && self.handover.is_none();
        if let Some(outcome) = self.refused {
            // Part of a list must not vanish: until somebody repairs it, all of it waits.
            return Delivery::only(match outcome {
                Outcome::Failed(cause) if !nothing_else => {
                    Outcome::Deferred(diagnosis((4, 3, 5), cause.text, RELAY))
                }
                outcome => outcome,
            });
        }
        if nothing_else {
            let text = "list without members";
            return Delivery::only(Outcome::Discarded(diagnosis((2, 0, 0), text, RELAY)));
        }
        let forwarded = !self.addresses.is_empty();
        let forward = forwarded.then(|| forward(self.job, self.params, self.owner, self.addresses));
        Delivery {
            deposits: self.deposits,
            handover: self.handover,
            forward,
            outcome: delivered(&self.text, RELAY),
        }
    }
}

fn forward(job: Job<'_>, params: &Params, owner: Option<Mailbox>, addresses: Vec<Mailbox>) -> Forward {
    let mut seen = BTreeSet::new();
    let given = job.recipient.original.as_ref().unwrap_or(&job.recipient.address);
    let recipients = addresses.into_iter().filter(|address| seen.insert(address.external().to_lowercase()));
    let of_list = owner.is_some();
    // RFC 3461 5.2.7: success is reported here, as an expansion; the members are not the sender's business.
    let Notify { failure, delay, explicit, .. } = job.recipient.notify;
    let notify =
        if of_list { Notify::default() } else { Notify { success: false, failure, delay, explicit } };
    let recipients = recipients.map(|address| Recipient {
        original: (params.enable_original_recipient && !of_list).then(|| given.clone()),
        orcpt: job.recipient.orcpt.clone().filter(|_| !of_list),
        notify,
        address,
    });
    let delivered = format!("Delivered-To: {}", job.recipient.address.external());
    Forward {
        of_list,
        sender: owner.map_or_else(|| job.attempt.sender.clone(), Sender::Mailbox),
        recipients: recipients.collect(),
        prepend: if params.delivered_to_forward { vec![delivered] } else { Vec::new() },
    }
}
