//! The parameters of cleanup(8), typed, with Postfix's defaults.

use crate::ask::TableName;
use crate::params::Settings;
use crate::time::Zone;
use std::net::IpAddr;

/// Which addresses a mapping is for (`canonical_classes` and the like).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Classes {
    /// MAIL FROM.
    pub envelope_sender: bool,
    /// RCPT TO.
    pub envelope_recipient: bool,
    /// From, Sender, Reply-To ….
    pub header_sender: bool,
    /// To, Cc ….
    pub header_recipient: bool,
}

impl Classes {
    fn new(items: Vec<String>, name: &str, faults: &mut Vec<(String, String)>) -> Self {
        let mut classes = Self::default();
        for item in items {
            match item.as_str() {
                "envelope_sender" => classes.envelope_sender = true,
                "envelope_recipient" => classes.envelope_recipient = true,
                "header_sender" => classes.header_sender = true,
                "header_recipient" => classes.header_recipient = true,
                _ => faults.push((name.to_owned(), format!("\"{item}\" is not a class of addresses"))),
            }
        }
        classes
    }
}

/// The parameters of cleanup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// Name in Message-Id fields that we add.
    pub myhostname: String,
    /// Message-Ids that we add are the queue id alone, without the time.
    pub enable_long_queue_ids: bool,
    /// Add missing From, Date, Message-Id and To to the mail of remote clients too.
    pub always_add_missing_headers: bool,
    /// For fields with a date that we add; the driver knows it, no parameter does.
    pub zone: Zone,
    /// Added where no To or Cc is; empty for nothing.
    pub undisclosed_recipients_header: String,
    /// Whose header addresses are rewritten: `permit_inet_interfaces`, `permit_mynetworks`, `check_address_map TABLE`, or a table.
    pub local_header_rewrite_clients: Vec<String>,
    /// Appended to incomplete header addresses of all others; empty leaves them alone.
    pub remote_header_rewrite_domain: String,
    /// Our own addresses, for `permit_inet_interfaces`: those that `inet_interfaces` names, and loopback. The driver adds what it knows.
    pub interfaces: Vec<IpAddr>,
    /// Networks, for `permit_mynetworks`.
    pub mynetworks: Vec<String>,
    /// Names of fields that are removed, lower case.
    pub message_drop_headers: Vec<String>,
    /// `Content-Transfer-Encoding: 8bit` means as much as `BODY=8BITMIME`.
    pub detect_8bit_encoding_header: bool,
    /// Octets of one field; the excess is dropped.
    pub header_size_limit: usize,
    /// Tokens of one field of addresses; those behind are left alone.
    pub header_address_token_limit: usize,
    /// `Received:` fields, ours included, at which a message is a loop.
    pub hopcount_limit: u32,
    /// For all addresses.
    pub canonical_maps: Vec<TableName>,
    /// Which ones.
    pub canonical_classes: Classes,
    /// For senders.
    pub sender_canonical_maps: Vec<TableName>,
    /// Which ones.
    pub sender_canonical_classes: Classes,
    /// For recipients.
    pub recipient_canonical_maps: Vec<TableName>,
    /// Which ones.
    pub recipient_canonical_classes: Classes,
    /// Domains whose subdomains are hidden, in order; `!domain` for an exception. Lower case.
    pub masquerade_domains: Vec<String>,
    /// Which addresses.
    pub masquerade_classes: Classes,
    /// Local parts that keep their subdomain, lower case.
    pub masquerade_exceptions: Vec<String>,
    /// Replace recipients.
    pub virtual_alias_maps: Vec<TableName>,
    /// Addresses from one recipient.
    pub virtual_alias_expansion_limit: usize,
    /// Aliases of aliases.
    pub virtual_alias_recursion_limit: usize,
    /// Octets of one address that a table gives.
    pub virtual_alias_address_length_limit: usize,
    /// Canonical tables hand on an extension.
    pub propagate_canonical: bool,
    /// Virtual alias tables hand on an extension.
    pub propagate_virtual: bool,
    /// Recipients of different origin are no duplicates of each other, and remember it.
    pub enable_original_recipient: bool,
    /// Recipients remembered by the filter of duplicates; zero for all.
    pub duplicate_filter_limit: usize,
    /// Who gets mail for the empty address.
    pub empty_address_recipient: String,
    /// Gets a copy of everything; empty for nobody.
    pub always_bcc: String,
    /// By sender.
    pub sender_bcc_maps: Vec<TableName>,
    /// By recipient.
    pub recipient_bcc_maps: Vec<TableName>,
    /// Rules for the fields of the header, but for MIME.
    pub header_checks: Vec<TableName>,
    /// Rules for the MIME fields of the header.
    pub mime_header_checks: Vec<TableName>,
    /// `receive_override_options` has no_address_mappings: no canonical, masquerade, virtual alias, bcc.
    pub no_address_mappings: bool,
    /// `receive_override_options` has no_header_body_checks.
    pub no_header_body_checks: bool,
}

const LOOPBACK: [IpAddr; 2] =
    [IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)];

