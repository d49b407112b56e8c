//! What a token endpoint gave, before anything of it is verified.
//!
//! The access token is dropped where it arrives: rolegate asks no resource with it.

use crate::model::Secret;

/// The tokens of an answer; none of them is verified.
#[derive(Debug)]
pub struct TokenAnswer {
    pub(super) id_token: Option<Secret>,
    pub(super) refresh_token: Option<Secret>,
}

impl TokenAnswer {
    /// An answer with these tokens.
    pub fn new(id_token: Option<Secret>, refresh_token: Option<Secret>) -> Self {
        Self {
            id_token,
            refresh_token,
        }
    }

    /// The refresh token, which came from the provider itself whatever becomes of the ID token beside it: one
    /// that was rotated is kept also where that ID token cannot be verified yet.
    pub fn refresh_token(&self) -> Option<&Secret> {
        self.refresh_token.as_ref()
    }

    /// Whether newer ID tokens can be had.
    pub fn has_refresh_token(&self) -> bool {
        self.refresh_token.is_some()
    }
}
