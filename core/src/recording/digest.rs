//! What a machine put out, as a number.
//!
//! Octets of a content are not in a recording unless that was asked for, so they do not count either: of what was made of them only
//! sizes and names do. Everything else counts whole.

use crate::ask::Question;
use crate::event::Event;
use crate::inbound::Effect;
use crate::mail::{Attempt, Message};
use crate::manager::Output;
use crc32fast::Hasher;
use serde::{Deserialize, Serialize};
use std::hash::Hash;
use std::mem::discriminant;

/// The outputs of one stimulus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Said {
    /// How many.
    pub outputs: u32,
    /// CRC-32 of them.
    pub digest: u32,
}

/// Adds outputs up.
#[derive(Debug, Clone, Default)]
pub struct Digest {
    hasher: Hasher,
    outputs: u32,
    /// Contents are in the recording, so they count.
    whole: bool,
    /// Content of the present transaction has come: questions may be about it.
    content: bool,
}

impl Digest {
    /// `whole`: contents count.
    #[must_use]
    pub fn new(whole: bool) -> Self {
        Self { whole, ..Self::default() }
    }

    /// The outputs since the last call.
    #[must_use]
    pub fn said(&mut self) -> Said {
        let said = Said { outputs: self.outputs, digest: std::mem::take(&mut self.hasher).finalize() };
        self.outputs = 0;
        said
    }

    /// An output of a session.
    pub fn effect(&mut self, effect: &Effect) {
        self.outputs += 1;
        match effect {
            Effect::Identify => self.content = false,
            Effect::Stage(_) => self.content = true,
            _ => {}
        }
        if self.whole {
            return effect.hash(&mut self.hasher);
        }
        let hasher = &mut self.hasher;
        discriminant(effect).hash(hasher);
        match effect {
            Effect::Stage(octets) => octets.len().hash(hasher),
            Effect::Ask(Question::Lookup { table, .. }) if self.content => table.hash(hasher),
            Effect::Commit(message) => hash_message(message, hasher),
            Effect::Event(Event::HeaderRule { id, verb, .. }) => (id, verb).hash(hasher),
            Effect::Event(Event::Warning { program: "cleanup", id, .. }) => id.hash(hasher),
            other => other.hash(hasher),
        }
    }

    /// An output of the manager.
    pub fn output(&mut self, output: &Output) {
        self.outputs += 1;
        let hasher = &mut self.hasher;
        discriminant(output).hash(hasher);
        match output {
            Output::Route { id, recipients, .. } => (id, recipients).hash(hasher),
            Output::Attempt(attempt) => hash_attempt(attempt, hasher),
            Output::Report(plan) => {
                (plan.about.id, plan.kind, &plan.to, &plan.recipients, &plan.changes, plan.double_bounce)
                    .hash(hasher);
            }
            other => other.hash(hasher),
        }
    }
}

fn hash_message(message: &Message, hasher: &mut Hasher) {
    (message.id, &message.envelope, message.pieces.size(), message.stored, message.origin).hash(hasher);
    (&message.message_id, message.hold).hash(hasher);
}

fn hash_attempt(attempt: &Attempt, hasher: &mut Hasher) {
    let Attempt { id, message, transport, nexthop, sender, recipients, .. } = attempt;
    (id, message, transport, nexthop, sender, recipients).hash(hasher);
    (attempt.size, attempt.body, attempt.smtputf8, &attempt.envid, attempt.ret, attempt.arrived).hash(hasher);
    attempt.keep_connection.hash(hasher);
}
