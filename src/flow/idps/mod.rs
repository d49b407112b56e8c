//! The identity providers in force, each from its metadata file or URL.
//!
//! Trusts what `saml` makes of a document and nothing else. A document is taken up whole or not at all:
//! a bad one is noted, and the trust before it kept. Never lets two IdPs have one entity id, and never
//! lets a URL turn one provider into another.

mod error;
mod expiry;
mod reading;
mod refresh;
pub(super) mod schedule;
pub(super) mod view;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use chrono::{DateTime, Utc};

pub use error::IdpError;
pub use refresh::{Refresh, RefreshParts};
pub use view::{IdpView, KeyView};

use crate::config::{Config, MetadataSource, SamlIdp};
use crate::model::IdpName;
use crate::saml::metadata_url::{MetadataClient, MetadataFetchError, Validators};
use crate::saml::{AttributeNames, Certificate, Trust};
use crate::store::{GoodMetadata, Store, StoreError};
use reading::{Document, judge, judge_off_thread, read_file};

/// One IdP: what the configuration says of it, and whom its metadata makes us trust.
pub struct Idp {
    /// The configuration.
    pub settings: SamlIdp,
    /// Keys and endpoints.
    pub trust: Trust,
    /// Which attributes mean what.
    pub attributes: AttributeNames,
}

/// The IdPs of the configuration. One that waits for its URL's first answer is known, and not among
/// [`Idps::all`].
pub struct Idps {
    slots: RwLock<Vec<Slot>>,
    strict: bool,
}

/// A configured IdP with what is in force.
#[derive(Clone)]
struct Slot {
    settings: SamlIdp,
    force: Option<InForce>,
    /// When the source last gave the document in force, or said that it holds.
    seen_at: Option<DateTime<Utc>>,
    failure: Option<(String, DateTime<Utc>)>,
    failures: u64,
}

/// A document that was taken up.
#[derive(Clone)]
struct InForce {
    idp: Arc<Idp>,
    document: Document,
    validators: Validators,
}

/// How an IdP's signing keys changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// Keys that verify from now on.
    pub added: Vec<Certificate>,
    /// Keys that no longer do.
    pub removed: Vec<Certificate>,
}

impl KeyChange {
    fn between(before: &Trust, now: &Trust) -> Self {
        let (before, now) = (before.certificates(), now.certificates());
        let without = |all: &[Certificate], others: &[Certificate]| {
            let missing =
                |one: &&Certificate| others.iter().all(|other| other.sha256 != one.sha256);
            all.iter().filter(missing).cloned().collect()
        };
        Self {
            added: without(&now, &before),
            removed: without(&before, &now),
        }
    }
}

/// What became of a look at an IdP's source.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Look {
    /// It is the document in force.
    Same,
    /// Another document is in force now.
    Taken(KeyChange),
}

impl Idps {
    /// Reads the metadata files. IdPs with a URL wait for [`Idps::recall`] or an answer.
    pub fn load(config: &Config, now: DateTime<Utc>) -> Result<Self, IdpError> {
        let slot = |settings: &SamlIdp| Slot {
            settings: settings.clone(),
            force: None,
            seen_at: None,
            failure: None,
            failures: 0,
        };
        let idps = Self {
            slots: RwLock::new(config.saml.idps.iter().map(slot).collect()),
            strict: config.saml.strict_certificates,
        };
        for settings in &config.saml.idps {
            reading::check_signer(settings)?;
            if matches!(settings.metadata, MetadataSource::File(_)) {
                idps.look_at_file(settings, now)?;
            }
        }
        Ok(idps)
    }

    /// Takes up the last good metadata of IdPs with a URL, as the store keeps it, and tells those that did
    /// not fit in what is said of them.
    pub async fn recall(&self, store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
        for settings in self.settings() {
            if !matches!(settings.metadata, MetadataSource::Url(_)) {
                continue;
            }
            let source = source_of(&settings);
            let Some(known) = store.idp_metadata(&settings.name, &source).await? else {
                continue;
            };
            if let Some((failure, at)) = known.failure {
                self.edit(&settings.name, |slot| slot.failure = Some((failure, at)));
            }
            if let Some(good) = known.good
                && let Err(error) = self.restore(&settings, good, now)
            {
                self.fail(&settings.name, &error, now);
            }
        }
        Ok(())
    }

