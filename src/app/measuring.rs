//! Where metrics and readiness get their numbers from: put together here, and nothing is counted here.

use std::sync::Arc;

use super::World;
use super::flows::Parts;
use crate::flow::{
    Jobs, Metrics, MetricsParts, Readiness, ReadinessParts, Requests, SignIn, Verifiers,
};
use crate::http::{Tls, route_patterns};

/// What is measured beside the parts themselves.
pub(super) struct Measured {
    pub(super) sign_in: Arc<SignIn>,
    pub(super) verifiers: Verifiers,
    pub(super) readiness: Arc<Readiness>,
    /// How many connections the server takes at once.
    pub(super) max_connections: usize,
    pub(super) jobs: Arc<Jobs>,
}

/// The metrics of a gateway.
pub(super) fn metrics(world: &World, parts: &Parts, measured: Measured) -> Metrics {
    Metrics::new(MetricsParts {
        idps: Arc::clone(&parts.idps),
        providers: Arc::clone(&parts.providers),
        store: parts.store.clone(),
        recorder: parts.recorder.clone(),
        allow_list: Arc::clone(&parts.allow_list),
        holds: Arc::clone(&parts.holds),
        pulse: Arc::clone(&parts.pulse),
        sts: Arc::clone(&parts.sts),
        fetch: Arc::clone(&parts.fetch),
        sign_in: measured.sign_in,
        verifiers: measured.verifiers,
        relay_keys: Arc::clone(&parts.relay_keys),
        requests: Arc::new(Requests::of(route_patterns())),
        readiness: measured.readiness,
        pressure: Arc::clone(&parts.pressure),
        max_connections: measured.max_connections,
        turns: parts.turns.clone(),
        underway: parts.underway.clone(),
        jobs: measured.jobs,
        clock: Arc::clone(&world.clock),
    })
}

/// What its readiness is judged by.
pub(super) fn readiness(world: &World, parts: &Parts, tls: Option<&Arc<Tls>>) -> Readiness {
    let tls = tls.map(Arc::clone);
    let leaving = Arc::clone(&parts.leaving);
    Readiness::new(ReadinessParts {
        pulse: Arc::clone(&parts.pulse),
        idps: Arc::clone(&parts.idps),
        providers: Arc::clone(&parts.providers),
        recorder: parts.recorder.clone(),
        store: parts.store.clone(),
        certificate: Box::new(move || tls.as_ref()?.not_after()),
        leaving: Box::new(move || leaving.is_announced()),
        clock: Arc::clone(&world.clock),
    })
}
