//! TABLE of parameters: the queue, its schedule and its reports: qmgr(8), bounce(8).

use super::*;

rows! { QUEUE:
    "2bounce_notice_recipient" TEXT = "postmaster", Bounce, NotYet;
    "backwards_bounce_logfile_compatibility" FLAG = "yes", Bounce, Moot;
    "bounce_notice_recipient" TEXT = "postmaster", Bounce, NotYet;
    "bounce_queue_lifetime" time(Unit::Days, 0, 8_640_000) = "5d", Qmgr, NotYet;
    "bounce_size_limit" number(1, INT_MAX) = "50000", Bounce, NotYet;
    "bounce_template_file" TEXT = "", Bounce, NotYet;
    "confirm_delay_cleared" FLAG = "no", Qmgr, NotYet;
    "default_database_type" TEXT = "hash", Commands, NotYet;
    "default_delivery_slot_cost" COUNT = "5", Qmgr, NotYet;
    "default_delivery_slot_discount" COUNT = "50", Qmgr, NotYet;
    "default_delivery_slot_loan" COUNT = "3", Qmgr, NotYet;
    "default_delivery_status_filter" TABLES = "", Every, NotYet;
    "default_destination_concurrency_failed_cohort_limit" number(0, INT_MAX) = "1", Qmgr, NotYet;
    "default_destination_concurrency_limit" COUNT = "20", Qmgr, NotYet;
    "default_destination_concurrency_negative_feedback" FEEDBACK = "1", Qmgr, NotYet;
    "default_destination_concurrency_positive_feedback" FEEDBACK = "1", Qmgr, NotYet;
    "default_destination_rate_delay" SECONDS = "0s", Qmgr, NotYet;
    "default_destination_recipient_limit" COUNT = "50", Qmgr, NotYet;
    "default_extra_recipient_limit" COUNT = "1000", Qmgr, NotYet;
    "default_filter_nexthop" TEXT = "", Qmgr, NotYet;
    "default_minimum_delivery_slots" COUNT = "3", Qmgr, NotYet;
    "default_privs" TEXT = "nobody", Local, NotYet;
    "default_process_limit" number(1, INT_MAX) = "100", Master, Moot;
    "default_recipient_limit" COUNT = "20000", Qmgr, NotYet;
    "default_recipient_refill_delay" SECONDS = "5s", Qmgr, NotYet;
    "default_recipient_refill_limit" COUNT = "100", Qmgr, NotYet;
    "default_transport_rate_delay" SECONDS = "0s", Qmgr, NotYet;
    "defer_transports" LIST = "", Qmgr, NotYet;
    "delay_notice_recipient" TEXT = "postmaster", Bounce, NotYet;
    "deliver_lock_attempts" COUNT = "20", Bounce, NotYet;
    "deliver_lock_delay" SECONDS = "1s", Bounce, NotYet;
    "destination_concurrency_feedback_debug" FLAG = "no", Qmgr, NotYet;
    "enable_threaded_bounces" FLAG = "no", Bounce, NotYet;
    "initial_destination_concurrency" number(1, INT_MAX) = "5", Qmgr, NotYet;
    "maximal_backoff_time" time(Unit::Seconds, 1, INT_MAX) = "4000s", Qmgr, NotYet;
    "maximal_queue_lifetime" time(Unit::Days, 0, 8_640_000) = "5d", Qmgr, NotYet;
    "minimal_backoff_time" time(Unit::Seconds, 1, INT_MAX) = "300s", Qmgr, NotYet;
    "notify_classes" words(&["2bounce", "bounce", "data", "delay", "policy", "protocol", "resource", "software"]) = "resource, software", Smtpd, Works;
    "qmgr_clog_warn_time" SECONDS = "300s", Qmgr, Moot;
    "qmgr_daemon_timeout" time(Unit::Seconds, 1, INT_MAX) = "1000s", Qmgr, Moot;
    "qmgr_fudge_factor" COUNT = "100", Every, NotYet;
    "qmgr_ipc_timeout" time(Unit::Seconds, 1, INT_MAX) = "60s", Qmgr, Moot;
    "qmgr_message_active_limit" number(1, INT_MAX) = "20000", Qmgr, NotYet;
    "qmgr_message_recipient_limit" number(1, INT_MAX) = "20000", Qmgr, NotYet;
    "qmgr_message_recipient_minimum" number(1, INT_MAX) = "10", Qmgr, NotYet;
    "queue_run_delay" time(Unit::Seconds, 1, INT_MAX) = "300s", Qmgr, NotYet;
    "transport_retry_time" time(Unit::Seconds, 1, INT_MAX) = "60s", Qmgr, NotYet;
}
