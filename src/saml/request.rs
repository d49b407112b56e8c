//! The question that begins a sign-in here: an AuthnRequest by redirect (SAML 2.0 bindings, 3.4).
//!
//! Its ID has 128 random bits and is ours to remember: an answer must name it. It is signed where there
//! is a key to sign with.

use samael::schema::{AuthnRequest as Request, Issuer};
use samael::traits::ToXml;
use thiserror::Error;

use super::binding::{Kind, redirect_url};
use super::service_key::ServiceKey;
use super::trust::Trust;
use crate::model::{Clock, Entropy, hex};

/// A request to send a browser with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthnRequest {
    /// Its ID, which the answer's `InResponseTo` repeats.
    pub id: String,
    /// Where to send the browser.
    pub redirect_url: String,
}

/// Why there is no request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The identity provider takes none by redirect.
    #[error(
        "the identity provider's metadata names no SingleSignOnService by HTTP-Redirect; begin the sign-in there"
    )]
    NoAddress,
    /// It could not be written.
    #[error("the request could not be written: {0}")]
    Unwritable(String),
}

/// Makes a request to `trust`, to be answered at `acs_url`, signed by `signer`.
pub fn authn_request(
    trust: &Trust,
    entity_id: &str,
    acs_url: &str,
    signer: Option<&ServiceKey>,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<AuthnRequest, RequestError> {
    let destination = trust.sso_redirect_url().ok_or(RequestError::NoAddress)?;
    let mut random = [0; 16];
    entropy.fill(&mut random);
    // A leading letter or underscore makes it a name, as xs:ID demands.
    let id = format!("_{}", hex(&random));
    let request = Request {
        id: id.clone(),
        version: "2.0".to_owned(),
        issue_instant: clock.now(),
        destination: Some(destination.to_owned()),
        issuer: Some(Issuer {
            value: Some(entity_id.to_owned()),
            ..Issuer::default()
        }),
        protocol_binding: Some("urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST".to_owned()),
        assertion_consumer_service_url: Some(acs_url.to_owned()),
        ..Request::default()
    };
    let unwritable = |error: &dyn std::fmt::Display| RequestError::Unwritable(error.to_string());
    let xml = request.to_string().map_err(|error| unwritable(&error))?;
    let redirect_url = redirect_url(destination, Kind::Request, &xml, None, signer)
        .map_err(|error| unwritable(&error))?;
    Ok(AuthnRequest { id, redirect_url })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use url::Url;

    use super::*;
    use crate::model::{FixedClock, OsEntropy};
    use crate::saml::binding;
    use crate::saml::lexis::ncname;
    use crate::saml::metadata::read_idp;
    use crate::saml::trust::SigningKey;
    use crate::saml::xml::{self, Limits, Space};

    fn ask(metadata: &str, signer: Option<&ServiceKey>) -> Result<AuthnRequest, RequestError> {
        let now = "2026-01-15T12:00:00Z".parse().unwrap();
        let trust = read_idp(&"okta".parse().unwrap(), metadata.as_bytes(), now, false).unwrap();
        let acs = "https://gate.example.org/saml/acs";
        authn_request(
            &trust,
            "urn:amazon:webservices",
            acs,
            signer,
            &FixedClock::new(now),
            &OsEntropy,
        )
    }

    fn inflate(bytes: &[u8]) -> String {
        let mut text = String::new();
        flate2::read::DeflateDecoder::new(bytes)
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    const GOOD: &str = include_str!("../../fixtures/saml/idp.xml");

    #[test]
    fn asks_with_an_id_of_its_own_and_keeps_the_address() {
        let request = ask(GOOD, None).unwrap();
        assert_eq!(request.id.len(), 33);
        assert!(ncname(&request.id));
        assert_ne!(request.id, ask(GOOD, None).unwrap().id);
        let url = Url::parse(&request.redirect_url).unwrap();
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        assert_eq!(pairs[0], ("tenant".to_owned(), "1".to_owned()));
        assert_eq!(pairs[1].0, "SAMLRequest");
        assert_eq!(pairs.len(), 2);
        let deflated = STANDARD.decode(&pairs[1].1).unwrap();
        let text = inflate(&deflated);
        let root = xml::read(&text, Limits::RESPONSE).unwrap();
        assert!(root.is(Space::Protocol, "AuthnRequest"), "{text}");
        assert_eq!(root.attribute("ID"), Some(request.id.as_str()));
        assert_eq!(root.attribute("Version"), Some("2.0"));
        let instant = root.attribute("IssueInstant").unwrap();
        assert!(
            instant.starts_with("2026-01-15T12:00:00") && instant.ends_with('Z'),
            "{instant}"
        );
        assert_eq!(
            root.attribute("AssertionConsumerServiceURL"),
            Some("https://gate.example.org/saml/acs")
        );
        let issuer = root.only(Space::Assertion, "Issuer").unwrap();
        assert_eq!(issuer.text(), Some("urn:amazon:webservices"));
    }

    #[test]
    fn with_a_key_the_request_is_signed() {
        let now = "2026-01-15T12:00:00Z".parse().unwrap();
        let key = ServiceKey::generate("gate.example.org", now).unwrap();
        let request = ask(GOOD, Some(&key)).unwrap();
        let url = Url::parse(&request.redirect_url).unwrap();
        let names: Vec<String> = url.query_pairs().map(|(name, _)| name.into()).collect();
        assert_eq!(names, ["tenant", "SAMLRequest", "SigAlg", "Signature"]);
        let der = STANDARD.decode(key.certificate_base64().unwrap()).unwrap();
        let public = SigningKey::from_der(der).unwrap();
        let query = url.query().unwrap();
        let arrived = binding::read_query(query).unwrap();
        assert!(arrived.signature.unwrap().verifies(&public));
    }

    #[test]
    fn a_provider_without_an_address_cannot_be_asked() {
        let silent = GOOD.replace("HTTP-Redirect", "SOAP");
        assert_eq!(ask(&silent, None), Err(RequestError::NoAddress));
    }
}
