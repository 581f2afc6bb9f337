//! What name servers said, to whom, and how long it holds.

use crate::network::NodeId;
use postrider_core::ask::{DnsAnswer, DnsRecord, RecordKind};
use postrider_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// How long a question waits for its answer, whatever is sent again: later ones are not heard any more (resolv.conf(5), `timeout`).
const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// Where forgers lead.
pub(crate) const FORGED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);

/// What was said.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    said: BTreeMap<(NodeId, String, RecordKind), Instant>,
}

impl Names {
    /// A name server answered, and its answer holds until then.
    pub(super) fn said(&mut self, to: NodeId, name: &str, kind: RecordKind, until: Instant) {
        let known = self.said.entry((to, name.to_owned(), kind)).or_default();
        *known = until.after(ON_ITS_WAY).max(*known);
    }

    /// What is wrong with an answer that somebody goes by.
    pub(super) fn judge(
        &self,
        now: Instant,
        node: NodeId,
        name: &str,
        kind: RecordKind,
        answer: &DnsAnswer,
    ) -> Option<String> {
        let records = &answer.as_ref().ok()?.records;
        if records.contains(&DnsRecord::A(FORGED)) {
            return Some(format!("a forger was believed about {name}"));
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match self.said.get(&(node, name.clone(), kind)) {
            None => Some(format!("{name} was answered, and no name server said so")),
            Some(until) if *until < now => {
                let late = now.since(*until).as_secs();
                Some(format!("{name} was used {late} s past its time to live"))
            }
            Some(_) => None,
        }
    }
}
