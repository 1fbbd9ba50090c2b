//! Chance, from a seed alone.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A stream of chance that a seed decides.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// One value; the number beside it is its weight.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[(T, u32)]) -> T {
        let total: u32 = choices.iter().map(|(_, weight)| weight).sum();
        let mut at = self.0.random_range(0..total.max(1));
        for (value, weight) in choices {
            if at < *weight {
                return *value;
            }
            at -= weight;
        }
        choices[0].0
    }

    /// True in `percent` of 100.
    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    /// A time in tenths of a second, from `low` to `high`.
    pub(crate) fn seconds(&mut self, low: f32, high: f32) -> f32 {
        self.0.random_range((low * 10.0) as u32..=(high * 10.0) as u32) as f32 / 10.0
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end.max(1))
    }

    /// True in `share` of all cases, in 0..=1.
    pub(crate) fn chance_of(&mut self, share: f64) -> bool {
        (self.0.random_range(0..1_000_000) as f64) < share * 1e6
    }
}
