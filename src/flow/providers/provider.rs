//! One OpenID provider: what the configuration says of it, and what it says of itself.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::error::ProviderError;
use super::refreshes::Refreshes;
use super::secret::{Look, SecretInForce};
use crate::config::{self, Config};
use crate::flow::IdpView;
use crate::flow::idps::view::whole;
use crate::model::{Clock, Secret, TRACES, seconds_between};
use crate::oidc::{
    ClaimNames, ClaimPath, KeySet, OidcClient, OidcError, ProviderMetadata, ProviderSettings,
    TokenAnswer,
};

/// Because a token does not verify, or somebody wants to sign in, a provider is asked at most this often.
const FLOOR: TimeDelta = TimeDelta::seconds(30);

/// What a provider's discovery gave: its metadata and the keys of the same look.
#[derive(Clone)]
pub struct Discovered {
    /// Endpoints and what the provider can do.
    pub metadata: Arc<ProviderMetadata>,
    /// Its signing keys.
    pub keys: Arc<KeySet>,
}

/// One provider.
pub struct Provider {
    /// The configuration.
    pub settings: ProviderSettings,
    secret: SecretInForce,
    client: OidcClient,
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
    /// When a sign-in or a token last had the provider asked; held over the asking, so that those who come meanwhile wait
    /// for its answer.
    wanted_at: Mutex<Option<DateTime<Utc>>>,
    refreshes: Refreshes,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) discovered: Option<Discovered>,
    /// When it last gave what is in force.
    pub(super) seen_at: Option<DateTime<Utc>>,
    pub(super) failure: Option<(String, DateTime<Utc>)>,
    pub(super) failures: u64,
}

impl Provider {
    /// Reads claim names and client secret; nobody is asked.
    pub(super) fn load(
        config: &Config,
        provider: &config::OidcProvider,
        client: OidcClient,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        let secret = SecretInForce::load(provider);
        Ok(Self {
            settings: settings(config, provider)?,
            secret: secret?,
            client,
            clock,
            state: RwLock::default(),
            wanted_at: Mutex::new(None),
            refreshes: Refreshes::default(),
        })
    }

    /// How refreshes went.
    pub(in crate::flow) fn refreshes(&self) -> &Refreshes {
        &self.refreshes
    }

    /// Metadata and keys in force; `None` before the first good answer.
    pub fn discovered(&self) -> Option<Discovered> {
        self.read(|state| state.discovered.clone())
    }

    /// The metadata in force.
    pub fn metadata(&self) -> Option<Arc<ProviderMetadata>> {
        self.discovered().map(|discovered| discovered.metadata)
    }

    /// The client secret in force.
    pub fn secret(&self) -> Secret {
        self.secret.now()
    }

    /// Reads the client secret's file again.
    pub(super) fn look_at_secret(&self) -> Result<Look, ProviderError> {
        self.secret.look()
    }

    /// Exchanges an authorization `code` for tokens.
    pub async fn exchange(
        &self,
        metadata: &ProviderMetadata,
        code: &str,
        verifier: &Secret,
    ) -> Result<TokenAnswer, OidcError> {
        let (secret, name) = (self.secret(), &self.settings.name);
        let asked = self
            .client
            .exchange(&self.settings, metadata, &secret, code, verifier);
        let span = tracing::info_span!(target: TRACES, "oidc.exchange", otel.kind = "client",
            otel.status_code = Empty, rolegate.idp = %name, "error.type" = Empty);
        traced(span, Box::pin(asked)).await
    }

    /// Asks for new tokens with `refresh_token`. Whoever calls it holds the session's claim.
    pub async fn refresh(
        &self,
        metadata: &ProviderMetadata,
        refresh_token: &Secret,
    ) -> Result<TokenAnswer, OidcError> {
        let (secret, name) = (self.secret(), &self.settings.name);
        let asked = self
            .client
            .refresh(&self.settings, metadata, &secret, refresh_token);
        let span = tracing::info_span!(target: TRACES, "oidc.refresh", otel.kind = "client",
            otel.status_code = Empty, rolegate.idp = %name, "error.type" = Empty);
        let answer = traced(span, Box::pin(asked)).await;
        self.refreshes.count(&answer);
        answer
    }

    /// Asks for metadata and keys, and takes both up or neither; gives for how long the keys may be kept by
    /// the provider's own word.
    pub async fn ask(&self) -> Result<Option<Duration>, ProviderError> {
        let asked = self.discover().await;
        let now = self.clock.now();
        match asked {
            Ok((discovered, max_age)) => {
                self.edit(|state| {
                    state.discovered = Some(discovered);
                    state.seen_at = Some(now);
                    state.failure = None;
                });
                Ok(max_age)
            }
            Err(problem) => Err(self.failed(problem, now)),
        }
    }

    async fn discover(&self) -> Result<(Discovered, Option<Duration>), OidcError> {
        let metadata = self.client.discover(&self.settings).await?;
        let (keys, max_age) = self.client.keys(&metadata).await?;
        let discovered = Discovered {
            metadata: Arc::new(metadata),
            keys: Arc::new(keys),
        };
        Ok((discovered, max_age))
    }

