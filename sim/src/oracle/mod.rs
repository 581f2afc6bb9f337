//! What must hold, whatever happens.

mod ledger;

pub use ledger::{Ledger, Token, Verdict, Violation, body, message};
