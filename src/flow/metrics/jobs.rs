//! How each job of the table fares.

use std::fmt;
use std::time::Duration;

use super::family::{self, Text, Values};
use crate::flow::JobView;

pub(super) fn encode(text: &mut Text<'_>, views: &[JobView]) -> fmt::Result {
    let succeeded = views
        .iter()
        .filter_map(|view| Some((names(view), view.last_success?.timestamp())));
    let every = views.iter().map(|view| {
        let every = Duration::from_millis(view.every_ms).as_secs_f64();
        (names(view), every)
    });
    let failing = views.iter();
    let failing = failing.map(|view| (names(view), view.failed_in_a_row));
    let done = views.iter().map(|view| (names(view), view.count));
    text.gauge(family::JOB_SUCCESS, succeeded)?;
    text.gauge(family::JOB_INTERVAL, every)?;
    text.gauge(family::JOB_FAILING, failing)?;
    text.counter(family::JOB_RUNS, views.iter().flat_map(runs))?;
    text.counter(family::JOB_DONE, done)
}

fn names(view: &JobView) -> Values {
    let of = view.of.clone().unwrap_or_default();
    vec![view.name.to_owned(), of]
}

/// The runs that ended; one under way is none yet.
fn runs(view: &JobView) -> [(Values, u64); 2] {
    let ended = view.runs.saturating_sub(u64::from(view.running));
    let done = ended.saturating_sub(view.failures);
    [("done", done), ("failed", view.failures)].map(|(outcome, count)| {
        let mut values = names(view);
        values.push(outcome.to_owned());
        (values, count)
    })
}
