//! A story that fails, told again with less, until nothing can be left out.
//!
//! What is left out is left out of the plan only: all else is drawn from the seed as before. A seed means nothing after a
//! change of the code; the plan that is left tells a person what it took.

use crate::swarm::{Choices, Ending, tell};

/// Leaves out one trouble after the other as long as some rule stays broken. `None` when the story does not fail.
#[must_use]
pub fn shrink(choices: &Choices) -> Option<(Choices, Ending)> {
    let mut best = choices.clone();
    let mut ending = tell(&best);
    if ending.violations.is_empty() {
        return None;
    }
    // Large pieces first: most troubles have nothing to do with it.
    let count = ending.plan.len();
    let mut size = count.div_ceil(2).max(1);
    loop {
        for start in (0..count).step_by(size) {
            let mut fewer = best.clone();
            fewer.spared.extend(start..(start + size).min(count));
            if fewer.spared == best.spared {
                continue;
            }
            let other = tell(&fewer);
            if !other.violations.is_empty() {
                (best, ending) = (fewer, other);
            }
        }
        if size == 1 {
            return Some((best, ending));
        }
        size = size.div_ceil(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_that_fails_shrinks_to_the_trouble_that_it_takes() {
        let failing = (0..40).map(|seed| Choices { lying_disks: true, ..Choices::of(seed) });
        let (before, (after, ending)) = failing
            .map(|choices| (tell(&choices).plan.len(), shrink(&choices)))
            .find_map(|(n, s)| Some((n, s?)))
            .expect("disks that lie lose mail");
        let left = ending.plan.len() - after.spared.len();
        assert!(left >= 1 && left < before, "{left} of {before}");
    }
}
