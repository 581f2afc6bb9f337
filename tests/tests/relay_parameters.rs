//! The parameters that must work with the relay, and where each is shown to: a dialogue of corpus/dialogues that sets it, or a test
//! that names it. None may be missing.

use postrider_core::params::table::Works;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each parameter, and a dialogue, or `FILE::TEST`; one that has an effect in several places has a row for each.
const SHOWN: &[(&str, &str)] = &[
    ("mail_owner", "tests/tests/relay_effects.rs::started_as_root_the_daemon_becomes_mail_owner"),
    (
        "smtp_tls_CAfile",
        "tests/tests/relay_effects.rs::a_server_shows_its_certificate_and_a_client_trusts_its_authority",
    ),
    (
        "smtp_tls_CApath",
        "tests/tests/relay_effects.rs::a_server_shows_its_certificate_and_a_client_trusts_its_authority",
    ),
    (
        "smtpd_tls_cert_file",
        "tests/tests/relay_effects.rs::a_server_shows_its_certificate_and_a_client_trusts_its_authority",
    ),
    (
        "smtpd_tls_key_file",
        "tests/tests/relay_effects.rs::a_server_shows_its_certificate_and_a_client_trusts_its_authority",
    ),
    (
        "error_notice_recipient",
        "tests/tests/notice_classes.rs::of_a_client_s_errors_protocol_tells_whom_error_notice_recipient_names",
    ),
    ("notify_classes", "corpus/dialogues/notices/policy.smtp"),
    ("notify_classes", "corpus/dialogues/notices/bounce.smtp"),
    ("notify_classes", "corpus/dialogues/notices/data.smtp"),
    ("notify_classes", "corpus/dialogues/notices/protocol.smtp"),
    ("notify_classes", "corpus/dialogues/notices/resource-off.smtp"),
    ("notify_classes", "corpus/dialogues/notices/software-off.smtp"),
    ("notify_classes", "corpus/dialogues/client-notify-classes.smtp"),
    ("notify_classes", "corpus/dialogues/client-notify-data.smtp"),
    ("notify_classes", "tests/tests/notice_classes.rs::of_mail_that_comes_back_bounce_and_2bounce_tell"),
    ("notify_classes", "tests/tests/notice_classes.rs::of_mail_that_is_late_delay_tells"),
    (
        "notify_classes",
        "tests/tests/notice_classes.rs::of_a_client_s_errors_protocol_tells_whom_error_notice_recipient_names",
    ),
    ("access_map_defer_code", "corpus/dialogues/parameters/access_map_defer_code.smtp"),
    ("access_map_reject_code", "corpus/dialogues/parameters/access_map_reject_code.smtp"),
    ("best_mx_transport", "corpus/dialogues/client-best-mx-transport.smtp"),
    ("canonical_maps", "corpus/dialogues/parameters/canonical_maps.smtp"),
    ("config_directory", "tests/tests/relay_effects.rs::values_may_refer_to_the_process_and_its_directory"),
    ("defer_code", "corpus/dialogues/parameters/defer_code.smtp"),
    ("disable_dns_lookups", "corpus/dialogues/client-disable-dns-lookups.smtp"),
    ("disable_vrfy_command", "corpus/dialogues/other/vrfy-disabled.smtp"),
    ("double_bounce_sender", "corpus/dialogues/parameters/double_bounce_sender.smtp"),
    (
        "double_bounce_sender",
        "tests/tests/notice_classes.rs::notices_and_double_bounces_come_from_double_bounce_sender",
    ),
    ("fallback_relay", "corpus/dialogues/client-fallback-relay-old-name.smtp"),
    ("ignore_mx_lookup_error", "corpus/dialogues/client-ignore-mx-lookup-error.smtp"),
    ("inet_interfaces", "corpus/dialogues/parameters/inet_interfaces.smtp"),
    (
        "inet_interfaces",
        "tests/tests/listening.rs::a_service_that_names_no_address_listens_on_those_of_inet_interfaces",
    ),
    ("inet_protocols", "corpus/dialogues/client-inet-protocols.smtp"),
    (
        "inet_protocols",
        "tests/tests/listening.rs::a_service_that_names_no_address_listens_on_those_of_inet_protocols",
    ),
    ("line_length_limit", "corpus/dialogues/parameters/line_length_limit.smtp"),
    ("lmtp_connect_timeout", "corpus/dialogues/client-lmtp-connect-timeout.smtp"),
    ("lmtp_data_done_timeout", "corpus/dialogues/client-lmtp-data-done-timeout.smtp"),
    ("lmtp_data_init_timeout", "corpus/dialogues/client-lmtp-data-init-timeout.smtp"),
    ("lmtp_data_xfer_timeout", "corpus/dialogues/client-lmtp-data-xfer-timeout.smtp"),
    (
        "lmtp_destination_concurrency_limit",
        "core/src/manager/tests/many.rs::a_destination_has_no_more_attempts_at_once_than_its_transport_may",
    ),
    (
        "lmtp_destination_recipient_limit",
        "core/src/manager/tests/many.rs::an_attempt_has_no_more_recipients_than_its_transport_may",
    ),
    ("lmtp_discard_lhlo_keywords", "corpus/dialogues/client-lmtp-discard-lhlo-keywords.smtp"),
    ("lmtp_lhlo_name", "corpus/dialogues/client-lmtp-lhlo-name.smtp"),
    ("lmtp_lhlo_timeout", "corpus/dialogues/client-lmtp-lhlo-timeout.smtp"),
    ("lmtp_mail_timeout", "corpus/dialogues/client-lmtp-mail-timeout.smtp"),
    ("lmtp_quit_timeout", "corpus/dialogues/client-lmtp-quit-timeout.smtp"),
    ("lmtp_rcpt_timeout", "corpus/dialogues/client-lmtp-rcpt-timeout.smtp"),
    ("lmtp_rset_timeout", "corpus/dialogues/client-lmtp-rset-timeout.smtp"),
    ("lmtp_skip_quit_response", "corpus/dialogues/client-lmtp-skip-quit-response.smtp"),
    ("lmtp_tcp_port", "corpus/dialogues/client-lmtp-tcp-port.smtp"),
    ("local_recipient_maps", "corpus/dialogues/parameters/local_recipient_maps.smtp"),
    ("mail_name", "corpus/dialogues/parameters/mail_name.smtp"),
    ("message_size_limit", "corpus/dialogues/bdat/after-failure.smtp"),
    ("mydestination", "corpus/dialogues/parameters/mydestination.smtp"),
    ("myhostname", "corpus/dialogues/parameters/myhostname.smtp"),
    ("mynetworks", "corpus/dialogues/parameters/mynetworks.smtp"),
    ("myorigin", "corpus/dialogues/parameters/myorigin.smtp"),
    ("parent_domain_matches_subdomains", "corpus/dialogues/parameters/parent_domain_matches_subdomains.smtp"),
    ("parent_domain_matches_subdomains", "corpus/dialogues/parameters/parent-domains-of-access-maps.smtp"),
    ("parent_domain_matches_subdomains", "corpus/dialogues/parameters/parent-domains-of-senders.smtp"),
    (
        "parent_domain_matches_subdomains",
        "tests/tests/relay_effects.rs::those_below_a_domain_are_found_in_transport_maps_by_its_name_or_by_its_name_with_a_dot",
    ),
    ("process_id", "tests/tests/relay_effects.rs::values_may_refer_to_the_process_and_its_directory"),
    ("process_name", "tests/tests/relay_effects.rs::values_may_refer_to_the_process_and_its_directory"),
    ("proxy_interfaces", "corpus/dialogues/parameters/proxy_interfaces.smtp"),
    ("queue_directory", "tests/tests/relay_effects.rs::the_queue_lies_where_queue_directory_says"),
    ("queue_minfree", "corpus/dialogues/parameters/queue_minfree.smtp"),
    ("recipient_canonical_maps", "corpus/dialogues/parameters/recipient_canonical_maps.smtp"),
    ("recipient_delimiter", "corpus/dialogues/parameters/recipient_delimiter.smtp"),
    ("reject_code", "corpus/dialogues/parameters/reject_code.smtp"),
    ("relay_domains", "corpus/dialogues/parameters/relay_domains.smtp"),
    ("relay_domains_reject_code", "corpus/dialogues/parameters/relay_domains_reject_code.smtp"),
    ("relay_recipient_maps", "corpus/dialogues/parameters/relay_recipient_maps.smtp"),
    ("resolve_null_domain", "corpus/dialogues/parameters/resolve_null_domain.smtp"),
    ("show_user_unknown_table_name", "corpus/dialogues/parameters/show_user_unknown_table_name.smtp"),
    ("smtp_always_send_ehlo", "corpus/dialogues/client-smtp-always-send-ehlo.smtp"),
    ("smtp_bind_address", "corpus/dialogues/client-smtp-bind-address.smtp"),
    ("smtp_bind_address6", "corpus/dialogues/client-smtp-bind-address6.smtp"),
    ("smtp_connect_timeout", "corpus/dialogues/client-smtp-connect-timeout.smtp"),
    ("smtp_connection_cache_destinations", "corpus/dialogues/client-smtp-connection-cache-destinations.smtp"),
    ("smtp_connection_cache_on_demand", "corpus/dialogues/client-smtp-connection-cache-on-demand.smtp"),
    ("smtp_connection_cache_time_limit", "corpus/dialogues/client-smtp-connection-cache-time-limit.smtp"),
    ("smtp_connection_reuse_time_limit", "corpus/dialogues/client-smtp-connection-reuse-time-limit.smtp"),
    ("smtp_data_done_timeout", "corpus/dialogues/client-smtp-data-done-timeout.smtp"),
    ("smtp_data_init_timeout", "corpus/dialogues/client-smtp-data-init-timeout.smtp"),
    ("smtp_data_xfer_timeout", "corpus/dialogues/client-smtp-data-xfer-timeout.smtp"),
    ("smtp_defer_if_no_mx_address_found", "corpus/dialogues/client-smtp-defer-if-no-mx-address-found.smtp"),
    (
        "smtp_destination_concurrency_limit",
        "core/src/manager/tests/many.rs::a_destination_has_no_more_attempts_at_once_than_its_transport_may",
    ),
    (
        "smtp_destination_recipient_limit",
        "core/src/manager/tests/many.rs::an_attempt_has_no_more_recipients_than_its_transport_may",
    ),
    ("smtp_discard_ehlo_keywords", "corpus/dialogues/client-discarded-keywords.smtp"),
    ("smtp_fallback_relay", "corpus/dialogues/client-fallback-relay.smtp"),
    ("smtp_helo_name", "corpus/dialogues/client-smtp-helo-name.smtp"),
    ("smtp_helo_timeout", "corpus/dialogues/client-smtp-helo-timeout.smtp"),
    ("smtp_host_lookup", "corpus/dialogues/client-smtp-host-lookup.smtp"),
    ("smtp_line_length_limit", "corpus/dialogues/client-smtp-line-length-limit.smtp"),
    ("smtp_mail_timeout", "corpus/dialogues/client-smtp-mail-timeout.smtp"),
    ("smtp_mx_address_limit", "corpus/dialogues/client-smtp-mx-address-limit.smtp"),
    ("smtp_mx_session_limit", "corpus/dialogues/client-smtp-mx-session-limit.smtp"),
    ("smtp_never_send_ehlo", "corpus/dialogues/client-never-ehlo.smtp"),
    ("smtp_quit_timeout", "corpus/dialogues/client-smtp-quit-timeout.smtp"),
    ("smtp_quote_rfc821_envelope", "corpus/dialogues/client-smtp-quote-rfc821-envelope.smtp"),
    ("smtp_randomize_addresses", "corpus/dialogues/client-smtp-randomize-addresses.smtp"),
    ("smtp_rcpt_timeout", "corpus/dialogues/client-smtp-rcpt-timeout.smtp"),
    ("smtp_rset_timeout", "corpus/dialogues/client-smtp-rset-timeout.smtp"),
    ("smtp_skip_5xx_greeting", "corpus/dialogues/client-greeting-5xx-returned.smtp"),
    ("smtp_skip_quit_response", "corpus/dialogues/client-smtp-quit-timeout.smtp"),
    ("smtp_starttls_timeout", "corpus/dialogues/client-smtp-starttls-timeout.smtp"),
    ("smtp_tls_loglevel", "corpus/dialogues/client-starttls.smtp"),
    (
        "smtp_tls_loglevel",
        "tests/tests/relay_effects.rs::handshakes_are_told_of_from_level_1_on_by_each_side_for_itself",
    ),
    ("smtp_tls_security_level", "corpus/dialogues/client-smtp-starttls-timeout.smtp"),
    ("smtpd_banner", "corpus/dialogues/parameters/smtpd_banner.smtp"),
    (
        "smtpd_client_connection_count_limit",
        "tests/tests/relay_effects.rs::one_client_may_have_so_many_connections",
    ),
    (
        "smtpd_client_event_limit_exceptions",
        "tests/tests/relay_effects.rs::one_client_may_have_so_many_connections",
    ),
    ("smtpd_client_port_logging", "corpus/dialogues/greeting/ipv6-name.smtp"),
    ("smtpd_client_restrictions", "corpus/dialogues/parameters/smtpd_client_restrictions.smtp"),
    ("smtpd_data_restrictions", "corpus/dialogues/parameters/smtpd_data_restrictions.smtp"),
    ("smtpd_delay_reject", "corpus/dialogues/policy/client-refused.smtp"),
    ("smtpd_discard_ehlo_keywords", "corpus/dialogues/hello/discarded-keywords.smtp"),
    ("smtpd_end_of_data_restrictions", "corpus/dialogues/parameters/smtpd_end_of_data_restrictions.smtp"),
    ("smtpd_error_sleep_time", "corpus/dialogues/parameters/smtpd_error_sleep_time.smtp"),
    ("smtpd_forbidden_commands", "corpus/dialogues/parameters/smtpd_forbidden_commands.smtp"),
    ("smtpd_hard_error_limit", "corpus/dialogues/limits/junk.smtp"),
    ("smtpd_helo_required", "corpus/dialogues/hello/required.smtp"),
    ("smtpd_helo_restrictions", "corpus/dialogues/parameters/smtpd_helo_restrictions.smtp"),
    ("smtpd_junk_command_limit", "corpus/dialogues/limits/junk.smtp"),
    ("smtpd_noop_commands", "corpus/dialogues/other/noop-commands.smtp"),
    ("smtpd_null_access_lookup_key", "corpus/dialogues/parameters/smtpd_null_access_lookup_key.smtp"),
    ("smtpd_peername_lookup", "corpus/dialogues/greeting/no-lookup.smtp"),
    ("smtpd_recipient_limit", "corpus/dialogues/limits/recipients.smtp"),
    ("smtpd_recipient_restrictions", "corpus/dialogues/parameters/smtpd_recipient_restrictions.smtp"),
    ("smtpd_reject_unlisted_recipient", "corpus/dialogues/parameters/smtpd_reject_unlisted_recipient.smtp"),
    ("smtpd_reject_unlisted_sender", "corpus/dialogues/parameters/smtpd_reject_unlisted_sender.smtp"),
    ("smtpd_sender_restrictions", "corpus/dialogues/parameters/smtpd_sender_restrictions.smtp"),
    ("smtpd_soft_error_limit", "corpus/dialogues/parameters/smtpd_error_sleep_time.smtp"),
    ("smtpd_starttls_timeout", "corpus/dialogues/parameters/smtpd_starttls_timeout.smtp"),
    ("smtpd_timeout", "corpus/dialogues/parameters/smtpd_timeout.smtp"),
    ("smtpd_tls_loglevel", "corpus/dialogues/tls/starttls.smtp"),
    (
        "smtpd_tls_loglevel",
        "tests/tests/relay_effects.rs::handshakes_are_told_of_from_level_1_on_by_each_side_for_itself",
    ),
    ("smtpd_tls_received_header", "corpus/dialogues/tls/starttls.smtp"),
    ("smtpd_tls_security_level", "corpus/dialogues/parameters/smtpd_starttls_timeout.smtp"),
    ("smtpd_tls_wrappermode", "corpus/dialogues/tls/wrapper.smtp"),
    ("soft_bounce", "corpus/dialogues/parameters/soft_bounce.smtp"),
    (
        "soft_bounce",
        "tests/tests/relay_effects.rs::with_soft_bounce_what_a_server_refuses_stays_in_the_queue",
    ),
    ("strict_rfc821_envelopes", "corpus/dialogues/parameters/strict_rfc821_envelopes.smtp"),
    ("syslog_facility", "tests/tests/relay_effects.rs::the_system_s_logger_is_told_facility_and_name"),
    ("syslog_name", "tests/tests/relay_effects.rs::the_log_has_the_name_that_is_set"),
    (
        "unknown_local_recipient_reject_code",
        "corpus/dialogues/parameters/unknown_local_recipient_reject_code.smtp",
    ),
    (
        "unknown_relay_recipient_reject_code",
        "corpus/dialogues/parameters/unknown_relay_recipient_reject_code.smtp",
    ),
    (
        "unknown_virtual_alias_reject_code",
        "corpus/dialogues/parameters/unknown_virtual_alias_reject_code.smtp",
    ),
    (
        "unknown_virtual_mailbox_reject_code",
        "corpus/dialogues/parameters/unknown_virtual_mailbox_reject_code.smtp",
    ),
    ("virtual_alias_domains", "corpus/dialogues/parameters/virtual_alias_domains.smtp"),
    ("virtual_alias_maps", "corpus/dialogues/parameters/virtual_alias_maps.smtp"),
    ("virtual_mailbox_domains", "corpus/dialogues/parameters/virtual_mailbox_domains.smtp"),
    ("virtual_mailbox_maps", "corpus/dialogues/parameters/virtual_mailbox_maps.smtp"),
];

