//! One redemption of a refresh token by who won the claim: the provider is asked once, and what it gave is on
//! disk before anybody uses it.
//!
//! A call that ended without an answer is not repeated at once: the provider may be about to rotate the token,
//! and would take the second call for a thief's. The claim stays until it runs out, and is the pause.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::outcome::{Renewal, about, is_of_another, may_still_succeed, news_of};
use super::{IdTokens, TokenProblem, Wanted, Won, schedule};
use crate::audit::{Event, EventKind};
use crate::flow::providers::Provider;
use crate::model::{Attributes, IdToken, Subject};
use crate::oidc::{
    KeySet, OidcError, RefreshExpectation, Refreshed, Refusal, TokenAnswer, verify_refreshed,
};
use crate::store::{PutRefreshed, RefreshedTokens, StoreError};

/// How often it is tried to keep what a provider gave while the store is away.
const KEEP_AGAIN: Duration = Duration::from_millis(250);
/// And for how long: until the claim is over, as far as the longest call leaves of it.
const KEEP_WITHIN: Duration = Duration::from_secs(45);
/// So one redemption takes no longer than its call of ten seconds and this.
pub(super) const LONGEST: Duration = Duration::from_secs(56);
/// A failure keeps who needs a token from asking again for so long; the background waits longer.
const REMEMBERED: TimeDelta = TimeDelta::seconds(5);
/// What no further call mends is not asked again for so long.
const HOPELESS: TimeDelta = TimeDelta::hours(1);

impl IdTokens {
    /// Redeems the refresh token of `won`, unless another process has just done it.
    pub(super) async fn redeem(&self, won: Won, wanted: &Wanted) -> Result<IdToken, TokenProblem> {
        let now = self.parts.clock.now();
        if wanted.is_met_by(&won.tokens.id_token, &won.session, now) {
            let at = schedule::refresh_at(&won.tokens.id_token, &won.session, now);
            self.release(&won, at).await;
            return Ok(won.tokens.id_token);
        }
        let subject = self.live(&won.session).await?;
        match self.ask(&won, &subject).await {
            Ok((provider, answer)) => {
                let verified = verified(&provider, &answer, &won, &subject, now).await;
                match verified {
                    Ok(refreshed) => self.take(&won, &subject, wanted, refreshed).await,
                    Err(refusal) => Err(self.refused(&won, &subject, &answer, refusal).await),
                }
            }
            Err(problem) => Err(problem),
        }
    }

    /// Asks the provider.
    async fn ask(
        &self,
        won: &Won,
        subject: &Arc<Subject>,
    ) -> Result<(Arc<Provider>, TokenAnswer), TokenProblem> {
        let idp = &subject.person().idp;
        let Some(refresh_token) = &won.tokens.refresh_token else {
            let problem = TokenProblem::Over(idp.clone());
            return Err(self.failed(won, subject, problem).await);
        };
        // One that has taken over the name of another is shown nothing that the other gave.
        let provider = self.parts.providers.by_name(idp);
        let gave =
            |provider: &Arc<Provider>| provider.settings.issuer == won.tokens.id_token.issuer;
        let Some(provider) = provider.filter(gave) else {
            let problem = TokenProblem::ProviderUnknown(idp.clone());
            return Err(self.failed(won, subject, problem).await);
        };
        let Some(metadata) = provider.metadata() else {
            let problem = TokenProblem::Away {
                idp: idp.clone(),
                code: "provider_not_ready",
                reason: "it has not said yet where its endpoints are".to_owned(),
            };
            return Err(self.failed(won, subject, problem).await);
        };
        match provider.refresh(&metadata, refresh_token).await {
            Ok(answer) => Ok((provider, answer)),
            Err(error) => Err(self.not_answered(won, subject, &error).await),
        }
    }

    /// Keeps what was verified, and tells of it.
    async fn take(
        &self,
        won: &Won,
        subject: &Arc<Subject>,
        wanted: &Wanted,
        refreshed: Refreshed,
    ) -> Result<IdToken, TokenProblem> {
        let now = self.parts.clock.now();
        let (newer, before) = (refreshed.id_token.clone(), &won.tokens.id_token);
        let refresh_at = newer.as_ref().map_or_else(
            || schedule::last_try(before, now),
            |newer| schedule::refresh_at(newer, &won.session, now),
        );
        // An entry's conditions may rest on any claim.
        let known = &subject.parts().attributes;
        let tells_more = tells_more(known, &refreshed.attributes);
        let put = self.keep(won, stored(refreshed, refresh_at)).await?;
        self.failures.forget(&won.session);
        let renewal = Renewal::new(subject, before, newer.is_some(), &put);
        self.record(news_of(subject, &renewal)).await;
        if put.offers_changed || tells_more {
            self.person_changed(subject.person()).await;
        }
        if put.offers_changed {
            return Err(TokenProblem::Changed);
        }
        match newer {
            Some(newer) => Ok(newer),
            // The provider renews without an ID token: the one before goes on while it is good.
            None if wanted.is_served_by(before, &won.session, now) => Ok(before.clone()),
            None => {
                let problem = TokenProblem::NoIdToken(subject.person().idp.clone());
                let until = now + HOPELESS;
                self.failures
                    .note(&won.session, problem.clone(), now, until);
                Err(problem)
            }
        }
    }

