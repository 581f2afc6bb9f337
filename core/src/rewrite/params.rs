//! The parameters of rewriting and routing: trivial-rewrite(8), and what address tables need of cleanup(8).

use crate::ask::TableName;
use crate::params::Settings;
use crate::tables::{Form, MatchList, items};
use std::net::IpAddr;

/// See postconf(5) for each; the defaults are Postfix's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// Our name.
    pub myhostname: String,
    /// `mydomain`.
    pub mydomain: String,
    /// `myorigin`.
    pub myorigin: String,
    /// `mydestination`.
    pub mydestination: MatchList,
    /// `virtual_alias_domains`.
    pub virtual_alias_domains: MatchList,
    /// `virtual_mailbox_domains`.
    pub virtual_mailbox_domains: MatchList,
    /// `relay_domains`.
    pub relay_domains: MatchList,
    /// The addresses of `inet_interfaces` and `proxy_interfaces`, as far as the parameters give them; see
    /// [`super::Rewrite::add_interfaces`].
    pub interfaces: Vec<IpAddr>,
    /// `swap_bangpath`.
    pub swap_bangpath: bool,
    /// `allow_percent_hack`.
    pub allow_percent_hack: bool,
    /// `append_at_myorigin`.
    pub append_at_myorigin: bool,
    /// `append_dot_mydomain`.
    pub append_dot_mydomain: bool,
    /// `remote_header_rewrite_domain`; empty: headers from strangers are left alone.
    pub remote_header_rewrite_domain: String,
    /// `resolve_dequoted_address`.
    pub resolve_dequoted_address: bool,
    /// `resolve_null_domain`.
    pub resolve_null_domain: bool,
    /// `resolve_numeric_domain`.
    pub resolve_numeric_domain: bool,
    /// `allow_min_user`.
    pub allow_min_user: bool,
    /// `empty_address_recipient`.
    pub empty_address_recipient: String,
    /// `double_bounce_sender`.
    pub double_bounce_sender: String,
    /// `recipient_delimiter`: each character of it delimits.
    pub recipient_delimiter: String,
    /// `owner_request_special`.
    pub owner_request_special: bool,
    /// `show_user_unknown_table_name`.
    pub show_user_unknown_table_name: bool,
    /// `local_recipient_maps`; empty: every local part exists.
    pub local_recipient_maps: Vec<TableName>,
    /// `relay_recipient_maps`.
    pub relay_recipient_maps: Vec<TableName>,
    /// `virtual_alias_maps`.
    pub virtual_alias_maps: Vec<TableName>,
    /// `virtual_mailbox_maps`.
    pub virtual_mailbox_maps: Vec<TableName>,
    /// `canonical_maps`.
    pub canonical_maps: Vec<TableName>,
    /// `recipient_canonical_maps`.
    pub recipient_canonical_maps: Vec<TableName>,
    /// `sender_canonical_maps`.
    pub sender_canonical_maps: Vec<TableName>,
    /// `relocated_maps`.
    pub relocated_maps: Vec<TableName>,
    /// `transport_maps`.
    pub transport_maps: Vec<TableName>,
    /// `transport_maps` is in `parent_domain_matches_subdomains`.
    pub transport_parents: bool,
    /// `relayhost`.
    pub relayhost: String,
    /// `sender_dependent_relayhost_maps`.
    pub sender_dependent_relayhost_maps: Vec<TableName>,
    /// `sender_dependent_default_transport_maps`.
    pub sender_dependent_default_transport_maps: Vec<TableName>,
    /// `empty_address_relayhost_maps_lookup_key`.
    pub empty_address_relayhost_maps_lookup_key: String,
    /// `empty_address_default_transport_maps_lookup_key`.
    pub empty_address_default_transport_maps_lookup_key: String,
    /// `local_transport`.
    pub local_transport: String,
    /// `virtual_transport`.
    pub virtual_transport: String,
    /// `relay_transport`.
    pub relay_transport: String,
    /// `default_transport`.
    pub default_transport: String,
}

impl Default for Params {
    /// Postfix's defaults on a host named `localhost.localdomain`, without account or alias tables.
    fn default() -> Self {
        let list = |text| MatchList::parse(text, Form::Text, false).expect("a list of names is well-formed");
        Self {
            myhostname: "localhost.localdomain".into(),
            mydomain: "localdomain".into(),
            myorigin: "localhost.localdomain".into(),
            mydestination: list("localhost.localdomain, localhost"),
            virtual_alias_domains: list(""),
            virtual_mailbox_domains: list(""),
            relay_domains: list(""),
            interfaces: loopback(),
            swap_bangpath: true,
            allow_percent_hack: true,
            append_at_myorigin: true,
            append_dot_mydomain: false,
            remote_header_rewrite_domain: String::new(),
            resolve_dequoted_address: true,
            resolve_null_domain: false,
            resolve_numeric_domain: false,
            allow_min_user: false,
            empty_address_recipient: "MAILER-DAEMON".into(),
            double_bounce_sender: "double-bounce".into(),
            recipient_delimiter: String::new(),
            owner_request_special: true,
            show_user_unknown_table_name: true,
            local_recipient_maps: Vec::new(),
            relay_recipient_maps: Vec::new(),
            virtual_alias_maps: Vec::new(),
            virtual_mailbox_maps: Vec::new(),
            canonical_maps: Vec::new(),
            recipient_canonical_maps: Vec::new(),
            sender_canonical_maps: Vec::new(),
            relocated_maps: Vec::new(),
            transport_maps: Vec::new(),
            transport_parents: false,
            relayhost: String::new(),
            sender_dependent_relayhost_maps: Vec::new(),
            sender_dependent_default_transport_maps: Vec::new(),
            empty_address_relayhost_maps_lookup_key: "<>".into(),
            empty_address_default_transport_maps_lookup_key: "<>".into(),
            local_transport: "local:localhost.localdomain".into(),
            virtual_transport: "virtual".into(),
            relay_transport: "relay".into(),
            default_transport: "smtp".into(),
        }
    }
}

