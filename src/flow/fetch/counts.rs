//! How often jobs fetched, and what they got: a single atomic addition for each.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Fetch, FetchError, Served};

/// Counters since the process started.
#[derive(Debug, Default)]
pub(in crate::flow) struct FetchCounts {
    served_from_memory: AtomicU64,
    served: AtomicU64,
    refused: AtomicU64,
    away: AtomicU64,
}

impl FetchCounts {
    /// Counts a fetch that found its answer in memory.
    pub(super) fn served_from_memory(&self) {
        self.served_from_memory.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a fetch that was looked up, or was not.
    pub(super) fn found(&self, found: &Result<Served, FetchError>) {
        let count = match found {
            Ok(_) => &self.served,
            Err(error) if is_away(error) => &self.away,
            Err(_) => &self.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Each outcome with how often it was.
    pub(in crate::flow) fn read(&self) -> [(&'static str, u64); 4] {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("served_from_memory", load(&self.served_from_memory)),
            ("served", load(&self.served)),
            ("refused", load(&self.refused)),
            ("away", load(&self.away)),
        ]
    }
}

impl Fetch {
    /// How fetches by leases went.
    pub(in crate::flow) fn counts(&self) -> &FetchCounts {
        &self.counts
    }
}

/// Whether the same fetch may get something a moment later, by nobody's doing.
fn is_away(error: &FetchError) -> bool {
    match error {
        FetchError::StsAway { .. }
        | FetchError::Pending(_)
        | FetchError::Unsettled
        | FetchError::StoreAway => true,
        FetchError::UnknownToken
        | FetchError::LeaseExpired(_)
        | FetchError::LeaseRevoked
        | FetchError::Held { .. }
        | FetchError::NotOffered { .. }
        | FetchError::NotAllowed { .. }
        | FetchError::CannotNarrow { .. }
        | FetchError::TokenStays(_)
        | FetchError::RefusedBySts { .. }
        | FetchError::SignInNeeded { .. } => false,
    }
}
