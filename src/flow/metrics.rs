//! What is measured, in OpenMetrics text.
//!
//! What is in force is read when somebody asks, so that no number here can be older than the thing it tells of; what
//! happened is counted where it happens, by atomic additions, and read here; what the store holds is read from it
//! once in fifteen seconds. Labels come from the configuration, from metadata in force, from the names of an admin's
//! tokens and from closed lists, never from a request, so that there are only ever a few. Nothing in here is a secret
//! or names a person.

mod family;
mod idps;
mod jobs;
mod levels;
mod process;
mod requests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

pub use family::{METRICS, Metric};
pub(super) use levels::LevelsInForce;
pub use requests::Requests;

use super::readiness::{Check, Readiness};
use super::{
    AllowList, Fetch, Holds, Idps, Jobs, Limit, MintTurns, Pressure, Providers, Pulse, RelayKeys,
    SignIn, Underway, Verifiers,
};
use crate::audit::Recorder;
use crate::model::{Clock, Method};
use crate::store::{Levels, Store};
use crate::sts::{CallOutcome, Sts};
use family::{Text, Values, one};
use process::Process;

/// Where the numbers come from.
pub struct MetricsParts {
    /// The IdPs in force.
    pub idps: Arc<Idps>,
    /// The OpenID providers in force.
    pub providers: Arc<Providers>,
    /// Connections.
    pub store: Store,
    /// Who writes the audit.
    pub recorder: Recorder,
    /// The entries in force.
    pub allow_list: Arc<AllowList>,
    /// The holds in force.
    pub holds: Arc<Holds>,
    /// When the store was last heard from.
    pub pulse: Arc<Pulse>,
    /// Calls of STS.
    pub sts: Arc<Sts>,
    /// Fetches.
    pub fetch: Arc<Fetch>,
    /// Sign-ins.
    pub sign_in: Arc<SignIn>,
    /// Verifications.
    pub verifiers: Verifiers,
    /// The relay's keys.
    pub relay_keys: Arc<RelayKeys>,
    /// Requests.
    pub requests: Arc<Requests>,
    /// What is wrong, and what the store holds.
    pub readiness: Arc<Readiness>,
    /// What was turned away, and connections.
    pub pressure: Arc<Pressure>,
    /// How many connections are taken at once.
    pub max_connections: usize,
    /// Sign-ins for which STS is asked.
    pub turns: MintTurns,
    /// What no request waits for.
    pub underway: Underway,
    /// What runs from time to time.
    pub jobs: Arc<Jobs>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Everything that is measured.
pub struct Metrics {
    parts: Arc<MetricsParts>,
    /// When this process was started, in seconds since 1970.
    started_at: Option<f64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

impl Metrics {
    /// The metrics of `parts`.
    pub fn new(parts: MetricsParts) -> Self {
        Self {
            // Once: Prometheus takes another time for another process.
            started_at: Process::started_at(seconds(parts.clock.now())),
            parts: Arc::new(parts),
        }
    }

    /// What requests are counted in.
    pub fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.parts.requests)
    }

    /// The text that a scraper reads. Asks the store where the last look at it is old, and waits a moment for
    /// its answer.
    pub async fn text(&self) -> String {
        let readiness = &self.parts.readiness;
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape {
            parts: Arc::clone(&self.parts),
            started_at: self.started_at,
            checks: readiness.checks().await,
            levels: readiness.levels().await,
        }));
        let mut text = String::new();
        // Writing into a text does not fail; a collector that did would leave its part out.
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
            tracing::error!(event = "metrics_failed", %error, "metrics are incomplete");
        }
        text
    }
}

/// One scrape: what had to be waited for is there already.
struct Scrape {
    parts: Arc<MetricsParts>,
    started_at: Option<f64>,
    checks: Vec<Check>,
    levels: Option<(Duration, Levels)>,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape(..)")
    }
}

impl Collector for Scrape {
    /// In the order of the table.
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let text = &mut Text(encoder);
        self.gateway(text)?;
        self.requests(text)?;
        self.journeys(text)?;
        self.limits(text)?;
        jobs::encode(text, &self.parts.jobs.views())?;
        self.live(text)?;
        self.audit(text)?;
        self.copy_of_audit(text)?;
        self.store(text)?;
        let parts = &self.parts;
        idps::encode(text, &parts.idps, &parts.providers, parts.clock.now())?;
        self.keys(text)?;
        process(text, self.started_at)
    }
}

