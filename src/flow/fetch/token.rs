//! The relay's own token, for jobs that redeem it at STS themselves (`AWS_WEB_IDENTITY_TOKEN_FILE`).

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Fetch, FetchError, event_of, granted, request_of};
use crate::audit::{Event, EventKind};
use crate::model::{Lease, Method, RoleArn, Secret, TokenHash};
use crate::policy::Rules;

/// A token on its way out.
pub struct HandedOut {
    /// The token, which AWS takes for its role alone.
    pub token: Secret,
    /// The role.
    pub role: RoleArn,
    /// When it stops; what it was redeemed for by then goes on.
    pub expires_at: DateTime<Utc>,
}

impl Fetch {
    /// A token for the lease behind `token`, where the entry lets it leave rolegate.
    pub async fn web_identity_token(&self, token: &TokenHash) -> Result<HandedOut, FetchError> {
        let handed_out = self
            .until_settled(|rules, _| self.hand_out(token, rules))
            .await;
        self.refusal(token, handed_out).await
    }

    async fn hand_out(
        &self,
        token: &TokenHash,
        rules: Arc<Rules>,
    ) -> Result<HandedOut, FetchError> {
        let revocations = self.revocations.of(token);
        let lease = self.live_lease(token).await?;
        let live = self.newest(&lease.person, &lease.role).await?;
        let request = request_of(&lease, self.parts.clock.now());
        let grant = granted(&live.subject, &request, &rules)?;
        if grant.method() != Method::Relay || !grant.may_hand_out_token() {
            return Err(FetchError::TokenStays(lease.role.to_string()));
        }
        let made = self.parts.issuer.relay_token(&grant).await?;
        // A revocation must know of it, since nothing here knows what it is redeemed for.
        self.parts.store.token_leaves(&lease.id).await?;
        self.record_token(&lease).await?;
        self.still_lives(token, revocations).await?;
        Ok(HandedOut {
            token: made.jwt,
            role: lease.role.clone(),
            expires_at: made.expires_at,
        })
    }

    /// Audits the first token that a lease is given; the next ones follow every few minutes.
    async fn record_token(&self, lease: &Lease) -> Result<(), FetchError> {
        if self.recorded.has(&lease.id, "token", "") {
            return Ok(());
        }
        let event = Event {
            method: Some(Method::Relay),
            ..event_of(lease, EventKind::TokenHandedOut)
        };
        self.parts.recorder.record(event).await?;
        self.recorded.keep(&lease.id, "token", "");
        Ok(())
    }
}
