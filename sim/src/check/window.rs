//! The concurrency state of one destination: core's own [`Window`], and deliveries that start and end in every order.

use postrider_core::schedule::{Amount, Gain, Window, WindowRule};
use stateright::{Model, Property};

/// Deliveries at once that the scope allows itself to try.
const LIMIT: u32 = 4;
/// Deliveries that end in one history.
const ENDS: u8 = 10;

#[derive(Debug, Clone)]
pub(super) struct Windows {
    rule: WindowRule,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    window: Window,
    running: u32,
    ended: u8,
    /// The last end said that the destination is dead.
    dead: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Start,
    Good,
    Bad,
    Neutral,
    Rest,
}

pub(super) fn scopes() -> Vec<(&'static str, Windows)> {
    let rule = |initial, positive, negative, cohorts| WindowRule {
        initial,
        limit: LIMIT,
        positive,
        negative,
        cohorts,
    };
    let one = Gain::Constant(Amount::ONE);
    let each = Gain::PerConcurrency(Amount::ONE);
    vec![
        ("concurrency: feedback 1", Windows { rule: rule(2, one, one, 1) }),
        ("concurrency: feedback 1/concurrency", Windows { rule: rule(3, each, each, 2) }),
        ("concurrency: an initial window beyond the limit", Windows { rule: rule(9, each, one, 1) }),
    ]
}

impl Model for Windows {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State { window: Window::new(self.rule), running: 0, ended: 0, dead: false }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.window.permits() && !state.dead {
            actions.push(Action::Start);
        }
        if state.running > 0 && state.ended < ENDS {
            actions.extend([Action::Good, Action::Bad, Action::Neutral]);
        }
        if state.dead {
            actions.push(Action::Rest);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Start => {
                next.window.take();
                next.running += 1;
                return Some(next);
            }
            Action::Rest => {
                next.window.restart();
                next.dead = false;
                return Some(next);
            }
            Action::Good => next.window.good(),
            Action::Bad => next.dead |= next.window.bad(),
            Action::Neutral => {}
        }
        next.window.give_back();
        next.running -= 1;
        next.ended += 1;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no more run at once than the limit", |_, state: &State| state.running <= LIMIT),
            Property::always("the window counts what runs", |_, state: &State| {
                state.window.busy() == state.running
            }),
            Property::always(
                "it is never wider than the limit, nor closed while alive",
                |_, state: &State| {
                    state.window.width() <= LIMIT
                        && (state.dead || state.window.width() >= 1 || state.running > 0)
                },
            ),
            Property::always("who has nothing running may start, unless it rests", |_, state: &State| {
                state.dead || state.running > 0 || state.window.permits()
            }),
            Property::sometimes("it fills", |_, state: &State| state.running == LIMIT),
            Property::sometimes("it dies", |_, state: &State| state.dead),
        ]
    }
}
