//! Model checks: core's own transitions, explored exhaustively in a small scope.
//!
//! The machines are the ones that ship; only what surrounds them is a model, small enough that everything that it may do is tried. A
//! property that fails is told with the shortest way to it. docs/VERIFICATION.md says what each scope leaves out.

/// This rule is never broken.
macro_rules! never {
    ($wrong:ident, $name:literal) => {
        Property::always($name, |_, state: &State| state.wrong != Some(Wrong::$wrong))
    };
}

mod delivery;
mod destination;
mod kept;
mod mail;
mod names;
mod platter;
mod reload;
mod spool;
mod window;

use postrider_core::ask::{Answer, DnsRecord, DnsRecords};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::time::Instant;

/// Depth behind which no scope reaches.
const DEPTH_MAX: usize = 400;

/// What a check came to.
#[derive(Debug)]
pub struct Checked {
    /// Which scope.
    pub name: &'static str,
    /// States that differ.
    pub states: usize,
    /// Seconds.
    pub seconds: f64,
    /// What must always hold, and did.
    pub held: Vec<&'static str>,
    /// What must be possible, and was.
    pub reached: Vec<&'static str>,
    /// Properties that failed, each with its way; and what should be possible and never was.
    pub faults: Vec<String>,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:60} {:>9} states {:>7.1} s", self.name, self.states, self.seconds)?;
        for (word, names) in [("held", &self.held), ("reached", &self.reached)] {
            if !names.is_empty() {
                write!(f, "\n  {word}: {}", names.join("; "))?;
            }
        }
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// A scope that can be checked.
pub struct Scope {
    /// Its name.
    pub name: &'static str,
    /// Checks it.
    pub check: Box<dyn Fn() -> Checked + Send + Sync>,
}

/// All scopes; deliveries with so many attempts.
#[must_use]
pub fn scopes(attempts: u8) -> Vec<Scope> {
    let mut scopes = Vec::new();
    add(&mut scopes, window::scopes());
    add(&mut scopes, destination::scopes());
    add(&mut scopes, spool::scopes());
    add(&mut scopes, names::scopes());
    add(&mut scopes, kept::scopes());
    add(&mut scopes, reload::scopes());
    add(&mut scopes, delivery::scopes(attempts));
    scopes
}

fn add<M>(scopes: &mut Vec<Scope>, models: Vec<(&'static str, M)>)
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Debug + Hash + Send + Sync + PartialEq + Clone,
    M::Action: Debug + Clone + Send + Sync + PartialEq,
{
    for (name, model) in models {
        scopes.push(Scope { name, check: Box::new(move || check(name, &model)) });
    }
}

fn check<M>(name: &'static str, model: &M) -> Checked
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Debug + Hash + Send + Sync + PartialEq + Clone,
    M::Action: Debug + Clone + Send + Sync + PartialEq,
{
    let began = Instant::now();
    let checker = model.clone().checker().finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
    let states = checker.unique_state_count();
    let (mut held, mut reached) = (Vec::new(), Vec::new());
    let (mut faults, mut never) = (Vec::new(), Vec::new());
    for property in model.properties() {
        let found = checker.discovery(property.name);
        match (property.expectation, found) {
            (Expectation::Sometimes, None) => never.push(format!("never: {}", property.name)),
            (Expectation::Sometimes, Some(_)) => reached.push(property.name),
            (Expectation::Always, None) => held.push(property.name),
            (Expectation::Always, Some(_)) => {
                faults.push(format!("broken: {}: {}", property.name, shortest(model, property.name)));
            }
            (Expectation::Eventually, _) => {}
        }
    }
    // A search that found a fault has not looked at everything.
    if faults.is_empty() {
        faults = never;
    } else {
        held.clear();
    }
    Checked { name, states, seconds: began.elapsed().as_secs_f64(), held, reached, faults }
}

/// The shortest way to a state in which a property is broken. A search that goes no deeper than so many steps finds a way or does not:
/// the least number with which it does is halved in upon.
fn shortest<M>(model: &M, property: &'static str) -> String
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Debug + Hash + Send + Sync + PartialEq + Clone,
    M::Action: Debug + Clone + Send + Sync + PartialEq,
{
    let (mut least, mut most) = (1, DEPTH_MAX);
    let mut best = "not found again".to_owned();
    while least < most {
        let depth = (least + most.min(4 * least)) / 2;
        let checker = model.clone().checker().target_max_depth(depth);
        // Another property may fail sooner; that ends no search for this one.
        let checker = checker.finish_when(HasDiscoveries::AnyOf([property].into())).spawn_bfs().join();
        match checker.discovery(property) {
            Some(path) => {
                let actions: Vec<String> =
                    path.into_actions().iter().map(|action| format!("{action:?}")).collect();
                best = actions.join(", ");
                most = depth;
            }
            None => least = depth + 1,
        }
    }
    best
}

/// What the resolver says of a name: these records, and for ever (the models know no time that matters to names).
fn resolved(name: &str, records: Vec<DnsRecord>) -> Answer {
    let valid_until = postrider_core::time::Instant(u64::MAX);
    Answer::Resolve(Ok(DnsRecords { records, canonical: name.to_owned(), valid_until, authentic: false }))
}

#[cfg(test)]
mod tests {
    /// Scopes that need the speed of an optimised build: `postrider-sim check`, which CI runs.
    const LARGE: [&str; 2] = ["spool", "names"];

    #[test]
    fn every_small_scope_holds() {
        let is_large = |name: &str| LARGE.iter().any(|large| name.starts_with(large));
        for scope in super::scopes(1).into_iter().filter(|scope| !is_large(scope.name)) {
            let checked = (scope.check)();
            assert_eq!(checked.faults, Vec::<String>::new(), "{}", checked.name);
            assert!(checked.states > 30, "{} has {} states", checked.name, checked.states);
            let text = checked.to_string();
            assert!(text.contains("\n  held: ") && !checked.held.is_empty(), "{text}");
            assert!(text.contains("\n  reached: ") && !checked.reached.is_empty(), "{text}");
        }
    }
}
