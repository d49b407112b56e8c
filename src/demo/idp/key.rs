//! The IdP's signing key with its self-signed certificate, by OpenSSL.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::x509::{X509, X509NameBuilder};

use crate::model::{Clock, Entropy};

const DAY: Duration = Duration::from_hours(24);

/// A signing key with its certificate.
#[derive(Clone)]
pub struct IdpKey {
    key: PKey<Private>,
    certificate: Vec<u8>,
}

impl IdpKey {
    /// A new RSA key of 2,048 bits, its certificate good from a day ago for a year.
    pub fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Self, ErrorStack> {
        let key = PKey::from_rsa(Rsa::generate(2048)?)?;
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_text("CN", "rolegate demo IdP")?;
        let name = name.build();
        let mut serial = [0; 8];
        entropy.fill(&mut serial);
        let now = clock.now();
        let mut certificate = X509::builder()?;
        certificate.set_version(2)?;
        certificate.set_serial_number(&*BigNum::from_slice(&serial)?.to_asn1_integer()?)?;
        certificate.set_subject_name(&name)?;
        certificate.set_issuer_name(&name)?;
        certificate.set_pubkey(&key)?;
        certificate.set_not_before(&*asn1(now - DAY)?)?;
        certificate.set_not_after(&*asn1(now + DAY * 365)?)?;
        certificate.sign(&key, MessageDigest::sha256())?;
        Ok(Self {
            key,
            certificate: certificate.build().to_der()?,
        })
    }

    /// The certificate as metadata and KeyInfo hold it.
    pub(super) fn certificate_base64(&self) -> String {
        STANDARD.encode(&self.certificate)
    }

    /// The base64 of the RSA-SHA256 signature over `text`.
    pub(super) fn sign(&self, text: &str) -> Result<String, ErrorStack> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        signer.update(text.as_bytes())?;
        Ok(STANDARD.encode(signer.sign_to_vec()?))
    }
}

fn asn1(at: DateTime<Utc>) -> Result<Asn1Time, ErrorStack> {
    Asn1Time::from_unix(at.timestamp())
}
