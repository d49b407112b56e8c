//! Sessions: what a sign-in leaves. A cookie or a bearer token is only a way onto one.
//!
//! Person, attributes and offers are sealed together with the time of the sign-in; the clear columns
//! are for finding rows, and a row whose clear person is not the sealed one is damage. One of the two
//! places that may make a [`Subject`].

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::rows::{Record, last, millis};
use super::sealing::Place;
use super::single_logout::name_id_of;
use super::{Assignment, Fresh, Store, StoreError};
use crate::model::{OidcTokens, Person, SessionId, SignIn, Subject, SubjectParts, TokenHash};

/// A session that nobody confirmed is dropped after this.
pub(super) const PENDING_LIVES: TimeDelta = TimeDelta::minutes(5);

/// Whether the person in front of the browser said that it is them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// An IdP-initiated sign-in before the confirm page's button; no lease draws on it.
    Pending,
    /// In use.
    Confirmed,
}

impl SessionState {
    /// The name in lists and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
        }
    }

    pub(super) fn read(record: &Record<'_>) -> Result<Self, StoreError> {
        match record.text("state")?.as_str() {
            "pending" => Ok(Self::Pending),
            "confirmed" => Ok(Self::Confirmed),
            _ => Err(record.damaged("state", "is neither pending nor confirmed")),
        }
    }
}

/// How a session is to be opened.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its identifier.
    pub id: SessionId,
    /// Pending or confirmed.
    pub state: SessionState,
    /// The hash of the cookie's or bearer token, if one is given out at once.
    pub token: Option<TokenHash>,
    /// The hash of the one-time token that confirms a pending session.
    pub confirm: Option<[u8; 32]>,
    /// When it stops.
    pub expires_at: DateTime<Utc>,
}

/// A session that may be used now. No Clone: it holds a [`Subject`].
#[derive(Debug)]
pub struct LiveSession {
    /// Who, and what the sign-in said.
    pub subject: Arc<Subject>,
    /// Pending or confirmed.
    pub state: SessionState,
    /// When it stops.
    pub expires_at: DateTime<Utc>,
}

/// A session that was just opened.
#[derive(Debug)]
pub struct Opened<P> {
    /// The session, with what is assigned to the person where the sign-in named no role.
    pub live: LiveSession,
    /// What the methods that forward the sign-in need.
    pub proof: P,
    /// The assignment that the sign-in deleted by naming a role, for the audit.
    pub overwritten: Option<Assignment>,
}

/// What the column `parts` holds, sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct SealedSession {
    signed_in_at: DateTime<Utc>,
    /// Nothing in rows from before this was sealed.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
    pub(super) parts: SubjectParts,
}

/// The columns that [`Store::read_live`] reads; the assignment's by the statement that reads the session, so that
/// the two belong together.
macro_rules! live_columns {
    () => {
        "id, idp, user_name, state, parts, expires_at,
         (SELECT sealed FROM assignments
          WHERE assignments.user_name = sessions.user_name AND assignments.idp = sessions.idp) AS assignment"
    };
}
pub(super) use live_columns;

/// What a [`Subject`] is read from, with the conditions of a live session at `$2`, and for a pending
/// one signed in after `$3`.
macro_rules! live {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            live_columns!(),
            " FROM sessions WHERE ",
            $condition,
            " AND ended_at IS NULL AND expires_at > $2 AND (state = 'confirmed' OR signed_in_at > $3)"
        )
    };
}

impl Store {
    /// Opens a session for a fresh sign-in, and hands on what the methods that forward it need. It ends
    /// when the IdP says that its own does, if that is before `open` says. A sign-in that names a role deletes
    /// the person's assignment with it.
    pub async fn open_session<T: SignIn>(
        &self,
        fresh: Fresh<T>,
        open: NewSession,
    ) -> Result<Opened<T::Proof>, StoreError> {
        let mut transaction = self.begin().await?;
        let opened = self.open_within(&mut transaction, fresh, open).await?;
        transaction.commit().await?;
        Ok(opened)
    }

