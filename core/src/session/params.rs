//! The parameters of a session.

use crate::ask::TableName;
use crate::mail::{NoticeClass, NoticeClasses};
use crate::params::{ServerTls, Settings};
use crate::session::words::Words;
use crate::time::Duration;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// What is done with bare newlines. There is no `no`: only CRLF.CRLF ends a message here, whatever the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BareNewline {
    /// They end lines, and are stored as CRLF.
    #[default]
    Normalize,
    /// The message is refused.
    Reject,
}

/// EHLO keywords that are not to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Discarded(Vec<String>);

impl Discarded {
    /// Reads a list of keywords in any case. `silent-discard` is for Postfix's log only.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let words = text.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty());
        Self(words.map(str::to_ascii_uppercase).collect())
    }

    /// Whether an upper-case keyword is among them.
    #[must_use]
    pub fn has(&self, keyword: &str) -> bool {
        self.0.iter().any(|word| word == keyword)
    }
}

/// All that configuration says to a session.
#[derive(Debug, Clone)]
pub struct Params {
    /// `myhostname`.
    pub host: String,
    /// `mail_name`, for the Received field.
    pub mail_name: String,
    /// `smtpd_banner`: what follows 220.
    pub banner: String,
    /// `smtpd_timeout`.
    pub timeout: Duration,
    /// `smtpd_starttls_timeout`.
    pub starttls_timeout: Duration,
    /// `smtpd_per_request_deadline`: DATA and BDAT as a whole have a deadline that data moves on. (Command lines always have one.)
    pub per_request_deadline: bool,
    /// `smtpd_min_data_rate`: octets that move that deadline on by a second.
    pub min_data_rate: u64,
    /// `line_length_limit`, for command lines.
    pub line_length_limit: usize,
    /// `smtpd_error_sleep_time`.
    pub error_sleep_time: Duration,
    /// `smtpd_soft_error_limit`.
    pub soft_error_limit: u64,
    /// `smtpd_hard_error_limit`.
    pub hard_error_limit: u64,
    /// `smtpd_junk_command_limit`.
    pub junk_command_limit: u64,
    /// `smtpd_recipient_limit`; 0 is none.
    pub recipient_limit: usize,
    /// `smtpd_recipient_overshoot_limit`.
    pub recipient_overshoot_limit: u64,
    /// `message_size_limit`; 0 is none.
    pub message_size_limit: u64,
    /// `queue_minfree`.
    pub queue_minfree: u64,
    /// `smtpd_helo_required`.
    pub helo_required: bool,
    /// `disable_vrfy_command`.
    pub disable_vrfy: bool,
    /// `smtpd_delay_reject`.
    pub delay_reject: bool,
    /// `strict_rfc821_envelopes`.
    pub strict_envelopes: bool,
    /// `allow_min_user`: a local part may begin with `-`.
    pub allow_min_user: bool,
    /// `smtputf8_enable`.
    pub smtputf8: bool,
    /// `strict_smtputf8`: addresses that are not ASCII need SMTPUTF8. On unless it is switched off: safer than Postfix.
    pub strict_smtputf8: bool,
    /// `smtpd_forbid_unauth_pipelining`.
    pub forbid_unauth_pipelining: bool,
    /// `smtpd_forbid_bare_newline`.
    pub bare_newline: BareNewline,
    /// `smtpd_forbid_bare_newline_reject_code`.
    pub bare_newline_code: u16,
    /// `smtpd_discard_ehlo_keywords`.
    pub discard: Discarded,
    /// `smtpd_discard_ehlo_keyword_address_maps`.
    pub discard_maps: Vec<TableName>,
    /// `smtpd_noop_commands`.
    pub noop_commands: Words,
    /// `smtpd_forbidden_commands`.
    pub forbidden_commands: Words,
    /// `smtpd_tls_security_level`; when empty `smtpd_enforce_tls`, `smtpd_use_tls`.
    pub tls_level: ServerTls,
    /// `smtpd_tls_wrappermode`.
    pub tls_wrapper: bool,
    /// The driver has a certificate and key and can shake hands. Not a parameter: the driver sets it.
    pub tls_ready: bool,
    /// `smtpd_tls_loglevel` is at least 1: handshakes are logged.
    pub tls_log: bool,
    /// `smtpd_tls_received_header`.
    pub tls_received_header: bool,
    /// `smtpd_client_port_logging`.
    pub port_logging: bool,
    /// `smtpd_peername_lookup`.
    pub peername_lookup: bool,
    /// `notify_classes`: the trouble that the postmaster wants to hear of.
    pub notify: NoticeClasses,
    /// `smtpd_history_flush_threshold`: lines of minutes that are enough for one notice.
    pub history_flush_threshold: usize,
    /// `double_bounce_sender`: who sends notices.
    pub double_bounce_sender: String,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            host: "localhost".into(),
            mail_name: "Postrider".into(),
            banner: "localhost ESMTP Postrider".into(),
            timeout: Duration::from_secs(300),
            starttls_timeout: Duration::from_secs(300),
            per_request_deadline: true,
            min_data_rate: 500,
            line_length_limit: 2048,
            error_sleep_time: Duration::from_secs(1),
            soft_error_limit: 10,
            hard_error_limit: 20,
            junk_command_limit: 100,
            recipient_limit: 1000,
            recipient_overshoot_limit: 1000,
            message_size_limit: 10_240_000,
            queue_minfree: 0,
            helo_required: false,
            disable_vrfy: false,
            delay_reject: true,
            strict_envelopes: false,
            allow_min_user: false,
            smtputf8: true,
            strict_smtputf8: true,
            forbid_unauth_pipelining: true,
            bare_newline: BareNewline::Normalize,
            bare_newline_code: 550,
            discard: Discarded::default(),
            discard_maps: Vec::new(),
            noop_commands: Words::default(),
            forbidden_commands: Words::forbidden(),
            tls_level: ServerTls::None,
            tls_wrapper: false,
            tls_ready: false,
            tls_log: false,
            tls_received_header: false,
            port_logging: false,
            peername_lookup: true,
            notify: NoticeClasses::default().with(NoticeClass::Resource).with(NoticeClass::Software),
            history_flush_threshold: 100,
            double_bounce_sender: "double-bounce".into(),
        }
    }
}

