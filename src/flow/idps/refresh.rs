//! Keeps the IdPs in force current: files are looked at every few seconds, URLs asked on a schedule of their
//! own, both at once when an admin says so.
//!
//! What comes of a look is logged, audited where keys changed, and kept in the store, here and nowhere else. A
//! failure never takes anything out of force.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::expiry::Expiry;
use super::{IdpError, Idps, KeyChange, Look, schedule, source_of};
use crate::audit::{Event, EventKind, Recorder};
use crate::config::{MetadataSource, SamlIdp};
use crate::model::{Clock, Entropy, rfc3339};
use crate::saml::Certificate;
use crate::saml::metadata;
use crate::saml::metadata_url::{MetadataClient, MetadataFetchError};
use crate::store::{GoodMetadata, Store, StoreError};

/// Files are looked at this often; they must be taken up within ten seconds.
const PERIOD: Duration = Duration::from_secs(4);
/// How long a start waits for the first answer of a URL of which nothing is known.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

/// What [`Refresh`] works with.
pub struct RefreshParts {
    /// The IdPs in force.
    pub idps: Arc<Idps>,
    /// Where the last good metadata is kept.
    pub store: Store,
    /// The audit.
    pub recorder: Recorder,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Looks at files and asks URLs.
pub struct Refresh {
    parts: RefreshParts,
    /// Raised by one for every "at once".
    calls: watch::Sender<u64>,
}

impl Refresh {
    /// Takes up what the store remembers, and records how files changed while nothing ran.
    pub async fn open(parts: RefreshParts) -> Result<Self, StoreError> {
        let now = parts.clock.now();
        parts.idps.recall(&parts.store, now).await?;
        let (calls, _) = watch::channel(0);
        let refresh = Self { parts, calls };
        for settings in refresh.parts.idps.settings() {
            if matches!(settings.metadata, MetadataSource::File(_)) {
                refresh.compare_with_last_time(&settings, now).await?;
            }
        }
        Ok(refresh)
    }

    async fn compare_with_last_time(
        &self,
        settings: &SamlIdp,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let parts = &self.parts;
        let (name, source) = (&settings.name, source_of(settings));
        let known = parts.store.idp_metadata(name, &source).await?;
        let known = known.and_then(|known| known.good);
        let Some(force) = parts.idps.in_force(name) else {
            return Ok(());
        };
        match known {
            Some(good) if good.document == force.document.bytes() => return Ok(()),
            // What was good then is only compared with here, and trusted no more.
            Some(good) => {
                if let Ok(before) = metadata::read_idp(name, &good.document, now, false) {
                    let change = KeyChange::between(&before, &force.idp.trust);
                    self.record(settings, &change).await;
                }
            }
            None => {}
        }
        self.keep(settings).await;
        Ok(())
    }

    /// Looks at every file and asks every URL now.
    pub fn at_once(&self) {
        self.calls
            .send_modify(|calls| *calls = calls.wrapping_add(1));
    }

    /// Starts the tasks, and waits a moment for IdPs that cannot be used before their URL's first answer.
    pub async fn start(self: Arc<Self>) -> Result<Vec<JoinHandle<()>>, MetadataFetchError> {
        let mut tasks = vec![tokio::spawn(Arc::clone(&self).follow_files())];
        let waiting = self.parts.idps.waiting();
        let (first, mut firsts) = mpsc::channel::<()>(1);
        let is_url = |settings: &SamlIdp| matches!(settings.metadata, MetadataSource::Url(_));
        let urls: Vec<SamlIdp> = self
            .parts
            .idps
            .settings()
            .into_iter()
            .filter(is_url)
            .collect();
        // Without a URL nothing is made that could fail.
        let client = if urls.is_empty() {
            return Ok(tasks);
        } else {
            MetadataClient::new()?
        };
        for settings in urls {
            let first = waiting.contains(&settings.name).then(|| first.clone());
            let following = Arc::clone(&self).follow_url(client.clone(), settings, first);
            tasks.push(tokio::spawn(following));
        }
        drop(first);
        // Ends when every task that holds a sender has had its first answer, whatever it was.
        let _settled = timeout(FIRST_ANSWER, firsts.recv()).await;
        Ok(tasks)
    }

