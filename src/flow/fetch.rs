//! Hands out credentials: to a job by its lease, to a person by the session.
//!
//! Every fetch is decided against the allow-list as it is now, on the person's newest confirmed
//! session. Hot answers come from memory; what is cached is dropped when anything is revoked, and
//! expiry is read with our own clock each time. Never calls STS itself: what method `saml` was given at
//! the sign-in is read, all else is the issuer's to have made.

mod asked;
mod counts;
mod decided;
mod direct;
mod error;
mod found;
mod prospect;
mod recorded;
mod refused;
mod renewal;
mod settled;
mod token;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use moka::future::Cache;
use tokio::time::Instant;
use tracing::Instrument;

pub(super) use self::asked::{granted, request_of};
use self::counts::FetchCounts;
use self::decided::{Basis, Count, Counter, Decided, Stamp};
pub use self::error::FetchError;
use self::error::sign_in_needed;
use self::found::Found;
pub use self::prospect::Prospect;
use self::recorded::Recorded;
pub use self::token::HandedOut;
use super::outcome::best;
use super::{AllowList, Holds, Issuer, MintFailure, Pulse};
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{
    Clock, Credentials, Lease, Method, Person, RoleArn, Subject, TRACES, TokenHash, rfc3339,
};
use crate::policy::{Grant, Rules};
use crate::store::{CredentialState, KnownCredentials, LiveSession, Store};

/// Leases whose decision is kept in memory at most.
const LEASES: u64 = 200_000;
/// Sessions that are kept in memory at most, and for how long where nobody needs them: only what was not
/// decided before needs one.
const SESSIONS: u64 = 5000;
const SESSION_IDLE: Duration = Duration::from_secs(30);

/// How long after a sign-in its credentials may still be on their way to a claim.
const MINTING: TimeDelta = TimeDelta::seconds(10);

/// What an ID token that STS is sent has left of its life at least.
pub(super) const REDEEMABLE: TimeDelta = TimeDelta::seconds(60);

/// Credentials may outlive the permitted time by the seconds that sign-in and STS took.
const ISSUE_SLACK: TimeDelta = TimeDelta::minutes(5);

/// Credentials on their way out, with what SDKs like to know of them.
pub struct Served {
    /// The credentials.
    pub credentials: Arc<Credentials>,
    /// The role they are of.
    pub role: Arc<RoleArn>,
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
    decided: Cache<TokenHash, Arc<Decided>>,
    sessions: Cache<Person, (u64, Count, Arc<LiveSession>)>,
    arrivals: Counter,
    revocations: Counter,
    recorded: Recorded,
    counts: FetchCounts,
}

impl Fetch {
    /// Serves with `parts`.
    pub fn new(parts: FetchParts) -> Self {
        Self {
            parts,
            decided: Cache::new(LEASES),
            sessions: Cache::builder()
                .max_capacity(SESSIONS)
                .time_to_idle(SESSION_IDLE)
                .build(),
            arrivals: Counter::new(),
            revocations: Counter::new(),
            recorded: Recorded::default(),
            counts: FetchCounts::default(),
        }
    }

    /// Whom and what an admin holds.
    pub(super) fn holds(&self) -> &Holds {
        &self.parts.holds
    }

    /// Drops what is cached, since something was ended, revoked or held.
    pub fn forget(&self) {
        // Counted first: what a fetch under way puts back after this rests on an older count.
        self.parts.issuer.forget();
        self.decided.invalidate_all();
        self.sessions.invalidate_all();
    }

    /// Drops the cached session of a person who has just signed in.
    pub async fn forget_person(&self, person: &Person) {
        self.arrivals.happened(person);
        self.sessions.invalidate(person).await;
    }

    /// Drops what was decided of a lease that has just been revoked.
    pub async fn forget_lease(&self, token: &TokenHash) {
        self.revocations.happened(token);
        self.decided.invalidate(token).await;
    }

