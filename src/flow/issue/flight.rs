//! The task that asks STS for an issue key; and failures, remembered so that they are not multiplied.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::Instrument;

use super::hot::Hot;
use crate::flow::{MintFailure, Underway, flights};
use crate::model::{Clock, IssueKey, TRACES};

/// A failure keeps everybody from asking again for so long.
const REMEMBERED: TimeDelta = TimeDelta::seconds(2);
/// Where there are credentials to go on with, twice as long after each failure, up to this.
const REMEMBERED_AT_MOST: TimeDelta = TimeDelta::seconds(60);

/// What came of asking.
#[derive(Clone)]
pub(super) enum Outcome {
    /// Credentials.
    Issued(Arc<Hot>),
    /// None, and why.
    Failed(Arc<MintFailure>),
    /// The session was ended in between.
    Dropped,
}

/// The way to an outcome.
pub(super) enum Flight {
    /// It is remembered, and until then nobody asks.
    Landed(Outcome, DateTime<Utc>),
    /// A task is on its way.
    Flying(flights::Flight<Outcome>),
}

impl Flight {
    /// Until when it is remembered, where it is.
    pub(super) fn remembered_until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Landed(_, until) => Some(*until),
            Self::Flying(_) => None,
        }
    }

    /// Waits for it.
    pub(super) async fn outcome(self) -> Outcome {
        match self {
            Self::Landed(outcome, _) => outcome,
            Self::Flying(flight) => flight.landed().await.unwrap_or(Outcome::Dropped),
        }
    }
}

/// The tasks on their way.
pub(super) struct Flights {
    /// Those alone, whatever is remembered.
    pub(super) tasks: flights::Flights<IssueKey, Outcome>,
    failures: Failures,
}

impl Flights {
    pub(super) fn new(clock: Arc<dyn Clock>, underway: Underway) -> Self {
        Self {
            tasks: flights::Flights::new(underway),
            failures: Failures {
                by_key: Arc::default(),
                clock,
            },
        }
    }

    /// Joins the task of `key`, or starts `work`. `lives` says whether there are credentials to go on with.
    pub(super) fn join<W, F>(&self, key: &IssueKey, lives: bool, work: W) -> Flight
    where
        W: FnOnce(IssueKey) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let failures = self.failures.clone();
        let joined = self.tasks.join_unless(
            key,
            || self.failures.of(key),
            |key| {
                let span = tracing::info_span!(target: TRACES, "issue");
                let work = work(key.clone()).instrument(span);
                async move {
                    let outcome = work.await;
                    failures.note(&key, &outcome, lives);
                    outcome
                }
            },
        );
        match joined {
            Ok(flight) => Flight::Flying(flight),
            Err((outcome, until)) => Flight::Landed(outcome, until),
        }
    }
}

/// A failure, until when it counts, and how many there were in a row.
struct Failure {
    outcome: Outcome,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    in_a_row: u32,
}

impl Failure {
    /// Whether it keeps anybody from asking at `now`; not where the clock was put back since.
    fn counts(&self, now: DateTime<Utc>) -> bool {
        self.since <= now && now < self.until
    }
}

/// What failed of late.
#[derive(Clone)]
struct Failures {
    by_key: Arc<Mutex<HashMap<IssueKey, Failure>>>,
    clock: Arc<dyn Clock>,
}

impl Failures {
    /// What keeps anybody from asking for `key`, and until when.
    fn of(&self, key: &IssueKey) -> Option<(Outcome, DateTime<Utc>)> {
        let by_key = self.locked();
        let failure = by_key.get(key)?;
        let counts = failure.counts(self.clock.now());
        counts.then(|| (failure.outcome.clone(), failure.until))
    }

    fn note(&self, key: &IssueKey, outcome: &Outcome, lives: bool) {
        let now = self.clock.now();
        let mut by_key = self.locked();
        if !matches!(outcome, Outcome::Failed(_)) {
            by_key.remove(key);
            return;
        }
        // Old ones of keys that nobody asks for any more.
        if by_key.len() > 10_000 {
            by_key.retain(|_, failure| failure.counts(now));
        }
        let in_a_row = by_key.get(key).map_or(0, |old| old.in_a_row);
        let rest = if lives {
            let doubled = REMEMBERED * 2_i32.saturating_pow(in_a_row.min(10));
            doubled.min(REMEMBERED_AT_MOST)
        } else {
            REMEMBERED
        };
        let failure = Failure {
            outcome: outcome.clone(),
            since: now,
            until: now + rest,
            in_a_row: in_a_row + 1,
        };
        by_key.insert(key.clone(), failure);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<IssueKey, Failure>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
