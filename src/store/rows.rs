//! Reading columns into values: whatever does not parse is damage, named by table and row.
//!
//! Never repeats a stored value in an error.

use std::fmt::{Display, Write};
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row};

use super::StoreError;

/// A row of `table`, whose key stands in column `key`.
pub(super) struct Record<'r> {
    row: &'r AnyRow,
    table: &'static str,
    key: &'static str,
}

impl<'r> Record<'r> {
    pub(super) fn new(row: &'r AnyRow, table: &'static str, key: &'static str) -> Self {
        Self { row, table, key }
    }

    pub(super) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.row
            .try_get(column)
            .map_err(|_| self.damaged(column, "is no text"))
    }

    pub(super) fn maybe_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.row
            .try_get(column)
            .map_err(|_| self.damaged(column, "is no text"))
    }

    pub(super) fn number(&self, column: &'static str) -> Result<i64, StoreError> {
        self.row
            .try_get(column)
            .map_err(|_| self.damaged(column, "is no number"))
    }

    pub(super) fn maybe_number(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.row
            .try_get(column)
            .map_err(|_| self.damaged(column, "is no number"))
    }

    pub(super) fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        self.row
            .try_get(column)
            .map_err(|_| self.damaged(column, "is no blob"))
    }

    pub(super) fn maybe_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        self.row
            .try_get(column)
            .map_err(|_| self.damaged(column, "is no blob"))
    }

    pub(super) fn hash(&self, column: &'static str) -> Result<[u8; 32], StoreError> {
        <[u8; 32]>::try_from(self.bytes(column)?.as_slice())
            .map_err(|_| self.damaged(column, "is no hash"))
    }

    pub(super) fn time(&self, column: &'static str) -> Result<DateTime<Utc>, StoreError> {
        DateTime::from_timestamp_millis(self.number(column)?)
            .ok_or_else(|| self.damaged(column, "is no time"))
    }

    pub(super) fn maybe_time(
        &self,
        column: &'static str,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.maybe_number(column)?
            .map(|_| self.time(column))
            .transpose()
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        self.text(column)?
            .parse()
            .map_err(|_| self.damaged(column, "does not parse"))
    }

    pub(super) fn maybe_parsed<T: FromStr<Err: Display>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        self.maybe_text(column)?
            .map(|_| self.parsed(column))
            .transpose()
    }

    pub(super) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?)
            .map_err(|_| self.damaged(column, "does not parse"))
    }

    pub(super) fn maybe_json<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        self.maybe_text(column)?
            .map(|_| self.json(column))
            .transpose()
    }

    /// The error for a column that does not hold what was written there.
    pub(super) fn damaged(&self, column: &'static str, problem: &str) -> StoreError {
        let row = self
            .row
            .try_get::<String, _>(self.key)
            .or_else(|_| self.row.try_get::<i64, _>(self.key).map(|n| n.to_string()))
            .unwrap_or_else(|_| "?".to_owned());
        StoreError::Corrupt {
            table: self.table,
            row,
            problem: format!("column {column} {problem}"),
        }
    }
}

/// Conditions on text columns, of which only those stand in the statement that somebody asked for: no index helps
/// with one that may say nothing.
pub(super) struct Conditions {
    sql: String,
    values: Vec<String>,
    first: usize,
}

impl Conditions {
    /// None yet; the first is to be bound at `$first`.
    pub(super) fn from(first: usize) -> Self {
        Self {
            sql: String::new(),
            values: Vec::new(),
            first,
        }
    }

    /// That `column`, whose name is written here and never sent to us, is `value`; without a value nothing.
    pub(super) fn and(mut self, column: &'static str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            let at = self.first + self.values.len();
            // Writing to a string cannot fail.
            let _ = write!(self.sql, " AND {column} = ${at}");
            self.values.push(value.to_owned());
        }
        self
    }

    /// ` AND ..` for each, with binds for the values.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// Binds the values, behind those that are bound already.
    pub(super) fn bind(self, query: Query<'_, Any, AnyArguments>) -> Query<'_, Any, AnyArguments> {
        self.values.into_iter().fold(query, Query::bind)
    }
}

/// The form in which times are stored.
pub(super) fn millis(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

/// `value` as the JSON that a text column holds.
pub(super) fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Unavailable(format!("a value has no JSON form: {error}")))
}

/// The last row of a writing statement's `RETURNING`.
///
/// Takes them all: a statement that is left after its first row is committed only when it is reset,
/// and nobody would hear that this failed.
pub(super) fn last(mut rows: Vec<AnyRow>) -> Option<AnyRow> {
    rows.pop()
}
