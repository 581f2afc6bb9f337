//! The pure core of Postrider: every decision of a mail transfer agent, and no input or output.
//!
//! ```text
//! bytes ─▶ wire ─▶ session ─▶ cleanup ─▶ queue ─▶ schedule ─▶ delivery ─▶ wire ─▶ bytes
//!          parse    judge      rewrite     keep     choose      hand over    emit
//!                                └─ report (a bounce is a new message: it enters at cleanup) ◀─┘
//! ```
//!
//! Rooms do not call each other: each turns facts into requests. The joints ([`inbound`], [`outbound`],
//! [`manager`]) say where each request goes. docs/ARCHITECTURE.md is the map.

#![forbid(unsafe_code)]

#[macro_use]
pub mod planted;

pub mod ask;
pub mod because;
pub mod cleanup;
pub mod delivery;
pub mod dns;
pub mod event;
pub mod limits;
pub mod local;
pub mod machine;
pub mod mail;
pub mod params;
pub mod policy;
pub mod prng;
pub mod rewrite;
pub mod session;
pub mod tables;
pub mod time;
pub mod wire;

pub mod queue;
pub mod report;
pub mod schedule;

pub mod inbound;
pub mod manager;
pub mod outbound;
pub mod recording;
pub mod submission;
