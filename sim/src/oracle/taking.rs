//! What servers say: what they took, what they refused, and what reports say that they took.

use super::content::{is_intact, token_of};
use super::hops::{Hop, Report};
use super::ledger::{Ledger, Taken, Token};
use crate::network::NodeId;
use crate::network::Socket;
use postrider_core::time::Instant;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// What bits that changed on disks have made of letters. One bit makes one letter another: that one is missed, and what comes is none of the other's.
#[derive(Debug, Clone, Default)]
pub(super) struct Spoilt {
    /// Letters that came changed, or not at all.
    pub(super) letters: BTreeSet<usize>,
    /// Letters for which something came that is not theirs.
    pub(super) mistaken: BTreeSet<usize>,
}

/// What servers say.
impl Ledger {
    /// A server said 5xx about this recipient.
    pub fn refused(&mut self, recipient: &str) {
        if let Some(&(letter, place)) = self.recipients.get(recipient)
            && let Some(fate) = self.letters.get_mut(letter).and_then(|letter| letter.fates.get_mut(place))
        {
            fate.hard = true;
        }
    }

    /// A host begins an attempt over a connection, or opens one for an attempt: whether mail had to be encrypted when the attempt began. A
    /// reload changes nothing for attempts that are under way.
    pub fn speaks(&mut self, line: Socket, encrypts: bool) {
        self.lines.insert(line, encrypts);
    }

    /// Mail has left a host, through TLS or in the clear.
    pub fn came(&mut self, from: Option<NodeId>, line: Option<Socket>, secured: bool) {
        let by_host = || from.and_then(|node| self.hosts.get(&node)).is_some_and(|rules| rules.encrypts);
        let encrypts = line.and_then(|line| self.lines.get(&line).copied()).unwrap_or_else(by_host);
        if encrypts && !secured {
            self.broken("mail came in the clear from a host that has to encrypt".to_owned());
        }
    }

    /// A server took a message.
    pub fn took(&mut self, now: Instant, taken: &Taken<'_>) {
        self.came(taken.from, taken.line, taken.secured);
        // Notices to a postmaster are about sessions, copies of reports about letters that are judged without them; what comes to
        // the sender of notices is what another host reports of one.
        let is_notice =
            |recipient: &&str| ["postmaster", "double-bounce"].iter().any(|who| recipient.starts_with(who));
        if taken.recipients.iter().all(|recipient| is_notice(&recipient.as_ref())) {
            return;
        }
        let head = taken.content.get(..4_000).unwrap_or(taken.content);
        let is_report = memchr::memmem::find(head, b"multipart/report").is_some();
        let name = token_of(taken.content).map(|token| token.0 as usize);
        let Some(letter) = name.filter(|letter| *letter < self.letters.len()) else {
            // Where a bit has changed, the letter is missed in the end, and counts there.
            if self.has_any_rotted() {
                return;
            }
            return self.broken(format!("a message that nobody wrote, {name:?}, for {:?}", taken.recipients));
        };
        let whats = if is_report { self.read_report(letter, taken) } else { self.read_letter(letter, taken) };
        for (what, mark) in whats.into_iter().zip(taken.marks) {
            let mut hop = Hop::new(what, taken.from, None, now);
            hop.taken = true;
            self.hops.begin(mark, if taken.confused { hop.excused() } else { hop });
        }
    }

    /// A letter: one hop for all, or one for each recipient where each has a mark.
    fn read_letter(&mut self, letter: usize, taken: &Taken<'_>) -> Vec<Report> {
        let mut places = Vec::new();
        let mut wrong = Vec::new();
        let Some(known) = self.letters.get_mut(letter) else { return Vec::new() };
        for recipient in taken.recipients {
            let found = known.fates.iter().position(|fate| fate.recipient == *recipient && !fate.declined);
            match found.and_then(|place| Some((place, known.fates.get_mut(place)?))) {
                Some((place, fate)) => {
                    fate.delivered += 1;
                    places.push(place);
                }
                None => {
                    wrong.push(format!("letter {letter} came for {recipient}, for whom it was not accepted"))
                }
            }
        }
        let is_mistaken = !wrong.is_empty();
        if !is_intact(taken.content, known.body(Token(letter as u64))) {
            let octets = taken.content.len();
            wrong.push(format!("letter {letter} came changed or cut ({octets} octets)"));
        }
        self.wrong(letter, wrong, is_mistaken);
        if taken.marks.len() > 1 {
            let one = |place| Report { letter, places: vec![place], report: false };
            return places.into_iter().map(one).collect();
        }
        vec![Report { letter, places, report: false }]
    }

    fn read_report(&mut self, letter: usize, taken: &Taken<'_>) -> Vec<Report> {
        let mut all = Vec::new();
        let text = match std::str::from_utf8(taken.content) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(taken.content),
        };
        for to in taken.recipients {
            // A postmaster's copy is told to him, not to the sender: it settles nothing.
            let counts = !to.starts_with("postmaster");
            let places = if counts { self.read_failures(letter, to, &text) } else { Vec::new() };
            all.push(Report { letter, places, report: true });
        }
        all
    }

    /// A bit has changed on some disk; a relay hands on what had changed before it came.
    fn has_any_rotted(&self) -> bool {
        self.hosts.values().any(|rules| rules.rotted > 0)
    }

    /// Rules that were broken about a letter, unless a bit of it may have changed on a disk, or one that made another of it.
    fn wrong(&mut self, letter: usize, wrong: Vec<String>, is_mistaken: bool) {
        if wrong.is_empty() {
            return;
        }
        if self.has_any_rotted() {
            let Spoilt { letters, mistaken } = &mut self.spoilt;
            _ = if is_mistaken { mistaken } else { letters }.insert(letter);
            return;
        }
        wrong.into_iter().for_each(|text| self.broken(text));
    }

    fn read_failures(&mut self, letter: usize, to: &str, text: &str) -> Vec<usize> {
        let Some(known) = self.letters.get_mut(letter) else { return Vec::new() };
        let mut wrong = Vec::new();
        let mut places = Vec::new();
        if known.sender != to {
            wrong.push(format!("a report on letter {letter} of <{}> went to <{to}>", known.sender));
        }
        let mut recipient = "";
        for line in text.lines() {
            if let Some(address) = line.strip_prefix("Final-Recipient: rfc822; ") {
                recipient = address.trim();
            }
            if line.trim_end() == "Action: failed" {
                match known.fates.iter().position(|fate| fate.recipient == recipient) {
                    Some(place) => places.push(place),
                    None => wrong.push(format!("letter {letter} was reported for {recipient}, a stranger")),
                }
            }
        }
        for place in &places {
            known.fates[*place].failed += 1;
        }
        self.wrong(letter, wrong, true);
        places
    }
}
