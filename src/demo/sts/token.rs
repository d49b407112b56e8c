//! A web identity token: its signature by josekit, its claims by AWS's rules.
//!
//! Trusts the keys it is handed and nothing that the token says before its signature held.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use josekit::jwk::Jwk;
use josekit::jws::alg::ecdsa::EcdsaJwsAlgorithm;
use josekit::jws::alg::rsassa::RsassaJwsAlgorithm;
use josekit::jws::{self, JwsVerifier};
use serde_json::{Map, Value};

use super::answer::Failure;
use super::tags::{Tag, Tags};

/// How far clocks may be apart.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// How old a token may be, whatever its end; AWS's own limit is not published, and is above hours.
const MOST_AGE: TimeDelta = TimeDelta::hours(24);
const ROLES: &str = "https://aws.amazon.com/roles";
const TAGS: &str = "https://aws.amazon.com/tags";
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/source_identity";

/// The claims of a token, verified or not: the caller knows.
pub(super) struct Claims(Map<String, Value>);

fn no_jwt() -> Failure {
    Failure::token(
        "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
    )
}

fn part(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// The `iss` that an unverified token names, to find its keys by.
pub(super) fn issuer(token: &str) -> Result<String, Failure> {
    let mut parts = token.split('.');
    let header = parts.next().and_then(part);
    let claims = parts.next().and_then(part).filter(|_| header.is_some());
    let claims = claims.filter(|_| parts.next().is_some() && parts.next().is_none());
    let claims = Claims(claims.ok_or_else(no_jwt)?);
    claims.text("iss").map(str::to_owned)
}

/// The claims, if one of `keys` signed them.
pub(super) fn verified(token: &str, keys: &[Jwk]) -> Result<Claims, Failure> {
    let header = token.split('.').next().and_then(part);
    let header = header.ok_or_else(no_jwt)?;
    let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or("");
    let key = chosen(&header, keys)?;
    let verifier = verifier(algorithm, key)?;
    let payload = jws::deserialize_compact(token, &*verifier);
    let (payload, _) = payload.map_err(|why| {
        tracing::debug!(%why, "the demo STS refuses a token");
        Failure::token("The ID Token's signature is invalid")
    })?;
    let claims = serde_json::from_slice(&payload);
    claims.map(Claims).map_err(|_| no_jwt())
}

/// The key that `kid` names; without one there must be a single key.
fn chosen<'a>(header: &Map<String, Value>, keys: &'a [Jwk]) -> Result<&'a Jwk, Failure> {
    let none = || Failure::token("No verification key of the identity provider fits the token");
    let Some(kid) = header.get("kid") else {
        return match keys {
            [only] => Ok(only),
            _ => Err(none()),
        };
    };
    let named = |key: &&Jwk| key.parameter("kid") == Some(kid);
    keys.iter().find(named).ok_or_else(none)
}

fn verifier(algorithm: &str, key: &Jwk) -> Result<Box<dyn JwsVerifier>, Failure> {
    let rsa = |algorithm: RsassaJwsAlgorithm| -> Option<Box<dyn JwsVerifier>> {
        let mut verifier = algorithm.verifier_from_jwk(key).ok()?;
        // The key was chosen by its id already, or there is but one.
        verifier.remove_key_id();
        Some(Box::new(verifier))
    };
    let ec = |algorithm: EcdsaJwsAlgorithm| -> Option<Box<dyn JwsVerifier>> {
        let mut verifier = algorithm.verifier_from_jwk(key).ok()?;
        verifier.remove_key_id();
        Some(Box::new(verifier))
    };
    let verifier = match algorithm {
        "RS256" => rsa(RsassaJwsAlgorithm::Rs256),
        "RS384" => rsa(RsassaJwsAlgorithm::Rs384),
        "RS512" => rsa(RsassaJwsAlgorithm::Rs512),
        "ES256" => ec(EcdsaJwsAlgorithm::Es256),
        "ES384" => ec(EcdsaJwsAlgorithm::Es384),
        "ES512" => ec(EcdsaJwsAlgorithm::Es512),
        _ => None,
    };
    verifier.ok_or_else(|| Failure::token("The ID Token's algorithm or key is not supported"))
}

