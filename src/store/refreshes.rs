//! Refreshing an OpenID provider's tokens: which are due, who does it, and what comes of it.
//!
//! A refresh is its claimant's alone, by a statement that compares and sets, so that a refresh token which is rotated
//! is redeemed once over all replicas; no lock and no connection is held while the provider is asked. What it
//! answered is kept whole or not at all, with what it changes of the session.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::AnyConnection;

use super::newest::RENEWED_AT_MOST;
use super::oidc_tokens::of_a_session_that_goes_on;
use super::rows::{Record, last, millis};
use super::sessions::SealedSession;
use super::{Assignment, Store, StoreError};
use crate::model::{Attributes, IdToken, IdpName, Offers, OidcTokens, Secret, SessionId};

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
    /// What replaces the session's attributes of the same names; without a value, nothing does.
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

impl Store {
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
             WHERE session = $3 AND (claimed_until IS NULL OR claimed_until <= $1
                 OR claimed_until > $6) AND ",
            of_a_session_that_goes_on!(),
            " RETURNING session, id_token, refresh_token"
        ))
        .bind(millis(now))
        .bind(millis(now - RENEWED_AT_MOST))
        .bind(session.as_str())
        .bind(claimant)
        .bind(millis(now + for_how_long))
        // Nobody claims for that long: it is of before the clock was put back.
        .bind(millis(now + for_how_long * 2))
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

    /// The sessions of `idp` that are due for a refresh, longest due first: those that leases of their person draw on,
    /// with a refresh token that nobody is redeeming.
    pub async fn due_refreshes(
        &self,
        idp: &IdpName,
        limit: u32,
    ) -> Result<Vec<SessionId>, StoreError> {
        let now = self.now();
        let rows = sqlx::query(
            "SELECT s.id FROM oidc_tokens t JOIN sessions s ON s.id = t.session
             WHERE t.refresh_at <= $1 AND t.refresh_token IS NOT NULL
             AND (t.claimed_until IS NULL OR t.claimed_until <= $1)
             AND s.idp = $4 AND s.state = 'confirmed' AND s.ended_at IS NULL
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
        .bind(idp.as_str())
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| Record::new(row, "sessions", "id").parsed("id"))
            .collect()
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
        parts
            .attributes
            .retain(|name, values| !values.is_empty() || !refreshed.attributes.contains_key(name));
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
}

#[cfg(test)]
#[path = "refreshes_tests.rs"]
mod tests;
