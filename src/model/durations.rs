//! How long something took, counted by many threads at once: a histogram without a lock.
//!
//! What is counted is read by whoever serves metrics. Never names what it was about.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds, in microseconds and in seconds: 1 ms to 10 s, and 1.5 s, which a fetch has at most.
const BOUNDS: [(u64, f64); 14] = [
    (1_000, 0.001),
    (2_500, 0.002_5),
    (5_000, 0.005),
    (10_000, 0.01),
    (25_000, 0.025),
    (50_000, 0.05),
    (100_000, 0.1),
    (250_000, 0.25),
    (500_000, 0.5),
    (1_000_000, 1.0),
    (1_500_000, 1.5),
    (2_500_000, 2.5),
    (5_000_000, 5.0),
    (10_000_000, 10.0),
];

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [AtomicU64; BOUNDS.len()],
    longer: AtomicU64,
    microseconds: AtomicU64,
}

/// What was counted so far.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationCounts {
    /// Each upper bound in seconds, the last infinite, with how many were at most that long and longer than the
    /// bound before.
    pub buckets: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// How long all of them took together, in seconds.
    pub sum: f64,
}

impl Durations {
    /// Counts one; two atomic additions.
    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let fits = BOUNDS.iter().position(|(most, _)| micros <= *most);
        let bucket = fits.and_then(|at| self.buckets.get(at));
        let bucket = bucket.unwrap_or(&self.longer);
        bucket.fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> DurationCounts {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let bounds = BOUNDS.iter().map(|(_, seconds)| *seconds);
        let mut buckets: Vec<(f64, u64)> = bounds.zip(self.buckets.iter().map(load)).collect();
        buckets.push((f64::INFINITY, load(&self.longer)));
        DurationCounts {
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
            sum: Duration::from_micros(load(&self.microseconds)).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_falls_into_the_first_bucket_that_holds_it() {
        let durations = Durations::default();
        for millis in [0, 1, 2, 1_500, 1_501, 60_000] {
            durations.observe(Duration::from_millis(millis));
        }
        let read = durations.read();
        let filled: Vec<_> = read
            .buckets
            .iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        let wanted = [
            (0.001, 2),
            (0.002_5, 1),
            (1.5, 1),
            (2.5, 1),
            (f64::INFINITY, 1),
        ];
        assert_eq!(filled, wanted.iter().collect::<Vec<_>>());
        assert_eq!(read.count, 6);
        assert!((read.sum - 63.004).abs() < 1e-6, "{}", read.sum);
    }

    #[test]
    fn bounds_rise_and_say_the_same_twice() {
        for pair in BOUNDS.windows(2) {
            assert!(pair[0].0 < pair[1].0);
        }
        for (micros, seconds) in BOUNDS {
            assert!((Duration::from_micros(micros).as_secs_f64() - seconds).abs() < 1e-12);
        }
    }
}
