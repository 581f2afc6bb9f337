//! When a server is down, and how.

use crate::rehearse::scenario::{How, Outage};
use postrider_core::time::Instant;

/// The outages of one server.
#[derive(Debug, Clone, Default)]
pub(super) struct Outages(Vec<(Instant, Instant, How)>);

impl Outages {
    /// Those that hold for an exchanger of this preference.
    #[must_use]
    pub(super) fn of(outages: &[Outage], preference: u16) -> Self {
        let holds = |outage: &&Outage| outage.preference.is_none_or(|only| only == preference);
        let at = |span: std::time::Duration| Instant::default().after(span);
        Self(outages.iter().filter(holds).map(|one| (at(one.from.0.0), at(one.to.0.0), one.how)).collect())
    }

    /// Whether it is down in this way.
    #[must_use]
    pub(super) fn now(&self, now: Instant, how: How) -> bool {
        self.0.iter().any(|(from, to, which)| *which == how && *from <= now && now < *to)
    }

    /// When something begins or ends.
    pub(super) fn edges(&self) -> Vec<Instant> {
        self.0.iter().flat_map(|(from, to, _)| [*from, *to]).collect()
    }
}
