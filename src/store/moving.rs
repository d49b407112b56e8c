//! Taking the whole store elsewhere: a backup of a SQLite file while it is in use, and a copy into PostgreSQL.
//!
//! Rows go as they are: what is sealed stays sealed, bound to table, row and column, and opens under the same master
//! key alone. A copy is all or nothing, into a database where nobody has signed in yet.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chrono::{DateTime, Utc};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row};

use super::engine::Engine;
use super::{Store, StoreError, gateways, sync_folder};

/// Rows that are read at once.
const PAGE: i64 = 1000;

/// What a copy brought over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Each table with the number of its rows, in the order of the copy.
    pub tables: Vec<(String, u64)>,
}

/// A column of the database that is copied into.
struct Column {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Blob,
}

impl Store {
    /// Writes a whole copy of the SQLite file to `path`, which must not exist yet, for its owner alone; writers go
    /// on meanwhile, and the copy is of one moment.
    pub async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        if self.0.engine != Engine::Sqlite {
            return Err(StoreError::NoBackup);
        }
        let failed = |problem: String| StoreError::Backup {
            path: path.display().to_string(),
            problem,
        };
        let name = path
            .to_str()
            .ok_or_else(|| failed("its name is no text".to_owned()))?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| failed(error.to_string()))?;
        let copied = sqlx::query("VACUUM INTO $1")
            .bind(name)
            .execute(self.writer())
            .await;
        let done = copied
            .map_err(|error| error.to_string())
            .and_then(|_| sync_new(path).map_err(|error| error.to_string()));
        if done.is_err() {
            // Half a backup is none; that it stays if it cannot be removed is told by the error itself.
            let _removed = std::fs::remove_file(path);
        }
        done.map_err(failed)
    }

    /// Copies everything into `to`, a PostgreSQL store of the same master key that nobody used yet. Nobody can write
    /// here meanwhile.
    pub async fn copy_into(&self, to: &Self) -> Result<Copied, StoreError> {
        if (self.0.engine, to.0.engine) != (Engine::Sqlite, Engine::Postgres) {
            return Err(StoreError::CopyDirection);
        }
        let mut from = self.begin().await?;
        require_nobody_at_work(&mut from, self.now()).await?;
        let mut into = to.begin().await?;
        require_unused(&mut into).await?;
        let tables = tables(&mut into).await?;
        for table in &tables {
            let quiet = format!("ALTER TABLE {table} DISABLE TRIGGER USER");
            run(&mut into, quiet).await?;
            // What a fresh database brings along: counters, the check of its key, the head of an empty chain.
            run(&mut into, format!("DELETE FROM {table}")).await?;
        }
        let mut copied = Copied { tables: Vec::new() };
        for table in tables {
            let rows = copy_table(&mut from, &mut into, &table).await?;
            run(
                &mut into,
                format!("ALTER TABLE {table} ENABLE TRIGGER USER"),
            )
            .await?;
            copied.tables.push((table, rows));
        }
        into.commit().await?;
        from.rollback().await?;
        Ok(copied)
    }
}

/// Waits until a file just written, and its name, are on disk.
fn sync_new(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()?;
    sync_folder(path)
}

async fn run(connection: &mut AnyConnection, sql: String) -> Result<u64, StoreError> {
    let done = sqlx::query(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(done.rows_affected())
}

/// What a gateway would write after the copy, nobody would ever read.
async fn require_nobody_at_work(
    from: &mut AnyConnection,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let live = gateways::live(from, now).await?;
    let mut hosts: Vec<String> = live.into_iter().map(|gateway| gateway.host).collect();
    hosts.dedup();
    if hosts.is_empty() {
        return Ok(());
    }
    let hosts = hosts.join(", ");
    Err(StoreError::GatewayAtWork { hosts })
}

/// A database in which something was recorded would lose it.
async fn require_unused(into: &mut AnyConnection) -> Result<(), StoreError> {
    let used: i64 = sqlx::query_scalar(
        "SELECT (SELECT COUNT(*) FROM audit) + (SELECT COUNT(*) FROM sessions)
         + (SELECT COUNT(*) FROM entries) + (SELECT COUNT(*) FROM tokens)",
    )
    .fetch_one(into)
    .await?;
    if used == 0 {
        Ok(())
    } else {
        Err(StoreError::CopyTargetUsed)
    }
}

/// rolegate's tables, those that others refer to first; without that of the gateways at work, of which there is none.
async fn tables(into: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT CAST(table_name AS TEXT) FROM information_schema.tables
         WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'
         AND table_name NOT IN ('_sqlx_migrations', 'gateways')
         ORDER BY table_name <> 'sessions', table_name",
    )
    .fetch_all(into)
    .await?;
    Ok(rows)
}

