//! A story that is worth keeping, as a file: the scenario, where it came from, and how it ended.
//!
//! A seed means nothing after a change of what is drawn; a plan does, as far as it goes: the dice that fall while it is told are not in it. So
//! those of found bugs, which live in corpus/plans/ and are told in each run of the tests, name the switch that brings their bug back: with it
//! they break a rule, or they show nothing any more.

use crate::story::{Ending, Scenario, tell};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A scenario and its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What it shows, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The switch that brings back what it is about (core/src/planted.rs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bug: Option<String>,
    /// The seed that it was drawn from.
    pub seed: u64,
    /// The commit of the program that drew it, or told it last.
    pub commit: String,
    /// The hash of its trace as that program told it, in hexadecimal; `None` where it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// All of the story.
    pub scenario: Scenario,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64, scenario: Scenario) -> Self {
        Self { about: String::new(), bug: None, seed, commit: built(), trace: None, scenario }
    }

    /// The same, with the hash of its trace as this program has told it.
    #[must_use]
    pub fn told(self, ending: &Ending) -> Self {
        Self { commit: built(), trace: Some(format!("{:016x}", ending.trace)), ..self }
    }

    /// Compares a story that was told again with what the plan has of it.
    #[must_use]
    pub fn compare(&self, ending: &Ending) -> Replay {
        let recorded = self.trace.as_ref();
        match recorded.map(|recorded| *recorded == format!("{:016x}", ending.trace)) {
            None => Replay::Unknown,
            Some(true) => Replay::Same,
            Some(false) if self.commit == built() => Replay::Broken,
            Some(false) => Replay::Other,
        }
    }

    /// What a comparison says, for people; `None` where there was nothing to compare.
    #[must_use]
    pub fn in_words(&self, replay: Replay) -> Option<String> {
        let recorded = self.trace.as_deref().unwrap_or_default();
        let (theirs, ours) = (&self.commit, built());
        match replay {
            Replay::Unknown => None,
            Replay::Same => Some("the trace is as recorded".to_owned()),
            Replay::Other => Some(format!(
                "the trace differs from the recorded {recorded}: that is of commit {theirs}, this is {ours}"
            )),
            Replay::Broken => Some(format!(
                "NOT REPRODUCED: the trace differs from the recorded {recorded}, of this same commit {ours}"
            )),
        }
    }

    /// What people said of it, and the bug that it shows, where that is not in this program; a line for each.
    #[must_use]
    pub fn preface(&self) -> String {
        let mut text = String::new();
        if !self.about.is_empty() {
            text += &format!("about: {}\n", self.about);
        }
        match self.bug.as_deref() {
            Some(bug) if planted() == Some(bug) => text += &format!("bug: {bug}, which is planted\n"),
            Some(bug) => {
                text += &format!("bug: {bug}, which is not planted here: this is the story without it\n")
            }
            None => {}
        }
        text
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// In words, where the text is no plan.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// True when the story breaks a rule.
    #[must_use]
    pub fn fails(&self) -> bool {
        !tell(&self.scenario, false).violations.is_empty()
    }
}

/// How a story that was told again compares with what its plan has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// The plan has no hash.
    Unknown,
    /// The same history.
    Same,
    /// Another history, by other code: no fault.
    Other,
    /// Another history, by the same code: nothing that the simulator says can be relied on.
    Broken,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?)
    }
}

/// The commit that this program was built from. Where sources were changed, or there is no repository, a digest of them is behind it; and the bug
/// that is planted, since that is other code as well.
#[must_use]
pub fn built() -> String {
    let commit = env!("POSTRIDER_COMMIT");
    match planted() {
        Some(bug) => format!("{commit} with {bug}"),
        None => commit.to_owned(),
    }
}

#[cfg(feature = "planted")]
fn planted() -> Option<&'static str> {
    postrider_core::planted::Bug::planted()
}

#[cfg(not(feature = "planted"))]
const fn planted() -> Option<&'static str> {
    None
}
