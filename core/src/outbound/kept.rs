//! Kept connections: which of them an attempt goes over, and which serve nobody any more.
//!
//! The driver has the sockets and the tasks. Here is only what each connection is for, and a handle by which the driver knows it. How often
//! and how long a connection may be used is decided where it is kept ([`super::Effect::Park`]); its time is looked at once more here.

use super::Config;
use crate::mail::Attempt;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a kept connection is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Purpose {
    /// Transport of its destination.
    pub transport: String,
    /// Next hop of its destination.
    pub nexthop: String,
    /// The configuration that it was opened under.
    pub config: Arc<Config>,
    /// It is kept until then.
    pub until: Instant,
}

impl Purpose {
    /// Whether the configuration that it was opened under is this one: not one of the same values, but the very same.
    ///
    /// A reload makes new ones, so that no kept connection outlives what it was opened for: mail that must be encrypted since then never
    /// goes over one in the clear, and its questions are not answered from tables of before. Postfix's clients end at a reload, too.
    fn is_of(&self, config: &Arc<Config>) -> bool {
        Arc::ptr_eq(&self.config, config) || planted!(KeptUnderOldPolicy)
    }

    /// Whether it serves an attempt that is made now under this configuration.
    fn serves(&self, now: Instant, config: &Arc<Config>) -> bool {
        self.is_of(config) && now < self.until
    }
}

/// Connections that wait for another attempt; the driver knows each by a handle.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kept<T> {
    lines: BTreeMap<u64, (Purpose, T)>,
    /// By transport and next hop, those that were kept last behind the others.
    destinations: BTreeMap<(String, String), Vec<u64>>,
    last: u64,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { lines: BTreeMap::new(), destinations: BTreeMap::new(), last: 0 }
    }
}

/// Which connection an attempt goes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice<T> {
    /// This one; it is not kept any more. `None`: a new one.
    pub chosen: Option<T>,
    /// These serve nobody any more and are not kept any more: tell each [`super::Input::Retire`].
    pub over: Vec<T>,
}

impl<T> Kept<T> {
    /// Keeps a connection. Gives a name by which it leaves.
    pub fn keep(&mut self, purpose: Purpose, handle: T) -> u64 {
        self.last += 1;
        let destination = (purpose.transport.clone(), purpose.nexthop.clone());
        self.destinations.entry(destination).or_default().push(self.last);
        self.lines.insert(self.last, (purpose, handle));
        self.last
    }

    /// A connection is kept no more, because it has ended or its time is over; `None` when it was chosen or given up before.
    pub fn leave(&mut self, name: u64) -> Option<T> {
        let (purpose, handle) = self.lines.remove(&name)?;
        let destination = (purpose.transport, purpose.nexthop);
        if let Some(names) = self.destinations.get_mut(&destination) {
            names.retain(|other| *other != name);
            if names.is_empty() {
                self.destinations.remove(&destination);
            }
        }
        Some(handle)
    }

    /// Which connection an attempt under this configuration goes over: of those of its destination that serve it the one that was used last,
    /// which its server is the least likely to have ended. Those of its destination that do not serve it are given up.
    pub fn choose(&mut self, now: Instant, attempt: &Attempt, config: &Arc<Config>) -> Choice<T> {
        let mut choice = Choice { chosen: None, over: Vec::new() };
        let destination = (attempt.transport.clone(), attempt.nexthop.clone());
        let names = self.destinations.remove(&destination).unwrap_or_default();
        let serves =
            |name: &u64| self.lines.get(name).is_some_and(|(purpose, _)| purpose.serves(now, config));
        let (mut fit, unfit): (Vec<u64>, Vec<u64>) = names.into_iter().partition(serves);
        let chosen = fit.pop();
        choice.chosen = chosen.and_then(|name| self.lines.remove(&name)).map(|(_, handle)| handle);
        let given_up = unfit.into_iter().filter_map(|name| self.lines.remove(&name));
        choice.over.extend(given_up.map(|(_, handle)| handle));
        if !fit.is_empty() {
            self.destinations.insert(destination, fit);
        }
        choice
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::tests::attempt;

    fn purpose(nexthop: &str, config: &Arc<Config>) -> Purpose {
        let (transport, nexthop) = ("smtp".to_owned(), nexthop.to_owned());
        Purpose { transport, nexthop, config: Arc::clone(config), until: Instant(100) }
    }

    fn chosen(kept: &mut Kept<char>, nexthop: &str, config: &Arc<Config>) -> (Option<char>, Vec<char>) {
        let choice = kept.choose(Instant(1), &attempt(nexthop, &["b@example.net"]), config);
        (choice.chosen, choice.over)
    }

    #[test]
    fn of_several_that_serve_an_attempt_the_one_that_was_kept_last_is_chosen() {
        let (mut kept, config) = (Kept::default(), Arc::default());
        for (nexthop, handle) in [("x", 'a'), ("y", 'b'), ("x", 'c'), ("x", 'd')] {
            kept.keep(purpose(nexthop, &config), handle);
        }
        assert_eq!(kept.leave(4), Some('d'));
        assert_eq!(chosen(&mut kept, "x", &config), (Some('c'), vec![]));
        assert_eq!(chosen(&mut kept, "x", &config), (Some('a'), vec![]));
        assert_eq!(chosen(&mut kept, "x", &config), (None, vec![]), "that of y is not for x");
        assert_eq!((kept.leave(3), kept.leave(2)), (None, Some('b')), "one that was chosen is not kept");
        assert_eq!(kept, Kept { last: 4, ..Kept::default() }, "nothing is left of those that are gone");
    }

    #[test]
    fn a_connection_of_another_transport_is_not_chosen() {
        let (mut kept, config) = (Kept::default(), Arc::default());
        let other = Purpose { transport: "relay".to_owned(), ..purpose("x", &config) };
        kept.keep(other, 'a');
        assert_eq!(chosen(&mut kept, "x", &config), (None, vec![]));
    }

    #[test]
    fn connections_of_before_a_reload_serve_nobody_though_no_value_has_changed() {
        let (mut kept, before, after) = (Kept::default(), Arc::default(), Arc::default());
        for (nexthop, handle) in [("x", 'a'), ("y", 'b'), ("x", 'c')] {
            kept.keep(purpose(nexthop, &before), handle);
        }
        kept.keep(purpose("x", &after), 'd');
        // One of before that was still busy when the other was kept.
        kept.keep(purpose("x", &before), 'e');
        assert_eq!(chosen(&mut kept, "x", &after), (Some('d'), vec!['a', 'c', 'e']));
        assert_eq!(chosen(&mut kept, "y", &after), (None, vec!['b']));
        assert!(kept.lines.is_empty() && kept.destinations.is_empty());
    }

    #[test]
    fn a_connection_whose_time_is_over_is_not_used_though_nobody_has_come_for_it() {
        let (mut kept, config) = (Kept::default(), Arc::default());
        kept.keep(purpose("x", &config), 'a');
        kept.keep(Purpose { until: Instant(101), ..purpose("x", &config) }, 'b');
        let choice = kept.choose(Instant(100), &attempt("x", &["b@example.net"]), &config);
        assert_eq!(choice, Choice { chosen: Some('b'), over: vec!['a'] });
    }
}
