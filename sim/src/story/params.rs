//! The configuration of a host, drawn: most parameters have their default, and each that matters here often another value.

use super::address;
use postrider_core::prng::Prng;

/// A parameter and the values that it may be given.
type Choice = (&'static str, &'static [&'static str]);

/// What the client, the scheduler, reports and the server obey.
const CHOICES: &[Choice] = &[
    ("smtp_mx_address_limit", &["0", "2", "3"]),
    ("smtp_mx_session_limit", &["0", "1", "2"]),
    ("smtp_connection_cache_on_demand", &["no"]),
    ("smtp_connection_cache_destinations", &["d0.sim", "d1.sim shop.sim"]),
    ("lmtp_connection_cache_destinations", &["10.0.1.3", "10.0.1.4"]),
    ("smtp_connection_cache_time_limit", &["1s", "30s"]),
    ("smtp_connection_reuse_count_limit", &["1", "3"]),
    ("smtp_connection_reuse_time_limit", &["5s", "1000s"]),
    ("smtp_destination_recipient_limit", &["1", "2", "50"]),
    ("lmtp_destination_recipient_limit", &["1", "3"]),
    ("initial_destination_concurrency", &["1", "2", "9"]),
    ("default_destination_concurrency_failed_cohort_limit", &["2", "5"]),
    ("default_destination_concurrency_positive_feedback", &["1/concurrency", "0.5"]),
    ("default_destination_concurrency_negative_feedback", &["1/concurrency", "0.1"]),
    ("default_destination_rate_delay", &["1s", "5s"]),
    ("qmgr_message_active_limit", &["1", "3", "20"]),
    ("qmgr_message_recipient_limit", &["2", "10"]),
    ("qmgr_message_recipient_minimum", &["1"]),
    ("smtp_connect_timeout", &["5s", "0s", "120s"]),
    ("smtp_helo_timeout", &["20s"]),
    ("smtp_mail_timeout", &["10s"]),
    ("smtp_rcpt_timeout", &["10s"]),
    ("smtp_data_init_timeout", &["10s"]),
    ("smtp_data_done_timeout", &["15s", "120s"]),
    ("smtp_quit_timeout", &["2s"]),
    ("smtp_skip_quit_response", &["no"]),
    ("smtp_randomize_addresses", &["no"]),
    ("smtp_always_send_ehlo", &["no"]),
    ("smtp_discard_ehlo_keywords", &["pipelining", "dsn, 8bitmime"]),
    ("smtp_fallback_relay", &["[10.0.1.1]", "d0.sim"]),
    ("smtp_defer_if_no_mx_address_found", &["yes"]),
    ("smtpd_recipient_limit", &["2", "100"]),
    ("smtpd_timeout", &["30s", "300s"]),
    ("smtpd_forbid_unauth_pipelining", &["no"]),
    ("retry_jitter", &["0", "50"]),
    ("delay_warning_time", &["600s", "1h"]),
    ("notify_classes", &["bounce, 2bounce, resource", "delay, 2bounce", ""]),
    ("bounce_size_limit", &["1500", "50000"]),
    ("default_delivery_slot_cost", &["0", "2"]),
    ("header_size_limit", &["10240"]),
    ("message_size_limit", &["102400"]),
];

/// Parameters that no reload changes: the oracle goes by one value in all of a story.
const LASTING: [&str; 3] =
    ["message_size_limit", "smtp_destination_recipient_limit", "lmtp_destination_recipient_limit"];

/// How much of a configuration the story decides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) number: usize,
    pub(super) hosts: usize,
    pub(super) name_servers: usize,
    pub(super) servers: usize,
    /// Lifetimes are short, because something stays broken for good.
    pub(super) hurried: bool,
    pub(super) calm: bool,
}

/// The lines of a main.cf.
pub(super) fn main_cf(prng: &mut Prng, frame: Frame) -> Vec<String> {
    let Frame { number, hosts, name_servers, servers, hurried, calm } = frame;
    let dns: Vec<String> = (0..name_servers).map(|server| address(0, server).to_string()).collect();
    // A host may hand all its mail to the next one.
    let relay = if number + 1 < hosts && prng.chance(1, 2) {
        format!("[{}]", address(2, number + 1))
    } else {
        String::new()
    };
    let shop = address(1, servers);
    let mut lines = vec![
        "compatibility_level = 3.6".to_owned(),
        format!("myhostname = host{number}.sim"),
        "mydestination =".to_owned(),
        "local_recipient_maps =".to_owned(),
        "alias_maps =".to_owned(),
        "alias_database =".to_owned(),
        "mynetworks = 10.0.0.0/8".to_owned(),
        "inet_protocols = ipv4".to_owned(),
        format!("dns_servers = {}", dns.join(" ")),
        format!("relayhost = {relay}"),
        format!("node_number = {number}"),
        format!("default_destination_concurrency_limit = {}", 1 + prng.below(20)),
    ];
    // The way to the shop: by the class of its domain, or by a table, which may fail.
    if prng.chance(1, 3) {
        lines.push(format!("transport_maps = inline:{{ shop.sim=lmtp:inet:{shop}:24 }}"));
    } else {
        lines.push("relay_domains = shop.sim".to_owned());
        lines.push(format!("relay_transport = lmtp:inet:{shop}:24"));
    }
    // Mail for a host itself is nobody's: it goes from host to host until it has been through too many. Few hosts do that with their notices.
    if !prng.chance(1, 8) {
        let notices = ["error", "bounce", "2bounce", "delay"];
        lines.extend(notices.map(|what| format!("{what}_notice_recipient = postmaster@send.sim")));
    }
    times(prng, hurried, calm, &mut lines);
    // Who must encrypt and meets servers that do not gives up in the end: not in five days.
    let level = match prng.below(5) {
        _ if calm => "may",
        0 if hurried && relay.is_empty() => "encrypt",
        0 | 1 => "none",
        _ => "may",
    };
    lines.push(format!("smtp_tls_security_level = {level}"));
    for (name, values) in CHOICES {
        if prng.chance(1, 8) {
            let value = values[prng.below(values.len() as u64) as usize];
            lines.push(format!("{name} = {value}"));
        }
    }
    if hurried && prng.chance(1, 10) {
        // What is refused for good waits for its age.
        lines.push("soft_bounce = yes".to_owned());
    }
    if calm {
        // Nothing is to be refused or given up.
        let strict = ["message_size_limit", "smtpd_recipient_limit"];
        lines.retain(|line| !strict.iter().any(|name| line.starts_with(name)));
    }
    lines
}

/// Has a host keep connections though nothing waits for them, and for long.
pub(super) fn keep_connections(main: &mut Vec<String>) {
    main.retain(|line| !line.starts_with("smtp_connection_cache_"));
    main.push("smtp_connection_cache_destinations = d0.sim d1.sim d2.sim d3.sim".to_owned());
    main.push("smtp_connection_cache_time_limit = 30s".to_owned());
}

/// Another main.cf of the same host: other values of some parameters, and perhaps another level of TLS.
pub(super) fn another(prng: &mut Prng, main: &[String], hurried: bool) -> Vec<String> {
    let sets = |line: &String, name: &str| line.split_once(" = ").is_some_and(|(set, _)| set == name);
    let mut lines = main.to_vec();
    for (name, values) in CHOICES.iter().filter(|(name, _)| !LASTING.contains(name)) {
        if prng.chance(1, 8) {
            lines.retain(|line| !sets(line, name));
            if prng.chance(3, 4) {
                let value = values[prng.below(values.len() as u64) as usize];
                lines.push(format!("{name} = {value}"));
            }
        }
    }
    let relays = lines.iter().any(|line| sets(line, "relayhost") && line.contains('['));
    let level = match prng.below(4) {
        0..3 if hurried && !relays => "encrypt",
        2 => "none",
        _ => "may",
    };
    lines.retain(|line| !sets(line, "smtp_tls_security_level"));
    lines.push(format!("smtp_tls_security_level = {level}"));
    lines
}

fn times(prng: &mut Prng, hurried: bool, calm: bool, lines: &mut Vec<String>) {
    let (minimal, maximal) = (60 + prng.below(600), 1_000 + prng.below(3_000));
    let short = |prng: &mut Prng| 7_200 + prng.below(7_200);
    let lifetime = if !calm && (hurried || prng.chance(1, 5)) { short(prng) } else { 432_000 };
    let reports = if !calm && (hurried || prng.chance(1, 5)) { short(prng) } else { 432_000 };
    lines.push(format!("minimal_backoff_time = {minimal}s"));
    lines.push(format!("maximal_backoff_time = {maximal}s"));
    lines.push(format!("queue_run_delay = {minimal}s"));
    lines.push(format!("maximal_queue_lifetime = {lifetime}s"));
    lines.push(format!("bounce_queue_lifetime = {reports}s"));
}
