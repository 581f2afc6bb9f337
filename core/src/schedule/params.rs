//! What the scheduler obeys, for each transport.

use crate::params::Settings;
use crate::schedule::fairness::SlotRule;
use crate::schedule::window::{Gain, WindowRule};
use crate::time::Duration;
use serde::{Deserialize, Serialize};

/// The parameters of one transport.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TransportParams {
    /// Name of the master.cf service.
    pub name: String,
    /// Deliveries that it runs at once (`maxproc`); 0: without limit.
    pub processes: u32,
    /// The concurrency window of each of its destinations.
    pub window: WindowRule,
    /// Recipients of one attempt (`…_destination_recipient_limit`); 0: no limit. With 1, a destination is a recipient.
    pub recipient_limit: u32,
    /// Pause between deliveries to one destination (`…_destination_rate_delay`).
    pub destination_pause: Duration,
    /// Pause between deliveries whatever their destination (`…_transport_rate_delay`).
    pub transport_pause: Duration,
    /// When small mail may pass large.
    pub slots: SlotRule,
}

impl TransportParams {
    /// Postfix's defaults for a transport of this name.
    #[must_use]
    pub fn new(name: impl Into<String>, processes: u32) -> Self {
        Self {
            name: name.into(),
            processes,
            window: WindowRule::default(),
            recipient_limit: 50,
            destination_pause: Duration::ZERO,
            transport_pause: Duration::ZERO,
            slots: SlotRule::default(),
        }
    }

    /// The window that holds: with a pause between deliveries there is one at a time.
    pub(super) fn window_rule(&self) -> WindowRule {
        if self.destination_pause.is_zero() {
            self.window
        } else {
            WindowRule { initial: 1, limit: 1, ..self.window }
        }
    }
}

/// The parameters of the scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Params {
    /// One for each transport of master.cf.
    pub transports: Vec<TransportParams>,
    /// How long a dead destination rests (`minimal_backoff_time`).
    pub rest: Duration,
    /// Dead destinations that are remembered (`qmgr_message_recipient_limit`).
    pub dead_limit: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self { transports: Vec::new(), rest: Duration::from_secs(300), dead_limit: 20_000 }
    }
}

fn whole(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl WindowRule {
    fn read(settings: &Settings, name: &str, errors: &mut Vec<(String, String)>) -> Self {
        let mut gain = |suffix: &str, text: &str| {
            text.parse().unwrap_or_else(|_| {
                let why = format!("\"{text}\" is no feedback between 0 and 1");
                errors.push((format!("{name}_{suffix}"), why));
                Gain::default()
            })
        };
        let positive = settings.transport_text(name, "destination_concurrency_positive_feedback");
        let negative = settings.transport_text(name, "destination_concurrency_negative_feedback");
        Self {
            initial: whole(settings.transport_number(name, "initial_destination_concurrency")),
            limit: whole(settings.transport_number(name, "destination_concurrency_limit")),
            positive: gain("destination_concurrency_positive_feedback", positive),
            negative: gain("destination_concurrency_negative_feedback", negative),
            cohorts: whole(settings.transport_number(name, "destination_concurrency_failed_cohort_limit")),
        }
    }
}

impl SlotRule {
    fn read(settings: &Settings, name: &str) -> Self {
        Self {
            cost: whole(settings.transport_number(name, "delivery_slot_cost")),
            loan: whole(settings.transport_number(name, "delivery_slot_loan")),
            discount: whole(settings.transport_number(name, "delivery_slot_discount")),
            minimum: whole(settings.transport_number(name, "minimum_delivery_slots")),
        }
    }
}

impl Params {
    /// Reads the parameters; `transports` are names and `maxproc` of master.cf.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(settings: &Settings, transports: &[(String, u32)]) -> Result<Self, Vec<(String, String)>> {
        let mut errors = Vec::new();
        let mut params = Self { rest: settings.time("minimal_backoff_time"), ..Self::default() };
        params.dead_limit =
            usize::try_from(settings.number("qmgr_message_recipient_limit")).unwrap_or(usize::MAX);
        for (name, processes) in transports {
            params.transports.push(TransportParams {
                name: name.clone(),
                processes: *processes,
                window: WindowRule::read(settings, name, &mut errors),
                recipient_limit: whole(settings.transport_number(name, "destination_recipient_limit")),
                destination_pause: settings.transport_time(name, "destination_rate_delay"),
                transport_pause: settings.transport_time(name, "transport_rate_delay"),
                slots: SlotRule::read(settings, name),
            });
        }
        if errors.is_empty() { Ok(params) } else { Err(errors) }
    }
}
