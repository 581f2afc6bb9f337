//! What the scheduler obeys, for each transport.

use crate::params::Settings;
use crate::schedule::fairness::SlotRule;
use crate::schedule::window::{Gain, WindowRule};
use crate::time::Duration;

/// The parameters of one transport.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TransportParams {
    /// Name of the master.cf service.
    pub name: String,
    /// Deliveries that it runs at once (`maxproc`).
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

fn whole(settings: &Settings, name: &str) -> u32 {
    u32::try_from(settings.number(name)).unwrap_or(u32::MAX)
}

fn gain(settings: &Settings, name: &str, errors: &mut Vec<(String, String)>) -> Gain {
    settings.text(name).parse().unwrap_or_else(|_| {
        let text = settings.text(name);
        errors.push((name.to_owned(), format!("\"{text}\" is no feedback between 0 and 1")));
        Gain::default()
    })
}

impl Params {
    /// Reads the parameters; `transports` are names and `maxproc` of master.cf.
    ///
    /// # Errors
    /// Parameter name and what is wrong with its value.
    pub fn new(settings: &Settings, transports: &[(String, u32)]) -> Result<Self, Vec<(String, String)>> {
        let mut errors = Vec::new();
        let transports = transports
            .iter()
            .map(|(name, processes)| Self::transport(settings, name, *processes, &mut errors))
            .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let dead_limit = usize::try_from(settings.number("qmgr_message_recipient_limit"));
        Ok(Self {
            transports,
            rest: settings.time("minimal_backoff_time"),
            dead_limit: dead_limit.unwrap_or(usize::MAX),
        })
    }

    fn transport(
        settings: &Settings,
        name: &str,
        processes: u32,
        errors: &mut Vec<(String, String)>,
    ) -> TransportParams {
        TransportParams {
            name: name.to_owned(),
            processes,
            window: WindowRule {
                initial: whole(settings, "initial_destination_concurrency"),
                limit: whole(settings, "default_destination_concurrency_limit"),
                positive: gain(settings, "default_destination_concurrency_positive_feedback", errors),
                negative: gain(settings, "default_destination_concurrency_negative_feedback", errors),
                cohorts: whole(settings, "default_destination_concurrency_failed_cohort_limit"),
            },
            recipient_limit: whole(settings, "default_destination_recipient_limit"),
            destination_pause: settings.time("default_destination_rate_delay"),
            transport_pause: settings.time("default_transport_rate_delay"),
            slots: SlotRule {
                cost: whole(settings, "default_delivery_slot_cost"),
                loan: whole(settings, "default_delivery_slot_loan"),
                discount: whole(settings, "default_delivery_slot_discount"),
                minimum: whole(settings, "default_minimum_delivery_slots"),
            },
        }
    }
}
