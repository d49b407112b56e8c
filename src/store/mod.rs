//! One store over SQLite or PostgreSQL: ledger, sessions, leases, sealed credentials, entries, assignments,
//! tokens, audit.
//!
//! A file a subject. SQL is written once, with `$1` binds over bigint, text and blob columns; engines
//! differ in `opening`, `server` and the migrations alone. What a method acknowledged is on disk. Trusts the
//! database for nothing that is sealed; never keeps a token, only its hash; never holds a connection
//! while it waits for anything but the database.

mod arrivals;
mod assignments;
mod audit;
mod audit_pages;
mod audit_seen;
mod changes;
mod connections;
mod credentials;
mod ending;
mod engine;
mod entries;
mod error;
mod gateways;
mod holds;
mod idempotency;
mod idp_metadata;
mod key;
mod key_source;
mod leases;
mod ledger;
mod levels;
mod logins;
mod look;
mod master_keys;
mod moving;
mod newest;
mod oidc_tokens;
mod opening;
mod pace;
#[cfg(test)]
#[path = "plans_tests.rs"]
mod plans;
mod purge;
mod refreshes;
mod refusals;
mod relay_keys;
mod requests;
mod resealing;
mod revocation;
mod rows;
mod sealing;
mod server;
mod service_keys;
mod session_list;
mod sessions;
mod single_logout;
#[cfg(test)]
pub(crate) mod testing;
mod tokens;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use sqlx::{Any, Transaction};
use zeroize::Zeroizing;

pub use arrivals::{Arrivals, RevokedLeases};
pub use assignments::{Assignment, AssignmentFilter};
pub use audit::{AuditBase, AuditHead, AuditLink, AuditRow, AuditSnapshot};
pub use audit_pages::{AuditFilter, AuditPage};
pub use audit_seen::AuditPutBack;
pub use changes::ChangeVersions;
pub use credentials::{Claim, ClaimOrder, CredentialState, KnownCredentials};
pub use entries::{EditError, HistoryAction, HistoryRecord};
pub use error::StoreError;
pub use gateways::{GATEWAY_SILENCE, GatewayRow};
pub use idempotency::{Once, Repeatable};
pub use idp_metadata::{GoodMetadata, IdpMetadata};
pub use key::{MasterKey, MasterKeyId, MasterKeys, NoMasterKeyId};
pub use key_source::{KeySource, Stamp, sync_folder};
pub use leases::{LeaseFilter, Standing};
pub use ledger::{AcceptError, Fresh, Taken};
pub use levels::{Levels, PoolLevel, TokenEnd};
pub use logins::{
    LOGIN_LIVES, LOGINS_KEPT, LOGINS_PER_ADDRESS, LoginAnswer, LoginPoll, NewLogin, PendingLogin,
};
pub use look::Looked;
pub use master_keys::{MasterKeyRow, MasterKeyState, RetireError, RotateError};
pub use moving::Copied;
pub use opening::{database_exists, is_server_url};
pub use purge::{Leftover, Removed};
pub use refreshes::{PutRefreshed, RefreshClaim, RefreshedTokens};
pub use refusals::{REFUSAL_DAYS, REFUSALS_KEPT, RefusalRecord};
pub use requests::{ConsumedRequest, SignInRequest};
pub use revocation::{
    LeasesOfLauncher, Revocation, RevokeOrder, RevokeTokensError, RevokedLease, RevokedTokens,
    Selector, SignOut, SignedOut, StillLive,
};
pub use server::{Bell, listening_problem};
pub use service_keys::AddKeyError;
pub use session_list::SessionRow;
pub use sessions::{LiveSession, NewSession, Opened, SessionState};
pub use single_logout::NamedSession;
pub use tokens::AddLauncherError;

use crate::model::{Clock, Entropy, IdpName};
use connections::Connections;
use engine::Engine;
use pace::Pace;
use sealing::{Place, Sealer};

/// Where the store is, and the key to it.
#[derive(Clone)]
pub struct StoreSettings {
    /// `sqlite:` and a file's path, `sqlite::memory:`, or a PostgreSQL URL, which may hold a password.
    pub url: String,
    /// The PostgreSQL server itself, where `url` is a pooler's, which may pool by transaction.
    pub listen_url: Option<String>,
    /// What seals its secrets, and opens what was sealed under other keys before.
    pub master_keys: MasterKeys,
    /// The IdPs whose persons' assignments count for nothing; they stay where they are.
    pub without_assignments: BTreeSet<IdpName>,
}

impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSettings")
            .field("master_keys", &self.master_keys)
            .finish_non_exhaustive()
    }
}

/// The store; a clone is a handle onto the same one.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    writer: Connections,
    reader: Connections,
    engine: Engine,
    listen_url: Option<String>,
    sealer: Sealer,
    audit_key: Zeroizing<Vec<u8>>,
    audit_seen: audit_seen::SeenEnd,
    without_assignments: BTreeSet<IdpName>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    entropy: Arc<dyn Entropy>,
}

