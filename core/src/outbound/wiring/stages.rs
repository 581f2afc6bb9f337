//! TABLE of the stages of an outbound joint, for those who watch.

use super::{Outbound, Stage};
use crate::machine::Stages;

/// The stages of an outbound joint.
pub const STAGES: Stages = Stages {
    machine: "outbound",
    names: &[
        "idle",
        "searching",
        "connecting",
        "talking",
        "progressing",
        "handing over",
        "writing",
        "leaving",
        "parked",
    ],
    edges: &[
        ("idle", "searching"),
        ("idle", "connecting"),
        ("idle", "writing"),
        ("searching", "connecting"),
        ("searching", "handing over"),
        ("searching", "writing"),
        ("connecting", "searching"),
        ("connecting", "talking"),
        ("connecting", "writing"),
        ("talking", "searching"),
        ("talking", "connecting"),
        ("talking", "progressing"),
        ("talking", "leaving"),
        ("talking", "writing"),
        ("progressing", "leaving"),
        ("progressing", "connecting"),
        ("progressing", "searching"),
        ("progressing", "writing"),
        ("handing over", "writing"),
        ("writing", "parked"),
        ("writing", "leaving"),
        ("writing", "idle"),
        ("leaving", "connecting"),
        ("leaving", "searching"),
        ("leaving", "writing"),
        ("leaving", "idle"),
        ("parked", "talking"),
        ("parked", "searching"),
        ("parked", "connecting"),
        ("parked", "leaving"),
        ("parked", "idle"),
        ("parked", "writing"),
    ],
};

impl Outbound {
    /// Its place in [`STAGES`].
    #[must_use]
    pub const fn stage(&self) -> u8 {
        match self.stage {
            Stage::Idle => 0,
            Stage::Searching(_) => 1,
            Stage::Connecting(_) => 2,
            Stage::Talking => 3,
            Stage::Progressing => 4,
            Stage::HandingOver => 5,
            Stage::Writing => 6,
            Stage::Leaving { .. } => 7,
            Stage::Parked(_) => 8,
        }
    }

    /// The place of its connection in [`crate::delivery::STAGES`]; `None` while it has none.
    #[must_use]
    pub fn delivery_stage(&self) -> Option<u8> {
        self.connection.as_ref().map(|connection| connection.delivery.stage())
    }
}
