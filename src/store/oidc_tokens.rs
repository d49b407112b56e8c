//! The tokens that an OpenID provider gave for a session: with the ID token AWS is asked, with the refresh token
//! the provider is asked for a newer one.
//!
//! Both are sealed, each bound to its session and column, and go with their session. They were verified before they
//! come here.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use zeroize::Zeroizing;

use super::newest::RENEWED_AT_MOST;
use super::purge::Removed;
use super::rows::{Record, millis, to_json};
use super::sealing::Place;
use super::{Store, StoreError};
use crate::model::{IdToken, OidcTokens, Secret, SessionId};

/// What the column `id_token` holds, sealed.
#[derive(Serialize, Deserialize)]
struct SealedIdToken<'a> {
    jwt: Cow<'a, str>,
    issuer: Cow<'a, str>,
    subject: Cow<'a, str>,
    audience: Cow<'a, str>,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// Whose tokens may be used at `$1`: those of a session that has not ended, and that a lease may draw on at least;
/// `$2` is when the oldest such one was signed in.
macro_rules! of_a_session_that_goes_on {
    () => {
        "EXISTS (SELECT 1 FROM sessions WHERE sessions.id = oidc_tokens.session
         AND sessions.ended_at IS NULL AND (sessions.expires_at > $1 OR sessions.signed_in_at > $2))"
    };
}
pub(super) use of_a_session_that_goes_on;

/// The tokens behind `$3` and up to `$4` that nothing can draw on at `$1` any more; `$2` is when the oldest session
/// was signed in that leases still may draw on.
macro_rules! useless {
    () => {
        "session > $3 AND session <= $4 AND EXISTS (SELECT 1 FROM sessions s
         WHERE s.id = oidc_tokens.session AND (s.ended_at IS NOT NULL
         OR (s.expires_at <= $1 AND (s.signed_in_at <= $2 OR EXISTS (SELECT 1 FROM sessions n
             WHERE n.user_name = s.user_name AND n.idp = s.idp AND n.state = 'confirmed'
             AND n.signed_in_at > s.signed_in_at)))))"
    };
}

