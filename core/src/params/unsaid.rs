//! Defaults of the table as they come out where nobody says anything of the names that they refer to.
//!
//! Most of a configuration is these, whatever its files say: they are expanded once for a process, and not for each configuration. A
//! default that depends on the host has no such value.

use super::expand::{expand, references};
use super::table::{Row, all, row};
use std::borrow::Cow;
use std::sync::LazyLock;

/// A row, and what its default comes to.
#[derive(Debug)]
pub(super) struct Unsaid {
    pub(super) row: &'static Row,
    /// `None` where the host decides.
    value: Option<Cow<'static, str>>,
    /// The places in [`UNSAID`] of the names from which it comes, directly or through others.
    through: Vec<usize>,
}

/// All rows, by name.
pub(super) static UNSAID: LazyLock<Vec<Unsaid>> = LazyLock::new(|| {
    let mut rows: Vec<&'static Row> = all().collect();
    rows.sort_unstable_by_key(|row| row.name);
    rows.iter().map(|row| Unsaid::new(row, &rows)).collect()
});

impl Unsaid {
    fn new(row: &'static Row, by_name: &[&Row]) -> Self {
        let plain = row.plain().map(|text| (Cow::Borrowed(text), Vec::new()));
        let (value, names) = plain.or_else(|| expanded(row)).unzip();
        let place = |name: &&str| by_name.binary_search_by_key(name, |row| row.name).ok();
        Self { row, value, through: names.iter().flatten().filter_map(place).collect() }
    }

    /// The value, unless somebody says something of a name that it comes from: `said` has a place for each row.
    pub(super) fn value(&'static self, said: &[bool]) -> Option<&'static str> {
        let value = self.value.as_deref()?;
        self.through.iter().all(|place| !said[*place]).then_some(value)
    }
}

/// A default that refers to others of the table alone.
fn expanded(of: &'static Row) -> Option<(Cow<'static, str>, Vec<&'static str>)> {
    let text = of.expression()?;
    let mut through: Vec<&'static str> = Vec::new();
    let mut open = references(text);
    while let Some(name) = open.pop() {
        let other = row(&name)?;
        if !through.contains(&other.name) {
            through.push(other.name);
            open.extend(references(other.expression()?));
        }
    }
    let value = expand(text, &|name| row(name)?.expression().map(Cow::Borrowed)).ok()?.text;
    let value = of.kind.canonical(&value).map_or(value.clone(), str::to_owned);
    Some((Cow::Owned(value), through))
}

#[cfg(test)]
mod tests {
    use super::super::check::check;
    use super::super::{Config, Host};
    use super::*;

    #[test]
    fn each_is_right_and_most_names_have_one() {
        let of = |unsaid: &&Unsaid| unsaid.value.is_some() && !unsaid.through.is_empty();
        for Unsaid { row, value, .. } in UNSAID.iter() {
            let right = value.as_ref().is_none_or(|text| check(row.kind, text).is_ok());
            assert!(right || row.is_old(), "{}", row.name);
        }
        assert!(UNSAID.iter().filter(of).count() > 100, "defaults that refer to others");
    }

    #[test]
    fn each_is_what_a_configuration_finds() {
        let (config, _) = Config::read("", "", Host::default());
        let (whole, scope) = (config.settings(None), config.scope(None, &[]));
        for Unsaid { row, value, .. } in UNSAID.iter() {
            let Some(value) = value else { continue };
            let found = scope.expand(row.expression().expect("a default")).map(|expanded| expanded.text);
            let found = found.map(|text| row.kind.canonical(&text).map_or(text.clone(), str::to_owned));
            assert!(row.plain().is_some() || found.as_deref() == Ok(value), "{}: {found:?}", row.name);
            assert_eq!(whole.text(row.name), value, "{}", row.name);
        }
    }

    #[test]
    fn what_is_said_of_another_name_counts() {
        let said = |main: &str, name: &str| {
            Config::read(main, "", Host::default()).0.settings(None).text(name).to_owned()
        };
        for (main, name, value) in [
            ("", "smtputf8_enable", "no"),
            ("compatibility_level = 3.6\n", "smtputf8_enable", "yes"),
            ("", "smtpd_timeout", "300s"),
            ("stress = yes\n", "smtpd_timeout", "10s"),
        ] {
            assert_eq!(said(main, name), value, "{name} where main.cf says {main:?}");
        }
    }
}
