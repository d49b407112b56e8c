//! What was decided of a lease, for as long as the same decision would be made: while nothing was revoked,
//! held or edited, the person has not signed in anew, and no time that counts has passed.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};

use super::Served;
use crate::model::{Credentials, RoleArn};
use crate::policy::Rules;

/// A decision with the credentials that it gives.
pub(super) struct Decided {
    pub(super) credentials: Arc<Credentials>,
    pub(super) role: Arc<RoleArn>,
    pub(super) basis: Basis,
    /// The earliest end of lease, grant and entry, and the time to renew.
    pub(super) until: DateTime<Utc>,
}

/// What a decision rests on; taken before anything is looked up.
pub(super) struct Basis {
    pub(super) rules: Arc<Rules>,
    pub(super) stamp: Stamp,
}

/// When something was looked up, counted in what may have changed it since.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) epoch: u64,
    /// Of the person.
    pub(super) arrivals: Count,
    /// Of the lease.
    pub(super) revocations: Count,
}

impl Decided {
    pub(super) fn serve(&self) -> Served {
        Served {
            credentials: Arc::clone(&self.credentials),
            role: Arc::clone(&self.role),
        }
    }
}

/// How often something happened, to those that share a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    place: usize,
    count: u32,
}

/// Counts what happens to persons or leases, in far fewer places than there are of them: one who shares a place
/// is looked up once more than needed.
pub(super) struct Counter {
    hasher: RandomState,
    places: Vec<AtomicU32>,
}

const PLACES: usize = 4096;

impl Counter {
    pub(super) fn new() -> Self {
        let mut places = Vec::new();
        places.resize_with(PLACES, AtomicU32::default);
        Self {
            hasher: RandomState::new(),
            places,
        }
    }

    pub(super) fn of(&self, whom: &impl Hash) -> Count {
        let hash = self.hasher.hash_one(whom);
        let place = usize::try_from(hash).unwrap_or(0) % PLACES;
        Count {
            place,
            count: self.count(place),
        }
    }

    pub(super) fn happened(&self, to: &impl Hash) {
        if let Some(place) = self.places.get(self.of(to).place) {
            place.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Whether nothing happened since.
    pub(super) fn stands_at(&self, count: Count) -> bool {
        self.count(count.place) == count.count
    }

    fn count(&self, place: usize) -> u32 {
        let place = self.places.get(place);
        place.map_or(0, |place| place.load(Ordering::SeqCst))
    }
}
