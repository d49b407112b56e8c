//! The task itself: a turn, a claim, one call of STS, and what came of it on disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::Instrument;

use super::Issuer;
use super::flight::Outcome;
use crate::audit::{Event, EventKind};
use crate::flow::fetch::REDEEMABLE;
use crate::flow::mint::keeping;
use crate::flow::outcome::event_of;
use crate::flow::{MintFailure, RelayError, TokenProblem};
use crate::model::{IdToken, IssueKey, Method, TRACES};
use crate::policy::Grant;
use crate::store::{Claim, ClaimOrder, StoreError};
use crate::sts::{IssueError, Issued};

/// When a job without credentials goes before those whose credentials still live.
const PATIENCE: TimeDelta = TimeDelta::seconds(60);
/// An ID token younger than this is not too old for STS: a newer one would not be taken either.
const YOUNG: TimeDelta = TimeDelta::seconds(60);
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
        // Before the turn and the claim: a provider may be slow, and say that the person has other roles now.
        let proof = match self.proof(grant).await {
            Err(TokenProblem::Changed) => return Outcome::Dropped,
            // There is nothing to tell of while what is there is good.
            Err(problem) if problem.needs_sign_in() && lives.is_some() => {
                return Outcome::Failed(Arc::new(MintFailure::without_token(&problem)));
            }
            proof => proof,
        };
        let need = lives.unwrap_or_else(|| self.parts.clock.now() + PATIENCE);
        let account = grant.role().account();
        let newcomer = lives.is_none().then(|| grant.person());
        let turn = self.parts.budget.turn(account, newcomer, need).await;
        if turn.is_err() {
            return Outcome::Failed(Arc::new(MintFailure::crowded()));
        }
        match self.elected(key, grant, lives, proof).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::error!(event = "mint_lost", role = %grant.role(), %error, "the store did not take the outcome");
                Outcome::Failed(Arc::new(MintFailure::store_away()))
            }
        }
    }

    /// The IdP's own token, where the method needs one.
    async fn proof(&self, grant: &Grant) -> Proof {
        if grant.method() != Method::WebIdentity {
            return Ok(None);
        }
        let id_tokens = &self.parts.id_tokens;
        id_tokens
            .current(grant.session(), REDEEMABLE)
            .await
            .map(Some)
    }

    async fn elected(
        &self,
        key: &IssueKey,
        grant: &Grant,
        lives: Option<DateTime<Utc>>,
        proof: Proof,
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
            let claim = self.parts.store.claim(&order);
            let span = tracing::info_span!(target: TRACES, "store.claim");
            match claim.instrument(span).await? {
                Claim::Won => {
                    let order = Elected {
                        key,
                        grant,
                        claimant: &claimant,
                        epoch,
                    };
                    return self.ask_and_keep(&order, proof).await;
                }
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

    async fn ask_and_keep(&self, order: &Elected<'_>, proof: Proof) -> Result<Outcome, StoreError> {
        let Elected {
            key,
            grant,
            claimant,
            epoch,
        } = *order;
        let parts = &self.parts;
        let asking = Box::pin(self.ask(grant, proof));
        let issued = match keeping(&parts.store, key, claimant, asking).await {
            Ok(issued) => issued,
            Err(refusal) => return self.failed(key, grant, claimant, refusal).await,
        };
        let credentials = issued.credentials;
        let kept = parts
            .store
            .put_credentials(key, claimant, &credentials)
            .instrument(tracing::info_span!(target: TRACES, "store.put_credentials"))
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

    async fn ask(&self, grant: &Grant, proof: Proof) -> Result<Issued, Refusal> {
        let parts = &self.parts;
        if let Some(token) = proof? {
            return self.ask_with(grant, token).await;
        }
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

    /// Redeems an ID token of the IdP's, and a newer one where STS does not take this one any more.
    async fn ask_with(&self, grant: &Grant, token: IdToken) -> Result<Issued, Refusal> {
        let sts = &self.parts.sts;
        let error = match sts.issue_with_web_identity(grant, &token).await {
            Err(error) if error.wants_newer_token() => error,
            done => return Ok(done?),
        };
        let now = self.parts.clock.now();
        if now < token.issued_at + YOUNG && now < token.expires_at {
            return Err(error.into());
        }
        let id_tokens = &self.parts.id_tokens;
        match id_tokens.newer_than(grant.session(), &token).await {
            Ok(newer) => Ok(sts.issue_with_web_identity(grant, &newer).await?),
            // What STS says of a token that has not ended is not that it should be renewed.
            Err(TokenProblem::Over(_) | TokenProblem::NoIdToken(_)) if now < token.expires_at => {
                Err(error.into())
            }
            Err(problem) => Err(problem.into()),
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

/// The token that STS is sent, for the method that needs one.
type Proof = Result<Option<IdToken>, TokenProblem>;

/// What was won with a claim.
#[derive(Clone, Copy)]
struct Elected<'a> {
    key: &'a IssueKey,
    grant: &'a Grant,
    claimant: &'a str,
    epoch: u64,
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
                sign_in: false,
            },
            request_id: None,
            is_alarm: false,
        }
    }
}

impl From<TokenProblem> for Refusal {
    fn from(problem: TokenProblem) -> Self {
        Self {
            failure: MintFailure::without_token(&problem),
            request_id: None,
            is_alarm: false,
        }
    }
}
