//! Gives a job the right to fetch a person's credentials, and takes it back.
//!
//! A launcher may lease what its token's patterns cover, a person only for himself. Whether the role
//! is permitted is decided at once, and again at every fetch.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use super::fetch::not_granted;
use super::{AllowList, Fetch, FetchError};
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{
    Clock, Entropy, IdpName, JobName, Lease, LeaseId, Method, Person, RoleArn, Secret,
    SessionDuration, Token, TokenKind, TokenName, TokenRecord, UserName, rfc3339,
};
use crate::policy::{Request, decide};
use crate::store::{LeaseFilter, LiveSession, Store, StoreError};

/// How many leases are read at once where all of a job's are wanted.
const AT_ONCE: u32 = 100;

/// Who orders a lease.
pub enum Orderer {
    /// A program with a launcher token.
    Launcher(TokenRecord),
    /// The person, for a job of his own.
    Person(Person),
    /// An admin, who sees and revokes every lease and makes none.
    Admin(TokenName),
}

impl Orderer {
    fn launcher(&self) -> Option<&TokenName> {
        match self {
            Self::Launcher(token) => Some(&token.name),
            Self::Person(_) | Self::Admin(_) => None,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Launcher(token) => format!("launcher:{}", token.name),
            Self::Person(person) => format!("user:{}", person.user),
            Self::Admin(name) => format!("admin:{name}"),
        }
    }

    /// Whether it may see and revoke `lease`.
    fn owns(&self, lease: &Lease) -> bool {
        match self {
            Self::Launcher(token) => lease.launcher.as_ref() == Some(&token.name),
            Self::Person(person) => lease.person == *person,
            Self::Admin(_) => true,
        }
    }
}

/// What is ordered.
pub struct LeaseOrder {
    /// Whose role.
    pub user: UserName,
    /// At which IdP, where the user is known at several.
    pub idp: Option<IdpName>,
    /// The role.
    pub role: RoleArn,
    /// The job.
    pub job: JobName,
    /// How long the lease should last, in seconds.
    pub ttl_seconds: Option<u32>,
    /// How long credentials should last.
    pub duration: Option<SessionDuration>,
    /// Until when the job needs credentials.
    pub needed_until: Option<DateTime<Utc>>,
    /// Whether a session policy or tags were asked for.
    pub narrowed: bool,
}

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

/// Why there is no lease.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// Nobody of that name is signed in.
    #[error("{0} has no live session; have {0} sign in at the login_url")]
    SignInNeeded(UserName),
    /// Several IdPs know a user of that name.
    #[error("{user} is signed in at several IdPs; name one of them as `idp`")]
    UserAmbiguous {
        /// The user.
        user: UserName,
        /// Where.
        idps: Vec<IdpName>,
    },
    /// The token or the session does not reach that far.
    #[error("{0}")]
    OutsideToken(String),
    /// The method cannot do what was asked.
    #[error(
        "method {0} takes no session policy and no tags; leave them out, or have the entry use web-identity, relay or broker"
    )]
    MethodCannot(Method),
    /// Credentials stop before the job is done.
    #[error(
        "credentials last until {lasts_until}, limited by {limited_by}, but are needed until {needed_until}; have the user sign in again before the job, or ask for less"
    )]
    WouldExpireEarly {
        /// When they stop.
        lasts_until: String,
        /// What makes them stop.
        limited_by: &'static str,
        /// What was asked.
        needed_until: String,
    },
    /// A lifetime that the gateway does not give.
    #[error("ttl_seconds must be from 1 to {0}")]
    TtlOutOfRange(u32),
    /// No such lease, or not of this actor.
    #[error("there is no such lease of yours")]
    NotFound,
    /// As at a fetch.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl From<StoreError> for LeaseError {
    fn from(error: StoreError) -> Self {
        Self::Fetch(error.into())
    }
}

