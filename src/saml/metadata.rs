//! An identity provider's metadata, from a file or URL that an admin chose (SAML 2.0 metadata).
//!
//! It trusts the admin's choice of the place, not the content: weak keys, encryption keys and documents
//! that are no identity provider's are refused. A signature counts where the admin named its certificate;
//! then only what it covers is read. No address in a document is ever followed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;
use url::Url;

use super::lexis::is_white_space;
use super::metadata_signature::MetadataSigner;
use super::refusal::{Refusal, cut};
use super::time::{self, later};
use super::trust::{Certificate, KeyError, SigningKey, Trust};
use super::xml::{self, Element, Limits, Space};
use crate::model::{IdpName, rfc3339};

pub use super::service_provider::{Published, service_provider};

const REDIRECT: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
const POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// The largest metadata that is read, in bytes.
pub const MAX_METADATA: usize = 1024 * 1024;

/// Something that works now and may stop to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Warning {
    /// A certificate that has ended, or ends within 60 days.
    #[error("{}", .1.words(.0))]
    Expires(Certificate, Nearness),
    /// Metadata past its `validUntil`.
    #[error("the metadata was valid until {0}; load it again from the identity provider")]
    Stale(String),
    /// No address that takes a redirect.
    #[error(
        "the metadata names no SingleSignOnService by HTTP-Redirect; sign-ins can only begin at the identity provider"
    )]
    NoRedirect,
}

/// How near a certificate's end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nearness {
    /// Within 60 days: time to plan.
    TwoMonths,
    /// Within 30 days: time to act.
    Month,
    /// Within 7 days.
    Week,
    /// It has ended.
    Ended,
}

impl Nearness {
    /// How near `not_after` is at `now`; `None` where it is more than 60 days away.
    pub fn of(not_after: DateTime<Utc>, now: DateTime<Utc>) -> Option<Self> {
        let within = |days: i64| not_after <= later(now, TimeDelta::days(days));
        [
            (0, Self::Ended),
            (7, Self::Week),
            (30, Self::Month),
            (60, Self::TwoMonths),
        ]
        .into_iter()
        .find_map(|(days, nearness)| within(days).then_some(nearness))
    }

    fn words(self, certificate: &Certificate) -> String {
        let (sha256, end) = (&certificate.sha256, rfc3339(certificate.not_after));
        let named = format!("the signing certificate {sha256}");
        match self {
            Self::TwoMonths => format!(
                "{named} ends within 60 days, at {end}; ask the identity provider when it publishes the next"
            ),
            Self::Month => format!(
                "{named} ends within 30 days, at {end}; see that the metadata gets the identity provider's new key before"
            ),
            Self::Week => format!(
                "{named} ends within 7 days, at {end}: act now, let the identity provider publish its new key and load that metadata"
            ),
            Self::Ended => {
                format!("{named} ended at {end}; load the identity provider's new metadata")
            }
        }
    }
}

/// Why metadata is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MetadataError {
    /// Larger than 1 MiB.
    #[error("is larger than 1 MiB; cut the one EntityDescriptor out of it")]
    TooLarge,
    /// Not UTF-8, or no XML that is read.
    #[error("is no XML that can be read: {0}")]
    Xml(Refusal),
    /// Another document.
    #[error(
        "is <{0}>, not an EntityDescriptor; cut the identity provider's EntityDescriptor out of it"
    )]
    Root(String),
    /// No entity id.
    #[error("has no entityID")]
    NoEntityId,
    /// Not an identity provider's.
    #[error(
        "has no IDPSSODescriptor for SAML 2.0; take the metadata of the identity provider, not of a service"
    )]
    NotAnIdp,
    /// Nothing to verify signatures with.
    #[error("has no signing certificate (KeyDescriptor use=\"signing\")")]
    NoKey,
    /// A certificate that is not taken.
    #[error("has a signing certificate that {0}")]
    Key(KeyError),
    /// Every certificate has ended, and `strict_certificates` is set.
    #[error(
        "has only expired signing certificates, and strict_certificates is set; load the identity provider's new metadata"
    )]
    Expired,
    /// No signature where one is asked for.
    #[error(
        "is not signed, and metadata_certificate_file asks for a signature; take signed metadata, or remove that key"
    )]
    Unsigned,
    /// A signature, or a document around it, of a shape that is not verified.
    #[error("has a signature that is not looked into: {0}")]
    SignatureShape(Refusal),
    /// A signature by another key, or of another document. The field is the certificate's SHA-256.
    #[error(
        "has a signature that the certificate {0} in metadata_certificate_file does not verify; the document was changed, or is signed with another key: put that key's certificate there if you trust it"
    )]
    SignatureInvalid(String),
    /// What was verified is not what was shown.
    #[error(
        "shows another document than the one that was signed: this is an attack or a fault; keep the document and report it"
    )]
    VerifiedDiffers,
    /// The signature library failed its self-test.
    #[error(
        "cannot be verified, since the signature library does not work; install xmlsec1 with its OpenSSL part"
    )]
    Engine,
    /// An address that is none.
    #[error("has the SingleSignOnService {0:?}, which is no https (or loopback http) address")]
    Address(String),
}

