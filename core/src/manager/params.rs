//! What the queue manager obeys.

use crate::manager::reports::ReportRule;
use crate::params::Settings;
use crate::schedule::{self, RetryRule};
use crate::time::Duration;

/// The parameters of the queue manager.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Params {
    /// Transports, windows, fairness.
    pub schedule: schedule::Params,
    /// When mail is tried again, and when it is too old.
    pub retry: RetryRule,
    /// Messages in the active queue (`qmgr_message_active_limit`).
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
    /// Local part of the address that reports to the postmaster come from; mail for it is thrown away
    /// (`double_bounce_sender`).
    pub double_bounce_sender: String,
    /// Who hears of mail that nobody else hears of.
    pub reports: ReportRule,
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
            double_bounce_sender: "double-bounce".to_owned(),
            reports: ReportRule::default(),
        }
    }
}

fn size(settings: &Settings, name: &str) -> usize {
    usize::try_from(settings.number(name)).unwrap_or(usize::MAX).max(1)
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
            active_limit: size(settings, "qmgr_message_active_limit"),
            recipient_limit: size(settings, "qmgr_message_recipient_limit"),
            recipient_minimum: size(settings, "qmgr_message_recipient_minimum"),
            soft_bounce: settings.flag("soft_bounce"),
            defer_transports: settings.list("defer_transports"),
            transport_retry: settings.time("transport_retry_time"),
            clog_warning: settings.time("qmgr_clog_warn_time"),
            double_bounce_sender: settings.text("double_bounce_sender").to_owned(),
            reports: ReportRule::new(settings),
        })
    }
}
