//! Sessions as lists show them, read from the clear columns: nobody acts on what stands here.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::rows::{Conditions, Record};
use super::sessions::read_person;
use super::{SessionState, Store, StoreError};
use crate::model::{Person, SessionId, UserName};

/// A session as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionRow {
    /// Its identifier.
    pub id: SessionId,
    /// Whose it is.
    pub person: Person,
    /// Pending or confirmed.
    pub state: SessionState,
    /// When rolegate accepted the sign-in.
    pub signed_in_at: DateTime<Utc>,
    /// When it stops.
    pub expires_at: DateTime<Utc>,
    /// When it was ended before that.
    pub ended_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Sessions in the order of their sign-in, those that ended too; of one user where `user` says so.
    pub async fn list_sessions(
        &self,
        user: Option<&UserName>,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let conditions = Conditions::from(3).and("user_name", user.map(UserName::as_str));
        let sql = format!(
            "SELECT id, idp, user_name, state, signed_in_at, expires_at, ended_at FROM sessions
             WHERE id > $1{} ORDER BY id LIMIT $2",
            conditions.sql()
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(after.map_or("", SessionId::as_str))
            .bind(i64::from(limit));
        let rows = conditions.bind(query).fetch_all(self.reader()).await?;
        rows.iter().map(read_row).collect()
    }
}

fn read_row(row: &AnyRow) -> Result<SessionRow, StoreError> {
    let record = Record::new(row, "sessions", "id");
    Ok(SessionRow {
        id: record.parsed("id")?,
        person: read_person(&record)?,
        state: SessionState::read(&record)?,
        signed_in_at: record.time("signed_in_at")?,
        expires_at: record.time("expires_at")?,
        ended_at: record.maybe_time("ended_at")?,
    })
}
