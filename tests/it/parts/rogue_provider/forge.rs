//! ID tokens as nobody should make them: any header, any claims, any key, any signature.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcCurve;
use josekit::jwk::alg::ed::EdCurve;
use josekit::jws::{
    self, ES256, ES384, ES512, HS256, HS384, HS512, JwsSigner, PS256, PS384, PS512, RS256, RS384,
    RS512,
};
use serde_json::{Value, json};

/// A key pair under a name.
#[derive(Clone)]
pub(crate) struct Key {
    /// Its `kid`.
    pub(crate) kid: String,
    /// The algorithm that it signs by when it behaves.
    pub(crate) algorithm: &'static str,
    private: Jwk,
}

/// RSA keys take their time to make, so that all of one name are the same in this process.
static RSA: LazyLock<[Jwk; 3]> =
    LazyLock::new(|| std::array::from_fn(|_| Jwk::generate_rsa_key(2048).unwrap()));

impl Key {
    /// One of three RSA keys, which the name's first letter chooses: `a`, `b` or another.
    pub(crate) fn rsa(kid: &str) -> Self {
        let at = match kid.as_bytes() {
            [b'a', ..] => 0,
            [b'b', ..] => 1,
            _ => 2,
        };
        Self::of(kid, "RS256", RSA[at].clone())
    }

    /// A new key on P-256.
    pub(crate) fn p256(kid: &str) -> Self {
        Self::of(kid, "ES256", Jwk::generate_ec_key(EcCurve::P256).unwrap())
    }

    /// A new key on P-384.
    pub(crate) fn p384(kid: &str) -> Self {
        Self::of(kid, "ES384", Jwk::generate_ec_key(EcCurve::P384).unwrap())
    }

    /// A new key on P-521.
    pub(crate) fn p521(kid: &str) -> Self {
        Self::of(kid, "ES512", Jwk::generate_ec_key(EcCurve::P521).unwrap())
    }

    /// A new key on edwards25519.
    pub(crate) fn ed25519(kid: &str) -> Self {
        Self::of(
            kid,
            "EdDSA",
            Jwk::generate_ed_key(EdCurve::Ed25519).unwrap(),
        )
    }

    fn of(kid: &str, algorithm: &'static str, private: Jwk) -> Self {
        let kid = kid.to_owned();
        Self {
            kid,
            algorithm,
            private,
        }
    }

    /// The same key for another algorithm.
    pub(crate) fn by(mut self, algorithm: &'static str) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// As a JWKS lists it, with `kid`, `use` and `alg`.
    pub(crate) fn public(&self) -> Value {
        let mut key = self.bare();
        key["kid"] = json!(self.kid);
        key["use"] = json!("sig");
        key["alg"] = json!(self.algorithm);
        key
    }

    /// The public half, and nothing else about it.
    pub(crate) fn bare(&self) -> Value {
        Value::Object(self.private.to_public_key().unwrap().into())
    }

    /// The public half as PEM and as DER: what HMAC is abused with.
    pub(crate) fn public_bytes(&self) -> (Vec<u8>, Vec<u8>) {
        let pair = josekit::jwk::alg::rsa::RsaKeyPair::from_jwk(&self.private).unwrap();
        (pair.to_pem_public_key(), pair.to_der_public_key())
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let key = &self.private;
        let signer: Box<dyn JwsSigner> = match algorithm {
            "RS256" => Box::new(RS256.signer_from_jwk(key).unwrap()),
            "RS384" => Box::new(RS384.signer_from_jwk(key).unwrap()),
            "RS512" => Box::new(RS512.signer_from_jwk(key).unwrap()),
            "PS256" => Box::new(PS256.signer_from_jwk(key).unwrap()),
            "PS384" => Box::new(PS384.signer_from_jwk(key).unwrap()),
            "PS512" => Box::new(PS512.signer_from_jwk(key).unwrap()),
            "ES256" => Box::new(ES256.signer_from_jwk(key).unwrap()),
            "ES384" => Box::new(ES384.signer_from_jwk(key).unwrap()),
            "ES512" => Box::new(ES512.signer_from_jwk(key).unwrap()),
            "EdDSA" => Box::new(jws::EdDSA.signer_from_jwk(key).unwrap()),
            other => panic!("no key pair signs by {other}"),
        };
        signer.sign(message).unwrap()
    }
}

/// An ID token before it is signed.
pub(crate) struct Draft {
    /// The header, as it will stand there: `alg` says what the signature is made by.
    pub(crate) header: Value,
    /// The claims.
    pub(crate) claims: Value,
    /// The signature.
    pub(crate) sign: Sign,
}

/// Where the signature comes from.
#[derive(Clone)]
pub(crate) enum Sign {
    /// This key.
    Key(Key),
    /// This key, by an algorithm that the header does not name.
    By(Key, &'static str),
    /// HMAC under these bytes.
    Hmac(Vec<u8>),
    /// The key's, less its last byte.
    Cut(Key),
    /// The key's under these claims, before they were exchanged for the draft's.
    Over(Key, Value),
    /// None: the token ends with a full stop.
    Nothing,
    /// This text in place of a token.
    Text(String),
}

impl Draft {
    /// The compact form.
    pub(crate) fn finish(self) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let algorithm = self.header["alg"].as_str().unwrap_or("none").to_owned();
        let message = |claims: &Value| format!("{}.{}", encode(&self.header), encode(claims));
        let text = message(&self.claims);
        let signature = match &self.sign {
            Sign::Text(text) => return text.clone(),
            Sign::Nothing => Vec::new(),
            Sign::Key(key) => key.sign(&algorithm, text.as_bytes()),
            Sign::By(key, algorithm) => key.sign(algorithm, text.as_bytes()),
            Sign::Cut(key) => {
                let mut signature = key.sign(&algorithm, text.as_bytes());
                signature.pop();
                signature
            }
            Sign::Over(key, claims) => key.sign(&algorithm, message(claims).as_bytes()),
            Sign::Hmac(secret) => hmac(&algorithm, secret, text.as_bytes()),
        };
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn hmac(algorithm: &str, secret: &[u8], message: &[u8]) -> Vec<u8> {
    let kind = match algorithm {
        "HS384" => HS384,
        "HS512" => HS512,
        _ => HS256,
    };
    let signer = kind.signer_from_bytes(secret).unwrap();
    signer.sign(message).unwrap()
}
