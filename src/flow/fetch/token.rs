//! The relay's own token, for jobs that redeem it at STS themselves (`AWS_WEB_IDENTITY_TOKEN_FILE`).

use chrono::{DateTime, Utc};

use super::{Fetch, FetchError, granted, request_of};
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
        for _ in 0..super::LOOKS {
            let epoch = self.parts.issuer.epoch();
            let rules = self.parts.allow_list.rules();
            let handed_out = self.hand_out(token, &rules).await;
            let revoked = epoch != self.parts.issuer.epoch();
            if !revoked && self.parts.allow_list.is_current(&rules) {
                return handed_out;
            }
            if revoked {
                self.drop_caches();
            }
        }
        Err(FetchError::StoreAway)
    }

    async fn hand_out(&self, token: &TokenHash, rules: &Rules) -> Result<HandedOut, FetchError> {
        let lease = self.live_lease(token).await?;
        let live = self.newest(&lease.person, &lease.role).await?;
        let request = request_of(&lease, self.parts.clock.now());
        let grant = granted(&live.subject, &request, rules)?;
        if grant.method() != Method::Relay || !grant.may_hand_out_token() {
            return Err(FetchError::TokenStays(lease.role.to_string()));
        }
        let made = self.parts.issuer.relay_token(&grant).await?;
        self.record_token(&lease).await?;
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
            person: Some(lease.person.clone()),
            role: Some(lease.role.clone()),
            lease: Some(lease.id.clone()),
            job: Some(lease.job.clone()),
            launcher: lease.launcher.clone(),
            method: Some(Method::Relay),
            ..Event::new(EventKind::TokenHandedOut)
        };
        self.parts.recorder.record(event).await?;
        self.recorded.keep(&lease.id, "token", "");
        Ok(())
    }
}
