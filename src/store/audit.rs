//! Keeping the audit chain: rows, the sealed head that says where the chain ends, and the sealed base that says where
//! it begins once retention removed its oldest records.
//!
//! What a record says and how it names the one before is `audit`'s; here a batch of rows and the new
//! head are one transaction, and every row gets a code that only a holder of the master key can make. The head
//! repeats the base's number, so that neither can be put back alone.

use chrono::{DateTime, Utc};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, Transaction};

use super::rows::{Record, millis};
use super::sealing::{Place, Sealer};
use super::{AuditPutBack, Store, StoreError, read_meta, write_meta};

const HEAD: Place<'static> = Place {
    table: "meta",
    row: "audit_head",
    column: "value",
};

const BASE: Place<'static> = Place {
    table: "meta",
    row: "audit_base",
    column: "value",
};

/// Where the chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Where the chain begins: behind the last record that retention removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditBase {
    /// That record's number; 0 where none was removed.
    pub seq: i64,
    /// That record's hash; zeros where none was removed.
    pub hash: [u8; 32],
    /// When it was removed, unix milliseconds; 0 where none was.
    pub removed_at: i64,
}

impl AuditBase {
    /// The base of a chain that has all its records.
    pub const WHOLE: Self = Self {
        seq: 0,
        hash: [0; 32],
        removed_at: 0,
    };

    /// What the chain's first record follows.
    pub fn head(self) -> AuditHead {
        AuditHead {
            seq: self.seq,
            hash: self.hash,
        }
    }
}

/// The head as it is sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    seq: i64,
    hash: [u8; 32],
    /// The base's number.
    #[serde(default)]
    base: i64,
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
    /// The user it is about.
    pub user: Option<String>,
    /// That user's IdP.
    pub idp: Option<String>,
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
    /// The user that the table says.
    pub user: Option<String>,
    /// The IdP that the table says.
    pub idp: Option<String>,
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
    base: AuditBase,
}

impl AuditSnapshot {
    /// Where the chain ends.
    pub fn head(&self) -> AuditHead {
        self.head
    }

