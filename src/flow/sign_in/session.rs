//! The two ends of a sign-in: the request to the IdP, and the button of the confirm page.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Confirmed, SignIn, SignInError, SignInParts, Started, return_target};
use crate::audit::{Event, EventKind};
use crate::model::{IdpName, Secret, Token, TokenHash, TokenKind, hex};
use crate::saml::authn_request;
use crate::store::{LiveSession, SignInRequest, StoreError};

impl SignIn {
    /// Begins a sign-in at `idp`: an `AuthnRequest`, remembered for ten minutes and bound to the browser.
    pub async fn start(&self, idp: &str, return_to: Option<&str>) -> Result<Started, SignInError> {
        let parts = &self.parts;
        let unknown = || SignInError::UnknownIdp(idp.chars().take(64).collect());
        let name: IdpName = idp.parse().map_err(|_| unknown())?;
        let Some(idp) = parts.idps.by_name(&name) else {
            return Err(if parts.idps.waiting().contains(&name) {
                SignInError::IdpNotReady(name)
            } else {
                unknown()
            });
        };
        let (clock, entropy) = (&*parts.clock, &*parts.entropy);
        let rules = &parts.rules;
        let request = authn_request(
            &idp.trust,
            &rules.entity_id,
            &rules.acs_url,
            rules.keys.current().signer(),
            clock,
            entropy,
        )
        .map_err(|_| unknown())?;
        let (id, url) = (request.id, request.redirect_url);
        self.remember(id, name, return_to, None, url).await
    }

    /// Remembers the request `id` for ten minutes, bound to the browser that is sent to `redirect_url`.
    pub(super) async fn remember(
        &self,
        id: String,
        idp: IdpName,
        return_to: Option<&str>,
        secret: Option<Secret>,
        redirect_url: String,
    ) -> Result<Started, SignInError> {
        let (parts, rules) = (&self.parts, &self.parts.rules);
        let binding = Token::fresh(TokenKind::Session, &*parts.entropy);
        let request = SignInRequest {
            id,
            idp,
            binding: digest(&binding.hash()),
            return_to: return_to.and_then(|target| return_target(target, &rules.return_origins)),
            secret,
        };
        parts.store.save_request(request).await?;
        self.bound_requests().await?;
        Ok(Started {
            redirect_url,
            binding: binding.into_secret(),
        })
    }

    /// Forgets the oldest beginnings where there are too many, looked at once in a while.
    ///
    /// Whoever has many addresses can begin more sign-ins than are kept, and an honest one that takes its time at the
    /// IdP is then forgotten and has to begin again. To refuse new ones instead would be worse: a tenth of the
    /// addresses would do, and nobody could sign in at all.
    async fn bound_requests(&self) -> Result<(), SignInError> {
        let most = self.parts.open_sign_ins;
        let once_in = u64::from(most / 20).clamp(1, 1000);
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        if begun.is_multiple_of(once_in) {
            let forgotten = self.parts.store.bound_requests(most).await?;
            if forgotten > 0 {
                tracing::warn!(
                    event = "sign_ins_forgotten",
                    forgotten,
                    "more sign-ins were begun than server.limits.open_sign_ins; the oldest must begin again"
                );
            }
        }
        Ok(())
    }

    /// Opens the pending session that `one_time` and the cookie of the same answer name.
    pub async fn confirm(
        &self,
        one_time: &str,
        cookie: &str,
    ) -> Result<Option<Confirmed>, SignInError> {
        let parts = &self.parts;
        let (Ok(one_time), Ok(cookie)) = (one_time.parse::<Token>(), cookie.parse::<Token>())
        else {
            return Ok(None);
        };
        let hash = confirmation(&one_time.hash(), &cookie.hash());
        let token = Token::fresh(TokenKind::Session, &*parts.entropy);
        let Some(live) = parts.store.subject_by_confirm(&hash).await? else {
            return Ok(None);
        };
        let parts = Arc::clone(parts);
        let confirming = async move { parts.confirm(&hash, &live, token).await };
        Ok(self.parts.underway.see_through(confirming).await?)
    }
}

impl SignInParts {
    /// Recorded first, since nobody may draw on what the audit does not know.
    async fn confirm(
        &self,
        hash: &[u8; 32],
        live: &LiveSession,
        token: Token,
    ) -> Result<Option<Confirmed>, StoreError> {
        let (person, session) = (live.subject.person(), live.subject.session());
        let event = Event {
            person: Some(person.clone()),
            session: Some(session.clone()),
            ..Event::new(EventKind::SessionConfirmed)
        };
        self.recorder.record(event).await?;
        let confirmed = self.store.confirm_session(hash, token.hash()).await?;
        if confirmed.is_none() {
            return Ok(None);
        }
        self.fetch.forget_person(person).await;
        Ok(Some(Confirmed {
            token: token.into_secret(),
            expires_at: live.expires_at,
        }))
    }
}

/// What the store keeps of a binding cookie.
pub(in crate::flow) fn digest(hash: &TokenHash) -> [u8; 32] {
    openssl::sha::sha256(hash.as_bytes())
}

/// What the store keeps of a confirm page: neither the button nor the cookie alone gives it.
pub(super) fn confirmation(one_time: &TokenHash, cookie: &TokenHash) -> [u8; 32] {
    let text = format!("{}.{}", hex(one_time.as_bytes()), hex(cookie.as_bytes()));
    openssl::sha::sha256(text.as_bytes())
}
