//! Hands out credentials: to a job by its lease, to a person by the session.
//!
//! Every fetch is decided against the allow-list as it is now, on the person's newest confirmed
//! session. Hot answers come from memory; what is cached is dropped when anything is revoked, and
//! expiry is read with our own clock each time. Never calls STS itself: what method `saml` was given at
//! the sign-in is read, all else is the issuer's to have made.

mod error;
mod renewal;
mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use moka::future::Cache;

pub use self::error::FetchError;
use self::error::{not_granted, sign_in_needed};
pub use self::token::HandedOut;
use super::outcome::best;
use super::{AllowList, Holds, Issuer, MintFailure, Pulse};
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{
    Clock, Credentials, Lease, LeaseId, Method, Person, RoleArn, SessionDuration, SessionId,
    Subject, TokenHash, rfc3339,
};
use crate::policy::{Grant, Request, Rules, decide};
use crate::store::{CredentialState, LiveSession, Store};

/// Entries that a cache holds at most.
const CACHED: u64 = 100_000;

/// How long after a sign-in its credentials may still be on their way to a claim.
const MINTING: TimeDelta = TimeDelta::seconds(10);

/// How often a fetch is begun anew because something was revoked, or the allow-list edited, meanwhile.
const LOOKS: u32 = 5;

/// Credentials may outlive the permitted time by the seconds that sign-in and STS took.
const ISSUE_SLACK: TimeDelta = TimeDelta::minutes(5);

/// Credentials on their way out, with what SDKs like to know of them.
pub struct Served {
    /// The credentials.
    pub credentials: Arc<Credentials>,
    /// The role they are of.
    pub role: RoleArn,
}

/// What a lease may count on.
pub struct Prospect {
    /// How its credentials are had.
    pub method: Method,
    /// When they stop for good.
    pub ends_at: DateTime<Utc>,
    /// What makes them stop.
    pub limited_by: &'static str,
}

/// What [`Fetch`] works with.
pub struct FetchParts {
    /// Where leases, sessions and credentials are.
    pub store: Store,
    /// What is permitted.
    pub allow_list: Arc<AllowList>,
    /// Whether the store was heard from.
    pub pulse: Arc<Pulse>,
    /// Whom and what an admin holds.
    pub holds: Arc<Holds>,
    /// Has credentials made.
    pub issuer: Arc<Issuer>,
    /// The audit.
    pub recorder: Recorder,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Serves credentials.
pub struct Fetch {
    parts: FetchParts,
    leases: Cache<TokenHash, Arc<Lease>>,
    sessions: Cache<Person, Arc<LiveSession>>,
    credentials: Cache<(SessionId, RoleArn), Arc<Credentials>>,
    recorded: Cache<(LeaseId, String), ()>,
    /// Counts what was ended or revoked, as far as it was heard of.
    epoch: AtomicU64,
}

impl Fetch {
    /// Serves with `parts`.
    pub fn new(parts: FetchParts) -> Self {
        Self {
            parts,
            leases: Cache::new(CACHED),
            sessions: Cache::new(CACHED),
            credentials: Cache::new(CACHED),
            recorded: Cache::new(CACHED),
            epoch: AtomicU64::new(0),
        }
    }

    /// Whom and what an admin holds.
    pub(super) fn holds(&self) -> &Holds {
        &self.parts.holds
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
        self.parts.issuer.forget();
    }

    /// Drops the cached session of a person who has just signed in.
    pub async fn forget_person(&self, person: &Person) {
        self.sessions.invalidate(person).await;
    }

    /// The credentials that the lease behind `token` has a right to.
    ///
    /// If anything was revoked or edited while they were looked up, they are looked up again.
    pub async fn for_lease(&self, token: &TokenHash) -> Result<Served, FetchError> {
        for _ in 0..LOOKS {
            let epoch = self.epoch.load(Ordering::SeqCst);
            let rules = self.parts.allow_list.rules();
            let served = self.look_up(token, &rules).await;
            let revoked = epoch != self.epoch.load(Ordering::SeqCst);
            if !revoked && Arc::ptr_eq(&rules, &self.parts.allow_list.rules()) {
                return served;
            }
            if revoked {
                self.drop_caches();
            }
        }
        Err(FetchError::StoreAway)
    }

