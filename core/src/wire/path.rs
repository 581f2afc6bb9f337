//! Addresses and paths (RFC 5321 4.1.2, RFC 6531 3.3).

/// `local-part@domain`. The local part is held unquoted; both are UTF-8. The domain may be empty (a bare
/// `postmaster`, before rewriting appended one), a name, or a literal with its brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mailbox {
    local: Box<str>,
    domain: Box<str>,
}

impl Mailbox {
    /// From an unquoted local part and a domain (empty for none).
    #[must_use]
    pub fn new(local: &str, domain: &str) -> Self {
        Self { local: local.into(), domain: domain.into() }
    }

    /// The local part, unquoted.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain as given; empty for none.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// `local@domain`, the local part quoted where it must be; without brackets.
    #[must_use]
    pub fn external(&self) -> String {
        if self.domain.is_empty() {
            self.local.to_string()
        } else {
            format!("{}@{}", self.local, self.domain)
        }
    }
}
