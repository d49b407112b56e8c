//! The one place where parts are put together: configuration in, a running gateway out.

mod audit_terms;
mod flows;
mod measuring;
mod open_files;
mod running;
mod telemetry;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use thiserror::Error;

use crate::audit::Recorder;
use crate::config::Config;
use crate::flow::{
    Access, Addresses, AllowList, GatewayName, IdpError, Idps, MasterKeyWatch, ProviderError,
    Providers, Refresh, RefreshParts, RelayKeys, RelayParts, ServiceKeys, SignInRules,
};
use crate::http::{self, Bounds, ServeError, Tls, TlsFiles};
use crate::model::{Clock, Entropy};
use crate::policy::Limits;
use crate::saml::metadata_url::MetadataFetchError;
use crate::store::{
    KeySource, Looked, MasterKeys, Store, StoreError, StoreSettings, database_exists,
};
use crate::sts::StsSettings;
use flows::{Parts, background, flows, jobs, parts};
pub use running::{Running, Signals};
pub use telemetry::Traces;

/// Time and randomness, handed to every part.
#[derive(Clone)]
pub struct World {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Why the gateway does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An IdP's metadata.
    #[error(transparent)]
    Idp(#[from] IdpError),
    /// An OpenID provider's configuration.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The way to metadata URLs.
    #[error(transparent)]
    MetadataUrl(#[from] MetadataFetchError),
    /// The listener.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The process's signals.
    #[error("the signals of the process cannot be listened to: {0}")]
    Signals(std::io::Error),
    /// Asked to end once more while it finished what was begun.
    #[error("told to end twice: what was under way was not finished")]
    EndedAtOnce,
}

/// Starts everything, and serves until the process is asked to end by SIGTERM or SIGINT; asked a second time, it
/// ends at once, as a failure.
pub async fn serve(config: &Config, world: &World, mut signals: Signals) -> Result<(), StartError> {
    let running = tokio::select! {
        running = start(config, world, None) => running?,
        () = signals.end() => return Ok(()),
    };
    running.until(signals).await
}

/// Opens the store that `config` names, making it and its key where there is none yet.
pub async fn open_store(config: &Config, world: &World) -> Result<Store, StoreError> {
    let exists = database_exists(&config.store.url).await?;
    let master_keys = MasterKeys::load_or_create(key_source(config), exists).await?;
    let settings = StoreSettings {
        url: config.store.url.clone(),
        listen_url: config.store.listen_url.clone(),
        master_keys,
        without_assignments: config.without_assignments(),
    };
    Store::open(
        settings,
        Arc::clone(&world.clock),
        Arc::clone(&world.entropy),
    )
    .await
}

/// Where the configuration has the master keys come from.
pub fn key_source(config: &Config) -> KeySource {
    match &config.store.master_key_command {
        Some(words) => KeySource::Command(words.clone()),
        None => KeySource::File(config.store.master_key_file.clone()),
    }
}

/// Looks at the store that `config` names, and changes nothing: neither database nor key is made.
pub async fn look_at_store(config: &Config, world: &World) -> Result<Looked, StoreError> {
    let source = key_source(config);
    if !database_exists(&config.store.url).await? {
        if !source.can_be_made() {
            source.read().await?;
        }
        return Ok(Looked::NotMade);
    }
    let settings = StoreSettings {
        url: config.store.url.clone(),
        listen_url: config.store.listen_url.clone(),
        master_keys: MasterKeys::load_or_create(source, true).await?,
        without_assignments: config.without_assignments(),
    };
    let (clock, entropy) = (Arc::clone(&world.clock), Arc::clone(&world.entropy));
    Store::look(settings, clock, entropy).await
}

/// The limits that the configuration sets for every decision.
pub fn limits(config: &Config) -> Limits {
    Limits {
        max_duration: config.roles.max_duration,
        default_method: config.roles.default_method,
        saml_providers: config.roles.saml_providers.clone(),
    }
}

/// How STS is called.
pub fn sts_settings(config: &Config) -> StsSettings {
    StsSettings {
        regions: config.sts.regions.clone(),
        endpoint: config.sts.endpoint.as_ref().map(ToString::to_string),
        ..StsSettings::default()
    }
}

/// The allow-list in force.
pub async fn allow_list(config: &Config, store: &Store) -> Result<AllowList, StoreError> {
    AllowList::load(config.roles.entries.clone(), limits(config), store.clone()).await
}

/// The IdPs as a gateway has them when it starts: files, and what the store remembers of URLs. A store that
/// was not made yet is not made by this.
pub async fn idps(config: &Config, world: &World) -> Result<Idps, StartError> {
    let now = world.clock.now();
    let idps = Idps::load(config, now)?;
    if !idps.waiting().is_empty() && database_exists(&config.store.url).await? {
        let store = open_store(config, world).await?;
        idps.recall(&store, now).await?;
        store.close().await;
    }
    Ok(idps)
}

/// As [`idps`], with a store that is open already, or without one.
pub async fn idps_by(
    config: &Config,
    world: &World,
    store: Option<&Store>,
) -> Result<Idps, StartError> {
    let now = world.clock.now();
    let idps = Idps::load(config, now)?;
    if let Some(store) = store.filter(|_| !idps.waiting().is_empty()) {
        idps.recall(store, now).await?;
    }
    Ok(idps)
}

/// The OpenID providers of the configuration; none of them is asked by this.
pub fn providers(config: &Config, world: &World) -> Result<Providers, ProviderError> {
    Providers::load(config, &world.clock, Arc::clone(&world.entropy))
}

/// Who has a live session.
pub fn access(store: &Store, world: &World) -> Access {
    Access {
        store: store.clone(),
        recorder: Recorder::start(store.clone(), Arc::clone(&world.clock)),
        clock: Arc::clone(&world.clock),
    }
}

/// Where IdPs reach this gateway.
pub fn addresses(config: &Config) -> Addresses {
    Addresses {
        entity_id: config.saml.entity_id.clone(),
        acs_url: config.acs_url(),
        slo_url: config.slo_url(),
    }
}

/// rolegate as an OIDC issuer.
pub async fn relay_keys(
    config: &Config,
    world: &World,
    store: &Store,
    recorder: &Recorder,
) -> Result<RelayKeys, StoreError> {
    RelayKeys::load(RelayParts {
        store: store.clone(),
        recorder: recorder.clone(),
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
        issuer: config.relay.issuer.clone(),
        publishes: config.publishes_relay_keys(),
    })
    .await
}

/// What holds for every sign-in.
pub fn sign_in_rules(config: &Config, keys: Arc<ServiceKeys>) -> SignInRules {
    SignInRules {
        entity_id: config.saml.entity_id.clone(),
        acs_url: config.acs_url(),
        audiences: config.audiences(),
        clock_skew: config.saml.clock_skew,
        strict_certificates: config.saml.strict_certificates,
        max_age: TimeDelta::seconds(i64::from(config.session.max_age_seconds)),
        return_origins: config.server.return_origins.clone(),
        keys,
    }
}

/// Starts everything and serves on `listener`, or on `server.listen` where there is none.
pub async fn start(
    config: &Config,
    world: &World,
    listener: Option<TcpListener>,
) -> Result<Running, StartError> {
    let listener = match listener {
        Some(listener) => listener,
        None => listen(config.server.listen)?,
    };
    let metrics_listener = config.server.metrics_listen.map(listen_for_metrics);
    let metrics_listener = metrics_listener.transpose()?;
    let idps = Arc::new(Idps::load(config, world.clock.now())?);
    let providers = Arc::new(providers(config, world)?);
    let parts = parts(config, world, idps, providers).await?;
    let master_keys = master_keys(&parts).await?;
    let refresh = refresh(&parts, world).await?;
    let jobs = Arc::new(jobs(config, world, &parts));
    let mut tasks = background(&parts, &jobs);
    tasks.push(tokio::spawn(Arc::clone(&master_keys).follow()));
    // Side by side: each waits a moment for first answers.
    let (following_idps, following_providers) = tokio::join!(
        Arc::clone(&refresh).start(),
        Arc::clone(&parts.providers).start()
    );
    tasks.extend(following_idps?);
    tasks.extend(following_providers);
    let tls = tls(config)?;
    let bounds = bounds(config);
    let flows = flows(
        config,
        world,
        &parts,
        tls.as_ref(),
        bounds.max_connections,
        &jobs,
    );
    if let Some(tls) = &tls {
        tasks.push(tokio::spawn(Arc::clone(tls).follow()));
    }
    let address = listener
        .local_addr()
        .map_err(|error| ServeError::Listen(config.server.listen, error))?;
    let measured = Arc::clone(&flows.metrics);
    let serving = http::serve(flows, listener, tls.as_ref(), &bounds)?;
    let metrics = match metrics_listener {
        Some(listener) => Some(http::serve_metrics(measured, listener)?),
        None => None,
    };
    tracing::info!(event = "serving", %address, public_url = config.server.public_url(), "rolegate serves");
    Ok(Running {
        address,
        serving,
        metrics,
        refresh,
        tls,
        providers: Arc::clone(&parts.providers),
        id_tokens: Arc::clone(&parts.id_tokens),
        master_keys,
        recorder: parts.recorder.clone(),
        tasks,
        leaving: Arc::clone(&parts.leaving),
        underway: parts.underway.clone(),
        shutdown_delay: seconds(config.server.limits.shutdown_delay_seconds),
    })
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

fn bounds(config: &Config) -> Bounds {
    let limits = &config.server.limits;
    Bounds {
        workers: limits.workers,
        max_connections: open_files::connections(limits.max_connections),
        connections_per_address: limits.connections_per_address,
        tls_handshake_timeout: seconds(limits.tls_handshake_timeout_seconds),
        unread_answer_timeout: seconds(limits.unread_answer_timeout_seconds),
        keep_alive: seconds(limits.keep_alive_seconds),
        shutdown_timeout: seconds(limits.shutdown_timeout_seconds),
    }
}

fn tls(config: &Config) -> Result<Option<Arc<Tls>>, ServeError> {
    let files = config.server.tls.as_ref().map(|tls| TlsFiles {
        certificate: tls.certificate_file.clone(),
        key: tls.key_file.clone(),
        client_ca: tls.client_ca_file.clone(),
    });
    let tls = files.map(Tls::load).transpose()?;
    Ok(tls.map(Arc::new))
}

fn listen_for_metrics(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).map_err(|error| ServeError::ListenMetrics(address, error))
}

fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).map_err(|error| ServeError::Listen(address, error))
}

/// Joins the gateways at work, before anything is served.
async fn master_keys(parts: &Parts) -> Result<Arc<MasterKeyWatch>, StoreError> {
    let name = GatewayName {
        claimant: parts.claimant.clone(),
        host: whoami::hostname().unwrap_or_else(|_| "a host without a name".to_owned()),
    };
    let watch = MasterKeyWatch::join(parts.store.clone(), name).await?;
    Ok(Arc::new(watch))
}

async fn refresh(parts: &Parts, world: &World) -> Result<Arc<Refresh>, StoreError> {
    let refresh = Refresh::open(RefreshParts {
        idps: Arc::clone(&parts.idps),
        store: parts.store.clone(),
        recorder: parts.recorder.clone(),
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
    });
    Ok(Arc::new(refresh.await?))
}
