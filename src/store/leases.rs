//! Leases, found by the hash of their token; a revoked one stays, so that its job hears of it.

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe};

use super::rows::{Conditions, Record, last, millis, to_json};
use super::sessions::read_person;
use super::{Store, StoreError};
use crate::model::{
    JobName, Lease, LeaseId, Narrowing, Person, RoleArn, SessionDuration, SessionId, TokenHash,
    TokenId, TokenName, UserName,
};

/// Which leases; a field that is `None` fits all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseFilter {
    /// Of a user of this name, from whatever IdP.
    pub user: Option<UserName>,
    /// Of this person.
    pub person: Option<Person>,
    /// For this job.
    pub job: Option<JobName>,
    /// Made by launchers of this name.
    pub launcher: Option<TokenName>,
    /// Of this role.
    pub role: Option<RoleArn>,
}

/// What a new lease rests on: it is looked at in the very transaction that keeps the lease, since a revocation
/// may have come while the call was on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The session that it draws on.
    pub session: SessionId,
    /// The launcher's token.
    pub token: Option<TokenId>,
}

impl Standing {
    pub(super) async fn holds(
        &self,
        connection: &mut sqlx::AnyConnection,
        now: i64,
    ) -> Result<bool, StoreError> {
        let found: i64 = sqlx::query_scalar(
            "SELECT (SELECT COUNT(*) FROM sessions WHERE id = $1 AND ended_at IS NULL)
             * (SELECT COUNT(*) FROM tokens WHERE id = $2 AND revoked_at IS NULL
                AND (expires_at IS NULL OR expires_at > $3))
             + (SELECT COUNT(*) FROM sessions WHERE id = $1 AND ended_at IS NULL AND $2 = '')",
        )
        .bind(self.session.as_str())
        .bind(self.token.as_ref().map_or("", TokenId::as_str))
        .bind(now)
        .fetch_one(connection)
        .await?;
        Ok(found > 0)
    }
}

impl LeaseFilter {
    fn conditions(&self, first: usize) -> Conditions {
        let person = self.person.as_ref();
        Conditions::from(first)
            .and("user_name", self.user.as_ref().map(UserName::as_str))
            .and("user_name", person.map(|person| person.user.as_str()))
            .and("idp", person.map(|person| person.idp.as_str()))
            .and("job", self.job.as_ref().map(JobName::as_str))
            .and("launcher", self.launcher.as_ref().map(TokenName::as_str))
            .and("role", self.role.as_ref().map(RoleArn::as_str))
    }
}

impl Store {
    /// Keeps a new lease if those whom it rests on still stand; says whether.
    pub async fn add_lease_of(
        &self,
        lease: &Lease,
        token: &TokenHash,
        standing: &Standing,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let stands = standing.holds(&mut transaction, millis(self.now())).await?;
        if stands {
            insert(&mut transaction, lease, token).await?;
            transaction.commit().await?;
        }
        Ok(stands)
    }

