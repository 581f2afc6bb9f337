//! The parameters of access lists.

use crate::params::Settings;
use crate::tables::{Form, MatchList, items};
use std::collections::BTreeMap;

/// See postconf(5) for each; the defaults are Postfix's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// `smtpd_client_restrictions`.
    pub client: String,
    /// `smtpd_helo_restrictions`.
    pub helo: String,
    /// `smtpd_sender_restrictions`.
    pub sender: String,
    /// `smtpd_relay_restrictions`.
    pub relay: String,
    /// `smtpd_recipient_restrictions`.
    pub recipient: String,
    /// `smtpd_data_restrictions`.
    pub data: String,
    /// `smtpd_end_of_data_restrictions`.
    pub end_of_data: String,
    /// The lists that `smtpd_restriction_classes` names.
    pub classes: BTreeMap<String, String>,
    /// `smtpd_delay_reject`: client, helo and sender lists run at RCPT.
    pub delay_reject: bool,
    /// `smtpd_relay_before_recipient_restrictions`.
    pub relay_first: bool,
    /// `smtpd_reject_unlisted_recipient`.
    pub reject_unlisted_recipient: bool,
    /// `smtpd_reject_unlisted_sender`.
    pub reject_unlisted_sender: bool,
    /// `smtpd_null_access_lookup_key`.
    pub null_key: String,
    /// `smtpd_access_maps` is in `parent_domain_matches_subdomains`.
    pub access_parents: bool,
    /// `allow_untrusted_routing`.
    pub allow_untrusted_routing: bool,
    /// `mynetworks`.
    pub mynetworks: MatchList,
    /// `soft_bounce`: refusals for ever become refusals for now.
    pub soft_bounce: bool,
    /// `unknown_address_tempfail_action` is `defer`, not `defer_if_permit`.
    pub address_tempfail_defers: bool,
    /// `unknown_helo_hostname_tempfail_action` is `defer`, not `defer_if_permit`.
    pub helo_tempfail_defers: bool,
    /// Codes of replies.
    pub codes: Codes,
}

/// The parameters that are codes of replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codes {
    /// `access_map_reject_code`.
    pub access_map_reject: u16,
    /// `access_map_defer_code`.
    pub access_map_defer: u16,
    /// `reject_code`.
    pub reject: u16,
    /// `defer_code`.
    pub defer: u16,
    /// `relay_domains_reject_code`.
    pub relay_domains: u16,
    /// `unknown_local_recipient_reject_code`.
    pub unknown_local: u16,
    /// `unknown_relay_recipient_reject_code`.
    pub unknown_relay: u16,
    /// `unknown_virtual_alias_reject_code`.
    pub unknown_virtual_alias: u16,
    /// `unknown_virtual_mailbox_reject_code`.
    pub unknown_virtual_mailbox: u16,
    /// `unknown_address_reject_code`.
    pub unknown_address: u16,
    /// `unknown_client_reject_code`.
    pub unknown_client: u16,
    /// `unknown_hostname_reject_code`.
    pub unknown_hostname: u16,
    /// `invalid_hostname_reject_code`.
    pub invalid_hostname: u16,
    /// `non_fqdn_reject_code`.
    pub non_fqdn: u16,
    /// `multi_recipient_bounce_reject_code`.
    pub multi_recipient_bounce: u16,
    /// `plaintext_reject_code`.
    pub plaintext: u16,
}

impl Default for Codes {
    fn default() -> Self {
        Self {
            access_map_reject: 554,
            access_map_defer: 450,
            reject: 554,
            defer: 450,
            relay_domains: 554,
            unknown_local: 550,
            unknown_relay: 550,
            unknown_virtual_alias: 550,
            unknown_virtual_mailbox: 550,
            unknown_address: 450,
            unknown_client: 450,
            unknown_hostname: 450,
            invalid_hostname: 501,
            non_fqdn: 504,
            multi_recipient_bounce: 550,
            plaintext: 450,
        }
    }
}

impl Default for Params {
    /// Postfix's defaults, on a host that trusts itself only.
    fn default() -> Self {
        let mynetworks = MatchList::parse("127.0.0.0/8 [::1]/128", Form::Clients, true);
        Self {
            client: String::new(),
            helo: String::new(),
            sender: String::new(),
            relay: "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination".into(),
            recipient: String::new(),
            data: String::new(),
            end_of_data: String::new(),
            classes: BTreeMap::new(),
            delay_reject: true,
            relay_first: true,
            reject_unlisted_recipient: true,
            reject_unlisted_sender: false,
            null_key: "<>".into(),
            access_parents: true,
            allow_untrusted_routing: false,
            mynetworks: mynetworks.expect("the loopback networks are well-formed"),
            soft_bounce: false,
            address_tempfail_defers: false,
            helo_tempfail_defers: false,
            codes: Codes::default(),
        }
    }
}

