//! Destinations of one transport: core's own scheduler, and jobs that come, attempts that end well, badly or with nothing to say, an operator
//! who flushes, and time, in every order.
//!
//! Beside it goes a watch that knows only what it was told: who waits, who runs, and since when nobody may.

use postrider_core::mail::{Diagnosis, Feedback, QueueId};
use postrider_core::schedule::{
    Chosen, Params, Place, STAGES, Scheduler, Standing, Target, TransportParams, WindowRule,
};
use postrider_core::time::{Duration, Instant};
use postrider_core::wire::{EnhancedStatus, Mailbox};
use stateright::{Model, Property};

/// Seconds that a dead destination rests.
const REST: u64 = 2;
/// Steps after which all that waits has been started, in every scope.
const PATIENCE: usize = 60;

#[derive(Debug, Clone)]
pub(super) struct Destinations {
    params: TransportParams,
    /// How many there are.
    destinations: u8,
    /// Dead ones that may be remembered.
    dead_limit: usize,
    /// Jobs of one history.
    jobs: u8,
    /// Seconds of one history.
    seconds: u8,
    /// It may die while attempts run: its window does not close with those that fail.
    stragglers: bool,
}

/// A destination, as the watch knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Seen {
    target: Target,
    waiting: Vec<u8>,
    running: Vec<(u8, Place)>,
    /// It has died, and rests until then.
    rests: Option<Instant>,
    /// When the last attempt ended.
    ended: Option<Instant>,
    /// Bad ends since the last good one, or since it was last taken for well.
    bad: u32,
    /// Good ends since the last death.
    good: u32,
    /// How the last rest ended, while nothing has started since.
    risen: Option<Risen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Risen {
    Rested,
    Straggler,
    Flushed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    scheduler: Scheduler,
    now: Instant,
    seen: Vec<Seen>,
    /// When an attempt last started.
    started: Option<Instant>,
    jobs: u8,
    passed: u8,
    wrong: Option<Wrong>,
    /// The last step, if an attempt started after a rest that ended so.
    after: Option<Risen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wrong {
    TooMany,
    TooSoon,
    Dead,
    DiedForNothing,
    LivesOn,
    WokenEarly,
    NeverWoken,
    TooManyDead,
    Strange,
    NotBack,
    Miscounted,
    Edge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// A job for this destination.
    Offer(usize),
    /// Whoever may start next does.
    Choose,
    /// The attempt at this place of this destination ends.
    End(usize, usize, End),
    /// The timer that was asked for goes off.
    Wake,
    Second,
    Flush,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Good,
    Bad,
    Neutral,
}

pub(super) fn scopes() -> Vec<(&'static str, Destinations)> {
    let window = WindowRule { initial: 2, limit: 3, ..WindowRule::default() };
    let plain = TransportParams { window, ..TransportParams::new("smtp", 0) };
    let open = WindowRule { negative: "0".parse().unwrap_or_default(), ..window };
    let stubborn = TransportParams { window: open, ..plain.clone() };
    let paced = TransportParams {
        window: WindowRule { cohorts: 2, ..window },
        destination_pause: Duration::from_secs(1),
        ..plain.clone()
    };
    let crowded = TransportParams {
        window: WindowRule { limit: 2, ..window },
        processes: 2,
        transport_pause: Duration::from_secs(1),
        ..plain.clone()
    };
    let scope = |params, destinations, dead_limit, jobs, seconds| Destinations {
        params,
        destinations,
        dead_limit,
        jobs,
        seconds,
        stragglers: false,
    };
    let stubborn = Destinations { stragglers: true, ..scope(stubborn, 1, 9, 4, 3) };
    vec![
        ("destination: window and rest", stubborn),
        ("destination: a pause after each delivery", scope(paced, 1, 9, 4, 5)),
        ("destination: two of one transport", scope(crowded, 2, 1, 3, 3)),
    ]
}

impl Destinations {
    /// How many may run at once at first, and at most: where there is a pause after each delivery, one.
    fn widths(&self) -> (u32, u32) {
        let rule = &self.params.window;
        if self.params.destination_pause.is_zero() {
            (rule.initial.min(rule.limit), rule.limit)
        } else {
            (1, 1)
        }
    }
}

impl State {
    fn new(model: &Destinations) -> Self {
        let params = Params {
            transports: vec![model.params.clone()],
            rest: Duration::from_secs(REST),
            dead_limit: model.dead_limit,
        };
        let mut scheduler = Scheduler::new(params);
        scheduler.listen_to_edges();
        let target = |number| {
            scheduler.target("smtp", ["x.sim", "y.sim"][usize::from(number)], &Mailbox::new("a", "x.sim"))
        };
        let seen = (0..model.destinations).filter_map(target).map(Seen::new).collect();
        let now = Instant(1_000_000_000);
        Self { scheduler, now, seen, started: None, jobs: 0, passed: 0, wrong: None, after: None }
    }

    fn blame(&mut self, wrong: Wrong) {
        self.wrong.get_or_insert(wrong);
    }

    fn is_due(&self) -> bool {
        self.scheduler.next_timeout(false).is_some_and(|at| at <= self.now)
    }

    fn is_open(&self, place: usize) -> bool {
        matches!(self.scheduler.standing(&self.seen[place].target), Standing::Open(_))
    }

    fn runs(&self) -> usize {
        self.seen.iter().map(|seen| seen.running.len()).sum()
    }

    fn offer(&mut self, place: usize) {
        self.jobs += 1;
        let id = QueueId(u64::from(self.jobs));
        let seen = &mut self.seen[place];
        seen.waiting.push(self.jobs);
        self.scheduler.offer(self.now, id, u64::from(self.jobs), &seen.target, &[0]);
    }

    /// Whether an attempt may start there, by what the watch knows; nothing is said of how wide the window is.
    fn may_start(&self, model: &Destinations, place: usize) -> bool {
        let pause = |since: Option<Instant>, long: Duration| {
            since.is_none_or(|since| long.is_zero() || self.now.since(since) >= long)
        };
        let (params, seen) = (&model.params, &self.seen[place]);
        seen.rests.is_none()
            && pause(seen.ended, params.destination_pause)
            && pause(self.started, params.transport_pause)
            && (params.processes == 0 || self.runs() < params.processes as usize)
    }

    /// The next attempt, if one may start; whether one did.
    fn choose(&mut self, model: &Destinations) -> bool {
        let Some(chosen) = self.scheduler.choose(self.now) else { return false };
        let job = u8::try_from(chosen.message.0).unwrap_or(0);
        let Some(place) = self.seen.iter().position(|seen| seen.waiting.contains(&job)) else {
            self.blame(Wrong::Strange);
            return true;
        };
        self.watch(model, place, job, &chosen);
        true
    }

    fn watch(&mut self, model: &Destinations, place: usize, job: u8, chosen: &Chosen) {
        if self.seen[place].rests.is_some() {
            self.blame(Wrong::Dead);
        } else if !self.may_start(model, place) {
            self.blame(Wrong::TooSoon);
        }
        let (first, limit) = model.widths();
        let seen = &mut self.seen[place];
        seen.waiting.retain(|other| *other != job);
        seen.running.push((job, chosen.place));
        // It begins with the first width, and each good end makes room for one more.
        let most = limit.min(first + seen.good) as usize;
        let (runs, right) =
            (seen.running.len(), chosen.recipients == [0] && (chosen.more || seen.waiting.is_empty()));
        self.after = seen.risen.take();
        self.started = Some(self.now);
        let processes =
            if model.params.processes == 0 { usize::MAX } else { model.params.processes as usize };
        if runs > most || self.runs() > processes {
            self.blame(Wrong::TooMany);
        }
        if !right {
            self.blame(Wrong::Strange);
        }
    }

    fn end(&mut self, model: &Destinations, place: usize, which: usize, end: End) {
        let (_, held) = self.seen[place].running.remove(which);
        let feedback = match end {
            End::Good => Feedback::Good,
            End::Neutral => Feedback::Neutral,
            End::Bad => Feedback::Bad(Diagnosis::ours(EnhancedStatus::new(4, 4, 1), "connection timed out")),
        };
        let back = self.scheduler.ended(self.now, held, &feedback);
        let mut back: Vec<u8> = back.iter().map(|back| back.message.0 as u8).collect();
        back.sort_unstable();
        let others_dead = self.seen.iter().filter(|seen| seen.rests.is_some()).count();
        let (now, cohort) = (self.now, model.widths().1);
        let is_open = self.is_open(place);
        let seen = &mut self.seen[place];
        seen.ended = Some(now);
        match end {
            End::Good => (seen.good, seen.bad) = (seen.good + 1, 0),
            End::Bad => seen.bad += 1,
            End::Neutral => {}
        }
        if seen.waiting.is_empty() && seen.running.is_empty() {
            // Nobody needs it: it is forgotten, and how it stood.
            seen.bad = 0;
        }
        let mut wrong = None;
        if seen.rests.is_some() {
            // It rests already: only one that got through ends that.
            match (is_open, end) {
                (true, End::Good) => seen.rise(Risen::Straggler),
                (true, _) => wrong = Some(Wrong::WokenEarly),
                (false, End::Good) => wrong = Some(Wrong::NeverWoken),
                (false, _) => {}
            }
        } else if !is_open {
            if end != End::Bad {
                wrong = Some(Wrong::DiedForNothing);
            }
            // Who waited comes back, all of them.
            if back != std::mem::take(&mut seen.waiting) {
                wrong = Some(Wrong::NotBack);
            }
            back.clear();
            seen.rests = Some(now.after(Duration::from_secs(REST)));
            (seen.bad, seen.good) = (0, 0);
            if others_dead == model.dead_limit {
                wrong = Some(Wrong::TooManyDead);
            }
        } else if seen.bad >= cohort * model.params.window.cohorts && others_dead < model.dead_limit {
            // A cohort is as many as run at once, at most.
            wrong = Some(Wrong::LivesOn);
        }
        if !back.is_empty() {
            wrong = Some(Wrong::NotBack);
        }
        self.wrong = self.wrong.or(wrong);
    }

    fn wake(&mut self) {
        self.scheduler.wake(self.now);
        for place in 0..self.seen.len() {
            let Some(until) = self.seen[place].rests else { continue };
            match (until <= self.now, self.is_open(place)) {
                (true, true) => self.seen[place].rise(Risen::Rested),
                (true, false) => self.blame(Wrong::NeverWoken),
                (false, true) => self.blame(Wrong::WokenEarly),
                (false, false) => {}
            }
        }
    }

    fn second(&mut self) {
        self.now = self.now.after(Duration::from_secs(1));
        let over = |seen: &Seen| seen.rests.is_some_and(|until| until <= self.now);
        if self.seen.iter().any(over) && !self.is_due() {
            self.blame(Wrong::NeverWoken);
        }
    }

    /// What must be so after each step.
    fn look(&mut self) {
        for (from, to) in self.scheduler.edges_taken() {
            let name = |stage: u8| STAGES.names[usize::from(stage)];
            if !STAGES.edges.contains(&(name(from), name(to))) {
                self.blame(Wrong::Edge);
            }
        }
        for place in 0..self.seen.len() {
            let seen = &self.seen[place];
            let open = matches!(self.scheduler.standing(&seen.target),
                Standing::Open(waiting) if waiting as usize == seen.waiting.len());
            let counted = |(_, held): &(u8, Place)| {
                let condition = self.scheduler.health_of(*held);
                condition.is_some_and(|condition| condition.busy as usize == seen.running.len())
            };
            if open != seen.rests.is_none() || !seen.running.iter().all(counted) {
                self.blame(Wrong::Miscounted);
            }
        }
    }

    /// Nothing runs at a destination that may be tried, and somebody waits for it: then something starts.
    fn is_stuck(&self, model: &Destinations) -> bool {
        let waits = |place: usize| {
            let seen = &self.seen[place];
            seen.running.is_empty() && !seen.waiting.is_empty() && self.may_start(model, place)
        };
        !self.is_due() && (0..self.seen.len()).any(waits) && self.scheduler.clone().choose(self.now).is_none()
    }

    /// Ends what runs, with nothing to say, lets time pass as the timers ask, and starts what may start: nobody is left waiting.
    fn finishes(&self, model: &Destinations) -> bool {
        let mut state = self.clone();
        for _ in 0..PATIENCE {
            if state.wrong.is_some() {
                return false;
            }
            if state.seen.iter().all(|seen| seen.waiting.is_empty()) {
                return true;
            }
            if state.choose(model) {
                continue;
            }
            if let Some(place) = state.seen.iter().position(|seen| !seen.running.is_empty()) {
                state.end(model, place, 0, End::Neutral);
                continue;
            }
            let Some(at) = state.scheduler.next_timeout(true) else { return false };
            state.now = state.now.max(at);
            state.wake();
        }
        false
    }
}

impl Seen {
    fn new(target: Target) -> Self {
        let (waiting, running) = (Vec::new(), Vec::new());
        Self { target, waiting, running, rests: None, ended: None, bad: 0, good: 0, risen: None }
    }

    fn rise(&mut self, how: Risen) {
        (self.rests, self.bad, self.risen) = (None, 0, Some(how));
    }
}

impl Model for Destinations {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.wrong.is_some() {
            return;
        }
        for (place, seen) in state.seen.iter().enumerate() {
            // What would come for one that rests is put off before it gets here.
            if state.jobs < self.jobs && seen.rests.is_none() {
                actions.push(Action::Offer(place));
            }
            for which in 0..seen.running.len() {
                actions.extend([End::Good, End::Bad, End::Neutral].map(|end| Action::End(place, which, end)));
            }
        }
        if state.seen.iter().any(|seen| !seen.waiting.is_empty()) {
            actions.push(Action::Choose);
        }
        if state.seen.iter().any(|seen| seen.rests.is_some()) {
            actions.push(Action::Flush);
        }
        if state.is_due() {
            actions.push(Action::Wake);
        } else if state.passed < self.seconds {
            actions.push(Action::Second);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.after = None;
        match action {
            Action::Offer(place) => next.offer(place),
            Action::Choose if !next.choose(self) => return None,
            Action::Choose => {}
            Action::End(place, which, end) => next.end(self, place, which, end),
            Action::Wake => next.wake(),
            Action::Second => {
                next.passed += 1;
                next.second();
            }
            Action::Flush => {
                next.scheduler.revive_all(next.now);
                let resting = next.seen.iter_mut().filter(|seen| seen.rests.is_some());
                resting.for_each(|seen| seen.rise(Risen::Flushed));
            }
        }
        next.look();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            never!(TooMany, "no more run at once than the limits, nor than good ends have made room for"),
            never!(TooSoon, "nothing starts in a pause"),
            never!(Dead, "nothing starts where a rest is not over"),
            never!(DiedForNothing, "only a bad end makes a destination dead"),
            never!(LivesOn, "where all fail for long enough the destination is dead"),
            never!(WokenEarly, "a rest has its length"),
            never!(NeverWoken, "who has rested is woken"),
            never!(TooManyDead, "no more rest at once than may"),
            never!(Strange, "who starts has waited, and hears whether more do"),
            never!(NotBack, "who waits where it dies comes back, and nobody else"),
            never!(Miscounted, "it is known who waits, who runs and who rests"),
            never!(Edge, "a destination takes the edges of its table"),
            Property::always("who waits where nothing runs may start", |model, state: &State| {
                !state.is_stuck(model)
            }),
            Property::always("who waits can be started", |model, state: &State| {
                state.wrong.is_some() || state.finishes(model)
            }),
            Property::sometimes("a rest ends", |_, state: &State| state.after == Some(Risen::Rested)),
            Property::sometimes("a flush ends a rest", |_, state: &State| {
                state.after == Some(Risen::Flushed)
            }),
            Property::sometimes("it is full", |model, state: &State| {
                state.seen.iter().any(|seen| seen.running.len() == model.widths().1 as usize)
            }),
        ];
        if self.stragglers {
            properties.push(Property::sometimes("a straggler ends a rest", |_, state: &State| {
                state.after == Some(Risen::Straggler)
            }));
        }
        if !self.params.destination_pause.is_zero() || !self.params.transport_pause.is_zero() {
            properties.push(Property::sometimes("it pauses", |model, state: &State| {
                let pauses = |place: usize| {
                    let seen = &state.seen[place];
                    seen.rests.is_none() && !seen.waiting.is_empty() && !state.may_start(model, place)
                };
                state.runs() == 0 && (0..state.seen.len()).any(pauses)
            }));
        }
        if self.destinations > 1 {
            properties.push(Property::sometimes("one rests while the other is tried", |_, state: &State| {
                state.seen.iter().any(|seen| seen.rests.is_some())
                    && state.seen.iter().any(|seen| seen.rests.is_none() && !seen.running.is_empty())
            }));
        }
        properties
    }
}
