//! When a URL is asked again.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::model::{Entropy, seconds_between};
use crate::saml::Trust;

const SHORTEST: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(24);
/// Where neither the document nor the answer says for how long it may be kept.
const DEFAULT: Duration = Duration::from_hours(1);
/// After the first failure; doubled by each further one.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_mins(15);

/// How long to wait after a good answer: as long as the document's `cacheDuration` and the answer's
/// `max-age` allow, the shorter of them, between one minute and one day, and not past `validUntil`.
pub(super) fn after_answer(
    trust: &Trust,
    max_age: Option<Duration>,
    now: DateTime<Utc>,
    entropy: &dyn Entropy,
) -> Duration {
    let cache = trust.cache_duration().and_then(|cache| cache.to_std().ok());
    let until = trust
        .valid_until()
        .map(|until| Duration::from_secs(seconds_between(now, until)));
    let allowed = cache.into_iter().chain(max_age).min().unwrap_or(DEFAULT);
    let allowed = until.map_or(allowed, |until| until.min(allowed));
    within_bounds(Some(allowed), entropy)
}

/// How long to wait where an answer may be kept for `allowed`, or does not say for how long: between one
/// minute and one day.
pub(in crate::flow) fn within_bounds(allowed: Option<Duration>, entropy: &dyn Entropy) -> Duration {
    earlier(allowed.unwrap_or(DEFAULT).min(LONGEST), entropy).max(SHORTEST)
}

/// How long to wait after the `failures`th failure in a row.
pub(in crate::flow) fn after_failure(failures: u32, entropy: &dyn Entropy) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    earlier(FIRST_RETRY.saturating_mul(doubled).min(LAST_RETRY), entropy)
}

/// `wait` less up to a tenth of it, so that gateways that started together do not ask together.
fn earlier(wait: Duration, entropy: &dyn Entropy) -> Duration {
    let mut byte = [0];
    entropy.fill(&mut byte);
    let [byte] = byte;
    wait.saturating_sub(wait.saturating_mul(u32::from(byte)) / 2560)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saml::metadata::read_idp;

    /// The same byte, always.
    struct Always(u8);

    impl Entropy for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    fn wait(attributes: &str, max_age: Option<u64>) -> u64 {
        let good = include_str!("../../../fixtures/saml/idp.xml");
        let document = good.replacen("entityID=", &format!("{attributes} entityID="), 1);
        let now = "2026-01-15T12:00:00Z".parse().unwrap();
        let trust = read_idp(&"okta".parse().unwrap(), document.as_bytes(), now, false).unwrap();
        let max_age = max_age.map(Duration::from_secs);
        after_answer(&trust, max_age, now, &Always(0)).as_secs()
    }

    #[test]
    fn the_shorter_of_both_counts_within_a_minute_and_a_day() {
        assert_eq!(wait("", None), 3600);
        assert_eq!(wait("cacheDuration=\"PT6H\"", None), 6 * 3600);
        assert_eq!(wait("", Some(600)), 600);
        assert_eq!(wait("cacheDuration=\"PT6H\"", Some(600)), 600);
        assert_eq!(wait("cacheDuration=\"PT5M\"", Some(600)), 300);
        assert_eq!(wait("cacheDuration=\"P30D\"", None), 86_400);
        assert_eq!(wait("cacheDuration=\"PT1S\"", None), 60);
        assert_eq!(wait("", Some(0)), 60);
        assert_eq!(wait("cacheDuration=\"often\"", None), 3600);
        assert_eq!(wait("validUntil=\"2026-01-15T12:30:00Z\"", None), 1800);
        assert_eq!(wait("validUntil=\"2026-01-15T11:00:00Z\"", None), 60);
    }

    #[test]
    fn failures_double_the_wait_up_to_a_quarter_of_an_hour() {
        let waits = [1, 2, 3, 8, 9, 400].map(|n| after_failure(n, &Always(0)).as_secs());
        assert_eq!(waits, [5, 10, 20, 640, 900, 900]);
    }

    #[test]
    fn chance_takes_up_to_a_tenth() {
        let least = after_failure(400, &Always(255)).as_secs_f64();
        assert!((810.0..815.0).contains(&least), "{least}");
    }
}