/// Makes, lists and revokes leases.
pub struct Leases {
    /// Where they are kept.
    pub store: Store,
    /// What is permitted.
    pub allow_list: Arc<AllowList>,
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
    /// Makes a lease.
    pub async fn create(&self, by: &Orderer, order: LeaseOrder) -> Result<LeaseMade, LeaseError> {
        within_reach(by, &order)?;
        let ttl = order.ttl_seconds.unwrap_or(self.default_ttl_seconds);
        if ttl == 0 || ttl > self.max_ttl_seconds {
            return Err(LeaseError::TtlOutOfRange(self.max_ttl_seconds));
        }
        // Before the session, which a hold has ended; again where only the session says at which IdP.
        let held = |idp| {
            self.fetch
                .holds
                .permit_named(&order.user, idp, &order.role, by.launcher())
        };
        held(order.idp.as_ref())?;
        let live = self.session_of(by, &order).await?;
        held(Some(&live.subject.person().idp))?;
        let method = self.method(by, &order, &live)?;
        let credentials_end = self
            .fetch
            .lasts_until(&live.subject, &order.role, by.launcher())
            .await?;
        let now = self.clock.now();
        let expires_at = now + TimeDelta::seconds(i64::from(ttl));
        let (lasts_until, limited_by) = [
            (expires_at, "lease"),
            (live.expires_at, "session"),
            (credentials_end, "credentials"),
        ]
        .into_iter()
        .min_by_key(|(end, _)| *end)
        .unwrap_or((expires_at, "lease"));
        if let Some(needed) = order.needed_until
            && lasts_until < needed
        {
            return Err(LeaseError::WouldExpireEarly {
                lasts_until: rfc3339(lasts_until),
                limited_by,
                needed_until: rfc3339(needed),
            });
        }
        let lease = Lease {
            id: LeaseId::fresh(&*self.clock, &*self.entropy),
            person: live.subject.person().clone(),
            role: order.role,
            job: order.job,
            launcher: by.launcher().cloned(),
            duration: order.duration,
            created_at: now,
            expires_at,
            revoked_at: None,
        };
        let token = Token::fresh(TokenKind::Lease, &*self.entropy);
        self.store.add_lease(&lease, &token.hash()).await?;
        self.audit(EventKind::LeaseCreated, &lease, by).await?;
        Ok(LeaseMade {
            lease,
            method,
            lasts_until,
            limited_by,
            token: token.into_secret(),
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
        self.store.revoke_lease(id).await?;
        self.fetch.forget();
        self.audit(EventKind::LeaseRevoked, &lease, by).await
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
            for lease in page.iter().filter(|lease| lease.revoked_at.is_none()) {
                self.store.revoke_lease(&lease.id).await?;
                self.audit(EventKind::LeaseRevoked, lease, by).await?;
                revoked += 1;
            }
        }
        self.fetch.forget();
        Ok(revoked)
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

    fn method(
        &self,
        by: &Orderer,
        order: &LeaseOrder,
        live: &LiveSession,
    ) -> Result<Method, LeaseError> {
        let request = Request {
            role: &order.role,
            launcher: by.launcher(),
            duration: order.duration,
            now: self.clock.now(),
        };
        let grant = decide(&live.subject, &request, &self.allow_list.rules())
            .map_err(|denial| not_granted(&live.subject, &denial))?;
        if order.narrowed && grant.method() == Method::Saml {
            return Err(LeaseError::MethodCannot(grant.method()));
        }
        Ok(grant.method())
    }

    async fn audit(&self, kind: EventKind, lease: &Lease, by: &Orderer) -> Result<(), LeaseError> {
        let event = Event {
            person: Some(lease.person.clone()),
            role: Some(lease.role.clone()),
            lease: Some(lease.id.clone()),
            job: Some(lease.job.clone()),
            launcher: lease.launcher.clone(),
            by: Some(by.name()),
            ..Event::new(kind)
        };
        Ok(self.recorder.record(event).await?)
    }
}

fn own(by: &Orderer) -> LeaseFilter {
    match by {
        Orderer::Launcher(token) => LeaseFilter {
            launcher: Some(token.name.clone()),
            ..LeaseFilter::default()
        },
        Orderer::Person(person) => LeaseFilter {
            person: Some(person.clone()),
            ..LeaseFilter::default()
        },
        Orderer::Admin(_) => LeaseFilter::default(),
    }
}

/// A launcher token without patterns reaches nothing; a person reaches himself.
fn within_reach(by: &Orderer, order: &LeaseOrder) -> Result<(), LeaseError> {
    match by {
        Orderer::Admin(_) => {
            return Err(LeaseError::OutsideToken(
                "an admin's token makes no leases; use a launcher token".to_owned(),
            ));
        }
        Orderer::Person(person) => {
            let same_idp = order.idp.as_ref().is_none_or(|idp| *idp == person.idp);
            if order.user != person.user || !same_idp {
                return Err(LeaseError::OutsideToken(
                    "a session may lease only for its own user; use a launcher token for others"
                        .to_owned(),
                ));
            }
        }
        Orderer::Launcher(token) => {
            let covers = |pattern: &Option<crate::model::TextPattern>, text: &str| {
                pattern
                    .as_ref()
                    .is_some_and(|pattern| pattern.matches(text))
            };
            if !covers(&token.for_users, order.user.as_str()) {
                return Err(LeaseError::OutsideToken(format!(
                    "token {} is not for user {}; make one whose --for-users covers it",
                    token.name, order.user
                )));
            }
            if !covers(&token.for_roles, order.role.as_str()) {
                return Err(LeaseError::OutsideToken(format!(
                    "token {} is not for {}; make one whose --for-roles covers it",
                    token.name, order.role
                )));
            }
        }
    }
    Ok(())
}