impl Scrape {
    fn gateway(&self, text: &mut Text<'_>) -> fmt::Result {
        let ready = self.checks.iter().all(Check::lets_serve);
        let problems = self.checks.iter().map(|check| {
            let values = vec![check.name.to_owned(), check.needed.to_string()];
            (values, i64::from(check.problem.is_some()))
        });
        let build = (one(env!("CARGO_PKG_VERSION")), 1_i64);
        text.gauge(family::BUILD, [build])?;
        text.level(family::READY, Some(i64::from(ready)))?;
        text.gauge(family::PROBLEM, problems)?;
        text.level(family::CLOCK, Some(seconds(self.parts.clock.now())))
    }

    fn requests(&self, text: &mut Text<'_>) -> fmt::Result {
        let requests = &self.parts.requests;
        let counts = requests.counts().map(|one| {
            let values = vec![one.route.to_owned(), one.method.to_owned(), one.status];
            (values, one.count)
        });
        let took = requests.took().map(|(route, took)| (one(route), took));
        text.counter(family::REQUESTS, counts)?;
        text.histogram(family::REQUEST_SECONDS, took)
    }

    fn journeys(&self, text: &mut Text<'_>) -> fmt::Result {
        let parts = &self.parts;
        let sign_ins = parts.sign_in.counts().read().into_iter();
        let sign_ins = sign_ins.map(|(idp, outcome, count)| (vec![idp, outcome.to_owned()], count));
        let fetches = parts.fetch.counts().read().into_iter();
        let fetches = fetches.map(|(outcome, count)| (one(outcome), count));
        let calls = parts.sts.calls();
        let of_method = |method: Method| {
            CallOutcome::ALL.into_iter().map(move |outcome| {
                let values = vec![method.to_string(), outcome.as_str().to_owned()];
                (values, calls.count(method, outcome))
            })
        };
        let took = Method::ALL.map(|method| (one(&method), calls.took(method).read()));
        let refreshes = parts.providers.all().iter().flat_map(|provider| {
            let name = provider.settings.name.to_string();
            let read = provider.refreshes().read().into_iter();
            read.map(move |(outcome, count)| (vec![name.clone(), outcome.to_owned()], count))
        });
        let waiting = parts.verifiers.waiting();
        let verified = (Values::new(), parts.verifiers.took().read());
        text.counter(family::SIGN_INS, sign_ins)?;
        text.counter(family::FETCHES, fetches)?;
        text.counter(
            family::STS_CALLS,
            Method::ALL.into_iter().flat_map(of_method),
        )?;
        text.histogram(family::STS_SECONDS, took)?;
        text.counter(family::REFRESHES, refreshes)?;
        text.level(family::VERIFICATIONS_WAITING, Some(waiting))?;
        text.histogram(family::VERIFICATION_SECONDS, [verified])
    }

    fn limits(&self, text: &mut Text<'_>) -> fmt::Result {
        let parts = &self.parts;
        let pressure = &parts.pressure;
        let turned_away = Limit::ALL.map(|limit| (one(limit.name()), pressure.turned_away(limit)));
        let turns = &parts.turns;
        text.counter(family::LIMITED, turned_away)?;
        text.level(family::CONNECTIONS, Some(pressure.connections()))?;
        text.level(family::CONNECTIONS_MOST, Some(parts.max_connections))?;
        text.level(family::MINTING, Some(turns.taken()))?;
        text.level(family::MINTING_MOST, Some(turns.most()))?;
        text.level(family::UNDERWAY, Some(parts.underway.len()))
    }

    fn live(&self, text: &mut Text<'_>) -> fmt::Result {
        let (parts, levels) = (&self.parts, self.levels());
        let entries = parts.allow_list.rules().count();
        let ends = levels.iter().flat_map(|levels| &levels.tokens);
        let ends = ends.map(|end| {
            let values = vec![end.name.to_string(), end.role.clone()];
            (values, end.expires_at.timestamp())
        });
        text.level(family::SESSIONS, levels.map(|levels| levels.sessions))?;
        text.level(family::LEASES, levels.map(|levels| levels.leases))?;
        text.level(family::CREDENTIALS, levels.map(|levels| levels.credentials))?;
        text.level(family::ENTRIES, Some(entries))?;
        text.level(family::HOLDS, Some(parts.holds.count()))?;
        text.gauge(family::TOKEN_ENDS, ends)
    }

