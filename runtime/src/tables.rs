//! The tables of one configuration: read when first asked, and again when their file has changed.
//!
//! A table that cannot be read fails its lookups ("try again later"); the engines are core's.

use crate::env::Environment;
use crate::trouble::words;
use postrider_core::ask::{TableFailure, TableName};
use postrider_core::outbound::routes;
use postrider_core::params::Config;
use postrider_core::tables::{self, Problem, Source, Table, TableSpec};
use postrider_core::time::{Duration, Instant};
use postrider_core::{cleanup, policy};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// How long a table is used before its file is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The file that a table came from, and what told of its state then.
type Origin = (PathBuf, Option<u64>);

#[derive(Clone)]
struct Entry {
    table: Arc<Table>,
    file: Option<Origin>,
    looked: Instant,
}

/// Wrong routes of one table that are told; a table of another sort, named by mistake, is wrong in each line.
const ROUTES_TOLD_MAX: usize = 20;

/// All tables.
pub struct Tables<E> {
    env: Arc<E>,
    /// Tables of `alias_maps` and `alias_database`, whose text has another form.
    aliases: BTreeSet<TableName>,
    /// Tables of parameters that say what is run or where mail goes: one whose answers take text from the key is refused.
    guarded: BTreeSet<TableName>,
    /// Where relative file names start.
    base: PathBuf,
    loaded: RwLock<BTreeMap<TableName, Entry>>,
}

impl<E: Environment> Tables<E> {
    /// No table is read yet.
    #[must_use]
    pub fn new(
        env: Arc<E>,
        aliases: BTreeSet<TableName>,
        guarded: BTreeSet<TableName>,
        base: PathBuf,
    ) -> Self {
        Self { env, aliases, guarded, base, loaded: RwLock::default() }
    }

    /// Whether a table is refused, because a client that chooses a key would choose the answer.
    pub fn is_refused(&self, name: &TableName) -> bool {
        self.guarded.contains(&bare(name)) && self.compile(name).0.substitutes()
    }

    /// Reads a table now; what a person should correct.
    pub fn load(&self, name: &TableName) -> Vec<Problem> {
        let (_, problems) = self.read(name);
        problems
    }

    /// What a table says of a key.
    ///
    /// # Errors
    /// It can not answer now: why.
    pub fn lookup(&self, name: &TableName, key: &str) -> Result<Option<String>, TableFailure> {
        let fail = |why: String| TableFailure { table: name.clone(), why };
        match name.0.strip_prefix("proxy:").unwrap_or(&name.0) {
            "unix:passwd.byname" => return self.user(key).map_err(fail),
            other => {
                let path = other.strip_prefix("include:").or_else(|| other.strip_prefix("forward:"));
                if let Some(path) = path {
                    let user = self.env.users().user(key).map_err(|error| fail(words(&error)))?;
                    let Some(user) = user else { return Ok(None) };
                    return text_of(path, self.env.files().read_as(Path::new(path), &user)).map_err(fail);
                }
            }
        }
        self.table(name).lookup(key).map_err(fail)
    }

    /// The table as it is now, for checks of what it says.
    pub fn current(&self, name: &TableName) -> Arc<Table> {
        self.table(name)
    }

    /// The file of a table, for messages; its name where it has none.
    fn file_of(&self, name: &TableName) -> String {
        match TableSpec::parse(&name.0, false).map(|spec| spec.source) {
            Ok(Source::File { path, .. }) => self.base.join(path).display().to_string(),
            _ => name.0.clone(),
        }
    }

    fn user(&self, key: &str) -> Result<Option<String>, String> {
        let found = self.env.users().user(key).map_err(|error| words(&error))?;
        Ok(found.map(|user| {
            format!("{}:x:{}:{}:{}:{}:{}", user.name, user.uid, user.gid, user.gecos, user.home, user.shell)
        }))
    }

    fn table(&self, name: &TableName) -> Arc<Table> {
        let now = self.env.now().mono;
        let known = self.loaded.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(entry) = known {
            let fresh = now.since(entry.looked) < LOOK_AGAIN;
            let Some((path, stamp)) = &entry.file else { return entry.table };
            if fresh {
                return entry.table;
            }
            if self.env.files().stamp(path) == *stamp {
                let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
                loaded.insert(name.clone(), Entry { looked: now, ..entry.clone() });
                return entry.table;
            }
        }
        let (table, problems) = self.read(name);
        for problem in problems {
            crate::observe::warn(format!(
                "{}, line {}: {}; {}",
                problem.file, problem.line, problem.what, problem.remedy
            ));
        }
        table
    }

