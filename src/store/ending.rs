//! Ending sessions: what a session had is forgotten in the transaction that ends it.
//!
//! Credentials, claims and the tokens of an OpenID provider go; the row stays for lists to show.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::rows::{Conditions, Record, millis};
use super::{Store, StoreError};
use crate::model::{IdpName, SessionId, UserName};

/// Which sessions; a field that is `None` fits all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Of this user.
    pub user: Option<UserName>,
    /// Of this IdP.
    pub idp: Option<IdpName>,
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
        let now = self.now();
        let mut transaction = self.begin().await?;
        let done = sqlx::query(
            "UPDATE sessions SET ended_at = $1, token = NULL, confirm = NULL
             WHERE id = $2 AND ended_at IS NULL",
        )
        .bind(millis(now))
        .bind(id.as_str())
        .execute(&mut *transaction)
        .await?;
        forget_ended(&mut transaction, now).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Ends every session that fits, and forgets their credentials and tokens; gives those that were going.
    pub async fn end_sessions(&self, filter: &SessionFilter) -> Result<Vec<SessionId>, StoreError> {
        let now = self.now();
        let conditions = Conditions::from(2)
            .and("user_name", filter.user.as_ref().map(UserName::as_str))
            .and("idp", filter.idp.as_ref().map(IdpName::as_str));
        let sql = format!(
            "UPDATE sessions SET ended_at = $1, token = NULL, confirm = NULL
             WHERE ended_at IS NULL{} RETURNING id",
            conditions.sql()
        );
        let mut transaction = self.begin().await?;
        let query = sqlx::query(AssertSqlSafe(sql)).bind(millis(now));
        let rows = conditions.bind(query).fetch_all(&mut *transaction).await?;
        forget_ended(&mut transaction, now).await?;
        transaction.commit().await?;
        rows.iter()
            .map(|row| Record::new(row, "sessions", "id").parsed("id"))
            .collect()
    }
}

/// Forgets what the sessions had that ended at `at`, within the transaction that ended them. What was ended before
/// has nothing left: whoever writes for a session looks, in turn with this, whether it ended.
pub(super) async fn forget_ended(
    connection: &mut sqlx::AnyConnection,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
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
