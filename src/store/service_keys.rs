//! rolegate's own SAML key pairs: sealed, two of a use at most, gone for good once retired.

use sqlx::any::AnyRow;
use thiserror::Error;

use super::rows::{Record, last, millis};
use super::sealing::Place;
use super::{Store, StoreError};
use crate::model::{KeyUse, Secret, ServiceKeyId, ServiceKeyRecord};

/// An old key and its successor: more would only hide which one is in use.
const MOST: usize = 2;

/// Why no key pair was added.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddKeyError {
    /// There are two of this use.
    #[error(
        "there are two {0} keys already, {1} and {2}; retire the older one once every IdP has the newer"
    )]
    Full(KeyUse, ServiceKeyId, ServiceKeyId),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for AddKeyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

const ALL: &str = "SELECT id, usage, certificate, sealed, created_at, not_after FROM service_keys
     ORDER BY created_at, id";

impl Store {
    /// Keeps a new key pair, unless two of its use are there.
    pub async fn add_service_key(&self, key: &ServiceKeyRecord) -> Result<(), AddKeyError> {
        let row = bound_to(key.id.as_str(), key.usage.as_str(), &key.certificate);
        let sealed = self
            .sealer()
            .seal(place(&row), key.private_key.expose().as_bytes())?;
        let mut transaction = self.begin().await?;
        let ids =
            sqlx::query("SELECT id FROM service_keys WHERE usage = $1 ORDER BY created_at, id")
                .bind(key.usage.as_str())
                .fetch_all(&mut *transaction)
                .await?
                .iter()
                .map(|row| Record::new(row, "service_keys", "id").parsed("id"))
                .collect::<Result<Vec<ServiceKeyId>, _>>()?;
        if let [one, other, ..] = ids.as_slice()
            && ids.len() >= MOST
        {
            return Err(AddKeyError::Full(key.usage, one.clone(), other.clone()));
        }
        sqlx::query(
            "INSERT INTO service_keys (id, usage, certificate, sealed, created_at, not_after)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(key.id.as_str())
        .bind(key.usage.as_str())
        .bind(&key.certificate)
        .bind(sealed)
        .bind(millis(key.created_at))
        .bind(millis(key.not_after))
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// Every key pair, oldest first.
    pub async fn service_keys(&self) -> Result<Vec<ServiceKeyRecord>, StoreError> {
        let rows = sqlx::query(ALL).fetch_all(self.reader()).await?;
        rows.iter().map(|row| self.read_service_key(row)).collect()
    }

    /// Removes a key pair; gives what it was for, if it was there.
    pub async fn remove_service_key(
        &self,
        id: &ServiceKeyId,
    ) -> Result<Option<KeyUse>, StoreError> {
        let rows = sqlx::query("DELETE FROM service_keys WHERE id = $1 RETURNING id, usage")
            .bind(id.as_str())
            .fetch_all(self.writer())
            .await?;
        last(rows)
            .map(|row| Record::new(&row, "service_keys", "id").parsed("usage"))
            .transpose()
    }

    fn read_service_key(&self, row: &AnyRow) -> Result<ServiceKeyRecord, StoreError> {
        let record = Record::new(row, "service_keys", "id");
        let (id, usage) = (record.text("id")?, record.text("usage")?);
        let certificate = record.text("certificate")?;
        let bound = bound_to(&id, &usage, &certificate);
        let plain = self
            .sealer()
            .open(place(&bound), &record.bytes("sealed")?)?;
        let pem = String::from_utf8(plain.to_vec())
            .map_err(|_| record.damaged("sealed", "does not parse"))?;
        Ok(ServiceKeyRecord {
            id: record.parsed("id")?,
            usage: record.parsed("usage")?,
            private_key: Secret::new(pem),
            certificate,
            created_at: record.time("created_at")?,
            not_after: record.time("not_after")?,
        })
    }
}

fn bound_to(id: &str, usage: &str, certificate: &str) -> String {
    format!("{id}\n{usage}\n{certificate}")
}

fn place(row: &str) -> Place<'_> {
    Place {
        table: "service_keys",
        row,
        column: "sealed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Bench;

    fn key(id: &str, usage: KeyUse) -> ServiceKeyRecord {
        let at = "2026-01-15T12:00:00Z".parse().unwrap();
        ServiceKeyRecord {
            id: id.parse().unwrap(),
            usage,
            private_key: Secret::new(format!("private half of {id}")),
            certificate: format!("certificate of {id}"),
            created_at: at,
            not_after: at,
        }
    }

    #[tokio::test]
    async fn two_of_a_use_are_kept_sealed_and_a_third_must_wait() {
        let bench = Bench::new();
        let store = bench.open().await;
        let there = bench.open().await;
        let before = there.change_versions().await.unwrap();
        let (one, two) = (key("key_1", KeyUse::Signing), key("key_2", KeyUse::Signing));
        let other = key("key_3", KeyUse::Encryption);
        for added in [&one, &two, &other] {
            store.add_service_key(added).await.unwrap();
        }
        let refused = store.add_service_key(&key("key_4", KeyUse::Signing)).await;
        let full = AddKeyError::Full(KeyUse::Signing, one.id.clone(), two.id.clone());
        assert_eq!(refused, Err(full));
        assert_eq!(
            there.service_keys().await.unwrap(),
            [one.clone(), two, other]
        );
        let added = there.change_versions().await.unwrap();
        assert!(added.keys > before.keys && added.access == before.access);

        assert_eq!(
            store.remove_service_key(&one.id).await,
            Ok(Some(KeyUse::Signing))
        );
        assert_eq!(store.remove_service_key(&one.id).await, Ok(None));
        assert!(there.change_versions().await.unwrap().keys > added.keys);
        let four = key("key_4", KeyUse::Signing);
        store.add_service_key(&four).await.unwrap();
        store.close().await;
        let text = bench.text_on_disk().await;
        assert!(text.contains("key_4"));
        assert!(!text.contains("private half"));
    }

    #[tokio::test]
    async fn a_private_half_under_another_certificate_is_damage() {
        let bench = Bench::new();
        let store = bench.open().await;
        let one = key("key_1", KeyUse::Signing);
        store.add_service_key(&one).await.unwrap();
        assert!(store.service_keys().await.is_ok());
        bench
            .tamper("UPDATE service_keys SET certificate = 'another'")
            .await;
        let damage = store.service_keys().await.unwrap_err();
        assert!(matches!(&damage, StoreError::Corrupt { row, .. } if row == "key_1"));
    }
}
