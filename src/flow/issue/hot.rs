//! Credentials in memory, and when they are to be renewed.
//!
//! Those who serve them, or have them renewed, keep them; here they are only found. What was read before
//! something was revoked is not found again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::{Credentials, IssueKey};

/// What a job is given shall live for so long at least; SDKs begin to ask again when 15 minutes are left.
const AHEAD: TimeDelta = TimeDelta::minutes(20);

/// How far credentials are on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// Good for all.
    Fresh,
    /// Time to renew them, while they are still good for all.
    Due,
    /// Less is left than a job should be given.
    Overdue,
    /// Of no use.
    Expired,
}

/// Credentials that are served.
pub(in crate::flow) struct Hot {
    pub(in crate::flow) credentials: Arc<Credentials>,
    epoch: u64,
    renew_at: DateTime<Utc>,
    overdue_at: DateTime<Utc>,
    has_user: AtomicBool,
    /// Whether there is nothing to have newer ones by.
    is_last: AtomicBool,
}

impl Hot {
    /// Credentials of `key`. They are due 20 minutes before their end, or after two thirds of a shorter life,
    /// and a little earlier: by a part of that which differs from key to key, so that what was issued
    /// together is not renewed together.
    fn new(key: &IssueKey, credentials: Credentials, epoch: u64) -> Self {
        let life = credentials.expires_at - credentials.issued_at;
        let margin = AHEAD.min(life / 3);
        // The key is a hash, so its digits are spread evenly.
        let digits = key.as_str().get(..2).unwrap_or("0");
        let spread = i32::from_str_radix(digits, 16).unwrap_or(0);
        let lead = margin / 8 + margin / 4 * spread / 256;
        Self {
            epoch,
            renew_at: credentials.expires_at - margin - lead,
            overdue_at: credentials.expires_at - margin,
            credentials: Arc::new(credentials),
            has_user: AtomicBool::new(false),
            is_last: AtomicBool::new(false),
        }
    }

    /// Whether nothing was ended or revoked since they were found.
    pub(super) fn is_of(&self, epoch: u64) -> bool {
        self.epoch == epoch
    }

    /// When they are due for renewal; their end where they are the last.
    pub(in crate::flow) fn renew_at(&self) -> DateTime<Utc> {
        if self.is_last() {
            return self.credentials.expires_at;
        }
        self.renew_at
    }

    /// Nothing is left to renew them from: they are good to their end, and nobody asks for others.
    pub(super) fn keep_to_the_end(&self) {
        self.is_last.store(true, Ordering::Relaxed);
    }

    /// Whether nothing is left to renew them from.
    pub(super) fn is_last(&self) -> bool {
        self.is_last.load(Ordering::Relaxed)
    }

    pub(super) fn age(&self, now: DateTime<Utc>) -> Age {
        if now < self.renew_at() {
            Age::Fresh
        } else if now < self.overdue_at {
            Age::Due
        } else if now < self.credentials.expires_at {
            Age::Overdue
        } else {
            Age::Expired
        }
    }

    /// Whether nobody was known to use them; somebody is from now on.
    pub(super) fn is_first_user(&self) -> bool {
        !self.has_user.load(Ordering::Relaxed) && !self.has_user.swap(true, Ordering::Relaxed)
    }

    /// Nobody is known to use them: who fetches them next is taken for the first.
    pub(in crate::flow) fn forget_user(&self) {
        self.has_user.store(false, Ordering::Relaxed);
    }
}

/// Issue keys by the first half of their hash, which no two keys share.
#[derive(Default)]
pub(super) struct HotMap {
    epoch: AtomicU64,
    found: Mutex<HashMap<u128, Weak<Hot>>>,
}

impl HotMap {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    pub(super) fn forget(&self) {
        // Counted first: what is put back after this by who read it before is not found.
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    pub(super) fn get(&self, key: &IssueKey) -> Option<Arc<Hot>> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let hot = found.get(&half(key)).and_then(Weak::upgrade);
        hot.filter(|hot| hot.epoch == self.epoch())
    }

    /// Keeps what was read, or made, when `epoch` was counted.
    pub(super) fn keep(&self, key: &IssueKey, credentials: Credentials, epoch: u64) -> Arc<Hot> {
        let hot = Arc::new(Hot::new(key, credentials, epoch));
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() == found.capacity() {
            found.retain(|_, hot| hot.strong_count() > 0);
        }
        found.insert(half(key), Arc::downgrade(&hot));
        hot
    }
}

/// The first half of the hash that an issue key is.
pub(super) fn half(key: &IssueKey) -> u128 {
    let digits = key.as_str().get(..32).unwrap_or_default();
    u128::from_str_radix(digits, 16).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::model::{
        FixedClock, Method, OsEntropy, RoleArn, Secret, SessionDuration, SessionId,
    };

    /// That of another session each time.
    pub(in crate::flow::issue) fn key() -> IssueKey {
        let role: RoleArn = "arn:aws:iam::123456789012:role/reader".parse().unwrap();
        let session = SessionId::fresh(&FixedClock::new(start()), &OsEntropy);
        IssueKey::new(&session, &role, Method::Relay, SessionDuration::DEFAULT, "")
    }

    pub(in crate::flow::issue) fn start() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    pub(in crate::flow::issue) fn living_for(seconds: i64) -> Hot {
        let credentials = Credentials {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: Secret::new(String::new()),
            session_token: Secret::new(String::new()),
            issued_at: start(),
            expires_at: start() + TimeDelta::seconds(seconds),
        };
        Hot::new(&key(), credentials, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{living_for, start};
    use super::*;

    #[test]
    fn what_is_given_out_has_twenty_minutes_left_or_a_third_of_its_life() {
        for (life, left) in [(43_200, 1200), (3600, 1200), (900, 300), (6, 2)] {
            let hot = living_for(life);
            let at = |before_end: i64| {
                hot.age(start() + TimeDelta::milliseconds(1000 * life - before_end))
            };
            assert_eq!(hot.age(start()), Age::Fresh);
            assert_eq!(at(1000 * left), Age::Overdue, "{life}");
            assert_eq!(at(1000 * left + 1), Age::Due, "{life}");
            // An eighth to three eighths of the margin earlier.
            assert_eq!(at(1000 * left + 1000 * left / 8), Age::Due, "{life}");
            assert_eq!(
                at(1000 * left + 1000 * left * 3 / 8 + 1),
                Age::Fresh,
                "{life}"
            );
            assert_eq!(at(0), Age::Expired);
        }
    }

    #[test]
    fn what_was_issued_together_is_not_renewed_together() {
        let times: std::collections::BTreeSet<_> =
            (0..50).map(|_| living_for(3600).renew_at()).collect();
        assert!(times.len() > 20, "{}", times.len());
    }

    #[test]
    fn the_last_are_good_to_their_end() {
        let hot = living_for(3600);
        let late = start() + TimeDelta::seconds(3599);
        assert_eq!(hot.age(late), Age::Overdue);
        hot.keep_to_the_end();
        assert_eq!(hot.age(late), Age::Fresh);
        assert_eq!(hot.renew_at(), hot.credentials.expires_at);
        assert_eq!(hot.age(hot.credentials.expires_at), Age::Expired);
    }

    #[test]
    fn the_first_user_is_told_apart_until_it_leaves() {
        let hot = living_for(60);
        assert!(hot.is_first_user());
        assert!(!hot.is_first_user());
        hot.forget_user();
        assert!(hot.is_first_user());
    }
}