/// A code of a reply, if it is one of refusal.
fn code(settings: &Settings, name: &str, errors: &mut Vec<(String, String)>) -> u16 {
    let number = settings.number(name);
    match u16::try_from(number).ok().filter(|code| (400..600).contains(code)) {
        Some(code) => code,
        None => {
            errors.push((name.to_owned(), format!("{number} is no code of a refusal (4NN or 5NN)")));
            450
        }
    }
}

impl Codes {
    fn new(settings: &Settings, errors: &mut Vec<(String, String)>) -> Self {
        Self {
            access_map_reject: code(settings, "access_map_reject_code", errors),
            access_map_defer: code(settings, "access_map_defer_code", errors),
            reject: code(settings, "reject_code", errors),
            defer: code(settings, "defer_code", errors),
            relay_domains: code(settings, "relay_domains_reject_code", errors),
            unknown_local: code(settings, "unknown_local_recipient_reject_code", errors),
            unknown_relay: code(settings, "unknown_relay_recipient_reject_code", errors),
            unknown_virtual_alias: code(settings, "unknown_virtual_alias_reject_code", errors),
            unknown_virtual_mailbox: code(settings, "unknown_virtual_mailbox_reject_code", errors),
            unknown_address: code(settings, "unknown_address_reject_code", errors),
            unknown_client: code(settings, "unknown_client_reject_code", errors),
            unknown_hostname: code(settings, "unknown_hostname_reject_code", errors),
            invalid_hostname: code(settings, "invalid_hostname_reject_code", errors),
            non_fqdn: code(settings, "non_fqdn_reject_code", errors),
            multi_recipient_bounce: code(settings, "multi_recipient_bounce_reject_code", errors),
            plaintext: code(settings, "plaintext_reject_code", errors),
        }
    }
}

impl Params {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(settings: &Settings) -> Result<Self, Vec<(String, String)>> {
        let mut errors = Vec::new();
        let parents = items(settings.text("parent_domain_matches_subdomains"));
        let below = |name: &str| parents.iter().any(|item| item == name);
        let mynetworks = MatchList::parse(settings.text("mynetworks"), Form::Clients, below("mynetworks"));
        let mynetworks = mynetworks.unwrap_or_else(|why| {
            errors.push(("mynetworks".to_owned(), why));
            MatchList::empty(Form::Clients)
        });
        let params = Self {
            client: settings.text("smtpd_client_restrictions").to_owned(),
            helo: settings.text("smtpd_helo_restrictions").to_owned(),
            sender: settings.text("smtpd_sender_restrictions").to_owned(),
            relay: settings.text("smtpd_relay_restrictions").to_owned(),
            recipient: settings.text("smtpd_recipient_restrictions").to_owned(),
            data: settings.text("smtpd_data_restrictions").to_owned(),
            end_of_data: settings.text("smtpd_end_of_data_restrictions").to_owned(),
            classes: classes(settings, &mut errors),
            delay_reject: settings.flag("smtpd_delay_reject"),
            relay_first: settings.flag("smtpd_relay_before_recipient_restrictions"),
            reject_unlisted_recipient: settings.flag("smtpd_reject_unlisted_recipient"),
            reject_unlisted_sender: settings.flag("smtpd_reject_unlisted_sender"),
            null_key: settings.text("smtpd_null_access_lookup_key").to_owned(),
            access_parents: below("smtpd_access_maps"),
            allow_untrusted_routing: settings.flag("allow_untrusted_routing"),
            mynetworks,
            soft_bounce: settings.flag("soft_bounce"),
            address_tempfail_defers: settings.text("unknown_address_tempfail_action").trim() == "defer",
            helo_tempfail_defers: settings.text("unknown_helo_hostname_tempfail_action").trim() == "defer",
            codes: Codes::new(settings, &mut errors),
        };
        if errors.is_empty() { Ok(params) } else { Err(errors) }
    }
}

fn classes(settings: &Settings, errors: &mut Vec<(String, String)>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for name in settings.list("smtpd_restriction_classes") {
        match settings.custom(&name) {
            Some(text) => _ = found.insert(name, text.to_owned()),
            None => errors.push((
                "smtpd_restriction_classes".to_owned(),
                format!("restriction class `{name}' needs a definition: add {name} = ..."),
            )),
        }
    }
    found
}
