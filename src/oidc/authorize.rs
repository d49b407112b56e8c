//! The authorization request.

use super::{OidcError, ProviderMetadata, ProviderSettings};
use crate::model::{Entropy, Secret};

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

/// Makes an authorization request.
pub fn authorize(
    _settings: &ProviderSettings,
    _metadata: &ProviderMetadata,
    _entropy: &dyn Entropy,
) -> Result<Authorization, OidcError> {
    Err(OidcError::TimedOut)
}
