//! Credentials that can be had again, by relay and broker: made when they are first wanted, renewed ahead
//! of their end, shared by all that hold the same issue key.
//!
//! One task asks STS for an issue key, however many wait for it, and a claim in the store elects one among
//! replicas; no request waits longer than SDKs do. What lives goes on being served while STS is away, what
//! has expired never. Decides nothing: it works on a [`Grant`].

mod asking;
mod flight;
mod hot;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::future::Cache;

use self::asking::Refusal;
use self::flight::Flights;
use self::flight::Outcome;
use self::hot::{Age, Hot};
use super::{Budget, FetchError, MintFailure, RelayKeys};
use crate::audit::Recorder;
use crate::model::{Clock, Credentials, IssueKey, Subject, TokenHash};
use crate::policy::Grant;
use crate::store::{CredentialState, Store, StoreError};
use crate::sts::{RelayToken, Sts};

/// How long a request waits for STS: SDKs give up after two seconds, and 1.5 s is what we promise.
const WAIT: Duration = Duration::from_millis(1300);
/// Issue keys that are kept in memory at most.
const CACHED: u64 = 200_000;

/// What [`Issuer`] works with.
pub struct IssuerParts {
    /// Where credentials are kept.
    pub store: Store,
    /// Who issues them.
    pub sts: Arc<Sts>,
    /// Signs what the relay sends STS.
    pub relay: Arc<RelayKeys>,
    /// How often STS is asked.
    pub budget: Budget,
    /// The audit.
    pub recorder: Recorder,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This process, among those that share the store.
    pub claimant: String,
}

/// Has credentials made and renewed.
pub struct Issuer {
    parts: IssuerParts,
    hot: Cache<IssueKey, Arc<Hot>>,
    flights: Flights,
    /// Whose lease asks for a key, so that it can be decided again when the key is renewed.
    users: Cache<IssueKey, TokenHash>,
    claims: AtomicU64,
    due: Mutex<BTreeSet<(DateTime<Utc>, IssueKey)>>,
}

impl Issuer {
    /// Has credentials made with `parts`.
    pub fn new(parts: IssuerParts) -> Self {
        Self {
            hot: Cache::new(CACHED),
            flights: Flights::new(Arc::clone(&parts.clock)),
            parts,
            users: Cache::new(CACHED),
            claims: AtomicU64::new(0),
            due: Mutex::default(),
        }
    }

    /// A token of the relay's, for a job to redeem itself.
    pub(super) async fn relay_token(&self, grant: &Grant) -> Result<RelayToken, FetchError> {
        let made = self.parts.relay.token(grant).await;
        made.map_err(|error| fetch_error(grant.role().as_str(), &Refusal::from(error).failure))
    }

    /// Drops what is in memory, since something was ended or revoked; what still counts is read again.
    pub(super) fn forget(&self) {
        self.hot.invalidate_all();
    }

    /// The credentials of `grant`, for the lease `user` if it is one that asks.
    pub(super) async fn credentials(
        self: &Arc<Self>,
        subject: &Subject,
        grant: Grant,
        user: Option<&TokenHash>,
    ) -> Result<Arc<Credentials>, FetchError> {
        let key = grant.issue_key();
        let known = self.known(&key).await?;
        let now = self.parts.clock.now();
        if let Some(hot) = &known {
            self.announce(&key, hot, user).await;
            match hot.age(now) {
                Age::Fresh => return Ok(Arc::clone(&hot.credentials)),
                Age::Due => {
                    let _renewal = self.fly(&key, grant, Some(hot));
                    return Ok(Arc::clone(&hot.credentials));
                }
                Age::Overdue | Age::Expired => {}
            }
        }
        let (person, kind) = (subject.person(), grant.kind());
        let role = grant.role().to_string();
        let flight = self.fly(&key, grant, known.as_ref());
        let problem = match tokio::time::timeout(WAIT, flight.outcome()).await {
            Ok(Outcome::Issued(hot)) => {
                self.announce(&key, &hot, user).await;
                return Ok(Arc::clone(&hot.credentials));
            }
            Ok(Outcome::Failed(failure)) => fetch_error(&role, &failure),
            Ok(Outcome::Dropped) | Err(_) => FetchError::Pending(role),
        };
        let now = self.parts.clock.now();
        if let Some(hot) = known.filter(|hot| now < hot.credentials.expires_at) {
            return Ok(Arc::clone(&hot.credentials));
        }
        // What an earlier sign-in of the person was given under the same terms goes on meanwhile.
        let older = self.parts.store.last_issued_for(person, &kind).await?;
        older.map(Arc::new).ok_or(problem)
    }

