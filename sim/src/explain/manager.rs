//! The manager, taken again.

use super::{Entry, Summary, Who, difference, words};
use postrider_core::machine::Machine;
use postrider_core::manager::Manager;
use postrider_core::recording::{Digest, Fact, State};

#[derive(Default)]
pub(super) struct Clerk {
    manager: Option<Box<Manager>>,
    digest: Digest,
    /// The number of the fact that comes next.
    next: u64,
}

impl Clerk {
    /// The manager as it was; one that was taken here by its facts must be the same.
    pub(super) fn state(&mut self, state: State, summary: &mut Summary, tell: &mut dyn FnMut(&Entry)) {
        let State { next, at, manager } = state;
        let mut entry =
            Entry { at: at.wall, who: Who::Manager, head: String::new(), lines: Vec::new(), urgent: false };
        let Some(mut manager) = manager else {
            entry.head = "it answers for more messages than a recording holds: its decisions are as recorded"
                .to_owned();
            entry.urgent = true;
            self.manager = None;
            return tell(&entry);
        };
        manager.listen();
        entry.head = format!(
            "is written down: messages {}, active {}, attempts {}",
            manager.messages(),
            manager.active_messages(),
            manager.running_attempts()
        );
        if let Some(own) = self.manager.take().filter(|_| self.next == next && next > 0)
            && *own != *manager
        {
            summary.divergences += 1;
            entry.urgent = true;
            entry.lines.push(
                "DIVERGES: the same facts lead to another state; from here on it is the recorded one"
                    .to_owned(),
            );
        }
        (self.manager, self.next, self.digest) = (Some(manager), next, Digest::default());
        tell(&entry);
    }

    pub(super) fn fact(&mut self, fact: Fact, summary: &mut Summary, tell: &mut dyn FnMut(&Entry)) {
        let Fact { number, at, input, said } = fact;
        let Some(manager) = self.manager.as_mut().filter(|_| self.next == number) else {
            summary.unexplained += 1;
            self.manager = None;
            return;
        };
        self.next += 1;
        let head = words::manager_fact(input.as_ref());
        match input {
            Some(input) => manager.handle_input(at, input),
            None => manager.handle_timeout(at),
        }
        let mut done = Vec::new();
        while let Some(output) = manager.poll_output() {
            self.digest.output(&output);
            done.extend(words::output(&output));
        }
        summary.stimuli += 1;
        let mut lines: Vec<String> =
            manager.reasons().into_iter().map(|reason| format!("because {reason}")).collect();
        lines.extend(done);
        let again = self.digest.said();
        let differs = again != said;
        if differs {
            summary.divergences += 1;
            lines.push(difference(said, again));
            self.manager = None;
        }
        if !lines.is_empty() {
            tell(&Entry { at: at.wall, who: Who::Manager, head, lines, urgent: differs });
        }
    }
}
