//! The sign-in through an OpenID provider: the way there, and what its callback comes to.
//!
//! The answer's request is found and used up before anything else is asked, so that a browser's answer costs a
//! provider one question at most. What the provider gives is read by `oidc` alone; from the session on all is as
//! after a SAML response.

use std::sync::Arc;

use tracing::Instrument;

use super::error::{Reason, Stop};
use super::oidc_reason::OidcReason;
use super::opening::Opening;
use super::{Arrived, SignIn, SignInError, SignedIn, Started, is_bound};
use crate::flow::{Discovered, Provider};
use crate::model::{IdpName, Secret, TRACES};
use crate::oidc::{
    Callback, IdTokenExpectation, KeySet, OidcError, Refusal, TokenAnswer, VerifiedIdToken,
    authorize, verify,
};
use crate::store::ConsumedRequest;

/// What of a request the ID token and the code are checked against.
struct Kept {
    nonce: Secret,
    verifier: Secret,
}

impl Kept {
    /// As it is sealed with the request. Neither part has a blank (RFC 7636, 4.1).
    fn seal(nonce: &Secret, verifier: &Secret) -> Secret {
        Secret::new(format!("{} {}", nonce.expose(), verifier.expose()))
    }

    fn of(request: &ConsumedRequest) -> Option<Self> {
        let (nonce, verifier) = request.secret()?.expose().split_once(' ')?;
        Some(Self {
            nonce: Secret::new(nonce.to_owned()),
            verifier: Secret::new(verifier.to_owned()),
        })
    }
}

impl SignIn {
    /// Begins a sign-in at the OpenID provider `name`: an authorization request, remembered for ten minutes and
    /// bound to the browser.
    pub async fn start_at_provider(
        &self,
        name: &str,
        return_to: Option<&str>,
    ) -> Result<Started, SignInError> {
        let (provider, discovered) = self.provider(name).await?;
        let settings = &provider.settings;
        let asked = authorize(settings, &discovered.metadata, &*self.parts.entropy);
        let asked = asked.map_err(|error| away(&provider, &error))?;
        let secret = Some(Kept::seal(&asked.nonce, &asked.verifier));
        let name = settings.name.clone();
        self.remember(asked.state, name, return_to, secret, asked.url)
            .await
    }

    /// Takes what a provider's page sent the browser here with.
    pub async fn arrive(&self, arrived: Arrived<'_>) -> Result<SignedIn, SignInError> {
        let idp = arrived.provider.parse().ok();
        let outcome = self.arrived(arrived).await;
        self.counts.count(idp.as_ref(), &outcome);
        outcome
    }

