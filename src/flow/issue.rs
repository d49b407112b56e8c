//! Credentials that can be had again, by relay, broker and web-identity: made when they are first wanted,
//! renewed ahead of their end, shared by all that hold the same issue key.
//!
//! One task asks STS for an issue key, however many wait for it, and a claim in the store elects one among
//! replicas; no request waits longer than SDKs do. What lives goes on being served while STS is away, what
//! has expired never. Decides nothing: it works on a [`Grant`].

mod asking;
mod due;
mod flight;
mod hot;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use self::asking::Refusal;
pub(super) use self::due::Due;
use self::due::DueList;
use self::flight::{Flight, Flights, Outcome};
pub(super) use self::hot::Hot;
use self::hot::{Age, HotMap};
use super::{Budget, FetchError, IdTokens, MintFailure, RelayKeys, Underway};
use crate::audit::Recorder;
use crate::model::{Clock, Credentials, IssueKey, Person, RoleArn, Subject, TokenHash};
use crate::policy::Grant;
use crate::store::{CredentialState, Store, StoreError};
use crate::sts::{RelayToken, Sts};

/// When it is looked at again what became of a renewal.
const AGAIN: TimeDelta = TimeDelta::seconds(5);

/// What [`Issuer`] works with.
pub struct IssuerParts {
    /// Where credentials are kept.
    pub store: Store,
    /// Who issues them.
    pub sts: Arc<Sts>,
    /// Signs what the relay sends STS.
    pub relay: Arc<RelayKeys>,
    /// The IdPs' own tokens.
    pub id_tokens: Arc<IdTokens>,
    /// How often STS is asked.
    pub budget: Budget,
    /// The audit.
    pub recorder: Recorder,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This process, among those that share the store.
    pub claimant: String,
    /// What must end before the process does.
    pub underway: Underway,
}

/// Credentials that were found for a fetch.
pub(super) enum Found {
    /// Those of the grant, which may be kept in memory.
    Hot(Arc<Hot>),
    /// Those of an earlier sign-in under the same terms, for as long as there are no newer ones.
    Older(Credentials),
}

/// Has credentials made and renewed.
pub struct Issuer {
    parts: IssuerParts,
    hot: HotMap,
    flights: Flights,
    claims: AtomicU64,
    due: DueList,
}

impl Issuer {
    /// Has credentials made with `parts`.
    pub fn new(parts: IssuerParts) -> Self {
        Self {
            hot: HotMap::default(),
            flights: Flights::new(Arc::clone(&parts.clock), parts.underway.clone()),
            parts,
            claims: AtomicU64::new(0),
            due: DueList::default(),
        }
    }

    /// A token of the relay's, for a job to redeem itself.
    pub(super) async fn relay_token(&self, grant: &Grant) -> Result<RelayToken, FetchError> {
        let made = self.parts.relay.token(grant).await;
        made.map_err(|error| {
            fetch_error(grant.person(), grant.role(), &Refusal::from(error).failure)
        })
    }

    /// Counts what was ended or revoked, as far as it was heard of.
    pub(super) fn epoch(&self) -> u64 {
        self.hot.epoch()
    }

    /// Drops what is in memory, since something was ended or revoked; what still counts is read again.
    pub(super) fn forget(&self) {
        self.hot.forget();
    }

    /// The credentials of `grant`, for the lease `user` if it is one that asks; waits for STS until `patience` ends.
    pub(super) async fn credentials(
        self: &Arc<Self>,
        subject: &Subject,
        grant: Grant,
        user: Option<&TokenHash>,
        patience: Instant,
    ) -> Result<Found, FetchError> {
        let key = grant.issue_key();
        let known = self.known(&key).await?;
        if let Some(hot) = &known {
            self.announce(&key, hot, user);
            match hot.age(self.parts.clock.now()) {
                Age::Fresh => return Ok(Found::Hot(Arc::clone(hot))),
                Age::Due => {
                    let _renewal = self.fly(&key, grant, known.as_ref(), user);
                    return Ok(Found::Hot(Arc::clone(hot)));
                }
                Age::Overdue | Age::Expired => {}
            }
        }
        let (person, kind) = (subject.person(), grant.kind());
        let role = grant.role().clone();
        let flight = self.fly(&key, grant, known.as_ref(), user);
        let problem = match tokio::time::timeout_at(patience, flight.outcome()).await {
            Ok(Outcome::Issued(hot)) if hot.is_of(self.epoch()) => {
                self.announce(&key, &hot, user);
                return Ok(Found::Hot(hot));
            }
            // Asked for before something was ended or revoked, which may have been this: it is looked at again.
            Ok(Outcome::Issued(_)) => return Err(FetchError::Unsettled),
            Ok(Outcome::Failed(failure)) => fetch_error(person, &role, &failure),
            // Ended or decided anew while it was made: what was there before counts no more.
            Ok(Outcome::Dropped) => return Err(FetchError::Pending(role.to_string())),
            Err(_) => FetchError::Pending(role.to_string()),
        };
        let now = self.parts.clock.now();
        let still = |hot: &Arc<Hot>| now < hot.credentials.expires_at && hot.is_of(self.epoch());
        if let Some(hot) = known.filter(still) {
            return Ok(Found::Hot(hot));
        }
        // What an earlier sign-in of the person was given under the same terms goes on meanwhile.
        let older = self.parts.store.last_issued_for(person, &kind).await?;
        older.map(Found::Older).ok_or(problem)
    }

