//! An authority of clients' certificates, and the certificates that it gives out, good and bad.

use std::path::Path;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name};
use reqwest::{Certificate, Client, Identity};

/// An authority.
pub(super) struct Authority {
    pub(super) certificate: X509,
    key: PKey<Private>,
}

/// What a certificate says.
pub(super) struct Says<'a> {
    /// Attributes in the order of the certificate, the last one first as RFC 4514 writes them.
    pub(super) subject: &'a [(&'a str, &'a str)],
    pub(super) uri: Option<&'a str>,
    pub(super) dns: Option<&'a str>,
    /// From how many days ago until in how many.
    pub(super) days: (i64, i64),
    pub(super) for_servers: bool,
}

impl Default for Says<'_> {
    fn default() -> Self {
        Self {
            subject: &[("O", "Example"), ("CN", "launcher")],
            uri: None,
            dns: None,
            days: (1, 1),
            for_servers: false,
        }
    }
}

/// A certificate with its key, as PEM.
pub(super) struct Pair {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn days_from_now(days: i64) -> Asn1Time {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Asn1Time::from_unix(i64::try_from(now.as_secs()).unwrap() + days * 86_400).unwrap()
}

fn name(attributes: &[(&str, &str)]) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    for (kind, value) in attributes {
        name.append_entry_by_text(kind, value).unwrap();
    }
    name.build()
}

fn begun(subject: &X509Name, key: &PKey<Private>, (from, until): (i64, i64)) -> X509Builder {
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    let mut number = BigNum::new().unwrap();
    number.rand(64, openssl::bn::MsbOption::ONE, false).unwrap();
    certificate
        .set_serial_number(&number.to_asn1_integer().unwrap())
        .unwrap();
    certificate.set_subject_name(subject).unwrap();
    certificate.set_pubkey(key).unwrap();
    certificate.set_not_before(&days_from_now(-from)).unwrap();
    certificate.set_not_after(&days_from_now(until)).unwrap();
    certificate
}

impl Authority {
    pub(super) fn new(common_name: &str) -> Self {
        let (key, name) = (key(), name(&[("CN", common_name)]));
        let mut certificate = begun(&name, &key, (2, 2));
        certificate.set_issuer_name(&name).unwrap();
        let is_authority = BasicConstraints::new().critical().ca().build().unwrap();
        certificate.append_extension(is_authority).unwrap();
        certificate.sign(&key, MessageDigest::sha256()).unwrap();
        let certificate = certificate.build();
        Self { certificate, key }
    }

    /// Writes its certificate to `ca.pem` of `folder`.
    pub(super) fn written(self, folder: &Path) -> Self {
        let pem = self.certificate.to_pem().unwrap();
        std::fs::write(folder.join("ca.pem"), pem).unwrap();
        self
    }

    pub(super) fn certify(&self, says: &Says<'_>) -> Pair {
        let key = key();
        let mut certificate = begun(&name(says.subject), &key, says.days);
        certificate
            .set_issuer_name(self.certificate.subject_name())
            .unwrap();
        let mut names = SubjectAlternativeName::new();
        says.uri.map(|uri| names.uri(uri));
        says.dns.map(|dns| names.dns(dns));
        if says.uri.is_some() || says.dns.is_some() {
            let context = certificate.x509v3_context(None, None);
            let names = names.build(&context).unwrap();
            certificate.append_extension(names).unwrap();
        }
        let mut usage = ExtendedKeyUsage::new();
        let usage = if says.for_servers {
            usage.server_auth()
        } else {
            usage.client_auth()
        };
        certificate
            .append_extension(usage.build().unwrap())
            .unwrap();
        certificate
            .sign(&self.key, MessageDigest::sha256())
            .unwrap();
        Pair {
            certificate: certificate.build().to_pem().unwrap(),
            key: key.private_key_to_pem_pkcs8().unwrap(),
        }
    }
}

/// A client that trusts the gateway of `folder` and shows `pair`.
pub(super) fn client(folder: &Path, pair: Option<&Pair>) -> Client {
    let gate = std::fs::read(folder.join("gate.pem")).unwrap();
    let client = Client::builder().add_root_certificate(Certificate::from_pem(&gate).unwrap());
    let client = match pair {
        Some(pair) => {
            client.identity(Identity::from_pkcs8_pem(&pair.certificate, &pair.key).unwrap())
        }
        None => client,
    };
    client.build().unwrap()
}
