//! Every flow over the same parts, and what runs beside the requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::audit_terms::{copy_to, keep_audit};
use super::measuring::{self, Measured};
use super::{World, addresses, allow_list, open_store, relay_keys, sign_in_rules, sts_settings};
use crate::audit::{Event, EventKind, Recorder};
use crate::config::{self, Config};
use crate::flow::{
    Access, Admins, AllowList, Assignments, Budget, Console, Explain, Fetch, FetchParts, Grants,
    Holds, IdTokens, IdTokensParts, Idps, InForce, Issuer, IssuerParts, JobParts, Jobs, Leases,
    Login, Logout, LogoutParts, Mint, MintTurns, Pressure, Providers, Pulse, RelayKeys, Revoke,
    ServiceKeys, SignIn, SignInParts, SignInRules, Underway, Verifiers, jobs_table,
};
use crate::http::{Flows, Leaving, Limits, Rates, RequestIds, Site, Tls};
use crate::model::{LeaseId, Method};
use crate::store::{Store, StoreError};
use crate::sts::{CONSOLE_SOURCES, Federation, Sts};

/// What every flow is made from.
pub(super) struct Parts {
    pub(super) idps: Arc<Idps>,
    pub(super) providers: Arc<Providers>,
    pub(super) store: Store,
    pub(super) recorder: Recorder,
    pub(super) allow_list: Arc<AllowList>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) sts: Arc<Sts>,
    /// Unique to this process among those that share the store.
    pub(super) claimant: String,
    pub(super) id_tokens: Arc<IdTokens>,
    pub(super) issuer: Arc<Issuer>,
    pub(super) fetch: Arc<Fetch>,
    pub(super) keys: Arc<ServiceKeys>,
    pub(super) relay_keys: Arc<RelayKeys>,
    pub(super) holds: Arc<Holds>,
    pub(super) pressure: Arc<Pressure>,
    pub(super) turns: MintTurns,
    pub(super) underway: Underway,
    pub(super) leaving: Arc<Leaving>,
}

/// Opens the store and puts the parts together; says in the audit that the gateway starts.
pub(super) async fn parts(
    config: &Config,
    world: &World,
    idps: Arc<Idps>,
    providers: Arc<Providers>,
) -> Result<Parts, StoreError> {
    let store = open_store(config, world).await?;
    let (recorder, allow_list) = begin(config, world, &store).await?;
    let relay_keys = Arc::new(relay_keys(config, world, &store, &recorder).await?);
    let (pulse, underway) = (Arc::new(Pulse::started()), Underway::here());
    let holds = Arc::new(Holds::load(store.clone()).await?);
    let sts = Arc::new(sts(config, world));
    let claimant = LeaseId::fresh(&*world.clock, &*world.entropy).to_string();
    let id_tokens = Arc::new(IdTokens::new(IdTokensParts {
        store: store.clone(),
        providers: Arc::clone(&providers),
        allow_list: Arc::clone(&allow_list),
        holds: Arc::clone(&holds),
        recorder: recorder.clone(),
        clock: Arc::clone(&world.clock),
        claimant: claimant.clone(),
    }));
    let issuer = Arc::new(Issuer::new(IssuerParts {
        store: store.clone(),
        sts: Arc::clone(&sts),
        relay: Arc::clone(&relay_keys),
        id_tokens: Arc::clone(&id_tokens),
        budget: Budget::new(config.sts.calls_per_second),
        recorder: recorder.clone(),
        clock: Arc::clone(&world.clock),
        claimant: claimant.clone(),
        underway: underway.clone(),
    }));
    let fetch = Arc::new(Fetch::new(FetchParts {
        store: store.clone(),
        allow_list: Arc::clone(&allow_list),
        pulse: Arc::clone(&pulse),
        holds: Arc::clone(&holds),
        issuer: Arc::clone(&issuer),
        recorder: recorder.clone(),
        clock: Arc::clone(&world.clock),
    }));
    id_tokens.tell(&fetch);
    let pressure = Arc::<Pressure>::default();
    Ok(Parts {
        keys: Arc::new(ServiceKeys::load(store.clone(), addresses(config)).await?),
        relay_keys,
        idps,
        providers,
        store,
        recorder,
        allow_list,
        pulse,
        sts,
        claimant,
        id_tokens,
        issuer,
        fetch,
        holds,
        turns: MintTurns::new(config.server.limits.sign_ins_minting, Arc::clone(&pressure)),
        pressure,
        underway,
        leaving: Arc::default(),
    })
}

