//! Why responses were refused: check results under their reference, sealed, for `explain --reference`.
//!
//! Kept 30 days and at most 5,000 of each kind, the newest: those whose signature held, and the rest,
//! so that a flood of strangers' documents pushes out only its like. Never holds a response.

use chrono::{DateTime, TimeDelta, Utc};

use super::rows::{Record, millis};
use super::sealing::Place;
use super::{Store, StoreError};
use crate::model::Reference;

/// How long a refusal's check results are kept, in days.
pub const REFUSAL_DAYS: i64 = 30;
/// How many are kept of each kind.
pub const REFUSALS_KEPT: i64 = 5_000;

pub(super) const STAY: TimeDelta = TimeDelta::days(REFUSAL_DAYS);

/// What is to be kept of a refusal.
#[derive(Debug, Clone)]
pub struct RefusalRecord {
    /// What the person was shown.
    pub reference: Reference,
    /// Whether an identity provider's signature held.
    pub signed: bool,
    /// When.
    pub refused_at: DateTime<Utc>,
    /// The check results, as JSON.
    pub results: String,
}

impl Store {
    /// Keeps `records` in one transaction, and lets go of what is beyond the bound.
    pub async fn keep_refusals(&self, records: &[RefusalRecord]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for record in records {
            let place = place(record.reference.as_str());
            let sealed = self.sealer().seal(place, record.results.as_bytes())?;
            sqlx::query(
                "INSERT INTO refusals (reference, signed, refused_at, sealed) VALUES ($1, $2, $3, $4)",
            )
            .bind(record.reference.as_str())
            .bind(i64::from(record.signed))
            .bind(millis(record.refused_at))
            .bind(sealed)
            .execute(&mut *transaction)
            .await?;
        }
        for signed in [0_i64, 1] {
            sqlx::query(
                "DELETE FROM refusals WHERE signed = $1 AND position <=
                 (SELECT position FROM refusals WHERE signed = $1 ORDER BY position DESC LIMIT 1 OFFSET $2)",
            )
            .bind(signed)
            .bind(REFUSALS_KEPT)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The check results under `reference`, if they are still kept.
    pub async fn refusal(&self, reference: &Reference) -> Result<Option<String>, StoreError> {
        let row = sqlx::query(
            "SELECT reference, sealed FROM refusals WHERE reference = $1 AND refused_at > $2",
        )
        .bind(reference.as_str())
        .bind(millis(self.now() - STAY))
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            let record = Record::new(&row, "refusals", "reference");
            let sealed = record.bytes("sealed")?;
            let plain = self.sealer().open(place(reference.as_str()), &sealed)?;
            String::from_utf8(plain.to_vec()).map_err(|_| record.damaged("sealed", "is no text"))
        })
        .transpose()
    }
}

fn place(reference: &str) -> Place<'_> {
    Place {
        table: "refusals",
        row: reference,
        column: "sealed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Bench;

    fn record(bench: &Bench, name: &str, signed: bool) -> RefusalRecord {
        RefusalRecord {
            reference: format!("ref_{name}").parse().unwrap(),
            signed,
            refused_at: bench.at(0),
            results: format!("[\"{name} of ann\"]"),
        }
    }

    async fn found(store: &Store, name: &str) -> Option<String> {
        let reference = format!("ref_{name}").parse().unwrap();
        store.refusal(&reference).await.unwrap()
    }

    #[tokio::test]
    async fn results_are_found_by_their_reference_for_thirty_days() {
        let bench = Bench::new();
        let store = bench.open().await;
        let two = [record(&bench, "a", true), record(&bench, "b", false)];
        store.keep_refusals(&two).await.unwrap();
        assert_eq!(found(&store, "a").await.as_deref(), Some("[\"a of ann\"]"));
        assert_eq!(found(&store, "b").await.as_deref(), Some("[\"b of ann\"]"));
        assert_eq!(found(&store, "c").await, None);
        bench.clock.advance(STAY);
        assert_eq!(found(&store, "a").await, None);
        assert_eq!(store.purge().await.unwrap().refusals, 2);
    }

    #[tokio::test]
    async fn results_are_sealed_and_belong_to_their_row() {
        let bench = Bench::new();
        let store = bench.open().await;
        let two = [record(&bench, "a", true), record(&bench, "b", true)];
        store.keep_refusals(&two).await.unwrap();
        store.close().await;
        let text = bench.text_on_disk().await;
        assert!(text.contains("ref_a"));
        assert!(!text.contains("of ann"), "a name in the clear");
        bench
            .tamper(
                "UPDATE refusals SET sealed = (SELECT sealed FROM refusals WHERE reference = 'ref_b')
                 WHERE reference = 'ref_a'",
            )
            .await;
        let store = bench.open().await;
        let moved = store.refusal(&"ref_a".parse().unwrap()).await;
        assert!(matches!(
            moved,
            Err(StoreError::Corrupt {
                table: "refusals",
                ..
            })
        ));
        assert!(found(&store, "b").await.is_some());
    }

    #[tokio::test]
    async fn the_newest_of_each_kind_stay() {
        let bench = Bench::new();
        let store = bench.open().await;
        let genuine = [record(&bench, "genuine", true)];
        store.keep_refusals(&genuine).await.unwrap();
        let flood: Vec<RefusalRecord> = (0..=REFUSALS_KEPT)
            .map(|at| record(&bench, &format!("f{at}"), false))
            .collect();
        store.keep_refusals(&flood).await.unwrap();
        assert_eq!(found(&store, "f0").await, None);
        assert!(found(&store, "f1").await.is_some());
        assert!(found(&store, &format!("f{REFUSALS_KEPT}")).await.is_some());
        assert!(
            found(&store, "genuine").await.is_some(),
            "a flood pushes out its like alone"
        );
    }
}
