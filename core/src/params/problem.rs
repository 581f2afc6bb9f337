//! What is wrong with a configuration, said so that an operator can mend it: file, line, what, and the remedy.

use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It works, but perhaps not as intended.
    Warning,
    /// A start or reload is refused.
    Error,
}

/// The file of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum File {
    /// Parameters.
    Main,
    /// Services.
    Master,
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "main.cf",
            Self::Master => "master.cf",
        })
    }
}

/// Where something was said: file and line, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file.
    pub file: File,
    /// The line on which the logical line begins; `None` when the fault is that of no line.
    pub line: Option<u32>,
}

impl Place {
    /// A line of main.cf.
    #[must_use]
    pub const fn main(line: u32) -> Self {
        Self { file: File::Main, line: Some(line) }
    }

    /// A line of master.cf.
    #[must_use]
    pub const fn master(line: u32) -> Self {
        Self { file: File::Master, line: Some(line) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => write!(f, "{}", self.file),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// How bad.
    pub severity: Severity,
    /// What is wrong, and what was expected.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// One for which a start is refused.
    #[must_use]
    pub fn error(place: Place, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place, severity: Severity::Error, text: text.into(), remedy: remedy.into() }
    }

    /// One that the operator should know of.
    #[must_use]
    pub fn warning(place: Place, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place, severity: Severity::Warning, text: text.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {word}: {}", self.place, self.text)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}
