//! The only chance in the house, always seeded from outside.
//!
//! Production seeds it from the operating system's generator (and again for each DNS question), simulation from
//! its own seed. SplitMix64: tiny, fast, and good enough for shuffles and jitter. What must be
//! unguessable (DNS ids and ports) is handed in as an input instead.

use serde::{Deserialize, Serialize};

/// A seeded generator.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prng(u64);

impl Prng {
    /// The generator of this seed; equal seeds give equal sequences.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Multiply-shift: its bias is below 2^-32 for the bounds of a mail server (all far below 2^32).
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True with probability `numerator` / `denominator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// Puts a slice in a random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Prng;

    #[test]
    fn equal_seeds_give_equal_sequences() {
        let (mut a, mut b) = (Prng::new(7), Prng::new(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
    }

    #[test]
    fn numbers_stay_below_the_bound_and_reach_every_value() {
        let mut prng = Prng::new(1);
        let mut seen = [0u32; 6];
        (0..6_000).for_each(|_| seen[prng.below(6) as usize] += 1);
        assert!(seen.iter().all(|&count| count > 800), "{seen:?}");
        assert_eq!(prng.below(0), 0);
    }
}