fn loopback() -> Vec<IpAddr> {
    vec![std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()]
}

/// Collects lists that can not be read.
struct Lists<'a> {
    settings: &'a Settings,
    parents: Vec<String>,
    errors: Vec<(String, String)>,
}

impl Lists<'_> {
    fn read(&mut self, name: &str, form: Form) -> MatchList {
        let parents = self.parents.iter().any(|item| item == name);
        MatchList::parse(self.settings.text(name), form, parents).unwrap_or_else(|why| {
            self.errors.push((name.to_owned(), why));
            MatchList::empty(form)
        })
    }
}

impl Params {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(settings: &Settings) -> Result<Self, Vec<(String, String)>> {
        let parents = items(settings.text("parent_domain_matches_subdomains"));
        let transport_parents = parents.iter().any(|item| item == "transport_maps");
        let mut lists = Lists { settings, parents, errors: Vec::new() };
        let mut params = Self {
            myhostname: settings.text("myhostname").to_owned(),
            mydomain: settings.text("mydomain").to_owned(),
            myorigin: settings.text("myorigin").to_owned(),
            mydestination: lists.read("mydestination", Form::Text),
            virtual_alias_domains: lists.read("virtual_alias_domains", Form::Text),
            virtual_mailbox_domains: lists.read("virtual_mailbox_domains", Form::Text),
            relay_domains: lists.read("relay_domains", Form::Domains),
            interfaces: interfaces(settings),
            transport_parents,
            ..Self::default()
        };
        params.read_switches(settings);
        params.read_tables(settings);
        params.read_routes(settings);
        if lists.errors.is_empty() { Ok(params) } else { Err(lists.errors) }
    }

    fn read_switches(&mut self, settings: &Settings) {
        self.swap_bangpath = settings.flag("swap_bangpath");
        self.allow_percent_hack = settings.flag("allow_percent_hack");
        self.append_at_myorigin = settings.flag("append_at_myorigin");
        self.append_dot_mydomain = settings.flag("append_dot_mydomain");
        self.remote_header_rewrite_domain = settings.text("remote_header_rewrite_domain").to_owned();
        self.resolve_dequoted_address = settings.flag("resolve_dequoted_address");
        self.resolve_null_domain = settings.flag("resolve_null_domain");
        self.resolve_numeric_domain = settings.flag("resolve_numeric_domain");
        self.allow_min_user = settings.flag("allow_min_user");
        self.empty_address_recipient = settings.text("empty_address_recipient").to_owned();
        self.double_bounce_sender = settings.text("double_bounce_sender").to_owned();
        self.recipient_delimiter = settings.text("recipient_delimiter").to_owned();
        self.owner_request_special = settings.flag("owner_request_special");
        self.show_user_unknown_table_name = settings.flag("show_user_unknown_table_name");
    }

    fn read_tables(&mut self, settings: &Settings) {
        self.local_recipient_maps = settings.tables("local_recipient_maps");
        self.relay_recipient_maps = settings.tables("relay_recipient_maps");
        self.virtual_alias_maps = settings.tables("virtual_alias_maps");
        self.virtual_mailbox_maps = settings.tables("virtual_mailbox_maps");
        self.canonical_maps = settings.tables("canonical_maps");
        self.recipient_canonical_maps = settings.tables("recipient_canonical_maps");
        self.sender_canonical_maps = settings.tables("sender_canonical_maps");
        self.relocated_maps = settings.tables("relocated_maps");
        self.transport_maps = settings.tables("transport_maps");
        self.sender_dependent_relayhost_maps = settings.tables("sender_dependent_relayhost_maps");
        self.sender_dependent_default_transport_maps =
            settings.tables("sender_dependent_default_transport_maps");
    }

    fn read_routes(&mut self, settings: &Settings) {
        self.relayhost = settings.text("relayhost").trim().to_owned();
        self.local_transport = settings.text("local_transport").trim().to_owned();
        self.virtual_transport = settings.text("virtual_transport").trim().to_owned();
        self.relay_transport = settings.text("relay_transport").trim().to_owned();
        self.default_transport = settings.text("default_transport").trim().to_owned();
        self.empty_address_relayhost_maps_lookup_key =
            settings.text("empty_address_relayhost_maps_lookup_key").to_owned();
        self.empty_address_default_transport_maps_lookup_key =
            settings.text("empty_address_default_transport_maps_lookup_key").to_owned();
    }
}

/// The addresses that the two parameters spell out. `all` and host names are for the driver to find.
fn interfaces(settings: &Settings) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let listed = [items(settings.text("inet_interfaces")), items(settings.text("proxy_interfaces"))].concat();
    for item in listed {
        if let Ok(address) = item.trim_matches(['[', ']']).parse() {
            found.push(address);
        } else if matches!(item.as_str(), "all" | "loopback-only" | "localhost") {
            found.extend(loopback());
        }
    }
    found
}
