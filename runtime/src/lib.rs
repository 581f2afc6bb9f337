//! Postrider: the daemon and its commands.
//!
//! Executes what core asks for, and decides nothing. docs/ARCHITECTURE.md is the map.

#![deny(unsafe_code)]

pub mod answers;
pub mod content;
pub mod current;
pub mod deposit;
pub mod env;
pub mod guard;
pub mod hosts_file;
pub mod inbound;
pub mod limits;
pub mod listen;
pub mod manager;
pub mod notice;
pub mod observe;
pub mod orders;
pub mod outbound;
pub mod record;
pub mod report;
pub mod requeue;
pub mod resolve;
#[cfg(all(test, feature = "shuttle"))]
mod schedules;
pub mod seats;
pub mod serve;
pub mod site;
pub mod spool;
pub mod staging;
pub mod stream;
pub mod submit;
pub mod sync;
pub mod tables;
pub mod timer;
pub mod tls;
pub mod transfer;
pub mod trouble;

#[cfg(not(madsim))]
pub mod cli;
#[cfg(not(madsim))]
pub mod control;
#[cfg(not(madsim))]
pub mod descriptors;
#[cfg(not(madsim))]
pub mod maildrop;
#[cfg(not(madsim))]
pub mod operate;
#[cfg(not(madsim))]
pub mod pickup;
#[cfg(not(madsim))]
pub mod privilege;
