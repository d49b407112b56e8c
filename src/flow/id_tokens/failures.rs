//! Refreshes that failed, so that they are not multiplied: who wants the same token meanwhile is told the same.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::TokenProblem;
use crate::model::SessionId;

/// So many are remembered before those that count no more are forgotten.
const MANY: usize = 10_000;

struct Failure {
    problem: TokenProblem,
    until: DateTime<Utc>,
    in_a_row: u32,
}

/// The last failures, by session.
#[derive(Default)]
pub(super) struct Failures(Mutex<HashMap<SessionId, Failure>>);

impl Failures {
    /// The failure that still counts at `now`.
    pub(super) fn of(&self, session: &SessionId, now: DateTime<Utc>) -> Option<TokenProblem> {
        let failures = self.locked();
        let failure = failures.get(session)?;
        (now < failure.until).then(|| failure.problem.clone())
    }

    /// How many there would be in a row with one more.
    pub(super) fn next(&self, session: &SessionId) -> u32 {
        let failures = self.locked();
        let before = failures.get(session).map_or(0, |failure| failure.in_a_row);
        before.saturating_add(1)
    }

    /// Keeps everybody from asking again until then.
    pub(super) fn note(
        &self,
        session: &SessionId,
        problem: TokenProblem,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) {
        let in_a_row = self.next(session);
        let mut failures = self.locked();
        if failures.len() > MANY {
            failures.retain(|_, failure| now < failure.until);
        }
        let failure = Failure {
            problem,
            until,
            in_a_row,
        };
        failures.insert(session.clone(), failure);
    }

    /// It went well.
    pub(super) fn forget(&self, session: &SessionId) {
        self.locked().remove(session);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<SessionId, Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