    fn read(&self, name: &TableName) -> (Arc<Table>, Vec<Problem>) {
        let (mut table, mut problems, file) = self.compile(name);
        if self.guarded.contains(&bare(name)) && table.substitutes() {
            let remedy = "write the answers out, or use another type of table";
            problems.push(problem(&name.0, SUBSTITUTES.to_owned(), remedy));
            table = Table::failing(SUBSTITUTES);
        }
        let table = Arc::new(table);
        let entry = Entry { table: Arc::clone(&table), file, looked: self.env.now().mono };
        self.loaded.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), entry);
        (table, problems)
    }

    fn compile(&self, name: &TableName) -> (Table, Vec<Problem>, Option<Origin>) {
        let bare = bare(name);
        let aliases = self.aliases.contains(&bare) || self.aliases.contains(name);
        let (table, problems, file) = match TableSpec::parse(&name.0, aliases) {
            Err(none) => (Table::failing(&none.why), vec![problem(&name.0, none.why, &none.remedy)], None),
            Ok(TableSpec { source: Source::Ready(table, problems), .. }) => (*table, problems, None),
            Ok(TableSpec { source: Source::File { path, kind }, .. }) => {
                let path = self.base.join(path);
                // The stamp first: a change between the two is seen the next time.
                let stamp = self.env.files().stamp(&path);
                let (table, problems) = match self.env.files().read(&path) {
                    Ok(octets) => {
                        let text = String::from_utf8_lossy(&octets);
                        Table::compile(kind, &text, &path.display().to_string())
                    }
                    Err(error) => {
                        let why = format!("{}: {}", path.display(), words(&error));
                        let remedy = "make the file, or take the table out; until then its lookups fail";
                        (Table::failing(&why), vec![problem(&name.0, why, remedy)])
                    }
                };
                (table, problems, Some((path, stamp)))
            }
            Ok(TableSpec { source: Source::Users | Source::Groups, .. }) => {
                (Table::failing("answered by the system"), Vec::new(), None)
            }
        };
        (table, problems, file)
    }
}

/// Names in the configuration that can be no tables: an unknown type, most often a slip of the pen.
#[must_use]
pub fn judge(config: &Config) -> Vec<postrider_core::params::Problem> {
    let mut problems = Vec::new();
    for (name, parameter) in config.tables_by_parameter() {
        match TableSpec::parse(&name.0, false) {
            Err(none) if none.refused => problems.push(config.fault(&parameter, &none.why, &none.remedy)),
            _ => {}
        }
    }
    problems
}

/// What no access list and no header check could obey, in tables whose values are known; of each table the first few.
#[must_use]
pub fn judge_values<E: Environment>(config: &Config, tables: &Tables<E>) -> Vec<(String, Problem)> {
    let mut access = BTreeMap::new();
    let mut checks = BTreeMap::new();
    let services = config.services().iter().map(|service| Some(service.key()));
    for service in std::iter::once(None).chain(services) {
        let settings = config.settings(service.as_deref());
        access.extend(policy::access_tables(&settings));
        for parameter in ["header_checks", "mime_header_checks"] {
            checks.extend(settings.tables(parameter).into_iter().map(|name| (name, parameter.to_owned())));
        }
    }
    let main = config.settings(None);
    let access_fault = |value: &str| policy::access_fault(&main, value);
    let mut found = Vec::new();
    judge_each(tables, access, &access_fault, &mut found);
    judge_each(tables, checks, &cleanup::fault_of, &mut found);
    found
}

fn judge_each<E: Environment>(
    tables: &Tables<E>,
    names: BTreeMap<TableName, String>,
    fault: &dyn Fn(&str) -> Option<String>,
    found: &mut Vec<(String, Problem)>,
) {
    for (name, parameter) in names {
        let file = tables.file_of(&name);
        let values = tables.current(&name).values().into_iter();
        let faults = values.filter_map(|(line, value)| {
            let what = format!("\"{value}\": {}", fault(&value)?);
            let remedy = "correct the action".to_owned();
            Some(Problem { file: file.clone(), line, what, remedy, fatal: false })
        });
        found.extend(faults.take(ROUTES_TOLD_MAX).map(|problem| (parameter.clone(), problem)));
    }
}

/// Routes in tables that mail can not take.
#[must_use]
pub fn judge_routes<E: Environment>(config: &Config, tables: &Tables<E>) -> Vec<(String, Problem)> {
    let mut found = Vec::new();
    for (parameter, form) in routes::TABLES {
        let services = config.services().iter().map(|service| Some(service.key()));
        let names: BTreeSet<TableName> = std::iter::once(None)
            .chain(services)
            .flat_map(|service| config.settings(service.as_deref()).tables(parameter))
            .collect();
        for name in names {
            let table = tables.current(&name);
            let bad = |(key, entry): (&str, &tables::Entry)| {
                let bad = routes::judge_value(config, form, &entry.value).err()?;
                let (line, what) = (entry.line as usize, format!("\"{key}\": {}", bad.text));
                Some(Problem { file: tables.file_of(&name), line, what, remedy: bad.remedy, fatal: false })
            };
            let problems = table.entries().into_iter().flatten().filter_map(bad).take(ROUTES_TOLD_MAX);
            found.extend(problems.map(|problem| (parameter.to_owned(), problem)));
        }
    }
    found
}

/// What is wrong with such a table.
pub const SUBSTITUTES: &str =
    "its answers take text from the key ($1), which a client chooses: this is not allowed here";

/// A table without `proxy:`.
#[must_use]
pub fn bare(name: &TableName) -> TableName {
    TableName(name.0.strip_prefix("proxy:").unwrap_or(&name.0).to_owned())
}

fn text_of(path: &str, octets: std::io::Result<Vec<u8>>) -> Result<Option<String>, String> {
    match octets {
        Ok(octets) => Ok(Some(String::from_utf8_lossy(&octets).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{path}: {}", words(&error))),
    }
}

fn problem(file: &str, what: String, remedy: &str) -> Problem {
    Problem { file: file.to_owned(), line: 0, what, remedy: remedy.to_owned(), fatal: true }
}
