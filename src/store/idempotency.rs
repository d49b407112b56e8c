//! Leases that were ordered with an `Idempotency-Key`: who repeats the call within a day gets the same one.
//!
//! The token is kept sealed for that day, bound to who asked and by which key; elsewhere only its hash is.

use chrono::{DateTime, TimeDelta, Utc};

use super::leases::{Standing, insert};
use super::rows::{Record, millis};
use super::sealing::Place;
use super::{Store, StoreError};
use crate::model::{Lease, LeaseId, Secret, TokenHash};

/// How long a call may be repeated.
pub(super) const REMEMBERED: TimeDelta = TimeDelta::hours(24);

/// A call that may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeatable {
    /// Who calls; two callers may use the same key.
    pub owner: String,
    /// The key that the caller chose.
    pub key: String,
    /// The hash of what is asked.
    pub request: [u8; 32],
}

/// What such a call came to.
#[derive(Debug)]
pub enum Once {
    /// It is the first one: the lease was made.
    First,
    /// It was made before, and asked for the same.
    Again {
        /// The lease that was made then.
        lease: LeaseId,
        /// Its token.
        token: Secret,
    },
    /// The key was used for something else.
    Other,
    /// Those whom the lease would rest on were revoked meanwhile; nothing was made.
    Gone,
}

impl Store {
    /// What a call with this key came to, if it was made.
    pub async fn repeated(&self, call: &Repeatable) -> Result<Option<Once>, StoreError> {
        let row = sqlx::query(
            "SELECT owner, request, lease, sealed FROM idempotency
             WHERE owner = $1 AND idempotency_key = $2 AND created_at > $3",
        )
        .bind(call.owner.as_str())
        .bind(call.key.as_str())
        .bind(millis(self.now() - REMEMBERED))
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let record = Record::new(&row, "idempotency", "owner");
        if record.hash("request")? != call.request {
            return Ok(Some(Once::Other));
        }
        let bound = bound_to(call);
        let plain = self
            .sealer()
            .open(place(&bound), &record.bytes("sealed")?)?;
        let token = String::from_utf8(plain.to_vec())
            .map_err(|_| record.damaged("sealed", "is no text"))?;
        Ok(Some(Once::Again {
            lease: record.parsed("lease")?,
            token: Secret::new(token),
        }))
    }

    /// Keeps a new lease, if the call was not made before.
    pub async fn add_lease_once(
        &self,
        lease: &Lease,
        token: &Secret,
        hash: &TokenHash,
        call: &Repeatable,
        standing: &Standing,
    ) -> Result<Once, StoreError> {
        let now = self.now();
        let bound = bound_to(call);
        let sealed = self
            .sealer()
            .seal(place(&bound), token.expose().as_bytes())?;
        let mut transaction = self.begin().await?;
        forget_old(&mut transaction, call, now).await?;
        let done = sqlx::query(
            "INSERT INTO idempotency (owner, idempotency_key, request, lease, sealed, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (owner, idempotency_key) DO NOTHING",
        )
        .bind(call.owner.as_str())
        .bind(call.key.as_str())
        .bind(call.request.to_vec())
        .bind(lease.id.as_str())
        .bind(sealed)
        .bind(millis(now))
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() > 0 {
            if !standing.holds(&mut transaction, millis(now)).await? {
                transaction.rollback().await?;
                return Ok(Once::Gone);
            }
            insert(&mut transaction, lease, hash).await?;
            transaction.commit().await?;
            return Ok(Once::First);
        }
        transaction.rollback().await?;
        Ok(self.repeated(call).await?.unwrap_or(Once::Other))
    }
}

/// A key may be used anew a day later, whether or not its call was removed by then.
async fn forget_old(
    connection: &mut sqlx::AnyConnection,
    call: &Repeatable,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM idempotency
         WHERE owner = $1 AND idempotency_key = $2 AND created_at <= $3",
    )
    .bind(call.owner.as_str())
    .bind(call.key.as_str())
    .bind(millis(now - REMEMBERED))
    .execute(connection)
    .await?;
    Ok(())
}

fn bound_to(call: &Repeatable) -> String {
    format!("{}\n{}", call.owner, call.key)
}

fn place(row: &str) -> Place<'_> {
    Place {
        table: "idempotency",
        row,
        column: "sealed",
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::model::{OsEntropy, Token, TokenKind};
    use crate::store::LeaseFilter;
    use crate::store::testing::{Bench, person};

    fn call(key: &str, request: u8) -> Repeatable {
        Repeatable {
            owner: "launcher:nightly".to_owned(),
            key: key.to_owned(),
            request: [request; 32],
        }
    }

    async fn order(bench: &Bench, store: &Store, call: &Repeatable) -> (Once, Secret) {
        let (lease, _) = bench.lease("job-1");
        let token = Token::fresh(TokenKind::Lease, &OsEntropy);
        let hash = token.hash();
        let secret = token.into_secret();
        let ann = store.newest_session(&person("okta", "ann")).await.unwrap();
        let live = ann.unwrap();
        let standing = Standing {
            session: live.subject.session().clone(),
            token: None,
        };
        let once = store
            .add_lease_once(&lease, &secret, &hash, call, &standing)
            .await;
        (once.unwrap(), secret)
    }

    #[tokio::test]
    async fn a_repeated_call_makes_one_lease() {
        let bench = Bench::new();
        let (one, other) = (bench.open().await, bench.open().await);
        bench.session(&one, "a").await;
        let call_one = call("a", 1);
        let calls = (0..16).map(|at| {
            let store = if at % 2 == 0 { &one } else { &other };
            order(&bench, store, &call_one)
        });
        let outcomes = join_all(calls).await;
        let first = outcomes
            .iter()
            .find(|(once, _)| matches!(once, Once::First));
        let (_, secret) = first.unwrap();
        for (once, _) in &outcomes {
            if let Once::Again { token, .. } = once {
                assert_eq!(token, secret);
            }
        }
        let firsts = outcomes
            .iter()
            .filter(|(once, _)| matches!(once, Once::First));
        assert_eq!(firsts.count(), 1);
        let all = one.leases(LeaseFilter::default(), None, 10).await.unwrap();
        assert_eq!(all.len(), 1);
        let other_request = order(&bench, &one, &call("a", 2)).await.0;
        assert!(matches!(other_request, Once::Other));
        let other_key = order(&bench, &one, &call("b", 1)).await.0;
        assert!(matches!(other_key, Once::First));
    }

    #[tokio::test]
    async fn a_key_may_be_used_again_after_a_day() {
        let bench = Bench::new();
        let store = bench.open().await;
        bench.session(&store, "a").await;
        assert!(matches!(
            order(&bench, &store, &call("a", 1)).await.0,
            Once::First
        ));
        bench.clock.advance(TimeDelta::hours(23));
        assert_eq!(store.purge().await.unwrap().repeatable, 0);
        assert!(store.repeated(&call("a", 1)).await.unwrap().is_some());
        bench.clock.advance(TimeDelta::hours(1));
        assert!(store.repeated(&call("a", 1)).await.unwrap().is_none());
        assert!(matches!(
            order(&bench, &store, &call("a", 2)).await.0,
            Once::First
        ));
        bench.clock.advance(TimeDelta::hours(24));
        assert_eq!(store.purge().await.unwrap().repeatable, 1);
    }
}
