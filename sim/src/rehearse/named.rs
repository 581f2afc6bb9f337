//! Which parameters `[set]` and a sweep may name: those that do something, in Postrider and in a rehearsal.
//!
//! A name that changes nothing would give rows that are equal, and no word of why.

use super::setup::{Directory, WORLD};
use super::study::Origin;
use postrider_core::params::table::Works;
use std::collections::BTreeMap;

/// Parameters of main.cf that nothing in a rehearsal reads.
const UNREAD: [(&str, &str); 2] = [
    ("spool_segment_size", "the simulated disk has segments of one size"),
    ("spool_reserve", "the simulated disk has segments of one size"),
];

/// Why some of these names change nothing, each with where it stands.
///
/// # Errors
/// One line for each such name.
pub(super) fn judge(
    directory: &Directory,
    set: &BTreeMap<String, toml::Value>,
    origin: &Origin<'_>,
) -> Result<(), String> {
    let unused = directory.unused(set);
    let reason = |name: &str| {
        if let Some((_, _, why)) = WORLD.iter().find(|(world, ..)| *world == name) {
            return Some(format!("{name} plays no role in a rehearsal: {why}"));
        }
        if let Some((_, why)) = UNREAD.iter().find(|(unread, _)| *unread == name) {
            return Some(format!("{name} plays no role in a rehearsal: {why}"));
        }
        match directory.works(name) {
            Some(Works::NotYet) => Some(format!("{name} does not work in Postrider yet")),
            Some(Works::Moot) => {
                Some(format!("{name} has no effect: it tunes a part of Postfix that does not exist here"))
            }
            Some(Works::KnownElsewhere) => Some(format!("{name} has no effect: the daemon never reads it")),
            Some(Works::Works | Works::Ours) => None,
            None => unused.get(name).map(|remedy| format!("there is no parameter {name}; {remedy}")),
        }
    };
    let lines: Vec<String> =
        set.keys().filter_map(|name| Some(format!("{}: {}", origin.place(name), reason(name)?))).collect();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_core::params::table::all;

    #[test]
    fn what_a_rehearsal_does_not_read_is_a_parameter_of_the_table() {
        let names = WORLD.iter().map(|(name, ..)| *name).chain(UNREAD.iter().map(|(name, _)| *name));
        for name in names {
            assert!(all().any(|row| row.name == name), "{name}");
        }
    }
}
