//! TABLE of the stages of a connection to a server, for those who watch.

use super::{Delivery, Stage};
use crate::machine::Stages;

/// The stages of a connection.
pub const STAGES: Stages = Stages {
    machine: "delivery",
    names: &[
        "greeting",
        "ehlo",
        "helo",
        "lhlo",
        "starttls",
        "handshake",
        "dialogue",
        "body",
        "ready",
        "spent",
        "quit",
        "gone",
    ],
    // A host that is left for the next one hears QUIT at once.
    edges: &[
        ("greeting", "quit"),
        ("ehlo", "quit"),
        ("ehlo", "ready"),
        ("helo", "quit"),
        ("helo", "ready"),
        ("lhlo", "quit"),
        ("lhlo", "ready"),
        ("starttls", "quit"),
        ("dialogue", "quit"),
        ("greeting", "ehlo"),
        ("greeting", "helo"),
        ("greeting", "lhlo"),
        ("greeting", "spent"),
        ("ehlo", "helo"),
        ("ehlo", "starttls"),
        ("ehlo", "dialogue"),
        ("ehlo", "spent"),
        ("helo", "dialogue"),
        ("helo", "spent"),
        ("lhlo", "starttls"),
        ("lhlo", "dialogue"),
        ("lhlo", "spent"),
        ("starttls", "handshake"),
        ("starttls", "dialogue"),
        ("starttls", "spent"),
        ("handshake", "ehlo"),
        ("handshake", "lhlo"),
        ("handshake", "spent"),
        ("dialogue", "body"),
        ("dialogue", "ready"),
        ("dialogue", "spent"),
        ("body", "dialogue"),
        ("body", "spent"),
        ("ready", "dialogue"),
        ("ready", "quit"),
        ("ready", "gone"),
        ("spent", "quit"),
        ("spent", "gone"),
        ("quit", "gone"),
    ],
};

impl Delivery {
    /// Its place in [`STAGES`].
    #[must_use]
    pub const fn stage(&self) -> u8 {
        match self.stage {
            Stage::Greeting => 0,
            Stage::Ehlo => 1,
            Stage::Helo => 2,
            Stage::Lhlo => 3,
            Stage::StartTls => 4,
            Stage::Handshake => 5,
            Stage::Dialogue => 6,
            Stage::Body => 7,
            Stage::Ready => 8,
            Stage::Spent { .. } => 9,
            Stage::Quit => 10,
            Stage::Gone => 11,
        }
    }
}
