//! Gives a job the right to fetch a person's credentials, and takes it back.
//!
//! A launcher may lease what its token's patterns cover, a person only for himself. Whether the role
//! is permitted is decided at once, and again at every fetch.

mod error;
mod order;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::Instrument;

pub use self::error::LeaseError;
pub use self::order::{LeaseOrder, Orderer};
use self::order::{own, within_reach};
use super::{Fetch, FetchError, Prospect};
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{
    Clock, Entropy, JobName, Lease, LeaseId, Method, Person, Secret, TRACES, Token, TokenHash,
    TokenKind, UserName, rfc3339,
};
use crate::store::{LeaseFilter, LiveSession, Once, Repeatable, Standing, Store, StoreError};

/// How many leases are read at once where all of a job's are wanted.
const AT_ONCE: u32 = 100;
/// For how long after a revocation one of the whole job is taken for the same call, once more.
const REPEATED_FOR: TimeDelta = TimeDelta::minutes(10);

/// A lease, with its token for this once.
pub struct LeaseMade {
    /// The lease.
    pub lease: Lease,
    /// How its credentials are had.
    pub method: Method,
    /// When credentials stop for good.
    pub lasts_until: DateTime<Utc>,
    /// What makes them stop.
    pub limited_by: &'static str,
    /// The job's token.
    pub token: Secret,
}

/// Makes, lists and revokes leases.
pub struct Leases {
    /// Where they are kept.
    pub store: Store,
    /// What credentials there are.
    pub fetch: Arc<Fetch>,
    /// The audit.
    pub recorder: Recorder,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for tokens.
    pub entropy: Arc<dyn Entropy>,
    /// `leases.default_ttl_seconds`.
    pub default_ttl_seconds: u32,
    /// `leases.max_ttl_seconds`.
    pub max_ttl_seconds: u32,
}

impl Leases {
    /// Makes a lease, or gives the one that the same call made before.
    pub async fn create(&self, by: &Orderer, order: LeaseOrder) -> Result<LeaseMade, LeaseError> {
        let refused = refused(by, &order);
        let made = self.make(by, order).await;
        if let Err(error) = &made
            && let Some(code) = error.denial()
        {
            let event = Event {
                reason: Some(format!("{code}: {error}")),
                ..refused
            };
            self.recorder.note(event, code);
        }
        made
    }

    async fn make(&self, by: &Orderer, order: LeaseOrder) -> Result<LeaseMade, LeaseError> {
        within_reach(by, &order)?;
        let ttl = order.ttl_seconds.unwrap_or(self.default_ttl_seconds);
        if ttl == 0 || ttl > self.max_ttl_seconds {
            return Err(LeaseError::TtlOutOfRange(self.max_ttl_seconds));
        }
        if order.needed_until.is_some_and(|at| at <= self.clock.now()) {
            return Err(LeaseError::NeededInThePast);
        }
        let call = order.idempotency_key.as_ref().map(|key| Repeatable {
            owner: by.owner(),
            key: key.clone(),
            request: order.digest(),
        });
        if let Some(call) = &call
            && let Some(once) = self.store.repeated(call).await?
        {
            return self.again(by, once, order.needed_until).await;
        }
        // Before the session, which a hold has ended; again where only the session says at which IdP.
        let (user, idp, role) = (&order.user, order.idp.as_ref(), &order.role);
        let holds = self.fetch.holds();
        holds.permit_named(user, idp, role, by.launcher())?;
        let live = self.session_of(by, &order).await?;
        let now = self.clock.now();
        let lease = Lease {
            id: LeaseId::fresh(&*self.clock, &*self.entropy),
            person: live.subject.person().clone(),
            role: order.role,
            job: order.job,
            launcher: by.launcher().cloned(),
            duration: order.duration,
            narrowing: order.narrowing,
            created_at: now,
            expires_at: now + TimeDelta::seconds(i64::from(ttl)),
            revoked_at: None,
        };
        let prospect = self.prospect(&live, &lease).await?;
        let token = Token::fresh(TokenKind::Lease, &*self.entropy);
        let hash = token.hash();
        let made = made(lease, &prospect, token.into_secret());
        in_time(&made, order.needed_until)?;
        // AWS may have been waited for: what was held or revoked meanwhile is looked at again.
        let (person, launcher) = (&made.lease.person, by.launcher());
        holds.permit(person, &made.lease.role, launcher)?;
        let standing = Standing {
            session: live.subject.session().clone(),
            token: by.token().cloned(),
        };
        match self.keep(&made, &hash, call.as_ref(), &standing).await? {
            Once::First => {
                let recorded = self.audit(EventKind::LeaseCreated, &made.lease, by, None);
                let recorded = recorded.await;
                if recorded.is_err() && call.is_none() {
                    // A lease that the audit does not know must serve nobody. Nobody has its token either, but for
                    // who repeats the call by its key; then the audit is told first.
                    self.store.revoke_lease(&made.lease.id).await?;
                }
                recorded.map(|()| made)
            }
            Once::Gone => Err(LeaseError::Gone),
            before => self.again(by, before, order.needed_until).await,
        }
    }

