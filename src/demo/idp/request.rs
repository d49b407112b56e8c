//! AuthnRequests as they arrive by the HTTP-Redirect binding (SAML bindings 3.4).
//!
//! Reads ID, Issuer, ACS and Destination and refuses a request that is not from the registered service
//! to this IdP. Signatures of requests are not checked: a response goes to the registered ACS alone.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::DeflateDecoder;
use thiserror::Error;

use super::Inner;
use crate::demo::xml::{self, ASSERTION, PROTOCOL};

/// A request is short; a longer one is an attack on memory.
const MAX_REQUEST: u64 = 64 * 1024;

/// Why a request is not answered.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum RequestError {
    #[error("SAMLRequest is not base64")]
    Base64,
    #[error("SAMLRequest is not deflated UTF-8 text of at most 64 KiB")]
    Deflate,
    #[error("SAMLRequest is no AuthnRequest with an ID")]
    NotARequest,
    #[error("the request is from {0:?}, which is not registered here")]
    Issuer(String),
    #[error("the request wants its answer at {0:?}, which is not the registered ACS")]
    Acs(String),
    #[error("the request is for {0:?}, which is not this IdP")]
    Destination(String),
}

/// The ID of a request that is for us and from the service that we serve.
pub(super) fn read(idp: &Inner, encoded: &str) -> Result<String, RequestError> {
    let bytes = STANDARD.decode(encoded).map_err(|_| RequestError::Base64)?;
    let mut text = String::new();
    DeflateDecoder::new(bytes.as_slice())
        .take(MAX_REQUEST)
        .read_to_string(&mut text)
        .map_err(|_| RequestError::Deflate)?;
    let request = xml::parse(&text).map_err(|_| RequestError::NotARequest)?;
    let id = request.attribute("ID").filter(|id| !id.is_empty());
    let id = id.filter(|_| request.is(PROTOCOL, "AuthnRequest"));
    let id = id.ok_or(RequestError::NotARequest)?.to_owned();
    let issuer = request.only(ASSERTION, "Issuer");
    let issuer = issuer.map_or("", |issuer| issuer.text.trim());
    if issuer != idp.settings.sp_entity_id {
        return Err(RequestError::Issuer(issuer.to_owned()));
    }
    let acs = request.attribute("AssertionConsumerServiceURL");
    if let Some(acs) = acs.filter(|acs| *acs != idp.settings.acs_url) {
        return Err(RequestError::Acs(acs.to_owned()));
    }
    let here = format!("{}/sso", idp.url);
    match request.attribute("Destination") {
        Some(other) if other != here => Err(RequestError::Destination(other.to_owned())),
        _ => Ok(id),
    }
}
