//! Hands out credentials: to a job by its lease, to a person by the session.
//!
//! Every fetch is decided against the allow-list as it is now, on the person's newest confirmed
//! session. Hot answers come from memory; what is cached is dropped when anything is revoked, and
//! expiry is read with our own clock each time. Never calls STS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;
use thiserror::Error;

use super::outcome::{best, reasons};
use super::{AllowList, Holds, MintFailure, Pulse};
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{
    Clock, Credentials, Lease, LeaseId, Person, RoleArn, SessionId, Subject, TokenHash, TokenName,
    rfc3339,
};
use crate::policy::{Denial, Grant, Request, decide};
use crate::store::{CredentialState, LiveSession, Store, StoreError};

/// How long a cached session may hide a newer sign-in taken by another process.
const SESSION_CACHE: Duration = Duration::from_secs(2);

/// Entries that a cache holds at most.
const CACHED: u64 = 100_000;

/// How long after a sign-in its credentials may still be on their way to a claim.
const MINTING: chrono::TimeDelta = chrono::TimeDelta::seconds(10);

/// How often a fetch is begun anew because something was revoked meanwhile.
const LOOKS: u32 = 5;

/// Credentials may outlive the permitted time by the seconds that sign-in and STS took.
const ISSUE_SLACK: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

/// Credentials on their way out, with what SDKs like to know of them.
pub struct Served {
    /// The credentials.
    pub credentials: Arc<Credentials>,
    /// The role they are of.
    pub role: RoleArn,
}

/// Why a fetch gets nothing.
#[derive(Debug, Error)]
pub enum FetchError {
    /// No such lease token.
    #[error("this lease token is unknown; ask the launcher for a new lease")]
    UnknownToken,
    /// The lease is over.
    #[error("the lease ended at {0}; ask the launcher for a new one")]
    LeaseExpired(String),
    /// The lease was revoked.
    #[error("the lease was revoked; ask the launcher or an admin why")]
    LeaseRevoked,
    /// A hold stands in the way.
    #[error("held by an admin: {reason}")]
    Held {
        /// The admin's words.
        reason: String,
    },
    /// The sign-in does not offer the role.
    #[error(
        "the newest sign-in of {user} does not offer {role}; have the IdP offer it and sign in again"
    )]
    NotOffered {
        /// The user.
        user: String,
        /// The role.
        role: String,
    },
    /// The allow-list does not permit it.
    #[error("{role} is not allowed: {reasons}")]
    NotAllowed {
        /// The role.
        role: String,
        /// Every reason.
        reasons: String,
    },
    /// STS refused at sign-in.
    #[error("AWS issued nothing for {role}: {reason}")]
    RefusedBySts {
        /// The role.
        role: String,
        /// STS's reason.
        reason: String,
    },
    /// Nothing left to hand out.
    #[error("there are no credentials left for {role}; {user} must sign in again")]
    SignInNeeded {
        /// The user.
        user: String,
        /// The role.
        role: String,
    },
    /// STS has been asked and has not answered yet.
    #[error("AWS is being asked for {0}; try again in a second")]
    Pending(String),
    /// The store is away, or was for too long.
    #[error("the store does not answer; try again")]
    StoreAway,
}

impl From<StoreError> for FetchError {
    fn from(error: StoreError) -> Self {
        tracing::error!(event = "store_away", %error, "a fetch could not be answered");
        Self::StoreAway
    }
}

/// Serves credentials.
pub struct Fetch {
    store: Store,
    allow_list: Arc<AllowList>,
    pulse: Arc<Pulse>,
    recorder: Recorder,
    clock: Arc<dyn Clock>,
    pub(super) holds: Arc<Holds>,
    leases: Cache<TokenHash, Arc<Lease>>,
    sessions: Cache<Person, Arc<LiveSession>>,
    credentials: Cache<(SessionId, RoleArn), Arc<Credentials>>,
    recorded: Cache<(LeaseId, String), ()>,
    /// Counts what was ended or revoked, as far as it was heard of.
    epoch: AtomicU64,
}

