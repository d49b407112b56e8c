//! Reading the chain: lists, exports and what a reference stands for.
//!
//! Shows what the table holds, damaged or not; whether that can be trusted is for `verify` to say.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::model::{Reference, hex};
use crate::store::{AuditRow, Store, StoreError};

const PAGE: u32 = 500;

/// A record as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub seq: i64,
    /// The event's stable name.
    pub kind: String,
    /// Its hash, hexadecimal.
    pub hash: String,
    /// Its exact text, over which the hash was made.
    pub text: String,
}

impl Record {
    /// The record's fields and its `hash`.
    pub fn fields(&self) -> Map<String, Value> {
        let mut fields = match serde_json::from_str(&self.text) {
            Ok(Value::Object(fields)) => fields,
            // A damaged record is shown as it is: an export must not hide it.
            Ok(_) | Err(_) => {
                Map::from_iter([("damaged".to_owned(), Value::String(self.text.clone()))])
            }
        };
        fields.insert("seq".to_owned(), self.seq.into());
        fields.insert("hash".to_owned(), self.hash.as_str().into());
        fields
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fields().serialize(serializer)
    }
}

impl From<AuditRow> for Record {
    fn from(row: AuditRow) -> Self {
        Self {
            seq: row.seq,
            kind: row.kind,
            hash: hex(&row.hash),
            text: row.record,
        }
    }
}

/// At most `limit` records numbered above `after_seq`.
pub async fn list(store: &Store, after_seq: i64, limit: u32) -> Result<Vec<Record>, StoreError> {
    let rows = store.audit_rows(after_seq, None, None, limit).await?;
    Ok(rows.into_iter().map(Record::from).collect())
}

/// The records that carry `reference`.
pub async fn by_reference(store: &Store, reference: &Reference) -> Result<Vec<Record>, StoreError> {
    let rows = store.audit_rows_of(reference.as_str()).await?;
    Ok(rows.into_iter().map(Record::from).collect())
}

/// The records of events at `from` or later and before `to`, a page at a time.
pub fn export(store: &Store, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Export {
    Export {
        store: store.clone(),
        from,
        to,
        after: i64::MIN,
    }
}

/// An export under way.
#[derive(Debug)]
pub struct Export {
    store: Store,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    after: i64,
}

impl Export {
    /// The next records; none at the end.
    pub async fn next_page(&mut self) -> Result<Vec<Record>, StoreError> {
        let rows = self
            .store
            .audit_rows(self.after, self.from, self.to, PAGE)
            .await?;
        if let Some(row) = rows.last() {
            self.after = row.seq;
        }
        Ok(rows.into_iter().map(Record::from).collect())
    }
}
