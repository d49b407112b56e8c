//! The audit for admins and auditors: a page of records, in the chain's order.
//!
//! Shows what the table holds; whether that is as it was written is for `rolegate audit verify` to say, which has the
//! master key.

use chrono::{DateTime, Utc};
use serde::Serialize;
use thiserror::Error;

use super::{Access, Unavailable};
use crate::audit::{self, BadMoment, EventKind, Moment, Record, UnknownKind};
use crate::model::{IdpName, Reference, UserName};
use crate::store::AuditFilter;

/// How many records a page has where nothing else is asked, and at most.
const PAGE: u32 = 100;
const MOST: u32 = 1000;

/// What is asked of the audit: checked values of a query, key by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    filter: AuditFilter,
    after: i64,
    limit: u32,
}

/// Why a query is none, and what to write.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuditQueryError {
    /// A key that there is not.
    #[error(
        "{0:?} is no key of this list; write after, from, to, kind, user, idp, reference or limit"
    )]
    Unknown(String),
    /// A key that stands twice.
    #[error("{0} stands twice; only kind may")]
    Twice(&'static str),
    /// No time.
    #[error("{0}: {1}")]
    Time(&'static str, BadMoment),
    /// A time that ends before it begins.
    #[error("from is not before to, so that no record is asked for; exchange them")]
    Backwards,
    /// No kind.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    /// No number of a record.
    #[error("after: write the next of the page before, or the seq of a record")]
    After,
    /// No size of a page.
    #[error("limit: write a whole number from 1 to {MOST}")]
    Limit,
    /// No name.
    #[error("{0}: {1}")]
    Name(&'static str, String),
}

impl AuditQuery {
    /// The query of these keys and values, asked at `now`.
    pub fn read(pairs: &[(String, String)], now: DateTime<Utc>) -> Result<Self, AuditQueryError> {
        let mut query = Self {
            filter: AuditFilter::default(),
            after: 0,
            limit: PAGE,
        };
        let mut seen: Vec<&'static str> = Vec::new();
        for (key, value) in pairs {
            let key = query.take(key, value, now)?;
            if key != "kind" && seen.contains(&key) {
                return Err(AuditQueryError::Twice(key));
            }
            seen.push(key);
        }
        let AuditFilter { from, to, .. } = query.filter;
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            return Err(AuditQueryError::Backwards);
        }
        Ok(query)
    }

    fn take(
        &mut self,
        key: &str,
        value: &str,
        now: DateTime<Utc>,
    ) -> Result<&'static str, AuditQueryError> {
        let time = |key| {
            let moment = value.parse::<Moment>();
            let moment = moment.map_err(|problem| AuditQueryError::Time(key, problem));
            moment.map(|moment| Some(moment.at(now)))
        };
        match key {
            "after" => self.after = value.parse().map_err(|_| AuditQueryError::After)?,
            "limit" => self.limit = limit(value)?,
            "from" => self.filter.from = time("from")?,
            "to" => self.filter.to = time("to")?,
            "kind" => {
                let kind: EventKind = value.parse()?;
                self.filter.kinds.insert(kind.as_str());
            }
            "user" => self.filter.user = Some(name::<UserName>("user", value)?),
            "idp" => self.filter.idp = Some(name::<IdpName>("idp", value)?),
            "reference" => self.filter.reference = Some(name::<Reference>("reference", value)?),
            _ => return Err(AuditQueryError::Unknown(key.chars().take(64).collect())),
        }
        let keys = [
            "after",
            "limit",
            "from",
            "to",
            "kind",
            "user",
            "idp",
            "reference",
        ];
        Ok(keys.into_iter().find(|one| *one == key).unwrap_or("kind"))
    }
}

fn limit(value: &str) -> Result<u32, AuditQueryError> {
    let limit = value.parse().ok();
    let limit = limit.filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or(AuditQueryError::Limit)
}

fn name<T: std::str::FromStr<Err: ToString>>(
    key: &'static str,
    value: &str,
) -> Result<T, AuditQueryError> {
    let named = value.parse::<T>();
    named.map_err(|problem| AuditQueryError::Name(key, problem.to_string()))
}

/// A page of records.
#[derive(Debug, Serialize)]
pub struct AuditRecords {
    /// They, in the chain's order, each as `rolegate audit export` prints it.
    pub items: Vec<Record>,
    /// After which number to ask for more; none at the end. A page with more to come may be empty.
    pub next: Option<i64>,
}

impl Access {
    /// A page of what `query` asks.
    pub async fn audit(&self, query: &AuditQuery) -> Result<AuditRecords, Unavailable> {
        let page = audit::page(&self.store, &query.filter, query.after, query.limit).await?;
        Ok(AuditRecords {
            items: page.records,
            next: page.next,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<AuditQuery, AuditQueryError> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let pairs: Vec<(String, String)> = pairs.iter().map(owned).collect();
        AuditQuery::read(&pairs, "2026-02-01T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn every_key_is_taken_and_nothing_else() {
        let query = read(&[
            ("after", "7"),
            ("limit", "1000"),
            ("from", "24h"),
            ("to", "2026-02-01"),
            ("kind", "alarm"),
            ("kind", "decision"),
            ("user", "ann"),
            ("idp", "okta"),
            ("reference", "ref_x"),
        ])
        .unwrap();
        assert_eq!((query.after, query.limit), (7, 1000));
        assert_eq!(
            query.filter.from,
            Some("2026-01-31T00:00:00Z".parse().unwrap())
        );
        assert_eq!(query.filter.kinds, ["alarm", "decision"].into());
        assert_eq!(read(&[]).unwrap().limit, 100);
        for (pairs, part) in [
            (&[("since", "1h")][..], "write after, from, to"),
            (&[("limit", "0")], "from 1 to 1000"),
            (&[("limit", "1001")], "from 1 to 1000"),
            (&[("after", "x")], "the seq of a record"),
            (&[("from", "yesterday")], "2026-01-31T12:00:00Z"),
            (&[("kind", "sign_in")], "sign_in_accepted"),
            (&[("user", "a")], "user: "),
            (&[("idp", "a b")], "idp: "),
            (&[("reference", "x")], "reference: "),
            (&[("user", "ann"), ("user", "bob")], "stands twice"),
        ] {
            let told = read(pairs).unwrap_err().to_string();
            assert!(told.contains(part), "{told}");
        }
    }
}
