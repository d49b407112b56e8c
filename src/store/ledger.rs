//! The replay ledger: a verified sign-in becomes a fresh one, once.
//!
//! The only maker of [`Fresh`]. All ids of a sign-in go into the ledger by one statement, which fails
//! as a whole if any of them is there already, in this process or another.

use std::collections::BTreeSet;
use std::fmt::Write;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use sqlx::AssertSqlSafe;
use thiserror::Error;

use super::rows::{Record, millis};
use super::{ConsumedRequest, Store, StoreError};
use crate::model::{ReplayId, SignIn};

/// An id is remembered at least so long, whatever the sign-in says of its own life.
const REMEMBER: TimeDelta = TimeDelta::hours(24);

/// A verified sign-in that nobody had before. No Clone, no Default, no Deserialize.
#[derive(Debug)]
pub struct Fresh<T> {
    verified: T,
    accepted_at: DateTime<Utc>,
}

impl<T> Fresh<T> {
    /// What was verified.
    pub fn verified(&self) -> &T {
        &self.verified
    }

    /// When the ledger took it.
    pub fn accepted_at(&self) -> DateTime<Utc> {
        self.accepted_at
    }

    pub(super) fn into_verified(self) -> T {
        self.verified
    }
}

/// Why a verified sign-in is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AcceptError {
    /// One of its ids was accepted before.
    #[error("this sign-in was used before; start a new one")]
    Replayed,
    /// It answers a request that this browser did not make, or none where one was made.
    #[error("this sign-in answers no request that this browser made; start again from /login")]
    RequestUnknown,
    /// The store could not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Takes every id of `verified` into the ledger, or none. `request` is the one it answers; consumed
    /// before, so that it answers no other.
    pub async fn accept<T: SignIn>(
        &self,
        verified: T,
        request: Option<&ConsumedRequest>,
    ) -> Result<Fresh<T>, AcceptError> {
        if verified.in_response_to() != request.map(ConsumedRequest::id) {
            return Err(AcceptError::RequestUnknown);
        }
        // In one order everywhere: two that take the same ids at once wait for each other on a server only in turn.
        let ids: BTreeSet<[u8; 32]> = verified.replay_ids().into_iter().map(|id| id.0).collect();
        if ids.is_empty() {
            // Without an id nothing would stop a second use.
            return Err(AcceptError::Replayed);
        }
        // Whole milliseconds, as the session row will say.
        let now = self.now().trunc_subsecs(3);
        let until = verified.remember_until().max(now + REMEMBER);
        let mut query = sqlx::query(AssertSqlSafe(insert(ids.len())))
            .bind(millis(until))
            .bind(millis(now));
        for id in ids {
            query = query.bind(id.to_vec());
        }
        match query.execute(self.writer()).await {
            Ok(_) => Ok(Fresh {
                verified,
                accepted_at: now,
            }),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Err(AcceptError::Replayed)
            }
            Err(error) => Err(StoreError::from(error).into()),
        }
    }
}

/// What the ledger knows of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// When it was accepted; nothing where that was before this was kept.
    pub accepted_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Whether one of `ids` was accepted before. Takes nothing: only [`Store::accept`] decides.
    pub async fn find_replay(&self, ids: &[ReplayId]) -> Result<Option<Taken>, StoreError> {
        for id in ids {
            let row = sqlx::query("SELECT accepted_at FROM replay_ids WHERE id = $1")
                .bind(id.0.to_vec())
                .fetch_optional(self.reader())
                .await?;
            if let Some(row) = row {
                let accepted_at =
                    Record::new(&row, "replay_ids", "id").maybe_time("accepted_at")?;
                return Ok(Some(Taken { accepted_at }));
            }
        }
        Ok(None)
    }
}

