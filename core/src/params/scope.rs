//! What each name stands for, before expansion, in one service.
//!
//! Order: what this process knows (read-only names), the service's `-o`, main.cf, what the host says, the table, the rows of
//! transports. A name that none of them has is undefined.

use super::expand::{Expanded, expand, expand_blaming, references};
use super::host::{Host, NO_DOMAIN, mydomain};
use super::main_cf::Assigned;
use super::master_cf::Delivery;
use super::table::{self, Kind, Row, TransportRow};
use super::unsaid::UNSAID;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The names that no configuration may set.
pub(super) const READ_ONLY: [&str; 3] = ["process_id", "process_name", "service_name"];

/// Octets of a value that needs no look at the bounds of expansion.
const PLAIN_MAX: usize = 1_024;

/// A parameter's.
type Name = Cow<'static, str>;

/// The transports of a configuration by name.
pub(super) type Transports = BTreeMap<String, Delivery>;

/// Whether a transport has a parameter: those that run commands have a time limit, and spawn has nothing else.
fn has(delivery: Delivery, row: &TransportRow) -> bool {
    match delivery {
        Delivery::Pipe => true,
        Delivery::Spawn => row.commands_only,
        _ => !row.commands_only,
    }
}

/// The row of a parameter that one of these transports has.
pub(super) fn transport_row(transports: &Transports, name: &str) -> Option<&'static TransportRow> {
    let (transport, row) = table::transport_row(name)?;
    has(*transports.get(transport)?, row).then_some(row)
}

