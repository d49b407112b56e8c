//! The ID tokens of people's sign-ins, for STS: those that the sign-in gave, and the newer ones that their
//! refresh tokens are redeemed for.
//!
//! A refresh token is redeemed by one task at a time, whatever process it is in: a provider that rotates them
//! takes one that comes twice for stolen, and ends the sign-in (RFC 9700, 4.14.2). So a claim in the store
//! elects who asks, nobody gives the claim back while what was asked may still succeed, and the successor is on
//! disk before anything uses the newer ID token. No lock or connection is held over the call. Trusts what
//! `oidc` verified; never shows a token to anybody but the provider and STS.

mod ahead;
mod failures;
mod outcome;
mod problem;
mod redeem;
mod schedule;
mod turns;

#[cfg(test)]
pub(super) mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use self::failures::Failures;
pub use self::problem::TokenProblem;
pub use self::schedule::refresh_at;
use self::turns::Turns;
use super::flights::Flights;
use super::{AllowList, Fetch, Holds, Providers, Underway};
use crate::audit::Recorder;
use crate::model::{Clock, IdToken, OidcTokens, Person, Secret, SessionId, Subject, TRACES};
use crate::store::{RefreshClaim, Store};

/// How long a claim on a refresh token holds. A call takes ten seconds at most; the rest is for the provider to
/// finish what it was asked though nobody hears of it, and for us to keep what it gave where the store is away.
const CLAIM: TimeDelta = TimeDelta::seconds(60);
/// How often it is looked whether the one who was elected is done.
const LOOK: Duration = Duration::from_millis(200);
/// And how many times: longer than a call may take.
const LOOKS: u32 = 75;

/// What [`IdTokens`] works with.
pub struct IdTokensParts {
    /// Where tokens are kept.
    pub store: Store,
    /// Who renews them.
    pub providers: Arc<Providers>,
    /// Who still needs them.
    pub allow_list: Arc<AllowList>,
    /// Whom and what an admin holds.
    pub holds: Arc<Holds>,
    /// The audit.
    pub recorder: Recorder,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This process, among those that share the store.
    pub claimant: String,
}

/// Gives ID tokens, renewed where need be.
pub struct IdTokens {
    parts: IdTokensParts,
    flights: Flights<SessionId, Result<IdToken, TokenProblem>>,
    failures: Failures,
    claims: AtomicU64,
    /// A gateway that stops waits for them.
    turns: Turns,
    /// Whose memory must learn of what a refresh changed. It works on this, and so comes later.
    fetch: OnceLock<Weak<Fetch>>,
}

/// What a token must be to be of use.
#[derive(Clone)]
enum Wanted {
    /// Good for so long.
    Lives(TimeDelta),
    /// Another than this one, which STS did not take.
    Newer(Secret),
    /// Not due for renewal.
    Early,
}

impl Wanted {
    fn is_met_by(&self, token: &IdToken, session: &SessionId, now: DateTime<Utc>) -> bool {
        match self {
            Self::Lives(at_least) => now + *at_least <= token.expires_at,
            Self::Newer(before) => token.jwt != *before && now < token.expires_at,
            Self::Early => now < schedule::due_at(token, session),
        }
    }

    /// Whether a token will do that the provider gave none instead of.
    fn is_served_by(&self, token: &IdToken, session: &SessionId, now: DateTime<Utc>) -> bool {
        match self {
            Self::Lives(_) | Self::Newer(_) => self.is_met_by(token, session, now),
            Self::Early => now < token.expires_at,
        }
    }
}

/// A session's claim, as it was won.
struct Won {
    session: SessionId,
    claimant: String,
    /// Until when it holds.
    until: DateTime<Utc>,
    tokens: OidcTokens,
    /// A gateway that stops waits until it is given back.
    _turn: OwnedSemaphorePermit,
}

/// What came of a claim.
enum Claimed {
    Won(Box<Won>),
    Busy,
    Gone,
}

impl IdTokens {
    /// Gives tokens with `parts`. Must be called within a Tokio runtime.
    pub fn new(parts: IdTokensParts) -> Self {
        Self {
            turns: Turns::at(&parts.providers),
            parts,
            flights: Flights::new(Underway::here()),
            failures: Failures::default(),
            claims: AtomicU64::new(0),
            fetch: OnceLock::new(),
        }
    }

    /// Says whose memory must learn of what a refresh changed.
    pub fn tell(&self, fetch: &Arc<Fetch>) {
        let _first = self.fetch.set(Arc::downgrade(fetch));
    }

    /// An ID token of `session` that is good for `at_least` so long, or the newest that the provider gives.
    ///
    /// # Errors
    ///
    /// Where it has to be renewed and cannot be; [`TokenProblem::Changed`] where it was, and offers other roles
    /// than the one before.
    pub async fn current(
        self: &Arc<Self>,
        session: &SessionId,
        at_least: TimeDelta,
    ) -> Result<IdToken, TokenProblem> {
        self.wanted(session, Wanted::Lives(at_least)).await
    }

