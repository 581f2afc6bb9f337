//! The table of parameters, and the values of one configuration.
//!
//! [`Config::read`] makes a configuration of the texts of main.cf and master.cf, and says what is wrong with them.
//! [`Config::settings`] gives the values of one service, expanded and checked; each room reads from them what it needs. A name
//! that is not in [`table`] can not be read. Knows nothing of files: texts come in, texts go out.

pub mod check;
pub mod expand;
pub mod host;
pub mod judge;
pub mod main_cf;
pub mod master_cf;
pub mod problem;
pub mod reference;
pub mod table;

mod config;
mod idle;
mod lines;
mod ports;
mod print;
mod scope;
mod server_tls;
mod told;
mod unsaid;
mod unused;

pub use config::{Config, Listener};
pub use host::Host;
pub use ports::port_number;
pub use print::Printing;
pub use problem::{Problem, Severity};
pub use server_tls::ServerTls;

use crate::ask::TableName;
use crate::time::Duration;
use std::borrow::Cow;
use std::sync::Arc;

/// A name and its value.
type Value = (Cow<'static, str>, Cow<'static, str>);

/// All parameters of one service, expanded and checked: a getter of a name in the table can not fail.
///
/// A clone costs nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// In the order of [`table::by_length`]. What is borrowed is a default of the table, which no file has touched.
    values: Arc<[Value]>,
}

impl Default for Settings {
    /// The defaults of the table on a host without a name.
    fn default() -> Self {
        Self::of(&[])
    }
}

impl Settings {
    /// The defaults with these lines of a main.cf, on a host without a name and with Debian's transports. For tests.
    ///
    /// # Panics
    /// When the values have errors: a fault of the test.
    #[must_use]
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let main: String = pairs.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        let (config, problems) = Config::read(&main, config::STOCK_TRANSPORTS, Host::default());
        let errors: Vec<String> = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(ToString::to_string)
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
        config.settings(None)
    }

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
        let at = self.values.binary_search_by(|(known, _)| table::by_length(known, name)).ok()?;
        self.values.get(at).map(|(_, value)| value.as_ref())
    }

    /// A yes/no value.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        check::flag(self.text(name)).unwrap_or(false)
    }

    /// A whole number.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        check::number(self.text(name)).unwrap_or(0)
    }

    /// A time, with its unit applied.
    #[must_use]
    pub fn time(&self, name: &str) -> Duration {
        Duration::from_secs(seconds(name, self.text(name)))
    }

    /// The items of a list, split at commas and white space, `{…}` kept together.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        check::items(self.text(name))
    }

    /// The tables of a list of tables.
    #[must_use]
    pub fn tables(&self, name: &str) -> Vec<TableName> {
        self.list(name).into_iter().map(TableName).collect()
    }

    /// `TRANSPORT_suffix`, or what holds for transports that say nothing when master.cf has no such transport.
    ///
    /// # Panics
    /// When no transport has such a parameter: a bug of ours.
    #[must_use]
    pub fn transport_text(&self, transport: &str, suffix: &str) -> &str {
        self.custom(&format!("{transport}_{suffix}")).unwrap_or_else(|| {
            let row = table::TRANSPORT.iter().find(|row| row.suffix == suffix);
            let row = row.unwrap_or_else(|| panic!("transports have no parameter {suffix}"));
            self.text(row.fallback)
        })
    }

    /// A number of a transport, see [`Settings::transport_text`].
    #[must_use]
    pub fn transport_number(&self, transport: &str, suffix: &str) -> u64 {
        check::number(self.transport_text(transport, suffix)).unwrap_or(0)
    }

    /// A time of a transport, see [`Settings::transport_text`].
    #[must_use]
    pub fn transport_time(&self, transport: &str, suffix: &str) -> Duration {
        let name = format!("{transport}_{suffix}");
        Duration::from_secs(seconds(&name, self.transport_text(transport, suffix)))
    }
}

fn seconds(name: &str, value: &str) -> u64 {
    let unit = match scope::kind_of(name) {
        table::Kind::Time { unit, .. } => unit,
        _ => table::Unit::Seconds,
    };
    check::seconds(value, unit).unwrap_or(0)
}

#[cfg(test)]
mod tests;