    /// Opens a session as [`Store::open_session`] does, and keeps the provider's tokens in the same transaction;
    /// they are due for a refresh at `refresh_at`.
    pub async fn open_session_with_tokens<T: SignIn<Proof = OidcTokens>>(
        &self,
        fresh: Fresh<T>,
        open: NewSession,
        refresh_at: DateTime<Utc>,
    ) -> Result<Opened<OidcTokens>, StoreError> {
        let mut transaction = self.begin().await?;
        let opened = self.open_within(&mut transaction, fresh, open).await?;
        let session = opened.live.subject.session();
        self.keep_tokens(&mut transaction, session, &opened.proof, refresh_at)
            .await?;
        transaction.commit().await?;
        Ok(opened)
    }

    async fn open_within<T: SignIn>(
        &self,
        connection: &mut AnyConnection,
        fresh: Fresh<T>,
        open: NewSession,
    ) -> Result<Opened<T::Proof>, StoreError> {
        let signed_in_at = fresh.accepted_at();
        let (parts, proof) = fresh.into_verified().into_parts();
        let end = parts.not_after.unwrap_or(open.expires_at);
        let expires_at = end.min(open.expires_at);
        let mut sealed = SealedSession {
            signed_in_at,
            expires_at: Some(expires_at),
            parts,
        };
        self.insert_session(connection, &open, &sealed).await?;
        let parts = &mut sealed.parts;
        let overwritten = self.overwrite_assignment(connection, parts).await?;
        self.assign_now(connection, parts).await?;
        let subject = Subject::vouch(open.id, signed_in_at, expires_at, sealed.parts);
        let live = LiveSession {
            subject: Arc::new(subject),
            state: open.state,
            expires_at,
        };
        Ok(Opened {
            live,
            proof,
            overwritten,
        })
    }