    /// What is in force, for somebody who wants to sign in. A provider that has never answered is asked again for
    /// it, under the floor that holds for keys too; who comes while it is being asked does not wait.
    pub async fn ready(&self) -> Option<Discovered> {
        if let Some(discovered) = self.discovered() {
            return Some(discovered);
        }
        let mut wanted_at = self.wanted_at.try_lock().ok()?;
        let now = self.clock.now();
        if wanted_at.is_none_or(|at| is_over(at, now)) {
            *wanted_at = Some(now);
            // What went wrong is noted where lists show it.
            let _asked = self.ask().await;
        }
        self.discovered()
    }

    /// The keys to try once more for a token that `before` did not verify: others that came into force
    /// meanwhile, or what the provider gives now. `None` where there is nothing new to try, or the provider
    /// was asked for a token within the last 30 s.
    pub async fn refresh_keys(&self, before: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let mut wanted_at = self.wanted_at.lock().await;
        let current = self.discovered()?;
        if !Arc::ptr_eq(&current.keys, before) {
            return Some(current.keys);
        }
        let now = self.clock.now();
        if !wanted_at.is_none_or(|at| is_over(at, now)) {
            return None;
        }
        *wanted_at = Some(now);
        match self.client.keys(&current.metadata).await {
            Ok((keys, _)) => {
                let keys = Arc::new(keys);
                self.edit(|state| {
                    if let Some(discovered) = &mut state.discovered {
                        discovered.keys = Arc::clone(&keys);
                    }
                });
                Some(keys)
            }
            Err(problem) => {
                let error = self.failed(problem, now);
                tracing::warn!(event = "oidc_keys_stay", %error, "a token does not verify with the keys in force, and newer ones cannot be had");
                None
            }
        }
    }

    /// Notes that the provider gave nothing good.
    fn failed(&self, problem: OidcError, now: DateTime<Utc>) -> ProviderError {
        let error = ProviderError::NoAnswer {
            provider: self.settings.name.clone(),
            issuer: self.settings.issuer.clone(),
            problem,
        };
        self.note(&error, now);
        error
    }

    /// Notes what is wrong; says whether that is news.
    pub(super) fn note(&self, error: &ProviderError, now: DateTime<Utc>) -> bool {
        let text = error.to_string();
        let mut news = false;
        self.edit(|state| {
            news = state
                .failure
                .as_ref()
                .is_none_or(|(known, _)| *known != text);
            state.failures = state.failures.saturating_add(1);
            state.failure = Some((text, now));
        });
        news
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn edit(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Provider {
    /// What admins are shown of it.
    pub(super) fn view(&self, now: DateTime<Utc>) -> IdpView {
        self.read(|state| {
            let discovered = state.discovered.as_ref();
            let failure = state.failure.as_ref();
            IdpView {
                name: self.settings.name.clone(),
                protocol: "oidc",
                ready: discovered.is_some(),
                source: "discovery",
                location: self.settings.issuer.clone(),
                entity_id: None,
                keys: Vec::new(),
                key_count: discovered.map_or(0, |discovered| discovered.keys.len()),
                metadata_seen_at: state.seen_at.map(whole),
                metadata_age_seconds: state.seen_at.map(|at| seconds_between(at, now)),
                valid_until: None,
                last_error: failure.map(|(text, _)| text.clone()),
                last_error_at: failure.map(|(_, at)| whole(*at)),
                refresh_failures: state.failures,
            }
        })
    }
}

/// Has a question at the token endpoint traced: of a failure its code, which is ours.
async fn traced<T>(
    span: Span,
    asked: impl Future<Output = Result<T, OidcError>>,
) -> Result<T, OidcError> {
    let answer = asked.instrument(span.clone()).await;
    if let Err(error) = &answer {
        span.record("otel.status_code", "error");
        span.record("error.type", error.code());
    }
    answer
}

/// Whether the floor lets the provider be asked again that was asked `at`.
fn is_over(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    FLOOR <= (now - at).abs()
}

/// What `oidc` is told of `provider`.
fn settings(
    config: &Config,
    provider: &config::OidcProvider,
) -> Result<ProviderSettings, ProviderError> {
    let claim = |key, text: &str| {
        text.parse::<ClaimPath>()
            .map_err(|problem| ProviderError::Claim {
                provider: provider.name.clone(),
                key,
                problem: problem.to_string(),
            })
    };
    let public_url = config.server.public_url();
    Ok(ProviderSettings {
        name: provider.name.clone(),
        issuer: provider.issuer.clone(),
        client_id: provider.client_id.clone(),
        scopes: provider.scopes.clone(),
        authorization_parameters: provider.authorization_parameters.clone(),
        redirect_url: format!("{public_url}/oidc/{}/callback", provider.name),
        claims: ClaimNames {
            role: claim("role_claim", &provider.role_claim)?,
            session_name: claim("session_name_claim", &provider.session_name_claim)?,
            duration: claim("duration_claim", &provider.duration_claim)?,
        },
        user_domains: provider.user_domains.clone(),
        clock_skew: config.saml.clock_skew,
    })
}
