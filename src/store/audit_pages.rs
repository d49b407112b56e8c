//! Looking through the audit: by time, kind, user, IdP and reference, a page at a time in the chain's order.
//!
//! A page costs what it holds and not what the table holds. Numbers follow the times only roughly, since each gateway
//! has a clock of its own, so that a range of time becomes a range of numbers by the index on both, and every row
//! is still asked for its time. Kinds and users have indexes of their own; an IdP alone has none, and is looked for
//! in a bounded stretch of the chain at a call.

use std::collections::BTreeSet;
use std::fmt::Write;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Row};

use super::audit::read;
use super::rows::millis;
use super::{AuditRow, Store, StoreError};
use crate::model::{IdpName, Reference, UserName};

/// How much of the chain is looked through at a call where no index helps.
const STRETCH: i64 = 50_000;

/// Which records are meant; nothing set means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of events at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Of events before this time.
    pub to: Option<DateTime<Utc>>,
    /// Of one of these kinds.
    pub kinds: BTreeSet<&'static str>,
    /// About this user, of whichever IdP.
    pub user: Option<UserName>,
    /// About this IdP, or a user of it.
    pub idp: Option<IdpName>,
    /// That carry this reference.
    pub reference: Option<Reference>,
}

impl AuditFilter {
    fn texts(&self) -> Vec<(&'static str, &str)> {
        let user = self.user.as_ref().map(|user| ("user_name", user.as_str()));
        let idp = self.idp.as_ref().map(|idp| ("idp", idp.as_str()));
        let reference = self.reference.as_ref();
        let reference = reference.map(|reference| ("reference", reference.as_str()));
        [user, idp, reference].into_iter().flatten().collect()
    }

    fn is_timed(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    fn times(&self) -> (i64, i64) {
        let from = self.from.map_or(i64::MIN, millis);
        (from, self.to.map_or(i64::MAX, millis))
    }
}

/// A page of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// The rows, in order.
    pub rows: Vec<AuditRow>,
    /// After which number to ask for more; `None`: there is no more. A page with more to come may be empty.
    pub next: Option<i64>,
}

/// Rows numbered above `after`, up to `to`.
#[derive(Clone, Copy)]
struct Span {
    after: i64,
    to: i64,
}

impl Store {
    /// The first `limit` rows numbered above `after` that `filter` means.
    pub async fn audit_page(
        &self,
        filter: &AuditFilter,
        after: i64,
        limit: u32,
    ) -> Result<AuditPage, StoreError> {
        let page = usize::try_from(limit).unwrap_or(usize::MAX);
        let full = limit.saturating_add(1);
        let Some(span) = self.span_of(filter, after, full).await? else {
            return Ok(AuditPage {
                rows: Vec::new(),
                next: None,
            });
        };
        let searched = self.stretch(filter, span).await?;
        let mut rows = self.rows_in(filter, searched, full).await?;
        let more = rows.len() > page;
        rows.truncate(page);
        let last = rows.last().map(|row| row.seq);
        let next = if more {
            last
        } else {
            (searched.to < span.to).then_some(searched.to)
        };
        Ok(AuditPage { rows, next })
    }

    /// The numbers among which all that is meant stands; `None`: nothing is.
    async fn span_of(
        &self,
        filter: &AuditFilter,
        after: i64,
        full: u32,
    ) -> Result<Option<Span>, StoreError> {
        let all = Span {
            after,
            to: i64::MAX,
        };
        if !filter.is_timed() {
            return Ok(Some(all));
        }
        let (from, to) = filter.times();
        // In the middle of the range the next rows are in it, and there is nothing to look for.
        let near = self.rows_in(&AuditFilter::default(), all, full).await?;
        let within = near.iter().filter(|row| (from..to).contains(&row.at));
        if i64::from(full) == i64::try_from(within.count()).unwrap_or(0) {
            return Ok(Some(all));
        }
        let row = sqlx::query(ENDS)
            .bind(from)
            .bind(to)
            .bind(after)
            .fetch_one(self.reader())
            .await?;
        let ends = (
            row.try_get::<Option<i64>, _>("least")?,
            row.try_get::<Option<i64>, _>("most")?,
        );
        Ok(match ends {
            (Some(least), Some(most)) => Some(Span {
                after: least.saturating_sub(1),
                to: most,
            }),
            _ => None,
        })
    }

