//! What is fuzzed: for each kind of octets that a stranger, a disk or an operator hands us, a function that reads them in every way the
//! daemon does and holds the result against laws: no panic, bounded, the same however the octets are cut, and read back as written.
//!
//! `tests/tests/fuzzed.rs` plays `corpus/fuzz/` and arbitrary octets in each run of CI; `just fuzz TARGET` searches with libFuzzer.

mod command;
mod config;
mod content;
mod dns;
mod header;
mod octets;
mod path;
mod record;
mod reply;

pub use command::command;
pub use config::config;
pub use content::content;
pub use dns::dns;
pub use header::header;
pub use path::path;
pub use record::record;
pub use reply::reply;

/// Reads octets, and panics when a law is broken.
pub type Target = fn(&[u8]);

/// All targets by name: that of a folder below `corpus/fuzz/`.
pub const TARGETS: [(&str, Target); 8] = [
    ("command", command),
    ("config", config),
    ("content", content),
    ("dns", dns),
    ("header", header),
    ("path", path),
    ("record", record),
    ("reply", reply),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
