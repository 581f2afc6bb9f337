//! TABLE of parameters: milters, proxies and content filters.

use super::*;

rows! { FILTER:
    /// A `transport:nexthop` that takes each new message before normal delivery.
    "content_filter" TEXT = "", Smtpd, NotYet;
    /// Which messages of our own making (bounce, notify) are filtered like mail from outside.
    "internal_mail_filter_classes" words(&["bounce", "notify"]) = "", Smtpd, NotYet;
    /// How long a milter may take for one SMTP command.
    "milter_command_timeout" time(Unit::Seconds, 1, INT_MAX) = "30s", Smtpd, NotYet;
    /// Macros sent to a milter when a client connects.
    "milter_connect_macros" LIST = "j {daemon_name} {daemon_addr} v _", Smtpd, NotYet;
    /// How long connecting to a milter, and agreeing on options, may take.
    "milter_connect_timeout" SECONDS = "30s", Smtpd, NotYet;
    /// How long a milter may take for the content of a message.
    "milter_content_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Smtpd, NotYet;
    /// Macros sent to a milter with DATA.
    "milter_data_macros" LIST = "i", Smtpd, NotYet;
    /// What happens when a milter can not be reached or speaks nonsense.
    "milter_default_action" word(&["accept", "reject", "tempfail", "quarantine", "shutdown"]) = "tempfail", Smtpd, NotYet;
    /// Macros sent to a milter at the end of the content.
    "milter_end_of_data_macros" LIST = "i", Smtpd, NotYet;
    /// Macros sent to a milter at the end of the header.
    "milter_end_of_header_macros" LIST = "i", Smtpd, NotYet;
    /// Rules for header fields that milters add.
    "milter_header_checks" TABLES = "", Cleanup, NotYet;
    /// Macros sent to a milter with HELO or EHLO.
    "milter_helo_macros" LIST = "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}", Smtpd, NotYet;
    /// The value of the macro `{daemon_name}`.
    "milter_macro_daemon_name" TEXT = "$myhostname", Smtpd, NotYet;
    /// Values for macros that would otherwise be empty.
    "milter_macro_defaults" LIST = "", Smtpd, NotYet;
    /// The value of the macro `v`.
    "milter_macro_v" TEXT = "$mail_name $mail_version", Smtpd, NotYet;
    /// Macros sent to a milter with MAIL FROM.
    "milter_mail_macros" LIST = "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}", Smtpd, NotYet;
    /// The version of the milter protocol that is offered.
    "milter_protocol" TEXT = "6", Smtpd, NotYet;
    /// Macros sent to a milter with RCPT TO.
    "milter_rcpt_macros" LIST = "i {rcpt_addr} {rcpt_host} {rcpt_mailer}", Smtpd, NotYet;
    /// Macros sent to a milter with a command that the server does not know.
    "milter_unknown_command_macros" LIST = "", Smtpd, NotYet;
    /// Milters for mail that does not arrive by SMTP.
    "non_smtpd_milters" LIST = "", Cleanup, NotYet;
    /// Switches parts of receiving off for one service: recipient checks, rewriting, content rules, milters.
    "receive_override_options" words(&["no_unknown_recipient_checks", "no_address_mappings", "no_header_body_checks", "no_milters"]) = "", Smtpd, Works, since "2.1";
    /// Milters by client address, instead of smtpd_milters.
    "smtpd_milter_maps" TABLES = "", Smtpd, NotYet;
    /// Milters for mail that arrives by SMTP, each `inet:host:port` or `unix:path`, or braces with options.
    "smtpd_milters" LIST = "", Smtpd, NotYet;
    /// The name that the server gives to a proxy filter.
    "smtpd_proxy_ehlo" TEXT = "$myhostname", Smtpd, NotYet;
    /// A content filter that takes part in the SMTP session before the message is accepted. It then answers for
    /// the message, not our queue.
    "smtpd_proxy_filter" TEXT = "", Smtpd, NotYet;
    /// `speed_adjust`: receive the whole message before the proxy filter is called.
    "smtpd_proxy_options" words(&["speed_adjust"]) = "", Smtpd, NotYet;
    /// How long connecting to the proxy filter, and each of its replies, may take.
    "smtpd_proxy_timeout" time(Unit::Seconds, 1, INT_MAX) = "100s", Smtpd, NotYet;
}
