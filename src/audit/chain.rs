//! How a record is written and how it names the one before.
//!
//! A record is a JSON object with sorted keys and no spaces: the event's fields, `seq`, `at` and
//! `previous`, the hexadecimal hash of the record before. Its hash is
//! SHA-256(`previous` as that text, then the record's text). Before the first stand 32 zero bytes.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Event;
use crate::model::hex;
use crate::store::{AuditHead, AuditLink, AuditRow};

/// The record that follows `head`.
pub(super) fn link(head: AuditHead, event: &Event, at: DateTime<Utc>) -> AuditLink {
    let seq = head.seq.saturating_add(1);
    let previous = hex(&head.hash);
    // An event has no map with other keys than text, so that it always has a JSON form.
    let mut fields: Map<String, Value> = match serde_json::to_value(event) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    };
    fields.insert("seq".to_owned(), seq.into());
    fields.insert("at".to_owned(), time(at).into());
    fields.insert("previous".to_owned(), previous.as_str().into());
    fields.sort_keys();
    let record = Value::Object(fields).to_string();
    AuditLink {
        head: AuditHead {
            seq,
            hash: hash(&previous, &record),
        },
        at,
        kind: event.kind.as_str(),
        reference: event.reference.as_ref().map(ToString::to_string),
        user: event.user().map(ToString::to_string),
        idp: event.idp().map(ToString::to_string),
        record,
    }
}

/// What a record says of its own place.
#[derive(Deserialize)]
pub(super) struct Told {
    pub(super) seq: i64,
    pub(super) previous: String,
    at: DateTime<Utc>,
    kind: String,
    reference: Option<String>,
    person: Option<ToldPerson>,
    user: Option<String>,
    idp: Option<String>,
}

#[derive(Deserialize)]
struct ToldPerson {
    user: String,
    idp: String,
}

impl Told {
    /// What `row`'s record says, if its hash is of that text.
    pub(super) fn read(row: &AuditRow) -> Option<Self> {
        let told: Self = serde_json::from_str(&row.record).ok()?;
        (hash(&told.previous, &row.record).as_slice() == row.hash).then_some(told)
    }

    /// Whether the columns by which rows are found say what the record says.
    pub(super) fn fits(&self, row: &AuditRow) -> bool {
        self.at.timestamp_millis() == row.at
            && self.kind == row.kind
            && self.reference == row.reference
            && self.user() == row.user.as_ref()
            && self.idp() == row.idp.as_ref()
    }

    fn user(&self) -> Option<&String> {
        let person = self.person.as_ref().map(|person| &person.user);
        person.or(self.user.as_ref())
    }

    fn idp(&self) -> Option<&String> {
        let person = self.person.as_ref().map(|person| &person.idp);
        person.or(self.idp.as_ref())
    }
}

/// The hash of `record`, which names `previous`.
pub(super) fn hash(previous: &str, record: &str) -> [u8; 32] {
    let mut hasher = openssl::sha::Sha256::new();
    hasher.update(previous.as_bytes());
    hasher.update(record.as_bytes());
    hasher.finish()
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
