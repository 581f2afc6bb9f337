//! Who is responsible for each recipient: a second, tiny, obviously right model of mail.
//!
//! Clients write down what they handed over and what the server promised; servers write down what they took and what reports say.
//! At the end every recipient that was promised is delivered or reported, nothing was delivered that nobody wrote, nothing changed on
//! its way, and nothing came twice without a cause: a reply that was lost, a crash, a connection that was cut.
//!
//! Knows nothing of how any of it works.

use std::collections::BTreeMap;
use std::fmt;

/// Names a message: it travels in its `Message-ID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What the client was told of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing, or the connection was lost before the reply: both ends are allowed.
    Unknown,
    /// 250: the server answers for it.
    Promised,
    /// Refused: the client answers for it.
    Refused,
}

#[derive(Debug, Clone, Default)]
struct Fate {
    delivered: u32,
    failed: u32,
    lost_replies: u32,
}

#[derive(Debug, Clone)]
struct Letter {
    sender: String,
    verdict: Verdict,
    fates: BTreeMap<String, Fate>,
    size: usize,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ledger.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    letters: BTreeMap<Token, Letter>,
    next: u64,
    crashes: u32,
    disturbances: u32,
    disk_failures: u32,
    /// Deliveries beyond the first for a recipient, all with a cause.
    pub duplicates: u32,
    /// What went wrong so far.
    pub violations: Vec<Violation>,
}

impl Ledger {
    /// A client is about to hand a message over.
    pub fn write(&mut self, sender: &str, recipients: &[String], size: usize) -> Token {
        let token = Token(self.next);
        self.next += 1;
        let fates = recipients.iter().map(|recipient| (recipient.clone(), Fate::default())).collect();
        let letter = Letter { sender: sender.to_owned(), verdict: Verdict::Unknown, fates, size };
        self.letters.insert(token, letter);
        token
    }

    /// The server did not take this recipient: the client answers for it.
    pub fn declined(&mut self, token: Token, recipient: &str) {
        if let Some(letter) = self.letters.get_mut(&token) {
            letter.fates.remove(recipient);
        }
    }

    /// The server replied to the end of the data, or (unknown) did not.
    pub fn replied(&mut self, token: Token, verdict: Verdict) {
        if let Some(letter) = self.letters.get_mut(&token) {
            letter.verdict = verdict;
        }
    }

    /// A machine crashed.
    pub fn crashed(&mut self) {
        self.crashes += 1;
    }

    /// Crashes so far.
    #[must_use]
    pub const fn crashes(&self) -> u32 {
        self.crashes
    }

    /// Connections were cut or links silenced.
    pub fn disturbed(&mut self) {
        self.disturbances += 1;
    }

    /// A disk began to fail.
    pub fn disk_failed(&mut self) {
        self.disk_failures += 1;
    }

    /// A server took a message for these recipients. `reply_lost`: it will not tell, or told too late.
    pub fn delivered(&mut self, content: &[u8], recipients: &[String], reply_lost: bool) {
        let Some(token) = token_of(content) else {
            return self.broken(format!("a message that nobody wrote, for {recipients:?}"));
        };
        let Some(letter) = self.letters.get_mut(&token) else {
            return self.broken(format!("a message of unknown name {token:?}"));
        };
        let whole = body(token, letter.size);
        let intact = content.ends_with(&whole) && header_ends_before(content, whole.len());
        let mut wrong = Vec::new();
        for recipient in recipients {
            match letter.fates.get_mut(recipient) {
                Some(fate) => {
                    fate.delivered += 1;
                    fate.lost_replies += u32::from(reply_lost);
                }
                None => wrong.push(recipient.clone()),
            }
        }
        if !intact {
            self.broken(format!("{token:?} came changed or cut ({} octets)", content.len()));
        }
        for recipient in wrong {
            self.broken(format!("{token:?} came for {recipient}, for whom it was not accepted"));
        }
    }