/// The audit, with the start as its first word, and the allow-list.
async fn begin(
    config: &Config,
    world: &World,
    store: &Store,
) -> Result<(Recorder, Arc<AllowList>), StoreError> {
    let (clock, copy) = (Arc::clone(&world.clock), copy_to(config));
    let recorder = Recorder::start_with(store.clone(), clock, copy);
    let allow_list = Arc::new(allow_list(config, store).await?);
    recorder
        .record(Event::new(EventKind::GatewayStarted))
        .await?;
    Ok((recorder, allow_list))
}

/// What runs from time to time.
pub(super) fn jobs(config: &Config, world: &World, parts: &Parts) -> Jobs {
    let table = jobs_table(&JobParts {
        store: parts.store.clone(),
        fetch: Arc::clone(&parts.fetch),
        id_tokens: Arc::clone(&parts.id_tokens),
        relay_keys: Arc::clone(&parts.relay_keys),
        recorder: parts.recorder.clone(),
        keep_audit: keep_audit(config),
    });
    Jobs::new(table, Arc::clone(&world.clock), Arc::clone(&world.entropy))
}

/// The way to STS.
pub(super) fn sts(config: &Config, world: &World) -> Sts {
    Sts::new(sts_settings(config), Arc::clone(&world.clock))
}

/// Every flow over the same parts, for a server of `max_connections`, beside `jobs`.
pub(super) fn flows(
    config: &Config,
    world: &World,
    parts: &Parts,
    tls: Option<&Arc<Tls>>,
    max_connections: usize,
    jobs: &Arc<Jobs>,
) -> Flows {
    let limits = &config.server.limits;
    let pressure = Arc::clone(&parts.pressure);
    let verifiers = Verifiers::one_per_core(limits.verifications_waiting, Arc::clone(&pressure));
    let rules = sign_in_rules(config, Arc::clone(&parts.keys));
    let access = Arc::new(Access {
        store: parts.store.clone(),
        recorder: parts.recorder.clone(),
        clock: Arc::clone(&world.clock),
    });
    let sign_in = Arc::new(sign_in(
        config,
        world,
        parts,
        verifiers.clone(),
        rules.clone(),
    ));
    let readiness = Arc::new(measuring::readiness(world, parts, tls));
    let measured = Measured {
        sign_in: Arc::clone(&sign_in),
        verifiers: verifiers.clone(),
        readiness: Arc::clone(&readiness),
        max_connections,
        jobs: Arc::clone(jobs),
    };
    Flows {
        metrics: Arc::new(measuring::metrics(world, parts, measured)),
        readiness,
        request_ids: Arc::new(RequestIds::of(Arc::clone(&world.entropy))),
        sign_in,
        grants: Arc::new(Grants {
            store: parts.store.clone(),
            allow_list: Arc::clone(&parts.allow_list),
            holds: Arc::clone(&parts.holds),
            clock: Arc::clone(&world.clock),
        }),
        fetch: Arc::clone(&parts.fetch),
        leases: Arc::new(leases(config, world, parts)),
        revoke: Arc::new(revoke(parts)),
        assignments: Arc::new(assignments(config, world, parts)),
        idps: Arc::clone(&parts.idps),
        providers: Arc::clone(&parts.providers),
        keys: Arc::clone(&parts.keys),
        relay_keys: Arc::clone(&parts.relay_keys),
        logout: Arc::new(logout(config, world, parts, verifiers)),
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
        limits: Arc::new(Limits::new(&rates(limits), Arc::clone(&pressure))),
        pressure,
        underway: Arc::new(parts.underway.clone()),
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
        providers: Arc::clone(&parts.providers),
        store: parts.store.clone(),
        mint: Arc::new(mint(world, parts)),
        fetch: Arc::clone(&parts.fetch),
        recorder: parts.recorder.clone(),
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
        verifiers,
        rules,
        open_sign_ins: config.server.limits.open_sign_ins,
        underway: parts.underway.clone(),
    })
}