    fn audit(&self, text: &mut Text<'_>) -> fmt::Result {
        let recorder = &self.parts.recorder;
        let counts = recorder.counts();
        let written = counts.written();
        let written = written.map(|(kind, count)| (one(kind.as_str()), count));
        let failed = (Values::new(), counts.failed());
        let head = self.levels().map(|levels| levels.audit_seq);
        text.counter(family::AUDIT_RECORDS, written)?;
        text.counter(family::AUDIT_FAILURES, [failed])?;
        text.level(family::AUDIT_QUEUE, Some(recorder.waiting()))?;
        text.level(family::AUDIT_HEAD, head)
    }

    fn copy_of_audit(&self, text: &mut Text<'_>) -> fmt::Result {
        let first = self.levels().and_then(|levels| levels.audit_first);
        let copy = self.parts.recorder.copy_counts();
        let written = copy.map(|copy| (Values::new(), copy.written));
        let failed = copy.map(|copy| (Values::new(), copy.failed));
        text.level(family::AUDIT_FIRST, first)?;
        text.counter(family::AUDIT_COPIED, written)?;
        text.level(family::AUDIT_COPY_PENDING, copy.map(|copy| copy.pending))?;
        text.counter(family::AUDIT_COPY_FAILURES, failed)
    }

    fn store(&self, text: &mut Text<'_>) -> fmt::Result {
        let (parts, levels) = (&self.parts, self.levels());
        let pools = parts.store.pools();
        let in_use = pools.map(|pool| (one(pool.pool), pool.in_use));
        let most = pools.map(|pool| (one(pool.pool), pool.most));
        let heard = parts.pulse.silence().as_secs_f64();
        let age = self.levels.as_ref().map(|(age, _)| age.as_secs_f64());
        let up = i64::from(parts.pulse.is_current());
        text.level(family::STORE_UP, Some(up))?;
        text.level(family::STORE_HEARD, Some(heard))?;
        text.gauge(family::STORE_IN_USE, in_use)?;
        text.gauge(family::STORE_MOST, most)?;
        text.level(family::STORE_SIZE, levels.map(|levels| levels.size))?;
        text.level(
            family::STORE_FREE,
            levels.and_then(|levels| levels.disk_free),
        )?;
        text.level(family::STORE_READ, age)
    }

    fn keys(&self, text: &mut Text<'_>) -> fmt::Result {
        let (parts, levels) = (&self.parts, self.levels());
        let held = parts.store.held_master_keys().len();
        let end = parts.readiness.certificate_ends();
        let made = parts.relay_keys.signer_made_at();
        let age = made.map(|made| seconds(parts.clock.now()) - seconds(made));
        let end = end.map(|end| end.timestamp());
        text.level(family::TLS_CERTIFICATE, end)?;
        text.level(family::RELAY_KEY, age)?;
        text.level(family::MASTER_KEYS, Some(held))?;
        text.level(
            family::UNDER_FORMER,
            levels.map(|levels| levels.under_former),
        )?;
        text.level(family::GATEWAYS, levels.map(|levels| levels.gateways))
    }

    fn levels(&self) -> Option<&Levels> {
        self.levels.as_ref().map(|(_, levels)| levels)
    }
}

/// By the names that every Prometheus client uses.
fn process(text: &mut Text<'_>, started_at: Option<f64>) -> fmt::Result {
    let now = Process::now();
    let cpu = now.cpu_seconds.map(|seconds| (Values::new(), seconds));
    text.level(family::RESIDENT, now.resident_bytes)?;
    text.level(family::VIRTUAL, now.virtual_bytes)?;
    text.counter(family::CPU, cpu)?;
    text.level(family::STARTED, started_at)?;
    text.level(family::THREADS, now.threads)?;
    text.level(family::FILES, now.open_files)?;
    text.level(family::MOST_FILES, now.most_files)
}

/// Seconds since 1970, with thousandths.
fn seconds(at: DateTime<Utc>) -> f64 {
    let millis = at.timestamp_millis();
    let whole = millis.unsigned_abs();
    let seconds = Duration::from_millis(whole).as_secs_f64();
    if millis < 0 { -seconds } else { seconds }
}