    /// An ID token of `session` that is newer than `before`, which STS did not take though it had not ended.
    ///
    /// # Errors
    ///
    /// As [`IdTokens::current`].
    pub async fn newer_than(
        self: &Arc<Self>,
        session: &SessionId,
        before: &IdToken,
    ) -> Result<IdToken, TokenProblem> {
        let wanted = Wanted::Newer(before.jwt.clone());
        self.wanted(session, wanted).await
    }

    /// Lets no refresh begin, and waits until none is on its way: what a provider gave must be kept before the process
    /// ends. Says whether that was within the 56 seconds that one may take where the store is away.
    pub async fn settle(&self) -> bool {
        let ended = tokio::time::timeout(redeem::LONGEST, self.turns.close());
        ended.await.is_ok()
    }

    async fn wanted(
        self: &Arc<Self>,
        session: &SessionId,
        wanted: Wanted,
    ) -> Result<IdToken, TokenProblem> {
        let now = self.parts.clock.now();
        let Some(tokens) = self.parts.store.oidc_tokens(session).await? else {
            return Err(match self.parts.store.session_of_leases(session).await? {
                Some(_) => TokenProblem::NoTokens,
                None => TokenProblem::Ended,
            });
        };
        if wanted.is_met_by(&tokens.id_token, session, now) {
            return Ok(tokens.id_token);
        }
        if tokens.refresh_token.is_none() {
            let idp = self.live(session).await?.person().idp.clone();
            return Err(TokenProblem::Over(idp));
        }
        if let Some(problem) = self.failures.of(session, now) {
            return Err(problem);
        }
        let flight = self.flights.join(session, |session| {
            let (this, wanted) = (Arc::clone(self), wanted.clone());
            let span = tracing::info_span!(target: TRACES, "id_token");
            async move { this.elect(&session, &wanted).await }.instrument(span)
        });
        let token = flight
            .landed()
            .await
            .unwrap_or(Err(TokenProblem::Waiting))?;
        match &wanted {
            // Who flew first wanted less.
            Wanted::Newer(before) if token.jwt == *before => Err(TokenProblem::Waiting),
            _ => Ok(token),
        }
    }

    /// Wins the claim and redeems the refresh token, or waits for who did.
    async fn elect(
        self: Arc<Self>,
        session: &SessionId,
        wanted: &Wanted,
    ) -> Result<IdToken, TokenProblem> {
        let before = self.live(session).await?;
        let claimant = self.claimant();
        for _ in 0..LOOKS {
            match self.claim(&before, &claimant).await? {
                Claimed::Won(won) => return self.redeem(*won, wanted).await,
                Claimed::Gone => return Err(TokenProblem::Ended),
                Claimed::Busy => tokio::time::sleep(LOOK).await,
            }
            let tokens = self.parts.store.oidc_tokens(session).await?;
            let token = tokens.ok_or(TokenProblem::Ended)?.id_token;
            if wanted.is_met_by(&token, session, self.parts.clock.now()) {
                return self.renewed_elsewhere(&before, token).await;
            }
        }
        Err(TokenProblem::Waiting)
    }

    /// What another process had renewed: its news may not have been heard here yet.
    async fn renewed_elsewhere(
        &self,
        before: &Subject,
        token: IdToken,
    ) -> Result<IdToken, TokenProblem> {
        let after = self.live(before.session()).await?;
        if after.parts().offers == before.parts().offers {
            return Ok(token);
        }
        self.person_changed(before.person()).await;
        Err(TokenProblem::Changed)
    }

    /// The session, if leases may still draw on it.
    async fn live(&self, session: &SessionId) -> Result<Arc<Subject>, TokenProblem> {
        let live = self.parts.store.session_of_leases(session).await?;
        live.map(|live| live.subject).ok_or(TokenProblem::Ended)
    }

    /// A name of its own for each claim, so that none gives back another's.
    fn claimant(&self) -> String {
        let turn = self.claims.fetch_add(1, Ordering::Relaxed);
        format!("{}/{turn}", self.parts.claimant)
    }

    async fn claim(&self, subject: &Subject, claimant: &str) -> Result<Claimed, TokenProblem> {
        let session = subject.session();
        let turn = self.turns.take(&subject.person().idp).await?;
        let until = self.parts.clock.now() + CLAIM;
        let claim = self.parts.store.claim_refresh(session, claimant, CLAIM);
        Ok(match claim.await? {
            RefreshClaim::Won(tokens) => Claimed::Won(Box::new(Won {
                session: session.clone(),
                claimant: claimant.to_owned(),
                until,
                tokens,
                _turn: turn,
            })),
            RefreshClaim::Busy => Claimed::Busy,
            RefreshClaim::Gone => Claimed::Gone,
        })
    }

    /// Has what is kept in memory of the person looked up anew.
    async fn person_changed(&self, person: &Person) {
        if let Some(fetch) = self.fetch() {
            fetch.forget_person(person).await;
        }
    }

    fn fetch(&self) -> Option<Arc<Fetch>> {
        self.fetch.get().and_then(Weak::upgrade)
    }
}
