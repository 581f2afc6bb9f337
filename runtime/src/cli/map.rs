//! `postmap`, `postalias`, `newaliases`: what a table says of a key, all that it says, and what is wrong with its text.
//!
//! Tables are read from their text, and again when it changes: where Postfix compiles a file, here it is checked. An option
//! that asks for what is done anyhow is taken; one that asks for what would not happen is refused, with the reason.

use super::{Failure, Setup, print};
use crate::env::real::RealFiles;
use crate::env::{Files, Users};
use crate::privilege::Agent;
use crate::trouble::words;
use postrider_core::tables::{Kind, Problem, Source, Table, TableSpec};
use std::path::Path;
use std::sync::Arc;

const USAGE: u8 = 64;

/// What to do with the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Task {
    Check,
    /// One key, or `-` for those of standard input.
    Query(String),
    Dump,
}

#[derive(Debug)]
struct Options {
    task: Task,
    /// `-r`: the last of equal keys counts.
    replace: bool,
    /// `-w`: of equal keys nothing is said.
    quiet: bool,
    names: Vec<String>,
}

/// Runs the command; status 1 when no table has the key.
///
/// # Errors
/// A table cannot be read, the key is not found, or wrong options.
pub(super) fn run(called: &str, arguments: &[String], setup: &Setup) -> Result<(), Failure> {
    let mut options = parse(called, arguments)?;
    let default = setup.settings.text("default_database_type");
    for name in options.names.iter_mut().filter(|name| !name.contains(':')) {
        *name = format!("{default}:{name}");
    }
    match &options.task {
        Task::Check => options.names.iter().try_for_each(|name| check(called, name, &options)),
        Task::Dump => options.names.iter().try_for_each(|name| dump(called, name)),
        Task::Query(key) if key == "-" => {
            let mut found = false;
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if let Some(value) = query(called, &options.names, &line)? {
                    found = true;
                    print(&pair(called, &line, &value))?;
                }
            }
            if found { Ok(()) } else { Err(Failure::new(1, String::new())) }
        }
        Task::Query(key) => match query(called, &options.names, key)? {
            Some(value) => print(&format!("{value}\n")),
            None => Err(Failure::new(1, String::new())),
        },
    }
}

/// `newaliases`, `sendmail -bi`: the files of `alias_database`.
///
/// # Errors
/// One cannot be read.
pub(super) fn newaliases(setup: &Setup) -> Result<(), Failure> {
    let names = setup.settings.list("alias_database");
    let options = Options { task: Task::Check, replace: false, quiet: false, names };
    options.names.iter().try_for_each(|name| check("postalias", name, &options))
}

fn usage(called: &str, why: &str) -> Failure {
    let text =
        format!("{called}: fatal: {why}usage: {called} [-c DIR] [-nNoprsuUvw] [-q KEY|-] [TYPE:]FILE...");
    Failure::new(USAGE, text)
}

fn parse(called: &str, arguments: &[String]) -> Result<Options, Failure> {
    let mut options = Options { task: Task::Check, replace: false, quiet: false, names: Vec::new() };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            options.names.push(argument.clone());
            continue;
        };
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            match letter {
                'q' | 's' if options.task != Task::Check => {
                    return Err(usage(called, "specify only one of -s and -q; "));
                }
                'q' => {
                    let attached: String = letters.by_ref().collect();
                    let key = if attached.is_empty() { rest.next().cloned() } else { Some(attached) };
                    options.task = Task::Query(key.ok_or_else(|| usage(called, "-q needs a key; "))?);
                }
                's' => options.task = Task::Dump,
                'r' => options.replace = true,
                'w' => options.quiet = true,
                // How a file that is not made would be stored, and whose it would be; UTF-8 is always taken as such.
                'n' | 'N' | 'o' | 'p' | 'u' | 'U' | 'v' => {}
                other => return Err(refusal(called, other)),
            }
        }
    }
    if options.names.is_empty() {
        return Err(usage(called, ""));
    }
    Ok(options)
}