    /// Keeps a new lease, whoever asks.
    pub async fn add_lease(&self, lease: &Lease, token: &TokenHash) -> Result<(), StoreError> {
        let mut transaction = self.writer().begin().await?;
        insert(&mut transaction, lease, token).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The lease of this token, whether it still counts or not.
    pub async fn lease_by_token(&self, token: &TokenHash) -> Result<Option<Lease>, StoreError> {
        let row = sqlx::query("SELECT * FROM leases WHERE token = $1")
            .bind(token.as_bytes())
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The lease `id`, whether it still counts or not.
    pub async fn lease(&self, id: &LeaseId) -> Result<Option<Lease>, StoreError> {
        let row = sqlx::query("SELECT * FROM leases WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The leases that fit, in the order they were made.
    pub async fn leases(
        &self,
        filter: LeaseFilter,
        after: Option<&LeaseId>,
        limit: u32,
    ) -> Result<Vec<Lease>, StoreError> {
        let conditions = filter.conditions(3);
        let sql = format!(
            "SELECT * FROM leases WHERE id > $1{} ORDER BY id LIMIT $2",
            conditions.sql()
        );
        let query = sqlx::query::<Any>(AssertSqlSafe(sql))
            .bind(after.map_or("", LeaseId::as_str))
            .bind(i64::from(limit));
        let rows = conditions.bind(query).fetch_all(self.reader()).await?;
        rows.iter().map(read).collect()
    }

    /// The roles that leases of `person` are of which count now, each once.
    pub async fn leased_roles(&self, person: &Person) -> Result<Vec<RoleArn>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT role FROM leases WHERE user_name = $1 AND idp = $2
             AND revoked_at IS NULL AND expires_at > $3 ORDER BY role",
        )
        .bind(person.user.as_str())
        .bind(person.idp.as_str())
        .bind(millis(self.now()))
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| Record::new(row, "leases", "role").parsed("role"))
            .collect()
    }

    /// The leases of `person` that count now, in the order they were made.
    pub async fn live_leases(
        &self,
        person: &Person,
        after: Option<&LeaseId>,
        limit: u32,
    ) -> Result<Vec<Lease>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM leases WHERE user_name = $1 AND idp = $2
             AND revoked_at IS NULL AND expires_at > $3 AND id > $4 ORDER BY id LIMIT $5",
        )
        .bind(person.user.as_str())
        .bind(person.idp.as_str())
        .bind(millis(self.now()))
        .bind(after.map_or("", LeaseId::as_str))
        .bind(i64::from(limit))
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read).collect()
    }

    /// Revokes one lease; gives the hash of its token if it was not yet. The reason is for the audit chain to keep.
    pub async fn revoke_lease(&self, id: &LeaseId) -> Result<Option<TokenHash>, StoreError> {
        let rows = sqlx::query(
            "UPDATE leases SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL
             RETURNING id, token",
        )
        .bind(millis(self.now()))
        .bind(id.as_str())
        .fetch_all(self.writer())
        .await?;
        last(rows)
            .map(|row| Record::new(&row, "leases", "id").hash("token"))
            .transpose()
            .map(|hash| hash.map(TokenHash::from_stored))
    }

    /// Remembers that a token of the relay's leaves rolegate for this lease.
    pub async fn token_leaves(&self, id: &LeaseId) -> Result<(), StoreError> {
        sqlx::query("UPDATE leases SET token_left_at = $1 WHERE id = $2")
            .bind(millis(self.now()))
            .bind(id.as_str())
            .execute(self.writer())
            .await?;
        Ok(())
    }
}

