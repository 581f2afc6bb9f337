//! The parameters of local(8) and virtual(8), typed, with Postfix's defaults.

use crate::ask::TableName;
use crate::params::Settings;
use crate::time::Duration;

/// Where a destination was written, for `allow_mail_to_files` and `allow_mail_to_commands`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Allowed {
    /// In `alias_maps`.
    pub alias: bool,
    /// In a `.forward` file.
    pub forward: bool,
    /// In an `:include:` file.
    pub include: bool,
}

impl Allowed {
    fn new(items: Vec<String>, name: &str, faults: &mut Vec<(String, String)>) -> Self {
        let mut allowed = Self::default();
        for item in items {
            match item.as_str() {
                "alias" => allowed.alias = true,
                "forward" => allowed.forward = true,
                "include" => allowed.include = true,
                _ => faults.push((name.to_owned(), format!("\"{item}\" is not alias, forward or include"))),
            }
        }
        allowed
    }
}

/// How a mailbox file is locked (`mailbox_delivery_lock`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Locks {
    /// `fcntl`.
    pub fcntl: bool,
    /// `flock`.
    pub flock: bool,
    /// `dotlock`.
    pub dotlock: bool,
}

impl Locks {
    fn new(items: Vec<String>, name: &str, faults: &mut Vec<(String, String)>) -> Self {
        let mut locks = Self::default();
        for item in items {
            match item.as_str() {
                "fcntl" => locks.fcntl = true,
                "flock" => locks.flock = true,
                "dotlock" => locks.dotlock = true,
                _ => faults.push((name.to_owned(), format!("\"{item}\" is not a way of locking"))),
            }
        }
        locks
    }
}

/// How long a mailbox that is locked is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Patience {
    /// `deliver_lock_attempts`.
    pub attempts: u32,
    /// `deliver_lock_delay`.
    pub delay: Duration,
    /// The first pauses are shorter: a delivery of ours holds a lock for a few milliseconds.
    first: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 20, delay: Duration::from_secs(1), first: FIRST_PAUSE }
    }
}

/// The first pause before a locked mailbox is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

impl Patience {
    /// How long to pause after `waited` in all; `None` when the patience has an end. The whole is what Postfix would wait, in steps that
    /// begin small and double.
    #[must_use]
    pub fn pause(&self, waited: Duration) -> Option<Duration> {
        let whole = self.delay * self.attempts.saturating_sub(1);
        (waited < whole).then(|| waited.clamp(self.first, self.delay.max(self.first)))
    }
}