    async fn keep(
        &self,
        made: &LeaseMade,
        hash: &TokenHash,
        call: Option<&Repeatable>,
        standing: &Standing,
    ) -> Result<Once, StoreError> {
        let (store, lease) = (&self.store, &made.lease);
        let span = tracing::info_span!(target: TRACES, "store.add_lease");
        if let Some(call) = call {
            let token = &made.token;
            return store
                .add_lease_once(lease, token, hash, call, standing)
                .instrument(span)
                .await;
        }
        let kept = store.add_lease_of(lease, hash, standing);
        let kept = kept.instrument(span).await?;
        Ok(if kept { Once::First } else { Once::Gone })
    }

    /// The lease that the same call made before, if it still is one.
    async fn again(
        &self,
        by: &Orderer,
        once: Once,
        needed_until: Option<DateTime<Utc>>,
    ) -> Result<LeaseMade, LeaseError> {
        let Once::Again { lease, token } = once else {
            return Err(LeaseError::KeyReused);
        };
        let lease = self.read(by, &lease).await?;
        if lease.revoked_at.is_some() {
            return Err(FetchError::LeaseRevoked.into());
        }
        if lease.expires_at <= self.clock.now() {
            return Err(FetchError::LeaseExpired(rfc3339(lease.expires_at)).into());
        }
        let live = self.store.newest_session(&lease.person).await?;
        let live = live.ok_or_else(|| LeaseError::SignInNeeded(lease.person.user.clone()))?;
        let prospect = self.prospect(&live, &lease).await?;
        let made = made(lease, &prospect, token);
        in_time(&made, needed_until)?;
        // Whoever made it may have been killed before the audit knew of it; and the token leaves once more.
        let reason = "asked for again by its Idempotency-Key";
        self.audit(EventKind::LeaseCreated, &made.lease, by, Some(reason))
            .await?;
        Ok(made)
    }

    async fn prospect(&self, live: &LiveSession, lease: &Lease) -> Result<Prospect, LeaseError> {
        let prospect = self.fetch.prospect(&live.subject, lease).await;
        prospect.map_err(|error| match error {
            FetchError::SignInNeeded { .. } => {
                LeaseError::SignInNeeded(live.subject.person().user.clone())
            }
            other => other.into(),
        })
    }

    /// One lease that `by` may see.
    pub async fn read(&self, by: &Orderer, id: &LeaseId) -> Result<Lease, LeaseError> {
        let lease = self.store.lease(id).await?;
        lease
            .filter(|lease| by.owns(lease))
            .ok_or(LeaseError::NotFound)
    }

    /// The leases that `by` may see, oldest first.
    pub async fn list(
        &self,
        by: &Orderer,
        user: Option<UserName>,
        job: Option<JobName>,
        after: Option<&LeaseId>,
        limit: u32,
    ) -> Result<Vec<Lease>, LeaseError> {
        let filter = LeaseFilter {
            user,
            job,
            ..own(by)
        };
        Ok(self.store.leases(filter, after, limit).await?)
    }

    /// Revokes one lease; its token is refused from now on.
    pub async fn revoke(&self, by: &Orderer, id: &LeaseId) -> Result<(), LeaseError> {
        let lease = self.read(by, id).await?;
        let Some(token) = self.store.revoke_lease(id).await? else {
            // Whoever revoked it may have been killed before the audit knew of it.
            let reason = Some("revoked before");
            return self
                .audit(EventKind::LeaseRevoked, &lease, by, reason)
                .await;
        };
        self.fetch.forget_lease(&token).await;
        self.audit(EventKind::LeaseRevoked, &lease, by, None).await
    }

