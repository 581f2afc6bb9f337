//! Why: reasons of a decision, for who asks afterwards.
//!
//! A machine notes its reasons where it decides. Nobody listens in a daemon: then the words are not even put together. Who takes a
//! recorded decision again (docs/RECORDING.md) listens, and reads what the code that ships says of itself.

/// Reasons so far, if anybody listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Because(Option<Vec<String>>);

impl Because {
    /// With somebody who listens.
    #[must_use]
    pub const fn heard() -> Self {
        Self(Some(Vec::new()))
    }

    /// From now on somebody listens.
    pub fn listen(&mut self) {
        self.0.get_or_insert_default();
    }

    /// True when it is worth finding out more than the decision itself needs.
    #[must_use]
    pub const fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// A reason; it is put into words only when somebody listens.
    pub fn note(&mut self, words: impl FnOnce() -> String) {
        if let Some(reasons) = &mut self.0 {
            reasons.push(words());
        }
    }

    /// How many there are, for [`Because::forget`].
    #[must_use]
    pub fn mark(&self) -> usize {
        self.0.as_ref().map_or(0, Vec::len)
    }

    /// Forgets all behind a mark: a decision that paused runs again, and says it again.
    pub fn forget(&mut self, mark: usize) {
        if let Some(reasons) = &mut self.0 {
            reasons.truncate(mark);
        }
    }

    /// All of them; none are left.
    #[must_use]
    pub fn take(&mut self) -> Vec<String> {
        self.0.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_put_into_words_when_nobody_listens() {
        let mut because = Because::default();
        because.note(|| unreachable!("nobody listens"));
        assert!(because.take().is_empty());
    }

    #[test]
    fn a_decision_that_runs_again_says_its_reasons_once() {
        let mut because = Because::heard();
        because.note(|| "before".to_owned());
        let mark = because.mark();
        because.note(|| "half".to_owned());
        because.forget(mark);
        because.note(|| "whole".to_owned());
        assert_eq!(because.take(), ["before", "whole"]);
        assert!(because.is_heard() && because.take().is_empty());
    }
}
