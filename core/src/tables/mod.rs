//! Lookup tables: `type:name`, compiled from text.
//!
//! Pure engines: the driver reads the files ([`TableSpec`] says which) and hands their text to [`Table::compile`];
//! nothing here opens one. A table that can not answer says so: the caller's answer is "try again later", never "not found".
//!
//! A line that Postfix would skip with a warning is skipped, and is a [`Problem`]. A rule that *we* can not
//! compile fails the lookups that reach it, because it might have been a refusal.
//! DATABASE_README, postmap(1), postalias(1), regexp_table(5), pcre_table(5), cidr_table(5).

mod cidr;
mod lines;
mod match_list;
mod pattern;
mod perl;
mod posix;
mod spec;
mod text;

pub use cidr::Network;
pub use lines::items;
pub(crate) use match_list::domain_keys;
pub use match_list::{Form, MatchList};
pub use spec::{NoTable, Source, TableSpec};
pub use text::Entry;

use lines::{Line, logical_lines};
use pattern::Language;

/// The form of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `key value` (hash, btree, texthash and their like).
    Keys,
    /// `name: value` (the same types, where `alias_maps` or `alias_database` name them).
    Aliases,
    /// POSIX regular expressions.
    Regexp,
    /// Perl's regular expressions.
    Pcre,
    /// Networks.
    Cidr,
    /// A list of patterns, an item of a [`MatchList`] of the form `/file/name`: any key gives the whole text, without comments.
    List,
}

/// Something in a table that a person should correct.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    /// The file, or the table's name where it has none.
    pub file: String,
    /// Number of the line; 0 where none is meant.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// Lookups that come so far fail.
    pub fatal: bool,
}

impl Problem {
    fn new(file: &str, line: usize, what: &str, remedy: &str) -> Self {
        Self { file: file.to_owned(), line, what: what.to_owned(), remedy: remedy.to_owned(), fatal: false }
    }
}

/// Collects problems while a text is compiled.
struct Report<'a> {
    file: &'a str,
    problems: Vec<Problem>,
    /// Set when nothing of the table can be used.
    failure: Option<String>,
}

impl Report<'_> {
    fn warn(&mut self, line: &Line, what: &str, remedy: &str) {
        self.problems.push(Problem::new(self.file, line.number, what, remedy));
    }

    /// A problem that fails lookups, and the text for those.
    fn fatal(&mut self, line: &Line, what: &str, remedy: &str) -> String {
        let mut problem = Problem::new(self.file, line.number, what, remedy);
        problem.fatal = true;
        self.problems.push(problem);
        format!("{}, line {}: {what}", self.file, line.number)
    }
}

#[derive(Debug, Clone)]
enum Engine {
    Keys(text::Entries),
    Patterns(pattern::Rules),
    Networks(cidr::Rules),
    /// Every key has this value.
    Constant(String),
    /// The local part of the key, and this behind it (`localpart:`, ours).
    LocalPart(String),
    /// No key can be looked up: why.
    Failing(String),
}

/// A compiled table.
#[derive(Debug, Clone)]
pub struct Table {
    engine: Engine,
}