    /// Has the credentials of `grant` made, unless there are some, and waits for what comes of it.
    pub(super) async fn make(self: &Arc<Self>, grant: Grant) -> Result<(), StoreError> {
        let key = grant.issue_key();
        let known = self.known(&key).await?;
        let now = self.parts.clock.now();
        if known
            .as_ref()
            .is_none_or(|hot| hot.age(now) == Age::Expired)
        {
            // What became of it is in the store, for the portal and the next fetch to say.
            let _outcome = self.fly(&key, grant, known.as_ref(), None).outcome().await;
        }
        Ok(())
    }

    /// Renews the credentials of `grant`, which `due` asks for, unless they are fresh; waits for nothing. It is looked
    /// at again until they are.
    pub(super) async fn renew(self: &Arc<Self>, grant: Grant, due: Due) -> Result<(), Due> {
        let key = grant.issue_key();
        let Ok(known) = self.known(&key).await else {
            return Err(due);
        };
        let now = self.parts.clock.now();
        if let Some(hot) = &known
            && hot.age(now) == Age::Fresh
        {
            if !hot.is_last() {
                self.note(&key, hot, due.user);
            }
            return Ok(());
        }
        let flight = self.fly(&key, grant, known.as_ref(), Some(&due.user));
        self.put_back(due, flight.remembered_until().unwrap_or(now + AGAIN));
        Ok(())
    }

    /// The credentials that are due for renewal, each with a lease that uses them.
    pub(super) fn take_due(&self) -> Vec<Due> {
        self.due.take(self.parts.clock.now())
    }

    /// Has what was taken looked at again at a later time, while there is something to renew.
    pub(super) fn put_back_soon(&self, due: Due) {
        self.put_back(due, self.parts.clock.now() + AGAIN);
    }

    fn put_back(&self, due: Due, at: DateTime<Utc>) {
        if self.parts.clock.now() < due.hot.credentials.expires_at {
            self.due.add(at, due);
        }
    }

    /// Remembers once who uses credentials, so that they are renewed in time.
    fn announce(&self, key: &IssueKey, hot: &Arc<Hot>, user: Option<&TokenHash>) {
        if let Some(user) = user
            && hot.is_first_user()
        {
            self.note(key, hot, *user);
        }
    }

    fn note(&self, key: &IssueKey, hot: &Arc<Hot>, user: TokenHash) {
        // It has one from now on, whether or not there was one.
        let _first = hot.is_first_user();
        self.due.add(hot.renew_at(), Due::new(key, hot, user));
    }

    /// What memory or the store has under `key`.
    async fn known(&self, key: &IssueKey) -> Result<Option<Arc<Hot>>, StoreError> {
        if let Some(hot) = self.hot.get(key) {
            return Ok(Some(hot));
        }
        // Before the store is read: what it says may be revoked a moment later.
        let epoch = self.epoch();
        match self.parts.store.credentials(key).await? {
            Some(CredentialState::Issued(found)) => Ok(Some(self.hot.keep(key, found, epoch))),
            _ => Ok(None),
        }
    }

    /// Joins the task that asks STS for `key`, or starts it; a failure that is remembered is its outcome.
    fn fly(
        self: &Arc<Self>,
        key: &IssueKey,
        grant: Grant,
        known: Option<&Arc<Hot>>,
        user: Option<&TokenHash>,
    ) -> Flight {
        let now = self.parts.clock.now();
        let lives = known.filter(|hot| now < hot.credentials.expires_at);
        let (issuer, lives, user) = (Arc::clone(self), lives.cloned(), user.copied());
        self.flights.join(key, lives.is_some(), |key| async move {
            let end = lives.as_ref().map(|hot| hot.credentials.expires_at);
            let outcome = issuer.mint(&key, &grant, end).await;
            match (&outcome, lives) {
                (Outcome::Issued(hot), _) => issuer.announce(&key, hot, user.as_ref()),
                (Outcome::Failed(failure), Some(hot)) if failure.sign_in => hot.keep_to_the_end(),
                _ => {}
            }
            outcome
        })
    }
}

fn fetch_error(person: &Person, role: &RoleArn, failure: &MintFailure) -> FetchError {
    let (role, reason) = (role.to_string(), failure.message.clone());
    if failure.sign_in {
        let user = person.user.to_string();
        FetchError::SignInNeeded { user, role }
    } else if failure.transient {
        FetchError::StsAway { role, reason }
    } else {
        FetchError::RefusedBySts { role, reason }
    }
}
