//! Random moments that can be had again: splitmix64 over a seed that is printed.

use std::time::Duration;

use rolegate::model::{Entropy, OsEntropy};

/// A sequence of numbers.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    /// The sequence of `ROLEGATE_FAULTS_SEED`, or of a new seed; says which.
    pub(super) fn of(test: &str) -> Self {
        let asked = std::env::var("ROLEGATE_FAULTS_SEED").ok();
        let seed = asked.map_or_else(
            || {
                let mut bytes = [0; 8];
                OsEntropy.fill(&mut bytes);
                u64::from_le_bytes(bytes)
            },
            |text| text.parse().unwrap(),
        );
        println!("{test}: ROLEGATE_FAULTS_SEED={seed}");
        Self(seed)
    }

    /// A sequence of its own, which depends on this one's.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    /// One of `all`.
    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A time of less than `most` milliseconds.
    pub(super) fn moment(&mut self, most: usize) -> Duration {
        Duration::from_millis(u64::try_from(self.below(most)).unwrap())
    }
}
