//! The OpenID providers of the configuration, each with the metadata and keys that it last gave.
//!
//! Trusts what `oidc` makes of a provider's answers and nothing else. Metadata and keys are taken up
//! together or not at all; what was good before stays in force when a provider fails. Never asks an address
//! that a message named, and never lets a stranger have keys asked for more than twice a minute.

mod error;
mod follow;
mod provider;
mod refreshes;
mod secret;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

pub use error::ProviderError;
pub use provider::{Discovered, Provider};

use super::IdpView;
use crate::config::Config;
use crate::model::{Clock, Entropy, IdpName};
use crate::oidc::OidcClient;

/// Every provider of the configuration, in its order, those that have not answered yet among them.
pub struct Providers {
    list: Vec<Arc<Provider>>,
    entropy: Arc<dyn Entropy>,
    /// Raised by one for every "at once".
    calls: watch::Sender<u64>,
}

impl Providers {
    /// Reads claim names and client secrets; no provider is asked yet.
    pub fn load(
        config: &Config,
        clock: &Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, ProviderError> {
        let client = match config.oidc.as_slice() {
            // Without a provider nothing is made that could fail.
            [] => None,
            _ => Some(OidcClient::new().map_err(ProviderError::Client)?),
        };
        let mut list = Vec::new();
        for provider in &config.oidc {
            let Some(client) = &client else { break };
            let (client, clock) = (client.clone(), Arc::clone(clock));
            list.push(Arc::new(Provider::load(config, provider, client, clock)?));
        }
        let (calls, _) = watch::channel(0);
        Ok(Self {
            list,
            entropy,
            calls,
        })
    }

    /// Every provider, whether or not it can be used.
    pub fn all(&self) -> &[Arc<Provider>] {
        &self.list
    }

    /// The provider that the configuration calls `name`.
    pub fn by_name(&self, name: &IdpName) -> Option<Arc<Provider>> {
        let mut all = self.list.iter();
        all.find(|provider| provider.settings.name == *name)
            .cloned()
    }

    /// The providers that can be used.
    pub fn names(&self) -> Vec<IdpName> {
        self.names_where(|provider| provider.discovered().is_some())
    }

    /// Those that have not answered yet, so that they cannot be used.
    pub fn waiting(&self) -> Vec<IdpName> {
        self.names_where(|provider| provider.discovered().is_none())
    }

    fn names_where(&self, which: impl Fn(&Provider) -> bool) -> Vec<IdpName> {
        let chosen = self.list.iter().filter(|provider| which(provider));
        chosen
            .map(|provider| provider.settings.name.clone())
            .collect()
    }

    /// Whether none is configured.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What there is to say of each, in the order of the configuration.
    pub fn views(&self, now: DateTime<Utc>) -> Vec<IdpView> {
        self.list
            .iter()
            .map(|provider| provider.view(now))
            .collect()
    }

    /// Asks every provider once, all at the same time; gives what went wrong.
    pub async fn ask_all(&self) -> Vec<ProviderError> {
        let asked = self.list.iter().map(|provider| provider.ask());
        let answers = futures_util::future::join_all(asked).await;
        answers.into_iter().filter_map(Result::err).collect()
    }
}
