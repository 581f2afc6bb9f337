//! `postmap -q`, `postalias -q`: what a table says of a key. Tables are read from their text: there is nothing to compile.

use super::{Failure, Setup, print};
use crate::env::real::RealFiles;
use crate::env::{Files, Users};
use crate::privilege::Agent;
use crate::trouble::words;
use postrider_core::tables::{Kind, Source, Table, TableSpec};
use std::path::Path;
use std::sync::Arc;

const USAGE: &str = "usage: postmap [-c DIR] -q KEY|- TABLE…";

/// Runs the command; status 1 when no table has the key.
///
/// # Errors
/// A table cannot be read, the key is not found, or wrong options.
pub(super) fn run(called: &str, arguments: &[String], setup: &Setup) -> Result<(), Failure> {
    let mut key = None;
    let mut names = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "-q" => key = Some(rest.next().ok_or_else(|| Failure::new(64, USAGE))?.clone()),
            "-f" | "-F" | "-v" | "-N" | "-n" | "-o" | "-p" | "-r" | "-w" | "-i" | "-u" => {}
            text if !text.starts_with('-') => names.push(text.to_owned()),
            other => return Err(Failure::new(64, format!("{called}: unknown option {other}; {USAGE}"))),
        }
    }
    if names.is_empty() {
        return Err(Failure::new(64, USAGE));
    }
    let default = setup.settings.text("default_database_type");
    let names: Vec<String> = names
        .into_iter()
        .map(|name| if name.contains(':') { name } else { format!("{default}:{name}") })
        .collect();
    match key.as_deref() {
        None => names.iter().try_for_each(|name| inspect(called, name)),
        Some("-") => {
            let mut found = false;
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if let Some(value) = query(called, &names, &line)? {
                    found = true;
                    print(&format!("{line}\t{value}\n"))?;
                }
            }
            if found { Ok(()) } else { Err(Failure::new(1, String::new())) }
        }
        Some(key) => match query(called, &names, key)? {
            Some(value) => print(&format!("{value}\n")),
            None => Err(Failure::new(1, String::new())),
        },
    }
}

fn files() -> RealFiles {
    RealFiles::new(Arc::new(Agent::Ourselves))
}

fn query(called: &str, names: &[String], key: &str) -> Result<Option<String>, Failure> {
    for name in names {
        let found = lookup(called, name, key)
            .map_err(|why| Failure::new(1, format!("{called}: fatal: {name}: {why}")));
        if let Some(value) = found? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn lookup(called: &str, name: &str, key: &str) -> Result<Option<String>, String> {
    match TableSpec::parse(name, called == "postalias").map_err(|none| none.to_string())?.source {
        Source::Users => {
            let user = files().user(key).map_err(|error| words(&error))?;
            Ok(user.map(|u| format!("{}:x:{}:{}:{}:{}:{}", u.name, u.uid, u.gid, u.gecos, u.home, u.shell)))
        }
        Source::Groups => Err("groups can not be queried here".to_owned()),
        Source::Ready(table, _) => table.lookup(key),
        Source::File { path, kind } => read(&path, kind)?.lookup(key),
    }
}

fn read(path: &str, kind: Kind) -> Result<Table, String> {
    let octets = files().read(Path::new(path)).map_err(|error| format!("open {path}: {}", words(&error)))?;
    Ok(Table::compile(kind, &String::from_utf8_lossy(&octets), path).0)
}

/// Without `-q` Postfix compiles the table; here its text is checked, and there is nothing more to do.
fn inspect(called: &str, name: &str) -> Result<(), Failure> {
    let spec = TableSpec::parse(name, called == "postalias")
        .map_err(|why| Failure::new(1, format!("{called}: {why}")))?;
    let Source::File { path, kind } = spec.source else { return Ok(()) };
    let octets = files()
        .read(Path::new(&path))
        .map_err(|error| Failure::new(1, format!("{called}: fatal: open {path}: {}", words(&error))))?;
    for problem in Table::compile(kind, &String::from_utf8_lossy(&octets), &path).1 {
        eprintln!(
            "{called}: warning: {}, line {}: {}; {}",
            problem.file, problem.line, problem.what, problem.remedy
        );
    }
    Ok(())
}
