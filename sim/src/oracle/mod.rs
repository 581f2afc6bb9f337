//! Judges that know nothing of how a machine works: they see what goes in and what comes out.
//!
//! [`ledger`] knows who answers for each recipient; [`hops`] why a copy may be a second one; [`names`] what name servers said;
//! [`patience`] when a host may try again; [`orders`] what operators have put on hold or deleted.

mod account;
mod content;
mod hops;
mod judge;
mod ledger;
mod names;
mod orders;
mod patience;
mod taking;
#[cfg(test)]
mod tests;

pub use content::{message, token_in};
pub use hops::{Hop, Report};
pub use ledger::{Ledger, Taken, Token, Verdict, Violation};
pub(crate) use names::FORGED;