    /// Where the chain begins.
    pub fn base(&self) -> AuditBase {
        self.base
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
    /// this returns. `link` is told where the chain is not the one any more that this process saw.
    pub async fn append_audit(
        &self,
        link: impl FnOnce(AuditHead, Option<AuditPutBack>) -> Vec<AuditLink> + Send,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let (mut head, base) = read_head(&mut transaction, self.sealer()).await?;
        let seen = &self.0.audit_seen;
        let put_back = seen.missing_in(&mut transaction, base, head).await?;
        for link in link(head, put_back) {
            head = link.head;
            let mac = self.audit_mac(&link.head.hash)?;
            insert(&mut transaction, link, mac).await?;
        }
        seal_head(&mut transaction, self.sealer(), head, base).await?;
        transaction.commit().await?;
        seen.saw(head);
        Ok(())
    }

    /// Removes the records behind `base` up to `last`, moves the base there and appends what `link` makes of the head:
    /// all or nothing. False, and nothing is done, where the chain no longer begins at `base`, or not all of those
    /// records are there, or `last` is not one of them. That they are genuine is for the caller to know. Refused where
    /// the chain is not the one any more that this process saw.
    pub async fn prune_audit(
        &self,
        base: AuditBase,
        last: AuditHead,
        link: impl FnOnce(AuditHead) -> AuditLink + Send,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let (head, begins) = read_ends(&mut transaction, self.sealer()).await?;
        let seen = &self.0.audit_seen;
        if let Some(put_back) = seen.missing_in(&mut transaction, begins.seq, head).await? {
            return Err(damaged(HEAD, &put_back.to_string()));
        }
        let hash: Option<Vec<u8>> = sqlx::query_scalar("SELECT hash FROM audit WHERE seq = $1")
            .bind(last.seq)
            .fetch_optional(&mut *transaction)
            .await?;
        if begins != base || last.seq <= base.seq || hash.as_deref() != Some(&last.hash[..]) {
            return Ok(false);
        }
        let removed = sqlx::query("DELETE FROM audit WHERE seq <= $1")
            .bind(last.seq)
            .execute(&mut *transaction)
            .await?;
        if i64::try_from(removed.rows_affected()) != Ok(last.seq - base.seq) {
            return Ok(false);
        }
        let link = link(head);
        let (head, removed_at) = (link.head, millis(link.at));
        let mac = self.audit_mac(&head.hash)?;
        insert(&mut transaction, link, mac).await?;
        let base = AuditBase {
            seq: last.seq,
            hash: last.hash,
            removed_at,
        };
        let plain = super::rows::to_json(&base)?;
        let blob = self.sealer().seal(BASE, plain.as_bytes())?;
        write_meta(&mut transaction, BASE.row, blob).await?;
        seal_head(&mut transaction, self.sealer(), head, base.seq).await?;
        transaction.commit().await?;
        seen.saw(head);
        Ok(true)
    }

    /// Whether `mac` is the code that [`Store::append_audit`] gave to a record of this hash.
    pub fn audit_mac_holds(&self, hash: &[u8], mac: &[u8]) -> Result<bool, StoreError> {
        let made = self.audit_mac(hash)?;
        Ok(made.len() == mac.len() && openssl::memcmp::eq(&made, mac))
    }

    /// The chain as it stands now.
    pub async fn audit_snapshot(&self) -> Result<AuditSnapshot, StoreError> {
        let mut transaction = self.0.engine.snapshot(self.reader()).await?;
        let (head, base) = read_ends(&mut transaction, self.sealer()).await?;
        Ok(AuditSnapshot {
            transaction,
            head,
            base,
        })
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
    seal_head(connection, sealer, AuditHead::EMPTY, 0).await
}

async fn seal_head(
    connection: &mut AnyConnection,
    sealer: &Sealer,
    head: AuditHead,
    base: i64,
) -> Result<(), StoreError> {
    let AuditHead { seq, hash } = head;
    let plain = super::rows::to_json(&Sealed { seq, hash, base })?;
    let blob = sealer.seal(HEAD, plain.as_bytes())?;
    write_meta(connection, HEAD.row, blob).await
}

/// Seals the head anew as it is: what an append needs, without one.
pub(super) async fn seal_again(
    connection: &mut AnyConnection,
    sealer: &Sealer,
) -> Result<(), StoreError> {
    let (head, base) = read_head(connection, sealer).await?;
    seal_head(connection, sealer, head, base).await
}

/// The head, and the number of the base that goes with it.
async fn read_head(
    connection: &mut AnyConnection,
    sealer: &Sealer,
) -> Result<(AuditHead, i64), StoreError> {
    let blob = read_meta(connection, HEAD.row).await?;
    // No head is damage too: it was sealed when the database was made.
    let plain = sealer.open(HEAD, &blob.unwrap_or_default())?;
    let Sealed { seq, hash, base } =
        serde_json::from_slice(&plain).map_err(|_| damaged(HEAD, "column value does not parse"))?;
    Ok((AuditHead { seq, hash }, base))
}

/// Both ends of the chain, which must be of one state.
async fn read_ends(
    connection: &mut AnyConnection,
    sealer: &Sealer,
) -> Result<(AuditHead, AuditBase), StoreError> {
    let (head, begins) = read_head(connection, sealer).await?;
    let base = match read_meta(connection, BASE.row).await? {
        None => AuditBase::WHOLE,
        Some(blob) => {
            let plain = sealer.open(BASE, &blob)?;
            serde_json::from_slice(&plain)
                .map_err(|_| damaged(BASE, "column value does not parse"))?
        }
    };
    if base.seq == begins {
        return Ok((head, base));
    }
    let told = format!(
        "it says that the records up to {} were removed, the sealed head says up to {begins}: one of them was put back",
        base.seq
    );
    Err(damaged(BASE, &told))
}

fn damaged(place: Place<'static>, problem: &str) -> StoreError {
    StoreError::Corrupt {
        table: place.table,
        row: place.row.to_owned(),
        problem: problem.to_owned(),
    }
}

async fn insert(
    connection: &mut AnyConnection,
    link: AuditLink,
    mac: Vec<u8>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit (seq, at, kind, reference, record, hash, mac, user_name, idp)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(link.head.seq)
    .bind(millis(link.at))
    .bind(link.kind)
    .bind(link.reference)
    .bind(link.record)
    .bind(link.head.hash.to_vec())
    .bind(mac)
    .bind(link.user)
    .bind(link.idp)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn read(row: &AnyRow) -> Result<AuditRow, StoreError> {
    let record = Record::new(row, "audit", "seq");
    Ok(AuditRow {
        seq: record.number("seq")?,
        at: record.number("at")?,
        kind: record.text("kind")?,
        reference: record.maybe_text("reference")?,
        user: record.maybe_text("user_name")?,
        idp: record.maybe_text("idp")?,
        record: record.text("record")?,
        hash: record.bytes("hash")?,
        mac: record.bytes("mac")?,
    })
}
