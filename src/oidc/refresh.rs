//! What a refreshed ID token must be (OpenID Connect Core 1.0, 12.2).

use chrono::{DateTime, Utc};

use super::{KeySet, ProviderSettings, Refusal, TokenAnswer};
use crate::model::{Attributes, IdToken, Offers, Secret};

/// What a refreshed ID token is checked against.
#[derive(Debug)]
pub struct RefreshExpectation<'e> {
    /// The provider.
    pub settings: &'e ProviderSettings,
    /// Its keys.
    pub keys: &'e KeySet,
    /// The ID token before.
    pub before: &'e IdToken,
    /// The sign-in's nonce, where it is still known.
    pub nonce: Option<&'e Secret>,
    /// The time now.
    pub now: DateTime<Utc>,
}

/// What a refresh gave.
#[derive(Debug)]
pub struct Refreshed {
    /// The newer ID token, where one came.
    pub id_token: Option<IdToken>,
    /// The rotated refresh token, where one came; else the old one goes on.
    pub refresh_token: Option<Secret>,
    /// The offers, where the newer token has a role claim.
    pub offers: Option<Offers>,
    /// The claims of the newer token; they replace those of the same names.
    pub attributes: Attributes,
}

/// Verifies what a refresh gave.
pub fn verify_refreshed(
    _answer: &TokenAnswer,
    _expectation: &RefreshExpectation<'_>,
) -> Result<Refreshed, Refusal> {
    Err(Refusal::NoIdToken {})
}
