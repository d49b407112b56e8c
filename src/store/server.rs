//! Opening PostgreSQL, which replicas share.
//!
//! Writers that gateways hear of go one after the other, under a lock of the database's that its triggers take
//! too; the rest is ordered by rows and constraints. What was acknowledged is on disk there. A statement waits no
//! longer than a request may; the URL may hold a password and is never repeated.

use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgListener;
use sqlx::{AnyConnection, AnyPool, Connection, Row};
use url::Url;

use super::StoreError;
use super::connections::{Connections, Pooler};
use super::engine::Engine;
use super::opening::{Pools, quiet};

/// The steps that made today's schema, numbered as SQLite's. Applied ones are never edited.
pub(super) static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("src/store/migrations/postgres");
    // The one writer's lock is taken already; the migrator's own would outlive the transaction on a pooler's connection.
    migrator.set_locking(false);
    migrator
});

/// Taken by whoever writes what gateways keep in memory; the schema's triggers name the same number.
pub(super) const ONE_WRITER: &str = "SELECT 1 FROM pg_advisory_xact_lock(7805346112034)";

/// Taken by the process that removes what no longer counts; the others go without.
pub(super) const ONE_PURGER: &str = "SELECT pg_try_advisory_xact_lock(7805346112035)";

/// Where the schema's triggers tell of changes.
const CHANNEL: &str = "rolegate";
/// Where it is tried whether one is heard, and how.
const TEST_CHANNEL: &str = "rolegate_check";
const TEST_WORD: &str = "NOTIFY rolegate_check";
/// How long to wait before listening again where the server is away.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// How long a call waits for a connection.
const PATIENCE: Duration = Duration::from_secs(4);
const WRITERS: u32 = 4;
const READERS: u32 = 8;

/// A call ends before its requester has given up; an answer that is late is none.
const WRITING: &str = "SET statement_timeout = '4s'; SET lock_timeout = '4s'; \
     SET idle_in_transaction_session_timeout = '10s'; SET application_name = 'rolegate'; \
     SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') = 'off';";
const READING: &str = "SET default_transaction_read_only = on; SET statement_timeout = '4s'; \
     SET idle_in_transaction_session_timeout = '60s'; SET application_name = 'rolegate';";

/// The same for one transaction, on a connection of which nobody knows who used it before.
const WRITING_ONCE: Pooler = Pooler {
    patience: PATIENCE,
    first: "SET TRANSACTION READ WRITE; DEALLOCATE ALL; SET LOCAL statement_timeout = '4s'; \
     SET LOCAL lock_timeout = '4s'; \
     SET LOCAL idle_in_transaction_session_timeout = '10s'; \
     SELECT set_config('synchronous_commit', 'on', true) \
     WHERE current_setting('synchronous_commit') = 'off'",
};
const READING_ONCE: Pooler = Pooler {
    patience: PATIENCE,
    first: "SET TRANSACTION READ ONLY; DEALLOCATE ALL; SET LOCAL statement_timeout = '4s'; \
     SET LOCAL idle_in_transaction_session_timeout = '60s'",
};

/// For what an admin waits for: to the end of the transaction.
pub(super) const PATIENTLY: &str = "SET LOCAL statement_timeout = '60s'";

/// For steps of the schema, which on large tables take as long as they must; for a lock they still wait no longer.
pub(super) const UNHURRIED: &str = "SET LOCAL statement_timeout = 0";

pub(super) async fn open(url: &str, pooled: bool) -> Result<Pools, StoreError> {
    let (writer, reader) = if pooled {
        let options = options(&without_statements(url)?)?;
        let writer = reached(bare_pool(WRITERS), options.clone()).await?;
        let reader = bare_pool(READERS).connect_lazy_with(options);
        (
            Connections::pooled(writer, WRITING_ONCE),
            Connections::pooled(reader, READING_ONCE),
        )
    } else {
        let options = options(url)?;
        let writer = reached(pool(WRITERS, WRITING), options.clone()).await?;
        let reader = pool(READERS, READING).connect_lazy_with(options);
        (Connections::own(writer), Connections::own(reader))
    };
    Ok(Pools {
        writer,
        reader,
        engine: Engine::Postgres,
    })
}

/// The URL with which the driver remembers no prepared statement.
fn without_statements(url: &str) -> Result<String, StoreError> {
    let mut url = Url::parse(url).map_err(|error| away(&sqlx::Error::config(error)))?;
    url.query_pairs_mut()
        .append_pair("statement-cache-capacity", "0");
    Ok(url.into())
}

/// As [`open`], for reading alone.
pub(super) async fn look(url: &str, pooled: bool) -> Result<Pools, StoreError> {
    let reader = if pooled {
        let options = options(&without_statements(url)?)?;
        Connections::pooled(reached(bare_pool(1), options).await?, READING_ONCE)
    } else {
        Connections::own(reached(pool(1, READING), options(url)?).await?)
    };
    Ok(Pools {
        writer: reader.clone(),
        reader,
        engine: Engine::Postgres,
    })
}

