//! Octets and values.
//!
//! Each file is one syntax, both ways. Total functions over arbitrary octets, no state but a cursor. The law of
//! every codec: what it emits, it parses back to the same value.

pub mod address_list;
pub mod command;
pub mod content;
mod content_out;
pub mod date;
mod digits;
pub mod header;
pub mod line;
pub(crate) mod path;
mod reply;
mod seven_bit;
pub mod xtext;

pub use content_out::ContentEncoder;
pub(crate) use digits::{put_address, put_decimal};
pub use path::{Mailbox, Path};
pub(crate) use reply::code_digits;
pub use reply::{BadReply, EnhancedStatus, Reply, ReplyReader};
pub use seven_bit::SevenBit;

use std::borrow::Cow;

/// A text in lower case, as tables of all kinds but patterns are asked. Most keys are so already.
#[must_use]
pub fn folded(text: &str) -> Cow<'_, str> {
    // Not one after the other: a run of octets is looked at as a whole.
    let is_odd = |octet: u8| !octet.is_ascii() | octet.is_ascii_uppercase();
    let is_folded = !text.bytes().fold(false, |odd, octet| odd | is_odd(octet));
    if is_folded { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) }
}

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

impl std::fmt::Display for SyntaxError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "behind {} octets {} is expected", self.at, self.expected)
    }
}

impl SyntaxError {
    /// The same error seen from `offset` octets further in front.
    #[must_use]
    pub(crate) const fn behind(self, offset: usize) -> Self {
        Self { at: self.at + offset, expected: self.expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_folded_as_a_whole() {
        for text in ["user@example.org", "User@Example.ORG", "ÄÖ@x", "ß", "İ", ""] {
            assert_eq!(folded(text), text.to_lowercase());
        }
    }
}
