//! When an ID token is renewed ahead of need, and when again after a failure.

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::{IdToken, SessionId};

/// A token is not asked for again sooner after the one before.
const AT_LEAST: TimeDelta = TimeDelta::seconds(30);
/// What the person's IdP says anew, and that it has ended the sign-in, is heard of within this.
const AT_MOST: TimeDelta = TimeDelta::hours(1);
/// The pause after a first failure, twice as long after each further one.
const AGAIN: TimeDelta = TimeDelta::seconds(10);
/// The longest of these pauses.
const AGAIN_AT_MOST: TimeDelta = TimeDelta::minutes(5);
/// How long before the end of a token that the provider does not renew it is asked a last time.
const LAST_TRY: TimeDelta = TimeDelta::seconds(90);

/// When the ID token of `session` is to be renewed ahead of need, seen at `now`: two thirds of its life after
/// its issue, an hour at most, half a minute from now at least. Up to an eighth earlier by a part that differs
/// from session to session, so that those who signed in together are not renewed together.
pub fn refresh_at(token: &IdToken, session: &SessionId, now: DateTime<Utc>) -> DateTime<Utc> {
    due_at(token, session).max(now + AT_LEAST)
}

/// The same without regard to the time now.
pub(super) fn due_at(token: &IdToken, session: &SessionId) -> DateTime<Utc> {
    let life = (token.expires_at - token.issued_at).max(TimeDelta::zero());
    let wait = (life * 2 / 3).min(AT_MOST);
    let [first, ..] = openssl::sha::sha256(session.as_str().as_bytes());
    let early = wait / 8 * i32::from(first) / 256;
    token.issued_at + (wait - early).max(AT_LEAST)
}

/// When the provider is asked again that gave no ID token on refresh.
pub(super) fn last_try(token: &IdToken, now: DateTime<Utc>) -> DateTime<Utc> {
    if token.expires_at <= now + LAST_TRY {
        // It was that try: from now on the session is looked at as seldom as may be.
        return now + AT_MOST;
    }
    (token.expires_at - LAST_TRY).max(now + AT_LEAST)
}

/// How long to wait after `in_a_row` failures.
pub(super) fn pause(in_a_row: u32) -> TimeDelta {
    let doubled = AGAIN * 2_i32.saturating_pow(in_a_row.saturating_sub(1).min(10));
    doubled.min(AGAIN_AT_MOST)
}

/// How long a session waits to be looked at again that nobody needs a token of.
pub(super) fn unneeded(now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::minutes(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FixedClock, OsEntropy, Secret};

    fn start() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn living_for(seconds: i64) -> IdToken {
        IdToken {
            jwt: Secret::new(String::new()),
            issuer: String::new(),
            subject: String::new(),
            audience: String::new(),
            issued_at: start(),
            expires_at: start() + TimeDelta::seconds(seconds),
        }
    }

    fn session() -> SessionId {
        SessionId::fresh(&FixedClock::new(start()), &OsEntropy)
    }

    #[test]
    fn two_thirds_of_its_life_half_a_minute_at_least_and_an_hour_at_most() {
        for (life, latest) in [(300, 200), (3600, 2400), (86_400, 3600), (40, 30), (0, 30)] {
            for _ in 0..20 {
                let at = refresh_at(&living_for(life), &session(), start()) - start();
                assert!(at <= TimeDelta::seconds(latest), "{life}: {at}");
                let earliest = (latest * 7 / 8).max(30);
                assert!(at >= TimeDelta::seconds(earliest), "{life}: {at}");
            }
        }
    }

    #[test]
    fn a_token_that_is_old_already_is_not_asked_for_at_once() {
        let now = start() + TimeDelta::days(1);
        let at = refresh_at(&living_for(300), &session(), now);
        assert_eq!(at, now + AT_LEAST);
    }

    #[test]
    fn who_signed_in_together_is_not_renewed_together() {
        let token = living_for(3600);
        let at = |_| refresh_at(&token, &session(), start());
        let times: std::collections::BTreeSet<_> = (0..50).map(at).collect();
        assert!(times.len() > 20, "{}", times.len());
    }

    #[test]
    fn pauses_grow_to_five_minutes() {
        let seconds = [1, 2, 3, 6, 100].map(|failures| pause(failures).num_seconds());
        assert_eq!(seconds, [10, 20, 40, 300, 300]);
    }
}