    /// Puts it on disk, and goes on trying while the store is away: what the provider rotated exists nowhere
    /// else.
    async fn keep(
        &self,
        won: &Won,
        refreshed: RefreshedTokens,
    ) -> Result<PutRefreshed, TokenProblem> {
        let kept = self.put_when_the_store_answers(won, &refreshed);
        match tokio::time::timeout(KEEP_WITHIN, kept).await {
            Ok(Some(put)) => Ok(put),
            Ok(None) => Err(match self.parts.store.oidc_tokens(&won.session).await? {
                // Another has the claim, and asks with what was there before.
                Some(_) => TokenProblem::Waiting,
                None => TokenProblem::Ended,
            }),
            Err(_) => {
                tracing::error!(event = "refresh_lost", session = %won.session, "the store was away for too long to keep what a provider gave");
                Err(TokenProblem::StoreAway)
            }
        }
    }

    async fn put_when_the_store_answers(
        &self,
        won: &Won,
        refreshed: &RefreshedTokens,
    ) -> Option<PutRefreshed> {
        let store = &self.parts.store;
        loop {
            let put = store.put_refreshed(&won.session, &won.claimant, refreshed);
            match put.await {
                Ok(put) => return put,
                Err(error) => {
                    tracing::error!(event = "store_away", %error, "a renewed ID token is not kept yet");
                    tokio::time::sleep(KEEP_AGAIN).await;
                }
            }
        }
    }

    /// What an answer is followed by whose ID token is not the person's or cannot be verified.
    async fn refused(
        &self,
        won: &Won,
        subject: &Arc<Subject>,
        answer: &TokenAnswer,
        refusal: Refusal,
    ) -> TokenProblem {
        let (idp, now) = (subject.person().idp.clone(), self.parts.clock.now());
        let (code, reason) = (refusal.code(), refusal.to_string());
        if is_of_another(&refusal) {
            // Nothing of it is taken. The session goes on as it was, and the provider is not asked for it again
            // before its ID token has ended.
            let problem = TokenProblem::Refused { idp, code, reason };
            let until = won.tokens.id_token.expires_at;
            let until = until.max(now + schedule::pause(u32::MAX));
            self.note(won, subject, &problem, until).await;
            self.release(won, until).await;
            return problem;
        }
        let problem = if refusal.wants_newer_keys() {
            TokenProblem::Away { idp, code, reason }
        } else {
            TokenProblem::Refused { idp, code, reason }
        };
        let Some(rotated) = answer.refresh_token() else {
            return self.failed(won, subject, problem).await;
        };
        // The one before is used up by now.
        let again = now + schedule::pause(self.failures.next(&won.session));
        let refreshed = Refreshed {
            id_token: None,
            refresh_token: Some(rotated.clone()),
            offers: None,
            attributes: Attributes::new(),
        };
        if let Err(problem) = self.keep(won, stored(refreshed, again)).await {
            return problem;
        }
        self.note(won, subject, &problem, now + REMEMBERED).await;
        problem
    }

    /// What a call is followed by that gave no tokens.
    async fn not_answered(
        &self,
        won: &Won,
        subject: &Arc<Subject>,
        error: &OidcError,
    ) -> TokenProblem {
        let (idp, code, reason) = (
            subject.person().idp.clone(),
            error.code(),
            error.to_string(),
        );
        if error.is_invalid_grant() {
            return self.ended_by_provider(won, subject, reason).await;
        }
        let problem = if error.is_transient() {
            TokenProblem::Away { idp, code, reason }
        } else {
            TokenProblem::NotRenewed { idp, code, reason }
        };
        if may_still_succeed(error) {
            self.note(won, subject, &problem, won.until).await;
            return problem;
        }
        self.failed(won, subject, problem).await
    }

