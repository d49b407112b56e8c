//! Time is handed in: rooms take a [`Clock`] or a `now`, never the system's clock.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Serialize, Serializer};

/// Where a room reads the time of day.
pub trait Clock: Send + Sync {
    /// The time now, UTC.
    fn now(&self) -> DateTime<Utc>;

    /// How long ago some moment was that never changes; nobody puts this forward or back.
    fn steady(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the system clock"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn steady(&self) -> Duration {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        FIRST.get_or_init(Instant::now).elapsed()
    }
}

/// A clock that stands where it was put, for `explain --at` and for tests.
#[derive(Debug)]
pub struct FixedClock(Mutex<(DateTime<Utc>, Duration)>);

impl FixedClock {
    /// A clock that reads `at` until it is moved.
    pub fn new(at: DateTime<Utc>) -> Self {
        Self(Mutex::new((at, Duration::ZERO)))
    }

    /// Lets `time` pass; less than none puts the clock back, as [`FixedClock::step`] does.
    pub fn advance(&self, time: TimeDelta) {
        let mut at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        at.0 += time;
        at.1 += time.to_std().unwrap_or_default();
    }

    /// Puts the clock forward or back by `step`, while no time passes.
    pub fn step(&self, step: TimeDelta) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += step;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn steady(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

/// RFC 3339 in UTC with whole seconds and `Z`, the only form that every AWS SDK reads.
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// For `serialize_with`: as [`rfc3339`] writes it.
pub(super) fn as_rfc3339<S: Serializer>(at: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*at))
}

/// As [`as_rfc3339`], null for none.
#[expect(clippy::ref_option, reason = "serde hands a reference to the field")]
pub(super) fn maybe_rfc3339<S: Serializer>(
    at: &Option<DateTime<Utc>>,
    to: S,
) -> Result<S::Ok, S::Error> {
    at.map(rfc3339).serialize(to)
}

/// Whole seconds from `from` to `to`, zero where `to` is not later.
pub fn seconds_between(from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    u64::try_from((to - from).num_seconds()).unwrap_or(0)
}