const AUDIT_KEY: Place<'static> = Place {
    table: "meta",
    row: "audit_key",
    column: "value",
};

impl Store {
    /// Opens the store, made if need be. A wrong or missing master key and a newer schema refuse.
    pub async fn open(
        settings: StoreSettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, StoreError> {
        let pooled = settings.listen_url.is_some();
        let pools = opening::open(&settings.url, pooled).await?;
        let listen_url =
            is_server_url(&settings.url).then(|| settings.listen_url.unwrap_or(settings.url));
        let sealer = Sealer::new(settings.master_keys, Arc::clone(&entropy));
        let mut transaction = pools.engine.begin(&pools.writer).await?;
        pools.engine.migrate(&mut transaction).await?;
        let audit_key = unlock(&mut transaction, &sealer, &*entropy, clock.now()).await?;
        transaction.commit().await?;
        Ok(Self(Arc::new(Inner {
            writer: pools.writer,
            reader: pools.reader,
            engine: pools.engine,
            listen_url,
            sealer,
            audit_key,
            audit_seen: audit_seen::SeenEnd::default(),
            without_assignments: settings.without_assignments,
            pace: Pace::of(&*clock),
            clock,
            entropy,
        })))
    }

    /// Whether the database answers, for `/readyz`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT version FROM changes LIMIT 1")
            .fetch_optional(self.reader())
            .await?;
        Ok(())
    }

    /// What rings at changes; on SQLite never.
    pub fn bell(&self) -> Bell {
        Bell::of(self.0.listen_url.clone())
    }

    /// Closes every connection once its work is done; what comes after is refused.
    pub async fn close(&self) {
        self.0.reader.close().await;
        self.0.writer.close().await;
    }

    fn reader(&self) -> &Connections {
        &self.0.reader
    }

    fn writer(&self) -> &Connections {
        &self.0.writer
    }

    fn sealer(&self) -> &Sealer {
        &self.0.sealer
    }

    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.0.clock.now()
    }

    /// A transaction to remove in, if nobody else does just now.
    async fn begin_purge(&self) -> Result<Option<Transaction<'static, Any>>, StoreError> {
        self.0.engine.begin_purge(&self.0.writer).await
    }

    /// Lets SQLite learn how its tables have grown, so that it looks rows up by the best index. Twice does no harm.
    pub async fn optimize(&self) -> Result<(), StoreError> {
        self.0.engine.optimize(&self.0.writer).await
    }

    /// A transaction that may read and then write, with nobody else writing in between.
    async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        self.0.engine.begin(&self.0.writer).await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store(..)")
    }
}

/// Proves the master keys against their sealed checks, or has one seal a database just made; gives the
/// key of the audit chain.
async fn unlock(
    transaction: &mut Transaction<'static, Any>,
    sealer: &Sealer,
    entropy: &dyn Entropy,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    if master_keys::prove(transaction, sealer, now).await? {
        return audit_key(transaction, sealer).await;
    }
    let mut audit_key = Zeroizing::new(vec![0; 32]);
    entropy.fill(&mut audit_key);
    master_keys::begin_with_first(transaction, sealer, now).await?;
    let blob = sealer.seal(AUDIT_KEY, &audit_key)?;
    write_meta(transaction, AUDIT_KEY.row, blob).await?;
    audit::seal_first_head(transaction, sealer).await?;
    Ok(audit_key)
}

/// The key of the audit chain, of a database that was sealed already.
async fn audit_key(
    connection: &mut sqlx::AnyConnection,
    sealer: &Sealer,
) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let blob = read_meta(connection, AUDIT_KEY.row).await?;
    sealer.open(AUDIT_KEY, &blob.unwrap_or_default())
}

