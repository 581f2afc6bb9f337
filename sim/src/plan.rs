//! A story that is worth keeping, as a file: the scenario, where it came from, and how it ended.
//!
//! A seed means nothing after a change of what is drawn; a plan does. Those of found bugs live in corpus/plans/, and each test
//! run tells them again.

use crate::story::{Scenario, tell};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A scenario and its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What it shows, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The seed that it was drawn from.
    pub seed: u64,
    /// The commit of the program that drew it.
    pub commit: String,
    /// All of the story.
    pub scenario: Scenario,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64, scenario: Scenario) -> Self {
        Self { about: String::new(), seed, commit: commit().to_owned(), scenario }
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

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?)
    }
}

/// The commit that this program was built from, as far as the build knew it.
#[must_use]
pub const fn commit() -> &'static str {
    match option_env!("POSTRIDER_COMMIT") {
        Some(commit) => commit,
        None => "unknown",
    }
}
