//! Every flow over the same parts, and what runs beside the requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{World, addresses, sign_in_rules};
use crate::audit::Recorder;
use crate::config::Config;
use crate::flow::{
    Access, Admins, AllowList, Console, Explain, Fetch, Grants, Idps, Leases, Login, Logout,
    LogoutParts, Metrics, Mint, Pulse, ServiceKeys, SignIn, SignInParts, SignInRules, Verifiers,
};
use crate::http::{Flows, Site};
use crate::model::LeaseId;
use crate::store::Store;
use crate::sts::{CONSOLE_SOURCES, Federation, Sts, StsSettings};

/// What every flow is made from.
pub(super) struct Parts {
    pub(super) idps: Arc<Idps>,
    pub(super) store: Store,
    pub(super) recorder: Recorder,
    pub(super) allow_list: Arc<AllowList>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) fetch: Arc<Fetch>,
    pub(super) keys: Arc<ServiceKeys>,
}

/// Every flow over the same parts.
pub(super) fn flows(config: &Config, world: &World, parts: &Parts) -> Flows {
    let verifiers = Verifiers::one_per_core();
    let rules = sign_in_rules(config, Arc::clone(&parts.keys));
    let access = Arc::new(Access {
        store: parts.store.clone(),
        recorder: parts.recorder.clone(),
        clock: Arc::clone(&world.clock),
    });
    Flows {
        metrics: Arc::new(Metrics::new(
            Arc::clone(&parts.idps),
            Arc::clone(&world.clock),
        )),
        sign_in: Arc::new(sign_in(
            config,
            world,
            parts,
            verifiers.clone(),
            rules.clone(),
        )),
        grants: Arc::new(Grants {
            store: parts.store.clone(),
            allow_list: Arc::clone(&parts.allow_list),
            clock: Arc::clone(&world.clock),
        }),
        fetch: Arc::clone(&parts.fetch),
        leases: Arc::new(leases(config, world, parts)),
        idps: Arc::clone(&parts.idps),
        keys: Arc::clone(&parts.keys),
        logout: Arc::new(logout(config, world, parts, verifiers)),
        pulse: Arc::clone(&parts.pulse),
        explain: Arc::new(Explain {
            access: Arc::clone(&access),
            idps: Arc::clone(&parts.idps),
            allow_list: Arc::clone(&parts.allow_list),
            rules,
        }),
        console: Arc::new(console(config, parts)),
        login: Arc::new(Login::new(Arc::clone(&access), Arc::clone(&world.entropy))),
        access,
        admins: Arc::new(Admins::new(config.admin.clone())),
        site: Arc::new(site(config)),
    }
}

fn sign_in(
    config: &Config,
    world: &World,
    parts: &Parts,
    verifiers: Verifiers,
    rules: SignInRules,
) -> SignIn {
    SignIn::new(SignInParts {
        idps: Arc::clone(&parts.idps),
        store: parts.store.clone(),
        mint: Arc::new(mint(config, world, parts)),
        fetch: Arc::clone(&parts.fetch),
        recorder: parts.recorder.clone(),
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
        verifiers,
        rules,
    })
}

fn logout(config: &Config, world: &World, parts: &Parts, verifiers: Verifiers) -> Logout {
    Logout::new(LogoutParts {
        idps: Arc::clone(&parts.idps),
        keys: Arc::clone(&parts.keys),
        store: parts.store.clone(),
        fetch: Arc::clone(&parts.fetch),
        recorder: parts.recorder.clone(),
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
        verifiers,
        addresses: addresses(config),
        clock_skew: config.saml.clock_skew,
        strict_certificates: config.saml.strict_certificates,
    })
}

fn leases(config: &Config, world: &World, parts: &Parts) -> Leases {
    Leases {
        store: parts.store.clone(),
        allow_list: Arc::clone(&parts.allow_list),
        fetch: Arc::clone(&parts.fetch),
        recorder: parts.recorder.clone(),
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
        default_ttl_seconds: config.leases.default_ttl_seconds,
        max_ttl_seconds: config.leases.max_ttl_seconds,
    }
}

fn mint(config: &Config, world: &World, parts: &Parts) -> Mint {
    let settings = StsSettings {
        regions: config.sts.regions.clone(),
        endpoint: config.sts.endpoint.as_ref().map(ToString::to_string),
        ..StsSettings::default()
    };
    Mint {
        store: parts.store.clone(),
        sts: Arc::new(Sts::new(settings, Arc::clone(&world.clock))),
        allow_list: Arc::clone(&parts.allow_list),
        recorder: parts.recorder.clone(),
        clock: Arc::clone(&world.clock),
        // Unique to this process among those that share the store.
        claimant: LeaseId::fresh(&*world.clock, &*world.entropy).to_string(),
    }
}

fn console(config: &Config, parts: &Parts) -> Console {
    let issuer = format!("{}/login", config.server.public_url());
    Console {
        store: parts.store.clone(),
        fetch: Arc::clone(&parts.fetch),
        recorder: parts.recorder.clone(),
        federation: Federation::new(issuer, config.sts.console_endpoint.clone()),
    }
}

/// Where the portal's console button leads browsers.
fn console_sources(config: &Config) -> String {
    let endpoint = config.sts.console_endpoint.as_ref();
    endpoint.map_or_else(
        || CONSOLE_SOURCES.to_owned(),
        |url| format!("{} {CONSOLE_SOURCES}", url.origin().ascii_serialization()),
    )
}

fn site(config: &Config) -> Site {
    let public_url = config.server.public_url().to_owned();
    Site {
        origin: config.server.public_url.origin().ascii_serialization(),
        return_origins: config.server.return_origins.clone(),
        secure_cookies: !config.loopback_http(),
        tls: config.server.tls.is_some(),
        request_timeout: Duration::from_secs(u64::from(
            config.server.limits.request_timeout_seconds,
        )),
        public_url,
        console_sources: console_sources(config),
        trusted_proxies: if config.server.behind_proxy {
            config.server.trusted_proxies.clone()
        } else {
            Vec::new()
        },
    }
}

/// How often what has run out is removed.
const PURGE: Duration = Duration::from_mins(5);

/// What runs beside the requests.
pub(super) fn background(parts: &Parts) -> Vec<JoinHandle<()>> {
    let pulse = Arc::clone(&parts.pulse).watch(
        parts.store.clone(),
        Arc::clone(&parts.allow_list),
        Arc::clone(&parts.fetch),
        Arc::clone(&parts.keys),
    );
    vec![
        tokio::spawn(pulse),
        tokio::spawn(purge(parts.store.clone())),
    ]
}

async fn purge(store: Store) {
    let mut ticks = tokio::time::interval(PURGE);
    loop {
        ticks.tick().await;
        if let Err(error) = store.purge().await {
            tracing::warn!(event = "purge_failed", %error, "what has run out stays until the next purge");
        }
    }
}