async fn read_meta(
    connection: &mut sqlx::AnyConnection,
    name: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(sqlx::query_scalar("SELECT value FROM meta WHERE name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await?)
}

async fn write_meta(
    connection: &mut sqlx::AnyConnection,
    name: &str,
    value: Vec<u8>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO meta (name, value) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(value)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use futures_util::future::join_all;

    use super::testing::{Bench, TestSignIn};
    use super::*;

    #[tokio::test]
    async fn a_wrong_master_key_refuses_and_names_its_file() {
        let bench = Bench::new();
        bench.open_with([1; 32]).await.unwrap().close().await;
        let refused = bench.open_with([2; 32]).await.unwrap_err();
        let named = StoreError::WrongMasterKey {
            key: "a test".to_owned(),
        };
        assert_eq!(refused, named);
        assert!(bench.open_with([1; 32]).await.is_ok());
    }

    #[tokio::test]
    async fn a_newer_schema_refuses() {
        let bench = Bench::new();
        bench.open().await.close().await;
        bench
            .tamper_with(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'of tomorrow', TRUE, $1, 0)",
                vec![0],
            )
            .await;
        let refused = bench.open_with([7; 32]).await.unwrap_err();
        assert_eq!(refused, StoreError::NewerSchema { version: 9999 });
    }

    #[tokio::test]
    async fn an_upgrade_on_a_server_may_take_its_time() {
        let bench = Bench::new();
        if !bench.is_on_server() {
            return;
        }
        bench.open().await.close().await;
        // From here on each step of a schema is refused that would be cut off.
        bench
            .fill(
                "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE SCHEMA watch;
                 CREATE FUNCTION watch.hasty() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF current_setting('statement_timeout') <> '0' THEN RAISE EXCEPTION 'hasty'; END IF;
                 END $$;
                 CREATE EVENT TRIGGER hasty ON ddl_command_start EXECUTE FUNCTION watch.hasty();
                 ALTER EVENT TRIGGER hasty ENABLE ALWAYS",
            )
            .await;
        let store = bench.open().await;
        let later = sqlx::query("CREATE TABLE later (id bigint)").execute(store.writer());
        let refused = later.await.unwrap_err().to_string();
        assert!(refused.contains("hasty"), "{refused}");
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_on_disk_whatever_the_database_is_set_to() {
        let bench = Bench::new();
        let store = bench.open().await;
        assert!(!store.acknowledges_early().await.unwrap());
        store.close().await;
        if !bench.is_on_server() {
            return;
        }
        for (value, early) in [("off", true), ("local", false)] {
            let set = format!(
                "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database()
                 || ' SET synchronous_commit = {value}'; END $$"
            );
            bench.fill(&set).await;
            // Not through a pooler, whose connections were there before.
            let pools = opening::open(&bench.url(), false).await.unwrap();
            let shown: String = sqlx::query_scalar("SHOW synchronous_commit")
                .fetch_one(&pools.writer)
                .await
                .unwrap();
            assert_eq!(shown, if early { "on" } else { "local" });
            let shown: String = sqlx::query_scalar("SHOW synchronous_commit")
                .fetch_one(&pools.reader)
                .await
                .unwrap();
            assert_eq!(shown, value, "as it is told to an admin");
        }
    }

    #[tokio::test]
    async fn a_foreign_audit_key_is_damage() {
        let bench = Bench::new();
        bench.open().await.close().await;
        bench
            .tamper("DELETE FROM meta WHERE name = 'audit_key'")
            .await;
        let refused = bench.open_with([7; 32]).await.unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt { table: "meta", .. }));
    }

    #[tokio::test]
    async fn all_files_are_for_their_owner_alone_and_writes_wait_for_the_disk() {
        let bench = Bench::in_file();
        let store = bench.open().await;
        store.accept(TestSignIn::new("a"), None).await.unwrap();
        let mut files = 0;
        for file in std::fs::read_dir(bench.path().parent().unwrap()).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            files += 1;
        }
        assert_eq!(files, 3, "database, log and index of the log");
        let pragma = async |sql: &'static str, pool: &Connections| -> i64 {
            sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
        };
        assert_eq!(pragma("PRAGMA synchronous", store.writer()).await, 2);
        assert_eq!(pragma("PRAGMA foreign_keys", store.writer()).await, 1);
        assert_eq!(pragma("PRAGMA query_only", store.reader()).await, 1);
    }

    #[tokio::test]
    async fn a_transaction_that_the_database_ended_is_in_nobodys_way() {
        let bench = Bench::in_file();
        let store = bench.open().await;
        for word in ["ROLLBACK", "SELECT 1"] {
            let mut transaction = store.begin().await.unwrap();
            sqlx::raw_sql(word)
                .execute(&mut *transaction)
                .await
                .unwrap();
            drop(transaction);
            store.begin().await.unwrap().commit().await.unwrap();
        }
        let pragma = "PRAGMA synchronous";
        let kept: i64 = sqlx::query_scalar(pragma)
            .fetch_one(store.writer())
            .await
            .unwrap();
        assert_eq!(kept, 2, "a new connection is made as the first was");
    }

    #[tokio::test]
    async fn many_may_open_a_database_that_is_not_there_yet() {
        let bench = Arc::new(Bench::new());
        let opened = join_all((0..8).map(|_| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move { bench.open().await.ping().await })
        }));
        for result in opened.await {
            result.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_database_in_memory_and_one_with_an_odd_name_work() {
        let bench = Bench::in_file();
        let odd = bench.path().with_file_name("50% of #1 ü.db");
        for url in [
            "sqlite::memory:".to_owned(),
            format!("sqlite:{}", odd.display()),
        ] {
            let store = bench.open_at(url, [1; 32]).await.unwrap();
            let session = bench.session(&store, "a").await;
            bench.issue(&store, session.session(), 900).await;
            assert!(store.session(session.session()).await.unwrap().is_some());
        }
        assert_eq!(
            database_exists(&format!("sqlite:{}", odd.display())).await,
            Ok(true)
        );
        assert_eq!(database_exists("sqlite:/nowhere/at.all").await, Ok(false));
        assert!(odd.exists());
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named() {
        let url = "sqlite:/nowhere/rolegate.db".to_owned();
        let refused = Bench::in_file().open_at(url, [1; 32]).await.unwrap_err();
        assert!(
            matches!(&refused, StoreError::CannotOpen { path, .. } if path == "/nowhere/rolegate.db")
        );
    }
}
