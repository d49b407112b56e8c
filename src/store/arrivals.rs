//! Who has signed in anew, so that a gateway that keeps sessions in memory forgets the older ones.

use chrono::TimeDelta;

use super::rows::{Record, millis};
use super::sessions::read_person;
use super::{Store, StoreError};
use crate::model::Person;

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

impl Store {
    /// Who has a newer confirmed session since `position`.
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

    pub(super) async fn purge_arrivals(&self) -> Result<u64, StoreError> {
        let done = sqlx::query("DELETE FROM arrivals WHERE at <= $1")
            .bind(millis(self.now() - STAY))
            .execute(self.writer())
            .await?;
        Ok(done.rows_affected())
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
        assert_eq!(here.purge_arrivals().await.unwrap(), 2);
        assert_eq!(here.last_arrival().await.unwrap(), 0);
    }
}
