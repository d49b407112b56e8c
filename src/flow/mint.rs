//! Credentials at sign-in: what only the sign-in's own proof is good for, in a task of its own.
//!
//! STS takes an assertion for five minutes, and an ID token that nothing renews until it ends, so all that a
//! person may have is asked for at once, ten roles at a time, those that running jobs wait for first. What can
//! be had later is made when it is first wanted. A failure is kept with its reason; the sign-in stands. Nothing
//! here runs in a request, and no connection or lock is held over the call.

mod keep;
mod turns;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tracing::Instrument;

pub(in crate::flow) use self::turns::MintTurn;
pub use self::turns::MintTurns;
use super::outcome::{event_of, reasons};
use super::{AllowList, Issuer, TokenProblem, Underway};
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{Clock, IssueKey, Method, RoleArn, SamlProof, Subject, TRACES};
use crate::policy::{Grant, Rules, decide_all, grantable};
use crate::store::{Claim, ClaimOrder, Store, StoreError};
use crate::sts::{IssueError, Sts};

/// STS calls under way at once for one sign-in.
const AT_ONCE: usize = 10;
/// How often a claim is kept while STS is asked.
const CLAIM_KEPT: Duration = Duration::from_secs(2);

/// Why STS issued nothing, as it is kept beside the claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MintFailure {
    /// A stable code.
    pub code: String,
    /// What happened and what mends it.
    pub message: String,
    /// Whether the same call may succeed later without anybody mending anything.
    #[serde(default)]
    pub transient: bool,
    /// Whether nothing is left to ask STS with, so that only a new sign-in helps.
    #[serde(default)]
    pub sign_in: bool,
}

impl MintFailure {
    /// Reads what [`Mint`] stored.
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self {
            code: "unknown".to_owned(),
            message: "STS issued nothing; sign in again".to_owned(),
            transient: false,
            sign_in: false,
        })
    }

    /// What is kept of an error.
    pub(super) fn of(error: &IssueError) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.to_string(),
            transient: error.is_transient(),
            sign_in: false,
        }
    }

    /// There is no ID token to show STS.
    pub(super) fn without_token(problem: &TokenProblem) -> Self {
        Self {
            code: problem.code().to_owned(),
            message: problem.for_job(),
            transient: problem.is_transient(),
            sign_in: problem.needs_sign_in(),
        }
    }

    /// The store went away while STS was asked.
    pub(super) fn store_away() -> Self {
        Self {
            code: "store-away".to_owned(),
            message: "the store does not answer; try again".to_owned(),
            transient: true,
            sign_in: false,
        }
    }

    /// The person waits for too many calls of STS.
    pub(super) fn crowded() -> Self {
        Self {
            code: "sts-crowded".to_owned(),
            message: "the person's jobs wait for too many calls of STS at once; try again, or give fewer jobs a session policy or tags of their own".to_owned(),
            transient: true,
            sign_in: false,
        }
    }

    /// Another replica was elected to ask, and never said what came of it.
    pub(super) fn timed_out() -> Self {
        Self {
            code: "replica-silent".to_owned(),
            message: "another replica asks STS and does not say what came of it; try again"
                .to_owned(),
            transient: true,
            sign_in: false,
        }
    }

    /// What is kept beside the claim.
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Turns grants into credentials.
pub struct Mint {
    /// Where credentials are kept.
    pub store: Store,
    /// Who issues them.
    pub sts: Arc<Sts>,
    /// Has those made that an ID token is good for.
    pub issuer: Arc<Issuer>,
    /// Which grants there are.
    pub allow_list: Arc<AllowList>,
    /// The audit.
    pub recorder: Recorder,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This process, among those that share the store.
    pub claimant: String,
    /// For how many at once.
    pub turns: MintTurns,
    /// What must end before the process does.
    pub underway: Underway,
}

impl Mint {
    /// Starts to mint for `subject`; the task goes on whether or not anybody waits for it.
    pub fn start(
        self: &Arc<Self>,
        subject: Arc<Subject>,
        proof: SamlProof,
        turn: MintTurn,
    ) -> JoinHandle<()> {
        let mint = Arc::clone(self);
        let span = tracing::info_span!(target: TRACES, "mint");
        let minted = async move {
            mint.all(&subject, &proof).await;
            drop(turn);
        };
        self.underway.spawn(minted.instrument(span))
    }

    /// Starts what an OpenID Connect sign-in is followed by: where the provider gave a refresh token, nothing but
    /// the record of the decisions.
    pub fn start_with_id_token(
        self: &Arc<Self>,
        subject: Arc<Subject>,
        turn: MintTurn,
    ) -> JoinHandle<()> {
        let mint = Arc::clone(self);
        let span = tracing::info_span!(target: TRACES, "mint");
        let minted = async move {
            mint.all_with_id_token(&subject).await;
            drop(turn);
        };
        self.underway.spawn(minted.instrument(span))
    }

    async fn all(&self, subject: &Subject, proof: &SamlProof) {
        let grants = self.decided(subject, Method::Saml).await;
        futures_util::stream::iter(grants)
            .for_each_concurrent(AT_ONCE, |grant| async move {
                let role = grant.role().clone();
                if let Err(error) = self.one(subject, grant, proof).await {
                    lost(&role, &error);
                }
            })
            .await;
    }

