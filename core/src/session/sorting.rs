//! What a command word is, by `smtpd_noop_commands` and `smtpd_forbidden_commands`, before it is obeyed.
//!
//! Most lists have their answer here. Only where a table with a file is among their items a line waits for the joint, in
//! [`Stage::Sorting`]; those behind it stay in the backlog.

use super::stage::Stage;
use super::{Output, Params, Refused, Session, replies};
use crate::ask::{Facts, Pause};
use crate::time::Now;
use crate::wire::command::{self, Verb};

/// What a command word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sort {
    /// Nobody has anything against it.
    Usual,
    /// It is answered with 250, and does nothing.
    Idle,
    /// It ends the session.
    Foreign,
}

impl Params {
    /// What a command word is.
    ///
    /// # Errors
    /// A question for a table, or one that can not answer.
    pub fn sort_of(&self, word: &str, facts: &Facts) -> Result<Sort, Pause> {
        Ok(if self.noop_commands.contains(word, facts)? {
            Sort::Idle
        } else if self.forbidden_commands.contains(word, facts)? {
            Sort::Foreign
        } else {
            Sort::Usual
        })
    }
}

impl Session {
    /// The command word that is being looked up.
    #[must_use]
    pub fn word(&self) -> Option<&str> {
        match &self.stage {
            Stage::Sorting(text) => Some(command::split(text).0),
            _ => None,
        }
    }

    /// Looks up the word of a line, and obeys it when that is done.
    pub(super) fn sort(&mut self, now: Now, text: String) {
        match self.params.sort_of(command::split(&text).0, &Facts::new()) {
            Ok(sort) => self.obey_as(now, &text, sort),
            Err(_) => {
                self.stage = Stage::Sorting(text);
                self.ask(Output::Sort);
            }
        }
    }

    /// The joint has looked it up.
    pub(super) fn sorted(&mut self, now: Now, sort: Result<Sort, Refused>) {
        let Stage::Sorting(text) = &mut self.stage else { return };
        let text = std::mem::take(text);
        self.stage = Stage::Command;
        match sort {
            Ok(sort) => self.obey_as(now, &text, sort),
            // Who wants to leave may, whatever becomes of tables.
            Err(_) if self.verb == Verb::Quit => self.obey_as(now, &text, Sort::Usual),
            // The octets behind it are no commands.
            Err(refused) if self.verb == Verb::Bdat => {
                self.refuse_chunk(now, command::split(&text).1, refused.reply);
            }
            Err(refused) => {
                self.note_trouble(refused.class);
                self.deny(now, &refused.reply);
            }
        }
    }

    fn obey_as(&mut self, now: Now, text: &str, sort: Sort) {
        let (word, arguments) = command::split(text);
        if sort == Sort::Idle {
            self.say(now, &replies::OK.reply(), true);
            return self.count_junk();
        }
        let is_header = self.verb == Verb::Unknown && word.ends_with(':') && word.len() > 1;
        if is_header || sort == Sort::Foreign {
            let shown: String = text.chars().take(100).collect();
            self.warn(format!("non-SMTP command from {}: {shown}", self.client()));
            self.say(now, &replies::NOT_SMTP.reply(), false);
            self.closing = true;
            return;
        }
        if let Some(refusal) = self.not_now() {
            return self.say(now, &refusal, false);
        }
        if self.must_be_last() && !self.backlog.waiting().is_empty() {
            return self.out_of_step(now);
        }
        self.dispatch(now, arguments);
        if matches!(self.verb, Verb::Helo | Verb::Ehlo | Verb::Rset | Verb::Noop | Verb::Vrfy | Verb::Etrn) {
            self.count_junk();
        }
    }
}