/// The names of one service.
#[derive(Debug, Clone)]
pub(super) struct Scope<'a> {
    main: &'a BTreeMap<String, Assigned>,
    overrides: BTreeMap<&'a str, &'a str>,
    computed: BTreeMap<&'static str, String>,
    transports: &'a Transports,
    /// What stands in the file that myorigin names.
    pub(super) origin: Option<&'a str>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(
        main: &'a BTreeMap<String, Assigned>,
        overrides: BTreeMap<&'a str, &'a str>,
        service_name: &str,
        transports: &'a Transports,
        host: &Host,
    ) -> Self {
        let mut scope = Self { main, overrides, computed: BTreeMap::new(), transports, origin: None };
        scope.compute(service_name, host);
        scope
    }

    /// The host's defaults, one after the other, so that none can refer to itself.
    fn compute(&mut self, service_name: &str, host: &Host) {
        self.computed.insert("process_id", host.process_id.to_string());
        self.computed.insert("process_name", host.process_name.clone());
        self.computed.insert("service_name", service_name.to_owned());
        self.computed.insert("config_directory", host.config_directory.clone());
        self.computed.insert("mydomain", NO_DOMAIN.to_owned());
        self.computed.insert("mynetworks", String::new());
        self.computed.insert("myhostname", host.myhostname(self.assigned("mydomain").is_some()));
        let domain = mydomain(&self.expanded_or_empty("$myhostname"));
        self.computed.insert("mydomain", domain);
        let [style, interfaces, protocols] = ["$mynetworks_style", "$inet_interfaces", "$inet_protocols"]
            .map(|text| self.expanded_or_empty(text));
        self.computed.insert("mynetworks", host.mynetworks(&style, &interfaces, &protocols));
    }

    fn expanded_or_empty(&self, text: &str) -> String {
        self.expand(text).map(|expanded| expanded.text).unwrap_or_default()
    }

    /// What `-o` or main.cf says.
    pub(super) fn assigned(&self, name: &str) -> Option<&str> {
        if READ_ONLY.contains(&name) {
            return None;
        }
        match self.overrides.get(name) {
            Some(value) => Some(value),
            None => self.main.get(name).map(|assigned| assigned.value.as_str()),
        }
    }

    /// What a name stands for.
    pub(super) fn raw(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.assigned(name) {
            Some(path) if name == "myorigin" && path.starts_with('/') => {
                Some(Cow::Borrowed(self.origin.unwrap_or(path)))
            }
            Some(value) => Some(Cow::Borrowed(value)),
            None => self.default(name),
        }
    }

    /// What a name stands for when nobody sets it.
    pub(super) fn default(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(value) = self.computed.get(name) {
            return Some(Cow::Borrowed(value));
        }
        if let Some(row) = table::row(name) {
            return row.expression().map(Cow::Borrowed);
        }
        transport_row(self.transports, name).map(|row| Cow::Owned(format!("${}", row.fallback)))
    }

    pub(super) fn expand(&self, text: &str) -> Result<Expanded, String> {
        expand(text, &|name| self.raw(name))
    }

    /// The same; see [`expand_blaming`].
    pub(super) fn expand_blaming(&self, text: &str) -> Result<Expanded, (String, Option<String>)> {
        expand_blaming(text, &|name| self.raw(name))
    }

    /// What a text comes to that is nothing but the name of another, as most defaults are that refer to one, where that one refers to
    /// none. [`expand`] says the same of it, and of all others.
    pub(super) fn other_value(&self, text: &str) -> Option<Cow<'_, str>> {
        let name = text.strip_prefix('$')?;
        let is_name = !name.is_empty() && name.bytes().all(|c| c == b'_' || c.is_ascii_alphanumeric());
        let value = if is_name { self.raw(name)? } else { return None };
        (!value.contains('$') && value.len() <= PLAIN_MAX).then_some(value)
    }

    /// The name that somebody has set, from which an unset one has its value through the defaults of the table.
    pub(super) fn source(&self, name: &str) -> Option<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![name.to_owned()];
        while let Some(name) = open.pop() {
            if self.assigned(&name).is_some() {
                return Some(name);
            }
            if seen.insert(name.clone())
                && let Some(default) = self.default(&name)
            {
                open.extend(references(&default));
            }
        }
        None
    }

    /// Every name that has a value: the table's, the transports', and those that main.cf or `-o` set.
    pub(super) fn names(&self) -> Vec<String> {
        let transports = self.transports.iter().flat_map(|(transport, delivery)| {
            let rows = table::TRANSPORT.iter().filter(|row| has(*delivery, row));
            rows.map(move |row| format!("{transport}_{}", row.suffix))
        });
        let mut names: Vec<String> = table::all().map(|row| row.name.to_owned()).chain(transports).collect();
        names.extend(self.main.keys().cloned());
        names.extend(self.overrides.keys().map(|name| (*name).to_owned()));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// True where neither the files nor the host say anything of a name.
    fn is_unsaid(&self, name: &str) -> bool {
        self.assigned(name).is_none() && !self.computed.contains_key(name)
    }

    /// Of which names in [`UNSAID`] the files or the host say something.
    fn said(&self) -> Vec<bool> {
        let mut said = vec![false; UNSAID.len()];
        let assigned = self.main.keys().map(String::as_str).chain(self.overrides.keys().copied());
        for name in assigned.chain(self.computed.keys().copied()) {
            if let Ok(place) = UNSAID.binary_search_by_key(&name, |unsaid| unsaid.row.name) {
                said[place] = true;
            }
        }
        said
    }

    /// [`Scope::names`] in two: those with a plain default, with it, and those whose values must be found.
    pub(super) fn sorted_out(&self) -> (Vec<(Name, &'static str)>, Vec<Name>) {
        let (mut plain, mut rest) = (Vec::new(), Vec::new());
        plain.reserve(UNSAID.len());
        let said = self.said();
        for (unsaid, is_said) in UNSAID.iter().zip(&said) {
            let name = Cow::Borrowed(unsaid.row.name);
            match unsaid.value(&said).filter(|_| !is_said) {
                Some(default) => plain.push((name, default)),
                None => rest.push(name),
            }
        }
        for row in table::TRANSPORT {
            let fallback =
                table::row(row.fallback).filter(|row| self.is_unsaid(row.name)).and_then(Row::plain);
            for (transport, _) in self.transports.iter().filter(|(_, delivery)| has(**delivery, row)) {
                let name = format!("{transport}_{}", row.suffix);
                // The name of one transport and a suffix may be that of another transport and a longer suffix.
                let own = || {
                    let found = || table::transport_row(&name);
                    let longest = !transport.contains('_') || found().is_some_and(|(_, found)| found == row);
                    longest && table::row(&name).is_none()
                };
                match fallback.filter(|_| self.assigned(&name).is_none() && own()) {
                    Some(default) => plain.push((Cow::Owned(name), default)),
                    None => rest.push(Cow::Owned(name)),
                }
            }
        }
        let set = self.main.keys().map(String::as_str).chain(self.overrides.keys().copied());
        rest.extend(set.map(|name| Cow::Owned(name.to_owned())));
        rest.sort_unstable();
        rest.dedup();
        (plain, rest)
    }

    /// True for the parameters of a discard transport: they hold, but postconf(1) does not list them.
    pub(super) fn is_unlisted(&self, name: &str) -> bool {
        table::row(name).is_none()
            && table::transport_row(name)
                .is_some_and(|(transport, _)| self.transports.get(transport) == Some(&Delivery::Discard))
    }

    /// How the value of a name is checked and read.
    pub(super) fn kind(&self, name: &str) -> Kind {
        kind_of(name)
    }
}

/// The kind of a name of the table or of a transport; text for every other.
pub(super) fn kind_of(name: &str) -> Kind {
    let row: Option<&Row> = table::row(name)
        .or_else(|| table::transport_row(name).and_then(|(_, transport)| table::row(transport.fallback)));
    row.map_or(Kind::Text, |row| row.kind)
}
