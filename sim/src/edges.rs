//! Which edges of the state tables of core the stories have taken.
//!
//! Core says which edges there are (`machine::Stages`); a machine that takes another one breaks a rule, and edges that no
//! story took are told.

use postrider_core::machine::Stages;
use postrider_core::{delivery, manager, outbound, schedule, session};
use std::fmt::Write as _;

/// Stages that a table may have.
const STAGES_MAX: usize = 16;

/// A machine whose edges are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // As core names them.
pub enum Machine {
    Session,
    Delivery,
    Outbound,
    Queue,
    Destination,
}

impl Machine {
    const ALL: [Self; 5] = [Self::Session, Self::Delivery, Self::Outbound, Self::Queue, Self::Destination];

    const fn table(self) -> &'static Stages {
        match self {
            Self::Session => &session::STAGES,
            Self::Delivery => &delivery::STAGES,
            Self::Outbound => &outbound::STAGES,
            Self::Queue => &manager::STAGES,
            Self::Destination => &schedule::STAGES,
        }
    }
}

/// How often each edge was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edges([[[u32; STAGES_MAX]; STAGES_MAX]; Machine::ALL.len()]);

impl Default for Edges {
    fn default() -> Self {
        Self([[[0; STAGES_MAX]; STAGES_MAX]; Machine::ALL.len()])
    }
}

impl Edges {
    /// A machine went from one stage to another.
    pub const fn note(&mut self, machine: Machine, from: u8, to: u8) {
        if from != to {
            self.0[machine as usize][from as usize][to as usize] += 1;
        }
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        let own = self.0.as_flattened_mut().as_flattened_mut();
        own.iter_mut().zip(other.0.as_flattened().as_flattened()).for_each(|(own, more)| *own += more);
    }

    /// Edges that were taken and are in no table.
    #[must_use]
    pub fn strange(&self) -> Vec<String> {
        let mut found = Vec::new();
        for machine in Machine::ALL {
            let table = machine.table();
            for (from, &name) in table.names.iter().enumerate() {
                let taken = table.names.iter().zip(self.0[machine as usize][from]);
                let strange =
                    taken.filter(|(other, times)| *times > 0 && !table.edges.contains(&(name, **other)));
                found.extend(strange.map(|(other, _)| format!("{}: {name} -> {other}", table.machine)));
            }
        }
        found
    }

    /// How many edges were taken, how many there are, and those that were not.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = String::new();
        for machine in Machine::ALL {
            let table = machine.table();
            let place = |wanted: &str| table.names.iter().position(|name| *name == wanted).unwrap_or(0);
            let taken = |(from, to): &&(&str, &str)| self.0[machine as usize][place(from)][place(to)] > 0;
            let count = table.edges.iter().filter(taken).count();
            _ = write!(text, "{}: {count} of {} edges taken", table.machine, table.edges.len());
            for (from, to) in table.edges.iter().filter(|edge| !taken(edge)) {
                _ = write!(text, "; never {from} -> {to}");
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_of_a_table_joins_stages_that_it_has() {
        for machine in Machine::ALL {
            let table = machine.table();
            assert!(table.names.len() <= STAGES_MAX);
            for (from, to) in table.edges {
                assert!(table.names.contains(from) && table.names.contains(to), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn an_edge_that_is_in_no_table_is_told() {
        let mut edges = Edges::default();
        edges.note(Machine::Delivery, 11, 0);
        assert_eq!(edges.strange(), ["delivery: gone -> greeting"]);
        assert!(edges.report().contains("never greeting -> ehlo"));
    }
}