/// Writes a new lease's row.
pub(super) async fn insert(
    connection: &mut sqlx::AnyConnection,
    lease: &Lease,
    token: &TokenHash,
) -> Result<(), StoreError> {
    sqlx::query(
            "INSERT INTO leases
             (id, token, idp, user_name, role, job, launcher, duration_seconds, created_at, expires_at, revoked_at, narrowing)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(lease.id.as_str())
        .bind(token.as_bytes())
        .bind(lease.person.idp.as_str())
        .bind(lease.person.user.as_str())
        .bind(lease.role.as_str())
        .bind(lease.job.as_str())
        .bind(lease.launcher.as_ref().map(|name| name.as_str().to_owned()))
        .bind(lease.duration.map(|duration| i64::from(duration.seconds())))
        .bind(millis(lease.created_at))
        .bind(millis(lease.expires_at))
        .bind(lease.revoked_at.map(millis))
        .bind(narrowing_text(&lease.narrowing)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Empty where nothing is narrowed, as for nearly all.
fn narrowing_text(narrowing: &Narrowing) -> Result<String, StoreError> {
    if narrowing.is_empty() {
        return Ok(String::new());
    }
    to_json(narrowing)
}

fn read(row: &AnyRow) -> Result<Lease, StoreError> {
    let record = Record::new(row, "leases", "id");
    let duration = record
        .maybe_number("duration_seconds")?
        .map(|seconds| {
            u32::try_from(seconds)
                .ok()
                .and_then(|seconds| SessionDuration::from_seconds(seconds).ok())
                .ok_or_else(|| record.damaged("duration_seconds", "is no session duration"))
        })
        .transpose()?;
    let narrowing = match record.text("narrowing")?.as_str() {
        "" => Narrowing::default(),
        _ => record.json("narrowing")?,
    };
    Ok(Lease {
        narrowing,
        id: record.parsed("id")?,
        person: read_person(&record)?,
        role: record.parsed("role")?,
        job: record.parsed("job")?,
        launcher: record.maybe_parsed("launcher")?,
        duration,
        created_at: record.time("created_at")?,
        expires_at: record.time("expires_at")?,
        revoked_at: record.maybe_time("revoked_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Bench, person, role};

    #[tokio::test]
    async fn a_lease_is_found_by_its_token_and_read_back_whole() {
        let bench = Bench::new();
        let store = bench.open().await;
        let (mut lease, token) = bench.lease("job-1");
        lease.launcher = Some("nightly".parse().unwrap());
        lease.duration = Some(SessionDuration::MIN);
        store.add_lease(&lease, &token).await.unwrap();
        let found = store.lease_by_token(&token).await.unwrap();
        assert_eq!(found.as_ref(), Some(&lease));
        assert_eq!(store.lease(&lease.id).await.unwrap(), found);
        let (_, other) = bench.lease("job-2");
        assert_eq!(store.lease_by_token(&other).await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_roles_of_leases_that_count_are_told_once_each() {
        let bench = Bench::new();
        let store = bench.open().await;
        let ann = person("okta", "ann");
        for (name, lives, revoked) in [
            ("over", 10, false),
            ("twice", 900, false),
            ("twice", 900, false),
            ("revoked", 900, true),
            ("other", 900, false),
        ] {
            let (mut lease, token) = bench.lease("job-1");
            lease.person = person(if name == "other" { "entra" } else { "okta" }, "ann");
            lease.role = role(name);
            lease.expires_at = bench.at(lives);
            store.add_lease(&lease, &token).await.unwrap();
            if revoked {
                store.revoke_lease(&lease.id).await.unwrap();
            }
        }
        let roles = async || store.leased_roles(&ann).await.unwrap();
        assert_eq!(roles().await, [role("over"), role("twice")]);
        bench.clock.advance(chrono::TimeDelta::seconds(10));
        assert_eq!(roles().await, [role("twice")]);
        let first = store.live_leases(&ann, None, 1).await.unwrap();
        let after = first.last().map(|lease| &lease.id);
        let rest = store.live_leases(&ann, after, 9).await.unwrap();
        let found: Vec<_> = first.iter().chain(&rest).map(|one| &one.role).collect();
        assert_eq!(found, [&role("twice"), &role("twice")]);
    }

    #[tokio::test]
    async fn filters_narrow_lists_and_a_lease_is_revoked_once() {
        let bench = Bench::new();
        let store = bench.open().await;
        let mut made = Vec::new();
        for (job, idp, user) in [
            ("a", "okta", "ann"),
            ("a", "entra", "ann"),
            ("b", "okta", "ann"),
            ("b", "okta", "bob"),
        ] {
            let (mut lease, token) = bench.lease(job);
            lease.person = person(idp, user);
            store.add_lease(&lease, &token).await.unwrap();
            made.push(lease);
        }
        let count = async |filter: LeaseFilter| store.leases(filter, None, 10).await.unwrap().len();
        let all = LeaseFilter::default();
        let of_ann = LeaseFilter {
            user: Some("ann".parse().unwrap()),
            ..all.clone()
        };
        let of_person = LeaseFilter {
            person: Some(person("okta", "ann")),
            ..all.clone()
        };
        let of_job = LeaseFilter {
            job: Some("b".parse().unwrap()),
            ..of_person.clone()
        };
        let of_launcher = LeaseFilter {
            launcher: Some("nobody".parse().unwrap()),
            ..all.clone()
        };
        assert_eq!(count(all.clone()).await, 4);
        assert_eq!(count(of_ann).await, 3);
        assert_eq!(count(of_person).await, 2);
        assert_eq!(count(of_job).await, 1);
        assert_eq!(count(of_launcher).await, 0);

        let first = store.leases(all.clone(), None, 3).await.unwrap();
        let next = store
            .leases(all, first.last().map(|lease| &lease.id), 3)
            .await
            .unwrap();
        assert_eq!((first.len(), next.len()), (3, 1));

        let revoked = async || store.revoke_lease(&made[0].id).await.unwrap();
        assert!(revoked().await.is_some());
        assert!(revoked().await.is_none());
        let lease = store.lease(&made[0].id).await.unwrap().unwrap();
        assert_eq!(lease.revoked_at, Some(bench.at(0)));
        let untouched = store.lease(&made[3].id).await.unwrap().unwrap();
        assert_eq!(untouched.revoked_at, None);
    }
}