impl Params {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(settings: &Settings) -> Result<Self, Vec<(String, String)>> {
        let mut wrong: Vec<(String, String)> = Vec::new();
        let mut words = |name: &str, text: &str| {
            Words::parse(text).unwrap_or_else(|error| {
                wrong.push((name.to_owned(), error));
                Words::default()
            })
        };
        let noop_commands = words("smtpd_noop_commands", settings.text("smtpd_noop_commands"));
        let forbidden_commands = words("smtpd_forbidden_commands", settings.text("smtpd_forbidden_commands"));
        let tls_level = ServerTls::of(settings).unwrap_or_else(|error| {
            wrong.push(("smtpd_tls_security_level".to_owned(), error));
            ServerTls::Encrypt
        });
        let bare_newline = bare_newline(settings.text("smtpd_forbid_bare_newline")).unwrap_or_else(|error| {
            wrong.push(("smtpd_forbid_bare_newline".to_owned(), error));
            BareNewline::Normalize
        });
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let params =
            Self { noop_commands, forbidden_commands, tls_level, bare_newline, ..Self::plain(settings) };
        Ok(params)
    }

    /// Those that can not be wrong.
    fn plain(settings: &Settings) -> Self {
        Self {
            host: settings.text("myhostname").to_owned(),
            mail_name: settings.text("mail_name").to_owned(),
            banner: settings.text("smtpd_banner").to_owned(),
            timeout: settings.time("smtpd_timeout"),
            starttls_timeout: settings.time("smtpd_starttls_timeout"),
            per_request_deadline: settings.flag("smtpd_per_request_deadline"),
            min_data_rate: settings.number("smtpd_min_data_rate").max(1),
            line_length_limit: usize_of(settings.number("line_length_limit")).max(512),
            error_sleep_time: settings.time("smtpd_error_sleep_time"),
            soft_error_limit: settings.number("smtpd_soft_error_limit"),
            hard_error_limit: settings.number("smtpd_hard_error_limit").max(1),
            junk_command_limit: settings.number("smtpd_junk_command_limit"),
            recipient_limit: usize_of(settings.number("smtpd_recipient_limit")),
            recipient_overshoot_limit: settings.number("smtpd_recipient_overshoot_limit"),
            message_size_limit: settings.number("message_size_limit"),
            queue_minfree: settings.number("queue_minfree"),
            helo_required: settings.flag("smtpd_helo_required"),
            disable_vrfy: settings.flag("disable_vrfy_command"),
            delay_reject: settings.flag("smtpd_delay_reject"),
            strict_envelopes: settings.flag("strict_rfc821_envelopes"),
            allow_min_user: settings.flag("allow_min_user"),
            smtputf8: settings.flag("smtputf8_enable"),
            strict_smtputf8: settings.flag("strict_smtputf8"),
            forbid_unauth_pipelining: settings.flag("smtpd_forbid_unauth_pipelining"),
            bare_newline_code: u16::try_from(settings.number("smtpd_forbid_bare_newline_reject_code"))
                .ok()
                .filter(|code| (400..600).contains(code))
                .unwrap_or(550),
            discard: Discarded::parse(settings.text("smtpd_discard_ehlo_keywords")),
            discard_maps: settings.tables("smtpd_discard_ehlo_keyword_address_maps"),
            tls_wrapper: settings.flag("smtpd_tls_wrappermode"),
            tls_log: settings.number("smtpd_tls_loglevel") > 0,
            tls_received_header: settings.flag("smtpd_tls_received_header"),
            port_logging: settings.flag("smtpd_client_port_logging"),
            peername_lookup: settings.flag("smtpd_peername_lookup"),
            notify: NoticeClasses::named(&settings.list("notify_classes")),
            history_flush_threshold: usize_of(settings.number("smtpd_history_flush_threshold")),
            double_bounce_sender: settings.text("double_bounce_sender").to_owned(),
            ..Self::default()
        }
    }

    /// STARTTLS can be offered.
    #[must_use]
    pub fn offers_tls(&self) -> bool {
        self.tls_ready && self.tls_level != ServerTls::None
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn bare_newline(text: &str) -> Result<BareNewline, String> {
    match text.to_ascii_lowercase().as_str() {
        "reject" => Ok(BareNewline::Reject),
        "normalize" | "yes" | "no" | "note" | "" => Ok(BareNewline::Normalize),
        _ => Err(format!("{text}: normalize, reject, yes or no expected")),
    }
}

/// Configuration that many machines share. It is no part of a machine's state: equal means the same configuration.
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// Shares it.
    #[must_use]
    pub const fn new(value: Arc<T>) -> Self {
        Self(value)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Shared<T> {}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}
