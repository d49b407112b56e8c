//! What an ID token must be at a sign-in.

use chrono::{DateTime, Utc};

use super::{KeySet, ProviderSettings, Refusal, TokenAnswer};
use crate::model::{OidcTokens, ReplayId, Secret, SignIn, SubjectParts};

/// What an ID token is checked against at a sign-in.
#[derive(Debug)]
pub struct IdTokenExpectation<'e> {
    /// The provider.
    pub settings: &'e ProviderSettings,
    /// Its keys.
    pub keys: &'e KeySet,
    /// The request's nonce.
    pub nonce: &'e Secret,
    /// The request's id.
    pub state: &'e str,
    /// The time now.
    pub now: DateTime<Utc>,
}

/// A sign-in whose ID token passed every check. Made by [`verify`] alone.
#[derive(Debug)]
pub struct VerifiedIdToken {
    state: String,
    replay: ReplayId,
    remember_until: DateTime<Utc>,
    parts: SubjectParts,
    tokens: OidcTokens,
}

impl SignIn for VerifiedIdToken {
    type Proof = OidcTokens;

    fn replay_ids(&self) -> Vec<ReplayId> {
        vec![self.replay.clone()]
    }

    fn remember_until(&self) -> DateTime<Utc> {
        self.remember_until
    }

    fn in_response_to(&self) -> Option<&str> {
        Some(&self.state)
    }

    fn into_parts(self) -> (SubjectParts, OidcTokens) {
        (self.parts, self.tokens)
    }
}

impl VerifiedIdToken {
    /// What was said, before it is accepted.
    pub fn parts(&self) -> &SubjectParts {
        &self.parts
    }
}

/// Verifies the ID token of a sign-in.
pub fn verify(
    _answer: &TokenAnswer,
    _expectation: &IdTokenExpectation<'_>,
) -> Result<VerifiedIdToken, Refusal> {
    Err(Refusal::NoIdToken {})
}
