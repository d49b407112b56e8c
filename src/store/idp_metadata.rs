//! The last good metadata of each identity provider, so that a restart does not depend on its URL, and what
//! went wrong since.
//!
//! The document is sealed and bound to the IdP and to where it came from: whoever edits the database can
//! take it away, but cannot put a key of his own in its place.

use chrono::{DateTime, Utc};
use sqlx::any::AnyRow;

use super::rows::{Record, millis};
use super::sealing::Place;
use super::{Store, StoreError};
use crate::model::IdpName;

/// Metadata that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoodMetadata {
    /// The document as it came.
    pub document: Vec<u8>,
    /// The answer's `ETag`.
    pub etag: Option<String>,
    /// The answer's `Last-Modified`.
    pub last_modified: Option<String>,
    /// When its source last gave it or said that it holds.
    pub fetched_at: DateTime<Utc>,
}

/// What is known of one IdP's metadata from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdpMetadata {
    /// The IdP.
    pub idp: IdpName,
    /// The file or URL.
    pub source: String,
    /// The last good document.
    pub good: Option<GoodMetadata>,
    /// What went wrong since, and when.
    pub failure: Option<(String, DateTime<Utc>)>,
}

fn place(row: &str) -> Place<'_> {
    Place {
        table: "idp_metadata",
        row,
        column: "document",
    }
}

impl Store {
    /// Keeps a good document in place of the one before; what went wrong until then is forgotten.
    pub async fn save_idp_metadata(
        &self,
        idp: &IdpName,
        source: &str,
        good: &GoodMetadata,
    ) -> Result<(), StoreError> {
        let row = format!("{idp} {source}");
        let sealed = self.sealer().seal(place(&row), &good.document)?;
        sqlx::query(
            "INSERT INTO idp_metadata (idp, source, document, etag, last_modified, fetched_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (idp, source) DO UPDATE SET
             document = excluded.document, etag = excluded.etag,
             last_modified = excluded.last_modified, fetched_at = excluded.fetched_at,
             failure = NULL, failed_at = NULL",
        )
        .bind(idp.as_str())
        .bind(source)
        .bind(sealed)
        .bind(good.etag.clone())
        .bind(good.last_modified.clone())
        .bind(millis(good.fetched_at))
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// Notes that the source gave nothing good at `at`; the last good document stays.
    pub async fn note_idp_failure(
        &self,
        idp: &IdpName,
        source: &str,
        failure: &str,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO idp_metadata (idp, source, failure, failed_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (idp, source) DO UPDATE SET
             failure = excluded.failure, failed_at = excluded.failed_at",
        )
        .bind(idp.as_str())
        .bind(source)
        .bind(failure)
        .bind(millis(at))
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// What is known of this IdP's metadata from this source.
    pub async fn idp_metadata(
        &self,
        idp: &IdpName,
        source: &str,
    ) -> Result<Option<IdpMetadata>, StoreError> {
        let row = sqlx::query(
            "SELECT idp, source, document, etag, last_modified, fetched_at, failure, failed_at
             FROM idp_metadata WHERE idp = $1 AND source = $2",
        )
        .bind(idp.as_str())
        .bind(source)
        .fetch_optional(self.reader())
        .await?;
        row.as_ref().map(|row| self.read_metadata(row)).transpose()
    }

    fn read_metadata(&self, row: &AnyRow) -> Result<IdpMetadata, StoreError> {
        let record = Record::new(row, "idp_metadata", "idp");
        let idp: IdpName = record.parsed("idp")?;
        let source = record.text("source")?;
        let good = match record.maybe_time("fetched_at")? {
            Some(fetched_at) => {
                let sealed = record.bytes("document")?;
                let row = format!("{idp} {source}");
                Some(GoodMetadata {
                    document: self.sealer().open(place(&row), &sealed)?.to_vec(),
                    etag: record.maybe_text("etag")?,
                    last_modified: record.maybe_text("last_modified")?,
                    fetched_at,
                })
            }
            None => None,
        };
        let failure = record.maybe_text("failure")?;
        let failure = failure.zip(record.maybe_time("failed_at")?);
        Ok(IdpMetadata {
            idp,
            source,
            good,
            failure,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Bench, idp};

    const URL: &str = "https://idp.example.org/metadata";

    fn good(bench: &Bench, document: &str) -> GoodMetadata {
        GoodMetadata {
            document: document.as_bytes().to_vec(),
            etag: Some("\"1\"".to_owned()),
            last_modified: None,
            fetched_at: bench.at(0),
        }
    }

    #[tokio::test]
    async fn the_last_good_document_survives_failures_and_restarts() {
        let bench = Bench::new();
        let store = bench.open().await;
        let okta = idp("okta");
        assert_eq!(store.idp_metadata(&okta, URL).await.unwrap(), None);
        store
            .note_idp_failure(&okta, URL, "away", bench.at(0))
            .await
            .unwrap();
        let known = store.idp_metadata(&okta, URL).await.unwrap().unwrap();
        assert_eq!(
            (known.good, known.failure.unwrap().0),
            (None, "away".to_owned())
        );
        let first = good(&bench, "<first/>");
        store.save_idp_metadata(&okta, URL, &first).await.unwrap();
        store
            .note_idp_failure(&okta, URL, "away again", bench.at(60))
            .await
            .unwrap();
        store.close().await;
        let store = bench.open().await;
        let known = store.idp_metadata(&okta, URL).await.unwrap().unwrap();
        assert_eq!(known.good, Some(first));
        assert_eq!(known.failure, Some(("away again".to_owned(), bench.at(60))));
        let second = good(&bench, "<second/>");
        store.save_idp_metadata(&okta, URL, &second).await.unwrap();
        let known = store.idp_metadata(&okta, URL).await.unwrap().unwrap();
        assert_eq!((known.good, known.failure), (Some(second), None));
        assert_eq!(
            store.idp_metadata(&idp("entra"), URL).await.unwrap(),
            None,
            "another IdP's is none of its"
        );
    }

    #[tokio::test]
    async fn nobody_who_edits_the_database_can_plant_a_document() {
        let bench = Bench::new();
        let store = bench.open().await;
        let okta = idp("okta");
        let document = good(&bench, "<mine/>");
        store
            .save_idp_metadata(&okta, URL, &document)
            .await
            .unwrap();
        store
            .save_idp_metadata(&idp("other"), URL, &good(&bench, "<other/>"))
            .await
            .unwrap();
        assert!(store.idp_metadata(&okta, URL).await.is_ok());
        bench
            .tamper(
                "UPDATE idp_metadata SET document =
                 (SELECT document FROM idp_metadata WHERE idp = 'other') WHERE idp = 'okta'",
            )
            .await;
        let refused = store.idp_metadata(&okta, URL).await.unwrap_err();
        assert!(matches!(
            refused,
            StoreError::Corrupt {
                table: "idp_metadata",
                ..
            }
        ));
    }
}