/// How many parameters there are in all.
const ALL: usize = 133;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The text of a test, from its name to the end that rustfmt gives it. A function that is no test has none.
fn body(text: &str, test: &str) -> Option<String> {
    let start = text.find(&format!("fn {test}("))?;
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let above = text[..line].lines().rev().take_while(|line| line.trim_start().starts_with(['#', '/']));
    above.into_iter().find(|line| line.trim() == "#[test]")?;
    let indent = &text[line..start];
    let end = text[start..].find(&format!("\n{indent}}}\n")).map_or(text.len(), |end| start + end);
    Some(text[start..end].to_owned())
}

/// Where the text of a string ends: at a `"` that is not escaped, or, for a raw string, at one with so many `#` behind it.
fn string_end(text: &str, start: usize, hashes: Option<usize>) -> usize {
    let Some(hashes) = hashes else {
        let mut escaped = false;
        let end = text[start..].find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return end.map_or(text.len(), |end| start + end);
    };
    let close = format!("\"{}", "#".repeat(hashes));
    text[start..].find(&close).map_or(text.len(), |end| start + end)
}

/// The strings of Rust code, without what stands in its comments.
fn strings(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = code[at..].find(['"', '/', '\'']) {
        let here = at + next;
        let rest = &code[here..];
        at = here
            + match rest.as_bytes() {
                [b'/', b'/', ..] => rest.find('\n').unwrap_or(rest.len()),
                [b'/', b'*', ..] => rest.find("*/").map_or(rest.len(), |end| end + 2),
                // Of the characters only these two would be taken for something else.
                [b'\'', b'"', b'\'', ..] => 3,
                [b'\'', b'\\', b'"' | b'\'', b'\'', ..] => 4,
                [b'"', ..] => {
                    let before = code[..here].trim_end_matches('#');
                    let raw = before.ends_with('r').then_some(here - before.len());
                    let end = string_end(code, here + 1, raw);
                    found.push(&code[here + 1..end]);
                    end + 1 - here
                }
                _ => 1,
            };
    }
    found
}

