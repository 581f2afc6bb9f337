//! Model checks: core's own transitions, explored exhaustively in a small scope.
//!
//! The machines are the ones that ship; only what surrounds them is a model, small enough that everything that it may do is tried. A
//! property that fails is told with the shortest way to it. docs/VERIFICATION.md says what each scope leaves out.

mod delivery;
mod window;

use stateright::{Checker, Model};
use std::fmt::Debug;
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
    /// Properties that failed, each with its way; and what should be possible and never was.
    pub faults: Vec<String>,
}

/// Checks all scopes; deliveries with so many attempts.
#[must_use]
pub fn all(attempts: u8) -> Vec<Checked> {
    let mut checked: Vec<Checked> =
        window::scopes().into_iter().map(|(name, model)| check(name, model)).collect();
    checked.extend(delivery::scopes(attempts).into_iter().map(|(name, model)| check(name, model)));
    checked
}

fn check<M>(name: &'static str, model: M) -> Checked
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Debug + Hash + Send + Sync + PartialEq + Clone,
    M::Action: Debug + Clone + Send + Sync + PartialEq,
{
    let began = Instant::now();
    let checker = model.clone().checker().spawn_dfs().join();
    let states = checker.unique_state_count();
    let mut faults = Vec::new();
    for property in model.properties() {
        let found = checker.discovery(property.name);
        match (property.expectation, found) {
            (stateright::Expectation::Sometimes, None) => {
                faults.push(format!("never: {}", property.name));
            }
            (stateright::Expectation::Always, Some(_)) => {
                faults.push(format!("broken: {}: {}", property.name, shortest(&model, property.name)));
            }
            _ => {}
        }
    }
    Checked { name, states, seconds: began.elapsed().as_secs_f64(), faults }
}

/// The shortest way to a state in which a property is broken: deeper and deeper until there is one.
fn shortest<M>(model: &M, property: &'static str) -> String
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Debug + Hash + Send + Sync + PartialEq + Clone,
    M::Action: Debug + Clone + Send + Sync + PartialEq,
{
    for depth in 1..DEPTH_MAX {
        let checker = model.clone().checker().target_max_depth(depth).spawn_bfs().join();
        if let Some(path) = checker.discovery(property) {
            let actions: Vec<String> =
                path.into_actions().iter().map(|action| format!("{action:?}")).collect();
            return actions.join(", ");
        }
    }
    "not found again".to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_scope_holds() {
        for checked in super::all(1) {
            assert_eq!(checked.faults, Vec::<String>::new(), "{}", checked.name);
            assert!(checked.states > 30, "{} has {} states", checked.name, checked.states);
        }
    }
}