impl Table {
    /// Compiles a text. `file` is for messages.
    #[must_use]
    pub fn compile(kind: Kind, text: &str, file: &str) -> (Self, Vec<Problem>) {
        let mut report = Report { file, problems: Vec::new(), failure: None };
        let lines = logical_lines(text);
        for line in lines.iter().filter(|line| line.orphan && kind != Kind::List) {
            report.warn(line, "logical line must not start with whitespace", "remove it");
        }
        let engine = match kind {
            Kind::Keys => Engine::Keys(text::keys(&lines, &mut report)),
            Kind::Aliases => Engine::Keys(text::aliases(&lines, &mut report)),
            Kind::Regexp => Engine::Patterns(pattern::Rules::compile(Language::Posix, &lines, &mut report)),
            Kind::Pcre => Engine::Patterns(pattern::Rules::compile(Language::Perl, &lines, &mut report)),
            Kind::Cidr => Engine::Networks(cidr::Rules::compile(&lines, &mut report)),
            Kind::List => {
                Engine::Constant(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n"))
            }
        };
        report.problems.sort_by_key(|problem| problem.line);
        (Self { engine }, report.problems)
    }

    /// `inline:{ … }`; `name` is for messages.
    fn inline(body: &str, name: &str) -> (Self, Vec<Problem>) {
        let mut report = Report { file: name, problems: Vec::new(), failure: None };
        let entries = text::inline(body, &mut report);
        let engine = report.failure.take().map_or(Engine::Keys(entries), Engine::Failing);
        (Self { engine }, report.problems)
    }

    /// A table of which every lookup fails: for a file that is not there, and for `fail:`.
    #[must_use]
    pub fn failing(why: &str) -> Self {
        Self { engine: Engine::Failing(why.to_owned()) }
    }

    /// `static:`.
    fn constant(value: &str) -> Self {
        Self { engine: Engine::Constant(value.to_owned()) }
    }

    /// `localpart:SUFFIX`, a type of ours: a mailbox for every local part, without a table that takes text from the key.
    fn local_parts(suffix: &str) -> Self {
        Self { engine: Engine::LocalPart(suffix.to_owned()) }
    }

    /// The value of a key, as the lookup of `postmap -q` gives it: whole keys only, no partial ones.
    ///
    /// # Errors
    /// Why the table can not answer: try again later.
    pub fn lookup(&self, key: &str) -> Result<Option<String>, String> {
        match &self.engine {
            Engine::Keys(entries) => Ok(entries.get(&key.to_lowercase()).map(|entry| entry.value.clone())),
            Engine::Patterns(rules) => rules.lookup(key),
            Engine::Networks(rules) => rules.lookup(key),
            Engine::Constant(value) => Ok(Some(value.clone())),
            Engine::LocalPart(suffix) => Ok(local_part(key).map(|local| format!("{local}{suffix}"))),
            Engine::Failing(why) => Err(why.clone()),
        }
    }

    /// Keys, in their order, and values; `None` for a table that has no list of them (patterns, networks).
    #[must_use]
    pub fn entries(&self) -> Option<impl Iterator<Item = (&str, &Entry)>> {
        match &self.engine {
            Engine::Keys(entries) => Some(entries.iter().map(|(key, entry)| (key.as_str(), entry))),
            _ => None,
        }
    }

    /// The lines of the file, and the values that they give; line 0 where the value is written in main.cf.
    #[must_use]
    pub fn values(&self) -> Vec<(usize, String)> {
        match &self.engine {
            Engine::Keys(entries) => {
                entries.values().map(|entry| (entry.line as usize, entry.value.clone())).collect()
            }
            Engine::Patterns(rules) => rules.results().collect(),
            Engine::Networks(rules) => rules.results().collect(),
            Engine::Constant(value) => vec![(0, value.clone())],
            Engine::LocalPart(_) | Engine::Failing(_) => Vec::new(),
        }
    }

    /// Whether a value takes text from the key. Such a table is refused where the value says what is run or where mail
    /// goes (alias_maps, transport_maps, virtual_mailbox_maps, virtual_uid_maps, virtual_gid_maps,
    /// sender_dependent_relayhost_maps, sender_dependent_default_transport_maps): a client chooses the key.
    #[must_use]
    pub fn substitutes(&self) -> bool {
        matches!(&self.engine, Engine::Patterns(rules) if rules.substitutes())
    }
}
/// The local part of `user@domain`, if it can be the name of a file and of nothing else: a client chooses the key.
fn local_part(key: &str) -> Option<String> {
    let (local, _) = key.rsplit_once('@')?;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '=');
    let named = !local.is_empty() && !local.starts_with('.') && local.len() <= 64;
    (named && local.chars().all(plain)).then(|| local.to_lowercase())
}
