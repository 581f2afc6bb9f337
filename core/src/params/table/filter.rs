//! TABLE of parameters: milters, proxies and content filters.

use super::*;

rows! { FILTER:
    "content_filter" TEXT = "", Smtpd, NotYet;
    "internal_mail_filter_classes" words(&["bounce", "notify"]) = "", Smtpd, NotYet;
    "milter_command_timeout" time(Unit::Seconds, 1, INT_MAX) = "30s", Smtpd, NotYet;
    "milter_connect_macros" LIST = "j {daemon_name} {daemon_addr} v _", Smtpd, NotYet;
    "milter_connect_timeout" SECONDS = "30s", Smtpd, NotYet;
    "milter_content_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Smtpd, NotYet;
    "milter_data_macros" LIST = "i", Smtpd, NotYet;
    "milter_default_action" word(&["accept", "reject", "tempfail", "quarantine", "shutdown"]) = "tempfail", Smtpd, NotYet;
    "milter_end_of_data_macros" LIST = "i", Smtpd, NotYet;
    "milter_end_of_header_macros" LIST = "i", Smtpd, NotYet;
    "milter_header_checks" TABLES = "", Cleanup, NotYet;
    "milter_helo_macros" LIST = "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}", Smtpd, NotYet;
    "milter_macro_daemon_name" TEXT = "$myhostname", Smtpd, NotYet;
    "milter_macro_defaults" LIST = "", Smtpd, NotYet;
    "milter_macro_v" TEXT = "$mail_name $mail_version", Smtpd, NotYet;
    "milter_mail_macros" LIST = "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}", Smtpd, NotYet;
    "milter_protocol" TEXT = "6", Smtpd, NotYet;
    "milter_rcpt_macros" LIST = "i {rcpt_addr} {rcpt_host} {rcpt_mailer}", Smtpd, NotYet;
    "milter_unknown_command_macros" LIST = "", Smtpd, NotYet;
    "non_smtpd_milters" LIST = "", Cleanup, NotYet;
    "receive_override_options" words(&["no_unknown_recipient_checks", "no_address_mappings", "no_header_body_checks", "no_milters"]) = "", Smtpd, NotYet, since "2.1";
    "smtpd_milter_maps" TABLES = "", Smtpd, NotYet;
    "smtpd_milters" LIST = "", Smtpd, NotYet;
    "smtpd_proxy_ehlo" TEXT = "$myhostname", Smtpd, NotYet;
    "smtpd_proxy_filter" TEXT = "", Smtpd, NotYet;
    "smtpd_proxy_options" words(&["speed_adjust"]) = "", Smtpd, NotYet;
    "smtpd_proxy_timeout" time(Unit::Seconds, 1, INT_MAX) = "100s", Smtpd, NotYet;
}
