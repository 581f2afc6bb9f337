//! Lists of command words: `smtpd_noop_commands`, `smtpd_forbidden_commands`.
//!
//! Match lists like others: words in any case, tables, files of such items, and `!`. What is written into the list itself
//! (`regexp:{{/^[^A-Z]/ Bogus}}`, `inline:{…}`) is compiled with it, so that a command waits for nobody unless a table has a file.

use crate::ask::{Answer, Facts, Pause, Question, TableFailure, TableName};
use crate::tables::{Form, MatchList, Source, Table, TableSpec};
use crate::wire::command::Verb;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Postfix's `smtpd_forbidden_commands`.
const FORBIDDEN: &str = "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}";
/// Nearly every configuration has it: its pattern is compiled once.
static FORBIDDEN_COMPILED: LazyLock<Words> =
    LazyLock::new(|| Words::compile(FORBIDDEN).expect("a test reads the same list"));

/// A list, compiled.
#[derive(Debug, Clone)]
pub struct Words {
    list: MatchList,
    /// Tables that are written into the list.
    own: BTreeMap<TableName, Table>,
    /// Commands that are not in the list, whatever a table may say: nearly every line begins with one of them.
    passed: Vec<&'static str>,
}

impl Default for Words {
    fn default() -> Self {
        Self::new(MatchList::empty(Form::Text), BTreeMap::new())
    }
}

impl Words {
    fn new(list: MatchList, own: BTreeMap<TableName, Table>) -> Self {
        let mut words = Self { list, own, passed: Vec::new() };
        let passes = |word: &&str| words.contains(word, &Facts::new()) == Ok(false);
        let passed = Verb::ALL.iter().map(|verb| verb.word()).filter(passes).collect();
        words.passed = passed;
        words
    }

    /// What browsers say, and what is no word: `smtpd_forbidden_commands` unless it is set.
    #[must_use]
    pub fn forbidden() -> Self {
        FORBIDDEN_COMPILED.clone()
    }

    /// Reads a list.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == FORBIDDEN { Ok(Self::forbidden()) } else { Self::compile(text) }
    }

    fn compile(text: &str) -> Result<Self, String> {
        let list = MatchList::parse(text, Form::Text, false)?;
        let mut own = BTreeMap::new();
        for name in list.tables() {
            // The driver has the others. It also says what is no table at all.
            let Ok(TableSpec { source: Source::Ready(table, problems), .. }) =
                TableSpec::parse(&name.0, false)
            else {
                continue;
            };
            // Every command would be told to come again later.
            if let Some(fatal) = problems.iter().find(|problem| problem.fatal) {
                return Err(format!("{}: {}; {}", name.0, fatal.what, fatal.remedy));
            }
            own.insert(name.clone(), *table);
        }
        Ok(Self::new(list, own))
    }

    /// Whether the first item that matches includes the word.
    ///
    /// # Errors
    /// A question for a table, or one that can not answer.
    pub fn contains(&self, word: &str, facts: &Facts) -> Result<bool, Pause> {
        if self.passed.contains(&word) {
            return Ok(false);
        }
        if self.own.is_empty() {
            return self.list.matches(word, facts);
        }
        let mut facts = facts.clone();
        // As the list will ask for it.
        let key = word.to_lowercase();
        for (table, engine) in &self.own {
            let fail = |why| TableFailure { table: table.clone(), why };
            let question = Question::Lookup { table: table.clone(), key: key.clone() };
            // A pattern with the flag `i` tells cases apart.
            let asked = if table.is_pattern() { word } else { &key };
            facts.learn(question, Answer::Lookup(engine.lookup(asked).map_err(fail)));
        }
        self.list.matches(word, &facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a list that asks nobody.
    fn has(words: &Words, word: &str) -> bool {
        words.contains(word, &Facts::new()).expect("nobody is asked")
    }

    #[test]
    fn postfix_s_default_list_catches_browsers_and_what_is_no_word() {
        let words =
            Words::parse("CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}").expect("it is Postfix's default");
        for word in ["GET", "post", "\u{16}\u{3}", "{", "0"] {
            assert!(has(&words, word), "{word:?}");
        }
        for word in ["GETS", "helo", "XYZZY"] {
            assert!(!has(&words, word), "{word:?}");
        }
    }

    #[test]
    fn a_pattern_that_tells_cases_apart_sees_the_word_as_it_came() {
        let words = Words::parse("regexp:{{/^[a-z]/i lower}}").expect("well formed");
        assert!(has(&words, "noop") && !has(&words, "NOOP"));
    }

    #[test]
    fn exclusions_come_first_if_written_first_and_tables_of_the_list_ask_nobody() {
        let words = Words::parse("!PUT, regexp:{{/^P/ x}} inline:{trace=x} static:{x}").expect("well formed");
        assert!(!has(&words, "put"));
        assert!(has(&words, "POKE") && has(&words, "TRACE") && has(&words, "NOOP"));
        let words = Words::parse("!regexp:{{/^P/ x}} regexp:{{!/^.ET$/ y}}").expect("well formed");
        assert!(!has(&words, "POST") && !has(&words, "GET") && has(&words, "HELO"));
    }

    #[test]
    fn a_table_with_a_file_is_asked_for_what_the_items_before_it_do_not_decide() {
        let words = Words::parse("GET, regexp:{{/^P/ x}}, hash:/words, /more").expect("well formed");
        let (table, more) = (TableName("hash:/words".into()), TableName("list:/more".into()));
        let mut facts = Facts::new();
        assert_eq!(words.contains("get", &facts), Ok(true));
        assert_eq!(words.contains("PUT", &facts), Ok(true));
        let question = Question::Lookup { table: table.clone(), key: "helo".into() };
        assert_eq!(words.contains("HELO", &facts), Err(Pause::Need(question.clone())));
        facts.learn(question, Answer::Lookup(Ok(None)));
        let question = Question::Lookup { table: more, key: String::new() };
        assert_eq!(words.contains("HELO", &facts), Err(Pause::Need(question.clone())));
        facts.learn(question, Answer::Lookup(Ok(Some("!EHLO, HELO".into()))));
        assert_eq!(words.contains("HELO", &facts), Ok(true));
        let failure = TableFailure { table: table.clone(), why: "broken".into() };
        let question = Question::Lookup { table, key: "noop".into() };
        facts.learn(question, Answer::Lookup(Err(failure.clone())));
        assert_eq!(words.contains("NOOP", &facts), Err(Pause::Broken(failure)));
    }

    #[test]
    fn commands_that_nobody_forbids_are_known_beforehand_and_those_that_a_file_may_forbid_are_not() {
        let words = Words::forbidden();
        assert!(words.passed.contains(&"MAIL") && words.passed.contains(&"QUIT"), "{:?}", words.passed);
        let words = Words::parse("!MAIL, QUIT, hash:/words").expect("well formed");
        assert_eq!(words.passed, ["MAIL"], "of the others the table is asked, or they are in the list");
    }

    #[test]
    fn a_rule_of_the_list_that_does_not_compile_is_refused() {
        let wrong = Words::parse("GET regexp:{{/(/ x}}").expect_err("it does not compile");
        assert!(wrong.starts_with("regexp:{{/(/ x}}: "), "{wrong}");
        let words = Words::parse("GET fail:x").expect("well formed");
        assert!(has(&words, "GET"));
        assert!(matches!(words.contains("HELO", &Facts::new()), Err(Pause::Broken(_))));
    }
}
