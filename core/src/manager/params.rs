//! What the queue manager obeys.

use crate::params::Settings;
use crate::report;
use crate::schedule::{self, RetryRule};
use crate::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The parameters of the queue manager.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Params {
    /// Transports, windows, fairness.
    pub schedule: schedule::Params,
    /// When mail is tried again, and when it is too old.
    pub retry: RetryRule,
    /// Places in the active queue (`qmgr_message_active_limit`): one for a letter, more for what needs more memory.
    pub active_limit: usize,
    /// Recipients that are routed or under way (`qmgr_message_recipient_limit`).
    pub recipient_limit: usize,
    /// Of each message so many recipients are routed whatever the limit says (`qmgr_message_recipient_minimum`).
    pub recipient_minimum: usize,
    /// Failures become deferrals (`soft_bounce`).
    pub soft_bounce: bool,
    /// Transports that carry mail only when an operator asks for it (`defer_transports`).
    pub defer_transports: Vec<String>,
    /// Pause between warnings of a transport that is not there (`transport_retry_time`).
    pub transport_retry: Duration,
    /// Pause between warnings that one destination has too much mail (`qmgr_clog_warn_time`); zero: never.
    pub clog_warning: Duration,
    /// Who hears of what.
    pub reports: report::Params,
    /// The program that the log names for a transport, where that is not its name: `relay` is an smtp(8).
    pub programs: BTreeMap<String, String>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            schedule: schedule::Params::default(),
            retry: RetryRule::default(),
            active_limit: 20_000,
            recipient_limit: 20_000,
            recipient_minimum: 10,
            soft_bounce: false,
            defer_transports: Vec::new(),
            transport_retry: Duration::from_secs(60),
            clog_warning: Duration::from_secs(300),
            reports: report::Params::default(),
            programs: BTreeMap::new(),
        }
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX).max(1)
}

impl Params {
    /// Reads the parameters; `transports` are names and `maxproc` of master.cf.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(settings: &Settings, transports: &[(String, u32)]) -> Result<Self, Vec<(String, String)>> {
        Ok(Self {
            schedule: schedule::Params::new(settings, transports)?,
            retry: RetryRule {
                minimal_backoff: settings.time("minimal_backoff_time"),
                maximal_backoff: settings.time("maximal_backoff_time"),
                lifetime: settings.time("maximal_queue_lifetime"),
                bounce_lifetime: settings.time("bounce_queue_lifetime"),
                delay_warning: settings.time("delay_warning_time"),
                jitter_percent: u32::try_from(settings.number("retry_jitter")).unwrap_or(100),
            },
            active_limit: size(settings.number("qmgr_message_active_limit")),
            recipient_limit: size(settings.number("qmgr_message_recipient_limit")),
            recipient_minimum: size(settings.number("qmgr_message_recipient_minimum")),
            soft_bounce: settings.flag("soft_bounce"),
            defer_transports: settings.list("defer_transports"),
            transport_retry: settings.time("transport_retry_time"),
            clog_warning: settings.time("qmgr_clog_warn_time"),
            reports: report::Params::new(settings),
            programs: BTreeMap::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_postfix_s_unless_set() {
        let transports = [("smtp".to_owned(), 7), ("local".to_owned(), 100)];
        let params = Params::new(&Settings::of(&[]), &transports).expect("defaults are valid");
        let smtp = schedule::TransportParams::new("smtp", 7);
        let mut local = schedule::TransportParams::new("local", 100);
        (local.recipient_limit, local.window.limit) = (1, 2);
        let defaults = Params::default();
        assert_eq!(params.schedule.transports, [smtp, local]);
        assert_eq!(params.retry, defaults.retry);
        assert_eq!(
            Params { schedule: defaults.schedule.clone(), reports: defaults.reports.clone(), ..params },
            defaults
        );
    }

    #[test]
    fn a_transport_has_its_own_values() {
        let lines = [
            ("smtp_destination_concurrency_limit", "3"),
            ("smtp_destination_recipient_limit", "5"),
            ("lmtp_destination_concurrency_limit", "6"),
            ("lmtp_destination_recipient_limit", "7"),
            ("smtp_destination_rate_delay", "2s"),
            ("smtp_destination_concurrency_positive_feedback", "1/concurrency"),
            ("default_delivery_slot_cost", "9"),
            ("smtp_delivery_slot_loan", "1"),
            ("defer_transports", "uucp, smtp"),
            ("retry_jitter", "0"),
        ];
        let transports = [("smtp".to_owned(), 7), ("lmtp".to_owned(), 7)];
        let params = Params::new(&Settings::of(&lines), &transports).expect("valid");
        let smtp = &params.schedule.transports[0];
        assert_eq!((smtp.window.limit, smtp.slots.cost, smtp.slots.loan), (3, 9, 1));
        let lmtp = &params.schedule.transports[1];
        assert_eq!((smtp.recipient_limit, lmtp.window.limit, lmtp.recipient_limit), (5, 6, 7));
        assert_eq!(smtp.destination_pause, Duration::from_secs(2));
        assert_eq!(smtp.window.positive, "1/concurrency".parse().expect("a gain"));
        assert_eq!((params.defer_transports.len(), params.retry.jitter_percent), (2, 0));
    }
}
