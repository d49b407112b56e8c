//! Opening PostgreSQL, which replicas share.
//!
//! Writers that gateways hear of go one after the other, under a lock of the database's that its triggers take
//! too; the rest is ordered by rows and constraints. What was acknowledged is on disk there. A statement waits no
//! longer than a request may; the URL may hold a password and is never repeated.

use std::str::FromStr;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgListener;
use sqlx::{AnyConnection, Connection};

use super::StoreError;
use super::engine::Engine;
use super::opening::{Pools, quiet};

/// The steps that made today's schema, numbered as SQLite's. Applied ones are never edited.
pub(super) static MIGRATOR: Migrator = sqlx::migrate!("src/store/migrations/postgres");

/// Taken by whoever writes what gateways keep in memory; the schema's triggers name the same number.
pub(super) const ONE_WRITER: &str = "SELECT 1 FROM pg_advisory_xact_lock(7805346112034)";

/// Taken by the process that removes what no longer counts; the others go without.
pub(super) const ONE_PURGER: &str = "SELECT pg_try_advisory_xact_lock(7805346112035)";

/// Where the schema's triggers tell of changes.
const CHANNEL: &str = "rolegate";
/// How long to wait before listening again where the server is away.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// How long a call waits for a connection.
const PATIENCE: Duration = Duration::from_secs(4);
const WRITERS: u32 = 4;
const READERS: u32 = 8;

/// A call ends before its requester has given up; an answer that is late is none.
const WRITING: &str = "SET statement_timeout = '4s'; SET lock_timeout = '4s'; \
     SET idle_in_transaction_session_timeout = '10s'; SET application_name = 'rolegate';";
const READING: &str = "SET default_transaction_read_only = on; SET statement_timeout = '4s'; \
     SET idle_in_transaction_session_timeout = '60s'; SET application_name = 'rolegate';";

/// For what an admin waits for: to the end of the transaction.
pub(super) const PATIENTLY: &str = "SET LOCAL statement_timeout = '60s'";

/// For steps of the schema, which on large tables take as long as they must; for a lock they still wait no longer.
pub(super) const UNHURRIED: &str = "SET LOCAL statement_timeout = 0";

pub(super) async fn open(url: &str) -> Result<Pools, StoreError> {
    let options = options(url)?;
    let writer = pool(WRITERS, WRITING)
        .connect_with(options.clone())
        .await
        .map_err(|error| away(&error))?;
    Ok(Pools {
        writer,
        reader: pool(READERS, READING).connect_lazy_with(options),
        engine: Engine::Postgres,
    })
}

/// As [`open`], for reading alone.
pub(super) async fn look(url: &str) -> Result<Pools, StoreError> {
    let reader = pool(1, READING)
        .connect_with(options(url)?)
        .await
        .map_err(|error| away(&error))?;
    Ok(Pools {
        writer: reader.clone(),
        reader,
        engine: Engine::Postgres,
    })
}

/// Whether rolegate's tables are there.
pub(super) async fn is_made(url: &str) -> Result<bool, StoreError> {
    let mut connection = connect(url).await?;
    let tables: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.tables
         WHERE table_schema = current_schema() AND table_name = 'meta'",
    )
    .fetch_one(&mut connection)
    .await?;
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

/// What keeps the server at `url` from being listened to, if anything does.
pub async fn listening_problem(url: &str) -> Option<String> {
    match connect(url).await {
        Ok(connection) => {
            // It was opened for this; whether it closes well changes nothing.
            let _closed = connection.close().await;
            None
        }
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
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(settings).execute(connection).await?;
                Ok(())
            })
        })
}
