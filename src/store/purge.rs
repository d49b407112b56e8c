//! Removing what no longer counts. Every statement names its own condition on time, so that running it
//! twice, or in two processes at once, removes nothing more.
//!
//! Never touches the allow-list's history and the audit chain.

use chrono::{DateTime, TimeDelta, Utc};

use super::rows::millis;
use super::sessions::PENDING_LIVES;
use super::{Store, StoreError, arrivals, refusals};
use crate::model::RELAY_KEYS_STAY;

/// How long an ended session stays for lists to show.
const SESSIONS_STAY: TimeDelta = TimeDelta::days(7);
/// How long an ended lease stays, so that a late job hears 403 with its reason, not 401.
const LEASES_STAY: TimeDelta = TimeDelta::days(30);

/// How many rows went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Replay ids past their time.
    pub replay_ids: u64,
    /// Requests that nobody answered.
    pub requests: u64,
    /// Sessions that nobody confirmed, or that ended long ago.
    pub sessions: u64,
    /// Tokens of OpenID providers that nothing can draw on any more.
    pub oidc_tokens: u64,
    /// Credentials that expired.
    pub credentials: u64,
    /// Leases that ended long ago.
    pub leases: u64,
    /// Calls of more than a day ago that may be repeated no more.
    pub repeatable: u64,
    /// Who signed in a while ago.
    pub arrivals: u64,
    /// News of revoked leases that every gateway has heard.
    pub revoked_leases: u64,
    /// Check results of refusals of long ago.
    pub refusals: u64,
    /// Relay keys that no token can be signed with any more.
    pub relay_keys: u64,
    /// Codes of command lines past their time.
    pub logins: u64,
}

impl Store {
    /// Removes what no longer counts; nothing where the clock was just put forward or back, or may be wrong since
    /// the start.
    pub async fn purge(&self) -> Result<Purged, StoreError> {
        if !self.0.pace.is_even(&*self.0.clock) {
            return Ok(Purged::default());
        }
        let now = self.now();
        Ok(Purged {
            replay_ids: self
                .remove("DELETE FROM replay_ids WHERE expires_at <= $1", now)
                .await?,
            requests: self
                .remove("DELETE FROM requests WHERE expires_at <= $1", now)
                .await?,
            sessions: self.purge_sessions(now).await?,
            oidc_tokens: self.purge_oidc_tokens().await?,
            credentials: self
                .remove(
                    "DELETE FROM credentials WHERE expires_at <= $1
                     AND (claimed_at IS NULL OR claimed_at <= $1 - 60000)",
                    now,
                )
                .await?,
            leases: self
                .remove(
                    "DELETE FROM leases WHERE expires_at <= $1 OR revoked_at <= $1",
                    now - LEASES_STAY,
                )
                .await?,
            repeatable: self.purge_idempotency().await?,
            arrivals: self.purge_arrivals().await?,
            revoked_leases: self
                .remove(
                    "DELETE FROM revoked_leases WHERE at <= $1",
                    now - arrivals::STAY,
                )
                .await?,
            refusals: self
                .remove(
                    "DELETE FROM refusals WHERE refused_at <= $1",
                    now - refusals::STAY,
                )
                .await?,
            relay_keys: self
                .remove(
                    "DELETE FROM relay_keys WHERE retired_at <= $1",
                    now - RELAY_KEYS_STAY,
                )
                .await?,
            logins: self
                .remove("DELETE FROM logins WHERE expires_at <= $1", now)
                .await?,
        })
    }

    async fn purge_sessions(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let pending = self
            .remove(
                "DELETE FROM sessions WHERE state = 'pending' AND signed_in_at <= $1",
                now - PENDING_LIVES,
            )
            .await?;
        let ended = self
            .remove(
                "DELETE FROM sessions WHERE (ended_at <= $1 OR expires_at <= $1)
                 AND signed_in_at <= $1 - 2592000000",
                now - SESSIONS_STAY,
            )
            .await?;
        Ok(pending + ended)
    }

    async fn remove(&self, sql: &'static str, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let done = sqlx::query(sql)
            .bind(millis(before))
            .execute(self.writer())
            .await?;
        Ok(done.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Bench, TestSignIn};
    use crate::store::{AcceptError, SessionState, SignInRequest};

    #[tokio::test]
    async fn a_clock_that_is_put_forward_and_back_lets_nobody_in_again() {
        let bench = Bench::new();
        let store = bench.open().await;
        bench.clock.advance(TimeDelta::minutes(11));
        store.accept(TestSignIn::new("a"), None).await.unwrap();
        let session = bench.session(&store, "kept").await;
        let key = bench.issue(&store, session.session(), 3600).await;
        store.purge().await.unwrap();
        bench.clock.step(TimeDelta::hours(25));
        assert_eq!(store.purge().await.unwrap(), Purged::default());
        // One that starts meanwhile knows no better time.
        let other = bench.open().await;
        assert_eq!(other.purge().await.unwrap(), Purged::default());
        bench.clock.advance(TimeDelta::minutes(4));
        assert_eq!(store.purge().await.unwrap(), Purged::default());
        bench.clock.step(TimeDelta::hours(-25));
        store.purge().await.unwrap();
        let again = store.accept(TestSignIn::new("a"), None).await;
        assert_eq!(again.unwrap_err(), AcceptError::Replayed);
        assert!(store.credentials(&key).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn what_no_longer_counts_goes_once_and_the_rest_stays() {
        let bench = Bench::new();
        let store = bench.open().await;
        store.accept(TestSignIn::new("x"), None).await.unwrap();
        store
            .save_request(SignInRequest {
                id: "req".to_owned(),
                idp: crate::store::testing::idp("okta"),
                binding: [1; 32],
                return_to: None,
                secret: None,
            })
            .await
            .unwrap();
        let kept = bench.session(&store, "kept").await;
        bench
            .session_in(&store, "pending", SessionState::Pending)
            .await;
        bench.issue(&store, kept.session(), 3600).await;
        assert_eq!(store.purge().await.unwrap(), Purged::default());

        bench.clock.advance(TimeDelta::minutes(10));
        let purged = store.purge().await.unwrap();
        assert_eq!((purged.requests, purged.sessions), (1, 1));
        assert_eq!((purged.credentials, purged.replay_ids), (0, 0));
        assert_eq!(store.list_sessions(None, None, 10).await.unwrap().len(), 1);

        bench.clock.advance(TimeDelta::hours(25));
        let purged = store.purge().await.unwrap();
        assert_eq!((purged.credentials, purged.replay_ids), (1, 3));
        assert_eq!(purged.sessions, 0);
        // An entry may renew for thirty days after the sign-in.
        bench.clock.advance(TimeDelta::days(29));
        assert_eq!(store.purge().await.unwrap().sessions, 0);
        bench.clock.advance(TimeDelta::days(8));
        assert_eq!(store.purge().await.unwrap().sessions, 1);
        assert_eq!(store.purge().await.unwrap(), Purged::default());
    }
}
