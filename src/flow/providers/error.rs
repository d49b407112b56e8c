//! What is wrong with a provider. The texts name the key and the mend; they are for the log, the audit and
//! admins, never for a stranger.

use std::path::PathBuf;

use thiserror::Error;

use crate::model::IdpName;
use crate::oidc::OidcError;

/// A provider that cannot be used, or not as it was wanted.
#[derive(Debug, Error)]
pub enum ProviderError {
    /// The way to providers.
    #[error("oidc.provider: {0}")]
    Client(OidcError),
    /// A claim's name cannot be read.
    #[error("oidc.provider.{provider}.{key} {problem}")]
    Claim {
        /// The provider.
        provider: IdpName,
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// The client secret cannot be read.
    #[error("{}: oidc.provider.{provider}.client_secret_file {problem}", .file.display())]
    Secret {
        /// The provider.
        provider: IdpName,
        /// The file.
        file: PathBuf,
        /// What is wrong with it, and what to do.
        problem: SecretProblem,
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

/// What is wrong with a client secret's file.
#[derive(Debug, Error)]
pub enum SecretProblem {
    /// It cannot be read.
    #[error("cannot be read ({0}); save the client secret there")]
    Unreadable(std::io::Error),
    /// It holds something else.
    #[error(
        "holds no client secret: it must be one line of 1 to 4096 printable ASCII characters; save the secret there as the provider shows it"
    )]
    NoSecret,
}
