//! `user+extension`: where a local part is split (postconf(5), recipient_delimiter; local(8), "ADDRESS EXTENSION").
//!
//! Rewriting, access tables and local delivery must agree on it, else mail is accepted for one name and delivered to another.

/// What decides it.
#[derive(Debug, Clone, Copy)]
pub struct Extensions<'p> {
    /// `recipient_delimiter`: each character of it delimits.
    pub delimiters: &'p str,
    /// `owner_request_special`.
    pub owner_request_special: bool,
    /// `double_bounce_sender`.
    pub double_bounce_sender: &'p str,
}

impl Extensions<'_> {
    /// User, and the extension with its delimiter; `None` where there is none to split off.
    #[must_use]
    pub fn split<'l>(&self, local: &'l str) -> Option<(&'l str, &'l str)> {
        if self.delimiters.is_empty() {
            return None;
        }
        let at = local.find(|c| self.delimiters.contains(c)).filter(|at| *at > 0)?;
        let reserved = ["postmaster", "mailer-daemon", self.double_bounce_sender];
        // These are the names of a list's people where `-` delimits, not extensions of owner and list.
        let lower = local.to_ascii_lowercase();
        let is_list = lower.starts_with("owner-") || lower.ends_with("-request");
        let special = self.owner_request_special && self.delimiters.contains('-') && is_list;
        let whole = special || reserved.iter().any(|name| local.eq_ignore_ascii_case(name));
        (!whole).then(|| local.split_at(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_split_where_postfix_splits_them() {
        let split = |local| {
            Extensions {
                delimiters: "+-",
                owner_request_special: true,
                double_bounce_sender: "double-bounce",
            }
            .split(local)
        };
        assert_eq!(split("user+a-b"), Some(("user", "+a-b")));
        assert_eq!(split("user-a+b"), Some(("user", "-a+b")));
        assert_eq!(split("user+"), Some(("user", "+")));
        assert_eq!(split("owner+list"), Some(("owner", "+list")));
        for whole in ["user", "+user", "", "Mailer-Daemon", "double-bounce", "owner-list", "list-request"] {
            assert_eq!(split(whole), None, "{whole}");
        }
        let plain = Extensions { delimiters: "+", owner_request_special: true, double_bounce_sender: "db" };
        assert_eq!(plain.split("owner-list+x"), Some(("owner-list", "+x")));
        assert_eq!(Extensions { delimiters: "", ..plain }.split("a+b"), None);
    }
}