/// Whether a test sets a parameter, or has its value by reference: `name = value`, `("name", value)`, or `$name`.
fn names(strings: &[&str], parameter: &str) -> bool {
    strings.iter().any(|text| {
        *text == parameter
            || text.match_indices(parameter).any(|(at, _)| {
                let after = &text[at + parameter.len()..];
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let line = text[..at].trim_end_matches(' ');
                let begins = line.is_empty() || line.ends_with(['\n', '}', '{']) || line.ends_with("\\n");
                let refers = text[..at].ends_with('$') && !after.starts_with(word);
                refers || begins && after.trim_start().starts_with('=')
            })
    })
}

/// Why a row of the register is no evidence.
fn fault(parameter: &str, shown: &str) -> Option<String> {
    let (file, test) = shown.split_once("::").unwrap_or((shown, ""));
    let Ok(text) = std::fs::read_to_string(root().join(file)) else {
        return Some(format!("{parameter}: {file} is not there"));
    };
    if test.is_empty() {
        let sets = format!("! {parameter} = ");
        let empty = format!("! {parameter} =");
        let found = text.lines().any(|line| line.starts_with(&sets) || line == empty);
        return (!found).then(|| format!("{parameter}: {file} does not set it"));
    }
    match body(&text, test) {
        None => Some(format!("{parameter}: {file} has no test {test}")),
        Some(body) if !names(&strings(&body), parameter) => {
            Some(format!("{parameter}: {test} in {file} does not set it"))
        }
        Some(_) => None,
    }
}

