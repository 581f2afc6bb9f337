//! The parameters of one transport that speaks SMTP or LMTP.
//!
//! Each parameter has two names, `smtp_…` and `lmtp_…`; the command of the service in master.cf chooses the family.

use crate::mail::{NoticeClass, NoticeClasses};
use crate::params::{Settings, port_number};
use crate::tables::{Form, MatchList};
use crate::time::Duration;
use std::net::IpAddr;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Protocol {
    /// RFC 5321.
    #[default]
    Smtp,
    /// RFC 2033.
    Lmtp,
}

impl Protocol {
    /// The protocol of a command of master.cf, if it is a client of ours.
    #[must_use]
    pub fn of_command(command: &str) -> Option<Self> {
        match command {
            "smtp" | "relay" => Some(Self::Smtp),
            "lmtp" => Some(Self::Lmtp),
            _ => None,
        }
    }

    /// The program part of log lines.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Lmtp => "lmtp",
        }
    }
}

/// How long each step may take. Zero for `connect` leaves it to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// `smtp_connect_timeout`.
    pub connect: Duration,
    /// `smtp_helo_timeout`, `lmtp_lhlo_timeout`: greeting, and the answer to EHLO.
    pub hello: Duration,
    /// `smtp_mail_timeout`.
    pub mail: Duration,
    /// `smtp_rcpt_timeout`.
    pub rcpt: Duration,
    /// `smtp_data_init_timeout`.
    pub data_init: Duration,
    /// `smtp_data_xfer_timeout`: each piece of the content.
    pub data_xfer: Duration,
    /// `smtp_data_done_timeout`.
    pub data_done: Duration,
    /// `smtp_rset_timeout`.
    pub rset: Duration,
    /// `smtp_quit_timeout`.
    pub quit: Duration,
    /// `smtp_starttls_timeout`.
    pub starttls: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(30),
            hello: seconds(300),
            mail: seconds(300),
            rcpt: seconds(300),
            data_init: seconds(120),
            data_xfer: seconds(180),
            data_done: seconds(600),
            rset: seconds(20),
            quit: seconds(300),
            starttls: seconds(300),
        }
    }
}

/// How much TLS is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum TlsLevel {
    /// Never.
    #[default]
    None,
    /// If the server offers it; in the clear otherwise.
    May,
    /// Always, whoever the server is.
    Encrypt,
    /// A level that can not be honoured yet, by name: mail is deferred, nothing is sent.
    Unsupported(String),
}

impl TlsLevel {
    /// `smtp_tls_security_level`, or where that is empty what the older parameters say.
    #[must_use]
    pub fn new(level: &str, use_tls: bool, enforce_tls: bool, enforce_peername: bool) -> Self {
        match level {
            "none" => Self::None,
            // Without DNSSEC-validated TLSA records, "dane" is "may" (postconf(5)).
            "may" | "dane" => Self::May,
            "encrypt" => Self::Encrypt,
            "" if enforce_tls && enforce_peername => Self::Unsupported("verify".into()),
            "" if enforce_tls => Self::Encrypt,
            "" if use_tls => Self::May,
            "" => Self::None,
            other => Self::Unsupported(other.to_owned()),
        }
    }
}

/// Which family of addresses goes first among equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Preference {
    /// Neither.
    #[default]
    Any,
    /// IPv6.
    Ipv6,
    /// IPv4.
    Ipv4,
}

/// Which addresses are our own, for the detection of mail loops.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Interfaces {
    /// All addresses of this host.
    #[default]
    All,
    /// `loopback-only`.
    Loopback,
    /// These.
    Listed(Vec<IpAddr>),
}

