//! One value after the other for something: a parameter of main.cf, or a field of the scenario.
//!
//! A name with a dot in it is a field: `dns.ttl`, `workload.per_hour`, or, of the destination that is named so, `destination.big.rate`. Any
//! other name is a parameter.

use super::{Refused, Scenario};
use toml::{Table, Value};

/// One thing with one value.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
}

impl Variable {
    /// Reads `name=value`; the value is a number if it looks like one.
    #[must_use]
    pub fn of(name: &str, value: &str) -> Self {
        let value = match (value.parse::<i64>(), value.parse::<f64>()) {
            (Ok(number), _) => Value::Integer(number),
            (_, Ok(number)) => Value::Float(number),
            _ => Value::String(value.to_owned()),
        };
        Self { name: name.to_owned(), value }
    }

    /// For people: `name = value`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} = {}", self.name, plain(&self.value))
    }

    /// Whether it is of main.cf.
    #[must_use]
    pub fn is_parameter(&self) -> bool {
        !self.name.contains('.')
    }
}

/// A value as main.cf has it.
#[must_use]
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Boolean(true) => "yes".to_owned(),
        Value::Boolean(false) => "no".to_owned(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// The scenario of a text with some variables set.
///
/// # Errors
/// A variable names nothing, or its value can not be right.
pub fn vary(text: &str, variables: &[Variable]) -> Result<Scenario, Refused> {
    let mut scenario = Scenario::parse(text)?;
    if variables.iter().any(|variable| !variable.is_parameter()) {
        let mut table: Table = toml::from_str(text).map_err(|error| refused(error.message()))?;
        for variable in variables.iter().filter(|variable| !variable.is_parameter()) {
            set(&mut table, variable)?;
        }
        // Written and read again, so that values are judged as in a file.
        scenario = Scenario::parse(&print(&table)).map_err(|wrong| {
            let names: Vec<String> = variables.iter().map(Variable::label).collect();
            refused(&format!("{}: {}", names.join(", "), wrong.why))
        })?;
    }
    for variable in variables.iter().filter(|variable| variable.is_parameter()) {
        scenario.set.insert(variable.name.clone(), variable.value.clone());
    }
    Ok(scenario)
}

fn refused(why: &str) -> Refused {
    Refused { line: None, why: why.to_owned() }
}

fn set(table: &mut Table, variable: &Variable) -> Result<(), Refused> {
    let none = || refused(&format!("{}: there is nothing of this name in the scenario", variable.name));
    let (path, field) = variable.name.rsplit_once('.').ok_or_else(none)?;
    let place = match path.split_once('.') {
        Some(("destination", name)) => {
            let list = table.get_mut("destination").and_then(Value::as_array_mut).ok_or_else(none)?;
            let named = |one: &&mut Value| one.get("name").and_then(Value::as_str) == Some(name);
            list.iter_mut().find(named).and_then(Value::as_table_mut).ok_or_else(none)?
        }
        Some(_) => return Err(none()),
        None => {
            let place = table.entry(path.to_owned()).or_insert_with(|| Value::Table(Table::new()));
            place.as_table_mut().ok_or_else(none)?
        }
    };
    place.insert(field.to_owned(), variable.value.clone());
    Ok(())
}

/// As one inline table for each key: never seen by anybody.
fn print(table: &Table) -> String {
    table.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}
