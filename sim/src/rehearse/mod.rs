//! Rehearsals: an operator's own configuration against a scenario.
//!
//! [`setup`] reads main.cf, master.cf and tables as the daemon does and makes a [`crate::host::Host`] of them, the one that the stories run; [`scenario`]
//! says where mail goes and what is wrong there; [`world`] plays it and writes down what becomes of each recipient; [`study`] says what
//! is compared with what; [`report`] and [`page`] tell what was found, and [`spread`] how far the seeds lie apart.

mod named;
pub mod page;
pub mod plot;
pub mod report;
pub mod scenario;
pub mod setup;
mod spread;
pub mod study;
pub mod tally;
pub mod world;
