//! How full the store is: what metrics show of it, read by few small statements over indexes.
//!
//! Counts are bounded, so that none grows dearer with a store that nobody cleans up. Nothing is decided on what
//! stands here.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::any::AnyRow;

use super::connections::Connections;
use super::engine::Engine;
use super::rows::{Record, millis};
use super::{Store, StoreError, audit};
use crate::model::TokenName;

/// Tokens that are told of, those that end first.
const TOKENS: i64 = 200;
/// How long a token that has ended is still told of.
const TOKENS_STAY: TimeDelta = TimeDelta::days(7);

/// What the store held at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Levels {
    /// Confirmed sessions that have neither ended nor run out; a million is the most that is counted.
    pub sessions: i64,
    /// Leases that are neither revoked nor over, likewise.
    pub leases: i64,
    /// Credentials that have not expired, likewise.
    pub credentials: i64,
    /// The number of the last audit record, 0 where there is none.
    pub audit_seq: i64,
    /// The number of the oldest that is kept.
    pub audit_first: Option<i64>,
    /// The bytes of the database.
    pub size: i64,
    /// The bytes that are free where an SQLite file is.
    pub disk_free: Option<u64>,
    /// The newest schema that any rolegate has brought the database to, where this one does not know it.
    pub newer_schema: Option<i64>,
    /// Values that are sealed under former master keys; a thousand of a column are counted at most.
    pub under_former: u64,
    /// Gateways that were heard from lately.
    pub gateways: usize,
    /// When tokens end, by name.
    pub tokens: Vec<TokenEnd>,
}

/// When the last token of a name ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenEnd {
    /// The name.
    pub name: TokenName,
    /// `launcher`, `admin` or `auditor`.
    pub role: String,
    /// When the last of them ends.
    pub expires_at: DateTime<Utc>,
}

/// Connections to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLevel {
    /// `reader` or `writer`.
    pub pool: &'static str,
    /// How many are at work.
    pub in_use: usize,
    /// How many there may be.
    pub most: u32,
}

const SESSIONS: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM sessions
    WHERE expires_at > $1 AND ended_at IS NULL AND state = 'confirmed' LIMIT 1000000) AS live";
const LEASES: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM leases
    WHERE expires_at > $1 AND revoked_at IS NULL LIMIT 1000000) AS live";
const CREDENTIALS: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM credentials
    WHERE expires_at > $1 LIMIT 1000000) AS live";

impl Store {
    /// How full the store is now.
    pub async fn levels(&self) -> Result<Levels, StoreError> {
        let last = "SELECT COALESCE(MAX(seq), 0) FROM audit";
        let first = sqlx::query_scalar("SELECT MIN(seq) FROM audit");
        let newest = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations";
        let newest = self.one_number(newest).await?;
        Ok(Levels {
            sessions: self.count_live(SESSIONS).await?,
            leases: self.count_live(LEASES).await?,
            credentials: self.count_live(CREDENTIALS).await?,
            audit_seq: self.one_number(last).await?,
            audit_first: first.fetch_one(self.reader()).await?,
            size: self.one_number(self.0.engine.size_query()).await?,
            disk_free: self.disk_free().await?,
            newer_schema: (newest > self.0.engine.known_schema()).then_some(newest),
            under_former: self.under_former().await?,
            gateways: self.gateways().await?.len(),
            tokens: self.token_ends().await?,
        })
    }

    /// The connections in use.
    pub fn pools(&self) -> [PoolLevel; 2] {
        let level = |name, connections: &Connections| {
            let pool = connections.pool();
            PoolLevel {
                pool: name,
                in_use: usize::try_from(pool.size())
                    .unwrap_or(0)
                    .saturating_sub(pool.num_idle()),
                most: pool.options().get_max_connections(),
            }
        };
        [
            level("reader", self.reader()),
            level("writer", self.writer()),
        ]
    }

    /// Whether an audit record could be written now: the head opens, and the disk takes
    /// it once more. Adds none.
    pub async fn check_audit(&self) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        audit::seal_again(&mut transaction, self.sealer()).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Whether the server says of what its users write that it is done before it is on disk. rolegate writes nothing
    /// so; others that write for it may.
    pub async fn acknowledges_early(&self) -> Result<bool, StoreError> {
        if self.0.engine != Engine::Postgres {
            return Ok(false);
        }
        let early = "SELECT CAST(COUNT(*) AS BIGINT) FROM pg_settings
            WHERE name = 'synchronous_commit' AND setting = 'off'";
        Ok(self.one_number(early).await? > 0)
    }

    async fn count_live(&self, sql: &'static str) -> Result<i64, StoreError> {
        let now = millis(self.now());
        let count = sqlx::query_scalar(sql).bind(now);
        Ok(count.fetch_one(self.reader()).await?)
    }

