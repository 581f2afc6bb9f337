//! Domains that are listed as two things at once: mail goes by the first, and the other list is never asked.

use crate::params::{Config, Problem};
use std::collections::BTreeSet;

/// Of each pair the first decides. What is relayed for may be listed as local: old defaults do so.
const PAIRS: [(&str, &str); 5] = [
    ("mydestination", "virtual_alias_domains"),
    ("mydestination", "virtual_mailbox_domains"),
    ("virtual_alias_domains", "virtual_mailbox_domains"),
    ("virtual_alias_domains", "relay_domains"),
    ("virtual_mailbox_domains", "relay_domains"),
];

/// Warns of each domain that is written in both lists of a pair; what tables and files say is not known here.
#[must_use]
pub fn judge(config: &Config) -> Vec<Problem> {
    let settings = config.settings(None);
    let written = |name: &str| -> BTreeSet<String> {
        let items = settings.list(name).into_iter().map(|item| item.to_ascii_lowercase());
        items.filter(|item| !item.contains(['/', ':', '!'])).collect()
    };
    let mut problems = Vec::new();
    for (first, second) in PAIRS {
        for domain in written(first).intersection(&written(second)) {
            let text = format!("{domain} is also in {first}, and mail for it goes by that");
            problems.push(config.doubt(second, &text, "list it in one of them only"));
        }
    }
    problems
}