async fn reached(pool: AnyPoolOptions, options: AnyConnectOptions) -> Result<AnyPool, StoreError> {
    let connected = pool.connect_with(options).await;
    connected.map_err(|error| away(&error))
}

/// Whether rolegate's tables are there.
pub(super) async fn is_made(url: &str) -> Result<bool, StoreError> {
    let mut connection = connect(url).await?;
    // As text, without a prepared statement: a pooler may give each part of one another connection of the server's.
    let row = sqlx::raw_sql(
        "SELECT COUNT(*) FROM information_schema.tables
         WHERE table_schema = current_schema() AND table_name = 'meta'",
    )
    .fetch_one(&mut connection)
    .await?;
    let tables: i64 = row.try_get(0)?;
    // It was opened for this; whether it closes well changes nothing.
    let _closed = connection.close().await;
    Ok(tables > 0)
}

/// One connection. The driver itself would wait for ever for a server that takes it and says nothing.
async fn connect(url: &str) -> Result<AnyConnection, StoreError> {
    sqlx::any::install_default_drivers();
    let options = options(url)?;
    tokio::time::timeout(PATIENCE, AnyConnection::connect_with(&options))
        .await
        .map_err(|_| StoreError::CannotReach {
            problem: format!("it did not answer within {} seconds", PATIENCE.as_secs()),
        })?
        .map_err(|error| away(&error))
}

/// Rings when another process, or this one, has written what gateways keep in memory.
///
/// A ring that is missed is made up for by who looks from time to time; a server that is away rings again when it
/// is back.
pub struct Bell {
    url: Option<String>,
    listener: Option<PgListener>,
}

impl Bell {
    /// That of the server at `url`; without one it never rings.
    pub(super) fn of(url: Option<String>) -> Self {
        Self {
            url,
            listener: None,
        }
    }

    /// As [`Bell::rings`], for who waits for something else too and must not begin anew each time.
    pub async fn rung(mut self) -> Self {
        self.rings().await;
        self
    }

    /// Waits for the next ring. Dropping the future loses none that has not come yet.
    pub async fn rings(&mut self) {
        let Some(url) = &self.url else {
            return std::future::pending().await;
        };
        loop {
            if self.listener.is_none() {
                self.listener = listen(url).await;
            }
            if let Some(listener) = &mut self.listener
                && listener.recv().await.is_ok()
            {
                return;
            }
            self.listener = None;
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }
}

async fn listen(url: &str) -> Option<PgListener> {
    let mut listener = PgListener::connect(url).await.ok()?;
    listener.listen(CHANNEL).await.ok()?;
    Some(listener)
}

/// What keeps who listens at `listen_url` from hearing of what is written at `url`, if anything does: a word that is
/// said there must arrive here.
pub async fn listening_problem(url: &str, listen_url: &str) -> Option<String> {
    let heard = async {
        // The listener itself would try for long where nobody answers.
        let probe = connect(listen_url).await?;
        // It was opened for this; whether it closes well changes nothing.
        let _closed = probe.close().await;
        let listening = async {
            let mut listener = PgListener::connect(listen_url).await?;
            listener.listen(TEST_CHANNEL).await?;
            let mut speaker = connect(url).await?;
            sqlx::raw_sql(TEST_WORD).execute(&mut speaker).await?;
            listener.recv().await?;
            let _closed = speaker.close().await;
            Ok::<(), StoreError>(())
        };
        // A pooler may also hand the word to the speaker, who does not expect it.
        let heard = tokio::time::timeout(PATIENCE, listening).await;
        if matches!(heard, Ok(Ok(()))) {
            return Ok(());
        }
        Err(StoreError::CannotReach {
            problem: "what is said in the database of store.url is not heard there".to_owned(),
        })
    };
    match heard.await {
        Ok(()) => None,
        Err(StoreError::CannotReach { problem }) => Some(problem),
        Err(other) => Some(other.to_string()),
    }
}

fn options(url: &str) -> Result<AnyConnectOptions, StoreError> {
    let options = AnyConnectOptions::from_str(url).map_err(|error| away(&error))?;
    Ok(quiet(options))
}

fn away(error: &sqlx::Error) -> StoreError {
    StoreError::CannotReach {
        problem: error.to_string(),
    }
}

fn pool(connections: u32, settings: &'static str) -> AnyPoolOptions {
    bare_pool(connections).after_connect(move |connection, _| {
        Box::pin(async move {
            sqlx::raw_sql(settings).execute(connection).await?;
            Ok(())
        })
    })
}

fn bare_pool(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
}