/// The parameters of final delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Params {
    /// `aliases(5)` tables.
    pub alias_maps: Vec<TableName>,
    /// Characters that begin an address extension; empty for none.
    pub recipient_delimiter: String,
    /// Where `/file/name` may be written.
    pub allow_mail_to_files: Allowed,
    /// Where `|command` may be written.
    pub allow_mail_to_commands: Allowed,
    /// Paths of `.forward` files, before `$home` and the like are expanded.
    pub forward_path: Vec<String>,
    /// Characters that may come out of that expansion; others become `_`.
    pub forward_expansion_filter: String,
    /// Mailbox under the home directory; empty for none.
    pub home_mailbox: String,
    /// Directory of mailboxes; a `/` at its end makes them Maildirs.
    pub mail_spool_directory: String,
    /// Octets of a mailbox or Maildir file; zero for no limit.
    pub mailbox_size_limit: u64,
    /// How mailbox files are locked.
    pub mailbox_delivery_lock: Locks,
    /// How long a locked mailbox is waited for.
    pub patience: Patience,
    /// `stale_lock_time`: a dot-lock older than this was left behind.
    pub stale_lock_time: Duration,
    /// `transport:nexthop` for all users' mailboxes; empty for none.
    pub mailbox_transport: String,
    /// The same, by user.
    pub mailbox_transport_maps: Vec<TableName>,
    /// A command for all mailboxes. Commands do not work yet: such mail waits.
    pub mailbox_command: String,
    /// The same, by user.
    pub mailbox_command_maps: Vec<TableName>,
    /// `transport:nexthop` for users that are not known; empty for none.
    pub fallback_transport: String,
    /// The same, by user.
    pub fallback_transport_maps: Vec<TableName>,
    /// Destination for users that are not known, before expansion; empty for none.
    pub luser_relay: String,
    /// Add `Delivered-To` to what is written to files.
    pub delivered_to_file: bool,
    /// Add `Delivered-To` to what is forwarded.
    pub delivered_to_forward: bool,
    /// The sender becomes what `owner-NAME` stands for, not `owner-NAME` itself.
    pub expand_owner_alias: bool,
    /// `owner-NAME` aliases change the sender.
    pub owner_request_special: bool,
    /// `double_bounce_sender`.
    pub double_bounce_sender: String,
    /// The user who writes files that aliases name.
    pub default_privs: String,
    /// Add `X-Original-To`.
    pub enable_original_recipient: bool,
    /// Aliases hand on an extension.
    pub propagate_alias: bool,
    /// `.forward` files hand on an extension.
    pub propagate_forward: bool,
    /// `:include:` files hand on an extension.
    pub propagate_include: bool,
    /// Put in front of what `virtual_mailbox_maps` give.
    pub virtual_mailbox_base: String,
    /// Mailboxes by address; a `/` at the end makes a Maildir.
    pub virtual_mailbox_maps: Vec<TableName>,
    /// User ids by address.
    pub virtual_uid_maps: Vec<TableName>,
    /// Group ids by address.
    pub virtual_gid_maps: Vec<TableName>,
    /// No lower user id is taken from `virtual_uid_maps`.
    pub virtual_minimum_uid: u64,
    /// Octets of a mailbox or Maildir file; zero for no limit.
    pub virtual_mailbox_limit: u64,
    /// How mailbox files are locked.
    pub virtual_mailbox_lock: Locks,
    /// A mailbox file must belong to its user.
    pub strict_mailbox_ownership: bool,
}

impl Params {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(settings: &Settings) -> Result<Self, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let faults_ref = &mut faults;
        let params = Self {
            allow_mail_to_files: Allowed::new(
                settings.list("allow_mail_to_files"),
                "allow_mail_to_files",
                faults_ref,
            ),
            allow_mail_to_commands: Allowed::new(
                settings.list("allow_mail_to_commands"),
                "allow_mail_to_commands",
                faults_ref,
            ),
            mailbox_delivery_lock: Locks::new(
                settings.list("mailbox_delivery_lock"),
                "mailbox_delivery_lock",
                faults_ref,
            ),
            virtual_mailbox_lock: Locks::new(
                settings.list("virtual_mailbox_lock"),
                "virtual_mailbox_lock",
                faults_ref,
            ),
            virtual_mailbox_base: settings.text("virtual_mailbox_base").to_owned(),
            virtual_mailbox_maps: settings.tables("virtual_mailbox_maps"),
            virtual_uid_maps: settings.tables("virtual_uid_maps"),
            virtual_gid_maps: settings.tables("virtual_gid_maps"),
            virtual_minimum_uid: settings.number("virtual_minimum_uid"),
            virtual_mailbox_limit: settings.number("virtual_mailbox_limit"),
            strict_mailbox_ownership: settings.flag("strict_mailbox_ownership"),
            ..Self::local(settings)
        };
        if params.home_mailbox.starts_with('/') {
            faults.push(("home_mailbox".to_owned(), "must be relative to the home directory".to_owned()));
        }
        if faults.is_empty() { Ok(params) } else { Err(faults) }
    }

    fn local(settings: &Settings) -> Self {
        let delivered = settings.list("prepend_delivered_header");
        let propagate = settings.list("propagate_unmatched_extensions");
        let has = |list: &[String], word: &str| list.iter().any(|item| item == word);
        Self {
            alias_maps: settings.tables("alias_maps"),
            recipient_delimiter: settings.text("recipient_delimiter").to_owned(),
            forward_path: settings.list("forward_path"),
            forward_expansion_filter: settings.text("forward_expansion_filter").to_owned(),
            home_mailbox: settings.text("home_mailbox").to_owned(),
            mail_spool_directory: settings.text("mail_spool_directory").to_owned(),
            mailbox_size_limit: settings.number("mailbox_size_limit"),
            patience: Patience {
                attempts: u32::try_from(settings.number("deliver_lock_attempts")).unwrap_or(u32::MAX),
                delay: settings.time("deliver_lock_delay"),
                ..Patience::default()
            },
            stale_lock_time: settings.time("stale_lock_time"),
            mailbox_transport: settings.text("mailbox_transport").to_owned(),
            mailbox_transport_maps: settings.tables("mailbox_transport_maps"),
            mailbox_command: settings.text("mailbox_command").to_owned(),
            mailbox_command_maps: settings.tables("mailbox_command_maps"),
            fallback_transport: settings.text("fallback_transport").to_owned(),
            fallback_transport_maps: settings.tables("fallback_transport_maps"),
            luser_relay: settings.text("luser_relay").to_owned(),
            delivered_to_file: has(&delivered, "file"),
            delivered_to_forward: has(&delivered, "forward"),
            expand_owner_alias: settings.flag("expand_owner_alias"),
            owner_request_special: settings.flag("owner_request_special"),
            double_bounce_sender: settings.text("double_bounce_sender").to_owned(),
            default_privs: settings.text("default_privs").to_owned(),
            enable_original_recipient: settings.flag("enable_original_recipient"),
            propagate_alias: has(&propagate, "alias"),
            propagate_forward: has(&propagate, "forward"),
            propagate_include: has(&propagate, "include"),
            ..Self::default()
        }
    }
}

