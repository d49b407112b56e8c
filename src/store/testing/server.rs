//! A database on the server that `ROLEGATE_TEST_POSTGRES` names; the store reaches it through the pooler that
//! `ROLEGATE_TEST_POOLER` names, where it does.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection};

/// A database on a server, made when it is first opened. It goes with the server.
pub(super) struct ServerDatabase {
    server: String,
    name: String,
    made: tokio::sync::OnceCell<()>,
}

impl ServerDatabase {
    pub(super) fn of_environment() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var("ROLEGATE_TEST_POSTGRES").ok()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            server,
            name: format!("bench_{}_{number}", std::process::id()),
            made: tokio::sync::OnceCell::new(),
        })
    }

    pub(super) fn url(&self) -> String {
        self.url_at(&self.server)
    }

    /// Its URL by way of a pooler, where there is one.
    pub(super) fn pooled_url(&self) -> Option<String> {
        let pooler = std::env::var("ROLEGATE_TEST_POOLER").ok()?;
        Some(self.url_at(&pooler))
    }

    fn url_at(&self, place: &str) -> String {
        let (address, _) = place.rsplit_once('/').unwrap();
        format!("{address}/{}", self.name)
    }

    /// Where the server keeps this database and its log, once all of it was written.
    pub(super) async fn folders(&self) -> Vec<std::path::PathBuf> {
        let mut connection = sqlx::AnyConnection::connect(&self.url()).await.unwrap();
        sqlx::raw_sql("CHECKPOINT")
            .execute(&mut connection)
            .await
            .unwrap();
        let sql = "SELECT current_setting('data_directory') || '/base/'
             || (SELECT oid FROM pg_database WHERE datname = current_database())";
        let base: String = sqlx::query_scalar(sql)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let base = std::path::PathBuf::from(base);
        let log = base.join("../../pg_wal");
        vec![base, log]
    }

    pub(super) async fn make(&self) {
        let make = async {
            sqlx::any::install_default_drivers();
            let mut connection = sqlx::AnyConnection::connect(&self.server).await.unwrap();
            let sql = AssertSqlSafe(format!("CREATE DATABASE {}", self.name));
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        };
        self.made.get_or_init(|| make).await;
    }
}
