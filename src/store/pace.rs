//! Whether the clock has gone evenly for a while.
//!
//! What is removed because its time is over is gone for good, also where the clock is put back a minute later: a
//! replay id among it would let its assertion in once more. So nothing is removed until the clock has gone as
//! steadily as the machine for longer than an assertion is taken at all, since the start and since each step.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::Clock;

/// Longer than an assertion is taken after it was issued, which is five minutes and the skew of clocks.
const EVENLY: Duration = Duration::from_mins(10);
/// A clock that is merely corrected moves by less.
const STEP: TimeDelta = TimeDelta::seconds(60);

/// How the clock went since the store was opened.
pub(super) struct Pace(Mutex<Seen>);

struct Seen {
    now: DateTime<Utc>,
    steady: Duration,
    /// Since when it has gone evenly.
    since: Duration,
}

impl Pace {
    pub(super) fn of(clock: &dyn Clock) -> Self {
        let steady = clock.steady();
        Self(Mutex::new(Seen {
            now: clock.now(),
            steady,
            since: steady,
        }))
    }

    /// Whether it has gone evenly for ten minutes, as far as it was looked at: each look notices a step since the
    /// last.
    pub(super) fn is_even(&self, clock: &dyn Clock) -> bool {
        let (now, steady) = (clock.now(), clock.steady());
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = steady.saturating_sub(seen.steady);
        let due = seen.now + TimeDelta::from_std(passed).unwrap_or(TimeDelta::MAX);
        if (now - due).abs() > STEP {
            seen.since = steady;
        }
        (seen.now, seen.steady) = (now, steady);
        steady.saturating_sub(seen.since) >= EVENLY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FixedClock;

    #[test]
    fn a_clock_that_jumps_is_trusted_after_ten_minutes() {
        let clock = FixedClock::new("2026-03-01T12:00:00Z".parse().unwrap());
        let pace = Pace::of(&clock);
        assert!(!pace.is_even(&clock), "it may be wrong from the start");
        clock.advance(TimeDelta::minutes(10));
        assert!(pace.is_even(&clock));
        for step in [TimeDelta::hours(25), TimeDelta::hours(-25)] {
            clock.step(step);
            assert!(!pace.is_even(&clock), "{step}");
            clock.advance(TimeDelta::minutes(9));
            assert!(!pace.is_even(&clock), "{step}");
            clock.advance(TimeDelta::minutes(1));
            assert!(pace.is_even(&clock), "{step}");
        }
        clock.step(TimeDelta::seconds(20));
        assert!(pace.is_even(&clock), "corrected");
    }
}
