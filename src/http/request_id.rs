//! The id by which a request is found in the log: made here, never taken from who asks.
//!
//! A process draws one number at random when it starts and mixes it with a counter: no id comes twice from a
//! process, two processes share one by chance alone, and an id says neither how many came before nor what the next
//! will be to who reads it in passing. It guards nothing.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::Entropy;

/// Makes ids.
#[derive(Debug)]
pub struct RequestIds {
    seed: u64,
    made: AtomicU64,
}

/// One request's id: sixteen hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RequestId(u64);

impl RequestIds {
    /// Ids of this process.
    pub fn of(entropy: &dyn Entropy) -> Self {
        let mut seed = [0; 8];
        entropy.fill(&mut seed);
        Self {
            seed: u64::from_le_bytes(seed),
            made: AtomicU64::new(0),
        }
    }

    /// The next one, by a single atomic addition.
    pub(super) fn next(&self) -> RequestId {
        // splitmix64 (Steele, Lea, Flood, 2014), whose steps can each be undone, so that no two are alike.
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        let mut mixed = self
            .seed
            .wrapping_add(made.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        RequestId(mixed ^ (mixed >> 31))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::model::OsEntropy;

    #[test]
    fn ids_are_sixteen_digits_and_never_come_twice() {
        let (one, other) = (RequestIds::of(&OsEntropy), RequestIds::of(&OsEntropy));
        let made: HashSet<String> = (0..10_000)
            .flat_map(|_| [one.next().to_string(), other.next().to_string()])
            .collect();
        assert_eq!(made.len(), 20_000);
        let is_hex = |id: &String| id.len() == 16 && id.chars().all(|c| c.is_ascii_hexdigit());
        assert!(made.iter().all(is_hex));
    }
}
