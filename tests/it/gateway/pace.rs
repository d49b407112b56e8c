//! How prompt a gateway is, by its own log, and how late the machine was meanwhile.
//!
//! A client's clock tells the client's delays too. The gateway's own count does not, but a machine that stalls is in it;
//! a thread that wants to be woken a hundred times a second sees such a stall as well. What is promised is allowed
//! with what this thread had to wait: on a quiet machine, next to nothing.

use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rolegate::model::{Clock, SystemClock};
use serde_json::Value;

use super::Gateway;

/// Has a gateway log every request: as it is, fetches that were served are not.
pub(crate) fn each_request() -> (&'static str, String) {
    let filter = "info,rolegate::http::middleware=debug";
    ("RUST_LOG", filter.to_owned())
}

/// How often the thread wants to be woken.
const PERIOD: Duration = Duration::from_millis(10);

/// What is late by less is not noted.
const NOTED: Duration = Duration::from_millis(5);

/// One process may be kept waiting a little before or after another.
const AROUND: TimeDelta = TimeDelta::milliseconds(500);

/// A delay of the thread's.
struct Delay {
    woken: DateTime<Utc>,
    late: Duration,
}

/// All of them so far.
static LATE: LazyLock<Mutex<Vec<Delay>>> = LazyLock::new(|| {
    std::thread::spawn(|| {
        loop {
            let begun = std::time::Instant::now();
            std::thread::sleep(PERIOD);
            let late = begun.elapsed().saturating_sub(PERIOD);
            if late > NOTED {
                let woken = SystemClock.now();
                LATE.lock().unwrap().push(Delay { woken, late });
            }
        }
    });
    Mutex::default()
});

/// Has the machine watched from now on.
pub(super) fn watch() {
    LazyLock::force(&LATE);
}

/// How late the machine was in all, between two times and a little before and after.
pub(crate) fn late(from: DateTime<Utc>, to: DateTime<Utc>) -> Duration {
    let (from, to) = (from - AROUND, to + AROUND);
    let noted = LATE.lock().unwrap();
    let within = noted.iter().map(|delay| {
        let wanted = delay.woken - TimeDelta::from_std(delay.late).unwrap();
        let both = delay.woken.min(to) - wanted.max(from);
        both.to_std().unwrap_or_default()
    });
    within.sum()
}

/// Asserts that what began at `begun` and ends now was done within `promise`, by a client's clock.
pub(crate) fn is_within(what: &str, begun: DateTime<Utc>, promise: Duration) {
    let now = SystemClock.now();
    let took = (now - begun).to_std().unwrap_or_default();
    let allowed = promise + late(begun, now);
    assert!(took < allowed, "{what} took {took:?} of {allowed:?}");
}

/// A request that was answered: its end, and how long it took.
struct Answered {
    at: DateTime<Utc>,
    took: Duration,
}

impl Answered {
    fn read(line: &str, route: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = &line["fields"];
        if fields["event"] != "request" || fields["route"] != route {
            return None;
        }
        Some(Self {
            at: line["timestamp"].as_str().unwrap().parse().unwrap(),
            took: Duration::from_micros(fields["microseconds"].as_u64().unwrap()),
        })
    }
}

impl Gateway {
    fn answered(&self, route: &str) -> Vec<Answered> {
        let log = self.log();
        let lines = log.lines();
        lines
            .filter_map(|line| Answered::read(line, route))
            .collect()
    }

    /// How long each request to `route` took by the log.
    pub(crate) fn microseconds(&self, route: &str) -> Vec<u64> {
        let answered = self.answered(route).into_iter();
        answered
            .map(|one| u64::try_from(one.took.as_micros()).unwrap())
            .collect()
    }

    /// Asserts that each request to `route` that was logged, of which there must be one, was answered within `promise`
    /// by the gateway's own count, and gives the longest. See [`each_request`].
    pub(crate) async fn is_prompt(&self, route: &str, promise: Duration) -> Duration {
        self.said(&format!("\"route\":\"{route}\"")).await;
        let answered = self.answered(route);
        for Answered { at, took } in &answered {
            let begun = *at - TimeDelta::from_std(*took).unwrap();
            let allowed = promise + late(begun, *at);
            assert!(
                *took < allowed,
                "{route} took {took:?} of {allowed:?} at {at}"
            );
        }
        let longest = answered.iter().map(|one| one.took).max();
        longest.unwrap_or_else(|| panic!("no request to {route}"))
    }
}
