//! The tokens that an OpenID provider gave for a session: by the ID token AWS is asked, by the refresh token the
//! provider is asked for a newer one.
//!
//! Both are sealed, each bound to its session and column. A refresh is its claimant's alone, by a statement that
//! compares and sets, so that a refresh token which is rotated is redeemed once over all replicas; no lock and no
//! connection is held while the provider is asked. Tokens go with their session. What a provider answered was
//! verified before it comes here.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use std::borrow::Cow;
use zeroize::Zeroizing;

use super::newest::RENEWED_AT_MOST;
use super::rows::{Record, last, millis, to_json};
use super::sealing::Place;
use super::sessions::SealedSession;
use super::{Assignment, Store, StoreError};
use crate::model::{Attributes, IdToken, Offers, OidcTokens, Secret, SessionId};

/// What came of a claim to refresh.
#[derive(Debug)]
pub enum RefreshClaim {
    /// The caller asks the provider, and puts what comes of it or releases the claim.
    Won(OidcTokens),
    /// Another is asking.
    Busy,
    /// There are no tokens (any more): the session ended, or never had any.
    Gone,
}

/// What a provider's verified answer to a refresh brought.
#[derive(Debug)]
pub struct RefreshedTokens {
    /// The newer ID token; `None` leaves the old one.
    pub id_token: Option<IdToken>,
    /// The refresh token that replaces the old one; `None` leaves that.
    pub refresh_token: Option<Secret>,
    /// What replaces the session's offers; `None` leaves them.
    pub offers: Option<Offers>,
    /// What replaces the session's attributes of the same names.
    pub attributes: Attributes,
    /// When the next refresh is due.
    pub refresh_at: DateTime<Utc>,
}

