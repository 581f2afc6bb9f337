//! TABLE of parameters: address verification: verify(8).

use super::*;

rows! { VERIFY:
    /// How often old results of probes are removed.
    "address_verify_cache_cleanup_interval" time(Unit::Hours, 0, INT_MAX) = "12h", Verify, NotYet;
    /// default_transport of probes.
    "address_verify_default_transport" TEXT = "$default_transport", Verify, NotYet;
    /// local_transport of probes.
    "address_verify_local_transport" TEXT = "$local_transport", Verify, NotYet;
    /// Where results of probes are kept.
    "address_verify_map" TEXT = "btree:$data_directory/verify_cache", Verify, NotYet;
    /// Keep failed probes too.
    "address_verify_negative_cache" FLAG = "yes", Verify, NotYet;
    /// After how long a failed probe is forgotten.
    "address_verify_negative_expire_time" time(Unit::Days, 0, INT_MAX) = "3d", Verify, NotYet;
    /// After how long a failed probe is made again.
    "address_verify_negative_refresh_time" time(Unit::Hours, 0, INT_MAX) = "3h", Verify, NotYet;
    /// Probes in the queue at a time.
    "address_verify_pending_request_limit" COUNT = "5000", Verify, NotYet;
    /// How often the server asks for the result of a probe before it defers.
    "address_verify_poll_count" number(1, INT_MAX) = "${stress?{1}:{3}}", Smtpd, NotYet;
    /// How long it waits between.
    "address_verify_poll_delay" SECONDS = "3s", Smtpd, NotYet;
    /// After how long a successful probe is forgotten.
    "address_verify_positive_expire_time" time(Unit::Days, 0, INT_MAX) = "31d", Verify, NotYet;
    /// After how long a successful probe is made again.
    "address_verify_positive_refresh_time" time(Unit::Days, 0, INT_MAX) = "7d", Verify, NotYet;
    /// relay_transport of probes.
    "address_verify_relay_transport" TEXT = "$relay_transport", Verify, NotYet;
    /// relayhost of probes.
    "address_verify_relayhost" TEXT = "$relayhost", Verify, NotYet;
    /// The sender of probes; empty for the null sender.
    "address_verify_sender" TEXT = "$double_bounce_sender", Verify, NotYet;
    /// sender_dependent_default_transport_maps of probes.
    "address_verify_sender_dependent_default_transport_maps" TABLES = "$sender_dependent_default_transport_maps", Verify, NotYet;
    /// sender_dependent_relayhost_maps of probes.
    "address_verify_sender_dependent_relayhost_maps" TABLES = "$sender_dependent_relayhost_maps", Verify, NotYet;
    /// How often the sender of probes changes its name; 0 for never.
    "address_verify_sender_ttl" SECONDS = "0s", Verify, NotYet, since "2.9";
    "address_verify_service_name" TEXT = "verify", Verify, Moot;
    /// transport_maps of probes.
    "address_verify_transport_maps" TABLES = "$transport_maps", Verify, NotYet;
    /// virtual_transport of probes.
    "address_verify_virtual_transport" TEXT = "$virtual_transport", Verify, NotYet;
    /// Reply code when a recipient's probe is deferred.
    "unverified_recipient_defer_code" CODE = "450", Smtpd, NotYet, since "2.6";
    /// Reply code when a recipient's probe fails.
    "unverified_recipient_reject_code" CODE = "450", Smtpd, NotYet;
    /// The text that clients see then, instead of the probe's.
    "unverified_recipient_reject_reason" TEXT = "", Smtpd, NotYet, since "2.6";
    /// What reject_unverified_recipient does when it can not find out for now.
    "unverified_recipient_tempfail_action" TEXT = "$reject_tempfail_action", Smtpd, NotYet, since "2.6";
    /// Reply code when a sender's probe is deferred.
    "unverified_sender_defer_code" CODE = "450", Smtpd, NotYet, since "2.6";
    /// Reply code when a sender's probe fails.
    "unverified_sender_reject_code" CODE = "450", Smtpd, NotYet;
    /// The text that clients see then, instead of the probe's.
    "unverified_sender_reject_reason" TEXT = "", Smtpd, NotYet, since "2.6";
    /// What reject_unverified_sender does when it can not find out for now.
    "unverified_sender_tempfail_action" TEXT = "$reject_tempfail_action", Smtpd, NotYet, since "2.6";
}
