//! Connections to the database, of our own or of a pooler's.
//!
//! A pooler that pools by transaction may give each transaction another connection of the server's, which others used
//! before: nothing may be left on it, nor be looked for there. Everything is then a transaction that brings its own
//! settings and begins by dropping the prepared statements that it finds, and none is kept in memory for the next.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryFutureExt, TryStreamExt};
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::pool::PoolConnection;
use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, Describe, Either, Error, Execute, Executor, SqlStr,
    Transaction,
};

/// A way into the database.
#[derive(Clone)]
pub(super) struct Connections {
    pool: AnyPool,
    pooler: Option<Pooler>,
}

/// How transactions begin that get a connection of a pooler's.
#[derive(Clone, Copy)]
pub(super) struct Pooler {
    /// What each of them runs first.
    pub(super) first: &'static str,
    /// How long it waits for a connection.
    pub(super) patience: Duration,
}

impl Connections {
    /// Connections that nobody else uses.
    pub(super) fn own(pool: AnyPool) -> Self {
        Self { pool, pooler: None }
    }

    /// Connections to a pooler.
    pub(super) fn pooled(pool: AnyPool, pooler: Pooler) -> Self {
        let pooler = Some(pooler);
        Self { pool, pooler }
    }

    /// A transaction.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, Error> {
        self.begin_with("BEGIN").await
    }

    /// A transaction that begins by `statement`.
    pub(super) async fn begin_with(
        &self,
        statement: &'static str,
    ) -> Result<Transaction<'static, Any>, Error> {
        let Some(Pooler { first, patience }) = self.pooler else {
            return self.pool.begin_with(statement).await;
        };
        // Seen through where nobody waits any more: one that begins late is rolled back, where one given up in the middle
        // would stay open on the pooler's connection.
        let pool = self.pool.clone();
        let begun = tokio::spawn(async move {
            pool.begin_with(AssertSqlSafe(format!("{statement}; {first}")))
                .await
        });
        match tokio::time::timeout(patience, begun).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(_)) | Err(_) => Err(Error::PoolTimedOut),
        }
    }

    /// One connection for several statements that only read; what they wrote would be lost.
    pub(super) async fn to_read(&self) -> Result<OneConnection, Error> {
        Ok(match self.pooler {
            None => OneConnection::Own(self.pool.acquire().await?),
            Some(_) => OneConnection::Lent(self.begin().await?),
        })
    }

    /// What is counted of them.
    pub(super) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Closes them once their work is done.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// All that `query` answers, of a transaction of its own.
    async fn all<'q, E: 'q + Execute<'q, Any>>(
        self,
        query: E,
    ) -> Result<Vec<Either<AnyQueryResult, AnyRow>>, Error> {
        let mut transaction = self.begin().await?;
        let answers = (&mut *transaction).fetch_many(query).try_collect().await?;
        transaction.commit().await?;
        Ok(answers)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections(..)")
    }
}

impl<'c> Executor<'c> for &'c Connections {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        if self.pooler.is_none() {
            return self.pool.fetch_many(query);
        }
        self.clone()
            .all(query)
            .map_ok(|answers| stream::iter(answers.into_iter().map(Ok)))
            .try_flatten_stream()
            .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        if self.pooler.is_none() {
            return self.pool.fetch_optional(query);
        }
        let all = self.clone().all(query);
        Box::pin(all.map_ok(|answers| answers.into_iter().find_map(Either::right)))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        self.pool.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, Error>>
    where
        'c: 'e,
    {
        self.pool.describe(sql)
    }
}

/// One connection, to read with.
pub(super) enum OneConnection {
    Own(PoolConnection<Any>),
    Lent(Transaction<'static, Any>),
}

impl Deref for OneConnection {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        match self {
            Self::Own(connection) => connection,
            Self::Lent(transaction) => transaction,
        }
    }
}

impl DerefMut for OneConnection {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        match self {
            Self::Own(connection) => connection,
            Self::Lent(transaction) => transaction,
        }
    }
}