    /// The provider takes the refresh token no more: the session ends here too, unless another process had the
    /// token redeemed meanwhile.
    async fn ended_by_provider(
        &self,
        won: &Won,
        subject: &Arc<Subject>,
        reason: String,
    ) -> TokenProblem {
        let idp = subject.person().idp.clone();
        let problem = TokenProblem::EndedByProvider { idp, reason };
        match self.end_unless_renewed(won).await {
            Ok(None) => return TokenProblem::Waiting,
            Ok(Some(false)) => return problem,
            Ok(Some(true)) => {}
            // Nobody asks with this token again before the claim is over; then it ends in the same way.
            Err(error) => return error.into(),
        }
        let event = Event {
            reason: Some(format!("{}: {problem}", problem.code())),
            by: Some(format!("idp:{}", subject.person().idp)),
            ..about(EventKind::SessionEnded, subject)
        };
        tracing::warn!(event = "session_ended", session = %won.session, user = %subject.person().user,
            idp = %subject.person().idp, reason = %problem, "a provider has ended a sign-in");
        self.record(vec![event]).await;
        if let Some(fetch) = self.fetch() {
            fetch.forget();
        }
        problem
    }

    /// Ends the session and says whether it was still going; `None` where its refresh token is another by now.
    async fn end_unless_renewed(&self, won: &Won) -> Result<Option<bool>, StoreError> {
        let store = &self.parts.store;
        let tokens = store.oidc_tokens(&won.session).await?;
        let used = &won.tokens.refresh_token;
        if tokens.is_some_and(|tokens| tokens.refresh_token != *used) {
            return Ok(None);
        }
        store.end_session(&won.session).await.map(Some)
    }

    /// Gives the claim back after a failure, for another try after a while.
    async fn failed(
        &self,
        won: &Won,
        subject: &Arc<Subject>,
        problem: TokenProblem,
    ) -> TokenProblem {
        let now = self.parts.clock.now();
        let again = now + schedule::pause(self.failures.next(&won.session));
        self.note(won, subject, &problem, now + REMEMBERED).await;
        self.release(won, again).await;
        problem
    }

    /// Remembers a failure, and tells of the first in a row.
    async fn note(
        &self,
        won: &Won,
        subject: &Arc<Subject>,
        problem: &TokenProblem,
        until: DateTime<Utc>,
    ) {
        let is_first = self.failures.next(&won.session) == 1;
        let now = self.parts.clock.now();
        self.failures
            .note(&won.session, problem.clone(), now, until);
        let person = subject.person();
        let code = problem.code();
        tracing::warn!(event = "refresh_failed", session = %won.session, user = %person.user, idp = %person.idp,
            code, reason = %problem, "an ID token was not renewed");
        if !is_first {
            return;
        }
        let kind = if matches!(problem, TokenProblem::Refused { .. }) {
            EventKind::Alarm
        } else {
            EventKind::RefreshFailed
        };
        let event = Event {
            reason: Some(format!("{code}: {problem}")),
            ..about(kind, subject)
        };
        self.record(vec![event]).await;
    }

    pub(super) async fn release(&self, won: &Won, refresh_at: DateTime<Utc>) {
        let store = &self.parts.store;
        let released = store
            .release_refresh(&won.session, &won.claimant, refresh_at)
            .await;
        if let Err(error) = released {
            tracing::error!(event = "store_away", %error, "the claim on a refresh token stays until it runs out");
        }
    }
}

fn stored(refreshed: Refreshed, refresh_at: DateTime<Utc>) -> RefreshedTokens {
    RefreshedTokens {
        id_token: refreshed.id_token,
        refresh_token: refreshed.refresh_token,
        offers: refreshed.offers,
        attributes: refreshed.attributes,
        refresh_at,
    }
}

/// Verifies what came, with newer keys where those in force do not fit.
async fn verified(
    provider: &Provider,
    answer: &TokenAnswer,
    won: &Won,
    subject: &Subject,
    now: DateTime<Utc>,
) -> Result<Refreshed, Refusal> {
    let verified_by = |keys: &KeySet| {
        let expectation = RefreshExpectation {
            settings: &provider.settings,
            keys,
            before: &won.tokens.id_token,
            known: &subject.parts().attributes,
            nonce: None,
            now,
        };
        verify_refreshed(answer, &expectation)
    };
    let keys = provider.discovered().map(|discovered| discovered.keys);
    let keys = keys.unwrap_or_default();
    match verified_by(&keys) {
        Err(refusal) if refusal.wants_newer_keys() => match provider.refresh_keys(&keys).await {
            Some(newer) => verified_by(&newer),
            None => Err(refusal),
        },
        done => done,
    }
}

/// Whether a claim says something else than before.
fn tells_more(known: &Attributes, told: &Attributes) -> bool {
    let mut told = told.iter();
    told.any(|(name, values)| known.get(name) != Some(values))
}
