//! Octets that come a few at a time.

use postrider_core::prng::Prng;
use postrider_core::time::Duration;

/// Pieces at the beginning that are small, and as many at the end: between them the rest comes whole, for events are not free.
const SMALL: usize = 3;
/// Octets of a small piece, at most.
const FEW: u64 = 4;
/// Most microseconds between two pieces.
const PAUSE_MAX: u64 = 4_000_000;
/// A shorter pause is none that anybody would notice.
const SLOW: Duration = Duration::from_secs(1);

/// A piece, and what passes before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drop {
    pub(super) pause: Duration,
    pub(super) octets: Vec<u8>,
}

impl Drop {
    /// It keeps who reads waiting.
    pub(super) fn is_slow(&self) -> bool {
        self.pause > SLOW
    }
}

/// Octets in drops: small ones, all that is between, small ones again, so that also a line's end is torn.
pub(super) fn drops(prng: &mut Prng, octets: &[u8]) -> Vec<Drop> {
    let mut piece = |rest: usize| (1 + prng.below(FEW) as usize).min(rest);
    let mut ends = Vec::with_capacity(2 * SMALL + 1);
    let mut at = 0;
    for _ in 0..SMALL {
        at += piece(octets.len() - at);
        ends.push(at);
    }
    let mut tail = octets.len();
    let mut tails = vec![tail];
    for _ in 0..SMALL {
        tail -= piece(tail - at);
        tails.push(tail);
    }
    ends.extend(tails.into_iter().rev());
    let mut from = 0;
    let mut all = Vec::with_capacity(ends.len());
    for end in ends.into_iter().filter(|end| *end <= octets.len()) {
        if end > from {
            let pause = Duration::from_micros(100_000 + prng.below(PAUSE_MAX));
            all.push(Drop { pause, octets: octets[from..end].to_vec() });
            from = end;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_all_of_it_in_order_and_few() {
        let mut prng = Prng::new(3);
        for length in [0_usize, 1, 2, 5, 30, 5_000] {
            let octets: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let all = drops(&mut prng, &octets);
            assert!(all.len() <= 2 * SMALL + 1, "{length}: {}", all.len());
            assert!(all.len() > 1 || length < 2 + FEW as usize, "{length}: {}", all.len());
            assert_eq!(all.iter().flat_map(|drop| drop.octets.clone()).collect::<Vec<_>>(), octets);
        }
    }
}
