//! rolegate's own key pairs: made here, published in our metadata, used to sign and to decrypt.
//!
//! The certificate is self-signed and only carries the key: identity providers pin it, nobody builds a
//! chain. The private half leaves this file as a [`Secret`] for the store alone.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509NameBuilder};
use thiserror::Error;

use super::time::later;
use super::trust::end;
use crate::model::{Secret, hex};

/// NIST SP 800-57 takes 3072 bits beyond 2030; every mainstream identity provider does too.
const BITS: u32 = 3072;
/// How long a certificate of ours lasts; identity providers warn of it or refuse it afterwards.
const LIFE: TimeDelta = TimeDelta::days(5 * 365);
/// X.520's upper bound of a common name, in characters.
const LONGEST_NAME: usize = 64;

/// An RSA key pair with its self-signed certificate.
pub struct ServiceKey {
    private: PKey<Private>,
    certificate: X509,
    not_after: DateTime<Utc>,
}

/// Why there is no key pair.
#[derive(Debug, Error)]
pub enum ServiceKeyError {
    /// OpenSSL made none, or cannot read what was stored.
    #[error(
        "OpenSSL cannot work with the key pair: {0}; make a new one with `rolegate keys generate`"
    )]
    OpenSsl(#[from] ErrorStack),
    /// The two halves do not belong together, or the certificate's end is no time.
    #[error(
        "key and certificate do not belong together; make a new one with `rolegate keys generate`"
    )]
    Mismatch,
}

impl ServiceKey {
    /// Makes a key pair whose certificate names `host`, valid from an hour before `now` for five years.
    pub fn generate(host: &str, now: DateTime<Utc>) -> Result<Self, ServiceKeyError> {
        let private = PKey::from_rsa(Rsa::generate(BITS)?)?;
        let mut name = X509NameBuilder::new()?;
        let short: String = host.chars().take(LONGEST_NAME).collect();
        name.append_entry_by_text("CN", &short)?;
        let name = name.build();
        let mut serial = BigNum::new()?;
        serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(serial.to_asn1_integer()?.as_ref())?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_pubkey(&private)?;
        let from = super::time::earlier(now, TimeDelta::hours(1));
        builder.set_not_before(Asn1Time::from_unix(from.timestamp())?.as_ref())?;
        builder.set_not_after(Asn1Time::from_unix(later(now, LIFE).timestamp())?.as_ref())?;
        builder.sign(&private, MessageDigest::sha256())?;
        Self::from_parts(private, builder.build())
    }

    /// Reads what [`ServiceKey::private_pem`] and [`ServiceKey::certificate_pem`] gave.
    pub fn from_pem(private: &Secret, certificate: &str) -> Result<Self, ServiceKeyError> {
        let private = PKey::private_key_from_pem(private.expose().as_bytes())?;
        Self::from_parts(private, X509::from_pem(certificate.as_bytes())?)
    }

    fn from_parts(private: PKey<Private>, certificate: X509) -> Result<Self, ServiceKeyError> {
        if !certificate.public_key()?.public_eq(&private) {
            return Err(ServiceKeyError::Mismatch);
        }
        let not_after = end(certificate.not_after()).ok_or(ServiceKeyError::Mismatch)?;
        Ok(Self {
            private,
            certificate,
            not_after,
        })
    }

    /// The private half, PKCS#8 in PEM, for the store to seal.
    pub fn private_pem(&self) -> Result<Secret, ServiceKeyError> {
        let pem = self.private.private_key_to_pem_pkcs8()?;
        let pem = String::from_utf8(pem).map_err(|_| ServiceKeyError::Mismatch)?;
        Ok(Secret::new(pem))
    }

    /// The certificate in PEM.
    pub fn certificate_pem(&self) -> Result<String, ServiceKeyError> {
        String::from_utf8(self.certificate.to_pem()?).map_err(|_| ServiceKeyError::Mismatch)
    }

    /// The certificate in base64 of DER, as `ds:X509Certificate` holds it.
    pub fn certificate_base64(&self) -> Result<String, ServiceKeyError> {
        Ok(STANDARD.encode(self.certificate.to_der()?))
    }

    /// The SHA-256 of the certificate's DER form, in lower-case hexadecimal.
    pub fn certificate_sha256(&self) -> Result<String, ServiceKeyError> {
        Ok(hex(&openssl::sha::sha256(&self.certificate.to_der()?)))
    }

    /// The certificate's end.
    pub fn not_after(&self) -> DateTime<Utc> {
        self.not_after
    }

    /// The private half, for signing and decrypting within `saml`.
    pub(super) fn private(&self) -> &PKey<Private> {
        &self.private
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceKey(until {})", self.not_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-01-15T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_pair_comes_back_as_it_went() {
        let key = ServiceKey::generate("gate.example.org", now()).unwrap();
        assert_eq!(key.private().bits(), BITS);
        assert_eq!(key.not_after(), now() + LIFE);
        let again =
            ServiceKey::from_pem(&key.private_pem().unwrap(), &key.certificate_pem().unwrap())
                .unwrap();
        assert_eq!(
            again.certificate_sha256().unwrap(),
            key.certificate_sha256().unwrap()
        );
        assert_eq!(
            format!("{key:?}"),
            "ServiceKey(until 2031-01-14 12:00:00 UTC)"
        );
    }

    #[test]
    fn halves_of_two_pairs_are_no_pair() {
        let one = ServiceKey::generate("gate.example.org", now()).unwrap();
        let other = ServiceKey::generate(&"long.".repeat(40), now()).unwrap();
        let mixed = ServiceKey::from_pem(
            &one.private_pem().unwrap(),
            &other.certificate_pem().unwrap(),
        );
        assert!(matches!(mixed, Err(ServiceKeyError::Mismatch)));
    }
}