    async fn look_up(&self, token: &TokenHash, rules: &Rules) -> Result<Served, FetchError> {
        let lease = self.live_lease(token).await?;
        let live = self.newest(&lease.person, &lease.role).await?;
        let request = request_of(&lease, self.parts.clock.now());
        let grant = granted(&live.subject, &request, rules)?;
        let credentials = self
            .credentials_for(&live.subject, grant, Some(token))
            .await?;
        self.record(&lease, &credentials).await?;
        Ok(Served {
            credentials,
            role: lease.role.clone(),
        })
    }

    /// The credentials that a person may take out directly.
    pub async fn for_subject(
        &self,
        subject: &Subject,
        role: &RoleArn,
        duration: Option<SessionDuration>,
    ) -> Result<Served, FetchError> {
        self.require_pulse()?;
        self.parts.holds.permit(subject.person(), role, None)?;
        let request = Request {
            duration,
            ..Request::of(role, self.parts.clock.now())
        };
        let grant = granted(subject, &request, &self.parts.allow_list.rules())?;
        let credentials = self.credentials_for(subject, grant, None).await?;
        self.parts
            .recorder
            .record(Event {
                person: Some(subject.person().clone()),
                session: Some(subject.session().clone()),
                role: Some(role.clone()),
                access_key_id: Some(credentials.access_key_id.clone()),
                ..Event::new(EventKind::CredentialsFetched)
            })
            .await?;
        Ok(Served {
            credentials,
            role: role.clone(),
        })
    }

    /// Whether the role is permitted to the person now, for what is still to be done with its credentials.
    pub fn still_grants(&self, subject: &Subject, role: &RoleArn) -> Result<(), FetchError> {
        self.require_pulse()?;
        self.parts.holds.permit(subject.person(), role, None)?;
        let request = Request::of(role, self.parts.clock.now());
        granted(subject, &request, &self.parts.allow_list.rules()).map(drop)
    }

    /// How long `lease` would be served, which need not be made yet. Credentials are had at once, so that what
    /// AWS refuses is told before the job starts; only that AWS does not answer is no reason against it.
    pub async fn prospect(&self, subject: &Subject, lease: &Lease) -> Result<Prospect, FetchError> {
        self.require_pulse()?;
        let launcher = lease.launcher.as_ref();
        self.parts
            .holds
            .permit(&lease.person, &lease.role, launcher)?;
        let request = request_of(lease, self.parts.clock.now());
        let grant = granted(subject, &request, &self.parts.allow_list.rules())?;
        let (method, renewable) = (grant.method(), grant.is_renewable());
        let (ends_at, limit) = (grant.ends_at(), grant.limit().as_str());
        let issued = self.credentials_for(subject, grant, None).await;
        let (ends_at, limited_by) = match issued {
            Ok(found) if !renewable && found.expires_at < ends_at => {
                (found.expires_at, "credentials")
            }
            Ok(_) => (ends_at, limit),
            Err(FetchError::Pending(_) | FetchError::StsAway { .. }) if renewable => {
                (ends_at, limit)
            }
            Err(error) => return Err(error),
        };
        Ok(Prospect {
            method,
            ends_at,
            limited_by,
        })
    }

    fn require_pulse(&self) -> Result<(), FetchError> {
        if self.parts.pulse.is_current() {
            return Ok(());
        }
        Err(FetchError::StoreAway)
    }

    /// The lease behind `token`, if it is neither over nor revoked.
    async fn live_lease(&self, token: &TokenHash) -> Result<Arc<Lease>, FetchError> {
        self.require_pulse()?;
        let lease = if let Some(lease) = self.leases.get(token).await {
            lease
        } else {
            let lease = self.parts.store.lease_by_token(token).await?;
            let lease = Arc::new(lease.ok_or(FetchError::UnknownToken)?);
            self.leases.insert(*token, Arc::clone(&lease)).await;
            lease
        };
        if lease.revoked_at.is_some() {
            return Err(FetchError::LeaseRevoked);
        }
        if self.parts.clock.now() >= lease.expires_at {
            return Err(FetchError::LeaseExpired(rfc3339(lease.expires_at)));
        }
        let launcher = lease.launcher.as_ref();
        self.parts
            .holds
            .permit(&lease.person, &lease.role, launcher)?;
        Ok(lease)
    }

    async fn newest(
        &self,
        person: &Person,
        role: &RoleArn,
    ) -> Result<Arc<LiveSession>, FetchError> {
        if let Some(live) = self.sessions.get(person).await {
            return Ok(live);
        }
        let live = self.parts.store.newest_session(person).await?;
        let live = Arc::new(live.ok_or_else(|| sign_in_needed(person, role))?);
        self.sessions
            .insert(person.clone(), Arc::clone(&live))
            .await;
        Ok(live)
    }

