//! Which credentials each lease was given last, so that each is in the audit once.
//!
//! Kept as hashes under a key of this process: a lease that is forgotten is recorded once more.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::LeaseId;

/// Leases that are remembered at most.
const MOST: usize = 1_000_000;

#[derive(Default)]
pub(super) struct Recorded {
    hasher: RandomState,
    last: Mutex<HashMap<u64, u64>>,
}

impl Recorded {
    /// Whether `what` is the last that `lease` was recorded to have been given, in the way of `kind`.
    pub(super) fn has(&self, lease: &LeaseId, kind: &str, what: &str) -> bool {
        let key = self.hasher.hash_one((lease, kind));
        let last = self.locked().get(&key).copied();
        last == Some(self.hasher.hash_one(what))
    }

    pub(super) fn keep(&self, lease: &LeaseId, kind: &str, what: &str) {
        let key = self.hasher.hash_one((lease, kind));
        let mut last = self.locked();
        if last.len() >= MOST {
            last.clear();
        }
        last.insert(key, self.hasher.hash_one(what));
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
