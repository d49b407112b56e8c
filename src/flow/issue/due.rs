//! What is to be renewed, the soonest first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::Hot;
use crate::model::TokenHash;

#[derive(Default)]
struct Waiting {
    by_time: BTreeMap<(DateTime<Utc>, u64), (Arc<Hot>, TokenHash)>,
    added: u64,
}

/// Credentials by the time of their renewal, each with a lease that uses them and is asked then whether it
/// still may.
#[derive(Default)]
pub(super) struct DueList(Mutex<Waiting>);

impl DueList {
    pub(super) fn add(&self, at: DateTime<Utc>, hot: &Arc<Hot>, user: TokenHash) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.added += 1;
        let place = (at, waiting.added);
        waiting.by_time.insert(place, (Arc::clone(hot), user));
    }

    /// Takes those that are due at `now`.
    pub(super) fn take(&self, now: DateTime<Utc>) -> Vec<(Arc<Hot>, TokenHash)> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        while let Some(first) = waiting.by_time.first_entry()
            && first.key().0 <= now
        {
            taken.push(first.remove());
        }
        taken
    }
}
