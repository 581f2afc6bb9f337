//! What became of each letter, in brief and for people.

use super::ledger::{Fate, Ledger, Letter, Verdict};

impl Verdict {
    /// What the client was told, for people.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Promised => "promised",
            Self::Refused => "not taken",
            Self::Unknown => "no answer",
        }
    }
}

impl Ledger {
    /// One line for each letter: from whom, what the client was told, and what became of each recipient.
    pub fn accounts(&self) -> impl Iterator<Item = String> {
        self.letters.iter().enumerate().map(|(number, letter)| {
            let said = letter.verdict.in_words();
            let fates =
                letter.fates.iter().map(|fate| format!("{} {}", fate.recipient, self.end_of(letter, fate)));
            let fates = fates.collect::<Vec<_>>().join(", ");
            format!("letter {number} from <{}>, {said}: {fates}", letter.sender)
        })
    }

    fn end_of(&self, letter: &Letter, fate: &Fate) -> String {
        let times = |count| if count > 1 { format!(" {count} times") } else { String::new() };
        let mut ends = Vec::new();
        if fate.delivered > 0 {
            ends.push(format!("delivered{}", times(fate.delivered)));
        }
        if fate.failed > 0 {
            ends.push(format!("reported{}", times(fate.failed)));
        }
        if fate.deleted {
            ends.push("deleted by an operator".to_owned());
        }
        if ends.is_empty() {
            ends.push(match fate.at {
                _ if fate.declined => "refused".to_owned(),
                _ if letter.is_settled(fate) => "failed, and nobody is to be told".to_owned(),
                Some(node) if self.hosts.get(&node).is_some_and(|rules| rules.off) => {
                    format!("lies on machine {}, which is off", node.0)
                }
                Some(node) => format!("waits on machine {}", node.0),
                None if letter.verdict == Verdict::Promised => "nowhere".to_owned(),
                None => "left to the client".to_owned(),
            });
        }
        ends.join(" and ")
    }

    /// The first recipient of the message that a host names so for whom nothing has come to an end.
    #[must_use]
    pub fn who_waits(&self, mark: &str) -> Option<String> {
        let what = &self.hops.find(mark)?.what;
        let letter = self.letters.get(what.letter)?;
        if what.report {
            return Some(format!("a report on letter {} to <{}>", what.letter, letter.sender));
        }
        let fates = what.places.iter().filter_map(|place| letter.fates.get(*place));
        let waits = fates.clone().find(|fate| !letter.is_settled(fate)).or_else(|| fates.clone().next());
        waits.map(|fate| fate.recipient.clone())
    }
}
