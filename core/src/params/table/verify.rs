//! TABLE of parameters: address verification: verify(8).

use super::*;

rows! { VERIFY:
    "address_verify_cache_cleanup_interval" time(Unit::Hours, 0, INT_MAX) = "12h", Verify, NotYet;
    "address_verify_default_transport" TEXT = "$default_transport", Verify, NotYet;
    "address_verify_local_transport" TEXT = "$local_transport", Verify, NotYet;
    "address_verify_map" TEXT = "btree:$data_directory/verify_cache", Verify, NotYet;
    "address_verify_negative_cache" FLAG = "yes", Verify, NotYet;
    "address_verify_negative_expire_time" time(Unit::Days, 0, INT_MAX) = "3d", Verify, NotYet;
    "address_verify_negative_refresh_time" time(Unit::Hours, 0, INT_MAX) = "3h", Verify, NotYet;
    "address_verify_pending_request_limit" COUNT = "5000", Verify, NotYet;
    "address_verify_poll_count" number(1, INT_MAX) = "${stress?{1}:{3}}", Smtpd, NotYet;
    "address_verify_poll_delay" SECONDS = "3s", Smtpd, NotYet;
    "address_verify_positive_expire_time" time(Unit::Days, 0, INT_MAX) = "31d", Verify, NotYet;
    "address_verify_positive_refresh_time" time(Unit::Days, 0, INT_MAX) = "7d", Verify, NotYet;
    "address_verify_relay_transport" TEXT = "$relay_transport", Verify, NotYet;
    "address_verify_relayhost" TEXT = "$relayhost", Verify, NotYet;
    "address_verify_sender" TEXT = "$double_bounce_sender", Verify, NotYet;
    "address_verify_sender_dependent_default_transport_maps" TABLES = "$sender_dependent_default_transport_maps", Verify, NotYet;
    "address_verify_sender_dependent_relayhost_maps" TABLES = "$sender_dependent_relayhost_maps", Verify, NotYet;
    "address_verify_sender_ttl" SECONDS = "0s", Verify, NotYet, since "2.9";
    "address_verify_service_name" TEXT = "verify", Verify, Moot;
    "address_verify_transport_maps" TABLES = "$transport_maps", Verify, NotYet;
    "address_verify_virtual_transport" TEXT = "$virtual_transport", Verify, NotYet;
    "unverified_recipient_defer_code" CODE = "450", Smtpd, NotYet, since "2.6";
    "unverified_recipient_reject_code" CODE = "450", Smtpd, NotYet;
    "unverified_recipient_reject_reason" TEXT = "", Smtpd, NotYet, since "2.6";
    "unverified_recipient_tempfail_action" TEXT = "$reject_tempfail_action", Smtpd, NotYet, since "2.6";
    "unverified_sender_defer_code" CODE = "450", Smtpd, NotYet, since "2.6";
    "unverified_sender_reject_code" CODE = "450", Smtpd, NotYet;
    "unverified_sender_reject_reason" TEXT = "", Smtpd, NotYet, since "2.6";
    "unverified_sender_tempfail_action" TEXT = "$reject_tempfail_action", Smtpd, NotYet, since "2.6";
}
