//! The room's tests: tokens signed here, and a provider on loopback that answers what it is told.

mod asking;
mod claiming;
mod provider;
mod refreshing;
mod requesting;
mod signing;
mod verifying;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::*;
use crate::model::{Secret, SignIn, SubjectParts};
use signing::{Key, rsa_key};

const ISSUER: &str = "https://idp.example.org/realms/a";
const CLIENT: &str = "rolegate";
const NONCE: &str = "the-nonce";
const ROLE: &str = "arn:aws:iam::123456789012:role/data-scientist";

fn now() -> DateTime<Utc> {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

fn settings() -> ProviderSettings {
    ProviderSettings {
        name: "main".parse().unwrap(),
        issuer: ISSUER.to_owned(),
        client_id: CLIENT.to_owned(),
        scopes: ["openid", "email", "offline_access"]
            .map(str::to_owned)
            .to_vec(),
        authorization_parameters: BTreeMap::new(),
        redirect_url: "https://rolegate.example.org/oidc/main/callback".to_owned(),
        claims: ClaimNames::default(),
        user_domains: Vec::new(),
        clock_skew: TimeDelta::seconds(60),
    }
}

/// Metadata as a provider of `issuer` writes it, with `changes`.
fn document(issuer: &str, changes: &Value) -> Vec<u8> {
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code", "code id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "HS256", "none", "future"],
    });
    merge(&mut document, changes);
    document.to_string().into_bytes()
}

fn metadata(changes: &Value) -> ProviderMetadata {
    ProviderMetadata::parse(&settings(), &document(ISSUER, changes)).unwrap()
}

/// The claims of a good token, with `changes`; null takes one away.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER,
        "aud": CLIENT,
        "sub": "subject-1",
        "iat": now().timestamp() - 5,
        "exp": now().timestamp() + 300,
        "nonce": NONCE,
        "email": "alice@example.org",
        "email_verified": true,
        "aws_role_arn": ROLE,
    });
    merge(&mut claims, changes);
    claims
}

fn merge(into: &mut Value, changes: &Value) {
    let into = into.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        into.remove(name);
        if !value.is_null() {
            into.insert(name.clone(), value.clone());
        }
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn answer(token: &str) -> TokenAnswer {
    TokenAnswer::new(Some(secret(token)), Some(secret("refresh-1")))
}

/// Verifies `token` at a sign-in with the keys of `keys`.
fn verify_with(token: &str, keys: &[&Key]) -> Result<VerifiedIdToken, Refusal> {
    verify_for(token, keys, &settings())
}

fn verify_for(
    token: &str,
    keys: &[&Key],
    settings: &ProviderSettings,
) -> Result<VerifiedIdToken, Refusal> {
    let keys = signing::key_set(keys);
    let expectation = IdTokenExpectation {
        settings,
        keys: &keys,
        nonce: &secret(NONCE),
        state: "the-state",
        now: now(),
    };
    verify(&answer(token), &expectation)
}

/// The code of the refusal of a well-signed token with `changes`, or `ok`.
fn code(changes: &Value) -> &'static str {
    let token = rsa_key().sign("RS256", &claims(changes));
    verify_with(&token, &[rsa_key()]).map_or_else(|refusal| refusal.code(), |_| "ok")
}

/// What a well-signed token with `changes` says.
fn parts(changes: &Value) -> Result<SubjectParts, Refusal> {
    parts_for(changes, &settings())
}

fn parts_for(changes: &Value, settings: &ProviderSettings) -> Result<SubjectParts, Refusal> {
    let token = rsa_key().sign("RS256", &claims(changes));
    verify_for(&token, &[rsa_key()], settings).map(|verified| verified.into_parts().0)
}