impl Fetch {
    /// Serves from `store`, as `allow_list` permits and no hold forbids, while `pulse` is current.
    pub fn new(
        store: Store,
        allow_list: Arc<AllowList>,
        pulse: Arc<Pulse>,
        recorder: Recorder,
        clock: Arc<dyn Clock>,
        holds: Arc<Holds>,
    ) -> Self {
        Self {
            store,
            allow_list,
            pulse,
            recorder,
            clock,
            holds,
            leases: Cache::new(CACHED),
            sessions: Cache::builder()
                .max_capacity(CACHED)
                .time_to_live(SESSION_CACHE)
                .build(),
            credentials: Cache::new(CACHED),
            recorded: Cache::new(CACHED),
            epoch: AtomicU64::new(0),
        }
    }

    /// Drops what is cached, since something was ended or revoked.
    pub fn forget(&self) {
        // Counted first: what a fetch under way puts back after this, it will find out to be old.
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.drop_caches();
    }

    fn drop_caches(&self) {
        self.leases.invalidate_all();
        self.sessions.invalidate_all();
        self.credentials.invalidate_all();
    }

    /// Drops the cached session of a person who has just signed in.
    pub async fn forget_person(&self, person: &Person) {
        self.sessions.invalidate(person).await;
    }

    /// The credentials that the lease behind `token` has a right to.
    ///
    /// If anything was revoked while they were looked up, they are looked up again.
    pub async fn for_lease(&self, token: &TokenHash) -> Result<Served, FetchError> {
        for _ in 0..LOOKS {
            let epoch = self.epoch.load(Ordering::SeqCst);
            let served = self.look_up(token).await?;
            if epoch == self.epoch.load(Ordering::SeqCst) {
                return Ok(served);
            }
            self.drop_caches();
        }
        Err(FetchError::StoreAway)
    }

    async fn look_up(&self, token: &TokenHash) -> Result<Served, FetchError> {
        self.require_pulse()?;
        let lease = self.lease(token).await?;
        if lease.revoked_at.is_some() {
            return Err(FetchError::LeaseRevoked);
        }
        if self.clock.now() >= lease.expires_at {
            return Err(FetchError::LeaseExpired(rfc3339(lease.expires_at)));
        }
        self.holds
            .permit(&lease.person, &lease.role, lease.launcher.as_ref())?;
        let live = self.newest(&lease.person, &lease.role).await?;
        let served = self
            .serve(&live.subject, &lease.role, lease.launcher.as_ref())
            .await?;
        self.record(&lease, &served).await?;
        Ok(served)
    }

    /// The credentials that a person may take out directly.
    pub async fn for_subject(
        &self,
        subject: &Subject,
        role: &RoleArn,
    ) -> Result<Served, FetchError> {
        self.require_pulse()?;
        self.holds.permit(subject.person(), role, None)?;
        let served = self.serve(subject, role, None).await?;
        self.recorder
            .record(Event {
                person: Some(subject.person().clone()),
                session: Some(subject.session().clone()),
                role: Some(role.clone()),
                access_key_id: Some(served.credentials.access_key_id.clone()),
                ..Event::new(EventKind::CredentialsFetched)
            })
            .await?;
        Ok(served)
    }

    /// When the credentials that `subject` has for `role` stop, for a launcher that asks how long they last.
    pub async fn lasts_until(
        &self,
        subject: &Subject,
        role: &RoleArn,
        launcher: Option<&TokenName>,
    ) -> Result<chrono::DateTime<chrono::Utc>, FetchError> {
        self.require_pulse()?;
        Ok(self
            .serve(subject, role, launcher)
            .await?
            .credentials
            .expires_at)
    }

    fn require_pulse(&self) -> Result<(), FetchError> {
        if self.pulse.is_current() {
            return Ok(());
        }
        Err(FetchError::StoreAway)
    }

    async fn lease(&self, token: &TokenHash) -> Result<Arc<Lease>, FetchError> {
        if let Some(lease) = self.leases.get(token).await {
            return Ok(lease);
        }
        let lease = self.store.lease_by_token(token).await?;
        let lease = Arc::new(lease.ok_or(FetchError::UnknownToken)?);
        self.leases.insert(*token, Arc::clone(&lease)).await;
        Ok(lease)
    }

    async fn newest(
        &self,
        person: &Person,
        role: &RoleArn,
    ) -> Result<Arc<LiveSession>, FetchError> {
        let now = self.clock.now();
        if let Some(live) = self.sessions.get(person).await
            && now < live.expires_at
        {
            return Ok(live);
        }
        let live = self.store.newest_session(person).await?;
        let live = live.filter(|live| now < live.expires_at);
        let live = Arc::new(live.ok_or_else(|| sign_in_needed(person, role))?);
        self.sessions
            .insert(person.clone(), Arc::clone(&live))
            .await;
        Ok(live)
    }

