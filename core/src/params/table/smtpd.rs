//! TABLE of parameters: the server: smtpd(8) and its access lists.

use super::*;

rows! { SMTPD:
    /// Reply code of the access(5) actions that defer.
    "access_map_defer_code" CODE = "450", Smtpd, Works, since "2.6";
    /// Reply code of the access(5) action `reject`.
    "access_map_reject_code" CODE = "554", Smtpd, Works;
    /// Let strangers use addresses with sender-specified routing (`user@a@b`, `user%a@b`) to reach relay
    /// domains.
    "allow_untrusted_routing" FLAG = "no", Smtpd, Works;
    /// Clients that may ask for variable envelope return paths; the old name of smtpd_authorized_verp_clients.
    "authorized_verp_clients" MATCHES = OLD, Smtpd, NotYet, since "1.1";
    /// Addresses rewritten in envelopes and headers, of senders and of recipients.
    "canonical_maps" TABLES = "", Smtpd, Works;
    /// The template of the reply to a client that a block list knows, when rbl_reply_maps has none.
    "default_rbl_reply" RAW = "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}", Smtpd, NotYet, since "2.0";
    /// The two characters that delimit a recipient in a variable envelope return path.
    "default_verp_delimiters" TEXT = "+=", Smtpd, NotYet;
    /// Reply code of restrictions that defer.
    "defer_code" CODE = "450", Smtpd, Works;
    /// Refuse VRFY, so that addresses can not be tried with it.
    "disable_vrfy_command" FLAG = "no", Smtpd, Works;
    /// The sender of mail to the postmaster about undeliverable reports. Mail to it is discarded, which ends
    /// every loop.
    "double_bounce_sender" TEXT = "double-bounce", Smtpd, Works;
    /// Reply code of reject_invalid_helo_hostname.
    "invalid_hostname_reject_code" CODE = "501", Smtpd, Works;
    /// Longer lines of content are taken in pieces.
    "line_length_limit" number(512, INT_MAX) = "2048", Smtpd, Works;
    /// Clients whose headers are rewritten like local mail: incomplete addresses are completed.
    "local_header_rewrite_clients" RESTRICTIONS = "permit_inet_interfaces", Smtpd, Works, since "2.2";
    /// All users of the domains of mydestination; empty for no check of local recipients.
    "local_recipient_maps" TABLES = "proxy:unix:passwd.byname $alias_maps", Smtpd, Works;
    /// Reply code of restrictions that ask a block list.
    "maps_rbl_reject_code" CODE = "554", Smtpd, NotYet;
    /// Octets that a message may have, with its envelope; 0 for no limit.
    "message_size_limit" number(0, SIZE_MAX) = "10240000", Smtpd, Works;
    /// Reply code of reject_multi_recipient_bounce.
    "multi_recipient_bounce_reject_code" CODE = "550", Smtpd, Works, since "2.0";
    /// The domains that are delivered locally: their recipients are looked up in local_recipient_maps and go to
    /// local_transport.
    "mydestination" MATCHES = "$myhostname, localhost.$mydomain, localhost", Smtpd, Works;
    /// The full name of this host. Many other defaults follow from it.
    "myhostname" TEXT = HOST, Smtpd, Works;
    /// Networks of clients that are trusted: permit_mynetworks lets them relay.
    "mynetworks" MATCHES = HOST, Smtpd, Works;
    /// The domain that is added to addresses without one. A path means the first line of that file.
    "myorigin" TEXT = "$myhostname", Smtpd, Works;
    /// Reply code of the reject_non_fqdn restrictions.
    "non_fqdn_reject_code" CODE = "504", Smtpd, Works;
    /// The parameters in which `example.com` also means every name below it. In all others `.example.com` says
    /// so.
    "parent_domain_matches_subdomains" LIST = "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,relay_domains,smtpd_access_maps", Smtpd, Works;
    /// permit_mx_backup permits only domains whose primary MX hosts lie in these networks.
    "permit_mx_backup_networks" MATCHES = "", Smtpd, NotYet;
    /// Reply code of reject_plaintext_session.
    "plaintext_reject_code" CODE = "450", Smtpd, Works;
    /// Octets that the queue's file system must have free for mail to be accepted; 0 for no such check. Mail is
    /// refused in any case when 1.5 messages of the largest size do not fit.
    "queue_minfree" number(0, SIZE_MAX) = "0", Smtpd, Works;
    /// Templates of replies by name of the block list.
    "rbl_reply_maps" TABLES = "", Smtpd, NotYet, since "2.0";
    /// Recipient addresses rewritten in envelopes and headers, before canonical_maps.
    "recipient_canonical_maps" TABLES = "", Smtpd, Works;
    /// Reply code of restrictions that reject.
    "reject_code" CODE = "554", Smtpd, Works;
    /// What a reject restriction does when it can not find out for now.
    "reject_tempfail_action" TEXT = "defer_if_permit", Smtpd, NotYet, since "2.6";
    /// Domains that are relayed for everybody, and their subdomains.
    "relay_domains" MATCHES = "${{$compatibility_level} <level {2} ? {$mydestination} : {}}", Smtpd, Works;
    /// Reply code for clients that may not relay.
    "relay_domains_reject_code" CODE = "554", Smtpd, Works;
    /// All recipients of relay_domains; empty for no check of them.
    "relay_recipient_maps" TABLES = "", Smtpd, Works;
    /// Sender addresses rewritten in envelopes and headers, before canonical_maps.
    "sender_canonical_maps" TABLES = "", Smtpd, Works;
    /// Say in the reply which table does not know a recipient.
    "show_user_unknown_table_name" FLAG = "yes", Smtpd, Works;
    /// Clients that may ask for variable envelope return paths with XVERP.
    "smtpd_authorized_verp_clients" MATCHES = "$authorized_verp_clients", Smtpd, NotYet, since "2.1";
    /// Clients that may say with XCLIENT who the client is.
    "smtpd_authorized_xclient_hosts" MATCHES = "", Smtpd, NotYet, since "2.1";
    /// Clients that may say with XFORWARD who the client was, for the log.
    "smtpd_authorized_xforward_hosts" MATCHES = "", Smtpd, NotYet, since "2.1";
    /// The text of the greeting; the host's name must come first (RFC 5321 4.2).
    "smtpd_banner" TEXT = "$myhostname ESMTP $mail_name", Smtpd, Works;
    /// AUTH commands in one anvil_rate_time_unit from one client; 0 for no limit.
    "smtpd_client_auth_rate_limit" COUNT = "0", Smtpd, NotYet;
    /// Connections at a time from one client to one service; 0 for no limit.
    "smtpd_client_connection_count_limit" COUNT = "50", Smtpd, Works, since "2.3";
    /// The old name of smtpd_client_event_limit_exceptions; its default refers to this one.
    "smtpd_client_connection_limit_exceptions" TEXT = OLD, Smtpd, Works;
    /// Connections in one anvil_rate_time_unit from one client; 0 for no limit.
    "smtpd_client_connection_rate_limit" COUNT = "0", Smtpd, NotYet, since "2.3";
    /// Clients that the limits of connections and rates do not touch.
    "smtpd_client_event_limit_exceptions" MATCHES = "${smtpd_client_connection_limit_exceptions:$mynetworks}", Smtpd, Works, since "2.3";
    /// Messages in one anvil_rate_time_unit from one client; 0 for no limit.
    "smtpd_client_message_rate_limit" COUNT = "0", Smtpd, NotYet, since "2.3";
    /// Full TLS handshakes in one anvil_rate_time_unit from one client; 0 for no limit.
    "smtpd_client_new_tls_session_rate_limit" COUNT = "0", Smtpd, NotYet, since "2.3";
    /// Log the client's port with its address.
    "smtpd_client_port_logging" FLAG = "no", Smtpd, Works, since "2.5";
    /// Recipients in one anvil_rate_time_unit from one client; 0 for no limit.
    "smtpd_client_recipient_rate_limit" COUNT = "0", Smtpd, NotYet, since "2.3";
    /// Who may connect; with smtpd_delay_reject asked at RCPT TO.
    "smtpd_client_restrictions" RESTRICTIONS = "", Smtpd, Works;
    /// Rules that change commands before they are obeyed, for clients that can not be mended.
    "smtpd_command_filter" TABLES = "", Smtpd, NotYet, since "2.7";
    /// Asked at DATA.
    "smtpd_data_restrictions" RESTRICTIONS = "", Smtpd, Works, since "2.0";
    /// Begin a message only when its first recipient is accepted.
    "smtpd_delay_open_until_valid_rcpt" FLAG = "yes", Smtpd, NotYet, since "2.2";
    /// Ask the lists for client, HELO and sender only at RCPT TO, when sender and recipient can be logged.
    "smtpd_delay_reject" FLAG = "yes", Smtpd, Works;
    /// By client address: EHLO keywords that are not announced.
    "smtpd_discard_ehlo_keyword_address_maps" TABLES = "", Smtpd, Works, since "2.2";
    /// EHLO keywords that are not announced.
    "smtpd_discard_ehlo_keywords" LIST = "", Smtpd, Works, since "2.2";
    /// Rules that drop DNS records.
    "smtpd_dns_reply_filter" TABLES = "", Smtpd, NotYet;
    /// Asked at the end of the content.
    "smtpd_end_of_data_restrictions" RESTRICTIONS = "", Smtpd, Works, since "2.2";
    /// How long a reply waits once a client has made smtpd_soft_error_limit errors.
    "smtpd_error_sleep_time" SECONDS = "1s", Smtpd, Works;
    /// Who may ask for a delivery with ETRN.
    "smtpd_etrn_restrictions" RESTRICTIONS = "", Smtpd, NotYet;
    /// Characters that may stand in the values of `$name` in block list replies; others become `_`.
    "smtpd_expansion_filter" RAW = "\\t\\40!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\\\]^_`abcdefghijklmnopqrstuvwxyz{|}~", Smtpd, NotYet, since "2.0";
    /// What happens to lines that end in LF without CR, with which messages are smuggled past filters:
    /// `normalize` takes them as CRLF but never as the end of the content, `reject` refuses. Postfix 3.7 says no;
    /// later releases say normalize, and so do we. `no` and `note` act as normalize here, and are told of.
    "smtpd_forbid_bare_newline" word(&["no", "yes", "normalize", "reject", "note"]) = "normalize", Smtpd, Works;
    /// Clients to which smtpd_forbid_bare_newline does not apply.
    "smtpd_forbid_bare_newline_exclusions" MATCHES = "$mynetworks", Smtpd, NotYet;
    /// Reply code of `smtpd_forbid_bare_newline = reject`.
    "smtpd_forbid_bare_newline_reject_code" CODE = "550", Smtpd, Works;
    /// Refuse a client that sends commands before it may. Postfix 3.7 says no; later releases say yes, and so
    /// do we.
    "smtpd_forbid_unauth_pipelining" FLAG = "yes", Smtpd, Works;
    /// Commands that end the session: what speaks them is no mail client. Items are words, tables, or files of
    /// such items.
    "smtpd_forbidden_commands" MATCHES = "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}", Smtpd, Works, since "2.2";
    /// Errors after which the server closes the connection.
    "smtpd_hard_error_limit" number(1, INT_MAX) = "${stress?{1}:{20}}", Smtpd, Works;
    /// Refuse mail from a client that has not said HELO or EHLO.
    "smtpd_helo_required" FLAG = "no", Smtpd, Works;
    /// Which names a client may give with HELO or EHLO.
    "smtpd_helo_restrictions" RESTRICTIONS = "", Smtpd, Works;
    /// Lines of a session's history that are kept for a report to the postmaster.
    "smtpd_history_flush_threshold" COUNT = "100", Smtpd, Works;
    /// NOOP, VRFY, RSET and such since the last message, beyond which each counts as an error.
    "smtpd_junk_command_limit" number(1, INT_MAX) = "${stress?{1}:{100}}", Smtpd, Works;
    /// Restrictions whose permission is logged.
    "smtpd_log_access_permit_actions" MATCHES = "", Smtpd, NotYet;
    /// Octets in a second that a client must at least send, under smtpd_per_request_deadline.
    "smtpd_min_data_rate" COUNT = "500", Smtpd, Works;
    /// Commands that are answered 250 and do nothing. Items are words, tables, or files of such items.
    "smtpd_noop_commands" MATCHES = "", Smtpd, Works;
    /// The key under which access tables are asked for the null sender.
    "smtpd_null_access_lookup_key" TEXT = "<>", Smtpd, Works;
    /// Look up the client's name and verify it by its address; otherwise the name is `unknown`.
    "smtpd_peername_lookup" FLAG = "yes", Smtpd, Works, since "2.3";
    /// The name of smtpd_per_request_deadline in old configurations; its default refers to this one.
    "smtpd_per_record_deadline" TEXT = OLD, Smtpd, NotYet, since "2.9";
    /// Apply time-outs to whole commands and replies instead of single reads and writes.
    "smtpd_per_request_deadline" FLAG = "${smtpd_per_record_deadline?{$smtpd_per_record_deadline}:{${stress?{yes}:{no}}}}", Smtpd, Works;
    /// What holds when a policy server can not be reached.
    "smtpd_policy_service_default_action" TEXT = "451 4.3.5 Server configuration problem", Smtpd, NotYet;
    /// After how long an idle connection to a policy server is closed.
    "smtpd_policy_service_max_idle" SECONDS = "300s", Smtpd, NotYet;
    /// After how long any connection to a policy server is closed.
    "smtpd_policy_service_max_ttl" SECONDS = "1000s", Smtpd, NotYet;
    /// A word that tells a policy server which list asks.
    "smtpd_policy_service_policy_context" TEXT = "", Smtpd, NotYet;
    /// Questions over one connection to a policy server; 0 for no limit.
    "smtpd_policy_service_request_limit" COUNT = "0", Smtpd, NotYet;
    /// The pause before a policy server is asked again.
    "smtpd_policy_service_retry_delay" SECONDS = "1s", Smtpd, NotYet;
    /// How long a policy server may take.
    "smtpd_policy_service_timeout" time(Unit::Seconds, 1, INT_MAX) = "100s", Smtpd, NotYet;
    /// How often a policy server is asked.
    "smtpd_policy_service_try_limit" COUNT = "2", Smtpd, NotYet;
    /// Recipients of one message.
    "smtpd_recipient_limit" number(1, INT_MAX) = "1000", Smtpd, Works;
    /// Recipients beyond smtpd_recipient_limit, each refused with 452, before they count as errors.
    "smtpd_recipient_overshoot_limit" COUNT = "1000", Smtpd, Works, since "2.1";
    /// Which recipients are accepted, after smtpd_relay_restrictions.
    "smtpd_recipient_restrictions" RESTRICTIONS = "", Smtpd, Works;
    /// A line that is added to each 4xx and 5xx reply: where to find help.
    "smtpd_reject_footer" RAW = "", Smtpd, NotYet;
    /// Footers by reply, instead of smtpd_reject_footer.
    "smtpd_reject_footer_maps" TABLES = "", Smtpd, NotYet;
    /// Refuse unknown recipients of our own domains even when no restriction asks for it.
    "smtpd_reject_unlisted_recipient" FLAG = "yes", Smtpd, Works, since "2.1";
    /// Refuse unknown senders of our own domains even when no restriction asks for it.
    "smtpd_reject_unlisted_sender" FLAG = "no", Smtpd, Works, since "2.1";
    /// Ask smtpd_relay_restrictions before smtpd_recipient_restrictions, not after.
    "smtpd_relay_before_recipient_restrictions" FLAG = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}", Smtpd, Works;
    /// Who may relay: asked before smtpd_recipient_restrictions, so that a slip in those opens no relay.
    "smtpd_relay_restrictions" RESTRICTIONS = "${{$compatibility_level} <level {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination}}", Smtpd, Works;
    /// Names of restriction lists of your own, each a parameter.
    "smtpd_restriction_classes" LIST = "", Smtpd, Works;
    /// Which login names may use a sender address.
    "smtpd_sender_login_maps" TABLES = "", Smtpd, NotYet;
    /// Which senders are accepted.
    "smtpd_sender_restrictions" RESTRICTIONS = "", Smtpd, Works;
    /// The service that postscreen hands its sessions to: where postscreen is configured, the server runs with
    /// that service's settings.
    "smtpd_service_name" TEXT = "smtpd", Smtpd, Works;
    /// Errors after which replies are slowed down by smtpd_error_sleep_time.
    "smtpd_soft_error_limit" number(1, INT_MAX) = "10", Smtpd, Works;
    /// How long the server waits for a command, and for a part of the content. At least 5 minutes (RFC 5321
    /// 4.5.3.2.7); less only under stress.
    "smtpd_timeout" time(Unit::Seconds, 1, INT_MAX) = "${stress?{10}:{300}}s", Smtpd, Works;
    /// The protocol of a proxy in front of the server: `haproxy`.
    "smtpd_upstream_proxy_protocol" word(&["", "haproxy"]) = "", Smtpd, NotYet;
    /// How long that proxy may take for its first line.
    "smtpd_upstream_proxy_timeout" time(Unit::Seconds, 1, INT_MAX) = "5s", Smtpd, NotYet;
    /// Turn every permanent refusal and failure into a temporary one: a safety net while testing.
    "soft_bounce" FLAG = "no", Smtpd, Works;
    /// Insist on `<>` around addresses in MAIL FROM and RCPT TO, and on nothing else between them.
    "strict_rfc821_envelopes" FLAG = "no", Smtpd, Works;
    /// Accept addresses that are not ASCII only in transactions that ask for SMTPUTF8.
    "strict_smtputf8" FLAG = "yes", Smtpd, Works;
    /// Reply code of reject_unknown_sender_domain and reject_unknown_recipient_domain.
    "unknown_address_reject_code" CODE = "450", Smtpd, Works;
    /// What these do when they can not find out for now.
    "unknown_address_tempfail_action" TEXT = "$reject_tempfail_action", Smtpd, Works, since "2.6";
    /// Reply code of reject_unknown_client_hostname.
    "unknown_client_reject_code" CODE = "450", Smtpd, Works;
    /// What reject_unknown_helo_hostname does when it can not find out for now.
    "unknown_helo_hostname_tempfail_action" TEXT = "$reject_tempfail_action", Smtpd, Works, since "2.6";
    /// Reply code of reject_unknown_helo_hostname.
    "unknown_hostname_reject_code" CODE = "450", Smtpd, Works;
    /// Reply code for recipients that local_recipient_maps does not know.
    "unknown_local_recipient_reject_code" CODE = "550", Smtpd, Works;
    /// Reply code for recipients that relay_recipient_maps does not know.
    "unknown_relay_recipient_reject_code" CODE = "550", Smtpd, Works;
    /// Reply code for recipients that virtual_alias_maps does not know.
    "unknown_virtual_alias_reject_code" CODE = "550", Smtpd, Works;
    /// Reply code for recipients that virtual_mailbox_maps does not know.
    "unknown_virtual_mailbox_reject_code" CODE = "550", Smtpd, Works;
    /// Characters that may delimit a recipient in a variable envelope return path.
    "verp_delimiter_filter" TEXT = "-=+", Smtpd, NotYet;
    /// Domains whose every address is an alias of another, found in virtual_alias_maps.
    "virtual_alias_domains" MATCHES = "$virtual_alias_maps", Smtpd, Works;
    /// Aliases of addresses, of any domain; `@domain` stands for all of a domain.
    "virtual_alias_maps" TABLES = "$virtual_maps", Smtpd, Works;
    /// Domains that are delivered by virtual_transport.
    "virtual_mailbox_domains" MATCHES = "$virtual_mailbox_maps", Smtpd, Works;
    /// All recipients of virtual_mailbox_domains; empty for no check of them.
    "virtual_mailbox_maps" TABLES = "", Smtpd, Works;
}
