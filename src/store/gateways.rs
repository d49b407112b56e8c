//! The gateways at work, and the master keys that each of them holds.
//!
//! A row is the word of a gateway that was heard from lately: no other master key takes over while one of them lacks
//! it. A gateway says so before it serves, in a transaction that proves its keys, so that none can slip in beside
//! the change; one that was silent for too long counts for nothing, and joins anew.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::AnyConnection;

use super::rows::{Record, millis};
use super::{MasterKeyId, Store, StoreError, master_keys};

/// How long a gateway counts after it was last heard from.
pub const GATEWAY_SILENCE: TimeDelta = TimeDelta::seconds(30);

/// A gateway at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayRow {
    /// Its name among those that share the store.
    pub claimant: String,
    /// The host it runs on.
    pub host: String,
    /// rolegate's version.
    pub version: String,
    /// The master keys it holds.
    pub keys: Vec<MasterKeyId>,
    /// When it was last heard from, by its own clock.
    pub heard_at: DateTime<Utc>,
}

impl Store {
    /// Says that the gateway `claimant` is at work, with the keys that this process holds. Refused where it lacks
    /// one that the store needs.
    pub async fn join_gateways(
        &self,
        claimant: &str,
        host: &str,
        version: &str,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let mut transaction = self.begin().await?;
        master_keys::prove(&mut transaction, self.sealer(), now).await?;
        sqlx::query("DELETE FROM gateways WHERE heard_at <= $1")
            .bind(millis(now - GATEWAY_SILENCE))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO gateways (claimant, host, version, key_ids, heard_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (claimant) DO UPDATE SET
             key_ids = excluded.key_ids, heard_at = excluded.heard_at",
        )
        .bind(claimant)
        .bind(host)
        .bind(version)
        .bind(self.held_text())
        .bind(millis(now))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Says that the gateway `claimant` is still at work, with the keys that this process holds now. `false`: it
    /// was silent for too long and has to join anew.
    pub async fn gateway_goes_on(&self, claimant: &str) -> Result<bool, StoreError> {
        let now = self.now();
        let done = sqlx::query(
            "UPDATE gateways SET key_ids = $1, heard_at = $2 WHERE claimant = $3 AND heard_at > $4",
        )
        .bind(self.held_text())
        .bind(millis(now))
        .bind(claimant)
        .bind(millis(now - GATEWAY_SILENCE))
        .execute(self.writer())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Says that the gateway `claimant` ends.
    pub async fn leave_gateways(&self, claimant: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM gateways WHERE claimant = $1")
            .bind(claimant)
            .execute(self.writer())
            .await?;
        Ok(())
    }

    /// The gateways that were heard from lately.
    pub async fn gateways(&self) -> Result<Vec<GatewayRow>, StoreError> {
        let mut connection = self.reader().to_read().await?;
        live(&mut connection, self.now()).await
    }

    fn held_text(&self) -> String {
        let ids = self.held_master_keys();
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        ids.join(" ")
    }
}

/// The gateways that were heard from lately.
pub(super) async fn live(
    connection: &mut AnyConnection,
    now: DateTime<Utc>,
) -> Result<Vec<GatewayRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM gateways WHERE heard_at > $1 ORDER BY host, claimant")
        .bind(millis(now - GATEWAY_SILENCE))
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let record = Record::new(row, "gateways", "claimant");
            let keys = record.text("key_ids")?;
            let keys: Result<Vec<MasterKeyId>, _> =
                keys.split_whitespace().map(str::parse).collect();
            Ok(GatewayRow {
                claimant: record.text("claimant")?,
                host: record.text("host")?,
                version: record.text("version")?,
                keys: keys.map_err(|_| record.damaged("key_ids", "does not parse"))?,
                heard_at: record.time("heard_at")?,
            })
        })
        .collect()
}
