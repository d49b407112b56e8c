//! Logout messages on the wire: the HTTP-Redirect binding (SAML 2.0 bindings, 3.4), a deflated message in
//! a query, signed beside it, and the HTTP-POST binding (3.5), base64 in a form.
//!
//! What is verified of a query is its text as it arrived, octet by octet, since every sender encodes in its own
//! way. It trusts nothing: sizes are bounded before and while a message is inflated, each parameter
//! may stand once, and a signature algorithm that the gate refuses is refused here.

use std::borrow::Cow;
use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use openssl::bn::BigNum;
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKeyRef;
use openssl::sign::{Signer, Verifier};
use openssl::x509::X509;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use thiserror::Error;

use super::service_key::ServiceKey;
use super::signature_shape::KeyKind;
use super::trust::SigningKey;

/// The longest query that is looked at, in bytes.
const MAX_QUERY: usize = 32 * 1024;
/// The largest message, inflated, in bytes. A logout message has one or two thousand.
const MAX_MESSAGE: usize = 64 * 1024;

const DEFLATE: &str = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE";
const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";

/// Whether a message asks or answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `SAMLRequest`.
    Request,
    /// `SAMLResponse`.
    Response,
}

impl Kind {
    /// The parameter's name.
    pub(super) fn parameter(self) -> &'static str {
        match self {
            Self::Request => "SAMLRequest",
            Self::Response => "SAMLResponse",
        }
    }
}

/// Why a query or form holds no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BindingError {
    /// Not exactly one message.
    #[error("there is not exactly one SAMLRequest or SAMLResponse")]
    NoMessage,
    /// A parameter that stands twice.
    #[error("{0} stands more than once")]
    Repeated(&'static str),
    /// More than is taken.
    #[error("the message is too long")]
    TooLong,
    /// Not percent-encoded text, base64 or deflated.
    #[error("{0} does not decode")]
    Undecodable(&'static str),
    /// An encoding other than DEFLATE.
    #[error("the SAMLEncoding is not DEFLATE")]
    Encoding,
    /// A request without a signature.
    #[error("the message is not signed; sign logout messages at the identity provider")]
    Unsigned,
}

/// What signs a query.
#[derive(Debug)]
pub(super) struct QuerySignature {
    octets: Vec<u8>,
    algorithm: String,
    value: Vec<u8>,
}

/// A message out of a query, not believed.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) kind: Kind,
    pub(super) xml: String,
    pub(super) relay_state: Option<String>,
    pub(super) signature: Option<QuerySignature>,
}

/// `destination` with a message in its query, signed where there is a key (bindings, 3.4.4.1: the
/// signature covers our parameters alone, not what the destination's own query holds).
pub(super) fn redirect_url(
    destination: &str,
    kind: Kind,
    xml: &str,
    relay_state: Option<&str>,
    signer: Option<&ServiceKey>,
) -> Result<String, ErrorStack> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let message = encoded(&STANDARD.encode(deflate(xml)));
    let mut query = format!("{}={message}", kind.parameter());
    if let Some(state) = relay_state {
        query.push_str("&RelayState=");
        query.push_str(&encoded(state));
    }
    if let Some(key) = signer {
        query.push_str("&SigAlg=");
        query.push_str(&encoded(RSA_SHA256));
        let mut signer = Signer::new(MessageDigest::sha256(), key.private())?;
        let value = signer.sign_oneshot_to_vec(query.as_bytes())?;
        query.push_str("&Signature=");
        query.push_str(&encoded(&STANDARD.encode(value)));
    }
    let joint = if destination.contains('?') { '&' } else { '?' };
    Ok(format!("{destination}{joint}{query}"))
}

fn deflate(xml: &str) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    // Writing to a Vec cannot fail.
    let _written = encoder.write_all(xml.as_bytes());
    encoder.finish().unwrap_or_default()
}

