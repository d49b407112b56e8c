//! What is to be renewed, the soonest first, each issue key once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::Hot;
use super::hot::half;
use crate::model::{IssueKey, TokenHash};

/// Credentials that are to be renewed, with a lease that uses them and is asked then whether it still may.
pub(in crate::flow) struct Due {
    /// Half of the issue key's hash.
    key: u128,
    /// The credentials.
    pub(in crate::flow) hot: Arc<Hot>,
    /// The lease.
    pub(in crate::flow) user: TokenHash,
}

impl Due {
    pub(super) fn new(key: &IssueKey, hot: &Arc<Hot>, user: TokenHash) -> Self {
        Self {
            key: half(key),
            hot: Arc::clone(hot),
            user,
        }
    }
}

#[derive(Default)]
struct Waiting {
    by_time: BTreeMap<(DateTime<Utc>, u128), Due>,
    times: HashMap<u128, DateTime<Utc>>,
}

/// Credentials by the time of their renewal. What is added last for an issue key is all that is kept of it.
#[derive(Default)]
pub(super) struct DueList(Mutex<Waiting>);

impl DueList {
    pub(super) fn add(&self, at: DateTime<Utc>, due: Due) {
        let mut waiting = self.locked();
        let key = due.key;
        if let Some(before) = waiting.times.insert(key, at) {
            waiting.by_time.remove(&(before, key));
        }
        waiting.by_time.insert((at, key), due);
    }

    /// Takes those that are due at `now`.
    pub(super) fn take(&self, now: DateTime<Utc>) -> Vec<Due> {
        let mut waiting = self.locked();
        let mut taken = Vec::new();
        while let Some(first) = waiting.by_time.first_entry()
            && first.key().0 <= now
        {
            let due = first.remove();
            waiting.times.remove(&due.key);
            taken.push(due);
        }
        taken
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.locked().by_time.len()
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::flow::issue::hot::testing::{key, living_for, start};

    #[test]
    fn an_issue_key_waits_once_for_what_was_said_last() {
        let (list, one, two) = (DueList::default(), key(), key());
        let at = |seconds| start() + TimeDelta::seconds(seconds);
        let due = |key| {
            Due::new(
                key,
                &Arc::new(living_for(60)),
                TokenHash::from_stored([0; 32]),
            )
        };
        for again in 0..1000 {
            list.add(at(20 + again % 7), due(&one));
        }
        list.add(at(10), due(&two));
        list.add(at(30), due(&one));
        let waiting = |list: &DueList| {
            let waiting = list.locked();
            (waiting.by_time.len(), waiting.times.len())
        };
        assert_eq!(waiting(&list), (2, 2));
        let keys = |taken: Vec<Due>| taken.iter().map(|due| due.key).collect::<Vec<_>>();
        assert_eq!(keys(list.take(at(29))), [half(&two)]);
        assert_eq!(keys(list.take(at(29))), []);
        assert_eq!(keys(list.take(at(30))), [half(&one)]);
        assert_eq!(waiting(&list), (0, 0));
    }
}