impl Default for Params {
    /// Postfix's defaults, as Debian builds it.
    fn default() -> Self {
        let allowed = Allowed { alias: true, forward: true, include: false };
        let locks = Locks { fcntl: true, flock: false, dotlock: true };
        Self {
            alias_maps: vec![TableName("hash:/etc/aliases".to_owned())],
            recipient_delimiter: String::new(),
            allow_mail_to_files: allowed,
            allow_mail_to_commands: allowed,
            forward_path: ["$home/.forward${recipient_delimiter}${extension}", "$home/.forward"]
                .map(str::to_owned)
                .to_vec(),
            forward_expansion_filter:
                "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".to_owned(),
            home_mailbox: String::new(),
            mail_spool_directory: "/var/mail".to_owned(),
            mailbox_size_limit: 51_200_000,
            mailbox_delivery_lock: locks,
            patience: Patience::default(),
            stale_lock_time: Duration::from_secs(500),
            mailbox_transport: String::new(),
            mailbox_transport_maps: Vec::new(),
            mailbox_command: String::new(),
            mailbox_command_maps: Vec::new(),
            fallback_transport: String::new(),
            fallback_transport_maps: Vec::new(),
            luser_relay: String::new(),
            delivered_to_file: true,
            delivered_to_forward: true,
            expand_owner_alias: false,
            owner_request_special: true,
            double_bounce_sender: "double-bounce".into(),
            default_privs: "nobody".to_owned(),
            enable_original_recipient: true,
            propagate_alias: false,
            propagate_forward: false,
            propagate_include: false,
            virtual_mailbox_base: String::new(),
            virtual_mailbox_maps: Vec::new(),
            virtual_uid_maps: Vec::new(),
            virtual_gid_maps: Vec::new(),
            virtual_minimum_uid: 100,
            virtual_mailbox_limit: 51_200_000,
            virtual_mailbox_lock: locks,
            strict_mailbox_ownership: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_mailbox_is_waited_for_as_long_as_the_parameters_say_in_steps_that_begin_small() {
        let patience = Patience { attempts: 3, delay: Duration::from_secs(1), ..Patience::default() };
        let mut waited = Duration::ZERO;
        let mut pauses = Vec::new();
        while let Some(pause) = patience.pause(waited) {
            pauses.push(pause.as_millis());
            waited += pause;
        }
        assert_eq!(pauses[..4], [10, 10, 20, 40]);
        assert_eq!(pauses.iter().max(), Some(&1000));
        assert!((2000..3000).contains(&waited.as_millis()), "two pauses of a second: {waited:?}");
        let once = Patience { attempts: 1, ..patience };
        assert_eq!(once.pause(Duration::ZERO), None);
    }
}
