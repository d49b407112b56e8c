//! What was decided of a lease, for as long as the same decision would be made: while nothing was revoked,
//! held or edited, the person has not signed in anew, and no time that counts has passed.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};

use super::Served;
use crate::model::{Credentials, Person, RoleArn};
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
    pub(super) arrivals: Arrivals,
}

impl Decided {
    pub(super) fn serve(&self) -> Served {
        Served {
            credentials: Arc::clone(&self.credentials),
            role: Arc::clone(&self.role),
        }
    }
}

/// How often somebody signed in, of the persons that share a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrivals {
    place: usize,
    count: u32,
}

/// Counts sign-ins, by far fewer places than there are persons: one who shares a place is looked up once more
/// than needed.
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

    pub(super) fn of(&self, person: &Person) -> Arrivals {
        let hash = usize::try_from(self.hasher.hash_one(person) % 4096).unwrap_or(0);
        Arrivals {
            place: hash,
            count: self.count(hash),
        }
    }

    pub(super) fn arrived(&self, person: &Person) {
        if let Some(place) = self.places.get(self.of(person).place) {
            place.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Whether nobody came since.
    pub(super) fn stand_at(&self, arrivals: Arrivals) -> bool {
        self.count(arrivals.place) == arrivals.count
    }

    fn count(&self, place: usize) -> u32 {
        let place = self.places.get(place);
        place.map_or(0, |place| place.load(Ordering::SeqCst))
    }
}
