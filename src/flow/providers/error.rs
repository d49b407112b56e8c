//! What is wrong with a provider. The texts name the key and the mend; they are for the log, the audit and
//! admins, never for a stranger.

use thiserror::Error;

use crate::config::ConfigError;
use crate::model::IdpName;
use crate::oidc::OidcError;

/// A provider that cannot be used, or not as it was wanted.
#[derive(Debug, Error)]
pub enum ProviderError {
    /// The way to providers.
    #[error("oidc.provider: {0}")]
    Client(OidcError),
    /// A claim's name cannot be read.
    #[error("oidc.provider.{provider}.{key}: {problem}")]
    Claim {
        /// The provider.
        provider: IdpName,
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// The client secret cannot be read.
    #[error("oidc.provider.{provider}.client_secret_file: {problem}")]
    Secret {
        /// The provider.
        provider: IdpName,
        /// What is wrong with the file, and what to do.
        problem: ConfigError,
    },
    /// The provider gave no usable metadata or keys.
    #[error("oidc.provider.{provider}.issuer: {issuer}: {problem}")]
    NoAnswer {
        /// The provider.
        provider: IdpName,
        /// Its issuer.
        issuer: String,
        /// Why.
        problem: OidcError,
    },
}