/// Reads metadata of one identity provider, and with a `signer` only what that one's signature covers.
pub fn read_signed_idp(
    name: &IdpName,
    xml: &[u8],
    signer: Option<&MetadataSigner>,
    now: DateTime<Utc>,
    strict: bool,
) -> Result<Trust, MetadataError> {
    match signer {
        Some(signer) => {
            let covered = signer.covered(text(xml)?)?;
            read_idp(name, covered.as_bytes(), now, strict)
        }
        None => read_idp(name, xml, now, strict),
    }
}

/// Reads metadata of one identity provider. With `strict`, metadata whose certificates have all expired
/// is refused; else [`Trust::warnings`] tells of them.
pub fn read_idp(
    name: &IdpName,
    xml: &[u8],
    now: DateTime<Utc>,
    strict: bool,
) -> Result<Trust, MetadataError> {
    let root = xml::read(text(xml)?, Limits::METADATA).map_err(MetadataError::Xml)?;
    if !root.is(Space::Metadata, "EntityDescriptor") {
        return Err(MetadataError::Root(cut(root.local)));
    }
    let descriptor = idp_descriptor(&root)?;
    let keys = signing_keys(descriptor)?;
    let slo_redirect_url = address(descriptor, "SingleLogoutService", REDIRECT)?;
    let trust = Trust {
        name: name.clone(),
        entity_id: root
            .attribute("entityID")
            .filter(|id| !id.is_empty())
            .ok_or(MetadataError::NoEntityId)?
            .to_owned(),
        keys,
        sso_redirect_url: address(descriptor, "SingleSignOnService", REDIRECT)?,
        sso_post_url: address(descriptor, "SingleSignOnService", POST)?,
        slo_response_url: response_address(descriptor)?.or(slo_redirect_url.clone()),
        slo_redirect_url,
        // Metadata 2.4.3: an xs:boolean.
        wants_signed_requests: matches!(
            descriptor.attribute("WantAuthnRequestsSigned"),
            Some("true" | "1")
        ),
        valid_until: root.attribute("validUntil").map(cut),
        cache_duration: root.attribute("cacheDuration").and_then(time::duration),
    };
    if strict && trust.keys.iter().all(|key| key.not_after <= now) {
        return Err(MetadataError::Expired);
    }
    Ok(trust)
}

/// The text of a document of at most 1 MiB.
fn text(xml: &[u8]) -> Result<&str, MetadataError> {
    if xml.len() > MAX_METADATA {
        return Err(MetadataError::TooLarge);
    }
    let text = std::str::from_utf8(xml).map_err(|error| {
        MetadataError::Xml(Refusal::NotUtf8 {
            at: error.valid_up_to(),
        })
    })?;
    // ADFS writes a byte order mark.
    Ok(text.trim_start_matches('\u{feff}'))
}

fn idp_descriptor<'e, 'a>(root: &'e Element<'a>) -> Result<&'e Element<'a>, MetadataError> {
    root.all(Space::Metadata, "IDPSSODescriptor")
        .find(|descriptor| {
            let protocols = descriptor
                .attribute("protocolSupportEnumeration")
                .unwrap_or_default();
            protocols
                .split(is_white_space)
                .any(|protocol| protocol == PROTOCOL)
        })
        .ok_or(MetadataError::NotAnIdp)
}

