//! A user of this host, as the password table has it.

use crate::ask::{Facts, Pause, TableName};

/// The table of users.
const TABLE: &str = "unix:passwd.byname";

/// What is known of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: String,
    pub(super) shell: String,
}

impl User {
    /// The user of a name; names that could not be file names are nobody's.
    pub(super) fn find(name: &str, facts: &Facts) -> Result<Option<Self>, Pause> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', ':', '\0']) {
            return Ok(None);
        }
        let line = facts.lookup(&TableName(TABLE.to_owned()), name)?;
        Ok(line.and_then(Self::read))
    }

    /// `name:password:uid:gid:gecos:home:shell`.
    fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.trim_end().split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        Some(Self { name: name.to_owned(), uid, gid, home: home.to_owned(), shell: shell.to_owned() })
    }
}