    /// Revokes the leases of one job; returns how many there were.
    pub async fn revoke_job(&self, by: &Orderer, job: JobName) -> Result<u64, LeaseError> {
        let filter = LeaseFilter {
            job: Some(job),
            ..own(by)
        };
        let mut revoked = 0;
        let mut after = None;
        loop {
            let page = self.store.leases(filter.clone(), after.as_ref(), AT_ONCE);
            let page = page.await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            for lease in &page {
                revoked += self.revoke_of_job(by, lease).await?;
            }
        }
        Ok(revoked)
    }

    /// Revokes one of a job's; returns how many that were.
    async fn revoke_of_job(&self, by: &Orderer, lease: &Lease) -> Result<u64, LeaseError> {
        if let Some(at) = lease.revoked_at {
            // Whoever revoked it may have been killed before the audit knew of it; a call is not repeated for longer.
            if self.clock.now() - at < REPEATED_FOR {
                let reason = Some("revoked before");
                self.audit(EventKind::LeaseRevoked, lease, by, reason)
                    .await?;
            }
            return Ok(0);
        }
        let Some(token) = self.store.revoke_lease(&lease.id).await? else {
            return Ok(0);
        };
        self.fetch.forget_lease(&token).await;
        self.audit(EventKind::LeaseRevoked, lease, by, None).await?;
        Ok(1)
    }

    async fn session_of(
        &self,
        by: &Orderer,
        order: &LeaseOrder,
    ) -> Result<LiveSession, LeaseError> {
        let needed = || LeaseError::SignInNeeded(order.user.clone());
        let idp = match (by, &order.idp) {
            (Orderer::Person(person), _) => person.idp.clone(),
            (Orderer::Launcher(_) | Orderer::Admin(_), Some(idp)) => idp.clone(),
            (Orderer::Launcher(_) | Orderer::Admin(_), None) => {
                let mut idps = self.store.idps_of_user(&order.user).await?;
                if idps.len() > 1 {
                    let user = order.user.clone();
                    return Err(LeaseError::UserAmbiguous { user, idps });
                }
                idps.pop().ok_or_else(needed)?
            }
        };
        let person = Person {
            idp,
            user: order.user.clone(),
        };
        let live = self.store.newest_session(&person).await?;
        live.ok_or_else(needed)
    }

    async fn audit(
        &self,
        kind: EventKind,
        lease: &Lease,
        by: &Orderer,
        reason: Option<&str>,
    ) -> Result<(), LeaseError> {
        let event = Event {
            person: Some(lease.person.clone()),
            role: Some(lease.role.clone()),
            lease: Some(lease.id.clone()),
            job: Some(lease.job.clone()),
            launcher: lease.launcher.clone(),
            by: Some(by.name()),
            reason: reason.map(str::to_owned),
            ..Event::new(kind)
        };
        Ok(self.recorder.record(event).await?)
    }
}

/// What the audit is told where there is no lease, beside why.
fn refused(by: &Orderer, order: &LeaseOrder) -> Event {
    Event {
        user: Some(order.user.clone()),
        idp: order.idp.clone(),
        role: Some(order.role.clone()),
        job: Some(order.job.clone()),
        launcher: by.launcher().cloned(),
        by: Some(by.name()),
        ..Event::new(EventKind::LeaseRefused)
    }
}

/// Whether credentials last as long as the job needs them.
fn in_time(made: &LeaseMade, needed_until: Option<DateTime<Utc>>) -> Result<(), LeaseError> {
    match needed_until {
        Some(needed) if made.lasts_until < needed => Err(LeaseError::WouldExpireEarly {
            lasts_until: rfc3339(made.lasts_until),
            limited_by: made.limited_by,
            needed_until: rfc3339(needed),
        }),
        _ => Ok(()),
    }
}

/// What a launcher is told of its lease.
fn made(lease: Lease, prospect: &Prospect, token: Secret) -> LeaseMade {
    let (lasts_until, limited_by) = if lease.expires_at <= prospect.ends_at {
        (lease.expires_at, "lease")
    } else {
        (prospect.ends_at, prospect.limited_by)
    };
    LeaseMade {
        lease,
        method: prospect.method,
        lasts_until,
        limited_by,
        token,
    }
}
