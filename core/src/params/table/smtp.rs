//! TABLE of parameters: the client: smtp(8).

use super::*;

rows! { SMTP:
    /// The transport for a domain whose best MX host is ourselves though we do not take it as ours; empty for a
    /// loop error.
    "best_mx_transport" TEXT = "", Smtp, Works;
    /// Never ask for MX records: a nexthop is a host name, looked up in the hosts file, then in DNS.
    "disable_dns_lookups" FLAG = "no", Smtp, Works;
    /// The name of smtp_fallback_relay in old configurations; its default refers to this one.
    "fallback_relay" LIST = OLD, Smtp, Works;
    /// When asking for MX records fails for now, fall back to the domain's addresses instead of deferring.
    "ignore_mx_lookup_error" FLAG = "no", Smtp, Works;
    /// Which addresses of a host come first: `ipv4`, `ipv6`, or `any`.
    "smtp_address_preference" word(&["any", "ipv4", "ipv6"]) = "any", Smtp, Works;
    /// The command at which a probe ends: RCPT TO or the content.
    "smtp_address_verify_target" word(&["rcpt", "data"]) = "rcpt", Smtp, NotYet;
    /// Greet with EHLO even when the server's greeting does not say ESMTP.
    "smtp_always_send_ehlo" FLAG = "yes", Smtp, Works;
    /// With limited addresses, try both protocols when both are there.
    "smtp_balance_inet_protocols" FLAG = "yes", Smtp, Works;
    /// The IPv4 address to connect from; `0.0.0.0` for any, also where inet_interfaces has just one.
    "smtp_bind_address" TEXT = "", Smtp, Works;
    /// The IPv6 address to connect from; `::` for any, also where inet_interfaces has just one.
    "smtp_bind_address6" TEXT = "", Smtp, Works;
    /// Defer when the address to connect from (smtp_bind_address) can not be used, instead of a warning and any address.
    "smtp_bind_address_enforce" FLAG = "no", Smtp, Works;
    /// Rules for content lines, applied when mail is delivered.
    "smtp_body_checks" TABLES = "", Smtp, NotYet, since "2.5";
    /// Use the name at the end of a CNAME chain, not the name that was asked for, in logs, logins and TLS
    /// policy.
    "smtp_cname_overrides_servername" FLAG = "no", Smtp, NotYet, since "2.2.9";
    /// How long a TCP connection may take to be made; 0 leaves it to the system.
    "smtp_connect_timeout" SECONDS = "30s", Smtp, Works;
    /// Domains, hosts and addresses whose connections are always kept for reuse.
    "smtp_connection_cache_destinations" MATCHES = "", Smtp, Works, since "2.2";
    /// Keep a connection for reuse while more mail waits for the same destination.
    "smtp_connection_cache_on_demand" FLAG = "yes", Smtp, Works, since "2.2";
    /// How often a kept connection was reused, in old releases.
    "smtp_connection_cache_reuse_limit" TEXT = OLD, Smtp, NotYet, since "2.2";
    /// How long an idle connection is kept.
    "smtp_connection_cache_time_limit" SECONDS = "2s", Smtp, Works, since "2.2";
    /// How many deliveries go over one connection; 0 for no limit.
    "smtp_connection_reuse_count_limit" COUNT = "0", Smtp, Works;
    /// How long a connection is reused, counted from when it was made.
    "smtp_connection_reuse_time_limit" SECONDS = "300s", Smtp, Works, since "2.2";
    /// How long the server may take for its reply to the end of the content. A shorter one risks duplicates:
    /// RFC 5321 4.5.3.2.6 asks for 10 minutes.
    "smtp_data_done_timeout" time(Unit::Seconds, 1, INT_MAX) = "600s", Smtp, Works;
    /// How long the server may take for its reply to DATA.
    "smtp_data_init_timeout" time(Unit::Seconds, 1, INT_MAX) = "120s", Smtp, Works;
    /// How long sending a part of the content may take.
    "smtp_data_xfer_timeout" time(Unit::Seconds, 1, INT_MAX) = "180s", Smtp, Works;
    /// Defer instead of returning mail when no MX record leads to an address.
    "smtp_defer_if_no_mx_address_found" FLAG = "no", Smtp, Works;
    /// Rules that change the status of deliveries.
    "smtp_delivery_status_filter" TABLES = "$default_delivery_status_filter", Smtp, NotYet;
    /// Deliveries at a time to one destination by the transport smtp.
    "smtp_destination_concurrency_limit" number(0, INT_MAX) = "$default_destination_concurrency_limit", Smtp, Works;
    /// Recipients of one delivery by the transport smtp.
    "smtp_destination_recipient_limit" number(0, INT_MAX) = "$default_destination_recipient_limit", Smtp, Works;
    /// By server address: EHLO keywords to overlook.
    "smtp_discard_ehlo_keyword_address_maps" TABLES = "", Smtp, NotYet, since "2.2";
    /// EHLO keywords of servers to overlook.
    "smtp_discard_ehlo_keywords" LIST = "", Smtp, Works, since "2.2";
    /// Rules that drop DNS records.
    "smtp_dns_reply_filter" TABLES = "", Smtp, NotYet;
    /// Options of the resolver.
    "smtp_dns_resolver_options" LIST = "", Smtp, NotYet;
    /// How far DNS is used: `disabled`, `enabled`, or `dnssec`.
    "smtp_dns_support_level" word(&["", "disabled", "enabled", "dnssec"]) = "", Smtp, NotYet;
    /// Hosts that take mail when its destination is not found or can not be reached.
    "smtp_fallback_relay" LIST = "$fallback_relay", Smtp, Works, since "2.3";
    /// Addresses rewritten when mail leaves by SMTP: made for hosts whose own addresses mean nothing outside.
    "smtp_generic_maps" TABLES = "", Smtp, NotYet, since "2.2";
    /// Rules for header fields, applied when mail is delivered.
    "smtp_header_checks" TABLES = "", Smtp, NotYet, since "2.5";
    /// The name given with HELO and EHLO.
    "smtp_helo_name" TEXT = "$myhostname", Smtp, Works;
    /// How long the server may take for its greeting and its reply to HELO or EHLO.
    "smtp_helo_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Smtp, Works;
    /// How host names become addresses: `dns` asks DNS alone, `native` the hosts file and then DNS; of two, the first that knows the name.
    "smtp_host_lookup" words(&["dns", "native"]) = "dns", Smtp, Works;
    /// Longer lines are broken when sent, with a space; 0 for no limit. RFC 5321 4.5.3.1.6 allows 998 octets.
    "smtp_line_length_limit" number(0, INT_MAX) = "998", Smtp, Works;
    /// How long the server may take for its reply to MAIL FROM.
    "smtp_mail_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Smtp, Works;
    /// Rules for the header fields of MIME parts, applied when mail is delivered.
    "smtp_mime_header_checks" TABLES = "", Smtp, NotYet, since "2.5";
    /// Octets in a second that a peer must at least take, under smtp_per_request_deadline.
    "smtp_min_data_rate" COUNT = "500", Smtp, NotYet;
    /// How many addresses of MX hosts are tried; 0 for all.
    "smtp_mx_address_limit" COUNT = "5", Smtp, Works, since "2.1";
    /// How many sessions are begun before the next attempt; 0 for no limit.
    "smtp_mx_session_limit" COUNT = "2", Smtp, Works, since "2.1";
    /// Rules for the headers of attached messages, applied when mail is delivered.
    "smtp_nested_header_checks" TABLES = "", Smtp, NotYet, since "2.5";
    /// Greet with HELO always.
    "smtp_never_send_ehlo" FLAG = "no", Smtp, Works;
    /// The name of smtp_per_request_deadline in old configurations; its default refers to this one.
    "smtp_per_record_deadline" TEXT = OLD, Smtp, NotYet;
    /// Apply time-outs to whole commands and replies instead of single reads and writes.
    "smtp_per_request_deadline" FLAG = "${smtp_per_record_deadline?{$smtp_per_record_deadline}:{no}}", Smtp, NotYet;
    /// How long to wait before the final dot, for a firewall that mishandles it.
    "smtp_pix_workaround_delay_time" SECONDS = "10s", Smtp, NotYet;
    /// By server address: workarounds for such a firewall.
    "smtp_pix_workaround_maps" TABLES = "", Smtp, NotYet;
    /// How old a message must be for these workarounds.
    "smtp_pix_workaround_threshold_time" SECONDS = "500s", Smtp, NotYet;
    /// The workarounds that are used when the greeting looks like that firewall's.
    "smtp_pix_workarounds" LIST = "disable_esmtp,delay_dotcrlf", Smtp, NotYet;
    /// How long the server may take for its reply to QUIT.
    "smtp_quit_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Smtp, Works;
    /// Quote local parts in MAIL FROM and RCPT TO as RFC 5321 asks.
    "smtp_quote_rfc821_envelope" FLAG = "yes", Smtp, Works;
    /// Try MX hosts of equal preference in random order.
    "smtp_randomize_addresses" FLAG = "yes", Smtp, Works;
    /// How long the server may take for its reply to RCPT TO.
    "smtp_rcpt_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Smtp, Works;
    /// Rules that change server replies before they are read.
    "smtp_reply_filter" TABLES = "", Smtp, NotYet;
    /// How long the server may take for its reply to RSET.
    "smtp_rset_timeout" time(Unit::Seconds, 1, INT_MAX) = "20s", Smtp, Works, since "2.1";
    /// Send `AUTH=<>` with MAIL FROM to servers that know AUTH.
    "smtp_send_dummy_mail_auth" FLAG = "no", Smtp, NotYet;
    /// Pass the client's name, address and protocol on to a server that knows XFORWARD.
    "smtp_send_xforward_command" FLAG = "no", Smtp, NotYet, since "2.1";
    /// Look logins up by sender first.
    "smtp_sender_dependent_authentication" FLAG = "no", Smtp, NotYet, since "2.3";
    /// Go on to the next MX host after a 4xx greeting; old releases only, now always so.
    "smtp_skip_4xx_greeting" TEXT = OLD, Smtp, NotYet;
    /// Go on to the next MX host after a 5xx greeting, instead of returning the mail.
    "smtp_skip_5xx_greeting" FLAG = "yes", Smtp, Works;
    /// Do not wait for the reply to QUIT.
    "smtp_skip_quit_response" FLAG = "yes", Smtp, Works;
    /// The port to connect to.
    "smtp_tcp_port" TEXT = "smtp", Smtp, NotYet;
    /// How long the server may take for its reply to XFORWARD.
    "smtp_xforward_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Smtp, NotYet;
}
