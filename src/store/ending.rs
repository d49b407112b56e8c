//! Ending sessions: what a session had is forgotten in the transaction that ends it.
//!
//! Credentials, claims and the tokens of an OpenID provider go; the row stays for lists to show.

use chrono::{DateTime, Utc};
use sqlx::{AnyConnection, AssertSqlSafe};

use super::rows::{Conditions, Record, millis};
use super::sessions::read_person;
use super::{Store, StoreError};
use crate::model::{Person, SessionId};

/// What was ended.
pub(super) struct Ended {
    /// The sessions that could be used by a browser.
    pub(super) usable: Vec<(SessionId, Person)>,
    /// How many there were in all.
    pub(super) count: usize,
}

impl Store {
    /// Ends the browser's way onto the session; leases may go on drawing on it, and so may command
    /// lines that were signed in. Says whether there was one.
    pub async fn end_browser(&self, id: &SessionId) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE sessions SET token = NULL, confirm = NULL
             WHERE id = $1 AND (token IS NOT NULL OR confirm IS NOT NULL)",
        )
        .bind(id.as_str())
        .execute(self.writer())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Ends the session for all, and forgets its credentials and tokens. Says whether it was still going.
    pub async fn end_session(&self, id: &SessionId) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let only = Conditions::from(2).and("id", Some(id.as_str()));
        let ended = end_sessions(&mut transaction, only, self.now()).await?;
        transaction.commit().await?;
        Ok(ended.count > 0)
    }
}

/// Ends every session that fits, within the caller's transaction, and forgets what they had; gives those that were
/// going. The binds of `which` begin at 2.
pub(super) async fn end_sessions(
    connection: &mut AnyConnection,
    which: Conditions,
    at: DateTime<Utc>,
) -> Result<Ended, StoreError> {
    let sql = format!(
        "UPDATE sessions SET ended_at = $1, token = NULL, confirm = NULL
         WHERE ended_at IS NULL{} RETURNING id, user_name, idp, expires_at",
        which.sql()
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(millis(at));
    let rows = which.bind(query).fetch_all(&mut *connection).await?;
    forget_ended(connection, at).await?;
    let mut usable = Vec::new();
    for row in &rows {
        let record = Record::new(row, "sessions", "id");
        if at < record.time("expires_at")? {
            usable.push((record.parsed("id")?, read_person(&record)?));
        }
    }
    let count = rows.len();
    Ok(Ended { usable, count })
}

/// Forgets what the sessions had that ended at `at`, within the transaction that ended them. What was ended before
/// has nothing left: whoever writes for a session looks, in turn with this, whether it ended.
async fn forget_ended(connection: &mut AnyConnection, at: DateTime<Utc>) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM credentials WHERE session IN (SELECT id FROM sessions WHERE ended_at = $1)",
        "DELETE FROM oidc_tokens WHERE session IN (SELECT id FROM sessions WHERE ended_at = $1)",
    ] {
        sqlx::query(sql)
            .bind(millis(at))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