    async fn follow_files(self: Arc<Self>) {
        let mut calls = self.calls.subscribe();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut expiry = Expiry::default();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = calls.changed() => {}
            }
            for settings in self.parts.idps.settings() {
                if matches!(settings.metadata, MetadataSource::File(_)) {
                    self.look_at_file(settings).await;
                }
            }
            expiry.tell(&self.parts.idps.all(), self.parts.clock.now());
        }
    }

    async fn look_at_file(&self, settings: SamlIdp) {
        let now = self.parts.clock.now();
        let (idps, mine) = (Arc::clone(&self.parts.idps), settings.clone());
        let looked = tokio::task::spawn_blocking(move || idps.look_at_file(&mine, now)).await;
        match looked {
            Ok(Ok(Look::Same)) | Err(_) => {}
            Ok(Ok(Look::Taken(change))) => self.taken(&settings, &change).await,
            Ok(Err(error)) => self.failed(&settings, &error, now).await,
        }
    }

    async fn follow_url(
        self: Arc<Self>,
        client: MetadataClient,
        settings: SamlIdp,
        first: Option<mpsc::Sender<()>>,
    ) {
        let mut calls = self.calls.subscribe();
        let mut first = first;
        let mut failures: u32 = 0;
        loop {
            let wait = if let Some(wait) = self.ask(&client, &settings).await {
                failures = 0;
                wait
            } else {
                failures = failures.saturating_add(1);
                schedule::after_failure(failures, &*self.parts.entropy)
            };
            drop(first.take());
            tokio::select! {
                () = sleep(wait) => {}
                _ = calls.changed() => {}
            }
        }
    }

    /// Asks the URL; gives how long its answer holds, or nothing where it gave none that is good.
    async fn ask(&self, client: &MetadataClient, settings: &SamlIdp) -> Option<Duration> {
        let parts = &self.parts;
        let now = parts.clock.now();
        match parts.idps.ask(client, settings, now).await {
            Ok((look, max_age)) => {
                match look {
                    Look::Same => self.keep(settings).await,
                    Look::Taken(change) => self.taken(settings, &change).await,
                }
                let idp = parts.idps.by_name(&settings.name)?;
                let entropy = &*parts.entropy;
                Some(schedule::after_answer(&idp.trust, max_age, now, entropy))
            }
            Err(error) => {
                self.failed(settings, &error, now).await;
                None
            }
        }
    }

    async fn taken(&self, settings: &SamlIdp, change: &KeyChange) {
        let idp = &settings.name;
        tracing::info!(event = "idp_metadata_changed", %idp, source = source_of(settings), "IdP metadata taken up");
        self.record(settings, change).await;
        self.keep(settings).await;
    }

    async fn record(&self, settings: &SamlIdp, change: &KeyChange) {
        let added = change.added.iter().map(|key| (EventKind::IdpKeyAdded, key));
        let removed = change
            .removed
            .iter()
            .map(|key| (EventKind::IdpKeyRemoved, key));
        for (kind, key) in added.chain(removed) {
            self.record_key(settings, kind, key).await;
        }
    }

    async fn record_key(&self, settings: &SamlIdp, kind: EventKind, key: &Certificate) {
        let (idp, sha256, end) = (&settings.name, &key.sha256, rfc3339(key.not_after));
        tracing::warn!(event = kind.as_str(), %idp, sha256, not_after = end, algorithm = key.algorithm,
            "a signing key of the IdP changed in its metadata");
        let event = Event {
            idp: Some(idp.clone()),
            certificate_sha256: Some(sha256.clone()),
            certificate_not_after: Some(key.not_after),
            reason: Some(source_of(settings)),
            ..Event::new(kind)
        };
        if let Err(error) = self.parts.recorder.record(event).await {
            tracing::error!(event = "audit_lost", %error, "a changed key of an IdP is not in the audit");
        }
    }

    /// Keeps what is in force for the next start.
    async fn keep(&self, settings: &SamlIdp) {
        let Some(force) = self.parts.idps.in_force(&settings.name) else {
            return;
        };
        let good = GoodMetadata {
            document: force.document.bytes().to_vec(),
            etag: force.validators.etag,
            last_modified: force.validators.last_modified,
            fetched_at: self.parts.clock.now(),
        };
        let (name, source) = (&settings.name, source_of(settings));
        if let Err(error) = self
            .parts
            .store
            .save_idp_metadata(name, &source, &good)
            .await
        {
            tracing::error!(event = "store_away", %error, "IdP metadata is in force and not kept for the next start");
        }
    }

    async fn failed(&self, settings: &SamlIdp, error: &IdpError, now: DateTime<Utc>) {
        let name = &settings.name;
        let news = self.parts.idps.fail(name, error, now);
        if news {
            let what = if self.parts.idps.waiting().contains(name) {
                "the IdP cannot be used until there is good metadata"
            } else {
                "the metadata in force is kept"
            };
            tracing::error!(event = "idp_metadata_bad", idp = %name, %error, "{what}");
        }
        // What is wrong with a file, a command sees for itself.
        if matches!(settings.metadata, MetadataSource::File(_)) {
            return;
        }
        let (source, text) = (source_of(settings), error.to_string());
        let noted = self
            .parts
            .store
            .note_idp_failure(name, &source, &text, now)
            .await;
        if let Err(error) = noted
            && news
        {
            tracing::error!(event = "store_away", %error, "what went wrong with IdP metadata is not noted");
        }
    }
}
