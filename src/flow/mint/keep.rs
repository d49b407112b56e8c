//! Claims, and keeping what STS issued, while the store is away for a moment.
//!
//! An assertion is good for five minutes and was used up: what is not claimed and kept then is lost until the next
//! sign-in. A call that broke off may have been done all the same.

use std::time::Duration;

use tokio::time::Instant;

use super::Mint;
use crate::model::{Credentials, IssueKey};
use crate::store::{Claim, ClaimOrder, CredentialState, StoreError};

/// For how long the store is asked again, and how often.
const WITHIN: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(500);

impl Mint {
    /// Claims what nobody but this sign-in's mint does. Where a call broke off, a claim that seems another's is this
    /// one's, and lapses.
    pub(super) async fn claim(&self, order: &ClaimOrder<'_>) -> Result<Claim, StoreError> {
        let (until, mut broke_off) = (Instant::now() + WITHIN, false);
        loop {
            let claim = self.store.claim(order).await;
            let is_over = Instant::now() >= until;
            match claim {
                Ok(Claim::Busy) if broke_off && !is_over => {}
                Err(error) if !is_over => {
                    away(&error);
                    broke_off = true;
                }
                claim => return claim,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Keeps what STS issued; says whether the session goes on.
    pub(super) async fn keep(
        &self,
        key: &IssueKey,
        credentials: &Credentials,
    ) -> Result<bool, StoreError> {
        let (until, mut broke_off) = (Instant::now() + WITHIN, false);
        loop {
            let kept = match self
                .store
                .put_credentials(key, &self.claimant, credentials)
                .await
            {
                Ok(false) if broke_off => self.is_kept(key, credentials).await,
                kept => kept,
            };
            match kept {
                Err(error) if Instant::now() < until => away(&error),
                kept => return kept,
            }
            broke_off = true;
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Whether these very credentials are kept under `key`.
    async fn is_kept(&self, key: &IssueKey, these: &Credentials) -> Result<bool, StoreError> {
        Ok(match self.store.credentials(key).await? {
            Some(CredentialState::Issued(kept)) => kept.access_key_id == these.access_key_id,
            _ => false,
        })
    }
}

fn away(error: &StoreError) {
    tracing::error!(event = "store_away", %error, "what a sign-in is given waits for the store");
}
