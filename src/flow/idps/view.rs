//! What admins and auditors are shown of an IdP: one shape for the command, the API and the metrics.

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;

use super::{Slot, source_of};
use crate::config::MetadataSource;
use crate::model::{IdpName, seconds_between};
use crate::saml::Certificate;

/// Times are shown in whole seconds, everywhere.
pub(in crate::flow) fn whole(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(0)
}

/// One IdP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdpView {
    /// Its name in the configuration.
    pub name: IdpName,
    /// `saml` or `oidc`.
    pub protocol: &'static str,
    /// Whether it can be used; one whose URL has never answered cannot.
    pub ready: bool,
    /// `file` or `url`; of an OpenID provider `discovery`.
    pub source: &'static str,
    /// The file or URL; of an OpenID provider its issuer.
    pub location: String,
    /// Its entity id; an OpenID provider has none.
    pub entity_id: Option<String>,
    /// Its signing certificates; each of them verifies. An OpenID provider's keys have none.
    pub keys: Vec<KeyView>,
    /// How many keys verify.
    pub key_count: usize,
    /// When the URL last gave this metadata or said that it holds, or when the file was written.
    pub metadata_seen_at: Option<DateTime<Utc>>,
    /// How long ago that was.
    pub metadata_age_seconds: Option<u64>,
    /// The metadata's `validUntil`.
    pub valid_until: Option<DateTime<Utc>>,
    /// What went wrong since then; the metadata from before stays in force.
    pub last_error: Option<String>,
    /// When.
    pub last_error_at: Option<DateTime<Utc>>,
    /// How often looking for metadata failed since this process started.
    pub refresh_failures: u64,
}

/// One signing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// The SHA-256 of its certificate.
    pub sha256: String,
    /// The key, such as `RSA 2048`.
    pub algorithm: String,
    /// The certificate's end.
    pub not_after: DateTime<Utc>,
    /// Whole days to it, negative once it has ended.
    pub days_left: i64,
}

impl KeyView {
    fn of(certificate: Certificate, now: DateTime<Utc>) -> Self {
        let left = certificate.not_after - now;
        Self {
            not_after: whole(certificate.not_after),
            days_left: left.num_seconds().div_euclid(86_400),
            sha256: certificate.sha256,
            algorithm: certificate.algorithm,
        }
    }
}

impl IdpView {
    pub(super) fn of(slot: &Slot, now: DateTime<Utc>) -> Self {
        let trust = slot.force.as_ref().map(|force| &force.idp.trust);
        let certificates = trust.map(crate::saml::Trust::certificates);
        let key = |certificate| KeyView::of(certificate, now);
        let failure = slot.failure.as_ref();
        let keys: Vec<KeyView> = certificates.into_iter().flatten().map(key).collect();
        Self {
            name: slot.settings.name.clone(),
            protocol: "saml",
            ready: trust.is_some(),
            source: match slot.settings.metadata {
                MetadataSource::File(_) => "file",
                MetadataSource::Url(_) => "url",
            },
            location: source_of(&slot.settings),
            entity_id: trust.map(|trust| trust.entity_id().to_owned()),
            key_count: keys.len(),
            keys,
            metadata_seen_at: slot.seen_at.map(whole),
            metadata_age_seconds: slot.seen_at.map(|at| seconds_between(at, now)),
            valid_until: trust.and_then(|trust| trust.valid_until().map(whole)),
            last_error: failure.map(|(text, _)| text.clone()),
            last_error_at: failure.map(|(_, at)| whole(*at)),
            refresh_failures: slot.failures,
        }
    }
}
