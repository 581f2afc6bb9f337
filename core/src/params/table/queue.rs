//! TABLE of parameters: the queue, its schedule and its reports: qmgr(8), bounce(8).

use super::*;

rows! { QUEUE:
    /// Who is told of reports that can not be delivered, under notify_classes.
    "2bounce_notice_recipient" TEXT = "postmaster", Bounce, Works;
    "backwards_bounce_logfile_compatibility" FLAG = "yes", Bounce, Moot;
    /// Who gets copies of reports of failure, under notify_classes.
    "bounce_notice_recipient" TEXT = "postmaster", Bounce, Works;
    /// How long a report may wait in the queue before it is given up; 0 for one attempt.
    "bounce_queue_lifetime" time(Unit::Days, 0, 8_640_000) = "5d", Qmgr, Works;
    /// Octets of the original message in a report: beyond it only the header is returned.
    "bounce_size_limit" number(1, INT_MAX) = "50000", Bounce, Works;
    /// Texts of reports, instead of those built in.
    "bounce_template_file" TEXT = "", Bounce, NotYet;
    /// Tell the sender when a message is delivered after a warning of delay.
    "confirm_delay_cleared" FLAG = "no", Qmgr, NotYet;
    /// The type of table that `postmap` writes when none is named.
    "default_database_type" TEXT = "hash", Commands, Works;
    /// How many recipients a message must have delivered to earn one slot for preempting another.
    "default_delivery_slot_cost" COUNT = "5", Qmgr, Works;
    /// Percent of the slots for a preemption that a message need not have earned.
    "default_delivery_slot_discount" COUNT = "50", Qmgr, Works;
    /// Slots that a message need not have earned to preempt another.
    "default_delivery_slot_loan" COUNT = "3", Qmgr, Works;
    /// Rules that change the status of deliveries.
    "default_delivery_status_filter" TABLES = "", Every, NotYet;
    /// Cohorts of failed deliveries after which a destination counts as dead; 0 for never.
    "default_destination_concurrency_failed_cohort_limit" number(0, INT_MAX) = "1", Qmgr, Works;
    /// Deliveries at a time to one destination; 0 for no limit.
    "default_destination_concurrency_limit" COUNT = "20", Qmgr, Works;
    /// How much a failed connection narrows the window of a destination.
    "default_destination_concurrency_negative_feedback" FEEDBACK = "1", Qmgr, Works;
    /// How much a delivery widens the window of a destination.
    "default_destination_concurrency_positive_feedback" FEEDBACK = "1", Qmgr, Works;
    /// The pause between deliveries to one destination. With it only one delivery is made at a time.
    "default_destination_rate_delay" SECONDS = "0s", Qmgr, Works;
    /// Recipients of one delivery.
    "default_destination_recipient_limit" COUNT = "50", Qmgr, Works;
    /// Recipients beyond the limits, for messages that preempt others.
    "default_extra_recipient_limit" COUNT = "1000", Qmgr, Moot;
    /// The nexthop of a content filter that names none.
    "default_filter_nexthop" TEXT = "", Qmgr, NotYet;
    /// Recipients that a message must have for preemption of it to be considered.
    "default_minimum_delivery_slots" COUNT = "3", Qmgr, Works;
    /// The user whose rights commands and files of aliases have.
    "default_privs" TEXT = "nobody", Local, Works;
    "default_process_limit" number(1, INT_MAX) = "100", Master, Moot;
    /// Recipients of a transport in memory.
    "default_recipient_limit" COUNT = "20000", Qmgr, Moot;
    /// How long to wait before more recipients of a message are read.
    "default_recipient_refill_delay" SECONDS = "5s", Qmgr, Moot;
    /// Recipients that must have left memory before more of a message are read.
    "default_recipient_refill_limit" COUNT = "100", Qmgr, Moot;
    /// The pause between deliveries of a transport, whatever their destination.
    "default_transport_rate_delay" SECONDS = "0s", Qmgr, Works;
    /// Transports whose mail waits until the queue is flushed.
    "defer_transports" LIST = "", Qmgr, Works;
    /// Who gets copies of delay warnings, under notify_classes.
    "delay_notice_recipient" TEXT = "postmaster", Bounce, Works;
    /// How often locking a mailbox is tried.
    "deliver_lock_attempts" COUNT = "20", Local, Works;
    /// The pause between.
    "deliver_lock_delay" SECONDS = "1s", Local, Works;
    /// Log each step of a destination's window.
    "destination_concurrency_feedback_debug" FLAG = "no", Qmgr, NotYet;
    /// Write References and In-Reply-To into reports.
    "enable_threaded_bounces" FLAG = "no", Bounce, NotYet;
    /// Deliveries at a time with which a destination begins.
    "initial_destination_concurrency" number(1, INT_MAX) = "5", Qmgr, Works;
    /// The longest time between attempts.
    "maximal_backoff_time" time(Unit::Seconds, 1, INT_MAX) = "4000s", Qmgr, Works;
    /// How long a message may wait in the queue before it is returned; 0 for one attempt.
    "maximal_queue_lifetime" time(Unit::Days, 0, 8_640_000) = "5d", Qmgr, Works;
    /// The shortest time between attempts; also how long a dead destination is left alone.
    "minimal_backoff_time" time(Unit::Seconds, 1, INT_MAX) = "300s", Qmgr, Works;
    /// The kinds of trouble that the postmaster is told of: bounce, 2bounce, data, delay, policy, protocol,
    /// resource, software.
    "notify_classes" words(&["2bounce", "bounce", "data", "delay", "policy", "protocol", "resource", "software"]) = "resource, software", Smtpd, Works;
    /// How often the log warns that a destination holds up much of the active queue; 0 for never.
    "qmgr_clog_warn_time" SECONDS = "300s", Qmgr, Works;
    "qmgr_daemon_timeout" time(Unit::Seconds, 1, INT_MAX) = "1000s", Qmgr, Moot;
    /// A factor of old schedulers.
    "qmgr_fudge_factor" COUNT = "100", Every, NotYet;
    "qmgr_ipc_timeout" time(Unit::Seconds, 1, INT_MAX) = "60s", Qmgr, Moot;
    /// Messages in the active queue.
    "qmgr_message_active_limit" number(1, INT_MAX) = "20000", Qmgr, Works;
    /// Recipients in memory.
    "qmgr_message_recipient_limit" number(1, INT_MAX) = "20000", Qmgr, Works;
    /// Recipients in memory of any one message.
    "qmgr_message_recipient_minimum" number(1, INT_MAX) = "10", Qmgr, Works;
    /// How often the deferred queue is looked through.
    "queue_run_delay" time(Unit::Seconds, 1, INT_MAX) = "300s", Qmgr, Moot;
    /// How long a transport that does not work is left alone.
    "transport_retry_time" time(Unit::Seconds, 1, INT_MAX) = "60s", Qmgr, Works;
}
