//! The simulated world.

pub mod env;
