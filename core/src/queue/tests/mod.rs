//! The log against a hostile disk.

mod crash;
mod disk;
mod world;
