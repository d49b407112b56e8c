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
/// With less room where the database is, an operator is told.
const ROOM: u64 = 64 << 20;
/// How often it is tried whether a failing audit can be written again.
const PROBE: Duration = Duration::from_secs(2);
/// How long such a try may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// When the certificate ends that the process serves with; `None` where it serves in the clear.
pub type CertificateEnd = Box<dyn Fn() -> Option<DateTime<Utc>> + Send + Sync>;

/// Whether the gateway is about to end.
pub type AboutToEnd = Box<dyn Fn() -> bool + Send + Sync>;

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
    /// Whether it was told to end.
    pub leaving: AboutToEnd,
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
        let free = levels.as_ref().and_then(|levels| levels.disk_free);
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
            needed("leaving", self.is_leaving()),
            needed("store", self.store_away()),
            needed("audit", self.audit_fails()),
            needed("idp", self.no_idp()),
            told("idp_waiting", self.waiting()),
            told("tls_certificate", self.certificate_over()),
            told("schema", newer_schema(levels.as_ref())),
            told("clock", self.clock_went_back()),
            told("master_keys", self.keys_unlisted()),
            told("disk", little_room(free)),
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

    /// Balancers are told before nobody listens any more.
    fn is_leaving(&self) -> Option<String> {
        (self.parts.leaving)().then(|| "the gateway is about to end".to_owned())
    }

    fn store_away(&self) -> Option<String> {
        let away = "the store has not answered for 5 seconds; look at its log and disk";
        (!self.parts.pulse.is_current()).then(|| away.to_owned())
    }

    fn audit_fails(&self) -> Option<String> {
        let fails = "audit records cannot be written, so nothing new is handed out; the log says why (store_away, audit_lost), and `rolegate audit verify` whether the chain is damaged";
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

    /// It serves with the keys that it holds, and could not be started again.
    fn keys_unlisted(&self) -> Option<String> {
        let problem = match self.parts.store.unlisted_master_keys() {
            Some(ids) if ids.is_empty() => return None,
            Some(_) => {
                "a line that is needed is gone from the master keys' file or command; put it back before this gateway ends, for none starts without it; the log names the key (master_key_line_missing)"
            }
            None => {
                "the master keys cannot be read again, and those from before are kept; no gateway starts like this; the log says why (master_keys_unreadable)"
            }
        };
        Some(problem.to_owned())
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
        if !counts.is_failing() || !self.parts.pulse.is_current() || !self.is_due() {
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

/// Jobs that run are served from a full disk, so that the gateway stays in service.
fn little_room(free: Option<u64>) -> Option<String> {
    let mebibytes = free.filter(|free| *free < ROOM)? >> 20;
    Some(format!(
        "{mebibytes} MiB are free on the disk of the database; make room: once it is full, neither sign-ins nor leases nor edits are taken"
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::audit::{Event, EventKind};
    use crate::config;
    use crate::model::{FixedClock, OsEntropy};
    use crate::store::testing::Bench;

    const IDP: &str = "[[saml.idp]]\nname = \"okta\"\nmetadata_file = \"idp.xml\"\n";

    struct Stage {
        bench: Bench,
        clock: Arc<FixedClock>,
        recorder: Recorder,
        leaving: Arc<AtomicBool>,
        readiness: Readiness,
    }

    impl Stage {
        async fn new(idps: &str, ends: Option<DateTime<Utc>>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let metadata = include_bytes!("../../fixtures/saml/idp-expired.xml");
            std::fs::write(folder.path().join("idp.xml"), metadata).unwrap();
            let file = folder.path().join("rolegate.toml");
            let text = format!("[server]\npublic_url = \"http://127.0.0.1:8080\"\n{idps}");
            std::fs::write(&file, text).unwrap();
            let config = config::load(&file, &BTreeMap::new()).unwrap();
            let bench = Bench::new();
            let store = bench.open().await;
            let clock = Arc::clone(&bench.clock);
            let shared: Arc<dyn Clock> = Arc::<FixedClock>::clone(&clock);
            let recorder = Recorder::start(store.clone(), Arc::clone(&shared));
            let providers = Providers::load(&config, &shared, Arc::new(OsEntropy)).unwrap();
            let leaving = Arc::new(AtomicBool::new(false));
            let readiness = Readiness::new(ReadinessParts {
                pulse: Arc::new(Pulse::started()),
                idps: Arc::new(Idps::load(&config, shared.now()).unwrap()),
                providers: Arc::new(providers),
                recorder: recorder.clone(),
                store,
                certificate: Box::new(move || ends),
                leaving: Box::new({
                    let leaving = Arc::clone(&leaving);
                    move || leaving.load(Ordering::Relaxed)
                }),
                clock: shared,
            });
            Self {
                bench,
                clock,
                recorder,
                leaving,
                readiness,
            }
        }

        /// The checks that fail, and whether it can serve all the same.
        async fn looks(&self) -> (Vec<&'static str>, bool) {
            let checks = self.readiness.checks().await;
            let ready = checks.iter().all(Check::lets_serve);
            let fail = checks.iter().filter(|check| check.problem.is_some());
            (fail.map(|check| check.name).collect(), ready)
        }
    }

    #[tokio::test]
    async fn with_all_that_is_needed_it_is_ready() {
        let stage = Stage::new(IDP, None).await;
        assert_eq!(stage.looks().await, (vec![], true));
    }

    #[tokio::test]
    async fn one_that_is_about_to_end_is_not() {
        let stage = Stage::new(IDP, None).await;
        stage.leaving.store(true, Ordering::Relaxed);
        assert_eq!(stage.looks().await, (vec!["leaving"], false));
    }

    #[tokio::test]
    async fn without_an_idp_it_is_not() {
        let stage = Stage::new("", None).await;
        assert_eq!(stage.looks().await, (vec!["idp"], false));
    }

    #[tokio::test]
    async fn a_url_that_never_answered_is_told_of_and_alone_is_not_enough() {
        let url = "[[saml.idp]]\nname = \"far\"\nmetadata_url = \"http://127.0.0.1:1/m\"\n";
        let alone = Stage::new(url, None).await;
        assert_eq!(alone.looks().await, (vec!["idp", "idp_waiting"], false));
        let both = Stage::new(&format!("{IDP}{url}"), None).await;
        assert_eq!(both.looks().await, (vec!["idp_waiting"], true));
    }

    #[tokio::test]
    async fn a_certificate_that_ends_is_told_of_from_then_on() {
        let ends = Bench::new().at(60);
        let stage = Stage::new(IDP, Some(ends)).await;
        assert_eq!(stage.looks().await, (vec![], true));
        stage.clock.advance(ends - stage.clock.now());
        assert_eq!(stage.looks().await, (vec!["tls_certificate"], true));
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_told_of() {
        assert_eq!(little_room(None), None);
        assert_eq!(little_room(Some(ROOM)), None);
        let told = little_room(Some(3 << 20)).unwrap();
        assert!(told.starts_with("3 MiB are free"), "{told}");
    }

    #[tokio::test]
    async fn a_clock_that_goes_back_by_more_than_a_minute_is_told_of() {
        let stage = Stage::new(IDP, None).await;
        stage.clock.advance(TimeDelta::seconds(-50));
        assert_eq!(stage.looks().await, (vec![], true));
        stage.clock.advance(TimeDelta::seconds(-20));
        assert_eq!(stage.looks().await, (vec!["clock"], true));
        stage.clock.advance(TimeDelta::days(1));
        assert_eq!(stage.looks().await, (vec![], true));
    }

    #[tokio::test]
    async fn an_audit_that_cannot_be_written_stops_it_until_it_can() {
        let stage = Stage::new(IDP, None).await;
        let event = || Event::new(EventKind::Alarm);
        stage.recorder.record(event()).await.unwrap();
        let head = "INSERT INTO meta (name, value) SELECT 'kept', value FROM meta WHERE name = 'audit_head'";
        stage.bench.tamper(head).await;
        let damage = "UPDATE meta SET value = $1 WHERE name = 'audit_head'";
        stage.bench.tamper_with(damage, vec![0]).await;
        assert_eq!(stage.looks().await, (vec![], true), "nothing was tried");
        stage.recorder.record(event()).await.unwrap_err();
        assert_eq!(stage.looks().await, (vec!["audit"], false));
        assert_eq!(stage.recorder.counts().failed(), 1);
        let mend = "UPDATE meta SET value = (SELECT value FROM meta WHERE name = 'kept') WHERE name = 'audit_head'";
        stage.bench.tamper(mend).await;
        // Tried again when the next try is due, without a record.
        let mut last = stage.looks().await;
        for _ in 0..40 {
            if last == (vec![], true) {
                break;
            }
            // A busy disk may take longer than a try.
            let before = Instant::now().checked_sub(PROBE).unwrap();
            *stage.readiness.probed.lock().unwrap() = Some(before);
            last = stage.looks().await;
        }
        assert_eq!(last, (vec![], true));
        stage.recorder.record(event()).await.unwrap();
        let written: u64 = stage
            .recorder
            .counts()
            .written()
            .map(|(_, count)| count)
            .sum();
        assert_eq!(written, 2);
    }

    #[tokio::test]
    async fn a_newer_schema_is_told_of() {
        let stage = Stage::new(IDP, None).await;
        let newer =
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
            VALUES (9999, 'of tomorrow', TRUE, $1, 0)";
        stage.bench.tamper_with(newer, vec![0]).await;
        assert_eq!(stage.looks().await, (vec!["schema"], true));
    }
}