    async fn arrived(&self, arrived: Arrived<'_>) -> Result<SignedIn, SignInError> {
        let (provider, discovered) = self.provider(arrived.provider).await?;
        match self.callback(&provider, &discovered, &arrived).await {
            Ok(signed_in) => Ok(signed_in),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Refused(reason)) => {
                let idp = Some(provider.settings.name.clone());
                Err(SignInError::Refused(self.refuse(
                    reason,
                    arrived.address,
                    None,
                    idp,
                )))
            }
        }
    }

    /// The provider called `name`, if it can be used.
    async fn provider(&self, name: &str) -> Result<(Arc<Provider>, Discovered), SignInError> {
        let unknown = || SignInError::UnknownIdp(name.chars().take(64).collect());
        let name: IdpName = name.parse().map_err(|_| unknown())?;
        let provider = self.parts.providers.by_name(&name).ok_or_else(unknown)?;
        let discovered = provider.ready().await;
        let discovered = discovered.ok_or(SignInError::ProviderAway(name))?;
        Ok((provider, discovered))
    }

    async fn callback(
        &self,
        provider: &Arc<Provider>,
        discovered: &Discovered,
        arrived: &Arrived<'_>,
    ) -> Result<SignedIn, Stop> {
        let name = &provider.settings.name;
        let callback = Callback::parse(arrived.query)
            .map_err(|problem| OidcReason::Callback(name.clone(), problem))?;
        let request = self.take_request(&callback, name, arrived.binding).await?;
        let kept = Kept::of(&request).ok_or_else(|| OidcReason::RequestUnknown(name.clone()))?;
        let metadata = &discovered.metadata;
        let code = callback
            .code(&provider.settings, metadata)
            .map_err(OidcReason::Token)?;
        let answer = provider
            .exchange(metadata, code.expose(), &kept.verifier)
            .await
            .map_err(|error| not_redeemed(provider, error))?;
        let (keys, nonce) = (&discovered.keys, &kept.nonce);
        let verified = self
            .verify_token(provider, keys, answer, nonce, request.id())
            .instrument(tracing::info_span!(target: TRACES, "oidc.verify"))
            .await?;
        let opening = Opening {
            verified,
            idp: name.clone(),
            doors: self.parts.doors(false, arrived.address),
            return_to: request.return_to().map(str::to_owned),
            turn: self.turn().await?,
            request: Some(request),
        };
        let opened = Arc::clone(&self.parts).open_with_tokens(opening);
        self.parts.underway.see_through(opened).await
    }

    /// Uses up the request of ours that the answer names, if it was to this provider and from this browser.
    async fn take_request(
        &self,
        callback: &Callback,
        provider: &IdpName,
        binding: Option<&str>,
    ) -> Result<ConsumedRequest, Stop> {
        let store = &self.parts.store;
        let unknown = || OidcReason::RequestUnknown(provider.clone());
        let request = store.find_request(callback.state()).await?;
        let request = request.ok_or_else(unknown)?;
        if request.idp != *provider {
            let (asked, answered) = (request.idp, provider.clone());
            return Err(OidcReason::OtherProvider { asked, answered }.into());
        }
        if !is_bound(&request, binding) {
            return Err(Reason::OtherBrowser.into());
        }
        let consumed = store
            .consume_request(&request.id, provider, &request.binding)
            .await?;
        Ok(consumed.ok_or_else(unknown)?)
    }

    /// Verifies the ID token, and where the provider may have newer keys by now, once more with those.
    async fn verify_token(
        &self,
        provider: &Arc<Provider>,
        keys: &Arc<KeySet>,
        answer: TokenAnswer,
        nonce: &Secret,
        state: &str,
    ) -> Result<VerifiedIdToken, Stop> {
        let answer = Arc::new(answer);
        let with = async |keys: Arc<KeySet>| {
            let (provider, answer) = (Arc::clone(provider), Arc::clone(&answer));
            let (nonce, state) = (nonce.clone(), state.to_owned());
            let now = self.parts.clock.now();
            self.off_thread(move || {
                verify(
                    &answer,
                    &IdTokenExpectation {
                        settings: &provider.settings,
                        keys: &keys,
                        nonce: &nonce,
                        state: &state,
                        now,
                    },
                )
            })
            .await
        };
        let refused = |refusal: Refusal| Stop::Refused(OidcReason::Token(refusal).into());
        match with(Arc::clone(keys)).await? {
            Err(refusal) if refusal.wants_newer_keys() => {
                let newer = provider.refresh_keys(keys).await;
                let newer = newer.ok_or_else(|| refused(refusal))?;
                with(newer).await?.map_err(refused)
            }
            outcome => outcome.map_err(refused),
        }
    }
}

/// The token endpoint's error: the provider's word is a refusal, its silence is not.
fn not_redeemed(provider: &Provider, error: OidcError) -> Stop {
    if error.is_transient() {
        return Stop::Failed(away(provider, &error));
    }
    OidcReason::Exchange(provider.settings.name.clone(), error).into()
}

fn away(provider: &Provider, error: &OidcError) -> SignInError {
    let name = &provider.settings.name;
    tracing::warn!(event = "oidc_provider_away", provider = %name, code = error.code(), reason = %error, "nobody can sign in there now");
    SignInError::ProviderAway(name.clone())
}
