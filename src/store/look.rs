//! A look at the store that changes nothing: no database is made, no schema brought up to date, no key sealed.
//!
//! Refuses what a start would refuse: a wrong master key, a newer schema. The connections cannot write.

use std::sync::Arc;

use super::audit_seen::SeenEnd;
use super::engine::Schema;
use super::opening;
use super::pace::Pace;
use super::{Inner, Sealer, Store, StoreError, StoreSettings, audit_key, master_keys};
use crate::model::{Clock, Entropy};

/// What there is.
#[derive(Debug)]
pub enum Looked {
    /// No database yet.
    NotMade,
    /// One of an earlier version, which the next start brings up to date; nothing in it can be read until then.
    Older,
    /// One of this version, to be read alone.
    Ready(Store),
}

impl Store {
    /// Looks at the database, which must exist.
    pub async fn look(
        settings: StoreSettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Looked, StoreError> {
        let pools = opening::look(&settings.url, settings.listen_url.is_some()).await?;
        let sealer = Sealer::new(settings.master_keys, Arc::clone(&entropy));
        let mut connection = pools.reader.to_read().await?;
        let schema = pools.engine.schema(&mut connection).await?;
        let proof = master_keys::prove_at_rest(&mut connection, &sealer, schema).await;
        let audit_key = match (schema, proof) {
            (
                _,
                Err(
                    wrong @ (StoreError::WrongMasterKey { .. }
                    | StoreError::MasterKeyNotHeld { .. }),
                ),
            ) => return Err(wrong),
            (Schema::Todays, Ok(true)) => audit_key(&mut connection, &sealer).await?,
            (Schema::Todays, Err(error)) => return Err(error),
            (schema, _) => {
                if schema == Schema::Todays {
                    master_keys::require_new(&mut connection).await?;
                }
                drop(connection);
                pools.reader.close().await;
                return Ok(Looked::Older);
            }
        };
        drop(connection);
        Ok(Looked::Ready(Self(Arc::new(Inner {
            writer: pools.writer,
            reader: pools.reader,
            engine: pools.engine,
            listen_url: None,
            sealer,
            audit_key,
            audit_seen: SeenEnd::default(),
            without_assignments: settings.without_assignments,
            pace: Pace::of(&*clock),
            clock,
            entropy,
        }))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::OsEntropy;
    use crate::store::MasterKeys;
    use crate::store::testing::{Bench, draft};

    async fn look(bench: &Bench, key: [u8; 32]) -> Result<Looked, StoreError> {
        let settings = StoreSettings {
            url: bench.url(),
            listen_url: None,
            master_keys: MasterKeys::given([key], "a test"),
            without_assignments: BTreeSet::new(),
        };
        Store::look(settings, bench.clock.clone(), Arc::new(OsEntropy)).await
    }

    #[tokio::test]
    async fn what_is_there_is_read_and_cannot_be_written() {
        let bench = Bench::new();
        let store = bench.open().await;
        store.add_entry(draft("x"), "a test").await.unwrap();
        // Beside a gateway at work, and without one.
        for _ in 0..2 {
            let Looked::Ready(seen) = look(&bench, [7; 32]).await.unwrap() else {
                panic!("it is today's");
            };
            assert_eq!(seen.entries().await.unwrap().len(), 1);
            assert!(seen.add_entry(draft("y"), "a test").await.is_err());
            seen.close().await;
            store.close().await;
        }
        let wrong = look(&bench, [8; 32]).await.unwrap_err();
        assert!(matches!(wrong, StoreError::WrongMasterKey { .. }));
    }

    #[tokio::test]
    async fn an_older_schema_stays_and_a_newer_one_refuses() {
        let bench = Bench::new();
        bench.open().await.close().await;
        bench
            .tamper_with(
                "DELETE FROM _sqlx_migrations
                 WHERE version = (SELECT MAX(version) FROM _sqlx_migrations) AND checksum <> $1",
                vec![0],
            )
            .await;
        let older = look(&bench, [7; 32]).await.unwrap();
        assert!(matches!(older, Looked::Older));
        let again = look(&bench, [7; 32]).await.unwrap();
        assert!(
            matches!(again, Looked::Older),
            "it was not brought up to date"
        );
        let wrong = look(&bench, [8; 32]).await.unwrap_err();
        assert!(matches!(wrong, StoreError::WrongMasterKey { .. }));
        bench
            .tamper_with(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'of tomorrow', TRUE, $1, 0)",
                vec![0],
            )
            .await;
        let newer = look(&bench, [7; 32]).await.unwrap_err();
        assert_eq!(newer, StoreError::NewerSchema { version: 9999 });
    }

    #[tokio::test]
    async fn damage_is_no_older_version() {
        let bench = Bench::new();
        let store = bench.open().await;
        store.add_entry(draft("x"), "a test").await.unwrap();
        store.close().await;
        bench
            .tamper("UPDATE sealing_keys SET id = x'00' WHERE state = 'current'")
            .await;
        for _ in 0..2 {
            let damaged = look(&bench, [7; 32]).await.unwrap_err();
            assert!(
                matches!(
                    &damaged,
                    StoreError::Corrupt {
                        table: "sealing_keys",
                        ..
                    }
                ),
                "{damaged}"
            );
            assert_eq!(bench.open_with([7; 32]).await.unwrap_err(), damaged);
            bench.tamper("DELETE FROM sealing_keys").await;
        }
    }

    #[tokio::test]
    async fn a_file_behind_a_link_is_seen_as_a_gateway_left_it_a_moment_ago() {
        let bench = Bench::in_file();
        let store = bench.open().await;
        store.add_entry(draft("x"), "a test").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("rolegate.db");
        std::os::unix::fs::symlink(bench.path(), &link).unwrap();
        let settings = StoreSettings {
            url: format!("sqlite:{}", link.display()),
            listen_url: None,
            master_keys: MasterKeys::given([[7; 32]], "a test"),
            without_assignments: BTreeSet::new(),
        };
        let looked = Store::look(settings, bench.clock.clone(), Arc::new(OsEntropy)).await;
        let Looked::Ready(seen) = looked.unwrap() else {
            panic!("it is today's");
        };
        assert_eq!(seen.entries().await.unwrap().len(), 1);
    }
}