    /// A server took a report to the sender of a message. `reply_lost`: it will not tell.
    pub fn reported(&mut self, to: &str, content: &[u8], reply_lost: bool) {
        let text = String::from_utf8_lossy(content);
        let Some(token) = token_of(content) else {
            return self.broken(format!("a report to {to} that names no message"));
        };
        let Some(letter) = self.letters.get_mut(&token) else {
            return self.broken(format!("a report on {token:?}, which nobody wrote"));
        };
        let mut recipient = String::new();
        let mut wrong = Vec::new();
        if letter.sender != to {
            wrong.push(format!("a report on {token:?} of {} went to {to}", letter.sender));
        }
        for line in text.lines() {
            if let Some(address) = line.strip_prefix("Final-Recipient: rfc822; ") {
                address.trim().clone_into(&mut recipient);
            }
            if line.trim_end() == "Action: failed" {
                match letter.fates.get_mut(&recipient) {
                    Some(fate) => {
                        fate.failed += 1;
                        fate.lost_replies += u32::from(reply_lost);
                    }
                    None => wrong.push(format!("{token:?} was reported for {recipient}, a stranger")),
                }
            }
        }
        for text in wrong {
            self.broken(text);
        }
    }

    /// A rule was broken.
    pub fn broken(&mut self, what: String) {
        self.violations.push(Violation(what));
    }

    /// Messages handed over, and those that were promised.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let promised = self.letters.values().filter(|letter| letter.verdict == Verdict::Promised).count();
        (self.letters.len(), promised)
    }

    /// The first promised recipient that has neither been delivered nor reported, in words.
    #[must_use]
    pub fn open(&self) -> Option<String> {
        self.letters.iter().find_map(|(token, letter)| {
            let promised = letter.verdict == Verdict::Promised;
            letter
                .fates
                .iter()
                .find(|(_, fate)| promised && !letter.is_settled(fate))
                .map(|(recipient, _)| format!("{token:?} from <{}> for {recipient}", letter.sender))
        })
    }

    /// Judges the end of the world: everything has settled or should have.
    pub fn close(&mut self) {
        let mut wrong = Vec::new();
        for (token, letter) in &self.letters {
            for (recipient, fate) in &letter.fates {
                let name = format!("{token:?} for {recipient}");
                self.duplicates += fate.delivered.saturating_sub(1);
                let causes = self.crashes + self.disturbances;
                // A sync that failed may have kept the record: the refusal was true when it was said.
                let may_revive = self.crashes + self.disk_failures > 0;
                wrong.extend(letter.judge(fate, causes, may_revive).map(|what| format!("{name} {what}")));
            }
        }
        self.violations.extend(wrong.into_iter().map(Violation));
    }
}

impl Letter {
    /// A failure of a message without a sender is told to nobody, so its end can not be seen from outside: recipients of such messages are
    /// always good ones (see peers).
    fn is_settled(&self, fate: &Fate) -> bool {
        fate.delivered + fate.failed > 0
    }

    /// What is wrong with the end of a recipient.
    fn judge(&self, fate: &Fate, causes: u32, may_revive: bool) -> Option<String> {
        let Fate { delivered, failed, lost_replies } = *fate;
        let causes = causes + lost_replies;
        if self.verdict == Verdict::Promised && !self.is_settled(fate) {
            return Some("is LOST: promised, and neither delivered nor reported".to_owned());
        }
        if self.verdict == Verdict::Refused && delivered + failed > 0 && !may_revive {
            return Some("was refused, and yet delivered or reported".to_owned());
        }
        if delivered.saturating_sub(1) > causes {
            return Some(format!("came {delivered} times without a cause"));
        }
        if delivered > 0 && failed > 0 && causes == 0 {
            return Some("was delivered and reported as failed".to_owned());
        }
        (failed > 1 && causes == 0).then(|| format!("was reported {failed} times"))
    }
}

