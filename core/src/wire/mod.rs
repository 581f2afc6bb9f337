//! Octets and values.
//!
//! Each file is one syntax, both ways. Total functions over arbitrary octets, no state but a cursor. The law of
//! every codec: what it emits, it parses back to the same value.

pub mod address_list;
pub mod date;
pub mod header;
mod path;
mod reply;

pub use path::Mailbox;
pub use reply::{EnhancedStatus, Reply};

/// Octets to a value and back.
pub trait Wire: Sized {
    /// Reads a value; all of `input` must be used.
    ///
    /// # Errors
    /// Where and what was expected.
    fn parse(input: &[u8]) -> Result<Self, SyntaxError>;

    /// Appends the octets of the value.
    fn emit(&self, out: &mut Vec<u8>);
}

/// Octets that are not of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SyntaxError {
    /// Offset of the first octet that does not fit.
    pub at: usize,
    /// What would have fitted.
    pub expected: &'static str,
}
