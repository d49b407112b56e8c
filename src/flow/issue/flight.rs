//! One task for an issue key, however many wait for it; and failures, remembered so that they are not
//! multiplied.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tracing::Instrument;

use super::hot::Hot;
use crate::flow::{MintFailure, Underway};
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
    Flying(watch::Receiver<Option<Outcome>>),
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
            Self::Flying(mut tower) => match tower.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone().unwrap_or(Outcome::Dropped),
                // The task is gone without a word; the next one to ask starts another.
                Err(_) => Outcome::Dropped,
            },
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

#[derive(Default)]
struct State {
    flying: HashMap<IssueKey, watch::Receiver<Option<Outcome>>>,
    failed: HashMap<IssueKey, Failure>,
}

/// The tasks on their way.
#[derive(Clone)]
pub(super) struct Flights {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
    underway: Underway,
}

impl Flights {
    pub(super) fn new(clock: Arc<dyn Clock>, underway: Underway) -> Self {
        Self {
            state: Arc::default(),
            clock,
            underway,
        }
    }

    /// Joins the task of `key`, or starts `work`. `lives` says whether there are credentials to go on with.
    pub(super) fn join<W, F>(&self, key: &IssueKey, lives: bool, work: W) -> Flight
    where
        W: FnOnce(IssueKey) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut state = self.locked();
        if let Some(flying) = state.flying.get(key) {
            return Flight::Flying(flying.clone());
        }
        if let Some(failure) = state.failed.get(key)
            && failure.counts(self.clock.now())
        {
            return Flight::Landed(failure.outcome.clone(), failure.until);
        }
        let (tower, flying) = watch::channel(None);
        state.flying.insert(key.clone(), flying.clone());
        drop(state);
        let landing = Landing {
            flights: self.clone(),
            key: key.clone(),
            lives,
        };
        let span = tracing::info_span!(target: TRACES, "issue");
        let work = work(key.clone()).instrument(span);
        self.underway.spawn(async move {
            let outcome = work.await;
            landing.note(&outcome);
            // Off the list first: who comes after this finds the outcome in memory.
            drop(landing);
            tower.send_replace(Some(outcome));
        });
        Flight::Flying(flying)
    }

    /// One of `key` that lands when a test says so: first the second is dropped, then the first told.
    #[cfg(test)]
    pub(super) fn held(
        &self,
        key: &IssueKey,
    ) -> (watch::Sender<Option<Outcome>>, impl Drop + use<>) {
        let (tower, flying) = watch::channel(None);
        self.locked().flying.insert(key.clone(), flying);
        let landing = Landing {
            flights: self.clone(),
            key: key.clone(),
            lives: false,
        };
        (tower, landing)
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a task off the list, also where it did not come to its end.
struct Landing {
    flights: Flights,
    key: IssueKey,
    lives: bool,
}

impl Landing {
    fn note(&self, outcome: &Outcome) {
        let now = self.flights.clock.now();
        let mut state = self.flights.locked();
        if !matches!(outcome, Outcome::Failed(_)) {
            state.failed.remove(&self.key);
            return;
        }
        // Old ones of keys that nobody asks for any more.
        if state.failed.len() > 10_000 {
            state.failed.retain(|_, failure| failure.counts(now));
        }
        let in_a_row = state.failed.get(&self.key).map_or(0, |old| old.in_a_row);
        let rest = if self.lives {
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
        state.failed.insert(self.key.clone(), failure);
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.locked().flying.remove(&self.key);
    }
}