/// Takes the message out of a query.
pub(super) fn read_query(query: &str) -> Result<Arrived, BindingError> {
    if query.len() > MAX_QUERY {
        return Err(BindingError::TooLong);
    }
    let one = |name: &'static str| only(query, name);
    let (kind, message) = match (one("SAMLRequest")?, one("SAMLResponse")?) {
        (Some(message), None) => (Kind::Request, message),
        (None, Some(message)) => (Kind::Response, message),
        _ => return Err(BindingError::NoMessage),
    };
    if let Some(encoding) = one("SAMLEncoding")?
        && decoded(encoding, "SAMLEncoding")? != DEFLATE
    {
        return Err(BindingError::Encoding);
    }
    let relay_state = one("RelayState")?;
    let signature = match (one("SigAlg")?, one("Signature")?) {
        (Some(algorithm), Some(value)) => Some(QuerySignature {
            octets: signed_octets(kind, message, relay_state, algorithm),
            algorithm: decoded(algorithm, "SigAlg")?,
            value: base64(value, "Signature")?,
        }),
        _ => None,
    };
    Ok(Arrived {
        kind,
        xml: inflate(&base64(message, kind.parameter())?, kind)?,
        relay_state: relay_state
            .map(|state| decoded(state, "RelayState"))
            .transpose()?,
        signature,
    })
}

/// Takes the message out of a form.
pub(super) fn read_form(body: &[u8]) -> Result<Arrived, BindingError> {
    if body.len() > 2 * MAX_MESSAGE {
        return Err(BindingError::TooLong);
    }
    let (mut request, mut response, mut relay_state) = (None, None, None);
    for (name, value) in url::form_urlencoded::parse(body) {
        let (slot, name) = match name.as_ref() {
            "SAMLRequest" => (&mut request, "SAMLRequest"),
            "SAMLResponse" => (&mut response, "SAMLResponse"),
            "RelayState" => (&mut relay_state, "RelayState"),
            _ => continue,
        };
        if slot.replace(value.into_owned()).is_some() {
            return Err(BindingError::Repeated(name));
        }
    }
    let (kind, message) = match (request, response) {
        (Some(message), None) => (Kind::Request, message),
        (None, Some(message)) => (Kind::Response, message),
        _ => return Err(BindingError::NoMessage),
    };
    let bad = || BindingError::Undecodable(kind.parameter());
    let message: String = message
        .chars()
        .filter(|c| !matches!(c, '\r' | '\n'))
        .collect();
    let bytes = STANDARD.decode(message).map_err(|_| bad())?;
    if bytes.len() > MAX_MESSAGE {
        return Err(BindingError::TooLong);
    }
    Ok(Arrived {
        kind,
        xml: String::from_utf8(bytes).map_err(|_| bad())?,
        relay_state,
        signature: None,
    })
}

/// The parameters as they arrived, in the order that the binding names.
fn signed_octets(kind: Kind, message: &str, state: Option<&str>, algorithm: &str) -> Vec<u8> {
    let state = state.map_or_else(String::new, |state| format!("&RelayState={state}"));
    format!("{}={message}{state}&SigAlg={algorithm}", kind.parameter()).into_bytes()
}

/// The raw value of the one parameter `name`. A name that is itself encoded counts as well, so that no
/// second reader sees another parameter than this one.
fn only<'q>(query: &'q str, name: &'static str) -> Result<Option<&'q str>, BindingError> {
    let mut found = None;
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if percent_decode_str(key).eq(name.bytes()) && found.replace(value).is_some() {
            return Err(BindingError::Repeated(name));
        }
    }
    Ok(found)
}

/// `+` is a blank, `%` and two digits a byte.
fn decoded(value: &str, name: &'static str) -> Result<String, BindingError> {
    percent_decode_str(&value.replace('+', " "))
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| BindingError::Undecodable(name))
}

