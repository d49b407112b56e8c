//! The id by which a request is found in the log: made here, never taken from who asks.
//!
//! Each is drawn at random, so that one says nothing of another, nor how many there were, and two requests share one
//! by chance alone. It guards nothing.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::Entropy;

/// Drawn at once: what one costs is the same for many, and every request takes one.
const DRAWN: usize = 64;

/// Makes ids.
pub struct RequestIds {
    entropy: Arc<dyn Entropy>,
    drawn: Mutex<Vec<RequestId>>,
}

/// One request's id: sixteen hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RequestId(u64);

impl RequestIds {
    /// Ids of `entropy`.
    pub fn of(entropy: Arc<dyn Entropy>) -> Self {
        let drawn = Mutex::new(Vec::with_capacity(DRAWN));
        Self { entropy, drawn }
    }

    /// Another one.
    pub(super) fn next(&self) -> RequestId {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.is_empty() {
            let mut bytes = [0; 8 * DRAWN];
            self.entropy.fill(&mut bytes);
            let (each, _) = bytes.as_chunks();
            drawn.extend(each.iter().map(|each| RequestId(u64::from_le_bytes(*each))));
        }
        // There is one.
        drawn.pop().unwrap_or(RequestId(0))
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

    /// Hands out what it was given, from the last to the first, over and over.
    struct Given(Vec<u64>);

    impl Entropy for Given {
        fn fill(&self, bytes: &mut [u8]) {
            let given = self.0.iter().cycle();
            let each = bytes.rchunks_mut(8).zip(given);
            each.for_each(|(bytes, given)| bytes.copy_from_slice(&given.to_le_bytes()));
        }
    }

    #[test]
    fn an_id_is_sixteen_digits_of_its_own() {
        let drawn = [7, u64::MAX, 0x0123_4567_89ab_cdef];
        let ids = RequestIds::of(Arc::new(Given(drawn.to_vec())));
        let made = drawn.map(|_| ids.next().to_string());
        let expected = ["0000000000000007", "ffffffffffffffff", "0123456789abcdef"];
        assert_eq!(made, expected, "nothing of one is in another");
    }

    #[test]
    fn ids_of_the_system_differ() {
        let ids = RequestIds::of(Arc::new(OsEntropy));
        let made: HashSet<RequestId> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(made.len(), 10_000);
    }
}
