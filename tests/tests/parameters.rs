//! The table of parameters against the sources that read it, and against its page in docs/reference.
//!
//! A name that is read and not in the table would panic at start; a row that says it works and that nobody reads would be a
//! parameter that is parsed and then ignored.

use postrider_core::params::table::{self, Works};
use postrider_core::params::{expand, reference};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Rows that say they work, though nothing reads them so far. Each is a debt.
const NOT_READ_YET: &[&str] = &[
    "2bounce_notice_recipient",
    "access_map_defer_code",
    "access_map_reject_code",
    "alias_database",
    "alias_maps",
    "allow_min_user",
    "allow_percent_hack",
    "allow_untrusted_routing",
    "always_add_missing_headers",
    "always_bcc",
    "append_at_myorigin",
    "append_dot_mydomain",
    "best_mx_transport",
    "bounce_notice_recipient",
    "bounce_size_limit",
    "canonical_maps",
    "cleanup_service_name",
    "default_database_type",
    "default_privs",
    "default_transport",
    "defer_code",
    "delay_notice_recipient",
    "disable_dns_lookups",
    "disable_mime_output_conversion",
    "disable_vrfy_command",
    "dns_servers",
    "double_bounce_sender",
    "duplicate_filter_limit",
    "empty_address_default_transport_maps_lookup_key",
    "empty_address_recipient",
    "empty_address_relayhost_maps_lookup_key",
    "enable_long_queue_ids",
    "enable_original_recipient",
    "error_notice_recipient",
    "expand_owner_alias",
    "fallback_relay",
    "fallback_transport",
    "fallback_transport_maps",
    "forward_expansion_filter",
    "forward_path",
    "header_address_token_limit",
    "header_checks",
    "header_size_limit",
    "home_mailbox",
    "hopcount_limit",
    "ignore_mx_lookup_error",
    "line_length_limit",
    "lmtp_address_preference",
    "lmtp_balance_inet_protocols",
    "lmtp_connect_timeout",
    "lmtp_connection_cache_destinations",
    "lmtp_connection_cache_on_demand",
    "lmtp_connection_cache_time_limit",
    "lmtp_connection_reuse_count_limit",
    "lmtp_connection_reuse_time_limit",
    "lmtp_data_done_timeout",
    "lmtp_data_init_timeout",
    "lmtp_data_xfer_timeout",
    "lmtp_destination_concurrency_limit",
    "lmtp_destination_recipient_limit",
    "lmtp_discard_lhlo_keywords",
    "lmtp_enforce_tls",
    "lmtp_fallback_relay",
    "lmtp_host_lookup",
    "lmtp_lhlo_name",
    "lmtp_lhlo_timeout",
    "lmtp_line_length_limit",
    "lmtp_mail_timeout",
    "lmtp_mx_address_limit",
    "lmtp_mx_session_limit",
    "lmtp_quit_timeout",
    "lmtp_quote_rfc821_envelope",
    "lmtp_randomize_addresses",
    "lmtp_rcpt_timeout",
    "lmtp_rset_timeout",
    "lmtp_skip_5xx_greeting",
    "lmtp_skip_quit_response",
    "lmtp_starttls_timeout",
    "lmtp_tcp_port",
    "lmtp_tls_CAfile",
    "lmtp_tls_CApath",
    "lmtp_tls_enforce_peername",
    "lmtp_tls_loglevel",
    "lmtp_tls_security_level",
    "lmtp_use_tls",
    "local_header_rewrite_clients",
    "local_recipient_maps",
    "local_transport",
    "log_format",
    "luser_relay",
    "mail_name",
    "mail_owner",
    "mail_spool_directory",
    "mailbox_command",
    "mailbox_command_maps",
    "mailbox_size_limit",
    "mailbox_transport",
    "mailbox_transport_maps",
    "maillog_file",
    "masquerade_domains",
    "masquerade_exceptions",
    "message_drop_headers",
    "message_size_limit",
    "mime_header_checks",
    "multi_instance_name",
    "mydestination",
    "myhostname",
    "mynetworks",
    "myorigin",
    "node_number",
    "notify_classes",
    "owner_request_special",
    "parent_domain_matches_subdomains",
    "propagate_unmatched_extensions",
    "proxy_interfaces",
    "queue_directory",
    "queue_minfree",
    "receive_override_options",
    "recipient_bcc_maps",
    "recipient_canonical_maps",
    "recipient_delimiter",
    "reject_code",
    "relay_domains",
    "relay_domains_reject_code",
    "relay_recipient_maps",
    "relay_transport",
    "relayhost",
    "relocated_maps",
    "remote_header_rewrite_domain",
    "resolve_dequoted_address",
    "resolve_null_domain",
    "resolve_numeric_domain",
    "sender_bcc_maps",
    "sender_canonical_maps",
    "sender_dependent_default_transport_maps",
    "sender_dependent_relayhost_maps",
    "show_user_unknown_table_name",
    "smtp_address_preference",
    "smtp_always_send_ehlo",
    "smtp_balance_inet_protocols",
    "smtp_bind_address",
    "smtp_bind_address6",
    "smtp_connect_timeout",
    "smtp_connection_cache_destinations",
    "smtp_connection_cache_on_demand",
    "smtp_connection_cache_time_limit",
    "smtp_connection_reuse_count_limit",
    "smtp_connection_reuse_time_limit",
    "smtp_data_done_timeout",
    "smtp_data_init_timeout",
    "smtp_data_xfer_timeout",
    "smtp_defer_if_no_mx_address_found",
    "smtp_destination_concurrency_limit",
    "smtp_destination_recipient_limit",
    "smtp_discard_ehlo_keywords",
    "smtp_enforce_tls",
    "smtp_fallback_relay",
    "smtp_helo_name",
    "smtp_helo_timeout",
    "smtp_host_lookup",
    "smtp_line_length_limit",
    "smtp_mail_timeout",
    "smtp_mx_address_limit",
    "smtp_mx_session_limit",
    "smtp_never_send_ehlo",
    "smtp_quit_timeout",
    "smtp_quote_rfc821_envelope",
    "smtp_randomize_addresses",
    "smtp_rcpt_timeout",
    "smtp_rset_timeout",
    "smtp_skip_5xx_greeting",
    "smtp_skip_quit_response",
    "smtp_starttls_timeout",
    "smtp_tls_CAfile",
    "smtp_tls_CApath",
    "smtp_tls_enforce_peername",
    "smtp_tls_loglevel",
    "smtp_tls_security_level",
    "smtp_use_tls",
    "smtpd_banner",
    "smtpd_client_connection_count_limit",
    "smtpd_client_connection_limit_exceptions",
    "smtpd_client_event_limit_exceptions",
    "smtpd_client_port_logging",
    "smtpd_client_restrictions",
    "smtpd_data_restrictions",
    "smtpd_delay_reject",
    "smtpd_discard_ehlo_keyword_address_maps",
    "smtpd_discard_ehlo_keywords",
    "smtpd_end_of_data_restrictions",
    "smtpd_enforce_tls",
    "smtpd_error_sleep_time",
    "smtpd_forbid_bare_newline",
    "smtpd_forbid_bare_newline_reject_code",
    "smtpd_forbid_unauth_pipelining",
    "smtpd_forbidden_commands",
    "smtpd_hard_error_limit",
    "smtpd_helo_required",
    "smtpd_helo_restrictions",
    "smtpd_junk_command_limit",
    "smtpd_min_data_rate",
    "smtpd_noop_commands",
    "smtpd_null_access_lookup_key",
    "smtpd_peername_lookup",
    "smtpd_per_request_deadline",
    "smtpd_recipient_limit",
    "smtpd_recipient_overshoot_limit",
    "smtpd_recipient_restrictions",
    "smtpd_reject_unlisted_recipient",
    "smtpd_reject_unlisted_sender",
    "smtpd_relay_before_recipient_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_restriction_classes",
    "smtpd_sender_restrictions",
    "smtpd_soft_error_limit",
    "smtpd_starttls_timeout",
    "smtpd_timeout",
    "smtpd_tls_ask_ccert",
    "smtpd_tls_cert_file",
    "smtpd_tls_key_file",
    "smtpd_tls_loglevel",
    "smtpd_tls_received_header",
    "smtpd_tls_req_ccert",
    "smtpd_tls_security_level",
    "smtpd_tls_wrappermode",
    "smtpd_use_tls",
    "smtputf8_enable",
    "spool_reserve",
    "spool_segment_size",
    "strict_mailbox_ownership",
    "strict_rfc821_envelopes",
    "strict_smtputf8",
    "swap_bangpath",
    "syslog_facility",
    "syslog_name",
    "transport_maps",
    "undisclosed_recipients_header",
    "unknown_address_tempfail_action",
    "unknown_helo_hostname_tempfail_action",
    "unknown_local_recipient_reject_code",
    "unknown_relay_recipient_reject_code",
    "unknown_virtual_alias_reject_code",
    "unknown_virtual_mailbox_reject_code",
    "virtual_alias_address_length_limit",
    "virtual_alias_domains",
    "virtual_alias_expansion_limit",
    "virtual_alias_maps",
    "virtual_alias_recursion_limit",
    "virtual_gid_maps",
    "virtual_mailbox_base",
    "virtual_mailbox_domains",
    "virtual_mailbox_limit",
    "virtual_mailbox_maps",
    "virtual_maps",
    "virtual_minimum_uid",
    "virtual_transport",
    "virtual_uid_maps",
];