/// Base64, whose own `+` some senders leave unencoded; line ends are skipped.
fn base64(value: &str, name: &'static str) -> Result<Vec<u8>, BindingError> {
    let bytes: Vec<u8> = percent_decode_str(value)
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .collect();
    STANDARD
        .decode(bytes)
        .map_err(|_| BindingError::Undecodable(name))
}

fn inflate(bytes: &[u8], kind: Kind) -> Result<String, BindingError> {
    let bad = || BindingError::Undecodable(kind.parameter());
    let limit = u64::try_from(MAX_MESSAGE).unwrap_or(u64::MAX);
    let mut xml = Vec::new();
    DeflateDecoder::new(bytes)
        .take(limit.saturating_add(1))
        .read_to_end(&mut xml)
        .map_err(|_| bad())?;
    if xml.len() > MAX_MESSAGE {
        return Err(BindingError::TooLong);
    }
    String::from_utf8(xml).map_err(|_| bad())
}

impl QuerySignature {
    /// The kind of key that it needs; `None` for an algorithm that is not allowed.
    pub(super) fn kind(&self) -> Option<KeyKind> {
        self.method().map(|(kind, _)| kind)
    }

    /// The algorithm as it was named.
    pub(super) fn algorithm(&self) -> &str {
        &self.algorithm
    }

    fn method(&self) -> Option<(KeyKind, MessageDigest)> {
        let name = self
            .algorithm
            .strip_prefix("http://www.w3.org/2001/04/xmldsig-more#")?;
        let (kind, digest) = name.split_once('-')?;
        let kind = match kind {
            "rsa" => KeyKind::Rsa,
            "ecdsa" => KeyKind::Ec,
            _ => return None,
        };
        let digest = match digest {
            "sha256" => MessageDigest::sha256(),
            "sha384" => MessageDigest::sha384(),
            "sha512" => MessageDigest::sha512(),
            _ => return None,
        };
        Some((kind, digest))
    }

    /// Whether `key` made it.
    pub(super) fn verifies(&self, key: &SigningKey) -> bool {
        let verified = X509::from_der(key.der.der_data())
            .and_then(|certificate| certificate.public_key())
            .and_then(|public| self.check(&public, key.kind));
        // A failed verification leaves errors in this thread's queue, where the next TLS call would find them.
        drop(ErrorStack::get());
        verified.unwrap_or(false)
    }

    fn check<T: openssl::pkey::HasPublic>(
        &self,
        public: &PKeyRef<T>,
        of: KeyKind,
    ) -> Result<bool, ErrorStack> {
        let Some((kind, digest)) = self.method() else {
            return Ok(false);
        };
        if kind != of {
            return Ok(false);
        }
        let value = match kind {
            KeyKind::Rsa => self.value.clone(),
            KeyKind::Ec => der_of(&self.value)?,
        };
        Verifier::new(digest, public)?.verify_oneshot(&value, &self.octets)
    }
}

