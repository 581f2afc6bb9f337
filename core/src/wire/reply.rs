//! Replies and enhanced status codes (RFC 5321 4.2, RFC 3463).

use std::fmt;

/// `class.subject.detail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnhancedStatus {
    /// 2, 4 or 5.
    pub class: u8,
    /// 0..=999.
    pub subject: u16,
    /// 0..=999.
    pub detail: u16,
}

impl EnhancedStatus {
    /// `class.subject.detail`.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// What a server says: a code, perhaps an enhanced status, and lines of text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reply {
    /// 200..=599.
    pub code: u16,
    /// Repeated on each line when emitted.
    pub status: Option<EnhancedStatus>,
    /// At least one; without line ends.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply of one line.
    #[must_use]
    pub fn new(code: u16, status: Option<EnhancedStatus>, text: impl Into<String>) -> Self {
        Self { code, status, lines: vec![text.into()] }
    }
}
