//! What differs from engine to engine once the database is open: how transactions begin, what is asked of the engine
//! itself, and the steps that made its schema.

use sqlx::migrate::Migrator;
use sqlx::{Any, Transaction};

use super::connections::Connections;
use super::{StoreError, server};

/// The steps that made today's schema. Applied ones are never edited.
static MIGRATOR: Migrator = sqlx::migrate!("src/store/migrations");

/// Looks at some hundred rows of an index, whatever its size: the one writer is not kept for long.
const OPTIMIZE: &str = "PRAGMA analysis_limit = 400; PRAGMA optimize;";

/// Which steps made the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schema {
    /// Those of this program.
    Todays,
    /// The first of them alone.
    Older,
}

/// How transactions begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// The write lock of the file is taken at the beginning.
    Sqlite,
    /// The lock that the triggers of the schema take too.
    Postgres,
}

impl Engine {
    /// A transaction that may read and then write, with nobody else writing in between.
    pub(super) async fn begin(
        self,
        connections: &Connections,
    ) -> Result<Transaction<'static, Any>, StoreError> {
        match self {
            Self::Sqlite => Ok(connections.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres => {
                let mut transaction = connections.begin().await?;
                sqlx::query(server::ONE_WRITER)
                    .execute(&mut *transaction)
                    .await?;
                Ok(transaction)
            }
        }
    }

    /// A transaction for the one process that removes just now; `None` where that is another. Requests go on beside
    /// it on a server, and take turns with it on a file.
    pub(super) async fn begin_purge(
        self,
        connections: &Connections,
    ) -> Result<Option<Transaction<'static, Any>>, StoreError> {
        match self {
            Self::Sqlite => Ok(Some(connections.begin_with("BEGIN IMMEDIATE").await?)),
            Self::Postgres => {
                let mut transaction = connections.begin().await?;
                let mine: bool = sqlx::query_scalar(server::ONE_PURGER)
                    .fetch_one(&mut *transaction)
                    .await?;
                Ok(mine.then_some(transaction))
            }
        }
    }

    /// Has the engine learn how its tables have grown, where it does not by itself.
    pub(super) async fn optimize(self, connections: &Connections) -> Result<(), StoreError> {
        match self {
            Self::Sqlite => {
                sqlx::raw_sql(OPTIMIZE).execute(connections).await?;
                Ok(())
            }
            // Autovacuum does.
            Self::Postgres => Ok(()),
        }
    }

    /// Lets the statements of a transaction take their time: what it does must not fail for being much.
    pub(super) async fn be_patient(
        self,
        transaction: &mut Transaction<'static, Any>,
    ) -> Result<(), StoreError> {
        if self == Self::Postgres {
            sqlx::query(server::PATIENTLY)
                .execute(&mut **transaction)
                .await?;
        }
        Ok(())
    }

    /// Holds the row of a master key, so that nobody can seal under it until the transaction ends; who has sealed
    /// under it and not committed yet is waited for.
    pub(super) async fn hold_sealing_key(
        self,
        transaction: &mut Transaction<'static, Any>,
        id: &[u8],
    ) -> Result<(), StoreError> {
        if self == Self::Postgres {
            sqlx::query("SELECT state FROM sealing_keys WHERE id = $1 FOR UPDATE")
                .bind(id.to_vec())
                .fetch_optional(&mut **transaction)
                .await?;
        }
        Ok(())
    }

    /// Has the statements of a transaction go by an index where there is one, whatever is thought of how much of a
    /// table they find.
    pub(super) async fn by_index(
        self,
        transaction: &mut Transaction<'static, Any>,
    ) -> Result<(), StoreError> {
        if self == Self::Postgres {
            sqlx::query("SET LOCAL enable_seqscan = off")
                .execute(&mut **transaction)
                .await?;
        }
        Ok(())
    }

    /// A transaction that sees one moment, whatever is written meanwhile.
    pub(super) async fn snapshot(
        self,
        connections: &Connections,
    ) -> Result<Transaction<'static, Any>, StoreError> {
        match self {
            Self::Sqlite => Ok(connections.begin().await?),
            Self::Postgres => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
                Ok(connections.begin_with(begin).await?)
            }
        }
    }

    fn migrator(self) -> &'static Migrator {
        match self {
            Self::Sqlite => &MIGRATOR,
            Self::Postgres => &server::MIGRATOR,
        }
    }

    /// Which schema the database has; a newer one refuses.
    pub(super) async fn schema(
        self,
        connection: &mut sqlx::AnyConnection,
    ) -> Result<Schema, StoreError> {
        let applied: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
                .fetch_all(connection)
                .await?;
        for (version, checksum) in &applied {
            let mut known = self.migrator().iter();
            let same = known.any(|one| one.version == *version && *one.checksum == **checksum);
            if !same {
                return Err(StoreError::NewerSchema { version: *version });
            }
        }
        let todays = self.migrator().iter().count() == applied.len();
        Ok(if todays {
            Schema::Todays
        } else {
            Schema::Older
        })
    }

    /// The bytes that the database takes up on its disk.
    pub(super) fn size_query(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
            }
            Self::Postgres => "SELECT pg_database_size(current_database())",
        }
    }

    /// The schema that this program knows.
    pub(super) fn known_schema(self) -> i64 {
        let versions = self.migrator().iter().map(|migration| migration.version);
        versions.max().unwrap_or(0)
    }

    /// Brings the schema to today's, within the caller's transaction: two processes may start at once.
    pub(super) async fn migrate(
        self,
        connection: &mut sqlx::AnyConnection,
    ) -> Result<(), StoreError> {
        if self == Self::Postgres {
            sqlx::query(server::UNHURRIED)
                .execute(&mut *connection)
                .await?;
        }
        self.migrator().run_direct(None, connection, false).await?;
        Ok(())
    }
}