    async fn credentials_for(
        &self,
        subject: &Subject,
        grant: Grant,
        token: Option<&TokenHash>,
    ) -> Result<Arc<Credentials>, FetchError> {
        if grant.is_renewable() {
            return self.parts.issuer.credentials(subject, grant, token).await;
        }
        let key = (subject.session().clone(), grant.role().clone());
        if let Some(found) = self.credentials.get(&key).await
            && self.may_serve(subject, &grant, &found)
        {
            return Ok(found);
        }
        let issued = self
            .parts
            .store
            .newest_issued(subject.session(), grant.role())
            .await?;
        let Some(found) = issued else {
            return self.older(subject, &grant).await.map(Arc::new);
        };
        if !self.may_serve(subject, &grant, &found) {
            return Err(sign_in_needed(subject.person(), grant.role()));
        }
        let found = Arc::new(found);
        self.credentials.insert(key, Arc::clone(&found)).await;
        Ok(found)
    }

    /// Neither expired, nor longer than the allow-list permits since it was last edited.
    fn may_serve(&self, subject: &Subject, grant: &Grant, credentials: &Credentials) -> bool {
        let permitted = TimeDelta::seconds(i64::from(grant.duration().seconds()));
        let latest = subject.signed_in_at() + permitted + ISSUE_SLACK;
        self.parts.clock.now() < credentials.expires_at && credentials.expires_at <= latest
    }

    /// Where minting failed, or is under way, older credentials that still live go on. They are not kept in
    /// memory, so that newer ones take their place at once.
    async fn older(&self, subject: &Subject, grant: &Grant) -> Result<Credentials, FetchError> {
        let (person, role) = (subject.person(), grant.role());
        let known = self.parts.store.credentials_of(subject.session()).await?;
        let problem = match best(&known, role) {
            Some(CredentialState::Failed(failure)) => FetchError::RefusedBySts {
                role: role.to_string(),
                reason: MintFailure::read(failure).message,
            },
            Some(CredentialState::Busy) => FetchError::Pending(role.to_string()),
            None if self.parts.clock.now() < subject.signed_in_at() + MINTING => {
                FetchError::Pending(role.to_string())
            }
            // Never minted for this sign-in: what an earlier one was given is not this one's.
            Some(CredentialState::Issued(_)) | None => return Err(sign_in_needed(person, role)),
        };
        let older = self
            .parts
            .store
            .last_issued_for(person, &grant.kind())
            .await?;
        older
            .filter(|older| self.may_serve(subject, grant, older))
            .ok_or(problem)
    }

    /// Audits the first time that a lease is given these credentials.
    async fn record(&self, lease: &Lease, served: &Credentials) -> Result<(), FetchError> {
        let key = (lease.id.clone(), served.access_key_id.clone());
        if self.recorded.contains_key(&key) {
            return Ok(());
        }
        let event = Event {
            person: Some(lease.person.clone()),
            role: Some(lease.role.clone()),
            lease: Some(lease.id.clone()),
            job: Some(lease.job.clone()),
            launcher: lease.launcher.clone(),
            access_key_id: Some(served.access_key_id.clone()),
            ..Event::new(EventKind::CredentialsFetched)
        };
        // Remembered once it is on disk: nobody is served on the strength of a record that was lost.
        self.parts.recorder.record(event).await?;
        self.recorded.insert(key, ()).await;
        Ok(())
    }
}

/// What a lease asks for.
fn request_of(lease: &Lease, now: DateTime<Utc>) -> Request<'_> {
    Request {
        launcher: lease.launcher.as_ref(),
        duration: lease.duration,
        narrowing: &lease.narrowing,
        job: Some(&lease.job),
        ..Request::of(&lease.role, now)
    }
}

/// Decides. With method `saml` the length was settled at the sign-in, whatever is asked later.
fn granted(subject: &Subject, request: &Request<'_>, rules: &Rules) -> Result<Grant, FetchError> {
    let refused = |denial| not_granted(subject, &denial);
    let grant = decide(subject, request, rules).map_err(refused)?;
    if grant.is_renewable() || request.duration.is_none() {
        return Ok(grant);
    }
    let settled = Request {
        duration: None,
        ..*request
    };
    decide(subject, &settled, rules).map_err(refused)
}
