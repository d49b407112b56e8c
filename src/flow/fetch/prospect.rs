//! The planner: how long a lease would be served, told before its job starts.

use chrono::{DateTime, TimeDelta, Utc};

use super::settled::patience;
use super::{Fetch, FetchError, Found, granted, request_of};
use crate::model::{Lease, Method, Subject};
use crate::policy::{Grant, Limit};

/// What a lease may count on.
pub struct Prospect {
    /// How its credentials are had.
    pub method: Method,
    /// When they stop for good.
    pub ends_at: DateTime<Utc>,
    /// What makes them stop.
    pub limited_by: &'static str,
}

impl Fetch {
    /// How long `lease` would be served, which need not be made yet. Credentials are had at once, so that what
    /// AWS refuses is told before the job starts; only that AWS or the IdP does not answer is no reason against
    /// it.
    pub async fn prospect(&self, subject: &Subject, lease: &Lease) -> Result<Prospect, FetchError> {
        let before = self.arrivals.of(&lease.person);
        let prospect = self.prospect_of(subject, lease).await;
        if self.arrivals.stands_at(before) {
            return prospect;
        }
        // The person has signed in anew, or the IdP says something else of him by now.
        let live = self.newest(&lease.person, &lease.role).await?;
        self.prospect_of(&live.subject, lease).await
    }

    async fn prospect_of(&self, subject: &Subject, lease: &Lease) -> Result<Prospect, FetchError> {
        self.require_pulse()?;
        let launcher = lease.launcher.as_ref();
        self.parts
            .holds
            .permit(&lease.person, &lease.role, launcher)?;
        let now = self.parts.clock.now();
        let request = request_of(lease, now);
        let grant = granted(subject, &request, &self.parts.allow_list.rules())?;
        let (method, renewable) = (grant.method(), grant.is_renewable());
        let end = End::of(&grant, subject, now);
        let issued = self.credentials_for(subject, grant, None, patience()).await;
        let (ends_at, limited_by) = match issued {
            Ok(found) if renewable => end.with(&found),
            Ok(found) if found.credentials.expires_at < end.at => {
                (found.credentials.expires_at, "credentials")
            }
            Ok(_) => (end.at, end.limit),
            Err(error) if renewable && may_come(&error) => end.with_nothing_yet(),
            Err(error) => return Err(error),
        };
        Ok(Prospect {
            method,
            ends_at,
            limited_by,
        })
    }
}

/// When serving stops, by the grant; and by the ID token, where no newer one can be had.
struct End {
    at: DateTime<Utc>,
    limit: &'static str,
    redeemable_until: Option<DateTime<Utc>>,
    duration: TimeDelta,
    now: DateTime<Utc>,
}

impl End {
    fn of(grant: &Grant, subject: &Subject, now: DateTime<Utc>) -> Self {
        let identity = subject.parts().web_identity.as_ref();
        let identity = identity.filter(|_| grant.method() == Method::WebIdentity);
        Self {
            at: grant.ends_at(),
            limit: grant.limit().as_str(),
            redeemable_until: identity.and_then(|identity| identity.redeemable_until),
            duration: TimeDelta::seconds(grant.duration().seconds().into()),
            now,
        }
    }

    /// Credentials that are renewed to the end; where that ID token is all there is, those that it is last
    /// redeemed for, at a renewal that comes before its own end.
    fn with(&self, found: &Found) -> (DateTime<Utc>, &'static str) {
        let Some(until) = self.redeemable_until else {
            return (self.at, self.limit);
        };
        let credentials = &found.credentials;
        let (mut renew_at, mut ends_at) = (found.keep_until, credentials.expires_at);
        // As often as the first time: what is issued lives as long each time, or a little shorter.
        let step = (renew_at - credentials.issued_at).max(TimeDelta::seconds(60));
        let last = until - super::REDEEMABLE;
        if renew_at < credentials.expires_at && renew_at.max(self.now) < last {
            let more = (last - renew_at).num_seconds() / step.num_seconds();
            renew_at += step * i32::try_from(more).unwrap_or(i32::MAX);
            ends_at = renew_at.max(self.now) + self.duration;
        }
        self.no_later(ends_at)
    }

    /// As if it were issued now.
    fn with_nothing_yet(&self) -> (DateTime<Utc>, &'static str) {
        if self.redeemable_until.is_none() {
            return (self.at, self.limit);
        }
        self.no_later(self.now + self.duration)
    }

    fn no_later(&self, than: DateTime<Utc>) -> (DateTime<Utc>, &'static str) {
        if than < self.at {
            (than, Limit::IdToken.as_str())
        } else {
            (self.at, self.limit)
        }
    }
}

/// Whether credentials may be had a moment later.
fn may_come(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::Pending(_) | FetchError::Unsettled | FetchError::StsAway { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Credentials, Secret};

    fn start() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        start() + TimeDelta::minutes(minutes)
    }

    /// What was issued at the start for an hour or less, and is due for renewal after two thirds of that.
    fn found(minutes: i64) -> Found {
        let credentials = Credentials {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: Secret::new(String::new()),
            session_token: Secret::new(String::new()),
            issued_at: start(),
            expires_at: at(minutes),
        };
        Found {
            credentials: Arc::new(credentials),
            keep_until: at(minutes * 2 / 3),
        }
    }

    fn end(redeemable_for: Option<i64>, minutes: i64) -> End {
        End {
            at: at(600),
            limit: "session",
            redeemable_until: redeemable_for.map(at),
            duration: TimeDelta::minutes(minutes),
            now: start(),
        }
    }

    #[test]
    fn with_a_refresh_token_the_grant_sets_the_end() {
        assert_eq!(end(None, 60).with(&found(60)), (at(600), "session"));
        assert_eq!(end(None, 60).with_nothing_yet(), (at(600), "session"));
    }

    #[test]
    fn without_one_the_last_renewal_before_the_tokens_end_does() {
        // Over before the first renewal; just before it; renewed once; five times.
        for (redeemable_for, minutes, ends_at) in [
            (5, 60, 60),
            (41, 60, 60),
            (42, 60, 100),
            (60, 60, 100),
            (60, 15, 65),
        ] {
            let told = end(Some(redeemable_for), minutes).with(&found(minutes));
            assert_eq!(told, (at(ends_at), "id_token"), "{redeemable_for}");
        }
        let told = end(Some(5), 60).with_nothing_yet();
        assert_eq!(told, (at(60), "id_token"));
    }

    #[test]
    fn the_session_may_end_before_that() {
        let mut end = end(Some(60), 60);
        end.at = at(90);
        assert_eq!(end.with(&found(60)), (at(90), "session"));
    }
}