fn lower(items: Vec<String>) -> Vec<String> {
    items.into_iter().map(|item| item.to_lowercase()).collect()
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Params {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(settings: &Settings) -> Result<Self, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let params = Self {
            canonical_classes: Classes::new(
                settings.list("canonical_classes"),
                "canonical_classes",
                &mut faults,
            ),
            sender_canonical_classes: Classes::new(
                settings.list("sender_canonical_classes"),
                "sender_canonical_classes",
                &mut faults,
            ),
            recipient_canonical_classes: Classes::new(
                settings.list("recipient_canonical_classes"),
                "recipient_canonical_classes",
                &mut faults,
            ),
            masquerade_classes: Classes::new(
                settings.list("masquerade_classes"),
                "masquerade_classes",
                &mut faults,
            ),
            canonical_maps: settings.tables("canonical_maps"),
            sender_canonical_maps: settings.tables("sender_canonical_maps"),
            recipient_canonical_maps: settings.tables("recipient_canonical_maps"),
            masquerade_domains: lower(settings.list("masquerade_domains")),
            masquerade_exceptions: lower(settings.list("masquerade_exceptions")),
            ..Self::limits(settings)
        };
        if params.hopcount_limit == 0 {
            faults.push(("hopcount_limit".to_owned(), "must be at least 1".to_owned()));
        }
        if faults.is_empty() { Ok(params) } else { Err(faults) }
    }

    fn limits(settings: &Settings) -> Self {
        let propagate = settings.list("propagate_unmatched_extensions");
        let propagates = |class: &str| propagate.iter().any(|item| item == class);
        Self {
            header_size_limit: size(settings.number("header_size_limit")),
            header_address_token_limit: size(settings.number("header_address_token_limit")),
            hopcount_limit: u32::try_from(settings.number("hopcount_limit")).unwrap_or(u32::MAX),
            virtual_alias_maps: settings.tables("virtual_alias_maps"),
            virtual_alias_expansion_limit: size(settings.number("virtual_alias_expansion_limit")),
            virtual_alias_recursion_limit: size(settings.number("virtual_alias_recursion_limit")),
            virtual_alias_address_length_limit: size(settings.number("virtual_alias_address_length_limit")),
            duplicate_filter_limit: size(settings.number("duplicate_filter_limit")),
            propagate_canonical: propagates("canonical"),
            propagate_virtual: propagates("virtual"),
            ..Self::texts(settings)
        }
    }

    fn texts(settings: &Settings) -> Self {
        let overrides = settings.list("receive_override_options");
        let overridden = |what: &str| overrides.iter().any(|item| item == what);
        let named = settings.list("inet_interfaces");
        let named = named.iter().filter_map(|item| item.trim_matches(['[', ']']).parse().ok());
        Self {
            myhostname: settings.text("myhostname").to_owned(),
            enable_long_queue_ids: settings.flag("enable_long_queue_ids"),
            always_add_missing_headers: settings.flag("always_add_missing_headers"),
            undisclosed_recipients_header: settings.text("undisclosed_recipients_header").to_owned(),
            local_header_rewrite_clients: settings.list("local_header_rewrite_clients"),
            remote_header_rewrite_domain: settings.text("remote_header_rewrite_domain").to_owned(),
            interfaces: LOOPBACK.into_iter().chain(named).collect(),
            mynetworks: settings.list("mynetworks"),
            message_drop_headers: lower(settings.list("message_drop_headers")),
            detect_8bit_encoding_header: settings.flag("detect_8bit_encoding_header"),
            enable_original_recipient: settings.flag("enable_original_recipient"),
            empty_address_recipient: settings.text("empty_address_recipient").to_owned(),
            always_bcc: settings.text("always_bcc").to_owned(),
            sender_bcc_maps: settings.tables("sender_bcc_maps"),
            recipient_bcc_maps: settings.tables("recipient_bcc_maps"),
            header_checks: settings.tables("header_checks"),
            mime_header_checks: settings.tables("mime_header_checks"),
            no_address_mappings: overridden("no_address_mappings"),
            no_header_body_checks: overridden("no_header_body_checks"),
            ..Self::default()
        }
    }
}

impl Default for Params {
    /// Postfix's defaults.
    fn default() -> Self {
        let all = Classes {
            envelope_sender: true,
            envelope_recipient: true,
            header_sender: true,
            header_recipient: true,
        };
        let none = Classes::default();
        Self {
            myhostname: "localhost".to_owned(),
            enable_long_queue_ids: false,
            always_add_missing_headers: false,
            undisclosed_recipients_header: String::new(),
            zone: Zone::default(),
            local_header_rewrite_clients: vec!["permit_inet_interfaces".to_owned()],
            remote_header_rewrite_domain: String::new(),
            interfaces: LOOPBACK.to_vec(),
            mynetworks: Vec::new(),
            message_drop_headers: ["bcc", "content-length", "resent-bcc", "return-path"]
                .map(str::to_owned)
                .to_vec(),
            detect_8bit_encoding_header: true,
            header_size_limit: 102_400,
            header_address_token_limit: 10_240,
            hopcount_limit: 50,
            canonical_maps: Vec::new(),
            canonical_classes: all,
            sender_canonical_maps: Vec::new(),
            sender_canonical_classes: Classes { envelope_sender: true, header_sender: true, ..none },
            recipient_canonical_maps: Vec::new(),
            recipient_canonical_classes: Classes { envelope_recipient: true, header_recipient: true, ..none },
            masquerade_domains: Vec::new(),
            masquerade_classes: Classes { envelope_recipient: false, ..all },
            masquerade_exceptions: Vec::new(),
            virtual_alias_maps: Vec::new(),
            virtual_alias_expansion_limit: 1000,
            virtual_alias_recursion_limit: 1000,
            virtual_alias_address_length_limit: 1000,
            propagate_canonical: true,
            propagate_virtual: true,
            enable_original_recipient: true,
            duplicate_filter_limit: 1000,
            empty_address_recipient: "MAILER-DAEMON".to_owned(),
            always_bcc: String::new(),
            sender_bcc_maps: Vec::new(),
            recipient_bcc_maps: Vec::new(),
            header_checks: Vec::new(),
            mime_header_checks: Vec::new(),
            no_address_mappings: false,
            no_header_body_checks: false,
        }
    }
}
