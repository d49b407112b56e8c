//! The identity providers in force, read from their metadata files and read again when those change.
//!
//! A bad new file is logged and the old trust kept. Never fetches anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::config::{Config, MetadataSource, SamlIdp};
use crate::model::{Clock, IdpName};
use crate::saml::metadata::{self, MetadataError};
use crate::saml::{AttributeNames, Trust};

/// Files are looked at this often; they must be taken up within ten seconds.
const PERIOD: Duration = Duration::from_secs(4);

/// One IdP: what the configuration says of it, and whom its metadata makes us trust.
pub struct Idp {
    /// The configuration.
    pub settings: SamlIdp,
    /// Keys and endpoints.
    pub trust: Trust,
    /// Which attributes mean what.
    pub attributes: AttributeNames,
}

/// An IdP's metadata file that cannot be used.
#[derive(Debug, Error)]
pub enum IdpFileError {
    /// It cannot be read.
    #[error("{}: saml.idp.{idp}.metadata_file cannot be read ({problem}); save the IdP's metadata there", .file.display())]
    Unreadable {
        /// The IdP.
        idp: IdpName,
        /// The file.
        file: PathBuf,
        /// What the system says.
        problem: std::io::Error,
    },
    /// It is no usable metadata.
    #[error("{}: saml.idp.{idp}.metadata_file: {problem}", .file.display())]
    Unusable {
        /// The IdP.
        idp: IdpName,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: MetadataError,
    },
    /// Two IdPs with one entity id: their keys would mix.
    #[error("saml.idp.{0} and saml.idp.{1} have the same entityID in their metadata; remove one")]
    SameIssuer(IdpName, IdpName),
}

/// The IdPs, replaced one by one when a file changes.
pub struct Idps {
    all: RwLock<Vec<(Arc<Idp>, Vec<u8>)>>,
    strict: bool,
}

impl Idps {
    /// Reads every IdP's metadata.
    pub fn load(config: &Config, now: DateTime<Utc>) -> Result<Self, IdpFileError> {
        let strict = config.saml.strict_certificates;
        let all = config
            .saml
            .idps
            .iter()
            .map(|settings| read(settings, strict, now))
            .collect::<Result<Vec<_>, _>>()?;
        let trusts: Vec<&Arc<Idp>> = all.iter().map(|(idp, _)| idp).collect();
        for (at, idp) in trusts.iter().enumerate() {
            distinct(idp, trusts.iter().skip(at + 1).copied())?;
        }
        Ok(Self {
            all: RwLock::new(all),
            strict,
        })
    }

    /// Every IdP in the order of the configuration.
    pub fn all(&self) -> Vec<Arc<Idp>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(idp, _)| Arc::clone(idp)).collect()
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

    /// Reads changed files again until the process ends.
    pub async fn watch(self: Arc<Self>, clock: Arc<dyn Clock>) {
        let mut ticks = tokio::time::interval(PERIOD);
        loop {
            ticks.tick().await;
            self.reload(clock.now());
        }
    }

    /// Takes up every metadata file whose content is another than the one in force.
    pub fn reload(&self, now: DateTime<Utc>) {
        let before = {
            let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
            all.clone()
        };
        for (at, (idp, bytes)) in before.iter().enumerate() {
            let name = &idp.settings.name;
            let same = matches!(fs::read(file(&idp.settings)), Ok(now) if now == *bytes);
            if same {
                continue;
            }
            let others = before.iter().enumerate().filter(|(other, _)| *other != at);
            let others = others.map(|(_, (other, _))| other);
            let new = read(&idp.settings, self.strict, now)
                .and_then(|new| distinct(&new.0, others).map(|()| new));
            match new {
                Ok(new) => {
                    let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
                    if let Some(place) = all.get_mut(at) {
                        *place = new;
                    }
                    tracing::info!(event = "idp_metadata_changed", idp = %name, "IdP metadata taken up");
                }
                Err(error) => {
                    tracing::error!(event = "idp_metadata_bad", idp = %name, %error, "the metadata in force is kept");
                }
            }
        }
    }
}

/// Two IdPs with one entity id would share their keys.
fn distinct<'a>(
    idp: &Idp,
    mut others: impl Iterator<Item = &'a Arc<Idp>>,
) -> Result<(), IdpFileError> {
    match others.find(|other| other.trust.entity_id() == idp.trust.entity_id()) {
        Some(other) => Err(IdpFileError::SameIssuer(
            idp.settings.name.clone(),
            other.settings.name.clone(),
        )),
        None => Ok(()),
    }
}

fn file(settings: &SamlIdp) -> &Path {
    match &settings.metadata {
        MetadataSource::File(file) => file,
        // The configuration refuses URLs in this version; an empty path reads as unreadable.
        MetadataSource::Url(_) => Path::new(""),
    }
}

fn read(
    settings: &SamlIdp,
    strict: bool,
    now: DateTime<Utc>,
) -> Result<(Arc<Idp>, Vec<u8>), IdpFileError> {
    let path = file(settings);
    let bytes = fs::read(path).map_err(|problem| IdpFileError::Unreadable {
        idp: settings.name.clone(),
        file: path.to_owned(),
        problem,
    })?;
    let trust = metadata::read_idp(&settings.name, &bytes, now, strict).map_err(|problem| {
        IdpFileError::Unusable {
            idp: settings.name.clone(),
            file: path.to_owned(),
            problem,
        }
    })?;
    let attributes = AttributeNames {
        user: settings.user_attribute.clone(),
        role: settings.role_attribute.clone(),
        session_duration: settings.session_duration_attribute.clone(),
        role_session_name: settings.role_session_name_attribute.clone(),
    };
    let idp = Idp {
        settings: settings.clone(),
        trust,
        attributes,
    };
    Ok((Arc::new(idp), bytes))
}
