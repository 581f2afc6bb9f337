//! The table of parameters, and the values of one configuration.

use crate::ask::TableName;
use crate::time::Duration;
use std::collections::BTreeMap;

/// All parameters of one service, expanded and checked: a getter of a name in the table can not fail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
}

impl Settings {
    /// The expanded text.
    ///
    /// # Panics
    /// When the name is not in the table: a bug of ours, found by the test that reads our sources for such names.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.custom(name).unwrap_or_else(|| panic!("parameter {name} is not in the table"))
    }

    /// The expanded text of a name that the configuration itself may have made: a restriction class.
    #[must_use]
    pub fn custom(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A yes/no value.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.text(name).eq_ignore_ascii_case("yes")
    }

    /// A whole number.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    /// A time, with its unit applied.
    #[must_use]
    pub fn time(&self, name: &str) -> Duration {
        Duration::from_secs(self.number(name))
    }

    /// The items of a list, split at commas and white space, `{…}` kept together.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        self.text(name)
            .split([',', ' ', '\t', '\n'])
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The tables of a list of tables.
    #[must_use]
    pub fn tables(&self, name: &str) -> Vec<TableName> {
        self.list(name).into_iter().map(TableName).collect()
    }
}
