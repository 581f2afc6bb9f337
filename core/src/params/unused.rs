//! Names that nothing uses: most often a name with a slip of the pen.
//!
//! A name that the table does not have is used when another value refers to it, when it is a restriction class, or when it
//! is an attribute of a table that is named without a path (`ldap:accounts` reads `accounts_server_host`).

use super::check::{items, nearest};
use super::config::Config;
use super::expand::references;
use super::main_cf::Assigned;
use super::problem::{File, Problem};
use super::table;
use std::collections::{BTreeMap, BTreeSet};

/// Warns of each name that nothing uses.
pub(super) fn judge(config: &Config, problems: &mut Vec<Problem>) {
    let overrides = config.services().iter().flat_map(|service| &service.overrides);
    let set = config.main.iter().chain(overrides);
    let unknown: Vec<_> = set.filter(|(name, _)| config.works(name).is_none()).collect();
    if unknown.is_empty() {
        // To find what is used costs as much as to read all the rest.
        return;
    }
    let used = used(config);
    for (name, assigned) in unknown.into_iter().filter(|(name, _)| !used.covers(name)) {
        let near = nearest(name, table::all().map(|row| row.name)).map(str::to_owned);
        let remedy = match near.or_else(|| of_a_transport(config, name)) {
            Some(near) => format!("did you mean {near}?"),
            None if assigned.place.file == File::Master => format!("remove -o {name}=…"),
            None => "remove the line".to_owned(),
        };
        problems.push(Problem::warning(assigned.place, format!("unused parameter: {name}"), remedy));
    }
}

/// The parameter of a transport that a name may mean: `slow_destination_concurrency_limit`.
fn of_a_transport(config: &Config, name: &str) -> Option<String> {
    config.services().iter().find_map(|service| {
        let suffix = name.strip_prefix(&service.name)?.strip_prefix('_')?;
        let near = nearest(suffix, table::TRANSPORT.iter().map(|row| row.suffix))?;
        Some(format!("{}_{near}", service.name))
    })
}

/// The names that are used without being in the table.
pub(super) struct Used {
    names: BTreeSet<String>,
    /// Tables whose attributes are parameters: `accounts_` of `ldap:accounts`.
    prefixes: BTreeSet<String>,
}

impl Used {
    pub(super) fn covers(&self, name: &str) -> bool {
        self.names.contains(name) || self.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }
}

/// What the known names use, directly and through others.
pub(super) fn used(config: &Config) -> Used {
    let mut used = Used { names: BTreeSet::new(), prefixes: BTreeSet::new() };
    let mut open: Vec<String> = Vec::new();
    let maps: Vec<&BTreeMap<String, Assigned>> = std::iter::once(&config.main)
        .chain(config.services().iter().map(|service| &service.overrides))
        .collect();
    for (name, assigned) in maps.iter().flat_map(|map| map.iter()) {
        if config.works(name).is_some() {
            open.push(assigned.value.clone());
        }
        if name == "smtpd_restriction_classes" {
            open.extend(items(&assigned.value).iter().map(|class| format!("${class}")));
        }
    }
    open.extend(table::all().filter_map(|row| row.expression()).map(str::to_owned));
    while let Some(value) = open.pop() {
        used.prefixes.extend(table_prefixes(&value));
        for name in references(&value) {
            if used.names.insert(name.clone()) {
                open.extend(
                    maps.iter().filter_map(|map| map.get(&name)).map(|assigned| assigned.value.clone()),
                );
            }
        }
    }
    used
}

/// `name_` for each `ldap:name` and the like, when the name is no path.
fn table_prefixes(value: &str) -> Vec<String> {
    const KINDS: [&str; 5] = ["ldap", "mysql", "pgsql", "sqlite", "memcache"];
    items(value)
        .iter()
        .filter_map(|item| {
            let table = item.strip_prefix("proxy:").unwrap_or(item);
            let (kind, name) = table.split_once(':')?;
            let is_plain = !name.is_empty() && !name.starts_with(['/', '.']);
            (KINDS.contains(&kind) && is_plain).then(|| format!("{name}_"))
        })
        .collect()
}
