//! The task itself: a turn, a claim, one call of STS, and what came of it on disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Issuer;
use super::flight::Outcome;
use crate::audit::{Event, EventKind};
use crate::flow::outcome::event_of;
use crate::flow::{MintFailure, RelayError};
use crate::model::{IssueKey, Method};
use crate::policy::Grant;
use crate::store::{Claim, ClaimOrder, StoreError};
use crate::sts::{IssueError, Issued};

/// When a job without credentials goes before those whose credentials still live.
const PATIENCE: TimeDelta = TimeDelta::seconds(60);
/// How often a replica looks whether the one that was elected is done.
const LOOK: Duration = Duration::from_millis(200);
/// And how many times: longer than a call of STS may take.
const LOOKS: u32 = 200;

impl Issuer {
    /// Takes a turn, wins the claim or waits for the one who did, and asks.
    pub(super) async fn mint(
        &self,
        key: &IssueKey,
        grant: &Grant,
        lives: Option<DateTime<Utc>>,
    ) -> Outcome {
        let need = lives.unwrap_or_else(|| self.parts.clock.now() + PATIENCE);
        let account = grant.role().account();
        let newcomer = lives.is_none().then(|| grant.person());
        let turn = self.parts.budget.turn(account, newcomer, need).await;
        if turn.is_err() {
            return Outcome::Failed(Arc::new(MintFailure::crowded()));
        }
        match self.elected(key, grant, lives).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::error!(event = "mint_lost", role = %grant.role(), %error, "the store did not take the outcome");
                Outcome::Failed(Arc::new(MintFailure::store_away()))
            }
        }
    }

    async fn elected(
        &self,
        key: &IssueKey,
        grant: &Grant,
        lives: Option<DateTime<Utc>>,
    ) -> Result<Outcome, StoreError> {
        let kind = grant.kind();
        // A claim of its own for each task: what a revocation took from one, the next must not fulfil.
        let turn = self.claims.fetch_add(1, Ordering::Relaxed);
        let claimant = format!("{}/{turn}", self.parts.claimant);
        let order = ClaimOrder {
            key,
            session: grant.session(),
            role: grant.role(),
            method: grant.method(),
            kind: &kind,
            claimant: &claimant,
            instead_of: lives,
        };
        // Before anything is read or asked: what comes of it may be revoked meanwhile.
        let epoch = self.epoch();
        for _ in 0..LOOKS {
            match self.parts.store.claim(&order).await? {
                Claim::Won => return self.ask_and_keep(key, grant, &claimant, epoch).await,
                Claim::Issued(found) => {
                    return Ok(Outcome::Issued(self.hot.keep(key, found, epoch)));
                }
                Claim::Failed { reason, .. } => {
                    return Ok(Outcome::Failed(Arc::new(MintFailure::read(&reason))));
                }
                Claim::Busy => tokio::time::sleep(LOOK).await,
            }
        }
        Ok(Outcome::Failed(Arc::new(MintFailure::timed_out())))
    }

    async fn ask_and_keep(
        &self,
        key: &IssueKey,
        grant: &Grant,
        claimant: &str,
        epoch: u64,
    ) -> Result<Outcome, StoreError> {
        let parts = &self.parts;
        let issued = match self.ask(grant).await {
            Ok(issued) => issued,
            Err(refusal) => return self.failed(key, grant, claimant, refusal).await,
        };
        let credentials = issued.credentials;
        let kept = parts
            .store
            .put_credentials(key, claimant, &credentials)
            .await?;
        if !kept {
            // The session was ended in between: what was issued for it is dropped.
            return Ok(Outcome::Dropped);
        }
        let (role, length) = (issued.assumed_role_arn, issued.duration);
        parts
            .recorder
            .record(Event {
                access_key_id: Some(credentials.access_key_id.clone()),
                sts_request_id: issued.request_id,
                reason: Some(format!("{role} for {length}")),
                ..event_of(EventKind::CredentialsIssued, grant)
            })
            .await?;
        Ok(Outcome::Issued(self.hot.keep(key, credentials, epoch)))
    }

    async fn ask(&self, grant: &Grant) -> Result<Issued, Refusal> {
        let parts = &self.parts;
        match grant.method() {
            Method::Relay => {
                let token = parts.relay.token(grant).await?;
                Ok(parts.sts.issue_with_relay(grant, &token).await?)
            }
            Method::Broker => Ok(parts.sts.issue_as_broker(grant).await?),
            // Not renewable, so that no such grant comes here.
            Method::Saml | Method::WebIdentity => Err(IssueError::NoProvider.into()),
        }
    }

    async fn failed(
        &self,
        key: &IssueKey,
        grant: &Grant,
        claimant: &str,
        refusal: Refusal,
    ) -> Result<Outcome, StoreError> {
        let failure = refusal.failure;
        let person = grant.person();
        tracing::warn!(event = "issue_failed", role = %grant.role(), user = %person.user, idp = %person.idp,
            code = failure.code, reason = failure.message, "STS issued nothing");
        let kind = if refusal.is_alarm {
            EventKind::Alarm
        } else {
            EventKind::IssueFailed
        };
        let parts = &self.parts;
        parts
            .store
            .put_failure(key, claimant, &failure.to_text())
            .await?;
        parts
            .recorder
            .record(Event {
                sts_request_id: refusal.request_id,
                reason: Some(format!("{}: {}", failure.code, failure.message)),
                ..event_of(kind, grant)
            })
            .await?;
        Ok(Outcome::Failed(Arc::new(failure)))
    }
}

/// Why nothing was issued.
pub(super) struct Refusal {
    pub(super) failure: MintFailure,
    request_id: Option<String>,
    is_alarm: bool,
}

impl From<IssueError> for Refusal {
    fn from(error: IssueError) -> Self {
        Self {
            failure: MintFailure::of(&error),
            request_id: error.request_id().map(str::to_owned),
            is_alarm: matches!(error, IssueError::Mismatch { .. }),
        }
    }
}

impl From<RelayError> for Refusal {
    fn from(error: RelayError) -> Self {
        Self {
            failure: MintFailure {
                code: error.code().to_owned(),
                message: error.to_string(),
                transient: error.is_transient(),
            },
            request_id: None,
            is_alarm: false,
        }
    }
}
