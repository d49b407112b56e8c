//! rolegate as the library's client of one provider, and the answers of its token endpoint.
//!
//! The answers are read more leniently than the library's own type: what rolegate does not use (the access
//! token, its type and its end) may have any form. No token in here is verified, and none shows in `Debug`.

use std::fmt;
use std::time::Duration;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreIdToken,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessToken, ClientId, ClientSecret, EmptyAdditionalClaims, EndpointNotSet, EndpointSet,
    JsonWebKeySet, OAuth2TokenResponse, RedirectUrl, RefreshToken, Scope, StandardErrorResponse,
};
use serde::{Deserialize, Serialize, Serializer};

use super::callback::DESCRIPTION;
use super::refusal::{cut, printable};
use super::{OidcError, ProviderMetadata, ProviderSettings, TokenAnswer};
use crate::model::Secret;

/// So much of an `error` is kept.
const ERROR: usize = 64;

/// The library's client with our reading of answers.
pub(super) type RelyingParty = openidconnect::Client<
    EmptyAdditionalClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Answer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
    EndpointNotSet,
>;

/// rolegate as a client of the provider; without a secret it can ask for no tokens that need one.
pub(super) fn relying_party(
    settings: &ProviderSettings,
    metadata: &ProviderMetadata,
    secret: Option<&Secret>,
) -> Result<RelyingParty, OidcError> {
    let redirect_url = RedirectUrl::new(settings.redirect_url.clone());
    let redirect_url = redirect_url.map_err(|_| OidcError::Setting {
        what: "the redirect URL",
        found: cut(&settings.redirect_url),
        why: "is no URL",
    })?;
    let client_id = ClientId::new(settings.client_id.clone());
    let issuer = metadata.issuer.clone();
    let mut party = openidconnect::Client::new(client_id, issuer, JsonWebKeySet::default())
        .set_auth_uri(metadata.authorization_endpoint.clone())
        .set_token_uri(metadata.token_endpoint.clone())
        .set_auth_type(metadata.authentication.clone())
        .set_redirect_uri(redirect_url);
    if let Some(secret) = secret {
        party = party.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
    }
    Ok(party)
}

/// An answer of the token endpoint with status 200.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Answer {
    #[serde(skip, default = "no_access_token")]
    access_token: AccessToken,
    #[serde(default)]
    id_token: Option<Unverified>,
    #[serde(default)]
    refresh_token: Option<RefreshToken>,
    #[serde(flatten)]
    error: Option<TokenError>,
}

impl Answer {
    /// The tokens. Some providers answer an error with status 200.
    pub(super) fn checked(self) -> Result<TokenAnswer, OidcError> {
        if let Some(error) = self.error {
            return Err(error.refusal(200));
        }
        let refresh_token = self.refresh_token.map(RefreshToken::into_secret);
        let is_there = |secret: &Secret| !secret.expose().is_empty();
        Ok(TokenAnswer::new(
            self.id_token.map(|token| token.0).filter(is_there),
            refresh_token.map(Secret::new).filter(is_there),
        ))
    }
}

fn no_access_token() -> AccessToken {
    AccessToken::new(String::new())
}

/// The text of an ID token, as it came.
struct Unverified(Secret);

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Unverified {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

impl Serialize for Unverified {
    /// The library demands it and never calls it; a token is not written out.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl OAuth2TokenResponse for Answer {
    type TokenType = CoreTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &CoreTokenType {
        &CoreTokenType::Bearer
    }

    fn expires_in(&self) -> Option<Duration> {
        None
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

impl
    openidconnect::TokenResponse<
        EmptyAdditionalClaims,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    > for Answer
{
    /// The library would refuse tokens over claims that rolegate does not read; `verify` takes the text.
    fn id_token(&self) -> Option<&CoreIdToken> {
        None
    }
}

/// An error of the token endpoint (RFC 6749, 5.2).
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct TokenError {
    error: String,
    #[serde(default)]
    error_description: Option<String>,
}

impl TokenError {
    /// What is kept of it.
    pub(super) fn refusal(&self, status: u16) -> OidcError {
        let description = self.error_description.as_deref().unwrap_or_default();
        OidcError::Refused {
            status,
            error: printable(&self.error, ERROR),
            description: printable(description, DESCRIPTION),
        }
    }
}