impl Interfaces {
    fn new(items: &[String]) -> Self {
        match items {
            [only] if only == "all" => Self::All,
            [only] if only == "loopback-only" => Self::Loopback,
            // The driver knows the addresses of host names in the list (`Search::local`).
            items => Self::Listed(addresses(items)),
        }
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn addresses(items: &[String]) -> Vec<IpAddr> {
    let bare = |item: &String| item.trim_matches(['[', ']']).parse().ok();
    items.iter().filter_map(bare).collect()
}

/// The parameters of one transport.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Params {
    /// What is spoken.
    pub protocol: Protocol,
    /// `notify_classes`: the trouble that the postmaster wants to hear of; a client has only some of it.
    pub notify: NoticeClasses,
    /// `double_bounce_sender`: who sends notices.
    pub double_bounce_sender: String,
    /// `myhostname`: to notice that we talk to ourselves, and the host of a socket path in logs.
    pub hostname: String,
    /// `smtp_helo_name`, `lmtp_lhlo_name`.
    pub hello_name: String,
    /// Time limits.
    pub timeouts: Timeouts,
    /// `smtp_always_send_ehlo`.
    pub always_send_ehlo: bool,
    /// `smtp_never_send_ehlo`.
    pub never_send_ehlo: bool,
    /// `smtp_skip_5xx_greeting`.
    pub skip_5xx_greeting: bool,
    /// `smtp_skip_quit_response`, `lmtp_skip_quit_response`.
    pub skip_quit_response: bool,
    /// `smtp_discard_ehlo_keywords`, `lmtp_discard_lhlo_keywords`; upper case.
    pub discard_keywords: Vec<String>,
    /// `smtp_quote_rfc821_envelope`.
    pub quote_envelope: bool,
    /// `smtp_line_length_limit`; 0 for none.
    pub line_length_limit: usize,
    /// `disable_mime_output_conversion`.
    pub disable_mime_output_conversion: bool,
    /// `mime_nesting_limit`.
    pub mime_nesting_limit: usize,
    /// `mime_boundary_length_limit`; octets.
    pub mime_boundary_length_limit: usize,
    /// `smtp_tls_security_level`.
    pub tls: TlsLevel,
    /// `smtp_tls_loglevel`.
    pub tls_loglevel: u64,
    /// How hosts are found.
    pub hosts: HostParams,
    /// How connections are kept.
    pub cache: CacheParams,
}

/// How hosts are found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostParams {
    /// `disable_dns_lookups`.
    pub disable_dns_lookups: bool,
    /// `smtp_host_lookup` has `dns`.
    pub lookup_dns: bool,
    /// `smtp_host_lookup` has `native`.
    pub lookup_native: bool,
    /// `ignore_mx_lookup_error`.
    pub ignore_mx_lookup_error: bool,
    /// `smtp_defer_if_no_mx_address_found`.
    pub defer_if_no_mx_address_found: bool,
    /// `smtp_randomize_addresses`.
    pub randomize_addresses: bool,
    /// `smtp_address_preference`.
    pub address_preference: Preference,
    /// `smtp_balance_inet_protocols`.
    pub balance_inet_protocols: bool,
    /// `inet_protocols` has IPv4.
    pub ipv4: bool,
    /// `inet_protocols` has IPv6.
    pub ipv6: bool,
    /// `smtp_mx_address_limit`; 0 for none.
    pub mx_address_limit: u64,
    /// `smtp_mx_session_limit`; 0 for none.
    pub mx_session_limit: u64,
    /// `inet_interfaces`.
    pub interfaces: Interfaces,
    /// `best_mx_transport`: who delivers what would loop back to us; empty to return it.
    pub best_mx_transport: String,
    /// `proxy_interfaces`.
    pub proxy_interfaces: Vec<IpAddr>,
    /// `smtp_fallback_relay`.
    pub fallback_relay: Vec<String>,
    /// `relayhost`: what does not resolve there is a fault of ours, and is deferred.
    pub relayhost: String,
    /// `smtp_bind_address`.
    pub bind_address: Option<IpAddr>,
    /// `smtp_bind_address6`.
    pub bind_address6: Option<IpAddr>,
    /// `smtp_bind_address_enforce`: no connection leaves from another address than those two.
    pub bind_address_enforce: bool,
    /// `lmtp_tcp_port`, or 25.
    pub default_port: u16,
}

/// How connections are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CacheParams {
    /// `smtp_connection_cache_destinations`.
    pub destinations: MatchList,
    /// `smtp_connection_cache_on_demand`.
    pub on_demand: bool,
    /// `smtp_connection_cache_time_limit`: how long an idle connection is kept.
    pub time_limit: Duration,
    /// `smtp_connection_reuse_time_limit`: how old a connection may be when it is used again.
    pub reuse_time_limit: Duration,
    /// `smtp_connection_reuse_count_limit`: how many messages it takes; 0 for any number.
    pub reuse_count_limit: u64,
}

impl Default for HostParams {
    fn default() -> Self {
        Self {
            disable_dns_lookups: false,
            lookup_dns: true,
            lookup_native: false,
            ignore_mx_lookup_error: false,
            defer_if_no_mx_address_found: false,
            randomize_addresses: true,
            address_preference: Preference::Any,
            balance_inet_protocols: true,
            ipv4: true,
            ipv6: true,
            mx_address_limit: 5,
            mx_session_limit: 2,
            interfaces: Interfaces::All,
            best_mx_transport: String::new(),
            proxy_interfaces: Vec::new(),
            fallback_relay: Vec::new(),
            relayhost: String::new(),
            bind_address: None,
            bind_address6: None,
            bind_address_enforce: false,
            default_port: 25,
        }
    }
}