    async fn serve(
        &self,
        subject: &Subject,
        role: &RoleArn,
        launcher: Option<&TokenName>,
    ) -> Result<Served, FetchError> {
        let request = Request {
            role,
            launcher,
            duration: None,
            now: self.clock.now(),
        };
        let grant = decide(subject, &request, &self.allow_list.rules())
            .map_err(|denial| not_granted(subject, &denial))?;
        let credentials = self.credentials_for(subject, &grant).await?;
        Ok(Served {
            credentials,
            role: role.clone(),
        })
    }

    async fn credentials_for(
        &self,
        subject: &Subject,
        grant: &Grant,
    ) -> Result<Arc<Credentials>, FetchError> {
        let key = (subject.session().clone(), grant.role().clone());
        if let Some(found) = self.credentials.get(&key).await
            && self.may_serve(subject, grant, &found)
        {
            return Ok(found);
        }
        let issued = self
            .store
            .newest_issued(subject.session(), grant.role())
            .await?;
        let Some(found) = issued else {
            return self.older(subject, grant).await.map(Arc::new);
        };
        if !self.may_serve(subject, grant, &found) {
            return Err(sign_in_needed(subject.person(), grant.role()));
        }
        let found = Arc::new(found);
        self.credentials.insert(key, Arc::clone(&found)).await;
        Ok(found)
    }

    /// Neither expired, nor longer than the allow-list permits since it was last edited.
    fn may_serve(&self, subject: &Subject, grant: &Grant, credentials: &Credentials) -> bool {
        let permitted = chrono::TimeDelta::seconds(i64::from(grant.duration().seconds()));
        let latest = subject.signed_in_at() + permitted + ISSUE_SLACK;
        self.clock.now() < credentials.expires_at && credentials.expires_at <= latest
    }

    /// Where minting failed, or is under way, older credentials that still live go on. They are not kept in
    /// memory, so that newer ones take their place at once.
    async fn older(&self, subject: &Subject, grant: &Grant) -> Result<Credentials, FetchError> {
        let (person, role) = (subject.person(), grant.role());
        let known = self.store.credentials_of(subject.session()).await?;
        let problem = match best(&known, role) {
            Some(CredentialState::Failed(failure)) => FetchError::RefusedBySts {
                role: role.to_string(),
                reason: MintFailure::read(failure).message,
            },
            Some(CredentialState::Busy) => FetchError::Pending(role.to_string()),
            None if self.clock.now() < subject.signed_in_at() + MINTING => {
                FetchError::Pending(role.to_string())
            }
            // Never minted for this sign-in: what an earlier one was given is not this one's.
            Some(CredentialState::Issued(_)) | None => return Err(sign_in_needed(person, role)),
        };
        let older = self.store.last_issued_for(person, role).await?;
        older
            .filter(|older| self.may_serve(subject, grant, older))
            .ok_or(problem)
    }

    /// Audits the first time that a lease is given these credentials.
    async fn record(&self, lease: &Lease, served: &Served) -> Result<(), FetchError> {
        let key = (lease.id.clone(), served.credentials.access_key_id.clone());
        if self.recorded.contains_key(&key) {
            return Ok(());
        }
        let event = Event {
            person: Some(lease.person.clone()),
            role: Some(lease.role.clone()),
            lease: Some(lease.id.clone()),
            job: Some(lease.job.clone()),
            launcher: lease.launcher.clone(),
            access_key_id: Some(served.credentials.access_key_id.clone()),
            ..Event::new(EventKind::CredentialsFetched)
        };
        // Remembered once it is on disk: nobody is served on the strength of a record that was lost.
        self.recorder.record(event).await?;
        self.recorded.insert(key, ()).await;
        Ok(())
    }
}

fn sign_in_needed(person: &Person, role: &RoleArn) -> FetchError {
    FetchError::SignInNeeded {
        user: person.user.to_string(),
        role: role.to_string(),
    }
}

pub(super) fn not_granted(subject: &Subject, denial: &Denial) -> FetchError {
    if denial.is_not_offered() {
        return FetchError::NotOffered {
            user: subject.person().user.to_string(),
            role: denial.role_arn.clone(),
        };
    }
    FetchError::NotAllowed {
        role: denial.role_arn.clone(),
        reasons: reasons(denial).join("; "),
    }
}
