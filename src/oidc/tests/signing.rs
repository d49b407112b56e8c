//! Keys, and tokens that they sign.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use josekit::jws::{self, ES256, ES384, ES512, HS256, JwsHeader, PS256, RS256, RS384, RS512};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use serde_json::{Value, json};

use super::*;

/// A provider's key, and how its JSON Web Key looks.
pub(super) struct Key {
    pub(super) jwk: Value,
    pub(super) kid: Option<&'static str>,
    private: PKey<Private>,
}

impl Key {
    fn rsa(bits: u32, kid: &'static str) -> Self {
        let rsa = Rsa::generate(bits).unwrap();
        let text = |number: &openssl::bn::BigNumRef| BASE64URL.encode(number.to_vec());
        let jwk = json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
            "n": text(rsa.n()), "e": text(rsa.e()),
        });
        Self {
            jwk,
            kid: Some(kid),
            private: PKey::from_rsa(rsa).unwrap(),
        }
    }

    fn ec(curve: Nid, name: &str, kid: &'static str) -> Self {
        let group = EcGroup::from_curve_name(curve).unwrap();
        let key = EcKey::generate(&group).unwrap();
        let mut context = BigNumContext::new().unwrap();
        let (mut x, mut y) = (BigNum::new().unwrap(), BigNum::new().unwrap());
        key.public_key()
            .affine_coordinates(&group, &mut x, &mut y, &mut context)
            .unwrap();
        let size = i32::try_from(group.degree().div_ceil(8)).unwrap();
        let text = |number: &BigNum| BASE64URL.encode(number.to_vec_padded(size).unwrap());
        let jwk = json!({
            "kty": "EC", "use": "sig", "crv": name, "kid": kid, "x": text(&x), "y": text(&y),
        });
        Self {
            jwk,
            kid: Some(kid),
            private: PKey::from_ec_key(key).unwrap(),
        }
    }

    /// The same key with another JSON Web Key, and another `kid` in its tokens; null takes a name away.
    pub(super) fn shown_as(&self, changes: &Value, kid: Option<&'static str>) -> Self {
        let mut jwk = self.jwk.clone();
        merge(&mut jwk, changes);
        Self {
            jwk,
            kid,
            private: self.private.clone(),
        }
    }

    pub(super) fn sign(&self, algorithm: &str, claims: &Value) -> String {
        let mut header = JwsHeader::new();
        header.set_token_type("JWT");
        self.sign_with(header, algorithm, claims.to_string().as_bytes())
    }

    pub(super) fn sign_with(
        &self,
        mut header: JwsHeader,
        algorithm: &str,
        payload: &[u8],
    ) -> String {
        let der = self.private.private_key_to_pkcs8().unwrap();
        let signer: Box<dyn jws::JwsSigner> = match algorithm {
            "RS256" if self.private.bits() < 2048 => return self.sign_weakly(header, payload),
            "RS256" => Box::new(RS256.signer_from_der(&der).unwrap()),
            "RS384" => Box::new(RS384.signer_from_der(&der).unwrap()),
            "RS512" => Box::new(RS512.signer_from_der(&der).unwrap()),
            "PS256" => Box::new(PS256.signer_from_der(&der).unwrap()),
            "ES256" => Box::new(ES256.signer_from_der(&der).unwrap()),
            "ES384" => Box::new(ES384.signer_from_der(&der).unwrap()),
            "ES512" => Box::new(ES512.signer_from_der(&der).unwrap()),
            // The public key as the secret of an HMAC: what a careless verifier would accept.
            "HS256" => {
                let pem = self.private.public_key_to_pem().unwrap();
                Box::new(HS256.signer_from_bytes(pem).unwrap())
            }
            other => panic!("no signer for {other}"),
        };
        if let Some(kid) = self.kid {
            header.set_key_id(kid);
        }
        jws::serialize_compact(payload, &header, &*signer).unwrap()
    }
}

impl Key {
    /// By a key that the library for tests will not take.
    fn sign_weakly(&self, header: JwsHeader, payload: &[u8]) -> String {
        let mut header = Value::Object(header.into_map());
        merge(&mut header, &json!({"alg": "RS256", "kid": self.kid}));
        let input = format!(
            "{}.{}",
            BASE64URL.encode(header.to_string()),
            BASE64URL.encode(payload)
        );
        let mut signer = Signer::new(MessageDigest::sha256(), &self.private).unwrap();
        let signature = signer.sign_oneshot_to_vec(input.as_bytes()).unwrap();
        format!("{input}.{}", BASE64URL.encode(signature))
    }
}

/// A key set as the provider publishes it.
pub(super) fn key_document(keys: &[&Key]) -> Vec<u8> {
    let keys: Vec<_> = keys.iter().map(|key| &key.jwk).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

pub(super) fn key_set(keys: &[&Key]) -> KeySet {
    KeySet::parse(&key_document(keys)).unwrap_or_default()
}

/// A token of `header` and `claims` with `signature` behind it.
pub(super) fn assembled(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| BASE64URL.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

pub(super) fn rsa_key() -> &'static Key {
    static KEY: LazyLock<Key> = LazyLock::new(|| Key::rsa(2048, "rsa-1"));
    &KEY
}

pub(super) fn other_rsa_key() -> &'static Key {
    static KEY: LazyLock<Key> = LazyLock::new(|| Key::rsa(2048, "rsa-2"));
    &KEY
}

pub(super) fn weak_rsa_key() -> &'static Key {
    static KEY: LazyLock<Key> = LazyLock::new(|| Key::rsa(1024, "weak"));
    &KEY
}

pub(super) fn p256_key() -> &'static Key {
    static KEY: LazyLock<Key> = LazyLock::new(|| Key::ec(Nid::X9_62_PRIME256V1, "P-256", "ec-1"));
    &KEY
}

pub(super) fn p384_key() -> &'static Key {
    static KEY: LazyLock<Key> = LazyLock::new(|| Key::ec(Nid::SECP384R1, "P-384", "ec-2"));
    &KEY
}

pub(super) fn p521_key() -> &'static Key {
    static KEY: LazyLock<Key> = LazyLock::new(|| Key::ec(Nid::SECP521R1, "P-521", "ec-3"));
    &KEY
}