async fn columns(into: &mut AnyConnection, table: &str) -> Result<Vec<Column>, StoreError> {
    let rows = sqlx::query(
        "SELECT CAST(column_name AS TEXT) AS name, CAST(data_type AS TEXT) AS kind
         FROM information_schema.columns
         WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position",
    )
    .bind(table)
    .fetch_all(into)
    .await?;
    let column = |row: &AnyRow| {
        let kind: String = row.try_get("kind")?;
        Ok(Column {
            name: row.try_get("name")?,
            kind: match kind.as_str() {
                "bigint" => Kind::Number,
                "bytea" => Kind::Blob,
                _ => Kind::Text,
            },
        })
    };
    rows.iter().map(column).collect()
}

async fn copy_table(
    from: &mut AnyConnection,
    into: &mut AnyConnection,
    table: &str,
) -> Result<u64, StoreError> {
    let columns = columns(into, table).await?;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let names = names.join(", ");
    let places: Vec<String> = (1..=columns.len()).map(|at| format!("${at}")).collect();
    let insert = format!(
        "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE VALUES ({})",
        places.join(", ")
    );
    let select = format!(
        "SELECT rowid AS row_number, {names} FROM {table} WHERE rowid > $1 ORDER BY rowid LIMIT $2"
    );
    let (mut at, mut count) = (i64::MIN, 0);
    loop {
        let rows = sqlx::query(AssertSqlSafe(select.as_str()))
            .bind(at)
            .bind(PAGE)
            .fetch_all(&mut *from)
            .await?;
        let Some(last) = rows.last() else { break };
        at = last.try_get("row_number")?;
        for row in &rows {
            let query = sqlx::query(AssertSqlSafe(insert.as_str()));
            let query = columns
                .iter()
                .try_fold(query, |query, column| bound(query, row, column))?;
            count += query.execute(&mut *into).await?.rows_affected();
        }
    }
    follow_identity(into, table).await?;
    Ok(count)
}

fn bound<'q>(
    query: Query<'q, Any, AnyArguments>,
    row: &AnyRow,
    column: &Column,
) -> Result<Query<'q, Any, AnyArguments>, sqlx::Error> {
    let name = column.name.as_str();
    Ok(match column.kind {
        Kind::Number => query.bind(row.try_get::<Option<i64>, _>(name)?),
        Kind::Text => query.bind(row.try_get::<Option<String>, _>(name)?),
        Kind::Blob => query.bind(row.try_get::<Option<Vec<u8>>, _>(name)?),
    })
}

