//! A provider's client secret: written in the configuration, or in a file that is read again when it changes.

use std::sync::{PoisonError, RwLock};

use super::error::ProviderError;
use crate::config::{ClientSecret, OidcProvider};
use crate::model::{IdpName, Secret};

/// The secret in force.
pub(super) struct SecretInForce {
    provider: IdpName,
    source: ClientSecret,
    now: RwLock<Secret>,
}

/// What became of a look at the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is the secret in force.
    Same,
    /// Another secret is in force now.
    Taken,
}

impl SecretInForce {
    /// Reads the secret of `provider`.
    pub(super) fn load(provider: &OidcProvider) -> Result<Self, ProviderError> {
        let (name, source) = (&provider.name, &provider.client_secret);
        Ok(Self {
            provider: name.clone(),
            source: source.clone(),
            now: RwLock::new(read(name, source)?),
        })
    }

    /// The secret in force.
    pub(super) fn now(&self) -> Secret {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    /// Reads it again, and takes up what is there if that is another one; a bad file changes nothing.
    pub(super) fn look(&self) -> Result<Look, ProviderError> {
        let secret = read(&self.provider, &self.source)?;
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if *now == secret {
            return Ok(Look::Same);
        }
        *now = secret;
        Ok(Look::Taken)
    }
}

fn read(provider: &IdpName, source: &ClientSecret) -> Result<Secret, ProviderError> {
    source.read().map_err(|problem| ProviderError::Secret {
        provider: provider.clone(),
        problem,
    })
}