/// The certificates of every KeyDescriptor that is for signing, or for anything; each once.
fn signing_keys(descriptor: &Element<'_>) -> Result<Vec<SigningKey>, MetadataError> {
    let mut keys: Vec<SigningKey> = Vec::new();
    let signing = |key: &&Element<'_>| {
        key.attribute("use")
            .is_none_or(|purpose| purpose == "signing")
    };
    let certificates = descriptor
        .all(Space::Metadata, "KeyDescriptor")
        .filter(signing)
        .flat_map(|key| key.all(Space::Signature, "KeyInfo"))
        .flat_map(|info| info.all(Space::Signature, "X509Data"))
        .flat_map(|data| data.all(Space::Signature, "X509Certificate"));
    for certificate in certificates {
        let text: String = certificate
            .text()
            .unwrap_or_default()
            .chars()
            .filter(|c| !is_white_space(*c))
            .collect();
        let der = STANDARD
            .decode(text)
            .map_err(|_| MetadataError::Key(KeyError::Unreadable))?;
        let key = SigningKey::from_der(der).map_err(MetadataError::Key)?;
        if keys.iter().all(|known| known.der != key.der) {
            keys.push(key);
        }
    }
    if keys.is_empty() {
        Err(MetadataError::NoKey)
    } else {
        Ok(keys)
    }
}

fn service<'e, 'a>(
    descriptor: &'e Element<'a>,
    name: &str,
    binding: &str,
) -> Option<&'e Element<'a>> {
    descriptor.children.iter().find(|service| {
        service.is(Space::Metadata, name) && service.attribute("Binding") == Some(binding)
    })
}

fn address(
    descriptor: &Element<'_>,
    name: &str,
    binding: &str,
) -> Result<Option<String>, MetadataError> {
    let location = service(descriptor, name, binding).and_then(|it| it.attribute("Location"));
    checked(location)
}

/// Metadata 2.2.2: where answers go to another address than requests.
fn response_address(descriptor: &Element<'_>) -> Result<Option<String>, MetadataError> {
    let logout = service(descriptor, "SingleLogoutService", REDIRECT);
    checked(logout.and_then(|it| it.attribute("ResponseLocation")))
}

fn checked(location: Option<&str>) -> Result<Option<String>, MetadataError> {
    let Some(location) = location else {
        return Ok(None);
    };
    let good = Url::parse(location).is_ok_and(|url| url.scheme() == "https" || is_loopback(&url));
    if good {
        Ok(Some(location.to_owned()))
    } else {
        Err(MetadataError::Address(cut(location)))
    }
}

fn is_loopback(url: &Url) -> bool {
    let here = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    here && url.scheme() == "http"
}

impl Trust {
    /// Until when the metadata is to be believed, by its own `validUntil`; `None` also where that is no time.
    pub fn valid_until(&self) -> Option<DateTime<Utc>> {
        self.valid_until.as_deref().and_then(time::parse)
    }

    /// How long the metadata may be kept before it is asked for again, by its own `cacheDuration`.
    pub fn cache_duration(&self) -> Option<TimeDelta> {
        self.cache_duration
    }

