//! The simulated world: the core of several hosts, the networks, disks, name servers and peers around them, and one
//! seed from which all of it follows.
//!
//! [`kernel`] orders events; [`network`], [`disk`] and [`names`] are the things that fail; [`peers`] are the others; [`oracle`]
//! judges. [`explain`] takes the decisions of a real daemon again. [`scale`] runs manager and log alone, with a million messages. [`env`] is a world of another kind: there the whole daemon runs, over turmoil or madsim. Nothing that
//! a story is made of reads a clock, opens a file or starts a thread: a seed and a commit are the whole history. [`check`] reads a clock, [`rehearse`] the
//! operator's files.

#![forbid(unsafe_code)]

pub mod check;
pub mod disk;
pub mod edges;
pub mod env;
pub mod explain;
pub mod faults;
pub mod host;
pub mod inhabitant;
pub mod kernel;
pub mod names;
pub mod network;
pub mod oracle;
pub mod peers;
pub mod plan;
pub mod rehearse;
pub mod scale;
pub mod shrink;
pub mod story;
pub mod words;
pub mod world;
