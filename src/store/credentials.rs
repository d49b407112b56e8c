//! Credentials by issue key, and the claim that elects who asks STS for them.
//!
//! A claim is taken by one statement that compares and sets. Key, secret, token and expiry are sealed
//! together, bound to issue key, session and role; the clear columns are for finding rows.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use zeroize::Zeroizing;

use super::rows::{Record, last, millis, to_json};
use super::sealing::Place;
use super::{Store, StoreError};
use crate::model::{Credentials, IssueKey, Method, Person, RoleArn, Secret, SessionId};

/// A claim that its claimant has not kept for so long is its claimant's no more: a process that was killed while it
/// asked must not keep others from asking.
const CLAIM_LIVES: TimeDelta = TimeDelta::seconds(8);
/// A claim, or a failure, of so much later than now is of before the clock was put back, and counts no more. Clocks
/// of replicas differ by less.
const AHEAD: TimeDelta = TimeDelta::seconds(60);
/// A failure keeps others from asking again for so long.
const FAILURE_REMEMBERED: TimeDelta = TimeDelta::seconds(2);

/// What came of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The caller asks STS, and puts what comes of it.
    Won,
    /// There are credentials already.
    Issued(Credentials),
    /// Another is asking.
    Busy,
    /// Another has just failed.
    Failed {
        /// The reason, as it was put.
        reason: String,
        /// When.
        at: DateTime<Utc>,
    },
}

/// What is asked for with a claim.
#[derive(Debug, Clone, Copy)]
pub struct ClaimOrder<'a> {
    /// What the credentials are shared by.
    pub key: &'a IssueKey,
    /// Whose session.
    pub session: &'a SessionId,
    /// The role.
    pub role: &'a RoleArn,
    /// How they are had.
    pub method: Method,
    /// What they are the same kind as, over all sessions of a person.
    pub kind: &'a str,
    /// The caller alone.
    pub claimant: &'a str,
    /// When the credentials end that new ones shall replace, where they have not ended yet.
    pub instead_of: Option<DateTime<Utc>>,
}

/// What is known of one issue key of a session.
#[derive(Debug)]
pub struct KnownCredentials {
    /// The role.
    pub role: RoleArn,
    /// What they are shared by.
    pub key: IssueKey,
    /// How they are had.
    pub method: Method,
    /// The credentials, or why there are none.
    pub state: CredentialState,
}

/// What is known under an issue key.
#[derive(Debug)]
pub enum CredentialState {
    /// Unexpired credentials.
    Issued(Credentials),
    /// The last attempt's reason, as it was put.
    Failed(String),
    /// Somebody is asking STS.
    Busy,
}

/// What the column `sealed` holds, sealed.
#[derive(Serialize, Deserialize)]
struct SealedCredentials<'a> {
    access_key_id: Cow<'a, str>,
    secret_access_key: Cow<'a, str>,
    session_token: Cow<'a, str>,
    expires_at: DateTime<Utc>,
}

impl Store {
    /// Tries to become the one who asks STS.
    pub async fn claim(&self, order: &ClaimOrder<'_>) -> Result<Claim, StoreError> {
        // A loser that finds neither claim, credentials nor failure came just when they went: again.
        for _ in 0..3 {
            if self.try_claim(order).await? {
                return Ok(Claim::Won);
            }
            if let Some(claim) = self.lost_to(order).await? {
                return Ok(claim);
            }
        }
        Ok(Claim::Busy)
    }