    /// The credentials that the lease behind `token` has a right to.
    ///
    /// If anything was revoked or edited while they were looked up, they are looked up again.
    pub async fn for_lease(&self, token: &TokenHash) -> Result<Served, FetchError> {
        if self.parts.pulse.is_current()
            && let Some(decided) = self.decided.get(token).await
            && self.parts.clock.now() < decided.until
            && self.stands(&decided.basis)
        {
            self.counts.served_from_memory();
            return Ok(decided.serve());
        }
        // Refuses where the store is away.
        let found = self
            .until_settled(|rules, patience| self.look_up(token, rules, patience))
            .await;
        self.counts.found(&found);
        self.refusal(token, found).await
    }

    /// Whether a decision would be made as it was.
    fn stands(&self, basis: &Basis) -> bool {
        basis.stamp.epoch == self.parts.issuer.epoch()
            && self.parts.allow_list.is_current(&basis.rules)
            && self.arrivals.stands_at(basis.stamp.arrivals)
            && self.revocations.stands_at(basis.stamp.revocations)
    }

    async fn look_up(
        &self,
        token: &TokenHash,
        rules: Arc<Rules>,
        patience: Instant,
    ) -> Result<Served, FetchError> {
        let (epoch, revocations) = (self.parts.issuer.epoch(), self.revocations.of(token));
        let lease = self.live_lease(token).await?;
        let basis = Basis {
            rules,
            stamp: Stamp {
                epoch,
                arrivals: self.arrivals.of(&lease.person),
                revocations,
            },
        };
        let live = self.newest(&lease.person, &lease.role).await?;
        let request = request_of(&lease, self.parts.clock.now());
        let grant = granted(&live.subject, &request, &basis.rules)?;
        let until = grant.ends_at().min(lease.expires_at);
        let found = self
            .credentials_for(&live.subject, grant, Some(token), patience)
            .await;
        // A sign-in, or an ID token that was renewed for this very answer, may say that the role is gone.
        if !self.arrivals.stands_at(basis.stamp.arrivals) {
            return Err(FetchError::Unsettled);
        }
        let found = found?;
        self.record(&lease, &found.credentials).await?;
        self.still_lives(token, revocations).await?;
        let decided = Decided {
            until: found.keep_until.min(until),
            credentials: found.credentials,
            role: Arc::new(lease.role),
            basis,
        };
        let served = decided.serve();
        if self.parts.clock.now() < decided.until {
            self.decided.insert(*token, Arc::new(decided)).await;
        }
        Ok(served)
    }

    /// Looks at the lease once more where it, or one that shares its place, was revoked since `revocations`.
    async fn still_lives(&self, token: &TokenHash, revocations: Count) -> Result<(), FetchError> {
        if self.revocations.stands_at(revocations) {
            return Ok(());
        }
        self.live_lease(token).await.map(drop)
    }

    fn require_pulse(&self) -> Result<(), FetchError> {
        if self.parts.pulse.is_current() {
            return Ok(());
        }
        Err(FetchError::StoreAway)
    }

