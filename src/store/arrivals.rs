//! News for gateways that keep things in memory: who has signed in anew or was given other roles, and which leases
//! were revoked, each told by itself so that what is kept of all others stands.

use chrono::TimeDelta;

use super::rows::{Record, millis};
use super::sessions::read_person;
use super::{Store, StoreError};
use crate::model::{Person, TokenHash};

/// How long arrivals stay: far longer than a gateway goes without looking and still serves.
pub(super) const STAY: TimeDelta = TimeDelta::hours(1);

/// Arrivals that are read at once; where there are more, all that is kept in memory is forgotten.
const MOST: i64 = 10_000;

/// Who arrived after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrivals {
    /// Where to go on from.
    pub position: i64,
    /// Who; `None` where they were too many to tell.
    pub persons: Option<Vec<Person>>,
}

/// The leases that were revoked after a position, by the hashes of their tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedLeases {
    /// Where to go on from.
    pub position: i64,
    /// Which; `None` where they were too many to tell.
    pub tokens: Option<Vec<TokenHash>>,
}

impl Store {
    /// The leases that were revoked since `position`.
    pub async fn revoked_leases(&self, position: i64) -> Result<RevokedLeases, StoreError> {
        let rows = sqlx::query(
            "SELECT position, token FROM revoked_leases WHERE position > $1
             ORDER BY position LIMIT $2",
        )
        .bind(position)
        .bind(MOST + 1)
        .fetch_all(self.reader())
        .await?;
        let mut revoked = RevokedLeases {
            position,
            tokens: None,
        };
        let mut tokens = Vec::with_capacity(rows.len());
        for row in &rows {
            let record = Record::new(row, "revoked_leases", "position");
            revoked.position = record.number("position")?;
            tokens.push(TokenHash::from_stored(record.hash("token")?));
        }
        let few = i64::try_from(tokens.len()).is_ok_and(|count| count <= MOST);
        revoked.tokens = few.then_some(tokens);
        Ok(revoked)
    }

    /// The newest revoked lease's position, to start from.
    pub async fn last_revoked_lease(&self) -> Result<i64, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT COALESCE(MAX(position), 0) FROM revoked_leases")
                .fetch_one(self.reader())
                .await?,
        )
    }

    /// Who has a newer confirmed session, another assignment or other offers since `position`.
    pub async fn arrivals(&self, position: i64) -> Result<Arrivals, StoreError> {
        let rows = sqlx::query(
            "SELECT position, idp, user_name FROM arrivals WHERE position > $1
             ORDER BY position LIMIT $2",
        )
        .bind(position)
        .bind(MOST + 1)
        .fetch_all(self.reader())
        .await?;
        let mut arrivals = Arrivals {
            position,
            persons: None,
        };
        let mut persons = Vec::with_capacity(rows.len());
        for row in &rows {
            let record = Record::new(row, "arrivals", "position");
            arrivals.position = record.number("position")?;
            persons.push(read_person(&record)?);
        }
        let few = i64::try_from(persons.len()).is_ok_and(|count| count <= MOST);
        arrivals.persons = few.then_some(persons);
        Ok(arrivals)
    }

    /// The newest arrival's position, to start from.
    pub async fn last_arrival(&self) -> Result<i64, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT COALESCE(MAX(position), 0) FROM arrivals")
                .fetch_one(self.reader())
                .await?,
        )
    }

    /// Tells every gateway to forget the person, within the transaction of what it is for.
    pub(super) async fn announce(
        &self,
        connection: &mut sqlx::AnyConnection,
        person: &Person,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO arrivals (idp, user_name, at) VALUES ($1, $2, $3)")
            .bind(person.idp.as_str())
            .bind(person.user.as_str())
            .bind(millis(self.now()))
            .execute(connection)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SessionState;
    use crate::store::testing::{Bench, TestSignIn, person};

    #[tokio::test]
    async fn tells_of_confirmed_sessions_once_each() {
        let bench = Bench::new();
        let (here, there) = (bench.open().await, bench.open().await);
        let start = here.last_arrival().await.unwrap();
        bench.session(&there, "a").await;
        let one_time = [5; 32];
        let mut pending = bench.new_session(SessionState::Pending);
        pending.confirm = Some(one_time);
        bench.open_as(&there, TestSignIn::new("b"), pending).await;
        let first = here.arrivals(start).await.unwrap();
        assert_eq!(first.persons, Some(vec![person("okta", "ann")]));
        let none = here.arrivals(first.position).await.unwrap();
        assert_eq!(none.persons, Some(Vec::new()));
        let (_, token) = bench.lease("x");
        there.confirm_session(&one_time, token).await.unwrap();
        let second = here.arrivals(first.position).await.unwrap();
        assert_eq!(second.persons.map(|all| all.len()), Some(1));
        bench.clock.advance(STAY);
        assert_eq!(here.purge().await.unwrap().arrivals, 2);
        assert_eq!(here.last_arrival().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn tells_of_revoked_leases_once_each() {
        let bench = Bench::new();
        let (here, there) = (bench.open().await, bench.open().await);
        let (lease, token) = bench.lease("job-1");
        there.add_lease(&lease, &token).await.unwrap();
        let start = here.last_revoked_lease().await.unwrap();
        let none = here.revoked_leases(start).await.unwrap();
        assert_eq!(none.tokens, Some(Vec::new()));
        let revoked = there.revoke_lease(&lease.id).await.unwrap();
        assert_eq!(revoked, Some(token));
        assert_eq!(there.revoke_lease(&lease.id).await.unwrap(), None);
        let told = here.revoked_leases(start).await.unwrap();
        assert_eq!(told.tokens, Some(vec![token]));
        let none = here.revoked_leases(told.position).await.unwrap();
        assert_eq!(none.tokens, Some(Vec::new()));
        bench.clock.advance(STAY);
        assert_eq!(here.purge().await.unwrap().revoked_leases, 1);
    }
}
