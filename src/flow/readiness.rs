//! What a gateway needs to serve people and jobs, and what of it is wrong now.
//!
//! One list of checks, for `/readyz` and for the metrics. A check that is `needed` takes the gateway out of service;
//! the others tell an operator of what will hurt later, or hurts some people only. Anybody may read the list: it
//! names IdPs, as the sign-in page does, and never a person, a path, an address or what a database said.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{Instant, timeout};

use super::metrics::LevelsInForce;
use super::{Idps, Providers, Pulse};
use crate::audit::Recorder;
use crate::model::Clock;
use crate::store::{Levels, Store};

/// By how much the clock may have gone back since the start; time services move it by less.
const STEP: TimeDelta = TimeDelta::seconds(60);
/// How often it is tried whether a failing audit can be written again.
const PROBE: Duration = Duration::from_secs(2);
/// How long such a try may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// When the certificate ends that the process serves with; `None` where it serves in the clear.
pub type CertificateEnd = Box<dyn Fn() -> Option<DateTime<Utc>> + Send + Sync>;

/// What readiness is judged by.
pub struct ReadinessParts {
    /// When the store was last heard from.
    pub pulse: Arc<Pulse>,
    /// The IdPs in force.
    pub idps: Arc<Idps>,
    /// The OpenID providers in force.
    pub providers: Arc<Providers>,
    /// Who writes the audit.
    pub recorder: Recorder,
    /// Where it is written.
    pub store: Store,
    /// The gateway's own certificate.
    pub certificate: CertificateEnd,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// One thing that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its stable name.
    pub name: &'static str,
    /// Whether nobody can be served while it fails.
    pub needed: bool,
    /// What is wrong and what mends it.
    pub problem: Option<String>,
}

impl Check {
    /// Whether the gateway can serve as far as this goes.
    pub fn lets_serve(&self) -> bool {
        !self.needed || self.problem.is_none()
    }
}

/// Judges whether the gateway can serve.
pub struct Readiness {
    parts: ReadinessParts,
    levels: LevelsInForce,
    began: (Instant, DateTime<Utc>),
    /// When a failing audit was last tried.
    probed: Mutex<Option<Instant>>,
}

impl Readiness {
    /// Judges by `parts`; the clock is held against this moment.
    pub fn new(parts: ReadinessParts) -> Self {
        Self {
            levels: LevelsInForce::of(parts.store.clone()),
            began: (Instant::now(), parts.clock.now()),
            parts,
            probed: Mutex::new(None),
        }
    }

    /// Every check, whether or not it found something. A new one belongs in this list, and in the handbook.
    pub async fn checks(&self) -> Vec<Check> {
        self.try_audit().await;
        let levels = self.levels().await.map(|(_, levels)| levels);
        let needed = |name, problem| Check {
            name,
            needed: true,
            problem,
        };
        let told = |name, problem| Check {
            name,
            needed: false,
            problem,
        };
        vec![
            needed("store", self.store_away()),
            needed("audit", self.audit_fails()),
            needed("idp", self.no_idp()),
            told("idp_waiting", self.waiting()),
            told("tls_certificate", self.certificate_over()),
            told("schema", newer_schema(levels.as_ref())),
            told("clock", self.clock_went_back()),
        ]
    }

    /// What the store holds, with the age of the look.
    pub(super) async fn levels(&self) -> Option<(Duration, Levels)> {
        self.levels.now().await
    }

    /// When the gateway's own certificate ends.
    pub(super) fn certificate_ends(&self) -> Option<DateTime<Utc>> {
        (self.parts.certificate)()
    }

    fn store_away(&self) -> Option<String> {
        let away = "the store has not answered for 5 seconds; look at its log and disk";
        (!self.parts.pulse.is_current()).then(|| away.to_owned())
    }

    fn audit_fails(&self) -> Option<String> {
        let fails = "audit records cannot be written, so nothing new is handed out; the log says why (audit_lost), and `rolegate audit verify` whether the chain is damaged";
        self.parts
            .recorder
            .counts()
            .is_failing()
            .then(|| fails.to_owned())
    }

    fn no_idp(&self) -> Option<String> {
        let (idps, providers) = (&self.parts.idps, &self.parts.providers);
        if idps.is_empty() && providers.is_empty() {
            let none = "no IdP is configured; add [[saml.idp]] with its metadata_url or metadata_file, or [[oidc.provider]] with its issuer";
            return Some(none.to_owned());
        }
        let none = "none of the IdPs can be used yet; `rolegate idps list` says why";
        let usable = !idps.all().is_empty() || !providers.names().is_empty();
        (!usable).then(|| none.to_owned())
    }

    /// One IdP that waits does not take the gateway away from the people of the others.
    fn waiting(&self) -> Option<String> {
        let idps = self.parts.idps.waiting().into_iter().map(|idp| format!(
            "IdP {idp} cannot be used yet: its metadata_url has not given good metadata; `rolegate idps list` says why"
        ));
        let providers = self.parts.providers.waiting().into_iter().map(|name| format!(
            "OpenID provider {name} cannot be used yet: it has not answered as it should; `rolegate idps list` says why"
        ));
        let waiting: Vec<String> = idps.chain(providers).collect();
        (!waiting.is_empty()).then(|| waiting.join("; "))
    }

    /// Told alone: what stands before the gateway may not look at its certificate, and then all goes on.
    fn certificate_over(&self) -> Option<String> {
        let end = self.certificate_ends()?;
        let over = "the certificate of server.tls has ended; put a new one where certificate_file and key_file point, which are read again within 10 seconds";
        (self.parts.clock.now() >= end).then(|| over.to_owned())
    }

    fn clock_went_back(&self) -> Option<String> {
        let (instant, then) = self.began;
        let gone = TimeDelta::from_std(instant.elapsed()).unwrap_or_default();
        let back = then + gone - self.parts.clock.now();
        (back > STEP).then(|| {
            let seconds = back.num_seconds();
            format!("the clock was set back by {seconds} seconds since the gateway started; look at the time service of the machine")
        })
    }

    /// Where the last record could not be written, tries whether one could be now, so that a gateway that nobody
    /// asks for anything comes back by itself.
    async fn try_audit(&self) {
        let counts = self.parts.recorder.counts();
        if !counts.is_failing() || !self.is_due() {
            return;
        }
        let tried = timeout(PATIENCE, self.parts.store.check_audit()).await;
        if let Ok(Ok(())) = tried {
            counts.can_write();
        }
    }

    fn is_due(&self) -> bool {
        let mut probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = probed.is_none_or(|probed| probed.elapsed() >= PROBE);
        if is_due {
            *probed = Some(Instant::now());
        }
        is_due
    }
}

fn newer_schema(levels: Option<&Levels>) -> Option<String> {
    let version = levels?.newer_schema?;
    Some(format!(
        "a newer rolegate has brought the database to schema {version}; start that version here too"
    ))
}