impl Default for CacheParams {
    fn default() -> Self {
        Self {
            destinations: MatchList::empty(Form::Text),
            on_demand: true,
            time_limit: Duration::from_secs(2),
            reuse_time_limit: Duration::from_secs(300),
            reuse_count_limit: 0,
        }
    }
}

impl Default for Params {
    fn default() -> Self {
        Self {
            protocol: Protocol::Smtp,
            notify: NoticeClasses::default(),
            double_bounce_sender: "double-bounce".into(),
            hostname: "localhost.localdomain".into(),
            hello_name: "localhost.localdomain".into(),
            timeouts: Timeouts::default(),
            always_send_ehlo: true,
            never_send_ehlo: false,
            skip_5xx_greeting: true,
            skip_quit_response: true,
            discard_keywords: Vec::new(),
            quote_envelope: true,
            line_length_limit: 998,
            disable_mime_output_conversion: false,
            mime_nesting_limit: 100,
            mime_boundary_length_limit: 2048,
            tls: TlsLevel::None,
            tls_loglevel: 0,
            hosts: HostParams::default(),
            cache: CacheParams::default(),
        }
    }
}

/// One family of names over the settings.
struct Family<'a> {
    settings: &'a Settings,
    lmtp: bool,
}

impl Family<'_> {
    const fn name(&self, smtp: &'static str, lmtp: &'static str) -> &'static str {
        if self.lmtp { lmtp } else { smtp }
    }
    fn time(&self, smtp: &'static str, lmtp: &'static str) -> Duration {
        self.settings.time(self.name(smtp, lmtp))
    }
    fn flag(&self, smtp: &'static str, lmtp: &'static str) -> bool {
        self.settings.flag(self.name(smtp, lmtp))
    }
    fn number(&self, smtp: &'static str, lmtp: &'static str) -> u64 {
        self.settings.number(self.name(smtp, lmtp))
    }
    fn text(&self, smtp: &'static str, lmtp: &'static str) -> &str {
        self.settings.text(self.name(smtp, lmtp))
    }
    fn list(&self, smtp: &'static str, lmtp: &'static str) -> Vec<String> {
        self.settings.list(self.name(smtp, lmtp))
    }
}

impl Params {
    /// The parameters of a service.
    #[must_use]
    pub fn new(settings: &Settings, protocol: Protocol) -> Self {
        let family = Family { settings, lmtp: protocol == Protocol::Lmtp };
        let discard = family.list("smtp_discard_ehlo_keywords", "lmtp_discard_lhlo_keywords");
        let limit = family.number("smtp_line_length_limit", "lmtp_line_length_limit");
        Self {
            protocol,
            notify: notified(settings),
            double_bounce_sender: settings.text("double_bounce_sender").to_owned(),
            hostname: settings.text("myhostname").to_owned(),
            hello_name: family.text("smtp_helo_name", "lmtp_lhlo_name").to_owned(),
            timeouts: Timeouts::new(&family),
            always_send_ehlo: settings.flag("smtp_always_send_ehlo"),
            never_send_ehlo: settings.flag("smtp_never_send_ehlo"),
            skip_5xx_greeting: family.flag("smtp_skip_5xx_greeting", "lmtp_skip_5xx_greeting"),
            skip_quit_response: family.flag("smtp_skip_quit_response", "lmtp_skip_quit_response"),
            discard_keywords: discard.iter().map(|word| word.to_ascii_uppercase()).collect(),
            quote_envelope: family.flag("smtp_quote_rfc821_envelope", "lmtp_quote_rfc821_envelope"),
            line_length_limit: size(limit),
            disable_mime_output_conversion: settings.flag("disable_mime_output_conversion"),
            mime_nesting_limit: size(settings.number("mime_nesting_limit")),
            mime_boundary_length_limit: size(settings.number("mime_boundary_length_limit")),
            tls: TlsLevel::new(
                family.text("smtp_tls_security_level", "lmtp_tls_security_level"),
                family.flag("smtp_use_tls", "lmtp_use_tls"),
                family.flag("smtp_enforce_tls", "lmtp_enforce_tls"),
                family.flag("smtp_tls_enforce_peername", "lmtp_tls_enforce_peername"),
            ),
            tls_loglevel: family.number("smtp_tls_loglevel", "lmtp_tls_loglevel"),
            hosts: HostParams::new(&family),
            cache: CacheParams::new(&family),
        }
    }
}

