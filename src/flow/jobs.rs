//! What runs from time to time, beside the requests: one table of small jobs, and the one runner of them all.
//!
//! Each job says what it removes or refreshes, how often, and why it does no harm twice, in one gateway after the
//! other or in two at once. The runner begins each a random while after the start and from then on within a tenth
//! of its interval, so that gateways which start together do not work together; never runs two of a kind at once;
//! gives each run a bounded time; and goes on with the next run whatever came of the last. It decides nothing and
//! trusts no job to end.
//!
//! What answers an event is no job: the pulse (changes in the store), the metadata of IdPs and the documents of OpenID
//! providers (each by its own cache times, by SIGHUP and by the change of a file), certificates (the same).

mod table;

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde::Serialize;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::RelayError;
use crate::audit::PruneError;
use crate::model::{Clock, Entropy};
use crate::store::{Removed, StoreError};
pub use table::{JobParts, table};

/// No job begins later than this after the start.
const SOON: Duration = Duration::from_mins(1);
/// An interval is longer or shorter by a random part of this share at most.
const JITTER: f64 = 0.1;

/// Why a run came to nothing.
#[derive(Debug, Error)]
pub enum JobError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The relay's keys.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The audit, which keeps its oldest records.
    #[error(transparent)]
    Audit(#[from] PruneError),
    /// It was stopped at its bound.
    #[error("it was not done after {0:?}")]
    TookTooLong(Duration),
    /// It broke off in the middle.
    #[error("it broke off, which is a fault of rolegate's own")]
    BrokeOff,
}

/// What one step of a job did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    /// How many rows or things it removed or refreshed.
    pub count: u64,
    /// Whether another step would find more to do at once.
    pub more: bool,
}

impl Step {
    /// All that was to do, in one step.
    pub fn whole(count: u64) -> Self {
        Self { count, more: false }
    }
}

