//! The judgement at the end: has every recipient come to exactly one end, and nothing come twice without a cause?

use super::ledger::{Fate, Ledger, Letter, Verdict, Violation};
use std::collections::BTreeSet;

/// The judgement.
impl Ledger {
    /// Messages handed over, and those that were promised.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let promised = self.letters.iter().filter(|letter| letter.verdict == Verdict::Promised).count();
        (self.letters.len(), promised)
    }

    /// Messages that hosts have taken into their queues.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.hops.all.iter().filter(|hop| hop.to.is_some() && hop.taken).count()
    }

    /// Judges the end of the world: everything has settled or should have.
    pub fn close(&mut self) {
        let excuses = self.hops.excuses();
        let mut revived = BTreeSet::new();
        for hop in self.hops.all.iter().filter(|hop| hop.revived && hop.from.is_none()) {
            revived.insert(hop.what.letter);
        }
        let rotted: u32 = self.hosts.values().map(|rules| rules.rotted).sum();
        let mut wrong = Vec::new();
        for (number, letter) in self.letters.iter().enumerate() {
            for (place, fate) in letter.fates.iter().enumerate().filter(|(_, fate)| !fate.declined) {
                self.duplicates += fate.delivered.saturating_sub(1);
                let rules = fate.at.and_then(|node| self.hosts.get(&node)).cloned().unwrap_or_default();
                let excuse = excuses.get(&(number, place)).copied().unwrap_or(0);
                let judged = letter.judge(fate, excuse + rotted, revived.contains(&number));
                let Some(text) = judged else { continue };
                match fate.at.filter(|_| !letter.is_settled(fate)) {
                    Some(_) if rules.off => {}
                    // On whatever disk: a relay hands on what had changed before it came, so the name of the letter may be gone.
                    Some(_) if rotted > 0 => _ = self.spoilt.letters.insert(number),
                    _ => wrong.push(format!("letter {number} for {} {text}", fate.recipient)),
                }
            }
        }
        let (spoilt, mistaken) = (self.spoilt.letters.len(), self.spoilt.mistaken.len());
        if spoilt > rotted as usize {
            wrong.push(format!("{rotted} bits changed on disks, and {spoilt} letters"));
        }
        if mistaken > rotted as usize {
            wrong.push(format!(
                "{rotted} bits changed on disks, and something came for {mistaken} letters that is not theirs"
            ));
        }
        self.violations.extend(wrong.into_iter().map(Violation));
    }
}

impl Letter {
    pub(super) fn is_settled(&self, fate: &Fate) -> bool {
        let silent = self.sender.is_empty() && (fate.hard || fate.expired);
        fate.delivered + fate.failed > 0 || fate.report_ended || fate.deleted || silent
    }

    /// What is wrong with the end of a recipient.
    fn judge(&self, fate: &Fate, excuses: u32, revived: bool) -> Option<String> {
        let Fate { delivered, failed, .. } = *fate;
        if self.verdict == Verdict::Promised && !self.is_settled(fate) {
            return Some("is LOST: promised, and neither delivered nor reported".to_owned());
        }
        if self.verdict == Verdict::Refused && delivered + failed > 0 && !revived {
            return Some("was refused, and yet delivered or reported".to_owned());
        }
        if failed > 0 && !fate.hard && !fate.expired {
            return Some("was reported as failed, and nobody has refused it".to_owned());
        }
        if delivered + failed > 1 + excuses {
            return Some(format!(
                "came {delivered} times and was reported {failed} times, with {excuses} causes for a second copy"
            ));
        }
        None
    }
}