/// The statement for `count` ids; `$1` is the time until which they are kept, `$2` when they were taken.
fn insert(count: usize) -> String {
    let mut sql =
        "INSERT INTO replay_ids (expires_at, accepted_at, id) VALUES ($1, $2, $3)".to_owned();
    for at in 1..count {
        // Writing to a string cannot fail.
        let _ = write!(sql, ", ($1, $2, ${})", at + 3);
    }
    sql
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::store::testing::{Bench, TestSignIn};

    #[tokio::test]
    async fn of_64_at_once_exactly_one_is_fresh() {
        let bench = Bench::new();
        let store = bench.open().await;
        let results = join_all((0..64).map(|_| {
            let store = store.clone();
            let sign_in = TestSignIn::new("a").with_id("b");
            tokio::spawn(async move { store.accept(sign_in, None).await })
        }))
        .await;
        let mut fresh = 0;
        for result in results {
            match result.unwrap() {
                Ok(_) => fresh += 1,
                Err(error) => assert_eq!(error, AcceptError::Replayed),
            }
        }
        assert_eq!(fresh, 1);
    }

    #[tokio::test]
    async fn a_replay_is_still_one_after_a_restart_and_a_purge() {
        let bench = Bench::new();
        let store = bench.open().await;
        store.accept(TestSignIn::new("a"), None).await.unwrap();
        store.close().await;
        let store = bench.open().await;
        bench.clock.advance(TimeDelta::hours(23));
        store.purge().await.unwrap();
        let again = store.accept(TestSignIn::new("a"), None).await;
        assert_eq!(again.unwrap_err(), AcceptError::Replayed);
        store.accept(TestSignIn::new("b"), None).await.unwrap();
    }

    #[tokio::test]
    async fn what_one_replica_accepted_no_other_accepts() {
        let bench = Bench::new();
        let (one, other) = (bench.open().await, bench.open().await);
        one.accept(TestSignIn::new("a"), None).await.unwrap();
        let again = other.accept(TestSignIn::new("a"), None).await;
        assert_eq!(again.unwrap_err(), AcceptError::Replayed);
        other.accept(TestSignIn::new("b"), None).await.unwrap();
    }

    #[tokio::test]
    async fn one_known_id_refuses_all_and_takes_none() {
        let bench = Bench::new();
        let store = bench.open().await;
        store.accept(TestSignIn::new("a"), None).await.unwrap();
        let mixed = TestSignIn::new("b").with_id("a");
        let refused = store.accept(mixed, None).await.unwrap_err();
        assert_eq!(refused, AcceptError::Replayed);
        store.accept(TestSignIn::new("b"), None).await.unwrap();
        let doubled = TestSignIn::new("c").with_id("c");
        store.accept(doubled, None).await.unwrap();
    }

    #[tokio::test]
    async fn a_sign_in_without_ids_is_refused() {
        let bench = Bench::new();
        let store = bench.open().await;
        let refused = store.accept(TestSignIn::without_ids(), None).await;
        assert_eq!(refused.unwrap_err(), AcceptError::Replayed);
    }

    #[tokio::test]
    async fn looking_for_an_id_takes_nothing() {
        let bench = Bench::new();
        let store = bench.open().await;
        let ids = TestSignIn::new("a").replay_ids();
        assert_eq!(store.find_replay(&ids).await.unwrap(), None);
        let at = store
            .accept(TestSignIn::new("a"), None)
            .await
            .unwrap()
            .accepted_at();
        let taken = store.find_replay(&ids).await.unwrap();
        assert_eq!(
            taken,
            Some(Taken {
                accepted_at: Some(at)
            })
        );
    }

    #[tokio::test]
    async fn an_answer_needs_its_own_request() {
        let bench = Bench::new();
        let store = bench.open().await;
        let request = bench.consumed(&store, "req-1").await;
        let answer = || TestSignIn::new("a").answering("req-1");
        for (sign_in, request) in [
            (answer(), None),
            (TestSignIn::new("a").answering("req-2"), Some(&request)),
            (TestSignIn::new("a"), Some(&request)),
        ] {
            let refused = store.accept(sign_in, request).await.unwrap_err();
            assert_eq!(refused, AcceptError::RequestUnknown);
        }
        store.accept(answer(), Some(&request)).await.unwrap();
    }
}