    /// Without a refresh token the ID token must be redeemed while it lives. With one, each grant is when it is
    /// first wanted.
    async fn all_with_id_token(&self, subject: &Subject) {
        let grants = self.decided(subject, Method::WebIdentity).await;
        let identity = subject.parts().web_identity.as_ref();
        if identity.is_none_or(|identity| identity.redeemable_until.is_none()) {
            return;
        }
        futures_util::stream::iter(grants)
            .for_each_concurrent(AT_ONCE, |grant| async move {
                let role = grant.role().clone();
                if let Err(error) = self.issuer.make(grant).await {
                    lost(&role, &error);
                }
            })
            .await;
    }

    /// Records every decision, and gives the grants by `method`, those that running jobs wait for first.
    async fn decided(&self, subject: &Subject, method: Method) -> Vec<Grant> {
        let rules = self.allow_list.rules();
        let now = self.clock.now();
        if let Err(error) = self.record_decisions(subject, &rules, now).await {
            tracing::error!(event = "audit_lost", %error, "decisions are not in the audit");
        }
        let mut grants: Vec<Grant> = grantable(subject, &rules, now);
        grants.retain(|grant| grant.method() == method);
        let awaited = self.awaited_roles(subject).await;
        grants.sort_by_key(|grant| !awaited.contains(grant.role()));
        grants
    }

    /// What the portal would say at the sign-in, role by role.
    async fn record_decisions(
        &self,
        subject: &Subject,
        rules: &Rules,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let span = tracing::info_span!(target: TRACES, "decide");
        let decisions = span.in_scope(|| decide_all(subject, None, rules, now));
        drop(span);
        let granted = decisions.grants.iter().map(|grant| Event {
            granted: Some(true),
            ..event_of(EventKind::Decision, grant)
        });
        let denied = decisions.denials.iter().map(|denial| Event {
            person: Some(subject.person().clone()),
            session: Some(subject.session().clone()),
            role: denial.role_arn.parse().ok(),
            granted: Some(false),
            reason: Some(reasons(denial).join("; ")),
            ..Event::new(EventKind::Decision)
        });
        let records = granted
            .chain(denied)
            .map(|event| self.recorder.record(event));
        try_join_all(records).await.map(drop)
    }

    /// The roles that live leases of this person draw on.
    async fn awaited_roles(&self, subject: &Subject) -> HashSet<RoleArn> {
        let roles = self.store.leased_roles(subject.person()).await;
        roles.unwrap_or_default().into_iter().collect()
    }

    async fn one(
        &self,
        subject: &Subject,
        grant: Grant,
        proof: &SamlProof,
    ) -> Result<(), StoreError> {
        let (key, kind) = (grant.issue_key(), grant.kind());
        let order = ClaimOrder {
            key: &key,
            session: subject.session(),
            role: grant.role(),
            method: grant.method(),
            kind: &kind,
            claimant: &self.claimant,
            instead_of: None,
        };
        let claim = self.claim(&order);
        let claim = claim.instrument(tracing::info_span!(target: TRACES, "store.claim"));
        if !matches!(claim.await?, Claim::Won) {
            return Ok(());
        }
        let asking = Box::pin(self.sts.issue_with_saml(&grant, proof));
        match keeping(&self.store, &key, &self.claimant, asking).await {
            Ok(issued) => {
                let credentials = &issued.credentials;
                let kept = Box::pin(self.keep(&key, credentials));
                let kept = keeping(&self.store, &key, &self.claimant, kept)
                    .instrument(tracing::info_span!(target: TRACES, "store.put_credentials"));
                if !kept.await? {
                    // The session was ended in between: what was issued for it is dropped.
                    return Ok(());
                }
                self.recorder
                    .record(Event {
                        access_key_id: Some(credentials.access_key_id.clone()),
                        sts_request_id: issued.request_id,
                        reason: Some(format!(
                            "{} for {}",
                            issued.assumed_role_arn, issued.duration
                        )),
                        ..event_of(EventKind::CredentialsIssued, &grant)
                    })
                    .await
            }
            Err(error) => self.failed(subject, &grant, error).await,
        }
    }

    async fn failed(
        &self,
        subject: &Subject,
        grant: &Grant,
        error: IssueError,
    ) -> Result<(), StoreError> {
        let failure = MintFailure::of(&error);
        tracing::warn!(event = "issue_failed", role = %grant.role(), user = %subject.person().user,
            idp = %subject.person().idp, code = failure.code, reason = failure.message, "STS issued nothing");
        let kind = if matches!(error, IssueError::Mismatch { .. }) {
            EventKind::Alarm
        } else {
            EventKind::IssueFailed
        };
        self.store
            .put_failure(&grant.issue_key(), &self.claimant, &failure.to_text())
            .await?;
        self.recorder
            .record(Event {
                sts_request_id: error.request_id().map(str::to_owned),
                reason: Some(format!("{}: {}", failure.code, failure.message)),
                ..event_of(kind, grant)
            })
            .await
    }
}

/// Does `asking` while the claim of `claimant` is kept.
pub(super) async fn keeping<T>(
    store: &Store,
    key: &IssueKey,
    claimant: &str,
    asking: impl Future<Output = T>,
) -> T {
    let keep = async {
        loop {
            tokio::time::sleep(CLAIM_KEPT).await;
            // A store that is away loses the claim to who asks next, as it should.
            let _kept = store.keep_claim(key, claimant).await;
        }
    };
    tokio::select! {
        done = asking => done,
        never = keep => never,
    }
}

fn lost(role: &RoleArn, error: &StoreError) {
    tracing::error!(event = "mint_lost", %role, %error, "the store did not take the outcome");
}