#[test]
fn every_parameter_of_the_relay_is_shown() {
    let rows: BTreeSet<&(&str, &str)> = SHOWN.iter().collect();
    assert_eq!(SHOWN.len(), rows.len(), "a row stands twice");
    let names: BTreeSet<&str> = SHOWN.iter().map(|(parameter, _)| *parameter).collect();
    assert_eq!(names.len(), ALL, "each of them is shown, or it does not work");
    for name in names {
        let row = postrider_core::params::table::row(name);
        let works = row.is_some_and(|row| row.works == Works::Works);
        assert!(works, "{name} is in the table of parameters, as one that works");
    }
}

#[test]
fn what_shows_a_parameter_exists_and_names_it() {
    let faults: Vec<String> = SHOWN.iter().filter_map(|(parameter, shown)| fault(parameter, shown)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What does not set a parameter is no evidence for it.
#[test]
fn a_name_counts_where_a_value_is_set_and_nowhere_else() {
    let code = r##"
        // soft_bounce = yes
        /* "soft_bounce = yes" */
        let quote = ('"', '\'', '\"', 'r'); // "soft_bounce = yes"
        let soft_bounce = said("it has \"soft_bounce\" and // myorigin = x", r#"a "b" c"#);
        start("name", "\nqueue_directory = {x}\nrelayhost =\nlmtp_mail_timeout=1s");
        params(&[("smtp_mail_timeout", "3")], format!("{lines}myhostname = $mydomain.test"));
    "##;
    let strings = strings(code);
    assert_eq!(strings[0], r#"it has \"soft_bounce\" and // myorigin = x"#);
    assert_eq!(strings[1], r#"a "b" c"#);
    for name in
        ["queue_directory", "relayhost", "lmtp_mail_timeout", "smtp_mail_timeout", "myhostname", "mydomain"]
    {
        assert!(names(&strings, name), "{name}");
    }
    for name in ["soft_bounce", "myorigin", "mail_timeout", "hostname", "queue", "domain"] {
        assert!(!names(&strings, name), "{name}");
    }
    let text = "fn helper() {\n}\n\n/// So.\n#[test]\nfn test() {\n    x\n}\n";
    assert_eq!(body(text, "test").as_deref(), Some("fn test() {\n    x"));
    assert_eq!(body(text, "helper"), None);
}