impl Claims {
    /// A claim that must be a text.
    pub(super) fn text(&self, name: &str) -> Result<&str, Failure> {
        let found = self.0.get(name).and_then(Value::as_str);
        let found = found.filter(|text| !text.is_empty());
        found.ok_or_else(|| Failure::token(format!("Missing a required claim: {name}")))
    }

    /// The audience: the only value of `aud`, or where there are several `azp`, one of them or not.
    pub(super) fn audience(&self) -> Result<&str, Failure> {
        match self.0.get("aud") {
            Some(Value::Array(several)) => match &several[..] {
                [Value::String(only)] => Ok(only),
                [] => Err(Failure::token("Missing a required claim: aud")),
                _ => self.text("azp"),
            },
            _ => self.text("aud"),
        }
    }

    /// `iat`, `exp` and `nbf` around `now`.
    pub(super) fn times(&self, now: DateTime<Utc>) -> Result<(), Failure> {
        let issued = self.time("iat")?;
        let expires = self.time("exp")?;
        if now.timestamp() - expires >= TOLERANCE.num_seconds() {
            return Err(Failure::expired(format!(
                "Token expired: current date/time {} must be before the expiration date/time {expires}",
                now.timestamp()
            )));
        }
        let age = now.timestamp() - issued;
        if age > MOST_AGE.num_seconds() {
            return Err(Failure::expired(format!("Token too old: {age}")));
        }
        let mut starts = vec![issued];
        if self.0.contains_key("nbf") {
            starts.push(self.time("nbf")?);
        }
        if starts
            .iter()
            .any(|start| start - now.timestamp() > TOLERANCE.num_seconds())
        {
            return Err(Failure::token("The ID Token is not valid yet"));
        }
        Ok(())
    }

    /// A time that must be there as a whole number of seconds.
    fn time(&self, name: &str) -> Result<i64, Failure> {
        let Some(found) = self.0.get(name) else {
            return Err(Failure::token(format!("Missing a required claim: {name}")));
        };
        let text = format!("The claim {name} of the ID Token is no integer");
        found.as_i64().ok_or_else(|| Failure::token(text))
    }

    /// Whether the token is for `role`; `None` where it names no roles.
    pub(super) fn names_role(&self, role: &str) -> Option<bool> {
        Some(match self.0.get(ROLES)? {
            Value::Array(several) => several.iter().any(|known| known == role),
            Value::String(joined) => joined.split(';').any(|known| known.trim() == role),
            _ => false,
        })
    }

    /// The source identity, where there is one.
    pub(super) fn source_identity(&self) -> Result<Option<String>, Failure> {
        let Some(found) = self.0.get(SOURCE_IDENTITY) else {
            return Ok(None);
        };
        let name = found.as_str().unwrap_or("");
        let good = name.parse::<crate::model::SessionName>().is_ok() && !name.starts_with("aws:");
        if !good {
            let text = "Source Identity in the ID Token must match [a-zA-Z_0-9+=,.@-]{2,64}";
            return Err(Failure::token(text));
        }
        Ok(Some(name.to_owned()))
    }

    /// The session tags, each an array of one value.
    pub(super) fn tags(&self) -> Result<Tags, Failure> {
        let Some(claim) = self.0.get(TAGS) else {
            return Ok(Tags::default());
        };
        let bad = || Failure::token("The session tags of the ID Token are invalid");
        let principal = claim.get("principal_tags").and_then(Value::as_object);
        let mut all = Vec::new();
        for (key, values) in principal.ok_or_else(bad)? {
            let Some([Value::String(value)]) = values.as_array().map(Vec::as_slice) else {
                return Err(bad());
            };
            all.push(Tag {
                key: key.clone(),
                value: value.clone(),
            });
        }
        let mut transitive = Vec::new();
        if let Some(keys) = claim.get("transitive_tag_keys") {
            for key in keys.as_array().ok_or_else(bad)? {
                transitive.push(key.as_str().ok_or_else(bad)?.to_owned());
            }
        }
        Tags::checked(all, transitive)
    }
}
