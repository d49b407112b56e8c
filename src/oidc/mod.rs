//! OpenID Connect: discovery, keys, the code flow with PKCE, what an ID token must be, and refresh.
//!
//! It trusts the TLS certificate of a provider that an admin configured, and of what the provider says only
//! what its key signed and every check let through. It never follows a redirect or a URL found in a message,
//! never repeats an error body, and knows no clock, store or policy: those are handed in, or are other rooms'.

mod attributes;
mod authorize;
mod callback;
mod claim_path;
mod claims;
mod client;
mod discovery;
mod error;
mod jws;
mod keys;
mod logout;
mod party;
mod protocol;
mod refresh;
mod refusal;
mod settings;
mod token_answer;
mod verify;

pub use authorize::{Authorization, authorize};
pub use callback::{Callback, CallbackError};
pub use claim_path::{ClaimPath, ClaimPathError};
pub use client::OidcClient;
pub use discovery::ProviderMetadata;
pub use error::OidcError;
pub use keys::KeySet;
pub use logout::logout_url;
pub use refresh::{RefreshExpectation, Refreshed, verify_refreshed};
pub use refusal::Refusal;
pub use settings::{ClaimNames, ProviderSettings};
pub use token_answer::TokenAnswer;
pub use verify::{IdTokenExpectation, VerifiedIdToken, verify};

#[cfg(test)]
mod tests;
