//! TABLE of parameters: every machine, and the commands.

use super::*;

rows! { GENERAL:
    /// The tables that `newaliases` compiles.
    "alias_database" TABLES = "hash:/etc/aliases", Commands, Works;
    /// Configuration directories that commands may name with `-c`.
    "alternate_config_directories" LIST = "", Commands, NotYet;
    /// The time over which rates of clients are counted.
    "anvil_rate_time_unit" SECONDS = "60s", Anvil, NotYet;
    "anvil_status_update_time" SECONDS = "600s", Anvil, Moot;
    "application_event_drain_time" SECONDS = "100s", Every, Moot;
    /// Who may flush the queue.
    "authorized_flush_users" MATCHES = "static:anyone", Commands, NotYet;
    /// Who may look at the queue.
    "authorized_mailq_users" MATCHES = "static:anyone", Commands, NotYet;
    /// Who may submit mail with the sendmail command.
    "authorized_submit_users" MATCHES = "static:anyone", Commands, NotYet;
    "berkeley_db_create_buffer_size" COUNT = "16777216", Commands, Moot;
    "berkeley_db_read_buffer_size" COUNT = "131072", Commands, Moot;
    "bounce_service_name" TEXT = "bounce", Every, Moot;
    /// The master.cf service whose `-o` settings hold for the cleanup of what this server receives.
    "cleanup_service_name" TEXT = "cleanup", Every, Works;
    /// Where the commands are installed.
    "command_directory" TEXT = "/usr/sbin", Smtpd, Moot;
    /// The directory in which mailbox_command runs.
    "command_execution_directory" RAW = "", Local, NotYet;
    /// The release of Postfix whose defaults hold: some defaults ask `$compatibility_level`. Set it to the
    /// release that the configuration was written for.
    "compatibility_level" LEVEL = "0", Commands, Works;
    /// The directory of main.cf and master.cf.
    "config_directory" TEXT = HOST, Every, Works;
    /// How long the connection cache of Postfix may take for an answer.
    "connection_cache_protocol_timeout" time(Unit::Seconds, 1, INT_MAX) = "5s", Smtp, Moot, since "2.3";
    "connection_cache_service_name" TEXT = "scache", Every, Moot;
    "connection_cache_status_update_time" SECONDS = "600s", Scache, Moot;
    /// The longest time that any connection is kept.
    "connection_cache_ttl_limit" SECONDS = "2s", Scache, NotYet;
    "daemon_directory" TEXT = "/usr/lib/postfix/sbin", Master, Moot;
    /// End a daemon when a table can not be opened, instead of deferring what needs it.
    "daemon_table_open_error_is_fatal" FLAG = "no", Every, NotYet;
    /// After how long a hanging daemon of Postfix ends itself.
    "daemon_timeout" time(Unit::Seconds, 1, INT_MAX) = "18000s", Every, Moot;
    /// Where caches and other data that are no mail lie.
    "data_directory" TEXT = "/var/lib/postfix", Tls, NotYet;
    /// How much is logged in addition for peers of debug_peer_list.
    "debug_peer_level" COUNT = "2", Smtpd, NotYet;
    /// Peers (domains, addresses, networks) whose sessions are logged in detail.
    "debug_peer_list" MATCHES = "", Smtpd, NotYet;
    "debugger_command" TEXT = "", Master, Moot;
    "defer_service_name" TEXT = "defer", Every, Moot;
    /// Digits after the point in `delays=` of delivery log lines.
    "delay_logging_resolution_limit" COUNT = "2", Every, NotYet;
    /// Send 8-bit content as it is, even to a server that does not announce 8BITMIME.
    "disable_mime_output_conversion" FLAG = "no", Smtp, Works, since "2.0";
    /// Do not use variable envelope return paths in reports.
    "disable_verp_bounces" FLAG = "no", Every, NotYet;
    /// Trust the time to live of negative answers.
    "dns_ncache_ttl_fix_enable" FLAG = "no", Postscreen, NotYet;
    /// The question with which DNSSEC is tested.
    "dnssec_probe" TEXT = "ns:.", Smtp, NotYet;
    "dont_remove" number(0, INT_MAX) = "0", Every, Moot;
    /// The key under which local_login_sender_maps is asked for the null sender.
    "empty_address_local_login_sender_maps_lookup_key" TEXT = "<>", Commands, NotYet;
    /// Who gets notices about connections on which there was trouble, under notify_classes.
    "error_notice_recipient" TEXT = "postmaster", Bounce, Works;
    "error_service_name" TEXT = "error", Every, Moot;
    /// Domains whose mail ETRN may flush.
    "fast_flush_domains" MATCHES = "$relay_domains", Flush, NotYet;
    /// After how long an unused record of such a domain is dropped.
    "fast_flush_purge_time" time(Unit::Days, 0, INT_MAX) = "7d", Flush, NotYet;
    /// After how long such a record is renewed.
    "fast_flush_refresh_time" time(Unit::Hours, 0, INT_MAX) = "12h", Flush, NotYet;
    "fault_injection_code" number(0, INT_MAX) = "0", Every, Moot;
    "flush_service_name" TEXT = "flush", Every, Moot;
    "fork_attempts" COUNT = "5", Commands, Moot;
    "fork_delay" SECONDS = "1s", Commands, Moot;
    "hash_queue_depth" COUNT = "1", Commands, Moot;
    "hash_queue_names" LIST = "deferred, defer", Commands, Moot;
    /// Where Postfix's manual is, for programs that ask.
    "html_directory" TEXT = "/usr/share/doc/postfix/html", Commands, KnownElsewhere;
    /// Variables that are taken from the environment at start.
    "import_environment" LIST = "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME", Every, NotYet;
    /// The addresses at which mail is received: `all`, `loopback-only`, or addresses and host names. They also
    /// tell which literal addresses, and which MX hosts, are ourselves. If just one of a protocol is named, and it is not
    /// loopback, mail leaves from there too (smtp_bind_address).
    "inet_interfaces" LIST = "all", Smtpd, Works;
    /// The protocols that are used at all: `ipv4`, `ipv6`, or `all`.
    "inet_protocols" words(&["all", "ipv4", "ipv6"]) = "all", Smtpd, Works;
    /// How addresses with odd local parts are written in the log.
    "info_log_address_format" word(&["internal", "external"]) = "external", Every, NotYet;
    "ipc_idle" SECONDS = "5s", Every, Moot;
    /// How long a daemon of Postfix waits for another.
    "ipc_timeout" time(Unit::Seconds, 1, INT_MAX) = "3600s", Every, Moot;
    "ipc_ttl" SECONDS = "1000s", Every, Moot;
    /// Ports by service name, for hosts without /etc/services.
    "known_tcp_ports" LIST = "lmtp=24, smtp=25, smtps=submissions=465, submission=587", Every, NotYet;
    "lmdb_map_size" COUNT = "16777216", Commands, Moot;
    /// Which senders a local user may give with the sendmail command.
    "local_login_sender_maps" TABLES = "static:*", Commands, NotYet;
    /// The name of the software in the greeting, in Received fields and in reports. Postfix says `Postfix`
    /// here.
    "mail_name" TEXT = "Postrider", Smtpd, Works;
    /// The user that owns the queue, and that everything runs as that needs no privilege.
    "mail_owner" TEXT = "postfix", Smtpd, Works;
    /// The date of this release.
    "mail_release_date" TEXT = "20260101", Every, KnownElsewhere;
    /// Where mailboxes of local users are.
    "mail_spool_directory" TEXT = "/var/mail", Local, Works;
    /// The release of this software.
    "mail_version" TEXT = env!("CARGO_PKG_VERSION"), Every, KnownElsewhere;
    /// The file that the log goes to; `/dev/stdout` for standard output; empty for syslog.
    "maillog_file" TEXT = "", Master, Works;
    /// The command that compresses an old log.
    "maillog_file_compressor" TEXT = "gzip", Commands, NotYet;
    /// Where maillog_file may lie.
    "maillog_file_prefixes" LIST = "/var, /dev/stdout", Commands, NotYet;
    /// What is added to the name of an old log.
    "maillog_file_rotate_suffix" TEXT = "%Y%m%d-%H%M%S", Commands, NotYet;
    "mailq_path" TEXT = "/usr/bin/mailq", Commands, KnownElsewhere;
    "manpage_directory" TEXT = "/usr/share/man", Commands, KnownElsewhere;
    /// Block lists of reject_maps_rbl, which is superseded by reject_rbl_client.
    "maps_rbl_domains" LIST = "", Every, NotYet;
    /// Services of master.cf that are not started: `name/type`, or a type.
    "master_service_disable" MATCHES = "", Master, NotYet;
    /// After how long an idle daemon of Postfix ends itself.
    "max_idle" time(Unit::Seconds, 1, INT_MAX) = "100s", Every, Moot;
    /// After how many clients a daemon of Postfix ends itself.
    "max_use" COUNT = "100", Every, Moot;
    "meta_directory" TEXT = "/etc/postfix", Commands, KnownElsewhere;
    /// The configuration directories of other instances.
    "multi_instance_directories" LIST = "", Commands, NotYet;
    /// Whether this instance is started with the others.
    "multi_instance_enable" FLAG = "no", Commands, NotYet;
    /// The group of instances that this one belongs to.
    "multi_instance_group" TEXT = "", Commands, NotYet;
    /// A name for this instance, used in syslog_name, when several share a host.
    "multi_instance_name" TEXT = "", Commands, Works;
    /// The command that manages several instances.
    "multi_instance_wrapper" TEXT = "", Commands, NotYet;
    /// The domain of this host: by default myhostname without its first part.
    "mydomain" TEXT = HOST, Every, Works;
    /// Which networks mynetworks means when it is not set: those of the `host` alone, its `subnet`, or its
    /// address `class`.
    "mynetworks_style" word(&["class", "subnet", "host"]) = "${{$compatibility_level} <level {2} ? {subnet} : {host}}", Every, Works;
    "newaliases_path" TEXT = "/usr/bin/newaliases", Commands, KnownElsewhere;
    "pickup_service_name" TEXT = "pickup", Every, Moot;
    "postlog_service_name" TEXT = "postlog", Commands, Moot;
    "postlogd_watchdog_timeout" time(Unit::Seconds, 1, INT_MAX) = "10s", Master, Moot;
    "postmulti_control_commands" TEXT = "reload flush", Commands, Moot;
    "postmulti_start_commands" TEXT = "start", Commands, Moot;
    "postmulti_stop_commands" TEXT = "stop abort drain quick-stop", Commands, Moot;
    /// The id of the process; read-only.
    "process_id" TEXT = HOST, Every, Works;
    "process_id_directory" TEXT = "pid", Every, Moot;
    /// The name of the process; read-only.
    "process_name" TEXT = HOST, Every, Works;
    /// Addresses of a proxy or address translator through which mail reaches us: they count as our own.
    "proxy_interfaces" LIST = "", Smtpd, Works;
    "proxy_read_maps" LIST = "$local_recipient_maps $mydestination $virtual_alias_maps $virtual_alias_domains $virtual_mailbox_maps $virtual_mailbox_domains $relay_recipient_maps $relay_domains $canonical_maps $sender_canonical_maps $recipient_canonical_maps $relocated_maps $transport_maps $mynetworks $smtpd_sender_login_maps $sender_bcc_maps $recipient_bcc_maps $smtp_generic_maps $lmtp_generic_maps $alias_maps $smtpd_client_restrictions $smtpd_helo_restrictions $smtpd_sender_restrictions $smtpd_relay_restrictions $smtpd_recipient_restrictions $address_verify_sender_dependent_default_transport_maps $address_verify_sender_dependent_relayhost_maps $address_verify_transport_maps $fallback_transport_maps $lmtp_discard_lhlo_keyword_address_maps $lmtp_pix_workaround_maps $lmtp_sasl_password_maps $lmtp_tls_policy_maps $mailbox_command_maps $mailbox_transport_maps $postscreen_discard_ehlo_keyword_address_maps $rbl_reply_maps $sender_dependent_default_transport_maps $sender_dependent_relayhost_maps $smtp_discard_ehlo_keyword_address_maps $smtp_pix_workaround_maps $smtp_sasl_password_maps $smtp_tls_policy_maps $smtpd_discard_ehlo_keyword_address_maps $smtpd_milter_maps $virtual_gid_maps $virtual_uid_maps $local_login_sender_maps $postscreen_reject_footer_maps $smtpd_reject_footer_maps $tls_server_sni_maps $tlsproxy_client_policy_maps $default_delivery_status_filter $lmtp_delivery_status_filter $lmtp_dns_reply_filter $lmtp_reply_filter $local_delivery_status_filter $pipe_delivery_status_filter $postscreen_command_filter $smtp_delivery_status_filter $smtp_dns_reply_filter $smtp_reply_filter $smtpd_command_filter $smtpd_dns_reply_filter $virtual_delivery_status_filter $body_checks $header_checks $lmtp_body_checks $lmtp_header_checks $lmtp_mime_header_checks $lmtp_nested_header_checks $milter_header_checks $mime_header_checks $nested_header_checks $smtp_body_checks $smtp_header_checks $smtp_mime_header_checks $smtp_nested_header_checks", Proxymap, Moot;
    "proxy_write_maps" LIST = "$smtp_sasl_auth_cache_name $lmtp_sasl_auth_cache_name $address_verify_map $postscreen_cache_map", Proxymap, Moot;
    "proxymap_service_name" TEXT = "proxymap", Every, Moot;
    "proxywrite_service_name" TEXT = "proxywrite", Every, Moot;
    /// Clients that may use QMQP.
    "qmqpd_authorized_clients" MATCHES = "", Qmqpd, NotYet;
    /// Log the port of QMQP clients.
    "qmqpd_client_port_logging" FLAG = "no", Qmqpd, NotYet;
    /// The pause before a refusal by QMQP.
    "qmqpd_error_delay" SECONDS = "1s", Qmqpd, NotYet;
    /// How long a QMQP client may be silent.
    "qmqpd_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Qmqpd, NotYet;
    /// The root of the queue: everything we answer for lies in `postrider/` below it. Socket paths are relative
    /// to it.
    "queue_directory" TEXT = "/var/spool/postfix", Every, Works;
    "queue_service_name" TEXT = "qmgr", Every, Moot;
    /// Where Postfix's README files are, for programs that ask.
    "readme_directory" TEXT = "/usr/share/doc/postfix", Commands, KnownElsewhere;
    /// Deliver only to users whose home directory is there.
    "require_home_directory" FLAG = "no", Local, NotYet;
    /// Words in the log: allowlist and denylist.
    "respectful_logging" FLAG = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}", Postscreen, NotYet;
    "rewrite_service_name" TEXT = "rewrite", Every, Moot;
    "sample_directory" TEXT = "/etc/postfix", Every, KnownElsewhere;
    /// What the sendmail command does with CR at the end of lines.
    "sendmail_fix_line_endings" word(&["always", "strict", "never"]) = "always", Commands, NotYet;
    "sendmail_path" TEXT = "/usr/sbin/sendmail", Commands, KnownElsewhere;
    /// The master.cf name of the service; read-only.
    "service_name" TEXT = HOST, Every, Works;
    "service_throttle_time" SECONDS = "60s", Master, Moot;
    /// The group of the submission commands.
    "setgid_group" TEXT = "postdrop", Commands, NotYet;
    "shlib_directory" TEXT = "/usr/lib/postfix", Commands, KnownElsewhere;
    "showq_service_name" TEXT = "showq", Every, Moot;
    /// `yes` while a server has more clients than it can serve; several time-outs and limits ask for it.
    "stress" TEXT = "", Every, Works;
    /// The facility under which messages go to syslog.
    "syslog_facility" word(&["auth", "authpriv", "cron", "daemon", "ftp", "kern", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7", "lpr", "mail", "news", "security", "syslog", "user", "uucp"]) = "mail", Every, Works;
    /// What stands before `/smtpd` and the like in each log line. Postfix says `postfix` here.
    "syslog_name" TEXT = "${multi_instance_name?{$multi_instance_name}:{postrider}}", Every, Works;
    /// The TCP window to ask for; 0 leaves it to the system.
    "tcp_windowsize" COUNT = "0", Smtpd, NotYet, since "2.6";
    "trace_service_name" TEXT = "trace", Every, Moot;
    "trigger_timeout" time(Unit::Seconds, 1, INT_MAX) = "10s", Commands, Moot;
}