    fn restore(
        &self,
        settings: &SamlIdp,
        good: GoodMetadata,
        now: DateTime<Utc>,
    ) -> Result<(), IdpError> {
        let document = Document::with_signer(good.document, settings)?;
        let idp = judge(settings, &document, self.strict, now)?;
        let validators = Validators {
            etag: good.etag,
            last_modified: good.last_modified,
        };
        self.take(idp, document, validators)?;
        self.edit(&settings.name, |slot| slot.seen_at = Some(good.fetched_at));
        Ok(())
    }

    /// Asks every URL once and takes up what is good; gives what went wrong.
    pub async fn ask_every_url(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Vec<IdpError>, MetadataFetchError> {
        let mut wrong = Vec::new();
        let is_url = |settings: &SamlIdp| matches!(settings.metadata, MetadataSource::Url(_));
        for settings in self.settings().into_iter().filter(is_url) {
            let client = MetadataClient::new()?;
            wrong.extend(self.ask(&client, &settings, now).await.err());
        }
        Ok(wrong)
    }

    /// Every IdP that can be used, in the order of the configuration.
    pub fn all(&self) -> Vec<Arc<Idp>> {
        let slots = self.slots();
        let forces = slots.iter().filter_map(|slot| slot.force.as_ref());
        forces.map(|force| Arc::clone(&force.idp)).collect()
    }

    /// The IdPs whose URL has never given good metadata, so that they cannot be used yet.
    pub fn waiting(&self) -> Vec<IdpName> {
        let slots = self.slots();
        let waiting = slots.iter().filter(|slot| slot.force.is_none());
        waiting.map(|slot| slot.settings.name.clone()).collect()
    }

    /// The IdPs of the configuration, in its order.
    pub fn names(&self) -> Vec<IdpName> {
        let slots = self.slots();
        slots
            .iter()
            .map(|slot| slot.settings.name.clone())
            .collect()
    }

    /// Whether none is configured.
    pub fn is_empty(&self) -> bool {
        self.slots().is_empty()
    }

    /// The IdP that calls itself `issuer`.
    pub fn by_issuer(&self, issuer: &str) -> Option<Arc<Idp>> {
        self.all()
            .into_iter()
            .find(|idp| idp.trust.entity_id() == issuer)
    }

    /// The IdP that the configuration calls `name`.
    pub fn by_name(&self, name: &IdpName) -> Option<Arc<Idp>> {
        self.all()
            .into_iter()
            .find(|idp| idp.settings.name == *name)
    }

    /// What there is to say of each, in the order of the configuration.
    pub fn views(&self, now: DateTime<Utc>) -> Vec<IdpView> {
        self.slots()
            .iter()
            .map(|slot| IdpView::of(slot, now))
            .collect()
    }

    /// Reads this IdP's file, and takes it up if it is another than the one in force.
    fn look_at_file(&self, settings: &SamlIdp, now: DateTime<Utc>) -> Result<Look, IdpError> {
        let (document, written_at) = read_file(settings)?;
        let look = if self.has(&settings.name, &document) {
            Look::Same
        } else {
            let idp = judge(settings, &document, self.strict, now)?;
            Look::Taken(self.take(idp, document, Validators::default())?)
        };
        self.good(&settings.name, written_at.unwrap_or(now));
        Ok(look)
    }

    /// Asks this IdP's URL, and takes up what it gives if that is another document than the one in force.
    /// Also gives for how long the answer may be kept by its own word.
    async fn ask(
        &self,
        client: &MetadataClient,
        settings: &SamlIdp,
        now: DateTime<Utc>,
    ) -> Result<(Look, Option<std::time::Duration>), IdpError> {
        let MetadataSource::Url(url) = &settings.metadata else {
            return Ok((self.look_at_file(settings, now)?, None));
        };
        let before = self.in_force(&settings.name);
        let known = before.as_ref().map(|force| force.validators.clone());
        let answer = client.fetch(url, &known.unwrap_or_default()).await;
        let answer = answer.map_err(|problem| IdpError::NoAnswer {
            idp: settings.name.clone(),
            url: url.to_string(),
            problem,
        })?;
        let bytes = match (answer.document, &before) {
            (Some(bytes), _) => bytes,
            (None, Some(force)) => force.document.bytes().to_vec(),
            (None, None) => Vec::new(),
        };
        let document = Document::with_signer(bytes, settings)?;
        let look = if self.has(&settings.name, &document) {
            self.edit(&settings.name, |slot| {
                if let Some(force) = &mut slot.force {
                    force.validators = answer.validators;
                }
            });
            Look::Same
        } else {
            let idp = judge_off_thread(settings, &document, self.strict, now).await?;
            reading::still_valid(&idp, url, now)?;
            reading::same_entity(&idp, before.as_ref().map(|force| &*force.idp), url)?;
            Look::Taken(self.take(idp, document, answer.validators)?)
        };
        self.good(&settings.name, now);
        Ok((look, answer.max_age))
    }

    /// Puts `idp` in force. The check against the others and the change are one step.
    fn take(
        &self,
        idp: Idp,
        document: Document,
        validators: Validators,
    ) -> Result<KeyChange, IdpError> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let name = &idp.settings.name;
        let others = slots.iter().filter(|slot| slot.settings.name != *name);
        let mut others = others.filter_map(|slot| slot.force.as_ref());
        let entity_id = idp.trust.entity_id();
        if let Some(other) = others.find(|other| other.idp.trust.entity_id() == entity_id) {
            let other = other.idp.settings.name.clone();
            return Err(IdpError::SameIssuer(name.clone(), other));
        }
        let Some(slot) = slots.iter_mut().find(|slot| slot.settings.name == *name) else {
            return Ok(KeyChange::default());
        };
        let before = slot.force.as_ref();
        let change = before.map(|before| KeyChange::between(&before.idp.trust, &idp.trust));
        slot.force = Some(InForce {
            idp: Arc::new(idp),
            document,
            validators,
        });
        Ok(change.unwrap_or_default())
    }