/// Lets a table that numbers its rows go on behind the last one.
async fn follow_identity(into: &mut AnyConnection, table: &str) -> Result<(), StoreError> {
    let numbered: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.columns
         WHERE table_schema = current_schema() AND table_name = $1 AND is_identity = 'YES'",
    )
    .bind(table)
    .fetch_one(&mut *into)
    .await?;
    if numbered == 0 {
        return Ok(());
    }
    let sql = format!(
        "SELECT setval(pg_get_serial_sequence('{table}', 'position'), COALESCE(MAX(position), 0) + 1, false)
         FROM {table}"
    );
    let _next: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(into)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::audit::{Event, EventKind, Recorder, Verdict, verify};
    use crate::store::testing::{Bench, TestSignIn, draft, person};

    /// A store with something in every kind of table that a gateway fills.
    async fn used(bench: &Bench) -> Store {
        let store = bench.open().await;
        let session = bench.session(&store, "a").await;
        bench.issue(&store, session.session(), 3600).await;
        let (lease, token) = bench.lease("job-1");
        store.add_lease(&lease, &token).await.unwrap();
        store.revoke_lease(&lease.id).await.unwrap();
        store.add_entry(draft("a"), "local:root").await.unwrap();
        bench.oidc_session(&store, "b").await;
        let recorder = Recorder::start(store.clone(), bench.clock.clone());
        for _ in 0..3 {
            recorder.record(Event::new(EventKind::Alarm)).await.unwrap();
        }
        store
    }

    #[tokio::test]
    async fn a_backup_is_whole_and_its_owner_s_alone_while_writers_go_on() {
        let bench = Bench::in_file();
        let store = used(&bench).await;
        let path = bench.path().with_file_name("backup.db");
        let writers = (0..50).map(|number| {
            let store = store.clone();
            async move {
                store
                    .accept(TestSignIn::new(&format!("w{number}")), None)
                    .await
            }
        });
        let (backed, _) = futures_util::future::join(
            store.backup(&path),
            futures_util::future::join_all(writers),
        )
        .await;
        backed.unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = store.backup(&path).await.unwrap_err();
        assert!(
            matches!(again, StoreError::Backup { .. })
                && again.to_string().contains("does not exist yet"),
            "{again}"
        );
        let url = format!("sqlite:{}", path.display());
        let copy = bench.open_at(url, [7; 32]).await.unwrap();
        assert_eq!(verify(&copy).await.unwrap(), Verdict::Whole { records: 3 });
        assert_eq!(
            copy.entries().await.unwrap(),
            store.entries().await.unwrap()
        );
        let newest = copy.newest_session(&person("okta", "ann")).await.unwrap();
        assert!(newest.is_some());
    }

    #[tokio::test]
    async fn a_copy_on_a_server_is_the_same_store() {
        let (file, server) = (Bench::in_file(), Bench::new());
        let from = used(&file).await;
        if !server.is_on_server() {
            let into = server.open().await;
            assert_eq!(from.copy_into(&into).await, Err(StoreError::CopyDirection));
            return;
        }
        let into = server.open().await;
        from.join_gateways("me", "gate-1", "1.0.0").await.unwrap();
        let refused = from.copy_into(&into).await;
        let hosts = "gate-1".to_owned();
        assert_eq!(refused, Err(StoreError::GatewayAtWork { hosts }));
        from.leave_gateways("me").await.unwrap();
        let copied = from.copy_into(&into).await.unwrap();
        for (table, rows) in &copied.tables {
            let sql = format!("SELECT COUNT(*) FROM {table}");
            let here: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(from.reader())
                .await
                .unwrap();
            assert_eq!(u64::try_from(here), Ok(*rows), "{table}");
        }
        let here: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
             AND name NOT IN ('_sqlx_migrations', 'gateways') ORDER BY name",
        )
        .fetch_all(from.reader())
        .await
        .unwrap();
        let mut there: Vec<String> = copied.tables.into_iter().map(|(table, _)| table).collect();
        there.sort();
        assert_eq!(here, there, "both engines have the same tables");
        into.close().await;
        // As a gateway opens it, with the key that sealed the file.
        let into = server.open().await;
        assert_eq!(verify(&into).await.unwrap(), Verdict::Whole { records: 3 });
        assert_eq!(into.entries().await.unwrap(), from.entries().await.unwrap());
        let before = into.change_versions().await.unwrap();
        into.add_entry(draft("b"), "local:root").await.unwrap();
        let after = into.change_versions().await.unwrap();
        assert!(
            after.entries > before.entries,
            "its triggers are at work again"
        );
        assert_eq!(into.entries().await.unwrap().len(), 2);
        let again = from.copy_into(&into).await;
        assert_eq!(again, Err(StoreError::CopyTargetUsed));
    }
}