    /// How much of `span` is looked through now.
    async fn stretch(&self, filter: &AuditFilter, span: Span) -> Result<Span, StoreError> {
        let indexed =
            !filter.kinds.is_empty() || filter.user.is_some() || filter.reference.is_some();
        if indexed || filter.idp.is_none() {
            return Ok(span);
        }
        let last: Option<i64> = sqlx::query_scalar("SELECT MAX(seq) FROM audit")
            .fetch_one(self.reader())
            .await?;
        let first: Option<i64> = sqlx::query_scalar("SELECT MIN(seq) FROM audit WHERE seq > $1")
            .bind(span.after)
            .fetch_one(self.reader())
            .await?;
        let (Some(first), Some(last)) = (first, last) else {
            return Ok(span);
        };
        let to = first.saturating_add(STRETCH);
        Ok(if to < last && to < span.to {
            Span { to, ..span }
        } else {
            span
        })
    }

    /// The first `limit` rows of `span` that `filter` means: one look at the index for each kind.
    async fn rows_in(
        &self,
        filter: &AuditFilter,
        span: Span,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        if filter.kinds.is_empty() {
            return self.rows_of(filter, None, span, limit).await;
        }
        let mut rows = Vec::new();
        for kind in &filter.kinds {
            rows.extend(self.rows_of(filter, Some(kind), span, limit).await?);
        }
        rows.sort_by_key(|row| row.seq);
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    async fn rows_of(
        &self,
        filter: &AuditFilter,
        kind: Option<&str>,
        span: Span,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let mut texts = filter.texts();
        texts.extend(kind.map(|kind| ("kind", kind)));
        let columns: Vec<&str> = texts.iter().map(|(column, _)| *column).collect();
        let sql = select(&columns);
        let (from, to) = filter.times();
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(span.after)
            .bind(span.to)
            .bind(from)
            .bind(to)
            .bind(i64::from(limit));
        let query = texts
            .into_iter()
            .fold(query, |query, (_, text)| query.bind(text.to_owned()));
        let rows = query.fetch_all(self.reader()).await?;
        rows.iter().map(read).collect()
    }
}

/// The rows of a stretch whose `columns` have given values.
fn select(columns: &[&str]) -> String {
    // The plus keeps the index on times out: these rows are wanted by their numbers.
    let mut sql =
        String::from("SELECT * FROM audit WHERE seq > $1 AND seq <= $2 AND +at >= $3 AND +at < $4");
    for (at, column) in columns.iter().enumerate() {
        // Writing to a text cannot fail.
        let _written = write!(sql, " AND {column} = ${}", at + 6);
    }
    sql.push_str(" ORDER BY seq LIMIT $5");
    sql
}

/// The ends of a range of times. The sum keeps PostgreSQL from walking the numbers from either end.
const ENDS: &str = "SELECT MIN(seq + 0) AS least, MAX(seq + 0) AS most FROM audit
    WHERE at >= $1 AND at < $2 AND seq > $3";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Bench;

    #[tokio::test]
    async fn each_question_goes_by_an_index_and_sorts_nothing() {
        let bench = Bench::in_file();
        let store = bench.open().await;
        let plan = async |sql: String| -> String {
            let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let rows = sqlx::query(sql).fetch_all(store.reader()).await.unwrap();
            let steps = rows.iter().map(|row| row.get::<String, _>("detail"));
            steps.collect::<Vec<_>>().join("; ")
        };
        for (columns, wanted) in [
            (
                &[][..],
                "SEARCH audit USING INDEX sqlite_autoindex_audit_1 (seq>? AND seq<?)",
            ),
            (
                &["kind"],
                "SEARCH audit USING INDEX audit_kind (kind=? AND seq>? AND seq<?)",
            ),
            (
                &["user_name"],
                "SEARCH audit USING INDEX audit_user (user_name=? AND seq>? AND seq<?)",
            ),
            (
                &["idp"],
                "SEARCH audit USING INDEX sqlite_autoindex_audit_1 (seq>? AND seq<?)",
            ),
        ] {
            assert_eq!(plan(select(columns)).await, wanted, "{columns:?}");
        }
        let ends = "SEARCH audit USING COVERING INDEX audit_at (at>? AND at<?)";
        assert_eq!(plan(ENDS.to_owned()).await, ends);
    }
}
