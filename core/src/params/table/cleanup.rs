//! TABLE of parameters: what happens to a message before it is queued: cleanup(8).

use super::*;

rows! { CLEANUP:
    "always_add_missing_headers" FLAG = "no", Cleanup, NotYet;
    "always_bcc" TEXT = "", Cleanup, NotYet;
    "body_checks" TABLES = "", Cleanup, NotYet;
    "body_checks_size_limit" COUNT = "51200", Cleanup, NotYet;
    "canonical_classes" words(&["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"]) = "envelope_sender, envelope_recipient, header_sender, header_recipient", Cleanup, NotYet;
    "cleanup_replace_stray_cr_lf" FLAG = "yes", Cleanup, NotYet;
    "delay_warning_time" time(Unit::Hours, 0, INT_MAX) = "0h", Cleanup, NotYet;
    "detect_8bit_encoding_header" FLAG = "yes", Cleanup, NotYet;
    "disable_mime_input_processing" FLAG = "no", Cleanup, NotYet;
    "duplicate_filter_limit" COUNT = "1000", Cleanup, NotYet;
    "empty_address_recipient" TEXT = "MAILER-DAEMON", Cleanup, NotYet;
    "enable_idna2003_compatibility" FLAG = "no", Smtpd, NotYet;
    "enable_long_queue_ids" FLAG = "no", Cleanup, NotYet;
    "enable_original_recipient" FLAG = "yes", Cleanup, NotYet;
    "header_address_token_limit" number(1, INT_MAX) = "10240", Cleanup, NotYet;
    "header_checks" TABLES = "", Cleanup, NotYet;
    "header_from_format" word(&["standard", "obsolete"]) = "standard", Smtpd, NotYet;
    "header_size_limit" number(1, INT_MAX) = "102400", Cleanup, NotYet;
    "hopcount_limit" number(1, INT_MAX) = "50", Cleanup, NotYet;
    "in_flow_delay" SECONDS = "1s", Cleanup, NotYet;
    "masquerade_classes" words(&["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"]) = "envelope_sender, header_sender, header_recipient", Cleanup, NotYet;
    "masquerade_domains" LIST = "", Cleanup, NotYet;
    "masquerade_exceptions" MATCHES = "", Cleanup, NotYet;
    "message_drop_headers" LIST = "bcc, content-length, resent-bcc, return-path", Cleanup, NotYet;
    "message_reject_characters" TEXT = "", Cleanup, NotYet;
    "message_strip_characters" TEXT = "", Cleanup, NotYet;
    "mime_boundary_length_limit" COUNT = "2048", Smtp, NotYet, since "2.0";
    "mime_header_checks" TABLES = "$header_checks", Cleanup, NotYet;
    "mime_nesting_limit" COUNT = "100", Smtp, NotYet, since "2.0";
    "nested_header_checks" TABLES = "$header_checks", Cleanup, NotYet;
    "propagate_unmatched_extensions" words(&["canonical", "virtual", "alias", "forward", "include", "generic"]) = "canonical, virtual", Cleanup, NotYet;
    "queue_file_attribute_count_limit" COUNT = "100", Cleanup, Moot;
    "recipient_bcc_maps" TABLES = "", Cleanup, NotYet;
    "recipient_canonical_classes" words(&["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"]) = "envelope_recipient, header_recipient", Cleanup, NotYet;
    "remote_header_rewrite_domain" TEXT = "", Cleanup, NotYet;
    "sender_bcc_maps" TABLES = "", Cleanup, NotYet;
    "sender_canonical_classes" words(&["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"]) = "envelope_sender, header_sender", Cleanup, NotYet;
    "smtputf8_autodetect_classes" words(&["sendmail", "smtpd", "qmqpd", "forward", "bounce", "notify", "verify", "all"]) = "sendmail, verify", Smtpd, NotYet;
    "smtputf8_enable" FLAG = "${{$compatibility_level} <level {1} ? {no} : {yes}}", Smtpd, NotYet;
    "strict_7bit_headers" FLAG = "no", Cleanup, NotYet;
    "strict_8bitmime" FLAG = "no", Cleanup, NotYet;
    "strict_8bitmime_body" FLAG = "no", Cleanup, NotYet;
    "strict_mime_encoding_domain" FLAG = "no", Cleanup, NotYet;
    "undisclosed_recipients_header" TEXT = "", Cleanup, NotYet;
    "virtual_alias_address_length_limit" COUNT = "1000", Cleanup, NotYet;
    "virtual_alias_expansion_limit" COUNT = "1000", Cleanup, NotYet;
    "virtual_alias_recursion_limit" COUNT = "1000", Cleanup, NotYet;
    "virtual_maps" TABLES = OLD, Cleanup, Works;
}