    fn good(&self, name: &IdpName, seen_at: DateTime<Utc>) {
        self.edit(name, |slot| {
            slot.seen_at = Some(seen_at);
            slot.failure = None;
        });
    }

    /// Notes that the source gave nothing good; says whether that is news.
    fn fail(&self, name: &IdpName, error: &IdpError, now: DateTime<Utc>) -> bool {
        let text = error.to_string();
        let mut news = false;
        self.edit(name, |slot| {
            news = slot
                .failure
                .as_ref()
                .is_none_or(|(known, _)| *known != text);
            // The same bad file is looked at every few seconds, and counts once.
            if news || matches!(slot.settings.metadata, MetadataSource::Url(_)) {
                slot.failures = slot.failures.saturating_add(1);
            }
            slot.failure = Some((text, now));
        });
        news
    }

    fn has(&self, name: &IdpName, document: &Document) -> bool {
        self.in_force(name)
            .is_some_and(|force| force.document == *document)
    }

    fn in_force(&self, name: &IdpName) -> Option<InForce> {
        let slots = self.slots();
        let slot = slots.iter().find(|slot| slot.settings.name == *name)?;
        slot.force.clone()
    }

    /// What the configuration says of each.
    fn settings(&self) -> Vec<SamlIdp> {
        let slots = self.slots();
        slots.iter().map(|slot| slot.settings.clone()).collect()
    }

    fn edit(&self, name: &IdpName, change: impl FnOnce(&mut Slot)) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.iter_mut().find(|slot| slot.settings.name == *name) {
            change(slot);
        }
    }

    fn slots(&self) -> RwLockReadGuard<'_, Vec<Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file or URL, as it is shown and as the store knows it.
fn source_of(settings: &SamlIdp) -> String {
    match &settings.metadata {
        MetadataSource::File(file) => file.display().to_string(),
        MetadataSource::Url(url) => url.to_string(),
    }
}
