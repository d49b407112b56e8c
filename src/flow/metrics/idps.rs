//! Keys, age and trouble of the IdPs' metadata.

use std::fmt;

use chrono::{DateTime, Utc};

use super::family::{self, Text, Values, one};
use crate::flow::{IdpView, Idps, Providers};

/// Writes what there is to say of each IdP.
pub(super) fn encode(
    text: &mut Text<'_>,
    idps: &Idps,
    providers: &Providers,
    now: DateTime<Utc>,
) -> fmt::Result {
    let mut views = idps.views(now);
    views.extend(providers.views(now));
    let each = |value: fn(&IdpView) -> Option<i64>| {
        let sample = move |view: &IdpView| Some((one(&view.name), value(view)?));
        views
            .iter()
            .filter_map(sample)
            .collect::<Vec<(Values, i64)>>()
    };
    let keys = views.iter().flat_map(|view| {
        view.keys.iter().map(|key| {
            let values = vec![view.name.to_string(), key.sha256.clone()];
            (values, key.not_after.timestamp())
        })
    });
    let failures = views.iter();
    let failures = failures.map(|view| (one(&view.name), view.refresh_failures));
    text.gauge(family::IDP_READY, each(|view| Some(i64::from(view.ready))))?;
    text.gauge(family::IDP_CERTIFICATE, keys)?;
    text.gauge(
        family::IDP_AGE,
        each(|view| i64::try_from(view.metadata_age_seconds?).ok()),
    )?;
    text.gauge(
        family::IDP_VALID,
        each(|view| Some(view.valid_until?.timestamp())),
    )?;
    text.counter(family::IDP_FAILURES, failures)
}
