//! TABLE of parameters: what happens to a message before it is queued: cleanup(8).

use super::*;

rows! { CLEANUP:
    /// Add missing From, To, Date and Message-ID fields to mail from every client, not only from local ones.
    "always_add_missing_headers" FLAG = "no", Cleanup, Works;
    /// An address that gets a copy of every message.
    "always_bcc" TEXT = "", Cleanup, Works;
    /// Rules for each line of content that is no header.
    "body_checks" TABLES = "", Cleanup, NotYet;
    /// How much of each MIME part these rules see.
    "body_checks_size_limit" COUNT = "51200", Cleanup, NotYet;
    /// Which addresses canonical_maps rewrites.
    "canonical_classes" words(&["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"]) = "envelope_sender, envelope_recipient, header_sender, header_recipient", Cleanup, Works;
    /// Replace each CR or LF that stands alone in a message by a space, so that no server behind us can take it
    /// as the end of a line.
    "cleanup_replace_stray_cr_lf" FLAG = "yes", Cleanup, NotYet;
    /// After how long the sender is told that a message still waits; 0 for never.
    "delay_warning_time" time(Unit::Hours, 0, INT_MAX) = "0h", Cleanup, Works;
    /// Look at the Content-Transfer-Encoding header to learn whether a message has 8-bit content.
    "detect_8bit_encoding_header" FLAG = "yes", Cleanup, Works;
    /// Take the content as text without looking for MIME parts.
    "disable_mime_input_processing" FLAG = "no", Cleanup, NotYet;
    /// How many recipients of a message are remembered to drop duplicates; 0 for all.
    "duplicate_filter_limit" COUNT = "1000", Cleanup, Works;
    /// Who gets mail for the null address.
    "empty_address_recipient" TEXT = "MAILER-DAEMON", Cleanup, Works;
    /// Convert domain names by the rules of 2003.
    "enable_idna2003_compatibility" FLAG = "no", Smtpd, NotYet;
    /// Queue ids that never repeat; here they always are.
    "enable_long_queue_ids" FLAG = "no", Cleanup, Works;
    /// Record the recipient as it was before rewriting, for reports and X-Original-To.
    "enable_original_recipient" FLAG = "yes", Cleanup, Works;
    /// How many tokens of an address field are rewritten.
    "header_address_token_limit" number(1, INT_MAX) = "10240", Cleanup, Works;
    /// Rules for each header field.
    "header_checks" TABLES = "", Cleanup, Works;
    /// How the full name is written in a From field that is added.
    "header_from_format" word(&["standard", "obsolete"]) = "standard", Smtpd, NotYet;
    /// Octets of a header field; what is more is cut.
    "header_size_limit" number(1, INT_MAX) = "102400", Cleanup, Works;
    /// Received fields beyond which a message is taken to be in a loop.
    "hopcount_limit" number(1, INT_MAX) = "50", Cleanup, Works;
    /// How long receiving pauses when mail arrives faster than it is delivered.
    "in_flow_delay" SECONDS = "1s", Cleanup, NotYet;
    /// Which addresses masquerading changes.
    "masquerade_classes" words(&["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"]) = "envelope_sender, header_sender, header_recipient", Cleanup, Works;
    /// Domains whose subdomains are hidden in addresses.
    "masquerade_domains" LIST = "", Cleanup, Works;
    /// User names that are not masqueraded.
    "masquerade_exceptions" MATCHES = "", Cleanup, Works;
    /// Header fields that are removed from every message.
    "message_drop_headers" LIST = "bcc, content-length, resent-bcc, return-path", Cleanup, Works;
    /// Characters for which a message is refused.
    "message_reject_characters" TEXT = "", Cleanup, NotYet;
    /// Characters that are removed from messages.
    "message_strip_characters" TEXT = "", Cleanup, NotYet;
    /// Octets of a MIME boundary that are compared; what is longer is cut there.
    "mime_boundary_length_limit" COUNT = "2048", Smtp, Works, since "2.0";
    /// Rules for the header fields of MIME parts.
    "mime_header_checks" TABLES = "$header_checks", Cleanup, Works;
    /// Depth of nested MIME parts that is looked into; deeper parts are taken as text.
    "mime_nesting_limit" COUNT = "100", Smtp, Works, since "2.0";
    /// Rules for the headers of attached messages.
    "nested_header_checks" TABLES = "$header_checks", Cleanup, NotYet;
    /// Which rewriting copies an address extension from the key to the result.
    "propagate_unmatched_extensions" words(&["canonical", "virtual", "alias", "forward", "include", "generic"]) = "canonical, virtual", Cleanup, Works;
    "queue_file_attribute_count_limit" COUNT = "100", Cleanup, Moot;
    /// Addresses that get a copy, by recipient.
    "recipient_bcc_maps" TABLES = "", Cleanup, Works;
    /// Which addresses recipient_canonical_maps rewrites.
    "recipient_canonical_classes" words(&["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"]) = "envelope_recipient, header_recipient", Cleanup, Works;
    /// The domain that is added to incomplete addresses in headers of mail from strangers; empty to leave them.
    "remote_header_rewrite_domain" TEXT = "", Cleanup, Works;
    /// Addresses that get a copy, by sender.
    "sender_bcc_maps" TABLES = "", Cleanup, Works;
    /// Which addresses sender_canonical_maps rewrites.
    "sender_canonical_classes" words(&["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"]) = "envelope_sender, header_sender", Cleanup, Works;
    /// Which mail is looked through for addresses that need SMTPUTF8.
    "smtputf8_autodetect_classes" words(&["sendmail", "smtpd", "qmqpd", "forward", "bounce", "notify", "verify", "all"]) = "sendmail, verify", Smtpd, NotYet;
    /// Announce and accept SMTPUTF8.
    "smtputf8_enable" FLAG = "${{$compatibility_level} <level {1} ? {no} : {yes}}", Smtpd, Works;
    /// Refuse mail with 8-bit characters in its headers.
    "strict_7bit_headers" FLAG = "no", Cleanup, NotYet;
    /// Both strict_7bit_headers and strict_8bitmime_body.
    "strict_8bitmime" FLAG = "no", Cleanup, NotYet;
    /// Refuse 8-bit content without a MIME header that says so.
    "strict_8bitmime_body" FLAG = "no", Cleanup, NotYet;
    /// Refuse MIME parts whose encoding their type does not allow.
    "strict_mime_encoding_domain" FLAG = "no", Cleanup, NotYet;
    /// The field that is added to a message without any recipient field; empty for none.
    "undisclosed_recipients_header" TEXT = "", Cleanup, Works;
    /// Octets of an address that alias expansion may produce.
    "virtual_alias_address_length_limit" COUNT = "1000", Cleanup, Works;
    /// Addresses that alias expansion of one recipient may produce.
    "virtual_alias_expansion_limit" COUNT = "1000", Cleanup, Works;
    /// Depth of alias expansion.
    "virtual_alias_recursion_limit" COUNT = "1000", Cleanup, Works;
    /// The name of virtual_alias_maps in old configurations; its default refers to this one.
    "virtual_maps" TABLES = OLD, Cleanup, Works;
}
