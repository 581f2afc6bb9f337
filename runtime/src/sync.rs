//! Locks, conditions, atomics and threads of what several threads share: std's, or shuttle's, which tries out every order in which
//! they might run (`runtime/tests/shuttle.rs`, a build of its own: `--cfg shuttle`).

#[cfg(shuttle)]
pub use shuttle::{sync::*, thread};
#[cfg(not(shuttle))]
pub use std::{sync::*, thread};