/// Options of Postfix that would promise something that does not happen.
fn refusal(called: &str, letter: char) -> Failure {
    let why = match letter {
        'd' | 'i' => "there is no indexed file to change: edit the text, it is read again within a second",
        'f' => "keys are always folded to lower case; patterns have flags of their own",
        'F' | 'b' | 'h' | 'm' => "not working yet",
        _ => return usage(called, &format!("unknown option -{letter}; ")),
    };
    Failure::new(USAGE, format!("{called}: fatal: option -{letter}: {why}"))
}

fn pair(called: &str, key: &str, value: &str) -> String {
    let colon = if called == "postalias" { ":" } else { "" };
    format!("{key}{colon}\t{value}\n")
}

fn files() -> RealFiles {
    RealFiles::new(Arc::new(Agent::Ourselves))
}

fn fatal(called: &str, why: &str) -> Failure {
    Failure::new(1, format!("{called}: fatal: {why}"))
}

fn query(called: &str, names: &[String], key: &str) -> Result<Option<String>, Failure> {
    for name in names {
        let found = lookup(called, name, key).map_err(|why| fatal(called, &format!("{name}: {why}")));
        if let Some(value) = found? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn spec(called: &str, name: &str) -> Result<TableSpec, String> {
    TableSpec::parse(name, called == "postalias").map_err(|none| none.to_string())
}

fn lookup(called: &str, name: &str, key: &str) -> Result<Option<String>, String> {
    match spec(called, name)?.source {
        Source::Users => {
            let user = files().user(key).map_err(|error| words(&error))?;
            Ok(user.map(|u| format!("{}:x:{}:{}:{}:{}:{}", u.name, u.uid, u.gid, u.gecos, u.home, u.shell)))
        }
        Source::Groups => Err("groups can not be queried here".to_owned()),
        Source::Ready(table, _) => table.lookup(key),
        Source::File { path, kind } => read(&path, kind)?.0.lookup(key),
    }
}

fn read(path: &str, kind: Kind) -> Result<(Table, Vec<Problem>), String> {
    let octets = files().read(Path::new(path)).map_err(|error| format!("open {path}: {}", words(&error)))?;
    Ok(Table::compile(kind, &String::from_utf8_lossy(&octets), path))
}

fn load(called: &str, name: &str) -> Result<(Table, Vec<Problem>), Failure> {
    let loaded = match spec(called, name).map(|spec| spec.source) {
        Err(why) => Err(why),
        Ok(Source::Ready(table, problems)) => Ok((*table, problems)),
        Ok(Source::File { path, kind }) => read(&path, kind),
        Ok(Source::Users | Source::Groups) => Err(format!("table {name}: it is the system's")),
    };
    loaded.map_err(|why| fatal(called, &why))
}

fn dump(called: &str, name: &str) -> Result<(), Failure> {
    let (table, _) = load(called, name)?;
    let entries = table.entries();
    let entries =
        entries.ok_or_else(|| fatal(called, &format!("table {name}: it has no list of keys to dump")))?;
    let mut text = String::new();
    for (key, entry) in entries {
        text.push_str(&pair(called, key, &entry.value));
    }
    print(&text)
}

/// Checks the text of a table. As with Postfix a line that is passed over is a warning, and the status is 0.
fn check(called: &str, name: &str, options: &Options) -> Result<(), Failure> {
    let (table, problems) = load(called, name)?;
    let mut failed = None;
    for problem in &problems {
        let is_duplicate = problem.what.starts_with("duplicate entry");
        if is_duplicate && options.quiet {
            continue;
        }
        let place = format!("{}, line {}", problem.file, problem.line);
        if is_duplicate && options.replace {
            let why = format!("{place}: {}: the first one counts, -r asks for the last", problem.what);
            failed.get_or_insert(fatal(called, &format!("{why}; remove the first")));
            continue;
        }
        eprintln!("{called}: warning: {place}: {}; {}", problem.what, problem.remedy);
        if problem.fatal {
            failed.get_or_insert(fatal(called, &format!("{name}: lookups would fail")));
        }
    }
    if let Some(failure) = failed {
        return Err(failure);
    }
    let count = table.entries().map(|entries| format!("{} entries; ", entries.count()));
    let text = "its text is used as it is, no indexed file is needed";
    print(&format!("{called}: {name}: {}{text}\n", count.unwrap_or_default()))
}
