//! How often each route was asked for, and how long its answers took.
//!
//! A request costs a few atomic additions: every counter stands ready from the start, and is found by numbers. A
//! label is a route's pattern, one of a few methods or one of a few statuses; nothing that a request says becomes one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::model::{DurationCounts, Durations};

/// The methods that are told apart; any other counts as the last.
const METHODS: [&str; 8] = [
    "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "other",
];
/// The statuses that are told apart; any other counts as the last.
const STATUSES: [u16; 28] = [
    200, 303, 201, 204, 302, 304, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414,
    415, 422, 429, 431, 500, 501, 502, 503, 504,
];
/// What stands for a request that fits no route.
pub(crate) const NO_ROUTE: &str = "(none)";

/// The requests since the process started.
#[derive(Debug)]
pub struct Requests {
    routes: Vec<OfRoute>,
    unknown: OfRoute,
}

#[derive(Debug)]
struct OfRoute {
    route: &'static str,
    /// By method and status, a method's statuses together, the last of them for any other.
    counts: Vec<AtomicU64>,
    took: Durations,
}

/// How often a route answered a method with a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestCount {
    pub(super) route: &'static str,
    pub(super) method: &'static str,
    pub(super) status: String,
    pub(super) count: u64,
}

impl OfRoute {
    fn new(route: &'static str) -> Self {
        let counts = METHODS.len() * (STATUSES.len() + 1);
        Self {
            route,
            counts: (0..counts).map(|_| AtomicU64::new(0)).collect(),
            took: Durations::default(),
        }
    }

    fn count(&self, method: &str, status: u16, took: Duration) {
        let found = METHODS.iter().position(|known| *known == method);
        let method = found.unwrap_or(METHODS.len() - 1);
        let found = STATUSES.iter().position(|known| *known == status);
        let status = found.unwrap_or(STATUSES.len());
        let at = method * (STATUSES.len() + 1) + status;
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.took.observe(took);
    }

    fn read(&self) -> impl Iterator<Item = RequestCount> {
        let known = STATUSES.iter().map(ToString::to_string);
        let statuses: Vec<String> = known.chain(["other".to_owned()]).collect();
        let of_methods = METHODS.iter().zip(self.counts.chunks(STATUSES.len() + 1));
        of_methods.flat_map(move |(method, counts)| {
            let counts: Vec<_> = statuses.iter().cloned().zip(counts).collect();
            counts.into_iter().map(|(status, count)| RequestCount {
                route: self.route,
                method,
                status,
                count: count.load(Ordering::Relaxed),
            })
        })
    }
}

impl Requests {
    /// For the patterns of `routes`, each of which counts by its position.
    pub fn of(routes: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            routes: routes.into_iter().map(OfRoute::new).collect(),
            unknown: OfRoute::new(NO_ROUTE),
        }
    }

    /// Counts an answer of the route at `position`, or of none, that took so long.
    pub fn count(&self, position: Option<usize>, method: &str, status: u16, took: Duration) {
        let known = position.and_then(|position| self.routes.get(position));
        known.unwrap_or(&self.unknown).count(method, status, took);
    }

    /// The pattern of the route at `position`.
    pub fn route(&self, position: Option<usize>) -> &'static str {
        let known = position.and_then(|position| self.routes.get(position));
        known.unwrap_or(&self.unknown).route
    }

    /// Every combination that there was.
    pub(super) fn counts(&self) -> impl Iterator<Item = RequestCount> {
        let all = self.routes.iter().chain([&self.unknown]);
        all.flat_map(OfRoute::read).filter(|one| one.count > 0)
    }

    /// How long the answers of each route took, of those that were asked for.
    pub(super) fn took(&self) -> impl Iterator<Item = (&'static str, DurationCounts)> {
        let all = self.routes.iter().chain([&self.unknown]);
        let read = all.map(|one| (one.route, one.took.read()));
        read.filter(|(_, took)| took.count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_send_makes_no_series() {
        let requests = Requests::of(["/a", "/b/{id}"]);
        let took = Duration::from_millis(3);
        requests.count(Some(0), "GET", 200, took);
        requests.count(Some(1), "DELETE", 599, took);
        for n in 0..200_u16 {
            requests.count(None, &format!("M{n}"), 404, took);
            requests.count(Some(usize::from(n) + 2), "GET", 404, took);
        }
        let counts: Vec<_> = requests.counts().collect();
        let one = |route, method, status: &str, count| RequestCount {
            route,
            method,
            status: status.to_owned(),
            count,
        };
        assert_eq!(
            counts,
            [
                one("/a", "GET", "200", 1),
                one("/b/{id}", "DELETE", "other", 1),
                one("(none)", "GET", "404", 200),
                one("(none)", "other", "404", 200),
            ]
        );
        let took: Vec<_> = requests
            .took()
            .map(|(route, took)| (route, took.count))
            .collect();
        assert_eq!(took, [("/a", 1), ("/b/{id}", 1), ("(none)", 400)]);
        assert_eq!(requests.route(Some(1)), "/b/{id}");
        assert_eq!(requests.route(None), "(none)");
    }
}
