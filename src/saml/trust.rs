//! One identity provider: its name, its entity id, its signing keys and where it takes requests.
//!
//! A key in here is strong enough and belongs to this provider alone; it is tried for its Issuer only.
//! Nothing in here comes from a response.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::ec::EcKeyRef;
use openssl::nid::Nid;
use openssl::pkey::Public;
use openssl::x509::X509;
use samael::crypto::CertificateDer;
use serde::Serialize;

use super::signature_shape::KeyKind;
use crate::model::{IdpName, hex};

/// The shortest RSA key that is taken, in bits.
const MIN_RSA_BITS: u32 = 2048;

/// What rolegate trusts one identity provider with: checked values alone.
#[derive(Debug)]
pub struct Trust {
    pub(super) name: IdpName,
    pub(super) entity_id: String,
    pub(super) keys: Vec<SigningKey>,
    pub(super) sso_redirect_url: Option<String>,
    pub(super) sso_post_url: Option<String>,
    pub(super) slo_redirect_url: Option<String>,
    pub(super) slo_response_url: Option<String>,
    pub(super) wants_signed_requests: bool,
    pub(super) valid_until: Option<String>,
    pub(super) cache_duration: Option<TimeDelta>,
}

impl Trust {
    /// The name that the configuration gives it.
    pub fn name(&self) -> &IdpName {
        &self.name
    }

    /// Its Issuer.
    pub fn entity_id(&self) -> &str {
        &self.entity_id
    }

    /// Where it takes requests by redirect.
    pub fn sso_redirect_url(&self) -> Option<&str> {
        self.sso_redirect_url.as_deref()
    }

    /// Where it takes requests by POST.
    pub fn sso_post_url(&self) -> Option<&str> {
        self.sso_post_url.as_deref()
    }

    /// Where it takes logout requests by redirect.
    pub fn slo_redirect_url(&self) -> Option<&str> {
        self.slo_redirect_url.as_deref()
    }

    /// Where it takes answers to its own logout requests by redirect.
    pub fn slo_response_url(&self) -> Option<&str> {
        self.slo_response_url.as_deref()
    }

    /// Whether it takes signed requests alone.
    pub fn wants_signed_requests(&self) -> bool {
        self.wants_signed_requests
    }

    /// Its signing certificates.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.keys.iter().map(SigningKey::describe).collect()
    }
}

/// A signing certificate, for lists and warnings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// The SHA-256 of its DER form, in lower-case hexadecimal.
    pub sha256: String,
    /// Its end; an expired one still verifies unless `strict_certificates` is set.
    pub not_after: DateTime<Utc>,
    /// The key, such as `RSA 2048`.
    pub algorithm: String,
}

/// A key that may verify this provider's signatures.
pub(super) struct SigningKey {
    pub(super) der: CertificateDer,
    pub(super) not_after: DateTime<Utc>,
    pub(super) kind: KeyKind,
    algorithm: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} until {})", self.algorithm, self.not_after)
    }
}

/// Why a certificate is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a certificate in base64 of DER.
    #[error("is no X.509 certificate in base64")]
    Unreadable,
    /// Too weak a key.
    #[error("has an {0} key; use RSA with at least 2048 bits, or ECDSA on P-256 or P-384")]
    Weak(String),
}

impl SigningKey {
    pub(super) fn from_der(der: Vec<u8>) -> Result<Self, KeyError> {
        let certificate = X509::from_der(&der).map_err(|_| KeyError::Unreadable)?;
        // What follows the certificate in the same bytes would be carried along unread.
        let whole = certificate.to_der().is_ok_and(|again| again == der);
        let key = certificate.public_key().map_err(|_| KeyError::Unreadable)?;
        if !whole {
            return Err(KeyError::Unreadable);
        }
        let (kind, algorithm) = if let Ok(rsa) = key.rsa() {
            let bits = rsa.n().num_bits();
            let algorithm = format!("RSA {bits}");
            if u32::try_from(bits).is_ok_and(|bits| bits >= MIN_RSA_BITS) {
                (KeyKind::Rsa, algorithm)
            } else {
                return Err(KeyError::Weak(algorithm));
            }
        } else if let Ok(ec) = key.ec_key() {
            (KeyKind::Ec, curve(&ec)?)
        } else {
            return Err(KeyError::Weak(format!("unsupported ({:?})", key.id())));
        };
        let not_after = end(certificate.not_after()).ok_or(KeyError::Unreadable)?;
        Ok(Self {
            der: CertificateDer::from(der),
            not_after,
            kind,
            algorithm,
        })
    }

    pub(super) fn describe(&self) -> Certificate {
        Certificate {
            sha256: hex(&openssl::sha::sha256(self.der.der_data())),
            not_after: self.not_after,
            algorithm: self.algorithm.clone(),
        }
    }
}

fn curve(key: &EcKeyRef<Public>) -> Result<String, KeyError> {
    match key.group().curve_name() {
        Some(Nid::X9_62_PRIME256V1) => Ok("ECDSA P-256".to_owned()),
        Some(Nid::SECP384R1) => Ok("ECDSA P-384".to_owned()),
        Some(other) => Err(KeyError::Weak(format!(
            "ECDSA {}",
            other.short_name().unwrap_or("?")
        ))),
        None => Err(KeyError::Weak("ECDSA unnamed".to_owned())),
    }
}

pub(super) fn end(time: &Asn1TimeRef) -> Option<DateTime<Utc>> {
    let since = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    let seconds = i64::from(since.days)
        .checked_mul(86_400)?
        .checked_add(i64::from(since.secs))?;
    DateTime::from_timestamp(seconds, 0)
}
