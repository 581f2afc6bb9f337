//! What a daemon has promised, from its configuration: the oracle reads it by itself, and not what the daemon made of it.

use postrider_core::params::Config;
use postrider_core::params::master_cf::Role;
use std::time::Duration;

/// What a daemon lives by, as far as it is judged.
#[derive(Debug, Clone, Default)]
pub(super) struct Promises {
    /// Of mail and of reports.
    pub(super) lifetimes: (Duration, Duration),
    /// Mail must not leave in the clear.
    pub(super) encrypts: bool,
    /// It hands its mail to another host, or tries fewer servers than there may be.
    pub(super) relays: bool,
    /// The least pause before it tries again.
    pub(super) minimal_backoff: Duration,
    /// Attempts at once for a destination, by the transport that allows most; nothing where one has no limit.
    pub(super) concurrency: Option<usize>,
    /// Each recipient is a destination of its own for one of its transports.
    pub(super) by_recipient: bool,
}

impl Promises {
    pub(super) fn of(config: &Config) -> Self {
        let settings = config.settings(None);
        let transports = || {
            let services = config.services().iter();
            services.filter(|service| matches!(service.role, Role::Transport(_)))
        };
        let limit = |name: &str| settings.transport_number(name, "destination_concurrency_limit");
        let limits: Vec<u64> = transports().map(|service| limit(&service.name)).collect();
        let unlimited = limits.contains(&0);
        let most = limits.into_iter().max().and_then(|most| usize::try_from(most).ok());
        Self {
            lifetimes: (settings.time("maximal_queue_lifetime"), settings.time("bounce_queue_lifetime")),
            encrypts: settings.text("smtp_tls_security_level") == "encrypt",
            relays: !settings.text("relayhost").is_empty() || settings.number("smtp_mx_address_limit") < 5,
            minimal_backoff: settings.time("minimal_backoff_time"),
            concurrency: most.filter(|_| !unlimited),
            by_recipient: transports().any(|service| {
                settings.transport_number(&service.name, "destination_recipient_limit") == 1
                    && ["smtp", "lmtp", "relay"].contains(&service.name.as_str())
            }),
        }
    }
}