    /// The lease behind `token`, if it is neither over, revoked nor held.
    async fn live_lease(&self, token: &TokenHash) -> Result<Lease, FetchError> {
        self.require_pulse()?;
        let lease = self.parts.store.lease_by_token(token);
        let lease = lease
            .instrument(tracing::info_span!(target: TRACES, "store.lease"))
            .await?;
        let lease = lease.ok_or(FetchError::UnknownToken)?;
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

    /// The session that leases of `person` draw on. One that is kept in memory was looked up after the last
    /// sign-in and the last revocation that were heard of.
    async fn newest(
        &self,
        person: &Person,
        role: &RoleArn,
    ) -> Result<Arc<LiveSession>, FetchError> {
        let (epoch, arrivals) = (self.parts.issuer.epoch(), self.arrivals.of(person));
        if let Some((at, count, live)) = self.sessions.get(person).await
            && (at, count) == (epoch, arrivals)
        {
            return Ok(live);
        }
        let live = self.parts.store.newest_session(person);
        let live = live
            .instrument(tracing::info_span!(target: TRACES, "store.newest_session"))
            .await?;
        let live = Arc::new(live.ok_or_else(|| sign_in_needed(person, role))?);
        self.sessions
            .insert(person.clone(), (epoch, arrivals, Arc::clone(&live)))
            .await;
        Ok(live)
    }

    async fn credentials_for(
        &self,
        subject: &Subject,
        grant: Grant,
        token: Option<&TokenHash>,
        patience: Instant,
    ) -> Result<Found, FetchError> {
        if grant.is_renewable() {
            let issuer = &self.parts.issuer;
            let found = issuer.credentials(subject, grant, token, patience);
            return Ok(found.await?.into());
        }
        let issued = self
            .parts
            .store
            .newest_issued(subject.session(), grant.role())
            .await?;
        let Some(issued) = issued else {
            return self.older(subject, &grant).await.map(Found::once);
        };
        if !self.may_serve(subject, &grant, &issued) {
            return Err(sign_in_needed(subject.person(), grant.role()));
        }
        Ok(Found {
            keep_until: issued.expires_at,
            credentials: Arc::new(issued),
        })
    }

    /// Neither expired, nor longer than the allow-list permits since it was last edited.
    fn may_serve(&self, subject: &Subject, grant: &Grant, credentials: &Credentials) -> bool {
        let permitted = TimeDelta::seconds(i64::from(grant.duration().seconds()));
        let latest = subject.signed_in_at() + permitted + ISSUE_SLACK;
        self.parts.clock.now() < credentials.expires_at && credentials.expires_at <= latest
    }

    /// Where minting failed, was cut off, or is under way, older credentials that still live go on. They are not
    /// kept in memory, so that newer ones take their place at once.
    async fn older(&self, subject: &Subject, grant: &Grant) -> Result<Credentials, FetchError> {
        let (person, role) = (subject.person(), grant.role());
        let known = self.parts.store.credentials_of(subject.session()).await?;
        let problem = match best(&known, role) {
            Some(CredentialState::Failed(failure)) => FetchError::RefusedBySts {
                role: role.to_string(),
                reason: MintFailure::read(failure).message,
            },
            Some(CredentialState::Busy) => FetchError::Pending(role.to_string()),
            None if self.is_minting(subject, &known) => FetchError::Pending(role.to_string()),
            // They came between the two looks.
            Some(CredentialState::Issued(_)) => return Err(FetchError::Unsettled),
            // Whoever minted was killed or lost the store, or nothing permitted the role then.
            None => sign_in_needed(person, role),
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

    /// Whether a role without a claim may still be claimed: just after the sign-in, and as long as STS is asked for
    /// others of it.
    fn is_minting(&self, subject: &Subject, known: &[KnownCredentials]) -> bool {
        let asked = |one: &KnownCredentials| {
            one.method == Method::Saml && matches!(one.state, CredentialState::Busy)
        };
        self.parts.clock.now() < subject.signed_in_at() + MINTING || known.iter().any(asked)
    }

    /// Audits the first time that a lease is given these credentials.
    async fn record(&self, lease: &Lease, served: &Credentials) -> Result<(), FetchError> {
        let key_id = served.access_key_id.as_str();
        if self.recorded.has(&lease.id, "credentials", key_id) {
            return Ok(());
        }
        let event = Event {
            access_key_id: Some(key_id.to_owned()),
            ..event_of(lease, EventKind::CredentialsFetched)
        };
        // Remembered once it is on disk: nobody is served on the strength of a record that was lost.
        self.parts.recorder.record(event).await?;
        self.recorded.keep(&lease.id, "credentials", key_id);
        Ok(())
    }
}

/// What the audit is told of a lease.
fn event_of(lease: &Lease, kind: EventKind) -> Event {
    Event {
        person: Some(lease.person.clone()),
        role: Some(lease.role.clone()),
        lease: Some(lease.id.clone()),
        job: Some(lease.job.clone()),
        launcher: lease.launcher.clone(),
        ..Event::new(kind)
    }
}