impl From<Removed> for Step {
    fn from(removed: Removed) -> Self {
        Self {
            count: removed.rows,
            more: removed.more,
        }
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Step, JobError>> + Send>>;

/// A row of the table.
pub struct Job {
    /// Its stable name, for logs and metrics.
    pub name: &'static str,
    /// Which of several of this name, where there are: an OpenID provider's name.
    pub of: Option<String>,
    /// What it removes or refreshes.
    pub does: &'static str,
    /// How long after the end of a run the next one begins, but for jitter.
    pub every: Duration,
    /// How long a run may take.
    pub at_most: Duration,
    /// Why it does no harm to run it twice, or in two gateways at once.
    pub twice: &'static str,
    step: Box<dyn Fn() -> Running + Send + Sync>,
}

impl Job {
    /// A job that does `step` again for as long as there is more to do.
    pub fn new<F, Fut>(name: &'static str, does: &'static str, step: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Step, JobError>> + Send + 'static,
    {
        Self {
            name,
            of: None,
            does,
            every: Duration::from_mins(5),
            at_most: Duration::from_mins(1),
            twice: "",
            step: Box::new(move || Box::pin(step())),
        }
    }

    /// How often.
    #[must_use]
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Why twice is safe.
    #[must_use]
    pub fn twice(mut self, why: &'static str) -> Self {
        self.twice = why;
        self
    }

    /// Which of several of its name.
    #[must_use]
    pub fn of(mut self, which: String) -> Self {
        self.of = Some(which);
        self
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("name", &self.name)
            .field("of", &self.of)
            .finish_non_exhaustive()
    }
}

/// How a job has fared in this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Record {
    running: bool,
    last_run: Option<DateTime<Utc>>,
    last_success: Option<DateTime<Utc>>,
    last_took: Duration,
    last_count: u64,
    count: u64,
    runs: u64,
    failures: u64,
    failed_in_a_row: u64,
    last_error: Option<String>,
}

/// A job as metrics and admins see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobView {
    /// Its stable name.
    pub name: &'static str,
    /// Which of several of this name.
    pub of: Option<String>,
    /// What it removes or refreshes.
    pub does: &'static str,
    /// How often, in milliseconds.
    pub every_ms: u64,
    /// Why it does no harm twice.
    pub twice: &'static str,
    /// Whether it runs just now.
    pub running: bool,
    /// When the last run began.
    pub last_run: Option<DateTime<Utc>>,
    /// When the last run began that came to its end.
    pub last_success: Option<DateTime<Utc>>,
    /// How long the last run took, in milliseconds.
    pub last_took_ms: u64,
    /// What the last run removed or refreshed.
    pub last_count: u64,
    /// What all runs of this process did.
    pub count: u64,
    /// How many runs there were.
    pub runs: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How many have failed since the last that did not.
    pub failed_in_a_row: u64,
    /// What went wrong last, if the last run failed.
    pub last_error: Option<String>,
}

struct Kept {
    job: Job,
    record: Mutex<Record>,
}

/// The jobs of this process.
pub struct Jobs {
    all: Vec<Kept>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Jobs {
    /// The jobs of `table`; none of them runs yet.
    pub fn new(table: Vec<Job>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let keep = |job| Kept {
            job,
            record: Mutex::default(),
        };
        Self {
            all: table.into_iter().map(keep).collect(),
            clock,
            entropy,
        }
    }

    /// Runs them all, each in its time, until the future is dropped.
    pub async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        for at in 0..self.all.len() {
            let jobs = Arc::clone(&self);
            tasks.spawn(async move {
                if let Some(kept) = jobs.all.get(at) {
                    jobs.keep_running(kept).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// How each has fared, in the order of the table.
    pub fn views(&self) -> Vec<JobView> {
        self.all.iter().map(Kept::view).collect()
    }

    async fn keep_running(&self, kept: &Kept) {
        sleep(kept.job.every.min(SOON).mul_f64(self.chance())).await;
        loop {
            self.run_once(kept).await;
            let stretch = 1.0 - JITTER + 2.0 * JITTER * self.chance();
            sleep(kept.job.every.mul_f64(stretch)).await;
        }
    }

    /// Between 0 and 1.
    fn chance(&self) -> f64 {
        let mut bytes = [0; 4];
        self.entropy.fill(&mut bytes);
        f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
    }

    /// One run, if none is under way.
    async fn run_once(&self, kept: &Kept) {
        let at = self.clock.now();
        if !kept.begin(at) {
            return;
        }
        let begun = Instant::now();
        let bound = kept.job.at_most;
        let run = AssertUnwindSafe(kept.steps(begun)).catch_unwind();
        let ended = match timeout(bound, run).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(_)) => Err(JobError::BrokeOff),
            Err(_) => Err(JobError::TookTooLong(bound)),
        };
        kept.end(at, begun.elapsed(), ended);
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.all.iter().map(|kept| &kept.job))
            .finish()
    }
}

impl Kept {
    /// Steps until nothing is left to do, or half of the time is over: the next run goes on from there.
    async fn steps(&self, begun: Instant) -> Result<(), JobError> {
        loop {
            let step_begun = Instant::now();
            let step = (self.job.step)().await?;
            self.change(|record| {
                record.last_count += step.count;
                record.count += step.count;
            });
            if !step.more || begun.elapsed() > self.job.at_most / 2 {
                return Ok(());
            }
            // Requests have as much of the store's time as this.
            sleep(step_begun.elapsed()).await;
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self, at: DateTime<Utc>) -> bool {
        self.change(|record| {
            if record.running {
                return false;
            }
            record.running = true;
            record.last_run = Some(at);
            record.last_count = 0;
            record.runs += 1;
            true
        })
    }

    fn end(&self, at: DateTime<Utc>, took: Duration, ended: Result<(), JobError>) {
        let before = self.change(|record| {
            record.running = false;
            record.last_took = took;
            let before = record.failed_in_a_row;
            match &ended {
                Ok(()) => {
                    record.last_success = Some(at);
                    record.failed_in_a_row = 0;
                    record.last_error = None;
                }
                Err(error) => {
                    record.failures += 1;
                    record.failed_in_a_row += 1;
                    record.last_error = Some(error.to_string());
                }
            }
            before
        });
        let job = self.job.name;
        let of = self.job.of.as_deref().unwrap_or_default();
        match ended {
            Err(error) if before == 0 => {
                tracing::warn!(event = "job_failed", job, of, %error, "a job is tried again from time to time; it is told once when it works again");
            }
            Ok(()) if before > 0 => {
                tracing::info!(
                    event = "job_works",
                    job,
                    of,
                    failed = before,
                    "a job that had failed works again"
                );
            }
            _ => {}
        }
    }

    fn view(&self) -> JobView {
        let record = self.change(|record| record.clone());
        let job = &self.job;
        JobView {
            name: job.name,
            of: job.of.clone(),
            does: job.does,
            every_ms: milliseconds(job.every),
            twice: job.twice,
            running: record.running,
            last_run: record.last_run,
            last_success: record.last_success,
            last_took_ms: milliseconds(record.last_took),
            last_count: record.last_count,
            count: record.count,
            runs: record.runs,
            failures: record.failures,
            failed_in_a_row: record.failed_in_a_row,
            last_error: record.last_error,
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
