//! Reading the chain: lists, exports and what a reference stands for.
//!
//! Shows what the table holds, damaged or not; whether that can be trusted is for `verify` to say.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::model::{Reference, hex};
use crate::store::{AuditFilter, AuditLink, AuditPage, AuditRow, Store, StoreError};

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
    /// What an export has of it: a line of JSON, without its end.
    pub fn line(&self) -> String {
        Value::Object(self.fields()).to_string()
    }

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

impl From<&AuditLink> for Record {
    fn from(link: &AuditLink) -> Self {
        Self {
            seq: link.head.seq,
            kind: link.kind.to_owned(),
            hash: hex(&link.head.hash),
            text: link.record.clone(),
        }
    }
}

/// At most `limit` records numbered above `after_seq`.
pub async fn list(store: &Store, after_seq: i64, limit: u32) -> Result<Vec<Record>, StoreError> {
    let filter = AuditFilter::default();
    Ok(page(store, &filter, after_seq, limit).await?.records)
}

/// The records that carry `reference`.
pub async fn by_reference(store: &Store, reference: &Reference) -> Result<Vec<Record>, StoreError> {
    let rows = store.audit_rows_of(reference.as_str()).await?;
    Ok(rows.into_iter().map(Record::from).collect())
}

/// A page of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// They, in the chain's order.
    pub records: Vec<Record>,
    /// After which number to ask for more; `None`: there is no more. A page with more to come may be empty.
    pub next: Option<i64>,
}

/// The first `limit` records numbered above `after` that `filter` means.
pub async fn page(
    store: &Store,
    filter: &AuditFilter,
    after: i64,
    limit: u32,
) -> Result<Page, StoreError> {
    let AuditPage { rows, next } = store.audit_page(filter, after, limit).await?;
    Ok(Page {
        records: rows.into_iter().map(Record::from).collect(),
        next,
    })
}

/// The records that `filter` means, numbered above `after`, a page at a time.
pub fn export(store: &Store, filter: AuditFilter, after: Option<i64>) -> Export {
    Export {
        store: store.clone(),
        filter,
        after: Some(after.unwrap_or(i64::MIN)),
    }
}

/// An export under way.
#[derive(Debug)]
pub struct Export {
    store: Store,
    filter: AuditFilter,
    after: Option<i64>,
}

impl Export {
    /// The next records; none at the end.
    pub async fn next_page(&mut self) -> Result<Vec<Record>, StoreError> {
        while let Some(after) = self.after {
            let next = page(&self.store, &self.filter, after, PAGE).await?;
            self.after = next.next;
            if !next.records.is_empty() {
                return Ok(next.records);
            }
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