    async fn one_number(&self, sql: &'static str) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(sql).fetch_one(self.reader()).await?)
    }

    /// What is left on the disk of an SQLite file.
    async fn disk_free(&self) -> Result<Option<u64>, StoreError> {
        if self.0.engine != Engine::Sqlite {
            return Ok(None);
        }
        let file = "SELECT file FROM pragma_database_list WHERE name = 'main'";
        let file: Option<String> = sqlx::query_scalar(file).fetch_one(self.reader()).await?;
        // A database in memory has no file.
        let file = file.filter(|file| !file.is_empty()).map(PathBuf::from);
        let room = file.and_then(|file| rustix::fs::statvfs(&file).ok());
        Ok(room.map(|room| room.f_bavail.saturating_mul(room.f_frsize)))
    }

    async fn token_ends(&self) -> Result<Vec<TokenEnd>, StoreError> {
        let rows = sqlx::query(
            "SELECT name, role, MAX(expires_at) AS expires_at FROM tokens
             WHERE revoked_at IS NULL AND expires_at > $1
             GROUP BY name, role ORDER BY 3, 1 LIMIT $2",
        )
        .bind(millis(self.now() - TOKENS_STAY))
        .bind(TOKENS)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read_token).collect()
    }
}

fn read_token(row: &AnyRow) -> Result<TokenEnd, StoreError> {
    let record = Record::new(row, "tokens", "name");
    Ok(TokenEnd {
        name: record.parsed("name")?,
        role: record.text("role")?,
        expires_at: record.time("expires_at")?,
    })
}

#[cfg(test)]
mod tests {
    use sqlx::Row;

    use super::*;
    use crate::store::testing::Bench;

    #[tokio::test]
    async fn what_is_live_is_counted() {
        let bench = Bench::new();
        let store = bench.open().await;
        let empty = store.levels().await.unwrap();
        assert_eq!((empty.sessions, empty.leases, empty.credentials), (0, 0, 0));
        assert_eq!((empty.audit_seq, empty.newer_schema), (0, None));
        assert_eq!((empty.audit_first, empty.under_former), (None, 0));
        assert_eq!(empty.gateways, 0);
        store.join_gateways("me", "host", "1").await.unwrap();
        assert!(empty.size > 0 && empty.tokens.is_empty());
        assert_eq!(empty.disk_free.is_some(), !bench.is_on_server());
        for name in ["a", "b"] {
            let session = bench.session(&store, name).await;
            bench.issue(&store, session.session(), 900).await;
        }
        let filled = store.levels().await.unwrap();
        assert_eq!((filled.sessions, filled.credentials), (2, 2));
        assert_eq!(filled.gateways, 1);
        bench.clock.advance(TimeDelta::seconds(901));
        let later = store.levels().await.unwrap();
        assert_eq!((later.sessions, later.credentials), (2, 0));
        bench.clock.advance(TimeDelta::days(2));
        assert_eq!(store.levels().await.unwrap().sessions, 0);
    }

    #[tokio::test]
    async fn counting_reads_indexes_alone() {
        let bench = Bench::in_file();
        let store = bench.open().await;
        for sql in [SESSIONS, LEASES, CREDENTIALS] {
            let plan = format!("EXPLAIN QUERY PLAN {sql}");
            let plan = sqlx::query(sqlx::AssertSqlSafe(plan)).bind(0_i64);
            let rows = plan.fetch_all(store.reader()).await.unwrap();
            let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            let covered = |step: &String| step.contains("COVERING INDEX");
            assert!(steps.iter().any(covered), "{steps:?}");
        }
    }

    #[tokio::test]
    async fn a_newer_schema_and_a_damaged_head_are_noticed() {
        let bench = Bench::new();
        let store = bench.open().await;
        store.check_audit().await.unwrap();
        bench
            .tamper_with(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'of tomorrow', TRUE, $1, 0)",
                vec![0],
            )
            .await;
        let levels = store.levels().await.unwrap();
        assert_eq!(levels.newer_schema, Some(9999));
        bench
            .tamper_with(
                "UPDATE meta SET value = $1 WHERE name = 'audit_head'",
                vec![0],
            )
            .await;
        assert!(store.check_audit().await.is_err());
    }

    #[tokio::test]
    async fn connections_are_counted() {
        let bench = Bench::new();
        let store = bench.open().await;
        let transaction = store.begin().await.unwrap();
        let [reader, writer] = store.pools();
        assert_eq!((reader.pool, writer.pool), ("reader", "writer"));
        assert_eq!(writer.in_use, 1);
        assert!(writer.most >= 1 && reader.most >= 1);
        drop(transaction);
    }
}