fn logout(config: &Config, world: &World, parts: &Parts, verifiers: Verifiers) -> Logout {
    Logout::new(LogoutParts {
        idps: Arc::clone(&parts.idps),
        providers: Arc::clone(&parts.providers),
        keys: Arc::clone(&parts.keys),
        store: parts.store.clone(),
        fetch: Arc::clone(&parts.fetch),
        recorder: parts.recorder.clone(),
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
        verifiers,
        addresses: addresses(config),
        back_to: format!("{}/login", config.server.public_url()),
        clock_skew: config.saml.clock_skew,
        strict_certificates: config.saml.strict_certificates,
        underway: parts.underway.clone(),
    })
}

fn leases(config: &Config, world: &World, parts: &Parts) -> Leases {
    Leases {
        store: parts.store.clone(),
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

fn assignments(config: &Config, world: &World, parts: &Parts) -> Assignments {
    Assignments {
        store: parts.store.clone(),
        recorder: parts.recorder.clone(),
        allow_list: Arc::clone(&parts.allow_list),
        clock: Arc::clone(&world.clock),
        idps: config.idp_names().cloned().collect(),
        without: config.without_assignments(),
        fetch: Some(Arc::clone(&parts.fetch)),
    }
}

fn mint(world: &World, parts: &Parts) -> Mint {
    Mint {
        store: parts.store.clone(),
        sts: Arc::clone(&parts.sts),
        issuer: Arc::clone(&parts.issuer),
        allow_list: Arc::clone(&parts.allow_list),
        recorder: parts.recorder.clone(),
        clock: Arc::clone(&world.clock),
        claimant: parts.claimant.clone(),
        turns: parts.turns.clone(),
        underway: parts.underway.clone(),
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
        oidc_providers: config.oidc.iter().map(|one| one.name.clone()).collect(),
        secure_cookies: !config.loopback_http(),
        tls: config.server.tls.is_some(),
        request_timeout: Duration::from_secs(u64::from(
            config.server.limits.request_timeout_seconds,
        )),
        max_head_bytes: config.server.limits.max_head_bytes,
        max_body_bytes: config.server.limits.max_body_bytes,
        https_only: config.server.public_url.scheme() == "https",
        public_url,
        console_sources: console_sources(config),
        trusted_proxies: if config.server.behind_proxy {
            config.server.trusted_proxies.clone()
        } else {
            Vec::new()
        },
    }
}

fn rates(limits: &config::Limits) -> Rates {
    Rates {
        bad_tokens: limits.bad_tokens_per_minute,
        refused_sign_ins: limits.refused_sign_ins_per_minute,
        sign_in_starts: limits.sign_in_starts_per_minute,
        refusals_of_token: limits.refusals_per_minute_and_token,
    }
}

/// What runs beside the requests.
pub(super) fn background(parts: &Parts, jobs: &Arc<Jobs>) -> Vec<JoinHandle<()>> {
    let pulse = Arc::clone(&parts.pulse).watch(
        parts.store.clone(),
        Arc::clone(&parts.allow_list),
        Arc::clone(&parts.fetch),
        Arc::clone(&parts.keys),
        Arc::clone(&parts.relay_keys),
        Arc::clone(&parts.holds),
    );
    vec![
        tokio::spawn(prepare(
            Arc::clone(&parts.relay_keys),
            Arc::clone(&parts.allow_list),
        )),
        tokio::spawn(pulse),
        tokio::spawn(Arc::clone(jobs).run()),
    ]
}

/// Making the relay's key takes a while, and the first jobs would wait for it.
async fn prepare(keys: Arc<RelayKeys>, allow_list: Arc<AllowList>) {
    if allow_list.rules().allow_by(Method::Relay)
        && let Err(error) = keys.prepare().await
    {
        tracing::warn!(event = "relay_key_missing", %error, "the relay's key is made when it is first needed");
    }
}
