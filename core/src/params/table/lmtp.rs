//! TABLE of parameters: the client for LMTP: lmtp(8), the mirror of smtp(8).

use super::*;

rows! { LMTP:
    /// As smtp_address_preference, for LMTP.
    "lmtp_address_preference" word(&["any", "ipv4", "ipv6"]) = "any", Lmtp, Works;
    /// As smtp_address_verify_target, for LMTP.
    "lmtp_address_verify_target" word(&["rcpt", "data"]) = "rcpt", Lmtp, NotYet;
    /// Say in success reports that the delivery was the final one.
    "lmtp_assume_final" FLAG = "no", Lmtp, NotYet;
    /// As smtp_balance_inet_protocols, for LMTP.
    "lmtp_balance_inet_protocols" FLAG = "yes", Lmtp, Works;
    /// As smtp_bind_address, for LMTP.
    "lmtp_bind_address" TEXT = "", Lmtp, Works;
    /// As smtp_bind_address6, for LMTP.
    "lmtp_bind_address6" TEXT = "", Lmtp, Works;
    /// As smtp_bind_address_enforce, for LMTP.
    "lmtp_bind_address_enforce" FLAG = "no", Lmtp, Works;
    /// As smtp_body_checks, for LMTP.
    "lmtp_body_checks" TABLES = "", Lmtp, NotYet;
    /// Keep LMTP connections open between deliveries; superseded by lmtp_connection_cache_on_demand.
    "lmtp_cache_connection" TEXT = OLD, Lmtp, NotYet;
    /// As smtp_cname_overrides_servername, for LMTP.
    "lmtp_cname_overrides_servername" FLAG = "no", Lmtp, NotYet;
    /// As smtp_connect_timeout, for LMTP.
    "lmtp_connect_timeout" SECONDS = "0s", Lmtp, Works;
    /// As smtp_connection_cache_destinations, for LMTP.
    "lmtp_connection_cache_destinations" MATCHES = "", Lmtp, Works;
    /// As smtp_connection_cache_on_demand, for LMTP.
    "lmtp_connection_cache_on_demand" FLAG = "yes", Lmtp, Works;
    /// As smtp_connection_cache_time_limit, for LMTP.
    "lmtp_connection_cache_time_limit" SECONDS = "2s", Lmtp, Works;
    /// As smtp_connection_reuse_count_limit, for LMTP.
    "lmtp_connection_reuse_count_limit" COUNT = "0", Lmtp, Works;
    /// As smtp_connection_reuse_time_limit, for LMTP.
    "lmtp_connection_reuse_time_limit" SECONDS = "300s", Lmtp, Works;
    /// As smtp_data_done_timeout, for LMTP.
    "lmtp_data_done_timeout" time(Unit::Seconds, 1, INT_MAX) = "600s", Lmtp, Works;
    /// As smtp_data_init_timeout, for LMTP.
    "lmtp_data_init_timeout" time(Unit::Seconds, 1, INT_MAX) = "120s", Lmtp, Works;
    /// As smtp_data_xfer_timeout, for LMTP.
    "lmtp_data_xfer_timeout" time(Unit::Seconds, 1, INT_MAX) = "180s", Lmtp, Works;
    /// As smtp_defer_if_no_mx_address_found, for LMTP.
    "lmtp_defer_if_no_mx_address_found" FLAG = "no", Lmtp, NotYet;
    /// As smtp_delivery_status_filter, for LMTP.
    "lmtp_delivery_status_filter" TABLES = "$default_delivery_status_filter", Lmtp, NotYet;
    /// As smtp_destination_concurrency_limit, for LMTP.
    "lmtp_destination_concurrency_limit" number(0, INT_MAX) = "$default_destination_concurrency_limit", Lmtp, Works;
    /// As smtp_destination_recipient_limit, for LMTP.
    "lmtp_destination_recipient_limit" number(0, INT_MAX) = "$default_destination_recipient_limit", Lmtp, Works;
    /// As smtp_discard_ehlo_keyword_address_maps, for LMTP.
    "lmtp_discard_lhlo_keyword_address_maps" TABLES = "", Lmtp, NotYet, since "2.3";
    /// As smtp_discard_ehlo_keywords, for LMTP.
    "lmtp_discard_lhlo_keywords" LIST = "", Lmtp, Works, since "2.3";
    /// As smtp_dns_reply_filter, for LMTP.
    "lmtp_dns_reply_filter" TABLES = "", Lmtp, NotYet;
    /// As smtp_dns_resolver_options, for LMTP.
    "lmtp_dns_resolver_options" LIST = "", Lmtp, NotYet;
    /// As smtp_dns_support_level, for LMTP.
    "lmtp_dns_support_level" word(&["", "disabled", "enabled", "dnssec"]) = "", Lmtp, NotYet;
    /// As smtp_enforce_tls, for LMTP.
    "lmtp_enforce_tls" FLAG = "no", Lmtp, Works;
    /// As smtp_fallback_relay, for LMTP.
    "lmtp_fallback_relay" LIST = "", Lmtp, Works;
    /// As smtp_generic_maps, for LMTP.
    "lmtp_generic_maps" TABLES = "", Lmtp, NotYet;
    /// As smtp_header_checks, for LMTP.
    "lmtp_header_checks" TABLES = "", Lmtp, NotYet;
    /// As smtp_host_lookup, for LMTP.
    "lmtp_host_lookup" words(&["dns", "native"]) = "dns", Lmtp, Works;
    /// As smtp_helo_name, for LMTP.
    "lmtp_lhlo_name" TEXT = "$myhostname", Lmtp, Works;
    /// As smtp_helo_timeout, for LMTP.
    "lmtp_lhlo_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Lmtp, Works;
    /// As smtp_line_length_limit, for LMTP.
    "lmtp_line_length_limit" number(0, INT_MAX) = "998", Lmtp, Works;
    /// As smtp_mail_timeout, for LMTP.
    "lmtp_mail_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Lmtp, Works;
    /// As smtp_mime_header_checks, for LMTP.
    "lmtp_mime_header_checks" TABLES = "", Lmtp, NotYet;
    /// As smtp_min_data_rate, for LMTP.
    "lmtp_min_data_rate" COUNT = "500", Lmtp, NotYet;
    /// As smtp_mx_address_limit, for LMTP.
    "lmtp_mx_address_limit" COUNT = "5", Lmtp, Works;
    /// As smtp_mx_session_limit, for LMTP.
    "lmtp_mx_session_limit" COUNT = "2", Lmtp, Works;
    /// As smtp_nested_header_checks, for LMTP.
    "lmtp_nested_header_checks" TABLES = "", Lmtp, NotYet;
    /// As smtp_per_record_deadline, for LMTP.
    "lmtp_per_record_deadline" TEXT = OLD, Lmtp, NotYet;
    /// As smtp_per_request_deadline, for LMTP.
    "lmtp_per_request_deadline" FLAG = "${lmtp_per_record_deadline?{$lmtp_per_record_deadline}:{no}}", Lmtp, NotYet;
    /// As smtp_pix_workaround_delay_time, for LMTP.
    "lmtp_pix_workaround_delay_time" SECONDS = "10s", Lmtp, NotYet;
    /// As smtp_pix_workaround_maps, for LMTP.
    "lmtp_pix_workaround_maps" TABLES = "", Lmtp, NotYet;
    /// As smtp_pix_workaround_threshold_time, for LMTP.
    "lmtp_pix_workaround_threshold_time" SECONDS = "500s", Lmtp, NotYet;
    /// As smtp_pix_workarounds, for LMTP.
    "lmtp_pix_workarounds" LIST = "disable_esmtp,delay_dotcrlf", Lmtp, NotYet;
    /// As smtp_quit_timeout, for LMTP.
    "lmtp_quit_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Lmtp, Works;
    /// As smtp_quote_rfc821_envelope, for LMTP.
    "lmtp_quote_rfc821_envelope" FLAG = "yes", Lmtp, Works;
    /// As smtp_randomize_addresses, for LMTP.
    "lmtp_randomize_addresses" FLAG = "yes", Lmtp, Works;
    /// As smtp_rcpt_timeout, for LMTP.
    "lmtp_rcpt_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Lmtp, Works;
    /// As smtp_reply_filter, for LMTP.
    "lmtp_reply_filter" TABLES = "", Lmtp, NotYet;
    /// As smtp_rset_timeout, for LMTP.
    "lmtp_rset_timeout" time(Unit::Seconds, 1, INT_MAX) = "20s", Lmtp, Works;
    /// As smtp_sasl_auth_cache_name, for LMTP.
    "lmtp_sasl_auth_cache_name" TEXT = "", Lmtp, NotYet;
    /// As smtp_sasl_auth_cache_time, for LMTP.
    "lmtp_sasl_auth_cache_time" time(Unit::Days, 0, INT_MAX) = "90d", Lmtp, NotYet;
    /// As smtp_sasl_auth_enable, for LMTP.
    "lmtp_sasl_auth_enable" FLAG = "no", Lmtp, NotYet;
    /// As smtp_sasl_auth_soft_bounce, for LMTP.
    "lmtp_sasl_auth_soft_bounce" FLAG = "yes", Lmtp, NotYet;
    /// As smtp_sasl_mechanism_filter, for LMTP.
    "lmtp_sasl_mechanism_filter" TEXT = "", Lmtp, NotYet;
    /// As smtp_sasl_password_maps, for LMTP.
    "lmtp_sasl_password_maps" TABLES = "", Lmtp, NotYet;
    /// As smtp_sasl_path, for LMTP.
    "lmtp_sasl_path" TEXT = "", Lmtp, NotYet;
    /// As smtp_sasl_security_options, for LMTP.
    "lmtp_sasl_security_options" LIST = "noplaintext, noanonymous", Lmtp, NotYet;
    /// As smtp_sasl_tls_security_options, for LMTP.
    "lmtp_sasl_tls_security_options" LIST = "$lmtp_sasl_security_options", Lmtp, NotYet;
    /// As smtp_sasl_tls_verified_security_options, for LMTP.
    "lmtp_sasl_tls_verified_security_options" LIST = "$lmtp_sasl_tls_security_options", Lmtp, NotYet;
    /// As smtp_sasl_type, for LMTP.
    "lmtp_sasl_type" TEXT = "cyrus", Lmtp, NotYet;
    /// As smtp_send_dummy_mail_auth, for LMTP.
    "lmtp_send_dummy_mail_auth" FLAG = "no", Lmtp, NotYet;
    /// As smtp_send_xforward_command, for LMTP.
    "lmtp_send_xforward_command" FLAG = "no", Lmtp, NotYet;
    /// As smtp_sender_dependent_authentication, for LMTP.
    "lmtp_sender_dependent_authentication" FLAG = "no", Lmtp, NotYet;
    /// As smtp_skip_5xx_greeting, for LMTP.
    "lmtp_skip_5xx_greeting" FLAG = "yes", Lmtp, Works;
    /// As smtp_skip_quit_response, for LMTP.
    "lmtp_skip_quit_response" FLAG = "no", Lmtp, Works;
    /// As smtp_starttls_timeout, for LMTP.
    "lmtp_starttls_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Lmtp, Works;
    /// As smtp_tcp_port, for LMTP.
    "lmtp_tcp_port" TEXT = "24", Lmtp, Works;
    /// As smtp_tls_CAfile, for LMTP.
    "lmtp_tls_CAfile" TEXT = "", Lmtp, Works;
    /// As smtp_tls_CApath, for LMTP.
    "lmtp_tls_CApath" TEXT = "", Lmtp, Works;
    /// As smtp_tls_block_early_mail_reply, for LMTP.
    "lmtp_tls_block_early_mail_reply" FLAG = "no", Lmtp, NotYet;
    /// As smtp_tls_cert_file, for LMTP.
    "lmtp_tls_cert_file" TEXT = "", Lmtp, NotYet;
    /// As smtp_tls_chain_files, for LMTP.
    "lmtp_tls_chain_files" TEXT = "", Lmtp, NotYet;
    /// As smtp_tls_ciphers, for LMTP.
    "lmtp_tls_ciphers" word(&["export", "low", "medium", "high", "null"]) = "medium", Lmtp, NotYet;
    /// As smtp_tls_connection_reuse, for LMTP.
    "lmtp_tls_connection_reuse" FLAG = "no", Lmtp, NotYet;
    /// As smtp_tls_dcert_file, for LMTP.
    "lmtp_tls_dcert_file" TEXT = "", Lmtp, NotYet;
    /// As smtp_tls_dkey_file, for LMTP.
    "lmtp_tls_dkey_file" TEXT = "$lmtp_tls_dcert_file", Lmtp, NotYet;
    /// As smtp_tls_eccert_file, for LMTP.
    "lmtp_tls_eccert_file" TEXT = "", Lmtp, NotYet;
    /// As smtp_tls_eckey_file, for LMTP.
    "lmtp_tls_eckey_file" TEXT = "$lmtp_tls_eccert_file", Lmtp, NotYet;
    /// As smtp_tls_enforce_peername, for LMTP.
    "lmtp_tls_enforce_peername" FLAG = "yes", Lmtp, Works;
    /// As smtp_tls_exclude_ciphers, for LMTP.
    "lmtp_tls_exclude_ciphers" TEXT = "", Lmtp, NotYet;
    /// As smtp_tls_fingerprint_cert_match, for LMTP.
    "lmtp_tls_fingerprint_cert_match" LIST = "", Lmtp, NotYet;
    /// As smtp_tls_fingerprint_digest, for LMTP.
    "lmtp_tls_fingerprint_digest" TEXT = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}", Lmtp, NotYet;
    /// As smtp_tls_force_insecure_host_tlsa_lookup, for LMTP.
    "lmtp_tls_force_insecure_host_tlsa_lookup" FLAG = "no", Lmtp, NotYet;
    /// As smtp_tls_key_file, for LMTP.
    "lmtp_tls_key_file" TEXT = "$lmtp_tls_cert_file", Lmtp, NotYet;
    /// As smtp_tls_loglevel, for LMTP.
    "lmtp_tls_loglevel" COUNT = "0", Lmtp, Works;
    /// As smtp_tls_mandatory_ciphers, for LMTP.
    "lmtp_tls_mandatory_ciphers" word(&["export", "low", "medium", "high", "null"]) = "medium", Lmtp, NotYet;
    /// As smtp_tls_mandatory_exclude_ciphers, for LMTP.
    "lmtp_tls_mandatory_exclude_ciphers" TEXT = "", Lmtp, NotYet;
    /// As smtp_tls_mandatory_protocols, for LMTP.
    "lmtp_tls_mandatory_protocols" TEXT = ">=TLSv1", Lmtp, NotYet;
    /// As smtp_tls_note_starttls_offer, for LMTP.
    "lmtp_tls_note_starttls_offer" FLAG = "no", Lmtp, NotYet;
    /// As smtp_tls_per_site, for LMTP.
    "lmtp_tls_per_site" TEXT = "", Lmtp, NotYet;
    /// As smtp_tls_policy_maps, for LMTP.
    "lmtp_tls_policy_maps" TABLES = "", Lmtp, NotYet;
    /// As smtp_tls_protocols, for LMTP.
    "lmtp_tls_protocols" TEXT = ">=TLSv1", Lmtp, NotYet;
    /// As smtp_tls_scert_verifydepth, for LMTP.
    "lmtp_tls_scert_verifydepth" COUNT = "9", Lmtp, NotYet;
    /// As smtp_tls_secure_cert_match, for LMTP.
    "lmtp_tls_secure_cert_match" LIST = "nexthop", Lmtp, NotYet;
    /// As smtp_tls_security_level, for LMTP.
    "lmtp_tls_security_level" word(&["", "none", "may", "encrypt", "dane", "dane-only", "half-dane", "fingerprint", "verify", "secure"]) = "", Lmtp, Works;
    /// As smtp_tls_servername, for LMTP.
    "lmtp_tls_servername" TEXT = "", Lmtp, NotYet;
    /// As smtp_tls_session_cache_database, for LMTP.
    "lmtp_tls_session_cache_database" TEXT = "", Lmtp, NotYet;
    /// As smtp_tls_session_cache_timeout, for LMTP.
    "lmtp_tls_session_cache_timeout" time(Unit::Seconds, 1, INT_MAX) = "3600s", Lmtp, NotYet;
    /// As smtp_tls_trust_anchor_file, for LMTP.
    "lmtp_tls_trust_anchor_file" TEXT = "", Lmtp, NotYet;
    /// As smtp_tls_verify_cert_match, for LMTP.
    "lmtp_tls_verify_cert_match" LIST = "hostname", Lmtp, NotYet;
    /// As smtp_tls_wrappermode, for LMTP.
    "lmtp_tls_wrappermode" FLAG = "no", Lmtp, NotYet;
    /// As smtp_use_tls, for LMTP.
    "lmtp_use_tls" FLAG = "no", Lmtp, Works;
    /// As smtp_xforward_timeout, for LMTP.
    "lmtp_xforward_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Lmtp, NotYet;
}
