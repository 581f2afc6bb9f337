//! What a session counts: commands for the disconnect line, errors and junk for the limits.

use crate::wire::command::Verb;
use crate::wire::put_decimal;

/// Commands by verb, and the errors that the limits look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Tally {
    /// Commands obeyed, and those of them that succeeded.
    commands: [(u32, u32); Verb::ALL.len()],
    /// Errors since the last message was taken.
    pub(crate) errors: u64,
    /// NOOP, RSET and the like since the last message was taken.
    pub(crate) junk: u64,
}

impl Tally {
    /// A command came.
    pub(crate) fn came(&mut self, verb: Verb) {
        let count = &mut self.commands[verb as usize].0;
        *count = count.saturating_add(1);
    }

    /// It succeeded.
    pub(crate) fn succeeded(&mut self, verb: Verb) {
        let count = &mut self.commands[verb as usize].1;
        *count = count.saturating_add(1);
    }

    /// It had succeeded, as it seemed when it was answered.
    pub(crate) fn failed(&mut self, verb: Verb) {
        let count = &mut self.commands[verb as usize].1;
        *count = count.saturating_sub(1);
    }

    /// A message was taken: the client has earned a new start.
    pub(crate) fn forgive(&mut self) {
        self.errors = 0;
        self.junk = 0;
    }

    /// `ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4`.
    pub(crate) fn line(&self) -> String {
        let mut line = String::with_capacity(96);
        let (mut all, mut good) = (0u64, 0u64);
        for (verb, &(came, succeeded)) in Verb::ALL.iter().zip(&self.commands) {
            all += u64::from(came);
            good += u64::from(succeeded);
            if came > 0 {
                put(&mut line, verb.word(), u64::from(succeeded), u64::from(came));
                line.push(' ');
            }
        }
        put(&mut line, "commands", good, all);
        line
    }
}

fn put(line: &mut String, word: &str, good: u64, all: u64) {
    line.extend(word.chars().map(|letter| letter.to_ascii_lowercase()));
    line.push('=');
    // Postfix says 0/0 of a session without a command.
    if good != all || all == 0 {
        put_decimal(line, good);
        line.push('/');
    }
    put_decimal(line, all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_postfix_s_form() {
        let mut tally = Tally::default();
        for (verb, good) in [(Verb::Ehlo, true), (Verb::Mail, true), (Verb::Rcpt, false), (Verb::Quit, true)]
        {
            tally.came(verb);
            if good {
                tally.succeeded(verb);
            }
        }
        assert_eq!(tally.line(), "ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4");
        tally.failed(Verb::Mail);
        assert_eq!(tally.line(), "ehlo=1 mail=0/1 rcpt=0/1 quit=1 commands=2/4");
        assert_eq!(Tally::default().line(), "commands=0/0");
    }

    #[test]
    fn the_order_of_verbs_is_that_of_their_numbers() {
        assert!(Verb::ALL.iter().enumerate().all(|(place, verb)| *verb as usize == place));
    }
}
