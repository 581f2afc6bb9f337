//! What a host still has to do, in words: a story that does not settle says why.

use super::Live;
use crate::network::NodeId;
use crate::world::Fabric;
use postrider_core::machine::Machine;
use postrider_core::manager::Step;
use postrider_core::schedule::Condition;
use postrider_core::time::Instant;

/// Destinations that are named, at most.
const NAMED_MAX: usize = 3;

/// How long it is until then.
fn until(now: Instant, then: Instant) -> String {
    if then < now {
        format!("since {} s", now.since(then).as_secs())
    } else {
        format!("in {} s", then.since(now).as_secs())
    }
}

/// How destinations stand.
fn conditions(now: Instant, all: &[Condition]) -> String {
    let words = all.iter().take(NAMED_MAX).map(|one| match one.rests_until {
        Some(then) => format!("{} is dead and tried again {}", one.name, until(now, then)),
        None if one.busy >= one.width => format!("{} is full, attempts that run: {}", one.name, one.busy),
        None => format!("{} is free for {} attempts, of which {} run", one.name, one.width, one.busy),
    });
    words.collect::<Vec<_>>().join(", ")
}

impl Live {
    /// Why the queue is not empty, told of its first message; `None` when it is.
    pub(super) fn waits(&self, node: NodeId, fabric: &Fabric) -> Option<String> {
        let now = fabric.kernel.now();
        if self.ids.is_none() {
            let again = self.log.next_timeout().map(|at| format!(", the log looks again {}", until(now, at)));
            return Some(format!("recovering; {}{}", fabric.disk_in_words(node), again.unwrap_or_default()));
        }
        let waits = self.manager.first_waits()?;
        let name = waits.id.to_string();
        let step = match waits.step {
            Step::Incoming => "was never tried".to_owned(),
            Step::Deferred { due, parked, resting } => {
                let words =
                    if parked { "is set aside until there is room, and due" } else { "is put off, due" };
                let (due, dead) = (until(now, due), conditions(now, &resting));
                let comma = if dead.is_empty() { "" } else { ", " };
                format!("{words} {due}{comma}{dead}")
            }
            Step::Hold => "is on hold".to_owned(),
            Step::Read => format!("is being read, {}", fabric.disk_in_words(node)),
            Step::Routed(count) => format!("is being routed for {count}"),
            Step::Tried(count) => format!("is under way, attempts that run: {count}"),
            Step::Written => format!("has outcomes that are being committed, {}", fabric.disk_in_words(node)),
            Step::Reported => "has a report that is being made".to_owned(),
            Step::Queued(all) => format!("waits its turn: {}", conditions(now, &all)),
            Step::Idle => "is active, and nothing is under way for it".to_owned(),
        };
        let loaded = waits.recipient.as_ref().map(|(recipient, _)| recipient.external());
        let recipient = loaded.or_else(|| fabric.ledger.who_waits(&name));
        let last = waits.recipient.and_then(|(_, why)| why).map(|why| why.text);
        let last = last.or_else(|| self.put_off.get(&waits.id).cloned());
        let mut words = format!("messages in the queue: {}; the first, {name}", self.manager.messages());
        words += &recipient.map_or_else(String::new, |recipient| format!(" for {recipient}"));
        words = format!("{words}, {step}");
        words += if waits.ordered { ", and an order about it is being written" } else { "" };
        words += &waits.hindrance.map_or_else(String::new, |why| format!(", and {why}"));
        words += &last.map_or_else(String::new, |last| format!("; last: {last}"));
        Some(words)
    }
}
