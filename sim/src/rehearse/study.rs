//! What is compared with what: configurations, variables and their values, and the cases that follow from them.

use super::named;
use super::report::{Report, outages};
use super::scenario::{Refused, Scenario, Variable, line_of_key, vary};
use super::setup::{Directory, Setup};
use super::tally::tally;
use super::world::{History, play};
use std::collections::BTreeMap;

/// Cases of one study: more would not fit a page.
pub const CASES_MAX: usize = 64;

/// A configuration and a scenario, before they are played.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it is called.
    pub label: String,
    /// The configuration.
    pub setup: Setup,
    /// The scenario.
    pub scenario: Scenario,
}

/// Where names of parameters stand: on the command line, or in the file of the scenario.
#[derive(Debug)]
pub(super) struct Origin<'a> {
    name: &'a str,
    text: &'a str,
    sweep: &'a BTreeMap<String, Vec<toml::Value>>,
}

impl Origin<'_> {
    /// The place of a name, for people.
    pub(super) fn place(&self, parameter: &str) -> String {
        if self.sweep.contains_key(parameter) {
            return "--sweep".to_owned();
        }
        let line = ["sweep", "set"].into_iter().find_map(|table| line_of_key(self.text, table, parameter));
        line.map_or_else(|| self.name.to_owned(), |line| format!("{}:{line}", self.name))
    }
}

/// The cases of a scenario: each configuration with each value of each variable.
///
/// # Errors
/// The scenario, a variable, or a configuration is wrong.
pub fn plans(
    directories: &[Directory],
    name: &str,
    text: &str,
    sweep: &BTreeMap<String, Vec<toml::Value>>,
) -> Result<Vec<Plan>, String> {
    let refused = |wrong: Refused| match wrong.line {
        Some(line) => format!("{name}:{line}: {}", wrong.why),
        None => format!("{name}: {}", wrong.why),
    };
    let scenario = Scenario::parse(text).map_err(refused)?;
    let mut variables = scenario.sweep.clone();
    variables.extend(sweep.clone());
    let values = combinations(&variables);
    if values.len() * directories.len() > CASES_MAX {
        return Err(format!("{} cases: at most {CASES_MAX} are compared", values.len() * directories.len()));
    }
    let origin = Origin { name, text, sweep };
    let parameters = variables.iter().filter(|(name, _)| !name.contains('.'));
    let firsts = parameters.filter_map(|(name, values)| Some((name.clone(), values.first()?.clone())));
    let mut set = scenario.set.clone();
    set.extend(firsts);
    let mut plans = Vec::new();
    for directory in directories {
        named::judge(directory, &set, &origin)?;
        for variables in &values {
            let scenario = vary::vary(text, variables).map_err(refused)?;
            let setup = directory.ready(&scenario.set)?;
            let mut words: Vec<String> = variables.iter().map(Variable::label).collect();
            if directories.len() > 1 || words.is_empty() {
                words.insert(0, directory.label());
            }
            plans.push(Plan { label: words.join(", "), setup, scenario });
        }
    }
    tell_apart(&mut plans);
    Ok(plans)
}

/// Directories of the same name are told apart by a number.
fn tell_apart(plans: &mut [Plan]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for plan in plans {
        let times = seen.entry(plan.label.clone()).or_default();
        *times += 1;
        if *times > 1 {
            plan.label = format!("{} ({times})", plan.label);
        }
    }
}

/// Every combination of values; one without any where there are no variables.
fn combinations(variables: &BTreeMap<String, Vec<toml::Value>>) -> Vec<Vec<Variable>> {
    let mut all = vec![Vec::new()];
    for (name, values) in variables.iter().filter(|(_, values)| !values.is_empty()) {
        let longer = |before: &Vec<Variable>| {
            let before = before.clone();
            let add = move |value: &toml::Value| {
                let mut one = before.clone();
                one.push(Variable { name: name.clone(), value: value.clone() });
                one
            };
            values.iter().map(add).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// The report of histories: for each plan, those of its seeds in order.
#[must_use]
pub fn report(plans: &[Plan], histories: &[Vec<(u64, History)>], text: &str) -> Report {
    let cases = plans
        .iter()
        .zip(histories)
        .map(|(plan, all)| tally(plan.label.clone(), &plan.scenario, plan.setup.notes.clone(), all));
    let first = plans.first().map(|plan| &plan.scenario);
    Report {
        title: first.map_or_else(String::new, |scenario| scenario.title.clone()),
        question: first.map_or_else(String::new, |scenario| scenario.question.clone()),
        duration: first.map_or(0.0, |scenario| scenario.duration.0.0.as_secs_f64()),
        seeds: histories.first().map_or_else(Vec::new, |all| all.iter().map(|(seed, _)| *seed).collect()),
        outages: first.map_or_else(Vec::new, outages),
        cases: cases.collect(),
        scenario: text.to_owned(),
    }
}

/// Plays all, one after the other: for tests and small studies.
#[must_use]
pub fn run(plans: &[Plan], seeds: &[u64], text: &str) -> Report {
    let of =
        |plan: &Plan| seeds.iter().map(|&seed| (seed, play(&plan.setup, &plan.scenario, seed))).collect();
    let histories: Vec<Vec<(u64, History)>> = plans.iter().map(of).collect();
    report(plans, &histories, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_one_variable_meets_every_value_of_the_others() {
        let list = |values: &[i64]| values.iter().map(|&value| toml::Value::Integer(value)).collect();
        let variables = BTreeMap::from([("a".to_owned(), list(&[1, 2])), ("b".to_owned(), list(&[3, 4, 5]))]);
        let all = combinations(&variables);
        assert_eq!(all.len(), 6);
        let labels: Vec<String> = all[5].iter().map(Variable::label).collect();
        assert_eq!(labels, ["a = 2", "b = 5"]);
        assert_eq!(combinations(&BTreeMap::new()), [Vec::new()]);
    }
}