impl Timeouts {
    fn new(family: &Family<'_>) -> Self {
        Self {
            connect: family.time("smtp_connect_timeout", "lmtp_connect_timeout"),
            hello: family.time("smtp_helo_timeout", "lmtp_lhlo_timeout"),
            mail: family.time("smtp_mail_timeout", "lmtp_mail_timeout"),
            rcpt: family.time("smtp_rcpt_timeout", "lmtp_rcpt_timeout"),
            data_init: family.time("smtp_data_init_timeout", "lmtp_data_init_timeout"),
            data_xfer: family.time("smtp_data_xfer_timeout", "lmtp_data_xfer_timeout"),
            data_done: family.time("smtp_data_done_timeout", "lmtp_data_done_timeout"),
            rset: family.time("smtp_rset_timeout", "lmtp_rset_timeout"),
            quit: family.time("smtp_quit_timeout", "lmtp_quit_timeout"),
            starttls: family.time("smtp_starttls_timeout", "lmtp_starttls_timeout"),
        }
    }
}

impl HostParams {
    /// The address that is configured for connections to such an address.
    #[must_use]
    pub fn bind_address_for(&self, server: IpAddr) -> Option<IpAddr> {
        let bind = if server.is_ipv4() { self.bind_address } else { self.bind_address6 };
        bind.filter(|bind| bind.is_ipv4() == server.is_ipv4())
    }

    fn new(family: &Family<'_>) -> Self {
        let settings = family.settings;
        let lookup = family.list("smtp_host_lookup", "lmtp_host_lookup");
        let protocols = settings.list("inet_protocols");
        let speaks = |name: &str| protocols.iter().any(|word| word == name || word == "all");
        let bind = |smtp, lmtp| family.text(smtp, lmtp).trim_matches(['[', ']']).parse().ok();
        let lmtp_port = || port_number(settings.text("lmtp_tcp_port"));
        Self {
            disable_dns_lookups: settings.flag("disable_dns_lookups"),
            lookup_dns: lookup.iter().any(|word| word == "dns"),
            lookup_native: lookup.iter().any(|word| word == "native"),
            ignore_mx_lookup_error: settings.flag("ignore_mx_lookup_error"),
            defer_if_no_mx_address_found: settings.flag("smtp_defer_if_no_mx_address_found"),
            randomize_addresses: family.flag("smtp_randomize_addresses", "lmtp_randomize_addresses"),
            address_preference: match family.text("smtp_address_preference", "lmtp_address_preference") {
                "ipv6" => Preference::Ipv6,
                "ipv4" => Preference::Ipv4,
                _ => Preference::Any,
            },
            balance_inet_protocols: family.flag("smtp_balance_inet_protocols", "lmtp_balance_inet_protocols"),
            ipv4: speaks("ipv4"),
            ipv6: speaks("ipv6"),
            mx_address_limit: family.number("smtp_mx_address_limit", "lmtp_mx_address_limit"),
            mx_session_limit: family.number("smtp_mx_session_limit", "lmtp_mx_session_limit"),
            interfaces: Interfaces::new(&settings.list("inet_interfaces")),
            best_mx_transport: settings.text("best_mx_transport").to_owned(),
            proxy_interfaces: addresses(&settings.list("proxy_interfaces")),
            fallback_relay: family.list("smtp_fallback_relay", "lmtp_fallback_relay"),
            relayhost: settings.text("relayhost").to_owned(),
            bind_address: bind("smtp_bind_address", "lmtp_bind_address"),
            bind_address6: bind("smtp_bind_address6", "lmtp_bind_address6"),
            bind_address_enforce: family.flag("smtp_bind_address_enforce", "lmtp_bind_address_enforce"),
            default_port: if family.lmtp { lmtp_port().unwrap_or(24) } else { 25 },
        }
    }
}

impl CacheParams {
    fn new(family: &Family<'_>) -> Self {
        let destinations =
            family.text("smtp_connection_cache_destinations", "lmtp_connection_cache_destinations");
        Self {
            // What can not be read keeps no connection: that costs speed and nothing else.
            destinations: MatchList::parse(destinations, Form::Text, false)
                .unwrap_or_else(|_| MatchList::empty(Form::Text)),
            on_demand: family.flag("smtp_connection_cache_on_demand", "lmtp_connection_cache_on_demand"),
            time_limit: family.time("smtp_connection_cache_time_limit", "lmtp_connection_cache_time_limit"),
            reuse_time_limit: family
                .time("smtp_connection_reuse_time_limit", "lmtp_connection_reuse_time_limit"),
            reuse_count_limit: family
                .number("smtp_connection_reuse_count_limit", "lmtp_connection_reuse_count_limit"),
        }
    }
}

/// What a client can have trouble of, as far as it is wanted: where that is nothing, as by default, no minutes are kept.
fn notified(settings: &Settings) -> NoticeClasses {
    let ours = NoticeClasses::default().with(NoticeClass::Protocol).with(NoticeClass::Data);
    ours.both(NoticeClasses::named(&settings.list("notify_classes")))
}

#[cfg(test)]
mod tests;
