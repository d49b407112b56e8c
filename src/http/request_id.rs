//! The id by which a request is found in the log: made here, never taken from who asks.
//!
//! Each is drawn at random, so that one says nothing of another, nor how many there were, and two requests share one
//! by chance alone. It guards nothing.

use std::fmt;
use std::sync::Arc;

use crate::model::Entropy;

/// Makes ids.
pub struct RequestIds {
    entropy: Arc<dyn Entropy>,
}

/// One request's id: sixteen hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RequestId(u64);

impl RequestIds {
    /// Ids of `entropy`.
    pub fn of(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy }
    }

    /// Another one.
    pub(super) fn next(&self) -> RequestId {
        let mut drawn = [0; 8];
        self.entropy.fill(&mut drawn);
        RequestId(u64::from_le_bytes(drawn))
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
    use std::sync::Mutex;

    use super::*;
    use crate::model::OsEntropy;

    /// Hands out what it was given, eight bytes at a time.
    struct Given(Mutex<Vec<u64>>);

    impl Entropy for Given {
        fn fill(&self, bytes: &mut [u8]) {
            let next = self.0.lock().unwrap().remove(0);
            bytes.copy_from_slice(&next.to_le_bytes());
        }
    }

    #[test]
    fn an_id_is_sixteen_digits_of_its_own() {
        let drawn = [7, u64::MAX, 0x0123_4567_89ab_cdef];
        let ids = RequestIds::of(Arc::new(Given(Mutex::new(drawn.to_vec()))));
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
