//! The tokens that rolegate signs as an OIDC issuer, and the keys it signs them with.
//!
//! A token is for one grant, lives 5 minutes, and names the one role it may be redeemed for; AWS reads
//! session tags and source identity from it alone. RS256 by `josekit`, over OpenSSL; times are whole
//! seconds, since AWS takes no others. Never reads a token, never lets one or a key into a log.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use josekit::jwk::KeyPair;
use josekit::jwk::alg::rsa::RsaKeyPair;
use josekit::jws::alg::rsassa::RsassaJwsSigner;
use josekit::jws::{JwsHeader, RS256};
use josekit::jwt::{self, JwtPayload};
use josekit::{JoseError, Map, Value};
use serde_json::json;
use thiserror::Error;

use crate::model::{Clock, Entropy, Secret, hex};
use crate::policy::Grant;

/// The one audience, by AWS's convention.
pub const AUDIENCE: &str = "sts.amazonaws.com";

/// How long a token lives.
const LIFE: TimeDelta = TimeDelta::seconds(300);
/// The longest `sub` (OpenID Connect Core, 2).
const MAX_SUBJECT: usize = 255;
/// The size of a key, in bits.
const BITS: u32 = 2048;

/// Why no token was made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The subject is longer than AWS takes.
    #[error(
        "the token's subject would have {length} characters, and AWS takes 255: the role's path and name have {role}, the identity provider's name {idp}, the user {user}; shorten the longest of them, or have the entry use broker"
    )]
    SubjectTooLong {
        /// All of it.
        length: usize,
        /// Path and name of the role.
        role: usize,
        /// The IdP's name.
        idp: usize,
        /// The user.
        user: usize,
    },
    /// OpenSSL cannot work with the key.
    #[error("a relay key cannot be worked with: {0}")]
    Key(String),
}

impl From<JoseError> for TokenError {
    fn from(error: JoseError) -> Self {
        Self::Key(error.to_string())
    }
}

/// A token that AWS takes in exchange for one grant's credentials.
#[derive(Debug)]
pub struct RelayToken {
    /// The signed token.
    pub jwt: Secret,
    /// Its subject.
    pub sub: String,
    /// Its issuer.
    pub issuer: String,
    /// Its end.
    pub expires_at: DateTime<Utc>,
}

/// A new key pair, as it is stored.
pub struct FreshKey {
    /// PKCS#8 in PEM.
    pub private_key: Secret,
    /// The public half as it is published, a JSON object.
    pub public_jwk: String,
}

impl FreshKey {
    /// Makes a key pair named `kid`; takes up to a second of a processor.
    pub fn generate(kid: &str) -> Result<Self, TokenError> {
        let mut pair = RsaKeyPair::generate(BITS)?;
        pair.set_key_id(Some(kid));
        pair.set_algorithm(Some(RS256_NAME));
        let mut jwk = pair.to_jwk_public_key();
        // AWS refuses a key with key_ops, and one for another use than signing.
        jwk.set_key_use("sig");
        let pem = String::from_utf8(pair.to_pem_private_key());
        let pem = pem.map_err(|error| TokenError::Key(error.to_string()))?;
        Ok(Self {
            private_key: Secret::new(pem),
            public_jwk: jwk.to_string(),
        })
    }
}

const RS256_NAME: &str = "RS256";

/// What signs tokens.
pub struct RelayKey {
    kid: String,
    signer: RsassaJwsSigner,
}

impl fmt::Debug for RelayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl RelayKey {
    /// Reads the private half of the key named `kid`.
    pub fn from_pem(kid: &str, private_key: &Secret) -> Result<Self, TokenError> {
        let signer = RS256.signer_from_pem(private_key.expose())?;
        let kid = kid.to_owned();
        Ok(Self { kid, signer })
    }

    /// A token of `issuer` for `grant`.
    pub fn token(
        &self,
        grant: &Grant,
        issuer: &str,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<RelayToken, TokenError> {
        let now = clock.now();
        let sub = subject(grant)?;
        let mut claims = claims(grant, issuer, &sub);
        claims.insert("iat".to_owned(), json!(now.timestamp()));
        let expires_at = whole_seconds(now) + LIFE;
        claims.insert("exp".to_owned(), json!(expires_at.timestamp()));
        let mut id = [0; 16];
        entropy.fill(&mut id);
        claims.insert("jti".to_owned(), json!(hex(&id)));
        let mut header = JwsHeader::new();
        header.set_token_type("JWT");
        header.set_algorithm(RS256_NAME);
        header.set_key_id(&self.kid);
        let payload = JwtPayload::from_map(claims)?;
        let jwt = jwt::encode_with_signer(&payload, &header, &self.signer)?;
        Ok(RelayToken {
            jwt: Secret::new(jwt),
            sub,
            issuer: issuer.to_owned(),
            expires_at,
        })
    }
}

fn whole_seconds(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at)
}

/// What a trust policy pins: role, identity provider and user. Neither of the last two holds a colon, so
/// no role's path can be read as a user.
fn subject(grant: &Grant) -> Result<String, TokenError> {
    let (role, person) = (grant.role(), grant.person());
    let name = role.path_and_name();
    let account = role.account();
    let sub = format!(
        "role:{account}/{name}:idp:{}:user:{}",
        person.idp, person.user
    );
    let length = sub.chars().count();
    if length <= MAX_SUBJECT {
        return Ok(sub);
    }
    Err(TokenError::SubjectTooLong {
        length,
        role: name.len(),
        idp: person.idp.as_str().len(),
        user: person.user.as_str().len(),
    })
}

/// The claims that do not change from one token of a grant to the next.
fn claims(grant: &Grant, issuer: &str, sub: &str) -> Map<String, Value> {
    let mut claims = Map::new();
    let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    set("iss", json!(issuer));
    set("aud", json!(AUDIENCE));
    set("sub", json!(sub));
    set(
        "https://aws.amazon.com/roles",
        json!([grant.role().as_str()]),
    );
    set(
        "https://aws.amazon.com/source_identity",
        json!(grant.person().user.as_str()),
    );
    if !grant.tags().is_empty() {
        let tags: Map<String, Value> = grant
            .tags()
            .iter()
            .map(|tag| (tag.key.clone(), json!([tag.value])))
            .collect();
        let mut tags = json!({ "principal_tags": tags });
        let transitive = grant.transitive_tag_keys();
        if let (Some(tags), false) = (tags.as_object_mut(), transitive.is_empty()) {
            tags.insert("transitive_tag_keys".to_owned(), json!(transitive));
        }
        set("https://aws.amazon.com/tags", tags);
    }
    claims
}