    /// What works at `now` and may stop to.
    pub fn warnings(&self, now: DateTime<Utc>) -> Vec<Warning> {
        let near = |certificate: Certificate| {
            let nearness = Nearness::of(certificate.not_after, now)?;
            Some(Warning::Expires(certificate, nearness))
        };
        let mut warnings: Vec<Warning> = self.certificates().into_iter().filter_map(near).collect();
        let ended = |until: &&String| time::parse(until).is_none_or(|until| until <= now);
        if let Some(until) = self.valid_until.as_ref().filter(ended) {
            warnings.push(Warning::Stale(until.clone()));
        }
        if self.sso_redirect_url.is_none() {
            warnings.push(Warning::NoRedirect);
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../fixtures/saml/idp.xml");

    fn read(xml: &str) -> Result<Trust, MetadataError> {
        read_idp(&"okta".parse().unwrap(), xml.as_bytes(), now(), false)
    }

    fn now() -> DateTime<Utc> {
        "2026-01-15T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn reads_what_a_provider_publishes() {
        let trust = read(GOOD).unwrap();
        assert_eq!(trust.entity_id(), "https://idp.example.org/saml");
        assert_eq!(
            trust.sso_redirect_url(),
            Some("https://idp.example.org/sso?tenant=1")
        );
        assert_eq!(
            trust.sso_post_url(),
            Some("https://idp.example.org/sso/post")
        );
        assert_eq!(trust.certificates().len(), 1);
        assert_eq!(trust.certificates()[0].algorithm, "RSA 2048");
        assert_eq!(trust.certificates()[0].sha256.len(), 64);
        assert_eq!(trust.warnings(now()), []);
        assert!(
            read(&format!("\u{feff}{GOOD}")).is_ok(),
            "ADFS writes a byte order mark"
        );
    }

    #[test]
    fn takes_several_keys_and_p_256_and_keys_without_a_use() {
        let two = include_str!("../../fixtures/saml/idp-two-keys.xml");
        assert_eq!(read(two).unwrap().certificates().len(), 2);
        let ec = include_str!("../../fixtures/saml/idp-ec.xml");
        assert_eq!(read(ec).unwrap().certificates()[0].algorithm, "ECDSA P-256");
        assert!(read(&GOOD.replace(" use=\"signing\"", "")).is_ok());
    }

    #[test]
    fn refuses_weak_and_other_keys() {
        let weak = read(include_str!("../../fixtures/saml/idp-weak.xml")).unwrap_err();
        assert_eq!(
            weak,
            MetadataError::Key(KeyError::Weak("RSA 1024".to_owned()))
        );
        let sealing = GOOD.replace("use=\"signing\"", "use=\"encryption\"");
        assert_eq!(read(&sealing).unwrap_err(), MetadataError::NoKey);
        let torn = GOOD.replace("X509Certificate>MII", "X509Certificate>MIJ");
        assert_eq!(
            read(&torn).unwrap_err(),
            MetadataError::Key(KeyError::Unreadable)
        );
    }

    #[test]
    fn tells_of_expired_certificates_and_refuses_them_when_strict() {
        let expired = include_str!("../../fixtures/saml/idp-expired.xml");
        let warnings = read(expired).unwrap().warnings(now());
        assert!(
            matches!(warnings.as_slice(), [Warning::Expires(_, Nearness::Ended)]),
            "{warnings:?}"
        );
        let name = "okta".parse().unwrap();
        let strict = read_idp(&name, expired.as_bytes(), now(), true).unwrap_err();
        assert_eq!(strict, MetadataError::Expired);
        let before = "2020-12-15T00:00:00Z".parse().unwrap();
        let soon = read_idp(&name, expired.as_bytes(), before, true)
            .unwrap()
            .warnings(before);
        assert!(
            matches!(soon.as_slice(), [Warning::Expires(_, Nearness::Month)]),
            "{soon:?}"
        );
    }

    #[test]
    fn refuses_other_documents() {
        assert_eq!(
            read(&GOOD.replace("EntityDescriptor", "EntitiesDescriptor")).unwrap_err(),
            MetadataError::Root("EntitiesDescriptor".to_owned())
        );
        assert_eq!(
            read(&GOOD.replace("IDPSSO", "SPSSO")).unwrap_err(),
            MetadataError::NotAnIdp
        );
        assert_eq!(
            read(&GOOD.replace("2.0:protocol", "1.1:protocol")).unwrap_err(),
            MetadataError::NotAnIdp
        );
        assert_eq!(
            read(&GOOD.replace("entityID=", "entityId=")).unwrap_err(),
            MetadataError::NoEntityId
        );
        for bad in ["javascript:alert(1)", "http://idp.example.org/sso", "/sso"] {
            let address = GOOD.replace("https://idp.example.org/sso?tenant=1", bad);
            assert_eq!(
                read(&address).unwrap_err(),
                MetadataError::Address(bad.to_owned())
            );
        }
        let bomb = format!(
            "<!DOCTYPE x [<!ENTITY a \"a\">]>{}",
            GOOD.split_once("?>").unwrap().1
        );
        assert_eq!(
            read(&bomb).unwrap_err(),
            MetadataError::Xml(Refusal::Markup {})
        );
        assert_eq!(
            read(&" ".repeat(MAX_METADATA + 1)).unwrap_err(),
            MetadataError::TooLarge
        );
    }
}
