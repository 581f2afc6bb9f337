//! The log against a hostile disk.

mod compaction;
mod crash;
mod damage;
mod disk;
mod faults;
mod recovery;
mod refused;
mod staging;
mod world;