/// Rows that are read, though they do not say that they work: the work on them has begun.
const READ_BEFORE_THEY_WORK: &[&str] = &[];

/// Read by the parameters themselves, as the ground of other defaults or for the operator's own values.
const READ_BY_THE_TABLE: &[&str] = &[
    "compatibility_level", // by `<level` in defaults
    "config_directory",    // set by the command line
    "inet_interfaces",     // mynetworks
    "inet_protocols",      // mynetworks
    "mydomain",            // defaults and values
    "mynetworks_style",    // mynetworks
    "process_id",          // values
    "process_name",        // values
    "service_name",        // values
    "stress",              // defaults
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The shipped part of each source of core and runtime: without tests and comments.
fn sources() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut open = vec![root().join("core/src"), root().join("runtime/src")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && path.file_name().is_some_and(|name| name != "tests.rs")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                files.insert(path, shipped(&text));
            }
        }
    }
    assert!(files.len() > 20, "the sources were found");
    files
}

fn shipped(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The names in `.getter("name")` and `.getter("smtp_name", "lmtp_name")`, also on lines of their own.
fn names_read(text: &str, getters: &[&str]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for getter in getters {
        for (at, call) in text.match_indices(&format!(".{getter}(")) {
            let mut rest = text[at + call.len()..].trim_start();
            while let Some((name, after)) = rest.strip_prefix('"').and_then(|literal| literal.split_once('"'))
            {
                names.insert(name.to_owned());
                rest = after.trim_start().trim_start_matches(',').trim_start();
            }
        }
    }
    names
}

/// The suffixes in `.transport_number(transport, "suffix")`.
fn suffixes_read(text: &str) -> BTreeSet<String> {
    let mut suffixes = BTreeSet::new();
    for getter in [".transport_text(", ".transport_number(", ".transport_time("] {
        for (at, _) in text.match_indices(getter) {
            let rest = &text[at + getter.len()..];
            let call = &rest[..rest.find(')').unwrap_or(rest.len())];
            suffixes.extend(call.rsplit('"').nth(1).map(str::to_owned));
        }
    }
    suffixes
}

const GETTERS: [&str; 6] = ["text", "flag", "number", "time", "list", "tables"];

/// Every name that a getter is asked for, with a file that asks. Other types have a `.text("…")` too: what is no
/// parameter's name by its form is left out.
fn read() -> BTreeMap<String, PathBuf> {
    let mut read = BTreeMap::new();
    for (path, text) in sources() {
        let names = names_read(&text, &GETTERS).into_iter();
        let is_name = |name: &String| {
            name.contains('_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                || table::row(name).is_some()
        };
        read.extend(names.filter(is_name).map(|name| (name, path.clone())));
        for suffix in suffixes_read(&text) {
            let row = table::TRANSPORT.iter().find(|row| row.suffix == suffix);
            let row = row.unwrap_or_else(|| panic!("{}: transports have no {suffix}", path.display()));
            read.insert(row.fallback.to_owned(), path.clone());
        }
    }
    read
}

/// The rows that are read: by name, by the table, and those that the default of a read row refers to.
fn reached() -> BTreeSet<String> {
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<String> = read().into_keys().collect();
    open.extend(READ_BY_THE_TABLE.iter().map(|name| (*name).to_owned()));
    while let Some(name) = open.pop() {
        if let Some(expression) = table::row(&name).and_then(table::Row::expression) {
            open.extend(expand::references(expression).into_iter().filter(|other| !reached.contains(other)));
        }
        reached.insert(name);
    }
    reached
}

/// Rows that say they work and that nobody reads.
fn not_read() -> Vec<&'static str> {
    let reached = reached();
    let claims = table::all().filter(|row| matches!(row.works, Works::Works | Works::Ours));
    claims.map(|row| row.name).filter(|name| !reached.contains(*name)).collect()
}

#[test]
fn every_name_that_is_read_is_in_the_table() {
    for (name, path) in read() {
        assert!(table::row(&name).is_some(), "{} reads {name}, which is not in the table", path.display());
    }
}

#[test]
fn every_row_that_works_is_read() {
    let missing: Vec<&str> = not_read().into_iter().filter(|name| !NOT_READ_YET.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "these rows say they work, and nobody reads them");
}

#[test]
fn every_row_that_is_read_says_that_it_works() {
    let read = read();
    let early = table::all().filter(|row| !matches!(row.works, Works::Works | Works::Ours));
    let early = early.map(|row| row.name).filter(|name| read.contains_key(*name));
    let early: Vec<&str> = early.filter(|name| !READ_BEFORE_THEY_WORK.contains(name)).collect();
    assert_eq!(early, Vec::<&str>::new(), "these rows are read: let them say Works");
}

#[test]
fn the_scan_sees_names_on_lines_of_their_own_and_no_tests() {
    let text = "let a = family.text(\n    \"one_name\",\n    \"other_name\"\n);\n// settings.text(\"comment_name\")\n\n#[cfg(test)]\nmod tests {\n settings.text(\"test_name\") }";
    assert_eq!(
        names_read(&shipped(text), &GETTERS).into_iter().collect::<Vec<_>>(),
        ["one_name", "other_name"]
    );
    assert!(
        suffixes_read("settings.transport_number(&name, \"recipient_limit\")").contains("recipient_limit")
    );
}

#[test]
fn every_row_that_works_is_documented() {
    let silent = table::all().filter(|row| row.manual.is_empty());
    let silent: Vec<&str> =
        silent.filter(|row| matches!(row.works, Works::Works | Works::Ours)).map(|row| row.name).collect();
    assert_eq!(silent, Vec::<&str>::new());
}

#[test]
fn reference() {
    let path = root().join("docs/reference/parameters.md");
    let page = reference::page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{} is stale: run this test with UPDATE=1", path.display());
}
