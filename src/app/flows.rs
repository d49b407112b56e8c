//! Every flow over the same parts, and what runs beside the requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{World, addresses, sign_in_rules};
use crate::audit::Recorder;
use crate::config::Config;
use crate::flow::{
    Access, Admins, AllowList, Explain, Fetch, Grants, Idps, Leases, Logout, LogoutParts, Metrics,
    Mint, Pulse, ServiceKeys, SignIn, SignInParts, Verifiers,
};
use crate::http::{Flows, Site};
use crate::model::LeaseId;
use crate::store::Store;
use crate::sts::{Sts, StsSettings};

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
pub(super) fn flows(config: &Config, world: &World, parts: Parts) -> Flows {
    let Parts {
        idps,
        store,
        recorder,
        allow_list,
        pulse,
        fetch,
        keys,
    } = parts;
    let verifiers = Verifiers::one_per_core();
    let rules = sign_in_rules(config, Arc::clone(&keys));
    let logout = Arc::new(Logout::new(LogoutParts {
        idps: Arc::clone(&idps),
        keys: Arc::clone(&keys),
        store: store.clone(),
        fetch: Arc::clone(&fetch),
        recorder: recorder.clone(),
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
        verifiers: verifiers.clone(),
        addresses: addresses(config),
        clock_skew: config.saml.clock_skew,
        strict_certificates: config.saml.strict_certificates,
    }));
    let sign_in = Arc::new(SignIn::new(SignInParts {
        idps: Arc::clone(&idps),
        store: store.clone(),
        mint: Arc::new(mint(config, world, &store, &recorder, &allow_list)),
        fetch: Arc::clone(&fetch),
        recorder: recorder.clone(),
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
        verifiers,
        rules: rules.clone(),
    }));
    let grants = Arc::new(Grants {
        store: store.clone(),
        allow_list: Arc::clone(&allow_list),
        clock: Arc::clone(&world.clock),
    });
    let leases = Arc::new(Leases {
        store: store.clone(),
        allow_list: Arc::clone(&allow_list),
        fetch: Arc::clone(&fetch),
        recorder: recorder.clone(),
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
        default_ttl_seconds: config.leases.default_ttl_seconds,
        max_ttl_seconds: config.leases.max_ttl_seconds,
    });
    let access = Arc::new(Access {
        store,
        recorder,
        clock: Arc::clone(&world.clock),
    });
    let metrics = Arc::new(Metrics::new(Arc::clone(&idps), Arc::clone(&world.clock)));
    let explain = Arc::new(Explain {
        access: Arc::clone(&access),
        idps: Arc::clone(&idps),
        allow_list,
        rules,
    });
    Flows {
        metrics,
        sign_in,
        grants,
        fetch,
        leases,
        idps,
        keys,
        logout,
        pulse,
        access,
        explain,
        admins: Arc::new(Admins::new(config.admin.clone())),
        site: Arc::new(site(config)),
    }
}

fn mint(
    config: &Config,
    world: &World,
    store: &Store,
    recorder: &Recorder,
    allow_list: &Arc<AllowList>,
) -> Mint {
    let settings = StsSettings {
        regions: config.sts.regions.clone(),
        endpoint: config.sts.endpoint.as_ref().map(ToString::to_string),
        ..StsSettings::default()
    };
    Mint {
        store: store.clone(),
        sts: Arc::new(Sts::new(settings, Arc::clone(&world.clock))),
        allow_list: Arc::clone(allow_list),
        recorder: recorder.clone(),
        clock: Arc::clone(&world.clock),
        // Unique to this process among those that share the store.
        claimant: LeaseId::fresh(&*world.clock, &*world.entropy).to_string(),
    }
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
