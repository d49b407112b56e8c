//! Refreshed tokens: the same person, maybe with newer roles.

use super::signing::{key_set, other_rsa_key};
use super::*;
use crate::model::{Attributes, IdToken};

fn before() -> IdToken {
    let token = rsa_key().sign("RS256", &claims(&json!({})));
    let verified = verify_with(&token, &[rsa_key()]).unwrap();
    verified.into_parts().1.id_token
}

fn refreshed_by(answer: &TokenAnswer, nonce: Option<&Secret>) -> Result<Refreshed, Refusal> {
    let keys = key_set(&[rsa_key()]);
    verify_refreshed(
        answer,
        &RefreshExpectation {
            settings: &settings(),
            keys: &keys,
            before: &before(),
            known: &Attributes::new(),
            nonce,
            now: now() + TimeDelta::hours(1),
        },
    )
}

/// A token made at the refresh, an hour after the sign-in.
fn refreshed(changes: &Value) -> Result<Refreshed, Refusal> {
    let at = now().timestamp() + 3600;
    let mut all = claims(&json!({"iat": at, "exp": at + 300, "nonce": null}));
    merge(&mut all, changes);
    let token = rsa_key().sign("RS256", &all);
    refreshed_by(&answer(&token), Some(&secret(NONCE)))
}

fn refused(changes: &Value) -> &'static str {
    refreshed(changes).map_or_else(|refusal| refusal.code(), |_| "ok")
}

#[test]
fn a_refreshed_token_replaces_the_one_before() {
    let refreshed = refreshed(&json!({"team": "blue"})).unwrap();
    let token = refreshed.id_token.unwrap();
    assert_eq!(token.subject, "subject-1");
    assert_eq!(token.expires_at, now() + TimeDelta::seconds(3600 + 300));
    assert_eq!(refreshed.refresh_token, Some(secret("refresh-1")));
    assert_eq!(refreshed.attributes["team"], ["blue"]);
    let offers = refreshed.offers.unwrap().offers;
    assert_eq!(offers[0].role.as_str(), ROLE);
}

#[test]
fn a_role_claim_replaces_the_offers_and_none_leaves_them() {
    let offers = |changes: &Value| refreshed(changes).unwrap().offers;
    assert!(offers(&json!({"aws_role_arn": null})).is_none());
    let none = offers(&json!({"aws_role_arn": []})).unwrap();
    assert!(none.offers.is_empty() && none.refused.is_empty());
    assert_eq!(
        offers(&json!({"aws_role_arn": 7})).unwrap().refused.len(),
        1
    );
}

#[test]
fn it_is_the_same_person_at_the_same_provider() {
    assert_eq!(refused(&json!({})), "ok");
    assert_eq!(refused(&json!({"sub": "subject-2"})), "subject_differs");
    assert_eq!(refused(&json!({"iss": "https://other.example"})), "issuer");
    assert_eq!(refused(&json!({"aud": "other"})), "audience");
    assert_eq!(refused(&json!({"azp": "other"})), "azp");
    assert_eq!(refused(&json!({"exp": now().timestamp()})), "expired");
    let mut other = before();
    other.audience = "old-client".to_owned();
    let token = rsa_key().sign("RS256", &claims(&json!({})));
    let keys = key_set(&[rsa_key()]);
    let expectation = RefreshExpectation {
        settings: &settings(),
        keys: &keys,
        before: &other,
        known: &Attributes::new(),
        nonce: None,
        now: now(),
    };
    let refusal = verify_refreshed(&answer(&token), &expectation).unwrap_err();
    assert_eq!(refusal.code(), "audience_differs");
}

#[test]
fn its_age_does_not_count() {
    assert_eq!(refused(&json!({"iat": now().timestamp()})), "ok");
}

#[test]
fn its_nonce_is_none_or_the_sign_ins() {
    assert_eq!(refused(&json!({"nonce": NONCE})), "ok");
    assert_eq!(refused(&json!({"nonce": "other"})), "nonce");
    let at = now().timestamp() + 3600;
    let all = claims(&json!({"iat": at, "exp": at + 300, "nonce": "other"}));
    let token = rsa_key().sign("RS256", &all);
    // The token before tells it, where nothing else does.
    let refusal = refreshed_by(&answer(&token), None).unwrap_err();
    assert_eq!(refusal.code(), "nonce");
}

#[test]
fn without_an_id_token_the_rotated_refresh_token_is_kept() {
    let rotated = TokenAnswer::new(None, Some(secret("refresh-2")));
    let refreshed = refreshed_by(&rotated, None).unwrap();
    assert!(refreshed.id_token.is_none() && refreshed.offers.is_none());
    assert!(refreshed.attributes.is_empty());
    assert_eq!(refreshed.refresh_token, Some(secret("refresh-2")));
    let nothing = refreshed_by(&TokenAnswer::new(None, None), None).unwrap();
    assert_eq!(nothing.refresh_token, None);
}

#[test]
fn its_signature_is_the_providers() {
    let token = other_rsa_key().sign("RS256", &claims(&json!({})));
    let refusal = refreshed_by(&answer(&token), None).unwrap_err();
    assert_eq!(refusal.code(), "key_unknown");
    assert!(refusal.wants_newer_keys());
}
