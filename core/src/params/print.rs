//! What `postrider config` prints, in the words of postconf(1).
//!
//! `name = value`, in the order of names; white space within values becomes one space. With expansion (`-x`) values are
//! as a service would see them, except templates, which are never expanded when read.

use super::config::Config;
use super::main_cf::line;
use super::scope::{Scope, kind_of};
use super::table::{self, Kind};
use super::unused;
use std::borrow::Cow;

/// How values are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Printing {
    /// As they are written.
    #[default]
    Plain,
    /// Expanded: option `-x`.
    Expanded,
}

impl Config {
    /// `-d`: the defaults of all names, whatever main.cf says.
    #[must_use]
    pub fn defaults(&self, printing: Printing) -> Vec<String> {
        let bare = self.without_values();
        let scope = bare.scope(None, &[]);
        let names = scope.names();
        let listed = |name: &&String| !is_old(name) && !scope.is_unlisted(name);
        names.iter().filter(listed).filter_map(|name| show(&scope, name, printing)).collect()
    }

    /// `-n`: the names that main.cf sets and something uses.
    #[must_use]
    pub fn set(&self, printing: Printing) -> Vec<String> {
        let scope = self.scope(None, &[]);
        let used = unused::used(self);
        let known = |name: &&String| self.works(name).is_some() || used.covers(name);
        self.main.keys().filter(known).filter_map(|name| show(&scope, name, printing)).collect()
    }

    /// One name as it holds, with its default when main.cf does not set it; `None` for a name that is not known.
    #[must_use]
    pub fn value(&self, name: &str, printing: Printing) -> Option<String> {
        show(&self.scope(None, &[]), name, printing)
    }

    /// The default of one name.
    #[must_use]
    pub fn default_value(&self, name: &str, printing: Printing) -> Option<String> {
        show(&self.without_values().scope(None, &[]), name, printing)
    }

    /// No option: all names as they hold.
    #[must_use]
    pub fn all(&self, printing: Printing) -> Vec<String> {
        let scope = self.scope(None, &[]);
        let used = unused::used(self);
        let known = |name: &&String| match self.main.contains_key(*name) {
            true => self.works(name).is_some() || used.covers(name),
            false => !is_old(name) && !scope.is_unlisted(name),
        };
        scope.names().iter().filter(known).filter_map(|name| show(&scope, name, printing)).collect()
    }
}

fn is_old(name: &str) -> bool {
    table::row(name).is_some_and(table::Row::is_old)
}

fn show(scope: &Scope<'_>, name: &str, printing: Printing) -> Option<String> {
    let raw = scope.raw(name)?;
    let value = match printing {
        Printing::Expanded if kind_of(name) != Kind::Raw => {
            // What can not be expanded is told by the checks; here it is shown as it was written.
            scope.expand(&raw).map_or(raw.clone(), |expanded| Cow::Owned(expanded.text))
        }
        _ => raw,
    };
    Some(line(name, &value))
}
