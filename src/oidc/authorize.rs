//! The authorization request (OpenID Connect Core 1.0, 3.1.2.1): code flow, PKCE by S256, state and nonce.
//!
//! It asks nobody: it makes the address that the browser is sent to, and what the answer is checked against.
//! What an admin adds to the request never replaces what the protocol puts there.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::CoreAuthenticationFlow;
use openidconnect::{CsrfToken, Nonce, PkceCodeChallenge, PkceCodeVerifier, Scope};

use super::party::relying_party;
use super::refusal::cut;
use super::{OidcError, ProviderMetadata, ProviderSettings};
use crate::model::{Entropy, Secret};

/// Parameters that an admin may not set: the protocol's own, and those that would change how it answers.
const OURS: &[&str] = &[
    "response_type",
    "response_mode",
    "client_id",
    "client_secret",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "request",
    "request_uri",
    "registration",
    "id_token_hint",
];
const PROMPT: &str = "prompt";
const OPENID: &str = "openid";
const OFFLINE_ACCESS: &str = "offline_access";

/// A request to sign in, and what its answer is checked against.
#[derive(Debug)]
pub struct Authorization {
    /// Where to send the browser.
    pub url: String,
    /// The request's id; the answer repeats it.
    pub state: String,
    /// What the ID token must repeat.
    pub nonce: Secret,
    /// What the code is redeemed with (RFC 7636).
    pub verifier: Secret,
}

/// Makes an authorization request. State, nonce and verifier have 256 random bits each.
///
/// # Errors
///
/// [`OidcError::Parameter`] where an extra parameter is one of the protocol's, [`OidcError::Setting`] where the
/// redirect URL is none.
pub fn authorize(
    settings: &ProviderSettings,
    metadata: &ProviderMetadata,
    entropy: &dyn Entropy,
) -> Result<Authorization, OidcError> {
    let (state, nonce, verifier) = (random(entropy), random(entropy), random(entropy));
    let verifier = PkceCodeVerifier::new(verifier);
    let (asked_state, asked_nonce) = (state.clone(), nonce.clone());
    let party = relying_party(settings, metadata, None)?;
    let mut request = party
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            move || CsrfToken::new(asked_state),
            move || Nonce::new(asked_nonce),
        )
        // The library adds `openid` by itself.
        .add_scopes(scopes(settings).map(|scope| Scope::new(scope.to_owned())))
        .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
    for (name, value) in extra_parameters(settings)? {
        request = request.add_extra_param(name.to_owned(), value.to_owned());
    }
    Ok(Authorization {
        url: request.url().0.into(),
        state,
        nonce: Secret::new(nonce),
        verifier: Secret::new(verifier.into_secret()),
    })
}

/// 32 random bytes as 43 characters of base64url, as RFC 7636, 4.1 recommends for a verifier.
fn random(entropy: &dyn Entropy) -> String {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    entropy.fill(&mut *bytes);
    URL_SAFE_NO_PAD.encode(*bytes)
}

/// The scopes beside `openid`, each once.
fn scopes(settings: &ProviderSettings) -> impl Iterator<Item = &str> {
    let all = &settings.scopes;
    let first = |(place, scope): &(usize, &String)| !all.iter().take(*place).any(|s| s == *scope);
    all.iter()
        .enumerate()
        .filter(first)
        .map(|(_, scope)| scope.as_str())
        .filter(|scope| *scope != OPENID)
}

/// What is added to the request. `offline_access` is given for a consent alone (OpenID Connect Core 1.0, 11), so
/// that consent is asked for unless the admin says another prompt, or none by an empty one.
fn extra_parameters(settings: &ProviderSettings) -> Result<Vec<(&str, &str)>, OidcError> {
    let set = &settings.authorization_parameters;
    if let Some(ours) = set.keys().find(|name| OURS.contains(&name.as_str())) {
        return Err(OidcError::Parameter(cut(ours)));
    }
    let mut extra: Vec<(&str, &str)> = set
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, value)| *name != PROMPT || !value.is_empty())
        .collect();
    let asks_offline = settings.scopes.iter().any(|scope| scope == OFFLINE_ACCESS);
    if asks_offline && !set.contains_key(PROMPT) {
        extra.push((PROMPT, "consent"));
    }
    Ok(extra)
}