/// XML Signature writes an ECDSA signature as its two numbers side by side (RFC 4050, 3.3).
fn der_of(value: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let (r, s) = value.split_at(value.len() / 2);
    EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?.to_der()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saml::trust::SigningKey;

    fn key() -> ServiceKey {
        ServiceKey::generate("gate.example.org", "2026-01-15T12:00:00Z".parse().unwrap()).unwrap()
    }

    fn public(key: &ServiceKey) -> SigningKey {
        let der = STANDARD.decode(key.certificate_base64().unwrap()).unwrap();
        SigningKey::from_der(der).unwrap()
    }

    fn query(url: &str) -> &str {
        url.split_once('?').unwrap().1
    }

    #[test]
    fn what_is_signed_here_verifies_and_only_as_it_was_sent() {
        let (ours, other) = (key(), key());
        let to = "https://idp.example.org/slo?tenant=1";
        let url = redirect_url(to, Kind::Request, "<a/>", Some("x y+z&"), Some(&ours)).unwrap();
        assert!(url.starts_with("https://idp.example.org/slo?tenant=1&SAMLRequest="));
        let arrived = read_query(query(&url)).unwrap();
        assert_eq!(
            (arrived.kind, arrived.xml.as_str()),
            (Kind::Request, "<a/>")
        );
        assert_eq!(arrived.relay_state.as_deref(), Some("x y+z&"));
        let signature = arrived.signature.unwrap();
        assert!(signature.verifies(&public(&ours)));
        assert!(!signature.verifies(&public(&other)));

        for (from, to) in [
            ("RelayState=x", "RelayState=y"),
            ("rsa%2Dsha256", "rsa%2Dsha512"),
            ("SAMLRequest=", "SAMLResponse="),
        ] {
            let changed = query(&url).replace(from, to);
            assert_ne!(changed, query(&url));
            let signature = read_query(&changed).unwrap().signature.unwrap();
            assert!(!signature.verifies(&public(&ours)), "{to}");
        }
    }

    #[test]
    fn signatures_of_elliptic_curves_are_two_numbers() {
        let file = |name| std::fs::read(format!("fixtures/saml/{name}")).unwrap();
        let private = openssl::pkey::PKey::private_key_from_pem(&file("ec.key")).unwrap();
        let certificate = X509::from_pem(&file("ec.crt")).unwrap();
        let unsigned = redirect_url("https://a", Kind::Response, "<a/>", None, None).unwrap();
        let algorithm = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
        let signed = format!("{}&SigAlg={algorithm}", query(&unsigned));
        let digest = openssl::hash::hash(MessageDigest::sha384(), signed.as_bytes()).unwrap();
        let pair = EcdsaSig::sign(&digest, &private.ec_key().unwrap()).unwrap();
        let half = |number: &openssl::bn::BigNumRef| number.to_vec_padded(32).unwrap();
        let value = STANDARD.encode([half(pair.r()), half(pair.s())].concat());
        let arrived = |value: &str| {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            read_query(&format!("{signed}&Signature={value}")).unwrap()
        };
        let key = SigningKey::from_der(certificate.to_der().unwrap()).unwrap();
        assert!(arrived(&value).signature.unwrap().verifies(&key));
        for bad in ["", "AAAA", &STANDARD.encode([7; 64])] {
            assert!(!arrived(bad).signature.unwrap().verifies(&key));
        }
    }

    #[test]
    fn refuses_every_other_query() {
        let good = redirect_url("https://a", Kind::Request, "<a/>", None, None).unwrap();
        let good = query(&good);
        assert!(read_query(good).unwrap().signature.is_none());
        let bomb = deflate(&"x".repeat(MAX_MESSAGE + 1));
        let bomb = utf8_percent_encode(&STANDARD.encode(bomb), NON_ALPHANUMERIC).to_string();
        for (bad, wanted) in [
            (String::new(), BindingError::NoMessage),
            (format!("{good}&SAMLResponse=AA"), BindingError::NoMessage),
            (
                format!("{good}&%53AMLRequest=AA"),
                BindingError::Repeated("SAMLRequest"),
            ),
            (
                format!("{good}&SigAlg=a&SigAlg=b"),
                BindingError::Repeated("SigAlg"),
            ),
            (format!("{good}&SAMLEncoding=zip"), BindingError::Encoding),
            (
                "SAMLRequest=%21".to_owned(),
                BindingError::Undecodable("SAMLRequest"),
            ),
            (
                "SAMLResponse=%80".to_owned(),
                BindingError::Undecodable("SAMLResponse"),
            ),
            (
                format!("{good}&RelayState=%ff"),
                BindingError::Undecodable("RelayState"),
            ),
            (format!("SAMLRequest={bomb}"), BindingError::TooLong),
            ("a".repeat(MAX_QUERY + 1), BindingError::TooLong),
        ] {
            assert_eq!(read_query(&bad).unwrap_err(), wanted, "{bad:.60}");
        }
    }
}