/// What a refresh changed of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutRefreshed {
    /// The assignment that was deleted, since the provider now names roles.
    pub overwritten: Option<Assignment>,
    /// Whether the provider names other roles than before.
    pub offers_changed: bool,
}

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

    /// Tries to become the one who refreshes the session's tokens, for `for_how_long` at most. `claimant` is
    /// this attempt's alone: whoever has the same name may put what comes of it.
    pub async fn claim_refresh(
        &self,
        session: &SessionId,
        claimant: &str,
        for_how_long: TimeDelta,
    ) -> Result<RefreshClaim, StoreError> {
        let now = self.now();
        let rows = sqlx::query(concat!(
            "UPDATE oidc_tokens SET claimant = $4, claimed_until = $5
             WHERE session = $3 AND (claimed_until IS NULL OR claimed_until <= $1) AND ",
            of_a_session_that_goes_on!(),
            " RETURNING session, id_token, refresh_token"
        ))
        .bind(millis(now))
        .bind(millis(now - RENEWED_AT_MOST))
        .bind(session.as_str())
        .bind(claimant)
        .bind(millis(now + for_how_long))
        .fetch_all(self.writer())
        .await?;
        if let Some(row) = last(rows) {
            return Ok(RefreshClaim::Won(self.read_tokens(&row)?));
        }
        Ok(match self.oidc_tokens(session).await? {
            Some(_) => RefreshClaim::Busy,
            None => RefreshClaim::Gone,
        })
    }

    /// Keeps what a refresh brought, all of it or nothing, and ends the claim. `None`: the session ended, or the
    /// claim is another's by now, and nothing was kept. A claim whose time is up and that nobody took over still
    /// counts: what the provider rotated would be lost without.
    pub async fn put_refreshed(
        &self,
        session: &SessionId,
        claimant: &str,
        refreshed: &RefreshedTokens,
    ) -> Result<Option<PutRefreshed>, StoreError> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "SELECT id, idp, user_name, parts FROM sessions WHERE id = $1 AND ended_at IS NULL
             AND EXISTS (SELECT 1 FROM oidc_tokens WHERE session = $1 AND claimant = $2)",
        )
        .bind(session.as_str())
        .bind(claimant)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let record = Record::new(&row, "sessions", "id");
        let sealed = self.unseal_session(session, &record)?;
        let put = self
            .change_session(&mut transaction, session, sealed, refreshed)
            .await?;
        if !self
            .change_tokens(&mut transaction, session, claimant, refreshed)
            .await?
        {
            return Ok(None);
        }
        transaction.commit().await?;
        Ok(Some(put))
    }

    /// Ends the claim without anything to keep, if it is still the caller's; the next refresh is due at
    /// `refresh_at`.
    pub async fn release_refresh(
        &self,
        session: &SessionId,
        claimant: &str,
        refresh_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE oidc_tokens SET claimant = NULL, claimed_until = NULL, refresh_at = $1
             WHERE session = $2 AND claimant = $3",
        )
        .bind(millis(refresh_at))
        .bind(session.as_str())
        .bind(claimant)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// The sessions that are due for a refresh, longest due first: those that leases of their person draw on,
    /// with a refresh token that nobody is redeeming.
    pub async fn due_refreshes(&self, limit: u32) -> Result<Vec<SessionId>, StoreError> {
        let now = self.now();
        let rows = sqlx::query(
            "SELECT s.id FROM oidc_tokens t JOIN sessions s ON s.id = t.session
             WHERE t.refresh_at <= $1 AND t.refresh_token IS NOT NULL
             AND (t.claimed_until IS NULL OR t.claimed_until <= $1)
             AND s.state = 'confirmed' AND s.ended_at IS NULL
             AND (s.expires_at > $1 OR s.signed_in_at > $2)
             AND EXISTS (SELECT 1 FROM leases l
                 WHERE l.user_name = s.user_name AND l.idp = s.idp
                 AND l.revoked_at IS NULL AND l.expires_at > $1)
             AND NOT EXISTS (SELECT 1 FROM sessions n
                 WHERE n.user_name = s.user_name AND n.idp = s.idp AND n.state = 'confirmed'
                 AND (n.expires_at > $1 OR n.signed_in_at > $2)
                 AND (n.signed_in_at > s.signed_in_at
                      OR (n.signed_in_at = s.signed_in_at AND n.id > s.id)))
             ORDER BY t.refresh_at, s.id LIMIT $3",
        )
        .bind(millis(now))
        .bind(millis(now - RENEWED_AT_MOST))
        .bind(i64::from(limit))
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| Record::new(row, "sessions", "id").parsed("id"))
            .collect()
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

    /// Seals the session anew where the provider says something else than before, and tells gateways.
    async fn change_session(
        &self,
        connection: &mut AnyConnection,
        session: &SessionId,
        mut sealed: SealedSession,
        refreshed: &RefreshedTokens,
    ) -> Result<PutRefreshed, StoreError> {
        let parts = &mut sealed.parts;
        let before = (parts.offers.clone(), parts.refused_offers.clone());
        let attributes = parts.attributes.clone();
        parts.attributes.extend(refreshed.attributes.clone());
        let mut overwritten = None;
        if let Some(offers) = &refreshed.offers {
            parts.offers.clone_from(&offers.offers);
            parts.refused_offers.clone_from(&offers.refused);
            overwritten = self.overwrite_assignment(connection, parts).await?;
        }
        let offers_changed = before.0 != parts.offers || before.1 != parts.refused_offers;
        if offers_changed || attributes != parts.attributes {
            self.announce(connection, &parts.person).await?;
            sqlx::query("UPDATE sessions SET parts = $1 WHERE id = $2 AND ended_at IS NULL")
                .bind(self.seal_session(session, &sealed)?)
                .bind(session.as_str())
                .execute(connection)
                .await?;
        }
        Ok(PutRefreshed {
            overwritten,
            offers_changed,
        })
    }

    /// Says whether the claim was still the caller's.
    async fn change_tokens(
        &self,
        connection: &mut AnyConnection,
        session: &SessionId,
        claimant: &str,
        refreshed: &RefreshedTokens,
    ) -> Result<bool, StoreError> {
        let id_token = refreshed.id_token.as_ref();
        let refresh_token = refreshed.refresh_token.as_ref();
        let done = sqlx::query(
            "UPDATE oidc_tokens SET claimant = NULL, claimed_until = NULL, refresh_at = $1,
             id_token = COALESCE($2, id_token), refresh_token = COALESCE($3, refresh_token)
             WHERE session = $4 AND claimant = $5",
        )
        .bind(millis(refreshed.refresh_at))
        .bind(
            id_token
                .map(|token| self.seal_id_token(session, token))
                .transpose()?,
        )
        .bind(
            refresh_token
                .map(|token| self.seal_refresh_token(session, token))
                .transpose()?,
        )
        .bind(session.as_str())
        .bind(claimant)
        .execute(connection)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    fn read_tokens(&self, row: &AnyRow) -> Result<OidcTokens, StoreError> {
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

    fn seal_id_token(&self, session: &SessionId, token: &IdToken) -> Result<Vec<u8>, StoreError> {
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

    fn seal_refresh_token(
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
