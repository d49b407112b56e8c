//! Every flow over the same parts, and what runs beside the requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{World, addresses, sign_in_rules};
use crate::audit::Recorder;
use crate::config::Config;
use crate::flow::{
    Access, Admins, AllowList, Explain, Fetch, Grants, Holds, Idps, InForce, Leases, Logout,
    LogoutParts, Metrics, Mint, Pulse, Revoke, ServiceKeys, SignIn, SignInParts, SignInRules,
    Verifiers,
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
    pub(super) holds: Arc<Holds>,
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
            holds: Arc::clone(&parts.holds),
            clock: Arc::clone(&world.clock),
        }),
        fetch: Arc::clone(&parts.fetch),
        leases: Arc::new(leases(config, world, parts)),
        revoke: Arc::new(revoke(parts)),
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

fn revoke(parts: &Parts) -> Revoke {
    Revoke {
        store: parts.store.clone(),
        recorder: parts.recorder.clone(),
        in_force: Some(InForce {
            fetch: Arc::clone(&parts.fetch),
            holds: Arc::clone(&parts.holds),
        }),
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
        Arc::clone(&parts.holds),
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