/// The octets of a message as a client sends it, before dot-stuffing.
#[must_use]
pub fn message(token: Token, sender: &str, recipients: &[String], size: usize) -> Vec<u8> {
    let mut content = format!(
        "From: <{sender}>\r\nTo: {}\r\nSubject: letter {}\r\nMessage-ID: <t{}@sim>\r\n\
         Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n",
        recipients.first().map_or("undisclosed-recipients:;", String::as_str),
        token.0,
        token.0
    )
    .into_bytes();
    content.extend(body(token, size));
    content
}

/// The empty line and the body that belong to a token: lines of all lengths, with dots at their beginning.
#[must_use]
pub fn body(token: Token, size: usize) -> Vec<u8> {
    let mut octets = b"\r\n".to_vec();
    let mut state = token.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    while octets.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = (state >> 8) % 78;
        if state.is_multiple_of(5) {
            octets.push(b'.');
        }
        octets.extend((0..length).map(|place| b'a' + ((state >> (place % 32)) % 26) as u8));
        octets.extend(b"\r\n");
    }
    octets.extend(format!("end of letter {}\r\n", token.0).into_bytes());
    octets
}

fn token_of(content: &[u8]) -> Option<Token> {
    const MARK: &[u8] = b"Message-ID: <t";
    // The last one: a report has its own in front, and not of this form.
    let text = content.windows(MARK.len()).enumerate().rfind(|(_, window)| *window == MARK)?;
    let digits: String = content[text.0 + MARK.len()..]
        .iter()
        .take_while(|o| o.is_ascii_digit())
        .map(|&o| char::from(o))
        .collect();
    digits.parse().ok().map(Token)
}

/// The header, which relays may add to, ends where the body of the writer begins.
fn header_ends_before(content: &[u8], body: usize) -> bool {
    let header = &content[..content.len() - body];
    header.ends_with(b"\r\n") && !header.windows(4).any(|window| window == b"\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promised(ledger: &mut Ledger) -> (Token, Vec<String>) {
        let recipients = vec!["a@x.sim".to_owned(), "b@x.sim".to_owned()];
        let token = ledger.write("s@y.sim", &recipients, 500);
        ledger.replied(token, Verdict::Promised);
        (token, recipients)
    }

    fn relayed(token: Token, recipients: &[String]) -> Vec<u8> {
        let mut content = b"Received: from here\r\n\tby there\r\n".to_vec();
        content.extend(message(token, "s@y.sim", recipients, 500));
        content
    }

    #[test]
    fn a_promise_that_is_kept_is_no_violation() {
        let mut ledger = Ledger::default();
        let (token, recipients) = promised(&mut ledger);
        ledger.delivered(&relayed(token, &recipients), &recipients, false);
        ledger.close();
        assert_eq!(ledger.violations, []);
    }

    #[test]
    fn a_report_settles_a_recipient() {
        let mut ledger = Ledger::default();
        let (token, recipients) = promised(&mut ledger);
        ledger.delivered(&relayed(token, &recipients), &recipients[..1], false);
        let mut report =
            b"Message-ID: <1@host>\r\n\r\nFinal-Recipient: rfc822; b@x.sim\r\nAction: failed\r\n\r\n"
                .to_vec();
        report.extend(relayed(token, &recipients));
        ledger.reported("s@y.sim", &report, false);
        assert_eq!(ledger.open(), None);
        ledger.close();
        assert_eq!(ledger.violations, []);
    }

    #[test]
    fn losses_changes_and_duplicates_are_seen() {
        let mut ledger = Ledger::default();
        let (token, recipients) = promised(&mut ledger);
        let mut content = relayed(token, &recipients);
        ledger.delivered(&content, &recipients[..1], false);
        ledger.delivered(&content, &recipients[..1], false);
        let last = content.len() - 3;
        content[last] ^= 1;
        ledger.delivered(&content, &recipients[..1], true);
        ledger.close();
        let texts: Vec<String> = ledger.violations.iter().map(ToString::to_string).collect();
        assert!(texts[0].contains("changed"), "{texts:?}");
        assert!(texts[1].contains("3 times without a cause"), "{texts:?}");
        assert!(texts[2].contains("LOST"), "{texts:?}");
    }
}
