//! From a document to an IdP that can be trusted, or the reason why not.
//!
//! Reads the files that the configuration names, a little more than the limit at most. Trusts `saml` for what a
//! document says.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use url::Url;

use super::{Idp, IdpError};
use crate::config::{MetadataSource, SamlIdp};
use crate::model::rfc3339;
use crate::saml::metadata::{self, MAX_METADATA};
use crate::saml::{AttributeNames, MetadataSigner};

/// A document as it came, and the certificate that must verify it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Document {
    bytes: Arc<[u8]>,
    signer: Option<Arc<[u8]>>,
}

impl Document {
    /// The document with the certificate file as it is now.
    pub(super) fn with_signer(bytes: Vec<u8>, settings: &SamlIdp) -> Result<Self, IdpError> {
        let signer = match &settings.metadata_certificate_file {
            Some(file) => Some(read(file).map_err(|problem| IdpError::NoSigner {
                idp: settings.name.clone(),
                file: file.clone(),
                problem,
            })?),
            None => None,
        };
        Ok(Self {
            bytes: bytes.into(),
            signer: signer.map(Into::into),
        })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The metadata file of `settings`, and when it was written.
pub(super) fn read_file(settings: &SamlIdp) -> Result<(Document, Option<DateTime<Utc>>), IdpError> {
    let path = match &settings.metadata {
        MetadataSource::File(path) => path.as_path(),
        // Only files are asked for; an empty path reads as unreadable.
        MetadataSource::Url(_) => Path::new(""),
    };
    let bytes = read(path).map_err(|problem| IdpError::Unreadable {
        idp: settings.name.clone(),
        file: path.to_owned(),
        problem,
    })?;
    let written = std::fs::metadata(path).and_then(|about| about.modified());
    let document = Document::with_signer(bytes, settings)?;
    Ok((document, written.ok().map(DateTime::from)))
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_METADATA).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    // One byte more than the limit tells a long file from one that just fits.
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What `document` makes us trust.
pub(super) fn judge(
    settings: &SamlIdp,
    document: &Document,
    strict: bool,
    now: DateTime<Utc>,
) -> Result<Idp, IdpError> {
    let signer = signer(settings, document)?;
    let read = metadata::read_signed_idp(
        &settings.name,
        &document.bytes,
        signer.as_ref(),
        now,
        strict,
    );
    let trust = read.map_err(|problem| match &settings.metadata {
        MetadataSource::File(file) => IdpError::BadFile {
            idp: settings.name.clone(),
            file: file.clone(),
            problem,
        },
        MetadataSource::Url(url) => IdpError::BadAnswer {
            idp: settings.name.clone(),
            url: url.to_string(),
            problem,
        },
    })?;
    Ok(Idp {
        settings: settings.clone(),
        trust,
        attributes: AttributeNames {
            user: settings.user_attribute.clone(),
            role: settings.role_attribute.clone(),
            session_duration: settings.session_duration_attribute.clone(),
            role_session_name: settings.role_session_name_attribute.clone(),
        },
    })
}

/// As [`judge`], where a large document or C code cannot stall other requests.
pub(super) async fn judge_off_thread(
    settings: &SamlIdp,
    document: &Document,
    strict: bool,
    now: DateTime<Utc>,
) -> Result<Idp, IdpError> {
    let (mine, copy) = (settings.clone(), document.clone());
    let judged = tokio::task::spawn_blocking(move || judge(&mine, &copy, strict, now));
    match judged.await {
        Ok(judged) => judged,
        // The runtime is ending; nobody reads what comes of it.
        Err(_) => judge(settings, document, strict, now),
    }
}

/// That the certificate of `metadata_certificate_file`, if one is named, can be used.
pub(super) fn check_signer(settings: &SamlIdp) -> Result<(), IdpError> {
    let document = Document::with_signer(Vec::new(), settings)?;
    signer(settings, &document).map(drop)
}

fn signer(settings: &SamlIdp, document: &Document) -> Result<Option<MetadataSigner>, IdpError> {
    let (Some(pem), Some(file)) = (&document.signer, &settings.metadata_certificate_file) else {
        return Ok(None);
    };
    let signer = MetadataSigner::from_pem(pem).map_err(|problem| IdpError::BadSigner {
        idp: settings.name.clone(),
        file: file.clone(),
        problem,
    })?;
    Ok(Some(signer))
}

/// Refuses a fresh answer whose time is over. One in force is kept beyond its time, with a warning.
pub(super) fn still_valid(idp: &Idp, url: &Url, now: DateTime<Utc>) -> Result<(), IdpError> {
    match idp.trust.valid_until() {
        Some(until) if until <= now => Err(IdpError::Outdated {
            idp: idp.settings.name.clone(),
            url: url.to_string(),
            until: rfc3339(until),
        }),
        _ => Ok(()),
    }
}

/// Refuses to let a URL turn one provider into another.
pub(super) fn same_entity(idp: &Idp, before: Option<&Idp>, url: &Url) -> Result<(), IdpError> {
    match before {
        Some(before) if before.trust.entity_id() != idp.trust.entity_id() => {
            Err(IdpError::EntityChanged {
                idp: idp.settings.name.clone(),
                url: url.to_string(),
                found: idp.trust.entity_id().to_owned(),
                before: before.trust.entity_id().to_owned(),
            })
        }
        _ => Ok(()),
    }
}
