//! The session that a person's leases draw on, which may go on for them after it ended for the person.

use chrono::TimeDelta;

use super::rows::{Record, millis};
use super::sessions::live_columns;
use super::{LiveSession, Store, StoreError};
use crate::model::{IdpName, Person, SessionId, UserName};

/// No entry renews for longer after a sign-in.
pub(super) const RENEWED_AT_MOST: TimeDelta = TimeDelta::days(30);

impl Store {
    /// The person's newest confirmed session: what leases draw on. It may have ended for the person, when only
    /// what an entry renews for longer goes on; whether it does is for `policy` to say. Where it was ended for all,
    /// there is none until the next sign-in: an older one would bring back what the newer took away.
    pub async fn newest_session(&self, person: &Person) -> Result<Option<LiveSession>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT ",
            live_columns!(),
            ", ended_at FROM sessions
                 WHERE user_name = $1 AND idp = $2 AND state = 'confirmed'
                 AND (expires_at > $3 OR signed_in_at > $4)
                 ORDER BY signed_in_at DESC, id DESC LIMIT 1"
        ))
        .bind(person.user.as_str())
        .bind(person.idp.as_str())
        .bind(millis(self.now()))
        .bind(millis(self.now() - RENEWED_AT_MOST))
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let ended = Record::new(&row, "sessions", "id").maybe_time("ended_at")?;
        match ended {
            Some(_) => Ok(None),
            None => self.read_live(&row).map(Some),
        }
    }

    /// The session `id` as leases draw on it: it may have ended for the person, not for all.
    pub async fn session_of_leases(
        &self,
        id: &SessionId,
    ) -> Result<Option<LiveSession>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT ",
            live_columns!(),
            " FROM sessions WHERE id = $1 AND state = 'confirmed' AND ended_at IS NULL
                 AND (expires_at > $2 OR signed_in_at > $3)"
        ))
        .bind(id.as_str())
        .bind(millis(self.now()))
        .bind(millis(self.now() - RENEWED_AT_MOST))
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| self.read_live(&row)).transpose()
    }

    /// The IdPs from which a user of this name has a confirmed session that leases may draw on.
    pub async fn idps_of_user(&self, user: &UserName) -> Result<Vec<IdpName>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT idp FROM sessions
             WHERE user_name = $1 AND state = 'confirmed' AND ended_at IS NULL
             AND (expires_at > $2 OR signed_in_at > $3)
             ORDER BY idp",
        )
        .bind(user.as_str())
        .bind(millis(self.now()))
        .bind(millis(self.now() - RENEWED_AT_MOST))
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| Record::new(row, "sessions", "idp").parsed("idp"))
            .collect()
    }
}