    /// Renews the credentials of `grant` if they are due; waits for nothing.
    pub(super) async fn renew(
        self: &Arc<Self>,
        grant: Grant,
        user: &TokenHash,
    ) -> Result<(), StoreError> {
        let key = grant.issue_key();
        let known = self.known(&key).await?;
        if let Some(hot) = &known {
            self.announce(&key, hot, Some(user)).await;
            if hot.age(self.parts.clock.now()) == Age::Fresh {
                return Ok(());
            }
        } else {
            self.users.insert(key.clone(), *user).await;
        }
        let _renewal = self.fly(&key, grant, known.as_ref());
        Ok(())
    }

    /// The leases whose credentials are due for renewal, each once.
    pub(super) async fn take_due(&self) -> Vec<(IssueKey, TokenHash)> {
        let now = self.parts.clock.now();
        let keys: Vec<IssueKey> = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let mut taken = Vec::new();
            while due.first().is_some_and(|(at, _)| *at <= now) {
                taken.extend(due.pop_first().map(|(_, key)| key));
            }
            taken
        };
        let mut users = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(user) = self.users.get(&key).await {
                users.push((key, user));
            }
        }
        users
    }

    /// Forgets a lease that is over: whoever else uses its key announces itself at its next fetch.
    pub(super) async fn leave(&self, key: &IssueKey) {
        self.users.invalidate(key).await;
        if let Some(hot) = self.hot.get(key).await {
            hot.forget_user();
        }
    }

    /// Remembers once who uses a key, and when it is to be renewed.
    async fn announce(&self, key: &IssueKey, hot: &Hot, user: Option<&TokenHash>) {
        let Some(user) = user.filter(|_| hot.is_first_user()) else {
            return;
        };
        self.users.insert(key.clone(), *user).await;
        self.schedule(key, hot);
    }

    fn schedule(&self, key: &IssueKey, hot: &Hot) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.insert((hot.renew_at(), key.clone()));
    }

    /// What memory or the store has under `key`.
    async fn known(&self, key: &IssueKey) -> Result<Option<Arc<Hot>>, StoreError> {
        if let Some(hot) = self.hot.get(key).await {
            return Ok(Some(hot));
        }
        match self.parts.store.credentials(key).await? {
            Some(CredentialState::Issued(found)) => Ok(Some(self.keep(key, found).await)),
            _ => Ok(None),
        }
    }

    async fn keep(&self, key: &IssueKey, credentials: Credentials) -> Arc<Hot> {
        let hot = Arc::new(Hot::new(key, credentials));
        self.hot.insert(key.clone(), Arc::clone(&hot)).await;
        if self.users.contains_key(key) {
            hot.is_first_user();
            self.schedule(key, &hot);
        }
        hot
    }

    /// Joins the task that asks STS for `key`, or starts it; a failure that is remembered is its outcome.
    fn fly(
        self: &Arc<Self>,
        key: &IssueKey,
        grant: Grant,
        known: Option<&Arc<Hot>>,
    ) -> flight::Flight {
        let now = self.parts.clock.now();
        let lives = known
            .map(|hot| hot.credentials.expires_at)
            .filter(|end| now < *end);
        let issuer = Arc::clone(self);
        self.flights.join(key, lives.is_some(), |key| async move {
            issuer.mint(&key, &grant, lives).await
        })
    }
}

fn fetch_error(role: &str, failure: &MintFailure) -> FetchError {
    let (role, reason) = (role.to_owned(), failure.message.clone());
    if failure.transient {
        FetchError::StsAway { role, reason }
    } else {
        FetchError::RefusedBySts { role, reason }
    }
}
