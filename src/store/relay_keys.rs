//! The keys that relay tokens are signed with: sealed, one after the other, gone once retired for good.

use sqlx::any::AnyRow;

use super::rows::{Record, millis};
use super::sealing::Place;
use super::{Store, StoreError};
use crate::model::{RelayKeyId, RelayKeyRecord, Secret};

const ALL: &str =
    "SELECT id, number, public_jwk, sealed, created_at, signs_from, retired_at FROM relay_keys
     ORDER BY number";

impl Store {
    /// Keeps a new key, and has it take over from the one before it when it begins to sign. `false` if
    /// another process was first with the key of this number.
    pub async fn add_relay_key(&self, key: &RelayKeyRecord) -> Result<bool, StoreError> {
        let row = bound_to(key.id.as_str(), &key.public_jwk);
        let sealed = self
            .sealer()
            .seal(place(&row), key.private_key.expose().as_bytes())?;
        let mut transaction = self.begin().await?;
        let added = sqlx::query(
            "INSERT INTO relay_keys (id, number, public_jwk, sealed, created_at, signs_from)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (number) DO NOTHING",
        )
        .bind(key.id.as_str())
        .bind(key.number)
        .bind(&key.public_jwk)
        .bind(sealed)
        .bind(millis(key.created_at))
        .bind(millis(key.signs_from))
        .execute(&mut *transaction)
        .await?;
        if added.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "UPDATE relay_keys SET retired_at = $1 WHERE number < $2 AND retired_at IS NULL",
        )
        .bind(millis(key.signs_from))
        .bind(key.number)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Every key, oldest first.
    pub async fn relay_keys(&self) -> Result<Vec<RelayKeyRecord>, StoreError> {
        let rows = sqlx::query(ALL).fetch_all(self.reader()).await?;
        rows.iter().map(|row| self.read_relay_key(row)).collect()
    }

    /// Removes a key; the newest of the others is nobody's predecessor then. `false` if it was not there.
    pub async fn remove_relay_key(&self, id: &RelayKeyId) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let removed = sqlx::query("DELETE FROM relay_keys WHERE id = $1")
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "UPDATE relay_keys SET retired_at = NULL
             WHERE retired_at IS NOT NULL AND number = (SELECT MAX(number) FROM relay_keys)",
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected() > 0)
    }

    fn read_relay_key(&self, row: &AnyRow) -> Result<RelayKeyRecord, StoreError> {
        let record = Record::new(row, "relay_keys", "id");
        let public_jwk = record.text("public_jwk")?;
        let bound = bound_to(&record.text("id")?, &public_jwk);
        let plain = self
            .sealer()
            .open(place(&bound), &record.bytes("sealed")?)?;
        let pem = String::from_utf8(plain.to_vec())
            .map_err(|_| record.damaged("sealed", "does not parse"))?;
        Ok(RelayKeyRecord {
            id: record.parsed("id")?,
            number: record.number("number")?,
            private_key: Secret::new(pem),
            public_jwk,
            created_at: record.time("created_at")?,
            signs_from: record.time("signs_from")?,
            retired_at: record.maybe_time("retired_at")?,
        })
    }
}

fn bound_to(id: &str, public_jwk: &str) -> String {
    format!("{id}\n{public_jwk}")
}

fn place(row: &str) -> Place<'_> {
    Place {
        table: "relay_keys",
        row,
        column: "sealed",
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::model::Clock;
    use crate::store::testing::Bench;

    fn key(bench: &Bench, number: i64, wait: i64) -> RelayKeyRecord {
        let created_at = DateTime::from_timestamp(bench.clock.now().timestamp(), 0).unwrap();
        RelayKeyRecord {
            id: format!("rky_{number}").parse().unwrap(),
            number,
            private_key: Secret::new(format!("private half of {number}")),
            public_jwk: format!("{{\"kid\":\"rky_{number}\"}}"),
            created_at,
            signs_from: created_at + TimeDelta::hours(wait),
            retired_at: None,
        }
    }

    #[tokio::test]
    async fn a_key_takes_over_from_the_one_before_and_one_process_makes_it() {
        let bench = Bench::new();
        let (store, there) = (bench.open().await, bench.open().await);
        let before = there.change_versions().await.unwrap();
        let (one, mut two) = (key(&bench, 1, 0), key(&bench, 2, 24));
        assert_eq!(store.add_relay_key(&one).await, Ok(true));
        assert_eq!(
            there.relay_keys().await.unwrap(),
            std::slice::from_ref(&one)
        );
        let added = there.change_versions().await.unwrap();
        assert!(added.keys > before.keys && added.access == before.access);

        assert_eq!(there.add_relay_key(&two).await, Ok(true));
        let rival = RelayKeyRecord {
            id: "rky_other".parse().unwrap(),
            ..key(&bench, 2, 48)
        };
        assert_eq!(store.add_relay_key(&rival).await, Ok(false));
        let retired = RelayKeyRecord {
            retired_at: Some(two.signs_from),
            ..one.clone()
        };
        let kept = [retired, two.clone()];
        assert_eq!(store.relay_keys().await.unwrap(), kept);

        assert_eq!(store.remove_relay_key(&two.id).await, Ok(true));
        assert_eq!(store.remove_relay_key(&two.id).await, Ok(false));
        assert_eq!(
            store.relay_keys().await.unwrap(),
            std::slice::from_ref(&one)
        );
        two.id = "rky_next".parse().unwrap();
        assert_eq!(store.add_relay_key(&two).await, Ok(true));
        store.close().await;
        let text = bench.text_on_disk().await;
        assert!(text.contains("rky_next"));
        assert!(!text.contains("private half"));
    }

    #[tokio::test]
    async fn a_retired_key_is_purged_once_nobody_needs_it() {
        let bench = Bench::new();
        let store = bench.open().await;
        let (one, two) = (key(&bench, 1, 0), key(&bench, 2, 24));
        store.add_relay_key(&one).await.unwrap();
        store.add_relay_key(&two).await.unwrap();
        bench.clock.advance(TimeDelta::hours(24 + 47));
        assert_eq!(store.purge().await.unwrap().relay_keys, 0);
        bench.clock.advance(TimeDelta::hours(1));
        assert_eq!(store.purge().await.unwrap().relay_keys, 1);
        assert_eq!(store.relay_keys().await.unwrap(), [two]);
    }

    #[tokio::test]
    async fn a_private_half_under_another_public_one_is_damage() {
        let bench = Bench::new();
        let store = bench.open().await;
        store.add_relay_key(&key(&bench, 1, 0)).await.unwrap();
        assert!(store.relay_keys().await.is_ok());
        bench
            .tamper("UPDATE relay_keys SET public_jwk = '{}'")
            .await;
        let damage = store.relay_keys().await.unwrap_err();
        assert!(matches!(&damage, StoreError::Corrupt { row, .. } if row == "rky_1"));
    }
}
