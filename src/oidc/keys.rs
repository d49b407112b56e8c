//! The provider's keys, and what a signature by one of them is.
//!
//! It takes RSA keys of 2048 to 4096 bits and the curves P-256 and P-384, and of those only keys that are not
//! meant for encryption. A key says which algorithms it may verify; a token's header alone never does.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreJsonWebKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKey, JsonWebKeyAlgorithm, JwsSigningAlgorithm};
use serde::Deserialize;
use serde_json::Value;

use super::OidcError;
use super::refusal::cut;

/// More keys are not read.
const MOST_KEYS: usize = 100;
/// So many keys are tried for one token at most.
const MOST_TRIED: usize = 10;

/// The keys of a provider that may sign ID tokens.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<CoreJsonWebKey>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// What of a key the library does not look at.
#[derive(Deserialize)]
struct Facts {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<String>,
    crv: Option<String>,
}

impl KeySet {
    /// Reads a JSON Web Key Set (RFC 7517); keys of other kinds are left out.
    ///
    /// # Errors
    ///
    /// [`OidcError::Malformed`] where it is none, [`OidcError::NoKeys`] where no key is left.
    pub fn parse(document: &[u8]) -> Result<Self, OidcError> {
        let read = serde_json::from_slice::<Document>(document);
        let read = read.map_err(|error| OidcError::Malformed {
            what: "the key set",
            why: cut(&error.to_string()),
        })?;
        let keys: Vec<_> = read
            .keys
            .into_iter()
            .take(MOST_KEYS)
            .filter(may_sign)
            .filter_map(|key| serde_json::from_value(key).ok())
            .collect();
        if keys.is_empty() {
            return Err(OidcError::NoKeys);
        }
        Ok(Self { keys })
    }

    /// Whether there is no key, as before the first answer.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys that a token's `kid` may mean; a token or key without one may mean any.
    pub(super) fn meant_by<'k>(
        &'k self,
        kid: Option<&'k str>,
        algorithm: &'k CoreJwsSigningAlgorithm,
    ) -> impl Iterator<Item = &'k CoreJsonWebKey> {
        let fits = move |key: &&CoreJsonWebKey| {
            let named = key.key_id().map(|id| id.as_str());
            (kid.is_none() || named.is_none() || kid == named) && fits_algorithm(key, algorithm)
        };
        self.keys.iter().filter(fits).take(MOST_TRIED)
    }
}

/// Whether the key is of the algorithm's kind, and not meant for another algorithm.
fn fits_algorithm(key: &CoreJsonWebKey, algorithm: &CoreJwsSigningAlgorithm) -> bool {
    let of_its_kind = algorithm.key_type().as_ref() == Some(key.key_type());
    let meant = match key.signing_alg() {
        JsonWebKeyAlgorithm::Unspecified => true,
        JsonWebKeyAlgorithm::Algorithm(named) => named == algorithm,
        JsonWebKeyAlgorithm::Unsupported => false,
    };
    of_its_kind && meant
}

fn may_sign(key: &Value) -> bool {
    let Ok(facts) = Facts::deserialize(key) else {
        return false;
    };
    let meant = facts.usage.is_none_or(|usage| usage == "sig")
        && facts
            .key_ops
            .is_none_or(|operations| operations.iter().any(|name| name == "verify"));
    let strong = match facts.kty.as_str() {
        "RSA" => facts.n.is_some_and(|modulus| is_good_modulus(&modulus)),
        "EC" => facts
            .crv
            .is_some_and(|curve| curve == "P-256" || curve == "P-384"),
        _ => false,
    };
    meant && strong
}

/// 2048 to 4096 bits, leading zeros not counted.
fn is_good_modulus(modulus: &str) -> bool {
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(modulus.trim_end_matches('=')) else {
        return false;
    };
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    (256..=512).contains(&(bytes.len() - zeros))
}