    /// Says that the claimant is still asking, if the claim is still the caller's; to be called every two seconds or
    /// so while STS is asked.
    pub async fn keep_claim(&self, key: &IssueKey, claimant: &str) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE credentials SET claimed_at = $1 WHERE issue_key = $2 AND claimant = $3",
        )
        .bind(millis(self.now()))
        .bind(key.as_str())
        .bind(claimant)
        .execute(self.writer())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Keeps what STS issued, if the claim is still the caller's and the session goes on; says whether.
    pub async fn put_credentials(
        &self,
        key: &IssueKey,
        claimant: &str,
        credentials: &Credentials,
    ) -> Result<bool, StoreError> {
        // In turn with whoever ends sessions: a claim of the last moment would outlive what it was made for.
        let mut transaction = self.begin().await?;
        let Some(row) =
            sqlx::query("SELECT issue_key, session, role FROM credentials WHERE issue_key = $1")
                .bind(key.as_str())
                .fetch_optional(&mut *transaction)
                .await?
        else {
            return Ok(false);
        };
        let blob = self.seal_credentials(&bound_to(&row)?, credentials)?;
        let done = sqlx::query(
            "UPDATE credentials SET claimant = NULL, claimed_at = NULL, failure = NULL, failed_at = NULL,
             access_key_id = $1, sealed = $2, issued_at = $3, expires_at = $4
             WHERE issue_key = $5 AND claimant = $6
             AND EXISTS (SELECT 1 FROM sessions WHERE id = credentials.session AND ended_at IS NULL)",
        )
        .bind(credentials.access_key_id.as_str())
        .bind(blob)
        .bind(millis(credentials.issued_at))
        .bind(millis(credentials.expires_at))
        .bind(key.as_str())
        .bind(claimant)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Keeps why STS issued nothing, if the claim is still the caller's; says whether.
    pub async fn put_failure(
        &self,
        key: &IssueKey,
        claimant: &str,
        failure: &str,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE credentials SET claimant = NULL, claimed_at = NULL, failure = $1, failed_at = $2
             WHERE issue_key = $3 AND claimant = $4",
        )
        .bind(failure)
        .bind(millis(self.now()))
        .bind(key.as_str())
        .bind(claimant)
        .execute(self.writer())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// What is known under `key` now.
    pub async fn credentials(&self, key: &IssueKey) -> Result<Option<CredentialState>, StoreError> {
        match self.row_of(key).await? {
            Some(row) => self.read_state(&row),
            None => Ok(None),
        }
    }

    /// What is known of every role of a session.
    pub async fn credentials_of(
        &self,
        session: &SessionId,
    ) -> Result<Vec<KnownCredentials>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM credentials WHERE session = $1 ORDER BY role, issue_key")
                .bind(session.as_str())
                .fetch_all(self.reader())
                .await?;
        let mut found = Vec::new();
        for row in &rows {
            if let Some(state) = self.read_state(row)? {
                let record = Record::new(row, "credentials", "issue_key");
                found.push(KnownCredentials {
                    role: record.parsed("role")?,
                    key: IssueKey::from_stored(record.text("issue_key")?),
                    method: record.parsed("method")?,
                    state,
                });
            }
        }
        Ok(found)
    }

    /// The newest unexpired credentials of a session's role that came of its assertion, under whatever key.
    pub async fn newest_issued(
        &self,
        session: &SessionId,
        role: &RoleArn,
    ) -> Result<Option<Credentials>, StoreError> {
        let row = sqlx::query(
            "SELECT c.* FROM credentials c JOIN sessions s ON s.id = c.session
             WHERE c.session = $1 AND c.role = $2 AND c.expires_at > $3 AND s.ended_at IS NULL
             AND c.method = 'saml'
             ORDER BY c.issued_at DESC, c.expires_at DESC LIMIT 1",
        )
        .bind(session.as_str())
        .bind(role.as_str())
        .bind(millis(self.now()))
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| self.read_credentials(&row)).transpose()
    }

    /// The newest unexpired credentials of a kind that a person has, over all sessions that were not ended.
    pub async fn last_issued_for(
        &self,
        person: &Person,
        kind: &str,
    ) -> Result<Option<Credentials>, StoreError> {
        let row = sqlx::query(
            "SELECT c.* FROM credentials c JOIN sessions s ON s.id = c.session
             WHERE s.user_name = $1 AND s.idp = $2 AND c.kind = $3 AND c.expires_at > $4
             AND s.ended_at IS NULL AND s.state = 'confirmed'
             ORDER BY c.issued_at DESC, c.expires_at DESC LIMIT 1",
        )
        .bind(person.user.as_str())
        .bind(person.idp.as_str())
        .bind(kind)
        .bind(millis(self.now()))
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| self.read_credentials(&row)).transpose()
    }

    async fn try_claim(&self, order: &ClaimOrder<'_>) -> Result<bool, StoreError> {
        let now = self.now();
        // Credentials that live stand in the way, unless they are the very ones to be replaced.
        let replaced = order.instead_of.map_or(now, |end| end.max(now));
        let rows = sqlx::query(
            "INSERT INTO credentials (issue_key, session, role, method, kind, claimant, claimed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (issue_key) DO UPDATE
             SET claimant = excluded.claimant, claimed_at = excluded.claimed_at
             WHERE (credentials.expires_at IS NULL OR credentials.expires_at <= $8)
             AND (credentials.claimant IS NULL OR credentials.claimed_at <= $9
                  OR credentials.claimed_at > $11)
             AND (credentials.failed_at IS NULL OR credentials.failed_at <= $10
                  OR credentials.failed_at > $11)
             RETURNING issue_key",
        )
        .bind(order.key.as_str())
        .bind(order.session.as_str())
        .bind(order.role.as_str())
        .bind(order.method.as_str())
        .bind(order.kind)
        .bind(order.claimant)
        .bind(millis(now))
        .bind(millis(replaced))
        .bind(millis(now - CLAIM_LIVES))
        .bind(millis(now - FAILURE_REMEMBERED))
        .bind(millis(now + AHEAD))
        .fetch_all(self.writer())
        .await?;
        Ok(last(rows).is_some())
    }

    /// What stood in the way of a claim, if it still does.
    async fn lost_to(&self, order: &ClaimOrder<'_>) -> Result<Option<Claim>, StoreError> {
        let Some(row) = self.row_of(order.key).await? else {
            return Ok(None);
        };
        let record = Record::new(&row, "credentials", "issue_key");
        let state = match self.read_state(&row)? {
            Some(CredentialState::Issued(found))
                if order.instead_of.is_some_and(|end| found.expires_at <= end) =>
            {
                self.read_attempt(&record)?
            }
            state => state,
        };
        Ok(match state {
            Some(CredentialState::Issued(credentials)) => Some(Claim::Issued(credentials)),
            Some(CredentialState::Busy) => Some(Claim::Busy),
            Some(CredentialState::Failed(reason)) => record
                .maybe_time("failed_at")?
                .map(|at| Claim::Failed { reason, at }),
            None => None,
        })
    }

    async fn row_of(&self, key: &IssueKey) -> Result<Option<AnyRow>, StoreError> {
        Ok(
            sqlx::query("SELECT * FROM credentials WHERE issue_key = $1")
                .bind(key.as_str())
                .fetch_optional(self.reader())
                .await?,
        )
    }

    /// The state of a row: live credentials first, then who is asking, then why there are none.
    fn read_state(&self, row: &AnyRow) -> Result<Option<CredentialState>, StoreError> {
        let record = Record::new(row, "credentials", "issue_key");
        let now = self.now();
        if record
            .maybe_time("expires_at")?
            .is_some_and(|end| now < end)
        {
            return Ok(Some(CredentialState::Issued(self.read_credentials(row)?)));
        }
        self.read_attempt(&record)
    }

    /// Who is asking, else why there are none.
    fn read_attempt(&self, record: &Record<'_>) -> Result<Option<CredentialState>, StoreError> {
        let now = self.now();
        let claimed = record.maybe_time("claimed_at")?;
        if claimed.is_some_and(|at| now < at + CLAIM_LIVES && at <= now + AHEAD) {
            return Ok(Some(CredentialState::Busy));
        }
        Ok(record.maybe_text("failure")?.map(CredentialState::Failed))
    }

    fn read_credentials(&self, row: &AnyRow) -> Result<Credentials, StoreError> {
        let record = Record::new(row, "credentials", "issue_key");
        let blob = record.bytes("sealed")?;
        let plain = self.sealer().open(place(&bound_to(row)?), &blob)?;
        let sealed: SealedCredentials = serde_json::from_slice(&plain)
            .map_err(|_| record.damaged("sealed", "does not parse"))?;
        if millis(sealed.expires_at) != record.number("expires_at")? {
            return Err(record.damaged("expires_at", "is not the time that was sealed"));
        }
        Ok(Credentials {
            access_key_id: sealed.access_key_id.into_owned(),
            secret_access_key: Secret::new(sealed.secret_access_key.into_owned()),
            session_token: Secret::new(sealed.session_token.into_owned()),
            issued_at: record.time("issued_at")?,
            expires_at: sealed.expires_at,
        })
    }

    fn seal_credentials(
        &self,
        row: &str,
        credentials: &Credentials,
    ) -> Result<Vec<u8>, StoreError> {
        let plain = Zeroizing::new(to_json(&SealedCredentials {
            access_key_id: credentials.access_key_id.as_str().into(),
            secret_access_key: credentials.secret_access_key.expose().into(),
            session_token: credentials.session_token.expose().into(),
            expires_at: credentials.expires_at,
        })?);
        self.sealer().seal(place(row), plain.as_bytes())
    }
}

/// What a row's credentials are bound to, its key first.
fn bound_to(row: &AnyRow) -> Result<String, StoreError> {
    let record = Record::new(row, "credentials", "issue_key");
    Ok(format!(
        "{}\n{}\n{}",
        record.text("issue_key")?,
        record.text("session")?,
        record.text("role")?
    ))
}

fn place(row: &str) -> Place<'_> {
    Place {
        table: "credentials",
        row,
        column: "sealed",
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