impl Store {
    /// The session's tokens, while it goes on.
    pub async fn oidc_tokens(&self, session: &SessionId) -> Result<Option<OidcTokens>, StoreError> {
        let now = self.now();
        let row = sqlx::query(concat!(
            "SELECT session, id_token, refresh_token FROM oidc_tokens WHERE session = $3 AND ",
            of_a_session_that_goes_on!()
        ))
        .bind(millis(now))
        .bind(millis(now - RENEWED_AT_MOST))
        .bind(session.as_str())
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| self.read_tokens(&row)).transpose()
    }

    /// Removes some of the tokens of sessions that ended, and of those whose time is up and that leases draw on no
    /// more: a newer one of the person is there, or no entry renews for so long. They are worth stealing.
    ///
    /// No index finds them: they are looked through page by page of `page` rows, by readers, who keep nobody
    /// waiting; only a page that has some is written to.
    pub(super) async fn purge_oidc_tokens(&self, page: u32) -> Result<Removed, StoreError> {
        let mut after = String::new();
        while let Some(last) = self.end_of_page(&after, page).await? {
            if self.has_useless(&after, &last).await? {
                let rows = self.remove_useless(&after, &last).await?;
                return Ok(Removed {
                    rows,
                    more: rows > 0,
                });
            }
            after = last;
        }
        Ok(Removed::default())
    }

    /// The last key of the page behind `after`, if there is one.
    async fn end_of_page(&self, after: &str, page: u32) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT MAX(session) FROM (SELECT session FROM oidc_tokens WHERE session > $1
             ORDER BY session LIMIT $2) AS page",
        )
        .bind(after)
        .bind(i64::from(page))
        .fetch_one(self.reader())
        .await?)
    }

    async fn has_useless(&self, after: &str, last: &str) -> Result<bool, StoreError> {
        let now = self.now();
        let sql = concat!("SELECT 1 FROM oidc_tokens WHERE ", useless!(), " LIMIT 1");
        let found = sqlx::query(sql)
            .bind(millis(now))
            .bind(millis(now - RENEWED_AT_MOST))
            .bind(after)
            .bind(last)
            .fetch_optional(self.reader())
            .await?;
        Ok(found.is_some())
    }

    async fn remove_useless(&self, after: &str, last: &str) -> Result<u64, StoreError> {
        let Some(mut transaction) = self.begin_purge().await? else {
            return Ok(0);
        };
        let now = self.now();
        let done = sqlx::query(concat!("DELETE FROM oidc_tokens WHERE ", useless!()))
            .bind(millis(now))
            .bind(millis(now - RENEWED_AT_MOST))
            .bind(after)
            .bind(last)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }

    pub(super) async fn keep_tokens(
        &self,
        connection: &mut AnyConnection,
        session: &SessionId,
        tokens: &OidcTokens,
        refresh_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let refresh_token = tokens.refresh_token.as_ref();
        sqlx::query(
            "INSERT INTO oidc_tokens (session, id_token, refresh_token, refresh_at)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(session.as_str())
        .bind(self.seal_id_token(session, &tokens.id_token)?)
        .bind(
            refresh_token
                .map(|token| self.seal_refresh_token(session, token))
                .transpose()?,
        )
        .bind(millis(refresh_at))
        .execute(connection)
        .await?;
        Ok(())
    }

    pub(super) fn read_tokens(&self, row: &AnyRow) -> Result<OidcTokens, StoreError> {
        let record = Record::new(row, "oidc_tokens", "session");
        let session: SessionId = record.parsed("session")?;
        let plain = self
            .sealer()
            .open(id_token_of(&session), &record.bytes("id_token")?)?;
        let id_token: SealedIdToken<'_> = serde_json::from_slice(&plain)
            .map_err(|_| record.damaged("id_token", "does not parse"))?;
        let refresh_token = record.maybe_bytes("refresh_token")?;
        Ok(OidcTokens {
            id_token: id_token.into_id_token(),
            refresh_token: refresh_token
                .map(|sealed| {
                    let plain = self.sealer().open(refresh_token_of(&session), &sealed)?;
                    let text = std::str::from_utf8(&plain)
                        .map_err(|_| record.damaged("refresh_token", "is no text"))?;
                    Ok::<_, StoreError>(Secret::new(text.to_owned()))
                })
                .transpose()?,
        })
    }

    pub(super) fn seal_id_token(
        &self,
        session: &SessionId,
        token: &IdToken,
    ) -> Result<Vec<u8>, StoreError> {
        let plain = Zeroizing::new(to_json(&SealedIdToken {
            jwt: token.jwt.expose().into(),
            issuer: token.issuer.as_str().into(),
            subject: token.subject.as_str().into(),
            audience: token.audience.as_str().into(),
            issued_at: token.issued_at,
            expires_at: token.expires_at,
        })?);
        self.sealer().seal(id_token_of(session), plain.as_bytes())
    }

    pub(super) fn seal_refresh_token(
        &self,
        session: &SessionId,
        token: &Secret,
    ) -> Result<Vec<u8>, StoreError> {
        self.sealer()
            .seal(refresh_token_of(session), token.expose().as_bytes())
    }
}

impl SealedIdToken<'_> {
    fn into_id_token(self) -> IdToken {
        IdToken {
            jwt: Secret::new(self.jwt.into_owned()),
            issuer: self.issuer.into_owned(),
            subject: self.subject.into_owned(),
            audience: self.audience.into_owned(),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
        }
    }
}

fn id_token_of(session: &SessionId) -> Place<'_> {
    Place {
        table: "oidc_tokens",
        row: session.as_str(),
        column: "id_token",
    }
}

fn refresh_token_of(session: &SessionId) -> Place<'_> {
    Place {
        table: "oidc_tokens",
        row: session.as_str(),
        column: "refresh_token",
    }
}

#[cfg(test)]
#[path = "oidc_tokens_tests.rs"]
mod tests;
