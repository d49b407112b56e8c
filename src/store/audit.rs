//! Keeping the audit chain: rows, and the sealed head that says where the chain ends.
//!
//! What a record says and how it names the one before is `audit`'s; here a batch of rows and the new
//! head are one transaction, and every row gets a code that only a holder of the master key can make.

use chrono::{DateTime, Utc};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, Transaction};

use super::rows::{Record, millis};
use super::sealing::{Place, Sealer};
use super::{Store, StoreError, read_meta, write_meta};

const HEAD: Place<'static> = Place {
    table: "meta",
    row: "audit_head",
    column: "value",
};

/// Where the chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// The last record's number; 0 where there is none.
    pub seq: i64,
    /// The last record's hash; zeros where there is none.
    pub hash: [u8; 32],
}

impl AuditHead {
    /// The head of an empty chain.
    pub const EMPTY: Self = Self {
        seq: 0,
        hash: [0; 32],
    };
}

/// A record that is to be appended.
#[derive(Debug, Clone)]
pub struct AuditLink {
    /// Its number and hash: the head once it is in.
    pub head: AuditHead,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The event's stable name.
    pub kind: &'static str,
    /// The reference that a person was shown.
    pub reference: Option<String>,
    /// The record's exact text.
    pub record: String,
}

/// A record as it stands in the table; `audit` judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// The number that the table says.
    pub seq: i64,
    /// The time that the table says, unix milliseconds.
    pub at: i64,
    /// The kind that the table says.
    pub kind: String,
    /// The reference that the table says.
    pub reference: Option<String>,
    /// The record's text.
    pub record: String,
    /// The hash that the table says.
    pub hash: Vec<u8>,
    /// The code over that hash.
    pub mac: Vec<u8>,
}

/// The chain as it stood at one moment, whatever is appended meanwhile.
pub struct AuditSnapshot {
    transaction: Transaction<'static, Any>,
    head: AuditHead,
}

impl AuditSnapshot {
    /// Where the chain ends.
    pub fn head(&self) -> AuditHead {
        self.head
    }

    /// At most `limit` rows numbered `from` or above.
    pub async fn page(&mut self, from: i64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM audit WHERE seq >= $1 ORDER BY seq LIMIT $2")
            .bind(from)
            .bind(i64::from(limit))
            .fetch_all(&mut *self.transaction)
            .await?;
        rows.iter().map(read).collect()
    }
}

impl Store {
    /// Appends what `link` makes of the head, and seals the new head: all or nothing, and on disk when
    /// this returns.
    pub async fn append_audit(
        &self,
        link: impl FnOnce(AuditHead) -> Vec<AuditLink> + Send,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let mut head = read_head(&mut transaction, self.sealer()).await?;
        for link in link(head) {
            head = link.head;
            let mac = self.audit_mac(&link.head.hash)?;
            insert(&mut transaction, link, mac).await?;
        }
        seal_head(&mut transaction, self.sealer(), head).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Whether `mac` is the code that [`Store::append_audit`] gave to a record of this hash.
    pub fn audit_mac_holds(&self, hash: &[u8], mac: &[u8]) -> Result<bool, StoreError> {
        let made = self.audit_mac(hash)?;
        Ok(made.len() == mac.len() && openssl::memcmp::eq(&made, mac))
    }

    /// The chain as it stands now.
    pub async fn audit_snapshot(&self) -> Result<AuditSnapshot, StoreError> {
        let mut transaction = self.0.engine.snapshot(self.reader()).await?;
        let head = read_head(&mut transaction, self.sealer()).await?;
        Ok(AuditSnapshot { transaction, head })
    }

    /// At most `limit` rows numbered above `after`, of events at `from` or later and before `to`.
    pub async fn audit_rows(
        &self,
        after: i64,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM audit WHERE seq > $1 AND at >= $2 AND at < $3 ORDER BY seq LIMIT $4",
        )
        .bind(after)
        .bind(from.map_or(i64::MIN, millis))
        .bind(to.map_or(i64::MAX, millis))
        .bind(i64::from(limit))
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read).collect()
    }

    /// The rows of a reference, at most 100.
    pub async fn audit_rows_of(&self, reference: &str) -> Result<Vec<AuditRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM audit WHERE reference = $1 ORDER BY seq LIMIT 100")
            .bind(reference)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    fn audit_mac(&self, hash: &[u8]) -> Result<Vec<u8>, StoreError> {
        let code = || {
            let key = PKey::hmac(&self.0.audit_key)?;
            Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(hash)
        };
        code().map_err(|error: openssl::error::ErrorStack| {
            StoreError::Unavailable(format!("HMAC failed: {error}"))
        })
    }
}

/// Seals the head of the empty chain, when a database is made.
pub(super) async fn seal_first_head(
    connection: &mut AnyConnection,
    sealer: &Sealer,
) -> Result<(), StoreError> {
    seal_head(connection, sealer, AuditHead::EMPTY).await
}

async fn seal_head(
    connection: &mut AnyConnection,
    sealer: &Sealer,
    head: AuditHead,
) -> Result<(), StoreError> {
    let plain = super::rows::to_json(&head)?;
    let blob = sealer.seal(HEAD, plain.as_bytes())?;
    write_meta(connection, HEAD.row, blob).await
}

async fn read_head(
    connection: &mut AnyConnection,
    sealer: &Sealer,
) -> Result<AuditHead, StoreError> {
    let blob = read_meta(connection, HEAD.row).await?;
    // No head is damage too: it was sealed when the database was made.
    let plain = sealer.open(HEAD, &blob.unwrap_or_default())?;
    serde_json::from_slice(&plain).map_err(|_| StoreError::Corrupt {
        table: "meta",
        row: HEAD.row.to_owned(),
        problem: "column value does not parse".to_owned(),
    })
}

async fn insert(
    connection: &mut AnyConnection,
    link: AuditLink,
    mac: Vec<u8>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit (seq, at, kind, reference, record, hash, mac)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(link.head.seq)
    .bind(millis(link.at))
    .bind(link.kind)
    .bind(link.reference)
    .bind(link.record)
    .bind(link.head.hash.to_vec())
    .bind(mac)
    .execute(connection)
    .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<AuditRow, StoreError> {
    let record = Record::new(row, "audit", "seq");
    Ok(AuditRow {
        seq: record.number("seq")?,
        at: record.number("at")?,
        kind: record.text("kind")?,
        reference: record.maybe_text("reference")?,
        record: record.text("record")?,
        hash: record.bytes("hash")?,
        mac: record.bytes("mac")?,
    })
}
