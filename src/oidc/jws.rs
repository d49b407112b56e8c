//! From the text of a token to the claims that a provider's key signed (RFC 7515, RFC 7519).
//!
//! The allow-list of algorithms is ours, whatever a provider's metadata or a token's header says; the signature
//! is the library's. Claims come out of the signed bytes alone, and only behind a good signature. Keys named
//! or carried by a header (`jku`, `jwk`, `x5u`, `x5c`) are never looked at.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::JsonWebKey;
use openidconnect::core::CoreJwsSigningAlgorithm;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::KeySet;
use super::refusal::{Refusal, cut};
use crate::model::Secret;

/// The most characters that STS takes (STS API, `WebIdentityToken`).
pub(super) const LONGEST_TOKEN: usize = 20_000;

/// What of a header counts. A name that stands twice is an error of the reader.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    cty: Option<IgnoredAny>,
    crit: Option<IgnoredAny>,
}

/// What a key of the provider signed.
pub(super) struct Signed {
    /// The claims.
    pub(super) claims: Map<String, Value>,
    /// SHA-256 of the bytes that were signed.
    pub(super) digest: [u8; 32],
}

/// Verifies the token's signature and gives its claims. Nothing of them is judged yet.
pub(super) fn signed_claims(token: &Secret, keys: &KeySet) -> Result<Signed, Refusal> {
    let token = token.expose();
    if token.len() > LONGEST_TOKEN {
        return Err(form("is longer than 20000 characters"));
    }
    let (input, signature) = token.rsplit_once('.').ok_or(form("has no three parts"))?;
    let (header, payload) = input.split_once('.').ok_or(form("has no three parts"))?;
    if payload.contains('.') {
        return Err(form("is encrypted or has more than three parts"));
    }
    let header = read_header(header)?;
    let algorithm = allowed(&header.alg)?;
    let (payload, signature) = (decoded(payload)?, decoded(signature)?);
    verified(&header, &algorithm, keys, input.as_bytes(), &signature)?;
    Ok(Signed {
        claims: read_claims(&payload)?,
        digest: openssl::sha::sha256(input.as_bytes()),
    })
}

fn read_header(part: &str) -> Result<Header, Refusal> {
    let header: Header = serde_json::from_slice(&decoded(part)?)
        .map_err(|_| form("has a header that is no JSON object with one alg"))?;
    if header.crit.is_some() {
        return Err(form(
            "has a header with crit, and no extension is understood",
        ));
    }
    if header.cty.is_some() {
        return Err(form(
            "has a header with cty, as if there were a token within",
        ));
    }
    // An access token or a logout token is none (RFC 9068, RFC 8725, 3.11).
    let typ = header.typ.as_deref().map(str::to_ascii_lowercase);
    let typ = typ
        .as_deref()
        .map(|typ| typ.trim_start_matches("application/"));
    match typ {
        None | Some("jwt" | "jose") => Ok(header),
        Some(_) => Err(form("has a header with a typ of another kind of token")),
    }
}

/// The algorithms that are allowed, and no other.
fn allowed(alg: &str) -> Result<CoreJwsSigningAlgorithm, Refusal> {
    match alg {
        "RS256" => Ok(CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256),
        "RS384" => Ok(CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384),
        "RS512" => Ok(CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512),
        "ES256" => Ok(CoreJwsSigningAlgorithm::EcdsaP256Sha256),
        "ES384" => Ok(CoreJwsSigningAlgorithm::EcdsaP384Sha384),
        other => Err(Refusal::Algorithm { found: cut(other) }),
    }
}

fn verified(
    header: &Header,
    algorithm: &CoreJwsSigningAlgorithm,
    keys: &KeySet,
    input: &[u8],
    signature: &[u8],
) -> Result<(), Refusal> {
    let mut meant = keys.meant_by(header.kid.as_deref(), algorithm).peekable();
    if meant.peek().is_none() {
        let kid = header.kid.as_deref();
        let kid = kid.map_or_else(|| "(none)".to_owned(), |kid| format!("{:?}", cut(kid)));
        return Err(Refusal::KeyUnknown { kid });
    }
    let is_good = meant.any(|key| key.verify_signature(algorithm, input, signature).is_ok());
    is_good.then_some(()).ok_or(Refusal::Signature {})
}

fn read_claims(payload: &[u8]) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(payload).map_err(|_| form("holds no JSON object"))
}

/// A part's bytes: base64url without padding, in its one way of writing (RFC 7515, 2).
fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| form("has a part that is no base64url"))
}

fn form(why: &'static str) -> Refusal {
    Refusal::TokenForm { why }
}