    async fn insert_session(
        &self,
        connection: &mut AnyConnection,
        open: &NewSession,
        sealed: &SealedSession,
    ) -> Result<(), StoreError> {
        let person = &sealed.parts.person;
        sqlx::query(
            "INSERT INTO sessions
             (id, idp, user_name, state, token, confirm, parts, signed_in_at, expires_at, name_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(open.id.as_str())
        .bind(person.idp.as_str())
        .bind(person.user.as_str())
        .bind(open.state.as_str())
        .bind(open.token.map(|token| token.as_bytes().to_vec()))
        .bind(open.confirm.map(|confirm| confirm.to_vec()))
        .bind(self.seal_session(&open.id, sealed)?)
        .bind(millis(sealed.signed_in_at))
        .bind(millis(sealed.expires_at.unwrap_or(open.expires_at)))
        .bind(name_id_of(&sealed.parts))
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Confirms the pending session of the one-time token, once, within five minutes of the sign-in,
    /// and gives it `token`.
    pub async fn confirm_session(
        &self,
        confirm: &[u8; 32],
        token: TokenHash,
    ) -> Result<Option<SessionId>, StoreError> {
        let now = self.now();
        let rows = sqlx::query(
            "UPDATE sessions SET state = 'confirmed', token = $1, confirm = NULL
             WHERE confirm = $2 AND state = 'pending' AND ended_at IS NULL
             AND expires_at > $3 AND signed_in_at > $4
             RETURNING id",
        )
        .bind(token.as_bytes())
        .bind(confirm.to_vec())
        .bind(millis(now))
        .bind(millis(now - PENDING_LIVES))
        .fetch_all(self.writer())
        .await?;
        last(rows)
            .map(|row| Record::new(&row, "sessions", "id").parsed("id"))
            .transpose()
    }

    /// Confirms a session that was opened without a confirm page, also one that was before; says whether it still
    /// goes on.
    pub async fn confirm_opened(&self, id: &SessionId) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE sessions SET state = 'confirmed'
             WHERE id = $1 AND ended_at IS NULL AND confirm IS NULL",
        )
        .bind(id.as_str())
        .execute(self.writer())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The session behind a cookie or bearer token: its own, or a command line's.
    pub async fn subject_by_token(
        &self,
        token: &TokenHash,
    ) -> Result<Option<LiveSession>, StoreError> {
        let either =
            live!("(token = $1 OR id = (SELECT session FROM session_tokens WHERE hash = $1))");
        self.live(either, token.as_bytes().to_vec()).await
    }

    /// The pending session behind a one-time confirm token.
    pub async fn subject_by_confirm(
        &self,
        confirm: &[u8; 32],
    ) -> Result<Option<LiveSession>, StoreError> {
        self.live(
            live!("state = 'pending' AND confirm = $1"),
            confirm.to_vec(),
        )
        .await
    }

    /// The session `id`, if it may be used now.
    pub async fn session(&self, id: &SessionId) -> Result<Option<LiveSession>, StoreError> {
        self.live(live!("id = $1"), id.as_str().to_owned()).await
    }

    async fn live<'v, V>(
        &self,
        sql: &'static str,
        value: V,
    ) -> Result<Option<LiveSession>, StoreError>
    where
        V: sqlx::Encode<'v, sqlx::Any> + sqlx::Type<sqlx::Any>,
    {
        let now = self.now();
        let row = sqlx::query(sql)
            .bind(value)
            .bind(millis(now))
            .bind(millis(now - PENDING_LIVES))
            .fetch_optional(self.reader())
            .await?;
        row.map(|row| self.read_live(&row)).transpose()
    }

    pub(super) fn read_live(&self, row: &AnyRow) -> Result<LiveSession, StoreError> {
        let record = Record::new(row, "sessions", "id");
        let id: SessionId = record.parsed("id")?;
        let mut sealed = self.unseal_session(&id, &record)?;
        let expires_at = record.time("expires_at")?;
        if sealed
            .expires_at
            .is_some_and(|end| millis(end) != millis(expires_at))
        {
            return Err(record.damaged("expires_at", "is not the time that was sealed"));
        }
        let assignment = record.maybe_bytes("assignment")?;
        self.assign(&mut sealed.parts, assignment.as_deref())?;
        let at = sealed.signed_in_at;
        Ok(LiveSession {
            subject: Arc::new(Subject::vouch(id, at, expires_at, sealed.parts)),
            state: SessionState::read(&record)?,
            expires_at,
        })
    }

    /// What was sealed in a row with its `parts`, `idp` and `user_name`; no assignment is in it.
    pub(super) fn unseal_session(
        &self,
        id: &SessionId,
        record: &Record<'_>,
    ) -> Result<SealedSession, StoreError> {
        let plain = self.sealer().open(parts_of(id), &record.bytes("parts")?)?;
        let sealed: SealedSession = serde_json::from_slice(&plain)
            .map_err(|_| record.damaged("parts", "does not parse"))?;
        if sealed.parts.person != read_person(record)? {
            return Err(record.damaged("user_name", "is not the person that was sealed"));
        }
        Ok(sealed)
    }

    pub(super) fn seal_session(
        &self,
        id: &SessionId,
        session: &SealedSession,
    ) -> Result<Vec<u8>, StoreError> {
        let plain = super::rows::to_json(session)?;
        self.sealer().seal(parts_of(id), plain.as_bytes())
    }
}

fn parts_of(id: &SessionId) -> Place<'_> {
    Place {
        table: "sessions",
        row: id.as_str(),
        column: "parts",
    }
}

/// The person that a row's clear columns name.
pub(super) fn read_person(record: &Record<'_>) -> Result<Person, StoreError> {
    Ok(Person {
        idp: record.parsed("idp")?,
        user: record.parsed("user_name")?,
    })
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
